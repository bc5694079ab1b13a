"""The process of a peer on this host: started, watched and restarted; its exit, memory, descriptors, threads and log.

Knows: processes (psutil), /proc. Must not know: conversations, which numbers are a finding (`liveness`).

A peer is watched by its process id, or it is the child of this program (`--command`), whose output is read too. A
process that this program has started is ended with all of its group at the end; any other is left alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Final, Self

import psutil

from dicos_transports.addresses import said

from .log_file import LogFile
from .logs import LONGEST, Complaint, Log

__all__ = ["STARTING", "CannotStart", "Sample", "Watched"]

STARTING: Final = 30.0
"""Seconds that a peer gets to listen after it was started, at most."""
LAST_LINES: Final = 3
LINE: Final = 200
"""Lines of its output, and characters of each, that tell why it does not listen."""
ENDING: Final = 5.0
"""Seconds that it gets to end after SIGTERM."""
EVERY: Final = 0.02
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class CannotStart(Exception):
    """The peer's command cannot be run, or it does not listen; one line that says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The resources that a process and its children use now. `rss`: bytes of memory. `peak`: the most that the process
    alone had so far, 0 where the system does not know. `cpu`: seconds of processor time so far."""

    at: float
    rss: int
    peak: int
    descriptors: int
    threads: int
    cpu: float
    processes: int


class Watched:
    """A peer's process. `Watched(pid=...)` watches one that runs; `Watched(command=...)` starts it: call `start`.

    `restart`: the command that starts the peer again; by default `command`. `ready` returns True once the peer
    listens. `port`: where it listens, by which it is found again after a restart by other means. `starting`: seconds
    that it gets to listen. `log`: a file into which it writes its output. Raises `CannotStart`.
    """

    def __init__(
        self,
        *,
        pid: int | None = None,
        command: Sequence[str] | None = None,
        restart: Sequence[str] | None = None,
        ready: Callable[[], bool] = lambda: True,
        port: int = 0,
        starting: float = STARTING,
        log: Path | None = None,
    ) -> None:
        self._command = command
        self._restart = restart or command
        self._ready = ready
        self._port = port
        self._starting = starting
        self._child: subprocess.Popen[bytes] | None = None
        self._process: psutil.Process | None = None
        self._reader: threading.Thread | None = None
        self._lock = threading.Lock()
        self._log = Log()
        try:
            self._file = None if log is None else LogFile(log)
        except OSError as error:
            raise CannotStart(f"{log}: {said(error)}") from None
        self.starts = 0
        """The number of times that this program has started it."""
        if pid is not None:
            self._process = _process(pid)
            if self._process is None:
                raise CannotStart(f"there is no process {pid}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The process id, None before the start."""
        return None if self._process is None else int(self._process.pid)

    @property
    def restartable(self) -> bool:
        """True if it can be started again."""
        return self._restart is not None

    # -- starting and ending -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the peer, and waits until it listens. Raises `CannotStart`."""
        assert self._command is not None
        self._run(self._command)

    def restart(self) -> None:
        """Ends what is left of the peer, starts it again, and waits until it listens. Raises `CannotStart`."""
        if self._restart is None:
            raise CannotStart("there is no command to start the peer again")
        self.stop()
        self._run(self._restart)

    def _run(self, command: Sequence[str]) -> None:
        environment = {**os.environ, "TCP_NODELAY": "1", "PYTHONUNBUFFERED": "1"}
        try:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                start_new_session=True, env=environment,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise CannotStart(f"{command[0]}: {why}") from error
        self._child, self.starts = child, self.starts + 1
        self._reader = threading.Thread(target=self._read, args=(child,), daemon=True)
        self._reader.start()
        self._process = _process(child.pid)
        until = monotonic() + self._starting
        where = f" on port {self._port}" if self._port else ""
        while not self._ready():
            status = child.poll()
            if status is not None and (status or monotonic() > until):
                raise CannotStart(
                    f"{command[0]} ended ({_ended(status)}) before it listened{where}{self._last_lines()}"
                )
            if monotonic() > until:
                self.stop()
                raise CannotStart(f"{command[0]} does not listen{where} after {self._starting:g} s{self._last_lines()}")
            sleep(EVERY)  # there is no event to wait for
        if child.poll() == 0:  # it left a daemon behind
            self._child, self._process = None, _listener(self._port)

    def _last_lines(self) -> str:
        """Returns the last lines of its output for an error, in printable ASCII."""
        self.settle_log()
        tail = [ascii(one)[1:-1][:LINE] for one in self.tail(LAST_LINES)]
        return f": {' | '.join(tail)}" if tail else "; it has printed nothing"

    def _read(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None
        with child.stdout as output, suppress(ValueError, OSError):
            while line := output.readline(4 * LONGEST):
                with self._lock:
                    self._log.feed(line.decode("utf-8", "replace").rstrip("\r\n"))
        with self._lock:
            self._log.end()

    def stop(self) -> None:
        """Ends the process that this program has started, its group, and its children in other groups. Others are left
        alone."""
        child, self._child = self._child, None
        if child is None:
            return
        family = _children(child.pid)
        for number, patience in ((signal.SIGTERM, ENDING), (signal.SIGKILL, ENDING)):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, number)
            with suppress(subprocess.TimeoutExpired):
                child.wait(patience)
                break
        with suppress(ProcessLookupError, PermissionError):  # children that are left
            os.killpg(child.pid, signal.SIGKILL)
        for one in family:
            with suppress(psutil.Error):  # also if the number is that of another process by now
                one.kill()
        if self._reader is not None:
            self._reader.join(ENDING)

    # -- watching ------------------------------------------------------------------------------------------------

    def gone(self) -> str | None:
        """Returns how the process ended, as "signal SIGSEGV" or "exit status 1"; None while it runs."""
        if self._child is not None:
            status = self._child.poll()
            return None if status is None else _ended(status)
        if self._process is None:
            return None
        try:
            dead = not self._process.is_running() or self._process.status() == psutil.STATUS_ZOMBIE
        except psutil.Error:
            dead = True
        return "ended" if dead else None

    def sample(self) -> Sample | None:
        """Returns what it uses now; None if it is gone, or cannot be read."""
        if self._process is None or self.gone() is not None:
            return None
        try:
            family = [self._process, *self._process.children(recursive=True)]
        except psutil.Error:
            return None
        rss = descriptors = threads = processes = 0
        cpu = 0.0
        for one in family:
            try:
                with one.oneshot():
                    times = one.cpu_times()
                    rss += one.memory_info().rss
                    threads += one.num_threads()
                    descriptors += one.num_fds()
                    cpu += times.user + times.system
                    processes += 1
            except psutil.Error:
                if one is self._process:
                    return None
        return Sample(
            at=monotonic(), rss=rss, peak=self.peak(), descriptors=descriptors, threads=threads, cpu=cpu,
            processes=processes,
        )  # fmt: skip

    def glance(self) -> tuple[int, int, int] | None:
        """Returns descriptors, threads and bytes of memory of the process alone: much faster than `sample`. None if it
        is gone, or the system has no /proc."""
        if self._process is None:
            return None
        try:
            where = Path(f"/proc/{self._process.pid}")
            fields = (where / "stat").read_text().rpartition(")")[2].split()
            return len(os.listdir(where / "fd")), int(fields[17]), int(fields[21]) * _PAGE
        except (OSError, IndexError, ValueError):
            return None

    def peak(self) -> int:
        """Returns the most bytes of memory that the process alone has used so far; 0 if the system does not know."""
        if self._process is None:
            return 0
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text()
        except OSError:
            return 0
        return next((int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM:")), 0)

    def reset_peak(self) -> bool:
        """Begins to measure the most memory again. Returns False if the system does not allow that, proc(5)."""
        if self._process is None:
            return False
        try:
            Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")
        except OSError:
            return False
        return True

    def complaints(self) -> list[Complaint]:
        """Returns the complaints in its output since the last call."""
        with self._lock:
            self._follow()
            return self._log.take()

    def _follow(self) -> None:
        for line in () if self._file is None else self._file.lines():
            self._log.feed(line)

    def tail(self, count: int = 12) -> tuple[str, ...]:
        """Returns the last lines of its output."""
        with self._lock:
            self._follow()
            return self._log.tail(count)

    def settle_log(self, seconds: float = 1.0) -> None:
        """After the end of a process: waits until the rest of its output is read."""
        if self._reader is not None and self._child is not None and self._child.poll() is not None:
            self._reader.join(seconds)


def _children(pid: int) -> list[psutil.Process]:
    """Returns all descendants of a process. Those whose parent has ended already are not known any more."""
    try:
        found: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []
    return found


def _ended(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None


def _listener(port: int) -> psutil.Process | None:
    """Returns the process that listens on a port of this host, None if it cannot be found."""
    try:
        for one in psutil.net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port and one.pid is not None:
                return _process(one.pid)
    except (psutil.Error, OSError):
        pass
    return None
