"""`dicos_proto.negotiation` is `dicos_proto.upper_layer.negotiation`, with what has modules of its own now."""

from dicos_proto.upper_layer.agreement import *  # noqa: F403
from dicos_proto.upper_layer.negotiation import *  # noqa: F403
from dicos_proto.upper_layer.policy import *  # noqa: F403
