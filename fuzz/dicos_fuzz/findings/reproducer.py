"""Reproducers: one file that shows a finding again, that a person can read, and that contains no patient data.

Knows: the file's layout and version, what is left out of it. Must not know: how it is run (`replay`).

The file is JSON. Its first lines are for people: what was found, which rule it breaks, how to run it, and a transcript.
Then comes what the program reads: the violation, the conversation, those that have to run before it, the entries of the
transcript.

Invariants: a file is read within bounds (`json_text`), and any other bytes raise `DamagedFile` with the file's name and
the place; data from the peer is kept without contents (`contents`), so that no record of a patient is in it; a file
that is written can be read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from dicos_transports.cli.output import plural

from ..conversation import (
    Conversation,
    Transcript,
    conversation_of_json,
    json_of_conversation,
    json_of_transcript,
    transcript_of_json,
)
from ..edit_work import MOST_WORK, check_work
from ..finding import Finding, Severity, Violation, signature
from ..json_text import (
    MOST_BYTES,
    MOST_VALUES,
    DamagedFile,
    choice,
    fields,
    flag,
    items,
    number,
    parse,
    read_file,
    text,
    whole,
    write_file,
    written,
)
from .contents import without_contents_of_transcript
from .fitting import latest
from .transcripts import lines

__all__ = ["MOST_BEFORE", "VERSION", "Reproducer", "file_name", "json_of_reproducer", "of_finding", "read", "write"]

VERSION: Final = 1
MOST_BEFORE: Final = 1000
"""Conversations that may have to run before it."""
_MOST_KEPT: Final = 256 << 10
"""Bytes of a transcript that are kept; after them, only how many there were."""
_MOST_LINES: Final = 200
_MOST_EVIDENCE: Final = 100
_MOST_TEXT: Final = 4000
_MOST_COUNT: Final = 1 << 40
_MOST_SECONDS: Final = 1e9
_MOST_TIME: Final = 1e10
"""Seconds since 1970: the year 2286."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproducer:
    """A finding in a form that can be run again.

    `violation`, `transcript`, `before`, `left_out`, `replayed`, `seen_after`, `at`, `count`, `evidence`: as in
    `Finding`. `conversation`: the smallest one that shows it. `tls`: True if it was found over TLS. `port`: where the
    peer listens, or is waited for; 0: not known. `peer`: a description of the peer, `program`: the version of this
    program, `made`: date and time, texts that nothing depends on.
    """

    violation: Violation
    conversation: Conversation
    transcript: Transcript
    before: tuple[Conversation, ...] = ()
    left_out: int = 0
    replayed: tuple[int, int] = (0, 0)
    seen_after: tuple[float, int] = (0.0, 0)
    at: float = 0.0
    count: int = 1
    evidence: tuple[str, ...] = ()
    tls: bool = False
    port: int = 0
    peer: str = ""
    program: str = ""
    made: str = ""

    @property
    def id(self) -> str:
        """The name of the finding."""
        return f"{self.violation.oracle}-{signature(self.violation)}"


def of_finding(
    finding: Finding, *, peer: str = "", program: str = "", made: str = "", tls: bool = False, port: int = 0
) -> Reproducer:
    """Returns the reproducer of a finding: its minimised conversation where there is one, with the transcript of that
    one where it was kept."""
    return Reproducer(
        violation=finding.violation,
        conversation=finding.minimised or finding.conversation,
        transcript=without_contents_of_transcript(finding.minimised_transcript or finding.transcript),
        before=finding.before,
        left_out=finding.left_out,
        replayed=finding.replayed,
        seen_after=finding.seen_after,
        at=finding.at,
        count=finding.count,
        evidence=finding.evidence,
        tls=tls,
        port=port,
        peer=peer,
        program=program,
        made=made,
    )


def file_name(reproducer: Reproducer) -> str:
    """Returns the name for its file: the id, with signs that any file system takes."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", reproducer.id)[:100].lstrip(".") + ".json"


# -- writing -------------------------------------------------------------------------------------------------------


def write(path: Path, reproducer: Reproducer) -> None:
    """Writes the file, complete or not at all. If there are too many conversations before it for a file, the earliest
    ones are left out, and it says so. Raises ValueError for a reproducer that is too large to be read again without
    them, and OSError."""
    raw = written(json_of_reproducer(reproducer))
    if len(raw) > MOST_BYTES and reproducer.before:
        alone = len(written(json_of_reproducer(replace(reproducer, before=(), left_out=MOST_BEFORE))))
        kept, _ = latest(reproducer.before, (max(0, MOST_BYTES - alone), MOST_VALUES, MOST_WORK))
        left_out = reproducer.left_out + len(reproducer.before) - len(kept)
        raw = written(json_of_reproducer(replace(reproducer, before=kept, left_out=left_out)))
    if len(raw) > MOST_BYTES:
        raise ValueError(f"{reproducer.id}: a file of {len(raw):,} bytes; at most {MOST_BYTES:,}")
    try:
        _read(parse(raw))
    except DamagedFile as fault:
        raise ValueError(f"{reproducer.id}: {fault}") from None
    write_file(path, raw)


def json_of_reproducer(reproducer: Reproducer) -> dict[str, object]:
    """Returns a reproducer as JSON values. Texts that are too long are cut."""
    violation = reproducer.violation
    kept = _kept(without_contents_of_transcript(reproducer.transcript))
    return {
        "dicos reproducer": VERSION,
        "found": _cut(f"{reproducer.id}: {violation.detail}"),
        "rule": _cut(violation.clause),
        "severity": violation.severity.value,
        "peer": _cut(reproducer.peer),
        "shown": _shown(reproducer),
        "run": _how_to_run(reproducer),
        "transcript": lines(kept, reproducer.conversation, most=_MOST_LINES),
        "evidence": [_cut(one) for one in reproducer.evidence[:_MOST_EVIDENCE]],
        "program": _cut(reproducer.program),
        "made": _cut(reproducer.made),
        "violation": {
            "oracle": _cut(violation.oracle),
            "severity": violation.severity.value,
            "detail": _cut(violation.detail),
            "clause": _cut(violation.clause),
            "state": _cut(violation.state),
            "reaction": _cut(violation.reaction),
            "family": _cut(violation.family),
            "by family": violation.by_family,
            "by state": violation.by_state,
        },
        "replayed": list(reproducer.replayed),
        "seen after": list(reproducer.seen_after),
        "at": reproducer.at,
        "tls": reproducer.tls,
        "port": reproducer.port,
        "count": reproducer.count,
        "conversation": json_of_conversation(reproducer.conversation),
        "before": [json_of_conversation(one) for one in reproducer.before[-MOST_BEFORE:]],
        **({"left out": reproducer.left_out} if reproducer.left_out else {}),
        "entries": json_of_transcript(kept),
    }


def _cut(found: str) -> str:
    """A text of the peer or of its log in a form that can be read again."""
    return found.encode("utf-8", "backslashreplace").decode()[:_MOST_TEXT]


def _shown(reproducer: Reproducer) -> str:
    shown, tried = reproducer.replayed
    seconds, conversations = reproducer.seen_after
    again = f"{shown} of {tried} times when it was played again" if tried else "not played again"
    left_out = reproducer.left_out
    more = f"; {plural(left_out, 'earlier conversation')} left out: the file would be too large" if left_out else ""
    return f"first after {seconds:.1f} s and {conversations} conversations; {again}{more}"


def _how_to_run(reproducer: Reproducer) -> list[str]:
    name = file_name(reproducer)
    tls = " --tls" if reproducer.tls else ""
    if reproducer.conversation.side.value == "user":
        how = f"dicos replay {name} HOST PORT{tls}"
    else:
        how = f"dicos replay {name} --listen PORT{tls}, and let the peer call that port"
    more = ["it was found over TLS: add the TLS options for your peer, such as --tls-ca FILE"] if tls else []
    return [how, *more, "exit status 1: it shows again; 0: it does not"]


def _kept(transcript: Transcript) -> Transcript:
    """The transcript up to `_MOST_KEPT` bytes."""
    entries, size = [], 0
    for entry in transcript.entries:
        size += len(entry.data) + 100
        if size > _MOST_KEPT:
            break
        entries.append(replace(entry, note=_cut(entry.note)))
    return Transcript(entries)


# -- reading -------------------------------------------------------------------------------------------------------


def read(path: Path) -> Reproducer:
    """Returns the reproducer of a file. Raises `DamagedFile`, whose text begins with the path, and OSError."""
    try:
        return _read(read_file(path))
    except DamagedFile as fault:
        raise DamagedFile(f"{path}: {fault}") from None


_FOR_PEOPLE: Final = ("found", "rule", "severity", "shown", "run", "transcript")
"""Fields that say the same as others; they are not read."""
_FIELDS: Final = (
    "dicos reproducer", *_FOR_PEOPLE, "peer", "evidence", "program", "made", "violation", "replayed", "seen after",
    "at", "tls", "port", "count", "conversation", "before", "left out", "entries",
)  # fmt: skip


def _read(plain: object) -> Reproducer:
    found = fields(plain, "reproducer")
    if "dicos reproducer" not in found:
        raise DamagedFile('not a reproducer: it has no "dicos reproducer"')
    version = whole(found["dicos reproducer"], "dicos reproducer", 1 << 31)
    if version != VERSION:
        raise DamagedFile(f"a reproducer of version {version}; this program reads version {VERSION}")
    fields(found, "reproducer", _FIELDS)
    evidence = items(found.get("evidence", []), "evidence", _MOST_EVIDENCE)
    before = items(found.get("before", []), "before", MOST_BEFORE)
    shown, tried = _pair(found, "replayed")
    seconds, conversations = _pair(found, "seen after")
    conversation = conversation_of_json(found.get("conversation"))
    earlier = tuple(conversation_of_json(one, f"before {i}") for i, one in enumerate(before, 1))
    check_work((*earlier, conversation))
    return Reproducer(
        violation=_violation(found.get("violation")),
        conversation=conversation,
        transcript=transcript_of_json(found.get("entries", []), "entries"),
        before=earlier,
        left_out=whole(found.get("left out", 0), "left out", _MOST_COUNT),
        replayed=(whole(shown, "replayed 1", _MOST_COUNT), whole(tried, "replayed 2", _MOST_COUNT)),
        seen_after=(
            number(seconds, "seen after 1", _MOST_SECONDS),
            whole(conversations, "seen after 2", _MOST_COUNT),
        ),
        at=number(found.get("at", 0), "at", _MOST_TIME),
        tls=flag(found.get("tls", False), "tls"),
        port=whole(found.get("port", 0), "port", 65_535),
        count=whole(found.get("count", 1), "count", _MOST_COUNT),
        evidence=tuple(text(one, f"evidence {i}") for i, one in enumerate(evidence, 1)),
        peer=text(found.get("peer", ""), "peer"),
        program=text(found.get("program", ""), "program"),
        made=text(found.get("made", ""), "made"),
    )


def _pair(found: Mapping[str, object], name: str) -> tuple[object, object]:
    pair = items(found.get(name, [0, 0]), name)
    if len(pair) != 2:
        raise DamagedFile(f"{name}: a list of {len(pair)}; expected two numbers")
    return pair[0], pair[1]


_VIOLATION: Final = ("oracle", "severity", "detail", "clause", "state", "reaction", "family", "by family", "by state")


def _violation(plain: object) -> Violation:
    found = fields(plain, "violation", _VIOLATION)
    texts = {name: text(found.get(name, ""), f"violation: {name}") for name in _VIOLATION[2:7]}
    oracle = text(found.get("oracle"), "violation: oracle", 100)
    return Violation(
        oracle=oracle,
        severity=Severity(choice(found.get("severity"), "violation: severity", [one.value for one in Severity])),
        by_family=flag(found.get("by family", False), "violation: by family"),
        by_state=flag(found.get("by state", True), "violation: by state"),
        **texts,
    )
