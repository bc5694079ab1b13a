"""The outer levels of minimising: connections, steps, edits, times.

Knows: the steps of a conversation. Must not know: what is in a message (`message_levels`).

A level is a function of a conversation that shows the finding, and of a question, `shows`. It returns the last
conversation that it asked about with success, or the one that it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..conversation import Answer, Await, Check, Conversation, Open, Pause, Send, Step
from ..tree import ROOT, Action, Edit
from .searching import ddmin

__all__ = ["Shows", "connections", "edits", "edits_and_cuts", "numbering", "pauses", "replaced", "steps", "times"]

Shows = Callable[[Conversation], bool]


def replaced(conversation: Conversation, index: int, step: Step) -> Conversation:
    """Returns the conversation with another step at an index."""
    found = conversation.steps
    return replace(conversation, steps=(*found[:index], step, *found[index + 1 :]))


def connections(conversation: Conversation, shows: Shows) -> Conversation:
    """Leaves out whole connections."""
    used = sorted({step.connection for step in conversation.steps if not isinstance(step, Pause | Check)})

    def only(some: Sequence[int]) -> Conversation:
        kept = frozenset(some)
        return replace(
            conversation,
            steps=tuple(one for one in conversation.steps if isinstance(one, Pause | Check) or one.connection in kept),
        )

    return only(ddmin(used, lambda some: shows(only(some))))


def pauses(conversation: Conversation, shows: Shows) -> Conversation:
    """Leaves out pauses. They go before other steps, since a wait for an answer may do what a pause does, and does it
    on every host."""
    places = [index for index, step in enumerate(conversation.steps) if isinstance(step, Pause)]

    def only(some: Sequence[int]) -> Conversation:
        gone = frozenset(places) - frozenset(some)
        kept = tuple(step for index, step in enumerate(conversation.steps) if index not in gone)
        return replace(conversation, steps=kept)

    return only(ddmin(places, lambda some: shows(only(some))))


def steps(conversation: Conversation, shows: Shows) -> Conversation:
    """Leaves out steps. Without the step that opens a connection, those on it go too: they would do nothing."""

    def only(some: Sequence[int]) -> Conversation:
        return _with_opened(conversation, [conversation.steps[index] for index in some])

    kept = ddmin(range(len(conversation.steps)), lambda some: shows(only(some)))
    return only(kept) if len(kept) < len(conversation.steps) else conversation


def _with_opened(conversation: Conversation, some: Sequence[Step]) -> Conversation:
    waits = {one.connection for one in conversation.steps if isinstance(one, Open)}
    kept: list[Step] = []
    for step in some:
        if isinstance(step, Open):
            waits.discard(step.connection)
        elif not isinstance(step, Pause | Check) and step.connection in waits:
            continue
        kept.append(step)
    return replace(conversation, steps=tuple(kept))


def edits_and_cuts(conversation: Conversation, shows: Shows) -> Conversation:
    """Leaves out edits, those that cut a message short too."""
    return _fewer_edits(conversation, shows, lambda edit: True)


def edits(conversation: Conversation, shows: Shows) -> Conversation:
    """Leaves out edits, except those that cut a message short, which make it smaller."""
    return _fewer_edits(conversation, shows, lambda edit: (edit.path, edit.action) != (ROOT, Action.CUT))


def _fewer_edits(conversation: Conversation, shows: Shows, optional: Callable[[Edit], bool]) -> Conversation:
    places = [
        (index, number)
        for index, step in enumerate(conversation.steps)
        if isinstance(step, Send | Answer)
        for number, edit in enumerate(step.edits)
        if optional(edit)
    ]

    def only(some: Sequence[tuple[int, int]]) -> Conversation:
        gone = frozenset(places) - frozenset(some)
        return replace(
            conversation,
            steps=tuple(
                replace(
                    step, edits=tuple(edit for number, edit in enumerate(step.edits) if (index, number) not in gone)
                )
                if isinstance(step, Send | Answer)
                else step
                for index, step in enumerate(conversation.steps)
            ),
        )

    return only(ddmin(places, lambda some: shows(only(some))))


_HALVINGS = 8
_SHORTEST = 0.05
"""Seconds below which a wait is not made shorter: it would show the finding on a fast host only."""


def times(conversation: Conversation, shows: Shows) -> Conversation:
    """Makes waits shorter, and writes larger."""
    for index, step in enumerate(conversation.steps):
        for simpler in _simpler_times(step):
            candidate = replaced(conversation, index, simpler)
            if shows(candidate):
                conversation = candidate
                break
    for index in range(len(conversation.steps)):
        for _ in range(_HALVINGS):
            halved = _halved(conversation.steps[index])
            if halved is None or not shows(replaced(conversation, index, halved)):
                break
            conversation = replaced(conversation, index, halved)
    return conversation


def _simpler_times(step: Step) -> list[Step]:
    match step:
        case Send(piece=piece, gap=gap) if piece or gap:
            return [replace(step, piece=0, gap=0.0), *([replace(step, gap=0.0)] if piece and gap else [])]
        case Await(seconds=seconds) if seconds:
            return [replace(step, seconds=0.0)]
        case _:  # a Pause is left out as a step
            return []


def _halved(step: Step) -> Step | None:
    match step:
        case Send(gap=gap) if gap >= 2 * _SHORTEST:
            return replace(step, gap=_half(gap))
        case Pause(seconds=seconds) | Await(seconds=seconds) if seconds and seconds >= 2 * _SHORTEST:
            return replace(step, seconds=_half(seconds))
        case _:
            return None


def _half(seconds: float) -> float:
    return float(f"{seconds / 2:.2g}")


def numbering(conversation: Conversation, shows: Shows) -> Conversation:
    """Numbers the connections from 0, in the order in which they come."""
    numbers: dict[int, int] = {}
    for step in conversation.steps:
        if not isinstance(step, Pause | Check):
            numbers.setdefault(step.connection, len(numbers))
    candidate = replace(
        conversation,
        steps=tuple(
            step if isinstance(step, Pause | Check) else replace(step, connection=numbers[step.connection])
            for step in conversation.steps
        ),
    )
    return candidate if candidate != conversation and shows(candidate) else conversation
