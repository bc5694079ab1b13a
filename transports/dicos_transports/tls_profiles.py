"""The Secure Transport Connection Profiles of PS3.15 annex B, as data: versions, cipher suites, key exchange.

Knows: names as OpenSSL spells them. Must not know: OpenSSL itself, which the command line does not load to list the
profiles.

Two profiles of the annex are in force (B.12, B.13). Two more are retired, but old peers still require them (B.10,
B.11). All four agree on the rules of BCP 195: TLS 1.2 or later, no compression, no renegotiation, RSA and DHE keys of
at least 2048 bits, ECDHE keys of at least 256 bits. B.9 is left out, because it falls back to TLS 1.0, which RFC 8996
forbids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

STRENGTH: Final = "@SECLEVEL=2"
"""OpenSSL's level of 112 bits of security: RSA and DHE of 2048 bits, no SHA-1 signatures [RFC 9325 4.2, 4.3, 4.5].

It also excludes the CCM_8 suites, which B.13 permits, because their tags have only 64 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A profile: the suites and groups that a connection may negotiate, the preferred ones first."""

    name: str
    title: str
    """The title in the standard."""
    clause: str
    tls12: tuple[str, ...]
    """TLS 1.2 cipher suites, by their OpenSSL names."""
    tls13: tuple[str, ...]
    """TLS 1.3 cipher suites; if empty, TLS 1.3 is not offered."""
    groups: tuple[str, ...] = ()
    """Key exchange groups; if empty, OpenSSL's defaults, all of which have at least 256 bits."""
    dhe_bits: int = 0
    """Size in bits of the group that a server offers for the DHE suites; 0 if the profile has none."""
    retired: bool = False

    @property
    def cipher_list(self) -> str:
        """The TLS 1.2 suites as an OpenSSL cipher list."""
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
"""The default, and the recommended one. AES-128 comes first in TLS 1.3, because it is mandatory anyway and is the
fastest [RFC 9325 4.2, RFC 8446 9.1]."""

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
"""The profile of the Japanese CRYPTREC guidelines. OpenSSL lacks its Camellia suites, which CP 2311 made optional."""

NON_DOWNGRADING: Final = Profile(
    name="non-downgrading",
    title="Non-Downgrading BCP 195 TLS Profile",
    clause="PS3.15 B.10",
    tls12=_ECDHE + _DHE,
    tls13=_TLS13,
    dhe_bits=2048,
    retired=True,
)
"""The default of DCMTK 3.6.7. It requires the RSA suites and allows others that are at least as strong; those are
added here."""

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
"""A profile from before TLS 1.3, which allows nothing beyond its list."""

PROFILES: Final = {one.name: one for one in (BCP195_RFC9325, MODIFIED, NON_DOWNGRADING, EXTENDED)}


def ffdhe2048() -> bytes:
    """Return the DHE group ffdhe2048 in PEM format, computed by its defining formula [RFC 7919 A.1]."""
    from base64 import encodebytes

    e, term, number = 0, 1 << 2200, 0  # e as a fixed-point number, with many more bits than the 1918 used
    while term:
        e += term
        number += 1
        term //= number
    prime = 2**2048 - 2**1984 + ((e >> (2200 - 1918)) + 560316) * 2**64 - 1
    # SEQUENCE of two INTEGERs, the prime and the generator 2.  # PKCS #3
    encoded = bytes.fromhex("30820108 02820101") + prime.to_bytes(257) + bytes.fromhex("020102")
    return b"-----BEGIN DH PARAMETERS-----\n" + encodebytes(encoded) + b"-----END DH PARAMETERS-----\n"
