"""Odd data sets: validate() raises nothing, views raise only documented errors."""

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicos_proto.data import DataSetError, decode_object, encode
from dicos_proto.dicos import AIT2D, AIT3D, CT, DX, QR, Code, DicosError, DicosObject, Measurement, NotDicos, view
from dicos_proto.registry import uids

from .making import element, every_element, sequence, stamp, volume

CODE = Code(value="RDX", scheme="99TEST", meaning="RDX")
MADE: list[Callable[[], DicosObject]] = [
    lambda: CT.new(volume(), ooi_id="BAG-1", stamp=stamp()),
    lambda: DX.new(volume(shape=(4, 5)), ooi_id="BAG-1", stamp=stamp()),
    lambda: AIT2D.new(volume(shape=(4, 5)), ooi_id="LANE-1", stamp=stamp()),
    lambda: AIT3D.new(volume("float32"), ooi_id="LANE-1", stamp=stamp()),
    lambda: QR.new(
        [Measurement(material=CODE, signal_to_noise=1, threshold=2, polygon=((0, 0, 0), (1, 1, 1)))],
        ooi_id="BAG-1", stamp=stamp(),
    ),
]  # fmt: skip
PLAIN = [uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE]
VRS = ["CS", "LO", "DS", "IS", "UI", "DA", "TM", "DT", "US", "SS", "UL", "FL", "FD", "OB", "OW", "SQ", "UN", "PN"]
VALUES: st.SearchStrategy[object] = st.one_of(
    st.none(),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.lists(st.one_of(st.text(max_size=5), st.floats(), st.integers(-9, 9), st.binary(max_size=3)), max_size=8),
    st.just(Dataset()),
    st.builds(lambda count: sequence(*(Dataset() for _ in range(count))), st.integers(0, 3)),
)


def look_at_everything(one: DicosObject) -> None:
    """Reads every property; only documented errors may come."""
    for name in dir(type(one)):
        if isinstance(getattr(type(one), name), property):
            with suppress(DicosError):
                getattr(one, name)
    for found in one.validate():
        assert str(found)
        assert found.sources


def fresh(number: int) -> Dataset:
    made = MADE[number]().dataset
    return decode_object(encode(made, uids.EXPLICIT_VR_LE), uids.EXPLICIT_VR_LE)


@given(st.data(), st.integers(0, len(MADE) - 1))
def test_elements_that_are_gone_or_odd(data: st.DataObject, number: int) -> None:
    dataset = fresh(number)
    for _ in range(data.draw(st.integers(1, 6))):
        places = [place for place in every_element(dataset) if place[1] != 0x00080016]
        holder, tag = data.draw(st.sampled_from(places))
        if data.draw(st.booleans()):
            del holder[tag]
            continue
        vr = data.draw(st.one_of(st.just(holder[tag].VR), st.sampled_from(VRS)))
        value = data.draw(VALUES)
        if vr == "SQ" and not hasattr(value, "is_undefined_length"):
            value = sequence()
        with suppress(TypeError):  # pydicom itself refuses some
            element(holder, tag, vr, value)
    look_at_everything(view(dataset))


@given(st.data(), st.integers(0, len(MADE) - 1), st.sampled_from(PLAIN))
def test_bytes_that_are_odd(data: st.DataObject, number: int, syntax: str) -> None:
    content = bytearray(encode(MADE[number]().dataset, syntax))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        one = view(decode_object(bytes(content), syntax))
    except (DataSetError, DicosError):
        return
    look_at_everything(one)


@given(st.data())
def test_sizes_that_are_odd(data: st.DataObject) -> None:
    dataset = fresh(0)
    for tag in (0x00280008, 0x00280010, 0x00280011, 0x00280100, 0x00280002):
        if data.draw(st.booleans()):
            element(dataset, tag, "US", data.draw(st.one_of(st.integers(0, 65535), st.integers(0, 2**80))))
    one = view(dataset)
    look_at_everything(one)
    assert isinstance(one, CT)
    with suppress(DicosError):
        assert one.volume.nbytes == 120


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(-50, 50)), min_size=1, max_size=12))
def test_any_positions_fall_into_sections(frames: list[tuple[int, float]]) -> None:
    """Every frame is in one section, in order, wherever it is."""
    ct = CT.new(np.zeros((len(frames), 2, 2), np.uint8), ooi_id="BAG-1", stamp=stamp())
    for group, (axis, place) in zip(ct.dataset.PerFrameFunctionalGroupsSequence, frames, strict=True):
        group[0x00209113].value[0].ImagePositionPatient[axis] = round(place, 3)
    found = ct.sections
    assert [one.first for one in found] == [
        sum(len(one.volume) for one in found[:index]) for index in range(len(found))
    ]
    assert sum(len(one.volume) for one in found) == len(frames)


@pytest.mark.parametrize("stack", ["9" * 5000, "9" * 17, "\u0663", "\u00b2", "-1", "1.5"])
def test_odd_stacks_keep_the_order_of_their_frames(stack: str) -> None:
    ct = CT.new(np.zeros((3, 2, 2), np.uint8), ooi_id="BAG-1", stamp=stamp())
    for group, named in zip(ct.dataset.PerFrameFunctionalGroupsSequence, (stack, stack, "1"), strict=True):
        content = Dataset()
        element(content, 0x00209056, "SH", named)
        element(group, 0x00209111, "SQ", sequence(content))
    assert sorted((one.first, len(one.volume)) for one in ct.sections) == [(0, 2), (2, 1)]


def test_an_odd_class_has_a_repr() -> None:
    ct = CT.new(np.zeros((3, 2, 2), np.uint8), ooi_id="BAG-1", stamp=stamp())
    assert repr(ct) == "<CT DICOS CT Image Storage>"
    element(ct.dataset, 0x00080016, "UI", ["1.2", "3.4"])
    assert repr(ct) == "<CT>"


@pytest.mark.parametrize("vr", ["UI", "LO", "OB", "SQ"])
@pytest.mark.parametrize("value", [None, "1.2.3", "no uid at all", b"\0", ["1.2", "3.4"]])
def test_a_data_set_of_another_class_is_none(vr: str, value: object) -> None:
    dataset = Dataset()
    element(dataset, 0x00080016, vr, sequence() if vr == "SQ" else value)
    with pytest.raises(NotDicos, match=r"SOP Class UID \(0008,0016\): .* is not a SOP class of DICOS"):
        view(dataset)
    with pytest.raises(NotDicos, match=r"SOP Class UID \(0008,0016\): .* is not a SOP class of CT"):
        CT(dataset)
