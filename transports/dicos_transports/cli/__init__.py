"""The `dicos` command, with one subcommand for each of the tools that DICOM users know.

Exit status: 0 if everything succeeded, 1 if an operation failed, 2 for bad usage or unreadable input, 3 if no
association was established, 130 if interrupted. Where 1 would say that something was found, 4 says that standard output
was lost and nothing was found. A subcommand's module is imported only when it is chosen, so that
`dicos echoscu` starts fast.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from .text import guard, shown

SUBCOMMANDS: Final = {
    "echoscu": "check that a peer answers (C-ECHO)",
    "echoscp": "answer C-ECHO requests",
    "storescu": "send files to a peer (C-STORE)",
    "storescp": "receive objects and store them as files (C-STORE)",
    "findscu": "query a peer (C-FIND)",
    "getscu": "retrieve objects over the same association (C-GET)",
    "movescu": "have a peer send objects to another one, or to this command (C-MOVE)",
    "screen": "screening station: receive scans, find threats, send reports, serve a page",
    "show": "draw a scan and the threats that were found in it",
    "validate": "check DICOS files against the rules of their modules",
    "fuzz": "send a peer that you own faulty conversations, and report what it does wrong",
    "replay": "run a finding of dicos fuzz again, or export it as a test or a capture",
    "faultproxy": "pass connections on to a peer, with faults of a plan",
    "trace": "show the associations in a capture file, or between two peers",
}
ELSEWHERE: Final[dict[str, str]] = {
    name: f"dicos_fuzz.cli.{name}" for name in ("fuzz", "replay", "faultproxy", "trace")
}
"""Subcommand -> its module, where it is not one of `commands`."""
EXTRAS: Final[dict[str, str]] = {**dict.fromkeys(ELSEWHERE, "fuzz"), "show": "show", "validate": "dicos"}
"""Subcommand -> the extra with the libraries that it needs."""
OK, FAILED, USAGE, NO_ASSOCIATION, LOST, INTERRUPTED = 0, 1, 2, 3, 4, 130
FINDS: Final = ("fuzz", "replay", "faultproxy", "validate")
"""Subcommands whose status 1 says something else than that the command failed."""


class OutputLost(Exception):
    """Standard output cannot be written any more; `error` says why. `status`: the exit status, None for the usual one
    of the subcommand."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error
        self.status: int | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv`, by default that of the process. Returns the exit status."""
    if sys.stdout is None:  # closed by the parent process
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  until the process ends
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    guard()
    words = list(sys.argv[1:] if argv is None else argv)
    finds = words[:1] != [] and words[0] in FINDS
    status = OK
    try:
        try:
            status = _dispatch(words)
        except SystemExit as end:  # argparse
            status = end.code if isinstance(end.code, int) else USAGE
        _flush()
    except KeyboardInterrupt:
        print("dicos: interrupted", file=sys.stderr)
        return INTERRUPTED
    except OutputLost as lost:
        # A reader that closed its end is not an error to report, unless it ended work that nobody watches.
        if finds or not isinstance(lost.error, BrokenPipeError):
            print(f"error: standard output: {shown(lost.error.strerror)}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes it again
        return lost.status or status or (LOST if finds else FAILED)
    return status


def _dispatch(words: list[str]) -> int:
    name = words[0] if words else ""
    if name in SUBCOMMANDS:
        try:
            module = import_module(ELSEWHERE.get(name) or f"{__name__}.commands.{name}")
        except ModuleNotFoundError as error:
            if name not in EXTRAS:
                raise
            print(
                f"error: dicos {name} needs more libraries ({error.name}): pip install '.[{EXTRAS[name]}]' "
                "in a checkout",
                file=sys.stderr,
            )
            return USAGE
        status: int = module.main(words[1:])
        return status
    if name == "--version":
        print(f"dicos {version()}")
        return OK
    if name in ("-h", "--help"):
        print(_usage())
        return OK
    print(f"dicos: {_unknown(name)}; see dicos --help", file=sys.stderr)
    return USAGE


def _unknown(name: str) -> str:
    """The error for the first word, with the subcommands that it may stand for."""
    if not name:
        return f"a subcommand is required: {', '.join(SUBCOMMANDS)}"
    from difflib import get_close_matches

    close = get_close_matches(name, SUBCOMMANDS)
    return f"unknown subcommand {name!a}" + (f": did you mean {' or '.join(close)}?" if close else "")


def _flush() -> None:
    try:
        sys.stdout.flush()
    except OSError as error:
        raise OutputLost(error) from None


def version() -> str:
    """Return the version of the installed distribution."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("dicos-proto")
    except PackageNotFoundError:
        return "(version unknown: not installed)"


def _usage() -> str:
    lines = [f"  {name:<10} {text}" for name, text in SUBCOMMANDS.items()]
    return "\n".join(("usage: dicos SUBCOMMAND ... (see dicos SUBCOMMAND --help)", "", *lines))
