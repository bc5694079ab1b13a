"""Where messages are in a transcript: behind each other, behind answers, cut at the end; and what is an answer."""

from __future__ import annotations

import pytest

from dicos_fuzz.conversation import Answer, Conversation, Entry, Open, Send, Step, Transcript, What
from dicos_fuzz.findings.placing import Placing

S = What.SENT


def transcript(*sent: bytes, what: What = S) -> Transcript:
    return Transcript([Entry(0.0, 0, what, one) for one in sent])


def conversation(*steps: Step) -> Conversation:
    return Conversation(name="x", steps=(Open(), *steps))


A, B, C = Send(message=b"\x05AAAA"), Send(message=b"\x06BB"), Send(message=b"\x05AAAA")


@pytest.mark.parametrize(
    ("steps", "sent", "places", "answers", "complete"),
    [
        ((A, B), (b"\x05AAAA", b"\x06BB"), [0, 5], [], True),
        ((A, B), (b"\x05AAAA\x06BB",), [0, 5], [], True),
        ((A, B), (b"\x05A", b"AAA\x06", b"BB"), [0, 5], [], True),
        ((A, B), (b"\x05AAAA", b"\x06B"), [0, 5], [], True),  # cut by the end of the connection
        ((A, B), (b"\x05AAAA",), [0], [], True),  # ended before the second
        ((A, Answer(), B), (b"\x05AAAA", b"xyz", b"\x06BB"), [0, 8], [b"xyz"], True),
        ((Answer(), Answer(), B), (b"xy", b"z", b"\x06BB"), [3], [b"xy", b"z"], True),
        ((A, Answer()), (b"\x05AAAA", b"xyz"), [0], [b"xyz"], True),
        ((A, Answer()), (b"\x05AAAA",), [0], [b""], True),
        ((A, C), (b"\x05AAAA", b"\x05AAAA"), [0, 5], [], True),
        ((A,), (b"\x05AAAA", b"more"), [0], [], False),
        ((B,), (b"\x05AAAA",), [], [], False),
        ((A, B), (b"\x05AAAA", b"??", b"\x06BB"), [0, 7], [], False),
        ((A,), (), [], [], False),
        ((), (), [], [], True),
        ((Answer(),), (), [], [], True),
    ],
)
def test_messages_and_answers_are_found(
    steps: tuple[Step, ...], sent: tuple[bytes, ...], places: list[int], answers: list[bytes], complete: bool
) -> None:
    found = Placing(transcript(*sent), conversation(*steps))
    assert [offset for offset in range(30) if found.at(0, offset)] == places
    assert found.answers(0) == answers
    assert found.complete is complete


def test_a_connection_that_was_refused_carries_nothing() -> None:
    assert Placing(transcript(b"", what=What.REFUSED), conversation(A)).complete


def test_without_a_conversation_nothing_is_placed() -> None:
    found = Placing(transcript(b"\x05AAAA"), None)
    assert not found.at(0, 0)
    assert not found.complete
