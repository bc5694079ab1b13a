"""Event loops for the tests of adapters: what is written once runs in each."""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from tests.transports.connections import PATIENCE

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


async def pause(name: str) -> None:
    """Give other tasks their turn."""
    if name == "trio":
        await importlib.import_module("trio").lowlevel.checkpoint()
    else:
        await asyncio.sleep(0)


async def cancelled_when(name: str, ready: Callable[[], bool], wait: Callable[[], Awaitable[object]]) -> None:
    """Wait in a task of its own, which is cancelled once this is so, and has not ended by itself."""
    ended: list[bool] = []

    async def work() -> None:
        await wait()
        ended.append(True)

    if name == "trio":
        async with importlib.import_module("trio").open_nursery() as nursery:
            nursery.start_soon(work)
            while not ready():
                await pause(name)
            nursery.cancel_scope.cancel()
    else:
        task = asyncio.create_task(work())
        while not ready():
            await pause(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert not ended


@contextmanager
def served(name: str, where: Callable[[Any], Any]) -> Iterator[Any]:
    """Runs the server that `where` makes with the adapter's module: in its loop, in a thread; stops it at the end."""
    module = adapter(name)
    if name == "blocking":
        with where(module) as server:
            yield server
        return
    ready, stop = threading.Event(), []
    servers: list[Any] = []

    async def main(module: Any) -> None:
        async with where(module) as server:
            if name == "trio":
                trio = importlib.import_module("trio")
                token = trio.lowlevel.current_trio_token()
                stop.append(lambda: token.run_sync_soon(server.stop))
            else:
                loop = asyncio.get_running_loop()
                stop.append(lambda: loop.call_soon_threadsafe(server.stop))
            servers.append(server)
            ready.set()
            await server.wait()

    failed: list[BaseException] = []

    def whole() -> None:
        try:
            run(name, main)
        except BaseException as error:
            failed.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=whole, daemon=True)
    thread.start()
    ready.wait()
    if failed:
        raise failed[0]
    try:
        yield servers[0]
    finally:
        stop[0]()
        thread.join(PATIENCE)
    if failed:
        raise failed[0]
    assert not thread.is_alive()
