"""`dicos_proto.command_values` is `dicos_proto.dimse.values`."""

import sys

import dicos_proto.dimse.values

sys.modules[__name__] = dicos_proto.dimse.values
