"""The protection of TLS records, as the reader of a key log undoes it: cipher suites, key schedules, records.

Knows: TLS 1.2 [RFC 5246, 5288, 7366, 7905] and TLS 1.3 [RFC 8446]. Must not know: connections, key logs.

The primitives are those of `cryptography`, imported when the first key is made. Invariants: a record is returned only
if its tag or MAC is right; the sequence number rises with each of them.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

__all__ = ["SUITES", "TLS_1_2", "TLS_1_3", "Bad", "Protection", "Suite", "for_tls_1_2", "for_tls_1_3", "next_secret"]

TLS_1_2: Final = 0x0303
TLS_1_3: Final = 0x0304
_GCM, _CHACHA, _CBC, _CCM, _CCM_8 = "AES-GCM", "ChaCha20-Poly1305", "AES-CBC", "AES-CCM", "AES-CCM-8"


class Bad(ValueError):
    """A record that cannot be decrypted: a wrong secret, or damage."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A cipher suite: its cipher, the bytes of a key, the hash of the key schedule; for CBC the hash of the MAC."""

    cipher: str
    key: int
    hash: str
    mac: str = ""


def _suites() -> dict[int, Suite]:
    found: dict[int, Suite] = {}
    table = (
        (Suite(_GCM, 16, "sha256"), (0x1301, 0x009C, 0x009E, 0x00A2, 0xC02B, 0xC02F)),
        (Suite(_GCM, 32, "sha384"), (0x1302, 0x009D, 0x009F, 0x00A3, 0xC02C, 0xC030)),
        (Suite(_CHACHA, 32, "sha256"), (0x1303, 0xCCA8, 0xCCA9, 0xCCAA)),
        (Suite(_CCM, 16, "sha256"), (0x1304, 0xC09C, 0xC09E, 0xC0AC)),
        (Suite(_CCM, 32, "sha256"), (0xC09D, 0xC09F, 0xC0AD)),
        (Suite(_CCM_8, 16, "sha256"), (0x1305, 0xC0A0, 0xC0A2, 0xC0AE)),
        (Suite(_CCM_8, 32, "sha256"), (0xC0A1, 0xC0A3, 0xC0AF)),
        (Suite(_CBC, 16, "sha256", "sha1"), (0x002F, 0x0032, 0x0033, 0xC009, 0xC013)),
        (Suite(_CBC, 32, "sha256", "sha1"), (0x0035, 0x0038, 0x0039, 0xC00A, 0xC014)),
        (Suite(_CBC, 16, "sha256", "sha256"), (0x003C, 0x0040, 0x0067, 0xC023, 0xC027)),
        (Suite(_CBC, 32, "sha256", "sha256"), (0x003D, 0x006A, 0x006B)),
        (Suite(_CBC, 32, "sha384", "sha384"), (0xC024, 0xC028)),
    )
    for suite, numbers in table:
        found.update(dict.fromkeys(numbers, suite))
    return found


SUITES: Final = _suites()
"""Number -> suite, of the suites that are decrypted; those of 0x13.. are of TLS 1.3."""


class Protection(Protocol):
    """The protection of one direction between two changes of keys."""

    def open(self, kind: int, header: bytes, body: bytes) -> tuple[int, bytes]:
        """Returns the content type and the plaintext of a record. `header`: its five bytes. Raises `Bad`."""

    def plain_length(self, length: int) -> int | None:
        """Returns how long the plaintext of a record body of this length is; None if the length does not tell."""

    def skip(self) -> None:
        """Counts a record that the recording does not have completely."""


class _Aead(Protocol):
    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...


def _aead(suite: Suite, key: bytes) -> _Aead:
    from cryptography.hazmat.primitives.ciphers import aead

    makers: dict[str, Callable[[bytes], _Aead]] = {
        _GCM: aead.AESGCM,
        _CHACHA: aead.ChaCha20Poly1305,
        _CCM: lambda each: aead.AESCCM(each, tag_length=16),
        _CCM_8: lambda each: aead.AESCCM(each, tag_length=8),
    }
    return makers[suite.cipher](key)


def _decrypt(cipher: _Aead, nonce: bytes, data: bytes, associated: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag

    try:
        return cipher.decrypt(nonce, data, associated)
    except (InvalidTag, ValueError):
        raise Bad("a record that does not decrypt: another secret, or damage") from None


def _xor(iv: bytes, sequence: int) -> bytes:
    return (int.from_bytes(iv, "big") ^ sequence).to_bytes(len(iv), "big")


# -- TLS 1.2 -----------------------------------------------------------------------------------------------------


def _prf(secret: bytes, label: bytes, seed: bytes, size: int, name: str) -> bytes:
    """The pseudorandom function [RFC 5246 5]."""
    made, a = b"", label + seed
    while len(made) < size:
        a = hmac.digest(secret, a, name)
        made += hmac.digest(secret, a + label + seed, name)
    return made[:size]


def for_tls_1_2(
    suite: Suite, master: bytes, client_random: bytes, server_random: bytes, *, encrypt_then_mac: bool
) -> tuple[Protection, Protection]:
    """Returns the protection of the server's and of the client's records [RFC 5246 6.3]."""
    if suite.cipher == _CBC:
        macs, ivs = {"sha1": 20, "sha256": 32, "sha384": 48}[suite.mac], 0
    else:
        macs, ivs = 0, 12 if suite.cipher == _CHACHA else 4
    size = 2 * (macs + suite.key + ivs)
    block = _prf(master, b"key expansion", server_random + client_random, size, suite.hash)
    parts = []
    for length in (macs, suite.key, ivs):
        parts.append((block[length : 2 * length], block[:length]))
        block = block[2 * length :]
    made: list[Protection] = []
    for mac, key, iv in zip(*parts, strict=True):
        if suite.cipher == _CBC:
            made.append(_Blocks(suite, mac, key, encrypt_then_mac=encrypt_then_mac))
        else:
            made.append(_Records12(suite, key, iv))
    return made[0], made[1]


class _Records12:
    """AEAD records: nonce [RFC 5288 3, RFC 7905 2], associated data [RFC 5246 6.2.3.3]."""

    def __init__(self, suite: Suite, key: bytes, iv: bytes) -> None:
        self._cipher = _aead(suite, key)
        self._iv = iv
        self._explicit = 0 if suite.cipher == _CHACHA else 8
        self._tag = 8 if suite.cipher == _CCM_8 else 16
        self._sequence = 0

    def open(self, kind: int, header: bytes, body: bytes) -> tuple[int, bytes]:
        length = len(body) - self._explicit - self._tag
        if length < 0:
            raise Bad(f"a record of {len(body)} bytes, shorter than its nonce and tag")
        explicit = body[: self._explicit]
        nonce = self._iv + explicit if explicit else _xor(self._iv, self._sequence)
        associated = struct.pack(">Q3sH", self._sequence, header[:3], length)
        plain = _decrypt(self._cipher, nonce, body[self._explicit :], associated)
        self._sequence += 1
        return kind, plain

    def plain_length(self, length: int) -> int | None:
        return max(0, length - self._explicit - self._tag)

    def skip(self) -> None:
        self._sequence += 1


class _Blocks:
    """AES-CBC records, with the MAC inside [RFC 5246 6.2.3.2] or outside [RFC 7366 3]."""

    def __init__(self, suite: Suite, mac: bytes, key: bytes, *, encrypt_then_mac: bool) -> None:
        self._hash = suite.mac
        self._mac = mac
        self._key = key
        self._outside = encrypt_then_mac
        self._sequence = 0

    def open(self, kind: int, header: bytes, body: bytes) -> tuple[int, bytes]:
        size = len(self._mac)
        if self._outside:
            body, mac = body[: len(body) - size], body[len(body) - size :]
            self._check(header[:3], body, mac)
        if len(body) < 32 or len(body) % 16:
            raise Bad(f"a record of {len(body)} bytes, not of blocks of 16")
        plain = self._decipher(body)
        plain = plain[: len(plain) - plain[-1] - 1]
        if not self._outside:
            plain, mac = plain[: len(plain) - size], plain[len(plain) - size :]
            self._check(header[:3], plain, mac)
        self._sequence += 1
        return kind, plain

    def _decipher(self, body: bytes) -> bytes:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        context = Cipher(algorithms.AES(self._key), modes.CBC(body[:16])).decryptor()
        return context.update(body[16:]) + context.finalize()

    def _check(self, head: bytes, data: bytes, mac: bytes) -> None:
        whole = struct.pack(">Q3sH", self._sequence, head, len(data)) + data
        if not hmac.compare_digest(hmac.digest(self._mac, whole, self._hash), mac):
            raise Bad("a record whose MAC is wrong: another secret, or damage")

    def plain_length(self, length: int) -> int | None:
        return None

    def skip(self) -> None:
        self._sequence += 1


# -- TLS 1.3 -----------------------------------------------------------------------------------------------------


def _expand_label(secret: bytes, label: bytes, size: int, name: str) -> bytes:
    """HKDF-Expand-Label with an empty context, of at most one hash [RFC 8446 7.1]."""
    full = b"tls13 " + label
    return hmac.digest(secret, struct.pack(">HB", size, len(full)) + full + b"\0\1", name)[:size]


def next_secret(suite: Suite, secret: bytes) -> bytes:
    """Returns the secret after a key update [RFC 8446 7.2]."""
    return _expand_label(secret, b"traffic upd", len(secret), suite.hash)


def for_tls_1_3(suite: Suite, secret: bytes) -> Protection:
    """Returns the protection of the records of one side with this traffic secret [RFC 8446 7.3]."""
    return _Records13(suite, secret)


class _Records13:
    def __init__(self, suite: Suite, secret: bytes) -> None:
        self._cipher = _aead(suite, _expand_label(secret, b"key", suite.key, suite.hash))
        self._iv = _expand_label(secret, b"iv", 12, suite.hash)
        self._tag = 8 if suite.cipher == _CCM_8 else 16
        self._sequence = 0

    def open(self, kind: int, header: bytes, body: bytes) -> tuple[int, bytes]:
        inner = _decrypt(self._cipher, _xor(self._iv, self._sequence), body, header).rstrip(b"\0")
        self._sequence += 1
        if not inner:
            raise Bad("a record without a content type")
        return inner[-1], inner[:-1]

    def plain_length(self, length: int) -> int | None:
        return max(0, length - self._tag - 1)  # if it is not padded, as hardly anybody does

    def skip(self) -> None:
        self._sequence += 1
