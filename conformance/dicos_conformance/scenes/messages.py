"""Messages <-> P-DATA-TFs: bytes that may be wrong on purpose out, whole messages in.

Knows: PDVs, command sets. Must not know: associations, what is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dicos_fuzz.grammar.building import message as _message
from dicos_fuzz.grammar.building import p_data
from dicos_proto.dimse.codec import decode_command, encode_command
from dicos_proto.dimse.types import Command
from dicos_proto.errors import Malformed
from dicos_proto.limits import Limits
from dicos_proto.tolerance import EVERYTHING, Judge

__all__ = ["Hearing", "Message", "command_bytes", "message", "pdv"]

MOST: Final = 1 << 20
"""Bytes of one data set of the peer that are kept."""


def command_bytes(command: Command, *, has_data: bool = False) -> bytes:
    """Returns an encoded command set, group length first [PS3.7 6.3.1]."""
    return encode_command(command, has_data=has_data)


def message(context: int, command: Command, data: bytes | None = None, *, max_length: int = 16_384) -> bytes:
    """Returns the P-DATA-TFs of a message, one after the other. `data` None: no data set. `max_length`: bytes of one
    P-DATA-TF, 0 for as long as possible."""
    return b"".join(_message(context, command, data, max_length=max_length))


def pdv(context: int, data: bytes, *, command: bool = True, last: bool = True, header: int | None = None) -> bytes:
    """Returns a P-DATA-TF with one PDV. `header`: the message control header, if it is another one than `command` and
    `last` make [PS3.8 E.2]."""
    whole = bytearray(p_data((context, command, last, data)))
    if header is not None:
        whole[11] = header
    return bytes(whole)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of the peer. `command`: its command set, read with every tolerance; None if it cannot be read, and
    `fault` says why. `strict_fault`: what the letter has against it. `raw`: its bytes. `data`: the data set, None
    without one, up to a megabyte of it. `largest`: the longest P-DATA-TF, in bytes without the header of 6. `at`: when
    it was complete."""

    at: float
    context: int
    command: Command | None
    raw: bytes
    data: bytes | None
    fault: str = ""
    strict_fault: str = ""
    largest: int = 0


class Hearing:
    """Makes messages of the P-DATA-TFs of one direction. It judges nothing; `stray` counts PDVs that fit nowhere."""

    def __init__(self) -> None:
        self.stray = 0
        self._raw = bytearray()
        self._begun: Message | None = None
        self._data = bytearray()
        self._largest = 0

    @property
    def inside(self) -> bool:
        """True within a message."""
        return self._begun is not None or bool(self._raw)

    def feed(self, at: float, pdu: bytes) -> list[Message]:
        """Returns the messages that a P-DATA-TF completes."""
        found: list[Message] = []
        self._largest = max(self._largest, len(pdu) - 6)
        where = 6
        while where + 6 <= len(pdu):
            size = int.from_bytes(pdu[where : where + 4], "big")
            context, header = pdu[where + 4], pdu[where + 5]
            whole = self._pdv(at, context, header, pdu[where + 6 : where + 4 + size])
            found += [] if whole is None else [whole]
            where += 4 + max(size, 2)
        return found

    def _pdv(self, at: float, context: int, header: int, data: bytes) -> Message | None:
        if header & 1:
            self._raw += data
            return self._command(at, context) if header & 2 else None
        if self._begun is None:
            self.stray += 1
            return None
        if len(self._data) < MOST:
            self._data += data
        if not header & 2:
            return None
        begun, self._begun = self._begun, None
        body, self._data = bytes(self._data), bytearray()
        return _with(begun, at, body, self._size())

    def _command(self, at: float, context: int) -> Message | None:
        raw, self._raw = bytes(self._raw), bytearray()
        command, has_data, fault, strict = None, False, "", ""
        try:
            command, has_data = decode_command(raw)
        except Malformed as error:
            strict = str(error)
            try:
                command, has_data = decode_command(raw, Judge(Limits(), EVERYTHING))
            except Malformed as worse:
                fault = str(worse)
        made = Message(at=at, context=context, command=command, raw=raw, data=None, fault=fault, strict_fault=strict)
        if has_data:
            self._begun = made
            return None
        return _with(made, at, None, self._size())

    def _size(self) -> int:
        size, self._largest = self._largest, 0
        return size


def _with(made: Message, at: float, data: bytes | None, largest: int) -> Message:
    return Message(
        at=at, context=made.context, command=made.command, raw=made.raw, data=data, fault=made.fault,
        strict_fault=made.strict_fault, largest=largest,
    )  # fmt: skip
