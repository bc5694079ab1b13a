"""Known differences from dcmdump of DCMTK 3.6.7, each with its cause and a witness.

Knows: where its parser and our walker part. Must not know: how they are compared. Most are leniency on their side:
dcmdump shows what it can of a damaged file, and our walker refuses an object that it cannot read to its end.
"""

from __future__ import annotations

from typing import Final

from dicos_proto.registry import uids

from .comparing import Cause, Explained
from .data_sets import deflated

__all__ = ["KNOWN"]

_EXPLICIT, _DEFLATED = uids.EXPLICIT_VR_LE, uids.DEFLATED_EXPLICIT_VR_LE
_NAME: Final = bytes.fromhex("1000100050 4e0400 413d4220".replace(" ", ""))  # (0010,0010) PN
_ROWS: Final = bytes.fromhex("2800100055530200 0200".replace(" ", ""))  # (0028,0010) US
_SEQUENCE: Final = bytes.fromhex("0800151153510000")  # (0008,1115) SQ, its length is next
_ITEM, _ITEM_END, _END = bytes.fromhex("feff00e0"), bytes.fromhex("feff0de000000000"), bytes.fromhex("feffdde000000000")
_OPEN: Final = b"\xff" * 4


def _row(pattern: str, cause: Cause, why: str, clause: str, witness: bytes, kind: str = _EXPLICIT) -> Explained:
    return Explained(pattern, cause, why, clause, witness, kind, any_kind=True)


def _length(number: int) -> bytes:
    return number.to_bytes(4, "little")


KNOWN: Final[tuple[Explained, ...]] = (
    # what we accept
    _row(r"(they refuse|read differently): zeros after the end", Cause.LATITUDE,
         "we pass over zeros after the end, which some writers leave", "PS3.5 7", _NAME + b"\0"),
    _row(r"(they refuse|read differently): an unknown VR", Cause.LATITUDE,
         "an unknown VR has 32 bits of length; reserved bytes that are not zero are 16 bits of length to us",
         "PS3.5 6.2", _NAME[:4] + b"PQ" + _NAME[6:]),
    _row(r"they refuse: .*Illegal element with OB or OW Value Representation and undefined length", Cause.LATITUDE,
         "we read fragments in every element, as writers send them", "PS3.5 A.4",
         bytes.fromhex("e07f20004f420000") + _OPEN + _ITEM + _length(2) + b"ab" + _END),
    _row(r"read differently: (we have )?\d:\(FFFF,FFFF\)", Cause.LATITUDE,
         "they drop elements of group FFFF inside an item; only of a data set itself we refuse them", "PS3.5 7.1",
         _SEQUENCE + _OPEN + _ITEM + _OPEN + b"\xff\xff\xff\xffLO\2\0ab" + _ITEM_END + _END),
    _row(r"they refuse: .* larger \(4294967295\)", Cause.LATITUDE,
         "in implicit VR, every element of undefined length is a sequence to us; they believe their dictionary",
         "PS3.5 7.5", b"\1\0\0\0" + _OPEN + _ITEM + _length(0) + _END, uids.IMPLICIT_VR_LE),
    _row(r"they refuse: (Sequence Delimitation Item missing|Invalid tag)", Cause.LATITUDE,
         "we pass over a delimiter in an item of defined length; they end the item there",
         "PS3.5 7.5.2", _SEQUENCE + _length(34) + _ITEM + _length(18) + _ITEM_END + _ROWS + _ITEM + _length(0)),
    # what we refuse
    _row(r"we refuse: a fragment of \d+ bytes with \d+ left", Cause.LATITUDE,
         "an unknown VR of undefined length has fragments to us, and is a sequence to them", "PS3.5 6.2.2",
         _SEQUENCE + _length(44) + _ITEM + _length(36)
         + _SEQUENCE[:4] + b"XY\0\0" + _OPEN + _ITEM + _OPEN + _ITEM_END + _END),
    _row(r"we refuse: group (0000|0002|FFFF), which is not allowed", Cause.STRICTER,
         "they keep elements of groups that no data set has", "PS3.5 7.1", b"\2\0\x10\0UI\4\0001.2\0" + _NAME),
    _row(r"we refuse: no value representation where one is to be", Cause.STRICTER,
         "they guess the length of an element without a VR", "PS3.5 7.1.2", _NAME[:4] + b"p!" + _NAME[6:]),
    _row(r"we refuse: an element header (of \d+ bytes|that is cut short)", Cause.STRICTER,
         "they leave out an element whose header is cut, or read it beyond the end of its item", "PS3.5 7.1",
         _SEQUENCE + _length(4)),
    _row(r"we refuse: a length of \d+ with \d+ bytes left", Cause.STRICTER,
         "they read a sequence or item that is longer than what is around it", "PS3.5 7.5",
         _SEQUENCE + _length(8) + _ITEM + _length(0x7FFFFFFF) + _ROWS),
    _row(r"we refuse: a value of \d+ bytes with \d+ left", Cause.STRICTER,
         "they read a value beyond the end of its sequence", "PS3.5 7.5",
         _SEQUENCE + _length(16) + _ITEM + _OPEN + _NAME[:8] + b"A=B " + _ITEM_END),
    _row(r"we refuse: \d+ sequences and items that are not ended", Cause.STRICTER,
         "they end open sequences where the file ends", "PS3.5 7.5.2", _NAME + _SEQUENCE + _OPEN),
    _row(r"we refuse: cut short at byte \d+: \d+ bytes of a value are missing", Cause.STRICTER,
         "likewise, for a sequence of implicit VR", "PS3.5 7.5.2",
         bytes.fromhex("4000 30a7 09000000 feffdde000000000".replace(" ", "")), uids.IMPLICIT_VR_LE),
    _row(r"we refuse: a delimiter that delimits nothing", Cause.STRICTER,
         "they pass over a delimiter of nothing, or end what is open", "PS3.5 7.5.2", _NAME + _ITEM_END + _ROWS),
    _row(r"we refuse: an element where an item is to begin", Cause.STRICTER,
         "they end a sequence at a delimiter or an element before its length is over", "PS3.5 7.5",
         _SEQUENCE + _length(0xFFFFFFFD) + _ITEM + _length(0) + _END + _ROWS),
    _row(r"we refuse: an item outside a sequence", Cause.STRICTER,
         "they end an item at a delimiter before its length is over", "PS3.5 7.5",
         _SEQUENCE + _OPEN + _ITEM + _length(16) + _ITEM_END + _ITEM + _length(0) + _END),
    _row(r"we refuse: \d+ bytes after the end of a deflated data set", Cause.STRICTER,
         "they read no further than the deflated data", "PS3.5 A.5", deflated(_NAME) + bytes(5) + b"12345", _DEFLATED),
    _row(r"we refuse: a deflated data set that (is cut short|cannot be inflated)", Cause.STRICTER,
         "they take what was inflated until then", "PS3.5 A.5", b"", _DEFLATED),
)  # fmt: skip
"""Of data sets in every transfer syntax."""
