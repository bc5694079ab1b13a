"""A server of each adapter, in a thread of its own, with one blocking handle: the same test runs over all three.

Handlers are written once, as coroutines over a `Talk`; that of `blocking` never suspends, so one step runs it whole.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import trio

import dicos_transports.asyncio as over_asyncio
import dicos_transports.trio as over_trio
from dicos_transports import blocking
from dicos_transports.blocking import server as blocking_server
from dicos_transports.serving import Metrics
from dicos_transports.sessions import session as awaiting
from dicos_transports.sessions.finished import finished
from tests.transports.connections import PATIENCE, POLICY

ADAPTERS = ("blocking", "trio", "asyncio")


class _Awaited:
    """An iterator, to be awaited. No generator: who leaves one early leaves it to the event loop."""

    def __init__(self, inner: Iterator[Any]) -> None:
        self._inner = inner

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        for one in self._inner:
            return one
        raise StopAsyncIteration


class Talk:
    """A session of any adapter, as a coroutine uses it."""

    def __init__(self, session: blocking.Session | awaiting.Session) -> None:
        self.session = session
        self.loop = "" if isinstance(session, blocking.Session) else _loop()

    def requests(self) -> AsyncIterator[Any]:
        return _Awaited(iter(self.session)) if isinstance(self.session, blocking.Session) else aiter(self.session)

    def data(self, request: Any) -> AsyncIterator[Any]:
        found = request.data()
        return _Awaited(found) if isinstance(self.session, blocking.Session) else aiter(found)

    async def respond(self, request: Any, code: int = 0) -> None:
        answered: Awaitable[None] | None = request.respond(code)
        if answered is not None:
            await answered

    async def pause(self, event: threading.Event) -> bool:
        """Wait for an event as code of this adapter does. Returns False after `PATIENCE`."""
        if self.loop == "trio":
            return await trio.to_thread.run_sync(event.wait, PATIENCE, abandon_on_cancel=True)
        if self.loop == "asyncio":
            return await asyncio.get_running_loop().run_in_executor(None, event.wait, PATIENCE)
        return event.wait(PATIENCE)


Handler = Callable[[Talk], Coroutine[Any, Any, None]]


def _loop() -> str:
    try:
        trio.lowlevel.current_task()
        return "trio"
    except RuntimeError:
        return "asyncio"


async def answer_all(talk: Talk) -> None:
    """Answers 0 to everything and keeps nothing."""
    async for request in talk.requests():
        if request.name == "C-STORE-RQ":
            async for _ in talk.data(request):
                pass
        await talk.respond(request)


def at_once(handler: Handler) -> Callable[[blocking.Session], None]:
    """For the blocking adapter."""

    def handle(session: blocking.Session) -> None:
        finished(handler(Talk(session)))

    return handle


class Handle:
    """A server that runs."""

    def __init__(self, adapter: str, server: Any) -> None:
        self.adapter = adapter
        self.server = server
        self.address: str = server.address

    @property
    def port(self) -> int:
        port: int = self.server.port
        return port

    @property
    def metrics(self) -> Metrics:
        metrics: Metrics = self.server.metrics
        return metrics

    def stop(self) -> None:
        """Ask it to stop, in its own thread."""
        self.server.stop()

    def wait(self, timeout: float = PATIENCE) -> bool:
        """Returns True if the server has ended by then."""
        over: bool = self.server.wait(timeout)
        return over

    def close(self, grace: float = PATIENCE) -> None:
        self.server.close(grace)

    def cancel(self) -> None:
        """Have its runtime cancel it. Returns at once."""
        raise NotImplementedError


class _InLoop(Handle):
    """A server in an event loop: every call runs in the thread of the loop."""

    def __init__(self, adapter: str, server: Any, call: Callable[..., Any], run: Callable[..., Any]) -> None:
        super().__init__(adapter, server)
        self.call, self.run = call, run
        self.thread = threading.current_thread()
        self.grace: float | None = None
        self.closing: Any = None
        self.scope: Any = None

    def stop(self) -> None:
        self.call(self.server.stop)

    def wait(self, timeout: float = PATIENCE) -> bool:
        return bool(self.run(self.server.wait, timeout))

    def close(self, grace: float = PATIENCE) -> None:
        self.grace = grace
        with suppress(RuntimeError):  # it is over already
            self.call(self.closing.set)
        self.thread.join(2 * PATIENCE)
        assert not self.thread.is_alive(), f"the {self.adapter} server does not end"

    def cancel(self) -> None:
        self.call(self.scope.cancel)


async def _in_trio(where: Any, handler: Handler, options: dict[str, Any], started: Callable[[Handle], None]) -> None:
    async def handle(session: awaiting.Session) -> None:
        await handler(Talk(session))

    token = trio.lowlevel.current_trio_token()

    def call(function: Callable[[], object]) -> None:
        token.run_sync_soon(function)

    def run(function: Callable[..., Any], *args: Any) -> Any:
        return trio.from_thread.run(function, *args, trio_token=token)

    with trio.CancelScope() as scope:
        async with over_trio.serve(where, handle, **options) as server:
            handle_of = _InLoop("trio", server, call, run)
            handle_of.scope = scope
            handle_of.closing = trio.Event()
            started(handle_of)
            await handle_of.closing.wait()
            assert handle_of.grace is not None
            await server.close(handle_of.grace)


async def _in_asyncio(where: Any, handler: Handler, options: dict[str, Any], started: Callable[[Handle], None]) -> None:
    async def handle(session: awaiting.Session) -> None:
        await handler(Talk(session))

    loop = asyncio.get_running_loop()

    def run(function: Callable[..., Any], *args: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(function(*args), loop).result(2 * PATIENCE)

    async def main() -> None:
        async with over_asyncio.serve(where, handle, **options) as server:
            handle_of = _InLoop("asyncio", server, loop.call_soon_threadsafe, run)
            handle_of.scope = task
            handle_of.closing = asyncio.Event()
            started(handle_of)
            await handle_of.closing.wait()
            assert handle_of.grace is not None
            await server.close(handle_of.grace)

    task = asyncio.create_task(main())
    with suppress(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == {asyncio.current_task()}, "tasks are left"


@contextmanager
def serving(
    adapter: str, handler: Handler = answer_all, where: Any = ("127.0.0.1", 0), **options: Any
) -> Iterator[Handle]:
    """A server of this adapter, closed in the end; no thread or descriptor of it is left then."""
    options.setdefault("policy", POLICY)
    descriptors, threads = open_descriptors(), set(threading.enumerate())
    with _running(adapter, handler, where, options) as handle:
        del where  # sockets in it are the server's now
        yield handle
        handle.close()
    for thread in set(threading.enumerate()) - threads:
        if "rio thread" in thread.name:  # trio keeps one for the next `to_thread`
            continue
        thread.join(PATIENCE)
        assert not thread.is_alive(), f"{thread} is left"
    gc.collect()
    assert open_descriptors() <= descriptors, f"descriptors are left: {open_descriptors() - descriptors}"


@contextmanager
def _running(adapter: str, handler: Handler, where: Any, options: dict[str, Any]) -> Iterator[Handle]:
    if adapter == "blocking":
        with blocking_server.serve(where, at_once(handler), **options) as server:
            yield Handle(adapter, server)
        return
    ready = threading.Event()
    found: list[Handle] = []
    faults: list[BaseException] = []

    def started(handle: Handle) -> None:
        found.append(handle)
        ready.set()

    def run() -> None:
        try:
            if adapter == "trio":
                trio.run(_in_trio, where, handler, options, started)
            else:
                asyncio.run(_in_asyncio(where, handler, options, started))
        except BaseException as error:
            faults.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run, name=f"server in {adapter}")
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        if found:
            yield found[0]
    finally:
        if found and thread.is_alive():
            found[0].close(0)
        thread.join(PATIENCE)
        if faults:
            raise faults[0]


def open_descriptors() -> set[tuple[int, str]]:
    """Those of this process, and what they are; without the memory that multiprocessing keeps for its next value."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found.add((int(name), os.readlink(f"/proc/self/fd/{name}")))
    return {one for one in found if "/proc/" not in one[1] and "/pym-" not in one[1]}
