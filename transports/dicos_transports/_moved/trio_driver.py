"""`dicos_transports.trio_driver` is `dicos_transports.trio.driver`."""

import sys

import dicos_transports.trio.driver

sys.modules[__name__] = dicos_transports.trio.driver
