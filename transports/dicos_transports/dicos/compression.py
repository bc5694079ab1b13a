"""Data sets in memory or from a connection with their pixel data compressed or decompressed, frame by frame in threads.

Knows: which conversion is for which pair. Must not know: sessions, files. Invariants: memory is a piece and a few
frames for each thread, besides what the caller keeps.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator

from dicos_proto.dicos.compressing import Item, PixelTranscoder, can_transcode
from dicos_proto.limits import Limits
from dicos_proto.wire import Buffer

from ..files.coding import coded

__all__ = ["can_recode", "recode"]

can_recode = can_transcode


def recode(
    pieces: Iterable[Buffer],
    from_ts: str,
    to_ts: str,
    *,
    sop_class_uid: str = "",
    limits: Limits | None = None,
    threads: int | None = None,
) -> Generator[Buffer, None, None]:
    """Yields a data set in `to_ts`, in which its pixel data is compressed, decompressed or compressed otherwise.

    `pieces`: the data set in `from_ts`, in pieces of any size, whose memory may be reused once the next one is asked
    for. `sop_class_uid` chooses DICOS's VRs where they differ from DICOM's. `threads`: as many as there are processors
    by default. Raises `DataSetError`, ValueError unless `can_recode` is True for the pair.
    """
    transcoder = PixelTranscoder(from_ts, to_ts, sop_class_uid=sop_class_uid, limits=limits or Limits())
    yield from coded(_items(transcoder, pieces), threads=threads)


def _items(transcoder: PixelTranscoder, pieces: Iterable[Buffer]) -> Iterator[Item]:
    for piece in pieces:
        yield from transcoder.feed(piece)
    yield from transcoder.finish()
