"""Contents taken out of what a peer said, before it is kept: data sets, comments on errors, identities.

Knows: where persons may be named on the wire. Must not know: files, reports.

A peer that is fuzzed may answer a query with the records of a patient. A reproducer or a capture of it must not carry
them. Every byte keeps its place, so that lengths and times stay true: contents become zeros.

Invariants: the result is as long as the input; PDU headers, PDV headers, command sets in one PDV and association
parameters are unchanged; bytes that cannot be read as one of these are zeros.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ..conversation import Transcript, What
from ..grammar.reading import pdus_of, read_pdu
from ..tree import Leaf, Length, walk

__all__ = ["without_contents", "without_contents_of_transcript"]

_ERROR_COMMENT: Final = b"\x00\x00\x02\x09"
_COMMAND, _LAST = 1, 2
_OF_IDENTITIES: Final = ("type", "reserved", "response requested")
"""The fields of a user identity item that are not the identity."""
_OF_PEER: Final = (What.RECEIVED, What.HEARD)
_RECORDS: Final = tuple(bytes((kind,)) for kind in range(0x14, 0x19))
"""The first bytes of TLS records, whose contents are encrypted."""


def without_contents(stream: bytes) -> bytes:
    """Returns what one side said on a connection, with zeros for contents."""
    return b"".join(_pdu(pdu) for pdu in pdus_of(stream))


def _pdu(pdu: bytes) -> bytes:
    kind = pdu[0]
    if len(pdu) < 6:
        return pdu
    if kind == 4:
        return pdu[:6] + _pdvs(pdu[6:])
    if kind in (1, 2):
        return _associate(pdu)
    if kind in (3, 5, 6, 7):
        return pdu[:10] + bytes(len(pdu[10:]))
    return pdu[:6] + bytes(len(pdu) - 6)


def _pdvs(body: bytes) -> bytes:
    found = bytearray()
    while len(found) + 6 <= len(body):
        at = len(found)
        size = int.from_bytes(body[at : at + 4], "big") - 2
        if size < 0:
            break
        data = body[at + 6 : at + 6 + size]
        whole = body[at + 5] & (_COMMAND | _LAST) == _COMMAND | _LAST and data[:4] == bytes(4)
        found += body[at : at + 6] + (_command(data) if whole else bytes(len(data)))
    return bytes(found) + bytes(len(body) - len(found))


def _command(data: bytes) -> bytes:
    """A command set without the text of (0000,0902), which may be about a person."""
    at = data.find(_ERROR_COMMENT)
    if at < 0 or at + 8 > len(data):
        return data
    end = min(at + 8 + int.from_bytes(data[at + 4 : at + 8], "little"), len(data))
    return data[: at + 8] + bytes(end - at - 8) + data[end:]


def _associate(pdu: bytes) -> bytes:
    """An A-ASSOCIATE-RQ or -AC without the values of user identities."""
    found = bytearray()
    for path, node in walk(read_pdu(pdu)):
        if isinstance(node, Leaf):
            hidden = "user identity" in path and node.name not in _OF_IDENTITIES
            found += bytes(len(node.value)) if hidden else node.value
        elif isinstance(node, Length):
            found += pdu[len(found) : len(found) + node.width]
    return bytes(found)


def without_contents_of_transcript(transcript: Transcript) -> Transcript:
    """Returns a transcript with zeros for the contents of what the peer sent."""
    streams: dict[tuple[int, What], bytearray] = {}
    for entry in transcript.entries:
        if entry.what in _OF_PEER:
            streams.setdefault((entry.connection, entry.what), bytearray()).extend(entry.data)
    clean = {
        key: bytes(data) if key[1] is What.HEARD and data[:1] in _RECORDS else without_contents(bytes(data))
        for key, data in streams.items()
    }
    at = dict.fromkeys(clean, 0)
    entries = []
    for entry in transcript.entries:
        if entry.what in _OF_PEER:
            key = entry.connection, entry.what
            start = at[key]
            at[key] = start + len(entry.data)
            entry = replace(entry, data=clean[key][start : start + len(entry.data)])
        entries.append(entry)
    return Transcript(entries)
