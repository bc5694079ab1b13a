"""The messages of this side on one connection, read from its P-DATA, right or wrong on purpose.

Knows: PDVs, command sets. Must not know: what the peer answered (`dialogue`).

A message that is right is known by its command. For one that is wrong on purpose, a peer may have read something else
than is meant: all numbers that a lenient reader can find in it are kept, and `Asking.loose` is set.

Invariants: linear in the bytes; nothing raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from dicos_proto.dimse.codec import decode_command
from dicos_proto.dimse.types import CGetRequest, Command, CStoreRequest, DimseRequest, misplaced_data
from dicos_proto.errors import Malformed
from dicos_proto.tolerance import STRICT, Judge

from .lines import GENEROUS, Said, Validity

__all__ = ["Asked", "Asking"]

_KEPT: Final = 1 << 20
"""Bytes of one command set or data set that are kept to be compared."""
_IDS: Final = (b"\x00\x00\x10\x01", b"\x00\x00\x20\x01")
_FIELD: Final = b"\x00\x00\x00\x01"
_STRICT: Final = Judge(GENEROUS, STRICT)


@dataclass(slots=True)
class Asked:
    """One message of this side.

    `command`: None if its command set is wrong. `ids`, `fields`: the message ids and command fields that a reader may
    find. `done`: the entry of the transcript with the end of its command set. `data_done`: that of the end of its data
    set, None while it is not complete. `late`: it was sent behind an A-ABORT or A-RELEASE-RQ of this side. `answered`:
    final responses so far.
    """

    context: int
    command: Command | None
    has_data: bool
    ids: frozenset[int]
    fields: frozenset[int]
    done: int
    data: bytearray = field(default_factory=bytearray)
    data_done: int | None = None
    late: bool = False
    answered: int = 0

    @property
    def request(self) -> DimseRequest | None:
        """The request, None for anything else."""
        return self.command if isinstance(self.command, DimseRequest) else None

    @property
    def complete(self) -> bool:
        """True if a peer has all that it needs to answer."""
        return not self.has_data or self.data_done is not None


class Asking:
    """The messages of this side on one connection, in order. Feed it the PDUs.

    `accepted`: ids of the accepted contexts, None before they are known. `loose`: something was wrong on purpose in the
    messages, so that a peer may see others. `retrievals`: the C-GETs. `stored`: the objects that were sent whole, by
    SOP Instance UID, the last one of each. `over`: this side has sent an A-ABORT or A-RELEASE-RQ.
    """

    def __init__(self) -> None:
        self.all: list[Asked] = []
        self.retrievals: list[Asked] = []
        self.stored: dict[str, tuple[Asked, CStoreRequest]] = {}
        self.loose = False
        self.over = False
        self.accepted: frozenset[int] | None = None
        self._commands: dict[int, bytearray] = {}
        self._owed: Asked | None = None
        self._by_id: dict[int, list[Asked]] = {}
        self._answered: dict[int, int] = {}

    def sent(self, pdu: Said) -> None:
        """Takes a P-DATA-TF of this side."""
        if pdu.validity is not Validity.VALID:
            self.loose = True
        for context, control, data in pdu.pdvs:
            command, last = bool(control & 1), bool(control & 2)
            if self.accepted is not None and context not in self.accepted:
                self.loose = True
            if command:
                self._command(pdu, context, data, last)
            else:
                self._data(pdu, context, data, last)

    def _command(self, pdu: Said, context: int, data: bytes, last: bool) -> None:
        kept = self._commands.setdefault(context, bytearray())
        kept += data[: max(0, _KEPT - len(kept))]
        if self._owed is not None or len(self._commands) > 1 or (len(data) % 2 and not last):
            self.loose = True
        if last:
            raw = bytes(self._commands.pop(context))
            self._whole(pdu, context, raw)

    def _whole(self, pdu: Said, context: int, raw: bytes) -> None:
        command: Command | None
        try:
            command, has_data = decode_command(raw, _STRICT)
            if misplaced_data(command, has_data) is not None:
                self.loose = True
        except Malformed:
            command, has_data = None, False
            self.loose = True
        ids = frozenset(_numbers(raw, *_IDS))
        asked = Asked(context, command, has_data, ids, frozenset(_numbers(raw, _FIELD)), pdu.done, late=self.over)
        self.all.append(asked)
        if isinstance(command, CGetRequest):
            self.retrievals.append(asked)
        for number in ids if command is None or asked.request is not None else ():
            known = self._by_id.setdefault(number, [])
            last = self.next_open(number)
            if asked.request is not None and last is not None and last.request is not None and not last.answered:
                self.loose = True  # the id is still in use
            known.append(asked)
        self._owed = asked if has_data else None

    def _data(self, pdu: Said, context: int, data: bytes, last: bool) -> None:
        owed = self._owed
        if owed is None or owed.context != context:
            self.loose = True
            return
        owed.data += data[: max(0, _KEPT - len(owed.data))]
        if last:
            owed.data_done = pdu.done
            self._owed = None
            if isinstance(owed.command, CStoreRequest) and len(owed.data) < _KEPT:
                self.stored[owed.command.affected_sop_instance_uid] = (owed, owed.command)

    def with_id(self, number: int) -> list[Asked]:
        """Returns the requests, and damaged messages, in which a reader may find this message id, oldest first."""
        return self._by_id.get(number, [])

    def next_open(self, number: int) -> Asked | None:
        """Returns the oldest of those without a final response, the last one if all have one, None if there are none.

        All calls together look at each message a bounded number of times."""
        known = self.with_id(number)
        at = self._answered.get(number, 0)
        while at < len(known) - 1 and known[at].answered:
            at += 1
        self._answered[number] = at
        return known[at] if known else None

    def begun_with(self, number: int) -> bool:
        """Returns True if a command set that is not complete has this number."""
        return any(number in _numbers(bytes(raw), *_IDS) for raw in self._commands.values())

    @property
    def fields(self) -> frozenset[int]:
        """Every command field that a reader may find in any message."""
        return frozenset(number for one in self.all for number in one.fields)

    def unanswered(self) -> list[Asked]:
        """Returns the complete requests on accepted contexts that have no final response."""
        return [
            one
            for one in self.all
            if one.request is not None
            and one.complete
            and not one.late
            and not one.answered
            and self.accepted is not None
            and one.context in self.accepted
        ]


def _numbers(raw: bytes, *elements: bytes) -> Iterator[int]:
    """The numbers behind these tags, in implicit or explicit VR, wherever they are."""
    for tag in elements:
        at = raw.find(tag)
        while at >= 0:
            if at + 10 <= len(raw):  # whatever the length is: what a reader may take for the value
                yield int.from_bytes(raw[at + 8 : at + 10], "little")
            at = raw.find(tag, at + 1)
