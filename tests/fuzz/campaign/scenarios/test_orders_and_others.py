"""Orders, beside, returned, repeated: a provider without a fault is blamed for none of them, a broken one is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from random import Random

import pytest

from dicos_fuzz.campaign.expecting import scene
from dicos_fuzz.campaign.judging import judge
from dicos_fuzz.campaign.knowledge import Accepted, Learned
from dicos_fuzz.campaign.player import Peer, Player
from dicos_fuzz.campaign.probe import probe
from dicos_fuzz.campaign.scenarios import FAMILIES
from dicos_fuzz.campaign.scenarios.orders import LONGEST, every_three
from dicos_fuzz.conversation import Conversation, Send
from dicos_fuzz.finding import Violation
from dicos_proto.registry import uids
from tests.fuzz.broken.client import serving

NAMES = ("orders", "beside", "returned", "repeated")
ECHO = Learned(accepted=(Accepted(abstract_syntax=uids.VERIFICATION, transfer_syntax=uids.IMPLICIT_VR_LE),))
STORAGE = Learned(
    accepted=(Accepted(abstract_syntax=uids.CT_IMAGE_STORAGE, transfer_syntax=uids.IMPLICIT_VR_LE),),
    services=frozenset({"C-STORE"}),
)


@contextmanager
def playing(defect: str, *, patience: float = 10.0) -> Iterator[Player]:
    """A player that knows a provider with this defect, and waits this long for what may not come."""
    with serving(defect) as port, Player(Peer(host="127.0.0.1", port=port), Learned()) as player:
        player.learned = replace(probe(player), answer_seconds=patience)
        yield player


def blamed(player: Player, conversation: Conversation) -> list[Violation]:
    return judge(conversation, player.play(conversation), player.learned)


@pytest.mark.parametrize(("name", "most"), [("orders", 99), ("beside", 99), ("returned", 99), ("repeated", 24)])
def test_a_provider_without_a_fault_is_not_blamed(name: str, most: int) -> None:
    with playing("none") as player:
        cases = [one for one, _ in zip(FAMILIES[name].systematic(player.learned), range(most), strict=False)]
        cases += [FAMILIES[name].random(player.learned, Random(number)) for number in range(4)]
        assert len(cases) > 8
        assert [violation for case in cases for violation in blamed(player, case)] == []


@pytest.mark.parametrize(
    ("name", "defect", "oracle"),
    [
        ("orders", "cancel-then-store", "unanswered"),
        ("orders", "after-reject", "refused-valid"),
        ("orders", "second-message-lost", "unanswered"),
        ("beside", "neighbour-hurt", "refused-valid"),
        ("returned", "byte-changed", "object-changed"),
        ("fragments", "over-max-length", "accepted"),
    ],
)
def test_a_family_shows_a_defect(name: str, defect: str, oracle: str) -> None:
    with playing(defect, patience=1.0) as player:
        for case in FAMILIES[name].systematic(player.learned):
            found = [violation.oracle for violation in blamed(player, case)]
            if oracle in found:
                return
    pytest.fail(f"no conversation of {name} shows {defect}")


@pytest.mark.parametrize("defect", ["echo-store-abort", "slot-at-reset"])
def test_repeated_ends_use_up_the_slots_of_a_peer_that_loses_them(defect: str) -> None:
    with playing(defect, patience=1.0) as player:
        for case in FAMILIES["repeated"].systematic(player.learned):
            player.play(case)
            if all(player.echo(5.0) is None for _ in range(3)):
                assert player.last.rejected == (2, 3, 2)
                return
    pytest.fail(f"no conversation of repeated shows {defect}")


@pytest.mark.parametrize("learned", [ECHO, STORAGE], ids=["echo", "storage"])
@pytest.mark.parametrize("name", NAMES)
def test_a_family_needs_no_service(name: str, learned: Learned) -> None:
    family = FAMILIES[name]
    cases = [*family.systematic(learned), *(family.random(learned, Random(number)) for number in range(20))]
    assert all(one.name.startswith(f"{name}/") for one in cases)
    assert len({one.name for one in cases}) > (5 if name in ("orders", "repeated", "beside") else 0)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_knowledge_makes_the_same_conversations(name: str) -> None:
    family = FAMILIES[name]
    assert [*family.systematic(ECHO)] == [*family.systematic(ECHO)]
    assert family.random(STORAGE, Random(7)) == family.random(STORAGE, Random(7))


def test_a_peer_that_serves_one_at_a_time_meets_nobody_beside() -> None:
    alone = replace(ECHO, alone=True)
    assert [*FAMILIES["beside"].systematic(alone)] == []
    opened = {step.connection for step in FAMILIES["beside"].random(alone, Random(1)).steps if isinstance(step, Send)}
    assert opened == {0}


@pytest.mark.parametrize("kinds", range(1, 9))
def test_every_three_kinds_come_in_a_row_once(kinds: int) -> None:
    ring = every_three(kinds)
    assert len(ring) == kinds**3
    assert len({tuple((ring + ring[:2])[at : at + 3]) for at in range(len(ring))}) == kinds**3


def test_orders_overlap_so_that_no_three_are_lost() -> None:
    with playing("none") as player:
        cases = [
            one for one in FAMILIES["orders"].systematic(player.learned) if one.name.startswith("orders/operations")
        ]
        orders = [one.name.partition(": ")[2].split(", ") for one in cases]
        kinds = {name for order in orders for name in order}
        found = {tuple(order[at : at + 3]) for order in orders for at in range(len(order) - 2)}
    assert max(map(len, orders)) <= LONGEST
    assert len(found) == len(kinds) ** 3


def test_a_cancel_of_nothing_comes_alone_before_it_comes_in_one_pdu_with_a_request() -> None:
    """So a peer that aborts at any C-CANCEL shows that first, and under one name with the second."""
    with playing("none") as player:
        cases = [one for one in FAMILIES["orders"].systematic(player.learned) if "cancel of nothing" in one.name]
    assert [one.clause for one in cases] == ["PS3.7 9.3.2.3", "PS3.8 annex E"] * (len(cases) // 2)
    assert len(cases) >= 4
    assert {scene(one.name) for one in cases} == {"orders/cancel of nothing"}
    for alone, packed in zip(cases[::2], cases[1::2], strict=True):
        sent = [sum(isinstance(step, Send) for step in one.steps) for one in (alone, packed)]
        assert sent[0] == sent[1] + 1
