"""`python -m dicos_fuzz.inside.differential --against pynetdicom|tshark|dcmdump`: compares, and prints the differences.

Knows: arguments. Must not know: how the implementations are compared.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from dicos_transports.cli.options import Parser

from .comparing import Other, compare, table

__all__ = ["OTHERS", "main"]


def _pynetdicom() -> Other:
    from .of_pynetdicom import Pynetdicom

    return Pynetdicom()


def _tshark() -> Other:
    from .of_tshark import Tshark

    return Tshark()


def _dcmdump() -> Other:
    from .of_dcmdump import Dcmdump

    return Dcmdump()


OTHERS: Final[Mapping[str, Callable[[], Other]]] = {"pynetdicom": _pynetdicom, "tshark": _tshark, "dcmdump": _dcmdump}
"""The other implementations by name."""


def _parser() -> Parser:
    parser = Parser(
        prog="python -m dicos_fuzz.inside.differential",
        description="Compares the engine's decoders with another implementation, on valid and damaged input. Exit "
        "status 0: no difference, or only explained ones; 1: others, which are printed with their input; 3: the other "
        "implementation is not installed.",
    )
    parser.add_argument("--against", required=True, choices=tuple(OTHERS), help="the other implementation")
    parser.add_argument("--seconds", type=float, default=60.0, help="time to run (60)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed makes the same inputs (0)")
    return parser


def main(words: Sequence[str]) -> int:
    """Runs the command. Returns its exit status."""
    parser = _parser()
    given = parser.parse_args(words)
    if given.seconds <= 0:
        parser.error("--seconds above 0")
    other = OTHERS[given.against]()
    missing = other.missing()
    if missing is not None:
        print(missing, file=sys.stderr)
        return 3
    tally = compare(other, given.seconds, given.seed)
    print(table(other, tally))
    return 1 if tally.unexplained else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
