"""Commands over blocking sockets.

Theory of operation: every await of a command ends in the driver's `run`, which blocks and never suspends, so `send`
runs a coroutine from its first to its last line. Several coroutines at the same time need several threads.

Waits are interrupted through a pipe, the bell, that the drivers poll together with their sockets: either to call a
function while the operation goes on (`heed`), or by `ServerStopping`, which ends the work of the threads.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from dicos_proto.conversation.flows import Need
from dicos_proto.errors import ProtocolError

from ...addresses import Address, Listening
from ...blocking.adapter import Sockets
from ...blocking.driver import Driver
from ...options import ConnectOptions
from ...sessions import opening
from ...sessions.channel import ServerStopping
from ...sessions.finished import finished
from ...sessions.session import Session
from .. import timers
from .runtime import Handler, Interrupt, Runtime, Served, Stopping, Work, interruptible

if TYPE_CHECKING:
    from dicos_proto.upper_layer.pdu_types import ProposedContext
    from dicos_proto.upper_layer.policy import AcceptPolicy

    from ... import blocking
    from ...blocking.server import Server
    from ...serving.options import Identify, ServeOptions
    from ...serving.reception import Metrics

T = TypeVar("T")


def make() -> Runtime:
    """The runtime."""
    return Blocking()


class Blocking:
    """See `runtime.Runtime`."""

    batch = 1  # written in order of arrival: nothing else is held up

    def __init__(self) -> None:
        self._bell, self._rope = os.pipe()
        self._heed: Callable[[], None] | None = None
        """The function to call when the bell rings now; None: it ends every wait."""
        self._interruptible = False
        self._abandoned = False
        """True if a thread that uses the pipe did not end in time."""

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            with self._interrupts():
                return finished(main())
        finally:
            if not self._abandoned:
                os.close(self._rope)
                os.close(self._bell)

    async def connect(
        self, where: Address, contexts: tuple[ProposedContext, ...], **options: Unpack[ConnectOptions]
    ) -> Session:
        transport = Sockets(kill=self._bell, driver=partial(_Heeding, self))
        return await opening.connect(transport, where, contexts, **options)

    async def sleep(self, seconds: float) -> None:
        bell = select.poll()
        bell.register(self._bell, select.POLLIN)
        if bell.poll(seconds * 1000):
            raise ServerStopping

    async def offload(self, function: Callable[[], T]) -> T:
        return function()

    async def all_of(self, *works: Work) -> None:
        if len(works) == 1:
            await works[0]()
            return
        faults: list[BaseException] = []

        def do(work: Work) -> None:
            try:
                finished(work())
            except BaseException as fault:  # raised below
                faults.append(fault)
                self._ring()

        threads = [threading.Thread(target=do, args=(work,), daemon=True) for work in works]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        except BaseException:  # Ctrl-C
            self._abandoned = True  # another Ctrl-C, or its alarm, may end the wait
            self._ring()
            for thread in threads:
                if thread.ident is not None:
                    thread.join(timers.PATIENCE)
            self._abandoned = any(thread.is_alive() for thread in threads)
            raise
        told = [fault for fault in faults if not isinstance(fault, ServerStopping)]  # which follows from another one
        try:
            if told:
                raise told[0]
        finally:
            faults.clear()  # their tracebacks have this frame
            told.clear()

    @asynccontextmanager
    async def cancelling(self, cancel: Callable[[], None]) -> AsyncIterator[Interrupt]:
        interrupt = Interrupt()
        if not self._interruptible:
            yield interrupt
            return
        heeded = False

        def heed() -> None:
            nonlocal heeded
            os.read(self._bell, 1)
            heeded = True
            cancel()

        def on_signal(number: int, frame: FrameType | None) -> None:
            if interrupt.asked:
                signal.setitimer(signal.ITIMER_REAL, timers.PATIENCE)
                raise KeyboardInterrupt
            interrupt.asked = True
            signal.setitimer(signal.ITIMER_REAL, timers.CANCEL_PATIENCE)
            self._ring()

        self._heed = heed
        before = signal.signal(signal.SIGINT, on_signal)
        try:
            yield interrupt
        finally:
            signal.signal(signal.SIGINT, before)
            self._heed = None
            if interrupt.asked and not heeded:  # it was over first
                os.read(self._bell, 1)

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
        from ...blocking.server import serve
        from ...serving.reception import GRACE

        def handle(session: blocking.Session) -> None:
            finished(handler(session.awaited))

        server = serve(where, handle, policy=policy, identify=identify, **options)
        grace = 0.0  # for what goes wrong
        try:
            yield _Served(server)
            grace = GRACE
        finally:
            server.close(grace)

    async def until_stopped(self, server: Served, stopping: Stopping, started: Callable[[], None]) -> None:
        from queue import SimpleQueue

        stops: SimpleQueue[None] = SimpleQueue()  # whose put() may interrupt anything, itself included
        stopping.stop = lambda: stops.put(None)
        with _stop_signals(stopping.stop):
            try:
                started()
                stops.get()
                stopping.first()
                await server.close(stopping.grace)
            except _SecondSignal:
                stopping.second()
                await server.close(0)

    def heed(self) -> bool:
        """Calls the function for a ring of the bell. Returns False if there is none: then the ring ends the wait."""
        if self._heed is None:
            return False
        self._heed()
        return True

    def _ring(self) -> None:
        os.write(self._rope, b"x")

    @contextmanager
    def _interrupts(self) -> Iterator[None]:
        """Ctrl-C raises KeyboardInterrupt, which aborts the association, and once more when that takes too long."""
        before = signal.getsignal(signal.SIGINT)
        if not interruptible():
            yield  # the caller handles signals in its own way
            return

        def interrupt(number: int, frame: FrameType | None) -> None:
            signal.setitimer(signal.ITIMER_REAL, timers.PATIENCE)
            raise KeyboardInterrupt

        alarm = signal.signal(signal.SIGALRM, interrupt)
        signal.signal(signal.SIGINT, interrupt)
        self._interruptible = True
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGINT, before)
            signal.signal(signal.SIGALRM, alarm)
            self._interruptible = False


class _Heeding(Driver):
    """A driver that heeds the bell where it waits."""

    def __init__(self, runtime: Blocking, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._runtime = runtime

    def _serve(self, need: Need) -> ProtocolError | None:
        fault = super()._serve(need)
        return None if isinstance(fault, ServerStopping) and self._runtime.heed() else fault


class _Served:
    """A blocking server whose end is awaited."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @property
    def served(self) -> int:
        return self._server.served

    @property
    def address(self) -> str:
        return self._server.address

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def over_tls(self) -> bool:
        return self._server.over_tls

    @property
    def metrics(self) -> Metrics:
        return self._server.metrics

    async def close(self, grace: float) -> None:
        self._server.close(grace)


class _SecondSignal(BaseException):
    """A second signal arrived: the user does not want to wait."""


@contextmanager
def _stop_signals(stop: Callable[[], object]) -> Iterator[None]:
    """SIGINT and SIGTERM: the first asks to stop, the second raises `_SecondSignal`, more do nothing."""
    count = 0

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count == 1:
            stop()
        elif count == 2:
            raise _SecondSignal

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
