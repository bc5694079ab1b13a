"""`dicos_proto.uids` is `dicos_proto.registry.uids`."""

import sys

import dicos_proto.registry.uids

sys.modules[__name__] = dicos_proto.registry.uids
