"""The interpreter of flows for blocking code: a `Channel`, and `poll` to wait for it.

Its methods are awaited, as those of every driver, but they wait inside the call and never suspend: `finished` runs what
awaits them.

Theory of operation: every wait is one `poll` whose timeout is what the channel says is due, after some looks that cost
a tenth of a millisecond at most: an idle association costs no processor time.
"""

from __future__ import annotations

import errno
import math
import os
import select
import socket
import threading
from collections.abc import Generator, Sequence
from contextlib import suppress
from time import monotonic, sleep
from typing import Any, Final, TypeVar

from dicos_proto.conversation.flows import Flow, Need, Stream
from dicos_proto.errors import ProtocolError
from dicos_proto.timers import Timeouts
from dicos_proto.wire import Wire

from ..addresses import (
    FULL_AGAIN,
    Address,
    SourceAddress,
    bound_socket,
    check_port,
    matching,
    said,
    source_of,
    unreachable,
)
from ..sessions.base import ConnectionFailed
from ..sessions.channel import Channel, ServerStopping
from ..tracing import Trace

__all__ = ["Driver", "dial"]

LOOKS: Final = 100
"""The number of times that a socket is polled before its thread goes to sleep, about a microsecond each."""
CONTENDED: Final = 0.0003
"""Seconds that yielding the processor takes if another thread had it meanwhile."""
PAUSE: Final = 60
"""The number of waits without polling after that."""
AWAKE: Final = 0.0004
"""Seconds of sleep after which a peer counts as slow: the next wait polls half as often."""

T = TypeVar("T")

_IN, _OUT = select.POLLIN, select.POLLOUT
_LOOKING = threading.Lock()
_ONE_CPU = (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1) == 1
"""Then to look is to keep the peer from answering."""


def dial(where: Address, timeouts: Timeouts, source: SourceAddress | None = None) -> socket.socket:
    """A connection to (host, port), or to the path of a Unix socket, from `source`. Raises `ConnectionFailed`.

    The deadline is one for all: for the name, which a thread of its own looks up, and for each address of the host.
    """
    until = math.inf if timeouts.connect is None else monotonic() + timeouts.connect
    try:
        start = None if source is None else source_of(source, unix=not isinstance(where, tuple))
        if not isinstance(where, tuple):
            return _dial_unix(os.fspath(where), until)
        check_port(where[1])
        found = _look_up(where, until)
        if source is not None and start is not None:
            found = matching(found, start[0], source)
        fault: OSError = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        for family, kind, protocol, _, address in found:
            if source is not None and start is not None:
                sock = bound_socket(family, kind, protocol, start[1], source)
            else:
                sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(_left(until))
                sock.connect(address)
                return sock
            except OSError as error:
                fault = error
                sock.close()
            except BaseException:
                sock.close()
                raise
        try:
            raise fault
        finally:
            del fault  # its traceback has this frame
    except (OSError, ValueError, OverflowError) as error:  # ValueError: an invalid name, a NUL in a path
        raise ConnectionFailed(unreachable(where, said(error))) from error


def _left(until: float) -> float | None:
    """The seconds left until then, None for no limit. Raises TimeoutError if none are left."""
    left = until - monotonic()
    if left <= 0:
        raise TimeoutError
    return None if left == math.inf else left


Found = Sequence[tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]]


def _look_up(where: tuple[str, int], until: float) -> Found:
    """The addresses of a host. The system's resolver cannot be interrupted: if it takes too long, its thread is left
    behind."""
    with suppress(socket.gaierror):
        return socket.getaddrinfo(*where, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    import queue  # imported late: most programs connect to an address and never look up a name

    answers: queue.SimpleQueue[Found | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(*where, type=socket.SOCK_STREAM))
        except Exception as error:  # the thread that asked raises it
            answers.put(error)

    threading.Thread(target=ask, name=f"resolver of {where[0]!a}", daemon=True).start()
    try:
        answer = answers.get(timeout=_left(until))
    except queue.Empty:
        raise TimeoutError from None
    try:
        if isinstance(answer, Exception):
            raise answer
        return answer
    finally:
        del answer  # the traceback of an exception has this frame


def _dial_unix(path: str, until: float) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        while True:
            try:
                sock.connect(path)
                return sock
            except BlockingIOError:
                if monotonic() >= until:
                    raise TimeoutError from None
                sleep(FULL_AGAIN)
    except BaseException:
        sock.close()
        raise


class _TimeIsUp(ProtocolError):
    """The flow was to finish before a deadline, and did not."""


class Driver(Channel):
    """Interprets flows over one connected stream socket. One thread at a time may use it.

    `stop`: a descriptor that becomes readable when a wait for a new request is to be interrupted; `kill`: one that
    becomes readable when every wait is to be interrupted. Both raise `ServerStopping` inside the flow.
    """

    may_go_on = True
    """Always: no other task waits for its turn in this thread."""

    def __init__(
        self,
        sock: socket.socket,
        wire: Wire,
        timeouts: Timeouts,
        *,
        trace: Trace | None = None,
        stop: int | None = None,
        kill: int | None = None,
    ) -> None:
        super().__init__(sock, wire, timeouts, trace)
        self._stop = stop
        self._kill = kill
        self._looks = LOOKS
        self._pause = 0  # the number of next waits without polling
        self._until = math.inf  # when `finish` gives up
        self._poll = select.poll()
        self._poll.register(self.fd, _IN)
        self._polled = _IN
        if kill is not None:
            self._poll.register(kill, _IN)

    def interrupt_by(self, descriptor: int) -> None:
        """From now on, every wait also ends when this descriptor becomes readable, as with `kill`."""
        self._poll.register(descriptor, _IN)

    async def run(self, flow: Flow[T], *, interruptible: bool = False) -> T:
        """Interpret `flow` to its end; its result. Raises what it raises, and `ServerStopping`.

        `interruptible`: the flow waits for a new request, so `stop` interrupts it.
        """
        result: T = self.wait(flow, None, interruptible)
        return result

    async def advance(self, stream: Stream[T], need: Need | None, *, interruptible: bool = False) -> T | None:
        """Meet `need`, if `stream` has yielded one, and interpret it up to its next result; None at its end.

        Raises as `run` does.
        """
        found: T | None = self.wait(stream, need, interruptible)
        return found

    def wait(self, steps: Generator[Any, None, Any], need: Need | None, interruptible: bool) -> Any:
        """Like `run` and `advance`, as an ordinary method: interprets a flow to its result, a stream to its next one.

        Returns None at the end of a stream. `need`: the one that was yielded already, if any."""
        if interruptible and self._stop is not None:
            self._poll.register(self._stop, _IN)
            self.more = False  # so that it is polled
        fault: ProtocolError | None = None
        try:
            step = next(steps) if need is None else need
            while isinstance(step, Need):
                fault = self._serve(step)
                step = steps.throw(fault) if fault is not None else next(steps)
            self.flush()
            return step
        except StopIteration as done:
            self.flush()  # the flow's last PDU, for example an A-ASSOCIATE-AC, must not wait for the next flow
            return done.value
        finally:
            del fault  # its traceback has this frame, and the flow's, with what was received
            if interruptible and self._stop is not None:
                self._poll.unregister(self._stop)

    async def finish(self, flow: Flow[None], seconds: float) -> None:
        """Interpret `flow` to its end, but no longer than that. Raises as `run` does."""
        self._until = monotonic() + seconds
        try:
            await self.run(flow)
        except _TimeIsUp:
            pass
        finally:
            self._until = math.inf

    def check_time(self) -> None:
        """Tell the wire what time it is, if one of its deadlines has passed."""
        if self.due(now := monotonic()) <= now:
            self.on_time(now)

    def _serve(self, need: Need) -> ProtocolError | None:
        """Waits until the need is met or a deadline has passed. Returns the error that ends the flow, if any."""
        if need is Need.TURN and self._killed():
            return ServerStopping()
        if self.begin(need):
            return None
        while True:
            ready, fault = self._wait()
            if fault is not None or not ready:
                return fault
            if self.measured:
                self.woke(monotonic())
            if self.proceed(need, readable=ready & ~_OUT != 0, writable=ready & _OUT != 0):
                return None

    def _killed(self) -> bool:
        """True if every wait is to end; a flow that never waits must not outlive it."""
        return self._kill is not None and any(fd == self._kill for fd, _ in self._poll.poll(0))

    def _wait(self) -> tuple[int, ProtocolError | None]:
        """The socket's events, or 0 if the flow is to end or a deadline has passed, which the wire then knows."""
        wants = (_IN if self.wire.wants_read else 0) | (_OUT if self._pending else 0)
        if wants != self._polled:
            self._poll.modify(self.fd, wants)
            self._polled = wants
        if self._corked or self._owes_ack:
            self.acknowledge()
        while True:
            now = monotonic()
            at = self.due(now)
            if at <= now:
                return 0, self.on_time(now)
            if self._until <= now:
                return 0, _TimeIsUp()
            found = self._spin() or self._sleep(now, min(at, self._until))
            ready = 0
            for fd, events in found:
                if fd == self.fd:
                    ready = events
                else:
                    return 0, ServerStopping()
            if ready:
                return ready, None

    def _spin(self) -> list[tuple[int, int]]:
        """Polls for about as long as a peer that is awake takes to answer, before the thread goes to sleep.

        Waking a thread takes longer than answering a small message. Between two polls the processor goes to any other
        thread that wants it. A peer that turns out to be slower is polled for less and less, and not at all for some
        time if more threads want a processor than there are processors. Only one thread of a process polls at a time.
        An idle association sleeps.
        """
        if self._pause:
            self._pause -= 1
        elif not _ONE_CPU and _LOOKING.acquire(blocking=False):
            try:
                last = monotonic()
                for _ in range(self._looks):
                    found = self._poll.poll(0)
                    if found:
                        return found
                    os.sched_yield()
                    now = monotonic()
                    if now - last > CONTENDED:
                        self._pause = PAUSE
                        break
                    last = now
            finally:
                _LOOKING.release()
        return []

    def _sleep(self, now: float, until: float) -> list[tuple[int, int]]:
        """Wait for an event; none, if `until` comes first."""
        found = self._poll.poll(None if until == math.inf else math.ceil((until - now) * 1000))
        self._looks = LOOKS if monotonic() - now < AWAKE else self._looks >> 1
        return found
