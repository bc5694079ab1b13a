"""`dicos_transports.tls_openssl` is `dicos_transports.tls.openssl`."""

import sys

import dicos_transports.tls.openssl

sys.modules[__name__] = dicos_transports.tls.openssl
