"""Recorded conversations that are damaged, cut and split at random, and noise.

Invariants for any bytes: `next_event` does not raise; the events are the same for every split; an incomplete message is
never reported as complete; everything ends in `Closed`. `test_association_machine` has two random associations.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicos_proto.association import Association
from dicos_proto.conversation import exchange
from dicos_proto.dimse.events import Event, MessageData, MessageStart, Sendable
from dicos_proto.dimse.types import CEchoRequest, CEchoResponse, CStoreRequest, CStoreResponse, DimseRequest
from dicos_proto.errors import LocalProtocolError
from dicos_proto.limits import Limits
from dicos_proto.upper_layer.events import Closed, ProviderAbort
from dicos_proto.upper_layer.machine import Role, State
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu_types import AssociateAccept, AssociateRequest, ReleaseRequest, ReleaseResponse
from tests.pair import CT, POLICY, REQUEST, VERIFICATION, Pair, data, joined, pdus, policy, request, scattered, start
from tests.strategies import damaged


def recorded() -> dict[Role, bytes]:
    """Returns the bytes of each side in a conversation of an echo, a store and a release."""
    pair = Pair(request())
    pair.events(pair.provider)
    pair.provider.send(negotiate(request(), POLICY))
    pair.events(pair.user)
    echo = start(1, CEchoRequest(message_id=1, affected_sop_class_uid=VERIFICATION))
    store = CStoreRequest(message_id=2, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
    for message in (echo, start(3, store, has_data=True)):
        pair.user.send(message)
        if message.has_data:
            for piece in (b"abc", b"", b"defgh", b"ij"):
                pair.user.send(data(3, piece, last=piece == b"ij"))
        pair.events(pair.provider)
        pair.provider.send(exchange.response_to(message, 0))
        pair.events(pair.user)
    pair.user.send(ReleaseRequest())
    pair.events(pair.provider)
    pair.provider.send(ReleaseResponse())
    pair.events(pair.user)
    return {Role.ACCEPTOR: bytes(pair.from_user.carried), Role.REQUESTOR: bytes(pair.from_provider.carried)}


RECORDED = recorded()


STORE = CStoreRequest(message_id=2, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")


def react(engine: Association, event: Event) -> None:
    """As the user did whose conversation was recorded: accept, answer, ask the next thing. Refused: leave it."""
    replies: list[Sendable] = []
    match event:
        case AssociateRequest():
            replies = [negotiate(event, POLICY)]
        case AssociateAccept():
            replies = [start(1, CEchoRequest(message_id=1, affected_sop_class_uid=VERIFICATION))]
        case MessageStart(command=DimseRequest()):
            replies = [exchange.response_to(event, 0)]
        case MessageStart(command=CEchoResponse()):
            replies = [start(3, STORE, has_data=True), data(3, b"abcdefghij")]
        case MessageStart(command=CStoreResponse()):
            replies = [ReleaseRequest()]
        case ReleaseRequest():
            replies = [ReleaseResponse()]
        case _:
            pass
    try:
        for reply in replies:
            engine.send(reply)
    except LocalProtocolError:
        pass


def hear(role: Role, chunks: list[bytes]) -> tuple[list[Event], bytes, State]:
    """Feeds a stream in these chunks, then its end. Returns the events, the bytes sent and the final state."""
    engine = Association.acceptor() if role is Role.ACCEPTOR else Association.requestor(REQUEST)
    found: list[Event] = []

    def listen() -> None:
        while (event := engine.next_event()) is not None:
            found.append(event)
            if event == Closed():
                return
            react(engine, event)

    for chunk in chunks:
        engine.receive_data(chunk)
        listen()
        if engine.wants_close:
            break
    else:
        engine.receive_eof()
        listen()
    assert engine.next_event() == Closed()
    assert engine.wants_close
    return joined(found), b"".join(engine.data_to_send()), engine.state


@pytest.mark.parametrize("role", Role)
def test_an_undamaged_conversation_is_heard_to_its_end(role: Role) -> None:
    found, sent, _ = hear(role, [RECORDED[role]])
    assert [type(event) for event in found] == (
        [AssociateRequest, MessageStart, MessageStart, MessageData, ReleaseRequest, Closed]
        if role is Role.ACCEPTOR
        else [AssociateAccept, MessageStart, MessageStart, ReleaseResponse, Closed]
    )
    assert [pdu[0] for pdu in pdus(sent)] == ([2, 4, 4, 6] if role is Role.ACCEPTOR else [1, 4, 4, 4, 5])


@settings(max_examples=150)
@given(st.sampled_from(list(Role)), st.data())
def test_a_damaged_conversation_is_heard_the_same_however_it_is_cut(role: Role, draw: st.DataObject) -> None:
    stream = draw.draw(damaged(st.just(RECORDED[role])))
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    together = hear(role, [stream])
    assert hear(role, [bytes((value,)) for value in stream]) == together
    assert hear(role, pieces) == together


@pytest.mark.parametrize("role", Role)
def test_end_of_file_at_every_byte(role: Role) -> None:
    """No data set is complete unless all of it came; a good end comes only from the last byte on."""
    stream = RECORDED[role]
    good, _, _ = hear(role, [stream])
    for end in range(len(stream)):
        found, _, state = hear(role, [stream[:end]])
        assert state is State.Sta1
        assert found[-1] == Closed()
        same = [event for event in found if event in good]
        assert same == [*good[: len(same) - 1], Closed()]
        for event in found:
            if event not in good:
                assert isinstance(event, ProviderAbort) or (isinstance(event, MessageData) and not event.last)


@settings(max_examples=300)
@given(st.sampled_from(list(Role)), st.binary(max_size=400), st.booleans())
def test_noise_is_refused_and_never_raises(role: Role, noise: bytes, established: bool) -> None:
    prefix = b""
    if established:
        prefix = RECORDED[role][: 6 + int.from_bytes(RECORDED[role][2:6], "big")]
    found, sent, state = hear(role, [prefix + noise])
    assert (found[-1], state) == (Closed(), State.Sta1)
    assert len(sent) < 2000, "more comes out than went in"


@given(st.binary(min_size=1, max_size=300), st.integers(1, 40))
def test_backpressure_is_only_a_pause(content: bytes, ahead: int) -> None:
    """With room for next to nothing, all of it comes all the same."""
    pair = Pair.established(
        answer=policy(max_length=16), provider_limits=Limits(received_ahead=ahead), split=scattered(1)
    )
    store = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
    pair.user.send(start(3, store, has_data=True))
    pair.user.send(data(3, content))
    assert joined(pair.events(pair.provider)) == [start(3, store, has_data=True), data(3, content)]
