"""Writes a data set again while it is walked over, in another form of explicit or implicit VR.

Knows: how headers are written [PS3.5 7.1], sequences [PS3.5 7.5]; for implicit to explicit also the data dictionary,
which is pydicom's and is imported then and only then. Must not know: where the bytes come from and go to. Invariants:
memory is what was written and not yet taken, and one entry for each level of nesting. Values are never decoded, so that
text in the wrong character set or a malformed number is passed on unchanged. Sequences and items get undefined length,
the other of the two legal forms [PS3.5 7.5.1, 7.5.2], because their length is known only after them. Group lengths,
retired [PS3.5 7.2], are left out: they would be wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from ..limits import Limits
from ..wire import Buffer
from .elements import (
    EXTENDED_HEADERS,
    ITEM,
    ITEM_END,
    LONG_VRS,
    LONGEST,
    PADDED_WITH_SPACE,
    PIXEL_REPRESENTATION,
    SEQUENCE_END,
    SHORT_VRS,
    UNDEFINED,
    Encoding,
    is_creator,
    shown,
)
from .tokens import ELEMENTS, FRAGMENTS, WHOLE
from .walker import Walker

__all__ = ["DICOS_PREFIX", "DICOS_VRS", "EXPLICIT", "Rewriter", "Scope", "VROf", "dictionary", "says_signed"]

DICOS_PREFIX: Final = "1.2.840.10008.5.1.4.1.1.501."
DICOS_VRS: Final = {
    0x00080118: b"CS",
    0x00082108: b"CS",
    0x00280008: b"US",
    0x40101075: b"FD",
    0x40101080: b"DT",
    0x40101081: b"DT",
    0x40101082: b"FL",
    0x43000902: b"FL",
    0x7FE00011: b"OL",
    0x7FE00012: b"OD",
    0x7FE00013: b"OF",
}
"""The elements for which a DICOS object means another VR than DICOM's dictionary has, or DICOM's has none."""

_LAYOUTS: Final = {
    little: tuple(Struct(order + layout).pack for layout in ("HHI", "HH2sH", "HH2s2xI"))
    for little, order in ((True, "<"), (False, ">"))
}
"""The layouts of a header: without VR, with 16 bits of length, with 32."""
_EXTENDED: Final = {vr: Struct("<HH2sQ" if size == 14 else "<HH2s2xQ").pack for vr, size in EXTENDED_HEADERS.items()}
"""The layouts of a header with 64 bits of length."""
EXPLICIT: Final = Encoding(implicit=False, little=True, deflated=False)
"""The encoding of all transfer syntaxes that are not known here [PS3.5 A.4]."""


@dataclass(slots=True)
class Scope:
    """The elements of a data set or an item that decide the VR of others in it."""

    signed: bool = False
    """Pixel Representation: the meaning of "US or SS"."""
    creators: dict[int, str] = field(default_factory=dict)
    """Private creators by their tags."""


VROf = Callable[[int, Scope], bytes]


class Rewriter(Walker):
    """Writes a data set again while it walks over it: each header in the other form, each value of even length.

    `source`, `target`: how it is encoded, and how it is written. `vr_of_tag` names the VRs of elements in implicit VR;
    without it they are UN, and their sequences of defined length are copied. `fragments`: encapsulated values are
    copied; by default they are refused.
    The written bytes are in `out`, which the caller takes with `taken`.
    """

    __slots__ = (
        "_bare", "_extended_headers", "_fragments_pass", "_long_header", "_padding", "_scopes", "_short_header",
        "_skipped", "_to_explicit", "_vr_of_tag", "out",
    )  # fmt: skip

    def __init__(
        self,
        *,
        source: Encoding,
        target: Encoding,
        limits: Limits,
        vr_of_tag: VROf | None = None,
        signed: bool = False,
        fragments: bool = False,
    ) -> None:
        implicit, little, _, extended = source
        super().__init__(implicit=implicit, little=little, limits=limits, tokens=True, extended=extended)
        self._bare, self._short_header, self._long_header = _LAYOUTS[little]
        self._to_explicit = not target.implicit
        self._extended_headers = _EXTENDED if target.extended else {}
        self._vr_of_tag = vr_of_tag
        self._fragments_pass = fragments
        self._scopes = [Scope(signed)]
        self._padding = b""
        """Comes after the value whose bytes are still arriving."""
        self._skipped = False
        """True if that value is left out."""
        self.out = bytearray()

    def taken(self) -> bytearray:
        """Returns the written bytes, and clears `out`."""
        out, self.out = self.out, bytearray()
        return out

    def vr_of(self, tag: int, vr: bytes | None) -> bytes:
        return b"UN" if vr is not None or self._vr_of_tag is None else self._vr_of_tag(tag, self._scopes[-1])

    def element(self, tag: int, vr: bytes | None, known: bytes, data: Buffer, at: int, length: int) -> None:
        end = at + length
        if not tag & 0xFFFF:  # a group length
            self._skipped = end > len(data)
            return
        short, odd = known in SHORT_VRS, length & 1
        if not short and known not in LONG_VRS:
            raise self.fault(f"{shown(tag)} has the unknown VR {known!r}", at)
        out, size = self.out, length + odd
        if known in self._extended_headers:
            out += self._extended_headers[known](tag >> 16, tag & 0xFFFF, known, size)
        elif size > LONGEST:
            raise self.fault(f"{shown(tag)} has {length} bytes; the transfer syntax has room for {LONGEST} of them", at)
        elif not self._to_explicit:
            out += self._bare(tag >> 16, tag & 0xFFFF, size)
        elif short and size <= 0xFFFF:
            out += self._short_header(tag >> 16, tag & 0xFFFF, known, size)
        else:  # A value too long for the 16 bits of its VR is written as UN.  # PS3.5 6.2.2
            out += self._long_header(tag >> 16, tag & 0xFFFF, b"UN" if short else known, size)
        out += data[at:end]
        if vr is None and length <= WHOLE:
            self._remember(tag, data, at, end)
        if odd:
            pad = b" " if known in PADDED_WITH_SPACE else b"\0"
            if end > len(data):
                self._padding = pad
            else:
                out += pad

    def value(self, piece: Buffer, left: int) -> None:
        if not self._skipped:
            self.out += piece
        if not left:
            self.out += self._padding
            self._padding, self._skipped = b"", False

    def opened(self, kind: int, tag: int, vr: bytes | None, at: int, length: int, *, implicit: bool) -> None:
        group, element = tag >> 16, tag & 0xFFFF
        if kind == ELEMENTS:
            self._scopes.append(Scope(self._scopes[-1].signed))
            self.out += self._bare(group, element, UNDEFINED)
            return
        if kind == FRAGMENTS and not self._fragments_pass:
            raise self.fault(f"{shown(tag)} is encapsulated, which the transfer syntax does not allow", at)
        if self._to_explicit:
            self.out += self._long_header(group, element, (vr or b"OB") if kind == FRAGMENTS else b"SQ", UNDEFINED)
        else:
            self.out += self._bare(group, element, UNDEFINED)

    def fragment(self, data: Buffer, at: int, length: int) -> None:
        self.out += self._bare(ITEM >> 16, ITEM & 0xFFFF, length)
        self.out += data[at : at + length]

    def closed(self, kind: int, at: int) -> None:
        if kind == ELEMENTS:
            self._scopes.pop()
        tag = ITEM_END if kind == ELEMENTS else SEQUENCE_END
        self.out += self._bare(tag >> 16, tag & 0xFFFF, 0)

    def _remember(self, tag: int, data: Buffer, at: int, end: int) -> None:
        """Remembers what later elements of the same item take their VR from."""
        if tag == PIXEL_REPRESENTATION:
            self._scopes[-1].signed = says_signed(data[at:end])
        elif is_creator(tag):
            self._scopes[-1].creators[tag] = bytes(data[at:end]).decode("ascii", "replace").strip("\0 ")


def dictionary(sop_class_uid: str) -> VROf:
    """Returns a function that returns the VR of a tag by pydicom's dictionary, by its private dictionaries, or `UN`
    [PS3.5 6.2.2]."""
    from pydicom.datadict import dictionary_VR, private_dictionary_VR

    special = DICOS_VRS if sop_class_uid.startswith(DICOS_PREFIX) else {}

    def vr_of(tag: int, scope: Scope) -> bytes:
        if tag in special:
            return special[tag]
        try:
            if not tag >> 16 & 1:
                return _unambiguous(dictionary_VR(tag), scope)
            if tag & 0xFFFF <= 0xFF:
                return b"LO" if is_creator(tag) else b"UN"  # PS3.5 7.8.1
            creator = scope.creators[tag >> 16 << 16 | (tag >> 8 & 0xFF)]
            return _unambiguous(private_dictionary_VR(tag, creator), scope)
        except KeyError:
            return b"UN"

    return vr_of


def _unambiguous(vr: str, scope: Scope) -> bytes:
    """Returns one VR where the dictionary offers several: the bytes of OB, OW and US are all the same here.

    PS3.5 A.1, A.2
    """
    if vr == "US or SS":
        return b"SS" if scope.signed else b"US"
    if vr.endswith("OW"):
        return b"OW"
    encoded = vr.encode("ascii")
    return encoded if encoded in SHORT_VRS or encoded in LONG_VRS else b"UN"


def says_signed(value: Buffer) -> bool:
    """Returns True for a Pixel Representation of 1; a single byte counts with the one that pads it."""
    return value in (b"\1\0", b"\1")
