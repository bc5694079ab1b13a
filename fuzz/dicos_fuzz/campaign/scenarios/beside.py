"""Beside: a fault on one association while another one is open, which must go on as if nothing had happened.

Knows: faults of every kind, one each. Must not know: how a peer answers the fault itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

from dicos_proto.dimse.types import CEchoResponse
from dicos_proto.registry import uids

from ...conversation import Conversation, Open, Send, Step
from ...grammar.building import message, p_data
from ..knowledge import Learned
from .connections import points
from .family import Family
from .orders import on
from .scripts import (
    ABORT,
    ANSWER,
    ANY,
    CLOSE,
    PROVIDER_ABORT,
    RELEASE,
    RELEASE_RP,
    RELEASED,
    RESET,
    Talk,
    pdu,
    script,
)

__all__ = ["FAMILIES"]


def _faults(talk: Talk) -> Iterator[tuple[str, tuple[Step, ...]]]:
    """Yields each fault: its name, and the steps of a connection with it."""
    begin, ask, context = talk.begin(), talk.ask(), talk.ask_context
    nobody = CEchoResponse(message_id_being_responded_to=9, affected_sop_class_uid=uids.VERIFICATION, status=0)
    sent: tuple[tuple[str, bytes], ...] = (
        ("a PDU of unknown type", pdu(0x99)),
        ("a P-DATA-TF without a PDV", pdu(4)),
        ("a PDV that is longer than its PDU", pdu(4, b"\0\0\xff\xff" + bytes((context, 3)) + ask[12:])),
        ("a PDV on a context that was not accepted", p_data((251, True, True, ask[12:]))),
        ("garbage in place of a command set", p_data((context, True, True, b"\xff" * 40))),
        ("data without a command", p_data((context, False, True, bytes(40)))),
        ("a response to nobody", b"".join(message(context, nobody))),
        ("a second A-ASSOCIATE-RQ", talk.rq),
        ("an A-ASSOCIATE-RJ", pdu(3, bytes((0, 1, 1, 1)))),
        ("an A-RELEASE-RP", RELEASE_RP),
        ("an A-ABORT", ABORT),
        ("an A-ABORT of the provider", PROVIDER_ABORT),
        ("data behind an A-RELEASE-RQ", RELEASE + ask),
    )
    for name, wire in sent:
        yield name, (*begin, Send(message=wire), ANY, CLOSE)
    yield "an A-ASSOCIATE-RQ that is cut", (Open(), Send(message=pdu(1, talk.rq[6:-20])), ANY, CLOSE)
    yield "a PDU of unknown type before the A-ASSOCIATE-RQ", (Open(), Send(message=pdu(0x99)), ANY, CLOSE)
    for name, steps in points(talk):
        yield f"RST {name}", (*steps, RESET)
        yield f"FIN {name}", (*steps, CLOSE)


def _systematic(learned: Learned) -> Iterator[Conversation]:
    talk = Talk.of(learned)
    if learned.alone:
        return
    asked = (Send(message=talk.ask()), ANSWER)
    again = (Send(message=talk.ask(2)), ANSWER, *RELEASED)
    for name, steps in _faults(talk):
        about = f"{name} on another connection, between two requests on this one"
        yield script(
            f"beside/fault: {name}", about, "PS3.8 9.1", "others-served", talk.begin(), asked, on(1, steps), again
        )


def _random(learned: Learned, random: Random) -> Conversation:
    """Some of them in a row."""
    talk = Talk.of(learned)
    if learned.alone:
        return script(
            "beside/nothing", "an association without a request", "PS3.8 7.2", "served", talk.begin(), RELEASED
        )
    faults = [*_faults(talk)]
    chosen = [random.choice(faults) for _ in range(random.randrange(1, 4))]
    steps = tuple(step for number, (_, one) in enumerate(chosen, 1) for step in on(number, one))
    names = ", then ".join(name for name, _ in chosen)
    about = f"{names} on other connections, beside a good one"
    asked = (Send(message=talk.ask()), ANSWER)
    return script("beside/faults", about, "PS3.8 9.1", "others-served", talk.begin(), steps, asked, RELEASED)


FAMILIES: Final = (
    Family(
        name="beside",
        about="faults on one connection while another one is in use",
        systematic=_systematic,
        random=_random,
    ),
)
