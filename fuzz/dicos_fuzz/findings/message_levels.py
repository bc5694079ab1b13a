"""The inner levels of minimising: the parts of each message, its values, its tail, its bytes.

Knows: messages as trees, and their edits. Must not know: other steps (`script_levels`).

The levels have the form that `script_levels` describes. Parts and values go out of the valid message, so that its edits
stay what is wrong in it. A tail goes with an edit of its own. Only single bytes are taken out of what goes over the
wire, edits included: such a message has no edits any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from ..conversation import Answer, Conversation, Send
from ..tree import ROOT, Action, Edit, Kind, Leaf, Length
from . import pruning
from .pruning import levels, simplest, with_value, without
from .script_levels import Shows, replaced
from .searching import ddmin, lowest

__all__ = ["parts", "raw_bytes", "tails", "values", "values_of_edits"]


def _sends(conversation: Conversation) -> Iterator[tuple[int, Send]]:
    return ((index, step) for index, step in enumerate(conversation.steps) if isinstance(step, Send))


def parts(conversation: Conversation, shows: Shows) -> Conversation:
    """Leaves out PDUs, then items and PDVs, then the parts in those, level by level."""
    for index, first in _sends(conversation):
        send, depth = first, 0
        while depth < len(found := levels(send.message)):
            send = _fewer_parts(send, found[depth], _asked(conversation, index, shows))
            depth += 1
        conversation = replaced(conversation, index, send)
    return conversation


def _asked(conversation: Conversation, index: int, shows: Shows) -> Callable[[Send], bool]:
    return lambda send: shows(replaced(conversation, index, send))


def _fewer_parts(send: Send, paths: list[str], shows: Callable[[Send], bool]) -> Send:
    def only(some: tuple[str, ...]) -> Send:
        message, edits = without(send.message, send.edits, frozenset(paths) - frozenset(some))
        return replace(send, message=message, edits=edits)

    kept = ddmin(paths, lambda some: shows(only(some)))
    return only(kept) if len(kept) < len(paths) else send


_SHORTENED: Final = (Kind.TEXT, Kind.BYTES)
"""The values of which bytes may go. A UID, a title or a number is either needed or simple."""


def values(conversation: Conversation, shows: Shows) -> Conversation:
    """Makes the values of fields simple, one after the other."""
    for index, first in _sends(conversation):
        send, asked = first, _asked(conversation, index, shows)
        for path in pruning.values(first.message):
            send = _simple_value(send, path, asked)
        conversation = replaced(conversation, index, send)
    return conversation


def _simple_value(send: Send, path: str, shows: Callable[[Send], bool]) -> Send:
    def valued(value: bytes | int) -> Send:
        return replace(send, message=with_value(send.message, path, value))

    node = pruning.values(send.message).get(path)
    if isinstance(node, Length) and node.value is not None:
        return valued(lowest(node.value, lambda number: shows(valued(number))))
    if not isinstance(node, Leaf):  # it was in a value that became simple
        return send
    for value in simplest(node):
        if shows(valued(value)):
            return valued(value)
    if node.kind in _SHORTENED and len(node.value) > 1:
        return valued(bytes(ddmin(node.value, lambda some: shows(valued(bytes(some))))))
    return send


def values_of_edits(conversation: Conversation, shows: Shows) -> Conversation:
    """Makes the values of edits simple: bytes shorter, numbers as low as they can be."""
    for index, step in enumerate(conversation.steps):
        if isinstance(step, Send | Answer):
            for number in range(len(step.edits)):
                conversation = _simple_edit(conversation, index, number, shows)
    return conversation


def _simple_edit(conversation: Conversation, index: int, number: int, shows: Shows) -> Conversation:
    step = conversation.steps[index]
    assert isinstance(step, Send | Answer)
    edit = step.edits[number]

    def valued(value: bytes | int) -> Conversation:
        edits = (*step.edits[:number], replace(edit, value=value), *step.edits[number + 1 :])
        return replaced(conversation, index, replace(step, edits=edits))

    if isinstance(edit.value, int):
        return valued(lowest(edit.value, lambda value: shows(valued(value))))
    if edit.value:
        value = bytes(ddmin(edit.value, lambda some: shows(valued(bytes(some)))))
        return valued(bytes(len(value))) if any(value) and shows(valued(bytes(len(value)))) else valued(value)
    return conversation


def tails(conversation: Conversation, shows: Shows) -> Conversation:
    """Cuts messages short."""
    for index, send in _sends(conversation):
        asked = _asked(conversation, index, shows)
        if send.edits and (send.edits[-1].path, send.edits[-1].action) == (ROOT, Action.CUT):
            continue  # its number is a value
        size = len(send.wire())

        def cut(kept: int, send: Send = send) -> Send:
            return replace(send, edits=(*send.edits, Edit(ROOT, Action.CUT, kept)))

        # One byte less is asked about first: as a rule a message is needed to its end.
        if size and asked(cut(size - 1)):
            kept = lowest(size - 1, lambda number, cut=cut, asked=asked: asked(cut(number)))  # type: ignore[misc]
            conversation = replaced(conversation, index, cut(kept))
    return conversation


def raw_bytes(conversation: Conversation, shows: Shows) -> Conversation:
    """Takes single bytes out of what goes over the wire."""
    for index, send in _sends(conversation):
        wire = send.wire()

        def only(some: tuple[int, ...], send: Send = send) -> Send:
            return replace(send, message=bytes(some), edits=())

        asked = _asked(conversation, index, shows)
        kept = bytes(ddmin(wire, lambda some, only=only, asked=asked: asked(only(some))))  # type: ignore[misc]
        if kept != wire:
            conversation = replaced(conversation, index, only(tuple(kept)))
    return conversation
