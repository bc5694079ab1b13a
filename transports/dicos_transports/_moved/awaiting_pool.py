"""`dicos_transports.awaiting_pool` is `dicos_transports.sessions.awaiting_pool`."""

import sys

import dicos_transports.sessions.awaiting_pool

sys.modules[__name__] = dicos_transports.sessions.awaiting_pool
