"""The engine alone: two associations in one process, no sockets, beside a floor of bare `struct` and `memoryview`.

It measures the processor time of this process, so another process that holds a core does not count. Each round runs
every measure once, with its floor right before it.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from struct import Struct
from time import monotonic, process_time
from typing import Final

from dicos_proto.association import Association
from dicos_proto.dimse.codec import encode_command
from dicos_proto.dimse.events import MessageData, MessageStart
from dicos_proto.dimse.types import CEchoRequest, CEchoResponse, Command, CStoreRequest, CStoreResponse
from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import negotiate, propose
from dicos_proto.upper_layer.pdu_types import (
    AssociateRequest,
    OperationsWindow,
    ReleaseRequest,
    ReleaseResponse,
    UserInformation,
)
from dicos_proto.upper_layer.policy import AcceptPolicy

from .processes import Failed
from .workloads import ROOT

NAME: Final = "engine"
LENGTHS: Final = (16 << 10, 128 << 10, 1 << 20)
CHUNK: Final = 256 << 10
"""The most bytes that an adapter reads in one call."""
PIECE: Final = 512 << 10
"""About the number of bytes that a sender passes in one call."""
WINDOW: Final = 32
OBJECT: Final = bytes(1000)
LEAST_BYTES, LEAST_MESSAGES, MOST_IDLE = 3e9, 40_000, 20_000

_PDV = Struct(">BxLLBB")
_ELEMENT_US = Struct("<HHLH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One measure. `amount`: the units in one run; `steps`: the PDUs, messages or associations in it.

    `runs` and `floors`: seconds of processor time, one a round."""

    name: str
    title: str
    unit: str
    amount: float
    steps: int
    run: Callable[[], object]
    floor: Callable[[], object] | None = None
    runs: list[float] = field(default_factory=list)
    floors: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Units a second, the median."""
        return self.amount / statistics.median(self.runs)

    @property
    def floor_rate(self) -> float | None:
        return self.amount / statistics.median(self.floors) if self.floors else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Bytes and objects of one idle acceptor, the mean of `count` acceptors with `contexts` proposed contexts."""

    contexts: int
    count: int
    traced: float
    resident: float
    blocks: float


# -- the measures ------------------------------------------------------------------------------------------------


def established(max_length: int = 128 << 10, window: int = 1) -> tuple[Association, Association]:
    """Requestor and acceptor in Sta6; contexts 1 Verification and 3 CT Image Storage."""
    operations = OperationsWindow(invoked=window, performed=window)
    user = Association.requestor(
        AssociateRequest(
            called_aet="PROVIDER",
            calling_aet="USER",
            contexts=propose([uids.VERIFICATION, uids.CT_IMAGE_STORAGE]),
            user_information=UserInformation(max_length=max_length, window=operations),
        )
    )
    provider = Association.acceptor()
    carry(user, provider)
    request = provider.next_event()
    if not isinstance(request, AssociateRequest):
        raise Failed(f"no A-ASSOCIATE-RQ: {request}")
    provider.send(negotiate(request, policy(max_length, operations)))
    carry(provider, user)
    user.next_event()
    return user, provider


def policy(max_length: int = 128 << 10, window: OperationsWindow | None = None) -> AcceptPolicy:
    return AcceptPolicy(other_contexts=(uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE), max_length=max_length, window=window)


def carry(source: Association, target: Association) -> None:
    """Small messages as an adapter receives them: joined in one buffer."""
    target.receive_data(b"".join(source.data_to_send()))


def wait(association: Association) -> None:
    """The work of a driver before it waits: parse everything, and look up the next deadline."""
    if association.next_event() is not None:
        raise Failed("an event where none was expected")
    association.deadline(monotonic())


def echoes(count: int, window: int) -> None:
    user, provider = established(window=window)
    for _ in range(count // window):
        for _ in range(window):
            request = CEchoRequest(
                message_id=user.operations.new_message_id(), affected_sop_class_uid=uids.VERIFICATION
            )
            user.send(MessageStart(context=1, command=request))
        carry(user, provider)
        wait(user)
        for _ in range(window):
            event = provider.next_event()
            if not isinstance(event, MessageStart) or not isinstance(event.command, CEchoRequest):
                raise Failed(f"no C-ECHO-RQ: {event}")
            asked = event.command
            response = CEchoResponse(
                message_id_being_responded_to=asked.message_id,
                status=0,
                affected_sop_class_uid=asked.affected_sop_class_uid,
            )
            provider.send(MessageStart(context=event.context, command=response))
        carry(provider, user)
        wait(provider)
        _take_responses(user, window)


def stores(count: int, window: int) -> None:
    """Objects of 1 kB, each an instance of its own."""
    user, provider = established(window=window)
    number = 0
    for _ in range(count // window):
        for _ in range(window):
            number += 1
            request = CStoreRequest(
                message_id=user.operations.new_message_id(),
                affected_sop_class_uid=uids.CT_IMAGE_STORAGE,
                affected_sop_instance_uid=f"2.25.{number}",
            )
            user.send(MessageStart(context=3, command=request, has_data=True))
            user.send(MessageData(context=3, data=OBJECT, last=True))
        carry(user, provider)
        wait(user)
        for _ in range(window):
            event = provider.next_event()
            if not isinstance(event, MessageStart) or not isinstance(event.command, CStoreRequest):
                raise Failed(f"no C-STORE-RQ: {event}")
            asked = event.command
            data = provider.next_event()
            if not isinstance(data, MessageData) or not data.last:
                raise Failed(f"no data set: {data}")
            response = CStoreResponse(
                message_id_being_responded_to=asked.message_id,
                status=0,
                affected_sop_class_uid=asked.affected_sop_class_uid,
                affected_sop_instance_uid=asked.affected_sop_instance_uid,
            )
            provider.send(MessageStart(context=event.context, command=response))
        carry(provider, user)
        wait(provider)
        _take_responses(user, window)


def _take_responses(user: Association, window: int) -> None:
    for _ in range(window):
        event = user.next_event()
        if not isinstance(event, MessageStart):
            raise Failed(f"no response: {event}")
    if user.operations.outstanding:
        raise Failed(f"{user.operations.outstanding} requests without a response")


def data_set(total: int, max_length: int, chunk: int) -> None:
    """`total` bytes, from one buffer that holds a whole number of PDUs, into events that are counted.

    `chunk` 0: the sent buffers are received as they are. Otherwise they are joined, as the kernel does, and
    received in chunks of that size."""
    user, provider = established(max_length)
    piece = _piece(max_length)
    request = CStoreRequest(message_id=1, affected_sop_class_uid=uids.CT_IMAGE_STORAGE, affected_sop_instance_uid="1.2")
    user.send(MessageStart(context=3, command=request, has_data=True))
    carry(user, provider)
    provider.next_event()
    count = total // len(piece)
    received = 0
    for number in range(1, count + 1):
        user.send(MessageData(context=3, data=piece, last=number == count))
        buffers = user.data_to_send()
        if chunk:
            joined = memoryview(b"".join(buffers))
            buffers = [joined[at : at + chunk] for at in range(0, len(joined), chunk)]
            for buffer in buffers:
                provider.receive_data(buffer)
                received += _drain(provider)
        else:
            for buffer in buffers:
                provider.receive_data(buffer)
            received += _drain(provider)
    if received != count * len(piece) or provider.operations.owed != 1:
        raise Failed(f"{received} bytes of {count * len(piece)} arrived")


def _drain(provider: Association) -> int:
    received = 0
    while (event := provider.next_event()) is not None:
        if not isinstance(event, MessageData):
            raise Failed(f"no data: {event}")
        received += len(event.data)
    provider.deadline(monotonic())
    return received


def _piece(max_length: int) -> bytes:
    """A whole number of full PDUs."""
    return bytes((max_length - 6) * max(PIECE // max_length, 1))


def associations(count: int) -> None:
    """A-ASSOCIATE-RQ, -AC, A-RELEASE-RQ, -RP, and the connection closed."""
    for _ in range(count):
        user, provider = established()
        wait(user)
        wait(provider)
        user.send(ReleaseRequest())
        carry(user, provider)
        if not isinstance(provider.next_event(), ReleaseRequest):
            raise Failed("no A-RELEASE-RQ")
        provider.send(ReleaseResponse())
        carry(provider, user)
        user.next_event()
        provider.receive_eof()
        provider.next_event()
        if not (user.wants_close and provider.wants_close):
            raise Failed("not released")


# -- the floor ------------------------------------------------------------------------------------


def message_floor(count: int, requests: tuple[bytes, bytes], response: bytes, data: bytes = b"") -> None:
    """The same messages, of which only the message id is read: the floor for a program that knows all the rest.

    `requests`: the command set before and after the value of its message id; `response`: a complete one."""
    before, after = requests
    at = len(before)
    size = at + 2 + len(after)
    for number in range(count):
        sent = [_PDV.pack(4, size + 6, size + 2, 1, 3), before, (number & 0xFFFF).to_bytes(2, "little"), after]
        if data:
            sent += [_PDV.pack(4, len(data) + 6, len(data) + 2, 1, 2), data]
        received = memoryview(b"".join(sent))
        _, _, length, _, _ = _PDV.unpack_from(received)
        command = received[12 : 10 + length]
        int.from_bytes(command[at : at + 2], "little")
        if data:
            _, _, length, _, _ = _PDV.unpack_from(received, 12 + size)
            received[24 + size :]
        answer = b"".join([_PDV.pack(4, len(response) + 6, len(response) + 2, 1, 3), response])
        _, _, length, _, _ = _PDV.unpack_from(answer)
        _ELEMENT_US.unpack_from(answer, len(answer) - _ELEMENT_US.size)


def data_floor(total: int, max_length: int, chunk: int) -> None:
    """The same PDUs: a header packed, a view cut, the header unpacked, the view cut again; `chunk`: copied between."""
    view = memoryview(_piece(max_length))
    fragment = max_length - 6
    received = 0
    for _ in range(total // len(view)):
        buffers: list[bytes | memoryview] = []
        for at in range(0, len(view), fragment):
            buffers.append(_PDV.pack(4, fragment + 6, fragment + 2, 3, 0))
            buffers.append(view[at : at + fragment])
        if chunk:
            joined = memoryview(b"".join(buffers))
            at = 0
            while at < len(joined):
                _, _, length, _, _ = _PDV.unpack_from(joined, at)
                received += len(joined[at + 12 : at + 10 + length])
                at += 10 + length
        else:
            for head, data in zip(buffers[::2], buffers[1::2], strict=True):
                _, _, length, _, _ = _PDV.unpack(head)
                received += len(data[: length - 2])
    if received != total // len(view) * len(view):
        raise Failed("the floor lost bytes")


def _halves(command: Command, *, has_data: bool) -> tuple[bytes, bytes]:
    """A command set before and after the value of its message id (0000,0110)."""
    encoded = encode_command(command, has_data=has_data)
    at = encoded.index(bytes.fromhex("00001001 02000000")) + 8
    return encoded[:at], encoded[at + 2 :]


# -- measuring ---------------------------------------------------------------------------------------------------


def measures(*, quick: bool) -> list[Measure]:
    total, trips, ends = (8 << 20, 640, 50) if quick else (256 << 20, 6400, 500)
    found = [_data_measure(total, length, chunk) for length in LENGTHS for chunk in (0, CHUNK)]
    echo = _halves(CEchoRequest(message_id=1, affected_sop_class_uid=uids.VERIFICATION), has_data=False)
    echoed = encode_command(CEchoResponse(message_id_being_responded_to=1, status=0), has_data=False)
    store = _halves(
        CStoreRequest(message_id=1, affected_sop_class_uid=uids.CT_IMAGE_STORAGE, affected_sop_instance_uid="2.25.1"),
        has_data=True,
    )
    stored = encode_command(CStoreResponse(message_id_being_responded_to=1, status=0), has_data=False)
    for window in (1, WINDOW):
        found += [
            Measure(name=f"echo-{window}", title=f"C-ECHO, window {window}", unit="messages/s", amount=2 * trips,
                    steps=2 * trips, run=partial(echoes, trips, window),
                    floor=partial(message_floor, trips, echo, echoed)),
            Measure(name=f"store-{window}", title=f"C-STORE of 1 kB, window {window}", unit="messages/s",
                    amount=2 * trips, steps=2 * trips, run=partial(stores, trips, window),
                    floor=partial(message_floor, trips, store, stored, OBJECT)),
        ]  # fmt: skip
    opened = "associations, opened and released"
    return [
        *found,
        Measure(name="associations", title=opened, unit="/s", amount=ends, steps=ends, run=partial(associations, ends)),
    ]


def _data_measure(total: int, length: int, chunk: int) -> Measure:
    size = total // len(_piece(length)) * len(_piece(length))
    how = f"copied, chunks of {chunk >> 10} KiB" if chunk else "by reference"
    return Measure(name=f"data-{length >> 10}-{'chunks' if chunk else 'reference'}",
                   title=f"{total >> 20} MiB, PDUs of {length >> 10} KiB, {how}", unit="MB/s",
                   amount=size / 1e6, steps=size // (length - 6), run=partial(data_set, total, length, chunk),
                   floor=partial(data_floor, total, length, chunk))  # fmt: skip


def measure(rounds: int, *, quick: bool) -> tuple[list[Measure], list[Idle]]:
    """Run everything `rounds` times, after one run that does not count."""
    found = measures(quick=quick)
    for number in range(rounds + 1):
        for one in found:
            for work, times in ((one.floor, one.floors), (one.run, one.runs)):
                if work is None:
                    continue
                begun = process_time()
                work()
                if number:
                    times.append(process_time() - begun)
    count = 500 if quick else 10_000
    return found, [idle(2, count), idle(128, count // 10)]


def idle(contexts: int, count: int) -> Idle:
    """Measured in separate processes, because tracing takes memory that the kernel would count."""
    told: dict[str, float] = {}
    for how in ("traced", "resident"):
        command = [sys.executable, "-m", "benchmarks.side_idle", how, str(contexts), str(count)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise Failed(f"side_idle: {done.stderr.strip()}")
        told |= json.loads(done.stdout)
    return Idle(contexts=contexts, count=count, traced=told["traced"], resident=told["resident"], blocks=told["blocks"])


def held_per_pdu() -> float:
    """The objects that stay alive for each PDU of a data set whose event is kept."""
    user, provider = established(16 << 10)
    request = CStoreRequest(message_id=1, affected_sop_class_uid=uids.CT_IMAGE_STORAGE, affected_sop_instance_uid="1.2")
    user.send(MessageStart(context=3, command=request, has_data=True))
    user.send(MessageData(context=3, data=bytes(1000 * ((16 << 10) - 6)), last=False))
    while buffers := user.data_to_send():
        provider.receive_data(b"".join(buffers))
    kept = [provider.next_event()] * 1001
    before = sys.getallocatedblocks()
    for number in range(1000):
        kept[number] = provider.next_event()
    after = sys.getallocatedblocks()
    if not all(isinstance(event, MessageData) for event in kept[:1000]):
        raise Failed("no data")
    return (after - before) / 1000


# -- the output ---------------------------------------------------------------------------------------------


def report(found: list[Measure], idles: list[Idle]) -> Iterator[str]:
    """Markdown."""
    yield "### The engine alone: two associations in one process, no sockets"
    yield ""
    yield "Processor time of one core, medians over the rounds. A request and its response are two messages and one"
    yield "round trip; both sides are paid for. *floor*: the same headers packed and unpacked by bare `struct`, the"
    yield "same views cut and bytes copied, nothing checked. By reference no byte is touched: what costs is the PDU."
    yield f"Window {WINDOW}: {WINDOW} requests in one chunk, then their responses in one. Drivers' calls before a wait"
    yield "(`next_event` until None, `deadline`) are included. A step is a PDU, a message or an association."
    yield ""
    yield "| | measured | lowest to highest | round trips/s | µs a step | floor | of floor |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for one in found:
        rates = sorted(one.amount / seconds for seconds in one.runs)
        trips = f"{one.rate / 2:,.0f}" if one.unit == "messages/s" else ""
        yield (
            f"| {one.title} | {one.rate:,.0f} {one.unit} | {rates[0]:,.0f} to {rates[-1]:,.0f} | {trips} "
            f"| {1e6 * one.amount / one.rate / one.steps:.2f} | {_of_floor(one)} |"
        )
    yield ""
    yield f"Objects alive for each P-DATA-TF of a data set whose event is kept: {held_per_pdu():.1f}."
    yield ""
    yield "| an idle acceptor after one C-ECHO | its objects, bytes (tracemalloc) | VmRSS, bytes | objects |"
    yield "|---|--:|--:|--:|"
    for each in idles:
        yield (
            f"| {each.contexts} contexts proposed, of {each.count:,} | {each.traced:,.0f} | {each.resident:,.0f} "
            f"| {each.blocks:,.0f} |"
        )
    yield ""
    yield "| target | measured | |"
    yield "|---|--:|---|"
    for one in found:
        if one.unit == "MB/s":
            yield _target(f"{one.title}: at least 3 GB/s", f"{one.rate / 1e3:.2f} GB/s", one.rate * 1e6 >= LEAST_BYTES)
        elif one.unit == "messages/s":
            good = one.rate >= LEAST_MESSAGES
            yield _target(f"{one.title}: at least {LEAST_MESSAGES:,} messages/s", f"{one.rate:,.0f}", good)
    for each in idles:
        most = max(each.traced, each.resident)
        what = f"idle acceptor, {each.contexts} contexts proposed: below {MOST_IDLE / 1e3:g} kB"
        yield _target(what, f"{most / 1e3:.1f} kB", most < MOST_IDLE)
    yield ""


def _of_floor(one: Measure) -> str:
    floor = one.floor_rate
    return " | " if floor is None else f"{floor:,.0f} | {one.rate / floor:.2f}"


def _target(what: str, seen: str, good: bool) -> str:
    return f"| {what} | {seen} | {'PASS' if good else 'MISS'} |"


def plain(found: list[Measure], idles: list[Idle]) -> list[dict[str, object]]:
    """For --json."""
    timed: list[dict[str, object]] = [
        {"contender": NAME, "workload": one.name, "unit": one.unit, "units": one.amount, "runs": one.runs,
         "floors": one.floors}
        for one in found
    ]  # fmt: skip
    return timed + [
        {"contender": NAME, "workload": "idle", "unit": "bytes", "contexts": one.contexts, "count": one.count,
         "traced": one.traced, "resident": one.resident, "blocks": one.blocks}
        for one in idles
    ]  # fmt: skip
