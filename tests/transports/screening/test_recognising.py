"""Scans as recognisers get them, and the recogniser that comes with the station."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

pytest.importorskip("PIL")
from dicos_proto.dicos import CT, DX, Threat
from dicos_proto.registry import uids
from dicos_transports.dicos import stamp, write_file
from dicos_transports.files import Part10Error
from dicos_transports.screening import CannotRecognise, Scan, child
from dicos_transports.screening.detector import _joined, _runs, recognise
from dicos_transports.screening.header import NotAScan, read_header
from tests.transports.screening.stations import HERE, scan_file


def ct_file(path: Path, volume: NDArray[np.uint16], spacing: float = 10.0) -> Path:
    write_file(CT.new(volume, ooi_id="BAG-1", stamp=stamp(), spacing=(spacing,) * 3), path)
    return path


def test_a_scan_is_a_view_of_its_file(tmp_path: Path) -> None:
    scan = Scan(scan_file(tmp_path, 1))
    assert scan.volume.shape == (8, 32, 32)
    assert scan.image.shape == (32, 32)
    assert scan.spacing == pytest.approx((0.9, 0.9, 0.9))
    assert scan.position == (0.0, 0.0, 0.0)
    assert not scan.volume.flags.owndata
    assert not scan.volume.flags.writeable
    assert isinstance(scan.object, CT)
    assert scan.object.volume.shape == scan.volume.shape
    assert scan.heading.PatientID == "BAG-0001"
    assert "PixelData" not in scan.heading
    assert "PerFrameFunctionalGroupsSequence" not in scan.heading
    assert "PerFrameFunctionalGroupsSequence" in scan.attributes


def test_a_scan_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "text.dcs").write_text("no scan")
    scan = Scan(tmp_path / "text.dcs")
    for name in ("heading", "attributes", "volume"):
        with pytest.raises(Part10Error):
            getattr(scan, name)


def flooded(mask: NDArray[np.bool_]) -> list[frozenset[tuple[int, ...]]]:
    """The connected parts of a mask, voxel by voxel."""
    left, parts = set(map(tuple, np.argwhere(mask).tolist())), []
    while left:
        part, border = set(), [left.pop()]
        while border:
            z, y, x = voxel = border.pop()
            part.add(voxel)
            for step in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
                for sign in (1, -1):
                    near = (z + sign * step[0], y + sign * step[1], x + sign * step[2])
                    if near in left:
                        left.remove(near)
                        border.append(near)
        parts.append(frozenset(part))
    return parts


@given(st.tuples(*[st.integers(1, 6)] * 3), st.integers(0, 2**32 - 1), st.floats(0.1, 0.9))
def test_what_touches_belongs_together(shape: tuple[int, int, int], seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random(shape) < share
    runs = _runs(mask.astype(np.uint16), 1, 1)
    labels = _joined(runs)
    parts: dict[int, set[tuple[int, ...]]] = {}
    for label, z, y, first, after in zip(
        labels.tolist(), runs.frames.tolist(), runs.rows.tolist(), runs.starts.tolist(), runs.ends.tolist(), strict=True
    ):
        parts.setdefault(label, set()).update((z, y, x) for x in range(first, after))
    assert set(map(frozenset, parts.values())) == set(flooded(mask))


def test_threats_have_their_density_their_volume_and_their_mask(tmp_path: Path) -> None:
    volume = np.zeros((12, 14, 16), np.uint16)
    volume[2:5, 3:7, 4:9] = 700  # 60 cm3
    volume[4, 6, 9] = 800  # touches it
    volume[9:11, 10:12, 2:6] = 900  # 16 cm3: too small
    volume[8:11, 2:5, 10:14] = 1500  # too dense
    volume[7:11, 9:13, 8:12] = 900  # 64 cm3
    scan = Scan(ct_file(tmp_path / "ct.dcs", volume))
    first, second = recognise(scan)
    assert [round(one.representations[0].volume or 0) for one in (first, second)] == [64, 61]
    assert first.representations[0].density == pytest.approx(1.9)
    assert second.representations[0].density == pytest.approx(1.7 + 0.1 / 61)
    mask = second.mask(volume.shape)
    assert mask.sum() == 61
    assert set(np.unique(volume[mask])) == {700, 800}


def test_nothing_dense_is_clear(tmp_path: Path) -> None:
    assert recognise(Scan(ct_file(tmp_path / "ct.dcs", np.full((4, 4, 4), 100, np.uint16)))) == []


def test_an_image_has_no_densities(tmp_path: Path) -> None:
    write_file(DX.new(np.ones((8, 9), np.uint16), ooi_id="BAG-1", stamp=stamp()), tmp_path / "dx.dcs")
    with pytest.raises(CannotRecognise, match="needs a volume"):
        recognise(Scan(tmp_path / "dx.dcs"))


@pytest.mark.parametrize("name", ["threshold", "nothing", f"{HERE}:raises"])
def test_recognisers_by_name(name: str) -> None:
    assert callable(child.load(name))


def test_a_failure_is_told_without_its_text(tmp_path: Path) -> None:
    answering = child.Answering("raises", child.load(f"{HERE}:raises"))
    request = {"do": "recognise", "seconds": 5, "scan": str(scan_file(tmp_path, 1)), "report": str(tmp_path / "r.dcs")}
    answer = child.answer(answering, request)
    assert answer["error"].startswith("ValueError in raises, recognisers.py line ")
    assert not (tmp_path / "r.dcs").exists()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("forgets_to_return", "the recogniser returned None in place of a list of threats"),
        ("answers_nonsense", "the recogniser returned int in place of a list of threats"),
        ("misspells", "a threat has an unknown flag; HIGH_THREAT, THREAT"),
        ("marks_nothing", "RegionError in marks_nothing, recognisers.py line "),
    ],
)
def test_what_is_no_list_of_threats_is_no_clear(name: str, why: str, tmp_path: Path) -> None:
    answering = child.Answering(name, child.load(f"{HERE}:{name}"))
    request = {"do": "recognise", "seconds": 5, "scan": str(scan_file(tmp_path, 1)), "report": str(tmp_path / "r.dcs")}
    assert child.answer(answering, request)["error"].startswith(why)
    assert not (tmp_path / "r.dcs").exists()


def test_an_operator_may_see_what_no_machine_saw(tmp_path: Path) -> None:
    from dicos_proto.dicos import TDR
    from dicos_transports.dicos import read_file

    scan, clerk = str(scan_file(tmp_path, 1)), child.Answering()
    header = {"sop_class": "1.2.840.10008.5.1.4.1.1.501.1", "sop_instance": "1.2.3", "ooi_id": "BAG-1"}
    clerk.abort(scan, str(tmp_path / "a.dcs"), "x", "TIMEOUT", header)
    told = clerk.operate(scan, str(tmp_path / "o.dcs"), str(tmp_path / "a.dcs"), "ALARM", "OP-1", header)
    assert told["decision"] == "ALARM"
    report = read_file(tmp_path / "o.dcs")
    assert isinstance(report, TDR)
    assert report.validate(Scan(Path(scan)).object) == []
    (threat,) = report.threats
    assert isinstance(threat, Threat)
    assert threat.mask((8, 32, 32)).all()


def test_a_scan_that_cannot_be_read_gets_a_report(tmp_path: Path) -> None:
    from dicos_transports.dicos import read_file

    (tmp_path / "scan.dcs").write_text("it was one")
    header = {"sop_class": "1.2.840.10008.5.1.4.1.1.501.1", "sop_instance": "1.2.3", "ooi_id": "BAG-1"}
    child.Answering().abort(str(tmp_path / "scan.dcs"), str(tmp_path / "a.dcs"), "x", "NOT_REVIEWED", header)
    report = read_file(tmp_path / "a.dcs")
    assert (report.ooi_id, report.dataset.AbortFlag) == ("BAG-1", "ABORT")


@pytest.mark.parametrize("frames", [1, 9, 47, 48, 50, 57, 58, 256])
@pytest.mark.parametrize("syntax", [uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE])
def test_a_number_of_frames_may_look_like_a_digit(tmp_path: Path, frames: int, syntax: str) -> None:
    """Number of Frames is US in DICOS: 48 has the byte of the digit 0."""
    made = CT.new(np.zeros((frames, 2, 3), np.uint16), ooi_id="BAG-1", stamp=stamp())
    write_file(made, tmp_path / "ct.dcs", transfer_syntax=syntax)
    assert read_header(tmp_path / "ct.dcs").ooi_id == "BAG-1"
    if syntax == uids.EXPLICIT_VR_LE:  # in implicit VR the number might be text
        made.dataset[0x7FE00010].value = bytes(12 * frames - 2)
        write_file(made, tmp_path / "short.dcs", transfer_syntax=syntax)
        with pytest.raises(NotAScan, match="bytes of pixel data where"):
            read_header(tmp_path / "short.dcs")
