"""One PDU or one command set, read by the engine's decoder and by the model's: the same value, or both refuse it.

Knows: both decoders. Must not know: states. It accepts no deviation.
"""

from __future__ import annotations

from dicos_proto.dimse.codec import decode_command
from dicos_proto.dimse.events import MessageStart
from dicos_proto.dimse.types import misplaced_data
from dicos_proto.errors import Malformed
from dicos_proto.limits import Limits
from dicos_proto.upper_layer.pdu import decode
from dicos_proto.upper_layer.pdu_types import PData

from .bodies import Refused, Value, check_header, read_body
from .commands import read_command
from .neutral import primitive
from .values import Invalid, Message, Part, Pdv

__all__ = ["command_difference", "pdu_difference"]


def pdu_difference(pdu: bytes, limits: Limits = Limits()) -> str | None:  # noqa: B008  frozen values
    """Returns the difference between what the engine and the model read in these bytes; None if there is none.

    A P-DATA-TF is compared by its PDVs."""
    try:
        read = decode(pdu, limits)
        ours: object = _pdvs(read) if isinstance(read, PData) else primitive(read)
    except Malformed as fault:
        ours = Invalid(str(fault), frozenset((int(fault.reason),)))
    return _difference(ours, _theirs(pdu, limits))


def _pdvs(read: PData) -> tuple[Pdv, ...]:
    return tuple(Pdv(True, one.context, one.command, one.last, bytes(one.data)) for one in read.pdvs)


def _theirs(pdu: bytes, limits: Limits) -> Value | Invalid | tuple[Pdv, ...]:
    kind, body = pdu[0] if pdu else 0, pdu[6:]
    if len(pdu) < 6 or int.from_bytes(pdu[2:6], "big") != len(body):
        return Invalid("not one PDU")
    verdict = check_header(kind, len(body), limits, 0)
    if verdict is not None:
        return verdict
    if kind != 4:
        return read_body(kind, body, limits)
    found: list[Pdv] = []
    while body:
        size = int.from_bytes(body[:4], "big")
        if len(body) < 6 or not 2 <= size <= len(body) - 4:
            return Invalid("PDV length")
        found.append(Pdv(True, body[4], bool(body[5] & 1), bool(body[5] & 2), body[6 : 4 + size]))
        body = body[4 + size :]
    return tuple(found)


def command_difference(raw: bytes) -> str | None:
    """Returns the difference between what the engine and the model read in a command set; None if there is none."""
    theirs: Message | Invalid | Part | Pdv
    try:
        command, has_data = decode_command(raw)
        fault = misplaced_data(command, has_data)
        made = primitive(MessageStart(context=1, command=command, has_data=has_data))
        ours: object = made if fault is None else Invalid(fault)
    except Malformed as malformed:
        ours = Invalid(str(malformed), frozenset((int(malformed.reason),)))
    try:
        theirs = read_command(1, raw)
    except Refused as refused:
        theirs = refused.verdict
    return _difference(ours, theirs)


def _difference(ours: object, theirs: object) -> str | None:
    if isinstance(ours, Invalid) and isinstance(theirs, Invalid):
        if ours.reasons <= theirs.reasons:
            return None
        return f"refused with reason {sorted(ours.reasons)} ({ours.why}), {sorted(theirs.reasons)} expected"
    return None if ours == theirs else f"the engine reads {ours}, the model {theirs}"
