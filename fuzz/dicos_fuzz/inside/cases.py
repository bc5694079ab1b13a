"""Users of every service, as flows, and the bytes of both sides of their conversations with a good provider.

Knows: the user sides of `dicos_proto.services`. Must not know: oracles, mutations.

The bytes are recorded from two engines in memory: what the users send is where a hostile user begins, what the provider
answers is where a hostile provider begins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from dicos_proto.association import Association
from dicos_proto.conversation import flows
from dicos_proto.conversation.exchange import Exchange
from dicos_proto.conversation.flows import Flow
from dicos_proto.conversation.performing import next_request
from dicos_proto.conversation.reading import read_data
from dicos_proto.data.datasets import convert
from dicos_proto.limits import Limits
from dicos_proto.registry import uids
from dicos_proto.services import availability, commitment, media, mpps, printing, ups
from dicos_proto.services.query import Find
from dicos_proto.services.retrieve import Get, Move
from dicos_proto.services.serving import Needed, Reference, Refused
from dicos_proto.services.storage import Instance, StoreMany, store
from dicos_proto.services.verification import echo
from dicos_proto.upper_layer.negotiation import propose, propose_roles
from dicos_proto.upper_layer.pdu_types import AssociateRequest, OperationsWindow, UserInformation

from ..faults.memory import Side, converse
from .provider import Provider
from .recorder import Recorder
from .seeds import CT, ELEMENTS, EXPLICIT, FIND, GET, IMPLICIT

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["CASES", "LIMITS", "Case", "recorded"]

MOVE: Final = uids.STUDY_ROOT_MOVE
LIMITS: Final = Limits(peer_max_length=8)
"""The limits of users: providers that take short messages only are welcome."""
_REFERENCE: Final = Reference(CT, "1.2.3.4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A user: its name, the SOP classes that it proposes, and what it does on an established association."""

    name: str
    classes: tuple[str, ...]
    use: Callable[[Exchange], Flow[Any]]
    window: int = 1
    roles: tuple[str, ...] = ()
    syntaxes: tuple[str, ...] = (EXPLICIT, IMPLICIT)

    @property
    def request(self) -> AssociateRequest:
        """The A-ASSOCIATE-RQ."""
        window = None if self.window == 1 else OperationsWindow(invoked=self.window, performed=self.window)
        return AssociateRequest(
            called_aet="PROVIDER",
            calling_aet="USER",
            contexts=propose(self.classes, self.syntaxes),
            user_information=UserInformation(
                max_length=1024, window=window, roles=propose_roles(self.roles, scu=True, scp=True)
            ),
        )

    def run(self, association: Association) -> Flow[Any]:
        """The whole flow: waits for the answer, uses the association, releases it. Raises as its parts do."""
        yield from flows.establish(association)
        found = yield from self.use(Exchange(association))
        yield from flows.release(association)
        return found


# -- data sets ---------------------------------------------------------------------------------------------------


def _data_set(**values: object) -> Dataset:
    from pydicom.dataset import Dataset

    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


_VALUES: Final = {"UI": "1.2.3", "DA": "20260101", "TM": "101010", "DT": "20260101101010", "IS": "1", "US": 1}


def _filled(needed: tuple[Needed, ...], **values: object) -> Dataset:
    """A data set with the attributes that a service requires, with a value where one is required."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    made = _data_set()
    for one in needed:
        vr = dictionary_VR(tag_for_keyword(one.keyword) or 0)
        if vr == "SQ":
            setattr(made, one.keyword, [_filled(one.items)] if one.items or one.type == 1 else [])
        else:
            setattr(made, one.keyword, _VALUES.get(vr, "TEXT") if one.type == 1 else "")
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


# -- users -------------------------------------------------------------------------------------------------------


def _store(exchange: Exchange) -> Flow[Any]:
    pieces = [ELEMENTS * 9, b"", ELEMENTS[:31], ELEMENTS[31:]]
    return (yield from store(exchange, CT, "1.2.3.4", EXPLICIT, pieces, originator=("THIRD", 5)))


def _store_many(exchange: Exchange) -> Flow[Any]:
    instances = (
        Instance(sop_class_uid=CT, sop_instance_uid="1.2.3.4", transfer_syntax=syntax, data=[ELEMENTS] * number)
        for number, syntax in ((1, EXPLICIT), (3, EXPLICIT), (2, uids.JPEG_BASELINE), (12, EXPLICIT))
    )
    stores = StoreMany(exchange, instances, ahead=True)
    found = []
    while (outcome := (yield from stores.next())) is not None:
        found.append(outcome.stored)
    return found


def _find(exchange: Exchange) -> Flow[Any]:
    find = Find(exchange, FIND, _data_set(QueryRetrieveLevel="STUDY", PatientName="A*", StudyInstanceUID=""))
    number = 0
    while (match := (yield from find.next())) is not None:
        number += 1
        convert(match.attributes.dataset)
        if number == 2:
            find.cancel()
    return number


def _get(exchange: Exchange) -> Flow[Any]:
    get = Get(exchange, GET, _data_set(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2"))
    number = 0
    while (start := (yield from get.next())) is not None:
        number += 1
        if number != 2:
            yield from read_data(exchange)
        yield from get.answer(0 if number != 3 else 0xA700)
        del start
    return get.result and (get.result.failed_instances, get.result.counters)


def _move(exchange: Exchange) -> Flow[Any]:
    move = Move(exchange, MOVE, "THIRD", _data_set(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2"))
    while (yield from move.next()) is not None:
        pass
    return move.result and move.result.failed_instances


def _step(exchange: Exchange) -> Flow[Any]:
    yield from mpps.begin(exchange, "1.2.5", _filled(mpps.ON_CREATE, PatientName="A^B", Modality="CT"))
    yield from mpps.update(exchange, "1.2.5", _data_set(PatientID="7", SpecificCharacterSet="ISO_IR 100"))
    result = yield from mpps.retrieve(exchange, "1.2.5")
    if result.attributes is not None:
        convert(result.attributes.dataset)
    yield from mpps.retrieve(exchange, "1.2.5", (0x00400252, 0x00100010))
    return (yield from mpps.complete(exchange, "1.2.5", _filled(mpps.AT_THE_END)))


def _work(exchange: Exchange) -> Flow[Any]:
    yield from ups.create_ups(exchange, "1.2.6", _filled(ups.ON_CREATE, InputReadinessState="READY"))
    yield from ups.change_state(exchange, "1.2.6", ups.UPSState.IN_PROGRESS, "1.2.7")
    progress = _data_set(ProcedureStepProgressInformationSequence=[_data_set(ProcedureStepProgress="5")])
    yield from ups.set_ups(exchange, "1.2.6", progress, "1.2.7")
    yield from ups.get_ups(exchange, "1.2.6")
    yield from ups.subscribe(exchange, "WATCHER", "1.2.6", deletion_lock=True)
    yield from ups.request_cancel(exchange, "1.2.6", _data_set(ReasonForCancellation="late"))
    return (yield from ups.change_state(exchange, "1.2.6", ups.UPSState.CANCELED, "1.2.7"))


def _commit(exchange: Exchange) -> Flow[Any]:
    requested = yield from commitment.request_commitment(exchange, "1.2.8", [_REFERENCE, Reference(CT, "1.2.3.5")])
    if requested.report is None and requested.response.status == 0:
        start = yield from next_request(exchange)
        if start is not None:
            reported = commitment.Reported(exchange, start)
            try:
                yield from reported.read_report()
            except Refused as refused:
                yield from reported.refuse(refused)
            else:
                yield from reported.grant()
    return requested.report


def _print(exchange: Exchange) -> Flow[Any]:
    yield from printing.get_printer(exchange, (0x21100010,))
    session = yield from printing.create_film_session(exchange, "1.2.1", _data_set(NumberOfCopies="2"))
    _, boxes = yield from printing.create_film_box(exchange, "1.2.1", _data_set(ImageDisplayFormat="STANDARD\\2,1"))
    image = _data_set(SamplesPerPixel=1, Rows=2, Columns=2, BitsAllocated=8, PixelData=bytes(4))
    image["PixelData"].VR = "OW"
    for box in boxes:
        yield from printing.set_image_box(exchange, box, image)
    yield from printing.print_film_session(exchange, "1.2.1")
    yield from printing.delete_film_session(exchange, "1.2.1")
    return session


def _disc(exchange: Exchange) -> Flow[Any]:
    yield from media.create_request(exchange, [_REFERENCE], sop_instance_uid="1.2.9")
    yield from media.initiate(exchange, "1.2.9", copies=2)
    progress = yield from media.get_result(exchange, "1.2.9")
    yield from media.cancel(exchange, "1.2.9")
    return progress


def _notify(exchange: Exchange) -> Flow[Any]:
    instance = availability.Available("1.2.3", _REFERENCE, availability.Availability.ONLINE, "ARCHIVE")
    return (yield from availability.notify(exchange, "1.2", [instance]))


CASES: Final = (
    Case(name="echo", classes=(uids.VERIFICATION,), use=echo),
    Case(name="store", classes=(CT,), use=_store),
    Case(name="store many", classes=(CT,), use=_store_many, window=4, syntaxes=(EXPLICIT,)),
    Case(name="find", classes=(FIND,), use=_find),
    Case(name="get", classes=(GET, CT), use=_get, roles=(CT,), window=2),
    Case(name="move", classes=(MOVE,), use=_move),
    Case(name="performed step", classes=(mpps.MPPS, mpps.RETRIEVE), use=_step),
    Case(name="scheduled step", classes=(ups.PUSH, ups.PULL, ups.WATCH), use=_work, syntaxes=(IMPLICIT,)),
    Case(name="commitment", classes=(commitment.PUSH_MODEL,), use=_commit, roles=(commitment.PUSH_MODEL,)),
    Case(name="print", classes=(printing.GRAYSCALE,), use=_print),
    Case(name="media", classes=(media.MEDIA,), use=_disc),
    Case(name="availability", classes=(availability.NOTIFICATION,), use=_notify),
)
"""Every user. Their order is part of the meaning of tapes."""


@cache
def recorded() -> tuple[tuple[bytes, bytes], ...]:
    """Returns what user and provider send in each case, in the order of `CASES`. Raises what a flow raises."""
    found = []
    for case in CASES:
        user, acceptor = Association.requestor(case.request, limits=LIMITS), Association.acceptor()
        one, other = Recorder(user), Recorder(acceptor)
        sides = Side(user, case.run(user), wire=one), Side(acceptor, Provider().serve(acceptor), wire=other)
        converse(*sides)
        for side in sides:
            if side.error is not None:
                raise side.error
        found.append((bytes(one.sent), bytes(other.sent)))
    return tuple(found)
