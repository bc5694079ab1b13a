"""`dicos_transports.awaiting_driver` is `dicos_transports.sessions.loop_driver`."""

import sys

import dicos_transports.sessions.loop_driver

sys.modules[__name__] = dicos_transports.sessions.loop_driver
