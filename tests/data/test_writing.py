"""Data sets of a peer are encoded again without a warning of pydicom, which would be kept forever and printed."""

import warnings

import pytest

pytest.importorskip("pydicom")

from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from dicos_proto.data.datasets import decode, decode_object, encode
from dicos_proto.data.writing import LOST, uid_element, writable
from dicos_proto.limits import Limits
from dicos_proto.registry.uids import EXPLICIT_VR_LE, IMPLICIT_VR_LE
from dicos_proto.tolerance import FIELD, Judge
from tests.data.test_datasets import short

NAME, STUDY = 0x00100010, 0x00081030


@pytest.fixture(autouse=True)
def warnings_are_faults() -> object:
    """Of those that `encode` would turn into a `DataSetError`, too."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def charset(value: bytes) -> bytes:
    return short(0x00080005, b"CS", value + b" " * (len(value) % 2))


def name(value: bytes) -> bytes:
    return short(NAME, b"PN", value + b" " * (len(value) % 2))


def encoded_again(data: bytes, to: str = IMPLICIT_VR_LE) -> Dataset:
    found = decode(data, EXPLICIT_VR_LE, Judge(Limits(), FIELD))
    return decode_object(encode(found, to), to)


def lossy(dataset: Dataset, to: str) -> Dataset:
    """A data set that the caller made is encoded, with one warning, which repeats nothing of it."""
    with pytest.warns(UserWarning, match="has no codes for") as told:
        encoded = encode(dataset, to)
    assert [str(one.message) for one in told] == [LOST]
    return decode_object(encoded, to)


@pytest.mark.parametrize(
    "names", [b"ISO-IR 100", b"ISO IR 6", b"rot13", b"%s" + b"x" * 70, b"\\ISO_2022 IR 100", b"utf-8"]
)
@pytest.mark.parametrize("to", [EXPLICIT_VR_LE, IMPLICIT_VR_LE])
def test_a_character_set_that_pydicom_does_not_know_is_written_as_it_came(names: bytes, to: str) -> None:
    found = encoded_again(charset(names) + name(b"Meier^A"), to)
    assert b"\\".join(str(one).encode() for one in _several(found.SpecificCharacterSet)) == names
    assert str(found.PatientName) == "Meier^A"


def _several(value: object) -> list[object]:
    return [value] if isinstance(value, str) else list(value)  # type: ignore[call-overload]


def test_a_misspelled_character_set_is_written_with_its_codes() -> None:
    found = encoded_again(charset(b"ISO-IR 100") + short(STUDY, b"LO", b"M\xfcller") + name(b"M\xfcller"))
    assert found.StudyDescription == str(found.PatientName) == "Müller"


def test_a_character_without_a_code_becomes_a_question_mark() -> None:
    found = encoded_again(charset(b"ISO_IR 192") + short(STUDY, b"LO", b"a\xffb\xc3\xa4\\\xe2\x98\x83 "))
    assert list(found.StudyDescription) == ["a\ufffdbä", "\N{SNOWMAN}"]  # UTF-8 has codes for all of them
    found = encoded_again(charset(b"ISO_IR 101") + short(STUDY, b"LO", b"a\xa5b") + name(b"A^\xa5\xff"))
    assert found.StudyDescription == "aĽb"
    dataset = Dataset()
    dataset.StudyDescription, dataset.PatientName = "a\N{SNOWMAN}ü", "B^\N{SNOWMAN}"
    dataset.OtherPatientNames = ["A^ä", "C^\N{SNOWMAN}"]
    again = lossy(dataset, EXPLICIT_VR_LE)
    assert (again.StudyDescription, str(again.PatientName)) == ("a?ü", "B^?")
    assert [str(one) for one in again.OtherPatientNames] == ["A^ä", "C^?"]
    assert dataset.StudyDescription == "a\N{SNOWMAN}ü"  # it is not changed


def test_a_text_in_an_unknown_character_set_is_told_of_if_it_is_lost() -> None:
    dataset = Dataset()
    dataset.add(DataElement(0x00080005, "CS", "rot13", validation_mode=IGNORE))
    dataset.StudyDescription = "abc"
    assert decode_object(encode(dataset, EXPLICIT_VR_LE), EXPLICIT_VR_LE).StudyDescription == "abc"
    dataset.StudyDescription = "a\N{SNOWMAN}"
    assert lossy(dataset, EXPLICIT_VR_LE).StudyDescription == "a?"


def test_a_data_set_of_a_peer_loses_a_character_in_silence() -> None:
    found = decode(charset(b"ISO_IR 100") + short(STUDY, b"LO", b"ab"), EXPLICIT_VR_LE)
    found.StudyDescription = "a\N{SNOWMAN}"
    assert decode_object(encode(found, EXPLICIT_VR_LE), EXPLICIT_VR_LE).StudyDescription == "a?"


def test_an_escape_sequence_that_nobody_knows_is_copied_or_has_no_code() -> None:
    data = charset(b"ISO 2022 IR 87") + short(STUDY, b"LO", b"a\x1b$Qb ")
    assert encode(decode(data, EXPLICIT_VR_LE), EXPLICIT_VR_LE) == data
    assert encoded_again(data).StudyDescription == "a?b"


def test_a_character_set_that_extends_no_other_has_codes_for_ascii() -> None:
    dataset, inner = Dataset(), Dataset()
    dataset.SpecificCharacterSet = "ISO 2022 IR 87"
    inner.CodeMeaning = "abc山"
    dataset.StudyDescription, dataset.PatientName = "abc", "A^B=山"
    dataset.ReferencedImageSequence = [inner]
    found = decode_object(encode(dataset, IMPLICIT_VR_LE), IMPLICIT_VR_LE)
    assert (found.StudyDescription, str(found.PatientName)) == ("abc", "A^B=山")
    assert found.ReferencedImageSequence[0].CodeMeaning == "abc山"


def test_items_have_the_character_set_around_them_or_their_own() -> None:
    inner, own, deep = Dataset(), Dataset(), Dataset()
    inner.CodeMeaning = "\N{GREEK SMALL LETTER ALPHA}"
    own.SpecificCharacterSet = "ISO_IR 126"
    own.CodeMeaning = "\N{GREEK SMALL LETTER ALPHA}"
    deep.CodeMeaning = "\N{GREEK SMALL LETTER ALPHA}\N{SNOWMAN}"
    own.ReferencedSeriesSequence = [deep]
    outer = Dataset()
    outer.SpecificCharacterSet = "ISO_IR 100"
    outer.ReferencedImageSequence = [inner, own]
    found = lossy(outer, EXPLICIT_VR_LE)
    first, second = found.ReferencedImageSequence
    assert (first.CodeMeaning, second.CodeMeaning) == ("?", "\N{GREEK SMALL LETTER ALPHA}")
    assert second.ReferencedSeriesSequence[0].CodeMeaning == "\N{GREEK SMALL LETTER ALPHA}?"


def test_code_extensions_are_written_in_parts() -> None:
    dataset = Dataset()
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87", "ISO 2022 IR 126"]
    dataset.StudyDescription = "山\N{GREEK SMALL LETTER ALPHA}\N{SNOWMAN}"
    found = lossy(dataset, IMPLICIT_VR_LE)
    assert found.StudyDescription == "山\N{GREEK SMALL LETTER ALPHA}?"


def test_bytes_that_pydicom_copies_are_copied() -> None:
    data = charset(b"ISO_IR 192") + short(STUDY, b"LO", b"a\xff") + name(b"\xff\xfe")
    assert encode(decode(data, EXPLICIT_VR_LE), EXPLICIT_VR_LE) == data
    data = charset(b"ISO IR 100") + short(STUDY, b"LO", b"\xe4 ") + name(b"\xff\xfe")
    assert encode(decode(data, EXPLICIT_VR_LE), EXPLICIT_VR_LE) == data


@pytest.mark.parametrize("names", [None, "", "ISO_IR 100", ["ISO 2022 IR 6", "ISO 2022 IR 87"]])
def test_a_data_set_without_a_fault_is_written_by_pydicom_as_it_is(names: object) -> None:
    dataset = Dataset()
    if names is not None:
        dataset.SpecificCharacterSet = names
    dataset.PatientName, dataset.StudyDescription = "A^B", None
    dataset.ReferencedImageSequence = [Dataset()]
    assert writable(dataset, implicit=True, little=True) is dataset


def test_a_uid_of_a_peer_may_have_leading_zeros() -> None:
    dataset = Dataset()
    dataset.add(uid_element("TransactionUID", "1.02.3"))
    dataset.add(uid_element("FailedSOPInstanceUIDList", ["1.02", "1.3"]))
    found = decode_object(encode(dataset, EXPLICIT_VR_LE), EXPLICIT_VR_LE)
    assert (found.TransactionUID, list(found.FailedSOPInstanceUIDList)) == ("1.02.3", ["1.02", "1.3"])
