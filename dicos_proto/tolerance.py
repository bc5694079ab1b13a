"""What of a peer's deviations from the standard is let through: a set of single, named flags, all off by default.

Knows: names, clauses, who deviates so and why that may be allowed. Must not know: how a deviation is recognised; the
code that meets one asks `Judge.let` and, where the answer is no, refuses it with a named reason.

Lenient, but never silent: what is let through becomes a `Deviation` event just before the event that it concerns, one
for each flag and association: the first occurrence. Some deviations come with every PDU or with every object, and a
peer is not to fill a log with them.

What Stratovan's toolkit (pyDICOS 1.3.0) does, and what of it needs a flag:

| quirk | flag |
|---|---|
| the item of an accepted context counts its own header | `answer_item_length` |
| command set and data set in one byte stream | `joined_data_set` |
| a whole object in one PDV of any length | none: Maximum Length 0 allows it, and data sets are streamed |
| A-ABORT of two bytes | `short_abort` |
| a user name without the length of the secondary field | `identity_without_secondary` |
| 0x59 although none was asked for | `unasked_identity_response` |
| user information of the requestor sent back as its own | none: it is well formed, and only says little |
| refused contexts are not mentioned | `contexts_unanswered` |
| contexts answered in descending order | none: no order is prescribed |
| UIDs with leading zeros and with roots that nobody can have | `uid_leading_zeros`, `uid_invalid_root` |
| P-DATA-TF longer than the Maximum Length | `over_max_length` |
| the acceptor asks for release after an error | none: PS3.8 7.2 lets both sides ask |
| fragmented command sets are not understood | none: command sets leave in one PDV where they fit |
| silence instead of A-ASSOCIATE-RJ or A-ABORT | none: every wait has a deadline |
| A-ASSOCIATE-RJ with reserved reasons, e.g. 1/1/4 | none: reasons are passed on and not tested |
| a Maximum Length from 1 to 999 is refused | none: the default is larger |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Final

from .limits import Limits

LONGEST_UID: Final = 128
"""Characters of a UID that `uid_too_long` lets through: twice what is allowed, and still a name."""

ASSUMED_MAX_LENGTH: Final = 16_384
"""Maximum Length of a peer that names none: what most implementations use.  # PS3.8 D.1 has no default"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """The deviations that are let through. Two sets are united by `|`; iterating gives (name, clause) of what is on.

    >>> list(Tolerance(short_abort=True) | Tolerance(blank_title=True))
    [('short_abort', 'PS3.8 9.3.8'), ('blank_title', 'PS3.8 9.3.2')]
    """

    answer_item_length: bool = False
    """Lets through: a presentation context item of an A-ASSOCIATE-AC whose length counts its own header and is 4 too
    large. Breaks: PS3.8 9.3.3.2. Who: Stratovan's toolkit, in every A-ASSOCIATE-AC. Why it may be allowed: the
    sub-item inside says where the item ends. Default: off."""
    joined_data_set: bool = False
    """Lets through: a command PDV that goes on, after the end of the command set, with the data set. Breaks: PS3.8
    annex E. Who: Stratovan's toolkit, in every C-STORE-RQ. Why it may be allowed: the group length (0000,0000) says
    where the command set ends. Default: off."""
    short_abort: bool = False
    """Lets through: an A-ABORT of two bytes, source and reason, under a length field of 4; what follows is not read.
    Breaks: PS3.8 9.3.8. Who: Stratovan's toolkit, both roles. Why it may be allowed: the association is over whatever
    is in it, and nobody waits for bytes that never come. Default: off; an A-ABORT whose first reserved byte is not 0
    would be read so, and its reason wrongly told."""
    identity_without_secondary: bool = False
    """Lets through: a user identity of type 1, a user name, that ends before the length of its secondary field. Breaks:
    PS3.7 D.3.3.7.1. Who: Stratovan's toolkit. Why it may be allowed: the field is empty for type 1. Default: off."""
    unasked_identity_response: bool = False
    """Lets through: an answer to a user identity from an acceptor that was not asked for one. Breaks: PS3.7 D.3.3.7.2.
    Who: Stratovan's toolkit; acceptors that answer every identity. Why it may be allowed: it says nothing that anybody
    relies on. Default: off."""
    contexts_unanswered: bool = False
    """Lets through: an A-ASSOCIATE-AC that does not mention every proposed presentation context. Breaks: PS3.8 9.3.3.2.
    Who: Stratovan's toolkit; acceptors that list only what they accept. Why it may be allowed: what is not accepted is
    not used; the result of the context is None. Default: off."""
    uid_leading_zeros: bool = False
    """Lets through: components of a UID that begin with 0. Breaks: PS3.5 9.1. Who: Stratovan's toolkit, and generators
    that join dates and counters. Why it may be allowed: a UID is compared as a string. Default: off."""
    uid_invalid_root: bool = False
    """Lets through: a UID that begins with an arc other than 0, 1 and 2, or with a second arc above 39 below 0 and 1.
    Breaks: PS3.5 9.1. Who: Stratovan's toolkit, and generators that begin with a random number. Why it may be allowed:
    it is a name all the same, though nobody can vouch that it is unique. Default: off."""
    uid_too_long: bool = False
    """Lets through: a UID of 65 to 128 characters. Breaks: PS3.5 9.1. Who: toolkits that append to the UID of another
    object. Why it may be allowed: it is a name all the same. Default: off; what stores it may have room for 64."""
    uid_padded: bool = False
    """Lets through: a NUL or space after a UID in an A-ASSOCIATE item, and in a command set more than the one NUL that
    makes its length even, or a space. Breaks: PS3.8 annex F, PS3.5 9.1. Who: toolkits that encode every UID as in a
    data set, or pad with spaces as other strings are. Why it may be allowed: padding is no part of a UID. Default:
    off."""
    over_max_length: bool = False
    """Lets through: a P-DATA-TF longer than the Maximum Length this side asked for. Breaks: PS3.8 D.1. Who: toolkits
    that count without the PDV header, and Stratovan's, which does not look at it. Why it may be allowed: P-DATA is
    streamed, so it costs no memory. Default: off."""
    missing_user_information: bool = False
    """Lets through: an A-ASSOCIATE without user information, or without Maximum Length or implementation class UID in
    it; a Maximum Length of 16384 is assumed and an empty UID. Breaks: PS3.8 9.3.2.3, D.1, PS3.7 D.3.3.2. Who: simple
    implementations, in devices above all. Why it may be allowed: nothing in it is needed to exchange messages of a
    modest size. Default: off."""
    blank_title: bool = False
    """Lets through: an A-ASSOCIATE-RQ in which an AE title is all spaces, where the policy lets such a title in.
    Breaks: PS3.8 9.3.2. Who: devices that were never configured. Why it may be allowed: a title is a name, not a
    proof. Default: off, and the association is rejected (1/1/3 or 1/1/7)."""
    non_ascii_title: bool = False
    """Lets through: an A-ASSOCIATE-RQ in which an AE title has letters beyond ASCII, read as ISO 8859-1, where the
    policy lets such a title in. Breaks: PS3.8 9.3.2. Who: devices named after a place or a person. Why it may be
    allowed: as for a blank one. Default: off, and the association is rejected (1/1/3 or 1/1/7)."""
    report_without_role: bool = False
    """Lets through: an N-EVENT-REPORT from a peer that was not given the role of an SCP, above all from one that has
    asked for an association to report on and has proposed no roles. Breaks: PS3.7 D.3.3.4, PS3.4 J.2.1. Who: providers
    of storage commitment, and toolkits that leave the roles to their user. Why it may be allowed: the message says who
    is what, and is answered by whoever takes reports, or 0x0211. Default: off."""
    missing_character_set: bool = False
    """Lets through: a data set with text beyond ASCII that does not say its character set (0008,0005). Breaks: PS3.5
    6.1.2, PS3.3 C.12.1.1.2. Who: many devices, with ISO 8859-1 or the encoding of their system. Why it may be allowed:
    the bytes are kept as they are, and only their display is a guess. Default: off. Composite objects pass through the
    engine unread: it is told where a data set is decoded (`datasets`)."""

    def __or__(self, other: Tolerance) -> Tolerance:
        return Tolerance(**dict.fromkeys((*self.names(), *other.names()), True))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((name, CLAUSES[name]) for name in self.names())

    def names(self) -> tuple[str, ...]:
        """The flags that are on, in their order."""
        return tuple(each.name for each in fields(self) if getattr(self, each.name))


CLAUSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "answer_item_length": "PS3.8 9.3.3.2",
        "joined_data_set": "PS3.8 annex E",
        "short_abort": "PS3.8 9.3.8",
        "identity_without_secondary": "PS3.7 D.3.3.7.1",
        "unasked_identity_response": "PS3.7 D.3.3.7.2",
        "contexts_unanswered": "PS3.8 9.3.3.2",
        "uid_leading_zeros": "PS3.5 9.1",
        "uid_invalid_root": "PS3.5 9.1",
        "uid_too_long": "PS3.5 9.1",
        "uid_padded": "PS3.5 9.1",
        "over_max_length": "PS3.8 D.1",
        "missing_user_information": "PS3.8 9.3.2.3",
        "blank_title": "PS3.8 9.3.2",
        "non_ascii_title": "PS3.8 9.3.2",
        "report_without_role": "PS3.7 D.3.3.4",
        "missing_character_set": "PS3.5 6.1.2",
    }
)
"""Flag -> the clause that its deviation breaks: of every flag, in their order."""

STRICT: Final = Tolerance()
"""Nothing is let through. The default of everything but the `dicos` command."""

STRATOVAN: Final = Tolerance(
    answer_item_length=True,
    joined_data_set=True,
    short_abort=True,
    identity_without_secondary=True,
    unasked_identity_response=True,
    contexts_unanswered=True,
    uid_leading_zeros=True,
    uid_invalid_root=True,
    over_max_length=True,
)
"""What it takes to talk to Stratovan's toolkit and to pyDICOS, which is built on it."""

FIELD: Final = Tolerance(
    unasked_identity_response=True,
    contexts_unanswered=True,
    uid_leading_zeros=True,
    uid_invalid_root=True,
    uid_padded=True,
    over_max_length=True,
    missing_user_information=True,
    blank_title=True,
    non_ascii_title=True,
    report_without_role=True,
    missing_character_set=True,
)
"""What many peers in use do, and what harms nobody: names that are sloppy but still names, and things left out whose
absence has one meaning. Not in it: what changes where something begins or ends (`answer_item_length`,
`joined_data_set`, `short_abort`, `identity_without_secondary`), and `uid_too_long`, which others may not store."""

EVERYTHING: Final = Tolerance(**dict.fromkeys(CLAUSES, True))
"""Every flag, for those who only look."""


class Judge:
    """What one association's peer is held to, and the deviations that were let through and nobody was told of yet.

    Decoders get one instead of limits. `untold`: (name, detail), taken out by whoever makes events of them.
    """

    __slots__ = ("_allowed", "_met", "limits", "tolerance", "untold")

    def __init__(self, limits: Limits, tolerance: Tolerance = STRICT) -> None:
        self.limits = limits
        self.tolerance = tolerance
        self.untold: list[tuple[str, str]] = []
        self._allowed = frozenset(tolerance.names())
        self._met: set[str] = set()

    def let(self, name: str, detail: str) -> bool:
        """Whether this deviation is let through. The first of each name is kept, to be told."""
        if name not in self._allowed:
            return False
        if name not in self._met:
            self._met.add(name)
            self.untold.append((name, detail))
        return True
