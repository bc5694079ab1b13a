"""One TLS connection with a key log: its records, as far as their protection can be undone.

Theory of operation. Records are cut out of each direction. The handshake names the version, the cipher suite and the
client random, by which the key log is searched. In TLS 1.2 a ChangeCipherSpec starts the protection of its direction;
in TLS 1.3 the ServerHello does, a Finished starts the next keys, and a KeyUpdate others. Handshake messages are read
before and behind the protection, so that a renegotiation of TLS 1.2 works as the first negotiation. TLS 1.3 looks like
TLS 1.2 to middleboxes: ChangeCipherSpec records without a meaning may come from the first ClientHello on, from both
sides [RFC 8446 D.4]. A HelloRetryRequest has the shape of a ServerHello, and changes nothing: the second ClientHello
has the same random.

A secret is looked up when the first record needs it, before that record is taken. If the key log does not have it,
`Missing` tells what was not taken, so that the caller can go on once the key log has it: a client writes a secret after
it has read what the tap has already seen.

Knows: records and the few handshake messages that matter. Must not know: DICOM, files, other connections.

Invariants: of a direction at most one record and one handshake message are held; no bytes raise an error but `Failed`.
After `Missing` the caller gives the rest again, and nothing else of that connection before it.
A gap in the recording costs one record if it lies within that, and the record tells its length; else the direction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from .ciphers import SUITES, TLS_1_2, TLS_1_3, Bad, Protection, Suite, for_tls_1_2, for_tls_1_3, next_secret
from .keylog import KeyLog

__all__ = ["MOST_MESSAGE", "Failed", "Missing", "Said", "Session"]

MOST_MESSAGE: Final = 128 << 10
"""Bytes of a handshake message. Stops: a message of 16 MB."""
_MOST_RECORD: Final = 16_384 + 2_048
_CHANGE, _ALERT, _HANDSHAKE, _APPLICATION, _HEARTBEAT = 20, 21, 22, 23, 24
_CLIENT_HELLO, _SERVER_HELLO, _FINISHED, _KEY_UPDATE = 1, 2, 20, 24
_RETRY: Final = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
"""The random of a ServerHello that is a HelloRetryRequest [RFC 8446 4.1.3]."""
_VERSIONS: Final = {0x0300: "SSL 3.0", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", TLS_1_2: "TLS 1.2", TLS_1_3: "TLS 1.3"}
_SUPPORTED_VERSIONS, _ENCRYPT_THEN_MAC, _EARLY_DATA = 43, 22, 42
_SIDES: Final = ("SERVER", "CLIENT")
_PROTECTED: Final = bytes((_APPLICATION,))
_CLOSE_NOTIFY, _USER_CANCELED, _NO_RENEGOTIATION = 0, 90, 100
_HARMLESS: Final = (_CLOSE_NOTIFY, _USER_CANCELED, _NO_RENEGOTIATION)
_ALERTS: Final = {
    10: "unexpected_message", 20: "bad_record_mac", 22: "record_overflow", 40: "handshake_failure",
    42: "bad_certificate", 43: "unsupported_certificate", 44: "certificate_revoked", 45: "certificate_expired",
    46: "certificate_unknown", 47: "illegal_parameter", 48: "unknown_ca", 49: "access_denied", 50: "decode_error",
    51: "decrypt_error", 70: "protocol_version", 71: "insufficient_security", 80: "internal_error",
    86: "inappropriate_fallback", 109: "missing_extension", 110: "unsupported_extension", 112: "unrecognized_name",
    113: "bad_certificate_status_response", 115: "unknown_psk_identity", 116: "certificate_required",
    120: "no_application_protocol",
}  # fmt: skip
"""Alerts that end a connection [RFC 8446 6.2]."""


class Failed(Exception):
    """A connection that cannot be decrypted, and why."""


class Missing(Failed):
    """The key log does not have a secret. `rest`: what was not taken, to be given again."""

    def __init__(self, label: str, client_random: bytes) -> None:
        start = client_random[:4].hex()
        super().__init__(f"the key log has no {label} for this connection (client random {start}...)")
        self.label = label
        self.client_random = client_random
        self.rest = b""


@dataclass(frozen=True, slots=True)
class Said:
    """An alert, for people."""

    text: str


@dataclass(frozen=True, slots=True)
class _Next:
    """A protection that begins with the next record, made of the secret with this label."""

    label: str
    client_random: bytes = b""  # of TLS 1.2, which may negotiate again before the other side has changed
    server_random: bytes = b""
    encrypt_then_mac: bool = False


class _Half:
    """One direction: the record under way, and the protection of records."""

    __slots__ = ("buffer", "early", "finished", "head", "headed", "hole", "message", "next", "protection", "secret",
                 "upcoming", "wanted")  # fmt: skip

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.wanted = 5  # bytes: the header, and once that is here the body
        self.headed = False  # the header is here
        self.hole = 0  # bytes of the record under way that the recording does not have
        self.message = bytearray()
        self.protection: Protection | None = None
        self.upcoming: _Next | None = None  # from the ChangeCipherSpec on
        self.next: _Next | None = None  # from the next record on
        self.secret: bytes | None = None
        self.early = False  # early data may come, which is left out
        self.finished = False  # its Finished of TLS 1.3 was seen
        self.head = b""  # the first bytes

    @property
    def complete(self) -> bool:
        """True if the record under way is complete, with its hole."""
        return self.headed and len(self.buffer) + self.hole == self.wanted

    def begin(self) -> None:
        """Begins the next record."""
        self.buffer = bytearray()
        self.hole = 0
        self.wanted = 5
        self.headed = False


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
        self.alert = ""
        """The first alert that ends the connection, for people."""

    @property
    def held(self) -> int:
        """Bytes that are held."""
        return sum(len(half.buffer) + len(half.message) for half in self.halves)

    # -- records -------------------------------------------------------------------------------------------------

    def records(self, by_client: bool, data: memoryview) -> Iterator[bytes | int | Said]:
        """Yields the plaintext of application data. A number is the length of plaintext that the recording lacks.

        Raises `Failed`, and `Missing` with the data that was not taken; they may be empty, and are given again."""
        half = self.halves[by_client]
        half.head = half.head or bytes(data[:12])
        while data or half.complete:
            wanted = half.wanted - half.hole - len(half.buffer)
            half.buffer += data[:wanted]
            data = data[wanted:]
            if len(half.buffer) == 5 and not half.headed:
                half.wanted += _body_length(half.buffer)
                half.headed = True
            if half.complete:
                try:
                    self._protect(by_client, half)
                except Missing as error:
                    error.rest = bytes(data)
                    raise
                yield from self._record(by_client, half)

    def gap(self, by_client: bool, size: int) -> Iterator[int]:
        """Yields the length of the plaintext that a gap of `size` bytes takes, once that is known. Raises `Failed`."""
        half = self.halves[by_client]
        self._protect(by_client, half)
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

    def _record(self, by_client: bool, half: _Half) -> Iterator[bytes | int | Said]:
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
        elif kind == _ALERT and len(body) == 2 and body[1] not in _HARMLESS:
            said = f"alert {body[1]} ({_ALERTS.get(body[1], 'unknown')})"
            self.alert = self.alert or f"{said} of the {_SIDES[by_client].lower()}"
            yield Said(said)

    def _open(self, half: _Half, kind: int, header: bytes, body: bytes) -> tuple[int, bytes]:
        if half.protection is None or (self._version == TLS_1_3 and kind != _APPLICATION):
            return kind, body  # an alert in plaintext, during the handshake
        try:
            opened = half.protection.open(kind, header, body)
        except Bad as error:
            if half.early:
                return _APPLICATION, b""
            raise Failed(str(error)) from None
        self.proven = True
        half.early = False
        return opened

    def _no_protection(self, by_client: bool) -> None:
        """Application data without keys: early data [RFC 8446 2.3] is left out, anything else is the end."""
        if not by_client or self._suite is not None:
            raise Failed("application data before the handshake is complete")

    def _change(self, half: _Half) -> None:
        if half.upcoming is not None:
            half.next, half.upcoming = half.upcoming, None
        elif self._version not in (0, TLS_1_3):  # else for middleboxes [RFC 8446 D.4], also before the version is known
            raise Failed("a ChangeCipherSpec that the handshake does not have here")

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
                self._client_hello(half, content)
            elif kind == _SERVER_HELLO and not by_client:
                self._server_hello(content)
            elif self._version != TLS_1_3:
                continue
            elif kind == _FINISHED and not half.finished:  # a later one ends a post-handshake authentication
                half.finished = True
                half.next = _Next(f"{_SIDES[by_client]}_TRAFFIC_SECRET_0")
            elif kind == _KEY_UPDATE and half.secret and self._suite:
                self._use(half, self._suite, next_secret(self._suite, half.secret))

    def _client_hello(self, half: _Half, content: bytes) -> None:
        """version 2, random 32, session id 1 + n, cipher suites 2 + n, compressions 1 + n, extensions 2 + n."""
        self._client_random = content[2:34]
        at = 35 + content[34] if len(content) > 34 else 35
        at += 2 + int.from_bytes(content[at : at + 2], "big")
        at += 1 + int.from_bytes(content[at : at + 1], "big")
        half.early = _EARLY_DATA in _extensions(content[at + 2 :])

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
        for by_client, half in enumerate(self.halves):
            if version == TLS_1_3:
                half.next = _Next(f"{_SIDES[by_client]}_HANDSHAKE_TRAFFIC_SECRET")
            else:
                half.upcoming = _Next("CLIENT_RANDOM", self._client_random, random, _ENCRYPT_THEN_MAC in extensions)

    def _protect(self, by_client: bool, half: _Half) -> None:
        """Starts the protection that begins with this record, if one does. Raises `Missing`."""
        coming, suite = half.next, self._suite
        if coming is None or suite is None:
            return
        if self._version == TLS_1_3 and half.buffer[:1] != _PROTECTED:
            return  # a ChangeCipherSpec or an alert in plaintext
        random = coming.client_random or self._client_random
        secret = self._keys.secret(coming.label, random)
        if secret is None:
            raise Missing(coming.label, random)
        half.next = None
        if self._version == TLS_1_3:
            self._use(half, suite, secret)
        else:
            both = for_tls_1_2(suite, secret, random, coming.server_random, encrypt_then_mac=coming.encrypt_then_mac)
            half.protection = both[by_client]

    def _use(self, half: _Half, suite: Suite, secret: bytes) -> None:
        half.secret = secret
        half.protection = for_tls_1_3(suite, secret)


def _body_length(header: bytearray) -> int:
    length = int.from_bytes(header[3:5], "big")
    if not _CHANGE <= header[0] <= _HEARTBEAT or header[1] != 3 or length > _MOST_RECORD:
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
