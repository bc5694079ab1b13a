"""Probes of the limits of data sets: elements, items, values, depth, character sets, deflate.

Knows: how a data set looks in implicit VR little endian. Must not know: associations (`wire_limits`). It imports
pydicom through `dicos_proto.data`, when a probe is run.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache
from typing import Final

from dicos_proto.data.checker import Checker
from dicos_proto.data.elements import DataSetError
from dicos_proto.limits import Limits
from dicos_proto.registry import uids

from .probes import Probe

__all__ = ["DATA_SETS", "PROBES"]

_IMPLICIT, _DEFLATED = uids.IMPLICIT_VR_LE, uids.DEFLATED_EXPLICIT_VR_LE
_AMOUNT: Final = 20
"""The value of a limit that is counted."""


def _element(tag: int, value: bytes) -> bytes:
    return bytes((tag >> 16 & 0xFF, tag >> 24, tag & 0xFF, tag >> 8 & 0xFF)) + len(value).to_bytes(4, "little") + value


def elements(count: int) -> bytes:
    """Returns this many empty elements."""
    return b"".join(_element(0x0010_1000 + number, b"") for number in range(count))


def items(count: int) -> bytes:
    """Returns a sequence of this many empty items: one element."""
    return _element(0x0008_1115, bytes.fromhex("feff00e000000000") * count)


def values(count: int) -> bytes:
    """Returns an element of this many values."""
    return _element(0x0008_0008, b"\\".join([b"AB"] * count))


def nested(depth: int) -> bytes:
    """Returns sequences inside each other."""
    data = b""
    for _ in range(depth):
        data = _element(0x0008_1115, _element(0xFFFE_E000, data))
    return data


def charsets(count: int) -> bytes:
    """Returns a Specific Character Set of this many names."""
    return _element(0x0008_0005, b"\\".join([b"ISO_IR 100"] * count))


DATA_SETS: Final = {
    "elements": elements, "items": items, "values": values, "sequence_depth": nested, "character_sets": charsets,
}  # fmt: skip
"""Limit -> a data set with this many of what it counts."""


def _refused(work: Callable[[], object]) -> str | None:
    """Returns the limit that the error names."""
    try:
        work()
    except DataSetError as fault:
        _, _, named = str(fault).partition("(limit ")
        return named.replace(":", ")").partition(")")[0] or "another fault"
    return None


def _attribute_list(name: str, distance: int) -> str | None:
    from dicos_proto.data.datasets import decode
    from dicos_proto.tolerance import Judge

    data = DATA_SETS[name](_AMOUNT + distance)
    return _refused(lambda: decode(data, _IMPLICIT, Judge(Limits(**{name: _AMOUNT}))))


def _object(name: str, distance: int) -> str | None:
    from dicos_proto.data.datasets import decode_object

    data = DATA_SETS[name.removeprefix("object_")](_AMOUNT + distance)
    return _refused(lambda: decode_object(data, _IMPLICIT, Limits(**{name: _AMOUNT})))


# -- deflate -------------------------------------------------------------------------------------------------------


def _deflated(data: bytes) -> bytes:
    engine = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return engine.compress(data) + engine.flush()


def _explicit(value: bytes) -> bytes:
    return b"\x10\0\0\x20LO" + len(value).to_bytes(2, "little") + value


@cache
def _of_ratio(ratio: int) -> bytes:
    """A deflated data set each byte of which inflates to exactly `ratio` bytes."""
    for size in range(100, 20_000, 2):
        data = _explicit(bytes(size))
        packed = _deflated(data)
        if len(data) == ratio * len(packed):
            return packed
    raise AssertionError(f"no data set of zeros has the ratio {ratio}")


def _checked(packed: bytes, limits: Limits) -> str | None:
    def work() -> None:
        checker = Checker(_DEFLATED, "", "", limits)
        checker.feed(packed)
        checker.finish()

    return _refused(work)


def _inflate_ratio(distance: int) -> str | None:
    """A ratio of 40, and one more or less; judged from the first byte on, at the end of the data."""
    return _checked(_of_ratio(40 + distance), Limits(inflate_ratio=40, inflate_unjudged_bytes=1))


def _inflate_unjudged_bytes(distance: int) -> str | None:
    """A ratio that is far too high, in a data set that is just short enough."""
    data = _explicit(bytes(5000))
    found = _checked(_deflated(data), Limits(inflate_ratio=2, inflate_unjudged_bytes=len(data) - distance))
    return "inflate_unjudged_bytes" if found == "inflate_ratio" else found


def _many() -> tuple[bytes, int]:
    """A deflated data set of empty elements, and their number, which is larger than its bytes."""
    count = 500
    return _deflated(b"\x10\0\x10\0LO\0\0" * count), count


def _inflate_elements(distance: int) -> str | None:
    """Elements for each deflated byte; the rest of the bound is the other limit."""
    packed, count = _many()
    each, rest = divmod(count, len(packed))
    return _checked(packed, Limits(inflate_elements=each - distance, inflate_unjudged_elements=rest))


def _inflate_unjudged_elements(distance: int) -> str | None:
    packed, count = _many()
    found = _checked(packed, Limits(inflate_elements=0, inflate_unjudged_elements=count - distance))
    return "inflate_unjudged_elements" if found == "inflate_elements" else found


def _inflate_bytes(distance: int) -> str | None:
    """A deflated data set that is converted, piece by piece."""
    from dicos_proto.data.transcode import TranscodeError, inflate

    packed = _deflated(_explicit(bytes(1000)))
    limits = Limits(inflate_bytes=len(_explicit(bytes(1000))) - distance)
    try:
        for _ in inflate([packed], limits=limits, chunk=100):
            pass
    except TranscodeError as fault:
        return "inflate_bytes" if "(limit inflate_bytes)" in str(fault) else "another fault"
    return None


def _of_list(name: str) -> Probe:
    return Probe(name, lambda distance: _attribute_list(name, distance))


def _of_object(name: str) -> Probe:
    return Probe(name, lambda distance: _object(name, distance))


PROBES: Final = (
    *map(_of_list, ("elements", "items", "values", "sequence_depth", "character_sets")),
    *map(_of_object, ("object_elements", "object_items", "object_values")),
    Probe("inflate_ratio", _inflate_ratio),
    Probe("inflate_unjudged_bytes", _inflate_unjudged_bytes),
    Probe("inflate_elements", _inflate_elements),
    Probe("inflate_unjudged_elements", _inflate_unjudged_elements),
    Probe("inflate_bytes", _inflate_bytes),
)
"""The probes of all limits that a data set has."""
