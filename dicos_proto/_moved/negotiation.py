"""`dicos_proto.negotiation` is `dicos_proto.upper_layer.negotiation`."""

import sys

import dicos_proto.upper_layer.negotiation

sys.modules[__name__] = dicos_proto.upper_layer.negotiation
