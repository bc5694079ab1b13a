"""Makes a tape small that shows a finding: delta debugging over its bytes, then zeros in place of them.

Knows: bytes. Must not know: targets. Invariants: the result still shows the finding; no more than `budget` runs.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["minimised"]


def minimised(tape: bytes, shows: Callable[[bytes], bool], *, budget: int = 2000) -> bytes:
    """Returns a tape that is as small as `budget` runs of `shows` could make it. `shows` is True for `tape` itself."""
    left = budget
    pieces = 2
    while len(tape) > 1 and left > 0:
        size = max(1, -(-len(tape) // pieces))
        at = 0
        shrunk = False
        while at < len(tape) and left > 0:
            shorter = tape[:at] + tape[at + size :]
            left -= 1
            if shows(shorter):
                tape, shrunk = shorter, True
            else:
                at += size
        if not shrunk:
            if size == 1:
                break
            pieces = min(len(tape), pieces * 2)
    for at in range(len(tape)):
        if tape[at] and left > 0:
            plain = tape[:at] + b"\0" + tape[at + 1 :]
            left -= 1
            if shows(plain):
                tape = plain
    return tape
