"""Returned: objects that are stored in every way in which a data set can be cut, and fetched again by C-GET.

Knows: fragments, packings, segments. Must not know: which differences are allowed (`comparing`).

The object that is fetched must be the one that was stored. A peer without C-GET, or one that does not grant this side
the role of SCP, is only sent them.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

from dicos_proto.dimse.types import CGetRequest
from dicos_proto.upper_layer.pdu_types import RoleSelection

from ...conversation import Answer, Conversation, Send, Step
from ...grammar.building import p_data
from ..knowledge import Learned
from ..objects import query, uid
from .family import Family
from .scripts import ANSWER, RELEASED, Talk, script

__all__ = ["FAMILIES"]

PIXELS: Final = 4_000


def _able(talk: Talk) -> Talk:
    """Returns an association that can fetch what it has stored, if the peer grants that."""
    if not _fetches(talk) or talk.storage is None:
        return talk
    role = RoleSelection(sop_class_uid=talk.storage[1].abstract_syntax, scu=True, scp=True)
    return talk.with_user(roles=(role,))


def _fetches(talk: Talk) -> bool:
    return talk.getting is not None and talk.storage is not None and talk.storage[1].roles


def _get(talk: Talk, number: int, instance: str) -> bytes:
    """A C-GET-RQ of one object."""
    assert talk.getting is not None
    context, accepted = talk.getting
    keys = {"x0020000D": uid("study", instance), "x0020000E": uid("series", instance), "x00080018": instance}
    command = CGetRequest(message_id=number, affected_sop_class_uid=accepted.abstract_syntax)
    return talk.said(context, command, query(accepted.transfer_syntax, "IMAGE", **keys))


def _fetched(talk: Talk, number: int, instance: str) -> tuple[Step, ...]:
    return (Send(message=_get(talk, number, instance)), Answer(), ANSWER) if _fetches(talk) else ()


def _cut(data: bytes, piece: int) -> list[bytes]:
    return [data[at : at + piece] for at in range(0, len(data), piece)]


def _case(talk: Talk, name: str, about: str, wire: bytes, instance: str, *, piece: int = 0) -> Conversation:
    stored = (Send(message=wire, piece=piece), ANSWER)
    return script(
        f"returned/{name}", f"{about}, fetched again" if _fetches(talk) else about, "PS3.4 B.4.1", "served",
        talk.begin(), stored, _fetched(talk, 2, instance), RELEASED,
    )  # fmt: skip


def _packed(talk: Talk, seed: object, sizes: list[int], together: int, pixels: int) -> bytes:
    """A C-STORE whose data set is cut into fragments of these sizes, by turns, `together` of them in a P-DATA-TF as far
    as the peer's Maximum Length allows."""
    context, command, data = talk.parts(1, "returned", seed, pixels=pixels)
    most = min(talk.learned.max_length or 1 << 16, 1 << 16)
    pdvs = []
    at = turn = 0
    while at < len(data):
        size = min(sizes[turn % len(sizes)], most - 6)
        at, turn = at + size, turn + 1
        pdvs.append((context, False, at >= len(data), data[at - size : at]))
    found = p_data((context, True, True, command))
    group: list[tuple[int, bool, bool, bytes]] = []
    length = 0
    for pdv in pdvs:
        if group and (len(group) == together or length + 6 + len(pdv[3]) > most):
            found += p_data(*group)
            group, length = [], 0
        group.append(pdv)
        length += 6 + len(pdv[3])
    return found + p_data(*group)


def _systematic(learned: Learned) -> Iterator[Conversation]:
    talk = _able(Talk.of(learned))
    if talk.storage is None:
        return
    for sizes, together in (([100], 1), ([1000], 1), ([2], 1), ([40, 2, 300], 3), ([64], 100), ([1 << 20], 1)):
        what = " and ".join(map(str, sizes))
        name = f"fragments: {what}, {together} in a PDU"
        about = f"an object in fragments of {what} bytes, {together} in a P-DATA-TF"
        seed = (*sizes, together)
        yield _case(talk, name, about, _packed(talk, seed, sizes, together, PIXELS), uid("object", "returned", seed))
    for piece in (1, 7, 1460):
        wire = _packed(talk, ("segments", piece), [500], 1, PIXELS if piece > 1 else 0)
        about = f"an object in segments of {piece} bytes"
        yield _case(
            talk, f"segments: {piece}", about, wire, uid("object", "returned", ("segments", piece)), piece=piece
        )
    large = _packed(talk, "large", [1 << 20], 1, 300_000)
    yield _case(talk, "large", "an object of 300 kB", large, uid("object", "returned", "large"))


def _random(learned: Learned, random: Random) -> Conversation:
    """Fragments of random sizes; an object of its own each time."""
    talk = Talk.of(learned)
    able = _able(talk)
    if able.storage is None:
        return script(
            "returned/nothing", "an association without a request", "PS3.8 7.2", "served", talk.begin(), RELEASED
        )
    seed = random.getrandbits(64)
    sizes = [2 * random.randrange(1, random.choice((4, 60, 2000))) for _ in range(random.randrange(1, 5))]
    wire = _packed(able, seed, sizes, random.choice((1, 1, 2, 7)), random.choice((0, 500, PIXELS)))
    piece = random.choice((0, 0, 13, 1460))
    return _case(
        able, "random fragments", "an object in random fragments", wire, uid("object", "returned", seed), piece=piece
    )


FAMILIES: Final = (
    Family(
        name="returned",
        about="objects in every kind of fragments, stored and fetched again",
        systematic=_systematic,
        random=_random,
    ),
)
