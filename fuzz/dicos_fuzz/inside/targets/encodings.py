"""Targets for the extended explicit VR of DICOS, and for pixel data that is compressed and decompressed.

Knows: that every fault is a `DataSetError` or a `TranscodeError`, and that it does not depend on how the bytes are cut.
Must not know: files, connections. The codecs of `pixel-codecs` are a C library behind checks of the headers.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator
from contextlib import suppress
from random import Random
from typing import Final

from dicos_proto.data import Checker, DataSetError, TranscodeError, Walker, decode_object, encode, transcode
from dicos_proto.dicos import codecs
from dicos_proto.dicos.codecs import CodecError, FrameLayout
from dicos_proto.dicos.compressing import FrameWork, PixelTranscoder
from dicos_proto.limits import Limits
from dicos_proto.registry import uids
from dicos_proto.wire import Buffer

from ..contents import data_sets
from ..tape import Tape
from ..target import Bounds, Target, Watch, check
from .engines import chunks

__all__ = ["TARGETS"]

_EXPLICIT, _IMPLICIT, _DEFLATED = uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE, uids.DEFLATED_EXPLICIT_VR_LE
_EXTENDED, _JPEG, _RLE = uids.DICOS_EXPLICIT_VR_LE_EXTENDED, uids.JPEG_LOSSLESS_SV1, uids.RLE_LOSSLESS
_LIMITS: Final = Limits(inflate_bytes=1 << 20, object_elements=20_000, object_items=20_000, object_values=200_000)
_MOST: Final = 1 << 16


def _extended(given: bytes) -> bytes:
    """A data set in explicit VR, as far as it is one, with 64 bits of length."""

    def read() -> Generator[Buffer, None, None]:
        yield given

    made = bytearray()
    with suppress(TranscodeError):
        for piece in transcode.convert(read, _EXPLICIT, _EXTENDED):
            made += piece
    return bytes(made) or given


# -- 64 bits of length ---------------------------------------------------------------------------------------------


def _verdict(pieces: Iterator[bytes]) -> tuple[str, int | None]:
    walker = Walker(implicit=False, little=True, limits=_LIMITS, extended=True)
    checker = Checker(_EXTENDED, "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4", _LIMITS)
    said = ""
    try:
        for piece in pieces:
            walker.feed(piece)
            with suppress(DataSetError):
                checker.feed(piece)
        walker.finish()
    except DataSetError as fault:
        said = str(fault)
    return said, walker.large


def _walk(data: bytes, watch: Watch) -> None:
    tape = Tape(data)
    first, how = tape.byte(), tape.byte()
    given = tape.rest()
    said, large = _verdict(chunks(given, 0))
    watch.fault(DataSetError(said))
    check(large is None or not said.startswith("group"), "a large value and a fault of groups")
    if how & 7:
        check(_verdict(chunks(given, how)) == (said, large), "chunks change the verdict")
    try:
        found = decode_object(given, _EXTENDED, _LIMITS)
        encode(found, _EXTENDED)
    except DataSetError as fault:
        watch.fault(fault)
    to = (_EXPLICIT, _IMPLICIT, _DEFLATED)[first % 3]

    def read() -> Generator[Buffer, None, None]:
        yield from chunks(given, how)

    try:
        made = b"".join(transcode.convert(read, _EXTENDED, to, limits=_LIMITS))
    except TranscodeError as fault:
        watch.fault(fault)
        return
    check(to == _DEFLATED or len(made) <= 4 * len(given) + 64, f"{len(given)} bytes become {len(made)}")
    watch(("converted", to))


# -- pixel data ----------------------------------------------------------------------------------------------------


def _attributes(rows: int, columns: int, frames: int, bits: int) -> bytes:
    values = ((0x10, rows), (0x11, columns), (0x100, bits), (0x101, bits), (0x103, 0))
    head = struct.pack("<HH2sHH", 0x28, 8, b"US", 2, frames)
    return head + b"".join(struct.pack("<HH2sHH", 0x28, tag, b"US", 2, value) for tag, value in values)


def _pixels() -> list[bytes]:
    """Small images, native and in fragments."""
    made = []
    for rows, columns, frames, bits in ((3, 5, 2, 16), (1, 1, 1, 8), (4, 4, 3, 8)):
        layout = FrameLayout(rows=rows, columns=columns, bits_allocated=bits, bits_stored=bits)
        head, frame = _attributes(rows, columns, frames, bits), bytes(range(layout.size))
        native = frame * frames + bytes(len(frame) * frames % 2)
        made.append(head + struct.pack("<HH2s2xL", 0x7FE0, 0x10, b"OW", len(native)) + native)
        for syntax in codecs.ENCODED:
            one = codecs.encode(frame, layout, syntax)
            item = struct.pack("<HHL", 0xFFFE, 0xE000, len(one)) + one
            start = struct.pack("<HH2s2xL", 0x7FE0, 0x10, b"OB", 0xFFFFFFFF) + b"\xfe\xff\0\xe0\0\0\0\0"
            made.append(head + start + item * frames + b"\xfe\xff\xdd\xe0\0\0\0\0")
    return made


_WAYS: Final = ((_EXPLICIT, _JPEG), (_EXPLICIT, _RLE), (_JPEG, _EXPLICIT), (_RLE, _EXTENDED), (_JPEG, _RLE),
                (_RLE, _IMPLICIT), (_IMPLICIT, _JPEG), (_DEFLATED, _RLE))  # fmt: skip


def _transcoded(pieces: Iterator[bytes], way: tuple[str, str]) -> tuple[str, list[bytes]]:
    """The fault, and the frames and the bytes between them."""
    made: list[bytes] = [b""]
    try:
        transcoder = PixelTranscoder(*way, limits=_LIMITS, most=_MOST)
        for piece in pieces:
            _add(made, transcoder.feed(piece))
        _add(made, transcoder.finish())
    except DataSetError as fault:
        return str(fault).split(", before byte")[0], made
    return "", made


def _add(made: list[bytes], items: Iterator[Buffer | FrameWork]) -> None:
    for item in items:
        if isinstance(item, FrameWork):
            check(len(item.frame) <= codecs.most_encoded(item.layout), f"a frame of {len(item.frame)} bytes")
            made += [bytes(item.frame), b""]
        else:
            made[-1] += bytes(item)


def _stream(data: bytes, watch: Watch) -> None:
    tape = Tape(data)
    first, how = tape.byte(), tape.byte()
    given = tape.rest()
    way = _WAYS[first & 7]
    said, made = _transcoded(chunks(given, 0), way)
    watch.fault(DataSetError(said))
    watch((way, len(made)))
    check(sum(map(len, made)) <= 4 * len(given) + 128 or way[0] == _DEFLATED, "more bytes than there were")
    if how & 7 and not said and way[0] != _DEFLATED:
        check(_transcoded(chunks(given, how), way) == (said, made), "chunks change the frames")


def _codec(data: bytes, watch: Watch) -> None:
    tape = Tape(data)
    first, rows, columns, bits = tape.byte(), tape.byte(), tape.byte(), tape.byte()
    given = tape.rest()
    try:
        layout = FrameLayout(
            rows=rows, columns=columns, samples=3 if first & 4 else 1, bits_allocated=16 if first & 8 else 8,
            bits_stored=bits, signed=bool(first & 16), planar=bool(first & 32),
        )  # fmt: skip
        syntax = codecs.DECODED[first % 3]
        frame = codecs.decode(given, layout, syntax)
    except CodecError as fault:
        watch.fault(fault)
        check(str(fault).isprintable(), f"a text that cannot be printed: {str(fault)!a}")
        return
    watch((syntax, layout.samples, layout.bits_allocated))
    check(len(frame) == layout.size, f"a frame of {len(frame)} bytes where {layout.size} are to be")
    for again in codecs.ENCODED:
        back = codecs.decode(codecs.encode(frame, layout, again), layout, again)
        check(bytes(back) == bytes(frame), "a frame that does not come back")


def _codec_seeds() -> list[bytes]:
    made = []
    for first in range(0, 64):
        layout = FrameLayout(
            rows=4, columns=6, samples=3 if first & 4 else 1, bits_allocated=16 if first & 8 else 8,
            bits_stored=16 if first & 8 else 8, signed=bool(first & 16), planar=bool(first & 32),
        )  # fmt: skip
        syntax = codecs.DECODED[first % 3]
        frame = bytes(at % 251 for at in range(layout.size))
        encoded = codecs.encode(frame, layout, _RLE if syntax == _RLE else _JPEG)
        made.append(bytes((first, 4, 6, layout.bits_stored)) + encoded)
    return made


def _extended_seeds() -> list[bytes]:
    return [head + _extended(one) for head in (b"\0\3", b"\1\1", b"\2\0") for one in data_sets()]


def _stream_seeds() -> list[bytes]:
    return [bytes((way, how)) + one for one in _pixels() for way in range(8) for how in (0, 3)]


_LENGTHS: Final = tuple(
    struct.pack("<Q", one) for one in (0xFFFFFFFF, 1 << 32, (1 << 62) + 1, (1 << 64) - 1, 1 << 63, 16)
)
_BOUNDS: Final = Bounds(memory=4 << 20, memory_a_byte=1200, time=400_000, time_a_byte=900)

TARGETS: Final = (
    Target(
        name="data-set-extended",
        about="a data set in DICOS's extended explicit VR, with 64 bits of length: walked, decoded, converted",
        body=_walk,
        seeds=_extended_seeds,
        made=lambda random: bytes((random.randrange(256), random.randrange(256))) + _extended(_any(random)),
        words=(*_LENGTHS, b"OB\0\0", b"OW\0\0", b"OF\0\0", b"OL\0\0", b"OD", b"SQ\0\0\xff\xff\xff\xff", b"UN\0\0"),
        bounds=_BOUNDS,
    ),
    Target(
        name="pixels",
        about="pixel data in a data set, native and in fragments, cut into frames while it streams",
        body=_stream,
        seeds=_stream_seeds,
        words=(b"\xfe\xff\0\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xd8", b"\x28\0\x08\0IS\2\0"),
        bounds=_BOUNDS,
    ),
    Target(
        name="pixel-codecs",
        about="a frame of JPEG lossless or RLE, decoded, and encoded again",
        body=_codec,
        seeds=_codec_seeds,
        words=(b"\xff\xc3", b"\xff\xda", b"\xff\xd9", b"\xff\xc4", b"\xff\xdd", b"\x80", b"\2\0\0\0\x40\0\0\0"),
        bounds=Bounds(memory=8 << 20, memory_a_byte=1200, time=1_000_000, time_a_byte=900),
        longest=64 << 10,
    ),
)


def _any(random: Random) -> bytes:
    sets = data_sets()
    return sets[random.randrange(len(sets))]
