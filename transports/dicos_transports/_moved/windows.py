"""`dicos_transports.windows` is `dicos_transports.sessions.windows`."""

import sys

import dicos_transports.sessions.windows

sys.modules[__name__] = dicos_transports.sessions.windows
