"""Potential threat objects (PTO): what a threat detection report says about one thing in a scanned object.

A `Threat` has assessments, which say what it may be, and representations, one for each scanned object (or view) that
shows it, which say where it is there. All are values.

Knows: what DICOS says about a threat. Must not know: data sets (`threat_items`), the report around it (`tdr`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from .geometry import Geometry
from .regions import Box, Mask, Region, RegionError, Triple

__all__ = ["Assessment", "Reference", "ReferencedThreat", "Representation", "Threat", "numbered"]

PREFIX: Final = "1.2.840.10008.5.1.4.1.1."
MOST_THREATS: Final = 2**16 - 1
"""Threats of a report, whose numbers are US."""
CTS: Final = ("501.1", "501.7", "501.8")
AITS: Final = ("501.5", "501.10")
"""The SOP classes, after that prefix, of objects with frames along z."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A DICOS object: its SOP class and its SOP instance."""

    sop_class_uid: str
    sop_instance_uid: str

    @property
    def is_volume(self) -> bool:
        """True for a CT and an AIT 3D, whose voxels have a third coordinate."""
        return self._is_one_of((*CTS, *AITS))

    @property
    def is_ct(self) -> bool:
        """True for a CT, also raw and corrected."""
        return self._is_one_of(CTS)

    def _is_one_of(self, classes: Sequence[str]) -> bool:
        name = self.sop_class_uid.removeprefix(PREFIX)
        return any(name == one or name.startswith(f"{one}.") for one in classes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferencedThreat:
    """A threat in another report: its number there, and the report."""

    id: int
    tdr: Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """An opinion on a threat. The values are those of DICOS: `tdr_rules.CATEGORIES` and so on lists them. `probability`
    is between 0 and 1, None if nobody determined it."""

    category: str = "ANOMALY"
    flag: str = "THREAT"
    ability: str = "NO_INTERFERENCE"
    description: str = ""
    probability: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Representation:
    """A threat in one scanned object.

    `references`: the scanned object; `TDR.new` fills it in. `region`: in voxels. `polygon`: points (x, y, z) around the
    threat, for the screen; two points are the diagonal of a box [hdr]; in mm. `centre` and `centre_of_mass`: (x, y, z)
    in image space, where the first frame of a volume has z = 1, and an image z = 0 [hdr]; see `in_voxels`.
    `mass` in g, `density` in g/cm3, `volume` in cm3 [hdr]. `anomalies`: centres of anomalies on a person, in image
    space.
    """

    references: tuple[Reference, ...] = ()
    region: Region | None = None
    polygon: tuple[Triple, ...] = ()
    centre: Triple | None = None
    centre_of_mass: Triple | None = None
    mass: float | None = None
    density: float | None = None
    z_effective: float | None = None
    volume: float | None = None
    location: str = ""
    anomalies: tuple[Triple, ...] = ()

    def in_voxels(self, point: Triple) -> Triple:
        """Converts a point in image space to voxel coordinates, which count frames from 0."""
        x, y, z = point
        return x, y, z - 1 if any(one.is_volume for one in self.references) else z

    def outline(self, geometry: Geometry) -> tuple[Triple, ...]:
        """Returns points in mm around the threat: the polygon, or the corners of the region, or none."""
        if self.polygon:
            return self.polygon
        return () if self.region is None else geometry.polygon(self.region.box())


@dataclass(frozen=True, slots=True, kw_only=True)
class Threat:
    """A potential threat object. `id`: its number in the report; `TDR.new` gives one by default. `started`,
    `ended`, `processing_ms`: how long its analysis took; `TDR.new` takes the time of its stamp by default.
    `referenced`: the threats of other reports that an aggregate stands for, `origin` their TDR type.

    >>> import numpy as np
    >>> mask = np.zeros((30, 20, 10), bool)
    >>> mask[4:6, 3:6, 2:4] = True
    >>> threat = Threat.from_mask(mask, geometry=Geometry(spacing=(10, 10, 10)), category="EXPLOSIVE", density=1.5)
    >>> threat.category, threat.representations[0].volume, threat.representations[0].mass
    ('EXPLOSIVE', 12.0, 18.0)
    >>> bool((threat.mask(mask.shape) == mask).all())
    True
    """

    id: int | None = None
    assessments: tuple[Assessment, ...] = (Assessment(),)
    representations: tuple[Representation, ...] = (Representation(),)
    started: datetime | None = None
    ended: datetime | None = None
    processing_ms: float | None = None
    referenced: tuple[ReferencedThreat, ...] = ()
    origin: str = ""

    @classmethod
    def from_mask(cls, mask: Mask, *, geometry: Geometry | None = None, **details: Any) -> Threat:
        """Returns a threat where `mask`, of the shape (z, y, x) of the scanned volume, is set; see `from_region`.
        Raises `RegionError` if nothing is set."""
        return cls.from_region(Region.from_mask(mask), geometry=geometry, **details)

    @classmethod
    def from_region(
        cls,
        region: Region,
        *,
        geometry: Geometry | None = None,
        volume: bool = True,
        density: float | None = None,
        mass: float | None = None,
        z_effective: float | None = None,
        location: str = "",
        **assessment: Any,
    ) -> Threat:
        """Returns a threat with one assessment and one representation. `assessment`: the fields of an `Assessment`.
        `volume`: the scanned object has frames along z.

        With a geometry, the polygon and the volume are computed, and the mass if there is a density. Raises
        `RegionError` for a region that makes no sense, TypeError for an unknown field.
        """
        box = region.box()
        x, y, z = box.centre
        size = None
        if geometry is not None and volume:
            size = (
                int(region.mask().sum()) * geometry.voxel_volume / 1000 if region.bitmap else _box_volume(box, geometry)
            )
            if mass is None and density is not None:
                mass = density * size
        one = Representation(
            region=region,
            polygon=() if geometry is None else geometry.polygon(box),
            centre=(x, y, z + 1 if volume else 0.0),
            mass=mass, density=density, z_effective=z_effective, volume=size, location=location,
        )  # fmt: skip
        return cls(assessments=(Assessment(**assessment),), representations=(one,))

    @property
    def category(self) -> str:
        """The category of the first assessment, "" if there is none."""
        return self.assessments[0].category if self.assessments else ""

    @property
    def flag(self) -> str:
        """The flag of the first assessment, "" if there is none."""
        return self.assessments[0].flag if self.assessments else ""

    @property
    def alarms(self) -> bool:
        """True if an assessment says that this is a threat."""
        return any(one.flag in ("HIGH_THREAT", "THREAT") for one in self.assessments)

    @property
    def probability(self) -> float | None:
        """The probability of the first assessment."""
        return self.assessments[0].probability if self.assessments else None

    @property
    def region(self) -> Region | None:
        """The region of the first representation that has one."""
        return next((one.region for one in self.representations if one.region is not None), None)

    def representation(self, sop_instance_uid: str) -> Representation | None:
        """Returns the representation in a scanned object, None if there is none."""
        for one in self.representations:
            if any(found.sop_instance_uid == sop_instance_uid for found in one.references):
                return one
        return None

    def mask(self, shape: Sequence[int]) -> Mask:
        """Returns the first region as booleans of a volume of `shape` (z, y, x). Raises `RegionError` if there is no
        region, or if it is not one of such a volume."""
        if self.region is None:
            raise RegionError("this threat has no region")
        return self.region.mask(shape)


def _box_volume(box: Box, geometry: Geometry) -> float:
    x, y, z = box.size
    return float(x * y * z * geometry.voxel_volume / 1000)


def numbered(threats: Iterable[Threat]) -> tuple[Threat, ...]:
    """Returns the threats with a number each: its own, or the first that is free from 1 on. Raises ValueError for
    more than there are numbers."""
    given = tuple(threats)
    if len(given) > MOST_THREATS:
        raise ValueError(f"{len(given)} threats; {MOST_THREATS} are allowed")
    taken = {one.id for one in given}
    free = (number for number in range(1, MOST_THREATS + 1) if number not in taken)
    return tuple(one if one.id is not None else replace(one, id=next(free)) for one in given)
