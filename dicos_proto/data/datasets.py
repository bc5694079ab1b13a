"""Converts data sets to bytes in a transfer syntax and back. It is the only user of pydicom, imported on first use.

Services take and return `Attributes`: bytes and their transfer syntax, decoded when `dataset` is read. An application
without pydicom uses the bytes.

Knows: that pydicom decodes and encodes. Must not know: what an attribute means. Invariants: this is the one decoder of
data sets from a peer or a file. Objects are made only while the bytes are walked over (`builder`, `walker`), without
recursion, with every length compared with its parent's and every depth and count with `Limits`. Deflated data is
counted while it is inflated.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from ..arguments import check_not
from ..limits import Limits
from ..registry import uids
from ..tolerance import CLAUSES, Judge
from ..wire import Buffer
from .deflated import deflate, inflate_whole, most_inflated
from .elements import DataSetError, Encoding, encoding

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from .builder import Builder

__all__ = [
    "Attributes", "Content", "DataSetError", "content", "convert", "decode", "decode_object", "encode", "faults",
    "value_of",
]  # fmt: skip

_STRICT = Judge(Limits())


@dataclass(frozen=True, slots=True)
class Attributes:
    """A data set as bytes in a transfer syntax: an identifier, an attribute list, what an event or an action says."""

    data: bytes = field(repr=False)
    transfer_syntax: str
    judge: Judge = field(default=_STRICT, repr=False, compare=False)
    """The limits and the tolerance for decoding it: those of the association that it came on."""

    @property
    def dataset(self) -> Dataset:
        """The data set, decoded now. Raises `DataSetError`."""
        return decode(self.data, self.transfer_syntax, self.judge)


Content: TypeAlias = "Buffer | Attributes | Dataset"
"""A data set to send: bytes in the transfer syntax of the context, or what can be encoded in it."""


def content(given: Content, transfer_syntax: str) -> Buffer:
    """Returns `given` in `transfer_syntax`. Raises `DataSetError`; TypeError for a dict and the like."""
    if isinstance(given, bytes | bytearray | memoryview):
        return given
    check_not(given, "data set", "a Dataset, bytes or Attributes", str, int, Mapping, list, tuple, type(None))
    if isinstance(given, Attributes):
        if given.transfer_syntax == transfer_syntax:
            return given.data
        given = given.dataset
    return encode(given, transfer_syntax)


def encode(dataset: Dataset, transfer_syntax: str) -> bytes:
    """Returns a pydicom data set as bytes. Raises `DataSetError`."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    from .writing import writable

    implicit, little, packed, extended = _syntax(transfer_syntax)
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = implicit, little
    try:
        write_dataset(out, writable(dataset, implicit=implicit, little=little))
    except faults() as fault:
        raise DataSetError(
            f"a data set that cannot be encoded in {uids.name_of(transfer_syntax)}: {type(fault).__name__}"
        ) from None
    encoded: bytes = out.getvalue()
    if extended:
        return _extended(encoded, transfer_syntax)
    return b"".join(deflate([encoded])) if packed else encoded


def _extended(encoded: bytes, transfer_syntax: str) -> bytes:
    """Writes the lengths of explicit VR as those of DICOS's extended one."""
    from . import transcode

    def read() -> Generator[Buffer, None, None]:
        yield encoded

    try:
        return b"".join(transcode.convert(read, uids.EXPLICIT_VR_LE, transfer_syntax))
    except transcode.TranscodeError as fault:
        raise DataSetError(f"a data set that cannot be encoded in {uids.name_of(transfer_syntax)}: {fault}") from None


def decode(data: Buffer, transfer_syntax: str, judge: Judge = _STRICT) -> Dataset:
    """Returns a whole data set as pydicom's, its values not yet converted. Raises `DataSetError`.

    `judge`: the limits, and the deviations that are accepted. Text beyond ASCII in a data set that does not name its
    character set is a deviation (`missing_character_set`) [PS3.5 6.1.2].

    pydicom converts a value when it is read, and may warn or raise then: `value_of` raises `DataSetError`.
    """
    limits = judge.limits
    built = _build(data, transfer_syntax, limits, limits.attributes, "attributes", composite=False)
    tag = built.unlabelled
    if tag is not None:
        detail = f"text beyond ASCII in ({tag >> 16:04X},{tag & 0xFFFF:04X}) of a data set without a character set"
        if not judge.tolerates("missing_character_set", detail):
            raise DataSetError(f"{detail} [{CLAUSES['missing_character_set']}]")
    return built.made()


def decode_object(data: Buffer, transfer_syntax: str, limits: Limits | None = None) -> Dataset:
    """Returns the whole data set of a composite object as pydicom's, its values not yet converted. Raises
    `DataSetError`.

    Pixel data stays as it is, in fragments too. `limits` bound the inflated bytes (`collected`, `inflate_ratio`), the
    nesting (`sequence_depth`), and the elements, items and values (`object_elements`, `object_items`, `object_values`;
    `inflate_elements` if it is deflated). Errors that writers are known to make, and pydicom accepts, are accepted.
    """
    limits = limits or _STRICT.limits
    return _build(data, transfer_syntax, limits, limits.collected, "collected", composite=True).made()


def _build(data: Buffer, transfer_syntax: str, limits: Limits, most: int, limit: str, *, composite: bool) -> Builder:
    from .builder import Builder

    implicit, little, packed, extended = _syntax(transfer_syntax)
    raw = inflate_whole(data, limits, most=most, limit=limit, strict=not composite) if packed else bytes(data)
    allowed = most_inflated(len(data), limits) if packed else None
    builder = Builder(
        raw,
        implicit=implicit,
        little=little,
        limits=limits,
        composite=composite,
        inflated=allowed,
        extended=extended,
    )
    try:
        builder.feed(raw)
        builder.finish()
    except faults() as fault:  # out of a dictionary that the application has extended
        raise DataSetError(f"a data set that cannot be decoded: {type(fault).__name__}") from None
    return builder


def value_of(dataset: Dataset, keyword: str) -> object:
    """Returns the value of an attribute, None if it is absent. Raises `DataSetError` if it does not fit its VR."""
    try:
        value: object = dataset.get(keyword)
    except faults():
        raise DataSetError(f"a value of {keyword} that does not fit its value representation [PS3.5 6.2]") from None
    return value


def convert(dataset: Dataset) -> Dataset:
    """Returns the same data set after a look at every value, so that none raises later.

    Raises `DataSetError` if a value does not fit its value representation.
    """
    waiting = [dataset]
    try:
        while waiting:
            for element in waiting.pop():
                if element.VR == "SQ":
                    waiting += element.value
    except faults():
        raise DataSetError(
            "a value that does not fit its value representation [PS3.5 6.2]"
        ) from None  # its text repeats values
    return dataset


def faults() -> tuple[type[Exception], ...]:
    """Returns the exceptions that pydicom raises for values that do not fit. Their texts repeat the values, so they are
    not passed on."""
    from pydicom.errors import BytesLengthException

    return (
        BytesLengthException, ValueError, TypeError, LookupError, AttributeError, NotImplementedError, OverflowError,
        OSError, EOFError, RecursionError, Warning, struct.error,
    )  # fmt: skip


def _syntax(transfer_syntax: str) -> Encoding:
    found = encoding(transfer_syntax)
    if found is None:
        raise DataSetError(f"no codec for data sets in {uids.name_of(transfer_syntax)}; the bytes are there")
    return found
