"""Parts taken out of messages: lengths and the paths of edits follow, values become simpler but keep their form."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_fuzz.findings import pruning
from dicos_fuzz.findings.pruning import levels, simplest, with_value, without
from dicos_fuzz.grammar import read_stream
from dicos_fuzz.tree import Action, Edit, Kind, Leaf, Length, Part, find, walk
from tests.fuzz import values

FIRST, SECOND = "A-ASSOCIATE-RQ/presentation context", "A-ASSOCIATE-RQ/presentation context#2"
TWO = values.REQUEST + values.PDUS["C-STORE-RQ"]


def test_levels_are_pdus_then_items_then_the_parts_in_those() -> None:
    found = levels(TWO)
    assert found[0] == ["A-ASSOCIATE-RQ", "P-DATA-TF", "P-DATA-TF#2"]
    assert "A-ASSOCIATE-RQ/presentation context#2" in found[1]
    assert "P-DATA-TF/PDV" in found[1]
    assert "A-ASSOCIATE-RQ/user information/operations window" in found[2]
    assert "P-DATA-TF#2/PDV/data set/(0008,1115)/(FFFE,E000)" in found[4]
    assert levels(b"") == []


@given(values.streams, st.data())
def test_what_is_left_is_the_message_without_these_parts(stream: bytes, data: st.DataObject) -> None:
    paths = [path for level in levels(stream) for path in level]
    gone = set(data.draw(st.lists(st.sampled_from(paths), max_size=4))) if paths else set()
    kept, _ = without(stream, (), gone)
    one_by_one = read_stream(stream)
    for path, node in walk(one_by_one):
        assert find(one_by_one, path) is node
    left = [node for path, node in walk(one_by_one) if isinstance(node, Leaf) and not under(path, gone)]
    assert sum(len(node.value) for node in left) + lengths_of(stream, gone) == len(kept)


def under(path: str, gone: set[str]) -> bool:
    return any(path == one or path.startswith(f"{one}/") for one in gone)


def lengths_of(stream: bytes, gone: set[str]) -> int:
    return sum(n.width for path, n in walk(read_stream(stream)) if isinstance(n, Length) and not under(path, gone))


def test_right_lengths_follow_and_wrong_ones_stay() -> None:
    wrong = with_value(TWO, "A-ASSOCIATE-RQ/user information/length", 0xFFF0)
    kept, _ = without(wrong, (), {"A-ASSOCIATE-RQ/presentation context", "P-DATA-TF"})
    tree = read_stream(kept)
    assert isinstance(tree, Part)
    assert [node.name for node in tree.nodes] == ["A-ASSOCIATE-RQ", "P-DATA-TF"]
    assert len(kept) == len(TWO) - len(bytes(find_bytes("A-ASSOCIATE-RQ/presentation context"))) - len(
        find_bytes("P-DATA-TF")
    )
    assert isinstance(length := find(tree, "A-ASSOCIATE-RQ/length"), Length)
    assert length.value is None


def find_bytes(path: str) -> bytes:
    from dicos_fuzz.tree import encode

    node = find(read_stream(TWO), path)
    assert node is not None
    return encode(node)


@pytest.mark.parametrize(
    ("path", "gone", "moved"),
    [
        (f"{SECOND}/id", [FIRST], f"{FIRST}/id"),
        (SECOND, [FIRST], FIRST),
        (f"{SECOND}/id", [SECOND], None),
        (f"{SECOND}/id", ["A-ASSOCIATE-RQ"], None),
        (f"{FIRST}/id", [SECOND], f"{FIRST}/id"),
        # The third presentation context is made by another edit: nothing is known of it, so that it stays.
        (f"{FIRST}#3/id", [FIRST], f"{FIRST}#3/id"),
        ("P-DATA-TF#2/inserted", ["P-DATA-TF"], "P-DATA-TF/inserted"),
        ("P-DATA-TF#2/inserted/x", ["P-DATA-TF#2"], None),
        ("", ["P-DATA-TF"], ""),
        ("nowhere/at all", ["P-DATA-TF"], "nowhere/at all"),
    ],
)  # fmt: skip
def test_the_paths_of_edits_follow(path: str, gone: list[str], moved: str | None) -> None:
    _, edits = without(TWO, (Edit(path, Action.DELETE),), gone)
    assert edits == (() if moved is None else (Edit(moved, Action.DELETE),))


def test_an_edit_keeps_its_node_whatever_else_goes() -> None:
    tree = read_stream(TWO)
    items = ["presentation context", "presentation context#2", "user information", "application context"]
    target = "A-ASSOCIATE-RQ/presentation context#2/transfer syntax#2"
    for size in range(4):
        for some in combinations(items, size):
            kept, edits = without(TWO, (Edit(target, Action.DELETE),), {f"A-ASSOCIATE-RQ/{one}" for one in some})
            if "presentation context#2" in some:
                assert edits == ()
            else:
                assert find(read_stream(kept), edits[0].path) == find(tree, target)


@pytest.mark.parametrize(
    ("leaf", "found"),
    [
        (Leaf("id", b"\x05", Kind.ID), [b"", b"\x00", b"\x01"]),
        (Leaf("id", b"\x01", Kind.ID), [b"", b"\x00"]),
        (Leaf("id", b"\x00", Kind.ID), [b""]),
        (Leaf("message id", b"\x07\x00", Kind.NUMBER, little=True), [b"", b"\x00\x00", b"\x01\x00"]),
        (Leaf("title", b"ANY-SCP         ", Kind.TITLE), [b"A               "]),
        (Leaf("title", b"A               ", Kind.TITLE), []),
        (Leaf("reserved", b"\x01\x02", Kind.RESERVED), [b"", b"\x00\x00"]),
        (Leaf("UID", b"1.2.3", Kind.UID), [b"", b"1"]),
        (Leaf("UID", b"1", Kind.UID), [b""]),
        (Leaf("name", b"abc", Kind.TEXT), [b"", b"\x00\x00\x00"]),
        (Leaf("value", b"\x00", Kind.BYTES), [b""]),
    ],
)
def test_the_simpler_values_of_each_kind(leaf: Leaf, found: list[bytes]) -> None:
    assert list(simplest(leaf)) == found


def test_values_are_those_that_do_not_say_what_something_is_and_wrong_lengths() -> None:
    found = pruning.values(with_value(TWO, "A-ASSOCIATE-RQ/user information/length", 0xFFF0))
    assert "A-ASSOCIATE-RQ/called title" in found
    assert isinstance(found["A-ASSOCIATE-RQ/user information/length"], Length)
    assert not [path for path in found if path.endswith(("/type", "/tag", "/VR", "/control header"))]
    assert sum(isinstance(node, Length) for node in found.values()) == 1
