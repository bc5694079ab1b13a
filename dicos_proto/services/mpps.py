"""Modality performed procedure step: a modality reports the progress of a procedure step [PS3.4 F.7, F.8, F.9].

User side: `begin`, `update`, `complete`, `discontinue`; `retrieve` reads a step, `MPPSNotified` receives a
notification. Provider side: `create` and `change` are the rules, pure functions over `PerformedStep` values; `Stepping`
applies them to a request; `notify` sends a notification. The caller keeps the steps.

Invariant: a step that is completed or discontinued never changes again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from ..conversation.exchange import Exchange
from ..conversation.flows import Flow, find_context
from ..data.datasets import Content
from ..dimse.types import NCreateRequest, NEventReportRequest, NGetRequest, NSetRequest
from ..registry import status, uids
from .normalized import Result, n_create, n_event_report, n_get, n_set
from .serving import Needed, NormalizedOperation, Refused, amended, require, text_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MPPS: Final = uids.MODALITY_PERFORMED_PROCEDURE_STEP
RETRIEVE: Final = uids.MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE
NOTIFICATION: Final = uids.MODALITY_PERFORMED_PROCEDURE_STEP_NOTIFICATION


class MPPSState(Enum):
    """Performed Procedure Step Status (0040,0252) [PS3.4 table F.1-3]."""

    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    DISCONTINUED = "DISCONTINUED"


_STATUS: Final = 0x00400252
EVENT_TYPES: Final = {1: MPPSState.IN_PROGRESS, 2: MPPSState.COMPLETED, 3: MPPSState.DISCONTINUED}
"""Event types of the notification SOP class [PS3.4 table F.9.2-1]."""

# fmt: off
_SERIES: Final = (
    Needed("PerformingPhysicianName",                   2),
    Needed("ProtocolName",                              1),
    Needed("OperatorsName",                             2),
    Needed("SeriesInstanceUID",                         1),
    Needed("SeriesDescription",                         2),
    Needed("RetrieveAETitle",                           2),
    Needed("ReferencedImageSequence",                   2),
    Needed("ReferencedNonImageCompositeSOPInstanceSequence", 2),
)

ON_CREATE: Final = (  # PS3.4 table F.7.2-1, column N-CREATE
    Needed("ScheduledStepAttributesSequence",           1, (
        Needed("StudyInstanceUID",                      1),
        Needed("ReferencedStudySequence",               2),
        Needed("AccessionNumber",                       2),
        Needed("RequestedProcedureID",                  2),
        Needed("RequestedProcedureDescription",         2),
        Needed("ScheduledProcedureStepID",              2),
        Needed("ScheduledProcedureStepDescription",     2),
        Needed("ScheduledProtocolCodeSequence",         2),
    )),
    Needed("PatientName",                               2),
    Needed("PatientID",                                 2),
    Needed("PatientBirthDate",                          2),
    Needed("PatientSex",                                2),
    Needed("ReferencedPatientSequence",                 2),
    Needed("PerformedProcedureStepID",                  1),
    Needed("PerformedStationAETitle",                   1),
    Needed("PerformedStationName",                      2),
    Needed("PerformedLocation",                         2),
    Needed("PerformedProcedureStepStartDate",           1),
    Needed("PerformedProcedureStepStartTime",           1),
    Needed("PerformedProcedureStepStatus",              1),
    Needed("PerformedProcedureStepDescription",         2),
    Needed("PerformedProcedureTypeDescription",         2),
    Needed("ProcedureCodeSequence",                     2),
    Needed("PerformedProcedureStepEndDate",             2),
    Needed("PerformedProcedureStepEndTime",             2),
    Needed("Modality",                                  1),
    Needed("StudyID",                                   2),
    Needed("PerformedProtocolCodeSequence",             2),
    Needed("PerformedSeriesSequence",                   2, _SERIES),
)

AT_THE_END: Final = (  # PS3.4 table F.7.2-1, column final state
    Needed("PerformedProcedureStepEndDate",             1),
    Needed("PerformedProcedureStepEndTime",             1),
    Needed("PerformedSeriesSequence",                   1, _SERIES),
)
# fmt: on


# -- the rules -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformedStep:
    """A step as its provider knows it. `dataset`: all of its attributes; it is never changed."""

    sop_instance_uid: str
    state: MPPSState
    dataset: Dataset = field(repr=False)


def create(
    sop_instance_uid: str, attributes: Dataset, *, exists: bool = False, needed: tuple[Needed, ...] = ON_CREATE
) -> PerformedStep:
    """Returns the step that an N-CREATE makes.

    Raises `Refused`: 0x0111 if `exists`, 0x0120 or 0x0121 if attributes or values are missing, 0x0106 for any other
    state than IN PROGRESS. `needed`: the required attributes; a provider may require fewer [PS3.4 F.7.2.1.3].
    """
    if exists:
        raise Refused(status.DUPLICATE_SOP_INSTANCE, "a step with this SOP Instance UID exists")
    require(attributes, needed)
    if text_of(attributes, "PerformedProcedureStepStatus") != MPPSState.IN_PROGRESS.value:
        raise Refused(status.INVALID_ATTRIBUTE_VALUE, "a new step must be IN PROGRESS", (_STATUS,))
    return PerformedStep(sop_instance_uid=sop_instance_uid, state=MPPSState.IN_PROGRESS, dataset=attributes)


def change(
    step: PerformedStep | None, modifications: Dataset, *, needed: tuple[Needed, ...] = AT_THE_END
) -> PerformedStep:
    """Returns the step after an N-SET [PS3.4 F.7.2.2].

    Raises `Refused`: 0x0112 if `step` is None, which means that it does not exist; 0x0110 with error ID 0xA710 if it
    has ended; 0x0106 for an invalid state; 0x0120 or 0x0121 if it ends and attributes of `needed` are missing. These
    may have been set by an earlier request.
    """
    if step is None:
        raise Refused(status.NO_SUCH_SOP_INSTANCE, "no step with this SOP Instance UID")
    if step.state is not MPPSState.IN_PROGRESS:
        raise Refused(  # PS3.4 F.7.2.2.4
            status.PROCESSING_FAILURE,
            "Performed Procedure Step Object may no longer be updated",
            error_id=status.MPPS_NO_LONGER_UPDATABLE_ERROR_ID,
        )
    state = _state_in(modifications)
    dataset = amended(step.dataset, uids.EXPLICIT_VR_LE)
    dataset.update(modifications)
    if state is not MPPSState.IN_PROGRESS:
        require(dataset, needed)
    return PerformedStep(sop_instance_uid=step.sop_instance_uid, state=state, dataset=dataset)


def _state_in(modifications: Dataset) -> MPPSState:
    """Returns the new state of a step; IN PROGRESS if the request has none."""
    if "PerformedProcedureStepStatus" not in modifications:
        return MPPSState.IN_PROGRESS
    try:
        return MPPSState(text_of(modifications, "PerformedProcedureStepStatus"))
    except ValueError:
        known = ", ".join(one.value for one in MPPSState)
        raise Refused(status.INVALID_ATTRIBUTE_VALUE, f"status: {known}", (_STATUS,)) from None


# -- user side -----------------------------------------------------------------------------------------------------


def begin(exchange: Exchange, sop_instance_uid: str | None, attributes: Content) -> Flow[Result]:
    """User side: creates a step by N-CREATE. Its state is IN PROGRESS even if `attributes` has another.

    Raises as `normalized.n_create` does, and so do the other flows of this module.
    """
    given = _in_state(exchange, attributes, MPPSState.IN_PROGRESS)
    return (yield from n_create(exchange, MPPS, sop_instance_uid, given))


def update(exchange: Exchange, sop_instance_uid: str, modifications: Content) -> Flow[Result]:
    """User side: modifies a step by N-SET; it stays IN PROGRESS."""
    return (yield from n_set(exchange, MPPS, sop_instance_uid, modifications))


def complete(exchange: Exchange, sop_instance_uid: str, modifications: Content) -> Flow[Result]:
    """User side: ends a step by N-SET; it becomes COMPLETED. The attributes in `AT_THE_END` are required by then."""
    given = _in_state(exchange, modifications, MPPSState.COMPLETED)
    return (yield from n_set(exchange, MPPS, sop_instance_uid, given))


def discontinue(exchange: Exchange, sop_instance_uid: str, modifications: Content) -> Flow[Result]:
    """User side: ends a step by N-SET; it becomes DISCONTINUED. It requires the same attributes as `complete`."""
    given = _in_state(exchange, modifications, MPPSState.DISCONTINUED)
    return (yield from n_set(exchange, MPPS, sop_instance_uid, given))


def _in_state(exchange: Exchange, given: Content, state: MPPSState) -> Dataset:
    syntax = find_context(exchange.association, MPPS).transfer_syntax
    return amended(given, syntax, PerformedProcedureStepStatus=state.value)


def retrieve(exchange: Exchange, sop_instance_uid: str, tags: tuple[int, ...] | None = None) -> Flow[Result]:
    """User side: gets a step by N-GET: all attributes, or those with these tags [PS3.4 F.8]."""
    return (yield from n_get(exchange, RETRIEVE, sop_instance_uid, tags))


# -- provider side -------------------------------------------------------------------------------------------------


class Stepping(NormalizedOperation):
    """Provider side: one N-CREATE, N-SET or N-GET of a step.

    `step` applies the rules, `get` returns the attributes of an N-GET; then `grant` or `refuse` answers.
    """

    __slots__ = ()

    def step(
        self,
        steps: Mapping[str, PerformedStep],
        *,
        new_uid: str | None = None,
        on_create: tuple[Needed, ...] = ON_CREATE,
        at_the_end: tuple[Needed, ...] = AT_THE_END,
    ) -> Flow[PerformedStep]:
        """Returns the new or changed step; the caller keeps it, then answers.

        `new_uid`: the SOP Instance UID of a new step if the user leaves the choice to the provider; without it, such a
        request is refused. Raises `Refused`, and as `Exchange.step` does.
        """
        self.expect((NCreateRequest, NSetRequest), (MPPS,))
        dataset = yield from self.read()
        instance = self.sop_instance_uid or new_uid
        if instance is None:
            raise Refused(status.INVALID_SOP_INSTANCE, "no SOP Instance UID, and this provider makes none")
        if isinstance(self.request, NSetRequest):
            return change(steps.get(instance), dataset, needed=at_the_end)
        return create(instance, dataset, exists=instance in steps, needed=on_create)

    def get(self, steps: Mapping[str, PerformedStep]) -> Dataset:
        """Returns the known attributes that an N-GET asks for. Raises `Refused` 0x0112 [PS3.4 F.8.2]."""
        self.expect((NGetRequest,), (RETRIEVE,))
        step = steps.get(self.sop_instance_uid or "")
        if step is None:
            raise Refused(status.NO_SUCH_SOP_INSTANCE, "no step with this SOP Instance UID")
        return self.selected(step.dataset)


def notify(exchange: Exchange, step: PerformedStep) -> Flow[Result]:
    """Provider side: reports the new state of a step by N-EVENT-REPORT [PS3.4 F.9]."""
    (type_id,) = (number for number, state in EVENT_TYPES.items() if state is step.state)
    given = amended(None, uids.EXPLICIT_VR_LE, PerformedProcedureStepStatus=step.state.value)
    return (yield from n_event_report(exchange, NOTIFICATION, step.sop_instance_uid, type_id, given))


class MPPSNotified(NormalizedOperation):
    """User side: one notification. `state` returns the new state of the step, `grant` or `refuse` answers."""

    __slots__ = ()

    def state(self) -> MPPSState:
        """Returns the new state of the step. Raises `Refused` if the request is not a notification."""
        self.expect((NEventReportRequest,), (NOTIFICATION,), types=EVENT_TYPES)
        return EVENT_TYPES[getattr(self.request, "event_type_id", 0)]
