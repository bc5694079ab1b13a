"""Altered messages: wrong bytes, lengths and structures, one at a time or a few together [fault kinds F4, F5, F6].

Knows: the grammar's changes. Must not know: what a decoder makes of them (`verdicts`).

Three families share their making: `lengths` changes length fields, `structure` drops, repeats, exchanges and inserts
items and sets names and ids, `bytes` flips, cuts, repeats and inserts bytes wherever they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from dicos_proto.registry import uids
from dicos_proto.upper_layer.pdu_types import (
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    OperationsWindow,
    RoleSelection,
    UserIdentity,
    UserInformation,
)

from ...conversation import Conversation, Open, Send, Step
from ...grammar.building import request
from ...grammar.changing import change, changes
from ...grammar.reading import read_stream
from ...tree import Action, Edit, apply, encode
from ..knowledge import Learned
from .family import Family
from .scripts import ABORT, RELEASE, Talk, script
from .verdicts import Verdict, of_associate, of_messages

__all__ = ["FAMILIES", "place", "region"]

_SKIPPED: Final = 40
"""Edits of one field that are tried before those of others: the rest comes after everything else."""


@dataclass(frozen=True, slots=True)
class _Base:
    """A good message to change: its name, its bytes, the steps before it, and how a change of it is judged."""

    name: str
    wire: bytes
    before: tuple[Step, ...]
    judge: Callable[[bytes], Verdict]


def place(path: str) -> str:
    """Returns the kind of place that a path leads to, without numbers: its PDU and all parts below."""
    return "/".join(step.partition("#")[0] for step in path.split("/"))


def region(path: str) -> str:
    """Returns the large part of a message that a path leads into: a finding is named after it."""
    steps = place(path).split("/")
    if steps[0] != "P-DATA-TF":
        return "/".join(steps[:2])
    return "/".join(steps[2:3]) if len(steps) > 3 else "/".join(steps[:2])


def _full(talk: Talk) -> bytes:
    """An A-ASSOCIATE-RQ with every sub-item that there is."""
    classes = [abstract for abstract, _ in talk.offer.contexts][:2]
    return request(
        replace(
            talk.offer,
            user_information=UserInformation(
                window=OperationsWindow(invoked=2, performed=1),
                roles=tuple(RoleSelection(sop_class_uid=one, scu=True, scp=False) for one in classes),
                extended=tuple(ExtendedNegotiation(sop_class_uid=one, information=b"\1\0\0") for one in classes[:1]),
                common_extended=(
                    CommonExtendedNegotiation(
                        sop_class_uid=classes[-1], service_class_uid=uids.STORAGE, related_general=(classes[0],)
                    ),
                ),
                user_identity=UserIdentity(type=1, primary=b"nobody"),
            ),
        )
    )


def _bases(learned: Learned) -> list[_Base]:
    talk = Talk.of(learned)
    begin = talk.begin()

    def of_message(wire: bytes) -> Verdict:
        return of_messages(wire, talk.rq, learned)

    found = [
        _Base("request", talk.ask(), begin, of_message),
        _Base("A-ASSOCIATE-RQ", _full(talk), (Open(),), of_associate),
    ]
    if talk.storage is not None:
        found.append(_Base("object", talk.store(1, "altered"), begin, of_message))
    if talk.finding is not None:
        found.append(_Base("query", talk.find(1), begin, of_message))
    found.append(_Base("A-RELEASE-RQ", RELEASE, begin, of_message))
    found.append(_Base("A-ABORT", ABORT, begin, of_message))
    return found


def _conversation(family: str, base: _Base, *edits: Edit) -> Conversation | None:
    """The conversation of a change, None if it changes nothing."""
    wire = encode(apply(read_stream(base.wire), edits))
    if wire == base.wire or not wire:
        return None
    verdict = base.judge(wire)
    words = "; ".join(map(str, edits))
    return script(
        f"{family}/{region(edits[0].path)}: {words}",
        f"{base.name} with {words}",
        verdict.clause,
        verdict.expect,
        base.before,
        Send(message=base.wire, edits=edits),
        verdict.tail,
    )


def _of_family(family: str, wanted: Callable[[Edit], bool]) -> Callable[[Learned], Iterator[Conversation]]:
    def systematic(learned: Learned) -> Iterator[Conversation]:
        """In turns: one change of each place, then the second of each, so that the first hundred touch everything."""
        for base in _bases(learned):
            by_place: dict[str, list[Edit]] = {}
            for edit in changes(read_stream(base.wire)):
                if wanted(edit) and not _inside_data(edit.path):
                    by_place.setdefault(place(edit.path), []).append(edit)
            turn = 0
            while by_place:
                for where in [*by_place]:
                    edits = by_place[where]
                    if turn < len(edits) and turn < _SKIPPED:
                        found = _conversation(family, base, edits[turn])
                        if found is not None:
                            yield found
                    else:
                        del by_place[where]
                turn += 1

    return systematic


def _inside_data(path: str) -> bool:
    """Data sets have families of their own."""
    return "data set/" in path


def _random_of(family: str, wanted: Callable[[Edit], bool], most: int) -> Callable[[Learned, Random], Conversation]:
    def make(learned: Learned, random: Random) -> Conversation:
        bases = _bases(learned)
        while True:
            base = random.choice(bases)
            tree = read_stream(base.wire)
            edits: list[Edit] = []
            for _ in range(random.randrange(1, most + 1)):
                edit = change(tree, random)
                if edit is not None and wanted(edit):
                    edits.append(edit)
            found = _conversation(family, base, *edits) if edits else None
            if found is not None:
                return found

    return make


def _is_length(edit: Edit) -> bool:
    return edit.action is Action.LENGTH


def _is_structure(edit: Edit) -> bool:
    return edit.action not in (Action.LENGTH, Action.CUT)


def _is_any(edit: Edit) -> bool:
    return True


# -- bytes -------------------------------------------------------------------------------------------------------


def _bytes(learned: Learned) -> Iterator[Conversation]:
    """Each byte of the headers 00, FF and with one bit flipped; each message cut, followed by garbage, or doubled."""
    for base in _bases(learned):
        wire = base.wire
        for at in range(min(len(wire), 160)):
            for value in (0x00, 0xFF, wire[at] ^ 0x01, wire[at] ^ 0x80):
                if value != wire[at]:
                    yield _raw(base, f"byte {at} is {value:02X}", wire[:at] + bytes((value,)) + wire[at + 1 :])
        for at in (1, 3, 5, 6, len(wire) // 2, len(wire) - 1):
            if 0 < at < len(wire):
                yield _raw(base, f"cut behind byte {at}", wire[:at])
        yield _raw(base, "zeros behind it", wire + bytes(20))
        yield _raw(base, "FF behind it", wire + b"\xff" * 20)
        for at in (6, 10, 74):
            if at < len(wire):
                yield _raw(base, f"4 bytes missing at {at}", wire[:at] + wire[at + 4 :])
                yield _raw(base, f"8 bytes doubled at {at}", wire[: at + 8] + wire[at:])
        swapped = wire[:2] + wire[2:6][::-1] + wire[6:]
        yield _raw(base, "length in the other byte order", swapped)


def _raw(base: _Base, name: str, wire: bytes) -> Conversation:
    verdict = base.judge(wire)
    about = f"{base.name}, {name}"
    return script(
        f"bytes/{base.name}: {name}",
        about,
        verdict.clause,
        verdict.expect,
        base.before,
        Send(message=wire),
        verdict.tail,
    )


def _random_bytes(learned: Learned, random: Random) -> Conversation:
    base = random.choice(_bases(learned))
    wire = bytearray(base.wire)
    for _ in range(random.randrange(1, 5)):
        at = random.randrange(max(1, len(wire)))
        match random.randrange(5):
            case 0 if wire:
                wire[at] ^= 1 << random.randrange(8)
            case 1 if wire:
                wire[at] = random.choice((0, 0x7F, 0x80, 0xFF))
            case 2:
                wire[at:at] = random.randbytes(random.randrange(1, 9))
            case 3:
                del wire[at : at + random.randrange(1, 9)]
            case _:
                wire[at:at] = wire[max(0, at - 16) : at]
    if not wire or bytes(wire) == base.wire:
        wire = bytearray(base.wire[:-1])
    return _raw(base, "random damage", bytes(wire))


FAMILIES: Final = (
    Family(
        name="lengths",
        about="wrong lengths of PDUs, items, sub-items, PDVs and elements",
        systematic=_of_family("lengths", _is_length),
        random=_random_of("lengths", _is_length, 40),
    ),
    Family(
        name="structure",
        about="items and elements that are missing, doubled, exchanged, unknown, or have wrong ids and names",
        systematic=_of_family("structure", _is_structure),
        random=_random_of("structure", _is_any, 3),
    ),
    Family(
        name="bytes",
        about="flipped, missing, doubled and added bytes",
        systematic=_bytes,
        random=_random_bytes,
    ),
)
