"""`dicos_transports.asyncio_driver` is `dicos_transports.asyncio.driver`."""

import sys

import dicos_transports.asyncio.driver

sys.modules[__name__] = dicos_transports.asyncio.driver
