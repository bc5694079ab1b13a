"""The loaders: files, data in and out, and reports as dicts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicos_transports.pydicos import (
    ALARM_DECISION,
    ASSESSMENT_FLAG,
    TDR_DATA_TEMPLATE,
    TDR_TYPE,
    THREAT_CATEGORY,
    AIT2DLoader,
    AIT3DLoader,
    ATRSettings,
    CTLoader,
    DXLoader,
    QRLoader,
    TDRLoader,
    dcsread,
    dcswrite,
)

VOLUME = np.arange(240, dtype=np.uint16).reshape(6, 5, 8)
DAY = {"date": (2026, 3, 1), "time": (12, 30, 5, 250)}


def a_ct() -> CTLoader:
    loader = CTLoader()
    loader.ooi_id = "BAG-1"
    loader.set_data([VOLUME])
    return loader


def pto(number: int = 9001, **more: Any) -> dict[str, Any]:
    return {
        "ID": number,
        "Base": {"x": 1, "y": 2, "z": 3},
        "Extent": {"x": 2, "y": 3, "z": 1},
        "Assessment": {
            "flag": ASSESSMENT_FLAG.enumHighThreat,
            "category": THREAT_CATEGORY.enumExplosive,
            "description": "Flammable Liquid",
            "probability": 0.75,
        },
        **more,
    }


@pytest.mark.parametrize("kind", [CTLoader, DXLoader, AIT2DLoader, AIT3DLoader, TDRLoader])
def test_a_file_is_read_back_as_it_was_written(kind: Any, tmp_path: Path) -> None:
    loader = kind()
    if kind in (CTLoader, AIT3DLoader):
        loader.set_data([VOLUME])
    elif kind is not TDRLoader:
        loader.set_data(VOLUME[0])
    path = tmp_path / "object.dcs"
    dcswrite(loader, path)
    found = dcsread(path)
    assert type(found) is kind
    assert dcsread(str(path), kind()).dicos.dataset.SOPInstanceUID == found.dicos.dataset.SOPInstanceUID
    if kind in (CTLoader, AIT3DLoader):
        assert np.array_equal(found.get_data()[0], VOLUME)
        assert np.array_equal(found.get_volume_data(), VOLUME)
    elif kind is not TDRLoader:
        assert np.array_equal(found.get_data(), VOLUME[0])


def test_sections_of_different_sizes_are_files_of_their_own(tmp_path: Path) -> None:
    loader = CTLoader()
    loader.set_data([VOLUME, np.ones((2, 3, 4), np.uint16)])
    loader.write(tmp_path / "bag.dcs")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["bag.dcs", "bag_1.dcs"]
    assert [CTLoader(tmp_path / name).get_data()[0].shape for name in ("bag.dcs", "bag_1.dcs")] == [
        (6, 5, 8),
        (2, 3, 4),
    ]


def test_files_that_cannot_be_read_say_why_and_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "text.dcs").write_text("no DICOS")
    loader = a_ct()
    with pytest.raises(RuntimeError, match=re.escape("text.dcs")):
        loader.read(tmp_path / "text.dcs")
    with pytest.raises(RuntimeError, match="no such file"):
        CTLoader(tmp_path / "none.dcs")
    with pytest.raises(ValueError, match="Invalid DICOS file"):
        dcsread(tmp_path / "text.dcs")
    loader.write(tmp_path / "bag.dcs")
    with pytest.raises(RuntimeError, match="is not a DX"):
        DXLoader(tmp_path / "bag.dcs")
    assert np.array_equal(loader.get_volume_data(), VOLUME)
    with pytest.raises(RuntimeError, match="the QR is empty"):
        QRLoader().write(tmp_path / "qr.dcs")
    with pytest.raises(RuntimeError, match="Failed to write"):
        loader.write(tmp_path / "none" / "bag.dcs")


def test_an_empty_loader_has_empty_data() -> None:
    assert CTLoader().get_data() == []
    assert CTLoader().get_volume_data().shape == (0, 0, 0)
    assert DXLoader().get_data().shape == (0, 0)
    assert QRLoader().get_data() == []
    assert len(TDRLoader()) == 0
    with pytest.raises(RuntimeError, match="read a file or set_data"):
        TDRLoader().get_data()


def test_new_volumes_keep_what_is_known_of_the_old_ones() -> None:
    loader = a_ct()
    old = loader.dicos
    loader.set_data(VOLUME * 2)
    assert loader.dicos.ooi_id == "BAG-1"
    assert loader.dicos.spacing == old.spacing
    assert np.array_equal(loader.get_volume_data(), VOLUME * 2)


def test_a_report_is_the_dict_that_was_set(tmp_path: Path) -> None:
    mask = np.zeros((1, 3, 2), bool)
    mask[0, 1, 1] = mask[0, 2, 0] = True
    data = {
        "TDRType": TDR_TYPE.enumMachine,
        "InstanceNumber": 12,
        "InstanceUID": "1.2.3.4",
        "OOIID": "BAG-7",
        "ContentDateAndTime": DAY,
        "ProcessingTime": 500.0,
        "AlarmDecision": ALARM_DECISION.enumAlarm,
        "AlarmDecisionDateTime": DAY,
        "ImageScaleRepresentation": 10.0,
        "ATR": {"manufacturer": "Alchemy", "version": "0.9", "parameters": {"magic": "true"}},
        "PTOs": [
            pto(
                Bitmap=mask,
                Polygon=[{"x": 0.0, "y": 0.0, "z": 0.0}, {"x": 1.0, "y": 2.0, "z": 3.0}],
                ReferencedInstance={"SopClassUID": "1.2.840.10008.5.1.4.1.1.501.1", "SopInstanceUID": "1.2.3"},
                PTOProcessingTime={"ProcessingStartTime": DAY, "ProcessingEndTime": DAY, "fTotalTimeMS": 2.5},
            ),
            pto(2),
        ],
    }
    loader = TDRLoader()
    loader.set_data(data)
    loader.write(tmp_path / "report.dcs")
    found = TDRLoader(tmp_path / "report.dcs")
    assert len(found) == 2
    got = found.get_data()
    assert {key: got[key] for key in data if key != "PTOs"} == {key: data[key] for key in data if key != "PTOs"}
    first, second = got["PTOs"]
    assert np.array_equal(first.pop("Bitmap"), mask)
    given = dict(data["PTOs"][0])  # type: ignore[index]
    del given["Bitmap"]
    given["Assessment"] = {**given["Assessment"], "ability": 1}
    assert first == given
    assert second["Bitmap"].all()
    assert found.get_ATR_metadata().manufacturer == "Alchemy"
    found.set_ATR_metadata(ATRSettings("Other", "2", {"a": "b"}))
    assert found.get_data()["ATR"] == {"manufacturer": "Other", "version": "2", "parameters": {"a": "b"}}
    assert found.dicos.validate() == []


def test_a_report_on_a_ct_is_linked_to_it(tmp_path: Path) -> None:
    """The original's masks have the shape (x, y, z) here."""
    ct = a_ct()
    mask = np.zeros((2, 3, 1), bool)
    mask[1, 2, 0] = True
    report = ct.generate_tdr({"PTOs": [pto(Bitmap=mask)]}, tmp_path / "report.dcs")
    assert (tmp_path / "report.dcs").exists()
    assert report.dicos.refers_to(ct.dicos)
    assert report.dicos.validate(ct.dicos) == []
    whole = report.dicos.threats[0].mask(VOLUME.shape)
    assert np.argwhere(whole).tolist() == [[3, 4, 2]]
    assert np.argwhere(report.get_data()["PTOs"][0]["Bitmap"]).tolist() == [[0, 2, 1]]


def test_masks_of_the_other_order_are_accepted_where_they_can_be_told_apart() -> None:
    ct, mask = a_ct(), np.zeros((1, 3, 2), bool)
    mask[0, 2, 1] = True
    report = ct.generate_tdr({"PTOs": [pto(Bitmap=mask)]})
    assert np.argwhere(report.dicos.threats[0].mask(VOLUME.shape)).tolist() == [[3, 4, 2]]
    with pytest.raises(ValueError, match=re.escape("Bitmap of the shape (4, 4, 4)")):
        ct.generate_tdr({"PTOs": [pto(Bitmap=np.ones((4, 4, 4)))]})
    for wrong in (ct.generate_tdr, TDRLoader().set_data):
        with pytest.raises(TypeError, match="list in place of a mapping of the keys of TDR_DATA_TEMPLATE"):
            wrong([mask])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"Nonsense": 1}, "key 'Nonsense'"),
        ({"InstanceNumber": "1"}, "InstanceNumber: str in place of int"),
        ({"AlarmDecision": 99}, "99"),
        ({"ContentDateAndTime": {"date": (2026, 13, 1), "time": (0, 0, 0, 0)}}, "ContentDateAndTime"),
        ({"PTOs": [{"ID": 1}]}, "PTO without Base"),
        ({"PTOs": [pto(Nonsense=1)]}, "PTO with the unknown key 'Nonsense'"),
        ({"PTOs": [pto(Extent={"x": 1})]}, "Extent"),
        ({"PTOs": [pto(Extent={"x": 0, "y": 1, "z": 1})]}, "region"),
        ({"PTOs": [pto(1), pto(1)]}, "two threats with the ID 1"),
    ],
)
def test_dicts_that_make_no_sense_are_refused_and_change_nothing(data: dict[str, Any], words: str) -> None:
    loader = TDRLoader()
    loader.set_data({"OOIID": "BAG-7", "PTOs": [pto(7)]})
    with pytest.raises((ValueError, TypeError), match=re.escape(words)):
        loader.set_data(data)
    assert loader.get_data()["OOIID"] == "BAG-7"
    assert [one["ID"] for one in loader.get_data()["PTOs"]] == [7]


def test_the_template_has_the_keys_of_the_data() -> None:
    loader = TDRLoader()
    loader.set_data({"PTOs": [pto()]})
    found = loader.get_data()
    assert set(found) == set(TDR_DATA_TEMPLATE)
    assert set(found["PTOs"][0]) == set(TDR_DATA_TEMPLATE["PTOs"][0])
