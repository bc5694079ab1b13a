"""`dicos_proto.elements` is `dicos_proto.data.elements`."""

import sys

import dicos_proto.data.elements

sys.modules[__name__] = dicos_proto.data.elements
