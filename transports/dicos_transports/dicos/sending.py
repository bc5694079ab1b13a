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
from dicos_proto.dicos.compressing import Item, PixelTranscoder
from dicos_proto.dicos.content import PIXELS, Decoder, is_encapsulated, pieces, size_of
from dicos_proto.dicos.profile import UNCOMPRESSED, Compression, transfer_syntaxes
from dicos_proto.limits import Limits
from dicos_proto.registry import uids
from dicos_proto.wire import Buffer

from ..files.coding import FrameCoder, coded
from ..sessions.finished import finished
from ..sessions.session import Session as AwaitedSession
from ..sessions.session import StoreRequest as AwaitedStoreRequest

if TYPE_CHECKING:
    from ..blocking.session import Session, StoreRequest

__all__ = ["Encoded", "Sendable", "receive", "send"]

STEP: Final = 4 << 20
"""Bytes of pixel data between two reports of progress."""


class Encoded:
    """An object to send, encoded once for each transfer syntax in which it is asked for, by any number of threads.

    It holds views of the pixel data, which must not change. Raises TypeError for anything but an object or a data set.
    """

    __slots__ = ("_compression", "_dataset", "_found", "_lock", "_own")

    def __init__(self, thing: DicosObject | Dataset, compression: Compression = Compression.ALLOWED) -> None:
        """`compression`: the place of compressed transfer syntaxes among those that it can be sent in."""
        check_kind(thing, "Encoded({})", DicosObject, Dataset)
        self._dataset = thing.dataset if isinstance(thing, DicosObject) else thing
        self._compression = compression
        self._own = _syntax_of(self._dataset)
        self._found: dict[str, tuple[Buffer, ...]] = {}
        self._lock = threading.Lock()

    @property
    def sop_class_uid(self) -> str:
        """Its SOP class."""
        return str(self._dataset.SOPClassUID)

    @property
    def sop_instance_uid(self) -> str:
        """Its SOP instance, which several sections of one CT have in common."""
        return str(self._dataset.SOPInstanceUID)

    @property
    def transfer_syntaxes(self) -> tuple[str, ...]:
        """Those that it can be sent in, best first. Compressed pixel data goes as it is, if compression is not
        forbidden; otherwise, as any other way, it takes the extra `compression`."""
        if self._own is None:  # compressed in an unknown way
            return ()
        coded = codecs.available()
        if self._own:
            others = transfer_syntaxes(self.sop_class_uid, self._compression, rle=True) if coded else ()
            first = () if self._compression is Compression.FORBIDDEN and coded else (self._own,)
            return tuple(dict.fromkeys((*first, *others)))
        if not _has_pixels(self._dataset):  # then there is nothing to compress
            return tuple(dict.fromkeys((*UNCOMPRESSED, *codecs.ENCODED)))
        if not coded or not _is_native(self._dataset):
            return UNCOMPRESSED
        return transfer_syntaxes(self.sop_class_uid, self._compression, rle=True)

    def pieces(self, transfer_syntax: str) -> tuple[Buffer, ...]:
        """Returns its encoding in a transfer syntax. Raises `DataSetError`."""
        with self._lock:
            found = self._found.get(transfer_syntax)
            if found is None:
                found = self._found[transfer_syntax] = tuple(self._encoded(transfer_syntax))
            return found

    def stream(self, transfer_syntax: str) -> Iterable[Buffer]:
        """Returns its encoding in a transfer syntax, once: frames are compressed or decompressed in threads while the
        pieces are taken, and not kept. Raises `DataSetError`, then or later."""
        found = self._found.get(transfer_syntax)
        return self._encoded(transfer_syntax) if found is None else found

    def _encoded(self, transfer_syntax: str) -> Iterable[Buffer]:
        if not _has_pixels(self._dataset):
            native = transfer_syntax not in codecs.ENCODED
            return pieces(self._dataset, transfer_syntax if native else uids.EXPLICIT_VR_LE)  # PS3.5 A.4
        own = self._own or (transfer_syntax if transfer_syntax not in codecs.ENCODED else uids.EXPLICIT_VR_LE)
        if own == transfer_syntax:
            return pieces(self._dataset, own)
        transcoder = PixelTranscoder(own, transfer_syntax, sop_class_uid=self.sop_class_uid)
        return coded(_items(transcoder, pieces(self._dataset, own)))

    def size(self, transfer_syntax: str) -> int:
        """Returns the bytes of its encoding in a transfer syntax. Raises `DataSetError`."""
        return size_of(self.pieces(transfer_syntax))


def _syntax_of(dataset: Dataset) -> str | None:
    """The transfer syntax of compressed pixel data, None if it is not known; "" for native pixel data, or none."""
    for tag in PIXELS:
        if tag in dataset and is_encapsulated(dataset[tag], dataset):
            meta = getattr(dataset, "file_meta", None)
            syntax = meta.get("TransferSyntaxUID") if isinstance(meta, Dataset) else None
            return None if syntax is None else str(syntax)
    return ""


def _has_pixels(dataset: Dataset) -> bool:
    return any(tag in dataset for tag in PIXELS)


def _is_native(dataset: Dataset) -> bool:
    """Returns True for pixel data of up to 16 bits, which codecs are for."""
    return 0x7FE00010 in dataset


def _items(transcoder: PixelTranscoder, parts: Iterable[Buffer]) -> Iterator[Item]:
    for part in parts:
        yield from transcoder.feed(part)
    yield from transcoder.finish()


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
    has accepted a compressed transfer syntax and nothing that `compression` puts before it, frames are compressed in
    threads while they are sent; this takes the extra `compression`. `progress` is called with the bytes taken so far
    and their number in all, 0 if that is not known. Raises `ContextNotAccepted` and `DataSetError` before anything is
    sent; `DataSetError` also later, for compressed pixel data that is corrupt, and the association is aborted then;
    `AssociationError`.
    """
    encoded = thing if isinstance(thing, Encoded) else Encoded(thing, compression)
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
    parts: Iterable[Buffer] = encoded.pieces(syntax) if keep else encoded.stream(syntax)
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
    request: StoreRequest, *, decompress: bool = ..., limits: Limits | None = ..., progress: Progress | None = ...
) -> Dataset: ...


@overload
def receive(
    request: AwaitedStoreRequest,
    *,
    decompress: bool = ...,
    limits: Limits | None = ...,
    progress: Progress | None = ...,
) -> Coroutine[Any, Any, Dataset]: ...


def receive(
    request: StoreRequest | AwaitedStoreRequest,
    *,
    decompress: bool = True,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> Dataset | Coroutine[Any, Any, Dataset]:
    """Reads the data set of a C-STORE into memory, its pixel data into one buffer. Await it in trio and asyncio.

    Compressed pixel data is decompressed while it arrives, if the extra `compression` is there; otherwise, and without
    `decompress`, it stays as it is. `dicos_proto.dicos.view` makes a CT, DX, TDR ... of the data set, with its volume
    as a view of that buffer. The request is not answered: `respond` when the object is safe. `limits`: those of the
    association by default; `pixels` and `collected` bound the memory. `progress` is called with the bytes received so
    far, and 0.

    A data set that is refused is answered with its failure status, 0xC000 or 0xA900, and `DataSetError` is raised; go
    on with the next request. Raises `AssociationError`.
    """
    if isinstance(request, AwaitedStoreRequest):
        return _receive(request, _Receiver(request, limits, progress, decompress=decompress))
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


async def _receive(request: AwaitedStoreRequest, decoder: _Receiver) -> Dataset:
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
    """The decoder of one request. If codecs are there, compressed pixel data is decompressed as it arrives."""

    def __init__(
        self,
        request: StoreRequest | AwaitedStoreRequest,
        limits: Limits | None,
        progress: Progress | None,
        *,
        decompress: bool,
    ) -> None:
        self._request = request
        self._decompress = decompress and codecs.available()
        self._limits = limits or request.session.association.terms.limits
        self._decoder: Decoder | None = None
        self._progress = progress
        self._transcoder: PixelTranscoder | None = None
        self._coder = FrameCoder()
        self._size = 0

    def take(self, piece: Buffer) -> None:
        decoder = self._decoder or self._begin()
        self._size += len(piece)
        if self._transcoder is None:
            decoder.feed(piece)
        else:
            for made in self._coder.put(self._transcoder.feed(piece)):
                decoder.feed(made)
        if self._progress is not None:
            self._progress(self._size, 0)

    def end(self) -> Dataset:
        decoder = self._decoder or self._begin()
        if not self._size:
            raise DataSetError("no data set")
        if self._transcoder is not None:
            for made in self._coder.put(self._transcoder.finish()):
                decoder.feed(made)
            for made in self._coder.drain():
                decoder.feed(made)
        decoder.check(self._request.sop_class_uid, self._request.sop_instance_uid)
        return decoder.finish()

    def close(self) -> None:
        """Ends its threads."""
        self._coder.close()

    def _begin(self) -> Decoder:
        """An unknown transfer syntax is refused like a data set that cannot be read."""
        syntax = self._request.transfer_syntax
        if syntax in codecs.DECODED and self._decompress:
            self._transcoder = PixelTranscoder(
                syntax, uids.EXPLICIT_VR_LE, sop_class_uid=self._request.sop_class_uid, limits=self._limits
            )
            syntax = uids.EXPLICIT_VR_LE
        self._decoder = Decoder(syntax, self._limits)
        return self._decoder
