"""`dicos_transports.awaiting_server` is `dicos_transports.serving.async_server`."""

import sys

import dicos_transports.serving.async_server

sys.modules[__name__] = dicos_transports.serving.async_server
