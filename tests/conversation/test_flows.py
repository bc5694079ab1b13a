"""Flows against peers that do not follow the script: wrong answers, connections that end early, silence."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from dicos_proto.association import Association
from dicos_proto.conversation import exchange, flows
from dicos_proto.conversation.invoking import ask
from dicos_proto.conversation.performing import next_request
from dicos_proto.conversation.reading import next_piece
from dicos_proto.dimse.types import (
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CMoveRequest,
    CMoveResponse,
    CStoreRequest,
    CStoreResponse,
    NGetRequest,
    NGetResponse,
)
from dicos_proto.errors import DeadlineExceeded, LocalProtocolError, RemoteProtocolError
from dicos_proto.limits import Limits
from dicos_proto.registry import status
from dicos_proto.upper_layer.events import Closed, ProviderAbort
from dicos_proto.upper_layer.machine import State
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    OperationsWindow,
    ReleaseRequest,
    ReleaseResponse,
    UserIdentity,
    UserIdentityResponse,
)
from dicos_proto.upper_layer.policy import AcceptPolicy, IdentityVerdict
from tests.pair import (
    CT,
    POLICY,
    REQUEST,
    VERIFICATION,
    Lone,
    Pair,
    Splitter,
    command,
    data,
    p_data,
    pdus,
    policy,
    request,
    splitters,
    start,
)

ANY = pytest.mark.parametrize("split", splitters().values(), ids=splitters())
WINDOW = OperationsWindow(invoked=4, performed=1)
STORE = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
RELEASE_RQ = encode(ReleaseRequest())


def echo(number: int) -> CEchoRequest:
    return CEchoRequest(message_id=number, affected_sop_class_uid=VERIFICATION)


def echoed(number: int, code: int = 0) -> CEchoResponse:
    return CEchoResponse(message_id_being_responded_to=number, status=code)


def outcome(flow: flows.Flow[object], engine: Association, *chunks: bytes, eof: bool = False) -> object:
    """Returns the result or error of a flow, which is fed a chunk each time it waits, then the end of the stream."""
    waiting = list(chunks)
    try:
        while True:
            if next(flow) is flows.Need.INPUT:
                if waiting:
                    engine.receive_data(waiting.pop(0))
                elif eof:
                    engine.receive_eof()
                else:
                    return "waits"
    except StopIteration as done:
        return done.value
    except flows.AssociationError as error:
        return error


# -- asking --------------------------------------------------------------------------------------------------------


def test_what_is_outstanding_is_named_with_what_to_do_about_it() -> None:
    wide = OperationsWindow(invoked=9, performed=1)
    user = Lone.user(request(window=wide), policy(window=wide))
    for number in range(1, 6):
        user.engine.send(start(1, echo(number)))
        named = "C-ECHO-RQ 1 is outstanding" if number == 1 else "C-ECHO-RQ 1, C-ECHO-RQ 2"
        with pytest.raises(LocalProtocolError, match=f"C-ECHO-RQ while {named}.*wait for them first"):
            next(ask(user.exchange, 1, echo(9)))
    user.engine.send(start(3, CFindRequest(message_id=6, affected_sop_class_uid=CT), has_data=True))
    user.engine.send(data(3, b"keys"))
    text = r"C-ECHO-RQ 3 and 3 more are outstanding, whose responses nobody would see: cancel\(\) asks the peer to stop"
    with pytest.raises(LocalProtocolError, match=text):
        next(ask(user.exchange, 1, echo(9)))
    assert user.engine.operations.unanswered == {**dict.fromkeys(range(1, 6), 0x0030), 6: 0x0020}


def test_nothing_is_asked_while_an_answer_is_out_that_nobody_would_see() -> None:
    user = Lone.user(request(window=WINDOW), policy(window=WINDOW))
    user.engine.send(start(1, echo(7)))
    with pytest.raises(LocalProtocolError, match=r"C-ECHO-RQ while C-\w+-RQ \d+ is outstanding.*wait for them"):
        next(ask(user.exchange, 1, echo(8)))
    assert user.engine.operations.outstanding == 1
    assert user.feed(command(1, echoed(7))) == [start(1, echoed(7))]
    assert outcome(ask(user.exchange, 1, echo(8)), user.engine, command(1, echoed(8))) == echoed(8)


GET = NGetRequest(message_id=1, requested_sop_class_uid=VERIFICATION, requested_sop_instance_uid="1.2.3")
GOT = NGetResponse(message_id_being_responded_to=1, status=0)


def test_a_response_with_a_data_set_is_read_to_its_end() -> None:
    stream = command(1, GOT, has_data=True) + p_data((1, False, False, b"ab"), (1, False, True, b"cd"))
    for cut in (1, 20, len(stream) - 1):
        user = Lone.user()
        assert outcome(ask(user.exchange, 1, GET), user.engine, stream[:cut], stream[cut:]) == GOT
        assert user.events() == []


@pytest.mark.parametrize(
    "answer",
    [echoed(2), CStoreResponse(message_id_being_responded_to=1, status=0), echo(1)],
    ids=["id", "type", "request"],
)
def test_a_wrong_answer_is_an_abort_not_an_answer(answer: CEchoResponse | CStoreResponse | CEchoRequest) -> None:
    user = Lone.user()
    error = outcome(ask(user.exchange, 1, echo(1)), user.engine, command(1, answer))
    assert isinstance(error, flows.AssociationAborted)
    assert isinstance(error.event, ProviderAbort)
    assert isinstance(error.event.error, RemoteProtocolError)
    assert user.sent().endswith(encode(Abort(source=2, reason=5)))


@pytest.mark.parametrize("end", range(0, 90, 7))
def test_an_answer_cut_off_is_no_answer(end: int) -> None:
    stream = command(1, echoed(1))
    user = Lone.user()
    error = outcome(ask(user.exchange, 1, echo(1)), user.engine, stream[: min(end, len(stream) - 1)], eof=True)
    assert isinstance(error, flows.AssociationAborted)
    assert "connection closed by the peer in Sta6" in str(error)


def test_a_source_that_fails_leaves_only_an_abort() -> None:
    pair = Pair.established()

    def pieces() -> Iterator[bytes]:
        yield b"ab"
        yield b"cd"
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        next(ask(pair.uses, 3, STORE, pieces()))
    assert pair.user.operations.sending
    with pytest.raises(LocalProtocolError, match=r"C-ECHO-RQ while C-\w+-RQ \d+ is outstanding.*wait for them"):
        next(ask(pair.uses, 1, echo(2)))
    with pytest.raises(LocalProtocolError, match="before the data set is complete"):
        next(flows.release(pair.user))
    assert pair.run(flows.abort(pair.user), flows.finish(pair.provider)) == [None, None]


def test_a_peer_that_never_answers_is_given_up() -> None:
    pair = Pair.established()
    error, _ = pair.run(ask(pair.uses, 1, echo(1)), flows.finish(pair.provider))
    assert isinstance(error, flows.AssociationAborted)
    assert isinstance(error.event, ProviderAbort)
    assert error.event.error == DeadlineExceeded("response: waiting for the one to message 1: nothing within 60 s")
    assert pair.now == 60.0


# -- being asked ---------------------------------------------------------------------------------------------------


def test_a_data_set_is_read_only_where_one_comes() -> None:
    provider = Lone.provider()
    provider.engine.receive_data(command(1, echo(1)))
    flow = next_piece(provider.exchange)
    with pytest.raises(LocalProtocolError, match="a data set is read where none is being received"):
        next(flow)


@ANY
def test_what_nobody_read_of_a_data_set_is_read_over(split: Splitter) -> None:
    pair = Pair.established(request(window=WINDOW), policy(window=WINDOW), split=split)
    pair.user.send(start(3, STORE, has_data=True))
    pair.user.send(data(3, bytes(5001)))
    pair.user.send(start(1, echo(2)))

    def serve() -> flows.Flow[list[object]]:
        found: list[object] = []
        while (received := (yield from next_request(pair.provides))) is not None:
            found.append(received.command)
        return found

    def leave() -> flows.Flow[None]:
        yield from flows.release(pair.user)

    _, served = pair.run(leave(), serve())
    assert served == [STORE, echo(2)]


@pytest.mark.parametrize("code", [0x0000, 0x0107, 0xA700, 0xB000, 0xFE00])
def test_any_final_status_pays_what_is_owed(code: int) -> None:
    pair = Pair.established()
    pair.user.send(start(1, echo(1)))
    (received,) = pair.events(pair.provider)
    assert received == start(1, echo(1))
    pair.provider.send(exchange.response_to(start(1, echo(1)), code, "why"))
    (answer,) = pair.events(pair.user)
    assert (pair.provider.operations.owed, pair.user.operations.outstanding) == (0, 0)
    assert answer == start(
        1,
        CEchoResponse(
            message_id_being_responded_to=1, affected_sop_class_uid=VERIFICATION, status=code, error_comment="why"
        ),
    )


def test_a_pending_status_does_not_pay() -> None:
    pair = Pair.established()
    pair.user.send(
        start(1, CMoveRequest(message_id=1, affected_sop_class_uid=VERIFICATION, move_destination="A"), has_data=True)
    )
    pair.user.send(data(1, b"ab"))
    pair.events(pair.provider)
    for code in (status.PENDING, status.PENDING_WARNING):
        moving = CMoveResponse(message_id_being_responded_to=1, status=code)
        pair.provider.send(start(1, moving))
        assert pair.events(pair.user) == [start(1, moving)]
        assert (pair.provider.operations.owed, pair.user.operations.outstanding) == (1, 1)


# -- beginning and ending ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "event"),
    [
        (encode(Abort(source=2, reason=1)), Abort(source=2, reason=1)),
        (RELEASE_RQ, None),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", None),
    ],
)
def test_what_is_no_answer_to_a_request_is_told(stream: bytes, event: Abort | None) -> None:
    user = Association.requestor(REQUEST)
    error = outcome(flows.establish(user), user, stream, eof=True)
    assert isinstance(error, flows.AssociationAborted)
    assert isinstance(error.event, ProviderAbort) if event is None else error.event == event
    assert user.next_event() == Closed()


def test_a_stranger_is_told_apart_from_a_user() -> None:
    provider = Association.acceptor()
    error = outcome(flows.await_request(provider), provider, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", eof=True)
    assert isinstance(error, flows.AssociationAborted)
    assert "HTTP, not DICOM" in str(error)
    assert b"".join(provider.data_to_send()) == encode(Abort())


@pytest.mark.parametrize(
    ("answer", "reject"),
    [
        (AcceptPolicy(application_contexts=()), AssociateReject(result=1, source=1, reason=2)),
        (AcceptPolicy(calling_aets=frozenset()), AssociateReject(result=1, source=1, reason=3)),
        (AcceptPolicy(called_aets=frozenset()), AssociateReject(result=1, source=1, reason=7)),
    ],
)
@ANY
def test_a_rejection_reaches_the_user_whole(split: Splitter, answer: AcceptPolicy, reject: AssociateReject) -> None:
    pair = Pair(split=split)

    def provide() -> flows.Flow[object]:
        asked = yield from flows.await_request(pair.provider)
        return (yield from flows.answer_request(pair.provider, asked, answer))

    error, sent = pair.run(flows.establish(pair.user), provide())
    assert sent == reject
    assert isinstance(error, flows.AssociationRejected)
    assert error.reject == reject
    assert pair.user.state is pair.provider.state is State.Sta1


@pytest.mark.parametrize("kind", [3, 4, 5])
@pytest.mark.parametrize("verdict", [True, False])
@ANY
def test_the_caller_looks_at_an_identity_before_it_answers(split: Splitter, verdict: bool, kind: int) -> None:
    claim = UserIdentity(type=kind, primary=b"ticket", response_requested=True)
    asking = replace(REQUEST, user_information=replace(REQUEST.user_information, user_identity=claim))
    pair = Pair(asking, split=split)

    def provide() -> flows.Flow[object]:
        asked = yield from flows.await_request(pair.provider)
        assert asked.user_information.user_identity == claim
        found = IdentityVerdict(accepted=verdict, response=b"for " + claim.primary)
        return (yield from flows.answer_request(pair.provider, asked, POLICY, identity=found))

    got, sent = pair.run(flows.establish(pair.user), provide())
    if verdict:
        assert got == sent
        assert isinstance(got, AssociateAccept)
        assert got.user_information.user_identity_response == UserIdentityResponse(response=b"for ticket")
    else:
        assert isinstance(got, flows.AssociationRejected)
        assert got.reject == sent == AssociateReject(result=1, source=2, reason=1)


def test_a_user_that_leaves_before_the_answer_is_noticed() -> None:
    pair = Pair()
    asked = pair.events(pair.provider)
    assert asked == [REQUEST]
    assert pair.run(flows.abort(pair.user), flows.finish(pair.provider)) == [None, None]
    with pytest.raises(LocalProtocolError):
        next(
            flows.answer_request(pair.provider, AssociateRequest(called_aet="A", calling_aet="B", contexts=()), POLICY)
        )


def _deadline(pair: Pair) -> None:
    at = pair.provider.deadline(0.0)
    assert at is not None
    pair.provider.handle_timeout(at.at)


GONE: dict[str, tuple[Callable[[Pair], None], object]] = {
    "peer aborts": (lambda pair: pair.provider.receive_data(encode(Abort())), Abort()),
    "peer closes": (lambda pair: pair.provider.receive_eof(), "connection closed by the peer in Sta3, between PDUs"),
    "deadline": (_deadline, "accept: waiting for the local user's answer: nothing within 60 s"),
}


@pytest.mark.parametrize("gone", GONE)
@pytest.mark.parametrize("waits", [True, False], ids=["awaited", "looked at"])
def test_what_ends_an_association_before_it_is_answered(gone: str, waits: bool) -> None:
    pair = Pair()
    assert pair.events(pair.provider) == [REQUEST]
    happens, wanted = GONE[gone]
    assert outcome(flows.look(pair.provider), pair.provider) is None
    watching = flows.until_over(pair.provider)
    assert next(watching) is flows.Need.INPUT
    happens(pair)
    event = outcome(watching if waits else flows.look(pair.provider), pair.provider)
    assert isinstance(event, Abort | ProviderAbort | Closed)
    assert wanted == (str(event.error) if isinstance(event, ProviderAbort) else event)
    error = outcome(flows.end_by(pair.provider, event), pair.provider, eof=True)
    assert isinstance(error, flows.AssociationAborted)
    assert error.event == event


def test_a_stall_ends_an_association_before_it_is_answered() -> None:
    pair = Pair()
    assert pair.events(pair.provider) == [REQUEST]
    watching = flows.until_over(pair.provider)
    next(watching)
    with pytest.raises(StopIteration) as caught:
        watching.throw(flows.AssociationAborted(Closed()))
    assert caught.value.value == Closed()


RELEASED: dict[str, Callable[[Pair], flows.Flow[None]]] = {
    "aborts": lambda pair: flows.abort(pair.provider),
    "goes silent": lambda pair: flows.finish(pair.provider),
}


@pytest.mark.parametrize("peer", RELEASED.values(), ids=RELEASED)
def test_a_release_that_does_not_end_well_is_told(peer: Callable[[Pair], flows.Flow[None]]) -> None:
    pair = Pair.established()
    error, _ = pair.run(flows.release(pair.user), peer(pair))
    assert isinstance(error, flows.AssociationAborted)
    assert pair.user.state is pair.provider.state is State.Sta1


@ANY
def test_a_spurious_release_answer_is_a_violation(split: Splitter) -> None:
    """One too many A-RELEASE-RP, in Sta6: AA-8, and no answer to it but the A-ABORT."""
    user = Lone.user(split=split)
    (abort,) = user.feed(encode(ReleaseResponse()))
    assert isinstance(abort, ProviderAbort)
    assert pdus(user.sent()) == [encode(Abort(source=2, reason=2))]


def test_a_flow_asks_to_be_drained_at_its_limit() -> None:
    for queued, needs in ((10_000, 0), (200, 1)):
        pair = Pair.established(user_limits=Limits(queued=queued))
        flow = ask(pair.uses, 3, STORE, [bytes(300), bytes(2)])
        assert [next(flow)] == [flows.Need.DRAIN if needs else flows.Need.INPUT]


def test_a_flow_that_ends_has_what_is_queued_written() -> None:
    provider = Lone.provider()
    provider.engine.receive_data(RELEASE_RQ)
    flow = next_request(provider.exchange)
    assert next(flow) is flows.Need.INPUT  # the answer is queued; the peer closes
    assert provider.engine.bytes_queued == len(RELEASE_RQ)
    provider.engine.receive_eof()
    assert next(flow) is flows.Need.DRAIN
    with pytest.raises(StopIteration):
        next(flow)
