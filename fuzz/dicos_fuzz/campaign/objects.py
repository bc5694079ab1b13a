"""Data sets that scenarios send: small valid objects and queries, and hostile ones.

Knows: how data sets are encoded [PS3.5 7]. Must not know: PDUs, conversations.

No patient data: names are empty, ids are numbers of the run, and all UIDs are under 2.25, made of a seed.

Invariants: the same arguments give the same bytes.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import Final

from dicos_proto.data.elements import EXTENDED_HEADERS, LONG_VRS, encoding

__all__ = ["Writer", "composite", "deflate", "patient_of", "query", "uid"]

_UNDEFINED: Final = 0xFFFFFFFF


def uid(*seed: object) -> str:
    """Returns a UID under 2.25 that depends on `seed` alone [PS3.5 B.2]."""
    return f"2.25.{int.from_bytes(hashlib.sha256(repr(seed).encode()).digest()[:16], 'big')}"


class Writer:
    """Writes elements in one transfer syntax. Unknown transfer syntaxes are taken for explicit VR little endian."""

    def __init__(self, transfer_syntax: str) -> None:
        known = encoding(transfer_syntax)
        self.implicit, self.little, self.deflated, self._extended = known or (False, True, False, False)
        self._order = "<" if self.little else ">"

    def element(self, tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
        """Returns one element, padded to an even length. `length`: a wrong one to write, with the value as it is."""
        if length is None:
            value += (b"\0" if vr in (b"UI", b"OB", b"UN") else b" ") * (len(value) % 2)
        size = len(value) if length is None else length
        head = struct.pack(f"{self._order}HH", tag >> 16, tag & 0xFFFF)
        if self.implicit or tag >> 16 == 0xFFFE:
            return head + struct.pack(f"{self._order}L", size) + value
        if self._extended and vr in EXTENDED_HEADERS:
            return head + vr + bytes(EXTENDED_HEADERS[vr] - 14) + struct.pack("<Q", size) + value
        if vr in LONG_VRS:
            return head + vr + b"\0\0" + struct.pack(f"{self._order}L", size) + value
        return head + vr + struct.pack(f"{self._order}H", size & 0xFFFF) + value

    def number(self, tag: int, value: int) -> bytes:
        """Returns a US element."""
        return self.element(tag, b"US", struct.pack(f"{self._order}H", value))

    def sequence(self, tag: int, *items: bytes, undefined: bool = False, closed: bool = True) -> bytes:
        """Returns a sequence of these items' contents. `undefined`: of undefined length, its items too; not `closed`:
        without the delimiters."""
        if not undefined:
            return self.element(tag, b"SQ", b"".join(self.element(0xFFFEE000, b"", one) for one in items))
        end = self.element(0xFFFEE00D, b"", b"") if closed else b""
        inner = b"".join(self.element(0xFFFEE000, b"", b"", _UNDEFINED) + one + end for one in items)
        last = self.element(0xFFFEE0DD, b"", b"") if closed else b""
        return self.element(tag, b"SQ", b"", _UNDEFINED) + inner + last

    def whole(self, *elements: bytes) -> bytes:
        """Returns the data set of these elements as it goes into P-DATA."""
        joined = b"".join(elements)
        return deflate(joined) if self.deflated else joined


def deflate(data: bytes) -> bytes:
    """Returns the bytes deflated, of even length [PS3.5 A.5]."""
    engine = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    found = engine.compress(data) + engine.flush()
    return found + b"\0" * (len(found) % 2)


def composite(
    sop_class: str, instance: str, transfer_syntax: str, *, pixels: int = 0, extra: bytes = b"", early: bytes = b""
) -> bytes:
    """Returns a composite object: the attributes of patient, study and series that every object has, without values
    that mean anything, an image of `pixels` bytes in an uncompressed syntax.

    `early`: encoded elements to put behind (0008,0018); `extra`: those to put behind group 0028.
    """
    write = Writer(transfer_syntax)
    text, number = write.element, write.number
    side = max(1, int((pixels // 2) ** 0.5)) if pixels else 0
    parts = [
        text(0x00080005, b"CS", b"ISO_IR 192"),
        text(0x00080016, b"UI", sop_class.encode("latin-1")),
        text(0x00080018, b"UI", instance.encode("latin-1")),
        early,
        text(0x00080020, b"DA", b""),
        text(0x00080030, b"TM", b""),
        text(0x00080050, b"SH", b""),
        text(0x00080060, b"CS", b"OT"),
        text(0x00080070, b"LO", b""),
        text(0x00080090, b"PN", b""),
        text(0x00100010, b"PN", b"FUZZ"),
        text(0x00100020, b"LO", patient_of(instance).encode("latin-1", "replace")),
        text(0x00100030, b"DA", b""),
        text(0x00100040, b"CS", b""),
        text(0x0020000D, b"UI", uid("study", instance).encode()),
        text(0x0020000E, b"UI", uid("series", instance).encode()),
        text(0x00200010, b"SH", b""),
        text(0x00200011, b"IS", b"1"),
        text(0x00200013, b"IS", b"1"),
    ]
    if side:
        parts += [
            number(0x00280002, 1), text(0x00280004, b"CS", b"MONOCHROME2"), number(0x00280010, side),
            number(0x00280011, side), number(0x00280100, 16), number(0x00280101, 16), number(0x00280102, 15),
            number(0x00280103, 0),
        ]  # fmt: skip
    parts.append(extra)
    if side:
        parts.append(text(0x7FE00010, b"OW", bytes(side * side * 2)))
    return write.whole(*parts)


def patient_of(instance: str) -> str:
    """Returns the patient id in the object with this SOP Instance UID."""
    return f"FUZZ-{instance[-8:]}"


def query(transfer_syntax: str, level: str = "STUDY", **keys: str) -> bytes:
    """Returns an identifier for one study that nobody has. `keys`: other values by element, as `x00100020="1"`."""
    write = Writer(transfer_syntax)
    values = {0x00080052: level, 0x0020000D: uid("nobody's study")}
    values |= {int(name[1:], 16): value for name, value in keys.items()}
    vrs = {0x00080052: b"CS", 0x0020000D: b"UI", 0x0020000E: b"UI", 0x00080018: b"UI", 0x00100020: b"LO"}
    return write.whole(
        *(write.element(tag, vrs.get(tag, b"LO"), values[tag].encode("latin-1")) for tag in sorted(values))
    )
