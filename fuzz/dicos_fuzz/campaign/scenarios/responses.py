"""Hostile responses to a peer that calls: wrong ids, types, statuses and contexts, endless pending, objects as paths.

Knows: responses [PS3.7 9.1, 9.3]. Must not know: associations (`answers`).

The peer's requests are not known before it calls, so a response is the right one with edits, of which those apply whose
place exists. A peer must not go on as if it had been answered; it may wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

from dicos_proto.dimse.types import MESSAGES
from dicos_proto.registry import uids
from dicos_proto.registry.service_classes import Service, service_of

from ...conversation import Answer, Await, Conversation, Open, Send, Side, Step
from ...grammar.building import p_data
from ...tree import Action, Edit
from ..knowledge import Learned
from ..objects import composite, uid
from .commands import command_set, number, text
from .contents import PATHS, harmless
from .family import Family
from .scripts import CLOSE, RELEASE_RP, script

__all__ = ["FAMILIES"]

_BEGIN: Final = (Open(), Await(kinds=(1,)), Answer(), Await(kinds=(4, 5)))
_WHOLE: Final = Await(kinds=(5,), seconds=0.05)
"""A little longer, for the data set of a request: what is sent next is not an `Answer`, which waits for it."""
_GOES_ON: Final = Await(kinds=(4, 5, 7))
_SET, _GONE = Action.SET, Action.DELETE
_RESPONSES: Final = tuple(name for field, name in MESSAGES.items() if field & 0x8000)


def _on_all(element: int, action: Action, value: bytes | int | None = None, part: str = "/value") -> tuple[Edit, ...]:
    """The edit of an element in whichever response it is."""
    return tuple(Edit(f"P-DATA-TF/PDV/{name}/(0000,{element:04X}){part}", action, value) for name in _RESPONSES)


def _case(name: str, about: str, clause: str, expect: str, *steps: Step | tuple[Step, ...]) -> Conversation:
    return script(f"responses/{name}", about, clause, expect, _BEGIN, *steps, CLOSE, side=Side.PROVIDER)


def _edited(name: str, about: str, clause: str, expect: str, *edits: Edit) -> Conversation:
    return _case(name, about, clause, expect, Answer(edits=edits), _GOES_ON)


def _two(value: int) -> bytes:
    return value.to_bytes(2, "little")


def _padded(name: str) -> bytes:
    return name.encode("latin-1") + b"\0" * (len(name) % 2)


_WAITS: Final = "refused-or-waits"
_ANSWERS: Final = "PS3.7 9.1"
_ESCAPES: Final = text(0x0902, b"\x1b[31m\x07%s%n" + b"A" * 200)


# fmt: off
_ELEMENTS: Final[tuple[tuple[str, str, str, str, tuple[Edit, ...]], ...]] = (
    # name, what is wrong, clause, expectation, edits
    *((f"wrong id: {value}", f"a response to message {value}", _ANSWERS, _WAITS,
       _on_all(0x0120, _SET, _two(value))) for value in (0, 0x7FFF, 0xFFFF)),
    *((f"wrong type: {value:04X}", f"a response with command field {value:04X}", _ANSWERS, "any",
       _on_all(0x0100, _SET, _two(value))) for value in (0x8001, 0x8020, 0x8110, 0x0030, 0x7777, 0xFFFF)),
    ("no status", "a response without a status", "PS3.7 9.3", _WAITS, _on_all(0x0900, _GONE, part="")),
    ("no command field", "a response without a command field", "PS3.7 E.1", _WAITS, _on_all(0x0100, _GONE, part="")),
    ("no id", "a response without the id of its request", _ANSWERS, _WAITS, _on_all(0x0120, _GONE, part="")),
    *((f"status: {value:04X}", f"a response with status {value:04X}", "PS3.7 annex C", "any",
       _on_all(0x0900, _SET, _two(value)))
      for value in (0xFF00, 0xFF01, 0xFE00, 0x0001, 0xA700, 0xB000, 0xC123, 0x0122, 0x1234, 0xFFFF)),
    ("data set announced", "a response that announces a data set, which does not come", "PS3.7 E.1", "any",
     _on_all(0x0800, _SET, _two(1))),
    *((f"group length: {value}", f"a response with group length {value}", "PS3.7 6.3.1", "any",
       _on_all(0x0000, Action.LENGTH, value)) for value in (0, 2, 0xFFFFFFFF)),
    *((f"path in a response: {name!a}", f"UIDs that are {name!a} in a response", "PS3.5 9.1", "any",
       (*_on_all(0x1000, _SET, _padded(name)), *_on_all(0x0002, _SET, _padded(name)))) for name in PATHS[:8]),
    ("error comment", "an Error Comment with escapes, of 211 characters", "PS3.7 E.1", "any",
     _on_all(0x0900, Action.INSERT, _ESCAPES, part="")),
)
_PDVS: Final = (
    # name, what is wrong, clause, expectation, edit
    *((f"wrong context: {value}", f"a response on presentation context {value}", "PS3.8 9.3.5.1", _WAITS,
       Edit("P-DATA-TF/PDV/context id", _SET, bytes((value,)))) for value in (0, 2, 77, 255)),
    ("marked as data", "a response whose fragment says that it is a data set", "PS3.8 annex E", _WAITS,
     Edit("P-DATA-TF/PDV/control header", _SET, b"\2")),
    ("without end", "a response whose fragment is not the last", "PS3.8 annex E", _WAITS,
     Edit("P-DATA-TF/PDV/control header", _SET, b"\1")),
    *((f"PDV length: {value}", f"a response in a PDV that says {value} bytes", "PS3.8 9.3.5.1", _WAITS,
       Edit("P-DATA-TF/PDV/length", Action.LENGTH, value)) for value in (0, 1, 3, 100, 0x7FFFFFFF, 0xFFFFFFFF)),
    *((f"PDU length: {value}", f"a response in a P-DATA-TF that says {value} bytes", "PS3.8 9.3.5", "any",
       Edit("P-DATA-TF/length", Action.LENGTH, value)) for value in (0, 2, 0x7FFFFFFF, 0xFFFFFFFF)),
    ("twice", "a response twice", _ANSWERS, "any", Edit("P-DATA-TF", Action.REPEAT)),
)
# fmt: on


def _wrong(learned: Learned) -> Iterator[Conversation]:
    for name, about, clause, expect, edits in _ELEMENTS:
        yield _edited(name, about, clause, expect, *edits)
    for name, about, clause, expect, edit in _PDVS:
        yield _edited(name, about, clause, expect, edit)
    # fmt: off
    nobody = command_set(
        text(0x0002, uids.VERIFICATION), number(0x0100, 0x8030), number(0x0120, 4711), number(0x0800, 0x0101),
        number(0x0900, 0),
    )
    # fmt: on
    unasked = Send(message=p_data((1, True, True, nobody)))
    about = "a C-ECHO-RSP to a message that nobody sent"
    yield _case("of another message", about, _ANSWERS, _WAITS, _WHOLE, unasked, _GOES_ON)
    pending = Answer(edits=_on_all(0x0900, _SET, _two(0xFF00)))
    yield _case("pending", "one pending response, and no more", _ANSWERS, "any", pending, Await(kinds=(7,)))
    about = "an A-RELEASE-RP in place of a response"
    released = (Send(message=RELEASE_RP), Await(kinds=(7,)))
    yield _case("release in place of it", about, "PS3.8 table 9-10, AA-8", "table", released)
    yield from _requests(learned)


def _requests(learned: Learned) -> Iterator[Conversation]:
    """Requests of this side in place of a response: without the role for it, or objects of a hostile retrieval."""
    echo = command_set(
        text(0x0002, uids.VERIFICATION), number(0x0100, 0x0030), number(0x0110, 1), number(0x0800, 0x0101)
    )
    sent = Send(message=p_data((1, True, True, echo)))
    yield _case(
        "a request in place of it",
        "a C-ECHO-RQ of the acceptor, which has no such role",
        "PS3.7 D.3.3.4",
        "any",
        sent,
        _GOES_ON,
    )
    context, sop_class, syntax = _storage(learned)
    instances = [(name, name) for name in PATHS] + [("a good object", uid("object", "retrieved"))]
    for label, instance in instances:
        raw = instance.encode("latin-1")
        data = composite(sop_class, instance, syntax)
        store = command_set(
            text(0x0002, sop_class), number(0x0100, 0x0001), number(0x0110, 1), number(0x0700, 0),
            number(0x0800, 1), text(0x1000, raw),
        )  # fmt: skip
        wire = p_data((context, True, True, store)) + p_data((context, False, True, data))
        expect = "any" if label == "a good object" or harmless(label) else _WAITS
        about = f"a sub-operation of a retrieval whose SOP Instance UID is {label!a}"
        yield _case(
            f"retrieved path: {label!a}",
            about,
            "PS3.5 9.1, PS3.4 B.2.3",
            expect,
            _WHOLE,
            Send(message=wire),
            Await(kinds=(4, 7)),
        )


def _storage(learned: Learned) -> tuple[int, str, str]:
    """A storage context that the peer proposes, or one that is likely."""
    for ident, abstract, syntaxes in learned.proposes:
        if service_of(abstract) is Service.STORAGE:
            return ident, abstract, syntaxes[0] if syntaxes else uids.IMPLICIT_VR_LE
    return 3, uids.CT_IMAGE_STORAGE, uids.IMPLICIT_VR_LE


def _endless(learned: Learned) -> Iterator[Conversation]:
    """Many pending responses: the peer has to give up some time, and must stay within its memory."""
    pending = command_set(
        text(0x0002, uids.STUDY_ROOT_FIND),
        number(0x0100, 0x8020),
        number(0x0120, 1),
        number(0x0800, 1),
        number(0x0900, 0xFF00),
    )
    match = p_data((1, True, True, pending)) + p_data((1, False, True, b"\x08\0\x52\0\x06\0\0\0STUDY "))
    # fmt: off
    rising = b"".join(
        p_data((1, True, True, command_set(
            text(0x0002, uids.STUDY_ROOT_GET), number(0x0100, 0x8010), number(0x0120, 1), number(0x0800, 0x0101),
            number(0x0900, 0xFF00), number(0x1020, index), number(0x1021, index), number(0x1022, 0), number(0x1023, 0),
        ))) for index in range(1, 500)
    )
    cases = (
        ("pending: 1,000", "1,000 pending responses in a row", "limit: time of an operation", match * 1_000),
        ("pending: 20,000", "20,000 pending responses in a row", "limit: time of an operation", match * 20_000),
        ("counters that rise", "500 pending responses whose counters rise", "PS3.7 9.1.3", rising),
        ("without end", "a response of 20,000 fragments without an end", "limit: command fragments",
         p_data((1, True, False, bytes(8))) * 20_000),
    )
    # fmt: on
    for name, about, clause, wire in cases:
        steps = (*_BEGIN, Send(message=wire), Await(kinds=(7,)), CLOSE)
        yield script(f"endless-responses/{name}", about, clause, "any", steps, side=Side.PROVIDER)


def _random(learned: Learned, random: Random) -> Conversation:
    elements = (0x0002, 0x0100, 0x0120, 0x0800, 0x0900, 0x1000)
    edits: list[Edit] = []
    for _ in range(random.randrange(1, 4)):
        element = random.choice(elements)
        match random.randrange(4):
            case 0:
                edits += _on_all(element, Action.DELETE, part="")
            case 1:
                edits += _on_all(element, Action.REPEAT, part="")
            case 2:
                edits += _on_all(element, Action.SET, random.randbytes(random.choice((0, 1, 2, 2, 2, 4, 64))))
            case _:
                edits += _on_all(element, Action.LENGTH, random.choice((0, 1, 2, 3, 0xFFFF, 0xFFFFFFFF)), "/length")
    return _edited("random response", "a response with random elements", "PS3.7 6.3.1", "any", *edits)


def _random_endless(learned: Learned, random: Random) -> Conversation:
    return random.choice([*_endless(learned)])


FAMILIES: Final = (
    Family(
        name="responses",
        about="a peer that calls gets responses that do not fit, requests, and objects whose names are paths",
        systematic=_wrong,
        random=_random,
        side=Side.PROVIDER,
    ),
    Family(
        name="endless-responses",
        about="a peer that calls gets pending responses and fragments without end",
        systematic=_endless,
        random=_random_endless,
        side=Side.PROVIDER,
        resource=True,
    ),
)
