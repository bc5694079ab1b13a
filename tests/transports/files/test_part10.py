"""Reading Part 10 files: what `inspect` says is what pydicom says, and a bad file is one clear line."""

import os
import random
import re
import struct
import time
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dicos_proto.data.elements import LONG_VRS, SHORT_VRS
from dicos_proto.registry import uids
from dicos_transports.files.data_sets import convert_chunks
from dicos_transports.files.finding import FolderError, find_files
from dicos_transports.files.part10 import CHUNK, META_LIMIT, Part10Error, Part10File, inspect, read_chunks, read_whole
from dicos_transports.files.writer import file_header

pydicom = pytest.importorskip("pydicom")

SHIPPED = Path(pydicom.__path__[0]) / "data" / "test_files"
FILES = sorted(path for path in SHIPPED.rglob("*") if path.is_file())
# pydicom's files that are not Part 10 files, or that a C-STORE cannot name.
UNUSABLE = {
    "no_meta.dcm": "not a DICOM file",
    "README": "not a DICOM file",
    "empty_charset_LEI.dcm": r"\(0008,0016\)",
    "nested_priv_SQ.dcm": r"\(0008,0016\)",
    "meta_missing_tsyntax.dcm": r"no Transfer Syntax UID \(0002,0010\)",
    **dict.fromkeys(
        (path.name for path in FILES if path.suffix in {".txt", ".json", ".dump", ".icc", ".gz"}),
        "not a DICOM file",
    ),
}

BARE = {
    "ExplVR_BigEndNoMeta.dcm": "1.2.840.10008.1.2.2",
    "ExplVR_LitEndNoMeta.dcm": "1.2.840.10008.1.2.1",
    "rtstruct.dcm": "1.2.840.10008.1.2",
}
"""Files without preamble and meta information, and what they are in."""

CT = "1.2.840.10008.5.1.4.1.1.2"
UID = "1.2.3.4"
EXPLICIT = "1.2.840.10008.1.2.1"
JPEG = "1.2.840.10008.1.2.4.50"
DATA = struct.pack("<HH2sH", 0x0008, 0x0060, b"CS", 2) + b"CT"
GOOD = file_header(CT, UID, EXPLICIT, "AE") + DATA


def meta(element: int, vr: bytes, value: bytes, *, length: int | None = None) -> bytes:
    """An element of group 0002 that may lie about its length."""
    size = len(value) if length is None else length
    if vr in (b"OB", b"UN"):
        return struct.pack("<HH2s2xI", 2, element, vr, size) + value
    return struct.pack("<HH2sH", 2, element, vr, size) + value


SYNTAX = meta(0x0010, b"UI", EXPLICIT.encode() + b"\0")
CLASS = meta(0x0002, b"UI", CT.encode() + b"\0")
INSTANCE = meta(0x0003, b"UI", UID.encode() + b"\0")


def file_with(folder: Path, *parts: bytes) -> Path:
    path = folder / "file.dcm"
    path.write_bytes(bytes(128) + b"DICM" + b"".join(parts))
    return path


# The contents of a file


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.name not in {*UNUSABLE, *BARE}], ids=lambda path: path.name
)
def test_inspect_agrees_with_pydicom(path: Path) -> None:
    file = inspect(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        info = pydicom.filereader.read_file_meta_info(path)
        ds = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID", "SOPInstanceUID"])
    assert file.path == path
    assert file.transfer_syntax == info.TransferSyntaxUID
    if file.transfer_syntax == "1.2.840.10008.1.2.1.99":  # what is deflated is not looked into
        ds = info
    assert file.sop_class_uid == ds.get("SOPClassUID", info.get("MediaStorageSOPClassUID"))
    assert file.sop_instance_uid == ds.get("SOPInstanceUID", info.get("MediaStorageSOPInstanceUID"))
    if "FileMetaInformationGroupLength" in info:
        assert file.data_offset == 144 + info.FileMetaInformationGroupLength
    assert file.data_offset + file.data_length == path.stat().st_size


@pytest.mark.parametrize("name", BARE)
def test_a_bare_data_set_is_recognised(name: str) -> None:
    path = next(SHIPPED.rglob(name))
    file = inspect(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(path, force=True)
    assert (file.sop_class_uid, file.sop_instance_uid) == (ds.SOPClassUID, ds.SOPInstanceUID)
    assert (file.transfer_syntax, file.data_offset, file.data_length) == (BARE[name], 0, path.stat().st_size)


@pytest.mark.parametrize("path", [path for path in FILES if path.name in UNUSABLE], ids=lambda path: path.name)
def test_files_that_cannot_be_stored_say_why(path: Path) -> None:
    with pytest.raises(Part10Error, match=UNUSABLE[path.name]):
        inspect(path)


def test_every_file_of_pydicoms_is_used() -> None:
    assert len(FILES) > 100


@pytest.mark.parametrize("chunk", [1, 7, 1000, 1 << 20])
def test_the_data_set_is_read_as_it_lies_on_disk(chunk: int) -> None:
    path = SHIPPED / "MR_small.dcm"
    file = inspect(path)
    pieces = list(read_chunks(file, chunk=chunk))
    assert b"".join(pieces) == path.read_bytes()[file.data_offset :]
    assert max(map(len, pieces)) <= chunk


def test_pieces_that_are_kept_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "file"
    content = random.Random(1).randbytes(5 * CHUNK + 100)
    path.write_bytes(GOOD + content)
    chunks = read_chunks(inspect(path))
    first = next(chunks)
    part = memoryview(next(chunks))[10:20]
    kept = [first, *chunks]
    whole = DATA + content
    assert bytes(part) == whole[CHUNK + 10 : CHUNK + 20]
    assert b"".join(kept) == whole[:CHUNK] + whole[2 * CHUNK :]
    assert isinstance(kept[-1], bytes)  # a small one keeps no large buffer


@pytest.mark.parametrize(
    "chunk", [size // 16 for size in (CHUNK, 2 * CHUNK, 3 * CHUNK, 5 * CHUNK, 9 * CHUNK, 16 * CHUNK)]
)
def test_pieces_that_are_kept_keep_less_than_twice_their_size(tmp_path: Path, chunk: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(GOOD)
    os.truncate(path, len(GOOD) + 16 * CHUNK)
    file = inspect(path)
    tracemalloc.start()
    try:
        kept = list(read_chunks(file, chunk=chunk))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(map(len, kept)) == file.data_length
    assert taken < 2 * file.data_length


@pytest.mark.parametrize("size", [CHUNK // 8, CHUNK // 8 + 2, CHUNK // 4, CHUNK // 4 + 2, CHUNK])
def test_data_sets_that_are_read_whole_keep_less_than_twice_their_size(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    content = random.Random(size).randbytes(size - len(DATA))
    path.write_bytes(GOOD + content)
    file = inspect(path)
    tracemalloc.start()
    try:
        kept = [read_whole(file) for _ in range(20)]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert all(each == DATA + content for each in kept)
    assert taken < 2 * 20 * size + CHUNK


def test_memory_of_pieces_that_are_not_kept_is_used_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(GOOD)
    os.truncate(path, 20 * CHUNK)
    buffers = set()
    for piece in read_chunks(inspect(path)):
        assert isinstance(piece, memoryview)
        buffers.add(id(piece.obj))
    assert len(buffers) <= 2


def test_a_conversion_of_what_takes_many_pieces_can_be_kept(tmp_path: Path) -> None:
    """Converted data comes in views of memory that is reused, on each path of the conversion."""
    path = tmp_path / "file"
    value = random.Random(2).randbytes(3 * CHUNK)
    path.write_bytes(GOOD + struct.pack("<HH2s2xI", 0x7FE0, 0x0010, b"OB", len(value)) + value)
    whole = path.read_bytes()[len(GOOD) - len(DATA) :]
    file = inspect(path)
    assert b"".join(list(convert_chunks(file, EXPLICIT))) == whole
    deflated = b"".join(list(convert_chunks(file, uids.DEFLATED_EXPLICIT_VR_LE)))
    assert zlib.decompressobj(-zlib.MAX_WBITS).decompress(deflated) == whole
    implicit = b"".join(list(convert_chunks(file, uids.IMPLICIT_VR_LE)))
    assert implicit.endswith(b"\xe0\x7f\x10\0" + struct.pack("<I", len(value)) + value)


def test_uids_lose_their_padding(tmp_path: Path) -> None:
    path = file_with(tmp_path, meta(2, b"UI", b"1.2 \0\0"), meta(3, b"UI", b"1.3 "), SYNTAX, DATA)
    file = inspect(path)
    assert (file.sop_class_uid, file.sop_instance_uid, file.transfer_syntax) == ("1.2", "1.3", EXPLICIT)


@pytest.mark.parametrize("declared", [None, 0, 3, 40, 1000, 0xFFFFFFFF])
def test_a_missing_or_wrong_group_length_does_no_harm(tmp_path: Path, declared: int | None) -> None:
    length = b"" if declared is None else meta(0, b"UL", struct.pack("<I", declared))
    file = inspect(file_with(tmp_path, length, CLASS, INSTANCE, SYNTAX, DATA))
    assert (file.sop_instance_uid, file.data_length) == (UID, len(DATA))


def test_deflated_data_that_looks_like_meta_information_is_none(tmp_path: Path) -> None:
    """Its first bytes may be anything: before it the group length is believed."""
    syntax = meta(0x0010, b"UI", b"1.2.840.10008.1.2.1.99")
    elements = CLASS + INSTANCE + syntax
    length = meta(0, b"UL", struct.pack("<I", len(elements)))
    file = inspect(file_with(tmp_path, length, elements, b"\2\0\0\1UI\0\xff" + bytes(8)))
    assert file.data_length == 16


@pytest.mark.parametrize(
    ("syntax", "order", "is_explicit"),
    [
        ("1.2.840.10008.1.2", "<", False),
        ("1.2.840.10008.1.2.1", "<", True),
        ("1.2.840.10008.1.2.2", ">", True),
        ("1.2.840.10008.1.2.4.50", "<", True),
    ],
)
def test_uids_missing_in_the_meta_information_are_found_in_the_data_set(
    tmp_path: Path, syntax: str, order: str, is_explicit: bool
) -> None:
    def element(tag: int, value: bytes) -> bytes:
        if is_explicit:
            return struct.pack(order + "HH2sH", 8, tag, b"UI", len(value)) + value
        return struct.pack(order + "HHI", 8, tag, len(value)) + value

    data = element(0x0005, b"") + element(0x0016, b"1.2\0") + element(0x0018, b"1.3\0") + b"\x10\0 anything"
    path = file_with(tmp_path, meta(0x0010, b"UI", syntax.encode()), data)
    file = inspect(path)
    assert (file.sop_class_uid, file.sop_instance_uid) == ("1.2", "1.3")
    assert file.data_length == len(data)
    path = file_with(tmp_path, INSTANCE, meta(0x0010, b"UI", syntax.encode()), data)
    assert inspect(path).sop_instance_uid == "1.3"  # receivers compare it with the command
    path = file_with(tmp_path, INSTANCE, meta(0x0010, b"UI", syntax.encode()), data.replace(b"1.3\0", b"A^B\0"))
    assert inspect(path).sop_instance_uid == UID  # an invalid UID cannot name the instance


def test_inspecting_takes_microseconds(tmp_path: Path) -> None:
    path = tmp_path / "file.dcm"
    path.write_bytes(GOOD)
    best = min(_timed(path) for _ in range(5))
    assert best < 0.05, f"100 calls of inspect took {best:.3f} s"  # 2 ms on a quiet machine


def _timed(path: Path) -> float:
    start = time.process_time()
    for _ in range(100):
        inspect(path)
    return time.process_time() - start


# Bad files


def test_a_file_cut_anywhere_in_its_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.dcm"
    for length in range(len(GOOD) - len(DATA) + 8):
        path.write_bytes(GOOD[:length])
        with pytest.raises(Part10Error, match="not a DICOM file" if length < 132 else "is cut short"):
            inspect(path)


@pytest.mark.parametrize("vr", [b"OB", b"UN"])
@pytest.mark.parametrize("length", [META_LIMIT, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF])
def test_a_giant_meta_element_is_refused_before_it_is_read(tmp_path: Path, vr: bytes, length: int) -> None:
    path = file_with(tmp_path, meta(1, vr, b"", length=length), bytes(1000))
    tracemalloc.start()
    with pytest.raises(Part10Error, match=rf"has {length} bytes; {META_LIMIT} are allowed"):
        inspect(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(("size", "fits"), [(-1, True), (0, True), (1, False)])
def test_the_meta_information_has_a_limit(tmp_path: Path, size: int, fits: bool) -> None:
    known = CLASS + INSTANCE + SYNTAX
    filler = meta(0x0102, b"OB", bytes(META_LIMIT - len(known) - 12 + size))
    path = file_with(tmp_path, known, filler, DATA)
    if fits:
        assert inspect(path).data_length == len(DATA)
    else:
        with pytest.raises(Part10Error, match=f"{META_LIMIT} are allowed"):
            inspect(path)


def test_endless_empty_meta_elements_are_refused(tmp_path: Path) -> None:
    path = file_with(tmp_path, meta(0x0102, b"UI", b"") * 20_000)
    with pytest.raises(Part10Error, match=f"{META_LIMIT} are allowed"):
        inspect(path)


@pytest.mark.parametrize("vr", [b"\0\0", b"ui", b"ZZ", b"\xff\xff"])
def test_an_unknown_vr_in_the_meta_information_is_refused(tmp_path: Path, vr: bytes) -> None:
    path = file_with(tmp_path, CLASS, meta(3, vr, b"1.2\0"), SYNTAX, DATA)
    with pytest.raises(Part10Error, match=r"\(0002,0003\) at byte 166 has the VR"):
        inspect(path)


def test_a_nameless_object_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Part10Error, match=r"no \(0008,0016\)"):
        inspect(file_with(tmp_path, SYNTAX, DATA))
    with pytest.raises(Part10Error, match=r"no \(0008,0018\)"):
        inspect(file_with(tmp_path, CLASS, SYNTAX, DATA))
    with pytest.raises(Part10Error, match=r"neither .* group 0000, which is not allowed in a data set"):
        inspect(file_with(tmp_path, SYNTAX, bytes(100)))


def test_a_deflate_bomb_without_uids_is_refused(tmp_path: Path) -> None:
    engine = zlib.compressobj(9, wbits=-15)
    head = struct.pack("<HH2s2xI", 8, 1, b"OB", 32 << 20)
    bomb = engine.compress(head + bytes(32 << 20)) + engine.flush()
    path = file_with(tmp_path, meta(0x0010, b"UI", b"1.2.840.10008.1.2.1.99"), bomb)
    with pytest.raises(Part10Error, match="inflate_ratio"):
        inspect(path)


@pytest.mark.parametrize(("content", "said"), [(b"", "it is empty"), (b"x", "no DICM"), (b"x" * 500, "no DICM")])
def test_what_is_no_dicom_file_is_called_that(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(Part10Error, match=f"not a DICOM file: {said}"):
        inspect(path)


def test_missing_paths_folders_and_pipes_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(Part10Error, match=r"cannot be read: no such file or directory$"):
        inspect(tmp_path / "missing")
    with pytest.raises(Part10Error, match=r"is a folder$"):
        inspect(tmp_path)
    with pytest.raises(Part10Error, match=r"null (byte|character)"):
        inspect(tmp_path / "nul\0")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Part10Error, match=r"is not a regular file$"):
        inspect(tmp_path / "pipe")  # and nobody waits for a writer


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(GOOD)
    path.chmod(0)
    with pytest.raises(Part10Error, match="permission denied"):
        inspect(path)


def test_a_transfer_syntax_with_control_characters_is_quoted_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "file.dcm"
    path.write_bytes(file_header(CT, UID, "1.2\x1b[2J\n3\x00", "AE") + DATA)
    file = inspect(path)
    with pytest.raises(Part10Error, match=r"is in 1\.2\\x1b\[2J\\n3, which cannot be converted") as caught:
        next(convert_chunks(file, EXPLICIT))
    assert str(caught.value).isprintable()
    assert caught.value.reason.isprintable()


def test_a_path_with_control_characters_stays_one_line(tmp_path: Path) -> None:
    with pytest.raises(Part10Error) as caught:
        inspect(tmp_path / "two\nlines\udc80")
    assert str(caught.value).isprintable()


def test_a_file_that_shrinks_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(GOOD + bytes(100))
    chunks = read_chunks(inspect(path), chunk=10)
    next(chunks)
    os.truncate(path, len(GOOD))
    with pytest.raises(Part10Error, match="has become shorter while it was read: 100 bytes are missing"):
        list(chunks)


def test_a_file_that_is_gone_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(GOOD)
    file = inspect(path)
    path.unlink()
    with pytest.raises(Part10Error, match="no such file"):
        list(read_chunks(file))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to count open files")
def test_no_file_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(GOOD)
    before = len(os.listdir("/proc/self/fd"))
    file = inspect(path)
    chunks = read_chunks(file, chunk=1)
    next(chunks)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    chunks.close()
    list(read_chunks(file))
    with pytest.raises(Part10Error):
        inspect(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_pieces_of_no_size_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(GOOD)
    with pytest.raises(ValueError, match="0 bytes"):
        next(read_chunks(inspect(path), chunk=0))


# Any file: what a small model of PS3.10 7.1 makes of it, or the fault that it finds


def modelled(data: bytes) -> tuple[str, str, str, int] | str:
    """SOP class, SOP instance, transfer syntax and position of the data set; or what the error has to say."""
    found, at = {}, 132
    while at + 8 <= len(data) and data[at : at + 2] == b"\2\0":
        element, vr, length = struct.unpack_from("<H2sH", data, at + 2)
        if vr not in SHORT_VRS | LONG_VRS:
            return f"(0002,{element:04X}) at byte {at} has the VR {vr!r}"
        start = at + 8
        if vr in LONG_VRS:
            length = int.from_bytes(data[at + 8 : at + 12].ljust(4, b"\0"), "little")
            start = at + 12
        if start + length > 132 + META_LIMIT:
            return f"(0002,{element:04X}) has {length} bytes; {META_LIMIT} are allowed"
        if start + length > len(data):
            return f"is cut short in meta element (0002,{element:04X}), at {len(data)}"
        at = start + length
        found[element] = data[start:at].decode("ascii", "replace").rstrip("\0 ")
    if len(data) - at < 8:
        return f"is cut short: no data set follows the meta information, at byte {at}"
    syntax = found.get(0x0010, "")
    if not syntax:
        return "has no Transfer Syntax UID (0002,0010)"
    assert syntax != "1.2.840.10008.1.2.1.99", "whose data set begins where the group length says"
    named = names_in(data[at:]) if syntax in {EXPLICIT, JPEG} else {}
    first = 0x18 in named  # a data set that names no instance is asked only for what the meta information lacks
    sop_class, sop_instance = (
        text if first and uids.is_safe(text := named.get(tag, "")) else found.get(meta_tag, "") or named.get(tag, "")
        for tag, meta_tag in ((0x16, 2), (0x18, 3))
    )
    if not (sop_class and sop_instance):
        return "neither meta information nor data set name it: "
    return sop_class, sop_instance, syntax, at


def names_in(data: bytes) -> dict[int, str]:
    """Returns the values of the first elements of group 0008 of an explicit VR data set, UIDs or not."""
    found: dict[int, str] = {}
    at = 0
    while data[at : at + 2] == b"\x08\0" and data[at + 4 : at + 6] in {b"UI", b"CS"}:
        tag, length = struct.unpack_from("<H2xH", data.ljust(at + 8, b"\0"), at + 2)
        value = data[at + 8 : at + 8 + length]
        if len(value) == length:
            found.setdefault(tag, value.decode("ascii", "replace").rstrip("\0 "))
        at += 8 + length
    return found


def agrees(folder: Path, data: bytes) -> None:
    """`inspect` and the model agree on these bytes, and the data set is read from where it begins to the end."""
    path = folder / "file.dcm"
    path.write_bytes(data)
    expected = modelled(data)
    if isinstance(expected, str):
        with pytest.raises(Part10Error, match=re.escape(expected)):
            inspect(path)
        return
    file = inspect(path)
    assert (file.sop_class_uid, file.sop_instance_uid, file.transfer_syntax, file.data_offset) == expected
    assert b"".join(read_chunks(file)) == data[file.data_offset :]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples."""
    return tmp_path_factory.mktemp("any")


META = st.sampled_from([
    CLASS, INSTANCE, SYNTAX,
    meta(0x0010, b"UI", JPEG.encode()), meta(0x0010, b"UI", b""),
    meta(0, b"UL", bytes(4)), meta(0, b"UL", b"\xff\0\0\0"), meta(1, b"OB", b"\0\1"), meta(0x16, b"AE", b"Doe"),
    meta(2, b"UI", b"\0\0"), meta(3, b"UI", b"\xff\xff"), meta(3, b"UI", UID.encode(), length=200), meta(3, b"ZZ", b""),
    meta(2, b"OB", CT.encode(), length=META_LIMIT), meta(2, b"UN", CT.encode(), length=2),
    meta(0x102, b"OB", bytes(2100)),
])  # fmt: skip


def naming(tag: int) -> st.SearchStrategy[bytes]:
    """No element, a UID, an invalid UID, and an empty value."""
    values = (b"1.2\0", b"A^B\0", b"")
    return st.sampled_from([b"", *(struct.pack("<HH2sH", 8, tag, b"UI", len(value)) + value for value in values)])


DATA_SETS = st.tuples(naming(0x16), naming(0x18), st.sampled_from([b"", DATA])).map(b"".join)


@given(parts=st.lists(META, max_size=6), data=DATA_SETS)
@example(parts=[CLASS, INSTANCE, SYNTAX], data=b"")
@example(parts=[CLASS, INSTANCE, SYNTAX], data=DATA[:7])
@example(parts=[CLASS, INSTANCE, SYNTAX], data=DATA[:8])
@example(parts=[INSTANCE, SYNTAX], data=b"\x08\0\x16\0UI\4\0A^B\0")  # which `plan` refuses
def test_any_meta_information_is_read_as_it_stands_or_refused(folder: Path, parts: list[bytes], data: bytes) -> None:
    agrees(folder, bytes(128) + b"DICM" + b"".join(parts) + data)


@given(garbage=st.binary(max_size=400))
@example(garbage=b"")
def test_garbage_after_the_prefix_is_refused_with_its_fault(folder: Path, garbage: bytes) -> None:
    agrees(folder, bytes(128) + b"DICM" + garbage)


@given(at=st.integers(132, len(GOOD) - 1), value=st.binary(min_size=1, max_size=4))
def test_a_corrupted_header_is_read_as_it_stands_or_refused(folder: Path, at: int, value: bytes) -> None:
    agrees(folder, GOOD[:at] + value + GOOD[at + len(value) :])


def test_memory_is_flat_for_a_large_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(GOOD)
    os.truncate(path, 200 << 20)
    tracemalloc.start()
    file = inspect(path)
    assert sum(map(len, read_chunks(file))) == file.data_length > 199 << 20
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


# Finding files


def test_files_come_as_given_and_those_in_folders_sorted(tmp_path: Path) -> None:
    for name in ("b/z.dcm", "b/y/1.dcm", "b/x/2.dcm", "b/a.dcm", "c.dcm"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b" / ".dicos-00ff.part").touch()
    found = find_files([tmp_path / "c.dcm", tmp_path / "b", tmp_path / "c.dcm"], recurse=True)
    names = [str(path.relative_to(tmp_path)) for path in found]
    assert names == ["c.dcm", "b/a.dcm", "b/z.dcm", "b/x/2.dcm", "b/y/1.dcm", "c.dcm"]


def test_loops_of_links_end(tmp_path: Path) -> None:
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "folder" / "file").touch()
    (tmp_path / "folder" / "inner" / "up").symlink_to(tmp_path / "folder")
    (tmp_path / "folder" / "broken").symlink_to(tmp_path / "nowhere")
    found = list(find_files([tmp_path], recurse=True))
    assert [path.name for path in found] == ["broken", "file"]  # a broken link is a file that inspect refuses


def test_folders_need_recurse_and_files(tmp_path: Path) -> None:
    with pytest.raises(Part10Error, match="is a folder; recurse=True searches it") as error:
        list(find_files([tmp_path], recurse=False))
    assert isinstance(error.value, FolderError)
    (tmp_path / "empty").mkdir()
    with pytest.raises(Part10Error, match="is a folder without files"):
        list(find_files([tmp_path], recurse=True))
    with pytest.raises(Part10Error, match="no such file or directory"):
        list(find_files([tmp_path / "missing"], recurse=True))


@pytest.mark.parametrize("read", [lambda file: list(read_chunks(file)), read_whole], ids=["chunks", "whole"])
def test_what_is_no_regular_file_any_more_is_not_read(tmp_path: Path, read: Callable[[Part10File], object]) -> None:
    path = tmp_path / "file"
    path.write_bytes(GOOD)
    file = inspect(path)
    path.unlink()
    with pytest.raises(Part10Error, match="cannot be read: no such file"):
        read(file)
    for make, said in ((path.mkdir, "is a folder"), (lambda: path.symlink_to("/dev/zero"), "is not a regular file")):
        make()
        with pytest.raises(Part10Error, match=said):
            read(file)
        if path.is_symlink():
            path.unlink()
        else:
            path.rmdir()
    os.mkfifo(path)
    with pytest.raises(Part10Error, match="is not a regular file"):
        read(file)
