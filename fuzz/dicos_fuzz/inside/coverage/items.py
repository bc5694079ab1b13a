"""The items of an A-ASSOCIATE as they are, damaged or not: which were seen in which way.

Knows: the layout of items and sub-items [PS3.8 9.3, annex D; PS3.7 D.3.3]. Must not know: what the engine makes of
them. Invariants: no bytes raise an error; it takes linear time and looks at 4096 items at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from .catalogue import WAYS

__all__ = ["ways_of_associate"]

_MOST: Final = 4096
_TOP: Final = {0x10: "10 application context", 0x50: "50 user information"}
_CONTEXT: Final = {1: (0x20, "20 presentation context (RQ)"), 2: (0x21, "21 presentation context (AC)")}
_OF_CONTEXT: Final = {
    1: {0x30: "30 abstract syntax", 0x40: "40 transfer syntax (RQ)"},
    2: {0x40: "40 transfer syntax (AC)"},
}
_OF_USER: Final = {
    0x51: "51 maximum length", 0x52: "52 implementation class", 0x53: "53 operations window", 0x54: "54 role selection",
    0x55: "55 implementation version", 0x56: "56 extended negotiation", 0x57: "57 common extended negotiation",
    0x58: "58 user identity", 0x59: "59 user identity response",
}  # fmt: skip
_UNKNOWN: Final = ("unknown item", "unknown item of a context", "unknown item of user information")
_VALID, _LENGTH, _TWICE, _MISSING = WAYS["v"], WAYS["l"], WAYS["t"], WAYS["m"]


def ways_of_associate(kind: int, body: bytes, *, accepted: bool) -> set[str]:
    """Returns the keys of the kind `item` that the body of an A-ASSOCIATE-RQ (1) or -AC (2) shows. `accepted`: the
    engine has read it without a fault, so what fits in it is valid."""
    found = _Ways(accepted)
    number, context = _CONTEXT[kind]
    names = {**_TOP, number: context}
    for item, value in found.level(body[68:], names, _UNKNOWN[0]):
        if item == number:
            for _ in found.level(value[4:], _OF_CONTEXT[kind], _UNKNOWN[1]):
                pass
        elif item == 0x50:
            for sub, inside in found.level(value, _OF_USER, _UNKNOWN[2]):
                if not _fits(sub, inside):
                    found.keys.add(f"{_OF_USER[sub]} {_LENGTH}")
    return found.keys


class _Ways:
    def __init__(self, accepted: bool) -> None:
        self.keys: set[str] = set()
        self._accepted = accepted
        self._left = _MOST

    def level(self, data: bytes, names: dict[int, str], unknown: str) -> Iterator[tuple[int, bytes]]:
        """Yields the known items of one level that lie in it; notes all, those that are missing too."""
        seen: Counter[str] = Counter()
        at = 0
        while at < len(data) and self._left:
            self._left -= 1
            name = names.get(data[at], unknown)
            end = at + 4 + int.from_bytes(data[at + 2 : at + 4], "big")
            seen[name] += 1
            if at + 4 > len(data) or end > len(data):
                self.keys.add(f"{name} {_LENGTH}")
                break
            if self._accepted:
                self.keys.add(f"{name} {_VALID}")
            if data[at] in names:
                yield data[at], data[at + 4 : end]
            at = end
        self.keys.update(f"{name} {_TWICE}" for name, count in seen.items() if count > 1)
        self.keys.update(f"{name} {_MISSING}" for name in names.values() if not seen[name])


def _fits(sub: int, value: bytes) -> bool:
    """Returns True if the fields of a sub-item fill it."""
    match sub:
        case 0x51 | 0x53:
            return len(value) == 4
        case 0x54:
            return _sized(value, 1) == 2
        case 0x55:
            return 1 <= len(value) <= 16
        case 0x56:
            return _sized(value, 1) >= 0
        case 0x57:
            return _sized(value, 3) >= 0
        case 0x58:
            return len(value) >= 2 and _sized(value[2:], 2) == 0
        case 0x59:
            return _sized(value, 1) == 0
        case _:
            return True


def _sized(value: bytes, count: int) -> int:
    """Bytes after this many fields with a length of two bytes before each; negative if they do not fit."""
    left = value
    for _ in range(count):
        size = 2 + int.from_bytes(left[:2], "big")
        if len(left) < size:
            return -1
        left = left[size:]
    return len(left)
