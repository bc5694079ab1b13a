"""`dicos storescp` over sockets: nothing of it is blamed, strict or with its tolerance for the field.

The processes, sockets and clocks are real, so what depends on time is repeated with patience, as a campaign does."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from dicos_fuzz.campaign.judging import TIMED, judge
from dicos_fuzz.campaign.knowledge import Learned
from dicos_fuzz.campaign.player import Peer, Player
from dicos_fuzz.campaign.probe import probe
from dicos_fuzz.campaign.scenarios import FAMILIES
from dicos_fuzz.conversation import Conversation, Side
from tests.interop.peers import our_provider

PATIENCE = 10.0
CALLED = [
    name for name, family in FAMILIES.items() if family.side is Side.USER and not family.resource and not family.tls
]


def blamed(port: int, learned: Learned, conversations: list[Conversation]) -> list[str]:
    quick = Player(Peer(port=port), learned)
    patient = Player(Peer(port=port), replace(learned, answer_seconds=PATIENCE))
    found = []
    for one in conversations:
        violations = judge(one, quick.play(one), learned)
        if any(each.oracle in TIMED for each in violations):
            violations = judge(one, patient.play(one), learned)
        found += [f"{one.name}: {each.oracle}: {each.detail}" for each in violations]
    return found


def some(learned: Learned, most: int, made: int, *, first: bool) -> list[Conversation]:
    """At most `most` systematic ones of each family, the `first` ones or evenly from all of them, and random ones."""
    random = Random(11)
    found = []
    for name in CALLED:
        step = 1 if first else -(-sum(1 for _ in FAMILIES[name].systematic(learned)) // most)
        found += islice(FAMILIES[name].systematic(learned), 0, step * most, step or 1)
        found += [FAMILIES[name].random(learned, random) for _ in range(made)]
    return found


def run(tmp_path: Path, tolerance: str, most: int, made: int, *, first: bool) -> list[str]:
    with our_provider("storescp", 0, "-od", tmp_path, "--tolerance", tolerance, status=1) as ours:  # some objects fail
        learned = probe(Player(Peer(port=ours.port), Learned()))
        assert {"C-ECHO", "C-STORE"} <= learned.services
        return blamed(ours.port, learned, some(learned, most, made, first=first))


@pytest.mark.parametrize("tolerance", ["strict", "field"])
def test_the_most_promising_conversations_show_nothing(tmp_path: Path, tolerance: str) -> None:
    assert run(tmp_path, tolerance, 12, 3, first=True) == []


@pytest.mark.slow  # some 700 conversations over sockets; `test_families` plays all of them in memory
@pytest.mark.parametrize("tolerance", ["strict", "field"])
def test_conversations_of_every_kind_show_nothing(tmp_path: Path, tolerance: str) -> None:
    assert run(tmp_path, tolerance, 40, 8, first=False) == []
