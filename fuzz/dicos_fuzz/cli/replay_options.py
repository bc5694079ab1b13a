"""The options of `dicos replay`: read and checked.

Knows: words of the command line. Must not know: how a reproducer is played.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dicos_transports.addresses import DEFAULT_CALLED, is_ipv6, parse_address, parse_host
from dicos_transports.cli import tls
from dicos_transports.cli.options import Parser, count, host_and_port, peer_port, port, seconds, source_address, title

__all__ = ["Parser", "parse"]

TIMES: Final = 3
MOST_TIMES: Final = 1000
SECONDS: Final = 60.0
_ABOUT: Final = "Play a reproducer of dicos fuzz again, and report if its finding shows."
_AFTER: Final = (
    "Exit status: 0 it did not show, 1 it showed, 2 bad usage or a file that cannot be read, 3 no association, 4 it "
    "did not show and standard output was lost, 130 interrupted. Only against a peer that you own, and "
    "that serves nobody else now: it may crash."
)


def parse(words: Sequence[str]) -> tuple[argparse.Namespace, Parser]:
    """Returns the options, checked, and the parser for further errors. `host`: None without a peer to connect to. Exits
    for bad usage."""
    made = _parser()
    options = made.parse_args(words)
    options.host, options.port = None, 0
    if options.peer:
        _place(made, options)
    _check(made, options)
    return options, made


def _parser() -> Parser:
    made = Parser(prog="dicos replay", description=_ABOUT, epilog=_AFTER, allow_abbrev=False)
    add = made.add_argument
    add("file", type=Path, metavar="FILE", help="the reproducer")
    add("peer", nargs="*", metavar="PEER",
        help="the peer that listens: HOST PORT, HOST:PORT, or AET@HOST:PORT with its AE title")  # fmt: skip
    add("--listen", type=host_and_port, metavar="[ADDRESS:]PORT",
        help="for a peer that calls: listen on this port, 0 for any free one")  # fmt: skip
    add("--trigger", type=_command, metavar="COMMAND",
        help="with --listen: the command that makes the peer call once; {port} stands for the port")  # fmt: skip
    add("--repeat", type=_times, default=TIMES, metavar="N", help="play it N times (default: %(default)s)")
    add("--i-own-this-peer", action="store_true", help="allow a peer that is not on this host")
    add("--time", type=seconds, default=SECONDS, metavar="SECONDS",
        help="most seconds for one conversation (default: %(default)g)")  # fmt: skip
    add("-aet", "--aet", type=title, default="DICOS-FUZZ", metavar="TITLE",
        help="AE title of this side in good echoes (default: %(default)s)")  # fmt: skip
    add("-aec", "--called-aet", type=title, metavar="TITLE",
        help=f"AE title of the peer in good echoes (default: the one in its address, else {DEFAULT_CALLED} and "
        "others)")  # fmt: skip
    add("--source-address", type=source_address, metavar="ADDRESS", help="local IP address to connect from")
    process = made.add_argument_group("the peer's process", "For findings in its memory, descriptors or output.")
    process.add_argument("--pid", type=count, metavar="PID", help="process id of a peer that runs on this host")
    process.add_argument(
        "--command", type=_command, metavar="COMMAND",
        help="start the peer by this command, and again after a crash; it is ended at the end",
    )  # fmt: skip
    process.add_argument("--log", type=Path, metavar="FILE", help="file into which the peer writes its log")
    exports = made.add_argument_group(
        "exports", "The last run that showed the finding; without a peer, the transcript in the file."
    )
    exports.add_argument("--export-pytest", type=Path, metavar="FILE", help="write a test that needs only Python")
    exports.add_argument("--export-pcapng", type=Path, metavar="FILE", help="write a capture file")
    exports.add_argument("--show", action="store_true", help="print what is in the reproducer, and play nothing")
    output = made.add_argument_group("output")
    output.add_argument("-v", "--verbose", action="store_true", help="print the transcript of every run")
    output.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    output.add_argument("--json", action="store_true", help="print one JSON object per line on standard output")
    made.set_defaults(debug=False)
    tls.add_options(made, provider=False)
    return made


def _place(made: Parser, options: argparse.Namespace) -> None:
    """Sets `host`, `port` and `called_aet` from the words of the peer."""
    words: list[str] = options.peer
    name, at, host = words[0].rpartition("@")
    bare = is_ipv6(host.partition("%")[0])
    named: str | None = None
    try:
        if not bare and host.rpartition("]")[2].rpartition(":")[1] == ":":
            found = parse_address(words[0])
            options.host, options.port, named = found.host, peer_port(found.port), found.aet
            left = words[1:]
        else:
            if len(words) < 2:
                made.error(f"{words[0]!a}: no port; expected HOST PORT or HOST:PORT")
            options.host = host if bare else parse_host(host, words[0])
            options.port, named = peer_port(port(words[1])), title(name) if at else None
            left = words[2:]
    except (ValueError, argparse.ArgumentTypeError) as error:
        made.error(str(error))
    if left:
        made.error(f"unrecognized arguments: {' '.join(left)}")
    if named is not None and options.called_aet not in (None, named):
        made.error(f"two called AE titles: -aec {options.called_aet!a}, and {named!a} in the address of the peer")
    options.called_aet = options.called_aet or named


def _check(made: Parser, options: argparse.Namespace) -> None:
    exports = options.export_pytest is not None or options.export_pcapng is not None or options.show
    if options.host is not None and options.listen is not None:
        made.error("a peer that listens, and --listen for one that calls: one of them")
    if options.host is None and options.listen is None and not exports:
        made.error("a peer is required: HOST PORT, or --listen PORT; only --show and the exports need none")
    if options.listen is None and options.trigger is not None:
        made.error("--trigger without --listen: it makes a peer call")
    if options.pid is not None and options.command is not None:
        made.error("--pid and --command: the peer runs, or is started")
    if options.host is None and (options.pid is not None or options.command is not None):
        made.error("--pid and --command are for a peer that listens: HOST PORT")


def _times(word: str) -> int:
    if not word.isdecimal() or not 1 <= int(word[:6]) <= MOST_TIMES:
        raise argparse.ArgumentTypeError(f"{word!a}: expected 1 to {MOST_TIMES}")
    return int(word)


def _command(word: str) -> list[str]:
    try:
        found = shlex.split(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{word!a}: {error}") from None
    if not found:
        raise argparse.ArgumentTypeError("an empty command")
    return found
