"""Escapes untrusted text before it is printed, so that it can neither harm a terminal nor forge a line.

Everything from a peer, a file, a file name, a certificate or the command line is untrusted. Every printed line goes
through `shown`, table cells and paths included. Standard error itself is `Guarded`, for what other code writes there:
argparse, warnings, tracebacks, the loggers of libraries.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Final, TextIO

LONGEST: Final = 4096
"""Most characters of one untrusted text that are printed: the most that a path may have."""
LONGEST_LINE: Final = 4 * LONGEST
"""Most characters of a printed line."""


def escaped(text: str, keep: str = "") -> str:
    """Return the text with unprintable characters escaped as `\\x1b`, `\\n`, `\\udc80`, `\\u202e`.

    These are control characters, line ends, surrogates, and characters that are invisible or change the direction of
    text. `keep`: characters that are not escaped.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one in keep else one.encode("unicode_escape").decode("ascii") for one in text
    )


def shown(text: object, most: int = LONGEST) -> str:
    """Return untrusted text for use in a printed line: escaped, and cut to `most` characters.

    Text that was cut ends with its original number of characters.
    """
    whole = str(text)
    found = escaped(whole[:most])
    return found if len(found) <= most and len(whole) <= most else f"{found[:most]}... ({len(whole)} characters)"


class Guarded:
    """A text stream that escapes every control character but the line end: the last barrier, for any writer."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(escaped(text, "\n"))
        return len(text)

    def writelines(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.write(text)

    def unguarded(self, text: str) -> int:
        """Write text as it is, for the command's own control sequences."""
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def guard() -> None:
    """From now on, allow only lines of printable text on standard error."""
    if not isinstance(sys.stderr, Guarded):
        sys.stderr = Guarded(sys.stderr)
