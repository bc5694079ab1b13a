"""A provider of every service, as one flow: what a user's hostile bytes reach, and what answers a user in memory.

Knows: the provider sides of `dicos_proto.services`. Must not know: how bytes travel, oracles.

Invariants: all that it keeps is bounded, as in a real application; a request that it refuses is answered; it raises
only what `Exchange.step` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, Final, TypeVar

from dicos_proto.association import Association, judge_of
from dicos_proto.conversation.exchange import Exchange
from dicos_proto.conversation.flows import Flow, Need, answer, await_request, finish
from dicos_proto.conversation.performing import next_request
from dicos_proto.conversation.reading import DataSetTooLong
from dicos_proto.data.checker import Checker
from dicos_proto.data.datasets import Attributes, DataSetError, convert
from dicos_proto.dimse.events import MessageStart
from dicos_proto.dimse.types import (
    CEchoRequest,
    CFindRequest,
    CGetRequest,
    CMoveRequest,
    CStoreRequest,
    NGetRequest,
)
from dicos_proto.registry import status, uids
from dicos_proto.services import availability, commitment, media, mpps, printing, ups
from dicos_proto.services.performing import ProviderOperation
from dicos_proto.services.query import Finding
from dicos_proto.services.retrieve import Getting, Moving
from dicos_proto.services.serving import NormalizedOperation, Refused
from dicos_proto.services.storage import Instance, Outcome
from dicos_proto.upper_layer.pdu_types import AssociateReject, OperationsWindow
from dicos_proto.upper_layer.policy import AcceptPolicy, Roles

from .seeds import CT, ELEMENTS, EXPLICIT, IMPLICIT

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["POLICY", "Provider"]

_BOTH: Final = Roles(scu=True, scp=True)
POLICY: Final = AcceptPolicy(
    other_contexts=(EXPLICIT, IMPLICIT, uids.DEFLATED_EXPLICIT_VR_LE),
    window=OperationsWindow(invoked=4, performed=4),
    roles=dict.fromkeys((CT, commitment.PUSH_MODEL, mpps.NOTIFICATION, ups.EVENT, printing.GRAYSCALE), _BOTH),
    peer_max_length=8,
)
_KEPT: Final = 20
"""Instances of a service that are kept: more are refused."""

T = TypeVar("T")


class Provider:
    """The data that one application keeps. `serve` is the flow of one association."""

    def __init__(self) -> None:
        self.stored: list[tuple[str, str, bytes]] = []
        """SOP class, instance and data set of each C-STORE, before it is answered with success."""
        self.served = 0
        self._steps: dict[str, mpps.PerformedStep] = {}
        self._ups: dict[str, ups.Ups] = {}
        self._discs: dict[str, media.Disc] = {}
        self._film = printing.Film()
        self._uids: Iterator[str] = (f"1.2.9.{number}" for number in count())

    def serve(self, association: Association) -> Flow[None]:
        """Answers the A-ASSOCIATE-RQ and every request until the user releases."""
        asked = yield from await_request(association)
        if isinstance(answer(association, asked, POLICY), AssociateReject):
            yield from finish(association)
            return
        exchange = Exchange(association)
        while (start := (yield from next_request(exchange))) is not None:
            yield from self._perform(exchange, start)
            self.served += 1

    def _perform(self, exchange: Exchange, start: MessageStart) -> Flow[None]:
        match start.command:
            case CEchoRequest():
                yield from ProviderOperation(exchange, start).finish(status.SUCCESS)
            case CStoreRequest():
                yield from self._store(exchange, start)
            case CFindRequest():
                yield from self._find(Finding(exchange, start))
            case CGetRequest():
                yield from self._get(Getting(exchange, start))
            case CMoveRequest():
                yield from self._move(Moving(exchange, start))
            case _:
                yield from self._normalized(exchange, start)

    def _store(self, exchange: Exchange, start: MessageStart) -> Flow[None]:
        operation, request = ProviderOperation(exchange, start), start.command
        if not isinstance(request, CStoreRequest):
            return
        checker = Checker.of(
            operation.context.transfer_syntax,
            request.affected_sop_class_uid,
            request.affected_sop_instance_uid,
            exchange.association.terms.limits,
        )
        whole = bytearray()
        code = status.SUCCESS
        try:
            for piece in operation.pieces():
                if isinstance(piece, Need):
                    yield piece
                    continue
                whole += piece
                if checker is not None:
                    checker.feed(piece)
            if checker is not None:
                checker.finish()
        except DataSetError as fault:
            code = fault.store_status
        if code == status.SUCCESS and len(self.stored) < _KEPT:
            self.stored.append((request.affected_sop_class_uid, request.affected_sop_instance_uid, bytes(whole)))
        yield from operation.finish(code)

    def _identifier(self, operation: ProviderOperation) -> Flow[Attributes | None]:
        """The identifier of a query, checked; None if it was refused."""
        try:
            found = yield from operation.receive()
            if found is None:
                raise DataSetError("no identifier")
            convert(found.dataset)
        except (DataSetError, DataSetTooLong) as fault:
            yield from operation.finish(0xA900, str(fault))
            return None
        return found

    def _find(self, finding: Finding) -> Flow[None]:
        identifier = yield from self._identifier(finding)
        if identifier is not None:
            match = Attributes(ELEMENTS, EXPLICIT, judge_of(finding._exchange.association))
            yield from finding.send_all((identifier, identifier.dataset, match))

    def _get(self, getting: Getting) -> Flow[None]:
        identifier = yield from self._identifier(getting)
        if identifier is not None:
            syntaxes = (EXPLICIT, EXPLICIT, uids.JPEG_BASELINE)
            instances = (
                Instance(
                    sop_class_uid=CT, sop_instance_uid=f"1.2.3.{number}", transfer_syntax=syntax, data=[ELEMENTS] * 3
                )
                for number, syntax in enumerate(syntaxes)
            )
            yield from getting.send_all(instances, len(syntaxes))

    def _move(self, moving: Moving) -> Flow[None]:
        identifier = yield from self._identifier(moving)
        if identifier is None:
            return
        if moving.destination != "THIRD":
            yield from moving.finish(status.MOVE_DESTINATION_UNKNOWN)
            return
        moving.task(())
        moving.begin(2)
        for number in range(2):
            instance = Instance(
                sop_class_uid=CT, sop_instance_uid=f"1.2.{number}", transfer_syntax=EXPLICIT, data=ELEMENTS
            )
            if not (yield from moving.record(Outcome(instance=instance))):
                break
        yield from moving.end()

    def _normalized(self, exchange: Exchange, start: MessageStart) -> Flow[None]:
        operation = NormalizedOperation(exchange, start)
        services = {
            commitment.PUSH_MODEL: self._commit,
            mpps.MPPS: self._step,
            mpps.RETRIEVE: self._step,
            media.MEDIA: self._disc,
            availability.NOTIFICATION: self._available,
            **dict.fromkeys((ups.PUSH, ups.PULL, ups.WATCH), self._work),
            **dict.fromkeys((*printing.META, printing.PRINTER, printing.PRESENTATION_LUT), self._print),
        }
        perform = services.get(operation.context.abstract_syntax)
        try:
            if perform is None:
                raise Refused(status.NO_SUCH_SOP_CLASS, "no service of this SOP class")
            yield from perform(exchange, start)
        except Refused as refused:
            yield from operation.refuse(refused)
        except DataSetError as fault:  # of what was to be answered
            yield from operation.finish(status.PROCESSING_FAILURE, str(fault))

    def _commit(self, exchange: Exchange, start: MessageStart) -> Flow[None]:
        committing = commitment.Committing(exchange, start)
        request = yield from committing.read_request()
        yield from committing.grant()
        yield from commitment.report_commitment(
            exchange, request.report([commitment.Failure(request.references[0], status.NO_SUCH_SOP_INSTANCE)])
        )

    def _step(self, exchange: Exchange, start: MessageStart) -> Flow[None]:
        stepping = mpps.Stepping(exchange, start)
        if isinstance(start.command, NGetRequest):
            yield from stepping.grant(stepping.get(self._steps))
            return
        step = yield from stepping.step(self._steps, new_uid=next(self._uids))
        self._keep(self._steps, step.sop_instance_uid, step)
        yield from stepping.grant(sop_instance_uid=step.sop_instance_uid)

    def _work(self, exchange: Exchange, start: MessageStart) -> Flow[None]:
        working = ups.Working(exchange, start)
        if isinstance(start.command, NGetRequest):
            yield from working.grant(working.get(self._ups))
            return
        if working.context.abstract_syntax == ups.WATCH and getattr(start.command, "action_type_id", 0) != 2:
            yield from working.subscription(self._ups)
            yield from working.grant()
            return
        outcome = yield from working.work(self._ups, new_uid=next(self._uids), final=ups.FinalState())
        self._keep(self._ups, outcome.ups.sop_instance_uid, outcome.ups)
        yield from working.grant(code=outcome.code, sop_instance_uid=outcome.ups.sop_instance_uid)

    def _disc(self, exchange: Exchange, start: MessageStart) -> Flow[None]:
        creating = media.Creating(exchange, start)
        if isinstance(start.command, NGetRequest):
            yield from creating.grant(creating.get(self._discs))
            return
        disc = yield from creating.work(self._discs, new_uid=next(self._uids))
        if disc is None:
            self._discs.pop(creating.sop_instance_uid or "", None)
        else:
            self._keep(self._discs, disc.sop_instance_uid, disc)
        yield from creating.grant(sop_instance_uid=None if disc is None else disc.sop_instance_uid)

    def _available(self, exchange: Exchange, start: MessageStart) -> Flow[None]:
        notified = availability.AvailabilityNotified(exchange, start)
        yield from notified.read_notification()
        yield from notified.grant(sop_instance_uid=next(self._uids))

    def _print(self, exchange: Exchange, start: MessageStart) -> Flow[None]:
        printing_ = printing.Printing(exchange, start)
        done = yield from printing_.work(self._film, self._uids, _printer())
        if len(done.film.boxes) + len(done.film.luts) > _KEPT:
            raise Refused(status.RESOURCE_LIMITATION, "no more film boxes")
        self._film = done.film
        yield from printing_.grant(done.dataset, code=done.code, sop_instance_uid=done.sop_instance_uid)

    @staticmethod
    def _keep(kept: dict[str, T], instance: str, value: T) -> None:
        if len(kept) >= _KEPT and instance not in kept:
            raise Refused(status.RESOURCE_LIMITATION, "no more instances")
        kept[instance] = value


def _printer() -> Dataset:
    from pydicom.dataset import Dataset

    made = Dataset()
    made.PrinterStatus, made.PrinterName = "NORMAL", "FILMER"
    return made
