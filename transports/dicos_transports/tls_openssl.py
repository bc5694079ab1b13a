"""What OpenSSL can do and pyOpenSSL has no public name for: four calls of its bindings, each where it is needed.

All of pyOpenSSL's private names that are used are used here. A release that renames one is noticed by the tests.
"""

from __future__ import annotations

from typing import Any, Final

from OpenSSL import SSL
from OpenSSL._util import ffi, lib

_lib: Final[Any] = lib


def set_groups(context: SSL.Context, groups: str) -> bool:
    """Key exchange groups, colon separated, best first; whether OpenSSL knows all of them.

    The public `set_tmp_ecdh` takes one curve, and only one that X25519 is not."""
    done = bool(_lib.SSL_CTX_set1_curves_list(context._context, groups.encode()) == 1)
    _lib.ERR_clear_error()
    return done


def resumed(connection: SSL.Connection) -> bool:
    """Whether the handshake resumed an earlier session."""
    return bool(_lib.SSL_session_reused(connection._ssl))


def verify_text(code: int) -> str:
    """What OpenSSL says of an X509_V_ERR_ code."""
    return bytes(ffi.string(_lib.X509_verify_cert_error_string(code))).decode("ascii", "replace")
