"""The Secure Transport Connection Profiles of PS3.15 annex B, as data: versions, cipher suites, key exchange.

Knows: names as OpenSSL spells them. Must not know: how a connection is set up with them.

Two profiles of the annex are in force (B.12, B.13), two that old peers still ask for are retired (B.10, B.11). All of
them agree on what BCP 195 forbids: nothing below TLS 1.2, no compression, no renegotiation, RSA and DHE keys of 2048
bits and more, ECDHE of 256 bits and more. B.9, which falls back to TLS 1.0, is not here: RFC 8996 forbids that.
"""

from __future__ import annotations

from base64 import encodebytes
from dataclasses import dataclass
from typing import Final

STRENGTH: Final = "@SECLEVEL=2"
"""What OpenSSL calls 112 bits of security: RSA and DHE of 2048 bits, no SHA-1 in signatures.  # RFC 9325 4.2, 4.3, 4.5

It also leaves out the CCM_8 suites, which B.13 permits: their tags are 64 bits short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a connection may be negotiated to; best first."""

    name: str
    title: str
    """As the standard has it."""
    clause: str
    tls12: tuple[str, ...]
    """Cipher suites of TLS 1.2, named as OpenSSL does."""
    tls13: tuple[str, ...]
    """Those of TLS 1.3; none: TLS 1.3 is not offered."""
    groups: tuple[str, ...] = ()
    """Key exchange groups; none: those of the library, all of at least 256 bits."""
    dhe_bits: int = 0
    """Size of the group that a server offers for the DHE suites; 0 where there are none."""
    retired: bool = False

    @property
    def cipher_list(self) -> str:
        """What OpenSSL takes for TLS 1.2."""
        return ":".join((*self.tls12, STRENGTH))


_TLS13 = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
_ECDHE = (
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
)
_DHE = ("DHE-RSA-AES256-GCM-SHA384", "DHE-RSA-AES128-GCM-SHA256")
_GROUPS = ("X25519", "P-256", "P-384", "P-521")

BCP195_RFC9325: Final = Profile(
    name="bcp195-rfc9325",
    title="BCP 195 RFC 8996, 9325 TLS Secure Transport Connection Profile",
    clause="PS3.15 B.12",
    tls12=_ECDHE,
    tls13=_TLS13,
)
"""The one to use, and the default. AES-128 comes first in TLS 1.3: it must be there anyway and is the fastest.

# RFC 9325 4.2, RFC 8446 9.1"""

MODIFIED: Final = Profile(
    name="modified",
    title="Modified BCP 195 RFC 8996, 9325 TLS Secure Transport Connection Profile",
    clause="PS3.15 B.13",
    tls12=(
        *_ECDHE[:2],
        "ECDHE-ECDSA-AES256-CCM",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
        *_ECDHE[2:],
        "ECDHE-ECDSA-AES128-CCM",
    ),
    tls13=(
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_128_CCM_SHA256",
    ),
    groups=_GROUPS,
)
"""What the Japanese CRYPTREC guidelines ask for. Its Camellia suites, optional since CP 2311, are not in OpenSSL."""

NON_DOWNGRADING: Final = Profile(
    name="non-downgrading",
    title="Non-Downgrading BCP 195 TLS Profile",
    clause="PS3.15 B.10",
    tls12=_ECDHE + _DHE,
    tls13=_TLS13,
    dhe_bits=2048,
    retired=True,
)
"""The default of DCMTK 3.6.7. It requires the RSA suites; suites as strong or stronger may be added, and are."""

EXTENDED: Final = Profile(
    name="extended",
    title="Extended BCP 195 TLS Profile",
    clause="PS3.15 B.11",
    tls12=_ECDHE + _DHE,
    tls13=(),
    groups=_GROUPS,
    dhe_bits=2048,
    retired=True,
)
"""Written before TLS 1.3, and nothing may be added to what it lists."""

PROFILES: Final = {one.name: one for one in (BCP195_RFC9325, MODIFIED, NON_DOWNGRADING, EXTENDED)}


def ffdhe2048() -> bytes:
    """The DHE group of that name as PEM, by the formula that defines it: never one made up here.  # RFC 7919 A.1"""
    e, term, number = 0, 1 << 2200, 0  # e in fixed point, far more bits than the 1918 that are used
    while term:
        e += term
        number += 1
        term //= number
    prime = 2**2048 - 2**1984 + ((e >> (2200 - 1918)) + 560316) * 2**64 - 1
    # SEQUENCE of two INTEGERs, the prime and the generator 2.  # PKCS #3
    encoded = bytes.fromhex("30820108 02820101") + prime.to_bytes(257) + bytes.fromhex("020102")
    return b"-----BEGIN DH PARAMETERS-----\n" + encodebytes(encoded) + b"-----END DH PARAMETERS-----\n"
