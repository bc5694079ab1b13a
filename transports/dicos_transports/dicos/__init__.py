"""DICOS objects and the world: the stamp of a new object from the clock, and objects in files.

from dicos_transports.dicos import read_file, stamp, write_file
"""

from .part10 import read_file, write_file
from .stamping import stamp

__all__ = ["read_file", "stamp", "write_file"]
