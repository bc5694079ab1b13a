"""`dicos_transports.tls_identity` is `dicos_transports.tls.identity`."""

import sys

import dicos_transports.tls.identity

sys.modules[__name__] = dicos_transports.tls.identity
