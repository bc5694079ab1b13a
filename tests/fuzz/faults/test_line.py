"""One direction with faults: every effect at every kind of place, limits, and times."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_fuzz.faults import Direction, FaultPlan, Log, parse_plan
from dicos_fuzz.faults.altering import ADDED, COPIES, PATCHES, WHOLE
from dicos_fuzz.faults.line import HELD, Line
from dicos_fuzz.faults.strategies import harmless_plans, plans
from tests.fuzz.faults.streams import DATA, RELEASE, RQ, STREAM, line_of, pieces, through, timed

# -- pieces ----------------------------------------------------------------------------------------------------------


def test_without_faults_chunks_pass_as_they_are() -> None:
    chunk = bytes(100_000)
    line, _ = line_of("")
    line.feed(chunk)
    (found,) = line.take()
    assert isinstance(found, memoryview)
    assert found.obj is chunk
    assert line.take() == []


def test_a_split_is_a_boundary() -> None:
    assert pieces("in at 7: split\nin at 10: split") == [STREAM[:7], STREAM[7:10], STREAM[10:]]
    assert pieces("in at 0: split") == [STREAM]
    assert pieces("in every 30: split") == [STREAM[:30], STREAM[30:60], STREAM[60:]]
    assert pieces("in every 1: split") == [bytes((value,)) for value in STREAM]


def test_random_gaps_follow_the_seed() -> None:
    first, again, other = (pieces(f"seed {seed}\nin about 5: split") for seed in (1, 1, 2))
    assert first == again != other
    assert b"".join(first) == b"".join(other) == STREAM
    assert all(1 <= len(piece) <= 9 for piece in first)


def test_short_pieces() -> None:
    assert pieces("in at 4: short 20") == [STREAM[:4], *(STREAM[at : at + 20] for at in range(4, 76, 20))]


def test_places_in_pdus() -> None:
    first, second = 10, 24
    assert pieces("in pdu any 2: split") == [STREAM[:first], STREAM[first:]]
    assert pieces("in pdu P-DATA-TF 2 +6: split") == [STREAM[: second + 6], STREAM[second + 6 :]]
    assert [len(piece) for piece in pieces("in pdu P-DATA-TF each: split")] == [10, 14, 14, 14, 24]
    assert [len(piece) for piece in pieces("in pdu any each +1: split")] == [1, 10, 14, 14, 14, 14, 9]
    assert pieces("in pdu any 1 +11: split") == [STREAM]  # beyond its end
    assert pieces("in pdu any 7: split") == [STREAM]


def test_places_in_pdus_do_not_depend_on_chunks() -> None:
    found = b"".join(pieces("in pdu P-DATA-TF 2 +6: flip 0", *(bytes((value,)) for value in STREAM)))
    assert found == through("in pdu P-DATA-TF 2 +6: flip 0")


def test_other_protocols_have_no_pdus() -> None:
    tls = bytes.fromhex("16030100050100000100") * 8
    line, log = line_of("in pdu any each: flip 0\nin at 3: drop\nin at 4: change")
    line.feed(tls)
    assert b"".join(line.take()) == tls
    assert [strike.effect for strike in log.take()] == ["nothing: there are no PDUs"] * 2


# -- bytes -----------------------------------------------------------------------------------------------------------


def test_bits_and_bytes_are_changed() -> None:
    assert through("in at 3: flip 4") == STREAM[:3] + bytes((STREAM[3] ^ 16,)) + STREAM[4:]
    assert through("in at 3: set aabb") == STREAM[:3] + b"\xaa\xbb" + STREAM[5:]
    assert through("in at 75: set aabb") == STREAM[:75] + b"\xaa"
    assert through("in at 3: set aabb\nin at 4: flip 0") == STREAM[:3] + b"\xaa\xba" + STREAM[5:]
    assert through("in every 1: flip 7") == STREAM[:1] + bytes(value ^ 128 for value in STREAM[1:])
    assert through("in pdu P-DATA-TF each +12: set 00") == STREAM.replace(b"1a", b"\0a").replace(b"2b", b"\0b").replace(
        b"3c", b"\0c"
    ).replace(b"4d", b"\0d")


def test_bytes_are_dropped_and_inserted() -> None:
    assert through("in at 3: drop 4") == STREAM[:3] + STREAM[7:]
    assert through("in pdu P-DATA-TF 2: drop") == STREAM.replace(DATA[1], b"")
    assert through("in pdu P-DATA-TF 2 +12: drop") == STREAM.replace(DATA[1], DATA[1][:12])
    assert through("in at 36: drop") == STREAM.replace(DATA[1], DATA[1][:12])
    assert through("in at 0: insert 99") == b"\x99" + STREAM
    assert through("in at 5: insert 9999") == STREAM[:5] + b"\x99\x99" + STREAM[5:]
    assert through("in pdu A-ASSOCIATE-RQ 1 +10: insert 99") == RQ + b"\x99" + STREAM[10:]
    assert through("in pdu A-RELEASE-RQ 1 +10: insert 99") == STREAM + b"\x99"


def test_an_insertion_needs_no_byte_behind_it() -> None:
    line, _ = line_of("in at 10: insert 99")
    line.feed(RQ)
    assert b"".join(line.take()) == RQ + b"\x99"
    line, _ = line_of("in at 0: insert 99")
    assert line.movable
    assert b"".join(line.take()) == b"\x99"


def test_bytes_and_pdus_come_twice() -> None:
    assert through("in at 3: duplicate 2") == STREAM[:5] + STREAM[3:5] + STREAM[5:]
    assert through("in pdu P-DATA-TF 2: duplicate") == STREAM.replace(DATA[1], DATA[1] * 2)
    assert through("in pdu P-DATA-TF each: duplicate") == RQ + b"".join(one * 2 for one in DATA) + RELEASE
    assert through("in pdu P-DATA-TF 2: duplicate\nin pdu P-DATA-TF 2 +12: flip 0") == STREAM.replace(
        DATA[1], (DATA[1][:12] + b"3b") * 2
    )
    assert through("in at 70: duplicate 20") == STREAM  # never complete


def test_pdus_are_changed_as_a_whole() -> None:
    assert through("in pdu P-DATA-TF 2: truncate") == STREAM.replace(DATA[1], DATA[1][:-1])
    assert through("in pdu P-DATA-TF 2: truncate 100") == STREAM.replace(DATA[1], b"")
    assert through('in pdu P-DATA-TF 2: edit "length" length 7') == STREAM.replace(
        DATA[1], b"\4\0\0\0\0\7" + DATA[1][6:]
    )
    assert through('in pdu any 1: edit "" delete\nin pdu any 2: edit "type" set 07') == STREAM[10:].replace(
        DATA[0], b"\7" + DATA[0][1:]
    )
    assert through('in pdu any 3: edit "no such field" delete') == STREAM
    assert through('in at 12: edit "type" set 63') == STREAM.replace(DATA[1], b"\x63" + DATA[1][1:])  # the next one


def test_a_pdu_that_is_changed_is_taken_only_when_it_is_complete() -> None:
    line, log = line_of('in pdu any 1: edit "type" set 02')
    line.feed(RQ[:9])
    assert line.take() == []
    assert line.stuck
    assert line.wants
    line.feed(RQ[9:] + b"\5")
    assert b"".join(line.take()) == b"\2" + RQ[1:]  # the header of the next one is not complete
    line.end()
    assert b"".join(line.take()) == b"\5"
    assert [(strike.offset, strike.effect) for strike in log.take()] == [(0, "edited: type: set 02")]


def test_random_changes_follow_the_seed() -> None:
    found = [through(f"seed {seed}\nin pdu P-DATA-TF each: change 2") for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    assert found[0].startswith(RQ)
    assert found[0].endswith(RELEASE)


def test_a_pdu_that_never_becomes_complete_passes_unchanged() -> None:
    line, log = line_of("in pdu any 1: truncate 3")
    line.feed(RQ[:9])
    line.end()
    assert b"".join(line.take()) == RQ[:9]
    (strike,) = log.take()
    assert strike.effect == f"nothing: a PDU of 10 bytes; {WHOLE}, and all of them, are needed"


def test_faults_at_one_place_strike_in_the_order_of_the_plan() -> None:
    assert pieces("in at 5: insert aa\nin at 5: split\nin at 5: insert bb") == [
        STREAM[:5] + b"\xaa",
        b"\xbb" + STREAM[5:],
    ]


# -- ends ------------------------------------------------------------------------------------------------------------


def test_a_half_close_ends_the_direction() -> None:
    line, log = line_of("in at 10: half-close")
    line.feed(RQ)
    assert b"".join(line.take()) == RQ
    assert line.finished
    assert line.cut
    line.feed(STREAM)
    assert (line.take(), line.size, line.finished) == ([], 0, True)
    assert log.counts == {1: 1}


def test_a_reset_ends_everything() -> None:
    line, _ = line_of("in pdu P-DATA-TF 2: reset")
    line.feed(STREAM)
    assert b"".join(line.take()) == RQ + DATA[0]
    assert line.reset
    line.feed(STREAM)
    assert (line.take(), line.size) == ([], 0)


def test_a_permanent_error_loses_the_rest_and_a_transient_one_is_a_boundary() -> None:
    line, _ = line_of("in at 12: error EPIPE")
    line.feed(STREAM)
    assert b"".join(line.take()) == STREAM[:12]
    assert line.lost == "EPIPE"
    line.feed(STREAM)
    line.end()
    assert line.take() == []
    assert line.finished
    assert not line.cut
    assert pieces("in at 12: error EAGAIN") == [STREAM[:12], STREAM[12:]]


def test_the_end_of_file_comes_behind_all_bytes() -> None:
    line, _ = line_of("in every 40: split")
    line.feed(STREAM)
    line.end()
    assert not line.finished
    assert len(line.take()[0]) == 40
    assert not line.finished
    assert len(line.take()[0]) == 36
    assert line.finished or (line.take() == [] and line.finished)


# -- times -----------------------------------------------------------------------------------------------------------


def test_a_stall_for_some_time() -> None:
    assert timed("in at 10: stall 5") == [(0, RQ), (5, STREAM[10:]), (5, b"end")]
    assert timed("in at 10: stall 0") == [(0, RQ), (0, STREAM[10:]), (0, b"end")]
    assert timed("in at 10: stall 5\nin at 10: stall 2") == [(0, RQ), (7, STREAM[10:]), (7, b"end")]


def test_a_stall_forever_stops_reading() -> None:
    line, _ = line_of("in at 10: stall")
    assert line.wants
    line.feed(STREAM)
    assert b"".join(line.take()) == RQ
    assert line.take() == []
    assert not line.wants
    assert line.blocked
    assert not line.moving
    assert line.deadline(0.0) is None


def test_a_stall_begins_with_the_byte_that_stands_still() -> None:
    line, _ = line_of("in at 10: stall 5")
    line.feed(RQ)
    assert b"".join(line.take()) == RQ
    assert line.deadline(3.0) is None
    line.feed(DATA[0])
    assert line.take() == []
    assert line.deadline(7.0) == (12.0, "in at 10: stall 5")
    line.handle_timeout(11.9)
    assert line.take() == []
    line.handle_timeout(12.0)
    assert b"".join(line.take()) == DATA[0]


def test_delayed_bytes_keep_their_order_and_pieces() -> None:
    assert timed("in at 0: delay 0.5", RQ, b"x" * 600, b"y" * 600) == [
        (0.5, RQ + b"x" * 600 + b"y" * 600),
        (0.5, b"end"),
    ]
    line, _ = line_of("in at 0: delay 0.5")
    for at, chunk in ((0.0, b"x" * 600), (0.3, b"y" * 600)):
        line.feed(chunk)
        assert line.take() == []
        line.deadline(at)
    assert line.deadline(0.4) == (0.5, "delayed bytes")
    line.handle_timeout(0.5)
    assert b"".join(line.take()) == b"x" * 600
    assert line.deadline(0.5) == (0.8, "delayed bytes")
    line.handle_timeout(0.8)
    assert b"".join(line.take()) == b"y" * 600


def test_jitter_follows_the_seed() -> None:
    def times(seed: int) -> list[float]:
        return [at for at, _ in timed(f"seed {seed}\nin at 0: delay 1 1", *(bytes(600),) * 5)]

    assert times(1) == times(1) != times(2)
    assert times(1) == sorted(times(1))
    assert len(set(times(1))) > 1
    assert all(1 <= at <= 2 for at in times(1))


def test_a_dribble_has_its_rate() -> None:
    found = timed("in at 10: dribble 2", until=1000)
    assert found[0] == (0, RQ)
    assert found[1:4] == [(0, STREAM[10:11]), (0.5, STREAM[11:12]), (1, STREAM[12:13])]
    assert [at for at, _ in found[-2:]] == [32.5, 33]
    assert b"".join(piece for _, piece in found[:-1]) == STREAM
    found = timed("in at 0: dribble 1000", bytes(5000))
    assert found[0] == (0, bytes(20))
    assert found[-2] == (4.98, bytes(20))


def test_merged_bytes_wait_for_more_and_not_too_long() -> None:
    line, _ = line_of("in at 0: merge 20 3")
    line.feed(RQ)
    assert line.take() == []
    assert line.deadline(1.0) == (4.0, "bytes that wait for more")
    line.feed(DATA[0])
    assert b"".join(line.take()) == RQ + DATA[0]
    line.feed(DATA[1])
    assert line.take() == []
    assert line.deadline(5.0) == (8.0, "bytes that wait for more")
    line.handle_timeout(8.0)
    assert b"".join(line.take()) == DATA[1]
    line.feed(DATA[2])
    line.end()
    assert b"".join(line.take()) == DATA[2]


def test_directions_are_reordered() -> None:
    into, _ = line_of("in at 10: reorder 5 60")
    out, _ = line_of("", Direction.OUT)
    into.other, out.other = out, into
    into.feed(STREAM)
    assert b"".join(into.take()) == RQ
    assert into.take() == []
    assert not into.movable
    out.feed(b"1234")
    out.take()
    assert (into.take(), into.movable) == ([], False)
    out.feed(b"5")
    out.take()
    assert into.movable
    assert b"".join(into.take()) == STREAM[10:]
    assert timed("in at 10: reorder 5 60")[1] == (60, STREAM[10:])


def test_faults_at_a_time() -> None:
    line, log = line_of("in after 2: half-close\nin after 1: flip 0")
    assert line.deadline(10.0) == (11.0, "the time of a fault")
    line.feed(RQ)
    assert b"".join(line.take()) == RQ
    line.handle_timeout(11.0)
    line.feed(RQ)
    assert b"".join(line.take()) == b"\0" + RQ[1:]
    assert line.deadline(11.0) == (12.0, "the time of a fault")
    line.handle_timeout(12.0)
    assert line.finished
    assert [(strike.number, strike.offset) for strike in log.take()] == [(2, 10), (1, 20)]


def test_a_reset_comes_though_everything_stands_still() -> None:
    line, _ = line_of("in at 0: stall\nin after 3: reset")
    line.feed(RQ)
    assert line.take() == []
    assert line.deadline(0.0) == (3.0, "the time of a fault")
    line.handle_timeout(3.0)
    assert line.reset


def test_effects_on_time_come_before_the_bytes_behind_them() -> None:
    line, _ = line_of("in at 10: clock +5")
    line.feed(STREAM)
    assert b"".join(line.take()) == RQ
    assert len(line.signals) == 1
    line.signals.clear()
    assert b"".join(line.take()) == STREAM[10:]


# -- limits ----------------------------------------------------------------------------------------------------------


def test_what_faults_add_is_bounded() -> None:
    line, log = line_of(f"in every 1: insert {'aa' * 65536}")
    line.feed(bytes(100))
    line.end()
    size = 0
    while piece := line.take():
        size += sum(map(len, piece))
        assert line.size <= ADDED + 100
    assert size == 100 + ADDED
    strikes = [strike.effect for strike in log.take()]
    assert strikes[0] == f"insert {'aa' * 26}..."
    assert strikes[16] == "nothing: 1048576 bytes were added, and at most 1048576 may be"
    assert log.counts == {1: 100}


def test_changes_under_way_are_bounded() -> None:
    line, log = line_of(f"in every 1: set {'00' * 1024}")
    line.feed(b"\xff" * 1200)
    line.take()
    assert f"nothing: {PATCHES} changes are under way" in {strike.effect for strike in log.take()}
    line, log = line_of("in every 1: duplicate 60000")
    line.feed(bytes(100))
    line.take()
    assert f"nothing: {COPIES} repetitions are under way" in {strike.effect for strike in log.take()}


def test_a_line_that_holds_enough_wants_no_more() -> None:
    line, _ = line_of("in at 0: delay 1")
    line.feed(bytes(HELD))
    assert not line.wants
    line, _ = line_of("in at 0: delay 1")
    fed = 0
    while line.wants:
        line.feed(bytes(100))
        fed += 100
        line.deadline(float(fed))
    assert HELD / 2 < fed <= HELD


def test_a_pdu_that_is_too_large_to_be_changed_passes() -> None:
    line, log = line_of("in pdu any 1: truncate")
    head = b"\4\0" + (WHOLE + 1).to_bytes(4, "big")
    line.feed(head + bytes(100))
    assert b"".join(line.take()) == head + bytes(100)
    assert log.take()[0].effect.startswith(f"nothing: a PDU of {WHOLE + 7} bytes;")


@pytest.mark.parametrize("text", ["in every 1: split", "in every 1: flip 3", "in pdu any each: change"])
def test_a_line_takes_time_in_proportion_to_bytes(text: str) -> None:
    """Counted in pieces and strikes, not in seconds."""
    line, log = line_of(text)
    line.feed(STREAM * 50)
    line.end()
    count = 0
    while line.take():
        count += 1
    assert count + sum(log.counts.values()) <= 2 * len(STREAM) * 50 + 100


# -- any plan --------------------------------------------------------------------------------------------------------


def _drive(plan: FaultPlan, chunks: list[bytes]) -> tuple[list[tuple[float, bytes]], Line]:
    """All that comes out of a line whose owner obeys it; the time stops when nothing changes any more."""
    log = Log()
    line = Line(plan.of(Direction.IN), Direction.IN, Random(plan.seed), log)
    waiting, now, found, ended = [*chunks], 0.0, [], False
    for _ in range(100_000):
        if waiting and line.wants:
            line.feed(waiting.pop(0))
        elif not waiting and not ended:
            ended = True
            line.end()
        piece = line.take()
        line.signals.clear()
        found.append((now, b"".join(piece)))
        assert line.size <= HELD + ADDED + max(map(len, chunks), default=0)
        if line.finished or line.reset:
            return found, line
        deadline = line.deadline(now)
        if not piece and (ended or not line.wants):
            if deadline is None:
                return found, line
            now = max(now, deadline[0])
            line.handle_timeout(now)
    raise AssertionError("it does not end")


CHUNKS = st.lists(st.sampled_from([STREAM, RQ, DATA[0], STREAM[:7], bytes(700), b"\x16\3\1" * 5]), max_size=6)


@given(plans(), CHUNKS)
def test_any_plan_comes_to_an_end_and_repeats(plan: FaultPlan, chunks: list[bytes]) -> None:
    found, line = _drive(plan, chunks)
    assert found == _drive(plan, chunks)[0]
    assert line.carried == sum(len(piece) for _, piece in found)


@given(harmless_plans(), CHUNKS)
def test_harmless_plans_change_no_byte(plan: FaultPlan, chunks: list[bytes]) -> None:
    found, line = _drive(plan, chunks)
    assert b"".join(piece for _, piece in found) == b"".join(chunks)
    assert line.finished


def test_two_plans_in_one_strike_as_each_alone() -> None:
    one, other = "in at 5: flip 0", "in pdu P-DATA-TF 2: duplicate"
    both = str(parse_plan(one) + parse_plan(other))
    assert through(both) == through(one, *[through(other)])


def test_an_edit_of_a_field_that_is_not_there_says_so() -> None:
    """It changes nothing: the plan has a wrong name."""
    line, log = line_of('in pdu any: edit "PDV/lengthx" length 9')
    line.feed(STREAM)
    assert b"".join(line.take()) == STREAM
    assert [strike.effect for strike in log.take()] == ["nothing: this PDU has no field PDV/lengthx"]
