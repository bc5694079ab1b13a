"""`dicos_transports.answering` is `dicos_transports.application.asked` and the modules beside it."""

from dicos_transports.application.answering import *  # noqa: F403
from dicos_transports.application.asked import *  # noqa: F403
from dicos_transports.application.committing import *  # noqa: F403
from dicos_transports.application.faults import *  # noqa: F403
