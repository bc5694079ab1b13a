"""`dicos_transports.talking` is `dicos_transports.application.talking`."""

import sys

import dicos_transports.application.talking

sys.modules[__name__] = dicos_transports.application.talking
