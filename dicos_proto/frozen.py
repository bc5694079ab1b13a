"""How the fields of a frozen dataclass with slots are set while it is made, for the few made for each message or PDU.

Knows: slots. Must not know: whose they are.

The `__init__` that `dataclass` writes for a frozen class looks every field up by name, through `object.__setattr__`.
What the slot itself offers takes less than half of that time, and leaves the class as frozen as it was.
"""

from __future__ import annotations

from collections.abc import Callable


def setter(cls: type, name: str) -> Callable[[object, object], None]:
    """`put(value, content)` sets the field `name` of a `value` of `cls`. For its maker only: values do not change."""
    put: Callable[[object, object], None] = getattr(cls, name).__set__
    return put
