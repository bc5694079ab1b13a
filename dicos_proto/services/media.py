"""Media creation: a device writes instances that it received before to interchange media [PS3.4 annex S].

User side: `create_request`, `initiate`, `cancel`, `get_result`. Provider side: `create`, `start` and `stop` are the
rules, pure functions over `Disc` values; `Creating` applies them to a request. The caller keeps the discs, and updates
their status while it writes them (`Disc.became`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Final

from ..conversation.exchange import Exchange
from ..conversation.flows import Flow, find_context
from ..data.datasets import Content, convert
from ..dimse.types import NActionRequest, NCreateRequest, NGetRequest
from ..registry import status, uids
from .normalized import Result, n_action, n_create, n_get
from .serving import (
    Needed,
    NormalizedOperation,
    Reference,
    Refused,
    amended,
    items_of,
    reference_to,
    references_in,
    require,
)

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MEDIA: Final = uids.MEDIA_CREATION_MANAGEMENT
INITIATE, CANCEL = 1, 2
"""Action types [PS3.4 tables S.3.2.2.1-1, S.3.2.3.1-1]."""


class MediaStatus(Enum):
    """Execution Status (2100,0020) [PS3.3 C.22.1]."""

    IDLE = "IDLE"
    PENDING = "PENDING"
    CREATING = "CREATING"
    DONE = "DONE"
    FAILURE = "FAILURE"


ON_CREATE: Final = (  # PS3.4 table S.3.2.1.1-1
    Needed("ReferencedSOPSequence", 1, (
        Needed("ReferencedSOPClassUID", 1),
        Needed("ReferencedSOPInstanceUID", 1),
    )),
)  # fmt: skip


# -- the rules -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Disc:
    """A request to write media. `dataset`: all of its attributes; it is never changed.

    `copies`: the number that was requested when it was initiated.
    """

    sop_instance_uid: str
    status: MediaStatus
    references: tuple[Reference, ...]
    copies: int = 1
    dataset: Dataset = field(repr=False)

    def became(
        self, to: MediaStatus, info: str = "NORMAL", *, pieces: int = 0, failed: Iterable[Reference] = ()
    ) -> Disc:
        """Returns the same request in another state.

        `info`: Execution Status Info, a defined term of PS3.3 C.22.1. `pieces`: the number of media written. `failed`:
        the instances that could not be written.
        """
        dataset = amended(
            self.dataset,
            uids.EXPLICIT_VR_LE,
            ExecutionStatus=to.value,
            ExecutionStatusInfo=info,
            TotalNumberOfPiecesOfMediaCreated=pieces,
            FailedSOPSequence=[reference_to(one) for one in failed],
        )
        return replace(self, status=to, dataset=dataset)


def create(sop_instance_uid: str, attributes: Dataset, *, exists: bool = False) -> Disc:
    """Applies an N-CREATE. Raises `Refused`: 0x0111, 0x0120, 0x0121, 0x0115 [PS3.4 S.3.2.1]."""
    if exists:
        raise Refused(status.DUPLICATE_SOP_INSTANCE, "a request with this SOP Instance UID exists")
    require(attributes, ON_CREATE)
    references = references_in(attributes, "ReferencedSOPSequence")
    disc = Disc(sop_instance_uid=sop_instance_uid, status=MediaStatus.IDLE, references=references, dataset=attributes)
    return disc.became(MediaStatus.IDLE)


def start(disc: Disc | None, information: Dataset) -> Disc:
    """Applies an N-ACTION that initiates media creation. Raises `Refused`: 0x0112, 0xA510 [PS3.4 S.3.2.2]."""
    disc = _known(disc)
    if disc.status is not MediaStatus.IDLE:
        raise Refused(status.MEDIA_CREATION_ALREADY_INITIATED, f"the request is {disc.status.value}")
    copies = information.get("NumberOfCopies")
    return replace(
        disc.became(MediaStatus.PENDING, "QUEUED"), copies=int(copies) if isinstance(copies, int) and copies > 0 else 1
    )


def stop(disc: Disc | None, *, interruptible: bool = True) -> None:
    """Applies an N-ACTION that cancels media creation; the caller then forgets the request [PS3.4 S.3.2.3.2].

    `interruptible`: True if the writing of media can be interrupted. Raises `Refused`: 0x0112, 0xC201, 0xC202.
    """
    disc = _known(disc)
    if disc.status in (MediaStatus.DONE, MediaStatus.FAILURE):
        raise Refused(status.MEDIA_CREATION_ALREADY_COMPLETED, f"the request is {disc.status.value}")
    if disc.status is MediaStatus.CREATING and not interruptible:
        raise Refused(status.MEDIA_CREATION_ALREADY_IN_PROGRESS, "the media are being written")


def _known(disc: Disc | None) -> Disc:
    if disc is None:
        raise Refused(status.NO_SUCH_SOP_INSTANCE, "no request with this SOP Instance UID")
    return disc


# -- user side -----------------------------------------------------------------------------------------------------


def create_request(
    exchange: Exchange,
    references: Iterable[Reference],
    attributes: Content | None = None,
    sop_instance_uid: str | None = None,
) -> Flow[Result]:
    """User side: creates a request for these instances by N-CREATE [PS3.4 S.3.2.1].

    If `sop_instance_uid` is None, the response names the UID of the request.

    Raises as `normalized.n_create` does, and so do the other flows of this module.
    """
    syntax = find_context(exchange.association, MEDIA).transfer_syntax
    given = amended(attributes, syntax, ReferencedSOPSequence=[reference_to(one) for one in references])
    return (yield from n_create(exchange, MEDIA, sop_instance_uid, given))


def initiate(exchange: Exchange, sop_instance_uid: str, *, copies: int = 1, priority: str = "MED") -> Flow[Result]:
    """User side: initiates the writing by N-ACTION. `priority`: HIGH, MED or LOW [PS3.4 S.3.2.2]."""
    given = amended(None, uids.EXPLICIT_VR_LE, NumberOfCopies=copies, RequestPriority=priority)
    return (yield from n_action(exchange, MEDIA, sop_instance_uid, INITIATE, given))


def cancel(exchange: Exchange, sop_instance_uid: str) -> Flow[Result]:
    """User side: cancels the request by N-ACTION [PS3.4 S.3.2.3]."""
    return (yield from n_action(exchange, MEDIA, sop_instance_uid, CANCEL))


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaProgress:
    """The progress of a request. A value is None if the provider does not report it.

    `failed`: the instances that could not be written.
    """

    result: Result
    status: MediaStatus | None
    info: str | None
    pieces: int | None
    failed: tuple[Reference, ...]


def get_result(exchange: Exchange, sop_instance_uid: str) -> Flow[MediaProgress]:
    """User side: gets the progress of a request by N-GET [PS3.4 S.3.2.4]. Raises `DataSetError`, too."""
    result = yield from n_get(exchange, MEDIA, sop_instance_uid, _RESULT)
    found = convert(amended(result.attributes, uids.EXPLICIT_VR_LE))
    known = {one.value: one for one in MediaStatus}
    pieces = found.get("TotalNumberOfPiecesOfMediaCreated")
    return MediaProgress(
        result=result,
        status=known.get(str(found.get("ExecutionStatus"))),
        info=found.get("ExecutionStatusInfo"),
        pieces=pieces if isinstance(pieces, int) else None,
        failed=tuple(
            Reference(str(one.get("ReferencedSOPClassUID")), str(one.get("ReferencedSOPInstanceUID")))
            for one in items_of(found, "FailedSOPSequence")
        ),
    )


_RESULT: Final = (0x21000020, 0x21000030, 0x2200000B, 0x00081198)


# -- provider side -------------------------------------------------------------------------------------------------


class Creating(NormalizedOperation):
    """Provider side: one operation. `work` or `get` applies it; then `grant` or `refuse` answers."""

    __slots__ = ()

    def work(
        self, discs: Mapping[str, Disc], *, new_uid: str | None = None, interruptible: bool = True
    ) -> Flow[Disc | None]:
        """Applies an N-CREATE or N-ACTION. Returns the request to keep, or None if it is to be forgotten.

        `discs`: the existing requests. `new_uid`: the UID of a new request if the user gives none. Raises `Refused`,
        and as `Exchange.step` does.
        """
        self.expect((NCreateRequest, NActionRequest), (MEDIA,), types=(INITIATE, CANCEL))
        dataset = yield from self.read()
        instance = self.sop_instance_uid or new_uid
        if instance is None:
            raise Refused(status.INVALID_SOP_INSTANCE, "no SOP Instance UID, and this provider makes none")
        if not isinstance(self.request, NActionRequest):
            return create(instance, dataset, exists=instance in discs)
        if self.request.action_type_id == INITIATE:
            return start(discs.get(instance), dataset)
        stop(discs.get(instance), interruptible=interruptible)
        return None

    def get(self, discs: Mapping[str, Disc]) -> Dataset:
        """Returns the known attributes that an N-GET asks for. Raises `Refused` 0x0112."""
        self.expect((NGetRequest,), (MEDIA,))
        return self.selected(_known(discs.get(self.sop_instance_uid or "")).dataset)
