"""A-ASSOCIATE-RQs with one fault that is known from the field or from the clauses: contexts, ids, titles, versions.

Knows: PS3.8 9.3.2 and annex D, PS3.7 annex D.3.3. Must not know: the systematic changes of every field (`altered`).

The standard leaves open whether a request is rejected or aborted; both are right. Titles are for the peer's policy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from struct import pack
from typing import Final

from dicos_proto.registry import uids

from ...conversation import Conversation, Open, Send, Step
from ...grammar.building import request
from ...grammar.changing import TITLES, UIDS
from ...grammar.reading import read_stream
from ...tree import Action, Edit, apply, encode
from ..knowledge import Learned
from .family import Family
from .scripts import ACCEPTANCE, ANY, CLOSE, Talk, pdu, script
from .verdicts import of_associate

__all__ = ["FAMILIES"]

_RQ: Final = "A-ASSOCIATE-RQ"
_CONTEXT: Final = f"{_RQ}/presentation context"
_USER: Final = f"{_RQ}/user information"


def _case(name: str, about: str, clause: str, expect: str, *steps: Step | tuple[Step, ...]) -> Conversation:
    return script(f"associations/{name}", about, clause, expect, *steps)


def _one(name: str, about: str, clause: str, expect: str, rq: bytes) -> Conversation:
    return _case(name, about, clause, expect, Open(), Send(message=rq), ANY, CLOSE)


def _item(kind: int, value: bytes) -> bytes:
    return pack(">BxH", kind, len(value)) + value


def _proposed(number: int, abstract: bytes | None, *syntaxes: bytes) -> bytes:
    """A presentation context item; `abstract` None: without abstract syntax."""
    first = b"" if abstract is None else _item(0x30, abstract)
    return _item(0x20, bytes((number, 0, 0, 0)) + first + b"".join(_item(0x40, one) for one in syntaxes))


def _with(talk: Talk, *contexts: bytes) -> bytes:
    """The request of `talk` with these encoded contexts in place of its own."""
    tree = read_stream(talk.rq)
    for _ in talk.offer.contexts[1:]:
        tree = apply(tree, (Edit(f"{_CONTEXT}#2", Action.DELETE),))  # type: ignore[assignment]
    return encode(apply(tree, (Edit(_CONTEXT, Action.SET, b"".join(contexts)),)))


def _edited(talk: Talk, *edits: Edit) -> bytes:
    return encode(apply(read_stream(talk.rq), edits))


# -- contexts ----------------------------------------------------------------------------------------------------

_V, _I = uids.VERIFICATION.encode(), uids.IMPLICIT_VR_LE.encode()
_GOOD: Final = _proposed(1, _V, _I)
# fmt: off
_CONTEXTS: Final = (
    # name, what is wrong, contexts
    ("no context", "an A-ASSOCIATE-RQ without a presentation context", ()),
    ("even context id: 2", "a presentation context with id 2", (_GOOD, _proposed(2, _V, _I))),
    ("even context id: 0", "a presentation context with id 0", (_proposed(0, _V, _I),)),
    ("context id twice", "two presentation contexts with id 1", (_GOOD, _GOOD)),
    ("context id twice: other syntaxes", "two different presentation contexts with id 1",
     (_GOOD, _proposed(1, uids.CT_IMAGE_STORAGE.encode(), uids.EXPLICIT_VR_LE.encode()))),
    ("context id twice: 129 contexts", "129 presentation contexts, so that an id comes twice",
     tuple(_proposed(index * 2 % 256 | 1, _V, _I) for index in range(129))),
    ("context id twice: 300 contexts", "300 presentation contexts whose ids come again",
     tuple(_proposed(index * 2 % 256 | 1, _V, _I) for index in range(300))),
    ("no abstract syntax", "a presentation context without abstract syntax", (_proposed(1, None, _I),)),
    ("two abstract syntaxes", "a presentation context with two abstract syntaxes",
     (_item(0x20, bytes((1, 0, 0, 0)) + _item(0x30, _V) * 2 + _item(0x40, _I)),)),
    ("no transfer syntax", "a presentation context without transfer syntax", (_proposed(1, _V),)),
    ("empty context", "a presentation context item of four bytes", (_item(0x20, bytes((1, 0, 0, 0))),)),
    ("context of three bytes", "a presentation context item of three bytes", (_item(0x20, bytes((1, 0, 0))),)),
    ("empty item", "a presentation context item without a byte", (_item(0x20, b""),)),
    ("item header cut short", "three bytes behind the last item", (_GOOD + b"\x20\0\0",)),
    ("sub-item longer than its item", "an abstract syntax that is longer than its context",
     (_item(0x20, bytes((1, 0, 0, 0)) + b"\x30\0\0\xff" + _V),)),
    *((f"abstract syntax: {uid[:20]!a}", f"abstract syntax {uid[:20]!a}", (_proposed(1, uid, _I),)) for uid in UIDS),
    *((f"transfer syntax: {uid[:20]!a}", f"transfer syntax {uid[:20]!a}", (_proposed(1, _V, uid),)) for uid in UIDS),
)
# fmt: on


def _contexts(talk: Talk) -> Iterator[Conversation]:
    for name, about, contexts in _CONTEXTS:
        rq = _with(talk, *contexts)
        verdict = of_associate(rq)
        yield _case(name, about, verdict.clause, verdict.expect, Open(), Send(message=rq), verdict.tail)


# -- everything else ---------------------------------------------------------------------------------------------


def _items(talk: Talk) -> Iterator[Conversation]:
    application = f"{_RQ}/application context"
    put, gone, again, set_to = Action.INSERT, Action.DELETE, Action.REPEAT, Action.SET
    # fmt: off
    cases = (
        # name, what is wrong, clause, expectation, edit
        ("another application context", "an application context that nobody knows", "PS3.8 7.1.1.2", "refused",
         Edit(f"{application}/UID", set_to, b"1.2.3.4.5.6")),
        ("no application context", "an A-ASSOCIATE-RQ without an application context", "PS3.8 9.3.2.1", "refused",
         Edit(application, gone)),
        ("two application contexts", "two application contexts", "PS3.8 9.3.2", "should-refuse",
         Edit(application, again)),
        ("no user information", "an A-ASSOCIATE-RQ without user information", "PS3.8 9.3.2.3", "answered",
         Edit(_USER, gone)),
        ("no implementation class", "an A-ASSOCIATE-RQ without an implementation class UID", "PS3.7 D.3.3.2",
         "answered", Edit(f"{_USER}/implementation class", gone)),
        ("no maximum length", "an A-ASSOCIATE-RQ without a Maximum Length", "PS3.8 D.1", "answered",
         Edit(f"{_USER}/maximum length", gone)),
        ("maximum length of three bytes", "a Maximum Length of three bytes", "PS3.8 D.1", "should-refuse",
         Edit(f"{_USER}/maximum length/number", set_to, b"\0\x40\0")),
        ("window of one byte", "an operations window of one byte", "PS3.7 D.3.3.3", "answered",
         Edit(f"{_USER}/maximum length", put, _item(0x53, b"\1"))),
        ("roles 7 and 9", "a role selection with 7 and 9", "PS3.7 D.3.3.4", "answered",
         Edit(f"{_USER}/maximum length", put, _item(0x54, pack(">H", len(_V)) + _V + b"\7\x09"))),
        ("role without roles", "a role selection that is too short", "PS3.7 D.3.3.4", "answered",
         Edit(f"{_USER}/maximum length", put, _item(0x54, pack(">H", len(_V)) + _V))),
        ("identity too long", "a user identity whose field is longer than its item", "PS3.7 D.3.3.7", "answered",
         Edit(f"{_USER}/maximum length", put, _item(0x58, b"\1\0\xff\xffA"))),
        *((f"protocol version {version}", f"protocol version {version}, without bit 0", "PS3.8 9.3.2", "refused",
           Edit(f"{_RQ}/protocol version", set_to, pack(">H", version))) for version in (0, 2, 0xFFFE)),
        *((f"{which} title {title!a}", f"the {which} AE title {title!a}", "PS3.8 9.3.2", "answered",
           Edit(f"{_RQ}/{which} title", set_to, title)) for which in ("called", "calling") for title in TITLES),
    )
    # fmt: on
    for name, about, clause, expect, edit in cases:
        yield _one(name, about, clause, expect, _edited(talk, edit))


def _sizes(talk: Talk) -> Iterator[Conversation]:
    """Bodies that are too short, and a Maximum Length in which no message fits."""
    for size in (0, 1, 10, 67):
        about = f"an A-ASSOCIATE-RQ of {size} bytes; at least 68"
        yield _one(f"body of {size} bytes", about, "PS3.8 9.3.2", "refused", pdu(1, talk.rq[6 : 6 + size]))
    about = "an A-ASSOCIATE-RQ without an item"
    yield _one("no items", about, "PS3.8 9.3.2", "refused", pdu(1, talk.rq[6:74]))
    for most in (*range(1, 9), 12, 13, 64):
        field = Edit(f"{_USER}/maximum length/number", Action.SET, pack(">L", most))
        asked = (Send(message=talk.ask()), ANY, CLOSE)
        about = f"Maximum Length {most}, then a request"
        rq = Send(message=_edited(talk, field))
        yield _case(f"maximum length: {most}", about, "PS3.8 D.1", "answered", Open(), rq, ACCEPTANCE, asked)


def _systematic(learned: Learned) -> Iterator[Conversation]:
    talk = Talk.of(learned)
    yield from _contexts(talk)
    yield from _items(talk)
    yield from _sizes(talk)


def _random(learned: Learned, random: Random) -> Conversation:
    """Contexts with random ids, names and numbers of syntaxes."""
    talk = Talk.of(learned)
    found = []
    for index in range(random.choice((1, 2, 3, 20, 127, 128, 129, 200))):
        number = 2 * index + 1 & 0xFF if random.random() < 0.95 else random.randrange(256)
        abstract = random.choice((_V, _V, _V, random.choice(UIDS), None))
        syntaxes = [random.choice((_I, _I, random.choice(UIDS))) for _ in range(random.choice((0, 1, 1, 1, 2, 5)))]
        found.append(_proposed(number, abstract, *syntaxes))
    rq = _with(talk, *found)
    if random.random() < 0.3:
        rq = request(replace(talk.offer, contexts=talk.offer.contexts * random.randrange(1, 20)))
    verdict = of_associate(rq)
    about = f"{len(found)} presentation contexts with random ids, names and syntaxes"
    return _case("random contexts", about, verdict.clause, verdict.expect, Open(), Send(message=rq), verdict.tail)


FAMILIES: Final = (
    Family(
        name="associations",
        about="requests for associations with one fault: contexts, ids, syntaxes, items, titles, versions",
        systematic=_systematic,
        random=_random,
    ),
)
