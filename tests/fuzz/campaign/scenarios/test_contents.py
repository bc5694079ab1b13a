"""Hostile contents at random: the data set is damaged, of an object or of a query, and the rest is right."""

from __future__ import annotations

from random import Random

from dicos_fuzz.campaign.engines import LEARNED
from dicos_fuzz.campaign.knowledge import Accepted, Learned
from dicos_fuzz.campaign.objects import query
from dicos_fuzz.campaign.scenarios import FAMILIES
from dicos_fuzz.conversation import Send
from dicos_fuzz.inside.oracles import check_sent, reassembled
from dicos_proto.dimse.codec import decode_command
from dicos_proto.limits import Limits
from dicos_proto.registry import uids
from dicos_proto.tolerance import Judge

QUERIES = Learned(
    accepted=(Accepted(abstract_syntax=uids.MODALITY_WORKLIST_FIND, transfer_syntax=uids.EXPLICIT_VR_LE),),
    max_length=512,
    alone=True,
)


def requests(learned: Learned) -> list[tuple[str, bytes | None]]:
    """The commands of twenty random conversations with their data sets."""
    found = []
    random = Random(1)
    for _ in range(20):
        made = FAMILIES["contents"].random(learned, random)
        _, message = (step.wire() for step in made.steps if isinstance(step, Send))
        check_sent(message)
        (one,) = reassembled(message)
        command, _ = decode_command(one.command, Judge(Limits()))
        found.append((command.NAME, one.data))
    return found


def test_a_peer_that_stores_gets_damaged_objects() -> None:
    found = requests(LEARNED)
    assert {name for name, _ in found} == {"C-STORE-RQ"}
    assert len(set(found)) == 20


def test_a_peer_that_only_finds_gets_damaged_identifiers() -> None:
    found = requests(QUERIES)
    assert {name for name, _ in found} == {"C-FIND-RQ"}
    assert len(set(found)) == 20
    assert query(uids.EXPLICIT_VR_LE) not in {data for _, data in found}


def test_a_peer_that_takes_no_data_sets_gets_a_good_request() -> None:
    assert set(requests(Learned())) == {("C-ECHO-RQ", None)}
