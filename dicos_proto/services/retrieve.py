"""Retrieve: C-MOVE to a third application entity, C-GET to the requestor itself [PS3.4 C.4.2, C.4.3].

User side: `Move` follows the counters; `Get` gives each C-STORE sub-operation to the caller, who reads its data set and
answers it. Provider side: `Moving` and `Getting`, in `retrieve_provider`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..association import judge_of
from ..conversation.exchange import Exchange, complete, park, response_to
from ..conversation.flows import Flow, find_context
from ..conversation.invoking import UserOperation
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
    CMoveRequest,
    CStoreRequest,
    DimseResponse,
)
from ..errors import LocalProtocolError
from ..registry import status
from ..registry.status_tables import Category
from ..upper_layer.agreement import PresentationContext
from .retrieve_provider import Getting, MoveTask, Moving, RetrieveResponse
from .suboperations import MOST_COUNTED, Counters, SubOperation

__all__ = ["Counters", "Get", "Getting", "Move", "MoveTask", "Moving", "RetrieveResponse", "Retrieved", "SubOperation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieved:
    """The result of a C-GET or C-MOVE.

    `counters`: the last ones that the provider sent. `instances`: for a C-GET, the instances that were received, but no
    more than the first 65,535, which is as far as counters go. `failed`: the data set of the final response, with
    Failed SOP Instance UID List (0008,0058). `faults`: descriptions of counters that do not add up. `counted`: True if
    the final response has counters. It need not have them: then `counters` are those of the last pending response, and
    the status is more reliable [PS3.4 C.4.2.1.6].
    """

    response: DimseResponse
    counters: Counters
    instances: tuple[SubOperation, ...]
    failed: Attributes | None
    faults: tuple[str, ...]
    counted: bool = True

    @property
    def failed_instances(self) -> tuple[str, ...]:
        """The Failed SOP Instance UID List, empty if there is none. Raises `DataSetError` if it is invalid."""
        if self.failed is None:
            return ()
        value = value_of(self.failed.dataset, "FailedSOPInstanceUIDList") or ()
        uids = (value,) if isinstance(value, str) else value
        if not isinstance(uids, Sequence) or not all(isinstance(uid, str) for uid in uids):
            raise DataSetError("a FailedSOPInstanceUIDList that is not a list of UIDs [PS3.4 C.4.2.1.4.2]")
        return tuple(map(str, uids))


_DONE = ("completed", "failed", "warning")
_COUNTERS = ("remaining", *_DONE)


class _Retrieval:
    """The common part of `Move` and `Get`."""

    __slots__ = ("_came", "_counted", "_exchange", "_faults", "_instances", "_operation", "counters", "result")

    def __init__(
        self, exchange: Exchange, context: PresentationContext, request: AnyRequest, identifier: Content
    ) -> None:
        data = content(identifier, context.transfer_syntax)
        self._exchange = exchange
        self._operation = UserOperation(exchange, context.id, request, data)
        self._faults: list[str] = []
        self._instances: list[SubOperation] = []
        self._came = 0
        self._counted = False  # True if the final response has counters
        self.counters: Counters | None = None
        """The counters that the provider sent last, None before the first."""
        self.result: Retrieved | None = None
        """The result, None until the final response."""

    @property
    def response(self) -> DimseResponse | None:
        """The final response, None until it has come."""
        return None if self.result is None else self.result.response

    @property
    def message_id(self) -> int:
        """The message id of the request. The C-STOREs that a C-MOVE causes carry it as Move Originator Message ID."""
        return self._operation.request.message_id

    def cancel(self) -> None:
        """Asks the provider to stop; the final response still follows [PS3.7 9.3.3.3, 9.3.4.3]."""
        if self.result is None:
            self._operation.cancel()

    def _take(self, start: MessageStart) -> Flow[None]:
        """Reads a response and its counters. The final one ends the operation, even if its data set is too long."""
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
                del fault  # its traceback refers to this frame

    def _count(self, response: DimseResponse) -> None:
        """Notes the counters of a response. A final response may leave out any of them [PS3.4 C.4.2.1.6]."""
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
        # A failed or cancelled operation need not count sub-operations that it never began.
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
            if done < min(self._came, MOST_COUNTED):
                self._fault(f"{done} sub-operations counted, {self._came} instances received")
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
    """User side: one C-MOVE. The constructor sends the request; `next` returns the counters, then None."""

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

        Raises `ContextNotAccepted`, `DataSetError` or `LocalProtocolError` before anything is sent.
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
        """Returns the counters of the next pending response; None once `result` is set.

        Raises as `Exchange.step` does.
        """
        if self.result is None:
            yield from self._take((yield from self._operation.next()))
        return (self.counters or Counters()) if self.result is None else None


class Get(_Retrieval):
    """User side: one C-GET. The constructor sends the request; `next` returns the instances, then None.

    The local side must have negotiated the role of SCP for the storage SOP classes [PS3.7 D.3.3.4].
    """

    __slots__ = ("_storing",)

    def __init__(
        self, exchange: Exchange, sop_class_uid: str, identifier: Content, *, priority: int = PRIORITY_MEDIUM
    ) -> None:
        """Raises `ContextNotAccepted`, `DataSetError` or `LocalProtocolError` before anything is sent."""
        context = find_context(exchange.association, sop_class_uid)
        request = CGetRequest(
            message_id=exchange.association.operations.new_message_id(),
            affected_sop_class_uid=sop_class_uid,
            priority=priority,
        )
        super().__init__(exchange, context, request, identifier)
        self._storing: MessageStart | None = None

    def next(self) -> Flow[MessageStart | None]:
        """Returns the C-STORE-RQ of the next instance: read its data set (`conversation.next_piece`), then `answer` it.

        Returns None once `result` is set. A C-STORE-RQ that is still unanswered at the next call is refused with
        0x0110. Raises as `Exchange.step` does.
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
                case MessageStart(command=DimseResponse() as response) if (
                    response.message_id_being_responded_to == number
                ):
                    over = self._operation.note(response)
                    if over:  # it may arrive before the request is completely sent; the rest is still due
                        yield from complete(exchange)
                    yield from self._take(event)
                case None:
                    pass
                case _:
                    park(exchange, event)
        return None

    def answer(self, code: int = status.SUCCESS, comment: str | None = None) -> Flow[None]:
        """Answers the C-STORE-RQ that `next` returned last; the unread rest of its data set is skipped.

        Raises `LocalProtocolError` if there is no unanswered one.
        """
        start = self._storing
        if start is None or not isinstance(start.command, CStoreRequest):
            raise LocalProtocolError("no C-STORE sub-operation waits for an answer [PS3.4 C.4.3]")
        yield from skip_data(self._exchange)
        self._exchange.reply(response_to(start, code, comment))
        self._storing = None
        self._came += 1
        if self._came <= MOST_COUNTED:
            self._instances.append(
                SubOperation(
                    sop_class_uid=start.command.affected_sop_class_uid,
                    sop_instance_uid=start.command.affected_sop_instance_uid,
                    status=code,
                    comment=comment,
                )
            )
