"""`dicos show`: a picture or a text, and a clear message for what is neither."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("PIL", reason="Pillow is not installed")

from PIL import Image

from dicos_proto.dicos import TDR, Operator
from dicos_transports.dicos import write_file
from tests.dicos.reports import new_ct, new_stamp, new_threat
from tests.transports.cli.commands import dicom_file, dicos

OK, FAILED, USAGE = 0, 1, 2


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A scan and a report on it."""
    ct = new_ct()
    ct.dataset.PatientName, ct.dataset.PatientBirthDate = "DOE^JANE", "19700102"
    write_file(ct, tmp_path / "bag.dcs")
    write_file(TDR.new(ct, [new_threat(ct, probability=0.75)], stamp=new_stamp()), tmp_path / "report.dcs")
    return tmp_path / "bag.dcs", tmp_path / "report.dcs"


def test_a_picture_is_written(files: tuple[Path, Path], tmp_path: Path) -> None:
    bag, report = files
    result = dicos("show", bag, "--tdr", report, "-o", tmp_path / "view.png")
    assert (result.status, result.out) == (OK, "")
    with Image.open(tmp_path / "view.png") as image:
        assert result.err == f"{tmp_path / 'view.png'}: {image.width} x {image.height} pixels\n"
        pixels = np.asarray(image.convert("RGB"))
    assert (pixels == (200, 24, 44)).all(axis=-1).any()  # ALARM
    assert sorted(one.name for one in tmp_path.iterdir()) == ["bag.dcs", "report.dcs", "view.png"]


def test_without_a_picture_it_says_what_is_in_the_files(files: tuple[Path, Path]) -> None:
    bag, report = files
    result = dicos("show", bag, "--tdr", report)
    assert (result.status, result.err) == (OK, "")
    for said in (
        "DICOS CT Image Storage", "30 x 20 x 12 voxels of 2 x 2 x 5 mm, uint16",
        "decision   ALARM; 1 of 1 objects alarm",
        "threat 1   EXPLOSIVE 75%: threat, ", "voxels x 16 to 24, y 4 to 12, z 4 to 8", "BAG-1",
    ):  # fmt: skip
        assert said in result.out
    assert "DOE" not in result.out
    assert "1970" not in result.out
    assert dicos("show", report).out == result.out.partition("MHU\n")[2]


def test_the_events(files: tuple[Path, Path], tmp_path: Path) -> None:
    bag, report = files
    shown = dicos("show", bag, "--tdr", report, "--json").named("shown")
    assert [(one["file"], one["kind"]) for one in shown] == [(str(bag), "scan"), (str(report), "report")]
    assert shown[0]["lines"]["OOI ID"] == "BAG-1"
    (drawn,) = dicos("show", bag, "--json", "-q", "-o", tmp_path / "x.png").events
    assert (drawn["event"], drawn["file"]) == ("picture", str(tmp_path / "x.png"))


def test_axes_of_other_writers(tmp_path: Path) -> None:
    from dicos_proto.dicos import Axes

    ct = new_ct()
    write_file(TDR.new(ct, [new_threat(ct)], stamp=new_stamp(), axes=Axes.ZYX), tmp_path / "report.dcs")
    assert "voxels x 4 to 8, y 4 to 12, z 16 to 24" in dicos("show", tmp_path / "report.dcs").out
    assert "voxels x 16 to 24, y 4 to 12, z 4 to 8" in dicos("show", tmp_path / "report.dcs", "--axes", "zyx").out


def test_an_operator_is_not_named(tmp_path: Path) -> None:
    ct = new_ct()
    report = TDR.new(ct, stamp=new_stamp(), kind="operator", operator=Operator(id="OP-7", name="DOE^JOHN"))
    write_file(report, tmp_path / "report.dcs")
    out = dicos("show", tmp_path / "report.dcs").out
    assert "operator report" in out
    assert "DOE" not in out
    assert "OP-7" not in out


def test_what_cannot_be_shown(files: tuple[Path, Path], tmp_path: Path) -> None:
    bag, report = files
    write_file(new_ct().dataset, tmp_path / "whole.dcs")
    (tmp_path / "cut.dcs").write_bytes((tmp_path / "whole.dcs").read_bytes()[:-9])
    (tmp_path / "text").write_text("no image " * 100)
    dicom_file(tmp_path / "other.dcm", sop_class="1.2.840.10008.5.1.4.1.1.88.11")
    cases: list[tuple[tuple[Any, ...], str]] = [
        ((tmp_path / "missing.dcs",), "cannot be read"), ((tmp_path,), "is a folder"),
        ((tmp_path / "text",), "not a DICOM file"), ((tmp_path / "cut.dcs", "-o", tmp_path / "x.png"), "bytes"),
        ((bag, "--tdr", bag), "is a CT, not a threat detection report"), ((tmp_path / "other.dcm",), "other.dcm"),
        ((bag, "--tdr", tmp_path / "text"), "not a DICOM file"),
        ((report, "-o", tmp_path / "x.png"), "no picture of its own"),
        ((bag, report), "one FILE at a time; give its reports by --tdr"),
        ((bag, "-o", tmp_path / "x.jpg"), "ends in .png"), ((bag, "--axes", "up"), "invalid choice"),
    ]  # fmt: skip
    for words, said in cases:
        result = dicos("show", *words)
        assert (result.status, result.out) == (USAGE, ""), words
        assert said in result.err
        assert len(result.err.splitlines()) == 1
    assert not (tmp_path / "x.png").exists()


def test_the_picture_never_replaces_what_is_read(files: tuple[Path, Path], tmp_path: Path) -> None:
    bag, report = files
    for one in files:
        (tmp_path / "same.png").unlink(missing_ok=True)
        (tmp_path / "same.png").symlink_to(one)
        result = dicos("show", bag, "--tdr", report, "-o", tmp_path / "same.png")
        assert result.status == USAGE
        assert "would replace a file that is read" in result.err


def test_a_picture_that_cannot_be_written(files: tuple[Path, Path], tmp_path: Path) -> None:
    result = dicos("show", files[0], "-o", tmp_path / "nowhere" / "x.png")
    assert result.status == FAILED
    assert result.err.endswith("x.png: cannot be written: No such file or directory\n")


def test_a_report_whose_values_cannot_be_read(tmp_path: Path) -> None:
    ct = new_ct()
    report = TDR.new(ct, [new_threat(ct)], stamp=new_stamp())
    report.dataset.ThreatSequence[0].PTORepresentationSequence[0].BoundingPolygon = [1.0, 2.0]
    write_file(report, tmp_path / "report.dcs")
    result = dicos("show", tmp_path / "report.dcs")
    assert result.status == USAGE
    assert "Bounding Polygon (4010,101D): 2 numbers" in result.err
