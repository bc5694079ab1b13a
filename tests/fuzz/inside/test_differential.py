"""The engine's decoders beside pynetdicom, tshark and dcmdump: bounded runs, witnesses of known differences, faults."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from random import Random

import pytest

from dicos_fuzz.inside.differential import of_dcmdump, of_pynetdicom, of_tshark
from dicos_fuzz.inside.differential.__main__ import OTHERS, main
from dicos_fuzz.inside.differential.comparing import Cause, Explained, Input, Other, Tally, compare, explained, table
from dicos_fuzz.inside.differential.data_sets import data_sets, deflated, part10
from dicos_fuzz.inside.differential.making import commands, pdus
from dicos_proto.data.checker import Checker
from dicos_proto.dimse import codec
from dicos_proto.errors import Malformed
from dicos_proto.limits import Limits
from dicos_proto.upper_layer import pdu, user_information
from dicos_proto.upper_layer.pdu import decode

pytestmark = pytest.mark.interop


def available(name: str) -> Other:
    other = OTHERS[name]()
    missing = other.missing()
    if missing is not None:
        pytest.skip(missing)
    return other


MOST = {"pynetdicom": 1200, "tshark": 400, "dcmdump": 1500}


@pytest.mark.parametrize("name", OTHERS)
def test_every_difference_is_explained(name: str) -> None:
    other = available(name)
    tally = compare(other, 60, 1, most=MOST[name])
    assert tally.compared == MOST[name]
    assert tally.alike > MOST[name] / 8, table(other, tally)
    assert tally.unexplained == 0, table(other, tally)


@pytest.mark.slow  # minutes of two implementations
@pytest.mark.parametrize("name", OTHERS)
def test_every_difference_of_many_is_explained(name: str) -> None:
    other = available(name)
    tally = compare(other, 120, 77, most=20 * MOST[name])
    assert tally.unexplained == 0, table(other, tally)


@pytest.mark.parametrize("name", OTHERS)
def test_each_row_of_the_known_differences_has_a_witness_that_it_explains(name: str) -> None:
    """A row that explains nothing any more, because either side has changed, is to be taken out."""
    other = available(name)
    found = other.differences([Input(row.kind, row.witness) for row in other.known])
    wrong = [
        (row.pattern, difference)
        for row, difference in zip(other.known, found, strict=True)
        if not difference or explained(difference, row.kind, other.known) is not row
    ]
    assert wrong == []


@pytest.mark.parametrize("name", OTHERS)
def test_the_same_seed_makes_the_same_inputs(name: str) -> None:
    other = OTHERS[name]()
    first, second = other.inputs(Random(5)), other.inputs(Random(5))
    made = [next(first) for _ in range(40)]
    assert made == [next(second) for _ in range(40)]
    assert 0 < sum(one.damaged for one in made) < 40


# -- faults of ours are found ------------------------------------------------------------------------------------


def unexplained(name: str, most: int) -> Tally:
    return compare(available(name), 60, 3, most=most)


def test_a_field_that_is_read_wrongly_is_found_beside_pynetdicom(monkeypatch: pytest.MonkeyPatch) -> None:
    available("pynetdicom")
    right = pdu.decode_echoed_title
    monkeypatch.setattr(pdu, "decode_echoed_title", lambda raw: right(raw)[:-1])
    tally = unexplained("pynetdicom", 200)
    assert tally.unexplained == 0, "explained: titles are read differently"
    window = user_information._window
    monkeypatch.setattr(user_information, "_window", lambda cursor: type(window(cursor))(invoked=7, performed=7))
    tally = unexplained("pynetdicom", 200)
    assert any("window" in difference for difference in tally.examples)


def test_a_pdu_that_is_refused_wrongly_is_found_beside_tshark(monkeypatch: pytest.MonkeyPatch) -> None:
    available("tshark")

    def shifted(data: bytes) -> object:
        read = decode(data)
        return type(read)(source=1, reason=9) if type(read).__name__ == "Abort" else read

    monkeypatch.setattr(of_tshark, "decode", shifted)
    tally = unexplained("tshark", 200)
    assert any("numbers (source" in difference or "reason" in difference for difference in tally.examples)


def test_an_element_that_is_left_out_is_found_beside_dcmdump(monkeypatch: pytest.MonkeyPatch) -> None:
    available("dcmdump")
    right = of_dcmdump._Lister.element

    def left_out(self: of_dcmdump._Lister, tag: int, *rest: object) -> None:
        if tag != 0x00100010:
            right(self, tag, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(of_dcmdump._Lister, "element", left_out)
    tally = unexplained("dcmdump", 250)
    assert any("(0010,0010)PN" in difference for difference in tally.examples)


def test_a_command_set_that_is_accepted_wrongly_is_found_beside_pynetdicom(monkeypatch: pytest.MonkeyPatch) -> None:
    available("pynetdicom")
    monkeypatch.setattr(of_pynetdicom, "decode_command", lambda data: codec.decode_command(data[:-10] + bytes(10)))
    assert unexplained("pynetdicom", 400).unexplained


# -- counting ----------------------------------------------------------------------------------------------------


class Counting:
    """Another implementation that differs in some inputs, by their first byte."""

    name = "another"
    batch = 7
    known = (Explained(r"a known one", Cause.THEIRS, "it is so", "PS3.8 9.3", b"", "pdu"),)

    def missing(self) -> str | None:
        return None

    def inputs(self, random: Random) -> Iterator[Input]:
        for number in count():
            yield Input("pdu", bytes((number % 5,)), damaged=number % 2 == 0)

    def differences(self, inputs: Sequence[Input]) -> list[str | None]:
        said = (None, "", "a known one 5", "something new 17", "something new 18")
        return [said[one.data[0]] for one in inputs]


def test_differences_are_counted_and_the_first_of_each_kind_is_kept() -> None:
    other = Counting()
    tally = compare(other, 60, 0, most=50)
    assert (tally.compared, tally.damaged, tally.alike, tally.both_refuse) == (50, 25, 10, 10)
    assert dict(tally.explained) == {"a known one": 10}
    assert tally.unexplained == 20
    assert list(tally.examples) == ["something new 17"]
    text = table(other, tally)
    assert "another: 50 inputs" in text
    assert "their fault: it is so [PS3.8 9.3]" in text
    assert "       20  different, and not explained" in text


def test_a_comparison_ends_when_its_time_is_over() -> None:
    tally = compare(Counting(), 0.05, 0)
    assert tally.compared > 0
    assert tally.seconds < 5


# -- the command -------------------------------------------------------------------------------------------------


def test_the_command_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    available("pynetdicom")
    assert main(["--against", "pynetdicom", "--seconds", "0.5", "--seed", "4"]) == 0
    assert "pynetdicom: " in capsys.readouterr().out


def test_a_program_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["--against", "tshark", "--seconds", "1"]) == 3
    assert main(["--against", "dcmdump", "--seconds", "1"]) == 3
    assert capsys.readouterr().err == (
        "tshark is not installed: apt-get install tshark\ndcmdump is not installed: apt-get install dcmtk\n"
    )


@pytest.mark.parametrize("words", [[], ["--against", "dcm4che"], ["--against", "tshark", "--seconds", "0"]])
def test_bad_usage(words: list[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(words)
    assert done.value.code == 2


# -- inputs ------------------------------------------------------------------------------------------------------


def test_undamaged_inputs_are_valid() -> None:
    random = Random(9)
    for source in (pdus(random), commands(random), data_sets(random)):
        for _ in range(300):
            one = next(source)
            if one.damaged:
                continue
            if one.kind == "pdu":
                decode(one.data)
            elif one.kind == "command":
                codec.decode_command(one.data)
            else:
                checker = Checker.of(one.kind, "1.2", "1.2", Limits())
                assert checker is not None
                checker.feed(one.data)


def test_a_file_has_the_meta_information_that_its_data_set_needs() -> None:
    data = b"\x10\0\x10\0PN\4\0A=B "
    whole = part10("1.2.840.10008.1.2.1", data)
    assert whole[128:132] == b"DICM"
    assert whole.endswith(b"UI\x14\x001.2.840.10008.1.2.1\0" + data)
    assert len(deflated(data)) % 2 == 0


def test_a_damaged_pdu_is_refused_at_times() -> None:
    refused = 0
    source = pdus(Random(2))
    for _ in range(300):
        try:
            decode(next(source).data)
        except Malformed:
            refused += 1
    assert 60 < refused < 240
