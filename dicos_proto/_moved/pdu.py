"""`dicos_proto.pdu` is `dicos_proto.upper_layer.pdu`."""

import sys

import dicos_proto.upper_layer.pdu

sys.modules[__name__] = dicos_proto.upper_layer.pdu
