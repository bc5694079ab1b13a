"""The oracle: the engine and the reference model take the same steps, and must agree after each of them.

Knows: both. Must not know: where scripts come from (`walking`).

Compared after each step: refused or not, the events, the A-ABORTs and other control PDUs sent with the set of reasons
that the model allows, the state, `wants_close`, if a deadline runs. Compared at the end: the messages on the wire,
which may be cut at any place, and no P-DATA-TF longer than the peer's Maximum Length.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from dicos_proto.limits import Limits
from dicos_proto.tolerance import EVERYTHING, STRICT, Tolerance

from .bodies import NAMES, Refused, Value, read_body
from .commands import read_command
from .neutral import Neutral, joined, primitive
from .reference import Expected, Reference, Sent, Told
from .running import LIMITS, Observed, Run, Splitter, pieces, whole
from .scripts import Eof, Expire, Receive, Say, Script, Step
from .values import AbortPdu, Accept, Invalid, Message, Part, Pdv, Request

__all__ = ["Checker", "Disagreement", "agrees", "lenient"]

_LONGEST: Final = 300
LENIENT: Final = replace(EVERYTHING, short_abort=False, joined_data_set=False)
"""All flags except those that move the place where a PDU or a command set ends: these act without a deviation, too."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """The engine did what the model does not allow: after which step (from 1), what was expected, what was seen."""

    step: int
    expected: str
    seen: str
    script: Script

    def __str__(self) -> str:
        return f"after step {self.step}: {_cut(self.expected)} expected, {_cut(self.seen)} seen, in\n{self.script}"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


class _Differs(Exception):
    def __init__(self, expected: object, seen: object) -> None:
        super().__init__(expected, seen)
        self.expected, self.seen = str(expected), str(seen)


class Checker:
    """An engine and its model, step by step."""

    def __init__(self, script: Script, *, split: Splitter = whole) -> None:
        """`script`: for its role, level and limits; its steps are for `step`."""
        self._script = script
        limits = LIMITS[script.profile]
        self.run = Run(script.role, script.level, limits, split=split)
        self.model = Reference(script.role, script.level, limits)
        self.reached = {self.model.state}
        """The states of the model so far."""
        self.seen = Observed()
        """The last step, as the engine took it."""
        self._steps: list[Step] = []
        self._expected: list[Neutral] = []
        self._wire = _Wire(script.level == "association")
        self._peer_max = 0

    @property
    def script(self) -> Script:
        """The steps taken so far, as a script."""
        one = self._script
        return Script(one.role, one.level, tuple(self._steps), one.profile)

    def step(self, step: Step) -> Disagreement | None:
        """Takes one step on both sides. Returns a disagreement; go no further after it."""
        self._steps.append(step)
        seen = self.seen = self.run.step(step)
        try:
            self._compare(step, seen)
        except _Differs as found:
            return Disagreement(len(self._steps), found.expected, found.seen, self.script)
        return None

    def finish(self) -> Disagreement | None:
        """Compares the messages that were sent, once no step is to follow."""
        wanted, seen = _even(joined(self._expected)), joined(self._wire.made)
        if wanted != seen:
            return Disagreement(len(self._steps), f"sent: {wanted}", f"sent: {seen}", self.script)
        return None

    # -- one step --------------------------------------------------------------------------------------------------

    def _compare(self, step: Step, seen: Observed) -> None:
        expected = self._take(step, seen)
        self.reached.add(self.model.state)
        if expected.refused is not seen.refused:
            raise _Differs("refused" if expected.refused else "accepted", "refused" if seen.refused else "accepted")
        self._compare_told(expected.told, seen.told)
        self._compare_sent(expected.sent, seen.sent)
        model = self.model
        if (model.state, model.closed) != (seen.state, seen.closing):
            raise _Differs(f"Sta{model.state}, close {model.closed}", f"Sta{seen.state}, close {seen.closing}")
        runs = model.has_deadline
        if runs is not None and runs is not (seen.deadline is not None):
            raise _Differs("a deadline" if runs else "no deadline", seen.deadline or "no deadline")

    def _take(self, step: Step, seen: Observed) -> Expected:
        match step:
            case Receive(data):
                return self.model.receive(data)
            case Eof():
                return self.model.end()
            case Expire():
                if not seen.passed:
                    return Expected()
                return self.model.expire()
            case Say():
                assert seen.said is not None
                return self.model.say(primitive(seen.said))

    def _compare_told(self, expected: list[Told], seen: list[Neutral]) -> None:
        names = [one.what for one in expected if one.optional]
        wanted = joined([one.what for one in expected])
        found = joined(seen)
        if found != wanted:
            without = joined([one.what for one in expected if not one.optional])
            if not names or found != without:
                raise _Differs(f"events {wanted}", f"events {found}")
        for one in seen:
            if isinstance(one, Request | Accept):
                self._peer_max = one.terms.max_length

    def _compare_sent(self, expected: list[Sent], raw: bytes) -> None:
        control = self._wire.take(raw, self._peer_max)
        wanted = [one for one in expected if not isinstance(one.what, Message | Part | Pdv)]
        self._expected += [one.what for one in expected if isinstance(one.what, Message | Part | Pdv)]
        if len(control) != len(wanted) or not all(map(_fits, wanted, control)):
            raise _Differs(f"sent {[_shown(one) for one in wanted]}", f"sent {control}")


def _fits(wanted: Sent, seen: Value | Invalid) -> bool:
    if wanted.reasons and isinstance(wanted.what, AbortPdu) and isinstance(seen, AbortPdu):
        return seen.source == wanted.what.source and seen.reason in wanted.reasons
    return wanted.what == seen


def _shown(sent: Sent) -> str:
    if sent.reasons and isinstance(sent.what, AbortPdu):
        return f"A-ABORT source {sent.what.source}, reason one of {sorted(sent.reasons)}"
    return str(sent.what)


def _even(made: list[Neutral]) -> list[Neutral]:
    """A data set that is not complete may lack its last odd byte: fragments have an even length [PS3.8 E.1]."""
    found: list[Neutral] = []
    for one in made:
        if isinstance(one, Part) and not one.last:
            one = one._replace(data=one.data[: len(one.data) & ~1])
            if not one.data:
                continue
        found.append(one)
    return found


class _Wire:
    """Reads what the engine sends, with the model's own decoder."""

    def __init__(self, messages: bool) -> None:
        self.made: list[Neutral] = []
        self._messages = messages
        self._limits = Limits()
        self._command = b""

    def take(self, raw: bytes, longest: int) -> list[Value | Invalid]:
        """Returns the control PDUs in `raw`; P-DATA goes to `made`. Raises `_Differs` for bytes that are not PDUs."""
        control: list[Value | Invalid] = []
        while raw:
            kind, size = raw[0], int.from_bytes(raw[2:6], "big")
            body, raw = raw[6 : 6 + size], raw[6 + size :]
            if kind not in NAMES or len(body) != size:
                raise _Differs("complete PDUs", body[:40].hex(" "))
            if kind != 4:
                control.append(read_body(kind, body, self._limits))
                continue
            if self._messages and 0 < longest < size:
                raise _Differs(f"P-DATA-TF of at most {longest} bytes", size)
            self._p_data(body)
        return control

    def _p_data(self, body: bytes) -> None:
        while body:
            size, context, bits = int.from_bytes(body[:4], "big"), body[4], body[5]
            data, body = body[6 : 4 + size], body[4 + size :]
            command, last = bool(bits & 1), bool(bits & 2)
            if not self._messages:
                self.made.append(Pdv(True, context, command, last, data))
            elif not command:
                self.made.append(Part(context, data, last))
            else:
                self._command += data
                if last:
                    try:
                        self.made.append(read_command(context, self._command))
                    except Refused as refused:
                        raise _Differs("a command set", refused) from None
                    self._command = b""


# -- whole scripts -------------------------------------------------------------------------------------------------


def agrees(script: Script, *, seed: int | None = None) -> Disagreement | None:
    """Returns None if the engine does what the model allows, in every step of the script. `seed`: the peer's bytes
    arrive in random pieces, which must not matter; None: each `Receive` at once."""
    checker = Checker(script, split=whole if seed is None else pieces(seed))
    for step in script.steps:
        found = checker.step(step)
        if found is not None:
            return found
    return checker.finish()


def lenient(script: Script, tolerance: Tolerance = LENIENT) -> Disagreement | None:
    """Returns None if tolerance only adds: an engine that accepts deviations does the same as a strict one, step by
    step, until it reports a deviation. Where only the strict one refuses something, a deviation or a refusal has to be
    the next event of the other. In Sta13 nothing is reported any more: a PDU that only the strict one finds invalid is
    answered by one more A-ABORT (AA-7) there, and ignored by the other (AA-6)."""
    limits = LIMITS[script.profile]
    strict = Run(script.role, script.level, limits, tolerance=STRICT)
    loose = Run(script.role, script.level, limits, tolerance=tolerance)
    refused = over = False
    for number, step in enumerate(script.steps, 1):
        other = loose.step(step)
        if refused:
            if other.told:
                allowed = other.told[0] in ("deviation", "A-P-ABORT", "closed")
                return None if allowed else Disagreement(number, "a deviation", str(other.told), script)
            continue
        one = strict.step(step)
        if "deviation" in other.told:
            return None
        same = (one.told, one.sent, one.state, one.refused) == (other.told, other.sent, other.state, other.refused)
        refused = "A-P-ABORT" in one.told and not same
        if not same and over and not one.told and not other.told:
            return None
        over = one.state == 13
        if not same and not refused:
            return Disagreement(number, f"{one.told}, Sta{one.state}", f"{other.told}, Sta{other.state}", script)
    return None
