"""`dicos_transports.offloading` is `dicos_transports.sessions.offloading`."""

import sys

import dicos_transports.sessions.offloading

sys.modules[__name__] = dicos_transports.sessions.offloading
