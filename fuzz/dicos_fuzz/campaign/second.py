"""The same conversation with a second peer: where the two react differently.

Knows: reactions. Must not know: which of them is right.

A difference is not a finding: the standard allows several reactions to most faults. It shows where two implementations
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

from ..conversation import Conversation, Transcript
from .bitmap import reaction
from .player import Player
from .pool import trimmed
from .settings import Difference, Totals

if TYPE_CHECKING:
    from dicos_transports.blocking import Session

__all__ = ["Second", "engine"]

LOG: Final = logging.getLogger("dicos")
DIFFERENCES: Final = 1_000
"""Kinds of differences that are kept."""
_LAST: Final = ("A-ABORT", "A-ASSOCIATE-RJ", "A-RELEASE-RP")
"""PDUs behind which only the end of the connection comes."""


class Second:
    """Plays conversations with a second peer, and keeps what is different in `totals.differences`."""

    def __init__(self, player: Player, totals: Totals) -> None:
        self._player = player
        self._totals = totals

    def __call__(self, conversation: Conversation, transcript: Transcript) -> None:
        """Compares the reactions of both peers to a conversation, whose transcript with the first one this is."""
        first = _words(reaction(transcript))
        second = _words(reaction(trimmed(self._player.play(conversation))))
        if first == second:
            return
        family = conversation.name.partition("/")[0]
        key = (family, first, second)
        found = self._totals.differences
        if key in found:
            found[key] = replace(found[key], count=found[key].count + 1)
        elif len(found) < DIFFERENCES:
            found[key] = Difference(
                family=family, name=conversation.name, about=conversation.about, first=first, second=second
            )


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
