"""The policy of an acceptor: values only.

Knows: the fields and their meaning. Must not know: requests and answers (`negotiation`), bytes, states, time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain

from ..arguments import check_kind, check_mapping, check_several
from ..limits import DEFAULT_MAX_LENGTH, Limits
from ..registry import uids
from .extended import Extension
from .pdu_types import OperationsWindow


class Preference(Enum):
    """The side whose order of transfer syntaxes decides."""

    OWN = "own"
    REQUESTOR = "requestor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Roles, of the association requestor, that an acceptor grants for a SOP class [PS3.7 D.3.3.4]."""

    scu: bool = True
    scp: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityPolicy:
    """The user identities that an acceptor accepts [PS3.7 D.3.3.7].

    `required`: refuse a requestor that sends none. `known`: primary field -> secondary field, as bytes; None checks
    nothing: any identity is accepted, and none gets a positive response, which would mean that it was checked. A user
    without passcode has an empty secondary field: a name alone is never accepted for a user with a passcode.
    `types`: the identity types understood; with `known` or `required`, others are refused. `response`: what a positive
    response to types 3, 4 and 5 carries.

    Tickets, assertions and tokens (types 3 to 5) are for the caller to check: see `IdentityVerdict`.

    Raises TypeError if `known` has anything but bytes, which would match no user, and if `types` is one number.
    """

    required: bool = False
    known: Mapping[bytes, bytes] | None = field(default=None, repr=False)
    types: tuple[int, ...] = (1, 2)
    response: bytes = b""

    def __post_init__(self) -> None:
        if self.known is not None:
            check_mapping(self.known, "IdentityPolicy(known=...)", "names to passcodes")
        check_several(self.types, "IdentityPolicy(types={})", "identity types")
        for one in chain.from_iterable((self.known or {}).items()):
            if not isinstance(one, bytes):
                raise TypeError(f"IdentityPolicy(known=...) has a {type(one).__name__}; names and passcodes are bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityVerdict:
    """The caller's decision about a user identity, or about a request without one, in place of an `IdentityPolicy`. A
    server's `identify` returns one [PS3.7 D.3.3.7].

    `response`: the server's ticket, assertion or token. It is sent only to a requestor that asked for a positive
    response, and empty for types 1 and 2, which have none.
    """

    accepted: bool
    response: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptPolicy:
    """How an acceptor answers a request.

    `contexts`: abstract syntax -> transfer syntaxes, best first. `other_contexts`: the transfer syntaxes for every
    abstract syntax that is not in `contexts`; None refuses those. `general`: transfer syntaxes for abstract syntaxes in
    neither, by the related general SOP class or the service class that the request names for them. `refused`: abstract
    syntaxes refused by the user (result 1) although supported. `called_aets` and `calling_aets`: the accepted titles;
    None accepts all.
    `window`: the largest window to grant; None answers no window, so one operation at a time.
    `extended`: SOP class -> the supported options (`extended.grant`), or raw bytes, which are answered unchanged.
    `peer_max_length`: the smallest Maximum Length of a requestor that is accepted (`Limits.peer_max_length` says why);
    a smaller one is rejected.

    Raises TypeError for one text in place of a collection, which would be taken for its characters, and for a field of
    another type.
    """

    contexts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    other_contexts: tuple[str, ...] | None = None
    general: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()
    preference: Preference = Preference.REQUESTOR
    application_contexts: tuple[str, ...] = uids.APPLICATION_CONTEXTS
    called_aets: frozenset[str] | None = None
    calling_aets: frozenset[str] | None = None
    roles: Mapping[str, Roles] = field(default_factory=dict)
    window: OperationsWindow | None = None
    extended: Mapping[str, bytes | Extension] = field(default_factory=dict)
    identity: IdentityPolicy = IdentityPolicy()
    max_length: int = DEFAULT_MAX_LENGTH
    implementation_class_uid: str = uids.IMPLEMENTATION_CLASS_UID
    implementation_version_name: str | None = uids.IMPLEMENTATION_VERSION_NAME
    max_contexts: int = Limits().contexts
    peer_max_length: int = Limits().peer_max_length

    def __post_init__(self) -> None:
        for name in ("contexts", "general"):
            accepted = getattr(self, name)
            check_mapping(accepted, f"AcceptPolicy({name}={{}})", "UIDs to transfer syntaxes")
            for uid, syntaxes in accepted.items():
                check_several(syntaxes, f"AcceptPolicy({name}={{{uid!a}: {{}}}})", "transfer syntaxes")
        if self.other_contexts is not None:
            check_several(self.other_contexts, "AcceptPolicy(other_contexts={})", "transfer syntaxes")
        check_several(self.application_contexts, "AcceptPolicy(application_contexts={})", "UIDs")
        check_several(self.refused, "AcceptPolicy(refused={})", "UIDs", "frozenset")
        for name in ("called_aets", "calling_aets"):
            if getattr(self, name) is not None:
                check_several(getattr(self, name), f"AcceptPolicy({name}={{}})", "AE titles", "frozenset")
        check_kind(self.preference, "AcceptPolicy(preference={})", Preference)
        check_mapping(self.roles, "AcceptPolicy(roles={})", "UIDs to Roles")
        for uid, roles in self.roles.items():
            check_kind(roles, f"AcceptPolicy(roles={{{uid!a}: {{}}}})", Roles)
        check_kind(self.window, "AcceptPolicy(window={})", OperationsWindow, type(None))
        check_mapping(self.extended, "AcceptPolicy(extended={})", "UIDs to options")
        check_kind(self.identity, "AcceptPolicy(identity={})", IdentityPolicy)
