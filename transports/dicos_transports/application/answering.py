"""Answers a request by calling a function, for every adapter, with plain and with async functions.

Theory of operation: the answer to one request is a coroutine. It awaits a `Responder`, which runs a flow, calls a
function, or takes the next value that the function gives (`talking`).

A function that fails costs the association nothing: the failure is logged and answered, 0x0110 (`faults`).

Knows: requests, functions, answers. Must not know: how a function is called and awaited (`talking`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any
from uuid import uuid4

from dicos_proto import dimse
from dicos_proto.arguments import kind_of
from dicos_proto.conversation.exchange import read_end
from dicos_proto.conversation.flows import AssociationError
from dicos_proto.conversation.reading import DataSetTooLong
from dicos_proto.data.datasets import DataSetError
from dicos_proto.registry import status
from dicos_proto.registry.status_tables import Category
from dicos_proto.services.query import Finding
from dicos_proto.services.serving import NormalizedOperation, Refused
from dicos_proto.upper_layer.machine import State

from .. import blocking
from ..addresses import Address
from ..sessions import session as awaiting
from ..sessions.channel import ServerStopping
from ..sessions.received import answer_to, whole_of
from .asked import Asked, Registered, Reply, SessionRequest, StoreAsked, WrongAnswer, is_content
from .committing import answer_commitment
from .faults import LOG, log_failure, text_of
from .retrieving import answer_get, answer_move
from .talking import Responder

__all__ = ["answer"]

_COMPOSITE = (dimse.CStoreRequest, dimse.CFindRequest, dimse.CGetRequest, dimse.CMoveRequest)
"""Requests whose SOP class is that of their presentation context; a DIMSE-N request may come on that of a meta SOP
class [PS3.7 9.1]."""


async def answer(
    talk: Responder, request: SessionRequest, registered: Registered | None, destinations: Mapping[str, Address]
) -> None:
    """Answers the request with this function. Without one, a C-ECHO gets success and any other request gets 0x0211.

    Raises `AssociationError`, or its subclass `Left` if the association ended without a fault; `Refused` if it ended
    within a message, so that no answer can be sent.
    """
    if registered is None:
        echo = isinstance(request.command, dimse.CEchoRequest)
        await talk.run(answer_to(_awaited(request), status.SUCCESS if echo else status.UNRECOGNIZED_OPERATION))
        return
    session = request.session
    try:
        await _performed(talk, request, registered, destinations)
    except Exception as error:  # from a registered function: its request is answered, the association goes on
        if isinstance(error, ServerStopping) or (isinstance(error, AssociationError) and not session.established):
            raise  # its own association is over, not another one that the function has made
        if isinstance(error, Refused):
            refused = error
        else:
            log_failure(request, registered, error)
            stored = isinstance(error, DataSetError) and isinstance(request.command, dimse.CStoreRequest)
            code = status.CANNOT_UNDERSTAND if stored else status.PROCESSING_FAILURE
            refused = Refused(code, text_of(error))
        try:
            if not (session.established or _awaited(request).session.driver.closed):  # not by this side
                await talk.run(read_end(session.exchange))
            association = session.association
            if session.exchange.sending or association.operations.outstanding or association.state is not State.Sta6:
                # The peer could not tell an answer from the rest of a message, or from the answers it waits for.
                raise Refused(refused.code, f"within a message: {refused.comment}") from None
            await _refuse(talk, request, refused)
        finally:
            del refused  # its traceback has this frame


async def _refuse(talk: Responder, request: SessionRequest, refused: Refused) -> None:
    _awaited(request).session.holding.let_go()
    if not request.answered:
        response = NormalizedOperation(request.session.exchange, request.start).refusal(refused)
        await talk.run(request.performing.answer(response))


async def _performed(
    talk: Responder, request: SessionRequest, registered: Registered, destinations: Mapping[str, Address]
) -> None:
    """Runs the function for the request and sends its answer."""
    function = registered.function
    if isinstance(request.command, _COMPOSITE) and request.sop_class_uid != request.context.abstract_syntax:
        raise Refused(status.SOP_CLASS_NOT_SUPPORTED, "not the SOP class of the presentation context")
    match request:
        case blocking.StoreRequest() | awaiting.StoreRequest():
            await _store(talk, request, registered)
        case blocking.EchoRequest() | awaiting.EchoRequest():
            reply = _status(await talk.call(function, Asked(request=request)), "echo")
            await talk.run(answer_to(_awaited(request), reply.status, reply.comment))
        case blocking.FindRequest() | awaiting.FindRequest():
            await _find(talk, request.performing, function, await _asked(talk, request))
        case blocking.GetRequest() | awaiting.GetRequest():
            await answer_get(talk, request.performing, function, await _asked(talk, request))
        case blocking.MoveRequest() | awaiting.MoveRequest():
            await answer_move(talk, request.performing, function, await _asked(talk, request), destinations)
        case _ if registered.commits:
            await answer_commitment(talk, request, registered, destinations)
        case _:
            await _normalized(talk, request, function)


async def _asked(talk: Responder, request: SessionRequest, created: str | None = None) -> Asked:
    try:
        attributes = await talk.run(request.performing.receive())
    except DataSetTooLong as error:
        normalized = isinstance(request.command, dimse.NRequest)
        code = status.RESOURCE_LIMITATION if normalized else status.OUT_OF_RESOURCES
        raise Refused(code, str(error)) from error
    return Asked(request=request, attributes=attributes, created=created)


async def _store(
    talk: Responder, request: blocking.StoreRequest | awaiting.StoreRequest, registered: Registered
) -> None:
    given: object = request
    if registered.check:
        request.check()
    if not registered.stream:
        try:
            given = StoreAsked(request=request, data=await talk.run(whole_of(_awaited(request))))
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
        await talk.run(answer_to(_awaited(request), reply.status, reply.comment))


def _status(found: object, what: str, *, or_else: str = "") -> Reply:
    """The reply of a function that gives a status, or what `or_else` names. Raises `WrongAnswer`."""
    match found:
        case None:
            return Reply()
        case bool():
            pass
        case int() if 0 <= found <= 0xFFFF and status.category(found) is not Category.PENDING:
            return Reply(status=found)
        case int():
            raise WrongAnswer(f"{what} gave {found}; expected a final status, 0 to 0xFFFF")
        case Reply(given=None):
            return found
        case Reply():
            raise WrongAnswer(f"{what} gave a Reply with a data set; its response has none")
    raise WrongAnswer(
        f"{what} gave {kind_of(found)}; expected {or_else}a status (an int), None for success, or a Reply"
    )


async def _find(talk: Responder, finding: Finding, function: Callable[..., object], asked: Asked) -> None:
    found = await talk.call(function, asked)
    if found is None or is_content(found):
        raise WrongAnswer(f"find gave {kind_of(found)}; expected identifiers: yield them or return a list")
    async with aclosing(talk.each(found)) as identifiers:
        async for identifier in identifiers:
            if not is_content(identifier):
                raise WrongAnswer(f"find yielded {kind_of(identifier)}; expected a pydicom data set or bytes")
            if not await talk.run(finding.match(identifier)):
                break
    await talk.run(finding.end())


async def _normalized(talk: Responder, request: SessionRequest, function: Callable[..., object]) -> None:
    created = None
    if isinstance(request.command, dimse.NCreateRequest) and request.sop_instance_uid is None:
        created = f"2.25.{uuid4().int}"  # PS3.5 B.2
    found = await talk.call(function, await _asked(talk, request, created))
    if is_content(found):
        found = Reply(given=found)
    reply = found if isinstance(found, Reply) else _status(found, request.name, or_else="a data set, ")
    response = dimse.response_to(request.command, reply.status, reply.comment)
    if created is not None and isinstance(response, dimse.NCreateResponse):
        response = replace(response, affected_sop_instance_uid=created)
    await talk.run(request.performing.answer(response, reply.given))


def _awaited(request: SessionRequest) -> awaiting.Request[Any]:
    """The request of `sessions` behind one of `blocking`."""
    return request.awaited if isinstance(request, blocking.Request) else request
