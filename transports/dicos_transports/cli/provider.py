"""What the subcommands that serve associations share: listening, log lines, signals, the end."""

from __future__ import annotations

import argparse
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Lock
from types import FrameType

from dicos_proto.negotiation import AcceptPolicy

from ..blocking import Session
from ..blocking_server import LOG, ListenFailed, Server, ServerLimits, serve
from . import FAILED, NO_ASSOCIATION, OK
from .options import timeouts, tolerance
from .output import Output, plural, size
from .tls import server_tls


class _SecondSignal(BaseException):
    """Whoever runs this does not want to wait."""


@dataclass
class Counts:
    """What a provider did; its threads add to it under `lock`."""

    echoes: int = 0
    stored: int = 0
    failed: int = 0
    incomplete: int = 0  # the association ended first
    cut_off: int = 0  # of these, because this side stopped
    bytes: int = 0
    lock: Lock = field(default_factory=Lock)


class _Lines(logging.Handler):
    """The server's log lines, as this command's output."""

    def __init__(self, out: Output) -> None:
        super().__init__(logging.INFO if out.verbose else logging.ERROR if out.quiet else logging.WARNING)
        self._out = out
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record) if self._out.debug else record.getMessage()
        if record.exc_info and record.exc_info[1] is not None and not self._out.debug:
            text += f": {type(record.exc_info[1]).__name__}: {str(record.exc_info[1])!a}"
        if record.levelno >= logging.ERROR:
            self._out.error(text)
        else:
            self._out.info(text)
            self._out.event("log", level=record.levelname.lower(), text=text)


def run(
    options: argparse.Namespace,
    out: Output,
    policy: AcceptPolicy,
    handler: Callable[[Session], None],
    counts: Counts,
    where_to: str,
) -> int:
    """Serve until SIGINT or SIGTERM; the exit status. `where_to`: what becomes of what is received."""
    tls = server_tls(options, out)
    lines = _Lines(out)
    LOG.addHandler(lines)
    LOG.setLevel(lines.level)
    LOG.propagate = False

    def handle(session: Session) -> None:
        asked = session.request
        out.event("association", peer=session.peer, calling_aet=asked.calling_aet, called_aet=asked.called_aet,
                  accepted=len(session.contexts), refused=len(session.refused))  # fmt: skip
        handler(session)

    try:
        server = serve(
            (options.bind, options.port),
            handle,
            policy=policy,
            timeouts=timeouts(options),
            tolerance=tolerance(options),
            server_limits=ServerLimits(associations=options.max_associations, per_address=options.max_per_address),
            tls=tls,
            trace=out.trace if out.debug and not out.quiet else None,
        )
    except ListenFailed as error:
        LOG.removeHandler(lines)
        out.error(str(error))
        return NO_ASSOCIATION
    try:
        _until_stopped(server, options, out, where_to)
    finally:
        LOG.removeHandler(lines)
    _sum_up(server, counts, out)
    if out.lost is not None:
        raise out.lost
    return FAILED if counts.failed or counts.cut_off else OK


def _until_stopped(server: Server, options: argparse.Namespace, out: Output, where_to: str) -> None:
    stops: SimpleQueue[None] = SimpleQueue()  # whose put() may interrupt anything, itself included
    out.on_lost = lambda: stops.put(None)
    with _signals(stops):
        try:
            hint = "" if options.bind != "127.0.0.1" else "; --bind 0.0.0.0 listens on all interfaces"
            over = " over TLS" if server.over_tls else ""
            out.info(f"listening on {server.address}{over} as {options.aet!a}, {where_to}{hint}")
            out.event("listening", address=options.bind, port=server.port, aet=options.aet, tls=server.over_tls)
            stops.get()
            out.detail(f"stopping: operations have {options.grace:g} s to finish")
            server.close(options.grace)
        except _SecondSignal:
            out.info("stopping at once")
            server.close(0)


@contextmanager
def _signals(stops: SimpleQueue[None]) -> Iterator[None]:
    """SIGINT and SIGTERM: the first asks to stop, the second raises `_SecondSignal`, more do nothing."""
    count = 0

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count == 1:
            stops.put(None)
        elif count == 2:
            raise _SecondSignal

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _sum_up(server: Server, counts: Counts, out: Output) -> None:
    text = f"served {plural(server.served, 'association')}, {plural(counts.echoes, 'C-ECHO')}"
    if counts.stored or counts.failed or counts.incomplete:
        text += f"; stored {plural(counts.stored, 'object')}, {size(counts.bytes)}; {counts.failed} failed"
    if counts.incomplete:
        text += f", {counts.incomplete} not received whole"
    out.info(text)
    out.event("summary", associations=server.served, echoes=counts.echoes, stored=counts.stored,
              failed=counts.failed, incomplete=counts.incomplete, bytes=counts.bytes)  # fmt: skip
