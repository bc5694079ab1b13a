"""Conversion between the uncompressed little endian syntaxes: the output is what pydicom would have written, and bad
input is refused before it costs anything."""

import io
import struct
import tracemalloc
import warnings
import zlib
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pydicom = pytest.importorskip("pydicom")

from pydicom.dataset import Dataset  # noqa: E402
from pydicom.filebase import DicomBytesIO  # noqa: E402
from pydicom.filereader import read_dataset  # noqa: E402
from pydicom.filewriter import write_dataset  # noqa: E402
from pydicom.sequence import Sequence  # noqa: E402

from dicos_proto.data import transcode  # noqa: E402
from dicos_proto.data.elements import SHORT_VRS  # noqa: E402
from dicos_proto.data.transcode import TranscodeError  # noqa: E402
from dicos_proto.limits import Limits  # noqa: E402
from dicos_transports.files.data_sets import CONVERTIBLE, can_convert, convert_chunks  # noqa: E402
from dicos_transports.files.part10 import Part10Error, Part10File, inspect  # noqa: E402
from tests.data.reference import Refused, rewritten, unknown, walk  # noqa: E402

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
JPEG = "1.2.840.10008.1.2.4.50"
CT = "1.2.840.10008.5.1.4.1.1.2"
DICOS_CT = "1.2.840.10008.5.1.4.1.1.501.1"

SHIPPED = Path(pydicom.__path__[0]) / "data" / "test_files"
# Their own encoding is broken: cut short on purpose, or with lengths that cross their parent's end.
BROKEN = {"MR_truncated.dcm", "rtplan_truncated.dcm", "DICOMDIR-nooffset"}
# The bytes of these VRs are the same in little endian, and the standard lets a writer choose.
SAME_BYTES = {"OB", "OW", "US", "OB or OW", "US or OW", "US or SS or OW"}


def shipped() -> list[Path]:
    """Returns every file of pydicom's that can be converted."""
    found = []
    for path in sorted(path for path in SHIPPED.rglob("*") if path.is_file()):
        try:
            file = inspect(path)
        except Part10Error:
            continue
        if file.transfer_syntax in CONVERTIBLE and path.name not in BROKEN:
            found.append(path)
    return found


FILES = shipped()


def parsed(data: bytes, syntax: str) -> Dataset:
    if syntax == DEFLATED:
        data = zlib.decompress(data, -zlib.MAX_WBITS)
    return read_dataset(io.BytesIO(data), syntax == IMPLICIT, True)


def written(ds: Dataset, syntax: str) -> bytes:
    """Returns the data set as pydicom writes it."""
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, syntax == IMPLICIT
    write_dataset(out, ds)
    data: bytes = out.getvalue()
    if syntax == DEFLATED:
        engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = engine.compress(data) + engine.flush()
    return data


def data_set_of(path: Path) -> Dataset:
    """Returns the data set as pydicom reads it, unaltered by anything it decodes on the way."""
    file = inspect(path)
    return parsed(path.read_bytes()[file.data_offset :], file.transfer_syntax)


def differences(ours: Dataset, theirs: Dataset, where: str = "") -> list[str]:
    """Returns the tags, VRs and values that differ, items of sequences included."""
    found = []
    tags = {tag for tag in [*ours.keys(), *theirs.keys()] if tag.element}
    for tag in sorted(tags):
        here = f"{where}{tag}"
        if tag not in ours or tag not in theirs:
            found.append(f"{here} is only in {'ours' if tag in ours else 'theirs'}")
            continue
        one, other = ours[tag], theirs[tag]
        if one.VR == other.VR == "SQ":
            if len(one.value) != len(other.value):
                found.append(f"{here}: {len(one.value)} items, {len(other.value)}")
            for number, items in enumerate(zip(one.value, other.value, strict=False)):
                found += differences(*items, f"{here}[{number}] ")
        elif one.VR != other.VR and not {one.VR, other.VR} <= SAME_BYTES:
            found.append(f"{here}: VR {one.VR}, {other.VR}")
        elif one.VR == other.VR and one.value != other.value:
            found.append(f"{here}: {str(one.value)[:40]!r}, {str(other.value)[:40]!r}")
    return found


def file_of(folder: Path, data: bytes, syntax: str, *, sop_class_uid: str = CT) -> Part10File:
    """Writes a bare data set to disk, as if its meta information had been read already."""
    path = folder / "data"
    path.write_bytes(data)
    return Part10File(
        path=path,
        sop_class_uid=sop_class_uid,
        sop_instance_uid="1.2.3",
        transfer_syntax=syntax,
        data_offset=0,
        data_length=len(data),
    )


def converted(folder: Path, data: bytes, from_ts: str, to_ts: str, *, chunk: int = 1 << 19) -> bytes:
    return b"".join(convert_chunks(file_of(folder, data, from_ts), to_ts, chunk=chunk))


def explicit(tag: int, vr: bytes, value: bytes) -> bytes:
    if vr in SHORT_VRS:
        return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value
    return struct.pack("<HH2s2xI", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def implicit(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def opened(tag: int, vr: bytes = b"") -> bytes:
    """Returns a header of undefined length, explicit if there is a VR."""
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    return head + (vr + b"\0\0" if vr else b"") + b"\xff\xff\xff\xff"


ITEM, ITEM_END, SEQUENCE_END = opened(0xFFFEE000), implicit(0xFFFEE00D, b""), implicit(0xFFFEE0DD, b"")


# Results


@pytest.mark.parametrize("to_ts", CONVERTIBLE[:3])  # pydicom does not know the one of DICOS
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_of_pydicoms_comes_out_as_pydicom_writes_it(path: Path, to_ts: str) -> None:
    file = inspect(path)
    ours = b"".join(convert_chunks(file, to_ts))
    if file.transfer_syntax == to_ts:
        assert ours == path.read_bytes()[file.data_offset :]
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's opinion of these files does not matter here
        theirs = written(data_set_of(path), to_ts)
        assert differences(parsed(ours, to_ts), parsed(theirs, to_ts)) == []


@pytest.mark.parametrize("middle", CONVERTIBLE)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_there_and_back_leaves_every_value_as_it_was(tmp_path: Path, path: Path, middle: str) -> None:
    file = inspect(path)
    there = b"".join(convert_chunks(file, middle))
    back = converted(tmp_path, there, middle, file.transfer_syntax)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        returned, original = parsed(back, file.transfer_syntax), data_set_of(path)
        # A data set iterates over its elements, unlike a dict.
        assert [tag for tag in original.keys() if tag.element] == list(returned.keys())  # noqa: SIM118
        for tag in returned.keys():  # noqa: SIM118
            one, other = returned.get_item(tag), original.get_item(tag)
            # VRs of private elements are lost in implicit; the bytes are not.
            if "SQ" not in (one.VR, other.VR):
                assert (one.value or b"") == (other.value or b""), tag


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64, 1000])
@pytest.mark.parametrize(("from_ts", "to_ts"), [(a, b) for a in CONVERTIBLE for b in CONVERTIBLE if a != b])
def test_the_size_of_the_pieces_does_not_show(tmp_path: Path, from_ts: str, to_ts: str, chunk: int) -> None:
    source = next(path for path in FILES if path.name == "rtplan.dcm")
    data = converted(tmp_path, data_set_of_bytes(source), IMPLICIT, from_ts)
    whole = converted(tmp_path, data, from_ts, to_ts)
    pieces = converted(tmp_path, data, from_ts, to_ts, chunk=chunk)
    if to_ts == DEFLATED:
        whole, pieces = zlib.decompress(whole, -15), zlib.decompress(pieces, -15)
    assert pieces == whole


def data_set_of_bytes(path: Path) -> bytes:
    return path.read_bytes()[inspect(path).data_offset :]


def test_deflated_data_has_an_even_length(tmp_path: Path) -> None:
    """The padding is one NUL after the end of the stream [PS3.5 A.5]."""
    odd = 0
    for size in range(20):
        data = explicit(0x00080070, b"LO", bytes(range(65, 65 + size)) * 2)
        deflated = converted(tmp_path, data, EXPLICIT, DEFLATED)
        engine = zlib.decompressobj(-zlib.MAX_WBITS)
        assert engine.decompress(deflated) == data
        assert len(deflated) % 2 == 0
        assert engine.unused_data in (b"", b"\0")
        odd += engine.unused_data == b"\0"
        assert converted(tmp_path, deflated, DEFLATED, EXPLICIT) == data
    assert odd > 0


def test_us_or_ss_follows_the_pixel_representation_wherever_it_stands(tmp_path: Path) -> None:
    smallest, zero_velocity = 0x00280106, 0x00189810  # the second stands before (0028,0103)
    for signed, vr in ((0, "US"), (1, "SS")):
        data = b"".join(
            [
                implicit(zero_velocity, b"\xff\xff"),
                implicit(0x00280103, struct.pack("<H", signed)),
                implicit(smallest, b"\xfe\xff"),
            ]
        )
        ds = parsed(converted(tmp_path, data, IMPLICIT, EXPLICIT), EXPLICIT)
        assert (ds[zero_velocity].VR, ds[smallest].VR) == (vr, vr)


def test_a_pixel_representation_of_one_byte_counts_with_the_one_that_pads_it(tmp_path: Path) -> None:
    data = implicit(0x00189810, b"\xff\xff") + implicit(0x00280103, b"\1") + implicit(0x00280106, b"\xfe\xff")
    once = converted(tmp_path, data, IMPLICIT, EXPLICIT)
    assert converted(tmp_path, converted(tmp_path, once, EXPLICIT, IMPLICIT), IMPLICIT, EXPLICIT) == once
    assert [element.VR for element in parsed(once, EXPLICIT)] == ["SS", "US", "SS"]


def test_private_elements_take_their_vr_from_their_creator(tmp_path: Path) -> None:
    data = implicit(0x00090010, b"GEMS_IDEN_01") + implicit(0x00091001, b"text") + implicit(0x00091101, b"nobody's")
    ds = parsed(converted(tmp_path, data, IMPLICIT, EXPLICIT), EXPLICIT)
    assert [element.VR for element in ds] == ["LO", "LO", "UN"]


def test_dicos_objects_take_dicoss_vrs(tmp_path: Path) -> None:
    """(0028,0008) is US in DICOS and IS in DICOM."""
    data = implicit(0x00280008, b"\xc8\0")
    file = file_of(tmp_path, data, IMPLICIT, sop_class_uid=DICOS_CT)
    assert b"".join(convert_chunks(file, EXPLICIT)) == explicit(0x00280008, b"US", b"\xc8\0")
    assert converted(tmp_path, data, IMPLICIT, EXPLICIT) == explicit(0x00280008, b"IS", b"\xc8\0")


def test_a_value_too_long_for_its_vr_is_written_as_un(tmp_path: Path) -> None:
    """16 bits of length do not hold it [PS3.5 6.2.2]."""
    data = implicit(0x00081030, b"x" * 70000)
    assert converted(tmp_path, data, IMPLICIT, EXPLICIT) == explicit(0x00081030, b"UN", b"x" * 70000)


def test_a_un_of_undefined_length_is_implicit_inside(tmp_path: Path) -> None:
    inside = ITEM + implicit(0x00081030, b"text") + ITEM_END + SEQUENCE_END
    data = opened(0x00091001, b"UN") + inside + explicit(0x00100020, b"LO", b"id")
    expected = opened(0x00091001) + inside + implicit(0x00100020, b"id")
    assert converted(tmp_path, data, EXPLICIT, IMPLICIT) == expected


def test_sequences_of_both_kinds_of_length_nest(tmp_path: Path) -> None:
    inner = explicit(0x00081150, b"UI", b"1.2\0")
    defined = explicit(0x00081110, b"SQ", implicit(0xFFFEE000, inner) + implicit(0xFFFEE000, b""))
    data = opened(0x00081115, b"SQ") + ITEM + defined + ITEM_END + SEQUENCE_END
    ds = parsed(converted(tmp_path, data, EXPLICIT, IMPLICIT), IMPLICIT)
    items = ds[0x00081115].value[0][0x00081110].value
    assert [len(item) for item in items] == [1, 0]
    assert items[0][0x00081150].value == "1.2"


def test_group_lengths_are_left_out(tmp_path: Path) -> None:
    """They would be wrong [PS3.5 7.2]."""
    data = explicit(0x00080000, b"UL", b"\1\2\3\4") + explicit(0x00080060, b"CS", b"CT")
    assert converted(tmp_path, data, EXPLICIT, IMPLICIT) == implicit(0x00080060, b"CT")


# Refusals


def test_pairs_that_are_not_converted_are_named(tmp_path: Path) -> None:
    assert can_convert(JPEG, JPEG)
    assert not can_convert(JPEG, EXPLICIT)
    assert not can_convert(EXPLICIT, JPEG)
    with pytest.raises(Part10Error, match=r"JPEG Baseline.*cannot be converted to Explicit VR Little Endian"):
        list(convert_chunks(file_of(tmp_path, b"x", JPEG), EXPLICIT))


def bomb(size: int) -> bytes:
    """Returns a deflated data set of zeros: 1000 bytes for each that is sent."""
    engine = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    head = struct.pack("<HH2s2xI", 0x7FE0, 0x0010, b"OW", size)
    return engine.compress(head + bytes(size)) + engine.flush()


def test_a_deflate_bomb_is_refused_by_its_ratio(tmp_path: Path) -> None:
    file = file_of(tmp_path, bomb(64 << 20), DEFLATED)
    given: list[int] = []
    tracemalloc.start()
    with pytest.raises(Part10Error, match=r"100 are allowed \(limit inflate_ratio\)"):
        given.extend(len(chunk) for chunk in convert_chunks(file, EXPLICIT))
    assert sum(given) <= 2 << 20
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_the_ratio_is_a_parameter_and_small_data_sets_are_spared(tmp_path: Path) -> None:
    small = file_of(tmp_path, bomb((1 << 20) - 100), DEFLATED)
    assert sum(map(len, convert_chunks(small, EXPLICIT))) == (1 << 20) - 88
    large = file_of(tmp_path, bomb(8 << 20), DEFLATED)
    assert sum(map(len, convert_chunks(large, IMPLICIT, limits=Limits(inflate_ratio=2000)))) == (8 << 20) + 8


@pytest.mark.parametrize(("limit", "fits"), [(999, False), (1000, True), (1001, True)])
def test_the_size_of_inflated_data_is_limited(tmp_path: Path, limit: int, fits: bool) -> None:
    file = file_of(tmp_path, bomb(1000 - 12), DEFLATED)
    if fits:
        assert sum(map(len, convert_chunks(file, EXPLICIT, limits=Limits(inflate_bytes=limit)))) == 1000
    else:
        with pytest.raises(Part10Error, match=r"more than 999 bytes \(limit inflate_bytes\)"):
            list(convert_chunks(file, EXPLICIT, limits=Limits(inflate_bytes=limit)))


def test_a_deflate_stream_that_is_cut_short_or_none_is_refused(tmp_path: Path) -> None:
    data = converted(tmp_path, data_set_of_bytes(FILES[0]), inspect(FILES[0]).transfer_syntax, DEFLATED)
    with pytest.raises(Part10Error, match="cut short"):
        converted(tmp_path, data[: len(data) // 2], DEFLATED, EXPLICIT)
    with pytest.raises(Part10Error, match="cannot be inflated"):
        converted(tmp_path, b"\xff" * 100, DEFLATED, EXPLICIT)


@pytest.mark.parametrize("depth", [63, 64, 65, 60_000])
@pytest.mark.parametrize("from_ts", [EXPLICIT, IMPLICIT])
def test_the_depth_of_sequences_is_limited(tmp_path: Path, from_ts: str, depth: int) -> None:
    opening = opened(0x00081115, b"SQ" if from_ts == EXPLICIT else b"") + ITEM
    data = opening * depth + (ITEM_END + SEQUENCE_END) * depth
    to_ts = IMPLICIT if from_ts == EXPLICIT else EXPLICIT
    if depth <= 64:
        assert converted(tmp_path, data, from_ts, to_ts)
    else:
        with pytest.raises(Part10Error, match=r"nested deeper than allowed \(limit sequence_depth: 64\)"):
            converted(tmp_path, data, from_ts, to_ts)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (explicit(0x00080060, b"CS", b"CT")[:-1], "cut short at byte 9: 1 bytes of a value are missing"),
        (
            explicit(0x00080060, b"CS", b"CT") + b"\x08\0",
            "an element header of 2 bytes, before byte 10 of the data set",
        ),
        (explicit(0x00080060, b"ZZ", b"CT"), r"\(0008,0060\) has the unknown VR b'ZZ', before byte 12"),
        (
            struct.pack("<HH2s2xI", 8, 0x1115, b"SQ", 100) + ITEM,
            "2 sequences and items that are not ended, before byte 20",
        ),
        (explicit(0x00081115, b"SQ", implicit(0xFFFEE000, b"")[:6]), "an element header of 6 bytes, before byte 12"),
        (opened(0x00081115, b"SQ") + implicit(0x00080060, b""), "an element where an item is to begin, before byte 12"),
        (ITEM, "an item outside a sequence, before byte 0"),
        (
            opened(0x7FE00010, b"OB") + ITEM,
            r"\(7FE0,0010\) is encapsulated, which the transfer syntax does not allow, before byte 12",
        ),
        (opened(0x00081115, b"SQ") + ITEM, "2 sequences and items that are not ended, before byte 20"),
        (
            explicit(0x00081115, b"SQ", struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFE)),
            "a length of 4294967294 with 0 bytes left, before byte 20",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(Part10Error, match=said):
        converted(tmp_path, data, EXPLICIT, IMPLICIT)


def test_a_length_of_4_gib_allocates_nothing(tmp_path: Path) -> None:
    data = struct.pack("<HH2s2xI", 0x7FE0, 0x0010, b"OW", 0xFFFFFFFE) + bytes(100)
    tracemalloc.start()
    with pytest.raises(Part10Error, match="cut short at byte 112: 4294967194 bytes of a value are missing"):
        converted(tmp_path, data, EXPLICIT, IMPLICIT)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def ends_of(data: bytes) -> set[int]:
    """Returns where the elements of the top level end, in an implicit data set without undefined lengths."""
    ends, at = {0}, 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at + 4)
        at += 8 + length
        ends.add(at)
    assert at == len(data)
    return ends


@pytest.mark.parametrize("to_ts", [EXPLICIT, DEFLATED])
def test_a_truncated_data_set_is_refused_unless_an_element_ends_there(to_ts: str) -> None:
    """The output until then is the beginning of the output of the whole data set."""
    data = data_set_of_bytes(next(path for path in FILES if path.name == "rtplan.dcm"))
    whole = b"".join(transcode.convert(lambda: pieces_of(data), IMPLICIT, EXPLICIT))
    ends = ends_of(data)
    for length in sorted({*range(0, len(data), 13), *ends}):
        out = zlib.decompressobj(-zlib.MAX_WBITS) if to_ts == DEFLATED else None
        found, said = b"", ""
        try:
            for piece in transcode.convert(lambda: pieces_of(data[:length]), IMPLICIT, to_ts, chunk=64):  # noqa: B023
                found += out.decompress(bytes(piece)) if out else bytes(piece)
        except TranscodeError as error:
            said = str(error)
        assert ("[PS3.5 7]" in said) == (length not in ends)
        assert said or out is None or out.eof
        assert whole.startswith(found)


def pieces_of(data: bytes) -> Generator[bytes, None, None]:
    yield data


def expected(data: bytes, from_ts: str, to_ts: str) -> bytes | None:
    """Returns the output by a reference walk, None if it refuses the data."""
    if DEFLATED in (from_ts, to_ts):
        return inflated_expected(data, from_ts, to_ts)
    if from_ts == to_ts:
        return data
    vr_of = (lambda tag: transcode.dictionary("")(tag, transcode.Scope())) if from_ts == IMPLICIT else unknown
    try:
        tokens = walk(data, implicit=from_ts == IMPLICIT, little=True, vr_of=vr_of)
    except Refused:
        return None
    return rewritten(tokens, explicit=to_ts == EXPLICIT)


def inflated_expected(data: bytes, from_ts: str, to_ts: str) -> bytes | None:
    """Does the same if a side is deflated: it is compared inflated."""
    if from_ts == to_ts:
        return data
    if to_ts == DEFLATED:
        return checked(data) if from_ts == EXPLICIT else expected(data, from_ts, EXPLICIT)
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inner = engine.decompress(data)
    except zlib.error:
        return None
    rest = engine.unused_data
    if not engine.eof or (len(rest) > 9 and rest.strip(b"\0")):
        return None
    return checked(inner) if to_ts == EXPLICIT else expected(inner, EXPLICIT, to_ts)


def checked(data: bytes) -> bytes | None:
    """Returns a data set in explicit VR unchanged, None if the reference walk refuses it."""
    try:
        walk(data, implicit=False, little=True, vr_of=unknown)
    except Refused:
        return None
    return data


@pytest.mark.parametrize(("from_ts", "to_ts"), [(EXPLICIT, DEFLATED), (DEFLATED, EXPLICIT)])
def test_what_is_no_data_set_is_refused_although_nothing_is_rewritten(from_ts: str, to_ts: str) -> None:
    good = explicit(0x00080060, b"CS", b"CT") + explicit(0x00080070, b"LO", b"Acme")
    for data, fault in (
        (good[:-2], "cut short"),
        (b"Dear diary, this is no data set. " * 50, "byte"),
        (good + ITEM, "byte"),
    ):
        given = b"".join(transcode.deflate(iter([data]))) if from_ts == DEFLATED else data
        with pytest.raises(TranscodeError, match=fault):
            list(transcode.convert(lambda given=given: pieces_of(given), from_ts, to_ts))  # type: ignore[misc]


STANDARD = st.sampled_from(CONVERTIBLE[:3])
"""The transfer syntaxes that the reference walk knows; `test_extended` has one for that of DICOS."""


def converts_as_expected(data: bytes, from_ts: str, to_ts: str) -> None:
    try:
        found = b"".join(transcode.convert(lambda: pieces_of(data), from_ts, to_ts))
    except TranscodeError:
        assert expected(data, from_ts, to_ts) is None
        return
    if to_ts == DEFLATED != from_ts:
        found = zlib.decompressobj(-zlib.MAX_WBITS).decompress(found)
    assert found == expected(data, from_ts, to_ts)


@pytest.mark.measured
@settings(deadline=None)
@given(data=st.binary(max_size=300), from_ts=STANDARD, to_ts=STANDARD)
def test_garbage_is_refused_or_comes_out_as_a_reference_walk_says(data: bytes, from_ts: str, to_ts: str) -> None:
    converts_as_expected(data, from_ts, to_ts)


HEADERS = st.sampled_from(
    [
        ITEM,
        ITEM_END,
        SEQUENCE_END,
        opened(0x00081115, b"SQ"),
        opened(0x00081115),
        opened(0x00091001, b"UN"),
        implicit(0xFFFEE000, b""),
        struct.pack("<HHI", 0xFFFE, 0xE000, 24),
        explicit(0x00081115, b"SQ", b""),
        struct.pack("<HH2s2xI", 8, 0x1115, b"SQ", 40),
        struct.pack("<HH2s2xI", 8, 0, b"SQ", 40),
        explicit(0x00080060, b"CS", b"CT"),
        implicit(0x00080060, b"CT"),
        implicit(0x00280103, b"\1\0"),
    ]
)


@pytest.mark.measured
@settings(deadline=None)
@given(parts=st.lists(HEADERS, max_size=20), from_ts=STANDARD, to_ts=STANDARD)
def test_any_nesting_of_headers_comes_out_as_a_reference_walk_says(
    parts: list[bytes], from_ts: str, to_ts: str
) -> None:
    data = b"".join(parts)
    converts_as_expected(b"".join(transcode.deflate(iter([data]))) if from_ts == DEFLATED else data, from_ts, to_ts)


@settings(deadline=None)
@given(parts=st.lists(HEADERS, max_size=20), to_ts=st.sampled_from([IMPLICIT, EXPLICIT]))
def test_what_is_converted_converts_back_and_is_the_same_there_again(parts: list[bytes], to_ts: str) -> None:
    from_ts = EXPLICIT if to_ts == IMPLICIT else IMPLICIT
    data = b"".join(parts)
    try:
        there = b"".join(transcode.convert(lambda: pieces_of(data), from_ts, to_ts))
    except TranscodeError:
        return
    back = b"".join(transcode.convert(lambda: pieces_of(there), to_ts, from_ts))
    again = b"".join(transcode.convert(lambda: pieces_of(back), from_ts, to_ts))
    if to_ts == IMPLICIT:
        assert again == there
    else:  # implicit VR does not tell which of two a value had
        assert [element.tag for element in parsed(again, to_ts).iterall()] == [
            element.tag for element in parsed(there, to_ts).iterall()
        ]


def test_memory_is_flat_whatever_the_size_of_an_element(tmp_path: Path) -> None:
    size = 200 << 20
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.write(struct.pack("<HHI", 0x7FE0, 0x0010, size))
        file.truncate(8 + size)
    large = Part10File(
        path=path,
        sop_class_uid=CT,
        sop_instance_uid="1.2.3",
        transfer_syntax=IMPLICIT,
        data_offset=0,
        data_length=8 + size,
    )
    transcode.dictionary("")  # pydicom's own memory is not counted
    tracemalloc.start()
    total = sum(map(len, convert_chunks(large, EXPLICIT)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == size + 12
    assert peak < 8 << 20


def test_a_closed_conversion_closes_its_file(tmp_path: Path) -> None:
    closed = []

    def read() -> Generator[bytes, None, None]:
        try:
            yield explicit(0x00081030, b"LO", b"x" * 100) * 10
        finally:
            closed.append(True)

    chunks = transcode.convert(read, EXPLICIT, IMPLICIT, chunk=100)
    assert next(chunks)
    assert not closed
    chunks.close()
    assert closed == [True]


def test_sequences_pydicom_builds_survive_every_way(tmp_path: Path) -> None:
    ds = Dataset()
    ds.PatientName = "Müller^Jürgen"
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ReferencedSeriesSequence = Sequence([Dataset(), Dataset()])
    ds.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"
    ds.ReferencedSeriesSequence[1].ReferencedInstanceSequence = Sequence([])
    for from_ts in CONVERTIBLE:
        for to_ts in CONVERTIBLE:
            data = converted(tmp_path, written(ds, from_ts), from_ts, to_ts)
            assert parsed(data, to_ts) == ds


# Padding, and names


def test_odd_values_are_made_even_by_what_their_vr_is_padded_with() -> None:
    inner = explicit(0x00080060, b"CS", b"ABC") + explicit(0x00081150, b"UI", b"1.2")
    data = explicit(0x00080000, b"UL", b"\1\2\3\4") + explicit(0x00080018, b"UI", b"1.2.3")
    data += opened(0x00081115, b"SQ") + ITEM + inner + ITEM_END + SEQUENCE_END
    data += explicit(0x00100010, b"PN", b"A" * 301) + explicit(0x00420011, b"OB", b"B" * 301)
    wanted = explicit(0x00080018, b"UI", b"1.2.3\0") + opened(0x00081115, b"SQ") + ITEM
    wanted += explicit(0x00080060, b"CS", b"ABC ") + explicit(0x00081150, b"UI", b"1.2\0") + ITEM_END + SEQUENCE_END
    wanted += explicit(0x00100010, b"PN", b"A" * 301 + b" ") + explicit(0x00420011, b"OB", b"B" * 301 + b"\0")
    for size in (1, 7, 64, 5000):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert b"".join(transcode.padded(pieces, EXPLICIT)) == wanted
        assert b"".join(transcode.padded([data], EXPLICIT, chunk=size)) == wanted
    assert b"".join(transcode.padded([implicit(0x00100010, b"ABC")], IMPLICIT)) == implicit(0x00100010, b"ABC ")


def test_a_long_group_length_is_left_out_wherever_it_is_cut() -> None:
    data = explicit(0x00080000, b"OB", b"x" * 301) + explicit(0x00080060, b"CS", b"CT")
    for size in (1, 100, 1000):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert b"".join(transcode.padded(pieces, EXPLICIT)) == explicit(0x00080060, b"CS", b"CT")


@pytest.mark.parametrize("syntax", [JPEG, IMPLICIT])
def test_fragments_pass_as_they_are(syntax: str) -> None:
    fragments = implicit(0xFFFEE000, b"") + implicit(0xFFFEE000, b"x" * 301) + implicit(0xFFFEE000, b"yy")
    data = opened(0x7FE00010, b"" if syntax == IMPLICIT else b"OB") + fragments + SEQUENCE_END
    for size in (1, 100, 1000):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert b"".join(transcode.padded(pieces, syntax)) == data


def test_fragments_are_not_converted() -> None:
    data = opened(0x7FE00010) + implicit(0xFFFEE000, b"") + SEQUENCE_END
    with pytest.raises(TranscodeError, match=r"\(7FE0,0010\) is encapsulated"):
        list(transcode.convert(lambda: pieces_of(data), IMPLICIT, EXPLICIT))


NAMES = explicit(0x00080016, b"UI", CT.encode()) + explicit(0x00080018, b"UI", b"1.2.3\0")


@pytest.mark.parametrize(
    ("data", "syntax", "found"),
    [
        (NAMES, EXPLICIT, (CT, "1.2.3")),
        (NAMES + b"no data set", EXPLICIT, (CT, "1.2.3")),
        (NAMES + b"no data set", JPEG, (CT, "1.2.3")),
        (NAMES + b"no data set", "1.2.3.4", (CT, "1.2.3")),
        (b"".join(transcode.deflate(iter([NAMES]))), DEFLATED, (CT, "1.2.3")),
        (implicit(0x00080018, b"1.2.3 "), IMPLICIT, ("", "1.2.3")),
        (struct.pack(">HH2sH", 8, 0x18, b"UI", 4) + b"1.2\0", "1.2.840.10008.1.2.2", ("", "1.2")),
        (explicit(0x00080060, b"CS", b"CT") + NAMES, EXPLICIT, ("", "")),  # out of order: read no further
        (explicit(0x00081115, b"SQ", b"") + NAMES, EXPLICIT, ("", "")),
        (explicit(0x00080018, b"UI", b"1" * 130), EXPLICIT, ("", "")),
        (explicit(0x00080006, b"SQ", implicit(0xFFFEE000, NAMES)), EXPLICIT, ("", "")),
        (b"", EXPLICIT, ("", "")),
    ],
)
def test_names_are_those_that_the_beginning_says(data: bytes, syntax: str, found: tuple[str, str]) -> None:
    assert transcode.sop_uids([data], syntax) == found
    assert transcode.sop_uids([data[at : at + 1] for at in range(len(data))], syntax) == found


def test_names_are_read_no_further_than_they_are() -> None:
    """A fault before the names is reported."""

    def read() -> Generator[bytes, None, None]:
        yield NAMES
        raise AssertionError

    assert transcode.sop_uids(read(), EXPLICIT) == (CT, "1.2.3")
    with pytest.raises(TranscodeError, match="no value representation"):
        transcode.sop_uids([b"no data set"], EXPLICIT)
    with pytest.raises(TranscodeError, match="an element header of 3 bytes"):
        transcode.sop_uids([b"\x08\0\x16"], EXPLICIT)


def test_each_limit_is_held_to() -> None:
    data = (opened(0x00081115, b"SQ") + ITEM) * 3 + (ITEM_END + SEQUENCE_END) * 3
    assert list(transcode.padded([data], EXPLICIT, limits=Limits(sequence_depth=3)))
    less = Limits(sequence_depth=2)
    with pytest.raises(TranscodeError, match=r"limit sequence_depth: 2"):
        list(transcode.padded([data], EXPLICIT, limits=less))
    with pytest.raises(TranscodeError, match=r"limit sequence_depth: 2"):
        list(transcode.convert(lambda: pieces_of(data), EXPLICIT, IMPLICIT, limits=less))
    with pytest.raises(TranscodeError, match=r"limit sequence_depth: 2"):
        transcode.sop_uids([opened(0x00080006, b"SQ") + data[12:]], EXPLICIT, limits=less)
    bytes_out = bomb(100_000)
    whole = b"".join(transcode.inflate([bytes_out], chunk=1000, limits=Limits(inflate_bytes=100_012)))
    assert whole[12:] == bytes(100_000)
    with pytest.raises(TranscodeError, match=r"limit inflate_ratio"):
        list(transcode.inflate([bytes_out], chunk=1000, limits=Limits(inflate_unjudged_bytes=5000)))
    with pytest.raises(TranscodeError, match=r"more than 100011 bytes \(limit inflate_bytes\)"):
        list(transcode.inflate([bytes_out], chunk=1000, limits=Limits(inflate_bytes=100_011)))
