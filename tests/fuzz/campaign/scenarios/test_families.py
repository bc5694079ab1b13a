"""All families: their conversations are values, end, are always the same, and blame no peer that does what it must.

The peer is our engine in memory, strict and with the tolerance of the commands; `test_real_peers` has others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from random import Random

import pytest

from dicos_fuzz.campaign.engines import LEARNED, Provider, User
from dicos_fuzz.campaign.expecting import EXPECTATIONS
from dicos_fuzz.campaign.judging import judge
from dicos_fuzz.campaign.knowledge import Accepted, Learned
from dicos_fuzz.campaign.memory import MemoryPlayer
from dicos_fuzz.campaign.scenarios import FAMILIES
from dicos_fuzz.conversation import (
    Conversation,
    Open,
    Send,
    Side,
    conversation_of_json,
    json_of_conversation,
)
from dicos_proto.registry import uids
from dicos_proto.tolerance import FIELD, STRICT, Tolerance

FAST = [name for name, family in FAMILIES.items() if not family.resource]
PLAIN = [name for name in FAST if not FAMILIES[name].tls]
"""Those that a peer in memory plays, which has no TLS; `test_secured` has the others."""
HEAVY = [name for name, family in FAMILIES.items() if family.resource]
PROPOSES = tuple(
    (number, uid, (uids.IMPLICIT_VR_LE,))
    for number, uid in ((1, uids.VERIFICATION), (3, uids.CT_IMAGE_STORAGE), (5, uids.STUDY_ROOT_GET))
)
KNOWN = replace(LEARNED, proposes=PROPOSES)
"""The facts known of `Provider`, and of `User`."""
PEERS: dict[str, Learned] = {
    "everything": KNOWN,
    "verification": Learned(),
    "storage": Learned(
        accepted=(Accepted(abstract_syntax=uids.CT_IMAGE_STORAGE, transfer_syntax=uids.DEFLATED_EXPLICIT_VR_LE),),
        max_length=0,
        services=frozenset({"C-STORE"}),
    ),
    "queries, alone": Learned(
        accepted=(Accepted(abstract_syntax=uids.MODALITY_WORKLIST_FIND, transfer_syntax=uids.EXPLICIT_VR_LE),),
        max_length=512,
        alone=True,
    ),
    "nothing known": Learned(accepted=(Accepted(abstract_syntax="1.2.3.4", transfer_syntax=uids.IMPLICIT_VR_LE),)),
}
MOST, FEW = 60, 10
"""Conversations of one family; fewer of a family whose conversations have dozens of associations each."""


def player(tolerance: Tolerance) -> MemoryPlayer:
    return MemoryPlayer(KNOWN, provider=partial(Provider, tolerance), user=partial(User, tolerance, ("echo", "get")))


def blamed(player: MemoryPlayer, conversations: Iterator[Conversation]) -> tuple[int, list[str]]:
    """Plays them all. Returns how many there were, and what the peer was blamed for."""
    count, found = 0, []
    for one in conversations:
        count += 1
        found += [f"{one.name}: {each.oracle}: {each.detail}" for each in judge(one, player.play(one), KNOWN)]
    return count, found


# -- no peer is blamed that does what it must ----------------------------------------------------------------------


@pytest.mark.parametrize("tolerance", [STRICT, FIELD], ids=["strict", "field"])
@pytest.mark.parametrize("name", PLAIN)
def test_our_engine_is_not_blamed(name: str, tolerance: Tolerance) -> None:
    """The most promising ones of each family; `test_our_engine_is_not_blamed_for_anything` takes all of them."""
    conversations = islice(FAMILIES[name].systematic(KNOWN), FEW if name == "repeated" else MOST)
    count, found = blamed(player(tolerance), conversations)
    assert count > 8 or name == "returned"  # which needs a peer that sends objects back
    assert found == []


@pytest.mark.slow  # some 6,000 conversations in all, and 2,000 of them once more
@pytest.mark.parametrize(("tolerance", "each"), [(STRICT, 1), (FIELD, 3)], ids=["strict", "field"])
@pytest.mark.parametrize("name", PLAIN)
def test_our_engine_is_not_blamed_for_anything(name: str, tolerance: Tolerance, each: int) -> None:
    _, found = blamed(player(tolerance), islice(FAMILIES[name].systematic(KNOWN), 0, None, each))
    assert found == []


@pytest.mark.parametrize("name", PLAIN)
def test_nor_for_random_conversations(name: str) -> None:
    random, most = Random(f"{name}, seed 1"), FEW if name == "repeated" else 15
    for tolerance in (STRICT, FIELD):
        _, found = blamed(player(tolerance), (FAMILIES[name].random(KNOWN, random) for _ in range(most)))
        assert found == []


@pytest.mark.slow  # some 4,000 conversations in all
@pytest.mark.parametrize("name", PLAIN)
def test_nor_for_thousands_of_them(name: str) -> None:
    random = Random(f"{name}, seed 2")
    for tolerance in (STRICT, FIELD):
        _, found = blamed(player(tolerance), (FAMILIES[name].random(KNOWN, random) for _ in range(100)))
        assert found == []


@pytest.mark.slow  # megabytes, and minutes of virtual time
@pytest.mark.parametrize("name", HEAVY)
def test_nor_for_conversations_that_take_much(name: str) -> None:
    random = Random(3)
    _, found = blamed(player(STRICT), FAMILIES[name].systematic(KNOWN))
    _, more = blamed(player(FIELD), (FAMILIES[name].random(KNOWN, random) for _ in range(3)))
    assert found + more == []


# -- they are values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("name", FAST)
def test_conversations_are_values_that_can_be_written_and_read(name: str, peer: str) -> None:
    """For a peer that accepts everything, and for those that accept little: no family fails for want of a context."""
    learned, family = PEERS[peer], FAMILIES[name]
    some = [*islice(family.systematic(learned), 0, 300, 10)]
    random = Random(5)
    some += [family.random(learned, random) for _ in range(3)]
    for one in some:
        assert conversation_of_json(json.loads(json.dumps(json_of_conversation(one)))) == one
        assert one.expect in EXPECTATIONS
        assert one.about
        assert one.clause
        assert one.name.startswith(f"{name}/")
        assert one.side is family.side
        assert isinstance(one.steps[0], Open)


@pytest.mark.parametrize("name", FAST)
def test_the_same_knowledge_gives_the_same_conversations(name: str) -> None:
    family = FAMILIES[name]
    assert [*islice(family.systematic(KNOWN), 40)] == [*islice(family.systematic(KNOWN), 40)]
    assert family.random(KNOWN, Random(9)) == family.random(KNOWN, Random(9))


def test_names_are_unique_but_for_random_ones() -> None:
    """A finding is named after its conversation: two of the same name would be confused."""
    for name in ("good", "states", "associations", "commands", "fragments", "contents", "connections", "foreign"):
        names = [one.name for one in FAMILIES[name].systematic(KNOWN)]
        assert len(names) == len({*names}), [one for one in names if names.count(one) > 1][:3]


def test_families_describe_themselves() -> None:
    assert all(family.name == name and family.about for name, family in FAMILIES.items())
    assert {family.side for family in FAMILIES.values()} == {*Side}
    assert set(HEAVY) == {"slow", "slow-calls", "resources", "bulk-contents", "endless-responses"}


def test_no_data_of_a_patient_is_sent() -> None:
    """Names, dates of birth and sexes are empty or FUZZ, and ids begin with FUZZ."""
    for name in ("good", "contents"):
        for one in islice(FAMILIES[name].systematic(KNOWN), 60):
            for step in one.steps:
                if isinstance(step, Send):
                    assert_no_patient(step.wire())


def assert_no_patient(wire: bytes) -> None:
    """Looks for the elements of the patient module in explicit VR."""
    for tag, allowed in (
        (b"\x10\x00\x10\x00PN", b"FUZZ"),
        (b"\x10\x00\x20\x00LO", b"FUZZ"),
        (b"\x10\x00\x30\x00DA", b""),
    ):
        at = wire.find(tag)
        if at >= 0:
            size = int.from_bytes(wire[at + 6 : at + 8], "little")
            value = wire[at + 8 : at + 8 + size]
            assert value.strip() == b"" or (allowed and value.startswith(allowed)) or value in (b"X ", b"*?" * 500)


def test_every_state_and_pdu_type_is_reached() -> None:
    """Both roles: the states that a peer can be brought into, with each of the PDU types and invalid ones."""
    found = {one.about for name in ("states", "calling-states") for one in FAMILIES[name].systematic(KNOWN)}
    for state in ("Sta2", "Sta3 or Sta6", "Sta6", "Sta8 or Sta13", "Sta13", "Sta5", "Sta7", "Sta9 or Sta11", "Sta11"):
        for pdu in ("A-ASSOCIATE-RQ", "A-ASSOCIATE-AC", "A-ASSOCIATE-RJ", "P-DATA-TF", "A-RELEASE-RQ", "A-RELEASE-RP",
                    "A-ABORT of the user", "PDU type 08"):  # fmt: skip
            assert f"{pdu} in {state}" in found
