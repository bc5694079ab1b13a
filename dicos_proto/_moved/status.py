"""`dicos_proto.status` is `dicos_proto.registry.status`."""

import sys

import dicos_proto.registry.status

sys.modules[__name__] = dicos_proto.registry.status
