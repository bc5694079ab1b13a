"""X-ray and AIT objects: made from numpy arrays, read as such."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicos_proto.data import decode_object, encode
from dicos_proto.dicos import AIT2D, AIT3D, DX, BadValue, DicosObject, PixelError, Section, view
from dicos_proto.dicos.images import window_of
from dicos_proto.registry import uids

from .making import element, rules, stamp, volume

ROOT = "1.2.840.10008.5.1.4.1.1."
UNSIGNED = ("uint8", "uint16", "uint32", "uint64", "float32", "float64")
COLUMN = (0, 0, 1, 2, 3, 3)
DX_CLASSES = {
    "presentation": ("501.2.1", "501.2.1.1", "501.2.1.2", "501.2.1.3"),
    "processing": ("501.2.2", "501.2.2.1", "501.2.2.2", "501.2.2.3"),
}
AIT2D_CLASSES = {"standard": ("501.4", "501.4.1", "501.4.2", "501.4.3"), "raw": ("501.9.1", "501.9.2", "", "501.9.3")}
AIT3D_CLASSES = {
    "standard": ("501.5", "501.5.1", "501.5.2", "501.5.3"),
    "raw": ("501.10.1", "501.10.2", "", "501.10.3"),
}


def again(made: DicosObject) -> DicosObject:
    """The object after it was bytes."""
    return view(decode_object(encode(made.dataset, uids.IMPLICIT_VR_LE), uids.IMPLICIT_VR_LE))


def image(dtype: str = "uint16") -> np.ndarray:
    return volume(dtype, (6, 8))


@pytest.mark.parametrize("intent", DX_CLASSES)
@pytest.mark.parametrize(("dtype", "column"), [*zip(UNSIGNED, COLUMN, strict=True)])
def test_a_dx_of_each_dtype_and_intent(dtype: str, column: int, intent: str) -> None:
    made = DX.new(image(dtype), ooi_id="BAG-1", stamp=stamp(), intent=intent, position=(1, 2, 3), kvp=160)
    dx = again(made)
    assert isinstance(dx, DX)
    assert dx.sop_class_uid == ROOT + DX_CLASSES[intent][column]
    assert dx.image.dtype == np.dtype(dtype)
    assert np.array_equal(dx.image, image(dtype))
    assert np.shares_memory(made.image, DX(made.dataset).image)
    assert (dx.position, dx.kvp, dx.modality, dx.energy) == ((1, 2, 3), 160, "XRAY", "INTENSITY")
    assert (dx.intent, dx.coordinate_system) == (f"FOR {intent.upper()}", "LHS")
    assert dx.window == ((24.0, 48.0) if intent == "presentation" else None)
    assert dx.validate() == []


@pytest.mark.parametrize("kind", AIT2D_CLASSES)
@pytest.mark.parametrize(("dtype", "column"), [*zip(UNSIGNED, COLUMN, strict=True)])
def test_an_ait_image_of_each_dtype_and_kind(dtype: str, column: int, kind: str) -> None:
    if not AIT2D_CLASSES[kind][column]:
        with pytest.raises(TypeError, match="an array of uint64; these SOP classes are for 16-bit, 32-bit, float"):
            AIT2D.new(image(dtype), ooi_id="LANE-1", stamp=stamp(), kind=kind)
        return
    ait = again(AIT2D.new(image(dtype), ooi_id="LANE-1", stamp=stamp(), kind=kind, device_type="XBS"))
    assert isinstance(ait, AIT2D)
    assert ait.sop_class_uid == ROOT + AIT2D_CLASSES[kind][column]
    assert np.array_equal(ait.image, image(dtype))
    assert (ait.device_type, ait.ooi_type, ait.modality) == ("XBS", "PERSON", "AIT")
    assert ait.validate() == []


@pytest.mark.parametrize("kind", AIT3D_CLASSES)
@pytest.mark.parametrize(("dtype", "column"), [*zip(UNSIGNED, COLUMN, strict=True), ("int16", 0)])
def test_an_ait_volume_of_each_dtype_and_kind(dtype: str, column: int, kind: str) -> None:
    if not AIT3D_CLASSES[kind][column]:
        return
    ait = again(AIT3D.new(volume(dtype), ooi_id="LANE-1", stamp=stamp(), kind=kind, spacing=(5, 5, 10)))
    assert isinstance(ait, AIT3D)
    assert ait.sop_class_uid == ROOT + AIT3D_CLASSES[kind][column]
    assert np.array_equal(ait.volume, volume(dtype))
    assert (ait.spacing, ait.device_type, ait.energy) == ((5, 5, 10), "ACTIVE_MMW", "CNT_AMP")
    assert ait.validate() == []


def test_sections_of_an_ait_volume() -> None:
    given = [Section(volume=volume()), Section(volume=volume(shape=(2, 3, 4)))]
    made = AIT3D.new(sections=given, ooi_id="LANE-1", stamp=stamp(), image_type=("ORIGINAL", "", "VOLUME", "NONE"))
    assert [one.volume.shape for one in made] == [(3, 4, 5), (2, 3, 4)]
    assert [one.validate() for one in made] == [[], []]
    assert made[0].energy is None


def test_monochrome1_is_shown_inverted() -> None:
    dx = DX.new(image(), ooi_id="BAG-1", stamp=stamp(), photometric="MONOCHROME1", window=(10, 20))
    assert (dx.dataset.PresentationLUTShape, dx.window) == ("INVERSE", (10, 20))
    assert dx.validate() == []


def test_a_window_spans_the_values() -> None:
    assert window_of(np.array([[np.inf, 1.0]])) == (0.0, 1.0)
    assert window_of(np.array([[7, 7]])) == (7.5, 1.0)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"intent": "fun"}, ValueError, "intent 'fun'; presentation, processing are allowed"),
        ({"image_type": ("ORIGINAL",)}, ValueError, "an image type of 1 values; 2 or more are needed"),
        ({"position": (1, 2)}, ValueError, "a position or a spacing that is not 3 numbers"),
        ({"orientation": (1, 1, 1, 1, 1, 1)}, ValueError, "an orientation that is not two unit vectors"),
    ],
)
def test_an_x_ray_that_cannot_be_made(options: dict[str, object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        DX.new(image(), ooi_id="BAG-1", stamp=stamp(), **options)  # type: ignore[arg-type]


def test_signed_integers_are_no_image() -> None:
    with pytest.raises(TypeError, match="an image of int16; signed integers are not allowed here"):
        DX.new(image("int16"), ooi_id="BAG-1", stamp=stamp())
    with pytest.raises(TypeError, match="an array with 3 axes; 2 are needed: rows, columns"):
        AIT2D.new(volume(), ooi_id="LANE-1", stamp=stamp())
    for kind in (AIT2D, AIT3D):
        with pytest.raises(ValueError, match="an AIT of another kind than standard, raw"):
            kind.new(volume(), ooi_id="LANE-1", stamp=stamp(), kind="corrected")


def test_what_is_absent_from_an_image() -> None:
    dataset = Dataset()
    dataset.SOPClassUID = uids.DICOS_DX_FOR_PROCESSING
    dx = DX(dataset)
    assert (dx.position, dx.kvp, dx.window, dx.image_type) == (None, None, None, ())
    dataset.ImagePositionPatient = [1, 2]
    with pytest.raises(BadValue, match=r"Image Position \(0020,0032\): 2 values; 3 needed"):
        _ = dx.position


def test_several_frames_are_no_image() -> None:
    dx = DX.new(image(), ooi_id="BAG-1", stamp=stamp())
    element(dx.dataset, 0x00280008, "US", 2)
    dx.dataset.Rows = 3
    with pytest.raises(PixelError, match=r"Number of Frames \(0028,0008\): 2 frames; 1 is allowed"):
        _ = dx.image


def test_what_an_x_ray_must_not_be() -> None:
    dx = DX.new(image(), ooi_id="BAG-1", stamp=stamp(), intent="processing")
    dx.dataset.PresentationIntentType = "FOR PRESENTATION"
    dx.dataset.RescaleSlope = 2
    dx.dataset.PixelRepresentation = 1
    dx.dataset.ImageOrientationPatient = [1, 0, 0, 1, 0, 0]
    assert rules(dx.validate()) == [
        ("00281050", "type 1C"),
        ("00080068", "cross-check"),
        ("00200037", "orientation"),
        ("00281053", "enumerated value"),
        ("00280103", "enumerated value"),
    ]
    assert {one.severity for one in dx.validate()} == {"error"}
    dx.dataset.WindowCenter = 3
    assert ("00281051", "type 1C") in rules(dx.validate())
    assert str(dx.validate()[0]).startswith(
        "error: Window Width (0028,1051) is missing, required if there is a window center [DX Image, type 1C; obs, "
    )
