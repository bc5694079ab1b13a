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
from .scripts import ABORT, ANY, CLOSE, FIN, PROVIDER_ABORT, RELEASE, RELEASED, RESET, Talk, script

__all__ = ["FAMILIES", "message_of"]

_ENDED: Final = Await(kinds=(99,))
_RELEASED: Final = Await(kinds=(6, 7))
_ANSWER: Final = Await(kinds=(4, 7))


def message_of(talk: Talk, *seed: object) -> bytes:
    """Returns a message with a data set where the peer takes one, for example an object."""
    if talk.storage is not None:
        return talk.store(1, *seed)
    return talk.find(1) if talk.finding is not None else talk.ask()


# -- release -----------------------------------------------------------------------------------------------------


def _release(name: str, about: str, expect: str, *steps: Step | tuple[Step, ...], clause: str = "") -> Conversation:
    return script(f"release/{name}", about, clause or "PS3.8 7.2, table 9-10", expect, *steps)


def _releases(learned: Learned) -> Iterator[Conversation]:
    talk = Talk.of(learned)
    begin, ask = talk.begin(), talk.ask()
    pdus = [*pdus_of(message_of(talk, "release"))]
    if len(pdus) > 1:
        yield _release(
            "in a message, before its data set", "an A-RELEASE-RQ where the data set is to begin", "answered",
            begin, Send(message=pdus[0] + RELEASE), ANY, CLOSE,
        )  # fmt: skip
    half = _halved(talk)
    if half:
        yield _release(
            "in a data set",
            "an A-RELEASE-RQ in the middle of a data set",
            "answered",
            begin,
            Send(message=half + RELEASE),
            ANY,
            CLOSE,
        )
    if talk.echoes:
        command = talk.command()
        first = p_data((talk.ask_context, True, False, command[:20]))
        yield _release(
            "in a command set",
            "an A-RELEASE-RQ in the middle of a command set",
            "answered",
            begin,
            Send(message=first + RELEASE),
            ANY,
            CLOSE,
        )
    yield _release(
        "behind a request", "an A-RELEASE-RQ in one write with a request", "answered",
        begin, Send(message=ask + RELEASE), ANY, CLOSE,
    )  # fmt: skip
    yield _release(
        "twice", "two A-RELEASE-RQs in one write", "any", begin, Send(message=RELEASE * 2), _RELEASED, _ENDED, CLOSE
    )
    yield _release(
        "request behind it", "a request in one write with an A-RELEASE-RQ, behind it", "any",
        begin, Send(message=RELEASE + ask), _RELEASED, Await(kinds=(4, 7), seconds=0.05), CLOSE,
    )  # fmt: skip
    yield _release(
        "abort behind it", "an A-ABORT in one write with an A-RELEASE-RQ, behind it", "any",
        begin, Send(message=RELEASE + ABORT), _RELEASED, CLOSE,
    )  # fmt: skip
    yield _release(
        "new association on the same connection", "an A-ASSOCIATE-RQ behind the A-RELEASE-RP", "any",
        begin, RELEASED, Send(message=talk.rq), Await(kinds=(2, 7)), CLOSE, clause="PS3.8 table 9-10, AA-7",
    )  # fmt: skip
    if talk.finding is not None:
        yield _release(
            "behind a query", "an A-RELEASE-RQ while a C-FIND has no response", "answered",
            begin, Send(message=talk.find(1) + RELEASE), ANY, CLOSE,
        )  # fmt: skip
    yield _release(
        "and close", "an A-RELEASE-RQ, and the connection closed without waiting; others are served", "any",
        begin, Send(message=RELEASE), CLOSE, Check(),
    )  # fmt: skip
    yield _release(
        "and reset", "an A-RELEASE-RQ, and the connection reset; others are served", "any",
        begin, Send(message=RELEASE), RESET, Check(),
    )  # fmt: skip


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
        yield _aborted(f"behind a PDU: {number}", about, "closes", begin, Send(message=whole[:end] + ABORT), _ENDED)
    for name, abort in (("user", ABORT), ("provider", PROVIDER_ABORT)):
        about = f"an A-ABORT of the {name} at once"
        yield _aborted(f"at once, by the {name}", about, "closes", begin, Send(message=abort), _ENDED)
    yield _aborted("twice", "two A-ABORTs in one write", "closes", begin, Send(message=ABORT * 2), _ENDED)
    yield _aborted(
        "request behind it", "a request in one write with an A-ABORT, behind it", "closes",
        begin, Send(message=ABORT + talk.ask()), _ENDED,
    )  # fmt: skip
    yield _aborted(
        "association behind it", "an A-ASSOCIATE-RQ in one write with an A-ABORT, behind it", "closes",
        begin, Send(message=ABORT + talk.rq), _ENDED,
    )  # fmt: skip
    yield _aborted(
        "release behind it", "an A-RELEASE-RQ behind an A-ABORT", "closes", begin, Send(message=ABORT + RELEASE), _ENDED
    )
    yield _aborted(
        "and reset", "an A-ABORT and a reset; others are served", "any", begin, Send(message=ABORT), RESET, Check()
    )
    yield _aborted("before anything", "an A-ABORT as the first PDU", "closes", Open(), Send(message=ABORT), _ENDED)
    yield _aborted(
        "behind the request", "an A-ABORT in one write with the A-ASSOCIATE-RQ", "closes",
        Open(), Send(message=talk.rq + ABORT), Await(kinds=(99,)),
    )  # fmt: skip
    step = max(1, len(whole) // 64)
    for at in sorted({*range(1, min(len(whole), 24)), *range(24, len(whole), step), len(whole) - 1} - set(ends)):
        if 0 < at < len(whole):
            about = f"an A-ABORT behind byte {at} of a message, inside a PDU, and the end"
            yield _aborted(
                f"inside a PDU: byte {at}", about, "closes", begin, Send(message=whole[:at] + ABORT), FIN, ANY, _ENDED
            )


# -- repetitions and replays -------------------------------------------------------------------------------------


def _replayed(name: str, about: str, expect: str, *steps: Step | tuple[Step, ...], clause: str = "") -> Conversation:
    return script(f"replay/{name}", about, clause or "PS3.8 table 9-10", expect, *steps)


def _replays(learned: Learned) -> Iterator[Conversation]:
    talk = Talk.of(learned)
    begin, ask, rq = talk.begin(), talk.ask(), talk.rq
    clause = "PS3.8 table 9-10, AA-8"
    refusal = Await(kinds=(3, 7))
    yield _replayed(
        "second association", "a second A-ASSOCIATE-RQ", "refused", begin, Send(message=rq), refusal, clause=clause
    )
    asked = (Send(message=ask), _ANSWER)
    yield _replayed(
        "second association, after a request", "a second A-ASSOCIATE-RQ, after a request was answered", "refused",
        begin, asked, Send(message=rq), refusal, clause=clause,
    )  # fmt: skip
    half = _halved(talk)
    if half:
        yield _replayed(
            "second association, in a data set", "a second A-ASSOCIATE-RQ in the middle of a data set", "refused",
            begin, Send(message=half + rq), refusal, clause=clause,
        )  # fmt: skip
    yield _replayed(
        "two associations at once",
        "two A-ASSOCIATE-RQs in one write",
        "refused",
        Open(),
        Send(message=rq * 2),
        refusal,
        clause=clause,
    )
    yield _replayed(
        "request before the answer",
        "a request in one write with the A-ASSOCIATE-RQ",
        "answered",
        Open(),
        Send(message=rq + ask),
        ANY,
        ANY,
        CLOSE,
    )
    yield _replayed(
        "a whole association at once", "A-ASSOCIATE-RQ, request and A-RELEASE-RQ in one write", "answered",
        Open(), Send(message=rq + ask + RELEASE), ANY, ANY, CLOSE,
    )  # fmt: skip
    yield _replayed(
        "request on a new connection",
        "a request of another association, where none is",
        "refused",
        Open(),
        Send(message=ask),
        ANY,
        clause="PS3.8 table 9-10, AA-1",
    )
    yield _replayed(
        "release on a new connection",
        "an A-RELEASE-RQ where no association is",
        "refused",
        Open(),
        Send(message=RELEASE),
        ANY,
        clause="PS3.8 table 9-10, AA-1",
    )
    yield _replayed(
        "the same request twice", "a request twice in one write, with the same message id", "answered",
        begin, Send(message=ask * 2), _ANSWER, Await(kinds=(4, 7), seconds=0.05), CLOSE, clause="PS3.7 9.1.1",
    )  # fmt: skip
    yield _replayed(
        "the same id again", "a request with the message id of one that was answered", "served",
        begin, asked, asked, RELEASED, clause="PS3.7 9.1.1",
    )  # fmt: skip
    whole = message_of(talk, "replay")
    yield _replayed(
        "the same message again",
        "the same message once more, after its response",
        "served",
        begin,
        Send(message=whole),
        _ANSWER,
        Send(message=whole),
        _ANSWER,
        RELEASED,
    )
    pdus = [*pdus_of(whole)]
    if len(pdus) > 1:
        turned = b"".join(reversed(pdus))
        yield _replayed(
            "data set before its command",
            "the PDUs of a message in the other order",
            "refused",
            begin,
            Send(message=turned),
            refusal,
            clause="PS3.8 annex E",
        )
        doubled = pdus[0] + b"".join(pdus)
        yield _replayed(
            "command set twice",
            "the command set of a message twice before its data set",
            "refused",
            begin,
            Send(message=doubled),
            refusal,
            clause="PS3.8 annex E",
        )
        yield _replayed(
            "data set twice",
            "the data set of a message twice",
            "refused",
            begin,
            Send(message=b"".join(pdus) + pdus[-1]),
            refusal,
            clause="PS3.8 annex E",
        )


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
    return _replayed("random order", about, "any", tuple(steps), Await(kinds=(7,), seconds=0.05), CLOSE)


def _random_abort(learned: Learned, random: Random) -> Conversation:
    talk = Talk.of(learned)
    whole = message_of(talk, "random abort", random.getrandbits(64))
    at = random.randrange(len(whole))
    about = f"an A-ABORT behind byte {at} of a message, and the end"
    return _aborted("anywhere", about, "closes", talk.begin(), Send(message=whole[:at] + ABORT), FIN, ANY, _ENDED)


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
