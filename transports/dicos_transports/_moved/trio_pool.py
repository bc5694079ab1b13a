"""`dicos_transports.trio_pool` is `dicos_transports.trio.pool`."""

import sys

import dicos_transports.trio.pool

sys.modules[__name__] = dicos_transports.trio.pool
