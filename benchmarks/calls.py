"""Python calls that an object takes: python -m benchmarks.calls [--root CHECKOUT]

A count of calls does not depend on how busy the machine is. One side is counted, with `sys.setprofile`, in its thread;
its peer is the blocking adapter in another thread, over a pair of sockets. Two runs send different numbers of objects;
the difference of their calls, for each object, leaves out connecting and releasing.

`--root`: another checkout of this project, whose code is counted instead, before and after a change for example. Only
names that every version of the project has are used.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

FEW, MANY = 64, 192
"""Objects in the two runs: multiples of every window, so that both end alike."""
SMALL, LARGE = 1000, 8 << 20
CT, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"


class Counter:
    """Counts the Python functions, generators and coroutines that are entered in the thread that uses it."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            self.calls += 1

    def __enter__(self) -> Counter:
        sys.setprofile(self)
        return self

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)


class Run:
    """One association over a pair of sockets."""

    def __init__(self, size: int, window: int, count: int) -> None:
        from dicos_proto import AcceptPolicy, UserInformation, propose
        from dicos_proto.pdu_types import OperationsWindow  # the name that every version has
        from dicos_proto.services.storage import Instance

        both = OperationsWindow(invoked=window, performed=window) if window > 1 else None
        self.policy = AcceptPolicy(other_contexts=(EXPLICIT,), window=both)
        self.information = UserInformation(window=both) if both else None
        self.contexts = propose({CT: (EXPLICIT,)})
        self.instances = [
            Instance(sop_class_uid=CT, sop_instance_uid=f"1.2.{one}", transfer_syntax=EXPLICIT, data=bytes(size))
            for one in range(count)
        ]
        self.ours, self.theirs = socket.socketpair()
        for end in (self.ours, self.theirs):
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                end.setsockopt(socket.SOL_SOCKET, option, 1 << 20)

    def beside(self, work: Callable[[], None], counted: Callable[[], int]) -> int:
        """Return the result of `counted`, while another thread does `work`."""
        peer = threading.Thread(target=work)
        peer.start()
        found = counted()
        peer.join()
        return found

    # -- the blocking adapter ------------------------------------------------------------------------------------

    def send(self) -> None:
        from dicos_transports import blocking

        with blocking.connect(self.ours, self.contexts, user_information=self.information) as session:
            for outcome in session.store_many(self.instances):
                assert outcome.stored

    def receive(self) -> None:
        from dicos_transports import blocking

        with blocking.accept(self.theirs, self.policy) as session:
            for request in session:
                for _ in request.data():
                    pass
                request.respond()

    # -- the others ----------------------------------------------------------------------------------------------

    async def send_awaited(self, adapter: Any) -> None:
        async with await adapter.connect(self.ours, self.contexts, user_information=self.information) as session:
            async for outcome in session.store_many(self.instances):
                assert outcome.stored

    async def receive_awaited(self, adapter: Any) -> None:
        async with await adapter.accept(self.theirs, self.policy) as session:
            async for request in session:
                async for _ in request.data():
                    pass
                await request.respond()


def once(adapter: str, side: str, size: int, window: int, count: int) -> int:
    """The calls that one side of an association takes, all in all."""
    run = Run(size, window, count)

    def counted() -> int:
        with Counter() as counter:
            if adapter == "blocking":
                (run.send if side == "sent" else run.receive)()
            elif adapter == "trio":
                import trio

                from dicos_transports import trio as over_trio

                trio.run(run.send_awaited if side == "sent" else run.receive_awaited, over_trio)
            else:
                from dicos_transports import asyncio as over_asyncio

                asyncio.run((run.send_awaited if side == "sent" else run.receive_awaited)(over_asyncio))
        return counter.calls

    return run.beside(run.receive if side == "sent" else run.send, counted)


def figures() -> Iterator[tuple[str, str, float]]:
    """(adapter, what, calls an object)"""
    for adapter in ("blocking", "trio", "asyncio"):
        for side in ("received", "sent"):
            once(adapter, side, SMALL, 1, FEW)  # the first run imports modules and fills caches
            for window in (1, 32):
                few, many = (once(adapter, side, SMALL, window, count) for count in (FEW, MANY))
                yield adapter, f"1 kB {side}, window {window}", (many - few) / (MANY - FEW)
            few, many = (once(adapter, side, LARGE, 1, count) for count in (2, 6))
            yield adapter, f"8 MiB {side}", (many - few) / 4


def main() -> None:
    parser = argparse.ArgumentParser(description="Counts the Python calls that an object takes in each adapter.")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1], help="the checkout to count")
    root = parser.parse_args().root.resolve()
    sys.path[:0] = [str(root), str(root / "transports")]
    for adapter, what, calls in figures():
        print(f"{adapter:<10} {what:<24} {calls:>8.1f}", flush=True)


if __name__ == "__main__":
    main()
