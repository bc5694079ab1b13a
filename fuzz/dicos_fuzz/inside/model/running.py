"""Runs a script on an engine, `UpperLayer` or `Association`, and keeps what it told and sent after each step.

Knows: the engine's public calls, a virtual clock. Must not know: what is right (`checking`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Final

from dicos_proto.association import Association
from dicos_proto.dimse.events import MessageData, MessageStart, Sendable
from dicos_proto.errors import LocalProtocolError
from dicos_proto.limits import Limits
from dicos_proto.timers import Timeouts
from dicos_proto.tolerance import STRICT, Tolerance
from dicos_proto.upper_layer.events import Closed
from dicos_proto.upper_layer.layer import UpperLayer
from dicos_proto.upper_layer.machine import Role
from dicos_proto.upper_layer.pdu_types import AssociateRequest, PData

from . import menu
from .neutral import Neutral, event
from .reference import Level
from .scripts import Eof, Expire, Receive, Say, Step

__all__ = ["LIMITS", "MOST_EVENTS", "Endless", "Observed", "Run", "Splitter", "pieces", "whole"]

LIMITS: Final = (
    Limits(peer_max_length=8),
    Limits(
        peer_max_length=8, associate_pdu=1000, contexts=4, transfer_syntaxes=2, unknown_items=2, user_items=12,
        command_set=300, command_fragments=4, empty_pdvs=2, outstanding=2,
    ),
)  # fmt: skip
"""The profiles of a script: the default limits, and tight ones that a short script exceeds."""
MOST_EVENTS: Final = 1 << 17
"""Events of one step, far above what its bytes can make: more mean that the engine does not come to rest."""
Splitter = Callable[[bytes], Iterator[bytes]]


class Endless(AssertionError):
    """The engine returns events without end."""


def whole(data: bytes) -> Iterator[bytes]:
    """Does not split."""
    yield data


def pieces(seed: int) -> Splitter:
    """Returns a splitter into pieces of 1 to 40 bytes, many of them of the lengths of headers."""
    random = Random(seed)

    def split(data: bytes) -> Iterator[bytes]:
        at = 0
        while at < len(data):
            size = random.choice((1, 2, 4, 5, 6, 7, 12, random.randrange(1, 40), 1000))
            yield data[at : at + size]
            at += size

    return split


@dataclass(slots=True)
class Observed:
    """One step: `told` events, `sent` bytes, whether the primitive was `refused`; the state and the deadline after
    it."""

    told: list[Neutral] = field(default_factory=list)
    sent: bytes = b""
    refused: bool = False
    state: int = 1
    closing: bool = False
    deadline: str | None = None
    passed: bool = False
    """For `Expire`: a deadline has passed."""
    said: Sendable | PData | None = None
    """For `Say`: the primitive."""


class Run:
    """An engine under a script."""

    def __init__(
        self,
        role: str,
        level: Level,
        limits: Limits,
        *,
        split: Splitter = whole,
        tolerance: Tolerance = STRICT,
        timeouts: Timeouts = Timeouts(),  # noqa: B008  frozen values
    ) -> None:
        self._role = Role(role)
        self._split = split
        self._level = level
        self._now = 0.0
        self.engine: UpperLayer | Association = (
            UpperLayer(self._role, limits=limits, tolerance=tolerance, timeouts=timeouts)
            if level == "upper layer"
            else Association(self._role, limits, timeouts, tolerance)
        )
        self.request: AssociateRequest | None = None
        """The A-ASSOCIATE-RQ that was sent or received last."""
        self._over = False
        self.engine.deadline(self._now)

    def step(self, step: Step) -> Observed:
        """Carries out one step. Raises `Endless`; anything else that the engine raises is a fault of it."""
        seen = Observed()
        match step:
            case Receive(data):
                for piece in self._split(data):
                    self.engine.receive_data(piece)
                    self._drain(seen)
            case Eof():
                self.engine.receive_eof()
                self._drain(seen)
            case Expire():
                self._expire(seen)
            case Say():
                self._say(step, seen)
        seen.state = int(self.engine.state)
        seen.closing = self.engine.wants_close
        deadline = self.engine.deadline(self._now)
        seen.deadline = None if deadline is None else deadline.why
        return seen

    def _expire(self, seen: Observed) -> None:
        deadline = self.engine.deadline(self._now)
        if deadline is not None:
            self._now = max(self._now, deadline.at)
            self.engine.handle_timeout(self._now)
            seen.passed = True
        self._drain(seen)

    def _say(self, step: Say, seen: Observed) -> None:
        said = seen.said = menu.primitive(step, self.request, messages=self._level == "association")
        try:
            _send(self.engine, said)
        except LocalProtocolError:
            seen.refused = True
        else:
            if isinstance(said, AssociateRequest):
                self.request = said
        self._drain(seen)

    def _drain(self, seen: Observed) -> None:
        """Takes all events, `Closed` once in a run, then all bytes."""
        for _ in range(MOST_EVENTS):
            one = self.engine.next_event()
            if one is None:
                break
            if isinstance(one, Closed):
                if not self._over:
                    seen.told.append("closed")
                self._over = True
                break
            if isinstance(one, AssociateRequest):
                self.request = one
            seen.told.append(event(one))
        else:
            raise Endless(f"more than {MOST_EVENTS} events in one step")
        while buffers := self.engine.data_to_send():
            seen.sent += b"".join(buffers)


def _send(engine: UpperLayer | Association, said: Sendable | PData) -> None:
    """Sends what the engine can take; the menu has nothing else for it."""
    if isinstance(engine, Association):
        assert not isinstance(said, PData)
        engine.send(said)
    else:
        assert not isinstance(said, MessageStart | MessageData)
        engine.send(said)
