"""What OpenSSL can do and pyOpenSSL has no public name for: some calls of its bindings, each where it is needed.

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


def set_session_id(context: SSL.Context, value: bytes) -> None:
    """The session id context of connections that are made from now on, 32 bytes at most.

    pyOpenSSL lets nothing be changed once a connection was made. OpenSSL copies this one when it makes a connection,
    and does not look at it afterwards."""
    _lib.SSL_CTX_set_session_id_context(context._context, value, len(value))


def resumed(connection: SSL.Connection) -> bool:
    """Whether the handshake resumed an earlier session."""
    return bool(_lib.SSL_session_reused(connection._ssl))


def verify_text(code: int) -> str:
    """What OpenSSL says of an X509_V_ERR_ code."""
    return bytes(ffi.string(_lib.X509_verify_cert_error_string(code))).decode("ascii", "replace")


def read_plaintext(connection: SSL.Connection, buffer: memoryview) -> tuple[int, SSL.Error | None]:
    """Decrypt into a buffer what there is, up to its end: how many bytes, and what stopped it, if the end did not.

    `Connection.recv_into` makes a buffer of its own for each record, and copies out of it."""
    ssl, total, size = connection._ssl, 0, len(buffer)
    with ffi.from_buffer(buffer) as data:
        while total < size:
            result = _lib.SSL_read(ssl, data + total, size - total)
            if result <= 0:
                try:
                    connection._raise_ssl_error(ssl, result)
                except SSL.Error as error:
                    return total, error.with_traceback(None)  # whose frames hold the buffer
                break
            total += result
    return total, None


def read_ciphertext(connection: SSL.Connection, buffer: memoryview) -> int:
    """Take out into a buffer what OpenSSL has written; how many bytes, none where there is nothing."""
    with ffi.from_buffer(buffer) as data:
        return max(0, int(_lib.BIO_read(connection._from_ssl, data, len(buffer))))
