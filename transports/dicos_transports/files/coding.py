"""Frames encoded and decoded in threads while a data set streams, in their order, with a bounded look-ahead.

Theory of operation: a `FrameCoder` takes the items of a `PixelTranscoder`. Bytes pass; the work of a frame goes to a
pool of threads, which runs truly parallel, because the codecs release the interpreter. Results come out in the order in
which the items went in. When more items wait than the look-ahead allows, the caller waits for the first of them.

Knows: threads. Must not know: codecs, data sets, files. Invariants: at most `ahead` frames are in work or wait, fewer
if they are large, so that memory is a few frames for each thread; no thread is started for less than two frames; none
is left after `close`.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeAlias

from dicos_proto.wire import Buffer

if TYPE_CHECKING:
    from dicos_proto.dicos.compressing import FrameWork, Item

    Waiting: TypeAlias = Buffer | FrameWork | Future[tuple[Buffer, ...]]

__all__ = ["FrameCoder", "coded"]

_MOST_THREADS: Final = 8
_AHEAD: Final = 3
"""Items for each thread that are in work or wait: one in work, one done, one to go on with."""
_MOST_AHEAD: Final = 256 << 20
"""Native bytes of the frames that are in work or wait. Stops: 20 MB of RLE that take 2.5 GB in eight threads."""


class FrameCoder:
    """Runs the work of frames in `threads`, by default as many as there are processors, up to 8. Not thread-safe.

    A context manager that ends its threads.
    """

    __slots__ = ("_ahead", "_pool", "_threads", "_waiting")

    def __init__(self, threads: int | None = None) -> None:
        """Raises ValueError for less than one thread."""
        if threads is not None and threads < 1:
            raise ValueError(f"{threads} threads; at least 1")
        self._threads = threads or min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
                                       _MOST_THREADS)  # fmt: skip
        self._ahead = self._threads * _AHEAD
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[Waiting] = deque()

    def put(self, items: Iterable[Item]) -> Iterator[Buffer]:
        """Takes items; yields what is ready, and waits when too many are not. Raises what the work raises."""
        for item in items:
            if not self._waiting and isinstance(item, bytes | bytearray | memoryview):
                yield item
                continue
            if not isinstance(item, bytes | bytearray | memoryview):
                self._ahead = min(self._ahead, max(1, _MOST_AHEAD // item.layout.size))
            begun = self._begun(item)
            self._waiting.append(begun)
            while self._waiting and (len(self._waiting) > self._ahead or _is_ready(self._waiting[0])):
                yield from _result(self._waiting.popleft())

    def drain(self) -> Iterator[Buffer]:
        """Yields the rest, as it becomes ready. Raises what the work raises."""
        while self._waiting:
            yield from _result(self._waiting.popleft())

    def close(self) -> None:
        """Ends the threads; work that has not begun is dropped. May be called repeatedly."""
        self._waiting.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def __enter__(self) -> FrameCoder:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _begun(self, item: Item) -> Waiting:
        """Begins the work of a frame. The first frame of several waits for the second, so that one alone needs no
        thread."""
        if isinstance(item, bytes | bytearray | memoryview) or self._threads == 1:
            return item
        if self._pool is None:
            first = next((one for one in self._waiting if not isinstance(one, bytes | bytearray | memoryview)), None)
            if first is None:
                return item
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="dicos-frames")
            self._waiting = deque(self._submitted(one) for one in self._waiting)
        return self._submitted(item)

    def _submitted(self, item: Waiting) -> Waiting:
        if isinstance(item, bytes | bytearray | memoryview | Future) or self._pool is None:
            return item
        return self._pool.submit(item.run)


def _is_ready(one: Waiting) -> bool:
    return isinstance(one, bytes | bytearray | memoryview) or (isinstance(one, Future) and one.done())


def _result(one: Waiting) -> tuple[Buffer, ...]:
    if isinstance(one, bytes | bytearray | memoryview):
        return (one,)
    return one.result() if isinstance(one, Future) else one.run()


def coded(items: Iterable[Item], *, threads: int | None = None) -> Generator[Buffer, None, None]:
    """Yields the bytes of the items, frames encoded and decoded in `threads` (`FrameCoder`). Raises `CodecError`, and
    what `items` raises."""
    with FrameCoder(threads) as coder:
        yield from coder.put(items)
        yield from coder.drain()
