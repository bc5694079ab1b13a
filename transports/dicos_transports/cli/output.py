"""The output of a command: text for people on standard error, JSON for programs on standard output, a progress bar.

Text from a peer or a file name is printed escaped (`text`). The contents of data sets are never printed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import TextIOWrapper
from threading import Lock
from time import monotonic
from typing import Final, Literal

from dicos_proto.wire import Buffer

from ..tracing import Trace
from . import OutputLost
from .text import LONGEST_LINE, escaped, shown

__all__ = ["BAR_AFTER", "BAR_EVERY", "Output", "ProgressBar", "plural", "shown", "size"]

BAR_AFTER: Final = 0.7
"""Seconds of work before a progress bar appears."""
BAR_EVERY: Final = 0.1
_BAR_WIDTH = 30


class Output:
    """The output of one command; its threads may share it. `verbose`, `debug` and `quiet` are the options.

    `diverted`: a function that receives text instead of standard error, with the name of its logging level.
    `lost`: the error with which standard output failed, else None. `on_lost` is called at that moment; if it is None,
    `event` raises `lost`.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.debug: bool = options.debug
        self.verbose: bool = options.verbose or options.debug
        self.quiet: bool = options.quiet
        self.json: bool = options.json
        self._bar: ProgressBar | None = None
        self._lock = Lock()
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # the terminal's encoding may lack characters
        self.lost: OutputLost | None = None
        self.on_lost: Callable[[], object] | None = None
        self.diverted: Callable[[str, str], object] | None = None

    def error(self, text: str) -> None:
        """Print why the command ends, or a fault that is reported nowhere else, even with `--quiet`."""
        self._print(text, "ERROR", before="error: ")
        self.event("error", text=text)

    def failure(self, text: str) -> None:
        """Print that one operation failed, even with `--quiet`."""
        self._print(text, "WARNING")

    def info(self, text: str) -> None:
        """Print a result."""
        if not self.quiet:
            self._print(text, "INFO")

    def detail(self, text: str) -> None:
        """Print a processing detail, with `--verbose` only."""
        if self.verbose and not self.quiet:
            self._print(text, "INFO")

    def event(self, name: str, **fields: object) -> None:
        """Print one JSON object as a line, with `--json` only."""
        if not self.json:
            return
        import json

        self._write(json.dumps({"event": name, **fields}))

    def event_line(self, line: str) -> None:
        """Print an event that is a line of JSON already, with `--json` only."""
        if self.json:
            self._write(line)

    def answer(self, line: str) -> None:
        """Print one line of the requested data on standard output, but not with `--json`."""
        if not self.json:
            self._write(escaped(line))

    def _write(self, line: str) -> None:
        if self.lost is not None:
            return
        try:
            with self._lock:
                if self._bar is not None:
                    self._bar.clear()
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
        except OSError as error:
            self.lost = OutputLost(error)
            if self.on_lost is None:
                raise self.lost from None
            self.on_lost()

    def trace(self, peer: str) -> Trace:
        """Return a trace that prints the PDUs of a connection with `peer`."""
        from dicos_proto.dissect import Dissector

        directions = {"sent": Dissector(), "received": Dissector()}
        words = {"sent": f"to {peer}", "received": f"from {peer}"}

        def show(direction: Literal["sent", "received"], buffers: Sequence[Buffer]) -> None:
            one = directions[direction]
            lines = [line for buffer in buffers for line in one.feed(buffer)] if buffers else one.end()
            for line in lines:
                self._print(f"{words[direction]}: {line}", "DEBUG")

        return show

    def progress(self, total: int, *, wanted: bool = False) -> ProgressBar:
        """Return a progress bar that counts to `total` bytes, shown on a terminal if the work takes long.

        `wanted`: show it however short the work is, and without a terminal print a line for each tenth.
        """
        terminal = sys.stderr.isatty()
        shown = not self.quiet and (wanted or terminal)
        self._bar = ProgressBar(
            total, bar=shown and terminal, lines=shown and not terminal, after=0 if wanted else BAR_AFTER
        )
        return self._bar

    def trouble(self, text: str, traceback: str) -> None:
        """Print an error and its traceback, which is indented so that no line of it looks like another message."""
        self.error(text)
        for line in traceback.splitlines():
            self._print(f"  {line}", "DEBUG")

    def _print(self, text: str, level: str, before: str = "") -> None:
        if self.diverted is not None:
            self.diverted(level, text)
            return
        with self._lock, suppress(OSError):  # standard error is closed
            if self._bar is not None:
                self._bar.clear()
            sys.stderr.write(f"{before}{shown(text, LONGEST_LINE)}\n")
            sys.stderr.flush()


class ProgressBar:
    """Progress on standard error: a bar on one line, or a line for each tenth."""

    def __init__(self, total: int, *, bar: bool, lines: bool, after: float) -> None:
        self._total = total
        self._bar = bar
        self._lines = lines
        self._done = 0
        self._begun = monotonic()
        self._next = self._begun + after
        self._tenths = 0
        self._drawn = False
        self._lock = Lock()

    def advance(self, count: int) -> None:
        """Add `count` bytes. All associations of a command share one bar."""
        with self._lock:
            self._advance(count)

    def _advance(self, count: int) -> None:
        self._done += count
        if self._bar and monotonic() >= self._next:
            self._next = monotonic() + BAR_EVERY
            bar = "#" * int(self._part() * _BAR_WIDTH)
            text = f"[{bar:<{_BAR_WIDTH}}] {self._text()}"
            self._write(f"\r{text[: _columns() - 1]}\x1b[K")
            self._drawn = True
        elif self._lines and int(10 * self._part()) > self._tenths:
            self._tenths = int(10 * self._part())
            self._write(f"{self._text()}\n")

    def _part(self) -> float:
        return min(1.0, self._done / self._total) if self._total else 1.0

    def _text(self) -> str:
        rate = self._done / max(monotonic() - self._begun, 1e-6)
        return f"{self._part():4.0%}  {size(self._done)} of {size(self._total)}  {size(rate)}/s"

    def clear(self) -> None:
        """Erase the bar, so that text can be printed on its line."""
        if self._drawn:
            self._write("\r\x1b[K")
            self._drawn = False

    def _write(self, text: str) -> None:
        try:
            getattr(sys.stderr, "unguarded", sys.stderr.write)(text)
            sys.stderr.flush()
        except OSError:  # standard error is closed
            self._bar = self._lines = False


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80


def size(count: float) -> str:
    """Return a number of bytes as text: `105.3 MB`."""
    if count < 1000:
        return f"{count:.0f} B"
    power = 1 if count < 999_950 else 2 if count < 999_950_000 else 3
    return f"{count / 1000**power:.1f} {('kB', 'MB', 'GB')[power - 1]}"


def plural(count: int, word: str, words: str | None = None) -> str:
    """Return `1 file`, `2 files`; `words` is the plural, if that is not `word` with an s."""
    return f"{count} {word}" if count == 1 else f"{count} {words or word + 's'}"
