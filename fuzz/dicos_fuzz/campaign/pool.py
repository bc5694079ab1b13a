"""Plays conversations: one after the other in this process, or several at once in processes of their own.

Knows: processes, pipes. Must not know: the order of a campaign, what is done with a result.

A worker owns its player, and judges what it plays. A transcript is sent back only where it shows something: a
violation, or an observation that this worker has not seen before.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Final, Protocol, Self

from ..conversation import Conversation, Transcript, What
from ..finding import Violation
from .bitmap import Bitmap, observations
from .knowledge import Learned
from .player import LocalTrouble, Player
from .schedule import Case
from .suspects import Judge

__all__ = ["AHEAD", "Here", "Played", "PlayerOf", "Pool", "Workers", "play_here", "trimmed"]

KEPT: Final = 256 << 10
"""Bytes of a transcript that are kept once it is judged."""
AHEAD: Final = 2
"""Cases that a worker has beyond the one that it plays."""
ENDING: Final = 5.0
HASTY: Final = 0.25
"""Share of the time for an answer that a peer gets where nothing is expected of it, and `LEAST_HASTY` seconds."""
LEAST_HASTY: Final = 0.02
_NOTHING: Final = Conversation(name="", steps=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A case that was played. `transcript`: empty where it shows nothing. `sent`: bytes. `connections`: opened ones.
    `suspicious`: the peer refused a connection, reset one, or did not serve another."""

    case: Case
    violations: tuple[Violation, ...]
    observed: frozenset[str]
    transcript: Transcript
    sent: int
    connections: int
    seconds: float
    suspicious: bool


def play_here(player: Player, judge: Judge, case: Case) -> Played:
    """Plays one case. Raises `LocalTrouble`."""
    sent, connections, learned = player.bytes_sent, player.associations, player.learned
    if case.hasty:
        player.learned = replace(learned, answer_seconds=max(LEAST_HASTY, HASTY * learned.answer_seconds))
    try:
        transcript = player.play(case.conversation)
    finally:
        player.learned = learned
    return Played(
        case=case,
        violations=tuple(judge(case.conversation, transcript, player.learned)),
        observed=observations(transcript),
        transcript=trimmed(transcript),
        sent=player.bytes_sent - sent,
        connections=player.associations - connections,
        seconds=transcript.entries[-1].at if transcript.entries else 0.0,
        suspicious=any(one.what in (What.REFUSED, What.RESET, What.UNANSWERED) for one in transcript.entries),
    )


def trimmed(transcript: Transcript, most: int = KEPT) -> Transcript:
    """Returns a transcript with at most this many bytes, so that many of them can be kept; its lines stay."""
    left = most
    entries = []
    for entry in transcript.entries:
        if len(entry.data) > left:
            note = ", ".join(filter(None, (entry.note, f"{len(entry.data) - left} bytes not kept")))
            entry = replace(entry, data=entry.data[:left], note=note)
        left -= len(entry.data)
        entries.append(entry)
    return Transcript(entries)


class Pool(Protocol):
    """Plays cases, in any order."""

    jobs: int

    def put(self, case: Case, learned: Learned) -> None:
        """Takes a case to play."""

    def full(self) -> bool:
        """True if no more cases should be put now."""

    def results(self, *, all_of_them: bool = False) -> list[Played]:
        """Returns what was played; waits for at least one, or for all that were put. Raises `LocalTrouble`."""

    def close(self) -> None:
        """Ends the workers."""


class Here:
    """The pool of one job: this process."""

    jobs = 1

    def __init__(self, player: Player, judge: Judge) -> None:
        self._player = player
        self._judge = judge
        self._cases: list[Case] = []

    def put(self, case: Case, learned: Learned) -> None:
        """See `Pool`."""
        self._cases.append(case)

    def full(self) -> bool:
        """See `Pool`."""
        return bool(self._cases)

    def results(self, *, all_of_them: bool = False) -> list[Played]:
        """See `Pool`."""
        cases, self._cases = self._cases, []
        return [play_here(self._player, self._judge, case) for case in cases]

    def close(self) -> None:
        """See `Pool`."""


PlayerOf = Callable[[Learned], Player]
"""Makes the player of a worker; it must be picklable, as a function of a module or a `functools.partial` of one."""


class Workers:
    """A pool of processes. `make`: makes the player of each. `whole`: send every transcript back. `ahead`: cases that a
    worker has beyond the one that it plays. A context manager."""

    def __init__(
        self, make: PlayerOf, learned: Learned, judge: Judge, jobs: int, *, whole: bool = False, ahead: int = AHEAD
    ) -> None:
        self.jobs = jobs
        self._ahead = ahead
        context = multiprocessing.get_context("spawn")
        self._workers: list[tuple[multiprocessing.process.BaseProcess, Connection]] = []
        self._waiting: dict[Connection, dict[int, Case]] = {}
        resource_tracker.ensure_running()  # to start it later would undo the mask below
        for _ in range(jobs):
            mine, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, make, learned, judge, whole), daemon=True)
            # Ctrl-C reaches a worker that still imports, too; it inherits this mask.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                process.start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
            self._workers.append((process, mine))
            self._waiting[mine] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def put(self, case: Case, learned: Learned) -> None:
        """See `Pool`. The worker that has the fewest cases gets it."""
        pipe = min(self._waiting, key=lambda one: len(self._waiting[one]))
        self._waiting[pipe][case.number] = case
        try:
            pipe.send((case, learned.answer_seconds))
        except OSError as error:
            raise LocalTrouble(self._ended(pipe)) from error

    def full(self) -> bool:
        """See `Pool`."""
        return all(len(cases) > self._ahead for cases in self._waiting.values())

    def results(self, *, all_of_them: bool = False) -> list[Played]:
        """See `Pool`."""
        found: list[Played] = []
        while busy := [pipe for pipe, cases in self._waiting.items() if cases]:
            for pipe in wait(busy):
                assert isinstance(pipe, Connection)
                try:
                    one: Played | LocalTrouble = pipe.recv()
                except (EOFError, OSError) as error:
                    raise LocalTrouble(self._ended(pipe)) from error
                if isinstance(one, LocalTrouble):
                    raise one
                found.append(replace(one, case=self._waiting[pipe].pop(one.case.number)))
            if not all_of_them:
                break
        return found

    def _ended(self, pipe: Connection) -> str:
        """The line for a worker that has ended."""
        process = next(process for process, mine in self._workers if mine is pipe)
        process.join(ENDING)
        return f"a process of this program has ended, exit status {process.exitcode}"

    def close(self) -> None:
        """See `Pool`."""
        for _, pipe in self._workers:
            pipe.close()
        for process, _ in self._workers:
            process.join(0.5)
            if process.is_alive():
                process.terminate()
                process.join(ENDING)
        self._workers.clear()
        self._waiting.clear()


def _work(pipe: Connection, make: PlayerOf, learned: Learned, judge: Judge, whole: bool) -> None:
    """The main function of a worker: plays what it is sent, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the campaign decides when to stop
    seen = Bitmap()
    cases: SimpleQueue[tuple[Case, float] | None] = SimpleQueue()
    Thread(target=_read, args=(pipe, cases), daemon=True).start()
    try:
        with make(learned) as player:
            while (asked := cases.get()) is not None:
                case, seconds = asked
                player.learned = replace(learned, answer_seconds=seconds)
                played = play_here(player, judge, case)
                new = seen.add(played.observed)
                if not (whole or played.violations or new or played.suspicious):
                    played = replace(played, transcript=Transcript())
                pipe.send(replace(played, case=Case(case.number, _NOTHING)))  # the other end has it
    except BrokenPipeError:
        return
    except LocalTrouble as trouble:
        pipe.send(trouble)
    except OSError as trouble:
        pipe.send(LocalTrouble(str(trouble)))


def _read(pipe: Connection, cases: SimpleQueue[tuple[Case, float] | None]) -> None:
    """Takes cases out of the pipe at once: else both ends would wait for each other, with a large case in
    one direction and a large result in the other."""
    asked = _next(pipe)
    while asked is not None:
        cases.put(asked)
        asked = _next(pipe)
    cases.put(None)


def _next(pipe: Connection) -> tuple[Case, float] | None:
    """Returns the next case and the seconds for an answer; None once the pipe is closed."""
    try:
        found: tuple[Case, float] = pipe.recv()
    except (EOFError, ConnectionError):
        return None
    return found
