"""`dicos_transports.pooling` is `dicos_transports.sessions.pooling`."""

import sys

import dicos_transports.sessions.pooling

sys.modules[__name__] = dicos_transports.sessions.pooling
