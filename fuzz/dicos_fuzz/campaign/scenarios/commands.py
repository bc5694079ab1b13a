"""Command sets that are wrong, and messages at the wrong time: DIMSE faults [fault kind F8].

Knows: elements of command sets [PS3.7 6.3.1, 9.3, 10.3, E.1]. Must not know: PDVs in pieces (`fragments`), data sets.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from struct import pack
from typing import Final

from dicos_proto.dimse.types import MESSAGES
from dicos_proto.registry import uids

from ...conversation import Await, Conversation, Send, Step
from ...grammar.building import p_data
from ..knowledge import Learned
from ..objects import uid
from .family import Family
from .scripts import ANY, CLOSE, FIN, RELEASED, Talk, script

__all__ = ["FAMILIES", "command_set", "number", "text"]

_ANSWER: Final = Await(kinds=(4, 7))
_REFUSAL: Final = Await(kinds=(3, 7))
NO_DATA, DATA = 0x0101, 0x0001
_ECHO, _STORE = 0x0030, 0x0001


def number(element: int, value: int) -> bytes:
    """Returns a US element of group 0000."""
    return pack("<HHLH", 0, element, 2, value)


def text(element: int, value: str | bytes) -> bytes:
    """Returns an element of group 0000 with a UID or a title, padded with NUL."""
    raw = value.encode("latin-1") if isinstance(value, str) else value
    raw += b"\0" * (len(raw) % 2)
    return pack("<HHL", 0, element, len(raw)) + raw


def command_set(*elements: bytes, length: int | None = None) -> bytes:
    """Returns a command set of these elements behind its group length. `length`: a wrong one."""
    joined = b"".join(elements)
    return pack("<HHLL", 0, 0, 4, len(joined) if length is None else length) + joined


def _echo(*, message_id: int = 1, data: int = NO_DATA, sop_class: str = uids.VERIFICATION) -> tuple[bytes, ...]:
    return text(0x0002, sop_class), number(0x0100, _ECHO), number(0x0110, message_id), number(0x0800, data)


def _case(name: str, about: str, clause: str, expect: str, *steps: Step | tuple[Step, ...]) -> Conversation:
    return script(f"commands/{name}", about, clause, expect, *steps)


def _one(talk: Talk, name: str, about: str, clause: str, expect: str, command: bytes) -> Conversation:
    """A command set on an association, alone."""
    sent = Send(message=p_data((talk.ask_context, True, True, command)))
    return _case(name, about, clause, expect, talk.begin(), sent, ANY, CLOSE)


# -- the elements of one command set -----------------------------------------------------------------------------


def _elements(talk: Talk) -> Iterator[Conversation]:
    good = _echo()
    uid_element, field, ident, kind = good
    c1, c2 = "PS3.7 6.3.1", "PS3.7 E.1"
    yield _one(talk, "empty", "a command set without a byte", c1, "refused", b"")
    yield _one(talk, "group length only", "a command set of a group length alone", c1, "refused", command_set())
    yield _one(talk, "group length missing", "no group length", c1, "answered", b"".join(good))
    size = len(b"".join(good))
    for wrong in (0, size - 2, size + 2, size * 2, 0x7FFFFFFF, 0xFFFFFFFF):
        about = f"a group length of {wrong} before {size} bytes"
        yield _one(talk, f"group length wrong: {wrong}", about, c1, "answered", command_set(*good, length=wrong))
    explicit = b"".join(
        one[:4] + vr + pack("<H", len(one) - 8) + one[8:]
        for one, vr in zip((command_set()[:12], *good), (b"UL", b"UI", b"US", b"US", b"US"), strict=True)
    )
    yield _one(talk, "explicit VR", "a command set in explicit VR little endian", c1, "refused", explicit)
    big = b"".join(one[:4][::-1] + one[4:8][::-1] + one[8:] for one in (command_set(*good)[:12], *good))
    yield _one(talk, "big endian", "a command set in big endian", c1, "refused", big)
    yield _one(talk, "two command sets", "two command sets in one message", c1, "refused", command_set(*good) * 2)
    yield _one(talk, "descending", "elements in descending order", c1, "answered", command_set(*reversed(good)))
    yield _one(talk, "element twice", "the message id twice, with other values", c1, "refused",
               command_set(uid_element, field, ident, number(0x0110, 2), kind))  # fmt: skip
    yield _one(talk, "another group", "an element of group 0008 in a command set", c1, "refused",
               command_set(*good, pack("<HHL", 8, 0x18, 2) + b"1\0"))  # fmt: skip
    for name, left in (("SOP class", good[1:]), ("command field", (uid_element, ident, kind)),
                       ("message id", (uid_element, field, kind)), ("data set type", good[:3])):  # fmt: skip
        expect = "answered" if name == "data set type" else "refused"
        yield _one(talk, f"no {name}", f"a C-ECHO-RQ without {name}", "PS3.7 9.3.5", expect, command_set(*left))
    for element, name in ((0x0100, "command field"), (0x0110, "message id"), (0x0800, "data set type")):
        for raw in (b"", b"\1", b"\1\0\0\0", b"\1\0" * 8):
            wrong_one = pack("<HHL", 0, element, len(raw)) + raw
            changed = tuple(wrong_one if one[2:4] == pack("<H", element) else one for one in good)
            about = f"{name} of {len(raw)} bytes"
            expect = "answered" if element == 0x0800 else "refused"
            yield _one(talk, f"{name} of a wrong size: {len(raw)}", about, c2, expect, command_set(*changed))
    for length in (0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF, 1000, 19):
        wrong_one = pack("<HHL", 0, 0x0002, length) + uids.VERIFICATION.encode() + b"\0"
        about = f"a SOP class of {length} bytes in a shorter command set"
        yield _one(talk, f"element too long: {length}", about, c1, "refused", command_set(wrong_one, *good[1:]))
    extra = (number(0x0901, 1), text(0x0902, b"text"), number(0x5010, 1))
    yield _one(talk, "unknown elements", "elements that a C-ECHO-RQ does not have", "PS3.7 9.3.5", "answered",
               command_set(*good, *extra))  # fmt: skip
    many = b"".join(pack("<HHL", 0, 0x5000 + index, 0) for index in range(2000))
    yield _one(talk, "many elements", "2000 empty elements", "limit: length of a command set", "answered", command_set(*good, many))


# -- which command -----------------------------------------------------------------------------------------------


def _which(talk: Talk) -> Iterator[Conversation]:
    good = _echo()
    for value in (0x0000, 0x7777, 0x7FFF, 0x0031, 0xFFFF):
        command = command_set(good[0], number(0x0100, value), *good[2:])
        about = f"command field {value:04X}, which is no message"
        yield _one(talk, f"unknown command: {value:04X}", about, "PS3.7 E.1, C.5", "failed", command)
    answer = number(0x0120, 1), number(0x0800, NO_DATA), number(0x0900, 0)
    for value in (0x8030, 0x8001, 0x8020, 0x8010, 0x8021, 0x8110):
        command = command_set(good[0], number(0x0100, value), *answer)
        about = f"a {MESSAGES[value]} that nobody asked for"
        yield _one(talk, f"response to nobody: {MESSAGES[value]}", about, "PS3.7 9.1", "refused", command)
    yield _one(talk, "another SOP class", "a C-ECHO-RQ that names another SOP class than its context", "PS3.7 9.3.5",
               "answered", command_set(*_echo(sop_class=uids.CT_IMAGE_STORAGE)))  # fmt: skip
    for bad in ("../../x", "1.2.3.", "a.b", "1" * 65, "1.2.840.10008.1.1 "):
        about = f"a C-ECHO-RQ whose SOP class is {bad[:20]!a}"
        yield _one(talk, f"invalid SOP class: {bad[:20]}", about, "PS3.5 9.1", "answered", command_set(*_echo(sop_class=bad)))
    yield from _normalized(talk)
    yield from _not_of_the_context(talk)
    yield _one(talk, "message id 0", "message id 0", "PS3.7 9.1", "answered", command_set(*_echo(message_id=0)))


def _normalized(talk: Talk) -> Iterator[Conversation]:
    """DIMSE-N requests where no such service is."""
    instance, sop_class = uid("normalized"), uids.VERIFICATION
    requested = text(0x0003, sop_class)
    for value, ident, extra in (
        (0x0110, 0x1001, b""), (0x0150, 0x1001, b""), (0x0140, 0x1000, b""),
        (0x0130, 0x1001, number(0x1008, 1)), (0x0100, 0x1000, number(0x1002, 1)),
    ):  # fmt: skip
        who = requested if ident == 0x1001 else text(0x0002, sop_class)
        command = command_set(
            who, number(0x0100, value), number(0x0110, 1), number(0x0800, NO_DATA), text(ident, instance), extra
        )
        name = MESSAGES[value]
        yield _one(talk, f"no such service: {name}", f"a {name} of Verification", "PS3.7 10.1", "failed", command)


def _not_of_the_context(talk: Talk) -> Iterator[Conversation]:
    """Requests of another service than their context has."""
    if not talk.echoes:
        return
    if talk.storage is not None:
        _, command, data = talk.parts(1, "wrong context")
        wire = p_data((talk.ask_context, True, True, command)) + b"".join(
            p_data((talk.ask_context, False, at + 4000 >= len(data), data[at : at + 4000])) for at in range(0, len(data), 4000)
        )
        yield _case("store on Verification", "a C-STORE-RQ on the context of Verification", "PS3.8 9.3.5.1", "failed",
                    talk.begin(), Send(message=wire), ANY, CLOSE)  # fmt: skip
    find = command_set(
        text(0x0002, uids.VERIFICATION), number(0x0100, 0x0020), number(0x0110, 1), number(0x0700, 0), number(0x0800, DATA)
    )
    wire = p_data((talk.ask_context, True, True, find)) + p_data((talk.ask_context, False, True, b"\x08\0\x52\0\0\0\0\0"))
    yield _case("find on Verification", "a C-FIND-RQ on the context of Verification", "PS3.7 9.1.2", "failed",
                talk.begin(), Send(message=wire), ANY, CLOSE)  # fmt: skip


# -- data sets that are announced and do not come, and the reverse ----------------------------------------------


def _announced(talk: Talk) -> Iterator[Conversation]:
    clause = "PS3.7 E.1 (0000,0800)"
    context = talk.ask_context
    lies = p_data((context, True, True, command_set(*_echo(data=DATA))))
    yield _case("data set announced, none sent", "a C-ECHO-RQ that announces a data set, which does not come", clause,
                "closes", talk.begin(), Send(message=lies), FIN, _REFUSAL, Await(kinds=(99,)))  # fmt: skip
    with_data = lies + p_data((context, False, True, b"\x08\0\x52\0\0\0\0\0"))
    yield _case("data set with an echo", "a C-ECHO-RQ with a data set", clause, "answered",
                talk.begin(), Send(message=with_data), ANY, CLOSE)  # fmt: skip
    then_echo = lies + talk.ask(2)
    yield _case("data set announced, a request instead", "a C-ECHO-RQ that announces a data set, then another request",
                "PS3.8 annex E", "answered", talk.begin(), Send(message=then_echo), ANY, CLOSE)  # fmt: skip
    surplus = p_data((context, True, True, command_set(*_echo()))) + p_data((context, False, True, b"\x08\0\x52\0\0\0\0\0"))
    yield _case("data set not announced", "a C-ECHO-RQ, and a data set that it does not announce", clause, "refused",
                talk.begin(), Send(message=surplus), _REFUSAL, CLOSE)  # fmt: skip
    if talk.storage is not None:
        where, accepted = talk.storage
        instance = uid("object", "announced")
        elements = (
            text(0x0002, accepted.abstract_syntax), number(0x0100, _STORE), number(0x0110, 1), number(0x0700, 0),
            number(0x0800, NO_DATA), text(0x1000, instance),
        )  # fmt: skip
        bare = p_data((where, True, True, command_set(*elements)))
        yield _case("store without data set", "a C-STORE-RQ that says that no data set follows", clause, "failed",
                    talk.begin(), Send(message=bare), ANY, CLOSE)  # fmt: skip
        data = p_data((where, False, True, talk.parts(1, "announced")[2][:2000]))
        yield _case("store with data set not announced", "a C-STORE-RQ that denies the data set that follows", clause,
                    "failed", talk.begin(), Send(message=bare + data), ANY, CLOSE)  # fmt: skip
        yield from _store_elements(talk, where, elements)


def _store_elements(talk: Talk, where: int, good: tuple[bytes, ...]) -> Iterator[Conversation]:
    """C-STORE-RQs with a wrong or missing element, and a good data set."""
    data = talk.parts(1, "announced")[2]
    rest = b"".join(p_data((where, False, at + 4000 >= len(data), data[at : at + 4000])) for at in range(0, len(data), 4000))
    sop_class, field, ident, priority, _, instance = good
    kind = number(0x0800, DATA)
    cases = [
        ("no instance", "no Affected SOP Instance UID", "failed", (sop_class, field, ident, priority, kind)),
        ("empty instance", "an empty Affected SOP Instance UID", "failed", (sop_class, field, ident, priority, kind, text(0x1000, ""))),
        ("no priority", "no Priority", "answered", (sop_class, field, ident, kind, instance)),
        ("priority 5", "Priority 5", "answered", (sop_class, field, ident, number(0x0700, 5), kind, instance)),
        ("another SOP class in a store", "a SOP class that is not that of the context", "answered",
         (text(0x0002, uids.MR_IMAGE_STORAGE), field, ident, priority, kind, instance)),
        ("move originator of 200 characters", "a Move Originator AE Title of 200 characters", "answered",
         (*good[:4], kind, instance, text(0x1030, "A" * 200), number(0x1031, 1))),
    ]  # fmt: skip
    for name, about, expect, elements in cases:
        wire = p_data((where, True, True, command_set(*elements))) + rest
        yield _case(name, f"a C-STORE-RQ with {about}", "PS3.7 9.3.1", expect, talk.begin(), Send(message=wire), ANY, CLOSE)


# -- cancel, windows ---------------------------------------------------------------------------------------------


def _cancels(talk: Talk) -> Iterator[Conversation]:
    clause = "PS3.7 9.3.2.3"
    if talk.echoes:
        context, command = talk.ask_context, talk.command()
        raw = command_set(number(0x0100, 0x0FFF), number(0x0120, 1), number(0x0800, NO_DATA))
        between = (
            p_data((context, True, False, command[:20])) + p_data((context, True, True, raw))
            + p_data((context, True, True, command[20:]))
        )  # fmt: skip
        yield _case("cancel between command fragments", "a C-CANCEL-RQ between the fragments of a command set",
                    "PS3.8 annex E", "refused", talk.begin(), Send(message=between), ANY, CLOSE)  # fmt: skip
        nothing = talk.cancel(77, context)
        yield _case("cancel on Verification", "a C-CANCEL-RQ on a context without such a service, then a request", clause,
                    "answered", talk.begin(), Send(message=nothing), Send(message=talk.ask()), ANY, CLOSE)  # fmt: skip
        without = command_set(number(0x0100, 0x0FFF), number(0x0800, NO_DATA))
        yield _one(talk, "cancel without an id", "a C-CANCEL-RQ without a message id", clause, "any", without)
    if talk.finding is not None:
        find = talk.find(1)
        for many in (1, 50):
            flood = talk.cancel(77) * many
            yield _case(f"cancels of nothing: {many}", f"{many} C-CANCEL-RQs of nothing, then a query", clause, "answered",
                        talk.begin(), Send(message=flood), Send(message=find), ANY, CLOSE)  # fmt: skip
        yield _case("cancel behind a query", "a C-CANCEL-RQ in one write with its C-FIND-RQ", clause, "served",
                    talk.begin(), Send(message=find + talk.cancel(1)), _ANSWER, RELEASED)  # fmt: skip
        yield _case("cancel before a query", "a C-CANCEL-RQ of an operation that comes later", clause, "answered",
                    talk.begin(), Send(message=talk.cancel(1) + find), ANY, CLOSE)  # fmt: skip
        yield _case("cancel after a query", "a C-CANCEL-RQ of a query that is over", clause, "served",
                    talk.begin(), Send(message=find), _ANSWER, Send(message=talk.cancel(1)), Send(message=talk.find(2)),
                    _ANSWER, RELEASED)  # fmt: skip
        yield _case("cancel of another id", "a C-CANCEL-RQ of another operation than the one that runs", clause, "answered",
                    talk.begin(), Send(message=find + talk.cancel(2)), ANY, CLOSE)  # fmt: skip
        yield _case("cancel twice", "two C-CANCEL-RQs of one query", clause, "served",
                    talk.begin(), Send(message=find + talk.cancel(1) * 2), _ANSWER, RELEASED)  # fmt: skip
    for name, level in (("no level", ""), ("unknown level", "BOGUS"), ("image level", "IMAGE")):
        if talk.finding is not None:
            yield _case(f"query with {name}", f"a C-FIND-RQ with {name}", "PS3.4 C.4.1", "answered",
                        talk.begin(), Send(message=talk.find(1, level)), _ANSWER, RELEASED)  # fmt: skip


def _windows(talk: Talk) -> Iterator[Conversation]:
    """More operations than were negotiated: a peer may serve them one by one, answer 0210, or abort."""
    clause = "PS3.7 D.3.3.3"
    for many in (2, 5, 20):
        asked = b"".join(talk.ask(index) for index in range(1, many + 1))
        about = f"{many} requests at once without a window"
        yield _case(f"no window: {many} at once", about, clause, "answered", talk.begin(), Send(message=asked), ANY, CLOSE)


def _systematic(learned: Learned) -> Iterator[Conversation]:
    talk = Talk.of(learned)
    if talk.echoes:
        yield from _announced(talk)
        yield from _which(talk)
        yield from _elements(talk)
    yield from _cancels(talk)
    yield from _windows(talk)


def _random(learned: Learned, random: Random) -> Conversation:
    """A C-ECHO-RQ or C-STORE-RQ whose elements are dropped, doubled, exchanged or have values of other sizes."""
    talk = Talk.of(learned)
    elements = [*_echo(message_id=random.choice((0, 1, 2, 0xFFFF))), number(0x0700, 1), text(0x1000, uid("random"))]
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(elements))
        match random.randrange(5):
            case 0:
                del elements[at]
            case 1:
                elements.insert(at, random.choice(elements))
            case 2:
                random.shuffle(elements)
            case 3:
                raw = random.randbytes(random.choice((0, 1, 2, 3, 4, 64, 300)))
                elements[at] = elements[at][:4] + pack("<L", random.choice((len(raw), len(raw) + 1, 0xFFFF))) + raw
            case _:
                elements[at] = number(random.choice((0x0100, 0x0110, 0x0120, 0x0800, 0x0900)), random.getrandbits(16))
        if not elements:
            break
    about = "a command set with random elements"
    wire = p_data((talk.ask_context, True, True, command_set(*elements)))
    return _case("random elements", about, "PS3.7 6.3.1", "any", talk.begin(), Send(message=wire), FIN, ANY, CLOSE)


FAMILIES: Final = (
    Family(
        name="commands",
        about="wrong command sets, unknown and misplaced messages, cancels, requests beyond the window",
        systematic=_systematic,
        random=_random,
    ),
)
