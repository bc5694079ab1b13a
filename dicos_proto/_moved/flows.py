"""`dicos_proto.flows` is `dicos_proto.conversation.flows`."""

import sys

import dicos_proto.conversation.flows

sys.modules[__name__] = dicos_proto.conversation.flows
