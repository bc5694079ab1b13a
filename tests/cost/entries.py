"""The processes that are attacked: servers and users of each adapter (`victims`), and the `dicos` command.

Their cost is resident memory and processor time as the system counts them, above the cost of the same process when a
peer behaves. The engine alone: `engine`.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from dicos_proto.registry import uids
from dicos_proto.upper_layer.pdu import decode
from dicos_proto.upper_layer.pdu_types import AssociateRequest
from tests.cost import hostile
from tests.cost.contents import CONTENTS, CT, INSTANCE
from tests.cost.inputs import GOOD, GOOD_ANSWERS, GOOD_CLIENT, Input
from tests.cost.measuring import Cost, Entry
from tests.cost.processes import Watched
from tests.interop.peers import OUR_ENVIRONMENT

CHECKOUT: Final = Path(__file__).resolve().parents[2]

POLLUTED: Final = 4 << 20
"""Bytes above idle that a process may have kept from earlier inputs; with more, it is restarted."""


def _size(given: Input, size: int, moved: int) -> int:
    """The divisor of a cost: the bytes on the wire, or the requested bytes if not all of them arrived."""
    return max(moved, size) if given.asked_for else moved


def end(process: subprocess.Popen[str]) -> None:
    """Kills a process and closes its pipes."""
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


class Served(Entry):
    """A provider in a process of its own. `fresh`: a new one for each measurement."""

    side = "user"
    operations: frozenset[str]
    tls = False

    def __init__(self, *, fresh: bool = False) -> None:
        self._fresh = fresh
        self._process: subprocess.Popen[str] | None = None
        self._port = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.idle = 0

    def takes(self, given: Input) -> bool:
        return not given.operation or given.operation in self.operations

    def command(self, folder: str) -> list[str]:
        raise NotImplementedError

    def port_of(self, line: str) -> int:
        raise NotImplementedError

    def _start(self) -> Watched:
        if self._process is None:
            self._folder = tempfile.TemporaryDirectory()
            self._process = subprocess.Popen(
                [sys.executable, *self.command(self._folder.name)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                env=OUR_ENVIRONMENT, cwd=CHECKOUT,
            )  # fmt: skip
            assert self._process.stdout is not None
            line = self._process.stdout.readline()
            assert line, f"{self.name} does not start"
            self._port = self.port_of(line)
            threading.Thread(target=self._process.stdout.read, daemon=True).start()
            self.began()
            watched = Watched(self._process.pid)
            for given in self.behaving():
                hostile.attack_provider(self._port, given, 1000, watched, tls=self.tls)
            self.idle = watched.memory
        return Watched(self._process.pid)

    def began(self) -> None:
        """Start it and return its port."""

    def behaving(self) -> Iterator[Input]:
        """The first input, which triggers late imports."""
        for given in GOOD:
            if given.operation in self.operations:
                yield given

    def measure(self, given: Input, size: int) -> Cost:
        watched = self._start()
        if watched.memory > self.idle + POLLUTED:
            self.close()
            watched = self._start()
        watched.settle(5.0)
        watched.forget_peak()
        cpu = watched.cpu
        sent, received = hostile.attack_provider(self._port, given, size, watched, tls=self.tls)
        assert self._process is not None
        assert self._process.poll() is None, f"{self.name} has ended"
        cost = Cost(_size(given, size, sent + received), max(0, watched.peak - self.idle), watched.cpu - cpu)
        if self._fresh:
            self.close()
        return cost

    def close(self) -> None:
        if self._process is not None:
            end(self._process)
            self._process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


class Server(Served):
    """A server of an adapter, with a handler that keeps nothing, or an `Application`."""

    def __init__(self, adapter: str, kind: str, *, tls: bool = False, fresh: bool = False) -> None:
        super().__init__(fresh=fresh)
        self._adapter, self._kind, self.tls = adapter, kind, tls
        self.operations = frozenset(("echo", "store", "find", "get", *(("set",) if kind == "application" else ())))
        self.name = f"{'serve' if kind == 'session' else 'Application'}, {adapter}{', TLS' if tls else ''}"

    def command(self, folder: str) -> list[str]:
        return ["-m", "tests.cost.victims", "provider", self._adapter, self._kind, *(["tls"] if self.tls else [])]

    def port_of(self, line: str) -> int:
        return int(line)


class Page(Served):
    """The metrics page, `metrics.start`."""

    name, side = "metrics", "http"
    operations = frozenset(("http",))

    def command(self, folder: str) -> list[str]:
        return ["-m", "tests.cost.victims", "page"]

    def port_of(self, line: str) -> int:
        return int(line)

    def behaving(self) -> Iterator[Input]:
        yield GOOD_CLIENT


class Moving(Served):
    """The provider of `dicos movescu --store-port`, while its C-MOVE is outstanding."""

    name = "movescu --store-port"
    operations = frozenset(("echo", "store"))
    _peer: hostile.Peer | None = None

    def command(self, folder: str) -> list[str]:
        self._listener = socket.create_server(("127.0.0.1", 0))
        asked = ["movescu", "-S", "-L", "STUDY", "-k", "PatientID=*", "-aet", "CALLED", "--json"]
        where = ["-od", folder, "--store-port", "0", "127.0.0.1", str(self._listener.getsockname()[1])]
        return ["-m", "dicos_transports.cli", *asked, *where]

    def port_of(self, line: str) -> int:
        return int(json.loads(line)["port"])

    def began(self) -> None:
        assert self._process is not None
        self._listener.settimeout(hostile.LONGEST)
        sock, _ = self._listener.accept()
        peer = self._peer = hostile.Peer(sock, Watched(self._process.pid))
        asked = decode(peer.pdu())
        assert isinstance(asked, AssociateRequest)
        assert peer.say(hostile.accept(asked, GOOD_ANSWERS[-1], b""), keep=True)
        assert hostile.first_command(peer, asked) is not None

    def close(self) -> None:
        if self._process is not None:
            self._listener.close()
            if self._peer is not None:
                self._peer.end("close")
        super().close()


class ProviderCommand(Served):
    """`dicos storescp` or `dicos echoscp`."""

    def __init__(self, name: str, adapter: str, *, fresh: bool = False) -> None:
        super().__init__(fresh=fresh)
        self._command, self._adapter = name, adapter
        self.name = f"{name}, {adapter}"
        self.operations = frozenset(("echo", "store") if name == "storescp" else ("echo",))

    def command(self, folder: str) -> list[str]:
        where = ["-od", folder] if self._command == "storescp" else []
        many = ["--max-associations", "1000", "--max-per-address", "1000"]
        return ["-m", "dicos_transports.cli", self._command, "0", "--json", "--transport", self._adapter, *many, *where]

    def port_of(self, line: str) -> int:
        return int(json.loads(line)["port"])


class User(Entry):
    """A user of an adapter, in a process of its own."""

    side = "provider"

    def __init__(self, adapter: str, *, fresh: bool = False) -> None:
        self._adapter, self._fresh = adapter, fresh
        self.name = f"connect, {adapter}"
        self._process: subprocess.Popen[str] | None = None
        self.idle = 0

    def takes(self, given: Input) -> bool:
        return True

    def measure(self, given: Input, size: int) -> Cost:
        watched = self._start()
        if watched.memory > self.idle + POLLUTED:
            self.close()
            watched = self._start()
        watched.forget_peak()
        cpu = watched.cpu
        sent, received = self._attacked(given, size, watched)
        cost = Cost(_size(given, size, sent + received), max(0, watched.peak - self.idle), watched.cpu - cpu)
        if self._fresh:
            self.close()
        return cost

    def _start(self) -> Watched:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.cost.victims", "user", self._adapter],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                env=OUR_ENVIRONMENT, cwd=CHECKOUT,
            )  # fmt: skip
            assert self._process.stdout is not None
            assert self._process.stdout.readline() == "ready\n"
            watched = Watched(self._process.pid)
            for given in GOOD_ANSWERS:
                self._attacked(given, 1000, watched)
            self.idle = watched.memory
        return Watched(self._process.pid)

    def _attacked(self, given: Input, size: int, watched: Watched) -> tuple[int, int]:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            self._process.stdin.write(f"{given.operation} {port} {size if given.asked_for else 1000}\n")
            self._process.stdin.flush()
            moved = hostile.attack_user(listener, given, size, watched)
        assert self._process.stdout.readline(), f"{self.name} has ended"
        watched.settle(5.0)
        return moved

    def close(self) -> None:
        if self._process is not None:
            end(self._process)
            self._process = None


AT_ITS_END: Final = """
import json, sys, time
from dicos_transports.cli import main
status = main(sys.argv[1:])
lines = open("/proc/self/status").read().splitlines()
peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
print(json.dumps({"status": status, "peak": peak, "cpu": time.process_time()}), file=sys.stderr)
"""


class UserCommand(Entry):
    """A user-side `dicos` command, a new process each time; its cost above that with a well-behaved peer."""

    side = "provider"

    def __init__(self, name: str) -> None:
        self.name = name
        self._operation = name.removesuffix("scu")
        self._good: Cost | None = None

    def takes(self, given: Input) -> bool:
        return given.operation == self._operation

    def measure(self, given: Input, size: int) -> Cost:
        if self._good is None:
            good = next(one for one in GOOD_ANSWERS if one.operation == self._operation)
            self._good = self._once(good, 1000)
        cost = self._once(given, size)
        return Cost(cost.size, max(0, cost.memory - self._good.memory), max(0.0, cost.cpu - self._good.cpu))

    def _once(self, given: Input, size: int) -> Cost:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = listener.getsockname()[1]
            words = self._words(str(port), Path(folder), size if given.asked_for else 1000)
            process = subprocess.Popen(
                [sys.executable, "-c", AT_ITS_END, *words],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=OUR_ENVIRONMENT, cwd=folder,
            )  # fmt: skip
            said: list[str] = []
            assert process.stderr is not None
            reader = threading.Thread(target=lambda: said.append(process.stderr.read()), daemon=True)  # type: ignore[union-attr]
            reader.start()
            try:
                sent, received = hostile.attack_user(listener, given, size, Watched(process.pid))
                process.wait(hostile.LONGEST)
                reader.join(hostile.LONGEST)
            finally:
                process.kill()
                process.wait()
                process.stderr.close()
            told = json.loads(said[0].splitlines()[-1])
            return Cost(_size(given, size, sent + received), told["peak"], told["cpu"])

    def _words(self, port: str, folder: Path, size: int) -> list[str]:
        match self.name:
            case "storescu":
                from dicos_transports.files.writer import file_header

                path = folder / "a.dcm"
                content = CONTENTS[0].make(size)
                path.write_bytes(file_header(CT, INSTANCE, uids.EXPLICIT_VR_LE) + content)
                return ["storescu", "127.0.0.1", port, str(path)]
            case "findscu":
                return ["findscu", "-S", "-L", "STUDY", "-k", "PatientID=*", "127.0.0.1", port]
            case "getscu":
                return ["getscu", "-S", "-L", "STUDY", "-k", "PatientID=*", "-od", str(folder), "127.0.0.1", port]
            case "movescu":
                return ["movescu", "-S", "-L", "STUDY", "-k", "PatientID=*", "-aem", "SOMEBODY", "127.0.0.1", port]
            case name:
                return [name, "127.0.0.1", port]


ADAPTERS: Final = ("blocking", "trio", "asyncio")


def providers(*, fresh: bool = False) -> list[Entry]:
    return [
        *(Server(adapter, "session", fresh=fresh) for adapter in ADAPTERS),
        *(Server(adapter, "application", fresh=fresh) for adapter in ADAPTERS),
        Server("blocking", "session", tls=True, fresh=fresh),
        *(ProviderCommand("storescp", adapter, fresh=fresh) for adapter in ADAPTERS),
        *(ProviderCommand("echoscp", adapter, fresh=fresh) for adapter in ADAPTERS),
        Moving(fresh=fresh),
        Page(fresh=fresh),
    ]


def users(*, fresh: bool = False) -> list[Entry]:
    commands = ("echoscu", "storescu", "findscu", "getscu", "movescu")
    return [*(User(adapter, fresh=fresh) for adapter in ADAPTERS), *map(UserCommand, commands)]
