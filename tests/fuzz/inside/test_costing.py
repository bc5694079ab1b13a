"""The search for dear tapes finds a cost that grows faster than its input."""

from dataclasses import replace

from dicos_fuzz.inside.costing import costs_of, shown
from dicos_fuzz.inside.target import Bounds, Target, Watch


def quadratic(data: bytes, watch: Watch) -> None:
    count = data.count(b"x")
    for _ in range(count):
        b"".join([b"x"] * (count // 8))


def linear(data: bytes, watch: Watch) -> None:
    bytes(5 * len(data))


def target(body: object) -> Target:
    return Target(
        name="planted", about="", body=body, seeds=lambda: [b"abxcd" * 9], longest=1 << 12,  # type: ignore[arg-type]
        bounds=Bounds(memory=1000, memory_a_byte=8, time=1000, time_a_byte=1),
    )  # fmt: skip


def test_a_quadratic_cost_is_seen_to_grow() -> None:
    long = replace(target(quadratic), grown=lambda random: b"x" * random.randrange(2048, 4096))
    found = costs_of(long, "1", 0.6)
    assert found.growth > 2
    assert found.by_time.of_time > 0.5
    assert found.by_time.seconds > 0
    assert "planted" in shown("planted", found)


def test_a_linear_cost_is_measured_for_each_byte() -> None:
    found = costs_of(target(linear), "1", 0.3)
    assert 4 < found.by_memory.memory / len(found.by_memory.tape) < 8
    assert found.by_memory.of_bound < 1
