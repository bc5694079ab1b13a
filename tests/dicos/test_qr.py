"""Quadrupole resonance: measurements in and out."""

import pytest
from pydicom.dataset import Dataset

from dicos_proto.data import decode_object, encode
from dicos_proto.dicos import QR, BadValue, Code, Measurement, view
from dicos_proto.registry import uids

from .making import element, rules, sequence, stamp

BOX = ((0.0, 0.0, 0.0), (300.0, 200.0, 500.0))


def measurement(name: str = "RDX", polygon: tuple[tuple[float, ...], ...] = BOX) -> Measurement:
    code = Code(value=name, scheme="99TEST", meaning=f"the material {name}")
    return Measurement(material=code, signal_to_noise=2.5, threshold=5.25, polygon=polygon)  # type: ignore[arg-type]


def test_measurements_are_the_same_after_they_were_bytes() -> None:
    given = [measurement(), measurement("PETN", (*BOX, (1.0, 2.0, 3.0)))]
    made = QR.new(given, ooi_id="BAG-1", stamp=stamp())
    qr = view(decode_object(encode(made.dataset, uids.IMPLICIT_VR_LE), uids.IMPLICIT_VR_LE))
    assert isinstance(qr, QR)
    assert qr.measurements == given
    assert not given[0].exceeds
    assert (qr.validate(), qr.modality) == ([], "QR")


@pytest.mark.parametrize("polygon", [(), (BOX[0],), ((0.0, 0.0), (1.0, 1.0))])
def test_a_region_needs_two_points(polygon: tuple[tuple[float, ...], ...]) -> None:
    with pytest.raises(ValueError, match="that is not two or more points"):
        QR.new([measurement(polygon=polygon)], ooi_id="BAG-1", stamp=stamp())
    with pytest.raises(ValueError, match="no measurements; at least 1"):
        QR.new([], ooi_id="BAG-1", stamp=stamp())


@pytest.mark.parametrize(
    ("tag", "vr", "value", "text"),
    [
        (0x40101072, "SQ", sequence(), r"Target Material Sequence \(4010,1072\): 0 items; 1 is allowed"),
        (0x4010101D, "FL", [1.0] * 5, r"Bounding Polygon \(4010,101D\): 5 values; 3 for each of two or more points"),
        (0x00220155, "FL", None, r"Signal-to-Noise Ratio \(0022,0155\): is missing"),
    ],
)
def test_a_measurement_that_cannot_be_read(tag: int, vr: str, value: object, text: str) -> None:
    qr = QR.new([measurement()], ooi_id="BAG-1", stamp=stamp())
    element(qr.dataset.QRMeasurementsSequence[0], tag, vr, value)
    with pytest.raises(BadValue, match=text):
        _ = qr.measurements
    assert rules(qr.validate())[0][0] == f"{tag:08X}"
    assert qr.validate()[0].path == "(4010,1071)[1]"


def test_a_code_without_its_parts_is_empty() -> None:
    qr = QR.new([measurement()], ooi_id="BAG-1", stamp=stamp())
    element(qr.dataset.QRMeasurementsSequence[0], 0x40101072, "SQ", sequence(Dataset()))
    assert qr.measurements[0].material == Code(value="", scheme="", meaning="")
    assert qr.validate()[0].path == "(4010,1071)[1] (4010,1072)[1]"
