"""Functions that watch the bytes of a connection.

Knows: their signature. Must not know: which connection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from dicos_proto.wire import Buffer

__all__ = ["Trace"]

Trace = Callable[[Literal["sent", "received"], Sequence[Buffer]], None]
"""Called with the direction and the buffers, which it must not keep; and in the end, when the connection is closed,
once for each direction with no buffers."""
