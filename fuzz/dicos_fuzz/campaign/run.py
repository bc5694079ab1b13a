"""A run of one conversation: its steps, its connections, and the one loop that waits for them.

Knows: steps, sockets, time. Must not know: what a peer should do (`judging`), which conversations there are.

Theory of operation: `wait` polls all connections of the conversation until a condition holds or a time has come. Every
step is a few calls around it. The peer is read all the time, unless a `Reading` step says otherwise, so that no answer
is lost because this side was busy sending. There is no waiting without a reason: the last step is followed by a wait
only where something was sent and nothing was received since.

Invariants: nothing that the peer does raises an error. A run ends after its time for any peer and any conversation, its
memory is bounded (`links`), and every socket is closed at the end.
"""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Callable
from time import monotonic
from typing import Final, assert_never

from dicos_transports.addresses import said

from ..conversation import Answer, Await, Check, End, Entry, Open, Pause, Reading, Send, Side, Step, Transcript, What
from ..grammar.reading import read_stream
from ..tree import Edit, Effort, apply, encode
from .doors import CANCELLED, Bounds, Door, NoPort
from .echoing import Exchange, GoodCall, GoodEcho, Outcome
from .knowledge import Learned
from .links import Link, SentKept
from .responding import Responding
from .spending import Exhausted

__all__ = ["Run"]

TERMINAL: Final = (3, 7)
"""PDU types after which an association is over: nothing that a step may wait for comes after an A-ASSOCIATE-RJ or an
A-ABORT, except the end of the connection."""
PORTS: Final = 2.0
"""Seconds to wait for a free local port: those of ended connections come back after a while (TIME_WAIT)."""
AGAIN: Final = 0.05
MOST_MADE: Final = 64 << 20
"""Bytes that the edits of one conversation make, after which no more of them are made: each may make as many again
(`tree.MOST_COPIED`). Stops: a file with many of them."""
LEAST: Final = 0.02
"""Seconds that a peer gets at least for an answer."""


class Run:
    """One conversation, as it is played."""

    def __init__(self, door: Door, learned: Learned, bounds: Bounds, side: Side, seconds: float) -> None:
        self.transcript = Transcript()
        self._door = door
        self._learned = learned
        self._bounds = bounds
        self._side = side
        self._start = monotonic()
        self._until = self._start + seconds
        self._links: dict[int, Link] = {}
        self._responding: dict[int, Responding] = {}
        self._over: set[int] = set()  # connections on which the peer has ended the association
        self._sent_kept = SentKept()
        self._made = 0  # bytes that edits have made
        self._spare: list[Link] = []  # the connection of a good echo beside the others

    @property
    def over(self) -> bool:
        """True once its time is over, or it was cancelled."""
        return monotonic() >= self._until or self._door.cancelled

    # -- steps ---------------------------------------------------------------------------------------------------

    def step(self, step: Step) -> None:
        match step:
            case Open(connection=number, bare=bare):
                self._open(number, bare=bare)
            case Send():
                self._send(step)
            case Answer():
                self._answer(step)
            case Await(kinds=kinds, connection=number, seconds=seconds):
                self._await(number, kinds, self._patience(seconds))
            case Pause(seconds=seconds):
                self.wait(lambda: False, seconds)
                if seconds >= self._patience(None):
                    for one in self._links.values():
                        one.sent_at_pdu = -1
            case Reading(on=on, connection=number):
                if (link := self._links.get(number)) is not None:
                    link.reading = on
            case End():
                self._end(step)
            case Check():
                self._check()
            case _:
                assert_never(step)

    def _patience(self, seconds: float | None) -> float:
        return max(LEAST, self._learned.answer_seconds) if seconds is None else seconds

    def _note(self, what: What, connection: int, note: str) -> None:
        self.transcript.entries.append(Entry(monotonic() - self._start, connection, what, note=note))

    def _open(self, number: int, *, bare: bool) -> None:
        old = self._links.pop(number, None)
        if old is not None:
            old.close(note="its number is used again")
        if self._crowded():
            self._note(What.REFUSED, number, f"not tried: {self._bounds.connections} connections are open")
            return
        link = (self._connect if self._side is Side.USER else self._accept)(number, bare=bare)
        if link is not None:
            self._responding[number] = Responding()
            self._over.discard(number)

    def _crowded(self) -> bool:
        """True if no more connections may be open. One that the peer has ended is not closed before that matters: the
        peer would see it."""
        links = (*self._links.values(), *self._spare)
        if len(links) >= self._bounds.connections:
            for link in links:
                if link.end is not None:
                    link.close()
        return sum(link.end is None for link in links) >= self._bounds.connections

    def _send(self, step: Send) -> None:
        link = self._links.get(step.connection)
        if link is None:
            return
        data = self._edited(step.message, step.edits, step.connection)
        if data is None:
            return
        if not step.piece:
            self._queue(link, data, beneath=step.beneath)
        else:
            for at in range(0, len(data), step.piece):
                if link.end is not None or self.over:
                    break
                if at and step.gap:
                    self.wait(lambda: link.end is not None, step.gap)
                self._queue(link, data[at : at + step.piece], beneath=step.beneath)
                if link.pending:
                    self._drain(link)
                elif not at // step.piece % 64:
                    self.wait(lambda: True, 0)  # an answer may be waiting to be read
        self._drain(link)
        link.tell_sent()

    def _edited(self, message: bytes, edits: tuple[Edit, ...], connection: int) -> bytes | None:
        """Returns a message with its edits made; None, with a line in the transcript, once all edits of the
        conversation have made too many bytes, or its time is over."""
        if not edits:
            return message
        if self._made > MOST_MADE:
            self._note(What.SENT, connection, f"nothing: the edits before have made {self._made:,} bytes")
            return None
        effort = Effort(stop=lambda: self.over)
        tree = apply(read_stream(message), edits, effort)
        if effort.over:
            self._note(What.SENT, connection, "nothing: its time was over before all edits were made")
            return None
        data = encode(tree)
        self._made += len(data)
        return data

    def _queue(self, link: Link, data: bytes, *, beneath: bool = False) -> None:
        """Queues bytes. Raises `Exhausted` once there are more than may be sent."""
        if link.end is None:
            granted = self._door.take(data)
            link.queue(granted, beneath=beneath)
            if len(granted) < len(data):
                raise Exhausted(f"{self._door.spending.bytes_most} bytes are sent, and no more may be")

    def _drain(self, link: Link) -> None:
        """Waits until everything is written. A peer that reads nothing gets as long as for an answer."""
        while left := link.pending:
            self.wait(lambda: link.pending < left or link.end is not None, self._patience(None))
            if link.pending >= left:
                link.discard()

    def _answer(self, step: Answer) -> None:
        link, responding = self._links.get(step.connection), self._responding.get(step.connection)
        if link is None or responding is None:
            return
        until = monotonic() + self._patience(None)
        while not responding.waiting:
            pdu = link.pdus.next()
            if pdu is None:
                if link.end is not None or step.connection in self._over or monotonic() >= until:
                    return
                self.wait(lambda: link.pdus.waiting or link.end is not None, until - monotonic())
                continue
            responding.feed(pdu)
            if _is_last(pdu):
                self._over.add(step.connection)
        data = self._edited(responding.answer(), step.edits, step.connection)
        if data:
            self._queue(link, data)
            self._drain(link)
            link.tell_sent()

    def _await(self, number: int, kinds: tuple[int, ...], seconds: float) -> None:
        link, responding = self._links.get(number), self._responding.get(number)
        if link is None or responding is None:
            return
        until = monotonic() + seconds
        while True:
            while (pdu := link.pdus.next()) is not None:
                responding.feed(pdu)
                if not kinds or pdu[0] in kinds or _is_last(pdu):
                    link.sent_at_pdu = -1
                    return
            if link.end is not None:
                return
            if not self.wait(lambda: link.pdus.waiting or link.end is not None, until - monotonic()):
                if monotonic() < until:
                    return  # the run is over
                link.sent_at_pdu = -1
                link.tell_sent()
                self._note(What.QUIET, number, f"nothing awaited within {seconds:.2f} s")
                return

    def _end(self, step: End) -> None:
        link = self._links.get(step.connection)
        if link is None:
            return
        if step.how == "half":
            link.shut()
        elif step.how == "notify":
            link.notify()
        else:
            link.close(reset=step.how == "reset")

    def _check(self) -> None:
        if self._learned.alone or self._crowded():
            return  # it serves one at a time, and another one is open; or there is none left for it
        found = self.good(len(self._links), self._learned.echo_patience)
        what = What.UNANSWERED if found.seconds is None else What.CHECKED
        self._note(what, -1, found.why)

    def settle(self) -> None:
        """Waits until the reaction to the last bytes is known, on each connection where nothing was received since."""

        def known() -> bool:
            return all(
                link.end is not None
                or not link.reading
                or link.sent_at_pdu < 0
                or link.pdus.count > link.sent_at_pdu
                or (link.aborted and not self._learned.closes_after_abort)
                for link in self._links.values()
            )

        if not known() and not self.over:
            self.wait(known, self._patience(None))

    def close(self) -> None:
        """Closes every connection that is still open."""
        for link in (*self._links.values(), *self._spare):
            link.close(note="the conversation is over")

    # -- waiting -------------------------------------------------------------------------------------------------

    def wait(self, done: Callable[[], bool], seconds: float) -> bool:
        """Moves bytes on all connections until `done`, for at most `seconds`. Returns False if it is not done by
        then."""
        until = min(monotonic() + seconds, self._until)
        left = 0.0
        while True:
            self._move(left)
            if done():
                return True
            left = min(until - monotonic(), CANCELLED)
            if left <= 0 or self._door.cancelled:
                return False

    def _move(self, seconds: float, listener: socket.socket | None = None) -> None:
        """Waits up to `seconds` for the sockets, and reads and writes what is possible."""
        poll = select.poll()
        by_fd: dict[int, Link] = {}
        for link in (*self._links.values(), *self._spare):
            if link.end is None:
                fd = link.sock.fileno()
                by_fd[fd] = link
                poll.register(fd, link.mask())
        if listener is not None:
            poll.register(listener.fileno(), select.POLLIN)
        # Rounded up: a poll that ends a little early would be repeated without a wait.
        for fd, event in poll.poll(int(seconds * 1000 + 0.999) if seconds > 0 else 0):
            if fd in by_fd:
                by_fd[fd].serve(event)

    # -- opening -------------------------------------------------------------------------------------------------

    def _link(self, number: int, sock: socket.socket, *, connecting: bool) -> Link:
        transcript = self.transcript if number >= 0 else Transcript()
        link = Link(number, sock, transcript, self._start, connecting=connecting, sent_kept=self._sent_kept)
        self._door.associations += 1
        if number >= 0:
            self._links[number] = link
        else:
            self._spare.append(link)
        return link

    def _connect(self, number: int, *, bare: bool = False) -> Link | None:
        """Opens a connection to the peer. Returns None, with a line in the transcript, if it cannot be opened."""
        until = min(monotonic() + self._bounds.connect, self._until)
        while True:
            try:
                sock, connecting = self._door.begin()
                break
            except NoPort:
                if monotonic() > until + PORTS:
                    raise
                self.wait(lambda: False, AGAIN)
            except OSError as error:
                self._note(What.REFUSED, number, said(error))
                return None
        link = self._link(number, sock, connecting=connecting)
        self.wait(lambda: not link.connecting or link.end is not None, until - monotonic())
        return self._opened(link, until, bare=bare)

    def _accept(self, number: int, *, bare: bool = False) -> Link | None:
        """Waits for the peer to open a connection. Returns None, with a line in the transcript, if it does not."""
        door = self._door
        if door.listener is None:
            self._note(What.REFUSED, number, "not tried: nothing listens for the peer")
            return None
        until = min(monotonic() + self._bounds.called, self._until)
        triggered = False
        while (sock := door.accept()) is None:
            if not triggered and door.trigger is not None:
                door.trigger()
                triggered = True
            if monotonic() >= until or self._door.cancelled:
                self._note(What.REFUSED, number, f"the peer did not call within {self._bounds.called:g} s")
                return None
            self._move(min(until - monotonic(), CANCELLED), door.listener)
        link = self._link(number, sock, connecting=False)
        return self._opened(link, monotonic() + self._bounds.connect, bare=bare)

    def _opened(self, link: Link, until: float, *, bare: bool) -> Link:
        if link.connecting:
            link.connecting = False
            link.refuse(OSError(errno.ETIMEDOUT, f"no connection within {self._bounds.connect:g} s"))
        if bare:
            link.bare = self._door.has_tls(calls=self._side is Side.USER)
        elif link.open and self._door.secure(link, calls=self._side is Side.USER):
            self.wait(lambda: link.ready or link.end is not None, until - monotonic())
            if not link.ready and link.end is None:
                link.refuse(OSError(errno.ETIMEDOUT, f"no TLS handshake within {self._bounds.connect:g} s"))
        if link.end is None and link.number >= 0:
            info = None if link.tls is None else link.tls.info
            security = "without TLS" if link.bare else "" if info is None else f"{info.protocol}, {info.cipher}"
            self._note(What.OPENED, link.number, security)
        return link

    # -- the good echo -------------------------------------------------------------------------------------------

    def good(self, beside: int, seconds: float) -> Outcome:
        """A good exchange on a connection of its own. `beside`: connections that are open at the same time."""
        begun = monotonic()
        link = self._connect(-1) if self._side is Side.USER else self._accept(-1)
        if link is None or link.end is not None:
            why = "no connection" if link is None or link.end is None else f"the connection was {link.end.value}"
            return Outcome(seconds=None, why=why, refused=True, beside=beside)
        exchange: Exchange = GoodEcho(self._learned) if self._side is Side.USER else GoodCall()
        why = self._exchange(link, exchange, begun + seconds) or exchange.why
        link.close()
        self._spare.remove(link)
        taken = None if why else monotonic() - begun
        return Outcome(seconds=taken, why=why, rejected=exchange.rejected, beside=beside)

    def _exchange(self, link: Link, exchange: Exchange, until: float) -> str:
        """Carries a good exchange. Returns why it failed, if the peer did not answer; else empty."""
        while (data := exchange.next(link.pdus.next())) is not None:
            if data:
                self._queue(link, data)
            if not self.wait(lambda: link.pdus.waiting or link.end is not None, until - monotonic()):
                return "no answer in time"
            if link.end is not None and not link.pdus.waiting:
                return "" if exchange.next(None) is None else f"the connection was {link.end.value}"
        return ""


def _is_last(pdu: bytes) -> bool:
    """True for a PDU after which an association is over, and for bytes that are not a PDU."""
    return pdu[0] in TERMINAL or not 1 <= pdu[0] <= 7
