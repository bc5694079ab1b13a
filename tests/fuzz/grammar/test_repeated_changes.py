"""Changes one after the other: a field that became empty can be changed again."""

from random import Random

from dicos_fuzz.grammar import Offer, change, changes, read_pdu, request
from dicos_fuzz.tree import Action, Edit, apply, encode


def test_a_number_that_became_empty_can_be_changed() -> None:
    tree = apply(read_pdu(request(Offer())), [Edit("protocol version", Action.SET, b"")])
    assert all(isinstance(encode(apply(tree, [edit])), bytes) for edit in changes(tree))


def test_many_random_changes_of_one_tree() -> None:
    random = Random(1)
    for _ in range(20):
        tree = read_pdu(request(Offer()))
        for _ in range(20):
            edit = change(tree, random)
            if edit is not None:
                tree = apply(tree, [edit])
        encode(tree)
