"""The inputs of hostile peers: generators of handmade bytes for a size, and the behaviour of the peer.

`SAID_BY_USERS` goes to providers, `SAID_BY_PROVIDERS` to users, after a request of theirs, and `SAID_BY_CLIENTS` to the
metrics page. The size of an input is approximately its bytes on the wire, or with `asked_for` the
bytes that the other side has to send.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from dicos_proto.registry import uids
from tests.cost.contents import CONTENTS, CT, DEFLATED, IDENTIFICATION, INSTANCE, Content, deflated_short, pixels
from tests.upper_layer import layouts

VERIFICATION, FIND, GET, MOVE = uids.VERIFICATION, uids.STUDY_ROOT_FIND, uids.STUDY_ROOT_GET, uids.STUDY_ROOT_MOVE
IMAGE_BOX: Final = uids.BASIC_GRAYSCALE_IMAGE_BOX
IMPLICIT, EXPLICIT = uids.IMPLICIT_VR_LE, uids.EXPLICIT_VR_LE
PIECE: Final = 64 << 10
"""Approximate bytes that are sent at once."""
OPERATIONS: Final = {"echo": VERIFICATION, "store": CT, "find": FIND, "get": GET, "move": MOVE}
_CONTEXTS: Final = (
    (1, VERIFICATION, (IMPLICIT,)),
    (3, CT, (EXPLICIT,)),
    (5, CT, (DEFLATED,)),
    (7, FIND, (EXPLICIT,)),
    (9, FIND, (DEFLATED,)),
    (11, GET, (EXPLICIT,)),
    (13, CT, (IMPLICIT,)),
    (15, IMAGE_BOX, (EXPLICIT,)),
)
_STORING: Final = {EXPLICIT: 3, DEFLATED: 5, IMPLICIT: 13}
_FINDING: Final = {EXPLICIT: 7, DEFLATED: 9}
"""Contexts by transfer syntax."""
_FIELDS: Final = {"store": 0x0001, "get": 0x0010, "find": 0x0020, "move": 0x0021, "echo": 0x0030, "cancel": 0x0FFF}
RESPONSE: Final = 0x8000
PENDING: Final = 0xFF00

# -- layouts ---------------------------------------------------------------------------------------------------------


def text(number: int, value: str) -> bytes:
    raw = value.encode()
    return layouts.element(number, raw + b"\0" * (len(raw) % 2))


def command(
    name: str, message_id: int, sop_class: str, *, data: bool = False, instance: str = "", status: int | None = None,
    more: bytes = b"",
) -> bytes:  # fmt: skip
    """A command set: a request, or with `status` a response."""
    answer = status is not None
    parts = [
        text(0x0002, sop_class),
        layouts.us(0x0100, _FIELDS[name] | (RESPONSE if answer else 0)),
        layouts.us(0x0120 if answer or name == "cancel" else 0x0110, message_id),
        layouts.us(0x0700, 0) if name in ("store", "find", "get", "move") and not answer else b"",
        layouts.us(0x0800, 0x0001 if data else 0x0101),
        layouts.us(0x0900, status) if status is not None else b"",
        text(0x1000, instance) if instance else b"",
        more,
    ]
    return layouts.command_set(*(parts[1:] if name == "cancel" else parts))


def said(context: int, message: bytes) -> bytes:
    """A command set in one P-DATA-TF."""
    return layouts.p_data(layouts.pdv(context, 3, message))


def carried(context: int, content: bytes, *, piece: int = 16_000, ends: bool = True) -> Iterator[bytes]:
    """A data set in PDVs of `piece` bytes, about 16 kB of them in a P-DATA-TF."""
    together = max(1, 16_000 // (piece + 6))
    many: list[bytes] = []
    for start in range(0, len(content), piece):
        end = start + piece >= len(content)
        many.append(layouts.pdv(context, 2 if end and ends else 0, content[start : start + piece]))
        if len(many) == together or end:
            yield layouts.p_data(*many)
            many.clear()


def request(max_length: int = 16_384, *user_items: bytes, contexts: Iterable[bytes] = (), after: bytes = b"") -> bytes:
    """An A-ASSOCIATE-RQ, by default with the contexts of `_CONTEXTS`."""
    asked = contexts or (proposed(number, abstract, syntaxes) for number, abstract, syntaxes in _CONTEXTS)
    return layouts.associate(1, layouts.APPLICATION_ITEM, *asked, user(max_length, *user_items), after)


def proposed(number: int, abstract: str, syntaxes: Iterable[str]) -> bytes:
    names = b"".join(layouts.item(0x40, syntax.encode()) for syntax in syntaxes)
    return layouts.item(0x20, bytes((number, 0, 0, 0)) + layouts.item(0x30, abstract.encode()) + names)


def user(max_length: int, *more: bytes) -> bytes:
    return layouts.item(0x50, layouts.item(0x51, max_length.to_bytes(4, "big")) + layouts.CLASS_ITEM + b"".join(more))


def _pieces(stream: bytes) -> Iterator[bytes]:
    for start in range(0, len(stream), PIECE):
        yield stream[start : start + PIECE]


def _again(one: bytes, size: int) -> Iterator[bytes]:
    """Repeat the same bytes."""
    many = one * max(1, PIECE // len(one))
    for _ in range(max(1, size // len(many))):
        yield many


# -- inputs ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """The request of a user to a hostile provider, as far as the response needs it."""

    context: int
    message_id: int
    sop_class: str
    store: int
    """The context for a C-STORE of a C-GET."""


@dataclass(frozen=True)
class Input:
    """`operation`: what the other side must offer, or ask for. `opening`: the A-ASSOCIATE-RQ, or -AC for the contexts
    proposed; None for the usual one. `then`: what follows once there is an association."""

    name: str
    text: str
    operation: str
    then: Callable[..., Iterator[bytes]] | None = None
    opening: Callable[[int], Iterator[bytes]] | None = None
    syntax: str = EXPLICIT
    max_length: int = 16_384
    user_items: tuple[bytes, ...] = ()
    extra: Callable[[int], bytes] | None = None
    """For a provider: further items of its A-ASSOCIATE-AC."""
    reads: bool = True
    ends: str = "close"
    connections: int = 1
    asked_for: bool = False
    share: float = 1.0
    sampled: bool = True
    """True if processes are attacked with it too, not only the engine."""
    content: Content | None = None
    """The data set of the input, if that may be decoded."""


def _store(content: Content) -> Callable[[int], Iterator[bytes]]:
    context = _STORING[content.syntax]

    def then(size: int) -> Iterator[bytes]:
        yield said(context, command("store", 1, CT, data=True, instance=INSTANCE))
        yield from carried(context, content.make(int(size * content.share)))

    return then


def _find(content: Content) -> Callable[[int], Iterator[bytes]]:
    context = _FINDING[content.syntax]

    def then(size: int) -> Iterator[bytes]:
        yield said(context, command("find", 1, FIND, data=True))
        yield from carried(context, content.make(int(size * content.share)))

    return then


def _short_again(size: int) -> Iterator[bytes]:
    """Requests without waiting for the answers."""
    content = deflated_short(0)
    one = said(5, command("store", 1, CT, data=True, instance=INSTANCE)) + b"".join(carried(5, content))
    for _ in range(max(1, size // len(one))):
        yield one


def _as_image(size: int) -> Iterator[bytes]:
    """An endless identifier, in a C-FIND that names a class whose attribute lists may be long."""
    yield said(7, command("find", 1, IMAGE_BOX, data=True))
    yield from carried(7, pixels(size), ends=False)


def _image(size: int) -> Iterator[bytes]:
    names = text(0x0003, IMAGE_BOX), layouts.us(0x0100, 0x0120), layouts.us(0x0110, 1)
    yield said(15, layouts.command_set(*names, layouts.us(0x0800, 1), text(0x1001, INSTANCE)))
    yield from carried(15, pixels(size)[len(IDENTIFICATION) :])


def _in_pdvs(piece: int) -> Callable[[int], Iterator[bytes]]:
    def then(size: int) -> Iterator[bytes]:
        yield said(3, command("store", 1, CT, data=True, instance=INSTANCE))
        yield from carried(3, pixels(size * piece // (piece + 6)), piece=piece)

    return then


def _a_pdu_each(size: int) -> Iterator[bytes]:
    content = pixels(size // 13)
    yield said(3, command("store", 1, CT, data=True, instance=INSTANCE))
    pdus = (
        layouts.p_data(layouts.pdv(3, 2 * (at + 1 == len(content)), content[at : at + 1])) for at in range(len(content))
    )
    while many := b"".join(one for one, _ in zip(pdus, range(5000), strict=False)):
        yield many


def _empty_pdvs(size: int) -> Iterator[bytes]:
    """As many empty PDVs as are accepted, then one of two bytes, and so on."""
    yield said(3, command("store", 1, CT, data=True, instance=INSTANCE))
    yield layouts.p_data(layouts.pdv(3, 0, pixels(size)[:100]))
    yield from _again(layouts.p_data(*[layouts.pdv(3, 0, b"")] * 15, layouts.pdv(3, 0, b"\0\0")), size)


def _segments(size: int) -> Iterator[bytes]:
    """One byte at a time, because bytes sent alone mostly arrive alone."""
    yield said(3, command("store", 1, CT, data=True, instance=INSTANCE))
    for piece in carried(3, pixels(size)):
        for at in range(len(piece)):
            yield piece[at : at + 1]


def _unfinished(size: int) -> Iterator[bytes]:
    yield said(3, command("store", 1, CT, data=True, instance=INSTANCE))
    yield from carried(3, pixels(size), ends=False)


def _half_pdu(size: int) -> Iterator[bytes]:
    yield said(3, command("store", 1, CT, data=True, instance=INSTANCE))
    yield from carried(3, pixels(size), ends=False)
    yield layouts.pdu(4, layouts.pdv(3, 0, bytes(5000), length=16_000), length=16_004)


def _longest_pdu(size: int) -> Iterator[bytes]:
    yield said(3, command("store", 1, CT, data=True, instance=INSTANCE))
    yield layouts.pdu(4, layouts.pdv(3, 0, b"", length=0xFFFFFFF0), length=0xFFFFFFFF)
    yield from _again(bytes(1000), size)


def _fragmented_command(size: int) -> Iterator[bytes]:
    """Command sets with one byte per PDV."""
    message = command("echo", 1, VERIFICATION)
    one = [layouts.pdv(1, 1 | 2 * (at + 1 == len(message)), message[at : at + 1]) for at in range(len(message))]
    yield from _again(layouts.p_data(*one), size)


def _endless_command(size: int) -> Iterator[bytes]:
    yield from _again(layouts.p_data(layouts.pdv(1, 1, b"\0\0")), size)


def _tags_in_command(size: int) -> Iterator[bytes]:
    """Command sets of the maximum length, of unknown elements."""
    more = b"".join(layouts.element(0x5000 + 2 * n, b"") for n in range(8000 - 20))
    message = command("echo", 1, VERIFICATION, more=more)
    one = b"".join(layouts.p_data(layouts.pdv(1, 1 | 2 * (at + 16_000 >= len(message)), message[at : at + 16_000]))
                   for at in range(0, len(message), 16_000))  # fmt: skip
    for _ in range(max(1, size // len(one))):
        yield one


def _echoes(size: int) -> Iterator[bytes]:
    yield from _again(said(1, command("echo", 1, VERIFICATION)), size)


def _cancels(size: int) -> Iterator[bytes]:
    yield said(7, command("find", 1, FIND, data=True))
    yield from carried(7, _STUDY)
    yield from _again(said(7, command("cancel", 1, "")), size)


_STUDY: Final = bytes.fromhex("080052004353060053545544592010002000") + b"LO\x02\0* "
"""An identifier: the level STUDY, any patient."""


def _finds(size: int) -> Iterator[bytes]:
    one = said(7, command("find", 1, FIND, data=True)) + b"".join(carried(7, _STUDY))
    yield from _again(one, size)


def _get(size: int) -> Iterator[bytes]:
    """Request one instance of this size: the test's provider reads the size from the patient id."""
    number = str(size).encode()
    identifier = _STUDY[:14] + bytes.fromhex("10002000") + b"LO" + (len(number) + len(number) % 2).to_bytes(2, "little")
    yield said(11, command("get", 1, GET, data=True))
    yield from carried(11, identifier + number + b" " * (len(number) % 2))


def _of_contexts(size: int) -> Iterator[bytes]:
    """All contexts, each with as many long transfer syntaxes as the limit allows."""
    each = min(64, max(1, size // 128 // 40))
    syntaxes = [f"1.2.3.4.5.6.7.8.9.10.11.12.13.14.{number}" for number in range(each)]
    yield from _pieces(request(contexts=[proposed(2 * n + 1, CT, syntaxes) for n in range(128)]))


def _of_short_syntaxes(size: int) -> Iterator[bytes]:
    each = min(64, max(1, size // 128 // 7))
    yield from _pieces(request(contexts=[proposed(2 * n + 1, VERIFICATION, ["1.2"] * each) for n in range(128)]))


def _of_user_items(size: int) -> Iterator[bytes]:
    count = min(510, size // 8)
    yield from _pieces(request(16_384, *[layouts.item(0x54, b"\0\x03" + b"1.2" + b"\0\0")] * count))


def _of_related(size: int) -> Iterator[bytes]:
    """Common extended negotiation: related classes in the item of one SOP class."""
    related = b"".join(layouts.sized(b"1.2") for _ in range(min(12_000, size // 5)))
    one = layouts.item(0x57, layouts.sized(CT.encode()) + layouts.sized(b"1.2.3") + layouts.sized(related))
    yield from _pieces(request(16_384, *([one] if len(related) < 60_000 else [])))


def _of_unknown_items(size: int) -> Iterator[bytes]:
    count = min(size, (1 << 20) - 4000) // 4
    yield from _pieces(request(after=layouts.item(0x99, b"") * count))


def _longest_request(size: int) -> Iterator[bytes]:
    yield layouts.pdu(1, b"", length=0xFFFFFFFF)
    yield from _again(bytes(1000), size)


def _half_request(size: int) -> Iterator[bytes]:
    """Return all but the last byte."""
    whole = request(after=layouts.item(0x99, bytes(60_000)) * max(1, min(16, size // 60_000)))
    yield from _pieces(whole[:-1])


def _store_contents() -> Iterator[Input]:
    for content in CONTENTS:
        yield Input(f"C-STORE, {content.name}", f"C-STORE: {content.text}", "store", _store(content), content=content)


def _find_contents() -> Iterator[Input]:
    for content in CONTENTS:
        if content.syntax in _FINDING:
            yield Input(f"C-FIND, {content.name}", f"C-FIND: {content.text}", "find", _find(content), content=content)


def _lengths(reads: bool) -> Iterator[Input]:
    for length in MAXIMUM_LENGTHS:
        yield Input(
            f"Maximum Length {length}{'' if reads else ', unread'}",
            f"C-GET of one object with a Maximum Length of {length}{'' if reads else '; the peer does not read it'}",
            "get", _get, max_length=length, user_items=(_SCP_OF_CT,), reads=reads, asked_for=True,
            sampled=length in SAMPLED,
        )  # fmt: skip


MAXIMUM_LENGTHS: Final = (*range(7, 33), 64, 128, 256, 511, 512, 513, *(1 << power for power in range(10, 18)), 0)
SAMPLED: Final = frozenset((8, 511, 512, 513, 1024, 16_384, 0))
"""Maximum Lengths: below 512 the peer is refused, unless a caller lowers `Limits.peer_max_length`, as these tests do."""
_SCP_OF_CT: Final = layouts.item(0x54, layouts.sized(CT.encode()) + b"\x01\x01")

SAID_BY_USERS: Final = (
    Input("contexts", "an A-ASSOCIATE-RQ of 128 contexts with long transfer syntaxes", "", opening=_of_contexts, share=1 / 8),
    Input("short syntaxes", "one of 128 contexts with short transfer syntaxes", "", opening=_of_short_syntaxes, share=1 / 64),
    Input("user items", "one of many role selections", "", opening=_of_user_items, share=1 / 1024),
    Input("related classes", "one of many related general SOP classes", "", opening=_of_related, share=1 / 64),
    Input("unknown items", "one of many items of an unknown type", "", opening=_of_unknown_items, share=1 / 8),
    Input("longest request", "one whose header says 4 GiB", "", opening=_longest_request, share=1 / 4),
    Input("half requests", "eight that lack their last byte", "", opening=_half_request, ends="hold", connections=8, share=1 / 4),
    *_store_contents(),
    Input("C-STORE, deflated short, again", "C-STORE, again and again: a megabyte of empty items in 1.5 kB", "store", _short_again, share=1 / 64, content=CONTENTS[-1]),
    *_find_contents(),
    Input("C-FIND as an image", "C-FIND that names the class of an image box, with an identifier that does not end", "find", _as_image, ends="hold", share=40, content=CONTENTS[0]),
    Input("N-SET of an image", "N-SET of an image box", "set", _image, content=CONTENTS[0]),
    *(
        Input(f"PDVs of {piece}", f"C-STORE in PDVs of {piece} bytes", "store", _in_pdvs(piece))
        for piece in range(1, 11)
    ),
    Input("a PDU each", "C-STORE, each byte in a P-DATA-TF of its own", "store", _a_pdu_each),
    Input("empty PDVs", "C-STORE, fifteen PDVs without data before each with two bytes", "store", _empty_pdvs, ends="reset"),
    Input("segments", "C-STORE, a byte at a time", "store", _segments, share=1 / 64),
    Input("half a PDU", "C-STORE, cut off within a P-DATA-TF", "store", _half_pdu, ends="reset"),
    Input("longest PDU", "C-STORE with a P-DATA-TF whose header says 4 GiB", "store", _longest_pdu),
    Input("cut off", "C-STORE, the connection closed within the data set", "store", _unfinished),
    Input("reset", "C-STORE, the connection reset within the data set", "store", _unfinished, ends="reset"),
    Input("unfinished", "C-STORE, on four connections that then say nothing", "store", _unfinished, ends="hold", connections=4),
    Input("fragmented commands", "C-ECHO, each byte of the command set in a PDV", "echo", _fragmented_command),
    Input("endless command", "a command set without end", "echo", _endless_command),
    Input("tags in commands", "command sets of 64 kB of unknown elements", "echo", _tags_in_command),
    Input("C-ECHO flood", "C-ECHO without waiting for answers", "echo", _echoes),
    Input("C-ECHO flood, unread", "C-ECHO without waiting for answers, which are not read", "echo", _echoes, reads=False),
    Input("C-CANCEL flood", "C-CANCEL of one C-FIND, again and again", "find", _cancels),
    Input("C-FIND flood", "C-FIND without waiting for answers", "find", _finds, share=1 / 4),
    Input("C-FIND flood, unread", "C-FIND without waiting for answers, which are not read", "find", _finds, reads=False, share=1 / 4),
    *_lengths(True),
    *_lengths(False),
    Input("idle", "sixty associations that say nothing more", "", lambda size: iter(()), ends="hold", connections=60, share=0),
)  # fmt: skip
"""The inputs of hostile users for providers."""


# -- what providers say ----------------------------------------------------------------------------------------------


def _pending(name: str, *, data: bytes = b"") -> Callable[[int, Asked], Iterator[bytes]]:
    def then(size: int, asked: Asked) -> Iterator[bytes]:
        one = said(asked.context, command(name, asked.message_id, asked.sop_class, status=PENDING, data=bool(data)))
        yield from _again(one + b"".join(carried(asked.context, data)), size)

    return then


def _counted(name: str) -> Callable[[int, Asked], Iterator[bytes]]:
    """Pending, with counters, as C-GET and C-MOVE have them."""

    def then(size: int, asked: Asked) -> Iterator[bytes]:
        counters = b"".join(layouts.us(number, 1) for number in range(0x1020, 0x1024))
        one = command(name, asked.message_id, asked.sop_class, status=PENDING, more=counters)
        yield from _again(said(asked.context, one), size)

    return then


def _match(content: Content) -> Callable[[int, Asked], Iterator[bytes]]:
    def then(size: int, asked: Asked) -> Iterator[bytes]:
        yield said(asked.context, command("find", asked.message_id, asked.sop_class, status=PENDING, data=True))
        yield from carried(asked.context, content.make(int(size * content.share)))
        yield said(asked.context, command("find", asked.message_id, asked.sop_class, status=0))

    return then


def _moved(content: Content, piece: int = 16_000) -> Callable[[int, Asked], Iterator[bytes]]:
    """A C-STORE of a C-GET."""

    def then(size: int, asked: Asked) -> Iterator[bytes]:
        yield said(asked.store, command("store", 1, CT, data=True, instance=INSTANCE))
        yield from carried(asked.store, content.make(int(size * content.share * piece / (piece + 6))), piece=piece)

    return then


def _many_moved(size: int, asked: Asked) -> Iterator[bytes]:
    one = said(asked.store, command("store", 1, CT, data=True, instance=INSTANCE))
    yield from _again(one + b"".join(carried(asked.store, pixels(100))), size)


def _requests(size: int, asked: Asked) -> Iterator[bytes]:
    """Requests to a user that waits for a response."""
    yield from _again(said(asked.context, command("echo", 1, VERIFICATION)), size)


def _answers_to_nobody(size: int, asked: Asked) -> Iterator[bytes]:
    yield from _again(said(asked.context, command("echo", 4711, VERIFICATION, status=0)), size)


def _nothing(size: int, asked: Asked) -> Iterator[bytes]:
    yield from ()


def _unknown_items(size: int) -> bytes:
    return layouts.item(0x99, b"") * (min(size, (1 << 20) - 4000) // 4)


SAID_BY_PROVIDERS: Final = (
    Input("unknown items", "an A-ASSOCIATE-AC of many items of an unknown type", "echo", _nothing, extra=_unknown_items, share=1 / 8),
    *(
        Input(f"{name.upper()}, pending", f"{sop} answered by Pending without end", name, _pending(name))
        for name, sop in (("echo", "C-ECHO"), ("store", "C-STORE"))
    ),
    Input("FIND, pending", "C-FIND answered by Pending without a match", "find", _pending("find")),
    Input("FIND, matches", "C-FIND answered by matches without end", "find", _pending("find", data=_STUDY)),
    Input("GET, pending", "C-GET answered by counters without end", "get", _counted("get")),
    Input("MOVE, pending", "C-MOVE answered by counters without end", "move", _counted("move")),
    *(
        Input(f"FIND, {content.name}", f"C-FIND answered by a match: {content.text}", "find", _match(content), syntax=content.syntax, content=content)
        for content in CONTENTS if content.syntax in _FINDING
    ),
    *(
        Input(f"GET, {content.name}", f"C-GET sends an object: {content.text}", "get", _moved(content), syntax=content.syntax)
        for content in CONTENTS
    ),
    *(
        Input(f"GET, PDVs of {piece}", f"C-GET sends an object in PDVs of {piece} bytes", "get", _moved(CONTENTS[0], piece))
        for piece in (1, 2, 5, 10)
    ),
    Input("GET, many", "C-GET sends small objects without waiting for answers", "get", _many_moved),
    Input("GET, many, unread", "C-GET sends small objects, and reads no answers", "get", _many_moved, reads=False),
    Input("requests", "C-ECHO-RQ to a user that waits for an answer", "echo", _requests),
    Input("requests, unread", "C-ECHO-RQ to a user that waits for an answer; its responses are not read", "echo", _requests, reads=False),
    Input("answers to nobody", "responses to a message that was never sent", "echo", _answers_to_nobody),
    *(
        Input(f"STORE, Maximum Length {length}", f"C-STORE to a peer with a Maximum Length of {length}", "store", _nothing,
              max_length=length, asked_for=True, sampled=length in SAMPLED)
        for length in MAXIMUM_LENGTHS
    ),
    *(
        Input(f"STORE, Maximum Length {length}, unread", f"C-STORE to a peer with a Maximum Length of {length}, who does not read", "store", _nothing,
              max_length=length, asked_for=True, reads=False)
        for length in (8, 512, 513, 1024, 16_384, 0)
    ),
)  # fmt: skip
"""The inputs of hostile providers for users."""


# -- what clients say to the page of the counters --------------------------------------------------------------------

_GET: Final = b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n"


def _good_get(size: int) -> Iterator[bytes]:
    yield _GET


def _fields(size: int) -> Iterator[bytes]:
    yield _GET[:-2]
    yield from _again(b"X: y\r\n", size)


def _gets(size: int) -> Iterator[bytes]:
    yield from _again(_GET, size)


def _half_a_get(size: int) -> Iterator[bytes]:
    yield _GET[:-2] + b"X: " + b"y" * 4000


SAID_BY_CLIENTS: Final = (
    Input("fields", "header fields without end", "http", opening=_fields),
    Input("requests", "requests one after the other", "http", opening=_gets),
    Input(
        "requests, unread", "requests one after the other; the answer is not read", "http", opening=_gets, reads=False
    ),
    Input("half requests", "forty requests without an end", "http", opening=_half_a_get, ends="hold", connections=40),
    Input("many requests", "four hundred connections with a request each", "http", opening=_good_get, connections=400),
)
GOOD_CLIENT: Final = Input("request", "a request", "http", opening=_good_get)


# -- what peers say that behave --------------------------------------------------------------------------------------


def _good_echo(size: int) -> Iterator[bytes]:
    yield said(1, command("echo", 1, VERIFICATION))


def _good_find(size: int) -> Iterator[bytes]:
    yield said(7, command("find", 1, FIND, data=True))
    yield from carried(7, _STUDY)


_DEFLATED: Final = next(one for one in CONTENTS if one.name == "deflated elements")
GOOD: Final = (
    Input("echo", "C-ECHO", "echo", _good_echo),
    Input("store", "C-STORE", "store", _store(CONTENTS[0])),
    Input("store deflated", "C-STORE of a deflated data set", "store", _store(_DEFLATED)),
    Input("find", "C-FIND", "find", _good_find),
    Input("get", "C-GET", "get", _get, user_items=(_SCP_OF_CT,)),
    Input("set", "N-SET", "set", _image),
)
"""From users, to providers: triggers their late imports."""


def _answered(*before: Callable[[int, Asked], Iterator[bytes]], name: str) -> Callable[[int, Asked], Iterator[bytes]]:
    def then(size: int, asked: Asked) -> Iterator[bytes]:
        for each in before:
            yield from each(size, asked)
        counters = b"".join(layouts.us(number, number == 0x1021) for number in range(0x1020, 0x1024))
        more = counters if name in ("get", "move") else b""
        yield said(asked.context, command(name, asked.message_id, asked.sop_class, status=0, more=more))

    return then


GOOD_ANSWERS: Final = (
    Input("echo", "C-ECHO", "echo", _answered(name="echo")),
    Input("store", "C-STORE", "store", _answered(name="store")),
    Input("find", "C-FIND", "find", _answered(_pending("find", data=_STUDY), name="find")),
    Input("get", "C-GET", "get", _answered(_moved(CONTENTS[0]), name="get")),
    Input("move", "C-MOVE", "move", _answered(_counted("move"), name="move")),
)
"""From providers, to users."""
