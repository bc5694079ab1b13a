"""Learns a peer that calls: what it proposes, which services it uses, how long a call takes.

Knows: how an A-ASSOCIATE-RQ is read. Must not know: what is tried with the result (`scenarios`).

The first call is served as a good provider would: everything is accepted, every request succeeds.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Final

from dicos_proto.dimse.types import DimseRequest
from dicos_proto.upper_layer.framing import foreign_protocol
from dicos_proto.upper_layer.pdu_types import AssociateRequest

from ..conversation import Answer, Await, Conversation, Open, Side, Step, What
from ..grammar.reading import pdus_of
from .heard import messages
from .knowledge import Accepted, Learned
from .lines import first_pdu
from .player import Player
from .probe import NoAssociation
from .responding import decoded

__all__ = ["probe_caller"]

REQUESTS: Final = 200
"""Requests of the first call that are answered."""
SLOWEST: Final = 2.0
LONGEST: Final = 15.0
"""Seconds that the first call may take."""


def probe_caller(player: Player) -> Learned:
    """Serves one call of the player's peer, and returns what is learned from it. Raises `NoAssociation`,
    `LocalTrouble`."""
    steps: list[Step] = [Open(), *([Answer()] * (REQUESTS + 2)), Await(kinds=(7,), seconds=1.0)]
    player.learned = replace(player.learned, answer_seconds=player.bounds.connect)
    bounds = player.bounds
    player.bounds = replace(bounds, seconds=bounds.called + LONGEST)
    found = player.play(Conversation(name="probe", steps=tuple(steps), side=Side.PROVIDER))
    player.bounds = bounds
    said = found.received()
    if found.how() is What.REFUSED:
        note = next(entry.note for entry in found.entries if entry.what is What.REFUSED)
        raise NoAssociation(f"no association: {note}")
    asked = next((decoded(pdu) for pdu in pdus_of(said)), None)
    if not isinstance(asked, AssociateRequest):
        name = foreign_protocol(said[:16])
        sent = f"sent {first_pdu(said) or repr(said[:16])}" if said else "sent nothing"
        seen = f"speaks {name}, not DICOM" if name else sent
        raise NoAssociation(f"the peer called, and {seen}")
    commands = [heard.command for heard in messages(said)]
    waits = [entry.at for entry in found.entries]
    longest = max((later - before for before, later in pairwise(waits[:-1])), default=0.1)
    theirs = asked.user_information
    accepted = tuple(
        Accepted(abstract_syntax=one.abstract_syntax, transfer_syntax=one.transfer_syntaxes[0])
        for one in asked.contexts
        if one.transfer_syntaxes
    )
    return Learned(
        called=asked.called_aet,
        calling=asked.calling_aet,
        accepted=accepted,
        max_length=theirs.max_length,
        window=None if theirs.window is None else (theirs.window.invoked, theirs.window.performed),
        echo_seconds=max(0.01, waits[-1] if waits else 0.01),
        answer_seconds=min(SLOWEST, max(0.2, 5 * longest)),
        services=frozenset(one.NAME.removesuffix("-RQ") for one in commands if isinstance(one, DimseRequest)),
        implementation=theirs.implementation_version_name or theirs.implementation_class_uid,
        alone=True,
    )
