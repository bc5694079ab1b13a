"""The runtime over trio."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

import trio

from ... import trio as adapter
from ...addresses import Address, Listening
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
    """Return a trio runtime."""
    return Trio()


class Trio:
    """See `runtime.Runtime`."""

    batch = BATCH

    def __init__(self) -> None:
        self._interruptible = interruptible()

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        with single():
            result: T = trio.run(main)
        return result

    async def connect(
        self, where: Address, contexts: tuple[ProposedContext, ...], **options: Unpack[ConnectOptions]
    ) -> Session:
        return await adapter.connect(where, contexts, **options)

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def offload(self, function: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(function)

    async def all_of(self, *works: Work) -> None:
        with single():
            async with trio.open_nursery() as nursery:
                for work in works:
                    nursery.start_soon(work)

    @asynccontextmanager
    async def cancelling(self, cancel: Callable[[], None]) -> AsyncIterator[Interrupt]:
        interrupt = Interrupt()
        if not self._interruptible:
            yield interrupt
            return
        over = False
        with single(), trio.open_signal_receiver(signal.SIGINT) as signals:
            async with trio.open_nursery() as nursery:

                async def listen() -> None:
                    async for _ in signals:
                        if interrupt.asked:
                            nursery.cancel_scope.cancel()
                            return
                        interrupt.asked = True
                        nursery.cancel_scope.deadline = trio.current_time() + timers.CANCEL_PATIENCE
                        cancel()

                nursery.start_soon(listen)
                yield interrupt
                over = True
                nursery.cancel_scope.cancel()
        if not over:
            raise KeyboardInterrupt

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
        with single():
            async with adapter.serve(where, handler, policy=policy, identify=identify, **options) as server:
                yield server

    async def until_stopped(self, server: Served, stopping: Stopping, started: Callable[[], None]) -> None:
        stop, closing = trio.Event(), trio.CancelScope()
        token = trio.lowlevel.current_trio_token()
        stopping.stop = lambda: token.run_sync_soon(stop.set)
        with single(), trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with trio.open_nursery() as nursery:

                async def listen() -> None:
                    async for _ in signals:
                        if stop.is_set():
                            closing.cancel()
                        stop.set()

                nursery.start_soon(listen)
                started()
                await stop.wait()
                stopping.first()
                with closing:
                    await server.close(stopping.grace)
                if closing.cancelled_caught:
                    stopping.second()
                    await server.close(0)
                nursery.cancel_scope.cancel()
