"""`AUTOMATIC`: Stratovan's toolkit is recognized by all of its signs and a violation, in both roles; nothing else is.

The bytes are written by hand. `test_stratovan_captures` does the same with what the toolkit sent.
"""

import struct
from dataclasses import replace

import pytest

from dicos_proto.association import Association
from dicos_proto.dimse.codec import encode_command
from dicos_proto.dimse.events import Event, MessageData, MessageStart
from dicos_proto.dimse.types import CStoreRequest
from dicos_proto.registry import uids
from dicos_proto.tolerance import FIELD, STRATOVAN, STRICT, Tolerance, Toolkit
from dicos_proto.upper_layer.events import Closed, Deviation, ProviderAbort
from dicos_proto.upper_layer.layer import UpperLayer
from dicos_proto.upper_layer.machine import Role
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import (
    Abort,
    AssociateReject,
    AssociateRequest,
    ProposedContext,
    ReleaseRequest,
    UserInformation,
)
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_proto.upper_layer.recognition import AUTOMATIC, STRATOVAN_TOOLKIT
from tests.pair import Lone, Splitter, p_data, splitters, whole

SPLITS = pytest.mark.parametrize("split", splitters().values(), ids=splitters())
CT, EXTENDED, EXPLICIT = uids.DICOS_CT, uids.DICOS_EXPLICIT_VR_LE_EXTENDED, uids.EXPLICIT_VR_LE
DICOS, DICOM = uids.DICOS_APPLICATION_CONTEXT_V03, uids.DICOM_APPLICATION_CONTEXT
NAME, ROOT = STRATOVAN_TOOLKIT.name, "589819685.55210.17349.165143.11411818077180154"


# -- bytes by hand ---------------------------------------------------------------------------------------------------


def item(kind: int, value: bytes, more: int = 0) -> bytes:
    return struct.pack(">BxH", kind, len(value) + more) + value


def associate(kind: int, application: str, contexts: bytes, user: bytes) -> bytes:
    body = struct.pack(">H2x16s16s32x", 1, b"CENTRAL_SERVER".ljust(16), b"CT_SCANNER_1".ljust(16))
    body += item(0x10, application.encode()) + contexts + item(0x50, user)
    return struct.pack(">BxL", kind, len(body)) + body


def information(uid: str = ROOT, version: str | None = "1.0.1", most: int = 0, *more: bytes) -> bytes:
    named = b"" if version is None else item(0x55, version.encode())
    return item(0x51, struct.pack(">L", most)) + item(0x52, uid.encode()) + named + b"".join(more)


def asking(
    application: str = DICOS, syntax: str = EXTENDED, uid: str = ROOT, version: str | None = "1.0.1", *more: bytes
) -> bytes:
    context = item(0x20, b"\1\0\0\0" + item(0x30, CT.encode()) + item(0x40, syntax.encode()))
    return associate(1, application, context, information(uid, version, 0, *more))


USER_A = item(0x58, struct.pack(">BBH", 1, 1, 5) + b"UserA")  # without the length of the secondary field

ASKED = AssociateRequest(
    called_aet="CENTRAL_SERVER", calling_aet="CT_SCANNER_1", application_context=DICOS,
    contexts=tuple(
        ProposedContext(id=number, abstract_syntax=CT, transfer_syntaxes=(EXPLICIT, EXTENDED)) for number in (1, 3)
    ),
    user_information=UserInformation(max_length=0),
)  # fmt: skip


def answering(
    *,
    application: str = DICOS,
    uid: str = uids.IMPLEMENTATION_CLASS_UID,
    version: str | None = uids.IMPLEMENTATION_VERSION_NAME,
    most: int = 0,
    wrong: int = 4,
    contexts: tuple[int, ...] = (3, 1),
    response: bytes = item(0x59, b"\0\0"),
) -> bytes:
    """As the server does: descending contexts, each 4 too long, and the user information of the requestor."""
    each = (item(0x21, bytes((number, 0, 0, 0)) + item(0x40, EXTENDED.encode()), wrong) for number in contexts)
    return associate(2, application, b"".join(each), information(uid, version, most, response))


def joined_store(number: int = 0) -> bytes:
    """A C-STORE-RQ whose data set follows in the command PDV."""
    command = CStoreRequest(message_id=number, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
    return p_data((1, True, False, encode_command(command, has_data=True) + b"abcd"), (1, False, True, b"efgh"))


SHORT_ABORT = b"\x07\0\0\0\0\x04\x01\x05"


def provider(tolerance: Tolerance = AUTOMATIC, split: Splitter = whole) -> Lone:
    return Lone(Association.acceptor(tolerance=tolerance), split)


def user(tolerance: Tolerance = AUTOMATIC, split: Splitter = whole, asked: AssociateRequest = ASKED) -> Lone:
    return Lone(Association.requestor(asked, tolerance=tolerance), split)


def accept(lone: Lone, found: list[Event], max_length: int = 0) -> None:
    (request,) = (event for event in found if isinstance(event, AssociateRequest))
    policy = AcceptPolicy(other_contexts=uids.TRANSFER_SYNTAXES, max_length=max_length)
    lone.engine.send(negotiate(request, policy, AUTOMATIC))


def told(found: list[Event]) -> list[tuple[str, str]]:
    return [(event.name, event.recognized) for event in found if isinstance(event, Deviation)]


def reason(found: list[Event]) -> str:
    (one,) = (str(event.error) for event in found if isinstance(event, ProviderAbort))
    return one


# -- the peer is the requestor ---------------------------------------------------------------------------------------


@SPLITS
def test_a_client_is_recognized_by_its_request_and_may_go_on_as_it_does(split: Splitter) -> None:
    lone = provider(split=split)
    found = lone.feed(asking(DICOS, EXTENDED, ROOT, "1.0.1", USER_A))
    assert told(found) == [("uid_invalid_root", NAME), ("identity_without_secondary", "")]
    accept(lone, found)
    found = lone.feed(joined_store() + SHORT_ABORT)
    assert told(found) == [("joined_data_set", ""), ("short_abort", "")]
    assert [type(event) for event in found if not isinstance(event, Deviation)] == [
        MessageStart, *(MessageData for event in found if isinstance(event, MessageData)), Abort, Closed,
    ]  # fmt: skip
    assert lone.engine.terms.tolerance is AUTOMATIC


@SPLITS
@pytest.mark.parametrize("application", sorted(STRATOVAN_TOOLKIT.application_contexts))
def test_a_client_without_a_fault_in_its_request_is_recognized_by_its_first_one(
    application: str, split: Splitter
) -> None:
    """As another release may be, which has a valid class UID."""
    lone = provider(split=split)
    found = lone.feed(asking(application, uid="1.2.3"))
    assert told(found) == []
    accept(lone, found)
    assert told(lone.feed(joined_store())) == [("joined_data_set", NAME)]


@SPLITS
def test_a_suspected_client_may_abort_in_short(split: Splitter) -> None:
    lone = provider(split=split)
    accept(lone, lone.feed(asking(uid="1.2.3")))
    (deviation, abort, _) = lone.feed(SHORT_ABORT)
    assert told([deviation]) == [("short_abort", NAME)]
    assert abort == Abort(source=1, reason=5)


def test_a_suspected_client_that_breaks_no_rule_is_not_recognized() -> None:
    lone = provider()
    accept(lone, lone.feed(asking(uid="1.2.3")))
    separate = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
    found = lone.feed(
        p_data((1, True, True, encode_command(separate, has_data=True)), (1, False, True, b"abcd"))
        + encode(ReleaseRequest())
    )
    assert told(found) == []
    assert found[-1] == ReleaseRequest()


def test_a_suspected_client_that_breaks_another_rule_is_refused() -> None:
    lone = provider()
    accept(lone, lone.feed(asking(uid="1.2.3")))
    found = lone.feed(p_data((1, False, True, b"abcd")))
    assert "data PDV on context 1 where a command set is to begin" in reason(found)


@pytest.mark.parametrize(
    ("application", "syntax", "uid", "version"),
    [
        (DICOM, EXTENDED, ROOT, "1.0.1"),
        (DICOS, EXPLICIT, ROOT, "1.0.1"),
        (DICOS, EXTENDED, "1.2.3", "1.0.2"),
        (DICOS, EXTENDED, "1.2.3", None),
    ],
    ids=["its application context", "its transfer syntax", "its implementation", "any version"],
)
@SPLITS
def test_a_client_without_one_of_the_signs_is_refused_where_the_default_refuses_it(
    application: str, syntax: str, uid: str, version: str | None, split: Splitter
) -> None:
    for tolerance in (AUTOMATIC, FIELD):
        lone = provider(tolerance, split)
        found = lone.feed(asking(application, syntax, uid, version))
        accept(lone, found)
        found += lone.feed(joined_store())
        assert all(not recognized for _, recognized in told(found))
        assert "command PDV that goes on after the end of the command set [PS3.8 annex E]" in reason(found)
        lone = provider(tolerance, split)
        found = lone.feed(asking(application, syntax, uid, version, USER_A))
        assert "user identity" in reason(found)


def test_the_data_set_of_a_suspected_client_may_be_longer_than_the_maximum_length() -> None:
    lone = provider()
    accept(lone, lone.feed(asking(uid="1.2.3")), max_length=1000)
    found = lone.feed(p_data((1, True, True, bytes(1001))))
    assert told(found) == [("over_max_length", NAME)]
    lone = provider(STRICT)
    accept(lone, lone.feed(asking(uid="1.2.3")), max_length=1000)
    assert "max_length" in reason(lone.feed(p_data((1, True, True, bytes(1001)))))


# -- the peer is the acceptor ----------------------------------------------------------------------------------------


@SPLITS
def test_a_server_is_recognized_by_its_answer(split: Splitter) -> None:
    lone = user(split=split)
    found = lone.feed(answering(contexts=(3,)) + SHORT_ABORT)
    assert told(found) == [
        ("answer_item_length", NAME), ("unasked_identity_response", ""), ("contexts_unanswered", ""),
        ("short_abort", ""),
    ]  # fmt: skip
    assert set(lone.engine.contexts) == {3}
    assert found[-2:] == [Abort(source=1, reason=5), Closed()]
    texts = [str(one) for one in lone.engine.terms.deviations]
    assert sum(f"; the peer is recognized as {NAME}, whose deviations are accepted" in text for text in texts) == 1


@SPLITS
def test_a_server_with_right_lengths_is_recognized_by_its_first_violation(split: Splitter) -> None:
    lone = user(split=split)
    assert told(lone.feed(answering(wrong=0))) == [("unasked_identity_response", NAME)]
    lone = user(split=split)
    found = lone.feed(answering(wrong=0, response=b"") + SHORT_ABORT)
    assert told(found) == [("short_abort", NAME)]


@pytest.mark.parametrize(
    "answer",
    [
        answering(application=DICOM),
        answering(uid="1.2.3"),
        answering(version=None),
        answering(most=16_384),
    ],
    ids=["application context", "class UID", "version", "maximum length"],
)
@SPLITS
def test_a_server_that_does_not_repeat_the_request_is_refused_by_the_name_of_its_fault(
    answer: bytes, split: Splitter
) -> None:
    for tolerance in (AUTOMATIC, FIELD, STRICT):
        found = user(tolerance, split).feed(answer)
        assert told(found) == []
        assert "counts the 4 of its own header" in reason(found)


def test_a_fault_that_the_toolkit_does_not_have_is_refused_by_its_own_name() -> None:
    broken = answering().replace(item(0x59, b"\0\0"), item(0x51, b"\0\0"))
    found = user().feed(broken)
    assert "counts the 4 of its own header" in reason(found)


def test_an_answer_that_is_no_acceptance_shows_nothing() -> None:
    assert user().feed(encode(AssociateReject(result=1, source=1, reason=2)))[0] == AssociateReject(
        result=1, source=1, reason=2
    )


def test_a_toolkit_that_does_not_echo_is_not_recognized_as_an_acceptor() -> None:
    mute = FIELD.recognizing(replace(STRATOVAN_TOOLKIT, echoes=False))
    assert "counts the 4 of its own header" in reason(user(mute).feed(answering()))


# -- the value -------------------------------------------------------------------------------------------------------


def test_strict_with_the_toolkit_accepts_the_toolkit_only() -> None:
    """The base is any tolerance: what is added is on the association that needs it, and nowhere else."""
    only = STRICT.recognizing(STRATOVAN_TOOLKIT)
    assert told(provider(only).feed(asking())) == [("uid_invalid_root", NAME)]
    assert "begins with invalid arcs" in reason(provider(only).feed(asking(DICOM)))
    assert "begins with invalid arcs" in reason(provider(STRICT).feed(asking()))


def test_tolerances_unite_their_toolkits() -> None:
    other = Toolkit(
        name="another", tolerance=Tolerance(uid_padded=True), application_contexts=frozenset({DICOM}),
        transfer_syntaxes=frozenset({EXPLICIT}), class_uids=frozenset({"1.2.4"}),
    )  # fmt: skip
    both = AUTOMATIC | STRICT.recognizing(other, STRATOVAN_TOOLKIT)
    assert both.toolkits == (STRATOVAN_TOOLKIT, other)
    assert both.names() == AUTOMATIC.names() == FIELD.names()
    assert (FIELD | STRATOVAN).toolkits == ()
    found = provider(both).feed(asking(DICOM, EXPLICIT, "1.2.4"))
    assert told(found) == []


def test_an_upper_layer_recognizes_too() -> None:
    upper = UpperLayer(Role.ACCEPTOR, tolerance=AUTOMATIC)
    upper.receive_data(asking())
    deviation = upper.next_event()
    assert isinstance(deviation, Deviation)
    assert (deviation.name, deviation.recognized) == ("uid_invalid_root", NAME)
    assert isinstance(upper.next_event(), AssociateRequest)
