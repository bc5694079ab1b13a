"""Scripts: the inputs of one side of one association as a value, which prints, shrinks and is any byte string.

Knows: steps, and their bytes. Must not know: the engine, the model.

A script is what a run of the model oracle is made from. `script_of` reads every byte string as a script, so that a
coverage-guided fuzzer can change one; `bytes_of` is its inverse: `script_of(bytes_of(script)) == script`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from .reference import Level
from .table import PROVIDER, USER

__all__ = ["MENU", "PROFILES", "Eof", "Expire", "Receive", "Say", "Script", "Step", "bytes_of", "script_of"]

PROFILES: Final = 2
"""The number of sets of limits to choose from (`running.LIMITS`)."""

MENU: Final = (
    "request", "accept", "reject", "release", "release response", "abort", "data", "last data",
    "C-STORE-RQ", "C-STORE-RSP", "C-FIND-RQ", "C-FIND-RSP", "C-GET-RQ", "C-GET-RSP", "C-MOVE-RQ", "C-MOVE-RSP",
    "C-ECHO-RQ", "C-ECHO-RSP", "C-CANCEL-RQ", "N-EVENT-REPORT-RQ", "N-EVENT-REPORT-RSP", "N-GET-RQ", "N-GET-RSP",
    "N-SET-RQ", "N-SET-RSP", "N-ACTION-RQ", "N-ACTION-RSP", "N-CREATE-RQ", "N-CREATE-RSP", "N-DELETE-RQ",
    "N-DELETE-RSP",
)  # fmt: skip
"""The primitives of the local user by name."""


@dataclass(frozen=True, slots=True)
class Receive:
    """Bytes of the peer."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Eof:
    """The peer closes the connection."""


@dataclass(frozen=True, slots=True)
class Expire:
    """Time passes until the next deadline; nothing happens where there is none."""


@dataclass(frozen=True, slots=True)
class Say:
    """A primitive of the local user: a name of `MENU`, the presentation context, the message id (or the number of
    bytes, for data), and a variant; all from 0 to 255."""

    what: str
    context: int = 1
    number: int = 1
    variant: int = 0


Step = Receive | Eof | Expire | Say


@dataclass(frozen=True, slots=True)
class Script:
    """Inputs for one engine. `profile`: which limits."""

    role: str
    level: Level
    steps: tuple[Step, ...]
    profile: int = 0

    def __str__(self) -> str:
        lines = [f"{self.role}, {self.level}, limits {self.profile}"]
        for number, step in enumerate(self.steps, 1):
            shown = f"Receive({len(step.data)} bytes: {step.data[:80].hex(' ')})" if isinstance(step, Receive) else step
            lines.append(f"  {number:2}. {shown}")
        return "\n".join(lines)


_EOF, _EXPIRE, _SAY = 0xFF, 0xFE, 0x80
_LONGEST: Final = 1 << 16
_MOST_STEPS: Final = 256
"""A longer tape says no more: the time of a run is bounded by its length."""


def bytes_of(script: Script) -> bytes:
    """Returns the tape of a script. A `Receive` of more than 65535 bytes becomes several."""
    levels: tuple[Level, Level] = ("upper layer", "association")
    head = (script.role == PROVIDER) | levels.index(script.level) << 1 | script.profile << 2
    tape = bytearray((head,))
    for step in script.steps:
        match step:
            case Receive(data):
                for at in range(0, len(data), _LONGEST - 1):
                    piece = data[at : at + _LONGEST - 1]
                    tape += b"\0" + len(piece).to_bytes(2, "big") + piece
            case Say(what, context, number, variant):
                tape += bytes((_SAY + MENU.index(what), context, number, variant))
            case Eof():
                tape.append(_EOF)
            case Expire():
                tape.append(_EXPIRE)
    return bytes(tape)


def script_of(tape: bytes) -> Script:
    """Returns the script of any byte string; what is cut off at its end is left out."""
    head = tape[0] if tape else 0
    level: Level = "association" if head & 2 else "upper layer"
    return Script(PROVIDER if head & 1 else USER, level, tuple(_steps(tape)), (head >> 2) % PROFILES)


def _steps(tape: bytes) -> Iterator[Step]:
    at = 1
    for _ in range(_MOST_STEPS):
        if at >= len(tape):
            return
        code = tape[at]
        if code == _EOF:
            yield Eof()
            at += 1
        elif code == _EXPIRE:
            yield Expire()
            at += 1
        elif code >= _SAY:
            more = tape[at + 1 : at + 4].ljust(3, b"\x01")
            yield Say(MENU[(code - _SAY) % len(MENU)], *more)
            at += 4
        else:
            size = int.from_bytes(tape[at + 1 : at + 3], "big")
            data = tape[at + 3 : at + 3 + size]
            if data:
                yield Receive(data)
            at += 3 + size
