"""Hostile answers to a peer that calls: A-ASSOCIATE-AC and -RJ that do not fit, or come at the wrong time.

Knows: what a requestor has to check. Must not know: what the peer wants to do (`responses`).

The peer's proposal is not known before it calls, so an answer is the right one with edits (`Answer`). An edit whose
place does not exist changes nothing, and then the peer is right to go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from random import Random
from typing import Final

from dicos_proto.errors import Malformed
from dicos_proto.limits import Limits
from dicos_proto.registry import uids
from dicos_proto.tolerance import EVERYTHING, Judge
from dicos_proto.upper_layer.agreement import agree
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import AssociateAccept, AssociateRequest, ProposedContext

from ...conversation import Answer, Await, Conversation, Open, Pause, Send, Side, Step
from ...grammar.changing import change, changes
from ...grammar.reading import read_stream
from ...tree import Action, Edit, Part, apply
from ...tree import encode as encode_tree
from ..knowledge import Learned
from ..responding import acceptance
from .altered import place, region
from .family import Family
from .foreign import GREETINGS
from .scripts import (
    ABORT,
    ANY,
    CLOSE,
    ENDED,
    FIN,
    PROVIDER_ABORT,
    RELEASE,
    RELEASE_RP,
    RESET,
    pdu,
    reject,
    script,
)

__all__ = ["FAMILIES"]

_CALLED: Final = (Open(), Await(kinds=(1,)))
_REACTION: Final = Await(kinds=(4, 5, 7))
_AC: Final = "A-ASSOCIATE-AC"
_CONTEXT: Final = f"{_AC}/presentation context"
_USER: Final = f"{_AC}/user information"


def _case(name: str, about: str, clause: str, expect: str, *steps: Step | tuple[Step, ...]) -> Conversation:
    return script(f"answers/{name}", about, clause, expect, _CALLED, *steps, side=Side.PROVIDER)


def _edited(name: str, about: str, clause: str, expect: str, *edits: Edit) -> Conversation:
    return _case(name, about, clause, expect, Answer(edits=edits), _REACTION, CLOSE)


# -- by hand -----------------------------------------------------------------------------------------------------


def _item(kind: int, value: bytes) -> bytes:
    return bytes((kind, 0)) + len(value).to_bytes(2, "big") + value


_PUT, _SET, _GONE, _AGAIN = Action.INSERT, Action.SET, Action.DELETE, Action.REPEAT
_WRONG: Final = "refused-or-released"
_SYNTAX: Final = f"{_CONTEXT}/transfer syntax"
_FIRST: Final = f"{_USER}/maximum length"
_OF_CONTEXT: Final = "PS3.8 9.3.3.2"
_ANSWER: Final = _item(0x21, bytes((77, 0, 0, 0)) + _item(0x40, uids.IMPLICIT_VR_LE.encode()))
_ROLE: Final = _item(0x54, b"\x00\x05" + b"1.2.3" + b"\1\1")
_UNKNOWN: Final = _item(0x99, b"unknown")

# fmt: off
_CONTEXTS: Final = (
    # name, what is wrong, expectation, edit
    ("context not proposed", "context 77 accepted, which was not proposed", _WRONG, Edit(_CONTEXT, _PUT, _ANSWER)),
    ("only a context not proposed", "context 77 accepted in place of the first", _WRONG,
     Edit(f"{_CONTEXT}/id", _SET, b"\x4d")),
    ("even context", "context 2 accepted", _WRONG, Edit(f"{_CONTEXT}/id", _SET, b"\x02")),
    ("context 0", "context 0 accepted", _WRONG, Edit(f"{_CONTEXT}/id", _SET, b"\x00")),
    ("context twice", "the first context answered twice", _WRONG, Edit(_CONTEXT, _AGAIN)),
    ("context not answered", "the first context not answered", "any", Edit(_CONTEXT, _GONE)),
    ("transfer syntax not offered", "the first context accepted with a transfer syntax that was not offered", _WRONG,
     Edit(f"{_SYNTAX}/UID", _SET, b"1.2.3.4.5.6.7.8")),
    ("two transfer syntaxes", "the first context accepted with two transfer syntaxes", _WRONG, Edit(_SYNTAX, _AGAIN)),
    ("no transfer syntax", "the first context accepted without a transfer syntax", _WRONG, Edit(_SYNTAX, _GONE)),
    *((f"result: {result}", f"result {result} for the first context; 0 to 4", "any",
       Edit(f"{_CONTEXT}/result", _SET, bytes((result,)))) for result in (1, 2, 3, 4, 5, 128, 255)),
    *((f"transfer syntax no UID: {bad[:8]!a}", f"the first context accepted with transfer syntax {bad[:20]!a}", _WRONG,
       Edit(f"{_SYNTAX}/UID", _SET, bad)) for bad in (b"", b"..", b"1" * 65, b"%s%n", b"\x00" * 8)),
)
_OTHER_ITEMS: Final = (
    # name, what is wrong, clause, expectation, edit
    *((f"maximum length: {size}", f"Maximum Length {size}; a PDV takes 6 and its data", "PS3.8 D.1",
       _WRONG if size < 7 else "any", Edit(f"{_FIRST}/number", _SET, size.to_bytes(4, "big")))
      for size in (1, 2, 6, 7, 8, 12, 13)),
    ("no user information", "an A-ASSOCIATE-AC without user information", "PS3.8 9.3.3.3", "any", Edit(_USER, _GONE)),
    ("no application context", "an A-ASSOCIATE-AC without an application context", "PS3.8 9.3.3.1", "any",
     Edit(f"{_AC}/application context", _GONE)),
    ("another application context", "another application context", "PS3.8 7.1.1.2", "any",
     Edit(f"{_AC}/application context/UID", _SET, b"1.2.3")),
    ("protocol version 2", "protocol version 2, without bit 0", "PS3.8 9.3.3", _WRONG,
     Edit(f"{_AC}/protocol version", _SET, b"\0\2")),
    ("window not asked for", "an operations window of 65,535 that was not proposed", "PS3.7 D.3.3.3", "any",
     Edit(_FIRST, _PUT, _item(0x53, b"\xff\xff\xff\xff"))),
    ("role not asked for", "a role selection of a SOP class that was not proposed", "PS3.7 D.3.3.4", "any",
     Edit(_FIRST, _PUT, _ROLE)),
    ("identity response", "a user identity response with a wrong length", "PS3.7 D.3.3.7", "any",
     Edit(_FIRST, _PUT, _item(0x59, b"\xff\xff"))),
    ("unknown item", "an item of unknown type, which is skipped", "PS3.8 9.3.1", "any", Edit(_USER, _PUT, _UNKNOWN)),
    ("many unknown items", "5,000 items of unknown type", "limit: unknown items", "any",
     Edit(_USER, _PUT, _UNKNOWN * 5000)),
    ("other titles", "other AE titles than those of the request, which are not tested", "PS3.8 9.3.3", "any",
     Edit(f"{_AC}/called title", _SET, b"\xff" * 16)),
)
_REJECTIONS: Final = ((1, 1, 1), (2, 3, 1), (1, 2, 2), (0, 0, 0), (9, 9, 9), (1, 1, 4), (255, 255, 255))
_STA5: Final = "PS3.8 table 9-10, Sta5"
_REFUSAL: Final = (Await(kinds=(7,)), CLOSE)
_IN_PLACE: Final = (
    # name, clause, expectation, what is sent in place of the answer
    *((f"A-ASSOCIATE-AC of {length} bytes", "PS3.8 9.3.3", "refused-at-header" if length >> 24 else "refused",
       pdu(2, bytes(min(length, 67)), length=length)) for length in (0, 10, 67, 0x7FFFFFFF, 0xFFFFFFFF)),
    *((f"A-ASSOCIATE-RJ {'/'.join(map(str, one))}", "PS3.8 table 9-10, AE-4", "closes", reject(*one))
      for one in _REJECTIONS),
    ("A-ASSOCIATE-RJ without a body", "PS3.8 9.3.4", "answered", pdu(3)),
    ("A-ASSOCIATE-RJ of 100 bytes", "PS3.8 9.3.4", "answered", pdu(3, bytes(100))),
    ("A-ABORT of the user", "PS3.8 table 9-10, AA-3", "closes", ABORT),
    ("A-ABORT of the provider", "PS3.8 table 9-10, AA-3", "closes", PROVIDER_ABORT),
    ("A-ABORT from source 9", "PS3.8 table 9-10, AA-3", "closes", pdu(7, bytes((0, 0, 9, 99)))),
    ("A-RELEASE-RQ", _STA5, "refused", RELEASE),
    *((name, "PS3.8 table 9-10, Evt19", "refused", GREETINGS[name])
      for name in ("HTTP GET", "TLS alert", "SSH", "zeros", "FF")),
)
_ANSWERED: Final = (Answer(), Await(kinds=(4, 5)))
_POINTS: Final[tuple[tuple[str, tuple[Step, ...]], ...]] = (
    ("in place of the answer", ()),
    ("inside the answer", (Send(message=pdu(2, bytes(30), length=200)),)),
    ("behind the answer", (Answer(),)),
    ("in place of a response", _ANSWERED),
    ("inside a response", (*_ANSWERED, Send(message=pdu(4, bytes(6), length=80)))),
    ("behind a response", (*_ANSWERED, Answer())),
)
# fmt: on


def _hostile() -> Iterator[Conversation]:
    for name, about, expect, edit in _CONTEXTS:
        yield _edited(name, about, _OF_CONTEXT, expect, edit)
    for name, about, clause, expect, edit in _OTHER_ITEMS:
        yield _edited(name, about, clause, expect, edit)


def _wrong_pdus() -> Iterator[Conversation]:
    for name, clause, expect, data in _IN_PLACE:
        tail = (ENDED,) if expect == "closes" else _REFUSAL
        yield _case(name, f"{name} in place of the answer", clause, expect, Send(message=data), tail)
    twice = (Answer(), Send(message=pdu(2, bytes(68))), _REFUSAL)
    yield _case("A-ASSOCIATE-AC twice", "two A-ASSOCIATE-ACs", "PS3.8 table 9-10, AA-8", "any", *twice)
    released = (Answer(), Send(message=RELEASE), Await(kinds=(6, 7)), CLOSE)
    about = "an A-RELEASE-RQ of the acceptor behind its answer"
    yield _case("released by this side", about, "PS3.8 7.2", "answered", released)
    late = (*_ANSWERED, Send(message=ABORT), Answer(), ENDED)
    about = "a response behind an A-ABORT of this side"
    yield _case("response behind an A-ABORT", about, "PS3.8 table 9-10, AA-3", "closes", late)
    unasked = (*_ANSWERED[:1], Await(kinds=(4,)), Send(message=RELEASE_RP), _REFUSAL)
    about = "an A-RELEASE-RP that nobody asked for"
    yield _case("release not asked for", about, "PS3.8 table 9-10, AA-8", "table", *unasked)


def _leaving() -> Iterator[Conversation]:
    """The end at each point."""
    clause = "PS3.8 table 9-10, Evt17"
    for where, steps in _POINTS:
        about = f"FIN {where}; the peer closes too"
        yield _case(f"half-closed {where}", about, clause, "closes", steps, FIN, ANY, ENDED)
        for how, end in (("closed", CLOSE), ("reset", RESET)):
            yield _case(f"{how} {where}", f"the connection is {how} {where}", clause, "any", steps, end)
    pause = Pause(seconds=1.0)
    late: tuple[Step, ...] = (pause, *_ANSWERED, pause, Answer(), _REACTION, CLOSE)
    yield _case("late answers", "answers that come a second late", "limit: patience", "any", late)
    for how, end in (("closed", CLOSE), ("reset", RESET)):
        about = f"the connection is {how} before a byte is read"
        yield script(f"answers/{how} at once", about, clause, "any", Open(), end, side=Side.PROVIDER)


# -- by the grammar ----------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _sample(learned: Learned) -> tuple[AssociateRequest, bytes, Part]:
    """A request like those of the peer, the right answer to it, and its tree."""
    contexts = learned.proposes or tuple(
        (2 * index + 1, one.abstract_syntax, (one.transfer_syntax,)) for index, one in enumerate(learned.accepted[:3])
    )
    asked = AssociateRequest(
        called_aet=learned.calling,
        calling_aet=learned.called,
        contexts=tuple(
            ProposedContext(id=number, abstract_syntax=abstract, transfer_syntaxes=syntaxes)
            for number, abstract, syntaxes in contexts
        ),
    )
    wire = encode(acceptance(asked))
    return asked, wire, read_stream(wire)


def _verdict(asked: AssociateRequest, wire: bytes) -> tuple[str, str]:
    """The expectation and the clause for an answer."""
    if len(wire) < 6 or wire[0] != 2 or len(wire) != 6 + int.from_bytes(wire[2:6], "big"):
        return "any", "PS3.8 9.3.3"
    try:
        found = decode(wire, Limits(), EVERYTHING)
        if isinstance(found, AssociateAccept):
            agree(asked, found, requestor=True, judge=Judge(Limits(), EVERYTHING))
    except Malformed as fault:
        return ("refused-or-released" if fault.limit is None else "any"), fault.clause
    return "any", "PS3.8 9.3.3"


def _grammatical(learned: Learned) -> Iterator[Conversation]:
    asked, _, tree = _sample(learned)
    by_place: dict[str, list[Edit]] = {}
    for edit in changes(tree):
        by_place.setdefault(place(edit.path), []).append(edit)
    turn = 0
    while by_place:
        for where in [*by_place]:
            if turn >= len(by_place[where]) or turn > 24:
                del by_place[where]
                continue
            yield _changed(learned, asked, by_place[where][turn])
        turn += 1


def _changed(learned: Learned, asked: AssociateRequest, *edits: Edit) -> Conversation:
    wire = encode_tree(apply(_sample(learned)[2], edits))
    expect, clause = _verdict(asked, wire)
    if expect != "any" and not learned.proposes:
        expect = "any"  # the peer may propose other contexts, in which the edits find other places
    words = "; ".join(map(str, edits))
    about = f"the right answer with {words}"
    return _edited(f"{region(edits[0].path)}: {words}", about, clause, expect, *edits)


def _systematic(learned: Learned) -> Iterator[Conversation]:
    yield from _hostile()
    yield from _wrong_pdus()
    yield from _leaving()
    yield from _grammatical(learned)


def _random(learned: Learned, random: Random) -> Conversation:
    asked, _, tree = _sample(learned)
    found = [edit for _ in range(random.randrange(1, 4)) if (edit := change(tree, random)) is not None]
    return _changed(learned, asked, *found) if found else next(_hostile())


FAMILIES: Final = (
    Family(
        name="answers",
        about="a peer that calls gets answers that do not fit, rejections, aborts, other protocols, or the end",
        systematic=_systematic,
        random=_random,
        side=Side.PROVIDER,
    ),
)
