"""Texts and error logs as programs for pyDICOS have them: plain `str`, which also answers `Get()`.

Knows: the wrapper types of the original, for which a plain text is taken everywhere. Must not know: networks, objects.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import Self

__all__ = ["ErrorLog", "Text", "note"]


class Text(str):
    """A text that also answers the methods of the original's wrapper types (`DcsString` and the like)."""

    __slots__ = ()

    def Get(self) -> str:
        """Returns the text."""
        return str(self)

    def GetErrorLog(self) -> Self:
        """Returns the text: programs for the original ask a client for its log, and the log for its text."""
        return self


class ErrorLog:
    """A log that a method fills: pass one where the original takes an error log, and print it.

    >>> log = ErrorLog()
    >>> log.add("no such file")
    >>> print(log)
    no such file
    """

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, text: str) -> None:
        """Adds a line."""
        self._lines.append(text)

    def clear(self) -> None:
        """Removes all lines."""
        self._lines.clear()

    def GetErrorLog(self) -> Text:
        """Returns all lines, separated by line ends; "" if there are none."""
        return Text("\n".join(self._lines))

    def __str__(self) -> str:
        return self.GetErrorLog()

    def __bool__(self) -> bool:
        return bool(self._lines)


def note(into: object, text: str) -> None:
    """Adds a line to the error log that a caller passed: an `ErrorLog` or a list. A `str`, as in the original's
    tutorial, cannot be changed and is left as it is; `GetErrorLog` of the client or server has the line too."""
    if isinstance(into, ErrorLog):
        into.add(text)
    elif isinstance(into, MutableSequence):
        into.append(text)
