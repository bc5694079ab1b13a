"""Every target holds on its seeds, on any bytes, on what its grammar makes, and on every tape that was a finding."""

from __future__ import annotations

import itertools
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("pydicom", reason="pydicom is not installed")

from dicos_fuzz.inside.loop import replay, warnings_found
from dicos_fuzz.inside.tapes import read_tape
from dicos_fuzz.inside.targets import TARGETS

CORPUS = Path(__file__).resolve().parent.parent / "corpus"
TAPES = sorted(CORPUS.rglob("*.tape"))
QUICK = [name for name, one in TARGETS.items() if not one.isolated and not name.startswith(("pair", "tls", "model"))]
SLOW = [name for name in TARGETS if name not in QUICK]
EXAMPLES = settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True, scope="module")
def no_warnings() -> object:
    with warnings_found():
        yield


@pytest.mark.parametrize("path", TAPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_was_found_once_is_not_found_again(path: Path) -> None:
    name, tape = read_tape(path)
    assert name == path.parent.name
    crash = replay(TARGETS[name], tape)
    assert crash is None, crash.trace


@pytest.mark.parametrize("name", QUICK)
def test_the_seeds_of_a_target_show_nothing(name: str) -> None:
    target = TARGETS[name]
    seeds = list(target.seeds())
    assert seeds
    for seed in itertools.islice(seeds, 0, None, max(1, len(seeds) // 60)):
        target.run(seed)


@pytest.mark.parametrize("name", SLOW)
def test_some_seeds_of_a_slow_target_show_nothing(name: str) -> None:
    seeds = list(TARGETS[name].seeds())
    for seed in itertools.islice(seeds, 0, None, max(1, len(seeds) // 12)):
        TARGETS[name].run(seed)


@pytest.mark.parametrize("name", QUICK)
@EXAMPLES
@given(data=st.binary(max_size=400))
def test_any_bytes_are_a_tape(name: str, data: bytes) -> None:
    TARGETS[name].run(data)


@pytest.mark.parametrize("name", SLOW)
@EXAMPLES
@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_tape_of_a_slow_target(name: str, data: bytes) -> None:
    TARGETS[name].run(data)


@pytest.mark.parametrize("name", [name for name in QUICK if TARGETS[name].made is not None])
@EXAMPLES
@given(random=st.randoms(use_true_random=False))
def test_what_the_grammar_makes_shows_nothing(name: str, random: Random) -> None:
    made = TARGETS[name].made
    assert made is not None
    TARGETS[name].run(made(random))


STRUCTURED = ("pdu", "dissect", "association-acceptor", "association-requestor", "services-provider")


@pytest.mark.parametrize("name", STRUCTURED)
@EXAMPLES
@given(head=st.binary(min_size=5, max_size=5), kind=st.integers(0x80, 0xFF), rest=st.binary(max_size=60))
def test_a_tape_may_name_a_base_and_changes(name: str, head: bytes, kind: int, rest: bytes) -> None:
    """Shrunk by Hypothesis, it is a base without a change."""
    size = {"pdu": 1, "dissect": 0, "services-provider": 3}.get(name, 5)
    TARGETS[name].run(head[:size] + bytes((kind,)) + rest)


def test_the_names_are_those_of_the_command_line() -> None:
    assert all(one.name == name and name.replace("-", "").isalnum() and one.about for name, one in TARGETS.items())
    assert {path.parent.name for path in TAPES} <= set(TARGETS)
    assert len(TARGETS) > 25
