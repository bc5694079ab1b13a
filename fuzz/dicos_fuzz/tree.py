"""Trees of named fields: how a PDU, a command set or a data set looks on the wire, with lengths that follow their
contents or are wrong on purpose.

Knows: leaves, lengths, parts, paths, edits, and how they become bytes. Must not know: which PDUs exist (`grammar`).

A path names a node by its parts' names: `A-ASSOCIATE-RQ/presentation context#2/length`. `#2` is the second node of that
name among its siblings; the first has no number. An `Edit` is one change at one path; an edit whose path is not there
changes nothing, so that any subset of a list of edits can be applied: this is what makes findings small.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

__all__ = ["ROOT", "Action", "Edit", "Kind", "Leaf", "Length", "Node", "Part", "apply", "encode", "walk"]

ROOT: Final = ""
"""The path of the whole tree."""


class Kind(Enum):
    """The kind of value in a leaf; it decides which wrong values are tried."""

    NUMBER = "number"
    ID = "id"
    UID = "UID"
    TITLE = "AE title"
    TEXT = "text"
    BYTES = "bytes"
    RESERVED = "reserved"


@dataclass(frozen=True, slots=True)
class Leaf:
    """Bytes under a name, as on the wire. `little`: the byte order, where `kind` is a number."""

    name: str
    value: bytes
    kind: Kind = Kind.BYTES
    little: bool = False


@dataclass(frozen=True, slots=True)
class Length:
    """A length field of `width` bytes. `value` None: it counts the bytes after it in its part; with `outer`, those
    after its part in the part around that one (a command group length)."""

    name: str
    width: int
    value: int | None = None
    little: bool = False
    outer: bool = False

    def pack(self, counted: int) -> bytes:
        """Returns the field's bytes. A count that does not fit is cut to its low bytes."""
        number = counted if self.value is None else self.value
        return (number % (1 << 8 * self.width)).to_bytes(self.width, "little" if self.little else "big")


@dataclass(frozen=True, slots=True)
class Part:
    """Nodes that belong together: a PDU, an item, a PDV, an element, a conversation of PDUs."""

    name: str
    nodes: tuple[Node, ...]


Node = Leaf | Length | Part


class Action(Enum):
    """The effect of an edit on the node at its path."""

    SET = "set"  # replace it with these bytes
    LENGTH = "length"  # a Length: this number in place of the right one
    DELETE = "delete"
    REPEAT = "repeat"  # one more of it, right behind it
    INSERT = "insert"  # these bytes, right before it
    SWAP = "swap"  # exchange it with the node behind it
    CUT = "cut"  # keep this many of its bytes


@dataclass(frozen=True, slots=True)
class Edit:
    """One change: `action` at `path`, with bytes or a number where the action takes them."""

    path: str
    action: Action
    value: bytes | int | None = None

    def __str__(self) -> str:
        """For people, in one line: long values are cut."""
        if isinstance(self.value, bytes):
            shown = self.value[:24].hex(" ") or "nothing"
            more = f"... ({len(self.value)} bytes)" if len(self.value) > 24 else ""
            return f"{self.path or 'all'}: {self.action.value} {shown}{more}"
        return f"{self.path or 'all'}: {self.action.value}" + ("" if self.value is None else f" {self.value}")


def encode(node: Node) -> bytes:
    """Returns the bytes of a tree. It takes time linear in the result."""
    pieces: list[bytes] = []
    _encode(node, 0, 0, pieces)
    pieces.reverse()
    return b"".join(pieces)


def _encode(node: Node, after: int, after_part: int, pieces: list[bytes]) -> int:
    """Appends the pieces of `node`, the last first; returns their length. `after`: bytes behind it in its part;
    `after_part`: bytes behind that part in the one around it."""
    if isinstance(node, Leaf):
        pieces.append(node.value)
        return len(node.value)
    if isinstance(node, Length):
        pieces.append(node.pack(after_part if node.outer else after))
        return node.width
    inside = 0
    for one in reversed(node.nodes):
        inside += _encode(one, inside, after, pieces)
    return inside


def walk(node: Node) -> Iterator[tuple[str, Node]]:
    """Yields every node with its path, the root first, in the order of the wire."""
    stack: list[tuple[str, Node]] = [(ROOT, node)]
    while stack:
        path, one = stack.pop()
        yield path, one
        if isinstance(one, Part):
            prefix = f"{path}/" if path else ""
            seen: dict[str, int] = {}
            inside: list[tuple[str, Node]] = []
            for child in one.nodes:
                number = seen[child.name] = seen.get(child.name, 0) + 1
                inside.append((f"{prefix}{child.name}" + (f"#{number}" if number > 1 else ""), child))
            stack.extend(reversed(inside))


def apply(node: Node, edits: tuple[Edit, ...] | list[Edit]) -> Node:
    """Returns the tree with these edits, one after the other. Edits without effect are skipped."""
    for edit in edits:
        node = _at(node, edit.path.split("/") if edit.path else [], edit)
    return node


def _at(node: Node, steps: list[str], edit: Edit) -> Node:
    if not steps:
        found = _changed(node, edit)
        return node if found is None else found[0] if len(found) == 1 else Part(node.name, found)
    if not isinstance(node, Part):
        return node
    index = _index(node, steps[0])
    if index is None:
        return node
    nodes = node.nodes
    if len(steps) > 1:
        return replace(node, nodes=(*nodes[:index], _at(nodes[index], steps[1:], edit), *nodes[index + 1 :]))
    if edit.action is Action.SWAP:
        if index + 1 == len(nodes):
            return node
        return replace(node, nodes=(*nodes[:index], nodes[index + 1], nodes[index], *nodes[index + 2 :]))
    found = _changed(nodes[index], edit)
    return node if found is None else replace(node, nodes=(*nodes[:index], *found, *nodes[index + 1 :]))


def _index(part: Part, step: str) -> int | None:
    name, _, number = step.rpartition("#")
    if not name or not number.isdecimal():
        name, number = step, "1"
    left = int(number)
    for index, node in enumerate(part.nodes):
        if node.name == name:
            left -= 1
            if left == 0:
                return index
    return None


def _changed(node: Node, edit: Edit) -> tuple[Node, ...] | None:
    """The nodes in place of `node`; None: the edit does not apply to it."""
    value = edit.value
    match edit.action:
        case Action.DELETE:
            return ()
        case Action.REPEAT:
            return (node, node)
        case Action.INSERT if isinstance(value, bytes):
            return (Leaf("inserted", value), node)
        case Action.SET if isinstance(value, bytes):
            return (replace(node, value=value) if isinstance(node, Leaf) else Leaf(node.name, value),)
        case Action.LENGTH if isinstance(value, int) and isinstance(node, Length):
            return (replace(node, value=value),)
        case Action.CUT if isinstance(value, int):
            return (Leaf(node.name, encode(node)[:value]),)
        case _:
            return None
