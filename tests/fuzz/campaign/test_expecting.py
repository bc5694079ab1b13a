"""Expectations: each blames a peer for what it must not do, for nothing that the standard leaves open, and for silence
only where this side has waited."""

from __future__ import annotations

import pytest

from dicos_fuzz.campaign.expecting import EXPECTATIONS, TIMED
from dicos_fuzz.campaign.scenarios.scripts import pdu
from dicos_fuzz.conversation import Entry, Side, What
from dicos_fuzz.finding import Severity, Violation
from dicos_fuzz.grammar.building import p_data
from tests.fuzz.campaign.transcripts import (
    ABORT,
    ASSOCIATED,
    REJECT,
    RELEASE,
    RELEASE_RP,
    RQ,
    STALLED,
    TALK,
    USER_ABORT,
    Line,
    ac,
    echoed,
    got,
    judged,
    oracles,
    played,
    sent,
    stored,
)

RECORD = b"\x16\x03\x03\x00\x20" + bytes(32)
ASK, STORE = TALK.ask(), TALK.store(1, "expected")
COMMAND, OBJECT = TALK.parts(1, "expected")[1:]
HALF = p_data((3, True, True, COMMAND)) + p_data((3, False, False, OBJECT[:100]))
BUSY = pdu(3, bytes((0, 2, 3, 2)))
DAMAGED = p_data((1, True, True, TALK.command() + b"\1\0\0\0"))
BAD_RQ = RQ[:6] + b"\0\1" + RQ[8:-1] + b"\xff"
NOTHING = pdu(8, bytes(4))

# fmt: off
CASES: list[tuple[str, tuple[Line, ...], list[str]]] = [
    # expectation, lines, oracles
    ("any", (sent(NOTHING), "quiet"), []),

    ("answered", (sent(RQ), got(ac())), []),
    ("answered", (sent(RQ), got(REJECT)), []),
    ("answered", (sent(RQ), "reset"), []),
    ("answered", (sent(RQ), "quiet"), ["silence"]),
    ("answered", (sent(RQ), "closed"), []),
    ("answered", (*ASSOCIATED, sent(ASK), got(echoed()), "quiet"), ["silence"]),
    ("answered", (sent(RQ), got(REJECT), sent(ASK), "quiet"), []),

    ("refused", (sent(NOTHING), got(USER_ABORT)), []),
    ("refused", (sent(BAD_RQ), got(REJECT)), []),
    ("refused", (sent(NOTHING), "reset"), []),
    ("refused", (sent(NOTHING), "ended"), ["no-abort"]),
    ("refused", (sent(NOTHING), "quiet"), ["silence"]),
    ("refused", (sent(NOTHING), "closed"), []),
    ("refused", (*ASSOCIATED, sent(DAMAGED), got(echoed())), ["accepted"]),
    ("refused", (*ASSOCIATED, sent(DAMAGED), got(echoed(status=0x0211))), []),
    ("refused", (*ASSOCIATED, sent(ASK + NOTHING), got(echoed()), got(USER_ABORT)), []),
    ("refused", (*ASSOCIATED, sent(ASK + NOTHING), got(echoed()), "quiet"), ["silence"]),
    ("refused", (*ASSOCIATED, sent(ASK + NOTHING), got(echoed()), "closed"), []),
    ("refused", (sent(RQ + NOTHING), got(ac()), "quiet"), ["silence"]),
    ("refused", (sent(RQ + NOTHING), got(ac()), got(ABORT)), []),
    ("refused", (*ASSOCIATED, sent(NOTHING + RELEASE), got(RELEASE_RP), "quiet"), ["unexpected-pdu"]),
    ("refused", (sent(BAD_RQ), got(ac())), ["accepted"]),
    ("refused", (*ASSOCIATED, sent(pdu(7)), "ended"), []),

    ("failed", (*ASSOCIATED, sent(STORE), got(stored())), ["accepted"]),
    ("failed", (*ASSOCIATED, sent(STORE), got(stored(status=0xB000))), ["accepted"]),
    ("failed", (*ASSOCIATED, sent(STORE), got(stored(status=0xC000))), []),
    ("failed", (*ASSOCIATED, sent(STORE), got(USER_ABORT)), []),
    ("failed", (*ASSOCIATED, sent(STORE), "quiet"), ["silence"]),
    ("should-fail", (*ASSOCIATED, sent(STORE), got(stored())), ["accepted"]),
    ("should-fail", (*ASSOCIATED, sent(STORE), got(stored(status=0xC000))), []),
    ("should-refuse", (sent(BAD_RQ), got(ac())), ["accepted"]),
    ("should-refuse", (sent(BAD_RQ), got(REJECT)), []),

    ("closes", (sent(RQ[:20]), "half-closed", "ended"), []),
    ("closes", (sent(RQ[:20]), "half-closed", "reset"), []),
    ("closes", (sent(RQ[:20]), "half-closed", "quiet"), ["kept-open"]),
    ("closes", (*ASSOCIATED, sent(USER_ABORT), "quiet"), ["kept-open"]),
    ("closes", (*ASSOCIATED, sent(USER_ABORT), "closed"), []),

    ("ends-in-time", (sent(RQ[:3]), STALLED), ["no-deadline"]),
    ("ends-in-time", (sent(RQ[:3]), "quiet"), []),  # too early to say
    ("ends-in-time", (sent(RQ[:3]), "ended"), []),
    ("ends-in-time", (sent(RQ[:3]), got(ABORT)), []),
    ("ends-in-time", (*ASSOCIATED, STALLED), ["no-deadline"]),
    ("ends-in-time", (*ASSOCIATED, "quiet"), []),
    ("ends-in-time", (*ASSOCIATED, got(RELEASE), STALLED), []),

    ("broken-off", (sent(RQ), got(ABORT)), []),
    ("broken-off", (sent(RQ), "quiet"), ["kept-open"]),

    ("refused-at-header", (sent(pdu(1, bytes(9), length=1 << 31)), "quiet"), ["waits-for-giant"]),
    ("refused-at-header", (sent(pdu(1, bytes(9), length=1 << 31)), got(ABORT)), []),

    ("table", (sent(ASK), got(ABORT)), []),
    ("table", (sent(ASK), "quiet"), ["silence"]),
    ("table", (*ASSOCIATED, sent(USER_ABORT), "quiet"), ["kept-open"]),
    ("table", (*ASSOCIATED, sent(USER_ABORT), "ended"), []),
    ("table", (*ASSOCIATED, sent(RQ), "quiet"), ["silence"]),
    ("table", (*ASSOCIATED, sent(RELEASE), got(RELEASE_RP), sent(ASK), "quiet"), []),  # Sta13: AA-6
    ("table", (*ASSOCIATED, sent(RELEASE), "quiet"), ["silence"]),
    ("table", (sent(RQ + RQ), got(ac()), "quiet"), ["silence"]),  # AA-8 in Sta3 and in Sta6

    ("served", (*ASSOCIATED, sent(ASK), got(echoed()), sent(RELEASE), got(RELEASE_RP)), []),
    ("served", (*ASSOCIATED, sent(STORE), got(stored(status=0xA900)), sent(RELEASE), got(RELEASE_RP)), []),
    ("served", (sent(RQ), got(REJECT)), ["refused-valid"]),
    ("served", (sent(RQ), got(BUSY)), []),
    ("served", (sent(RQ), got(USER_ABORT)), ["refused-valid"]),
    ("served", (sent(RQ), "ended"), ["refused-valid"]),
    ("served", (sent(RQ), "quiet"), ["silence"]),
    ("served", (sent(RQ), "quiet", sent(ASK), got(USER_ABORT)), []),  # it was only slower, and this side too early
    ("served", (*ASSOCIATED, sent(ASK), got(USER_ABORT)), ["refused-valid"]),
    ("served", (*ASSOCIATED, sent(ASK), "reset"), ["refused-valid"]),
    ("served", (*ASSOCIATED, sent(ASK), "quiet"), ["unanswered"]),
    ("served", (*ASSOCIATED, sent(ASK), "quiet", sent(RELEASE), got(RELEASE_RP)), ["unanswered"]),
    ("served", (*ASSOCIATED, sent(ASK), got(echoed(status=0x0122))), ["refused-valid"]),
    ("served", (*ASSOCIATED, sent(HALF), "closed"), []),
    ("served", (*ASSOCIATED, sent(ASK), sent(USER_ABORT), "closed"), []),
    ("served", (*ASSOCIATED, sent(RELEASE), "ended"), ["release-refused"]),
    ("served", (*ASSOCIATED, sent(RELEASE), got(USER_ABORT)), ["release-refused"]),
    ("served", (*ASSOCIATED, sent(RELEASE), "quiet"), ["release-unanswered"]),
]
CALLS: list[tuple[str, tuple[Line, ...], list[str]]] = [
    ("refused-or-released", (got(RQ), sent(ac()), got(RELEASE)), []),
    ("refused-or-released", (got(RQ), sent(ac()), got(USER_ABORT)), []),
    ("refused-or-released", (got(RQ), sent(ac()), got(ASK)), ["accepted"]),
    ("refused-or-released", (got(RQ), sent(ac()), "quiet"), ["silence"]),
    ("refused-or-waits", (got(RQ), sent(ac()), got(ASK), sent(echoed(9)), "quiet"), []),
    ("refused-or-waits", (got(RQ), sent(ac()), got(ASK), sent(echoed(9)), got(RELEASE)), []),
    ("refused-or-waits", (got(RQ), sent(ac()), got(ASK), sent(echoed(9)), got(USER_ABORT)), []),
    ("refused-or-waits", (got(RQ), sent(ac()), got(ASK), sent(echoed(9)), got(TALK.ask(2))),
     ["accepted", "beyond-window"]),
    ("table", (got(RQ), sent(ASK), "quiet"), ["silence"]),  # Sta5: AA-8
    ("table", (got(RQ), sent(ac()), got(RELEASE), sent(TALK.ask()), "quiet"), []),  # Sta7: AR-6, P-DATA is received
    ("table", (got(RQ), sent(ac()), got(RELEASE), sent(RELEASE), "quiet"), ["silence"]),  # a collision
]
# fmt: on


@pytest.mark.parametrize(("expect", "lines", "wanted"), CASES)
def test_expectations_of_a_peer_that_is_called(expect: str, lines: tuple[Line, ...], wanted: list[str]) -> None:
    assert oracles(judged(*lines, expect=expect)) == wanted


@pytest.mark.parametrize(("expect", "lines", "wanted"), CALLS)
def test_expectations_of_a_peer_that_calls(expect: str, lines: tuple[Line, ...], wanted: list[str]) -> None:
    assert oracles(judged(*lines, expect=expect, side=Side.PROVIDER)) == wanted


def test_each_expectation_is_tested_both_ways() -> None:
    """`any` blames nobody, and `others-served` is `served` for the first connection."""
    fires = {expect for expect, _, wanted in (*CASES, *CALLS) if wanted}
    rests = {expect for expect, _, wanted in (*CASES, *CALLS) if not wanted}
    assert fires == EXPECTATIONS.keys() - {"any", "others-served"}
    assert rests == EXPECTATIONS.keys() - {"others-served"}
    assert all(one.__doc__ for one in EXPECTATIONS.values())


def test_the_violations_that_depend_on_time_are_the_timed_ones() -> None:
    """Every case that blames a peer for a wait in vain is among them, and no other."""
    for expect, lines, wanted in CASES:
        waited = "quiet" in lines or STALLED in lines
        assert all((one in TIMED) is waited or one == "unexpected-pdu" for one in wanted), (expect, lines)


def one(*lines: Line, expect: str, name: str = "tested/case: one", side: Side = Side.USER) -> Violation:
    (found,) = judged(*lines, expect=expect, name=name, side=side)
    return found


ABORTED = (*ASSOCIATED, sent(ASK), got(USER_ABORT))


@pytest.mark.parametrize("rest", [(), ("quiet",), (sent(RELEASE), "quiet"), (sent(RELEASE), "ended"), ("reset",)])
def test_an_abort_in_place_of_a_response_is_told_once_and_as_such(rest: tuple[Line, ...]) -> None:
    """No matter how this side goes on, and waits: nothing more can come."""
    found = one(*ABORTED, *rest, expect="served")
    assert found.oracle == "refused-valid"
    assert found.detail.startswith("A-ABORT in place of the response to a C-ECHO-RQ; ")


def test_an_abort_long_after_a_request_is_no_answer_to_it() -> None:
    found = one(*ASSOCIATED, sent(ASK), "quiet", got(USER_ABORT), expect="served")
    assert (found.oracle, found.detail) == ("unanswered", "no response to a C-ECHO-RQ: a test")


def test_an_abort_before_a_release_was_asked_for_is_no_answer_to_it() -> None:
    answered = (*ASSOCIATED, sent(ASK), got(echoed()))
    found = one(*answered, got(USER_ABORT), sent(RELEASE), "quiet", expect="served")
    assert (found.oracle, found.detail.partition(";")[0]) == (
        "refused-valid", "A-ABORT before an A-RELEASE-RQ was sent",
    )  # fmt: skip
    late = one(*answered, sent(RELEASE), got(USER_ABORT), expect="served")
    assert late.detail == "A-ABORT in answer to an A-RELEASE-RQ; expected an A-RELEASE-RP: a test"


def test_an_abort_behind_a_cancel_is_one_finding_with_any_message_after_it() -> None:
    """A C-CANCEL-RQ has no response, so the reaction to it comes in place of the next answer."""
    found = [
        one(*ASSOCIATED, sent(TALK.cancel(77)), sent(last), got(USER_ABORT), expect="served")
        for last in (ASK, STORE, RELEASE)
    ]
    assert [one.detail.partition(";")[0] for one in found] == [
        "A-ABORT in place of the response to a C-ECHO-RQ behind a C-CANCEL-RQ",
        "A-ABORT in place of the response to a C-STORE-RQ behind a C-CANCEL-RQ",
        "A-ABORT in place of the A-RELEASE-RP behind a C-CANCEL-RQ",
    ]
    assert {(one.oracle, one.state, one.reaction) for one in found} == {
        ("refused-valid", "Sta6", "A-ABORT to C-CANCEL-RQ")
    }


def test_silence_says_what_was_heard_before_it() -> None:
    assert one(sent(NOTHING), "quiet", expect="refused").detail.startswith("no reaction, and the connection")
    heard = one(sent(RQ + NOTHING), got(ac()), "quiet", expect="refused").detail
    assert heard.startswith("no refusal; the peer sent an A-ASSOCIATE-AC, and the connection stayed open: ")
    heard = one(*ASSOCIATED, sent(ASK), got(echoed()), "quiet", expect="answered").detail
    assert heard.startswith("no further reaction; the peer sent a P-DATA-TF, and the connection stayed open: ")


def test_what_the_peer_may_not_send_is_told_once() -> None:
    """A second A-ASSOCIATE-AC is a violation by itself; that no A-ABORT came besides is the same thing."""
    found = one(*ASSOCIATED, sent(RQ), got(ac()), "quiet", expect="table")
    assert (found.oracle, found.reaction) == ("unexpected-pdu", "A-ASSOCIATE-AC")


def test_a_peer_that_calls_goes_on_instead_of_answering() -> None:
    found = one(got(RQ), sent(ac()), got(ASK), expect="refused-or-released", side=Side.PROVIDER)
    assert found.detail == "no refusal; the peer went on with a P-DATA-TF: a test"


def test_severities() -> None:
    assert one(sent(BAD_RQ), got(ac()), expect="refused").severity is Severity.MEDIUM
    assert one(sent(BAD_RQ), got(ac()), expect="should-refuse").severity is Severity.LOW
    assert one(sent(NOTHING), "ended", expect="refused").severity is Severity.LOW
    assert one(sent(RQ[:3]), STALLED, expect="ends-in-time").severity is Severity.HIGH
    assert one(*ASSOCIATED, STALLED, expect="ends-in-time").severity is Severity.MEDIUM


def test_a_pdu_that_comes_slowly_counts_from_its_first_byte() -> None:
    """A byte a second is not a new wait each time."""
    dribbled = [Entry(float(at), 0, What.SENT, RQ[at : at + 1]) for at in range(1, 67)]
    waited = [Entry(0.0, 0, What.OPENED), *dribbled, Entry(66.2, 0, What.QUIET)]
    assert oracles(judged(entries=waited, expect="ends-in-time")) == ["no-deadline"]
    ended = [*waited[:31], Entry(30.0, 0, What.ENDED), *waited[-1:]]
    assert judged(entries=ended, expect="ends-in-time") == []


def test_a_retrieval_may_take_longer_than_a_minute() -> None:
    get = TALK.get(1)
    called = (got(RQ), sent(ac()), got(get))
    assert judged(*called, STALLED, expect="ends-in-time", side=Side.PROVIDER) == []
    stored_only = (got(RQ), sent(ac()), got(ASK))
    assert oracles(judged(*stored_only, STALLED, expect="ends-in-time", side=Side.PROVIDER)) == ["no-deadline"]
    half = (*called, sent(pdu(4, bytes(6), length=80)))
    assert oracles(judged(*half, STALLED, expect="ends-in-time", side=Side.PROVIDER)) == ["no-deadline"]


@pytest.mark.parametrize(
    ("heard", "found"),
    [
        (ac(), ["unsecured"]),
        (RECORD + ac(), ["unsecured"]),
        (RECORD + RECORD + ABORT, []),  # which is a refusal
        (RECORD + ASK, ["unsecured"]),
        (RECORD + RECORD, []),
        (RECORD[:20], []),
        (RECORD + b"\x05", []),  # too little to say
        (b"HTTP/1.1 400 Bad Request", []),
    ],
)
def test_dicom_without_tls_is_seen_behind_records_too(heard: bytes, found: list[str]) -> None:
    for size in (1, 7, len(heard)):
        pieces = [Entry(0.2, 0, What.HEARD, heard[at : at + size]) for at in range(0, len(heard), size)]
        entries = [Entry(0.0, 0, What.OPENED), Entry(0.1, 0, What.BENEATH, b"x"), *pieces, Entry(0.3, 0, What.ENDED)]
        assert oracles(judged(entries=entries, expect="broken-off")) == found


def test_what_stays_open_under_a_broken_handshake_is_found() -> None:
    begun = [Entry(0.0, 0, What.OPENED), Entry(0.1, 0, What.BENEATH, b"x"), Entry(0.2, 0, What.HEARD, RECORD)]
    assert oracles(judged(entries=[*begun, Entry(1.0, 0, What.QUIET)], expect="broken-off")) == ["kept-open"]
    assert judged(entries=[*begun, Entry(1.0, 0, What.RESET)], expect="broken-off") == []


def test_acceptance_is_grouped_by_scenario_and_silence_by_family() -> None:
    """The part of a name after a colon is the variant; a signature does not depend on it."""
    first = one(sent(BAD_RQ), got(ac()), expect="refused", name="a/b: c")
    second = one(sent(BAD_RQ), got(ac()), expect="refused", name="a/b: d")
    other = one(sent(BAD_RQ), got(ac()), expect="refused", name="a/e: c")
    assert first.reaction == second.reaction == "A-ASSOCIATE-AC after a/b"
    assert other.reaction == "A-ASSOCIATE-AC after a/e"
    silent = one(sent(NOTHING), "quiet", expect="refused", name="a/b: c")
    assert (silent.reaction, silent.family, silent.by_family) == ("silent", "a", True)


def test_the_state_of_a_violation_is_that_in_which_the_fault_came() -> None:
    assert one(sent(NOTHING), "quiet", expect="refused").state == "Sta2"
    assert one(*ASSOCIATED, sent(NOTHING), "quiet", expect="refused").state == "Sta6"
    assert one(*ASSOCIATED, sent(RQ), "ended", expect="refused").clause == "PS3.8 table 9-10, AA-8"
    assert one(sent(NOTHING), "ended", expect="refused").clause == "PS3.8 table 9-10, AA-1"


def test_served_holds_for_every_connection_and_the_others_for_the_first() -> None:
    second = played(sent(RQ), got(REJECT), connection=1)
    assert oracles(judged(expect="served", entries=[*played(*ASSOCIATED), *second])) == ["refused-valid"]
    assert judged(expect="others-served", entries=[*played(*ASSOCIATED), *second]) == []
    silent = [*played(sent(NOTHING), got(USER_ABORT)), *played(sent(NOTHING), "quiet", connection=1)]
    assert judged(expect="refused", entries=silent) == []


# -- others ------------------------------------------------------------------------------------------------------


def check(*lines: Line, note: str = "no answer in time") -> list[Entry]:
    return [*played(*lines), Entry(9.0, -1, What.UNANSWERED, note=note)]


def test_others_must_be_served_meanwhile() -> None:
    (found,) = judged(entries=check(sent(RQ[:3])))
    assert (found.oracle, found.severity, found.state) == ("starved", Severity.HIGH, "Sta2")
    assert judged(entries=[*played(sent(RQ[:3])), Entry(9.0, -1, What.CHECKED)]) == []


def test_a_peer_may_lack_resources_while_they_are_used() -> None:
    busy = "rejected (2/3/2)"
    assert judged(entries=check(sent(RQ[:3]), note=busy)) == []
    assert oracles(judged(entries=check(sent(RQ[:3]), "closed", note=busy))) == ["starved"]
    assert oracles(judged(entries=check(sent(RQ[:3]), note="rejected (1/1/7)"))) == ["starved"]
    many = [entry for number in range(8) for entry in played(sent(RQ[:3]), "closed", connection=number)]
    assert judged(entries=[*many, Entry(9.0, -1, What.UNANSWERED, note=busy)]) == []
