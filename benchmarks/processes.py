"""Child processes: started, bounded in time, measured, and always ended."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Final

from .options import high_water
from .workloads import ROOT

STARTING: Final = 15.0
"""The seconds that a server may take until it listens."""


class Failed(Exception):
    """A child failed; the reason in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """`seconds`: from before the process was made until it was reaped. `peak`: bytes, the most it had in memory.

    The kernel counts the runner's own memory at the time it made the process, so no peak is below that.
    """

    seconds: float
    peak: int
    output: str


class Child:
    """One child process. A context manager: the process has ended when the block ends."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], folder: str) -> None:
        self.command = command
        self._errors: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed on exit
        self._output: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed on exit
        self.begun = time.perf_counter()
        self._process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=self._output,
            stderr=self._errors,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    def output(self) -> str:
        """The output so far."""
        # By position: the child's own offset is shared with ours.
        return os.pread(self._output.fileno(), 1 << 16, 0).decode(errors="replace")

    def ended(self, seconds: float) -> Ended:
        """Wait for its end, at most `seconds`. Raises `Failed`, also for a status other than 0."""
        pidfd = os.pidfd_open(self._process.pid)
        try:
            if not _readable(pidfd, seconds):
                raise Failed(f"{self.command[0]} did not end within {seconds:g} s")
        finally:
            os.close(pidfd)
        ended = self._reap()
        if self._process.returncode:
            raise Failed(f"{self._name()} ended with status {self._process.returncode}: {self._said()}")
        return ended

    def stop(self) -> Ended:
        """End it now. Its peak is read from the kernel while it still lives."""
        peak = high_water(self._process.pid)
        if self._process.returncode is None:
            self._process.terminate()
            pidfd = os.pidfd_open(self._process.pid)
            try:
                if not _readable(pidfd, 3):
                    self._process.kill()
            finally:
                os.close(pidfd)
        return self._reap(peak)

    def port(self) -> int:
        """Wait for the line `port N` of a server. Raises `Failed`."""
        while "\n" not in self.output():
            self.check()
            time.sleep(0.005)
        return int(self.output().split()[1])

    def listening(self, port: int) -> None:
        """Wait until something listens on `port`. Raises `Failed`.

        It reads the kernel's table, because the server would have to serve a test connection."""
        wanted = f":{port:04X} "
        while True:
            for name in ("/proc/net/tcp", "/proc/net/tcp6"):
                with suppress(OSError), open(name) as table:
                    if any(wanted in line[:30] and " 0A " in line for line in table):
                        return
            self.check()
            time.sleep(0.005)

    def check(self) -> None:
        """Raise `Failed` if it has ended or takes too long to start."""
        if self._process.poll() is not None:
            raise Failed(f"{self._name()} ended with status {self._process.returncode}: {self._said()}")
        if time.perf_counter() - self.begun > STARTING:
            raise Failed(f"{self._name()} does not listen after {STARTING:g} s: {self._said()}")

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()
        self._errors.close()
        self._output.close()

    def _reap(self, peak: int = 0) -> Ended:
        _, status, usage = os.wait4(self._process.pid, 0)
        seconds = time.perf_counter() - self.begun
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return Ended(seconds=seconds, peak=peak or usage.ru_maxrss * 1024, output=self.output())

    def _name(self) -> str:
        return " ".join(self.command[:4])

    def _said(self) -> str:
        lines = os.pread(self._errors.fileno(), 1 << 16, 0).decode(errors="replace").split("\n")
        said = [line.strip() for line in lines + self.output().split("\n") if line.strip()]
        return " / ".join(said[-3:]) or "it said nothing"


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP unwind the stack, so that children are killed and files removed."""

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, leave)


def _readable(fd: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
