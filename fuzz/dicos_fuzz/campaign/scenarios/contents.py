"""Hostile contents: objects and queries that are well sent and whose data sets are wrong [fault kind F9].

Knows: encodings of data sets [PS3.5]. Must not know: PDVs, command sets beyond their UIDs.

A provider may store a data set without reading it, so most of these may be answered with any status; none may stop it.
An invalid UID must not be accepted: it may become the name of a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from struct import pack
from typing import Final

from dicos_proto.registry import uids

from ...conversation import Await, Check, Conversation, Send, Step
from ...grammar.building import p_data
from ..knowledge import Accepted, Learned
from ..objects import Writer, composite, deflate, query, uid
from .commands import command_set, number, text
from .family import Family
from .scripts import ANY, CLOSE, Talk, script

__all__ = ["FAMILIES", "PATHS", "harmless"]

_SLOW: Final = Await(kinds=(4, 7), seconds=20.0)
PATHS: Final = (
    "../x", "..", ".", "../../../../../../tmp/fuzzed", "/tmp/fuzzed", "a/b", "..\\..\\x", "C:\\fuzzed", "$(id)", "`id`",
    "|id", ";id;", "1.2.3\0/x", "%s%n%x", "con", "1.2.3/../../x", "~root", "1.2.3\n4", "-rf", "1.2.3 ",
)  # fmt: skip
"""Invalid UIDs that lead out of a folder, into a shell or into a format string."""


class _Sender:
    """Sends objects on the storage context of one association."""

    def __init__(self, talk: Talk) -> None:
        found = talk.storage
        if found is None:
            raise LookupError("the peer accepts no objects")
        self.talk = talk
        self.context, self.accepted = found
        self.syntax = self.accepted.transfer_syntax
        self.write = Writer(self.syntax)
        self.sop_class = self.accepted.abstract_syntax

    def wire(self, data: bytes, instance: str | bytes, sop_class: str | bytes | None = None) -> bytes:
        """Returns a C-STORE-RQ as PDUs; nothing is checked."""
        elements = (
            text(0x0002, self.sop_class if sop_class is None else sop_class), number(0x0100, 0x0001),
            number(0x0110, 1), number(0x0700, 0), number(0x0800, 1), text(0x1000, instance),
        )  # fmt: skip
        most = min(self.talk.learned.max_length or 1 << 16, 1 << 16) - 6 & ~1
        pieces = [
            p_data((self.context, False, at + most >= len(data), data[at : at + most]))
            for at in range(0, len(data), most)
        ]
        return p_data((self.context, True, True, command_set(*elements))) + b"".join(
            pieces or [p_data((self.context, False, True, b""))]
        )

    def object(self, instance: str, **more: bytes) -> bytes:
        """Returns a good data set with something added."""
        return composite(self.sop_class, instance, self.syntax, **more)  # type: ignore[arg-type]

    def case(
        self, name: str, about: str, clause: str, expect: str, data: bytes, *,
        instance: str | bytes | None = None, sop_class: str | bytes | None = None, slow: bool = False,
    ) -> Conversation:  # fmt: skip
        """One object on an association."""
        sent = Send(
            message=self.wire(data, uid("object", "contents", name) if instance is None else instance, sop_class)
        )
        return _case(name, about, clause, expect, self.talk.begin(), sent, _SLOW if slow else ANY, CLOSE)


def _case(name: str, about: str, clause: str, expect: str, *steps: Step | tuple[Step, ...]) -> Conversation:
    return script(f"contents/{name}", about, clause, expect, *steps)


def _instance(name: str) -> str:
    return uid("object", "contents", name)


# -- names -------------------------------------------------------------------------------------------------------


_OF_NAMES: Final = "PS3.5 9.1, PS3.4 B.2.3"
# fmt: off
_INVALID: Final = (
    ("1" * 65, "of 65 characters"), ("1" * 255, "of 255 characters"), ("1.02.3", "with a leading zero"),
    ("1..3", "with an empty component"), ("", "that is empty"), ("1.2.3.", "that ends with a dot"),
)
# fmt: on


def _names(send: _Sender) -> Iterator[Conversation]:
    for name in PATHS:
        expect = "answered" if harmless(name) else "failed"
        about = f"an object whose SOP Instance UID is {name!a}"
        yield send.case(f"path as instance: {name!a}", about, _OF_NAMES, expect, send.object(name), instance=name)
    good = send.object(_instance("class"))
    for name in PATHS[:6]:
        about = f"an object whose SOP Class UID is {name!a} in the command"
        yield send.case(f"path as class: {name!a}", about, _OF_NAMES, "failed", good, sop_class=name)
    for tag, what in ((0x0020000D, "study"), (0x0020000E, "series"), (0x00080018, "instance")):
        for name in ("..", "../../x", "/tmp/fuzzed"):
            label = f"path as {what} in the data set: {name!a}"
            data = _with_element(send, _instance(label), tag, send.write.element(tag, b"UI", name.encode()))
            about = f"an object whose {what} UID in the data set is {name!a}"
            yield send.case(label, about, _OF_NAMES, "answered", data)
    data = send.object(_instance("long"))
    for name, what in _INVALID:
        about = f"a SOP Instance UID {what}"
        yield send.case(f"invalid instance: {what}", about, _OF_NAMES, "answered", data, instance=name)
    other = composite(uids.MR_IMAGE_STORAGE, _instance("class"), send.syntax)
    for label, data, instance in (("instance", good, "another"), ("class", other, "class")):
        about = f"a data set of another {label} than the command says"
        name = f"another {label} in the data set"
        yield send.case(name, about, "PS3.4 B.2.3", "answered", data, instance=_instance(instance))


def harmless(name: str) -> bool:
    """Returns True for a name that is a UID, apart from its padding."""
    return name.rstrip(" \0") == "1.2.3"


def _with_element(send: _Sender, instance: str, tag: int, element: bytes) -> bytes:
    """A good object in which one element has another value; as a second element where it cannot be found."""
    data = send.object(instance)
    if send.write.deflated:
        return data
    head = pack("<HH" if send.write.little else ">HH", tag >> 16, tag & 0xFFFF)
    at = data.find(head)
    if at < 0:
        return data + element
    field = data[at + 4 : at + 8] if send.write.implicit else data[at + 6 : at + 8]
    size = int.from_bytes(field, "little" if send.write.little else "big")
    return data[:at] + element + data[at + 8 + size :]


# -- structure ---------------------------------------------------------------------------------------------------


_LAST: Final = 0x00420011


def _structures(send: _Sender) -> Iterator[Conversation]:
    if send.write.deflated:
        return
    for name, about, extra in _appended(send.write):
        yield send.case(name, about, "PS3.5 7", "answered", send.object(_instance(name)) + extra)
    inner = send.write.element(0x00081150, b"UI", b"1.2")
    opened = send.write.sequence(0x00081140, inner, undefined=True, closed=False)
    name, about = "sequence not closed", "a sequence of undefined length without an end"
    yield send.case(name, about, "PS3.5 7.5", "answered", send.object(_instance(name), early=opened))
    meta = Writer(uids.EXPLICIT_VR_LE).element(0x00020010, b"UI", b"1.2.3")
    for name, front in (("meta information", meta), ("a whole file", b"MZ" + bytes(126) + b"DICM" + meta)):
        about = f"{name} in front of the data set"
        yield send.case(name, about, "PS3.10 7", "answered", front + send.object(_instance(name)))
    # fmt: off
    for name, data in (
        ("text", b"This is no data set. " * 20), ("random bytes", Random(1).randbytes(2000)), ("one byte", b"\x08"),
        ("zeros", bytes(1000)),
    ):
        yield send.case(f"no data set: {name}", f"{name} in place of a data set", "PS3.5 7", "answered", data)
    # fmt: on


def _appended(write: Writer) -> Iterator[tuple[str, str, bytes]]:
    """Bytes to be put behind a good data set: name, what is wrong, bytes."""
    element = write.element
    for length in (1, 0x10, 0x7FFFFFFF, 0xFFFFFFFE):
        about = f"a last element of {length} bytes that are not there"
        yield f"value cut short: {length}", about, element(_LAST, b"OB", b"", length)
    unended = element(_LAST, b"OB", b"", 0xFFFFFFFF)
    swapped = element(0x00100020, b"LO", b"X") + element(0x00080060, b"CS", b"OT")
    wrong = element(0x00081140, b"SQ", element(0xFFFEE000, b"", b"", 100))
    yield "header cut short", "a last element of six bytes", element(_LAST, b"OB", b"")[:6]
    yield "odd length", "an element of odd length", element(_LAST, b"OB", b"abc", 3)
    yield "undefined length, not closed", "a value of undefined length without an end", unended
    yield "delimiter without a sequence", "a sequence delimiter where no sequence is", element(0xFFFEE0DD, b"", b"")
    yield "item without a sequence", "an item where no sequence is", element(0xFFFEE000, b"", b"abcd")
    yield "item longer than its sequence", "an item of 100 bytes in a sequence of 8", wrong
    yield "descending tags", "elements in descending order", swapped
    yield "element twice", "an element twice", element(0x00100020, b"LO", b"X") * 2
    yield "group 0000", "an element of group 0000 in a data set", element(0x00000110, b"US", b"\1\0")
    yield "group FFFF", "an element of group FFFF in a data set", element(0xFFFF0010, b"UN", b"ab")
    if not write.implicit:
        yield "unknown VR", "an element with a VR that does not exist", element(_LAST, b"ZZ", b"abcd")
        yield "VR of control characters", "an element whose VR has no letters", element(_LAST, b"\1\2", b"abcd")


def _depth(send: _Sender) -> Iterator[Conversation]:
    """Nested sequences; a decoder that recurses overflows its stack."""
    if send.write.deflated:
        return
    for depth in (64, 65, 300, 5_000, 60_000):
        name = f"depth: {depth}"
        nested = nest(send.write, depth)
        data = send.object(_instance(name), early=nested)
        about = f"sequences nested {depth} deep"
        yield send.case(name, about, "PS3.5 7.5", "answered", data, slow=depth > 1000)


def nest(write: Writer, depth: int, *, closed: bool = True) -> bytes:
    """Returns sequences of undefined length, one in the other."""
    begin = write.element(0x00081140, b"SQ", b"", 0xFFFFFFFF) + write.element(0xFFFEE000, b"", b"", 0xFFFFFFFF)
    end = write.element(0xFFFEE00D, b"", b"") + write.element(0xFFFEE0DD, b"", b"")
    return begin * depth + (end * depth if closed else b"")


def _characters(send: _Sender) -> Iterator[Conversation]:
    """Specific character sets that do not exist, or are not that of the text."""
    write, clause = send.write, "PS3.5 6.1"
    texts = (
        ("unknown character set", b"ISO_IR 999", b"abc"),
        ("garbage as UTF-8", b"ISO_IR 192", b"\xff\xfe\x80"),
        ("escapes", b"ISO 2022 IR 87", b"\x1b$B\x1b(B\x1b" * 20),
        ("overlong UTF-8", b"ISO_IR 192", b"\xc0\x80\xe0\x80\x80"),
        ("many character sets", b"\\".join([b"ISO 2022 IR 87"] * 500), b"abc"),
        ("text without a character set", b"", b"\xe4\xf6\xfc"),
    )
    if write.deflated:
        return
    for name, charset, value in texts:
        early = write.element(0x00081030, b"LO", value)
        data = send.object(_instance(name), early=early)
        old, new = write.element(0x00080005, b"CS", b"ISO_IR 192"), write.element(0x00080005, b"CS", charset)
        data = data.replace(old, new, 1)
        yield send.case(name, f"{name} in a data set", clause, "answered", data)
    long = send.object(_instance("long name"), early=write.element(0x00081030, b"LO", b"A" * 60_000))
    yield send.case(
        "a name of 60,000 characters", "a text of 60,000 characters where 64 are allowed", "PS3.5 6.2", "answered", long
    )


def _deflated(talk: Talk) -> Iterator[Conversation]:
    """Only for a peer that accepts deflated objects."""
    found = next((one for one in talk.learned.accepted if one.transfer_syntax == uids.DEFLATED_EXPLICIT_VR_LE), None)
    if found is None or talk.storage is None:
        return
    index = talk.storage[0] // 2
    contexts = [*talk.offer.contexts]
    contexts[index] = (found.abstract_syntax, (found.transfer_syntax,))
    learned = replace(talk.learned, accepted=(found, *(one for one in talk.learned.accepted if one != found)))
    other = Talk(learned, replace(talk.offer, contexts=tuple(contexts)))
    send = _Sender(other)
    plain = Writer(uids.EXPLICIT_VR_LE)
    clause = "PS3.5 A.5"

    def case(name: str, about: str, data: bytes, expect: str = "answered", *, slow: bool = False) -> Conversation:
        return send.case(f"deflate: {name}", about, clause, expect, data, instance=_instance(name), slow=slow)

    good = send.object(_instance("good"))
    yield send.case("deflated object", "a good deflated object", clause, "served", good, instance=_instance("good"))
    yield case("garbage", "bytes that are not deflated", b"\xff" * 1000)
    yield case("cut", "a deflated data set that is cut", good[: len(good) // 2])
    yield case("something behind it", "a deflated data set and something behind it", good + b"behind it!")
    head = composite(send.sop_class, _instance("bomb"), uids.EXPLICIT_VR_LE)
    for size in (8, 64):
        zeros = plain.element(0x7FE00010, b"OW", bytes(size << 20))
        yield case(f"bomb of {size} MB", f"{size} MB of zeros, deflated", deflate(head + zeros), slow=True)


def _queries(talk: Talk) -> Iterator[Conversation]:
    """Identifiers of queries that are wrong."""
    if talk.finding is None:
        return
    write = Writer(talk.finding[1].transfer_syntax)
    level = write.element(0x00080052, b"CS", b"STUDY")
    cases = (
        ("empty identifier", "an empty identifier", b""),
        ("identifier of garbage", "an identifier of random bytes", Random(2).randbytes(500)),
        ("wildcards", "a key of a thousand wildcards", level + write.element(0x00100020, b"LO", b"*?" * 500)),
        ("many UIDs", "a list of 2,000 UIDs", level + write.element(0x0020000D, b"UI", b"\\".join([b"1.2.3"] * 2000))),
        (
            "range of nonsense",
            "a date range of nonsense",
            level + write.element(0x00080020, b"DA", b"99999999-00000000"),
        ),
        ("deep identifier", "an identifier of 2,000 nested sequences", level + nest(write, 2000)),
        ("quotes", "a key with quotes", level + write.element(0x00100020, b"LO", b"' OR '1'='1")),
        ("identifier cut short", "an identifier that is cut", level + write.element(0x0020000D, b"UI", b"", 64)),
    )
    for name, about, data in cases:
        sent = Send(message=_query(talk, *talk.finding, data))
        yield _case(name, about, "PS3.4 C.4.1", "answered", talk.begin(), sent, _SLOW, CLOSE)


def _query(talk: Talk, context: int, accepted: Accepted, data: bytes) -> bytes:
    """Returns a C-FIND-RQ with this identifier as PDUs; nothing is checked."""
    elements = text(0x0002, accepted.abstract_syntax), number(0x0100, 0x0020), number(0x0110, 1)
    head = command_set(*elements, number(0x0700, 0), number(0x0800, 1))
    most = min(talk.learned.max_length or 1 << 16, 1 << 16) - 6 & ~1
    pieces = [(context, False, at + most >= len(data), data[at : at + most]) for at in range(0, len(data), most)]
    return p_data((context, True, True, head)) + b"".join(map(p_data, pieces or [(context, False, True, b"")]))


def _systematic(learned: Learned) -> Iterator[Conversation]:
    talk = Talk.of(learned)
    if talk.storage is not None:
        send = _Sender(talk)
        yield from _names(send)
        yield from _depth(send)
        yield from _structures(send)
        yield from _characters(send)
        yield from _deflated(talk)
    yield from _queries(talk)


def _random(learned: Learned, random: Random) -> Conversation:
    """A good object, or a good query, with bytes changed in its data set."""
    talk = Talk.of(learned)
    if talk.storage is not None:
        send = _Sender(talk)
        instance = uid("object", "random contents", random.getrandbits(64))
        data = _damaged(send.object(instance), random)
        about = "an object with damaged data"
        return send.case("random damage", about, "PS3.5 7", "answered", data, instance=instance)
    if talk.finding is not None:
        data = _damaged(query(talk.finding[1].transfer_syntax), random)
        sent = Send(message=_query(talk, *talk.finding, data))
        about = "a query with a damaged identifier"
        return _case("random query", about, "PS3.5 7", "answered", talk.begin(), sent, ANY, CLOSE)
    # No request to this peer has a data set that could be damaged; `commands` damages the rest of a request.
    return _case("random", "a request", "PS3.7 9", "answered", talk.begin(), Send(message=talk.ask()), ANY, CLOSE)


def _damaged(good: bytes, random: Random) -> bytes:
    """Returns a data set with one to five random changes."""
    data = bytearray(good)
    for _ in range(random.randrange(1, 6)):
        at = random.randrange(len(data))
        match random.randrange(4):
            case 0:
                data[at] ^= 1 << random.randrange(8)
            case 1:
                data[at : at + 4] = random.choice((b"\xff\xff\xff\xff", b"\xfe\xff\x00\xe0", b"\0\0\0\0", b"SQ\0\0"))
            case 2:
                del data[at : at + random.randrange(1, 20)]
            case _:
                data[at:at] = data[max(0, at - 30) : at]
        if not data:
            data = bytearray(b"\0\0")
    return bytes(data)


# -- much --------------------------------------------------------------------------------------------------------


def _much(learned: Learned) -> Iterator[Conversation]:
    talk = Talk.of(learned)
    if talk.storage is None:
        return
    send = _Sender(talk)
    if send.write.deflated:
        return

    def case(name: str, about: str, extra: bytes) -> Conversation:
        data = send.object(_instance(name), early=extra)
        sent = Send(message=send.wire(data, _instance(name)))
        steps = (*talk.begin(), sent, _SLOW, CLOSE, Check())
        return script(f"bulk-contents/{name}", about, "limit: elements of a data set", "answered", steps)

    private = (0x00090000 + (index & 0xFFFF) + (index >> 16 << 17) for index in range(0x10, 1_000_000))
    tiny = b"".join(send.write.element(tag, b"LO", b"") for tag in private)
    yield case("a million elements", "a million empty elements", tiny)
    item = send.write.element(0xFFFEE000, b"", b"")
    items = send.write.element(0x00081140, b"SQ", item * 500_000)
    yield case("half a million items", "a sequence of 500,000 empty items", items)
    yield case(
        "depth 60,000, not closed", "60,000 nested sequences without an end", nest(send.write, 60_000, closed=False)
    )
    yield case("a long value", "a value of 16 MB", send.write.element(0x00091010, b"UN", bytes(16 << 20)))


def _random_much(learned: Learned, random: Random) -> Conversation:
    talk = Talk.of(learned)
    name, clause = "bulk-contents/random depth", "PS3.5 7.5"
    if talk.storage is None:
        return script(name, "a request", clause, "answered", talk.begin(), Send(message=talk.ask()), ANY, CLOSE)
    send = _Sender(talk)
    depth = random.randrange(1, 20_000)
    instance = uid("object", "bulk", random.getrandbits(64))
    data = send.object(instance, early=nest(send.write, depth, closed=random.random() < 0.5))
    sent = Send(message=send.wire(data, instance))
    return script(name, f"sequences nested {depth} deep", clause, "answered", talk.begin(), sent, _SLOW, CLOSE)


FAMILIES: Final = (
    Family(
        name="contents",
        about="objects and queries with hostile data sets: names that are paths, depth, lengths, deflate, text",
        systematic=_systematic,
        random=_random,
    ),
    Family(
        name="bulk-contents",
        about="objects with a million elements, half a million items, endless nesting",
        systematic=_much,
        random=_random_much,
        resource=True,
    ),
)
