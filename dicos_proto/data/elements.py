"""The vocabulary of encoded data sets: value representations, the tags that give structure, what a syntax implies.

Knows: numbers and names of PS3.5. Must not know: how data sets are walked, pydicom. Invariants: tables that do not
change.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from ..errors import ProtocolError
from ..registry import status, uids

LONG_VRS: Final = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
"""Value representations with 32 bits of length in explicit VR [PS3.5 7.1.2]."""
SHORT_VRS: Final = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
"""Value representations with 16 bits of length in explicit VR [PS3.5 7.1.2]."""
PADDED_WITH_SPACE: Final = frozenset(b"AE AS CS DA DS DT IS LO LT PN SH ST TM UC UR UT".split())
"""Value representations of text, which a space makes even; UI and binary ones are padded with a NUL [PS3.5 6.2]."""
EXTENDED_HEADERS: Final = {b"OB": 16, b"OW": 16, b"OF": 16, b"OL": 16, b"OD": 14}
"""Value representations with 64 bits of length in the transfer syntax 1.2.840.10008.1.2.1.64 of DICOS, and the bytes of
their headers. Between VR and length are two zeros; there are none in OD. Every other VR has the length of explicit VR.
Observed in what pyDICOS 1.3.0 writes, and in what it reads: no public text of the standard says it."""
UNDEFINED: Final = 0xFFFFFFFF
"""The length of a sequence, an item or fragments that a delimiter ends [PS3.5 7.1.1]."""
LONGEST: Final = 0xFFFFFFFE
"""The largest length of a value with 32 bits of length: the next one means an undefined length [PS3.5 7.1.1]."""
HEADERS: Final = {
    little: tuple(struct.Struct(order + layout).unpack_from for layout in ("HHL", "HH2sH", "L"))
    for little, order in ((True, "<"), (False, ">"))
}
"""Read the parts of headers: tag and length; tag, value representation and 16 bits of length; 32 bits of length."""
NUMBERS: Final = {
    little: (struct.Struct(f"{order}4H").unpack_from, frozenset(struct.unpack(f"{order}H", vr)[0] for vr in SHORT_VRS))
    for little, order in ((True, "<"), (False, ">"))
}
"""Reads tag, value representation and 16 bits of length, all as numbers; and the short representations as numbers.
Looking up a number is faster than making a bytes object to look up."""
EXTENDED_LENGTH: Final = struct.Struct("<Q").unpack_from
"""Reads 64 bits of length."""
ITEM: Final = 0xFFFEE000
ITEM_END: Final = 0xFFFEE00D
SEQUENCE_END: Final = 0xFFFEE0DD
PIXEL_DATA: Final = 0x7FE00010
PIXEL_REPRESENTATION: Final = 0x00280103
SOP_CLASS_UID: Final = 0x00080016
SOP_INSTANCE_UID: Final = 0x00080018

_DEFLATED: Final = frozenset(
    (uids.DEFLATED_EXPLICIT_VR_LE, "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205")  # the JPIP ones.  # PS3.5 A.7
)


class DataSetError(ProtocolError):
    """The bytes are not a data set in their transfer syntax, or a data set cannot be encoded in one.

    The text says where and what; it holds no values.
    """

    store_status: int = status.CANNOT_UNDERSTAND
    """The status that answers a C-STORE of such a data set [PS3.4 B.2.3]."""


class Encoding(NamedTuple):
    """How data sets in a transfer syntax are encoded."""

    implicit: bool
    little: bool
    deflated: bool
    extended: bool = False
    """Values of bulk data have 64 bits of length (`EXTENDED_HEADERS`)."""


def encoding(transfer_syntax: str) -> Encoding | None:
    """Returns how data sets in this transfer syntax are encoded: implicit VR, little endian, deflated, extended.

    Returns None for a transfer syntax that is not known here.

        >>> encoding("1.2.840.10008.1.2.1.64")
        Encoding(implicit=False, little=True, deflated=False, extended=True)
    """
    return _ENCODINGS.get(transfer_syntax)


# All others are explicit VR little endian.  # PS3.5 A.4
_ENCODINGS: Final = {syntax: Encoding(False, True, syntax in _DEFLATED) for syntax in uids.TRANSFER_SYNTAXES} | {
    uids.IMPLICIT_VR_LE: Encoding(True, True, False),
    uids.EXPLICIT_VR_BE: Encoding(False, False, False),
    uids.DICOS_EXPLICIT_VR_LE_EXTENDED: Encoding(False, True, False, True),
}


def shown(tag: int) -> str:
    """Returns a tag as people write it: (0010,0010)."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def is_creator(tag: int) -> bool:
    """Returns True for the element that names the creator of a block of private elements [PS3.5 7.8.1]."""
    return bool(tag >> 16 & 1) and 0x10 <= tag & 0xFFFF <= 0xFF
