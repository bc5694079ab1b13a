"""A medium in memory: the peer is a `Wire`, and the clock is virtual, so that a wait takes no time.

Knows: wires. Must not know: cases, which peer it is.

The peer's wires are driven as an adapter would: their bytes are taken, deadlines are obeyed when time passes,
`wants_close` ends the connection. A wire answers by itself: an application behind it works inside `receive_data` and
`handle_timeout`, or in `data_to_send`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from dicos_proto.errors import ConnectionLost
from dicos_proto.wire import Ending, Wire, is_network

from ..steps import Accept, End, Open, Opened

__all__ = ["Memory"]


class _Line:
    """One connection."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.inbox: list[bytes] = []
        self.end: End | None = None
        self.ours = False  # this side has ended it

    def over(self) -> bool:
        """True if either side has ended it."""
        return self.ours or self.end is not None


class Memory:
    """Connections with a peer in memory. `connect` makes the wire of a connection that this side opens, `call` that of
    one which the peer opens now, None if it opens none."""

    def __init__(
        self, connect: Callable[[], Wire] | None = None, call: Callable[[], Wire | None] | None = None
    ) -> None:
        self._connect = connect
        self._call = call
        self._lines: dict[int, _Line] = {}
        self._now = 0.0

    def now(self) -> float:
        """Returns the virtual time."""
        return self._now

    def open(self, step: Open) -> Opened:
        """Makes a new wire of the peer."""
        if self._connect is None:
            return Opened(ok=False, why="the peer does not listen")
        return self._begin(step.connection, self._connect())

    def accept(self, step: Accept, seconds: float) -> Opened:
        """Takes the next wire that the peer has opened."""
        wire = None if self._call is None else self._call()
        if wire is None and self._call is not None:
            until = self._now + seconds
            while self._advance(until) and wire is None:
                wire = self._call()
        if wire is None:
            return Opened(ok=False, why=f"the peer did not call within {seconds:g} s")
        return self._begin(step.connection, wire)

    def _begin(self, connection: int, wire: Wire) -> Opened:
        self._lines[connection] = _Line(wire)
        self._settle()
        return Opened(ok=True)

    def send(self, connection: int, data: bytes, *, piece: int = 0, beneath: bool = False) -> int:
        """Gives bytes to the peer."""
        line = self._lines.get(connection)
        if line is None or line.over():
            return 0
        step = piece or len(data) or 1
        for at in range(0, len(data), step):
            if line.over():
                return at
            line.wire.receive_data(data[at : at + step])
            self._settle()
        return len(data)

    def receive(self, connection: int, seconds: float) -> bytes | End | None:
        """Returns what the peer has sent; time jumps to its deadlines meanwhile."""
        line = self._lines.get(connection)
        if line is None:
            return End.FIN
        until = self._now + seconds
        self._settle()
        while not line.inbox and line.end is None:
            if not self._advance(until):
                return None
        if line.inbox:
            found, line.inbox = b"".join(line.inbox), []
            return found
        return line.end

    def pause(self, seconds: float) -> None:
        """Jumps through the deadlines of the peer."""
        until = self._now + seconds
        while self._advance(until):
            pass

    def end(self, connection: int, how: Literal["close", "half", "reset", "notify"]) -> None:
        """Ends a connection of the peer."""
        line = self._lines.get(connection)
        if line is None or line.ours:
            return
        line.ours = True
        if line.end is None:
            line.wire.receive_eof(ConnectionLost("reset by the tester") if how == "reset" else None)
            self._settle()
        if how in ("close", "reset"):
            del self._lines[connection]

    def finish(self) -> None:
        """Ends all connections."""
        for connection in [*self._lines]:
            self.end(connection, "close")
        self._lines.clear()

    # -- inside --------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Takes what all wires send, and arms their timers."""
        for line in [*self._lines.values()]:
            while line.end is None and (found := line.wire.data_to_send()):
                line.inbox += [bytes(one) for one in found]
            if line.end is None and line.wire.wants_close:
                reset = is_network(line.wire) and line.wire.ending is Ending.RESET
                line.end = End.RESET if reset else End.FIN
            elif line.end is None and is_network(line.wire) and line.wire.ending is Ending.RESET:
                line.end = End.RESET

    def _advance(self, until: float) -> bool:
        """Moves the clock to the next deadline of the peer, at most to `until`. Returns False if that is reached."""
        due = []
        for line in self._lines.values():
            if line.end is None and (deadline := line.wire.deadline(self._now)) is not None:
                due.append(deadline.at)
        at = min((one for one in due if one <= until), default=None)
        if at is None:
            self._now = max(self._now, until)
            return False
        self._now = max(self._now, at)
        for line in [*self._lines.values()]:
            if line.end is None:
                line.wire.handle_timeout(self._now)
        self._settle()
        return True
