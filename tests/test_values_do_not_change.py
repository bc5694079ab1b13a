"""PDUs, their items and messages are values: frozen, slotted, built by names alone, equal when they say the same."""

import dataclasses
import inspect

import pytest

from dicos_proto import dimse, limits
from dicos_proto.dimse.events import MessageData, MessageStart
from dicos_proto.upper_layer import extended, pdu_types

VALUES = [
    each
    for module in (pdu_types, dimse, limits, extended)
    for name, each in vars(module).items()
    if dataclasses.is_dataclass(each) and isinstance(each, type) and not name.startswith("_") and name != "Element"
]
VALUES += [MessageStart, MessageData]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.__name__)
def test_value(value: type) -> None:
    fields = dataclasses.fields(value)
    assert all(field.kw_only for field in fields)
    needed = [field for field in fields if field.default is dataclasses.MISSING]
    made = value(**{field.name: () if str(field.type).startswith("tuple") else 1 for field in needed})
    again = dataclasses.replace(made)
    assert (again == made, hash(again) == hash(made)) == (True, True)
    assert not hasattr(made, "__dict__")
    for field in fields:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, field.name, 2)


def test_every_pdu_and_message_is_among_them() -> None:
    names = {value.__name__ for value in VALUES}
    assert {"AssociateRequest", "Abort", "Pdv", "UserIdentity", "CEchoRequest", "NActionRequest", "Limits"} <= names
    assert all(inspect.getdoc(value) for value in VALUES)
