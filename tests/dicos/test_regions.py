"""Regions of interest: masks of one bit a voxel, their boxes, and the numbers that a peer may put there."""

from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dicos_proto.dicos.regions import FURTHEST, Axes, Box, Mask, Region, RegionError, floats, pack, unpack

SHAPES = st.tuples(*[st.integers(1, 9)] * 3)
MASKS = SHAPES.flatmap(lambda shape: arrays(np.bool_, shape))
AXES = st.sampled_from(Axes)


@given(MASKS, AXES)
def test_what_is_packed_is_unpacked(mask: Mask, axes: Axes) -> None:
    z, y, x = mask.shape
    bitmap = pack(mask, axes)
    assert len(bitmap) == (mask.size + 7) // 8
    assert (unpack(bitmap, (x, y, z), axes) == mask).all()
    assert (unpack(bitmap + bytes(len(bitmap) % 2), (x, y, z), axes) == mask).all()


@given(MASKS)
def test_a_voxel_is_the_bit_at_its_place(mask: Mask) -> None:
    """x fastest, then y, then z, least significant bit first."""
    bitmap = pack(mask)
    _, height, width = mask.shape
    for z, y, x in np.ndindex(mask.shape):
        bit = x + width * (y + height * z)
        assert bitmap[bit // 8] >> bit % 8 & 1 == mask[z, y, x]


def test_the_bits_of_generate_tdr_run_along_z() -> None:
    """The bytes that pyDICOS 1.3.0 wrote for voxels (1, 0, 0), (0, 1, 0) and (4, 2, 1) of 5 x 3 x 2, both ways."""
    voxels = [[0, 0, 1], [0, 1, 0], [1, 2, 4]]
    assert np.argwhere(unpack(bytes.fromhex("22000020"), (5, 3, 2))).tolist() == voxels
    assert np.argwhere(unpack(bytes.fromhex("44000020"), (5, 3, 2), Axes.XYZ_Z_FASTEST)).tolist() == voxels
    written = Region.read((30, 20, 10), (2, 3, 5), bytes.fromhex("22000020"), Axes.ZYX)
    other = Region.read((10, 20, 30), (5, 3, 2), bytes.fromhex("44000020"), Axes.XYZ_Z_FASTEST)
    assert written.box() == other.box() == Box(start=(10, 20, 30), size=(5, 3, 2))
    assert (written.mask() == other.mask()).all()
    assert other.values() == ((10, 20, 30), (5, 3, 2), bytes.fromhex("22000020"))
    assert written.values(Axes.ZYX) == ((30, 20, 10), (2, 3, 5), bytes.fromhex("22000020"))
    assert written.values(Axes.XYZ_Z_FASTEST) == ((10, 20, 30), (5, 3, 2), bytes.fromhex("44000020"))


def test_any_value_but_zero_is_set() -> None:
    assert pack(np.array([[[0, 2, 256]]])) == b"\x06"


@pytest.mark.parametrize("length", [0, 2, 3, 5, 100])
def test_a_bitmap_of_another_size_is_refused(length: int) -> None:
    with pytest.raises(RegionError, match=rf"a bitmap of {length} bytes: 5 x 3 x 2 voxels take 4"):
        unpack(bytes(length), (5, 3, 2))
    if length:
        with pytest.raises(RegionError, match="take 4"):
            Region(base=(0, 0, 0), extents=(5, 3, 2), bitmap=bytes(length)).mask()


@pytest.mark.parametrize("shape", [(3,), (2, 2), (1, 2, 3, 4), ()])
def test_a_mask_has_three_axes(shape: tuple[int, ...]) -> None:
    with pytest.raises(RegionError, match=f"this one has {len(shape)}"):
        pack(np.zeros(shape, bool))
    with pytest.raises(RegionError, match=f"this one has {len(shape)}"):
        Region.from_mask(np.zeros(shape, bool))


@given(MASKS, AXES, AXES)
def test_a_mask_of_a_volume_comes_back(mask: Mask, axes: Axes, other: Axes) -> None:
    if not mask.any():
        with pytest.raises(RegionError, match="nothing is set"):
            Region.from_mask(mask)
        return
    region = Region.from_mask(mask, axes=axes)
    assert (region.mask(mask.shape) == mask).all()
    assert region.box(mask.shape).inside(mask.shape)
    assert region.mask().sum() == mask.sum()
    read = Region.read(*region.values(other), other)
    assert (read.mask(mask.shape) == mask).all()


def test_the_box_is_as_small_as_it_can_be() -> None:
    mask = np.zeros((10, 20, 30), bool)
    mask[2:4, 5:9, 7:8] = True
    region = Region.from_mask(mask)
    assert (region.base, region.extents, region.bitmap) == ((7, 5, 2), (1, 4, 2), b"\xff")
    box = region.box()
    assert (box.shape, box.slices, box.centre) == ((2, 4, 1), (slice(2, 4), slice(5, 9), slice(7, 8)), (7, 6.5, 2.5))


def test_a_mask_in_which_nothing_is_set_has_no_region() -> None:
    with pytest.raises(RegionError, match="nothing is set"):
        Region.from_mask(np.zeros((2, 3, 4), bool))


def test_without_a_bitmap_the_whole_box_is_meant_and_takes_no_memory() -> None:
    region = Region(base=(1, 2, 3), extents=(FURTHEST, 1000, 10))
    mask = region.mask()
    assert mask.shape == (10, 1000, FURTHEST)
    assert mask.strides == (0, 0, 0)
    assert not mask.flags.writeable


def test_fractions_go_outwards_without_a_bitmap_and_to_the_next_voxel_with_one() -> None:
    region = Region(base=(1.5, 2.0, 2.9), extents=(1, 1.25, 0.2))
    assert region.box() == Box(start=(1, 2, 2), size=(2, 2, 2))
    assert Region(base=(1.6, 2.2, 0), extents=(2, 2, 2), bitmap=b"\xff").box() == Box(start=(2, 2, 0), size=(2, 2, 2))
    with pytest.raises(RegionError, match=r"along y: extent 2\.5 with a bitmap, a whole number is needed"):
        Region(base=(0, 0, 0), extents=(2, 2.5, 2), bitmap=b"\xff").box()


@pytest.mark.parametrize("number", [nan, inf, -inf, -1, -1e-9, 1e38, FURTHEST + 2])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_numbers_of_a_peer_that_make_no_sense_are_refused(number: float, axis: int) -> None:
    odd = [1.0, 1.0, 1.0]
    odd[axis] = number
    x, y, z = odd
    for region in (Region(base=(x, y, z), extents=(1, 1, 1)), Region(base=(0, 0, 0), extents=(x, y, z))):
        for bitmap in (b"", b"\x01"):
            with pytest.raises(RegionError, match=f"along {'xyz'[axis]}: (base|extent) .*, 0 to 16777216 allowed"):
                Region(base=region.base, extents=region.extents, bitmap=bitmap).mask((10, 10, 10))


def test_a_region_has_a_voxel_along_each_axis_and_not_too_many() -> None:
    with pytest.raises(RegionError, match="along z: extent 0, at least one voxel is needed"):
        Region(base=(0, 0, 0), extents=(1, 1, 0)).box()
    with pytest.raises(RegionError, match="voxels, 1099511627776 allowed"):
        Region(base=(0, 0, 0), extents=(FURTHEST,) * 3).box()


@pytest.mark.parametrize(
    ("base", "name", "voxels"),
    [((8, 0, 0), "x", "8 to 9 of 9"), ((0, 7, 0), "y", "7 to 8 of 8"), ((0, 0, 9), "z", "9 to 10 of 7")],
)
def test_a_region_outside_the_volume_is_refused(base: tuple[int, int, int], name: str, voxels: str) -> None:
    region = Region(base=base, extents=(2, 2, 2))
    assert not region.box().inside((7, 8, 9))
    with pytest.raises(RegionError, match=f"along {name}: voxels {voxels}"):
        region.mask((7, 8, 9))


def test_three_numbers_are_read() -> None:
    with pytest.raises(RegionError, match="base of 2 numbers, 3 allowed"):
        Region.read((1, 2), (1, 2, 3), b"")
    with pytest.raises(RegionError, match="extents of 0 numbers, 3 allowed"):
        Region.read((1, 2, 3), (), b"")


FLOATS = st.floats(allow_nan=True, allow_infinity=True, width=32) | st.integers(0, 12).map(float)


@given(st.tuples(FLOATS, FLOATS, FLOATS), st.tuples(FLOATS, FLOATS, FLOATS), st.binary(max_size=40), AXES)
def test_any_region_is_a_mask_or_an_error(
    base: tuple[float, ...], extents: tuple[float, ...], bitmap: bytes, axes: Axes
) -> None:
    region = Region.read(base, extents, bitmap, axes)
    try:
        mask = region.mask((12, 12, 12))
    except RegionError:
        return
    assert mask.shape == (12, 12, 12)


def test_numbers_of_an_element_are_read_whatever_their_form() -> None:
    assert (floats(None), floats(1), floats([1, "2"]), floats("")) == ((), (1.0,), (1.0, 2.0), ())
    for odd in (["x"], [None], object(), [10**400]):
        with pytest.raises(RegionError, match="numbers expected"):
            floats(odd)
    assert len(floats([1.0] * 300_000)) == 300_000
    with pytest.raises(RegionError, match="300001 numbers; at most 300000 are allowed"):
        floats([1.0] * 300_001)
