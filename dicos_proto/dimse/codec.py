"""Messages <-> command sets [PS3.7 6.3.1, 9.3, 10.3].

Knows: how the fields of a message and the elements of its command set belong together. Must not know: which messages
exist (`types`), PDVs, operations.

A message does not contain the element (0000,0800), which says if a data set follows: `encode_command` takes it, and
`decode_command` returns it, as `has_data`. Both have a shorter path for messages that are like an earlier one: see
`templates`.
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import AbortReason, LocalProtocolError, Malformed
from ..limits import Limits
from ..tolerance import Judge
from ..wire import Buffer
from .command import GROUP_LENGTH, elements_of, encode_bytes, encode_us, with_group_length
from .templates import KEYS, SHAPES, TEMPLATES, remember_shape, remember_template
from .types import CLASSES, FIELDS, NO_DATA_SET, WITH_DATA_SET, Command, DataSet, MessageClass, Other
from .values import UI, US, Value

_ELEMENTS: dict[MessageClass, frozenset[int]] = {
    cls: frozenset(each.element for each in found) | {0x0100, 0x0800} for cls, found in FIELDS.items()
}

_Step = tuple[str, int, bytes, Callable[[int, Value], bytes] | None, bool]
"""One element to encode: field, element, its first bytes, its encoder, True if it is mandatory. The first bytes of a
number are everything except its value; those of an element without a field are the whole element. Plain tuples are
unpacked faster."""


def _plan(cls: MessageClass, data_set_type: int) -> tuple[_Step, ...]:
    """All elements that a message may have, in their order."""
    steps: list[_Step] = [("", element, encode_us(element, value), None, True)
             for element, value in ((0x0100, cls.COMMAND_FIELD), (0x0800, data_set_type))]  # fmt: skip
    for name, element, encode, _, mandatory, _, _ in FIELDS[cls]:
        start = encode_us(element, 0)[:-2] if encode == US.encode else b""
        steps.append((name, element, start, encode, mandatory))
    return tuple(sorted(steps, key=lambda one: one[1]))


_PLANS: dict[bool, dict[MessageClass, tuple[_Step, ...]]] = {
    has_data: {cls: _plan(cls, WITH_DATA_SET if has_data else NO_DATA_SET) for cls in FIELDS}
    for has_data in (False, True)
}


def encode_command(command: Command, *, has_data: bool) -> bytes:
    """The whole command set. Raises `LocalProtocolError` for a value that does not fit its element."""
    cls = type(command)
    message_id, named, others, _ = KEYS[cls]
    number = getattr(command, message_id)
    instance = None if named is None else getattr(command, named)
    key = has_data, instance is None, others(command)
    try:
        template = TEMPLATES.get(key)
    except TypeError:  # for example a list in place of a tuple: the encoder of its element refuses it
        template = None
    if template is not None and type(number) is int and 0 <= number <= 0xFFFF and instance != "":
        raw = b"" if instance is None else UI.padded(template.element, instance)
        before, between = template.around(-1 if instance is None else len(raw))
        return b"".join((before, number.to_bytes(2, "little"), between, raw, template.after))
    parts = _encode_elements(command, has_data=has_data)
    if instance != "" and not command.other:
        remember_template(key, parts, cls)
    return with_group_length(b"".join(parts))


def _encode_elements(command: Command, *, has_data: bool) -> list[bytes]:
    """All elements but the group length, in their order."""
    cls = type(command)
    parts: list[bytes] = []
    for name, element, start, encode, mandatory in _PLANS[has_data][cls]:
        if encode is None:
            parts.append(start)
            continue
        value = getattr(command, name)
        if start and type(value) is int and 0 <= value <= 0xFFFF:
            parts.append(start + value.to_bytes(2, "little"))
        elif value is not None and (value != "" or not mandatory):
            parts.append(encode(element, value))
        elif mandatory:
            raise LocalProtocolError(f"no (0000,{element:04X}) {name.replace('_', ' ')} in {cls.NAME} [PS3.7 9.3]")
    if command.other:
        parts += _encode_others(command.other, _ELEMENTS[cls])
        parts.sort(key=lambda part: part[3] << 8 | part[2])
    return parts


def _encode_others(others: Other, own: frozenset[int]) -> list[bytes]:
    parts = []
    previous = GROUP_LENGTH
    for element, raw in others:
        if element in own or not previous < element <= 0xFFFF or len(raw) % 2:
            raise LocalProtocolError(
                f"(0000,{element:04X}) of {len(raw)} bytes after (0000,{previous:04X}) cannot be among the other "
                "elements; of even length, in ascending order, not an element of the message itself [PS3.7 6.3.1]"
            )
        parts.append(encode_bytes(element, raw))
        previous = element
    return parts


_STRICT = Judge(Limits())


def decode_command(data: Buffer, judge: Judge = _STRICT) -> tuple[Command, bool]:
    """A whole command set -> the message and whether a data set follows. Raises `Malformed`."""
    raw = bytes(data)
    for shape in SHAPES.get(len(raw), ()):
        found = shape.unpack(raw)
        if found[::2] == shape.fixed:
            try:
                seen = shape.make(found[1::2], judge)
            except Malformed:  # a text that only informs may be accepted
                seen = None
            return _decode_command(raw, judge)[:2] if seen is None else (seen, shape.has_data)
    command, has_data, regular = _decode_command(raw, judge)
    if regular:
        remember_shape(raw, command, has_data)
    return command, has_data


def _decode_command(data: bytes, judge: Judge) -> tuple[Command, bool, bool]:
    """Like `decode_command`; the last value is True if the command set is regular: its shape may be remembered."""
    elements, regular = elements_of(data, judge)
    number = _take_us(elements, 0x0100, "command field")
    follows = elements.pop(0x0800, b"")
    cls = CLASSES.get(number)
    if len(follows) == 2:
        has_data = follows[0] | follows[1] << 8 != NO_DATA_SET
    else:
        fault = _no_us(0x0800, "data set type")
        # Where there can be no data set, it only informs.
        if cls is None or cls.DATA_SET is not DataSet.NEVER or not judge.tolerates("informative_number", fault.detail):
            raise fault
        has_data = regular = False
    if cls is None:
        raise Malformed(
            f"command field 0x{number:04X} is not a message", "PS3.7 E.1", AbortReason.UNRECOGNIZED_PARAMETER
        )
    values: dict[str, Value] = {}
    for name, element, _, decode, mandatory, flag, salvage in FIELDS[cls]:
        raw = elements.pop(element, None)
        value = None
        if raw is not None:
            try:
                value = decode(element, raw, judge)
            except Malformed as fault:
                if not flag or not judge.tolerates(flag, fault.detail):
                    raise
                value, regular = salvage(raw), False
        if value is not None and not (mandatory and value == ""):
            values[name] = value
        elif mandatory:
            missing = f"no (0000,{element:04X}) {name.replace('_', ' ')} in {cls.NAME}"
            if not flag or not judge.tolerates(flag, missing):
                raise Malformed(missing, "PS3.7 9.3")
            regular = False  # its default stands for it
    make: Callable[..., Command] = cls
    if elements:
        # Of odd length it could not be passed on.
        others = tuple((element, raw + b"\0" if len(raw) % 2 else raw) for element, raw in elements.items())
        return make(**values, other=others), has_data, regular
    return make(**values), has_data, regular


def _take_us(elements: dict[int, bytes], element: int, name: str) -> int:
    raw = elements.pop(element, None)
    if raw is None or len(raw) != 2:
        raise _no_us(element, name)
    return raw[0] | raw[1] << 8


def _no_us(element: int, name: str) -> Malformed:
    return Malformed(f"no (0000,{element:04X}) {name} of 2 bytes in the command set", "PS3.7 E.1")
