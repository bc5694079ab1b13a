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
    streamed, so it costs no memory. One longer than twice the Maximum Length and longer than 1 MiB is refused all the
    same: for a peer that sends a whole object in one, ask for a Maximum Length of 0 (`max_length=0`). Default: off."""
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
    informative_text: bool = False
    """Lets through: a text that only informs and is not what its value representation allows: Error Comment, Move
    Originator AE Title, implementation version name and implementation class UID, the UIDs that a response repeats, and
    the application context of an A-ASSOCIATE-AC, which may be missing. Padded with NUL, too long, with other
    characters, or empty where there has to be one. A text is read up to its first NUL, as UTF-8 or else ISO 8859-1,
    with ? for what cannot be printed, and cut; what is no UID is left out. Breaks: PS3.5 6.2, PS3.7 D.3.3.2, E.1. Who:
    toolkits that send strings as C keeps them, and archives that put the text of an exception into the comment.
    Why it may be allowed: nothing rests on it; a stored object counted as failed is worse.
    Default: off."""
    informative_number: bool = False
    """Lets through: a number or a list of tags that only informs and is not encoded as such: Error ID, Offending
    Element, numbers of sub-operations, Move Originator Message ID, Priority (also one that is missing), the types and
    attribute identifiers that a response repeats, the reason why a context is refused, whether a positive response to a
    user identity is wanted, and in a message that can have no data set whether one follows (also if that is missing). A
    number of another length is read where it fits, and left out where it does not.
    Breaks: PS3.7 E.1, PS3.8 9.3.3.2. Who: toolkits that encode every number alike. Why it may be allowed: nothing rests
    on it. Default: off."""
    title_padded: bool = False
    """Lets through: an AE title of an A-ASSOCIATE-RQ, or the Move Destination of a C-MOVE, in which a NUL is; it is
    read up to the first one. Breaks: PS3.8 9.3.2, PS3.5 6.2. Who: older workstations that pad with NUL, or send the
    buffer as it is. Why it may be allowed: what stands before the NUL is the title; whether it is let in is up to the
    policy. Default: off, and the association is rejected (1/1/3 or 1/1/7)."""
    repeated_item: bool = False
    """Lets through: two Maximum Length sub-items, implementation class UIDs, implementation version names or operations
    windows in one A-ASSOCIATE; the last one counts. Breaks: PS3.8 9.3.2.3, PS3.7 D.3.3. Who: toolkits to whose defaults
    their user adds items. Why it may be allowed: what was said last is what was meant. Default: off. What decides who
    somebody is, a user identity, may never come twice."""
    unasked_window: bool = False
    """Lets through: an A-ASSOCIATE-AC with an asynchronous operations window that was not proposed, or with a larger
    one; no more than what was proposed is used. Breaks: PS3.7 D.3.3.3. Who: acceptors that always send their own. Why
    it may be allowed: whoever uses less of a window than is granted breaks nothing. Default: off."""
    role_of_neither: bool = False
    """Lets through: a role selection of an A-ASSOCIATE-RQ that proposes neither role; it is left out, and the default
    roles hold. Breaks: PS3.7 D.3.3.4. Who: toolkits that send an item for each SOP class, whatever is set in it. Why it
    may be allowed: who proposes no role and then acts as SCU meant the default. Default: off, and such a peer can ask
    for nothing."""
    item_no_uid: bool = False
    """Lets through: a proposed presentation context with a transfer syntax or an abstract syntax that is no UID, or
    with none at all, and a role selection or extended negotiation for what is no UID. A transfer syntax or an item is
    left out; a context is refused where nothing good is left of it (result 3 or 4). Breaks: PS3.8 9.3.2.2, PS3.5 9.1.
    Who: toolkits with an empty entry in their configuration. Why it may be allowed: what cannot be named cannot be
    used, and the other contexts can. Default: off."""
    unreadable_item: bool = False
    """Lets through: an operations window, a role selection, an extended or common extended negotiation or a user
    identity response of an A-ASSOCIATE-AC that cannot be read, one of another length say; it is left out, as an answer
    may leave it out. Breaks: PS3.7 D.3.3. Who: acceptors that send back what they did not understand. Why it may be
    allowed: what is not answered is not granted, and the defaults hold. Default: off."""
    command_layout: bool = False
    """Lets through: a command set without group length, or with a wrong one; elements of odd length, or not in
    ascending order. Breaks: PS3.7 6.3.1. Who: toolkits that write command sets by hand. Why it may be allowed: the last
    fragment says where it ends, and each element which it is and how long. Default: off. An element that comes twice,
    or of another group, is never let through."""
    unwanted_data_set: bool = False
    """Lets through: a message that announces a data set where none may be: a final C-FIND-RSP, a C-STORE-RSP, a C-ECHO.
    It is taken without; a data set that follows is read over. Breaks: PS3.7 9.3, 10.3, E.1 (0000,0800). Who: archives
    that repeat the identifier with the final response, and toolkits that write another value than 0101H. Why it may be
    allowed: the message says the same without it. Default: off."""
    response_on_other_context: bool = False
    """Lets through: a response on another accepted presentation context than that of its request. Breaks: PS3.7 9.1,
    10.1. Who: odil, in each C-STORE-RSP. Why it may be allowed: the message id says whose response it is, and is
    outstanding only once. Default: off."""
    store_without_role: bool = False
    """Lets through: a C-STORE-RQ, while a C-GET is outstanding, from a peer that did not answer the proposed roles.
    Breaks: PS3.7 D.3.3.4, PS3.4 C.5.3. Who: archives that do not look at role selection. Why it may be allowed: the
    context was accepted, and the objects were asked for. Default: off."""
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
        "informative_text": "PS3.5 6.2",
        "informative_number": "PS3.7 E.1",
        "title_padded": "PS3.8 9.3.2",
        "repeated_item": "PS3.8 9.3.2.3",
        "unasked_window": "PS3.7 D.3.3.3",
        "role_of_neither": "PS3.7 D.3.3.4",
        "item_no_uid": "PS3.8 9.3.2.2",
        "unreadable_item": "PS3.7 D.3.3",
        "command_layout": "PS3.7 6.3.1",
        "unwanted_data_set": "PS3.7 E.1",
        "response_on_other_context": "PS3.7 9.1",
        "store_without_role": "PS3.7 D.3.3.4",
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
    informative_text=True,
    informative_number=True,
    title_padded=True,
    repeated_item=True,
    unasked_window=True,
    role_of_neither=True,
    item_no_uid=True,
    unreadable_item=True,
    command_layout=True,
    unwanted_data_set=True,
    response_on_other_context=True,
    store_without_role=True,
    missing_character_set=True,
)
"""What many peers in use do, and what harms nobody: names that are sloppy but still names, things left out whose
absence has one meaning, and all that only informs. Not in it: what changes where something begins or ends
(`answer_item_length`, `joined_data_set`, `short_abort`, `identity_without_secondary`), and `uid_too_long`, which others
may not store."""

EVERYTHING: Final = Tolerance(**dict.fromkeys(CLAUSES, True))
"""Every flag, for those who only look."""


def informing_text(raw: bytes, most: int) -> str:
    """A text that only informs, as far as it can be read: at most `most` printable characters, up to the first NUL.

    UTF-8, or else ISO 8859-1. What cannot be printed becomes a question mark, so that no terminal obeys it.
    """
    kept = raw.partition(b"\0")[0][: 8 * most]
    try:
        text = kept.decode("utf-8")
    except UnicodeDecodeError:
        text = kept.decode("latin-1")
    return "".join(one if one.isprintable() else "?" for one in text.strip(" ")[:most])


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
