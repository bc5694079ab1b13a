"""An adapter for any number of associations in one thread, on `selectors` and non-blocking sockets."""

import selectors
import socket
from time import monotonic
from typing import Any

from dicos_proto import Association, Buffer, ProtocolError
from dicos_proto.conversation.flows import Flow, Need, abort

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Connection:
    """A socket, its association, and the flow that runs on it. `result` and `error`: how the flow ended."""

    def __init__(self, sock: socket.socket, wire: Association, flow: Flow[Any], write_stall: float = 30.0) -> None:
        sock.setblocking(False)
        self.sock, self.wire, self.flow, self.write_stall = sock, wire, flow, write_stall
        self.unsent: list[Buffer] = []  # taken from the engine, not yet accepted by the kernel
        self.moved = 0.0  # when the peer last accepted bytes
        self.broken = self.ended = False
        self.need: Need | None = Need.TURN  # None: the flow is over
        self.result: Any = None
        self.error: ProtocolError | None = None

    def resume(self, fed: bool = False) -> None:
        """Run the flow until it has to wait. `fed`: the engine has received bytes, end of file or time."""
        while fed or self.need is Need.TURN or (self.need is Need.DRAIN and not self.queued()):
            fed = False
            try:
                self.need = next(self.flow)
            except (StopIteration, ProtocolError) as end:
                self._end(end)
            if self.need is Need.TURN:
                self.write()
                if self.wire.wants_read:
                    self.read()

    def _end(self, end: StopIteration | ProtocolError) -> None:
        if self.ended:
            self.need = None
            return
        self.ended, self.need = True, Need.TURN
        self.flow = abort(self.wire)  # for a flow that gave up; does nothing to an association that is over
        if isinstance(end, StopIteration):
            self.result = end.value
        else:
            self.error = end

    def queued(self) -> bool:
        """True if bytes wait to be written. Takes no more from the engine before, so that flows see its queue."""
        if not self.unsent:
            self.unsent, self.moved = [*self.wire.data_to_send()], monotonic()
        if self.broken:
            self.unsent.clear()
        return bool(self.unsent)

    def write(self) -> None:
        """Write as much as the kernel accepts."""
        while self.queued():
            try:
                sent = self.sock.sendmsg(self.unsent[:1024])
            except BlockingIOError:
                return
            except OSError:
                self.broken = True  # nothing more is written; bytes the peer sent before are still read
                return
            self.moved = monotonic()
            while self.unsent and sent >= len(self.unsent[0]):
                sent -= len(self.unsent.pop(0))
            if sent:
                self.unsent[0] = memoryview(self.unsent[0])[sent:]

    def read(self) -> bool:
        """Read the available bytes. Returns True if the engine received anything."""
        try:
            data = self.sock.recv(1 << 18)
        except BlockingIOError:
            return False
        except OSError:
            data = b""  # a reset is an end of file, too
        if data:
            self.wire.receive_data(data)
        else:
            self.wire.receive_eof()
        return True

    def deadline(self, now: float) -> float | None:
        """The engine's deadline or the write stall, if that is earlier."""
        found = self.wire.deadline(now)
        times = [found.at] if found else []
        if self.queued():
            times.append(self.moved + self.write_stall)
        return min(times, default=None)

    def on_time(self, now: float) -> None:
        """Call this after each wait, even if another connection was ready or no deadline has passed."""
        self.wire.handle_timeout(now)
        if self.unsent and now >= self.moved + self.write_stall:
            self.broken = True
            self.wire.receive_eof()

    @property
    def wanted(self) -> int:
        """The selector events to wait for."""
        return (READ if self.wire.wants_read else 0) | (WRITE if self.queued() else 0)


def run(connections: list[Connection]) -> None:
    """Carry the bytes of all connections until every flow is over and every socket closed."""
    with selectors.DefaultSelector() as selector:
        for one in connections:
            selector.register(one.sock, READ, one)
        while True:
            for one in [key.data for key in selector.get_map().values()]:
                one.resume()
                if one.need is None:
                    selector.unregister(one.sock)
                    one.sock.close()
                elif one.wanted:
                    selector.modify(one.sock, one.wanted, one)
            now = monotonic()
            waiting = {key.data: key.data.deadline(now) for key in selector.get_map().values()}
            times = [at for at in waiting.values() if at is not None]
            if not waiting:
                return
            ready = selector.select(max(0.0, min(times) - now) if times else None)
            now = monotonic()
            for one in waiting:  # after each wait and before new bytes: the time counts as the peer's
                one.on_time(now)
            for key, events in ready:
                if events & WRITE:
                    key.data.write()
                if events & READ:
                    key.data.resume(fed=key.data.read())
            for one, at in waiting.items():
                if at is not None and at <= now:
                    one.resume(fed=True)
