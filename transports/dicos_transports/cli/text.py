"""Text from outside on its way to people: what could harm a terminal, or forge a line, is escaped here, and only here.

From outside comes whatever a peer, a file, a name of a file, a certificate or the command line holds. Every line for
people goes through `shown`, cells of tables and paths as well; standard error itself is `Guarded`, for what others
write there: argparse, warnings, tracebacks, loggers of libraries.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Final, TextIO

LONGEST: Final = 4096
"""Characters of a text from outside that are shown: as many as a path may have."""
LONGEST_LINE: Final = 4 * LONGEST
"""Characters of a line for people."""


def escaped(text: str, keep: str = "") -> str:
    """The text with what cannot be printed as `\\x1b`, `\\n`, `\\udc80`, `\\u202e`: control characters, line ends,
    surrogates, and what changes the direction of text or has no shape. `keep`: characters that stay."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one in keep else one.encode("unicode_escape").decode("ascii") for one in text
    )


def shown(text: object, most: int = LONGEST) -> str:
    """Text from outside as a part of a line for people: escaped, and cut to `most` characters. What is cut ends in how
    many characters there were."""
    whole = str(text)
    found = escaped(whole[:most])
    return found if len(found) <= most and len(whole) <= most else f"{found[:most]}... ({len(whole)} characters)"


class Guarded:
    """A stream for text whose only control character is the line end; the last barrier, whoever writes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(escaped(text, "\n"))
        return len(text)

    def writelines(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.write(text)

    def unguarded(self, text: str) -> int:
        """For control sequences of this command's own."""
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def guard() -> None:
    """Let nothing but lines of printable text out on standard error, from now on."""
    if not isinstance(sys.stderr, Guarded):
        sys.stderr = Guarded(sys.stderr)
