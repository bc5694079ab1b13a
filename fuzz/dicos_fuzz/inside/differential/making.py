"""Inputs for comparisons: valid PDUs and command sets from the engine's types, and damaged ones by the grammar.

Knows: the grammar, the menu of valid values. Must not know: the other implementations.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

from dicos_proto.dimse.codec import encode_command
from dicos_proto.dimse.types import CLASSES
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    CommonExtendedNegotiation,
    ContextAnswer,
    ContextResult,
    ExtendedNegotiation,
    OperationsWindow,
    ProposedContext,
    ReleaseRequest,
    ReleaseResponse,
    RoleSelection,
    UserIdentity,
    UserIdentityResponse,
    UserInformation,
)

from ...grammar import change, read_command, read_pdu
from ...grammar.building import p_data
from ...tree import Node, apply
from ...tree import encode as encode_tree
from ..model import menu
from .comparing import Input

__all__ = ["commands", "damaged_tree", "pdus", "valid_pdu"]

_UIDS: Final = (
    "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.501.1", "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90", "2.25.123456789012345678901234567890", "1.2", "0", "1." + "9" * 1,
    "1.3." + "7" * 60,
)  # fmt: skip


def pdus(random: Random) -> Iterator[Input]:
    """Yields PDUs of all types, two of three damaged; their length fields are right in most."""
    while True:
        made = valid_pdu(random)
        if random.random() < 0.33:
            yield Input("pdu", made)
            continue
        damaged = damaged_tree(read_pdu(made), random)
        if len(damaged) > 6 and random.random() < 0.8:
            damaged = damaged[:2] + (len(damaged) - 6).to_bytes(4, "big") + damaged[6:]
        yield Input("pdu", damaged[: 1 << 16], damaged != made)


def damaged_tree(tree: Node, random: Random) -> bytes:
    """Returns the bytes of a tree with one to three changes."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        edit = change(tree, random)
        if edit is not None:
            tree = apply(tree, [edit])
    return encode_tree(tree)


def commands(random: Random) -> Iterator[Input]:
    """Yields command sets of all messages, two of three damaged; the group length is right in most."""
    classes = tuple(CLASSES.values())
    while True:
        made = menu.command(random.choice(classes), 1, random.randrange(1, 0x10000), random.randrange(12))
        raw = encode_command(made.command, has_data=made.has_data)
        if random.random() < 0.33:
            yield Input("command", raw)
            continue
        damaged = damaged_tree(read_command(raw), random)
        if len(damaged) > 12 and random.random() < 0.8:
            damaged = damaged[:8] + (len(damaged) - 12).to_bytes(4, "little") + damaged[12:]
        yield Input("command", damaged[: 1 << 16], damaged != raw)


# -- valid PDUs ----------------------------------------------------------------------------------------------------


def valid_pdu(random: Random) -> bytes:
    """Returns a PDU of any type with random contents, as the engine encodes it."""
    match random.randrange(10):
        case 0 | 1 | 2 | 3:
            return encode(_request(random))
        case 4 | 5 | 6:
            return encode(_accept(random))
        case 7:
            pdvs = [
                (
                    2 * random.randrange(128) + 1,
                    random.random() < 0.5,
                    random.random() < 0.5,
                    random.randbytes(2 * random.randrange(20)),
                )
                for _ in range(random.choice((1, 1, 2, 5)))
            ]
            return p_data(*pdvs)
        case 8:
            return encode(
                AssociateReject(result=random.randrange(4), source=random.randrange(5), reason=random.randrange(11))
            )
        case _:
            return encode(
                random.choice(
                    (
                        ReleaseRequest(),
                        ReleaseResponse(),
                        Abort(source=random.randrange(4), reason=random.randrange(8)),
                    )
                )
            )


def _uid(random: Random) -> str:
    return random.choice(_UIDS)


def _request(random: Random) -> AssociateRequest:
    count = random.choice((1, 1, 2, 5, 20))
    return AssociateRequest(
        called_aet=_title(random),
        calling_aet=_title(random),
        contexts=tuple(
            ProposedContext(
                id=2 * index + 1,
                abstract_syntax=_uid(random),
                transfer_syntaxes=tuple(_uid(random) for _ in range(random.choice((1, 2, 5)))),
            )
            for index in random.sample(range(128), count)
        ),
        user_information=_user(random, asks=True),
        protocol_version=random.choice((1, 1, 1, 3, 0xFFFF)),
    )


def _accept(random: Random) -> AssociateAccept:
    def answer(index: int) -> ContextAnswer:
        result = ContextResult(random.choice((0, 0, 0, 1, 2, 3, 4)))
        return ContextAnswer(id=2 * index + 1, result=result, transfer_syntax=None if result else _uid(random))

    return AssociateAccept(
        called_aet=_title(random),
        calling_aet=_title(random),
        contexts=tuple(answer(index) for index in random.sample(range(128), random.choice((1, 2, 5)))),
        user_information=_user(random, asks=False),
    )


def _title(random: Random) -> str:
    return random.choice(("PROVIDER", "USER", "A", "SIXTEEN CHARS 16", "a'b;$(c)|/../%n"))


def _user(random: Random, *, asks: bool) -> UserInformation:
    def some(chance: float) -> bool:
        return random.random() < chance

    kind = random.choice((1, 2, 3, 4, 5))
    identity = UserIdentity(
        type=kind,
        primary=random.randbytes(random.randrange(1, 20)),
        secondary=random.randbytes(random.randrange(1, 9)) if kind == 2 else b"",
        response_requested=some(0.5),
    )
    return UserInformation(
        max_length=random.choice((0, 8, 16_382, 131_072, 0xFFFFFFFF)),
        implementation_class_uid=_uid(random),
        implementation_version_name=random.choice((None, "X", "SIXTEEN_LONG_016", "A B")),
        window=OperationsWindow(invoked=random.randrange(3), performed=random.randrange(0x10000))
        if some(0.4)
        else None,
        roles=tuple(
            RoleSelection(sop_class_uid=_uid(random), scu=some(0.5), scp=some(0.5))
            for _ in range(random.choice((0, 1, 3)))
        ),
        extended=tuple(
            ExtendedNegotiation(sop_class_uid=_uid(random), information=random.randbytes(random.randrange(8)))
            for _ in range(random.choice((0, 1)))
        ),
        common_extended=(
            CommonExtendedNegotiation(
                sop_class_uid=_uid(random),
                service_class_uid=_uid(random),
                related_general=tuple(_uid(random) for _ in range(random.randrange(3))),
            ),
        )
        if asks and some(0.3)
        else (),
        user_identity=identity if asks and some(0.4) else None,
        user_identity_response=UserIdentityResponse(response=random.randbytes(5)) if not asks and some(0.3) else None,
    )
