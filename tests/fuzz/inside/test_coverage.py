"""The coverage of a run: what is noted, what is missing, and drivers that reach all of it."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields

import pytest

from dicos_fuzz.grammar import read_pdu
from dicos_fuzz.inside.coverage import Coverage, recording
from dicos_fuzz.inside.coverage.catalogue import CATALOGUE, ITEMS, UNREACHABLE, WAYS
from dicos_fuzz.inside.coverage.driving import PROBES, Unreached, drive, flags, run_probe, seeds
from dicos_fuzz.inside.coverage.items import ways_of_associate
from dicos_fuzz.inside.coverage.recording import abort_key
from dicos_fuzz.inside.model import Receive, Script, agrees, menu, script_of
from dicos_fuzz.inside.model.paths import ways
from dicos_fuzz.inside.model.walking import walk
from dicos_fuzz.tree import Action, Edit, apply
from dicos_fuzz.tree import encode as encode_tree
from dicos_proto import errors
from dicos_proto.association import Association
from dicos_proto.data import builder
from dicos_proto.data.elements import DataSetError
from dicos_proto.errors import Malformed
from dicos_proto.limits import Limits
from dicos_proto.timers import Timer
from dicos_proto.tolerance import CLAUSES, Judge
from dicos_proto.upper_layer import core, cursor, pdu
from dicos_proto.upper_layer.core import Core
from dicos_proto.upper_layer.pdu import decode, encode

RQ = encode(menu.REQUESTS[0])


@pytest.fixture(scope="module")
def driven() -> Coverage:
    coverage = Coverage()
    drive(coverage)
    return coverage


# -- drivers -------------------------------------------------------------------------------------------------------


def test_the_drivers_reach_everything_that_can_be_reached(driven: Coverage) -> None:
    assert driven.missing() == {}
    for kind, keys in CATALOGUE.items():
        assert driven.seen()[kind] == set(keys) - set(UNREACHABLE.get(kind, {}))
        assert driven.complete(kind)


def test_the_catalogue_has_every_limit_flag_and_timer_of_the_engine() -> None:
    assert len(CATALOGUE["cell of table 9-10"]) == 123
    assert {one.name for one in fields(Limits)} <= {key.split()[0] for key in CATALOGUE["limit"]}
    assert set(CLAUSES) == {key.split()[0] for key in CATALOGUE["tolerance"]} == {one.name for one in flags.FLAGS}
    assert {one.value for one in Timer} == set(CATALOGUE["timer"])
    assert len(CATALOGUE["message"]) == 46
    assert {one.name for one in PROBES} == {key.split()[0] for key in CATALOGUE["limit"]}
    for kind, reasons in UNREACHABLE.items():
        assert set(reasons) <= set(CATALOGUE[kind])


def test_the_report_counts_and_says_what_cannot_be_reached(driven: Coverage) -> None:
    text = driven.report()
    assert "cell of table 9-10             123/123" in text
    assert "never exercised: nothing" in text
    assert "provider, reason 0: the engine always gives the specific reason" in text
    assert "on the core alone: Sta4 Evt15" in text
    assert max(map(len, text.splitlines())) <= 120


def test_the_report_of_fuzzing_has_a_column_for_the_drivers(driven: Coverage) -> None:
    fuzzed = Coverage({kind: frozenset(keys) for kind, keys in driven.seen().items() if kind != "timer"})
    fuzzed.note("timer", "ARTIM")
    text = fuzzed.report(driven)
    assert "timer                             1/11      11/11" in text
    assert "never exercised: nothing" in text
    assert "by the drivers alone:\n  timer: association, accept, release, PDU, message" in text
    assert "by the drivers alone: nothing" in driven.report(driven)


def test_the_command_prints_the_table() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dicos_fuzz.inside.coverage"], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "limit                          102/102" in done.stdout


def test_seeds_are_of_every_kind_and_the_same_each_time() -> None:
    found = list(seeds())
    assert found == list(seeds())
    assert {kind for kind, _ in found} == {"script", "acceptor", "requestor", "pdu", "command", "data set"}
    scripts = [script_of(data) for kind, data in found if kind == "script"]
    assert all(script.steps for script in scripts[20:])
    assert all(agrees(script) is None for script in scripts[::20])


Break = Callable[[pytest.MonkeyPatch], None]


def break_count(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pdu, "check_count", lambda *given: None)


def break_depth(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(builder.Builder, "_count_item", lambda self, at: None)


@pytest.mark.parametrize(("break_it", "name"), [(break_count, "contexts"), (break_depth, "items")])
def test_a_limit_that_is_not_kept_is_found(monkeypatch: pytest.MonkeyPatch, break_it: Break, name: str) -> None:
    (probe,) = [one for one in PROBES if one.name == name]
    coverage = Coverage()
    run_probe(probe, coverage)
    break_it(monkeypatch)
    with pytest.raises(Unreached, match=f"limit {name}, above: None refused, {name} expected"):
        run_probe(probe, Coverage())


def test_a_limit_that_is_one_too_low_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = cursor.check_count
    monkeypatch.setattr(pdu, "check_count", lambda number, allowed, *rest: right(number, allowed - 1, *rest))
    (probe,) = [one for one in PROBES if one.name == "transfer_syntaxes"]
    with pytest.raises(Unreached, match="limit transfer_syntaxes, at: transfer_syntaxes refused, None expected"):
        run_probe(probe, Coverage())


def test_a_flag_that_is_ignored_or_always_on_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    (flag,) = [one for one in flags.FLAGS if one.name == "uid_padded"]
    flags.run_flag(flag, Coverage())
    with monkeypatch.context() as patch:
        patch.setattr(Judge, "tolerates", lambda self, name, detail: True)
        with pytest.raises(Unreached, match="a strict engine tells"):
            flags.run_flag(flag, Coverage())
    monkeypatch.setattr(Judge, "tolerates", lambda self, name, detail: False)
    with pytest.raises(Unreached, match="an engine with the flag tells"):
        flags.run_flag(flag, Coverage())


# -- recording -----------------------------------------------------------------------------------------------------


def recorded(script: Script) -> Coverage:
    with recording(Coverage()) as coverage:
        assert agrees(script) is None
    return coverage


def test_a_release_shows_its_cells_and_nothing_more() -> None:
    steps = (*ways()["association", ("acceptor", 6)], Receive(b"\5\0\0\0\0\4\0\0\0\0"))
    coverage = recorded(Script("acceptor", "association", steps))
    cells = {"Sta1 Evt5", "Sta2 Evt6", "Sta3 Evt7", "Sta6 Evt12"}
    assert coverage.seen()["cell of table 9-10"] == cells
    assert coverage.seen()["cell of table 9-10, by role"] == {f"{one} acceptor" for one in cells}
    assert coverage.seen()["PDU"] == {"01 A-ASSOCIATE-RQ valid", "05 A-RELEASE-RQ valid"}
    assert coverage.seen()["A-ABORT sent"] == frozenset()
    assert coverage.seen()["primitive refused"] == frozenset()


def test_one_pdu_that_is_decoded_alone_counts() -> None:
    with recording(Coverage()) as coverage:
        decode(RQ)
        with pytest.raises(Malformed):
            decode(b"\x05\0\0\0\0\3abc")
    assert coverage.has("PDU", "01 A-ASSOCIATE-RQ valid")
    assert coverage.has("PDU", "05 A-RELEASE-RQ wrong length")


def test_an_error_that_names_a_limit_counts() -> None:
    with recording(Coverage()) as coverage:
        Malformed("x", "PS3.8", limit="contexts", seen=2, allowed=1)
        DataSetError("a data set (limit items: 5)")
        DataSetError()
    assert coverage.seen()["limit"] == {"contexts above", "items above"}


def test_a_count_just_below_a_limit_and_at_it_counts() -> None:
    contexts = len(menu.REQUESTS[0].contexts)
    with recording(Coverage()) as coverage:
        decode(RQ, Limits(contexts=contexts, associate_pdu=len(RQ) - 5))
    limits = coverage.seen()["limit"]
    assert limits == {"contexts below", "contexts at", "associate_pdu below"}


def parts_of_the_engine() -> Iterator[object]:
    for owner in (Core, Association, Judge, core, pdu, errors._Violation, DataSetError):
        yield dict(vars(owner))


def test_the_engine_is_as_before_after_a_recording_and_after_an_exception() -> None:
    before = list(parts_of_the_engine())
    with recording(Coverage()):
        assert list(parts_of_the_engine()) != before
    assert list(parts_of_the_engine()) == before
    with pytest.raises(KeyError), recording(Coverage()):
        raise KeyError
    assert list(parts_of_the_engine()) == before


def test_recording_changes_nothing_that_an_engine_does() -> None:
    for seed in range(60):
        plain = walk(seed)
        with recording(Coverage()):
            same = walk(seed)
        assert str(same.script) == str(plain.script)


# -- the record ----------------------------------------------------------------------------------------------------


def test_records_are_united_and_pickled() -> None:
    one, other = Coverage(), Coverage()
    one.note("timer", "ARTIM")
    other.note("timer", "idle")
    other.note("A-ABORT sent", "user")
    both = pickle.loads(pickle.dumps(one))
    assert both == one
    both |= other
    assert both.seen()["timer"] == {"ARTIM", "idle"}
    assert one.seen()["timer"] == {"ARTIM"}
    assert both.has("A-ABORT sent", "user")
    assert both != one
    missing = both.missing()
    assert "ARTIM" not in missing["timer"]
    assert missing["A-ABORT sent"] == [f"provider, reason {reason}" for reason in (1, 2, 4, 5, 6)]
    text = both.report()
    assert "timer                             2/11" in text
    assert "  timer: association, accept, release, PDU, message, response, retrieve, operation, rate" in text


def test_a_key_that_does_not_exist_is_refused() -> None:
    with pytest.raises(KeyError):
        Coverage().note("weather", "rain")
    with pytest.raises(ValueError, match="timer 'egg' is not in the catalogue"):
        Coverage().note("timer", "egg")


def test_the_keys_of_aborts() -> None:
    assert [abort_key(*one) for one in ((0, 9), (1, 0), (2, 6))] == ["user", "reserved source", "provider, reason 6"]


# -- items ---------------------------------------------------------------------------------------------------------


def edited(*edits: Edit) -> bytes:
    return encode_tree(apply(read_pdu(RQ), list(edits)))[6:]


def test_a_valid_request_shows_its_items_and_those_that_are_missing() -> None:
    found = ways_of_associate(1, RQ[6:], accepted=True)
    assert "51 maximum length valid" in found
    assert "53 operations window missing" in found
    assert "20 presentation context (RQ) twice" in found  # four contexts, as is legal
    assert not any(key.endswith("wrong length") for key in found)


@pytest.mark.parametrize(
    ("edit", "key"),
    [
        (Edit("user information/maximum length", Action.REPEAT), "51 maximum length twice"),
        (Edit("user information", Action.DELETE), "50 user information missing"),
        (Edit("user information/length", Action.LENGTH, 0xFFFF), "50 user information wrong length"),
        (Edit("user information/maximum length/number", Action.SET, b"\0"), "51 maximum length wrong length"),
        (Edit("application context", Action.INSERT, b"\x99\0\0\0" * 2), "unknown item twice"),
        (Edit("presentation context/abstract syntax", Action.DELETE), "30 abstract syntax missing"),
    ],
)
def test_a_changed_request_shows_the_change(edit: Edit, key: str) -> None:
    assert any(one.startswith(key) for one in ways_of_associate(1, edited(edit), accepted=False))


def test_any_bytes_show_only_keys_of_the_catalogue() -> None:
    keys = {f"{name} {WAYS[way]}" for name, ways_ in ITEMS.items() for way in ways_}
    for kind in (1, 2):
        for at in range(0, len(RQ), 7):
            assert (
                ways_of_associate(kind, RQ[6 : 6 + at] + b"\x50\0\0\7\x58\0\0\3\1\0\0" + RQ[at:], accepted=True) <= keys
            )
