"""Threads for what would hold up an event loop, in trio or asyncio, whichever is running.

Knows: both loops, each imported only where it runs. Must not know: sessions, files.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def in_trio() -> bool:
    """Returns True if trio runs the task that asks."""
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_run())


async def offload(function: Callable[[], T]) -> T:
    """Call what may block, the disk say, in a worker thread; what it returns, or raises.

    If the task is cancelled meanwhile, the cancellation waits until the function has returned: what it works on is
    nobody else's before that.
    """
    if in_trio():
        import trio

        return await trio.to_thread.run_sync(function)
    return await offload_in_asyncio(function)


async def offload_in_asyncio(function: Callable[[], T]) -> T:
    """`offload` where asyncio is known to run."""
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
        del work  # which keeps what the function raises, whose traceback has this frame
