"""Unified procedure step: worklist items that are pushed, claimed, watched and done [PS3.4 annex CC].

User side: `create_ups`, `change_state`, `request_cancel`, `subscribe`, `unsubscribe`, `suspend`, `set_ups`, `get_ups`,
`find_ups`; `Happened` reads an event. Provider side: `transition` is the state table, `create`, `change`, `cancel` and
`modify` are what an operation makes of a step, pure functions over `Ups` values; `Working` applies them to a request,
`report` sends an event. The caller keeps the steps and who has subscribed.

Whatever was negotiated, commands name the UPS Push SOP class [PS3.4 CC.3.1].
Invariants: a step changes its state only as the table says; its transaction UID is told to nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Final

from ..conversation.exchange import Exchange
from ..conversation.flows import Flow, find_context
from ..data.datasets import Content
from ..dimse.types import NActionRequest, NCreateRequest, NEventReportRequest, NGetRequest, NSetRequest
from ..registry import status, uids
from .normalized import Result, n_action, n_create, n_event_report, n_get, n_set
from .query import Find
from .serving import Needed, Refused, Serving, amended, require, text_of, uid_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PUSH, WATCH, PULL, EVENT, QUERY = uids.UPS_PUSH, uids.UPS_WATCH, uids.UPS_PULL, uids.UPS_EVENT, uids.UPS_QUERY
GLOBAL: Final = uids.UPS_GLOBAL_SUBSCRIPTION_INSTANCE
FILTERED_GLOBAL: Final = uids.UPS_FILTERED_GLOBAL_SUBSCRIPTION_INSTANCE

CHANGE_STATE, REQUEST_CANCEL, SUBSCRIBE, UNSUBSCRIBE, SUSPEND = 1, 2, 3, 4, 5
"""Action types [PS3.4 tables CC.2.1-1, CC.2.2-1, CC.2.3-1]."""
STATE_REPORT, CANCEL_REQUESTED, PROGRESS_REPORT, SCP_STATUS_CHANGE, ASSIGNED = 1, 2, 3, 4, 5
"""Event types [PS3.4 table CC.2.4-1]."""

_CREATE, _GET, _SET = "N-CREATE", "N-GET", "N-SET"
# fmt: off
_CONTEXTS: Final[dict[str | int, tuple[str, ...]]] = {  # PS3.4 tables CC.2-1 to CC.2-5
    #               Push   Pull   Watch
    _CREATE:        (PUSH,             ),
    _GET:           (PUSH, PULL,  WATCH),
    _SET:           (      PULL,       ),
    CHANGE_STATE:   (      PULL,       ),
    REQUEST_CANCEL: (PUSH,        WATCH),
    SUBSCRIBE:      (             WATCH,),
    UNSUBSCRIBE:    (             WATCH,),
    SUSPEND:        (             WATCH,),
}
"""Operation, or type of action -> the abstract syntaxes of the contexts on which it is."""
# fmt: on


class State(Enum):
    """Procedure Step State (0074,1000) [PS3.4 table CC.1.1-1]."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"


_STATE: Final = 0x00741000
_TRANSACTION: Final = 0x00081195


# -- the state table -----------------------------------------------------------------------------------------------


class Event(Enum):
    """The rows of table CC.1.1-2. `WITHOUT_...`: the correct transaction UID was not given."""

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
    """If the final state requirements are met, this state; else 0xC304."""

    state: State


_REPORT: Final = status.SUCCESS
"""Report that an application entity requested a cancel."""
_SCHEDULED, _IN_PROGRESS, _CANCELED = State.SCHEDULED, State.IN_PROGRESS, State.CANCELED
_DONE, _GIVEN_UP = _Final(State.COMPLETED), _Final(State.CANCELED)

Cell = State | _Final | int

# fmt: off
TABLE: Final[dict[Event, tuple[Cell, Cell, Cell, Cell, Cell]]] = {  # PS3.4 table CC.1.1-2
    #                             null         SCHEDULED     IN PROGRESS  COMPLETED  CANCELED
    Event.CREATE:                 (_SCHEDULED, 0x0111,       0x0111,      0x0111,    0x0111),
    Event.TO_IN_PROGRESS:         (0xC307,     _IN_PROGRESS, 0xC302,      0xC300,    0xC300),
    Event.TO_IN_PROGRESS_WITHOUT: (0xC307,     0xC301,       0xC301,      0xC301,    0xC301),
    Event.TO_SCHEDULED:           (0xC307,     0xC303,       0xC303,      0xC303,    0xC303),
    Event.TO_COMPLETED:           (0xC307,     0xC310,       _DONE,       0xB306,    0xC300),
    Event.TO_COMPLETED_WITHOUT:   (0xC307,     0xC301,       0xC301,      0xC301,    0xC301),
    Event.REQUEST_CANCEL:         (0xC307,     _CANCELED,    _REPORT,     0xC311,    0xB304),
    Event.TO_CANCELED:            (0xC307,     0xC310,       _GIVEN_UP,   0xC300,    0xB304),
    Event.TO_CANCELED_WITHOUT:    (0xC307,     0xC301,       0xC301,      0xC301,    0xC301),
}
# fmt: on
_COLUMNS: Final = (None, *State)

_EVENTS: Final = {
    (State.SCHEDULED, False): Event.TO_SCHEDULED,
    (State.SCHEDULED, True): Event.TO_SCHEDULED,
    (State.IN_PROGRESS, True): Event.TO_IN_PROGRESS,
    (State.IN_PROGRESS, False): Event.TO_IN_PROGRESS_WITHOUT,
    (State.COMPLETED, True): Event.TO_COMPLETED,
    (State.COMPLETED, False): Event.TO_COMPLETED_WITHOUT,
    (State.CANCELED, True): Event.TO_CANCELED,
    (State.CANCELED, False): Event.TO_CANCELED_WITHOUT,
}


def transition(state: State | None, event: Event, *, final: bool = True) -> tuple[State | None, int]:
    """The state after an event, and the status that answers it; None: there is no such step.

    `final`: whether the final state requirements are met.

    >>> transition(State.IN_PROGRESS, Event.TO_COMPLETED, final=False) == (State.IN_PROGRESS, 0xC304)
    True
    """
    cell = TABLE[event][_COLUMNS.index(state)]
    if isinstance(cell, int):
        return state, cell
    if isinstance(cell, State):
        return cell, status.SUCCESS
    return (cell.state, status.SUCCESS) if final else (state, status.UPS_FINAL_STATE_REQUIREMENTS_NOT_MET)


# -- what an operation makes of a step -----------------------------------------------------------------------------

# fmt: off
ON_CREATE: Final = (  # PS3.4 table CC.2.5-3, what every user has to say
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
    """What has to be there in a final state; a provider may content itself with less [PS3.4 CC.2.5.1.1]."""

    completed: tuple[Needed, ...] = AT_COMPLETION
    canceled: tuple[Needed, ...] = AT_CANCELLATION

    def missing(self, dataset: Dataset, state: State) -> Refused | None:
        """What is missing for this state, if anything is."""
        try:
            require(dataset, self.completed if state is State.COMPLETED else self.canceled)
        except Refused as refused:
            return refused
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ups:
    """A step as its provider knows it. `dataset`: all that others may see; nobody changes it.

    `transaction_uid`: of whoever has claimed it, empty before.
    """

    sop_instance_uid: str
    state: State
    transaction_uid: str = field(default="", repr=False)
    dataset: Dataset = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """An event to report to those who have subscribed [PS3.4 CC.2.4]."""

    sop_instance_uid: str
    event_type_id: int
    dataset: Dataset = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an operation makes of a step: what to keep, what to answer (success or a warning), what to report."""

    ups: Ups
    code: int = status.SUCCESS
    reports: tuple[Report, ...] = ()


def create(
    sop_instance_uid: str, attributes: Dataset, *, exists: bool = False, needed: tuple[Needed, ...] = ON_CREATE
) -> Outcome:
    """N-CREATE. Raises `Refused`: 0x0111, 0x0120, 0x0121, 0xC309 for another state than SCHEDULED [PS3.4 CC.2.5]."""
    _, code = transition(State.SCHEDULED if exists else None, Event.CREATE)
    if code != status.SUCCESS:
        raise Refused(code, "a step with this SOP Instance UID exists")
    require(attributes, needed)
    if text_of(attributes, "ProcedureStepState") != State.SCHEDULED.value:
        raise Refused(status.UPS_NOT_SCHEDULED, "a step begins SCHEDULED", (_STATE,))
    dataset = amended(attributes, uids.EXPLICIT_VR_LE)
    dataset.pop("TransactionUID", None)
    ups = Ups(sop_instance_uid=sop_instance_uid, state=State.SCHEDULED, dataset=dataset)
    return Outcome(ups=ups, reports=(state_report(ups),))


def change(ups: Ups | None, information: Dataset, *, final: FinalState = FinalState()) -> Outcome:
    """N-ACTION, change UPS state. Raises `Refused`, as the table says [PS3.4 CC.2.1]."""
    wanted = _wanted(information)
    given = uid_of(information, "TransactionUID")
    correct = bool(given) and (ups is None or given == (ups.transaction_uid or given))
    missing = None if ups is None else final.missing(ups.dataset, wanted)
    state, code = transition(None if ups is None else ups.state, _EVENTS[wanted, correct], final=missing is None)
    return _result(ups, state, code, given, missing if code == status.UPS_FINAL_STATE_REQUIREMENTS_NOT_MET else None)


def _wanted(information: Dataset) -> State:
    try:
        return State(text_of(information, "ProcedureStepState"))
    except ValueError:
        known = ", ".join(one.value for one in State)
        raise Refused(status.INVALID_ARGUMENT_VALUE, f"state: {known}", (_STATE,)) from None


def cancel(ups: Ups | None, information: Dataset, *, now: str = "") -> Outcome:
    """N-ACTION, request UPS cancel. Raises `Refused`, as the table says [PS3.4 CC.2.2].

    A step that nobody has claimed is canceled at once, at the time `now` (a DT value); of one in progress the request
    is only reported. A provider that performs it itself may `change` it, or refuse: 0xC312, 0xC313.
    """
    state, code = transition(None if ups is None else ups.state, Event.REQUEST_CANCEL)
    if ups is not None and ups.state is State.IN_PROGRESS:
        given = amended(information, uids.EXPLICIT_VR_LE)
        report = Report(sop_instance_uid=ups.sop_instance_uid, event_type_id=CANCEL_REQUESTED, dataset=given)
        return Outcome(ups=ups, code=code, reports=(report,))
    if ups is None or state is ups.state:
        return _result(ups, state, code, "", None)
    claimed = _in_state(ups, State.IN_PROGRESS)
    progress = amended(information, uids.EXPLICIT_VR_LE, ProcedureStepCancellationDateTime=now)
    canceled = _in_state(ups, State.CANCELED)
    canceled = replace(
        canceled,
        dataset=amended(canceled.dataset, uids.EXPLICIT_VR_LE, ProcedureStepProgressInformationSequence=[progress]),
    )
    return Outcome(ups=canceled, reports=(state_report(claimed), state_report(canceled)))


def modify(ups: Ups | None, modifications: Dataset) -> Outcome:
    """N-SET. Raises `Refused`: 0xC307, 0xC300, 0xC301, 0xC310, 0x0105 [PS3.4 CC.2.6]."""
    if ups is None:
        raise Refused(status.UPS_NO_SUCH_INSTANCE, "no step with this SOP Instance UID")
    given = uid_of(modifications, "TransactionUID")
    if ups.state in (State.COMPLETED, State.CANCELED):
        raise Refused(status.UPS_NO_LONGER_UPDATABLE, f"the step is {ups.state.value}")
    if ups.state is State.SCHEDULED and given:
        raise Refused(status.UPS_NOT_IN_PROGRESS, "a transaction UID for a step nobody has claimed", (_TRANSACTION,))
    if given != ups.transaction_uid:
        raise Refused(status.UPS_WRONG_TRANSACTION_UID, "not the transaction UID of this step", (_TRANSACTION,))
    if "ProcedureStepState" in modifications:
        raise Refused(status.NO_SUCH_ATTRIBUTE, "the state is changed by N-ACTION", (_STATE,))
    changed = amended(modifications, uids.EXPLICIT_VR_LE)
    changed.pop("TransactionUID", None)
    dataset = amended(ups.dataset, uids.EXPLICIT_VR_LE)
    dataset.update(changed)
    reports = []
    for type_id, keywords in _REPORTED:
        found = _chosen(changed, keywords)
        if found:
            reports.append(Report(sop_instance_uid=ups.sop_instance_uid, event_type_id=type_id, dataset=found))
    return Outcome(ups=replace(ups, dataset=dataset), reports=tuple(reports))


_REPORTED: Final = (
    (PROGRESS_REPORT, ("ProcedureStepProgressInformationSequence",)),
    (ASSIGNED, ("ScheduledStationNameCodeSequence", "ScheduledHumanPerformersSequence")),
)
"""What is reported when it is set [PS3.4 table CC.2.4-1]."""


def _chosen(dataset: Dataset, keywords: tuple[str, ...]) -> Dataset:
    return amended(None, uids.EXPLICIT_VR_LE, **{one: dataset[one].value for one in keywords if one in dataset})


def _result(ups: Ups | None, state: State | None, code: int, transaction: str, missing: Refused | None) -> Outcome:
    """What the table said, as an outcome, or raised."""
    if ups is None or status.category(code) is status.Category.FAILURE:
        why = missing.comment if missing is not None else status.meaning(code, status.Service.UPS)
        raise Refused(code, why, missing.tags if missing is not None else ())
    if state is None or state is ups.state:
        return Outcome(ups=ups, code=code)
    changed = replace(_in_state(ups, state), transaction_uid=transaction)
    return Outcome(ups=changed, code=code, reports=(state_report(changed),))


def _in_state(ups: Ups, state: State) -> Ups:
    dataset = amended(ups.dataset, uids.EXPLICIT_VR_LE, ProcedureStepState=state.value)
    return replace(ups, state=state, dataset=dataset)


def state_report(ups: Ups) -> Report:
    """The event that says which state a step is in [PS3.4 table CC.2.4-1]."""
    found = _chosen(ups.dataset, ("InputReadinessState", "ProcedureStepState"))
    return Report(sop_instance_uid=ups.sop_instance_uid, event_type_id=STATE_REPORT, dataset=found)


# -- user side -----------------------------------------------------------------------------------------------------


def create_ups(exchange: Exchange, sop_instance_uid: str | None, attributes: Content) -> Flow[Result]:
    """User side: N-CREATE of a step, SCHEDULED whatever `attributes` says [PS3.4 CC.2.5].

    Raises as `normalized.n_create` does, and so do the other flows of this module.
    """
    syntax = find_context(exchange.association, PUSH).transfer_syntax
    given = amended(attributes, syntax, ProcedureStepState=State.SCHEDULED.value)
    return (yield from n_create(exchange, PUSH, sop_instance_uid, given))


def change_state(exchange: Exchange, sop_instance_uid: str, state: State, transaction_uid: str) -> Flow[Result]:
    """User side: claim a step (IN PROGRESS) under a new transaction UID, or end it under that [PS3.4 CC.2.1]."""
    given = amended(None, uids.EXPLICIT_VR_LE, TransactionUID=transaction_uid, ProcedureStepState=state.value)
    return (yield from _act(exchange, sop_instance_uid, CHANGE_STATE, given))


def request_cancel(exchange: Exchange, sop_instance_uid: str, information: Content | None = None) -> Flow[Result]:
    """User side: ask that a step of somebody else be canceled [PS3.4 CC.2.2]."""
    return (yield from _act(exchange, sop_instance_uid, REQUEST_CANCEL, information))


def subscribe(
    exchange: Exchange, receiving_aet: str, sop_instance_uid: str = GLOBAL, *, deletion_lock: bool = False,
    keys: Content | None = None,
) -> Flow[Result]:  # fmt: skip
    """User side: have the events of a step, or of all (`GLOBAL`, `FILTERED_GLOBAL` with `keys`), sent to this title
    [PS3.4 CC.2.3]."""
    syntax = _context(exchange, SUBSCRIBE)[1]
    given = amended(keys, syntax, ReceivingAE=receiving_aet, DeletionLock="TRUE" if deletion_lock else "FALSE")
    return (yield from _act(exchange, sop_instance_uid, SUBSCRIBE, given))


def unsubscribe(exchange: Exchange, receiving_aet: str, sop_instance_uid: str = GLOBAL) -> Flow[Result]:
    """User side: no more events of a step, or of any [PS3.4 CC.2.3]."""
    given = amended(None, uids.EXPLICIT_VR_LE, ReceivingAE=receiving_aet)
    return (yield from _act(exchange, sop_instance_uid, UNSUBSCRIBE, given))


def suspend(exchange: Exchange, receiving_aet: str, sop_instance_uid: str = GLOBAL) -> Flow[Result]:
    """User side: no events of steps that are created from now on [PS3.4 CC.2.3]."""
    given = amended(None, uids.EXPLICIT_VR_LE, ReceivingAE=receiving_aet)
    return (yield from _act(exchange, sop_instance_uid, SUSPEND, given))


def set_ups(
    exchange: Exchange, sop_instance_uid: str, modifications: Content, transaction_uid: str | None = None
) -> Flow[Result]:
    """User side: N-SET; of a step that is claimed only under its transaction UID [PS3.4 CC.2.6]."""
    negotiated, syntax = _context(exchange, _SET)
    claimed = {} if transaction_uid is None else {"TransactionUID": transaction_uid}
    given = amended(modifications, syntax, **claimed)
    return (yield from n_set(exchange, PUSH, sop_instance_uid, given, negotiated=negotiated))


def get_ups(exchange: Exchange, sop_instance_uid: str, tags: tuple[int, ...] | None = None) -> Flow[Result]:
    """User side: N-GET of a step, all of it or the attributes with these tags [PS3.4 CC.2.7]."""
    negotiated, _ = _context(exchange, _GET)
    return (yield from n_get(exchange, PUSH, sop_instance_uid, tags, negotiated=negotiated))


def find_ups(exchange: Exchange, identifier: Content, *, sop_class_uid: str = PULL) -> Find:
    """User side: C-FIND of steps, over UPS Pull, Watch or Query [PS3.4 CC.2.8]. Raises as `Find` does."""
    return Find(exchange, sop_class_uid, identifier)


def _act(exchange: Exchange, sop_instance_uid: str, action: int, information: Content | None) -> Flow[Result]:
    negotiated, _ = _context(exchange, action)
    return (yield from n_action(exchange, PUSH, sop_instance_uid, action, information, negotiated=negotiated))


def _context(exchange: Exchange, operation: str | int) -> tuple[str, str]:
    """Abstract and transfer syntax of a context for this operation. Raises `ContextNotAccepted`, of the first."""
    classes = _CONTEXTS[operation]
    usable = {one.abstract_syntax for one in exchange.association.contexts.values() if one.scu}
    found = find_context(exchange.association, next((one for one in classes if one in usable), classes[0]))
    return found.abstract_syntax, found.transfer_syntax


# -- provider side -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What an application entity asks to be told. `action`: `SUBSCRIBE`, `UNSUBSCRIBE`, `SUSPEND`.

    `sop_instance_uid`: a step, `GLOBAL` or `FILTERED_GLOBAL`; `keys`: the rest of the action information.
    """

    action: int
    sop_instance_uid: str
    receiving_aet: str
    deletion_lock: bool
    keys: Dataset = field(repr=False)


_Operations = tuple[type[NCreateRequest | NSetRequest | NGetRequest | NActionRequest], ...]


class Working(Serving):
    """Provider side: one operation on a step. `work`, `subscription` or `get` reads it, `grant` or `refuse` answers."""

    __slots__ = ()

    def work(
        self,
        steps: Mapping[str, Ups],
        *,
        new_uid: str | None = None,
        now: str = "",
        on_create: tuple[Needed, ...] = ON_CREATE,
        final: FinalState = FinalState(),
    ) -> Flow[Outcome]:
        """What N-CREATE, N-SET, change of state or request to cancel make of the `steps` that there are.

        The caller keeps `Outcome.ups`, answers with `grant(code=outcome.code)`, and sends the reports. `new_uid`: for a
        step whose user names none. `now`: a DT value. Raises `Refused`; as `Exchange.step` does.
        """
        self._expect((NCreateRequest, NSetRequest, NActionRequest), (CHANGE_STATE, REQUEST_CANCEL))
        dataset = yield from self.read()
        request, instance = self.request, self.sop_instance_uid or new_uid
        if instance is None:
            raise Refused(status.INVALID_SOP_INSTANCE, "no SOP Instance UID, and none is made here")
        ups = steps.get(instance)
        if isinstance(request, NCreateRequest):
            return create(instance, dataset, exists=ups is not None, needed=on_create)
        if isinstance(request, NSetRequest):
            return modify(ups, dataset)
        if isinstance(request, NActionRequest) and request.action_type_id == CHANGE_STATE:
            return change(ups, dataset, final=final)
        return cancel(ups, dataset, now=now)

    def subscription(self, steps: Mapping[str, Ups]) -> Flow[Subscription]:
        """Who subscribes to what, or no longer. Raises `Refused`: 0xC307, 0xC314, 0x0115 [PS3.4 CC.2.3]."""
        self._expect((NActionRequest,), (SUBSCRIBE, UNSUBSCRIBE, SUSPEND))
        dataset = yield from self.read()
        action, instance = getattr(self.request, "action_type_id", 0), self.sop_instance_uid or ""
        everything = instance in (GLOBAL, FILTERED_GLOBAL)
        if action == SUSPEND and not everything:
            raise Refused(status.UPS_ACTION_NOT_APPROPRIATE, "only a global subscription is suspended")
        if not everything and instance not in steps:
            raise Refused(status.UPS_NO_SUCH_INSTANCE, "no step with this SOP Instance UID")
        title, lock = text_of(dataset, "ReceivingAE"), text_of(dataset, "DeletionLock")
        if not title:
            raise Refused(status.INVALID_ARGUMENT_VALUE, "no Receiving AE", (0x00741234,))
        if action == SUBSCRIBE and lock not in ("TRUE", "FALSE"):
            raise Refused(status.INVALID_ARGUMENT_VALUE, "Deletion Lock: TRUE, FALSE", (0x00741230,))
        for keyword in ("ReceivingAE", "DeletionLock"):
            dataset.pop(keyword, None)
        return Subscription(
            action=action, sop_instance_uid=instance, receiving_aet=title, deletion_lock=lock == "TRUE", keys=dataset
        )

    def get(self, steps: Mapping[str, Ups]) -> Dataset:
        """The attributes that an N-GET asks for, as far as they are known. Raises `Refused` 0xC307 [PS3.4 CC.2.7]."""
        self._expect((NGetRequest,), ())
        ups = steps.get(self.sop_instance_uid or "")
        if ups is None:
            raise Refused(status.UPS_NO_SUCH_INSTANCE, "no step with this SOP Instance UID")
        return self.selected(ups.dataset)

    def _expect(self, operations: _Operations, types: tuple[int, ...]) -> None:
        """Raise `Refused` for what is not expected, and for what is not on a context of this kind."""
        self.expect(operations, (PUSH,), types=types)
        request = self.request
        operation = request.action_type_id if isinstance(request, NActionRequest) else request.NAME.removesuffix("-RQ")
        if self.context.abstract_syntax not in _CONTEXTS[operation]:
            wanted = " or ".join(map(uids.name_of, _CONTEXTS[operation]))
            raise Refused(status.UNRECOGNIZED_OPERATION, f"not on this context, but on {wanted}")


def report(exchange: Exchange, event: Report) -> Flow[Result]:
    """Provider side: N-EVENT-REPORT, to one that has subscribed [PS3.4 CC.2.4]."""
    return (
        yield from n_event_report(
            exchange, PUSH, event.sop_instance_uid, event.event_type_id, event.dataset, negotiated=EVENT
        )
    )


class Happened(Serving):
    """User side: one event. `read_report` gives it, `grant` or `refuse` answers."""

    __slots__ = ()

    def read_report(self) -> Flow[Report]:
        """The event. Raises `Refused` for what is none; as `Exchange.step` does."""
        types = (STATE_REPORT, CANCEL_REQUESTED, PROGRESS_REPORT, SCP_STATUS_CHANGE, ASSIGNED)
        self.expect((NEventReportRequest,), (PUSH,), types=types)
        dataset = yield from self.read()
        return Report(
            sop_instance_uid=self.sop_instance_uid or "",
            event_type_id=getattr(self.request, "event_type_id", 0),
            dataset=dataset,
        )
