"""The rules of the modules that all DICOS objects have, and of those that all images have.

Sources are as in `findings`. `obs` stands where pyDICOS 1.3.0 refused to read an object from which the attribute had
been taken away, or in which it had been made empty (a rule of type 1). `hdr T15` is Table 15 of IIC 1 v03, as the
headers of the toolkit cite it. Where DICOM has the attribute in a module of the same purpose, and asks at least as
much, its clause is a source too.

Knows: tables. Must not know: how they are checked.
"""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset

from . import values
from .findings import Condition, Module, Rule

__all__ = ["COMMON", "FRAMES", "IMAGE", "INSPECTION", "PIXELS", "first_of", "one_of", "required", "value_is"]


def required(tag: int, *sources: str) -> Rule:
    """An attribute that must be there and have a value, and nothing more: type 1."""
    return Rule(tag, "1", sources)


def present(tag: int, *sources: str) -> Rule:
    """An attribute that must be there and may be empty: type 2."""
    return Rule(tag, "2", sources)


def one_of(tag: int, type: str, sources: tuple[str, ...], *allowed: str) -> Rule:
    """An attribute with enumerated values, separated by blanks or given one by one if they contain some."""
    listed = allowed if len(allowed) > 1 else tuple(allowed[0].split())
    return Rule(tag, type, sources, values=frozenset(listed))


def value_is(tag: int, *wanted: str) -> Condition:
    """A condition: the first value of an attribute of the whole data set is one of these."""

    def holds(item: Dataset, whole: Dataset) -> bool:
        return first_of(whole, tag) in wanted

    return holds


def first_of(dataset: Dataset, tag: int) -> str | None:
    """Returns the first value of a text attribute, None if it is absent. Raises `BadValue`."""
    return next(iter(values.texts(dataset, tag)), None)


COMMON: Final = (
    Module(
        "SOP Common",
        (
            required(0x00080012, "obs", "hdr T96"),
            required(0x00080013, "obs", "hdr T96"),
            required(0x00080016, "obs", "hdr T96", "PS3.3 C.12.1"),
            required(0x00080018, "obs", "hdr T96", "PS3.3 C.12.1"),
            one_of(0x4010103A, "1", ("obs", "hdr T96"), "V01X V02 V02A V03"),
        ),
    ),
    Module(
        "Object of Inspection",
        (
            required(0x00100020, "obs", "hdr"),
            required(0x00100021, "obs", "hdr"),
            one_of(0x00100022, "1", ("obs", "hdr"), "RFID BARCODE TEXT MRP"),
            Rule(
                0x00100040, "1C", ("obs", "hdr"), values=frozenset("MFOU"),
                when=value_is(0x40101042, "PERSON"), condition="if the OOI type is PERSON",
            ),
            one_of(0x40101042, "1", ("obs", "hdr"), "BAGGAGE CARGO PERSON ANIMAL BIO_SAMPLE OTHER"),
            Rule(0x40101043, "3", ("str", "pyd"), least=0),
            Rule(0x40101017, "3", ("str", "pyd"), least=0),
            Rule(0x40101064, "3", ("str",), count=(0, 1)),
        ),
    ),
    Module(
        "General Scan",
        (
            required(0x0020000D, "obs", "hdr T15", "PS3.3 C.7.2.1"),
            required(0x00080020, "obs", "hdr T15"),
            required(0x00080030, "obs", "hdr T15"),
            required(0x00200010, "obs", "hdr T15"),
            one_of(0x40101048, "1", ("obs", "hdr T15"), "OPERATIONAL NON_OPERATIONAL"),
            Rule(0x61000032, "3", ("hdr T15",), least=1),
        ),
    ),
    Module(
        "General Series",
        (
            required(0x0020000E, "obs", "hdr T16", "PS3.3 C.7.3.1"),
            required(0x00080021, "obs", "hdr T16"),
            required(0x00080031, "obs", "hdr T16"),
            one_of(
                0x40101044, "1", ("obs", "hdr T16"), "SUCCESSFUL JAM OVERSIZE SLIP INCOMPLETE CUT MERGED STITCHED"
            ),
            Rule(0x61000030, "3", ("hdr T16",)),
            one_of(0x40101046, "3", ("hdr T16",), "NIST_FAT NIST_SAT OTK CTIQ CALIBRATION GIQ"),
        ),
    ),
    Module(
        "General Equipment",
        tuple(
            present(tag, "obs", "hdr T84")
            for tag in (
                0x00080070, 0x00080080, 0x00080081, 0x00081010, 0x00081090, 0x00181000, 0x00181020, 0x00181200,
                0x00181201,
            )
        ),
    ),
)  # fmt: skip
"""The modules of every object, apart from Modality, which depends on the kind."""

IMAGE: Final = Module(
    "Image Common",
    (
        one_of(0x00080118, "1", ("obs", "hdr T20 T35 T42 T48"), "MACHINE SYNTHETIC AUGMENTED"),
        one_of(0x00082108, "1", ("obs", "hdr T20 T35 T42 T48"), "LHS RHS"),
        one_of(0x00280301, "1", ("obs", "hdr T20"), "YES NO"),
        present(0x00400555, "obs", "PS3.3 C.7.6.14"),
    ),
)
"""The rules of all images."""

PIXELS: Final = tuple(
    Rule(tag, "1", ("obs", "PS3.3 C.7.6.3"), least=least, values=allowed)
    for tag, least, allowed in (
        (0x00280002, 1, frozenset("1")),
        (0x00280004, None, frozenset()),
        (0x00280010, 1, frozenset()),
        (0x00280011, 1, frozenset()),
        (0x00280100, 8, frozenset(("8", "16", "32", "64"))),
        (0x00280101, 1, frozenset()),
        (0x00280102, 0, frozenset()),
        (0x00280103, 0, frozenset("01")),
    )
)
"""Image Pixel, without the element that holds the pixel data."""

FRAMES: Final = (
    Module(
        "Multi-frame Functional Groups",
        (
            required(0x00200013, "obs", "PS3.3 C.7.6.16"),
            required(0x00080023, "obs", "PS3.3 C.7.6.16"),
            required(0x00080033, "obs", "PS3.3 C.7.6.16"),
            Rule(0x00280008, "1", ("obs", "PS3.3 C.7.6.16")),
        ),
    ),
    Module(
        "Frame of Reference",
        (required(0x00200052, "obs", "PS3.3 C.7.4.1"), present(0x00201040, "obs", "PS3.3 C.7.4.1")),
    ),
)
"""The rules of objects with frames."""

INSPECTION: Final = Module(
    "Inspection Selection Criteria",
    (one_of(0x4010107C, "1", ("str", "hdr T102"), "RANDOM BEHAVIORAL ALL"),),
)
"""The rules of AIT and QR objects."""
