"""Packets made of TCP payloads: Ethernet or none, IPv4 or IPv6, TCP, with correct lengths and checksums.

Knows: the headers of RFC 791, RFC 8200 and RFC 9293. Must not know: connections, files.

Invariant: a packet is complete and valid; its payload is the caller's business.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

from dicos_proto.wire import Buffer

__all__ = ["ETHERNET", "MOST_PAYLOAD", "RAW_IP", "Endpoint", "Flags", "Path", "internet_checksum"]

ETHERNET: Final = 1
RAW_IP: Final = 101
"""Link types of a capture file (tcpdump.org, "Link-layer header types")."""
MOST_PAYLOAD: Final = 65_535 - 40 - 60
"""Most bytes of TCP payload in a packet: what is left of 65,535 bytes after the longest headers made here."""

_ETHERTYPES: Final = {4: 0x0800, 6: 0x86DD}
_CLIENT_MAC: Final = bytes.fromhex("020000000001")
_SERVER_MAC: Final = bytes.fromhex("020000000002")
_TCP: Final = struct.Struct(">HHLLBBHHH")
_IPV4: Final = struct.Struct(">BBHHHBBH4s4s")
_IPV6: Final = struct.Struct(">LHBB16s16s")
_TCP_PROTOCOL: Final = 6
_HOPS: Final = 64
_DONT_FRAGMENT: Final = 0x4000
WINDOW: Final = 0xFFFF
WINDOW_SHIFT: Final = 7
"""The receive window that every packet announces, and its scale [RFC 7323 2]: 8 MiB."""


class Endpoint(NamedTuple):
    """An IP address as text, and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Flags(IntFlag):
    """The flags of a TCP header that are used here [RFC 9293 3.1]."""

    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    PSH = 0x08
    ACK = 0x10


def internet_checksum(data: Buffer) -> int:
    """Returns the Internet checksum [RFC 1071]: the complement of the one's complement sum of 16-bit words.

    That sum is the value of the bytes, as one number, modulo 65,535: an integer of Python computes it fastest.
    """
    number = int.from_bytes(data, "big") << (8 if len(data) % 2 else 0)
    return 0xFFFF - (number % 0xFFFF or (0xFFFF if number else 0))


@dataclass(frozen=True, slots=True)
class _Side:
    address: bytes
    port: int
    mac: bytes


class Path:
    """The way between a client and a server: makes the packets of one TCP connection.

    If only one of the two addresses is an IPv6 address, the other one is mapped to IPv6 [RFC 4291 2.5.5.2]. A zone
    (`%eth0`) is left out. `link`: `ETHERNET` or `RAW_IP`. Raises ValueError for a host that is not an address.
    """

    def __init__(self, client: Endpoint, server: Endpoint, *, link: int = ETHERNET) -> None:
        if link not in (ETHERNET, RAW_IP):
            raise ValueError(f"link type {link}; {ETHERNET} (Ethernet) or {RAW_IP} (raw IP)")
        hosts = [ip_address(one.host.partition("%")[0]) for one in (client, server)]
        self.version = max(host.version for host in hosts)
        first, second = (_packed(host, self.version) for host in hosts)
        self._client = _Side(first, client.port, _CLIENT_MAC)
        self._server = _Side(second, server.port, _SERVER_MAC)
        self._link = link
        self._identification = 0

    @property
    def segment(self) -> int:
        """The maximum segment size that fits an Ethernet frame of 1500 bytes."""
        return 1460 if self.version == 4 else 1440

    def packet(
        self, *, by_client: bool, flags: Flags, sequence: int, acknowledgement: int = 0, payload: Buffer = b""
    ) -> bytes:
        """Returns one packet. A SYN announces the maximum segment size and the window scale."""
        source, target = (self._client, self._server) if by_client else (self._server, self._client)
        options = struct.pack(">BBHBBBB", 2, 4, self.segment, 1, 3, 3, WINDOW_SHIFT) if flags & Flags.SYN else b""
        size = _TCP.size + len(options)
        fields = (source.port, target.port, sequence, acknowledgement, size // 4 << 4, flags, WINDOW)
        pseudo = source.address + target.address + struct.pack(">LL", size + len(payload), _TCP_PROTOCOL)
        checksum = internet_checksum(b"".join((pseudo, _TCP.pack(*fields, 0, 0), options, payload)))
        segment = b"".join((_TCP.pack(*fields, checksum, 0), options, payload))
        packet = self._internet(source, target, len(segment)) + segment
        if self._link == RAW_IP:
            return packet
        return target.mac + source.mac + _ETHERTYPES[self.version].to_bytes(2, "big") + packet

    def _internet(self, source: _Side, target: _Side, length: int) -> bytes:
        if self.version == 6:
            return _IPV6.pack(6 << 28, length, _TCP_PROTOCOL, _HOPS, source.address, target.address)
        self._identification = self._identification + 1 & 0xFFFF
        fields = (0x45, 0, _IPV4.size + length, self._identification, _DONT_FRAGMENT, _HOPS, _TCP_PROTOCOL)
        checksum = internet_checksum(_IPV4.pack(*fields, 0, source.address, target.address))
        return _IPV4.pack(*fields, checksum, source.address, target.address)


def _packed(host: IPv4Address | IPv6Address, version: int) -> bytes:
    return bytes(10) + b"\xff\xff" + host.packed if version == 6 and host.version == 4 else host.packed
