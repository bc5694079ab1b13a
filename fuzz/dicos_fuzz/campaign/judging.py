"""The judgement of one run: everything that the peer did wrong, from the transcript alone.

Knows: the oracles and their order. Must not know: sockets, processes, how a peer looks from outside (`watching`).

Rules that hold for any conversation come first: the table of the upper layer (`conduct`), association PDUs
(`associating`), messages (`dialogue`), service to others. Then the expectation of the conversation (`expecting`).

Invariants: a peer that keeps to the standard, at its own pace, is never blamed; violations that depend on time are
those of `TIMED`. No transcript raises. Linear in its bytes.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from dicos_proto.upper_layer.pdu_types import AssociateAccept, ContextResult

from ..conversation import Conversation, Side, Transcript, What
from ..finding import Severity, Violation, signature
from .associating import Wish, associating, wish_of
from .conduct import conduct
from .dialogue import dialogue
from .expecting import EVERYWHERE, EXPECTATIONS, TIMED, Seen
from .knowledge import Learned
from .lines import Line, lines_of

__all__ = ["TIMED", "judge"]

_BUSY: Final = re.compile(r"rejected \((2/|\d+/3/)")
"""A good association that was rejected for now, or for want of resources, does not show that others are hurt, unless
nothing of this side is left open."""
_FEW: Final = 3
"""Connections of one conversation, after which a peer must have its resources back at once."""


def judge(conversation: Conversation, transcript: Transcript, learned: Learned) -> list[Violation]:
    """Returns what the peer did wrong in this run, each thing once, the worst first.

    Raises KeyError for an expectation that does not exist.
    """
    expected = EXPECTATIONS[conversation.expect]
    user = conversation.side is Side.USER
    found: list[Violation] = []
    lines = lines_of(transcript)
    for number, line in lines.items():
        conducted = conduct(line, user=user)
        found += conducted.violations
        found += associating(line, user=user)
        ours, contexts = _agreed(line, user=user)
        spoken = dialogue(line, ours, contexts, user=user)
        found += spoken.violations
        if number == 0 or conversation.expect in EVERYWHERE:
            found += expected(Seen(conversation, line, spoken, conducted, user))
    found += _starved(conversation, transcript, lines, learned)
    family = conversation.name.partition("/")[0]
    once: dict[str, Violation] = {}
    for one in found:
        named = replace(one, family=family)
        once.setdefault(signature(named), named)
    order = {severity: number for number, severity in enumerate(Severity)}
    return sorted(once.values(), key=lambda one: order[one.severity])


def _agreed(line: Line, *, user: bool) -> tuple[Wish, dict[int, bytes] | None]:
    """The wishes of this side, and the accepted contexts with their transfer syntaxes."""
    ours = next(iter(line.ours(1 if user else 2)), None)
    wish = Wish() if ours is None else wish_of(ours.data)
    if not user:
        return wish, None if ours is None else wish.accepted
    answer = next(iter(line.theirs(2)), None)
    if answer is None:
        return wish, None
    accept = answer.decoded
    if not isinstance(accept, AssociateAccept):
        return wish, wish_of(answer.data).accepted
    return wish, {
        one.id: (one.transfer_syntax or "").encode("latin-1")
        for one in accept.contexts
        if one.result is ContextResult.ACCEPTANCE
    }


def _used(lines: dict[int, Line], at: int) -> bool:
    """True if the peer may lack resources at this entry: a connection is open, or many have just ended."""
    ends = ((line.ended_at, line.closed_at) for line in lines.values() if line.opened)
    return len(lines) > _FEW or any(all(end < 0 or end > at for end in both) for both in ends)


def _starved(
    conversation: Conversation, transcript: Transcript, lines: dict[int, Line], learned: Learned
) -> list[Violation]:
    """Others are served while a conversation goes on. A peer that serves one association at a time lets them wait."""
    at, why = next(
        ((at, one.note) for at, one in enumerate(transcript.entries) if one.what is What.UNANSWERED), (-1, "")
    )
    if at < 0 or learned.alone or (_BUSY.match(why) and _used(lines, at)):
        return []
    user = conversation.side is Side.USER
    line = lines.get(0)
    state = conduct(line, user=user).fault_state.name if line is not None else ""
    return [
        Violation(
            oracle="starved",
            severity=Severity.HIGH,
            detail=f"a good association beside this one was not served: {conversation.about}",
            clause="limit: one association must not hold up another",
            state=state,
            reaction="others not served",
        )
    ]
