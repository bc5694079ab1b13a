"""Exchange against peers that answer too early, flood, ask while they are refused, and users who mix things up."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from dicos_proto.conversation import flows
from dicos_proto.conversation.exchange import absorb_pending, complete
from dicos_proto.conversation.exchange import response_to as reply_to
from dicos_proto.conversation.invoking import UserOperation, ask, inquire
from dicos_proto.conversation.performing import next_request, respond
from dicos_proto.conversation.reading import read_data
from dicos_proto.dimse.types import (
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    NEventReportRequest,
    NGetRequest,
    NGetResponse,
    NSetRequest,
    NSetResponse,
    response_to,
)
from dicos_proto.errors import LocalProtocolError
from dicos_proto.limits import Limits
from dicos_proto.registry import status
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import Abort
from tests.pair import CT, VERIFICATION, Lone, command, p_data, start

SET = NSetRequest(message_id=1, requested_sop_class_uid=CT, requested_sop_instance_uid="1.2.3")
WAS_SET = NSetResponse(message_id_being_responded_to=1, status=0)
GET = NGetRequest(message_id=1, requested_sop_class_uid=CT, requested_sop_instance_uid="1.2.3")
GOT = NGetResponse(message_id_being_responded_to=1, status=0)
FIND = CFindRequest(message_id=1, affected_sop_class_uid=CT)
REPORT = NEventReportRequest(
    message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3", event_type_id=1
)


def echo(number: int = 1) -> CEchoRequest:
    return CEchoRequest(message_id=number, affected_sop_class_uid=VERIFICATION)


def echoed(number: int = 1) -> CEchoResponse:
    return CEchoResponse(message_id_being_responded_to=number, affected_sop_class_uid=VERIFICATION, status=0)


def found(number: int = 1, code: int = 0xFF00) -> CFindResponse:
    return CFindResponse(message_id_being_responded_to=number, status=code)


def come_to(flow: flows.Flow[Any], lone: Lone, steps: int = 100) -> Any:
    """Returns the result of a flow whose peer takes everything and sends nothing more."""
    for _ in range(steps):
        lone.sent()
        try:
            next(flow)
        except StopIteration as done:
            return done.value
    raise AssertionError("the flow goes on and on")


def pieces(count: int) -> Iterator[bytes]:
    return (bytes(100) for _ in range(count))


# -- early answers -------------------------------------------------------------------------------------------------


def test_an_early_answer_that_floods_is_not_collected() -> None:
    """Its request is still being sent, so nobody reads the answer yet; its sender has to wait."""
    user = Lone.user(limits=Limits(queued=100, parked=1000))
    flow = ask(user.exchange, 3, SET, pieces(1000))
    assert next(flow) is flows.Need.DRAIN
    user.engine.receive_data(command(3, WAS_SET, has_data=True))
    for _ in range(200):
        user.engine.receive_data(p_data((3, False, False, bytes(1000))))
        assert next(flow) is flows.Need.DRAIN
    held = 200 * 1012
    assert user.engine._upper.reader.unread > held - 3000
    user.engine.receive_data(p_data((3, False, True, b"end.")))
    assert come_to(flow, user, 3000) == WAS_SET


def test_what_is_refused_while_its_data_set_comes_is_refused_whoever_reads_the_rest() -> None:
    user = Lone.user(limits=Limits(queued=100, parked=1000))
    flow = inquire(user.exchange, 3, SET, pieces(3))
    assert next(flow) is flows.Need.DRAIN
    user.engine.receive_data(command(3, WAS_SET) + command(3, REPORT, has_data=True))
    user.engine.receive_data(p_data((3, False, False, bytes(2000))))
    assert come_to(flow, user).response == WAS_SET
    user.engine.receive_data(p_data((3, False, False, bytes(2000)), (3, False, True, b"end.")))
    again = replace(REPORT, message_id=2)
    user.engine.receive_data(command(3, again) + command(3, REPORT, has_data=True) + p_data((3, False, True, b"ab")))
    assert come_to(next_request(user.exchange), user) == start(3, again)
    assert user.engine.operations.owed == 1  # the first report was refused
    come_to(respond(user.exchange, 3, response_to(again, 0)), user)
    assert come_to(next_request(user.exchange), user) == start(3, REPORT, has_data=True)
    assert come_to(read_data(user.exchange), user) == b"ab"


def test_the_refused_data_set_is_not_that_of_the_message_being_read() -> None:
    user = Lone.user(limits=Limits(queued=100, parked=1000))
    operation = UserOperation(user.exchange, 3, GET)
    user.sent()
    flow = operation.next()
    assert next(flow) is flows.Need.INPUT
    user.engine.receive_data(command(3, GOT, has_data=True) + p_data((3, False, True, b"mine")))
    assert come_to(flow, user) == start(3, GOT, has_data=True)
    assert come_to(read_data(user.exchange), user) == b"mine"

    early = Lone.user(limits=Limits(queued=100, parked=1000))
    operation = UserOperation(early.exchange, 3, SET, pieces(3))
    flow = operation.next()
    assert next(flow) is flows.Need.DRAIN
    early.engine.receive_data(command(3, WAS_SET, has_data=True) + p_data((3, False, True, b"mine")))
    early.engine.receive_data(command(3, REPORT, has_data=True) + p_data((3, False, False, bytes(2000))))
    assert come_to(flow, early) == start(3, WAS_SET, has_data=True)
    early.engine.receive_data(p_data((3, False, True, b"not mine")))
    come_to(absorb_pending(early.exchange), early)
    assert early.sent() == command(3, response_to(REPORT, status.RESOURCE_LIMITATION))
    assert come_to(read_data(early.exchange), early) == b"mine"


# -- the user mixes things up --------------------------------------------------------------------------------------


def test_a_match_nobody_read_is_not_the_beginning_of_the_next() -> None:
    user = Lone.user()
    operation = UserOperation(user.exchange, 3, FIND, b"keys")
    user.sent()
    user.engine.receive_data(
        b"".join(command(3, found(), has_data=True) + p_data((3, False, True, name)) for name in (b"first.", b"second"))
    )
    assert come_to(operation.next(), user) == start(3, found(), has_data=True)
    assert come_to(operation.next(), user) == start(3, found(), has_data=True)
    assert come_to(read_data(user.exchange), user) == b"second"


def test_an_operation_that_is_over_has_no_next_response() -> None:
    user = Lone.user()
    operation = UserOperation(user.exchange, 1, echo())
    user.engine.receive_data(command(1, echoed()))
    assert come_to(operation.next(), user) == start(1, echoed())
    with pytest.raises(LocalProtocolError, match="C-ECHO-RQ 1 is over"):
        next(operation.next())


def test_an_answer_is_not_waited_for_while_a_request_of_the_peer_is_being_read() -> None:
    user = Lone.user()
    operation = UserOperation(user.exchange, 1, echo())
    user.sent()
    user.engine.receive_data(command(3, REPORT, has_data=True) + p_data((3, False, False, b"ab")))
    assert come_to(next_request(user.exchange), user) == start(3, REPORT, has_data=True)
    with pytest.raises(LocalProtocolError, match="N-EVENT-REPORT-RQ is being read"):
        next(operation.next())
    user.engine.receive_data(p_data((3, False, True, b"cd")) + command(1, echoed()))
    assert come_to(read_data(user.exchange), user) == b"abcd"
    assert come_to(operation.next(), user) == start(1, echoed())


def test_a_reply_that_cannot_be_sent_is_refused_at_once_and_not_when_its_turn_comes() -> None:
    user = Lone.user(limits=Limits(queued=100))
    user.engine.receive_data(command(3, REPORT))
    assert come_to(next_request(user.exchange), user) == start(3, REPORT)
    user.exchange.send(3, SET, pieces(5))
    assert user.exchange.sending
    with pytest.raises(LocalProtocolError):
        user.exchange.reply(reply_to(start(3, REPORT), 0x10000))
    user.exchange.reply(reply_to(start(3, REPORT), 0))
    come_to(complete(user.exchange), user)
    assert user.engine.operations.owed == 0


def test_the_end_is_the_end_whatever_was_being_sent() -> None:
    user = Lone.user(limits=Limits(queued=100))
    flow = ask(user.exchange, 3, SET, pieces(100))
    assert next(flow) is flows.Need.DRAIN
    user.engine.receive_data(encode(Abort()))
    with pytest.raises(flows.AssociationAborted, match="the peer says"):
        next(flow)
    user.sent()
    with pytest.raises(flows.AssociationAborted, match="the peer says"):
        come_to(next_request(user.exchange), user)
