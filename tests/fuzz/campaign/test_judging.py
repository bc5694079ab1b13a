"""Judgement as a whole: the worst first, each thing once, and no transcript raises or takes long."""

from __future__ import annotations

import time
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicos_fuzz.campaign.engines import LEARNED
from dicos_fuzz.campaign.judging import judge
from dicos_fuzz.conversation import Conversation, Entry, Side, Transcript, What
from dicos_fuzz.finding import Severity
from dicos_fuzz.grammar.building import p_data
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
