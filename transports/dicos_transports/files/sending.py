"""Files to C-STORE requests: the contexts that files need, and each file as an instance to send.

A file becomes an instance in one place, `file_instance`, in one of the transfer syntaxes of `sendable_as`. `send_file`,
the `dicos storescu` command and an `Application` that answers C-GET or C-MOVE all use these two.

| `compression` | an uncompressed file is sent | a compressed file is sent |
|---|---|---|
| None | as it is; compressed if nothing else is accepted | as it is; decompressed if nothing else is accepted |
| `PREFERRED` | compressed; as it is if that is not accepted or not possible | as it is; decompressed if ... |
| `ALLOWED` | as for None, and compression is proposed | as for None |
| `FORBIDDEN` | as it is, never compressed | decompressed, never as it is |

Knows: Part 10 files, accepted contexts. Must not know: sockets, PDVs, what is asked for. Invariants: a file whose
transfer syntax is accepted is sent as it is on disk, unless `compression` says otherwise; memory is a few chunks, or a
few frames for each thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, overload

from dicos_proto import dimse
from dicos_proto.arguments import check_several
from dicos_proto.association import Association
from dicos_proto.conversation import flows, planning
from dicos_proto.conversation.flows import ContextNotAccepted
from dicos_proto.dicos.codecs import DECODED, ENCODED
from dicos_proto.dicos.profile import COMPRESSED, Compression
from dicos_proto.registry.uids import (
    DEFLATED_EXPLICIT_VR_LE,
    DICOS_EXPLICIT_VR_LE_EXTENDED,
    EXPLICIT_VR_LE,
    IMPLICIT_VR_LE,
    name_of,
)
from dicos_proto.services.storage import Instance
from dicos_proto.upper_layer.pdu_types import ProposedContext
from dicos_proto.wire import Buffer

from ..sessions.finished import finished
from ..sessions.session import Session as AwaitedSession
from . import data_sets
from .data_sets import CONVERTIBLE, Prepared, can_convert, can_transcode, compressible
from .part10 import Part10Error, Part10File, check_file

if TYPE_CHECKING:
    from ..blocking.session import Session

__all__ = ["FALLBACKS", "Batch", "FileInstance", "file_instance", "plan", "prepare", "send_file", "sendable_as", "ways"]

LOG: Final = logging.getLogger("dicos.files")

_BEST_FIRST: Final = (EXPLICIT_VR_LE, DICOS_EXPLICIT_VR_LE_EXTENDED, IMPLICIT_VR_LE, DEFLATED_EXPLICIT_VR_LE)
"""Targets of a conversion, the one that loses least first."""


# -- which contexts ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Files that go over one association, and the contexts to propose for them."""

    contexts: tuple[ProposedContext, ...]
    files: tuple[Part10File, ...]


def plan(
    files: Iterable[Part10File], *, only: Sequence[str] = (), compression: Compression | None = None
) -> list[Batch]:
    """The associations that `files` need, in their order: one, unless that takes more than 128 contexts.

    Each SOP class and transfer syntax among the files gets a context of its own, so that a peer that accepts it
    receives the file unchanged; a file that can be converted adds a context with the syntaxes it can be converted to.
    `only`: the transfer syntaxes to propose, best first; by default all that are useful. `compression`: see above.
    Raises `Part10Error` for a file for which no context can be proposed.
    """
    check_several(only, "plan(only={})", "transfer syntaxes")
    files = list(files)
    for file in files:
        check_file(file, "plan")
    wanted = [ways(file, only, compression) for file in files]
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


def ways(file: Part10File, only: Sequence[str] = (), compression: Compression | None = None) -> tuple[str, ...]:
    """The transfer syntaxes to propose for a file, at least one, best first: its own and those it can be converted to.

    With `only`, those of `only` that are possible, in that order. Raises `Part10Error` if none of them is possible.
    """
    check_file(file, "ways")
    check_several(only, "ways(only={})", "transfer syntaxes")
    own = file.transfer_syntax
    fallbacks = FALLBACKS.get(own, ())
    if not only:
        if compression is Compression.FORBIDDEN and own not in CONVERTIBLE:
            if not fallbacks:
                raise Part10Error(file.path, f"is in {name_of(own)}, which cannot be decompressed")
            return fallbacks
        compressed = COMPRESSED[:1] if compression not in (None, Compression.FORBIDDEN) and _may_shrink(file) else ()
        if compression is Compression.PREFERRED:
            return (*compressed, own, *fallbacks)
        return (own, *fallbacks, *compressed)
    found = tuple(dict.fromkeys(one for one in only if can_convert(own, one)))
    if compression is Compression.FORBIDDEN:
        found = tuple(one for one in found if one in CONVERTIBLE)
    if not found:
        raise Part10Error(
            file.path, f"is in {name_of(own)}, which cannot be converted to {', '.join(map(name_of, only))}"
        )
    return found


def _may_shrink(file: Part10File) -> bool:
    """Returns True if the pixel data of an uncompressed file may be compressed: not in the wide classes of DICOS."""
    return file.transfer_syntax in CONVERTIBLE and compressible(file.sop_class_uid)


@lru_cache(maxsize=64)
def sendable_as(transfer_syntax: str) -> tuple[str, ...]:
    """The transfer syntaxes in which a data set in this one can be sent: its own first, then those that lose least, and
    last those in which its pixel data is compressed."""
    others = (one for one in (*_BEST_FIRST, *ENCODED) if one != transfer_syntax and can_convert(transfer_syntax, one))
    return (transfer_syntax, *others)


_RARE: Final = (DEFLATED_EXPLICIT_VR_LE, DICOS_EXPLICIT_VR_LE_EXTENDED, *ENCODED)
FALLBACKS: Final[Mapping[str, tuple[str, ...]]] = {
    own: tuple(other for other in sendable_as(own)[1:] if other not in _RARE) for own in (*CONVERTIBLE, *DECODED)
}
"""Transfer syntax -> the others to propose, for `planning.plan`. Deflated, compressed ones and DICOS's extended
explicit VR are proposed only for data sets that are in them, but used for others too if a peer accepted nothing
better."""


# -- a file that is sent -----------------------------------------------------------------------------------------


class FileData:
    """The data set of a file in one transfer syntax. Each iteration reads the file again, until `close`."""

    __slots__ = ("_chunks", "_closed", "_first", "_prepared", "_progress", "_taken", "_threads", "_transfer_syntax")

    def __init__(
        self,
        prepared: Prepared,
        transfer_syntax: str,
        progress: Callable[[int], None] | None,
        threads: int | None = None,
    ) -> None:
        self._prepared = prepared
        self._transfer_syntax = transfer_syntax
        self._threads = threads
        coded = can_transcode(prepared.file.transfer_syntax, transfer_syntax)
        self._progress = None if coded else progress  # of what is sent
        self._taken = progress if coded else None  # of what is read: only that adds up to the size of the file
        self._chunks: Generator[Buffer, None, None] | None = None  # of the last iteration: its file may be open
        self._first: Buffer | None = None  # the piece that `begin` has read
        self._closed = False

    def begin(self) -> None:
        """Reads the first piece of the next iteration, so that most faults show now. Raises `Part10Error`."""
        self._chunks = self._begun()
        self._first = next(self._chunks, b"")

    def _begun(self) -> Generator[Buffer, None, None]:
        return self._prepared.chunks(self._transfer_syntax, threads=self._threads, taken=self._taken)

    def __iter__(self) -> Generator[Buffer, None, None]:
        if self._closed:  # no empty data set in the place of a file
            raise ValueError(f"{str(self._prepared.file.path)!a}: its instance is closed; prepare the file again")
        progress = self._progress
        first, self._first = self._first, None
        if first is None or self._chunks is None:
            self._chunks = self._begun()
        chunks = self._chunks
        try:
            if first is not None:
                size = len(first)
                yield first
                del first  # its memory may be used for another piece
                if progress is not None:
                    progress(size)
            for piece in chunks:
                yield piece
                if progress is not None:
                    progress(len(piece))
        finally:
            chunks.close()

    def close(self) -> None:
        """Closes the file. Iterating raises ValueError afterwards."""
        self._closed = True
        self._first = None
        if self._chunks is not None:
            self._chunks.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInstance(Instance):
    """A file as an instance to send. `close` it if it is not sent to its end: its file may be open."""

    file: Part10File
    told: str = ""
    """The warning about elements or fragments of odd length; "" if there are none."""

    def close(self) -> None:
        """Closes the file. A file that is closed already stays so."""
        if isinstance(self.data, FileData):
            self.data.close()


def file_instance(
    file: Part10File,
    transfer_syntax: str,
    *,
    begin: bool,
    progress: Callable[[int], None] | None = None,
    threads: int | None = None,
) -> FileInstance:
    """Makes the instance of a file in this transfer syntax: unchanged, or converted.

    `begin`: read its first piece now, because it is sent next: most faults show before anything is sent. Otherwise it
    keeps no memory and no open file until it is sent. `progress` is called with the size of each piece that is taken,
    or, if pixel data is compressed or decompressed, that is read. `threads`: those that do that, by default as many as
    there are processors. Raises `Part10Error`.
    """
    prepared = data_sets.prepare(file)
    prepared.check(transfer_syntax)
    if not begin and prepared.whole is not None:
        prepared = replace(prepared, whole=None)  # many instances may wait
    data = FileData(prepared, transfer_syntax, progress, threads)
    if begin:
        data.begin()
    return FileInstance(
        sop_class_uid=file.sop_class_uid,
        sop_instance_uid=file.sop_instance_uid,
        transfer_syntax=transfer_syntax,
        data=data,
        file=file,
        told=prepared.told,
    )


def warn_of(instance: FileInstance) -> None:
    """Logs the warning about elements or fragments of odd length, if there is one."""
    if instance.told:
        LOG.warning("%a: %s", str(instance.file.path), instance.told)


def prepare(
    association: Association,
    file: Part10File,
    *,
    only: Sequence[str] = (),
    compression: Compression | None = None,
    progress: Callable[[int], None] | None = None,
    threads: int | None = None,
) -> FileInstance:
    """Makes the instance of a file for this association: unchanged, or converted.

    `only`, `compression`: as in `plan`. `progress` and `threads`: as in `file_instance`. Raises `ContextNotAccepted`
    and `Part10Error`: most faults of a file show here, before anything is sent.
    """
    check_file(file, "prepare")
    check_several(only, "prepare(only={})", "transfer syntaxes")
    syntaxes = _usable(file, only, compression)
    others = tuple(one for one in syntaxes if not can_transcode(file.transfer_syntax, one))
    try:
        context = flows.find_context(association, file.sop_class_uid, syntaxes)
    except ContextNotAccepted:
        context = flows.find_context(association, file.sop_class_uid, others or syntaxes)  # raises what is shorter
    try:
        return file_instance(file, context.transfer_syntax, begin=True, progress=progress, threads=threads)
    except Part10Error:
        if only or context.transfer_syntax in others:
            raise
        try:  # its pixels are none that can be compressed, or cannot be decompressed
            other = flows.find_context(association, file.sop_class_uid, others)
        except ContextNotAccepted:
            other = None
        if other is None:
            raise
    return file_instance(file, other.transfer_syntax, begin=True, progress=progress, threads=threads)


def _usable(file: Part10File, only: Sequence[str], compression: Compression | None) -> tuple[str, ...]:
    """The transfer syntaxes in which a file may be sent if they are accepted, best first."""
    syntaxes = ways(file, only, compression)
    if only:
        return syntaxes
    rest = sendable_as(file.transfer_syntax)
    if compression is Compression.FORBIDDEN:
        rest = tuple(one for one in rest if one in CONVERTIBLE)
    return tuple(dict.fromkeys((*syntaxes, *rest)))


@overload
def send_file(
    session: Session,
    file: Part10File,
    *,
    priority: int = dimse.PRIORITY_MEDIUM,
    compression: Compression | None = None,
    progress: Callable[[int], None] | None = None,
) -> dimse.DimseResponse: ...


@overload
def send_file(
    session: AwaitedSession,
    file: Part10File,
    *,
    priority: int = dimse.PRIORITY_MEDIUM,
    compression: Compression | None = None,
    progress: Callable[[int], None] | None = None,
) -> Coroutine[Any, Any, dimse.DimseResponse]: ...


def send_file(
    session: Session | AwaitedSession,
    file: Part10File,
    *,
    priority: int = dimse.PRIORITY_MEDIUM,
    compression: Compression | None = None,
    progress: Callable[[int], None] | None = None,
) -> dimse.DimseResponse | Coroutine[Any, Any, dimse.DimseResponse]:
    """Sends a file by C-STORE, as it is on disk or converted; returns the response, whatever its status. Await it in
    trio and asyncio. `inspect` makes a `Part10File` of a path. `compression`: as in `plan`, which proposes for it.

    `progress` is called with the size of each piece that is given to the connection. Raises `ContextNotAccepted` and
    `Part10Error` before anything is sent; `Part10Error` also later, and then the association is aborted;
    `AssociationError`.
    """
    check_file(file, "send_file")
    if isinstance(session, AwaitedSession):
        return _send_file(session, file, priority, compression, progress)
    return finished(_send_file(session.awaited, file, priority, compression, progress))


async def _send_file(
    session: AwaitedSession,
    file: Part10File,
    priority: int,
    compression: Compression | None,
    progress: Callable[[int], None] | None,
) -> dimse.DimseResponse:
    instance = prepare(session.association, file, compression=compression, progress=progress)
    warn_of(instance)
    try:
        return await session.store(
            instance.sop_class_uid,
            instance.sop_instance_uid,
            instance.transfer_syntax,
            instance.data,
            priority=priority,
        )
    finally:
        instance.close()
