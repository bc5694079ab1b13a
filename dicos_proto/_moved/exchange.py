"""`dicos_proto.exchange` is `dicos_proto.conversation.exchange`."""

import sys

import dicos_proto.conversation.exchange

sys.modules[__name__] = dicos_proto.conversation.exchange
