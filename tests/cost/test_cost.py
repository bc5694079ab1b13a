"""What a peer can take is bounded: memory by what docs/limits.md says, processor time by a line through the bytes sent.

The inputs are those of `tests.cost.inputs`, which see; `make cost` measures them all at full size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dicos_proto.limits import Limits
from dicos_transports.admission import most_bytes
from tests.cost import entries
from tests.cost.contents import CONTENTS, Content
from tests.cost.entries import Cost, Entry
from tests.cost.inputs import SAID_BY_PROVIDERS, SAID_BY_USERS, Input
from tests.cost.processes import is_possible

pytestmark = pytest.mark.timeout(600)
KIB, MIB = 1 << 10, 1 << 20
EACH = most_bytes(Limits())
"""What an association may hold."""
ALLOCATOR = 12 * MIB
"""What a process may have more than Python has objects: pages that are not full, stacks of threads, code."""
WHOLE = 5
"""Bytes a byte of a data set that a function is given whole: as it comes, as bytes, as a file, as pydicom has it."""
ELEMENT, ITEM, VALUE = 500, 1600, 100
"""What each takes at most when pydicom has decoded it, in bytes."""


def decoded(wire: int, *, of_object: bool) -> int:
    """What a data set of so many bytes on the wire may take when it is decoded, as `Limits` bounds it."""
    limits = Limits()
    prefix = "object_" if of_object else ""
    elements, items = (min(wire * 100 // 8, getattr(limits, prefix + name)) for name in ("elements", "items"))
    long = min(limits.collected if of_object else limits.attributes, max(limits.inflate_ratio * wire, MIB))
    return ELEMENT * elements + ITEM * items + VALUE * limits.values + WHOLE * long


# -- the engine ------------------------------------------------------------------------------------------------------


def _sized(given: Input, size: int) -> int:
    return int(size * given.share)


def _linear(measure: Callable[[int], Cost], small: Cost, large: Cost, *, least: float) -> None:
    """Twice the bytes take twice the time; what is over before it can be measured takes none.

    On a busy machine the same work takes up to twice its time: what is too much is measured again.
    """
    for _ in range(4):
        if large.cpu <= 3 * max(small.cpu, least) * max(1.0, large.size / max(2 * small.size, 1)):
            return
        small, large = measure(1), measure(2)
    raise AssertionError(f"more than three times the time for twice the bytes: {small}, {large}")


def _of_engine(entry: Entry, given: Input) -> None:
    size = (128 if given.asked_for else 64) * KIB

    def measure(times: int) -> Cost:
        return entry.measure(given, _sized(given, size) * times)

    small, large = measure(1), measure(2)
    if given.asked_for:
        # What it was given to send, and what is queued of it: as many bytes, objects counted with what they cost.
        assert large.memory <= 2 * size + 2 * Limits().queued + 512 * KIB, large
    elif given.opening is not None or given.extra is not None:
        assert large.memory <= 16 * large.size + 128 * KIB, large
        assert large.memory <= EACH
    else:
        assert large.memory <= 2 * entries.RECEIVED_AT_ONCE + 20 * Limits().command_set, large
    _linear(measure, small, large, least=0.02)


@pytest.mark.parametrize(
    "given", [one for one in SAID_BY_USERS if entries.EngineProvider().takes(one)], ids=lambda one: one.name
)
def test_the_engine_as_a_provider(given: Input) -> None:
    _of_engine(entries.EngineProvider(), given)


@pytest.mark.parametrize(
    "given", [one for one in SAID_BY_PROVIDERS if entries.EngineUser().takes(one)], ids=lambda one: one.name
)
def test_the_engine_as_a_user(given: Input) -> None:
    _of_engine(entries.EngineUser(), given)


@pytest.mark.parametrize("content", CONTENTS, ids=lambda one: one.name)
def test_decoding(content: Content) -> None:
    """A megabyte, and two: what is long enough to take more than is allowed is refused before it is decoded."""

    def measure(times: int) -> Cost:
        return entries.Decoding().measure(content, times * MIB)

    small, large = measure(1), measure(2)
    assert large.memory <= decoded(large.size, of_object=False), large
    _linear(measure, small, large, least=0.3)


# -- processes -------------------------------------------------------------------------------------------------------

processes = pytest.mark.skipif(not is_possible(), reason="memory and time of processes are read in /proc, as on Linux")
AGAINST_PROVIDERS = (
    "unknown items", "half requests", "C-STORE, elements", "C-STORE, items", "C-STORE, deflated",
    "C-STORE, deflated items", "C-STORE, nested often", "C-FIND, elements", "C-FIND, items", "C-FIND, deflated items",
    "C-FIND, unknown", "PDVs of 1", "a PDU each", "empty PDVs", "unfinished", "reset", "endless command",
    "tags in commands", "C-ECHO flood", "C-ECHO flood, unread", "C-CANCEL flood", "C-FIND flood, unread",
    "Maximum Length 8", "Maximum Length 16", "Maximum Length 8, unread", "Maximum Length 0, unread",
)  # fmt: skip
AGAINST_USERS = (
    "unknown items", "ECHO, pending", "STORE, pending", "FIND, pending", "FIND, matches", "GET, pending",
    "MOVE, pending", "FIND, elements", "FIND, items", "FIND, deflated items", "GET, items", "GET, PDVs of 1",
    "GET, many", "GET, many, unread", "requests, unread", "STORE, Maximum Length 8", "STORE, Maximum Length 16",
    "STORE, Maximum Length 8, unread",
)  # fmt: skip


def _attacked(entry: Entry, inputs: tuple[Input, ...], names: tuple[str, ...], size: int) -> list[str]:
    """What was too dear."""
    too_dear = []
    for given in inputs:
        if given.name not in names or not entry.takes(given):
            continue
        cost = entry.measure(given, _sized(given, size))
        allowed = given.connections * EACH + ALLOCATOR
        if entry.name.startswith(("Application", "connect", "findscu")) and given.operation in ("store", "find"):
            allowed += decoded(cost.size // given.connections, of_object=given.operation == "store")
        if given.asked_for:
            allowed += 2 * size  # what it sends is in its memory
        print(f"{entry.name}: {given.name}: {cost}, {allowed:,} allowed")
        if cost.memory > allowed:
            too_dear.append(f"{given.name}: {cost.memory:,} bytes of memory, {allowed:,} allowed ({cost.size:,} sent)")
        most = MOST_MICROSECONDS * (Limits().inflate_ratio if "deflated" in given.name else 1)
        if cost.cpu > 0.5 and cost.microseconds_a_byte > most:
            too_dear.append(f"{given.name}: {cost.microseconds_a_byte:.1f} us a byte")
    return too_dear


SIZE = 3 * MIB // 2
MOST_MICROSECONDS = 40.0
"""Of processor time for each byte: some ten times what the dearest input takes on a busy machine. Something that is not
linear, or that takes a multiple of it, is beyond."""


@pytest.fixture
def closing() -> Iterator[list[Any]]:
    made: list[Any] = []
    yield made
    for one in made:
        one.close()


@processes
@pytest.mark.parametrize("entry", entries.providers(), ids=lambda one: one.name)
def test_a_provider(entry: Entry, closing: list[Entry]) -> None:
    closing.append(entry)
    assert _attacked(entry, SAID_BY_USERS, AGAINST_PROVIDERS, SIZE) == []


@processes
@pytest.mark.parametrize("entry", entries.users(), ids=lambda one: one.name)
def test_a_user(entry: Entry, closing: list[Entry]) -> None:
    closing.append(entry)
    assert _attacked(entry, SAID_BY_PROVIDERS, AGAINST_USERS, SIZE) == []
