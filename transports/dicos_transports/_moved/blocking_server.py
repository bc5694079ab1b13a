"""`dicos_transports.blocking_server` is `dicos_transports.blocking.server`."""

import sys

import dicos_transports.blocking.server

sys.modules[__name__] = dicos_transports.blocking.server
