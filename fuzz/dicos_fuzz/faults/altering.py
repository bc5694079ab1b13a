"""The changes of single bytes on their way: some are dropped, some are others, some come twice.

Knows: bytes by their places, the ends of PDUs. Must not know: when a change begins.

Invariants: what is kept is bounded by `COPIES` times `WHOLE`; all changes together add at most `ADDED` bytes.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ADDED", "WHOLE", "Altering"]

WHOLE: Final = 1 << 18
"""Most bytes of a PDU that is changed as a whole, or repeated."""
ADDED: Final = 1 << 20
"""Most bytes that all faults of one direction add."""
PATCHES: Final = 64
"""Changes of bytes that are under way at a time."""
COPIES: Final = 8
"""Repetitions that are under way at a time."""


class _Copy:
    """Bytes that are to come twice. `left`: how many are still to be copied, None for those up to the end of a PDU."""

    __slots__ = ("data", "left", "number")

    def __init__(self, number: int, left: int | None) -> None:
        self.number = number
        self.left = left
        self.data = bytearray()


class Altering:
    """The changes of one direction that are under way."""

    def __init__(self) -> None:
        self._skip = 0
        self._skip_pdu = False
        self._patches: list[tuple[int, bytes, bool]] = []  # (place, bytes, XOR in place of replacing)
        self._copies: list[_Copy] = []
        self._complete: list[tuple[int, bytes]] = []
        self._added = 0

    @property
    def busy(self) -> bool:
        """True if the next bytes are changed."""
        return bool(self._skip or self._skip_pdu or self._patches or self._copies)

    # -- beginning -----------------------------------------------------------------------------------------------

    def drop(self, size: int | None) -> None:
        """The next bytes are dropped; None: those up to the end of the PDU."""
        if size is None:
            self._skip_pdu = True
        else:
            self._skip = max(self._skip, size)

    def copy(self, number: int, size: int | None) -> str:
        """The next bytes come twice, for the fault of this number. Returns why not, if they do not."""
        if len(self._copies) >= COPIES:
            return f"nothing: {COPIES} repetitions are under way"
        self._copies.append(_Copy(number, size))
        return ""

    def flip(self, at: int, bit: int) -> str:
        """A bit of the byte at this place is wrong. Returns why not, if it is not."""
        return self._patch(at, bytes((1 << bit,)), flips=True)

    def overwrite(self, at: int, data: bytes) -> str:
        """These bytes are in place of those at this place. Returns why not, if they are not."""
        return self._patch(at, data, flips=False)

    def _patch(self, at: int, data: bytes, *, flips: bool) -> str:
        if len(self._patches) >= PATCHES:
            return f"nothing: {PATCHES} changes are under way"
        self._patches.append((at, data, flips))
        return ""

    def may_add(self, size: int) -> str:
        """Counts bytes that are added. Returns why they may not be; an empty text if they may."""
        if self._added + size > ADDED:
            return f"nothing: {self._added} bytes were added, and at most {ADDED} may be"
        self._added += size
        return ""

    # -- passing -------------------------------------------------------------------------------------------------

    def steps(self, at: int) -> list[int]:
        """Returns numbers of bytes; with the bytes behind each of them, something changes."""
        found = [self._skip] if self._skip else []
        found += [one.left for one in self._copies if one.left is not None]
        found += [place + len(data) - at for place, data, _ in self._patches]
        return found

    def apply(self, data: memoryview, at: int, *, pdu_ends: bool) -> bytes | memoryview | None:
        """Returns bytes, changed; None if they are dropped. `at`: their place. `pdu_ends`: they are the last of a PDU.

        They are no more than the least of `steps`."""
        piece: bytes | memoryview | None = self._patched(data, at) if self._patches else data
        if self._skip or self._skip_pdu:
            self._skip = max(0, self._skip - len(data))
            piece = None
        if pdu_ends:
            self._skip_pdu = False
        if self._copies:
            self._note(piece, len(data), pdu_ends=pdu_ends)
        return piece

    def _patched(self, data: memoryview, at: int) -> bytes:
        """The bytes with the changes that concern them; those that are done are forgotten."""
        found, end = bytearray(data), at + len(data)
        for place, patch, flips in self._patches:
            for one in range(max(place, at), min(place + len(patch), end)):
                found[one - at] = patch[one - place] ^ (found[one - at] if flips else 0)
        self._patches = [one for one in self._patches if one[0] + len(one[1]) > end]
        return bytes(found)

    def _note(self, piece: bytes | memoryview | None, size: int, *, pdu_ends: bool) -> None:
        """Copies bytes that come twice."""
        going: list[_Copy] = []
        for one in self._copies:
            if piece is not None:
                one.data += piece
            if one.left is not None:
                one.left -= size
            if one.left == 0 or (one.left is None and pdu_ends):
                self._complete.append((one.number, bytes(one.data)))
            elif len(one.data) <= WHOLE:
                going.append(one)
        self._copies = going

    def take_copies(self) -> list[tuple[int, bytes]]:
        """Takes the bytes that come now for the second time, each with the number of its fault."""
        found, self._complete = self._complete, []
        return found

    def forget_pdus(self) -> None:
        """There are no PDUs any more."""
        self._skip_pdu = False
        self._copies = [one for one in self._copies if one.left is not None]
