"""The output of a peer, line by line: bounded, and searched for reports of sanitizers, panics and dead threads.

Knows: the forms of these reports. Must not know: processes, conversations.

Invariants: memory is bounded (`LINES`, `LONGEST`). A complaint has names of functions and of kinds of errors only,
never the text of a message: that may hold values from a data set, and would make each report look like a new one.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import Final

from ..finding import Severity

__all__ = ["LINES", "LONGEST", "Complaint", "Log"]

LINES: Final = 400
LONGEST: Final = 1_000
COMPLAINTS: Final = 100
"""Complaints that are kept until they are taken. Stops: a peer that prints a million tracebacks."""

_SANITIZER: Final = re.compile(r"(Address|Memory|Thread|Leak|UndefinedBehavior|HWAddress)Sanitizer: ([\w-]+)")
_UNDEFINED: Final = re.compile(r"([\w./-]+):\d+:\d+: runtime error: ((?:[a-z]+ ?){1,6})")
_FRAME: Final = re.compile(r"^\s*#\d+ 0x[0-9a-f]+ in ([\w:~<>]+)")
_DEAD: Final = re.compile(
    r"Exception in thread|Unhandled exception in thread|UnhandledPromiseRejection|uncaughtException"
)
_TRACEBACK: Final = "Traceback (most recent call last)"
_PYTHON_FRAME: Final = re.compile(r'^\s+File "[^"]*?([^"/]+)", line \d+, in (\S+)')
_PYTHON_ERROR: Final = re.compile(r"^([A-Za-z_][\w.]*)(?::|$)")
_OTHERS: Final = (
    ("panic", re.compile(r"^panic: |panicked at|^fatal error: ")),
    ("assertion", re.compile(r"Assertion .{0,300} failed|assertion failed")),
    (
        "abort",
        re.compile(r"terminate called|stack smashing detected|free\(\): |double free|malloc\(\): |corrupted size"),
    ),
    ("fault", re.compile(r"[Ss]egmentation fault|[Bb]us error|[Ii]llegal instruction")),
)
_AFTER: Final = 60
"""Lines after its first in which a report names its place."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """A report in the output of a peer. `kind`: "sanitizer", "dead-thread", "traceback", "panic", "assertion",
    "abort" or "fault"; `what`: its stable words, as "heap-buffer-overflow in parse_item"."""

    kind: str
    what: str
    severity: Severity


class Log:
    """The last lines of a peer's output, and the complaints in it. Feed it lines in order."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=LINES)
        self._found: deque[Complaint] = deque(maxlen=COMPLAINTS)
        self._sanitizer: str | None = None  # a report whose first frame is not here yet
        self._traceback: str | None = None  # the innermost frame so far
        self._dead = False
        self._left = 0

    def tail(self, count: int = 20) -> tuple[str, ...]:
        """Returns the last lines."""
        return tuple(self._lines)[-count:]

    def take(self) -> list[Complaint]:
        """Returns the complaints since the last call."""
        found = [*self._found]
        self._found.clear()
        return found

    def feed(self, line: str) -> None:
        """Takes one line, without its end."""
        line = line[:LONGEST]
        self._lines.append(line)
        if self._sanitizer is not None:
            self._in_sanitizer(self._sanitizer, line)
        elif self._traceback is not None:
            self._in_traceback(self._traceback, line)
        if found := _SANITIZER.search(line):
            if self._sanitizer is None and found[2] != "SUMMARY":
                self._sanitizer, self._left = f"{found[1]}Sanitizer {found[2]}", _AFTER
        elif found := _UNDEFINED.search(line):
            self._add("sanitizer", f"undefined behavior: {found[2].strip()} in {found[1]}", Severity.CRITICAL)
        elif _TRACEBACK in line:
            self._traceback, self._left = "", _AFTER
        elif _DEAD.search(line):
            self._dead = True
        elif self._traceback is None:
            for kind, pattern in _OTHERS:
                if pattern.search(line):
                    self._add(kind, kind, Severity.HIGH)
                    break

    def end(self) -> None:
        """Takes note of the end of the output: what was begun is complete."""
        if self._sanitizer is not None:
            self._add("sanitizer", self._sanitizer, Severity.CRITICAL)
            self._sanitizer = None

    def _in_sanitizer(self, report: str, line: str) -> None:
        self._left -= 1
        frame = _FRAME.match(line)
        if frame is not None and not frame[1].startswith(("__asan", "__interceptor", "operator", "mem", "str")):
            self._add("sanitizer", f"{report} in {frame[1]}", Severity.CRITICAL)
            self._sanitizer = None
        elif self._left <= 0:
            self.end()

    def _in_traceback(self, frame: str, line: str) -> None:
        self._left -= 1
        if found := _PYTHON_FRAME.match(line):
            self._traceback = f"{found[1]} {found[2]}"
        elif (error := _PYTHON_ERROR.match(line)) and not line.startswith(" "):
            dead, self._dead, self._traceback = self._dead, False, None
            what = f"{error[1].rpartition('.')[2]} in {frame}" if frame else error[1]
            if dead:
                self._add("dead-thread", what, Severity.MEDIUM)
            else:
                self._add("traceback", what, Severity.LOW)
        elif self._left <= 0:
            self._traceback, self._dead = None, False

    def _add(self, kind: str, what: str, severity: Severity) -> None:
        self._found.append(Complaint(kind, what, severity))
