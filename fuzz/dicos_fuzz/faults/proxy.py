"""The fault proxy: the faults of a plan between two real peers.

    proxy = FaultProxy(listener, ("127.0.0.1", 11112), same_plan(parse_plan("out every 100: split")), print)
    proxy.relay.run()

Each connection has its own instance of a plan. As on a wire, `out` is what the side that connects sends, and `in` what
it receives.

Knows: the relay, lines. Must not know: files, the command line.

Invariants: those of the relay, and of lines: what a connection holds is bounded. A plan with an effect that a proxy
cannot have is refused (`check_plan`), never half obeyed.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Final, assert_never

from ..captures.events import Connection, Data, Ended, Event, Gap, How, Note, Opened, Over
from ..relay import Relay
from .effects import Clock, Direction, Timers
from .line import Line
from .log import Log, Strike
from .plan import LARGEST_SEED, FaultPlan
from .tapes import random_plan
from .wire import lines

__all__ = [
    "Began",
    "FaultProxy",
    "Gone",
    "Happened",
    "Plans",
    "Refused",
    "Struck",
    "check_plan",
    "random_plans",
    "same_plan",
    "without_engines",
]

OF_ENGINES: Final = (Timers, Clock)
"""Effects on the time of an engine, which a proxy does not have."""


@dataclass(frozen=True, slots=True)
class Began:
    """A connection is established to both sides. `number`: from 1. `plan`: its own."""

    number: int
    client: str
    plan: FaultPlan


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault has struck on a connection."""

    number: int
    strike: Strike


@dataclass(frozen=True, slots=True)
class Refused:
    """The target could not be reached; the client was reset."""

    number: int
    client: str
    cause: str


@dataclass(frozen=True, slots=True)
class Gone:
    """A connection is over. `by`: who ended it, if one did: "client", "target", "fault" or "proxy".

    `received` and `passed`: bytes of each direction. `counts`: the strikes of each fault, by its number."""

    number: int
    how: How
    by: str
    received: dict[Direction, int]
    passed: dict[Direction, int]
    counts: dict[int, int]


Happened = Began | Struck | Refused | Gone
Plans = Callable[[int], FaultPlan]
"""The plan of a connection, by its number from 1."""


def check_plan(plan: FaultPlan) -> FaultPlan:
    """Returns a plan that a proxy can carry out. Raises ValueError for another one, which names the fault."""
    for number, fault in enumerate(plan.faults, 1):
        if isinstance(fault.effect, OF_ENGINES):
            raise ValueError(
                f"fault {number}, {fault}: it is about the clock of an engine, and a proxy has none; use FaultyWire"
            )
    return plan


def without_engines(plan: FaultPlan) -> FaultPlan:
    """Returns the plan without the faults that a proxy cannot have, for one that was drawn."""
    return replace(plan, faults=tuple(one for one in plan.faults if not isinstance(one.effect, OF_ENGINES)))


def same_plan(plan: FaultPlan) -> Plans:
    """Each connection has this plan, with a seed of its own: that of the plan plus the number of connections before it.
    Raises ValueError for a plan that a proxy cannot carry out."""
    check_plan(plan)
    return lambda number: plan.for_connection(number - 1)


def random_plans(seed: int, *, harmless: bool = False) -> Plans:
    """Each connection has a plan of its own, drawn from the seed and its number. `harmless`: no byte is changed."""

    def drawn(number: int) -> FaultPlan:
        random = Random((seed + number - 1) & LARGEST_SEED)
        return random_plan(random, harmless=harmless, without=OF_ENGINES)

    return drawn


class _Told(Log):
    """A log that tells at once, and keeps only the counts."""

    __slots__ = ("_number", "_tell")

    def __init__(self, number: int, tell: Callable[[Happened], object]) -> None:
        super().__init__()
        self._number = number
        self._tell = tell

    def add(self, number: int, direction: Direction, offset: int, effect: str) -> None:
        """Tells a strike."""
        self.counts[number] = self.counts.get(number, 0) + 1
        self._tell(Struck(self._number, Strike(number, direction, offset, effect)))


class FaultProxy:
    """Passes connections to `listener` on to `target`, host and port, with the faults of `plans`; `tell` is called with
    everything that happens.

    `most`: connections at once; others wait. `total`: connections in all, None for any number. `relay` does the work:
    `run`, `step`, `close`. Raises OSError if the name of the target cannot be resolved.
    """

    def __init__(
        self,
        listener: socket.socket,
        target: tuple[str, int],
        plans: Plans,
        tell: Callable[[Happened], object],
        *,
        most: int = 100,
        total: int | None = None,
    ) -> None:
        self.connections = 0
        """Connections that were established."""
        self.refused = 0
        """Connections for which the target could not be reached."""
        self.counts: Counter[int] = Counter()
        """The strikes of each fault on all connections, by its number in its plan."""
        self._plans = plans
        self._tell = tell
        self._lines: dict[int, tuple[Line, Line, _Told]] = {}
        self.relay = Relay(listener, target, self._take, self._refuse, passages=self._open, most=most, total=total)

    def _open(self, connection: Connection) -> tuple[Line, Line]:
        plan = check_plan(self._plans(connection.number))
        log = _Told(connection.number, self._tell)
        self._lines[connection.number] = (*lines(plan, log), log)
        self.connections += 1
        self._tell(Began(connection.number, str(connection.client), plan))
        return self._lines[connection.number][:2]

    def _refuse(self, connection: Connection, cause: str) -> None:
        self.refused += 1
        self._tell(Refused(connection.number, str(connection.client), cause))

    def _take(self, event: Event) -> None:
        match event:
            case Over():
                self._close(event)
            case Opened() | Data() | Ended() | Gap() | Note():
                pass
            case _ as unreachable:
                assert_never(unreachable)

    def _close(self, event: Over) -> None:
        connection = event.connection
        if connection.number not in self._lines:  # an exception, as of Ctrl-C, came before
            return
        *both, log = self._lines.pop(connection.number)
        self.counts.update(log.counts)
        by = "client" if event.by_client else "target"
        if event.how is not How.RESET:
            by = "proxy" if event.how is How.CUT else ""
        elif any(line.reset for line in both):
            by = "fault"
        received = {line.direction: connection.sent[line.direction is Direction.OUT] for line in both}
        passed = {line.direction: line.carried for line in both}
        self._tell(Gone(connection.number, event.how, by, received, passed, log.counts))
