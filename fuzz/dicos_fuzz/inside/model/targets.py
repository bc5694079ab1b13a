"""The model as fuzz targets: scripts, single PDUs and command sets, compared with the engine.

Knows: tapes of scripts. Must not know: who runs targets.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

from dicos_proto.dimse.codec import decode_command, encode_command
from dicos_proto.dimse.types import CLASSES
from dicos_proto.errors import Malformed
from dicos_proto.upper_layer.pdu import decode, encode

from ..target import OracleFailure, Target, Watch, check
from . import menu, peer
from .checking import Checker, lenient
from .paths import every_cell, every_state
from .readings import command_difference, pdu_difference
from .running import pieces, whole
from .scripts import bytes_of, script_of
from .walking import walk

__all__ = ["TARGETS"]


def _scripts(data: bytes, watch: Watch) -> None:
    """The last byte of the tape decides if the peer's bytes come in pieces, and if tolerance is compared, too."""
    script = script_of(data)
    how = data[-1] if data else 0
    checker = Checker(script, split=pieces(how) if how & 1 else whole)
    for step in script.steps:
        found = checker.step(step)
        check(found is None, str(found))
        seen = checker.seen
        told = tuple(one if isinstance(one, str) else type(one).__name__ for one in seen.told[:4])
        watch((seen.state, type(step).__name__, told, seen.refused))
    found = checker.finish() or (lenient(script) if how & 2 else None)
    check(found is None, str(found))


def _made(random: Random) -> bytes:
    done = walk(random.randrange(1 << 30))
    if not isinstance(done, Checker):
        raise OracleFailure(str(done))
    return bytes_of(done.script)


def _seeds() -> Iterator[bytes]:
    for script in (*every_state(), *every_cell()):
        yield bytes_of(script)


def _pdu(data: bytes, watch: Watch) -> None:
    found = pdu_difference(data)
    check(found is None, str(found))
    try:
        watch(type(decode(data)).__name__)
    except Malformed as fault:
        watch.fault(fault)


def _pdus() -> Iterator[bytes]:
    for request in menu.REQUESTS:
        yield encode(request)
        for variant in range(len(menu.POLICIES)):
            yield encode(menu.answer(request, variant))


def _damaged_pdu(random: Random) -> bytes:
    damaged = peer.damaged(random.choice(tuple(_pdus())), random)
    return damaged[:2] + (len(damaged) - 6).to_bytes(4, "big") + damaged[6:] if len(damaged) > 6 else damaged


def _command(data: bytes, watch: Watch) -> None:
    """The tape is a command set without its group length, which is put before it; one that begins with 1 is taken
    unchanged."""
    raw = data if data[:1] == b"\1" else b"\0\0\0\0\4\0\0\0" + len(data).to_bytes(4, "little") + data
    found = command_difference(raw)
    check(found is None, str(found))
    try:
        watch(type(decode_command(raw)[0]).__name__)
    except Malformed as fault:
        watch.fault(fault)


def _commands() -> Iterator[bytes]:
    for cls in CLASSES.values():
        for variant in (0, 1):
            made = menu.command(cls, 1, 1, variant)
            yield encode_command(made.command, has_data=made.has_data)[12:]


TARGETS: Final = (
    Target(
        name="model",
        about="UpperLayer and Association against the reference model: scripts of both sides",
        body=_scripts,
        seeds=_seeds,
        made=_made,
        share=2.0,
        longest=16 << 10,
    ),
    Target(
        name="model-pdu", about="the decoder of PDUs against the model's", body=_pdu, seeds=_pdus, made=_damaged_pdu
    ),
    Target(
        name="model-command", about="the decoder of command sets against the model's", body=_command, seeds=_commands
    ),
)
"""The targets of the model."""
