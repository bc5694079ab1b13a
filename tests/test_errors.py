"""Errors: their texts, when two are equal, and that they survive `copy` and `pickle`."""

import copy
import pickle

import pytest

from dicos_proto import errors
from dicos_proto.errors import (
    AbortReason,
    AbortSource,
    ConnectionLost,
    DeadlineExceeded,
    LocalProtocolError,
    Malformed,
    ProtocolError,
    RemoteProtocolError,
)

OVER = Malformed("too many contexts", "PS3.8 9.3.2", limit="contexts", seen=129, allowed=128)
EVERY = [
    OVER,
    Malformed("PDU type 0x09; 0x01 to 0x07", "PS3.8 9.3.1", AbortReason.UNRECOGNIZED_PDU),
    RemoteProtocolError.blame(OVER),
    LocalProtocolError("no"),
    ConnectionLost("gone"),
    DeadlineExceeded("ARTIM"),
]
NAMES = [type(each).__name__ for each in EVERY]


def test_codes_are_those_of_the_standard() -> None:
    """PS3.8 9.3.8, table 9-26."""
    assert [(each.name, each.value) for each in AbortSource] == [
        ("SERVICE_USER", 0),
        ("RESERVED", 1),
        ("SERVICE_PROVIDER", 2),
    ]
    assert [(each.name, each.value) for each in AbortReason] == [
        ("NOT_SPECIFIED", 0),
        ("UNRECOGNIZED_PDU", 1),
        ("UNEXPECTED_PDU", 2),
        ("RESERVED", 3),
        ("UNRECOGNIZED_PARAMETER", 4),
        ("UNEXPECTED_PARAMETER", 5),
        ("INVALID_PARAMETER", 6),
    ]


def test_text_names_the_clause_and_for_a_limit_both_numbers() -> None:
    assert str(OVER) == "too many contexts (limit contexts: 129 seen, 128 allowed) [PS3.8 9.3.2]"
    assert str(Malformed("odd", "PS3.7 6.3.1")) == "odd [PS3.7 6.3.1]"
    assert str(LocalProtocolError("not now")) == "not now"


def test_a_fault_of_no_other_kind_is_an_invalid_parameter() -> None:
    fault = Malformed("odd", "PS3.7 6.3.1")
    assert (fault.reason, fault.limit, fault.seen, fault.allowed) == (AbortReason.INVALID_PARAMETER, None, None, None)


def test_blame_keeps_everything_but_the_kind() -> None:
    blamed = RemoteProtocolError.blame(OVER)
    assert type(blamed) is RemoteProtocolError
    for name in ("detail", "clause", "reason", "limit", "seen", "allowed"):
        assert getattr(blamed, name) == getattr(OVER, name)
    assert str(blamed) == str(OVER)
    assert blamed != OVER


@pytest.mark.parametrize("error", EVERY, ids=NAMES)
def test_errors_survive_copy_and_pickle(error: ProtocolError) -> None:
    for other in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert other is not error
        assert other == error
        assert hash(other) == hash(error)
        assert str(other) == str(error)
        assert vars(other) == vars(error)


def test_errors_are_equal_only_when_they_are_of_one_kind_and_say_the_same() -> None:
    assert len(set(EVERY)) == len(EVERY)
    assert LocalProtocolError("no") != LocalProtocolError("yes")
    assert LocalProtocolError("no") != ConnectionLost("no")
    assert LocalProtocolError("no") != "no"
    assert Malformed("a", "b") != Malformed("a", "b", AbortReason.UNEXPECTED_PDU)
    assert Malformed("a", "b", limit="uid", seen=65, allowed=64) != Malformed(
        "a", "b", limit="uid", seen=66, allowed=64
    )


def test_every_error_is_a_protocol_error() -> None:
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)]
    assert len(kinds) >= 6
    assert all(issubclass(each, ProtocolError) for each in kinds)


def test_malformed_is_neutral() -> None:
    """The layer above decides whose fault it is: catching one kind must not catch the other."""
    assert not issubclass(Malformed, LocalProtocolError | RemoteProtocolError)
    assert not issubclass(RemoteProtocolError, LocalProtocolError)
