"""The cases: those of this package, in order, and those of plugins.

Knows: the modules of `cases`. Must not know: how cases run.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Final

from .case import Case, Script

__all__ = ["ENTRY_POINT", "BadPlugin", "Group", "builtin", "cases", "from_plugins"]

ENTRY_POINT: Final = "dicos_conformance.cases"
"""Entry points of this group name an iterable of `Case`, or a function that returns one."""


class BadPlugin(Exception):
    """A plugin has no cases, or one with an id that exists already; the text names it."""


class Group:
    """Collects the cases of one module: `cases = Group("release", role=Role.PROVIDER)`, then `@cases(...)` over each
    script, or `cases.add(...)` for scripts that are made."""

    def __init__(self, name: str, **common: Any) -> None:
        """`common`: fields that all cases of the group have, unless a case says otherwise."""
        self.name = name
        self.cases: list[Case] = []
        self._common = {"group": name, **common}

    def __call__(self, id: str, **fields: Any) -> Callable[[Script], Script]:
        """Registers the script below as the case `id`."""

        def register(script: Script) -> Script:
            self.add(id, script, **fields)
            return script

        return register

    def add(self, id: str, script: Script, **fields: Any) -> None:
        """Registers a case."""
        self.cases.append(Case(id=id, script=script, **(self._common | fields)))


@cache
def builtin() -> tuple[Case, ...]:
    """Returns the cases of this package: those of providers, then those of users; modules by name, cases in order."""
    found: list[Case] = []
    for side in ("provider", "user"):
        package = importlib.import_module(f"{__package__}.cases.{side}")
        for module in sorted(one.name for one in pkgutil.iter_modules(package.__path__)):
            group = getattr(importlib.import_module(f"{package.__name__}.{module}"), "cases", None)
            if isinstance(group, Group):
                found += group.cases
    return _unique(found)


def from_plugins() -> tuple[Case, ...]:
    """Returns the cases that installed plugins add. Raises `BadPlugin`."""
    found: list[Case] = []
    for point in sorted(entry_points(group=ENTRY_POINT), key=lambda one: one.name):
        try:
            made = point.load()
            given = list(made() if callable(made) else made)
        except Exception as error:  # a plugin is another's code
            raise BadPlugin(f"plugin {point.name}: {type(error).__name__}: {error}") from error
        if not all(isinstance(one, Case) for one in given):
            raise BadPlugin(f"plugin {point.name}: what it gives is not all cases")
        found += given
    return tuple(found)


def cases() -> tuple[Case, ...]:
    """Returns all cases. Raises `BadPlugin`."""
    try:
        return _unique([*builtin(), *from_plugins()])
    except ValueError as error:
        raise BadPlugin(str(error)) from None


def _unique(found: Iterable[Case]) -> tuple[Case, ...]:
    seen: dict[str, Case] = {}
    for one in found:
        if one.id in seen:
            raise ValueError(f"two cases with the id {one.id}")
        seen[one.id] = one
    return tuple(seen.values())
