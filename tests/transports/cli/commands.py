"""Runs the `dicos` command in processes of their own, and creates files for it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from dicos_proto.registry import uids
from dicos_transports.files import writer as part10_writer
from tests.transports.cli import forking
from tests.transports.connections import CT, EXPLICIT, SYSTEMD

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "dicos_transports.cli"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"} | {
    "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "transports", ROOT / "fuzz")))
}
TIMEOUT = 60.0
"""Seconds that a command gets on a busy machine: none needs one on an idle one."""
ELEMENT = b"\x08\0\x18\0UI\x06\x001.2.3\0"
VERIFICATION = uids.VERIFICATION
carried_by = "blocking"
"""The transport of the commands in a test, set by the fixture `transport`."""


def line(*words: object) -> list[str]:
    """Return a command line."""
    carrier = [] if carried_by == "blocking" else ["--transport", carried_by]
    return [*COMMAND, str(words[0]), *carrier, *map(str, words[1:])] if words else COMMAND


class Result:
    """The result of a command: `status`, standard error as `err`, and the JSON `events` on standard output."""

    def __init__(self, status: int, out: str, err: str) -> None:
        assert "Traceback" not in err, err
        self.status = status
        self.out = out
        self.err = err

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    def named(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == name]


def dicos(*words: object, **options: Any) -> Result:
    """Run the command to its end; as a fork, unless `options` of subprocess.run are given."""
    if not options:
        return Result(*forking.run(line(*words)[len(COMMAND) :], ENVIRONMENT, TIMEOUT))
    done = subprocess.run(line(*words), env=ENVIRONMENT, text=True, capture_output=True, timeout=TIMEOUT, **options)
    return Result(done.returncode, done.stdout, done.stderr)


def starting(command: list[str], sockets: Sequence[socket.socket] | None, pid: str = "SELF") -> list[str]:
    """Return the command line, which with `sockets` passes them to the command as systemd does."""
    if sockets is None:
        return command
    return [sys.executable, "-c", SYSTEMD, pid, ",".join(str(sock.fileno()) for sock in sockets), *command]


class Provider:
    """A running echoscp or storescp. It listens on `port`, unless its first argument is a port."""

    def __init__(
        self, words: tuple[object, ...], options: dict[str, Any], sockets: Sequence[socket.socket] | None
    ) -> None:
        given = len(words) > 1 and isinstance(words[1], int)
        port = () if given or {"--listen", "--activated"}.intersection(map(str, words)) else ("0",)
        command = line(words[0], *port, "--json", *words[1:])
        self.process: subprocess.Popen[str] | forking.Forked
        if options or sockets is not None:
            self.process = subprocess.Popen(
                starting(command, sockets),
                env=ENVIRONMENT,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[sock.fileno() for sock in sockets or ()],
                **options,
            )
        else:
            self.process = forking.start(command[len(COMMAND) :], ENVIRONMENT)
        first = self._out.readline()
        assert first, self._err.read()
        self.listening: dict[str, Any] = json.loads(first)
        self.port: int = self.listening["port"]
        self.said = ""

    def event(self) -> dict[str, Any]:
        """Return its next event."""
        found: dict[str, Any] = json.loads(self._out.readline())
        return found

    @property
    def _out(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    @property
    def _err(self) -> IO[str]:
        assert self.process.stderr is not None
        return self.process.stderr

    def signal(self, number: int = signal.SIGTERM, until: str = "") -> None:
        """Send a signal, and wait until standard error has a line with `until` in it."""
        self.process.send_signal(number)
        self.wait_for(until)

    def wait_for(self, part: str) -> None:
        """Read standard error until `part` is in it."""
        while part not in self.said:
            line = self._err.readline()
            assert line, self.said
            self.said += line

    def hang_up(self) -> None:
        """Close the reading end of its standard output."""
        self._out.close()

    def end(self) -> Result:
        """Return its output and exit status when it has ended."""
        out, err = ("", self._err.read()) if self._out.closed else self.process.communicate(timeout=TIMEOUT)
        return Result(self.process.wait(TIMEOUT), out, self.said + err)

    def stop(self) -> Result:
        """Send SIGTERM and wait for its end."""
        self.signal()
        return self.end()


@contextmanager
def provider(*words: object, sockets: Sequence[socket.socket] | None = None, **options: Any) -> Iterator[Provider]:
    """Run an SCP on a free port, known when it listens; `sockets` are passed to it. Leaves no process behind."""
    running = Provider(words, options, sockets)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()
        for stream in (running.process.stdout, running.process.stderr):
            if stream is not None:
                stream.close()


def dicom_file(
    path: Path, *, sop_class: str = CT, uid: str = "1.2.3", syntax: str = EXPLICIT, pixels: int = 4, data: bytes = b""
) -> Path:
    """Create a small file with `pixels` bytes of zeros, sparse on most disks, or with the data set `data`."""
    header = part10_writer.file_header(sop_class, uid, syntax)
    value = uid.encode("ascii", "backslashreplace")[:1024]
    value += b"\0" * (len(value) % 2)
    named = b"\x08\0\x18\0UI" + len(value).to_bytes(2, "little") + value
    body = data or named + b"\xe0\x7f\x10\0OW\0\0" + pixels.to_bytes(4, "little")
    with open(path, "wb") as file:
        file.write(header + body)
        if not data:
            file.truncate(len(header) + len(body) + pixels)
    return path


@contextmanager
def deaf_port() -> Iterator[int]:
    """Return a port that is bound but not listened on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]
