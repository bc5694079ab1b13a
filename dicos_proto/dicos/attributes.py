"""Attributes and SOP classes of DICOS that pydicom does not know, or knows otherwise, each with its source.

Sources: `obs`, seen in objects that pyDICOS 1.3.0 wrote; `hdr`, the published headers of the toolkit inside it, which
cite the tables of IIC 1 v03; `pyd`, pydicom's dictionary of group 4010; `PS3.x`, the clause of DICOM.

Knows: tags, value representations, names. Must not know: which object has which attribute. Nothing here changes
pydicom, except `register()`, on request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydicom import datadict
from pydicom._uid_dict import UID_dictionary

from ..registry import uids

__all__ = ["ADDED", "DIFFERENT", "NAMES", "Attribute", "name_of", "register", "vm_of", "vrs_of"]


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute as DICOS has it."""

    tag: int
    vr: str
    vm: str
    keyword: str
    name: str
    source: str


_PREFIX: Final = "1.2.840.10008.5.1.4.1.1.501."


def _table(text: str) -> dict[int, Attribute]:
    found = {}
    for line in text.strip().splitlines():
        tag, vr, vm, keyword, name, source = (cell.strip() for cell in line.split("|"))
        found[int(tag, 16)] = Attribute(int(tag, 16), vr, vm, keyword, name, source)
    return found


ADDED: Final = _table("""
    00020004 | CS | 1 | DICOSVersionOfFile          | DICOS Version of the File    | obs
    00082108 | CS | 1 | CoordinateSystem            | Coordinate System            | obs hdr
    00220155 | FL | 1 | SignalToNoiseRatio          | Signal-to-Noise Ratio        | hdr
    40101080 | DT | 1 | PTOProcessingStartTime      | PTO Processing Start Time    | obs hdr
    40101081 | DT | 1 | PTOProcessingEndTime        | PTO Processing End Time      | obs hdr
    40101082 | FL | 1 | PTOTotalProcessingTime      | PTO Total Processing Time    | obs hdr
    43000902 | FL | 1 | EffectiveEnergy             | Effective Energy             | obs hdr
    61000024 | US | 1 | SeriesView                  | Series View                  | hdr
    61000026 | LO | 1 | SeriesViewDescription       | Series View Description      | hdr
    61000028 | US | 1 | NumberOfViewsInScan         | Number of Views in Scan      | hdr
    61000030 | US | 1 | SeriesEnergy                | Series Energy                | hdr
    61000031 | LO | 1 | SeriesEnergyDescription     | Series Energy Description    | hdr
    61000032 | US | 1 | NumberOfEnergiesInScan      | Number of Energies in Scan   | hdr
    7FE00011 | OL | 1 | PixelData32Bit              | Pixel Data (32-bit Integer)  | obs hdr
    7FE00012 | OD | 1 | PixelData64Bit              | Pixel Data (64-bit Integer)  | obs hdr
    7FE00013 | OF | 1 | PixelDataFloat              | Pixel Data (Floating Point)  | obs hdr
""")
"""Attributes that pydicom 3.0 does not have."""

DIFFERENT: Final = _table("""
    00080118 | CS | 1 | MappingResourceUID          | Image Origin                 | obs
    00280008 | US | 1 | NumberOfFrames              | Number of Frames             | obs
    40101075 | FD | 1 | ImageScaleRepresentation    | Image Scale Representation   | obs
""")
"""Attributes that have another value representation than in pydicom's dictionary, which is UI, IS and DS."""

NAMES: Final[dict[int, str]] = {
    0x00080020: "Scan Date",
    0x00080030: "Scan Time",
    0x00080070: "Device Manufacturer",
    0x00080080: "Machine Location",
    0x00080081: "Machine Address",
    0x00081010: "Machine ID",
    0x00081030: "Scan Description",
    0x00100010: "OOI Name",
    0x00100020: "OOI ID",
    0x00100021: "OOI ID Assigning Authority",
    0x00100022: "OOI ID Type",
    0x00100040: "OOI Gender",
    0x00101002: "Other OOI IDs Sequence",
    0x0020000D: "Scan Instance UID",
    0x00200010: "Scan ID",
    0x00200032: "Image Position",
    0x00200037: "Image Orientation",
    0x00189309: "Belt Speed",
}
"""Names of DICOS for attributes that DICOM names for hospitals."""


def name_of(tag: int) -> str:
    """Returns the DICOS name of an attribute, DICOM's if DICOS has none of its own, "attribute" if neither has."""
    if tag in NAMES:
        return NAMES[tag]
    found = ADDED.get(tag) or DIFFERENT.get(tag)
    if found is not None:
        return found.name
    try:
        return datadict.dictionary_description(tag)
    except KeyError:
        return "attribute"


def vrs_of(tag: int) -> frozenset[str]:
    """Returns the value representations that an attribute may have, DICOS' own and DICOM's; empty if it is unknown.

    >>> sorted(vrs_of(0x00280008)), sorted(vrs_of(0x00280010))
    (['IS', 'US'], ['US'])
    """
    own = ADDED.get(tag)
    if own is not None:
        return frozenset((own.vr,))
    different = DIFFERENT.get(tag)
    try:
        known = datadict.dictionary_VR(tag).split(" or ")
    except KeyError:
        return frozenset()
    return frozenset((*known, *((different.vr,) if different else ())))


def vm_of(tag: int) -> tuple[int, int | None]:
    """Returns the least and the largest number of values that an attribute may have, None for no bound.

    >>> vm_of(0x00080008), vm_of(0x00280030), vm_of(0x43000902)
    ((2, None), (2, 2), (1, 1))
    """
    try:
        text = ADDED[tag].vm if tag in ADDED else datadict.dictionary_VM(tag)
    except KeyError:
        return 0, None
    least, _, most = text.partition("-")
    if not most:
        return int(least), int(least)
    return int(least), int(most) if most.isdecimal() else None


def register() -> None:
    """Adds the attributes of `ADDED`, and the SOP classes of DICOS that it lacks, to pydicom's dictionaries.

    Afterwards pydicom prints their names, and knows their value representations in implicit VR. It changes pydicom for
    the whole process; nothing here needs it.
    """
    datadict.add_dict_entries(
        {
            one.tag: (one.vr, one.vm, one.name, "", one.keyword)
            for one in ADDED.values()
            if not datadict.dictionary_has_tag(one.tag)
        }
    )
    for uid, name in uids.NAMES.items():
        if uid.startswith(_PREFIX) and uid not in UID_dictionary:
            keyword = "".join(part for part in name if part.isalnum())
            UID_dictionary[uid] = (name, "SOP Class", "DICOS", "", keyword)
