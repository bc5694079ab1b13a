"""`dicos_proto.messages` is `dicos_proto.dimse.assembly`."""

import sys

import dicos_proto.dimse.assembly

sys.modules[__name__] = dicos_proto.dimse.assembly
