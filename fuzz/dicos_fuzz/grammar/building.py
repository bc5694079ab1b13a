"""Valid PDUs as bytes, made by the engine's own types and encoders: what a change begins from.

Knows: the engine's encoders. Must not know: what is wrong on purpose (`changing`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dicos_proto.dimse.codec import encode_command
from dicos_proto.dimse.types import CEchoRequest, Command
from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import (
    AssociateRequest,
    ProposedContext,
    UserInformation,
)
from dicos_proto.upper_layer.policy import AcceptPolicy

__all__ = ["Offer", "accept", "echo", "message", "p_data", "request"]

PDV_LEAST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The content of an A-ASSOCIATE-RQ. `contexts`: (abstract syntax, its transfer syntaxes), ids 1, 3, 5 and so on."""

    called: str = "ANY-SCP"
    calling: str = "DICOS-FUZZ"
    contexts: tuple[tuple[str, tuple[str, ...]], ...] = ((uids.VERIFICATION, (uids.IMPLICIT_VR_LE,)),)
    user_information: UserInformation = UserInformation()  # noqa: RUF009  a frozen value


def request(offer: Offer) -> bytes:
    """Returns the A-ASSOCIATE-RQ of an offer. Raises `LocalProtocolError` for what cannot be encoded."""
    contexts = tuple(
        ProposedContext(id=2 * index + 1, abstract_syntax=abstract, transfer_syntaxes=syntaxes)
        for index, (abstract, syntaxes) in enumerate(offer.contexts)
    )
    return encode(
        AssociateRequest(
            called_aet=offer.called,
            calling_aet=offer.calling,
            contexts=contexts,
            user_information=offer.user_information,
        )
    )


def accept(asked: AssociateRequest, policy: AcceptPolicy) -> bytes:
    """Returns the answer, an A-ASSOCIATE-AC or -RJ, that `policy` gives."""
    answer = negotiate(asked, policy)
    return encode(answer)


def p_data(*pdvs: tuple[int, bool, bool, bytes]) -> bytes:
    """Returns one P-DATA-TF. Each PDV: context id, True for a command set, True if last, data. Nothing is checked."""
    body = b"".join(
        (len(data) + 2).to_bytes(4, "big") + bytes((context & 0xFF, command | last << 1)) + data
        for context, command, last, data in pdvs
    )
    return b"\x04\x00" + len(body).to_bytes(4, "big") + body


def message(
    context: int, command: Command, data: bytes | None = None, *, max_length: int = 16_384
) -> tuple[bytes, ...]:
    """Returns the P-DATA-TFs of one message: its command set, then its data set in pieces of at most `max_length`
    bytes a PDU. `data` None: no data set. Raises `LocalProtocolError` for a command that cannot be encoded."""
    found = [*_cut(context, True, encode_command(command, has_data=data is not None), max_length)]
    if data is not None:
        found += _cut(context, False, data, max_length)
    return tuple(found)


def _cut(context: int, command: bool, data: bytes, max_length: int) -> Iterator[bytes]:
    piece = max(max_length or 1 << 20, PDV_LEAST) - 6 & ~1
    for at in range(0, len(data), piece) or (0,):
        yield p_data((context, command, at + piece >= len(data), data[at : at + piece]))


def echo(context: int = 1, message_id: int = 1) -> bytes:
    """Returns the P-DATA-TF of a C-ECHO-RQ."""
    return message(context, CEchoRequest(message_id=message_id, affected_sop_class_uid=uids.VERIFICATION))[0]
