"""Hostile answers to a peer that calls: A-ASSOCIATE-AC and -RJ that do not fit, or come at the wrong time.

Knows: what a requestor has to check. Must not know: what the peer wants to do (`responses`).

What the peer proposes is not known before it calls, so an answer is the right one with edits (`Answer`); an edit whose
place is not there changes nothing, and then the peer is right to go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from random import Random
from typing import Final

from dicos_proto.errors import Malformed
from dicos_proto.limits import Limits
from dicos_proto.registry import uids
from dicos_proto.tolerance import EVERYTHING
from dicos_proto.upper_layer.agreement import agree
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import AssociateAccept, AssociateRequest, ProposedContext

from ...conversation import Answer, Await, Conversation, End, Open, Pause, Send, Side, Step
from ...grammar.changing import change, changes
from ...grammar.reading import read_stream
from ...tree import Action, Edit, Part, apply
from ...tree import encode as encode_tree
from ..knowledge import Learned
from ..responding import acceptance
from .altered import place, region
from .family import Family
from .foreign import GREETINGS
from .scripts import ABORT, ANY, CLOSE, FIN, PROVIDER_ABORT, RELEASE, RELEASE_RP, RESET, pdu, reject, script

__all__ = ["FAMILIES"]

_CALLED: Final = (Open(), Await(kinds=(1,)))
_REACTION: Final = Await(kinds=(4, 5, 7))
_ENDED: Final = Await(kinds=(99,))
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


def _hostile() -> Iterator[Conversation]:
    clause = "PS3.8 9.3.3.2"
    answer = _item(0x21, bytes((77, 0, 0, 0)) + _item(0x40, uids.IMPLICIT_VR_LE.encode()))
    wrong = "refused-or-released"
    put, set_to, gone = Action.INSERT, Action.SET, Action.DELETE
    syntax = f"{_CONTEXT}/transfer syntax"
    yield _edited("context not proposed", "context 77 accepted, which was not proposed", clause, wrong, Edit(_CONTEXT, put, answer))
    yield _edited("only a context not proposed", "context 77 accepted in place of the first", clause, wrong, Edit(f"{_CONTEXT}/id", set_to, b"\x4d"))
    yield _edited("even context", "context 2 accepted", clause, wrong, Edit(f"{_CONTEXT}/id", set_to, b"\x02"))
    yield _edited("context 0", "context 0 accepted", clause, wrong, Edit(f"{_CONTEXT}/id", set_to, b"\x00"))
    yield _edited("context twice", "the first context answered twice", clause, wrong, Edit(_CONTEXT, Action.REPEAT))
    yield _edited("context not answered", "the first context not answered", clause, "any", Edit(_CONTEXT, gone))
    for result in (5, 128, 255):
        yield _edited(f"result: {result}", f"result {result} for the first context; 0 to 4", clause, "any", Edit(f"{_CONTEXT}/result", set_to, bytes((result,))))
    for result in (1, 2, 3, 4):
        yield _edited(f"refused context: {result}", f"the first context refused with result {result}", clause, "any", Edit(f"{_CONTEXT}/result", set_to, bytes((result,))))
    private = Edit(f"{syntax}/UID", set_to, b"1.2.3.4.5.6.7.8")
    yield _edited("transfer syntax not offered", "the first context accepted with a transfer syntax that was not offered", clause, wrong, private)
    yield _edited("two transfer syntaxes", "the first context accepted with two transfer syntaxes", clause, wrong, Edit(syntax, Action.REPEAT))
    yield _edited("no transfer syntax", "the first context accepted without a transfer syntax", clause, wrong, Edit(syntax, gone))
    for bad in (b"", b"..", b"1" * 65, b"%s%n", b"\x00" * 8):
        name = f"transfer syntax no UID: {bad[:8]!a}"
        yield _edited(name, f"the first context accepted with transfer syntax {bad[:20]!a}", clause, wrong, Edit(f"{syntax}/UID", set_to, bad))
    for size in (1, 2, 6, 7, 8, 12, 13):
        about = f"Maximum Length {size}" + (", in which no PDV fits" if size < 8 else "")
        expect = wrong if size < 7 else "any"
        yield _edited(f"maximum length: {size}", about, "PS3.8 D.1", expect, Edit(f"{_USER}/maximum length/number", set_to, size.to_bytes(4, "big")))
    yield _edited("no user information", "no user information", "PS3.8 9.3.3.3", "any", Edit(_USER, gone))
    yield _edited("no application context", "no application context", "PS3.8 9.3.3.1", "any", Edit(f"{_AC}/application context", gone))
    yield _edited("another application context", "another application context", "PS3.8 7.1.1.2", "any", Edit(f"{_AC}/application context/UID", set_to, b"1.2.3"))
    yield _edited("protocol version 2", "protocol version 2, without bit 0", "PS3.8 9.3.3", wrong, Edit(f"{_AC}/protocol version", set_to, b"\0\2"))
    window = _item(0x53, b"\xff\xff\xff\xff")
    yield _edited("window not asked for", "an operations window of 65,535 that was not proposed", "PS3.7 D.3.3.3", "any", Edit(f"{_USER}/maximum length", put, window))
    role = _item(0x54, b"\x00\x05" + b"1.2.3" + b"\1\1")
    yield _edited("role not asked for", "a role selection of a SOP class that was not proposed", "PS3.7 D.3.3.4", "any", Edit(f"{_USER}/maximum length", put, role))
    identity = _item(0x59, b"\xff\xff")
    yield _edited("identity response", "a user identity response with a wrong length", "PS3.7 D.3.3.7", "any", Edit(f"{_USER}/maximum length", put, identity))
    unknown = _item(0x99, b"unknown")
    yield _edited("unknown item", "an item of unknown type, which is skipped", "PS3.8 9.3.1", "any", Edit(_USER, put, unknown))
    many = unknown * 5000
    yield _edited("many unknown items", "5,000 items of unknown type", "limit: unknown items", "any", Edit(_USER, put, many))
    titles = Edit(f"{_AC}/called title", set_to, b"\xff" * 16)
    yield _edited("other titles", "other AE titles than those of the request, which are not tested", "PS3.8 9.3.3", "any", titles)


def _wrong_pdus() -> Iterator[Conversation]:
    clause = "PS3.8 table 9-10, Sta5"
    refusal = Await(kinds=(7,))
    for length in (0, 10, 67, 0x7FFFFFFF, 0xFFFFFFFF):
        whole = pdu(2, bytes(min(length, 67)), length=length)
        expect = "refused-at-header" if length >= 1 << 24 else "refused"
        yield _case(f"A-ASSOCIATE-AC of {length} bytes", f"an A-ASSOCIATE-AC that says it has {length} bytes", "PS3.8 9.3.3", expect, Send(message=whole), refusal, CLOSE)
    yield _case("A-ASSOCIATE-AC cut", "an A-ASSOCIATE-AC that is cut, and the end", clause, "closes", Send(message=pdu(2, bytes(30), length=200)), FIN, ANY, _ENDED)
    yield _case("A-ASSOCIATE-AC twice", "two A-ASSOCIATE-ACs", "PS3.8 table 9-10, AA-8", "any", Answer(), Send(message=pdu(2, bytes(68))), refusal, CLOSE)
    for result, source, reason in ((1, 1, 1), (2, 3, 1), (1, 2, 2), (0, 0, 0), (9, 9, 9), (1, 1, 4), (255, 255, 255)):
        name = f"rejected {result}/{source}/{reason}"
        yield _case(name, f"an A-ASSOCIATE-RJ {result}/{source}/{reason}", "PS3.8 table 9-10, AE-4", "closes", Send(message=reject(result, source, reason)), _ENDED)
    yield _case("rejected, empty", "an A-ASSOCIATE-RJ without a body", "PS3.8 9.3.4", "answered", Send(message=pdu(3)), refusal, CLOSE)
    yield _case("rejected, long", "an A-ASSOCIATE-RJ of 100 bytes", "PS3.8 9.3.4", "answered", Send(message=pdu(3, bytes(100))), refusal, CLOSE)
    for name, abort in (("user", ABORT), ("provider", PROVIDER_ABORT), ("nobody", pdu(7, bytes((0, 0, 9, 99))))):
        yield _case(f"aborted by {name}", f"an A-ABORT of the {name} in place of the answer", "PS3.8 table 9-10, AA-3", "closes", Send(message=abort), _ENDED)
    for name, data in GREETINGS.items():
        if name in ("HTTP GET", "TLS alert", "SSH", "zeros", "FF"):
            yield _case(f"{name} in place of the answer", f"{name} in place of the answer", "PS3.8 table 9-10, Evt19", "refused", Send(message=data), refusal, CLOSE)
    yield _case("released before the answer", "an A-RELEASE-RQ in place of the answer", clause, "refused", Send(message=RELEASE), refusal, CLOSE)


def _leaving() -> Iterator[Conversation]:
    """The end at each point."""
    answered: tuple[Step, ...] = (Answer(), Await(kinds=(4, 5)))
    places: tuple[tuple[str, tuple[Step, ...]], ...] = (
        ("in place of the answer", ()),
        ("inside the answer", (Send(message=pdu(2, bytes(30), length=200)),)),
        ("behind the answer", (Answer(),)),
        ("in place of a response", answered),
        ("inside a response", (*answered, Send(message=pdu(4, bytes(6), length=80)))),
        ("behind a response", (*answered, Answer())),
    )
    for where, steps in places:
        yield _case(f"half-closed {where}", f"FIN {where}; the peer closes too", "PS3.8 table 9-10, Evt17", "closes", steps, FIN, ANY, _ENDED)
        for how, end in (("closed", CLOSE), ("reset", RESET)):
            yield _case(f"{how} {where}", f"the connection is {how} {where}", "PS3.8 table 9-10, Evt17", "any", steps, end)
    late: tuple[Step, ...] = (Pause(seconds=1.0), Answer(), Await(kinds=(4, 5)), Pause(seconds=1.0), Answer(), _REACTION)
    yield _case("late answers", "answers that come a second late", "limit: patience", "any", late, CLOSE)
    yield script("answers/closed at once", "the connection is closed before a byte is read", "PS3.8 table 9-10, Evt17", "any", Open(), End(), side=Side.PROVIDER)
    yield script("answers/reset at once", "the connection is reset before a byte is read", "PS3.8 table 9-10, Evt17", "any", Open(), RESET, side=Side.PROVIDER)
    yield _case("released by this side", "an A-RELEASE-RQ of the acceptor behind its answer", "PS3.8 7.2", "answered", Answer(), Send(message=RELEASE), Await(kinds=(6, 7)), CLOSE)
    yield _case("release not asked for", "an A-RELEASE-RP that nobody asked for", "PS3.8 table 9-10, AA-8", "table", Answer(), Await(kinds=(4,)), Send(message=RELEASE_RP), Await(kinds=(7,)), CLOSE)


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
            agree(asked, found, requestor=True)
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
