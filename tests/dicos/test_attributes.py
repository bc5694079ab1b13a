"""Tables of attributes, stamps, names: the small parts."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from pydicom import datadict
from pydicom._uid_dict import UID_dictionary
from pydicom.dataset import Dataset
from pydicom.uid import UID

import dicos_proto.dicos
from dicos_proto.data import decode_object, encode
from dicos_proto.dicos import CT, DX, OOI, BadValue, Machine, NotDicos, Scan, register, view
from dicos_proto.dicos.attributes import ADDED, DIFFERENT, name_of, vm_of, vrs_of
from dicos_proto.dicos.common import fill
from dicos_proto.dicos.errors import named
from dicos_proto.dicos.findings import Module, Rule, check
from dicos_proto.dicos.values import (
    decimal,
    element_of,
    has,
    instant,
    integer,
    items,
    number,
    numbers,
    put,
    text,
    texts,
)
from dicos_proto.registry import uids

from .making import NOON, element, stamp

CHECKOUT = Path(__file__).resolve().parents[2]


def test_pydicom_does_not_know_what_is_added() -> None:
    for tag, attribute in ADDED.items():
        assert attribute.source
        assert not datadict.dictionary_has_tag(tag)
    for tag, attribute in DIFFERENT.items():
        assert {datadict.dictionary_VR(tag), attribute.vr} == vrs_of(tag)
        assert len(vrs_of(tag)) == 2


@pytest.fixture
def dictionaries() -> Iterator[None]:
    """The dictionaries of pydicom are as before when the test is over."""
    both = datadict.DicomDictionary, datadict.keyword_dict, UID_dictionary
    before = [dict(one) for one in both]
    yield
    for one, kept in zip(both, before, strict=True):
        one.clear()
        one.update(kept)


@pytest.mark.usefixtures("dictionaries")
def test_registering_tells_pydicom() -> None:
    register()
    register()
    assert datadict.keyword_for_tag(0x43000902) == "EffectiveEnergy"
    assert datadict.dictionary_VR(0x7FE00011) == "OL"
    assert UID("1.2.840.10008.5.1.4.1.1.501.1.1").name == "DICOS CT Image Storage (32-bit Integer)"
    assert UID("1.2.840.10008.5.1.4.1.1.501.1").name == "DICOS CT Image Storage"


def test_importing_the_package_loads_no_numpy() -> None:
    code = "import sys, dicos_proto.dicos; assert not {'numpy', 'pydicom'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, check=True)


def test_names_and_counts() -> None:
    assert named(0x00990010) == "attribute (0099,0010)"
    assert name_of(0x00280008) == "Number of Frames"
    assert (vrs_of(0x00990010), vm_of(0x00990010)) == (frozenset(), (0, None))
    assert (vm_of(0x43000902), vm_of(0x4010101D), vm_of(0x00280030)) == ((1, 1), (6, None), (2, 2))


def test_a_stamp_writes_its_time() -> None:
    one = stamp()
    assert (one.at, one.date, one.time, one.date_time) == (NOON, "20260301", "120000.250000", "20260301120000.250000")
    assert (one.uid(), one.uid()) == ("2.25.1", "2.25.2")


def test_public_names_are_found() -> None:
    for name in dicos_proto.dicos.__all__:
        assert getattr(dicos_proto.dicos, name)
        assert name in dir(dicos_proto.dicos)
    with pytest.raises(AttributeError, match="has no attribute 'CTX'"):
        _ = dicos_proto.dicos.CTX  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("uid", "seen"),
    [
        ("1.2.840.10008.5.1.4.1.1.2", "CT Image Storage"),
        ("1.2.3", "1.2.3"),
        ("secret", "an unknown UID"),
        (None, "no UID"),
    ],
)
def test_another_sop_class_is_named(uid: str | None, seen: str) -> None:
    dataset = Dataset()
    element(dataset, 0x00080016, "UI", uid)
    with pytest.raises(NotDicos, match=rf"SOP Class UID \(0008,0016\): {seen} is not a SOP class of DICOS; .* CT"):
        view(dataset)
    with pytest.raises(NotDicos, match=rf"{seen} is not a SOP class of CT; allowed are 1.2.840.10008.5.1.4.1.1.501.1,"):
        CT(dataset)
    element(dataset, 0x00080016, "UI", uids.DICOS_CT)
    with pytest.raises(NotDicos, match="DICOS CT Image Storage is not a SOP class of DX"):
        DX(dataset)


def test_common_attributes_of_one_object() -> None:
    dataset = Dataset()
    fill(
        dataset, sop_class_uid="1.2.3", modality="TDR", ooi_id="BAG-1", stamp=stamp(), ooi=OOI(), scan=Scan(),
        machine=Machine(), instance_number=3,
    )  # fmt: skip
    assert (dataset.SOPInstanceUID, dataset.InstanceNumber, dataset.Modality) == ("2.25.1", 3, "TDR")


# -- values ----------------------------------------------------------------------------------------------------------


def test_reading_values() -> None:
    dataset = Dataset()
    dataset.PatientID = " BAG-1 "
    dataset.ImageType = ["A", "B"]
    dataset.PixelSpacing = [1, 2.5]
    dataset.Rows = 5
    assert (text(dataset, 0x00100020), texts(dataset, 0x00080008)) == ("BAG-1", ("A", "B"))
    assert (numbers(dataset, 0x00280030, 2), number(dataset, 0x00280010)) == ((1.0, 2.5), 5.0)
    assert (integer(dataset, 0x00280010), integer(dataset, 0x00280011)) == (5, None)
    assert (text(dataset, 0x00080005), numbers(dataset, 0x00080005), items(dataset, 0x52009229)) == (None, (), ())
    assert (element_of(dataset, 0x00080005), has(dataset, 0x00080005), has(dataset, 0x00280010)) == (None, False, True)
    element(dataset, 0x00080005, "CS", None)
    assert (texts(dataset, 0x00080005), has(dataset, 0x00080005)) == ((), False)
    element(dataset, 0x52009229, "SQ", None)
    assert list(items(dataset, 0x52009229)) == []


@pytest.mark.parametrize(
    ("read", "tag", "vr", "value", "said"),
    [
        (text, 0x00100020, "LO", ["a", "b"], r"OOI ID \(0010,0020\): 2 values; 1 is allowed"),
        (
            text,
            0x00100020,
            "OB",
            b"secret",
            r"OOI ID \(0010,0020\): a value that does not fit its value representation",
        ),
        (number, 0x00280010, "US", [1, 2], r"Rows \(0028,0010\): 2 values; 1 is allowed"),
        (integer, 0x00280010, "US", 1.5, r"Rows \(0028,0010\): a value that is not a whole number"),
        (items, 0x52009229, "LO", "secret", r"\(5200,9229\): is not a sequence of items"),
    ],
)
def test_values_that_cannot_be_read(read: object, tag: int, vr: str, value: object, said: str) -> None:
    dataset = Dataset()
    element(dataset, tag, vr, value)
    with pytest.raises(BadValue, match=said) as caught:
        read(dataset, tag)  # type: ignore[operator]
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "tag", "said"),
    [
        (b"\x18\x00\x60\x00DS\x06\x00secret", 0x00180060, "has a value that cannot be used"),
        (b"\x10\x40\x05\x10FL\x06\x00secret", 0x40101005, "has a value that does not fit its value representation"),
    ],
)
def test_a_value_that_is_no_number(content: bytes, tag: int, said: str) -> None:
    read = decode_object(content, uids.EXPLICIT_VR_LE)
    with pytest.raises(BadValue, match=": a value that does not fit") as caught:
        number(read, tag)
    assert "secret" not in str(caught.value)
    (found,) = check(read, [Module("M", (Rule(tag, "1", ("obs",), count=(1, None)),))])
    assert (found.text, found.rule) == (said, "value representation")


@pytest.mark.parametrize(
    ("day", "clock", "expected"),
    [
        ("20260301", "120000.25", NOON),
        ("2026.03.01", "12:00:00", NOON.replace(microsecond=0)),
        ("20260301", "12", NOON.replace(microsecond=0)),
        ("20260301", "", datetime(2026, 3, 1)),
        ("", "120000", None),
        ("20261301", "120000", BadValue),
        ("20260301", "noon", BadValue),
    ],
)
def test_days_and_times(day: str, clock: str, expected: object) -> None:
    dataset = Dataset()
    element(dataset, 0x00080020, "DA", day)
    element(dataset, 0x00080030, "TM", clock)
    if expected is BadValue:
        with pytest.raises(BadValue, match=r"Scan Date \(0008,0020\): is not a day and a time of day"):
            instant(dataset, 0x00080020, 0x00080030)
    else:
        assert instant(dataset, 0x00080020, 0x00080030) == expected


def test_a_scale_in_implicit_vr_is_a_text_or_a_number() -> None:
    for vr, value in (("FD", 1.5), ("DS", "1.500000"), ("DS", "1.5"), ("DS", "+1.50000")):
        dataset = Dataset()
        element(dataset, 0x40101075, vr, value)
        read = decode_object(encode(dataset, uids.IMPLICIT_VR_LE), uids.IMPLICIT_VR_LE)
        assert has(read, 0x40101075)
        assert number(read, 0x40101075) == 1.5


def test_what_only_dicos_has_is_read_in_implicit_vr() -> None:
    dataset = Dataset()
    put(dataset, 0x43000902, 60.5)
    put(dataset, 0x00080118, "MACHINE")
    put(dataset, 0x00082108, None)
    read = decode_object(encode(dataset, uids.IMPLICIT_VR_LE), uids.IMPLICIT_VR_LE)
    assert (number(read, 0x43000902), text(read, 0x00080118), text(read, 0x00082108)) == (60.5, "MACHINE", None)
    assert not has(read, 0x00082108)
    element(read, 0x43000902, "FL", 1.0)
    assert number(read, 0x43000902) == 1.0


def test_decimals_are_short() -> None:
    assert [decimal(one) for one in (1, -1 / 3, 1e-300, 1.5, 123456789012345678)] == [
        "1", "-0.3333333333333", "1e-300", "1.5", "1.2345678901e+17"
    ]  # fmt: skip
    assert all(len(decimal(one)) <= 16 for one in (-1.2345678901234567e-123, 2 / 3 * 1e20))
