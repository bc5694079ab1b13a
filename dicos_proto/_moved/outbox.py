"""`dicos_proto.outbox` is `dicos_proto.upper_layer.outbox`."""

import sys

import dicos_proto.upper_layer.outbox

sys.modules[__name__] = dicos_proto.upper_layer.outbox
