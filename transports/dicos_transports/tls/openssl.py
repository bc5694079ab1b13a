"""Functions of OpenSSL for which pyOpenSSL has no public name, and its reasons for failures as plain sentences.

All uses of pyOpenSSL's private names are in this module. The tests notice a release that renames one.
"""

from __future__ import annotations

from typing import Any, Final

from OpenSSL import SSL
from OpenSSL._util import ffi, lib

_lib: Final[Any] = lib

_FAULTS: Final = {
    "no shared cipher": "no cipher suite in common with the peer",
    "no suitable key share": "no key exchange group in common with the peer",
    "unsupported protocol": "the peer wants a TLS version that is not allowed here",
    "peer did not return a certificate": "the peer sent no certificate, and one is required",
    "decryption failed or bad record mac": "a record was changed in transit, or the peer encrypts wrongly",
    "unexpected eof while reading": "the connection ended in the middle of the handshake",
}
"""OpenSSL's name of a reason -> the same as a sentence."""

_ALERTS: Final = {
    "unknown ca": "it does not trust this side's certificate",
    "bad certificate": "it does not accept this side's certificate",
    "certificate expired": "this side's certificate has expired",
    "certificate required": "it requires a certificate from this side",
    "handshake failure": "no versions or cipher suites in common, or it requires a certificate",
    "protocol version": "it does not support the TLS versions that are allowed here",
    "unrecognized name": "it has no certificate for the requested name",
    "unexpected message": "it did not expect what it received; it may not speak TLS",
}
"""Alert sent by the peer -> what it means on this side."""


def set_groups(context: SSL.Context, groups: str) -> bool:
    """Set the key exchange groups, separated by colons, the preferred ones first. Returns False if
    OpenSSL does not know one of them.

    The public `set_tmp_ecdh` sets only one curve, and cannot set X25519."""
    done = bool(_lib.SSL_CTX_set1_curves_list(context._context, groups.encode()) == 1)
    _lib.ERR_clear_error()
    return done


def set_session_id(context: SSL.Context, value: bytes) -> None:
    """Set the session id context, at most 32 bytes, of connections that are created from now on.

    pyOpenSSL does not allow changes once a connection was created. This one is safe: OpenSSL copies the value when it
    creates a connection, and does not read it later."""
    _lib.SSL_CTX_set_session_id_context(context._context, value, len(value))


def resumed(connection: SSL.Connection) -> bool:
    """Return True if the handshake resumed an earlier session."""
    return bool(_lib.SSL_session_reused(connection._ssl))


def verify_text(code: int) -> str:
    """Return OpenSSL's text for an X509_V_ERR_ code."""
    return bytes(ffi.string(_lib.X509_verify_cert_error_string(code))).decode("ascii", "replace")


def read_plaintext(connection: SSL.Connection, buffer: memoryview) -> tuple[int, SSL.Error | None]:
    """Decrypt all available data into a buffer. Returns the number of bytes, and the error that ended it before the
    buffer was full, else None.

    `Connection.recv_into` would create a buffer for each record and copy from it."""
    ssl, total, size = connection._ssl, 0, len(buffer)
    with ffi.from_buffer(buffer) as data:
        while total < size:
            result = _lib.SSL_read(ssl, data + total, size - total)
            if result <= 0:
                try:
                    connection._raise_ssl_error(ssl, result)
                except SSL.Error as error:
                    return total, error.with_traceback(None)  # its frames would keep the buffer in use
                break
            total += result
    return total, None


def read_ciphertext(connection: SSL.Connection, buffer: memoryview) -> int:
    """Move the bytes that OpenSSL has written into a buffer. Returns their number, 0 if there are none."""
    with ffi.from_buffer(buffer) as data:
        return max(0, int(_lib.BIO_read(connection._from_ssl, data, len(buffer))))


def cause_of(error: SSL.Error) -> str:
    """Return one line that says why a call of OpenSSL failed."""
    if isinstance(error, SSL.ZeroReturnError | SSL.SysCallError):
        return "the peer closed the connection in the middle of the handshake"
    reasons = [str(one[-1]).lower() for one in error.args[0]] if error.args else []
    for reason in reasons:
        if reason in _FAULTS:
            return _FAULTS[reason]
        if " alert " in reason:
            alert = reason.partition(" alert ")[2]
            meaning = f": {_ALERTS[alert]}" if alert in _ALERTS else ""
            return f"the peer refuses ({alert}){meaning}"
    return ", ".join(reasons) or "OpenSSL gives no reason"
