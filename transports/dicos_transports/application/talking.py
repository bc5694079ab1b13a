"""Calls the functions that answer requests, and takes the values that they give, in each adapter.

Knows: a session, plain and async functions. Must not know: messages, what an answer has to be.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from inspect import isasyncgenfunction, isawaitable, iscoroutine, iscoroutinefunction
from itertools import islice
from typing import TYPE_CHECKING, TypedDict, TypeGuard, TypeVar

from dicos_proto.arguments import kind_of
from dicos_proto.limits import DEFAULT_MAX_LENGTH
from dicos_proto.upper_layer.pdu_types import AssociateRequest, UserInformation

from ..addresses import Address
from ..sessions.offloading import in_trio
from ..sessions.session import Session
from .asked import WrongAnswer

if TYPE_CHECKING:
    from ..tls.layer import ClientTLS

__all__ = ["Responder", "WrongAnswer", "closing"]

T = TypeVar("T")


class Responder:
    """One session, and how functions are called while it waits.

    `connect`: that of its adapter, as a coroutine function. `threads`: plain functions run in worker threads.
    `at_once`: the adapter is `blocking`, where nothing that a function gives is awaited.
    """

    def __init__(
        self,
        session: Session,
        connect: Callable[..., Awaitable[Session]],
        tls: ClientTLS | None = None,
        *,
        threads: bool = False,
        at_once: bool = False,
    ) -> None:
        self.session = session
        self.run = session.run
        self._connect = connect
        self._tls = tls
        self._threads = threads
        self._at_once = at_once

    async def call(self, function: Callable[..., object], given: object) -> object:
        """Calls the function, and awaits its result if necessary. Raises `WrongAnswer` if it cannot be awaited here."""
        if self._threads and not (iscoroutinefunction(function) or isasyncgenfunction(function)):
            found = await _in_thread(function, given)
        else:
            found = function(given)
        if not self._at_once:
            return await found if isawaitable(found) else found
        if isawaitable(found) or isinstance(found, AsyncIterable):
            if iscoroutine(found):
                found.close()
            raise WrongAnswer("what it gave has to be awaited: serve it by trio or asyncio")
        return found

    async def each(self, found: object) -> AsyncGenerator[object, None]:
        """Iterates over the result of a function. Raises `WrongAnswer` if it is not iterable."""
        if isinstance(found, AsyncIterable) and not self._at_once:
            async with closing(found) as awaited:
                async for one in awaited:
                    yield one
            return
        iterator = iter(_iterable(found))
        try:
            if not self._threads:
                for one in iterator:
                    yield one
            else:
                while next_one := await _in_thread(_next, iterator):
                    yield next_one[0]
        finally:
            _close(iterator)

    def is_at_hand(self, found: object) -> TypeGuard[Iterable[object]]:
        """Returns True if `found` can be iterated as it is, within a flow."""
        return isinstance(found, Iterable) and not self._threads

    @asynccontextmanager
    async def connected(self, where: Address, request: AssociateRequest) -> AsyncIterator[Responder]:
        """An association with the destination of a C-MOVE or of a report. Raises `AssociationError`."""
        async with await self._connect(where, request.contexts, **_options(request, self._tls)) as session:
            yield Responder(session, self._connect, at_once=self._at_once)


@asynccontextmanager
async def closing(iterable: AsyncIterable[T]) -> AsyncIterator[AsyncIterator[T]]:
    """The iterator of `iterable`; if it is a generator, it is closed at the end of the block."""
    iterator = aiter(iterable)
    try:
        yield iterator
    finally:
        if isinstance(iterator, AsyncGenerator):
            await iterator.aclose()


class _Options(TypedDict):
    """The options of `connect` that an A-ASSOCIATE-RQ decides."""

    called_aet: str
    calling_aet: str
    application_context: str
    user_information: UserInformation
    tls: ClientTLS | None


def _options(request: AssociateRequest, tls: ClientTLS | None) -> _Options:
    return _Options(
        called_aet=request.called_aet,
        calling_aet=request.calling_aet,
        application_context=request.application_context,
        user_information=replace(request.user_information, max_length=DEFAULT_MAX_LENGTH),
        tls=tls,
    )


def _iterable(found: object) -> Iterable[object]:
    if not isinstance(found, Iterable):
        raise WrongAnswer(f"{kind_of(found)}; expected several values: yield them, or return a list")
    return found


def _next(iterator: object) -> list[object]:
    """Returns the next value in a list; an empty list at the end."""
    return list(islice(_iterable(iterator), 1))


def _close(iterator: object) -> None:
    """Closes the iterator if it is a generator."""
    close = getattr(iterator, "close", None)
    if callable(close):
        close()


async def _in_thread(function: Callable[..., T], given: object) -> T:
    if in_trio():
        import trio

        told: list[tuple[list[T], BaseException | None]] = []
        await trio.to_thread.run_sync(_tell, function, given, told)
        found, error = told.pop()
        try:
            if error is not None:
                raise error
            return found[0]
        finally:
            del error  # its traceback has this frame
    import asyncio

    return await asyncio.to_thread(function, given)


def _tell(function: Callable[[object], T], given: object, told: list[tuple[list[T], BaseException | None]]) -> None:
    """Puts the result of the function, or the exception that it raises, into `told`.

    Otherwise frames of trio would keep it, and the exception's traceback would keep these frames, with everything that
    the function was given, until the garbage collector runs."""
    try:
        told.append(([function(given)], None))
    except BaseException as error:  # raised in the task
        told.append(([], error))
