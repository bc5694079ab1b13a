"""`dicos_transports.trio_memory` is `dicos_transports.trio.memory`."""

import sys

import dicos_transports.trio.memory

sys.modules[__name__] = dicos_transports.trio.memory
