"""The messages in a byte stream of one side: command sets, put together from their PDVs.

Knows: PDUs, PDVs, command sets. Must not know: what an answer should be.

Invariants: no bytes raise an error, and time is linear in them. A command set that cannot be decoded is None.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from dicos_proto.dimse.codec import decode_command
from dicos_proto.dimse.types import Command
from dicos_proto.errors import Malformed
from dicos_proto.limits import Limits
from dicos_proto.tolerance import EVERYTHING, Judge

from ..grammar.reading import pdus_of

__all__ = ["Heard", "messages", "pdvs_of"]

COMMAND_MOST: Final = 64 << 10
_LENIENT: Final = Judge(Limits(), EVERYTHING)


@dataclass(frozen=True, slots=True)
class Heard:
    """A message: its context, its command (None if it cannot be decoded), True if a data set is announced."""

    context: int
    command: Command | None
    has_data: bool


def pdvs_of(pdu: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yields context id, control header and data of each PDV in a P-DATA-TF; stops where the lengths do not fit."""
    at = 6
    while at + 6 <= len(pdu):
        length = int.from_bytes(pdu[at : at + 4], "big")
        if length < 2 or at + 4 + length > len(pdu):
            return
        yield pdu[at + 4], pdu[at + 5], pdu[at + 6 : at + 4 + length]
        at += 4 + length


def messages(stream: bytes) -> Iterator[Heard]:
    """Yields the messages whose command set is complete, in order."""
    parts: list[bytes] = []
    size = 0
    for pdu in pdus_of(stream):
        if pdu[:1] != b"\x04":
            continue
        for context, control, data in pdvs_of(pdu):
            if not control & 1:
                continue
            size += len(data)
            if size <= COMMAND_MOST:
                parts.append(data)
            if control & 2:
                yield _heard(context, b"".join(parts))
                parts, size = [], 0


def _heard(context: int, command: bytes) -> Heard:
    try:
        found, has_data = decode_command(command, _LENIENT)
    except Malformed:
        return Heard(context, None, False)
    return Heard(context, found, has_data)
