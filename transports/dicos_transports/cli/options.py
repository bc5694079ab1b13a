"""Options that several subcommands have, with the names and meanings of DCMTK and pynetdicom where those agree."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final, NoReturn

from dicos_proto.limits import DEFAULT_MAX_LENGTH, SMALLEST_MAX_LENGTH
from dicos_proto.registry import uids
from dicos_proto.timers import Timeouts
from dicos_proto.tolerance import FIELD, STRATOVAN, STRICT, Tolerance
from dicos_proto.upper_layer.recognition import AUTOMATIC
from dicos_proto.upper_layer.titles import is_title

from ..addresses import (
    DEFAULT_CALLED,
    KEEPALIVE,
    LONGEST_KEEPALIVE,
    Address,
    NamedAddress,
    SourceAddress,
    check_keepalive,
    is_address,
    is_ipv6,
    is_network_address,
    parse_address,
    parse_host,
    source_of,
)
from . import USAGE, tls, version
from .runtimes.runtime import TRANSPORTS
from .text import shown

APPLICATION_CONTEXTS: Final = {
    "dicom": uids.DICOM_APPLICATION_CONTEXT,
    "dicos": uids.DICOS_APPLICATION_CONTEXT_V03,
    "dicos-v03": uids.DICOS_APPLICATION_CONTEXT_V03,
    "dicos-v02a": uids.DICOS_APPLICATION_CONTEXT_V02A,
}
TOLERANCES: Final = {"strict": STRICT, "field": FIELD, "auto": AUTOMATIC, "stratovan": STRATOVAN}
LOOPBACK: Final = "127.0.0.1"
_DEFAULT = Timeouts()


class Parser(argparse.ArgumentParser):
    """An argument parser whose error messages are one line, without the usage, which would hide them. They are escaped,
    because they quote words of the command line."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {shown(message)}; see {self.prog} --help\n")


class _Version(argparse.Action):
    """Looks the version up only on request, because that takes longer than the rest of the start."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        print(f"dicos {version()}")
        parser.exit()


def add_output(made: Parser) -> argparse._ArgumentGroup:
    """Add the options for the output, which every subcommand has."""
    made.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    output = made.add_argument_group("output")
    output.add_argument("-v", "--verbose", action="store_true", help="print processing details")
    output.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    output.add_argument("--json", action="store_true", help="print one JSON object per line on standard output")
    return output


def parser(name: str, text: str, kind: type[Parser] = Parser) -> Parser:
    """Return a parser with the options of every subcommand that uses the network."""
    made = kind(prog=f"dicos {name}", description=text, allow_abbrev=False)
    add_output(made).add_argument("-d", "--debug", action="store_true", help="also print every PDU, dissected")
    network = made.add_argument_group("network")
    network.add_argument(
        "--transport", type=transport, default="blocking", metavar="NAME",
        help=f"network library to use: {', '.join(TRANSPORTS)} (default: %(default)s)",
    )  # fmt: skip
    network.add_argument(
        "--tolerance", choices=TOLERANCES, default="field",
        help="deviations from the standard to accept from the peer, with a warning for each: none, common and "
        "harmless ones, those and the ones of Stratovan's toolkit from a peer that is recognized as it, or those of "
        "Stratovan's toolkit from every peer (default: %(default)s)",
    )  # fmt: skip
    network.add_argument(
        "--max-pdu", type=max_pdu, metavar="BYTES",
        help=f"maximum length of received P-DATA-TF PDUs, 0 for no limit (default: {DEFAULT_MAX_LENGTH}; with "
        "--tolerance stratovan: 0)",
    )  # fmt: skip
    for short, long, seconds, what in (
        ("-ta", "--acse-timeout", _DEFAULT.association, "the first PDU, the association response and the release"),
        ("-td", "--dimse-timeout", _DEFAULT.response, "the next message, or the rest of one"),
        ("-tn", "--network-timeout", _DEFAULT.pdu, "the rest of a PDU, an idle peer, or one that accepts no data"),
    ):
        network.add_argument(
            short, long, type=seconds_or_none, default=seconds, metavar="SECONDS",
            help=f"timeout for {what}; 0 for no timeout (default: %(default)g)",
        )  # fmt: skip
    network.add_argument(
        "--keepalive", type=keepalive, default=KEEPALIVE, metavar="SECONDS",
        help="seconds of silence before TCP keepalive checks that the peer's host is still there, 1 to 32767, or "
        "\"off\" (default: %(default)g)",
    )  # fmt: skip
    return made


class UserParser(Parser):
    """The parser of a subcommand that requests associations. Its peer is HOST PORT or, as one word, [AET@]HOST:PORT."""

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse the words. `host`, `port` and `called_aet` are set in both notations of the peer."""
        found, unknown = self.parse_known_intermixed_args(args, namespace)
        self._place(found, unknown)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found

    parse_intermixed_args = parse_args  # type: ignore[assignment]

    def _place(self, options: argparse.Namespace, unknown: list[str]) -> None:
        """Split the peer's address. If it was one word, a word parsed as the port is given back to the arguments."""
        peer, second = options.host, options.port
        title_of, at, host = peer.rpartition("@")
        bare = second is not None and is_ipv6(host.partition("%")[0])  # IPv6 without brackets, its port apart
        try:
            if bare or not _has_port(host):
                if second is None and getattr(options, "paths", None):
                    self.error("the following arguments are required: PATH")
                if second is None:
                    parse_address(peer)  # raises an error that names the missing part
                options.host = host if bare else parse_host(host, peer)
                options.port = peer_port(port(second))
                aet = title(title_of) if at else None
            else:
                if second is not None and hasattr(options, "paths"):
                    from pathlib import Path  # there is one already

                    options.paths.insert(0, Path(second))
                elif second is not None and second.isdecimal():
                    self.error(f"the port is given twice: {peer!a} and {second!a}")
                elif second is not None:
                    unknown.insert(0, second)
                found = parse_address(peer)
                options.host, options.port, aet = found.host, peer_port(found.port), found.aet
        except ValueError as error:
            self.error(f"argument host: {error}")
        except argparse.ArgumentTypeError as error:
            self.error(f"argument port: {error}")
        if aet is not None and options.called_aet not in (None, aet):
            self.error(f"two called AE titles: -aec {options.called_aet!a}, and {aet!a} in the address of the peer")
        options.called_aet = options.called_aet or aet or DEFAULT_CALLED


def _has_port(place: str) -> bool:
    return place.rpartition("]")[2].rpartition(":")[1] == ":"


def user_parser(name: str, text: str) -> argparse.ArgumentParser:
    """Return a parser for a subcommand that requests associations."""
    made = parser(name, text, UserParser)
    made.add_argument("host",
                      help="the peer: HOST PORT, HOST:PORT, or AET@HOST:PORT with its AE title; IPv6 addresses as "
                      "[::1]:PORT")  # fmt: skip
    made.add_argument("port", nargs="?", help="TCP port of the peer, if the host is given without it")
    titles(made, calling="DICOS_PROTO")
    made.add_argument("-aec", "--called-aet", type=title, metavar="TITLE",
                      help="called AE title (default: the one in the peer's address, else "
                      f"{DEFAULT_CALLED})")  # fmt: skip
    made.add_argument("--source-address", type=source_address, metavar="ADDRESS[:PORT]",
                      help="local IP address, and port, to connect from")  # fmt: skip
    made.add_argument("--application-context", type=application_context, default="dicom", metavar="NAME",
                      help="application context: dicom, dicos (= dicos-v03), dicos-v02a, or a UID "
                      "(default: %(default)s)")  # fmt: skip
    made.add_argument("-tc", "--connect-timeout", type=seconds_or_none, default=_DEFAULT.connect, metavar="SECONDS",
                      help="timeout for the TCP connection; 0 for no timeout (default: %(default)g)")  # fmt: skip
    tls.add_options(made, provider=False)
    return made


def provider_parser(name: str, text: str) -> argparse.ArgumentParser:
    """Return a parser for a subcommand that accepts associations; parse with `provider_options`."""
    made = parser(name, text)
    made.add_argument("port", type=listening, nargs="?",
                      help="TCP port to listen on, 0 for any free one; also ADDRESS:PORT, or AET@ADDRESS:PORT with "
                      "this provider's AE title")  # fmt: skip
    titles(made, calling=None)
    where = made.add_argument_group("listening", "Listens on PORT and every --listen, or with --activated.")
    where.add_argument("--bind", metavar="ADDRESS",
                       help=f"local address for PORT, 0.0.0.0 for all interfaces (default: {LOOPBACK})")  # fmt: skip
    where.add_argument("--listen", type=unix_path, action="append", default=[], metavar="PATH|ADDRESS:PORT",
                       help="listen on a Unix socket, or on another ADDRESS:PORT; may be repeated")  # fmt: skip
    where.add_argument("--reuse-port", action="store_true",
                       help="share PORT with other processes, with connections distributed among them "
                       "(SO_REUSEPORT)")  # fmt: skip
    where.add_argument("--activated", action="store_true",
                       help="listen only on the sockets that systemd passes (socket activation)")  # fmt: skip
    watched = made.add_argument_group("monitoring")
    watched.add_argument("--metrics", type=host_and_port, metavar="[ADDRESS:]PORT",
                         help="serve Prometheus metrics over HTTP on this port, 0 for any free one "
                         f"(default address: {LOOPBACK})")  # fmt: skip
    watched.add_argument("--log-json", action="store_true",
                         help="log one JSON object per line on standard error, instead of text")  # fmt: skip
    made.add_argument("--require-called-aet", action="store_true",
                      help="reject associations that call another AE title than this provider's")  # fmt: skip
    made.add_argument("--max-associations", type=count, default=100, metavar="N",
                      help="maximum number of simultaneous associations (default: %(default)s)")  # fmt: skip
    made.add_argument("--max-per-address", type=count, default=10, metavar="N",
                      help="maximum number of these from one address, or one IPv6 network "
                      "(default: %(default)s)")  # fmt: skip
    made.add_argument("--grace", type=seconds, default=10.0, metavar="SECONDS",
                      help="seconds that operations get to finish on shutdown (default: %(default)g)")  # fmt: skip
    tls.add_options(made, provider=True)
    return made


def provider_options(made: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """Parse the words. Exits with a usage error if they name nothing to listen on, or contradict each other."""
    options = made.parse_args(words)
    _place_provider(made, options)
    if options.activated:
        for given, name in (
            (options.port is not None, "a port"),
            (options.bind is not None, "--bind"),
            (options.listen, "--listen"),
            (options.reuse_port, "--reuse-port"),
        ):
            if given:
                made.error(f"{name} cannot be combined with --activated, which listens on systemd's sockets only")
    elif options.port is None:
        if not options.listen:
            made.error("nothing to listen on: a port, --listen PATH or --activated is required")
        if options.bind is not None:
            made.error("--bind without a port: it is the address for PORT, and a Unix socket has none")
        if options.reuse_port:
            made.error("--reuse-port without a port")
    if options.bind is None:
        options.bind = LOOPBACK
    return options


def _place_provider(made: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Split PORT, which may be ADDRESS:PORT or AET@ADDRESS:PORT."""
    given = options.port
    if isinstance(given, NamedAddress):
        if options.bind is not None:
            made.error(f"two addresses to listen on: --bind {options.bind}, and {given.host} before the port")
        if given.aet is not None and options.aet not in (None, given.aet):
            made.error(f"two AE titles: -aet {options.aet!a}, and {given.aet!a} in the address to listen on")
        options.bind, options.port, options.aet = given.host, given.port, options.aet or given.aet
    options.aet = options.aet or DEFAULT_CALLED


def titles(made: argparse.ArgumentParser, *, calling: str | None) -> None:
    shown = DEFAULT_CALLED if calling is None else calling
    made.add_argument("-aet", "--aet", type=title, default=calling, metavar="TITLE",
                      help=f"AE title of this application (default: {shown})")  # fmt: skip


def timeouts(options: argparse.Namespace) -> Timeouts:
    """Return the timeouts that the options ask for."""
    acse, dimse, network = options.acse_timeout, options.dimse_timeout, options.network_timeout
    return Timeouts(
        artim=acse,
        association=acse,
        release=acse,
        message=dimse,
        response=dimse,
        pdu=network,
        idle=network,
        write_stall=network,
        connect=getattr(options, "connect_timeout", None),
    )


def max_length(options: argparse.Namespace) -> int:
    """Return the Maximum Length to propose.

    It is 0 for Stratovan's toolkit, which ignores the limit and sends a whole object in one PDV.
    """
    said: int | None = options.max_pdu
    if said is not None:
        return said
    return 0 if TOLERANCES[options.tolerance] is STRATOVAN else DEFAULT_MAX_LENGTH


def tolerance(options: argparse.Namespace) -> Tolerance:
    """Return the tolerance that `--tolerance` names."""
    return TOLERANCES[options.tolerance]


# -- types of option values --------------------------------------------------------------------------------------


def transport(word: str) -> str:
    if word not in TRANSPORTS:
        raise argparse.ArgumentTypeError(f"{word!a}: expected {', '.join(TRANSPORTS)}")
    if word == "trio":
        from importlib.util import find_spec

        if find_spec(word) is None:
            raise argparse.ArgumentTypeError("trio is not installed: pip install '.[trio]' in a checkout")
    return word


def port(word: str) -> int:
    return _number(word, 0, 65535, "port ")


def peer_port(number: int) -> int:
    """Return the port of a peer. Raises ArgumentTypeError for 0, which only a listening socket may have."""
    if not number:
        raise argparse.ArgumentTypeError("port 0: a peer has a port from 1 to 65535")
    return number


def listening(word: str) -> int | NamedAddress:
    """Parse what a provider listens on: `11112`, `0.0.0.0:11112`, `[::]:11112`, `STORE@0.0.0.0:11112`."""
    if ":" not in word and "@" not in word:
        if not word.isdecimal():
            raise argparse.ArgumentTypeError(f"{word!a}: not a port; expected PORT, ADDRESS:PORT or AET@ADDRESS:PORT")
        return port(word)
    try:
        return parse_address(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).replace("HOST:PORT", "ADDRESS:PORT")) from None


def source_address(word: str) -> SourceAddress:
    """Parse a local address: `10.0.0.5`, `10.0.0.5:2000`, `::1`, `[::1]`, `[::1]:2000`."""
    found: SourceAddress = word
    try:
        if ":" in word and not is_ipv6(word.partition("%")[0]):
            found = parse_address(word).where if _has_port(word) else parse_host(word)
        source_of(found, unix=False)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return found


def keepalive(word: str) -> float | None:
    if word.lower() == "off":
        return None
    value = seconds(word)
    try:
        check_keepalive(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word!a}: expected 1 to {LONGEST_KEEPALIVE} seconds, or off") from None
    return value


def host_and_port(word: str) -> tuple[str, int]:
    """Parse a port with or without an address: `9104`, `0.0.0.0:9104`, `[::1]:9104`."""
    address, number = port_with_address(word)
    return address or LOOPBACK, number


def port_with_address(word: str) -> tuple[str | None, int]:
    """Parse `11112`, `0.0.0.0:11112` or `[::1]:11112`; the address is None if there is none."""
    if ":" not in word:
        return None, port(word)
    try:
        found = parse_address(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if found.aet is not None:
        raise argparse.ArgumentTypeError(f"{word!a}: expected PORT or ADDRESS:PORT, without an AE title")
    return found.where


def unix_path(word: str) -> Address:
    if not word:  # Linux would choose a name for it
        raise argparse.ArgumentTypeError("an empty path")
    if is_network_address(word):
        return host_and_port(word)
    if is_address(word) or word == "localhost":
        raise argparse.ArgumentTypeError(
            f"{word!a}: no port given; expected ADDRESS:PORT, or ./{word} for a Unix socket"
        )
    return word


def count(word: str) -> int:
    return _number(word, 1, 1_000_000_000)


def count_or_none(word: str) -> int:
    return _number(word, 0, 1_000_000_000)


def associations(word: str) -> int:
    return _number(word, 1, 256)


def window(word: str) -> int:
    return _number(word, 0, 0xFFFF)


def max_pdu(word: str) -> int:
    value = _number(word, 0, 0xFFFFFFFF)
    if 0 < value < SMALLEST_MAX_LENGTH:
        raise argparse.ArgumentTypeError(f"{value}: expected 0, or at least {SMALLEST_MAX_LENGTH}")
    return value


def _number(word: str, least: int, most: int, what: str = "") -> int:
    if not word.isdecimal() or not least <= int(word) <= most:
        raise argparse.ArgumentTypeError(f"{what}{word!a}: expected {least} to {most}")
    return int(word)


def seconds(word: str) -> float:
    try:
        value = float(word) if word.isascii() and "_" not in word else -1.0  # float() reads 1_0 as 10
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError(f"{word!a}: expected seconds, 0 or more")
    return value


def seconds_or_none(word: str) -> float | None:
    return seconds(word) or None


def title(word: str) -> str:
    found = word.strip(" ")
    if not is_title(found):
        raise argparse.ArgumentTypeError(
            f"{word!a}: expected 1 to 16 ASCII characters, no backslash, no control characters, not only spaces"
        )
    return found


def application_context(word: str) -> str:
    found = APPLICATION_CONTEXTS.get(word.lower(), word)
    if not uids.is_valid(found):
        raise argparse.ArgumentTypeError(f"{word!a}: expected {', '.join(APPLICATION_CONTEXTS)}, or a UID")
    return found
