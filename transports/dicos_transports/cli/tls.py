"""The TLS options of subcommands, and what they make: a configuration, or one line and exit status 2.

Nothing of TLS is imported before an option asks for it. Any TLS option asks for TLS: a connection never goes out in the
clear because `--tls` itself was forgotten.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn

from . import USAGE
from .text import shown

if TYPE_CHECKING:
    from pathlib import Path

    from ..tls.layer import ClientTLS, Identity, ServerTLS
    from .output import Output

PASSWORD: Final = "DICOS_TLS_PASSWORD"
"""The environment variable with the password of the private key."""
PROFILES: Final = ("bcp195-rfc9325", "modified", "non-downgrading", "extended")
"""The names of `tls_profiles.PROFILES`, without importing that."""


def add_options(made: argparse.ArgumentParser, *, provider: bool) -> None:
    """The options, in a group of their own."""
    group = made.add_argument_group("TLS", "Any of these options asks for TLS.")
    add = group.add_argument
    add("--tls", action="store_true", default=None, help="over TLS")
    add("--tls-cert", metavar="FILE", help="the own certificate and its chain, PEM")
    add("--tls-key", metavar="FILE", help="its private key, PEM (default: in the file of the certificate)")
    add("--tls-pfx", metavar="FILE", help="certificate, chain and key in one PKCS#12 file (.pfx, .p12)")
    add("--tls-password-file", metavar="FILE",
        help=f"its first line is the password of the key (default: ${PASSWORD}, else it is asked for)")  # fmt: skip
    whom = "clients" if provider else "the server"
    add("--tls-ca", action="append", metavar="FILE",
        help=f"certificates that {whom} may be certified by, PEM; may be given again"
        + ("" if provider else " (default: those of the system)"))  # fmt: skip
    add("--tls-crl", action="append", metavar="FILE",
        help="revocation lists (CRL), PEM or DER, of each authority of a chain; may be given again")  # fmt: skip
    add("--tls-profile", choices=PROFILES, help=f"of PS3.15 annex B (default: {PROFILES[0]})")
    add("--tls-ciphers", metavar="LIST", help="cipher suites of TLS 1.2 in place of the profile's, as OpenSSL has them")
    what = "let anybody in, whatever certificate" if provider else "accept any certificate, whoever's it is"
    add("--tls-no-verify", action="store_true", default=None, help=f"{what}: for tests only")
    add("--tls-legacy-ca", action="store_true", default=None,
        help="let certificates pass that break RFC 5280: old authorities without keyUsage")  # fmt: skip
    add("--tls-keylog", metavar="FILE", help="append secrets to FILE, for Wireshark: for debugging only")
    if provider:
        add("--tls-client-cert", choices=("required", "requested", "none"),
            help="of clients (default: required)")  # fmt: skip
    else:
        add("--tls-server-name", metavar="NAME", help="name in the server's certificate (default: the host)")


def client_tls(options: argparse.Namespace, out: Output) -> ClientTLS | None:
    """What the options ask for, made once. Ends the command where that cannot be done."""
    made: ClientTLS | None = _once(options, out, _client, "tls_made")
    return made


def server_tls(options: argparse.Namespace, out: Output) -> ServerTLS | None:
    """The same for a provider."""
    made: ServerTLS | None = _once(options, out, _server, "served_tls")
    return made


def _once(options: argparse.Namespace, out: Output, make: Any, name: str) -> Any:
    if not _wanted(options):
        return None
    if not hasattr(options, name):
        try:
            from ..tls.layer import TLSConfigError
        except ImportError as error:
            _refuse(out, f"TLS needs more libraries ({error.name}): pip install 'dicos-proto[tls]'")
        try:
            with _told(options, out):
                setattr(options, name, make(options, out))
        except TLSConfigError as error:
            _refuse(out, str(error))
    return getattr(options, name)


@contextmanager
def _told(options: argparse.Namespace, out: Output) -> Iterator[None]:
    """What is logged while files are read, of keys that others can read, is told to whoever runs the command, once."""
    import logging

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = record.getMessage()
            if text not in told:
                told.add(text)
                _warn(out, text)

    told: set[str] = vars(options).setdefault("keys_told", set())
    logger, handler = logging.getLogger("dicos.tls"), Told(logging.WARNING)
    logger.addHandler(handler)
    before, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


def _wanted(options: argparse.Namespace) -> bool:
    given = vars(options)
    return any(value is not None for name, value in given.items() if name == "tls" or name.startswith("tls_"))


def _client(options: argparse.Namespace, out: Output) -> ClientTLS:
    from ..tls.layer import PROFILES, ClientTLS, load_certificates, load_crls

    name = options.tls_server_name or options.host
    try:
        name.encode("idna")
    except UnicodeError:
        _refuse(out, f"{shown(name)}: no host name that can be in a certificate")
    if options.tls_no_verify:
        _warn(
            out, "the server's certificate is not verified: anybody can pass for the server and read all that is sent"
        )
    return ClientTLS(
        identity=_identity(options, out),
        trust=load_certificates(*options.tls_ca) if options.tls_ca else None,
        verify=not options.tls_no_verify,
        server_hostname=options.tls_server_name,
        profile=PROFILES[options.tls_profile or "bcp195-rfc9325"],
        ciphers=options.tls_ciphers,
        legacy_ca=bool(options.tls_legacy_ca),
        crls=load_crls(*(options.tls_crl or ())),
        keylog=_path(options.tls_keylog),
    )


def _server(options: argparse.Namespace, out: Output) -> ServerTLS:
    from ..tls.layer import PROFILES, ClientCertificate, ServerTLS, load_certificates, load_crls

    identity = _identity(options, out)
    if identity is None:
        _refuse(out, "a provider over TLS needs a certificate: --tls-cert, or --tls-pfx")
    wanted = ClientCertificate(getattr(options, "tls_client_cert", None) or "required")
    if options.tls_no_verify:
        _warn(out, "certificates of clients are not asked for: anybody may connect")
        wanted = ClientCertificate.NONE
    elif wanted is not ClientCertificate.NONE and not options.tls_ca:
        _refuse(
            out, f"certificates of clients are {wanted.value}: --tls-ca says whose, --tls-client-cert none asks none"
        )
    return ServerTLS(
        identity=identity,
        trust=load_certificates(*(options.tls_ca or ())),
        client_certificates=wanted,
        profile=PROFILES[options.tls_profile or "bcp195-rfc9325"],
        ciphers=options.tls_ciphers,
        legacy_ca=bool(options.tls_legacy_ca),
        crls=load_crls(*(options.tls_crl or ())),
        keylog=_path(options.tls_keylog),
    )


def _identity(options: argparse.Namespace, out: Output) -> Identity | None:
    from ..tls.identity import PasswordNeeded
    from ..tls.layer import Identity

    pfx, certificate, key = options.tls_pfx, options.tls_cert, options.tls_key
    if pfx is not None and (certificate is not None or key is not None):
        _refuse(out, "--tls-pfx holds certificate and key; --tls-cert and --tls-key do not go with it")
    if pfx is None and certificate is None:
        if key is not None:
            _refuse(out, "--tls-key without --tls-cert")
        return None

    def read(password: str | None) -> Identity:
        if pfx is not None:
            return Identity.from_pkcs12(pfx, password)
        return Identity.from_pem(certificate, key, password)

    try:
        return read(_password(options, out))
    except PasswordNeeded:
        if not sys.stdin.isatty():
            raise
        from getpass import getpass

        return read(getpass(f"password of {shown(key or certificate or pfx)}: "))


def _password(options: argparse.Namespace, out: Output) -> str | None:
    path = options.tls_password_file
    if path is None:
        return os.environ.get(PASSWORD)
    try:
        with open(path, encoding="utf-8") as file:
            line: str = file.readline(4096)
    except (OSError, UnicodeError) as error:
        why = (error.strerror or "").lower() if isinstance(error, OSError) else "not UTF-8"
        _refuse(out, f"{path}: {why}")
    from ..tls.identity import warn_of_readers

    warn_of_readers(path, "password")
    return line.rstrip("\r\n")


def _path(name: str | None) -> Path | None:
    from pathlib import Path

    return None if name is None else Path(name)


def _warn(out: Output, text: str) -> None:
    """Shown always, `--quiet` or not."""
    out.failure(f"WARNING: {text}")


def _refuse(out: Output, text: str) -> NoReturn:
    out.error(text)
    raise SystemExit(USAGE)
