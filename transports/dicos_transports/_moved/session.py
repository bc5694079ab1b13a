"""`dicos_transports.session` is `dicos_transports.sessions.base`."""

import sys

import dicos_transports.sessions.base

sys.modules[__name__] = dicos_transports.sessions.base
