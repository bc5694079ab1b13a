"""Violations and findings: values that oracles make, that reports show, and that files keep.

Knows: conversations. Must not know: which oracles exist, how a finding is made small.

A violation is one thing that one run showed. A finding is a group of violations with the same signature, with the run
that showed it first, a conversation that shows it again, and how often it did.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum

from .conversation import Conversation, Transcript

__all__ = ["Finding", "Severity", "Violation", "id_of", "signature", "signature_in"]


class Severity(Enum):
    """How bad a finding is, the worst first."""

    CRITICAL = "critical"  # the peer crashed, restarted or serves nobody
    HIGH = "high"  # others are hurt: a slot, a descriptor or memory is lost; data was changed or invented
    MEDIUM = "medium"  # accepted what must be refused; a state, an id or an answer is wrong
    LOW = "low"  # a deviation that harms nobody by itself: no reason given, no A-ABORT before the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One rule that one run broke.

    `oracle`: the name of the rule, as "hang" or "wrong-message-id". `detail`: what was seen and what was allowed, one
    line, without patient data. `clause`: the clause or limit. `state`: the state that the peer was in, "Sta6".
    `reaction`: what the peer did, in a few stable words: together with `oracle` and `state` it is the signature.
    `family`: the family of the scenario, part of the signature only if `by_family`. `by_state`: False if the same
    reaction counts as the same in every state, such as a text in the log.
    """

    oracle: str
    severity: Severity
    detail: str
    clause: str
    state: str = ""
    reaction: str = ""
    family: str = ""
    by_family: bool = False
    by_state: bool = True


def signature(violation: Violation) -> str:
    """Returns the signature by which duplicates are grouped and known findings are masked: 12 hexadecimal digits."""
    state = violation.state if violation.by_state else ""
    family = violation.family if violation.by_family else ""
    parts = (violation.oracle, state, violation.reaction, family)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:12]


def id_of(violation: Violation) -> str:
    """Returns the name of its finding in reports and files: oracle and signature."""
    return f"{violation.oracle}-{signature(violation)}"


def signature_in(name: str) -> str:
    """Returns the signature in the id of a finding, which may be the signature alone."""
    return name.rpartition("-")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A group of violations with one signature.

    `transcript`: of the first run. `before`: the conversations that ran before it on the same peer and are needed to
    show it, in order; empty if it shows alone. `left_out`: how many more there were, which a file has no place for.
    `minimised`: the smallest conversation found that shows it, None before;
    `minimised_transcript`: of a run of that one that showed it, None if it was not kept.
    `replayed`: (times shown, times tried). `seen_after`: seconds and conversations until the first run. `at`: when it
    was found, in seconds since 1970, 0 if that is not known. `count`: runs that showed it. `evidence`: lines from
    outside the protocol: exit status, signal, log text, memory.
    """

    violation: Violation
    conversation: Conversation
    transcript: Transcript
    before: tuple[Conversation, ...] = ()
    left_out: int = 0
    minimised: Conversation | None = None
    minimised_transcript: Transcript | None = None
    replayed: tuple[int, int] = (0, 0)
    seen_after: tuple[float, int] = (0.0, 0)
    at: float = 0.0
    count: int = 1
    evidence: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The finding's name in reports and files: oracle and signature."""
        return id_of(self.violation)
