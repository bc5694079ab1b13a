"""Slow peers: stalls at each point, bytes one by one, answers that are not read [fault kind F2].

Knows: points of a conversation, and how long a peer may wait at most. Must not know: faults in bytes.

No wait for a peer may be without end, in the middle of a PDU either. Each of these takes as long as a peer may wait, so
they are many at once where the peer serves several associations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Final

from ...conversation import Answer, Await, Check, Conversation, Open, Pause, Reading, Send, Side, Step
from ..knowledge import Learned
from .connections import points
from .family import Family
from .scripts import ACCEPTANCE, ANY, CLOSE, RELEASE, Talk, pdu, script
from .secured import HELLO

__all__ = ["FAMILIES", "WAIT"]

WAIT: Final = 66.0
"""Seconds of a stall: more than a peer may wait (`expecting.LONGEST`)."""
_FEW: Final = 6
"""Connections of one conversation: some peers serve no more than ten at once."""
_CLAUSE: Final = "limit: every wait for a peer has an end; PS3.8 9.1.5 (ARTIM)"
_TARGETS: Final = (
    "after the connection", "in a PDU header", "behind a PDU header", "in an item", "established",
    "in a P-DATA-TF header", "in a PDV header", "in a command set", "before a data set", "in a data set",
    "behind the A-RELEASE-RP",
)  # fmt: skip


def _on(steps: tuple[Step, ...], connection: int) -> tuple[Step, ...]:
    """The same steps on another connection."""
    return tuple(replace(one, connection=connection) if isinstance(one, Open | Send | Await) else one for one in steps)


def _case(name: str, about: str, expect: str, *steps: Step | tuple[Step, ...]) -> Conversation:
    return script(f"slow/{name}", about, _CLAUSE, expect, *steps)


def _systematic(learned: Learned) -> Iterator[Conversation]:
    talk = Talk.of(learned)
    known = {name: steps for name, steps in points(talk) if name in _TARGETS}
    if not learned.alone:
        yield from _at_once(talk, known)
    if learned.tls:
        yield _handshakes()
    yield _case(
        "dribble", "an A-ASSOCIATE-RQ at a byte a second: ARTIM covers all of it", "ends-in-time",
        Open(), _dribbled(talk, 0), Await(kinds=(99,), seconds=0.2),
    )  # fmt: skip
    for name, steps in known.items():
        wait = Await(kinds=(99,), seconds=WAIT)
        yield _case(f"stalled {name}", f"a connection that stalls {name}", "ends-in-time", steps, wait)
    beside = () if learned.alone else (Check(),)
    many = b"".join(talk.ask(number % 0xFFFF + 1) for number in range(2000))
    yield _case(
        "answers not read", "2,000 requests whose answers are not read; others are served", "any",
        talk.begin(), Reading(on=False), Send(message=many), beside, Reading(on=True), ANY, CLOSE,
    )  # fmt: skip
    burst = (Send(message=talk.rq[:10]), Pause(seconds=2.0), Send(message=talk.rq[10:]), ACCEPTANCE)
    late = (Send(message=talk.ask()[:9]), Pause(seconds=2.0), Send(message=talk.ask()[9:]), Await(kinds=(4, 7)))
    yield _case(
        "two pauses", "pauses of two seconds inside PDUs, which a peer has to bear", "served",
        Open(), burst, late, Send(message=RELEASE), Await(kinds=(6, 7)),
    )  # fmt: skip


def _at_once(talk: Talk, known: dict[str, tuple[Step, ...]]) -> Iterator[Conversation]:
    """Several stalls at a time; beside the first of them an A-ASSOCIATE-RQ that comes a byte a second."""
    names = [*known]
    for at in range(0, len(names), _FEW):
        group = names[at : at + _FEW]
        begin = [step for number, name in enumerate(group) for step in _on(known[name], number)]
        about = f"{len(group)} connections that stall: {'; '.join(group)}"
        many = len(group)
        pause: tuple[Step, ...] = (Pause(seconds=WAIT),)
        if not at:
            begin.append(Open(connection=many))
            pause = _dribbled(talk, many)
            about += "; and an A-ASSOCIATE-RQ at a byte a second"
            many += 1
        waits = tuple(Await(kinds=(99,), connection=number, seconds=0.2) for number in range(many))
        yield _case(f"stalled at once: {at // _FEW + 1}", about, "ends-in-time", tuple(begin), pause, waits)


def _dribbled(talk: Talk, connection: int) -> tuple[Step, ...]:
    """An A-ASSOCIATE-RQ at a byte a second. It lasts as long as a stall, also if the peer ends this connection, beside
    which others may wait."""
    steps: list[Step] = []
    for at in range(round(WAIT)):
        steps += [Send(message=talk.rq[at : at + 1], connection=connection), Pause(seconds=1.0)]
    return tuple(steps)


def _handshakes() -> Conversation:
    """Handshakes that stop: before a byte, in the header of a record, in the ClientHello, behind it."""
    steps: list[Step] = []
    for number, size in enumerate((0, 3, len(HELLO) // 2, len(HELLO))):
        steps += [Open(connection=number, bare=True), Send(message=HELLO[:size], connection=number)]
    waits = tuple(Await(kinds=(99,), connection=number, seconds=0.2) for number in range(4))
    about = "TLS handshakes that stop: without a byte, in a header, in the ClientHello, behind it"
    return _case("stalled handshakes", about, "ends-in-time", tuple(steps), Pause(seconds=WAIT), waits)


def _calls(learned: Learned) -> Iterator[Conversation]:
    """For a peer that calls: it is left waiting at each point."""
    called, part = (Open(), Await(kinds=(1,))), Send(message=pdu(2, bytes(30), length=200))
    answered = (*called, Answer(), Await(kinds=(4, 5)))
    drops = [step for _ in range(round(WAIT)) for step in (Send(message=b"\0"), Pause(seconds=1.0))]
    points: tuple[tuple[str, tuple[Step, ...]], ...] = (
        ("in place of the answer", called),
        ("inside the answer", (*called, part)),
        ("in place of a response", answered),
        ("inside a response", (*answered, Send(message=pdu(4, bytes(6), length=80)))),
        ("behind a response", (*answered, Answer(), Await(kinds=(4, 5)))),
    )
    for name, steps in points:
        about = f"an association that stalls {name}"
        yield _call(f"stalled {name}", about, steps, Await(kinds=(99,), seconds=WAIT))
    about = "an A-ASSOCIATE-AC at a byte a second"
    yield _call("dribble", about, called, part, tuple(drops), Await(kinds=(99,), seconds=0.2))
    unread = (
        *called,
        Answer(),
        Reading(on=False),
        Pause(seconds=WAIT),
        Reading(on=True),
        Await(kinds=(99,), seconds=0.2),
    )
    yield _call("requests not read", "an association whose requests are not read", unread)


def _call(name: str, about: str, *steps: Step | tuple[Step, ...]) -> Conversation:
    clause = "limit: every wait for a peer has an end"
    return script(f"slow-calls/{name}", about, clause, "ends-in-time", *steps, side=Side.PROVIDER)


def _late(learned: Learned, random: Random) -> Conversation:
    """Answers that come late, but in time."""
    steps: list[Step] = [Open(), Await(kinds=(1,))]
    for _ in range(4):
        steps += [Pause(seconds=random.uniform(0.5, 2.0)), Answer(), Await(kinds=(4, 5, 7))]
    about = "answers that come up to two seconds late"
    return script("slow-calls/late answers", about, "limit: patience", "any", *steps, side=Side.PROVIDER)


def _random(learned: Learned, random: Random) -> Conversation:
    """A pause of a second at any byte."""
    talk = Talk.of(learned)
    rq, ask = talk.rq, talk.ask()
    at, later = random.randrange(1, len(rq)), random.randrange(1, len(ask))
    steps = (
        Open(), Send(message=rq[:at]), Pause(seconds=1.0), Send(message=rq[at:]), ACCEPTANCE,
        Send(message=ask[:later]), Pause(seconds=1.0), Send(message=ask[later:]), Await(kinds=(4, 7)),
        Send(message=RELEASE), Await(kinds=(6, 7)),
    )  # fmt: skip
    return _case("pauses anywhere", "pauses of a second inside PDUs, which a peer has to bear", "served", steps)


FAMILIES: Final = (
    Family(
        name="slow",
        about="stalls at each point, bytes one by one, answers that are not read",
        systematic=_systematic,
        random=_random,
        resource=True,
    ),
    Family(
        name="slow-calls",
        about="stalls at each point for a peer that calls: no answer, half of one, requests that are not read",
        systematic=_calls,
        random=_late,
        side=Side.PROVIDER,
        resource=True,
    ),
)
