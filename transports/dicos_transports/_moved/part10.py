"""`dicos_transports.part10` is `dicos_transports.files.part10`."""

import sys

import dicos_transports.files.part10

sys.modules[__name__] = dicos_transports.files.part10
