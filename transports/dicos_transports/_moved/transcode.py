"""`dicos_transports.transcode` is `dicos_proto.data.transcode`."""

from dicos_proto.data.elements import PADDED_WITH_SPACE, PIXEL_REPRESENTATION  # noqa: F401
from dicos_proto.data.transcode import *  # noqa: F403
from dicos_proto.limits import Limits

DEPTH = Limits().sequence_depth
INFLATE_RATIO = Limits().inflate_ratio
INFLATE_BYTES = Limits().inflate_bytes
