"""Many instances over several associations at once: one source, from which each takes the next when it has room for it.

So a slow association holds up nobody, and one that is lost takes along only what it had been given: `store_over` of
`blocking`, `trio` and `asyncio` is this and their way to run several things at once.

Knows: instances and what became of them. Must not know: threads, tasks, sockets; but a `Shared` may be used from
several threads at once. Invariant: an instance that was taken is told once, or is given back and taken again.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from dicos_proto.conversation.flows import AssociationError
from dicos_proto.services.storage import Instance, Outcome

if TYPE_CHECKING:
    from .session import Session

__all__ = ["Share", "Shared", "store_share"]


class Shared:
    """The source, and how it ended."""

    def __init__(self, instances: Iterable[Instance], associations: int) -> None:
        if associations < 1:
            raise ValueError(f"{associations} associations; at least 1")
        self._source = iter(instances)
        self._lock = threading.Lock()
        self._returned: list[Instance] = []
        self._stopped = False
        self._left = False
        self._fault: BaseException | None = None
        self._lost: AssociationError | None = None

    def take(self) -> Instance | None:
        """The next instance; None when there are no more, or no more are to be sent."""
        with self._lock:
            if self._stopped:
                return None
            if self._returned:
                return self._returned.pop()
            try:
                return next(self._source, None)
            except Exception as error:  # the caller's own; what was sent already is still to be answered
                self._fault, self._stopped = error, True
                return None

    def give_back(self, instance: Instance) -> None:
        """It was not sent: another association may."""
        with self._lock:
            self._returned.append(instance)

    def stop(self) -> None:
        """Send no more; whatever goes wrong from now on, nobody asks for it."""
        self._stopped = self._left = True
        self._fault = self._lost = None  # their tracebacks have this object

    def fail(self, fault: BaseException) -> None:
        """The caller's own fault: send no more, and raise it in the end."""
        self._stopped = True
        if not self._left:
            self._fault = self._fault or fault

    def lose(self, error: AssociationError) -> None:
        """An association was lost, or could not be made."""
        if not self._left:
            self._lost = error

    def finish(self) -> None:
        """All associations are over. Raises the caller's own fault; `AssociationError` if instances are left."""
        fault, self._fault = self._fault, None
        lost, self._lost = self._lost, None
        try:
            if fault is not None:
                raise fault
            if lost is not None and self.take() is not None:
                raise lost
        finally:
            del fault, lost  # their tracebacks have this frame


class Share:
    """The part of one association: iterated, it takes instances; what is not told when it is lost is lost with it."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._first: Instance | None = None  # taken before there is an association to send it
        self._held: list[Instance] = []

    def begin(self) -> bool:
        """Take the first instance; whether there is one, and so a reason to ask for an association."""
        self._first = self._shared.take()
        return self._first is not None

    def __iter__(self) -> Iterator[Instance]:
        instance, self._first = self._first, None
        while instance is not None:
            self._held.append(instance)
            yield instance
            instance = self._shared.take()

    def told(self, outcome: Outcome) -> Outcome:
        """It is known what became of this one."""
        for index, instance in enumerate(self._held):
            if instance is outcome.instance:
                del self._held[index]
                break
        return outcome

    def lose(self, error: AssociationError) -> list[Outcome]:
        """The association is over before its time: what becomes of its instances.

        It is told as a value, as often as there are instances: without the frames it came through, and what they hold.
        """
        error = error.with_traceback(None)
        self._shared.lose(error)
        if self._first is not None:
            self._shared.give_back(self._first)
            self._first = None
        held, self._held = self._held, []
        return [Outcome(instance=instance, problem=error) for instance in held]


async def store_share(
    shared: Shared,
    connect_one: Callable[[], Awaitable[Session]],
    tell: Callable[[Outcome], Awaitable[None]],
    *,
    priority: int,
) -> None:
    """One of several associations, in a task of its own."""
    share = Share(shared)
    try:
        if share.begin():
            async with await connect_one() as session:
                async for outcome in session.store_many(share, priority=priority):
                    await tell(share.told(outcome))
    except AssociationError as error:
        for lost in share.lose(error):
            await tell(lost)
    except Exception as error:  # the caller's own, out of `connect_one` or a data set: told where it can be seen
        shared.fail(error)
