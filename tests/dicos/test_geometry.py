"""Millimetres and voxels."""

from math import inf, nan, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicos_proto.dicos.geometry import Geometry, GeometryError
from dicos_proto.dicos.regions import Box, Region, RegionError
from tests.dicos.reports import new_ct

TILTED = Geometry(
    position=(10, -20, 30), spacing=(0.5, 0.75, 2), right=(0, 1, 0), down=(0, 0, -1), deep=(-1, 0, 0)
)  # fmt: skip


def group(**attributes: Any) -> Sequence:
    item = Dataset()
    for name, value in attributes.items():
        setattr(item, name, value)
    return Sequence([item])


def volume(
    frames: int = 3, *, orientation: list[float] | None = None, step: tuple[float, float, float] = (0, 0, 2)
) -> Dataset:
    """As DICOS objects have it."""
    dataset, shared = Dataset(), Dataset()
    shared.PlaneOrientationSequence = group(ImageOrientationPatient=orientation or [1, 0, 0, 0, 1, 0])
    shared.PixelMeasuresSequence = group(PixelSpacing=[0.75, 0.5], SliceThickness=1)
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = []
    for number in range(frames):
        frame = Dataset()
        position = [start + number * by for start, by in zip((1, 2, 3), step, strict=True)]
        frame.PlanePositionSequence = group(ImagePositionPatient=position)
        dataset.PerFrameFunctionalGroupsSequence.append(frame)
    return dataset


def test_voxels_and_millimetres_of_an_object_without_rotation() -> None:
    where = Geometry.of(volume())
    assert where == Geometry(position=(1, 2, 3), spacing=(0.5, 0.75, 2))
    assert where.voxel_volume == 0.75
    assert where.to_mm((2, 4, 2)).tolist() == [2, 5, 7]
    assert where.to_mm([(0, 0, 0), (1, 1, 1)]).tolist() == [[1, 2, 3], [1.5, 2.75, 5]]
    assert where.to_voxels([(2, 5, 7)]).tolist() == [[2, 4, 2]]


def test_frames_that_count_against_the_axis() -> None:
    where = Geometry.of(volume(step=(0, 0, -2)))
    assert where.deep == (0, 0, -1)
    assert where.to_mm((0, 0, 2)).tolist() == [1, 2, -1]


def test_a_rotated_object() -> None:
    where = Geometry.of(volume(orientation=[0, 1, 0, 0, 0, -1], step=(-2, 0, 0)))
    assert (where.right, where.down, where.deep) == ((0, 1, 0), (0, 0, -1), (-1, 0, 0))
    assert TILTED.to_mm((2, 4, 10)).tolist() == [-10, -19, 27]


def test_frames_that_are_shifted_as_by_a_tilted_gantry() -> None:
    where = Geometry.of(volume(step=(0, 1, 1)))
    assert where.to_mm((0, 0, 2)).tolist() == pytest.approx([1, 4, 5])
    assert where.spacing[2] == pytest.approx(sqrt(2))


def test_an_object_with_several_sections_has_the_geometry_of_its_first_frames() -> None:
    dataset = volume(4)
    dataset.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence[0].ImagePositionPatient = [1, 2, -90]
    assert Geometry.of(dataset) == Geometry(position=(1, 2, 3), spacing=(0.5, 0.75, 2))


def test_one_frame_and_frames_without_steps_take_the_thickness() -> None:
    for dataset in (volume(1), volume(step=(0, 0, 0))):
        assert Geometry.of(dataset).spacing == (0.5, 0.75, 1)


def test_a_plain_image_has_its_position_at_the_top() -> None:
    dataset = Dataset()
    assert Geometry.of(dataset) == Geometry()
    dataset.ImagePositionPatient = [1, 2, 3]
    dataset.ImageOrientationPatient = [0, 1, 0, 1, 0, 0]
    dataset.ImagerPixelSpacing = [0.2, 0.1]
    assert Geometry.of(dataset) == Geometry(
        position=(1, 2, 3), spacing=(0.1, 0.2, 1), right=(0, 1, 0), down=(1, 0, 0), deep=(0, 0, -1)
    )
    dataset.PixelSpacing, dataset.SpacingBetweenSlices, dataset.SliceThickness = [4, 3], -5, 7
    assert Geometry.of(dataset).spacing == (3, 4, 5)


def test_frames_without_positions_and_empty_attributes() -> None:
    dataset = volume()
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        del frame.PlanePositionSequence
    dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = None
    assert Geometry.of(dataset) == Geometry()
    dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence = []
    dataset.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence = group(FrameType="X")
    assert Geometry.of(dataset).position == (0, 0, 0)


@pytest.mark.parametrize("spacing", [[1], [1, 2, 3], [nan, 1], [inf, 1], [1e300, 1], [0, 1], [-1, 1], [1e-9, 1]])
def test_spacings_that_make_no_sense(spacing: list[float]) -> None:
    dataset = Dataset()
    dataset.add(DataElement(0x00280030, "FD", spacing))
    with pytest.raises(GeometryError, match=r"spacing|0028,0030"):
        Geometry.of(dataset)


def test_attributes_of_another_kind() -> None:
    dataset = Dataset()
    dataset.add(DataElement(0x00280030, "LO", ["x", "y"]))
    with pytest.raises(GeometryError, match="0028,0030"):
        Geometry.of(dataset)
    dataset = Dataset()
    dataset.add(DataElement(0x52009229, "LO", "x"))
    with pytest.raises(GeometryError, match="is not a sequence of items"):
        Geometry.of(dataset)


@pytest.mark.parametrize(
    "fields",
    [
        {"position": (0, 0)}, {"position": (0, nan, 0)}, {"spacing": (1, 0, 1)}, {"right": (2, 0, 0)},
        {"down": (1, 0, 0)}, {"deep": (1, 0, 0)}, {"deep": (0, 0, 1e300)}, {"deep": (0, 0, 0)},
    ],
)  # fmt: skip
def test_a_geometry_that_cannot_be_inverted_does_not_exist(fields: Any) -> None:
    with pytest.raises(GeometryError):
        Geometry(**fields)


POINTS = st.tuples(*[st.floats(-1e4, 1e4)] * 3)


@given(POINTS)
def test_there_and_back(point: tuple[float, float, float]) -> None:
    assert TILTED.to_voxels(TILTED.to_mm(point)) == pytest.approx(point, abs=1e-6)


def test_the_corners_of_a_box_are_at_the_edges_of_its_voxels() -> None:
    box = Box(start=(0, 0, 0), size=(1, 2, 3))
    corners = Geometry().corners(box)
    assert corners.tolist() == [
        [-0.5, -0.5, -0.5], [0.5, -0.5, -0.5], [0.5, 1.5, -0.5], [-0.5, 1.5, -0.5],
        [-0.5, -0.5, 2.5], [0.5, -0.5, 2.5], [0.5, 1.5, 2.5], [-0.5, 1.5, 2.5],
    ]  # fmt: skip
    assert Geometry().polygon(box)[2] == (0.5, 1.5, -0.5)


BOXES = st.tuples(st.tuples(*[st.integers(0, 9)] * 3), st.tuples(*[st.integers(1, 10)] * 3))


@given(BOXES)
def test_the_region_of_the_polygon_of_a_box_is_the_box(numbers: tuple[Any, Any]) -> None:
    box = Box(start=numbers[0], size=numbers[1])
    assert TILTED.region(TILTED.polygon(box), (20, 20, 20)).box() == box


def test_one_point_is_one_voxel_and_points_outside_are_cut_off() -> None:
    shape = (4, 5, 6)
    assert Geometry().region([(2, 3, 1)], shape) == Region(base=(2, 3, 1), extents=(1, 1, 1))
    assert Geometry().region([(-9, -9, -9), (99, 99, 99)], shape) == Region(base=(0, 0, 0), extents=(6, 5, 4))
    for outside in ((-9, 0, 0), (0, 0, 99), (6.1, 0, 0)):
        with pytest.raises(RegionError, match="outside the volume"):
            Geometry().region([outside], shape)
    with pytest.raises(RegionError, match="no points"):
        Geometry().region([], shape)
    for odd in ((1, 2), (nan, 0, 0), (inf, 0, 0), (1e300, 0, 0)):
        with pytest.raises(RegionError, match="a point has three numbers"):
            Geometry().region([odd], shape)


def test_a_view_in_place_of_its_data_set_is_named() -> None:
    with pytest.raises(TypeError, match=r"a CT in place of its data set; write Geometry.of\(scan.dataset\)"):
        Geometry.of(new_ct())  # type: ignore[arg-type]


@given(st.lists(POINTS, min_size=1, max_size=5))
def test_any_points_are_a_region_inside_or_an_error(points: list[tuple[float, float, float]]) -> None:
    try:
        region = TILTED.region(points, (30, 20, 10))
    except RegionError:
        return
    assert region.box((30, 20, 10)).inside((30, 20, 10))
    assert np.isfinite(region.base).all()
