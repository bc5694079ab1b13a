"""`dicos_transports.blocking_driver` is `dicos_transports.blocking.driver`."""

import sys

import dicos_transports.blocking.driver

sys.modules[__name__] = dicos_transports.blocking.driver
