"""Structure-aware changes: wrong lengths, ids, counts, names and orders, one at a time or together.

Knows: which wrong values are worth trying for each kind of field: those around the limits of PS3.8 9.3 and of PS3.5
6.2, and what peers in the field were seen to get wrong. Must not know: what a peer answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

from ..tree import ROOT, Action, Edit, Kind, Leaf, Length, Node, Part, encode, lengths, walk

__all__ = ["TITLES", "UIDS", "change", "changes"]

UIDS: Final = (
    b"",
    b"1",
    b"1." * 32 + b"1",  # 65 characters
    b"1" * 255,
    b"1.2.840.10008.1.1\x00\x00",
    b"1.2.840.10008.1.1 ",
    b"1.02.3",
    b"1..2",
    b".",
    b"..",
    b"../../../../tmp/x",
    b"/etc/passwd",
    b"1.2\x00.3",
    b"1.2.\xc3\xa4",
    b"$(id)",
    b"%s%n%x",
    b"9" * 64,
)
"""Invalid or unusual UIDs: too long, padded, path-like, with metacharacters."""
TITLES: Final = (
    b" " * 16,
    b"\x00" * 16,
    b"A" * 16,
    b"../../../../tmp ",
    b"a/b\\c           ",
    b"%s%n%x%p        ",
    b"$(id);`id`|id   ",
    b"\x1b[31mRED\x07      ",
    b"\xc3\xa4\xc3\xb6\xc3\xbc          ",
)
_BYTES: Final = (b"", b"\x00", b"\xff", b"\x00" * 4, b"\xff" * 4, b"A" * 300)
_UNKNOWN_ITEM: Final = bytes.fromhex("99000000")
_DEEPEST: Final = 1 << 16
"""Bytes of a value that are changed inside, so that a change of a long value costs no more."""


def changes(tree: Node) -> Iterator[Edit]:
    """Yields every single change of a tree that is worth trying, in the order of the wire: a few for each node."""
    right = lengths(tree)
    for path, node in walk(tree):
        if isinstance(node, Length):
            for number in _lengths(node, *right[path]):
                yield Edit(path, Action.LENGTH, number)
        elif path != ROOT:
            yield from _of_node(path, node)


def _of_node(path: str, node: Leaf | Part) -> Iterator[Edit]:
    if isinstance(node, Part):
        yield Edit(path, Action.DELETE)
        yield Edit(path, Action.REPEAT)
        yield Edit(path, Action.SWAP)
        yield Edit(path, Action.INSERT, _UNKNOWN_ITEM)
        size = len(encode(node))
        for cut in sorted({cut for cut in (1, size // 2, size - 1) if 0 <= cut < size}):
            yield Edit(path, Action.CUT, cut)
        return
    for value in _values(node):
        if value != node.value:
            yield Edit(path, Action.SET, value)


def _lengths(node: Length, right: int, behind: int) -> Iterator[int]:
    """Wrong numbers: none, one, the greatest, those around signs and powers, those beside the right one, the first that
    reaches behind the part around it [fault kind F5], and the right one in the other byte order [F4]."""
    most = (1 << 8 * node.width) - 1
    swapped = int.from_bytes(right.to_bytes(8, "big")[-node.width :], "little")
    beside = {right - 1, right + 1, right + 2, right, right + behind + 1, swapped}
    fixed = {0, 1, 2, 3, 7, most >> 1, (most >> 1) + 1, most - 1, most, 0x4000 & most, 0x10001 & most}
    now = right if node.value is None else node.value
    yield from sorted(number for number in fixed | beside if 0 <= number <= most and number != now)


def _values(leaf: Leaf) -> Iterator[bytes]:
    width = len(leaf.value)
    match leaf.kind:
        case Kind.UID:
            yield from UIDS
        case Kind.TITLE:
            yield from TITLES
        case Kind.NUMBER | Kind.ID:
            most = (1 << 8 * width) - 1
            now = int.from_bytes(leaf.value, "little" if leaf.little else "big")
            for number in sorted({one & most for one in (0, 1, 2, most, most >> 1, now + 1, now - 1, now ^ 0x80)}):
                yield number.to_bytes(width, "little" if leaf.little else "big")
        case Kind.RESERVED:
            yield b"\xff" * width
        case Kind.TEXT | Kind.BYTES:
            yield from _BYTES
            yield leaf.value[:-1]
            yield leaf.value + b"\x00"


_FIELDS: Final = 512
"""Nodes of one tree among which a random change chooses: more are left alone, so that a change has a bounded cost."""


def change(tree: Node, random: Random) -> Edit | None:
    """Returns one random change of a tree; None if it has nothing to change."""
    nodes = []
    for found in walk(tree):
        nodes.append(found)
        if len(nodes) > _FIELDS:
            break
    if len(nodes) < 2:
        return None
    path, node = nodes[random.randrange(1, len(nodes))]
    if isinstance(node, Length):
        right, behind = lengths(tree)[path]
        if random.random() < 0.3:
            return Edit(path, Action.LENGTH, max(0, right + random.choice((-2, -1, 1, 2, 4, 6))))
        numbers = [*_lengths(node, right, behind), random.randrange(1 << 8 * node.width)]
        return Edit(path, Action.LENGTH, random.choice(numbers))
    if isinstance(node, Part):
        action = random.choice((Action.DELETE, Action.REPEAT, Action.SWAP, Action.INSERT, Action.CUT))
        if action is Action.CUT:
            return Edit(path, action, random.randrange(max(1, min(len(encode(node)), _DEEPEST))))
        if action is Action.INSERT:
            others = [one for _, one in nodes if isinstance(one, Part)]
            inserted = encode(random.choice(others)) if others and random.random() < 0.7 else _UNKNOWN_ITEM
            return Edit(path, action, inserted[:_DEEPEST])
        return Edit(path, action)
    if random.random() < 0.6:
        return Edit(path, Action.SET, random.choice([*_values(node)]))
    return Edit(path, Action.SET, _scrambled(node.value[:_DEEPEST], random))


def _scrambled(value: bytes, random: Random) -> bytes:
    """The bytes with a flip, an insertion, a deletion or a repeated block [fault kind F4]."""
    if not value:
        return random.randbytes(random.randrange(1, 9))
    at = random.randrange(len(value))
    match random.randrange(4):
        case 0:
            return value[:at] + bytes((value[at] ^ 1 << random.randrange(8),)) + value[at + 1 :]
        case 1:
            return value[:at] + random.randbytes(random.randrange(1, 9)) + value[at:]
        case 2:
            return value[:at] + value[at + random.randrange(1, 9) :]
        case _:
            return value[:at] + value[at : at + 16] * random.randrange(2, 9) + value[at:]
