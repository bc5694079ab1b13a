"""What a peer did, as a value, and patterns of it: how a case says which reactions are right.

Knows: reactions. Must not know: cases, scripts, media.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from dicos_proto.registry.status import category
from dicos_proto.registry.status_tables import Category

__all__ = [
    "ABORT", "ACCEPT", "ANYTHING", "CLOSE", "Did", "FAILURE", "GOES_ON", "Pattern", "REJECT", "RELEASE", "RESET",
    "Reaction", "SILENCE", "SUCCESS", "abort", "answer", "noted", "reject",
]  # fmt: skip


class Did(Enum):
    """The kinds of reactions."""

    ACCEPT = "A-ASSOCIATE-AC"
    REJECT = "A-ASSOCIATE-RJ"
    ABORT = "A-ABORT"
    RELEASE = "A-RELEASE-RP"
    ASK_RELEASE = "A-RELEASE-RQ"
    REQUEST = "A-ASSOCIATE-RQ"
    ANSWER = "a response"  # a DIMSE response; `status`
    MESSAGE = "a request"  # a DIMSE request
    GOES_ON = "goes on"  # the association is as good as before: a C-ECHO was answered
    CLOSE = "closes the connection"
    RESET = "resets the connection"
    SILENCE = "does nothing"  # and keeps the connection open
    MALFORMED = "a malformed PDU"
    OTHER = "something else"
    VALUE = "a value"  # of a case that only informs; `detail`


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """What the peer did. `detail`: for people, in full: what was seen, with numbers. `note`: a name that the script
    gives, for `noted`. `source`, `reason`, `result`: the fields of an A-ABORT or A-ASSOCIATE-RJ. `status`: that of a
    response."""

    did: Did
    detail: str = ""
    note: str = ""
    source: int | None = None
    reason: int | None = None
    result: int | None = None
    status: int | None = None

    def __str__(self) -> str:
        return self.detail or self.did.value


@dataclass(frozen=True, slots=True)
class Pattern:
    """A set of reactions, and its words. `a | b`: either."""

    words: str
    matches: Callable[[Reaction], bool]

    def __or__(self, other: Pattern) -> Pattern:
        mine, theirs = self.matches, other.matches
        return Pattern(f"{self.words}, or {other.words}", lambda seen: mine(seen) or theirs(seen))

    def __str__(self) -> str:
        return self.words


def _did(did: Did, words: str | None = None) -> Pattern:
    return Pattern(words or did.value, lambda seen: seen.did is did)


ACCEPT: Final = _did(Did.ACCEPT)
REJECT: Final = _did(Did.REJECT)
ABORT: Final = _did(Did.ABORT)
RELEASE: Final = _did(Did.RELEASE)
CLOSE: Final = _did(Did.CLOSE)
RESET: Final = _did(Did.RESET)
SILENCE: Final = _did(Did.SILENCE)
GOES_ON: Final = _did(Did.GOES_ON, "the association goes on")
ANYTHING: Final = Pattern("anything", lambda seen: True)


def abort(source: int | None = None, *reasons: int) -> Pattern:
    """Returns the A-ABORTs with this source (0 service user, 2 service provider), and one of these reasons if there are
    some [PS3.8 9.3.8]."""
    by = {0: "by the service user", 2: "by the service provider"}.get(-1 if source is None else source, "")
    why = f", reason {' or '.join(map(str, reasons))}" if reasons else ""
    return Pattern(
        " ".join(filter(None, ("A-ABORT", by))) + why,
        lambda seen: (
            seen.did is Did.ABORT
            and (source is None or seen.source == source)
            and (not reasons or seen.reason in reasons)
        ),
    )


def reject(result: int | None = None, source: int | None = None, *reasons: int) -> Pattern:
    """Returns the A-ASSOCIATE-RJs with these fields [PS3.8 9.3.4]."""
    fields = "/".join("*" if one is None else str(one) for one in (result, source))
    why = " or ".join(map(str, reasons)) or "*"
    return Pattern(
        f"A-ASSOCIATE-RJ {fields}/{why} (result/source/reason)",
        lambda seen: (
            seen.did is Did.REJECT
            and (result is None or seen.result == result)
            and (source is None or seen.source == source)
            and (not reasons or seen.reason in reasons)
        ),
    )


def answer(*statuses: int, category_: Category | None = None) -> Pattern:
    """Returns the responses with one of these status codes, or of this category; any response without either."""
    if category_ is not None:
        words = f"a response of the category {category_.name.lower()}"
        return Pattern(words, lambda seen: seen.status is not None and category(seen.status) is category_)
    codes = " or ".join(f"{one:04X}H" for one in statuses)
    words = f"a response with status {codes}" if statuses else "a response"
    return Pattern(words, lambda seen: seen.did is Did.ANSWER and (not statuses or seen.status in statuses))


SUCCESS: Final = answer(0)
FAILURE: Final = answer(category_=Category.FAILURE)


def noted(note: str, words: str) -> Pattern:
    """Returns the reactions to which a script gave this note."""
    return Pattern(words, lambda seen: seen.note == note)
