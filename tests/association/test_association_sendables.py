"""Everything an association can be asked to send, in every state: sent, or refused and nothing has changed.

The states are those of PS3.8 9.2.1, reached by bytes of a peer; what may be sent where is typed here by hand.
"""

from array import array
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest

from dicos_proto.association import Association
from dicos_proto.dimse.events import MessageData, Sendable
from dicos_proto.dimse.types import CCancelRequest, CEchoRequest, CEchoResponse, CStoreRequest, CStoreResponse
from dicos_proto.errors import LocalProtocolError
from dicos_proto.limits import Limits
from dicos_proto.timers import Deadline, Timeouts
from dicos_proto.upper_layer.events import Closed
from dicos_proto.upper_layer.machine import Role, State
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ReleaseRequest,
    ReleaseResponse,
)
from tests.pair import (
    CT,
    POLICY,
    REQUEST,
    VERIFICATION,
    Lone,
    Pair,
    command,
    data,
    p_data,
    pdus,
    policy,
    request,
    start,
)

ECHO = CEchoRequest(message_id=1, affected_sop_class_uid=VERIFICATION)
ECHOED = CEchoResponse(message_id_being_responded_to=1, status=0)
STORE = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
ACCEPT = negotiate(REQUEST, POLICY)
assert isinstance(ACCEPT, AssociateAccept)
ASKED, ACCEPTED = encode(REQUEST), encode(ACCEPT)
RELEASE_RQ, RELEASE_RP = encode(ReleaseRequest()), encode(ReleaseResponse())

SENDABLES: dict[str, Sendable] = {
    "A-ASSOCIATE-RQ": REQUEST,
    "A-ASSOCIATE-AC": ACCEPT,
    "A-ASSOCIATE-RJ": AssociateReject(),
    "A-RELEASE-RQ": ReleaseRequest(),
    "A-RELEASE-RP": ReleaseResponse(),
    "A-ABORT": Abort(),
    "cancel": start(1, CCancelRequest(message_id_being_responded_to=1)),
    "data": data(3, b"ab"),
}


def asked_for() -> Association:
    engine = Association.acceptor()
    Lone(engine).feed(ASKED)
    return engine


def open_user(*steps: Sendable | bytes) -> Association:
    engine = Association.requestor(REQUEST)
    return after(engine, ACCEPTED, *steps)


def open_provider(*steps: Sendable | bytes) -> Association:
    return after(asked_for(), ACCEPT, *steps)


def after(engine: Association, *steps: Sendable | bytes) -> Association:
    lone = Lone(engine)
    for step in steps:
        if isinstance(step, bytes):
            lone.feed(step)
        else:
            engine.send(step)
    return engine


COLLISION = (ReleaseRequest(), RELEASE_RQ)
HALF = (start(3, STORE, has_data=True), data(3, b"abc", last=False))
STATES: dict[str, Callable[[], Association]] = {
    "Sta1 user, idle": lambda: Association(Role.REQUESTOR, Limits(), Timeouts()),
    "Sta1 user, closed": lambda: open_user(encode(Abort())),
    "Sta1 provider, closed": lambda: open_provider(encode(Abort())),
    "Sta2 provider": Association.acceptor,
    "Sta3 provider": asked_for,
    "Sta5 user": lambda: Association.requestor(REQUEST),
    "Sta6 user": open_user,
    "Sta6 provider": open_provider,
    "Sta6 user, sending": lambda: open_user(*HALF),
    "Sta7 user": lambda: open_user(ReleaseRequest()),
    "Sta7 provider": lambda: open_provider(ReleaseRequest()),
    "Sta8 user": lambda: open_user(RELEASE_RQ),
    "Sta8 provider": lambda: open_provider(RELEASE_RQ),
    "Sta8 user, sending": lambda: open_user(*HALF, RELEASE_RQ),
    "Sta9 user": lambda: open_user(*COLLISION),
    "Sta10 provider": lambda: open_provider(*COLLISION),
    "Sta11 user": lambda: open_user(*COLLISION, ReleaseResponse()),
    "Sta12 provider": lambda: open_provider(*COLLISION, RELEASE_RP),
    "Sta13 user": lambda: open_user(Abort()),
    "Sta13 provider": lambda: open_provider(Abort()),
}
"""Each state of each role. Sta4 is passed within `send`; Sta2 and Sta3 are an acceptor's, Sta5 a requestor's, and of a
release collision Sta9 and Sta11 are the requestor's, Sta10 and Sta12 the acceptor's."""
MAY: dict[str, dict[str, str]] = {
    "Sta1 user, idle": {"A-ASSOCIATE-RQ": "Sta5"},
    "Sta3": {"A-ASSOCIATE-AC": "Sta6", "A-ASSOCIATE-RJ": "Sta13", "A-ABORT": "Sta13"},
    "Sta5": {"A-ABORT": "Sta13"},
    "Sta6": {"A-RELEASE-RQ": "Sta7", "A-ABORT": "Sta13", "cancel": "Sta6"},
    "Sta6 user, sending": {"A-ABORT": "Sta13", "data": "Sta6"},
    "Sta8 user, sending": {"A-ABORT": "Sta13", "data": "Sta8"},
    "Sta7": {"A-ABORT": "Sta13"},
    "Sta8": {"A-RELEASE-RP": "Sta13", "A-ABORT": "Sta13", "cancel": "Sta8"},
    "Sta9": {"A-RELEASE-RP": "Sta11", "A-ABORT": "Sta13"},
    "Sta10": {"A-ABORT": "Sta13"},
    "Sta11": {"A-ABORT": "Sta13"},
    "Sta12": {"A-RELEASE-RP": "Sta13", "A-ABORT": "Sta13"},
}
"""State, of both roles unless more is named -> what may be sent there, and the state that follows."""
KINDS = {
    "A-ASSOCIATE-RQ": 1, "A-ASSOCIATE-AC": 2, "A-ASSOCIATE-RJ": 3, "cancel": 4, "data": 4, "A-RELEASE-RQ": 5,
    "A-RELEASE-RP": 6, "A-ABORT": 7,
}  # fmt: skip


def seen(engine: Association) -> tuple[object, ...]:
    """All that a user can see of it. No deadline but the earliest is seen: the rest come out once that is over."""
    return (
        engine.terms.role,
        engine.state,
        engine.bytes_queued,
        engine.operations.outstanding,
        engine.operations.owed,
        engine.operations.sending,
        engine.wants_read,
        engine.wants_close,
        dict(engine.contexts),
        engine.terms.agreement,
        engine.terms.request,
        engine.deadline(7.0),
        engine.next_event(),
    )


def all_deadlines(engine: Association) -> list[Deadline]:
    """Each deadline that runs, one after the other, until time has ended it all. Uses the engine up."""
    found: list[Deadline] = []
    while (deadline := engine.deadline(7.0)) is not None:
        found.append(deadline)
        engine.handle_timeout(deadline.at)
        while engine.next_event() not in (None, Closed()):
            pass
    return found


def may(state: str, what: str) -> str | None:
    return MAY.get(state, MAY.get(state.split()[0], {})).get(what)


def test_every_state_of_every_role_and_every_sendable_is_tried() -> None:
    assert {type(event) for event in SENDABLES.values()} == set(get_args(Sendable))
    assert {STATES[name]().state for name in STATES} == set(State) - {State.Sta4}
    for name in STATES:
        assert STATES[name]().terms.role is (Role.REQUESTOR if "user" in name else Role.ACCEPTOR)


@pytest.mark.parametrize("what", SENDABLES)
@pytest.mark.parametrize("state", STATES)
def test_sent_or_refused_and_nothing_has_changed(state: str, what: str) -> None:
    engine = STATES[state]()
    assert engine.state.name == state.split()[0]
    engine.data_to_send()
    seen(engine)
    before = seen(engine)
    following = may(state, what)
    if following is None:
        with pytest.raises(LocalProtocolError):
            engine.send(SENDABLES[what])
        assert seen(engine) == before
        assert engine.data_to_send() == []
        untouched = STATES[state]()
        seen(untouched)
        assert all_deadlines(engine) == all_deadlines(untouched)
    else:
        engine.send(SENDABLES[what])
        assert engine.state.name == following
        assert {pdu[0] for pdu in pdus(b"".join(engine.data_to_send()))} == {KINDS[what]}


WAITING = [
    (state, what) for state in STATES for what in SENDABLES if STATES[state]().bytes_queued and may(state, what) is None
]


@pytest.mark.parametrize(("state", "what"), WAITING)
def test_what_waits_to_be_sent_stays_when_something_is_refused(state: str, what: str) -> None:
    """As above, with bytes that nobody has taken yet."""
    engine, untouched = STATES[state](), STATES[state]()
    with pytest.raises(LocalProtocolError):
        engine.send(SENDABLES[what])
    assert engine.bytes_queued == untouched.bytes_queued > 0
    assert engine.data_to_send() == untouched.data_to_send()


BUSY: dict[str, Sendable] = {
    "a request beyond the window": start(1, replace(ECHO, message_id=2)),
    "a request whose id is in use": start(1, ECHO),
    "a request on a context that was not accepted": start(7, replace(ECHO, message_id=2)),
    "a response to what was not asked": start(1, replace(ECHOED, message_id_being_responded_to=9)),
    "a response of another kind": start(3, ECHOED),
    "a response on another context": start(1, CStoreResponse(message_id_being_responded_to=1, status=0)),
    "data on another context": data(1, b"ab"),
    "a release nobody asked for": ReleaseResponse(),
    "a second request for an association": REQUEST,
    "a second answer": ACCEPT,
    "a rejection, too late": AssociateReject(),
    "data in pieces of more than a byte": MessageData(context=3, data=memoryview(b"abcd").cast("H"), last=True),
    "data in an array of wide items": MessageData(context=3, data=array("H", [1] * 10), last=True),  # type: ignore[arg-type]
    "data with gaps": MessageData(context=3, data=memoryview(b"abcd")[::2], last=True),
    "no data at all": MessageData(context=3, data=None, last=True),  # type: ignore[arg-type]
    "data that is text": MessageData(context=3, data="abcd", last=True),  # type: ignore[arg-type]
    "data that is a number": MessageData(context=3, data=5, last=True),  # type: ignore[arg-type]
    "a command that cannot be encoded": start(1, replace(ECHO, message_id=-1)),
}
AMID_DATA: dict[str, Sendable] = {
    **BUSY,
    "the response that is owed": start(3, CStoreResponse(message_id_being_responded_to=1, status=0)),
    "a cancel": start(3, CCancelRequest(message_id_being_responded_to=1)),
    "a release": ReleaseRequest(),
}
AMID = [
    *(pytest.param(event, False, id=f"{what}, between messages") for what, event in BUSY.items()),
    *(pytest.param(event, True, id=f"{what}, in a data set") for what, event in AMID_DATA.items()),
]


def busy(role: Role, *, sending: bool) -> Association:
    """One request outstanding and one owed; `sending`: the data set is half sent, and a byte waits for its pair."""
    pair = Pair.established(request(both_roles=True), policy(both_roles=True))
    for side, other in ((pair.user, pair.provider), (pair.provider, pair.user)):
        side.send(start(3, STORE, has_data=True))
        side.send(data(3, b"abc", last=not sending))
        pair.events(other)
    engine = pair.user if role is Role.REQUESTOR else pair.provider
    assert (engine.operations.outstanding, engine.operations.owed, engine.operations.sending) == (1, 1, sending)
    return engine


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("event", "sending"), AMID)
def test_amid_operations_what_is_refused_changes_nothing(event: Sendable, sending: bool, role: Role) -> None:
    engine, untouched = busy(role, sending=sending), busy(role, sending=sending)
    before = seen(engine)
    with pytest.raises(LocalProtocolError):
        engine.send(event)
    assert seen(engine) == before
    for one in (engine, untouched):
        if sending:
            one.send(data(3, b"d"))
        one.send(start(3, CStoreResponse(message_id_being_responded_to=1, status=0)))
    assert engine.data_to_send() == untouched.data_to_send()
    assert all_deadlines(engine) == all_deadlines(untouched)


def test_what_cannot_be_encoded_changes_nothing() -> None:
    for event in (AssociateReject(result=256), Abort(source=-1)):
        engine = asked_for()
        before = seen(engine)
        with pytest.raises(LocalProtocolError):
            engine.send(event)
        assert seen(engine) == before
    with pytest.raises(LocalProtocolError, match="AE title"):
        Association.requestor(AssociateRequest(called_aet="", calling_aet="B", contexts=REQUEST.contexts))


def test_a_command_that_cannot_be_encoded_changes_nothing() -> None:
    engine = open_user()
    engine.data_to_send()
    before = seen(engine)
    with pytest.raises(LocalProtocolError):
        engine.send(start(1, CEchoRequest(message_id=0x10000, affected_sop_class_uid=VERIFICATION)))
    assert seen(engine) == before


@pytest.mark.parametrize("event", [ReleaseRequest(), ReleaseResponse()])
def test_a_release_does_not_cut_a_data_set_short(event: ReleaseRequest | ReleaseResponse) -> None:
    engine = open_user()
    engine.send(start(3, STORE, has_data=True))
    engine.send(data(3, b"ab", last=False))
    if isinstance(event, ReleaseResponse):
        assert Lone(engine).feed(RELEASE_RQ) == [ReleaseRequest()]
    engine.data_to_send()
    before = seen(engine)
    with pytest.raises(LocalProtocolError, match=r"before the data set is complete \[PS3.8 7.2\]"):
        engine.send(event)
    assert seen(engine) == before
    engine.send(data(3, b"cd"))
    engine.send(event)
    assert engine.state is (State.Sta7 if isinstance(event, ReleaseRequest) else State.Sta13)


def test_within_a_data_set_an_abort_is_sent_at_once() -> None:
    pair = Pair.established()
    pair.user.send(start(3, STORE, has_data=True))
    pair.user.send(data(3, b"abcd", last=False))
    pair.user.send(Abort())
    found = pair.events(pair.provider)
    assert found == [start(3, STORE, has_data=True), data(3, b"abcd", last=False), Abort(), Closed()]


def test_what_is_owed_can_be_sent_after_the_peer_asked_for_release() -> None:
    """AR-7: P-DATA in Sta8, which the peer takes in Sta7 (AR-6)."""
    pair = Pair.established()
    pair.user.send(start(1, ECHO))
    pair.user.send(ReleaseRequest())
    assert pair.events(pair.provider) == [start(1, ECHO), ReleaseRequest()]
    pair.provider.send(start(1, ECHOED))
    pair.provider.send(ReleaseResponse())
    assert pair.events(pair.user) == [start(1, ECHOED), ReleaseResponse(), Closed()]
    assert pair.events(pair.provider) == [Closed()]


def test_a_data_set_can_be_completed_in_sta8_and_comes_in_sta7() -> None:
    pair = Pair.established(request(both_roles=True), policy(both_roles=True))
    pair.provider.send(start(3, STORE, has_data=True))
    pair.provider.send(data(3, b"ab", last=False))
    pair.user.send(ReleaseRequest())
    assert pair.events(pair.provider) == [ReleaseRequest()]
    pair.provider.send(data(3, b"cd"))
    pair.provider.send(ReleaseResponse())
    found = pair.events(pair.user)
    assert b"".join(bytes(each.data) for each in found if isinstance(each, MessageData)) == b"abcd"
    assert found[-2:] == [ReleaseResponse(), Closed()]


@pytest.mark.parametrize("state", [name for name in STATES if may(name, "A-ABORT")])
def test_an_abort_from_every_state_ends_both_sides(state: str) -> None:
    engine = STATES[state]()
    lone = Lone(engine)
    engine.send(Abort())
    assert lone.sent().endswith(encode(Abort()))
    assert lone.feed(command(1, ECHO), p_data((1, False, True, b"ab")), RELEASE_RQ, RELEASE_RP) == []
    engine.receive_eof()
    assert lone.events() == [Closed()]
    assert engine.next_event() == Closed()
    assert engine.deadline(0.0) is None


@pytest.mark.parametrize("source", [0, 1, 2, 99])
@pytest.mark.parametrize("state", [name for name in STATES if may(name, "A-ABORT")])
def test_an_abort_of_the_peer_in_every_state_is_told_and_closes(state: str, source: int) -> None:
    lone = Lone(STATES[state]())
    lone.sent()
    assert lone.feed(encode(Abort(source=source, reason=3))) == [Abort(source=source, reason=3), Closed()]
    assert (lone.sent(), lone.engine.wants_close, lone.engine.wants_read) == (b"", True, False)
