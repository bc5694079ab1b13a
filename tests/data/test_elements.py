"""The check of a data set while it arrives: accepted ones, refused ones, and the same verdict for any split."""

import gc
import struct
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicos_proto.data.checker import Checker, Mismatch
from dicos_proto.data.datasets import DataSetError, decode_object, encode
from dicos_proto.data.deflated import Inflater
from dicos_proto.data.elements import encoding
from dicos_proto.data.walker import Walker
from dicos_proto.limits import Limits
from dicos_proto.registry import status, uids
from tests.data.reference import Refused, walk

IMPLICIT, EXPLICIT, BIG, DEFLATED = (
    uids.IMPLICIT_VR_LE, uids.EXPLICIT_VR_LE, uids.EXPLICIT_VR_BE, uids.DEFLATED_EXPLICIT_VR_LE,
)  # fmt: skip
JPEG = uids.JPEG_BASELINE
CT = uids.CT_IMAGE_STORAGE
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
NAME, SEQUENCE, PIXELS, BLOB = 0x00100010, 0x00081140, 0x7FE00010, 0x00091001


def short(tag: int, vr: bytes, value: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value) if length is None else length) + value


def long(tag: int, vr: bytes, value: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr, 0, len(value) if length is None else length) + value


def bare(tag: int, value: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value) if length is None else length) + value


END, ENDED_ITEM = bare(SEQUENCE_END), bare(ITEM_END)
UIDS = short(0x00080016, b"UI", CT.encode() + b"\0") + short(0x00080018, b"UI", b"1.2.3\0")
BODY = UIDS + short(NAME, b"PN", b"DOE^J ")


def deflated(data: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return engine.compress(data) + engine.flush()


def verdict(pieces: list[bytes], syntax: str = EXPLICIT, limits: Limits | None = None) -> str | None:
    """Returns what is wrong with the object 1.2.3 in these pieces, None for nothing."""
    checker = Checker.of(syntax, CT, "1.2.3", limits)
    assert checker is not None
    try:
        for piece in pieces:
            checker.feed(piece)
        checker.finish()
    except DataSetError as error:
        return f"{error.store_status:04X} {error}"
    return None


def every_way(data: bytes, syntax: str = EXPLICIT, limits: Limits | None = None) -> str | None:
    """Returns the verdict, which is the same whole, byte by byte, and in pieces of other sizes and kinds."""
    found = verdict([data], syntax, limits)
    for size in (1, 2, 7, 13, 64):
        assert verdict([data[at : at + size] for at in range(0, len(data), size)], syntax, limits) == found, size
    view = memoryview(bytearray(data))
    assert verdict([view[:9], view[9:]], syntax, limits) == found  # type: ignore[list-item]
    return found


# -- what is one -------------------------------------------------------------------------------------------------------

GOOD = {
    "implicit": (IMPLICIT, bare(0x00080018, b"1.2.3\0") + bare(NAME, b"DOE^J ")),
    "explicit": (EXPLICIT, BODY),
    "deflated": (DEFLATED, deflated(BODY)),
    "deflated, with a NUL": (DEFLATED, deflated(BODY) + b"\0"),
    "deflated, with what gzip leaves": (DEFLATED, deflated(BODY) + b"\x12\x34\x56\x78\x9a\0\0\0"),
    "deflated, with zeros": (DEFLATED, deflated(BODY) + bytes(100)),
    "no UIDs": (EXPLICIT, short(NAME, b"PN", b"DOE^J ")),
    "empty UIDs": (EXPLICIT, short(0x00080016, b"UI") + short(0x00080018, b"UI") + short(NAME, b"PN")),
    "a UID padded with spaces": (EXPLICIT, short(0x00080018, b"UI", b" 1.2.3  ")),
    "a UID with leading zeros": (EXPLICIT, short(0x00080018, b"UI", b"1.02.003")),
    "the same UID twice": (EXPLICIT, UIDS + UIDS),
    "an odd length": (EXPLICIT, BODY + short(0x00100020, b"LO", b"abc")),
    "a number of three bytes": (EXPLICIT, BODY + short(0x00280010, b"US", b"abc")),
    "elements out of order": (EXPLICIT, short(NAME, b"PN") + UIDS),
    "padding": (EXPLICIT, BODY + long(0xFFFCFFFC, b"OB", bytes(500))),
    "a NUL after it": (EXPLICIT, BODY + b"\0"),
    "zeros after it": (EXPLICIT, BODY + bytes(7)),
    "a block of zeros after it": (EXPLICIT, BODY + bytes(8 + 512)),
    "a block of zeros after it, implicit": (IMPLICIT, bare(NAME, b"DOE^J ") + bytes(512)),
    "an unknown VR of 16 bits of length": (EXPLICIT, BODY + short(BLOB, b"XX", b"abcd")),
    "a VR of a later standard": (EXPLICIT, BODY + long(BLOB, b"XX", b"abcd") + short(0x00280010, b"US", b"ab")),
    "a long value in a VR of a later standard": (EXPLICIT, BODY + long(BLOB, b"XX", bytes(70_000))),
    "a sequence": (EXPLICIT, BODY + long(SEQUENCE, b"SQ", bare(ITEM, BODY) + bare(ITEM, b""))),
    "an empty sequence": (EXPLICIT, BODY + long(SEQUENCE, b"SQ")),
    "an empty sequence that ends": (EXPLICIT, BODY + long(SEQUENCE, b"SQ", END, UNDEFINED)),
    "other UIDs within a sequence": (
        EXPLICIT, BODY + long(SEQUENCE, b"SQ", bare(ITEM, short(0x00080018, b"UI", b"9.9 "))),
    ),
    "a sequence that ends": (
        EXPLICIT, long(SEQUENCE, b"SQ", bare(ITEM, BODY + ENDED_ITEM, UNDEFINED) + bare(ITEM, BODY) + END, UNDEFINED),
    ),
    "delimiters after lengths": (EXPLICIT, long(SEQUENCE, b"SQ", bare(ITEM, BODY + ENDED_ITEM) + END)),
    "a delimiter with a length": (
        EXPLICIT, long(SEQUENCE, b"SQ", bare(ITEM, BODY + bare(ITEM_END, b"", 4), UNDEFINED) + END, UNDEFINED),
    ),
    "an implicit sequence": (
        IMPLICIT, bare(SEQUENCE, bare(ITEM, bare(NAME, b"A ") + ENDED_ITEM, UNDEFINED) + END, UNDEFINED),
    ),
    "an implicit sequence with a length, unread": (IMPLICIT, bare(SEQUENCE, bare(ITEM, bare(NAME, b"A ")))),
    "implicit in UN": (
        EXPLICIT, long(BLOB, b"UN", bare(ITEM, bare(NAME, b"A "), 10) + END, UNDEFINED),
    ),
    "explicit in UN": (
        EXPLICIT,
        long(BLOB, b"UN", bare(ITEM, short(NAME, b"PN", b"A ") + ENDED_ITEM, UNDEFINED) + bare(ITEM) + END, UNDEFINED),
    ),
    "an unread UN": (EXPLICIT, BODY + long(BLOB, b"UN", b"anything")),
    "fragments": (JPEG, BODY + long(PIXELS, b"OB", bare(ITEM) + bare(ITEM, b"abc") + END, UNDEFINED)),
    "implicit fragments": (IMPLICIT, bare(PIXELS, bare(ITEM) + bare(ITEM, b"ab") + END, UNDEFINED)),
    "fragments of something else": (JPEG, BODY + long(BLOB, b"OB", bare(ITEM, b"ab") + END, UNDEFINED)),
    "fragments in an item": (
        JPEG,
        long(SEQUENCE, b"SQ", bare(ITEM, long(PIXELS, b"OB", bare(ITEM, b"abcd") + END, UNDEFINED)), None),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("syntax", "data"), GOOD.values(), ids=GOOD)
def test_sloppiness_is_accepted(syntax: str, data: bytes) -> None:
    assert every_way(data, syntax) is None


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG, DEFLATED, JPEG, "1.2.840.10008.1.2.4.95"])
def test_each_transfer_syntax_is_known(syntax: str) -> None:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.PatientName = CT, "1.2.3", "DOE^J"
    dataset.ReferencedSeriesSequence = [Dataset(), Dataset()]
    dataset.Rows = 512
    data = encode(dataset, syntax)
    assert every_way(data, syntax) is None
    assert every_way(data[:-3], syntax) is not None
    dataset.SOPInstanceUID = "1.2.4"
    assert str(every_way(encode(dataset, syntax), syntax)).startswith("A900")


@pytest.mark.parametrize("syntax", ["1.2.840.113619.5.2", "1.2.840.10008.1.2.6.2"])
def test_what_is_not_known_is_not_checked(syntax: str) -> None:
    assert encoding(syntax) is None
    assert Checker.of(syntax, CT, "1.2.3") is None
    with pytest.raises(ValueError, match="cannot be checked"):
        Checker(syntax, CT, "1.2.3", Limits())


def test_missing_uids_are_named() -> None:
    checker = Checker(EXPLICIT, CT, "1.2.3", Limits())
    checker.feed(short(0x00080016, b"UI", CT.encode() + b"\0") + short(0x00080018, b"UI", b" \0"))
    checker.finish()
    assert checker.missing == ("(0008,0018)",)


# -- what is none ------------------------------------------------------------------------------------------------------

BAD = {
    "nothing": (EXPLICIT, b"", "C000 a data set without elements"),
    "nothing, deflated": (DEFLATED, deflated(b""), "C000 a data set without elements"),
    "zeros": (IMPLICIT, bytes(1000), "C000 group 0000, which is not allowed in a data set, before byte 0"),
    "zeros, explicit": (EXPLICIT, bytes(1000), "C000 group 0000, which is not allowed in a data set, before byte 0"),
    "zeros, and more": (EXPLICIT, BODY + bytes(100) + b"x", "C000 group 0000, which is not allowed in a data set"),
    "FF": (IMPLICIT, b"\xff" * 1000, "C000 group FFFF, which is not allowed in a data set"),
    "FF, explicit": (EXPLICIT, b"\xff" * 1000, "C000 no value representation where one is to be"),
    "text": (EXPLICIT, b"GET / HTTP/1.1\r\nHost: archive\r\n\r\n", "C000 no value representation where one is to be"),
    "text, implicit": (IMPLICIT, b"GET / HTTP/1.1\r\nHost: archive\r\n\r\n", "C000 cut short at byte"),
    "a file": (EXPLICIT, bytes(128) + b"DICM" + BODY, "C000 group 0000, which is not allowed in a data set"),
    "meta information": (EXPLICIT, short(0x00020010, b"UI", b"1.2 ") + BODY, "C000 group 0002, which"),
    "another encoding": (EXPLICIT, bare(NAME, b"DOE^J "), "C000 no value representation where one is to be"),
    "cut in a header": (EXPLICIT, BODY[:-9], "C000 an element header of 5 bytes, before byte"),
    "cut in a long header": (EXPLICIT, long(BLOB, b"OB", b"ab")[:10], "C000 an element header of 10 bytes"),
    "cut in a value": (EXPLICIT, BODY[:-1], "C000 cut short at byte 61: 1 bytes of a value are missing [PS3.5 7]"),
    "cut in a UID": (EXPLICIT, UIDS[:-1], "C000 cut short at byte 47: 1 bytes of a value are missing [PS3.5 7]"),
    "cut in a sequence": (
        EXPLICIT, long(SEQUENCE, b"SQ", bare(ITEM, BODY)), None,
    ),
    "a sequence that is not ended": (
        EXPLICIT, long(SEQUENCE, b"SQ", bare(ITEM, BODY), UNDEFINED), "C000 1 sequences and items that are not ended",
    ),
    "an item that is not ended": (
        EXPLICIT, long(SEQUENCE, b"SQ", bare(ITEM, BODY, UNDEFINED), UNDEFINED), "C000 2 sequences and items that are",
    ),
    "fragments that are not ended": (
        JPEG, BODY + long(PIXELS, b"OB", bare(ITEM, b"abcd"), UNDEFINED), "C000 1 sequences and items that are",
    ),
    "a fragment without length": (
        JPEG, long(PIXELS, b"OB", bare(ITEM, b"ab", UNDEFINED) + END, UNDEFINED), "C000 cut short at byte",
    ),
    "a value longer than its item": (
        EXPLICIT, long(SEQUENCE, b"SQ", bare(ITEM, short(NAME, b"PN", b"A ", 4))) + b"AB", "C000 a value of 4 bytes",
    ),
    "a header longer than its item": (
        EXPLICIT, long(SEQUENCE, b"SQ", bare(ITEM, b"abc")) + BODY, "C000 an element header of 3 bytes",
    ),
    "a long header longer than its item": (
        EXPLICIT, long(SEQUENCE, b"SQ", bare(ITEM, long(BLOB, b"OB")[:10])) + BODY, "C000 an element header that",
    ),
    "an item longer than its sequence": (
        EXPLICIT, long(SEQUENCE, b"SQ", bare(ITEM, b"", 8)) + bytes(8), "C000 a length of 8 with 0 bytes left",
    ),
    "a sequence longer than its item": (
        EXPLICIT,
        long(SEQUENCE, b"SQ", bare(ITEM, long(SEQUENCE, b"SQ", b"", 99))) + bytes(99),
        "C000 a length of 99 with 0 bytes left",
    ),
    "a fragment longer than its item": (
        JPEG,
        long(SEQUENCE, b"SQ", bare(ITEM, long(PIXELS, b"OB", bare(ITEM, b"", 99), UNDEFINED))) + bytes(99),
        "C000 a fragment of 99 bytes with 0 left",
    ),
    "a sequence that its item cuts": (
        EXPLICIT,
        long(SEQUENCE, b"SQ", bare(ITEM, long(SEQUENCE, b"SQ", b"", UNDEFINED))) + END,
        "C000 an element header of 0 bytes",
    ),
    "an item outside": (EXPLICIT, BODY + bare(ITEM), "C000 an item outside a sequence"),
    "an end of nothing": (EXPLICIT, BODY + END, "C000 a delimiter that delimits nothing"),
    "an end of an item in a sequence": (
        EXPLICIT, long(SEQUENCE, b"SQ", ENDED_ITEM, UNDEFINED), "C000 a delimiter that delimits nothing",
    ),
    "an end of a sequence in an item": (
        EXPLICIT, long(SEQUENCE, b"SQ", bare(ITEM, END, UNDEFINED), UNDEFINED), "C000 a delimiter that",
    ),
    "a delimiter nobody knows": (
        EXPLICIT, long(SEQUENCE, b"SQ", bare(0xFFFE0001), UNDEFINED), "C000 a delimiter that delimits nothing",
    ),
    "an element in a sequence": (
        EXPLICIT, long(SEQUENCE, b"SQ", short(NAME, b"PN"), UNDEFINED), "C000 an element where an item is to begin",
    ),
    "deflated garbage": (DEFLATED, b"\xff" * 8, "C000 a deflated data set that cannot be inflated"),
    "deflated and cut short": (DEFLATED, deflated(BODY)[:-4], "C000 a deflated data set that is cut short"),
    "deflated and more": (DEFLATED, deflated(BODY) + b"x" * 10, "C000 10 bytes after the end of a deflated data set"),
    "another instance": (EXPLICIT, short(0x00080018, b"UI", b"1.2.4\0"), "A900 SOP instance UID (0008,0018)"),
    "another class": (EXPLICIT, short(0x00080016, b"UI", b"1.2.4\0"), "A900 SOP class UID (0008,0016) is"),
    "another instance, implicit": (IMPLICIT, bare(0x00080018, b"1.2.4\0"), "A900 SOP instance UID"),
    "a UID of 130 bytes": (EXPLICIT, short(0x00080018, b"UI", b"1.2.3" + b" " * 125), "A900 SOP instance UID"),
    "a UID of 130 bytes, implicit": (IMPLICIT, bare(0x00080018, b"1.2.3" + b" " * 125), "A900 SOP instance UID"),
    "two instances": (EXPLICIT, UIDS + short(0x00080018, b"UI", b"1.2.4\0") + UIDS, "A900 SOP instance UID"),
}  # fmt: skip


@pytest.mark.parametrize(("syntax", "data", "text"), BAD.values(), ids=BAD)
def test_garbage_is_refused(syntax: str, data: bytes, text: str | None) -> None:
    found = every_way(data if text else data[:-1], syntax)
    assert found is not None
    assert found.startswith(text or "C000 cut short at byte")


def test_a_mismatch_has_another_status_than_garbage() -> None:
    assert Mismatch("").store_status == status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS
    assert DataSetError("").store_status == status.CANNOT_UNDERSTAND


def test_no_value_shows_in_a_verdict() -> None:
    data = short(0x00080018, b"UI", b"DOE^J ")
    assert "DOE" not in str(every_way(data))
    assert "DOE" not in str(every_way(b"DOE^JOHN" * 10))


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_depth_is_bounded_and_costs_nothing(syntax: str) -> None:
    head = bare(SEQUENCE, b"", UNDEFINED) if syntax == IMPLICIT else long(SEQUENCE, b"SQ", b"", UNDEFINED)
    for levels in (64, 65, 60_000):
        data = (head + bare(ITEM, b"", UNDEFINED)) * levels + (ENDED_ITEM + END) * levels
        found = verdict([data], syntax)
        assert found is None if levels == 64 else found is not None and "(limit sequence_depth: 64)" in found
    assert every_way((head + bare(ITEM, b"", UNDEFINED)) * 3, syntax, Limits(sequence_depth=2)) is not None


# -- what it costs -----------------------------------------------------------------------------------------------------


def peak(checker: Checker, pieces: list[bytes], times: int) -> int:
    gc.collect()
    tracemalloc.start()
    for _ in range(times):
        for piece in pieces:
            checker.feed(piece)
    return tracemalloc.get_traced_memory()[1]


def test_memory_is_a_header_however_long_the_data_set() -> None:
    items = [bare(ITEM) * 1000, short(NAME, b"PN") * 0]
    checker = Checker(EXPLICIT, CT, "1.2.3", Limits())
    checker.feed(UIDS + long(SEQUENCE, b"SQ", b"", UNDEFINED))
    try:
        assert peak(checker, items, 50) < 20_000
    finally:
        tracemalloc.stop()
    checker = Checker(EXPLICIT, CT, "1.2.3", Limits())
    checker.feed(UIDS + long(PIXELS, b"OW", b"", 1 << 30))
    try:
        assert peak(checker, [bytes(1 << 16)], 50) < 20_000
    finally:
        tracemalloc.stop()


def test_a_deflated_bomb_is_refused_while_it_inflates() -> None:
    bomb = deflated(UIDS + long(PIXELS, b"OW", bytes(20_000_000)))
    found = verdict([bomb], DEFLATED)
    assert found is not None
    assert "100 are allowed (limit inflate_ratio)" in found
    assert verdict([bomb], DEFLATED, Limits(inflate_ratio=2000)) is None
    assert verdict([deflated(UIDS + long(PIXELS, b"OW", bytes(900_000)))], DEFLATED) is None  # short ones are harmless
    small = deflated(short(NAME, b"PN") * 1000)
    assert "limit object_elements: 999" in str(verdict([small], DEFLATED, Limits(object_elements=999)))
    assert verdict([small], DEFLATED, Limits(object_elements=1000)) is None


EMPTY = {
    "elements": short(NAME, b"PN"),
    "sequences": long(SEQUENCE, b"SQ", b"", UNDEFINED) + END,
    "sequences of no length": long(SEQUENCE, b"SQ"),
}
INSIDE = {"items": bare(ITEM), "items with delimiters": bare(ITEM, b"", UNDEFINED) + ENDED_ITEM}
STRUCTURES = {
    **{what: lambda count, one=one: UIDS + one * count for what, one in EMPTY.items()},
    **{
        what: lambda count, one=one: UIDS + long(SEQUENCE, b"SQ", one * count, UNDEFINED) + END
        for what, one in INSIDE.items()
    },
}


@pytest.mark.parametrize("build", STRUCTURES.values(), ids=STRUCTURES)
def test_elements_of_a_deflated_object_are_judged_against_its_bytes(build: Callable[[int], bytes]) -> None:
    """A kilobyte of deflate may hold 100,000 empty items, and each takes as long as one that is not deflated."""
    for count in (3000, 40_000, 130_000):
        bomb = deflated(build(count))
        assert len(bomb) < 7000
        singly = verdict([bomb[at : at + 1] for at in range(len(bomb))], DEFLATED)
        for found in (verdict([bomb], DEFLATED), singly, decoded(bomb)):
            assert found is not None
            assert "limit inflate_" in found
    assert every_way(deflated(build(900)), DEFLATED) is None  # a short one costs little
    assert decoded(deflated(build(900))) is None
    large = deflated(build(1500))
    assert "limit inflate_elements" in str(verdict([large], DEFLATED, Limits(inflate_elements=0)))
    assert verdict([large], DEFLATED, Limits(inflate_elements=1000)) is None
    assert decoded(large, inflate_elements=1000) is None
    assert verdict([build(40_000)]) is None  # as it is, each has its bytes


def decoded(data: bytes, **limits: int) -> str | None:
    try:
        decode_object(data, DEFLATED, Limits(**limits))
    except DataSetError as error:
        return str(error)
    return None


def test_a_deflated_object_as_they_are_sent_is_no_bomb() -> None:
    """Frames whose items differ by a number only deflate best of all that is really sent."""
    frame = b"".join(short(0x00200000 + number, b"DS", b"1.5 ") for number in range(0x10, 0x20))
    items = b"".join(
        bare(
            ITEM, frame + short(0x00209157, b"LO", b"%8d" % number) + short(0x00200032, b"DS", b"%8.3f" % (number / 7))
        )
        for number in range(2000)
    )
    data = deflated(UIDS + long(0x52009230, b"SQ", items))
    assert verdict([data], DEFLATED) is None
    assert decoded(data) is None


def test_what_is_inflated_comes_in_pieces() -> None:
    inflater = Inflater(Limits(inflate_ratio=10_000), most=300_000, limit="collected")
    data = deflated(bytes(300_000))
    pieces = [piece for at in range(0, len(data), 50) for piece in inflater.feed(data[at : at + 50], 1000)]
    inflater.finish()
    assert b"".join(pieces) == bytes(300_000)
    assert max(map(len, pieces)) == 1000
    assert (inflater.taken, inflater.given) == (len(data), 300_000)
    with pytest.raises(DataSetError, match=r"more than 299999 bytes \(limit collected\)"):
        list(Inflater(Limits(inflate_ratio=10_000), most=299_999, limit="collected").feed(data))


def test_values_can_be_passed_over_without_their_bytes() -> None:
    walker = Walker(implicit=False, little=True, limits=Limits(sequence_depth=1))
    walker.feed(long(BLOB, b"OB", b"", 1 << 20) + bytes(10))
    assert walker.wanted == (1 << 20) - 10
    walker.skip(walker.wanted)
    walker.feed(short(NAME, b"PN", b"A ") + bytes(600))
    walker.finish()
    assert walker.ended == 12 + (1 << 20) + 10
    assert walker.wanted == 0


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_odd_lengths_are_named(size: int) -> None:
    items = long(SEQUENCE, b"SQ", bare(ITEM, short(0x00100020, b"LO", b"abc")))
    data = BODY + short(NAME, b"PN", b"DOE") + items + long(BLOB, b"OB", b"12345") + short(0x00080018, b"UI", b"1.2.3")
    pixels = long(PIXELS, b"OB", bare(ITEM, b"1234") + bare(ITEM, b"ab") + bare(ITEM, b"abc") + END, UNDEFINED)
    for more in (b"", pixels):
        walker = Walker(implicit=False, little=True, limits=Limits(sequence_depth=1))
        for at in range(0, len(data + more), size):
            walker.feed((data + more)[at : at + size])
        walker.finish()
        assert walker.odd == [NAME, 0x00100020, BLOB, 0x00080018]
        assert walker.odd_fragment == ("fragment 2 of (7FE0,0010)" if more else None)
        assert walker.ended == len(data + more)
    walker = Walker(implicit=True, little=True, limits=Limits(sequence_depth=1))
    for _ in range(20):
        walker.feed(bare(NAME, b"A"))
    assert walker.odd == [NAME] * 8
    one = Walker(implicit=True, little=True, limits=Limits(sequence_depth=1))
    one.feed(bare(NAME, b"A" * 101)[:50])
    assert one.odd == [NAME]


# -- any split, any bytes ----------------------------------------------------------------------------------------------


def is_one(data: bytes, syntax: str) -> bool:
    """Returns True if a reference walk accepts it, and finds any elements."""
    try:
        return bool(walk(data, implicit=syntax == IMPLICIT, little=syntax != BIG))
    except Refused:
        return False


def cut(draw: st.DataObject, data: bytes) -> list[bytes]:
    at = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[one:two] for one, two in zip([0, *at], [*at, len(data)], strict=True)]


ELEMENTS = st.sampled_from(
    [data for syntax, data in GOOD.values() if syntax == EXPLICIT]
    + [data for syntax, data, _ in BAD.values() if syntax in (EXPLICIT, JPEG)]
)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.lists(ELEMENTS, max_size=4), st.sampled_from([IMPLICIT, EXPLICIT, BIG, DEFLATED, JPEG]))
def test_any_split_gives_the_same_verdict(draw: st.DataObject, parts: list[bytes], syntax: str) -> None:
    data = bytearray(b"".join(parts))
    for _ in range(draw.draw(st.integers(0, 2)) if data else 0):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    whole = deflated(bytes(data)) if syntax == DEFLATED else bytes(data)
    found = verdict([whole], syntax)
    assert (found is None or found.startswith("A900")) == is_one(bytes(data), syntax)
    assert verdict(cut(draw, whole), syntax) == found
    assert verdict([whole[at : at + 1] for at in range(len(whole))], syntax) == found


@settings(max_examples=200, deadline=None)
@given(st.data(), st.binary(max_size=80), st.sampled_from([IMPLICIT, EXPLICIT, BIG, DEFLATED]))
def test_any_bytes_have_one_verdict(draw: st.DataObject, data: bytes, syntax: str) -> None:
    found = verdict([data], syntax)
    assert verdict(cut(draw, data), syntax) == found
    if syntax != DEFLATED:
        assert (found is None or found.startswith("A900")) == is_one(data, syntax)


# -- the files of pydicom ----------------------------------------------------------------------------------------------

FOLDER = Path(pydicom.__path__[0]) / "data"
CUT = {
    "MR_truncated.dcm", "rtplan_truncated.dcm",  # on purpose
    "DICOMDIR-nooffset",  # a length of 248 where 224 bytes are left
    "SC_rgb_jpeg.dcm",  # implicit VR in a transfer syntax of explicit VR
}  # fmt: skip


def shipped() -> list[Path]:
    return [
        path
        for path in sorted(FOLDER.rglob("*"))
        if path.is_file() and path.read_bytes()[128:132] == b"DICM" and b"1.2.840.10008.1.2" in path.read_bytes()[:600]
    ]


@pytest.mark.parametrize("path", shipped(), ids=lambda path: path.name)
def test_pydicoms_files_are_data_sets_and_decode_as_pydicom_reads_them(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pydicom.dcmread(path)
        syntax = theirs.file_meta.TransferSyntaxUID
        with path.open("rb") as file:
            pydicom.filereader.read_preamble(file, False)
            pydicom.filereader._read_file_meta_info(file)
            data = file.read()
        checker = Checker(
            syntax, str(theirs.get("SOPClassUID", "1.2.3")), str(theirs.get("SOPInstanceUID", "1.2.3")), Limits()
        )
        if path.name in CUT:
            assert verdict([data], syntax) is not None
            with pytest.raises(DataSetError):
                decode_object(data, syntax)
            return
        for at in range(0, len(data), 1000):
            checker.feed(data[at : at + 1000])
        checker.finish()
        ours = decode_object(data, syntax)
        assert [element.tag for element in ours.iterall()] == [element.tag for element in theirs.iterall()]
        assert ours == Dataset(theirs)
        assert ours.original_encoding == theirs.original_encoding
        assert ours.original_character_set == theirs.original_character_set


def test_a_walk_without_a_dictionary_passes_over_what_does_not_say_what_it_is() -> None:
    """So does one that asks for tokens and overrides none of their methods."""
    data = bare(0x00080018, b"1.2.3\0") + bare(SEQUENCE, bare(ITEM, bare(NAME, b"A ")))
    data += bare(SEQUENCE, bare(ITEM, bare(NAME, b"B") * 30, UNDEFINED) + ENDED_ITEM + END, UNDEFINED)
    data += bare(PIXELS, bare(ITEM) + bare(ITEM, b"abc") + END, UNDEFINED) + bare(BLOB, bytes(300))
    for tokens in (False, True):
        for size in (1, 7, len(data)):
            walker = Walker(implicit=True, little=True, limits=Limits(), tokens=tokens)
            for at in range(0, len(data), size):
                walker.feed(data[at : at + size])
            walker.finish()
            assert (walker.count, walker.odd_values, walker.odd) == (38, 30, [NAME] * 8)
            assert walker.odd_fragment == "fragment 1 of (7FE0,0010)"
            assert walker.ended == len(data)
