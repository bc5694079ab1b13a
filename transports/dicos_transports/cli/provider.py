"""The common parts of the provider subcommands: listening, log lines, and the end."""

from __future__ import annotations

import argparse
import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Final

from dicos_proto.registry import uids
from dicos_proto.registry.service_classes import service_of
from dicos_proto.upper_layer.agreement import RefusedContext
from dicos_proto.upper_layer.pdu_types import ContextResult
from dicos_proto.upper_layer.policy import AcceptPolicy

from ..addresses import Address, ListenFailed, handed_over
from ..serving.options import ServeOptions
from ..serving.reception import LOG, ServerLimits
from ..sessions.session import Session
from . import FAILED, NO_ASSOCIATION, OK, USAGE
from .options import LOOPBACK, timeouts, tolerance
from .output import Output, plural, shown, size
from .runtimes.runtime import Handler, Runtime, Served, Stopping
from .tls import TLSOptions

if TYPE_CHECKING:
    from ..serving.metrics import Endpoint

STATION: Final = logging.getLogger("dicos.screening")
"""The logger of `dicos screen`, whose lines are results: they are printed unless `--quiet`."""
FILES: Final = logging.getLogger("dicos.files")
WORDS: Final = logging.getLogger("dicos.command")
"""The logger of the command's own lines with `--log-json`."""


SOME: Final = 3
"""Most UIDs of refused contexts that one line names."""
Watch = Callable[[Served], AbstractContextManager["Endpoint | None"]]


@dataclass
class Counts:
    """The counters of a provider; its threads change them under `lock`."""

    echoes: int = 0
    stored: int = 0
    failed: int = 0
    incomplete: int = 0  # the association ended first
    cut_off: int = 0  # of these, because this side stopped
    bytes: int = 0
    lock: Lock = field(default_factory=Lock)


class _Lines(logging.Handler):
    """Prints the server's log records as output of the command; if text is diverted, only as JSON events."""

    def __init__(self, out: Output, level: int) -> None:
        super().__init__(level)
        self._out = out
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        text, error = record.getMessage(), record.exc_info[1] if record.exc_info else None
        if error is not None:
            text += f": {type(error).__name__}: {shown(error, 1000)}"
        apart = self._out.diverted is not None
        if record.levelno < logging.ERROR:
            if not apart:
                self._out.info(text)
            self._out.event("log", level=record.levelname.lower(), text=text)
        elif apart:
            self._out.event("error", text=text)
        elif error is not None and self._out.debug:
            self._out.trouble(text, self.format(record).partition("\n")[2])
        else:
            self._out.error(text)


def run(
    at: Runtime,
    options: argparse.Namespace,
    out: Output,
    policy: AcceptPolicy,
    handler: Handler,
    counts: Counts,
    where_to: str,
    *,
    beside: Callable[[], AbstractContextManager[object]] = nullcontext,
    stopped: Callable[[], None] = lambda: None,
) -> int:
    """Serve until SIGINT or SIGTERM. Returns the exit status. `where_to`: text for where received objects go.

    `beside`: returns a context that is entered before anything is served, and left at the end. It may raise what the
    caller expects. `stopped`: called when it begins to stop.
    """
    with logged(out, as_json=options.log_json):
        given = server_options(options, out)
        watched = _metrics(options, out)
        try:
            where = _where(options)
        except ListenFailed as error:
            out.error(str(error))
            return NO_ASSOCIATION
        if not where:
            out.error("--activated, but no sockets were passed: LISTEN_FDS and LISTEN_PID, which systemd sets for a "
                      "service with a .socket unit, are not set for this process")  # fmt: skip
            return USAGE
        with beside():
            return at.run(
                lambda: _serve(at, options, out, where, policy, given, watched, handler, counts, where_to, stopped)
            )


def server_options(options: argparse.Namespace, out: Output) -> ServeOptions:
    """Return the options of `Runtime.serve`. Ends the command if the TLS options cannot be used."""
    return {
        "timeouts": timeouts(options),
        "tolerance": tolerance(options),
        "server_limits": ServerLimits(associations=options.max_associations, per_address=options.max_per_address),
        "tls": TLSOptions(options, out).server,
        "keepalive": options.keepalive,
        "reuse_port": options.reuse_port,
        "trace": out.trace if out.debug and not out.quiet else None,
    }


def _where(options: argparse.Namespace) -> list[Address | socket.socket]:
    """Return where to listen; empty if a service manager passed no sockets. Raises `ListenFailed`."""
    if options.activated:
        return [*handed_over()]
    return [*([] if options.port is None else [(options.bind, options.port)]), *options.listen]


def _has_port(where: list[Address | socket.socket]) -> bool:
    names = [place.getsockname() if isinstance(place, socket.socket) else place for place in where]
    return any(isinstance(name, tuple) for name in names)


def _metrics(options: argparse.Namespace, out: Output) -> Watch:
    """Return a function that serves a server's metrics. Ends the command if prometheus-client is missing."""
    if options.metrics is None:
        return lambda server: nullcontext()
    try:
        from ..serving.metrics import start
    except ImportError as error:
        out.error(str(error))
        raise SystemExit(USAGE) from None
    return lambda server: start({shown(server.address): server}, options.metrics)  # a label is UTF-8, a path is not


@contextmanager
def logged(out: Output, *, as_json: bool = False) -> Iterator[None]:
    """Print what servers log as output of the command. `as_json`: print that, and the command's own lines, as JSON."""
    results = logging.ERROR if out.quiet else logging.INFO
    handlers: list[tuple[logging.Logger, logging.Handler]] = [
        (LOG, _Lines(out, _level(out))),
        (FILES, _Lines(out, _level(out))),
        (STATION, _Lines(out, results)),
    ]
    LOG.setLevel(_level(out))
    STATION.setLevel(results)
    if as_json:
        from ..serving.logs import json_handler

        written = json_handler(details=out.debug)
        handlers += [(LOG, written), (FILES, written), (STATION, written), (WORDS, written)]
        WORDS.setLevel(logging.DEBUG)  # `Output` has already dropped what is not wanted
        levels = logging.getLevelNamesMapping()
        out.diverted = lambda level, text: WORDS.log(levels[level], "%s", text)
    before = {logger: logger.propagate for logger, _ in handlers}
    for logger, handler in handlers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, propagates in before.items():
            logger.propagate = propagates
        for logger, handler in handlers:
            logger.removeHandler(handler)
        out.diverted = None


def _level(out: Output) -> int:
    return logging.INFO if out.verbose else logging.ERROR if out.quiet else logging.WARNING


async def _serve(
    at: Runtime,
    options: argparse.Namespace,
    out: Output,
    where: list[Address | socket.socket],
    policy: AcceptPolicy,
    given: ServeOptions,
    watched: Watch,
    handler: Handler,
    counts: Counts,
    where_to: str,
    stopped: Callable[[], None],
) -> int:
    async def handle(session: Session) -> None:
        asked = session.request
        out.event("association", peer=session.peer, calling_aet=asked.calling_aet, called_aet=asked.called_aet,
                  accepted=len(session.contexts), refused=len(session.refused))  # fmt: skip
        tell_refused(session, options, out)
        await handler(session)

    def first() -> None:
        stopped()
        out.detail(f"stopping: running operations have {options.grace:g} s to finish")

    stopping = Stopping(
        options.grace,
        first=first,
        second=lambda: out.info("stopping at once"),
    )
    out.on_lost = lambda: stopping.stop()
    try:
        has_port = _has_port(where)
        async with at.serve(where, handle, policy=policy, **given) as server:
            with watched(server) as endpoint:

                def started() -> None:
                    _tell_listening(options, out, server, where_to, has_port=has_port)
                    if endpoint is not None:
                        out.info(f"metrics at http://{endpoint.address}/metrics")
                        out.event("metrics", address=endpoint.address, port=endpoint.port)

                await at.until_stopped(server, stopping, started)
    except ListenFailed as error:
        out.error(str(error))
        return NO_ASSOCIATION
    _sum_up(server, counts, out)
    if out.lost is not None:
        raise out.lost
    return FAILED if counts.failed or counts.cut_off else OK


def tell_refused(session: Session, options: argparse.Namespace, out: Output) -> None:
    """Print a line for each reason for refused contexts: the proposed ones, the reason, and how to accept them."""
    told: dict[str, list[str]] = {}
    for one in session.refused:
        why = _why(one)
        if one.result == ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED:
            why = "SOP class not accepted here"
            if hasattr(options, "any") and service_of(one.abstract_syntax) is None:
                why += "; --any accepts every one"
        elif one.result == ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED:
            why = f"no transfer syntax accepted here: {_some(one.transfer_syntaxes)}"
            if hasattr(options, "transfer_syntax"):
                why += "; --transfer-syntax accepts one more"
        told.setdefault(why, []).append(one.abstract_syntax)
    for why, classes in told.items():
        out.info(f"{session.peer}: {session.calling_aet!a} proposed {_some(classes)}, refused: {why}")
    if session.refused:
        out.event(
            "refused",
            peer=session.peer,
            calling_aet=session.calling_aet,
            contexts=[
                {"abstract_syntax": one.abstract_syntax, "transfer_syntaxes": one.transfer_syntaxes, "why": _why(one)}
                for one in session.refused
            ],
        )


def _why(refused: RefusedContext) -> str:
    return str(refused).rpartition(": ")[2]


def _some(found: Sequence[str]) -> str:
    """Return the names of the first few UIDs, and the number of the others."""
    each = list(dict.fromkeys(found))
    names = ", ".join(shown(uids.name_of(uid), 64) for uid in each[:SOME])
    return names if len(each) <= SOME else f"{names} and {len(each) - SOME} more"


def _tell_listening(options: argparse.Namespace, out: Output, server: Served, where_to: str, *, has_port: bool) -> None:
    bound = None if options.port is None else options.bind
    hint = "; --bind 0.0.0.0 listens on all interfaces" if bound == LOOPBACK else ""
    over = " over TLS" if server.over_tls else ""
    out.info(f"listening on {shown(server.address)}{over} as {options.aet!a}, {where_to}{hint}")
    out.event("listening", address=bound, port=server.port if has_port else None, on=server.address,
              aet=options.aet, tls=server.over_tls)  # fmt: skip


def _sum_up(server: Served, counts: Counts, out: Output) -> None:
    text = f"served {plural(server.served, 'association')}, {plural(counts.echoes, 'C-ECHO')}"
    if counts.stored or counts.failed or counts.incomplete:
        text += f"; stored {plural(counts.stored, 'object')}, {size(counts.bytes)}; {counts.failed} failed"
    if counts.incomplete:
        text += f", {counts.incomplete} incomplete"
    out.info(text)
    out.event("summary", associations=server.served, echoes=counts.echoes, stored=counts.stored,
              failed=counts.failed, incomplete=counts.incomplete, bytes=counts.bytes)  # fmt: skip
