"""Shortcuts of the codec: the bytes that a command set shares with an earlier one, both ways.

Knows: the bytes that the slow path of `codec` wrote or read. Must not know: `codec`, events. A template is made of an
encoded command set, a shape of one that was decoded and found regular; a command set that differs takes the slow path.

Most command sets of an association differ from the one before only in message id and SOP instance. The cache is shared
by all associations of the process, is bounded, and has no effect on the bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import fields
from operator import attrgetter
from typing import NamedTuple

from ..fast_init import setter
from ..tolerance import Judge
from .command import ELEMENT, GROUP_LENGTH_SIZE, decode_elements, group_length
from .types import FIELDS, INSTANCES, Command, MessageClass
from .values import US, Value


class Template:
    """The bytes that command sets of one message class share if they differ in message id and SOP instance only."""

    __slots__ = ("_around", "_before", "_between", "_size", "after", "element")

    def __init__(self, parts: list[bytes], cls: MessageClass) -> None:
        found = [part[2] | part[3] << 8 for part in parts]
        number = found.index(KEYS[cls].number)
        instance = next((at for at, element in enumerate(found) if element in INSTANCES), len(parts))
        self.element = found[instance] if instance < len(parts) else 0
        self._before = b"".join(parts[:number]) + parts[number][:-2]
        self._between = b"".join(parts[number + 1 : instance])
        self.after = b"".join(parts[instance + 1 :])
        """The bytes after the SOP instance."""
        self._size = len(self._before) + 2 + len(self._between) + len(self.after)
        self._around: dict[int, tuple[bytes, bytes]] = {}  # by length of the instance: as many as UIDs have lengths

    def around(self, length: int) -> tuple[bytes, bytes]:
        """The bytes before the message id (with group length) and between it and an instance UID of this length.

        -1: there is no instance."""
        found = self._around.get(length)
        if found is None:
            size = self._size + (ELEMENT.size + length if length >= 0 else 0)
            header = ELEMENT.pack(0, self.element, length) if length >= 0 else b""
            found = self._around[length] = group_length(size) + self._before, self._between + header
        return found


class Key(NamedTuple):
    """For one message class: the message-id field, the SOP-instance field, the remaining fields, the id's element."""

    message_id: str
    instance: str | None
    others: attrgetter[tuple[object, ...]]
    number: int


def _key_of(cls: MessageClass) -> Key:
    found = FIELDS[cls]
    message_id = next(each for each in found if each.element in (0x0110, 0x0120))
    instance = next((each.name for each in found if each.element in INSTANCES), None)
    others = (each.name for each in found if each.element not in (0x0110, 0x0120, *INSTANCES))
    return Key(message_id.name, instance, attrgetter("COMMAND_FIELD", "other", *others), message_id.element)


KEYS: dict[MessageClass, Key] = {cls: _key_of(cls) for cls in FIELDS}
TEMPLATES: dict[tuple[bool, bool, tuple[object, ...]], Template] = {}
"""(a data set follows, there is no instance, all fields that are the same) -> the template.

The keys hold values of messages, for example AE titles and error comments, for as long as they are in the cache."""
_MOST_TEMPLATES = 256
"""Cache size; the cache is cleared when full."""


def remember_template(key: tuple[bool, bool, tuple[object, ...]], parts: list[bytes], cls: MessageClass) -> None:
    """`parts`: the elements of a command set of `cls`, without the group length, as they were encoded."""
    if len(TEMPLATES) == _MOST_TEMPLATES:
        TEMPLATES.clear()
    TEMPLATES[key] = Template(parts, cls)


class Shape:
    """The positions of values in command sets of one message class with the same elements, each of the same length.

    If all bytes between the values are as they were, every rule about elements, their order and their lengths has been
    judged already.
    """

    __slots__ = ("absent", "cls", "fixed", "has_data", "numbers", "others", "unpack")

    def __init__(self, raw: bytes, cls: MessageClass, has_data: bool) -> None:
        self.cls = cls
        self.has_data = has_data
        known = {each.element: each for each in FIELDS[cls]}
        numbers: list[tuple[Callable[[object, object], None], int]] = []
        others: list[tuple[Callable[[object, object], None], Callable[[int, bytes, Judge], Value], int, int]] = []
        present: set[str] = set()
        fixed: list[bytes] = []
        layout, at, done = "<", GROUP_LENGTH_SIZE, 0
        for element, value in decode_elements(raw).items():
            at += ELEMENT.size
            field = known.get(element)
            if field is not None:
                fixed.append(raw[done:at])
                is_number = field.decode == US.decode
                layout += f"{at - done}s{'H' if is_number else f'{len(value)}s'}"
                put, where = setter(cls, field.name), len(present)
                if is_number:
                    numbers.append((put, where))
                else:
                    others.append((put, field.decode, element, where))
                present.add(field.name)
                done = at + len(value)
            at += len(value)
        if done < at:
            fixed.append(raw[done:at])
            layout += f"{at - done}s"
        self.unpack = struct.Struct(layout).unpack
        self.fixed = tuple(fixed)
        self.numbers, self.others = tuple(numbers), tuple(others)
        self.absent = tuple((setter(cls, each.name), each.default) for each in fields(cls) if each.name not in present)

    def make(self, values: tuple[bytes, ...], judge: Judge) -> Command | None:
        """The message with these values; None if a text is blank, because not every text may be. Raises `Malformed`.

        `__init__` is not called: it only sets the fields."""
        command: Command = _new(self.cls)
        for put, decode, element, where in self.others:
            value = decode(element, values[where], judge)
            if not value:
                return None
            put(command, value)
        for put, where in self.numbers:
            put(command, values[where])
        for put, default in self.absent:
            put(command, default)
        return command


_new = object.__new__
SHAPES: dict[int, list[Shape]] = {}
"""Length of a command set -> the shapes seen with it. No values are kept."""
_LENGTHS, _SHAPES_OF_A_LENGTH, _LONGEST_SHAPE = 64, 4, 512
"""Peers decide which shapes there are; these bound the cache, which is cleared when full."""


def remember_shape(raw: bytes, command: Command, has_data: bool) -> None:
    """`raw`: a regular command set, which is that of `command`."""
    if len(raw) > _LONGEST_SHAPE or command.other or len(SHAPES.get(len(raw), ())) == _SHAPES_OF_A_LENGTH:
        return
    if len(SHAPES) == _LENGTHS:
        SHAPES.clear()
    SHAPES.setdefault(len(raw), []).append(Shape(raw, type(command), has_data))
