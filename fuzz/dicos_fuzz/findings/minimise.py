"""Delta debugging of a conversation: the smallest one that still shows a finding, and what had to run before it.

Knows: the levels and their order, budgets. Must not know: how a conversation is played, what a finding is.

From the outside to the inside, because leaving out much at first makes the rest cheaper: connections, steps,
edits, PDUs and the parts in them, values, the tail of each message, single bytes, times. Then again, until a round
changes nothing: no connection, step, edit, part or byte can be left out any more (the result is 1-minimal).

Invariants: deterministic; a result was seen to show the finding, or it is the conversation that was given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from ..conversation import Conversation, Send
from . import message_levels, script_levels
from .script_levels import Shows
from .searching import OutOfBudget, Trials, ddmin, lowest

__all__ = ["Earlier", "Minimised", "earlier", "minimise", "minimised"]

_FIRST: Final = script_levels.edits_and_cuts
_LEVELS: Final[tuple[Callable[[Conversation, Shows], Conversation], ...]] = (
    script_levels.connections,
    script_levels.pauses,
    script_levels.steps,
    script_levels.edits,
    message_levels.parts,
    message_levels.values_of_edits,
    message_levels.values,
    message_levels.tails,
    script_levels.times,
    script_levels.numbering,
    message_levels.raw_bytes,  # last: it takes as many questions as there are bytes
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Minimised:
    """A minimised conversation. `shown`: False if the one that was given did not show it; then it is returned
    unchanged. `complete`: True if it is 1-minimal, False if the budget ended before that is known. `calls`: how often
    `still` was asked."""

    conversation: Conversation
    shown: bool
    complete: bool
    calls: int


def minimise(
    conversation: Conversation, still: Callable[[Conversation], bool], *, budget: int, tries: int = 1, needed: int = 1
) -> Conversation:
    """Returns the smallest conversation found that still shows a finding; the one that was given if that does not.

    `still`: plays a conversation and returns True if it shows the finding. `budget`: the most calls of it. `tries` and
    `needed`: for a peer that does not react the same each time: each conversation is played up to `tries` times, and
    counts if it shows the finding `needed` times. Raises ValueError for `needed` above `tries`.
    """
    return minimised(conversation, still, budget=budget, tries=tries, needed=needed).conversation


def minimised(
    conversation: Conversation, still: Callable[[Conversation], bool], *, budget: int, tries: int = 1, needed: int = 1
) -> Minimised:
    """Like `minimise`, with what is known about the result."""
    trials = Trials(still, _Key(), budget=budget, tries=tries, needed=needed)
    try:
        if not trials.show(conversation):
            return Minimised(conversation=conversation, shown=False, complete=False, calls=trials.calls)
        found = _FIRST(conversation, trials.show)
        seen: list[Conversation] = []
        while found not in seen:
            seen.append(found)
            for level in _LEVELS:
                found = level(found, trials.show)
    except OutOfBudget:
        best = trials.best
        return Minimised(
            conversation=conversation if best is None else best,
            shown=best is not None,
            complete=False,
            calls=trials.calls,
        )
    return Minimised(conversation=found, shown=True, complete=True, calls=trials.calls)


_REMEMBERED: Final = 256


class _Key:
    """Makes the key of a conversation: equal for those that do the same on the wire."""

    def __init__(self) -> None:
        self._wires: dict[Send, bytes] = {}

    def __call__(self, conversation: Conversation) -> bytes:
        digest = blake2b(conversation.side.value.encode(), digest_size=16)
        for step in conversation.steps:
            if isinstance(step, Send):
                digest.update(f"{step.connection} {step.piece} {step.gap} ".encode() + self._wire(step))
            else:
                digest.update(repr(step).encode("utf-8", "backslashreplace"))
        return digest.digest()

    def _wire(self, send: Send) -> bytes:
        found = self._wires.get(send)
        if found is None:
            if len(self._wires) >= _REMEMBERED:
                self._wires.clear()
            found = self._wires[send] = blake2b(send.wire(), digest_size=16).digest()
        return found


# -- conversations before it ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """Conversations that have to run before another one. `shown`: False if it did not show even after all of them;
    then `conversations` is all of them. `complete` and `calls` as in `Minimised`."""

    conversations: tuple[Conversation, ...]
    shown: bool
    complete: bool
    calls: int


def earlier(
    before: Sequence[Conversation],
    shows: Callable[[tuple[Conversation, ...]], bool],
    *,
    budget: int,
    tries: int = 1,
    needed: int = 1,
) -> Earlier:
    """Returns those of the conversations that ran before a finding which are needed for it.

    `shows`: on a fresh peer, plays these conversations, in this order, then the one with the finding; returns True if
    that showed it. None are asked about first, then the last one, the last two, four and so on, then how many exactly,
    then which of these (ddmin). `budget`, `tries` and `needed` as for `minimise`.
    """
    numbers = range(len(before))
    trials: Trials[tuple[int, ...]] = Trials(
        lambda some: shows(tuple(before[index] for index in some)),
        lambda some: some,
        budget=budget,
        tries=tries,
        needed=needed,
    )

    def last(count: int) -> tuple[int, ...]:
        return tuple(numbers[len(before) - count :])

    shown, complete = False, True
    try:
        count = 0
        while not (shown := trials.show(last(count))) and count < len(before):
            count = min(2 * count or 1, len(before))
        if shown:
            ddmin(last(lowest(count, lambda one: trials.show(last(one)))), trials.show)
    except OutOfBudget:
        shown, complete = trials.best is not None, False
    kept = trials.best if trials.best is not None else tuple(numbers)
    return Earlier(
        conversations=tuple(before[index] for index in kept), shown=shown, complete=complete, calls=trials.calls
    )
