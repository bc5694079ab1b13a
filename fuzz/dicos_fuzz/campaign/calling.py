"""A user that is started for each call: the command that makes the peer call this program.

Knows: processes. Must not know: conversations.

Each call is a new process. One that is still there once its connection is gone gets some time to end, and is ended
then. How calls ended is what an oracle asks: a signal is a crash, a user that does not end hangs. An exit status other
than 0 is right, after what was done to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic, sleep
from types import TracebackType
from typing import Final, Self

from .logs import Complaint
from .watching import Watched

__all__ = ["Caller"]

HANGING: Final = 35.0
"""Seconds in which a user ends after its connection is gone: its own timers may be 30 s."""
AGAIN: Final = 0.01


class Caller:
    """Makes the peer call. A context manager; it ends what it has started."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self.port = 0
        """The port to call; it stands for {port} in the command."""
        self._running: Watched | None = None
        self._crash: str | None = None
        self._hangs = 0
        self._complaints: list[Complaint] = []
        self._tail: tuple[str, ...] = ()
        self.calls = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._running is not None:
            self._running.stop()

    def call(self) -> None:
        """Starts a call, after the end of the one before. Raises `CannotStart`."""
        self.end()
        running = Watched(command=[word.replace("{port}", str(self.port)) for word in self._command])
        running.start()
        self._running = running
        self.calls += 1

    def end(self) -> None:
        """Waits for the end of the current call."""
        running, self._running = self._running, None
        if running is None:
            return
        until = monotonic() + HANGING
        while (how := running.gone()) is None and monotonic() < until:
            sleep(AGAIN)  # a process that ends, and its output, are not waited for together
        running.settle_log()
        self._tail = running.tail(12)
        self._complaints += running.complaints()
        if how is None:
            self._hangs += 1
        elif how.startswith("signal"):
            self._crash = how
        running.stop()

    def crashed(self) -> str | None:
        """Returns the signal that ended a call since the last question, None if there was none."""
        self.end()
        found, self._crash = self._crash, None
        return found

    def hung(self) -> bool:
        """Returns True if a call did not end since the last question."""
        found, self._hangs = self._hangs, 0
        return found > 0

    def complaints(self) -> list[Complaint]:
        """Returns the complaints in its output since the last call."""
        found, self._complaints = self._complaints, []
        return found

    def tail(self) -> tuple[str, ...]:
        """Returns the last lines of its output."""
        return self._tail
