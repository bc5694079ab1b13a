"""The text report: the worst first, each finding with its rule, its chances and its reproducer; printable lines."""

from __future__ import annotations

import json
from dataclasses import replace

from dicos_fuzz.finding import Finding
from dicos_fuzz.reports import html, json_lines, text
from dicos_fuzz.reports.values import CampaignReport
from tests.fuzz.findings.examples import FINDING
from tests.fuzz.reports.examples import REPORT, WRONG_STATE
from tests.fuzz.reports.test_html import hostile


def test_a_report_reads_like_this() -> None:
    assert list(text.lines(replace(REPORT, findings=REPORT.findings[1:], differences=()))) == [
        "127.0.0.1:11112: 3 findings: 1 critical, 1 high, 1 medium",
        "",
        "CRITICAL (1)",
        "  hang-ae083b03aed1: no answer to a good echo within 5.0 s",
        "    breaks     PS3.8 9.2 in Sta2",
        "    sent       the length of a presentation context reaches behind the PDU",
        "    shown      7 times, first after 12.5 s, 340 conversations; played again: 3 of 5",
        "    reproducer 2 steps, 448 B (first: 5 steps, 448 B), after 1 other conversation",
        "    run        dicos replay found/hang-ae083b03aed1.json HOST PORT",
        "    evidence   the process has ended with signal 11",
        "",
        "HIGH (1)",
        "  slot-leak-51a6a3a556ee: still rejects good associations 15 s after all connections were closed: "
        "'local limit exceeded'",
        "    breaks     limit: a slot is free once its connection is gone in Sta2",
        "    sent       an A-ASSOCIATE-RQ at a byte a second, on ten connections",
        "    shown      1 time, first after 4 min 1 s, 31007 conversations; played again: 2 of 3",
        "    reproducer 6 steps, 1.3 kB",
        "    no file    no reproducer was written: --output DIR writes them",
        "",
        "MEDIUM (1)",
        "  wrong-state-6f283143c0cd: A-ASSOCIATE-AC in answer to a second A-ASSOCIATE-RQ; "
        "expected A-ABORT (action AA-8)",
        "    breaks     PS3.8 table 9-10 in Sta6",
        "    sent       a second A-ASSOCIATE-RQ on the same connection",
        "    shown      212 times, first after 4.2 s, 871 conversations; played again: 3 of 3",
        "    reproducer 6 steps, 896 B (first: 6 steps, 896 B)",
        "    no file    found/wrong-state.json: not written: No space left on device",
        "",
        "not confirmed (1):",
        "  late-abort-72e881f09fb6: A-ABORT with the reason 'not specified'; expected 'invalid PDU parameter value' "
        "(played again, it came back 0 of 3 times)",
        "",
        "known and masked: hang-ae083b03aed1, 14 times",
        "known, not met: crash-0123456789ab",
        "84211 conversations in 10 min 0 s, 140 a second; "
        "92007 associations, 48.1 MB sent, 3371 good echoes, 2 restarts, 614 different reactions",
        "  lengths              40200 conversations, 1811 of 1811 systematic ones",
        "  sequence             21007 conversations, 240 of 240 systematic ones",
        "  slow                 204 conversations, 12 of 40 systematic ones",
        "states of table 9-10 visited: Sta1, Sta2, Sta3, Sta4, Sta5, Sta6, Sta7, Sta8, Sta10, Sta12, Sta13",
        "seed 7; ended: 600 seconds",
        "note: the peer needs 0.8 s for an answer",
    ]


def test_with_transcripts_each_finding_has_its_own() -> None:
    found = list(text.lines(replace(REPORT, findings=(FINDING,)), transcripts=True))
    assert "        0.000 s  connection opened" in found
    assert any("on purpose: A-ASSOCIATE-RQ/presentation context#2/length: 79 -> 65535" in line for line in found)


def test_differences_name_both_peers() -> None:
    found = list(text.lines(REPORT))
    at = found.index("different from 127.0.0.1:11113: a called title of blanks, 4 times")
    assert found[at + 1 : at + 3] == ["  127.0.0.1:11112: A-ASSOCIATE-RJ 1/1/7", "  127.0.0.1:11113: A-ASSOCIATE-AC"]


def test_every_line_is_printable_and_short_for_any_text() -> None:
    for line in text.lines(hostile(), transcripts=True):
        assert line.isprintable()
        assert len(line) < 1000


def test_nothing_found() -> None:
    found = list(text.lines(CampaignReport(peer="127.0.0.1:104", conversations=1, seconds=0.5)))
    assert found[0] == "127.0.0.1:104: no findings"
    assert "1 conversation in 0.50 s, 2 a second; 0 associations, 0 B sent" in found[2]


def test_findings_that_are_alike_are_one_with_a_line_for_each_other() -> None:
    def after(place: str, seconds: float) -> Finding:
        violation = replace(FINDING.violation, reaction=f"C-STORE-RSP (success) after {place}")
        conversation = replace(FINDING.conversation, about=place)
        return replace(FINDING, violation=violation, conversation=conversation, seen_after=(seconds, 1))

    found = list(text.lines(replace(REPORT, findings=(after("a path", 1.0), after("a length", 2.0)))))
    assert len([line for line in found if line.startswith("    breaks")]) == 1
    (other,) = [line for line in found if line.startswith("    alike")]
    assert other.endswith(": a length")


def test_what_there_was_no_time_for_is_said() -> None:
    found = list(text.lines(replace(REPORT, findings=(), unconfirmed=(replace(FINDING, replayed=(0, 0)),))))
    assert any(line.endswith("(there was no time to play it again)") for line in found)


def test_the_command_has_the_path_and_the_options_for_tls() -> None:
    report = replace(
        REPORT,
        reproducers={one.id: f"fuzz run/{one.id}.json" for one in REPORT.findings},
        tls=("--tls-ca", "our ca.pem", "--tls-no-verify"),
    )
    name = WRONG_STATE.id
    run = f"    run        dicos replay 'fuzz run/{name}.json' HOST PORT --tls-ca 'our ca.pem' --tls-no-verify"
    assert run in list(text.lines(report))


def test_the_time_is_told_by_what_it_went_into() -> None:
    spent = (("to start and learn the peer", 2.7), ("of conversations", 17.3), ("to make them small", 9.0))
    report = CampaignReport(peer="x", conversations=126, seconds=26.3, spent=spent)
    found = list(text.lines(report))
    assert "126 conversations, 5 a second; " in "\n".join(found)
    assert "time 29.0 s: 2.7 s to start and learn the peer, 17.3 s of conversations, 9.0 s to make them small" in found
    again = "\n".join(text.lines(replace(report, seconds=86.3)))
    assert "9.0 s to make them small; 60.0 s before it was taken up again" in again


def test_findings_of_before_that_are_masked_now_are_named_and_not_said_to_be_not_met() -> None:
    report = CampaignReport(peer="x", masked_before={"hang-ae083b03aed1": 3}, known=("ae083b03aed1", "0123456789ab"))
    found = list(text.lines(report))
    assert "found before, now masked: hang-ae083b03aed1, 3 times" in found
    assert [one for one in found if "not met" in one] == ["known, not met: 0123456789ab"]
    said = [json.loads(line) for line in json_lines.lines(report)]
    assert [one["id"] for one in said if one["event"] == "masked_before"] == ["hang-ae083b03aed1"]
    assert "found before, now masked, 3 times" in "".join(html.page(report))
