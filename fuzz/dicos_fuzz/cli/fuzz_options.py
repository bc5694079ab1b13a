"""The options of `dicos fuzz`: read, checked, and made into the values that a campaign takes.

Knows: words of the command line. Must not know: how a campaign runs.

Refusals are usage errors: one line, exit status 2. A target that is not this host needs `--i-own-this-peer`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from dicos_transports.addresses import DEFAULT_CALLED, is_ipv6, parse_address, parse_host
from dicos_transports.cli import tls
from dicos_transports.cli.options import (
    LOOPBACK,
    Parser,
    associations,
    count,
    host_and_port,
    peer_port,
    port,
    seconds,
    source_address,
    title,
)

from ..campaign.settings import Settings

__all__ = ["ENGINE", "Parser", "looked_up", "parse"]

ENGINE: Final = "engine"
SECONDS: Final = 600.0
LARGEST_SEED: Final = (1 << 53) - 1
_ABOUT: Final = (
    "Send a peer that you own faulty and unusual conversations, and report every reaction that breaks the standard, "
    "hurts others or brings it down, each with a reproducer."
)
_AFTER: Final = (
    "Exit status: 0 nothing found, 1 findings, 2 bad usage, 3 no association, 4 standard output "
    "was lost and nothing was found, 130 interrupted. Never run this against "
    "a system in clinical or operational use: it may store objects, and it may crash."
)
_UNITS: Final = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_TIMES: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def parse(words: Sequence[str]) -> tuple[argparse.Namespace, Parser]:
    """Returns the options, checked, and the parser for further errors. Exits for bad usage."""
    made = _parser()
    options = made.parse_args(words)
    _place(made, options)
    _check(made, options)
    return options, made


def _parser() -> Parser:
    made = Parser(prog="dicos fuzz", description=_ABOUT, epilog=_AFTER, allow_abbrev=False)
    add = made.add_argument
    add("peer", nargs="*", metavar="PEER",
        help="the peer that listens: HOST PORT, HOST:PORT, or AET@HOST:PORT with its AE title")  # fmt: skip
    add("--listen", type=host_and_port, metavar="[ADDRESS:]PORT",
        help="fuzz a peer that calls: listen on this port, 0 for any free one")  # fmt: skip
    add("--trigger", type=_command, metavar="COMMAND",
        help="with --listen: the command that makes the peer call once; {port} stands for the port")  # fmt: skip
    add("-aet", "--aet", type=title, default="DICOS-FUZZ", metavar="TITLE",
        help="AE title of this side (default: %(default)s)")  # fmt: skip
    add("-aec", "--called-aet", type=title, metavar="TITLE",
        help=f"AE title of the peer (default: the one in its address, else {DEFAULT_CALLED} and others)")  # fmt: skip
    add("--source-address", type=source_address, metavar="ADDRESS", help="local IP address to connect from")
    _safety(made)
    _watching(made)
    _content(made)
    _output(made)
    tls.add_options(made, provider=False)
    return made


def _safety(made: Parser) -> None:
    group = made.add_argument_group("bounds", "Printed before anything is sent.")
    add = group.add_argument
    add("--i-own-this-peer", action="store_true", help="allow a peer that is not on this host")
    add("--time", type=_time, default=SECONDS, metavar="TIME",
        help="end after this time, as 90, 10m or 8h; findings that are open then may take a tenth of it more, or 10 s "
        "(default: 10m)")  # fmt: skip
    add("--conversations", type=count, default=0, metavar="N", help="end after N conversations (default: no bound)")
    add(
        "--rate",
        type=count,
        default=1000,
        metavar="N",
        help="most conversations a second, good echoes included (default: %(default)s)",
    )
    add("--max-bytes", type=_size, default=1 << 30, metavar="SIZE",
        help="most bytes to send in all, as 500k or 2G, without those of TLS (default: 1G)")  # fmt: skip
    add("--max-associations", type=associations, default=50, metavar="N",
        help="most connections at the same time (default: %(default)s)")  # fmt: skip


def _watching(made: Parser) -> None:
    group = made.add_argument_group("the peer's process", "Watched for exit, signals, memory, descriptors, threads, "
                                    "processor time and its output, where it runs on this host.")  # fmt: skip
    add = group.add_argument
    add("--pid", type=count, metavar="PID", help="process id of a peer that runs")
    add("--command", type=_command, metavar="COMMAND", help="start the peer by this command; it is ended at the end")
    add("--restart-command", type=_command, metavar="COMMAND",
        help="command that starts the peer again after a crash (default: --command)")  # fmt: skip
    add("--log", type=Path, metavar="FILE",
        help="file into which the peer writes its log; it is watched as the output of --command is")  # fmt: skip
    add("--keep-going", action="store_true", help="go on after a crash, with --restart-command or --command")


def _content(made: Parser) -> None:
    group = made.add_argument_group("conversations")
    add = group.add_argument
    add("--family", action="append", default=[], metavar="NAME",
        help="only this family of conversations; may be repeated; \"list\" lists them")  # fmt: skip
    add("--seed", type=_seed, metavar="N", help="seed of everything random, printed at the start (default: a new one)")
    add("--jobs", type=associations, metavar="N",
        help="processes that send; one repeats itself with the same seed (default: one for each processor, twice as "
        "many for a peer that is slow to answer)")  # fmt: skip
    add("--corpus", type=Path, metavar="DIR",
        help="folder of conversations that had new reactions: read at first, added to")  # fmt: skip
    add("--pcap", type=Path, action="append", default=[], metavar="FILE",
        help="begin with the associations in this capture file, without what was recorded of people; may be "
        "repeated")  # fmt: skip
    add("--known", type=Path, metavar="FILE", help="file with ids of known findings, one a line, which are masked")
    add("--compare", nargs="+", metavar=("HOST", "PORT"),
        help=f"send the same to a second peer, or to \"{ENGINE}\", our own provider; report differences")  # fmt: skip


def _output(made: Parser) -> None:
    group = made.add_argument_group("output")
    add = group.add_argument
    add("--output", type=Path, metavar="DIR", help="folder for reproducers and reports")
    add("--html", type=Path, metavar="FILE", help="write a report as one HTML page")
    add("--state", type=Path, metavar="DIR", help="folder that keeps the campaign, so that --resume goes on")
    add("--resume", type=Path, metavar="DIR", help="go on with the campaign in this folder")
    add("--json", action="store_true", help="print one JSON object per line on standard output")
    add("-v", "--verbose", action="store_true", help="print processing details")
    add("-q", "--quiet", action="store_true", help="print findings and errors only")
    made.set_defaults(debug=False)


def settings(options: argparse.Namespace, known: frozenset[str]) -> Settings:
    """Returns what the options allow a campaign."""
    return Settings(
        seconds=options.time,
        conversations=options.conversations,
        most_bytes=options.max_bytes,
        rate=float(options.rate),
        seed=options.seed,
        keep_going=options.keep_going,
        echo_every=25 if options.listen is None else 50,
        echo_seconds=1.0 if options.listen is None else 30.0,
        known=known,
    )


# -- the peer ----------------------------------------------------------------------------------------------------


def _place(made: Parser, options: argparse.Namespace) -> None:
    """Sets `host`, `port`, `called_aet` and `second`, None each if it is not given."""
    words = [*options.peer]
    options.second = None
    if options.compare is not None:
        words += _second(made, options)
    options.host, options.port = LOOPBACK, 0
    if not words:
        if options.listen is None:
            made.error("a peer is required: HOST PORT, or --listen PORT for one that calls")
        return
    if options.listen is not None:
        made.error("a peer that listens, and --listen for one that calls: one of them")
    try:
        options.host, options.port, named, left = _address(words)
    except ValueError as error:
        made.error(str(error))
    if left:
        made.error(f"unrecognized arguments: {' '.join(left)}")
    if named is not None and options.called_aet not in (None, named):
        made.error(f"two called AE titles: -aec {options.called_aet!a}, and {named!a} in the address of the peer")
    options.called_aet = options.called_aet or named


def _second(made: Parser, options: argparse.Namespace) -> list[str]:
    """Takes the second peer out of the words of `--compare`. Returns the words that are left."""
    words: list[str] = options.compare
    if words[0] == ENGINE:
        options.second = ENGINE
        return words[1:]
    try:
        host, number, named, left = _address(words)
    except ValueError as error:
        made.error(f"argument --compare: {error}")
    if named is not None:
        made.error(f"argument --compare: {words[0]!a}: both peers are called by the AE title of the first one")
    options.second = (host, number)
    return left


def _address(words: list[str]) -> tuple[str, int, str | None, list[str]]:
    """Returns host, port, AE title and the words that are left. Raises ValueError."""
    name, at, host = words[0].rpartition("@")
    bare = is_ipv6(host.partition("%")[0])
    if not bare and host.rpartition("]")[2].rpartition(":")[1] == ":":
        found = parse_address(words[0])
        return found.host, _of_peer(found.port), found.aet, words[1:]
    if len(words) < 2:
        raise ValueError(f"{words[0]!a}: no port; expected HOST PORT or HOST:PORT")
    try:
        number = peer_port(port(words[1]))
        aet = title(name) if at else None
    except argparse.ArgumentTypeError as error:
        raise ValueError(str(error)) from None
    return host if bare else parse_host(host, words[0]), number, aet, words[2:]


def _of_peer(number: int) -> int:
    try:
        return peer_port(number)
    except argparse.ArgumentTypeError as error:
        raise ValueError(str(error)) from None


def looked_up(host: str) -> tuple[str, bool]:
    """Returns the first address of a host, to be used from now on: a name may have another one later. True if every
    address of it is of this host. Raises OSError for a host without an address, UnicodeError for a text that cannot be
    a name."""
    found = [str(one[4][0]) for one in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    return found[0], all(ip_address(one.partition("%")[0]).is_loopback for one in found)


def _check(made: Parser, options: argparse.Namespace) -> None:
    if options.listen is None and options.trigger is not None:
        made.error("--trigger without --listen: it makes a peer call")
    if options.pid is not None and options.command is not None:
        made.error("--pid and --command: the peer runs, or is started")
    if options.listen is not None and options.command is not None:
        made.error("--command with --listen: --trigger makes a peer call; --pid watches one that runs")
    if options.listen is not None and options.compare is not None:
        made.error("--compare with --listen: a peer that calls cannot be made to say the same to another one")
    if options.listen is not None and options.pcap:
        made.error("--pcap with --listen: what a client said is sent to a peer that listens")
    if options.log is not None and options.pid is None and options.command is None:
        made.error("--log without --pid or --command: what it says is about a process that is watched")
    if options.restart_command is not None and options.pid is None and options.command is None:
        made.error("--restart-command without --pid or --command: nobody would see that it has crashed")
    if options.keep_going and options.restart_command is None and options.command is None and options.trigger is None:
        made.error("--keep-going needs a way to start the peer again: --restart-command or --command")
    if options.state is not None and options.resume is not None:
        made.error("--state begins a campaign, --resume goes on with one: one of them")
    if options.seed is not None and options.resume is not None:
        made.error("--seed with --resume: a campaign goes on with the seed that it has")
    if options.seed is None:
        options.seed = int.from_bytes(os.urandom(4), "big")


# -- values ------------------------------------------------------------------------------------------------------


def _command(word: str) -> list[str]:
    try:
        found = shlex.split(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{word!a}: {error}") from None
    if not found:
        raise argparse.ArgumentTypeError("an empty command")
    return found


def _with_unit(word: str, units: dict[str, int], what: str) -> float:
    number, unit = (word[:-1], word[-1].lower()) if word[-1:].isalpha() else (word, "")
    if unit not in units:
        raise argparse.ArgumentTypeError(f"{word!a}: expected {what}")
    try:
        value = seconds(number) * units[unit]
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{word!a}: expected {what}") from None
    if not 0 < value < 1e15:
        raise argparse.ArgumentTypeError(f"{word!a}: expected {what}")
    return value


def _time(word: str) -> float:
    return _with_unit(word, _TIMES, "a time, as 90, 10m or 8h")


def _size(word: str) -> int:
    return int(_with_unit(word, _UNITS, "a size, as 500k or 2G"))


def _seed(word: str) -> int:
    if not word.isdecimal() or len(word) > 16 or int(word) > LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"{word!a}: expected a number from 0 to {LARGEST_SEED}")
    return int(word)
