"""`dicos_transports.instances` is `dicos_transports.files.instances`."""

import sys

import dicos_transports.files.instances

sys.modules[__name__] = dicos_transports.files.instances
