"""`dicos_transports.tls_config` is `dicos_transports.tls.config`."""

import sys

import dicos_transports.tls.config

sys.modules[__name__] = dicos_transports.tls.config
