"""Names for what is wrong in a message: its edits, each with the value before and after, and lengths that do not match.

Knows: trees, edits, how a value of each kind is shown. Must not know: transcripts, reports.

The lines are plain ASCII. They never show the contents of a data set, only how long they are.
"""

from __future__ import annotations

from typing import Final, assert_never

from ..grammar.reading import read_stream
from ..tree import Action, Edit, Kind, Leaf, Length, Node, apply, encode, find, lengths, walk

__all__ = ["named_answer_edits", "named_edits", "wrong_lengths"]

_SHOWN: Final = 16
_MOST_LINES: Final = 50
_COMMAND, _LAST = 1, 2


def named_edits(message: bytes, edits: tuple[Edit, ...]) -> list[str]:
    """Returns a line for each edit: `A-ASSOCIATE-RQ/length: 205 -> 65535`."""
    found: list[str] = []
    tree: Node = read_stream(message)
    for edit in edits[:_MOST_LINES]:
        found.append(f"{_place(edit.path)}: {_effect(tree, edit)}")
        tree = apply(tree, (edit,))
    return _cut(found, len(edits))


def named_answer_edits(edits: tuple[Edit, ...]) -> list[str]:
    """Returns a line for each edit of an answer, whose message is not known before the peer has said something."""
    return _cut(
        [f"{_place(edit.path)}: {_done(edit, _visible(edit.path))}" for edit in edits[:_MOST_LINES]], len(edits)
    )


def wrong_lengths(message: bytes) -> list[str]:
    """Returns a line for each length that does not match: `A-ABORT/length: 65535, 4 bytes follow`. An element that goes
    on in the next fragment of its data set is right."""
    tree = read_stream(message)
    right, fragments = lengths(tree), _fragments(tree)
    found = [
        f"{_place(path)}: {node.value}, {right[path][0]} bytes follow"
        for path, node in walk(tree)
        if isinstance(node, Length) and node.value is not None and path.partition("/data set")[0] not in fragments
    ]
    return _cut(found[:_MOST_LINES], len(found))


def _fragments(tree: Node) -> frozenset[str]:
    """The paths of the PDVs with a part of a data set: bytes of a value, read as elements, or elements that go on."""
    found: set[str] = set()
    begun = False
    for path, node in walk(tree):
        if not isinstance(node, Leaf) or node.name != "control header" or not node.value or node.value[0] & _COMMAND:
            continue
        last = bool(node.value[0] & _LAST)
        if begun or not last:
            found.add(path.rpartition("/")[0])
        begun = not last
    return frozenset(found)


def _cut(lines: list[str], whole: int) -> list[str]:
    return lines if len(lines) == whole else [*lines, f"... and {whole - len(lines)} more"]


def _place(path: str) -> str:
    found = path or "all of it"
    return found if len(found) <= 200 else f"{found[:200]}..."


def _visible(path: str) -> bool:
    """False inside a data set, whose contents are not shown."""
    return "data set" not in path.split("/")


def _effect(tree: Node, edit: Edit) -> str:
    node = find(tree, edit.path)
    if node is None:
        return f"{_done(edit, _visible(edit.path))} (without effect: there is no such field)"
    match edit.action:
        case Action.LENGTH if isinstance(node, Length) and isinstance(edit.value, int):
            now = lengths(tree)[edit.path][0] if node.value is None else node.value
            return f"{now} -> {edit.value}"
        case Action.SET if isinstance(edit.value, bytes):
            visible = _visible(edit.path)
            return f"{_value(node, encode(node), visible)} -> {_value(node, edit.value, visible)}"
        case Action.CUT if isinstance(edit.value, int):
            return f"cut to {edit.value} of {len(encode(node))} bytes"
        case Action.DELETE:
            return f"left out ({len(encode(node))} bytes)"
        case _:
            return _done(edit, _visible(edit.path))


def _done(edit: Edit, visible: bool) -> str:
    value = _hex(edit.value, visible) if isinstance(edit.value, bytes) else str(edit.value)
    match edit.action:
        case Action.SET:
            return f"set to {value}"
        case Action.LENGTH:
            return f"set to {value}"
        case Action.DELETE:
            return "left out"
        case Action.REPEAT:
            return "sent twice"
        case Action.INSERT:
            return f"{value} inserted before it"
        case Action.SWAP:
            return "exchanged with the field behind it"
        case Action.CUT:
            return f"cut to {value} bytes"
        case _ as unreachable:
            assert_never(unreachable)


def _value(node: Node, value: bytes, visible: bool) -> str:
    """The value of a field as its kind is read."""
    if not isinstance(node, Leaf) or not visible or not value or not _is_short(value, node.kind):
        return _hex(value, visible)
    match node.kind:
        case Kind.NUMBER | Kind.ID:
            return str(int.from_bytes(value, "little" if node.little else "big"))
        case Kind.UID | Kind.TITLE | Kind.TEXT:
            return (
                "'"
                + "".join(chr(one) if 0x20 <= one < 0x7F and one != 0x27 else f"\\x{one:02x}" for one in value)
                + "'"
            )
        case Kind.RESERVED | Kind.BYTES:
            return _hex(value, visible)
        case _ as unreachable:
            assert_never(unreachable)


def _is_short(value: bytes, kind: Kind) -> bool:
    return len(value) <= (8 if kind in (Kind.NUMBER, Kind.ID) else 64)


def _hex(value: bytes, visible: bool) -> str:
    if not value:
        return "nothing"
    if not visible:
        return f"{len(value)} bytes"
    shown = value[:_SHOWN].hex(" ")
    return shown if len(value) <= _SHOWN else f"{shown} ... ({len(value)} bytes)"
