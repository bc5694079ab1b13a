"""Right PDUs at the wrong time: releases, aborts, repetitions, replays [fault kind F7].

Knows: the order of an association. Must not know: the table cell by cell (`states`), messages in pieces (`fragments`).
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

from ...conversation import Await, Check, Conversation, Open, Send, Step
from ...grammar.building import p_data
from ...grammar.reading import pdus_of
from ..knowledge import Learned
from .family import Family
from .scripts import (
    ABORT,
    ANSWER,
    ANY,
    CLOSE,
    CONFIRMED,
    ENDED,
    FIN,
    PROVIDER_ABORT,
    RELEASE,
    RELEASED,
    RESET,
    Talk,
    script,
)

__all__ = ["FAMILIES", "message_of"]


def message_of(talk: Talk, *seed: object) -> bytes:
    """Returns a message with a data set where the peer takes one, for example an object."""
    if talk.storage is not None:
        return talk.store(1, *seed)
    return talk.find(1) if talk.finding is not None else talk.ask()


# -- release -----------------------------------------------------------------------------------------------------


_RP_THEN: Final = (CONFIRMED, Await(kinds=(4, 7), seconds=0.05), CLOSE)


def _release(name: str, about: str, expect: str, *steps: Step | tuple[Step, ...], clause: str = "") -> Conversation:
    return script(f"release/{name}", about, clause or "PS3.8 7.2, table 9-10", expect, *steps)


def _releases(learned: Learned) -> Iterator[Conversation]:
    talk = Talk.of(learned)
    begin, ask = talk.begin(), talk.ask()
    for name, wire in _unfinished(talk):
        about = f"an A-RELEASE-RQ {name}"
        yield _release(name, about, "answered", begin, Send(message=wire + RELEASE), ANY, CLOSE)
    # fmt: off
    together = (
        ("twice", "two A-RELEASE-RQs in one write", RELEASE * 2, (CONFIRMED, ENDED, CLOSE)),
        ("request behind it", "a request in one write with an A-RELEASE-RQ, behind it", RELEASE + ask, _RP_THEN),
        ("abort behind it", "an A-ABORT in one write with an A-RELEASE-RQ, behind it", RELEASE + ABORT, _RP_THEN[:1]),
    )
    # fmt: on
    for name, about, wire, tail in together:
        yield _release(name, about, "any", begin, Send(message=wire), tail)
    again = (RELEASED, Send(message=talk.rq), Await(kinds=(2, 7)), CLOSE)
    about = "an A-ASSOCIATE-RQ behind the A-RELEASE-RP, on the same connection"
    yield _release("and associate again", about, "any", begin, *again, clause="PS3.8 table 9-10, AA-7")
    for name, end in (("close", CLOSE), ("reset", RESET)):
        about = f"an A-RELEASE-RQ, then a {name} without waiting; others are served"
        yield _release(f"and {name}", about, "any", begin, Send(message=RELEASE), end, Check())


def _unfinished(talk: Talk) -> Iterator[tuple[str, bytes]]:
    """Yields the places for an A-RELEASE-RQ: name, and the bytes before it in the same write."""
    pdus = [*pdus_of(message_of(talk, "release"))]
    if len(pdus) > 1:
        yield "where a data set is to begin", pdus[0]
    if half := _halved(talk):
        yield "in the middle of a data set", half
    if talk.echoes:
        yield "in the middle of a command set", p_data((talk.ask_context, True, False, talk.command()[:20]))
    yield "right behind a request", talk.ask()
    if talk.finding is not None:
        yield "right behind a query", talk.find(1)


def _halved(talk: Talk) -> bytes:
    """A message up to the middle of its data set, in whole PDUs; empty if the peer takes none."""
    if talk.storage is None:
        return b""
    context, command, data = talk.parts(1, "halved")
    return p_data((context, True, True, command)) + p_data((context, False, False, data[: len(data) // 4 * 2]))


# -- abort -------------------------------------------------------------------------------------------------------


def _aborted(name: str, about: str, expect: str, *steps: Step | tuple[Step, ...]) -> Conversation:
    return script(f"abort/{name}", about, "PS3.8 table 9-10, AA-2, AA-3", expect, *steps)


def _aborts(learned: Learned) -> Iterator[Conversation]:
    talk = Talk.of(learned)
    begin = talk.begin()
    whole = message_of(talk, "abort")
    pdus = [*pdus_of(whole)]
    ends = [sum(map(len, pdus[: index + 1])) for index in range(len(pdus))]
    for number, end in enumerate(ends[:8], 1):
        about = f"an A-ABORT behind PDU {number} of {len(pdus)} of a message"
        yield _aborted(f"behind a PDU: {number}", about, "closes", begin, Send(message=whole[:end] + ABORT), ENDED)
    # fmt: off
    cases = (
        ("at once, by the user", "an A-ABORT of the user at once", begin, ABORT),
        ("at once, by the provider", "an A-ABORT of the provider at once", begin, PROVIDER_ABORT),
        ("twice", "two A-ABORTs in one write", begin, ABORT * 2),
        ("request behind it", "a request in one write with an A-ABORT, behind it", begin, ABORT + talk.ask()),
        ("association behind it", "an A-ASSOCIATE-RQ in one write with an A-ABORT, behind it", begin, ABORT + talk.rq),
        ("release behind it", "an A-RELEASE-RQ in one write with an A-ABORT, behind it", begin, ABORT + RELEASE),
        ("before anything", "an A-ABORT as the first PDU", (Open(),), ABORT),
        ("behind the request", "an A-ABORT in one write with the A-ASSOCIATE-RQ", (Open(),), talk.rq + ABORT),
    )
    # fmt: on
    for name, about, before, wire in cases:
        yield _aborted(name, about, "closes", before, Send(message=wire), ENDED)
    about = "an A-ABORT and a reset; others are served"
    yield _aborted("and reset", about, "any", begin, Send(message=ABORT), RESET, Check())
    step = max(1, len(whole) // 64)
    for at in sorted({*range(1, min(len(whole), 24)), *range(24, len(whole), step), len(whole) - 1} - {*ends}):
        about = f"an A-ABORT behind byte {at} of a message, inside a PDU, and the end"
        cut = Send(message=whole[:at] + ABORT)
        yield _aborted(f"inside a PDU: byte {at}", about, "closes", begin, cut, FIN, ANY, ENDED)


# -- repetitions and replays -------------------------------------------------------------------------------------

_REFUSAL: Final = Await(kinds=(3, 7))


def _replayed(name: str, about: str, expect: str, clause: str, *steps: Step | tuple[Step, ...]) -> Conversation:
    return script(f"replay/{name}", about, clause, expect, *steps)


def _replays(learned: Learned) -> Iterator[Conversation]:
    talk = Talk.of(learned)
    yield from _second_associations(talk)
    yield from _too_early(talk)
    yield from _again(talk)
    whole = message_of(talk, "replay")
    pdus = [*pdus_of(whole)]
    if len(pdus) > 1:
        # fmt: off
        orders = (
            ("data set before its command", "the PDUs of a message in the other order", b"".join(reversed(pdus))),
            ("command set twice", "the command set of a message twice before its data set", pdus[0] + whole),
            ("data set twice", "the end of the data set of a message twice", whole + pdus[-1]),
        )
        # fmt: on
        for name, about, wire in orders:
            yield _replayed(name, about, "refused", "PS3.8 annex E", talk.begin(), Send(message=wire), _REFUSAL)


def _second_associations(talk: Talk) -> Iterator[Conversation]:
    """An A-ASSOCIATE-RQ where there is an association."""
    rq, begin, clause = talk.rq, talk.begin(), "PS3.8 table 9-10, AA-8"
    asked = (*begin, Send(message=talk.ask()), ANSWER)
    half = _halved(talk)
    cases = [
        ("second association", "a second A-ASSOCIATE-RQ", begin, rq),
        ("second association, after a request", "a second A-ASSOCIATE-RQ, after a request was answered", asked, rq),
        ("two associations at once", "two A-ASSOCIATE-RQs in one write", (Open(),), rq * 2),
    ]
    if half:
        about = "a second A-ASSOCIATE-RQ in the middle of a data set"
        cases.append(("second association, in a data set", about, begin, half + rq))
    for name, about, before, wire in cases:
        yield _replayed(name, about, "refused", clause, before, Send(message=wire), _REFUSAL)


def _too_early(talk: Talk) -> Iterator[Conversation]:
    rq, ask = talk.rq, talk.ask()
    pipelined, clause = "PS3.8 table 9-10, Evt10", "PS3.8 table 9-10, AA-1"
    about = "a request in one write with the A-ASSOCIATE-RQ"
    yield _replayed("request too early", about, "answered", pipelined, Open(), Send(message=rq + ask), ANY, ANY, CLOSE)
    about = "A-ASSOCIATE-RQ, request and A-RELEASE-RQ in one write"
    whole = Send(message=rq + ask + RELEASE)
    yield _replayed("a whole association at once", about, "answered", pipelined, Open(), whole, ANY, ANY, CLOSE)
    for name, wire in (("request", ask), ("A-RELEASE-RQ", RELEASE)):
        about = f"a replayed {name} where no association is"
        yield _replayed(f"{name} without association", about, "refused", clause, Open(), Send(message=wire), ANY)


def _again(talk: Talk) -> Iterator[Conversation]:
    """The same message again: at once, or after its response, which is right."""
    ask, whole, clause = talk.ask(), message_of(talk, "again"), "PS3.7 9.1.1"
    about = "a request twice in one write, with the same message id"
    waits = (ANSWER, Await(kinds=(4, 7), seconds=0.05), CLOSE)
    yield _replayed("the same twice", about, "answered", clause, talk.begin(), Send(message=ask * 2), waits)
    for name, wire in (("request", ask), ("message", whole)):
        asked = (Send(message=wire), ANSWER)
        about = f"a {name} with the message id of one that was answered"
        yield _replayed(f"the same {name} again", about, "served", clause, talk.begin(), asked, asked, RELEASED)


def _random(learned: Learned, random: Random) -> Conversation:
    """PDUs of a good conversation, some dropped, repeated or exchanged."""
    talk = Talk.of(learned)
    pdus = [talk.rq, *pdus_of(message_of(talk, "order", random.getrandbits(64))), talk.ask(9), RELEASE, ABORT]
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(pdus))
        match random.randrange(3):
            case 0 if len(pdus) > 2:
                del pdus[at]
            case 1:
                pdus.insert(at, random.choice(pdus))
            case _:
                other = random.randrange(len(pdus))
                pdus[at], pdus[other] = pdus[other], pdus[at]
    steps: list[Step] = [Open()]
    for one in pdus:
        steps.append(Send(message=one))
        if random.random() < 0.3:
            steps.append(Await(seconds=0.05))
    about = "the PDUs of a good conversation, some dropped, repeated or exchanged"
    last = Await(kinds=(7,), seconds=0.05)
    return _replayed("random order", about, "any", "PS3.8 table 9-10", tuple(steps), last, CLOSE)


def _random_abort(learned: Learned, random: Random) -> Conversation:
    talk = Talk.of(learned)
    whole = message_of(talk, "random abort", random.getrandbits(64))
    at = random.randrange(len(whole))
    about = f"an A-ABORT behind byte {at} of a message, and the end"
    return _aborted("anywhere", about, "closes", talk.begin(), Send(message=whole[:at] + ABORT), FIN, ANY, ENDED)


def _random_release(learned: Learned, random: Random) -> Conversation:
    talk = Talk.of(learned)
    pdus = [*pdus_of(message_of(talk, "random release", random.getrandbits(64)))]
    pdus.insert(random.randrange(len(pdus) + 1), RELEASE)
    if random.random() < 0.5:
        pdus.insert(random.randrange(len(pdus) + 1), RELEASE)
    about = "A-RELEASE-RQs between the PDUs of a message"
    return _release("between PDUs", about, "answered", talk.begin(), Send(message=b"".join(pdus)), ANY, CLOSE)


FAMILIES: Final = (
    Family(
        name="release",
        about="releases in the middle of messages, doubled, or with something behind them",
        systematic=_releases,
        random=_random_release,
    ),
    Family(
        name="abort",
        about="aborts behind every PDU and inside PDUs, and PDUs behind an abort",
        systematic=_aborts,
        random=_random_abort,
    ),
    Family(
        name="replay",
        about="PDUs that are repeated, replayed, exchanged or too early",
        systematic=_replays,
        random=_random,
    ),
)
