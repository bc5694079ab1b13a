"""Targets for servers over loopback, with the storing path behind them: real sockets, threads and event loops.

Knows: how a client writes, reads and ends a connection. Must not know: how servers work.

After each run the server has closed the connection, holds no slot for it, has logged no error of its own, and has
stored only whole objects, those that it answered with success. Now and then it has as many descriptors, threads and
tasks as before, and answers a good C-ECHO.
"""

from __future__ import annotations

import importlib.util
import select
import socket
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from dicos_proto.dimse.codec import decode_command
from dicos_proto.dimse.types import CStoreResponse
from dicos_proto.limits import Limits
from dicos_proto.registry.status import category
from dicos_proto.registry.status_tables import Category
from dicos_proto.tolerance import Judge
from dicos_transports.files.part10 import Part10Error, inspect, read_chunks

from ...grammar.building import Offer, echo, request
from ...grammar.reading import read_stream
from ..cases import recorded
from ..hosts import ADAPTERS, Host, host, running
from ..oracles import check_sent, reassembled
from ..places import descriptors, empty, threads
from ..seeds import acceptor_streams
from ..tape import Bases, Tape, raw
from ..target import Bounds, OracleFailure, Target, Watch, check
from .engines import chunks
from .pdus import WORDS

__all__ = ["TARGETS"]

_PATIENCE: Final = 30.0
"""Seconds for what takes milliseconds: only what hangs takes that long, also on a busy machine."""
_LATE: Final = 30.0
"""Seconds for what may end a little later than its connection: a thread, a task."""
_LINGER: Final = struct.pack("ii", 1, 0)
_EVERY: Final = 64
_STREAMS: Final = Bases(lambda: [*(user for user, _ in recorded()), *acceptor_streams()], read_stream)
_HELD: dict[str, tuple[int, int, int]] = {}
"""By adapter: the number of servers in this process, its descriptors and the server's tasks when nothing was connected
to them."""
_JUDGE: Final = Judge(Limits())
_GOOD: Final = (Category.SUCCESS, Category.WARNING)
_RUNS: dict[str, int] = {}


def _serving(data: bytes, watch: Watch, adapter: str) -> None:
    tape = Tape(data)
    first, how = tape.byte(), tape.byte()
    stream = _STREAMS.take(tape)
    server = host(adapter)
    number = _RUNS[adapter] = _RUNS.get(adapter, 0) + 1
    if _HELD.get(adapter, (0,))[0] != running():
        _good(server)
        _until_idle(server)
        _HELD[adapter] = running(), descriptors(), server.tasks()
    empty(server.files)  # a run that failed may have left some
    server.errors.clear()  # other servers of this process log to the same place
    answer, reset = _talk(server, stream, first, how)
    _until_idle(server)
    if not reset:
        check_sent(answer)
    watch((len(answer).bit_length(), reset, answer[:1], answer[-4:]))
    if server.errors:
        text = server.errors[0]
        server.errors.clear()
        raise OracleFailure(f"the server reports an error of its own: {text}")
    files = _check_files(server.files, stream, watch)
    if not adapter.startswith("application"):  # its function keeps few objects, and one of each name
        _check_statuses(answer, stream, files)
    if number % _EVERY == 0:
        _good(server)
        _until_idle(server)
        _check_held(adapter, server)


def _talk(server: Host, stream: bytes, first: int, how: int) -> tuple[bytes, bool]:
    """Sends the stream, ends the connection as the tape says, and reads to the end. Returns the answer, and True if
    the connection was reset."""
    answer = bytearray()
    with socket.create_connection(("127.0.0.1", server.server.port), timeout=_PATIENCE) as sock:
        server.connected += 1
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for chunk in chunks(stream, how):
                sock.sendall(chunk)
                if first & 1:
                    _read_ready(sock, answer)
            end = first >> 1 & 3
            if end == 0 or end == 1:
                sock.shutdown(socket.SHUT_WR)
            elif end == 2:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
                return bytes(answer), True
            else:
                return bytes(answer), True  # closed with unread answers: a reset, too
            while piece := sock.recv(65_536):
                answer += piece
        except TimeoutError:
            raise OracleFailure(f"the server does not close within {_PATIENCE:g} s of the end of the stream") from None
        except ConnectionError:
            return bytes(answer), True
    return bytes(answer), False


def _read_ready(sock: socket.socket, answer: bytearray) -> None:
    while select.select([sock], [], [], 0)[0]:
        piece = sock.recv(65_536)
        if not piece:
            return
        answer += piece


def _until_idle(server: Host) -> None:
    until = time.monotonic() + _PATIENCE
    wait = 0.0001
    while server.busy:
        if time.monotonic() > until:
            raise OracleFailure(f"{server.busy} connections are held {_PATIENCE:g} s after their end")
        time.sleep(wait)
        wait = min(2 * wait, 0.05)


def _good(server: Host) -> None:
    """A good C-ECHO and release."""
    release = bytes.fromhex("05000000000400000000")
    answer, reset = _talk(server, request(Offer()) + echo() + release, 0, 0)
    check(not reset and answer[-10:] == b"\6" + release[1:], f"no good answer to a good C-ECHO: {answer[-32:].hex()}")


def _check_held(adapter: str, server: Host) -> None:
    """The process holds what it held before."""
    until = time.monotonic() + _LATE
    _, before, tasks = _HELD[adapter]
    while descriptors() > before or server.tasks() > tasks or threads("127.0.0.1:"):
        if time.monotonic() > until:
            held = f"{descriptors()} descriptors, before {before}; {server.tasks()} tasks, before {tasks}"
            _HELD.pop(adapter)
            raise OracleFailure(f"left behind: {held}; threads {threads('127.0.0.1:')[:3]}")
        time.sleep(0.01)


def _check_files(files: Path, stream: bytes, watch: Watch) -> int:
    """Every file that was stored is complete, and its data set is one of the stream. Returns their number."""
    found = sorted(files.iterdir())
    if not found:
        return 0
    sent = {one.data for one in reassembled(stream)}
    watch(("stored", len(found)))
    try:
        for path in found:
            check(not path.name.startswith("."), f"an incomplete file is left: {path.name}")
            try:
                file = inspect(path)
            except Part10Error as fault:
                raise OracleFailure(f"stored what cannot be read: {fault.reason}") from None
            whole = b"".join(bytes(one) for one in read_chunks(file))
            check(whole in sent, f"{len(whole)} bytes stored that were not sent")
    finally:
        with suppress(OSError):
            empty(files)
    return len(found)


def _check_statuses(answer: bytes, stream: bytes, files: int) -> None:
    """Each C-STORE that is answered with success has a file, and none that is answered with a failure has one. A
    connection may break between the file and the answer."""
    commands = [decode_command(one.command, _JUDGE)[0] for one in reassembled(answer)]
    stored = [category(one.status) in _GOOD for one in commands if isinstance(one, CStoreResponse)]
    good, failed = stored.count(True), stored.count(False)
    check(good <= files, f"{good} objects answered with success; {files} stored")
    if failed:
        asked = sum(1 for _ in reassembled(stream))
        check(files <= asked - failed, f"{failed} of {asked} messages answered with a failure; {files} stored")


_ABOUT: Final = {
    "blocking": "a server of the blocking adapter that stores",
    "asyncio": "a server of the asyncio adapter that stores",
    "trio": "a server of the trio adapter that stores",
    "application": "an application of every service in threads",
    "application-asyncio": "an application of every service, awaited, in asyncio",
}


def _tapes() -> list[bytes]:
    return [raw(bytes((first, how)), one) for one in _STREAMS.all for first, how in ((0, 0), (1, 3), (4, 0), (7, 2))]


def _available() -> list[str]:
    return [one for one in ADAPTERS if one != "trio" or importlib.util.find_spec("trio") is not None]


TARGETS: Final = tuple(
    Target(
        name=f"serving-{adapter}",
        about=f"{_ABOUT[adapter]}, over loopback",
        body=lambda data, watch, adapter=adapter: _serving(data, watch, adapter),  # type: ignore[misc]
        seeds=_tapes,
        made=lambda random: raw(
            bytes((random.randrange(8), random.choice((0, 0, random.randrange(256))))), _STREAMS.made(random)
        ),
        words=WORDS,
        bounds=Bounds(memory=8 << 20, memory_a_byte=64, time=2_000_000, time_a_byte=600),
        longest=16 << 10,
        isolated=True,
    )
    for adapter in _available()
)
