"""AE titles: what one is, and how it lies in an A-ASSOCIATE PDU.

Knows: PS3.8 9.3.2 and 9.3.3, PS3.5 6.2 (AE). Must not know: which titles are welcome (`policy`).
"""

from __future__ import annotations

from ..errors import LocalProtocolError
from ..tolerance import Judge

TITLE_SIZE = 16
_FAULTS = {"blank_title": "of spaces only", "non_ascii_title": "with letters beyond ASCII"}


def is_title(title: str) -> bool:
    """Returns True if this is an AE title once its padding is taken away [PS3.5 6.2]."""
    return 1 <= len(title) <= TITLE_SIZE and title.isascii() and title.isprintable() and "\\" not in title


def fault_of_title(title: str) -> str:
    """The flag of `Tolerance` that accepts what is wrong with a title, stripped of its padding.

    "" if the title is valid, or if no flag covers its fault."""
    if not title:
        return "blank_title"
    return "non_ascii_title" if not title.isascii() and title.isprintable() and "\\" not in title else ""


def encode_title(title: str, name: str) -> bytes:
    """An AE title, padded to 16 bytes [PS3.8 9.3.2]. Raises `LocalProtocolError`."""
    stripped = title.strip(" ")
    if not is_title(stripped):
        raise LocalProtocolError(
            f"{name} AE title {title!r}; 1 to 16 printable ASCII characters, no backslash, not all spaces [PS3.5 6.2]"
        )
    return stripped.encode("ascii").ljust(TITLE_SIZE)


def encode_echoed_title(title: str, name: str) -> bytes:
    """A title field of an A-ASSOCIATE-AC: that of the request, and not tested by the receiver [PS3.8 9.3.3]."""
    try:
        encoded = title.encode("latin-1")
    except UnicodeEncodeError:
        encoded = b""
    if len(encoded) != len(title) or len(encoded) > TITLE_SIZE:
        raise LocalProtocolError(f"{name} AE title {title!r}; at most 16 characters of one byte [PS3.8 9.3.3]")
    return encoded.ljust(TITLE_SIZE)


def decode_title(raw: bytes, name: str, judge: Judge) -> str:
    """An AE title without its padding.

    An invalid one is not refused here. It has an A-ASSOCIATE-RJ of its own, unless its deviation is accepted and the
    policy lets the title in (`negotiation`) [PS3.8 9.3.4].
    """
    title = raw.decode("latin-1").strip(" ")
    if "\0" in title and judge.tolerates("title_padded", f"{name} AE title with a NUL"):
        title = title.partition("\0")[0].rstrip(" ")
    if fault := fault_of_title(title):
        judge.tolerates(fault, f"{name} AE title {_FAULTS[fault]}")
    return title


def decode_echoed_title(raw: bytes) -> str:
    """A title field of an A-ASSOCIATE-AC, which is not tested [PS3.8 9.3.3]."""
    return raw.decode("latin-1").strip(" ")
