"""Pixel data compressed, decompressed or compressed in another way while a data set streams, frame by frame.

Theory of operation: a `PixelTranscoder` takes a data set in pieces of any size and gives a sequence of `Item`s: bytes,
and `FrameWork`, a frame that is still to be encoded or decoded. The result of `FrameWork.run` takes its place. So the
work may be done anywhere, in any order, by as many threads as there are; `one_by_one` does it in place, and
`dicos_transports.files.coding` in threads.

    data set --feed--> header, item table, [frame 1], [frame 2], ..., end --run--> data set

Frames in fragments begin as the basic offset table says; where that is empty, a frame of JPEG begins with its first
marker, and one of RLE is one fragment [PS3.5 A.4]. Encoded frames get a fragment each after an empty table, as pyDICOS
writes them. The attributes of the image stay as they are: the codecs are lossless.

Knows: where the frames are in a data set. Must not know: how a frame is encoded (`codecs`), threads, files. Invariants:
memory is one frame and one piece, besides the items that the caller keeps; a frame is gathered only as it arrives, and
up to the size that its attributes allow; frames come in order, and as many as Number of Frames says.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ..data.deflated import Inflater
from ..data.elements import LONGEST, PIXEL_DATA, SEQUENCE_END, UNDEFINED, encoding, shown
from ..data.rewriter import EXPLICIT, Rewriter, dictionary
from ..data.tokens import FRAGMENTS, WHOLE
from ..data.transcode import CHUNK, CONVERTIBLE
from ..limits import Limits
from ..registry import uids
from ..wire import Buffer
from . import codecs
from .codecs import CodecError, FrameLayout
from .fragments import Frames
from .image import WANTED, Image

__all__ = ["MOST", "FrameWork", "Item", "PixelTranscoder", "can_transcode", "one_by_one"]

MOST: Final = 1 << 28
"""Default limit on the bytes of a native frame. Stops: memory that grows with the rows and columns of a header."""

_STRICT: Final = Limits()
_OTHER, _NATIVE, _TABLE, _FRAGMENT = range(4)
"""The value whose bytes arrive: any other than pixel data, native pixel data, the basic offset table, a fragment."""
_OTHER_PIXELS: Final = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00011, 0x7FE00012, 0x7FE00013))
"""Pixel data of floating point numbers, and of integers of 32 and 64 bits: no codec is for them."""
_OFFSETS: Final = frozenset((0x7FE00001, 0x7FE00002, 0x7FE00003))
"""The extended offset table, its lengths, and the total length of the fragments [PS3.3 C.7.6.3]."""
_ITEM_HEADER: Final = struct.Struct("<HHL").pack


def can_transcode(from_ts: str, to_ts: str) -> bool:
    """Returns True if the pixel data of a data set in `from_ts` is encoded otherwise in `to_ts`, and can be.

    >>> can_transcode("1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2")
    True
    """
    source, target = from_ts in codecs.DECODED, to_ts in codecs.ENCODED
    native = to_ts in CONVERTIBLE and to_ts != uids.DEFLATED_EXPLICIT_VR_LE
    return from_ts != to_ts and ((source and (native or target)) or (target and from_ts in CONVERTIBLE))


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameWork:
    """A frame that is to be decoded, encoded, or both. It is a value: `run` may be called in any thread."""

    number: int
    """The number of the frame in its data set, from 1."""
    frame: Buffer = field(repr=False)
    layout: FrameLayout
    from_ts: str
    """The transfer syntax in which it is encoded; "" for a native frame."""
    to_ts: str
    """The transfer syntax in which it is to be encoded; "" for a native frame."""

    def run(self) -> tuple[Buffer, ...]:
        """Returns the bytes that stand in its place. Raises `CodecError`."""
        frame = self.frame
        try:
            if self.from_ts:
                frame = codecs.decode(frame, self.layout, self.from_ts)
            if not self.to_ts:
                return (frame,)
            frame = codecs.encode(frame, self.layout, self.to_ts)
        except CodecError as fault:
            raise CodecError(f"frame {self.number}: {fault}") from None
        return _ITEM_HEADER(0xFFFE, 0xE000, len(frame)), frame


Item: TypeAlias = Buffer | FrameWork


def one_by_one(items: Iterable[Item]) -> Iterator[Buffer]:
    """Yields the bytes of the items, each frame encoded or decoded when its turn comes. Raises `CodecError`."""
    for item in items:
        if isinstance(item, FrameWork):
            yield from item.run()
        else:
            yield item


class PixelTranscoder:
    """Converts a data set to a transfer syntax in which its pixel data is encoded otherwise: feed it, and finish it.

    `sop_class_uid` chooses DICOS's VRs where they differ from DICOM's; `signed`: what Pixel Representation says, for
    elements of implicit VR that come before it; `most`: the limit on the bytes of a frame. `limits` bounds what is
    inflated and the nesting. Raises ValueError unless `can_transcode`.
    """

    __slots__ = ("_inflater", "_pixels")

    def __init__(
        self,
        from_ts: str,
        to_ts: str,
        *,
        sop_class_uid: str = "",
        signed: bool = False,
        limits: Limits = _STRICT,
        most: int = MOST,
    ) -> None:
        if not can_transcode(from_ts, to_ts):
            raise ValueError(f"pixel data in {uids.name_of(from_ts)} cannot be converted to {uids.name_of(to_ts)}")
        self._inflater: Inflater | None = None
        if from_ts == uids.DEFLATED_EXPLICIT_VR_LE:
            self._inflater = Inflater(limits, most=limits.inflate_bytes, limit="inflate_bytes")
        self._pixels = _Pixels(from_ts, to_ts, sop_class_uid, signed=signed, limits=limits, most=most)

    def feed(self, data: Buffer) -> Iterator[Item]:
        """Yields what the next bytes make; take all of it before you feed more. Raises `DataSetError`.

        The memory of `data` may be reused then.
        """
        pieces = (data,) if self._inflater is None else self._inflater.feed(data, CHUNK)
        for piece in pieces:
            for at in range(0, len(piece), CHUNK):
                self._pixels.feed(piece[at : at + CHUNK] if len(piece) > CHUNK else piece)
                yield from self._pixels.items(CHUNK)

    def finish(self) -> Iterator[Item]:
        """Yields the rest. Raises `DataSetError` if something is cut short or missing."""
        if self._inflater is not None:
            self._inflater.finish()
        self._pixels.finish()
        yield from self._pixels.items(1)


class _Pixels(Rewriter):
    """Writes a data set again, its pixel data as frames, in their order."""

    __slots__ = (
        "_done", "_frame", "_from", "_image", "_items", "_joined", "_layout", "_most", "_state", "_target",
        "_to",
    )  # fmt: skip

    def __init__(
        self, from_ts: str, to_ts: str, sop_class_uid: str, *, signed: bool, limits: Limits, most: int
    ) -> None:
        source, target = encoding(from_ts) or EXPLICIT, encoding(to_ts) or EXPLICIT
        super().__init__(
            source=source,
            target=target,
            limits=limits,
            vr_of_tag=dictionary(sop_class_uid) if source.implicit else None,
            signed=signed,
        )
        self._from = from_ts if from_ts in codecs.DECODED else ""
        self._to = to_ts if to_ts in codecs.ENCODED else ""
        self._target = target
        self._most = most
        self._image = Image()
        self._layout: FrameLayout | None = None
        self._state = _OTHER
        self._frame = bytearray()
        """The bytes of a native frame, or of the offset table, so far."""
        self._done = 0
        """Frames so far."""
        self._joined = Frames(1, most=0, single=True)
        self._items: list[Item] = []

    def items(self, least: int) -> Iterator[Item]:
        """Takes the frames, and the written bytes if there are at least `least` of them."""
        items, self._items = self._items, []
        yield from items
        if len(self.out) >= least:
            yield self.taken()

    def element(self, tag: int, vr: bytes | None, known: bytes, data: Buffer, at: int, length: int) -> None:
        if not self._nested:
            if tag in WANTED and length <= WHOLE:
                try:
                    self._image.note(tag, known, bytes(data[at : at + length]))
                except CodecError as fault:
                    raise self.fault(str(fault), at) from None
            elif tag in _OFFSETS and self._from:
                self._image.single = True
                self._skipped = at + length > len(data)
                return
            elif tag in _OTHER_PIXELS and self._to:
                raise self.fault(f"{shown(tag)} cannot be compressed: its pixels are no integers of 8 or 16 bits", at)
            elif tag == PIXEL_DATA and not self._from:
                self._native(data[at : at + length], at, length)
                return
        super().element(tag, vr, known, data, at, length)

    def value(self, piece: Buffer, left: int) -> None:
        if self._state == _OTHER:
            super().value(piece, left)
        elif self._state == _NATIVE:
            self._take_native(piece, left)
        else:
            self._take_fragment(piece, left)

    def _described(self, at: int) -> FrameLayout:
        """The layout by the attributes that came before the pixel data."""
        try:
            layout = self._image.layout()
        except CodecError as fault:
            raise self.fault(str(fault), at) from None
        if layout.size > self._most:
            raise self.fault(f"frames of {layout.size} bytes; {self._most} are allowed (limit most)", at)
        self._layout = layout
        return layout

    def _add(self, layout: FrameLayout, frame: Buffer) -> None:
        """Adds a frame after what is written."""
        if self.out:
            self._items.append(self.taken())
        self._done += 1
        self._items.append(FrameWork(number=self._done, frame=frame, layout=layout, from_ts=self._from, to_ts=self._to))

    # -- native pixel data, to be encoded ------------------------------------------------------------------------------

    def _native(self, there: Buffer, at: int, length: int) -> None:
        total = self._described(at).size * self._image.frames
        if length not in (total, total + total % 2):
            raise self.fault(f"{length} bytes of pixel data; {self._image.frames} frames have {total}", at)
        self._open_fragments()
        self._state = _NATIVE
        self._take_native(there, length - len(there))

    def _open_fragments(self) -> None:
        self.out += self._long_header(PIXEL_DATA >> 16, PIXEL_DATA & 0xFFFF, b"OB", UNDEFINED)
        self.out += _ITEM_HEADER(0xFFFE, 0xE000, 0)

    def _take_native(self, piece: Buffer, left: int) -> None:
        layout = self._layout
        at = 0
        while layout is not None and at < len(piece) and self._done < self._image.frames:
            part = piece[at : at + layout.size - len(self._frame)]
            at += len(part)
            self._frame += part
            if len(self._frame) == layout.size:
                frame, self._frame = self._frame, bytearray()
                self._add(layout, frame)
        if not left:
            self._end_fragments()

    def _end_fragments(self) -> None:
        self._state = _OTHER
        self.out += self._bare(SEQUENCE_END >> 16, SEQUENCE_END & 0xFFFF, 0)

    # -- fragments, to be decoded --------------------------------------------------------------------------------------

    def opened(self, kind: int, tag: int, vr: bytes | None, at: int, length: int, *, implicit: bool) -> None:
        if kind != FRAGMENTS or tag != PIXEL_DATA or self._nested > 1 or not self._from:
            super().opened(kind, tag, vr, at, length, implicit=implicit)
            return
        layout = self._described(at)
        frames = self._image.frames
        single = self._image.single or self._from == uids.RLE_LOSSLESS
        self._joined = Frames(frames, most=codecs.most_encoded(layout), single=single)
        self._state = _TABLE
        if self._to:
            self._open_fragments()
            return
        size = layout.size * frames
        size += size % 2
        vr = b"OW" if layout.bits_allocated == 16 else b"OB"
        if self._target.extended:
            self.out += self._extended_headers[vr](PIXEL_DATA >> 16, PIXEL_DATA & 0xFFFF, vr, size)
        elif size > LONGEST:
            raise self.fault(f"{size} bytes of pixel data; the transfer syntax has room for {LONGEST} of them", at)
        elif self._target.implicit:
            self.out += self._bare(PIXEL_DATA >> 16, PIXEL_DATA & 0xFFFF, size)
        else:
            self.out += self._long_header(PIXEL_DATA >> 16, PIXEL_DATA & 0xFFFF, vr, size)

    def fragment(self, data: Buffer, at: int, length: int) -> None:
        there = data[at : at + length]
        try:
            if self._state == _FRAGMENT:
                self._frame_ends(self._joined.begin(length))
            else:
                self._joined.check_table(length)
        except CodecError as fault:
            raise self.fault(str(fault), at) from None
        self._take_fragment(there, length - len(there))

    def _take_fragment(self, piece: Buffer, left: int) -> None:
        try:
            if self._state == _FRAGMENT:
                self._joined.take(piece)
                if not left:
                    self._frame_ends(self._joined.end())
                return
            self._frame += piece
            if not left:
                self._joined.table(self._frame)
                self._state = _FRAGMENT
        except CodecError as fault:
            raise self.fault(str(fault)) from None

    def _frame_ends(self, frame: bytes | None) -> None:
        if frame is not None and self._layout is not None:
            self._add(self._layout, frame)

    def closed(self, kind: int, at: int) -> None:
        if kind != FRAGMENTS or self._layout is None:
            super().closed(kind, at)
            return
        try:
            self._frame_ends(self._joined.finish())
        except CodecError as fault:
            raise self.fault(str(fault), at) from None
        if self._to:
            self._end_fragments()
        elif self._layout.size * self._image.frames % 2:
            self.out += b"\0"
        self._state = _OTHER
