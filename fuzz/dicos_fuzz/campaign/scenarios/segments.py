"""Segmentation: the same good conversation, cut into other segments [fault kind F1].

Knows: fields of PDUs, and where they end. Must not know: faults in bytes; there are none here.

A byte stream has no boundaries, so every one of these has to be served.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

from ...conversation import Conversation, Open, Pause, Send, Step
from ...grammar.reading import read_stream
from ...tree import Leaf, Length, encode, walk
from ..knowledge import Learned
from .family import Family
from .scripts import (
    ACCEPTANCE,
    ANSWER,
    CONFIRMED,
    RELEASE,
    Talk,
    script,
)

__all__ = ["FAMILIES", "boundaries"]

GAP: Final = 0.002
"""Seconds between two segments, so that they arrive as two."""
PIECES: Final = (1, 2, 3, 5, 7, 11, 13, 17, 67, 127, 509)


def boundaries(stream: bytes) -> list[int]:
    """Returns the offsets at which fields of a byte stream begin, in order, without the first."""
    found: list[int] = []
    at = 0
    for _, node in walk(read_stream(stream)):
        if isinstance(node, Leaf | Length):
            if at:
                found.append(at)
            at += len(encode(node))
    return found


def _segments(name: str, about: str, *steps: Step | tuple[Step, ...]) -> Conversation:
    return script(f"segments/{name}", about, "PS3.8 9.1: a byte stream has no boundaries", "served", *steps)


def _in_pieces(talk: Talk, piece: int, gap: float = 0.0) -> tuple[Step, ...]:
    return (
        Open(),
        Send(message=talk.rq, piece=piece, gap=gap),
        ACCEPTANCE,
        Send(message=talk.ask(), piece=piece, gap=gap),
        ANSWER,
        Send(message=RELEASE, piece=piece, gap=gap),
        CONFIRMED,
    )


def _cut_at(message: bytes, *offsets: int) -> tuple[Step, ...]:
    steps: list[Step] = []
    at = 0
    for end in (*offsets, len(message)):
        if end > at:
            steps += [Send(message=message[at:end]), Pause(seconds=GAP)]
            at = end
    return tuple(steps[:-1])


def _systematic(learned: Learned) -> Iterator[Conversation]:
    talk = Talk.of(learned)
    for piece in PIECES:
        about = f"everything in writes of {piece} bytes"
        yield _segments(f"pieces: {piece}", about, _in_pieces(talk, piece))
    yield _segments("bytes one by one", "everything one byte at a time", _in_pieces(talk, 1, 0.0005))
    if talk.storage is not None:
        whole = talk.store(1, "segments")
        for piece in (1, 3, 101):
            steps = (Send(message=whole, piece=piece), ANSWER, Send(message=RELEASE), CONFIRMED)
            yield _segments(
                f"an object in pieces: {piece}", f"an object in writes of {piece} bytes", talk.begin(), steps
            )
    for name, message, before, after in _messages(talk):
        cuts = sorted({at + off for at in boundaries(message) for off in (-1, 0, 1) if 0 < at + off < len(message)})
        for at in cuts[:: max(1, len(cuts) // 60)]:
            about = f"the {name} in two segments, cut behind byte {at}"
            yield _segments(f"cut {name}: {at}", about, before, _cut_at(message, at), after)


def _messages(talk: Talk) -> Iterator[tuple[str, bytes, tuple[Step, ...], tuple[Step, ...]]]:
    release = (Send(message=RELEASE), CONFIRMED)
    yield "A-ASSOCIATE-RQ", talk.rq, (Open(),), (ACCEPTANCE, *release)
    yield "request", talk.ask(), talk.begin(), (ANSWER, *release)
    yield "A-RELEASE-RQ", RELEASE, talk.begin(), (CONFIRMED,)
    if talk.storage is not None:
        yield "object", talk.store(1, "cut"), talk.begin(), (ANSWER, *release)


def _random(learned: Learned, random: Random) -> Conversation:
    talk = Talk.of(learned)
    wire = talk.store(1, "random segments", random.getrandbits(64)) if talk.storage is not None else talk.ask()
    rq = sorted(random.sample(range(1, len(talk.rq)), min(3, len(talk.rq) - 1)))
    cuts = sorted(random.sample(range(1, len(wire)), min(random.randrange(1, 6), len(wire) - 1)))
    steps = (Open(), *_cut_at(talk.rq, *rq), ACCEPTANCE, *_cut_at(wire, *cuts), ANSWER)
    return _segments("random cuts", "everything cut at random", steps, Send(message=RELEASE), CONFIRMED)


FAMILIES: Final = (
    Family(
        name="segments",
        about="good conversations in other segments: byte by byte, cut at every field",
        systematic=_systematic,
        random=_random,
    ),
)
