"""`dicos_transports.storing` is `dicos_transports.files.storing`."""

import sys

import dicos_transports.files.storing

sys.modules[__name__] = dicos_transports.files.storing
