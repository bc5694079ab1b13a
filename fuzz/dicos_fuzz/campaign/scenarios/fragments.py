"""Messages in pieces that may not be: wrong contexts, interleaving, missing ends, empty and endless fragments.

Knows: which PDV may follow which [PS3.8 annex E]. Must not know: what is in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

from ...conversation import Await, Conversation, Send
from ...grammar.building import p_data
from ..knowledge import Learned
from .family import Family
from .scripts import ANY, CLOSE, FIN, Talk, pdu, script

__all__ = ["FAMILIES"]

LONGEST: Final = 1 << 18
"""The longest Maximum Length that is exceeded."""
_REFUSAL: Final = Await(kinds=(3, 7))
_PDV = tuple[int, bool, bool, bytes]


def _case(
    talk: Talk, name: str, about: str, expect: str, wire: bytes, clause: str = "PS3.8 annex E", *, ends: bool = False
) -> Conversation:
    """One thing on an association. `ends`: it has no end, so this side ends its direction."""
    tail = (FIN, ANY, Await(kinds=(99,))) if ends else (_REFUSAL if expect == "refused" else ANY, CLOSE)
    return script(f"fragments/{name}", about, clause, expect, talk.begin(), Send(message=wire), tail)


def _contexts(talk: Talk) -> Iterator[Conversation]:
    command, ids = talk.command(), {2 * index + 1 for index in range(len(talk.offer.contexts))}
    free = next(number for number in range(77, 255, 2) if number not in ids)
    for number, name in ((free, "not proposed"), (0, "0"), (2, "even"), (255, "255")):
        if number not in ids:
            about = f"a request on presentation context {number}"
            yield _case(
                talk, f"context {name}", about, "refused", p_data((number, True, True, command)), "PS3.8 9.3.5.1"
            )
    inside = p_data((talk.ask_context, True, False, command[:20])) + p_data((free, True, True, command[20:]))
    yield _case(
        talk,
        "command goes on in another context",
        "a command set whose second fragment has another context",
        "refused",
        inside,
    )
    if len(ids) > 1:
        other = next(number for number in sorted(ids) if number != talk.ask_context)
        start = p_data((talk.ask_context, True, False, command[:20]))
        mixed = start + p_data((other, True, True, command)) + p_data((talk.ask_context, True, True, command[20:]))
        yield _case(talk, "interleaved command sets", "two command sets on two contexts, interleaved", "refused", mixed)
    if talk.storage is not None:
        where, stored, data = talk.parts(1, "contexts")
        head = p_data((where, True, True, stored))
        if talk.ask_context != where:
            wrong = head + p_data((talk.ask_context, False, True, data[:400]))
            yield _case(
                talk,
                "data set in another context",
                "a data set on another context than its command set",
                "refused",
                wrong,
            )
            asked = head + p_data((where, False, False, data[:100])) + p_data((talk.ask_context, True, True, command))
            yield _case(
                talk, "request inside a data set", "a request on another context inside a data set", "refused", asked
            )
        again = head + p_data((where, False, False, data[:100])) + head
        yield _case(talk, "command inside a data set", "a command set inside a data set", "refused", again)
        twice = head + head
        yield _case(
            talk, "command where data is owed", "a second command set where a data set is to come", "refused", twice
        )


def _pieces(talk: Talk) -> Iterator[Conversation]:
    context, command = talk.ask_context, talk.command()
    clause = "PS3.8 9.3.5.1"
    yield _case(
        talk,
        "data before any command",
        "a data set fragment as the first of an association",
        "refused",
        p_data((context, False, True, b"\x08\0\x52\0\0\0\0\0")),
    )
    yield _case(talk, "no PDV", "a P-DATA-TF without PDV", "refused", pdu(4), "PS3.8 9.3.5")
    for length in (0, 1):
        raw = length.to_bytes(4, "big") + bytes((context, 3))[:length]
        yield _case(talk, f"PDV of {length}", f"a PDV of {length} bytes", "refused", pdu(4, raw), clause)
    for length in (3, 100, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF):
        raw = length.to_bytes(4, "big") + bytes((context, 3))
        about = f"a PDV that says {length} bytes, in a P-DATA-TF with 2"
        yield _case(talk, f"PDV longer than its PDU: {length}", about, "refused", pdu(4, raw), clause)
    good = talk.ask()[6:]
    yield _case(
        talk,
        "bytes behind the last PDV",
        "three bytes behind the PDV of a P-DATA-TF",
        "refused",
        pdu(4, good + b"\0\0\0"),
        clause,
    )
    yield _case(
        talk,
        "half a header behind the last PDV",
        "four bytes behind the PDV of a P-DATA-TF",
        "refused",
        pdu(4, good + b"\0\0\0\2"),
        clause,
    )
    yield _case(
        talk,
        "command set of one byte",
        "a command set of one byte",
        "refused",
        p_data((context, True, True, b"\0")),
        "PS3.7 6.3.1",
    )
    yield _case(
        talk,
        "empty command set",
        "a command set in an empty fragment",
        "refused",
        p_data((context, True, True, b"")),
        "PS3.7 6.3.1",
    )
    odd = b"".join(p_data((context, True, at + 1 == len(command), command[at : at + 1])) for at in range(len(command)))
    yield _case(
        talk, "odd command fragments", "a command set in fragments of one byte; even ones", "answered", odd, "PS3.8 E.1"
    )
    yield _case(
        talk,
        "command without end",
        "a command set whose last fragment is missing",
        "closes",
        p_data((context, True, False, command)),
        ends=True,
    )
    between = p_data(
        (context, True, False, command[:20]), (context, True, False, b""), (context, True, True, command[20:])
    )
    yield _case(talk, "empty fragment inside", "an empty fragment inside a command set", "answered", between)
    for many in (17, 300):
        empty = p_data((context, True, False, b"")) * many + p_data((context, True, True, command))
        yield _case(
            talk,
            f"empty fragments: {many}",
            f"{many} empty fragments before a command set",
            "answered",
            empty,
            "limit: empty PDVs",
        )
    as_data = p_data((context, False, True, command))
    yield _case(
        talk, "command marked as data", "a command set whose fragment says that it is a data set", "refused", as_data
    )
    tail = p_data((context, True, True, command), (context, False, True, b""))
    yield _case(talk, "empty data set not announced", "an empty data set behind a C-ECHO-RQ", "answered", tail)


def _data(talk: Talk) -> Iterator[Conversation]:
    if talk.storage is None:
        return
    where, command, data = talk.parts(1, "fragments")
    head = (where, True, True, command)
    yield _case(
        talk,
        "data set without end",
        "a data set whose last fragment is missing",
        "closes",
        p_data(head) + p_data((where, False, False, data[:400])),
        ends=True,
    )
    yield _case(
        talk,
        "empty data set",
        "an object without a byte",
        "failed",
        p_data(head, (where, False, True, b"")),
        "PS3.4 B.2",
    )
    odd = [(where, False, at + 101 >= len(data), data[at : at + 101]) for at in range(0, len(data), 101)]
    yield _case(
        talk,
        "odd data fragments",
        "a data set in fragments of 101 bytes; even ones",
        "answered",
        p_data(head) + b"".join(map(p_data, odd)),
        "PS3.8 E.1",
    )
    joined = p_data((where, True, True, command + data[:2000]))
    yield _case(
        talk, "data set in the command fragment", "a command set that goes on with the data set", "answered", joined
    )
    after = p_data(head) + b"".join(p_data((where, False, False, data[at : at + 2])) for at in range(0, 40, 2))
    yield _case(
        talk,
        "data set without end, in small pieces",
        "20 fragments of two bytes and no last one",
        "closes",
        after,
        ends=True,
    )
    full = p_data(head) + p_data((where, False, True, data[:4000])) + p_data((where, False, True, b"\0\0"))
    yield _case(talk, "fragment behind the last one", "a data fragment behind the last one", "refused", full)
    most = talk.learned.max_length
    if 0 < most <= LONGEST:
        long_one = talk.parts(1, "over the maximum", pixels=2 * most)[2]
        command = talk.parts(1, "over the maximum")[1]
        wire = p_data((where, True, True, command)) + p_data((where, False, False, long_one[: most - 4]))
        rest = [long_one[at : at + most - 6] for at in range(most - 4, len(long_one), most - 6)]
        wire += b"".join(p_data((where, False, index == len(rest) - 1, one)) for index, one in enumerate(rest))
        about = "a P-DATA-TF two bytes longer than the peer's Maximum Length, within a good object"
        yield _case(talk, "over the Maximum Length", about, "should-fail", wire, "PS3.8 D.1")


def _systematic(learned: Learned) -> Iterator[Conversation]:
    talk = Talk.of(learned)
    if not talk.echoes:
        yield from _data(talk)
        return
    yield from _contexts(talk)
    yield from _pieces(talk)
    yield from _data(talk)


def _random(learned: Learned, random: Random) -> Conversation:
    """PDVs of a message and of a request, in random order, packings, contexts and control headers."""
    talk = Talk.of(learned)
    ids = [2 * index + 1 for index in range(len(talk.offer.contexts))]
    command = talk.command(random.choice((1, 1, 2)))
    pdvs: list[_PDV] = []
    if talk.storage is not None and random.random() < 0.7:
        where, stored, data = talk.parts(1, "random fragments", random.getrandbits(64))
        pdvs.append((where, True, True, stored))
        pdvs += [(where, False, at + 500 >= len(data), data[at : at + 500]) for at in range(0, len(data), 500)]
    pdvs.append((talk.ask_context, True, True, command))
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(pdvs))
        context, is_command, last, content = pdvs[at]
        match random.randrange(6):
            case 0 if len(pdvs) > 1:
                del pdvs[at]
            case 1:
                pdvs.insert(at, random.choice(pdvs))
            case 2:
                pdvs[at] = (random.choice([*ids, 0, 2, 77, 255]), is_command, last, content)
            case 3:
                pdvs[at] = (context, is_command, not last, content)
            case 4:
                pdvs[at] = (context, not is_command, last, content)
            case _:
                pdvs[at] = (context, is_command, last, content[: random.randrange(len(content) + 1)])
    pdus: list[list[_PDV]] = [[]]
    for pdv in pdvs:
        if pdus[-1] and random.random() < 0.5:
            pdus.append([])
        pdus[-1].append(pdv)
    about = "fragments in random order, contexts and control headers"
    wire = b"".join(p_data(*one) for one in pdus)
    return script(
        "fragments/random fragments",
        about,
        "PS3.8 annex E",
        "closes",
        talk.begin(),
        Send(message=wire),
        FIN,
        ANY,
        ANY,
        Await(kinds=(99,)),
    )


FAMILIES: Final = (
    Family(
        name="fragments",
        about="PDVs in wrong contexts, in a wrong order, empty, too long, without an end",
        systematic=_systematic,
        random=_random,
    ),
)
