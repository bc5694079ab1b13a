"""The provider's side of C-MOVE and C-GET [PS3.4 C.4.2, C.4.3].

`Moving` describes the outgoing association as a value (`MoveTask`) that the caller acts on; `Getting` sends the
instances on the same association, in the role of SCU that the user has granted. Both keep the counters, report them
after each instance, and check for a C-CANCEL between two instances.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..conversation.exchange import Exchange
from ..conversation.flows import Flow
from ..conversation.performing import respond
from ..conversation.reading import skip_data
from ..data.datasets import Content
from ..dimse.events import MessageStart
from ..dimse.types import CGetRequest, CGetResponse, CMoveRequest, CMoveResponse, comment_of
from ..registry import status
from ..registry.status_tables import Category
from ..upper_layer.pdu_types import AssociateRequest, ProposedContext, UserInformation
from .performing import ProviderOperation
from .storage import Instance, Outcome, StoreMany
from .suboperations import MOST_COUNTED, Counters, SubOperation

RetrieveResponse = CGetResponse | CMoveResponse


class _Retrieving(ProviderOperation):
    """The common part of `Getting` and `Moving`: the counters and the outcomes."""

    __slots__ = ("counters", "outcomes")

    def __init__(self, exchange: Exchange, start: MessageStart) -> None:
        super().__init__(exchange, start)
        self.counters = Counters()
        self.outcomes: list[SubOperation] = []
        """The outcome of each instance, and its reason."""

    def _begin(self, total: int) -> None:
        self.counters = Counters(remaining=total)

    def _record(self, outcome: Outcome) -> None:
        instance, response, problem = outcome.instance, outcome.response, outcome.problem
        done = SubOperation(  # not `outcome` itself, which holds the data set of the instance
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

    def report(self, code: int, comment: str | None = None) -> RetrieveResponse:
        """Returns the response with this status and the counters.

        Counters above 65,535 are clamped to it. Only pending and cancelled responses have the number of remaining
        sub-operations [PS3.4 C.4.2.1.6].
        """
        counters = self.counters
        make = CGetResponse if isinstance(self.request, CGetRequest) else CMoveResponse
        open_ = status.category(code) in (Category.PENDING, Category.CANCEL)
        return make(
            message_id_being_responded_to=self.request.message_id,
            affected_sop_class_uid=self.context.abstract_syntax,
            status=code,
            error_comment=None if comment is None else comment_of(comment),
            remaining=min(counters.remaining, MOST_COUNTED) if open_ else None,
            completed=min(counters.completed, MOST_COUNTED),
            failed=min(counters.failed, MOST_COUNTED),
            warning=min(counters.warning, MOST_COUNTED),
        )

    def end(self) -> Flow[int]:
        """Sends the final response, whose data set lists the instances that failed [PS3.4 C.4.2.1.4.2].

        Returns the status: success, cancelled, 0xB000 if some failed or had a warning, 0xA702 if all failed.
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
    """Provider side: one C-GET. `receive` returns the identifier, `send_all` sends the instances and ends it."""

    __slots__ = ()

    def send_all(self, instances: Iterable[Instance], total: int) -> Flow[int]:
        """Sends `instances`, `total` in all, then the final response. Returns the status of that response.

        As many C-STOREs are outstanding at once as the window allows. After each one, a pending response with the
        counters is sent. After a C-CANCEL, no other is begun. Raises as `Exchange.step` does.
        """
        exchange = self._exchange
        yield from skip_data(exchange)
        self._begin(total)
        stores = StoreMany(exchange, instances)
        while (outcome := (yield from stores.next())) is not None:
            self._record(outcome)
            report = self.report(status.PENDING)
            if (
                outcome.response is None and not exchange.association.operations.outstanding
            ):  # no response was waited for
                yield from respond(exchange, self.context.id, report)
            else:
                exchange.reply(MessageStart(context=self.context.id, command=report))
            if self.cancelled:
                stores.stop()
        return (yield from self.end())


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveTask:
    """The association that a C-MOVE provider has to open: a value. The caller knows the address of `destination`.

    `request`: the A-ASSOCIATE-RQ to send. `originator`: AE title and message id of the C-MOVE, which each C-STORE names
    as its cause (`storage.StoreMany`).
    """

    destination: str
    request: AssociateRequest
    originator: tuple[str, int]


class Moving(_Retrieving):
    """Provider side: one C-MOVE.

    `receive` returns the identifier; `task` describes the association to open; `begin` takes the number of instances;
    `record` reports the outcome of one to the user; `end` sends the final response. Call `finish(0xA801)` if the
    destination is unknown.
    """

    __slots__ = ()

    @property
    def destination(self) -> str:
        """The Move Destination, an AE title."""
        if not isinstance(self.request, CMoveRequest):
            raise TypeError(f"{self.request.NAME} has no destination")
        return self.request.move_destination

    def task(
        self, contexts: tuple[ProposedContext, ...], *, user_information: UserInformation | None = None
    ) -> MoveTask:
        """Returns the association to open for these contexts (`planning.plan`), requested by this application
        entity."""
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
        """Sets the number of sub-operations."""
        self._begin(total)

    def record(self, outcome: Outcome) -> Flow[bool]:
        """Counts the outcome of one instance and sends it to the user in a pending response.

        Returns True if the next instance is wanted, False after a C-CANCEL. Raises as `Exchange.step` does.
        """
        self._record(outcome)
        yield from self.answer(self.report(status.PENDING))
        return not self.cancelled


def _failed_list(uids: list[str]) -> Content:
    from pydicom.dataset import Dataset

    from ..data.writing import uid_element

    found = Dataset()
    found.add(uid_element("FailedSOPInstanceUIDList", uids))
    return found
