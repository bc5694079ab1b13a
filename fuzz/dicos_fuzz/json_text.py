"""JSON from outside: files of another origin, parsed within bounds, and the values in them, checked one by one.

Knows: JSON, bounds, how a fault is described. Must not know: what a file means (`conversation`, `findings.reproducer`).

Invariants: whatever the bytes are, the result is a value or `DamagedFile`, whose text says what was seen, what was
allowed and where; memory is at most some ten times the bytes that were allowed, time is linear in them. Bytes, values
and depth are counted before anything is parsed. Every reader takes the place of its value, as "step 3: gap".
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

__all__ = [
    "MOST_BYTES",
    "MOST_DEPTH",
    "MOST_VALUES",
    "DamagedFile",
    "choice",
    "fields",
    "flag",
    "hexadecimal",
    "items",
    "number",
    "parse",
    "read_file",
    "seen",
    "text",
    "try_folder",
    "whole",
    "write_file",
    "written",
]

MOST_BYTES: Final = 16 << 20
"""Bytes of a file. Stops: a reproducer of a gigabyte."""
MOST_VALUES: Final = 200_000
"""Values of a file, keys included, each of which takes some hundred bytes. Stops: sixteen megabytes of `[[],[],[]`."""
MOST_DEPTH: Final = 32
"""Objects and lists inside each other. Stops: a file of brackets that exhausts the stack."""
_MOST_DIGITS: Final = 40
_SHOWN: Final = 40


class DamagedFile(ValueError):
    """A reproducer, a corpus entry or a saved campaign that cannot be read; the text names the place."""


def read_file(path: Path, *, most_bytes: int = MOST_BYTES, most_values: int = MOST_VALUES) -> object:
    """Returns the JSON value of a file. Raises `DamagedFile`, and OSError if the file cannot be read."""
    with open(path, "rb") as file:
        raw = file.read(most_bytes + 1)
    if len(raw) > most_bytes:
        raise DamagedFile(f"more than {most_bytes:,} bytes, the most that is read")
    return parse(raw, most_values=most_values)


def written(value: object) -> bytes:
    """Returns a JSON value as an indented text in ASCII."""
    return (json.dumps(value, indent=1, ensure_ascii=True) + "\n").encode("ascii")


def write_file(path: Path, raw: bytes) -> None:
    """Writes a file, complete or not at all: no reader ever sees half of it. A device or a pipe is written to as it is,
    and not replaced by a file. Raises OSError."""
    if path.exists() and not path.is_file() and not path.is_dir():
        path.write_bytes(raw)
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(raw)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def try_folder(folder: Path) -> None:
    """Writes and removes a file in a folder: `write_file` will be able to. Raises OSError."""
    beside = folder / f".tried.{os.getpid()}"
    try:
        beside.write_bytes(b"")
    finally:
        beside.unlink(missing_ok=True)


_TOKENS: Final = re.compile(r'"(?:[^"\\]++|\\.|\\\Z)*+(?:"|\Z)|[\[{]|[\]}]|[,:]', re.DOTALL)


def parse(raw: bytes, *, most_values: int = MOST_VALUES) -> object:
    """Returns the value of a JSON text. Raises `DamagedFile` for any other, for a key that an object has twice, for NaN
    and infinity, and for a text above the bounds."""
    try:
        found = raw.decode()
    except UnicodeDecodeError as error:
        raise DamagedFile(f"byte {error.start}: not UTF-8") from None
    _check_bounds(found, most_values)
    try:
        return json.loads(
            found, object_pairs_hook=_object, parse_int=_int, parse_float=_float, parse_constant=_constant
        )
    except json.JSONDecodeError as error:
        raise DamagedFile(f"line {error.lineno}, column {error.colno}: {error.msg}") from None


def _check_bounds(found: str, most_values: int) -> None:
    depth, values, strings = 0, 1, 0
    for token in _TOKENS.finditer(found):
        match found[token.start()]:
            case "[" | "{":
                depth += 1
                values += 1
            case "]" | "}":
                depth -= 1
            case '"':
                strings += 1
            case _:
                values += 1
        if depth < 0 or strings > values:  # no JSON: the parser finds the place
            return
        if depth > MOST_DEPTH:
            raise DamagedFile(f"{_place(found, token.start())}: nested more than {MOST_DEPTH} deep")
        if values > most_values:
            raise DamagedFile(f"{_place(found, token.start())}: more than {most_values:,} values")


def _place(found: str, at: int) -> str:
    return f"line {found.count(chr(10), 0, at) + 1}, column {at - found.rfind(chr(10), 0, at)}"


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys: set[str] = set()
        for key, _ in pairs:
            if key in keys:
                raise DamagedFile(f"an object has {seen(key)} twice")
            keys.add(key)
    return made


def _int(word: str) -> int:
    return int(_short(word))


def _float(word: str) -> float:
    return float(_short(word))


def _short(word: str) -> str:
    if len(word) > _MOST_DIGITS:
        raise DamagedFile(f"the number {word[:12]}... has {len(word)} digits; at most {_MOST_DIGITS}")
    return word


def _constant(word: str) -> object:
    raise DamagedFile(f"{word}: not a number of JSON")


# -- the values ----------------------------------------------------------------------------------------------------


def seen(value: object) -> str:
    """Returns a value of JSON for an error, short and in ASCII, for values of every type."""
    match value:
        case str():
            return ascii(value[:_SHOWN]) + ("..." if len(value) > _SHOWN else "")
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case int() | float():
            return str(value)
        case list():
            return f"a list of {len(value)}"
        case dict():
            return f"an object of {len(value)}"
        case _:
            return type(value).__name__


def _refuse(where: str, value: object, allowed: str) -> DamagedFile:
    return DamagedFile(f"{where}: {seen(value)}; expected {allowed}")


def fields(value: object, where: str, known: Collection[str] | None = None) -> dict[str, object]:
    """Returns an object's fields. `known`: the only names that it may have, None for any."""
    if not isinstance(value, dict):
        raise _refuse(where, value, "an object")
    for name in value if known is not None else ():
        if name not in (known or ()):
            raise DamagedFile(f"{where}: it has no {seen(name)}; it may have {', '.join(known or ())}")
    return value


def items(value: object, where: str, most: int = MOST_VALUES) -> list[object]:
    """Returns a list, of at most `most` values."""
    if not isinstance(value, list):
        raise _refuse(where, value, "a list")
    if len(value) > most:
        raise _refuse(where, value, f"at most {most:,}")
    return value


def text(value: object, where: str, most: int = 4096) -> str:
    """Returns a text of at most `most` characters, without half of a surrogate pair, which no encoding can write."""
    if not isinstance(value, str):
        raise _refuse(where, value, "a text")
    if len(value) > most:
        raise DamagedFile(f"{where}: a text of {len(value):,} characters; at most {most:,}")
    if any("\ud800" <= one <= "\udfff" for one in value):
        raise _refuse(where, value, "a text without halves of surrogate pairs")
    return value


def choice(value: object, where: str, allowed: Collection[str]) -> str:
    """Returns one of the allowed words."""
    if not isinstance(value, str) or value not in allowed:
        raise _refuse(where, value, f"one of {', '.join(allowed)}")
    return value


def number(value: object, where: str, most: float) -> float:
    """Returns a number from 0 to `most`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise _refuse(where, value, f"a number from 0 to {most:,}")
    return float(value)


def whole(value: object, where: str, most: int) -> int:
    """Returns a whole number from 0 to `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise _refuse(where, value, f"a whole number from 0 to {most:,}")
    return value


def flag(value: object, where: str) -> bool:
    """Returns true or false."""
    if not isinstance(value, bool):
        raise _refuse(where, value, "true or false")
    return value


def hexadecimal(value: object, where: str) -> bytes:
    """Returns the bytes of a hexadecimal text, in which spaces may stand between bytes."""
    try:
        if isinstance(value, str):
            return bytes.fromhex(value)
    except ValueError:
        pass
    raise _refuse(where, value, "bytes in hexadecimal")
