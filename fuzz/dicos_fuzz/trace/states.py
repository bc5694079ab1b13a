"""The states of both sides of an association, followed from outside by table 9-10.

A recording has the order in which PDUs passed one place in the network, which is not the order in which the two sides
took them: a PDU that one side sends may cross one of the other. So each side is followed in every state that it may be
in. The PDUs of the other side wait in a queue; a hypothesis is a number of PDUs that this side has taken from it, and
the state that it is in then. A PDU that a side sends drops the hypotheses in which the table has no cell for it. If
that drops all of them, the table was broken, in any order of events; then nothing has changed.

Knows: the table of the engine. Must not know: bytes, messages.

Invariants: at most `MOST_WAITING` PDUs wait for a side; several P-DATA-TF in a row count as one, because they leave the
state unchanged where they are allowed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dicos_proto.upper_layer.machine import Action, Evt, Role, State, step
from dicos_proto.upper_layer.pdu_types import PduType

__all__ = ["MOST_WAITING", "States"]

MOST_WAITING: Final = 16
"""PDUs that wait for a side that sends nothing; the oldest is taken as received. Stops: releases without end."""

_SENT: Final = {
    PduType.ASSOCIATE_RQ: Evt.Evt1,
    PduType.ASSOCIATE_AC: Evt.Evt7,
    PduType.ASSOCIATE_RJ: Evt.Evt8,
    PduType.P_DATA_TF: Evt.Evt9,
    PduType.RELEASE_RQ: Evt.Evt11,
    PduType.RELEASE_RP: Evt.Evt14,
    PduType.ABORT: Evt.Evt15,
}
_RECEIVED: Final = {
    PduType.ASSOCIATE_RQ: Evt.Evt6,
    PduType.ASSOCIATE_AC: Evt.Evt3,
    PduType.ASSOCIATE_RJ: Evt.Evt4,
    PduType.P_DATA_TF: Evt.Evt10,
    PduType.RELEASE_RQ: Evt.Evt12,
    PduType.RELEASE_RP: Evt.Evt13,
    PduType.ABORT: Evt.Evt16,
}
"""The event that a PDU is for its sender, and for its receiver."""
_OWES_ABORT: Final = (Action.AA_1, Action.AA_7, Action.AA_8)


@dataclass(frozen=True, slots=True)
class _Guess:
    """A state that a side may be in: `taken` PDUs of its queue ago. `owes`: the table has it send an A-ABORT."""

    taken: int
    state: State
    owes: bool = False


_Heard = tuple[Evt, bool]
"""A PDU in the queue of a side. True if it breaks the table: the side may act on it as the table says, or ignore it."""


class _Side:
    def __init__(self, role: Role, states: tuple[State, ...]) -> None:
        self._role = role
        self._guesses = {_Guess(0, state) for state in states}
        self._queue: list[_Heard] = []

    def hear(self, event: Evt, *, wrong: bool) -> None:
        """Adds a PDU of the other side to the queue."""
        heard = event, wrong
        if event is Evt.Evt10 and self._queue and self._queue[-1] == heard:
            return
        self._queue.append(heard)
        if len(self._queue) > MOST_WAITING:
            first = self._queue.pop(0)
            found = (
                after
                for guess in self._guesses
                for after in ((guess,) if guess.taken else _take(guess, first, self._role))
            )
            self._guesses = {_Guess(guess.taken - 1, guess.state, guess.owes) for guess in found}

    def say(self, event: Evt) -> bool:
        """Takes a PDU that this side sends. Returns False, and nothing has changed, if it cannot send it now."""
        found: set[_Guess] = set()
        for guess in self._reachable():
            if event is Evt.Evt15 and guess.owes:
                found.add(_Guess(guess.taken, State.Sta13))
            elif (cell := step(guess.state, event, self._role)) is not None:
                # After Evt1 comes Evt2: the connection is open already.
                found.add(_Guess(guess.taken, State.Sta5 if event is Evt.Evt1 else cell[1]))
        if not found:
            return False
        least = min(guess.taken for guess in found)
        del self._queue[:least]
        self._guesses = {_Guess(guess.taken - least, guess.state, guess.owes) for guess in found}
        return True

    def _reachable(self) -> set[_Guess]:
        """Returns the states now, for each number of PDUs that may have been taken from the queue."""
        found = set(self._guesses)
        for taken, heard in enumerate(self._queue):
            found |= {after for guess in found if guess.taken == taken for after in _take(guess, heard, self._role)}
        return found

    def state(self) -> State:
        """Returns the state that this side is in if it has taken as much as it can, and ignored what is wrong."""
        last = max(self._guesses, key=lambda guess: (guess.taken, guess.state))
        for heard in self._queue[last.taken :]:
            last = _take(last, heard, self._role)[0]
        return last.state


def _take(guess: _Guess, heard: _Heard, role: Role) -> tuple[_Guess, ...]:
    """Returns the states after the next PDU of the queue was received; first the one in which it was ignored."""
    event, wrong = heard
    same = _Guess(guess.taken + 1, guess.state, guess.owes)
    cell = step(guess.state, event, role)
    if cell is None:
        return (same,)
    action, state = cell
    after = _Guess(guess.taken + 1, state, guess.owes or action in _OWES_ABORT)
    return (same, after) if wrong else (after,)


class States:
    """Both sides of one association. `begun`: False if the recording begins in the middle: any state is possible."""

    def __init__(self, *, begun: bool) -> None:
        everything = tuple(State)
        self._requestor = _Side(Role.REQUESTOR, (State.Sta1,) if begun else everything)
        self._acceptor = _Side(Role.ACCEPTOR, (State.Sta2,) if begun else everything)

    def say(self, kind: PduType, *, by_requestor: bool) -> str:
        """Takes a PDU that one side sends. Returns "", or what is wrong: the PDU and the state of its sender."""
        speaker, listener = (self._requestor, self._acceptor) if by_requestor else (self._acceptor, self._requestor)
        right = speaker.say(_SENT[kind])
        listener.hear(_RECEIVED[kind], wrong=not right)
        return "" if right else f"{kind.label} sent in {speaker.state().name}"

    def say_nonsense(self, *, by_requestor: bool) -> None:
        """Takes bytes of one side that are not a valid PDU [PS3.8 Evt19]: the other side may abort."""
        (self._acceptor if by_requestor else self._requestor).hear(Evt.Evt19, wrong=True)

    def state(self, *, by_requestor: bool) -> State:
        """Returns the state of a side, if it has received everything that was sent to it."""
        return (self._requestor if by_requestor else self._acceptor).state()
