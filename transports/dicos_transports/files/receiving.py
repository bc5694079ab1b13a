"""C-STORE requests to files: the pieces of an object are taken, the file is written, the request is answered.

Theory of operation: `IncomingFile` judges and writes, and never waits for the peer. `take_all` waits for the pieces and
gives them to it; `receive` also answers. These two are coroutines over the requests of `sessions.session`, and serve
every adapter: in an event loop a worker thread writes, and for a blocking session, where nothing suspends, the
coroutine is `finished` in one go.

Knows: sessions, statuses. Must not know: sockets, PDVs. Invariants: success is answered only when the file has its
name; an object that does not come to its end leaves nothing; memory is a few chunks.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeVar, overload

from dicos_proto.conversation.flows import Stream
from dicos_proto.conversation.reading import together
from dicos_proto.data import Checker, DataSetError
from dicos_proto.registry import status
from dicos_proto.services.performing import ProviderOperation
from dicos_proto.wire import Buffer

from ..buffers import Gathered
from ..sessions.finished import finished
from ..sessions.iterating import Iteration
from ..sessions.offloading import offload
from ..sessions.session import StoreRequest as AwaitedStoreRequest
from .receipt import Conversion, converts
from .writer import Part10Writer

if TYPE_CHECKING:
    from ..blocking.session import StoreRequest
    from ..sessions.received import Described

__all__ = ["BATCH", "IncomingFile", "Stored", "discard", "receive", "store_into", "take_all"]

T = TypeVar("T")

BATCH: Final = 256 << 10
"""Bytes of an object that are gathered for a worker thread, which has to be woken for each batch."""
_OUT_OF_RESOURCES = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
)

Offload = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Calls a function that may block, so that nothing else is held up, and gives its result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The outcome for a received object: the status of the response, the size in bytes, the file if there is one."""

    status: int
    size: int
    path: Path | None = None
    error: str | None = None

    @property
    def comment(self) -> str | None:
        """The error as the response has it, cut to the length of an Error Comment [PS3.7 C.5]."""
        return None if self.error is None else self.error[:64]


class IncomingFile:
    """A received object that becomes a file. It takes pieces and says what to answer; it never waits for the peer.

    `folder` None: nothing is kept. A context manager that removes an object that did not come to its `end`.
    """

    __slots__ = (
        "_checker", "_conversion", "_folder", "_fsync", "_most", "_overwrite", "_refused", "_request", "_size",
        "_source", "_transfer_syntax", "_writer",
    )  # fmt: skip

    def __init__(
        self,
        folder: Path | None,
        request: Described[Any, ProviderOperation],
        *,
        source_aet: str | None = None,
        overwrite: bool = False,
        fsync: bool = False,
        most: int | None = None,
        check: bool = True,
        transfer_syntax: str | None = None,
        threads: int | None = None,
    ) -> None:
        """`source_aet`: the AE title of the sender, by default that of the association's requestor. `most`: the largest
        size in bytes. `check`: refuse an object that is not a data set, is cut short, or is not the one that the
        command names (`checker.Checker`). `transfer_syntax`: convert to this one, pixel data in `threads`, what can be
        (`receipt.converts`)."""
        self._folder = folder
        self._request = request
        self._source = source_aet
        self._overwrite = overwrite
        self._fsync = fsync
        self._most = most
        self._size = 0
        self._writer: Part10Writer | None = None
        self._refused: Stored | None = None
        self._checker: Checker | None = None
        if check:
            self._checker = Checker.of(
                request.transfer_syntax,
                request.sop_class_uid,
                request.sop_instance_uid or "",
                request.session.association.terms.limits,
            )
        self._transfer_syntax = request.transfer_syntax
        self._conversion: Conversion | None = None
        if (
            folder is not None
            and transfer_syntax is not None
            and converts(request.sop_class_uid, request.transfer_syntax, transfer_syntax)
        ):
            self._transfer_syntax = transfer_syntax
            self._conversion = Conversion(
                request.transfer_syntax,
                transfer_syntax,
                sop_class_uid=request.sop_class_uid,
                limits=request.session.association.terms.limits,
                threads=threads,
            )
        if request.sop_class_uid != request.context.abstract_syntax:
            self._refuse(status.SOP_CLASS_NOT_SUPPORTED, "not the SOP class of the presentation context")

    def write(self, pieces: Iterable[Buffer]) -> bool:
        """Takes pieces of the data set, whose memory may be reused afterwards. It may block.

        The pieces of a list are written together. Returns False once the object is refused: no more of it is wanted.
        """
        for batch in (pieces,) if isinstance(pieces, list) else ((piece,) for piece in pieces):
            if self._refused is not None:
                break
            self._size += sum(map(len, batch))
            if self._most is not None and self._size > self._most:
                self._refuse(status.OUT_OF_RESOURCES, f"more than {self._most} bytes")
            elif self._fits(batch) and self._folder is not None and batch:
                if self._conversion is None:
                    self._put(self._folder, batch)
                else:
                    self._put_converted(self._folder, chain.from_iterable(map(self._conversion.feed, batch)))
        return self._refused is None

    def end(self, pieces: Iterable[Buffer] = ()) -> Stored:
        """Takes the last pieces, completes the file, and returns what to answer. It may block."""
        self.write(pieces)
        if self._refused is None and not self._size and self._folder is not None:
            self._refuse(status.CANNOT_UNDERSTAND, "no data set")
        if self._refused is None and self._checker is not None:
            try:
                self._checker.finish()
            except DataSetError as error:
                self._refuse(error.store_status, str(error))
        path = None
        if self._refused is None and self._folder is not None and self._conversion is not None:
            self._put_converted(self._folder, self._conversion.finish())
            self._conversion.close()
        if self._refused is None and self._writer is not None:
            try:
                path = self._writer.commit(overwrite=self._overwrite, fsync=self._fsync)
            except OSError as error:
                self._fail(error)
        return self._refused or Stored(status=status.SUCCESS, size=self._size, path=path)

    def discard(self) -> None:
        """Removes what was written, unless the file is complete."""
        if self._conversion is not None:
            self._conversion.close()
        if self._writer is not None and self._writer.fileno() >= 0:
            self._writer.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def _fits(self, pieces: Sequence[Buffer]) -> bool:
        """Returns True if this can still be a data set; refuses it otherwise."""
        if self._checker is not None:
            try:
                for piece in pieces:
                    self._checker.feed(piece)
            except DataSetError as error:
                self._refuse(error.store_status, str(error))
                return False
        return True

    def _put_converted(self, folder: Path, pieces: Iterator[Buffer]) -> None:
        """Writes what the conversion makes; refuses the object if it cannot be converted."""
        try:
            for piece in pieces:
                if self._refused is not None:  # the conversion is closed
                    break
                if piece:
                    self._put(folder, [piece])
        except DataSetError as error:
            self._refuse(error.store_status, str(error))

    def _put(self, folder: Path, pieces: Sequence[Buffer]) -> None:
        try:
            if self._writer is None:
                request = self._request
                self._writer = Part10Writer.create(
                    folder,
                    sop_class_uid=request.sop_class_uid,
                    sop_instance_uid=request.sop_instance_uid or "",
                    transfer_syntax=self._transfer_syntax,
                    source_aet=self._source or request.session.request.calling_aet,
                )
            self._writer.write(*pieces)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        code = status.OUT_OF_RESOURCES if error.errno in _OUT_OF_RESOURCES else status.PROCESSING_FAILURE
        self._refuse(code, error.strerror or "cannot be stored")

    def _refuse(self, code: int, error: str) -> None:
        self._refused = Stored(status=code, size=self._size, error=error)
        self.discard()


class Sink(Protocol):
    """Takes the pieces of an object, as `IncomingFile` does."""

    def write(self, pieces: Iterable[Buffer]) -> bool:
        """Takes pieces; returns False if no more are wanted."""

    def end(self, pieces: Iterable[Buffer] = ()) -> Stored:
        """Takes the last pieces; returns the outcome."""


# -- the conversation, once for all adapters ---------------------------------------------------------------------------


async def take_all(sink: Sink, request: AwaitedStoreRequest, offloaded: Offload, batch: int = BATCH) -> Stored:
    """Gives the whole data set of a request to `sink`, in calls by `offloaded` of at least `batch` bytes each.

    The connection is not read while `sink` is at work, so a slow disk slows down its own peer only. Raises
    `AssociationError`.
    """
    gathered = Gathered()
    last: Sequence[Buffer] = ()
    if sink.write(()):
        performing = request.performing
        batches: Stream[list[Buffer]] = together(request.performing.pieces())  # `sink` judges them
        async for pieces in Iteration(request.session, batches):
            if not (performing.unread or gathered.size):
                last = pieces  # all that is left came together: one call takes it and completes the file
                break
            if gathered.size or sum(map(len, pieces)) < batch:
                gathered.add(pieces)
                if gathered.size < batch:
                    del pieces  # a view would keep a whole receive buffer during the wait for more
                    continue
                pieces, gathered = gathered.pieces, Gathered()
            more = await offloaded(partial(sink.write, pieces))
            del pieces
            if not more:
                break
    stored: Stored = await offloaded(partial(sink.end, last or gathered.pieces))
    return stored


async def receive(
    incoming: IncomingFile, request: AwaitedStoreRequest, offloaded: Offload, batch: int = BATCH
) -> Stored:
    """Makes a file of a received object, and answers the request. Nothing is left if it raises before the answer.

    `offloaded` and `batch`: as in `take_all`. Raises `AssociationError`.
    """
    with incoming:
        stored = await take_all(incoming, request, offloaded, batch)
    await request.respond(stored.status, stored.comment)
    return stored


async def _discard(request: AwaitedStoreRequest) -> Stored:
    size = 0
    async for piece in request.data():
        size += len(piece)
    await request.respond()
    return Stored(status=status.SUCCESS, size=size)


async def _at_once(function: Callable[[], T]) -> T:
    return function()


# -- what is called ----------------------------------------------------------------------------------------------


@overload
def store_into(
    folder: Path,
    request: StoreRequest,
    *,
    overwrite: bool = False,
    fsync: bool = False,
    most: int | None = None,
    check: bool = True,
    transfer_syntax: str | None = None,
) -> Stored: ...


@overload
def store_into(
    folder: Path,
    request: AwaitedStoreRequest,
    *,
    overwrite: bool = False,
    fsync: bool = False,
    most: int | None = None,
    check: bool = True,
    transfer_syntax: str | None = None,
) -> Coroutine[Any, Any, Stored]: ...


def store_into(
    folder: Path,
    request: StoreRequest | AwaitedStoreRequest,
    *,
    overwrite: bool = False,
    fsync: bool = False,
    most: int | None = None,
    check: bool = True,
    transfer_syntax: str | None = None,
) -> Stored | Coroutine[Any, Any, Stored]:
    """Makes a file in `folder` of a received object, and answers the request. Await it in trio and asyncio.

    Success is answered once the file is complete and has its name. A failure status is answered if that is impossible:
    no space, no permission, more than `most` bytes. `check`: an object that is not a data set or is cut short is
    refused with 0xC000, one that is not the object that the command names with 0xA900; unknown transfer syntaxes are
    not checked. `transfer_syntax`: the object is converted to this one while it arrives, its pixel data compressed or
    decompressed in threads; if that is not possible for its SOP class and transfer syntax, it is stored as it is, and
    if its pixel data is damaged, refused with 0xC000.

    In an event loop a worker thread writes the file, and the connection is not read meanwhile: a slow disk holds up its
    own association only. If the peer vanishes or the task is cancelled, nothing is left, unless the file already has
    its name. Raises `AssociationError`.
    """
    incoming = IncomingFile(
        folder,
        request,
        overwrite=overwrite,
        fsync=fsync,
        most=most,
        check=check,
        transfer_syntax=transfer_syntax,
    )
    if isinstance(request, AwaitedStoreRequest):
        return receive(incoming, request, offload)
    return finished(receive(incoming, request.awaited, _at_once, 0))


@overload
def discard(request: StoreRequest) -> Stored: ...


@overload
def discard(request: AwaitedStoreRequest) -> Coroutine[Any, Any, Stored]: ...


def discard(request: StoreRequest | AwaitedStoreRequest) -> Stored | Coroutine[Any, Any, Stored]:
    """Reads a received object, keeps nothing of it, and answers success. Await it in trio and asyncio.

    Raises `AssociationError`.
    """
    if isinstance(request, AwaitedStoreRequest):
        return _discard(request)
    size = sum(map(len, request.data()))  # without a coroutine for each piece
    request.respond()
    return Stored(status=status.SUCCESS, size=size)
