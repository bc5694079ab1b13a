"""Oracles that several targets share: what one side of an association may send, and which messages are complete.

Knows: PS3.8 9.3 as bytes, read here without the engine's decoders. Must not know: targets, tapes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from dicos_proto.errors import Malformed
from dicos_proto.limits import Limits
from dicos_proto.upper_layer.pdu import decode

from .target import check

__all__ = ["Reassembled", "check_sent", "reassembled"]

_ABORT = b"\7\0\0\0\0\4\0\0"
_PROVIDER_REASONS = frozenset(b"\0\1\2\4\5\6")


def check_sent(sent: bytes, *, max_length: int = 0) -> int:
    """Checks the bytes that one side sent: whole PDUs, each valid by itself, none longer than the peer's `max_length`,
    A-ABORTs with a source and reason that the standard allows, and only A-ABORTs after the first one
    [PS3.8 9.3.8, table 9-10]. Returns their number. Raises `OracleFailure`."""
    at = count = 0
    aborted = False
    while at < len(sent):
        size = int.from_bytes(sent[at + 2 : at + 6], "big")
        pdu = sent[at : at + 6 + size]
        check(len(pdu) >= 6 and len(pdu) == 6 + size, f"a PDU that is cut: {pdu[:32].hex()}")
        if pdu[0] == 7:
            source, reason = pdu[8], pdu[9]
            known = reason == 0 if source == 0 else source == 2 and reason in _PROVIDER_REASONS
            check(pdu[:8] == _ABORT and known, f"an A-ABORT of source {source} and reason {reason} [PS3.8 9.3.8]")
            aborted = True
        else:
            check(not aborted, f"PDU type {pdu[0]} after an A-ABORT")
            if pdu[0] == 4 and max_length:
                check(size <= max_length, f"a P-DATA-TF of {size} bytes; Maximum Length {max_length}")
            fault = _fault_of(pdu)
            check(fault is None, f"sends what it would refuse: {fault}")
        at += len(pdu)
        count += 1
    return count


@lru_cache(maxsize=512)
def _fault_of(pdu: bytes) -> str | None:
    """The fault of a PDU, None if it has none. Most runs send the same few."""
    try:
        decode(pdu, Limits())
    except Malformed as fault:
        return str(fault)
    return None


class Reassembled(NamedTuple):
    """A message as the PDVs of a stream have it: its context, its command set, its data set (None: none was ended)."""

    context: int
    command: bytes
    data: bytes | None


def reassembled(stream: bytes) -> Iterator[Reassembled]:
    """Yields the messages in a stream of PDUs that nobody has checked: command sets that ended, each with the data set
    that ended after it. It stops at the first length that does not fit."""
    command = b""
    started: tuple[int, bytes] | None = None
    data = b""
    for context, header, piece in _pdvs(stream):
        if header & 1:
            if started is not None:
                yield Reassembled(*started, None)
                started, data = None, b""
            command += piece
            if header & 2:
                started, command = (context, command), b""
        else:
            data += piece
            if header & 2 and started is not None:
                yield Reassembled(*started, data)
                started, data = None, b""
    if started is not None:
        yield Reassembled(*started, None)


def _pdvs(stream: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at + 6 <= len(stream):
        end = at + 6 + int.from_bytes(stream[at + 2 : at + 6], "big")
        kind, at = stream[at], at + 6
        while kind == 4 and at < end:
            size = int.from_bytes(stream[at : at + 4], "big")
            if at + 6 > min(end, len(stream)) or size < 2 or at + 4 + size > min(end, len(stream)):
                return
            yield stream[at + 4], stream[at + 5], stream[at + 6 : at + 4 + size]
            at += 4 + size
        at = end
