"""JSON from outside: refused within bounded memory, time and stack, with the place, for any bytes."""

from __future__ import annotations

import json
import os
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_fuzz.json_text import MOST_BYTES, MOST_DEPTH, DamagedFile, parse, read_file, seen, text, write_file, written

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(), inside, max_size=3),
    max_leaves=10,
)


@given(plain)
def test_json_is_parsed(value: object) -> None:
    for ascii_only in (True, False):
        try:
            raw = json.dumps(value, ensure_ascii=ascii_only).encode()
        except UnicodeEncodeError:
            continue
        assert parse(raw) == value


@given(st.binary(max_size=60) | st.text('[]{}",:\\ 0e1.-ntf', max_size=40).map(str.encode))
def test_any_bytes_are_parsed_as_the_standard_library_does_or_refused(raw: bytes) -> None:
    try:
        found = parse(raw)
    except DamagedFile as error:
        fault = str(error)
    else:
        assert found == json.loads(raw)
        return
    assert fault.isascii()


BIG = 4 << 20
HOSTILE = {
    "deep": b"[" * BIG,
    "deep in objects": b'{"a":' * (BIG // 5),
    "many lists": b"[" + b"[]," * (BIG // 3),
    "many numbers": b"[" + b"1," * (BIG // 2),
    "many keys": b"{" + b",".join(b'"%d":1' % i for i in range(300_000)) + b"}",
    "a long number": b"9" * BIG,
    "a long fraction": b"0." + b"9" * BIG,
    "a long exponent": b"1e" + b"9" * BIG,
    "an open string": b'"' + b"a" * BIG,
    "escaped quotes": b'"' + b'\\"' * (BIG // 2),
    "backslashes": b'"' + b"\\" * (BIG + 1),
    "quotes": b'"' * BIG,
    "closing brackets": b"]" * BIG,
    "blanks": b" " * BIG,
    "NUL": bytes(BIG),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_texts_are_refused_within_bounds(what: str) -> None:
    raw = HOSTILE[what]
    tracemalloc.start()
    begun = time.process_time()
    try:
        with pytest.raises(DamagedFile) as caught:
            parse(raw)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - begun < 10
    assert peak < 8 * BIG
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{\n "a": 1,\n "b": }', "line 3, column 7: Expecting value"),
        (b"\xff", "byte 0: not UTF-8"),
        (b'{"a": 1, "b": 2, "a": 3}', "an object has 'a' twice"),
        (b"[NaN]", "NaN: not a number of JSON"),
        (b"[-Infinity]", "-Infinity: not a number of JSON"),
        (
            b"[\n" + b"[" * MOST_DEPTH + b"]" * MOST_DEPTH + b"]",
            f"line 2, column {MOST_DEPTH}: nested more than 32 deep",
        ),
        (b"1" * 41, "the number 111111111111... has 41 digits; at most 40"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(raw: bytes, message: str) -> None:
    with pytest.raises(DamagedFile) as caught:
        parse(raw)
    assert str(caught.value).startswith(message)


def test_brackets_inside_strings_do_not_count() -> None:
    assert parse(b'["' + b'[{\\"' * 1000 + b'"]') == ['[{"' * 1000]


def test_values_are_counted() -> None:
    assert parse(b"[1,2,3]", most_values=4) == [1, 2, 3]
    with pytest.raises(DamagedFile, match="more than 3 values"):
        parse(b"[1,2,3]", most_values=3)


def test_a_file_is_read_up_to_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "big"
    with open(path, "wb") as file:
        file.truncate(1 << 30)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedFile, match="more than 16,777,216 bytes"):
            read_file(path)
        assert tracemalloc.get_traced_memory()[1] < 3 * MOST_BYTES
    finally:
        tracemalloc.stop()
    with pytest.raises(DamagedFile, match="more than 4 bytes"):
        read_file(path, most_bytes=4)


def test_an_endless_file_is_refused() -> None:
    with pytest.raises(DamagedFile, match="more than"):
        read_file(Path("/dev/zero"))


@given(plain)
def test_a_value_is_described_in_a_few_words(value: object) -> None:
    assert seen(value).isascii()
    assert len(seen(value)) < 500
    assert seen(b"") == "bytes"


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    write_file(path, written({"a": ["\ud800", "\x1b"]}))
    assert path.read_bytes().isascii()
    assert read_file(path) == {"a": ["\ud800", "\x1b"]}
    with pytest.raises(DamagedFile, match="surrogate"):
        text("\ud800", "x")
    with pytest.raises(IsADirectoryError):
        write_file(tmp_path, b"{}")
    with pytest.raises(FileNotFoundError):
        write_file(tmp_path / "nowhere" / "found.json", b"{}")
    assert [one.name for one in tmp_path.iterdir()] == ["found.json"]
    assert read_file(path) == {"a": ["\ud800", "\x1b"]}


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_file(pipe, b"1")
        assert os.read(end, 10) == b"1"
    finally:
        os.close(end)
    assert pipe.is_fifo()
