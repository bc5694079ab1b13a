"""The TLS options of the subcommands, and the configuration made of them; a fault is one line and exit status 2.

The TLS modules are imported only if an option asks for TLS. Any TLS option asks for TLS: a connection never goes out
in the clear because `--tls` itself was forgotten.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

from ..tls_profiles import BCP195_RFC9325, PROFILES
from . import USAGE
from .text import shown

if TYPE_CHECKING:
    from pathlib import Path

    from ..tls import ClientTLS, Identity, ServerTLS
    from .output import Output

T = TypeVar("T")

PASSWORD: Final = "DICOS_TLS_PASSWORD"
"""The environment variable that holds the password of the private key."""


def add_options(made: argparse.ArgumentParser, *, provider: bool) -> None:
    """Add the TLS options, as a group of their own."""
    group = made.add_argument_group("TLS", "Any of these options turns TLS on.")
    add = group.add_argument
    add("--tls", action="store_true", default=None, help="use TLS")
    add("--tls-cert", metavar="FILE", help="certificate of this application, with its chain, in PEM format")
    add("--tls-key", metavar="FILE",
        help="private key of the certificate, in PEM format (default: in the file of --tls-cert)")  # fmt: skip
    add("--tls-pfx", metavar="FILE",
        help="certificate, chain and private key of this application in one PKCS#12 file (.pfx, .p12)")  # fmt: skip
    add("--tls-password-file", metavar="FILE",
        help=f"file with the password of the private key in its first line (default: ${PASSWORD}, else a "
        "prompt)")  # fmt: skip
    whom = "clients" if provider else "the server"
    add("--tls-ca", action="append", metavar="FILE",
        help=f"trusted CA certificates to verify {whom} with, in PEM format; may be repeated"
        + ("" if provider else " (default: those of the system)"))  # fmt: skip
    add("--tls-crl", action="append", metavar="FILE",
        help="certificate revocation lists (CRL), in PEM or DER format, one from each CA of a chain; may be "
        "repeated")  # fmt: skip
    add("--tls-profile", choices=PROFILES,
        help=f"TLS profile of PS3.15 annex B (default: {BCP195_RFC9325.name})")  # fmt: skip
    add("--tls-ciphers", metavar="LIST",
        help="TLS 1.2 cipher suites to use instead of the profile's, as an OpenSSL cipher list")  # fmt: skip
    what = "do not ask clients for a certificate" if provider else "accept any server certificate"
    add("--tls-no-verify", action="store_true", default=None, help=f"{what}: for tests only")
    add("--tls-legacy-ca", action="store_true", default=None,
        help="accept certificates that break RFC 5280, such as those of old CAs without keyUsage")  # fmt: skip
    add("--tls-keylog", metavar="FILE",
        help="append the session secrets to FILE, for Wireshark: for debugging only")  # fmt: skip
    if provider:
        add("--tls-client-cert", choices=("required", "requested", "none"),
            help="whether clients have to present a certificate (default: required)")  # fmt: skip
    else:
        add("--tls-server-name", metavar="NAME",
            help="host name expected in the server's certificate (default: the host)")  # fmt: skip


class TLSOptions:
    """The TLS configurations that the options of one command ask for, each made when it is first used.

    Both are None without a TLS option. A configuration that cannot be made ends the command.
    """

    def __init__(self, options: argparse.Namespace, out: Output) -> None:
        self._options = options
        self._out = out
        self._warned: set[str] = set()  # a key that others can read is read for both sides, and reported once

    @cached_property
    def client(self) -> ClientTLS | None:
        """The configuration of the side that connects."""
        return self._make(_client)

    @cached_property
    def server(self) -> ServerTLS | None:
        """The configuration of a provider."""
        return self._make(_server)

    def _make(self, make: Callable[[argparse.Namespace, Output], T]) -> T | None:
        options, out = self._options, self._out
        if not _wanted(options):
            return None
        try:
            from ..tls.identity import TLSConfigError

            with _warnings_printed(out, self._warned):
                return make(options, out)
        except ImportError as error:
            _refuse(out, str(error))
        except TLSConfigError as error:
            _refuse(out, str(error))


@contextmanager
def _warnings_printed(out: Output, printed: set[str]) -> Iterator[None]:
    """Print what "dicos.tls" logs here, such as a key file that others can read, unless it is in `printed`."""
    import logging

    class Printing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = record.getMessage()
            if text not in printed:
                printed.add(text)
                _warn(out, text)

    logger, handler = logging.getLogger("dicos.tls"), Printing(logging.WARNING)
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
    from ..tls import ClientTLS, load_certificates, load_crls

    name = options.tls_server_name or options.host
    try:
        name.encode("idna")
    except UnicodeError:
        _refuse(out, f"{shown(name)}: not a host name that can be in a certificate")
    if options.tls_no_verify:
        _warn(out, "the server's certificate is not verified: anybody can pose as the server and read all that is sent")
    return ClientTLS(
        identity=_identity(options, out),
        trust=load_certificates(*options.tls_ca) if options.tls_ca else None,
        verify=not options.tls_no_verify,
        server_hostname=options.tls_server_name,
        profile=PROFILES[options.tls_profile or BCP195_RFC9325.name],
        ciphers=options.tls_ciphers,
        legacy_ca=bool(options.tls_legacy_ca),
        crls=load_crls(*(options.tls_crl or ())),
        keylog=_path(options.tls_keylog),
    )


def _server(options: argparse.Namespace, out: Output) -> ServerTLS:
    from ..tls import ClientCertificate, ServerTLS, load_certificates, load_crls

    identity = _identity(options, out)
    if identity is None:
        _refuse(out, "a provider over TLS needs a certificate: --tls-cert or --tls-pfx")
    wanted = ClientCertificate(getattr(options, "tls_client_cert", None) or "required")
    if options.tls_no_verify:
        _warn(out, "clients are not asked for certificates: anybody may connect")
        wanted = ClientCertificate.NONE
    elif wanted is not ClientCertificate.NONE and not options.tls_ca:
        _refuse(
            out,
            f"client certificates are {wanted.value}: --tls-ca names the CAs to trust, --tls-client-cert none asks "
            "for no certificate",
        )
    return ServerTLS(
        identity=identity,
        trust=load_certificates(*(options.tls_ca or ())),
        client_certificates=wanted,
        profile=PROFILES[options.tls_profile or BCP195_RFC9325.name],
        ciphers=options.tls_ciphers,
        legacy_ca=bool(options.tls_legacy_ca),
        crls=load_crls(*(options.tls_crl or ())),
        keylog=_path(options.tls_keylog),
    )


def _identity(options: argparse.Namespace, out: Output) -> Identity | None:
    from ..tls.identity import Identity, PasswordNeeded

    pfx, certificate, key = options.tls_pfx, options.tls_cert, options.tls_key
    if pfx is not None and (certificate is not None or key is not None):
        _refuse(out, "--tls-pfx holds certificate and key; it cannot be combined with --tls-cert or --tls-key")
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
    """Print a warning, even with `--quiet`."""
    out.failure(f"WARNING: {text}")


def _refuse(out: Output, text: str) -> NoReturn:
    out.error(text)
    raise SystemExit(USAGE)
