"""`TLSInfo`, the outcome of a handshake, and the policies that say which certificate may use which AE title.

Knows: certificates, AE titles. Must not know: OpenSSL, bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography import x509

from dicos_proto.arguments import check_mapping, one_for_many
from dicos_proto.upper_layer.pdu_types import AssociateReject, AssociateRequest, RejectResult, RejectSource

from .identity import common_names, names, subject


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSInfo:
    """The outcome of the TLS handshake with the peer of a session."""

    protocol: str
    """The TLS version, such as `TLSv1.3`."""
    cipher: str
    """The cipher suite, such as `TLS_AES_128_GCM_SHA256`; TLS 1.2 suites have their OpenSSL names."""
    certificate: x509.Certificate | None
    """The peer's certificate; None if it presented none."""
    server_name: str | None
    """The server name that the client requested (SNI)."""
    resumed: bool
    """True if an earlier session was resumed; the certificate is the one of that session."""
    verified: bool
    """True if the peer's certificate was verified."""

    @property
    def subject(self) -> str:
        """The subject of the peer's certificate; empty if there is none."""
        return subject(self.certificate) if self.certificate else ""

    @property
    def names(self) -> tuple[str, ...]:
        """The subject alternative names of the peer's certificate: `dns:scanner.example`, `ip:10.0.0.7`, ..."""
        return names(self.certificate) if self.certificate else ()

    def __str__(self) -> str:
        peer = f"{self.subject!a}{'' if self.verified else ', not verified'}" if self.certificate else "no certificate"
        return f"{self.protocol}, {self.cipher}{', resumed' if self.resumed else ''}; peer: {peer}"


TitlePolicy = Callable[[TLSInfo, AssociateRequest], bool]
"""A function that returns True if the owner of the certificate may request this association.

It is called from any thread, so it must not have side effects."""

NOT_ITS_TITLE: Final = AssociateReject(result=RejectResult.PERMANENT, source=RejectSource.SERVICE_USER, reason=3)
"""The rejection "calling AE title not recognized" [PS3.8 9.3.4]."""


def titles_by_name(titles: Mapping[str, Iterable[str]]) -> TitlePolicy:
    """Return a policy that maps certificate names to the calling AE titles that their owners may use.

    A name is a common name, or a subject alternative name as in `TLSInfo.names`. A peer with none of the names may use
    no title. Raises TypeError for one title in place of several.
    """
    check_mapping(titles, "titles_by_name({})", "names to AE titles")
    for certified, some in titles.items():
        one_for_many(some, f"titles_by_name({{{certified!a}: {{}}}})", "AE titles", "list")
    allowed = {name.lower(): frozenset(some) for name, some in titles.items()}

    def policy(info: TLSInfo, request: AssociateRequest) -> bool:
        if info.certificate is None or not info.verified:
            return False
        owned = (*info.names, *common_names(info.certificate))
        return any(request.calling_aet in allowed.get(name.lower(), ()) for name in owned)

    return policy
