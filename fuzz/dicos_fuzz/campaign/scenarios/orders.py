"""Orders: valid operations in every order on one association, and good associations after any other.

Knows: operations, ends of associations. Must not know: faults inside PDUs.

Each operation alone is served by any peer that can be used at all. The traces that one leaves in a peer for the next
show only in an order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Final

from dicos_proto.registry import uids

from ...conversation import Await, Check, Conversation, Open, Pause, Send, Step
from ...grammar.reading import pdus_of
from ..knowledge import Learned
from .connections import points
from .family import Family
from .scripts import (
    ABORT,
    ANSWER,
    CLOSE,
    ENDED,
    RELEASED,
    RESET,
    Talk,
    pdu,
    script,
)

__all__ = ["FAMILIES", "Operation", "every_three", "on", "operations"]

LONGEST: Final = 12
"""Operations on one association."""
NOBODY: Final = 77
"""The message id of no operation."""
Operation = Callable[[int], tuple[Step, ...]]
"""From its message id to the steps of an operation."""
_CANCEL: Final = "cancel of the last"


def on(connection: int, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Returns the same steps on another connection."""
    return tuple(step if isinstance(step, Pause | Check) else replace(step, connection=connection) for step in steps)


def operations(talk: Talk) -> dict[str, Operation]:
    """Returns the operations that the peer serves, by name."""
    asked: dict[str, Callable[[int], bytes]] = {}
    if talk.echoes:
        asked["echo"] = talk.ask
    if talk.storage is not None:
        asked["store"] = lambda number: talk.store(number, "order", number)
    if talk.finding is not None:
        asked["find"] = talk.find
        asked["find and cancel"] = lambda number: talk.find(number) + talk.cancel(number)
    if talk.getting is not None:
        asked["get"] = talk.get
    if talk.moving is not None:
        asked["move"] = talk.move
    return {name: _asking(make) for name, make in asked.items()}


def _asking(make: Callable[[int], bytes]) -> Operation:
    return lambda number: (Send(message=make(number)), ANSWER)


# -- on one association ------------------------------------------------------------------------------------------


def _order(talk: Talk, names: list[str], known: dict[str, Operation]) -> Conversation:
    """One order of operations. A C-CANCEL names the operation before it, which is over."""
    steps: list[Step] = []
    number = 0
    for name in names:
        if name == _CANCEL:
            steps.append(Send(message=talk.cancel(number or NOBODY)))
        else:
            number += 1
            steps += known[name](number)
    about = f"valid operations one after the other: {', '.join(names)}"
    name = f"orders/operations: {', '.join(names)}"
    return script(name, about, "PS3.7 9.1", "served", talk.begin(), tuple(steps), RELEASED)


def every_three(kinds: int) -> list[int]:
    """A de Bruijn sequence: numbers below `kinds`, among which every three come one after the other once, if it is read
    as a ring. Fredricksen, Kessler and Maiorana: the Lyndon words whose length divides 3, in order."""
    found: list[int] = []
    word = [-1]
    while word:
        word[-1] += 1
        if len(word) in (1, 3):
            found += word
        word = [word[index % len(word)] for index in range(3)]
        while word and word[-1] == kinds - 1:
            word.pop()
    return found


def _systematic(learned: Learned) -> Iterator[Conversation]:
    """All orders of three, several of them on one association."""
    talk = Talk.of(learned)
    known = operations(talk)
    names = [_CANCEL, *known]
    after = _after_others(talk)
    yield from _together(talk)
    ring = [names[index] for index in every_three(len(names))]
    for at in range(0, len(ring), LONGEST - 2):
        yield _order(talk, (ring + ring[:2])[at : at + LONGEST], known)
        if (other := next(after, None)) is not None:
            yield other
    yield from after


def _together(talk: Talk) -> Iterator[Conversation]:
    """A message without a response, and the next request, in one P-DATA-TF. Before each, the same in two: a peer that
    does not ignore the C-CANCEL shows that first, and both have one signature."""
    most = talk.learned.max_length or 1 << 20
    cancel = talk.cancel(NOBODY)
    asked = [("a C-ECHO-RQ", talk.ask(1))] if talk.echoes else []
    asked += [("a C-FIND-RQ", talk.find(1))] if talk.finding is not None else []
    asked += [("a C-STORE-RQ", talk.store(1, "together"))] if talk.storage is not None else []
    for name, wire in asked:
        about = f"a C-CANCEL-RQ that names no operation, then {name}, in a P-DATA-TF of its own"
        yield script(
            f"orders/cancel of nothing: then {name}", about, "PS3.7 9.3.2.3", "served",
            talk.begin(), Send(message=cancel), Send(message=wire), ANSWER, RELEASED,
        )  # fmt: skip
        pdvs = b"".join(one[6:] for one in pdus_of(cancel + wire))
        if len(pdvs) <= most:
            about = f"a C-CANCEL-RQ that names no operation and {name} in one P-DATA-TF"
            yield script(
                f"orders/cancel of nothing: in one PDU with {name}", about, "PS3.8 annex E", "served",
                talk.begin(), Send(message=pdu(4, pdvs)), ANSWER, RELEASED,
            )  # fmt: skip


def _random(learned: Learned, random: Random) -> Conversation:
    """Any order."""
    talk = Talk.of(learned)
    known = operations(talk)
    return _order(talk, [random.choice((*known, _CANCEL)) for _ in range(random.randrange(2, LONGEST + 1))], known)


# -- one association after another -------------------------------------------------------------------------------


def _after_others(talk: Talk) -> Iterator[Conversation]:
    """A good association after one that ended in another way."""
    rejected = talk.rq.replace(uids.DICOM_APPLICATION_CONTEXT.encode(), b"1.2.840.10008.3.1.1.9")
    yield _after(talk, "rejected", (Open(), Send(message=rejected), Await(kinds=(2, 3, 7))))
    yield _after(talk, "aborted", (*talk.begin(), Send(message=ABORT), ENDED))
    yield _after(talk, "released", (*talk.begin(), *RELEASED))
    for name, steps in points(talk):
        yield _after(talk, f"reset {name}", (*steps, RESET))
        yield _after(talk, f"closed {name}", (*steps, CLOSE))


def _after(talk: Talk, name: str, steps: tuple[Step, ...]) -> Conversation:
    return script(
        f"orders/associations: {name}", f"a good association after one that was {name}", "PS3.8 9.2", "others-served",
        on(1, (*steps, CLOSE)), talk.begin(), Send(message=talk.ask()), ANSWER, RELEASED,
    )  # fmt: skip


FAMILIES: Final = (
    Family(
        name="orders",
        about="valid operations in every order, and good associations after others",
        systematic=_systematic,
        random=_random,
    ),
)
