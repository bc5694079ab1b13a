"""Threat detection reports of pyDICOS 1.3.0 and ours, both ways, as files.

Its wheel is for CPython 3.8 to 3.11 on Linux x86_64: `tools/peers.sh` puts it into a virtual environment of its own.
"""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicos_proto.dicos import (
    TDR,
    Algorithm,
    Assessment,
    Axes,
    Operator,
    Reference,
    ReferencedThreat,
    Region,
    Severity,
    Threat,
)
from dicos_proto.registry import uids
from dicos_transports.dicos import read_file, write_file
from tests.dicos.reports import SHAPE, ball, new_ct, new_stamp, new_threat, person
from tests.interop.peers import PATIENCE

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dicos-proto" / "pydicos"
PYTHON = Path(os.environ.get("PYDICOS_VENV") or CACHE) / "bin" / "python"
SCRIPT = Path(__file__).with_name("pydicos_reports.py")

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not PYTHON.exists(), reason=f"pyDICOS is not installed: no {PYTHON}"),
]

OTHER = Reference(sop_class_uid=uids.DICOS_TDR, sop_instance_uid="1.2.3")


def run(*words: object) -> str:
    done = subprocess.run(
        [PYTHON, SCRIPT, *map(str, words)], capture_output=True, text=True, errors="replace", timeout=PATIENCE,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def read_by_pydicos(folder: Path, reports: dict[str, TDR], syntax: str = uids.EXPLICIT_VR_LE) -> dict[str, Any]:
    """The result of reading each report with pyDICOS, whose log must be empty."""
    paths = []
    for name, report in reports.items():
        paths.append(folder / f"{name}.dcs")
        write_file(report, paths[-1], transfer_syntax=syntax)
    found = dict(zip(reports, map(json.loads, run("read", *paths).splitlines()), strict=True))
    assert {name: (one["ok"], one["log"]) for name, one in found.items()} == dict.fromkeys(reports, (True, ""))
    return found


@pytest.mark.parametrize("syntax", [uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE, uids.DICOS_EXPLICIT_VR_LE_EXTENDED])
def test_it_reads_our_report_and_sees_the_same(tmp_path: Path, syntax: str) -> None:
    ct = new_ct()
    threat = new_threat(ct, probability=0.75, description="a sheet")
    report = TDR.new(
        ct, [threat], stamp=new_stamp(), processing_ms=12.5,
        algorithm=Algorithm(manufacturer="M", version="2", parameters={"threshold": "0.5"}),
    )  # fmt: skip
    found = read_by_pydicos(tmp_path, {"machine": report}, syntax)["machine"]
    data = found["data"]
    (pto,) = data["PTOs"]
    region = threat.region
    assert region is not None
    assert pto["Base"] == dict(zip("xyz", region.base, strict=True))
    assert pto["Extent"] == dict(zip("xyz", region.extents, strict=True))
    assert pto["Bitmap"] == np.argwhere(region.mask()).tolist()
    assert [(p["x"], p["y"], p["z"]) for p in pto["Polygon"]] == list(threat.representations[0].polygon)
    assert pto["Assessment"] == {
        "flag": "ASSESSMENT_FLAG.enumThreat", "category": "THREAT_CATEGORY.enumExplosive", "probability": 0.75,
        "ability": "ABILITY_ASSESSMENT.enumNoInterference", "description": "a sheet",
    }  # fmt: skip
    assert (data["OOIID"], data["InstanceUID"]) == ("BAG-1", ct.scan_instance_uid)
    assert data["ATR"] == {"manufacturer": "M", "version": "2", "parameters": {"threshold": "0.5"}}
    assert (data["TDRType"], data["AlarmDecision"]) == ("TDR_TYPE.enumMachine", "ALARM_DECISION.enumAlarm")
    assert data["AlarmDecisionDateTime"] == {"date": [2026, 3, 1], "time": [12, 30, 5, 0]}
    assert (data["ProcessingTime"], found["alarms"]) == (12.5, 1)


def test_it_reads_every_kind_of_report_without_an_error(tmp_path: Path) -> None:
    ct, body = new_ct(), person()
    threat = new_threat(ct)
    box = Threat.from_region(Region(base=(1, 2, 3), extents=(4, 5, 6)))
    aggregated = replace(threat, referenced=(ReferencedThreat(id=3, tdr=OTHER),))
    operator = Operator(id="OP-7", name="DOE^JANE", organisation="Airport", id_type="PIV")
    twice = replace(threat, assessments=(Assessment(category="PI"), Assessment(flag="UNKNOWN")))
    arguments: dict[str, tuple[Any, list[Threat], dict[str, Any]]] = {
        "clear": (ct, [], {}),
        "abort": (ct, [], {"abort": ("TIMEOUT", "FAILED_RECON")}),
        "box": (ct, [box, replace(box, id=9), twice], {}),
        "operator": (ct, [threat], {"kind": "operator", "operator": operator}),
        "operator clears": (ct, [], {"kind": "operator", "operator": Operator(id="1"), "decision": "CLEAR"}),
        "truth": (ct, [threat], {"kind": "ground truth"}),
        "aggregate": (ct, [aggregated], {"kind": "aggregate", "reports": [OTHER]}),
        "mod": (ct, [replace(aggregated, origin="MACHINE")], {"kind": "mod aggregate", "reports": [OTHER]}),
        "person": (body, [new_threat(body)], {}),
        **{reason: (ct, [], {"abort": reason}) for reason in ("NOT_REVIEWED", "UNKNOWN_DATATYPE", "OVERSIZE_BAG")},
    }
    reports = {
        name: TDR.new(scanned, threats, stamp=new_stamp(), **options)
        for name, (scanned, threats, options) in arguments.items()
    }
    found = read_by_pydicos(tmp_path, reports)
    assert sorted(one["ID"] for one in found["box"]["data"]["PTOs"]) == [1, 2, 9]
    assert all(report.validate(arguments[name][0]) == [] for name, report in reports.items())


def test_we_read_its_reports_whose_axes_differ(tmp_path: Path) -> None:
    run("write", tmp_path)
    voxels = [[0, 0, 1], [0, 1, 0], [1, 2, 4]]
    for name, axes in (("loader", Axes.ZYX), ("generated", Axes.XYZ_Z_FASTEST)):
        report = read_file(tmp_path / f"{name}.dcs")
        assert isinstance(report, TDR)
        assert [one for one in report.validate() if one.severity is Severity.ERROR] == []
        (threat,) = report.read_threats(axes)
        region = threat.region
        assert region is not None
        assert (region.base, region.extents) == ((10, 20, 30), (5, 3, 2))
        assert np.argwhere(region.mask()).tolist() == voxels
        assert (threat.id, threat.category, threat.probability, threat.processing_ms) == (7, "EXPLOSIVE", 0.75, 1000)
        shown = threat.representations[0]
        assert (shown.mass, shown.density) == (50, 1.25)
        assert shown.polygon == (((1, 2, 3), (4, 5, 6)) if name == "generated" else ())
        assert (report.decision, report.ooi_id, report.scan_instance_uid) == ("ALARM", "BAG", "1.2.3")
        assert report.algorithm == Algorithm(manufacturer="M", version="1", parameters={"a": "b"})


def test_a_mask_that_we_write_is_the_mask_that_it_reads_and_back(tmp_path: Path) -> None:
    ct = new_ct()
    report = TDR.new(ct, [new_threat(ct)], stamp=new_stamp())
    seen = read_by_pydicos(tmp_path, {"one": report})["one"]["data"]["PTOs"][0]
    z, y, x = (int(seen["Base"][name]) for name in "zyx")
    mask = np.zeros(SHAPE, bool)
    for at in seen["Bitmap"]:
        mask[at[0] + z, at[1] + y, at[2] + x] = True
    assert (mask == ball()).all()
