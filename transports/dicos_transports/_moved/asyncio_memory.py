"""`dicos_transports.asyncio_memory` is `dicos_transports.asyncio.memory`."""

import sys

import dicos_transports.asyncio.memory

sys.modules[__name__] = dicos_transports.asyncio.memory
