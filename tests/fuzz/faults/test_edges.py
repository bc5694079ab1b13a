"""Faults at the edge of every adapter: short and failing system calls, no descriptors, full disks."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydicom")

from dicos_fuzz.faults import parse_plan
from dicos_fuzz.faults.edges import (
    FaultyListener,
    FaultySocket,
    Unavailable,
    failing_files,
    no_descriptors,
    small_disk,
)
from dicos_proto.conversation import flows
from dicos_proto.timers import Timeouts
from dicos_transports.application import Application
from dicos_transports.blocking import connect
from dicos_transports.files import receiving
from tests.transports.application.applications import running
from tests.transports.conftest import lines
from tests.transports.connections import CONTEXTS, CT, EXPLICIT, PATIENCE, Lines, stored
from tests.transports.suite.contexts import ADAPTERS, Context, within

__all__ = ["lines"]

CHECKOUT = Path(__file__).resolve().parents[3]
SIZE = 300_000
OBJECT = stored(SIZE)
OUT = 0xA700
"""Out of resources [PS3.4 B.2.3]."""

# -- sockets ---------------------------------------------------------------------------------------------------------


async def converse(at: Context, ends: tuple[Any, Any], size: int = SIZE) -> None:
    """An association, a C-ECHO, a C-STORE, the release."""
    ours, theirs = ends

    async def act() -> None:
        async with await at.connect(ours) as session:
            assert (await session.echo()).status == 0
            assert (await session.store(CT, "1.2", EXPLICIT, bytes(size))).status == 0

    async def peer() -> None:
        async with await at.accept(theirs) as session:
            async for request in session:
                if request.name == "C-STORE-RQ":
                    assert sum([len(piece) async for piece in request.data()]) == size
                await request.respond()

    await at.both(act, peer)


PASSING = {
    "short calls": "out at 0: short 700\nin at 0: short 300",
    "single bytes": "out at 1000: short 1\nout at 1500: short 5000\nin at 100: short 1\nin at 400: short 9000",
    "EAGAIN": "out about 5000: error EAGAIN 3\nin about 5000: error EAGAIN 3",
    "EINTR": "out about 5000: error EINTR\nin about 5000: error EINTR 2",
    "ENOBUFS": "out about 20000: error ENOBUFS",
}


@pytest.mark.parametrize("what", PASSING)
@within(media=("tcp", "unix"), security=("plain", "tls"))
async def test_a_conversation_survives_calls_that_are_short_or_fail_once(at: Context, what: str) -> None:
    ours, theirs = at.ends()
    user, provider = FaultySocket(ours, parse_plan(PASSING[what])), FaultySocket(theirs, parse_plan(PASSING[what]))
    await converse(at, (user, provider))
    assert user.log.counts


@within(media=("tcp", "unix"))
async def test_a_tiny_send_buffer(at: Context) -> None:
    """The system itself takes only a part of each write."""
    ours, theirs = at.ends()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    await converse(at, (ours, theirs), 30_000)


FAILING = {
    "a failed write": ("out at 9000: error {}", r"response: waiting for the one to message \d|TLS: truncated"),
    "a failed read": ("in at {size}: error {}", r"connection closed by the peer in Sta6|TLS: truncated"),
}


@pytest.mark.parametrize("error", ["EPIPE", "ECONNRESET", "ETIMEDOUT"])
@pytest.mark.parametrize("what", FAILING)
@within(media=("tcp",))
async def test_a_call_that_fails_ends_the_association(at: Context, what: str, error: str) -> None:
    """A failed read is the end of file. After a failed write the peer may still say something, until a deadline."""
    plan, told = FAILING[what]
    ours, theirs = at.ends()
    user = FaultySocket(ours, parse_plan(plan.format(error, size=8000 if at.over_tls else 600)))
    session, provider = await at.sessions((user, theirs), user={"timeouts": Timeouts(response=0.2)})

    async def ask() -> None:
        for _ in range(100):
            await session.echo()
            await session.store(CT, "1.2", EXPLICIT, bytes(SIZE))

    async def act() -> None:
        with pytest.raises(flows.AssociationAborted, match=told):
            await ask()
        assert not session.established
        session.close()

    async def peer() -> None:
        with pytest.raises(flows.AssociationAborted):
            await _answer(provider)
        provider.close()

    await at.both(act, peer)
    assert list(user.log.counts) == [1]


async def _answer(session: Any) -> None:
    async for request in session:
        await request.respond()


# -- accepting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"])
@within(media=("tcp", "unix"), security=("plain",))
async def test_a_server_out_of_something_says_so_once_and_goes_on(at: Context, lines: Lines, error: str) -> None:
    listener, where = at.listen()
    faulty = FaultyListener(listener, parse_plan(f"in at 1: error {error} 3"))

    async def echo() -> None:
        async with await at.connect(where) as session:
            assert (await session.echo()).status == 0

    async with at.serve(faulty, _answer) as server:
        await echo()
        await echo()
        await echo()
        assert server.metrics.connections == 3
    said = [text for text in lines.texts() if "cannot accept connections for now" in text]
    assert len(said) == 1
    assert faulty.log.counts == {1: 1}


@within(media=("tcp", "unix"), security=("plain",))
async def test_a_connection_that_is_gone_before_it_is_accepted_is_not_missed(at: Context, lines: Lines) -> None:
    listener, where = at.listen()
    faulty = FaultyListener(listener, parse_plan("in at 0: error ECONNABORTED 2"))
    async with at.serve(faulty, _answer), await at.connect(where) as session:
        assert (await session.echo()).status == 0
    assert lines.texts() == []


@within(media=("tcp",), security=("plain",))
async def test_a_process_without_descriptors(at: Context, lines: Lines) -> None:
    """The limit of the process: connections wait in the backlog, and associations that exist go on."""
    listener, where = at.listen()
    async with at.serve(listener, _answer), await at.connect(where) as session:
        waiting = socket.socket()
        with no_descriptors():
            waiting.connect(where)
            assert (await session.echo()).status == 0
            with pytest.raises(OSError, match="Too many open files") as error:
                os.open(os.devnull, os.O_RDONLY)
            assert error.value.errno == errno.EMFILE
            for _ in range(3):
                assert (await session.echo()).status == 0
            await _until(at, lambda: "cannot accept connections for now" in "".join(lines.texts()))
        async with await at.connect(waiting) as other:
            assert (await other.echo()).status == 0


async def _until(at: Context, there: Callable[[], bool]) -> None:
    """Waits for something that another thread or task does."""
    for _ in range(10_000):
        if there():
            return
        await at.pause()
        await asyncio.sleep(0.001) if at.adapter.name == "asyncio" else time.sleep(0.001)
    raise AssertionError("it does not happen")


# -- storing ---------------------------------------------------------------------------------------------------------


@contextmanager
def archive(adapter: str, folder: Path) -> Iterator[int]:
    """An application that stores into `folder`, in an adapter. Yields its port."""
    app = Application()

    if adapter == "blocking":

        @app.on_store_stream()
        def store(request: Any) -> None:
            receiving.store_into(folder, request)

    else:

        @app.on_store_stream()
        async def store_awaited(request: Any) -> None:
            await receiving.store_into(folder, request)

    with running((adapter, "plain" if adapter == "blocking" else "awaited"), app) as server:
        yield server.port


def statuses(port: int, *names: str) -> list[int]:
    """The statuses of storing an object under each of these names, over one association."""
    with connect(("127.0.0.1", port), CONTEXTS) as session:
        return [session.store(CT, name, EXPLICIT, OBJECT).status for name in names]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_full_disk_is_out_of_resources(adapter: str) -> None:
    """A disk for two objects: the third one is refused, and leaves nothing."""
    try:
        with small_disk(2 * len(OBJECT) + 100_000) as folder, archive(adapter, folder) as port:
            assert statuses(port, "1.1", "1.2", "1.3", "1.4") == [0, 0, OUT, OUT]
            assert len(list(folder.iterdir())) == 2
            next(folder.iterdir()).unlink()
            assert statuses(port, "1.5", "1.6") == [0, OUT]
    except Unavailable as why:
        pytest.skip(str(why))


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize(
    ("error", "status"), [("ENOSPC", 0xA700), ("EDQUOT", 0xA700), ("EIO", 0x0110), ("EMFILE", 0xA700)]
)
@pytest.mark.parametrize("after", [0, 100_000])
def test_a_write_that_fails_is_answered_and_leaves_nothing(
    adapter: str, error: str, status: int, after: int, tmp_path: Path
) -> None:
    with archive(adapter, tmp_path) as port:
        with failing_files(tmp_path, error, after=after):
            assert statuses(port, "1.1", "1.2") == [status, status]
        assert list(tmp_path.iterdir()) == []
        assert statuses(port, "1.1") == [0]
    assert len(list(tmp_path.iterdir())) == 1


def test_files_that_fail_elsewhere_are_not_concerned(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with failing_files(tmp_path / "in", "EIO"):
        (tmp_path / "other").write_bytes(b"x" * 100_000)
    with (
        pytest.raises(ValueError, match=r"^failing_files\(error='EHOSTILE'\): one of EPIPE, "),
        failing_files(tmp_path, "EHOSTILE"),
    ):
        pass


LIMITED = """
import sys
from pathlib import Path
from dicos_fuzz.faults.edges import file_size
from tests.fuzz.faults.test_edges import archive, statuses
folder = Path(sys.argv[2])
with file_size(100_000), archive(sys.argv[1], folder) as port:
    print(statuses(port, "1.1", "1.2"), list(folder.iterdir()))
"""


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_limit_of_the_size_of_files(adapter: str, tmp_path: Path) -> None:
    """In a process of its own: the limit concerns all files that a process writes."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, adapter, str(tmp_path)], cwd=CHECKOUT, capture_output=True, text=True,
        timeout=PATIENCE, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert (done.stdout, done.returncode) == (f"[{OUT}, {OUT}] []\n", 0), done.stderr


# -- plans that a system call cannot have ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("out at 5: split", r"^FaultySocket: out at 5: split; a system call has only short and error$"),
        ("out pdu any 1: short 5", r"; a system call knows only how many bytes have passed$"),
        ("in after 3: error EPIPE", r"; a system call knows only how many bytes have passed$"),
    ],
)
def test_other_faults_are_refused(line: str, told: str) -> None:
    one, other = socket.socketpair()
    with one, other, pytest.raises(ValueError, match=told):
        FaultySocket(one, parse_plan(line))
    with one, other, pytest.raises(ValueError, match=r"^FaultyListener: .*; a system call has only error$"):
        FaultyListener(one, parse_plan("in at 0: short 5"))


def test_the_calls_of_a_socket() -> None:
    one, other = socket.socketpair()
    with FaultySocket(one, parse_plan("out at 0: short 3\nout at 5: error EAGAIN\nin at 2: short 2")) as faulty, other:
        assert faulty.send(b"abcdef") == 3
        assert faulty.sendmsg([b"d", b"", b"efg"]) == 2  # up to the place of the next fault
        with pytest.raises(BlockingIOError):
            faulty.send(b"f")
        assert faulty.send(bytearray(b"f")) == 1
        assert other.recv(100) == b"abcdef"
        other.sendall(b"123456")
        assert [faulty.recv(100), faulty.recv(100), faulty.recv(1)] == [b"12", b"34", b"5"]
        assert faulty.recv_into(bytearray(10)) == 1
        assert faulty.recv_into(memoryview(bytearray(0))) == 0
        assert faulty.log.counts == {1: 1, 2: 1, 3: 1}
