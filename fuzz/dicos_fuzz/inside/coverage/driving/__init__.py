"""Directed drivers: they reach everything in the catalogue, systematically, in a few seconds; and seeds for fuzzers.

Knows: the drivers. Must not know: how what they reach is observed.
"""

from __future__ import annotations

from collections.abc import Iterator

from dicos_proto.dimse.codec import encode_command
from dicos_proto.dimse.types import CLASSES
from dicos_proto.upper_layer.pdu import encode

from ...model import menu
from ...model.checking import agrees
from ...model.scripts import Receive, Script, bytes_of
from ...model.table import PROVIDER
from ..record import Coverage
from ..recording import recording
from . import data_limits, flags, wire_limits
from .probes import Probe, Unreached, run_probe
from .scripts import all_scripts
from .timing import run_sta4, run_timers

__all__ = ["Unreached", "drive", "seeds"]

PROBES: tuple[Probe, ...] = (*wire_limits.PROBES, *data_limits.PROBES)


def drive(coverage: Coverage) -> None:
    """Runs all drivers, and notes in `coverage` what they reach: a few seconds. Every script is compared with the
    reference model on the way.

    Raises `Unreached` if a driver does not reach what it is for, or if the engine disagrees with the model.
    """
    with recording(coverage):
        for script in all_scripts():
            found = agrees(script)
            if found is not None:
                raise Unreached(str(found))
        for probe in PROBES:
            run_probe(probe, coverage)
        for flag in flags.FLAGS:
            flags.run_flag(flag, coverage)
        run_timers()
        run_sta4()


def seeds() -> Iterator[tuple[str, bytes]]:
    """Yields inputs to begin fuzzing from, each with its kind, the same ones each time:

    "script": a tape for `model.script_of`; "acceptor", "requestor": all bytes that a peer sends to an engine in that
    role; "pdu": one PDU; "command": a command set; "data set": one in implicit VR little endian.
    """
    for script in (*all_scripts(), *flags.scripts()):
        yield "script", bytes_of(script)
        stream = _stream(script)
        if stream:
            yield "acceptor" if script.role == PROVIDER else "requestor", stream
    for request in menu.REQUESTS:
        yield "pdu", encode(request)
        for variant in range(len(menu.POLICIES)):
            yield "pdu", encode(menu.answer(request, variant))
    for cls in CLASSES.values():
        for variant in (0, 1):
            made = menu.command(cls, 1, 1, variant)
            yield "command", encode_command(made.command, has_data=made.has_data)
    for build in data_limits.DATA_SETS.values():
        for count in (1, 3, 70):
            yield "data set", build(count)


def _stream(script: Script) -> bytes:
    return b"".join(step.data for step in script.steps if isinstance(step, Receive))
