"""A wire around an association, at which the PDUs of both directions can be seen, changed, kept back and added to.

Knows: where PDUs begin and end, which messages they carry. Must not know: which defect does what.

Theory of operation: received bytes are collected until a PDU is complete, then `incoming` says what the association
gets in its place. A PDU that is longer than this provider allows is not collected: by default everything passes
unchanged from there on, and the association refuses it. A PDU that stalls passes to the association after `STALLED`
seconds, so that the deadlines of the association hold. The association sends whole PDUs, and `outgoing` says what goes
out in their place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from dicos_proto.dimse.codec import decode_command, encode_command
from dicos_proto.dimse.types import Command
from dicos_proto.errors import ConnectionLost, Malformed
from dicos_proto.limits import Limits
from dicos_proto.timers import Deadline
from dicos_proto.upper_layer.pdu import decode
from dicos_proto.upper_layer.pdu_types import PData, Pdv
from dicos_proto.wire import Buffer, Wire

from ..grammar.building import p_data
from ..grammar.reading import pdus_of

__all__ = ["MAX_LENGTH", "Listener", "Tap", "joined", "p_data_of", "said"]

MAX_LENGTH: Final = 16_384
"""The Maximum Length of the provider, in bytes."""
STALLED: Final = 2.0
"""Seconds after which the beginning of a PDU goes on to the association."""
_OTHERS: Final = 4


class Tap:
    """The wire of one connection. A defect is a subclass that overrides `incoming`, `outgoing` or `too_long`."""

    longest: Mapping[int, int] = {1: Limits().associate_pdu, 4: MAX_LENGTH}
    """The longest bodies of PDUs, in bytes, by type; a longer one is `too_long`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._received = bytearray()
        self._deadline: float | None = None  # of the PDU that is being collected
        self._clear = False  # everything passes unchanged
        self._said: list[bytes | memoryview] = []

    # -- for the defects -----------------------------------------------------------------------------------------

    def incoming(self, pdu: bytes) -> Iterable[bytes]:
        """Returns what the association gets in place of a received PDU."""
        return (pdu,)

    def outgoing(self, pdu: bytes) -> Iterable[bytes]:
        """Returns what the peer gets in place of a PDU of the association."""
        return (pdu,)

    def too_long(self) -> None:
        """The header of an A-ASSOCIATE-RQ or P-DATA-TF was received that is longer than this provider allows."""
        self.pass_on()

    def say(self, pdu: bytes) -> None:
        """Sends a PDU that the association knows nothing of."""
        self._said.append(pdu)

    def pass_on(self) -> None:
        """From now on everything passes unchanged."""
        self._clear = True

    # -- the wire ------------------------------------------------------------------------------------------------

    @property
    def wants_read(self) -> bool:
        """As the association."""
        return self._wire.wants_read

    @property
    def wants_close(self) -> bool:
        """As the association."""
        return self._wire.wants_close

    def receive_data(self, data: Buffer) -> None:
        """Collects received bytes, and hands on each whole PDU."""
        self._received += data
        while len(self._received) >= 6 and not self._clear:
            kind, length = self._received[0], int.from_bytes(self._received[2:6], "big")
            if length > self.longest.get(kind, _OTHERS):
                if kind in self.longest:
                    self.too_long()
                else:  # no PDU, or one of a fixed length: the association refuses its header
                    self.pass_on()
                break
            if len(self._received) < 6 + length:
                return
            pdu = bytes(self._received[: 6 + length])
            del self._received[: 6 + length]
            self._deadline = None
            for one in self.incoming(pdu):
                self._wire.receive_data(one)
        if self._clear:
            self._hand_on()

    def receive_eof(self, why: ConnectionLost | None = None) -> None:
        """Hands on what was collected, and the end."""
        self._hand_on()
        self._wire.receive_eof(why)

    def data_to_send(self) -> list[bytes | memoryview]:
        """Returns what the association sends, as `outgoing` changes it, after what `say` was given."""
        sent = b"".join(self._wire.data_to_send())
        said, self._said = self._said, []
        for pdu in pdus_of(sent):
            said += self.outgoing(pdu)
        return said

    def deadline(self, now: float) -> Deadline | None:
        """The deadline of the association, or that of the PDU that is being collected."""
        deadline = self._wire.deadline(now)
        if not self._received:
            return deadline
        if self._deadline is None:
            self._deadline = now + STALLED
        if deadline is not None and deadline.at <= self._deadline:
            return deadline
        return Deadline(self._deadline, "the rest of a PDU")

    def handle_timeout(self, now: float) -> None:
        """Passes the time to the association; a PDU that has stalled first."""
        if self._deadline is not None and now >= self._deadline:
            self.pass_on()
            self._hand_on()
        self._wire.handle_timeout(now)

    def _hand_on(self) -> None:
        if self._received:
            held, self._received = bytes(self._received), bytearray()
            self._deadline = None
            self._wire.receive_data(held)


class Listener:
    """Follows the messages of one direction, PDV by PDV."""

    def __init__(self) -> None:
        self._raw = bytearray()
        self.context = 0
        """The context of the message."""
        self.command: Command | None = None
        """The command set of the message; None before it is complete, or if it cannot be read."""
        self.in_data = False
        """True while the data set of the message is not complete."""

    def hear(self, pdv: Pdv) -> Command | None:
        """Takes the next PDV. Returns the command set that it completes, if it does."""
        if not pdv.command:
            self.in_data = self.in_data and not pdv.last
            return None
        self._raw += pdv.data
        if not pdv.last:
            return None
        raw, self._raw = bytes(self._raw), bytearray()
        try:
            self.command, self.in_data = decode_command(raw)
        except Malformed:
            self.command, self.in_data = None, False
        self.context = pdv.context
        return self.command


def joined(pdvs: Iterable[Pdv]) -> bytes:
    """Returns one P-DATA-TF with these PDVs, faults included."""
    return p_data(*((one.context, one.command, one.last, bytes(one.data)) for one in pdvs))


def p_data_of(pdu: bytes) -> tuple[Pdv, ...]:
    """Returns the PDVs of a P-DATA-TF; none for any other PDU, or one that cannot be read."""
    if pdu[0] != 4:
        return ()
    try:
        found = decode(pdu)
    except Malformed:
        return ()
    return found.pdvs if isinstance(found, PData) else ()


def said(context: int, command: Command, *, has_data: bool = False) -> bytes:
    """Returns the P-DATA-TF of a command set."""
    return p_data((context, True, True, encode_command(command, has_data=has_data)))
