"""`dicos trace`: shows every association of a capture file, or of the connections that it passes on (`--listen`)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from io import BufferedReader
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Final

from dicos_transports.cli import FAILED, INTERRUPTED, OK, USAGE
from dicos_transports.cli.options import LOOPBACK, Parser, port, title
from dicos_transports.cli.output import Output, plural, size

from ..captures.keylog import KeyLog
from ..captures.reading import CaptureError, Recording
from ..captures.recognising import TLS
from ..captures.tapped import NO_KEYS
from ..trace.entries import Sink
from ..trace.json_lines import JsonLines
from ..trace.lines import Detail, Lines
from ..trace.marks import Kind
from ..trace.page import Page
from ..trace.saving import Saver
from ..trace.tracer import Tracer, Wanted
from .outputs import Folders, clash, given
from .relaying import parse_target

__all__ = ["main"]

STANDARD_INPUT: Final = "-"


def main(words: Sequence[str]) -> int:
    """Runs `dicos trace`. Returns 0; 1 with --check if a peer broke a rule, or if something could not be written; 2 if
    the file cannot be read; 130 if interrupted."""
    parser = _parser()
    options = parser.parse_args(words)
    _check(parser, options)
    out = Output(options)
    with ExitStack() as stack:
        try:
            _needs_cryptography(options)
            keys = None if options.keylog is None else _keys(options.keylog, tap=options.listen is not None)
            sinks = _Sinks(options, out, stack)
        except OSError as error:
            out.error(f"{error.filename or ''}: {error.strerror or error}")
            return USAGE
        if options.listen is not None:
            from .tapping import tap

            return tap(options, out, sinks.tracer, keys, sinks.close)
        return _read(options, out, sinks, keys)


def _read(options: argparse.Namespace, out: Output, sinks: _Sinks, keys: KeyLog | None) -> int:
    """Reads the capture file and shows it."""
    name = "standard input" if options.file == STANDARD_INPUT else options.file
    status = OK
    try:
        with _opened(options.file) as file:
            recording = Recording(file, name, ports=options.port, keys=keys)
            try:
                for event in recording.events():
                    sinks.tracer.feed(event)
            except CaptureError as error:
                out.error(str(error))
                status = USAGE
            except KeyboardInterrupt:
                out.info("interrupted: what was read until now is shown")
                status = INTERRUPTED
    except OSError as error:
        out.error(f"{name}: {error.strerror or error}")
        return USAGE
    failed = sinks.close()
    if status != USAGE or recording.segments.counts.packets:  # else there is nothing to sum up
        _tell(out, name, recording, sinks, options.port)
    return status or (FAILED if failed or _faulty(options, sinks.tracer) else OK)


def _keys(path: Path, *, tap: bool) -> KeyLog:
    """Reads the key log. That of a tap may be written later. Raises OSError, also if there is no secret in it."""
    keys = KeyLog(path, grows=tap)
    if not keys and (keys.ignored or not tap):
        raise OSError(0, "no secret of a TLS connection in it; lines as `CLIENT_RANDOM 0123... 0123...` are expected",
                      str(path))  # fmt: skip
    return keys


def _opened(path: str) -> BufferedReader:
    if path == STANDARD_INPUT:
        return open(os.dup(sys.stdin.fileno()), "rb")
    return open(path, "rb")


def _faulty(options: argparse.Namespace, tracer: Tracer) -> bool:
    """Returns True if --check is given, and a peer broke a rule."""
    marks = tracer.results.marks
    return bool(options.check and marks[Kind.VIOLATION])


class _Sinks:
    """Everything that shows or keeps the trace."""

    def __init__(self, options: argparse.Namespace, out: Output, stack: ExitStack) -> None:
        self._out = out
        self._page: tuple[Page, str] | None = None
        sinks: list[Sink] = []
        if options.json:
            sinks.append(JsonLines(lambda name, fields: out.event(name, **fields), pdus=options.debug))
        else:
            sinks.append(Lines(out.answer, _detail(options)))
        self.saver: Saver | None = None
        if options.save is not None:
            Folders().make(options.save)
            self.saver = Saver(options.save, self._saved)
            sinks.append(self.saver)
        if options.html is not None:
            file = stack.enter_context(options.html.open("w", encoding="utf-8"))
            page = Page(file, options.file or f"port {options.listen}")
            self._page = page, str(options.html)
            sinks.append(page)
        wanted = Wanted(
            places=tuple(options.address), titles=frozenset(options.title), since=options.since, until=options.until
        )
        self.tracer = Tracer(sinks, wanted, pieces=self.saver is not None)

    def _saved(self, line: str) -> None:
        tell: Callable[[str], object] = self._out.info if line.startswith("saved") else self._out.failure
        tell(line)

    def close(self) -> bool:
        """Ends what is open, and writes the page. Returns True if something could not be written."""
        self.tracer.end()
        failed = False
        if self.saver is not None:
            self.saver.close()
            failed = self.saver.failed > 0
        if self._page is not None:
            page, name = self._page
            try:
                page.close()
                self._out.detail(f"wrote {name}")
            except OSError as error:
                self._out.error(f"{name}: {error.strerror or error}")
                return True
        return failed


def _detail(options: argparse.Namespace) -> Detail:
    if options.debug:
        return Detail.PDUS
    if options.quiet:
        return Detail.SUMMARY
    return Detail.MESSAGES if options.brief else Detail.FIELDS


# -- what was left out -------------------------------------------------------------------------------------------


def _tell(out: Output, name: str, recording: Recording, sinks: _Sinks, ports: Sequence[int]) -> None:
    results, counts, totals = sinks.tracer.results, recording.segments.counts, recording.reassembly.totals
    marks = [
        plural(results.marks[kind], kind.value) for kind in (Kind.VIOLATION, Kind.DEVIATION) if results.marks[kind]
    ]
    parts = [
        plural(results.associations, "association"), plural(results.messages, "message"),
        f"{size(results.data_bytes)} of data sets", *marks,
    ]  # fmt: skip
    out.info(f"{name}: {', '.join(parts)}")
    if results.not_wanted:
        out.info(f"{name}: {plural(results.not_wanted, 'connection')} left out by the filters")
    for text in _left_out(recording, results.given_up):
        out.failure(f"{name}: {text}")
    not_decrypted = dict(recording.decryption.failures)
    unread = recording.recogniser.others.get(TLS, 0)
    if unread and not recording.keys.may_have:
        not_decrypted[NO_KEYS] = unread
    for why, count in not_decrypted.items():
        out.failure(f"{name}: {plural(count, 'TLS connection')} not decrypted: {why}")
    others = recording.recogniser.others
    if others:
        found = ", ".join(f"{count} {what}" for what, count in others.items())
        hint = "" if ports else "; --port PORT takes every connection of a port for DICOM"
        tell = out.detail if results.associations else out.failure  # with -q, too: why nothing is shown
        tell(f"{name}: {plural(sum(others.values()), 'connection')} not shown: {found}{hint}")
    out.detail(
        f"{name}: {plural(counts.packets, 'packet')}, {plural(counts.segments, 'TCP segment')}, "
        f"{plural(totals.connections, 'connection')} with bytes and {totals.silent} without"
    )
    out.event(
        "summary", associations=results.associations, messages=results.messages, data_bytes=results.data_bytes,
        not_wanted=results.not_wanted, others=others, not_decrypted=not_decrypted, packets=counts.packets,
        **{f"{kind.value}s": count for kind, count in results.marks.items()},
    )  # fmt: skip


def _left_out(recording: Recording, given_up: int) -> list[str]:
    """Returns lines about what is missing in the trace, and why."""
    counts, totals = recording.segments.counts, recording.reassembly.totals
    lines = []
    if counts.cut:
        lines.append(f"{plural(counts.cut, 'packet')} cut by the snapshot length: capture whole packets (-s 0)")
    for link, count in counts.unknown_links.items():
        lines.append(f"{plural(count, 'packet')} of link type {link}, which is not supported")
    if counts.fragments_dropped:
        lines.append(f"{plural(counts.fragments_dropped, 'IP fragment')} could not be put together")
    if totals.evicted or given_up:
        lines.append(f"{plural(totals.evicted + given_up, 'connection')} given up: too many at once")
    if recording.keys.ignored:
        lines.append(f"{plural(recording.keys.ignored, 'line')} of the key log ignored")
    return lines


# -- options -----------------------------------------------------------------------------------------------------


def _parser() -> Parser:
    made = Parser(
        prog="dicos trace", allow_abbrev=False,
        description="Show every association of a capture file (pcap, pcapng), or of the connections that this command "
        "passes on to a peer: who said what and when, and what breaks the standard.",
        epilog="Exit status: 0 all was shown, 1 something could not be written, or with --check a peer broke a rule, 2 "
        "bad usage or a capture that cannot be read to its end, 130 interrupted.",
    )  # fmt: skip
    made.add_argument("file", nargs="?", metavar="FILE", help='a capture file, or "-" for standard input')
    shown = made.add_argument_group("output")
    shown.add_argument("-v", "--verbose", action="store_true", help="also say what was left out, and why")
    shown.add_argument("-d", "--debug", action="store_true", help="also print every P-DATA-TF")
    shown.add_argument(
        "-q", "--quiet", action="store_true", help="print one line for each association, and what it broke"
    )
    shown.add_argument("--brief", action="store_true", help="print one line for each message, without its fields")
    shown.add_argument("--json", action="store_true", help="print one JSON object per line on standard output")
    shown.add_argument(
        "--html", type=Path, metavar="FILE", help="write one page with a sequence diagram for each association"
    )
    shown.add_argument("--save", type=Path, metavar="DIR", help="save the objects of C-STORE requests as files in DIR")
    shown.add_argument("--check", action="store_true", help="exit with status 1 if a peer broke a rule of the standard")
    chosen = made.add_argument_group("selection", "Each may be repeated; an association must fit one of each kind.")
    chosen.add_argument("--address", type=_place, action="append", default=[], metavar="ADDRESS[:PORT]",
                        help="only connections from or to this address or network (10.0.0.0/8)")  # fmt: skip
    chosen.add_argument("--title", type=title, action="append", default=[], metavar="TITLE",
                        help="only associations with this calling or called AE title")  # fmt: skip
    chosen.add_argument("--from", dest="since", type=_moment, metavar="TIME",
                        help="only connections opened at this time or later, as 2024-05-01T10:00:00; UTC unless it has "
                        "an offset (+02:00)")  # fmt: skip
    chosen.add_argument("--until", type=_moment, metavar="TIME", help="only connections opened before this time")
    chosen.add_argument("--port", type=port, action="append", default=[], metavar="PORT",
                        help="take every connection of this TCP port for DICOM, and no others (default: DICOM is "
                        "recognised by its first bytes, on any port)")  # fmt: skip
    made.add_argument("--keylog", type=Path, metavar="FILE",
                      help="key log (SSLKEYLOGFILE) with the secrets of TLS connections; secrets in a pcapng file are "
                      "used without it")  # fmt: skip
    tapped = made.add_argument_group("tap", "Passes connections on, unchanged, and shows them while they last.")
    tapped.add_argument("--listen", type=port, metavar="PORT", help="listen on this TCP port, 0 for any free one")
    tapped.add_argument("--to", nargs="+", metavar=("HOST", "PORT"), help="the peer: HOST PORT or HOST:PORT")
    tapped.add_argument("--bind", metavar="ADDRESS",
                        help="local address to listen on, 0.0.0.0 for all interfaces: everyone who can reach it can "
                        f"reach the peer (default: {LOOPBACK})")  # fmt: skip
    tapped.add_argument("--write", type=Path, metavar="FILE", help="also write what was carried as a pcapng file")
    return made


def _check(parser: Parser, options: argparse.Namespace) -> None:
    """Exits with a usage error for options that do not go together."""
    if (options.file is None) == (options.listen is None):
        parser.error("either a capture file, or --listen PORT --to HOST PORT")
    for name in ("to", "bind", "write"):
        if options.listen is None and getattr(options, name) is not None:
            parser.error(f"--{name} without --listen")
    if options.listen is not None:
        if options.port:
            parser.error("--port with --listen: every connection is decoded as DICOM")
        if options.to is None or len(options.to) > 2:
            parser.error("--listen without --to HOST PORT")
        try:
            options.target = parse_target(options.to)
        except argparse.ArgumentTypeError as error:
            parser.error(f"argument --to: {error}")
    capture = None if options.file == STANDARD_INPUT else options.file
    inputs = given(("the capture file", capture), ("the key log", options.keylog))
    if line := clash(inputs, given(("--write", options.write), ("--html", options.html))):
        parser.error(line)


def _needs_cryptography(options: argparse.Namespace) -> None:
    if options.keylog is not None:
        from importlib.util import find_spec

        if find_spec("cryptography") is None:
            raise OSError(0, "--keylog needs cryptography: pip install '.[fuzz]' in a checkout", str(options.keylog))


def _place(word: str) -> tuple[IPv4Network | IPv6Network, int | None]:
    """Parses `10.0.0.5`, `10.0.0.0/8`, `10.0.0.5:104`, `::1` or `[::1]:104`."""
    try:
        return ip_network(word.strip("[]"), strict=False), None
    except ValueError:
        pass
    host, _, number = word.rpartition(":")
    try:
        return ip_network(ip_address(host.strip("[]"))), port(number)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word!a}: expected ADDRESS, ADDRESS:PORT or a network") from None


def _moment(word: str) -> int:
    """Parses ISO 8601, or seconds since 1970, to nanoseconds since 1970."""
    try:
        return round(float(word) * 1e9)
    except (ValueError, OverflowError):
        pass
    try:
        found = datetime.fromisoformat(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word!a}: expected a time, as 2024-05-01T10:00:00") from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return round(found.timestamp() * 1_000_000) * 1000
