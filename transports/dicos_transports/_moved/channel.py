"""`dicos_transports.channel` is `dicos_transports.sessions.channel`."""

import sys

import dicos_transports.sessions.channel

sys.modules[__name__] = dicos_transports.sessions.channel
