"""Targets for two engines with faults between them: users of every service and a provider, plain and over TLS.

Knows: fault plans as tapes, and what must hold whatever the network does. Must not know: sockets, how faults are
carried out.

Nothing here is hostile: both sides are our own, and only the network between them fails.
"""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any, Final

from dicos_proto.association import Association
from dicos_proto.conversation.flows import AssociationError, ContextNotAccepted
from dicos_proto.conversation.reading import DataSetTooLong
from dicos_proto.data.elements import DataSetError
from dicos_proto.dimse.events import Event, MessageStart
from dicos_proto.dimse.types import CStoreResponse
from dicos_proto.errors import LocalProtocolError
from dicos_proto.registry.status import category
from dicos_proto.registry.status_tables import Category
from dicos_proto.services.serving import Refused
from dicos_proto.wire import Wire

from ...faults import FaultPlan, FaultyWire, plan_of_tape, random_plan, tape_of_plan
from ...faults.effects import Short, Split
from ...faults.memory import Side, converse
from ..cases import CASES, LIMITS, Case
from ..certificates import HOST, available, configurations
from ..oracles import check_sent, reassembled
from ..provider import Provider
from ..recorder import Recorder
from ..tape import Tape
from ..target import Bounds, OracleFailure, Target, Watch, check, words

__all__ = ["TARGETS"]

_HARMLESS: Final = (Split, Short)
"""Effects that change only in which pieces bytes arrive: everything has to succeed."""
_STEPS: Final = 300_000


def _plans(tape: Tape) -> tuple[Case, FaultPlan, FaultPlan]:
    """A case, and the faults at the user's and at the provider's end."""
    case = tape.pick(CASES)
    size = tape.byte()
    return case, plan_of_tape(tape.take(size)), plan_of_tape(tape.rest())


def _is_harmless(*plans: FaultPlan) -> bool:
    return all(isinstance(fault.effect, _HARMLESS) for plan in plans for fault in plan.faults)


def _check_end(side: Side, watch: Watch, *, harmless: bool) -> None:
    error = side.error
    watch((side.association.terms.role, type(error).__name__ if error is not None else "done"))
    if error is None:
        return
    text = str(error)
    watch(words(text))
    check(text.isprintable(), f"a text that cannot be printed: {text!a}")
    check(not harmless, f"pieces alone ended it: {text}")
    if isinstance(error, LocalProtocolError):
        over = side.association.state.name
        check("over" in text or "Sta" in text, f"the flow itself did what is not allowed in {over}: {text}")
    elif not isinstance(error, AssociationError | ContextNotAccepted | DataSetError | DataSetTooLong | Refused):
        raise OracleFailure(f"an error that no flow documents: {error!r}")


# -- plain -------------------------------------------------------------------------------------------------------


def _plain(data: bytes, watch: Watch) -> None:
    case, for_user, for_provider = _plans(Tape(data))
    user, acceptor = Association.requestor(case.request, limits=LIMITS), Association.acceptor()
    provider = Provider()
    one, other = Recorder(user), Recorder(acceptor)
    sides = (
        Side(user, case.run(user), wire=FaultyWire(one, for_user)),
        Side(acceptor, provider.serve(acceptor), wire=FaultyWire(other, for_provider)),
    )
    watch(case.name)
    converse(*sides, steps=_STEPS)
    harmless = _is_harmless(for_user, for_provider)
    for side, wire in zip(sides, (one, other), strict=True):
        _check_end(side, watch, harmless=harmless)
        agreement = side.association.terms.agreement
        check_sent(bytes(wire.sent), max_length=agreement.peer_max_length if agreement else 0)
    if harmless:
        check(sides[0].result == _result(case), f"pieces alone changed {sides[0].result!r:.300}")
    if provider.stored:
        arrived = [message.data for message in reassembled(bytes(other.received))]
        for _, _, stored in provider.stored:
            check(stored in arrived, f"{len(stored)} bytes stored that did not arrive")


@cache
def _result(case: Case) -> object:
    """The result of the user without a fault."""
    return _quiet(case)[0]


def _quiet(case: Case) -> tuple[object, Provider]:
    user, acceptor = Association.requestor(case.request, limits=LIMITS), Association.acceptor()
    provider = Provider()
    side = Side(user, case.run(user))
    converse(side, Side(acceptor, provider.serve(acceptor)))
    return side.result, provider


# -- over TLS ----------------------------------------------------------------------------------------------------

_STORING: Final = [one for one in CASES if one.name in ("store", "store many")]
_GOOD: Final = (Category.SUCCESS, Category.WARNING)


class _User(Association):
    """A user that keeps the message ids of the C-STOREs for which it received success.

    TLS accepts no forged byte, so each of them is an object that the provider stored, however the association
    ends. Message ids count from 1, in the order of the objects.
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.successes: list[int] = []

    def next_event(self) -> Event | None:
        """Parses one event."""
        event = super().next_event()
        response = event.command if isinstance(event, MessageStart) else None
        if isinstance(response, CStoreResponse) and category(response.status) in _GOOD:
            self.successes.append(response.message_id_being_responded_to)
        return event


def _claimed(result: object) -> int:
    """The number of objects that a user takes for stored, by the result of its flow; 0 without one."""
    if isinstance(result, list):
        return sum(result)
    return int(isinstance(result, CStoreResponse) and category(result.status) in _GOOD)


def _tls(data: bytes, watch: Watch) -> None:
    """OpenSSL draws random numbers, so the records of two runs differ: a plan strikes at the same places."""
    from dicos_transports.tls.layer import TLSLayer

    tape = Tape(data)
    case = tape.pick(_STORING)
    size = tape.byte()
    for_user, for_provider = plan_of_tape(tape.take(size)), plan_of_tape(tape.rest())
    client, server = configurations()
    user, acceptor = _User.requestor(case.request, limits=LIMITS), Association.acceptor()
    layers: list[Wire] = [TLSLayer(user, client, server_hostname=HOST), TLSLayer(acceptor, server)]
    provider = Provider()
    sides = (
        Side(user, case.run(user), wire=FaultyWire(layers[0], for_user)),
        Side(acceptor, provider.serve(acceptor), wire=FaultyWire(layers[1], for_provider)),
    )
    converse(*sides, steps=_STEPS)
    for side in sides:
        _check_end(side, watch, harmless=_is_harmless(for_user, for_provider))
    sent = [one for _, _, one in _stored(case)]
    kept = [one for _, _, one in provider.stored]
    for stored in kept:
        check(stored in sent, f"{len(stored)} bytes stored, which were not sent")
    for number in user.successes:
        check(sent[number - 1] in kept, f"success for message {number}, whose object the provider has not stored")
    claimed = _claimed(sides[0].result)
    check(claimed <= len(user.successes), f"{claimed} objects reported as stored; {len(user.successes)} responses do")
    for layer in layers:
        watch(words(str(getattr(layer, "error", "")).partition(": ")[2]))


@cache
def _stored(case: Case) -> tuple[tuple[str, str, bytes], ...]:
    """The objects that a case stores without a fault."""
    return tuple(_quiet(case)[1].stored)


# -- tapes -------------------------------------------------------------------------------------------------------


def _made(random: Random) -> bytes:
    """One or two plans, now and then a harmless one."""
    harmless = random.random() < 0.15
    first, second = b"", b""
    if random.random() < 0.7:
        first = tape_of_plan(random_plan(random, harmless=harmless))[:255]
    if not first or random.random() < 0.4:
        second = tape_of_plan(random_plan(random, harmless=harmless))
    return bytes((random.randrange(len(CASES)), len(first))) + first + second


def _tapes() -> list[bytes]:
    random = Random(1)
    return [*(bytes((number, 0)) for number in range(len(CASES))), *(_made(random) for _ in range(100))]


_BOUNDS: Final = Bounds(memory=16 << 20, memory_a_byte=4096, time=4_000_000, time_a_byte=20_000)

TARGETS: Final = (
    Target(
        name="pair",
        about="a user of each service and a provider, with faults between them",
        body=_plain,
        seeds=_tapes,
        made=_made,
        bounds=_BOUNDS,
        share=2,
        longest=512,
    ),
    *(
        (
            Target(
                name="pair-tls",
                about="a user that stores and a provider over TLS, with faults in the records between them",
                body=_tls,
                seeds=_tapes,
                made=_made,
                bounds=_BOUNDS,
                longest=512,
            ),
        )
        if available()
        else ()
    ),
)
