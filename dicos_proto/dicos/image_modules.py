"""The rules of DX, AIT and QR objects: Tables 34 to 38, 41 to 50 and 59 to 61 of IIC 1 v03. Sources are as in
`modules`.

pyDICOS has no AIT and no QR: their rules come from the headers and the error texts of the toolkit alone, and those that
DICOM does not have as well are warnings.

Knows: tables. Must not know: how they are checked.
"""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset

from .ct_modules import CHARACTERISTICS, CONTRASTS, FLAVOR, ORIGIN, PLACE_MACROS, description_rules, frame_groups
from .findings import Module, Rule
from .modules import COMMON, FRAMES, IMAGE, INSPECTION, PIXELS, first_of, one_of, present, required
from .values import has

__all__ = ["AIT2D_MODULES", "AIT3D_MODULES", "DEVICES_2D", "DEVICES_3D", "DX_MODULES", "QR_MODULES"]

IMAGE_TYPE: Final = 0x00080008
_THREE: Final = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
DEVICES_3D: Final = ("PASSIVE_MMW", "ACTIVE_MMW", "THZ")
DEVICES_2D: Final = (*DEVICES_3D, "XBS", "TX", "ACTIVE_IR", "PASSIVE_IR", "HD_ACTIVE_MMW", "WT_ACTIVE_MMW")
"""AIT device types: millimetre waves, terahertz, backscattered and transmitted X-rays, infrared."""
_AIT_TYPE: Final = (ORIGIN, frozenset(("CNT_AMP", "CNT_CPX_AMP", "")), FLAVOR, CONTRASTS)


def _unwindowed(item: Dataset, whole: Dataset) -> bool:
    return first_of(whole, 0x00080068) == "FOR PRESENTATION" and not has(whole, 0x00283010)


def _width_without_center(item: Dataset, whole: Dataset) -> bool:
    return has(whole, 0x00281050)


def _image(table: str, *more: Rule) -> Module:
    """The rules that DX and two-dimensional AIT share."""
    return Module(
        "DX Image" if table == "T35" else "AIT 2D Image",
        (
            *PIXELS,
            one_of(0x00280004, "3", ("str", f"hdr {table}"), *_THREE),
            one_of(0x00080068, "1", ("obs", f"hdr {table}", "PS3.3 C.8.11.1"), "FOR PRESENTATION", "FOR PROCESSING"),
            one_of(0x00281040, "1", ("obs", f"hdr {table}", "PS3.3 C.8.11.3"), "LIN LOG"),
            one_of(0x00281041, "1", ("obs", f"hdr {table}", "PS3.3 C.8.11.3"), "1 -1"),
            one_of(0x20500020, "1", (f"hdr {table}", "PS3.3 C.8.11.3"), "IDENTITY INVERSE"),
            Rule(
                0x00281050, "1C", ("obs", f"hdr {table}", "PS3.3 C.11.2"), when=_unwindowed,
                condition="if the image is for presentation and there is no VOI LUT", count=(1, None),
            ),
            Rule(
                0x00281051, "1C", ("obs", f"hdr {table}", "PS3.3 C.11.2"), when=_width_without_center, least=0,
                condition="if there is a window center", count=(1, None),
            ),
            *more,
        ),
    )  # fmt: skip


_INSTANCE: Final = Module(
    "General Image", (required(0x00200013, "obs"), required(0x00080023, "obs"), required(0x00080033, "obs"))
)

DX_MODULES: Final = (
    *COMMON,
    Module("General Series", (one_of(0x00080060, "1", ("obs", "hdr T16"), "XRAY DX"),)),
    _INSTANCE,
    IMAGE,
    _image(
        "T35",
        Rule(
            IMAGE_TYPE, "1", ("obs", "hdr T35", "PS3.3 C.8.11.3"), each=(ORIGIN, CHARACTERISTICS), count=(2, None),
        ),
        one_of(0x00282110, "1", ("obs", "PS3.3 C.8.11.3"), "00 01"),
        Rule(0x00281052, "1", ("obs", "hdr T35", "PS3.3 C.8.11.3")),
        Rule(0x00281053, "1", ("obs", "hdr T35", "PS3.3 C.8.11.3")),
        Rule(0x00281054, "1", ("obs", "hdr T35", "PS3.3 C.8.11.3")),
        Rule(0x43000902, "1", ("obs",), least=0),
    ),
    Module(
        "DX Detector", (Rule(0x00187004, "2", ("obs", "hdr T36", "PS3.3 C.8.11.4"),
                             values=frozenset(("DIRECT", "SCINTILLATOR", "OTHER"))),),
    ),
    Module("DX Positioning", (required(0x00189309, "obs"), required(0x40101062, "obs"))),
    Module(
        "X-Ray Generation",
        (
            Rule(0x00180060, "1", ("obs", "hdr T38"), least=0),
            Rule(0x00188151, "1", ("obs", "hdr T38"), least=0),
            Rule(0x00200032, "1", ("obs", "hdr T38"), count=(3, 3)),
            Rule(0x00200037, "1", ("obs", "hdr T38"), count=(6, 6)),
        ),
    ),
)  # fmt: skip

_AIT: Final = Module(
    "General Series", (one_of(0x00080060, "1", ("hdr T16", "PS3.3 C.7.3.1"), "AIT AIT2D AIT3D HDAIT WAIT"),)
)

AIT2D_MODULES: Final = (
    *COMMON,
    _AIT,
    INSPECTION,
    IMAGE,
    _image(
        "T42",
        Rule(IMAGE_TYPE, "1", ("str", "hdr T42"), each=_AIT_TYPE[:2], count=(2, None)),
        one_of(0x40101070, "1", ("str", "hdr T42"), *DEVICES_2D),
    ),
)

AIT3D_MODULES: Final = (
    *COMMON,
    _AIT,
    *FRAMES,
    INSPECTION,
    Module("Image Common", tuple(rule for rule in IMAGE.rules if rule.tag != 0x00280301)),
    Module(
        "AIT 3D Image",
        (
            *PIXELS,
            one_of(0x00280004, "3", ("str", "hdr T48"), *_THREE),
            Rule(IMAGE_TYPE, "1", ("str", "hdr T48"), each=_AIT_TYPE, count=(4, 4)),
            one_of(0x40101070, "1", ("str", "hdr T48"), *DEVICES_3D),
            required(0x0008002A, "str", "hdr T48"),
            Rule(0x00189073, "1", ("str", "hdr T48"), least=0),
            *description_rules("hdr T48", "PS3.3 C.8.16.2"),
            Rule(0x20500020, "1", ("str", "hdr T48")),
        ),
    ),
    frame_groups((
        *PLACE_MACROS,
        Rule(
            0x00189329, "3", ("str", "hdr T50"), count=(1, 1),
            items=(
                Rule(0x00089007, "1", ("str", "hdr T50"), each=_AIT_TYPE, count=(4, 4)),
                *description_rules("hdr T50", "PS3.3 C.8.16.2"),
            ),
        ),
    )),
)  # fmt: skip

QR_MODULES: Final = (
    *COMMON,
    Module("General Series", (one_of(0x00080060, "1", ("hdr T16", "PS3.3 C.7.3.1"), "QR"),)),
    INSPECTION,
    Module("Acquisition Context", (present(0x00400555, "hdr T59", "PS3.3 C.7.6.14"),)),
    Module(
        "QR Measurements",
        (
            required(0x00200013, "str", "hdr T61"),
            required(0x00080023, "str", "hdr T61"),
            required(0x00080033, "str", "hdr T61"),
            Rule(
                0x40101071, "1", ("str", "hdr T61"),
                items=(
                    Rule(
                        0x40101072, "1", ("str", "hdr T61"), count=(1, 1),
                        items=(
                            required(0x00080100, "hdr", "PS3.3 8.8"),
                            required(0x00080102, "hdr", "PS3.3 8.8"),
                            required(0x00080104, "hdr", "PS3.3 8.8"),
                        ),
                    ),
                    Rule(0x00220155, "1", ("str", "hdr T61")),
                    Rule(0x40101073, "1", ("str", "hdr T61")),
                    Rule(0x4010101D, "1", ("str", "hdr T61"), count=(6, None)),
                ),
            ),
        ),
    ),
)  # fmt: skip
