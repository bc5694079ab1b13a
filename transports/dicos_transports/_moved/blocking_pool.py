"""`dicos_transports.blocking_pool` is `dicos_transports.blocking.pool`."""

import sys

import dicos_transports.blocking.pool

sys.modules[__name__] = dicos_transports.blocking.pool
