"""A report as a campaign fills it in, for the tests; run as a script, it writes the HTML page."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

from dicos_fuzz.conversation import Await, Conversation, End, Entry, Open, Send, Side, Transcript, What
from dicos_fuzz.finding import Finding, Severity, Violation
from dicos_fuzz.reports import html
from dicos_fuzz.reports.values import CampaignReport, Difference, FamilyCount
from dicos_fuzz.reports.visiting import moves
from dicos_fuzz.tree import Action, Edit
from tests.fuzz import values
from tests.fuzz.findings.examples import FINDING, TRANSCRIPT

S, R = What.SENT, What.RECEIVED
RQ, AC, RJ = values.REQUEST, values.PDUS["A-ASSOCIATE-AC"], values.PDUS["A-ASSOCIATE-RJ"]
ECHO, STORE, ABORT = values.PDUS["C-ECHO-RQ"], values.PDUS["C-STORE-RQ"], values.PDUS["A-ABORT"]
ASKS, ANSWERS = values.PDUS["A-RELEASE-RQ"], values.PDUS["A-RELEASE-RP"]


def run(*said: tuple[What, bytes], end: What = What.ENDED) -> Transcript:
    """A transcript: opened, messages, the end; a hundredth of a second for each."""
    entries = [Entry(0.0, 0, What.OPENED)]
    entries += [Entry((at + 1) / 100, 0, what, data) for at, (what, data) in enumerate(said)]
    return Transcript([*entries, Entry((len(said) + 1) / 100, 0, end)])


RUNS = (
    (run((S, RQ), (R, AC), (S, ECHO), (R, ECHO), (S, ASKS), (R, ANSWERS)), 3120, Side.USER),
    (run((S, RQ), (R, AC), (S, STORE), (S, RQ), (R, ABORT)), 411, Side.USER),
    (run((S, RQ), (R, RJ)), 87, Side.USER),
    (run((S, RQ), (R, ABORT), (S, ECHO), end=What.RESET), 230, Side.USER),
    (run((S, ECHO), (R, ABORT)), 12, Side.USER),
    (run((S, RQ), (R, AC), (R, ASKS), (S, ASKS), (S, ANSWERS), (R, ANSWERS)), 3, Side.USER),
    (run((R, RQ), (S, AC), (R, ECHO), (S, ECHO), (R, ASKS), (S, ANSWERS), end=What.CLOSED), 40, Side.PROVIDER),
)
TRANSITIONS: Counter[tuple[str, str]] = Counter()
for transcript, times, side in RUNS:
    for move in moves(transcript, side):
        TRANSITIONS[move] += times
STATES: Counter[str] = Counter()
for (_, after), times in TRANSITIONS.items():
    STATES[after] += times

TWICE = Conversation(
    name="sequence/second request",
    about="a second A-ASSOCIATE-RQ on the same connection",
    clause="PS3.8 9.2",
    steps=(
        Open(),
        Send(message=RQ),
        Await(kinds=(2,)),
        Send(message=RQ, edits=(Edit("A-ASSOCIATE-RQ/called title", Action.SET, b"OTHER           "),)),
        Await(),
        End(),
    ),
)
WRONG_STATE = Finding(
    violation=Violation(
        oracle="wrong-state",
        severity=Severity.MEDIUM,
        detail="A-ASSOCIATE-AC in answer to a second A-ASSOCIATE-RQ; expected A-ABORT (action AA-8)",
        clause="PS3.8 table 9-10",
        state="Sta6",
        reaction="A-ASSOCIATE-AC",
        family="sequence",
    ),
    conversation=TWICE,
    transcript=run((S, RQ), (R, AC), (S, TWICE.steps[3].wire()), (R, AC), end=What.CLOSED),  # type: ignore[union-attr]
    minimised=TWICE,
    replayed=(3, 3),
    seen_after=(4.2, 871),
    count=212,
)
SLOW = Finding(
    violation=Violation(
        oracle="slot-leak",
        severity=Severity.HIGH,
        detail="still rejects good associations 15 s after all connections were closed: 'local limit exceeded'",
        clause="limit: a slot is free once its connection is gone",
        state="Sta2",
        reaction="rejects 2/3/2",
        family="slow",
    ),
    conversation=Conversation(
        name="slow/first PDU",
        about="an A-ASSOCIATE-RQ at a byte a second, on ten connections",
        steps=tuple(
            step
            for number in range(3)
            for step in (Open(connection=number), Send(message=RQ, piece=1, gap=1.0, connection=number))
        ),
    ),
    transcript=Transcript(
        [Entry(0.001 * number, number, What.OPENED) for number in range(3)]
        + [Entry(float(at), number, S, RQ[at : at + 1]) for at in range(20) for number in range(3)]
        + [Entry(20.0, number, What.CLOSED) for number in range(3)]
    ),
    replayed=(2, 3),
    seen_after=(241.0, 31_007),
)
LOW = replace(
    WRONG_STATE,
    violation=Violation(
        oracle="no-reason",
        severity=Severity.LOW,
        detail="A-ABORT with the reason 'not specified'; expected 'invalid PDU parameter value'",
        clause="PS3.8 9.3.8",
        state="Sta3",
        reaction="A-ABORT 2/0",
    ),
    conversation=Conversation(name="structure/no application context", about="", steps=(Open(), Send(message=RQ))),
    transcript=run((S, RQ), (R, ABORT)),
    minimised=None,
    seen_after=(0.4, 12),
)
HANG = replace(
    FINDING,
    minimised_transcript=Transcript([one for one in TRANSCRIPT.entries if one.what is not What.RECEIVED]),
)
REPORT = CampaignReport(
    peer="127.0.0.1:11112",
    started="2025-05-03 10:21",
    seconds=600.0,
    ended="600 seconds",
    accepts=(
        "called AE title ANY-SCP, Maximum Length 16384, window 1/1",
        "1.2.840.10008.1.1 Verification SOP Class: Implicit VR Little Endian",
        "1.2.840.10008.5.1.4.1.1.2 CT Image Storage: Explicit VR Little Endian",
    ),
    conversations=84_211,
    associations=92_007,
    sent=48_100_000,
    echoes=3371,
    restarts=2,
    reactions=614,
    corpus=203,
    families=(
        FamilyCount(name="lengths", about="wrong lengths of PDUs, items and elements", conversations=40_200,
                    systematic=1811, systematic_all=1811, findings=1),
        FamilyCount(name="sequence", about="PDUs in the wrong order or state", conversations=21_007, systematic=240,
                    systematic_all=240, findings=1),
        FamilyCount(name="slow", about="peers that are slow, or stop in the middle", conversations=204, systematic=12,
                    systematic_all=40, findings=1),
    ),
    states=STATES,
    transitions=TRANSITIONS,
    findings=(LOW, WRONG_STATE, SLOW, HANG),
    unconfirmed=(replace(LOW, violation=replace(LOW.violation, oracle="late-abort"), replayed=(0, 3)),),
    masked={"hang-ae083b03aed1": 14},
    known=("crash-0123456789ab", "ae083b03aed1"),
    compared="127.0.0.1:11113",
    differences=(
        Difference(family="titles", about="a called title of blanks", first="A-ASSOCIATE-RJ 1/1/7",
                   second="A-ASSOCIATE-AC", count=4),
    ),
    bounds=(("time", "600 s"), ("rate", "1000 a second"), ("associations", "50 at a time"), ("sent", "1.0 GB")),
    seed=7,
    version="0.1.0",
    notes=("the peer needs 0.8 s for an answer",),
    reproducers={FINDING.id: f"found/{FINDING.id}.json"},
    unwritten={"wrong-state-6f283143c0cd": "found/wrong-state.json: not written: No space left on device"},
)  # fmt: skip

if __name__ == "__main__":
    html.write(Path(sys.argv[1]), REPORT)
