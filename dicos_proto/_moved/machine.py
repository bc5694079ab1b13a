"""`dicos_proto.machine` is `dicos_proto.upper_layer.machine`."""

import sys

import dicos_proto.upper_layer.machine

sys.modules[__name__] = dicos_proto.upper_layer.machine
