"""Conversations and transcripts as JSON: both ways without loss, and damaged values always raise `DamagedFile` with
the place."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_fuzz.conversation import (
    MOST_EDITS,
    MOST_STEPS,
    Conversation,
    DamagedFile,
    Entry,
    Open,
    Send,
    Transcript,
    What,
    conversation_of_json,
    json_of_conversation,
    json_of_transcript,
    transcript_of_json,
)
from dicos_fuzz.tree import Action, Edit
from tests.fuzz import values


@given(values.conversations)
def test_a_conversation_is_read_as_it_was_written(conversation: Conversation) -> None:
    plain = json.loads(json.dumps(json_of_conversation(conversation)))
    before = copy.deepcopy(plain)
    assert conversation_of_json(plain) == conversation
    assert plain == before  # reading changes nothing


@given(values.transcripts)
def test_a_transcript_is_read_as_it_was_written(transcript: Transcript) -> None:
    plain = json.loads(json.dumps(json_of_transcript(transcript)))
    assert transcript_of_json(plain) == transcript


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["user", "send", "00"]),
    lambda inside: st.lists(inside, max_size=2) | st.dictionaries(st.text(max_size=3), inside, max_size=2),
    max_leaves=4,
)


def places(plain: object) -> list[tuple[object, object]]:
    """Every place of a JSON value: (container, key)."""
    found: list[tuple[object, object]] = []
    match plain:
        case dict():
            for key, value in plain.items():
                found += [(plain, key), *places(value)]
        case list():
            for key, value in enumerate(plain):
                found += [(plain, key), *places(value)]
    return found


@given(values.conversations, st.data())
def test_a_damaged_conversation_is_refused_by_place_or_still_one(
    conversation: Conversation, data: st.DataObject
) -> None:
    plain = json_of_conversation(conversation)
    container, key = data.draw(st.sampled_from(places(plain)))
    if data.draw(st.booleans()):
        container[key] = data.draw(anything)  # type: ignore[index]
    else:
        del container[key]  # type: ignore[attr-defined]
    try:
        found = conversation_of_json(plain)
    except DamagedFile as error:
        fault = str(error)
    else:
        assert conversation_of_json(json_of_conversation(found)) == found
        return
    assert fault.startswith("conversation: ")
    assert fault.isascii()
    assert len(fault) < 300


@given(anything)
def test_any_other_value_is_refused(value: object) -> None:
    with pytest.raises(DamagedFile, match=r"^file: "):
        conversation_of_json(value, "file")
    if value != []:
        with pytest.raises(DamagedFile, match=r"^transcript: "):
            transcript_of_json({"a": value} if isinstance(value, list) else value)


def conversation(*steps: object, **others: object) -> dict[str, object]:
    return {"name": "x", "steps": list(steps), **others}


SEND = {"step": "send", "message": "00"}


def with_edit(**edit: object) -> dict[str, object]:
    return conversation(SEND | {"edits": [edit]})


@pytest.mark.parametrize(
    ("plain", "text"),
    [
        ([], "conversation: a list of 0; expected an object"),
        ({}, "conversation: steps: null; expected a list"),
        (conversation(side="peer"), "conversation: side: 'peer'; expected one of user, provider"),
        (conversation(name=7), "conversation: name: 7; expected a text"),
        (conversation(color="red"), "conversation: it has no 'color'; it may have name, side, about"),
        (conversation(about="\ud800"), "without halves of surrogate pairs"),
        (conversation(about="x" * 5000), "conversation: about: a text of 5,000 characters; at most 4,096"),
        (conversation(SEND, {"step": "jump"}), "conversation: step 2: step: 'jump'; expected one of open, send"),
        (conversation(SEND, {"step": []}), "conversation: step 2: step: a list of 0"),
        (conversation({"step": "send"}), "conversation: step 1: send without message"),
        (conversation({"step": "open", "message": "00"}), "conversation: step 1: open: it has no 'message'"),
        (conversation(SEND | {"message": "0x"}), "conversation: step 1: message: '0x'; expected bytes in hexadecimal"),
        (conversation(SEND | {"gap": float("nan")}), "conversation: step 1: gap: nan; expected a number from 0"),
        (conversation(SEND | {"gap": -1}), "conversation: step 1: gap: -1"),
        (conversation(SEND | {"piece": 1.5}), "conversation: step 1: piece: 1.5; expected a whole number"),
        (conversation(SEND | {"piece": True}), "conversation: step 1: piece: true"),
        (with_edit(), "conversation: step 1: edits 1: path: null; expected a text"),
        (with_edit(path="", action=[]), "edits 1: action: a list of 0; expected one of set"),
        (with_edit(path="", action="set"), "edits 1: bytes: null"),
        (with_edit(path="", action="set", number=1), "edits 1: bytes: null"),
        (with_edit(path="", action="cut", number=1 << 32), "edits 1: number: 4294967296"),
        (with_edit(path="", action="swap", number=1), "edits 1: swap: it has no 'number'"),
        (conversation({"step": "end", "how": "slam"}), "step 1: how: 'slam'; expected one of half, close, reset"),
        (conversation({"step": "await", "kinds": [1, 256]}), "step 1: kinds 2: 256; expected a whole number from 0"),
        (conversation({"step": "reading", "on": 1}), "step 1: on: 1; expected true or false"),
        (conversation(*[SEND] * (MOST_STEPS + 1)), "conversation: steps: a list of 10001; expected at most 10,000"),
        (conversation(SEND | {"edits": [{}] * (MOST_EDITS + 1)}), "edits: a list of 1001; expected at most 1,000"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(plain: object, text: str) -> None:
    with pytest.raises(DamagedFile) as caught:
        conversation_of_json(plain)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("plain", "text"),
    [
        ({}, "transcript: an object of 0; expected a list"),
        ([{"what": "sent"}, 7], "transcript: line 2: 7; expected an object"),
        ([{"what": "said"}], "transcript: line 1: what: 'said'; expected one of opened"),
        ([{"what": "sent", "at": "now"}], "transcript: line 1: at: 'now'; expected a number"),
        ([{"what": "sent", "data": "0"}], "transcript: line 1: data: '0'"),
        ([{"what": "sent", "note": 7}], "transcript: line 1: note: 7; expected a text"),
        ([{"what": "sent", "by": 7}], "transcript: line 1: it has no 'by'"),
        ([{"what": "sent", "connection": -2}], "transcript: line 1: connection: -2"),
    ],
)
def test_what_is_wrong_in_a_transcript_is_named_with_its_place(plain: object, text: str) -> None:
    with pytest.raises(DamagedFile) as caught:
        transcript_of_json(plain)
    assert text in str(caught.value)


def test_the_bytes_of_a_send_are_its_message_with_its_edits() -> None:
    raw = values.PDUS["A-ABORT"]
    assert Send(message=raw).wire() == raw
    assert Send(message=raw, edits=(Edit("A-ABORT/reason", Action.SET, b"\x09"),)).wire() == raw[:-1] + b"\x09"


def test_a_transcript_tells_what_was_said_on_each_connection_and_how_it_ended() -> None:
    found = Transcript(
        [
            Entry(0.0, 0, What.OPENED),
            Entry(0.0, 0, What.SENT, b"ab"),
            Entry(0.1, 1, What.OPENED),
            Entry(0.1, 1, What.RECEIVED, b"x"),
            Entry(0.2, 0, What.RECEIVED, b"c"),
            Entry(0.3, 0, What.RECEIVED, b"d"),
            Entry(0.4, 0, What.RESET),
        ]
    )
    assert (found.sent(), found.received(), found.how()) == (b"ab", b"cd", What.RESET)
    assert (found.sent(1), found.received(1), found.how(1)) == (b"", b"x", None)


def test_of_a_step_only_what_is_not_the_default_is_written() -> None:
    made = Conversation(name="x", steps=(Open(), Send(message=b"\x01")))
    assert json_of_conversation(made)["steps"] == [{"step": "open"}, {"step": "send", "message": "01"}]
