"""Storage commitment: the request is answered, and the report is brought [PS3.4 J.3].

Knows: references, reports, destinations. Must not know: which function was registered for what.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing

from dicos_proto.arguments import kind_of
from dicos_proto.conversation.exchange import Exchange, absorb_pending
from dicos_proto.conversation.flows import AssociationError, AssociationReleased, ContextNotAccepted, Flow, Need
from dicos_proto.registry import status
from dicos_proto.registry.service_classes import Service
from dicos_proto.registry.status_tables import Category
from dicos_proto.services.commitment import CommitmentReport, Committing, Failure, ReportTask, report_commitment
from dicos_proto.services.serving import Refused

from ..addresses import Address
from ..sessions.channel import ServerStopping
from .asked import CommitAsked, Registered, SessionRequest, WrongAnswer
from .faults import LOG, log_failure
from .talking import Responder

__all__ = ["Left", "answer_commitment"]


class Left(AssociationReleased):
    """The peer has released the association between two requests; everything that did not need it has been done."""


async def answer_commitment(
    talk: Responder, request: SessionRequest, registered: Registered, destinations: Mapping[str, Address]
) -> None:
    """Answers a storage commitment request as received, then brings its report, here or on another association."""
    session = request.session
    committing = Committing(session.exchange, request.start)
    asked = CommitAsked(request=request, commitment=await talk.run(committing.read_request()))
    await talk.run(committing.grant())
    task = committing.task(await _report(talk, registered, asked))
    where = destinations.get(task.destination)
    gone: AssociationError | None = None
    if where is None or not registered.apart:
        try:
            await talk.run(_look(session.exchange))
            if await _reported(talk, task):
                return
        except ServerStopping:
            raise
        except AssociationReleased:  # the peer is free to leave once it is answered.  # PS3.4 J.3.3.1.2
            gone = Left()
        except AssociationError as error:
            gone = error
    if where is None:
        LOG.error("%s: no address of %a for a report of storage commitment", session.peer, task.destination)
    else:
        try:
            async with talk.connected(where, task.request) as other:
                await _reported(other, task)
        except ServerStopping:
            raise
        except (AssociationError, ContextNotAccepted) as error:
            LOG.error("%s: a report of storage commitment to %a: %s", session.peer, task.destination, error)
    if gone is not None:
        try:
            raise gone
        finally:
            del gone  # its traceback has this frame


def _look(exchange: Exchange) -> Flow[None]:
    """Raises if the peer has left already: many do once they have their answer."""
    yield Need.TURN
    yield from absorb_pending(exchange)


async def _report(talk: Responder, registered: Registered, asked: CommitAsked) -> CommitmentReport:
    """The report that the function gives. If it fails, nothing is committed, so that the peer keeps its objects."""
    commitment = asked.commitment
    try:
        found = await talk.call(registered.function, asked)
        if isinstance(found, CommitmentReport):
            told = (*found.committed, *(one.reference for one in found.failed))
            if found.transaction_uid != commitment.transaction_uid or sorted(told) != sorted(commitment.references):
                raise WrongAnswer(
                    "commit gave the report of another request; CommitAsked.commitment.report makes the right one"
                )
            return found
        if found is None:
            return commitment.report()
        failed: list[Failure] = []
        async with aclosing(talk.each(found)) as each:
            async for one in each:
                if not isinstance(one, Failure):
                    raise WrongAnswer(f"commit gave {kind_of(one)} among the failures; expected Failure only")
                failed.append(one)
        return commitment.report(failed)
    except Exception as error:  # from a registered function
        if isinstance(error, ServerStopping):
            raise
        if not isinstance(error, Refused):
            log_failure(asked.request, registered, error)
        code = error.code if isinstance(error, Refused) else status.PROCESSING_FAILURE
        return commitment.report(Failure(one, code) for one in commitment.references)


async def _reported(talk: Responder, task: ReportTask) -> bool:
    """Sends the report; returns True if the peer has accepted it."""
    response = await talk.run(report_commitment(talk.session.exchange, task.report))
    accepted = status.category(response.status) in (Category.SUCCESS, Category.WARNING)
    if not accepted:
        words = status.describe(response.status, Service.STORAGE_COMMITMENT)
        LOG.warning(
            "%s: %a does not accept a report of storage commitment: %s", talk.session.peer, task.destination, words
        )
    return accepted
