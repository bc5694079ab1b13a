"""Converts data sets from one transfer syntax to another, as streams: rewrites headers and copies values unchanged.

Theory of operation: a `_Rewriter` is a `Walker` that writes each token again as it meets it. `convert` and `padded`
feed it what an iterator yields, and yield what it wrote.

Knows: how headers are written [PS3.5 7.1], sequences [PS3.5 7.5]; for implicit to explicit also the data dictionary,
which is pydicom's and is imported then and only then. Must not know: files. Bytes come from an iterator, and a fault in
them is a `TranscodeError`, which the caller that opened the file turns into its own.

Invariants: memory is two or three pieces and one entry for each level of nesting, for any lengths in the data. Values
are never decoded, so that text in the wrong character set or a malformed number is passed on unchanged. Sequences and
items get undefined length, the other of the two legal forms [PS3.5 7.5.1, 7.5.2], because their length is known only
after them. Group lengths, retired [PS3.5 7.2], are left out: they would be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from ..limits import Limits
from ..registry.uids import DEFLATED_EXPLICIT_VR_LE, DICOS_EXPLICIT_VR_LE_EXTENDED, EXPLICIT_VR_LE, IMPLICIT_VR_LE
from ..wire import Buffer
from .deflated import Inflater, deflate
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
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    UNDEFINED,
    DataSetError,
    Encoding,
    encoding,
    is_creator,
    shown,
)
from .tokens import ELEMENTS, FRAGMENTS, WHOLE
from .walker import Walker

__all__ = [
    "CHUNK", "CONVERTIBLE", "DICOS_PREFIX", "DICOS_VRS", "SMALL", "Scope", "TranscodeError", "VROf",
    "can_convert", "convert", "deflate", "dictionary", "inflate", "padded", "sop_uids",
]  # fmt: skip

CONVERTIBLE: Final = (EXPLICIT_VR_LE, IMPLICIT_VR_LE, DEFLATED_EXPLICIT_VR_LE, DICOS_EXPLICIT_VR_LE_EXTENDED)
"""Transfer syntaxes among which a data set is converted; the encoded values are the same in all of them."""
CHUNK: Final = 512 * 1024
"""Default size in bytes of the pieces that come out."""
SMALL: Final = 4096
"""Size in bytes of the pieces in which the beginning of a data set is read."""

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

_STRICT: Final = Limits()
_LAYOUTS: Final = {
    little: tuple(Struct(order + layout).pack for layout in ("HHI", "HH2sH", "HH2s2xI"))
    for little, order in ((True, "<"), (False, ">"))
}
"""The layouts of a header: without VR, with 16 bits of length, with 32."""
_EXTENDED: Final = {vr: Struct("<HH2sQ" if size == 14 else "<HH2s2xQ").pack for vr, size in EXTENDED_HEADERS.items()}
"""The layouts of a header with 64 bits of length."""
_EXPLICIT: Final = Encoding(implicit=False, little=True, deflated=False)
"""The encoding of all transfer syntaxes that are not known here [PS3.5 A.4]."""


class TranscodeError(Exception):
    """The bytes are not a data set in the given transfer syntax, or exceed a limit; the text says where."""


@dataclass(slots=True)
class Scope:
    """The elements of a data set or an item that decide the VR of others in it."""

    signed: bool = False
    """Pixel Representation: the meaning of "US or SS"."""
    creators: dict[int, str] = field(default_factory=dict)
    """Private creators by their tags."""


VROf = Callable[[int, Scope], bytes]


class _Rewriter(Walker):
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
            self._scopes[-1].signed = _says_signed(data[at:end])
        elif is_creator(tag):
            self._scopes[-1].creators[tag] = bytes(data[at:end]).decode("ascii", "replace").strip("\0 ")


class _Look(Walker):
    """Keeps the values of some elements of the data set itself, up to `WHOLE` bytes each."""

    __slots__ = ("_last", "_tags", "found", "passed")

    def __init__(self, transfer_syntax: str, tags: tuple[int, ...], limits: Limits) -> None:
        implicit, little, _, extended = encoding(transfer_syntax) or _EXPLICIT
        super().__init__(implicit=implicit, little=little, limits=limits, tokens=True, extended=extended)
        self._tags, self._last = tags, max(tags)
        self.found: dict[int, bytes] = {}
        self.passed = False
        """True once the last of them, or an element after it, was read."""

    def element(self, tag: int, vr: bytes | None, known: bytes, data: Buffer, at: int, length: int) -> None:
        if not self._nested and not self.passed:
            if tag in self._tags and length <= WHOLE:
                self.found[tag] = bytes(data[at : at + length])
            self.passed = tag >= self._last

    def opened(self, kind: int, tag: int, vr: bytes | None, at: int, length: int, *, implicit: bool) -> None:
        self.passed = self.passed or (self._nested == 1 and kind != ELEMENTS and tag >= self._last)


def can_convert(from_ts: str, to_ts: str) -> bool:
    """Returns True if a data set in `from_ts` can be converted to `to_ts`; always if they are the same."""
    return from_ts == to_ts or (from_ts in CONVERTIBLE and to_ts in CONVERTIBLE)


def convert(
    read: Callable[[], Generator[Buffer, None, None]],
    from_ts: str,
    to_ts: str,
    *,
    sop_class_uid: str = "",
    chunk: int = CHUNK,
    limits: Limits = _STRICT,
) -> Generator[Buffer, None, None]:
    """Yields the data set in `to_ts`, in pieces of about `chunk` bytes. Each call of `read` yields it from its start.

    `sop_class_uid` chooses DICOS's VRs where they differ from DICOM's. `can_convert` has to be True for the pair.
    `limits` bound the inflated bytes (`inflate_bytes`, `inflate_ratio`) and the nesting (`sequence_depth`). Explicit VR
    and deflated have the same encoding inside: between these the data set is checked and not rewritten, so a value of
    odd length stays odd. A value of more than 4,294,967,294 bytes has room in DICOS's extended explicit VR only.
    Raises `TranscodeError`, also for bytes that are not a data set, once it meets them.
    """
    with ExitStack() as readers:

        def decoded() -> Iterator[Buffer]:
            chunks = readers.enter_context(closing(read()))
            if from_ts != DEFLATED_EXPLICIT_VR_LE or from_ts == to_ts:
                return chunks
            return inflate(chunks, limits=limits, chunk=chunk)

        chunks = decoded()
        source, target = encoding(from_ts) or _EXPLICIT, encoding(to_ts) or _EXPLICIT
        implicit = source.implicit
        if from_ts != to_ts and source[:2] == target[:2] and not (source.extended or target.extended):
            chunks = _checked(chunks, Walker(implicit=False, little=True, limits=limits))
        elif from_ts != to_ts:
            rewriter = _Rewriter(
                source=source,
                target=target,
                limits=limits,
                vr_of_tag=dictionary(sop_class_uid) if implicit else None,
                signed=implicit and _is_signed(decoded(), limits),
            )
            chunks = _rewritten(chunks, rewriter, chunk)
        if to_ts == DEFLATED_EXPLICIT_VR_LE and from_ts != to_ts:
            chunks = deflate(chunks)
        yield from chunks


def padded(
    chunks: Iterable[Buffer], transfer_syntax: str, *, chunk: int = CHUNK, limits: Limits = _STRICT
) -> Iterator[Buffer]:
    """Yields the data set in the same transfer syntax, each value of an odd length made even: text by a space,
    everything else by a NUL [PS3.5 6.2, 7.1.1].

    Fragments of encapsulated values are copied unchanged. Not for deflated data sets. Raises `TranscodeError`.
    """
    same = encoding(transfer_syntax) or _EXPLICIT
    rewriter = _Rewriter(
        source=same,
        target=same,
        limits=limits,
        vr_of_tag=dictionary("") if same.implicit else None,
        fragments=True,
    )
    return _rewritten(chunks, rewriter, chunk)


def sop_uids(chunks: Iterable[Buffer], transfer_syntax: str, *, limits: Limits = _STRICT) -> tuple[str, str]:
    """Returns SOP class and instance UID from the data set itself, "" for one that is not there, and reads no further.

    This works for every transfer syntax: pixels, which may be compressed, come after (0008,0018). Raises
    `TranscodeError`.
    """
    if transfer_syntax == DEFLATED_EXPLICIT_VR_LE:
        chunks = inflate(chunks, limits=limits, chunk=SMALL)
    found = _looked_up(chunks, _Look(transfer_syntax, (SOP_CLASS_UID, SOP_INSTANCE_UID), limits))
    sop_class, sop_instance = (
        found.get(tag, b"").decode("ascii", "replace").rstrip("\0 ") for tag in (SOP_CLASS_UID, SOP_INSTANCE_UID)
    )
    return sop_class, sop_instance


def inflate(chunks: Iterable[Buffer], *, limits: Limits = _STRICT, chunk: int) -> Iterator[bytes]:
    """Yields the inflated data set, in pieces of at most `chunk` bytes; bytes after the end of the deflate stream are
    padding [PS3.5 A.5]. Raises `TranscodeError`."""
    inflater = Inflater(limits, most=limits.inflate_bytes, limit="inflate_bytes")
    try:
        for data in chunks:
            yield from inflater.feed(data, chunk)
        inflater.finish()
    except DataSetError as error:
        raise TranscodeError(str(error)) from error


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


def _is_signed(chunks: Iterable[Buffer], limits: Limits) -> bool:
    """Returns True if the implicit data set has signed pixels: elements before (0028,0103) need to know as well."""
    found = _looked_up(chunks, _Look(IMPLICIT_VR_LE, (PIXEL_REPRESENTATION,), limits))
    return _says_signed(found.get(PIXEL_REPRESENTATION, b""))


def _says_signed(value: Buffer) -> bool:
    """Returns True for a Pixel Representation of 1; a single byte counts with the one that pads it."""
    return value in (b"\1\0", b"\1")


def _looked_up(chunks: Iterable[Buffer], look: _Look) -> dict[int, bytes]:
    """Returns what `look` finds before it has passed all that it looks for. Faults after that are not its own."""
    try:
        for data in chunks:
            for at in range(0, len(data), SMALL):
                look.feed(data[at : at + SMALL])
                if look.passed:
                    return look.found
        look.finish()
    except DataSetError as error:
        if not look.passed:
            raise TranscodeError(str(error)) from error
    return look.found


def _checked(chunks: Iterable[Buffer], walker: Walker) -> Iterator[Buffer]:
    """Yields these unchanged, each after the walker has passed it."""
    try:
        for data in chunks:
            walker.feed(data)
            yield data
            del data  # its memory can be used for the next piece
        walker.finish()
    except DataSetError as error:
        raise TranscodeError(str(error)) from error


def _rewritten(chunks: Iterable[Buffer], rewriter: _Rewriter, chunk: int) -> Iterator[Buffer]:
    """Yields what the rewriter makes of these, in pieces of about `chunk` bytes."""
    try:
        for data in chunks:
            for at in range(0, len(data), chunk):
                rewriter.feed(data[at : at + chunk] if len(data) > chunk else data)
                if len(rewriter.out) >= chunk:
                    yield rewriter.taken()
        rewriter.finish()
    except DataSetError as error:
        raise TranscodeError(str(error)) from error
    if rewriter.out:
        yield rewriter.taken()
