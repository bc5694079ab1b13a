"""Two engines in memory with faulty wires, and what they make of it."""

from __future__ import annotations

from typing import Any

from dicos_fuzz.faults import FaultPlan, FaultyWire, parse_plan
from dicos_fuzz.faults.memory import Side, converse, provide, use
from dicos_proto.association import Association
from dicos_proto.registry import uids
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.negotiation import propose
from dicos_proto.upper_layer.pdu_types import AssociateRequest
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_proto.wire import Buffer, Wire

CONTEXTS = propose([uids.VERIFICATION, uids.CT_IMAGE_STORAGE], (uids.IMPLICIT_VR_LE,))
ASKED = AssociateRequest(called_aet="PROVIDER", calling_aet="USER", contexts=CONTEXTS)
POLICY = AcceptPolicy(other_contexts=(uids.IMPLICIT_VR_LE,))
OBJECT = bytes(range(256)) * 16
"""The data set that is stored: 4 kB."""
PATIENT = Timeouts(**dict.fromkeys(Timeouts.__slots__))
"""No deadline at all."""


class Watched(FaultyWire):
    """Records the bytes on both sides of it, and the most that it holds."""

    def __init__(self, wire: Wire, plan: FaultPlan) -> None:
        super().__init__(wire, plan)
        self.sent = bytearray()
        self.received: list[bytes] = []
        self.most = 0

    def _watch(self) -> None:
        self.most = max(self.most, sum(line.size for line in (self._in, self._out) if line is not None))

    def receive_data(self, data: Buffer) -> None:
        assert self.wants_read
        self.received.append(bytes(data))
        super().receive_data(data)
        self._watch()

    def data_to_send(self) -> list[bytes | memoryview]:
        found = super().data_to_send()
        self.sent += b"".join(found)
        self._watch()
        return found


class Talk:
    """A user stores one object at a provider; `user` and `provider` are plans for their wires."""

    def __init__(
        self,
        user: str | FaultPlan = "",
        provider: str | FaultPlan = "",
        *,
        user_timeouts: Timeouts = Timeouts(),  # noqa: B008  frozen values
        provider_timeouts: Timeouts = Timeouts(),  # noqa: B008
        objects: tuple[bytes, ...] = (OBJECT,),
        steps: int = 400_000,
    ) -> None:
        plans = [parse_plan(one) if isinstance(one, str) else one for one in (user, provider)]
        requestor = Association.requestor(ASKED, timeouts=user_timeouts)
        acceptor = Association.acceptor(timeouts=provider_timeouts)
        self.wires = [Watched(requestor, plans[0]), Watched(acceptor, plans[1])]
        self.user = Side(requestor, use(requestor, *objects), wire=self.wires[0])
        self.provider = Side(acceptor, provide(acceptor, POLICY), wire=self.wires[1])
        self.seconds = converse(self.user, self.provider, steps=steps)

    @property
    def outcome(self) -> tuple[Any, Any]:
        """The results of both flows, or the texts of the errors that they raised."""
        return tuple(  # type: ignore[return-value]
            side.result if side.error is None else str(side.error) for side in (self.user, self.provider)
        )

    @property
    def bytes(self) -> tuple[object, ...]:
        """All bytes on the connection in pieces, for comparison."""
        return tuple((bytes(wire.sent), tuple(wire.received)) for wire in self.wires)


GOOD = ([0, 0], [OBJECT])
"""The outcome without faults."""
