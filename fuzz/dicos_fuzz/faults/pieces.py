"""Slow and failing sources of data sets, and sinks of received ones, out of the same plans.

    session.store(sop_class, uid, syntax, FaultySource([data], parse_plan("out at 1000: error EIO")))
    take_all(FaultySink(IncomingFile(folder, request), parse_plan("in at 1000: error ENOSPC")), request, offload)

Bytes that are sent go through `out`, received ones through `in`. An `error` is raised; after a half-close or a reset
nothing follows: a source ends, a sink wants no more. Every other effect does to the data set what it does to a stream.

Knows: lines, pieces. Must not know: associations, sockets. A source and a sink read no clock: the caller says how to
wait.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from random import Random
from time import sleep
from typing import Final

from dicos_proto.registry import status
from dicos_proto.wire import Buffer
from dicos_transports.files.receiving import Sink, Stored

from .edges import os_error
from .effects import Direction
from .line import Line
from .log import Log
from .plan import FaultPlan

__all__ = ["AwaitedFaultySource", "FaultySink", "FaultySource"]

REFUSED: Final = "no more is wanted, by a fault plan"
"""The comment of a refused object."""


class _Pieces:
    """A line that is driven by its owner, with a time that is the sum of the waits."""

    def __init__(self, plan: FaultPlan, direction: Direction) -> None:
        self.log = Log()
        self.line = Line(plan.of(direction), direction, Random(plan.seed), self.log)
        self._now = 0.0

    def ready(self) -> Iterator[bytes | memoryview]:
        """Yields what may pass now. Raises the error that is due, behind all bytes before it."""
        while piece := self.line.take():
            self.line.signals.clear()
            yield piece[0] if len(piece) == 1 else b"".join(piece)
        self.line.signals.clear()
        error, self.line.error = self.line.error, None
        if error is not None:
            raise os_error(error.error)

    @property
    def over(self) -> bool:
        """True if nothing follows."""
        return self.line.finished or self.line.reset

    def wait(self) -> float | None:
        """Returns the seconds to wait before more may pass; None if only more bytes change anything."""
        deadline = self.line.deadline(self._now)
        if deadline is None:
            return None
        seconds = max(0.0, deadline[0] - self._now)
        self._now = max(self._now, deadline[0])
        return seconds

    def waited(self) -> None:
        """The wait is over."""
        self.line.handle_timeout(self._now)


class FaultySource(Iterable[Buffer]):
    """The pieces of a data set that is sent, with the faults `out` of a plan. `log`: the faults that have struck.

    `wait`: called with seconds where a fault takes time. A stall without end raises EIO, because nothing would end it.
    Raises OSError where the plan says so.
    """

    def __init__(self, data: Iterable[Buffer], plan: FaultPlan, *, wait: Callable[[float], object] = sleep) -> None:
        self._data = data
        self._plan = plan
        self._wait = wait
        self.log = Log()

    def __iter__(self) -> Iterator[Buffer]:
        pieces = _Pieces(self._plan, Direction.OUT)
        self.log = pieces.log
        for data in self._data:
            pieces.line.feed(data)
            while pieces.line.size:
                yield from pieces.ready()
                if pieces.over:
                    return
                if (seconds := pieces.wait()) is None:
                    break
                self._wait(seconds)
                pieces.waited()
        pieces.line.end()
        while True:
            yield from pieces.ready()
            if pieces.over:
                return
            if (seconds := pieces.wait()) is None:
                raise os_error("EIO")
            self._wait(seconds)
            pieces.waited()


class AwaitedFaultySource(AsyncIterable[Buffer]):
    """The same for an event loop: `wait` is awaited, for example `trio.sleep` or `asyncio.sleep`."""

    def __init__(self, data: Iterable[Buffer], plan: FaultPlan, *, wait: Callable[[float], Awaitable[object]]) -> None:
        self._data = data
        self._plan = plan
        self._wait = wait

    async def __aiter__(self) -> AsyncIterator[Buffer]:
        waits: list[float] = []
        for piece in FaultySource(self._data, self._plan, wait=waits.append):
            while waits:
                await self._wait(waits.pop(0))
            yield piece


class FaultySink:
    """A sink of received data sets around another one, with the faults `in` of a plan. It is a `Sink`.

    `wait`: called with seconds where a fault takes time. After a half-close, a reset or a stall without end no more is
    wanted: the object is refused, and never complete. Raises OSError where the plan says so.
    """

    def __init__(self, sink: Sink, plan: FaultPlan, *, wait: Callable[[float], object] = sleep) -> None:
        self._sink = sink
        self._pieces = _Pieces(plan, Direction.IN)
        self._wait = wait
        self._refuses = False
        self.log = self._pieces.log
        """The faults that have struck."""

    def write(self, pieces: Iterable[Buffer]) -> bool:
        """Takes pieces, whose memory may be reused afterwards. Returns False if no more are wanted."""
        for data in pieces:
            self._pieces.line.feed(bytes(data))
            self._pass_on()
        return not self._refuses and self._sink.write(())

    def end(self, pieces: Iterable[Buffer] = ()) -> Stored:
        """Takes the last pieces, and returns the outcome of the inner sink, or a failure."""
        self.write(pieces)
        self._pieces.line.end()
        self._pass_on()
        if self._refuses:
            return Stored(status=status.PROCESSING_FAILURE, size=self._pieces.line.carried, error=REFUSED)
        return self._sink.end()

    def _pass_on(self) -> None:
        line = self._pieces.line
        while not self._refuses:
            for piece in self._pieces.ready():
                self._sink.write([piece])
            seconds = self._pieces.wait()
            if line.cut or line.reset or line.stalled_forever:
                self._refuses = True
            elif seconds is None:
                return
            else:
                self._wait(seconds)
                self._pieces.waited()
