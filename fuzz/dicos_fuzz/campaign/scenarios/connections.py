"""Connections that end, break or come too often: FIN, RST and half-close at each point [fault kind F3].

Knows: the points of a conversation at which a connection may end. Must not know: faults in bytes.

After each, the peer must have given the connection up, and must serve others.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

from ...conversation import Await, Check, Conversation, End, Open, Send, Step
from ...grammar.reading import pdus_of
from ..knowledge import Learned
from .family import Family
from .scripts import (
    ACCEPTANCE,
    ANY,
    CLOSE,
    ENDED,
    FIN,
    RELEASE,
    RESET,
    Talk,
    script,
)
from .sequences import message_of

__all__ = ["FAMILIES", "points"]

MOST: Final = 20
"""Connections that one conversation opens, one after the other."""


def points(talk: Talk) -> Iterator[tuple[str, tuple[Step, ...]]]:
    """Yields each point at which a peer can be left: its name, and the steps up to it."""
    rq, ask = talk.rq, talk.ask()
    yield "after the connection", (Open(),)
    yield "in a PDU header", (Open(), Send(message=rq[:3]))
    yield "behind a PDU header", (Open(), Send(message=rq[:6]))
    yield "in the fixed fields", (Open(), Send(message=rq[:40]))
    yield "in an item", (Open(), Send(message=rq[: len(rq) * 3 // 4]))
    yield "before the last byte of the A-ASSOCIATE-RQ", (Open(), Send(message=rq[:-1]))
    yield "behind the A-ASSOCIATE-RQ, unread", (Open(), Send(message=rq))
    yield "established", talk.begin()
    yield "in a P-DATA-TF header", (*talk.begin(), Send(message=ask[:3]))
    yield "in a PDV header", (*talk.begin(), Send(message=ask[:9]))
    yield "in a command set", (*talk.begin(), Send(message=ask[: len(ask) // 2]))
    yield "before the last byte of a request", (*talk.begin(), Send(message=ask[:-1]))
    yield "behind a request, unread", (*talk.begin(), Send(message=ask))
    yield "behind a response", (*talk.begin(), Send(message=ask), ANY)
    whole = message_of(talk, "points")
    pdus = [*pdus_of(whole)]
    if len(pdus) > 1:
        yield "before a data set", (*talk.begin(), Send(message=pdus[0]))
        yield "in a data set", (*talk.begin(), Send(message=whole[: len(pdus[0]) + len(pdus[1]) // 2]))
        yield "behind all data, none of it the last fragment", (*talk.begin(), Send(message=_never_last(pdus)))
        yield "before the last byte of a data set", (*talk.begin(), Send(message=whole[:-1]))
        yield "behind an object, unread", (*talk.begin(), Send(message=whole))
    yield "behind an A-RELEASE-RQ, unread", (*talk.begin(), Send(message=RELEASE))
    yield "behind the A-RELEASE-RP", (*talk.begin(), Send(message=RELEASE), Await(kinds=(6, 7)))


def _never_last(pdus: list[bytes]) -> bytes:
    """A message whose data set is complete, but whose last fragment does not say that it is the last."""
    last = bytearray(pdus[-1])
    last[11] &= ~2
    return b"".join((*pdus[:-1], last))


def _case(name: str, about: str, expect: str, *steps: Step | tuple[Step, ...]) -> Conversation:
    return script(f"connections/{name}", about, "PS3.8 table 9-10, Evt17", expect, *steps)


def _systematic(learned: Learned) -> Iterator[Conversation]:
    talk = Talk.of(learned)
    for name, steps in points(talk):
        if not learned.alone:
            about = f"a connection that stalls {name}; others are served"
            yield _case(f"stalled {name}", about, "any", steps, Check(), CLOSE)
        yield _case(f"half-closed {name}", f"FIN {name}; the peer closes too", "closes", steps, FIN, ANY, ENDED)
        for how, end in (("reset", RESET), ("closed", CLOSE)):
            yield _case(f"{how} {name}", f"{how} {name}; others are served", "any", steps, end, Check())
    yield from _storms(talk)


def _storms(talk: Talk) -> Iterator[Conversation]:
    """Many connections, one after the other, each ended at the same point."""
    for about, how in (
        ("each reset at once", "reset"), ("each closed at once", "close"), ("each reset behind its request", "request"),
        ("each reset once established", "established"),
    ):  # fmt: skip
        steps: list[Step] = []
        for number in range(MOST):
            begin: tuple[Step, ...] = (Open(connection=number),)
            if how == "request":
                begin = (*begin, Send(message=talk.rq, connection=number))
            elif how == "established":
                begin = talk.begin(number)
            steps += [*begin, End(how="close" if how == "close" else "reset", connection=number)]
        yield _case(f"many, {about}", f"{MOST} connections, {about}; others are served", "any", tuple(steps), Check())


def _random(learned: Learned, random: Random) -> Conversation:
    """A conversation that ends at any byte, in any way."""
    talk = Talk.of(learned)
    wire = message_of(talk, "left", random.getrandbits(64))
    steps: tuple[Step, ...] = (Open(), Send(message=talk.rq[: random.randrange(len(talk.rq) + 1)]))
    if random.random() < 0.7:
        steps = (Open(), Send(message=talk.rq), ACCEPTANCE, Send(message=wire[: random.randrange(len(wire) + 1)]))
    if random.random() < 0.5:
        return _case(
            "half-closed anywhere", "FIN at any byte; the peer closes too", "closes", steps, FIN, ANY, ANY, ENDED
        )
    end = random.choice((CLOSE, RESET))
    return _case("left anywhere", "the end at any byte; others are served", "any", steps, end, Check())


FAMILIES: Final = (
    Family(
        name="connections",
        about="FIN, RST and close at each point of a conversation, and many in a row; others must be served",
        systematic=_systematic,
        random=_random,
    ),
)
