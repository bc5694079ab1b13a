"""Scripts that reach all cells, items, messages, A-ABORTs and most timers; generated from the model and the grammar.

Knows: trees of valid PDUs, the ways to the states. Must not know: how a script is run (`driving`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final

from dicos_proto.dimse.codec import encode_command
from dicos_proto.dimse.types import CLASSES, CCancelRequest, DataSet, MessageClass
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import Abort

from ....grammar import message, read_pdu
from ....grammar.building import p_data
from ....tree import Action, Edit, Length, Node, Part, apply, walk
from ....tree import encode as encode_tree
from ...model import menu
from ...model.paths import every_cell, ways
from ...model.reference import Level
from ...model.scripts import Expire, Receive, Say, Script, Step
from ...model.table import PROVIDER, USER

__all__ = ["all_scripts", "to"]

_LEVEL: Final[Level] = "association"
_RESPONSE: Final = 0x8000


def to(role: str, state: int, level: Level = _LEVEL) -> tuple[Step, ...]:
    """Returns the way to a state."""
    return ways()[level, (role, state)]


def all_scripts() -> Iterator[Script]:
    """Yields every script: the cells, the items, the PDVs, the messages, the A-ABORTs, the timers."""
    return chain(every_cell(), _items(), _pdvs(), _messages(), _aborts(), _timers())


# -- items ---------------------------------------------------------------------------------------------------------


def _items() -> Iterator[Script]:
    """Every part of an A-ASSOCIATE-RQ and -AC with all sub-items: left out, twice, and with wrong lengths."""
    asked = menu.REQUESTS[1]
    request, answer = read_pdu(encode(asked)), read_pdu(_answer())
    for variant in _variants(request):
        yield Script(PROVIDER, _LEVEL, (*to(PROVIDER, 2), Receive(variant)))
    for variant in _variants(answer):
        yield Script(USER, _LEVEL, (Say("request", variant=1), Receive(variant)))


def _answer() -> bytes:
    """An A-ASSOCIATE-AC to the second request of the menu, with a sub-item of every type that it may have."""
    return encode(menu.answer(menu.REQUESTS[1], 0))


def _variants(tree: Part) -> Iterator[bytes]:
    yield encode_tree(tree)
    unknown = bytes.fromhex("99000001aa")
    for path, node in walk(tree):
        for edit in _edits(path, node, unknown):
            yield encode_tree(apply(tree, [edit]))
    inside = f"{tree.name}/user information/maximum length"
    for path in (f"{tree.name}/user information", f"{tree.name}/presentation context/transfer syntax", inside):
        relative = path.removeprefix(f"{tree.name}/")
        for bad in (unknown, unknown * 2, bytes.fromhex("9900ffff")):
            yield encode_tree(apply(tree, [Edit(relative, Action.INSERT, bad)]))
    yield encode_tree(apply(tree, [Edit("user information/user identity response/response/length", Action.LENGTH, 9)]))


def _edits(path: str, node: Node, unknown: bytes) -> Iterator[Edit]:
    if isinstance(node, Part) and path:
        yield Edit(path, Action.DELETE)
        yield Edit(path, Action.REPEAT)
        yield Edit(path, Action.INSERT, unknown)
    elif isinstance(node, Length):
        for wrong in (0, 1, 3, 0xFFFF):
            yield Edit(path, Action.LENGTH, wrong)


def _pdvs() -> Iterator[Script]:
    """PDVs: several, empty, with wrong lengths, none at all; PDU headers with wrong lengths."""
    raw = encode_command(menu.command(menu.CLASS_OF["C-ECHO-RQ"], 1, 1, 0).command, has_data=False)
    good = p_data((1, True, True, raw))
    streams = [
        good,
        p_data((1, True, False, raw[:20]), (1, True, False, b""), (1, True, True, raw[20:])),
        good[:6] + b"\0\0\0\1" + good[10:],
        good[:6] + b"\0\0\7\1" + good[10:],
        good[:2] + (len(good) - 6 + 3).to_bytes(4, "big") + good[6:] + b"abc",
        *(b"\4\0" + size.to_bytes(4, "big") + bytes(size) for size in range(6)),
        *(bytes((kind, 0, 0, 0, 0, size)) + bytes(size) for kind in range(1, 8) for size in (0, 3, 5)),
    ]
    for stream in streams:
        for role, state in ((PROVIDER, 2), (PROVIDER, 6), (USER, 5), (USER, 6), (USER, 13)):
            yield Script(role, _LEVEL, (*to(role, state), Receive(stream)))
            yield Script(role, "upper layer", (*to(role, state, "upper layer"), Receive(stream)))


# -- messages ------------------------------------------------------------------------------------------------------


def _messages() -> Iterator[Script]:
    """Every message in both directions: a request is sent and its response received, and the reverse; in the variants
    of the menu."""
    for field, cls in CLASSES.items():
        if field & _RESPONSE:
            continue
        for variant in range(6):
            if cls is CCancelRequest:
                yield Script(USER, _LEVEL, (*to(USER, 6), _say(cls, variant)))
                yield Script(PROVIDER, _LEVEL, (*to(PROVIDER, 6), _hear(cls, variant)))
                continue
            response = CLASSES[field | _RESPONSE]
            asks, answers = (PROVIDER, USER) if field == 0x0100 else (USER, PROVIDER)
            sent = (*_spoken(cls, 0), _hear(response, variant))
            yield Script(asks, _LEVEL, (*to(asks, 6), *sent))
            yield Script(answers, _LEVEL, (*to(answers, 6), _hear(cls, variant), *_spoken(response, variant)))


def _say(cls: MessageClass, variant: int) -> Say:
    return Say(cls.NAME, variant=variant)


def _spoken(cls: MessageClass, variant: int) -> tuple[Step, ...]:
    """A message of the local user, with its data set."""
    return _say(cls, variant), Say("data", number=7), Say("last data", number=30)


def _hear(cls: MessageClass, variant: int) -> Receive:
    """A message of the peer, with its data set."""
    made = menu.command(cls, 1, 1, variant)
    data = bytes(40) if made.has_data and cls.DATA_SET is not DataSet.NEVER else None
    return Receive(b"".join(message(1, made.command, data, max_length=64)))


# -- A-ABORTs and timers -------------------------------------------------------------------------------------------


def _aborts() -> Iterator[Script]:
    """Every A-ABORT that can be received, and a reason for each that is sent."""
    raw = encode_command(menu.command(menu.CLASS_OF["C-ECHO-RQ"], 1, 1, 0).command, has_data=False)
    at = raw.index(b"\0\0\0\1\2\0\0\0") + 8
    unknown_command = raw[:at] + b"\x34\x12" + raw[at + 2 :]
    for role in (USER, PROVIDER):
        for source in (0, 1, 2):
            for reason in range(7):
                yield Script(role, _LEVEL, (*to(role, 6), Receive(encode(Abort(source=source, reason=reason)))))
        for bad in (
            p_data((1, True, True, unknown_command)),
            p_data((1, False, True, b"ab")),
            p_data((99, True, True, raw)),
            b"".join(message(1, menu.command(menu.CLASS_OF["C-ECHO-RSP"], 1, 1, 0).command)),
        ):
            yield Script(role, _LEVEL, (*to(role, 6), Receive(bad)))


def _timers() -> Iterator[Script]:
    """The timers of the default `Timeouts` that expire before all others."""
    store = message(1, menu.command(menu.CLASS_OF["C-STORE-RQ"], 1, 1, 0).command, bytes(10))
    for role, state, before in (
        (PROVIDER, 2, ()),
        (PROVIDER, 3, ()),
        (USER, 5, ()),
        (USER, 7, ()),
        (PROVIDER, 6, ()),
        (PROVIDER, 6, (Receive(store[0][:9]),)),
        (PROVIDER, 6, (Receive(store[0]),)),
        (USER, 6, (Say("C-ECHO-RQ"),)),
        (USER, 13, ()),
    ):
        yield Script(role, _LEVEL, (*to(role, state), *before, Expire(), Expire()))
