"""`dicos_proto.exchange` is `dicos_proto.conversation.exchange`, with what has modules of its own now."""

from dicos_proto.conversation.exchange import *  # noqa: F403
from dicos_proto.conversation.feed import *  # noqa: F403
from dicos_proto.conversation.feed import PushSource
from dicos_proto.conversation.invoking import *  # noqa: F403
from dicos_proto.conversation.invoking import UserOperation
from dicos_proto.conversation.parking import *  # noqa: F403
from dicos_proto.conversation.parking import MessageEvent
from dicos_proto.conversation.performing import *  # noqa: F403
from dicos_proto.conversation.reading import *  # noqa: F403

Feed, Operation, Incoming = PushSource, UserOperation, MessageEvent
