"""The engine alone: two associations in one process, no sockets, beside a floor of bare `struct` and `memoryview`.

It measures the processor time of this process, so another process that holds a core does not count. Each round runs
every measure once, with its floor right before it.
"""

from .measuring import measure
from .report import NAME, plain, report

__all__ = ["NAME", "measure", "plain", "report"]
