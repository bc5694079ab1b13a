"""Files of 64-bit volumes that pyDICOS 1.3.0 writes: (7FE0,0012) has 64 bits of length there in every transfer syntax,
after the value representation and without the two zeros [obs]. In explicit and implicit VR, 32 bits are right.

Theory of operation: which of the two a header has shows at the end of the file, where the value ends. So this needs the
size of the data set beforehand, which a file has and an association has not.

Knows: one header. Must not know: anything else of a data set. Invariants: bytes are changed only if a length of 64 bits
ends exactly where the data set does.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from dicos_proto.data.elements import LONGEST
from dicos_proto.registry import uids
from dicos_proto.wire import Buffer

__all__ = ["mended"]

_TAG: Final = b"\xe0\x7f\x12\x00"
_MARKS: Final = {uids.EXPLICIT_VR_LE: (_TAG + b"OD", 2), uids.IMPLICIT_VR_LE: (_TAG, 0)}
"""Transfer syntax -> the bytes before the length, and the zeros that ought to be between."""
_LONGEST_HEADER: Final = 14


def mended(chunks: Iterable[Buffer], transfer_syntax: str, size: int) -> Iterator[Buffer]:
    """Yields the bytes of a data set of `size` bytes with a right header of (7FE0,0012) in place of a wrong one.

    Other data sets, and other transfer syntaxes, are not changed.
    """
    mark, zeros = _MARKS.get(transfer_syntax, (b"", 0))
    held, position, searching = b"", 0, bool(mark)
    for chunk in chunks:
        if not searching:
            yield chunk
            continue
        data = held + bytes(chunk)
        at, found = _find(data, mark, zeros, size - position)
        if found:
            searching = False
            if at < 0:
                yield data
                continue
            length = size - position - at - len(mark) - 8
            yield data[:at] + mark + bytes(zeros) + struct.pack("<L", length)
            yield data[at + len(mark) + 8 :]
            held = b""
            continue
        keep = min(len(data), _LONGEST_HEADER - 1)
        yield data[: len(data) - keep]
        position += len(data) - keep
        held = data[len(data) - keep :]
    if searching:
        yield held


def _find(data: bytes, mark: bytes, zeros: int, left: int) -> tuple[int, bool]:
    """Returns where the wrong header is, -1 if there is a right one, and True if either was found.

    `left`: bytes from the beginning of `data` to the end of the data set.
    """
    at = data.find(mark)
    while 0 <= at <= len(data) - len(mark) - 8:
        after = at + len(mark)
        (short,) = struct.unpack_from("<L", data, after + zeros)
        (long,) = struct.unpack_from("<Q", data, after)
        if long == left - after - 8 and long <= LONGEST:
            return at, True
        if short == left - after - zeros - 4 and not any(data[after : after + zeros]):
            return -1, True
        at = data.find(mark, at + 1)
    return -1, False
