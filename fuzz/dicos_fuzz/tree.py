"""Trees of named fields: how a PDU, a command set or a data set looks on the wire, with lengths that follow their
contents or are wrong on purpose.

Knows: leaves, lengths, parts, paths, edits, and how they become bytes. Must not know: which PDUs exist (`grammar`).

A path names a node by its parts' names: `A-ASSOCIATE-RQ/presentation context#2/length`. `#2` is the second node of that
name among its siblings; the first has no number. In a path, `/`, `#` and `%` of a name are `%2F`, `%23` and `%25`, and
no name is `%`, so that every path leads to one node. An `Edit` is one change at one path; an edit whose path is not
there changes nothing, so that any subset of a list of edits can be applied: this is what makes findings small.

Invariants: nothing here is recursive, so a tree may be as deep as it likes; copies that edits make are bounded
(`MOST_COPIED`), because a few `REPEAT` of each other would make more bytes than there is memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

__all__ = [
    "MOST_COPIED",
    "ROOT",
    "Action",
    "Edit",
    "Kind",
    "Leaf",
    "Length",
    "Node",
    "Part",
    "apply",
    "encode",
    "find",
    "lengths",
    "steps",
    "walk",
]

ROOT: Final = ""
"""The path of the whole tree."""
MOST_COPIED: Final = 64 << 20
"""Bytes that the `REPEAT`s of one `apply` may add, where each node counts `NODE_COST` more. A `REPEAT` that would add
more, and every one after it, changes nothing. Stops: 40 edits that make a terabyte."""
NODE_COST: Final = 64


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
    """Returns the bytes of a tree. It takes time linear in the nodes and in the result."""
    pieces: list[bytes] = []
    _backwards(node, pieces, [])
    pieces.reverse()
    return b"".join(pieces)


def lengths(node: Node) -> dict[str, tuple[int, int]]:
    """Returns, for the path of each `Length` of a tree, the number that is right for it, and how many bytes follow the
    counted ones in the part around: what a longer number reaches into. It takes time linear in the nodes."""
    counted: list[tuple[int, int]] = []
    _backwards(node, [], counted)
    paths = [path for path, one in walk(node) if isinstance(one, Length)]
    return dict(zip(paths, reversed(counted), strict=True))


def _backwards(node: Node, pieces: list[bytes], counted: list[tuple[int, int]]) -> None:
    """Appends the pieces of a tree, the last first, and for each `Length` the bytes that it counts and those behind
    them. It goes backwards because what a length counts is behind it."""
    parts: list[tuple[Node, ...]] = [(node,)]  # the nodes of each part that is open: the root, the part in it, ...
    left = [1]  # ... how many of them are still to do
    inside = [0]  # ... and the bytes of those that are done
    while left:
        if not left[-1]:
            parts.pop()
            left.pop()
            size = inside.pop()
            if inside:
                inside[-1] += size
            continue
        left[-1] -= 1
        one = parts[-1][left[-1]]
        if isinstance(one, Leaf):
            pieces.append(one.value)
            inside[-1] += len(one.value)
        elif isinstance(one, Part):
            parts.append(one.nodes)
            left.append(len(one.nodes))
            inside.append(0)
        else:
            around = inside[-2] if len(inside) > 1 else 0
            counts, behind = (around, 0) if one.outer else (inside[-1], around)
            pieces.append(one.pack(counts))
            counted.append((counts, behind))
            inside[-1] += one.width


def _step(name: str) -> str:
    """A name in the form that it has in a path."""
    if not name:
        return "%"
    if "/" in name or "#" in name or "%" in name:
        return name.replace("%", "%25").replace("/", "%2F").replace("#", "%23")
    return name


def walk(node: Node) -> Iterator[tuple[str, Node]]:
    """Yields every node with its path, the root first, in the order of the wire."""
    stack: list[tuple[str, Node]] = [(ROOT, node)]
    while stack:
        path, one = stack.pop()
        yield path, one
        if isinstance(one, Part):
            prefix = f"{path}/" if path else ""
            inside = [(prefix + step, child) for step, child in zip(steps(one), one.nodes, strict=True)]
            stack.extend(reversed(inside))


def steps(part: Part) -> list[str]:
    """Returns the last step of the path of each node of a part."""
    seen: dict[str, int] = {}
    found = []
    for child in part.nodes:
        number = seen[child.name] = seen.get(child.name, 0) + 1
        found.append(_step(child.name) + (f"#{number}" if number > 1 else ""))
    return found


def find(node: Node, path: str) -> Node | None:
    """Returns the node at a path; None if there is none."""
    for step in path.split("/") if path else ():
        index = _index(node, step) if isinstance(node, Part) else None
        if not isinstance(node, Part) or index is None:
            return None
        node = node.nodes[index]
    return node


def apply(node: Node, edits: tuple[Edit, ...] | list[Edit]) -> Node:
    """Returns the tree with these edits, one after the other. Edits without effect are skipped."""
    copied = 0
    for edit in edits:
        if edit.action is Action.REPEAT:
            if copied <= MOST_COPIED:
                copied += _cost(find(node, edit.path), MOST_COPIED - copied)
            if copied > MOST_COPIED:
                continue
        node = _edited(node, edit)
    return node


def _cost(node: Node | None, most: int) -> int:
    """The cost of one more of a node; it stops counting above `most`."""
    cost = 0
    stack = [] if node is None else [node]
    while stack and cost <= most:
        one = stack.pop()
        cost += NODE_COST + (len(one.value) if isinstance(one, Leaf) else 0)
        if isinstance(one, Part):
            stack.extend(one.nodes)
    return cost


def _edited(node: Node, edit: Edit) -> Node:
    above: list[tuple[Part, int]] = []  # the parts on the way, and which of their nodes comes next
    one = node
    for step in edit.path.split("/") if edit.path else ():
        index = _index(one, step) if isinstance(one, Part) else None
        if not isinstance(one, Part) or index is None:
            return node
        above.append((one, index))
        one = one.nodes[index]
    found: tuple[Node, ...] | None
    if not above:
        found = _changed(node, edit)
        return node if found is None else found[0] if len(found) == 1 else Part(node.name, found)
    part, index = above.pop()
    nodes = part.nodes
    if edit.action is Action.SWAP:
        after, found = index + 2, (*reversed(nodes[index : index + 2]),)
    else:
        after, found = index + 1, _changed(one, edit)
    if found is None:
        return node
    part = replace(part, nodes=(*nodes[:index], *found, *nodes[after:]))
    for upper, index in reversed(above):
        part = replace(upper, nodes=(*upper.nodes[:index], part, *upper.nodes[index + 1 :]))
    return part


_MOST_DIGITS: Final = 9


def _index(part: Part, step: str) -> int | None:
    name, _, number = step.rpartition("#")
    if not name:
        name, number = step, "1"
    if not number.isdecimal() or len(number) > _MOST_DIGITS:
        return None
    left = int(number)
    escaped = "%" in name
    for index, node in enumerate(part.nodes):
        if (_step(node.name) if escaped else node.name) == name:
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
            return (Leaf(node.name, encode(node)[: max(0, value)]),)
        case _:
            return None
