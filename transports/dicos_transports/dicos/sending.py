"""DICOS objects from memory to the wire and back, without a copy of their pixel data on the way out.

`send` and `receive` serve blocking and asynchronous sessions alike, as `files.send_file` and `files.store_into` do.

Knows: sessions, accepted contexts, transfer syntaxes an object can be sent in. Must not know: sockets, files, values.
Invariants: an object is encoded at most once for each transfer syntax; what is sent is views of its pixel data.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias, overload

from pydicom.dataset import Dataset

from dicos_proto import dimse
from dicos_proto.arguments import check_kind
from dicos_proto.conversation import flows
from dicos_proto.data import DataSetError
from dicos_proto.dicos import DicosObject, codecs
from dicos_proto.dicos.content import PIXELS, Decoder, is_encapsulated, pieces, size_of
from dicos_proto.dicos.errors import BadValue
from dicos_proto.dicos.profile import COMPRESSED, UNCOMPRESSED, Compression, transfer_syntaxes
from dicos_proto.dicos.values import text
from dicos_proto.limits import Limits
from dicos_proto.registry.uids import DICOS_EXPLICIT_VR_LE_EXTENDED, EXPLICIT_VR_LE
from dicos_proto.wire import Buffer

from ..files.receipt import Conversion
from ..sessions.finished import finished
from ..sessions.session import Session as AwaitedSession
from ..sessions.session import StoreRequest as AwaitedStoreRequest
from .compression import can_recode, recode

if TYPE_CHECKING:
    from ..blocking.session import Session, StoreRequest

__all__ = ["Encoded", "Sendable", "receive", "send"]

NATIVE: Final = DICOS_EXPLICIT_VR_LE_EXTENDED
"""The transfer syntax of objects that are decompressed while they arrive: any size fits."""
STEP: Final = 4 << 20
"""Bytes of pixel data between two reports of progress."""


class Encoded:
    """An object to send, encoded once for each transfer syntax in which it is asked for, by any number of threads.

    It holds views of the pixel data, which must not change; compressed, it holds that. `compression`: the place of
    compressed transfer syntaxes among those that it can be sent in; by default they are the last resort. Raises
    TypeError for anything but an object or a data set.
    """

    __slots__ = ("_compression", "_dataset", "_found", "_lock")

    def __init__(self, thing: DicosObject | Dataset, *, compression: Compression = Compression.ALLOWED) -> None:
        self._compression = compression
        check_kind(thing, "Encoded({})", DicosObject, Dataset)
        self._dataset = thing.dataset if isinstance(thing, DicosObject) else thing
        self._found: dict[str, tuple[Buffer, ...]] = {}
        self._lock = threading.Lock()

    @property
    def sop_class_uid(self) -> str:
        """The SOP class of the object. Raises `BadValue` if there is none or more than one."""
        return self._uid(0x00080016)

    @property
    def sop_instance_uid(self) -> str:
        """The SOP instance of the object, which several sections of one CT have in common. Raises `BadValue` if there
        is none or more than one."""
        return self._uid(0x00080018)

    def _uid(self, tag: int) -> str:
        found = text(self._dataset, tag)
        if found is None:
            raise BadValue("is missing", tag)
        return found

    @property
    def transfer_syntaxes(self) -> tuple[str, ...]:
        """Those that it can be sent in, best first: the uncompressed ones, and the compressed ones, unless they are
        forbidden or the extra `compression` is missing. If its pixel data is compressed, that one, then those that it
        can be decompressed to; without it if compression is forbidden."""
        own = self._own
        if own is None and not _has_pixels(self._dataset):  # then there is nothing to compress
            return (*UNCOMPRESSED, *COMPRESSED)
        if own is None:
            compression = self._compression if codecs.available() else Compression.FORBIDDEN
            return transfer_syntaxes(self.sop_class_uid, compression, rle=True)
        others = tuple(one for one in UNCOMPRESSED if can_recode(own, one)) if codecs.available() else ()
        return others if self._compression is Compression.FORBIDDEN else tuple(filter(None, (own, *others)))

    @property
    def _own(self) -> str | None:
        """The transfer syntax of compressed pixel data, "" if it is not known, None if it is not compressed."""
        for tag in PIXELS:
            if tag in self._dataset and is_encapsulated(self._dataset[tag], self._dataset):
                meta = getattr(self._dataset, "file_meta", None)
                syntax = meta.get("TransferSyntaxUID") if isinstance(meta, Dataset) else None
                return str(syntax or "")
        return None

    def pieces(self, transfer_syntax: str) -> tuple[Buffer, ...]:
        """Returns its encoding in a transfer syntax. Raises `DataSetError`."""
        with self._lock:
            found = self._found.get(transfer_syntax)
            if found is None:
                found = self._found[transfer_syntax] = tuple(self.stream(transfer_syntax))
            return found

    def stream(self, transfer_syntax: str) -> Iterable[Buffer]:
        """Returns its encoding in a transfer syntax, for one use: frames are compressed or decompressed in threads
        while the pieces are taken, and not kept. Raises `DataSetError`, then or later."""
        if not _has_pixels(self._dataset):
            return pieces(self._dataset, EXPLICIT_VR_LE if transfer_syntax in COMPRESSED else transfer_syntax)
        own = EXPLICIT_VR_LE if self._own is None else self._own
        if not can_recode(own, transfer_syntax):  # nor if it is compressed in an unknown way
            return pieces(self._dataset, transfer_syntax)
        return recode(pieces(self._dataset, own), own, transfer_syntax, sop_class_uid=self.sop_class_uid)

    def size(self, transfer_syntax: str) -> int:
        """Returns the bytes of its encoding in a transfer syntax. Raises `DataSetError`."""
        return size_of(self.pieces(transfer_syntax))


def _has_pixels(dataset: Dataset) -> bool:
    return any(tag in dataset for tag in PIXELS)


Sendable: TypeAlias = "DicosObject | Dataset | Encoded"
"""An object to send."""
Progress: TypeAlias = "Callable[[int, int], None]"
"""A function that is called with the bytes that were taken to be sent so far, or received, and their number in all; 0
if it is not known."""


@overload
def send(
    session: Session,
    thing: Sendable,
    *,
    priority: int = ...,
    compression: Compression = ...,
    progress: Progress | None = ...,
) -> dimse.DimseResponse: ...


@overload
def send(
    session: AwaitedSession,
    thing: Sendable,
    *,
    priority: int = ...,
    compression: Compression = ...,
    progress: Progress | None = ...,
) -> Coroutine[Any, Any, dimse.DimseResponse]: ...


def send(
    session: Session | AwaitedSession,
    thing: Sendable,
    *,
    priority: int = dimse.PRIORITY_MEDIUM,
    compression: Compression = Compression.ALLOWED,
    progress: Progress | None = None,
) -> dimse.DimseResponse | Coroutine[Any, Any, dimse.DimseResponse]:
    """Sends an object by C-STORE; returns the response, whatever its status. Await it in trio and asyncio.

    Its pixel data goes to the connection from the memory in which it is, and must not change meanwhile. Where the peer
    accepts nothing that comes before it by `compression`, it is compressed or decompressed while it is sent, frame by
    frame in threads; an `Encoded` is, once, before it is sent. This takes the extra `compression`. `progress` is called
    with the bytes taken so far and their number in all, 0 if that is not known yet. Raises `ContextNotAccepted` and
    `DataSetError` before anything is sent; `DataSetError` also later, for compressed pixel data that is corrupt: then
    the association is aborted; `AssociationError`.
    """
    encoded = thing if isinstance(thing, Encoded) else Encoded(thing, compression=compression)
    if isinstance(session, AwaitedSession):
        return _send(session, encoded, priority, progress, keep=encoded is thing)
    return finished(_send(session.awaited, encoded, priority, progress, keep=encoded is thing))


async def _send(
    session: AwaitedSession, encoded: Encoded, priority: int, progress: Progress | None, *, keep: bool
) -> dimse.DimseResponse:
    ways = encoded.transfer_syntaxes
    if not ways:
        raise DataSetError("compressed pixel data whose transfer syntax is not known; file_meta.TransferSyntaxUID is")
    syntax = flows.find_context(session.association, encoded.sop_class_uid, ways).transfer_syntax
    parts = encoded.pieces(syntax) if keep else encoded.stream(syntax)
    total = size_of(parts) if isinstance(parts, tuple) else 0
    data = parts if progress is None else _counted(parts, total, progress)
    return await session.store(encoded.sop_class_uid, encoded.sop_instance_uid, syntax, data, priority=priority)


def _counted(parts: Iterable[Buffer], total: int, progress: Progress) -> Iterator[Buffer]:
    """Yields the pieces, long ones in steps, and reports each once the next one is wanted."""
    done = 0
    for part in parts:
        for at in range(0, len(part), STEP):
            step = memoryview(part)[at : at + STEP]
            yield step
            done += len(step)
            progress(done, total)


@overload
def receive(
    request: StoreRequest, *, limits: Limits | None = ..., decompress: bool = ..., progress: Progress | None = ...
) -> Dataset: ...


@overload
def receive(
    request: AwaitedStoreRequest,
    *,
    limits: Limits | None = ...,
    decompress: bool = ...,
    progress: Progress | None = ...,
) -> Coroutine[Any, Any, Dataset]: ...


def receive(
    request: StoreRequest | AwaitedStoreRequest,
    *,
    limits: Limits | None = None,
    decompress: bool = False,
    progress: Progress | None = None,
) -> Dataset | Coroutine[Any, Any, Dataset]:
    """Reads the data set of a C-STORE into memory, its pixel data into one buffer. Await it in trio and asyncio.

    The request is not answered: `respond` when the object is safe. `dicos_proto.dicos.view` makes a CT, DX, TDR ... of
    it, with its volume as a view of that buffer. `limits`: those of the association by default; `pixels` and
    `collected` bound the memory. `decompress`: decompress JPEG lossless and RLE while they arrive, frame by frame in
    threads; it needs the extra `compression`. `progress` is called with the bytes received so far, and 0.

    A data set that is refused is answered with its failure status, 0xC000 or 0xA900, and `DataSetError` is raised; go
    on with the next request. Raises `AssociationError`.
    """
    if isinstance(request, AwaitedStoreRequest):
        return _receive(request, limits, progress, decompress=decompress)
    decoder = _Receiver(request, limits, progress, decompress=decompress)
    try:
        for piece in request.data():  # without a coroutine for each piece
            decoder.take(piece)
        return decoder.end()
    except DataSetError as error:
        request.respond(error.store_status, str(error)[:64])
        raise
    finally:
        decoder.close()


async def _receive(
    request: AwaitedStoreRequest, limits: Limits | None, progress: Progress | None, *, decompress: bool
) -> Dataset:
    decoder = _Receiver(request, limits, progress, decompress=decompress)
    try:
        async for piece in request.data():
            decoder.take(piece)
        return decoder.end()
    except DataSetError as error:
        await request.respond(error.store_status, str(error)[:64])
        raise
    finally:
        decoder.close()


class _Receiver:
    """The decoder of one request."""

    def __init__(
        self,
        request: StoreRequest | AwaitedStoreRequest,
        limits: Limits | None,
        progress: Progress | None,
        *,
        decompress: bool,
    ) -> None:
        self._request = request
        self._limits = limits or request.session.association.terms.limits
        self._decoder: Decoder | None = None
        self._progress = progress
        self._size = 0
        self._conversion: Conversion | None = None
        if decompress and can_recode(request.transfer_syntax, NATIVE):
            self._conversion = Conversion(
                request.transfer_syntax, NATIVE, sop_class_uid=request.sop_class_uid, limits=self._limits
            )

    def take(self, piece: Buffer) -> None:
        decoder = self._decoder or self._begin()
        self._size += len(piece)
        for part in (piece,) if self._conversion is None else self._conversion.feed(piece):
            decoder.feed(part)
        if self._progress is not None:
            self._progress(self._size, 0)

    def end(self) -> Dataset:
        decoder = self._decoder or self._begin()
        if not self._size:
            raise DataSetError("no data set")
        for part in () if self._conversion is None else self._conversion.finish():
            decoder.feed(part)
        decoder.check(self._request.sop_class_uid, self._request.sop_instance_uid)
        return decoder.finish()

    def close(self) -> None:
        if self._conversion is not None:
            self._conversion.close()

    def _begin(self) -> Decoder:
        """An unknown transfer syntax is refused like a data set that cannot be read."""
        syntax = self._request.transfer_syntax if self._conversion is None else NATIVE
        self._decoder = Decoder(syntax, self._limits)
        return self._decoder
