"""Our engine as a peer in memory: the provider of every service behind a wire that answers by itself."""

from __future__ import annotations

from dicos_fuzz.inside.provider import Provider
from dicos_proto.association import Association
from dicos_proto.conversation.flows import Flow, Need
from dicos_proto.errors import ConnectionLost
from dicos_proto.timers import Deadline
from dicos_proto.wire import Buffer


class Driven:
    """The wire of an association whose flow goes on whenever bytes or time come in."""

    def __init__(self, association: Association, flow: Flow[None]) -> None:
        self._association = association
        self._flow: Flow[None] | None = flow
        self._go_on()

    def _go_on(self) -> None:
        if self._flow is None:
            return
        try:
            need = next(self._flow)
            while need is Need.DRAIN and not self._association.bytes_queued:
                need = next(self._flow)
        except StopIteration:
            self._flow = None

    @property
    def wants_read(self) -> bool:
        return self._association.wants_read

    @property
    def wants_close(self) -> bool:
        return self._association.wants_close

    def receive_data(self, data: Buffer) -> None:
        self._association.receive_data(data)
        self._go_on()

    def receive_eof(self, why: ConnectionLost | None = None) -> None:
        self._association.receive_eof(why)
        self._go_on()

    def data_to_send(self) -> list[bytes | memoryview]:
        found = [bytes(one) for one in self._association.data_to_send()]
        if not found:
            self._go_on()
            found = [bytes(one) for one in self._association.data_to_send()]
        return list(found)

    def deadline(self, now: float) -> Deadline | None:
        return self._association.deadline(now)

    def handle_timeout(self, now: float) -> None:
        self._association.handle_timeout(now)
        self._go_on()


def provider() -> Driven:
    association = Association.acceptor()
    return Driven(association, Provider().serve(association))
