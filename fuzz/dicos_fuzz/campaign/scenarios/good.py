"""Valid controls: conversations without a fault, common and unusual ones, which every peer has to serve.

Knows: the latitude that the standard gives to a sender. Must not know: faults.

Each is right by the clause that it names, so a peer that refuses it refuses what it must accept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Final

from dicos_proto.registry import uids
from dicos_proto.upper_layer.pdu_types import (
    ExtendedNegotiation,
    OperationsWindow,
    RoleSelection,
    UserIdentity,
    UserInformation,
)

from ...conversation import Answer, Await, Check, Conversation, End, Open, Send, Step
from ...grammar.building import p_data, request
from ...grammar.reading import read_stream
from ...tree import Action, Edit, apply, encode
from ..knowledge import Learned
from ..objects import composite, patient_of, uid
from .family import Family, in_turns
from .scripts import (
    ABORT,
    ACCEPTANCE,
    ANSWER,
    CLOSE,
    RELEASED,
    Talk,
    pdu,
    script,
)

__all__ = ["FAMILIES"]

_USER: Final = "A-ASSOCIATE-RQ/user information"
UNKNOWN: Final = bytes.fromhex("990000083031323334353637")
"""An item of an unknown type, which is skipped [PS3.8 9.3.1]."""


def _good(name: str, about: str, clause: str, *steps: Step | tuple[Step, ...], expect: str = "served") -> Conversation:
    return script(f"good/{name}", about, clause, expect, *steps)


def _edited(wire: bytes, *edits: Edit) -> bytes:
    return encode(apply(read_stream(wire), edits))


def _asked(talk: Talk, *messages: bytes) -> tuple[Step, ...]:
    """Messages one after the other, each awaited, and a release."""
    steps: list[Step] = []
    for one in messages:
        steps += [Send(message=one), ANSWER]
    return (*steps, *RELEASED)


def _with(talk: Talk, rq: bytes) -> tuple[Step, ...]:
    """An association that `rq` opens, with one request."""
    return (*talk.begin(rq=rq), *_asked(talk, talk.ask()))


# -- what most peers meet every day ------------------------------------------------------------------------------


def _common(learned: Learned) -> Iterator[Conversation]:
    talk = Talk.of(learned)
    begin = talk.begin()
    yield _good("one request", "an association, one request, a release", "PS3.8 9.2", begin, _asked(talk, talk.ask()))
    yield _good("no request", "an association without a request", "PS3.8 7.2", begin, RELEASED)
    many = _asked(talk, *(talk.ask(number) for number in (1, 2, 0xFFFF)))
    yield _good("three requests", "three requests one after the other", "PS3.7 9.1", begin, many)
    if talk.storage is not None:
        _, accepted = talk.storage
        stored = _asked(talk, talk.store(1, "good"))
        yield _good("store", "a small object", "PS3.4 B.2", begin, stored)
        twice = _asked(talk, talk.store(1, "first"), talk.store(2, "second"))
        yield _good("two stores", "two objects one after the other", "PS3.4 B.2", begin, twice)
        if accepted.transfer_syntax in (uids.IMPLICIT_VR_LE, uids.EXPLICIT_VR_LE):
            large = _asked(talk, talk.store(1, "large", pixels=200_000))
            yield _good("large store", "an object of 200 kB", "PS3.8 9.3.5", begin, large)
    if talk.finding is not None:
        yield _good("find", "a query that finds nothing", "PS3.4 C.4.1", begin, _asked(talk, talk.find(1)))
    if talk.getting is not None:
        yield _good("get", "a C-GET that finds nothing", "PS3.4 C.4.3", begin, _asked(talk, talk.get(1)))
    if talk.moving is not None:
        yield _good("move", "a C-MOVE to nobody", "PS3.4 C.4.2", begin, _asked(talk, talk.move(1)))
    yield _good(
        "abort", "an association that this side aborts", "PS3.8 table 9-10, AA-3",
        begin, Send(message=talk.ask()), ANSWER, Send(message=ABORT), Await(kinds=(99,)), expect="closes",
    )  # fmt: skip
    again: list[Step] = []
    for connection in range(4):
        again += [*talk.begin(connection), Send(message=talk.ask(), connection=connection)]
        again += [replace(ANSWER, connection=connection), *(replace(one, connection=connection) for one in RELEASED)]
        again.append(End(connection=connection))
    yield _good("four associations", "four associations one after the other", "PS3.8 9.2", tuple(again))
    yield from _two_at_once(talk)
    yield from _back(talk)


def _two_at_once(talk: Talk) -> Iterator[Conversation]:
    if talk.learned.alone:
        return
    about, rest = "an association that is open while another is served", _asked(talk, talk.ask())
    yield _good("beside", about, "limit: associations", talk.begin(), Check(), rest)
    both = (*talk.begin(0), *talk.begin(1))
    asked = tuple(Send(message=talk.ask(), connection=one) for one in (0, 1))
    answers = tuple(replace(ANSWER, connection=one) for one in (1, 0))
    ends = tuple(replace(step, connection=one) for one in (0, 1) for step in RELEASED)
    yield _good("two at once", "two associations at the same time", "PS3.8 9.2", both, asked, answers, ends)


def _back(talk: Talk) -> Iterator[Conversation]:
    """An object is stored and retrieved on the same association; it must come back unchanged (`dialogue`)."""
    if talk.storage is None or talk.getting is None:
        return
    storage, (_, retrieval) = talk.storage[1], talk.getting
    role = RoleSelection(sop_class_uid=storage.abstract_syntax, scu=True, scp=True)
    other = talk.with_user(roles=(role,))
    instance = uid("object", "back")
    keys = {"x0020000D": uid("study", instance)}
    if retrieval.abstract_syntax == uids.PATIENT_ROOT_GET:
        keys["x00100020"] = patient_of(instance)
    stored = (Send(message=talk.store(1, "back")), ANSWER)
    retrieved = (Send(message=other.get(2, **keys)), Answer(), ANSWER)
    about = "an object that is stored and then retrieved by C-GET"
    yield _good("store and get back", about, "PS3.4 C.4.3", other.begin(), stored, retrieved, CLOSE)


# -- fields that are not tested, items that are skipped ----------------------------------------------------------


def _associations(learned: Learned) -> Iterator[Conversation]:
    talk = Talk.of(learned)
    rq = talk.rq

    def edited(*edits: Edit) -> tuple[Step, ...]:
        return _with(talk, _edited(rq, *edits))

    reserved = [
        Edit(f"A-ASSOCIATE-RQ/{path}", Action.SET, value)
        for path, value in (
            ("reserved", b"\xff"), ("reserved#2", b"\xff\xff"), ("reserved#3", b"\xff" * 32),
            ("application context/reserved", b"\xff"), ("presentation context/reserved", b"\xff"),
            ("presentation context/reserved#2", b"\xff"), ("presentation context/result", b"\xff"),
            ("presentation context/reserved#3", b"\xff"), ("user information/reserved", b"\xff"),
            ("user information/maximum length/reserved", b"\xff"),
        )
    ]  # fmt: skip
    yield _good("reserved fields", "every reserved field of an A-ASSOCIATE-RQ is FF", "PS3.8 9.3.2", edited(*reserved))
    for one in reserved:
        where = one.path.partition("/")[2]
        yield _good(f"reserved field: {where}", f"{where} is FF", "PS3.8 9.3.2", edited(one))
    for version in (3, 0x8001, 0xFFFF):
        field = Edit("A-ASSOCIATE-RQ/protocol version", Action.SET, version.to_bytes(2, "big"))
        about = f"protocol version 0x{version:04X}, of which only bit 0 is tested"
        yield _good(f"protocol version: {version:04X}", about, "PS3.8 9.3.2", edited(field))
    for where in ("application context", "presentation context", "user information"):
        item = Edit(f"A-ASSOCIATE-RQ/{where}", Action.INSERT, UNKNOWN)
        about = f"an item of unknown type before the {where}"
        yield _good(f"unknown item: before the {where}", about, "PS3.8 9.3.1", edited(item))
    for where in ("maximum length", "implementation class"):
        item = Edit(f"{_USER}/{where}", Action.INSERT, UNKNOWN)
        about = f"a user information sub-item of unknown type before the {where}"
        yield _good(f"unknown sub-item: before the {where}", about, "PS3.8 9.3.1", edited(item))
    item = Edit(f"{_USER}/maximum length", Action.SWAP)
    yield _good("sub-items in another order", "the Maximum Length is not the first", "PS3.8 9.3.2.3", edited(item))
    item = Edit(f"{_USER}/implementation version", Action.DELETE)
    about = "an A-ASSOCIATE-RQ without an implementation version name, an option"
    yield _good("no version name", about, "PS3.7 D.3.3.2", edited(item))
    yield from _offers(talk)
    yield from _users(talk)


def _offers(talk: Talk) -> Iterator[Conversation]:
    offer, learned = talk.offer, talk.learned
    first = offer.contexts[0]
    private = (uid("no such abstract syntax"), (uids.IMPLICIT_VR_LE,))
    clause = "PS3.8 9.3.3.2"
    mixed = request(replace(offer, contexts=(*offer.contexts, private)))
    yield _good("unknown abstract syntax", "a context that nobody knows among others", clause, _with(talk, mixed))
    nothing = request(replace(offer, contexts=(private,)))
    about = "only a context that nobody knows: an A-ASSOCIATE-AC with result 3, or a rejection"
    yield _good(
        "nothing to accept", about, clause,
        Open(), Send(message=nothing), ACCEPTANCE, RELEASED, expect="answered",
    )  # fmt: skip
    syntaxes = (*(uid("syntax", index) for index in range(20)), *first[1])
    many = request(replace(offer, contexts=((first[0], syntaxes), *offer.contexts[1:])))
    yield _good("many transfer syntaxes", "20 unknown transfer syntaxes before a good one", clause, _with(talk, many))
    twice = request(replace(offer, contexts=(*offer.contexts, *offer.contexts)))
    yield _good("the same twice", "each abstract syntax in two contexts", "PS3.8 9.3.2.2", _with(talk, twice))
    full = (offer.contexts * 128)[:128]
    yield _good(
        "128 contexts",
        "128 presentation contexts",
        "PS3.8 9.3.2.2",
        _with(talk, request(replace(offer, contexts=full))),
    )
    spread = _edited(talk.rq, Edit("A-ASSOCIATE-RQ/presentation context/id", Action.SET, b"\xff"))
    if talk.ask_context == 1 and talk.echoes:
        on = p_data((255, True, True, talk.command()))
        yield _good("context 255", "the greatest context id", "PS3.8 9.3.2.2", talk.begin(rq=spread), _asked(talk, on))
    for most in (0, 1024, 4096, 1 << 17, 1 << 20, 0xFFFFFFFF):
        about = f"Maximum Length {most}" + (", which is unlimited" if not most else "")
        other = talk.with_user(max_length=most)
        yield _good(f"maximum length: {most}", about, "PS3.8 D.1", other.begin(), _asked(other, other.ask()))
    title = request(replace(offer, calling="A" * 16))
    yield _good(
        "long title", "a calling AE title of 16 characters, for the peer to accept or to reject", "PS3.8 9.3.2",
        Open(), Send(message=title), ACCEPTANCE, RELEASED, expect="answered",
    )  # fmt: skip
    del learned


def _users(talk: Talk) -> Iterator[Conversation]:
    """User information that an acceptor may answer or leave unanswered."""
    classes = [abstract for abstract, _ in talk.offer.contexts]
    roles = tuple(RoleSelection(sop_class_uid=one, scu=True, scp=False) for one in classes)
    extended = tuple(ExtendedNegotiation(sop_class_uid=one, information=b"\0" * 6) for one in classes)
    told = {
        "default roles": (UserInformation(roles=roles), "PS3.7 D.3.3.4"),
        "both roles": (
            UserInformation(roles=tuple(replace(one, scp=True) for one in roles)), "PS3.7 D.3.3.4",
        ),
        "extended negotiation": (
            UserInformation(extended=extended), "PS3.7 D.3.3.5",
        ),
        "window 1": (UserInformation(window=OperationsWindow(invoked=1, performed=1)), "PS3.7 D.3.3.3"),
        "window 0": (UserInformation(window=OperationsWindow(invoked=0, performed=0)), "PS3.7 D.3.3.3"),
        "window 5": (UserInformation(window=OperationsWindow(invoked=5, performed=3)), "PS3.7 D.3.3.3"),
    }  # fmt: skip
    for name, (user, clause) in told.items():
        rq = request(replace(talk.offer, user_information=user))
        yield _good(name, f"{name}, which an acceptor may leave unanswered", clause, _with(talk, rq))
    for kind, wanted in ((1, False), (1, True), (2, True), (3, False), (99, False)):
        identity = UserIdentity(
            type=kind, primary=b"nobody", secondary=b"secret" if kind == 2 else b"", response_requested=wanted
        )
        rq = request(replace(talk.offer, user_information=UserInformation(user_identity=identity)))
        yield _good(
            f"user identity: {kind}{', answer wanted' if wanted else ''}",
            f"a user identity of type {kind}, for the peer to accept or to reject", "PS3.7 D.3.3.7",
            Open(), Send(message=rq), ACCEPTANCE, RELEASED, expect="answered",
        )  # fmt: skip


# -- packings of messages ----------------------------------------------------------------------------------------


def _cut(data: bytes, piece: int) -> list[bytes]:
    return [data[at : at + piece] for at in range(0, len(data), piece)]


def _pdvs(context: int, command: bool, pieces: list[bytes]) -> list[tuple[int, bool, bool, bytes]]:
    return [(context, command, index == len(pieces) - 1, one) for index, one in enumerate(pieces)]


def _packings(learned: Learned) -> Iterator[Conversation]:
    talk = Talk.of(learned)
    begin, clause = talk.begin(), "PS3.8 annex E"
    if talk.echoes:
        context, command = talk.ask_context, talk.command()
        for piece in (2, 8, 20, 40):
            pdvs = _pdvs(context, True, _cut(command, piece))
            apart = b"".join(map(p_data, pdvs))
            about = f"a command set in fragments of {piece} bytes"
            yield _good(
                f"command fragments: {piece}, a PDU each", about + ", a PDU each", clause, begin, _asked(talk, apart)
            )
            yield _good(
                f"command fragments: {piece}, one PDU",
                about + " in one PDU",
                clause,
                begin,
                _asked(talk, p_data(*pdvs)),
            )
        bits = bytearray(talk.ask())
        bits[11] |= 0xFC
        about = "bits 2 to 7 of the message control header are set"
        yield _good("control header bits", about, "PS3.8 E.2", begin, _asked(talk, bytes(bits)))
        bits = bytearray(talk.ask())
        bits[1] = 0xFF
        yield _good(
            "reserved byte of P-DATA",
            "the reserved byte of a P-DATA-TF is FF",
            "PS3.8 9.3.5",
            begin,
            _asked(talk, bytes(bits)),
        )
    release = Send(message=pdu(5, b"\xff" * 4, reserved=0xFF))
    about = "the reserved fields of an A-RELEASE-RQ are FF"
    yield _good("reserved fields of a release", about, "PS3.8 9.3.6", begin, release, RELEASED[1])
    if learned.window is not None:
        yield from _pipelined(talk, learned.window[0])
    if talk.storage is not None:
        yield from _objects(talk)


def _pipelined(talk: Talk, window: int) -> Iterator[Conversation]:
    if window == 1 or not talk.echoes:
        return
    other = talk.with_user(window=OperationsWindow(invoked=window, performed=1))
    many = min(window or 8, 8)
    asked = b"".join(other.ask(number) for number in range(1, many + 1))
    waits = (ANSWER,) * many
    about = f"{many} requests at once, as many as the window that the peer grants allows"
    yield _good("window used", about, "PS3.7 D.3.3.3", other.begin(), Send(message=asked), waits, RELEASED)
    one = p_data(*((other.ask_context, True, True, other.command(number)) for number in (1, 2)))
    about = "two messages in one P-DATA-TF"
    yield _good(
        "two messages in one PDU", about, "PS3.8 annex E", other.begin(), Send(message=one), waits[:2], RELEASED
    )


def _objects(talk: Talk) -> Iterator[Conversation]:
    begin, clause = talk.begin(), "PS3.8 annex E"
    context, command, data = talk.parts(1, "packed")
    head = (context, True, True, command)
    most = talk.learned.max_length or 1 << 20
    if len(command) + len(data) + 12 <= most:
        one = talk.in_one(context, command, data)
        yield _good(
            "command and data in one PDU",
            "a command set and its data set in one P-DATA-TF",
            clause,
            begin,
            _asked(talk, one),
        )
        pieces = p_data(head, *_pdvs(context, False, _cut(data, 100)))
        if len(pieces) - 6 <= most:
            yield _good(
                "many PDVs in one PDU",
                "a command set and its data set in many PDVs of one P-DATA-TF",
                clause,
                begin,
                _asked(talk, pieces),
            )
    small = p_data(head) + b"".join(map(p_data, _pdvs(context, False, _cut(data, 2))))
    yield _good("data in fragments of 2", "a data set in fragments of two bytes", clause, begin, _asked(talk, small))
    empty = p_data(head) + p_data((context, False, False, data)) + p_data((context, False, True, b""))
    if len(data) + 6 <= most:
        yield _good(
            "empty last fragment", "the last fragment of a data set is empty", clause, begin, _asked(talk, empty)
        )
    for kind in (0x0000, 0x0102, 0xFFFF):
        told = _edited(
            p_data(head), Edit("P-DATA-TF/PDV/C-STORE-RQ/(0000,0800)/value", Action.SET, kind.to_bytes(2, "little"))
        )
        rest = b"".join(map(p_data, _pdvs(context, False, _cut(data, min(most - 6 & ~1, len(data))))))
        about = f"a data set announced by 0x{kind:04X}: any value but 0101H does so"
        yield _good(f"data set type: {kind:04X}", about, "PS3.7 E.1", begin, _asked(talk, told + rest))
    yield from _full(talk, most)


def _full(talk: Talk, most: int) -> Iterator[Conversation]:
    """P-DATA-TFs that are exactly as long as the peer receives."""
    assert talk.storage is not None
    if not 1024 <= most <= 1 << 20:
        return
    context, accepted = talk.storage
    if accepted.transfer_syntax not in (uids.IMPLICIT_VR_LE, uids.EXPLICIT_VR_LE):
        return
    _, command, _ = talk.parts(1, "full")
    data = composite(accepted.abstract_syntax, uid("object", "full"), accepted.transfer_syntax, pixels=3 * most)
    for size, name in ((most, "exactly"), (most - 2, "two bytes less than")):
        pdus = p_data((context, True, True, command))
        pdus += b"".join(map(p_data, _pdvs(context, False, _cut(data, size - 6))))
        about = f"P-DATA-TFs of {name} the peer's Maximum Length"
        yield _good(f"full PDUs: {name} the maximum", about, "PS3.8 D.1", talk.begin(), _asked(talk, pdus))


# -- random ------------------------------------------------------------------------------------------------------


def _random(learned: Learned, random: Random) -> Conversation:
    """A good association with a few requests, in random packings and segments."""
    talk = Talk.of(learned)
    steps: list[Step] = [*talk.begin()]
    for number in range(1, random.randrange(2, 6)):
        steps += [Send(message=_packed(talk, number, random), piece=random.choice((0, 0, 1, 7, 100))), ANSWER]
    about = "requests that are right, in random packings"
    ends = RELEASED if random.random() < 0.8 else (CLOSE,)
    return _good("random packing", about, "PS3.8 annex E", tuple(steps), ends)


def _packed(talk: Talk, number: int, random: Random) -> bytes:
    most = min(talk.learned.max_length or 1 << 16, 1 << 16)
    if talk.storage is not None and random.random() < 0.6:
        context, command, data = talk.parts(number, "random", random.getrandbits(64))
        pdvs = _pdvs(context, True, _cut(command, random.choice((2, 14, 50, 400))))
        pdvs += _pdvs(context, False, _cut(data, random.choice((40, 200, 1000, 4000))))
        pdus: list[list[tuple[int, bool, bool, bytes]]] = [[]]
        size = 0
        for pdv in pdvs:
            size += len(pdv[3]) + 6
            if pdus[-1] and (size > most or random.random() < 0.3):
                pdus.append([])
                size = len(pdv[3]) + 6
            pdus[-1].append(pdv)
        return b"".join(p_data(*one) for one in pdus)
    return talk.find(number) if talk.finding is not None and random.random() < 0.5 else talk.ask(number)


def _systematic(learned: Learned) -> Iterator[Conversation]:
    yield from _common(learned)
    yield from in_turns(_packings(learned), _associations(learned))


FAMILIES: Final = (
    Family(
        name="good",
        about="valid conversations, common and unusual, which a peer has to serve",
        systematic=_systematic,
        random=_random,
    ),
)
