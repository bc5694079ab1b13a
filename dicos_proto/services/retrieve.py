"""Retrieve: C-MOVE to a third application, C-GET to whoever asks.  # PS3.4 C.4.2, C.4.3

User side: `Move` follows the counters; `Get` gives each C-STORE sub-operation to the caller, who reads its data set and
answers. Provider side: `Moving` describes the outgoing association as a value (`MoveTask`) that the caller acts on;
`Getting` sends the instances on the same association, in the other direction, in the role of an SCU that the user has
granted. Both count, tell and see a C-CANCEL between two instances.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..association import judge_of
from ..conversation.exchange import Exchange, response_to
from ..conversation.flows import Flow, find_context
from ..conversation.invoking import Operation
from ..conversation.performing import respond
from ..conversation.reading import (
    Answer,
    DataSetTooLong,
    read_answer,
    skip_data,
)
from ..data.datasets import Attributes, Content, DataSetError, content, value_of
from ..dimse.events import MessageStart
from ..dimse.types import (
    PRIORITY_MEDIUM,
    AnyRequest,
    CGetRequest,
    CGetResponse,
    CMoveRequest,
    CMoveResponse,
    CStoreRequest,
    Response,
    comment_of,
)
from ..errors import LocalProtocolError
from ..registry import status
from ..registry.status import Category
from ..upper_layer.agreement import PresentationContext
from ..upper_layer.pdu_types import AssociateRequest, ProposedContext, UserInformation
from .performing import Performing
from .storage import Instance, Outcome, StoreMany

Report = CGetResponse | CMoveResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """C-STORE sub-operations: how many remain, are completed, failed, completed with a warning.  # PS3.4 C.4.2.1.6"""

    remaining: int = 0
    completed: int = 0
    failed: int = 0
    warning: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.remaining + self.completed + self.failed + self.warning


@dataclass(frozen=True, slots=True, kw_only=True)
class SubOperation:
    """One C-STORE sub-operation: which instance, the status that was answered, and why, for people.

    `status` None: it was never sent; `comment` says what was proposed, what became of it, what to try.
    """

    sop_class_uid: str
    sop_instance_uid: str
    status: int | None
    comment: str | None = None

    @property
    def category(self) -> Category:
        """Success, warning or failure."""
        return Category.FAILURE if self.status is None else status.category(self.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieved:
    """How a C-GET or a C-MOVE ended.

    `counters`: the last ones the provider gave. `instances`: what came, for C-GET, the first
    65,535, which is as many as counters can say. `failed`: the data set of the final
    response, with Failed SOP Instance UID List (0008,0058). `faults`: counters that do not add up, in words.
    `counted`: whether the final response has counters. It need not: `counters` are those of the last pending response
    then, and say less than the status does.  # PS3.4 C.4.2.1.6
    """

    response: Response
    counters: Counters
    instances: tuple[SubOperation, ...]
    failed: Attributes | None
    faults: tuple[str, ...]
    counted: bool = True

    @property
    def failed_instances(self) -> tuple[str, ...]:
        """Failed SOP Instance UID List, none where there is none. Raises `DataSetError`."""
        if self.failed is None:
            return ()
        value = value_of(self.failed.dataset, "FailedSOPInstanceUIDList") or ()
        uids = (value,) if isinstance(value, str) else value
        if not isinstance(uids, Sequence) or not all(isinstance(uid, str) for uid in uids):
            raise DataSetError("a FailedSOPInstanceUIDList that is no list of UIDs [PS3.4 C.4.2.1.4.2]")
        return tuple(map(str, uids))


_MOST = 0xFFFF
"""The largest number of sub-operations that can be said.  # PS3.7 E.1 (0000,1020) to (0000,1023), VR US"""
_DONE = ("completed", "failed", "warning")
_COUNTERS = ("remaining", *_DONE)


class _Retrieval:
    """What the user's sides of both have in common."""

    __slots__ = ("_came", "_counted", "_exchange", "_faults", "_instances", "_operation", "counters", "result")

    def __init__(
        self, exchange: Exchange, context: PresentationContext, request: AnyRequest, identifier: Content
    ) -> None:
        data = content(identifier, context.transfer_syntax)
        self._exchange = exchange
        self._operation = Operation(exchange, context.id, request, data)
        self._faults: list[str] = []
        self._instances: list[SubOperation] = []
        self._came = 0
        self._counted = False  # whether the final response has counters
        self.counters: Counters | None = None
        """What the provider said last, None before."""
        self.result: Retrieved | None = None
        """Once it is over."""

    @property
    def message_id(self) -> int:
        """That of the request; of a C-MOVE it is also the Move Originator Message ID of what is sent for it."""
        return self._operation.request.message_id

    def cancel(self) -> None:
        """Ask the provider to stop; the final response still comes.  # PS3.7 9.3.3.3, 9.3.4.3"""
        if self.result is None:
            self._operation.cancel()

    def _take(self, start: MessageStart) -> Flow[None]:
        """A response: its counters, and the end if it is the final one, also where its data set is too long to hold."""
        fault: DataSetTooLong | None = None
        try:
            answer = yield from read_answer(self._exchange, start)
        except DataSetTooLong as error:
            fault = error
            answer = yield from read_answer(self._exchange, MessageStart(context=start.context, command=start.command))
        self._count(answer.response)
        if self._operation.over:
            self._end(answer)
        if fault is not None:
            try:
                raise fault
            finally:
                del fault  # its traceback has this frame

    def _count(self, response: Response) -> None:
        """Take note of the counters of a response, each of which may be left out of a final one.  # PS3.4 C.4.2.1.6"""
        over, ended_as = self._operation.over, status.category(response.status)
        given: dict[str, int] = {
            name: number for name in _COUNTERS if (number := getattr(response, name, None)) is not None
        }
        self._counted = over and "completed" in given
        if not given:
            return
        before = self.counters or Counters()
        done = {name: given.get(name, getattr(before, name)) for name in _DONE}
        left = 0 if over else max(0, before.total - sum(done.values()))
        now = Counters(remaining=given.get("remaining", left), **done)
        first, self.counters = self.counters is None, now
        if over and ended_as is Category.SUCCESS and now.remaining:
            self._fault(f"success with {now.remaining} sub-operations remaining")
        if first:
            return
        # What was not begun when it failed or was cancelled need not be counted any more.
        stopped = over and ended_as in (Category.CANCEL, Category.FAILURE)
        whole = all(name in given for name in _DONE)
        if whole and (now.total > before.total or (now.total < before.total and not stopped)):
            self._fault(f"{now.total} sub-operations in all after {before.total}")
        for name in _DONE:
            if getattr(now, name) < getattr(before, name):
                self._fault(f"{name} sub-operations {getattr(now, name)} after {getattr(before, name)}")
        if now.remaining > before.remaining:
            self._fault(f"remaining sub-operations {now.remaining} after {before.remaining}")

    def _fault(self, text: str) -> None:
        if len(self._faults) < _FAULTS_KEPT:
            self._faults.append(f"{self._operation.request.NAME}: {text} [PS3.4 C.4.2.1.6]")

    def _end(self, answer: Answer) -> None:
        counters = self.counters or Counters()
        if self._instances and self._counted:
            done = counters.completed + counters.failed + counters.warning
            if done < min(self._came, _MOST):
                self._fault(f"{done} sub-operations counted, {self._came} instances came")
        self.result = Retrieved(
            response=answer.response,
            counters=counters,
            instances=tuple(self._instances),
            failed=_failed(answer, self._exchange),
            faults=tuple(self._faults),
            counted=self._counted,
        )


def _failed(answer: Answer, exchange: Exchange) -> Attributes | None:
    if answer.data is None:
        return None
    return Attributes(answer.data, answer.transfer_syntax, judge_of(exchange.association))


_FAULTS_KEPT = 16


class Move(_Retrieval):
    """User side: one C-MOVE. Made, the request is sent; `next` gives the counters as they come, until None."""

    __slots__ = ()

    def __init__(
        self,
        exchange: Exchange,
        sop_class_uid: str,
        destination: str,
        identifier: Content,
        *,
        priority: int = PRIORITY_MEDIUM,
    ) -> None:
        """`destination`: the AE title to send to, which the provider has to know.

        Raises `ContextNotAccepted`, `DataSetError`, `LocalProtocolError`, and nothing was sent.
        """
        context = find_context(exchange.association, sop_class_uid)
        request = CMoveRequest(
            message_id=exchange.association.operations.new_message_id(),
            affected_sop_class_uid=sop_class_uid,
            move_destination=destination,
            priority=priority,
        )
        super().__init__(exchange, context, request, identifier)

    def next(self) -> Flow[Counters | None]:
        """The counters of the next pending response; None once `result` is there. Raises as `Exchange.step` does."""
        if self.result is None:
            yield from self._take((yield from self._operation.next()))
        return (self.counters or Counters()) if self.result is None else None


class Get(_Retrieval):
    """User side: one C-GET. Made, the request is sent; `next` gives the instances as they come, until None.

    The association has to give the local side the role of an SCP for the storage SOP classes.  # PS3.7 D.3.3.4
    """

    __slots__ = ("_storing",)

    def __init__(
        self, exchange: Exchange, sop_class_uid: str, identifier: Content, *, priority: int = PRIORITY_MEDIUM
    ) -> None:
        """Raises `ContextNotAccepted`, `DataSetError`, `LocalProtocolError`, and nothing was sent."""
        context = find_context(exchange.association, sop_class_uid)
        request = CGetRequest(
            message_id=exchange.association.operations.new_message_id(),
            affected_sop_class_uid=sop_class_uid,
            priority=priority,
        )
        super().__init__(exchange, context, request, identifier)
        self._storing: MessageStart | None = None

    def next(self) -> Flow[MessageStart | None]:
        """The C-STORE-RQ of the next instance: read its data set (`exchange.next_piece`), then `answer` it.

        One that was not answered when the next is asked for is refused, 0x0110. None once `result` is there. Raises as
        `Exchange.step` does.
        """
        if self._storing is not None:
            yield from self.answer(status.PROCESSING_FAILURE)
        exchange, number = self._exchange, self.message_id
        while self.result is None:
            event = yield from exchange.step(parked=False)
            match event:
                case MessageStart(command=CStoreRequest()):
                    self._storing = event
                    return event
                case MessageStart(command=Response() as response) if response.message_id_being_responded_to == number:
                    over = self._operation.note(response)
                    if over:  # it may come before the request is whole, which still has to become so
                        yield from exchange.complete()
                    yield from self._take(event)
                case None:
                    pass
                case _:
                    exchange.park(event)
        return None

    def answer(self, code: int = status.SUCCESS, comment: str | None = None) -> Flow[None]:
        """Answer the C-STORE-RQ that `next` gave last; what is unread of its data set is read over.

        Raises `LocalProtocolError` if there is none.
        """
        start = self._storing
        if start is None or not isinstance(start.command, CStoreRequest):
            raise LocalProtocolError("no C-STORE sub-operation waits for an answer [PS3.4 C.4.3]")
        yield from skip_data(self._exchange)
        self._exchange.reply(response_to(start, code, comment))
        self._storing = None
        self._came += 1
        if self._came <= _MOST:
            self._instances.append(
                SubOperation(
                    sop_class_uid=start.command.affected_sop_class_uid,
                    sop_instance_uid=start.command.affected_sop_instance_uid,
                    status=code,
                    comment=comment,
                )
            )


# -- provider side -------------------------------------------------------------------------------------------------


class _Retrieving(Performing):
    """What the provider's sides of both have in common: the counters, and what failed."""

    __slots__ = ("counters", "outcomes")

    def __init__(self, exchange: Exchange, start: MessageStart) -> None:
        super().__init__(exchange, start)
        self.counters = Counters()
        self.outcomes: list[SubOperation] = []
        """What became of each instance, and why."""

    def _begin(self, total: int) -> None:
        self.counters = Counters(remaining=total)

    def _record(self, outcome: Outcome) -> None:
        instance, response, problem = outcome.instance, outcome.response, outcome.problem
        done = SubOperation(  # not the outcome itself: it holds the instance's data set
            sop_class_uid=instance.sop_class_uid,
            sop_instance_uid=instance.sop_instance_uid,
            status=None if response is None else response.status,
            comment=str(problem) if response is None else response.error_comment,
        )
        self.outcomes.append(done)
        counters, kind = self.counters, done.category
        completed, warning = kind is Category.SUCCESS, kind is Category.WARNING
        self.counters = Counters(
            remaining=max(0, counters.remaining - 1),
            completed=counters.completed + completed,
            warning=counters.warning + warning,
            failed=counters.failed + (not completed and not warning),
        )

    def report(self, code: int, comment: str | None = None) -> Report:
        """The response with this status and the counters; the remaining ones only where the standard has them.

        More than can be said are said to be as many as can.

        They are there in pending and cancelled responses.  # PS3.4 C.4.2.1.6
        """
        counters = self.counters
        make = CGetResponse if isinstance(self.request, CGetRequest) else CMoveResponse
        open_ = status.category(code) in (Category.PENDING, Category.CANCEL)
        return make(
            message_id_being_responded_to=self.request.message_id,
            affected_sop_class_uid=self.context.abstract_syntax,
            status=code,
            error_comment=None if comment is None else comment_of(comment),
            remaining=min(counters.remaining, _MOST) if open_ else None,
            completed=min(counters.completed, _MOST),
            failed=min(counters.failed, _MOST),
            warning=min(counters.warning, _MOST),
        )

    def end(self) -> Flow[int]:
        """Send the final response; its status: success, cancelled, 0xB000 some failed, 0xA702 all failed.

        Its data set lists the instances that failed.  # PS3.4 C.4.2.1.4.2
        """
        counters = self.counters
        if self.cancelled:
            code = status.CANCEL
        elif counters.failed and not counters.completed + counters.warning:
            code = status.OUT_OF_RESOURCES_SUBOPERATIONS
        elif counters.failed or counters.warning:
            code = status.SUBOPERATIONS_WARNING
        else:
            code = status.SUCCESS
        failed = [one.sop_instance_uid for one in self.outcomes if one.category is Category.FAILURE]
        given = _failed_list(failed) if failed else None
        yield from self.answer(self.report(code), given)
        return code


class Getting(_Retrieving):
    """Provider side: one C-GET. `receive` gives the identifier, `send_all` sends the instances, `end` ends it."""

    __slots__ = ()

    def send_all(self, instances: Iterable[Instance], total: int) -> Flow[int]:
        """Send `instances`, `total` in all, as many at once as the window allows, then the final response; its status.

        After each a pending response with the counters. After a C-CANCEL none is begun. Raises as `Exchange.step`.
        """
        exchange = self._exchange
        yield from skip_data(exchange)
        self._begin(total)
        stores = StoreMany(exchange, instances)
        while (outcome := (yield from stores.next())) is not None:
            self._record(outcome)
            report = self.report(status.PENDING)
            if outcome.response is None and not exchange.association.operations.outstanding:  # nothing was waited for
                yield from respond(exchange, self.context.id, report)
            else:
                exchange.reply(MessageStart(context=self.context.id, command=report))
            if self.cancelled:
                stores.stop()
        return (yield from self.end())


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveTask:
    """The association that a C-MOVE asks its provider to make: a value; the caller knows where `destination` is.

    `request`: what to ask it with. `originator`: what each C-STORE on it says of its cause (`storage.StoreMany`).
    """

    destination: str
    request: AssociateRequest
    originator: tuple[str, int]


class Moving(_Retrieving):
    """Provider side: one C-MOVE.

    `receive` gives the identifier; `task` describes the association to make; `begin` says how many instances there are;
    `record` tells the user what became of one; `end` ends it. A destination that is not known: `finish(0xA801)`.
    """

    __slots__ = ()

    @property
    def destination(self) -> str:
        """Move Destination, an AE title."""
        if not isinstance(self.request, CMoveRequest):
            raise TypeError(f"{self.request.NAME} has no destination")
        return self.request.move_destination

    def task(
        self, contexts: tuple[ProposedContext, ...], *, user_information: UserInformation | None = None
    ) -> MoveTask:
        """The outgoing association for these contexts (`planning.plan`), in the name of this application entity."""
        asked = self._exchange.request
        return MoveTask(
            destination=self.destination,
            request=AssociateRequest(
                called_aet=self.destination,
                calling_aet=asked.called_aet,
                contexts=contexts,
                application_context=asked.application_context,
                user_information=user_information or UserInformation(),
            ),
            originator=(asked.calling_aet, self.request.message_id),
        )

    def begin(self, total: int) -> None:
        """There are `total` sub-operations to do."""
        self._begin(total)

    def record(self, outcome: Outcome) -> Flow[bool]:
        """Count what became of one instance, and tell the user; whether to go on: not after a C-CANCEL.

        Raises as `Exchange.step` does.
        """
        self._record(outcome)
        yield from self.answer(self.report(status.PENDING))
        return not self.cancelled


def _failed_list(uids: list[str]) -> Content:
    from pydicom.dataset import Dataset

    found = Dataset()
    found.FailedSOPInstanceUIDList = uids
    return found
