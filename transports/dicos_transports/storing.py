"""Files to C-STORE requests and back: which contexts files need, how a file is sent, how an object becomes a file.

Knows: Part 10 files, sessions, statuses. Must not know: sockets, PDVs. Invariants: a file whose transfer syntax was
accepted is sent as it lies on disk; success is answered only when the file has its name; memory is a few chunks.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Final

from dicos_proto import dimse, flows, planning, status
from dicos_proto.pdu_types import ProposedContext
from dicos_proto.uids import DEFLATED_EXPLICIT_VR_LE, EXPLICIT_VR_LE, IMPLICIT_VR_LE

from . import part10
from .blocking import Session, StoreRequest
from .part10 import Part10Error, Part10File
from .part10_writer import Part10Writer

__all__ = ["Batch", "Stored", "discard", "plan", "send_file", "store_into"]

_FALLBACKS: Final = (EXPLICIT_VR_LE, IMPLICIT_VR_LE, DEFLATED_EXPLICIT_VR_LE)
_OUT_OF_RESOURCES = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Files that go over one association, and the contexts to propose for them."""

    contexts: tuple[ProposedContext, ...]
    files: tuple[Part10File, ...]


def plan(files: Iterable[Part10File]) -> list[Batch]:
    """The associations it takes to send `files` in their order: one, unless that needs more than 128 contexts.

    Each SOP class and transfer syntax among the files gets a context of its own, so that whoever accepts it gets the
    file as it is; where it can be converted, one more offers what it can be converted to. Raises `Part10Error` for a
    file that no context can be proposed for.
    """
    files = list(files)
    fallbacks = {file.transfer_syntax: _offered_for(file.transfer_syntax) for file in files}
    planned = planning.plan(((file.sop_class_uid, file.transfer_syntax) for file in files), fallbacks=fallbacks)
    reasons = {(one.sop_class_uid, *one.transfer_syntaxes): one.reason for one in planned.left_out}
    batches: list[list[Part10File]] = [[] for _ in planned.associations]
    for file, placed in zip(files, planned.placed, strict=True):
        if placed is None:
            reason = reasons[file.sop_class_uid, file.transfer_syntax]
            raise Part10Error(file.path, f"cannot be sent: {reason}")
        batches[placed].append(file)
    return [
        Batch(contexts=contexts, files=tuple(batch))
        for contexts, batch in zip(planned.associations, batches, strict=True)
    ]


def _offered_for(transfer_syntax: str) -> tuple[str, ...]:
    """What a file in this transfer syntax is offered in besides; deflated is offered only for what is deflated."""
    return tuple(other for other in _convertible_to(transfer_syntax)[:2] if other != DEFLATED_EXPLICIT_VR_LE)


@lru_cache(maxsize=64)
def _convertible_to(transfer_syntax: str) -> tuple[str, ...]:
    """Other transfer syntaxes a data set in this one can be sent in, the one that loses least first."""
    return tuple(
        syntax for syntax in _FALLBACKS if syntax != transfer_syntax and part10.can_convert(transfer_syntax, syntax)
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
    syntaxes = (file.transfer_syntax, *_convertible_to(file.transfer_syntax))
    context = flows.find_context(session.association, file.sop_class_uid, syntaxes)
    with closing(_chunks(file, context.transfer_syntax)) as chunks:
        first = next(chunks, b"")  # a file that cannot be read or converted shows it here, and costs no association
        pieces: Iterator[bytes] = chain((first,), chunks)
        return session.store(
            file.sop_class_uid,
            file.sop_instance_uid,
            context.transfer_syntax,
            pieces if progress is None else _counted(pieces, progress),
            priority=priority,
        )


def _chunks(file: Part10File, transfer_syntax: str) -> Generator[bytes, None, None]:
    if transfer_syntax != file.transfer_syntax:
        yield from part10.convert_chunks(file, transfer_syntax)
        return
    odd = file.data_length % 2 == 1
    if odd and transfer_syntax != DEFLATED_EXPLICIT_VR_LE:
        size = file.data_length
        raise Part10Error(file.path, f"has a data set of {size} bytes, an odd number: it is cut short or no data set")
    if file.data_length <= part10.CHUNK:
        yield part10.read_whole(file)
    else:
        yield from part10.read_chunks(file)
    if odd:
        yield b"\0"  # the padding that its writer forgot  PS3.5 A.5


def _counted(pieces: Iterator[bytes], progress: Callable[[int], None]) -> Iterator[bytes]:
    for piece in pieces:
        yield piece
        progress(len(piece))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What became of a received object: the status that was answered, its size in bytes, the file if there is one."""

    status: int
    size: int
    path: Path | None = None
    error: str | None = None


def store_into(
    folder: Path,
    request: StoreRequest,
    *,
    overwrite: bool = False,
    fsync: bool = False,
    most: int | None = None,
) -> Stored:
    """Make a file in `folder` of a received object, and answer the request.

    Success is answered once the file is complete and has its name, a failure status where that cannot be: no space, no
    permission, more than `most` bytes. If the peer vanishes, nothing is left, and `AssociationError` is raised.
    """
    if request.sop_class_uid != request.context.abstract_syntax:
        return _refuse(request, status.SOP_CLASS_NOT_SUPPORTED, 0, "not the SOP class of the presentation context")
    size = 0
    try:
        with Part10Writer.create(
            folder,
            sop_class_uid=request.sop_class_uid,
            sop_instance_uid=request.sop_instance_uid,
            transfer_syntax=request.transfer_syntax,
            source_aet=request.session.request.calling_aet,
        ) as writer:
            for piece in request.data():
                size += len(piece)
                if most is not None and size > most:
                    return _refuse(request, status.OUT_OF_RESOURCES, size, f"more than {most} bytes")
                writer.write(piece)
            if not size:
                return _refuse(request, status.CANNOT_UNDERSTAND, 0, "no data set")
            path = writer.commit(overwrite=overwrite, fsync=fsync)
    except OSError as error:
        code = status.OUT_OF_RESOURCES if error.errno in _OUT_OF_RESOURCES else status.PROCESSING_FAILURE
        return _refuse(request, code, size, error.strerror or "cannot be stored")
    request.respond()
    return Stored(status=status.SUCCESS, size=size, path=path)


def discard(request: StoreRequest) -> Stored:
    """Read a received object over, keep nothing of it, and answer success."""
    size = sum(map(len, request.data()))
    request.respond()
    return Stored(status=status.SUCCESS, size=size)


def _refuse(request: StoreRequest, code: int, size: int, error: str) -> Stored:
    request.respond(code, error[:64])
    return Stored(status=code, size=size, error=error)
