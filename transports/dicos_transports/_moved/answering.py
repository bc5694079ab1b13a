"""`dicos_transports.answering` is `dicos_transports.application.answering`."""

import sys

import dicos_transports.application.answering

sys.modules[__name__] = dicos_transports.application.answering
