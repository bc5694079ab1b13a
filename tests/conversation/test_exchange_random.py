"""Random conversations of two Exchanges under tight limits: nothing lost, nothing twice, nothing mixed up, all ends."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dicos_proto.conversation import flows
from dicos_proto.conversation.exchange import Exchange
from dicos_proto.conversation.exchange import response_to as reply_to
from dicos_proto.conversation.performing import next_request
from dicos_proto.conversation.reading import read_data
from dicos_proto.dimse.events import MessageData, MessageStart
from dicos_proto.dimse.types import CStoreRequest, DimseResponse, NEventReportRequest, response_to
from dicos_proto.limits import Limits
from dicos_proto.registry import status
from dicos_proto.registry.uids import EXPLICIT_VR_LE
from dicos_proto.services.storage import Instance, StoreMany
from tests.pair import CT, Pair, scattered, whole
from tests.services.parties import parties

SIZES = st.lists(st.sampled_from([0, 1, 7, 150, 999]), max_size=4)
WHEN = st.sampled_from(["early", "at once", "after the next"])


@dataclass(frozen=True)
class Asked:
    """A request: the sizes of the pieces of its data set, and when it is answered."""

    pieces: list[int]
    when: str

    def data(self, seed: int) -> Iterator[bytes]:
        return (bytes((seed * 16 + index,)) * size for index, size in enumerate(self.pieces))


REQUESTS = st.lists(st.builds(Asked, pieces=SIZES, when=WHEN), max_size=6)
LIMITS = st.builds(
    Limits,
    queued=st.sampled_from([1, 300, 2000]),
    received_ahead=st.sampled_from([100, 1000]),
    parked=st.sampled_from([300, 700, 100_000]),
)


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    return parties(
        CT,
        both_roles=(CT,),
        window=draw(st.sampled_from([2, 5, 0])),
        max_length=draw(st.sampled_from([64, 1000])),
        split=draw(st.sampled_from([whole, scattered(1), scattered(2)])),
        user_limits=draw(LIMITS),
        provider_limits=draw(LIMITS),
    )


def store(number: int) -> CStoreRequest:
    return CStoreRequest(message_id=number + 1, affected_sop_class_uid=CT, affected_sop_instance_uid=f"1.2.{number}")


def report(number: int) -> NEventReportRequest:
    return NEventReportRequest(
        message_id=number + 1, affected_sop_class_uid=CT, affected_sop_instance_uid="1", event_type_id=number
    )


class Answering:
    """The requests that one side receives, and its answers."""

    def __init__(self, exchange: Exchange, asked: list[Asked]) -> None:
        self.exchange = exchange
        self.asked = asked
        self.taken: list[tuple[int, bytes]] = []
        self._late: MessageStart | None = None
        self._start: MessageStart | None = None
        self._data = b""

    def begin(self, start: MessageStart) -> None:
        assert self._start is None
        self._start, self._data = start, b""
        if self._asked(start).when == "early":
            self._answer(start)

    def go_on(self, piece: MessageData) -> None:
        start = self._start
        assert start is not None
        self._data += piece.data
        if piece.last:
            self._start = None
            self.taken.append((self._number(start), self._data))
            late, self._late = self._late, None
            match self._asked(start).when:
                case "at once":
                    self._answer(start)
                case "after the next":
                    self._late = start
            if late is not None:
                self._answer(late)
            if self._late is not None and len(self.taken) == len(self.asked):
                self._answer(self._late)

    def _answer(self, start: MessageStart) -> None:
        self.exchange.reply(reply_to(start, 0xB000 + self._number(start)))

    def _asked(self, start: MessageStart) -> Asked:
        return self.asked[self._number(start)]

    def _number(self, start: MessageStart) -> int:
        assert isinstance(start.command, CStoreRequest)
        return start.command.message_id - 1


@settings(max_examples=150, deadline=None)
@given(pairs(), REQUESTS, REQUESTS)
def test_both_ask_and_both_answer_at_once(pair: Pair, one: list[Asked], other: list[Asked]) -> None:
    def party(exchange: Exchange, ours: list[Asked], theirs: list[Asked]) -> flows.Flow[Any]:
        answering = Answering(exchange, theirs)
        answers: dict[int, int] = {}
        to_ask = deque(enumerate(ours))
        association = exchange.association
        while to_ask or exchange.sending or association.operations.outstanding or len(answering.taken) < len(theirs):
            if to_ask and not exchange.sending and exchange.room > 0:
                number, asked = to_ask.popleft()
                exchange.send(1, store(number), asked.data(number))
                continue
            match (yield from exchange.step()):
                case MessageStart(command=DimseResponse() as response):
                    number = response.message_id_being_responded_to - 1
                    assert number not in answers
                    answers[number] = response.status
                case MessageStart() as start:
                    answering.begin(start)
                case MessageData() as piece:
                    answering.go_on(piece)
                case None:
                    pass
        return answers, answering.taken

    found = pair.run(party(pair.uses, one, other), party(pair.provides, other, one))
    for (answers, taken), ours, theirs in zip(found, (one, other), (other, one), strict=True):
        assert answers == {number: 0xB000 + number for number in range(len(ours))}
        assert taken == [(number, b"".join(asked.data(number))) for number, asked in enumerate(theirs)]
    assert (pair.user.operations.owed, pair.provider.operations.owed) == (0, 0)


@settings(max_examples=150, deadline=None)
@given(pairs(), REQUESTS, REQUESTS)
def test_many_are_stored_while_the_provider_reports(pair: Pair, stores: list[Asked], reports: list[Asked]) -> None:
    instances = [
        Instance(sop_class_uid=CT, sop_instance_uid=f"1.2.{n}", transfer_syntax=EXPLICIT_VR_LE, data=asked.data(n))
        for n, asked in enumerate(stores)
    ]

    def use() -> flows.Flow[Any]:
        many = StoreMany(pair.uses, instances)
        outcomes = {}
        while (outcome := (yield from many.next())) is not None:
            assert outcome.response is not None
            assert outcome.instance.sop_instance_uid not in outcomes
            outcomes[outcome.instance.sop_instance_uid] = outcome.response.status
        told = []
        while (start := (yield from next_request(pair.uses))) is not None:
            assert isinstance(start.command, NEventReportRequest)
            told.append((start.command.message_id - 1, (yield from read_data(pair.uses))))
            pair.uses.reply(MessageStart(context=1, command=response_to(start.command, 0)))
        return outcomes, told

    def provide() -> flows.Flow[Any]:
        exchange = pair.provides
        answering = Answering(exchange, stores)
        answers: dict[int, int] = {}
        to_tell = deque(enumerate(reports))
        while to_tell or exchange.sending or pair.provider.operations.outstanding or len(answering.taken) < len(stores):
            if to_tell and not exchange.sending and exchange.room > 0:
                number, asked = to_tell.popleft()
                exchange.send(1, report(number), asked.data(number))
                continue
            match (yield from exchange.step()):
                case MessageStart(command=DimseResponse() as response):
                    answers[response.message_id_being_responded_to - 1] = response.status
                case MessageStart() as start:
                    answering.begin(start)
                case MessageData() as piece:
                    answering.go_on(piece)
                case None:
                    pass
        yield from flows.release(pair.provider)
        return answers, answering.taken

    (outcomes, told), (answers, taken) = pair.run(use(), provide())
    assert outcomes == {f"1.2.{number}": 0xB000 + number for number in range(len(stores))}
    assert taken == [(number, b"".join(asked.data(number))) for number, asked in enumerate(stores)]
    assert sorted(answers) == list(range(len(reports)))
    assert set(answers.values()) <= {0, status.RESOURCE_LIMITATION}
    kept = [number for number in range(len(reports)) if answers[number] == 0]
    assert told == [(number, b"".join(reports[number].data(number))) for number in kept]
