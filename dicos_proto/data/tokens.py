"""The tokens of a walk over a data set: `walker.Walker` reports what it finds, in order, by calls to these methods.

Knows: the names of the tokens, the levels of their nesting. Must not know: how they are found. Invariants: each method
does nothing here, so that a subclass overrides those that it needs.

`at` is always an index into the present piece; `Walker.fault` converts it to a position in the data set.
"""

from __future__ import annotations

from typing import Final

from ..wire import Buffer

WHOLE: Final = 128
"""A value of up to this many bytes comes in one piece; a longer UID matches nothing."""
ELEMENTS, ITEMS, FRAGMENTS = range(3)
"""The kinds of content: elements of a data set or an item, items of a sequence, fragments of a value."""


class Level:
    """An open sequence, item or run of fragments, or the data set itself."""

    __slots__ = ("bound", "end", "guess", "implicit", "kind", "mixed")

    def __init__(self, kind: int, end: int | None, bound: int, *, implicit: bool, mixed: bool = False) -> None:
        self.kind = kind
        self.end = end
        """The position where it ends; None if a delimiter ends it."""
        self.bound = bound
        """The position where it, or the nearest level around it, ends at the latest."""
        self.implicit = implicit
        self.mixed = mixed
        """It is a UN in explicit VR: its items are in implicit VR, or in explicit VR if their writer erred
        [PS3.5 6.2.2]."""
        self.guess = False
        """The first element shows which of the two it is."""


class Tokens:
    """The methods that a walk calls."""

    __slots__ = ()

    def vr_of(self, tag: int, vr: bytes | None) -> bytes:
        """Returns the value representation of an element that has none (`vr` is None) or has UN.

        SQ makes it a sequence, whose items are walked over.
        """
        return b"UN"

    def element(self, tag: int, vr: bytes | None, known: bytes, data: Buffer, at: int, length: int) -> None:
        """An element whose value has `length` bytes and begins at `data[at]`; `value` gets the bytes beyond `data`.

        `vr` is the written one, None in implicit VR; `known` is the result of `vr_of` if it was called, otherwise `vr`.
        A value of up to `WHOLE` bytes is completely in `data`.
        """

    def value(self, piece: Buffer, left: int) -> None:
        """The next bytes of the value of the last element or fragment, of which `left` bytes are still to come."""

    def opened(self, kind: int, tag: int, vr: bytes | None, at: int, length: int, *, implicit: bool) -> None:
        """A sequence (ITEMS), an item (ELEMENTS) or a run of fragments (FRAGMENTS), whose content begins at `at`.

        `implicit`: its elements are in implicit VR.
        """

    def fragment(self, data: Buffer, at: int, length: int) -> None:
        """One of a run of fragments; its bytes are passed like those of an element."""

    def closed(self, kind: int, at: int) -> None:
        """The innermost open sequence, item or run of fragments ends at `at`."""
