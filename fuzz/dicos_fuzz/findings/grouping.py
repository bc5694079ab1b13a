"""Findings grouped by signature and put in order, and known ones masked.

Knows: findings, signatures, files of known ones. Must not know: how a finding is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from ..conversation import Answer, Conversation, Send, Transcript, What
from ..finding import Finding, Severity, id_of, signature, signature_in
from ..json_text import DamagedFile, seen

__all__ = ["alike", "grouped", "masked", "merged", "read_known", "size_of"]

_MOST_BYTES: Final = 4 << 20
_DIGITS: Final = frozenset("0123456789abcdef")
_LENGTH: Final = 12
_SEVERITIES: Final = tuple(Severity)


def read_known(path: Path) -> frozenset[str]:
    """Returns the findings in a file of known ones, as they are named there: the id or its signature, one a line, then
    any words; `#` begins a comment. Raises `DamagedFile`, with the file and the line, and OSError.

        hang-ae083b03aed1        # reported on 3 May, to be mended in 2.1
    """
    with open(path, "rb") as file:
        raw = file.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise DamagedFile(f"{path}: more than {_MOST_BYTES:,} bytes, the most that is read")
    found: set[str] = set()
    for number, line in enumerate(raw.decode("utf-8", "replace").split("\n"), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        name = signature_in(words[0])
        if len(name) != _LENGTH or not _DIGITS.issuperset(name):
            raise DamagedFile(
                f"{path}: line {number}: {seen(words[0])}; expected the id of a finding, or its 12 digits"
            )
        found.add(words[0])
    return frozenset(found)


def masked(findings: Iterable[Finding], known: frozenset[str]) -> tuple[list[Finding], dict[str, int]]:
    """Returns the findings that are not among these ids or signatures, and how often each known one was seen, by id."""
    left: list[Finding] = []
    counts: dict[str, int] = {}
    signatures = frozenset(map(signature_in, known))
    for one in findings:
        if signature(one.violation) in signatures:
            name = id_of(one.violation)
            counts[name] = counts.get(name, 0) + one.count
        else:
            left.append(one)
    return left, counts


def merged(first: Finding, second: Finding) -> Finding:
    """Returns two findings of one signature as one: the run that was seen first, the smaller conversation, the replay
    with the most tries, the sum of the counts."""
    early, late = (first, second) if first.seen_after <= second.seen_after else (second, first)
    small = min((early, late), key=_size_of_smallest)
    return replace(
        early,
        before=small.before if small.minimised else early.before,
        left_out=small.left_out if small.minimised else early.left_out,
        minimised=small.minimised,
        minimised_transcript=small.minimised_transcript,
        replayed=max((early.replayed, late.replayed), key=lambda pair: pair[1]),
        count=early.count + late.count,
        evidence=tuple(dict.fromkeys((*early.evidence, *late.evidence))),
    )


def _size_of_smallest(finding: Finding) -> tuple[int, int]:
    if finding.minimised is None:
        return 1 << 60, 0
    return size_of(finding.minimised, finding.minimised_transcript)


def size_of(conversation: Conversation, transcript: Transcript | None = None) -> tuple[int, int]:
    """Returns the size of a conversation: bytes that it sends, and steps. `transcript`: of a run of it, which has the
    bytes of its answers; without one they do not count."""
    sent = sum(len(one.wire()) for one in conversation.steps if isinstance(one, Send))
    if transcript is not None and any(isinstance(one, Answer) for one in conversation.steps):
        sent = max(sent, sum(len(one.data) for one in transcript.entries if one.what is What.SENT))
    return sent, len(conversation.steps)


def grouped(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Returns the findings, those with one signature merged, the worst first, then by how soon they were seen."""
    found: dict[str, Finding] = {}
    for one in findings:
        name = signature(one.violation)
        found[name] = merged(found[name], one) if name in found else one
    return tuple(
        sorted(found.values(), key=lambda one: (_SEVERITIES.index(one.violation.severity), one.seen_after, one.id))
    )


def alike(findings: Iterable[Finding]) -> list[tuple[Finding, ...]]:
    """Returns findings in groups that show one weakness, most likely: the same reaction in the same state breaks the
    same clause, and only the element or item differs that was wrong. The groups, and the findings of each, stay in
    their order."""
    found: dict[tuple[object, ...], list[Finding]] = {}
    for one in findings:
        violation = one.violation
        reaction = violation.reaction.partition(" after ")[0]  # "C-STORE-RSP (success) after contents/path"
        key = violation.severity, violation.oracle, violation.clause, violation.state, reaction
        found.setdefault(key, []).append(one)
    return [tuple(some) for some in found.values()]
