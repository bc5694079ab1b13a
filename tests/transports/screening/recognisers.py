"""Recognisers that do what recognisers should not, for `dicos screen --recogniser`."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any


def raises(scan: Any) -> list[Any]:
    raise ValueError("the passenger's name is in this text")


def hangs(scan: Any) -> list[Any]:
    time.sleep(3600)
    return []


def dies(scan: Any) -> list[Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def dies_once(scan: Any) -> list[Any]:
    """Ends its process for the first scan only; the file that `STATION_MARK` names remembers."""
    mark = Path(os.environ["STATION_MARK"])
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return []


def kills_station_once(scan: Any) -> list[Any]:
    """Kills the station in the middle of the recognition, once."""
    mark = Path(os.environ["STATION_MARK"])
    if not mark.exists():
        mark.touch()
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(3600)
    return []


def slow(scan: Any) -> list[Any]:
    time.sleep(0.1)
    return []


def prints(scan: Any) -> list[Any]:
    print("a line on standard output\n" * 1000)
    return []


def exits(scan: Any) -> list[Any]:
    raise SystemExit(3)


def answers_nonsense(scan: Any) -> Any:
    return 7


def forgets_to_return(scan: Any) -> None:
    pass


def misspells(scan: Any) -> list[Any]:
    from dicos_transports.screening import Threat

    return [Threat.from_mask(scan.volume >= 0, geometry=scan.geometry, flag="threat")]


def marks_nothing(scan: Any) -> list[Any]:
    from dicos_transports.screening import Threat

    return [Threat.from_mask(scan.volume < 0)]


not_callable = 3


def some(scan: Any) -> Any:
    """The threshold recogniser for the first bag, nothing for the second, and it fails for the third."""
    from dicos_transports.screening.detector import recognise

    bag = str(scan.heading.PatientID)
    if bag.endswith("3"):
        raise RuntimeError("the third bag")
    return recognise(scan) if bag.endswith("1") else []


def devours(scan: Any) -> list[Any]:
    """Takes all memory that it gets, up to 4 GB."""
    taken = [bytearray(64 << 20) for _ in range(64)]
    return taken[:0]


def looks(scan: Any) -> list[Any]:
    """Reads each voxel."""
    scan.volume.max()
    return []
