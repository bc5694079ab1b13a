"""`dicos validate`: findings, exit status, and files that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pydicom")

from dicos_proto.dicos import TDR
from dicos_proto.registry import uids
from dicos_transports.dicos import write_file
from tests.dicos.reports import new_ct, new_stamp, new_threat
from tests.transports.cli.commands import dicom_file, dicos
from tests.transports.pictures.files import with_pixels

OK, FOUND, USAGE = 0, 1, 2


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    ct = new_ct()
    write_file(ct, tmp_path / "bag.dcs")
    write_file(TDR.new(ct, [new_threat(ct)], stamp=new_stamp()), tmp_path / "report.dcs")
    return tmp_path / "bag.dcs", tmp_path / "report.dcs"


def broken(path: Path) -> Path:
    ct = new_ct()
    report = TDR.new(ct, [new_threat(ct)], stamp=new_stamp())
    del report.dataset.ThreatSequence[0].ATDAssessmentSequence[0].ThreatCategory
    report.dataset.NumberOfTotalObjects = 5
    write_file(report, path)
    return path


def test_nothing_is_found_in_whole_objects(files: tuple[Path, Path]) -> None:
    result = dicos("validate", *files)
    assert (result.status, result.out, result.err) == (OK, "", "2 files: 0 errors, 0 warnings\n")
    assert dicos("validate", *files, "--tdr-of", files[0]).status == OK


def test_findings_name_attribute_place_module_rule_and_sources(tmp_path: Path) -> None:
    path = broken(tmp_path / "report.dcs")
    result = dicos("validate", path)
    assert (result.status, result.err) == (FOUND, "1 file: 1 error, 1 warning\n")
    assert sorted(result.out.splitlines()) == [
        f"{path}: error: Threat Category (4010,1012) is missing in (4010,1011)[1] (4010,1038)[1] "
        "[Threat Sequence, type 1; obs, hdr]",
        f"{path}: warning: Number of Total Objects (4010,1033) is not the number of threats, 1 "
        "[Threat Detection Report, counts; obs]",
    ]
    events = dicos("validate", path, "--json")
    missing = next(one for one in events.named("finding") if one["severity"] == "error")
    assert (missing["tag"], missing["rule"], missing["sources"]) == ("40101012", "type 1", ["obs", "hdr"])
    assert missing["path"] == "(4010,1011)[1] (4010,1038)[1]"
    (validated,) = events.named("validated")
    assert (validated["kind"], validated["errors"], validated["warnings"]) == ("TDR", 1, 1)
    (summary,) = events.named("summary")
    assert (summary["files"], summary["errors"], summary["unreadable"]) == (1, 1, 0)


def test_a_scan_that_does_not_say_its_size_has_findings(tmp_path: Path) -> None:
    ct = new_ct()
    del ct.dataset.Rows
    write_file(ct, tmp_path / "bag.dcs")
    result = dicos("validate", tmp_path / "bag.dcs")
    assert result.status == FOUND
    assert "Rows (0028,0010) is missing" in result.out


def test_compressed_pixel_data_is_not_a_finding(tmp_path: Path) -> None:
    path = with_pixels(new_ct().dataset, tmp_path / "bag.dcs", uids.JPEG_LOSSLESS_SV1, b"\xfe\xff\x00\xe0\0\0\0\0")
    assert dicos("validate", path).status == OK


def test_a_report_on_another_scan(files: tuple[Path, Path], tmp_path: Path) -> None:
    other = new_ct(shape=(3, 4, 5))
    other.dataset.PatientID = "BAG-2"
    write_file(other, tmp_path / "other.dcs")
    result = dicos("validate", "--tdr-of", tmp_path / "other.dcs", files[1])
    assert result.status == FOUND
    assert "OOI ID (0010,0020) is not that of the scanned object" in result.out
    assert "goes beyond the scanned object of 5 x 4 x 3 voxels" in result.out
    assert "BAG-2" not in result.out


def test_files_that_cannot_be_read(files: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no image " * 100)
    (tmp_path / "cut.dcs").write_bytes(files[0].read_bytes()[:-9])
    dicom_file(tmp_path / "other.dcm")
    for name, said in (
        ("text", "not a DICOM file"), ("cut.dcs", "bytes"), ("missing", "cannot be read"),
        ("other.dcm", "is not a SOP class of DICOS"), (".", "is a folder; name the files in it"),
    ):  # fmt: skip
        result = dicos("validate", tmp_path / name, files[1])
        assert result.status == USAGE
        message, summary = result.err.splitlines()
        assert message.startswith(f"error: {tmp_path / name}: ")
        assert said in message
        assert summary == "2 files: 0 errors, 0 warnings, 1 not readable"
        assert dicos("validate", files[1], "--tdr-of", tmp_path / name).status == USAGE


def test_many_findings_are_bounded(tmp_path: Path) -> None:
    ct = new_ct()
    report = TDR.new(ct, [new_threat(ct)], stamp=new_stamp())
    item = report.dataset.ThreatSequence[0]
    report.dataset.ThreatSequence.extend([item] * 3000)
    write_file(report, tmp_path / "report.dcs")
    result = dicos("validate", tmp_path / "report.dcs")
    assert len(result.out.splitlines()) == 1000
    assert "only the first 1000 findings are listed" in result.err
