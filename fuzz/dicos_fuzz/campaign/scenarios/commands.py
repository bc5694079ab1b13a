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
from ..knowledge import Accepted, Learned
from ..objects import query, uid
from .family import Family
from .scripts import (
    ANSWER,
    ANY,
    CLOSE,
    FIN,
    RELEASED,
    Talk,
    script,
)

__all__ = ["FAMILIES", "command_set", "number", "text"]

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


_LAYOUT: Final = "PS3.7 6.3.1"


def _elements(talk: Talk) -> Iterator[Conversation]:
    good = _echo()
    for name, about, expect, command in (*_layouts(good), *_changed(good)):
        yield _one(talk, name, about, _LAYOUT, expect, command)
    names = ("SOP class", "command field", "message id", "data set type")
    for index, name in enumerate(names):
        expect = "answered" if name == "data set type" else "refused"
        command = command_set(*good[:index], *good[index + 1 :])
        yield _one(talk, f"no {name}", f"a C-ECHO-RQ without {name}", "PS3.7 9.3.5", expect, command)
    for index, name in enumerate(names[1:], 1):
        for raw in (b"", b"\1", b"\1\0\0\0", b"\1\0" * 8):
            wrong = good[index][:4] + pack("<L", len(raw)) + raw
            command = command_set(*good[:index], wrong, *good[index + 1 :])
            expect = "refused" if len(raw) < 2 else "should-refuse"
            if name == "data set type":
                expect = "answered"
            about = f"{name} of {len(raw)} bytes"
            yield _one(talk, f"{name} of a wrong size: {len(raw)}", about, "PS3.7 E.1", expect, command)


def _layouts(good: tuple[bytes, ...]) -> Iterator[tuple[str, str, str, bytes]]:
    """Right elements in a wrong layout: name, what is wrong, expectation, command set."""
    whole, size = command_set(*good), len(b"".join(good))
    parts = (whole[:12], *good)
    explicit = b"".join(
        one[:4] + vr + pack("<H", len(one) - 8) + one[8:]
        for one, vr in zip(parts, (b"UL", b"UI", b"US", b"US", b"US"), strict=True)
    )
    big = b"".join(one[:4][::-1] + one[4:8][::-1] + one[8:] for one in parts)
    yield "empty", "a command set without a byte", "refused", b""
    yield "group length only", "a command set of a group length alone", "refused", command_set()
    yield "group length missing", "a command set without group length", "answered", b"".join(good)
    for wrong in (0, size - 2, size + 2, size * 2, 0x7FFFFFFF, 0xFFFFFFFF):
        about = f"a group length of {wrong} before {size} bytes"
        yield f"group length wrong: {wrong}", about, "answered", command_set(*good, length=wrong)
    yield "explicit VR", "a command set in explicit VR little endian", "refused", explicit
    yield "big endian", "a command set in big endian", "refused", big
    yield "two command sets", "two command sets in one message", "refused", whole * 2
    yield "descending", "elements in descending order", "answered", command_set(*reversed(good))


def _changed(good: tuple[bytes, ...]) -> Iterator[tuple[str, str, str, bytes]]:
    """Wrong elements in a right layout."""
    other = command_set(*good[:3], number(0x0110, 2), *good[3:])
    yield "element twice", "the message id twice, with other values", "refused", other
    foreign = command_set(*good, pack("<HHL", 8, 0x18, 2) + b"1\0")
    yield "another group", "an element of group 0008 in a command set", "refused", foreign
    for length in (0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF, 1000, 19):
        long = pack("<HHL", 0, 0x0002, length) + uids.VERIFICATION.encode() + b"\0"
        about = f"a SOP class of {length} bytes in a shorter command set"
        yield f"element too long: {length}", about, "refused", command_set(long, *good[1:])
    extra = (number(0x0901, 1), text(0x0902, b"text"), number(0x5010, 1))
    yield "unknown elements", "elements that a C-ECHO-RQ does not have", "answered", command_set(*good, *extra)
    many = b"".join(pack("<HHL", 0, 0x5000 + index, 0) for index in range(2000))
    yield "many elements", "2,000 empty elements", "answered", command_set(*good, many)


# -- which command -----------------------------------------------------------------------------------------------


def _which(talk: Talk) -> Iterator[Conversation]:
    good = _echo()
    for value in (0x0000, 0x7777, 0x7FFF, 0x0031, 0xFFFF):
        command = command_set(good[0], number(0x0100, value), *good[2:])
        about = f"command field {value:04X}, which is not a message"
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
        yield _one(
            talk, f"invalid SOP class: {bad[:20]}", about, "PS3.5 9.1", "answered", command_set(*_echo(sop_class=bad))
        )
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
            p_data((talk.ask_context, False, at + 4000 >= len(data), data[at : at + 4000]))
            for at in range(0, len(data), 4000)
        )
        yield _case("store on Verification", "a C-STORE-RQ on the context of Verification", "PS3.8 9.3.5.1", "failed",
                    talk.begin(), Send(message=wire), ANY, CLOSE)  # fmt: skip
    find = command_set(
        text(0x0002, uids.VERIFICATION),
        number(0x0100, 0x0020),
        number(0x0110, 1),
        number(0x0700, 0),
        number(0x0800, DATA),
    )
    wire = p_data((talk.ask_context, True, True, find)) + p_data(
        (talk.ask_context, False, True, b"\x08\0\x52\0\0\0\0\0")
    )
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
    surplus = p_data((context, True, True, command_set(*_echo()))) + p_data(
        (context, False, True, b"\x08\0\x52\0\0\0\0\0")
    )
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
    rest = b"".join(
        p_data((where, False, at + 4000 >= len(data), data[at : at + 4000])) for at in range(0, len(data), 4000)
    )
    sop_class, field, ident, priority, _, instance = good
    kind = number(0x0800, DATA)
    # fmt: off
    cases = (
        ("no instance", "a C-STORE-RQ without Affected SOP Instance UID", "failed",
         (sop_class, field, ident, priority, kind)),
        ("empty instance", "an empty Affected SOP Instance UID", "failed",
         (sop_class, field, ident, priority, kind, text(0x1000, ""))),
        ("no priority", "a C-STORE-RQ without Priority", "answered", (sop_class, field, ident, kind, instance)),
        ("priority 5", "Priority 5", "answered", (sop_class, field, ident, number(0x0700, 5), kind, instance)),
        ("another SOP class in a store", "a SOP class that is not that of the context", "answered",
         (text(0x0002, uids.MR_IMAGE_STORAGE), field, ident, priority, kind, instance)),
        ("long move originator", "a Move Originator AE Title of 200 characters", "answered",
         (*good[:4], kind, instance, text(0x1030, "A" * 200), number(0x1031, 1))),
    )
    # fmt: on
    for name, about, expect, elements in cases:
        wire = p_data((where, True, True, command_set(*elements))) + rest
        about = f"a C-STORE-RQ with {about}"
        yield _case(name, about, "PS3.7 9.3.1", expect, talk.begin(), Send(message=wire), ANY, CLOSE)


# -- cancel, windows ---------------------------------------------------------------------------------------------

_CANCEL: Final = "PS3.7 9.3.2.3"


def _cancels(talk: Talk) -> Iterator[Conversation]:
    if talk.echoes:
        context, command = talk.ask_context, talk.command()
        raw = command_set(number(0x0100, 0x0FFF), number(0x0120, 1), number(0x0800, NO_DATA))
        cut = ((context, True, False, command[:20]), (context, True, True, raw), (context, True, True, command[20:]))
        between = Send(message=b"".join(map(p_data, cut)))
        about = "a C-CANCEL-RQ between the fragments of a command set"
        name = "cancel between command fragments"
        yield _case(name, about, "PS3.8 annex E", "refused", talk.begin(), between, ANY, CLOSE)
        wire = talk.cancel(77, context) + talk.ask()
        about = "a C-CANCEL-RQ on a context without such a service, then a request"
        yield _case("cancel on Verification", about, _CANCEL, "answered", talk.begin(), Send(message=wire), ANY, CLOSE)
        without = command_set(number(0x0100, 0x0FFF), number(0x0800, NO_DATA))
        yield _one(talk, "cancel without an id", "a C-CANCEL-RQ without a message id", _CANCEL, "any", without)
    if talk.finding is not None:
        yield from _cancels_of_queries(talk, talk.find(1))


def _cancels_of_queries(talk: Talk, find: bytes) -> Iterator[Conversation]:
    # fmt: off
    for name, about, wire in (
        ("cancel behind a query", "a C-CANCEL-RQ in one write with its C-FIND-RQ", find + talk.cancel(1)),
        ("cancel twice", "two C-CANCEL-RQs of one query", find + talk.cancel(1) * 2),
    ):
        yield _case(name, about, _CANCEL, "served", talk.begin(), Send(message=wire), ANSWER, RELEASED)
    for name, about, wire in (
        ("cancel before a query", "a C-CANCEL-RQ of an operation that comes later", talk.cancel(1) + find),
        ("cancel of another id", "a C-CANCEL-RQ of another operation than the one that runs", find + talk.cancel(2)),
        ("cancels of nothing: 1", "a C-CANCEL-RQ that names no operation, then a query", talk.cancel(77) + find),
        ("cancels of nothing: 50", "50 C-CANCEL-RQs that name no operation, then a query", talk.cancel(77) * 50 + find),
        ("query with no level", "a C-FIND-RQ with no level", talk.find(1, "")),
        ("query with an unknown level", "a C-FIND-RQ with an unknown level", talk.find(1, "BOGUS")),
        ("query with a level without keys", "a C-FIND-RQ of images without their keys", talk.find(1, "IMAGE")),
    ):
        yield _case(name, about, _CANCEL, "answered", talk.begin(), Send(message=wire), ANY, CLOSE)
    # fmt: on
    late = (Send(message=find), ANSWER, Send(message=talk.cancel(1)), Send(message=talk.find(2)), ANSWER)
    about = "a C-CANCEL-RQ of a query that is over"
    yield _case("cancel after a query", about, _CANCEL, "served", talk.begin(), late, RELEASED)


def _operations(talk: Talk) -> Iterator[Conversation]:
    """C-FIND, C-GET and C-MOVE without what they need."""
    # fmt: off
    found = (
        (0x0020, talk.finding, ()), (0x0010, talk.getting, ()), (0x0021, talk.moving, (text(0x0600, "NOWHERE "),)),
    )
    # fmt: on
    for field, context, more in found:
        if context is None:
            continue
        (where, accepted), name = context, MESSAGES[field]
        head = (text(0x0002, accepted.abstract_syntax), number(0x0100, field), number(0x0110, 1))
        alone = p_data((where, True, True, command_set(*head, *more, number(0x0700, 0), number(0x0800, NO_DATA))))
        about = f"a {name} that says that no identifier follows"
        begin = talk.begin()
        yield _case(f"no identifier: {name}", about, "PS3.7 9.3", "refused", begin, Send(message=alone), ANY, CLOSE)
        full = p_data((where, True, True, command_set(*head, *more, number(0x0700, 0), number(0x0800, DATA))))
        wire = full + p_data((where, False, True, b""))
        about = f"a {name} with an empty identifier"
        yield _case(f"empty identifier: {name}", about, "PS3.4 C.4", "answered", begin, Send(message=wire), ANY, CLOSE)
        bare = p_data((where, True, True, command_set(*head, *more, number(0x0800, DATA))))
        wire = bare + p_data((where, False, True, query(accepted.transfer_syntax)))
        about = f"a {name} without Priority"
        yield _case(f"no priority: {name}", about, "PS3.7 9.3", "answered", begin, Send(message=wire), ANY, CLOSE)
    if talk.moving is not None:
        yield from _destinations(talk, *talk.moving)


def _destinations(talk: Talk, where: int, accepted: Accepted) -> Iterator[Conversation]:
    """C-MOVE-RQs with wrong Move Destinations."""
    head = (text(0x0002, accepted.abstract_syntax), number(0x0100, 0x0021), number(0x0110, 1))
    rest = p_data((where, False, True, query(accepted.transfer_syntax)))
    found = {"none": None, "empty": "", "long": "A" * 200, "a path": "../../x ", "a command": "$(id)   "}
    for name, destination in found.items():
        title = () if destination is None else (text(0x0600, destination),)
        command = command_set(*head, *title, number(0x0700, 0), number(0x0800, DATA))
        wire = p_data((where, True, True, command)) + rest
        about = f"a C-MOVE-RQ whose Move Destination is {name}"
        expect = "refused" if destination is None else "answered"
        ends = (Send(message=wire), ANY, CLOSE)
        yield _case(f"move destination: {name}", about, "PS3.7 9.3.4", expect, talk.begin(), *ends)


def _windows(talk: Talk) -> Iterator[Conversation]:
    """More operations than were negotiated: a peer may serve them one by one, answer 0210, or abort."""
    clause = "PS3.7 D.3.3.3"
    for many in (2, 5, 20):
        asked = b"".join(talk.ask(index) for index in range(1, many + 1))
        about = f"{many} requests at once without a window"
        yield _case(
            f"no window: {many} at once", about, clause, "answered", talk.begin(), Send(message=asked), ANY, CLOSE
        )


def _systematic(learned: Learned) -> Iterator[Conversation]:
    talk = Talk.of(learned)
    if talk.echoes:
        yield from _announced(talk)
        yield from _which(talk)
        yield from _elements(talk)
    yield from _operations(talk)
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
