"""What a command says: text for people on standard error, JSON for machines on standard output, a progress bar.

Text of a peer or of a file name goes out escaped (`text`); what is in a data set never goes out.
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

__all__ = ["BAR_AFTER", "BAR_EVERY", "Output", "Progress", "plural", "shown", "size"]

BAR_AFTER: Final = 0.7
"""Seconds of work after which a progress bar is worth its line."""
BAR_EVERY: Final = 0.1
_BAR_WIDTH = 30


class Output:
    """Where the words of one command go; its threads may share it. `verbose`, `debug`, `quiet` as the options say.

    `diverted`: what takes text in place of standard error, with the name of its level in logging.
    `lost`: why standard output takes no more, once that is so. `on_lost` is called then; where there is none, `event`
    raises `lost`.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.debug: bool = options.debug
        self.verbose: bool = options.verbose or options.debug
        self.quiet: bool = options.quiet
        self.json: bool = options.json
        self._bar: Progress | None = None
        self._lock = Lock()
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that has not all characters
        self.lost: OutputLost | None = None
        self.on_lost: Callable[[], object] | None = None
        self.diverted: Callable[[str, str], object] | None = None

    def error(self, text: str) -> None:
        """Why the command does not go on, or a fault that nothing else tells of: shown always."""
        self._print(text, "ERROR", before="error: ")
        self.event("error", text=text)

    def failure(self, text: str) -> None:
        """One operation that failed: shown always."""
        self._print(text, "WARNING")

    def info(self, text: str) -> None:
        """A result."""
        if not self.quiet:
            self._print(text, "INFO")

    def detail(self, text: str) -> None:
        """What happens on the way to it."""
        if self.verbose and not self.quiet:
            self._print(text, "INFO")

    def event(self, name: str, **fields: object) -> None:
        """One JSON object a line."""
        if not self.json:
            return
        import json

        self._write(json.dumps({"event": name, **fields}))

    def answer(self, line: str) -> None:
        """One line of what was asked for, on standard output: never where that is for machines."""
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
        """What shows the PDUs of a connection."""
        from dicos_proto.dissect import Dissector

        directions = {"sent": Dissector(), "received": Dissector()}
        words = {"sent": f"to {peer}", "received": f"from {peer}"}

        def show(direction: Literal["sent", "received"], buffers: Sequence[Buffer]) -> None:
            one = directions[direction]
            lines = [line for buffer in buffers for line in one.feed(buffer)] if buffers else one.end()
            for line in lines:
                self._print(f"{words[direction]}: {line}", "DEBUG")

        return show

    def progress(self, total: int, *, wanted: bool = False) -> Progress:
        """A bar that counts to `total` bytes, where a person looks and the work is long. `wanted`: however short it is,
        and elsewhere as a line for each tenth."""
        terminal = sys.stderr.isatty()
        shown = not self.quiet and (wanted or terminal)
        self._bar = Progress(
            total, bar=shown and terminal, lines=shown and not terminal, after=0 if wanted else BAR_AFTER
        )
        return self._bar

    def trouble(self, text: str, traceback: str) -> None:
        """A fault, and where it was raised: lines of their own, which are indented, so that none passes for another."""
        self.error(text)
        for line in traceback.splitlines():
            self._print(f"  {line}", "DEBUG")

    def _print(self, text: str, level: str, before: str = "") -> None:
        if self.diverted is not None:
            self.diverted(level, text)
            return
        with self._lock, suppress(OSError):  # nobody reads it
            if self._bar is not None:
                self._bar.clear()
            sys.stderr.write(f"{before}{shown(text, LONGEST_LINE)}\n")
            sys.stderr.flush()


class Progress:
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
        """So many bytes more; of all that is sent at the same time."""
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
        """Take the bar off its line, so that text can stand there."""
        if self._drawn:
            self._write("\r\x1b[K")
            self._drawn = False

    def _write(self, text: str) -> None:
        try:
            getattr(sys.stderr, "unguarded", sys.stderr.write)(text)
            sys.stderr.flush()
        except OSError:  # nobody looks any more
            self._bar = self._lines = False


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80


def size(count: float) -> str:
    """Bytes for people: `105.3 MB`."""
    if count < 1000:
        return f"{count:.0f} B"
    power = 1 if count < 999_950 else 2 if count < 999_950_000 else 3
    return f"{count / 1000**power:.1f} {('kB', 'MB', 'GB')[power - 1]}"


def plural(count: int, word: str, words: str | None = None) -> str:
    """`1 file`, `2 files`; `words` where an s is not enough."""
    return f"{count} {word}" if count == 1 else f"{count} {words or word + 's'}"
