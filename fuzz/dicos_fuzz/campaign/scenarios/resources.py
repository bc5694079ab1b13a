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
from .scripts import ACCEPTANCE, ANY, CLOSE, FIN, Talk, pdu, script

__all__ = ["ASSOCIATIONS", "FAMILIES"]

ASSOCIATIONS: Final = 16
"""Associations that one conversation holds open."""
_LATE: Final = Await(seconds=10.0)


def _case(name: str, about: str, expect: str, *steps: Step | tuple[Step, ...]) -> Conversation:
    return script(f"resources/{name}", about, f"limit: {name.partition(':')[0]}", expect, *steps)


def _item(kind: int, value: bytes) -> bytes:
    return pack(">BxH", kind, len(value)) + value


# -- one large A-ASSOCIATE-RQ ------------------------------------------------------------------------------------


def _requests(talk: Talk) -> Iterator[Conversation]:
    offer = talk.offer
    private = tuple(uid("private syntax", index) for index in range(60))
    wide = tuple((abstract, private) for abstract, _ in (offer.contexts * 128)[:128])

    def one(name: str, about: str, rq: bytes) -> Conversation:
        return _case(name, about, "answered", Open(), Send(message=rq), _LATE, Check(), CLOSE)

    yield one("contexts", "128 contexts with 60 transfer syntaxes each", request(replace(offer, contexts=wide)))
    inserted = "A-ASSOCIATE-RQ/user information"
    for many in (100, 15_000):
        items = _item(0x99, b"") * many
        rq = encode(apply(read_stream(talk.rq), (Edit(inserted, Action.INSERT, items),)))
        yield one(f"unknown items: {many}", f"{many} empty items of an unknown type", rq)
        rq = encode(
            apply(read_stream(talk.rq), (Edit(f"{inserted}/maximum length", Action.INSERT, items[: 4 * 15_000]),))
        )
        yield one(f"unknown sub-items: {many}", f"{many} empty user information sub-items of an unknown type", rq)
    syntaxes = b"".join(_item(0x40, b"1.2") for _ in range(8000))
    context = bytes((1, 0, 0, 0)) + _item(0x30, uids.VERIFICATION.encode()) + syntaxes
    edits = (Edit("A-ASSOCIATE-RQ/presentation context", Action.SET, _item(0x20, context[:65_000])),)
    yield one("transfer syntaxes", "8,000 transfer syntaxes in one context", encode(apply(read_stream(talk.rq), edits)))
    identity = UserInformation(user_identity=UserIdentity(type=3, primary=b"A" * 60_000, response_requested=True))
    yield one("user identity", "a user identity of 60 kB", request(replace(offer, user_information=identity)))
    extended = b"".join(_item(0x56, pack(">H", 5) + b"1.2.3" + b"\1") for _ in range(4000))
    edits = (Edit(f"{inserted}/maximum length", Action.INSERT, extended),)
    yield one("extended negotiation", "4,000 extended negotiation items", encode(apply(read_stream(talk.rq), edits)))
    body = talk.rq[6:74] + _item(0x99, bytes(65_000)) * 15
    yield one("length of an A-ASSOCIATE-RQ", "an A-ASSOCIATE-RQ of a megabyte", pdu(1, body + talk.rq[74:]))
    for size in (1 << 24, 0x7FFFFFFF, 0xFFFFFFFF):
        head = pdu(1, talk.rq[6:], length=size)
        about = f"an A-ASSOCIATE-RQ that says it has {size} bytes"
        yield _case(f"giant length: {size}", about, "refused-at-header", Open(), Send(message=head), ANY, CLOSE)


# -- much on one association ---------------------------------------------------------------------------------------


def _traffic(talk: Talk) -> Iterator[Conversation]:
    begin, context, command = talk.begin(), talk.ask_context, talk.command()
    if talk.echoes:
        endless = p_data((context, True, False, bytes(8))) * 5_000
        yield _case(
            "command fragments",
            "5,000 fragments of a command set without an end; others are served",
            "closes",
            begin,
            Send(message=endless),
            Check(),
            FIN,
            ANY,
            Await(kinds=(99,)),
        )
        empty = p_data((context, True, False, b"")) * 10_000
        yield _case(
            "empty fragments",
            "10,000 empty fragments; others are served",
            "closes",
            begin,
            Send(message=empty),
            Check(),
            FIN,
            ANY,
            Await(kinds=(99,)),
        )
        long = b"".join(p_data((context, True, False, bytes(8000))) for _ in range(1_000))
        yield _case(
            "command set",
            "a command set of 8 MB without an end; others are served",
            "closes",
            begin,
            Send(message=long),
            Check(),
            FIN,
            ANY,
            Await(kinds=(99,)),
        )
        many = p_data(*((context, True, True, talk.command(number)) for number in range(1, 100)))
        yield _case(
            "messages in a PDU",
            "99 requests in one P-DATA-TF without a window",
            "answered",
            begin,
            Send(message=many),
            ANY,
            CLOSE,
        )
    asked = b"".join(talk.ask(number) for number in range(1, 301))
    yield _case(
        "operations",
        "300 requests at once without a window; others are served",
        "answered",
        begin,
        Send(message=asked),
        ANY,
        Check(),
        CLOSE,
    )
    wide = talk.with_user(window=OperationsWindow(invoked=0, performed=0))
    yield _case(
        "operations, unlimited window",
        "300 requests at once, an unlimited window proposed; others are served",
        "answered",
        wide.begin(),
        Send(message=asked),
        ANY,
        Check(),
        CLOSE,
    )
    yield _case(
        "cancels",
        "2,000 C-CANCEL-RQs of nothing; others are served",
        "any",
        begin,
        Send(message=talk.cancel(9, context) * 2_000),
        Check(),
        CLOSE,
    )
    if talk.storage is not None:
        where, stored, _ = talk.parts(1, "never last")
        piece = p_data((where, False, False, bytes(16_000)))
        endless = p_data((where, True, True, stored)) + piece * 1_000
        yield _case(
            "data set without end",
            "an object of 16 MB without an end; others are served",
            "closes",
            begin,
            Send(message=endless),
            Check(),
            FIN,
            ANY,
            Await(kinds=(99,)),
        )
        small = p_data((where, True, True, stored)) + p_data((where, False, False, b"\0\0")) * 20_000
        yield _case(
            "data fragments",
            "20,000 fragments of two bytes without an end; others are served",
            "closes",
            begin,
            Send(message=small),
            Check(),
            FIN,
            ANY,
            Await(kinds=(99,)),
        )
    huge = pdu(4, (1 << 20).to_bytes(4, "big") + bytes((context, 0)), length=0xFFFFFFFF)
    yield _case(
        "giant P-DATA-TF",
        "a P-DATA-TF that says it has 4 GB",
        "refused-at-header" if talk.learned.max_length else "any",
        begin,
        Send(message=huge),
        ANY,
        CLOSE,
    )
    if talk.learned.max_length and talk.storage is not None:
        where, stored, _ = talk.parts(1, "over the maximum")
        long_one = p_data((where, True, True, stored)) + p_data(
            (where, False, False, bytes(8 * talk.learned.max_length))
        )
        yield _case(
            "P-DATA-TF over the maximum",
            "a P-DATA-TF of eight times the peer's Maximum Length",
            "answered",
            begin,
            Send(message=long_one),
            FIN,
            ANY,
            CLOSE,
        )


# -- many associations ---------------------------------------------------------------------------------------------


def _many(talk: Talk) -> Iterator[Conversation]:
    if talk.learned.alone:
        return
    for name, about, each in (
        ("silent connections", "connections without a byte", lambda number: (Open(connection=number),)),
        ("half-open connections", "connections that stall in a PDU header",
         lambda number: (Open(connection=number), Send(message=talk.rq[:3], connection=number))),
        ("idle associations", "associations without a request", talk.begin),
    ):  # fmt: skip
        steps = [step for number in range(ASSOCIATIONS) for step in each(number)]
        ends = tuple(End(connection=number) for number in range(ASSOCIATIONS))
        yield _case(name, f"{ASSOCIATIONS} {about}, then closed; others are served", "any", tuple(steps), ends, Check())
    steps = []
    for number in range(3 * ASSOCIATIONS):
        steps += [*talk.begin(number), End(how=("close", "reset", "half")[number % 3], connection=number)]  # type: ignore[list-item]
    yield _case(
        "churn",
        f"{3 * ASSOCIATIONS} associations that end in turns by FIN and RST; others are served",
        "any",
        tuple(steps),
        Check(),
    )


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
_ = ACCEPTANCE
