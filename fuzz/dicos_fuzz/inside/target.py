"""Targets: code under test with its oracles, as functions of a byte tape; bounds of their cost; what a run has shown.

Knows: the shapes. Must not know: which targets exist (`targets`), who makes tapes (`mutating`, Hypothesis, atheris).

Invariants: a body depends on its tape alone: the same tape gives the same result in every run and process. A body that
returns found nothing; what it raises is a finding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Final

from dicos_proto.errors import Malformed, RemoteProtocolError

__all__ = ["Bounds", "OracleFailure", "Target", "Watch", "check", "words"]


class OracleFailure(AssertionError):
    """The code under test did what it must not do. The text says what was seen and what was allowed."""


def check(holds: bool, failure: str) -> None:
    """Raises `OracleFailure` with this text if `holds` is False."""
    if not holds:
        raise OracleFailure(failure)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The cost that a run may have: a part for any tape, and a part for each byte of the tape.

    `memory`, `memory_a_byte`: bytes that are allocated by Python above those before the run, at most, at one time.
    `time`, `time_a_byte`: microseconds of processor time on a machine where a step takes 0.1 microseconds; `measuring`
    adapts them to this machine.
    """

    memory: int = 512 << 10
    memory_a_byte: int = 64
    time: int = 50_000
    time_a_byte: int = 100

    def bytes_allowed(self, size: int) -> int:
        """Returns the most bytes of memory for a tape of this size."""
        return self.memory + self.memory_a_byte * size

    def microseconds_allowed(self, size: int) -> int:
        """Returns the most microseconds for a tape of this size."""
        return self.time + self.time_a_byte * size


_MOST: Final = 1 << 17
"""Observations that are kept for one target; more are ignored, so that a run of a day has a bounded memory."""


class Watch:
    """The observations that the runs of one target have shown: pairs of observations, one after the other.

    A body calls it with what it sees: types of events, rules that an input broke, names of limits. `fresh` is True if
    the present run showed a pair that no run before it has shown: its tape is worth keeping.
    """

    __slots__ = ("_last", "fresh", "seen")

    def __init__(self) -> None:
        self.seen: set[tuple[Hashable, Hashable]] = set()
        self.fresh = False
        self._last: Hashable = None

    def begin(self) -> None:
        """Begins a run."""
        self._last = None
        self.fresh = False

    def __call__(self, what: Hashable) -> None:
        """Notes an observation."""
        pair = (self._last, what)
        self._last = what
        if pair not in self.seen and len(self.seen) < _MOST:
            self.seen.add(pair)
            self.fresh = True

    def fault(self, fault: BaseException) -> None:
        """Notes an error by what it says, without numbers and names out of the input."""
        if isinstance(fault, Malformed | RemoteProtocolError):
            self((type(fault).__name__, fault.clause, fault.limit, words(fault.detail)))
        else:
            self((type(fault).__name__, words(str(fault))))


_WORDS: Final = re.compile(r"[^0-9'\"(\\]{0,48}")


def words(text: str) -> str:
    """Returns the beginning of an error text up to its first number, quotation or parenthesis."""
    found = _WORDS.match(text)
    return found[0] if found else ""


Body = Callable[[bytes, Watch], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Code under test, with its oracles.

    `name`: for the command line. `about`: one line for people. `body`: builds an input from a tape, runs the code on
    it, applies the oracles, and reports to a `Watch`. `seeds`: tapes to begin with. `made`: a tape whose input was
    changed with knowledge of its structure. `grown`: a long tape, with a valid part many times over. `words`: strings
    of bytes that occur in inputs, for mutations. `bounds`: its cost. `share`: its part of the time, relative to others.
    `longest`: bytes of the longest tape that is tried. `isolated`: it opens sockets or starts threads, so what it
    leaves behind is checked after each run.
    """

    name: str
    about: str
    body: Body
    seeds: Callable[[], Iterable[bytes]]
    made: Callable[[Random], bytes] | None = None
    grown: Callable[[Random], bytes] | None = None
    words: tuple[bytes, ...] = ()
    bounds: Bounds = Bounds()
    share: float = 1.0
    longest: int = 64 << 10
    isolated: bool = False

    def run(self, data: bytes) -> None:
        """Runs the body once, for drivers that need no observations. Raises what is a finding."""
        self.body(data, Watch())
