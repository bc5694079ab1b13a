"""`dicos_proto.conversion` is `dicos_proto.data.conversion`."""

import sys

import dicos_proto.data.conversion

sys.modules[__name__] = dicos_proto.data.conversion
