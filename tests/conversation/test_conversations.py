"""Requests asked and answered by flows: verification and storage, two engines back to back, a virtual clock."""

from collections.abc import Iterator
from typing import Any

import pytest

from dicos_proto.association import Association
from dicos_proto.conversation import exchange, flows
from dicos_proto.conversation.exchange import Exchange
from dicos_proto.conversation.invoking import ask
from dicos_proto.conversation.performing import next_request
from dicos_proto.conversation.reading import next_piece, skip_data
from dicos_proto.dimse.events import MessageData
from dicos_proto.dimse.types import (
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    CStoreRequest,
    CStoreResponse,
)
from dicos_proto.errors import ConnectionLost, LocalProtocolError
from dicos_proto.limits import Limits
from dicos_proto.registry import status, uids
from dicos_proto.services.storage import store
from dicos_proto.services.verification import echo
from dicos_proto.upper_layer.events import Closed, ProviderAbort
from dicos_proto.upper_layer.negotiation import propose
from dicos_proto.upper_layer.pdu_types import Abort, AssociateRequest, ContextResult, OperationsWindow, ReleaseRequest
from dicos_proto.upper_layer.policy import AcceptPolicy
from tests.pair import (
    CT,
    IMPLICIT,
    VERIFICATION,
    Lone,
    Pair,
    bytewise,
    command,
    p_data,
    policy,
    request,
    splitters,
    start,
)

ECHO = CEchoRequest(message_id=1, affected_sop_class_uid=VERIFICATION)
ECHOED = CEchoResponse(message_id_being_responded_to=1, affected_sop_class_uid=VERIFICATION, status=0)
STORE = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")


def serve_all(provider: Exchange, code: int = 0) -> flows.Flow[list[Any]]:
    """Answers every request with `code` until the peer releases. Returns what was received."""
    served: list[Any] = []
    while (received := (yield from next_request(provider))) is not None:
        content = b""
        if received.has_data:
            while True:
                piece = yield from next_piece(provider)
                content += piece.data
                if piece.last:
                    break
        served.append((received.command, content))
        provider.reply(exchange.response_to(received, code))
    return served


def use(user: Exchange, *conversations: flows.Flow[Any]) -> flows.Flow[list[Any]]:
    results = []
    for conversation in conversations:
        results.append((yield from conversation))
    yield from flows.release(user.association)
    return results


@pytest.mark.parametrize("split", splitters().values(), ids=splitters())
def test_echo_and_store_are_answered(split: Any) -> None:
    pair = Pair.established(split=split)
    content = bytes(range(256)) * 300
    pieces = [content[:1], content[1:40_000], content[40_000:]]
    results, served = pair.run(
        use(pair.uses, echo(pair.uses), store(pair.uses, CT, "1.2.3", IMPLICIT, pieces, priority=2)),
        serve_all(pair.provides),
    )
    assert [(type(each), each.status) for each in results] == [(CEchoResponse, 0), (CStoreResponse, 0)]
    assert results[1].affected_sop_instance_uid == "1.2.3"
    assert [each.message_id_being_responded_to for each in results] == [1, 2]
    assert served[0] == (ECHO, b"")
    assert served[1][1] == content
    assert served[1][0].priority == 2


@pytest.mark.parametrize("pieces", [[], [b""], [b"", b""]])
def test_an_empty_data_set_is_complete(pieces: list[bytes]) -> None:
    pair = Pair.established()
    results, served = pair.run(use(pair.uses, store(pair.uses, CT, "1.2", IMPLICIT, pieces)), serve_all(pair.provides))
    assert results[0].status == 0
    assert served[0][1] == b""


def test_a_failure_status_is_a_response_like_others() -> None:
    pair = Pair.established()
    results, _ = pair.run(
        use(pair.uses, store(pair.uses, CT, "1.2", IMPLICIT, [b"ab"])),
        serve_all(pair.provides, status.OUT_OF_RESOURCES),
    )
    assert results[0].status == 0xA700


def test_a_large_data_set_is_drained_as_it_is_sent() -> None:
    pair = Pair.established(user_limits=Limits(queued=10_000), record=False)
    most = 0

    def pieces() -> Iterator[bytes]:
        nonlocal most
        for _ in range(50):
            most = max(most, pair.user.bytes_queued)
            yield bytes(5_000)

    _, served = pair.run(use(pair.uses, store(pair.uses, CT, "1.2", IMPLICIT, pieces())), serve_all(pair.provides))
    assert len(served[0][1]) == 250_000
    assert most < 16_000


def test_a_response_that_comes_before_the_data_set_is_complete_is_taken() -> None:
    pair = Pair.established(user_limits=Limits(queued=1))

    def hasty() -> flows.Flow[None]:
        received = yield from next_request(pair.provides)
        assert received is not None
        pair.provider.send(exchange.response_to(received, status.OUT_OF_RESOURCES, "disk full"))
        assert (yield from next_request(pair.provides)) is None  # the rest of the data set is discarded

    results, _ = pair.run(use(pair.uses, store(pair.uses, CT, "1.2", IMPLICIT, [b"ab"] * 9)), hasty())
    assert (results[0].status, results[0].error_comment) == (0xA700, "disk full")


def test_an_abort_while_a_data_set_is_sent_ends_it_at_once() -> None:
    pair = Pair.established(user_limits=Limits(queued=1))
    taken = 0

    def pieces() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield b"ab"

    def rude() -> flows.Flow[None]:
        yield from next_request(pair.provides)
        yield from flows.abort(pair.provider)

    error, _ = pair.run(use(pair.uses, store(pair.uses, CT, "1.2", IMPLICIT, pieces())), rude())
    assert isinstance(error, flows.AssociationAborted)
    assert error.event == Abort()
    assert taken < 20


def test_a_release_instead_of_a_response_is_answered_and_raised() -> None:
    user = Lone.user()
    flow = ask(user.exchange, 1, ECHO)
    assert next(flow) is flows.Need.INPUT
    user.engine.receive_data(bytes((5, 0, 0, 0, 0, 4, 0, 0, 0, 0)))
    user.engine.receive_eof()
    with pytest.raises(flows.AssociationReleased):
        list(flow)
    assert user.sent().endswith(bytes((6, 0, 0, 0, 0, 4, 0, 0, 0, 0)))


def test_a_release_while_a_data_set_is_sent_is_answered_when_it_is_complete() -> None:
    pair = Pair.established(user_limits=Limits(queued=1))

    def leaving() -> flows.Flow[Any]:
        yield from next_request(pair.provides)
        pair.provider.send(ReleaseRequest())
        return (yield from flows.finish(pair.provider))

    error, _ = pair.run(use(pair.uses, store(pair.uses, CT, "1.2", IMPLICIT, [b"ab"] * 9)), leaving())
    assert isinstance(error, flows.AssociationReleased)


def test_a_pending_response_is_not_the_final_one() -> None:
    user = Lone.user(split=bytewise)
    find = CFindRequest(message_id=1, affected_sop_class_uid=CT)
    flow = ask(user.exchange, 3, find, b"ab")
    assert next(flow) is flows.Need.INPUT
    pending = CFindResponse(message_id_being_responded_to=1, status=status.PENDING)
    final = CFindResponse(message_id_being_responded_to=1, status=status.SUCCESS)
    user.engine.receive_data(command(3, pending, has_data=True) + p_data((3, False, True, b"ab")) + command(3, final))
    with pytest.raises(StopIteration) as done:
        next(flow)
    assert done.value.value == final


def test_a_cancel_of_what_is_over_is_passed_over() -> None:
    pair = Pair.established()
    pair.user.send(start(1, CCancelRequest(message_id_being_responded_to=77)))
    results, served = pair.run(use(pair.uses, echo(pair.uses)), serve_all(pair.provides))
    assert results == [ECHOED]
    assert served == [(ECHO, b"")]


def test_a_provider_learns_why_the_association_ended() -> None:
    pair = Pair.established()
    gone, _ = pair.run(next_request(pair.provides), flows.abort(pair.user))
    assert isinstance(gone, flows.AssociationAborted)
    assert str(gone) == "the peer says: association aborted by the service user"


def test_a_data_set_cut_short_is_no_data_set() -> None:
    provider = Lone.provider()
    provider.engine.receive_data(command(3, STORE, has_data=True))
    with pytest.raises(StopIteration):
        next(next_request(provider.exchange))
    flow = skip_data(provider.exchange)
    assert next(flow) is flows.Need.INPUT
    provider.engine.receive_eof()
    with pytest.raises(flows.AssociationAborted, match="connection closed by the peer") as caught:
        list(flow)
    assert isinstance(caught.value.event, ProviderAbort)
    assert isinstance(caught.value.event.error, ConnectionLost)


def test_reading_a_data_set_where_there_is_none_is_a_mistake() -> None:
    provider = Lone.provider()
    provider.engine.receive_data(command(1, ECHO))
    with pytest.raises(LocalProtocolError, match="a data set is read where none is being received"):
        list(next_piece(provider.exchange))


def test_a_response_is_not_answered() -> None:
    with pytest.raises(TypeError, match="C-ECHO-RSP is not a request"):
        exchange.response_to(start(1, ECHOED), 0)


def test_an_unsent_request_leaves_the_association_as_it_was() -> None:
    pair = Pair.established()
    with pytest.raises(LocalProtocolError, match="context 9 is not accepted"):
        next(ask(pair.uses, 9, ECHO))
    results, _ = pair.run(use(pair.uses, echo(pair.uses)), serve_all(pair.provides))
    assert results == [ECHOED]


def test_whether_a_data_set_is_being_sent_shows() -> None:
    pair = Pair.established()
    assert not pair.user.operations.sending
    pair.user.send(start(3, STORE, has_data=True))
    assert pair.user.operations.sending
    pair.user.send(MessageData(context=3, data=b"", last=True))
    assert not pair.user.operations.sending


def test_message_ids_begin_again_and_pass_over_those_in_use() -> None:
    unlimited = OperationsWindow(invoked=0, performed=0)
    pair = Pair.established(request(window=unlimited), policy(window=unlimited), user_limits=Limits(outstanding=70_000))
    pair.user.send(start(1, CEchoRequest(message_id=2, affected_sop_class_uid=VERIFICATION)))
    assert [pair.user.operations.new_message_id() for _ in range(3)] == [1, 3, 4]
    for _ in range(0xFFFF - 4):
        pair.user.operations.new_message_id()
    assert pair.user.operations.new_message_id() == 1


def test_no_message_id_is_free_when_all_are_outstanding() -> None:
    unlimited = OperationsWindow(invoked=0, performed=0)
    pair = Pair.established(
        request(window=unlimited), policy(window=unlimited), user_limits=Limits(outstanding=70_000), record=False
    )
    for number in range(1, 0x10000):
        pair.user.send(start(1, CEchoRequest(message_id=number, affected_sop_class_uid=VERIFICATION)))
    with pytest.raises(LocalProtocolError, match="no message id is free"):
        pair.user.operations.new_message_id()


# -- which context -----------------------------------------------------------------------------------------------

EXPLICIT, JPEG = uids.EXPLICIT_VR_LE, uids.JPEG_BASELINE


def negotiated(*contexts: tuple[str, tuple[str, ...]], answer: AcceptPolicy) -> Pair:
    proposed = tuple(one for uid, syntaxes in contexts for one in propose([uid], syntaxes))
    numbered = tuple(
        type(one)(id=2 * index + 1, abstract_syntax=one.abstract_syntax, transfer_syntaxes=one.transfer_syntaxes)
        for index, one in enumerate(proposed)
    )
    return Pair.established(AssociateRequest(called_aet="A", calling_aet="B", contexts=numbered), answer)


def test_the_best_of_the_accepted_transfer_syntaxes_is_found() -> None:
    pair = negotiated((CT, (EXPLICIT,)), (CT, (IMPLICIT,)), answer=AcceptPolicy(other_contexts=(EXPLICIT, IMPLICIT)))
    assert flows.find_context(pair.user, CT).id == 1
    assert flows.find_context(pair.user, CT, (IMPLICIT, EXPLICIT)).id == 3
    assert flows.find_context(pair.user, CT, (JPEG, EXPLICIT)).id == 1


def test_what_became_of_what_was_proposed_is_told() -> None:
    pair = negotiated((CT, (JPEG,)), (CT, (IMPLICIT,)), answer=AcceptPolicy(contexts={CT: (IMPLICIT,)}))
    with pytest.raises(flows.ContextNotAccepted) as caught:
        flows.find_context(pair.user, CT, (JPEG,))
    assert str(caught.value) == (
        "no presentation context for CT Image Storage in JPEG Baseline (Process 1): "
        "proposed with JPEG Baseline (Process 1): none of the transfer syntaxes supported; "
        "accepted with Implicit VR Little Endian; propose other syntaxes, or ask another peer"
    )
    assert (caught.value.abstract_syntax, caught.value.transfer_syntaxes) == (CT, (JPEG,))
    assert pair.user.terms.agreement is not None
    assert [one.result for one in pair.user.terms.agreement.refused] == [ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED]


def test_what_was_not_proposed_is_told() -> None:
    pair = Pair.established()
    with pytest.raises(flows.ContextNotAccepted, match="none was proposed; propose one for it"):
        flows.find_context(pair.user, "1.2.3.4")
    with pytest.raises(flows.ContextNotAccepted, match="none was proposed"):
        flows.find_context(Association.acceptor(), CT)


def test_a_context_without_the_role_does_not_serve() -> None:
    pair = Pair.established()
    with pytest.raises(flows.ContextNotAccepted, match="but not in the role of an SCU") as caught:
        flows.find_context(pair.provider, CT)
    assert str(caught.value).endswith("; the requestor has to propose the role of an SCP for it")
    with pytest.raises(flows.ContextNotAccepted, match="none was proposed; the requestor has to propose one for it"):
        flows.find_context(pair.provider, "1.2.3.4")


def test_a_rejected_association_is_read_to_its_end() -> None:
    pair = Pair()
    strict = AcceptPolicy(called_aets=frozenset({"OTHER"}))

    def provide() -> flows.Flow[Any]:
        asked = yield from flows.await_request(pair.provider)
        return (yield from flows.answer_request(pair.provider, asked, strict))

    error, answer = pair.run(flows.establish(pair.user), provide())
    assert isinstance(error, flows.AssociationRejected)
    assert error.reject == answer
    assert pair.provider.next_event() == Closed()


def test_a_connection_without_a_request_is_closed_without_a_word() -> None:
    acceptor = Association.acceptor()
    assert list(flows.abort(acceptor)) == []
    assert acceptor.data_to_send() == []
