"""The conversion of an object while it is received: pieces in its transfer syntax in, pieces in another one out.

Knows: which converter is for which pair. Must not know: connections, files, what was asked for. Invariants: memory is
that of the converter; frames are coded in threads, which `close` ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dicos_proto.data import encoding
from dicos_proto.data.deflated import Inflater
from dicos_proto.data.rewriter import EXPLICIT, Rewriter, dictionary
from dicos_proto.dicos.codecs import ENCODED, available
from dicos_proto.dicos.compressing import PixelTranscoder, can_transcode
from dicos_proto.limits import Limits
from dicos_proto.registry import uids
from dicos_proto.wire import Buffer

from .coding import FrameCoder
from .data_sets import can_convert, compressible

__all__ = ["Conversion", "converts"]

_PIECE: Final = 64 << 10


def converts(sop_class_uid: str, from_ts: str, to_ts: str) -> bool:
    """Returns True if an object that is received in `from_ts` can be stored in `to_ts`, another one.

    Pixel data of the wide classes of DICOS is not compressed, nor any without the codecs; nothing is deflated.
    """
    if from_ts == to_ts or to_ts == uids.DEFLATED_EXPLICIT_VR_LE or not can_convert(from_ts, to_ts):
        return False
    if can_transcode(from_ts, to_ts) and not available():
        return False
    return to_ts not in ENCODED or compressible(sop_class_uid)


class Conversion:
    """Converts one data set: `feed` its pieces, then `finish`. Every error is a `DataSetError`.

    From implicit VR, an element of the ambiguous VR "US or SS" that comes before Pixel Representation counts as US:
    what follows is not known while it arrives [PS3.5 A.1].
    """

    __slots__ = ("_coder", "_inflater", "_pixels", "_rewriter")

    def __init__(
        self, from_ts: str, to_ts: str, *, sop_class_uid: str, limits: Limits, threads: int | None = None
    ) -> None:
        """`converts` has to be True for these."""
        self._coder = FrameCoder(threads)
        self._pixels: PixelTranscoder | None = None
        self._rewriter: Rewriter | None = None
        self._inflater: Inflater | None = None
        if can_transcode(from_ts, to_ts):
            self._pixels = PixelTranscoder(from_ts, to_ts, sop_class_uid=sop_class_uid, limits=limits)
            return
        source = encoding(from_ts) or EXPLICIT
        if source.deflated:
            self._inflater = Inflater(limits, most=limits.inflate_bytes, limit="inflate_bytes")
        self._rewriter = Rewriter(
            source=source,
            target=encoding(to_ts) or EXPLICIT,
            limits=limits,
            vr_of_tag=dictionary(sop_class_uid) if source.implicit else None,
        )

    def feed(self, data: Buffer) -> Iterator[Buffer]:
        """Yields what is ready; take all of it before you feed more. Raises `DataSetError`."""
        if self._pixels is not None:
            yield from self._coder.put(self._pixels.feed(data))
        elif self._rewriter is not None:
            for piece in (data,) if self._inflater is None else self._inflater.feed(data, _PIECE):
                self._rewriter.feed(piece)
                yield self._rewriter.taken()

    def finish(self) -> Iterator[Buffer]:
        """Yields the rest. Raises `DataSetError`."""
        if self._pixels is not None:
            yield from self._coder.put(self._pixels.finish())
            yield from self._coder.drain()
        elif self._rewriter is not None:
            if self._inflater is not None:
                self._inflater.finish()
            self._rewriter.finish()
            yield self._rewriter.taken()

    def close(self) -> None:
        """Ends the threads. May be called repeatedly."""
        self._coder.close()
