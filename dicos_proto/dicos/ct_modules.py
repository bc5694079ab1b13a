"""The rules of CT objects: Table 17 of IIC 1 v03 and what it refers to. Sources are as in `modules`.

Knows: tables. Must not know: how they are checked.
"""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset

from .findings import Module, Rule
from .modules import COMMON, FRAMES, IMAGE, PIXELS, one_of, required, value_is
from .values import texts

__all__ = ["CHARACTERISTICS", "CONTRASTS", "CT_MACROS", "CT_MODULES", "description_rules", "frame_groups"]

CHARACTERISTICS: Final = frozenset((
    "HIGH ENERGY", "LOW ENERGY", "Z_EFFECTIVE", "BASIS_MATERIAL_1", "BASIS_MATERIAL_2", "COMPTON", "PHOTOELECTRIC",
    "INTENSITY", "DENSITY", "MU", "MULTI ENERGY",
))  # fmt: skip
"""OOI image characteristics: the second value of an image type."""
CONTRASTS: Final = frozenset((
    "ADDITION", "DIVISION", "MASKED", "MAXIMUM", "MULTIPLICATION", "RESAMPLED", "STD_DEVIATION", "SUBTRACTION", "NONE",
    "MIXED", "FILTERED", "MEDIAN",
))  # fmt: skip
ORIGIN: Final = frozenset(("ORIGINAL", "DERIVED", "MIXED"))
FLAVOR: Final = frozenset(("VOLUME", "PROJECTION"))
_CT_TYPE: Final = (ORIGIN, CHARACTERISTICS, FLAVOR, CONTRASTS)
_FILTERS: Final = ("WEDGE", "BUTTERFLY", "MULTIPLE", "FLAT", "SHAPED", "NONE")
_MATERIALS: Final = frozenset(
    ("MOLYBDENUM", "ALUMINUM", "COPPER", "RHODIUM", "NIOBIUM", "EUROPIUM", "LEAD", "MIXED")
)  # fmt: skip

IMAGE_TYPE: Final = 0x00080008
_ORIGINAL: Final = value_is(IMAGE_TYPE, "ORIGINAL")
_ACQUIRED: Final = value_is(IMAGE_TYPE, "ORIGINAL", "MIXED")


def _basis_material(item: Dataset, whole: Dataset) -> bool:
    return any(value.startswith("BASIS_MATERIAL") for value in texts(whole, IMAGE_TYPE))


def description_rules(*sources: str) -> tuple[Rule, ...]:
    """Common Image Description, which an object and its frame types have."""
    return (
        one_of(0x00089205, "1", sources, "MONOCHROME COLOR MIXED TRUE_COLOR"),
        one_of(0x00089206, "1", sources, "VOLUME SAMPLED DISTORTED MIXED"),
        Rule(0x00089207, "1", sources),
    )


def frame_groups(macros: tuple[Rule, ...]) -> Module:
    """The two sequences of functional groups; a macro may stand in either, so that it is optional in both here."""
    return Module(
        "Multi-frame Functional Groups",
        (
            Rule(0x52009229, "1", ("obs", "PS3.3 C.7.6.16"), count=(1, 1), items=macros),
            Rule(0x52009230, "1", ("obs", "PS3.3 C.7.6.16"), items=macros),
        ),
    )


PLACE_MACROS: Final = (
    Rule(
        0x00209113, "3", ("hdr", "PS3.3 C.7.6.16.2.3"), count=(1, 1),
        items=(Rule(0x00200032, "1", ("obs", "PS3.3 C.7.6.16.2.3"), count=(3, 3)),),
    ),
    Rule(
        0x00209116, "3", ("obs", "PS3.3 C.7.6.16.2.4"), count=(1, 1),
        items=(Rule(0x00200037, "1", ("obs", "PS3.3 C.7.6.16.2.4"), count=(6, 6)),),
    ),
    Rule(
        0x00289110, "3", ("hdr", "PS3.3 C.7.6.16.2.1"), count=(1, 1),
        items=(
            Rule(0x00180050, "1", ("obs", "PS3.3 C.7.6.16.2.1"), least=0),
            Rule(0x00280030, "1", ("obs", "PS3.3 C.7.6.16.2.1"), count=(2, 2), least=0),
        ),
    ),
)  # fmt: skip
"""Where frames are: plane position, plane orientation, pixel measures."""

CT_MACROS: Final = (
    *PLACE_MACROS,
    Rule(
        0x00289145, "3", ("hdr", "PS3.3 C.7.6.16.2.9"), count=(1, 1),
        items=tuple(
            required(tag, "obs", "PS3.3 C.7.6.16.2.9") for tag in (0x00281052, 0x00281053, 0x00281054)
        ),
    ),
    Rule(
        0x00189325, "3", ("obs", "hdr T23"), count=(1, 1),
        items=(
            Rule(0x00180060, "1C", ("obs", "hdr T23"), when=_ORIGINAL, condition="if the image is original", least=0),
            Rule(
                0x00181160, "1C", ("obs", "hdr T23"), when=_ORIGINAL, condition="if the image is original",
                values=frozenset(_FILTERS),
            ),
            Rule(
                0x00181190, "1C", ("obs", "hdr T23"), when=_ORIGINAL, condition="if the image is original", least=0,
                count=(1, 2),
            ),
            Rule(0x00187050, "1C", ("obs", "hdr T23"), values=_MATERIALS),
        ),
    ),
    Rule(
        0x00189329, "3", ("obs", "hdr T17"), count=(1, 1),
        items=(
            Rule(0x00089007, "1", ("obs", "hdr"), each=_CT_TYPE, count=(4, 4)),
            *description_rules("obs", "PS3.3 C.8.16.2"),
        ),
    ),
)  # fmt: skip

CT_MODULES: Final = (
    *COMMON,
    Module("General Series", (one_of(0x00080060, "1", ("obs", "hdr T16", "PS3.3 C.7.3.1"), "CT"),)),
    *FRAMES,
    IMAGE,
    Module(
        "CT Image",
        (
            *PIXELS,
            one_of(0x00280004, "3", ("str", "hdr T20"), "MONOCHROME1 MONOCHROME2"),
            Rule(IMAGE_TYPE, "1", ("obs", "hdr T20"), each=_CT_TYPE, count=(4, 4)),
            Rule(
                0x0008002A, "1C", ("hdr T20", "PS3.3 C.8.15.2"), when=_ACQUIRED,
                condition="if the image is original or mixed",
            ),
            Rule(
                0x00189073, "2C", ("obs", "hdr T20"), when=_ACQUIRED, condition="if the image is original or mixed",
                least=0,
            ),
            *description_rules("obs", "PS3.3 C.8.16.2"),
            one_of(0x20500020, "1", ("obs", "hdr T20"), "IDENTITY"),
            Rule(0x43000902, "1", ("obs",), least=0),
            Rule(
                0x40101045, "1C", ("str", "hdr T20"), count=(1, 1),
                when=_basis_material, condition="if the image is of a basis material",
            ),
        ),
    ),
    frame_groups(CT_MACROS),
)  # fmt: skip
