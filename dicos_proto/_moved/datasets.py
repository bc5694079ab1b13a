"""`dicos_proto.datasets` is `dicos_proto.data.datasets`."""

import sys

import dicos_proto.data.datasets

sys.modules[__name__] = dicos_proto.data.datasets
