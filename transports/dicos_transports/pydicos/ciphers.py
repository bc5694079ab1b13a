"""The original's names of cipher suites, a comma list for `SetSslAllowedCiphers`, as OpenSSL's two lists.

Knows: names. Must not know: OpenSSL.
"""

from __future__ import annotations

import re

__all__ = ["ciphers_of"]

_SIZE = re.compile("AES_(128|256)")


def ciphers_of(names: str) -> tuple[str | None, str | None]:
    """Returns the TLS 1.2 suites and the TLS 1.3 suites for OpenSSL, each None if there is none in the list: then those
    of the profile are used. `best-practices` is the profile, too.

    >>> ciphers_of("tls_aes_256_gcm_sha384,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")
    ('ECDHE-RSA-AES128-GCM-SHA256', 'TLS_AES_256_GCM_SHA384')
    """
    tls12: list[str] = []
    tls13: list[str] = []
    for name in (one.strip().upper() for one in names.split(",")):
        if name in ("", "BEST-PRACTICES"):
            continue
        if not name.startswith("TLS_"):
            tls12.append(name)
        elif "_WITH_" not in name:
            tls13.append(name)
        else:
            exchange, _, cipher = name.removeprefix("TLS_").partition("_WITH_")
            cipher = _SIZE.sub(r"AES\1", cipher).replace("CHACHA20_POLY1305_SHA256", "CHACHA20_POLY1305")
            parts = (cipher,) if exchange == "RSA" else (exchange, cipher)
            tls12.append("-".join(parts).replace("_", "-"))
    return ":".join(tls12) or None, ":".join(tls13) or None
