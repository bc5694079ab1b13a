"""Streams and lines for the tests of faults: PDUs laid out by hand, a line that is driven to its end."""

from __future__ import annotations

from random import Random

from dicos_fuzz.faults import Direction, Log, parse_plan
from dicos_fuzz.faults.line import Line

RQ = bytes.fromhex("0100 00000004 0a0b0c0d".replace(" ", ""))
"""A PDU with the type of an A-ASSOCIATE-RQ, of ten bytes."""
DATA = [bytes((4, 0, 0, 0, 0, 8, 0, 0, 0, 4, 1, 2, 0x30 + number, 0x60 + number)) for number in range(1, 5)]
"""P-DATA-TFs of fourteen bytes, one PDV each, with two bytes of data that name it."""
RELEASE = bytes.fromhex("05000000000400000000")
STREAM = RQ + b"".join(DATA) + RELEASE
"""Seventy-six bytes in six PDUs."""


def line_of(text: str, direction: Direction = Direction.IN) -> tuple[Line, Log]:
    """A line with the faults of a plan."""
    plan, log = parse_plan(text), Log()
    return Line(plan.of(direction), direction, Random(plan.seed), log), log


def pieces(text: str, *fed: bytes, end: bool = True) -> list[bytes]:
    """The pieces that come out of a line at once, without a wait."""
    line, _ = line_of(text)
    found = []
    for data in fed or (STREAM,):
        line.feed(data)
        while piece := line.take():
            found.append(b"".join(piece))
    if end:
        line.end()
        while piece := line.take():
            found.append(b"".join(piece))
    return found


def through(text: str, *fed: bytes) -> bytes:
    """All that comes out of a line at once."""
    return b"".join(pieces(text, *fed))


def timed(text: str, *fed: bytes, until: float = 100.0) -> list[tuple[float, bytes]]:
    """All pieces that come out of a line, each with its time, and "end" in bytes at the end of file."""
    line, _ = line_of(text)
    now, found = 0.0, []
    for data in fed or (STREAM,):
        line.feed(data)
    line.end()
    while now <= until:
        while piece := line.take():
            found.append((round(now, 6), b"".join(piece)))
        if line.finished:
            return [*found, (round(now, 6), b"end")]
        deadline = line.deadline(now)
        if deadline is None:
            break
        now = max(now, deadline[0])
        line.handle_timeout(now)
    return found
