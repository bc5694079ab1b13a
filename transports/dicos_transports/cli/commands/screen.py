"""`dicos screen`: a station that receives scans, finds threats in them, sends reports and has an operator decide."""

from __future__ import annotations

import argparse
import os
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from dicos_proto.registry import uids
from dicos_proto.registry.status import SUCCESS
from dicos_proto.upper_layer.negotiation import UNCOMPRESSED
from dicos_proto.upper_layer.pdu_types import OperationsWindow
from dicos_proto.upper_layer.policy import AcceptPolicy

from ...addresses import ListenFailed, NamedAddress, parse_address
from ...files.receiving import take_all
from ...sessions.finished import finished
from ...sessions.session import EchoRequest, Session, StoreRequest
from .. import FAILED, NO_ASSOCIATION, USAGE
from ..options import (
    LOOPBACK,
    application_context,
    count,
    host_and_port,
    max_length,
    provider_options,
    provider_parser,
    seconds,
    timeouts,
    tolerance,
)
from ..output import Output, shown
from ..provider import Counts, run, server_options
from ..runtimes.runtime import runtime
from ..tls import TLSOptions

if TYPE_CHECKING:
    from ... import blocking
    from ...screening import Station
    from ...screening.delivery import Destination

WINDOW: Final = 32
NEEDED: Final = ("pydicom", "numpy", "PIL", "hypercorn")
"""Libraries without which there is no station."""
AFTER_GRACE: Final = 15.0
"""Seconds that the end of the station may take after `--grace`."""
LARGEST: Final = 16_000_000_000
"""Bytes of a scan, by default."""


def main(words: Sequence[str]) -> int:
    parser = _parser()
    options = provider_options(parser, words)
    _check(parser, options)
    out = Output(options)
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        out.error(f"dicos screen needs more libraries ({', '.join(missing)}): pip install '.[screen]' in a checkout")
        return USAGE
    from ...screening import FolderInUse, HelperError, Settings, Station

    at, counts, bound = runtime(options), Counts(), _Bound(options.grace, out)
    most = options.max_object
    try:
        station = Station(Settings(
            folder=options.folder, destinations=_destinations(options, out), recogniser=options.recogniser,
            deadline=options.deadline, workers=options.workers, watched=options.watch, most=most,
            pixels=options.max_pixels, memory=options.max_memory,
        ))  # fmt: skip
    except FolderInUse as error:
        out.error(shown(error))
        return USAGE
    except (OSError, sqlite3.Error) as error:
        out.error(f"{shown(options.folder)}: {error}")
        return USAGE

    def handler(offload: Callable[..., Any], batch: int) -> Callable[[Session], Coroutine[Any, Any, None]]:
        receiving = _Receiving(station, counts, out, offload, batch)
        return receiving.handle

    @contextmanager
    def beside() -> Iterator[None]:
        with ExitStack() as stack:
            stack.callback(station.close)
            station.start()
            _serve_page(options, out, station, stack)
            _serve_plain(options, out, _policy(options), handler(_at_once, 1), stack, bound)
            yield

    try:
        return run(
            at, options, out, _policy(options), handler(at.offload, at.batch), counts,
            f"keeping scans in {shown(options.folder)}", beside=beside, stopped=bound.start,
        )  # fmt: skip
    except HelperError as error:
        out.error(str(error))
        return USAGE
    except ListenFailed as error:
        out.error(str(error))
        return NO_ASSOCIATION
    finally:
        bound.end()


class _Bound:
    """Ends the process when stopping takes longer than `grace` and `AFTER_GRACE` seconds. Nothing is lost by
    that: each acknowledged scan is on disk, and the next start goes on with it."""

    def __init__(self, grace: float, out: Output) -> None:
        self._grace = grace
        self._out = out
        self._begun: float | None = None
        self._ended = threading.Event()

    def start(self) -> None:
        """Stopping begins now."""
        self._begun = monotonic()
        threading.Thread(target=self._wait, name="bound", daemon=True).start()

    @property
    def left(self) -> float:
        """The seconds of grace that are left."""
        return self._grace if self._begun is None else max(0.0, self._begun + self._grace - monotonic())

    def end(self) -> None:
        """Nothing is left to wait for, unless the interpreter still waits for a thread at its end."""
        own = threading.current_thread(), threading.main_thread()
        if all(one.daemon or one in own for one in threading.enumerate()):
            self._ended.set()

    def _wait(self) -> None:
        if not self._ended.wait(self._grace + AFTER_GRACE):
            try:
                self._out.failure("WARNING: stopping took too long; what was not done begins again at the next start")
            finally:
                os._exit(FAILED)


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuses options that do not go together."""
    own = options.folder.resolve()
    for watched in options.watch:
        if watched.resolve().is_relative_to(own):  # the station would take its own index and its own scans
            parser.error(f"--watch {str(watched)!a}: in the folder of -od, which the station keeps for itself")
    if options.report_tls and not options.report_to:
        parser.error("--report-tls: there is no --report-to")


def _parser() -> argparse.ArgumentParser:
    parser = provider_parser(
        "screen", "Receive scans, have a recogniser look at each, send its reports, and serve a page for an operator."
    )
    group = parser.add_argument_group("station")
    add = group.add_argument
    add("-od", "--folder", type=Path, default=Path("station"), metavar="FOLDER",
        help="where scans, reports, pictures and the index are kept (default: %(default)s)")  # fmt: skip
    add("--report-to", type=_destination, action="append", default=[], metavar="AET@HOST:PORT",
        help="send reports here by C-STORE; may be repeated")  # fmt: skip
    add("--report-tls", action="store_true",
        help="send reports over TLS, with the certificate and the CAs of the TLS options")  # fmt: skip
    add("--report-context", type=application_context, default="dicom", metavar="NAME",
        help="application context for reports: dicom, dicos (= dicos-v03), dicos-v02a, or a UID "
        "(default: %(default)s)")  # fmt: skip
    add("--recogniser", default="threshold", metavar="NAME",
        help="the function that finds threats: an entry point of the group dicos_proto.recognisers, MODULE:FUNCTION, "
        "threshold or nothing (default: %(default)s)")  # fmt: skip
    add("--deadline", type=_deadline, default=30.0, metavar="SECONDS",
        help="time for one scan; after that its report has the abort flag (default: %(default)g)")  # fmt: skip
    add("--workers", type=_workers, default=1, metavar="N",
        help="scans that are recognised at the same time, each in its own process (default: %(default)s)")  # fmt: skip
    add("--watch", type=_watched, action="append", default=[], metavar="FOLDER",
        help="also take scans from files that appear in this folder; may be repeated")  # fmt: skip
    add("--max-object", type=count_of_bytes, default=LARGEST, metavar="BYTES",
        help="refuse larger scans (default: %(default)s)")  # fmt: skip
    add("--max-pixels", type=count_of_bytes, default=1_000_000_000, metavar="BYTES",
        help="do not decompress scans with more bytes of pixels; their reports have the abort flag "
        "(default: %(default)s)")  # fmt: skip
    add("--max-memory", type=count_of_bytes, default=4_000_000_000, metavar="BYTES",
        help="memory of each process of a recogniser, mapped files not counted (default: %(default)s)")  # fmt: skip
    add("--http", type=host_and_port, default=(LOOPBACK, 8080), metavar="[ADDRESS:]PORT",
        help=f"where the page is served, 0 for any free port (default: {LOOPBACK}:8080)")  # fmt: skip
    add("--http-host", action="append", default=[], metavar="NAME",
        help="a host name under which browsers may call the page, besides localhost and ADDRESS; "
        "may be repeated")  # fmt: skip
    add("--plain", type=host_and_port, metavar="[ADDRESS:]PORT",
        help="with TLS options, listen here without TLS as well")  # fmt: skip
    parser.set_defaults(tolerance="auto")
    return parser


def _policy(options: argparse.Namespace) -> AcceptPolicy:
    """Return a policy for verification and the objects of DICOS.

    Reports and QR objects are negotiated too, and refused when they come: Stratovan's toolkit gives up if any of the
    contexts that it proposes is refused.
    """
    from ...screening.header import SCAN_CLASSES

    classes = *SCAN_CLASSES, uids.DICOS_TDR, uids.DICOS_QR
    return AcceptPolicy(
        contexts=dict.fromkeys(classes, uids.TRANSFER_SYNTAXES) | {uids.VERIFICATION: UNCOMPRESSED},
        called_aets=frozenset({options.aet}) if options.require_called_aet else None,
        max_length=max_length(options),
        window=OperationsWindow(invoked=WINDOW, performed=1),
    )


def _destinations(options: argparse.Namespace, out: Output) -> list[Destination]:
    from ...screening.delivery import Destination

    made = []
    for where in options.report_to:
        tls = None
        if options.report_tls:
            given = argparse.Namespace(**{**vars(options), "host": where.host, "tls_server_name": None, "tls": True})
            tls = TLSOptions(given, out).client
        made.append(Destination(
            where, calling_aet=options.aet, application_context=options.report_context, timeouts=timeouts(options),
            tolerance=tolerance(options), tls=tls,
        ))  # fmt: skip
    return made


def _serve_page(options: argparse.Namespace, out: Output, station: Station, stack: ExitStack) -> None:
    from ...screening.http import HttpServer
    from ...screening.web import Page

    host, port = options.http
    server = HttpServer(Page(station, hosts=(host, *options.http_host)), (host, port))
    stack.callback(server.close)
    server.start()
    out.info(f"page at http://{server.address}/")
    out.event("http", address=host, port=server.port)
    if not host.startswith("127.") and host not in ("::1", "localhost"):
        out.failure("WARNING: the page asks for no password: anybody who reaches this address sees scans and decides")


def _serve_plain(
    options: argparse.Namespace,
    out: Output,
    policy: AcceptPolicy,
    handle: Callable[[Session], Coroutine[Any, Any, None]],
    stack: ExitStack,
    bound: _Bound,
) -> None:
    """Listens without TLS beside the listener with TLS."""
    if options.plain is None:
        return
    from ...blocking.server import serve

    def handler(session: blocking.Session) -> None:
        finished(handle(session.awaited))

    given = server_options(options, out)
    given["tls"] = None
    server = serve(options.plain, handler, policy=policy, **given)
    stack.callback(lambda: server.close(bound.left))
    out.info(f"also listening on {server.address} without TLS")
    out.event("plain", address=options.plain[0], port=server.port)


async def _at_once(function: Callable[[], Any]) -> Any:
    return function()


class _Receiving:
    """Answers C-ECHO, and gives each C-STORE to the station."""

    def __init__(self, station: Station, counts: Counts, out: Output, offload: Callable[..., Any], batch: int) -> None:
        self._station = station
        self._counts = counts
        self._out = out
        self._offload = offload
        self._batch = batch

    async def handle(self, session: Session) -> None:
        """Serves one association."""
        async for request in session:
            match request:
                case EchoRequest():
                    await request.respond()
                    with self._counts.lock:
                        self._counts.echoes += 1
                case StoreRequest():
                    await self._receive(request)
                case _:
                    self._out.detail(f"{session.peer}: {request.name} refused: not supported here")

    async def _receive(self, request: StoreRequest) -> None:
        from ...screening.intake import StoreSink

        counts, sink = self._counts, StoreSink(self._station.intake, request)
        try:
            stored = await take_all(sink, request, self._offload, self._batch)
        except BaseException:
            with counts.lock:
                counts.incomplete += 1
            raise
        finally:
            sink.discard()
        await request.respond(stored.status, stored.comment)
        good = stored.status == SUCCESS
        with counts.lock:
            counts.stored += good
            counts.failed += not good
            counts.bytes += stored.size if good else 0
        self._out.event(
            "stored" if good else "failed", peer=request.session.peer, calling_aet=request.session.calling_aet,
            sop_class_uid=request.sop_class_uid, sop_instance_uid=request.sop_instance_uid, status=stored.status,
            bytes=stored.size, why=stored.error, scan=None if sink.admitted is None else sink.admitted.scan,
        )  # fmt: skip


# -- types of option values ------------------------------------------------------------------------------------------


def count_of_bytes(word: str) -> int:
    """Parse a number of bytes, at least 1."""
    if not word.isdecimal() or not 1 <= int(word) <= 1 << 50:
        raise argparse.ArgumentTypeError(f"{word!a}: expected a number of bytes, 1 or more")
    return int(word)


def _workers(word: str) -> int:
    found = count(word)
    if found > 64:
        raise argparse.ArgumentTypeError(f"{word!a}: expected 1 to 64")
    return found


def _deadline(word: str) -> float:
    found = seconds(word)
    if not found:
        raise argparse.ArgumentTypeError("0: a recogniser has a deadline of more than 0 seconds")
    return found


def _watched(word: str) -> Path:
    path = Path(word)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{word!a}: not a folder")
    return path


def _destination(word: str) -> NamedAddress:
    try:
        found = parse_address(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not found.port:
        raise argparse.ArgumentTypeError("port 0: a peer has a port from 1 to 65535")
    return found
