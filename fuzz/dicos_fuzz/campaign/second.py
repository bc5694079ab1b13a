"""The same conversation with a second peer: where the two react differently.

Knows: reactions. Must not know: which of them is right.

A difference counts once it has come back: both peers play the conversation again, with more patience. It is not a
finding: the standard allows several reactions to most faults. It shows where two implementations
read the standard differently, or where one of them does not look.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dicos_proto.registry import uids
from dicos_proto.upper_layer.policy import AcceptPolicy

from ..conversation import Conversation, Transcript, What
from .bitmap import reaction
from .player import Player
from .pool import trimmed
from .settings import Difference, Totals

if TYPE_CHECKING:
    from dicos_transports.blocking import Session

__all__ = ["Second", "engine"]

_Key = tuple[str, str, str]
"""Family, reaction of the first peer, of the second."""

LOG: Final = logging.getLogger("dicos")
DIFFERENCES: Final = 1_000
"""Kinds of differences that are kept."""
TRIES: Final = 3
"""Times that a kind of difference is played again until it comes back."""
PATIENT: Final = 4.0
"""The wait for an answer when a difference is played again, in multiples of the usual one."""
MOST_PATIENT: Final = 5.0
_LAST: Final = ("A-ABORT", "A-ASSOCIATE-RJ", "A-RELEASE-RP")
"""PDUs behind which only the end of the connection comes."""


class Second:
    """Plays conversations with a second peer, and keeps what is different in `totals.differences`.

    `first`, `second`: play with the two peers, each with the patience that its own peer needs.
    """

    def __init__(self, first: Player, second: Player, totals: Totals) -> None:
        self._first = first
        self._second = second
        self._totals = totals
        self._tries: dict[_Key, int] = {}

    def __call__(self, conversation: Conversation, transcript: Transcript) -> None:
        """Compares the reactions of both peers to a conversation, whose transcript with the first one this is."""
        first, second = _words(reaction(transcript)), self._played(self._second, conversation)
        family = conversation.name.partition("/")[0]
        if first == second or self._known((family, first, second)):
            return
        if not self._may_try((family, first, second)):
            return
        with _patient(self._first), _patient(self._second):  # a slow peer, or one that was busy, looks quiet
            first, second = self._played(self._first, conversation), self._played(self._second, conversation)
        gone = {What.REFUSED.value} & {first, second} or self._first.cancelled
        if gone or first == second or self._known((family, first, second)):
            return
        if len(self._totals.differences) < DIFFERENCES:
            self._totals.differences[family, first, second] = Difference(
                family=family, name=conversation.name, about=conversation.about, first=first, second=second
            )

    @staticmethod
    def _played(player: Player, conversation: Conversation) -> str:
        return _words(reaction(trimmed(player.play(conversation))))

    def _known(self, key: _Key) -> bool:
        """Counts a difference that was kept before."""
        found = self._totals.differences
        if key not in found:
            return False
        found[key] = replace(found[key], count=found[key].count + 1)
        return True

    def _may_try(self, key: _Key) -> bool:
        """True if it may still come back: what did not come back a few times is not played again."""
        tried = self._tries.get(key, 0)
        if tried >= TRIES or (not tried and len(self._tries) >= DIFFERENCES):
            return False
        self._tries[key] = tried + 1
        return True


@contextmanager
def _patient(player: Player) -> Iterator[None]:
    learned = player.learned
    seconds = max(learned.answer_seconds, min(MOST_PATIENT, PATIENT * learned.answer_seconds))
    player.learned = replace(learned, answer_seconds=seconds)
    try:
        yield
    finally:
        player.learned = learned


def _words(found: str) -> str:
    """A reaction without the end of the connection behind an A-ABORT, an A-ASSOCIATE-RJ or an A-RELEASE-RP: who ends it
    then, and when, is a matter of timers."""
    words = found.split(", ")
    kept = len(words)
    while kept > 1 and words[kept - 1] in ("ended", "reset", "quiet"):
        kept -= 1
    last = words[kept - 1].partition(" ")[0]
    return ", ".join(words[:kept] if last in _LAST else words) or "nothing"


@contextmanager
def engine() -> Iterator[int]:
    """Runs our own provider in this process, which accepts everything and keeps nothing. Yields its port.

    The log of that provider, a line for each fault, goes nowhere unless logging is configured.
    """
    from dicos_transports.blocking import serve

    policy = AcceptPolicy(other_contexts=uids.TRANSFER_SYNTAXES, called_aets=None)
    quiet = logging.NullHandler()  # else logging prints warnings on standard error
    LOG.addHandler(quiet)
    try:
        with serve(("127.0.0.1", 0), _answer_all, policy=policy) as server:
            yield server.port
    finally:
        LOG.removeHandler(quiet)


def _answer_all(session: Session) -> None:
    from dicos_transports.blocking import StoreRequest

    for request in session:
        if isinstance(request, StoreRequest):
            for _ in request.data():
                pass
        request.respond()
