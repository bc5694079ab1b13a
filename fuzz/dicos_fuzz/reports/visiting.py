"""The states of table 9-10 that a peer went through in a run, as far as they can be seen from outside.

Knows: the engine's table, PDU types, who says what. Must not know: what is right (`campaign.judging`), reports.

The state of a peer is not seen, it is concluded: from the PDUs that it received and sent, by the table of PS3.8 9.2.
Where the peer says something that the table does not allow in its state, it is taken to be where one may say that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dicos_proto.upper_layer.machine import TABLE, Evt, Role, State, step

from ..conversation import Side, Transcript, What

__all__ = ["MOST_MOVES", "POSSIBLE", "moves"]

MOST_MOVES: Final = 10_000
"""Moves of one run; the rest is left out."""
POSSIBLE: Final = frozenset(
    (state.name, after.name) for (_, state), cell in TABLE.items() for after in (cell.state, cell.otherwise)
)
"""Every transition that table 9-10 has."""

_RECEIVED: Final = {1: Evt.Evt6, 2: Evt.Evt3, 3: Evt.Evt4, 4: Evt.Evt10, 5: Evt.Evt12, 6: Evt.Evt13, 7: Evt.Evt16}
_SAID: Final = {2: Evt.Evt7, 3: Evt.Evt8, 4: Evt.Evt9, 5: Evt.Evt11, 6: Evt.Evt14}
_AFTER: Final = {2: State.Sta6, 3: State.Sta13, 4: State.Sta6, 5: State.Sta7, 6: State.Sta13, 7: State.Sta13}
"""The state in which a peer is after it said something that it may not say in its state."""


def moves(transcript: Transcript, side: Side = Side.USER) -> list[tuple[str, str]]:
    """Returns the transitions of the peer in one run, `("Sta2", "Sta3")`, in order, on all connections. A transition
    from a state to itself counts. `side`: that of this program."""
    found: list[tuple[str, str]] = []
    peers: dict[int, _Peer] = {}
    for entry in transcript.entries:
        if entry.connection < 0:
            continue
        peer = peers.get(entry.connection)
        if peer is None or entry.what is What.OPENED:
            peer = peers[entry.connection] = _Peer(side)
        for before, after in peer.take(entry.what, entry.data):
            if len(found) < MOST_MOVES:
                found.append((before.name, after.name))
    return found


class _Peer:
    """The peer on one connection."""

    def __init__(self, side: Side) -> None:
        self._role = Role.ACCEPTOR if side is Side.USER else Role.REQUESTOR
        self._state = State.Sta1
        self._said = _Types()
        self._heard = _Types()

    def take(self, what: What, data: bytes) -> Iterator[tuple[State, State]]:
        match what:
            case What.OPENED if self._role is Role.ACCEPTOR:
                yield self._to(State.Sta2)
            case What.OPENED:
                yield self._to(State.Sta4)
                yield self._to(State.Sta5)
            case What.SENT:
                for kind in self._heard.of(data):
                    yield self._event(_RECEIVED.get(kind, Evt.Evt19), None)
            case What.RECEIVED:
                for kind in self._said.of(data):
                    if kind != 1:  # a requestor's own request: it has said it in Sta4
                        yield self._event(_SAID.get(kind), _AFTER.get(kind, self._state))
            case What.ENDED | What.RESET | What.CLOSED if self._state is not State.Sta1:
                yield self._to(State.Sta1)
            case _:
                return

    def _event(self, event: Evt | None, otherwise: State | None) -> tuple[State, State]:
        found = None if event is None else step(self._state, event, self._role)
        if found is not None:
            return self._to(found[1])
        return self._to(self._state if otherwise is None else otherwise)

    def _to(self, state: State) -> tuple[State, State]:
        before, self._state = self._state, state
        return before, state


class _Types:
    """The types of the PDUs of one direction: each counts once its header has come."""

    def __init__(self) -> None:
        self._head = b""
        self._left = 0

    def of(self, data: bytes) -> Iterator[int]:
        at = 0
        while at < len(data):
            if self._left:
                passed = min(self._left, len(data) - at)
                self._left -= passed
                at += passed
                continue
            taken = data[at : at + 6 - len(self._head)]
            self._head += taken
            at += len(taken)
            if len(self._head) == 6:
                yield self._head[0]
                self._left = int.from_bytes(self._head[2:], "big")
                self._head = b""
