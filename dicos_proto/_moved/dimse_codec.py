"""`dicos_proto.dimse_codec` is `dicos_proto.dimse.codec`."""

import sys

import dicos_proto.dimse.codec

sys.modules[__name__] = dicos_proto.dimse.codec
