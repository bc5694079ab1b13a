"""Reproducer files: readable, without contents, read without loss; other bytes are refused by name and place."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_fuzz.conversation import Conversation, DamagedFile, Entry, Send, Side, Transcript, What
from dicos_fuzz.finding import Finding, Severity, Violation
from dicos_fuzz.findings.contents import without_contents_of_transcript
from dicos_fuzz.findings.reproducer import Reproducer, file_name, json_of_reproducer, of_finding, read, write
from tests.fuzz import values
from tests.fuzz.findings.examples import FINDING, PATIENT, TRANSCRIPT

REPRODUCER = of_finding(FINDING, peer="127.0.0.1:11112, SOMETHING 1.0", program="dicos-proto 0.1.0", made="2025-01-01")


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / file_name(REPRODUCER)
    write(path, REPRODUCER)
    assert read(path) == REPRODUCER
    assert [one.name for one in tmp_path.iterdir()] == [f"{FINDING.id}.json"]


def test_it_holds_the_minimised_conversation() -> None:
    assert REPRODUCER.conversation == FINDING.minimised
    assert of_finding(replace(FINDING, minimised=None)).conversation == FINDING.conversation


def test_a_person_reads_what_was_found_which_rule_it_breaks_and_how_to_run_it(tmp_path: Path) -> None:
    write(tmp_path / "x.json", REPRODUCER)
    text = (tmp_path / "x.json").read_text("ascii")
    head = text.partition('"program"')[0]
    assert f'"found": "{FINDING.id}: no answer to a good echo within 5.0 s"' in head
    assert '"rule": "PS3.8 9.2"' in head
    assert f'"dicos replay {FINDING.id}.json HOST PORT"' in head
    assert "first after 12.5 s and 340 conversations; 3 of 5 times when it was played again" in head
    assert "on purpose: A-ASSOCIATE-RQ/presentation context#2/length: 79 -> 65535" in head
    assert "\\u" not in head


def test_that_it_was_found_over_tls_is_remembered_and_how_to_run_it_says_so(tmp_path: Path) -> None:
    made = of_finding(FINDING, tls=True, port=11119)
    path = tmp_path / "x.json"
    write(path, made)
    assert (read(path).tls, read(path).port) == (True, 11119)
    assert f'"dicos replay {FINDING.id}.json HOST PORT --tls"' in path.read_text()
    assert "add the TLS options for your peer" in path.read_text()
    called = replace(made, conversation=replace(made.conversation, side=Side.PROVIDER))
    assert "--listen PORT --tls" in str(json_of_reproducer(called)["run"])


def test_files_of_before_are_read(tmp_path: Path) -> None:
    plain = json_of_reproducer(REPRODUCER)
    for name in ("at", "tls", "port"):
        del plain[name]
    (tmp_path / "old.json").write_text(json.dumps(plain))
    assert read(tmp_path / "old.json") == REPRODUCER


def test_a_provider_listens() -> None:
    other = replace(REPRODUCER, conversation=replace(REPRODUCER.conversation, side=Side.PROVIDER))
    assert "--listen PORT" in str(json_of_reproducer(other)["run"])


def test_no_contents_of_the_peer_are_in_it(tmp_path: Path) -> None:
    assert PATIENT in TRANSCRIPT.received()
    write(tmp_path / "x.json", replace(REPRODUCER, transcript=TRANSCRIPT))
    text = (tmp_path / "x.json").read_text()
    assert PATIENT.hex() not in text
    assert PATIENT.decode() not in text


texts = st.text(max_size=20)
violations = st.builds(
    Violation,
    oracle=texts,
    severity=st.sampled_from(Severity),
    detail=texts,
    clause=texts,
    state=texts,
    reaction=texts,
    family=texts,
    by_family=st.booleans(),
    by_state=st.booleans(),
)
findings = st.builds(
    Finding,
    violation=violations,
    conversation=values.conversations,
    transcript=values.transcripts,
    before=st.lists(values.conversations, max_size=2).map(tuple),
    minimised=st.none() | values.conversations,
    replayed=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    seen_after=st.tuples(st.floats(0, 1e6), st.integers(0, 10**6)),
    at=st.floats(0, 1e10),
    count=st.integers(0, 10**6),
    evidence=st.lists(texts, max_size=2).map(tuple),
)


@given(findings, texts)
def test_any_finding_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, finding: Finding, peer: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    made = of_finding(finding, peer=peer)
    write(path, made)
    found = read(path)
    assert found.id == made.id
    assert found.conversation == made.conversation
    assert found.before == made.before
    assert [(one.what, one.data) for one in found.transcript.entries] == [
        (one.what, one.data) for one in made.transcript.entries
    ]
    write(path, found)
    assert read(path) == found  # texts that no file can have are replaced once
    assert set(file_name(found)) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


@pytest.mark.parametrize("oracle", ["../../etc/passwd", ".hidden", "a b/c", "", "x" * 300])
def test_a_file_name_has_no_path_in_it(oracle: str) -> None:
    found = file_name(replace(REPRODUCER, violation=replace(REPRODUCER.violation, oracle=oracle)))
    assert "/" not in found
    assert not found.startswith(".")
    assert found.endswith(".json")
    assert len(found) < 120


def damaged(**changes: object) -> dict[str, object]:
    plain = json.loads(json.dumps(json_of_reproducer(REPRODUCER)))
    for key, value in changes.items():
        plain[key.replace("_", " ")] = value
    return {key: value for key, value in plain.items() if value is not ...}


@pytest.mark.parametrize(
    ("plain", "text"),
    [
        ([], "reproducer: a list of 0; expected an object"),
        ({}, 'not a reproducer: it has no "dicos reproducer"'),
        (damaged(dicos_reproducer=2), "a reproducer of version 2; this program reads version 1"),
        (damaged(dicos_reproducer="1"), "dicos reproducer: '1'; expected a whole number"),
        (damaged(tls="yes"), "tls: 'yes'; expected true or false"),
        (damaged(port=65_536), "port: 65536; expected a whole number from 0 to 65,535"),
        (damaged(at=-1), "at: -1; expected a number from 0 to 10,000,000,000"),
        (damaged(color="red"), "reproducer: it has no 'color'"),
        (damaged(conversation=...), "conversation: null; expected an object"),
        (damaged(violation=...), "violation: null; expected an object"),
        (damaged(violation={"oracle": "x", "severity": "bad"}), "violation: severity: 'bad'; expected one of critical"),
        (damaged(violation={"severity": "low"}), "violation: oracle: null; expected a text"),
        (damaged(before=[{}]), "before 1: steps: null; expected a list"),
        (damaged(before=[0] * 1001), "before: a list of 1001; expected at most 1,000"),
        (damaged(entries=[{"what": "x"}]), "entries: line 1: what: 'x'"),
        (damaged(replayed=[1]), "replayed: a list of 1; expected two numbers"),
        (damaged(replayed=[1, -1]), "replayed 2: -1; expected a whole number"),
        (damaged(seen_after=["soon", 1]), "seen after 1: 'soon'; expected a number"),
        (damaged(evidence=[7]), "evidence 1: 7; expected a text"),
        (damaged(peer="\ud800"), "peer: "),
        (damaged(count=1.5), "count: 1.5"),
    ],
)
def test_a_damaged_file_is_refused_by_name_and_place(tmp_path: Path, plain: object, text: str) -> None:
    path = tmp_path / "found.json"
    path.write_text(json.dumps(plain))
    with pytest.raises(DamagedFile) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: {text}")


@given(st.binary(max_size=200), st.integers(0, 10_000), st.integers(0, 40))
def test_bytes_that_are_changed_anywhere_raise_no_other_error(
    tmp_path_factory: pytest.TempPathFactory, put: bytes, at: int, gone: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "changed.json"
    raw = json.dumps(json_of_reproducer(REPRODUCER)).encode()
    at %= len(raw)
    path.write_bytes(raw[:at] + put + raw[at + gone :])
    try:
        found: Reproducer | None = read(path)
    except DamagedFile as error:
        found, said = None, str(error)
    if found is None:
        assert said.startswith(f"{path}: ")
    else:
        write(path, found)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"dicos reproducer": 1, "before": ' + b"[" * (1 << 20),
        b'{"dicos reproducer": 1, "count": ' + b"9" * (1 << 20) + b"}",
        b'{"dicos reproducer": 1' + b',"a":1' * (1 << 18) + b"}",
    ],
)
def test_a_hostile_file_is_refused_in_bounded_memory(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "hostile.json"
    path.write_bytes(raw)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedFile, match=r"hostile\.json: "):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_a_file_of_a_gigabyte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with open(path, "wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(DamagedFile, match="more than 16,777,216 bytes"):
        read(path)


def test_a_finding_that_is_too_large_is_not_written(tmp_path: Path) -> None:
    large = Conversation(name="x", steps=(Send(message=bytes(9 << 20)),))
    with pytest.raises(ValueError, match=r"a file of .* bytes; at most 16,777,216"):
        write(tmp_path / "large.json", replace(REPRODUCER, conversation=large))
    assert list(tmp_path.iterdir()) == []


def test_of_a_long_transcript_the_beginning_is_kept(tmp_path: Path) -> None:
    long = Transcript([Entry(float(at), 0, What.SENT, bytes(1000)) for at in range(1000)])
    write(tmp_path / "long.json", replace(REPRODUCER, transcript=long))
    found = read(tmp_path / "long.json").transcript.entries
    assert 200 < len(found) < 300
    assert found == long.entries[: len(found)]
    assert without_contents_of_transcript(long) == long
