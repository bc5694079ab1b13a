"""The parameters of faults: the values that one may have, and how it is written, put on a tape, drawn, made simpler.

Knows: numbers, seconds, bytes, words, edits. Must not know: which faults exist (`plan`).

Invariants, for every shape: `parse` reads what `text` writes, `read` reads what `write` writes, `read` accepts any
tape, and a chain of values out of `smaller` has an end. Seconds have steps of a microsecond, so that a text and a tape
hold them exactly.
"""

from __future__ import annotations

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from ..tree import Action, Edit
from .notation import Tape, Words, put_number

__all__ = ["Choice", "Edits", "Hex", "Maybe", "Prefix", "Seconds", "Shape", "Whole"]

_STEPS: Final = 1_000_000
"""Steps in a second."""
_SOME_SECONDS: Final = (0.0, 0.001, 0.04, 0.5, 1.0, 5.0, 31.0, 61.0, 301.0, 3600.0)
"""Times that are worth trying: none, network delays, and those just above the usual timeouts."""
LONGEST_NAME: Final = 200
_DECIMAL: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class Shape(ABC):
    """The values that one parameter may have."""

    @property
    @abstractmethod
    def what(self) -> str:
        """The allowed values, for an error text and for a table."""

    @abstractmethod
    def check(self, value: object) -> object:
        """Returns the value as it is kept. Raises ValueError."""

    @abstractmethod
    def parse(self, words: Words) -> object:
        """Reads the value from a line. Raises ValueError."""

    @abstractmethod
    def text(self, value: object) -> str:
        """Writes the value for a line."""

    @abstractmethod
    def read(self, tape: Tape) -> object:
        """Reads the value from a tape."""

    @abstractmethod
    def write(self, value: object, out: bytearray) -> None:
        """Writes the value on a tape."""

    @abstractmethod
    def draw(self, random: Random) -> object:
        """Draws a value that is worth trying."""

    @abstractmethod
    def smaller(self, value: object) -> Iterator[object]:
        """Yields simpler values, the simplest first."""


def _refuse(shape: Shape, value: object) -> ValueError:
    shown = ascii(value)
    return ValueError(f"{shown if len(shown) <= 40 else shown[:40] + '...'}; allowed: {shape.what}")


@dataclass(frozen=True, slots=True)
class Whole(Shape):
    """A whole number. `usual`: most of the drawn ones are not above it. `zero`: a word for 0."""

    least: int
    most: int
    usual: int
    zero: str = ""

    @property
    def what(self) -> str:
        return f"{self.zero + ' or ' if self.zero else ''}{max(self.least, 1 if self.zero else 0)} to {self.most}"

    def check(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            raise _refuse(self, value)
        return value

    def parse(self, words: Words) -> int:
        word = words.next(self.what)
        if self.zero and word == self.zero:
            return 0
        if not (word.isascii() and word.isdigit() and len(word) <= 20) or (self.zero and not int(word)):
            raise _refuse(self, word)
        return self.check(int(word))

    def text(self, value: object) -> str:
        return self.zero if self.zero and value == 0 else str(value)

    def read(self, tape: Tape) -> int:
        return self.least + tape.number(self.most - self.least)

    def write(self, value: object, out: bytearray) -> None:
        assert isinstance(value, int)
        put_number(value - self.least, self.most - self.least, out)

    def draw(self, random: Random) -> int:
        usual = min(self.usual, self.most)
        if random.random() < 0.5:
            return random.randint(self.least, min(usual, self.least + 16))
        return random.randint(self.least, usual)

    def smaller(self, value: object) -> Iterator[int]:
        assert isinstance(value, int)
        yield from dict.fromkeys(one for one in (self.least, value // 2, value - 1) if self.least <= one < value)


@dataclass(frozen=True, slots=True)
class Prefix(Shape):
    """A whole number behind a sign, `+12`; 0 is left out."""

    number: Whole

    @property
    def what(self) -> str:
        return f"nothing or +1 to +{self.number.most}"

    def check(self, value: object) -> int:
        return self.number.check(value)

    def parse(self, words: Words) -> int:
        if not words.peek().startswith("+"):
            return 0
        return self.number.parse(Words([words.next(self.what)[1:]]))

    def text(self, value: object) -> str:
        return f"+{value}" if value else ""

    def read(self, tape: Tape) -> int:
        return self.number.read(tape)

    def write(self, value: object, out: bytearray) -> None:
        self.number.write(value, out)

    def draw(self, random: Random) -> int:
        return random.choice((0, 0, 1, 5, 6, 10, self.number.draw(random)))

    def smaller(self, value: object) -> Iterator[int]:
        return self.number.smaller(value)


@dataclass(frozen=True, slots=True)
class Seconds(Shape):
    """Seconds, in steps of a microsecond. `signed`: negative ones too."""

    most: float
    signed: bool = False

    @property
    def what(self) -> str:
        return f"{f'-{self.most:g}' if self.signed else '0'} to {self.most:g} seconds"

    def check(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise _refuse(self, value)
        found = round(float(value), 6) + 0.0  # no minus zero
        if not (-self.most if self.signed else 0) <= found <= self.most:
            raise _refuse(self, value)
        return found

    def parse(self, words: Words) -> float:
        word = words.next(self.what)
        try:
            return self.check(float(word) if len(word) <= 40 and _DECIMAL.fullmatch(word) else None)
        except ValueError:
            raise _refuse(self, word) from None

    def text(self, value: object) -> str:
        assert isinstance(value, float)
        plain = f"{value:.6f}".rstrip("0").rstrip(".")
        return f"+{plain}" if self.signed and value >= 0 else plain

    def read(self, tape: Tape) -> float:
        steps = int(self.most * _STEPS)
        if not self.signed:
            return tape.number(steps) / _STEPS
        folded = tape.number(2 * steps)
        return (-((folded + 1) >> 1) if folded & 1 else folded >> 1) / _STEPS

    def write(self, value: object, out: bytearray) -> None:
        assert isinstance(value, float)
        steps, number = int(self.most * _STEPS), round(value * _STEPS)
        if not self.signed:
            put_number(number, steps, out)
        else:
            put_number(-2 * number - 1 if number < 0 else 2 * number, 2 * steps, out)

    def draw(self, random: Random) -> float:
        found = min(random.choice((*_SOME_SECONDS, round(random.uniform(0, 2), 3))), self.most)
        return -found if self.signed and random.random() < 0.5 else found

    def smaller(self, value: object) -> Iterator[float]:
        assert isinstance(value, float)
        size = abs(value)
        candidates = [0.0, size] if value < 0 else [0.0]
        candidates.append(math.copysign(float(int(size)), value) + 0.0)
        candidates.append(math.copysign(float(int(size / 2)), value) + 0.0)
        simpler = (one for one in candidates if (abs(one), one < 0) < (size, value < 0))
        yield from dict.fromkeys(simpler)


@dataclass(frozen=True, slots=True)
class Hex(Shape):
    """Bytes, at least one, written in hexadecimal; all words to the end of the line."""

    most: int

    @property
    def what(self) -> str:
        return f"1 to {self.most} bytes in hexadecimal"

    def check(self, value: object) -> bytes:
        if not isinstance(value, bytes) or not 1 <= len(value) <= self.most:
            raise _refuse(self, value)
        return value

    def parse(self, words: Words) -> bytes:
        found = words.next(self.what)
        while words.left:
            found += words.next(self.what)
        try:
            return self.check(bytes.fromhex(found))
        except ValueError:
            raise _refuse(self, found) from None

    def text(self, value: object) -> str:
        assert isinstance(value, bytes)
        return value.hex()

    def read(self, tape: Tape) -> bytes:
        size = 1 + tape.number(self.most - 1)
        return tape.bytes(size) or b"\0"

    def write(self, value: object, out: bytearray) -> None:
        assert isinstance(value, bytes)
        put_number(len(value) - 1, self.most - 1, out)
        out += value

    def draw(self, random: Random) -> bytes:
        size = min(self.most, random.choice((1, 1, 2, 4, 6, 10, random.randint(1, 64))))
        return random.choice((bytes(size), b"\xff" * size, random.randbytes(size), random.randbytes(size)))

    def smaller(self, value: object) -> Iterator[bytes]:
        assert isinstance(value, bytes)
        if len(value) > 1:
            yield from dict.fromkeys((value[:1], value[: len(value) // 2], value[:-1]))
        if any(value):
            yield bytes(len(value))


@dataclass(frozen=True, slots=True)
class Choice(Shape):
    """One of some words; the first is the simplest."""

    words: tuple[str, ...]

    @property
    def what(self) -> str:
        return ", ".join(self.words)

    def check(self, value: object) -> str:
        if not isinstance(value, str) or value not in self.words:
            raise _refuse(self, value)
        return value

    def parse(self, words: Words) -> str:
        return self.check(words.next(self.what))

    def text(self, value: object) -> str:
        return str(value)

    def read(self, tape: Tape) -> str:
        return self.words[tape.number(len(self.words) - 1)]

    def write(self, value: object, out: bytearray) -> None:
        assert isinstance(value, str)
        put_number(self.words.index(value), len(self.words) - 1, out)

    def draw(self, random: Random) -> str:
        return random.choice(self.words)

    def smaller(self, value: object) -> Iterator[str]:
        if value != self.words[0]:
            yield self.words[0]


@dataclass(frozen=True, slots=True)
class Maybe(Shape):
    """Another shape or None, which is written as nothing at the end of a line."""

    shape: Shape

    @property
    def what(self) -> str:
        return f"nothing or {self.shape.what}"

    def check(self, value: object) -> object:
        return None if value is None else self.shape.check(value)

    def parse(self, words: Words) -> object:
        return self.shape.parse(words) if words.left else None

    def text(self, value: object) -> str:
        return "" if value is None else self.shape.text(value)

    def read(self, tape: Tape) -> object:
        return self.shape.read(tape) if tape.number(1) else None

    def write(self, value: object, out: bytearray) -> None:
        put_number(int(value is not None), 1, out)
        if value is not None:
            self.shape.write(value, out)

    def draw(self, random: Random) -> object:
        return None if random.random() < 0.3 else self.shape.draw(random)

    def smaller(self, value: object) -> Iterator[object]:
        if value is not None:
            yield None
            yield from self.shape.smaller(value)


VALUES: Final = {
    Action.SET: "bytes", Action.LENGTH: "number", Action.DELETE: "", Action.REPEAT: "", Action.INSERT: "bytes",
    Action.SWAP: "", Action.CUT: "number",
}  # fmt: skip
"""Action -> the kind of its value."""
BYTES: Final = Hex(1 << 16)
NUMBER: Final = Whole(0, 0xFFFFFFFF, 1 << 16)
_ACTIONS: Final = Choice(tuple(action.value for action in Action))


@dataclass(frozen=True, slots=True)
class Edits(Shape):
    """An edit of a PDU's tree (`tree.Edit`): the path in quotation marks, the action, and its value."""

    @property
    def what(self) -> str:
        return f'a path in quotation marks, as "presentation context#2/length", and an action: {_ACTIONS.what}'

    def check(self, value: object) -> Edit:
        if not isinstance(value, Edit) or not _is_name(value.path):
            raise _refuse(self, value)
        kind = VALUES[value.action]
        if kind == "bytes":
            if value.value != b"":
                BYTES.check(value.value)
        elif kind == "number":
            NUMBER.check(value.value)
        elif value.value is not None:
            raise _refuse(self, value)
        return value

    def parse(self, words: Words) -> Edit:
        path, action = _quoted(self, words), Action(_ACTIONS.parse(words))
        kind = VALUES[action]
        value: bytes | int | None = None
        if kind == "bytes":
            value = BYTES.parse(words) if words.left else b""
        elif kind == "number":
            value = NUMBER.parse(words)
        return self.check(Edit(path, action, value))

    def text(self, value: object) -> str:
        assert isinstance(value, Edit)
        shown = value.value.hex() if isinstance(value.value, bytes) else "" if value.value is None else str(value.value)
        return f"{json.dumps(value.path)} {value.action.value} {shown}".rstrip()

    def read(self, tape: Tape) -> Edit:
        path = tape.bytes(tape.number(LONGEST_NAME)).decode("utf-8", "ignore")
        action = Action(_ACTIONS.read(tape))
        kind = VALUES[action]
        if kind == "bytes":
            return Edit(path, action, tape.bytes(tape.number(BYTES.most)))
        return Edit(path, action, NUMBER.read(tape) if kind == "number" else None)

    def write(self, value: object, out: bytearray) -> None:
        assert isinstance(value, Edit)
        path = value.path.encode()
        put_number(len(path), LONGEST_NAME, out)
        out += path
        _ACTIONS.write(value.action.value, out)
        if isinstance(value.value, bytes):
            put_number(len(value.value), BYTES.most, out)
            out += value.value
        elif value.value is not None:
            NUMBER.write(value.value, out)

    def draw(self, random: Random) -> Edit:
        path = random.choice(("", "length", "type", "PDV", "PDV/length", "PDV/context", "presentation context",
                              "presentation context/length", "user information", "called AE title"))  # fmt: skip
        action = Action(_ACTIONS.draw(random))
        kind = VALUES[action]
        value = BYTES.draw(random) if kind == "bytes" else NUMBER.draw(random) if kind == "number" else None
        return Edit(path, action, value)

    def smaller(self, value: object) -> Iterator[Edit]:
        assert isinstance(value, Edit)
        if isinstance(value.value, bytes):
            if value.value:
                yield Edit(value.path, value.action, b"")
                yield from (Edit(value.path, value.action, one) for one in BYTES.smaller(value.value))
        elif value.value is not None:
            yield from (Edit(value.path, value.action, one) for one in NUMBER.smaller(value.value))


def _is_name(text: str) -> bool:
    """Returns True for a text that a tape can hold."""
    try:
        return len(text.encode()) <= LONGEST_NAME
    except UnicodeEncodeError:
        return False


def _quoted(shape: Shape, words: Words) -> str:
    word = words.next(shape.what)
    try:
        found = json.loads(word)
    except ValueError:
        found = None
    if not isinstance(found, str):
        raise _refuse(shape, word)
    return found
