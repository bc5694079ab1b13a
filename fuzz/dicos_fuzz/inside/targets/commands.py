"""Targets for the codec of command sets.

Knows: which errors it documents, and that it has a short path for messages like earlier ones, which must make no
difference. Must not know: PDVs, contexts.
"""

from __future__ import annotations

from typing import Final

from dicos_proto.dimse.codec import _decode_command, decode_command, encode_command
from dicos_proto.dimse.command import end_of_set
from dicos_proto.dimse.types import DimseRequest, misplaced_data, response_to
from dicos_proto.errors import LocalProtocolError, Malformed
from dicos_proto.limits import Limits
from dicos_proto.tolerance import STRICT, Judge

from ...grammar.changing import UIDS
from ...grammar.reading import read_command
from ..seeds import commands
from ..tape import Bases, Tape, raw
from ..target import OracleFailure, Target, Watch, check
from .pdus import TOLERANCES, check_malformed

__all__ = ["TARGETS"]

_COMMANDS: Final = Bases(commands, read_command)
_STATUSES: Final = (0, 0xFF00, 0xFF01, 0xFE00, 0xB000, 0xA700, 0x0110, 0x0001, 0xC123)
_WORDS: Final = (
    *(one for one in UIDS if one),
    bytes.fromhex("0000000004000000"),
    *(b"\0\0" + number.to_bytes(2, "little") + b"\2\0\0\0" for number in (0x100, 0x110, 0x120, 0x700, 0x800, 0x900)),
    *(number.to_bytes(2, "little") for number in (1, 0x20, 0x21, 0x30, 0x8001, 0x8020, 0x0FFF, 0x100, 0x101, 0x8140)),
    *(b"\0\0" + number.to_bytes(2, "little") + b"\4\0\0\x001.2\0" for number in (2, 3, 0x1000, 0x1001)),
)


def _command(data: bytes, watch: Watch) -> None:
    tape = Tape(data)
    how = tape.byte()
    tolerance = TOLERANCES[how & 3]
    given = _regular(_COMMANDS.take(tape)) if how & 4 else _COMMANDS.take(tape)
    judge = Judge(Limits(), tolerance)
    try:
        command, has_data = decode_command(given, judge)
    except Malformed as fault:
        watch.fault(fault)
        check_malformed(fault)
        _check_long_way(given, fault, judge)
        return
    watch((command.NAME, has_data, tuple(name for name, _ in judge.untold)))
    _check_long_way(given, (command, has_data), judge)
    watch(misplaced_data(command, has_data))
    try:
        encoded = encode_command(command, has_data=has_data)
    except LocalProtocolError as refused:  # a deviation that is let in, and must not be sent
        check(tolerance is not STRICT, f"decoded under STRICT, and yet not encoded: {refused}")
        watch.fault(refused)
        return
    again = decode_command(encoded, Judge(Limits(), tolerance))
    check(again == (command, has_data), f"{command!r:.300} becomes {again!r:.300}")
    check(encode_command(again[0], has_data=has_data) == encoded, "an encoding that is not stable")
    check(end_of_set(encoded) == len(encoded), "a group length that is wrong")
    if isinstance(command, DimseRequest):
        response = response_to(command, _STATUSES[how >> 3 & 7], "because \N{SNOWMAN}\\" * 20)
        decode_command(encode_command(response, has_data=False), Judge(Limits(), tolerance))


def _check_long_way(given: bytes, found: object, judge: Judge) -> None:
    """The short path for known shapes returns the same as the long one."""
    again: object
    try:
        again = _decode_command(given, Judge(Limits(), judge.tolerance))[:2]
    except Malformed as fault:
        again = fault
    if again != found:
        raise OracleFailure(f"the short way returns {found!r:.300}, the long way {again!r:.300}")


def _regular(given: bytes) -> bytes:
    """The command set with the right group length, so that more is read of it."""
    if len(given) < 12 or given[:8] != b"\0\0\0\0\4\0\0\0":
        return given
    return given[:8] + (len(given) - 12).to_bytes(4, "little") + given[12:]


TARGETS: Final = (
    Target(
        name="command",
        about="a command set: decoded by both ways, encoded again, and answered",
        body=_command,
        seeds=lambda: [raw(bytes((how,)), one) for one in commands() for how in (0, 5)],
        made=lambda random: raw(bytes((random.randrange(256),)), _COMMANDS.made(random)),
        grown=lambda random: raw(bytes((random.randrange(4),)), _COMMANDS.grown(random, 60_000)),
        words=_WORDS,
        share=2,
        longest=64 << 10,
    ),
)
