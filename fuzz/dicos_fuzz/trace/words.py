"""Texts that lines, JSON and pages share: times, durations, sizes, names of messages.

Knows: numbers. Must not know: where the texts go.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, assert_never

from dicos_proto.dimse.types import MESSAGES, Command, DimseRequest, DimseResponse
from dicos_proto.dissect import dissect
from dicos_proto.registry import uids
from dicos_proto.registry.service_classes import service_of
from dicos_proto.registry.status import describe
from dicos_proto.upper_layer.pdu import COMMAND_BIT, HEADER, LAST_BIT, PDV_HEADER
from dicos_proto.upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextResult,
    Managed,
    PduType,
    ReleaseRequest,
    ReleaseResponse,
)

from .entries import CommandSaid, DataSetSaid
from .marks import LIMITS

__all__ = [
    "command_name",
    "command_words",
    "dissected",
    "dissected_command",
    "duration",
    "fields_of",
    "moment",
    "pdu_words",
    "span",
]

_SECOND: Final = 1_000_000_000


def moment(at: int) -> str:
    """Returns a time, in nanoseconds since 1970, as `2023-11-14T22:13:20.123456Z`.

    >>> moment(1_700_000_000_123_456_789)
    '2023-11-14T22:13:20.123456Z'
    """
    seconds, rest = divmod(at, _SECOND)
    try:
        whole = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return f"{seconds} s after 1970"
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"


def span(nanoseconds: int) -> str:
    """Returns the time since the beginning of an association, in seconds.

    >>> span(1_234_567_890)
    '1.234568'
    """
    return f"{nanoseconds / _SECOND:.6f}"


def duration(nanoseconds: int) -> str:
    """Returns a duration with three digits.

    >>> duration(1_234_567), duration(950), duration(12_345_678_901)
    ('1.23 ms', '0.00095 ms', '12.3 s')
    """
    if nanoseconds < _SECOND:
        return f"{nanoseconds / 1e6:.3g} ms"
    return f"{nanoseconds / _SECOND:.1f} s"


def command_name(entry: CommandSaid | DataSetSaid) -> str:
    """Returns the name of a message with its id, as `C-STORE-RQ 7`."""
    if isinstance(entry, DataSetSaid):
        return f"{entry.name} {entry.message_id}" if entry.name else "an unknown message"
    command = entry.command
    if isinstance(command, DimseRequest):
        return f"{command.NAME} {command.message_id}"
    if isinstance(command, DimseResponse):
        return f"{command.NAME} {command.message_id_being_responded_to}"
    if command is not None:
        return command.NAME
    number = _number_of(entry.raw)
    return "an unknown message" if number is None else MESSAGES.get(number, f"unknown message 0x{number:04X}")


def _number_of(raw: bytes) -> int | None:
    """Returns the command field of a command set that is not valid, where it usually is: in the third element."""
    at = raw.find(b"\0\0\0\1\2\0\0\0")
    return int.from_bytes(raw[at + 8 : at + 10], "little") if 0 <= at <= len(raw) - 10 else None


def command_words(entry: CommandSaid) -> str:
    """Returns what a message says, in a few words: the SOP class of a request, the status of a response."""
    command = entry.command
    if isinstance(command, DimseResponse):
        text = describe(command.status, service_of(sop_class_of(command)))
        if entry.answered is not None:
            text += f", after {duration(entry.answered.latency)}"
        return text
    if isinstance(command, DimseRequest):
        return uids.name_of(sop_class_of(command))
    return ""


def pdu_words(pdu: Managed | None) -> str:
    """Returns what a PDU says, in a few words; "" if its name says it all."""
    match pdu:
        case AssociateRequest():
            return f"{pdu.calling_aet!a} calls {pdu.called_aet!a}, {_count(len(pdu.contexts), 'context')}"
        case AssociateAccept():
            accepted = sum(one.result == ContextResult.ACCEPTANCE for one in pdu.contexts)
            return f"{accepted} of {_count(len(pdu.contexts), 'context')} accepted"
        case AssociateReject() | Abort():
            return str(pdu)
        case ReleaseRequest() | ReleaseResponse() | None:
            return ""
        case _ as unreachable:
            assert_never(unreachable)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def sop_class_of(command: Command) -> str:
    """Returns the SOP class that a message names; empty if it names none."""
    for name in ("affected_sop_class_uid", "requested_sop_class_uid"):
        uid = getattr(command, name, None)
        if isinstance(uid, str):
            return uid
    return ""


def fields_of(command: Command) -> dict[str, object]:
    """Returns the fields of a message that name things or count: never text that may be about a person."""
    found: dict[str, object] = {"message": command.NAME}
    for name in _FIELDS:
        value = getattr(command, name, None)
        if isinstance(value, int | str):
            found[name] = value
    return found


_FIELDS: Final = (
    "message_id", "message_id_being_responded_to", "status", "affected_sop_class_uid", "requested_sop_class_uid",
    "affected_sop_instance_uid", "requested_sop_instance_uid", "priority", "move_destination", "event_type_id",
    "action_type_id", "number_of_remaining_suboperations", "number_of_completed_suboperations",
    "number_of_failed_suboperations", "number_of_warning_suboperations", "error_id",
)  # fmt: skip


def dissected(raw: bytes) -> Iterator[str]:
    """Yields the lines that the dissector makes of a PDU, without what it says is wrong: that is in the marks."""
    yield from _plain(dissect(raw, LIMITS))


def dissected_command(entry: CommandSaid) -> Iterator[str]:
    """Yields the lines that the dissector makes of a command set, as if it came in one PDV."""
    size = len(entry.raw)
    head = HEADER.pack(PduType.P_DATA_TF, size + PDV_HEADER.size)
    head += PDV_HEADER.pack(size + 2, entry.context, COMMAND_BIT | LAST_BIT)
    lines = _plain(dissect(head + entry.raw, LIMITS))
    next(lines, None)
    yield from lines


def _plain(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if not line.lstrip().startswith(("deviation (", "malformed: ")):
            yield line
