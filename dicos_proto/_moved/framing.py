"""`dicos_proto.framing` is `dicos_proto.upper_layer.framing`."""

import sys

import dicos_proto.upper_layer.framing

sys.modules[__name__] = dicos_proto.upper_layer.framing
