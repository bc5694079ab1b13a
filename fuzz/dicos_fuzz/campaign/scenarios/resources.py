"""Much of everything, with bounds: contexts, items, fragments, operations, associations.

Knows: what costs a peer more than it costs the sender. Must not know: faults in bytes; most of these are right.

A peer may serve or refuse them; it must answer in time, and serve others meanwhile and afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from struct import pack
from typing import Final

from dicos_proto.registry import uids
from dicos_proto.upper_layer.pdu_types import OperationsWindow, UserIdentity, UserInformation

from ...conversation import Await, Check, Conversation, End, Open, Send, Step
from ...grammar.building import p_data, request
from ...grammar.reading import read_stream
from ...tree import Action, Edit, apply, encode
from ..knowledge import Learned
from ..objects import uid
from .family import Family
from .scripts import ANY, CLOSE, FIN, Talk, pdu, script

__all__ = ["ASSOCIATIONS", "FAMILIES"]

ASSOCIATIONS: Final = 500
"""Associations that one conversation holds open, at most; no more than the campaign may have."""
MIXED: Final = 20
"""Bad associations among good ones."""
GOOD_TO_BAD: Final = 10
RESETS: Final = 400
"""Connections that are reset at once: pynetdicom was seen to keep a thread for each."""
CHURN: Final = 48
"""Associations that come and go."""
_USER: Final = "A-ASSOCIATE-RQ/user information"
_LATE: Final = Await(seconds=10.0)


def _case(name: str, about: str, expect: str, *steps: Step | tuple[Step, ...]) -> Conversation:
    return script(f"resources/{name}", about, f"limit: {name.partition(':')[0]}", expect, *steps)


def _beside(talk: Talk) -> tuple[Step, ...]:
    """A good association beside an open one, where the peer serves several."""
    return () if talk.learned.alone else (Check(),)


def _item(kind: int, value: bytes) -> bytes:
    return pack(">BxH", kind, len(value)) + value


# -- one large A-ASSOCIATE-RQ ------------------------------------------------------------------------------------


def _requests(talk: Talk) -> Iterator[Conversation]:
    for name, about, rq in _large(talk):
        yield _case(name, about, "answered", Open(), Send(message=rq), _LATE, _beside(talk), CLOSE)
    for size in (1 << 24, 0x7FFFFFFF, 0xFFFFFFFF):
        head = pdu(1, talk.rq[6:], length=size)
        about = f"an A-ASSOCIATE-RQ that says it has {size} bytes"
        yield _case(f"giant length: {size}", about, "refused-at-header", Open(), Send(message=head), ANY, CLOSE)


def _large(talk: Talk) -> Iterator[tuple[str, str, bytes]]:
    """Large requests: name, what is large, bytes."""
    offer = talk.offer
    private = tuple(uid("private syntax", index) for index in range(60))
    wide = tuple((abstract, private) for abstract, _ in (offer.contexts * 128)[:128])
    yield "contexts", "128 contexts with 60 transfer syntaxes each", request(replace(offer, contexts=wide))
    short = tuple(f"1.2.{number}" for number in range(800))
    most = tuple((abstract, short) for abstract, _ in (offer.contexts * 128)[:128])
    yield "all contexts", "128 contexts with 800 transfer syntaxes each", request(replace(offer, contexts=most))
    for many in (100, 15_000):
        empty = _item(0x99, b"") * many
        yield f"unknown items: {many}", f"{many} empty items of an unknown type", _with_items(talk, _USER, empty)
        about = f"{many} empty user information sub-items of an unknown type"
        yield f"unknown sub-items: {many}", about, _with_items(talk, f"{_USER}/maximum length", empty)
    syntaxes = b"".join(_item(0x40, b"1.2") for _ in range(8000))
    context = bytes((1, 0, 0, 0)) + _item(0x30, uids.VERIFICATION.encode()) + syntaxes
    edit = Edit("A-ASSOCIATE-RQ/presentation context", Action.SET, _item(0x20, context[:65_000]))
    yield "transfer syntaxes", "8,000 transfer syntaxes in one context", _edited(talk, edit)
    identity = UserInformation(user_identity=UserIdentity(type=3, primary=b"A" * 60_000, response_requested=True))
    yield "user identity", "a user identity of 60 kB", request(replace(offer, user_information=identity))
    extended = b"".join(_item(0x56, pack(">H", 5) + b"1.2.3" + b"\1") for _ in range(4000))
    about = "4,000 extended negotiation items"
    yield "extended negotiation", about, _with_items(talk, f"{_USER}/maximum length", extended)
    body = talk.rq[6:74] + _item(0x99, bytes(65_000)) * 15 + talk.rq[74:]
    yield "length of an A-ASSOCIATE-RQ", "an A-ASSOCIATE-RQ of a megabyte", pdu(1, body)


def _edited(talk: Talk, edit: Edit) -> bytes:
    return encode(apply(read_stream(talk.rq), (edit,)))


def _with_items(talk: Talk, before: str, items: bytes) -> bytes:
    """The request with items in front of the one at `before`; the item around them may hold fewer bytes."""
    return _edited(talk, Edit(before, Action.INSERT, items))


# -- much on one association ---------------------------------------------------------------------------------------


def _traffic(talk: Talk) -> Iterator[Conversation]:
    begin, beside = talk.begin(), _beside(talk)
    for name, about, wire in _endless(talk):
        about += " without an end; others are served"
        yield _case(name, about, "closes", begin, Send(message=wire), beside, FIN, ANY, Await(kinds=(99,)))
    asked = b"".join(talk.ask(number) for number in range(1, 301))
    wide = talk.with_user(window=OperationsWindow(invoked=0, performed=0))
    for name, about, start in (
        ("operations", "300 requests at once without a window; others are served", begin),
        ("operations, unlimited window", "300 requests at once, unlimited proposed; others are served", wide.begin()),
    ):
        yield _case(name, about, "answered", start, Send(message=asked), ANY, beside, CLOSE)
    nothing = Send(message=talk.cancel(9, talk.ask_context) * 2_000)
    yield _case(
        "cancels", "2,000 C-CANCEL-RQs for no operation; others are served", "any", begin, nothing, beside, CLOSE
    )
    if talk.echoes:
        many = p_data(*((talk.ask_context, True, True, talk.command(number)) for number in range(1, 100)))
        about = "99 requests in one P-DATA-TF without a window"
        yield _case("messages in a PDU", about, "answered", begin, Send(message=many), ANY, CLOSE)
    most = talk.learned.max_length
    huge = pdu(4, (1 << 20).to_bytes(4, "big") + bytes((talk.ask_context, 0)), length=0xFFFFFFFF)
    about = "a P-DATA-TF that says it has 4 GB"
    expect = "refused-at-header" if most else "any"
    yield _case("giant P-DATA-TF", about, expect, begin, Send(message=huge), ANY, CLOSE)
    if most and talk.storage is not None:
        where, stored, _ = talk.parts(1, "over the maximum")
        over = p_data((where, True, True, stored)) + p_data((where, False, False, bytes(8 * most)))
        about = "a P-DATA-TF of eight times the peer's Maximum Length"
        yield _case("P-DATA-TF over the maximum", about, "answered", begin, Send(message=over), FIN, ANY, CLOSE)


def _endless(talk: Talk) -> Iterator[tuple[str, str, bytes]]:
    """Messages without an end: name, what it is, bytes."""
    context = talk.ask_context
    yield "command fragments", "5,000 fragments of a command set", p_data((context, True, False, bytes(8))) * 5_000
    yield "empty fragments", "10,000 empty fragments of a command set", p_data((context, True, False, b"")) * 10_000
    yield "command set", "a command set of 8 MB", p_data((context, True, False, bytes(8000))) * 1_000
    if talk.storage is not None:
        where, stored, _ = talk.parts(1, "never last")
        head = p_data((where, True, True, stored))
        yield "data set", "an object of 16 MB", head + p_data((where, False, False, bytes(16_000))) * 1_000
        yield "data fragments", "20,000 fragments of two bytes", head + p_data((where, False, False, bytes(2))) * 20_000


# -- many associations ---------------------------------------------------------------------------------------------


def _many(talk: Talk) -> Iterator[Conversation]:
    if talk.learned.alone:
        return
    numbers = range(min(ASSOCIATIONS, talk.learned.connections))
    # fmt: off
    cases: tuple[tuple[str, str, list[tuple[Step, ...]]], ...] = (
        ("silent connections", "connections without a byte", [(Open(connection=one),) for one in numbers]),
        ("half-open connections", "connections that stall in a PDU header",
         [(Open(connection=one), Send(message=talk.rq[:3], connection=one)) for one in numbers]),
        ("idle associations", "associations without a request", [talk.begin(one) for one in numbers]),
    )
    # fmt: on
    ends = tuple(End(connection=one) for one in numbers)
    for name, about, begun in cases:
        steps = tuple(step for each in begun for step in each)
        about = f"{len(numbers)} {about}, then closed; others are served"
        yield _case(name, about, "any", steps, ends, Check())
    mixed: list[Step] = []
    for number in range(min(MIXED, talk.learned.connections - 1)):
        mixed += [*_bad(talk, number), *([Check()] * GOOD_TO_BAD)]
    about = f"bad associations of five kinds, {GOOD_TO_BAD} good ones after each, which are served in time"
    yield _case("bad and good", about, "any", tuple(mixed))
    resets = tuple(
        step for number in range(RESETS) for step in (Open(connection=number), End(how="reset", connection=number))
    )
    yield _case(
        "connections reset", f"{RESETS} connections, each reset at once; others are served", "any", resets, Check()
    )
    churn: list[Step] = []
    for number in range(CHURN):
        churn += [*talk.begin(number), End(how="reset" if number % 2 else "close", connection=number)]
    about = f"{CHURN} associations that end in turns by FIN and RST; others are served"
    yield _case("churn", about, "any", tuple(churn), Check())


def _bad(talk: Talk, number: int) -> tuple[Step, ...]:
    """An association that goes wrong in one of five ways, on a connection of its own, which stays open."""
    begin = talk.begin(number)
    match number % 5:
        case 0:
            return (Open(connection=number), Send(message=talk.rq[:40], connection=number))
        case 1:
            return (Open(connection=number), Send(message=b"GET / HTTP/1.1\r\n\r\n", connection=number))
        case 2:
            return (*begin, Send(message=talk.ask()[:9], connection=number))
        case 3:
            return (*begin, Send(message=pdu(0x99), connection=number))
        case _:
            return (*begin, Send(message=talk.ask() * 20, connection=number))


def _systematic(learned: Learned) -> Iterator[Conversation]:
    talk = Talk.of(learned)
    yield from _traffic(talk)
    yield from _requests(talk)
    yield from _many(talk)


def _random(learned: Learned, random: Random) -> Conversation:
    """Fragments of any size, in any number."""
    talk = Talk.of(learned)
    piece, many = random.choice((0, 1, 2, 100, 4000)), random.randrange(10, 3000)
    wire = p_data((talk.ask_context, True, False, bytes(piece))) * many
    about = f"{many} fragments of {piece} bytes of a command set without an end"
    return _case("random fragments", about, "closes", talk.begin(), Send(message=wire), FIN, ANY, Await(kinds=(99,)))


FAMILIES: Final = (
    Family(
        name="resources",
        about="many contexts, items, fragments, operations and associations, with bounds",
        systematic=_systematic,
        random=_random,
        resource=True,
    ),
)
