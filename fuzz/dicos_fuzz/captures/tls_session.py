"""One TLS connection with a key log: its records, as far as their protection can be undone.

Theory of operation. Records are cut out of each direction. The handshake names the version, the cipher suite and the
client random, by which the key log is searched. In TLS 1.2 a ChangeCipherSpec starts the protection of its direction;
in TLS 1.3 the ServerHello does, a Finished starts the next keys, and a KeyUpdate others. Handshake messages are read
before and behind the protection, so that a renegotiation of TLS 1.2 works as the first negotiation.

Knows: records and the few handshake messages that matter. Must not know: DICOM, files, other connections.

Invariants: of a direction at most one record and one handshake message are held; no bytes raise an error but `Failed`.
A gap in the recording costs one record if it lies within that, and the record tells its length; else the direction.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .ciphers import SUITES, TLS_1_2, TLS_1_3, Bad, Protection, Suite, for_tls_1_2, for_tls_1_3, next_secret
from .keylog import KeyLog

__all__ = ["MOST_MESSAGE", "Failed", "Session"]

MOST_MESSAGE: Final = 128 << 10
"""Bytes of a handshake message. Stops: a message of 16 MB."""
_MOST_RECORD: Final = 16_384 + 2_048
_CHANGE, _ALERT, _HANDSHAKE, _APPLICATION = 20, 21, 22, 23
_CLIENT_HELLO, _SERVER_HELLO, _FINISHED, _KEY_UPDATE = 1, 2, 20, 24
_RETRY: Final = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
"""The random of a ServerHello that is a HelloRetryRequest [RFC 8446 4.1.3]."""
_VERSIONS: Final = {0x0300: "SSL 3.0", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", TLS_1_2: "TLS 1.2", TLS_1_3: "TLS 1.3"}
_SUPPORTED_VERSIONS, _ENCRYPT_THEN_MAC = 43, 22
_SIDES: Final = ("SERVER", "CLIENT")


class Failed(Exception):
    """A connection that cannot be decrypted, and why."""


class _Half:
    """One direction: the record under way, and the protection of records."""

    __slots__ = ("buffer", "head", "hole", "message", "protection", "secret", "upcoming", "wanted")

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.wanted = 5  # bytes: the header, and once that is here the body
        self.hole = 0  # bytes of the record under way that the recording does not have
        self.message = bytearray()
        self.protection: Protection | None = None
        self.upcoming: Protection | None = None  # from the ChangeCipherSpec on
        self.secret: bytes | None = None
        self.head = b""  # the first bytes

    def begin(self) -> None:
        """Begins the next record."""
        self.buffer = bytearray()
        self.hole = 0
        self.wanted = 5


class Session:
    """A TLS connection. Index 1 of `halves` is the client."""

    def __init__(self, keys: KeyLog) -> None:
        self._keys = keys
        self.halves = (_Half(), _Half())
        self._client_random = b""
        self._suite: Suite | None = None
        self._version = 0
        self.about = ""
        """Version and cipher, for people; empty before the ServerHello."""
        self.proven = False
        """True once a record was decrypted: the secrets are right."""

    @property
    def held(self) -> int:
        """Bytes that are held."""
        return sum(len(half.buffer) + len(half.message) for half in self.halves)

    # -- records -------------------------------------------------------------------------------------------------

    def records(self, by_client: bool, data: memoryview) -> Iterator[bytes | int]:
        """Yields the plaintext of application data. A number is the length of plaintext that the recording lacks.

        Raises `Failed`."""
        half = self.halves[by_client]
        half.head = half.head or bytes(data[:12])
        while data:
            wanted = half.wanted - half.hole - len(half.buffer)
            half.buffer += data[:wanted]
            data = data[wanted:]
            if len(half.buffer) == 5 and half.wanted == 5 and not half.hole:
                half.wanted += _body_length(half.buffer)
            if len(half.buffer) + half.hole == half.wanted:
                yield from self._record(by_client, half)

    def gap(self, by_client: bool, size: int) -> Iterator[int]:
        """Yields the length of the plaintext that a gap of `size` bytes takes, once that is known. Raises `Failed`."""
        half = self.halves[by_client]
        left = half.wanted - len(half.buffer) - half.hole
        length = None if half.protection is None else half.protection.plain_length(half.wanted - 5)
        if len(half.buffer) < 5 or size > left or length is None or half.buffer[0] != _APPLICATION:
            raise Failed("the recording has a gap here; the rest of this side cannot be decrypted")
        half.hole += size
        if size == left:
            yield self._skip(half)

    def _skip(self, half: _Half) -> int:
        """Ends a record that has a hole. Returns how much plaintext it had."""
        length = half.wanted - 5
        half.begin()
        if half.protection is None:
            return 0
        half.protection.skip()
        return half.protection.plain_length(length) or 0

    def _record(self, by_client: bool, half: _Half) -> Iterator[bytes | int]:
        if half.hole:
            yield self._skip(half)
            return
        header, body = bytes(half.buffer[:5]), bytes(half.buffer[5:])
        half.begin()
        kind = header[0]
        if kind == _CHANGE:
            self._change(half)
            return
        if half.protection is not None:
            kind, body = self._open(half, kind, header, body)
        elif kind == _APPLICATION:
            self._no_protection(by_client)
            return
        if kind == _APPLICATION and body:
            yield body
        elif kind == _HANDSHAKE:
            self._messages(by_client, half, body)

    def _open(self, half: _Half, kind: int, header: bytes, body: bytes) -> tuple[int, bytes]:
        if half.protection is None or (self._version == TLS_1_3 and kind != _APPLICATION):
            return kind, body  # an alert in plaintext, during the handshake
        try:
            opened = half.protection.open(kind, header, body)
        except Bad as error:
            raise Failed(str(error)) from None
        self.proven = True
        return opened

    def _no_protection(self, by_client: bool) -> None:
        """Application data without keys: early data [RFC 8446 2.3] is left out, anything else is the end."""
        if not by_client or self._suite is not None:
            raise Failed("application data before the handshake is complete")

    def _change(self, half: _Half) -> None:
        if self._version == TLS_1_3:
            return  # for middleboxes [RFC 8446 D.4]
        if half.upcoming is None:
            raise Failed("ChangeCipherSpec before the ServerHello")
        half.protection, half.upcoming = half.upcoming, None

    # -- handshake -----------------------------------------------------------------------------------------------

    def _messages(self, by_client: bool, half: _Half, body: bytes) -> None:
        half.message += body
        while len(half.message) >= 4:
            size = 4 + int.from_bytes(half.message[1:4], "big")
            if size > MOST_MESSAGE:
                raise Failed(f"a handshake message of {size:,} bytes; at most {MOST_MESSAGE:,}")
            if len(half.message) < size:
                return
            kind, content = half.message[0], bytes(half.message[4:size])
            del half.message[:size]
            if kind == _CLIENT_HELLO and by_client and len(content) >= 34:
                self._client_random = content[2:34]
            elif kind == _SERVER_HELLO and not by_client:
                self._server_hello(content)
            elif kind == _FINISHED and self._version == TLS_1_3:
                self._use(half, self._secret(f"{_SIDES[by_client]}_TRAFFIC_SECRET_0"))
            elif kind == _KEY_UPDATE and self._version == TLS_1_3 and half.secret and self._suite:
                self._use(half, next_secret(self._suite, half.secret))

    def _server_hello(self, content: bytes) -> None:
        """version 2, random 32, session id 1 + n, cipher suite 2, compression 1, extensions 2 + n."""
        random = content[2:34]
        if random == _RETRY:
            return
        at = 35 + (content[34] if len(content) > 34 else 0)
        number = int.from_bytes(content[at : at + 2], "big")
        version = int.from_bytes(content[:2], "big")
        extensions = _extensions(content[at + 5 :])
        version = int.from_bytes(extensions.get(_SUPPORTED_VERSIONS, b"") or content[:2], "big")
        suite = SUITES.get(number)
        self._version = version
        name = _VERSIONS.get(version, f"version 0x{version:04x}")
        self.about = f"{name}, cipher suite 0x{number:04x}"
        if suite is None or version not in (TLS_1_2, TLS_1_3):
            raise Failed(f"{self.about}, which cannot be decrypted here")
        self._suite = suite
        self.about = f"{name}, {suite.cipher} ({8 * suite.key} bits)"
        if version == TLS_1_3:
            for by_client, half in enumerate(self.halves):
                self._use(half, self._secret(f"{_SIDES[by_client]}_HANDSHAKE_TRAFFIC_SECRET"))
            return
        master = self._secret("CLIENT_RANDOM")
        outside = _ENCRYPT_THEN_MAC in extensions
        made = for_tls_1_2(suite, master, self._client_random, random, encrypt_then_mac=outside)
        for half, protection in zip(self.halves, made, strict=True):
            half.upcoming = protection

    def _secret(self, label: str) -> bytes:
        found = self._keys.secret(label, self._client_random)
        if found is None:
            start = self._client_random[:4].hex()
            raise Failed(f"the key log has no {label} for this connection (client random {start}...)")
        return found

    def _use(self, half: _Half, secret: bytes) -> None:
        if self._suite is not None:
            half.secret = secret
            half.protection = for_tls_1_3(self._suite, secret)


def _body_length(header: bytearray) -> int:
    length = int.from_bytes(header[3:5], "big")
    if not _CHANGE <= header[0] <= _APPLICATION or header[1] != 3 or length > _MOST_RECORD:
        raise Failed(f"not a TLS record: {header.hex(' ')}")
    return length


def _extensions(raw: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(raw):
        size = int.from_bytes(raw[at + 2 : at + 4], "big")
        found[int.from_bytes(raw[at : at + 2], "big")] = raw[at + 4 : at + 4 + size]
        at += 4 + size
    return found
