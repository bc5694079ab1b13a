"""`dicos_transports.sharing` is `dicos_transports.sessions.sharing`."""

import sys

import dicos_transports.sessions.sharing

sys.modules[__name__] = dicos_transports.sessions.sharing
