"""Targets for what the tools of this package read: captures and their traces, fault plans, reproducers; the grammar;
addresses.

Knows: which error each of them documents. Must not know: what the tools do with it.
"""

from __future__ import annotations

from io import BytesIO
from itertools import islice
from random import Random
from typing import Final

from dicos_transports.addresses import parse_address, printable

from ...captures import CaptureError, Recorder, Recording
from ...conversation import (
    Answer,
    Await,
    Check,
    Conversation,
    End,
    Open,
    Pause,
    Reading,
    Send,
    conversation_of_json,
    json_of_conversation,
)
from ...faults import PlanError, parse_plan, plan_of_tape, random_plan, tape_of_plan
from ...grammar.changing import change, changes
from ...grammar.reading import read_command, read_data_set, read_pdu, read_stream
from ...json_text import DamagedFile, parse, written
from ...trace.lines import Lines
from ...trace.tracer import Tracer
from ...tree import Action, Edit, apply, encode, walk
from ..cases import recorded
from ..contents import data_sets
from ..seeds import commands, pdus
from ..tape import Tape
from ..target import Bounds, Target, Watch, check, words

__all__ = ["TARGETS"]

# -- the grammar -------------------------------------------------------------------------------------------------

_READERS: Final = (read_stream, read_pdu, read_command, read_data_set)
_CHANGES: Final = 1_000


def _grammar(data: bytes, watch: Watch) -> None:
    tape = Tape(data)
    number, how = tape.byte() & 3, tape.byte()
    random = Random(how)
    given = tape.rest()
    tree = _READERS[number](given)
    check(encode(tree) == given, f"{len(given)} bytes are not the same after they were read")
    names = [path for path, _ in walk(tree)]
    watch((number, len(names).bit_length(), tree.name))
    check(len(set(names)) == len(names), "two nodes at one path")
    for _ in range(how & 3):
        edit = change(tree, random)
        if edit is None:
            break
        watch((edit.action, len(str(edit)) > 100))
        tree = apply(tree, (edit,))
        encode(tree)
    if how > 250:
        for edit in islice(changes(tree), _CHANGES):  # each costs as much as the tree is large
            encode(apply(tree, (edit,)))


# -- captures ----------------------------------------------------------------------------------------------------

_AT: Final = 1_700_000_000_000_000_000


def _captures() -> list[bytes]:
    """Recordings of conversations: whole, in small segments, reset."""
    found = []
    for number, (user, provider) in enumerate(recorded()[:4]):
        file = BytesIO()
        recorder = Recorder(file, segment=None if number % 2 else 300)
        recorder.open(0, _AT)
        recorder.send(0, _AT + 1000, user[:400], by_client=True)
        recorder.send(0, _AT + 2000, provider, by_client=False, comment="an answer")
        recorder.send(0, _AT + 3000, user[400:], by_client=True)
        recorder.end(0, _AT + 4000, by_client=True, reset=number == 2)
        found.append(file.getvalue())
    return found


def _capture(data: bytes, watch: Watch) -> None:
    lines: list[str] = []
    tracer = Tracer([Lines(lines.append)])
    try:
        for event in Recording(BytesIO(data), "recording").events():
            watch(type(event).__name__)
            tracer.feed(event)
    except CaptureError as fault:
        watch(words(str(fault)[12:]))
        check(str(fault).isprintable(), f"a text that cannot be printed: {str(fault)!a}")
    tracer.end()
    check(len(lines) <= 100 + len(data) // 4, f"{len(lines)} lines for a file of {len(data)} bytes")
    for line in lines:
        watch(words(line.partition(": ")[2])[:24])
        check(line.isprintable(), f"a line that a terminal may obey: {line!a}")


# -- plans -------------------------------------------------------------------------------------------------------


def _plan(data: bytes, watch: Watch) -> None:
    if data[:1] < b"\x80":
        text = data[1:].decode("utf-8", "replace")
        try:
            plan = parse_plan(text)
        except PlanError as fault:
            watch(words(str(fault)))
            check(str(fault).isprintable(), f"a text that cannot be printed: {str(fault)!a}")
            return
    else:
        plan = plan_of_tape(data[1:])
    for one in plan.faults:
        watch((type(one.place).__name__, type(one.effect).__name__))
    check(parse_plan(str(plan)) == plan, f"{str(plan)!r} is another plan when it is read")
    check(plan_of_tape(tape_of_plan(plan)) == plan, f"{str(plan)!r} is another plan from its tape")


def _plan_tapes() -> list[bytes]:
    random = Random(1)
    plans = [random_plan(random) for _ in range(60)]
    return [*(b"\0" + str(one).encode() for one in plans), *(b"\x80" + tape_of_plan(one) for one in plans)]


# -- conversations -----------------------------------------------------------------------------------------------

_CONVERSATION: Final = Conversation(
    name="family/what",
    about="a length that is wrong",
    clause="PS3.8 9.3.1",
    steps=(
        Open(),
        Send(
            message=pdus()[0],
            edits=(Edit("A-ASSOCIATE-RQ/length", Action.LENGTH, 7), Edit("A-ASSOCIATE-RQ", Action.SET, b"ab")),
            piece=3,
            gap=0.5,
        ),
        Await(kinds=(2, 3), seconds=2.0),
        Answer(connection=0),
        Pause(seconds=0.25),
        Reading(on=False),
        Check(),
        End(how="reset"),
    ),
)


def _conversation(data: bytes, watch: Watch) -> None:
    try:
        found = conversation_of_json(parse(data))
    except DamagedFile as fault:
        watch(words(str(fault)))
        check(str(fault).isprintable(), f"a text that cannot be printed: {str(fault)!a}")
        return
    for step in found.steps:
        watch(type(step).__name__)
        if isinstance(step, Send):
            step.wire()
    again = conversation_of_json(parse(written(json_of_conversation(found))))
    check(again == found, f"{found!r:.300} is read as {again!r:.300}")


# -- addresses ---------------------------------------------------------------------------------------------------


def _address(data: bytes, watch: Watch) -> None:
    text = data.decode("utf-8", "surrogateescape")
    check(printable(text).isprintable(), f"{text!a} is printed as {printable(text)!a}")
    try:
        found = parse_address(text)
    except ValueError as fault:
        watch(str(fault).endswith(("[::1]", "11112", "65535", "%eth0]", ":PORT", "brackets", "spaces")))
        check(str(fault).isprintable(), f"a text that cannot be printed: {str(fault)!a}")
        return
    watch((found.aet is None, ":" in found.host))
    check(not text.isprintable() or parse_address(str(found)) == found, f"{found} is another address when it is read")


_ADDRESSES: Final = (
    b"pacs.example:104", b"127.0.0.1:11112", b"[::1]:104", b"[fe80::1%eth0]:104", b"TITLE@host:1", b"A B@[::1]:65535",
    b"host", b":104", b"::1:104", b"\xff@x:1", b"a\x1b[2J:104",
)  # fmt: skip
_JSON_WORDS: Final = (
    b'"step"', b'"open"', b'"send"', b'"edits"', b'"path"', b'"action"', b'"bytes"', b'"number"', b"[[", b"{}",
    b"1e999", b"NaN", b'"length"', b'"insert"', b"null", b"-1", b"\\ud800", b"99999999999999999999",
)  # fmt: skip

TARGETS: Final = (
    Target(
        name="grammar",
        about="trees of PDUs, command sets and data sets: lossless, and any change of them",
        body=_grammar,
        seeds=lambda: [
            bytes((number, how)) + one
            for how in (0, 3, 255)
            for number, group in enumerate((pdus(), pdus(), commands(), data_sets()))
            for one in group
        ],
        bounds=Bounds(memory=2 << 20, memory_a_byte=800, time=2_000_000, time_a_byte=400),
        longest=4096,
    ),
    Target(
        name="capture",
        about="a capture file, and the trace of the associations in it",
        body=_capture,
        seeds=_captures,
        words=(b"\n\r\r\n", b"\x4d\x3c\x2b\x1a", b"\6\0\0\0", b"\1\0\0\0", b"\xd4\xc3\xb2\xa1", b"\x08\0\x45\0"),
        bounds=Bounds(memory=4 << 20, memory_a_byte=400, time=400_000, time_a_byte=400),
    ),
    Target(
        name="fault-plan",
        about="fault plans as texts and as tapes",
        body=_plan,
        seeds=_plan_tapes,
        words=(b"in ", b"out ", b"after ", b"every ", b"about ", b": ", b"flip", b"drop", b"stall", b"seed ", b"\n"),
        longest=4096,
        share=0.5,
    ),
    Target(
        name="conversation",
        about="conversations out of the JSON of a reproducer",
        body=_conversation,
        seeds=lambda: [written(json_of_conversation(_CONVERSATION))],
        words=_JSON_WORDS,
        bounds=Bounds(memory=4 << 20, memory_a_byte=600, time=400_000, time_a_byte=400),
        longest=16 << 10,
        share=0.5,
    ),
    Target(
        name="address",
        about="addresses as users write them",
        body=_address,
        seeds=lambda: list(_ADDRESSES),
        words=(b"@", b":", b"[", b"]", b"%", b"\\", b"\0", b"65536"),
        longest=300,
        share=0.3,
    ),
)
