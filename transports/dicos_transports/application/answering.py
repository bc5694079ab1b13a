"""How a request is answered by a function: once for all adapters, functions that wait and functions that do not.

Theory of operation: what is said about one request is a coroutine, and what it awaits is a `Talk`: to run a flow, to
call a function, to take the next thing that it gives (`talking`).

What a function does wrong costs the association nothing: it is logged and answered, 0x0110. The text of an error that
is not one of this package may hold anything, a patient's name too: it is not sent, and logged at DEBUG only.

Knows: requests, functions, answers. Must not know: sockets, threads, tasks, who registered what.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Final, TypeGuard, TypeVar
from uuid import uuid4

from dicos_proto import dimse
from dicos_proto.conversation import planning
from dicos_proto.conversation.exchange import Exchange
from dicos_proto.conversation.flows import (
    AssociationError,
    AssociationRejected,
    AssociationReleased,
    ContextNotAccepted,
    Flow,
    Need,
)
from dicos_proto.conversation.reading import DataSetTooLong
from dicos_proto.data.datasets import Attributes, Content, DataSetError, decode_object
from dicos_proto.errors import ProtocolError
from dicos_proto.registry import status
from dicos_proto.registry.service_classes import Service
from dicos_proto.registry.status import Category
from dicos_proto.services.commitment import (
    CommitmentReport,
    CommitmentRequest,
    Committing,
    Failure,
    Reference,
    ReportTask,
    report_commitment,
)
from dicos_proto.services.query import Finding
from dicos_proto.services.retrieve import Getting, Moving
from dicos_proto.services.serving import Refused, Serving
from dicos_proto.services.storage import StoreMany

from .. import blocking
from ..addresses import Address, printable
from ..files.instances import FALLBACKS, instance, offer, taken
from ..files.writer import Part10Writer, file_header
from ..serving.logs import PlainTracebacks
from ..sessions import session as awaiting
from ..sessions.base import ConnectionFailed
from ..sessions.channel import ServerStopping
from ..sessions.talking import Talk, WrongAnswer, kind_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["LOG", "Asked", "CommitAsked", "Left", "Registered", "Reply", "StoreAsked", "answer"]

T = TypeVar("T")
LOG: Final = logging.getLogger("dicos.application")
LOG.addFilter(PlainTracebacks())
TOLD: Final = 1000
"""Characters of an error that are logged."""
AnyRequest = blocking.AnyRequest | awaiting.AnyRequest


# -- what a function is given, and gives -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """A request, as a function is given it. `request`: that of the session; `attributes`: its data set, undecoded.

    `attributes` is the identifier of a C-FIND, C-GET or C-MOVE, or what comes with a DIMSE-N request; None where
    there is none.
    """

    request: AnyRequest = field(repr=False)
    attributes: Attributes | None = field(default=None, repr=False)
    created: str | None = None
    """The UID made for the instance of an N-CREATE that leaves the choice to the provider.  # PS3.7 10.1.5.1.2"""

    @property
    def session(self) -> blocking.Session | awaiting.Session:
        """The association it came on."""
        return self.request.session

    @property
    def command(self) -> dimse.AnyRequest:
        """Its command set."""
        return self.request.command

    @property
    def calling_aet(self) -> str:
        """The AE title of who asks, as it says."""
        return self.request.session.calling_aet

    @property
    def called_aet(self) -> str:
        """The AE title that was called."""
        return self.request.session.called_aet

    @property
    def sop_class_uid(self) -> str:
        """The SOP class it is about."""
        return self.request.sop_class_uid

    @property
    def sop_instance_uid(self) -> str | None:
        """The SOP instance it is about, as the peer sent it: not for use in a path. None where it names none."""
        return self.created or self.request.sop_instance_uid

    @property
    def transfer_syntax(self) -> str:
        """What its data set is encoded in, if it has one."""
        return self.request.transfer_syntax

    @property
    def cancelled(self) -> bool:
        """Whether a C-CANCEL for it has come, as far as is known now."""
        return self.request.cancelled

    @property
    def dataset(self) -> Dataset:
        """Its data set, decoded now; empty where it has none. Raises `DataSetError`."""
        from pydicom.dataset import Dataset

        return Dataset() if self.attributes is None else self.attributes.dataset

    @property
    def destination(self) -> str:
        """Of a C-MOVE: the AE title to send to. Raises TypeError for what has none."""
        command = self.command
        if isinstance(command, dimse.CMoveRequest):
            return command.move_destination
        raise TypeError(f"{command.NAME} has no destination")

    @property
    def type_id(self) -> int:
        """The type of action or event. Raises TypeError for what has none."""
        command = self.command
        if isinstance(command, dimse.NActionRequest):
            return command.action_type_id
        if isinstance(command, dimse.NEventReportRequest):
            return command.event_type_id
        raise TypeError(f"{command.NAME} has no type")

    @property
    def tags(self) -> tuple[int, ...] | None:
        """Of an N-GET: the tags that are asked for, None for all. Raises TypeError for what has none."""
        command = self.command
        if isinstance(command, dimse.NGetRequest):
            return command.attribute_identifier_list
        raise TypeError(f"{command.NAME} has no tags")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoreAsked(Asked):
    """A C-STORE with its data set, whole, in `transfer_syntax`."""

    data: bytes | bytearray = field(repr=False)

    @property
    def file(self) -> bytes:
        """It as the bytes of a file.  # PS3.10 7.1"""
        return self._header + self.data

    @property
    def _header(self) -> bytes:
        return file_header(self.sop_class_uid, self.sop_instance_uid or "", self.transfer_syntax, self.calling_aet)

    @property
    def dataset(self) -> Dataset:
        """It as pydicom has what it reads from a file, within the limits of the association (`decode_object`). Raises
        `DataSetError`."""
        from io import BytesIO

        from pydicom import dcmread

        from dicos_proto.data.conversion import QuietFile

        made = decode_object(self.data, self.transfer_syntax, self.session.association.terms.limits)
        header = BytesIO(self._header)
        found = QuietFile(header, made, bytes(128), dcmread(header).file_meta)
        implicit, little = made.original_encoding
        found.set_original_encoding(implicit, little, made.original_character_set)
        return found

    def save(self, folder: Path, *, overwrite: bool = False, fsync: bool = False) -> Path:
        """Make a file of it in `folder`, named by its UID, complete under that name or not at all. Raises OSError.

        `fsync` waits until the disk has it: use it for everything that is the only copy, because the peer may delete
        its own once the answer is success. Call `part10.remove_stale_parts(folder)` before you serve: it removes what
        a process that was killed has left there.
        """
        with Part10Writer.create(
            folder,
            sop_class_uid=self.sop_class_uid,
            sop_instance_uid=self.sop_instance_uid or "",
            transfer_syntax=self.transfer_syntax,
            source_aet=self.calling_aet,
        ) as writer:
            writer.write(self.data)
            return writer.commit(overwrite=overwrite, fsync=fsync)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CommitAsked(Asked):
    """A request of storage commitment. `commitment`: its value, whose `report` makes the answer.  # PS3.4 J.3.2"""

    commitment: CommitmentRequest

    @property
    def references(self) -> tuple[Reference, ...]:
        """The objects that are to be committed, each once."""
        return self.commitment.references


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer of which the status does not say all: at most 64 characters for people, a data set where one may be."""

    status: int = status.SUCCESS
    comment: str | None = None
    given: Content | None = field(default=None, repr=False)


# -- the conversations -------------------------------------------------------------------------------------------------


class Left(AssociationReleased):
    """The peer has released the association between two requests, and what was to be done without it is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A function, and whether it reads the data set of a C-STORE itself, or answers for storage commitment, whose
    reports may have to go on associations of their own."""

    function: Callable[..., object]
    stream: bool = False
    check: bool = True
    commits: bool = False
    apart: bool = False

    @property
    def name(self) -> str:
        return getattr(self.function, "__qualname__", None) or type(self.function).__name__


async def answer(
    talk: Talk, request: AnyRequest, registered: Registered | None, destinations: Mapping[str, Address]
) -> None:
    """Have the request answered by this function; without one, a C-ECHO by success, all else by 0x0211.

    Raises `AssociationError`, `Left` where that is no fault; `Refused` where the association is within a message, and
    nothing can be answered.
    """
    if registered is None:
        echo = isinstance(request.command, dimse.CEchoRequest)
        await talk.run(request.answer(status.SUCCESS if echo else status.UNRECOGNIZED_OPERATION, None, None))
        return
    session = request.session
    try:
        await _performed(talk, request, registered, destinations)
    except Exception as error:  # out of a registered function: its request is answered, the association goes on
        if isinstance(error, ServerStopping) or (isinstance(error, AssociationError) and not session.established):
            raise  # its own association is over; that of another one, which a function has made, is no reason
        if isinstance(error, Refused):
            refused = error
        else:
            _tell(request, registered, error)
            stored = isinstance(error, DataSetError) and isinstance(request.command, dimse.CStoreRequest)
            code = status.CANNOT_UNDERSTAND if stored else status.PROCESSING_FAILURE
            refused = Refused(code, _said(error))
        try:
            if session.exchange.sending or session.association.operations.outstanding or not session.established:
                # An answer could not be told from the rest of a message, or from those that are waited for.
                raise Refused(refused.code, f"within a message: {refused.comment}") from None
            await _refuse(talk, request, refused)
        finally:
            del refused  # its traceback has this frame


async def _refuse(talk: Talk, request: AnyRequest, refused: Refused) -> None:
    request.session.holding.let_go()
    if not request.answered:
        response = Serving(request.session.exchange, request.start).refusal(refused)
        await talk.run(request.performing.answer(response))


def _tell(request: AnyRequest, registered: Registered, error: Exception) -> None:
    at = _place(registered.function, error)
    text = f"{request.name} {request.command.message_id}: {registered.name} failed: {_said(error)} ({at})"
    LOG.error("%s: %s", request.session.peer, text, extra={"event": "failed", "peer": request.session.peer})
    LOG.debug("the whole of it", exc_info=error)


def _place(function: Callable[..., object], error: Exception) -> str:
    """Where it went wrong; for an answer that is none, where its function is."""
    frames = extract_tb(error.__traceback__)
    code = getattr(function, "__code__", None)
    if isinstance(error, WrongAnswer) and code is not None:
        return f"{Path(code.co_filename).name}:{code.co_firstlineno}"
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"


def _said(error: Exception) -> str:
    """What may be told of an error: the texts of this package hold no values, those of others may."""
    return printable(str(error)[:TOLD]) if isinstance(error, ProtocolError) else type(error).__name__


async def _performed(
    talk: Talk, request: AnyRequest, registered: Registered, destinations: Mapping[str, Address]
) -> None:
    """The whole of one request."""
    function = registered.function
    match request:
        case blocking.StoreRequest() | awaiting.StoreRequest():
            await _store(talk, request, registered)
        case blocking.EchoRequest() | awaiting.EchoRequest():
            reply = _status(await talk.call(function, Asked(request=request)), "echo")
            await talk.run(request.answer(reply.status, reply.comment, None))
        case blocking.FindRequest() | awaiting.FindRequest():
            await _find(talk, request.performing, function, await _asked(talk, request))
        case blocking.GetRequest() | awaiting.GetRequest():
            await _get(talk, request.performing, function, await _asked(talk, request))
        case blocking.MoveRequest() | awaiting.MoveRequest():
            await _move(talk, request.performing, function, await _asked(talk, request), destinations)
        case _ if registered.commits:
            await _commit(talk, request, registered, destinations)
        case _:
            await _normalized(talk, request, function)


async def _asked(talk: Talk, request: AnyRequest, created: str | None = None) -> Asked:
    try:
        attributes = await talk.run(request.performing.receive())
    except DataSetTooLong as error:
        normalized = isinstance(request.command, dimse.NRequest)
        code = status.RESOURCE_LIMITATION if normalized else status.OUT_OF_RESOURCES
        raise Refused(code, str(error)) from error
    return Asked(request=request, attributes=attributes, created=created)


async def _store(talk: Talk, request: blocking.StoreRequest | awaiting.StoreRequest, registered: Registered) -> None:
    if request.sop_class_uid != request.context.abstract_syntax:
        raise Refused(status.SOP_CLASS_NOT_SUPPORTED, "not the SOP class of the presentation context")
    given: object = request
    if registered.check:
        request.check()
    if not registered.stream:
        try:
            given = StoreAsked(request=request, data=await talk.run(request.whole()))
        except ValueError as error:
            peer, number = request.session.peer, request.command.message_id
            hint = "on_store_stream takes objects of any size"
            LOG.warning("%s: C-STORE-RQ %d: %s; %s", peer, number, error, hint, extra={"event": "refused"})
            raise Refused(status.OUT_OF_RESOURCES, str(error)) from None
        except Refused as refused:
            LOG.warning("%s: %s %s: %s", request.session.peer, request.name, request.command.message_id, refused)
            raise
    reply = _status(await talk.call(registered.function, given), "store")
    if not request.answered:
        await talk.run(request.answer(reply.status, reply.comment, None))


def _status(found: object, what: str, *, or_else: str = "") -> Reply:
    """What a function gave that is to give a status, or what `or_else` says."""
    match found:
        case None:
            return Reply()
        case bool():
            pass
        case int() if 0 <= found <= 0xFFFF and status.category(found) is not Category.PENDING:
            return Reply(status=found)
        case int():
            raise WrongAnswer(f"{what} gave {found}; a final status, 0 to 0xFFFF")
        case Reply(given=None):
            return found
        case Reply():
            raise WrongAnswer(f"{what} gave a Reply with a data set; its response has none")
    raise WrongAnswer(f"{what} gave {kind_of(found)}; {or_else}a status (an int), None for success, or a Reply")


async def _find(talk: Talk, finding: Finding, function: Callable[..., object], asked: Asked) -> None:
    found = await talk.call(function, asked)
    if found is None or _is_content(found):
        raise WrongAnswer(f"find gave {kind_of(found)}; it yields identifiers, or returns a list of them")
    async with aclosing(talk.each(found)) as identifiers:
        async for identifier in identifiers:
            if not _is_content(identifier):
                raise WrongAnswer(f"find yielded {kind_of(identifier)}; an identifier: a pydicom data set, or bytes")
            if not await talk.run(finding.match(identifier)):
                break
    await talk.run(finding.end())


async def _get(talk: Talk, getting: Getting, function: Callable[..., object], asked: Asked) -> None:
    total, instances = await _counted(talk, await talk.call(function, asked), "get")
    accepted = taken(asked.session.contexts.values())
    await talk.run(getting.send_all((instance(one, accepted) for one in instances), total))


async def _move(
    talk: Talk, moving: Moving, function: Callable[..., object], asked: Asked, destinations: Mapping[str, Address]
) -> None:
    where = destinations.get(moving.destination)
    if where is None:
        raise Refused(status.MOVE_DESTINATION_UNKNOWN, "no such destination here")
    _, found = await _counted(talk, await talk.call(function, asked), "move")
    offers = [offer(one) for one in found]  # all, because what to propose depends on all
    if not offers:
        moving.begin(0)
        await talk.run(moving.end())
        return
    objects = ((one.sop_class_uid, one.transfer_syntax) for one in offers)
    planned = planning.plan(objects, fallbacks=FALLBACKS, associations=1)
    if not planned.contexts:
        raise Refused(status.OUT_OF_RESOURCES_SUBOPERATIONS, "no presentation context can be proposed")
    task = moving.task(planned.contexts)
    try:
        async with talk.connected(where, task.request) as other:
            moving.begin(len(offers))
            accepted = taken(other.session.contexts.values())
            instances = (one.instance(accepted) for one in offers)
            stores = StoreMany(other.session.exchange, instances, originator=task.originator)
            while (outcome := await other.run(stores.next())) is not None:
                if not await talk.run(moving.record(outcome)):
                    stores.stop()
            await talk.run(moving.end())
    except AssociationError as error:
        if not asked.session.established:
            raise
        LOG.warning("%s: C-MOVE to %a: %s", asked.session.peer, moving.destination, error)
        if moving.answered:  # all that it was for is done
            return
        raise Refused(status.OUT_OF_RESOURCES_SUBOPERATIONS, _of_destination(error)) from error


def _of_destination(error: AssociationError) -> str:
    """Why nothing can be sent there, in so few words that an Error Comment holds them; the log has all."""
    text = str(error)
    if isinstance(error, AssociationRejected):
        return f"destination rejects: {text.rpartition(': ')[2]}"
    if isinstance(error, ConnectionFailed):
        return f"destination: no connection: {text.partition(': ')[2] or text}"
    return f"destination: {text}"


async def _counted(talk: Talk, found: object, what: str) -> tuple[int, Iterable[object]]:
    """How many instances there are, and these: of a list, or of a generator that gives their number first."""
    wanted = "it returns a list of instances, or yields their number and then each"
    if found is None or _is_content(found):
        raise WrongAnswer(f"{what} gave {kind_of(found)}; {wanted}")
    if isinstance(found, Sequence):
        return len(found), found
    rest: Iterator[object]
    if talk.is_at_hand(found):
        rest = iter(found)
    else:
        async with aclosing(talk.each(found)) as each:
            rest = iter([one async for one in each])
    total = next(rest, None)
    if isinstance(total, bool) or not isinstance(total, int) or total < 0:
        raise WrongAnswer(f"{what} yielded {kind_of(total) if total is not None else 'nothing'} first; {wanted}")
    return total, rest


async def _normalized(talk: Talk, request: AnyRequest, function: Callable[..., object]) -> None:
    created = None
    if isinstance(request.command, dimse.NCreateRequest) and request.sop_instance_uid is None:
        created = f"2.25.{uuid4().int}"  # PS3.5 B.2
    found = await talk.call(function, await _asked(talk, request, created))
    if _is_content(found):
        found = Reply(given=found)
    reply = found if isinstance(found, Reply) else _status(found, request.name, or_else="a data set, ")
    response = dimse.response_to(request.command, reply.status, reply.comment)
    if created is not None and isinstance(response, dimse.NCreateResponse):
        response = replace(response, affected_sop_instance_uid=created)
    await talk.run(request.performing.answer(response, reply.given))


async def _commit(talk: Talk, request: AnyRequest, registered: Registered, destinations: Mapping[str, Address]) -> None:
    """A request of storage commitment is answered when it is received, and gets its report whatever becomes of it."""
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
        LOG.error("%s: no address of %a to bring a report of storage commitment to", session.peer, task.destination)
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
    """Whether the peer has left already, which is raised: many do once they are answered."""
    yield Need.TURN
    yield from exchange.look()


async def _report(talk: Talk, registered: Registered, asked: CommitAsked) -> CommitmentReport:
    """What the function says of the references. Where it fails none is committed: the peer is to keep them all."""
    commitment = asked.commitment
    try:
        found = await talk.call(registered.function, asked)
        if isinstance(found, CommitmentReport):
            told = (*found.committed, *(one.reference for one in found.failed))
            if found.transaction_uid != commitment.transaction_uid or sorted(told) != sorted(commitment.references):
                raise WrongAnswer(
                    "commit gave the report of another request; CommitAsked.commitment.report makes its own"
                )
            return found
        if found is None:
            return commitment.report()
        failed: list[Failure] = []
        async with aclosing(talk.each(found)) as each:
            async for one in each:
                if not isinstance(one, Failure):
                    raise WrongAnswer(f"commit gave {kind_of(one)} among the failures; each is a Failure")
                failed.append(one)
        return commitment.report(failed)
    except Exception as error:  # out of a registered function
        if isinstance(error, ServerStopping):
            raise
        if not isinstance(error, Refused):
            _tell(asked.request, registered, error)
        code = error.code if isinstance(error, Refused) else status.PROCESSING_FAILURE
        return commitment.report(Failure(one, code) for one in commitment.references)


async def _reported(talk: Talk, task: ReportTask) -> bool:
    """Bring the report; whether the peer has taken it."""
    response = await talk.run(report_commitment(talk.session.exchange, task.report))
    taken = status.category(response.status) in (Category.SUCCESS, Category.WARNING)
    if not taken:
        words = status.describe(response.status, Service.STORAGE_COMMITMENT)
        LOG.warning(
            "%s: %a does not take a report of storage commitment: %s", talk.session.peer, task.destination, words
        )
    return taken


def _is_content(found: object) -> TypeGuard[Content]:
    from pydicom.dataset import Dataset

    return isinstance(found, bytes | bytearray | memoryview | Attributes | Dataset)
