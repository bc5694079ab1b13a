"""Judgement as a whole: the worst first, each thing once, and no transcript raises or takes long."""

from __future__ import annotations

import time
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicos_fuzz.campaign.engines import LEARNED
from dicos_fuzz.campaign.judging import judge
from dicos_fuzz.campaign.lines import Validity, lines_of
from dicos_fuzz.campaign.scenarios.scripts import pdu
from dicos_fuzz.conversation import Conversation, Entry, Side, Transcript, What
from dicos_fuzz.finding import Severity
from dicos_fuzz.grammar.building import p_data
from dicos_fuzz.grammar.reading import read_stream
from dicos_fuzz.tree import Action, Edit, apply, encode
from tests.fuzz.campaign.transcripts import (
    ABORT,
    ASSOCIATED,
    RELEASE,
    RQ,
    STORAGE,
    TALK,
    ac,
    echoed,
    got,
    judged,
    played,
    sent,
    stored,
)


def test_the_worst_comes_first_and_each_thing_once() -> None:
    _, command, data = TALK.parts(1, "judged")
    half = p_data((STORAGE, True, True, command)) + p_data((STORAGE, False, False, data[:100]))
    found = judged(*ASSOCIATED, sent(half), got(stored()), got(echoed(9) * 3), got(b"\7\0\0\0\0\4\0\0\1\0"))
    assert [one.severity for one in found] == [Severity.HIGH, Severity.MEDIUM, Severity.LOW]
    assert {one.family for one in found} == {"tested"}


def test_an_unknown_expectation_is_an_error() -> None:
    with pytest.raises(KeyError):
        judged(expect="miracle")


PIECES = (RQ, ac(), TALK.ask(), echoed(), TALK.store(1, "garbage"), stored(), RELEASE, ABORT, b"\4\0\0\0\0\0", b"\1")


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    """Any lines in any order, with good, damaged and random bytes."""
    entries = []
    for number in range(draw(st.integers(0, 12))):
        what = draw(st.sampled_from(What))
        data = b""
        if what in (What.SENT, What.RECEIVED):
            data = draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=40)))
            if draw(st.booleans()) and data:
                at = draw(st.integers(0, len(data) - 1))
                data = data[:at] + draw(st.binary(max_size=3)) + data[at + draw(st.integers(0, 3)) :]
        entries.append(Entry(number / 10, draw(st.integers(-1, 2)), what, data))
    return Transcript(entries)


@given(transcripts(), st.sampled_from(Side), st.sampled_from(["any", "served", "refused", "table", "closes"]))
@settings(max_examples=300)
def test_no_transcript_raises(transcript: Transcript, side: Side, expect: str) -> None:
    conversation = Conversation(name="a/b", expect=expect, side=side, steps=())
    for one in judge(conversation, transcript, LEARNED):
        assert one.oracle
        assert one.detail
        assert one.family == "a"


@pytest.mark.parametrize(
    ("name", "ours", "theirs"),
    [
        ("many requests", TALK.ask(7) * 1_000, echoed(7) * 1_000),
        ("many fragments", p_data((1, True, False, b"\0\0")) * 8_000, b""),
        ("many cancels", TALK.cancel(7, 1) * 3_000, echoed(7) * 3_000),
        ("many objects", b"".join(TALK.store(one + 1, one) for one in range(300)), stored(1) * 3_000),
        ("many releases", RELEASE * 4_000, ABORT * 4_000),
        ("noise", Random(1).randbytes(200_000), Random(2).randbytes(200_000)),
    ],
)
def test_the_time_is_linear_in_the_bytes(name: str, ours: bytes, theirs: bytes) -> None:
    """Processor time: a busy machine does not matter. Quadratic time would take minutes."""
    begun = time.process_time()
    judged(*ASSOCIATED, sent(ours), got(theirs), "quiet", expect="served")
    assert time.process_time() - begun < 6.0


SLOPPY = encode(apply(read_stream(RQ), (Edit("A-ASSOCIATE-RQ/user information", Action.DELETE),)))


# -- lines -------------------------------------------------------------------------------------------------------


def test_pdus_are_put_together_from_pieces_of_both_sides() -> None:
    pieces = [sent(RQ[at : at + 50]) for at in range(0, len(RQ), 50)]
    (line,) = lines_of(Transcript(played(*pieces, got(ac()[:9]), got(ac()[9:] + ABORT), "ended"))).values()
    assert [(one.ours, one.name, one.whole) for one in line.said] == [
        (True, "A-ASSOCIATE-RQ", True),
        (False, "A-ASSOCIATE-AC", True),
        (False, "A-ABORT", True),
    ]
    assert line.said[0].began == 1
    assert line.said[0].done == len(pieces)
    assert line.ended is What.ENDED


def test_a_connection_number_may_come_again() -> None:
    entries = [*played(sent(RQ)), *played(sent(RELEASE)), *played(sent(ABORT), connection=3)]
    found = lines_of(Transcript(entries))
    assert sorted(found) == [-2, 0, 3]
    assert [one.kind for number in (-2, 0, 3) for one in found[number].said] == [1, 5, 7]


@pytest.mark.parametrize(
    ("data", "validity"),
    [
        (RQ, Validity.VALID),
        (RQ[:-1], Validity.CUT),
        (SLOPPY, Validity.SLOPPY),
        (pdu(1, RQ[6:20]), Validity.INVALID),
        (p_data((1, True, True, b"x")), Validity.VALID),
        (b"\4\0\0\0\0\0", Validity.INVALID),
        (b"\x99\0\0\0\0\0", Validity.INVALID),
    ],
)
def test_validity(data: bytes, validity: Validity) -> None:
    (line,) = lines_of(Transcript(played(sent(data)))).values()
    assert line.said[0].validity is validity


def test_silence_needs_a_wait_behind_everything_else() -> None:
    def silent(*lines: object) -> bool:
        (line,) = lines_of(Transcript(played(*lines))).values()  # type: ignore[arg-type]
        return line.fell_silent

    assert silent(sent(RQ), "quiet")
    assert not silent(sent(RQ))
    assert not silent("quiet", sent(RQ))
    assert not silent(sent(RQ), "quiet", got(ac()))
    assert not silent(sent(RQ), "quiet", "ended")
    assert not silent(sent(RQ), got(ABORT), "quiet")
