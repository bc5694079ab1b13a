"""`fast_init` makes the construction of a frozen dataclass faster and changes nothing else."""

import copy
import inspect
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from typing import Any, get_type_hints

import pytest

from dicos_proto.dimse.events import MessageData, MessageStart
from dicos_proto.dimse.types import CStoreRequest
from dicos_proto.fast_init import fast_init
from dicos_proto.services.storage import Instance, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """Three fields, one of them with a default."""

    first: int
    second: str
    third: tuple[int, ...] = ()


@fast_init
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


REQUEST = CStoreRequest(message_id=1, affected_sop_class_uid="1.2", affected_sop_instance_uid="1.3", priority=2)
INSTANCE = Instance(sop_class_uid="1.2", sop_instance_uid="1.3", transfer_syntax="1.2", data=b"ab")
MADE = [
    REQUEST,
    MessageStart(context=1, command=REQUEST, has_data=True),
    MessageData(context=1, data=b"ab", last=False),
    INSTANCE,
    Outcome(instance=INSTANCE),
]


@pytest.mark.parametrize("value", MADE, ids=lambda value: type(value).__name__)
def test_its_values_can_be_copied_and_pickled(value: Any) -> None:
    for each in (replace(value), copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert type(each) is type(value)
        assert each == value
        assert repr(each) == repr(value)


@pytest.mark.parametrize("value", MADE, ids=lambda value: type(value).__name__)
def test_its_annotations_are_looked_up_where_it_was_written(value: Any) -> None:
    hints = get_type_hints(type(value).__init__)
    assert list(hints) == [*(each.name for each in fields(value)), "return"]


def test_a_dataclass_that_inherits_from_it_has_its_own() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Longer(Quick):
        fourth: list[int] = field(default_factory=list)

    @fast_init
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Other(Quick):
        second: str = "other"

    assert Longer(first=1, second="two") == Longer(first=1, second="two", third=(), fourth=[])
    assert (Other(first=1).second, Other(first=1).third) == ("other", ())


@fast_init
@dataclass(frozen=True, slots=True, kw_only=True)
class Selves:
    """Fields whose names are those that the `__init__` is written with, had it no prefixes."""

    make: int
    setter: int = 2
    put_make: int = 3
    default_setter: int = 4


def test_fields_may_have_any_name() -> None:
    assert repr(Selves(make=1)) == "Selves(make=1, setter=2, put_make=3, default_setter=4)"


def with_a_factory() -> type:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Refused:
        items: list[int] = field(default_factory=list)

    return Refused


def with_a_field_that_is_not_given() -> type:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Refused:
        items: int = field(default=1, init=False)

    return Refused


def with_a_field_by_position() -> type:
    @dataclass(frozen=True, slots=True)
    class Refused:
        items: int

    return Refused


def with_more_to_do() -> type:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Refused:
        def __post_init__(self) -> None:
            raise ValueError

    return Refused


@pytest.mark.parametrize(
    "make", [with_a_factory, with_a_field_that_is_not_given, with_a_field_by_position, with_more_to_do]
)
def test_a_class_that_needs_another_one_is_refused(make: Callable[[], type]) -> None:
    with pytest.raises(TypeError, match="Refused"):
        fast_init(make())
