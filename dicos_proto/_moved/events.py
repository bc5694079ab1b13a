"""`dicos_proto.events` is `dicos_proto.upper_layer.events` and `dicos_proto.dimse.events`."""

from dicos_proto.dimse.events import *  # noqa: F403
from dicos_proto.upper_layer.events import *  # noqa: F403
