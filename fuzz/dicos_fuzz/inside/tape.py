"""Byte tapes: a target reads everything that it decides from one, so that a tape is a test case.

Knows: how numbers, choices, changes of the grammar and messages are read from bytes. Must not know: what a target
does with them.

Invariants: every tape can be read, of any length: beyond its end it is all zeros, and zero is always the plain choice.
So a tape that is cut, or filled with zeros, shows a simpler case: this is what makes findings small, and what
Hypothesis and coverage-guided fuzzers build on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from random import Random
from typing import Final, SupportsIndex, TypeVar

from ..grammar.changing import change
from ..tree import Node, Part, apply, encode

__all__ = ["STRUCTURED", "Bases", "Tape", "raw"]

T = TypeVar("T")

STRUCTURED: Final = 0x80
"""The first byte of an input from which it is a base with changes; below, the bytes that follow are the input."""
_CHANGES: Final = 4


class Tape:
    """Reads a tape from its beginning to its end."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        """Returns the next byte, 0 beyond the end."""
        at = self._at
        self._at = at + 1
        return self._data[at] if at < len(self._data) else 0

    def below(self, bound: int) -> int:
        """Returns a number from 0 to `bound` - 1; it takes one byte where that is enough, else two or four."""
        if bound <= 0x100:
            return self.byte() % max(bound, 1)
        return int.from_bytes(self.take(2 if bound <= 0x10000 else 4), "big") % bound

    def pick(self, values: Sequence[T]) -> T:
        """Returns one of several values, by one byte (two if there are more than 256)."""
        return values[self.below(len(values))]

    def take(self, count: int) -> bytes:
        """Returns the next `count` bytes, filled with zeros beyond the end."""
        at = self._at
        self._at = at + count
        return self._data[at : at + count].ljust(count, b"\0")

    def rest(self) -> bytes:
        """Returns all bytes that are not read yet."""
        at = self._at
        self._at = max(at, len(self._data))
        return self._data[at:]

    def random(self) -> Random:
        """Returns a source of random numbers that reads this tape."""
        return _TapeRandom(self)


class _TapeRandom(Random):
    """Random numbers out of a tape: what the tape does not have is zero, the least."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape  # no other state: every number comes from `random` and `getrandbits`

    def random(self) -> float:
        return self._tape.byte() / 256

    def getrandbits(self, k: SupportsIndex, /) -> int:
        bits = k.__index__()
        return int.from_bytes(self._tape.take((bits + 7) // 8), "big") & ((1 << bits) - 1)

    def randbytes(self, n: int) -> bytes:
        return self._tape.take(n)


class Bases:
    """Valid inputs of a target, as bytes and as trees, and what a tape makes of them.

    `make` returns the inputs, when they are first needed; `read` returns the tree of one.
    """

    def __init__(self, make: Callable[[], Iterable[bytes]], read: Callable[[bytes], Node]) -> None:
        self._make = make
        self._read = read
        self._trees: dict[int, Node] = {}

    @cached_property
    def all(self) -> tuple[bytes, ...]:
        """The inputs."""
        return tuple(self._make())

    def take(self, tape: Tape) -> bytes:
        """Returns the input that the tape says: its bytes, or a base with up to four changes."""
        kind = tape.byte()
        if kind < STRUCTURED:
            return tape.rest()
        number = tape.below(len(self.all))
        return self._changed(number, kind % (_CHANGES + 1), tape.random())

    def made(self, random: Random, number: int | None = None) -> bytes:
        """Returns an input, the one of this number or any, with one to four changes; `raw` makes a tape of it."""
        if number is None:
            number = random.randrange(len(self.all))
        return self._changed(number, 1 + random.randrange(_CHANGES), random)

    def grown(self, random: Random, longest: int) -> bytes:
        """Returns a valid input with one of its parts many times over, up to about `longest` bytes."""
        number = random.randrange(len(self.all))
        size = int(longest ** (0.5 + random.random() / 2))
        return encode(_grown(self._tree(number), random, size))[:longest]

    def _tree(self, number: int) -> Node:
        tree = self._trees.get(number)
        if tree is None:
            tree = self._trees[number] = self._read(self.all[number])
        return tree

    def _changed(self, number: int, changes: int, random: Random) -> bytes:
        if not changes:
            return self.all[number]
        tree = self._tree(number)
        for _ in range(changes):
            edit = change(tree, random)
            if edit is not None:
                tree = apply(tree, (edit,))
        return encode(tree)


def _grown(node: Node, random: Random, size: int) -> Node:
    """The tree with one part, or one leaf, repeated to about `size` bytes; lengths follow."""
    if not isinstance(node, Part) or not node.nodes:
        return node
    parts = [index for index, one in enumerate(node.nodes) if isinstance(one, Part)]
    index = random.choice(parts) if parts and random.random() < 0.8 else random.randrange(len(node.nodes))
    child = node.nodes[index]
    if isinstance(child, Part) and random.random() < 0.6:
        return replace(node, nodes=(*node.nodes[:index], _grown(child, random, size), *node.nodes[index + 1 :]))
    times = max(1, size // max(len(encode(child)), 1))
    return replace(node, nodes=(*node.nodes[:index], *(child,) * times, *node.nodes[index + 1 :]))


def raw(head: bytes, given: bytes) -> bytes:
    """Returns the tape of an input as it is, after `head`, the decisions that the target reads first."""
    return head + b"\0" + given
