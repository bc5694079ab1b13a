"""`dicos_transports.asyncio_pool` is `dicos_transports.asyncio.pool`."""

import sys

import dicos_transports.asyncio.pool

sys.modules[__name__] = dicos_transports.asyncio.pool
