"""The TLS options of a command line, for a command that is printed to be run again.

Knows: words of the command line. Must not know: what TLS does with them.

Invariant: no secret is among the words; a password is only ever in a file or in the environment.
"""

from __future__ import annotations

import argparse
from typing import Final

__all__ = ["has_tls", "tls_words"]

_FILES: Final = ("tls_cert", "tls_key", "tls_pfx", "tls_password_file", "tls_ca", "tls_crl")
_VALUES: Final = ("tls_profile", "tls_ciphers", "tls_server_name")
_FLAGS: Final = ("tls_no_verify", "tls_legacy_ca")


def has_tls(options: argparse.Namespace) -> bool:
    """Returns True if any option asks for TLS."""
    given = vars(options)
    return any(value is not None for name, value in given.items() if name == "tls" or name.startswith("tls_"))


def tls_words(options: argparse.Namespace) -> tuple[str, ...]:
    """Returns the options that speak TLS with the same peer again; none without TLS. That for a log of the session
    secrets is left out."""
    words: list[str] = []
    for name in (*_FILES, *_VALUES):
        value = getattr(options, name, None)
        for one in value if isinstance(value, list) else [] if value is None else [value]:
            words += [_option(name), str(one)]
    words += [_option(name) for name in _FLAGS if getattr(options, name, None)]
    return tuple(words or ["--tls"]) if has_tls(options) else ()


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
