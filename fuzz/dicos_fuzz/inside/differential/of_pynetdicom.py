"""pynetdicom's PDU classes and its decoder of command sets, on the same bytes as ours.

Knows: pynetdicom's objects. Must not know: how inputs are made. pynetdicom is imported when it is used: importing it
changes pydicom's dictionary of UIDs, which is put back.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from random import Random
from typing import Final

from dicos_proto.dimse.codec import decode_command
from dicos_proto.errors import Malformed
from dicos_proto.upper_layer.pdu import decode

from .comparing import Input
from .known_pynetdicom import COMMANDS, PDUS
from .making import commands, pdus
from .pynetdicom_fields import (
    Fields,
    difference,
    fields_of_our_command,
    fields_of_ours,
    fields_of_their_command,
    fields_of_theirs,
    modules,
    read_their_command,
    read_theirs,
)

__all__ = ["Pynetdicom"]

_EXPECTED: Final = (Exception,)
"""Any error of theirs is a refusal: which one is part of the difference."""


class Pynetdicom:
    """The comparison with pynetdicom."""

    name = "pynetdicom"
    refusal = "refused by both"
    batch = 50
    known = (*PDUS, *COMMANDS)

    def missing(self) -> str | None:
        """pynetdicom is not among the dependencies of the fuzzer."""
        return None if find_spec("pynetdicom") else "pynetdicom is not installed: pip install pynetdicom"

    def inputs(self, random: Random) -> Iterator[Input]:
        """Yields PDUs and command sets in turn."""
        whole, sets = pdus(random), commands(random)
        while True:
            yield next(whole)
            yield next(sets)

    def differences(self, inputs: Sequence[Input]) -> list[str | None]:
        """Returns the difference for each input."""
        modules()
        logging.disable(logging.CRITICAL)  # it logs each error that it raises as well
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pydicom warns of values; what it reads is compared
                return [_pdu(one.data) if one.kind == "pdu" else _command(one.data) for one in inputs]
        finally:
            logging.disable(logging.NOTSET)


# -- PDUs ----------------------------------------------------------------------------------------------------------


def _pdu(data: bytes) -> str | None:
    try:
        mine: Fields | Malformed = fields_of_ours(decode(data))
    except Malformed as fault:
        mine = fault
    try:
        found: Fields | Exception = fields_of_theirs(read_theirs(data))
    except _EXPECTED as error:
        found = error
    return difference(mine, found)


# -- command sets --------------------------------------------------------------------------------------------------


def _command(data: bytes) -> str | None:
    try:
        mine: Fields | Malformed = fields_of_our_command(decode_command(data)[0])
    except Malformed as fault:
        mine = fault
    try:
        found: Fields | Exception = fields_of_their_command(
            read_their_command(data)[0], mine if isinstance(mine, dict) else {}
        )
    except _EXPECTED as error:
        found = error
    return difference(mine, found)
