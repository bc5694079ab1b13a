"""Messages in pieces that may not be: wrong contexts, interleaving, missing ends, empty and endless fragments.

Knows: which PDV may follow which [PS3.8 annex E]. Must not know: what is in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from random import Random
from typing import Final

from ...conversation import Await, Conversation, Send
from ...grammar.building import p_data
from ..knowledge import Learned
from .family import Family, in_turns
from .scripts import ANY, CLOSE, FIN, Talk, pdu, script

__all__ = ["FAMILIES", "OVER_THE_MAXIMUM"]

LONGEST: Final = 1 << 18
"""The longest Maximum Length that is exceeded."""
MEBIBYTE: Final = 1 << 20
OVER_THE_MAXIMUM: Final = "over the Maximum Length"
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
    ask, free = talk.ask_context, next(number for number in range(77, 255, 2) if number not in ids)
    for number, name in ((free, "not proposed"), (0, "0"), (2, "even"), (255, "255")):
        if number not in ids:
            about = f"a request on presentation context {number}"
            wire = p_data((number, True, True, command))
            yield _case(talk, f"context {name}", about, "refused", wire, "PS3.8 9.3.5.1")
    start = p_data((ask, True, False, command[:20]))
    about = "a command set whose second fragment has another context"
    inside = start + p_data((free, True, True, command[20:]))
    yield _case(talk, "command goes on in another context", about, "refused", inside)
    others = sorted(ids - {ask})
    if others:
        mixed = start + p_data((others[0], True, True, command)) + p_data((ask, True, True, command[20:]))
        about = "two command sets on two contexts, interleaved"
        yield _case(talk, "interleaved command sets", about, "refused", mixed)
    if talk.storage is not None:
        yield from _inside_objects(talk, command)


def _inside_objects(talk: Talk, command: bytes) -> Iterator[Conversation]:
    """Something else where a data set is to come, or to go on."""
    where, stored, data = talk.parts(1, "contexts")
    ask, head = talk.ask_context, p_data((where, True, True, stored))
    begun = head + p_data((where, False, False, data[:100]))
    # fmt: off
    cases = (
        ("command inside a data set", "a command set inside a data set", begun + head),
        ("command where data is owed", "a second command set where a data set is to come", head + head),
        ("data set in another context", "a data set on another context than its command set",
         head + p_data((ask, False, True, data[:400]))),
        ("request inside a data set", "a request on another context inside a data set",
         begun + p_data((ask, True, True, command))),
    )
    # fmt: on
    for name, about, wire in cases if ask != where else cases[:2]:
        yield _case(talk, name, about, "refused", wire)


def _pieces(talk: Talk) -> Iterator[Conversation]:
    context, command, good = talk.ask_context, talk.command(), talk.ask()[6:]
    clause, empty = "PS3.8 9.3.5.1", (context, True, False, b"")
    first, rest = (context, True, False, command[:20]), (context, True, True, command[20:])
    tiny = [(context, True, at + 1 == len(command), command[at : at + 1]) for at in range(len(command))]
    # fmt: off
    cases = (
        ("data before any command", "a data set fragment as the first of an association", "refused",
         p_data((context, False, True, b"\x08\0\x52\0\0\0\0\0")), "PS3.8 annex E"),
        ("no PDV", "a P-DATA-TF without PDV", "refused", pdu(4), "PS3.8 9.3.5"),
        ("bytes behind the last PDV", "three bytes behind the PDV of a P-DATA-TF", "refused",
         pdu(4, good + bytes(3)), clause),
        ("half a header behind the last PDV", "four bytes behind the PDV of a P-DATA-TF", "refused",
         pdu(4, good + b"\0\0\0\2"), clause),
        ("command set of one byte", "a command set of one byte", "refused",
         p_data((context, True, True, b"\0")), "PS3.7 6.3.1"),
        ("empty command set", "a command set in an empty fragment", "refused",
         p_data((context, True, True, b"")), "PS3.7 6.3.1"),
        ("command marked as data", "a command set whose fragment says that it is a data set", "refused",
         p_data((context, False, True, command)), "PS3.8 annex E"),
        ("odd command fragments", "a command set in fragments of one byte; even ones", "answered",
         b"".join(map(p_data, tiny)), "PS3.8 E.1"),
        ("empty fragment inside", "an empty fragment inside a command set", "answered",
         p_data(first, empty, rest), "PS3.8 annex E"),
        ("empty data set not announced", "an empty data set behind a C-ECHO-RQ", "answered",
         p_data((context, True, True, command), (context, False, True, b"")), "PS3.7 E.1"),
        *((f"empty fragments: {many}", f"{many} empty fragments before a command set", "answered",
           p_data(empty) * many + p_data((context, True, True, command)), "limit: empty PDVs") for many in (17, 300)),
        *((f"PDV of {length}", f"a PDV of {length} bytes", "refused",
           pdu(4, length.to_bytes(4, "big") + bytes((context, 3))[:length]), clause) for length in (0, 1)),
        *((f"PDV longer than its PDU: {length}", f"a PDV that says {length} bytes, in a P-DATA-TF with 2", "refused",
           pdu(4, length.to_bytes(4, "big") + bytes((context, 3))), clause)
          for length in (3, 100, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)),
    )
    # fmt: on
    for name, about, expect, wire, clause in cases:
        yield _case(talk, name, about, expect, wire, clause)
    about = "a command set whose last fragment is missing"
    yield _case(talk, "command without end", about, "closes", p_data((context, True, False, command)), ends=True)


def _data(talk: Talk) -> Iterator[Conversation]:
    if talk.storage is None:
        return
    where, command, data = talk.parts(1, "fragments")
    head = (where, True, True, command)
    alone = p_data(head)
    odd = [(where, False, at + 101 >= len(data), data[at : at + 101]) for at in range(0, len(data), 101)]
    small = [(where, False, False, data[at : at + 2]) for at in range(0, 40, 2)]
    # fmt: off
    cases = (
        ("empty data set", "an object without a byte", "failed", p_data(head, (where, False, True, b"")), "PS3.4 B.2"),
        ("odd data fragments", "a data set in fragments of 101 bytes; even ones", "answered",
         alone + b"".join(map(p_data, odd)), "PS3.8 E.1"),
        ("data set in the command fragment", "a command set that goes on with the data set", "answered",
         p_data((where, True, True, command + data[:2000])), "PS3.8 annex E"),
        ("fragment behind the last one", "a data fragment behind the last one", "refused",
         alone + p_data((where, False, True, data[:4000])) + p_data((where, False, True, b"\0\0")), "PS3.8 annex E"),
        ("data set without end", "a data set whose last fragment is missing", "closes",
         alone + p_data((where, False, False, data[:400])), "PS3.8 annex E"),
        ("data set without end, in small pieces", "20 fragments of two bytes and no last one", "closes",
         alone + b"".join(map(p_data, small)), "PS3.8 annex E"),
    )
    # fmt: on
    for name, about, expect, wire, clause in cases:
        yield _case(talk, name, about, expect, wire, clause, ends=expect == "closes")


def _over_the_maximum(talk: Talk) -> Iterator[Conversation]:
    """A good object in a P-DATA-TF that no tolerance explains: some toolkits do not count the headers of PDVs, but this
    is longer than twice the peer's Maximum Length, and than a mebibyte."""
    most = talk.learned.max_length
    if talk.storage is None or not 0 < most <= LONGEST:
        return
    first = max(MEBIBYTE, 2 * most)
    where, command, data = talk.parts(1, "over the maximum", pixels=first + most)
    if len(data) <= first:  # it was deflated
        return
    size = most - 6 & ~1
    cuts = [0, *range(first, len(data), size), len(data)]
    pieces = [(where, False, end == len(data), data[at:end]) for at, end in pairwise(cuts)]
    wire = p_data((where, True, True, command)) + b"".join(map(p_data, pieces))
    about = f"a P-DATA-TF of {first + 6} bytes within a good object, with a Maximum Length of {most}"
    yield _case(talk, OVER_THE_MAXIMUM, about, "should-fail", wire, "PS3.8 D.1")


def _systematic(learned: Learned) -> Iterator[Conversation]:
    talk = Talk.of(learned)
    yield from _over_the_maximum(talk)
    if not talk.echoes:
        yield from _data(talk)
        return
    yield from in_turns(_contexts(talk), _pieces(talk), _data(talk))


def _random(learned: Learned, random: Random) -> Conversation:
    """PDVs of a message and of a request, in random order, packings, contexts and control headers."""
    talk = Talk.of(learned)
    pdvs: list[_PDV] = []
    if talk.storage is not None and random.random() < 0.7:
        where, stored, data = talk.parts(1, "random fragments", random.getrandbits(64))
        pdvs.append((where, True, True, stored))
        pdvs += [(where, False, at + 500 >= len(data), data[at : at + 500]) for at in range(0, len(data), 500)]
    pdvs.append((talk.ask_context, True, True, talk.command(random.choice((1, 1, 2)))))
    for _ in range(random.randrange(1, 4)):
        _disturb(pdvs, [2 * index + 1 for index in range(len(talk.offer.contexts))], random)
    pdus: list[list[_PDV]] = [[]]
    for pdv in pdvs:
        if pdus[-1] and random.random() < 0.5:
            pdus.append([])
        pdus[-1].append(pdv)
    about = "fragments in random order, contexts and control headers"
    wire = b"".join(p_data(*one) for one in pdus)
    tail = (FIN, ANY, ANY, Await(kinds=(99,)))
    return script(
        "fragments/random fragments", about, "PS3.8 annex E", "closes", talk.begin(), Send(message=wire), tail
    )


def _disturb(pdvs: list[_PDV], ids: list[int], random: Random) -> None:
    """Changes one of the PDVs, or their order."""
    at = random.randrange(len(pdvs))
    context, command, last, content = pdvs[at]
    match random.randrange(6):
        case 0 if len(pdvs) > 1:
            del pdvs[at]
        case 1:
            pdvs.insert(at, random.choice(pdvs))
        case 2:
            pdvs[at] = (random.choice([*ids, 0, 2, 77, 255]), command, last, content)
        case 3:
            pdvs[at] = (context, command, not last, content)
        case 4:
            pdvs[at] = (context, not command, last, content)
        case _:
            pdvs[at] = (context, command, last, content[: random.randrange(len(content) + 1)])


FAMILIES: Final = (
    Family(
        name="fragments",
        about="PDVs in wrong contexts, in a wrong order, empty, too long, without an end",
        systematic=_systematic,
        random=_random,
    ),
)
