"""Values that pydicom warns of are looked at without a warning, and are what pydicom makes of them."""

import copy
import io
import pickle
import struct
import sys
import threading
import time
import warnings
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import config, hooks
from pydicom.datadict import dictionary_VR, private_dictionary_VR
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag

from dicos_proto import uids
from dicos_proto.conversion import dictionary_vr
from dicos_proto.datasets import DataSetError, convert, decode, decode_object, value_of

IMPLICIT, EXPLICIT = uids.IMPLICIT_VR_LE, uids.EXPLICIT_VR_LE
LONG = {b"OB", b"OW", b"UN", b"UT", b"UC", b"UR", b"SQ"}
TAGS = {
    b"AE": 0x00080054, b"AS": 0x00101010, b"CS": 0x00080060, b"DA": 0x00080020, b"DS": 0x00101030, b"DT": 0x0008002A,
    b"IS": 0x00200013, b"LO": 0x00100020, b"LT": 0x00104000, b"PN": 0x00100010, b"SH": 0x00080050, b"ST": 0x00080081,
    b"TM": 0x00080030, b"UC": 0x00080119, b"UI": 0x0020000D, b"UN": 0x00200001, b"UT": 0x00081190, b"UR": 0x00081190,
}  # fmt: skip
VRS = pytest.mark.parametrize("vr", sorted(TAGS), ids=bytes.decode)
DECODERS = pytest.mark.parametrize("decoder", [decode, decode_object])


def element(tag: int, vr: bytes | None, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2) if vr == b"UI" else b" " * (len(value) % 2)
    group, number = tag >> 16, tag & 0xFFFF
    if vr is None:
        return struct.pack("<HHL", group, number, len(value)) + value
    if vr in LONG:
        return struct.pack("<HH2sHL", group, number, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


def charset(names: bytes) -> bytes:
    return element(0x00080005, b"CS", names)


def registries() -> int:
    """What `warnings` keeps for ever of what it was told."""
    return sum(len(getattr(module, "__warningregistry__", ())) for module in list(sys.modules.values()))


@pytest.fixture
def _quiet(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> Iterator[None]:
    before = registries()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    assert registries() == before
    assert capfd.readouterr().err == ""
    assert caplog.text == ""
    assert list(recwarn) == []


quiet = pytest.mark.usefixtures("_quiet")

BAD = [
    b"\x1b]0;PWNED\x07\x1b[31mX", b"12a", b"1.5", b"1e400", b"x" * 70, b"a b\\c\\\\d", b"lower case", b"^" * 7, b"a=b=c=d=e",
    b"\xff\xfe\x80", b"\\", b" ", b"1\\2\\x", b"99999999999", b"nan", b"-", b"1.2.03", b"1.2.3" + b".4" * 40,
    b"\x1b$B\x1b(B", b"\x1b$)C\xb1\xe8^\xff", b"\x1b(Jabc\\\xb1", b"\x1b-Fabc\rx", b"20260230", b"236160", b"\0\0",
    b"A\\" * 3 + b"\x1b-Z\xff",
]  # fmt: skip
SETS = [
    b"", b"ISO_IR 100", b"ISO_IR 192", b"ISO-IR 100", b"NOPE", b"\x1b]0;PWNED\x07", b"\\ISO 2022 IR 87\\ISO 2022 IR 149",
    b"ISO 2022 IR 13\\ISO 2022 IR 87", b"GB18030", b"GB18030\\ISO 2022 IR 87", b"ISO_IR 100\\GBK", b"hex", b"idna",
    b"\\".join(b"Q%x" % number for number in range(16)),
]  # fmt: skip


@quiet
@VRS
@DECODERS
def test_no_value_that_is_looked_at_is_warned_of(vr: bytes, decoder: object) -> None:
    for names in SETS:
        for value in BAD:
            data = charset(names) + element(TAGS[vr], vr, value) + element(0x00090010, b"LO", b"A\\B")
            data += element(0x00091001, b"UN", value)
            try:
                found = decode(data, EXPLICIT) if decoder is decode else decode_object(data, EXPLICIT)
                convert(found)
            except DataSetError:
                continue
            str(found), repr(found), [str(one.value) for one in found]


@quiet
def test_no_unknown_tag_is_warned_of() -> None:
    unknown = b"".join(element(0x00200000 + 0x1002 + 2 * number, None, b"x") for number in range(300))
    private = element(0x00110010, None, b"NOBODY") + element(0x00111001, None, b"x") + element(0x00130001, None, b"x")
    for data in (unknown, private):
        found = convert(decode(data, IMPLICIT))
        assert {one.VR for one in found} <= {"UN", "LO"}
        assert value_of(decode(data, IMPLICIT), "PatientName") is None


@quiet
def test_nothing_is_kept_of_names_of_character_sets() -> None:
    for number in range(200):
        names = b"\\".join(b"Z%d_%d" % (number, one) for one in range(16))
        assert decode(charset(names) + element(0x00100010, b"PN", b"A^B"), EXPLICIT).PatientName == "A^B"


@quiet
def test_two_threads_convert_without_a_warning() -> None:
    """What one thread does of warnings is not to reach the other."""
    faults: list[BaseException] = []

    def look() -> None:
        try:
            for number in range(200):
                convert(decode(element(0x00080060, b"CS", b"bad %d" % number), EXPLICIT))
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert faults == []


def theirs(data: bytes, *, implicit: bool) -> Dataset:
    return read_dataset(io.BytesIO(data), implicit, True)


def looked_at(dataset: Dataset) -> list[object]:
    found: list[object] = []
    try:
        for one in dataset:
            several = isinstance(one.value, MultiValue)
            kinds = [type(each).__name__ for each in one.value] if several else type(one.value).__name__
            found.append((one.tag, one.VR, str(one.value), kinds, one.VM, one.is_empty))
    except Exception as fault:
        found.append(type(fault).__name__)
    return found


def same(data: bytes, *, implicit: bool = False) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = looked_at(theirs(data, implicit=implicit))
    found = looked_at(decode_object(data, IMPLICIT if implicit else EXPLICIT))
    assert found == expected


@VRS
def test_values_are_those_of_pydicom(vr: bytes) -> None:
    for names in [one for one in SETS if one not in (b"hex", b"idna")]:
        for value in [*BAD, b"", b"A^B=\x1b$B;3ED\x1b(B", b"1", b"1.0", "ä".encode()]:
            same(charset(names) + element(TAGS[vr], vr, value))
            same(charset(names)[:4] + charset(names)[6:8] + b"\0\0" + charset(names)[8:]
                 + element(TAGS[vr], None, value), implicit=True)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(TAGS)), st.sampled_from(SETS[:4] + SETS[6:9]), st.binary(max_size=24))
def test_any_value_is_that_of_pydicom(vr: bytes, names: bytes, value: bytes) -> None:
    same(charset(names) + element(TAGS[vr], vr, value))
