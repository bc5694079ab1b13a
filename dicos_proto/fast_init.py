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
    does the same in half of the time. Stands above `dataclass`. Raises TypeError for a class that needs another."""
    own: tuple[Field[Any], ...] = fields(cls)  # type: ignore[arg-type]  # a dataclass, which a decorator cannot say
    for each in own:
        if not (each.init and each.kw_only and each.default_factory is MISSING):
            raise TypeError(f"{cls.__qualname__}.{each.name}; given by keyword, with a plain default or none")
    if hasattr(cls, "__post_init__"):
        raise TypeError(f"{cls.__qualname__} with a __post_init__, which would be left out")
    written: Any = cls.__init__
    scope: dict[str, Any] = {f"__put_{each.name}": setter(cls, each.name) for each in own}
    scope |= {f"__default_{each.name}": each.default for each in own}
    asked = ", ".join(each.name if each.default is MISSING else f"{each.name}=__default_{each.name}" for each in own)
    lines = [
        f"def make({', '.join(scope)}):",
        f"    def __init__(self, *, {asked}):",
        *(f"        __put_{each.name}(self, {each.name})" for each in own),
        "    return __init__",
    ]
    # Like the one `dataclass` writes it belongs to the module of the class, where its annotations are looked up.
    made_by: dict[str, Any] = {}
    exec("\n".join(lines), written.__globals__, made_by)
    made = made_by["make"](**scope)
    made.__qualname__, made.__module__, made.__doc__ = written.__qualname__, cls.__module__, written.__doc__
    made.__annotations__ = written.__annotations__
    cls.__init__ = made  # type: ignore[method-assign]
    return cls
