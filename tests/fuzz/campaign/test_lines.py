"""Transcripts are read as PDUs of both sides in order, with the end of each connection."""

from __future__ import annotations

import pytest

from dicos_fuzz.campaign.lines import MOST_HEARD, Line, Validity, lines_of, name_of, with_article
from dicos_fuzz.campaign.scenarios.scripts import pdu
from dicos_fuzz.conversation import Entry, Transcript, What
from dicos_fuzz.grammar.building import p_data
from dicos_fuzz.grammar.reading import read_stream
from dicos_fuzz.tree import Action, Edit, apply, encode
from tests.fuzz.campaign import transcripts
from tests.fuzz.campaign.transcripts import ABORT, RELEASE, RQ, ac, got, played, sent

SLOPPY = encode(apply(read_stream(RQ), (Edit("A-ASSOCIATE-RQ/user information", Action.DELETE),)))


def line_of(*lines: transcripts.Line) -> Line:
    (line,) = lines_of(Transcript(played(*lines))).values()
    return line


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


def test_going_on_after_a_wait_in_vain_is_hurried() -> None:
    assert line_of(sent(RQ), "quiet", sent(RELEASE)).hurried
    assert not line_of(sent(RQ), "quiet").hurried
    assert not line_of(sent(RQ), got(ac()), sent(RELEASE), "quiet").hurried
    assert not line_of(sent(RQ), got(ABORT), "quiet", sent(RELEASE)).hurried  # it was over before the wait


def test_pdus_are_found_by_side_type_and_place() -> None:
    line = line_of(sent(RQ), got(ac()), sent(RELEASE), got(ABORT))
    assert [one.kind for one in line.ours()] == [1, 5]
    assert [one.kind for one in line.ours(5, 7)] == [5]
    assert [one.kind for one in line.theirs()] == [2, 7]
    assert [one.kind for one in line.theirs(2, 3)] == [2]
    assert [one.kind for one in line.theirs(after=2)] == [7]


def test_a_pdu_of_this_side_counts_from_its_first_byte_and_one_of_the_peer_from_its_last() -> None:
    ours_first = line_of(sent(RELEASE[:6]), got(ABORT), sent(RELEASE[6:]))
    assert [one.ours for one in ours_first.said] == [True, False]
    theirs_last = line_of(got(ABORT[:6]), sent(RELEASE), got(ABORT[6:]))
    assert [one.ours for one in theirs_last.said] == [True, False]


def test_bytes_beneath_tls_are_no_pdus() -> None:
    line = line_of(
        (What.BENEATH.value, b"\x17\3\3\0\1x"),
        (What.HEARD.value, b"\x15\3\3\0\2\2\x28"),
        (What.HEARD.value, b"more"),
        "reset",
    )
    assert line.said == []
    assert line.heard == b"\x15\3\3\0\2\2\x28more"
    assert line.last_sent == 1
    assert line.ended is What.RESET
    assert line.ended_at == 4


def test_bytes_that_the_transcript_does_not_have_are_known_to_be_missing() -> None:
    for what in (What.ENDED, What.CLOSED):
        for note, cut in (("5 bytes not shown", True), ("", False)):
            entries = [*played(sent(RQ)), Entry(1.0, 0, what, b"", note)]
            assert lines_of(Transcript(entries))[0].cut is cut


def test_this_side_may_close_and_the_first_end_of_the_peer_counts() -> None:
    line = line_of(sent(RQ), What.HALF.value, "ended", "reset", What.CLOSED.value)
    assert (line.half_at, line.ended, line.ended_at, line.closed_at) == (2, What.ENDED, 3, 5)


def test_a_damaged_pdv_ends_the_pdvs_of_its_pdu() -> None:
    good = p_data((1, True, True, b"ab"), (3, False, False, b"c"))
    assert line_of(sent(good)).said[0].pdvs == [(1, 3, b"ab"), (3, 0, b"c")]
    assert line_of(sent(good[:-7] + b"\0\0\0\x99" + good[-3:])).said[0].pdvs == [(1, 3, b"ab")]


def test_names_have_their_articles() -> None:
    assert [with_article(name_of(one)) for one in (7, 4, 0x99)] == ["an A-ABORT", "a P-DATA-TF", "an unknown PDU"]


def test_a_flood_of_small_pdus_is_few_objects() -> None:
    """A peer may send the smallest ones without an end: what is behind the first ten thousand is left out."""
    aborts = bytes.fromhex("07000000000400000000") * 50_000
    flood = Transcript([Entry(0.0, 0, What.OPENED), Entry(0.1, 0, What.RECEIVED, aborts)])
    (line,) = lines_of(flood).values()
    assert len(line.said) == MOST_HEARD
    assert line.cut
    zeros = Transcript([Entry(0.0, 0, What.OPENED), Entry(0.1, 0, What.RECEIVED, bytes(1 << 20))])
    (line,) = lines_of(zeros).values()
    assert [len(one.data) for one in line.said] == [1 << 20]  # nothing is known to be a PDU there
    assert not line.cut
