"""Storage commitment, push model: a provider takes over the responsibility for composite objects.  # PS3.4 annex J

User side: `request_commitment`; the report comes on the same association, even before the answer, or on another one
that the provider asks for with the roles reversed: `next_report` takes it from either. Provider side: `Committing`
reads and answers a request; `report_commitment` reports on the association at hand, `ReportTask` describes the other
one as a value that the caller acts on.

Knows: requests and reports as values. Must not know: who keeps what. Invariant: a reference that a request names is in
its report once, committed or failed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from .. import dimse
from ..conversation.exchange import Exchange, response_to
from ..conversation.flows import Flow, find_context
from ..conversation.invoking import Operation
from ..conversation.performing import next_request
from ..conversation.reading import skip_data
from ..data.datasets import Attributes, content
from ..dimse.events import MessageStart
from ..dimse.types import AnyResponse, CEchoRequest, NActionRequest, NEventReportRequest, Response
from ..errors import LocalProtocolError
from ..registry import status, uids
from ..registry.service_classes import Service
from ..upper_layer.negotiation import UNCOMPRESSED, propose
from ..upper_layer.pdu_types import AssociateRequest, RoleSelection, UserInformation
from ..upper_layer.policy import Roles
from .normalized import n_event_report
from .serving import Reference as Reference
from .serving import Refused, Serving, items_of, reference_to, references_in, text_of, uid_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PUSH_MODEL: Final = uids.STORAGE_COMMITMENT_PUSH_MODEL
INSTANCE: Final = uids.STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE

REQUEST: Final = 1  # action type.  # PS3.4 table J.3-1
SUCCESSFUL, FAILURES_EXIST = 1, 2  # event types.  # PS3.4 table J.3-2

ROLES: Final = {PUSH_MODEL: Roles(scu=True, scp=True)}
"""For the `AcceptPolicy` of a user who takes reports on associations that the provider asks for.  # PS3.4 J.2.1"""


class Failure(NamedTuple):
    """A composite object that is not committed, and Failure Reason (0008,1197).  # PS3.3 C.14.1.1"""

    reference: Reference
    reason: int

    @property
    def words(self) -> str:
        """`0x0112 No such SOP instance (failure)`."""
        return status.describe(self.reason, Service.STORAGE_COMMITMENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentRequest:
    """What a provider is asked to take over. `attributes`: as it came, media file-sets included."""

    transaction_uid: str
    references: tuple[Reference, ...]
    attributes: Attributes | None = field(default=None, repr=False, compare=False)

    def report(self, failed: Iterable[Failure] = (), *, retrieve_aet: str | None = None) -> CommitmentReport:
        """The report in which these failed and all others are committed. Raises `LocalProtocolError` for strangers."""
        failed = tuple(failed)
        gone = {one.reference for one in failed}
        if not gone <= set(self.references):
            raise LocalProtocolError("a failure of what the request does not name [PS3.4 J.3.3.1]")
        return CommitmentReport(
            transaction_uid=self.transaction_uid,
            committed=tuple(one for one in self.references if one not in gone),
            failed=failed,
            retrieve_aet=retrieve_aet,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentReport:
    """What the provider has taken over, and what not. `attributes`: as it came.

    `retrieve_aet`: where all that is committed can be retrieved, if the provider says so.
    """

    transaction_uid: str
    committed: tuple[Reference, ...]
    failed: tuple[Failure, ...] = ()
    retrieve_aet: str | None = None
    attributes: Attributes | None = field(default=None, repr=False, compare=False)

    @property
    def event_type_id(self) -> int:
        """1 if all is committed, 2 if failures exist.  # PS3.4 table J.3-2"""
        return FAILURES_EXIST if self.failed else SUCCESSFUL

    @property
    def dataset(self) -> Dataset:
        """The event information."""
        made = _information(self.transaction_uid, self.committed)
        if self.retrieve_aet is not None:
            made.RetrieveAETitle = self.retrieve_aet
        if self.failed:
            made.FailedSOPSequence = [_item(one.reference, one.reason) for one in self.failed]
        return made


def _information(transaction_uid: str, references: tuple[Reference, ...]) -> Dataset:
    from pydicom.dataset import Dataset

    made = Dataset()
    made.TransactionUID = transaction_uid
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
"""Reports that are none and told: a provider may send them without end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """The answer to a request, and the report of it if that came first.

    `response` of success: the request was received, nothing is committed yet.  # PS3.4 J.3.2.1.3. `refused`: reports
    that came meanwhile and were none, the first 16; each was answered so.
    """

    response: Response
    report: CommitmentReport | None = None
    refused: tuple[Refused, ...] = ()


def request_commitment(exchange: Exchange, transaction_uid: str, references: Iterable[Reference]) -> Flow[Requested]:
    """User side: ask the provider to commit to these objects, under a new UID by which its report is known.

    Raises `ContextNotAccepted`, `DataSetError`, `LocalProtocolError`, and nothing was sent; as `Exchange.step` does.
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
    operation = Operation(exchange, context.id, request, data)
    report: CommitmentReport | None = None
    refused: list[Refused] = []
    while True:
        event = yield from exchange.fresh()
        if isinstance(event, MessageStart) and isinstance(event.command, Response):
            operation.note(event.command)
            exchange.begin_reading(event)
            yield from skip_data(exchange)  # an action reply, which this SOP class does not have
            yield from exchange.complete()
            return Requested(response=event.command, report=report, refused=tuple(refused))
        elif isinstance(event, MessageStart) and report is None and _is_report(event):
            # Taken at once: the report of a large request is larger than what may wait (`Limits.parked`).
            exchange.begin_reading(event)
            try:
                report = yield from _take(Reported(exchange, event), (transaction_uid,))
            except Refused as fault:
                if len(refused) < _REFUSED_KEPT:
                    refused.append(fault.with_traceback(None))  # which has this frame
        elif event is not None:
            exchange.park(event)


class Reported(Serving):
    """User side: one report. `read_report` gives it as a value, `grant` or `refuse` answers it."""

    __slots__ = ()

    def reply(self, response: AnyResponse) -> Flow[None]:
        """Answer as soon as can be: the data set of a request may be on its way out, and its response on the way in."""
        yield from skip_data(self._exchange)
        self._exchange.reply(MessageStart(context=self.context.id, command=response))
        self.answered = True

    def read_report(self) -> Flow[CommitmentReport]:
        """The report. Raises `Refused` for what is none; as `Exchange.step` does."""
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
    """User side: the next report that comes on this association, whoever asked for it; it is answered.

    `transactions`: the transaction UIDs that are waited for; without, any will do. None: the peer has released the
    association. A C-ECHO is answered, other requests with 0x0211. Raises `Refused` for a report that is none, or of
    another transaction, which was answered so: the next may be better; `AssociationAborted`.
    """
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
            raise Refused(status.INVALID_ARGUMENT_VALUE, "a transaction nobody waits for", (0x00081195,))
    except Refused as fault:
        yield from reported.reply(reported.refusal(fault))
        raise
    yield from reported.reply(dimse.response_to(reported.request, status.SUCCESS))
    return report


# -- provider side -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTask:
    """The association on which a report is to be brought to `destination`: a value; the caller knows where that is.

    Ask it with `request`, in which the roles are reversed; then run `report_commitment(exchange, report)`.
    """

    destination: str
    request: AssociateRequest
    report: CommitmentReport


class Committing(Serving):
    """Provider side: one request. `read_request` gives it as a value, `grant` or `refuse` answers it.

    The report is another operation, for which the answer does not have to wait: nor may it be forgotten.
    """

    __slots__ = ()

    def read_request(self) -> Flow[CommitmentRequest]:
        """What is to be committed. Raises `Refused` for what cannot be processed; as `Exchange.step` does."""
        self.expect((NActionRequest,), (PUSH_MODEL,), instance=INSTANCE, types=(REQUEST,))
        dataset = yield from self.read()
        references = references_in(dataset, "ReferencedSOPSequence")
        if not references:
            raise Refused(status.INVALID_ARGUMENT_VALUE, "no references", (0x00081199,))
        if len(set(references)) < len(references):  # PS3.4 J.3.2.1.1.3
            raise Refused(status.INVALID_ARGUMENT_VALUE, "references that are there twice", (0x00081199,))
        return CommitmentRequest(
            transaction_uid=_transaction(dataset), references=references, attributes=self.attributes
        )

    def task(
        self, report: CommitmentReport, *, transfer_syntaxes: tuple[str, ...] = UNCOMPRESSED, max_length: int = 0
    ) -> ReportTask:
        """How to report on an association of its own, in the name of this application entity.

        `max_length`: bytes of a P-DATA-TF that this side will receive on it, 0 unlimited.
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


def report_commitment(exchange: Exchange, report: CommitmentReport) -> Flow[Response]:
    """Provider side: bring a report to the user, and its response; on either kind of association.

    Raises as `normalized.n_event_report` does: `ContextNotAccepted` where this side was not given the role of an SCP.
    """
    result = yield from n_event_report(exchange, PUSH_MODEL, INSTANCE, report.event_type_id, report.dataset)
    return result.response
