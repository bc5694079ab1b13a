"""`dicos_proto.extended` is `dicos_proto.upper_layer.extended`."""

import sys

import dicos_proto.upper_layer.extended

sys.modules[__name__] = dicos_proto.upper_layer.extended
