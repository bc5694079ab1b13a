"""C-GET and C-MOVE: the instances that a function gives are sent to the peer, or to a destination.

Knows: instances, sub-operations, destinations. Must not know: which function was registered for what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing

from dicos_proto.arguments import kind_of
from dicos_proto.conversation import planning
from dicos_proto.conversation.flows import AssociationError, AssociationRejected
from dicos_proto.registry import status
from dicos_proto.services.retrieve import Getting, Moving
from dicos_proto.services.serving import Refused
from dicos_proto.services.storage import Instance, StoreMany

from ..addresses import Address
from ..files.instances import FALLBACKS, NOTHING, NotAnInstance, SendableObject, Taken, offer, taken
from ..sessions.base import ConnectionFailed
from .asked import Asked, WrongAnswer, is_content
from .faults import LOG
from .talking import Responder

__all__ = ["answer_get", "answer_move", "instance"]


def instance(given: object, accepted: Taken = NOTHING) -> Instance:
    """Like `files.instance`, for a value that a function gives: raises `WrongAnswer` instead of `NotAnInstance`."""
    return _offer(given).instance(accepted)


def _offer(given: object) -> SendableObject:
    try:
        return offer(given)
    except NotAnInstance as error:
        raise WrongAnswer(str(error)) from None


async def answer_get(talk: Responder, getting: Getting, function: Callable[..., object], asked: Asked) -> None:
    """Answers a C-GET by the instances that the function gives."""
    total, found = await _counted(talk, await talk.call(function, asked), "get")
    accepted = taken(asked.session.contexts.values())
    await talk.run(getting.send_all((_offer(one).instance(accepted, begin=True) for one in found), total))


async def answer_move(
    talk: Responder, moving: Moving, function: Callable[..., object], asked: Asked, destinations: Mapping[str, Address]
) -> None:
    """Answers a C-MOVE: sends the instances that the function gives to the destination, over a new association."""
    where = destinations.get(moving.destination)
    if where is None:
        raise Refused(status.MOVE_DESTINATION_UNKNOWN, "no such destination here")
    _, found = await _counted(talk, await talk.call(function, asked), "move")
    offers = [_offer(one) for one in found]  # all of them, because the proposed contexts depend on all
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
            instances = (one.instance(accepted, begin=True) for one in offers)
            stores = StoreMany(other.session.exchange, instances, originator=task.originator)
            while (outcome := await other.run(stores.next())) is not None:
                if not await talk.run(moving.record(outcome)):
                    stores.stop()
            await talk.run(moving.end())
    except AssociationError as error:
        if not asked.session.established:
            raise
        LOG.warning("%s: C-MOVE to %a: %s", asked.session.peer, moving.destination, error)
        if moving.answered:  # everything has been sent
            return
        raise Refused(status.OUT_OF_RESOURCES_SUBOPERATIONS, _of_destination(error)) from error


def _of_destination(error: AssociationError) -> str:
    """The reason why nothing can be sent to the destination, short enough for an Error Comment; the log has the whole
    text."""
    text = str(error)
    if isinstance(error, AssociationRejected):
        return f"destination rejects: {text.rpartition(': ')[2]}"
    if isinstance(error, ConnectionFailed):
        return f"destination: no connection: {text.partition(': ')[2] or text}"
    return f"destination: {text}"


async def _counted(talk: Responder, found: object, what: str) -> tuple[int, Iterable[object]]:
    """The number of instances and the instances: of a list, or of a generator that yields the number first."""
    wanted = "expected a list of instances, or their number and then each instance"
    if found is None or is_content(found):
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
