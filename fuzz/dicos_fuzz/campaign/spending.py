"""The bounds of a campaign that its players share, in several threads and processes: bytes, conversations a second,
connections.

Knows: numbers in shared memory. Must not know: peers, conversations.

Invariants: no more bytes are granted than there are, to all players together; their turns come no faster than the rate.
The connections are shared out once (`Shares`): no player needs to know how many the others have open.
"""

from __future__ import annotations

import multiprocessing
from ctypes import c_double, c_longlong
from dataclasses import dataclass
from math import inf
from multiprocessing import synchronize
from threading import Lock
from time import monotonic
from typing import Final

from .links import LocalTrouble

__all__ = ["Exhausted", "Shares", "Spending", "share_out"]

BURST: Final = 0.05
"""Seconds whose turns may be taken at once by a player that is late."""
PATIENCE: Final = 30.0
"""Seconds to wait for another player's access to the numbers, which takes microseconds."""
LANE: Final = 8
"""Connections of the lane: a conversation there stalls a few of them."""


class Exhausted(LocalTrouble):
    """All bytes that may be sent are sent."""


class Spending:
    """Numbers that all players of a campaign change.

    `until`: the time, as of `monotonic`, at which every conversation ends. `bytes_most`: bytes to send in all. `rate`:
    conversations a second. `shared`: it may be given to a process, when that starts; not to be pickled otherwise.
    """

    def __init__(self, *, bytes_most: int = 1 << 62, rate: float = inf, shared: bool = False) -> None:
        self.until = inf
        self.bytes_most = bytes_most
        self.rate = rate
        self._lock: Lock | synchronize.Lock = Lock()
        self._sent, self._next = c_longlong(), c_double()
        if shared:
            context = multiprocessing.get_context("spawn")
            self._lock = context.Lock()
            self._sent, self._next = context.Value("q", lock=False), context.Value("d", lock=False)

    @property
    def sent(self) -> int:
        """Bytes granted so far."""
        sent: int = self._sent.value
        return sent

    def take(self, count: int) -> int:
        """Returns how many of `count` bytes may be sent, which are counted as sent. Raises `LocalTrouble`."""
        self._acquire()
        try:
            granted: int = max(0, min(count, self.bytes_most - self._sent.value))
            self._sent.value += granted
            return granted
        finally:
            self._lock.release()

    def turn(self) -> float:
        """Takes the next turn to begin a conversation. Returns its time, as of `monotonic`. Raises `LocalTrouble`."""
        if self.rate == inf:
            return 0.0
        self._acquire()
        try:
            at: float = max(self._next.value, monotonic() - BURST)
            self._next.value = at + 1 / self.rate
            return at
        finally:
            self._lock.release()

    def _acquire(self) -> None:
        if not self._lock.acquire(timeout=PATIENCE):  # its holder was killed
            raise LocalTrouble("a process of this program has ended in the middle of its work")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Connections that may be open at the same time: of the main player, while no worker plays; of each worker; of the
    lane, 0 without one. `jobs`: processes that send, 1: the main player does."""

    jobs: int
    main: int
    worker: int
    lane: int


def share_out(connections: int, jobs: int, *, lane: bool = True, again: bool = False) -> Shares:
    """Shares connections out, so that all players together never have more of them. A worker gets two or more, which
    may cost jobs; one is for the good echoes beside the workers. `again`: one more player, with as many as a worker,
    plays while they do."""
    stalled = LANE if lane and connections >= 2 * LANE else 0
    left = connections - stalled
    jobs = max(1, min(jobs, (left - 1) // 2 - again))
    return Shares(jobs=jobs, main=left, worker=left if jobs == 1 else (left - 1) // (jobs + again), lane=stalled)
