"""CT objects: made from numpy arrays, read as such, in every kind and dtype."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicos_proto.data import decode_object, encode
from dicos_proto.dicos import CT, OOI, BadValue, Machine, Place, Scan, Section, Severity, XRay, group_by_scan, view
from dicos_proto.dicos.pixels import Array
from dicos_proto.registry import uids

from .making import DTYPES, NOON, stamp, volume

CLASSES = {
    "standard": ("501.1", "501.1.1", "501.1.2", "501.1.3"),
    "raw": ("501.7.1", "501.7.2", "501.7.3", "501.7.4"),
    "corrected": ("501.8.1", "501.8.2", "501.8.3", "501.8.4"),
}
ELEMENTS = {
    "uint8": (0x7FE00010, "OB", 0), "int8": (0x7FE00010, "OB", 0), "uint16": (0x7FE00010, "OW", 0),
    "int16": (0x7FE00010, "OW", 0), "uint32": (0x7FE00011, "OL", 1), "int32": (0x7FE00011, "OL", 1),
    "uint64": (0x7FE00012, "OD", 2), "int64": (0x7FE00012, "OD", 2), "float32": (0x7FE00013, "OF", 3),
    "float64": (0x7FE00009, "OD", 3),
}  # fmt: skip


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_dtype_and_the_kind_choose_the_sop_class(dtype: str, kind: str) -> None:
    given = volume(dtype)
    ct = CT.new(given, ooi_id="BAG-1", stamp=stamp(), kind=kind)
    tag, vr, column = ELEMENTS[dtype]
    assert ct.sop_class_uid == f"1.2.840.10008.5.1.4.1.1.{CLASSES[kind][column]}"
    assert ct.dataset[tag].VR == vr
    assert ct.dataset.BitsAllocated == given.dtype.itemsize * 8
    assert ct.volume.dtype == given.dtype
    assert np.array_equal(ct.volume, given)
    assert ct.validate() == []


@pytest.mark.parametrize("syntax", [uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE, uids.DICOS_EXPLICIT_VR_LE_EXTENDED])
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_object_is_the_same_after_it_was_bytes(dtype: str, syntax: str) -> None:
    given = volume(dtype)
    made = CT.new(given, ooi_id="BAG-1", stamp=stamp(), spacing=(0.5, 1.25, -3), position=(-10, 20.5, 300))
    read = view(decode_object(encode(made.dataset, syntax), syntax))
    assert isinstance(read, CT)
    assert read.volume.dtype == given.dtype
    assert np.array_equal(read.volume, given)
    assert (read.spacing, read.position) == ((0.5, 1.25, -3.0), (-10.0, 20.5, 300.0))
    assert read.validate() == []


def test_a_contiguous_array_is_not_copied() -> None:
    given = volume()
    ct = CT.new(given, ooi_id="BAG-1", stamp=stamp())
    assert np.shares_memory(ct.volume, given)
    assert np.shares_memory(ct.sections[0].volume, given)
    given[0, 0, 0] = 4711
    assert ct.volume[0, 0, 0] == 4711
    with pytest.raises(ValueError, match="read-only"):
        ct.volume[0, 0, 0] = 1


@pytest.mark.parametrize("given", [volume(">u2"), volume()[:, ::-1], np.asfortranarray(volume())])
def test_another_layout_in_memory_is_copied(given: Array) -> None:
    ct = CT.new(given, ooi_id="BAG-1", stamp=stamp())
    assert np.array_equal(ct.volume, given)
    assert not np.shares_memory(ct.volume, given)


def test_places_may_be_numpy_arrays() -> None:
    spacing, position = np.array((0.1, 0.2, 0.3), np.float32), np.array((1, 2, 3), np.int64)
    ct = CT.new(
        volume(), ooi_id="BAG-1", stamp=stamp(), spacing=spacing, position=position,  # type: ignore[call-overload]
        xray=XRay(kvp=np.float32(160), focal_spots=np.array([0.4])), ooi=OOI(size=np.array([1.0, 2.0, 3.0])),
    )  # fmt: skip
    assert np.allclose(ct.spacing, (0.1, 0.2, 0.3))
    assert (ct.position, ct.xray.kvp, ct.xray.focal_spots) == ((1, 2, 3), 160, (0.4,))
    assert ct.validate() == []


def test_axes_in_another_order_are_a_view() -> None:
    ct = CT.new(volume(), ooi_id="BAG-1", stamp=stamp())
    turned = ct.array("xyz")
    assert turned.shape == (5, 4, 3)
    assert turned[4, 1, 2] == ct.volume[2, 1, 4]
    assert np.shares_memory(turned, ct.volume)
    assert np.array_equal(ct.array(), ct.volume)
    with pytest.raises(ValueError, match="axes in another order than zyx"):
        ct.array("xyzz")


def test_densities_are_stored_values_rescaled() -> None:
    ct = CT.new(volume(), ooi_id="BAG-1", stamp=stamp(), rescale=(0.5, -10, "MHU"))
    assert ct.densities.dtype == np.float32
    assert np.array_equal(ct.densities, volume() * np.float32(0.5) - 10)
    plain = CT.new(volume("float64"), ooi_id="BAG-1", stamp=stamp())
    assert plain.densities.dtype == np.float64
    assert np.array_equal(plain.densities, plain.volume)
    assert not np.shares_memory(plain.densities, plain.volume)


def test_everything_that_is_given_can_be_read_again() -> None:
    ooi = OOI(authority="AIRPORT", id_type="RFID", type="CARGO", gender="O", size=(1, 2, 3), mass=500)
    scan = Scan(id="S1", instance_uid="1.2.3", started=NOON, type="NON_OPERATIONAL", series_instance_uid="1.2.4",
                energy=1, energies=2, acquisition_status="CUT")  # fmt: skip
    machine = Machine(
        manufacturer="Mäker", model="M", serial_number="1", software_versions="1.0\\2.0", location="HAM",
        address="Road 1", id="M1", calibrated=NOON,
    )  # fmt: skip
    xray = XRay(kvp=160, focal_spots=(0.4, 1.2), filter_type="WEDGE", filter_material="COPPER", effective_energy=60)
    ct = CT.new(
        volume(), ooi_id="BAG-1", stamp=stamp(), ooi=ooi, scan=scan, machine=machine, xray=xray, instance_number=7,
        image_type=("DERIVED", "LOW ENERGY", "VOLUME", "NONE"), frame_of_reference_uid="1.2.5",
        coordinate_system="RHS", sop_instance_uid="1.2.6", duration=2.5,
    )  # fmt: skip
    ct = CT(decode_object(encode(ct.dataset, uids.IMPLICIT_VR_LE), uids.IMPLICIT_VR_LE))
    assert ct.validate() == []
    assert (ct.ooi_id, ct.ooi_id_authority, ct.ooi_id_type, ct.ooi_type) == ("BAG-1", "AIRPORT", "RFID", "CARGO")
    assert (ct.scan_id, ct.scan_instance_uid, ct.scan_started, ct.scan_type) == ("S1", "1.2.3", NOON, "NON_OPERATIONAL")
    assert (ct.series_instance_uid, ct.series_energy, ct.acquisition_status) == ("1.2.4", 1, "CUT")
    assert (ct.machine, ct.xray) == (machine, xray)
    assert (ct.instance_number, ct.sop_instance_uid, ct.dicos_version, ct.modality) == (7, "1.2.6", "V03", "CT")
    assert (ct.image_type, ct.energy) == (("DERIVED", "LOW ENERGY", "VOLUME", "NONE"), "LOW ENERGY")
    assert (ct.coordinate_system, ct.frame_of_reference_uid, ct.content_made) == ("RHS", "1.2.5", NOON)
    assert repr(ct) == "<CT DICOS CT Image Storage>"


def test_what_is_not_given_says_so() -> None:
    ct = CT.new(volume(), ooi_id="BAG-1", stamp=stamp())
    assert ct.machine == Machine()
    assert (ct.xray, ct.energy, ct.ooi_type) == (XRay(), "HIGH ENERGY", "BAGGAGE")
    assert (ct.scan_id, ct.scan_started) == ("20260301120000", NOON)
    empty = Dataset()
    empty.SOPClassUID = uids.DICOS_CT
    bare = CT(empty)
    assert (bare.ooi_id, bare.scan_started, bare.instance_number, bare.energy) == (None, None, None, None)
    assert bare.xray == XRay(kvp=0, focal_spots=(), filter_type="")


# -- sections --------------------------------------------------------------------------------------------------------


def sections(*positions: float, depth: int = 3) -> list[Section]:
    return [
        Section(volume=volume(shape=(depth, 4, 5)) + index, place=Place(position=(0, 0, z)))
        for index, z in enumerate(positions)
    ]


def same(found: list[Section], given: list[Section]) -> bool:
    return len(found) == len(given) and all(
        np.array_equal(one.volume, two.volume) and (one.spacing, one.position) == (two.spacing, two.position)
        for one, two in zip(found, given, strict=True)
    )


@pytest.mark.parametrize("given", [
    sections(0, 3), sections(0, 30), sections(30, 0), sections(0, 0), sections(0, 3, 6), sections(0, 1, depth=1),
    [Section(volume=volume(), place=Place(spacing=(1, 1, 2))), *sections(5)],
    [*sections(0), Section(volume=volume(), place=Place(orientation=(0, 1, 0, 0, 0, 1)))],
])  # fmt: skip
def test_sections_of_one_size_are_one_object(given: list[Section]) -> None:
    (ct,) = CT.new(sections=given, ooi_id="BAG-1", stamp=stamp())
    assert same(ct.sections, given)
    assert ct.validate() == []
    assert ct.sections[0].first == len(ct.volume) - len(given[0].volume)  # the last section comes first


def test_sections_of_other_sizes_are_objects_of_one_instance() -> None:
    given = [*sections(0, 10), Section(volume=volume(shape=(2, 6, 5)), place=Place(position=(0, 0, 20)))]
    first, second = CT.new(sections=given, ooi_id="BAG-1", stamp=stamp())
    assert same(first.sections, given[:2])
    assert same(second.sections, given[2:])
    assert first.sop_instance_uid == second.sop_instance_uid
    assert (first.instance_number, second.instance_number) == (1, 2)
    other = CT.new(volume(), ooi_id="BAG-2", stamp=stamp(), scan=Scan(instance_uid="1.2.9"))
    assert group_by_scan([first, other, second]) == {first.scan_instance_uid: [first, second], "1.2.9": [other]}


def test_sections_without_numbers_are_found_by_their_steps() -> None:
    (ct,) = CT.new(sections=sections(0, 3), ooi_id="BAG-1", stamp=stamp())
    for group in ct.dataset.PerFrameFunctionalGroupsSequence:
        del group[0x00209111]
    assert same(ct.sections, sections(0, 3)[::-1])  # in the order of the frames
    for group in ct.dataset.PerFrameFunctionalGroupsSequence[3:]:
        group[0x00209113].value[0].ImagePositionPatient[0] = 9
    assert [one.position for one in ct.sections] == [(0, 0, 3), (9, 0, 0)]


def test_a_section_of_one_frame_is_as_far_from_the_next_as_it_is_thick() -> None:
    ct = CT.new(volume(shape=(1, 4, 5)), ooi_id="BAG-1", stamp=stamp(), spacing=(1, 1, 2.5))
    assert ct.spacing == (1, 1, 2.5)
    assert ct.places[0].thickness == 2.5


def test_sections_with_their_own_rescale_have_no_common_densities() -> None:
    given = [Section(volume=volume(), place=Place(slope=2)), Section(volume=volume(), place=Place(intercept=1))]
    (ct,) = CT.new(sections=given, ooi_id="BAG-1", stamp=stamp())
    with pytest.raises(BadValue, match=r"Rescale Slope \(0028,1053\): 2 different rescales"):
        _ = ct.densities
    assert np.array_equal(ct.sections[0].densities, volume() * 2.0)
    assert np.array_equal(ct.sections[1].densities, volume() + 1.0)


def test_a_section_ends_where_its_place_changes() -> None:
    """Another spacing begins a section, even at the same step."""
    given = [*sections(0), Section(volume=volume(), place=Place(spacing=(2, 2, 1), position=(0, 0, 3)))]
    (ct,) = CT.new(sections=given[::-1], ooi_id="BAG-1", stamp=stamp())
    for group in ct.dataset.PerFrameFunctionalGroupsSequence:
        del group[0x00209111]
    assert same(ct.sections, given)


def test_groups_that_do_not_describe_the_frames() -> None:
    ct = CT.new(volume(), ooi_id="BAG-1", stamp=stamp())
    del ct.dataset.PerFrameFunctionalGroupsSequence[0]
    for read in (lambda: ct.spacing, lambda: ct.sections):
        with pytest.raises(BadValue, match=r"Sequence \(5200,9230\): 2 items for 3 frames; one for each is needed"):
            read()
    ct = CT.new(volume(), ooi_id="BAG-1", stamp=stamp())
    del ct.dataset.SharedFunctionalGroupsSequence[0][0x00209116]
    with pytest.raises(
        BadValue, match=r"Plane Orientation Sequence \(0020,9116\): is missing in the functional groups"
    ):
        _ = ct.position
    assert np.array_equal(ct.volume, volume())


# -- what cannot be made ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (volume(shape=(4, 5)), TypeError, "an array with 2 axes; 3 are needed: frames, rows, columns"),
        (np.zeros((3, 4, 5), complex), TypeError, "an array of complex128; allowed are 8, 16, 32 and 64 bits"),
        (np.zeros((3, 4, 5), np.float16), TypeError, "an array of float16"),
        (np.zeros((3, 4, 5), bool), TypeError, "an array of bool"),
        (np.zeros((0, 4, 5), np.uint8), ValueError, "0 frames; 1 to 65535 are allowed"),
        (np.zeros((1, 1, 65536), np.uint8), ValueError, "65536 columns; 1 to 65535 are allowed"),
        (None, TypeError, r"either a volume or sections=\[...\] is needed"),
    ],
)
def test_an_array_that_is_no_volume(given: Array, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        CT.new(given, ooi_id="BAG-1", stamp=stamp())


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ([], ValueError, "no sections; at least 1"),
        ([*sections(0), Section(volume=volume("uint8"))], TypeError, "sections of 2 dtypes; 1 is allowed"),
    ],
)
def test_sections_that_are_none(given: list[Section], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        CT.new(sections=given, ooi_id="BAG-1", stamp=stamp())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"kind": "odd"}, "a CT of another kind than standard, raw, corrected"),
        ({"image_type": ("ORIGINAL",)}, "an image type of 1 values; 4 are needed"),
        ({"rescale": (1.0, 0.0)}, "a rescale of 2 values; 3 are needed: slope, intercept, unit"),
        ({"spacing": (0, 1, 1)}, "a spacing that is not positive"),
        ({"spacing": (1, 1)}, "a position or a spacing that is not 3 numbers"),
        ({"position": (0, 0, float("nan"))}, r"Image Position \(0020,0032\) that is not a finite number"),
        ({"orientation": (1, 0, 0, 1, 0, 0)}, "an orientation that is not two unit vectors at a right angle"),
        ({"orientation": (1, 0, 0)}, "an orientation that is not two unit vectors at a right angle"),
        ({"ooi_id": ""}, r"an empty OOI ID \(0010,0020\)"),
        ({"ooi_id": "B" * 65}, r"OOI ID \(0010,0020\) of 65 characters; at most 64"),
        ({"ooi_id": "a\\b"}, r"OOI ID \(0010,0020\) with a backslash or a control character in it"),
        ({"machine": Machine(id="M" * 17)}, r"Machine ID \(0008,1010\) of 17 characters; at most 16"),
    ],
)
def test_a_value_that_does_not_fit(options: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text) as caught:
        CT.new(volume(), **{"ooi_id": "BAG-1", "stamp": stamp(), **options})  # type: ignore[call-overload]
    assert "BBBB" not in str(caught.value)


def test_a_value_that_is_not_allowed_is_a_finding() -> None:
    ct = CT.new(volume(), ooi_id="BAG-1", stamp=stamp(), ooi=OOI(type="SUITCASE"))
    (found,) = ct.validate()
    assert found.severity is Severity.ERROR
    assert str(found) == (
        "error: OOI Type (4010,1042) has another value than ANIMAL, BAGGAGE, BIO_SAMPLE, CARGO, OTHER, PERSON"
        " [Object of Inspection, enumerated value; obs, hdr]"
    )
