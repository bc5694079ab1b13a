"""Unified procedure steps as values: the state table, and the effect of each operation on a step [PS3.4 annex CC].

`transition` is the state table; `create`, `change`, `cancel` and `modify` are pure functions over `Ups` values. The
flows in `ups` apply them to requests.

Knows: steps, their states, events to report. Must not know: associations, messages, subscribers.
Invariants: a step changes its state only as the table says; the data set of a step never holds its transaction UID.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Final

from ..registry import status, uids
from .serving import Needed, Refused, amended, require, text_of, uid_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PUSH, WATCH, PULL, EVENT, QUERY = uids.UPS_PUSH, uids.UPS_WATCH, uids.UPS_PULL, uids.UPS_EVENT, uids.UPS_QUERY
GLOBAL: Final = uids.UPS_GLOBAL_SUBSCRIPTION_INSTANCE
FILTERED_GLOBAL: Final = uids.UPS_FILTERED_GLOBAL_SUBSCRIPTION_INSTANCE

CHANGE_STATE, REQUEST_CANCEL, SUBSCRIBE, UNSUBSCRIBE, SUSPEND = 1, 2, 3, 4, 5
"""Action types [PS3.4 tables CC.2.1-1, CC.2.2-1, CC.2.3-1]."""
STATE_REPORT, CANCEL_REQUESTED, PROGRESS_REPORT, SCP_STATUS_CHANGE, ASSIGNED = 1, 2, 3, 4, 5
"""Event types [PS3.4 table CC.2.4-1]."""


class UPSState(Enum):
    """Procedure Step State (0074,1000) [PS3.4 table CC.1.1-1]."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"


_STATE: Final = 0x00741000
_TRANSACTION: Final = 0x00081195


# -- the state table -----------------------------------------------------------------------------------------------


class UPSEvent(Enum):
    """The rows of table CC.1.1-2. `..._WITHOUT`: the correct transaction UID was not given."""

    CREATE = "N-CREATE received for this SOP Instance UID"
    TO_IN_PROGRESS = "N-ACTION to change state to IN PROGRESS, with correct transaction UID"
    TO_IN_PROGRESS_WITHOUT = "N-ACTION to change state to IN PROGRESS, without correct transaction UID"
    TO_SCHEDULED = "N-ACTION to change state to SCHEDULED"
    TO_COMPLETED = "N-ACTION to change state to COMPLETED, with correct transaction UID"
    TO_COMPLETED_WITHOUT = "N-ACTION to change state to COMPLETED, without correct transaction UID"
    REQUEST_CANCEL = "N-ACTION to request cancel"
    TO_CANCELED = "N-ACTION to change state to CANCELED, with correct transaction UID"
    TO_CANCELED_WITHOUT = "N-ACTION to change state to CANCELED, without correct transaction UID"


@dataclass(frozen=True, slots=True)
class _Final:
    """A cell of the table: this state if the final state requirements are met, else 0xC304."""

    state: UPSState


_REPORT: Final = status.SUCCESS
"""Success without a change of state: the request to cancel is only reported."""
_SCHEDULED, _IN_PROGRESS, _CANCELED = UPSState.SCHEDULED, UPSState.IN_PROGRESS, UPSState.CANCELED
_DONE, _GIVEN_UP = _Final(UPSState.COMPLETED), _Final(UPSState.CANCELED)

UPSCell = UPSState | _Final | int

# fmt: off
TABLE: Final[dict[UPSEvent, tuple[UPSCell, UPSCell, UPSCell, UPSCell, UPSCell]]] = {  # PS3.4 table CC.1.1-2
    #                                null         SCHEDULED     IN PROGRESS  COMPLETED  CANCELED
    UPSEvent.CREATE:                 (_SCHEDULED, 0x0111,       0x0111,      0x0111,    0x0111),
    UPSEvent.TO_IN_PROGRESS:         (0xC307,     _IN_PROGRESS, 0xC302,      0xC300,    0xC300),
    UPSEvent.TO_IN_PROGRESS_WITHOUT: (0xC307,     0xC301,       0xC301,      0xC301,    0xC301),
    UPSEvent.TO_SCHEDULED:           (0xC307,     0xC303,       0xC303,      0xC303,    0xC303),
    UPSEvent.TO_COMPLETED:           (0xC307,     0xC310,       _DONE,       0xB306,    0xC300),
    UPSEvent.TO_COMPLETED_WITHOUT:   (0xC307,     0xC301,       0xC301,      0xC301,    0xC301),
    UPSEvent.REQUEST_CANCEL:         (0xC307,     _CANCELED,    _REPORT,     0xC311,    0xB304),
    UPSEvent.TO_CANCELED:            (0xC307,     0xC310,       _GIVEN_UP,   0xC300,    0xB304),
    UPSEvent.TO_CANCELED_WITHOUT:    (0xC307,     0xC301,       0xC301,      0xC301,    0xC301),
}
# fmt: on
_COLUMNS: Final = (None, *UPSState)

_EVENTS: Final = {
    (UPSState.SCHEDULED, False): UPSEvent.TO_SCHEDULED,
    (UPSState.SCHEDULED, True): UPSEvent.TO_SCHEDULED,
    (UPSState.IN_PROGRESS, True): UPSEvent.TO_IN_PROGRESS,
    (UPSState.IN_PROGRESS, False): UPSEvent.TO_IN_PROGRESS_WITHOUT,
    (UPSState.COMPLETED, True): UPSEvent.TO_COMPLETED,
    (UPSState.COMPLETED, False): UPSEvent.TO_COMPLETED_WITHOUT,
    (UPSState.CANCELED, True): UPSEvent.TO_CANCELED,
    (UPSState.CANCELED, False): UPSEvent.TO_CANCELED_WITHOUT,
}


def transition(state: UPSState | None, event: UPSEvent, *, final: bool = True) -> tuple[UPSState | None, int]:
    """Returns the state after an event, and the status that answers it. `state` None: there is no such step.

    `final`: True if the final state requirements are met.

    >>> transition(UPSState.IN_PROGRESS, UPSEvent.TO_COMPLETED, final=False) == (UPSState.IN_PROGRESS, 0xC304)
    True
    """
    cell = TABLE[event][_COLUMNS.index(state)]
    if isinstance(cell, int):
        return state, cell
    if isinstance(cell, UPSState):
        return cell, status.SUCCESS
    return (cell.state, status.SUCCESS) if final else (state, status.UPS_FINAL_STATE_REQUIREMENTS_NOT_MET)


# -- operations ----------------------------------------------------------------------------------------------------

# fmt: off
ON_CREATE: Final = (  # PS3.4 table CC.2.5-3, the attributes that every user must give
    Needed("ProcedureStepState",               1),
    Needed("ScheduledProcedureStepPriority",   1),
    Needed("ProcedureStepLabel",               1),
    Needed("WorklistLabel",                    2),
    Needed("ScheduledProcedureStepStartDateTime", 1),
    Needed("InputReadinessState",              1),
)
AT_COMPLETION: Final = (  # PS3.4 table CC.2.5-3, final state P
    Needed("UnifiedProcedureStepPerformedProcedureSequence", 1, (
        Needed("PerformedStationNameCodeSequence",     1),
        Needed("PerformedProcedureStepStartDateTime",  1),
        Needed("PerformedWorkitemCodeSequence",        1),
        Needed("PerformedProcedureStepEndDateTime",    1),
        Needed("OutputInformationSequence",            2),
    )),
)
AT_CANCELLATION: Final = (  # PS3.4 table CC.2.5-3, final state X
    Needed("ProcedureStepProgressInformationSequence", 1, (
        Needed("ProcedureStepCancellationDateTime",    1),
    )),
)
# fmt: on


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalState:
    """The attributes that are required in a final state; a provider may require fewer [PS3.4 CC.2.5.1.1]."""

    completed: tuple[Needed, ...] = AT_COMPLETION
    canceled: tuple[Needed, ...] = AT_CANCELLATION

    def missing(self, dataset: Dataset, state: UPSState) -> Refused | None:
        """Returns the refusal if attributes are missing for this state, else None."""
        try:
            require(dataset, self.completed if state is UPSState.COMPLETED else self.canceled)
        except Refused as refused:
            return refused
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ups:
    """A step as its provider knows it. `dataset`: all that others may see; it is never changed.

    `transaction_uid`: the UID under which the step was claimed, empty before. It is a secret of the claimant.
    """

    sop_instance_uid: str
    state: UPSState
    transaction_uid: str = field(default="", repr=False)
    dataset: Dataset = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UPSReport:
    """An event to report to the subscribers [PS3.4 CC.2.4]."""

    sop_instance_uid: str
    event_type_id: int
    dataset: Dataset = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UPSOutcome:
    """The effect of an operation: the step to keep, the status (success or a warning), the events to report."""

    ups: Ups
    code: int = status.SUCCESS
    reports: tuple[UPSReport, ...] = ()


def create(
    sop_instance_uid: str, attributes: Dataset, *, exists: bool = False, needed: tuple[Needed, ...] = ON_CREATE
) -> UPSOutcome:
    """Applies an N-CREATE [PS3.4 CC.2.5].

    Raises `Refused`: 0x0111 if `exists`, 0x0120 or 0x0121 if attributes or values are missing, 0xC309 for any other
    state than SCHEDULED.
    """
    _, code = transition(UPSState.SCHEDULED if exists else None, UPSEvent.CREATE)
    if code != status.SUCCESS:
        raise Refused(code, "a step with this SOP Instance UID exists")
    require(attributes, needed)
    if text_of(attributes, "ProcedureStepState") != UPSState.SCHEDULED.value:
        raise Refused(status.UPS_NOT_SCHEDULED, "a new step must be SCHEDULED", (_STATE,))
    dataset = amended(attributes, uids.EXPLICIT_VR_LE)
    dataset.pop("TransactionUID", None)
    ups = Ups(sop_instance_uid=sop_instance_uid, state=UPSState.SCHEDULED, dataset=dataset)
    return UPSOutcome(ups=ups, reports=(state_report(ups),))


def change(ups: Ups | None, information: Dataset, *, final: FinalState = FinalState()) -> UPSOutcome:
    """Applies an N-ACTION that changes the state. Raises `Refused` as the table says [PS3.4 CC.2.1]."""
    wanted = _wanted(information)
    given = uid_of(information, "TransactionUID")
    correct = bool(given) and (ups is None or given == (ups.transaction_uid or given))
    missing = None if ups is None else final.missing(ups.dataset, wanted)
    state, code = transition(None if ups is None else ups.state, _EVENTS[wanted, correct], final=missing is None)
    return _result(ups, state, code, given, missing if code == status.UPS_FINAL_STATE_REQUIREMENTS_NOT_MET else None)


def _wanted(information: Dataset) -> UPSState:
    try:
        return UPSState(text_of(information, "ProcedureStepState"))
    except ValueError:
        known = ", ".join(one.value for one in UPSState)
        raise Refused(status.INVALID_ARGUMENT_VALUE, f"state: {known}", (_STATE,)) from None


def cancel(ups: Ups | None, information: Dataset, *, now: str = "") -> UPSOutcome:
    """Applies an N-ACTION that requests a cancel. Raises `Refused` as the table says [PS3.4 CC.2.2].

    A step that nobody has claimed is canceled at once, at the time `now` (a DT value). For a step in progress, the
    request is only reported. A provider that performs the step itself may `change` it, or refuse with 0xC312 or 0xC313.
    """
    state, code = transition(None if ups is None else ups.state, UPSEvent.REQUEST_CANCEL)
    if ups is not None and ups.state is UPSState.IN_PROGRESS:
        given = amended(information, uids.EXPLICIT_VR_LE)
        report = UPSReport(sop_instance_uid=ups.sop_instance_uid, event_type_id=CANCEL_REQUESTED, dataset=given)
        return UPSOutcome(ups=ups, code=code, reports=(report,))
    if ups is None or state is ups.state:
        return _result(ups, state, code, "", None)
    claimed = _in_state(ups, UPSState.IN_PROGRESS)
    progress = amended(information, uids.EXPLICIT_VR_LE, ProcedureStepCancellationDateTime=now)
    canceled = _in_state(ups, UPSState.CANCELED)
    canceled = replace(
        canceled,
        dataset=amended(canceled.dataset, uids.EXPLICIT_VR_LE, ProcedureStepProgressInformationSequence=[progress]),
    )
    return UPSOutcome(ups=canceled, reports=(state_report(claimed), state_report(canceled)))


def modify(ups: Ups | None, modifications: Dataset) -> UPSOutcome:
    """Applies an N-SET. Raises `Refused`: 0xC307, 0xC300, 0xC301, 0xC310, 0x0105 [PS3.4 CC.2.6]."""
    if ups is None:
        raise Refused(status.UPS_NO_SUCH_INSTANCE, "no step with this SOP Instance UID")
    given = uid_of(modifications, "TransactionUID")
    if ups.state in (UPSState.COMPLETED, UPSState.CANCELED):
        raise Refused(status.UPS_NO_LONGER_UPDATABLE, f"the step is {ups.state.value}")
    if ups.state is UPSState.SCHEDULED and given:
        raise Refused(status.UPS_NOT_IN_PROGRESS, "a transaction UID for an unclaimed step", (_TRANSACTION,))
    if given != ups.transaction_uid:
        raise Refused(status.UPS_WRONG_TRANSACTION_UID, "not the transaction UID of this step", (_TRANSACTION,))
    if "ProcedureStepState" in modifications:
        raise Refused(status.NO_SUCH_ATTRIBUTE, "only N-ACTION can change the state", (_STATE,))
    changed = amended(modifications, uids.EXPLICIT_VR_LE)
    changed.pop("TransactionUID", None)
    dataset = amended(ups.dataset, uids.EXPLICIT_VR_LE)
    dataset.update(changed)
    reports = []
    for type_id, keywords in _REPORTED:
        found = _chosen(changed, keywords)
        if found:
            reports.append(UPSReport(sop_instance_uid=ups.sop_instance_uid, event_type_id=type_id, dataset=found))
    return UPSOutcome(ups=replace(ups, dataset=dataset), reports=tuple(reports))


_REPORTED: Final = (
    (PROGRESS_REPORT, ("ProcedureStepProgressInformationSequence",)),
    (ASSIGNED, ("ScheduledStationNameCodeSequence", "ScheduledHumanPerformersSequence")),
)
"""Event type, and the attributes whose modification it reports [PS3.4 table CC.2.4-1]."""


def _chosen(dataset: Dataset, keywords: tuple[str, ...]) -> Dataset:
    chosen = amended(None, uids.EXPLICIT_VR_LE)
    for one in keywords:
        if one in dataset:
            chosen.add(dataset[one])  # to set its value would make pydicom judge what the peer wrote, and warn
    return chosen


def _result(
    ups: Ups | None, state: UPSState | None, code: int, transaction: str, missing: Refused | None
) -> UPSOutcome:
    """Returns the outcome of a cell of the table. Raises `Refused` if it is a failure."""
    if ups is None or status.category(code) is status.Category.FAILURE:
        why = missing.comment if missing is not None else status.meaning(code, status.Service.UPS)
        raise Refused(code, why, missing.tags if missing is not None else ())
    if state is None or state is ups.state:
        return UPSOutcome(ups=ups, code=code)
    changed = replace(_in_state(ups, state), transaction_uid=transaction)
    return UPSOutcome(ups=changed, code=code, reports=(state_report(changed),))


def _in_state(ups: Ups, state: UPSState) -> Ups:
    dataset = amended(ups.dataset, uids.EXPLICIT_VR_LE, ProcedureStepState=state.value)
    return replace(ups, state=state, dataset=dataset)


def state_report(ups: Ups) -> UPSReport:
    """Returns the event that reports the state of a step [PS3.4 table CC.2.4-1]."""
    found = _chosen(ups.dataset, ("InputReadinessState", "ProcedureStepState"))
    return UPSReport(sop_instance_uid=ups.sop_instance_uid, event_type_id=STATE_REPORT, dataset=found)
