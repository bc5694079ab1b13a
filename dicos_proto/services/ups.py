"""Unified procedure step: worklist items that are pushed, claimed, watched and done [PS3.4 annex CC].

User side: `create_ups`, `change_state`, `request_cancel`, `subscribe`, `unsubscribe`, `suspend`, `set_ups`, `get_ups`,
`find_ups`; `Happened` reads an event. Provider side: `Working` applies the rules of `ups_steps` to a request, `report`
sends an event. The caller keeps the steps and the subscriptions.

On every presentation context, commands name the UPS Push SOP class [PS3.4 CC.3.1].
Invariant: the transaction UID of a step is never sent to anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ..conversation.exchange import Exchange
from ..conversation.flows import Flow, find_context
from ..data.datasets import Content
from ..dimse.types import NActionRequest, NCreateRequest, NEventReportRequest, NGetRequest, NSetRequest
from ..registry import status, uids
from .normalized import Result, n_action, n_create, n_event_report, n_get, n_set
from .query import Find
from .serving import Needed, NormalizedOperation, Refused, amended, text_of
from .ups_steps import (
    ASSIGNED,
    AT_CANCELLATION,
    AT_COMPLETION,
    CANCEL_REQUESTED,
    CHANGE_STATE,
    EVENT,
    FILTERED_GLOBAL,
    GLOBAL,
    ON_CREATE,
    PROGRESS_REPORT,
    PULL,
    PUSH,
    QUERY,
    REQUEST_CANCEL,
    SCP_STATUS_CHANGE,
    STATE_REPORT,
    SUBSCRIBE,
    SUSPEND,
    TABLE,
    UNSUBSCRIBE,
    WATCH,
    FinalState,
    Ups,
    UPSCell,
    UPSEvent,
    UPSOutcome,
    UPSReport,
    UPSState,
    cancel,
    change,
    create,
    modify,
    state_report,
    transition,
)

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = [
    "ASSIGNED",
    "AT_CANCELLATION",
    "AT_COMPLETION",
    "CANCEL_REQUESTED",
    "CHANGE_STATE",
    "EVENT",
    "FILTERED_GLOBAL",
    "GLOBAL",
    "ON_CREATE",
    "PROGRESS_REPORT",
    "PULL",
    "PUSH",
    "QUERY",
    "REQUEST_CANCEL",
    "SCP_STATUS_CHANGE",
    "STATE_REPORT",
    "SUBSCRIBE",
    "SUSPEND",
    "TABLE",
    "UNSUBSCRIBE",
    "WATCH",
    "UPSCell",
    "UPSEvent",
    "FinalState",
    "Happened",
    "UPSOutcome",
    "UPSReport",
    "UPSState",
    "Subscription",
    "Ups",
    "Working",
    "cancel",
    "change",
    "change_state",
    "create",
    "create_ups",
    "find_ups",
    "get_ups",
    "modify",
    "report",
    "request_cancel",
    "set_ups",
    "state_report",
    "subscribe",
    "suspend",
    "transition",
    "unsubscribe",
]

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
"""Operation, or type of action -> the abstract syntaxes of the contexts on which it is allowed."""
# fmt: on


# -- user side -----------------------------------------------------------------------------------------------------


def create_ups(exchange: Exchange, sop_instance_uid: str | None, attributes: Content) -> Flow[Result]:
    """User side: creates a step by N-CREATE. Its state is SCHEDULED even if `attributes` has another [PS3.4 CC.2.5].

    Raises as `normalized.n_create` does, and so do the other flows of this module.
    """
    syntax = find_context(exchange.association, PUSH).transfer_syntax
    given = amended(attributes, syntax, ProcedureStepState=UPSState.SCHEDULED.value)
    return (yield from n_create(exchange, PUSH, sop_instance_uid, given))


def change_state(exchange: Exchange, sop_instance_uid: str, state: UPSState, transaction_uid: str) -> Flow[Result]:
    """User side: claims a step (IN PROGRESS) under a new transaction UID, or ends it under that UID [PS3.4 CC.2.1]."""
    given = amended(None, uids.EXPLICIT_VR_LE, TransactionUID=transaction_uid, ProcedureStepState=state.value)
    return (yield from _act(exchange, sop_instance_uid, CHANGE_STATE, given))


def request_cancel(exchange: Exchange, sop_instance_uid: str, information: Content | None = None) -> Flow[Result]:
    """User side: asks the performer of a step to cancel it [PS3.4 CC.2.2]."""
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
    """User side: ends the subscription to a step, or to all steps [PS3.4 CC.2.3]."""
    given = amended(None, uids.EXPLICIT_VR_LE, ReceivingAE=receiving_aet)
    return (yield from _act(exchange, sop_instance_uid, UNSUBSCRIBE, given))


def suspend(exchange: Exchange, receiving_aet: str, sop_instance_uid: str = GLOBAL) -> Flow[Result]:
    """User side: suspends a global subscription for steps that are created from now on [PS3.4 CC.2.3]."""
    given = amended(None, uids.EXPLICIT_VR_LE, ReceivingAE=receiving_aet)
    return (yield from _act(exchange, sop_instance_uid, SUSPEND, given))


def set_ups(
    exchange: Exchange, sop_instance_uid: str, modifications: Content, transaction_uid: str | None = None
) -> Flow[Result]:
    """User side: modifies a step by N-SET. A claimed step needs its transaction UID [PS3.4 CC.2.6]."""
    negotiated, syntax = _context(exchange, _SET)
    claimed = {} if transaction_uid is None else {"TransactionUID": transaction_uid}
    given = amended(modifications, syntax, **claimed)
    return (yield from n_set(exchange, PUSH, sop_instance_uid, given, negotiated=negotiated))


def get_ups(exchange: Exchange, sop_instance_uid: str, tags: tuple[int, ...] | None = None) -> Flow[Result]:
    """User side: gets a step by N-GET: all attributes, or those with these tags [PS3.4 CC.2.7]."""
    negotiated, _ = _context(exchange, _GET)
    return (yield from n_get(exchange, PUSH, sop_instance_uid, tags, negotiated=negotiated))


def find_ups(exchange: Exchange, identifier: Content, *, sop_class_uid: str = PULL) -> Find:
    """User side: searches for steps by C-FIND, with UPS Pull, Watch or Query [PS3.4 CC.2.8]. Raises as `Find` does."""
    return Find(exchange, sop_class_uid, identifier)


def _act(exchange: Exchange, sop_instance_uid: str, action: int, information: Content | None) -> Flow[Result]:
    negotiated, _ = _context(exchange, action)
    return (yield from n_action(exchange, PUSH, sop_instance_uid, action, information, negotiated=negotiated))


def _context(exchange: Exchange, operation: str | int) -> tuple[str, str]:
    """Returns abstract and transfer syntax of a context for this operation.

    Raises `ContextNotAccepted`, for the first abstract syntax on which it is allowed, if there is no such context.
    """
    classes = _CONTEXTS[operation]
    usable = {one.abstract_syntax for one in exchange.association.contexts.values() if one.scu}
    found = find_context(exchange.association, next((one for one in classes if one in usable), classes[0]))
    return found.abstract_syntax, found.transfer_syntax


# -- provider side -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A request for events by an application entity. `action`: `SUBSCRIBE`, `UNSUBSCRIBE` or `SUSPEND`.

    `sop_instance_uid`: a step, `GLOBAL` or `FILTERED_GLOBAL`; `keys`: the rest of the action information.
    """

    action: int
    sop_instance_uid: str
    receiving_aet: str
    deletion_lock: bool
    keys: Dataset = field(repr=False)


_Operations = tuple[type[NCreateRequest | NSetRequest | NGetRequest | NActionRequest], ...]


class Working(NormalizedOperation):
    """Provider side: one operation on a step. `work`, `subscription` or `get` reads it, `grant` or `refuse` answers."""

    __slots__ = ()

    def work(
        self,
        steps: Mapping[str, Ups],
        *,
        new_uid: str | None = None,
        now: str = "",
        on_create: tuple[Needed, ...] = ON_CREATE,
        final: FinalState = FinalState(),  # noqa: B008  a frozen value
    ) -> Flow[UPSOutcome]:
        """Applies an N-CREATE, an N-SET, a change of state or a request to cancel to the existing `steps`.

        The caller keeps `UPSOutcome.ups`, answers with `grant(code=outcome.code)`, and sends the reports. `new_uid`:
        the UID of a new step if the user gives none. `now`: a DT value. Raises `Refused`, and as `Exchange.step` does.
        """
        self._expect((NCreateRequest, NSetRequest, NActionRequest), (CHANGE_STATE, REQUEST_CANCEL))
        dataset = yield from self.read()
        request, instance = self.request, self.sop_instance_uid or new_uid
        if instance is None:
            raise Refused(status.INVALID_SOP_INSTANCE, "no SOP Instance UID, and this provider makes none")
        ups = steps.get(instance)
        if isinstance(request, NCreateRequest):
            return create(instance, dataset, exists=ups is not None, needed=on_create)
        if isinstance(request, NSetRequest):
            return modify(ups, dataset)
        if isinstance(request, NActionRequest) and request.action_type_id == CHANGE_STATE:
            return change(ups, dataset, final=final)
        return cancel(ups, dataset, now=now)

    def subscription(self, steps: Mapping[str, Ups]) -> Flow[Subscription]:
        """Returns the subscription that the request asks for. Raises `Refused`: 0xC307, 0xC314, 0x0115 [PS3.4
        CC.2.3]."""
        self._expect((NActionRequest,), (SUBSCRIBE, UNSUBSCRIBE, SUSPEND))
        dataset = yield from self.read()
        action, instance = getattr(self.request, "action_type_id", 0), self.sop_instance_uid or ""
        everything = instance in (GLOBAL, FILTERED_GLOBAL)
        if action == SUSPEND and not everything:
            raise Refused(status.UPS_ACTION_NOT_APPROPRIATE, "only a global subscription can be suspended")
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
        """Returns the known attributes that an N-GET asks for. Raises `Refused` 0xC307 [PS3.4 CC.2.7]."""
        self._expect((NGetRequest,), ())
        ups = steps.get(self.sop_instance_uid or "")
        if ups is None:
            raise Refused(status.UPS_NO_SUCH_INSTANCE, "no step with this SOP Instance UID")
        return self.selected(ups.dataset)

    def _expect(self, operations: _Operations, types: tuple[int, ...]) -> None:
        """Raises `Refused` for any other operation, and for an operation on a context on which it is not allowed."""
        self.expect(operations, (PUSH,), types=types)
        request = self.request
        operation = request.action_type_id if isinstance(request, NActionRequest) else request.NAME.removesuffix("-RQ")
        if self.context.abstract_syntax not in _CONTEXTS[operation]:
            wanted = " or ".join(map(uids.name_of, _CONTEXTS[operation]))
            raise Refused(status.UNRECOGNIZED_OPERATION, f"not on this context, but on {wanted}")


def report(exchange: Exchange, event: UPSReport) -> Flow[Result]:
    """Provider side: sends an event to a subscriber by N-EVENT-REPORT [PS3.4 CC.2.4]."""
    return (
        yield from n_event_report(
            exchange, PUSH, event.sop_instance_uid, event.event_type_id, event.dataset, negotiated=EVENT
        )
    )


class Happened(NormalizedOperation):
    """User side: one event. `read_report` returns it, `grant` or `refuse` answers it."""

    __slots__ = ()

    def read_report(self) -> Flow[UPSReport]:
        """Returns the event. Raises `Refused` if it is not a valid one, and as `Exchange.step` does."""
        types = (STATE_REPORT, CANCEL_REQUESTED, PROGRESS_REPORT, SCP_STATUS_CHANGE, ASSIGNED)
        self.expect((NEventReportRequest,), (PUSH,), types=types)
        dataset = yield from self.read()
        return UPSReport(
            sop_instance_uid=self.sop_instance_uid or "",
            event_type_id=getattr(self.request, "event_type_id", 0),
            dataset=dataset,
        )
