"""What can be attacked, each as an object: `measure(input, size)` says what that took.

- the engine alone, in this process: memory as tracemalloc counts it, processor time of a second run without it;
- a server or a user of each adapter in a process of its own (`victims`), and the `dicos` command: resident memory and
  processor time as the system counts them, above what the same process takes when a peer behaves.
"""

from __future__ import annotations

import gc
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dicos_proto import dimse, uids
from dicos_proto.association import Association
from dicos_proto.datasets import DataSetError, decode
from dicos_proto.events import Closed, MessageData, MessageStart, ProviderAbort
from dicos_proto.exchange import response_to
from dicos_proto.machine import State
from dicos_proto.negotiation import AcceptPolicy, Roles, negotiate
from dicos_proto.pdu_types import AssociateRequest, ReleaseRequest
from tests.cost import hostile, victims
from tests.cost.contents import CONTENTS, CT, INSTANCE, Content
from tests.cost.inputs import GOOD, GOOD_ANSWERS, OPERATIONS, Asked, Input, request
from tests.cost.processes import Watched
from tests.interop.peers import OUR_ENVIRONMENT

CHECKOUT: Final = Path(__file__).resolve().parents[2]
RECEIVED_AT_ONCE: Final = 64 << 10
"""Bytes of each call of `receive_data`."""


@dataclass(frozen=True)
class Cost:
    """What an input took. `size`: bytes on the wire, both ways. `memory`: bytes above idle at most; `cpu`: seconds."""

    size: int
    memory: int
    cpu: float

    @property
    def memory_a_byte(self) -> float:
        return self.memory / max(self.size, 1)

    @property
    def microseconds_a_byte(self) -> float:
        return 1e6 * self.cpu / max(self.size, 1)


def _traced(work: Callable[[], int]) -> tuple[int, int]:
    """What it returns, and bytes of Python's memory above idle at most."""
    gc.collect()
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        found = work()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return found, peak - before


def _timed(work: Callable[[], int]) -> float:
    gc.collect()
    begun = time.thread_time()
    work()
    return time.thread_time() - begun


def _measured(make: Callable[[], Callable[[], int]]) -> Cost:
    size, memory = _traced(make())
    return Cost(size, memory, _timed(make()))


class Entry:
    """`name`: for the table. `side`: whom it is attacked by, "user" or "provider"; or "content" of a data set."""

    name: str
    side: str

    def takes(self, given: Input) -> bool:
        """Whether the input reaches it."""
        raise NotImplementedError

    def measure(self, given: Any, size: int) -> Cost:
        raise NotImplementedError

    def close(self) -> None:
        """End what runs for it."""


# -- the engine ------------------------------------------------------------------------------------------------------


class Decoding(Entry):
    """`datasets.decode`."""

    name, side = "datasets.decode", "content"

    def takes(self, given: Any) -> bool:
        return True

    def measure(self, given: Content, size: int) -> Cost:
        encoded = given.make(int(size * given.share))

        def work() -> int:
            with suppress(DataSetError):
                len(decode(encoded, given.syntax))
            return len(encoded)

        decode(CONTENTS[0].make(100), CONTENTS[0].syntax)  # what is imported late
        return _measured(lambda: work)


class EngineProvider(Entry):
    """`Association.acceptor`, whose user takes every event and keeps none."""

    name, side = "engine, provider", "user"
    POLICY = AcceptPolicy(contexts=victims.SERVED, roles={CT: Roles(scu=True, scp=True)})

    def takes(self, given: Input) -> bool:
        return given.reads and given.connections == 1

    def measure(self, given: Input, size: int) -> Cost:
        pieces: list[bytes] = []
        if given.opening is not None:
            pieces += given.opening(size)
        else:
            pieces.append(request(given.max_length, *given.user_items))
            pieces += given.then(size) if given.then is not None else ()
        stream = b"".join(pieces)
        at_once = 1 if given.name == "segments" else RECEIVED_AT_ONCE
        return _measured(lambda: lambda: self._run(stream, at_once, size))

    def _run(self, stream: bytes, at_once: int, size: int) -> int:
        association = Association.acceptor()
        sent = 0
        for start in range(0, len(stream), at_once):
            association.receive_data(bytes(stream[start : start + at_once]))
            sent += self._answer(association, size)
            if association.wants_close:
                break
        return len(stream) + sent

    def _answer(self, association: Association, size: int) -> int:
        sent = 0
        while (event := association.next_event()) is not None and not isinstance(event, Closed):
            match event:
                case AssociateRequest():
                    association.send(negotiate(event, self.POLICY))
                case MessageStart(command=dimse.CEchoRequest()):
                    association.send(response_to(event, 0))
                case MessageStart(command=dimse.CGetRequest()):
                    sent += _send(association, 3, size)
                case _:
                    pass
            sent += sum(map(len, association.data_to_send()))
        return sent


def _send(association: Association, context: int, size: int) -> int:
    """A C-STORE of so many bytes, handed over at once; what is sent is taken as it is cut, and thrown away."""
    if context not in association.contexts:
        return 0
    store = dimse.CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid=INSTANCE)
    association.send(MessageStart(context=context, command=store, has_data=True))
    association.send(MessageData(context=context, data=bytes(size & ~1), last=True))
    sent = 0
    while taken := association.data_to_send():
        sent += sum(map(len, taken))
    return sent


class EngineUser(Entry):
    """`Association.requestor`, which has asked for what the input answers, takes every event and keeps none."""

    name, side = "engine, user", "provider"

    def takes(self, given: Input) -> bool:
        return given.reads

    def measure(self, given: Input, size: int) -> Cost:
        by_class = {context.abstract_syntax: context.id for context in victims.CONTEXTS}
        sop_class = OPERATIONS[given.operation]
        asked = AssociateRequest(
            called_aet="A", calling_aet="B", contexts=victims.CONTEXTS, user_information=victims.INFORMATION
        )
        more = b"" if given.extra is None else given.extra(size)
        accept = hostile.accept(asked, given, more)
        found = Asked(by_class[sop_class], 1, sop_class, by_class[CT])
        stream = b"".join(given.then(size, found)) if given.then is not None else b""
        return _measured(lambda: lambda: self._run(asked, accept, stream, given, found, size))

    def _run(self, asked: AssociateRequest, accept: bytes, stream: bytes, given: Input, found: Asked, size: int) -> int:
        association = Association.requestor(asked)
        association.data_to_send()
        _fed(association, accept)
        if association.state is not State.Sta6:
            return len(accept)
        sent = 0
        if given.asked_for:
            sent = _send(association, found.context, size)
        else:
            command, has_data = _request(given.operation, found)
            association.send(MessageStart(context=found.context, command=command, has_data=has_data))
            if has_data:
                association.send(MessageData(context=found.context, data=victims.PATIENT, last=True))
        for start in range(0, len(stream), RECEIVED_AT_ONCE):
            if not _fed(association, stream[start : start + RECEIVED_AT_ONCE]):
                break
        return len(accept) + len(stream) + sent


def _fed(association: Association, data: bytes) -> bool:
    """Take every event there is and keep none; whether more may come."""
    association.receive_data(bytes(data))
    while (event := association.next_event()) is not None:
        if isinstance(event, Closed | ProviderAbort | ReleaseRequest):
            return False
        association.data_to_send()
    return not association.wants_close


def _request(operation: str, found: Asked) -> tuple[Any, bool]:
    uid = found.sop_class
    match operation:
        case "echo":
            return dimse.CEchoRequest(message_id=1, affected_sop_class_uid=uid), False
        case "store":
            return dimse.CStoreRequest(
                message_id=1, affected_sop_class_uid=uid, affected_sop_instance_uid=INSTANCE
            ), True
        case "find":
            return dimse.CFindRequest(message_id=1, affected_sop_class_uid=uid), True
        case "get":
            return dimse.CGetRequest(message_id=1, affected_sop_class_uid=uid), True
        case _:
            return dimse.CMoveRequest(message_id=1, affected_sop_class_uid=uid, move_destination="SOMEBODY"), True


# -- processes -------------------------------------------------------------------------------------------------------


POLLUTED: Final = 4 << 20
"""Bytes above idle that a process may have kept of what was before; one that has more is started anew."""


def _size(given: Input, size: int, moved: int) -> int:
    """What a cost is divided by: the bytes on the wire, or those that were asked for and did not all get there."""
    return max(moved, size) if given.asked_for else moved


class Served(Entry):
    """A provider in a process of its own. `fresh`: a new one for each measurement."""

    side = "user"
    operations: frozenset[str]

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
            watched = Watched(self._process.pid)
            for given in self.behaving():
                hostile.attack_provider(self._port, given, 1000, watched)
            self.idle = watched.memory
        return Watched(self._process.pid)

    def behaving(self) -> Iterator[Input]:
        """What it is asked first, so that what is imported late is there."""
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
        sent, received = hostile.attack_provider(self._port, given, size, watched)
        assert self._process is not None
        assert self._process.poll() is None, f"{self.name} has ended"
        cost = Cost(_size(given, size, sent + received), max(0, watched.peak - self.idle), watched.cpu - cpu)
        if self._fresh:
            self.close()
        return cost

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
            self._process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


class Server(Served):
    """A server of an adapter, with a handler that keeps nothing, or an `Application`."""

    operations = frozenset(("echo", "store", "find", "get"))

    def __init__(self, adapter: str, kind: str, *, fresh: bool = False) -> None:
        super().__init__(fresh=fresh)
        self._adapter, self._kind = adapter, kind
        self.name = f"{'serve' if kind == 'session' else 'Application'}, {adapter}"

    def command(self, folder: str) -> list[str]:
        return ["-m", "tests.cost.victims", "provider", self._adapter, self._kind]

    def port_of(self, line: str) -> int:
        return int(line)


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
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
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
    """A user-side `dicos` command, each time a new process; above what it takes when a peer behaves."""

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
                from dicos_transports.part10_writer import file_header

                path = folder / "a.dcm"
                content = CONTENTS[0].make(size)
                path.write_bytes(file_header(CT, INSTANCE, uids.EXPLICIT_VR_LE) + content)
                return ["storescu", "127.0.0.1", port, str(path)]
            case "findscu":
                return ["findscu", "-S", "-k", "PatientID=*", "127.0.0.1", port]
            case "getscu":
                return ["getscu", "-S", "-k", "PatientID=*", "-od", str(folder), "127.0.0.1", port]
            case "movescu":
                return ["movescu", "-S", "-k", "PatientID=*", "-aem", "SOMEBODY", "127.0.0.1", port]
            case name:
                return [name, "127.0.0.1", port]


ADAPTERS: Final = ("blocking", "trio", "asyncio")


def engine() -> list[Entry]:
    return [EngineProvider(), EngineUser(), Decoding()]


def providers(*, fresh: bool = False) -> list[Entry]:
    return [
        *(Server(adapter, "session", fresh=fresh) for adapter in ADAPTERS),
        *(Server(adapter, "application", fresh=fresh) for adapter in ADAPTERS),
        *(ProviderCommand("storescp", adapter, fresh=fresh) for adapter in ADAPTERS),
        *(ProviderCommand("echoscp", adapter, fresh=fresh) for adapter in ADAPTERS),
    ]


def users(*, fresh: bool = False) -> list[Entry]:
    commands = ("echoscu", "storescu", "findscu", "getscu", "movescu")
    return [*(User(adapter, fresh=fresh) for adapter in ADAPTERS), *map(UserCommand, commands)]
