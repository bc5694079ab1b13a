"""Conversion between the uncompressed little endian syntaxes: what comes out is what pydicom would have written,
and bad input is refused before it costs anything."""

import io
import struct
import tracemalloc
import warnings
import zlib
from collections.abc import Generator
from contextlib import suppress
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
from dicos_proto.data.transcode import TranscodeError  # noqa: E402
from dicos_transports.files.part10 import CONVERTIBLE, Part10Error, Part10File, can_convert, convert_chunks, inspect  # noqa: E402

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
    """Every file of pydicom's that can be converted."""
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
    """The data set as pydicom writes it."""
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, syntax == IMPLICIT
    write_dataset(out, ds)
    data: bytes = out.getvalue()
    if syntax == DEFLATED:
        engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = engine.compress(data) + engine.flush()
    return data


def data_set_of(path: Path) -> Dataset:
    """As pydicom reads it, unaltered by anything it decodes on the way."""
    file = inspect(path)
    return parsed(path.read_bytes()[file.data_offset :], file.transfer_syntax)


def differences(ours: Dataset, theirs: Dataset, where: str = "") -> list[str]:
    """Tags, VRs and values that differ, items of sequences included."""
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
    """A bare data set on disk, as if its meta information had been read already."""
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
    if vr in transcode.SHORT_VRS:
        return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value
    return struct.pack("<HH2s2xI", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def implicit(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def opened(tag: int, vr: bytes = b"") -> bytes:
    """A header of undefined length, explicit if there is a VR."""
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    return head + (vr + b"\0\0" if vr else b"") + b"\xff\xff\xff\xff"


ITEM, ITEM_END, SEQUENCE_END = opened(0xFFFEE000), implicit(0xFFFEE00D, b""), implicit(0xFFFEE0DD, b"")


# What comes out


@pytest.mark.parametrize("to_ts", CONVERTIBLE)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_of_pydicoms_comes_out_as_pydicom_writes_it(path: Path, to_ts: str) -> None:
    file = inspect(path)
    ours = b"".join(convert_chunks(file, to_ts))
    if file.transfer_syntax == to_ts:
        assert ours == path.read_bytes()[file.data_offset :]
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what pydicom thinks of these files is no matter here
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
    """PS3.5 A.5; the padding is one NUL after the end of the stream."""
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
    """PS3.5 6.2.2: 16 bits of length do not hold it."""
    data = implicit(0x00081030, b"x" * 70000)
    assert converted(tmp_path, data, IMPLICIT, EXPLICIT) == explicit(0x00081030, b"UN", b"x" * 70000)


def test_a_un_of_undefined_length_is_implicit_inside(tmp_path: Path) -> None:
    """PS3.5 6.2.2"""
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
    """PS3.5 7.2: they would be wrong."""
    data = explicit(0x00080000, b"UL", b"\1\2\3\4") + explicit(0x00080060, b"CS", b"CT")
    assert converted(tmp_path, data, EXPLICIT, IMPLICIT) == implicit(0x00080060, b"CT")


# What is refused


def test_pairs_that_are_not_converted_are_named(tmp_path: Path) -> None:
    assert can_convert(JPEG, JPEG)
    assert not can_convert(JPEG, EXPLICIT)
    assert not can_convert(EXPLICIT, JPEG)
    with pytest.raises(Part10Error, match=r"JPEG Baseline.*cannot be converted to Explicit VR Little Endian"):
        list(convert_chunks(file_of(tmp_path, b"x", JPEG), EXPLICIT))


def bomb(size: int) -> bytes:
    """A deflated data set of zeros: 1000 bytes for each that is sent."""
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
    assert sum(map(len, convert_chunks(large, IMPLICIT, inflate_ratio=2000))) == (8 << 20) + 8


@pytest.mark.parametrize(("limit", "fits"), [(999, False), (1000, True), (1001, True)])
def test_the_size_of_inflated_data_is_limited(tmp_path: Path, limit: int, fits: bool) -> None:
    file = file_of(tmp_path, bomb(1000 - 12), DEFLATED)
    if fits:
        assert sum(map(len, convert_chunks(file, EXPLICIT, inflate_bytes=limit))) == 1000
    else:
        with pytest.raises(Part10Error, match=r"more than 999 bytes \(limit inflate_bytes\)"):
            list(convert_chunks(file, EXPLICIT, inflate_bytes=limit))


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
        with pytest.raises(Part10Error, match=r"nested deeper than 64 .*\(limit: depth\)"):
            converted(tmp_path, data, from_ts, to_ts)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (explicit(0x00080060, b"CS", b"CT")[:-1], "ends at byte 9, 1 byte short"),
        (explicit(0x00080060, b"CS", b"CT") + b"\x08\0", "6 bytes short"),
        (explicit(0x00080060, b"ZZ", b"CT"), r"\(0008,0060\) at byte 0 has the unknown VR b'ZZ'"),
        (struct.pack("<HH2s2xI", 8, 0x1115, b"SQ", 100) + ITEM, "ends at byte 20, 8 bytes short"),
        (explicit(0x00081115, b"SQ", implicit(0xFFFEE000, b"")[:6]), "crosses its parent's end"),
        (opened(0x00081115, b"SQ") + implicit(0x00080060, b""), r"where an item of a sequence should be"),
        (ITEM, "where a data element should be"),
        (opened(0x7FE00010, b"OB") + ITEM, "is encapsulated"),
        (opened(0x00081115, b"SQ") + ITEM, "ends at byte 20, 8 bytes short"),
        (
            explicit(0x00081115, b"SQ", struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFE)),
            "says 4294967294 bytes; its parent has 0",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(Part10Error, match=said):
        converted(tmp_path, data, EXPLICIT, IMPLICIT)


def test_a_length_of_4_gib_allocates_nothing(tmp_path: Path) -> None:
    data = struct.pack("<HH2s2xI", 0x7FE0, 0x0010, b"OW", 0xFFFFFFFE) + bytes(100)
    tracemalloc.start()
    with pytest.raises(Part10Error, match="4294967194 bytes short"):
        converted(tmp_path, data, EXPLICIT, IMPLICIT)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("to_ts", [EXPLICIT, DEFLATED])
def test_a_truncated_data_set_raises_nothing_else(tmp_path: Path, to_ts: str) -> None:
    data = data_set_of_bytes(next(path for path in FILES if path.name == "rtplan.dcm"))
    file = file_of(tmp_path, data, IMPLICIT)
    for length in range(0, file.data_length, 13):
        cut = file_of(tmp_path, data[:length], IMPLICIT)
        with suppress(Part10Error):
            list(convert_chunks(cut, to_ts))


def pieces_of(data: bytes) -> Generator[bytes, None, None]:
    yield data


@pytest.mark.measured
@settings(deadline=None)
@given(data=st.binary(max_size=300), from_ts=st.sampled_from(CONVERTIBLE), to_ts=st.sampled_from(CONVERTIBLE))
def test_garbage_raises_nothing_else(data: bytes, from_ts: str, to_ts: str) -> None:
    with suppress(TranscodeError):
        b"".join(transcode.convert(lambda: pieces_of(data), from_ts, to_ts))


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
@given(parts=st.lists(HEADERS, max_size=20), to_ts=st.sampled_from([IMPLICIT, EXPLICIT]))
def test_any_nesting_of_headers_converts_or_is_refused(parts: list[bytes], to_ts: str) -> None:
    """And what is converted converts back."""
    from_ts = EXPLICIT if to_ts == IMPLICIT else IMPLICIT
    data = b"".join(parts)
    try:
        there = b"".join(transcode.convert(lambda: pieces_of(data), from_ts, to_ts))
    except TranscodeError:
        return
    assert b"".join(transcode.convert(lambda: pieces_of(there), to_ts, from_ts)) is not None


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
