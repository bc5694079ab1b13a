"""Where the messages of a conversation are in the transcript of a run, so that what is wrong can be named there.

Knows: the order of messages, that answers lie between them and that a connection may end in the middle of one. Must not
know: how a transcript is shown.

A transcript has bytes and no steps. The messages are found again in their order: behind the last one, or, after an
answer, whose bytes are not known, where a later write begins.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import Final

from ..conversation import Answer, Conversation, Send, Transcript, What
from .naming import named_answer_edits, named_edits, wrong_lengths

__all__ = ["Placing"]

_MOST_PLACES: Final = 256
"""Writes behind an answer at which the next message is looked for."""


class Placing:
    """The places of the messages of a conversation in a transcript. Without a conversation nothing is placed.

    `complete`: True if all that was sent is messages of the conversation and answers, so that the transcript is one of
    this conversation.
    """

    def __init__(self, transcript: Transcript, conversation: Conversation | None) -> None:
        self._faults: dict[int, dict[int, list[str]]] = {}
        self._offsets: dict[int, list[int]] = {}
        self._answers: dict[int, list[bytes]] = {}
        self.complete = conversation is not None
        steps: dict[int, list[Send | Answer]] = {}
        for step in () if conversation is None else conversation.steps:
            if isinstance(step, Send | Answer):
                steps.setdefault(step.connection, []).append(step)
        writes_of = _writes(transcript)
        refused = {entry.connection for entry in transcript.entries if entry.what is What.REFUSED}
        self._whole = None if conversation is None else _wrong_as_a_whole(conversation)
        self._about = "" if conversation is None else conversation.about
        for number, some in steps.items():
            if number not in writes_of and number not in refused:
                self.complete &= not any(isinstance(step, Send) and step.message for step in some)
        for number, writes in writes_of.items():
            self._faults[number], self._answers[number] = {}, []
            self._place(number, steps.get(number, []), writes)
            self._offsets[number] = sorted(self._faults[number])

    def at(self, connection: int, offset: int) -> bool:
        """Returns True if a message begins behind this many bytes sent on a connection."""
        return offset in self._faults.get(connection, ())

    def within(self, connection: int, offset: int, size: int) -> list[str]:
        """Returns what is wrong in the messages that begin in `size` bytes from `offset`."""
        offsets = self._offsets.get(connection, [])
        some = offsets[bisect_left(offsets, offset) : bisect_left(offsets, offset + size)]
        return [fault for one in some for fault in self._faults[connection][one]]

    def answers(self, connection: int) -> list[bytes]:
        """Returns the bytes of the answers on a connection, one for each `Answer` that was reached."""
        return self._answers.get(connection, [])

    def _place(self, number: int, steps: list[Send | Answer], writes: list[bytes]) -> None:
        sent, starts = b"".join(writes), [0, *accumulate(len(one) for one in writes)]
        at = 0
        waiting = 0  # answers that lie behind `at`
        for step in steps:
            if isinstance(step, Answer):
                waiting += 1
                if step.edits and at < len(sent):
                    self._faults[number].setdefault(at, []).extend(named_answer_edits(step.edits))
                continue
            wire = step.wire()
            place = _found(wire, sent, at, starts)
            if place is None:
                self.complete &= at >= len(sent) or not wire
                continue
            self.complete &= bool(waiting) or place == at
            faults = [self._about] if step is self._whole and self._about else _faults_of(step)
            self._faults[number].setdefault(place, []).extend(faults)
            self._answers[number] += _split(sent, at, place, starts, waiting)
            at, waiting = place + len(wire), 0
        self._answers[number] += _split(sent, at, len(sent), starts, waiting)
        self.complete &= bool(waiting) or at >= len(sent)


_HARMLESS: Final = ("served", "others-served", "any")
"""Expectations of conversations with nothing wrong in them, or with something random."""
_RELEASE: Final = b"\5\0\0\0\0\4\0\0\0\0"


def _faults_of(step: Send) -> list[str]:
    return named_edits(step.message, step.edits) if step.edits else wrong_lengths(step.message)


def _wrong_as_a_whole(conversation: Conversation) -> Send | None:
    """The message that is what is wrong, where no field of any message is: the last one before the good end."""
    sent = [step for step in conversation.steps if isinstance(step, Send)]
    edited = any(isinstance(step, Answer) and step.edits for step in conversation.steps)
    if conversation.expect in _HARMLESS or edited or any(map(_faults_of, sent)):
        return None
    return next((step for step in reversed(sent) if step.message != _RELEASE), sent[-1] if sent else None)


def _writes(transcript: Transcript) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {}
    for entry in transcript.entries:
        if entry.what in (What.SENT, What.BENEATH):
            found.setdefault(entry.connection, []).append(entry.data)
    return found


def _found(wire: bytes, sent: bytes, at: int, starts: list[int]) -> int | None:
    """The offset of a message in what was sent: `at`, or where a later write begins. The last message may have been cut
    by the end of the connection. None if it is not found."""
    after = bisect_right(starts, at)
    for place in (at, *starts[after : after + _MOST_PLACES]):
        here = sent[place : place + len(wire)]
        if here and (here == wire or (place + len(wire) > len(sent) and wire.startswith(here))):
            return place
    return None


def _split(sent: bytes, at: int, end: int, starts: list[int], count: int) -> list[bytes]:
    """The bytes of `count` answers: a write each, and the rest for the last one."""
    found = []
    for left in range(count, 0, -1):
        after = bisect_right(starts, at)
        until = end if left == 1 or after >= len(starts) else min(starts[after], end)
        found.append(sent[at:until])
        at = until
    return found
