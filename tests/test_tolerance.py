"""Each deviation of `Tolerance`, met by an engine: refused with a named reason, or let through and told.

The bytes are written by hand, so that no encoder of ours has a say in them.
"""

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicos_proto import exchange, flows, uids
from dicos_proto.association import Association
from dicos_proto.dimse import (
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CStoreRequest,
    CStoreResponse,
    NEventReportRequest,
)
from dicos_proto.dimse_codec import decode_command
from dicos_proto.errors import LocalProtocolError, Malformed
from dicos_proto.events import Closed, Deviation, Event, MessageData, MessageStart, ProviderAbort
from dicos_proto.framing import PduBody, PduHeader, PduReader
from dicos_proto.limits import Limits
from dicos_proto.machine import Role, State
from dicos_proto.negotiation import AcceptPolicy, negotiate
from dicos_proto.pdu import PduType, decode, encode
from dicos_proto.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextAnswer,
    ContextResult,
    ProposedContext,
    ReleaseRequest,
    RoleSelection,
    UserIdentity,
    UserIdentityResponse,
    UserInformation,
)
from dicos_proto.tolerance import (
    CLAUSES,
    EVERYTHING,
    FIELD,
    LONGEST_UID,
    STRATOVAN,
    STRICT,
    Judge,
    Tolerance,
)
from dicos_proto.upper_layer import UpperLayer
from tests.pair import POLICY, REQUEST, Lone, Pair, Splitter, data, joined, p_data, scattered, splitters, start, whole

SPLITS = pytest.mark.parametrize("split", splitters().values(), ids=splitters())
CT = uids.CT_IMAGE_STORAGE
CONTEXT, IMPLICIT = uids.DICOM_APPLICATION_CONTEXT.encode(), uids.IMPLICIT_VR_LE.encode()

# -- bytes by hand ---------------------------------------------------------------------------------------------------


def item(kind: int, value: bytes, *, more: int = 0) -> bytes:
    """An item whose length field is `more` too large."""
    return struct.pack(">BxH", kind, len(value) + more) + value


def associate(kind: int, *items: bytes, called: bytes = b"PROVIDER", calling: bytes = b"USER") -> bytes:
    body = struct.pack(">H2x16s16s32x", 1, called.ljust(16), calling.ljust(16)) + b"".join(items)
    return struct.pack(">BxL", kind, len(body)) + body


def proposed(number: int = 3, abstract: bytes = CT.encode(), transfer: bytes = IMPLICIT) -> bytes:
    return item(0x20, bytes((number, 0, 0, 0)) + item(0x30, abstract) + item(0x40, transfer))


def answered(number: int, *, more: int = 0) -> bytes:
    return item(0x21, bytes((number, 0, 0, 0)) + item(0x40, IMPLICIT), more=more)


MAX_LENGTH, CLASS_UID = item(0x51, struct.pack(">L", 16_384)), item(0x52, b"1.2.3")
USER = item(0x50, MAX_LENGTH + CLASS_UID)
PLAIN = UserInformation(implementation_class_uid="1.2.3", implementation_version_name=None, max_length=16_384)


def asking(
    application: bytes = CONTEXT,
    context: bytes = proposed(),
    user: bytes = USER,
    called: bytes = b"PROVIDER",
    calling: bytes = b"USER",
) -> bytes:
    return associate(1, item(0x10, application), context, user, called=called, calling=calling)


ASKED = AssociateRequest(
    called_aet="PROVIDER",
    calling_aet="USER",
    contexts=(ProposedContext(id=3, abstract_syntax=CT, transfer_syntaxes=(uids.IMPLICIT_VR_LE,)),),
    user_information=PLAIN,
)


def accepting(*contexts: bytes, user: bytes = USER) -> bytes:
    return associate(2, item(0x10, CONTEXT), *contexts, user)


def accepted(*numbers: int, user: UserInformation = PLAIN) -> AssociateAccept:
    return AssociateAccept(
        called_aet="PROVIDER",
        calling_aet="USER",
        contexts=tuple(
            ContextAnswer(id=each, result=ContextResult.ACCEPTANCE, transfer_syntax=uids.IMPLICIT_VR_LE)
            for each in numbers
        ),
        user_information=user,
    )


def elements(*pairs: tuple[int, bytes]) -> bytes:
    """A command set."""
    body = b"".join(struct.pack("<HHL", 0, number, len(value)) + value for number, value in pairs)
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def us(value: int) -> bytes:
    return value.to_bytes(2, "little")


def storing(instance: bytes = b"1.2.3.4\0", *, has_data: bool = True) -> bytes:
    return elements(
        (0x0002, CT.encode() + b"\0"), (0x0100, us(1)), (0x0110, us(7)), (0x0700, us(0)),
        (0x0800, us(1 if has_data else 0x0101)), (0x1000, instance),
    )  # fmt: skip


def stored(instance: str = "1.2.3.4", *, has_data: bool = True) -> MessageStart:
    command = CStoreRequest(message_id=7, affected_sop_class_uid=CT, affected_sop_instance_uid=instance)
    return start(3, command, has_data=has_data)


def store_with(instance: bytes) -> bytes:
    return p_data((3, True, True, storing(instance)))


CONTENT = bytes(range(200))
CANCELLING = elements((0x0100, us(0x0FFF)), (0x0120, us(7)), (0x0800, us(0x0101)))
CANCEL = CCancelRequest(message_id_being_responded_to=7)

REPORTING = elements(
    (0x0002, CT.encode() + b"\0"), (0x0100, us(0x0100)), (0x0110, us(7)), (0x0800, us(0x0101)), (0x1000, b"1.2.3.4\0"),
    (0x1002, us(1)),
)  # fmt: skip
REPORTED = start(
    3,
    NEventReportRequest(message_id=7, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3.4", event_type_id=1),
)

# -- the cases -------------------------------------------------------------------------------------------------------

Opening = Callable[[Tolerance, Splitter], Lone]


def asked_of(tolerance: Tolerance, split: Splitter) -> Lone:
    """A provider that waits for the A-ASSOCIATE-RQ."""
    return Lone(Association.acceptor(tolerance=tolerance), split)


def asker(tolerance: Tolerance, split: Splitter) -> Lone:
    """A user that waits for the answer to contexts 1, 3 and 5."""
    return Lone(Association.requestor(REQUEST, tolerance=tolerance), split)


def provider(tolerance: Tolerance, split: Splitter) -> Lone:
    return Lone.provider(split=split, tolerance=tolerance)


def user(tolerance: Tolerance, split: Splitter) -> Lone:
    return Lone.user(split=split, tolerance=tolerance)


@dataclass(frozen=True)
class Case:
    flag: str
    opening: Opening
    stream: bytes
    let: list[Event]
    detail: str
    refused: str


def in_uids(label: str, flag: str, raw: bytes, text: str, words: str) -> dict[str, Case]:
    """A UID that breaks a rule, wherever UIDs are."""
    shown = f"{text!r} {words}"
    even = raw + b"\0" * (len(raw) % 2)
    syntaxes = ASKED.contexts[0]
    role = RoleSelection(sop_class_uid=text, scu=True, scp=False)
    return {
        f"{label}, abstract syntax": Case(
            flag, asked_of, asking(context=proposed(abstract=raw)),
            [replace(ASKED, contexts=(replace(syntaxes, abstract_syntax=text),))],
            f"abstract syntax {shown}", f"abstract syntax {shown} [PS3.5 9.1]",
        ),
        f"{label}, transfer syntax": Case(
            flag, asked_of, asking(context=proposed(transfer=raw)),
            [replace(ASKED, contexts=(replace(syntaxes, transfer_syntaxes=(text,)),))],
            f"transfer syntax {shown}", f"transfer syntax {shown} [PS3.5 9.1]",
        ),
        f"{label}, application context": Case(
            flag, asked_of, asking(application=raw), [replace(ASKED, application_context=text)],
            f"application context {shown}", f"application context {shown} [PS3.5 9.1]",
        ),
        f"{label}, implementation class": Case(
            flag, asked_of, asking(user=item(0x50, MAX_LENGTH + item(0x52, raw))),
            [replace(ASKED, user_information=replace(PLAIN, implementation_class_uid=text))],
            f"implementation class UID {shown}", f"implementation class UID {shown} [PS3.5 9.1]",
        ),
        f"{label}, role": Case(
            flag, asked_of,
            asking(user=item(0x50, MAX_LENGTH + CLASS_UID + item(0x54, struct.pack(">H", len(raw)) + raw + b"\1\0"))),
            [replace(ASKED, user_information=replace(PLAIN, roles=(role,)))],
            f"SOP class of a role selection {shown}", f"SOP class of a role selection {shown} [PS3.5 9.1]",
        ),
        f"{label}, command set": Case(
            flag, provider, store_with(even), [stored(text)],
            f"(0000,1000) of {len(even)} bytes {words}", f"(0000,1000) of {len(even)} bytes {words} [PS3.5 9.1]",
        ),
    }  # fmt: skip


LONG = "1.2." + "7" * 70
IDENTITY = item(0x58, b"\1\1" + struct.pack(">H", 5) + b"UserA")
RESPONSE = item(0x50, MAX_LENGTH + CLASS_UID + item(0x59, b"\0\0"))

CASES: dict[str, Case] = {
    "every context": Case(
        "answer_item_length", asker, accepting(*(answered(each, more=4) for each in (5, 3, 1))), [accepted(5, 3, 1)],
        "presentation context item of 29 bytes counts the 4 of its own header",
        "presentation context item of 29 bytes counts the 4 of its own header [PS3.8 9.3.3.2]",
    ),
    "only the last context": Case(
        "answer_item_length", asker, accepting(answered(1), answered(3), answered(5, more=4)), [accepted(1, 3, 5)],
        "item of 29 bytes counts", "counts the 4 of its own header [PS3.8 9.3.3.2]",
    ),
    "a context at the very end": Case(
        "answer_item_length", asker,
        associate(2, item(0x10, CONTEXT), USER, answered(1), answered(3), answered(5, more=4)), [accepted(1, 3, 5)],
        "item of 29 bytes counts", "counts the 4 of its own header [PS3.8 9.3.3.2]",
    ),
    "all in one PDV": Case(
        "joined_data_set", provider, p_data((3, True, True, storing() + CONTENT)), [stored(), data(3, CONTENT)],
        "command PDV that goes on after the end of the command set with its data set",
        "command group length 90 before 290 bytes [PS3.7 6.3.1]",
    ),
    "in several PDVs of one PDU": Case(
        "joined_data_set", provider,
        p_data((3, True, False, storing() + CONTENT[:11]), (3, False, False, CONTENT[11:30]),
               (3, False, True, CONTENT[30:])),
        [stored(), data(3, CONTENT)], "command PDV that goes on",
        "data PDV on context 3 where a command set is to begin or to go on [PS3.8 annex E]",
    ),
    "in several PDUs, and another message": Case(
        "joined_data_set", provider,
        p_data((3, True, False, storing() + CONTENT[:1])) + p_data((3, False, True, CONTENT[1:]))
        + p_data((3, True, True, CANCELLING)),
        [stored(), data(3, CONTENT), start(3, CANCEL)],
        "command PDV that goes on", "data PDV on context 3 where a command set",
    ),
    "of a service provider": Case(
        "short_abort", user, bytes.fromhex("07000000 0004 0105"), [Abort(source=1, reason=5), Closed()],
        "A-ABORT of 2 bytes under a length field of 4", "connection closed by the peer in Sta6, in an A-ABORT, 2 bytes",
    ),
    "before the answer": Case(
        "short_abort", asker, bytes.fromhex("07000000 0004 0101"), [Abort(source=1, reason=1), Closed()],
        "A-ABORT of 2 bytes", "connection closed by the peer in Sta5, in an A-ABORT, 2 bytes",
    ),
    "user name": Case(
        "identity_without_secondary", asked_of, asking(user=item(0x50, MAX_LENGTH + CLASS_UID + IDENTITY)),
        [replace(ASKED, user_information=replace(
            PLAIN, user_identity=UserIdentity(type=1, primary=b"UserA", response_requested=True)))],
        "user identity without the length of its secondary field",
        "user identity: 2 bytes wanted, 0 left [PS3.7 D.3.3.7]",
    ),
    "response": Case(
        "unasked_identity_response", asker, accepting(answered(1), answered(3), answered(5), user=RESPONSE),
        [accepted(1, 3, 5, user=replace(PLAIN, user_identity_response=UserIdentityResponse()))],
        "user identity response where none was asked for",
        "user identity response where none was asked for [PS3.7 D.3.3.7.2]",
    ),
    "two contexts": Case(
        "contexts_unanswered", asker, accepting(answered(3)), [accepted(3)],
        "2 of 3 proposed presentation contexts not answered",
        "2 of 3 proposed presentation contexts not answered [PS3.8 9.3.3.2]",
    ),
    **in_uids("second", "uid_leading_zeros", b"1.2.017.3", "1.2.017.3", "has a component that begins with 0"),
    **in_uids("first", "uid_invalid_root", b"589819685.55", "589819685.55", "begins with arcs that are nobody's"),
    **in_uids("second of 1", "uid_invalid_root", b"1.40.3", "1.40.3", "begins with arcs that are nobody's"),
    **in_uids("a NUL", "uid_padded", b"1.2.3\0\0", "1.2.3", "is padded"),
    **in_uids("a space", "uid_padded", b"1.2.3 ", "1.2.3", "is padded"),
    "a NUL, in the answer": Case(
        "uid_padded", asker, accepting(answered(1), answered(3), answered(5),
                                       user=item(0x50, MAX_LENGTH + item(0x52, b"1.2.3\0"))),
        [accepted(1, 3, 5)], "implementation class UID '1.2.3' is padded",
        "implementation class UID '1.2.3' is padded [PS3.5 9.1]",
    ),
    "74 characters": Case(
        "uid_too_long", asked_of, asking(context=proposed(abstract=LONG.encode())),
        [replace(ASKED, contexts=(replace(ASKED.contexts[0], abstract_syntax=LONG),))],
        "abstract syntax of 74 characters; 64",
        "abstract syntax too long (limit uid: 74 seen, 64 allowed) [PS3.5 9.1]",
    ),
    "74 characters in a command set": Case(
        "uid_too_long", provider, store_with(LONG.encode()), [stored(LONG)],
        "(0000,1000) of 74 bytes is longer than 64 characters",
        "(0000,1000) of 74 bytes is longer than 64 characters [PS3.5 9.1]",
    ),
    "one PDU": Case(
        "over_max_length", provider,
        p_data((3, True, True, storing())) + p_data((3, False, True, bytes(20_000)))
        + p_data((3, True, True, CANCELLING)),
        [stored(), data(3, bytes(20_000)), start(3, CANCEL)],
        "P-DATA-TF of 20006 bytes; Maximum Length 16384",
        "P-DATA-TF longer than the Maximum Length (limit max_length: 20006 seen, 16384 allowed) [PS3.8 D.1]",
    ),
    "a report of who proposed no roles": Case(
        "report_without_role", provider, p_data((3, True, True, REPORTING)) + p_data((3, True, True, CANCELLING)),
        [REPORTED, start(3, CANCEL)], "N-EVENT-REPORT-RQ on context 3 from a peer without that role",
        "N-EVENT-REPORT-RQ on context 3 from a peer without that role [PS3.7 D.3.3.4]",
    ),
    "no item": Case(
        "missing_user_information", asked_of, asking(user=b""),
        [replace(ASKED, user_information=replace(PLAIN, implementation_class_uid=""))],
        "no user information item", "no user information item [PS3.8 9.3.2.3]",
    ),
    "no Maximum Length": Case(
        "missing_user_information", asked_of, asking(user=item(0x50, CLASS_UID)), [ASKED],
        "no Maximum Length sub-item", "no Maximum Length sub-item [PS3.8 D.1]",
    ),
    "no implementation class": Case(
        "missing_user_information", asked_of, asking(user=item(0x50, MAX_LENGTH)),
        [replace(ASKED, user_information=replace(PLAIN, implementation_class_uid=""))],
        "no implementation class UID sub-item", "no implementation class UID sub-item [PS3.7 D.3.3.2]",
    ),
}  # fmt: skip
TITLES = {
    "blank called": ("blank_title", asking(called=b""), "called AE title of spaces only", 7),
    "blank calling": ("blank_title", asking(calling=b" "), "calling AE title of spaces only", 3),
    "called": ("non_ascii_title", asking(called=b"M\xfcnchen"), "called AE title with letters beyond ASCII", 7),
    "calling": ("non_ascii_title", asking(calling=b"\xc5rhus"), "calling AE title with letters beyond ASCII", 3),
}
CASE = pytest.mark.parametrize("case", CASES.values(), ids=[f"{case.flag}: {name}" for name, case in CASES.items()])
TITLE = pytest.mark.parametrize(("flag", "stream", "detail", "reason"), TITLES.values(), ids=TITLES)


def only(flag: str) -> Tolerance:
    return Tolerance(**{flag: True})


def told(events: Iterable[Event]) -> list[str]:
    return [event.name for event in events if isinstance(event, Deviation)]


def feed_to_the_end(lone: Lone, stream: bytes) -> list[Event]:
    """What comes of it; an A-ABORT that is not whole needs the end of the connection to be judged."""
    found = lone.feed(stream)
    if stream[0] == 7 and not found:
        lone.engine.receive_eof()
        found = lone.events()
    return found


@SPLITS
@CASE
def test_let_through_and_told_just_before(case: Case, split: Splitter) -> None:
    lone = case.opening(only(case.flag), split)
    found = joined(lone.feed(case.stream))
    (deviation,) = (event for event in found if isinstance(event, Deviation))
    assert (deviation.name, deviation.clause) == (case.flag, CLAUSES[case.flag])
    assert case.detail in deviation.detail
    assert lone.engine.deviations == (deviation,)
    found.remove(deviation)
    if isinstance(case.let[-1], Closed):
        assert found[-1] == Closed()
        found = [*(event for event in found if event != Closed()), Closed()]  # a new one for each chunk after the end
    assert found == case.let


@SPLITS
@CASE
def test_refused_by_name_where_it_is_off(case: Case, split: Splitter) -> None:
    for tolerance in (STRICT, Tolerance(**{name: name != case.flag for name in CLAUSES})):
        lone = case.opening(tolerance, split)
        found = feed_to_the_end(lone, case.stream)
        if case.flag == "joined_data_set" or case.flag == "over_max_length":
            assert not any(isinstance(event, MessageData) and event.last for event in found)
        assert case.flag not in told(found)
        (abort,) = (event for event in found if isinstance(event, ProviderAbort))
        assert case.refused in str(abort.error)


@CASE
def test_a_deviation_comes_before_what_it_is_about(case: Case) -> None:
    found = joined(case.opening(only(case.flag), whole).feed(case.stream))
    at = next(index for index, event in enumerate(found) if isinstance(event, Deviation))
    assert found[at + 1] == case.let[1 if case.flag == "over_max_length" else 0]


@SPLITS
@TITLE
def test_titles(flag: str, stream: bytes, detail: str, reason: int, split: Splitter) -> None:
    lone = asked_of(only(flag), split)
    deviation, request = lone.feed(stream)
    assert deviation == Deviation(clause="PS3.8 9.3.2", detail=detail, name=flag)
    assert isinstance(request, AssociateRequest)
    answer = negotiate(request, POLICY, lone.engine.tolerance)
    assert isinstance(answer, AssociateAccept)
    lone.engine.send(answer)
    assert lone.engine.state is State.Sta6
    sent = lone.sent()
    assert sent[10:42] == stream[10:42]
    assert decode(sent) == answer


@TITLE
def test_titles_are_rejected_where_it_is_off(flag: str, stream: bytes, detail: str, reason: int) -> None:
    for tolerance in (STRICT, Tolerance(**{name: name != flag for name in CLAUSES})):
        lone = asked_of(tolerance, whole)
        (request,) = lone.feed(stream)
        assert isinstance(request, AssociateRequest)
        assert negotiate(request, POLICY, tolerance) == AssociateReject(reason=reason)
    assert negotiate(request, POLICY) == AssociateReject(reason=reason)


@TITLE
def test_a_list_of_titles_holds_for_what_was_let_through(flag: str, stream: bytes, detail: str, reason: int) -> None:
    (_, request) = asked_of(EVERYTHING, whole).feed(stream)
    assert isinstance(request, AssociateRequest)
    for titles, welcome in (
        (frozenset({"OTHER"}), False),
        (frozenset({request.called_aet, request.calling_aet}), True),
    ):
        policy = AcceptPolicy(other_contexts=(uids.IMPLICIT_VR_LE,), called_aets=titles, calling_aets=titles)
        assert isinstance(negotiate(request, policy, EVERYTHING), AssociateAccept) is welcome


@pytest.mark.parametrize("calling", [b"A\\B", b"A\tB", b"\xe4\\"])
def test_no_flag_lets_other_titles_in(calling: bytes) -> None:
    (request,) = asked_of(EVERYTHING, whole).feed(asking(calling=calling))
    assert isinstance(request, AssociateRequest)
    assert negotiate(request, POLICY, EVERYTHING) == AssociateReject(reason=3)


# -- sets ------------------------------------------------------------------------------------------------------------


def test_each_flag_has_a_clause_and_a_test() -> None:
    names = [each.name for each in fields(Tolerance)]
    assert names == list(CLAUSES) == list(EVERYTHING.names())
    tested = {case.flag for case in CASES.values()} | {flag for flag, *_ in TITLES.values()}
    assert tested == set(names) - {"missing_character_set"}, "that one is in test_datasets"


def test_sets_are_united_and_listed() -> None:
    assert STRICT == Tolerance()
    assert STRICT.names() == ()
    both = Tolerance(uid_padded=True) | Tolerance(short_abort=True)
    assert both == Tolerance(short_abort=True, uid_padded=True)
    assert list(both) == [("short_abort", "PS3.8 9.3.8"), ("uid_padded", "PS3.5 9.1")]
    assert FIELD | STRICT == FIELD
    assert STRATOVAN | FIELD == FIELD | STRATOVAN
    assert set(dict(STRATOVAN | FIELD)) == {*STRATOVAN.names(), *FIELD.names()}


def test_what_is_let_through_is_known() -> None:
    for made in (Association.acceptor(), Association.requestor(REQUEST)):
        assert (made.tolerance, made.deviations) == (STRICT, ())
    assert Association.acceptor(tolerance=FIELD).tolerance is FIELD
    assert Association.requestor(REQUEST, tolerance=STRATOVAN).tolerance is STRATOVAN
    assert UpperLayer(Role.ACCEPTOR).judge.tolerance is STRICT


def test_a_deviation_reads_as_one_line() -> None:
    (deviation, _) = asked_of(FIELD, whole).feed(asking(called=b""))
    assert str(deviation) == "let through (blank_title): called AE title of spaces only [PS3.8 9.3.2]"


# -- more than one ---------------------------------------------------------------------------------------------------


@SPLITS
def test_each_flag_is_told_once_for_an_association(split: Splitter) -> None:
    lone = provider(EVERYTHING, split)
    found = []
    for number in (1, 2, 3):
        instance = f"9.{number:02}".encode()
        command = storing(instance) + bytes(4)
        found += lone.feed(p_data((3, True, False, command), (3, False, True, bytes(16_384))))
        lone.engine.send(exchange.response_to(stored(instance.decode()), 0))
    assert told(found) == ["over_max_length", "uid_leading_zeros", "uid_invalid_root", "joined_data_set"]
    assert [event.name for event in lone.engine.deviations] == told(found)
    assert sum(isinstance(event, MessageStart) for event in found) == 3


@SPLITS
def test_a_pdu_with_many_is_told_all_of_them_first(split: Splitter) -> None:
    lone = asked_of(EVERYTHING, split)
    found = lone.feed(asking(application=b"9.09 ", user=b"", called=b"", calling=b"\xe4"))
    assert told(found) == [
        "uid_padded", "uid_leading_zeros", "uid_invalid_root", "missing_user_information", "blank_title",
        "non_ascii_title",
    ]  # fmt: skip
    assert isinstance(found[-1], AssociateRequest)
    assert len(found) == 7


@SPLITS
def test_what_is_let_through_is_told_also_where_something_else_is_refused(split: Splitter) -> None:
    lone = asked_of(FIELD, split)
    deviation, abort = lone.feed(asking(application=b"1.02", user=item(0x50, MAX_LENGTH + item(0x52, b"x"))))
    assert isinstance(deviation, Deviation)
    assert isinstance(abort, ProviderAbort)
    assert "implementation class UID 'x' is no UID" in str(abort.error)
    lone = provider(FIELD, split)
    deviation, abort = lone.feed(
        p_data((3, True, True, elements((0x0002, b"1.02"), (0x0100, us(1)), (0x0110, us(1)), (0x0800, us(0)))))
    )
    assert told([deviation]) == ["uid_leading_zeros"]
    assert isinstance(abort, ProviderAbort)
    assert "no (0000,0700) priority" in str(abort.error)


# -- the user acts on what it is told --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["two contexts", "one PDU", "second, command set", "all in one PDV", "every context"])
def test_an_abort_on_a_deviation_is_the_last_word(name: str) -> None:
    case = CASES[name]
    lone = case.opening(only(case.flag), whole)
    lone.engine.receive_data(case.stream)
    while not isinstance(lone.engine.next_event(), Deviation):
        pass
    lone.engine.send(Abort())
    assert lone.events() == []
    assert lone.engine.state is State.Sta13
    lone.engine.receive_eof()
    assert lone.events() == [Closed()]


def test_an_abort_before_a_fault_is_told_is_the_last_word() -> None:
    lone = asker(FIELD, whole)
    lone.engine.receive_data(accepting(answered(9), user=item(0x50, MAX_LENGTH + item(0x52, b"1.02") + b"\x53")))
    assert isinstance(lone.engine.next_event(), Deviation)
    lone.engine.send(Abort())
    assert lone.events() == []


# -- what is near a deviation ----------------------------------------------------------------------------------------


@SPLITS
@pytest.mark.parametrize("flag", CLAUSES)
def test_a_flag_changes_nothing_for_those_who_do_not_deviate(flag: str, split: Splitter) -> None:
    content = bytes(range(256)) * 200
    pair = Pair(split=split, tolerance=only(flag))
    assert pair.events(pair.provider) == [REQUEST]
    answer = negotiate(REQUEST, POLICY)
    pair.provider.send(answer)
    assert pair.events(pair.user) == [answer]
    pair.user.send(stored())
    pair.user.send(data(3, content))
    assert joined(pair.events(pair.provider)) == [stored(), data(3, content)]
    pair.provider.send(exchange.response_to(stored(), 0))
    (response,) = pair.events(pair.user)
    assert response == exchange.response_to(stored(), 0)
    pair.user.send(Abort(source=2, reason=5))
    assert pair.events(pair.provider) == [Abort(source=2, reason=5), Closed()]
    assert pair.user.deviations == pair.provider.deviations == ()


@SPLITS
@pytest.mark.parametrize(("bytes_sent", "reason"), [("00000206", 6), ("00010205", 5)])
def test_a_proper_abort_is_read_whole_where_short_ones_are_let_through(
    bytes_sent: str, reason: int, split: Splitter
) -> None:
    lone = user(STRATOVAN, split)
    found = lone.feed(bytes.fromhex("07000000 0004" + bytes_sent))
    assert found == [Abort(source=2, reason=reason), Closed()]
    assert lone.engine.deviations == ()


@SPLITS
def test_a_short_abort_is_the_pdu_of_four_bytes_that_it_stands_for(split: Splitter) -> None:
    under_test = PduReader(Judge(Limits(), only("short_abort")))
    found = []
    for chunk in split([bytes.fromhex("07000000 0004 0102")]):
        under_test.feed(chunk)
        found += list(iter(under_test.next, None))
    assert found == [PduHeader(PduType.ABORT, 4), PduBody(PduType.ABORT, b"\0\0\1\2")]
    assert (under_test.completed, under_test.mid_pdu, under_test.describe()) == (1, False, "between PDUs")


@SPLITS
def test_only_an_abort_may_be_short(split: Splitter) -> None:
    """The reserved bytes of other PDUs are not tested, and no PDU is cut short for what is in them.  # PS3.8 9.3.1"""
    lone = provider(only("short_abort"), split)
    assert lone.feed(bytes.fromhex("05000000 0004 01020304")) == [ReleaseRequest()]
    assert (lone.engine.deviations, lone.engine.state) == ((), State.Sta8)


@SPLITS
def test_what_follows_a_short_abort_is_not_read(split: Splitter) -> None:
    lone = user(STRATOVAN, split)
    found = lone.feed(bytes.fromhex("07000000 0004 0102  05000000 0004 00000000"))
    assert found[:3] == [lone.engine.deviations[0], Abort(source=1, reason=2), Closed()]
    assert set(found[3:]) <= {Closed()}


def test_the_first_bytes_of_an_abort_are_waited_for() -> None:
    lone = user(STRATOVAN, whole)
    for part in ("07000000 0004", "01"):
        assert lone.feed(bytes.fromhex(part)) == []
    assert [type(event) for event in lone.feed(b"\5")] == [Deviation, Abort, Closed]


@SPLITS
def test_a_command_set_in_several_pdvs_is_one_where_joined_ones_are_let_through(split: Splitter) -> None:
    command = storing()
    lone = provider(STRATOVAN, split)
    parts = [(3, True, False, command[:5]), (3, True, False, command[5:20]), (3, True, False, command[20:])]
    found = lone.feed(p_data(*parts, (3, True, True, b"")), p_data((3, False, True, CONTENT)))
    assert joined(found) == [stored(), data(3, CONTENT)]


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([(3, True, True, CANCELLING + b"more")], "which says that no data set follows [PS3.7 E.1]"),
        ([(3, True, True, storing()[:-1])], "command group length 90 before 89 bytes [PS3.7 6.3.1]"),
        ([(3, True, True, b"\1" * 40)], "command set begins with (0101,0101); (0000,0000) of 4 bytes [PS3.7 6.3.1]"),
        ([(3, True, True, storing()[:9])], "command set of 9 bytes; at least 12"),
        ([(3, True, False, b"\1" * 70_000)], "command set too long (limit command_set: 70000 seen, 65536 allowed)"),
        (
            [(3, True, False, struct.pack("<HHLL", 0, 0, 4, 1 << 31) + b"\0")],
            "command set too long (limit command_set: 2147483660 seen, 65536 allowed)",
        ),
        ([(3, True, False, storing() + b"da"), (3, True, True, storing())], "command PDV inside the data set"),
        ([(3, True, False, storing() + b"da"), (5, False, True, b"ta")], "data PDV on context 5 inside the data set"),
    ],
    ids=["no data", "cut short", "no group length", "nine bytes", "endless", "long by its word", "another", "context"],
)  # fmt: skip
@SPLITS
def test_no_joined_data_set(parts: list[tuple[int, bool, bool, bytes]], text: str, split: Splitter) -> None:
    lone = Lone(Association.acceptor(tolerance=STRATOVAN), whole)
    lone.feed(encode(replace(REQUEST, user_information=replace(REQUEST.user_information, max_length=0))))
    lone.engine.send(negotiate(REQUEST, replace(POLICY, max_length=0)))
    if split is splitters()["bytes"] and len(parts[0][3]) > 10_000:
        split = whole
    lone.split = split
    found = lone.feed(p_data(*parts))
    (abort,) = (event for event in found if isinstance(event, ProviderAbort))
    assert text.split(": ")[0] in str(abort.error)


@SPLITS
def test_a_message_after_a_joined_data_set_is_one_of_its_own(split: Splitter) -> None:
    lone = provider(only("joined_data_set"), split)
    both = p_data((3, True, True, storing() + CONTENT))
    response = CStoreResponse(message_id_being_responded_to=7, status=0)
    for _ in range(3):
        found = [event for event in joined(lone.feed(both)) if not isinstance(event, Deviation)]
        assert found == [stored(), data(3, CONTENT)]
        lone.engine.send(start(3, response))


@pytest.mark.parametrize("over", [-1, 0, 1])
@SPLITS
def test_a_command_set_of_just_the_length_that_is_allowed_may_have_its_data_set_joined(
    over: int, split: Splitter
) -> None:
    command = storing()
    lone = Lone.provider(split=split, tolerance=only("joined_data_set"), limits=Limits(command_set=len(command) - over))
    found = joined(lone.feed(p_data((3, True, True, command + CONTENT))))
    if over > 0:
        assert isinstance(found[-1], ProviderAbort)
        assert f"command_set: {len(command)} seen, {len(command) - 1} allowed" in str(found[-1].error)
    else:
        assert found[1:] == [stored(), data(3, CONTENT)]


def test_a_joined_data_set_is_views_of_what_arrived() -> None:
    lone = provider(STRATOVAN | FIELD, whole)
    chunk = p_data((3, True, True, storing() + bytes(60_000)))
    lone.engine.receive_data(chunk)
    pieces = []
    while (event := lone.engine.next_event()) is not None:
        if isinstance(event, MessageData):
            pieces.append(event.data)
    (piece,) = pieces
    assert isinstance(piece, memoryview)
    assert piece.obj is chunk


@settings(max_examples=60, deadline=None)
@given(
    content=st.binary(max_size=300),
    cuts=st.lists(st.integers(0, 300), max_size=4),
    seed=st.integers(0, 1000),
)
def test_a_joined_data_set_however_it_is_cut(content: bytes, cuts: list[int], seed: int) -> None:
    """The first PDV carries the command set and what data there is room for, the others the rest."""
    edges = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    pieces = [content[a:b] for a, b in pairwise(edges)] or [b""]
    parts = [(3, index == 0, index == len(pieces) - 1, piece) for index, piece in enumerate(pieces)]
    parts[0] = (3, True, parts[0][2], storing() + pieces[0])
    if not content:
        parts.append((3, False, True, b""))
    lone = provider(STRATOVAN, scattered(seed))
    found = [event for event in joined(lone.feed(*map(p_data, parts))) if not isinstance(event, Deviation)]
    assert found == [stored(), data(3, content)]


@pytest.mark.parametrize(
    "tail",
    [b"\x50\0\0\0", b"\x41\0\0\0", b"\x41\0\0\1x"],
    ids=["empty and of a type that is also an item's", "empty", "of one byte"],
)  # fmt: skip
@pytest.mark.parametrize("tolerance", [STRICT, STRATOVAN], ids=["strict", "stratovan"])
def test_a_sub_item_after_the_transfer_syntax_is_skipped(tolerance: Tolerance, tail: bytes) -> None:
    """An unknown sub-item is legal and skipped.  # PS3.8 9.3.1"""
    lone = asker(tolerance, whole)
    contexts = [item(0x21, bytes((each, 0, 0, 0)) + item(0x40, IMPLICIT) + tail) for each in (1, 3, 5)]
    assert lone.feed(accepting(*contexts)) == [accepted(1, 3, 5)]


def test_an_item_that_counts_more_than_its_header_is_refused() -> None:
    for context in (answered(1, more=3), answered(1, more=5), item(0x21, b"\1\0\0\0", more=4), item(0x21, b"\1")):
        (abort,) = asker(EVERYTHING, whole).feed(accepting(context))
        assert isinstance(abort, ProviderAbort)
        assert "counts" not in str(abort.error)


def test_an_item_that_counts_its_header_but_ends_with_the_pdu_is_refused_where_it_is_cut_short() -> None:
    stream = associate(2, item(0x10, CONTEXT), USER, answered(1, more=4)[:-1])
    (abort,) = asker(EVERYTHING, whole).feed(stream)
    assert isinstance(abort, ProviderAbort)


@pytest.mark.parametrize(
    "raw",
    [b"", b"1..2", b"1.2.", b"1.x", b"1.\xb2", b"1. 2", b"1" * (LONGEST_UID + 1), b"1.2" + b"\0" * 200],
    ids=["empty", "two dots", "dot at the end", "letter", "digit of Latin-1", "space inside", "129", "all padding"],
)  # fmt: skip
def test_no_flag_lets_through_what_is_no_uid(raw: bytes) -> None:
    (*_, abort) = asked_of(EVERYTHING, whole).feed(asking(context=proposed(abstract=raw)))
    assert isinstance(abort, ProviderAbort)
    assert "[PS3.5 9.1]" in str(abort.error)
    (*_, abort) = provider(EVERYTHING, whole).feed(store_with(raw + b"\0" * (len(raw) % 2)))
    assert isinstance(abort, ProviderAbort)
    assert "(0000,1000)" in str(abort.error)


def test_128_characters_are_let_through_and_not_sent_back() -> None:
    """A response may leave its UIDs out, and cannot hold these.  # PS3.7 9.1.1.1"""
    longest = "1.2." + "3" * (LONGEST_UID - 4)
    lone = provider(EVERYTHING, whole)
    (_, event) = lone.feed(store_with(longest.encode()))
    assert event == stored(longest)
    assert isinstance(event, MessageStart)
    response = exchange.response_to(event, 0)
    lone.engine.send(response)
    assert getattr(response.command, "affected_sop_instance_uid", "") is None
    echo = start(1, CEchoRequest(message_id=1, affected_sop_class_uid=longest))
    assert exchange.response_to(echo, 0).command == CEchoResponse(message_id_being_responded_to=1, status=0)


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=140), st.text("0129. \0", max_size=140).map(str.encode)))
def test_any_bytes_for_a_uid_are_read_or_refused(raw: bytes) -> None:
    """Whatever is let through is digits and dots, of at most 128 characters; what needs no flag is a valid UID."""
    for tolerance in (STRICT, FIELD, EVERYTHING):
        lone = asked_of(tolerance, whole)
        *deviations, event = lone.feed(asking(context=proposed(abstract=raw)))
        if isinstance(event, AssociateRequest):
            uid = event.contexts[0].abstract_syntax
            assert uids.is_dotted(uid)
            assert len(uid) <= LONGEST_UID
            assert deviations or (uids.is_valid(uid) and uids.has_valid_root(uid) and uid.encode() == raw)
        else:
            assert isinstance(event, ProviderAbort)
            assert (
                tolerance is not EVERYTHING or not uids.is_dotted(raw.decode("latin-1").rstrip("\0 ")) or len(raw) > 128
            )


@settings(max_examples=200)
@given(st.binary(max_size=120), st.binary(max_size=60))
def test_any_bytes_in_an_answer_are_read_or_refused(contexts: bytes, tail: bytes) -> None:
    for stream in (
        accepting(contexts, user=tail),
        accepting(answered(1, more=4), contexts),
        p_data((1, True, True, tail)),
    ):
        found = asker(EVERYTHING, whole).feed(stream)
        assert isinstance(found[-1], AssociateAccept | ProviderAbort)


# -- what is answered to whom was let through ------------------------------------------------------------------------


def test_a_role_for_a_class_whose_uid_was_let_through_is_not_granted() -> None:
    """It could not be written down, and no SOP class is called so."""
    for uid in ("1.02", "9.1", LONG):
        both = tuple(RoleSelection(sop_class_uid=each, scu=True, scp=False) for each in (uid, CT))
        answer = negotiate(replace(ASKED, user_information=replace(PLAIN, roles=both)), POLICY, EVERYTHING)
        assert isinstance(answer, AssociateAccept)
        assert [role.sop_class_uid for role in answer.user_information.roles] == [CT]
        encode(answer)


def test_a_context_that_was_not_answered_is_refused_without_a_result() -> None:
    lone = asker(FIELD, whole)
    lone.feed(accepting(answered(3)))
    agreement = lone.engine.agreement
    assert agreement is not None
    assert list(lone.engine.contexts) == [3]
    assert [(one.id, one.result) for one in agreement.refused] == [(1, None), (5, None)]


def test_the_local_side_is_held_to_the_standard_whatever_it_lets_through() -> None:
    lone = asked_of(EVERYTHING, whole)
    lone.feed(encode(REQUEST))
    answer = accepted(1, 3, 5, user=replace(PLAIN, user_identity_response=UserIdentityResponse()))
    for wrong, text in ((answer, "none was asked for"), (accepted(3), "2 of 3 proposed")):
        with pytest.raises(LocalProtocolError, match=text):
            lone.engine.send(wrong)
    assert lone.engine.state is State.Sta3
    for uid in ("9.1", "1.40", "1.02", LONG):
        with pytest.raises(LocalProtocolError, match="is no UID"):
            encode(replace(ASKED, application_context=uid))


def test_a_peer_without_maximum_length_is_sent_16384_bytes_at_most() -> None:
    lone = asked_of(FIELD, whole)
    lone.feed(asking(user=b""))
    assert lone.engine.request is not None
    lone.engine.send(negotiate(lone.engine.request, POLICY, FIELD))
    assert lone.engine.agreement is not None
    assert lone.engine.agreement.peer_max_length == 16_384


# -- flows and single PDUs -------------------------------------------------------------------------------------------


def test_flows_pass_over_deviations() -> None:
    pair = Pair(replace(REQUEST), tolerance=FIELD)
    pair.provider = Association.acceptor(tolerance=FIELD)
    pair.provider.receive_data(asking(context=proposed(abstract=b"1.02"), called=b""))
    (request,) = pair.run(flows.await_request(pair.provider))
    assert isinstance(request, AssociateRequest)
    (answer,) = pair.run(flows.answer_request(pair.provider, request, POLICY))
    assert isinstance(answer, AssociateAccept)
    assert [one.name for one in pair.provider.deviations] == ["uid_leading_zeros", "blank_title"]
    lone = asker(FIELD, whole)
    lone.engine.receive_data(accepting(answered(3)))
    flow = flows.establish(lone.engine)
    with pytest.raises(StopIteration) as done:
        next(flow)
    assert done.value.value == accepted(3)


def test_a_deviation_while_a_data_set_is_sent_is_passed_over() -> None:
    """A response that comes early, with a UID that is let through."""
    lone = Lone.user(limits=Limits(queued=10), tolerance=FIELD)
    talk = exchange.Exchange(lone.engine)
    talk.send(3, stored().command, [b"abcd", b"efgh"])
    early = elements((0x0100, us(0x8001)), (0x0120, us(7)), (0x0800, us(0x0101)), (0x0900, us(0)), (0x1000, b"1.02"))
    lone.engine.receive_data(p_data((3, True, True, early)))
    with pytest.raises(StopIteration) as done:
        next(talk.fresh())
    assert talk.sending
    assert isinstance(done.value.value, MessageStart)
    assert [one.name for one in lone.engine.deviations] == ["uid_leading_zeros"]


def test_one_pdu_by_itself() -> None:
    for name in ("every context", "user name", "no item", "a space, role"):
        case = CASES[name]
        with pytest.raises(Malformed):
            decode(case.stream)
        assert decode(case.stream, Limits(), EVERYTHING) == case.let[0]


def test_a_judge_keeps_the_first_of_each() -> None:
    judge = Judge(Limits(), Tolerance(uid_padded=True))
    assert [judge.let("uid_padded", text) for text in "ab"] == [True, True]
    assert not judge.let("short_abort", "c")
    assert judge.untold == [("uid_padded", "a")]


def test_the_upper_layer_alone_tells_them_too() -> None:
    layer = UpperLayer(Role.ACCEPTOR, tolerance=FIELD)
    layer.receive_data(asking(called=b""))
    assert layer.state is State.Sta2
    assert isinstance(layer.next_event(), Deviation)
    assert layer.state is State.Sta2, "as of the last event returned"
    assert isinstance(layer.next_event(), AssociateRequest)
    assert layer.state is State.Sta3
    assert [one.name for one in layer.deviations] == ["blank_title"]


def test_a_release_between_a_deviation_and_its_event_loses_nothing() -> None:
    case = CASES["one PDU"]
    lone = provider(FIELD, whole)
    lone.engine.receive_data(case.stream)
    found: list[Event] = []
    while not isinstance(event := lone.engine.next_event(), Deviation):
        assert event is not None
        found.append(event)
    lone.engine.send(ReleaseRequest())
    assert joined([*found, *lone.events()]) == case.let


def test_a_sop_class_that_is_too_long_is_judged_each_time() -> None:
    """Texts longer than any legal one are not remembered; they are read alike."""
    raw = elements((0x0002, LONG.encode()), (0x0100, us(0x0030)), (0x0110, us(1)), (0x0800, us(0x0101)))
    for _ in range(2):
        with pytest.raises(Malformed, match="is longer than 64 characters"):
            decode_command(raw)
        judge = Judge(Limits(), Tolerance(uid_too_long=True))
        assert decode_command(raw, judge) == (CEchoRequest(message_id=1, affected_sop_class_uid=LONG), False)
        assert [name for name, _ in judge.untold] == ["uid_too_long"]
