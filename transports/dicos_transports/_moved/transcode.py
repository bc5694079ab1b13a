"""`dicos_transports.transcode` is `dicos_proto.data.transcode`."""

import sys

import dicos_proto.data.transcode

sys.modules[__name__] = dicos_proto.data.transcode
