"""The peer's bytes for a walk: what fits the state of the model, and what does not.

Knows: the grammar, which PDUs a state waits for. Must not know: what is right. Every choice comes from the `Random`
that is passed in.
"""

from __future__ import annotations

from random import Random
from typing import Final

from dicos_proto.dimse.types import CLASSES, DataSet
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import Abort, AssociateReject, AssociateRequest, ReleaseRequest, ReleaseResponse

from ...grammar import change, message, read_stream
from ...grammar.building import echo, p_data
from ...tree import Action, Edit, Node, apply
from ...tree import encode as encode_tree
from . import menu
from .reference import Reference

__all__ = ["GARBAGE", "anything", "damaged", "fitting"]

_RELEASE_RQ, _RELEASE_RP = encode(ReleaseRequest()), encode(ReleaseResponse())
_RQ: Final = "A-ASSOCIATE-RQ"
GARBAGE: Final = (
    b"\x08\0\0\0\0\0",
    b"\x00\0\0\0\0\4abcd",
    b"\xff" * 10,
    b"\x16\x03\x01\x02\x00\x01\xfc",
    b"GET / HTTP/1.0\r\n\r\n",
    b"\x01\0\xff\xff\xff\xff",
    b"\x04\0\xff\xff\xff\xff\0\0\0\x06",
    b"\x05\0\0\0\0\0",
    b"\x07\0\0\0\0\5\0\0\0\0\0",
    b"\x04\0\0\0\0\6\0\0\0\1\1\2",
    b"\x04\0\0\0\0\7\0\0\0\2\1\2\0",
    b"\x04\0\0\0\0\10\0\0\0\5\1\2\0\0",
)
"""Bytes that do not begin a PDU, or begin an invalid one."""


def fitting(model: Reference, asked: AssociateRequest | None, random: Random) -> bytes:
    """Returns bytes for which table 9-10 has a use in the model's state, where there are any; well formed."""
    state = model.state
    if state == 2:
        return encode(random.choice(menu.REQUESTS)) if random.random() < 0.9 else _much(random)
    if state == 5:
        if random.random() < 0.1:
            return encode(AssociateReject(result=random.randrange(1, 3), source=random.randrange(1, 4)))
        return encode(menu.answer(asked, random.randrange(3)))
    if state in (6, 7):
        if random.random() < (0.5 if state == 7 else 0.06):
            return _RELEASE_RP if state == 7 and random.random() < 0.5 else _RELEASE_RQ
        return _p_data(model, random) if random.random() < 0.9 else _many(model, random)
    if state in (10, 11):
        return _RELEASE_RP
    return encode(Abort(source=random.choice((0, 2)), reason=random.randrange(7)))


def _p_data(model: Reference, random: Random) -> bytes:
    """A message, or what goes on with the one that has begun; in one PDU or several, with small PDVs now and then."""
    one = model.messages
    content = random.randbytes(random.choice((0, 1, 2, 8, 100, 1000)))
    if one is not None and one.receiving is not None:
        return p_data((one.receiving, False, random.random() < 0.6, content))
    contexts = sorted(one.contexts) if one is not None else []
    context = random.choice(contexts or [1])
    fields = list(CLASSES)
    number = random.randrange(1, 4)
    if one is not None and one.sent and random.random() < 0.6:
        number = random.choice(sorted(one.sent))
        context, field = one.sent[number]
        fields = [field | 0x8000]
    made = menu.command(CLASSES[random.choice(fields)], context, number, random.randrange(12))
    rule = made.command.DATA_SET
    data = content if made.has_data and (rule is not DataSet.NEVER) else None
    return b"".join(message(context, made.command, data, max_length=random.choice((20, 64, 16_384))))


def _much(random: Random) -> bytes:
    """An A-ASSOCIATE-RQ with one thing in it many times, about as often as a limit allows."""
    tree = read_stream(encode(random.choice(menu.REQUESTS)))
    unknown = bytes.fromhex("99000000") * random.choice((2, 3, 20, 64, 65))
    edit = random.choice(
        (
            Edit(f"{_RQ}/user information", Action.INSERT, unknown),
            Edit(f"{_RQ}/presentation context/abstract syntax", Action.INSERT, unknown),
            Edit(f"{_RQ}/user information/maximum length", Action.INSERT, unknown * 9),
            Edit(f"{_RQ}/presentation context/transfer syntax", Action.REPEAT),
            Edit(f"{_RQ}/presentation context", Action.REPEAT),
        )
    )
    return encode_tree(apply(tree, [edit] * random.choice((1, 1, 2, 70))))


def _many(model: Reference, random: Random) -> bytes:
    """PDVs as small as can be: empty ones, a command set of one byte each, one that never ends; or many requests."""
    one = model.messages
    context = random.choice(sorted(one.contexts)) if one is not None and one.contexts else 1
    count = random.choice((2, 3, 4, 5, 16, 17, 18))
    if one is not None and one.receiving is not None:
        return p_data(*[(one.receiving, False, False, b"")] * count)
    match random.randrange(4):
        case 0:
            return p_data(*[(context, True, False, b"")] * count)
        case 1:
            raw = echo(context)[12:]
            size = random.choice((1, 10, 20, 30))
            pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
            return p_data(*[(context, True, piece is pieces[-1], piece) for piece in pieces])
        case 2:
            return p_data(*[(context, True, False, bytes(100))] * count)
        case _:
            return b"".join(echo(context, number) for number in range(1, count))


def anything(model: Reference, random: Random) -> bytes:
    """Returns one PDU of any type, well formed."""
    match random.randrange(8):
        case 0:
            return encode(random.choice(menu.REQUESTS))
        case 1:
            return encode(menu.answer(None, random.randrange(3)))
        case 2:
            return encode(AssociateReject())
        case 3:
            return _RELEASE_RQ
        case 4:
            return _RELEASE_RP
        case 5:
            return encode(Abort(source=random.randrange(3), reason=random.randrange(8)))
        case 6:
            return random.choice(GARBAGE)
        case _:
            return _p_data(model, random)


def damaged(data: bytes, random: Random) -> bytes:
    """Returns the bytes with one to three changes in their tree."""
    tree: Node = read_stream(data)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        edit = change(tree, random)
        if edit is not None:
            tree = apply(tree, [edit])
    return encode_tree(tree)[: 1 << 17]
