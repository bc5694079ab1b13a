"""The table as it works: `UpperLayer` brought into each state, then given each event, by bytes, primitives or time."""

import pytest

from dicos_proto.errors import DeadlineExceeded, LocalProtocolError, Malformed, RemoteProtocolError
from dicos_proto.limits import Limits
from dicos_proto.timers import Timeouts
from dicos_proto.tolerance import STRICT
from dicos_proto.upper_layer.core import Core
from dicos_proto.upper_layer.events import Closed, Fragment, ProviderAbort
from dicos_proto.upper_layer.layer import UpperLayer
from dicos_proto.upper_layer.machine import Role, State
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    ReleaseRequest,
    ReleaseResponse,
)
from tests.pair import POLICY, REQUEST, p_data, pdus
from tests.upper_layer.test_machine_table import EFFECTS, TYPED

ACCEPT = negotiate(REQUEST, POLICY)
assert isinstance(ACCEPT, AssociateAccept)
REJECT = AssociateReject()
RELEASE_RQ, RELEASE_RP = encode(ReleaseRequest()), encode(ReleaseResponse())

RECEIVED: dict[int, bytes] = {
    3: encode(ACCEPT),
    4: encode(REJECT),
    6: encode(REQUEST),
    10: p_data((1, True, True, b"abcd")),
    12: RELEASE_RQ,
    13: RELEASE_RP,
    16: encode(Abort(source=2, reason=1)),
    19: b"\x99\x00\x00\x00\x00\x00",
}
INDICATED = {
    3: ACCEPT,
    4: REJECT,
    6: REQUEST,
    12: ReleaseRequest(),
    13: ReleaseResponse(),
    16: Abort(source=2, reason=1),
}
PRIMITIVES = {7: ACCEPT, 8: REJECT, 11: ReleaseRequest(), 14: ReleaseResponse(), 15: Abort()}
SENT = {7: 2, 8: 3, 9: 4, 11: 5, 14: 6}
USER, PROVIDER = Role.REQUESTOR, Role.ACCEPTOR


def _drive(layer: UpperLayer, *steps: object) -> UpperLayer:
    for one in steps:
        if isinstance(one, bytes):
            layer.receive_data(one)
            events(layer)
        else:
            layer.send(one)  # type: ignore[arg-type]
    layer.data_to_send()
    return layer


def events(layer: UpperLayer) -> list[object]:
    found: list[object] = []
    while (event := layer.next_event()) is not None:
        found.append(event)
        if event == Closed():
            break
    return found


OPENED: dict[Role, tuple[object, ...]] = {USER: (REQUEST, encode(ACCEPT)), PROVIDER: (encode(REQUEST), ACCEPT)}
PATHS: dict[tuple[int, Role], tuple[object, ...]] = {
    (1, USER): (),
    (2, PROVIDER): (),
    (3, PROVIDER): (encode(REQUEST),),
    (5, USER): (REQUEST,),
    **{(6, role): steps for role, steps in OPENED.items()},
    **{(7, role): (*steps, ReleaseRequest()) for role, steps in OPENED.items()},
    **{(8, role): (*steps, RELEASE_RQ) for role, steps in OPENED.items()},
    (9, USER): (*OPENED[USER], ReleaseRequest(), RELEASE_RQ),
    (10, PROVIDER): (*OPENED[PROVIDER], ReleaseRequest(), RELEASE_RQ),
    (11, USER): (*OPENED[USER], ReleaseRequest(), RELEASE_RQ, ReleaseResponse()),
    (12, PROVIDER): (*OPENED[PROVIDER], ReleaseRequest(), RELEASE_RQ, RELEASE_RP),
    **{(13, role): (*steps, Abort()) for role, steps in OPENED.items()},
}
"""State -> how it is reached. Sta4 is passed within `send`, because an `UpperLayer` is made with an open connection."""


def reach(state: int, role: Role) -> UpperLayer:
    layer = _drive(UpperLayer(role), *PATHS[state, role])
    assert layer.state == state
    layer.deadline(0.0)
    return layer


def expected(state: int, event: int, role: Role) -> tuple[str, int] | None:
    cell = TYPED[state].get(event)
    if cell is None:
        return None
    action, _, states = cell.partition(" ")
    first, _, second = states.partition("|")
    return EFFECTS[action], int(first if role is USER or not second or action == "AE-6" else second)


@pytest.mark.parametrize("event", [*RECEIVED, 17], ids=lambda number: f"Evt{number}")
@pytest.mark.parametrize(("state", "role"), list(PATHS)[1:], ids=lambda value: getattr(value, "value", f"Sta{value}"))
def test_what_comes_from_the_peer(state: int, role: Role, event: int) -> None:
    layer = reach(state, role)
    if event == 17:
        layer.receive_eof()
    else:
        layer.receive_data(RECEIVED[event])
    found = events(layer)
    wanted = expected(state, event, role)
    assert wanted is not None
    effects, after = wanted
    assert layer.state == after
    sent = [decode(pdu) for pdu in pdus(b"".join(layer.data_to_send()))]
    if "u" in effects:
        assert sent == [Abort()]
    elif "p" in effects:
        reason = 1 if event == 19 else 2
        assert sent == [Abort(source=2, reason=reason)]
    else:
        assert sent == []
    closed = after == 1
    assert layer.wants_close == closed
    indications = found[:-1] if closed else found
    if "P" in effects:
        (abort,) = indications
        assert isinstance(abort, ProviderAbort)
    elif "i" in effects and event == 10:
        (fragment,) = indications
        assert isinstance(fragment, Fragment)
        assert (fragment.context, fragment.command, fragment.last, bytes(fragment.data)) == (1, True, True, b"abcd")
    elif "i" in effects:
        assert indications == [INDICATED[event]]
    elif state == 2 and event != 17 and effects == "u+":
        (abort,) = indications  # the table has none here; the user of a server has a log
        assert isinstance(abort, ProviderAbort)
        assert isinstance(abort.error, RemoteProtocolError)
    else:
        assert indications == []
    if "+" in effects:
        deadline = layer.deadline(50.0)
        assert deadline is not None
        assert (deadline.at, deadline.why) == (80.0, "ARTIM: waiting for the peer to close")
    elif closed:
        assert layer.deadline(50.0) is None


@pytest.mark.parametrize("event", [*PRIMITIVES, 1, 9], ids=lambda number: f"Evt{number}")
@pytest.mark.parametrize(("state", "role"), PATHS, ids=lambda value: getattr(value, "value", f"Sta{value}"))
def test_what_the_user_asks_for(state: int, role: Role, event: int) -> None:
    layer = reach(state, role)
    before = layer.deadline(10.0)
    pdu = decode(RECEIVED[10]) if event == 9 else REQUEST if event == 1 else PRIMITIVES[event]
    wanted = expected(state, event, role)
    if wanted is None:
        with pytest.raises(LocalProtocolError, match=rf"cannot be sent in Sta{state} \[PS3.8 table 9-10\]"):
            layer.send(pdu)
        assert layer.state == state
        assert layer.data_to_send() == []
        assert layer.deadline(10.0) == before
        return
    layer.send(pdu)
    effects, after = wanted
    if event == 1:
        after = 5  # Evt2 follows at once
    assert layer.state == after
    sent = pdus(b"".join(layer.data_to_send()))
    assert [pdu[0] for pdu in sent] == [1 if event == 1 else 7 if event == 15 else SENT[event]]
    if "+" in effects:
        deadline = layer.deadline(50.0)
        assert deadline is not None
        assert deadline.why == "ARTIM: waiting for the peer to close"


@pytest.mark.parametrize(("state", "role"), [(2, PROVIDER), (13, USER), (13, PROVIDER)])
def test_artim_closes(state: int, role: Role) -> None:
    layer = reach(state, role)
    layer.handle_timeout(29.9)
    assert layer.next_event() is None
    layer.handle_timeout(30.0)
    found = events(layer)
    assert layer.state is State.Sta1
    assert layer.wants_close
    assert layer.data_to_send() == []
    if state == 2:
        (abort, closed) = found
        assert isinstance(abort, ProviderAbort)
        assert isinstance(abort.error, DeadlineExceeded)
        assert closed == Closed()
    else:
        assert found == [Closed()]


@pytest.mark.parametrize("version", [0x0002, 0x0000])
def test_a_protocol_version_without_bit_0_is_rejected_by_the_provider(version: int) -> None:
    layer = UpperLayer(PROVIDER)
    asked = encode(REQUEST)
    layer.receive_data(asked[:6] + version.to_bytes(2, "big") + asked[8:])
    (abort,) = events(layer)
    assert isinstance(abort, ProviderAbort)
    assert "protocol version" in str(abort.error)
    assert decode(b"".join(layer.data_to_send())) == AssociateReject(result=1, source=2, reason=2)
    assert layer.state is State.Sta13


@pytest.mark.parametrize("version", [0x0001, 0x8001, 0xFFFF])
def test_only_bit_0_of_the_protocol_version_counts(version: int) -> None:
    layer = UpperLayer(PROVIDER)
    asked = encode(REQUEST)
    layer.receive_data(asked[:6] + version.to_bytes(2, "big") + asked[8:])
    assert layer.state is State.Sta2
    events(layer)
    assert layer.state is State.Sta3


def test_a_requestor_that_has_not_asked_reads_nothing_and_may_be_closed() -> None:
    layer = UpperLayer(USER)
    layer.receive_data(encode(ACCEPT))
    assert layer.next_event() is None
    layer.receive_eof()
    assert events(layer)[-1] == Closed()
    with pytest.raises(LocalProtocolError, match="cannot be sent in Sta1"):
        layer.send(REQUEST)


def test_there_is_no_fault_to_find_before_anything_was_asked() -> None:
    with pytest.raises(LocalProtocolError, match="Evt19 cannot happen in Sta1"):
        Core(USER, Limits(), Timeouts(), STRICT).fail(Malformed("nothing", "PS3.8 9.3.1"))


def test_after_the_end_bytes_are_of_no_use() -> None:
    layer = reach(6, USER)
    layer.receive_data(encode(Abort()))
    assert events(layer) == [Abort(), Closed()]
    layer.receive_data(RECEIVED[10])
    layer.receive_eof()
    assert not layer.wants_read
    assert layer.next_event() == layer.next_event() == Closed()
