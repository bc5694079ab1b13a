"""Plays one case over a medium: its steps, its transcript, and the verdict on the reaction.

Knows: cases, steps, media. Must not know: sockets, selections, reports.

Invariants: no case raises out of `play`, whatever it or the peer does, and none takes longer than `SECONDS` of its
medium's time; at most `STEPS` steps are played. The transcript is bounded (`LINES`, `KEPT`).
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from typing import Final, assert_never

from dicos_fuzz.campaign.pdus import Pdus
from dicos_fuzz.conversation import Entry, Transcript, What

from .case import Case, Inconclusive, Unimplemented, Verdict
from .media.medium import LocalTrouble, Medium
from .profile import Profile
from .reactions import Reaction
from .steps import (
    Accept,
    Close,
    End,
    Ended,
    Now,
    Open,
    Opened,
    Pause,
    Receive,
    Received,
    ReceivedPdu,
    Send,
    Silence,
    Step,
)

__all__ = ["Attempt", "grade", "play"]

SECONDS: Final = 300.0
"""Seconds that one run of a case may take."""
STEPS: Final = 100_000
LINES: Final = 5_000
"""Lines of one transcript. Stops: a peer that sends one byte a segment."""
KEPT: Final = 4 << 20
"""Bytes of one transcript. Stops: a peer that never stops sending."""
_ENDS: Final = {End.FIN: What.ENDED, End.RESET: What.RESET, End.TLS: What.ENDED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One run of a case. `why`: the words of the verdict: which expectation was met, or what disturbed the case.
    `fault`: the traceback of a case that raised, which is a fault of the case and not of the peer; else empty."""

    verdict: Verdict
    why: str
    reaction: Reaction | None = None
    transcript: Transcript = field(default_factory=Transcript)
    seconds: float = 0.0
    fault: str = ""


def grade(case: Case, reaction: Reaction) -> tuple[Verdict, str]:
    """Returns what a reaction means, and which expectation it met."""
    if case.informs:
        return Verdict.INFO, str(reaction)
    if case.strict.matches(reaction):
        return Verdict.PASS, f"as expected: {case.strict}"
    for one in case.lenient:
        if one.pattern.matches(reaction):
            return Verdict.NON_STRICT, f"tolerable ({one.pattern}): {one.why}"
    allowed = "; ".join(map(str, (case.strict, *(one.pattern for one in case.lenient))))
    return Verdict.FAIL, f"{case.failure or 'not what the rule allows'}; allowed: {allowed}"


def play(case: Case, profile: Profile, medium: Medium) -> Attempt:
    """Plays a case. Ends all connections of the medium."""
    run = _Run(profile, medium)
    began = medium.now()
    reaction: Reaction | None = None
    fault = ""
    try:
        reaction = run.all(case)
        verdict, why = grade(case, reaction)
    except Unimplemented as lack:
        verdict, why = Verdict.UNIMPLEMENTED, str(lack)
    except (Inconclusive, LocalTrouble) as disturbed:
        verdict, why = Verdict.INCONCLUSIVE, str(disturbed)
    except Exception as error:  # a case may be another's code, and a fault of it is not the peer's
        verdict, why = Verdict.INCONCLUSIVE, f"the case itself failed: {type(error).__name__}: {error}"
        fault = traceback.format_exc()
    finally:
        medium.finish()
    return Attempt(
        verdict=verdict,
        why=why,
        reaction=reaction,
        transcript=run.transcript,
        seconds=medium.now() - began,
        fault=fault,
    )


class _Run:
    """The run of one case."""

    def __init__(self, profile: Profile, medium: Medium) -> None:
        self.transcript = Transcript()
        self._profile = profile
        self._medium = medium
        self._start = medium.now()
        self._pdus: dict[int, Pdus] = {}
        self._ended: dict[int, Ended] = {}
        self._room = KEPT

    def all(self, case: Case) -> Reaction:
        """Plays all steps; returns the reaction of the script."""
        script = case.script(self._profile)
        value: object = None
        try:
            for _ in range(STEPS):
                if self._medium.now() - self._start > SECONDS:
                    raise Inconclusive(f"not over after {SECONDS:g} s")
                try:
                    step = script.send(value)
                except StopIteration as over:
                    reaction = over.value
                    if not isinstance(reaction, Reaction):
                        raise TypeError(f"returned {type(reaction).__name__}; a script returns a Reaction") from None
                    return reaction
                value = self._step(step)
            raise Inconclusive(f"not over after {STEPS} steps")
        finally:
            script.close()

    def _step(self, step: Step) -> object:
        medium = self._medium
        match step:
            case Open():
                return self._begun(step.connection, medium.open(step))
            case Accept(seconds=seconds):
                patience = self._profile.call_seconds if seconds is None else seconds
                return self._begun(step.connection, medium.accept(step, patience))
            case Send(data=data, connection=number):
                at = self._medium.now()
                taken = medium.send(number, data, piece=step.piece, beneath=step.beneath)
                note = f"in pieces of {step.piece}" if step.piece else ""
                if taken < len(data):
                    note = f"{len(data) - taken} of {len(data)} bytes not taken by the peer"
                self._note(What.BENEATH if step.beneath else What.SENT, number, data[:taken], note, at)
                return None
            case Receive(connection=number, seconds=seconds):
                return self._receive(number, self._profile.answer_seconds if seconds is None else seconds)
            case Pause(seconds=seconds):
                medium.pause(seconds)
                return None
            case Close(connection=number, how=how):
                medium.end(number, how)
                whole = how in ("close", "reset")
                self._note(What.CLOSED if whole else What.HALF, number, b"", "" if how in ("close", "half") else how)
                return None
            case Now():
                return medium.now()
            case _:
                assert_never(step)

    def _begun(self, number: int, opened: Opened) -> Opened:
        self._pdus[number] = Pdus()
        self._ended.pop(number, None)
        security = ", ".join(filter(None, (opened.protocol, opened.cipher)))
        what, note = (What.OPENED, security) if opened.ok else (What.REFUSED, opened.why)
        self._note(what, number, b"", note)
        return opened

    def _receive(self, number: int, seconds: float) -> Received:
        medium, pdus = self._medium, self._pdus.setdefault(number, Pdus())
        until = medium.now() + seconds
        while True:
            pdu = pdus.next()
            if pdu is not None:
                return ReceivedPdu(medium.now(), pdu)
            if number in self._ended:
                return self._ended[number]
            found = medium.receive(number, max(0.0, until - medium.now()))
            if isinstance(found, bytes):
                self._note(What.RECEIVED, number, found)
                pdus.feed(found)
            elif found is None:
                self._note(What.QUIET, number, b"", f"nothing within {seconds:.2f} s")
                return Silence(medium.now(), pdus.partial)
            else:
                self._ended[number] = Ended(medium.now(), found, pdus.partial > 0)
                self._note(_ENDS[found], number, b"", found.value if found is End.TLS else "")

    def _note(self, what: What, number: int, data: bytes = b"", note: str = "", at: float | None = None) -> None:
        if len(self.transcript.entries) >= LINES:
            return
        kept = data[: self._room]
        self._room -= len(kept)
        if len(kept) < len(data):
            note = ", ".join(filter(None, (note, f"{len(data) - len(kept)} bytes not kept")))
        when = self._medium.now() if at is None else at
        self.transcript.entries.append(Entry(when - self._start, number, what, kept, note))
