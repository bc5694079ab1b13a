"""Converts data sets from one transfer syntax to another, as streams: rewrites headers and copies values unchanged.

Theory of operation: a `Rewriter` is a `Walker` that writes each token again as it meets it. `convert` and `padded` feed
it what an iterator yields, and yield what it wrote.

Knows: transfer syntaxes, deflated ones too. Must not know: files. Bytes come from an iterator, and a fault in them is a
`TranscodeError`, which the caller that opened the file turns into its own. Invariant: memory is two or three pieces and
one entry for each level of nesting, for any lengths in the data.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from typing import Final

from ..limits import Limits
from ..registry.uids import DEFLATED_EXPLICIT_VR_LE, DICOS_EXPLICIT_VR_LE_EXTENDED, EXPLICIT_VR_LE, IMPLICIT_VR_LE
from ..wire import Buffer
from .deflated import Inflater, deflate
from .elements import PIXEL_REPRESENTATION, SOP_CLASS_UID, SOP_INSTANCE_UID, DataSetError, encoding
from .rewriter import DICOS_PREFIX, DICOS_VRS, EXPLICIT, Rewriter, Scope, VROf, dictionary, says_signed
from .tokens import ELEMENTS, WHOLE
from .walker import Walker

__all__ = [
    "CHUNK", "CONVERTIBLE", "DICOS_PREFIX", "DICOS_VRS", "SMALL", "Scope", "TranscodeError", "VROf",
    "can_convert", "convert", "deflate", "dictionary", "inflate", "is_signed", "padded", "sop_uids",
]  # fmt: skip

CONVERTIBLE: Final = (EXPLICIT_VR_LE, IMPLICIT_VR_LE, DEFLATED_EXPLICIT_VR_LE, DICOS_EXPLICIT_VR_LE_EXTENDED)
"""Transfer syntaxes among which a data set is converted; the encoded values are the same in all of them."""
CHUNK: Final = 512 * 1024
"""Default size in bytes of the pieces that come out."""
SMALL: Final = 4096
"""Size in bytes of the pieces in which the beginning of a data set is read."""

_STRICT: Final = Limits()


class TranscodeError(Exception):
    """The bytes are not a data set in the given transfer syntax, or exceed a limit; the text says where."""


class _Look(Walker):
    """Keeps the values of some elements of the data set itself, up to `WHOLE` bytes each."""

    __slots__ = ("_last", "_tags", "found", "passed")

    def __init__(self, transfer_syntax: str, tags: tuple[int, ...], limits: Limits) -> None:
        implicit, little, _, extended = encoding(transfer_syntax) or EXPLICIT
        super().__init__(implicit=implicit, little=little, limits=limits, tokens=True, extended=extended)
        self._tags, self._last = tags, max(tags)
        self.found: dict[int, bytes] = {}
        self.passed = False
        """True once the last of them, or an element after it, was read."""

    def element(self, tag: int, vr: bytes | None, known: bytes, data: Buffer, at: int, length: int) -> None:
        if not self._nested and not self.passed:
            if tag in self._tags and length <= WHOLE:
                self.found[tag] = bytes(data[at : at + length])
            self.passed = tag >= self._last

    def opened(self, kind: int, tag: int, vr: bytes | None, at: int, length: int, *, implicit: bool) -> None:
        self.passed = self.passed or (self._nested == 1 and kind != ELEMENTS and tag >= self._last)


def can_convert(from_ts: str, to_ts: str) -> bool:
    """Returns True if a data set in `from_ts` can be converted to `to_ts`; always if they are the same."""
    return from_ts == to_ts or (from_ts in CONVERTIBLE and to_ts in CONVERTIBLE)


def convert(
    read: Callable[[], Generator[Buffer, None, None]],
    from_ts: str,
    to_ts: str,
    *,
    sop_class_uid: str = "",
    chunk: int = CHUNK,
    limits: Limits = _STRICT,
) -> Generator[Buffer, None, None]:
    """Yields the data set in `to_ts`, in pieces of about `chunk` bytes. Each call of `read` yields it from its start.

    `sop_class_uid` chooses DICOS's VRs where they differ from DICOM's. `can_convert` has to be True for the pair.
    `limits` bound the inflated bytes (`inflate_bytes`, `inflate_ratio`) and the nesting (`sequence_depth`). Explicit VR
    and deflated have the same encoding inside: between these the data set is checked and not rewritten, so a value of
    odd length stays odd. A value of more than 4,294,967,294 bytes has room in DICOS's extended explicit VR only.
    Raises `TranscodeError`, also for bytes that are not a data set, once it meets them.
    """
    with ExitStack() as readers:

        def decoded() -> Iterator[Buffer]:
            chunks = readers.enter_context(closing(read()))
            if from_ts != DEFLATED_EXPLICIT_VR_LE or from_ts == to_ts:
                return chunks
            return inflate(chunks, limits=limits, chunk=chunk)

        chunks = decoded()
        source, target = encoding(from_ts) or EXPLICIT, encoding(to_ts) or EXPLICIT
        implicit = source.implicit
        if from_ts != to_ts and source[:2] == target[:2] and not (source.extended or target.extended):
            chunks = _checked(chunks, Walker(implicit=False, little=True, limits=limits))
        elif from_ts != to_ts:
            rewriter = Rewriter(
                source=source,
                target=target,
                limits=limits,
                vr_of_tag=dictionary(sop_class_uid) if implicit else None,
                signed=implicit and is_signed(decoded(), limits=limits),
            )
            chunks = _rewritten(chunks, rewriter, chunk)
        if to_ts == DEFLATED_EXPLICIT_VR_LE and from_ts != to_ts:
            chunks = deflate(chunks)
        yield from chunks


def padded(
    chunks: Iterable[Buffer], transfer_syntax: str, *, chunk: int = CHUNK, limits: Limits = _STRICT
) -> Iterator[Buffer]:
    """Yields the data set in the same transfer syntax, each value of an odd length made even: text by a space,
    everything else by a NUL [PS3.5 6.2, 7.1.1].

    Fragments of encapsulated values are copied unchanged. Not for deflated data sets. Raises `TranscodeError`.
    """
    same = encoding(transfer_syntax) or EXPLICIT
    rewriter = Rewriter(
        source=same,
        target=same,
        limits=limits,
        vr_of_tag=dictionary("") if same.implicit else None,
        fragments=True,
    )
    return _rewritten(chunks, rewriter, chunk)


def sop_uids(chunks: Iterable[Buffer], transfer_syntax: str, *, limits: Limits = _STRICT) -> tuple[str, str]:
    """Returns SOP class and instance UID from the data set itself, "" for one that is not there, and reads no further.

    This works for every transfer syntax: pixels, which may be compressed, come after (0008,0018). Raises
    `TranscodeError`.
    """
    if transfer_syntax == DEFLATED_EXPLICIT_VR_LE:
        chunks = inflate(chunks, limits=limits, chunk=SMALL)
    found = _looked_up(chunks, _Look(transfer_syntax, (SOP_CLASS_UID, SOP_INSTANCE_UID), limits))
    sop_class, sop_instance = (
        found.get(tag, b"").decode("ascii", "replace").rstrip("\0 ") for tag in (SOP_CLASS_UID, SOP_INSTANCE_UID)
    )
    return sop_class, sop_instance


def is_signed(chunks: Iterable[Buffer], *, limits: Limits = _STRICT) -> bool:
    """Returns True if a data set in implicit VR has signed pixels, and reads no further: elements before (0028,0103)
    need to know as well. Raises `TranscodeError`."""
    found = _looked_up(chunks, _Look(IMPLICIT_VR_LE, (PIXEL_REPRESENTATION,), limits))
    return says_signed(found.get(PIXEL_REPRESENTATION, b""))


def inflate(chunks: Iterable[Buffer], *, limits: Limits = _STRICT, chunk: int) -> Iterator[bytes]:
    """Yields the inflated data set, in pieces of at most `chunk` bytes; bytes after the end of the deflate stream are
    padding [PS3.5 A.5]. Raises `TranscodeError`."""
    inflater = Inflater(limits, most=limits.inflate_bytes, limit="inflate_bytes")
    try:
        for data in chunks:
            yield from inflater.feed(data, chunk)
        inflater.finish()
    except DataSetError as error:
        raise TranscodeError(str(error)) from error


def _looked_up(chunks: Iterable[Buffer], look: _Look) -> dict[int, bytes]:
    """Returns what `look` finds before it has passed all that it looks for. Faults after that are not its own."""
    try:
        for data in chunks:
            for at in range(0, len(data), SMALL):
                look.feed(data[at : at + SMALL])
                if look.passed:
                    return look.found
        look.finish()
    except DataSetError as error:
        if not look.passed:
            raise TranscodeError(str(error)) from error
    return look.found


def _checked(chunks: Iterable[Buffer], walker: Walker) -> Iterator[Buffer]:
    """Yields these unchanged, each after the walker has passed it."""
    try:
        for data in chunks:
            walker.feed(data)
            yield data
            del data  # its memory can be used for the next piece
        walker.finish()
    except DataSetError as error:
        raise TranscodeError(str(error)) from error


def _rewritten(chunks: Iterable[Buffer], rewriter: Rewriter, chunk: int) -> Iterator[Buffer]:
    """Yields what the rewriter makes of these, in pieces of about `chunk` bytes."""
    try:
        for data in chunks:
            for at in range(0, len(data), chunk):
                rewriter.feed(data[at : at + chunk] if len(data) > chunk else data)
                if len(rewriter.out) >= chunk:
                    yield rewriter.taken()
        rewriter.finish()
    except DataSetError as error:
        raise TranscodeError(str(error)) from error
    if rewriter.out:
        yield rewriter.taken()
