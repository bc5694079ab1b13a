"""Writes a conversation as a capture file, with invented Ethernet, IPv4 and TCP headers around the bytes.

pcap, microseconds, link type Ethernet (tcpdump.org, "pcap-savefile"); RFC 791, RFC 9293.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

SERVER = 11_112
CLIENT = 40_000
"""TCP ports of the acceptors, and of the first requestor; each conversation has its own requestor."""
Said = tuple[bool, bytes]
"""True if the requestor sends the bytes, and the bytes."""

SEGMENT = 1460
_FILE = struct.pack("<LHHlLLL", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1)
_SYN, _ACK, _PUSH = 0x02, 0x10, 0x08


def pcap(conversations: Iterable[Iterable[Said]]) -> bytes:
    """Return the file: for each TCP connection a handshake, then the bytes of both sides in order, in segments."""
    packets = [_FILE]
    for client, conversation in enumerate(conversations, CLIENT):
        for packet in _connection(client, conversation):
            packets.append(struct.pack("<LLLL", 1_700_000_000, len(packets), len(packet), len(packet)) + packet)
    return b"".join(packets)


def _connection(client: int, conversation: Iterable[Said]) -> Iterator[bytes]:
    sequence = {client: 1_000, SERVER: 9_000}

    def packet(port: int, flags: int, payload: bytes = b"") -> bytes:
        other = SERVER if port == client else client
        acknowledged = sequence[other] if flags & _ACK else 0
        begins, sequence[port] = sequence[port], sequence[port] + len(payload) + (flags & _SYN != 0)
        return _packet(port, other, begins, acknowledged, flags, payload)

    yield packet(client, _SYN)
    yield packet(SERVER, _SYN | _ACK)
    yield packet(client, _ACK)
    for by_client, data in conversation:
        for at in range(0, len(data), SEGMENT):
            yield packet(client if by_client else SERVER, _ACK | _PUSH, data[at : at + SEGMENT])


def _packet(source: int, target: int, sequence: int, acknowledged: int, flags: int, payload: bytes) -> bytes:
    here, there = bytes((127, 0, 0, 1)), bytes((127, 0, 0, 2))
    ends = there + here if source == SERVER else here + there
    tcp = struct.pack(">HHLLBBHHH", source, target, sequence, acknowledged, 5 << 4, flags, 0xFFFF, 0, 0)
    checksum = _checksum(ends + struct.pack(">BBH", 0, 6, len(tcp) + len(payload)) + tcp + payload)
    tcp = tcp[:16] + checksum + tcp[18:]
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp) + len(payload), 0, 0, 64, 6, 0) + ends
    ip = ip[:10] + _checksum(ip) + ip[12:]
    return bytes(12) + b"\x08\0" + ip + tcp + payload


def _checksum(data: bytes) -> bytes:
    """Return the Internet checksum [RFC 1071]."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")
