"""Faults at the edge of an adapter: sockets that take a byte at a time or fail, and a system that is out of something.

    with connect(FaultySocket(sock, parse_plan("out every 100: error EAGAIN")), contexts) as session: ...
    with no_descriptors(): ...

`FaultySocket` and `FaultyListener` raise what a system call may raise. The context managers make the system itself say
no: no descriptor is left, files may not grow, a disk is full; only `failing_files` stands between a program and its
system calls.

Knows: sockets, limits of a process, files. Must not know: associations.
"""

from __future__ import annotations

import errno
import os
import resource
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final
from unittest import mock

from dicos_proto.wire import Buffer

from .effects import ERRORS, TRANSIENT, After, Direction, Error, Pdu, Short
from .log import Log
from .plan import FaultPlan
from .triggers import Triggers

__all__ = [
    "FaultyListener",
    "FaultySocket",
    "Unavailable",
    "failing_files",
    "file_size",
    "no_descriptors",
    "small_disk",
]

ANY: Final = 1 << 62


class Unavailable(Exception):
    """This system, or this user of it, cannot make such a fault; the text says why."""


def os_error(name: str) -> OSError:
    """Returns the error of this name, of the class that Python gives it."""
    code: int = getattr(errno, name)
    return OSError(code, os.strerror(code))


class _Edge:
    """One direction of a socket: how many bytes a call may pass, and what it raises."""

    def __init__(self, plan: FaultPlan, direction: Direction, log: Log) -> None:
        self._direction = direction
        self._triggers = Triggers(plan.of(direction), Random(2 * plan.seed + (direction is Direction.OUT)))
        self._log = log
        self._at = 0
        self._short = ANY
        self._error = ""
        self._left = 0  # how often it is still raised

    def room(self, size: int) -> int:
        """Returns how many bytes of `size` may pass in this call. Raises the error that is due."""
        for number, fault in self._triggers.due(self._at, more=True):
            match fault.effect:
                case Short(size=short):
                    self._short = short
                case Error(error=name, times=times):
                    self._error = name
                    self._left = times if name in TRANSIENT else ANY
            self._log.add(number, self._direction, self._at, str(fault.effect))
        if self._left > 0:
            self._left -= 1
            raise os_error(self._error)
        return min(size, self._short, max(self._triggers.nearest - self._at, 0))

    def passed(self, size: int) -> None:
        """This many bytes have passed."""
        self._at += size


def _check(plan: FaultPlan, what: str, allowed: tuple[type, ...]) -> None:
    for fault in plan.faults:
        if not isinstance(fault.effect, allowed):
            names = " and ".join(kind.__name__.lower() for kind in allowed)
            raise ValueError(f"{what}: {fault}; a system call has only {names}")
        if isinstance(fault.place, Pdu | After):
            raise ValueError(f"{what}: {fault}; a system call knows only how many bytes have passed")


class FaultySocket(socket.socket):
    """A connected socket whose calls are short, or raise, where a plan says so; it takes `sock` over.

    `out` is `send` and `sendmsg`, `in` is `recv` and `recv_into`. Raises ValueError for a plan with other effects than
    `short` and `error`, or with places in PDUs or in time.
    """

    def __init__(self, sock: socket.socket, plan: FaultPlan) -> None:
        _check(plan, "FaultySocket", (Short, Error))
        timeout = sock.gettimeout()
        super().__init__(fileno=sock.detach())
        self.settimeout(timeout)
        self.log = Log()
        """The faults that have struck."""
        self._out = _Edge(plan, Direction.OUT, self.log)
        self._in = _Edge(plan, Direction.IN, self.log)

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Like `socket.send`, with faults."""
        view = memoryview(data).cast("B")
        sent = super().send(view[: self._out.room(len(view))], flags)
        self._out.passed(sent)
        return sent

    def sendmsg(self, buffers: Iterable[Any], ancillary: Any = (), flags: int = 0, address: Any = None, /) -> int:
        """Like `socket.sendmsg`, with faults."""
        views = [memoryview(one).cast("B") for one in buffers]
        sent = super().sendmsg(_first(views, self._out.room(sum(map(len, views)))), ancillary, flags)
        self._out.passed(sent)
        return sent

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Like `socket.recv`, with faults."""
        data = super().recv(self._in.room(size), flags)
        self._in.passed(len(data))
        return data

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        """Like `socket.recv_into`, with faults."""
        count = super().recv_into(buffer, self._in.room(size or memoryview(buffer).nbytes), flags)
        self._in.passed(count)
        return count


class FaultyListener(socket.socket):
    """A listening socket whose `accept` raises where a plan says so; it takes `sock` over.

    `in` counts connections. Raises ValueError for a plan with other effects than `error`.
    """

    def __init__(self, sock: socket.socket, plan: FaultPlan) -> None:
        _check(plan, "FaultyListener", (Error,))
        timeout = sock.gettimeout()
        super().__init__(fileno=sock.detach())
        self.settimeout(timeout)
        self.log = Log()
        """The faults that have struck."""
        self._edge = _Edge(plan, Direction.IN, self.log)

    def accept(self) -> tuple[socket.socket, Any]:
        """Like `socket.accept`, with faults."""
        self._edge.room(1)
        found = super().accept()
        self._edge.passed(1)
        return found


# -- the system is out of something ----------------------------------------------------------------------------------


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Meanwhile this process gets no descriptor: EMFILE from `accept`, `open`, `socket`. Threads get none either."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def file_size(most: int) -> Iterator[None]:
    """Meanwhile no file that this process writes grows beyond `most` bytes: EFBIG. That is true of log files too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def small_disk(size: int) -> Iterator[Path]:
    """A folder on a disk of `size` bytes of its own: ENOSPC once it is full. Raises `Unavailable` without the right to
    mount one."""
    with tempfile.TemporaryDirectory(prefix="small-disk-") as folder:
        words = ["mount", "-t", "tmpfs", "-o", f"size={size},nr_inodes=100", "tmpfs", folder]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
        except OSError as error:
            raise Unavailable(f"mount: {error.strerror}") from None
        if done.returncode:
            raise Unavailable(f"mount: {done.stderr.strip()}")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], capture_output=True, timeout=30, check=False)


@contextmanager
def failing_files(folder: Path, error: str = "EIO", *, after: int = 0) -> Iterator[None]:
    """Meanwhile writing to files below `folder` raises `error`, once `after` bytes were written to them in all. The
    write before is short, as on a disk that becomes full.

    It works on `os.write` and `os.writev` of this process. Raises ValueError for another error than those of `ERRORS`.
    """
    if error not in ERRORS:
        raise ValueError(f"failing_files(error={error!a}): one of {', '.join(ERRORS)}")
    place, written = str(folder.resolve()) + os.sep, 0

    real_write, real_writev = os.write, os.writev

    def writev(fd: int, buffers: Sequence[Buffer]) -> int:
        nonlocal written
        if not _path_of(fd).startswith(place):
            return real_writev(fd, buffers)
        if written >= after:
            raise os_error(error)
        done = real_writev(fd, _first(buffers, after - written))
        written += done
        return done

    def write(fd: int, data: Buffer) -> int:
        return writev(fd, [data]) if _path_of(fd).startswith(place) else real_write(fd, data)

    with mock.patch("os.write", write), mock.patch("os.writev", writev):
        yield


def _first(buffers: Iterable[Any], size: int) -> list[memoryview]:
    """The first bytes of some buffers."""
    found: list[memoryview] = []
    for buffer in buffers:
        view = memoryview(buffer).cast("B")[:size]
        size -= len(view)
        if len(view):
            found.append(view)
    return found


def _path_of(fd: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""
