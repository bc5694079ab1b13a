"""TLS for associations: configurations, identities, title policies and the layer itself [PS3.15 B]. Needs
`pip install '.[tls]'` in a checkout."""

try:
    import cryptography.x509  # noqa: F401
    import OpenSSL.SSL  # noqa: F401
    import service_identity.cryptography  # noqa: F401
except ImportError as error:
    raise type(error)(
        f"TLS needs more libraries: pip install '.[tls]' in a checkout ({error})", name=error.name
    ) from error

from ..tls_profiles import BCP195_RFC9325, EXTENDED, MODIFIED, NON_DOWNGRADING, PROFILES, Profile
from .config import (  # noqa: F401  `refusal` was exported before, and can still be imported
    ClientCertificate,
    ClientTLS,
    ServerTLS,
    TitlePolicy,
    TLSInfo,
    refusal,
    titles_by_name,
)
from .identity import Identity, PasswordNeeded, TLSConfigError, load_certificates, load_crls
from .layer import TLSError, TLSLayer

__all__ = [
    "BCP195_RFC9325",
    "ClientCertificate",
    "ClientTLS",
    "EXTENDED",
    "Identity",
    "MODIFIED",
    "NON_DOWNGRADING",
    "PROFILES",
    "PasswordNeeded",
    "Profile",
    "ServerTLS",
    "TLSConfigError",
    "TLSError",
    "TLSInfo",
    "TLSLayer",
    "TitlePolicy",
    "load_certificates",
    "load_crls",
    "titles_by_name",
]
