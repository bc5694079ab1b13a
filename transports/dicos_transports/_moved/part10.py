"""`dicos_transports.part10` is `dicos_transports.files.part10`, with what now is in other modules of `files`."""

from dicos_transports.files.data_sets import *  # noqa: F403
from dicos_transports.files.finding import *  # noqa: F403
from dicos_transports.files.part10 import *  # noqa: F403
from dicos_transports.files.temporary import remove_stale_parts  # noqa: F401
from dicos_transports.files.writer import Part10Writer  # noqa: F401
