"""Pictures of scans: what is where, from any encoding, with odd files and odd reports."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("PIL", reason="Pillow is not installed")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from dicos_proto.dicos import (
    AIT2D,
    CT,
    DX,
    OOI,
    TDR,
    Geometry,
    Place,
    Reference,
    Region,
    Representation,
    Section,
    Threat,
)
from dicos_proto.dicos import codecs as frame_codecs
from dicos_proto.dicos.errors import DicosError
from dicos_proto.registry import uids
from dicos_transports import pictures
from dicos_transports.dicos import write_file
from dicos_transports.files.part10 import Part10Error
from dicos_transports.pictures import NoPicture, Scan, drawing, picture, words
from dicos_transports.pictures.colours import coloured, density
from dicos_transports.pictures.drawing import FLAG_COLOURS, GROUND
from dicos_transports.pictures.projection import project
from tests.dicos.reports import new_stamp
from tests.transports.pictures.files import with_pixels

SHAPE = (24, 40, 60)
SPACING = (2.0, 2.0, 5.0)
RED = FLAG_COLOURS["THREAT"]
TEAL = FLAG_COLOURS["NO_THREAT"]


def bag(**options: Any) -> CT:
    """Water at z 4 to 11, y 10 to 19, x 30 to 49, and steel at z 18, y 30, x 5 to 24."""
    volume = np.zeros(SHAPE, np.uint16)
    volume[4:12, 10:20, 30:50] = 1000
    volume[18, 30, 5:25] = 7800
    made = CT.new(volume, ooi_id="BAG-1", stamp=new_stamp(), spacing=SPACING, **options)
    assert isinstance(made, CT)
    return made


def water(ct: CT, **details: Any) -> Threat:
    mask = np.zeros(SHAPE, bool)
    mask[4:12, 10:20, 30:50] = True
    mask[4, 10, 30] = False
    return Threat.from_mask(mask, geometry=Geometry.of(ct.dataset), **{"category": "EXPLOSIVE", **details})


def drawn(scan: Scan, *reports: TDR) -> NDArray[np.uint8]:
    return np.asarray(picture(scan, reports))


def places(image: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.intp]:
    return np.argwhere((image == np.array(colour, np.uint8)).all(axis=-1))


def report(ct: Any, *threats: Threat, **options: Any) -> TDR:
    return TDR.new(ct, threats, stamp=new_stamp(), **options)


# -- what is where ---------------------------------------------------------------------------------------------------


def test_views_are_maxima_from_three_sides() -> None:
    volume = np.random.default_rng(1).integers(0, 4000, (5, 6, 7)).astype(np.int16)
    views = project(volume, 5, 6, 7, 2.0, -10.0)
    values = volume.astype(np.float32) * 2 - 10
    assert np.array_equal(views.highest["axial"], values.max(axis=0))
    assert np.array_equal(views.highest["coronal"], values.max(axis=1))
    assert np.array_equal(views.highest["sagittal"], values.max(axis=2).T)
    assert views.mean["axial"] == pytest.approx(values.mean(axis=0), rel=1e-5)


def test_the_picture_has_the_proportions_of_the_bag() -> None:
    image = drawn(Scan.of(bag()))
    left, top = 24, 24 + 92 + 26
    scale = 900 / (80 + 120)
    ground = (image == np.array(GROUND, np.uint8)).all(axis=-1)
    assert not ground[top + 40 : top + 300, left : left + round(120 * scale) - 1].any()  # axial: 120 mm x 80 mm
    assert ground[top + 100, left + round(120 * scale) + 3]
    blue = image[top + round(61 * scale), left + round(30 * scale)]
    assert blue[2] > blue[0] + 60  # steel
    orange = image[top + round(30 * scale), left + round(80 * scale)]
    assert orange[0] > orange[2] + 60  # water
    assert (image[top + 10, left + 10] > 240).all()  # air


def test_threats_are_outlined_where_they_are_in_each_view() -> None:
    ct = bag()
    box = Threat.from_region(Region(base=(5, 30, 18), extents=(20, 1, 1)), flag="NO_THREAT", category="PI")
    image = drawn(Scan.of(ct), report(ct, water(ct), box))
    scale = 900 / (80 + 120)
    left, top = 24, 24 + 92 + 26
    coronal = top + round(80 * scale) + 22 + 26
    sagittal = left + round(120 * scale) + 22
    for x, y, wide, high in (
        (left + 60 * scale, top + 20 * scale, 40 * scale, 20 * scale),
        (left + 60 * scale, coronal + 20 * scale, 40 * scale, 40 * scale),
        (sagittal + 20 * scale, top + 20 * scale, 40 * scale, 20 * scale),
    ):
        row = image[round(y + high / 2)]
        for edge in (x, x + wide):
            assert any((row[round(edge) + off] == RED).all() for off in range(-6, 7)), (x, y)
    assert len(places(image, TEAL)) > 100
    assert len(places(drawn(Scan.of(ct), report(ct)), RED)) == 0


def written(monkeypatch: pytest.MonkeyPatch, scan: Scan, *reports: TDR) -> list[str]:
    """Every text in a picture."""
    said: list[str] = []
    real = ImageDraw.ImageDraw.text

    def text(self: Any, at: Any, words: str, *others: Any, **options: Any) -> None:
        said.append(words)
        real(self, at, words, *others, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    picture(scan, reports)
    return said


def test_threats_have_labels_with_category_and_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    ct = bag()
    said = written(monkeypatch, Scan.of(ct), report(ct, water(ct, probability=0.75)))
    assert said.count("1 EXPLOSIVE 75%") == 4, "in each view, and in the legend"
    assert "ALARM" in said
    assert "BAG-1" in said


def test_each_view_has_a_scale_in_mm(monkeypatch: pytest.MonkeyPatch) -> None:
    bars: list[float] = []
    real = ImageDraw.ImageDraw.line

    def line(self: Any, points: Any, *others: Any, **options: Any) -> None:
        if options.get("width") == 2 and len(points) == 4 and points[1] == points[3]:
            bars.append(points[2] - points[0])
        real(self, points, *others, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "line", line)
    said = [
        float(one.removesuffix(" mm"))
        for one in written(monkeypatch, Scan.of(bag()))
        if one.endswith(" mm") and one.removesuffix(" mm").isdigit()
    ]
    assert len(said) == 3
    scale = 900 / (80 + 120)
    assert bars == pytest.approx([length * scale for length in said], rel=0.02)
    unknown = written(monkeypatch, Scan.of(dx()))
    assert not any(one.removesuffix(" mm").isdigit() for one in unknown if one.endswith(" mm"))


def test_the_decision_has_a_colour() -> None:
    ct = bag()
    for options, colour in (
        ({"decision": "ALARM"}, "ALARM"), ({"decision": "CLEAR"}, "CLEAR"), ({"abort": "TIMEOUT"}, "UNKNOWN"),
    ):  # fmt: skip
        image = drawn(Scan.of(ct), report(ct, water(ct), **options))
        assert len(places(image, drawing.DECISION_COLOURS[colour])) > 1000


def test_only_the_last_report_decides() -> None:
    ct = bag()
    image = drawn(Scan.of(ct), report(ct, water(ct)), report(ct, decision="CLEAR"))
    assert len(places(image, drawing.DECISION_COLOURS["CLEAR"])) > 1000
    assert len(places(image, RED)) > 100


def test_densities_of_known_and_unknown_units() -> None:
    values = np.array([-1000, 0, 1000], np.float32)
    assert density(values, "HU").tolist() == [0, 1, 2]
    assert density(values, "MHU").tolist() == [0, 0, 1]
    assert density(values, "", top=1000).tolist() == [0, 2, 4]
    assert density(np.zeros(3, np.float32), "").tolist() == [0, 0, 0]
    image = coloured(np.array([[0.0, 1.0, 2.7, 7.8]], np.float32), drawing.colours.DENSITY)[0].astype(int)
    air, organic, mixed, metal = image
    assert (air == 255).all()
    assert organic[0] > organic[1] > organic[2]
    assert mixed[1] == mixed.max()
    assert metal[2] == metal.max()


# -- any encoding ----------------------------------------------------------------------------------------------------


def compressed(ct: CT, path: Path, syntax: str, *, single: bool = False) -> Path:
    """The CT as a file with compressed frames."""
    volume = ct.volume
    layout = frame_codecs.FrameLayout(rows=SHAPE[1], columns=SHAPE[2], bits_allocated=16, bits_stored=16)
    frames = [frame_codecs.encode(frame.tobytes(), layout, syntax) for frame in volume]
    pixels = encapsulate(frames, has_bot=False, fragments_per_frame=2 if single else 1)
    return with_pixels(ct.dataset, path, syntax, pixels)


@pytest.mark.parametrize("syntax", [uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE, uids.DICOS_EXPLICIT_VR_LE_EXTENDED])
def test_any_native_encoding_gives_the_same_picture(tmp_path: Path, syntax: str) -> None:
    ct = bag()
    write_file(ct, tmp_path / "ct.dcs", transfer_syntax=syntax)
    assert np.array_equal(drawn(Scan.read(tmp_path / "ct.dcs")), drawn(Scan.of(ct)))


@pytest.mark.parametrize("syntax", [uids.JPEG_LOSSLESS_SV1, uids.RLE_LOSSLESS])
def test_compressed_frames_give_the_same_picture(tmp_path: Path, syntax: str) -> None:
    pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")
    ct = bag()
    assert np.array_equal(drawn(Scan.read(compressed(ct, tmp_path / "ct.dcs", syntax))), drawn(Scan.of(ct)))


@pytest.mark.parametrize("dtype", ["uint16", "int16"])
def test_frames_of_fewer_bits_than_are_allocated(tmp_path: Path, dtype: str) -> None:
    imagecodecs = pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")
    volume = np.zeros((3, 20, 30), dtype)
    volume[1, 5:10, 5:10] = -1000 if dtype == "int16" else 4000
    ct = CT.new(volume, ooi_id="BAG-1", stamp=new_stamp())
    ct.dataset.BitsStored, ct.dataset.HighBit = 12, 11
    frames = [
        imagecodecs.jpeg8_encode(one.view("u2") & 0xFFF, lossless=True, predictor=1, bitspersample=12)
        for one in volume
    ]  # fmt: skip
    path = with_pixels(ct.dataset, tmp_path / "ct.dcs", uids.JPEG_LOSSLESS_SV1, encapsulate(frames))
    assert np.array_equal(np.stack(list(Scan.read(path))), volume)


def test_one_frame_may_have_several_fragments(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")
    image = dx()
    layout = frame_codecs.FrameLayout(rows=40, columns=60, bits_allocated=16, bits_stored=16)
    frame = frame_codecs.encode(image.image.tobytes(), layout, uids.JPEG_LOSSLESS_SV1)
    pixels = encapsulate([frame], has_bot=True, fragments_per_frame=3)
    path = with_pixels(image.dataset, tmp_path / "dx.dcs", uids.JPEG_LOSSLESS_SV1, pixels)
    assert np.array_equal(drawn(Scan.read(path)), drawn(Scan.of(image)))


def test_the_memory_is_that_of_a_frame(tmp_path: Path) -> None:
    volume = np.zeros((300, 256, 256), np.uint16)  # 39 MB
    ct = CT.new(volume, ooi_id="BAG-1", stamp=new_stamp())
    write_file(ct, tmp_path / "ct.dcs")
    picture(Scan.read(tmp_path / "ct.dcs"))
    tracemalloc.start()
    try:
        drawn(Scan.read(tmp_path / "ct.dcs"))
        assert tracemalloc.get_traced_memory()[1] < 30e6  # nearly all of it for the image
    finally:
        tracemalloc.stop()


# -- other objects ---------------------------------------------------------------------------------------------------


def dx(**options: Any) -> DX:
    image = np.full((40, 60), 60000, np.uint16)
    image[10:20, 30:50] = 20000
    image[30, 5:25] = 600
    made = DX.new(image, ooi_id="BAG-1", stamp=new_stamp(), **options)
    assert isinstance(made, DX)
    return made


def test_an_x_ray_is_coloured_by_attenuation() -> None:
    image = drawn(Scan.of(dx()))
    left, top, scale = 24, 24 + 92 + 26, 1240 / 60
    blue = image[top + round(30.5 * scale), left + round(15 * scale)]
    orange = image[top + round(15 * scale), left + round(40 * scale)]
    assert blue[2] > blue[0]
    assert orange[0] > orange[2] + 60
    assert (image[top + 5, left + 5] > 240).all()


def test_pixels_of_unknown_size_are_not_said_to_be_a_millimetre_wide() -> None:
    assert words.described(Scan.of(dx()))[1] == "60 x 40 pixels, of unknown size"
    scanned = dx()
    scanned.dataset.ImagerPixelSpacing = [2, 1]
    assert words.described(Scan.of(scanned))[1] == "60 x 40 pixels of 1 x 2 mm"
    assert words.described(Scan.of(bag()))[1] == "60 x 40 x 24 voxels of 2 x 2 x 5 mm"
    scanned.dataset.add(DataElement(0x52009229, "LO", "x"))
    assert not Scan.of(dx()).has_spacing


def test_a_threat_in_an_x_ray_is_drawn() -> None:
    scanned = dx()
    threat = Threat.from_region(Region(base=(30, 10, 0), extents=(20, 10, 1)), volume=False, category="LAPTOP")
    image = drawn(Scan.of(scanned), report(scanned, threat))
    left, top, scale = 24, 24 + 92 + 26, 1240 / 60
    edge = left + round(30 * scale)
    assert any((image[top + round(15 * scale), edge + off] == RED).all() for off in range(-5, 5))


@pytest.mark.parametrize("sign", [1, -1])
def test_an_x_ray_may_be_dark_or_bright_where_it_is_dense(sign: int) -> None:
    scanned = dx()
    if sign < 0:
        scanned = dx()
        scanned.dataset[0x7FE00010].value = (65535 - scanned.image).tobytes()
        scanned.dataset.PixelIntensityRelationshipSign = -1
    image = drawn(Scan.of(scanned))
    left, top, scale = 24, 24 + 92 + 26, 1240 / 60
    metal, air = image[top + round(30.5 * scale), left + round(15 * scale)], image[top + 5, left + 5]
    assert int(air.sum()) > int(metal.sum()) + 200


def test_a_person_is_grey_and_has_anomalies() -> None:
    body = np.zeros((40, 60), np.uint16)
    body[10:30, 20:40] = 3000
    scanned = AIT2D.new(body, ooi_id="P-1", stamp=new_stamp(), ooi=OOI(type="PERSON"))
    assert isinstance(scanned, AIT2D)
    threat = Threat(representations=(Representation(anomalies=((30, 20, 0),)),))
    image = drawn(Scan.of(scanned), report(scanned, threat))
    left, top, scale = 24, 24 + 92 + 26, 1240 / 60
    inside = image[top + round(12 * scale), left + round(22 * scale)].astype(int)
    assert inside.max() - inside.min() < 12
    assert inside.min() > 200
    assert len(places(image, RED)) > 50


def test_a_plain_dicom_image_is_drawn_too(tmp_path: Path) -> None:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = uids.CT_IMAGE_STORAGE, "1.2.3"
    dataset.Modality, dataset.PatientID = "CT", "P1"
    dataset.Rows, dataset.Columns, dataset.BitsAllocated, dataset.SamplesPerPixel = 40, 60, 16, 1
    dataset.PixelRepresentation, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, 0, "HU"
    dataset.PixelSpacing = [2, 1]
    values = np.full((40, 60), -1000, np.int16)
    values[10:20, 30:50] = 0
    dataset.add(DataElement(0x7FE00010, "OW", values.tobytes()))
    write_file(dataset, tmp_path / "ct.dcm")
    scan = Scan.read(tmp_path / "ct.dcm")
    assert (scan.geometry.spacing, scan.is_volume, scan.is_transmission) == ((1, 2, 1), False, False)
    assert drawn(scan).shape[0] > 900
    dataset.RescaleSlope, dataset.PixelSpacing = 0, [0, 0]
    write_file(dataset, tmp_path / "ct.dcm")
    assert len(Scan.read(tmp_path / "ct.dcm").notes) == 2
    drawn(Scan.read(tmp_path / "ct.dcm"))


# -- what is wrong ---------------------------------------------------------------------------------------------------


def notes(monkeypatch: pytest.MonkeyPatch, scan: Scan, *reports: TDR) -> list[str]:
    said: list[str] = []
    real = drawing.Canvas.text

    def text(self: Any, at: Any, words: str, *others: Any, **options: Any) -> None:
        said.append(words)
        real(self, at, words, *others, **options)

    monkeypatch.setattr(drawing.Canvas, "text", text)
    picture(scan, reports)
    return [one.removeprefix("! ") for one in said if one.startswith("! ")]


def test_what_cannot_be_drawn_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    ct, other = bag(), bag()
    other.dataset.SOPInstanceUID = "1.2.3"
    scan = Scan.of(ct)
    assert notes(monkeypatch, scan, report(ct, water(ct))) == []
    assert notes(monkeypatch, scan, report(other, water(ct))) == ["a report does not refer to this scan"]
    outside = Threat.from_region(Region(base=(50, 0, 0), extents=(20, 1, 1)))
    assert notes(monkeypatch, scan, report(ct, outside)) == ["threat 1: region along x: voxels 50 to 69 of 60"]
    assert notes(monkeypatch, scan, report(ct, Threat())) == ["threat 1 has no place"]
    assert notes(monkeypatch, scan, report(ct, Threat(representations=()))) == ["threat 1 is not shown in this scan"]
    elsewhere = Reference(sop_class_uid=uids.DICOS_CT, sop_instance_uid="1.2.4")
    shown = replace(water(ct).representations[0], references=(elsewhere,))
    threat = Threat(representations=(shown, shown))
    assert notes(monkeypatch, scan, report(ct, threat)) == ["threat 1 is not shown in this scan"]
    many = [replace(water(ct), id=number) for number in range(1, 103)]
    assert notes(monkeypatch, scan, report(ct, *many)) == ["only the first 100 of 102 threats are drawn"]
    broken = report(ct, water(ct))
    broken.dataset.ThreatSequence[0].PTORepresentationSequence[0].BoundingPolygon = [1.0, 2.0]
    broken.dataset.add(DataElement(0x40101031, "OB", b"x"))
    (said,) = notes(monkeypatch, scan, broken)
    assert said.startswith("threats of a report are not readable: Bounding Polygon (4010,101D)")


def test_sections_are_drawn_one_behind_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [Section(volume=np.zeros((4, 5, 6), np.uint16), place=Place(position=(0, 0, z))) for z in (0.0, 90.0)]
    (ct,) = CT.new(sections=pieces, ooi_id="BAG-1", stamp=new_stamp())
    assert notes(monkeypatch, Scan.of(ct)) == ["2 sections are drawn one behind the other"]


def test_polygons_are_drawn_without_a_region() -> None:
    ct = bag()
    for polygon in (((60, 20, 20), (100, 40, 60)), ((60, 20, 20), (100, 40, 60), (60, 40, 1e6)), ((1, 1, 1),) * 8):
        shown = Representation(polygon=tuple(polygon))
        image = drawn(Scan.of(ct), report(ct, Threat(representations=(shown,))))
        assert len(places(image, RED)) > 50


def test_an_object_without_pixels_has_no_picture(tmp_path: Path) -> None:
    ct = bag()
    write_file(report(ct), tmp_path / "tdr.dcs")
    with pytest.raises(NoPicture, match="no pixel data"):
        Scan.read(tmp_path / "tdr.dcs")
    with pytest.raises(NoPicture, match="no pixel data"):
        Scan.of(report(ct))


def changed(path: Path, **attributes: Any) -> Path:
    ct = bag()
    for name, value in attributes.items():
        setattr(ct.dataset, name, value)
    write_file(ct, path)
    return path


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({"Rows": 65535, "Columns": 65535}, "are needed|are allowed"), ({"Rows": 0}, "at least 1"),
        ({"NumberOfFrames": 65535}, "bytes of pixel data; 314568000 are needed"), ({"BitsAllocated": 12}, "12 bits"),
        ({"SamplesPerPixel": 3}, "3 samples per pixel"), ({"Rows": None}, "is missing"),
    ],
)  # fmt: skip
def test_dimensions_that_the_bytes_do_not_have_are_refused(
    tmp_path: Path, attributes: dict[str, Any], text: str
) -> None:
    with pytest.raises(Part10Error, match=text):
        Scan.read(changed(tmp_path / "ct.dcs", **attributes))


def test_views_that_are_too_large_are_refused(tmp_path: Path) -> None:
    volume = np.zeros((65535, 1, 2100), np.uint8)
    ct = CT.new(volume, ooi_id="BAG-1", stamp=new_stamp())
    assert isinstance(ct, CT)
    with pytest.raises(NoPicture, match="more than 134217728 pixels"):
        Scan.of(ct)


CASES = [
    (b"", "0 fragments"),
    (b"\xfe\xff\x00\xe0\xff\xff\xff\x7f", "fragment 0 of the pixel data is not a fragment or is cut short"),
    (b"\xfe\xff\x00\xe0\0\0\0\0" * 3, "2 fragments of pixel data for 24 frames"),
    (b"\xfe\xff\x00\xe0\0\0\0\0" * 25, "frame 1 cannot be decompressed"),
    (
        b"\xfe\xff\x00\xe0\0\0\0\0" + b"\xfe\xff\x00\xe0\x04\0\0\0\xff\xd8\xff\xd9" * 24,
        "frame 1 cannot be decompressed",
    ),
    (b"\0" * 8, "fragment 0 of the pixel data is not a fragment"),
]


@pytest.mark.parametrize(("pixels", "text"), CASES)
def test_fragments_that_are_none_are_refused(tmp_path: Path, pixels: bytes, text: str) -> None:
    path = with_pixels(bag().dataset, tmp_path / "ct.dcs", uids.JPEG_LOSSLESS_SV1, pixels)
    with pytest.raises(Part10Error, match=text):
        drawn(Scan.read(path))


def test_a_compressed_encoding_that_is_not_read_is_named(tmp_path: Path) -> None:
    for syntax in (uids.JPEG_2000_LOSSLESS, uids.EXPLICIT_VR_LE):
        path = with_pixels(bag().dataset, tmp_path / "ct.dcs", syntax, CASES[3][0])
        with pytest.raises(Part10Error, match="which is not read"):
            Scan.read(path)
    path = with_pixels(bag().dataset, tmp_path / "ct.dcs", uids.DEFLATED_EXPLICIT_VR_LE, CASES[3][0])
    with pytest.raises(Part10Error, match="is not read here"):
        Scan.read(path)


def attempt(path: Path) -> Image.Image | None:
    try:
        return picture(Scan.read(path))
    except (Part10Error, NoPicture, DicosError):
        return None


def test_a_file_that_is_cut_short_anywhere_has_a_clear_error(tmp_path: Path) -> None:
    write_file(bag(), tmp_path / "whole.dcs")
    whole = (tmp_path / "whole.dcs").read_bytes()
    for length in (*range(0, 4000, 97), len(whole) - 2):
        (tmp_path / "cut.dcs").write_bytes(whole[:length])
        assert attempt(tmp_path / "cut.dcs") is None


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    folder = tmp_path_factory.mktemp("odd")
    volume = np.arange(2 * 4 * 4, dtype=np.uint16).reshape(2, 4, 4)
    write_file(CT.new(volume, ooi_id="BAG-1", stamp=new_stamp()), folder / "ct.dcs")
    return folder / "odd.dcs", (folder / "ct.dcs").read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=4))
def test_corrupt_files_have_a_picture_or_an_error(whole: tuple[Path, bytes], changes: list[tuple[float, int]]) -> None:
    path, content = whole
    data = bytearray(content)
    for place, value in changes:
        data[132 + int(place * (len(data) - 132))] = value
    path.write_bytes(data)
    attempt(path)


def test_the_names_of_the_package() -> None:
    assert "picture" in dir(pictures)
    with pytest.raises(AttributeError):
        _ = pictures.paint  # type: ignore[attr-defined]
