"""Values that pydicom warns of are read without a warning, and are the values that pydicom makes."""

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
from pydicom._private_dict import private_dictionaries
from pydicom.datadict import dictionary_VR, private_dictionary_VR
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag

from dicos_proto.data import builder, conversion
from dicos_proto.data.conversion import dictionary_vr
from dicos_proto.data.datasets import DataSetError, convert, decode, decode_object, value_of
from dicos_proto.registry import uids

IMPLICIT, EXPLICIT = uids.IMPLICIT_VR_LE, uids.EXPLICIT_VR_LE
LONG = {b"OB", b"OW", b"UN", b"UT", b"UC", b"UR", b"SQ"}
TAGS = {
    b"AE": 0x00080054, b"AS": 0x00101010, b"CS": 0x00080060, b"DA": 0x00080020, b"DS": 0x00101030, b"DT": 0x0008002A,
    b"IS": 0x00200013, b"LO": 0x00100020, b"LT": 0x00104000, b"PN": 0x00100010, b"SH": 0x00080050, b"ST": 0x00080081,
    b"TM": 0x00080030, b"UC": 0x00080119, b"UI": 0x0020000D, b"UN": 0x00200001, b"UT": 0x00081190, b"UR": 0x00081190,
}  # fmt: skip
TEXTS = {b"LO", b"LT", b"PN"}
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
    """Returns the number of warnings that the `warnings` module remembers: it never forgets one."""
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
    b"\x1b]0;PWNED\x07\x1b[31mX", b"12a", b"1.5", b"1e400", b"x" * 70, b"a b\\c\\\\d", b"lower case", b"^" * 7,
    b"a=b=c=d=e",
    b"\xff\xfe\x80", b"\\", b" ", b"1\\2\\x", b"99999999999", b"nan", b"-", b"1.2.03", b"1.2.3" + b".4" * 40,
    b"\x1b$B\x1b(B", b"\x1b$)C\xb1\xe8^\xff", b"\x1b(Jabc\\\xb1", b"\x1b-Fabc\rx", b"20260230", b"236160", b"\0\0",
    b"A\\" * 3 + b"\x1b-Z\xff",
]  # fmt: skip
SETS = [
    b"", b"ISO_IR 100", b"ISO_IR 192", b"ISO-IR 100", b"NOPE", b"\x1b]0;PWNED\x07",
    b"\\ISO 2022 IR 87\\ISO 2022 IR 149",
    b"ISO 2022 IR 13\\ISO 2022 IR 87", b"GB18030", b"GB18030\\ISO 2022 IR 87", b"ISO_IR 100\\GBK", b"hex", b"idna",
    b"\\".join(b"Q%x" % number for number in range(16)),
]  # fmt: skip


@quiet
@VRS
@DECODERS
def test_no_value_that_is_looked_at_is_warned_of(vr: bytes, decoder: object) -> None:
    for names in SETS if vr in TEXTS else SETS[:6]:
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
    unknown = b"".join(element(0x0022F002 + 2 * number, None, b"x") for number in range(300))
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
    """The warning filters of one thread must not reach the other."""
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
    for names in [one for one in SETS if one not in (b"hex", b"idna")] if vr in TEXTS else SETS[:3]:
        for value in [*BAD, b"", b"A^B=\x1b$B;3ED\x1b(B", b"1", b"1.0", "ä".encode()]:
            same(charset(names) + element(TAGS[vr], vr, value))
            same(charset(names)[:4] + charset(names)[6:8] + b"\0\0" + charset(names)[8:]
                 + element(TAGS[vr], None, value), implicit=True)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(TAGS)), st.sampled_from(SETS[:4] + SETS[6:9]), st.binary(max_size=24))
def test_any_value_is_that_of_pydicom(vr: bytes, names: bytes, value: bytes) -> None:
    same(charset(names) + element(TAGS[vr], vr, value))


def test_names_of_several_bytes_are_those_of_pydicom() -> None:
    for names, text in ((b"GB18030", "\u8a31^\u529f"), (b"ISO_IR 192", "\u8a31"), (b"ISO_IR 13", "\uff94\uff8f")):
        codec = {b"GB18030": "gb18030", b"ISO_IR 192": "utf-8", b"ISO_IR 13": "shift_jis"}[names]
        same(charset(names) + element(TAGS[b"PN"], b"PN", text.encode(codec) + b"\\A^B"))
    data = charset(b"GB18030") + element(TAGS[b"PN"], b"PN", b"\x81\x5c^A\\B^C")  # a backslash in a character
    same(data)
    names_ = decode(data, EXPLICIT).PatientName
    names_.append("D^E")
    assert [str(one) for one in names_] == [b"\x81\x5c".decode("gb18030") + "^A", "B^C", "D^E"]


@pytest.mark.parametrize("tag", [0x00100010, 0x60023000, 0x00203102, 0x7F020010, 0x00280404, 0x12345678, 0x00090010])
def test_the_dictionary_is_that_of_pydicom(tag: int) -> None:
    try:
        expected = dictionary_VR(tag)
    except KeyError:
        expected = "UN"
    assert dictionary_vr(tag) == expected


@settings(max_examples=500)
@given(st.integers(0, 0xFFFFFFFF))
def test_the_dictionary_is_that_of_pydicom_for_any_tag(tag: int) -> None:
    try:
        expected = dictionary_VR(tag)
    except KeyError:
        expected = "UN"
    assert dictionary_vr(tag) == expected


def test_private_elements_are_those_of_pydicom() -> None:
    creator = b"SIEMENS CSA HEADER"
    assert private_dictionary_VR(0x00291008, creator.decode()) == "CS"
    whole = element(0x00290010, None, creator)
    for number in (8, 9, 0x10, 0xFE):
        whole += element(0x00291000 + number, None, b"abc ")
    same(whole + element(0x00291101, None, b"orphan") + element(0x002B0001, None, b"x"), implicit=True)
    explicit = element(0x00290010, b"LO", creator) + element(0x00291008, b"UN", b"abc ")
    same(explicit + element(0x00291009, b"UN", b"") + element(0x00291009, b"LO", b"x"))


def test_un_of_a_known_element_and_lengths_of_groups_are_those_of_pydicom(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (b"A^B", b"", b"x" * 0x10000):
        same(element(0x00100010, b"UN", value))
    same(element(0x00120000, None, bytes(4)) + element(0x00280010, None, b"\1\0"), implicit=True)
    same(element(0x00280010, b"UN", b"\1\0") + element(0x7FE00010, b"OW", bytes(4)))
    monkeypatch.setattr(config, "replace_un_with_known_vr", False)
    same(element(0x00100010, b"UN", b"A^B"))


@pytest.mark.parametrize(
    ("name", "value", "data"),
    [
        ("datetime_conversion", True, element(0x00080020, b"DA", b"20260102") + element(0x00100020, b"LO", b"a")),
        ("data_element_callback", lambda raw, **_: raw, element(0x00100020, b"LO", b"a")),
    ],
)
def test_what_the_application_says_to_pydicom_holds(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object, data: bytes
) -> None:
    monkeypatch.setattr(config, name, value)
    same(data)


def test_numbers_are_of_numpy_where_the_application_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    data = element(0x00101030, b"DS", b"1.5\\2") + element(0x00200013, b"IS", b"1\\2")
    for name in ("use_DS_numpy", "use_IS_numpy"):
        monkeypatch.setattr(config, name, True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's own
        found = decode(data, EXPLICIT)
        assert type(found.PatientWeight).__name__ == type(found.InstanceNumber).__name__ == "ndarray"


def test_whoever_has_pydicom_raise_has_it_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config.settings, "_reading_validation_mode", config.RAISE)
    with pytest.raises(DataSetError, match="a value of PatientID that does not fit"):
        value_of(decode(element(0x00100020, b"LO", b"x" * 70), EXPLICIT), "PatientID")


def test_hooks_of_the_application_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def fixed(raw: object, data: dict[str, object], **_: object) -> None:
        data["value"] = "HOOK"

    monkeypatch.setattr(hooks.hooks, "raw_element_value", fixed)
    assert decode(element(0x00080060, b"CS", b"CT"), EXPLICIT).Modality == "HOOK"


def test_it_is_a_data_set_of_pydicom() -> None:
    data = (
        element(0x00080060, b"CS", b"CT") + element(0x00100010, b"PN", b"A^B\\C") + element(0x0020000D, b"UI", b"1.2")
    )
    data += element(0x00280030, b"DS", b"1.5\\2") + element(0x00280034, b"IS", b"1\\2")
    expected = theirs(data, implicit=False)
    for found in (copy.deepcopy(decode(data, EXPLICIT)), pickle.loads(pickle.dumps(convert(decode(data, EXPLICIT))))):
        assert found == expected
        assert isinstance(found, Dataset)
        assert found[0x00080060] == found["Modality"] == found[0x0008, 0x0060] == found[Tag(0x00080060)]
    found = decode(data, EXPLICIT)
    assert found[0x00080000:0x00100000] == expected[0x00080000:0x00100000]  # type: ignore[misc]
    with pytest.raises(KeyError):
        found["no keyword"]
    with pytest.raises(KeyError):
        found[0x00100020]
    found.PatientName = "X^Y"
    assert found.PatientName == "X^Y"


def cost(data: bytes, syntax: str) -> float:
    most = []
    for _ in range(3):
        begun = time.process_time()
        convert(decode(data, syntax))
        most.append(time.process_time() - begun)
    return min(most)


def test_unknown_tags_and_character_sets_cost_the_same_as_known_ones() -> None:
    """pydicom would try mask by mask for each tag, and warn of each."""
    known = cost(element(0x00100020, None, b"") * 8000, IMPLICIT)
    count = 8000
    unknown = b"".join(
        element(0x00220000 + 0x20000 * (n >> 12) + 0xF000 + (n & 0xFFF), None, b"") for n in range(count)
    )
    everywhere = cost(unknown, IMPLICIT)
    sets = cost(b"".join(charset(b"Q%x" % number) for number in range(count)), EXPLICIT)
    assert everywhere < max(known, 0.02) * 8
    assert sets < max(known, 0.02) * 8


def test_a_broken_dictionary_of_the_application_is_told_as_any_other_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(private_dictionaries, "NOBODY", {"0011xx01": ()})
    data = element(0x00110010, None, b"NOBODY") + element(0x00111001, None, b"x")
    with pytest.raises(DataSetError, match="a data set that cannot be decoded: IndexError"):
        decode(data, IMPLICIT)


def test_the_table_of_converters_is_made_once_and_on_demand() -> None:
    """Other tests use it first, some of them without coverage; the builder is imported here for the same reason."""
    conversion._makers.cache_clear()
    made = conversion._makers()
    assert made is conversion._makers()
    assert made["PN"] is not made["UI"]
    assert builder.Builder.__module__ == "dicos_proto.data.builder"
    conversion._repeating.cache_clear()
    assert conversion.dictionary_vr(0x50020005) == "US"
