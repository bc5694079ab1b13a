"""Rules that hold between attributes: sizes against bytes, groups against frames, vectors, bits, classes.

Knows: the attributes of images. Must not know: the single kinds. Invariants: checks raise nothing; each is one function
that yields what it finds; what a single attribute breaks by itself is found by the rules of the modules, not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from pydicom.dataset import Dataset

from ..registry import uids
from . import multiframe, pixels, values
from .errors import BadValue, DicosError, PixelError
from .findings import Finding
from .pixels import ELEMENTS, PER_FRAME, kind_and_size, layout_of, native

__all__ = [
    "Check", "check_all", "class_check", "groups_check", "image_type_check", "intent_check", "orientation_check",
    "pixel_check", "rescale_check", "sections_check", "unsigned_check",
]  # fmt: skip

Check = Callable[[Dataset], Iterator[Finding]]

SHARED: Final = multiframe.SHARED
URL: Final = 0x00287FE0
BITS_STORED: Final = 0x00280101
HIGH_BIT: Final = 0x00280102


def check_all(dataset: Dataset, checks: tuple[Check, ...]) -> Iterator[Finding]:
    """Yields what the checks find. A check that meets an attribute that cannot be used says so, and ends."""
    for one in checks:
        try:
            yield from one(dataset)
        except DicosError as error:
            tag = error.tag or 0x00080016
            text = str(error).partition(": ")[2]
            yield Finding(tag, "", "Image", "cross-check", text, ("PS3.5 6.2", "obs"))


def pixel_check(dataset: Dataset) -> Iterator[Finding]:
    """Image Pixel: the bytes fit the attributes that describe them, and there are some."""
    sources = ("obs", "PS3.3 C.7.6.3")
    if not any(one.tag in dataset for one in ELEMENTS) and values.has(dataset, URL):
        return
    try:
        layout = layout_of(dataset)
    except PixelError as error:
        yield _found(error.tag, "pixel data", _said(error), sources)
        return
    except BadValue:  # the rules of the module say which
        return
    bits = layout.dtype.itemsize * 8
    stored, high = (values.integer(dataset, tag) for tag in (BITS_STORED, HIGH_BIT))
    if stored is not None and not 1 <= stored <= bits:
        yield _found(BITS_STORED, "bits", f"is {stored}, with {bits} bits allocated", sources)
    elif stored is not None and high is not None and high != stored - 1:
        yield _found(HIGH_BIT, "bits", f"is {high}, with {stored} bits stored", sources)
    try:
        if pixels.compression_of(dataset, layout) is None:
            native(dataset, layout)
    except PixelError as error:
        yield _found(error.tag, "pixel data length", f"has {_said(error)}", sources)


def class_check(classes: Mapping[str, str]) -> Check:
    """SOP class against the pixels. `classes`: SOP class -> 16-bit, 32-bit, 64-bit or float."""

    def check(dataset: Dataset) -> Iterator[Finding]:
        uid = values.text(dataset, 0x00080016) or ""
        try:
            seen = pixels.CLASSES[kind_and_size(layout_of(dataset).dtype)]
        except DicosError:  # found by another check
            return
        if uid in classes and classes[uid] != seen:
            text = f"is {uids.name_of(uid)}, with {seen} pixel data"
            yield Finding(0x00080016, "", "SOP Common", "cross-check", text, ("obs", "hdr"))

    return check


def groups_check(*macros: tuple[int, tuple[str, ...]]) -> Check:
    """Functional groups: one item for each frame, and each macro in the shared group or in all others.

    `macros`: the sequences that are needed, with the sources of that.
    """

    def check(dataset: Dataset) -> Iterator[Finding]:
        frames, groups = pixels.frame_count(dataset), values.items(dataset, PER_FRAME)
        if groups and len(groups) != frames:
            text = f"has {len(groups)} items for {frames} frames"
            yield _found(PER_FRAME, "number of items", text, ("obs", "PS3.3 C.7.6.16"), _GROUPS)
        shared = next(iter(values.items(dataset, SHARED)), None)
        for tag, sources in macros:
            common = shared is not None and bool(values.items(shared, tag))
            having = sum(bool(values.items(group, tag)) for group in groups)
            if common and having:
                text = "is in the shared and in the per-frame groups"
                yield _found(tag, "functional groups", text, ("obs", "PS3.3 C.7.6.16"), _GROUPS)
            elif not common and having < max(len(groups), 1):
                lacking = f"{len(groups) - having} of {len(groups)} per-frame ones"
                text = f"is missing or empty in the shared group, and in {lacking}"
                yield _found(tag, "type 1", text, sources, _GROUPS)

    return check


def orientation_check(dataset: Dataset) -> Iterator[Finding]:
    """Orientations are two unit vectors at a right angle; the spacing of pixels is positive."""
    for path, item in _places(dataset):
        sources = ("obs", "PS3.3 C.7.6.2.1.1")
        found = values.numbers(item, 0x00200037)
        if len(found) == 6 and not multiframe.is_orthonormal(found):
            text = "is not two unit vectors at a right angle"
            yield Finding(0x00200037, path, "Plane Orientation", "orientation", text, sources)
        if 0.0 in values.numbers(item, 0x00280030):
            yield Finding(0x00280030, path, "Pixel Measures", "spacing", "is 0", ("str", "PS3.3 10.7.1.3"))


def _places(dataset: Dataset) -> Iterator[tuple[str, Dataset]]:
    """The items that have an orientation or a spacing, with their paths: the object, the shared and the per-frame
    groups."""
    yield "", dataset
    for sequence in (SHARED, PER_FRAME):
        for index, group in enumerate(values.items(dataset, sequence), 1):
            for tag in (multiframe.PLANE_ORIENTATION, multiframe.PIXEL_MEASURES):
                for inner, item in enumerate(values.items(group, tag), 1):
                    yield f"{_tag(sequence)}[{index}] {_tag(tag)}[{inner}]", item


def sections_check(dataset: Dataset) -> Iterator[Finding]:
    """Frames that name the same section (Stack ID) are at equal steps, in one orientation and spacing."""
    try:
        uneven = multiframe.uneven_frames(dataset)
    except DicosError:  # found by another check
        return
    if uneven:
        path = f"{_tag(PER_FRAME)}[{uneven[0] + 1}] (0020,9111)[1]"
        text = f"names a section in which {len(uneven)} frames are at another step or place"
        yield Finding(0x00209056, path, "Frame Content", "sections", text, ("PS3.3 C.7.6.16.2.2",))


def image_type_check(dataset: Dataset) -> Iterator[Finding]:
    """An original image is not calculated from others; the frames are of the type of the image, unless it is mixed."""
    image_type = values.texts(dataset, 0x00080008)
    if image_type[:1] == ("ORIGINAL",):
        if values.text(dataset, 0x00089207) not in (None, "NONE"):
            yield _found(0x00089207, "image type", "is not NONE, and the image is original", ("str", "PS3.3 C.8.16.2"))
        if len(image_type) > 3 and image_type[3] != "NONE":
            text = "has another value 4 than NONE, and the image is original"
            yield _found(0x00080008, "image type", text, ("str", "PS3.3 C.8.16.1"))
    for sequence in (SHARED, PER_FRAME):
        for index, group in enumerate(values.items(dataset, sequence), 1):
            for item in values.items(group, 0x00189329):
                frame_type = values.texts(item, 0x00089007)
                if len(frame_type) == len(image_type) and any(
                    one not in (whole, "MIXED") and whole != "MIXED"
                    for one, whole in zip(frame_type, image_type, strict=True)
                ):
                    path = f"{_tag(sequence)}[{index}] (0018,9329)[1]"
                    text = "is not the image type, which is not mixed"
                    yield Finding(0x00089007, path, "Frame Type", "image type", text, ("PS3.3 C.8.16.1",))


_GROUPS: Final = "Multi-frame Functional Groups"


def _found(tag: int | None, rule: str, text: str, sources: tuple[str, ...], module: str = "Image Pixel") -> Finding:
    return Finding(tag or pixels.PIXEL_DATA, "", module, rule, text, sources)


def _said(error: DicosError) -> str:
    """The text of an error, without the attribute that it is about."""
    return str(error).partition(": ")[2]


def _tag(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def intent_check(intents: Mapping[str, str]) -> Check:
    """SOP class against presentation intent. `intents`: SOP class -> FOR PRESENTATION or FOR PROCESSING."""

    def check(dataset: Dataset) -> Iterator[Finding]:
        uid, intent = values.text(dataset, 0x00080016) or "", values.text(dataset, 0x00080068)
        if uid in intents and intent in intents.values() and intent != intents[uid]:
            text = f"is not {intents[uid]}, and the SOP class is {uids.name_of(uid)}"
            yield Finding(0x00080068, "", "DX Series", "cross-check", text, ("hdr", "PS3.3 C.8.11.1"))

    return check


def rescale_check(dataset: Dataset) -> Iterator[Finding]:
    """The rescale of an X-ray image changes nothing."""
    for tag, wanted in ((0x00281052, 0), (0x00281053, 1)):
        if values.number(dataset, tag) not in (None, wanted):
            text = f"is not {wanted}"
            yield Finding(tag, "", "DX Image", "enumerated value", text, ("str", "hdr T35", "PS3.3 C.8.11.3"))


def unsigned_check(dataset: Dataset) -> Iterator[Finding]:
    """X-ray and two-dimensional AIT images have no signed integers."""
    try:
        layout = layout_of(dataset)
    except DicosError:  # found by another check
        return
    if layout.dtype.kind == "i":
        yield _found(0x00280103, "enumerated value", "is 1, for signed integers", ("obs", "hdr T35"), "DX Image")
