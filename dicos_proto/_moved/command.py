"""`dicos_proto.command` is `dicos_proto.dimse.command`."""

import sys

import dicos_proto.dimse.command

sys.modules[__name__] = dicos_proto.dimse.command
