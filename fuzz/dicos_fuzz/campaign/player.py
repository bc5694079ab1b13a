"""Plays conversations with a real peer, over sockets or TLS, as the side that calls or as the side that is called.

    with Player(Peer(host="127.0.0.1", port=11112), Learned()) as player:
        transcript = player.play(conversation)

Knows: peers, runs. Must not know: what a peer should do (`judging`), which conversations there are.

Invariant: nothing that the peer does raises an error; `LocalTrouble` is about this program and its host.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Self

from ..conversation import Conversation, Side, Transcript
from .doors import Bounds, Door, Peer
from .echoing import Outcome
from .knowledge import Learned
from .links import LocalTrouble
from .run import Run
from .spending import Exhausted, Spending

__all__ = ["Bounds", "Exhausted", "LocalTrouble", "Outcome", "Peer", "Player"]


class Player:
    """Plays conversations with one peer, one at a time. A context manager; it closes the listening socket at the end.

    `spending`: bounds that it shares with other players. `trigger` is called when the peer is waited for and has not
    called yet: it makes the peer call, and must not wait. Raises `OSError` if its port cannot be listened on."""

    def __init__(
        self,
        peer: Peer,
        learned: Learned,
        *,
        bounds: Bounds = Bounds(),  # noqa: B008  a frozen value
        trigger: Callable[[], None] | None = None,
        spending: Spending | None = None,
    ) -> None:
        self.peer = peer
        self.learned = learned
        self.bounds = bounds
        self.last = Outcome(seconds=None, why="not tried")
        """The outcome of the last `echo`."""
        self._door = Door(peer, trigger, spending)

    def close(self) -> None:
        """Closes the listening socket. May be called again."""
        self._door.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def trigger(self) -> Callable[[], None] | None:
        """The function that makes the peer call."""
        return self._door.trigger

    @trigger.setter
    def trigger(self, call: Callable[[], None] | None) -> None:
        self._door.trigger = call

    @property
    def port(self) -> int:
        """The port where this program listens for the peer. Raises ValueError if it does not."""
        if self._door.listener is None:
            raise ValueError("this player does not listen")
        number: int = self._door.listener.getsockname()[1]
        return number

    @property
    def bytes_sent(self) -> int:
        """Bytes sent so far, by all conversations and echoes."""
        return self._door.bytes_sent

    @property
    def spending(self) -> Spending:
        """The bounds that it shares with other players."""
        return self._door.spending

    @property
    def associations(self) -> int:
        """Connections opened so far."""
        return self._door.associations

    @property
    def cancelled(self) -> bool:
        """True ends every run soon; it may be set from another thread."""
        return self._door.cancelled

    @cancelled.setter
    def cancelled(self, value: bool) -> None:
        self._door.cancelled = value

    def play(self, conversation: Conversation) -> Transcript:
        """Plays a conversation to its end, when it is its turn. Raises `LocalTrouble` if this program has no ports or
        descriptors left, `Exhausted` if it has no bytes left."""
        self._door.await_turn()
        seconds = min(self.bounds.seconds, self.spending.until - monotonic())
        run = Run(self._door, self.learned, self.bounds, conversation.side, seconds)
        try:
            for step in conversation.steps:
                if run.over:
                    break
                run.step(step)
            run.settle()
        finally:
            run.close()
        run.transcript.entries.sort(key=lambda entry: entry.at)
        return run.transcript

    def echo(self, seconds: float) -> float | None:
        """A good association with a C-ECHO: this side calls, or, if it only listens, is called. Returns the seconds
        that it took, None if it did not succeed within `seconds`; `last` has the reason. Raises `LocalTrouble`."""
        self._door.await_turn()
        side = Side.USER if self.peer.port else Side.PROVIDER
        run = Run(self._door, self.learned, self.bounds, side, seconds)
        try:
            self.last = run.good(0, seconds)
        finally:
            run.close()
        return self.last.seconds
