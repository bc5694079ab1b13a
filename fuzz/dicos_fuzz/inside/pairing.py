"""Two engines in memory with a clock that jumps: flows on both sides, and what goes between them.

Knows: how adapters carry bytes, needs of flows. Must not know: services, faults (a `Link` may alter what it carries).

Invariants: nothing waits for real time; a run ends after a bounded number of steps, or raises `OracleFailure`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from dicos_proto.association import Association
from dicos_proto.conversation.flows import Flow, Need, abort
from dicos_proto.errors import ProtocolError
from dicos_proto.timers import Deadline
from dicos_proto.wire import Wire

from .target import OracleFailure

__all__ = ["Link", "Party", "run_pair"]

_IDLE_JUMPS: Final = 200
"""Jumps of the clock without progress after which a run does not end."""


@dataclass(slots=True)
class Link:
    """One direction between two wires. `alter`: makes chunks of what is sent; `carried`: all bytes so far."""

    source: Wire
    target: Wire
    alter: Callable[[bytes], list[bytes]] | None = None
    carried: bytearray = field(default_factory=bytearray)
    cut: bool = False
    flight: list[bytes] = field(default_factory=list)

    def carry(self) -> bool:
        """Carries what can be carried now. Returns True if anything moved."""
        moved = False
        while taken := self.source.data_to_send():
            sent = b"".join(taken)
            self.carried += sent
            self.flight += [sent] if self.alter is None else self.alter(sent)
            moved = True
        if self.target.wants_close:
            self.flight.clear()
        while self.flight and self.target.wants_read:
            self.target.receive_data(self.flight.pop(0))
            moved = True
        if self.source.wants_close and not self.flight and not self.cut:
            self.cut = True
            self.target.receive_eof()
            moved = True
        return moved


@dataclass(slots=True)
class Party:
    """One side: its wire (the association, or what stands before it), and the flow of its user."""

    association: Association
    flow: Flow[object]
    wire: Wire | None = None
    result: object = None
    error: ProtocolError | None = None
    over: bool = False
    _ending: bool = False

    def outer(self) -> Wire:
        """Returns what touches the connection."""
        return self.association if self.wire is None else self.wire

    def step(self, within: tuple[type[ProtocolError], ...]) -> bool:
        """Advances the flow. Returns True if it went on, not merely waits for input. `within`: errors that end it."""
        if self.over:
            return False
        try:
            return next(self.flow) is not Need.INPUT
        except StopIteration as done:
            if self._ending:
                self.over = True
                return True
            self.result = done.value
        except within as error:
            self.error = self.error or error.with_traceback(None)
        self.over = self._ending
        self._ending = True
        self.flow = abort(self.association)  # as adapters do; it does nothing to an association that is over
        return True


def run_pair(
    user: Party,
    provider: Party,
    *,
    within: tuple[type[ProtocolError], ...] = (ProtocolError,),
    to_provider: Callable[[bytes], list[bytes]] | None = None,
    to_user: Callable[[bytes], list[bytes]] | None = None,
    steps: int = 200_000,
) -> tuple[bytes, bytes]:
    """Runs both flows to their ends. Returns all bytes that the user and the provider sent.

    If neither can go on, time jumps to the next deadline. Raises `OracleFailure` if that never ends."""
    one = Link(user.outer(), provider.outer(), to_provider)
    other = Link(provider.outer(), user.outer(), to_user)
    parties = (user, provider)
    now = 0.0
    still = 0
    for _ in range(steps):
        if user.over and provider.over:
            return bytes(one.carried), bytes(other.carried)
        progress = user.step(within) | provider.step(within)
        while one.carry() | other.carry():
            progress = True
        if progress:
            still = 0
            continue
        deadline = _next(parties, now)
        still += 1
        if deadline is None or still > _IDLE_JUMPS:
            waiting = [party.association.state.name for party in parties if not party.over]
            why = "there is no deadline" if deadline is None else f"{deadline.why!r} changes nothing"
            raise OracleFailure(f"nobody can go on in {waiting}, and {why}")
        now = max(now, deadline.at)
        for party in parties:
            party.outer().handle_timeout(now)
    raise OracleFailure(f"no end after {steps} steps")


def _next(parties: tuple[Party, Party], now: float) -> Deadline | None:
    found = [party.outer().deadline(now) for party in parties]
    return min((one for one in found if one is not None), key=lambda one: one.at, default=None)
