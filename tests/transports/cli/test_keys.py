"""Query keys by keyword, tag and path, from options and files, and the output of matches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("pydicom")

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence

from dicos_proto.data import datasets
from dicos_proto.registry import uids
from dicos_transports.cli import keys, table
from dicos_transports.cli.keys import KeyProblem
from dicos_transports.cli.query import sop_class, transfer_syntax

EXPLICIT, IMPLICIT = uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE


def made(*texts: str) -> Dataset:
    identifier = Dataset()
    for text in texts:
        keys.put(identifier, text)
    return datasets.decode(datasets.encode(identifier, EXPLICIT), EXPLICIT)  # it can be encoded


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("PatientName=DOE^*", "DOE^*"),
        ("0010,0010=DOE^*", "DOE^*"),
        ("(0010,0010)=DOE^*", "DOE^*"),
        ("(0010, 0010)=DOE^*", "DOE^*"),
        ("00100010=DOE^*", "DOE^*"),
        ("PatientName=", None),
        ("PatientName", None),
        ("PatientName=A=B=C", "A=B=C"),
    ],
)
def test_a_key_by_keyword_and_by_tag(text: str, value: str | None) -> None:
    identifier = made(text)
    assert (identifier.PatientName or None) == value
    assert len(identifier) == 1


@pytest.mark.parametrize(
    ("text", "tag", "value"),
    [
        ("StudyDate=20200101-20201231", 0x00080020, "20200101-20201231"),
        ("ModalitiesInStudy=CT\\MR", 0x00080061, ["CT", "MR"]),
        ("StudyInstanceUID=1.2.3\\1.2.4", 0x0020000D, ["1.2.3", "1.2.4"]),
        ("SeriesNumber=12", 0x00200011, 12),
        ("Rows=512", 0x00280010, 512),
        ("PixelSpacing=0.5\\0.25", 0x00280030, [0.5, 0.25]),
        ("FrameIncrementPointer=0018,1063", 0x00280009, 0x00181063),
        ("FrameIncrementPointer=FrameTime", 0x00280009, 0x00181063),
        ("RealWorldValueSlope=2.5", 0x00409225, 2.5),
        ("ImageComments=a\\b", 0x00204000, "a\\b"),
        ("0009,0010=ACME", 0x00090010, "ACME"),
        ("0009,1001=x", 0x00091001, b"x"),
        ("SmallestImagePixelValue=3", 0x00280106, 3),
    ],
)
def test_a_value_has_the_type_of_its_attribute(text: str, tag: int, value: object) -> None:
    found = made(text)[tag].value
    assert (list(found) if isinstance(value, list) else found) in (value, b"x ")


def test_keys_within_sequences() -> None:
    identifier = made(
        "ScheduledProcedureStepSequence[0].Modality=CT",
        "(0040,0100)[0].0040,0002=20200101",
        "ScheduledProcedureStepSequence[1].Modality=MR",
        "ScheduledProcedureStepSequence[0].ScheduledProtocolCodeSequence[0].CodeValue",
        "RequestedProcedureCodeSequence.CodeValue=X",
        "ReferencedStudySequence",
        "ReferencedPatientSequence[0]",
    )
    first, second = identifier.ScheduledProcedureStepSequence
    assert (first.Modality, first.ScheduledProcedureStepStartDate, second.Modality) == ("CT", "20200101", "MR")
    assert "CodeValue" in first.ScheduledProtocolCodeSequence[0]
    assert identifier.RequestedProcedureCodeSequence[0].CodeValue == "X"
    assert len(identifier.ReferencedStudySequence) == 0
    assert len(identifier.ReferencedPatientSequence) == 1


def test_text_beyond_ascii_brings_its_character_set() -> None:
    assert made("PatientName=Müller").SpecificCharacterSet == "ISO_IR 192"
    assert made("PatientName=Müller").PatientName == "Müller"
    latin = made("SpecificCharacterSet=ISO_IR 100", "PatientName=Müller")
    assert (latin.SpecificCharacterSet, latin.PatientName) == ("ISO_IR 100", "Müller")
    assert "SpecificCharacterSet" not in made("PatientName=Mueller")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("PatentName=X", "unknown keyword 'PatentName'; did you mean PatientName or "),
        ("Qqqqqqqqqqqqqqq", "unknown keyword"),
        ("", "expected KEYWORD or gggg,eeee"),
        ("=X", "expected KEYWORD or gggg,eeee"),
        ("PatientName X", "expected KEYWORD or gggg,eeee"),
        ("0010,001=X", "expected KEYWORD or gggg,eeee"),
        ("PatientName.=X", "expected KEYWORD or gggg,eeee"),
        ("PatientName[0]=X", "PatientName is not a sequence, so it has no item 0"),
        ("PatientName[0].Modality=X", "PatientName is not a sequence"),
        ("ReferencedStudySequence=X", "is a sequence; use ReferencedStudySequence[0].ATTRIBUTE=VALUE"),
        ("ReferencedStudySequence[1].Modality=X", "item 1 of ReferencedStudySequence, but the next item is 0"),
        ("Rows=many", "not a valid value for Rows, VR US"),
        ("Rows=70000", "not a valid value for Rows, VR US"),
        ("SeriesNumber=x", "not a valid value for SeriesNumber, VR IS"),
        ("FrameIncrementPointer=FrameTim", "did you mean FrameTime"),
        ("PixelData=x", "PixelData has binary values (OB), which queries cannot match"),
        ("0009,1001=é", "not a valid value for (0009,1001), VR UN"),
    ],
)
def test_a_key_that_says_nothing(text: str, said: str) -> None:
    with pytest.raises(KeyProblem) as caught:
        made(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["山田", "\udce9"])
def test_text_that_the_character_set_does_not_have(name: str) -> None:
    identifier = Dataset()
    keys.put(identifier, "SpecificCharacterSet=ISO_IR 100")
    keys.put(identifier, f"PatientName={name}")
    with pytest.raises(KeyProblem, match="cannot be encoded in the character set ISO_IR 100"):
        keys.check(identifier)


@pytest.mark.parametrize("text", ["StudyInstanceUID=1.2.*", "Modality=c?", "PatientName=" + "x" * 100, "StudyTime=-12"])
def test_a_value_that_only_a_query_has_is_sent(text: str) -> None:
    identifier = Dataset()
    keys.put(identifier, text)
    keys.check(identifier)


# -- files -------------------------------------------------------------------------------------------------------------


def query() -> Dataset:
    dataset = Dataset()
    dataset.QueryRetrieveLevel, dataset.PatientName, dataset.PatientID = "STUDY", "DOE^*", ""
    return dataset


@pytest.mark.parametrize("kind", ["part 10", "explicit", "implicit", "json", "json list"])
def test_a_query_out_of_a_file(tmp_path: Path, kind: str) -> None:
    path, dataset = tmp_path / "query", query()
    match kind:
        case "part 10":
            dataset.file_meta = FileMetaDataset()
            dataset.file_meta.TransferSyntaxUID = EXPLICIT
            dataset.file_meta.MediaStorageSOPClassUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2"
            dataset.save_as(path, enforce_file_format=True)
        case "explicit" | "implicit":
            path.write_bytes(datasets.encode(dataset, EXPLICIT if kind == "explicit" else IMPLICIT))
        case "json":
            path.write_text(json.dumps(dataset.to_json_dict()))
        case _:
            path.write_text("\n " + json.dumps([dataset.to_json_dict()] * 2))
    found = keys.read(path)
    assert len(found) == (2 if kind == "json list" else 1)
    for one in found:
        assert {element.keyword for element in one} == {"QueryRetrieveLevel", "PatientName", "PatientID"}
        assert (one.QueryRetrieveLevel, str(one.PatientName)) == ("STUDY", "DOE^*")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        (b"", "not a DICOM file, a data set or DICOM JSON"),
        (b"Dear diary, today", "not a DICOM file, a data set or DICOM JSON"),
        (b"{", "not DICOM JSON"),
        (b"[1]", "not DICOM JSON"),
        (b'{"00100010": 3}', "not DICOM JSON"),
        (b"\xff{", "not a DICOM file"),
        (bytes(128) + b"DICM" + b"\xff" * 40, "damaged DICOM file|not a DICOM file"),
    ],
)
def test_a_file_without_a_query(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "query"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(KeyProblem) as caught:
        keys.read(path)
    assert any(one in str(caught.value) for one in said.split("|"))


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "query", "wb") as file:
        file.truncate(keys.MOST + 1)
    with pytest.raises(KeyProblem, match=f"more than the {keys.MOST} bytes"):
        keys.read(tmp_path / "query")


# -- names -------------------------------------------------------------------------------------------------------------


def test_sop_classes_and_transfer_syntaxes_by_name() -> None:
    assert sop_class("CTImageStorage") == sop_class("CT Image Storage") == uids.CT_IMAGE_STORAGE
    assert sop_class("1.2.3.4") == "1.2.3.4"
    assert transfer_syntax("rle-lossless") == transfer_syntax("RLE Lossless") == uids.RLE_LOSSLESS
    assert transfer_syntax("jpeg-baseline") == uids.JPEG_BASELINE
    for parse, word, said in (
        (sop_class, "CTImageStorag", "did you mean 'CT Image Storage'"),
        (transfer_syntax, "qqq", "a UID or a name"),
    ):
        with pytest.raises(Exception, match=said):
            parse(word)


# -- tables ------------------------------------------------------------------------------------------------------------


def shown(identifier: Dataset, *matches: Dataset) -> list[str]:
    asked = table.columns(identifier)
    lines: list[str] = []
    made = table.Table([column.name for column in asked], lines.append)
    for match in matches:
        made.add(table.row_of(match, asked))
    made.end()
    return lines


def patient(name: str, **others: object) -> Dataset:
    dataset = Dataset()
    dataset.PatientName = name
    for keyword, value in others.items():
        setattr(dataset, keyword, value)
    return dataset


def test_a_table_has_a_column_for_each_key_and_is_as_wide_as_its_values() -> None:
    identifier = made("QueryRetrieveLevel=STUDY", "PatientName", "PatientID", "ModalitiesInStudy", "Rows")
    assert shown(
        identifier, patient("A", PatientID="12345678901", ModalitiesInStudy=["CT", "MR"], Rows=4), patient("LONG^NAME")
    ) == [
        "ModalitiesInStudy  PatientName  PatientID    Rows",
        "-----------------  -----------  -----------  ----",
        "CT\\MR              A            12345678901  4",
        "                   LONG^NAME",
    ]


def test_columns_stand_as_they_were_asked_for() -> None:
    asked = ("PatientID", "StudyDate=2020", "ScheduledProcedureStepSequence.Modality", "0010,0010")
    identifier = made("AccessionNumber", *asked)
    names = [column.name for column in table.columns(identifier, asked)]
    assert names == ["AccessionNumber", "PatientID", "StudyDate", "Modality", "PatientName"]


def test_what_could_harm_a_terminal_is_escaped() -> None:
    lines = shown(made("PatientName"), patient("A\x1b[2J\r\nB\u202eC\x9bD"))
    assert lines[2:] == ["A\\x1b[2J\\r\\nB\\u202eC\\x9bD"]


def test_wide_and_combining_characters_keep_the_columns_straight() -> None:
    lines = shown(
        made("PatientName", "PatientID"), patient("山田^太郎", PatientID="1"), patient("e\u0301", PatientID="2")
    )
    assert lines == [
        "PatientName  PatientID",
        "-----------  ---------",
        "山田^太郎    1",
        "e\u0301            2",
    ]


def test_values_in_sequences_and_values_that_are_no_text() -> None:
    identifier = made("ScheduledProcedureStepSequence[0].Modality", "ReferencedStudySequence", "0009,1001=x")
    step, match = Dataset(), Dataset()
    step.Modality = "CT"
    match.ScheduledProcedureStepSequence = Sequence([step])
    match.ReferencedStudySequence = Sequence([Dataset(), Dataset()])
    match.add_new(0x00091001, "UN", b"abc")
    lines = shown(identifier, match, Dataset())
    assert lines[0].split() == ["ReferencedStudySequence", "(0009,1001)", "Modality"]
    assert lines[2].split("  ")[0] == "(2 items)"
    assert lines[2].split()[-3:] == ["(3", "bytes)", "CT"]
    assert lines[3] == ""


def test_a_value_that_does_not_fit_is_said_to_be_unreadable() -> None:
    match = datasets.decode(b"\x28\0\x10\0US\x02\0\x04\0", EXPLICIT)
    match._dict[0x00280010] = match.get_item(0x00280010)._replace(value=b"abc")  # type: ignore[index]
    assert shown(made("Rows"), match)[2] == "(not readable)"


def test_a_long_table_is_shown_while_it_comes() -> None:
    identifier = made("PatientID")
    lines: list[str] = []
    growing = table.Table(["PatientID"], lines.append)
    for number in range(table.KEPT):
        growing.add([str(number)])
    assert len(lines) == table.KEPT + 2
    growing.add(["longer than all before"])
    assert lines[-1] == "longer than all before"
    growing.end()
    assert len(lines) == table.KEPT + 3
    assert shown(identifier) == []


@pytest.mark.parametrize("bad", [b"3", b'{"00100010": 3}', b"[" * 5000 + b"]" * 5000])
def test_of_several_queries_the_one_that_is_none_is_named(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "query"
    path.write_bytes(b'[{"00100020": {"vr": "LO"}}, ' + bad + b", {}]")
    with pytest.raises(KeyProblem, match=r"query 2 of 3 is not DICOM JSON|: not DICOM JSON"):
        keys.read(path)
