"""Targets for data sets: the walk over them, the check of a C-STORE, conversion, inflation, and pydicom's objects.

Knows: which errors each documents, and what must not depend on how the bytes are cut. Must not know: associations.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from random import Random
from typing import Final

from dicos_proto.data import transcode
from dicos_proto.data.checker import Checker
from dicos_proto.data.datasets import convert, decode, decode_object, encode
from dicos_proto.data.deflated import Inflater
from dicos_proto.data.elements import LONG_VRS, SHORT_VRS, DataSetError
from dicos_proto.data.tokens import ELEMENTS, WHOLE
from dicos_proto.data.transcode import TranscodeError
from dicos_proto.data.walker import Walker
from dicos_proto.limits import Limits
from dicos_proto.registry import uids
from dicos_proto.tolerance import FIELD, STRICT, Judge
from dicos_proto.wire import Buffer

from ...grammar.reading import read_data_set
from ..contents import captured, data_sets
from ..tape import Bases, Tape, raw
from ..target import Bounds, Target, Watch, check
from .engines import chunks

__all__ = ["TARGETS"]

IMPLICIT, EXPLICIT, DEFLATED = uids.IMPLICIT_VR_LE, uids.EXPLICIT_VR_LE, uids.DEFLATED_EXPLICIT_VR_LE
BIG = uids.EXPLICIT_VR_BE
_SYNTAXES: Final = (EXPLICIT, IMPLICIT, BIG, DEFLATED)
_LIMITS: Final = (
    Limits(),
    Limits(
        sequence_depth=3, elements=20, items=6, values=30, object_elements=20, object_items=6, object_values=30,
        attributes=2000, collected=3000, character_sets=2, inflate_unjudged_bytes=500, inflate_bytes=4000,
        inflate_unjudged_elements=10, inflate_ratio=8,
    ),
)  # fmt: skip
_WORDS: Final = (
    b"\xfe\xff\x00\xe0\xff\xff\xff\xff",
    b"\xfe\xff\x00\xe0\0\0\0\0",
    b"\xfe\xff\x0d\xe0\0\0\0\0",
    b"\xfe\xff\xdd\xe0\0\0\0\0",
    b"\xff\xff\xff\xff",
    *(b"SQ\0\0", b"UN\0\0", b"OB\0\0", b"UT\0\0", b"UI", b"PN", b"DS", b"IS", b"DA", b"AT", b"US", b"??", b"\\"),
    b"\x08\0\x16\0",
    b"\x08\0\x18\0",
    b"\x08\0\x05\0",
    b"\xe0\x7f\x10\0",
    b"\x08\0\x00\0",
    b"ISO 2022 IR 87",
    b"ISO_IR 192",
    b"GB18030",
    b"\x1b$B",
    b"\x11\0\x10\0",
)

_EXPLICIT: Final = Bases(lambda: (*data_sets(), *captured("ct_exp")), read_data_set)
_IMPLICIT: Final = Bases(lambda: (*data_sets(implicit=True), *captured("ct_imp")), read_data_set)
_BIG: Final = Bases(lambda: data_sets(big=True), read_data_set)
_BASES: Final = (_EXPLICIT, _IMPLICIT, _BIG, _EXPLICIT)


def _content(tape: Tape, syntax: int) -> bytes:
    """The data set that the tape says, in the transfer syntax of this number."""
    given = _BASES[syntax].take(tape)
    return _deflated(given) if syntax == 3 else given


def _deflated(given: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(given) + packer.flush()


_VRS: Final = SHORT_VRS | LONG_VRS


# -- the walk ----------------------------------------------------------------------------------------------------


class _Recorder(Walker):
    """Keeps the tokens of a walk, with the pieces of long values joined."""

    __slots__ = ("tokens",)

    def __init__(self, *, implicit: bool, little: bool, limits: Limits, strict: bool, size: int | None) -> None:
        super().__init__(implicit=implicit, little=little, limits=limits, strict=strict, size=size, tokens=True)
        self.tokens: list[list[object]] = []

    def element(self, tag: int, vr: bytes | None, known: bytes, data: Buffer, at: int, length: int) -> None:
        value = bytes(data[at : at + length])
        check(length > WHOLE or len(value) == length, f"a value of {length} bytes in pieces")
        self.tokens.append([tag, vr, known, length, value])

    def value(self, piece: Buffer, left: int) -> None:
        before = self.tokens[-1][-1]
        if isinstance(before, bytes):
            self.tokens[-1][-1] = before + bytes(piece)

    def opened(self, kind: int, tag: int, vr: bytes | None, at: int, length: int, *, implicit: bool) -> None:
        self.tokens.append(["opened", kind, tag, vr, length, implicit])

    def fragment(self, data: Buffer, at: int, length: int) -> None:
        self.tokens.append(["fragment", length, bytes(data[at : at + length])])

    def closed(self, kind: int, at: int) -> None:
        self.tokens.append(["closed", kind])


def _walked(walker: Walker, pieces: Iterator[bytes]) -> str:
    try:
        for piece in pieces:
            walker.feed(piece)
        walker.finish()
    except DataSetError as fault:
        return str(fault)
    return ""


def _walk(data: bytes, watch: Watch) -> None:
    tape = Tape(data)
    first, how = tape.byte(), tape.byte()
    syntax = first & 3
    given = _BASES[syntax].take(tape)
    limits, strict = _LIMITS[first >> 2 & 1], bool(first & 8)
    size = len(given) if first & 16 else None
    implicit, little = syntax == 1, syntax != 2

    def record(how: int) -> tuple[str, _Recorder]:
        made = _Recorder(implicit=implicit, little=little, limits=limits, strict=strict, size=size)
        return _walked(made, chunks(given, how)), made

    fault, whole = record(0)
    if fault:
        watch.fault(DataSetError(fault))
    for token in whole.tokens:
        watch(token[0] if isinstance(token[0], str) else token[2] if token[2] in _VRS else token[1] in _VRS)
    check(whole.count <= len(given) // 8 + 1, f"{whole.count} elements in {len(given)} bytes")
    plain = Walker(implicit=implicit, little=little, limits=limits, strict=strict, size=size)
    said = _walked(plain, chunks(given, 0))
    watch(bool(said))
    if how & 7:
        again_fault, again = record(how)
        check(again_fault == fault, f"chunks change {fault!r} to {again_fault!r}")
        check(again.tokens == whole.tokens, "chunks change the tokens")
        cut = Walker(implicit=implicit, little=little, limits=limits, strict=strict, size=size)
        check(_walked(cut, chunks(given, how)) == said, "chunks change what a walk without tokens says")
        same = (cut.count, cut.seen, cut.odd_values) == (plain.count, plain.seen, plain.odd_values)
        check(bool(said) or same, "chunks change what a walk without tokens has counted")


# -- C-STORE -----------------------------------------------------------------------------------------------------

_CLASS, _INSTANCE = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4"


def _check(data: bytes, watch: Watch) -> None:
    tape = Tape(data)
    first, how = tape.byte(), tape.byte()
    syntax = first & 3
    given = _content(tape, syntax)
    limits = _LIMITS[first >> 2 & 1]

    def checked(how: int) -> tuple[str, tuple[str, ...]]:
        checker = Checker(_SYNTAXES[syntax], _CLASS, _INSTANCE, limits)
        try:
            for piece in chunks(given, how):
                checker.feed(piece)
            checker.finish()
        except DataSetError as fault:
            return str(fault), ()
        return "", checker.missing

    whole = checked(0)
    watch(whole[1])
    if whole[0]:
        watch.fault(DataSetError(whole[0]))
    if how & 7 and syntax != 3:  # what has arrived of a deflated one is judged piece by piece
        again = checked(how)
        check(again == whole, f"chunks change {whole} to {again}")


# -- pydicom -----------------------------------------------------------------------------------------------------


def _decode(data: bytes, watch: Watch) -> None:
    tape = Tape(data)
    first = tape.byte()
    syntax = first & 3
    given = _content(tape, syntax)
    judge = Judge(_LIMITS[first >> 2 & 1], FIELD if first & 8 else STRICT)
    composite = bool(first & 16)
    name = _SYNTAXES[syntax]
    try:
        found = decode_object(given, name, judge.limits) if composite else decode(given, name, judge)
        convert(found)
    except DataSetError as fault:
        watch.fault(fault)
        check(str(fault).isprintable(), f"a text that cannot be printed: {str(fault)!a}")
        return
    watch(tuple(one for one, _ in judge.untold))
    for one in list(found)[:8]:
        watch(one.VR)
    to = EXPLICIT if syntax == 3 and first & 32 else name  # in implicit VR, a wrong VR would be lost
    try:
        encoded = encode(found, to)
    except DataSetError as fault:
        watch.fault(fault)
        return
    if _has_odd_fragments(given, syntax):
        return  # pydicom makes the sum of all of them even: what it writes then cannot be read
    once = encode(convert(decode_object(encoded, to)), to)  # spaces around an invalid number are gone now
    check(encode(convert(decode_object(once, to)), to) == once, "an encoding that is not stable")
    watch("stable")


def _has_odd_fragments(given: bytes, syntax: int) -> bool:
    if syntax == 3:
        given = zlib.decompressobj(-zlib.MAX_WBITS).decompress(given)
    walker = Walker(implicit=syntax == 1, little=syntax != 2, limits=Limits())
    _walked(walker, iter([given]))
    return walker.odd_fragment is not None


# -- conversion --------------------------------------------------------------------------------------------------

_CONVERTIBLE: Final = (EXPLICIT, IMPLICIT, EXPLICIT, DEFLATED)


def _converted(given: bytes, source: str, to: str, how: int, limits: Limits, sop_class: str = "") -> bytes | str:
    def read() -> Generator[Buffer, None, None]:
        yield from chunks(given, how)

    try:
        return b"".join(transcode.convert(read, source, to, sop_class_uid=sop_class, limits=limits, chunk=1 << 12))
    except TranscodeError as fault:
        return str(fault)


def _transcode(data: bytes, watch: Watch) -> None:
    tape = Tape(data)
    first, how = tape.byte(), tape.byte()
    number = first & 3
    source, to = _CONVERTIBLE[number], _CONVERTIBLE[first >> 2 & 3]
    limits = _LIMITS[first >> 4 & 1]
    sop_class = f"{transcode.DICOS_PREFIX}1" if first & 32 else ""
    given = _content(tape, number if number != 2 else 0)
    whole = _converted(given, source, to, 0, limits, sop_class)
    if isinstance(whole, str):
        watch.fault(TranscodeError(whole))
    else:
        watch((source, to, len(whole).bit_length(), len(whole) - len(given) > 0))
        inside = len(zlib.decompress(given, -zlib.MAX_WBITS)) if source == DEFLATED and to != DEFLATED else len(given)
        check(len(whole) <= 4 * inside + 64, f"{inside} bytes become {len(whole)}")
        if to != source and (to != IMPLICIT or _named_as_known(given, source, sop_class)):
            _check_back(whole, source, to, sop_class, watch)
    if how & 7 and source != DEFLATED:
        again = _converted(given, source, to, how, limits, sop_class)
        check(again == whole, f"chunks change {whole!r:.200} to {again!r:.200}")
    for piece in (transcode.sop_uids, _padded):
        with suppress(TranscodeError):
            piece(iter([given]), source, limits=limits)


def _named_as_known(given: bytes, source: str, sop_class: str) -> bool:
    """Returns True if every element has the VR that its reader will assume in implicit VR, as far as it decides how
    the value is read: a sequence, fragments, or neither. Private elements count as others."""
    if source == DEFLATED:
        given = zlib.decompress(given, -zlib.MAX_WBITS)
    walker = _Recorder(implicit=False, little=True, limits=Limits(), strict=False, size=None)
    _walked(walker, iter([given]))
    vr_of = transcode.dictionary(sop_class)
    for token in walker.tokens:
        opened = token[0] == "opened" and token[1] != ELEMENTS
        tag = token[2] if opened else token[0]
        if isinstance(tag, int) and (tag >> 16 & 1 or (vr_of(tag, transcode.Scope()) == b"SQ") is not opened):
            return False
    return True


def _padded(given: Iterator[bytes], syntax: str, *, limits: Limits) -> None:
    if syntax == DEFLATED:
        return
    even = b"".join(transcode.padded(given, syntax, limits=limits))
    again = b"".join(transcode.padded(iter([even]), syntax, limits=Limits()))
    check(even == again, "a padded data set that is padded again")


def _check_back(made: bytes, source: str, to: str, sop_class: str, watch: Watch) -> None:
    """A data set that was converted once is converted back, and again, without a change."""
    back = _converted(made, to, source, 0, Limits(inflate_ratio=1 << 20), sop_class)
    if isinstance(back, str):
        check(False, f"{uids.name_of(to)} that was made cannot be read: {back}")
        return
    again = _converted(back, source, to, 0, Limits(inflate_ratio=1 << 20), sop_class)
    watch("back")
    check(again == made, f"{len(made)} bytes become others when they are converted back and again")


# -- inflation ---------------------------------------------------------------------------------------------------


def _inflate(data: bytes, watch: Watch) -> None:
    tape = Tape(data)
    first, how = tape.byte(), tape.byte()
    limits = _LIMITS[first & 1]
    given = _deflated(tape.rest()) if first & 2 else tape.rest()
    strict = bool(first & 4)

    def inflated(how: int) -> tuple[bytes, str]:
        inflater = Inflater(limits, most=limits.inflate_bytes, limit="inflate_bytes", strict=strict)
        found = bytearray()
        try:
            for piece in chunks(given, how):
                for part in inflater.feed(piece, 1000):
                    check(len(part) <= 1000, f"a piece of {len(part)} bytes")
                    found += part
            inflater.finish()
        except DataSetError as fault:
            return bytes(found), str(fault)
        return bytes(found), ""

    whole, fault = inflated(0)
    watch.fault(DataSetError(fault))
    watch(len(whole).bit_length())
    most = max(limits.inflate_unjudged_bytes, limits.inflate_ratio * len(given)) + 1000
    check(len(whole) <= min(most, limits.inflate_bytes + 1000), f"{len(given)} bytes were inflated to {len(whole)}")
    if how & 7 and not fault:
        check(inflated(how) == (whole, fault), "chunks change what is inflated")


# -- all ---------------------------------------------------------------------------------------------------------


def _tapes(*heads: bytes) -> list[bytes]:
    return [raw(head, one) for head in heads for one in _BASES[head[0] & 3].all]


def _made(second: bool, most: int) -> Callable[[Random], bytes]:
    def made(random: Random) -> bytes:
        first = random.randrange(most)
        head = bytes((first, random.randrange(256))) if second else bytes((first,))
        return raw(head, _BASES[first & 3].made(random))

    return made


def _grown(second: bool, most: int) -> Callable[[Random], bytes]:
    def grown(random: Random) -> bytes:
        first = random.randrange(most)
        return raw(bytes((first, 0)) if second else bytes((first,)), _BASES[first & 3].grown(random, 60_000))

    return grown


def _deflate_tapes() -> list[bytes]:
    plain = [b"\2\0" + one for one in data_sets()[:4]] + [b"\2\0" + bytes(3000), b"\3\3" + b"ab" * 900]
    return [*plain, *(b"\0\3" + _deflated(one) for one in (*data_sets()[:4], bytes(3000), b""))]


_BOUNDS: Final = Bounds(memory=1 << 20, memory_a_byte=200, time_a_byte=200)

TARGETS: Final = (
    Target(
        name="data-set-walk",
        about="the walk over a data set, in chunks of all sizes",
        body=_walk,
        seeds=lambda: _tapes(b"\0\3", b"\1\1", b"\2\3", b"\x18\2", b"\x0c\0", b"\x09\1"),
        made=_made(True, 32),
        grown=_grown(True, 4),
        words=_WORDS,
        share=2,
    ),
    Target(
        name="data-set-check",
        about="the check of the data set of a C-STORE while it arrives",
        body=_check,
        seeds=lambda: _tapes(b"\0\3", b"\1\1", b"\2\3", b"\3\3", b"\x07\0"),
        made=_made(True, 8),
        grown=_grown(True, 4),
        words=_WORDS,
    ),
    Target(
        name="data-set-decode",
        about="a data set as pydicom's, its values read, and encoded again",
        body=_decode,
        seeds=lambda: _tapes(b"\0", b"\1", b"\2", b"\3", b"\x10", b"\x0d"),
        made=_made(False, 64),
        grown=_grown(False, 20),
        words=_WORDS,
        bounds=Bounds(memory=2 << 20, memory_a_byte=1200, time=200_000, time_a_byte=500),
        share=2,
        longest=64 << 10,
    ),
    Target(
        name="transcode",
        about="the conversion of a data set to another transfer syntax, and back",
        body=_transcode,
        seeds=lambda: _tapes(b"\4\0", b"\1\3", b"\x0c\0", b"\x0d\3", b"\3\0", b"\x07\3", b"\x24\1"),
        made=_made(True, 64),
        grown=_grown(True, 16),
        words=_WORDS,
        bounds=_BOUNDS,
    ),
    Target(
        name="inflate",
        about="deflated data in pieces, with its limits",
        body=_inflate,
        seeds=_deflate_tapes,
        words=(bytes(200), b"\xff" * 60),
        bounds=Bounds(memory=4 << 20, memory_a_byte=400, time_a_byte=200),
    ),
)
