"""`python -m dicos_fuzz.inside.coverage`: runs the directed drivers and prints the table of what they reach."""

from __future__ import annotations

import sys

from .driving import Unreached, drive
from .record import Coverage


def main() -> int:
    """Runs the command. Returns its exit status: 1 if something that can be reached was not."""
    coverage = Coverage()
    try:
        drive(coverage)
    except Unreached as fault:
        print(f"a driver did not reach its end: {fault}", file=sys.stderr)
    print(coverage.report())
    return 1 if coverage.missing() else 0


if __name__ == "__main__":
    sys.exit(main())
