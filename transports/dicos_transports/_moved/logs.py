"""`dicos_transports.logs` is `dicos_transports.serving.logs`."""

import sys

import dicos_transports.serving.logs

sys.modules[__name__] = dicos_transports.serving.logs
