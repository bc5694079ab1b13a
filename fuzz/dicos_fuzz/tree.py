"""Trees of named fields: how a PDU, a command set or a data set looks on the wire, with lengths that follow their
contents or are wrong on purpose.

Knows: leaves, lengths, parts, paths, edits, and how they become bytes. Must not know: which PDUs exist (`grammar`).

A path names a node by its parts' names: `A-ASSOCIATE-RQ/presentation context#2/length`. `#2` is the second node of that
name among its siblings; the first has no number. In a path, `/`, `#` and `%` of a name are `%2F`, `%23` and `%25`, and
no name is `%`, so that every path leads to one node. An `Edit` is one change at one path; an edit whose path is not
there changes nothing, so that any subset of a list of edits can be applied: this is what makes findings small.

Invariants: nothing here is recursive, so a tree may be as deep as it likes; copies that edits make are bounded
(`MOST_COPIED`), because a few `REPEAT` of each other would make more bytes than there is memory. An edit takes far less
time than a look at all nodes beside it (`siblings`), and the work of all edits can be bounded (`Effort`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from operator import attrgetter
from typing import Final

from .siblings import Place, Siblings

__all__ = [
    "MOST_COPIED",
    "ROOT",
    "Action",
    "Edit",
    "Effort",
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


class Effort:
    """The work that edits take, in nodes that are visited or made. `most`: edits beyond are not made. `stop` is asked
    before each edit; True ends the work, too."""

    def __init__(self, most: int | None = None, stop: Callable[[], bool] | None = None) -> None:
        self.spent = 0
        self.over = False
        """True if some edits were not made."""
        self._most = most
        self._stop = stop

    def goes_on(self) -> bool:
        """Returns False if the next edit is not to be made."""
        if (self._most is not None and self.spent > self._most) or (self._stop is not None and self._stop()):
            self.over = True
        return not self.over


def apply(node: Node, edits: tuple[Edit, ...] | list[Edit], effort: Effort | None = None) -> Node:
    """Returns the tree with these edits, one after the other. Edits without effect are skipped. `effort`: counts the
    work, and may end it; the tree is that of the edits before then."""
    effort = effort if effort is not None else Effort()
    tree = _Edited(node, effort)
    for edit in edits:
        if not effort.goes_on():
            break
        tree.edit(edit)
    return tree.closed()


class _Open:
    """A part whose nodes are being changed."""

    __slots__ = ("inside", "name")

    def __init__(self, part: Part) -> None:
        self.name = part.name
        self.inside: Siblings[Node | _Open] = Siblings(part.nodes, attrgetter("name"))


class _Edited:
    """A tree while edits are made. The parts on the way to an edit are opened, and closed at the end."""

    def __init__(self, root: Node, effort: Effort) -> None:
        self._root: Node | _Open = root
        self._effort = effort
        self._copied = 0

    def closed(self) -> Node:
        """Returns the tree."""
        return _closed(self._root, self._effort)

    def edit(self, edit: Edit) -> None:
        """Makes an edit, if its path is there."""
        if not edit.path:
            self._root = node = self.closed()
            found = self._changed(node, edit)
            if found is not None:
                self._root = found[0] if len(found) == 1 else Part(node.name, found)
            return
        *above, last = edit.path.split("/")
        inside = self._open(above)
        place = None if inside is None else self._find(inside, last)
        if inside is None or place is None:
            return
        if edit.action is Action.SWAP:
            inside.swap(place)
            return
        one = inside[place]
        if isinstance(one, _Open):
            if edit.action is Action.DELETE:
                inside.put(place, ())
                return
            one = _closed(one, self._effort)
        if (found := self._changed(one, edit)) is not None:
            inside.put(place, found)

    def _open(self, steps: list[str]) -> Siblings[Node | _Open] | None:
        """Opens the parts on a path. Returns the nodes of the last; None if it is not there, or not a part."""
        part = self._root
        if isinstance(part, Part):
            part = self._root = self._opened(part)
        for step in steps:
            if not isinstance(part, _Open) or (place := self._find(part.inside, step)) is None:
                return None
            inside, part = part.inside, part.inside[place]
            if isinstance(part, Part):
                part = self._opened(part)
                inside.put(place, (part,))
        return part.inside if isinstance(part, _Open) else None

    def _opened(self, part: Part) -> _Open:
        self._effort.spent += len(part.nodes)
        return _Open(part)

    def _find(self, inside: Siblings[Node | _Open], step: str) -> Place | None:
        name, number = _name_and_number(step)
        before = inside.looked
        place = inside.find(name, number)
        self._effort.spent += inside.looked - before
        return place

    def _changed(self, node: Node, edit: Edit) -> tuple[Node, ...] | None:
        if edit.action is Action.REPEAT:
            if self._copied <= MOST_COPIED:
                cost, nodes = _cost(node, MOST_COPIED - self._copied)
                self._copied += cost
                self._effort.spent += nodes
            if self._copied > MOST_COPIED:
                return None
        elif edit.action is Action.CUT:
            self._effort.spent += _cost(node, MOST_COPIED)[1]
        return _changed(node, edit)


def _closed(node: Node | _Open, effort: Effort) -> Node:
    """A tree in which no part is open any more."""
    if not isinstance(node, _Open):
        return node
    opened = [node]
    for one in opened:  # it grows meanwhile
        opened += [child for child in one.inside if isinstance(child, _Open)]
    made: dict[int, Part] = {}
    for one in reversed(opened):
        nodes = tuple(made[id(child)] if isinstance(child, _Open) else child for child in one.inside)
        made[id(one)] = Part(one.name, nodes)
        effort.spent += len(nodes)
    return made[id(node)]


def _cost(node: Node, most: int) -> tuple[int, int]:
    """The cost of one more of a node, and the nodes in it; it stops counting above `most`."""
    cost = nodes = 0
    stack = [node]
    while stack and cost <= most:
        one = stack.pop()
        nodes += 1
        cost += NODE_COST + (len(one.value) if isinstance(one, Leaf) else 0)
        if isinstance(one, Part):
            stack.extend(one.nodes)
    return cost, nodes


_MOST_DIGITS: Final = 9
_ESCAPED: Final = re.compile("%(2F|23|25)")


def _name_and_number(step: str) -> tuple[str, int]:
    """The name of a node, and which of that name it is; number 0 for a step that leads nowhere."""
    name, _, number = step.rpartition("#")
    if not name:
        name, number = step, "1"
    if not number.isdecimal() or len(number) > _MOST_DIGITS:
        return name, 0
    if "%" in name:
        plain = "" if name == "%" else _ESCAPED.sub(lambda found: chr(int(found[1], 16)), name)
        return plain, int(number) if _step(plain) == name else 0
    return name, int(number)


def _index(part: Part, step: str) -> int | None:
    name, left = _name_and_number(step)
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
            return (Leaf(node.name, encode(node)[: max(0, value)]),)
        case _:
            return None
