"""How frozen dataclasses with slots are made without the detour that freezing brings, for those made by the thousand.

Knows: slots. Must not know: whose they are.

The `__init__` that `dataclass` writes for a frozen class looks every field up by name, through `object.__setattr__`.
What the slot itself offers takes half of that time, and leaves the class as frozen as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar

T = TypeVar("T")


def setter(cls: type, name: str) -> Callable[[object, object], None]:
    """`put(value, content)` sets the field `name` of a `value` of `cls`. For its maker only: values do not change."""
    put: Callable[[object, object], None] = getattr(cls, name).__set__
    return put


def quick(cls: type[T]) -> type[T]:
    """Give a frozen dataclass with slots, whose fields are all by keyword and have plain defaults, an `__init__` that
    does the same in half of the time. Stands above `dataclass`."""
    own: tuple[Field[Any], ...] = fields(cls)  # type: ignore[arg-type]  # a dataclass, which a decorator cannot say
    scope: dict[str, Any] = {f"put_{each.name}": setter(cls, each.name) for each in own}
    scope |= {f"default_{each.name}": each.default for each in own}
    asked = ", ".join(each.name if each.default is MISSING else f"{each.name}=default_{each.name}" for each in own)
    lines = [f"def __init__(self, *, {asked}):", *(f"    put_{each.name}(self, {each.name})" for each in own)]
    exec("\n".join(lines), scope)
    made = scope["__init__"]
    written: Any = cls.__init__
    made.__qualname__, made.__module__, made.__doc__ = written.__qualname__, cls.__module__, written.__doc__
    made.__annotations__ = written.__annotations__
    cls.__init__ = made  # type: ignore[method-assign]
    return cls
