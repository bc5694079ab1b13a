"""`dicos_transports.storing` is `dicos_transports.files.receiving` and `dicos_transports.files.sending`."""

from dicos_transports.files.receiving import *  # noqa: F403
from dicos_transports.files.receiving import store_into
from dicos_transports.files.sending import *  # noqa: F403

store_awaited = store_into
