"""What the subcommands that serve associations share: listening, log lines, the end."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from dicos_proto.negotiation import AcceptPolicy

from ..addresses import ListenFailed
from ..awaiting import Session
from ..serving import LOG
from . import FAILED, NO_ASSOCIATION, OK
from .options import timeouts, tolerance
from .output import Output, plural, size
from .runtime import Handler, Runtime, Served, Stopping
from .tls import server_tls


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
    at: Runtime,
    options: argparse.Namespace,
    out: Output,
    policy: AcceptPolicy,
    handler: Handler,
    counts: Counts,
    where_to: str,
) -> int:
    """Serve until SIGINT or SIGTERM; the exit status. `where_to`: what becomes of what is received."""
    given = server_options(options, out, policy)
    with logged(out):
        return at.run(lambda: _serve(at, options, out, given, handler, counts, where_to))


def server_options(options: argparse.Namespace, out: Output, policy: AcceptPolicy) -> dict[str, Any]:
    """What `Runtime.serve` is told. Ends the command where the options of TLS cannot be used."""
    return {
        "policy": policy,
        "timeouts": timeouts(options),
        "tolerance": tolerance(options),
        "associations": options.max_associations,
        "per_address": options.max_per_address,
        "tls": server_tls(options, out),
        "trace": out.trace if out.debug and not out.quiet else None,
    }


@contextmanager
def logged(out: Output) -> Iterator[None]:
    """What servers log is this command's output here."""
    lines = _Lines(out)
    LOG.addHandler(lines)
    LOG.setLevel(lines.level)
    LOG.propagate = False
    try:
        yield
    finally:
        LOG.removeHandler(lines)


async def _serve(
    at: Runtime,
    options: argparse.Namespace,
    out: Output,
    given: dict[str, Any],
    handler: Handler,
    counts: Counts,
    where_to: str,
) -> int:
    async def handle(session: Session) -> None:
        asked = session.request
        out.event("association", peer=session.peer, calling_aet=asked.calling_aet, called_aet=asked.called_aet,
                  accepted=len(session.contexts), refused=len(session.refused))  # fmt: skip
        await handler(session)

    stopping = Stopping(
        options.grace,
        first=lambda: out.detail(f"stopping: operations have {options.grace:g} s to finish"),
        second=lambda: out.info("stopping at once"),
    )
    out.on_lost = lambda: stopping.stop()
    try:
        async with at.serve((options.bind, options.port), handle, **given) as server:

            def started() -> None:
                hint = "" if options.bind != "127.0.0.1" else "; --bind 0.0.0.0 listens on all interfaces"
                over = " over TLS" if server.over_tls else ""
                out.info(f"listening on {server.address}{over} as {options.aet!a}, {where_to}{hint}")
                out.event("listening", address=options.bind, port=server.port, aet=options.aet, tls=server.over_tls)

            await at.until_stopped(server, stopping, started)
    except ListenFailed as error:
        out.error(str(error))
        return NO_ASSOCIATION
    _sum_up(server, counts, out)
    if out.lost is not None:
        raise out.lost
    return FAILED if counts.failed or counts.cut_off else OK


def _sum_up(server: Served, counts: Counts, out: Output) -> None:
    text = f"served {plural(server.served, 'association')}, {plural(counts.echoes, 'C-ECHO')}"
    if counts.stored or counts.failed or counts.incomplete:
        text += f"; stored {plural(counts.stored, 'object')}, {size(counts.bytes)}; {counts.failed} failed"
    if counts.incomplete:
        text += f", {counts.incomplete} not received whole"
    out.info(text)
    out.event("summary", associations=server.served, echoes=counts.echoes, stored=counts.stored,
              failed=counts.failed, incomplete=counts.incomplete, bytes=counts.bytes)  # fmt: skip
