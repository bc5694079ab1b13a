"""DICOS objects and the world: made now, in files, and on associations.

from dicos_transports.dicos import fan_out, read_file, receive, send, stamp, write_file
"""

from .fanning import Delivery, Destination, fan_out
from .part10 import read_file, write_file
from .sending import Encoded, receive, send
from .stamping import stamp

__all__ = ["Delivery", "Destination", "Encoded", "fan_out", "read_file", "receive", "send", "stamp", "write_file"]
