"""The loop finds what is planted, makes it small, keeps what is new, and does the same again with the same seed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from random import Random

import pytest

from dicos_fuzz.inside.loop import Loop, Overtime, Running, replay, stalls_found, warnings_found
from dicos_fuzz.inside.measuring import memory_of, scale, time_of
from dicos_fuzz.inside.target import Bounds, OracleFailure, Target, Watch, check, words

Body = Callable[[bytes, Watch], None]


def target(body: Body, **options: object) -> Target:
    given: dict[str, object] = {"name": "planted", "about": "", "seeds": lambda: [b"seed"], "words": (b"BUG",)}
    return Target(body=body, **{**given, **options})  # type: ignore[arg-type]


def planted(data: bytes, watch: Watch) -> None:
    watch(len(data) > 8)
    check(b"BUG" not in data, f"a bug at {data.find(b'BUG')}")


def run(loop: Loop, executions: int) -> Loop:
    while loop.executions < executions:
        loop.run(0.05)
    return loop


def test_a_planted_fault_is_found_and_made_small() -> None:
    loop = run(Loop(target(planted), "1"), 2000)
    (crash,) = loop.crashes.values()
    assert crash.tape == b"BUG"
    assert crash.error == "OracleFailure: a bug at 0"
    assert loop.untold == [crash]
    assert "check(b" in crash.trace
    assert replay(target(planted), crash.tape) is not None
    assert replay(target(planted), b"seed") is None


def test_the_same_seed_tries_the_same_tapes() -> None:
    def tapes(seed: str) -> list[bytes]:
        seen: list[bytes] = []

        def body(data: bytes, watch: Watch) -> None:
            seen.append(data)
            watch(data[:1])

        made = target(body, made=lambda random: random.randbytes(3), bounds=Bounds(time=10**9))
        loop = Loop(made, seed)
        run(loop, 300)
        return seen[:200]

    assert tapes("1") == tapes("1") != tapes("2")


def test_tapes_that_show_something_new_are_kept() -> None:
    def body(data: bytes, watch: Watch) -> None:
        for value in data[:3]:
            watch(value & 7)

    loop = run(Loop(target(body), "1", [b"\1\2\3", b"\1\2\3"]), 1500)
    assert loop.kept[:2] == [b"seed", b"\1\2\3"]
    assert b"\1\2\3" not in loop.new
    assert 20 < len(loop.kept) <= 9 * 9
    assert len(loop.watch.seen) <= 9 * 9


def test_memory_beyond_the_bound_is_a_finding() -> None:
    def body(data: bytes, watch: Watch) -> None:
        watch(data.startswith(b"BIG"))
        if data.startswith(b"BIG"):
            bytearray(200_000)

    small = Bounds(memory=100_000, memory_a_byte=1)
    crash = replay(target(body, bounds=small), b"BIG")
    assert crash is not None
    assert crash.error.startswith("OracleFailure: memory: 200")
    assert replay(target(body, bounds=Bounds(memory=300_000)), b"BIG") is None
    loop = run(Loop(target(body, bounds=small, seeds=lambda: [b"BI"], words=(b"G",)), "3"), 3000)
    assert [one.error[:21] for one in loop.crashes.values()] == ["OracleFailure: memory"]


def test_time_beyond_the_bound_is_a_finding() -> None:
    def body(data: bytes, watch: Watch) -> None:
        if data == b"slow":
            sum(range(300_000))

    slow = target(body, bounds=Bounds(time=200, time_a_byte=1))
    crash = replay(slow, b"slow")
    assert crash is not None
    assert crash.error.startswith("OracleFailure: time: ")
    assert replay(slow, b"fast") is None
    loop = Loop(target(body, bounds=Bounds(time=200, time_a_byte=1), seeds=lambda: [b"slow"]), "1")
    loop.run(0.01)
    assert len(loop.crashes) == 1
    assert loop.dearest[0] < 1


def test_a_warning_is_a_finding() -> None:
    def body(data: bytes, watch: Watch) -> None:
        if data:
            warnings.warn(f"odd {data!r}", stacklevel=2)

    with warnings_found():
        crash = replay(target(body), b"x")
        assert crash is not None
        assert crash.error == "OracleFailure: warning: odd b'x'"
        assert replay(target(body), b"") is None
        assert len(run(Loop(target(body), "1"), 100).crashes) == 1


def test_a_run_without_end_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicos_fuzz.inside.loop._STALL", 0.1)  # seconds of processor time

    def body(data: bytes, watch: Watch) -> None:
        while data == b"seed":
            pass

    with stalls_found():
        loop = Loop(target(body), "1")
        loop.run(0.01)
    (crash,) = loop.crashes.values()
    assert crash.error.startswith("Overtime: does not end within")
    assert issubclass(Overtime, OracleFailure)
    assert Running.number > 0


def test_observations_are_pairs_and_errors_their_words() -> None:
    watch = Watch()
    watch("a")
    assert watch.fresh
    watch.begin()
    watch("a")
    assert not watch.fresh
    watch("b")
    assert watch.fresh
    assert words("a length of 17 bytes") == "a length of "
    watch.begin()
    watch.fault(ValueError("17 of 'x'"))
    assert watch.fresh
    watch.begin()
    watch.fault(ValueError("18 of 'y'"))
    assert not watch.fresh


def test_costs_are_measured() -> None:
    assert 1_000_000 <= memory_of(lambda: bytes(1_000_000)) < 1_100_000
    assert time_of(lambda: sum(range(100_000))) > time_of(lambda: None)
    assert 1 <= scale() < 1000
    assert Bounds(memory=10, memory_a_byte=2).bytes_allowed(5) == 20
    assert Bounds(time=10, time_a_byte=3).microseconds_allowed(5) == 25
    assert Random(1).random() < 1
