"""Capture files laid out by hand, in every variant of the two formats."""

from __future__ import annotations

import struct
from collections.abc import Iterable

Stamped = tuple[int, bytes]
"""Nanoseconds since 1970, and the bytes of a packet."""


def pcap(packets: Iterable[Stamped], *, order: str = "<", nanoseconds: bool = False, link: int = 1) -> bytes:
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    parts = [struct.pack(f"{order}LHHlLLL", magic, 2, 4, 0, 0, 65_535, link)]
    for at, data in packets:
        seconds, fraction = divmod(at, 10**9)
        if not nanoseconds:
            fraction //= 1000
        parts.append(struct.pack(f"{order}LLLL", seconds, fraction, len(data), len(data)) + data)
    return b"".join(parts)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    length = len(body) + 12
    return struct.pack(f"{order}LL", kind, length) + body + struct.pack(f"{order}L", length)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(f"{order}LHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(
    link: int = 1, *, resolution: int | None = None, offset: int = 0, snap: int = 0, order: str = "<"
) -> bytes:
    options = b""
    if resolution is not None:
        options += option(9, bytes((resolution,)), order)
    if offset:
        options += option(14, struct.pack(f"{order}q", offset), order)
    if options:
        options = option(2, b"eth0", order) + options + bytes(4)
    return block(1, struct.pack(f"{order}HHL", link, 0, snap) + options, order)


def enhanced(ticks: int, data: bytes, *, which: int = 0, order: str = "<", options: bytes = b"") -> bytes:
    head = struct.pack(f"{order}LLLLL", which, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
    return block(6, head + data + bytes(-len(data) % 4) + options, order)


def obsolete(ticks: int, data: bytes, *, which: int = 0, order: str = "<") -> bytes:
    head = struct.pack(f"{order}HHLLLL", which, 0xFFFF, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
    return block(2, head + data, order)


def simple(data: bytes, order: str = "<", *, original: int | None = None) -> bytes:
    return block(3, struct.pack(f"{order}L", len(data) if original is None else original) + data, order)


def secrets(lines: bytes, order: str = "<", kind: int = 0x544C534B) -> bytes:
    return block(10, struct.pack(f"{order}LL", kind, len(lines)) + lines, order)
