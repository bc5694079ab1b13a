"""Random changes of tapes that know nothing of their structure: flips, numbers, blocks, repetition, splices.

Knows: bytes, and words that a target names. Must not know: what a tape means.

Invariants: the same random numbers give the same tape; a tape is never longer than `longest`.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

__all__ = ["bloated", "mutated"]

_EDGES: Final = (0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 63, 64, 65, 67, 68, 127, 128, 129, 254, 255)
_WIDE: Final = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x3FFF, 0x4000, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 0x10000, 0x7FFFFFFF,
                0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)  # fmt: skip
_BLOAT: Final = 1 / 96
"""The part of mutations that repeat a block often: what costs too much shows only in long inputs."""


def mutated(tape: bytes, random: Random, *, others: Sequence[bytes], words: Sequence[bytes], longest: int) -> bytes:
    """Returns a tape with one to eight changes. `others`: tapes to splice from; `words`: bytes to put in."""
    draw = random.random
    for _ in range(1 << int(draw() * 3.4)):
        size = len(tape)
        if not size:
            tape = random.randbytes(1 + int(draw() * 16))
            continue
        at = int(draw() * size)
        kind = int(draw() * 12)
        if kind < 3:
            tape = b"%b%c%b" % (tape[:at], tape[at] ^ (1 << int(draw() * 8)), tape[at + 1 :])
        elif kind == 3:
            tape = b"%b%c%b" % (tape[:at], _EDGES[int(draw() * len(_EDGES))], tape[at + 1 :])
        elif kind == 4:
            tape = b"%b%c%b" % (tape[:at], int(draw() * 256), tape[at + 1 :])
        elif kind == 5:
            tape = _number(tape, at, random)
        elif kind == 6:
            tape = tape[:at] + tape[at + 1 + int(draw() * draw() * (size - at)) :]
        elif kind == 7:
            end = at + 1 + int(draw() * draw() * (size - at))
            tape = tape[:end] + tape[at:end] * (1 + int(draw() * 3)) + tape[end:]
        elif kind == 8:
            tape = tape[:at] + random.randbytes(1 + int(draw() * 8)) + tape[at:]
        elif kind == 9 and words:
            word = words[int(draw() * len(words))]
            tape = tape[:at] + word + tape[at + (len(word) if draw() < 0.5 else 0) :]
        elif kind == 10 and others:
            tape = _spliced(tape, at, others[int(draw() * len(others))], random)
        else:
            other = int(draw() * size)
            tape = tape[:at] + tape[other : other + 1 + int(draw() * 32)] + tape[at:]
    if draw() < _BLOAT:
        tape = bloated(tape, random, longest)
    return tape[:longest]


def _number(tape: bytes, at: int, random: Random) -> bytes:
    """A number of two or four bytes set to an edge, or moved a little, in either byte order."""
    width = 2 if random.random() < 0.5 else 4
    old = tape[at : at + width]
    order = "little" if random.random() < 0.4 else "big"
    if random.random() < 0.5:
        number = _WIDE[int(random.random() * len(_WIDE))]
    else:
        number = int.from_bytes(old, order) + int(random.random() * 33) - 16  # type: ignore[arg-type]
    return tape[:at] + (number % (1 << 8 * len(old))).to_bytes(len(old), order) + tape[at + len(old) :]  # type: ignore[arg-type]


def _spliced(tape: bytes, at: int, other: bytes, random: Random) -> bytes:
    begin = int(random.random() * (len(other) + 1))
    if random.random() < 0.5:
        return tape[:at] + other[begin:]
    return tape[:at] + other[begin : begin + 1 + int(random.random() * 64)] + tape[at:]


def bloated(tape: bytes, random: Random, longest: int) -> bytes:
    """Returns the tape with one of its blocks many times over, at most `longest` bytes."""
    if not tape:
        return tape
    at = int(random.random() * len(tape))
    end = min(len(tape), at + 1 + int(random.random() ** 2 * 64))
    room = max(longest - len(tape), 0) // (end - at)
    times = int((room + 1) ** random.random())
    return tape[:end] + tape[at:end] * times + tape[end:]
