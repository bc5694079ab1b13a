"""`dicos_transports.metrics` is `dicos_transports.serving.metrics`."""

import sys

import dicos_transports.serving.metrics

sys.modules[__name__] = dicos_transports.serving.metrics
