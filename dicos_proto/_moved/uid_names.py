"""`dicos_proto.uid_names` is `dicos_proto.registry.uid_names`."""

import sys

import dicos_proto.registry.uid_names

sys.modules[__name__] = dicos_proto.registry.uid_names
