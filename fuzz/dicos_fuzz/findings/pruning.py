"""Parts taken out of a message and values made simple, with the edits in it still at their places.

Knows: trees, edits, which values of a kind are the simplest. Must not know: what still shows a finding (`minimise`).

A message is valid bytes with edits. Parts are taken out of the valid bytes, so that lengths follow and the edits stay
the only thing that is wrong. Where an edit's place moves, as when the first of two items goes, its path moves with it.
The caller tries the result, because the edit need not have the same effect there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final, assert_never

from ..grammar.reading import read_stream
from ..tree import Action, Edit, Kind, Leaf, Length, Node, Part, apply, encode, steps, walk

__all__ = ["levels", "simplest", "values", "with_value", "without"]

_NAMES_OF_THE_FORM: Final = ("type", "tag", "VR", "control header")
"""Leaves that say which item, element or PDV something is: another value makes it another one, not a simpler one."""


def levels(message: bytes) -> list[list[str]]:
    """Returns the paths of the parts of a message, by depth: its PDUs, their items or PDVs, the parts in those."""
    found: list[list[str]] = []
    for path, node in walk(read_stream(message)):
        if path and isinstance(node, Part):
            depth = path.count("/")
            found.extend([] for _ in range(depth + 1 - len(found)))
            found[depth].append(path)
    return [level for level in found if level]


def without(message: bytes, edits: tuple[Edit, ...], gone: Collection[str]) -> tuple[bytes, tuple[Edit, ...]]:
    """Returns a message without the parts at these paths, and its edits: those in these parts are left out, the paths
    of the others follow their places."""
    paths: dict[str, str] = {}
    tree = _pruned(read_stream(message), "", "", frozenset(gone), paths)
    return encode(tree), tuple(
        Edit(place, edit.action, edit.value) for edit in edits for place in _moved(edit.path, paths, gone)
    )


def _pruned(part: Part, path: str, place: str, gone: frozenset[str], paths: dict[str, str]) -> Part:
    """The part at `path` without those that are gone, itself to be at `place`; `paths` gets the place of every path
    that is left. It is recursive: a tree that was read is not deep."""
    paths[path] = place
    kept = [(step, node) for step, node in zip(steps(part), part.nodes, strict=True) if _under(path, step) not in gone]
    bare = Part(part.name, tuple(node for _, node in kept))
    nodes: list[Node] = []
    for (old, node), new in zip(kept, steps(bare), strict=True):
        if isinstance(node, Part):
            nodes.append(_pruned(node, _under(path, old), _under(place, new), gone, paths))
        else:
            paths[_under(path, old)] = _under(place, new)
            nodes.append(node)
    return Part(part.name, tuple(nodes))


def _under(path: str, step: str) -> str:
    return f"{path}/{step}" if path else step


def _moved(path: str, paths: dict[str, str], gone: Collection[str]) -> Iterator[str]:
    """The new path, or nothing for one in a part that is gone. A path that no node of the message has is one that
    another edit makes: it moves with the part in which it is."""
    rest: list[str] = []
    while path not in paths:
        if path in gone:
            return
        path, _, step = path.rpartition("/")
        rest.append(step)
    yield "/".join(one for one in (paths[path], *reversed(rest)) if one)


def values(message: bytes) -> dict[str, Leaf | Length]:
    """Returns the values of a message that may be made simpler, by their paths, in the order of the wire: leaves, and
    lengths with a wrong number."""
    return {
        path: node
        for path, node in walk(read_stream(message))
        if (isinstance(node, Leaf) and node.value and node.name not in _NAMES_OF_THE_FORM)
        or (isinstance(node, Length) and node.value is not None)
    }


def with_value(message: bytes, path: str, value: bytes | int) -> bytes:
    """Returns a message with other bytes in a leaf, or another number in a length; lengths that were right follow."""
    action = Action.LENGTH if isinstance(value, int) else Action.SET
    return encode(apply(read_stream(message), (Edit(path, action, value),)))


def simplest(leaf: Leaf) -> Iterator[bytes]:
    """Yields the values of a leaf that are simpler than its own, the simplest first: nothing, shorter, zero, one."""
    size = len(leaf.value)
    found: list[bytes]
    match leaf.kind:
        case Kind.NUMBER | Kind.ID:
            now = int.from_bytes(leaf.value, "little" if leaf.little else "big")
            found = [b"", *(one.to_bytes(size, "little" if leaf.little else "big") for one in (0, 1) if one < now)]
        case Kind.TITLE:
            found = [] if leaf.value.strip(b" ") == b"A" else [b"A".ljust(size)]
        case Kind.UID:
            found = [b"", *([b"1"] if size > 1 else [])]
        case Kind.RESERVED | Kind.TEXT | Kind.BYTES:
            found = [b"", bytes(size)]
        case _ as unreachable:
            assert_never(unreachable)
    yield from (one for one in found if one != leaf.value)
