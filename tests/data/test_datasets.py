"""Data sets to bytes and back through pydicom: good ones, broken ones, and ones that are too deep or too large."""

import io
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zlib
from collections.abc import Callable

import pydicom.charset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.charset import convert_encodings
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from dicos_proto.association import Association, judge_of
from dicos_proto.data.datasets import (
    Attributes,
    DataSetError,
    content,
    convert,
    decode,
    decode_object,
    encode,
    value_of,
)
from dicos_proto.limits import Limits
from dicos_proto.registry import uids
from dicos_proto.tolerance import FIELD, STRICT, Judge, Tolerance
from dicos_proto.upper_layer.events import Deviation

IMPLICIT, EXPLICIT, BIG, DEFLATED = (
    uids.IMPLICIT_VR_LE, uids.EXPLICIT_VR_LE, uids.EXPLICIT_VR_BE, uids.DEFLATED_EXPLICIT_VR_LE,
)  # fmt: skip
SYNTAXES = pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG, DEFLATED, uids.JPEG_BASELINE])


def identifier() -> Dataset:
    one = Dataset()
    one.QueryRetrieveLevel = "STUDY"
    one.PatientName = "A^B"
    one.NumberOfStudyRelatedInstances = None
    items = []
    for number in range(3):
        item = Dataset()
        item.ReferencedSOPInstanceUID = f"1.2.{number}"
        item.ReferencedSOPSequence = [Dataset()]
        items.append(item)
    one.ReferencedSeriesSequence = items
    one.Rows = 258
    return one


@SYNTAXES
def test_what_is_encoded_is_decoded_equal(syntax: str) -> None:
    encoded = encode(identifier(), syntax)
    assert len(encoded) % 2 == 0
    assert decode(encoded, syntax) == identifier()
    assert decode(memoryview(encoded), syntax) == identifier()
    assert Attributes(encoded, syntax).dataset == identifier()


def test_layout_of_each_transfer_syntax() -> None:
    one = Dataset()
    one.Rows = 258
    assert encode(one, IMPLICIT) == bytes.fromhex("28001000 02000000 0201")
    assert encode(one, EXPLICIT) == bytes.fromhex("28001000 5553 0200 0201")
    assert encode(one, BIG) == bytes.fromhex("00280010 5553 0002 0102")
    assert zlib.decompress(encode(one, DEFLATED), wbits=-15) == encode(one, EXPLICIT)


def test_an_empty_data_set_is_one() -> None:
    assert decode(b"", IMPLICIT) == Dataset()
    assert encode(Dataset(), IMPLICIT) == b""


def test_sequences_of_undefined_length_and_nested_ones_are_read() -> None:
    one = identifier()
    for element in one.iterall():
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
    for syntax in (IMPLICIT, EXPLICIT, BIG):
        encoded = encode(one, syntax)
        assert b"\xff\xff\xff\xff" in encoded
        assert decode(encoded, syntax) == identifier()


def test_what_is_given_as_a_data_set() -> None:
    encoded = encode(identifier(), EXPLICIT)
    assert content(encoded, "1.2.3") is encoded  # bytes are taken as they are
    assert content(Attributes(encoded, EXPLICIT), EXPLICIT) is encoded
    assert content(Attributes(encoded, EXPLICIT), IMPLICIT) == encode(identifier(), IMPLICIT)
    assert content(identifier(), IMPLICIT) == encode(identifier(), IMPLICIT)


def test_nothing_of_a_data_set_shows_in_a_repr() -> None:
    assert "DOE" not in repr(Attributes(b"\x10\0\x10\0\4\0\0\0DOE ", IMPLICIT))


# -- what is refused -----------------------------------------------------------------------------------------------


def short(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value) if length is None else length) + value


def long(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr, 0, len(value) if length is None else length) + value


def bare(tag: int, value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value) if length is None else length) + value


UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
NAME, SEQUENCE, PIXELS = 0x00100010, 0x00081140, 0x7FE00010
END = bare(SEQUENCE_END, b"")

BROKEN = {
    "a header cut short": (EXPLICIT, short(NAME, b"PN", b"A ")[:6], "an element header of 6 bytes, before byte 0"),
    "a long header cut short": (EXPLICIT, long(NAME, b"UT", b"")[:10], "an element header that is cut short"),
    "a value cut short": (EXPLICIT, short(NAME, b"PN", b"A ", 4), "a value of 4 bytes with 2 left, before byte 8"),
    "an implicit value cut short": (IMPLICIT, bare(NAME, b"A ", 4), "a value of 4 bytes with 2 left"),
    "no value representation": (EXPLICIT, bare(NAME, b"A "), "no value representation where one is to be"),
    "an item outside": (EXPLICIT, bare(ITEM, b""), "an item outside a sequence"),
    "an end of nothing": (EXPLICIT, END, "a delimiter that delimits nothing"),
    "an end of an item in a sequence": (
        EXPLICIT, long(SEQUENCE, b"SQ", bare(ITEM_END, b""), UNDEFINED), "a delimiter that delimits nothing",
    ),
    "an end with a value": (
        EXPLICIT, long(SEQUENCE, b"SQ", bare(SEQUENCE_END, b"ab"), UNDEFINED), "a delimiter that delimits nothing",
    ),
    "an element in a sequence": (
        EXPLICIT, long(SEQUENCE, b"SQ", short(NAME, b"PN", b"A "), UNDEFINED), "an element where an item is to begin",
    ),
    "a sequence that is not ended": (EXPLICIT, long(SEQUENCE, b"SQ", b"", UNDEFINED), "1 sequences and items that are"),
    "a sequence longer than what is left": (
        EXPLICIT, long(SEQUENCE, b"SQ", b"ab", 8), "a length of 8 with 2 bytes left",
    ),
    "an item longer than its sequence": (
        EXPLICIT, long(SEQUENCE, b"SQ", bare(ITEM, b"", 8)) + bytes(8), "a length of 8 with 0 bytes left",
    ),
    "a value longer than its item": (
        IMPLICIT, bare(SEQUENCE, bare(ITEM, bare(NAME, b"A ", 4))) + b"AB", "a value of 4 bytes with 2 left",
    ),
    "pixels in fragments": (EXPLICIT, long(PIXELS, b"OB", END, UNDEFINED), "pixel data in fragments"),
    "a number of three bytes": (EXPLICIT, short(0x00280010, b"US", b"abc"), "3 bytes of US, whose values are 2 long"),
    "a name of undefined length": (
        IMPLICIT, bare(NAME, bare(ITEM, b"") + END, UNDEFINED), "a value of undefined length that is not a sequence",
    ),
    "a name in UN of undefined length": (
        EXPLICIT, long(NAME, b"UN", bare(ITEM, b"") + END, UNDEFINED), "undefined length that is not a sequence",
    ),
    "a text of undefined length": (
        EXPLICIT, long(0x00080119, b"UC", END, UNDEFINED), "a value of undefined length that is not a sequence",
    ),
    "deflated and more": (DEFLATED, encode(identifier(), DEFLATED) + b"more", "bytes after the end of a deflated"),
    "deflated garbage": (DEFLATED, b"\xff" * 8, "cannot be inflated"),
    "deflated and cut short": (DEFLATED, encode(identifier(), DEFLATED)[:-6], "that is cut short"),
}  # fmt: skip


@pytest.mark.parametrize(("syntax", "data", "text"), BROKEN.values(), ids=BROKEN)
def test_broken(syntax: str, data: bytes, text: str) -> None:
    with pytest.raises(DataSetError) as caught:
        decode(data, syntax)
    assert text in str(caught.value)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
def test_a_data_set_cut_short_within_an_element_is_no_data_set(syntax: str) -> None:
    encoded = encode(identifier(), syntax)
    complete = 0
    for size in range(len(encoded)):
        try:
            decode(encoded[:size], syntax)
        except DataSetError:
            continue
        complete += 1
    assert complete == len(identifier())  # between two elements of the top level, and nowhere else


def test_an_unknown_sequence_in_un_is_implicit_inside() -> None:
    """PS3.5 6.2.2, note 2."""
    item = bare(ITEM, bare(NAME, b"A^B ") + bare(ITEM_END, b""), UNDEFINED)
    data = long(0x00091001, b"UN", item + END, UNDEFINED) + short(0x00100020, b"LO", b"1 ")
    assert decode(data, EXPLICIT).PatientID == "1"
    with pytest.raises(DataSetError, match="a value of 99 bytes"):
        decode(data.replace(bare(NAME, b"A^B "), bare(NAME, b"A^B ", 99)), EXPLICIT)


def deep(levels: int, implicit: bool) -> bytes:
    """Sequences in sequences, all of undefined length."""
    head = bare(SEQUENCE, b"", UNDEFINED) if implicit else long(SEQUENCE, b"SQ", b"", UNDEFINED)
    return (head + bare(ITEM, b"", UNDEFINED)) * levels + (bare(ITEM_END, b"") + END) * levels


@pytest.mark.parametrize("length", [0x4141, 0x4E55, 0x5153, 0x5A5A])
def test_a_length_that_looks_like_a_value_representation_is_none(length: int) -> None:
    """A retrieve of some 300 instances begins with such a one."""
    uids = b"1.2.3\\" * (length // 6 + 1)
    read = decode(bare(0x00080018, uids[:length]) + bare(NAME, b"A "), IMPLICIT)
    assert list(read.keys()) == [0x00080018, NAME]
    assert len(read.SOPInstanceUID) >= length // 6


@pytest.mark.parametrize("implicit", [True, False])
def test_depth_is_bounded(implicit: bool) -> None:
    syntax = IMPLICIT if implicit else EXPLICIT
    limits = Judge(Limits(sequence_depth=5))
    decode(deep(4, implicit), syntax, limits)
    decode(deep(5, implicit), syntax, limits)
    with pytest.raises(DataSetError, match=r"nested deeper than allowed \(limit sequence_depth: 5\)"):
        decode(deep(6, implicit), syntax, limits)
    decode(deep(64, implicit), syntax)
    for levels in (65, 300, 5000, 60_000):
        with pytest.raises(DataSetError, match=r"limit sequence_depth: 64"):
            decode(deep(levels, implicit), syntax)


def test_sequences_side_by_side_are_not_deep() -> None:
    decode(deep(1, True) * 1, IMPLICIT, Judge(Limits(sequence_depth=1)))
    one = Dataset()
    one.ReferencedSOPSequence = [Dataset()]
    one.ReferencedSeriesSequence = [Dataset()]
    assert decode(encode(one, IMPLICIT), IMPLICIT, Judge(Limits(sequence_depth=1))) == one


def test_what_is_inflated_is_bounded() -> None:
    bomb = zlib.compressobj(wbits=-15)
    data = bomb.compress(bytes(10_000_000)) + bomb.flush()
    assert len(data) < 20_000
    with pytest.raises(DataSetError, match="more than 1000000 bytes"):
        decode(data, DEFLATED, Judge(Limits(attributes=1_000_000)))


NAMED = {
    "explicit": (EXPLICIT, short(NAME, b"PN", b"M\xfcller")),
    "implicit": (IMPLICIT, bare(NAME, b"M\xfcller")),
    "in a sequence": (EXPLICIT, long(SEQUENCE, b"SQ", bare(ITEM, short(NAME, b"PN", b"M\xfcller")))),
    "after an empty one": (EXPLICIT, short(0x00080005, b"CS", b"") + short(NAME, b"PN", b"M\xfcller")),
}


@pytest.mark.parametrize(("syntax", "data"), NAMED.values(), ids=NAMED)
def test_text_beyond_ascii_needs_a_character_set_or_a_tolerance(syntax: str, data: bytes) -> None:
    """PS3.5 6.1.2."""
    with pytest.raises(DataSetError) as caught:
        decode(data, syntax)
    text = "text beyond ASCII in (0010,0010) of a data set without a character set"
    assert str(caught.value) == f"{text} [PS3.5 6.1.2]"
    for tolerance in (Tolerance(missing_character_set=True), FIELD):
        judge = Judge(Limits(), tolerance)
        decode(data, syntax, judge)
        decode(data, syntax, judge)
        assert judge.untold == [("missing_character_set", text)]  # once


def test_text_with_a_character_set_and_bytes_that_are_no_text_need_nothing() -> None:
    latin = short(0x00080005, b"CS", b"ISO_IR 100")
    for data in (
        latin + short(NAME, b"PN", b"M\xfcller"),
        latin + long(SEQUENCE, b"SQ", bare(ITEM, short(NAME, b"PN", b"M\xfcller"))),
        short(0x00280010, b"US", b"\xff\xff"),
        long(0x00420011, b"OB", b"\xff\xfe"),
    ):
        decode(data, EXPLICIT)
    decode(bare(0x00091001, b"\xff\xff"), IMPLICIT)  # private: nobody knows what it is


def test_attributes_are_judged_by_their_association_which_reports_deviations() -> None:
    for tolerance in (STRICT, FIELD):
        engine = Association.acceptor(tolerance=tolerance)
        received = Attributes(short(NAME, b"PN", b"M\xfcller"), EXPLICIT, judge_of(engine))
        if tolerance == STRICT:
            with pytest.raises(DataSetError):
                _ = received.dataset
            assert engine.next_event() is None
        else:
            assert received.dataset
            deviation = engine.next_event()
            assert isinstance(deviation, Deviation)
            assert (deviation.name, deviation.clause) == ("missing_character_set", "PS3.5 6.1.2")
            assert engine.terms.deviations == (deviation,)


@pytest.mark.parametrize("syntax", ["1.2.840.113619.5.2", "1.2.3"])
def test_a_transfer_syntax_without_a_codec_is_named(syntax: str) -> None:
    with pytest.raises(DataSetError, match="no codec for data sets in"):
        decode(b"", syntax)
    with pytest.raises(DataSetError, match="no codec for data sets in"):
        encode(Dataset(), syntax)


def test_a_data_set_that_cannot_be_encoded_is_reported_without_its_values() -> None:
    one = Dataset()
    one.add(DataElement(0x00280010, "US", "Meier", validation_mode=IGNORE))
    with pytest.raises(DataSetError, match="cannot be encoded in Explicit VR Little Endian") as caught:
        encode(one, EXPLICIT)
    assert "Meier" not in str(caught.value)


def test_a_value_that_does_not_fit_is_reported_without_it() -> None:
    one = decode(bare(0x00280010, b"abc"), IMPLICIT)
    with pytest.raises(DataSetError, match=r"a value of Rows that does not fit its value representation \[PS3.5 6.2\]"):
        value_of(one, "Rows")
    assert value_of(one, "Columns") is None
    assert value_of(identifier(), "Rows") == 258


def test_no_value_is_converted_before_it_is_looked_at(recwarn: pytest.WarningsRecorder) -> None:
    """pydicom's warnings repeat the values: they come to the caller that looks at a value, not to every receiver."""
    decode(bare(0x0020000D, b"Meier "), IMPLICIT)
    assert list(recwarn) == []


def test_an_unknown_character_set_is_the_default_one_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = decode(short(0x00080005, b"CS", b"NOPE") + short(NAME, b"PN", b"M\xfcller^A"), EXPLICIT)
        assert value_of(found, "PatientName") == "Müller^A"


def as_pydicom_reads_it(data: bytes, syntax: str) -> None:
    """The data is refused, or decodes to the elements, items and bytes that pydicom's own reader finds."""
    try:
        found = decode(data, syntax)
    except DataSetError:
        return
    whole = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data) if syntax == DEFLATED else data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(found, read_dataset(io.BytesIO(whole), syntax == IMPLICIT, syntax != BIG))


def same(ours: Dataset, theirs: Dataset) -> None:
    assert list(ours.keys()) == list(theirs.keys())
    for tag in ours.keys():  # noqa: SIM118
        one, other = ours.get_item(tag, keep_deferred=True), theirs.get_item(tag, keep_deferred=True)
        if one.VR != "SQ":
            assert (one.value or b"") == (other.value or b"")
            continue
        items = theirs[tag].value if theirs[tag].VR == "SQ" else None  # a private one, that pydicom leaves alone
        if items is not None:
            assert len(one.value) == len(items)
            for mine, its in zip(one.value, items, strict=True):
                same(mine, its)


@settings(max_examples=300)
@given(st.binary(max_size=60), st.sampled_from([IMPLICIT, EXPLICIT, BIG, DEFLATED]))
def test_any_bytes_are_refused_or_decode_as_pydicom_reads_them(data: bytes, syntax: str) -> None:
    as_pydicom_reads_it(data, syntax)


@settings(max_examples=300)
@given(st.data(), st.sampled_from([IMPLICIT, EXPLICIT, BIG]))
def test_what_is_damaged_is_refused_or_decodes_as_pydicom_reads_it(draw: st.DataObject, syntax: str) -> None:
    encoded = bytearray(encode(identifier(), syntax))
    for _ in range(draw.draw(st.integers(1, 4))):
        encoded[draw.draw(st.integers(0, len(encoded) - 1))] = draw.draw(st.integers(0, 255))
    as_pydicom_reads_it(bytes(encoded), syntax)


def test_pydicom_is_imported_only_when_a_data_set_is_looked_at() -> None:
    code = (
        "import sys; import dicos_proto.services.query, dicos_proto.services.retrieve, dicos_proto.services.normalized;"
        "assert 'pydicom' not in sys.modules; from dicos_proto.data.datasets import decode;"
        "decode(b'', '1.2.840.10008.1.2'); assert 'pydicom' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_data_set_can_be_converted_as_a_whole() -> None:
    inner = b"\x08\x00\x97\x11\x02\x00\x00\x00\x10\x01"  # Failure Reason, US
    good = b"\x08\x00\x98\x11\x12\x00\x00\x00\xfe\xff\x00\xe0\x0a\x00\x00\x00" + inner
    found = convert(decode(good, uids.IMPLICIT_VR_LE))
    assert found.FailedSOPSequence[0].FailureReason == 0x0110
    bad = good.replace(b"\x12\x00\x00\x00\xfe", b"\x13\x00\x00\x00\xfe").replace(b"\x0a\x00", b"\x0b\x00")
    bad = bad.replace(b"\x02\x00\x00\x00\x10\x01", b"\x03\x00\x00\x00\x10\x01\x01")
    with pytest.raises(DataSetError, match="does not fit its value representation"):
        convert(decode(bad, uids.IMPLICIT_VR_LE))


# -- what it may cost ------------------------------------------------------------------------------------------------


def empty_elements(count: int) -> bytes:
    return b"".join(bare(0x00090000 | (0x1000 + number), b"") for number in range(count))


def empty_items(count: int) -> bytes:
    return bare(SEQUENCE, bare(ITEM, b"") * count)


def bounded(data: bytes, syntax: str = IMPLICIT, **limits: int) -> str | None:
    """Returns what is wrong with the data as an attribute list within these limits, None for nothing."""
    try:
        convert(decode(data, syntax, Judge(Limits(**limits))))
    except DataSetError as error:
        return str(error)
    return None


def bounded_object(data: bytes, syntax: str = IMPLICIT, **limits: int) -> str | None:
    try:
        decode_object(data, syntax, Limits(**limits))
    except DataSetError as error:
        return str(error)
    return None


def test_elements_are_counted_those_in_items_too() -> None:
    for build in (empty_elements, lambda count: bare(SEQUENCE, bare(ITEM, empty_elements(count - 1)))):
        assert bounded(build(9), elements=10) is None
        assert bounded(build(10), elements=10) is None
        assert "more elements than allowed (limit elements: 10), before byte" in str(bounded(build(11), elements=10))
        assert bounded_object(build(10), object_elements=10) is None
        assert "(limit object_elements: 10)" in str(bounded_object(build(11), object_elements=10))
    assert "(limit elements: 10000)" in str(bounded(empty_elements(10_001)))


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_items_are_counted_wherever_they_are(syntax: str) -> None:
    """This holds in private sequences and in UN too: pydicom would parse those later, and by other rules."""
    item = bare(ITEM, b"")
    creator = "AGFA-AG_HPState "  # of (0071,xx18): a sequence in pydicom's dictionary
    known = bare if syntax == IMPLICIT else lambda tag, value: long(tag, b"UN", value)
    named = bare(0x00710010, creator.encode()) if syntax == IMPLICIT else short(0x00710010, b"LO", creator.encode())
    ways = {
        "a sequence": lambda count: known(SEQUENCE, item * count),
        "two of them": lambda count: known(SEQUENCE, item * (count - 1)) + known(0x00081115, item),
        "a private one": lambda count: named + known(0x00711018, item * count),
    }
    for name, build in ways.items():
        assert bounded(build(10), syntax, items=10) is None, name
        assert "more items than allowed (limit items: 10)" in str(bounded(build(11), syntax, items=10)), name
        assert "(limit object_items: 10)" in str(bounded_object(build(11), syntax, object_items=10)), name
    found = decode(named + known(0x00711018, item * 3), syntax)
    assert [found[0x00711018].VR, len(found[0x00711018].value)] == ["SQ", 3]


def test_fragments_are_counted_as_items() -> None:
    def build(count: int) -> bytes:
        return long(PIXELS, b"OB", bare(ITEM, b"ab") * count + END, UNDEFINED)

    assert bounded_object(build(10), uids.JPEG_BASELINE, object_items=10) is None
    assert "(limit object_items: 10)" in str(bounded_object(build(11), uids.JPEG_BASELINE, object_items=10))
    read = decode_object(build(3), uids.JPEG_BASELINE)
    assert read.PixelData == bare(ITEM, b"ab") * 3
    assert read["PixelData"].is_undefined_length


VALUES = {
    "names": lambda count: bare(NAME, b"\\" * (count - 1)),
    "numbers": lambda count: bare(0x00280009, bytes(4 * count)),  # tags
    "either": lambda count: bare(0x00280106, bytes(2 * count)),  # US or SS
    "two elements": lambda count: bare(NAME, b"\\" * (count - 2)) + bare(0x00100020, b"A "),
    "escapes": lambda count: bare(0x00080005, b"\\ISO 2022 IR 87 ") + bare(0x00102000, b"\x1b$B\x30\x30" * (count - 3)),
}


@pytest.mark.parametrize("build", VALUES.values(), ids=VALUES)
def test_values_are_counted(build: Callable[[int], bytes]) -> None:
    assert bounded(build(20), values=20) is None
    assert "more values than allowed (limit values: 20)" in str(bounded(build(21), values=20))
    decode_object(build(21), IMPLICIT, Limits(values=20))  # an object has a limit of its own


OBJECT_VALUES = {
    **{name: build for name, build in VALUES.items() if name not in ("either",)},
    "decimal strings": lambda count: bare(0x30060050, b"\\".join([b"1"] * count)),
    "integer strings": lambda count: bare(0x00280008, b"\\" * (count - 1)),
    "in an item": lambda count: bare(SEQUENCE, bare(ITEM, bare(NAME, b"\\" * (count - 1)))),
    "binary, of which eight count as one": lambda count: bare(0x00280106, bytes(2 * 8 * count)),
}


@pytest.mark.parametrize("build", OBJECT_VALUES.values(), ids=OBJECT_VALUES)
def test_values_of_an_object_are_counted(build: Callable[[int], bytes]) -> None:
    """Each becomes an object of hundreds of bytes when its attribute is read, and a C-STORE may have 30 million."""
    assert bounded_object(build(20), object_values=20) is None
    assert "more values than allowed (limit object_values: 20)" in str(bounded_object(build(21), object_values=20))


def test_an_object_may_have_the_values_of_large_structures() -> None:
    contour = b"\\".join(b"%d.%d" % (number % 400, number % 7) for number in range(900_000))
    assert bounded_object(long(0x30060050, b"UN", contour + b" " * (len(contour) % 2)), EXPLICIT) is None
    bomb = long(0x30060050, b"UN", b"1\\" * 2_000_000)
    assert "(limit object_values: 1000000)" in str(bounded_object(bomb, EXPLICIT))
    assert bounded_object(bare(0x00280106, bytes(2 * 2_000_000))) is None


def test_character_sets_are_counted() -> None:
    named = b"\\".join([b"ISO 2022 IR 6"] * 16)
    assert bounded(bare(0x00080005, named + b" ")) is None
    found = bounded(bare(0x00080005, named + b"\\ISO 2022 IR 6"))
    assert found is not None
    assert bounded(bare(0x00080005, named + b"\\ISO 2022 IR 6"), character_sets=17) is None
    assert "17 character sets where 16 are the most (limit character_sets)" in found


CHARACTER_SETS = [
    "", "ISO_IR 100", "ISO_IR 192", "GB18030", "ISO 2022 IR 87", "ISO_IR 6", "ISO-IR 100", "ISO IR 192",
    "ISO 2022-IR-13", "ISO-2022-IR-87", "ISO_2022_IR 6", "\\ISO 2022 IR 87", "ISO 2022 IR 13\\ISO 2022 IR 87",
    "ISO_IR 192\\ISO 2022 IR 87", "ISO 2022 IR 6\\GB18030\\ISO 2022 IR 149", "ISO 2022 IR 6\\ISO_IR 192",
]  # fmt: skip


@pytest.mark.parametrize("named", CHARACTER_SETS)
def test_character_sets_are_those_of_pydicom(named: str) -> None:
    data = short(0x00080005, b"CS", (named + " " * (len(named) % 2)).encode()) + short(NAME, b"PN", b"ab")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = decode_object(data, EXPLICIT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = convert_encodings(named.split("\\"))
    assert found.original_character_set == expected


@pytest.mark.parametrize("named", ["punycode", "\x1b]0;PWNED\x07", "ISO-IR 999", "ISO.2022.IR.999", "x" * 9000])
def test_an_unknown_character_set_is_not_warned_of_and_is_the_default(named: str) -> None:
    """pydicom warns once for each name and keeps the warning; a peer can send any number of names."""
    kept = len(vars(pydicom.charset).get("__warningregistry__", {}))
    items = b"".join(
        bare(ITEM, short(0x00080005, b"CS", f"{named}{number:04}".encode() + b" " * (len(named) % 2)))
        for number in range(20)
    )
    for data in (long(SEQUENCE, b"SQ", items), short(0x00080005, b"CS", named.encode() + b" " * (len(named) % 2))):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = decode(data, EXPLICIT)
        assert found.original_character_set in (["iso8859"], "iso8859")
    assert len(vars(pydicom.charset).get("__warningregistry__", {})) == kept


def test_a_private_creator_stands_before_its_elements() -> None:
    """Otherwise pydicom would find sequences where the walk saw none."""
    late = bare(0x00711018, b"") + bare(0x00710010, b"AGFA-AG_HPState ")
    assert "a private creator after elements of its block" in str(bounded(late))
    other = bare(0x00710010, b"AGFA-AG_HPState ") + bare(0x00710010, b"SOMEBODY")
    assert "a private creator after elements of its block" in str(bounded(other))
    assert bounded(bare(0x00710010, b"SOMEBODY") + bare(0x00711018, b"ab") + bare(0x00710001, b"")) is None


def test_what_is_inflated_is_judged_by_its_ratio_too() -> None:
    def deflated(data: bytes) -> bytes:
        engine = zlib.compressobj(wbits=-15)
        return engine.compress(data) + engine.flush()

    bomb = deflated(long(PIXELS, b"OW", bytes(3 << 20)))
    assert "100 are allowed (limit inflate_ratio)" in str(bounded(bomb, DEFLATED))
    assert "100 are allowed (limit inflate_ratio)" in str(bounded_object(bomb, DEFLATED))
    assert bounded_object(bomb, DEFLATED, inflate_ratio=2000) is None
    found = bounded_object(bomb, DEFLATED, inflate_ratio=2000, collected=1 << 20)
    assert found is not None
    assert "more than 1048576 bytes (limit collected)" in found


def test_an_object_may_be_sloppy_where_an_attribute_list_may_not() -> None:
    data = short(0x00280010, b"US", b"abc") + short(NAME, b"PN", b"M\xfcl")
    assert decode_object(data + bytes(3), EXPLICIT).PatientName == "M\xfcl"
    assert bounded(data, EXPLICIT) is not None
    with pytest.raises(DataSetError, match="an element header of 3 bytes"):
        decode_object(data + b"abc", EXPLICIT)


def test_memory_and_time_are_those_of_what_is_allowed() -> None:
    """A million empty items in 8 MB took 1.4 GB."""
    many = (empty_items(1_000_000), b"".join(bare(0x00090000 + number, b"") for number in range(500_000)))
    tracemalloc.start()
    for data in many:
        assert bounded(data) is not None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20


@pytest.mark.parametrize("decoder", [decode, decode_object])
def test_what_is_deflated_holds_no_more_elements_than_its_bytes_allow(decoder: Callable[..., object]) -> None:
    """This holds for a query and for an object: 3,000 empty items take some thirty bytes."""
    items = bytes.fromhex("40000001") + b"SQ\0\0" + bytes.fromhex("ffffffff") + bytes.fromhex("feff00e000000000") * 3000
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    deflated = packer.compress(items + bytes.fromhex("feffdde000000000")) + packer.flush()
    with pytest.raises(DataSetError, match="limit inflate_elements: "):
        decoder(deflated, uids.DEFLATED_EXPLICIT_VR_LE)
