"""The interface between the commands, which are written once as coroutines, and the runtimes in which they wait.

The `blocking` runtime never suspends: each await ends in a blocking call, so one `send(None)` runs a coroutine to its
end, and concurrent work runs in threads. `trio` and `asyncio` are event loops. A command imports only its own runtime.

Interrupts are the same in all runtimes. Inside `cancelling`, the first Ctrl-C asks the operation to end. Elsewhere it
raises KeyboardInterrupt where the coroutine waits, and running operations are aborted, within `timers.PATIENCE`.
"""

from __future__ import annotations

import signal
import threading
from argparse import Namespace
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, Unpack

from ...sessions.session import Session

if TYPE_CHECKING:
    from dicos_proto.upper_layer.pdu_types import ProposedContext
    from dicos_proto.upper_layer.policy import AcceptPolicy

    from ...addresses import Address, Listening
    from ...options import ConnectOptions
    from ...serving.options import Identify, ServeOptions
    from ...serving.reception import Metrics

BATCH: Final = 256 * 1024
"""Bytes of a received object that an event loop gathers before a thread writes them."""
TRANSPORTS: Final = ("blocking", "trio", "asyncio")

T = TypeVar("T")
Work = Callable[[], Coroutine[Any, Any, None]]
Handler = Callable[[Session], Coroutine[Any, Any, None]]


class Interrupt:
    """The state of `cancelling`: `asked` is True after the first Ctrl-C."""

    def __init__(self) -> None:
        self.asked = False


class Served(Protocol):
    """The part of a server that the commands use."""

    @property
    def served(self) -> int: ...

    @property
    def address(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def over_tls(self) -> bool: ...

    @property
    def metrics(self) -> Metrics: ...

    async def close(self, grace: float) -> None: ...


class Runtime(Protocol):
    """A way to run commands. `batch`: bytes of a received object that are gathered before they are written."""

    batch: int

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run `main` to its end. After a Ctrl-C, raises KeyboardInterrupt once everything is cleaned up."""

    async def connect(
        self, where: Address, contexts: tuple[ProposedContext, ...], **options: Unpack[ConnectOptions]
    ) -> Session:
        """Like `connect` of the adapters."""

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""

    async def offload(self, function: Callable[[], T]) -> T:
        """Call a function that may block, for example on the disk, without holding up anything else."""

    async def all_of(self, *works: Work) -> None:
        """Run all works concurrently. If one raises, the others are ended and the exception is raised here."""

    def cancelling(self, cancel: Callable[[], None]) -> AbstractAsyncContextManager[Interrupt]:
        """Return a context in which the first Ctrl-C calls `cancel`, and the operation has `timers.CANCEL_PATIENCE`.

        After that time, or at a second Ctrl-C, KeyboardInterrupt is raised where the coroutine waits.
        """

    def serve(
        self,
        where: Listening,
        handler: Handler,
        *,
        policy: AcceptPolicy,
        identify: Identify | None = None,
        **options: Unpack[ServeOptions],
    ) -> AbstractAsyncContextManager[Served]:
        """Like `serve` of the adapters, until the server is closed or the context is left. Raises `ListenFailed`."""

    async def until_stopped(self, server: Served, stopping: Stopping, started: Callable[[], None]) -> None:
        """Wait for a request to stop, then close the server; a second request closes it at once.

        `started` is called once signal handlers are installed.
        """


class Stopping:
    """The ways to stop a provider: SIGINT, SIGTERM or `stop`, which any thread may call.

    `first` is called then, and running operations have `grace` seconds to finish. A second signal calls `second` and
    ends them at once.
    """

    def __init__(self, grace: float, first: Callable[[], None], second: Callable[[], None]) -> None:
        self.grace = grace
        self.first = first
        self.second = second
        self.stop: Callable[[], object] = lambda: None


def runtime(options: Namespace) -> Runtime:
    """Return the runtime that `--transport` names."""
    made: Runtime = import_module(f".{options.transport}", __package__).make()
    return made


def interruptible() -> bool:
    """Returns True if Ctrl-C raises KeyboardInterrupt in this thread, because the caller does not handle the signal."""
    at_home = threading.current_thread() is threading.main_thread()
    return at_home and signal.getsignal(signal.SIGINT) is signal.default_int_handler


@contextmanager
def single() -> Iterator[None]:
    """Raise the most important exception of an exception group, which is what a group of tasks raises."""
    try:
        yield
    except BaseExceptionGroup as group:
        found = list(_leaves(group))
        for kind in (KeyboardInterrupt, SystemExit, BaseException):
            for fault in found:
                if isinstance(fault, kind):
                    raise fault from None


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for fault in group.exceptions:
        if isinstance(fault, BaseExceptionGroup):
            yield from _leaves(fault)
        else:
            yield fault
