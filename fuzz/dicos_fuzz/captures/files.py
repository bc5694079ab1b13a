"""Reading capture files: pcap and pcapng, as a stream of packets.

Knows: the two formats, and their variants: byte orders, resolutions, sections, interfaces. Must not know: what is in a
packet (it names a file that begins with a PDU, to help).

pcap (draft-ietf-opsawg-pcap): a header of 24 bytes, whose magic number gives the byte order and the resolution; before
each packet 16 bytes: seconds, fraction, captured length, original length. pcapng (draft-ietf-opsawg-pcapng): see the
table in `pcapng`; this module also reads the Simple Packet and the obsolete Packet block, and skips blocks of other
types.

Invariants: every length is compared with `MOST_BLOCK`, and with its block, before it is used; a damaged or truncated
file raises `CaptureError` after every packet before the damage has been returned.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from .pcapng import (
    BYTE_ORDER,
    DECRYPTION_SECRETS,
    ENHANCED_PACKET,
    INTERFACE_DESCRIPTION,
    SECTION_HEADER,
    TLS_KEY_LOG,
)
from .recognising import begins_with_pdu
from .source import MOST_BLOCK, CaptureError, Readable, Source

__all__ = ["MOST_INTERFACES", "MOST_SECRETS", "CaptureError", "Packet", "read_packets"]

MOST_INTERFACES: Final = 4096
"""Interfaces of one section. Stops: gigabytes of interface blocks, each of which becomes an object."""
MOST_SECRETS: Final = 4 << 20
"""Bytes of one Decryption Secrets block. Stops: a key log of gigabytes."""

_OBSOLETE_PACKET: Final = 2
_SIMPLE_PACKET: Final = 3
_NAMES: Final = {
    SECTION_HEADER: "Section Header block",
    INTERFACE_DESCRIPTION: "Interface Description block",
    _OBSOLETE_PACKET: "Packet block",
    _SIMPLE_PACKET: "Simple Packet block",
    ENHANCED_PACKET: "Enhanced Packet block",
    DECRYPTION_SECRETS: "Decryption Secrets block",
}
_RESOLUTION, _OFFSET = 9, 14  # options of an interface
_SECTION: Final = SECTION_HEADER.to_bytes(4, "big")  # the same in both byte orders
_SECOND: Final = 1_000_000_000
_PCAP: Final = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
"""The first four bytes of a pcap file -> byte order, nanoseconds in a unit of the fraction."""
_OTHERS: Final = {
    b"\x1f\x8b": "gzip: unpack it first",
    b"\x28\xb5\x2f\xfd": "zstd: unpack it first",
    b"\x04\x22\x4d\x18": "lz4: unpack it first",
    b"\x34\xcd\xb2\xa1": "pcap as changed by Kuznetzov, which is not supported; editcap converts it",
    b"\xa1\xb2\xcd\x34": "pcap as changed by Kuznetzov, which is not supported; editcap converts it",
    b"snoop": "snoop, which is not supported; editcap converts it",
    b"GMBU": "Network Monitor, which is not supported; editcap converts it",
}
_RAW: Final = "dicos_fuzz.captures.Recorder makes a capture file of them: docs/traces.md, Raw bytes"


@dataclass(slots=True)
class Packet:
    """One packet. `number`: from 1, as Wireshark counts. `at`: nanoseconds since 1970. `link`: its link type.

    `data`: the captured bytes, a view that keeps a megabyte alive. `original`: its length on the network.
    """

    number: int
    at: int
    link: int
    data: memoryview
    original: int


def read_packets(file: Readable, name: str, secrets: Callable[[bytes], object] | None = None) -> Iterator[Packet]:
    """Yields the packets of a capture file, in the order of the file.

    `name`: the name of the file, for error texts. `secrets` is called with each key log in the file, before the packets
    that follow it. Raises `CaptureError` where the file is damaged or ends too early, or cannot be read.
    """
    source = Source(file, name)
    head = source.peek(12)
    if not head:
        raise CaptureError(name, 0, "", "empty; a capture file (pcap or pcapng) is expected")
    if head[:4] in _PCAP:
        yield from _read_pcap(source, *_PCAP[head[:4]])
    elif head[:4] == _SECTION:
        yield from _Sections(source, secrets).read()
    else:
        raise CaptureError(name, 0, "", f"not a capture file (pcap or pcapng): {_foreign(source.peek(132))}")


def _foreign(head: bytes) -> str:
    """The kind of a file that is not a capture file, by its first bytes."""
    if head[128:] == b"DICM":
        return "a DICOM file"
    if begins_with_pdu(head):
        return f"a PDU, so bytes without packets. {_RAW}"
    if head[0] in range(0x14, 0x18) and head[1:2] == b"\3":
        return f"TLS, so bytes without packets. {_RAW}"
    begins = f"begins with {head[:4].hex(' ')}"
    if head[:4].isascii() and head[:4].decode().isprintable():
        begins += f" ({head[:4].decode()})"
    return next((text for magic, text in _OTHERS.items() if head.startswith(magic)), begins)


# -- pcap --------------------------------------------------------------------------------------------------------


def _read_pcap(source: Source, order: str, unit: int) -> Iterator[Packet]:
    if source.has(24) < 24:
        raise source.fault("header", f"the file ends after {source.has(24)} of its 24 bytes")
    link = struct.unpack(f"{order}20xL", source.take(24))[0] & 0xFFFF
    header = struct.Struct(f"{order}LLLL")
    number = 0
    while found := source.has(16):
        number += 1
        begin = source.offset
        if found < 16:
            raise source.fault(f"packet {number}", f"the file ends after {found} of the 16 bytes of its header")
        seconds, fraction, captured, original = header.unpack(source.take(16))
        if captured > MOST_BLOCK:
            raise source.fault(f"packet {number}", f"captured length {captured:,}; at most {MOST_BLOCK:,}", begin)
        found = source.has(captured)
        if found < captured:
            raise source.fault(f"packet {number}", f"the file ends after {found:,} of its {captured:,} bytes", begin)
        at = seconds * _SECOND + fraction * unit
        yield Packet(number, at, link, source.take(captured), max(original, captured))


# -- pcapng ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Interface:
    link: int
    snapshot: int
    units: int  # in a second
    offset: int  # seconds


class _Sections:
    """Reads the sections of a pcapng file."""

    def __init__(self, source: Source, secrets: Callable[[bytes], object] | None) -> None:
        self._source = source
        self._secrets = secrets
        self._order = "<"
        self._interfaces: list[_Interface] = []
        self._number = 0
        self._last = 0  # the time of the packet before, for one that has none
        self._begin = 0
        self._where = ""

    def read(self) -> Iterator[Packet]:
        """Yields the packets."""
        source = self._source
        while head := source.peek(12):
            self._begin = source.offset
            self._where = "block"
            if len(head) < 12:
                raise self._fault(f"the file ends after {len(head)} bytes of it; a block has at least 12")
            if head[:4] == _SECTION:
                self._begin_section(head[8:])
            kind, length = struct.unpack(f"{self._order}LL", head[:8])
            self._where = _NAMES.get(kind, f"block of type 0x{kind:08X}")
            if length < 12 or length % 4:
                raise self._fault(f"length {length:,}; a multiple of 4, at least 12")
            source.take(8)
            if kind not in _NAMES:
                if not source.skip(length - 12):
                    raise self._fault(f"the file ends within its {length:,} bytes")
                self._take(0, length)
                continue
            if length > MOST_BLOCK:
                raise self._fault(f"{length:,} bytes; at most {MOST_BLOCK:,}")
            body = self._take(length - 12, length)
            if kind in _PACKETS:
                yield self._packet(kind, body)
            else:
                self._other(kind, body)

    def _fault(self, cause: str) -> CaptureError:
        return self._source.fault(self._where, cause, self._begin)

    def _begin_section(self, magic: bytes) -> None:
        orders = {BYTE_ORDER.to_bytes(4, "little"): "<", BYTE_ORDER.to_bytes(4, "big"): ">"}
        self._where = _NAMES[SECTION_HEADER]
        order = orders.get(magic)
        if order is None:
            raise self._fault(f"byte order magic {magic.hex()}; 1a2b3c4d or 4d3c2b1a")
        self._order = order
        self._interfaces = []

    def _take(self, size: int, length: int) -> memoryview:
        """Takes the body of a block and the length after it, which repeats the one before it."""
        found = self._source.has(size + 4)
        if found < size + 4:
            seen = self._source.offset - self._begin + found
            raise self._fault(f"the file ends after {seen:,} of its {length:,} bytes")
        body = self._source.take(size + 4)
        (repeated,) = struct.unpack(f"{self._order}L", body[size:])
        if repeated != length:
            raise self._fault(f"length {length:,} at its beginning, {repeated:,} at its end")
        return body[:size]

    def _fields(self, layout: str, body: memoryview) -> tuple[int, ...]:
        """Returns the fixed fields at the start of a body."""
        fields = struct.Struct(self._order + layout)
        if len(body) < fields.size:
            raise self._fault(f"a body of {len(body)} bytes; at least {fields.size}")
        return fields.unpack_from(body)

    def _packet(self, kind: int, body: memoryview) -> Packet:
        at = self._last
        if kind == _SIMPLE_PACKET:
            (original,) = self._fields("L", body)
            interface, data = self._interface(0), body[4:]
            captured = min(original, interface.snapshot or original, len(data))
        else:
            layout = "H2xLLLL" if kind == _OBSOLETE_PACKET else "LLLLL"
            index, high, low, captured, original = self._fields(layout, body)
            interface, data = self._interface(index), body[20:]
            at = self._last = (high << 32 | low) * _SECOND // interface.units + interface.offset * _SECOND
        if captured > len(data):
            raise self._fault(f"captured length {captured:,} in a block with {len(data):,} left")
        self._number += 1
        return Packet(self._number, at, interface.link, data[:captured], max(original, captured))

    def _interface(self, index: int) -> _Interface:
        if index >= len(self._interfaces):
            raise self._fault(f"interface {index}; this section has described {len(self._interfaces)}")
        return self._interfaces[index]

    def _other(self, kind: int, body: memoryview) -> None:
        if kind == SECTION_HEADER:
            _, major, _, _, _ = self._fields("LHHLL", body)
            if major != 1:
                raise self._fault(f"version {major} of the format; 1 is known")
        elif kind == INTERFACE_DESCRIPTION:
            self._interfaces.append(self._described(body))
        else:
            what, size = self._fields("LL", body)
            if size > len(body) - 8:
                raise self._fault(f"secrets of {size:,} bytes in a block with {len(body) - 8:,} left")
            if what == TLS_KEY_LOG and self._secrets is not None and size <= MOST_SECRETS:
                self._secrets(bytes(body[8 : 8 + size]))

    def _described(self, body: memoryview) -> _Interface:
        if len(self._interfaces) >= MOST_INTERFACES:
            raise self._fault(f"more than {MOST_INTERFACES} interfaces in a section")
        link, snapshot = self._fields("H2xL", body)
        made = _Interface(link, snapshot, 1_000_000, 0)
        at = 8
        while len(body) - at >= 4:
            code, size = struct.unpack(f"{self._order}HH", body[at : at + 4])
            value = body[at + 4 : at + 4 + size]
            if not code:
                break
            if len(value) < size:
                raise self._fault(f"option {code} of {size} bytes with {len(value)} left")
            if code == _RESOLUTION and size == 1:
                power = value[0] & 0x7F
                made.units = 1 << power if value[0] & 0x80 else 10**power
            elif code == _OFFSET and size == 8:
                (made.offset,) = struct.unpack(f"{self._order}q", value)
            at += 4 + size + -size % 4
        return made


_PACKETS: Final = frozenset((_OBSOLETE_PACKET, _SIMPLE_PACKET, ENHANCED_PACKET))
