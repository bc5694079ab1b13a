"""The waits of the command that no option sets, in seconds.

They are read here when a wait begins, never copied by `from ... import`: tests of an interrupted command set others in
its process (`tests/transports/cli/forking.py`). Neither an option nor the environment of a user changes them.
"""

from __future__ import annotations

from typing import Final

PATIENCE: Final = 2.0
"""For a peer to receive the A-ABORT of an interrupted command; a stalled peer may be why it was interrupted."""
CANCEL_PATIENCE: Final = 3.0
"""For a peer to end an operation after a C-CANCEL, before the association is aborted."""
GRACE: Final = 5.0
"""For objects that are still arriving at movescu when the peer reports the end of the C-MOVE."""
