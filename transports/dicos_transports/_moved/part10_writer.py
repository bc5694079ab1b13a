"""`dicos_transports.part10_writer` is `dicos_transports.files.writer` and `dicos_transports.files.temporary`."""

from dicos_transports.files.temporary import *  # noqa: F403
from dicos_transports.files.writer import *  # noqa: F403
