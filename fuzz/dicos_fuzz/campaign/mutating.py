"""Changed conversations: steps removed, repeated, swapped, cut and added; messages edited; two conversations spliced.

Knows: conversations, the grammar. Must not know: what a peer answers.

Invariants: the result is a function of the conversations and of `random`; it has at most `STEPS` steps, `EDITS` edits a
message, `MESSAGES` bytes in all messages, and the clause of its origin. Nobody knows the right answer to a changed
conversation: it expects "any".
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Final

from dicos_proto.dimse.types import CEchoResponse, CStoreResponse
from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import propose
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import AssociateRequest

from ..conversation import Answer, Await, Check, Conversation, End, Open, Pause, Send, Step
from ..grammar.building import echo, message
from ..grammar.changing import change
from ..grammar.reading import read_stream
from ..tree import apply
from .knowledge import Learned
from .responding import acceptance

__all__ = ["EDITS", "MESSAGES", "STEPS", "changed", "is_changed", "spliced"]

STEPS: Final = 40
EDITS: Final = 8
MESSAGES: Final = 4 << 20
_TREES: Final = 256 << 10
"""Bytes of a message that is edited: a longer one takes long to read as a tree."""
_RELEASE: Final = bytes.fromhex("05000000000400000000")
_RELEASED: Final = bytes.fromhex("06000000000400000000")
_ABORT: Final = bytes.fromhex("07000000000400000000")
_ANSWERS: Final = (
    encode(acceptance(AssociateRequest(called_aet="A", calling_aet="B", contexts=propose([uids.VERIFICATION])))),
    message(1, CEchoResponse(message_id_being_responded_to=1, status=0))[0],
    message(1, CStoreResponse(message_id_being_responded_to=1, status=0, affected_sop_instance_uid="1.2"))[0],
    _RELEASED,
)
"""Answers whose fields are changed."""


def changed(conversation: Conversation, learned: Learned, random: Random) -> Conversation:
    """Returns the conversation with one to four random changes."""
    steps = list(conversation.steps)
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4))):
        steps = _CHANGES[random.randrange(len(_CHANGES))](steps, learned, random)
    return _made(conversation, steps, "changed")


def spliced(first: Conversation, second: Conversation, random: Random) -> Conversation:
    """Returns the beginning of one conversation with the end of another."""
    head = first.steps[: random.randrange(1, len(first.steps) + 1)] if first.steps else ()
    tail = second.steps[random.randrange(len(second.steps)) :] if second.steps else ()
    return _made(first, [*head, *tail], f"spliced with {second.name}")


def is_changed(conversation: Conversation) -> bool:
    """Returns True for a changed or spliced conversation: what the peer has to make of it is not known."""
    return conversation.name.endswith("~")


def _made(origin: Conversation, steps: list[Step], how: str) -> Conversation:
    kept: list[Step] = []
    size = 0
    for step in steps[:STEPS]:
        if isinstance(step, Send):
            size += len(step.message)
            if size > MESSAGES:
                continue
        kept.append(step)
    base = origin.name.split("~")[0]
    return replace(origin, name=f"{base}~", steps=tuple(kept), about=f"{origin.about[:120]} ({how})", expect="any")


def _edited(steps: list[Step], learned: Learned, random: Random) -> list[Step]:
    places = [at for at, step in enumerate(steps) if isinstance(step, Send | Answer)]
    if not places:
        return steps
    at = random.choice(places)
    step = steps[at]
    if isinstance(step, Answer):
        # The answer is made when it is sent; an edit whose path it does not have changes nothing.
        edit = change(read_stream(random.choice(_ANSWERS)), random)
        if edit is None:
            return steps
        return [*steps[:at], replace(step, edits=(*step.edits, edit)[-EDITS:]), *steps[at + 1 :]]
    assert isinstance(step, Send)
    if len(step.message) > _TREES:
        return steps
    edit = change(apply(read_stream(step.message), step.edits), random)
    if edit is None:
        return steps
    return [*steps[:at], replace(step, edits=(*step.edits, edit)[-EDITS:]), *steps[at + 1 :]]


def _plain_again(steps: list[Step], learned: Learned, random: Random) -> list[Step]:
    """Takes back the edits of one message."""
    places = [at for at, step in enumerate(steps) if isinstance(step, Send) and step.edits]
    if not places:
        return steps
    at = random.choice(places)
    step = steps[at]
    assert isinstance(step, Send)
    return [*steps[:at], replace(step, edits=step.edits[:-1]), *steps[at + 1 :]]


def _removed(steps: list[Step], learned: Learned, random: Random) -> list[Step]:
    if len(steps) < 2:
        return steps
    at = random.randrange(len(steps))
    return [*steps[:at], *steps[at + 1 :]]


def _repeated(steps: list[Step], learned: Learned, random: Random) -> list[Step]:
    if not steps:
        return steps
    at = random.randrange(len(steps))
    end = at + random.choice((1, 1, 2, 3))
    return [*steps[:end], *steps[at:end], *steps[end:]]


def _swapped(steps: list[Step], learned: Learned, random: Random) -> list[Step]:
    if len(steps) < 3:
        return steps
    at = random.randrange(1, len(steps) - 1)
    return [*steps[:at], steps[at + 1], steps[at], *steps[at + 2 :]]


def _cut(steps: list[Step], learned: Learned, random: Random) -> list[Step]:
    """Ends early, in one of the ways a connection ends."""
    at = random.randrange(1, len(steps) + 1) if steps else 0
    return [*steps[:at], End(how=random.choice(("half", "close", "reset")))]


def _added(steps: list[Step], learned: Learned, random: Random) -> list[Step]:
    at = random.randrange(1, len(steps) + 1) if steps else 0
    new: tuple[Step, ...] = random.choice(
        (
            (Send(message=echo()), Await()),
            (Send(message=echo()),),
            (Send(message=_RELEASE), Await()),
            (Send(message=_RELEASED),),
            (Send(message=_ABORT),),
            (Send(message=random.randbytes(random.randrange(1, 64))),),
            (Await(),),
            (Answer(),),
            (Pause(seconds=0.01),),
            *(() if learned.alone else ((Check(),), (Open(connection=1), Send(message=echo(), connection=1)))),
        )
    )
    return [*steps[:at], *new, *steps[at:]]


def _other_pace(steps: list[Step], learned: Learned, random: Random) -> list[Step]:
    places = [at for at, step in enumerate(steps) if isinstance(step, Send) and len(step.message) <= 4096]
    if not places:
        return steps
    at = random.choice(places)
    step = steps[at]
    assert isinstance(step, Send)
    piece = random.choice((0, 1, 6, 7, 64, 1000))
    return [*steps[:at], replace(step, piece=piece, gap=0.0), *steps[at + 1 :]]


_CHANGES: Final = (
    _edited, _edited, _edited, _edited, _plain_again, _removed, _repeated, _swapped, _cut, _added, _added, _other_pace,
)  # fmt: skip
