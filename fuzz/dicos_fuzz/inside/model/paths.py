"""The way to every state, and every event in it: scripts that are generated from the model, none written by hand.

Knows: one representative input for each event of table 9-10. Must not know: the engine's behaviour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import Abort, AssociateReject, AssociateRequest, ReleaseRequest, ReleaseResponse

from ...grammar.building import echo
from . import menu
from .neutral import primitive
from .reference import Level, Reference
from .running import LIMITS
from .scripts import Eof, Expire, Receive, Say, Script, Step
from .table import PROVIDER, USER

__all__ = ["INPUTS", "LEVELS", "ROLES", "Place", "every_cell", "every_state", "ways"]

LEVELS: Final[tuple[Level, Level]] = ("upper layer", "association")
ROLES: Final = (USER, PROVIDER)
Place = tuple[str, int]
"""A role and a state."""

INPUTS: Final[Mapping[int, Step]] = {
    1: Say("request"),
    3: Receive(encode(menu.answer(menu.REQUESTS[0], 0))),
    4: Receive(encode(AssociateReject())),
    6: Receive(encode(menu.REQUESTS[0])),
    7: Say("accept"),
    8: Say("reject"),
    9: Say("C-ECHO-RQ"),
    10: Receive(echo()),
    11: Say("release"),
    12: Receive(encode(ReleaseRequest())),
    13: Receive(encode(ReleaseResponse())),
    14: Say("release response"),
    15: Say("abort"),
    16: Receive(encode(Abort(source=2, reason=1))),
    17: Eof(),
    18: Expire(),
    19: Receive(b"\x99\0\0\0\0\0"),
}
"""Event of table 9-10 -> an input that causes it. Events 2 and 5 follow the making of an engine, and event 1."""


@cache
def ways() -> Mapping[tuple[Level, Place], tuple[Step, ...]]:
    """Returns the shortest way to every state that each role has, at each level, by breadth-first search."""
    found: dict[tuple[Level, Place], tuple[Step, ...]] = {}
    for level in LEVELS:
        for role in ROLES:
            waiting: list[tuple[Step, ...]] = [()]
            while waiting:
                steps = waiting.pop(0)
                model = _after(level, role, steps)
                place = level, (role, 14 if model.closed else model.state)
                if place in found:
                    continue
                found[place] = steps
                if not model.closed:
                    waiting += [(*steps, one) for event, one in INPUTS.items() if event != 18]
    return {place: steps for place, steps in found.items() if place[1][1] != 14}


def _after(level: Level, role: str, steps: tuple[Step, ...]) -> Reference:
    model = Reference(role, level, LIMITS[0])
    asked: AssociateRequest | None = None
    for step in steps:
        match step:
            case Receive(data):
                model.receive(data)
            case Eof():
                model.end()
            case Expire():
                model.expire()
            case Say():
                said = menu.primitive(step, asked or menu.REQUESTS[0], messages=level == "association")
                model.say(primitive(said))
    return model


def every_state() -> Iterator[Script]:
    """Yields a script to every state of both roles, at both levels."""
    for (level, (role, _)), steps in ways().items():
        yield Script(role, level, steps)


def every_cell() -> Iterator[Script]:
    """Yields a script for every event in every state of both roles, at both levels; the local user's primitives that
    are refused there among them."""
    for (level, (role, state)), steps in ways().items():
        for one in INPUTS.values():
            yield Script(role, level, (*steps, one))
        if state == 2:
            yield Script(role, level, (*steps, Receive(_version_2())))  # AE-6: not acceptable


def _version_2() -> bytes:
    """An A-ASSOCIATE-RQ without the bit of protocol version 1 [PS3.8 9.3.2]."""
    asked = encode(menu.REQUESTS[0])
    return asked[:6] + b"\0\2" + asked[8:]
