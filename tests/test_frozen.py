"""What `frozen.quick` changes of a frozen dataclass: how long it takes to make one, and nothing else."""

import inspect
from dataclasses import FrozenInstanceError, dataclass, replace

import pytest

from dicos_proto.dimse import CStoreRequest
from dicos_proto.frozen import quick


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """Three fields, one of them with a default."""

    first: int
    second: str
    third: tuple[int, ...] = ()


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Quick:
    """Three fields, one of them with a default."""

    first: int
    second: str
    third: tuple[int, ...] = ()


def test_its_values_are_those_that_were_given_or_the_defaults() -> None:
    value = Quick(second="two", first=1)
    assert (value.first, value.second, value.third) == (1, "two", ())
    assert replace(value, third=(3,)).third == (3,)
    assert value == Quick(first=1, second="two") != Quick(first=2, second="two")
    assert hash(value) == hash(Quick(first=1, second="two"))
    assert repr(value) == "Quick(first=1, second='two', third=())"


def test_it_stays_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Quick(first=1, second="").first = 2  # type: ignore[misc]


@pytest.mark.parametrize("given", [{}, {"first": 1}, {"first": 1, "second": "", "fourth": 4}], ids=str)
def test_fields_that_are_missing_or_unknown_are_refused_as_ever(given: dict[str, int]) -> None:
    for cls in Plain, Quick:
        with pytest.raises(TypeError):
            cls(**given)  # type: ignore[arg-type]


def test_fields_are_given_by_keyword_only() -> None:
    with pytest.raises(TypeError):
        Quick(1, "two")  # type: ignore[misc]


def test_its_signature_is_that_of_a_dataclass() -> None:
    assert inspect.signature(Quick) == inspect.signature(Plain)
    assert Quick.__init__.__qualname__ == "Quick.__init__"
    assert Quick.__init__.__module__ == __name__
    assert CStoreRequest.__init__.__qualname__ == "CStoreRequest.__init__"
