"""Many associations at once: they are kept apart, chosen by address, title and time, and bounded in memory."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from dicos_fuzz.captures.events import Connection, Data, Event, How, Note, Opened
from dicos_fuzz.captures.packets import Endpoint
from dicos_fuzz.trace.entries import Began, CommandSaid, Over, PduSaid, Problem
from dicos_fuzz.trace.marks import Kind
from dicos_fuzz.trace.tracer import MOST_HELD, Tracer, Wanted
from tests.fuzz.trace.saying import RELEASE, Kept, Said, connection, events, opened
from tests.fuzz.trace.test_association import echo

GOOD: list[Said] = [*opened(), *echo(), *RELEASE]


def run(wanted: Wanted, *connections: list[Event]) -> tuple[Kept, Tracer]:
    """The events of several connections, one from each in turn."""
    kept = Kept()
    tracer = Tracer([kept], wanted)
    for turn in range(max(map(len, connections))):
        for one in connections:
            if turn < len(one):
                tracer.feed(one[turn])
    tracer.end()
    return kept, tracer


def good(number: int = 1, *, at: int = 0) -> list[Event]:
    return list(events(GOOD, connection(number, at=at)))


def test_associations_are_kept_apart() -> None:
    kept, tracer = run(Wanted(), good(5), good(9), good(7))
    assert [trace.number for trace in kept.traces] == [1, 2, 3]
    assert [trace.connection.number for trace in kept.traces] == [5, 9, 7]
    assert all(trace.messages == [1, 1] for trace in kept.traces)
    assert (tracer.results.associations, tracer.results.messages, tracer.results.not_wanted) == (3, 6, 0)
    assert tracer._cost == 0


ADDRESSES = {
    "10.0.0.1/32": True,
    "10.0.0.0/24": True,
    "10.0.1.0/24": False,
    "::/0": False,
}


@pytest.mark.parametrize(("network", "shown"), ADDRESSES.items())
def test_associations_are_chosen_by_address(network: str, shown: bool) -> None:
    kept, tracer = run(Wanted(places=((ip_network(network), None),)), good())
    assert bool(kept.entries) is shown
    assert tracer.results.not_wanted == (not shown)


def test_associations_are_chosen_by_address_and_port() -> None:
    assert run(Wanted(places=((ip_network("10.0.0.2"), 104),)), good())[0].entries
    assert not run(Wanted(places=((ip_network("10.0.0.1"), 104),)), good())[0].entries


def test_associations_are_chosen_by_title() -> None:
    for title, shown in (("USER", True), ("PROVIDER", True), ("user", False), ("OTHER", False)):
        kept, tracer = run(Wanted(titles=frozenset({title})), good(), good(2))
        assert bool(kept.entries) is shown
        assert tracer.results.not_wanted == (0 if shown else 2)
        if shown:
            assert kept.entries == run(Wanted(), good(), good(2))[0].entries or len(kept.of(CommandSaid)) == 4


def test_with_a_title_what_came_before_the_request_is_shown_in_its_place() -> None:
    one = connection()
    said = [Opened(one), Note(one, True, 1, "TLS: remark"), *list(events(GOOD, one))[1:]]
    kept, _ = run(Wanted(titles=frozenset({"USER"})), said)
    assert [type(entry) for entry in kept.entries[:3]] == [Began, Problem, PduSaid]
    many = [Opened(one), *(Note(one, True, 1, "TLS: remark") for _ in range(100))]
    assert run(Wanted(titles=frozenset({"USER"})), many)[1].results.not_wanted == 1


def test_an_association_without_its_request_has_no_title() -> None:
    without = list(events(GOOD[2:], connection(begun=False)))
    assert not run(Wanted(titles=frozenset({"USER"})), without)[0].entries
    answered = list(events(GOOD[1:], connection(begun=False)))
    assert run(Wanted(titles=frozenset({"USER"})), answered)[0].entries


@pytest.mark.parametrize(
    ("since", "until", "shown"),
    [(100, None, True), (101, None, False), (None, 100, False), (None, 101, True), (5, 500, True)],
)
def test_associations_are_chosen_by_the_time_of_their_opening(since: int, until: int, shown: bool) -> None:
    assert bool(run(Wanted(since=since, until=until), good(at=100))[0].entries) is shown


def test_marks_are_counted_by_kind() -> None:
    _, tracer = run(Wanted(), list(events([*opened(), *opened()], connection(), how=How.CUT)))
    assert tracer.results.marks == {Kind.VIOLATION: 2, Kind.DEVIATION: 0, Kind.NOTE: 0}


def test_of_too_many_associations_the_one_silent_for_longest_is_given_up() -> None:
    kept = Kept()
    tracer = Tracer([kept])
    half = b"\1\0\0\x0f\xff\xff" + bytes(1 << 19)
    number = 0
    while not tracer.results.given_up:
        number += 1
        one = connection(number)
        tracer.feed(Opened(one))
        tracer.feed(Data(one, True, number, memoryview(half)))
        assert tracer._cost <= MOST_HELD
    assert number == MOST_HELD // ((1 << 19) + 64 * 256) + 1
    (over,) = kept.of(Over)
    assert over.outcome == "no longer followed: too many connections at once, in Sta5" or "too many" in over.outcome
    assert kept.traces[0].connection.number == 1
    tracer.feed(Data(connection(1), True, 5, memoryview(b"x")))  # its other bytes are ignored
    assert len(kept.of(Over)) == 1


def test_the_same_ports_again_are_another_association() -> None:
    client, server = Endpoint("10.0.0.1", 1), Endpoint("10.0.0.2", 104)
    both = [list(events(GOOD, Connection(number, client, server, 0))) for number in (1, 2)]
    kept, _ = run(Wanted(), [*both[0], *both[1]])
    assert [trace.messages for trace in kept.traces] == [[1, 1], [1, 1]]
