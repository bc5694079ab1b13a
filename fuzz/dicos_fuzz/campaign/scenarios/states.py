"""Every PDU type in every state of table 9-10 that a peer can be brought into, in both roles [fault kind F7].

Knows: the table (the engine's `machine`), how to bring a peer into each state. Must not know: contents of messages.

The expectation is read off the table when the run is over (`expecting`): an action that aborts is a refusal, one that
closes is awaited, the rest goes on. As an acceptor, a peer is in Sta3 and Sta8 only as long as its user takes: a PDU
in one write with the one before may meet it there or in the next state, and both are allowed then.

| role | state | brought about by |
|---|---|---|
| acceptor | Sta2 | a connection |
| acceptor | Sta3 or Sta6 | an A-ASSOCIATE-RQ in the same write |
| acceptor | Sta6 | an association |
| acceptor | Sta8 or Sta13 | an A-RELEASE-RQ in the same write |
| acceptor | Sta13 | its A-RELEASE-RP, its A-ABORT, its A-ASSOCIATE-RJ |
| requestor | Sta5 | its A-ASSOCIATE-RQ |
| requestor | Sta6 | an association, in which it waits for a response |
| requestor | Sta7 | its A-RELEASE-RQ |
| requestor | Sta9 or Sta11 | an A-RELEASE-RQ in answer to its own: a collision |
| requestor | Sta13 | its A-ABORT |
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from dicos_proto.registry import uids
from dicos_proto.upper_layer.machine import Action, Evt, Role, State, step
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import AssociateRequest

from ...conversation import Answer, Await, Conversation, Open, Send, Side, Step
from ...grammar.building import request
from ..knowledge import Learned
from ..responding import acceptance, decoded
from .family import Family
from .scripts import ABORT, ANY, CLOSE, PROVIDER_ABORT, RELEASE, RELEASE_RP, Talk, pdu, reject, script

__all__ = ["FAMILIES"]

_CLOSED: Final = Await(kinds=(99,))
"""Waits for the end of the connection."""


@dataclass(frozen=True, slots=True)
class _Place:
    """States that a peer is in one after the other, soon; the steps that bring it there; bytes that are sent in front
    of the PDU in the same write."""

    name: str
    states: tuple[State, ...]
    before: tuple[Step, ...]
    front: bytes = b""


def _accept(learned: Learned) -> bytes:
    """An A-ASSOCIATE-AC as an answer to the request of this side."""
    asked = decoded(Talk.of(learned).rq)
    return encode(acceptance(asked)) if isinstance(asked, AssociateRequest) else b""


def _inputs(learned: Learned) -> list[tuple[str, Evt, bytes]]:
    """Each PDU type, with good contents where that is possible, and invalid PDUs."""
    talk = Talk.of(learned)
    return [
        ("A-ASSOCIATE-RQ", Evt.Evt6, talk.rq),
        ("A-ASSOCIATE-AC", Evt.Evt3, _accept(learned)),
        ("A-ASSOCIATE-RJ", Evt.Evt4, reject()),
        ("P-DATA-TF", Evt.Evt10, talk.ask()),
        ("A-RELEASE-RQ", Evt.Evt12, RELEASE),
        ("A-RELEASE-RP", Evt.Evt13, RELEASE_RP),
        ("A-ABORT of the user", Evt.Evt16, ABORT),
        ("A-ABORT of the provider", Evt.Evt16, PROVIDER_ABORT),
        ("PDU type 00", Evt.Evt19, pdu(0, bytes(4))),
        ("PDU type 08", Evt.Evt19, pdu(8, bytes(4))),
        ("PDU type FF", Evt.Evt19, pdu(0xFF, bytes(4))),
        ("A-RELEASE-RQ of 6 bytes", Evt.Evt19, pdu(5, bytes(6))),
        ("P-DATA-TF without PDV", Evt.Evt19, pdu(4)),
        ("A-ASSOCIATE-RQ of 10 bytes", Evt.Evt19, pdu(1, bytes(10))),
    ]


_REFUSALS: Final = frozenset({Action.AA_1, Action.AA_8})
_ENDS: Final = frozenset({Action.AA_2, Action.AA_3, Action.AR_3, Action.AE_4})


def _tail(states: tuple[State, ...], event: Evt, role: Role) -> tuple[Step, ...]:
    """The steps that show the reaction that the table asks for."""
    actions = {cell[0] for state in states if (cell := step(state, event, role)) is not None}
    if actions <= _ENDS:
        return (_CLOSED, CLOSE)
    return (Await(kinds=(3, 7)), CLOSE) if actions <= _REFUSALS or State.Sta13 in states else (ANY, CLOSE)


def _conversations(
    family: str, learned: Learned, places: list[_Place], role: Role, side: Side
) -> Iterator[Conversation]:
    for place in places:
        for name, event, data in _inputs(learned):
            yield script(
                f"{family}/{place.name}, {name}",
                f"{name} in {' or '.join(state.name for state in place.states)}",
                f"PS3.8 table 9-10, {event.name}",
                "table",
                place.before,
                Send(message=place.front + data),
                _tail(place.states, event, role),
                side=side,
            )


# -- the peer is called ------------------------------------------------------------------------------------------


def _called(learned: Learned) -> list[_Place]:
    talk = Talk.of(learned)
    begin = talk.begin()
    unknown = request(replace(talk.offer, contexts=((uids.VERIFICATION, ("1.2.3.4.5.6.7",)),)))
    rejected = bytearray(talk.rq)
    rejected[6:8] = b"\0\2"  # a protocol version without bit 0
    s = State
    found = [
        _Place("awaiting a request", (s.Sta2,), (Open(),)),
        _Place("established", (s.Sta6,), begin),
        _Place("answering a request", (s.Sta3, s.Sta6), (Open(),), talk.rq),
        _Place("established, nothing accepted", (s.Sta6,), talk.begin(rq=unknown)),
        _Place("answering a release", (s.Sta8, s.Sta13), begin, RELEASE),
        _Place("released", (s.Sta13,), (*begin, Send(message=RELEASE), Await(kinds=(6, 7)))),
        _Place("rejected", (s.Sta13,), (Open(), Send(message=bytes(rejected)), Await(kinds=(2, 3, 7)))),
        _Place("aborted", (s.Sta13,), (Open(), Send(message=RELEASE_RP), Await(kinds=(7,)))),
    ]
    return found


def _systematic(learned: Learned) -> Iterator[Conversation]:
    yield from _conversations("states", learned, _called(learned), Role.ACCEPTOR, Side.USER)


def _random(learned: Learned, random: Random) -> Conversation:
    """A few PDUs of any type, one after the other or at once."""
    talk = Talk.of(learned)
    inputs = _inputs(learned)
    chosen = [random.choice(inputs) for _ in range(random.randrange(2, 6))]
    name = ", ".join(name for name, _, _ in chosen)
    start: tuple[Step, ...] = talk.begin() if random.random() < 0.7 else (Open(),)
    if random.random() < 0.5:
        steps: tuple[Step, ...] = (Send(message=b"".join(data for _, _, data in chosen)),)
    else:
        steps = tuple(Send(message=data) for _, _, data in chosen)
    about = f"PDUs in an order of their own: {name}"
    return script(
        f"states/random order: {name}", about, "PS3.8 table 9-10", "any", start, steps, Await(kinds=(3, 7)), CLOSE
    )


# -- the peer calls ----------------------------------------------------------------------------------------------


def _calling(learned: Learned) -> list[_Place]:
    s = State
    accepted = (Open(), Await(kinds=(1,)), Answer())
    released = (*accepted, Await(kinds=(4, 5)), Answer(), Await(kinds=(5,)))
    return [
        _Place("awaiting the answer", (s.Sta5,), (Open(), Await(kinds=(1,)))),
        _Place("awaiting a response", (s.Sta6,), (*accepted, Await(kinds=(4,)))),
        _Place("awaiting a release", (s.Sta7,), released),
        _Place("collision", (s.Sta9, s.Sta11), released, RELEASE),
        _Place("collision, answered", (s.Sta11,), (*released, Send(message=RELEASE), Await(kinds=(6,)))),
        _Place("aborted", (s.Sta13,), (Open(), Await(kinds=(1,)), Send(message=RELEASE_RP), Await(kinds=(7,)))),
    ]


def _systematic_calls(learned: Learned) -> Iterator[Conversation]:
    places = _calling(learned)
    yield from _conversations("calling-states", learned, places, Role.REQUESTOR, Side.PROVIDER)


def _random_calls(learned: Learned, random: Random) -> Conversation:
    place = random.choice(_calling(learned))
    chosen = [random.choice(_inputs(learned)) for _ in range(random.randrange(2, 5))]
    name = ", ".join(name for name, _, _ in chosen)
    steps = Send(message=place.front + b"".join(data for _, _, data in chosen))
    about = f"{place.name}: {name}"
    return script(
        f"calling-states/random order: {about}", about, "PS3.8 table 9-10", "any",
        place.before, steps, Await(kinds=(3, 7)), CLOSE, side=Side.PROVIDER,
    )  # fmt: skip


FAMILIES: Final = (
    Family(
        name="states",
        about="every PDU type in every state of a peer that is called",
        systematic=_systematic,
        random=_random,
    ),
    Family(
        name="calling-states",
        about="every PDU type in every state of a peer that calls, release collisions among them",
        systematic=_systematic_calls,
        random=_random_calls,
        side=Side.PROVIDER,
    ),
)
