"""The twelve deviations of Stratovan's toolkit: each is refused by its name under STRICT, or needs no tolerance.

| quirk | test |
|---|---|
| Q1 the length of an accepted context item includes its own header | refused by name |
| Q2 a command set and its data set in one byte stream | refused by name, in each of its forms |
| Q3 a whole object in one PDV | no deviation with Maximum Length 0; beyond it, refused by name |
| Q4 an A-ABORT of two bytes | the association ends, by its deadline |
| Q5 a user identity without the length of its secondary field | refused by name |
| Q6 a user identity response that nobody asked for, and the requestor's user information | refused by name; ignored |
| Q7 contexts that are not answered, in descending order | refused by name; no order is prescribed |
| Q8 invalid UIDs | refused by name |
| Q9 a release asked for by the acceptor | no deviation: it is answered |
| Q10 command sets that are not fragmented | ours is never fragmented where one PDV has room |
| Q11 silence | every wait has a deadline |
| Q12 a small Maximum Length is refused | ours is larger by default |
"""

import pytest

from dicos_proto.association import Association
from dicos_proto.dimse.codec import encode_command
from dicos_proto.dimse.events import Event, MessageData, MessageStart
from dicos_proto.dimse.types import CEchoRequest, CStoreRequest
from dicos_proto.limits import DEFAULT_MAX_LENGTH
from dicos_proto.registry import uids
from dicos_proto.tolerance import FIELD, STRATOVAN, STRICT, Tolerance
from dicos_proto.upper_layer.events import Closed, Deviation, ProviderAbort
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import AssociateAccept, AssociateRequest, PData, ReleaseRequest, UserInformation
from dicos_proto.upper_layer.policy import AcceptPolicy
from tests.association.test_automatic import (
    ASKED,
    CT,
    SHORT_ABORT,
    USER_A,
    answering,
    asking,
    joined_store,
)
from tests.pair import Lone, Splitter, p_data, pdus, splitters

SPLITS = pytest.mark.parametrize("split", splitters().values(), ids=splitters())
GOOD = "1.2.3"


def acceptor(tolerance: Tolerance, split: Splitter, max_length: int = 0) -> Lone:
    """An association with a client without a fault so far."""
    lone = Lone(Association.acceptor(tolerance=tolerance), split)
    (asked,) = lone.feed(asking(uid=GOOD))
    assert isinstance(asked, AssociateRequest)
    lone.engine.send(negotiate(asked, AcceptPolicy(other_contexts=uids.TRANSFER_SYNTAXES, max_length=max_length)))
    return lone


def requestor(tolerance: Tolerance, split: Splitter) -> Lone:
    return Lone(Association.requestor(ASKED, tolerance=tolerance), split)


def established(tolerance: Tolerance, split: Splitter) -> Lone:
    """An association with a server without a fault so far."""
    lone = requestor(tolerance, split)
    (answer,) = lone.feed(answering(wrong=0, response=b""))
    assert isinstance(answer, AssociateAccept)
    return lone


def reasons(found: list[Event]) -> list[str]:
    return [str(event.error) for event in found if isinstance(event, ProviderAbort)]


STORE = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
BAD = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1720554634.52603.5867")
WHOLE = p_data((1, True, True, encode_command(STORE, has_data=True) + b"abcd"))
OVER = encode_command(STORE, has_data=True)

ACCEPTOR = {
    "Q2, a large object": (
        p_data((1, True, False, OVER + bytes(100_000)), (1, False, True, b"")),
        "command PDV that goes on after the end of the command set [PS3.8 annex E]",
    ),
    "Q2, in several PDVs": (
        joined_store(),
        "command PDV that goes on after the end of the command set [PS3.8 annex E]",
    ),
    "Q2, in one PDV": (WHOLE, "command group length"),
    "Q8": (p_data((1, True, True, encode_command(BAD, has_data=True))), "begins with invalid arcs [PS3.5 9.1]"),
}
ANSWERS = {
    "Q1": (answering(), "presentation context item of 34 bytes counts the 4 of its own header [PS3.8 9.3.3.2]"),
    "Q6": (answering(wrong=0), "user identity response where none was asked for [PS3.7 D.3.3.7.2]"),
    "Q7": (
        answering(wrong=0, response=b"", contexts=(3,)),
        "1 of 2 proposed presentation contexts not answered [PS3.8 9.3.3.2]",
    ),
}


@SPLITS
@pytest.mark.parametrize("name", ACCEPTOR)
def test_a_message_is_refused_by_name(name: str, split: Splitter) -> None:
    received, text = ACCEPTOR[name]
    (reason,) = reasons(acceptor(STRICT, split).feed(received))
    assert text in reason
    assert reasons(acceptor(STRATOVAN, split).feed(received)) == []


@SPLITS
def test_q3_one_pdv_of_any_length_is_refused_only_beyond_the_maximum_length(split: Splitter) -> None:
    long = p_data((1, True, True, OVER)) + p_data((1, False, True, bytes(40_000)))
    assert reasons(acceptor(STRICT, split).feed(long)) == []
    (reason,) = reasons(acceptor(STRICT, split, max_length=16_384).feed(long))
    assert "P-DATA-TF longer than the Maximum Length" in reason
    assert "40006" in reason


@SPLITS
@pytest.mark.parametrize("opening", [acceptor, established])
def test_q4_a_short_abort_ends_the_association_at_its_deadline_or_at_once(opening: object, split: Splitter) -> None:
    for tolerance in (STRICT, FIELD):
        lone = opening(tolerance, split)  # type: ignore[operator]
        assert lone.feed(SHORT_ABORT) == []
        lone.engine.deadline(0.0)
        at = lone.engine.deadline(1.0)
        assert "PDU: waiting for the rest of one" in at.why
        lone.engine.handle_timeout(at.at + 1)
        (reason,) = reasons(lone.events())
        assert "PDU: waiting for the rest of one" in reason
    found = opening(STRATOVAN, split).feed(SHORT_ABORT)  # type: ignore[operator]
    assert [one.name for one in found if isinstance(one, Deviation)] == ["short_abort"]
    assert found[-1] == Closed()


@SPLITS
def test_q5_a_user_identity_is_refused_by_name(split: Splitter) -> None:
    request = asking(uids.DICOS_APPLICATION_CONTEXT_V03, uids.EXPLICIT_VR_LE, GOOD, None, USER_A)
    (reason,) = reasons(Lone(Association.acceptor(tolerance=STRICT), split).feed(request))
    assert "user identity" in reason
    assert "2 bytes wanted, 0 left [PS3.7 D.3.3.7]" in reason


@SPLITS
def test_q8_a_request_is_refused_by_name(split: Splitter) -> None:
    (reason,) = reasons(Lone(Association.acceptor(tolerance=STRICT), split).feed(asking()))
    assert "class UID '589819685.55210.17349.165143.11411818077180154' begins with invalid arcs [PS3.5 9.1]" in reason


@SPLITS
@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_refused_by_name(name: str, split: Splitter) -> None:
    received, text = ANSWERS[name]
    assert reasons(requestor(STRICT, split).feed(received)) == [text]
    assert reasons(requestor(STRATOVAN, split).feed(received)) == []


@SPLITS
def test_q6_and_q7_what_is_well_formed_is_no_deviation(split: Splitter) -> None:
    """The user information is our own, and the contexts come in descending order."""
    lone = established(STRICT, split)
    assert lone.engine.terms.deviations == ()
    assert set(lone.engine.contexts) == {1, 3}


@SPLITS
def test_q9_a_release_by_the_acceptor_is_answered(split: Splitter) -> None:
    lone = established(STRICT, split)
    assert lone.feed(encode(ReleaseRequest())) == [ReleaseRequest()]


def test_q10_our_command_sets_are_never_in_fragments() -> None:
    lone = established(STRICT, splitters()["whole"])
    lone.engine.data_to_send()
    lone.engine.send(MessageStart(context=1, command=STORE, has_data=True))
    lone.engine.send(MessageData(context=1, data=b"abcd", last=True))
    found = [decode(one) for one in pdus(b"".join(map(bytes, lone.engine.data_to_send())))]
    assert [[(pdv.command, pdv.last) for pdv in one.pdvs] for one in found if isinstance(one, PData)] == [
        [(True, True)], [(False, True)],
    ]  # fmt: skip


def test_q11_every_wait_has_a_deadline() -> None:
    waits = []
    silent = Lone(Association.requestor(ASKED))
    waits.append(silent.engine.deadline(0.0))
    lone = established(STRICT, splitters()["whole"])
    lone.engine.send(
        MessageStart(context=1, command=CEchoRequest(message_id=1, affected_sop_class_uid=CT), has_data=False)
    )
    lone.engine.next_event()
    waits.append(lone.engine.deadline(0.0))
    waits.append(Association.acceptor().deadline(0.0))
    assert [one is not None and one.why.split(":")[0] for one in waits] == ["association", "response", "ARTIM"]


def test_q12_our_maximum_length_is_not_too_small() -> None:
    assert UserInformation().max_length == AcceptPolicy().max_length == DEFAULT_MAX_LENGTH >= 1000
