"""Recordings made to hurt: memory stays below a bound and time is linear, with all stages, lines and a page."""

from __future__ import annotations

import struct
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO, StringIO
from itertools import islice

import pytest

from dicos_fuzz.captures import Recording
from dicos_fuzz.captures.packets import RAW_IP
from dicos_fuzz.captures.pcapng import Writer
from dicos_fuzz.captures.recording import START
from dicos_fuzz.trace.lines import Lines
from dicos_fuzz.trace.page import Page
from dicos_fuzz.trace.tracer import Tracer
from dicos_proto import encode
from dicos_proto.upper_layer.negotiation import negotiate
from tests.fuzz.captures.tls import Ends
from tests.fuzz.trace.saying import message
from tests.fuzz.trace.test_association import ECHO
from tests.pair import POLICY, REQUEST, p_data

SERVER = bytes((10, 255, 0, 1))
RQ, AC = encode(REQUEST), encode(negotiate(REQUEST, POLICY))
SYN, ACK = 2, 16
PACKETS = 4_000


def host(number: int) -> bytes:
    return (0x0A000000 + number).to_bytes(4, "big")


def tcp(number: int, sequence: int, payload: bytes = b"", flags: int = ACK, *, by_client: bool = True) -> bytes:
    ports = (1000, 104) if by_client else (104, 1000)
    head = struct.pack(">HHLLBBHHH", *ports, sequence & 0xFFFFFFFF, 0, 80, flags, 65_535, 0, 0)
    ends = host(number) + SERVER if by_client else SERVER + host(number)
    return struct.pack(">BBHHHBBH", 0x45, 0, 40 + len(payload), 0, 0, 64, 6, 0) + ends + head + payload


def opened(number: int) -> Iterator[bytes]:
    """A connection with an association; the next byte of the client is `1 + len(RQ)`."""
    yield tcp(number, 0, flags=SYN)
    yield tcp(number, 1, RQ)
    yield tcp(number, 0, flags=SYN | ACK, by_client=False)
    yield tcp(number, 1, AC, by_client=False)


def syns() -> Iterator[bytes]:
    return (tcp(number, number, flags=SYN) for number in range(PACKETS * 3))


def out_of_order() -> Iterator[bytes]:
    for number in range(20):
        yield tcp(number, 0, flags=SYN)
    for at in range(PACKETS):
        yield tcp(at % 20, 2 + 2 * (at // 20), b"x")


def overlaps() -> Iterator[bytes]:
    yield tcp(0, 0, flags=SYN)
    for at in range(40):
        yield from (tcp(0, 10 + at * 100 + (7919 * step) % 60_000, b"y") for step in range(PACKETS // 80))
        yield tcp(0, 11 + at * 100, bytes(60_000))


def half_requests() -> Iterator[bytes]:
    half = b"\1\0\0\x0f\xff\xff\0\1\0\0" + bytes(2000)
    for number in range(PACKETS // 4):
        yield tcp(number, 0, flags=SYN)
        yield tcp(number, 1, half)


def byte_by_byte() -> Iterator[bytes]:
    yield from opened(0)
    data = p_data((3, False, False, b"ab"))
    for at in range(PACKETS):
        yield tcp(0, 1 + len(RQ) + at, data[at % len(data) :][:1])


def tiny_pdvs() -> Iterator[bytes]:
    yield from opened(0)
    body = b"".join(struct.pack(">LBB", 2, 1 + 2 * (at % 3), at % 4) for at in range(4000))
    yield tcp(0, 1 + len(RQ), b"\4\0" + (len(body) * 4).to_bytes(4, "big"))
    for at in range(4):
        yield tcp(0, 7 + len(RQ) + at * len(body), body)


def fragments() -> Iterator[bytes]:
    for number in range(PACKETS):
        yield struct.pack(">BBHHHBBH", 0x45, 0, 100, number, 0x2000, 64, 6, 0) + host(number) + SERVER + bytes(80)


def unanswered() -> Iterator[bytes]:
    for number in range(20):
        yield from opened(number)
    asked = message(ECHO, context=1) * 20
    for at in range(PACKETS // 40):
        yield tcp(at % 20, 1 + len(RQ) + at // 20 * len(asked), asked)


def half_records() -> Iterator[bytes]:
    for number in range(PACKETS // 8):
        yield tcp(number, 0, flags=SYN)
        yield tcp(number, 1, b"\x16\3\3\x40\0" + bytes(2000))


def nonsense() -> Iterator[bytes]:
    yield from opened(0)
    body = b"\5\0\0\0\0\4abcd" * 2000
    for at in range(5):
        yield tcp(0, 1 + len(RQ) + at * len(body), body)


KINDS = [
    syns,
    out_of_order,
    overlaps,
    half_requests,
    byte_by_byte,
    tiny_pdvs,
    fragments,
    unanswered,
    half_records,
    nonsense,
]


def recorded(kind: Callable[[], Iterator[bytes]], packets: int | None = None) -> bytes:
    """A recording of this kind, or of its first packets."""
    file = BytesIO()
    writer = Writer(file, link=RAW_IP)
    if kind is half_records:
        writer.secrets(bytes(Ends().log))
    for number, packet in enumerate(islice(kind(), packets)):
        writer.packet(START + number * 1000, packet)
    return file.getvalue()


def run(raw: bytes) -> Tracer:
    page = Page(StringIO(), "x")
    tracer = Tracer([Lines(len), page])
    for event in Recording(BytesIO(raw), "x").events():
        tracer.feed(event)
    tracer.end()
    page.close()
    return tracer


def calls(work: Callable[[], object]) -> int:
    """The number of calls, of C functions too, that `work` makes."""
    number = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal number
        number += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return number


@pytest.mark.slow  # forty thousand packets
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_memory_and_time_are_in_proportion(kind: Callable[[], Iterator[bytes]]) -> None:
    raw = recorded(kind)
    tracemalloc.start()
    try:
        run(raw)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * len(raw) + (16 << 20)
    half, whole = (calls(partial(run, recorded(kind, packets))) for packets in (PACKETS // 8, PACKETS // 4))
    assert whole < 2.2 * half
