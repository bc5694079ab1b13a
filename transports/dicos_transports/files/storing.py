"""Files to C-STORE requests and back: which contexts files need, how a file is sent, how an object becomes a file.

`prepare` and `Incoming` wait for nothing, so that any adapter uses them; `send_file`, `store_into` and `discard` are
the loops around them for blocking sessions, `store_awaited` is the one for sessions of trio and asyncio.

Knows: Part 10 files, sessions, statuses. Must not know: sockets, PDVs. Invariants: a file whose transfer syntax was
accepted is sent as it lies on disk; success is answered only when the file has its name; memory is a few chunks.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from dicos_proto import dimse
from dicos_proto.association import Association
from dicos_proto.conversation import flows, planning
from dicos_proto.data.elements import Checker, DataSetError
from dicos_proto.registry import status
from dicos_proto.registry.uids import DEFLATED_EXPLICIT_VR_LE, EXPLICIT_VR_LE, IMPLICIT_VR_LE, name_of
from dicos_proto.services.performing import Performing
from dicos_proto.services.storage import Instance
from dicos_proto.upper_layer.pdu_types import ProposedContext
from dicos_proto.wire import Buffer

from ..buffers import Gathered
from ..sessions.offloading import offload
from . import part10
from .part10 import Part10Error, Part10File
from .writer import Part10Writer

if TYPE_CHECKING:
    from ..blocking.adapter import Session, StoreRequest
    from ..sessions import session as awaiting
    from ..sessions.base import Received

LOG: Final = logging.getLogger("dicos.files")

__all__ = [
    "Batch",
    "FileInstance",
    "Incoming",
    "Stored",
    "discard",
    "plan",
    "prepare",
    "send_file",
    "store_awaited",
    "store_into",
]

BATCH: Final = 256 << 10
"""Bytes of an object that a worker thread is given at a time: for each, it has to be woken."""
_FALLBACKS: Final = (EXPLICIT_VR_LE, IMPLICIT_VR_LE, DEFLATED_EXPLICIT_VR_LE)
_OUT_OF_RESOURCES = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Files that go over one association, and the contexts to propose for them."""

    contexts: tuple[ProposedContext, ...]
    files: tuple[Part10File, ...]


def plan(files: Iterable[Part10File], *, only: Sequence[str] = ()) -> list[Batch]:
    """The associations it takes to send `files` in their order: one, unless that needs more than 128 contexts.

    Each SOP class and transfer syntax among the files gets a context of its own, so that whoever accepts it gets the
    file as it is; where it can be converted, one more offers what it can be converted to. `only`: the transfer syntaxes
    that are proposed, best first; without it, all that serve. Raises `Part10Error` for a file that no context can be
    proposed for.
    """
    files = list(files)
    wanted = [ways(file, only) for file in files]
    fallbacks: dict[str, tuple[str, ...]] = {}
    for first, *others in wanted:
        fallbacks[first] = tuple(dict.fromkeys((*fallbacks.get(first, ()), *others)))
    asked = [(file.sop_class_uid, first) for file, (first, *_) in zip(files, wanted, strict=True)]
    planned = planning.plan(asked, fallbacks=fallbacks)
    reasons = {(one.sop_class_uid, *one.transfer_syntaxes): one.reason for one in planned.left_out}
    batches: list[list[Part10File]] = [[] for _ in planned.associations]
    for file, pair, placed in zip(files, asked, planned.placed, strict=True):
        if placed is None:
            reason = reasons[pair]
            raise Part10Error(file.path, f"cannot be sent: {reason}")
        batches[placed].append(file)
    return [
        Batch(contexts=contexts, files=tuple(batch))
        for contexts, batch in zip(planned.associations, batches, strict=True)
    ]


def ways(file: Part10File, only: Sequence[str] = ()) -> tuple[str, ...]:
    """The transfer syntaxes that a file is offered in, at least one: its own, and what it can be converted to; or those
    of `only` among them, in that order. Raises `Part10Error` where none of these is."""
    own = file.transfer_syntax
    if not only:
        return (own, *_offered_for(own))
    found = tuple(dict.fromkeys(one for one in only if part10.can_convert(own, one)))
    if not found:
        raise Part10Error(
            file.path, f"is in {name_of(own)}, which cannot be converted to {', '.join(map(name_of, only))}"
        )
    return found


def _offered_for(transfer_syntax: str) -> tuple[str, ...]:
    """What a file in this transfer syntax is offered in besides; deflated is offered only for what is deflated."""
    return tuple(other for other in _convertible_to(transfer_syntax)[:2] if other != DEFLATED_EXPLICIT_VR_LE)


@lru_cache(maxsize=64)
def _convertible_to(transfer_syntax: str) -> tuple[str, ...]:
    """Other transfer syntaxes a data set in this one can be sent in, the one that loses least first."""
    return tuple(
        syntax for syntax in _FALLBACKS if syntax != transfer_syntax and part10.can_convert(transfer_syntax, syntax)
    )


# -- a file that is sent -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInstance(Instance):
    """A file as an instance to send. `close` it if it is not sent to its end: its file may be open."""

    file: Part10File
    told: str = ""
    """What is told of a file with elements or fragments of odd length."""

    def close(self) -> None:
        """Close the file. What is already closed stays so."""
        if isinstance(self.data, Generator):
            self.data.close()


def prepare(
    association: Association,
    file: Part10File,
    *,
    only: Sequence[str] = (),
    progress: Callable[[int], None] | None = None,
) -> FileInstance:
    """The instance that a file is over this association: as it lies on disk, or converted.

    `only`: as in `plan`. `progress` is called with the size of each piece that is taken. Raises `ContextNotAccepted`
    and `Part10Error`: a file that cannot be read or converted shows it here mostly, before anything is sent.
    """
    syntaxes = ways(file, only) if only else (file.transfer_syntax, *_convertible_to(file.transfer_syntax))
    context = flows.find_context(association, file.sop_class_uid, syntaxes)
    sent = part10.prepare(file)
    chunks = sent.chunks(context.transfer_syntax)
    first = next(chunks, b"")
    return FileInstance(
        sop_class_uid=file.sop_class_uid,
        sop_instance_uid=file.sop_instance_uid,
        transfer_syntax=context.transfer_syntax,
        data=_pieces(first, chunks, progress),
        file=file,
        told=sent.told,
    )


def send_file(
    session: Session,
    file: Part10File,
    *,
    priority: int = dimse.PRIORITY_MEDIUM,
    progress: Callable[[int], None] | None = None,
) -> dimse.Response:
    """C-STORE of a file, as it lies on disk or converted; the response, whatever its status.

    `progress` is called with the size of each piece that is given to the connection. Raises `ContextNotAccepted` and
    `Part10Error`, both before anything was sent; `Part10Error` also later, and the association is aborted then;
    `AssociationError`.
    """
    instance = prepare(session.association, file, progress=progress)
    if instance.told:
        LOG.warning("%a: %s", str(file.path), instance.told)
    try:
        return session.store(
            instance.sop_class_uid,
            instance.sop_instance_uid,
            instance.transfer_syntax,
            instance.data,
            priority=priority,
        )
    finally:
        instance.close()


def _pieces(
    first: Buffer, others: Generator[Buffer, None, None], progress: Callable[[int], None] | None
) -> Generator[Buffer, None, None]:
    """`first` and the others, each counted once it is taken."""
    try:
        yield first
        if progress is not None:
            progress(len(first))
        for piece in others:
            yield piece
            if progress is not None:
                progress(len(piece))
    finally:
        others.close()


# -- an object that is received ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What became of a received object: the status that was answered, its size in bytes, the file if there is one."""

    status: int
    size: int
    path: Path | None = None
    error: str | None = None

    @property
    def comment(self) -> str | None:
        """What the answer says of the error, for people: no more than an Error Comment may have.  # PS3.7 C.5"""
        return None if self.error is None else self.error[:64]


class Incoming:
    """A received object on its way into a file. It takes pieces and says what to answer; it waits for no peer.

    `folder` None: nothing is kept. A context manager that leaves nothing of an object that did not come to its `end`.
    """

    __slots__ = (
        "_checker", "_folder", "_fsync", "_most", "_overwrite", "_refused", "_request", "_size", "_source", "_writer",
    )  # fmt: skip

    def __init__(
        self,
        folder: Path | None,
        request: Received[Any, Performing],
        *,
        source_aet: str | None = None,
        overwrite: bool = False,
        fsync: bool = False,
        most: int | None = None,
        check: bool = True,
    ) -> None:
        """`source_aet`: who sends it; None: who has asked for the association. `most`: bytes that are taken. `check`:
        refuse what is no data set, is cut short, or another object than the command says (`elements.Checker`)."""
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
            request.check()
            self._checker, request.checker = request.checker, None
        if request.sop_class_uid != request.context.abstract_syntax:
            self._refuse(status.SOP_CLASS_NOT_SUPPORTED, "not the SOP class of the presentation context")

    def write(self, pieces: Iterable[Buffer]) -> bool:
        """Take pieces of its data set, which may be reused afterwards; whether more of it is wanted. It may block.

        Those of a list are written together.
        """
        for together in (pieces,) if isinstance(pieces, list) else ((piece,) for piece in pieces):
            if self._refused is not None:
                break
            self._size += sum(map(len, together))
            if self._most is not None and self._size > self._most:
                self._refuse(status.OUT_OF_RESOURCES, f"more than {self._most} bytes")
            elif self._fits(together) and self._folder is not None and together:
                self._put(self._folder, together)
        return self._refused is None

    def end(self, pieces: Iterable[Buffer] = ()) -> Stored:
        """The last pieces came: make the file; what is to be answered. It may block."""
        self.write(pieces)
        if self._refused is None and not self._size and self._folder is not None:
            self._refuse(status.CANNOT_UNDERSTAND, "no data set")
        if self._refused is None and self._checker is not None:
            try:
                self._checker.finish()
            except DataSetError as error:
                self._refuse(error.store_status, str(error))
        path = None
        if self._refused is None and self._writer is not None:
            try:
                path = self._writer.commit(overwrite=self._overwrite, fsync=self._fsync)
            except OSError as error:
                self._fail(error)
        return self._refused or Stored(status=status.SUCCESS, size=self._size, path=path)

    def discard(self) -> None:
        """Leave nothing of it, unless it is a file by now."""
        if self._writer is not None and self._writer.fileno() >= 0:
            self._writer.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def _fits(self, pieces: Sequence[Buffer]) -> bool:
        """Whether it can still be a data set."""
        if self._checker is not None:
            try:
                for piece in pieces:
                    self._checker.feed(piece)
            except DataSetError as error:
                self._refuse(error.store_status, str(error))
                return False
        return True

    def _put(self, folder: Path, pieces: Sequence[Buffer]) -> None:
        try:
            if self._writer is None:
                request = self._request
                self._writer = Part10Writer.create(
                    folder,
                    sop_class_uid=request.sop_class_uid,
                    sop_instance_uid=request.sop_instance_uid or "",
                    transfer_syntax=request.transfer_syntax,
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


def store_into(
    folder: Path,
    request: StoreRequest,
    *,
    overwrite: bool = False,
    fsync: bool = False,
    most: int | None = None,
    check: bool = True,
) -> Stored:
    """Make a file in `folder` of a received object, and answer the request.

    Success is answered once the file is complete and has its name, a failure status where that cannot be: no space, no
    permission, more than `most` bytes. With `check`, what is no data set or is cut short is refused, 0xC000, and
    another object than the command says, 0xA900; transfer syntaxes that are not known here are not checked. If the peer
    vanishes, nothing is left, and `AssociationError` is raised.
    """
    with Incoming(folder, request, overwrite=overwrite, fsync=fsync, most=most, check=check) as incoming:
        performing, run = request.performing, request.session.run
        wanted = incoming.write(())
        while wanted and performing.unread:  # what was written is held no longer: its memory is used for what comes
            wanted = incoming.write(request.here() or run(request.pieces()))
        stored = incoming.end()
    request.respond(stored.status, stored.comment)
    return stored


async def store_awaited(
    folder: Path,
    request: awaiting.StoreRequest,
    *,
    overwrite: bool = False,
    fsync: bool = False,
    most: int | None = None,
    check: bool = True,
) -> Stored:
    """`store_into` for a session of trio or asyncio. The file is written by a worker thread, and the connection is not
    read meanwhile: a slow disk holds up its own association only.

    If it is cancelled, nothing is left, unless the file has its name already. Raises `AssociationError`.
    """
    with Incoming(folder, request, overwrite=overwrite, fsync=fsync, most=most, check=check) as incoming:
        stored = await take_all(incoming, request, offload)
    await request.respond(stored.status, stored.comment)
    return stored


async def take_all(
    incoming: Incoming,
    request: awaiting.StoreRequest,
    offloaded: Callable[[Callable[[], Any]], Awaitable[Any]],
    batch: int = BATCH,
) -> Stored:
    """Give `incoming` the whole data set of the request, as many bytes at a time as `batch` says, by `offloaded`."""
    gathered = Gathered()
    if incoming.write(()):
        run, performing = request.session.run, request.performing
        while performing.unread:
            pieces = await run(request.pieces())
            if not pieces:
                break
            gathered.add(pieces)
            del pieces  # while it waits for more, a view would keep a whole receive buffer
            if gathered.size >= batch:
                if not await offloaded(partial(incoming.write, gathered.pieces)):
                    break
                gathered = Gathered()
    stored: Stored = await offloaded(partial(incoming.end, gathered.pieces))
    return stored


def discard(request: StoreRequest) -> Stored:
    """Read a received object over, keep nothing of it, and answer success."""
    performing, run = request.performing, request.session.run
    size = 0
    while performing.unread:
        size += sum(map(len, request.here() or run(request.pieces())))
    request.respond()
    return Stored(status=status.SUCCESS, size=size)
