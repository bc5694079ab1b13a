"""The peer's conduct by the table of PS3.8 9.2: which PDU it may send when, after any PDUs of this side.

Knows: table 9-10 (the engine's `machine`), PDUs as lines. Must not know: messages, scenarios, expectations.

Theory of operation: what the peer has read of what was sent is not known, so its state is not either. A `Guess` is a
state, the number of our PDUs that it has read, and the number of A-ABORTs that it owes. All guesses that fit what the
peer has sent are kept; if none fits a PDU, that PDU is a violation. A PDU that changes nothing in a state is taken as
read there, which loses nothing, so that there are never more than a few guesses. A damaged PDU may be taken for a
valid one, and any may be taken for an invalid one at the price of an A-ABORT where the peer's user may abort anyway.

Invariants: no violation for a peer that follows the table at its own pace. Linear in the PDUs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from dicos_proto.upper_layer.machine import Action, Evt, Role, State, step

from ..finding import Severity, Violation
from .lines import Line, Said, Validity, with_article

__all__ = ["Conduct", "conduct"]

_EVENTS: Final = {
    1: Evt.Evt6, 2: Evt.Evt3, 3: Evt.Evt4, 4: Evt.Evt10, 5: Evt.Evt12, 6: Evt.Evt13, 7: Evt.Evt16,
}  # fmt: skip
_SENDS: Final = {
    # what the peer sends: the local primitive that makes it do so
    1: Evt.Evt2, 2: Evt.Evt7, 3: Evt.Evt8, 4: Evt.Evt9, 5: Evt.Evt11, 6: Evt.Evt14, 7: Evt.Evt15,
}  # fmt: skip
_FORCED: Final = {1: State.Sta5, 2: State.Sta6, 3: State.Sta13, 5: State.Sta7, 6: State.Sta13, 7: State.Sta13}
"""The state that a peer is taken to be in after a PDU that it must not send."""
_SOON: Final = {State.Sta3: State.Sta6, State.Sta8: State.Sta13, State.Sta9: State.Sta11, State.Sta12: State.Sta13}
"""The state that a peer goes to by itself, as soon as its user has answered."""
_MANY: Final = 3
"""A-ABORTs too many that are an amplification."""


class Guess(NamedTuple):
    """A state that the peer may be in, after it has read this number of our PDUs, with A-ABORTs that it may send."""

    state: State
    read: int
    aborts: int


@dataclass(frozen=True, slots=True)
class Conduct:
    """The outcome for one connection. `fault_state`: the state in which the peer got the first PDU that may not come
    there or is damaged, else the one in which it ended the association, else the last one; for texts and signatures.
    `actions`: what the table may have it do with the last PDU that it was sent, `states`: where; empty without one."""

    violations: tuple[Violation, ...]
    fault_state: State
    actions: frozenset[Action] = frozenset()
    states: frozenset[State] = frozenset()


class _Model:
    """The guesses about one peer."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self.ours: list[tuple[Evt, ...]] = []
        first = State.Sta2 if role is Role.ACCEPTOR else State.Sta4
        self.guesses: list[Guess] = [Guess(first, 0, 0)]
        self.fault_state: State | None = None
        self._owed = [0]
        """A-ABORTs that a peer in Sta13 owes for our PDUs up to each one."""
        self._closing: list[int] = []
        """Our A-ABORTs, at which a peer in Sta13 closes."""
        self.last: tuple[frozenset[State], tuple[Evt, ...]] = (frozenset(), ())

    @property
    def state(self) -> State:
        """The state of the guess that has read most."""
        return max(self.guesses, key=lambda guess: (guess.read, guess.state)).state

    def sent(self, events: tuple[Evt, ...]) -> None:
        """A PDU of ours is on its way."""
        if self.fault_state is None:
            state = self.state
            steps = [step(state, event, self.role) for event in events]
            if any(found is None or found[0] in (Action.AA_1, Action.AA_7, Action.AA_8) for found in steps):
                self.fault_state = state
        there = {guess.state for guess in self.guesses if guess.read == len(self.ours)}
        self.last = (frozenset(there | {_SOON[state] for state in there if state in _SOON}), events)
        self._note_over(events)
        behind = [guess for guess in self.guesses if guess.read < len(self.ours)]  # what follows from them is known
        up_to_date = [guess for guess in self.guesses if guess.read == len(self.ours)]
        self.ours.append(events)
        self._settle(up_to_date)
        self.guesses = [*dict.fromkeys((*behind, *self.guesses))]

    def _note_over(self, events: tuple[Evt, ...]) -> None:
        """Counts what a peer in Sta13 does with the next of our PDUs."""
        cells = [cell for event in events if (cell := step(State.Sta13, event, self.role)) is not None]
        owed = any(cell[0] is Action.AA_7 for cell in cells)
        self._owed.append(self._owed[-1] + owed)
        if not owed and any(cell[1] is State.Sta1 for cell in cells):
            self._closing.append(len(self.ours))

    def actions(self) -> frozenset[Action]:
        """The actions that the table may have for the last PDU."""
        states, events = self.last
        cells = [step(state, event, self.role) for state in states for event in events]
        return frozenset(cell[0] for cell in cells if cell is not None)

    def _settle(self, guesses: list[Guess]) -> None:
        """Keeps `guesses`, and all that follow from them by reading without a choice."""
        found: dict[Guess, None] = {}
        stack = [*guesses]
        while stack:
            guess = stack.pop()
            while guess.read < len(self.ours):
                if guess.state is State.Sta1:
                    guess = guess._replace(read=len(self.ours))
                    continue
                if guess.state is State.Sta13:
                    guess = self._over(guess)
                    if guess.read < len(self.ours):  # it may still owe A-ABORTs, until it reads ours
                        found.setdefault(guess)
                        guess = Guess(State.Sta1, guess.read + 1, 0)
                    continue
                after = self._read(guess)
                if len(after) == 1 and after[0].state is guess.state:  # it changes nothing: taken as read
                    guess = after[0]
                    continue
                stack += after
                break
            found.setdefault(guess)
        self.guesses = [*found]

    def _over(self, guess: Guess) -> Guess:
        """The guess after all of our PDUs, or before the A-ABORT that makes the peer close, found without a loop."""
        at = bisect_left(self._closing, guess.read)
        end = self._closing[at] if at < len(self._closing) else len(self.ours)
        return Guess(State.Sta13, end, guess.aborts + self._owed[end] - self._owed[guess.read])

    def _read(self, guess: Guess) -> list[Guess]:
        """The guesses after the next of our PDUs, one for each way to take it."""
        found = []
        for event in self.ours[guess.read]:
            cell = step(guess.state, event, self.role)
            state, aborts = guess.state, guess.aborts
            if cell is not None:
                action, state = cell
                if action in (Action.AA_1, Action.AA_8):
                    aborts = 1
            found.append(Guess(state, guess.read + 1, aborts))
        return [*dict.fromkeys(found)]

    def received(self, kind: int) -> bool:
        """The peer has sent a PDU of this type. Returns False if it must not."""
        if kind in (3, 7) and self.fault_state is None:
            self.fault_state = self.state
        after = [found for guess in self.guesses if (found := self._send(guess, kind)) is not None]
        if after:
            self._settle([*dict.fromkeys(after)])
            return True
        if kind in _FORCED:
            self._settle([Guess(_FORCED[kind], max(guess.read for guess in self.guesses), 0)])
        return False

    def _send(self, guess: Guess, kind: int) -> Guess | None:
        state = guess.state
        if kind == 7 and guess.aborts and state is State.Sta13:
            return guess._replace(aborts=guess.aborts - 1)
        cell = step(state, _SENDS[kind], self.role) if kind in _SENDS else None
        if cell is None or cell[0] is Action.AA_2:  # which closes, and sends nothing
            return None
        return Guess(cell[1], guess.read, 0)


def conduct(line: Line, *, user: bool) -> Conduct:
    """Returns the violations of table 9-10 on one connection. `user`: this side called the peer, which accepts."""
    model = _Model(Role.ACCEPTOR if user else Role.REQUESTOR)
    found: list[Violation] = []
    reported: set[tuple[int, State]] = set()
    extra = 0
    for one in line.said:
        if one.ours:
            model.sent(tuple(_events(one)))
            continue
        before = model.state
        if not one.whole and line.cut:
            break
        if model.received(one.kind):
            continue
        if one.kind == 7 and before in (State.Sta13, State.Sta1):
            extra += 1
        elif (one.kind, before) not in reported:
            reported.add((one.kind, before))
            found.append(_unexpected(one, before))
    if extra:
        found.append(_extra(extra, model.state))
    return Conduct(tuple(found), model.fault_state or model.state, model.actions(), model.last[0])


def _events(one: Said) -> Iterator[Evt]:
    """The events that the peer may take one of our PDUs for."""
    known = _EVENTS.get(one.kind, Evt.Evt19)
    if one.validity is Validity.VALID or known is Evt.Evt19:
        yield known
        return
    if one.whole:
        yield known
    yield Evt.Evt19


def _unexpected(one: Said, state: State) -> Violation:
    if one.kind not in _EVENTS:
        return Violation(
            oracle="unknown-pdu",
            severity=Severity.MEDIUM,
            detail=f"the peer sent {one.data[:12].hex(' ')}, which begins no PDU; types 01 to 07",
            clause="PS3.8 9.3.1",
            state=state.name,
            reaction="unknown PDU",
        )
    return Violation(
        oracle="unexpected-pdu",
        severity=Severity.LOW if one.kind == 7 else Severity.MEDIUM,
        detail=f"the peer sent {with_article(one.name)} that it may not send in {state.name}",
        clause="PS3.8 table 9-10",
        state=state.name,
        reaction=one.name,
    )


def _extra(count: int, state: State) -> Violation:
    many = count >= _MANY
    more = "1 A-ABORT" if count == 1 else f"{count} A-ABORTs"
    return Violation(
        oracle="extra-aborts",
        severity=Severity.MEDIUM if many else Severity.LOW,
        detail=f"the peer sent {more} beyond the one that the table has for each PDU out of place",
        clause="PS3.8 table 9-10, AA-1, AA-6 to AA-8",
        state=state.name,
        reaction="several A-ABORTs" if many else "another A-ABORT",
    )
