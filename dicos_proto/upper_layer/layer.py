"""The DICOM upper layer for TCP/IP of PS3.8 alone: PDUs without messages, for proxies, fuzzers and conformance tests.

Knows: its public methods. Must not know: DIMSE, policies.

An `Association` does the same and more: it makes messages of P-DATA and counts operations. If you need messages, use an
`Association`; this class is for programs that work with PDUs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar

from ..errors import ConnectionLost
from ..limits import Limits
from ..timers import Deadline, Timeouts
from ..tolerance import STRICT, Tolerance
from ..wire import Buffer
from .core import Core
from .events import Closed, Deviation, UpperEvent
from .machine import Evt, Role, State
from .pdu import encode
from .pdu_types import PData, Pdu

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)


class EventSource(Protocol[E_co]):
    """An object that returns events one by one: an `Association`, an `UpperLayer`."""

    def next_event(self) -> E_co | None:
        """Parse one event. None: nothing more is here. `Closed` is always last, and repeats."""


def ready_events(source: EventSource[E]) -> Iterator[E]:
    """Yields the events that can be parsed now. It ends when there are no more, and after `Closed`.

    `next_event` returns `Closed` each time it is called after the end, so that no caller can miss it. A loop that only
    checks for None would never end then; this one does. Between two events you may send, and receive more.
    """
    while (event := source.next_event()) is not None:
        yield event
        if isinstance(event, Closed):
            return


class UpperLayer(EventSource[UpperEvent]):
    """One side of one association, without messages: PDUs, states and times. It is a `Wire`.

    Bytes go in by `receive_data`, events come out of `next_event`, PDUs go in by `send`, and bytes come out of
    `data_to_send`. No call blocks, and none raises for what the peer did.
    """

    def __init__(
        self,
        role: Role,
        *,
        limits: Limits = Limits(),  # noqa: B008  frozen values
        timeouts: Timeouts = Timeouts(),  # noqa: B008
        tolerance: Tolerance = STRICT,
    ) -> None:
        """A requestor starts in Sta1 and sends an `AssociateRequest` first; an acceptor starts in Sta2."""
        self._core = Core(role, limits, timeouts, tolerance)

    @property
    def role(self) -> Role:
        """Requestor or acceptor."""
        return self._core.role

    @property
    def limits(self) -> Limits:
        """The limits that the peer is held to."""
        return self._core.limits

    @property
    def state(self) -> State:
        """PS3.8 Sta1 to Sta13, true as of the last event returned."""
        return self._core.state

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """The deviations that `next_event` has returned, at most one for each flag of the tolerance."""
        return self._core.deviations

    # -- what a Wire has -----------------------------------------------------------------------------------------

    @property
    def wants_read(self) -> bool:
        """False: do not read the connection now."""
        return self._core.wants_read

    @property
    def wants_close(self) -> bool:
        """True if the connection is to be closed once `data_to_send` returns an empty list."""
        return self._core.wants_close

    def receive_data(self, data: Buffer) -> None:
        """Takes received bytes. They are kept by reference and parsed by `next_event`: do not change the buffer before.

        They are ignored once the connection is to be closed."""
        self._core.receive_data(data)

    def receive_eof(self, why: ConnectionLost | None = None) -> None:
        """Takes note that the peer will send no more: the transport connection is closed [PS3.8 Evt17].

        `why`: the reason, if the layer below knows one; `ProviderAbort` then reports it. Only the first call counts.
        """
        self._core.receive_eof(why)

    def data_to_send(self) -> list[bytes | memoryview]:
        """Take what waits to be sent, in order: call it until it returns an empty list."""
        return self._core.outbox.take()

    def deadline(self, now: float) -> Deadline | None:
        """The next deadline, in seconds on the caller's clock; timers armed since the last call start at `now`."""
        return self._core.deadline(now)

    def handle_timeout(self, now: float) -> None:
        """Time is `now`. A passed deadline takes effect in `next_event`, after what was received before it."""
        self._core.handle_timeout(now)

    # -- events --------------------------------------------------------------------------------------------------

    @property
    def bytes_queued(self) -> int:
        """Bytes that wait to be taken by `data_to_send`, headers of PDUs included."""
        return self._core.outbox.queued

    def next_event(self) -> UpperEvent | None:
        """Parse one event. None: nothing more is here, feed me. `Closed` is always last, and repeats.

        P-DATA comes as `Fragment`, a piece of one PDV, as its bytes arrive.
        """
        while True:
            event = self._core.poll()
            if event is not None or not self._core.expire():
                return event

    def send(self, pdu: Pdu) -> None:
        """Queue a PDU. Raises `LocalProtocolError`, and changes nothing, where the table does not allow it now or it
        cannot be encoded.

        The length of a `PData` is up to the caller: nothing here remembers the peer's Maximum Length.
        """
        if isinstance(pdu, PData):
            self._core.check(Evt.Evt9, "PData")
            encoded = encode(pdu)
            self._core.outbox.add([encoded], len(encoded))
        else:
            self._core.send(pdu)
