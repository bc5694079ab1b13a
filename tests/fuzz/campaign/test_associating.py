"""Association PDUs of the peer: each rule that they must keep is named when it is broken, and only then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicos_fuzz.campaign.associating import wish_of
from dicos_fuzz.campaign.scenarios.scripts import pdu
from dicos_fuzz.conversation import Side
from dicos_fuzz.finding import Severity
from dicos_fuzz.grammar.building import request
from dicos_fuzz.grammar.reading import read_stream
from dicos_fuzz.tree import Action, Edit, apply, encode
from dicos_proto.registry import uids
from dicos_proto.upper_layer.pdu_types import (
    ContextAnswer,
    ContextResult,
    ExtendedNegotiation,
    OperationsWindow,
    RoleSelection,
    UserIdentity,
    UserIdentityResponse,
    UserInformation,
)
from tests.fuzz.campaign.transcripts import CT, RQ, TALK, ac, accepted, got, judged, oracles, sent

GOOD = accepted().contexts
FIRST = GOOD[0]


def edited(*edits: Edit, wire: bytes = ac()) -> bytes:
    """An answer that no encoder makes."""
    return encode(apply(read_stream(wire), edits))


def told(**values: object) -> bytes:
    """The request of `TALK` with other user information."""
    return request(replace(TALK.offer, user_information=UserInformation(**values)))  # type: ignore[arg-type]


def answered(**values: object) -> bytes:
    """The answer with other user information."""
    return ac(user_information=UserInformation(**values))


CHANGED: list[tuple[str, Severity, bytes]] = [
    ("context-not-proposed", Severity.MEDIUM, ac(contexts=(*GOOD, replace(FIRST, id=77)))),
    (
        "context-not-proposed",
        Severity.MEDIUM,
        ac(contexts=(*GOOD, ContextAnswer(id=77, result=ContextResult.NO_REASON))),
    ),
    ("syntax-not-offered", Severity.MEDIUM, ac(contexts=(replace(FIRST, transfer_syntax="1.2.3"), *GOOD[1:]))),
    ("contexts-unanswered", Severity.LOW, ac(contexts=GOOD[1:])),
    ("application-context", Severity.LOW, ac(application_context="1.2.3")),
    ("titles-not-echoed", Severity.LOW, ac(called_aet="OTHER")),
    ("unasked-window", Severity.LOW, answered(window=OperationsWindow(invoked=1, performed=1))),
    (
        "role-not-proposed",
        Severity.MEDIUM,
        answered(roles=(RoleSelection(sop_class_uid=CT, scu=True, scp=True),)),
    ),
    (
        "unasked-extension",
        Severity.LOW,
        answered(extended=(ExtendedNegotiation(sop_class_uid=CT, information=b"\0"),)),
    ),
    ("unasked-identity-response", Severity.LOW, answered(user_identity_response=UserIdentityResponse())),
    (
        "max-length",
        Severity.MEDIUM,
        edited(Edit("A-ASSOCIATE-AC/user information/maximum length/number", Action.SET, b"\0\0\0\7")),
    ),
    ("protocol-version", Severity.LOW, edited(Edit("A-ASSOCIATE-AC/protocol version", Action.SET, b"\0\2"))),
    ("malformed-pdu", Severity.MEDIUM, edited(Edit("A-ASSOCIATE-AC/presentation context", Action.REPEAT))),
    ("deviation", Severity.LOW, edited(Edit("A-ASSOCIATE-AC/user information/maximum length", Action.REPEAT))),
]


@pytest.mark.parametrize(("oracle", "severity", "answer"), CHANGED)
def test_an_answer_that_does_not_fit_is_named(oracle: str, severity: Severity, answer: bytes) -> None:
    (found,) = judged(sent(RQ), got(answer))
    assert (found.oracle, found.severity, found.reaction.split(" ")[0]) == (oracle, severity, "A-ASSOCIATE-AC")


def test_a_window_is_no_larger_than_proposed() -> None:
    asked = told(window=OperationsWindow(invoked=5, performed=1))
    for invoked, wrong in ((1, False), (5, False), (6, True), (0, True)):
        answer = answered(window=OperationsWindow(invoked=invoked, performed=1))
        found = judged(sent(asked), got(answer))
        assert oracles(found) == (["window-beyond-proposal"] if wrong else []), invoked
    unlimited = told(window=OperationsWindow(invoked=0, performed=0))
    answer = answered(window=OperationsWindow(invoked=0, performed=7))
    assert judged(sent(unlimited), got(answer)) == []


def test_an_answer_to_what_was_proposed_is_right() -> None:
    """Every item at once, each within the proposal."""
    role = RoleSelection(sop_class_uid=CT, scu=True, scp=True)
    asked = told(
        window=OperationsWindow(invoked=3, performed=2),
        roles=(role,),
        extended=(ExtendedNegotiation(sop_class_uid=CT, information=b"\1"),),
        user_identity=UserIdentity(type=1, primary=b"x", response_requested=True),
    )
    answer = answered(
        window=OperationsWindow(invoked=3, performed=1),
        roles=(replace(role, scp=False),),
        extended=(ExtendedNegotiation(sop_class_uid=CT, information=b"\0"),),
        user_identity_response=UserIdentityResponse(),
    )
    assert judged(sent(asked), got(answer)) == []
    assert judged(sent(asked), got(ac())) == []


def test_contexts_may_all_be_refused_in_any_order() -> None:
    refused = tuple(ContextAnswer(id=one.id, result=ContextResult.USER_REJECTION) for one in reversed(GOOD))
    assert judged(sent(RQ), got(ac(contexts=refused))) == []


def test_an_answer_to_a_damaged_request_may_repeat_what_is_damaged() -> None:
    """A context id that came twice, an id that is even: the answer can only have them too."""
    for edit in (
        Edit("A-ASSOCIATE-RQ/presentation context", Action.REPEAT),
        Edit("A-ASSOCIATE-RQ/presentation context/id", Action.SET, b"\2"),
    ):
        asked = encode(apply(read_stream(RQ), (edit,)))
        same = Edit(edit.path.replace("RQ", "AC"), edit.action, edit.value)
        assert judged(sent(asked), got(edited(same))) == []
        assert oracles(judged(sent(RQ), got(edited(same)))) == ["malformed-pdu"]


def test_an_invalid_title_need_not_be_sent_back() -> None:
    asked = RQ[:10] + bytes(16) + RQ[26:]
    assert judged(sent(asked), got(ac(called_aet=""))) == []


@pytest.mark.parametrize("uid", [b"1.2.840.10008.1.2\0", b"1.2.840.10008.1.2 ", b"1.2.840.10008.1.2\0/x"])
def test_a_padded_syntax_may_be_answered_without_its_padding(uid: bytes) -> None:
    place = "A-ASSOCIATE-RQ/presentation context/transfer syntax/UID"
    asked = encode(apply(read_stream(RQ), (Edit(place, Action.SET, uid),)))
    assert judged(sent(asked), got(ac())) == []


@pytest.mark.parametrize(
    ("reject", "wrong"),
    [((1, 1, 1), False), ((2, 3, 2), False), ((1, 2, 2), False), ((1, 1, 4), True), ((0, 1, 1), True),
     ((1, 3, 0), True), ((3, 1, 1), True), ((1, 9, 1), True)],
)  # fmt: skip
def test_codes_of_a_rejection(reject: tuple[int, int, int], *, wrong: bool) -> None:
    found = judged(sent(RQ), got(pdu(3, bytes((0, *reject)))))
    assert oracles(found) == (["reserved-reject"] if wrong else [])


@pytest.mark.parametrize(
    ("source", "reason", "wrong"),
    [(0, 0, False), (2, 0, False), (2, 2, False), (2, 6, False), (2, 3, True), (2, 7, True), (1, 0, True),
     (3, 0, True), (0, 2, True)],
)  # fmt: skip
def test_codes_of_an_abort(source: int, reason: int, *, wrong: bool) -> None:
    found = judged(sent(RQ), got(pdu(7, bytes((0, 0, source, reason)))))
    assert oracles(found) == (["reserved-abort"] if wrong else [])
    assert all(one.severity is Severity.LOW for one in found)


def test_a_pdu_that_is_cut_by_the_end_is_named_but_not_one_that_is_lost() -> None:
    assert oracles(judged(sent(RQ), got(ac()[:50]), "ended")) == ["cut-pdu"]
    assert judged(sent(RQ), got(ac()[:50]), "reset") == []  # the rest may be lost on its way
    assert judged(sent(RQ), got(ac()[:50]), "closed") == []  # this side did not wait for it


def test_a_release_of_a_wrong_length_is_malformed() -> None:
    (found,) = judged(sent(RQ), got(ac()), got(pdu(5)))
    assert (found.oracle, found.reaction) == ("malformed-pdu", "A-RELEASE-RQ")


def test_a_request_of_a_peer_that_calls_is_checked_too() -> None:
    wrong = edited(Edit("A-ASSOCIATE-RQ/presentation context/id", Action.SET, b"\2"), wire=RQ)
    assert oracles(judged(got(wrong), side=Side.PROVIDER)) == ["malformed-pdu"]
    sloppy = edited(Edit("A-ASSOCIATE-RQ/user information", Action.DELETE), wire=RQ)
    assert oracles(judged(got(sloppy), side=Side.PROVIDER)) == ["deviation"]
    old = edited(Edit("A-ASSOCIATE-RQ/protocol version", Action.SET, b"\0\2"), wire=RQ)
    assert oracles(judged(got(old), side=Side.PROVIDER)) == ["protocol-version"]


def test_a_wish_is_read_from_any_bytes() -> None:
    wish = wish_of(RQ)
    assert sorted(wish.contexts) == [1, 3, 5, 7, 9]
    assert (wish.max_length, wish.windows, wish.identity) == (131_072, [], False)
    assert wish.contexts[1] == ({uids.VERIFICATION.encode()}, {uids.IMPLICIT_VR_LE.encode()})
    for cut in range(len(RQ)):
        wish_of(RQ[:cut])
    assert (
        wish_of(edited(Edit("A-ASSOCIATE-RQ/user information/maximum length", Action.DELETE), wire=RQ)).max_length == 0
    )
