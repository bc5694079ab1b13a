"""A lane beside the others for conversations that mostly wait: stalls, dribbles, peers that are given a minute.

Knows: threads, one player. Must not know: the order of a campaign.

A stall costs nothing while it lasts, so it need not keep the campaign waiting. There is one lane, because stalled
connections use up slots of the peer, which the other conversations need too. A violation that such a conversation
shows is played again in the lane too (`Lane.doubt`).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Final

from ..conversation import Await, Check, Conversation, Pause, Send, Step, Transcript
from ..finding import Finding, Violation, signature
from .player import LocalTrouble, Player
from .pool import Played, play_here
from .schedule import Case
from .suspects import Judge

__all__ = ["LONG", "Lane", "length_of"]

LONG: Final = 3.0
"""Seconds of waiting from which a conversation belongs here."""
ENDING: Final = 5.0
LAST_KIND: Final = 7
TWICE: Final = 2
DOUBTS: Final = 50


def length_of(conversation: Conversation) -> float:
    """Returns the seconds that a conversation waits by itself."""
    seconds = 0.0
    for step in conversation.steps:
        match step:
            case Pause():
                seconds += step.seconds
            case Await(seconds=given, kinds=kinds) if given is not None and kinds and min(kinds) > LAST_KIND:
                seconds += given  # it awaits the end of the connection, or nothing
            case Send() if step.piece and step.gap:
                seconds += step.gap * (len(step.message) // step.piece)
    return seconds


@dataclass(slots=True)
class _Doubt:
    """A violation that was seen once, and how often it was seen when its case was played again."""

    violation: Violation
    played: Played
    shown: int = 0
    tried: int = 0


class Lane:
    """Plays one case at a time in a thread of its own, with a player of its own."""

    def __init__(self, player: Player, judge: Judge) -> None:
        self.player = player
        self._judge = judge
        self._thread: threading.Thread | None = None
        self._case: Case | None = None
        self._played: Played | None = None
        self._trouble: LocalTrouble | None = None
        self._doubts: list[_Doubt] = []

    @property
    def busy(self) -> bool:
        """True while a case is played, or its result was not taken yet."""
        return self._thread is not None

    def doubt(self, violation: Violation, played: Played) -> None:
        """Takes a violation that is to be seen again before it is believed: on its connection alone, if it shows there
        by itself."""
        if len(self._doubts) < DOUBTS:
            self._doubts.append(_Doubt(violation, self._alone(violation, played)))

    def _alone(self, violation: Violation, played: Played) -> Played:
        """Returns what was played on the one connection, of several, that shows a violation by itself; all of it if
        none does. To make it small by trying would take minutes."""
        whole = played.case.conversation
        numbers = {step.connection for step in whole.steps if not isinstance(step, Pause | Check)}
        for number in sorted(numbers) if len(numbers) > 1 else ():
            conversation = replace(
                whole, steps=_steps_of(whole, number), about=f"{whole.about}: connection {number} of them"
            )
            transcript = Transcript([one for one in played.transcript.entries if one.connection == number])
            if signature(violation) in map(signature, self._judge(conversation, transcript, self.player.learned)):
                case = replace(played.case, conversation=conversation)
                return replace(played, case=case, transcript=transcript)
        return played

    def next(self) -> Case | None:
        """Returns the case of the first doubt, to be played again; None if there is none."""
        return self._doubts[0].played.case if self._doubts else None

    def settle(self, played: Played) -> list[Finding]:
        """Takes a result. Returns the findings of the doubts that it settles, all of them with `replayed`."""
        settled = []
        for one in [each for each in self._doubts if each.played.case == played.case]:
            one.tried += 1
            one.shown += signature(one.violation) in map(signature, played.violations)
            if one.tried == TWICE:
                self._doubts.remove(one)
                settled.append(_finding(one))
        return settled

    def open(self) -> list[Finding]:
        """Returns the doubts that are not settled; `replayed` says how far they came."""
        return [_finding(one) for one in self._doubts]

    def put(self, case: Case) -> None:
        """Begins to play a case."""
        assert self._thread is None
        self._case, self._played, self._trouble = case, None, None
        self.player.cancelled = False
        self._thread = threading.Thread(target=self._run, args=(case,), daemon=True)
        self._thread.start()

    def _run(self, case: Case) -> None:
        try:
            self._played = play_here(self.player, self._judge, case)
        except LocalTrouble as trouble:
            self._trouble = trouble

    def result(self) -> Played | None:
        """Returns what was played, once; None if nothing is finished. Raises `LocalTrouble`."""
        if self._thread is None or self._thread.is_alive():
            return None
        self._thread = None
        if self._trouble is not None:
            raise self._trouble
        return self._played

    def cancel(self) -> Case | None:
        """Ends the case that is being played, whose result is dropped. Returns it."""
        if self._thread is None:
            return None
        self.player.cancelled = True
        self._thread.join(ENDING)
        self._thread = None
        return self._case

    def close(self) -> None:
        """Ends it."""
        self.cancel()
        self.player.close()


def _steps_of(conversation: Conversation, number: int) -> tuple[Step, ...]:
    """The steps on one connection, and all pauses; two in a row are one."""
    steps: list[Step] = []
    for step in conversation.steps:
        last = steps[-1] if steps else None
        if isinstance(step, Pause) and isinstance(last, Pause):
            steps[-1] = Pause(seconds=last.seconds + step.seconds)
        elif isinstance(step, Pause) or (not isinstance(step, Check) and step.connection == number):
            steps.append(step)
    return tuple(steps)


def _finding(doubt: _Doubt) -> Finding:
    return Finding(
        violation=doubt.violation,
        conversation=doubt.played.case.conversation,
        transcript=doubt.played.transcript,
        replayed=(doubt.shown, doubt.tried),
    )
