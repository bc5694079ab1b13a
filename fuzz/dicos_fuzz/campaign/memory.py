"""Conversations with our own engine in memory: no sockets, a clock that jumps, a thousand and more in a second.

Knows: steps, how bytes go between a script and an engine. Must not know: what the engine's user does (`engines`),
scenarios, expectations.

It plays as `player` does, and writes the same transcripts. A wait ends at once: if the peer has nothing to say, time
jumps to its next deadline, or to the end of the wait. It serves to compare a peer with our engine, and to try scenarios
and oracles.

Invariants: the same conversation gives the same transcript. The memory is that of the engines and of the transcript.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, assert_never

from ..conversation import (
    Answer,
    Await,
    Check,
    Conversation,
    End,
    Entry,
    Open,
    Pause,
    Reading,
    Send,
    Side,
    Step,
    Transcript,
    What,
)
from ..grammar.reading import read_stream
from ..tree import apply, encode
from .echoing import GoodEcho
from .engines import LEARNED, Engine, Provider, User
from .knowledge import Learned
from .pdus import Pdus
from .responding import Responding

__all__ = ["MemoryPlayer"]

TERMINAL: Final = (3, 7)
"""PDU types behind which nothing is awaited."""


class _Link:
    """One connection: the peer's engine, and what it said."""

    def __init__(self, peer: Engine) -> None:
        self.peer = peer
        self.pdus = Pdus()
        self.responding = Responding()
        self.ended = False
        self.half = False
        self.reading = True


class MemoryPlayer:
    """Plays conversations with an engine in memory. `provider`, `user`: make the peer's side of each connection."""

    def __init__(
        self,
        learned: Learned = LEARNED,
        *,
        provider: Callable[[], Engine] = Provider,
        user: Callable[[], Engine] = User,
    ) -> None:
        self.learned = learned
        self._provider = provider
        self._user = user

    def play(self, conversation: Conversation) -> Transcript:
        """Plays a conversation to its end."""
        make = self._provider if conversation.side is Side.USER else self._user
        run = _Run(self.learned, make, self._provider)
        for step in conversation.steps:
            run.step(step)
        run.close()
        return run.transcript


class _Run:
    """One conversation, as it is played."""

    def __init__(self, learned: Learned, make: Callable[[], Engine], good: Callable[[], Engine]) -> None:
        self.transcript = Transcript()
        self._learned = learned
        self._make = make
        self._good = good
        self._now = 0.0
        self._links: dict[int, _Link] = {}

    def _note(self, what: What, number: int, data: bytes = b"", note: str = "") -> None:
        self.transcript.entries.append(Entry(self._now, number, what, data, note))

    def step(self, step: Step) -> None:
        match step:
            case Open(connection=number):
                link = self._links[number] = _Link(self._make())
                self._note(What.OPENED, number)
                self._pump(number, link)
            case Send(connection=number):
                self._send(number, step.wire(), step.piece, step.gap)
            case Answer():
                self._answer(step)
            case Await(kinds=kinds, connection=number, seconds=seconds):
                self._await(number, kinds, self._learned.answer_seconds if seconds is None else seconds)
            case Pause(seconds=seconds):
                self._pass(seconds)
            case Reading(on=on, connection=number):
                if number in self._links:
                    self._links[number].reading = on
                    self._pump(number, self._links[number])
            case End(how=how, connection=number):
                self._end(number, how)
            case Check():
                self._check()
            case _:
                assert_never(step)

    def _pump(self, number: int, link: _Link) -> None:
        """Lets the peer act, and takes what it says."""
        if link.ended:
            return
        wire = link.peer.association
        wire.deadline(self._now)
        link.peer.react()
        said: list[bytes] = []
        while link.reading and (buffers := wire.data_to_send()):
            said += map(bytes, buffers)
            link.peer.react()
        if said:
            data = b"".join(said)
            self._note(What.RECEIVED, number, data)
            link.pdus.feed(data)
        if wire.wants_close and link.reading:  # nothing is left to read
            link.ended = True
            self._note(What.ENDED, number)

    def _send(self, number: int, data: bytes, piece: int, gap: float) -> None:
        size = piece or max(1, len(data))
        for at in range(0, len(data), size):
            if at and gap:
                self._pass(gap)
            link = self._links.get(number)
            if link is None or link.ended or link.half:
                return
            part = data[at : at + size]
            self._note(What.SENT, number, part)
            wire = link.peer.association
            if wire.wants_read:
                wire.receive_data(part)
                self._pump(number, link)

    def _answer(self, step: Answer) -> None:
        link = self._links.get(step.connection)
        if link is None:
            return
        while not link.responding.waiting and (pdu := link.pdus.next()) is not None:
            link.responding.feed(pdu)
        data = link.responding.answer()
        if data and step.edits:
            data = encode(apply(read_stream(data), step.edits))
        if data:
            self._send(step.connection, data, 0, 0.0)

    def _await(self, number: int, kinds: tuple[int, ...], seconds: float) -> None:
        link = self._links.get(number)
        if link is None:
            return
        until = self._now + seconds
        while True:
            while (pdu := link.pdus.next()) is not None:
                link.responding.feed(pdu)
                if not kinds or pdu[0] in kinds or pdu[0] in TERMINAL or not 1 <= pdu[0] <= 7:
                    return
            if link.ended:
                return
            if not self._jump(until):
                self._note(What.QUIET, number, note=f"nothing awaited within {seconds:.2f} s")
                return

    def _pass(self, seconds: float) -> None:
        until = self._now + seconds
        while self._jump(until):
            pass

    def _jump(self, until: float) -> bool:
        """Moves the time to the next deadline of a peer before `until`. Returns False if there is none; it is `until`
        then."""
        due: list[tuple[float, int, _Link]] = []
        for number, link in self._links.items():
            if not link.ended:
                deadline = link.peer.association.deadline(self._now)
                if deadline is not None and deadline.at <= until:
                    due.append((deadline.at, number, link))
        if not due:
            self._now = max(self._now, until)
            return False
        at, number, link = min(due, key=lambda one: one[:2])
        self._now = max(self._now, at)
        link.peer.association.handle_timeout(self._now)
        self._pump(number, link)
        return True

    def _end(self, number: int, how: str) -> None:
        link = self._links.get(number)
        if link is None or link.ended:
            return
        if how == "half":
            if not link.half:
                link.half = True
                self._note(What.HALF, number)
                link.peer.association.receive_eof()
                self._pump(number, link)
            return
        self._note(What.CLOSED, number, note="reset" if how == "reset" else "")
        link.ended = True

    def _check(self) -> None:
        """A good echo beside the open connections."""
        link = _Link(self._good())
        exchange = GoodEcho(self._learned)
        while (data := exchange.next(link.pdus.next())) is not None:
            if data:
                link.peer.association.receive_data(data)
            before = link.pdus.count
            link.peer.react()
            while buffers := link.peer.association.data_to_send():
                link.pdus.feed(b"".join(map(bytes, buffers)))
                link.peer.react()
            if link.pdus.count == before and not data:
                break
        self._note(What.UNANSWERED if exchange.why else What.CHECKED, -1, note=exchange.why)

    def close(self) -> None:
        """Closes every connection that is still open."""
        for number, link in self._links.items():
            if not link.ended:
                self._note(What.CLOSED, number, note="the conversation is over")
                link.ended = True
