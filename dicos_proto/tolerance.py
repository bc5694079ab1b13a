"""Deviations from the standard that are accepted from a peer: a set of named flags, all off by default.

Knows: names, clauses, which peers deviate in this way and why that may be allowed. Must not know: how a deviation is
recognised; the code that meets one asks `Judge.tolerates` and, if it returns False, refuses the deviation with its
clause.

Lenient, but never silent: an accepted deviation becomes a `Deviation` event just before the event that it concerns.
Each flag is reported once for each association, at the first occurrence: some deviations come with every PDU or with
every object, and a peer must not fill a log with them.

Stratovan's toolkit (pyDICOS 1.3.0) has these quirks; some of them need a flag:

| quirk | flag |
|---|---|
| the length of an accepted context item includes its own header | `answer_item_length` |
| a command set and its data set in one byte stream | `joined_data_set` |
| a whole object in one PDV of any length | none: Maximum Length 0 allows it, and data sets are streamed |
| A-ABORT of two bytes | `short_abort` |
| a user identity without the length of the secondary field | `identity_without_secondary` |
| a user identity response (0x59) that was not asked for | `unasked_identity_response` |
| the requestor's user information is sent back as the acceptor's | none: it is well formed, only uninformative |
| refused contexts are not mentioned | `contexts_unanswered` |
| contexts answered in descending order | none: no order is prescribed |
| UIDs with leading zeros and with invalid roots | `uid_leading_zeros`, `uid_invalid_root` |
| a P-DATA-TF longer than the Maximum Length | `over_max_length` |
| the acceptor asks for release after an error | none: both sides may ask [PS3.8 7.2] |
| fragmented command sets are not understood | none: a command set is sent in one PDV if it fits |
| silence instead of A-ASSOCIATE-RJ or A-ABORT | none: every wait has a deadline |
| A-ASSOCIATE-RJ with reserved reasons, e.g. 1/1/4 | none: reasons are passed on unchecked |
| a Maximum Length from 1 to 999 is refused | none: the default is larger |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from .limits import Limits

__all__ = ["CLAUSES", "EVERYTHING", "FIELD", "STRATOVAN", "STRICT", "Tolerance", "Toolkit"]

LONGEST_UID: Final = 128
"""The most characters of a UID that `uid_too_long` accepts: twice what the standard allows."""

ASSUMED_MAX_LENGTH: Final = 16_384
"""Maximum Length, in bytes, that is assumed if the peer sends none: the value that most implementations use. The
standard has no default [PS3.8 D.1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """The deviations that are accepted. `|` unites two sets; iterating gives (name, clause) of each flag that is on.

    >>> list(Tolerance(short_abort=True) | Tolerance(blank_title=True))
    [('short_abort', 'PS3.8 9.3.8'), ('blank_title', 'PS3.8 9.3.2')]
    """

    answer_item_length: bool = False
    """Accepts: a presentation context item of an A-ASSOCIATE-AC whose length includes its own header and is 4 too
    large. Breaks: PS3.8 9.3.3.2. Who: Stratovan's toolkit, in every A-ASSOCIATE-AC. Why it may be allowed: the sub-item
    inside shows where the item ends. Default: off."""
    joined_data_set: bool = False
    """Accepts: a command PDV that continues with the data set after the end of the command set. Breaks: PS3.8 annex E.
    Who: Stratovan's toolkit, in every C-STORE-RQ. Why it may be allowed: the group length (0000,0000) shows where the
    command set ends. Default: off."""
    short_abort: bool = False
    """Accepts: an A-ABORT of two bytes, source and reason, whose length field is 4; the bytes that follow are not read.
    Breaks: PS3.8 9.3.8. Who: Stratovan's toolkit, in both roles. Why it may be allowed: the association ends whatever
    the A-ABORT contains, and nobody waits for bytes that never arrive. Default: off; with the flag, a full A-ABORT
    whose first reserved byte is not 0 would be read as a short one and reported with a wrong reason."""
    identity_without_secondary: bool = False
    """Accepts: a user identity of type 1, a user name, that ends before the length of its secondary field. Breaks:
    PS3.7 D.3.3.7.1. Who: Stratovan's toolkit. Why it may be allowed: the field is empty for type 1. Default: off."""
    unasked_identity_response: bool = False
    """Accepts: a user identity response from an acceptor that was not asked for one. Breaks: PS3.7 D.3.3.7.2. Who:
    Stratovan's toolkit; acceptors that answer every identity. Why it may be allowed: nothing relies on it. Default:
    off."""
    contexts_unanswered: bool = False
    """Accepts: an A-ASSOCIATE-AC that does not mention every proposed presentation context. Breaks: PS3.8 9.3.3.2. Sent
    Who: Stratovan's toolkit; acceptors that list only the contexts that they accept. Why it may be allowed: a context
    that is not accepted is not used; its result is None. Default: off."""
    uid_leading_zeros: bool = False
    """Accepts: a UID with components that begin with 0. Breaks: PS3.5 9.1. Who: Stratovan's toolkit, and generators
    that join dates and counters. Why it may be allowed: a UID is compared as a string. Default: off."""
    uid_invalid_root: bool = False
    """Accepts: a UID whose first arc is not 0, 1 or 2, or whose second arc is above 39 after a first arc of 0 or 1.
    Breaks: PS3.5 9.1. Who: Stratovan's toolkit, and generators that begin with a random number. Why it may be allowed:
    it is still a name, although nobody can guarantee that it is unique. Default: off."""
    uid_too_long: bool = False
    """Accepts: a UID of 65 to 128 characters. Breaks: PS3.5 9.1. Who: toolkits that append to the UID of another
    object. Why it may be allowed: it is still a name. Default: off; a database may have room for 64 characters only."""
    uid_padded: bool = False
    """Accepts: a UID in an A-ASSOCIATE item that is padded with a NUL or space; in a command set, one padded with a
    space, or with more than the one NUL that makes its length even. Breaks: PS3.8 annex F, PS3.5 9.1. Who: toolkits
    that encode every UID as in a data set, or pad it with spaces like other strings. Why it may be allowed: padding is
    not part of a UID. Default: off."""
    over_max_length: bool = False
    """Accepts: a P-DATA-TF longer than the Maximum Length that this side asked for. Breaks: PS3.8 D.1. Who: toolkits
    that do not count the PDV header, and Stratovan's toolkit, which ignores the Maximum Length. Why it may be allowed:
    P-DATA is streamed, so it costs no memory. One longer than both 1 MiB and twice the Maximum Length is refused all
    the same: if a peer sends whole objects in one P-DATA-TF, ask for a Maximum Length of 0 (`max_length=0`). Default:
    off."""
    missing_user_information: bool = False
    """Accepts: an A-ASSOCIATE without user information, or whose user information has no Maximum Length or no
    implementation class UID; a Maximum Length of 16384 and an empty UID are assumed. Breaks: PS3.8 9.3.2.3, D.1, PS3.7
    D.3.3.2. Who: simple implementations, above all in devices. Why it may be allowed: messages of modest size can be
    exchanged without it. Default: off."""
    blank_title: bool = False
    """Accepts: an A-ASSOCIATE-RQ with an AE title of spaces only, if the policy accepts that title. Breaks: PS3.8
    9.3.2. Who: devices that were never configured. Why it may be allowed: a title is a name, not a proof of identity.
    Default: off; the association is rejected (1/1/3 or 1/1/7)."""
    non_ascii_title: bool = False
    """Accepts: an A-ASSOCIATE-RQ with an AE title that has letters outside ASCII, read as ISO 8859-1, if the policy
    accepts that title. Breaks: PS3.8 9.3.2. Who: devices named after a place or a person. Why it may be allowed: a
    title is a name, not a proof of identity. Default: off; the association is rejected (1/1/3 or 1/1/7)."""
    report_without_role: bool = False
    """Accepts: an N-EVENT-REPORT from a peer that does not have the role of SCP, above all from one that opened an
    association to report on and proposed no roles. Breaks: PS3.7 D.3.3.4, PS3.4 J.2.1. Who: providers of storage
    commitment, and toolkits that leave the roles to their user. Why it may be allowed: the message itself shows which
    side is which. A side that handles reports answers it; any other side answers 0x0211. Default: off."""
    informative_text: bool = False
    """Accepts: a text that only informs and is not allowed by its value representation: Error Comment, Move Originator
    AE Title, implementation version name and implementation class UID, the UIDs that a response repeats, and the
    application context of an A-ASSOCIATE-AC, which may be missing. It may be padded with NUL, too long, have other
    characters, or be empty where a value is required. It is read up to its first NUL as UTF-8, or else as ISO 8859-1,
    with ? for characters that cannot be printed, and cut to its greatest length; a text that is not a UID is dropped
    where a UID is required. Breaks: PS3.5 6.2, PS3.7 D.3.3.2, E.1. Who: toolkits that send strings as C stores them,
    and archives that put the text of an exception into the comment. Why it may be allowed: nothing depends on it; to
    count a stored object as failed would be worse. Default: off."""
    informative_number: bool = False
    """Accepts: a number or a list of tags that only informs and is wrongly encoded: Error ID, Offending Element,
    numbers of sub-operations, Move Originator Message ID, Priority (also if it is missing), the types and attribute
    identifiers that a response repeats, the reason why a context is refused, the flag of a user identity that requests
    a response, and, in a message that cannot have a data set, the element that announces one (also if it is missing). A
    number of another length is read if its value fits, and dropped if not. Breaks: PS3.7 E.1, PS3.8 9.3.3.2. Who:
    toolkits that encode every number alike. Why it may be allowed: nothing depends on it. Default: off."""
    title_padded: bool = False
    """Accepts: an AE title of an A-ASSOCIATE-RQ, or the Move Destination of a C-MOVE, that contains a NUL; it is read
    up to the first NUL. Breaks: PS3.8 9.3.2, PS3.5 6.2. Who: older workstations that pad with NUL, or send their buffer
    as it is. Why it may be allowed: the characters before the NUL are the title, and the policy still decides whether
    to accept it. Default: off; the association is rejected (1/1/3 or 1/1/7)."""
    repeated_item: bool = False
    """Accepts: two Maximum Length sub-items, implementation class UIDs, implementation version names or operations
    windows in one A-ASSOCIATE; the last one is used. Breaks: PS3.8 9.3.2.3, PS3.7 D.3.3. Who: toolkits whose user adds
    items to their defaults. Why it may be allowed: the item that the user added is the one that is meant. Default: off.
    An item that decides who the peer is, the user identity, may never come twice."""
    unasked_window: bool = False
    """Accepts: an A-ASSOCIATE-AC with an asynchronous operations window that was not proposed, or with a larger one
    than was proposed; no more than the proposed window is used. Breaks: PS3.7 D.3.3.3. Who: acceptors that always send
    their own window. Why it may be allowed: a requestor may use less of a window than it is granted. Default: off."""
    role_of_neither: bool = False
    """Accepts: a role selection of an A-ASSOCIATE-RQ that proposes neither role; it is dropped, and the default roles
    apply. Breaks: PS3.7 D.3.3.4. Who: toolkits that send an item for each SOP class even if no role is set in it. Why
    it may be allowed: a peer that proposes no role and then acts as SCU meant the default. Default: off; such a peer
    cannot request anything."""
    item_no_uid: bool = False
    """Accepts: a proposed presentation context with a transfer syntax or an abstract syntax that is not a UID, or with
    none at all, and a role selection or extended negotiation for a name that is not a UID. The transfer syntax or item
    is dropped; a context with nothing usable left is refused (result 3 or 4). Breaks: PS3.8 9.3.2.2, PS3.5 9.1. Sent
    Who: toolkits with an empty entry in their configuration. Why it may be allowed: a name that is not a UID cannot be
    used, and the other contexts can. Default: off."""
    unreadable_item: bool = False
    """Accepts: an operations window, a role selection, an extended or common extended negotiation or a user identity
    response of an A-ASSOCIATE-AC that cannot be read, for example because its length is wrong; it is dropped, as if the
    answer did not have it. Breaks: PS3.7 D.3.3. Who: acceptors that send back items that they did not understand. Why
    it may be allowed: an item that is not answered is not granted, and the defaults apply. Default: off."""
    command_layout: bool = False
    """Accepts: a command set without group length, or with a wrong one; elements of odd length, or not in ascending
    order. Breaks: PS3.7 6.3.1. Who: toolkits that write command sets by hand. Why it may be allowed: the last fragment
    shows where the command set ends, and each element has its tag and length. Default: off. An element that comes
    twice, or belongs to another group, is never accepted."""
    unwanted_data_set: bool = False
    """Accepts: a message that announces a data set where none is allowed: a final C-FIND-RSP, a C-STORE-RSP, a C-ECHO.
    The message is accepted without it; a data set that follows is skipped. Breaks: PS3.7 9.3, 10.3, E.1 (0000,0800).
    Who: archives that repeat the identifier with the final response, and toolkits that do not write 0101H. Why it may
    be allowed: the message means the same without the data set. Default: off."""
    response_on_other_context: bool = False
    """Accepts: a response on another accepted presentation context than that of its request. Breaks: PS3.7 9.1, 10.1.
    Who: odil, in each C-STORE-RSP. Why it may be allowed: the message id identifies the request, and is outstanding
    only once. Default: off."""
    store_without_role: bool = False
    """Accepts: a C-STORE-RQ, while a C-GET is outstanding, from a peer that did not answer the proposed roles. Breaks:
    PS3.7 D.3.3.4, PS3.4 C.5.3. Who: archives that ignore role selection. Why it may be allowed: the context was
    accepted, and the objects were requested. Default: off."""
    missing_character_set: bool = False
    """Accepts: a data set with text outside ASCII that does not name its character set (0008,0005). Breaks: PS3.5
    6.1.2, PS3.3 C.12.1.1.2. Who: many devices, with ISO 8859-1 or the encoding of their system. Why it may be allowed:
    the bytes are kept as they are, and only their display is a guess. Default: off. Composite objects pass through the
    engine undecoded: the deviation is reported when a data set is decoded (`datasets`)."""
    toolkits: tuple[Toolkit, ...] = field(default=(), init=False)
    """The toolkits that are recognized on an association, each with the deviations that are then accepted from it as
    well; set by `recognizing`. `AUTOMATIC` has one."""

    def __or__(self, other: Tolerance) -> Tolerance:
        toolkits = tuple(dict.fromkeys((*self.toolkits, *other.toolkits)))
        return Tolerance(**dict.fromkeys((*self.names(), *other.names()), True)).recognizing(*toolkits)

    def recognizing(self, *toolkits: Toolkit) -> Tolerance:
        """Returns the same flags, with these toolkits to recognize."""
        made = replace(self)
        object.__setattr__(made, "toolkits", toolkits)  # not an argument: those of the class are its flags
        return made

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((name, CLAUSES[name]) for name in self.names())

    def names(self) -> tuple[str, ...]:
        """Returns the names of the flags that are on, in the order of the fields."""
        return tuple(name for name in CLAUSES if getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolkit:
    """A toolkit that is recognized by what it proposes or answers, and by its first violation; then `tolerance` is
    accepted from it as well, on that association only (`upper_layer.recognition`).

    All of the signs must be there. As a requestor it proposes one of `application_contexts` and somewhere one of
    `transfer_syntaxes`, and names one of `class_uids` or one of `version_names` as its implementation. As an acceptor
    it answers with one of `application_contexts`, and `echoes` the Maximum Length, class UID and version name of the
    requestor as its own.
    """

    name: str
    tolerance: Tolerance
    application_contexts: frozenset[str]
    transfer_syntaxes: frozenset[str]
    class_uids: frozenset[str] = frozenset()
    version_names: frozenset[str] = frozenset()
    echoes: bool = False


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
"""Flag -> the clause that the deviation breaks, for every flag, in the order of the fields."""

STRICT: Final = Tolerance()
"""No deviation is accepted. The default of everything except the `dicos` command."""

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
"""The flags that are needed to talk to Stratovan's toolkit and to pyDICOS, which is built on it."""

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
"""Harmless deviations of many peers in use: sloppy names that are still names, missing items whose absence has only one
meaning, and values that only inform. It leaves out the flags that change where something begins or ends
(`answer_item_length`, `joined_data_set`, `short_abort`, `identity_without_secondary`), and `uid_too_long`, because
other systems may be unable to store such a UID."""

EVERYTHING: Final = Tolerance(**dict.fromkeys(CLAUSES, True))
"""Every flag, for tools that only show what was sent."""


def informing_text(raw: bytes, most: int) -> str:
    """Returns the readable part of a text that only informs: at most `most` printable characters, up to the first NUL.

    The text is read as UTF-8, or else as ISO 8859-1. Characters that cannot be printed become question marks, so that
    no terminal obeys them.
    """
    kept = raw.partition(b"\0")[0][: 8 * most]
    try:
        text = kept.decode("utf-8")
    except UnicodeDecodeError:
        text = kept.decode("latin-1")
    return "".join(one if one.isprintable() else "?" for one in text.strip(" ")[:most].rstrip(" "))


class Judge:
    """The limits and the tolerance of one association, and the accepted deviations that are not reported yet.

    Decoders receive a `Judge` instead of limits. `untold`: (name, detail) of each deviation that is not reported yet;
    the code that makes events of them takes them out. `recognized`: the toolkit whose deviations are accepted since a
    violation of the peer, else None. `suspected`: the one that the peer seems to be, and that has not violated anything
    yet.
    """

    __slots__ = ("_allowed", "_met", "limits", "recognized", "suspected", "tolerance", "untold")

    def __init__(self, limits: Limits, tolerance: Tolerance = STRICT) -> None:
        self.limits = limits
        self.tolerance = tolerance
        self.untold: list[tuple[str, str]] = []
        self.recognized: Toolkit | None = None
        self.suspected: Toolkit | None = None
        self._allowed = frozenset(tolerance.names())
        self._met: set[str] = set()

    def tolerates(self, name: str, detail: str) -> bool:
        """Returns True if this deviation is accepted. The first one of each name is kept in `untold`.

        A deviation of the suspected toolkit is accepted, and the toolkit is recognized by it."""
        suspected = self.suspected
        if suspected is not None and getattr(suspected.tolerance, name):
            self._recognize(suspected)
        if name not in self._allowed:
            return False
        if name not in self._met:
            self._met.add(name)
            self.untold.append((name, detail))
        return True

    def may(self, name: str) -> bool:
        """Returns True if this deviation would be accepted, so that it must be looked for."""
        suspected = self.suspected
        return name in self._allowed or (suspected is not None and getattr(suspected.tolerance, name))

    def trial(self, toolkit: Toolkit) -> Judge:
        """Returns a judge for the same peer, if it were this toolkit; this one is unchanged."""
        return Judge(self.limits, self.tolerance | toolkit.tolerance)

    def settle(self, trial: Judge, toolkit: Toolkit) -> None:
        """Adopts what `trial` found in the peer's first PDU: the toolkit is recognized if it violated something, or
        else suspected."""
        self.untold[:], self._met = trial.untold, trial._met
        if any(getattr(toolkit.tolerance, name) for name in self._met):
            self._recognize(toolkit)
        else:
            self.suspected = toolkit

    def _recognize(self, toolkit: Toolkit) -> None:
        self.recognized, self.suspected = toolkit, None
        self.tolerance = self.tolerance | toolkit.tolerance
        self._allowed = frozenset(self.tolerance.names())
