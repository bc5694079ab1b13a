"""A finding as a campaign makes it, for the tests of files, transcripts, replays and reports."""

from __future__ import annotations

from dataclasses import replace

from dicos_fuzz.conversation import Await, Check, Conversation, End, Entry, Open, Send, Transcript, What
from dicos_fuzz.finding import Finding, Severity, Violation
from dicos_fuzz.grammar.building import p_data
from dicos_fuzz.tree import Action, Edit
from tests.fuzz import values

PATIENT = b"Doe^Jane"
WRONG = (
    Edit("A-ASSOCIATE-RQ/presentation context#2/length", Action.LENGTH, 0xFFFF),
    Edit("A-ASSOCIATE-RQ/called title", Action.SET, b"../../../../tmp "),
)
VIOLATION = Violation(
    oracle="hang",
    severity=Severity.CRITICAL,
    detail="no answer to a good echo within 5.0 s",
    clause="PS3.8 9.2",
    state="Sta2",
    reaction="silence",
    family="lengths",
)
SEND = Send(message=values.REQUEST, edits=WRONG)
CONVERSATION = Conversation(
    name="lengths/presentation context",
    about="the length of a presentation context reaches behind the PDU",
    clause="PS3.8 9.3.2.2",
    steps=(Open(), SEND, Await(kinds=(2, 3, 7)), Check(), End()),
)
ANSWER = p_data((3, False, True, b"\x10\x00\x10\x00PN\x08\x00" + PATIENT))
"""The peer's answer, with the name of a patient."""
TRANSCRIPT = Transcript(
    [
        Entry(0.0, 0, What.OPENED),
        Entry(0.000_5, 0, What.SENT, SEND.wire()[:100]),
        Entry(0.002, 0, What.SENT, SEND.wire()[100:]),
        Entry(0.25, 0, What.RECEIVED, ANSWER[:30]),
        Entry(0.26, 0, What.RECEIVED, ANSWER[30:] + values.PDUS["A-ABORT"]),
        Entry(5.3, 0, What.UNANSWERED, note="no answer in 5.0 s"),
        Entry(5.4, 0, What.CLOSED),
    ]
)
FINDING = Finding(
    violation=VIOLATION,
    conversation=CONVERSATION,
    transcript=TRANSCRIPT,
    before=(replace(CONVERSATION, name="lengths/title", steps=(Open(), Send(message=values.PDUS["A-ABORT"]))),),
    minimised=replace(CONVERSATION, steps=CONVERSATION.steps[:2]),
    replayed=(3, 5),
    seen_after=(12.5, 340),
    count=7,
    evidence=("the process has ended with signal 11",),
)
