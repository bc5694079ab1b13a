"""The cost that a peer can cause is bounded: memory by docs/limits.md, work linearly by the bytes sent.

The inputs are those of `tests.cost.inputs`. The engine is measured without a clock: twice the bytes make
twice the function calls. Processes are compared with the time of a step on this machine now, and measured again
if other load may have disturbed them. `make cost` measures all of them at full size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dicos_proto.limits import Limits
from tests.cost import bounds, engine, entries
from tests.cost.bounds import KIB, MIB
from tests.cost.contents import CONTENTS, DEFLATED, Content
from tests.cost.inputs import SAID_BY_CLIENTS, SAID_BY_PROVIDERS, SAID_BY_USERS, Input
from tests.cost.measuring import Cost, Entry, InProcess
from tests.cost.processes import is_possible

pytestmark = pytest.mark.timeout(600)

# -- the engine ------------------------------------------------------------------------------------------------------


def _linear(small: Cost, large: Cost) -> None:
    """Twice the bytes make twice the function calls."""
    times = max(1.0, large.size / max(small.size, 1))
    assert large.calls <= 1.25 * times * small.calls + 5000, (small, large)


def _of_engine(entry: InProcess, given: Input) -> None:
    size = int((16 if given.asked_for else 8) * KIB * given.share)
    large, small = entry.count(given, 2 * size), entry.count(given, size, memory=False)
    if given.asked_for:
        # The data to send and its queued part: their bytes, and the cost of their objects.
        assert large.memory <= 4 * size + 2 * Limits().queued + 512 * KIB, large
    elif given.opening is not None or given.extra is not None:
        assert large.memory <= 16 * large.size + 128 * KIB, large
        assert large.memory <= bounds.EACH
    else:
        assert large.memory <= 2 * engine.RECEIVED_AT_ONCE + 20 * Limits().command_set, large
    a_byte = bounds.CALLS_A_PIECE if given.name == "segments" else bounds.CALLS_A_BYTE
    assert large.calls <= a_byte * large.size + bounds.CALLS_AT_ALL, large
    _linear(small, large)


@pytest.mark.parametrize(
    "given", [one for one in SAID_BY_USERS if engine.EngineProvider().takes(one)], ids=lambda one: one.name
)
def test_the_engine_as_a_provider(given: Input) -> None:
    _of_engine(engine.EngineProvider(), given)


@pytest.mark.parametrize(
    "given", [one for one in SAID_BY_PROVIDERS if engine.EngineUser().takes(one)], ids=lambda one: one.name
)
def test_the_engine_as_a_user(given: Input) -> None:
    _of_engine(engine.EngineUser(), given)


@pytest.mark.parametrize("length", [8, 9, 12, 16, 32])
def test_what_is_cut_small_is_cut_when_it_is_taken(length: int) -> None:
    """A peer with the smallest accepted Maximum Length takes no more memory than one with a larger one."""
    by_name = {one.name: one for one in SAID_BY_USERS}
    size = MIB // 4
    small = engine.EngineProvider().count(by_name[f"Maximum Length {length}"], size)
    usual = engine.EngineProvider().count(by_name["Maximum Length 16384"], size)
    assert small.size > size
    assert small.memory <= usual.memory + 2 * Limits().queued, (small, usual)


def _of_content(entry: InProcess, content: Content, allowed: Callable[[int], int]) -> None:
    size = 4 * KIB if content.syntax != DEFLATED or content.share > 0.1 else 64 * KIB
    large, small = entry.count(content, 2 * size), entry.count(content, size, memory=False)
    assert large.memory <= allowed(large.size) + 512 * KIB, large
    bytes_ = bounds.weight(large.size, content)
    a_byte = bounds.CALLS_OF_CHECKING if isinstance(entry, engine.Checking) else bounds.CALLS_OF_DECODING
    assert large.calls <= a_byte * bytes_ + bounds.CALLS_AT_ALL, large
    _linear(small, large)


@pytest.mark.parametrize("content", CONTENTS, ids=lambda one: one.name)
def test_decoding(content: Content) -> None:
    _of_content(engine.Decoding(), content, lambda size: bounds.decoded(size, content, of_object=False))


@pytest.mark.parametrize("content", CONTENTS, ids=lambda one: one.name)
def test_decoding_an_object(content: Content) -> None:
    _of_content(engine.DecodingObject(), content, lambda size: bounds.decoded(size, content, of_object=True))


@pytest.mark.parametrize("content", CONTENTS, ids=lambda one: one.name)
def test_checking_an_object(content: Content) -> None:
    """Nothing of any input is kept."""
    _of_content(engine.Checking(), content, lambda size: 0)


@pytest.mark.parametrize("name", ["decimals", "names"])
def test_an_object_of_more_values_than_allowed_is_refused(name: str) -> None:
    """The memory is bounded by the bytes."""
    content = next(one for one in CONTENTS if one.name == name)
    size = 2 * Limits().object_values + KIB
    cost = engine.DecodingObject().count(content, size)
    assert cost.memory <= 3 * cost.size, cost


# -- processes -------------------------------------------------------------------------------------------------------

processes = pytest.mark.skipif(not is_possible(), reason="memory and time of processes are read in /proc, as on Linux")
SIZE = MIB // 2
TRIES = 3


def _attacked(entry: Entry, inputs: tuple[Input, ...]) -> list[str]:
    """Return the costs above the bounds, of each attempt."""
    too_dear: list[str] = []
    for given in inputs:
        if given.name not in bounds.TRIED[entry.side] or not entry.takes(given):
            continue
        size = int(SIZE * given.share)
        for _ in range(TRIES):
            found = bounds.exceeded(entry, given, entry.measure(given, size), size)
            if not found:
                break
        too_dear += found
    return too_dear


@pytest.fixture
def closing() -> Iterator[list[Any]]:
    made: list[Any] = []
    yield made
    for one in made:
        one.close()


@pytest.mark.slow  # hostile inputs to each provider, in processes of their own
@processes
@pytest.mark.parametrize("entry", entries.providers(), ids=lambda one: one.name)
def test_a_provider(entry: Entry, closing: list[Entry]) -> None:
    if isinstance(entry, entries.Page):
        pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")
    closing.append(entry)
    assert _attacked(entry, SAID_BY_CLIENTS if entry.side == "http" else SAID_BY_USERS) == []


@processes
@pytest.mark.parametrize("entry", entries.users(), ids=lambda one: one.name)
def test_a_user(entry: Entry, closing: list[Entry]) -> None:
    closing.append(entry)
    assert _attacked(entry, SAID_BY_PROVIDERS) == []


@pytest.mark.parametrize("name", ["C-STORE, items", "PDVs of 1", "Maximum Length 512, unread", "idle"])
@pytest.mark.parametrize(
    ("memory", "cpu", "dear"), [(MIB, 0.01, False), (512 * MIB, 0.01, True), (MIB, 120.0, True)], ids=str
)
def test_what_is_too_dear_is_found(name: str, memory: int, cpu: float, dear: bool) -> None:
    given = next(one for one in SAID_BY_USERS if one.name == name)
    found = bounds.exceeded(entries.Server("blocking", "session"), given, Cost(SIZE, memory, cpu), SIZE)
    assert bool(found) is dear
