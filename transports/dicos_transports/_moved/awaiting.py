"""`dicos_transports.awaiting` is `dicos_transports.sessions.session`."""

import sys

import dicos_transports.sessions.session

sys.modules[__name__] = dicos_transports.sessions.session
