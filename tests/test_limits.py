"""Limits: values that do not change, each with a default, none that leaves no way to carry a message."""

import dataclasses

import pytest

from dicos_proto.limits import DEFAULT_MAX_LENGTH, SMALLEST_MAX_LENGTH, Limits


def test_defaults_are_positive_numbers() -> None:
    values = dataclasses.asdict(Limits())
    assert values
    assert all(type(value) is int and value > 0 for value in values.values())


def test_defaults_hold_what_the_standard_allows() -> None:
    assert Limits().contexts == 128  # the odd ids from 1 to 255  # PS3.8 9.3.2.2
    assert Limits().uid == 64  # PS3.5 9.1
    assert DEFAULT_MAX_LENGTH % 2 == 0


def test_limits_do_not_change() -> None:
    limits = Limits()
    with pytest.raises(dataclasses.FrozenInstanceError):
        limits.uid = 65  # type: ignore[misc]
    assert limits == Limits()
    assert hash(limits) == hash(Limits())
    assert Limits(uid=65) != limits


def test_outgoing_pdu_has_room_for_a_pdv_with_data() -> None:
    """A PDV header of six bytes and a fragment of two, the shortest of even length [PS3.8 9.3.5.1, E.1]."""
    assert SMALLEST_MAX_LENGTH == 6 + 2
    assert Limits(outgoing_pdu=9).outgoing_pdu == 9
    assert Limits(outgoing_pdu=8).outgoing_pdu == 8
    for number in (7, 0, -1):
        with pytest.raises(ValueError, match=rf"^limit outgoing_pdu of {number} bytes; at least 8$"):
            Limits(outgoing_pdu=number)
