"""Checks of a caller's arguments that Python accepts and misunderstands.

A str is a collection as well, of characters: `title in "ARCHIVE"` is True for "ARCH". An object of a wrong type is
often noticed only when a peer connects, far from the mistake. A type checker reports both; these checks are for callers
without one.

Knows: how to describe an argument. Must not know: what it is for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import Enum
from typing import Final

__all__ = ["check_function", "check_kind", "check_mapping", "check_not", "check_several", "kind_of", "one_for_many"]

_WRITTEN: Final = {"tuple": "({!r},)", "frozenset": "frozenset({{{!r}}})", "list": "[{!r}]"}


def one_for_many(given: object, call: str, of: str, form: str = "tuple", *, hint: str = "") -> None:
    """Refuses a str or bytes in place of several values; anything else is accepted.

    `call`: how the argument is written, such as `propose({})`. `of`: what the values are. `form`: the collection to
    suggest, `tuple`, `frozenset` or `list`. `hint`: what to say in place of that suggestion, with {} for the text.
    Raises TypeError."""
    if isinstance(given, str | bytes | bytearray):
        if not hint and _is_short(given):
            hint = f"; write {_WRITTEN[form].format(given)}"
        else:
            hint = _written(hint, given)
        raise TypeError(f"{_written(call, given)}: {_kind(given)} in place of a {form} of {of}{hint}")


def check_several(given: object, call: str, of: str, form: str = "tuple") -> None:
    """Like `one_for_many`, and refuses everything that is not a collection: also an iterator, which is empty the
    second time. Raises TypeError."""
    if type(given) is tuple:
        return
    one_for_many(given, call, of, form)
    if not isinstance(given, Collection):
        raise TypeError(f"{_written(call, given)}: {_kind(given)} in place of a {form} of {of}")


def check_mapping(given: object, call: str, of: str) -> None:
    """Refuses everything but a mapping. Raises TypeError."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{_written(call, given)}: {_kind(given)} in place of a mapping of {of}")


def check_kind(given: object, call: str, *kinds: type, hint: str = "", for_str: str = "") -> None:
    """Refuses an object of another type. If an enum member belongs there, the error lists them. `hint` is added to its
    text, for a str `for_str`. Raises TypeError."""
    if isinstance(given, kinds):
        return
    wanted = " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)
    hint = (for_str if isinstance(given, str) and for_str else hint) + "".join(
        f"; write {_members(kind)}" for kind in kinds if issubclass(kind, Enum)
    )
    raise TypeError(f"{_written(call, given)}: {_kind(given)} in place of {wanted}{hint}")


def check_not(given: object, call: str, wanted: str, *kinds: type) -> None:
    """Refuses objects of these types, where many others are accepted. Raises TypeError."""
    if isinstance(given, kinds):
        raise TypeError(f"{_written(call, given)}: {_kind(given)} in place of {wanted}")


def check_function(given: object, call: str) -> None:
    """Refuses everything but a function, or an object that can be called like one, and None. Raises TypeError."""
    if given is not None and not callable(given):
        raise TypeError(f"{_written(call, given)}: {_kind(given)} in place of a function or None")


def kind_of(given: object) -> str:
    """`an int`: the type of a value, without the value."""
    name = _kind(given)
    return name if given is None else f"an {name}" if name[0] in "AEIOaeio" else f"a {name}"


def _members(kind: Iterable[Enum]) -> str:
    return " or ".join(str(member) for member in kind)


def _kind(given: object) -> str:
    return "None" if given is None else type(given).__name__


def _written(call: str, given: object) -> str:
    """Quotes a short text and a number; other objects may be long, or secret."""
    return call.replace("{}", ascii(given) if _is_short(given) else "...")


def _is_short(given: object) -> bool:
    return len(given) <= 64 if isinstance(given, str) else isinstance(given, int) and given.bit_length() <= 64
