"""How associations end: released, released by both at once, aborted, rejected, refused at negotiation, cut off."""

from typing import Any

import pytest

from dicos_proto.association import Association
from dicos_proto.conversation import exchange, flows
from dicos_proto.conversation.performing import next_request
from dicos_proto.dimse.types import CEchoRequest
from dicos_proto.errors import ConnectionLost, LocalProtocolError, RemoteProtocolError
from dicos_proto.limits import Limits
from dicos_proto.upper_layer.events import Closed, ProviderAbort
from dicos_proto.upper_layer.layer import UpperLayer, ready_events
from dicos_proto.upper_layer.machine import Role, State
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextAnswer,
    ContextResult,
    ReleaseRequest,
    ReleaseResponse,
)
from tests.pair import (
    POLICY,
    REQUEST,
    VERIFICATION,
    Lone,
    Pair,
    Splitter,
    command,
    p_data,
    pdus,
    splitters,
    start,
    with_any_length,
)

ANY = pytest.mark.parametrize("split", splitters().values(), ids=splitters())
ECHO = CEchoRequest(message_id=1, affected_sop_class_uid=VERIFICATION)
ACCEPT = negotiate(REQUEST, POLICY)
assert isinstance(ACCEPT, AssociateAccept)


def ended(pair: Pair) -> bool:
    return pair.user.state is pair.provider.state is State.Sta1


@ANY
def test_released_by_either_side(split: Splitter) -> None:
    pair = Pair.established(split=split)
    released, left = pair.run(flows.release(pair.user), next_request(pair.provides))
    assert (released, left, ended(pair)) == (None, None, True)
    pair = Pair.established(split=split)
    released, error = pair.run(flows.release(pair.provider), pair.uses.step())
    assert released is None
    assert isinstance(error, flows.AssociationReleased)
    assert ended(pair)


@ANY
def test_released_by_both_at_once(split: Splitter) -> None:
    pair = Pair.established(split=split)
    assert pair.run(flows.release(pair.user), flows.release(pair.provider)) == [None, None]
    assert ended(pair)
    assert [pdu[0] for pdu in pdus(bytes(pair.from_user.carried))] == [5, 6]
    assert [pdu[0] for pdu in pdus(bytes(pair.from_provider.carried))] == [5, 6]


def test_the_steps_of_a_release_collision() -> None:
    pair = Pair.established()
    pair.user.send(ReleaseRequest())
    pair.provider.send(ReleaseRequest())
    assert pair.events(pair.user) == [ReleaseRequest()]
    assert pair.events(pair.provider) == [ReleaseRequest()]
    assert (pair.user.state, pair.provider.state) == (State.Sta9, State.Sta10)
    with pytest.raises(LocalProtocolError):
        pair.provider.send(ReleaseResponse())  # the requestor answers first  PS3.8 7.2.2.7
    pair.user.send(ReleaseResponse())
    assert pair.user.state is State.Sta11
    assert pair.events(pair.provider) == [ReleaseResponse()]
    assert pair.provider.state is State.Sta12
    pair.provider.send(ReleaseResponse())
    assert pair.events(pair.user) == [ReleaseResponse(), Closed()]
    assert pair.events(pair.provider) == [Closed()]


def test_what_the_peer_still_sends_is_read_over_while_releasing() -> None:
    pair = Pair.established()
    pair.user.send(start(1, ECHO))
    pair.events(pair.provider)
    release = flows.release(pair.user)
    assert next(release) is flows.Need.INPUT
    pair.provider.send(exchange.response_to(start(1, ECHO), 0))
    assert pair.run(release, next_request(pair.provides)) == [None, None]


def test_a_release_that_is_answered_by_an_abort_says_so() -> None:
    pair = Pair.established()
    error, _ = pair.run(flows.release(pair.user), flows.abort(pair.provider))
    assert isinstance(error, flows.AssociationAborted)
    assert error.event == Abort()


@pytest.mark.parametrize("event", [Abort(), Abort(source=2, reason=6)])
@ANY
def test_aborted(split: Splitter, event: Abort) -> None:
    pair = Pair.established(split=split)
    error, done = pair.run(pair.uses.step(), flows.abort(pair.provider, event))
    assert isinstance(error, flows.AssociationAborted)
    assert (error.event, done) == (event, None)
    assert str(error) == f"the peer says: {event}"
    assert ended(pair)


def test_an_abort_after_the_end_does_nothing() -> None:
    pair = Pair.established()
    pair.run(flows.abort(pair.user), flows.finish(pair.provider))
    assert pair.run(flows.abort(pair.user), flows.abort(pair.provider)) == [None, None]


@ANY
def test_rejected(split: Splitter) -> None:
    pair = Pair(split=split)
    reject = AssociateReject(result=2, source=3, reason=1)

    def provide() -> flows.Flow[Any]:
        yield from flows.await_request(pair.provider)
        yield from flows.reject(pair.provider, reject)

    error, done = pair.run(flows.establish(pair.user), provide())
    assert isinstance(error, flows.AssociationRejected)
    assert (error.reject, done) == (reject, None)
    assert str(error) == str(reject)
    assert ended(pair)


def test_accepted() -> None:
    pair = Pair()

    def provide() -> flows.Flow[Any]:
        request = yield from flows.await_request(pair.provider)
        return (yield from flows.answer_request(pair.provider, request, POLICY))

    assert pair.run(flows.establish(pair.user), provide()) == [ACCEPT, ACCEPT]
    assert pair.user.state is pair.provider.state is State.Sta6


@pytest.mark.parametrize("sent", [0, 3, 100])
def test_cut_off_before_the_request_was_whole(sent: int) -> None:
    lone = Lone(Association.acceptor())
    flow = flows.await_request(lone.engine)
    assert next(flow) is flows.Need.INPUT
    lone.engine.receive_data(encode(REQUEST)[:sent])
    lone.engine.receive_eof()
    with pytest.raises(flows.AssociationAborted) as caught:
        list(flow)
    if sent:
        assert isinstance(caught.value.event, ProviderAbort)
        assert isinstance(caught.value.event.error, ConnectionLost)
    else:
        assert str(caught.value) == "the association is closed"


def test_cut_off_while_the_answer_is_waited_for() -> None:
    lone = Lone(Association.requestor(REQUEST))
    flow = flows.establish(lone.engine)
    assert next(flow) is flows.Need.INPUT
    lone.engine.receive_eof()
    with pytest.raises(flows.AssociationAborted, match="connection closed by the peer in Sta5, between PDUs"):
        list(flow)


def test_the_layer_below_says_why_the_connection_ended() -> None:
    for lone in (Lone(Association.acceptor()), Lone(Association.requestor(REQUEST))):
        why = ConnectionLost("the cable was pulled")
        lone.engine.receive_eof(why)
        lone.engine.receive_eof(ConnectionLost("said later"))
        assert lone.events() == [ProviderAbort(error=why), Closed()]


def test_why_the_connection_ended_is_of_no_interest_after_an_abort() -> None:
    lone = Lone.user()
    assert lone.feed(encode(Abort())) == [Abort(), Closed()]
    lone.engine.receive_eof(ConnectionLost("the cable was pulled"))
    assert lone.events() == [Closed()]


def test_end_of_file_at_every_byte_of_a_conversation() -> None:
    pair = Pair(REQUEST)
    pair.events(pair.provider)
    pair.provider.send(ACCEPT)
    pair.events(pair.user)
    pair.user.send(start(1, ECHO))
    pair.user.send(ReleaseRequest())
    pair.events(pair.provider)
    pair.provider.send(exchange.response_to(start(1, ECHO), 0))
    pair.provider.send(ReleaseResponse())
    pair.events(pair.user)
    for role, stream in ((Role.ACCEPTOR, pair.from_user.carried), (Role.REQUESTOR, pair.from_provider.carried)):
        for end in range(len(stream) + 1):
            engine = Association.acceptor() if role is Role.ACCEPTOR else Association.requestor(REQUEST)
            lone = Lone(engine)
            found = lone.feed(bytes(stream[:end]))
            if found == [REQUEST]:
                engine.send(ACCEPT)
                found += lone.events()
            engine.receive_eof()
            found += lone.events()
            assert found[-1] == engine.next_event() == Closed()
            assert engine.wants_close


# -- negotiation that does not fit --------------------------------------------------------------------------------

STRAY = ContextAnswer(id=99, result=ContextResult.ACCEPTANCE, transfer_syntax="1.2.840.10008.1.2")


def test_an_answer_that_does_not_fit_is_aborted() -> None:
    user = Lone(Association.requestor(REQUEST))
    user.sent()
    answer = AssociateAccept(called_aet="A", calling_aet="B", contexts=(STRAY,))
    (abort,) = user.feed(encode(answer))
    assert isinstance(abort, ProviderAbort)
    assert isinstance(abort.error, RemoteProtocolError)
    assert "presentation context 99 answered" in str(abort.error)
    assert decode(user.sent()) == Abort(source=2, reason=6)
    assert user.engine.contexts == {}


def test_an_own_answer_that_does_not_fit_changes_nothing() -> None:
    provider = Lone(Association.acceptor())
    provider.feed(encode(REQUEST))
    answer = AssociateAccept(called_aet="A", calling_aet="B", contexts=(STRAY,))
    with pytest.raises(LocalProtocolError, match="presentation context 99 answered"):
        provider.engine.send(answer)
    assert (provider.engine.state, provider.sent()) == (State.Sta3, b"")
    provider.engine.send(ACCEPT)
    assert provider.engine.state is State.Sta6


# -- what is known, and backpressure ------------------------------------------------------------------------------


def test_what_an_association_knows() -> None:
    pair = Pair(REQUEST)
    assert (pair.user.terms.role, pair.provider.terms.role) == (Role.REQUESTOR, Role.ACCEPTOR)
    assert pair.user.terms.request == REQUEST
    assert pair.provider.terms.request is None
    assert pair.user.terms.limits == with_any_length(Limits())
    assert pair.user.bytes_queued == len(encode(REQUEST))
    pair.user.data_to_send()
    assert pair.user.bytes_queued == 0
    assert pair.user.terms.agreement is None
    assert pair.user.contexts == {}


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_more_than_is_read_ahead_is_not_wanted(over: int) -> None:
    provider = Lone.provider(limits=Limits(received_ahead=1000))
    provider.engine.receive_data(bytes(1000 + over))
    assert provider.engine.wants_read is (over < 0)


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_more_pieces_than_are_kept_are_not_wanted(over: int) -> None:
    provider = Lone.provider(limits=Limits(received_pieces=10))
    for _ in range(10 + over):
        provider.engine.receive_data(b"a")
    assert provider.engine.wants_read is (over <= 0)


def test_an_upper_layer_is_usable_alone() -> None:
    user, provider = UpperLayer(Role.REQUESTOR), UpperLayer(Role.ACCEPTOR, limits=Limits(uid=60))
    assert (user.role, provider.role) == (Role.REQUESTOR, Role.ACCEPTOR)
    assert (user.limits, provider.limits) == (Limits(), Limits(uid=60))
    user.send(REQUEST)
    provider.receive_data(b"".join(user.data_to_send()))
    assert provider.next_event() == REQUEST
    provider.handle_timeout(0.0)
    assert provider.next_event() is None


def test_after_an_abort_only_the_end_is_read() -> None:
    user = Lone.user()
    user.engine.send(Abort())
    user.sent()
    assert user.feed(command(1, ECHO), p_data((1, False, True, bytes(100)))) == []
    assert user.feed(b"\x99\x00\x00\x00\x00\x01a") == []  # AA-7
    assert decode(user.sent()) == Abort(source=2, reason=1)
    user.engine.receive_eof()
    assert user.events() == [Closed()]


def test_the_loop_over_events_ends_where_there_is_none_and_after_closed() -> None:
    pair = Pair.established()
    assert list(ready_events(pair.user)) == []
    pair.provider.send(ReleaseRequest())
    pair.user.receive_data(b"".join(pair.provider.data_to_send()))
    assert list(ready_events(pair.user)) == [ReleaseRequest()]
    pair.user.send(Abort())
    pair.user.receive_eof()
    for _ in range(2):
        assert list(ready_events(pair.user)) == [Closed()], "again, and once only"


def test_what_is_sent_and_received_within_the_loop_counts() -> None:
    provider = Association.acceptor()
    provider.receive_data(encode(REQUEST))
    met = []
    for event in ready_events(provider):
        met.append(type(event))
        if isinstance(event, AssociateRequest):
            provider.send(negotiate(event, POLICY))
            provider.receive_data(encode(ReleaseRequest()))
    assert met == [AssociateRequest, ReleaseRequest]
