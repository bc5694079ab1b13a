"""`dicos_proto.pdu` is `dicos_proto.upper_layer.pdu`, with what has modules of its own now: values, titles, items."""

from dicos_proto.upper_layer.cursor import *  # noqa: F403
from dicos_proto.upper_layer.pdu import *  # noqa: F403
from dicos_proto.upper_layer.pdu_types import *  # noqa: F403
from dicos_proto.upper_layer.titles import *  # noqa: F403
