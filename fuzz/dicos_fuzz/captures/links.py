"""Link layers: finds the IP packet in a captured frame.

Knows: Ethernet with VLAN tags and LLC/SNAP, Linux cooked captures, loopback, PPP, raw IP. Must not know: IP itself,
beyond the version in its first byte.

| link type | header |
|---|---|
| 1 Ethernet | target 6, source 6, any number of VLAN tags of 4, type 2 |
| 113 Linux cooked (SLL) | packet type 2, hardware 2, length 2, address 8, type 2 |
| 276 Linux cooked v2 (SLL2) | type 2, reserved 2, interface 4, hardware 2, packet type 1, length 1, address 8 |
| 0 NULL, 108 LOOP | address family 4, in the byte order of its host, or big endian |
| 9 PPP | protocol 2, maybe after address and control |
| 12, 14, 101, 228, 229 raw IP | none |
"""

from __future__ import annotations

from typing import Final

__all__ = ["MOST_TAGS", "NAMES", "internet_packet"]

MOST_TAGS: Final = 8
"""VLAN tags in front of a packet. Stops: nothing dear; a frame is not that deep."""
NAMES: Final = {
    0: "loopback (NULL)", 1: "Ethernet", 9: "PPP", 12: "raw IP", 14: "raw IP", 101: "raw IP", 108: "loopback (LOOP)",
    113: "Linux cooked (SLL)", 228: "raw IPv4", 229: "raw IPv6", 276: "Linux cooked v2 (SLL2)",
}  # fmt: skip
"""The link types that are read."""

_NOTHING: Final = memoryview(b"")
_IP: Final = (b"\x08\x00", b"\x86\xdd")
_TAGS: Final = (b"\x81\x00", b"\x88\xa8", b"\x91\x00")
_PPPOE: Final = b"\x88\x64"
_SNAP: Final = b"\xaa\xaa\x03\x00\x00\x00"
_PPP_IP: Final = (b"\x00\x21", b"\x00\x57")
_FAMILIES: Final = frozenset((2, 10, 24, 28, 30))
"""AF_INET, and AF_INET6 of Linux, NetBSD, FreeBSD and macOS."""


def internet_packet(link: int, frame: memoryview) -> memoryview | None:
    """Returns the IP packet of a frame; empty if there is another protocol in it; None if the link type is unknown."""
    if link == 1:
        return frame[14:] if bytes(frame[12:14]) in _IP else _typed(frame, 12)
    if link == 276:
        return frame[20:] if bytes(frame[:2]) in _IP else _NOTHING
    if link == 113:
        return _typed(frame, 14)
    if link in (12, 14, 101, 228, 229):
        return frame
    if link in (0, 108):
        first = bytes(frame[:4])
        family = min(int.from_bytes(first, "little"), int.from_bytes(first, "big"))
        return frame[4:] if len(first) == 4 and family in _FAMILIES else _NOTHING
    if link == 9:
        at = 2 if bytes(frame[:2]) == b"\xff\x03" else 0
        return frame[at + 2 :] if bytes(frame[at : at + 2]) in _PPP_IP else _NOTHING
    return None


def _typed(frame: memoryview, at: int) -> memoryview:
    """Returns the IP packet behind the type field at `at`, which is not IP itself: VLAN tags, PPPoE, LLC/SNAP."""
    for _ in range(MOST_TAGS):
        kind = bytes(frame[at : at + 2])
        if kind in _IP:
            return frame[at + 2 :]
        if kind in _TAGS:
            at += 4
        elif kind == _PPPOE:
            return frame[at + 10 :] if bytes(frame[at + 8 : at + 10]) in _PPP_IP else _NOTHING
        elif int.from_bytes(kind, "big") <= 1500 and bytes(frame[at + 2 : at + 8]) == _SNAP:
            at += 8
        else:
            return _NOTHING
    return _NOTHING
