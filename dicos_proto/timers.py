"""The deadlines of an association, each with its reason; no clock.

Knows: which timers are armed, why, for how long. Must not know: what happens when one expires.

An armed timer starts at the next `next_deadline(now)`: arming it needs no clock. A timer that is armed again with the
same `key` keeps running; with another key it starts again. This is how a phase that makes progress restarts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

__all__ = ["Deadline", "Timeouts", "Timer"]


class Timer(Enum):
    """The phases that have a deadline, by name."""

    ARTIM = "ARTIM"  # PS3.8 9.1.5: from the connection to the whole A-ASSOCIATE-RQ, and in Sta13
    ASSOCIATION = "association"
    ACCEPT = "accept"
    RELEASE = "release"
    PDU = "PDU"
    MESSAGE = "message"
    RESPONSE = "response"
    RETRIEVE = "retrieve"
    OPERATION = "operation"
    RATE = "rate"
    IDLE = "idle"

    __hash__ = object.__hash__  # members are singletons; the hash of Enum is computed in Python


MESSAGE_TIMERS = (Timer.MESSAGE, Timer.RATE, Timer.RESPONSE, Timer.OPERATION, Timer.RETRIEVE, Timer.IDLE)
"""The timers of an established association."""


_ORDER = {timer: number for number, timer in enumerate(Timer)}
"""Of timers with the same deadline, the first of these counts, regardless of which was armed first: this depends on how
the bytes were cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """The time that each phase may take, in seconds; None waits forever."""

    artim: float | None = 30.0
    """ARTIM: until the whole A-ASSOCIATE-RQ is received, not only its first byte; later, until the peer closes the
    connection [PS3.8 9.1.5]."""
    association: float | None = 30.0
    """From the A-ASSOCIATE-RQ that was sent to its answer."""
    accept: float | None = 60.0
    """From the A-ASSOCIATE-RQ that was received to the local user's answer, in case the user forgets to decide. Then
    the association is aborted."""
    release: float | None = 30.0
    """From the A-RELEASE-RQ that was sent to its answer."""
    pdu: float | None = 60.0
    """From the first byte of a PDU to its last, for a peer that dribbles or stalls inside one. In a PDU longer than
    128 KiB, for each 128 KiB."""
    message: float | None = 60.0
    """Between two PDUs of one message."""
    minimum_rate: float | None = 256.0
    """A rate in bytes per second, not a time: the lowest average rate at which a message of the peer must arrive once
    it has taken longer than `message`; None accepts any rate. Without it, a peer that sends a byte now and then could
    hold an association forever. Only time in which this side waits for the peer counts: from `deadline` to the next
    `handle_timeout`, while `wants_read` is True. 256 bytes per second are half of what a modem of 4800 bit/s carries; 4
    GiB over 1 Mbit/s arrive at 125,000."""
    response: float | None = 60.0
    """From the last byte of a request to its first response, and between two responses."""
    operation: float | None = 14_400.0
    """From the oldest request without a final response to that response. Messages in between restart `response` but not
    this: pending responses to a C-FIND, the peer's own messages, a data set that never ends. Four hours are more than
    any query takes that anyone waits for. A C-GET or C-MOVE has `retrieve` instead."""
    retrieve: float | None = 86_400.0
    """From a C-GET or C-MOVE request to its final response, for a provider that sends pending responses forever."""
    idle: float | None = 60.0
    """The time that an acceptor waits for the next request; it does not run while the local side owes a response. When
    it expires, the acceptor asks for release, which loses nothing, and the peer has the time of `release` to agree
    [PS3.8 7.2]."""
    connect: float | None = 10.0
    """For adapters: the time to open the transport connection."""
    write_stall: float | None = 30.0
    """For adapters: the time that bytes may wait while the peer takes none of them. After this time, a peer is also too
    slow if it takes the bytes of one `data_to_send` at less than `minimum_rate`."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            seconds = getattr(self, name)
            if seconds is not None and not seconds > 0:
                raise ValueError(f"timeout {name} of {seconds} s; more than 0, or None for no deadline")


@dataclass(frozen=True, slots=True)
class Deadline:
    """When (`at`, in seconds on the caller's clock) and why.

    `measured`: the time that the peer takes is measured (`Timeouts.minimum_rate`), so call `handle_timeout` as soon as
    the wait ends, even if it ends early."""

    at: float
    why: str
    measured: bool = field(default=False, compare=False, repr=False)


class _Armed:
    __slots__ = ("at", "fault", "key", "order", "seconds", "why")

    def __init__(self, timer: Timer, seconds: float, why: str, key: object, fault: str | None = None) -> None:
        self.order = _ORDER[timer]
        self.seconds = seconds
        self.why = why
        self.key = key
        self.fault = fault
        self.at: float | None = None


class TimerTable:
    """The armed timers of one association."""

    __slots__ = ("_armed", "_expired", "armed")

    def __init__(self) -> None:
        self._armed: dict[Timer, _Armed] = {}
        self.armed = self._armed.keys()
        """The timers that are armed now; it lets callers skip `cancel` when the timer is not armed."""
        self._expired: list[_Armed] = []

    def arm(self, timer: Timer, seconds: float | None, why: str, key: object = None, fault: str | None = None) -> None:
        """Arms `timer`. One that is armed with the same `key` (not None) keeps its deadline; `seconds` None disarms it.

        `fault`: the reason to report when it expires; None: nothing was received within `seconds`."""
        if seconds is None:
            self.cancel(timer)
            return
        armed = self._armed.get(timer)
        if armed is None or key is None or armed.key != key:
            self._armed[timer] = _Armed(timer, seconds, why, key, fault)

    def cancel(self, *timers: Timer) -> None:
        """Disarms the timers. A timer that is not armed is ignored."""
        for timer in timers:
            self._armed.pop(timer, None)

    def next_deadline(self, now: float) -> Deadline | None:
        """Returns the earliest deadline, None if no timer is armed. Timers armed since the last call start at `now`."""
        first: _Armed | None = None
        first_at = 0.0
        for armed in self._armed.values():
            at = armed.at
            if at is None:
                at = armed.at = now + armed.seconds
            if first is None or at < first_at or (at == first_at and armed.order < first.order):
                first, first_at = armed, at
        return None if first is None else Deadline(first_at, first.why)

    def note(self, now: float) -> None:
        """Remembers which timers have passed at `now`; they expire once everything received before is parsed."""
        passed = [(armed.at, armed) for armed in self._armed.values() if armed.at is not None and armed.at <= now]
        passed.sort(key=lambda one: (one[0], one[1].order), reverse=True)
        self._expired = [armed for _, armed in passed]  # the earliest is taken first

    def take_expired(self) -> tuple[Timer, str] | None:
        """Disarms and returns a noted timer, with its reason, if it is still armed and was not restarted since."""
        while self._expired:
            noted = self._expired.pop()
            for timer, armed in self._armed.items():
                if armed is noted:
                    del self._armed[timer]
                    return timer, noted.fault or f"{noted.why}: nothing within {noted.seconds:g} s"
        return None
