"""A family of scenarios as a value.

Knows: how its conversations are asked for. Must not know: which families there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from random import Random

from ...conversation import Conversation, Side
from ..knowledge import Learned

__all__ = ["Family", "drawn", "in_turns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Conversations that belong together.

    `about`: one line for people. `systematic`: yields its conversations, the most promising first, the same ones each
    time for the same knowledge. `random`: makes one more. `resource`: its conversations take long or much, so that a
    campaign rations them. `tls`: they are about TLS itself, for a peer that has it.
    """

    name: str
    about: str
    systematic: Callable[[Learned], Iterator[Conversation]]
    random: Callable[[Learned, Random], Conversation]
    side: Side = Side.USER
    resource: bool = False
    tls: bool = False


def drawn(random: Random, conversations: Iterator[Conversation], most: int = 64) -> Conversation:
    """Returns one of the first `most` conversations. Raises ValueError if there are none."""
    found = [one for one, _ in zip(conversations, range(most), strict=False)]
    if not found:
        raise ValueError("a family without conversations")
    return random.choice(found)


def in_turns(*several: Iterator[Conversation]) -> Iterator[Conversation]:
    """Yields one conversation of each by turns, as long as there are any."""
    for turn in zip_longest(*several):
        yield from (one for one in turn if one is not None)
