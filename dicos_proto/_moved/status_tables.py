"""`dicos_proto.status_tables` is `dicos_proto.registry.status_tables`."""

import sys

import dicos_proto.registry.status_tables

sys.modules[__name__] = dicos_proto.registry.status_tables
