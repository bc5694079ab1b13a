"""`dicos_proto.pdu_types` is `dicos_proto.upper_layer.pdu_types`."""

import sys

import dicos_proto.upper_layer.pdu_types

sys.modules[__name__] = dicos_proto.upper_layer.pdu_types
