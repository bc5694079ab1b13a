"""Conversations that take much: as much as the campaign may have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicos_fuzz.campaign.knowledge import Learned
from dicos_fuzz.campaign.scenarios.resources import FAMILIES
from dicos_fuzz.conversation import Check, Open


@pytest.mark.parametrize("most", [1, 7, 200])
def test_as_many_associations_are_held_open_as_the_campaign_may_have(most: int) -> None:
    (family,) = FAMILIES
    cases = {one.name: one for one in family.systematic(replace(Learned(), connections=most))}
    for name in ("silent connections", "half-open connections", "idle associations"):
        one = cases[f"resources/{name}"]
        assert sum(isinstance(step, Open) for step in one.steps) == most
        assert one.about.startswith(f"{most} ")


def test_good_associations_come_ten_to_a_bad_one_and_each_is_checked() -> None:
    (family,) = FAMILIES
    one = next(
        one for one in family.systematic(replace(Learned(), connections=50)) if one.name == "resources/bad and good"
    )
    opened = {step.connection for step in one.steps if isinstance(step, Open)}
    assert sum(isinstance(step, Check) for step in one.steps) == 10 * len(opened) == 200
