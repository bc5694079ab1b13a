"""The three adapters behind one face, so that a scenario is written once, as a coroutine.

`blocking` never suspends: `finished` runs a scenario to its end, over the session that is behind the face, and what is
done at the same time is done in threads. That the face does the same: `tests/transports/sessions/test_surfaces.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import trio
import trio.testing

from dicos_proto.conversation.flows import Flow
from dicos_proto.timers import Timeouts
from dicos_proto.wire import Wire
from dicos_transports import asyncio as over_asyncio
from dicos_transports import blocking
from dicos_transports import trio as over_trio
from dicos_transports.asyncio import driver as asyncio_driver
from dicos_transports.blocking import server as blocking_server
from dicos_transports.blocking.driver import Driver
from dicos_transports.sessions.finished import finished
from dicos_transports.trio import driver as trio_driver
from tests.transports.connections import PATIENCE

Work = Callable[[], Coroutine[Any, Any, Any]]
NO_TIMEOUTS = Timeouts(write_stall=None)
LINGER_NOT = struct.pack("ii", 1, 0)
"""SO_LINGER with which closing resets the connection."""


class Drives(Protocol):
    """A driver of any wire."""

    async def run(self, flow: Flow[Any]) -> Any: ...

    def close(self) -> None: ...


class Event(Protocol):
    def set(self) -> Any: ...

    async def wait(self) -> Any: ...


class Scope(Protocol):
    """Where something is cancelled."""

    async def run(self, work: Work) -> bool:
        """Runs the work. Returns True if it was cancelled."""

    def cancel(self) -> None: ...


class Adapter(Protocol):
    """The methods of an adapter that scenarios need."""

    name: str

    def run(self, main: Work) -> None: ...

    async def both(self, *works: Work) -> list[Any]:
        """Do all of this at the same time; their results. The first fault ends the others, and is raised."""

    def event(self) -> Event: ...

    def scope(self) -> Scope: ...

    async def connect(self, where: Any, contexts: Any, **options: Any) -> Any: ...

    async def accept(self, connection: Any, policy: Any, **options: Any) -> Any: ...

    def serve(self, where: Any, handler: Any, **options: Any) -> AbstractAsyncContextManager[Any]: ...

    def store_over(self, connect_one: Any, source: Any, **options: Any) -> AbstractAsyncContextManager[Any]: ...

    def pair(self) -> tuple[Any, Any]: ...

    def driver(self, connection: Any, wire: Wire) -> Drives: ...

    def reset(self, connection: Any) -> None:
        """Close it so that the other end sees that it is gone, and no end of file."""

    async def pause(self) -> None:
        """Let the others do what they can do without waiting for time to pass."""


# -- blocking ------------------------------------------------------------------------------------------------------


class _Iterated(AsyncIterator[Any]):
    """An iterator, to be awaited."""

    def __init__(self, source: Iterator[Any]) -> None:
        self._source = source

    async def __anext__(self) -> Any:
        for found in self._source:
            return found
        raise StopAsyncIteration


class _ThreadEvent:
    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        assert self._event.wait(PATIENCE), "what was waited for did not happen"


class Blocking:
    name = "blocking"

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def run(self, main: Work) -> None:
        try:
            finished(main())
        finally:
            self._sockets.clear()

    async def both(self, *works: Work) -> list[Any]:
        results: list[Any] = [None] * len(works)
        faults: list[BaseException] = []

        def one(index: int, work: Work) -> None:
            try:
                results[index] = finished(work())
            except BaseException as fault:
                faults.append(fault)
                for sock in self._sockets:  # wakes the threads that wait for them
                    with contextlib.suppress(OSError):
                        sock.shutdown(socket.SHUT_RDWR)

        threads = [threading.Thread(target=one, args=each, daemon=True) for each in enumerate(works)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(3 * PATIENCE)
            assert not thread.is_alive(), "a side never ended"
        if faults:
            raise faults[0]
        return results

    def event(self) -> Event:
        return _ThreadEvent()

    def scope(self) -> Scope:
        raise NotImplementedError("nothing is cancelled in blocking code")

    async def connect(self, where: Any, contexts: Any, **options: Any) -> Any:
        self._note(where)
        return blocking.connect(where, contexts, **options).awaited

    async def accept(self, connection: Any, policy: Any, **options: Any) -> Any:
        self._note(connection)
        return blocking.accept(connection, policy, **options).awaited

    @asynccontextmanager
    async def serve(self, where: Any, handler: Any, **options: Any) -> AsyncIterator[Any]:
        with blocking_server.serve(where, lambda session: finished(handler(session.awaited)), **options) as server:
            yield server

    @asynccontextmanager
    async def store_over(self, connect_one: Any, source: Any, **options: Any) -> AsyncIterator[Any]:
        def connect() -> blocking.Session:
            return blocking.Session(finished(connect_one()))

        with blocking.store_over(connect, source, **options) as outcomes:
            yield _Iterated(outcomes)

    def pair(self) -> tuple[Any, Any]:
        return blocking.pair()

    def driver(self, connection: Any, wire: Wire) -> Drives:
        self._note(connection)
        return Driver(connection, wire, NO_TIMEOUTS)

    def reset(self, connection: Any) -> None:
        _reset(connection)

    async def pause(self) -> None:
        """Nothing to do: other threads run anyway."""

    def _note(self, connection: Any) -> None:
        if isinstance(connection, socket.socket):
            self._sockets.append(connection)


def _reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
    sock.close()


# -- trio ----------------------------------------------------------------------------------------------------------


class _TrioScope:
    def __init__(self) -> None:
        self._scope = trio.CancelScope()

    async def run(self, work: Work) -> bool:
        with self._scope:
            await work()
        return self._scope.cancelled_caught

    def cancel(self) -> None:
        self._scope.cancel()


class Trio:
    name = "trio"

    def __init__(self, clock: trio.abc.Clock | None = None) -> None:
        self._clock = clock

    def run(self, main: Work) -> None:
        async def within() -> None:
            before = trio.lowlevel.current_statistics().tasks_living
            await main()
            await trio.testing.wait_all_tasks_blocked()  # what closes streams
            assert trio.lowlevel.current_statistics().tasks_living == before, "a task is left"

        trio.run(within, clock=self._clock)

    async def both(self, *works: Work) -> list[Any]:
        results: list[Any] = [None] * len(works)
        faults: list[Exception] = []

        async def one(index: int, work: Work) -> None:
            try:
                results[index] = await work()
            except Exception as fault:
                faults.append(fault)
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for each in enumerate(works):
                nursery.start_soon(one, *each)
        if faults:
            raise faults[0]
        return results

    def event(self) -> Event:
        return trio.Event()

    def scope(self) -> Scope:
        return _TrioScope()

    async def connect(self, where: Any, contexts: Any, **options: Any) -> Any:
        return await over_trio.connect(where, contexts, **options)

    async def accept(self, connection: Any, policy: Any, **options: Any) -> Any:
        return await over_trio.accept(connection, policy, **options)

    def serve(self, where: Any, handler: Any, **options: Any) -> AbstractAsyncContextManager[Any]:
        return over_trio.serve(where, handler, **options)

    def store_over(self, connect_one: Any, source: Any, **options: Any) -> AbstractAsyncContextManager[Any]:
        return over_trio.store_over(connect_one, source, **options)

    def pair(self) -> tuple[Any, Any]:
        return over_trio.pair()

    def driver(self, connection: Any, wire: Wire) -> Drives:
        kind = trio_driver.SocketLink if isinstance(connection, socket.socket) else trio_driver.StreamLink
        return trio_driver.Driver(kind(connection, wire, NO_TIMEOUTS))

    def reset(self, connection: Any) -> None:
        if isinstance(connection, socket.socket):
            trio.lowlevel.notify_closing(connection)
            _reset(connection)
        else:  # a stream in memory knows no reset
            trio.lowlevel.spawn_system_task(trio.aclose_forcefully, connection)

    async def pause(self) -> None:
        await trio.testing.wait_all_tasks_blocked()


# -- asyncio -------------------------------------------------------------------------------------------------------


class _AsyncioScope:
    """Made of `asyncio.timeout`, which is the usual form of cancellation in practice."""

    def __init__(self) -> None:
        self._timeout = asyncio.timeout(None)

    async def run(self, work: Work) -> bool:
        task = asyncio.current_task()
        assert task is not None
        before = task.cancelling()
        try:
            async with self._timeout:
                await work()
        except TimeoutError:
            assert self._timeout.expired()
        assert task.cancelling() == before
        return self._timeout.expired()

    def cancel(self) -> None:
        self._timeout.reschedule(-math.inf)


class Asyncio:
    name = "asyncio"

    def run(self, main: Work) -> None:
        async def within() -> None:
            problems: list[Any] = []
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: problems.append(context))
            await main()
            await self.pause()
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks are left: {left}"
            assert not problems, problems

        asyncio.run(within())

    async def both(self, *works: Work) -> list[Any]:
        tasks: list[asyncio.Task[Any]] = []
        try:
            async with asyncio.TaskGroup() as group:
                for work in works:
                    tasks.append(group.create_task(work()))
        except* Exception as faults:
            raise _first(faults) from None
        return [task.result() for task in tasks]

    def event(self) -> Event:
        return asyncio.Event()

    def scope(self) -> Scope:
        return _AsyncioScope()

    async def connect(self, where: Any, contexts: Any, **options: Any) -> Any:
        return await over_asyncio.connect(where, contexts, **options)

    async def accept(self, connection: Any, policy: Any, **options: Any) -> Any:
        return await over_asyncio.accept(connection, policy, **options)

    def serve(self, where: Any, handler: Any, **options: Any) -> AbstractAsyncContextManager[Any]:
        return over_asyncio.serve(where, handler, **options)

    def store_over(self, connect_one: Any, source: Any, **options: Any) -> AbstractAsyncContextManager[Any]:
        return over_asyncio.store_over(connect_one, source, **options)

    def pair(self) -> tuple[Any, Any]:
        return over_asyncio.pair()

    def driver(self, connection: Any, wire: Wire) -> Drives:
        kind = asyncio_driver.SocketLink if isinstance(connection, socket.socket) else asyncio_driver.StreamLink
        return asyncio_driver.Driver(kind(connection, wire, NO_TIMEOUTS))

    def reset(self, connection: Any) -> None:
        if isinstance(connection, socket.socket):
            asyncio.get_running_loop().remove_reader(connection)
            asyncio.get_running_loop().remove_writer(connection)
            _reset(connection)
        else:
            connection[1].transport.abort()

    async def pause(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


def _first(faults: BaseExceptionGroup[Exception]) -> Exception:
    found: BaseException = faults
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, Exception)
    return found


__all__ = ["Adapter", "Asyncio", "Awaitable", "Blocking", "Drives", "Event", "Scope", "Trio", "Work"]
