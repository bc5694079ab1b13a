"""Tapes: beyond their end is zero, zero is plain, and what a tape says about a base is what is made of it."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_fuzz.conversation import DamagedFile
from dicos_fuzz.grammar.reading import read_pdu
from dicos_fuzz.inside.minimising import minimised
from dicos_fuzz.inside.mutating import mutated
from dicos_fuzz.inside.seeds import commands, pdus
from dicos_fuzz.inside.tape import Bases, Tape, raw
from dicos_fuzz.inside.tapes import crash_of, read_tape, write_tape

BASES = Bases(pdus, read_pdu)


def test_a_tape_is_zeros_beyond_its_end() -> None:
    tape = Tape(b"\7\1\2")
    assert (tape.byte(), tape.below(300), tape.byte(), tape.below(9), tape.take(3)) == (
        7,
        0x0102 % 300,
        0,
        0,
        b"\0\0\0",
    )
    assert tape.rest() == b""
    assert Tape(b"").pick("abc") == "a"
    assert Tape(b"\5").pick("abc") == "c"


def test_random_numbers_come_from_the_tape() -> None:
    assert Tape(b"").random().choice("abcd") == "a"
    assert Tape(b"").random().random() == 0
    assert Tape(b"\x80").random().random() == 0.5
    assert Tape(b"abc").random().randbytes(2) == b"ab"
    assert {Tape(bytes((number,))).random().randrange(4) for number in range(4)} == {0, 1, 2, 3}


@given(st.binary(max_size=40))
def test_every_tape_makes_an_input_and_always_the_same(data: bytes) -> None:
    assert BASES.take(Tape(data)) == BASES.take(Tape(data))


def test_an_input_is_raw_or_a_base_with_changes() -> None:
    assert BASES.take(Tape(raw(b"", b"any"))) == b"any"
    assert BASES.take(Tape(b"\x82\3")) == pdus()[3]  # 0x82 says no change
    changed = {BASES.take(Tape(b"\x83\0" + bytes((number,)) * 9)) for number in range(40)}
    assert len(changed) > 10
    made = {BASES.made(Random(number), 0) for number in range(20)}
    assert len(made) > 15


@given(st.binary(max_size=300), st.integers(0, 1000))
def test_mutations_repeat_and_are_bounded(tape: bytes, seed: int) -> None:
    found = [mutated(tape, Random(seed), others=pdus(), words=(b"ab",), longest=200) for _ in range(2)]
    assert found[0] == found[1]
    assert len(found[0]) <= 200


def test_mutations_differ() -> None:
    random = Random(1)
    found = {mutated(commands()[0], random, others=commands(), words=(b"ab",), longest=9000) for _ in range(500)}
    assert len(found) > 450
    assert any(len(one) > 1000 for one in found)  # some are bloated


@given(st.binary(min_size=1, max_size=60), st.integers(1, 3))
def test_a_finding_is_made_as_small_as_it_can_be(noise: bytes, count: int) -> None:
    tape = noise + b"\xaa" * count + noise
    assert minimised(tape, lambda one: one.count(b"\xaa") >= count) == b"\xaa" * count


def test_a_finding_is_made_small_within_its_budget() -> None:
    runs = []

    def shows(tape: bytes) -> bool:
        runs.append(tape)
        return b"x" in tape

    assert len(minimised(b"y" * 500 + b"x" + b"y" * 500, shows, budget=7)) < 1001
    assert len(runs) == 7


def test_a_tape_is_read_as_it_was_written(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "folder" / "one.tape"
    write_tape(path, bytes(range(200)), "target: pdu", "found: a ü\x1b")
    assert read_tape(path) == ("pdu", bytes(range(200)))
    assert path.read_text("ascii").isascii()
    path.write_text("# target: pdu\n00 1\n")
    with pytest.raises(DamagedFile, match=r"one\.tape, line 2: not hexadecimal"):
        read_tape(path)
    path.write_bytes(bytes((8 << 20) + 1))
    with pytest.raises(DamagedFile, match="more than"):
        read_tape(path)
    binary = tmp_path / "one.bin"
    binary.write_bytes(b"\x00\xff")
    assert read_tape(binary) == (None, b"\x00\xff")


def test_findings_with_other_numbers_are_one() -> None:
    def error(text: str) -> Exception:
        try:
            raise ValueError(text)
        except ValueError as found:
            return found

    one, same, other = (crash_of("pdu", b"", error(text)) for text in ("12 bytes", "13 bytes", "bytes: 12"))
    assert one.signature == same.signature != other.signature
    assert one.error == "ValueError: 12 bytes"
    assert one.file_name == f"pdu-{one.signature}.tape"


def test_an_input_is_grown_by_a_valid_part_of_it() -> None:
    grown = {BASES.grown(Random(number), 20_000) for number in range(30)}
    assert max(map(len, grown)) > 10_000
    assert all(len(one) <= 20_000 for one in grown)
    right = [one for one in grown if int.from_bytes(one[2:6], "big") == len(one) - 6]
    assert len(right) > 10  # the lengths have followed
