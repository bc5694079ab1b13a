"""`python -m dicos_fuzz.broken`: serves until SIGTERM or SIGINT, and prints its port first.

Knows: the command line. Must not know: what a defect does.

It is broken on purpose, so it listens on loopback only, and ends with the process that has started it.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Sequence

from dicos_transports.addresses import ListenFailed
from dicos_transports.cli import OK, USAGE
from dicos_transports.cli.options import Parser, port
from dicos_transports.cli.text import shown

from .defects import DEFECTS, NONE
from .hooks import Hooks
from .provider import Provider


def main(words: Sequence[str] | None = None) -> int:
    """Serves. Returns the exit status."""
    parent = os.getppid()  # before the port is printed: who waits for it may end at once
    parser = Parser(prog="python -m dicos_fuzz.broken", allow_abbrev=False,
                    description="A provider with one defect, to measure a fuzzer. It listens on loopback.")  # fmt: skip
    parser.add_argument("--port", type=port, default=0, help="TCP port, 0 for any free one (default: %(default)s)")
    parser.add_argument("--bind", choices=("127.0.0.1", "::1"), default="127.0.0.1",
                        help="address to listen on (default: %(default)s)")  # fmt: skip
    parser.add_argument("--defect", choices=(NONE, *DEFECTS), default=NONE, metavar="NAME",
                        help=f"the defect, {NONE} for none (default: %(default)s); --list names them")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="list the defects and exit")
    options = parser.parse_args(words)
    if options.list:
        width = max(map(len, DEFECTS))
        for defect in DEFECTS.values():
            print(f"{defect.name:<{width}}  {defect.about} [{defect.clause}]")
        return OK
    hooks = Hooks() if options.defect == NONE else DEFECTS[options.defect].hooks()
    stopping = {signal.SIGTERM, signal.SIGINT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stopping)  # before there are threads, which have the same mask
    try:
        server = Provider(hooks, port=options.port, host=options.bind)
    except ListenFailed as error:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        print(f"error: {shown(str(error))}", file=sys.stderr)
        return USAGE
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # crashes are expected
    print(server.port, flush=True)
    while signal.sigtimedwait(stopping, 1.0) is None and os.getppid() == parent:
        pass
    os._exit(OK)  # some of its threads may hang on purpose


if __name__ == "__main__":
    sys.exit(main())
