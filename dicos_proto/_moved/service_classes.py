"""`dicos_proto.service_classes` is `dicos_proto.registry.service_classes`."""

import sys

import dicos_proto.registry.service_classes

sys.modules[__name__] = dicos_proto.registry.service_classes
