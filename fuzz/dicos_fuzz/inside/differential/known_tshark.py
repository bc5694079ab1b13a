"""Known differences from tshark 4.0, each with its cause and a witness.

Knows: where its dissector and our decoders part. Must not know: how they are compared.
"""

from __future__ import annotations

from typing import Final

from dicos_proto.upper_layer.pdu import encode

from ...grammar import read_pdu
from ...tree import Action, Edit, apply
from ...tree import encode as encode_tree
from ..model import menu
from .comparing import Cause, Explained

__all__ = ["KNOWN"]

_RQ = read_pdu(encode(menu.REQUESTS[1]))
_AC = read_pdu(encode(menu.answer(menu.REQUESTS[1], 0)))
_CONTEXT = "presentation context"


def _rq(*edits: Edit) -> bytes:
    return encode_tree(apply(_RQ, list(edits)))


def _ac(*edits: Edit) -> bytes:
    return encode_tree(apply(_AC, list(edits)))


KNOWN: Final[tuple[Explained, ...]] = (
    Explained(
        r"they refuse: a malformed packet.*; an item of another type, empty", Cause.THEIRS,
        "they stop at an empty item of a type that they do not know; a receiver skips it", "PS3.8 9.3.1",
        _rq(Edit("application context", Action.INSERT, bytes.fromhex("99000000"))), "pdu",
    ),
    Explained(
        r"(they refuse: a malformed packet|read differently: contexts).*; a context item of the other PDU",
        Cause.LATITUDE, "they read the context items of both PDUs in either; to a receiver it is an unknown item",
        "PS3.8 9.3.1", _rq(Edit(_CONTEXT, Action.INSERT, bytes.fromhex("21000008010000004000ffff"))), "pdu",
    ),
    Explained(
        r"they refuse: a malformed packet.*; an odd transfer syntax in a refused context", Cause.LATITUDE,
        "they read the transfer syntax of a refused context, which is not significant", "PS3.8 9.3.3.2",
        _ac(
            Edit(f"{_CONTEXT}/result", Action.SET, b"\3"),
            Edit(f"{_CONTEXT}/transfer syntax/length", Action.LENGTH, 0xFFFF),
        ), "pdu",
    ),
    Explained(
        r"read differently: contexts.*; a sub-item of another type in a context", Cause.LATITUDE,
        "they show an abstract syntax in an A-ASSOCIATE-AC, where a receiver skips it", "PS3.8 9.3.3.2",
        _ac(Edit(f"{_CONTEXT}/transfer syntax", Action.INSERT, bytes.fromhex("30000003312e32"))), "pdu",
    ),
)  # fmt: skip
"""Differences where we accept a PDU; a dissector has no verdict of its own."""
