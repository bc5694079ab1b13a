"""Trees of named fields: every path leads to one node, edits without effect are skipped, and nothing that edits do
takes more than bounded memory, time or stack."""

from __future__ import annotations

import time
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_fuzz.grammar import read_stream
from dicos_fuzz.tree import MOST_COPIED, Action, Edit, Leaf, Length, Node, Part, apply, encode, find, lengths, walk
from tests.fuzz import values


def item(*nodes: Node) -> Part:
    return Part("item", (Leaf("type", b"\x20"), Length("length", 2), *nodes))


@given(values.trees)
def test_every_path_leads_to_its_node_and_no_two_are_equal(tree: Node) -> None:
    found = list(walk(tree))
    assert all(find(tree, path) is node for path, node in found)
    assert len({path for path, _ in found}) == len(found)


@pytest.mark.parametrize("path", ["b", "a#3", "a#0", "a/b", "#", "a#x", "a#" + "9" * 5000, "a#\u0663", "/", "a//"])
def test_a_path_that_is_not_there_leads_nowhere(path: str) -> None:
    tree = Part("root", (Leaf("a", b"1"), Leaf("a", b"2")))
    assert find(tree, path) is None
    assert all(apply(tree, [Edit(path, action, b"x")]) == tree for action in Action)


def test_names_with_the_signs_of_paths_are_escaped_in_them() -> None:
    tree = Part("root", (Leaf("a", b"1"), Leaf("a", b"2"), Leaf("a#2", b"3"), Leaf("x/%", b"4")))
    assert [path for path, _ in walk(tree)] == ["", "a", "a#2", "a%232", "x%2F%25"]
    assert encode(apply(tree, [Edit("a%232", Action.SET, b"-"), Edit("x%2F%25", Action.DELETE)])) == b"12-"


def test_a_length_counts_what_follows_it_and_keeps_a_wrong_number() -> None:
    assert encode(item(Leaf("value", b"abc"))) == b"\x20\x00\x03abc"
    wrong = apply(item(Leaf("value", b"abc")), [Edit("length", Action.LENGTH, 7)])
    assert encode(wrong) == b"\x20\x00\x07abc"
    assert encode(apply(wrong, [Edit("length", Action.LENGTH, 0x12345)])) == b"\x20\x23\x45abc"


def test_a_group_length_counts_what_follows_its_element() -> None:
    group = Part("group", (Leaf("tag", b"T"), Length("number", 1, outer=True)))
    assert encode(Part("set", (group, Leaf("a", b"xyz")))) == b"T\x03xyz"
    assert encode(Length("number", 1, outer=True)) == b"\x00"


@given(values.trees)
def test_the_right_numbers_of_lengths_are_those_that_are_encoded(tree: Node) -> None:
    for path, (right, behind) in lengths(tree).items():
        node = find(tree, path)
        assert isinstance(node, Length)
        assert encode(apply(tree, [Edit(path, Action.LENGTH, right)])) == encode(
            apply(tree, [Edit(path, Action.SET, Length("", node.width, right, node.little).pack(0))])
        )
        assert 0 <= right + behind <= len(encode(tree))


def test_bytes_behind_the_counted_ones_in_the_part_around() -> None:
    tree = Part("pdu", (Length("length", 1), item(Leaf("value", b"abc")), Leaf("tail", b"12345")))
    assert lengths(tree) == {"length": (11, 0), "item/length": (3, 5)}


@pytest.mark.parametrize(
    ("edit", "result"),
    [
        (Edit("b", Action.SET, b"--"), b"1--3"),
        (Edit("b", Action.DELETE), b"13"),
        (Edit("b", Action.REPEAT), b"1223"),
        (Edit("b", Action.INSERT, b"--"), b"1--23"),
        (Edit("b", Action.SWAP), b"132"),
        (Edit("c", Action.SWAP), b"123"),
        (Edit("", Action.SET, b"-"), b"-"),
        (Edit("", Action.DELETE), b""),
        (Edit("", Action.REPEAT), b"123123"),
        (Edit("", Action.INSERT, b"-"), b"-123"),
        (Edit("", Action.CUT, 2), b"12"),
        (Edit("", Action.CUT, -1), b""),
        (Edit("", Action.SWAP), b"123"),
        (Edit("b", Action.LENGTH, 3), b"123"),
        (Edit("b", Action.SET, 3), b"123"),
        (Edit("b", Action.CUT), b"123"),
    ],
)
def test_the_effect_of_each_edit(edit: Edit, result: bytes) -> None:
    tree = Part("root", (Leaf("a", b"1"), Leaf("b", b"2"), Leaf("c", b"3")))
    assert encode(apply(tree, [edit])) == result


@given(
    values.trees, st.lists(st.tuples(st.integers(0, 20), st.sampled_from(Action), st.binary(max_size=3)), max_size=4)
)
def test_every_subset_of_edits_can_be_applied(tree: Node, changes: list[tuple[int, Action, bytes]]) -> None:
    paths = [path for path, _ in walk(tree)]
    edits = [
        Edit(paths[at % len(paths)], action, len(value) if action in (Action.CUT, Action.LENGTH) else value)
        for at, action, value in changes
    ]
    for size in range(len(edits) + 1):
        for some in combinations(edits, size):
            encode(apply(tree, some))


def test_edits_that_repeat_each_other_add_a_bounded_number_of_bytes() -> None:
    begun = time.process_time()
    whole = encode(apply(read_stream(values.REQUEST), [Edit("", Action.REPEAT)] * 1000))
    assert len(values.REQUEST) * 1000 < len(whole) < 2 * MOST_COPIED
    empty = encode(apply(Leaf("nothing", b""), [Edit("", Action.REPEAT)] * 1000))
    assert empty == b""
    assert time.process_time() - begun < 30  # a hang is what this stops: it takes about a second


def test_a_deep_tree_exhausts_no_stack() -> None:
    tree: Node = Leaf("end", b"x")
    for _ in range(3000):
        tree = Part("a", (Length("length", 4), tree))
    path = "/".join(["a"] * 2999 + ["end"])
    assert len(encode(tree)) == 12_001
    assert encode(apply(tree, [Edit(path, Action.SET, b"yz")]))[-2:] == b"yz"
    assert lengths(tree)["length"] == (11_997, 0)


def test_an_edit_prints_as_one_short_line() -> None:
    assert str(Edit("a/b", Action.LENGTH, 7)) == "a/b: length 7"
    assert str(Edit("", Action.DELETE)) == "all: delete"
    assert str(Edit("a", Action.SET, b"\x01\x02")) == "a: set 01 02"
    assert str(Edit("a", Action.SET, b"")) == "a: set nothing"
    assert str(Edit("a", Action.SET, bytes(30))).endswith("00... (30 bytes)")
