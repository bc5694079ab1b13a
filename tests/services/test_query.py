"""C-FIND: matches as they are made, backpressure, C-CANCEL, invalid identifiers."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicos_proto.conversation import flows
from dicos_proto.conversation.exchange import Exchange
from dicos_proto.conversation.performing import next_request
from dicos_proto.conversation.reading import DataSetTooLong
from dicos_proto.data.datasets import Attributes, DataSetError, encode
from dicos_proto.dimse.events import MessageStart
from dicos_proto.dimse.types import CFindRequest, CFindResponse
from dicos_proto.errors import LocalProtocolError
from dicos_proto.limits import Limits
from dicos_proto.registry import status
from dicos_proto.registry.uids import EXPLICIT_VR_LE, IMPLICIT_VR_LE
from dicos_proto.services.performing import ProviderOperation
from dicos_proto.services.query import Find, Finding
from tests.pair import Splitter, splitters, start
from tests.services.parties import parties, serve, then_release

STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2.1"
WORKLIST = "1.2.840.10008.5.1.4.31"
ANY = pytest.mark.parametrize("split", splitters().values(), ids=splitters())


def identifier(**values: Any) -> Dataset:
    one = Dataset()
    for keyword, value in values.items():
        setattr(one, keyword, value)
    return one


ASKED = identifier(QueryRetrieveLevel="STUDY", PatientID="*", StudyInstanceUID="")


def use(exchange: Exchange, sop_class: str = STUDY_ROOT, *, most: int = 10_000) -> flows.Flow[Any]:
    """Takes all matches, with a C-CANCEL after `most`. Returns the patient ids and the final response."""
    find = Find(exchange, sop_class, ASKED)
    found = []
    while (match := (yield from find.next())) is not None:
        found.append((match.attributes.dataset.PatientID, match.all_keys))
        if len(found) == most:
            find.cancel()
    assert (yield from find.next()) is None
    find.cancel()  # the operation has ended: nothing is sent
    return found, find.response


def perform(count: int) -> Any:
    def answer(exchange: Exchange, asked: MessageStart) -> flows.Flow[Any]:
        finding = Finding(exchange, asked)
        received = yield from finding.receive()
        assert received is not None
        assert received.dataset == ASKED
        code = yield from finding.send_all(identifier(PatientID=str(n)) for n in range(count))
        return code, finding.answered

    return answer


@ANY
@pytest.mark.parametrize("sop_class", [STUDY_ROOT, WORKLIST])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_all_matches_come_and_then_the_end(split: Splitter, sop_class: str, count: int) -> None:
    pair = parties(sop_class, split=split)
    (found, response), done = pair.run(
        then_release(pair.uses, use(pair.uses, sop_class)), serve(pair.provides, perform(count))
    )
    assert found == [(str(n), True) for n in range(count)]
    assert response == CFindResponse(message_id_being_responded_to=1, affected_sop_class_uid=sop_class, status=0)
    assert done == [(0, True)]


def test_a_match_is_on_its_way_before_the_next_is_made() -> None:
    pair = parties(STUDY_ROOT)
    made = 0
    seen: list[int] = []

    def matches() -> Iterator[Dataset]:
        nonlocal made
        for number in range(5):
            made += 1
            yield identifier(PatientID=str(number))

    def answer(exchange: Exchange, asked: MessageStart) -> flows.Flow[Any]:
        finding = Finding(exchange, asked)
        yield from finding.receive()
        return (yield from finding.send_all(matches()))

    def watch() -> flows.Flow[None]:
        find = Find(pair.uses, STUDY_ROOT, ASKED)
        while (yield from find.next()) is not None:
            seen.append(made)

    pair.run(then_release(pair.uses, watch()), serve(pair.provides, answer))
    assert seen == [1, 2, 3, 4, 5]


@ANY
def test_a_cancel_ends_it(split: Splitter) -> None:
    pair = parties(STUDY_ROOT, split=split)
    (found, response), done = pair.run(
        then_release(pair.uses, use(pair.uses, most=3)), serve(pair.provides, perform(1_000_000))
    )
    assert 3 <= len(found) < 10
    assert response.status == status.CANCEL
    assert done == [(status.CANCEL, True)]


def test_a_match_of_some_keys_only_is_marked() -> None:
    pair = parties(STUDY_ROOT)

    def answer(exchange: Exchange, asked: MessageStart) -> flows.Flow[bool]:
        finding = Finding(exchange, asked)
        more = yield from finding.match(identifier(PatientID="1"), all_keys=False)  # the identifier is skipped
        yield from finding.end()
        return more

    (found, _), more = pair.run(then_release(pair.uses, use(pair.uses)), serve(pair.provides, answer))
    assert found == [("1", False)]
    assert more == [True]


def test_bytes_will_do_on_both_sides() -> None:
    pair = parties(STUDY_ROOT, transfer_syntax=IMPLICIT_VR_LE)

    def answer(exchange: Exchange, asked: MessageStart) -> flows.Flow[Attributes | None]:
        finding = Finding(exchange, asked)
        received = yield from finding.receive()
        yield from finding.send_all([b"match one", Attributes(encode(ASKED, EXPLICIT_VR_LE), EXPLICIT_VR_LE)])
        return received

    def ask() -> flows.Flow[list[bytes]]:
        find = Find(pair.uses, STUDY_ROOT, b"identifier")
        found = []
        while (match := (yield from find.next())) is not None:
            assert match.attributes.transfer_syntax == IMPLICIT_VR_LE
            found.append(match.attributes.data)
        return found

    found, received = pair.run(then_release(pair.uses, ask()), serve(pair.provides, answer))
    assert found == [b"match one", encode(ASKED, IMPLICIT_VR_LE)]
    assert received == [Attributes(b"identifier", IMPLICIT_VR_LE)]


def test_an_identifier_that_does_not_decode_gets_its_status_and_nothing_is_lost() -> None:
    pair = parties(STUDY_ROOT)

    def answer(exchange: Exchange, asked: MessageStart) -> flows.Flow[str]:
        finding = Finding(exchange, asked)
        received = yield from finding.receive()
        assert received is not None
        try:
            return str(received.dataset)
        except DataSetError as error:
            yield from finding.finish(status.UNABLE_TO_PROCESS, str(error)[:64])
            return str(error)

    def ask() -> flows.Flow[Any]:
        broken = Find(pair.uses, STUDY_ROOT, b"\x10\0\x10\0PN\xff\0ab")
        assert (yield from broken.next()) is None
        good = Find(pair.uses, STUDY_ROOT, ASKED)
        assert (yield from good.next()) is None
        return broken.response, good.response

    def both(exchange: Exchange, asked: MessageStart) -> flows.Flow[Any]:
        assert isinstance(asked.command, CFindRequest)
        if asked.command.message_id == 1:
            return (yield from answer(exchange, asked))
        return (yield from perform(0)(exchange, asked))

    (broken, good), done = pair.run(then_release(pair.uses, ask()), serve(pair.provides, both))
    assert (broken.status, good.status) == (status.UNABLE_TO_PROCESS, 0)
    assert broken.error_comment.startswith("a value of 255 bytes with 2 left")
    assert done[0] == "a value of 255 bytes with 2 left, before byte 8 of the data set [PS3.5 7]"


def test_an_identifier_that_is_too_long_gets_a_status() -> None:
    pair = parties(STUDY_ROOT, provider_limits=Limits(attributes=100))

    def answer(exchange: Exchange, asked: MessageStart) -> flows.Flow[str]:
        finding = Finding(exchange, asked)
        try:
            yield from finding.receive()
        except DataSetTooLong as error:
            yield from finding.finish(status.OUT_OF_RESOURCES)
            return str(error)
        return ""

    def ask() -> flows.Flow[Any]:
        find = Find(pair.uses, STUDY_ROOT, bytes(200))
        yield from find.next()
        return find.response

    response, done = pair.run(then_release(pair.uses, ask()), serve(pair.provides, answer))
    assert response.status == 0xA700
    assert done == ["data set of 200 bytes (limit attributes: 100 allowed)"]


def test_a_match_that_is_too_long_is_reported_and_the_next_ones_follow() -> None:
    pair = parties(STUDY_ROOT, user_limits=Limits(attributes=100))

    def answer(exchange: Exchange, asked: MessageStart) -> flows.Flow[int]:
        return (yield from Finding(exchange, asked).send_all([bytes(200), bytes(100)]))

    def ask() -> flows.Flow[Any]:
        find = Find(pair.uses, STUDY_ROOT, b"identifier")
        with pytest.raises(DataSetTooLong):
            yield from find.next()
        match = yield from find.next()
        assert match is not None
        assert (yield from find.next()) is None
        return match.attributes.data

    assert pair.run(then_release(pair.uses, ask()), serve(pair.provides, answer)) == [bytes(100), [0]]


def test_a_match_that_cannot_be_encoded_is_not_sent() -> None:
    pair = parties(STUDY_ROOT, transfer_syntax="1.2.3")

    def answer(exchange: Exchange, asked: MessageStart) -> flows.Flow[None]:
        finding = Finding(exchange, asked)
        with pytest.raises(DataSetError):
            yield from finding.match(ASKED)
        assert not finding.answered
        yield from finding.finish(status.UNABLE_TO_PROCESS)

    def ask() -> flows.Flow[Any]:
        find = Find(pair.uses, STUDY_ROOT, b"identifier")
        yield from find.next()
        return find.response

    response, _ = pair.run(then_release(pair.uses, ask()), serve(pair.provides, answer))
    assert response.status == status.UNABLE_TO_PROCESS


def test_nothing_is_asked_without_a_context_or_an_identifier() -> None:
    pair = parties(STUDY_ROOT, transfer_syntax="1.2.3")
    with pytest.raises(flows.ContextNotAccepted, match="none was proposed"):
        Find(pair.uses, WORKLIST, b"identifier")
    with pytest.raises(DataSetError, match="no codec"):
        Find(pair.uses, STUDY_ROOT, ASKED)
    assert pair.user.operations.outstanding == 0


def test_an_operation_is_answered_finally_once() -> None:
    pair = parties(STUDY_ROOT)

    def answer(exchange: Exchange, asked: MessageStart) -> flows.Flow[None]:
        finding = Finding(exchange, asked)
        yield from finding.end()
        with pytest.raises(LocalProtocolError, match="C-FIND-RQ 1 is answered already"):
            yield from finding.match(ASKED)

    pair.run(then_release(pair.uses, use(pair.uses)), serve(pair.provides, answer))


def test_only_a_request_is_performed() -> None:
    pair = parties(STUDY_ROOT)
    with pytest.raises(TypeError, match="C-FIND-RSP is not a request"):
        ProviderOperation(pair.provides, start(1, CFindResponse(message_id_being_responded_to=1, status=0)))


def test_the_end_of_the_association_is_raised_on_both_sides() -> None:
    pair = parties(STUDY_ROOT)

    def leave() -> flows.Flow[None]:
        yield from next_request(pair.provides)
        yield from flows.abort(pair.provider)

    error, _ = pair.run(use(pair.uses), leave())
    assert isinstance(error, flows.AssociationAborted)
