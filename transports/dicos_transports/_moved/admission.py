"""`dicos_transports.admission` is `dicos_transports.serving.admission`."""

import sys

import dicos_transports.serving.admission

sys.modules[__name__] = dicos_transports.serving.admission
