"""The `dicos` command as a process without the cost of starting one: a child of an interpreter that has it imported.

It runs `main` in a process of its own, with its own descriptors, environment, folder and signals, and it ends as the
interpreter ends. Two things differ from `python -m dicos_transports.cli`: modules are imported already, and the
interpreter read the PYTHON... variables earlier. Tests of these start the command itself; so do all of `tests/interop`.

Another module with a `main` that reads `sys.argv` can be run in the same way, from an interpreter of its own.
"""

from __future__ import annotations

import atexit
import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from types import MappingProxyType
from typing import IO, Any, Final

DICOS: Final = "dicos_transports.cli"
LENGTH: Final = 4
"""Bytes of the length before a request."""


class Forked:
    """A running command; the part of `subprocess.Popen` that tests use. `status` is readable once it has ended."""

    def __init__(self, pid: int, status: int, streams: Sequence[int], text: bool) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._status = status
        opened: list[IO[Any]] = [open(one, "rb") for one in streams]  # noqa: SIM115  `close` does
        if text:
            opened = [io.TextIOWrapper(one) for one in opened]
        self.stdout, self.stderr = opened

    def __del__(self) -> None:
        if self.returncode is None:
            os.close(self._status)

    def poll(self) -> int | None:
        """Returns the exit status, minus the number of the signal that ended it, or None while the process runs."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end, `timeout` seconds at most. Returns its exit status; raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("dicos", timeout or 0)
            told = os.read(self._status, 64)
            os.close(self._status)
            self.returncode = os.waitstatus_to_exitcode(int(told)) if told else -signal.SIGKILL
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float) -> tuple[Any, Any]:
        """Reads both streams to their ends and waits. Returns what they said; raises `subprocess.TimeoutExpired`."""
        said: dict[int, Any] = {}

        def read(number: int, stream: IO[Any]) -> None:
            said[number] = stream.read()

        readers = [
            threading.Thread(target=read, args=each, daemon=True) for each in enumerate((self.stdout, self.stderr))
        ]
        until = time.monotonic() + timeout
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(max(0, until - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired("dicos", timeout)
        self.wait(max(0, until - time.monotonic()))
        self.close()
        return said[0], said[1]

    def close(self) -> None:
        """Closes both streams."""
        self.stdout.close()
        self.stderr.close()


def start(
    words: Sequence[str],
    environment: Mapping[str, str],
    *,
    text: bool = True,
    timers: Mapping[str, float] = MappingProxyType({}),
    program: str = DICOS,
) -> Forked:
    """Starts `dicos`, or the module `program`, with `words`, in the folder of the caller. Its standard input is empty.

    `timers`: seconds for constants of `dicos_transports`, by their modules and names: "cli.timers.PATIENCE".
    """
    server = _server(program)
    out, its_out = os.pipe()
    err, its_err = os.pipe()
    status, its_status = os.pipe()
    asked = json.dumps(
        {"words": list(words), "environment": dict(environment), "folder": os.getcwd(), "timers": dict(timers)}
    ).encode()
    theirs = (its_out, its_err, its_status)
    try:
        socket.send_fds(server, [len(asked).to_bytes(LENGTH, "big")], theirs)
        server.sendall(asked)
        pid = int.from_bytes(_exactly(server, LENGTH), "big")
    finally:
        for one in theirs:
            os.close(one)
    return Forked(pid, status, (out, err), text)


def run(
    words: Sequence[str], environment: Mapping[str, str], timeout: float, *, text: bool = True, program: str = DICOS
) -> tuple[int, Any, Any]:
    """Runs `dicos` with `words` to its end, as `start`. Returns its exit status, standard output and standard error."""
    process = start(words, environment, text=text, program=program)
    try:
        out, err = process.communicate(timeout)
    finally:
        process.kill()
    return process.wait(timeout), out, err


@cache
def _server(program: str) -> socket.socket:
    """The connection to the interpreter that forks, one for each program and each process that tests."""
    from tests.transports.cli.commands import ENVIRONMENT

    ours, its = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.transports.cli.forking", str(its.fileno()), program],
        pass_fds=[its.fileno()],
        # Threads of a mathematical library would not survive the fork.
        env=ENVIRONMENT | {"OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        # Pipes, as those of its children are: its text streams remember that they cannot seek.
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    its.close()

    def end() -> None:
        ours.close()
        process.communicate()

    atexit.register(end)
    return ours


def _exactly(sock: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = sock.recv(size - len(found))
        assert more, "the interpreter that forks has ended"
        found += more
    return found


def _import_all() -> None:
    """Imports what commands import when they need it."""
    import importlib
    import pkgutil

    import dicos_transports

    for name in ("asyncio", "concurrent.futures", "tempfile", "pydicom", "trio", "OpenSSL", "service_identity"):
        with suppress(ImportError):
            importlib.import_module(name)
    for module in pkgutil.walk_packages(dicos_transports.__path__, "dicos_transports."):
        if not module.name.endswith("__main__"):
            with suppress(ImportError):
                importlib.import_module(module.name)


def _serve(server: socket.socket) -> list[str]:
    """Forks a child for each request, and tells its end. Returns in a child, with its command line."""
    running: dict[int, int] = {}
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(ended, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    while True:
        ready = select.select([server, ended], [], [])[0]
        if ended in ready:
            os.read(ended, 4096)
            while running:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    break
                with suppress(BrokenPipeError):
                    os.write(running[pid], str(status).encode())
                os.close(running.pop(pid))
        if server in ready:
            size, descriptors, _, _ = socket.recv_fds(server, LENGTH, 3)
            if not size:
                for pid in running:
                    os.kill(pid, signal.SIGKILL)
                os._exit(0)
            asked = json.loads(_exactly(server, int.from_bytes(size, "big")))
            out, err, status = descriptors
            pid = os.fork()
            if not pid:
                break
            running[pid] = status
            os.close(out)
            os.close(err)
            server.sendall(pid.to_bytes(LENGTH, "big"))
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(out, 1)
    os.dup2(err, 2)
    for one in (*descriptors, *running.values(), ended, wake, server.fileno()):
        os.close(one)
    server.detach()
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    for name, seconds in asked["timers"].items():
        module, _, constant = f"dicos_transports.{name}".rpartition(".")
        assert isinstance(getattr(sys.modules[module], constant), float), name
        setattr(sys.modules[module], constant, float(seconds))
    words: list[str] = asked["words"]
    return words


if __name__ == "__main__":
    import gc
    import importlib

    program = importlib.import_module(sys.argv[2])
    if program.__name__ == DICOS:
        _import_all()
    gc.collect()
    gc.freeze()
    command_line = _serve(socket.socket(fileno=int(sys.argv[1])))
    sys.argv = [os.path.join(os.path.dirname(str(program.__file__)), "__main__.py"), *command_line]
    sys.exit(program.main())
