"""`dicos_proto.planning` is `dicos_proto.conversation.planning`."""

import sys

import dicos_proto.conversation.planning

sys.modules[__name__] = dicos_proto.conversation.planning
