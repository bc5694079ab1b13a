"""`dicos_transports.part10_writer` is `dicos_transports.files.writer`."""

import sys

import dicos_transports.files.writer

sys.modules[__name__] = dicos_transports.files.writer
