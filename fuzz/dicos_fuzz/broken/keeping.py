"""The few objects that the provider keeps in memory, and how a query finds them.

Knows: the attributes by which objects are found. Must not know: messages, defects.

Bounds: at most `MOST` objects and `MOST_BYTES` bytes are kept; the oldest ones give way. An object longer than
`LONGEST` is refused. An identifier is read with the limits of the engine.
"""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass, field
from typing import Final

from dicos_proto.data.elements import DataSetError, encoding
from dicos_proto.data.walker import Walker
from dicos_proto.limits import Limits
from dicos_proto.registry import uids
from dicos_proto.wire import Buffer

__all__ = ["LONGEST", "Kept", "Keys", "Shelf", "identifier_of", "kept_of"]

MOST: Final = 256
MOST_BYTES: Final = 16 << 20
LONGEST: Final = 8 << 20
_CLASS, _INSTANCE, _LEVEL = 0x00080016, 0x00080018, 0x00080052
_STUDY, _SERIES = 0x0020000D, 0x0020000E
_WANTED: Final = (_CLASS, _INSTANCE, _LEVEL, _STUDY, _SERIES)
_UIDS: Final = (_INSTANCE, _STUDY, _SERIES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One object. `study`, `series`: its UIDs, empty if it names none."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    study: str = ""
    series: str = ""
    data: bytes = field(repr=False)


class Keys(Walker):
    """Reads the few attributes of a data set by which objects are found; only those outside sequences count."""

    __slots__ = ("_depth", "found")

    def __init__(self, transfer_syntax: str, limits: Limits, *, strict: bool) -> None:
        """`strict`: as an identifier has to be; an object may have the faults that writers are known to make. Raises
        `DataSetError` for a transfer syntax that is not known, or deflated."""
        known = encoding(transfer_syntax)
        if known is None or known[2]:
            raise DataSetError(f"no codec for identifiers in {uids.name_of(transfer_syntax)}")
        super().__init__(
            implicit=known[0], little=known[1], limits=limits, strict=strict, tokens=True, extended=known.extended
        )
        self._depth = 0
        self.found: dict[int, str] = {}
        """Tag -> value, without padding."""

    @classmethod
    def of(cls, data: Buffer, transfer_syntax: str, limits: Limits, *, strict: bool = True) -> dict[int, str]:
        """Returns the attributes of a whole data set. Raises `DataSetError`."""
        walk = cls(transfer_syntax, limits, strict=strict)
        walk.feed(data)
        walk.finish()
        return walk.found

    def element(self, tag: int, vr: bytes | None, known: bytes, data: Buffer, at: int, length: int) -> None:
        """Notes a wanted attribute that is short enough to be one."""
        if not self._depth and tag in _WANTED and length <= 64:
            self.found[tag] = bytes(data[at : at + length]).strip(b"\0 ").decode("ascii", "replace")

    def opened(self, kind: int, tag: int, vr: bytes | None, at: int, length: int, *, implicit: bool) -> None:
        """Counts the depth."""
        self._depth += 1

    def closed(self, kind: int, at: int) -> None:
        """Counts the depth."""
        self._depth -= 1


class Shelf:
    """The objects of the provider. It may be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, Kept] = {}
        self._bytes = 0

    def keep(self, kept: Kept) -> None:
        """Keeps an object, in place of one with the same UID; the oldest objects give way."""
        with self._lock:
            self._drop(kept.sop_instance_uid)
            self._kept[kept.sop_instance_uid] = kept
            self._bytes += len(kept.data)
            while len(self._kept) > MOST or self._bytes > MOST_BYTES:
                self._drop(next(iter(self._kept)))

    def _drop(self, uid: str) -> None:
        before = self._kept.pop(uid, None)
        if before is not None:
            self._bytes -= len(before.data)

    def matching(self, keys: dict[int, str]) -> list[Kept]:
        """Returns the objects whose UIDs are among those of the keys; an empty key matches all [PS3.4 C.2.2.2.2]."""
        with self._lock:
            kept = list(self._kept.values())
        wanted = [(index, set(keys[tag].split("\\"))) for index, tag in enumerate(_UIDS) if keys.get(tag)]
        return [
            one for one in kept
            if all((one.sop_instance_uid, one.study, one.series)[index] in values for index, values in wanted)
        ]  # fmt: skip


def kept_of(sop_class_uid: str, sop_instance_uid: str, transfer_syntax: str, data: bytes, limits: Limits) -> Kept:
    """Returns an object to keep, with the UIDs by which it is found if its data set shows them."""
    try:
        keys = Keys.of(data, transfer_syntax, limits, strict=False)
    except DataSetError:  # deflated: it is found by its instance alone
        keys = {}
    return Kept(
        sop_class_uid=sop_class_uid,
        sop_instance_uid=sop_instance_uid,
        transfer_syntax=transfer_syntax,
        study=keys.get(_STUDY, ""),
        series=keys.get(_SERIES, ""),
        data=data,
    )


def identifier_of(kept: Kept, level: str, transfer_syntax: str) -> bytes:
    """Returns the identifier that answers a query, in an uncompressed little endian transfer syntax."""
    implicit = transfer_syntax == uids.IMPLICIT_VR_LE
    values = ((_CLASS, b"UI", kept.sop_class_uid), (_INSTANCE, b"UI", kept.sop_instance_uid),
              (_LEVEL, b"CS", level), (_STUDY, b"UI", kept.study), (_SERIES, b"UI", kept.series))  # fmt: skip
    return b"".join(_element(tag, vr, value, implicit=implicit) for tag, vr, value in values)


def _element(tag: int, vr: bytes, text: str, *, implicit: bool) -> bytes:
    value = text.encode("ascii", "replace")
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    return head + (struct.pack("<L", len(value)) if implicit else vr + struct.pack("<H", len(value))) + value
