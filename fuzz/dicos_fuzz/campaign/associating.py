"""The peer's association PDUs: do they fit what was asked, are they well formed, are their codes allowed?

Knows: PS3.8 9.3 and annex D, PS3.7 annex D.3.3. Must not know: when they may come (`conduct`), messages, scenarios.

The request is read without judgement (`Wish`), a damaged one too: a peer may have found less in it than there is, but
not more.

Invariants: no violation for an answer that fits some reading of the request.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from dicos_proto.errors import AbortReason, AbortSource, Malformed
from dicos_proto.registry import uids
from dicos_proto.tolerance import CLAUSES
from dicos_proto.upper_layer.pdu_types import (
    REJECT_REASONS,
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextResult,
)
from dicos_proto.upper_layer.titles import is_title

from ..conversation import What
from ..finding import Severity, Violation
from .lines import Line, Said, Validity

__all__ = ["Wish", "associating", "wish_of"]

_LOW, _MEDIUM = Severity.LOW, Severity.MEDIUM
_SENT_IN: Final = {1: "Sta4", 2: "Sta3", 3: "Sta3", 4: "Sta6", 5: "Sta6", 6: "Sta8"}
"""The state in which a peer sends a PDU of each type; an A-ABORT comes in many."""


@dataclass(slots=True)
class Wish:
    """All that an A-ASSOCIATE-RQ or -AC of this side may be taken to say.

    `contexts`: id -> (abstract syntaxes, transfer syntaxes) of all items with that id. `accepted`: the ids with result
    0, in an A-ASSOCIATE-AC. `max_lengths`, `windows`: of all such items. `roles`: SOP class -> (SCU, SCP) proposed.
    `extended`: the SOP classes with extended negotiation. `identity`: True if a response is requested.
    """

    contexts: dict[int, tuple[set[bytes], set[bytes]]] = field(default_factory=dict)
    accepted: dict[int, bytes] = field(default_factory=dict)
    applications: set[bytes] = field(default_factory=set)
    max_lengths: list[int] = field(default_factory=list)
    windows: list[tuple[int, int]] = field(default_factory=list)
    roles: dict[bytes, tuple[bool, bool]] = field(default_factory=dict)
    extended: set[bytes] = field(default_factory=set)
    identity: bool = False

    @property
    def max_length(self) -> int:
        """The longest P-DATA-TF that this side may be taken to receive, 0 unlimited or not said."""
        return 0 if not self.max_lengths or 0 in self.max_lengths else max(self.max_lengths)


def wish_of(pdu: bytes) -> Wish:
    """Returns the items of an A-ASSOCIATE-RQ or -AC, as far as they can be read. Do not change it."""
    return _small_wish(pdu) if len(pdu) <= 4096 else _wish(pdu)


def _wish(pdu: bytes) -> Wish:
    wish = Wish()
    for kind, value in _items(pdu[74:]):
        if kind == 0x10:
            wish.applications.add(_plain(value))
        elif kind in (0x20, 0x21) and value:
            abstract, transfer = wish.contexts.setdefault(value[0], (set(), set()))
            for inner, uid in _items(value[4:]):
                if inner in (0x30, 0x40):
                    (abstract if inner == 0x30 else transfer).add(_plain(uid))
                if pdu[0] == 2 and inner == 0x40 and len(value) > 2 and not value[2]:
                    wish.accepted[value[0]] = _plain(uid)
        elif kind == 0x50:
            _read_user_information(value, wish)
    return wish


_small_wish = lru_cache(maxsize=64)(_wish)
"""The same requests and answers come in most conversations."""


def _read_user_information(value: bytes, wish: Wish) -> None:
    for kind, item in _items(value):
        if kind == 0x51:
            wish.max_lengths.append(int.from_bytes(item[:4], "big"))
        elif kind == 0x53:
            wish.windows.append((int.from_bytes(item[:2], "big"), int.from_bytes(item[2:4], "big")))
        elif kind in (0x54, 0x56, 0x57):
            size = int.from_bytes(item[:2], "big")
            uid, rest = _plain(item[2 : 2 + size]), item[2 + size :]
            if kind == 0x54:
                scu, scp = wish.roles.get(uid, (False, False))
                wish.roles[uid] = (scu or bool(rest[:1] != b"\0"), scp or bool(rest[1:2] != b"\0"))
            else:
                wish.extended.add(uid)
        elif kind == 0x58:
            wish.identity = wish.identity or item[1:2] != b"\0"


def _items(body: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(body):
        end = at + 4 + int.from_bytes(body[at + 2 : at + 4], "big")
        yield body[at], body[at + 4 : end]
        at = end


def _plain(uid: bytes) -> bytes:
    """A UID as peers compare it: up to a NUL, without spaces around it."""
    return uid.partition(b"\0")[0].strip(b" ")


def associating(line: Line, *, user: bool) -> list[Violation]:
    """Returns the violations in the association PDUs of the peer on one connection."""
    found: list[Violation] = []
    asked = next(iter(line.ours(1)), None)
    for one in line.theirs():
        if not one.whole:
            if line.ended is What.ENDED and not line.cut:
                found.append(_cut_short(one))
            continue
        pdu = one.decoded
        if isinstance(pdu, Malformed):
            if one.kind in range(1, 8) and not (one.kind == 2 and asked is not None and _repeats(asked)):
                found.append(_malformed(one, pdu))
            continue
        found += _deviations(one, asked)
        match pdu:
            case AssociateAccept() if user and asked is not None:
                found += _answer(pdu, asked)
            case AssociateReject():
                found += _reject(pdu)
            case Abort():
                found += _abort(pdu)
            case AssociateRequest() if not user and not pdu.protocol_version & 1:
                found.append(
                    _low("protocol-version", "protocol version without bit 0", "PS3.8 9.3.2", "A-ASSOCIATE-RQ")
                )
            case _:
                pass
    return found


def _repeats(asked: Said) -> bool:
    """True if an answer may be malformed only because it repeats what was malformed in the request."""
    return asked.validity is not Validity.VALID


def _low(oracle: str, detail: str, clause: str, reaction: str, state: str = "Sta3") -> Violation:
    return Violation(oracle=oracle, severity=_LOW, detail=detail, clause=clause, state=state, reaction=reaction)


def _medium(oracle: str, detail: str, clause: str, reaction: str, state: str = "Sta3") -> Violation:
    return Violation(oracle=oracle, severity=_MEDIUM, detail=detail, clause=clause, state=state, reaction=reaction)


def _cut_short(one: Said) -> Violation:
    said = f"the connection ended {len(one.data)} bytes into a {one.name}"
    return _low("cut-pdu", said, "PS3.8 9.3.1", one.name, _SENT_IN.get(one.kind, ""))


def _malformed(one: Said, fault: Malformed) -> Violation:
    detail = f"the peer sent a malformed {one.name}: {fault.detail}"
    return _medium("malformed-pdu", detail, fault.clause, one.name, _SENT_IN.get(one.kind, ""))


def _deviations(one: Said, asked: Said | None) -> Iterator[Violation]:
    """Those of a peer that was asked properly: an invalid name in an answer may only repeat that of the request."""
    if asked is not None and asked.validity is not Validity.VALID:
        return
    for name, detail in one.deviations:
        state = _SENT_IN.get(one.kind, "")
        yield _low("deviation", f"{one.name}: {detail}", CLAUSES[name], f"{one.name} {name}", state)


# -- A-ASSOCIATE-AC ----------------------------------------------------------------------------------------------


def _answer(accept: AssociateAccept, asked: Said) -> Iterator[Violation]:
    wish = wish_of(asked.data)
    yield from _contexts(accept, wish)
    if asked.validity is Validity.VALID:
        yield from _whole_answer(accept, wish, asked)
    yield from _user_information(accept, wish)


def _contexts(accept: AssociateAccept, wish: Wish) -> Iterator[Violation]:
    name = "A-ASSOCIATE-AC"
    for context in accept.contexts:
        proposed = wish.contexts.get(context.id)
        accepted = context.result is ContextResult.ACCEPTANCE
        if proposed is None:
            said = f"presentation context {context.id} {'accepted' if accepted else 'answered'}, which was not proposed"
            yield _medium("context-not-proposed", said, "PS3.8 9.3.3.2", name)
        elif accepted and (context.transfer_syntax or "").encode("latin-1") not in proposed[1]:
            said = f"context {context.id} accepted with {context.transfer_syntax!a}, which was not offered for it"
            yield _medium("syntax-not-offered", said, "PS3.8 9.3.3.2", name)


def _whole_answer(accept: AssociateAccept, wish: Wish, asked: Said) -> Iterator[Violation]:
    """The parts that the answer to a valid request must have."""
    name = "A-ASSOCIATE-AC"
    sent = asked.decoded
    proposed = {context.id for context in sent.contexts} if isinstance(sent, AssociateRequest) else set()
    missing = proposed - {context.id for context in accept.contexts}
    if missing:
        said = f"{len(missing)} of {len(proposed)} proposed presentation contexts not answered"
        yield _low("contexts-unanswered", said, "PS3.8 9.3.3.2", name)
    if accept.application_context and accept.application_context.encode("latin-1") not in wish.applications:
        said = f"application context {accept.application_context!a}; that of the request"
        yield _low("application-context", said, "PS3.8 7.1.1.2", name)
    if not accept.protocol_version & 1:
        yield _low("protocol-version", f"protocol version {accept.protocol_version}; bit 0 set", "PS3.8 9.3.3", name)
    if isinstance(sent, AssociateRequest):
        titles = (sent.called_aet.strip(), sent.calling_aet.strip())
        back = (accept.called_aet.strip(), accept.calling_aet.strip())
        if titles != back and all(map(is_title, titles)):  # an invalid one may be read in several ways
            said = f"AE titles {back[0]!a} and {back[1]!a} sent back; {titles[0]!a} and {titles[1]!a} were received"
            yield _low("titles-not-echoed", said, "PS3.8 9.3.3", name)


def _user_information(accept: AssociateAccept, wish: Wish) -> Iterator[Violation]:
    name = "A-ASSOCIATE-AC"
    user = accept.user_information
    if 0 < user.max_length < 8:
        said = f"Maximum Length {user.max_length}; 0, or room for a PDV of two bytes"
        yield _medium("max-length", said, "PS3.8 D.1", name)
    if user.window is not None:
        given = (user.window.invoked, user.window.performed)
        if not wish.windows:
            said = "an asynchronous operations window answered that was not proposed"
            yield _low("unasked-window", said, "PS3.7 D.3.3.3", name)
        elif not any(_within(given, window) for window in wish.windows):
            said = f"operations window {given} answered to {wish.windows[0]}; no more than proposed"
            yield _medium("window-beyond-proposal", said, "PS3.7 D.3.3.3", name)
    for role in user.roles:
        scu, scp = wish.roles.get(role.sop_class_uid.encode("latin-1"), (False, False))
        if (role.scu and not scu) or (role.scp and not scp):
            name_of = uids.name_of(role.sop_class_uid)
            said = f"roles {role.scu:d}/{role.scp:d} granted for {name_of}; {scu:d}/{scp:d} were proposed"
            yield _medium("role-not-proposed", said, "PS3.7 D.3.3.4", name)
    for extended in user.extended:
        if extended.sop_class_uid.encode("latin-1") not in wish.extended:
            said = f"extended negotiation answered for {uids.name_of(extended.sop_class_uid)}, which was not proposed"
            yield _low("unasked-extension", said, "PS3.7 D.3.3.5", name)
    if user.user_identity_response is not None and not wish.identity:
        said = "user identity response where none was asked for"
        yield _low("unasked-identity-response", said, "PS3.7 D.3.3.7.2", name)


def _within(given: tuple[int, int], proposed: tuple[int, int]) -> bool:
    """0 is unlimited, so it is more than any number."""
    return all(not most or 0 < number <= most for number, most in zip(given, proposed, strict=True))


# -- A-ASSOCIATE-RJ, A-ABORT -------------------------------------------------------------------------------------

_ABORT_REASONS: Final = frozenset(AbortReason) - {AbortReason.RESERVED}


def _reject(reject: AssociateReject) -> Iterator[Violation]:
    code = f"{reject.result}/{reject.source}/{reject.reason}"
    if reject.result not in (1, 2) or (reject.source, reject.reason) not in REJECT_REASONS:
        known = ", ".join(sorted({f"{source}/{reason}" for source, reason in REJECT_REASONS}))
        said = f"rejected with {code}; result 1 or 2, source and reason among {known}"
        yield _low("reserved-reject", said, "PS3.8 table 9-21", f"A-ASSOCIATE-RJ {code}", "Sta3")


def _abort(abort: Abort) -> Iterator[Violation]:
    code = f"{abort.source}.{abort.reason}"
    if abort.source not in (AbortSource.SERVICE_USER, AbortSource.SERVICE_PROVIDER):
        said = f"A-ABORT from source {abort.source}; 0 or 2"
    elif abort.source == AbortSource.SERVICE_PROVIDER and abort.reason not in _ABORT_REASONS:
        said = f"A-ABORT for reason {abort.reason}; 0 to 2, 4 to 6"
    elif abort.source == AbortSource.SERVICE_USER and abort.reason:
        said = f"A-ABORT of the user with reason {abort.reason}; 0, since the reason is not significant"
    else:
        return
    yield _low("reserved-abort", said, "PS3.8 table 9-26", f"A-ABORT {code}", "")
