"""Deadlines, each with its reason; no clock.

Knows: which timers are armed, why, for how long. Must not know: what happens when one expires.

A timer that is armed starts at the next `next_deadline(now)`: arming takes no time. A timer armed again with
the same `key` keeps running; with another key it starts anew, which is how a phase that makes progress restarts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Timer(Enum):
    """The phases that have a deadline."""

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

    __hash__ = object.__hash__  # each is one object: that of Enum hashes the name, in Python


MESSAGE_TIMERS = (Timer.MESSAGE, Timer.RATE, Timer.RESPONSE, Timer.OPERATION, Timer.RETRIEVE, Timer.IDLE)
"""Those of an established association."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds each phase may take; None waits for ever."""

    artim: float | None = 30.0
    """ARTIM: the whole A-ASSOCIATE-RQ, not only its first byte; later the peer's closing.  # PS3.8 9.1.5"""
    association: float | None = 30.0
    """From the A-ASSOCIATE-RQ to its answer."""
    accept: float | None = 60.0
    """From the A-ASSOCIATE-RQ to the local user's answer: one who is to decide and forgets. Then it aborts."""
    release: float | None = 30.0
    """From the A-RELEASE-RQ to its answer."""
    pdu: float | None = 60.0
    """From the first byte of a PDU to its last: a peer that dribbles or stalls inside one. In one that is longer than
    128 KiB, for each 128 KiB."""
    message: float | None = 60.0
    """Between two PDUs of one message."""
    minimum_rate: float | None = 256.0
    """Not a time but a rate, in bytes a second: the lowest average at which a message of the peer has to come once it
    has taken longer than `message`; None accepts any. Without it, a peer that sends a byte now and then would hold an
    association for ever. Only the time counts in which this side waits for the peer: from `deadline` to the
    `handle_timeout` after it, while reading is wanted. 256 bytes are half of what a modem of 4800 bit/s carries; 4 GiB
    over 1 Mbit/s come at 125,000."""
    response: float | None = 60.0
    """From the last byte of a request to its response, and between two responses."""
    operation: float | None = 14_400.0
    """The same in all, for the oldest request without a final response, whatever comes in between and starts `response`
    anew: pending responses to a C-FIND, messages of the peer's own, a data set that never ends. Four hours are more
    than any query takes that somebody waits for. A C-GET or C-MOVE has `retrieve` instead."""
    retrieve: float | None = 86_400.0
    """From a C-GET or C-MOVE request to its final response: a provider that answers pending for ever."""
    idle: float | None = 60.0
    """An acceptor's wait for the next request; does not run while the local side owes an answer. Then it asks for
    release, which loses nothing, and gives its peer the time of `release` to agree.  # PS3.8 7.2"""
    connect: float | None = 10.0
    """For adapters: to make the transport connection."""
    write_stall: float | None = 30.0
    """For adapters: bytes wait to be sent and the peer takes none of them, or takes what was cut for it at a time more
    slowly than `minimum_rate`, once it has taken this long."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            seconds = getattr(self, name)
            if seconds is not None and not seconds > 0:
                raise ValueError(f"timeout {name} of {seconds} s; more than 0, or None for no deadline")


@dataclass(frozen=True, slots=True)
class Deadline:
    """When (`at`, on the caller's clock, seconds) and why.

    `measured`: how long the peer takes counts (`Timeouts.minimum_rate`), so `handle_timeout` is to be called as soon as
    the wait ends, although it ends early."""

    at: float
    why: str
    measured: bool = field(default=False, compare=False, repr=False)


class _Armed:
    __slots__ = ("at", "fault", "key", "seconds", "why")

    def __init__(self, seconds: float, why: str, key: object, fault: str | None = None) -> None:
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
        """The timers that are armed now: most often the one in question is not, and need not be cancelled."""
        self._expired: list[_Armed] = []

    def arm(self, timer: Timer, seconds: float | None, why: str, key: object = None, fault: str | None = None) -> None:
        """Arm `timer`; one already armed with this `key` (not None) keeps its deadline. `seconds` None disarms.

        `fault`: the reason once it has expired; None: that nothing came within `seconds`."""
        if seconds is None:
            self.cancel(timer)
            return
        armed = self._armed.get(timer)
        if armed is None or key is None or armed.key != key:
            self._armed[timer] = _Armed(seconds, why, key, fault)

    def cancel(self, *timers: Timer) -> None:
        """Disarm; a timer that is not armed is no error."""
        for timer in timers:
            self._armed.pop(timer, None)

    def next_deadline(self, now: float) -> Deadline | None:
        """The earliest deadline. Timers that were armed since the last call start at `now`."""
        first: _Armed | None = None
        first_at = 0.0
        for armed in self._armed.values():
            at = armed.at
            if at is None:
                at = armed.at = now + armed.seconds
            if first is None or at < first_at:
                first, first_at = armed, at
        return None if first is None else Deadline(first_at, first.why)

    def note(self, now: float) -> None:
        """Remember which timers have passed at `now`; they expire once what was received before is parsed."""
        passed = [(armed.at, armed) for armed in self._armed.values() if armed.at is not None and armed.at <= now]
        passed.sort(key=lambda one: one[0], reverse=True)
        self._expired = [armed for _, armed in passed]  # the earliest is taken first

    def take_expired(self) -> tuple[Timer, str] | None:
        """A noted timer that is still armed and was not restarted since, with its reason; it is disarmed."""
        while self._expired:
            noted = self._expired.pop()
            for timer, armed in self._armed.items():
                if armed is noted:
                    del self._armed[timer]
                    return timer, noted.fault or f"{noted.why}: nothing within {noted.seconds:g} s"
        return None
