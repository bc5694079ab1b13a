"""`dicos_proto.frozen` is `dicos_proto.fast_init`."""

import sys

import dicos_proto.fast_init

sys.modules[__name__] = dicos_proto.fast_init
