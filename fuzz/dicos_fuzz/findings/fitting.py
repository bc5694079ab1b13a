"""The conversations before a finding, as many as there is a place for: in its file, and in memory.

Knows: how large a conversation is in a file, the bounds of a file. Must not know: how a finding is made.

The latest ones are kept: what a peer does depends on them most.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ..conversation import Conversation, json_of_conversation
from ..edit_work import MOST_WORK, work_of
from ..finding import Finding
from ..json_text import MOST_BYTES, MOST_VALUES

__all__ = ["Room", "bounded", "extent", "latest"]

OTHERS: Final = (2 << 20, 40_000)
"""Bytes and values of a file for all but its conversations: most of it is the transcript."""

Room = tuple[int, int, int]
"""Bytes and values in a file, and the work of edits (`edit_work`)."""


def latest(before: Sequence[Conversation], room: Room) -> tuple[tuple[Conversation, ...], int]:
    """Returns the latest conversations for which there is room, and the bytes that they take in a file."""
    kept: list[Conversation] = []
    size, values, work = room
    for one in reversed(before):
        more, values_more = extent(one)
        size, values = size - more, values - values_more
        if size < 0 or values < 0 or (work := work - work_of(one, work)) < 0:
            size += more
            break
        kept.append(one)
    return tuple(kept[::-1]), room[0] - size


def extent(conversation: Conversation) -> tuple[int, int]:
    """Returns the bytes and the values of a conversation in a file."""
    plain = json_of_conversation(conversation)
    lines = json.dumps(plain, indent=1, ensure_ascii=True)
    return len(lines) + 2 * (lines.count("\n") + 1) + 2, _values(plain) + 1


def _values(plain: object) -> int:
    match plain:
        case dict():
            return 2 * max(1, len(plain)) + sum(map(_values, plain.values()))
        case list():
            return max(1, len(plain)) + sum(map(_values, plain))
        case _:
            return 0


def bounded(finding: Finding, most: int) -> tuple[Finding, int]:
    """Returns a finding whose conversations fit into one file, those before it into `most` bytes of it, and the bytes
    of these."""
    if not finding.before:
        return finding, 0
    size, values = extent(finding.conversation)
    bytes_left = min(most, MOST_BYTES - OTHERS[0] - size)
    room = bytes_left, MOST_VALUES - OTHERS[1] - values, MOST_WORK - work_of(finding.conversation, MOST_WORK)
    kept, taken = latest(finding.before, room)
    left_out = finding.left_out + len(finding.before) - len(kept)
    return replace(finding, before=kept, left_out=left_out), taken
