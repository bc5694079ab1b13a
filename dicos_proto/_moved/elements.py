"""`dicos_proto.elements` is `dicos_proto.data.elements`, and `checker`, `deflated` and `walker` beside it."""

from dicos_proto.data.checker import *  # noqa: F403
from dicos_proto.data.deflated import *  # noqa: F403
from dicos_proto.data.elements import *  # noqa: F403
from dicos_proto.data.walker import *  # noqa: F403
from dicos_proto.limits import Limits

INFLATE_FLOOR = Limits().inflate_unjudged_bytes
INFLATED_ELEMENTS = Limits().inflate_unjudged_elements
