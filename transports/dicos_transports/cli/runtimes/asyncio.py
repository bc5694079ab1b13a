"""The runtime over asyncio."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from ... import asyncio as adapter
from ...addresses import Address, Listening
from ...sessions.offloading import offload_in_asyncio
from ...sessions.session import Session
from .. import timers
from .runtime import BATCH, Handler, Interrupt, Runtime, Served, Stopping, Work, interruptible, single

if TYPE_CHECKING:
    from dicos_proto.upper_layer.pdu_types import ProposedContext
    from dicos_proto.upper_layer.policy import AcceptPolicy

    from ...options import ConnectOptions
    from ...serving.options import Identify, ServeOptions

T = TypeVar("T")


def make() -> Runtime:
    """Return an asyncio runtime."""
    return Asyncio()


class Asyncio:
    """See `runtime.Runtime`."""

    batch = BATCH

    def __init__(self) -> None:
        self._interruptible = interruptible()

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run(main())

    async def connect(
        self, where: Address, contexts: tuple[ProposedContext, ...], **options: Unpack[ConnectOptions]
    ) -> Session:
        return await adapter.connect(where, contexts, **options)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def offload(self, function: Callable[[], T]) -> T:
        return await offload_in_asyncio(function)

    async def all_of(self, *works: Work) -> None:
        with single():
            async with asyncio.TaskGroup() as group:
                for work in works:
                    group.create_task(work())

    @asynccontextmanager
    async def cancelling(self, cancel: Callable[[], None]) -> AsyncIterator[Interrupt]:
        interrupt = Interrupt()
        task = asyncio.current_task()
        if not self._interruptible or task is None:
            yield interrupt
            return
        loop = asyncio.get_running_loop()
        given_up = False

        def give_up() -> None:
            nonlocal given_up
            given_up = True
            task.cancel()

        def on_signal() -> None:
            if interrupt.asked:
                give_up()
                return
            interrupt.asked = True
            alarms.append(loop.call_later(timers.CANCEL_PATIENCE, give_up))
            cancel()

        alarms: list[asyncio.TimerHandle] = []
        before = signal.getsignal(signal.SIGINT)
        loop.add_signal_handler(signal.SIGINT, on_signal)
        try:
            yield interrupt
        except asyncio.CancelledError:
            if not given_up:
                raise
            raise KeyboardInterrupt from None
        finally:
            for alarm in alarms:
                alarm.cancel()
            loop.remove_signal_handler(signal.SIGINT)
            signal.signal(signal.SIGINT, before)

    @asynccontextmanager
    async def serve(
        self,
        where: Listening,
        handler: Handler,
        *,
        policy: AcceptPolicy,
        identify: Identify | None = None,
        **options: Unpack[ServeOptions],
    ) -> AsyncIterator[Served]:
        async with adapter.serve(where, handler, policy=policy, identify=identify, **options) as server:
            yield server

    async def until_stopped(self, server: Served, stopping: Stopping, started: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        closing: asyncio.Task[None] | None = None
        stopping.stop = lambda: loop.call_soon_threadsafe(stop.set)

        def on_signal() -> None:
            if closing is not None:
                closing.cancel()
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal)
        try:
            started()
            await stop.wait()
            stopping.first()
            closing = asyncio.create_task(server.close(stopping.grace))
            await asyncio.wait([closing])
            if closing.cancelled():
                stopping.second()
                await server.close(0)
            else:
                closing.result()
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
