"""The reactions that a peer may have to a conversation: expectations by name, each decided from what was seen.

Knows: the latitude of PS3.8 and PS3.7: where the standard allows several reactions, all of them are right. Must not
know: how conversations are made (`scenarios`), rules that hold for any conversation (`conduct`, `dialogue`).

An expectation blames a peer only for what was seen: for silence only if it was waited for, for nothing that followed
a refusal for want of resources.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from math import inf
from typing import Final

from dicos_proto.dimse.types import CCancelRequest, CEchoResponse, CGetRequest, CMoveRequest, DimseResponse
from dicos_proto.registry.status import category
from dicos_proto.registry.status_tables import Category
from dicos_proto.upper_layer.machine import Action, State
from dicos_proto.upper_layer.pdu_types import AssociateReject, RejectResult, RejectSource

from ..conversation import Conversation, What
from ..finding import Severity, Violation
from .asking import Asked
from .conduct import Conduct
from .dialogue import Dialogue
from .lines import Line, Said, Validity, with_article

__all__ = ["EVERYWHERE", "EXPECTATIONS", "TIMED", "Seen", "scene"]

LONGEST: Final = 60.0
"""Seconds that a peer may wait: ARTIM is 30 s in most, and 60 s are common for all else."""
EVERYWHERE: Final = frozenset({"served", "ends-in-time"})
"""The expectations that hold for each connection of a conversation; the others hold for connection 0."""

TIMED: Final = frozenset(
    {"silence", "kept-open", "unanswered", "release-unanswered", "starved", "no-deadline", "waits-for-giant"}
)
"""The oracles that depend on how long was waited: a peer that is only slow may look guilty. Repeat these with more
patience before they are believed."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that was seen of one connection, and what the table says of it."""

    conversation: Conversation
    line: Line
    dialogue: Dialogue
    conduct: Conduct
    user: bool

    @property
    def state(self) -> State:
        """Where the peer was when it got what is wrong."""
        return self.conduct.fault_state

    def violation(
        self, oracle: str, severity: Severity, detail: str, reaction: str, *, clause: str = "", by_family: bool = False
    ) -> Violation:
        """Returns a violation of this conversation."""
        return Violation(
            oracle=oracle,
            severity=severity,
            detail=detail,
            clause=clause or self.conversation.clause,
            state=self.state.name,
            reaction=reaction,
            by_family=by_family,
        )

    @property
    def refusal(self) -> Said | None:
        """The A-ASSOCIATE-RJ or A-ABORT of the peer."""
        return next(iter(self.line.theirs(3, 7)), None)

    @property
    def over_at(self) -> float:
        """The entry of the transcript at which the peer refused or ended the association, infinite if it did not."""
        refused = inf if self.refusal is None else self.refusal.done
        return min(refused, self.line.ended_at) if self.ended else refused

    @property
    def ended(self) -> str:
        """The way in which the peer ended the connection; empty if it did not, or only because this side did."""
        line = self.line
        if line.ended is None or (0 <= line.half_at < line.ended_at):
            return ""
        return "closed" if line.ended is What.ENDED else "reset"


def scene(name: str) -> str:
    """Returns the part of a conversation's name that is the same for all of its kind: up to a colon."""
    return name.partition(":")[0]


# -- parts -------------------------------------------------------------------------------------------------------


def _silence(seen: Seen, wanted: str = "reaction") -> list[Violation]:
    """Nothing where something is owed. The detail names the last PDU of the peer; one that it may not
    send is a violation already, and not a second one here."""
    if not seen.line.fell_silent:
        return []
    heard = [one.name for one in seen.line.theirs(after=seen.line.last_sent)]
    if any(one.oracle == "unexpected-pdu" and one.reaction in heard for one in seen.conduct.violations):
        return []
    more = "further " if heard and wanted == "reaction" else ""
    sent = f"; the peer sent {with_article(heard[-1])}" if heard else ""
    detail = f"no {more}{wanted}{sent}, and the connection stayed open: {seen.conversation.about}"
    return [seen.violation("silence", Severity.MEDIUM, detail, "silent", by_family=True)]


def _not_refused(seen: Seen) -> list[Violation]:
    heard = seen.line.theirs(after=seen.line.last_sent)
    return _silence(seen, "refusal" if heard else "reaction")


def _busy(reject: Said) -> bool:
    """True for a rejection that is for now only, or for want of resources."""
    found = reject.decoded
    return isinstance(found, AssociateReject) and (
        found.result == RejectResult.TRANSIENT or found.source == RejectSource.PRESENTATION
    )


def _refused(seen: Seen, severity: Severity, *also: int, strictly: bool = False) -> list[Violation] | None:
    """The violations of a peer that did not refuse, None if there was no reaction at all. `also`: the PDUs that are as
    good as a refusal. `strictly`: no request may succeed, not even one that has no fault by itself."""
    if seen.refusal is not None:
        return []
    if seen.ended:
        return _without_abort(seen)
    refused = False
    for one in seen.line.theirs(after=seen.line.last_sent):
        if one.kind in also:
            return []
        words = _approval(seen, one, strictly=strictly)
        if words:
            did = f"answered with {words}" if seen.user else f"no refusal; the peer went on with {with_article(words)}"
            detail = f"{did}: {seen.conversation.about}"
            return [seen.violation("accepted", severity, detail, f"{words} after {scene(seen.conversation.name)}")]
        refused = refused or words == ""
    return [] if refused else None


def _approval(seen: Seen, one: Said, *, strictly: bool) -> str | None:
    """The name of an answer that refuses nothing; empty for one that reports a failure; None for the answer to what had
    no fault and came before it."""
    if one.kind == 2:
        ours = [*islice((each for each in seen.line.said if each.ours), 2)]
        return None if len(ours) > 1 and ours[0].validity is Validity.VALID else one.name
    if one.kind == 6:
        return None if any(each.ours and each.kind == 5 for each in seen.line.said) else one.name
    if one.kind != 4:
        return one.name
    if one.pdvs and not any(control & 1 for _, control, _ in one.pdvs):
        return None  # the rest of a message that began before
    spoken = next((each for each in seen.dialogue.spoken if each.at >= one.began), None)
    if spoken is None or not isinstance(spoken.command, DimseResponse):
        return one.name
    if category(spoken.command.status) in (Category.FAILURE, Category.CANCEL):
        return ""
    asking = seen.dialogue.asking
    right = asking.with_id(spoken.command.message_id_being_responded_to)
    if not strictly and not asking.loose and any(each.request is not None and each.complete for each in right):
        return None
    return f"{spoken.command.NAME} ({category(spoken.command.status).value})"


def _without_abort(seen: Seen) -> list[Violation]:
    """A connection that is closed without A-ABORT where the table has one; after a reset, it may be lost."""
    last = next((one for one in reversed(seen.line.said) if one.ours), None)
    if last is not None and last.kind == 7:  # in any form, it ends the association
        return []
    if seen.ended != "closed" or seen.state in (State.Sta1, State.Sta4, State.Sta13):
        return []
    detail = f"closed without A-ABORT: {seen.conversation.about}"
    action = "AA-1" if seen.state is State.Sta2 else "AA-8"
    clause = f"PS3.8 table 9-10, {action}"
    return [seen.violation("no-abort", Severity.LOW, detail, "closed", clause=clause)]


# -- expectations ------------------------------------------------------------------------------------------------


def _any(seen: Seen) -> list[Violation]:
    """Nothing beyond what holds always."""
    return []


def _answered(seen: Seen) -> list[Violation]:
    """Any reaction: an answer, a refusal, the end of the connection. Silence is none."""
    return _silence(seen)


def _must_refuse(seen: Seen) -> list[Violation]:
    """A-ABORT, A-ASSOCIATE-RJ, a failure status, or the end of the connection."""
    found = _refused(seen, Severity.MEDIUM)
    return _not_refused(seen) if found is None else found


def _must_fail(seen: Seen) -> list[Violation]:
    """Like `refused`, and no request of the conversation may succeed, not even one that has no fault by itself."""
    found = _refused(seen, Severity.MEDIUM, strictly=True)
    return _not_refused(seen) if found is None else found


def _should_fail(seen: Seen) -> list[Violation]:
    """Like `failed`, where going on harms nobody."""
    found = _refused(seen, Severity.LOW, strictly=True)
    return _not_refused(seen) if found is None else found


def _should_refuse(seen: Seen) -> list[Violation]:
    """Like `refused`, where going on harms nobody."""
    found = _refused(seen, Severity.LOW)
    return _not_refused(seen) if found is None else found


def _refused_or_released(seen: Seen) -> list[Violation]:
    """Like `should-refuse`; an A-RELEASE-RQ is a refusal too: a peer that calls and finds nothing that it can use."""
    found = _refused(seen, Severity.LOW, 5)
    return _not_refused(seen) if found is None else found


def _refused_or_waits(seen: Seen) -> list[Violation]:
    """A peer that asked, and got no answer that is one: it refuses, or goes on waiting, or releases, but does not go on
    as if it had been answered."""
    return _refused(seen, Severity.MEDIUM, 5) or []


def _refused_at_header(seen: Seen) -> list[Violation]:
    """A length that no honest peer sends is refused as soon as it is read, not waited for."""
    found = _refused(seen, Severity.MEDIUM)
    if found is None and seen.line.fell_silent:
        detail = f"waits for what may never come: {seen.conversation.about}"
        return [seen.violation("waits-for-giant", Severity.MEDIUM, detail, "silent")]
    return found or []


def _closes(seen: Seen) -> list[Violation]:
    """The peer ends the connection: this side has ended its own direction, or the association."""
    line = seen.line
    if line.ended is not None or not line.quiet or line.quiet[-1] < max(line.last_sent, line.half_at):
        return []
    detail = f"the connection stayed open: {seen.conversation.about}"
    return [seen.violation("kept-open", Severity.MEDIUM, detail, f"open after {scene(seen.conversation.name)}")]


_SERVICE: Final = (1, 2, 4, 5, 6)
"""PDUs that refuse nothing."""


def _broken_off(seen: Seen) -> list[Violation]:
    """The peer ends the connection or the association, and does not answer DICOM that came without TLS."""
    if seen.line.unsecured in _SERVICE:
        detail = f"answered without TLS: {seen.conversation.about}"
        return [seen.violation("unsecured", Severity.HIGH, detail, "DICOM without TLS")]
    return _closes(seen) if seen.refusal is None else []


def _ends_in_time(seen: Seen) -> list[Violation]:
    """A wait for this side has an end, in the middle of a PDU too: the peer aborts, asks for release, or closes. It may
    take `LONGEST`; a PDU that comes slowly counts from its first byte."""
    line = seen.line
    if line.ended is not None or not line.quiet or line.theirs(3, 5, 7):
        return []
    last = next((one for one in reversed(line.said) if one.ours), None)
    inside = last is None or not last.whole
    if not inside and any(isinstance(one.command, CGetRequest | CMoveRequest) for one in seen.dialogue.spoken):
        return []  # a retrieval may take hours before its first response
    begun = last.began if last is not None and inside else line.last_sent
    since = line.times.get(line.quiet[-1], 0.0) - line.times.get(begun, 0.0)
    if since < LONGEST:
        return []
    detail = f"the connection was still open after {since:.0f} s: {seen.conversation.about}"
    severity = Severity.HIGH if inside or seen.state is not State.Sta6 else Severity.MEDIUM
    reaction = "waits forever in a PDU" if last is not None and inside else "waits forever for a PDU"
    return [seen.violation("no-deadline", severity, detail, reaction)]


def _table(seen: Seen) -> list[Violation]:
    """The action of the table for the last PDU that was sent, in each state that the peer may have been in: a refusal
    where it aborts, the end where it closes, any reaction where it has one."""
    actions = seen.conduct.actions
    if actions and actions <= _REFUSALS:
        return _must_fail(seen)
    if actions and actions <= _ENDS:
        return _closes(seen)
    quiet = actions & _NO_REACTION or State.Sta13 in seen.conduct.states or not actions
    return [] if quiet or not (seen.user or actions <= _REACTIONS) else _silence(seen)


_REFUSALS: Final = frozenset({Action.AA_1, Action.AA_8})
_ENDS: Final = frozenset({Action.AA_2, Action.AA_3, Action.AR_3, Action.AE_4})
_NO_REACTION: Final = frozenset({Action.AR_6, Action.AA_6})
_REACTIONS: Final = frozenset({Action.AE_3, Action.AR_2, Action.AR_8, Action.AR_10, *_REFUSALS, *_ENDS})


def _served(seen: Seen) -> list[Violation]:
    """All of it is right: the association is accepted, each request is answered, the release is confirmed. With
    `others-served`, connection 0 is right, and something is wrong on the others."""
    line = seen.line
    asked = line.ours(1) if seen.user else []
    if asked and not line.theirs(2):
        return _not_accepted(seen)
    if seen.user and not asked:
        at_once = seen.ended and not line.ours()
        return (
            [_refused_valid(seen, f"{seen.ended} before a byte was sent", f"{seen.ended} at once,")] if at_once else []
        )
    if line.hurried:  # not played as it was meant
        return _unanswered(seen) or _silence(seen)
    found = _unanswered(seen)
    if found and seen.over_at < inf:  # the same end is not a second violation
        return [*found, *_failed_echo(seen)]
    return [*found, *_failed_echo(seen), *_unreleased(seen)]


def _not_accepted(seen: Seen) -> list[Violation]:
    refusal = seen.refusal
    if seen.line.hurried:
        return _silence(seen)
    if refusal is not None and refusal.kind == 3:
        if _busy(refusal):
            return []
        return [_refused_valid(seen, f"rejected: {refusal.decoded}", "A-ASSOCIATE-RJ")]
    if refusal is not None or seen.ended:
        words = "A-ABORT" if refusal is not None else seen.ended
        return [_refused_valid(seen, f"{words} in answer to a good A-ASSOCIATE-RQ", words)]
    return _silence(seen)


def _refused_valid(seen: Seen, what: str, words: str) -> Violation:
    reaction = f"{words} to {scene(seen.conversation.name)}"
    detail = f"{what}; nothing is wrong here: {seen.conversation.about}"
    return seen.violation("refused-valid", Severity.MEDIUM, detail, reaction)


def _unanswered(seen: Seen) -> list[Violation]:
    line = seen.line
    open_ones = seen.dialogue.asking.unanswered()
    if not open_ones or line.half_at >= 0 or line.ours(7) or open_ones[0].request is None:
        return []
    words = "A-ABORT" if seen.refusal is not None else seen.ended
    name = open_ones[0].request.NAME
    waited = any(at < seen.over_at for at in line.quiet)
    if words and not waited:
        cancel = _cancel_before(seen, open_ones[0])
        what = f"{words} in place of the response to {with_article(name)}"
        return [
            _not_ignored(seen, what, words, cancel) if cancel else _refused_valid(seen, what, f"{words} to {name},")
        ]
    if not (line.fell_silent or (waited and (words or line.theirs(6)))):
        return []
    detail = f"no response to {with_article(name)}: {seen.conversation.about}"
    return [seen.violation("unanswered", Severity.MEDIUM, detail, f"silent to {name}", by_family=True)]


def _cancel_before(seen: Seen, asked: Asked | None = None) -> str:
    """The name of the C-CANCEL-RQ directly before a message, or at the end; empty if another one is there. It has no
    response, so that a reaction to it comes in place of the next answer."""
    known = seen.dialogue.asking.all
    at = len(known) if asked is None else next(at for at, one in enumerate(known) if one is asked)
    last = known[at - 1].command if at else None
    return last.NAME if isinstance(last, CCancelRequest) else ""


def _not_ignored(seen: Seen, what: str, words: str, cancel: str) -> Violation:
    """One finding for a peer that refuses a C-CANCEL-RQ, in any scenario and with any message behind it."""
    found = _refused_valid(seen, f"{what} behind {with_article(cancel)}", "")
    return replace(found, state=State.Sta6.name, reaction=f"{words} to {cancel}")


def _failed_echo(seen: Seen) -> list[Violation]:
    for spoken in seen.dialogue.spoken:
        if isinstance(spoken.command, CEchoResponse) and spoken.command.status:
            code = f"status 0x{spoken.command.status:04X}"
            return [_refused_valid(seen, f"a C-ECHO answered with {code}", f"{code} to C-ECHO,")]
    return []


def _unreleased(seen: Seen) -> list[Violation]:
    line = seen.line
    asked = line.ours(5)
    if not asked or line.theirs(6) or line.half_at >= 0:
        return []
    clause = "PS3.8 table 9-10, AR-2, AR-4"
    if seen.ended or seen.refusal is not None:
        words = "A-ABORT" if seen.refusal is not None else seen.ended
        if seen.over_at < asked[0].began:  # which could not be answered any more
            return [_refused_valid(seen, f"{words} before an A-RELEASE-RQ was sent", words)]
        if cancel := _cancel_before(seen):
            return [_not_ignored(seen, f"{words} in place of the A-RELEASE-RP", words, cancel)]
        detail = f"{words} in answer to an A-RELEASE-RQ; expected an A-RELEASE-RP: {seen.conversation.about}"
        return [seen.violation("release-refused", Severity.LOW, detail, words, clause=clause)]
    if not line.fell_silent:
        return []
    detail = f"no A-RELEASE-RP to an A-RELEASE-RQ: {seen.conversation.about}"
    return [seen.violation("release-unanswered", Severity.MEDIUM, detail, "silent", clause=clause)]


EXPECTATIONS: Final[Mapping[str, Callable[[Seen], list[Violation]]]] = {
    "any": _any,
    "served": _served,
    "others-served": _served,
    "answered": _answered,
    "refused": _must_refuse,
    "failed": _must_fail,
    "should-fail": _should_fail,
    "should-refuse": _should_refuse,
    "refused-or-released": _refused_or_released,
    "refused-or-waits": _refused_or_waits,
    "refused-at-header": _refused_at_header,
    "closes": _closes,
    "broken-off": _broken_off,
    "table": _table,
    "ends-in-time": _ends_in_time,
}
"""Expectations by name; the docstring of each says what is right."""
