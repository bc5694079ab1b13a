"""ARTIM and Sta13: when the timer starts, restarts and stops, and what a peer can still cause there."""

import pytest

from dicos_proto.errors import AbortReason, Malformed, RemoteProtocolError
from dicos_proto.limits import Limits
from dicos_proto.timers import Deadline, Timeouts
from dicos_proto.tolerance import STRICT
from dicos_proto.upper_layer.core import Core
from dicos_proto.upper_layer.events import Closed, ProviderAbort, UpperEvent
from dicos_proto.upper_layer.layer import UpperLayer
from dicos_proto.upper_layer.machine import Role, State
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateRequest,
    PData,
    Pdv,
    ReleaseRequest,
    ReleaseResponse,
)
from tests.pair import POLICY, REQUEST, Splitter, bytewise, p_data, pdus, scattered, whole
from tests.upper_layer import layouts

ACCEPT = negotiate(REQUEST, POLICY)
assert isinstance(ACCEPT, AssociateAccept)
ASKED, ACCEPTED = encode(REQUEST), encode(ACCEPT)
RELEASE_RQ, RELEASE_RP = encode(ReleaseRequest()), encode(ReleaseResponse())
NO_PDU = b"\x99\x00\x00\x00\x00\x00"
CLOSING = "ARTIM: waiting for the peer to close"
USER, PROVIDER = Role.REQUESTOR, Role.ACCEPTOR
ANY = pytest.mark.parametrize("split", [whole, bytewise, scattered(3)], ids=["whole", "bytes", "random"])


def events(layer: UpperLayer) -> list[UpperEvent]:
    found: list[UpperEvent] = []
    while (event := layer.next_event()) is not None:
        found.append(event)
        if event == Closed():
            break
    return found


def feed(layer: UpperLayer, stream: bytes, split: Splitter = whole) -> list[UpperEvent]:
    found: list[UpperEvent] = []
    for chunk in split([stream]):
        layer.receive_data(chunk)
        found += events(layer)
        if layer.wants_close:
            break
    return found


def aborted(limits: Limits = Limits(), timeouts: Timeouts = Timeouts()) -> UpperLayer:  # noqa: B008
    """In Sta13 since 100 s, its A-ABORT taken."""
    layer = UpperLayer(PROVIDER, limits=limits, timeouts=timeouts)
    feed(layer, ASKED)
    layer.send(ACCEPT)
    layer.send(Abort())
    layer.data_to_send()
    assert layer.deadline(100.0) == Deadline(130.0, CLOSING)
    return layer


@pytest.mark.parametrize(
    "stream",
    [ASKED, ACCEPTED, RELEASE_RQ, RELEASE_RP, p_data((1, True, True, b"abcd")), NO_PDU],
    ids=["RQ", "AC", "RELEASE-RQ", "RELEASE-RP", "P-DATA", "none"],
)
@ANY
def test_nothing_a_peer_sends_extends_artim(split: Splitter, stream: bytes) -> None:
    """AA-6 and AA-7 start no timer: the connection to a peer that goes on sending is closed when ARTIM expires."""
    layer = aborted()
    assert feed(layer, stream, split) == []
    assert layer.state is State.Sta13
    assert layer.deadline(120.0) == Deadline(130.0, CLOSING)
    layer.handle_timeout(130.0)
    assert events(layer) == [Closed()]
    assert layer.wants_close


@ANY
def test_artim_starts_anew_where_the_first_pdu_is_refused(split: Splitter) -> None:
    layer = UpperLayer(PROVIDER)
    assert layer.deadline(0.0) == Deadline(30.0, "ARTIM: waiting for the whole A-ASSOCIATE-RQ")
    (abort,) = feed(layer, RELEASE_RQ, split)
    assert isinstance(abort, ProviderAbort)
    assert layer.deadline(20.0) == Deadline(50.0, CLOSING)
    layer.handle_timeout(30.0)  # of the first one nothing is left
    assert events(layer) == []
    layer.handle_timeout(50.0)
    assert events(layer) == [Closed()]


@pytest.mark.parametrize("count", [1, 2, 5])
@ANY
def test_each_request_in_sta13_is_answered_by_one_abort(split: Splitter, count: int) -> None:
    layer = aborted()
    assert feed(layer, ASKED * count, split) == []
    answers = [decode(pdu) for pdu in pdus(b"".join(layer.data_to_send()))]
    assert answers == [Abort(source=2, reason=2)] * count


@pytest.mark.parametrize("there", range(6, 10))
def test_an_abort_of_which_only_the_rest_comes_in_sta13_still_ends_it(there: int) -> None:
    """Its header was judged in the state before; Evt16 happens when the whole PDU is there [PS3.8 table 9-10, AA-2]."""
    layer = UpperLayer(PROVIDER)
    feed(layer, ASKED)
    layer.send(ACCEPT)
    abort = encode(Abort(source=2, reason=2))
    assert feed(layer, abort[:there]) == []
    layer.send(Abort())
    assert layer.state is State.Sta13
    assert feed(layer, abort[there:]) == [Closed()]
    assert layer.wants_close


@ANY
def test_bytes_that_are_no_pdus_are_answered_once(split: Splitter) -> None:
    layer = aborted()
    assert feed(layer, NO_PDU * 50, split) == []
    assert decode(b"".join(layer.data_to_send())) == Abort(source=2, reason=1)


def test_a_peer_that_takes_no_answer_in_sta13_is_not_read_on() -> None:
    """Else a flood of A-ASSOCIATE-RQ fills the memory with A-ABORTs until ARTIM expires."""
    layer = aborted(Limits(queued=30))
    for queued in (10, 20, 30):
        assert layer.wants_read
        feed(layer, ASKED)
        assert layer.bytes_queued == queued
    assert not layer.wants_read
    assert layer.deadline(101.0) == Deadline(130.0, CLOSING)
    layer.data_to_send()
    assert layer.wants_read


def test_what_is_queued_does_not_stop_reading_before_sta13() -> None:
    """Two sides that send at once would wait for each other."""
    layer = UpperLayer(USER, limits=Limits(queued=1))
    layer.send(REQUEST)
    assert layer.bytes_queued > 1
    assert layer.wants_read
    assert feed(layer, ACCEPTED) == [ACCEPT]
    layer.send(PData(pdvs=(Pdv(context=1, command=False, last=True, data=bytes(100)),)))
    assert layer.wants_read


def test_no_artim_waits_for_ever() -> None:
    layer = UpperLayer(PROVIDER, timeouts=Timeouts(artim=None))
    assert layer.deadline(0.0) is None
    layer.handle_timeout(1e9)
    assert layer.next_event() is None
    feed(layer, NO_PDU)
    assert (layer.state, layer.deadline(0.0)) == (State.Sta13, None)
    layer.receive_eof()
    assert events(layer) == [Closed()]


# -- bodies ------------------------------------------------------------------------------------------------------

BAD_BODIES = {
    "no application context": layouts.associate(1, layouts.PROPOSED_ITEM, layouts.user_item()),
    "an item longer than its PDU": layouts.associate(1, b"\x10\x00\x7f\xff"),
}


@pytest.mark.parametrize("stream", BAD_BODIES.values(), ids=BAD_BODIES)
@ANY
def test_a_request_that_cannot_be_decoded_is_aborted_as_table_9_10_says(split: Splitter, stream: bytes) -> None:
    layer = UpperLayer(PROVIDER)
    (abort,) = feed(layer, stream, split)
    assert isinstance(abort, ProviderAbort)
    assert isinstance(abort.error, RemoteProtocolError)
    assert (layer.state, decode(b"".join(layer.data_to_send()))) == (State.Sta13, Abort())  # AA-1: service-user source


@ANY
def test_an_answer_that_cannot_be_decoded_is_aborted_with_its_reason(split: Splitter) -> None:
    layer = UpperLayer(USER)
    layer.send(REQUEST)
    layer.data_to_send()
    (abort,) = feed(layer, layouts.associate(2, layouts.ANSWER_ITEM, layouts.user_item()), split)
    assert isinstance(abort, ProviderAbort)
    assert isinstance(abort.error, RemoteProtocolError)
    assert (layer.state, layer.deadline(5.0)) == (State.Sta13, Deadline(35.0, CLOSING))
    assert decode(b"".join(layer.data_to_send())) == Abort(source=2, reason=abort.error.reason)


@pytest.mark.parametrize(("version", "good"), [(0, False), (2, False), (1, True), (0x8001, True)])
def test_an_answer_is_of_protocol_version_1(version: int, good: bool) -> None:
    layer = UpperLayer(USER)
    layer.send(REQUEST)
    layer.data_to_send()
    (event,) = feed(layer, ACCEPTED[:6] + version.to_bytes(2, "big") + ACCEPTED[8:])
    if good:
        assert isinstance(event, AssociateAccept)
        assert layer.state is State.Sta6
    else:
        assert isinstance(event, ProviderAbort)
        assert str(event.error) == f"protocol version 0x{version:04X}; bit 0 set [PS3.8 9.3.3]"
        assert decode(b"".join(layer.data_to_send())) == Abort(source=2, reason=6)


def test_a_body_that_is_not_wanted_any_more_is_read_over() -> None:
    """The local user aborts between the header of a PDU and its end."""
    layer = UpperLayer(USER)
    layer.send(REQUEST)
    assert feed(layer, ACCEPTED[:100]) == []
    layer.send(Abort())
    assert feed(layer, ACCEPTED[100:]) == []
    assert feed(layer, encode(Abort())) == [Closed()]


def test_a_fault_found_above_is_sent_with_its_reason_and_the_rest_is_read_over() -> None:
    core = Core(PROVIDER, Limits(), Timeouts(), STRICT)
    core.receive_data(ASKED)
    assert isinstance(core.poll(), AssociateRequest)
    core.send(ACCEPT)
    core.outbox.take()
    stream = p_data((1, True, True, bytes(40)))
    core.receive_data(stream[:20])
    assert core.poll() is not None
    core.fail(Malformed("seen above", "PS3.7 9.1", AbortReason.UNEXPECTED_PARAMETER))
    core.receive_data(stream[20:])
    abort = core.poll()
    assert isinstance(abort, ProviderAbort)
    assert str(abort.error) == "seen above [PS3.7 9.1]"
    assert core.poll() is None
    assert decode(b"".join(core.outbox.take())) == Abort(source=2, reason=5)
    core.receive_eof()
    assert core.poll() == Closed()


def test_a_requestor_that_has_not_asked_is_not_harmed_by_what_waits() -> None:
    """Neither PDUs nor rubbish raise when the connection closes before anything was asked."""
    for stream in (ASKED, ACCEPTED, RELEASE_RQ, p_data((1, True, True, b"ab")), NO_PDU, b"\x01"):
        layer = UpperLayer(USER)
        layer.receive_data(stream)
        assert layer.next_event() is None
        layer.receive_eof()
        assert (events(layer), layer.data_to_send(), layer.wants_close) == ([Closed()], [], True)


def test_what_waited_is_read_once_something_is_asked() -> None:
    layer = UpperLayer(USER)
    layer.receive_data(ACCEPTED)
    assert layer.next_event() is None
    layer.send(REQUEST)
    assert layer.next_event() == ACCEPT


@pytest.mark.parametrize("there", [1, 5, 6, 9])
@pytest.mark.parametrize("steps", [[], [RELEASE_RQ]], ids=["Sta6", "Sta8"])
def test_a_pdu_that_stalls_has_a_deadline(steps: list[bytes], there: int) -> None:
    layer = UpperLayer(USER)
    layer.send(REQUEST)
    feed(layer, ACCEPTED)
    for step in steps:
        feed(layer, step)
    assert layer.deadline(0.0) is None
    assert feed(layer, encode(Abort())[:there]) == []
    assert layer.deadline(1.0) == Deadline(61.0, "PDU: waiting for the rest of one")
    layer.handle_timeout(61.0)
    (abort,) = events(layer)
    assert isinstance(abort, ProviderAbort)
    assert str(abort.error) == "PDU: waiting for the rest of one: nothing within 60 s"
    assert layer.state is State.Sta13


@pytest.mark.parametrize("there", [1, 6, 9])
def test_where_artim_runs_a_pdu_has_no_deadline_of_its_own(there: int) -> None:
    """In Sta2 and Sta13, where the user has no primitive to give up with, ARTIM alone bounds a PDU."""
    timeouts = Timeouts(pdu=5.0)
    closing = aborted(timeouts=timeouts)
    opening = UpperLayer(PROVIDER, timeouts=timeouts)
    opening.deadline(100.0)
    for layer, why in ((closing, CLOSING), (opening, "ARTIM: waiting for the whole A-ASSOCIATE-RQ")):
        assert feed(layer, ASKED[:there]) == []
        assert layer.deadline(101.0) == Deadline(130.0, why)
        layer.handle_timeout(106.0)
        assert events(layer) == []
        layer.data_to_send()
        layer.handle_timeout(130.0)
        assert events(layer)[-1] == Closed()
        assert layer.data_to_send() == []


def test_each_pdu_has_a_deadline_of_its_own() -> None:
    """The end of one and the beginning of the next in one chunk."""
    layer = UpperLayer(PROVIDER)
    feed(layer, ASKED)
    layer.send(ACCEPT)
    stream = p_data((1, True, False, b"abcd"))
    feed(layer, stream[:9])
    assert layer.deadline(0.0) == Deadline(60.0, "PDU: waiting for the rest of one")
    feed(layer, stream[9:] + stream[:9])
    assert layer.deadline(50.0) == Deadline(110.0, "PDU: waiting for the rest of one")
    feed(layer, stream[9:])
    assert layer.deadline(51.0) is None
