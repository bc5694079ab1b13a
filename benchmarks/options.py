"""The options of both ends of one run, for every implementation: one JSON object on the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal, NoReturn

Role = Literal["scp", "scu"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`listing`: a file with the names of the files to send, one a line, all sent `repeat` times; `echoes`: the
    number of C-ECHOs to send instead. `folder`: for received objects; empty: they are discarded. `tls`: the folder
    with `key.pem` and `cert.pem`; empty: no TLS. `loop`: an event loop instead of threads. `associations`: at the
    same time, from one process.
    """

    pdu: int = 131_072
    window: int = 1
    associations: int = 1
    loop: bool = False
    tls: str = ""
    folder: str = ""
    port: int = 0
    listing: str = ""
    repeat: int = 1
    echoes: int = 0

    def command(self, side: str, role: Role) -> list[str]:
        """The command that starts a Python side."""
        return [sys.executable, "-m", f"benchmarks.side_{side}", role, json.dumps(asdict(self))]

    def paths(self) -> list[Path]:
        """The files to send, in order, with repetitions."""
        lines = Path(self.listing).read_text().splitlines()
        paths = {line: Path(line) for line in dict.fromkeys(lines)}  # making one takes a tenth of the time of a C-STORE
        return [paths[line] for line in lines] * self.repeat

    def shares(self) -> list[list[Path]]:
        """The files of each association."""
        paths = self.paths()
        return [paths[at :: self.associations] for at in range(self.associations)]


def tell(begun: float) -> None:
    """Print the result of a client: seconds since `begun`, and its peak memory in bytes."""
    print(json.dumps({"seconds": perf_counter() - begun, "peak": high_water("self")}))


def high_water(process: int | str) -> int:
    """VmHWM of a process in bytes; 0 if the system has none."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def main(scp: Callable[[Options], None], scu: Callable[[Options], None], usage: str | None) -> None:
    """Run the side that the command line names."""
    match sys.argv[1:]:
        case ["scp", given]:
            scp(Options(**json.loads(given)))
        case ["scu", given]:
            scu(Options(**json.loads(given)))
        case _:
            fail(usage or "")


def fail(why: str) -> NoReturn:
    sys.exit(why)
