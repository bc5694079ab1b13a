"""A helper process: it reads volumes, recognises, makes reports and draws; a fault there cannot hurt the station.

The station asks with one JSON object on a line, and gets one back, over a pair of sockets. The scan is named by its
path: the helper maps the file into memory, so a volume is never copied between the two. A helper that does not answer
in time, or dies, is killed, and another one is started for the next request.

Knows: processes and lines. Must not know: what is asked. Invariants: a request ends within its time, whatever the
helper does; a helper ends with its station.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from time import monotonic
from typing import Any, Final

__all__ = ["Helper", "HelperDied", "HelperError", "HelperHung", "HelperStopped"]

START: Final = 60.0
"""Seconds that a helper has to start: to import a recogniser may take long."""
KILLED: Final = 2.0
"""Seconds to wait for a process that was killed."""
LOOK: Final = 0.5
"""Seconds between two looks whether the station is stopping. Stops: `close` just before a process is started, which
nobody kills then."""
LONGEST: Final = 1 << 20
"""Most bytes of an answer."""


class HelperError(Exception):
    """The helper answered that it failed. The text is the reason: it holds no values of a data set."""

    def __init__(self, why: str, *, full: bool = False, reason: str = "NOT_REVIEWED") -> None:
        super().__init__(why)
        self.full = full
        """True if the disk is full."""
        self.reason = reason
        """The reason as a report with the abort flag has it (4010,1021)."""


class HelperDied(HelperError):
    """The helper ended before it answered."""


class HelperHung(HelperError):
    """The helper did not answer in time, and was killed."""


class HelperStopped(Exception):
    """The station is stopping."""


class Helper:
    """One helper process, started when it is needed. Its requests are answered one after the other.

    `words`: the arguments of `child`.
    """

    def __init__(self, *words: str) -> None:
        self._words = words
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._stopping = False

    def start(self) -> None:
        """Starts the process, and waits until it is ready. Raises `HelperError`."""
        with self._turn:
            self._ready()

    def ask(self, seconds: float, **request: Any) -> dict[str, Any]:
        """Asks, and returns the answer. Raises `HelperError`, `HelperStopped`."""
        with self._turn:
            self._ready()
            return self._talk(request, seconds)

    def close(self) -> None:
        """Kills the process. A request that is running raises `HelperStopped`."""
        self._stopping = True
        process = self._process
        if process is not None:
            process.kill()
        if self._turn.acquire(timeout=KILLED):
            try:
                self._end()
            finally:
                self._turn.release()

    def _ready(self) -> None:
        if self._stopping:
            raise HelperStopped
        if self._process is not None and self._process.poll() is None:
            return
        self._end()
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "dicos_transports.screening.child", str(theirs.fileno()), *self._words]
        try:
            self._process = subprocess.Popen(
                command, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )  # fmt: skip
        except OSError as error:
            ours.close()
            raise HelperDied(f"a helper process cannot be started: {error.strerror}") from error
        finally:
            theirs.close()
        self._socket = ours
        self._talk(None, START)  # which ends soon if `close` has not seen this process

    def _talk(self, request: dict[str, Any] | None, seconds: float) -> dict[str, Any]:
        """Sends a request, unless it is None, and reads the next answer."""
        at = self._socket
        assert at is not None  # since `_ready`
        try:
            if request is not None:
                at.sendall(json.dumps({**request, "seconds": seconds}).encode() + b"\n")
            answer = json.loads(self._line(at, monotonic() + seconds))
        except (OSError, EOFError, ValueError) as error:
            process = self._process
            self._end()
            if self._stopping:
                raise HelperStopped from error
            if isinstance(error, TimeoutError):
                raise HelperHung(f"no result within {seconds:g} s", reason="TIMEOUT") from error
            raise HelperDied(_how(process)) from error
        if "error" in answer:
            reason = str(answer.get("reason", "NOT_REVIEWED"))
            raise HelperError(str(answer["error"]), full=bool(answer.get("full")), reason=reason)
        found: dict[str, Any] = answer
        return found

    def _line(self, at: socket.socket, until: float) -> bytes:
        found = bytearray()
        poll = select.poll()
        poll.register(at, select.POLLIN)
        while not found.endswith(b"\n"):
            left = max(0.0, until - monotonic())
            if not poll.poll(min(left, LOOK) * 1000):
                if self._stopping:
                    raise EOFError
                if left <= LOOK:
                    raise TimeoutError
                continue
            piece = at.recv(65536)
            if not piece:
                raise EOFError
            found += piece
            if len(found) > LONGEST:
                raise ValueError("an answer that is too long")
        return bytes(found)

    def _end(self) -> None:
        process, self._process = self._process, None
        at, self._socket = self._socket, None
        if at is not None:
            at.close()
        if process is not None:
            with suppress(OSError):
                process.kill()
            with suppress(subprocess.TimeoutExpired):  # a process that waits for a dead disk cannot end
                process.wait(KILLED)


def _how(process: subprocess.Popen[bytes] | None) -> str:
    code = None if process is None else process.returncode
    if code is None:
        return "the process of the recogniser ended"
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit status {code}"
    return f"the process of the recogniser {how}"
