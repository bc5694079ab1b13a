"""The helper process: answers the requests of `helper`, one line of JSON each, until its station closes the connection.

    python -m dicos_transports.screening.child FD MEMORY PIXELS recogniser NAME
    python -m dicos_transports.screening.child FD MEMORY PIXELS clerk

MEMORY: most bytes of memory of the process, mapped files not counted. PIXELS: most bytes of the pixels of a compressed
scan.

The recogniser's output goes to standard error. An alarm of the kernel ends a process that works on one request for
too long, also when its station is gone and when the interpreter is held by foreign code.

Knows: requests, recognisers by name. Must not know: the index, the network. Invariant: the reason of a failure has the
type and the place of an exception, never its text, which may quote a data set.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from time import time
from typing import Any, Final

import dicos_proto
from dicos_proto.dicos.tdr_rules import FLAGS

from .folder import is_full
from .scan import CannotRecognise, Recogniser, Scan, Threat

GROUP: Final = "dicos_proto.recognisers"
BUILT_IN: Final = {
    "threshold": "dicos_transports.screening.detector:recognise",
    "nothing": "dicos_transports.screening.detector:nothing",
}
"""The recognisers that come with the station, which are there without an installation."""
OURS: Final = (Path(dicos_proto.__file__).resolve().parent, Path(__file__).resolve().parents[1])
"""The folders of this project's packages."""
EXTRA: Final = 5.0
"""Seconds beyond a request's time until the kernel ends the process."""


class NoRecogniser(Exception):
    """There is no recogniser of this name, or it cannot be imported."""


class NoThreats(Exception):
    """A recogniser returned something else than threats."""


def load(name: str) -> Recogniser:
    """Returns the recogniser `name`: built in, an entry point, or `module:function`. Raises `NoRecogniser`."""
    from importlib.metadata import entry_points

    for one in entry_points(group=GROUP, name=name):
        return _checked(name, one.load)
    place = BUILT_IN.get(name, name)
    module, colon, function = place.partition(":")
    if not colon:
        known = sorted({*BUILT_IN, *(one.name for one in entry_points(group=GROUP))})
        raise NoRecogniser(f"no recogniser {name!a}: expected module:function or one of {', '.join(known)}")
    return _checked(name, lambda: getattr(import_module(module), function))


def _checked(name: str, get: Callable[[], Any]) -> Recogniser:
    try:
        found = get()
    except Exception as error:  # anything may happen in a module of the user
        raise NoRecogniser(f"recogniser {name!a} cannot be loaded: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise NoRecogniser(f"recogniser {name!a} is not callable")
    recogniser: Recogniser = found
    return recogniser


class Answering:
    """Answers requests. `pixels`: most bytes that are decompressed. `name` and `recogniser`: none in a clerk."""

    def __init__(self, name: str = "", recogniser: Recogniser | None = None, *, pixels: int = 1 << 50) -> None:
        from . import reporting

        self._pixels = pixels
        self._name = name
        self._recogniser = recogniser
        self._reporting = reporting

    def recognise(self, scan: str, report: str) -> dict[str, Any]:
        """Has the scan recognised, and writes its report."""
        assert self._recogniser is not None
        begun = time()
        given = Scan(Path(scan))
        given.check_size(self._pixels)
        threats = _threats(self._recogniser(given))
        return self._reporting.machine(given, threats, Path(report), self._name, begun, time())

    def abort(self, scan: str, report: str, recogniser: str, reason: str, header: dict[str, str]) -> dict[str, Any]:
        """Writes the report of a scan that was not recognised."""
        return self._reporting.abort(Path(scan), header, Path(report), recogniser, reason)

    def operate(
        self, scan: str, report: str, machine: str, decision: str, operator: str, header: dict[str, str]
    ) -> dict[str, Any]:
        """Writes the report of an operator."""
        return self._reporting.operate(Path(scan), header, Path(report), Path(machine), decision, operator)

    def draw(self, scan: str, out: str, report: str | None) -> dict[str, Any]:
        """Draws the picture of a scan."""
        Scan(Path(scan)).check_size(self._pixels)
        return self._reporting.draw(Path(scan), None if report is None else Path(report), Path(out))


def answer(answering: Answering, request: dict[str, Any]) -> dict[str, Any]:
    """Answers one request; a failure is an answer too."""
    seconds, what = float(request.pop("seconds")), str(request.pop("do"))
    signal.setitimer(signal.ITIMER_REAL, seconds + EXTRA)
    try:
        found: dict[str, Any] = getattr(answering, what)(**request)
        return found
    except CannotRecognise as error:
        return {"error": str(error), "reason": "UNKNOWN_DATATYPE"}
    except NoThreats as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": "out of memory (--max-memory)"}
    except (Exception, SystemExit) as error:  # any fault of a recogniser
        return {"error": described(error), "full": is_full(error)}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _threats(found: object) -> list[Threat]:
    """The threats that a recogniser returned. Raises `NoThreats`: a forgotten `return` must not be a CLEAR."""
    if not isinstance(found, Iterable):
        kind = "None" if found is None else type(found).__name__
        raise NoThreats(f"the recogniser returned {kind} in place of a list of threats")
    threats = list(found)
    for one in threats:
        if not isinstance(one, Threat):
            raise NoThreats(f"the recogniser returned a {type(one).__name__} in place of a threat")
        if any(said.flag not in FLAGS for said in one.assessments):
            raise NoThreats(f"a threat has an unknown flag; {', '.join(FLAGS)} are allowed")
    return threats


def described(error: BaseException) -> str:
    """The type and the place of an exception, without its text: the last line that is not of this project, if any."""
    entered = list(traceback.extract_tb(error.__traceback__))
    frames = [one for one in entered if not _is_ours(one.filename)] or entered
    where = f" in {frames[-1].name}, {Path(frames[-1].filename).name} line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


def _is_ours(file: str) -> bool:
    path = Path(file).resolve()
    return any(path.is_relative_to(one) for one in OURS)


def main(words: list[str]) -> int:
    """Serves the connection until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the station, which ends this process
    connection = socket.socket(fileno=int(words[0]))
    try:
        _limit_memory(int(words[1]))
        pixels, kind = int(words[2]), words[3]
        answering = Answering(pixels=pixels) if kind == "clerk" else Answering(words[4], load(words[4]), pixels=pixels)
        ready: dict[str, Any] = {"ready": os.getpid()}
    except NoRecogniser as error:
        ready = {"error": str(error)}
    with suppress(ConnectionError), connection, connection.makefile("rb") as lines:  # the station may be killed
        connection.sendall(json.dumps(ready).encode() + b"\n")
        if "error" in ready:
            return 1
        for line in lines:
            connection.sendall(json.dumps(answer(answering, json.loads(line))).encode() + b"\n")
    return 0


def _limit_memory(most: int) -> None:
    """Has the system refuse more memory than this: that is a MemoryError here. Files that are mapped do not count."""
    try:
        import resource
    except ImportError:  # Windows
        return
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _end_with_station() -> None:
    """Ends this process when the station is gone, even in the middle of a request."""
    parent = os.getppid()

    def watch() -> None:
        pause = threading.Event()
        while not pause.wait(1.0):
            if os.getppid() != parent:
                os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    _end_with_station()
    sys.exit(main(sys.argv[1:]))
