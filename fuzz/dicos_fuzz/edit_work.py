"""The work of the edits of a file: bounded when the file is read, because it is done again whenever a conversation of
the file is played, shown or exported.

Knows: conversations, edits. Must not know: files.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .conversation import Conversation, Send
from .grammar.reading import read_stream
from .json_text import DamagedFile
from .tree import Effort, Node, Part, apply

__all__ = ["MOST_WORK", "check_work", "work_of"]

MOST_WORK: Final = 1 << 20
"""Nodes that all edits of a file may look at, or make: some two seconds. A fuzzer makes at most a few hundred edits, of
messages with a few hundred nodes. Stops: a megabyte of `repeat`s that takes minutes and gigabytes."""


def check_work(conversations: Iterable[Conversation]) -> None:
    """Raises `DamagedFile` if the edits of all conversations together are more work than `MOST_WORK`."""
    left = MOST_WORK
    for one in conversations:
        left -= work_of(one, left)
        if left < 0:
            raise DamagedFile(f"its edits together look at more than {MOST_WORK:,} fields, the most of one file")


def work_of(conversation: Conversation, most: int) -> int:
    """Returns the nodes at which the edits of a conversation look, or that they make. It stops counting above
    `most`. The edits of an `Answer` do not count: what they change is not known before the peer asks."""
    work = 0
    for step in conversation.steps:
        if isinstance(step, Send) and step.edits and work <= most:
            tree = read_stream(step.message)
            effort = Effort(most - work)
            effort.spent = _nodes(tree)
            apply(tree, step.edits, effort)
            work += effort.spent
    return work


def _nodes(tree: Node) -> int:
    count = 0
    stack: list[Node] = [tree]
    while stack:
        one = stack.pop()
        count += 1
        if isinstance(one, Part):
            stack.extend(one.nodes)
    return count
