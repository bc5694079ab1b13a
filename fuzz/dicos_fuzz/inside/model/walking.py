"""Random walks: the next step is chosen by the state of the model, so that every state is reached, and left in every
way.

Knows: which steps are likely to lead somewhere. Must not know: what is right. The same seed makes the same walk.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from random import Random
from typing import Final

from . import peer
from .checking import Checker, Disagreement, agrees
from .paths import INPUTS, LEVELS, ways
from .reference import Level
from .running import pieces, whole
from .scripts import MENU, PROFILES, Receive, Say, Script, Step
from .table import PROVIDER, USER

__all__ = ["shrunk", "walk"]

_SAYS: Final = {
    1: ("request",),
    3: ("accept", "accept", "accept", "accept", "reject"),
    6: ("release", *MENU[8:], "data", "last data", "last data"),
    8: ("release response", "data", "last data", *MENU[8:]),
    9: ("release response",),
    12: ("release response",),
}
"""State -> primitives that table 9-10 has there."""


def walk(seed: int, *, steps: int = 30) -> Checker | Disagreement:
    """Takes a random walk. Returns the checker after it, or the disagreement that ended it."""
    random = Random(seed)
    role, level = random.choice((USER, PROVIDER)), random.choice(LEVELS)
    profile = random.randrange(PROFILES)
    split = pieces(seed) if random.random() < 0.3 else whole
    checker = Checker(Script(role, level, (), profile), split=split)
    for step in chain(_prologue(role, level, random), _steps(checker, random, steps)):
        found = checker.step(step)
        if found is not None:
            return found
    return checker.finish() or checker


def _prologue(role: str, level: Level, random: Random) -> tuple[Step, ...]:
    """Half of the walks begin at the start, the others in a state chosen at random."""
    if random.random() < 0.5:
        return ()
    return ways()[level, random.choice([place for one, place in ways() if one == level and place[0] == role])]


def _steps(checker: Checker, random: Random, steps: int) -> Iterator[Step]:
    rest = b""  # of a PDU that was cut in two
    wild = random.choice((0.0, 0.05, 0.3))
    if random.random() < 0.5:
        yield _wild(checker, random)
    for _ in range(steps):
        model = checker.model
        if model.closed and random.random() < 0.7:
            return
        if model.state == 13 and random.random() < 0.3:  # little can happen there
            yield INPUTS[random.choice((17, 18))]
            continue
        if rest and random.random() < 0.8:
            data, rest = rest, b""
            yield Receive(data)
            continue
        if random.random() < wild:
            yield _wild(checker, random)
            continue
        says = _SAYS.get(model.state, ())
        if says and random.random() < (0.45 if model.state == 6 else 0.8):
            yield _say(checker, random.choice(says), random)
            continue
        data = peer.fitting(model, checker.run.request, random)
        if random.random() < wild:
            data = peer.damaged(data, random)
        if random.random() < 0.25 and len(data) > 1:
            at = random.choice((1, 5, 6, 7, 12, random.randrange(len(data))))
            data, rest = data[:at], data[at:]
        if data:
            yield Receive(data)


def _say(checker: Checker, what: str, random: Random) -> Say:
    """A primitive that is likely to be allowed: an answer to what is owed, the rest of what is being sent."""
    one = checker.model.messages
    context, number = random.choice((1, 1, 3, 3, 5, 7)), random.randrange(1, 4)
    variant = random.randrange(12)
    if one is not None:
        if one.sending is not None and random.random() < 0.8:
            number = random.choice((0, 1, 7, 64, 255))
            return Say(random.choice(("data", "last data")), one.sending, number)
        if one.owed and random.random() < 0.5:
            number = random.choice(sorted(one.owed))
            context, field = one.owed[number]
            what = _RESPONSES[field]
        elif what not in _NO_MESSAGES and one.contexts:
            context = random.choice(sorted(one.contexts))
    return Say(what, context, number, variant)


_NO_MESSAGES: Final = MENU[:6]
_RESPONSES: Final = {
    0x0001: "C-STORE-RSP", 0x0020: "C-FIND-RSP", 0x0010: "C-GET-RSP", 0x0021: "C-MOVE-RSP", 0x0030: "C-ECHO-RSP",
    0x0100: "N-EVENT-REPORT-RSP", 0x0110: "N-GET-RSP", 0x0120: "N-SET-RSP", 0x0130: "N-ACTION-RSP",
    0x0140: "N-CREATE-RSP", 0x0150: "N-DELETE-RSP",
}  # fmt: skip


def _wild(checker: Checker, random: Random) -> Step:
    """A step that the state may have no use for."""
    match random.randrange(6):
        case 0 | 1:
            return random.choice(tuple(INPUTS.values()))
        case 2:
            return Say(random.choice(MENU), random.randrange(10), random.randrange(5), random.randrange(256))
        case 3:
            return Receive(peer.damaged(peer.anything(checker.model, random), random) or b"\0")
        case _:
            return Receive(peer.anything(checker.model, random))


def shrunk(found: Disagreement, *, budget: int = 500) -> Disagreement:
    """Returns a disagreement of a smaller script: steps are left out, then bytes, as long as one remains."""
    script = found.script
    left = budget
    size = max(len(script.steps) // 2, 1)
    while size and left > 0:
        for at in range(len(script.steps) - size, -1, -size):
            smaller = Script(script.role, script.level, script.steps[:at] + script.steps[at + size :], script.profile)
            left -= 1
            again = agrees(smaller)
            if again is not None:
                found, script = again, again.script
                break
            if left <= 0:
                break
        else:
            size //= 2
    return found
