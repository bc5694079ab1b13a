"""The codec of command sets: group 0000, implicit VR little endian [PS3.7 6.3.1, E.1].

Knows: how elements are encoded. Must not know: which elements a message has (`dimse.types`).
"""

from __future__ import annotations

import struct

from ..errors import AbortReason, Malformed
from ..tolerance import Judge
from ..wire import Buffer

ELEMENT = struct.Struct("<HHL")
US_ELEMENT = struct.Struct("<HHLH")
_GROUP_LENGTH = struct.Struct("<HHLL")

GROUP_LENGTH = 0x0000
GROUP_LENGTH_SIZE = _GROUP_LENGTH.size
"""Length, in bytes, of the group length element, which comes first."""
CLAUSE = "PS3.7 6.3.1"


def encode_us(element: int, value: int) -> bytes:
    """Returns a whole US element (0000,`element`)."""
    return US_ELEMENT.pack(0, element, 2, value)


def encode_bytes(element: int, value: bytes) -> bytes:
    """Returns a whole element (0000,`element`); `value` must have an even length."""
    return ELEMENT.pack(0, element, len(value)) + value


def group_length(size: int) -> bytes:
    """Returns the group length element, with which every command set begins. `size`: bytes of all other elements."""
    return _GROUP_LENGTH.pack(0, GROUP_LENGTH, 4, size)


def with_group_length(elements: bytes) -> bytes:
    """Returns the command set: the group length, then `elements`."""
    return group_length(len(elements)) + elements


def decode_elements(data: Buffer) -> dict[int, bytes]:
    """Returns element number -> value for one complete command set, in order, without the group length.

    Raises `Malformed` for another group, elements out of order, a length beyond the end, an odd length, a group length
    that is missing or wrong.
    """
    data = bytes(data)  # a command set is small, and its values are kept
    end = len(data)
    if end < _GROUP_LENGTH.size:
        raise _malformed(f"command set of {end} bytes; at least {_GROUP_LENGTH.size}")
    group, element, length, total = _GROUP_LENGTH.unpack_from(data)
    if group or element or length != 4:
        raise _malformed(f"command set begins with ({group:04X},{element:04X}); (0000,0000) of 4 bytes")
    at = _GROUP_LENGTH.size
    if total != end - at:
        raise _malformed(f"command group length {total} before {end - at} bytes")
    elements: dict[int, bytes] = {}
    previous = GROUP_LENGTH
    unpack = ELEMENT.unpack_from
    while at < end:
        if end - at < 8:
            raise _malformed(f"command element header of {end - at} bytes; {ELEMENT.size}")
        group, element, length = unpack(data, at)
        at += 8
        stop = at + length
        if group or element <= previous or stop > end or length & 1:
            raise _malformed_element(group, element, length, previous, end - at)
        elements[element] = data[at:stop]
        at = stop
        previous = element
    return elements


def elements_of(data: Buffer, judge: Judge) -> tuple[dict[int, bytes], bool]:
    """Like `decode_elements`, but accepts a wrong layout if the tolerance allows it; also returns True if it was right.

    Raises `Malformed` if the layout is wrong and not accepted.
    """
    try:
        return decode_elements(data), True
    except Malformed as fault:
        if not judge.tolerance.command_layout:
            raise
        try:
            found = _elements_in_any_order(bytes(data))
        except Malformed as worse:
            raise fault from worse
        judge.tolerates("command_layout", fault.detail)
        return found, False


def _elements_in_any_order(data: bytes) -> dict[int, bytes]:
    """Returns element number -> value, ascending. Accepts elements in any order and of odd length, and any group
    length.

    Raises `Malformed` for another group, an element that comes twice, a length beyond the end."""
    found: dict[int, bytes] = {}
    at, end = 0, len(data)
    while at < end:
        if end - at < ELEMENT.size:
            raise _malformed(f"command element header of {end - at} bytes; {ELEMENT.size}")
        group, element, length = ELEMENT.unpack_from(data, at)
        at += ELEMENT.size
        if group or at + length > end:
            raise _malformed_element(group, element, length, -1, end - at)
        if element in found:
            raise _malformed(f"command element (0000,{element:04X}) twice")
        found[element] = data[at : at + length]
        at += length
    found.pop(GROUP_LENGTH, None)
    return dict(sorted(found.items()))


def _malformed_element(group: int, element: int, length: int, previous: int, left: int) -> Malformed:
    """Returns the fault of the header of an element that follows (0000,`previous`) and has `left` bytes after it."""
    if group:
        return _malformed(f"element ({group:04X},{element:04X}) in a command set; group 0000 only")
    if element <= previous:
        return _malformed(f"command element (0000,{element:04X}) after (0000,{previous:04X}); ascending order")
    if length > left:
        return _malformed(f"command element (0000,{element:04X}) of {length} bytes with {left} left")
    return _malformed(f"command element (0000,{element:04X}) of odd length {length}")


def end_of_set(data: Buffer) -> int | None:
    """Returns the offset at which the command set at the start of `data` ends, by its group length.

    None if `data` is too short to have a group length, or does not begin with one.
    """
    if len(data) < _GROUP_LENGTH.size:
        return None
    group, element, length, total = _GROUP_LENGTH.unpack_from(data)
    return None if group or element or length != 4 else _GROUP_LENGTH.size + total


def _malformed(detail: str) -> Malformed:
    return Malformed(detail, CLAUSE, AbortReason.INVALID_PARAMETER)
