"""What carries a command: the commands are written once, as coroutines, and a `Runtime` is where they wait.

`blocking` never suspends: each await ends in a call that blocks, so that one `send(None)` runs a coroutine to its end,
and what is done at the same time is done in threads. `trio` and `asyncio` are event loops. Nothing of the others is
imported for one of them.

Interrupts are the same in all of them: the first Ctrl-C asks, where there is something that can be asked for
(`cancelling`), else it is a KeyboardInterrupt where the coroutine waits; whatever is under way is aborted then, which
takes `PATIENCE` at most.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from ...sessions.session import Session

if TYPE_CHECKING:
    from dicos_proto.timers import Timeouts
    from dicos_proto.tolerance import Tolerance
    from dicos_proto.upper_layer.pdu_types import AssociateRequest, ProposedContext, UserInformation
    from dicos_proto.upper_layer.policy import AcceptPolicy, IdentityVerdict

    from ...addresses import Address, Listening, SourceAddress
    from ...serving.reception import Metrics
    from ...tls.layer import ClientTLS, ServerTLS
    from ...tracing import Trace

PATIENCE: Final = 2.0
"""Seconds that a peer gets to take the A-ABORT of an interrupted command: one that stalls is why people interrupt."""
CANCEL_PATIENCE: Final = 3.0
"""Seconds that a peer gets to end an operation after a C-CANCEL, before the association is aborted."""
BATCH: Final = 256 * 1024
"""Bytes of a received object that are gathered in an event loop before a thread writes them."""
TRANSPORTS: Final = ("blocking", "trio", "asyncio")

T = TypeVar("T")
Work = Callable[[], Coroutine[Any, Any, None]]
Handler = Callable[[Session], Coroutine[Any, Any, None]]


class Interrupt:
    """Whether a Ctrl-C has come."""

    def __init__(self) -> None:
        self.asked = False


class Served(Protocol):
    """A server, as far as a command uses it."""

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
    """Where a command waits. `batch`: bytes of a received object that are gathered before they go to the disk."""

    batch: int

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run `main` to its end. Raises KeyboardInterrupt for a Ctrl-C, once what it left is cleaned up."""

    async def connect(
        self,
        where: Address,
        contexts: tuple[ProposedContext, ...],
        *,
        called_aet: str,
        calling_aet: str,
        application_context: str,
        user_information: UserInformation,
        timeouts: Timeouts,
        tolerance: Tolerance,
        tls: ClientTLS | None,
        source_address: SourceAddress | None,
        keepalive: float | None,
        trace: Trace | None,
    ) -> Session:
        """As `connect` of the adapters."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def offload(self, function: Callable[[], T]) -> T:
        """Call what may block, the disk say, where it holds up nothing else."""

    async def all_of(self, *works: Work) -> None:
        """Do all of this at the same time. What one of them raises ends the others, and is raised."""

    def cancelling(self, cancel: Callable[[], None]) -> AbstractAsyncContextManager[Interrupt]:
        """Here the first Ctrl-C calls `cancel`, and the operation gets `CANCEL_PATIENCE` to end.

        After that, and at a second Ctrl-C, KeyboardInterrupt is raised where it waits.
        """

    def serve(
        self,
        where: Listening,
        handler: Handler,
        *,
        policy: AcceptPolicy,
        timeouts: Timeouts,
        tolerance: Tolerance,
        associations: int,
        per_address: int,
        tls: ServerTLS | None,
        trace: Callable[[str], Trace] | None,
        keepalive: float | None,
        identify: Callable[[AssociateRequest], IdentityVerdict | None] | None = None,
        reuse_port: bool = False,
    ) -> AbstractAsyncContextManager[Served]:
        """Serve associations until it is closed or left. Raises `ListenFailed`."""

    async def until_stopped(self, server: Served, stopping: Stopping, started: Callable[[], None]) -> None:
        """Wait until it is to stop, and close it: at once, when that is asked for once more.

        `started` is called when it is listened to signals.
        """


class Stopping:
    """How a provider ends: SIGINT, SIGTERM or `stop`, which any thread may call. A second signal waits for nobody.

    `first` and `second` are called then; operations get `grace` seconds to finish.
    """

    def __init__(self, grace: float, first: Callable[[], None], second: Callable[[], None]) -> None:
        self.grace = grace
        self.first = first
        self.second = second
        self.stop: Callable[[], object] = lambda: None


def runtime(options: Namespace) -> Runtime:
    """The one that `--transport` names."""
    made: Runtime = import_module(f".{options.transport}", __package__).make()
    return made


@contextmanager
def single() -> Iterator[None]:
    """Of a group of exceptions, which is what a group of tasks raises, the one that tells most is raised."""
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
