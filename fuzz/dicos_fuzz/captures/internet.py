"""From packets to TCP segments: IPv4 and IPv6, extension headers, fragments.

Knows: RFC 791, RFC 8200, the fixed part of a TCP header [RFC 9293 3.1]. Must not know: connections.

Checksums are not compared: where a network card computes them, a recording has wrong ones for all packets sent.

Invariants: no bytes of a packet raise an error; what is not read is counted; fragments are held within
`MOST_DATAGRAMS` and `MOST_FRAGMENTS`, and fragments that overlap are refused [RFC 5722].
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from .files import Packet
from .links import internet_packet
from .packets import Endpoint

__all__ = ["MOST_DATAGRAMS", "MOST_FRAGMENTS", "MOST_HEADERS", "Counts", "Segment", "Segments", "endpoints"]

MOST_DATAGRAMS: Final = 256
"""Datagrams whose fragments are held at once; the oldest is dropped. Stops: first fragments without end."""
MOST_FRAGMENTS: Final = 128
"""Fragments of one datagram. Stops: 8,000 fragments of 8 bytes for each datagram."""
MOST_HEADERS: Final = 16
"""Extension headers of an IPv6 packet. Stops: a packet of 8,000 empty ones, each of which takes a step of work."""

_TCP: Final = 6
_TCP_HEADER: Final = Struct(">4sLLBB")
_FRAGMENT: Final = 44
_AUTHENTICATION: Final = 51
_SKIPPED: Final = frozenset((0, 43, 60, 135, 139, 140))
"""IPv6 extension headers of 8 bytes, and 8 more for each unit of their length field."""


@dataclass(slots=True)
class Segment:
    """A TCP segment. `number`, `at`: of its packet. `key`: source address, target address, source port, target port.

    `payload`: a view of the packet. `missing`: bytes of payload that the capture cut off.
    """

    number: int
    at: int
    key: bytes
    sequence: int
    acknowledgement: int
    flags: int
    payload: memoryview
    missing: int


@dataclass(slots=True)
class Counts:
    """Numbers of packets of a recording, by the result of reading them. `unknown_links`: link type -> packets."""

    packets: int = 0
    segments: int = 0
    others: int = 0  # not TCP
    damaged: int = 0  # lengths that do not fit
    cut: int = 0  # by the snapshot length
    fragments_dropped: int = 0
    unknown_links: dict[int, int] = field(default_factory=dict)


def endpoints(key: bytes) -> tuple[Endpoint, Endpoint]:
    """Returns source and target of a key."""
    from ipaddress import ip_address

    size = (len(key) - 4) // 2
    hosts = [str(ip_address(key[at : at + size])) for at in (0, size)]
    ports = [int.from_bytes(key[at : at + 2], "big") for at in (2 * size, 2 * size + 2)]
    return Endpoint(hosts[0], ports[0]), Endpoint(hosts[1], ports[1])


class _Datagram:
    """The fragments of one datagram: offset -> bytes."""

    __slots__ = ("parts", "size")

    def __init__(self) -> None:
        self.parts: dict[int, bytes] = {}
        self.size: int | None = None  # known once the last fragment is here

    def add(self, offset: int, data: bytes, *, last: bool) -> bool:
        """Adds a fragment. Returns False if it cannot belong to this datagram."""
        if self.parts.get(offset) == data:
            return True
        end = offset + len(data)
        overlaps = any(offset < at + len(part) and at < end for at, part in self.parts.items())
        if overlaps or len(self.parts) >= MOST_FRAGMENTS or end > 0xFFFF or (not last and len(data) % 8):
            return False
        if last:
            if self.size is not None and self.size != end:
                return False
            self.size = end
        self.parts[offset] = data
        return True

    def whole(self) -> bytes | None:
        """Returns the payload once every fragment is here."""
        if self.size is None or sum(map(len, self.parts.values())) != self.size:
            return None
        return b"".join(self.parts[at] for at in sorted(self.parts))


class Segments:
    """Turns packets into segments. `counts`: what has been read so far."""

    def __init__(self) -> None:
        self.counts = Counts()
        self._datagrams: dict[bytes, _Datagram] = {}

    def read(self, packet: Packet) -> Segment | None:
        """Returns the TCP segment that a packet holds, or completes; None if there is none."""
        counts = self.counts
        counts.packets += 1
        data = internet_packet(packet.link, packet.data)
        if data is None:
            links = counts.unknown_links
            if packet.link in links or len(links) < 1000:
                links[packet.link] = links.get(packet.link, 0) + 1
            return None
        version = data[0] >> 4 if data else 0
        if version == 4:
            return self._version_4(packet, data)
        if version == 6:
            return self._version_6(packet, data)
        counts.others += 1
        return None

    # -- IP ------------------------------------------------------------------------------------------------------

    def _version_4(self, packet: Packet, data: memoryview) -> Segment | None:
        size = (data[0] & 15) * 4
        if size < 20 or len(data) < size:
            return self._damaged()
        if data[9] != _TCP:
            self.counts.others += 1
            return None
        total = data[2] << 8 | data[3]
        if not total:  # the card cuts it into packets later (TSO)
            total = len(data) + packet.original - len(packet.data)
        if total < size:
            return self._damaged()
        place = data[6] << 8 | data[7]
        addresses = bytes(data[12:20])
        if place & 0x3FFF:  # more fragments, or an offset
            if total > len(data):
                return self._dropped()
            key = addresses + bytes(data[4:6])
            whole = self._join(key, (place & 0x1FFF) * 8, data[size:total], last=not place & 0x2000)
            return None if whole is None else self._segment(packet, addresses, memoryview(whole), len(whole))
        return self._segment(packet, addresses, data[size:total], total - size)

    def _version_6(self, packet: Packet, data: memoryview) -> Segment | None:
        if len(data) < 40:
            return self._damaged()
        total = 40 + (data[4] << 8 | data[5])
        if total == 40:
            total = len(data) + packet.original - len(packet.data)  # as above, or a jumbogram
        addresses = bytes(data[8:40])
        return self._after_headers(packet, addresses, data[6], data[40:total], total - 40)

    def _after_headers(
        self, packet: Packet, addresses: bytes, following: int, data: memoryview, total: int
    ) -> Segment | None:
        """Skips extension headers. `following`: the type of the first one. `total`: the bytes that were sent."""
        for _ in range(MOST_HEADERS):
            if following == _TCP:
                return self._segment(packet, addresses, data, total)
            if following not in _SKIPPED and following not in (_FRAGMENT, _AUTHENTICATION):
                self.counts.others += 1
                return None
            if len(data) < 8:
                break
            kind, following = following, data[0]
            if kind == _FRAGMENT:
                place = data[2] << 8 | data[3]
                if place & 0xFFF9:  # not the only fragment
                    if total > len(data):
                        return self._dropped()
                    key = addresses + bytes(data[4:8]) + bytes((following,))
                    whole = self._join(key, place & 0xFFF8, data[8:], last=not place & 1)
                    if whole is None:
                        return None
                    data, total = memoryview(whole), len(whole)
                    continue
                size = 8
            else:
                size = (data[1] + 2) * 4 if kind == _AUTHENTICATION else (data[1] + 1) * 8
            data, total = data[size:], total - size
        return self._damaged()

    def _join(self, key: bytes, offset: int, data: memoryview, *, last: bool) -> bytes | None:
        datagram = self._datagrams.get(key)
        if datagram is None:
            if len(self._datagrams) >= MOST_DATAGRAMS:
                oldest = next(iter(self._datagrams))
                self.counts.fragments_dropped += len(self._datagrams.pop(oldest).parts)
            datagram = self._datagrams[key] = _Datagram()
        if not datagram.add(offset, bytes(data), last=last):
            self.counts.fragments_dropped += len(datagram.parts) + 1
            del self._datagrams[key]
            return None
        whole = datagram.whole()
        if whole is not None:
            del self._datagrams[key]
        return whole

    # -- TCP -----------------------------------------------------------------------------------------------------

    def _segment(self, packet: Packet, addresses: bytes, data: memoryview, total: int) -> Segment | None:
        """`total`: the bytes of the segment that were sent; `data` may be shorter."""
        if len(data) < 14:
            return self._damaged()
        ports, sequence, acknowledgement, offset, flags = _TCP_HEADER.unpack_from(data)
        size = (offset >> 4) * 4
        if size < 20 or size > total:
            return self._damaged()
        self.counts.segments += 1
        missing = total - max(len(data), size)
        if missing:
            self.counts.cut += 1
        return Segment(
            packet.number, packet.at, addresses + ports, sequence, acknowledgement, flags, data[size:], missing
        )

    def _damaged(self) -> Segment | None:
        self.counts.damaged += 1
        return None

    def _dropped(self) -> Segment | None:
        self.counts.fragments_dropped += 1
        return None
