"""The tokens of a walk over a data set: what `walker.Walker` meets, in order, as calls of the methods of a subclass.

Knows: the names of what is met. Must not know: how it is found. Invariants: each method does nothing here, so that a
subclass overrides those that it needs.

`at` is always an index into the piece that is walked over; `Walker.fault` makes the place in the data set of it.
"""

from __future__ import annotations

from typing import Final

from ..wire import Buffer

WHOLE: Final = 128
"""A value of up to this many bytes comes in one piece; a longer UID matches nothing."""
ELEMENTS, ITEMS, FRAGMENTS = range(3)
"""The content of what is open: elements of a data set or an item, items of a sequence, fragments of a value."""


class Tokens:
    """The methods that a walk calls."""

    __slots__ = ()

    def vr_of(self, tag: int, vr: bytes | None) -> bytes:
        """Returns the value representation of an element that does not say it (`vr` is None), or says UN.

        SQ makes it a sequence, whose items are walked over.
        """
        return b"UN"

    def element(self, tag: int, vr: bytes | None, known: bytes, data: Buffer, at: int, length: int) -> None:
        """An element whose value has `length` bytes and begins at `data[at]`; bytes beyond `data` come as `value`.

        `vr` is as it is written, None in implicit VR; `known` is the answer of `vr_of` where that is asked, else `vr`.
        A value of up to `WHOLE` bytes is all in `data`.
        """

    def value(self, piece: Buffer, left: int) -> None:
        """The next bytes of the value of the last element or fragment, of which `left` bytes are still to come."""

    def opened(self, kind: int, tag: int, vr: bytes | None, at: int, length: int, *, implicit: bool) -> None:
        """A sequence (ITEMS), an item (ELEMENTS) or a run of fragments (FRAGMENTS), whose content begins at `at`.

        `implicit`: its elements are in implicit VR.
        """

    def fragment(self, data: Buffer, at: int, length: int) -> None:
        """One of a run of fragments; its bytes come like those of an element."""

    def closed(self, kind: int, at: int) -> None:
        """The innermost of what is open ends at `at`."""
