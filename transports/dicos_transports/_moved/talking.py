"""`dicos_transports.talking` is `dicos_transports.sessions.talking`."""

import sys

import dicos_transports.sessions.talking

sys.modules[__name__] = dicos_transports.sessions.talking
