"""Event loops for the tests of adapters: what is written once runs in each."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

T = TypeVar("T")
LOOPS = ("trio", "asyncio")
ADAPTERS = ("blocking", *LOOPS)


def adapter(name: str) -> Any:
    """The module of an adapter; the test is skipped where its runtime is not installed."""
    if name == "trio":
        pytest.importorskip("trio")
    return importlib.import_module(f"dicos_transports.{name}")


def run(name: str, main: Callable[[Any], Awaitable[T]]) -> T:
    """Run `main`, given the adapter's module, in its loop."""
    module = adapter(name)
    if name == "asyncio":

        async def whole() -> T:
            return await main(module)

        return asyncio.run(whole())
    found: T = importlib.import_module("trio").run(main, module)
    return found
