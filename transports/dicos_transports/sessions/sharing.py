"""Many instances over several associations at once: one source, from which each takes the next when it has room for it.

So a slow association does not delay the others, and a lost association loses only the instances that it had taken.
`store_over` of `blocking`, `trio` and `asyncio` is this module and their way to run several things at once.

Knows: instances and their outcomes. Must not know: tasks, sockets; and of threads only that several may use a `Shared`
at once. Invariant: an instance that was taken is reported once, or is given back and taken again.
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
            except Exception as error:  # the caller's own; the instances already sent are still to be answered
                self._fault, self._stopped = error, True
                return None

    def give_back(self, instance: Instance) -> None:
        """The instance was not sent: another association may send it."""
        with self._lock:
            self._returned.append(instance)

    def stop(self) -> None:
        """Sends no more instances; errors from now on are ignored."""
        self._stopped = self._left = True
        self._fault = self._lost = None  # their tracebacks have this object

    def fail(self, fault: BaseException) -> None:
        """An exception of the caller's own code: sends no more instances, and `finish` raises it."""
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
    """The part of one association. Iterating over it takes instances; those without an outcome when the association is
    lost are lost with it."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._first: Instance | None = None  # taken before there is an association to send it
        self._held: list[Instance] = []

    def begin(self) -> bool:
        """Takes the first instance. Returns True if there is one, and so a reason to request an association."""
        self._first = self._shared.take()
        return self._first is not None

    def __iter__(self) -> Iterator[Instance]:
        instance, self._first = self._first, None
        while instance is not None:
            self._held.append(instance)
            yield instance
            instance = self._shared.take()

    def told(self, outcome: Outcome) -> Outcome:
        """Notes that the outcome of an instance is known, and returns it."""
        for index, instance in enumerate(self._held):
            if instance is outcome.instance:
                del self._held[index]
                break
        return outcome

    def lose(self, error: AssociationError) -> list[Outcome]:
        """The association was lost. Returns an outcome for each of its unanswered instances.

        They share the error, as a value: without its traceback, whose frames would keep objects alive.
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
    """Runs one of several associations, in a task of its own."""
    share = Share(shared)
    try:
        if share.begin():
            async with await connect_one() as session:
                async for outcome in session.store_many(share, priority=priority):
                    await tell(share.told(outcome))
    except AssociationError as error:
        for lost in share.lose(error):
            await tell(lost)
    except Exception as error:  # the caller's own, from `connect_one` or a data set: `finish` raises it to the caller
        shared.fail(error)
