"""Storage commitment, push model: a provider takes over the responsibility for composite objects [PS3.4 annex J].

User side: `request_commitment` sends the request. The report arrives on the same association, perhaps even before the
response, or on another one that the provider requests with reversed roles: `next_report` receives it from either.
Provider side: `Committing` reads and answers a request; `report_commitment` sends the report on the current
association; `ReportTask` describes another association as a value that the caller acts on.

Knows: requests and reports as values. Must not know: where objects are stored. Invariant: each reference of a request
is in its report exactly once, as committed or failed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from .. import dimse
from ..arguments import one_for_many
from ..conversation.exchange import Exchange, begin_reading, complete, fresh, park, response_to
from ..conversation.flows import Flow, find_context
from ..conversation.invoking import UserOperation
from ..conversation.performing import next_request
from ..conversation.reading import skip_data
from ..data.datasets import Attributes, content
from ..dimse.events import MessageStart
from ..dimse.types import AnyResponse, CEchoRequest, DimseResponse, NActionRequest, NEventReportRequest
from ..errors import LocalProtocolError
from ..registry import status, uids
from ..registry.service_classes import Service
from ..upper_layer.negotiation import UNCOMPRESSED, propose
from ..upper_layer.pdu_types import AssociateRequest, RoleSelection, UserInformation
from ..upper_layer.policy import Roles
from .normalized import n_event_report
from .serving import NormalizedOperation, Refused, items_of, reference_to, references_in, text_of, uid_of
from .serving import Reference as Reference

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PUSH_MODEL: Final = uids.STORAGE_COMMITMENT_PUSH_MODEL
INSTANCE: Final = uids.STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE

REQUEST: Final = 1  # action type.  # PS3.4 table J.3-1
SUCCESSFUL, FAILURES_EXIST = 1, 2  # event types.  # PS3.4 table J.3-2

ROLES: Final = {PUSH_MODEL: Roles(scu=True, scp=True)}
"""Roles for the `AcceptPolicy` of a user who accepts reports on associations that the provider requests
[PS3.4 J.2.1]."""


class Failure(NamedTuple):
    """A composite object that is not committed, with its Failure Reason (0008,1197) [PS3.3 C.14.1.1]."""

    reference: Reference
    reason: int

    @property
    def words(self) -> str:
        """The reason in words: `0x0112 No such SOP instance (failure)`."""
        return status.describe(self.reason, Service.STORAGE_COMMITMENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentRequest:
    """A request to commit to instances. `attributes`: the data set as it was received, including media file-sets."""

    transaction_uid: str
    references: tuple[Reference, ...]
    attributes: Attributes | None = field(default=None, repr=False, compare=False)

    def report(self, failed: Iterable[Failure] = (), *, retrieve_aet: str | None = None) -> CommitmentReport:
        """Returns the report in which these failed and all others are committed.

        Raises `LocalProtocolError` if a failure is about an instance that the request does not name.
        """
        failed = tuple(failed)
        gone = {one.reference for one in failed}
        if not gone <= set(self.references):
            raise LocalProtocolError("a failure of an instance that the request does not name [PS3.4 J.3.3.1]")
        return CommitmentReport(
            transaction_uid=self.transaction_uid,
            committed=tuple(one for one in self.references if one not in gone),
            failed=failed,
            retrieve_aet=retrieve_aet,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentReport:
    """A report of the instances that are committed and of those that failed.

    `retrieve_aet`: the AE title from which all committed instances can be retrieved, if the provider names one.
    `attributes`: the data set as it was received.
    """

    transaction_uid: str
    committed: tuple[Reference, ...]
    failed: tuple[Failure, ...] = ()
    retrieve_aet: str | None = None
    attributes: Attributes | None = field(default=None, repr=False, compare=False)

    @property
    def event_type_id(self) -> int:
        """The event type: 1 if all instances are committed, 2 if failures exist [PS3.4 table J.3-2]."""
        return FAILURES_EXIST if self.failed else SUCCESSFUL

    @property
    def dataset(self) -> Dataset:
        """The event information of the N-EVENT-REPORT."""
        made = _information(self.transaction_uid, self.committed)
        if self.retrieve_aet is not None:
            made.RetrieveAETitle = self.retrieve_aet
        if self.failed:
            made.FailedSOPSequence = [_item(one.reference, one.reason) for one in self.failed]
        return made


def _information(transaction_uid: str, references: tuple[Reference, ...]) -> Dataset:
    from pydicom.dataset import Dataset

    from ..data.writing import uid_element

    made = Dataset()
    made.add(uid_element("TransactionUID", transaction_uid))
    if references:
        made.ReferencedSOPSequence = [reference_to(one) for one in references]
    return made


def _item(reference: Reference, reason: int) -> Dataset:
    made = reference_to(reference)
    made.FailureReason = reason
    return made


def _transaction(dataset: Dataset) -> str:
    transaction = uid_of(dataset, "TransactionUID")
    if not transaction:
        raise Refused(status.INVALID_ARGUMENT_VALUE, "no Transaction UID", (0x00081195,))
    return transaction


# -- user side -----------------------------------------------------------------------------------------------------

_REFUSED_KEPT: Final = 16
"""Refused reports that are kept, because a provider may send them without end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """The response to a request, and its report if that arrived first.

    `response`: success means that the request was received, not that anything is committed [PS3.4 J.3.2.1.3].
    `refused`: the first 16 invalid reports that arrived before the response; each was answered with its failure.
    """

    response: DimseResponse
    report: CommitmentReport | None = None
    refused: tuple[Refused, ...] = ()


def request_commitment(exchange: Exchange, transaction_uid: str, references: Iterable[Reference]) -> Flow[Requested]:
    """User side: asks the provider to commit to these objects, under a new UID that identifies the report.

    Raises `ContextNotAccepted`, `DataSetError` or `LocalProtocolError` before anything is sent, and as `Exchange.step`
    does.
    """
    references = tuple(references)
    if not references or len(set(references)) < len(references):
        raise LocalProtocolError(f"{len(references)} references; one or more, each once [PS3.4 J.3.2.1.1.3]")
    context = find_context(exchange.association, PUSH_MODEL)
    request = NActionRequest(
        message_id=exchange.association.operations.new_message_id(),
        requested_sop_class_uid=PUSH_MODEL,
        requested_sop_instance_uid=INSTANCE,
        action_type_id=REQUEST,
    )
    data = content(_information(transaction_uid, references), context.transfer_syntax)
    operation = UserOperation(exchange, context.id, request, data)
    report: CommitmentReport | None = None
    refused: list[Refused] = []
    while True:
        event = yield from fresh(exchange)
        if isinstance(event, MessageStart) and isinstance(event.command, DimseResponse):
            operation.note(event.command)
            begin_reading(exchange, event)
            yield from skip_data(exchange)  # an action reply, which this SOP class does not define
            yield from complete(exchange)
            return Requested(response=event.command, report=report, refused=tuple(refused))
        elif isinstance(event, MessageStart) and report is None and _is_report(event):
            # Read at once: the report of a large request is too large to be parked (`Limits.parked`).
            begin_reading(exchange, event)
            try:
                report = yield from _take(Reported(exchange, event), (transaction_uid,))
            except Refused as fault:
                if len(refused) < _REFUSED_KEPT:
                    refused.append(fault.with_traceback(None))  # its traceback refers to this frame
        elif event is not None:
            park(exchange, event)


class Reported(NormalizedOperation):
    """User side: one report. `read_report` returns it as a value, `grant` or `refuse` answers it."""

    __slots__ = ()

    def reply(self, response: AnyResponse) -> Flow[None]:
        """Queues the response without waiting: the local request may still be being sent, and its response arriving."""
        yield from skip_data(self._exchange)
        self._exchange.reply(MessageStart(context=self.context.id, command=response))
        self.answered = True

    def read_report(self) -> Flow[CommitmentReport]:
        """Returns the report. Raises `Refused` if it is invalid, and as `Exchange.step` does."""
        types = (SUCCESSFUL, FAILURES_EXIST)
        self.expect((NEventReportRequest,), (PUSH_MODEL,), instance=INSTANCE, types=types)
        dataset = yield from self.read()
        failed = references_in(dataset, "FailedSOPSequence")
        reasons = [item.get("FailureReason") for item in items_of(dataset, "FailedSOPSequence")]
        return CommitmentReport(
            transaction_uid=_transaction(dataset),
            committed=references_in(dataset, "ReferencedSOPSequence"),
            failed=tuple(
                Failure(one, reason if isinstance(reason, int) else status.PROCESSING_FAILURE)
                for one, reason in zip(failed, reasons, strict=True)
            ),
            retrieve_aet=text_of(dataset, "RetrieveAETitle") or None,
            attributes=self.attributes,
        )


def next_report(exchange: Exchange, transactions: Collection[str] | None = None) -> Flow[CommitmentReport | None]:
    """User side: returns the next report on this association, whichever side requested it. The report is answered.

    `transactions`: the transaction UIDs that are awaited; without it, any report is accepted. Returns None once the
    peer has released the association. A C-ECHO is answered with success, other requests with 0x0211. Raises `Refused`
    for a report that is invalid or belongs to another transaction, after it was answered with that failure: you can
    call this again. Raises `AssociationAborted`; TypeError for one UID in place of several.
    """
    if transactions is not None:
        one_for_many(transactions, "next_report(transactions={})", "UIDs")
    while (start := (yield from next_request(exchange))) is not None:
        if _is_report(start):
            return (yield from _take(Reported(exchange, start), transactions))
        yield from skip_data(exchange)
        echo = isinstance(start.command, CEchoRequest)
        exchange.reply(response_to(start, status.SUCCESS if echo else status.UNRECOGNIZED_OPERATION))
    return None


def _is_report(start: MessageStart) -> bool:
    command = start.command
    return isinstance(command, NEventReportRequest) and command.affected_sop_class_uid == PUSH_MODEL


def _take(reported: Reported, transactions: Collection[str] | None) -> Flow[CommitmentReport]:
    try:
        report = yield from reported.read_report()
        if transactions is not None and report.transaction_uid not in transactions:
            raise Refused(status.INVALID_ARGUMENT_VALUE, "a transaction that is not awaited", (0x00081195,))
    except Refused as fault:
        yield from reported.reply(reported.refusal(fault))
        raise
    yield from reported.reply(dimse.response_to(reported.request, status.SUCCESS))
    return report


# -- provider side -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTask:
    """The association on which to send a report to `destination`: a value. The caller knows the address of
    `destination`.

    Request the association with `request`, in which the roles are reversed; then run `report_commitment(exchange,
    report)`.
    """

    destination: str
    request: AssociateRequest
    report: CommitmentReport


class Committing(NormalizedOperation):
    """Provider side: one request. `read_request` returns it as a value, `grant` or `refuse` answers it.

    The report is an operation of its own. The answer need not wait for it, but the report must follow.
    """

    __slots__ = ()

    def read_request(self) -> Flow[CommitmentRequest]:
        """Returns the request. Raises `Refused` if it cannot be processed, and as `Exchange.step` does."""
        self.expect((NActionRequest,), (PUSH_MODEL,), instance=INSTANCE, types=(REQUEST,))
        dataset = yield from self.read()
        references = references_in(dataset, "ReferencedSOPSequence")
        if not references:
            raise Refused(status.INVALID_ARGUMENT_VALUE, "no references", (0x00081199,))
        if len(set(references)) < len(references):  # PS3.4 J.3.2.1.1.3
            raise Refused(status.INVALID_ARGUMENT_VALUE, "a reference that occurs twice", (0x00081199,))
        return CommitmentRequest(
            transaction_uid=_transaction(dataset), references=references, attributes=self.attributes
        )

    def task(
        self, report: CommitmentReport, *, transfer_syntaxes: tuple[str, ...] = UNCOMPRESSED, max_length: int = 0
    ) -> ReportTask:
        """Returns the task to send the report on a new association, requested by this application entity.

        `max_length`: the Maximum Length, in bytes, that this side will accept on it; 0 is unlimited.
        """
        asked = self._exchange.request
        return ReportTask(
            destination=asked.calling_aet,
            request=AssociateRequest(
                called_aet=asked.calling_aet,
                calling_aet=asked.called_aet,
                contexts=propose((PUSH_MODEL,), transfer_syntaxes),
                application_context=asked.application_context,
                user_information=UserInformation(
                    max_length=max_length,
                    roles=(RoleSelection(sop_class_uid=PUSH_MODEL, scu=False, scp=True),),  # PS3.4 J.2.1
                ),
            ),
            report=report,
        )


def report_commitment(exchange: Exchange, report: CommitmentReport) -> Flow[DimseResponse]:
    """Provider side: sends a report to the user and returns the response, on either kind of association.

    Raises as `normalized.n_event_report` does: `ContextNotAccepted` if this side does not have the role of SCP.
    """
    result = yield from n_event_report(exchange, PUSH_MODEL, INSTANCE, report.event_type_id, report.dataset)
    return result.response
