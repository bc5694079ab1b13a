"""Measures the rate at which a message of the peer arrives while this side waits for it.

Knows: bytes received, waits, the minimum rate. Must not know: what a message is.

A wait begins with `Association.deadline` and ends with the `handle_timeout` after it. The time between two waits is the
local side's own, and is not counted; nor is a wait while bytes are unread, or while reading is not wanted.
"""

from __future__ import annotations

import math

from ..timers import MESSAGE_TIMERS
from .core import Core

_RATE = MESSAGE_TIMERS[1]


class Pace:
    """The pace of one message. Each wait before which the message was fast enough starts a new measurement."""

    __slots__ = ("_began", "_fed", "_from", "_grace", "_rate", "_waited", "number", "steps", "until")

    def __init__(self, number: int, began: int, grace: float, rate: float) -> None:
        """`number`: which message; `began`: the bytes received before it."""
        self.number = number
        self.steps = 0
        """PDVs received when the last wait began."""
        self.until = math.inf
        """The latest end of that wait. Time after it was not spent waiting for the peer."""
        self._began = began
        self._grace = grace
        self._rate = rate
        self._waited = 0.0
        self._fed = began
        self._from: float | None = None

    def begin_wait(self, upper: Core, steps: int, now: float) -> None:
        reader = upper.reader
        if self._from is not None and self.steps == steps and self._fed == reader.fed:
            return  # the same wait
        self.steps = steps
        self._fed = reader.fed
        self._from = now if upper.wants_read and not reader.unread else None
        if self._from is None or not self._waited:  # in the first wait, nothing is slower than `Timeouts.message`
            upper.timers.cancel(_RATE)
            return
        came = reader.fed - self._began
        if came >= self._rate * self._waited:  # in time: bytes above the rate give no credit for later
            self._began, self._waited = reader.fed, 0.0
            upper.timers.cancel(_RATE)
            return
        most = self._grace + came / self._rate
        fault = (
            f"rate: {came} bytes of a message in {most:.0f} s of waiting for it; "
            f"at least {self._rate:g} a second after the first {self._grace:g} s"
        )
        upper.timers.arm(_RATE, max(most - self._waited, 0.0), "rate: waiting for the rest of a message", fault=fault)

    def end_wait(self, now: float) -> None:
        if self._from is not None:
            self._waited += max(min(now, self.until) - self._from, 0.0)
            self._from = None
