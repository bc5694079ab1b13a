"""Faults of the network between two ends, for every adapter: delay, loss, reset, one direction dead.

A proxy of ours does to the bytes what a network does to them, at an exact byte of the conversation; where the system
lets this process have network namespaces, the real one does it too, between two of them.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from dicos_proto.conversation import flows
from dicos_proto.timers import Timeouts
from tests.transports.connections import PATIENCE
from tests.transports.suite.adapters import LINGER_NOT
from tests.transports.suite.contexts import ADAPTERS, ASKED, CT, EXPLICIT, MAKE, Context, encode

T = TypeVar("T")
PHASES = ("artim", "association", "release", "pdu", "message", "response", "idle", "write_stall")
SHORT, LATER = (Timeouts(**dict.fromkeys(PHASES, seconds)) for seconds in (0.3, 0.9))
"""Timeouts of the user, which gives up first, and of the provider. Only for tests of deadlines: on a busy machine any
conversation may pass one."""
DATA = bytes(range(256)) * 80


@pytest.fixture(params=ADAPTERS)
def at(request: pytest.FixtureRequest, tmp_path: Path) -> Context:
    return Context(MAKE[request.param](), "plain", "tcp", tmp_path)


async def provide(session: Any) -> None:
    async with session:
        async for request in session:
            if request.name == "C-STORE-RQ":
                assert await request.read() == DATA
            await request.respond()


async def converse(session: Any) -> None:
    async with session:
        assert (await session.echo()).status == 0
        assert (await session.store(CT, "1.2", EXPLICIT, DATA)).status == 0


# -- a proxy ---------------------------------------------------------------------------------------------------------


class Fault:
    """An action that is taken once a direction has carried `after` bytes."""

    def __init__(self, *, there: bool, after: int, what: Callable[[Proxy], None]) -> None:
        self.there = there
        self.after = after
        self.what = what


class Proxy:
    """Carries one connection to a port, and has at most one fault."""

    def __init__(self, port: int, fault: Fault | None = None, delay: float = 0) -> None:
        self._port = port
        self._fault = fault
        self._delay = delay
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._ends: list[socket.socket] = []
        self.over = threading.Event()
        self.carried = {True: 0, False: 0}
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def _serve(self) -> None:
        ours, _ = self._listener.accept()
        self._listener.close()  # one connection: another one is refused
        theirs = socket.create_connection(("127.0.0.1", self._port))
        self._ends = [ours, theirs]
        for sock in self._ends:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for source, target, there in ((ours, theirs, True), (theirs, ours, False)):
            thread = threading.Thread(target=self._carry, args=(source, target, there), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _carry(self, source: socket.socket, target: socket.socket, there: bool) -> None:
        fault = self._fault if self._fault is not None and self._fault.there is there else None
        try:
            while not self.over.is_set():
                left = None if fault is None else fault.after - self.carried[there]
                if fault is not None and left == 0:
                    fault.what(self)
                    fault = None
                    continue
                data = source.recv(65536 if left is None else min(left, 65536))
                if self._delay:
                    time.sleep(self._delay)
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                self.carried[there] += len(data)
                target.sendall(data)
        except OSError:
            for sock in self._ends:  # if one end fails, both are closed
                _shut(sock)

    def reset(self) -> None:
        self.over.set()
        for sock in self._ends:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
            _shut(sock, socket.SHUT_RD)  # a thread that receives from it returns, so that closing takes effect
            sock.close()

    def pause(self) -> None:
        """Bytes are lost, and come later."""
        self.over.wait(0.15)

    def hold(self) -> None:
        """Bytes of this direction are lost from now on."""
        self.over.wait(PATIENCE)

    def close(self) -> None:
        self.over.set()
        self._listener.close()
        for sock in self._ends:
            _shut(sock)
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        for sock in self._ends:
            sock.close()


def _shut(sock: socket.socket, how: int = socket.SHUT_RDWR) -> None:
    with suppress(OSError):
        sock.shutdown(how)


@contextmanager
def proxy(port: int, fault: Fault | None = None, delay: float = 0) -> Iterator[Proxy]:
    made = Proxy(port, fault, delay)
    try:
        yield made
    finally:
        made.close()


async def through(
    at: Context, fault: Fault | None, *, delay: float = 0, user: Timeouts = SHORT, provider: Timeouts = LATER
) -> dict[bool, int]:
    """A conversation through a proxy, and after it one without, with the same server; the bytes carried each way."""
    async with at.serve(("127.0.0.1", 0), provide, timeouts=provider) as server:
        with proxy(server.port, fault, delay) as between:
            try:
                await converse(await at.connect(between.address, timeouts=user))
            finally:
                async with await at.connect(("127.0.0.1", server.port)) as other:
                    assert (await other.echo()).status == 0
    return between.carried


def _size_of_conversation() -> dict[bool, int]:
    found: list[dict[bool, int]] = []

    async def main() -> None:
        found.append(await through(at, None))

    at = Context(MAKE["blocking"](), "plain", "tcp", Path())
    at.run(main)
    return found[0]


def test_delay(at: Context) -> None:
    async def main() -> None:
        carried = await through(at, None, delay=0.02, user=Timeouts(), provider=Timeouts())
        assert carried[True] > len(DATA)

    at.run(main)


THERE = len(encode(ASKED))
"""Bytes of the user's first PDU; an answer is a little shorter."""
POSITIONS = {
    True: (1, 5, 6, 7, THERE - 1, THERE, THERE + 1, THERE + 6, THERE + 12, THERE + 80, THERE + 300, THERE + 9000, -10,
           -1),
    False: (1, 6, 100, 300, -110, -90, -11, -10, -5),
}  # fmt: skip
"""Of bytes after which something happens; negative ones from the end of the conversation."""
WHERE = [(there, after) for there, positions in POSITIONS.items() for after in positions]


@pytest.fixture(scope="module")
def size() -> dict[bool, int]:
    return _size_of_conversation()


@pytest.mark.parametrize(("there", "after"), WHERE)
def test_reset(at: Context, there: bool, after: int, size: dict[bool, int]) -> None:
    fault = Fault(there=there, after=after % size[there], what=Proxy.reset)

    async def main() -> None:
        with pytest.raises(flows.AssociationError):
            await through(at, fault, user=Timeouts(), provider=Timeouts())  # no deadline has a part in it

    at.run(main)


@pytest.mark.parametrize(("there", "after"), WHERE[::3])
def test_loss_that_is_made_good(at: Context, there: bool, after: int, size: dict[bool, int]) -> None:
    fault = Fault(there=there, after=after % size[there], what=Proxy.pause)

    async def main() -> None:
        assert await through(at, fault, user=Timeouts(), provider=Timeouts()) == size

    at.run(main)


@pytest.mark.parametrize(("there", "after"), WHERE[1::4])
def test_one_direction_is_dead_from_then_on(at: Context, there: bool, after: int, size: dict[bool, int]) -> None:
    """Neither end is notified. Each finds out by a deadline."""
    fault = Fault(there=there, after=after % size[there], what=Proxy.hold)

    async def main() -> None:
        with pytest.raises(flows.AssociationError, match=r"nothing within 0\.3 s"):
            await through(at, fault)

    at.run(main)


# -- two network namespaces ------------------------------------------------------------------------------------------


class Namespaces:
    """Two, connected by a cable that can be cut. A socket belongs to the one it was made in, wherever it is used."""

    OURS, THEIRS = "10.231.77.1", "10.231.77.2"

    def __init__(self) -> None:
        self.names = [f"dicos-{os.getpid()}-{side}" for side in "ab"]

    def make(self) -> None:
        one, other = self.names
        for name in self.names:
            self.tell("netns", "add", name)
        self.tell("link", "add", "va", "netns", one, "type", "veth", "peer", "name", "vb", "netns", other)
        for name, device, address in ((one, "va", self.OURS), (other, "vb", self.THEIRS)):
            self.tell("-n", name, "addr", "add", f"{address}/24", "dev", device)
            self.tell("-n", name, "link", "set", device, "up")

    def remove(self) -> None:
        for name in self.names:
            subprocess.run(("ip", "netns", "del", name), capture_output=True, check=False)

    def tell(self, *words: str) -> None:
        _run("ip", *words)

    def within(self, side: int, work: Callable[[], T]) -> T:
        """Do it in a thread that is in this namespace."""
        found: list[T] = []
        faults: list[BaseException] = []

        def enter() -> None:
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                with open(f"/run/netns/{self.names[side]}") as namespace:
                    if libc.setns(namespace.fileno(), 0x40000000):
                        raise OSError(ctypes.get_errno(), "setns")
                found.append(work())
            except BaseException as fault:
                faults.append(fault)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join(PATIENCE)
        if faults:
            raise faults[0]
        return found[0]

    def ends(self) -> tuple[socket.socket, socket.socket]:
        """A connection from the one to the other."""
        listener = self.within(1, lambda: socket.create_server((self.THEIRS, 0)))
        with listener:
            where = listener.getsockname()
            ours = self.within(0, lambda: socket.create_connection(where, PATIENCE))
            theirs, _ = listener.accept()
        return ours, theirs

    def lose(self, side: int) -> None:
        """Data from this side is lost; data to this side still arrives."""
        self.tell("-n", self.names[side], "neigh", "replace", (self.THEIRS, self.OURS)[side],
                  "lladdr", "02:00:00:00:00:99", "dev", "va" if side == 0 else "vb", "nud", "permanent")  # fmt: skip

    def find(self, side: int) -> None:
        """It reaches the other one again."""
        device = "va" if side == 0 else "vb"
        self.tell("-n", self.names[side], "neigh", "del", (self.THEIRS, self.OURS)[side], "dev", device)


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")


@pytest.fixture(scope="module")
def cable() -> Iterator[Namespaces]:
    if shutil.which("ip") is None:
        pytest.skip("no network namespaces: the command ip is not installed")
    made = Namespaces()
    try:
        made.make()
        for sock in made.ends():
            sock.close()
    except OSError as error:
        made.remove()
        pytest.skip(f"no network namespaces here: {error}")
    yield made
    made.remove()


async def between(
    at: Context, cable: Namespaces, then: Callable[[], None], *, user: Timeouts, provider: Timeouts
) -> None:
    """A conversation between the two, in whose midst something happens."""
    ours, theirs = cable.ends()
    async with at.serve(theirs, provide, timeouts=provider), await at.connect(ours, timeouts=user) as session:
        assert (await session.echo()).status == 0
        then()
        assert (await session.store(CT, "1.2", EXPLICIT, DATA)).status == 0


@pytest.mark.timer  # the time limits by which a dead direction is noticed
@pytest.mark.parametrize("side", [0, 1], ids=["there", "back"])
def test_a_direction_of_a_cable_is_dead(at: Context, cable: Namespaces, side: int) -> None:
    async def main() -> None:
        try:
            with pytest.raises(flows.AssociationError, match=r"nothing within 0\.3 s"):
                await between(at, cable, lambda: cable.lose(side), user=SHORT, provider=LATER)
        finally:
            cable.find(side)

    at.run(main)


@pytest.mark.parametrize("side", [0, 1], ids=["there", "back"])
def test_what_a_cable_loses_is_sent_again(at: Context, cable: Namespaces, side: int) -> None:
    def lose() -> None:
        cable.lose(side)
        timer.start()

    timer = threading.Timer(0.1, cable.find, (side,))

    async def main() -> None:
        await between(at, cable, lose, user=Timeouts(), provider=Timeouts())

    at.run(main)
    timer.join()


def test_a_bad_line(at: Context, cable: Namespaces) -> None:
    name = cable.names[0]
    netem = ("ip", "netns", "exec", name, "tc", "qdisc", "add", "dev", "va", "root", "netem")
    try:
        _run(*netem, "delay", "20ms", "5ms", "loss", "3%")
    except OSError as error:
        pytest.skip(f"no netem here: {error}")
    try:
        at.run(lambda: between(at, cable, lambda: None, user=Timeouts(), provider=Timeouts()))
    finally:
        _run("ip", "netns", "exec", name, "tc", "qdisc", "del", "dev", "va", "root")
