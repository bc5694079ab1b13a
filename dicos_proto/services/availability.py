"""Instance availability notification: one application tells another where to retrieve instances [PS3.4 annex R].

User side: `notify`, one N-CREATE for each study. Provider side: `AvailabilityNotified` reads it as a value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from ..conversation.exchange import Exchange
from ..conversation.flows import Flow
from ..data.datasets import Attributes
from ..dimse.types import NCreateRequest
from ..registry import status, uids
from .normalized import Result, n_create
from .serving import (
    Needed,
    NormalizedOperation,
    Reference,
    Refused,
    amended,
    items_of,
    reference_to,
    require,
    text_of,
    uid_of,
)

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

NOTIFICATION: Final = uids.INSTANCE_AVAILABILITY_NOTIFICATION

ON_CREATE: Final = (  # PS3.4 table R.3.2-1
    Needed("ReferencedPerformedProcedureStepSequence", 2),
    Needed("StudyInstanceUID", 1),
    Needed("ReferencedSeriesSequence", 1, (
        Needed("SeriesInstanceUID", 1),
        Needed("ReferencedSOPSequence", 1, (
            Needed("ReferencedSOPClassUID", 1),
            Needed("ReferencedSOPInstanceUID", 1),
            Needed("InstanceAvailability", 1),
            Needed("RetrieveAETitle", 1),
        )),
    )),
)  # fmt: skip


class Availability(Enum):
    """Instance Availability (0008,0056) [PS3.3 C.4.23.1.1]."""

    ONLINE = "ONLINE"
    NEARLINE = "NEARLINE"
    OFFLINE = "OFFLINE"
    UNAVAILABLE = "UNAVAILABLE"


class Available(NamedTuple):
    """An instance, its availability, and the application entity that it can be retrieved from."""

    series_uid: str
    reference: Reference
    availability: Availability
    retrieve_aet: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """Instances of one study; those of a series follow each other. `attributes`: the data set as it was received."""

    study_uid: str
    instances: tuple[Available, ...]
    attributes: Attributes | None = field(default=None, repr=False, compare=False)

    @property
    def dataset(self) -> Dataset:
        """The attribute list of the N-CREATE."""
        series: dict[str, list[Dataset]] = {}
        for one in self.instances:
            item = amended(
                reference_to(one.reference),
                uids.EXPLICIT_VR_LE,
                InstanceAvailability=one.availability.value,
                RetrieveAETitle=one.retrieve_aet,
            )
            series.setdefault(one.series_uid, []).append(item)
        return amended(
            None,
            uids.EXPLICIT_VR_LE,
            ReferencedPerformedProcedureStepSequence=[],
            StudyInstanceUID=self.study_uid,
            ReferencedSeriesSequence=[
                amended(None, uids.EXPLICIT_VR_LE, SeriesInstanceUID=uid, ReferencedSOPSequence=items)
                for uid, items in series.items()
            ],
        )


def notify(
    exchange: Exchange, study_uid: str, instances: Iterable[Available], sop_instance_uid: str | None = None
) -> Flow[Result]:
    """User side: reports where to retrieve instances of a study [PS3.4 R.3.2]. Raises as `normalized.n_create` does."""
    given = Notification(study_uid=study_uid, instances=tuple(instances)).dataset
    return (yield from n_create(exchange, NOTIFICATION, sop_instance_uid, given))


class AvailabilityNotified(NormalizedOperation):
    """Provider side: one notification. `read_notification` returns it as a value, `grant` or `refuse` answers it."""

    __slots__ = ()

    def read_notification(self) -> Flow[Notification]:
        """Returns the notification. Raises `Refused`: 0x0120, 0x0121, 0x0106; and as `Exchange.step` does."""
        self.expect((NCreateRequest,), (NOTIFICATION,))
        dataset = yield from self.read()
        require(dataset, ON_CREATE)
        known = {one.value: one for one in Availability}
        found: list[Available] = []
        for series in items_of(dataset, "ReferencedSeriesSequence"):
            for item in items_of(series, "ReferencedSOPSequence"):
                reference = Reference(uid_of(item, "ReferencedSOPClassUID"), uid_of(item, "ReferencedSOPInstanceUID"))
                availability = known.get(text_of(item, "InstanceAvailability"))
                if availability is None or not all(reference):
                    where = f"instance {len(found) + 1}: invalid reference or availability"
                    raise Refused(status.INVALID_ATTRIBUTE_VALUE, where, (0x00080056,))
                title = text_of(item, "RetrieveAETitle")
                found.append(Available(uid_of(series, "SeriesInstanceUID"), reference, availability, title))
        return Notification(
            study_uid=uid_of(dataset, "StudyInstanceUID"), instances=tuple(found), attributes=self.attributes
        )
