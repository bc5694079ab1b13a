"""Runs functions that would hold up the event loop in worker threads, under trio or asyncio.

Knows: both loops, each imported only if it runs. Must not know: sessions, files.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def in_trio() -> bool:
    """Return True if the caller is a task of trio."""
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_run())


async def offload(function: Callable[[], T]) -> T:
    """Call a function that may block, for example on the disk, in a worker thread. Returns or raises what it does.

    If the task is cancelled meanwhile, the cancellation takes effect when the function has returned, so that nothing
    else touches the data it works on before that.
    """
    if in_trio():
        import trio

        return await trio.to_thread.run_sync(function)
    return await offload_in_asyncio(function)


async def offload_in_asyncio(function: Callable[[], T]) -> T:
    """Like `offload`, for callers that run under asyncio."""
    import asyncio

    work = asyncio.get_running_loop().run_in_executor(None, function)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError:
                continue
        raise
    finally:
        del work  # it would form a reference cycle: its exception has a traceback with this frame
