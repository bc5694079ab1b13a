"""`dicos_transports.metrics_http` is `dicos_transports.serving.metrics_http`."""

import sys

import dicos_transports.serving.metrics_http

sys.modules[__name__] = dicos_transports.serving.metrics_http
