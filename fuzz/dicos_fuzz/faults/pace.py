"""When bytes of one direction may pass: stalls, delays, dribbles, waits for more bytes or for the other direction.

Knows: times and numbers of bytes. Must not know: bytes, faults by their places.

Theory of operation: nothing here reads a clock. A wait that begins between two calls of `deadline(now)` begins at the
next one, as the engine's own timers do. `room` says how many bytes may go now; it stays 0 until `handle_timeout`, more
bytes, or the other direction change that.
"""

from __future__ import annotations

from random import Random
from typing import Final

from .inbox import Inbox

__all__ = ["Pace"]

SEGMENT: Final = 1 << 18
"""Most bytes that pass in one piece."""
FINEST: Final = 50
"""Pieces a second of a dribble; at a lower rate, each byte is a piece."""


class Pace:
    """The present pace of one direction."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.usual = True
        """True if bytes pass at once."""
        self.stalled = False
        """True while nothing passes."""
        self.delays = False
        """True if bytes take longer."""
        self._short = SEGMENT  # most bytes of one piece
        self._stall: tuple[float | None, str] | None = None  # seconds, None for all time; why
        self._stall_at: float | None = None
        self._target: int | None = None  # bytes of the other direction that end the stall
        self._delay: tuple[float, float] | None = None
        self._last = -float("inf")  # when the last delayed chunk leaves
        self._merge: tuple[int, float] | None = None
        self._merge_at: float | None = None
        self._merged = False  # they have waited long enough
        self._rate: int | None = None
        self._next_at: float | None = None  # of a dribble
        self._dribbles = False  # the present piece is one of a dribble
        self._owed = 0.0  # seconds that the last one takes
        self._now: float | None = None  # at the last `handle_timeout`: what is delayed until then may pass

    # -- the faults ----------------------------------------------------------------------------------------------

    def stall(self, seconds: float | None, why: str, target: int | None = None) -> None:
        """Nothing passes for `seconds`, None for all time, or until the other direction has passed `target` bytes."""
        self._stall, self._stall_at, self._target = (seconds, why), None, target
        self.stalled, self.usual = True, False

    def delay(self, seconds: float, jitter: float) -> None:
        """Each chunk takes longer."""
        self._delay = (seconds, jitter)
        self.delays, self.usual = True, False

    def merge(self, size: int, seconds: float) -> None:
        """Bytes wait for more."""
        self._merge = (size, seconds)
        self.usual = False

    def dribble(self, rate: int) -> None:
        """This many bytes pass in a second."""
        self._rate = rate
        self._next_at, self._owed = None, 0.0
        self.usual = False

    def shorten(self, size: int) -> None:
        """At most this many bytes are a piece."""
        self._short = size
        self.usual = False

    # -- passing -------------------------------------------------------------------------------------------------

    @property
    def stalled_forever(self) -> bool:
        """True if nothing passes any more, by time alone."""
        return self._stall is not None and self._stall[0] is None

    def _go_on(self) -> None:
        """The stall is over."""
        self._stall = self._stall_at = self._target = None
        self.stalled = False
        self.usual = self._delay is None and self._merge is None and self._rate is None and self._short == SEGMENT

    def look(self, other: int) -> None:
        """The other direction has passed this many bytes by now."""
        if self._target is not None and other >= self._target:
            self._go_on()

    def room(self, waiting: int, *, ended: bool) -> int:
        """Returns the number of bytes that may pass now. `waiting`: those that are here."""
        if self.usual:
            return SEGMENT
        self._dribbles = self._rate is not None
        if self._stall is not None:
            return 0
        if self._waits_for_more(waiting, ended=ended):
            return 0
        if self._rate is not None:
            return 0 if self._owed or self._next_at is not None else min(max(1, self._rate // FINEST), self._short)
        return self._short

    def _waits_for_more(self, waiting: int, *, ended: bool) -> bool:
        return self._merge is not None and waiting < self._merge[0] and not (ended or self._merged)

    def passed(self, size: int) -> None:
        """This many bytes have passed."""
        if self._dribbles and self._rate is not None:
            self._owed = size / self._rate
        self._merged = False
        self._merge_at = None

    def held(self, inbox: Inbox) -> bool:
        """Returns True if the first chunk, or the end, is still delayed."""
        chunk = inbox.first()
        if self._delay is None or chunk is None:
            return False
        if chunk.leaves is None:
            if chunk.came is None:
                return True
            seconds, jitter = self._delay
            chunk.leaves = self._last = max(self._last, chunk.came + seconds + self._random.uniform(0.0, jitter))
        return self._now is None or self._now < chunk.leaves

    # -- time ----------------------------------------------------------------------------------------------------

    def deadline(self, now: float, inbox: Inbox, waiting: int) -> tuple[float, str] | None:
        """Returns when more may pass, and why not before. `waiting`: bytes that are here."""
        found: list[tuple[float, str]] = []
        if self._delay is not None:
            inbox.stamp(now)
            chunk = inbox.first()
            if chunk is not None and self.held(inbox) and chunk.leaves is not None:
                found.append((chunk.leaves, "delayed bytes"))
        if self._stall is not None:
            seconds, why = self._stall
            if seconds is None:
                return None
            if self._stall_at is None:
                self._stall_at = now + seconds
            return self._stall_at, why
        if self._merge is not None and waiting and self._waits_for_more(waiting, ended=inbox.ended):
            if self._merge_at is None:
                self._merge_at = now + self._merge[1]
            found.append((self._merge_at, "bytes that wait for more"))
        if self._owed:
            self._next_at, self._owed = now + self._owed, 0.0
        if self._next_at is not None and inbox.first() is not None:
            found.append((self._next_at, "dribbling bytes"))
        return min(found, default=None)

    def handle_timeout(self, now: float, inbox: Inbox) -> bool:
        """Passes the time. Returns True if more may pass now."""
        self._now = now
        if self.usual:
            return False
        more = self._delay is not None and not self.held(inbox)
        if self._stall_at is not None and now >= self._stall_at:
            self._go_on()
            more = True
        if self._merge_at is not None and now >= self._merge_at:
            self._merged, self._merge_at = True, None
            more = True
        if self._next_at is not None and now >= self._next_at:
            self._next_at = None
            more = True
        return more
