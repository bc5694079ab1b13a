"""The base of the typed views: one pydicom data set under the names of DICOS.

A view holds only its data set: a change of the data set is seen here. Only pixel data that had to be decoded is
kept, until the element has another value. Properties return None for what is absent or empty, and raise `BadValue` for
what cannot be used.

Knows: what all DICOS objects have in common. Must not know: the single kinds; they register themselves by subclassing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Final

from pydicom.dataset import Dataset

from ..registry import uids
from . import values
from .common import Machine
from .errors import BadValue, DicosError, NotDicos
from .findings import MOST, Finding, Module, check

if TYPE_CHECKING:
    from .pixels import Array

__all__ = ["DicosObject", "group_by_scan", "kind_of"]

_KINDS: Final[dict[str, type[DicosObject]]] = {}


class DicosObject:
    """A DICOS object. Raises `NotDicos` for a data set of a SOP class that the view is not for."""

    __slots__ = ("_dataset", "_decoded")

    kind: ClassVar[str] = "DICOS object"
    """The name of the kind in texts."""
    sop_classes: ClassVar[Mapping[str, str]] = {}
    """The SOP classes that the view is for, with what distinguishes each."""
    modules: ClassVar[tuple[Module, ...]] = ()
    """The rules that `validate` checks."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._decoded: tuple[object, Array] | None = None
        seen = _sop_class(dataset)
        if seen not in self.sop_classes:
            raise NotDicos(
                f"{_shown(seen)} is not a SOP class of {self.kind}; allowed are {', '.join(self.sop_classes)}",
                0x00080016,
            )

    def __init_subclass__(cls) -> None:
        _KINDS.update(dict.fromkeys(cls.sop_classes, cls))

    def __repr__(self) -> str:
        try:
            return f"<{type(self).__name__} {uids.name_of(self.sop_class_uid)}>"
        except DicosError:  # a SOP class that is not readable
            return f"<{type(self).__name__}>"

    @property
    def dataset(self) -> Dataset:
        """The data set itself, which is all the state there is."""
        return self._dataset

    def validate(self) -> list[Finding]:
        """Returns what is missing or wrong, at most 1000 findings. Raises nothing."""
        found = check(self._dataset, self.modules)
        for one in self._cross_checks():
            if len(found) >= MOST:
                break
            found.append(one)
        return found

    def _cross_checks(self) -> Iterable[Finding]:
        """The findings that are about several attributes."""
        return ()

    def _text(self, tag: int) -> str | None:
        return values.text(self._dataset, tag)

    def _pixels(self) -> Array:
        """Frames, rows, columns. Raises `PixelError`, `BadValue`."""
        from .pixels import array_of, compression_of, layout_of  # needs numpy, which other objects do not

        layout = layout_of(self._dataset)
        if compression_of(self._dataset, layout) is None:
            return array_of(self._dataset)
        value = self._dataset[layout.element].value
        if self._decoded is None or self._decoded[0] is not value:
            self._decoded = value, array_of(self._dataset)
        return self._decoded[1]

    # -- SOP common --------------------------------------------------------------------------------------------------

    @property
    def sop_class_uid(self) -> str:
        """SOP Class UID (0008,0016)."""
        return self._text(0x00080016) or ""

    @property
    def sop_instance_uid(self) -> str | None:
        """SOP Instance UID (0008,0018). Sections of one scan may share it: it does not tell objects apart."""
        return self._text(0x00080018)

    @property
    def instance_number(self) -> int | None:
        """Instance Number (0020,0013)."""
        return values.integer(self._dataset, 0x00200013)

    @property
    def dicos_version(self) -> str | None:
        """DICOS Version (4010,103A): V03, V02A, V02 or V01X."""
        return self._text(0x4010103A)

    @property
    def content_made(self) -> datetime | None:
        """Content Date (0008,0023) and Content Time (0008,0033)."""
        return values.instant(self._dataset, 0x00080023, 0x00080033)

    # -- object of inspection ----------------------------------------------------------------------------------------

    @property
    def ooi_id(self) -> str | None:
        """OOI ID (0010,0020)."""
        return self._text(0x00100020)

    @property
    def ooi_id_authority(self) -> str | None:
        """OOI ID Assigning Authority (0010,0021)."""
        return self._text(0x00100021)

    @property
    def ooi_id_type(self) -> str | None:
        """OOI ID Type (0010,0022): RFID, BARCODE, TEXT or MRP."""
        return self._text(0x00100022)

    @property
    def ooi_type(self) -> str | None:
        """OOI Type (4010,1042): BAGGAGE, CARGO, PERSON, ANIMAL, BIO_SAMPLE or OTHER."""
        return self._text(0x40101042)

    # -- scan and series ---------------------------------------------------------------------------------------------

    @property
    def scan_instance_uid(self) -> str | None:
        """Scan Instance UID (0020,000D)."""
        return self._text(0x0020000D)

    @property
    def scan_id(self) -> str | None:
        """Scan ID (0020,0010)."""
        return self._text(0x00200010)

    @property
    def scan_started(self) -> datetime | None:
        """Scan Date (0008,0020) and Scan Time (0008,0030), local time."""
        return values.instant(self._dataset, 0x00080020, 0x00080030)

    @property
    def scan_type(self) -> str | None:
        """Scan Type (4010,1048): OPERATIONAL or NON_OPERATIONAL."""
        return self._text(0x40101048)

    @property
    def series_instance_uid(self) -> str | None:
        """Series Instance UID (0020,000E)."""
        return self._text(0x0020000E)

    @property
    def modality(self) -> str | None:
        """Modality (0008,0060)."""
        return self._text(0x00080060)

    @property
    def acquisition_status(self) -> str | None:
        """Acquisition Status (4010,1044): SUCCESSFUL, JAM, OVERSIZE, SLIP, INCOMPLETE, CUT, MERGED, STITCHED."""
        return self._text(0x40101044)

    @property
    def series_energy(self) -> int | None:
        """Series Energy (6100,0030): which of several energies the series is of."""
        return values.integer(self._dataset, 0x61000030)

    @property
    def machine(self) -> Machine:
        """The machine, "" for what the object does not say of it."""
        return Machine.of(self._dataset)


def kind_of(dataset: Dataset) -> type[DicosObject]:
    """Returns the class of the view for a data set, of those that have been imported. Raises `NotDicos`."""
    seen = _sop_class(dataset)
    found = _KINDS.get(seen or "")
    if found is None:
        kinds = ", ".join(dict.fromkeys(one.kind for one in _KINDS.values()))
        raise NotDicos(f"{_shown(seen)} is not a SOP class of DICOS; allowed are those of {kinds}", 0x00080016)
    return found


def group_by_scan(objects: Iterable[DicosObject]) -> dict[str | None, list[DicosObject]]:
    """Returns the objects of each scan, by Scan Instance UID, in the order in which they came.

    Nothing is dropped: the sections of a scan that have different sizes are objects of their own, and pyDICOS gives
    them all the same SOP Instance UID. Raises `BadValue`.
    """
    found: dict[str | None, list[DicosObject]] = {}
    for one in objects:
        found.setdefault(one.scan_instance_uid, []).append(one)
    return found


def _sop_class(dataset: Dataset) -> str | None:
    try:
        return values.text(dataset, 0x00080016)
    except BadValue:
        return None


def _shown(uid: str | None) -> str:
    """A SOP class in an error: its name, "nothing", or that it is not a known one."""
    if uid is None:
        return "no UID"
    return uids.NAMES.get(uid, "an unknown UID" if not uids.is_valid(uid) else uid)
