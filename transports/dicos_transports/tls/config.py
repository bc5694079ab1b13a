"""The TLS configurations `ClientTLS` and `ServerTLS`.

Knows: profiles, identities, trust, and how to set them in OpenSSL. Must not know: bytes, associations.

A configuration is checked when it is created: a fault raises `TLSConfigError` then, not at the first connection. Create
it once and use it for many connections, from any thread. It also keeps the sessions to resume.

Verification is complete unless a field says otherwise, and each such field is named for what it gives up.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final, cast

import service_identity
from cryptography import x509
from OpenSSL import SSL
from OpenSSL.crypto import X509, X509StoreFlags
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address

from dicos_proto.arguments import check_kind, check_mapping, check_several
from dicos_proto.upper_layer.pdu_types import AssociateReject, AssociateRequest

from ..tls_profiles import BCP195_RFC9325, Profile, ffdhe2048
from . import openssl as tls_openssl
from .identity import DAMAGED, LONGEST_SUBJECT, Identity, TLSConfigError, issuer, names, subject
from .titles import NOT_ITS_TITLE, TitlePolicy, TLSInfo, titles_by_name

__all__ = [
    "HANDSHAKE", "NOT_ITS_TITLE", "SESSIONS", "ClientCertificate", "ClientTLS", "ServerTLS", "TLSInfo", "TitlePolicy",
    "Verdict", "address_of", "refusal", "titles_by_name",
]  # fmt: skip

HANDSHAKE: Final = 15.0
"""Seconds for a handshake: some round trips, and a signature by a small device."""
SESSIONS: Final = 256
"""Sessions kept for resumption, one for each server."""
_STRICT_CODES: Final = range(80, 95)  # the X509_V_ERR_ codes that only X509_STRICT gives
_CRL_CODES: Final = (5, 8, 15, 16, 33, 35, 36, 44, 54)
"""The remaining X509_V_ERR_ codes about revocation lists."""
_READS_IDENTITY: Final = "; Identity.from_pem reads one"


class ClientCertificate(Enum):
    """A server's requirement for client certificates."""

    REQUIRED = "required"
    """Every client has to present a trusted certificate."""
    REQUESTED = "requested"
    """A client may present no certificate; one that it presents has to be trusted."""
    NONE = "none"
    """Clients are not asked for a certificate: anybody may connect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _TLS:
    """The fields of both sides."""

    profile: Profile = BCP195_RFC9325
    ciphers: str | None = None
    """TLS 1.2 cipher suites to use instead of the profile's, as an OpenSSL cipher list."""
    ciphersuites: str | None = None
    """TLS 1.3 cipher suites to use instead of the profile's, separated by colons."""
    groups: tuple[str, ...] | None = None
    """Key exchange groups to use instead of the profile's: `X25519`, `P-256`, ..."""
    legacy_ca: bool = False
    """True accepts certificates that break RFC 5280, such as those of old hospital CAs without keyUsage."""
    crls: tuple[x509.CertificateRevocationList, ...] = ()
    """Revocation lists (`load_crls`). If there are any, each certificate of the peer's chain is looked up in the list
    of its issuer. It is refused if that list is missing or has expired, so that withholding a list cannot make a
    revoked certificate valid. The lists are read once: a new list needs a new configuration."""
    resume: bool = True
    """True resumes sessions, for handshakes without certificates and signatures."""
    keylog: Path | None = None
    """A file to which the secrets of each connection are appended (NSS key log format), for Wireshark. Anybody who has
    the file can decrypt the connections: for debugging only."""
    handshake_timeout: float | None = HANDSHAKE
    """Seconds for the handshake; None for no limit."""
    context: SSL.Context = field(init=False, repr=False, compare=False)
    sessions: OrderedDict[str, SSL.Session] = field(init=False, repr=False, compare=False, default_factory=OrderedDict)

    def _check(self) -> None:
        """Raises TypeError for a field of another type, such as a path in place of the certificates in that file."""
        own = type(self).__name__
        check_kind(self.profile, f"{own}(profile={{}})", Profile, hint="; PROFILES has them by name")
        for name in ("ciphers", "ciphersuites"):
            check_kind(getattr(self, name), f"{own}({name}={{}})", str, type(None))
        if self.groups is not None:
            check_several(self.groups, f"{own}(groups={{}})", "groups")
        check_kind(self.keylog, f"{own}(keylog={{}})", os.PathLike, str, type(None))
        check_kind(self.handshake_timeout, f"{own}(handshake_timeout={{}})", int, float, type(None))
        _check_loaded(self.crls, f"{own}(crls={{}})", x509.CertificateRevocationList, "load_crls")

    def _make(self, method: int, identity: Identity | None, trust: tuple[x509.Certificate, ...] | None) -> SSL.Context:
        if self.handshake_timeout is not None and not self.handshake_timeout > 0:
            raise ValueError(f"handshake_timeout of {self.handshake_timeout} s; more than 0, or None for no limit")
        context = SSL.Context(method)
        profile = self.profile
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_max_proto_version(SSL.TLS1_3_VERSION if profile.tls13 or self.ciphersuites else SSL.TLS1_2_VERSION)
        context.set_options(
            SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_SINGLE_DH_USE
        )
        _set_suites(context, self.ciphers or profile.cipher_list, self.ciphersuites or ":".join(profile.tls13))
        groups = profile.groups if self.groups is None else self.groups
        if groups and not tls_openssl.set_groups(context, ":".join(groups)):
            raise TLSConfigError(f"key exchange groups {':'.join(groups)!a}: OpenSSL does not know all of them")
        if identity is not None:
            _set_identity(context, identity)
        store = context.get_cert_store()
        if store is not None:  # never None: every OpenSSL context has a store, pyOpenSSL's types do not say so
            for one in trust or ():
                store.add_cert(X509.from_cryptography(one))
            # PARTIAL_CHAIN: a trusted intermediate certificate ends a chain, as the configuration asks.
            strict = 0 if self.legacy_ca else X509StoreFlags.X509_STRICT
            revoked = X509StoreFlags.CRL_CHECK | X509StoreFlags.CRL_CHECK_ALL if self.crls else 0
            store.set_flags(X509StoreFlags.PARTIAL_CHAIN | strict | revoked)
            for crl in self.crls:
                store.add_crl(crl)
        if self.keylog is not None:
            _set_keylog(context, self.keylog)
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTLS(_TLS):
    """The configuration of the side that connects. Most need only `ClientTLS(trust=load_certificates("ca.pem"))`.

    Its creation raises `TLSConfigError` if it cannot be used, TypeError for a field of another type.
    """

    trust: tuple[x509.Certificate, ...] | None = None
    """The trusted CA certificates; None for those of the system."""
    identity: Identity | None = None
    """The certificate of this side, for servers that ask for one."""
    server_hostname: str | None = None
    """The host name or address expected in the server's certificate; None for the one connected to."""
    check_hostname: bool = True
    """False accepts a certificate of a trusted CA for any host name."""
    verify: bool = True
    """False accepts any certificate. An attacker on the network can then pose as the server."""

    def __post_init__(self) -> None:
        self._check()
        if self.trust is not None:
            _check_loaded(self.trust, "ClientTLS(trust={})", x509.Certificate, "load_certificates")
        check_kind(self.identity, "ClientTLS(identity={})", Identity, type(None), hint=_READS_IDENTITY)
        check_kind(self.server_hostname, "ClientTLS(server_hostname={})", str, type(None))
        if self.crls and not self.verify:
            raise TLSConfigError("revocation lists are given, but the server's certificate is not verified")
        context = self._make(SSL.TLS_CLIENT_METHOD, self.identity, self.trust)
        if self.verify and self.trust is None:
            context.set_default_verify_paths()
        context.set_verify(SSL.VERIFY_PEER if self.verify else SSL.VERIFY_NONE, _on_certificate)
        context.set_session_cache_mode(SSL.SESS_CACHE_CLIENT if self.resume else SSL.SESS_CACHE_OFF)
        object.__setattr__(self, "context", context)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTLS(_TLS):
    """The configuration of a server.

    DICOM has no authentication of its own: a peer can claim any calling AE title. So client certificates are required
    unless `client_certificates` says otherwise (PS3.15 leaves it to the site; IHE ATNA requires it). Its creation
    raises `TLSConfigError` if it cannot be used, TypeError for a field of another type.
    """

    identity: Identity
    by_name: Mapping[str, Identity] = field(default_factory=dict, hash=False)
    """Identities to use instead of `identity`, by the host name that the client requests (SNI). `*.example.org` matches
    one label in place of the star; an exact name comes first [RFC 6066 3]."""
    trust: tuple[x509.Certificate, ...] = ()
    """The trusted CA certificates for client certificates."""
    client_certificates: ClientCertificate = ClientCertificate.REQUIRED
    titles: TitlePolicy | None = None
    """The policy for calling AE titles, called for each A-ASSOCIATE-RQ; None allows every title."""
    contexts: dict[str, SSL.Context] = field(init=False, repr=False, compare=False, default_factory=dict)
    chooser: SSL.Context | None = field(init=False, repr=False, compare=False, default=None)
    """A context that only reads the name requested by a client: it has no certificate, so its handshake ends there."""
    lock: threading.Lock = field(init=False, repr=False, compare=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._check()
        check_kind(self.identity, "ServerTLS(identity={})", Identity, hint=_READS_IDENTITY)
        check_mapping(self.by_name, "ServerTLS(by_name={})", "host names to Identity")
        for name, identity in self.by_name.items():
            check_kind(identity, f"ServerTLS(by_name={{{name!a}: {{}}}})", Identity, hint=_READS_IDENTITY)
        _check_loaded(self.trust, "ServerTLS(trust={})", x509.Certificate, "load_certificates")
        check_kind(self.client_certificates, "ServerTLS(client_certificates={})", ClientCertificate)
        titles: object = self.titles
        if titles is not None and not callable(titles):
            kind = type(titles).__name__
            raise TypeError(f"ServerTLS(titles=...): {kind} in place of a function or None; titles_by_name makes one")
        wanted = self.client_certificates
        if wanted is not ClientCertificate.NONE and not self.trust:
            raise TLSConfigError(
                f"client certificates are {wanted.value}, but no CA is trusted: set trust, or ask for no certificates"
            )
        if self.crls and wanted is ClientCertificate.NONE:
            raise TLSConfigError("revocation lists are given, but clients are not asked for certificates")
        object.__setattr__(self, "context", self._serving(self.identity))
        if self.by_name:
            chooser = self._make(SSL.TLS_SERVER_METHOD, None, None)
            chooser.set_tlsext_servername_callback(_acknowledge)  # without a callback it refuses TLS 1.3
            object.__setattr__(self, "chooser", chooser)
        for name, identity in self.by_name.items():
            known = _host_name(name)
            if known in self.contexts:
                raise TLSConfigError(f"by_name has the host name {known!a} twice; case is ignored")
            self.contexts[known] = context = self._serving(identity)
            context.set_tlsext_servername_callback(_acknowledge)

    def _serving(self, identity: Identity) -> SSL.Context:
        context = self._make(SSL.TLS_SERVER_METHOD, identity, self.trust)
        modes = {
            ClientCertificate.REQUIRED: SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
            ClientCertificate.REQUESTED: SSL.VERIFY_PEER,
            ClientCertificate.NONE: SSL.VERIFY_NONE,
        }
        context.set_verify(modes[self.client_certificates], _on_certificate)
        for one in self.trust:
            context.add_client_ca(one)
        if self.profile.dhe_bits or self.ciphers:
            _set_dhe(context)
        if self.resume:
            context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
            context.set_session_id(b"dicos")  # without it, sessions with client certificates are not resumed
        else:
            context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
            context.set_options(SSL.OP_NO_TICKET)
        return context

    def connection_for(self, asked: str | None) -> SSL.Connection:
        """Return a connection with the identity for the requested name. It resumes only sessions of that name.

        OpenSSL looks up the session before it reads the name, and would resume a session of another name, which is not
        allowed [RFC 6066 3]. It does compare the session id context, so each name has its own.
        """
        if not self.contexts:
            return SSL.Connection(self.context, None)
        name = (asked or "").lower()
        context = self.contexts.get(name) or self.contexts.get("*." + name.partition(".")[2]) or self.context
        with self.lock:  # a connection copies the session id context when it is created
            if self.resume:
                tls_openssl.set_session_id(context, hashlib.sha256(name.encode()).digest())
            return SSL.Connection(context, None)


def refusal(config: ClientTLS | ServerTLS, info: TLSInfo | None, request: AssociateRequest) -> AssociateReject | None:
    """Return the rejection of a request if the server's `titles` policy does not allow it, else None."""
    if not isinstance(config, ServerTLS) or config.titles is None:
        return None
    return None if info is not None and config.titles(info, request) else NOT_ITS_TITLE


def _host_name(name: str) -> str:
    """Return a host name as clients request it: in lower case, with non-ASCII letters encoded as IDNA."""
    star, rest = ("*.", name[2:]) if name.startswith("*.") else ("", name)
    try:
        known = rest.encode("idna").decode("ascii").lower()
    except UnicodeError:
        known = ""
    if not known or "*" in known or known.endswith(".") or address_of(known) is not None:
        allowed = "a host name, or *. and a host name; clients never request an address"
        raise TLSConfigError(f"by_name has {name!a}; {allowed} [RFC 6066 3]")
    return star + known


def _check_loaded(given: object, call: str, kind: type, load: str) -> None:
    """Refuses anything but a collection of `kind`. `load` is the function that reads them from a path."""
    hint = f"; write {load}(path)"
    if isinstance(given, str | bytes | os.PathLike | kind):
        check_kind(given, call, tuple, hint=hint)
    check_several(given, call, kind.__name__)
    for one in cast("tuple[object, ...]", given):
        check_kind(one, call.replace("{}", "[{}, ...]"), kind, hint=hint)


# -- setting up OpenSSL ------------------------------------------------------------------------------------------


def _set_suites(context: SSL.Context, tls12: str, tls13: str) -> None:
    try:
        context.set_cipher_list(tls12.encode("ascii"))
    except (SSL.Error, UnicodeEncodeError) as error:
        raise TLSConfigError(f"cipher suites {tls12!a}: OpenSSL knows none of them") from error
    try:
        if tls13:
            context.set_tls13_ciphersuites(tls13.encode("ascii"))
    except (SSL.Error, UnicodeEncodeError) as error:
        raise TLSConfigError(f"cipher suites {tls13!a}: OpenSSL does not know all of them for TLS 1.3") from error


def _set_identity(context: SSL.Context, identity: Identity) -> None:
    try:
        context.use_certificate(identity.certificate)
        context.use_privatekey(identity.key)
        for one in identity.chain:
            context.add_extra_chain_cert(one)
    except SSL.Error as error:
        why = ", ".join(str(one[-1]) for one in error.args[0]) if error.args else ""
        raise TLSConfigError(
            f"the certificate of {ascii(subject(identity.certificate))[1:-1]} cannot be used: {why}"
        ) from error


def _set_dhe(context: SSL.Context) -> None:
    """Set the DHE group, by a temporary file because pyOpenSSL reads it from files only."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(ffdhe2048())
        file.flush()
        context.load_tmp_dh(file.name)


def _set_keylog(context: SSL.Context, path: Path) -> None:
    def append(line: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)

    try:
        append(b"")
    except OSError as error:
        raise TLSConfigError(f"key log file {str(path)!a}: {(error.strerror or str(error)).lower()}") from error
    context.set_keylog_callback(lambda connection, line: append(line + b"\n"))


def _acknowledge(connection: SSL.Connection) -> None:
    """Do nothing. Setting this callback makes OpenSSL confirm to the client that its name was used [RFC 6066 3]."""


# -- checking the peer's certificate -----------------------------------------------------------------------------


@dataclass(slots=True)
class Verdict:
    """The result of checking the peer's certificate, kept as the connection's `app_data`."""

    hostname: str | None
    fault: str | None = None


def _on_certificate(connection: SSL.Connection, certificate: X509, code: int, depth: int, good: int) -> bool:
    """Check one certificate of the chain for OpenSSL. That of the peer itself, depth 0, must also name the host.

    It must not raise: the exception would come out of a later, unrelated call of OpenSSL."""
    verdict: Verdict = connection.get_app_data()
    if verdict.fault is None:
        try:
            parsed = certificate.to_cryptography()
        except DAMAGED as error:
            verdict.fault = f"a certificate of the peer cannot be parsed: {str(error)!a}"
            return False
        if not good:
            verdict.fault = _certificate_fault(parsed, code, depth)
        elif depth == 0 and verdict.hostname is not None:
            verdict.fault = _wrong_name(parsed, verdict.hostname)
    return bool(good) and verdict.fault is None


def _certificate_fault(certificate: x509.Certificate, code: int, depth: int) -> str:
    whose = "the peer's certificate" if depth == 0 else "a certificate of the peer's chain"
    who = f"{whose} ({subject(certificate)!a})"
    match code:
        case 9:
            return f"{who} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        case 10:
            return f"{who} expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        case 18:
            return f"{who} is self-signed and not trusted"
        case 19 | 2 | 20 | 21:
            return f"{who} is not trusted: {tls_openssl.verify_text(code)}"
        case 23:
            number = f"its serial number {certificate.serial_number:X}"
            return f"{who} is revoked: {number} is in the revocation list (CRL) of {_issuer(certificate)}"
        case 3:
            return (
                f"{who} may be revoked: no revocation list (CRL) of its issuer {_issuer(certificate)} was given, and "
                "every CA of the chain needs one"
            )
        case 11 | 12:
            when = "has expired: get the next one" if code == 12 else "is not valid yet"
            return f"{who} may be revoked: the revocation list (CRL) of its issuer {_issuer(certificate)} {when}"
        case _ if code in _CRL_CODES:
            return (
                f"{who} may be revoked: the revocation list (CRL) of its issuer {_issuer(certificate)} cannot be used: "
                f"{tls_openssl.verify_text(code)}"
            )
        case _ if code in _STRICT_CODES:
            return f"{who} breaks RFC 5280: {tls_openssl.verify_text(code)}; legacy_ca accepts it"
        case _:
            return f"{who} is refused: {tls_openssl.verify_text(code)}"


def _issuer(certificate: x509.Certificate) -> str:
    return ascii(issuer(certificate))


def _wrong_name(certificate: x509.Certificate, hostname: str) -> str | None:
    """Return None if the certificate is valid for `hostname`, else the fault."""
    try:
        if address_of(hostname) is not None:
            verify_certificate_ip_address(certificate, hostname)
        else:
            verify_certificate_hostname(certificate, hostname)
    except (service_identity.VerificationError, service_identity.CertificateError, *DAMAGED):
        found = ", ".join(names(certificate)[:10])[:LONGEST_SUBJECT] or "no name at all"
        return f"the peer's certificate ({subject(certificate)!a}) is not for {hostname!a}: it is for {found!a}"
    return None


def address_of(hostname: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address if the name is one, else None."""
    try:
        return ip_address(hostname)
    except ValueError:
        return None
