"""The `dicos` command: one subcommand a tool, named as this field names them.

Exit status: 0 all that was asked for succeeded, 1 an operation failed, 2 bad usage or unreadable input, 3 no
association could be made, 130 interrupted. A subcommand's module is imported only when it is chosen: `dicos echoscu`
starts fast.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from .text import guard, shown

SUBCOMMANDS: Final = {
    "echoscu": "ask a peer whether it is there (C-ECHO)",
    "echoscp": "answer C-ECHO",
    "storescu": "send files (C-STORE)",
    "storescp": "receive objects and make files of them (C-STORE)",
    "findscu": "ask a peer what it has (C-FIND)",
    "getscu": "fetch objects over the same association (C-GET)",
    "movescu": "have a peer send objects to a third one, or to this command (C-MOVE)",
}
OK, FAILED, USAGE, NO_ASSOCIATION, INTERRUPTED = 0, 1, 2, 3, 130


class OutputLost(Exception):
    """Standard output takes no more: `error` says why."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (that of the process if None); its exit status."""
    if sys.stdout is None:  # closed by whoever started it
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  until the process ends
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    guard()
    try:
        try:
            status = _dispatch(list(sys.argv[1:] if argv is None else argv))
        except SystemExit as end:  # argparse
            status = end.code if isinstance(end.code, int) else USAGE
        _flush()
    except KeyboardInterrupt:
        print("dicos: interrupted", file=sys.stderr)
        return INTERRUPTED
    except OutputLost as lost:
        if not isinstance(lost.error, BrokenPipeError):  # a reader that has gone is not worth a word
            print(f"error: standard output: {shown(lost.error.strerror)}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes it again
        return FAILED
    return status


def _dispatch(words: list[str]) -> int:
    name = words[0] if words else ""
    if name in SUBCOMMANDS:
        status: int = import_module(f".commands.{name}", __name__).main(words[1:])
        return status
    if name == "--version":
        print(f"dicos {version()}")
        return OK
    wanted = name in ("-h", "--help")
    print(_usage(), file=sys.stdout if wanted else sys.stderr)
    if wanted:
        return OK
    print(f"dicos: {name!a} is no subcommand" if name else "dicos: a subcommand is missing", file=sys.stderr)
    return USAGE


def _flush() -> None:
    try:
        sys.stdout.flush()
    except OSError as error:
        raise OutputLost(error) from None


def version() -> str:
    """The release of this distribution."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("dicos-proto")
    except PackageNotFoundError:
        return "of a checkout that is not installed"


def _usage() -> str:
    lines = [f"  {name:<10} {text}" for name, text in SUBCOMMANDS.items()]
    return "\n".join(("usage: dicos SUBCOMMAND ... (--help after a subcommand explains it)", "", *lines))
