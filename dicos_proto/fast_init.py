"""A faster `__init__` for frozen dataclasses with slots, for the few classes that are made by the thousand.

Knows: slots. Must not know: whose they are.

The `__init__` that `dataclass` writes for a frozen class sets each field by name, through `object.__setattr__`. The
slot itself sets it in half of that time, and the class stays as frozen as it was. Five classes use it, of which a
C-STORE makes several: `MessageStart`, `MessageData`, `CStoreRequest`, `CStoreResponse`, and the `Outcome` of storing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar

T = TypeVar("T")


def setter(cls: type, name: str) -> Callable[[object, object], None]:
    """Returns `put(value, content)`, which sets the field `name` of a `value` of `cls` while that is being made."""
    put: Callable[[object, object], None] = getattr(cls, name).__set__
    return put


def fast_init(cls: type[T]) -> type[T]:
    """Decorator above `dataclass`: an `__init__` that does the same in half of the time.

    For frozen dataclasses with slots whose fields are all given by keyword and have plain defaults or none. Raises
    TypeError for another class."""
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
