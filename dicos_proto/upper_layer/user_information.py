"""The user information item of an A-ASSOCIATE PDU and its sub-items <-> bytes [PS3.8 annex D, PS3.7 annex D.3.3].

Knows: layouts, and which deviations of a sub-item are accepted. Must not know: what is negotiated with it.

Each sub-item has its encoder and its decoder side by side, and one line in `_SUB_ITEMS`, in the order in which they are
sent. To add one: a field of `UserInformation` and its type in `pdu_types`; here a row in this table, a section, a line
in `_SUB_ITEMS` and a field of `_Found`; a line in `dissect._user_lines`; `AcceptPolicy` and `negotiate` if an acceptor
answers it. CONTRIBUTING.md lists the tests.

| sub-item | value (big endian) |
|---|---|
| 51H Maximum Length | length 4 |
| 52H implementation class UID | UID |
| 53H asynchronous operations window | invoked 2, performed 2 |
| 54H SCP/SCU role selection | UID length 2, UID, SCU 1, SCP 1 |
| 55H implementation version name | 1 to 16 characters |
| 56H SOP class extended negotiation | UID length 2, UID, application information |
| 57H common extended negotiation | sized UID, sized service class UID, sized list of sized related UIDs |
| 58H user identity | type 1, response requested 1, sized primary field, sized secondary field |
| 59H user identity response | sized server response |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from ..errors import LocalProtocolError, Malformed
from ..limits import SMALLEST_MAX_LENGTH
from ..tolerance import ASSUMED_MAX_LENGTH, Judge, informing_text
from .cursor import (
    Cursor,
    NoUid,
    check_count,
    check_once,
    decode_uid,
    encode_byte,
    encode_item,
    encode_short,
    encode_sized,
    encode_uid,
    needed,
)
from .pdu_types import (
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    OperationsWindow,
    RoleSelection,
    UserIdentity,
    UserIdentityResponse,
    UserIdentityType,
    UserInformation,
)

T = TypeVar("T")
USER_INFORMATION = 0x50
_LONGEST_VERSION = 16
_WITHOUT_SECONDARY = frozenset(UserIdentityType) - {UserIdentityType.USERNAME_AND_PASSCODE}


def encode_user_information(user: UserInformation, *, is_request: bool) -> bytes:
    """The whole item. Raises `LocalProtocolError`."""
    parts = [encode_item(kind, value, name) for kind, name, encode, _ in _SUB_ITEMS for value in encode(user)]
    if is_request and user.user_identity_response is not None:
        raise LocalProtocolError("a user identity response in a request [PS3.7 D.3.3.7.2]")
    if not is_request and (user.user_identity is not None or user.common_extended):
        raise LocalProtocolError("user identity or common extended negotiation in an answer [PS3.7 D.3.3.6, D.3.3.7]")
    return encode_item(USER_INFORMATION, b"".join(parts), "user information")


def decode_user_information(value: memoryview, judge: Judge, *, is_request: bool) -> UserInformation:
    """The value of the item. Sub-items of unknown types are skipped [PS3.8 9.3.1]. Raises `Malformed`."""
    found = _Found(judge, is_request)
    for number, (kind, sub_item) in enumerate(Cursor(value, "user information", "PS3.8 9.3.2.3").items(), 1):
        check_count(number, judge.limits.user_items, "user_items", "user information sub-items")
        decode = _DECODERS.get(kind)
        if decode is not None:
            decode(found, sub_item)
    return found.whole()


def assumed(judge: Judge) -> UserInformation | None:
    """The values that are assumed for a PDU without user information; None if that deviation is not accepted."""
    if not judge.tolerates("missing_user_information", "no user information item"):
        return None
    return UserInformation(max_length=ASSUMED_MAX_LENGTH, implementation_class_uid="", implementation_version_name=None)


@dataclass(slots=True)
class _Found:
    """The sub-items of one user information item that have been read."""

    judge: Judge
    is_request: bool
    max_length: int | None = None
    class_uid: str | None = None
    window: OperationsWindow | None = None
    roles: list[RoleSelection] = field(default_factory=list)
    version: str | None = None
    extended: list[ExtendedNegotiation] = field(default_factory=list)
    common: list[CommonExtendedNegotiation] = field(default_factory=list)
    identity: UserIdentity | None = None
    response: UserIdentityResponse | None = None

    def whole(self) -> UserInformation:
        return UserInformation(
            max_length=self._or_assumed(self.max_length, ASSUMED_MAX_LENGTH, "Maximum Length sub-item", "PS3.8 D.1"),
            implementation_class_uid=self._or_assumed(
                self.class_uid, "", "implementation class UID sub-item", "PS3.7 D.3.3.2"
            ),
            implementation_version_name=self.version,
            window=self.window,
            roles=tuple(self.roles),
            extended=tuple(self.extended),
            common_extended=tuple(self.common),
            user_identity=self.identity,
            user_identity_response=self.response,
        )

    def _or_assumed(self, value: T | None, otherwise: T, what: str, clause: str) -> T:
        """Returns `value`, or `otherwise` if the peer leaves it out and that is accepted."""
        if value is None and self.judge.tolerates("missing_user_information", f"no {what}"):
            return otherwise
        return needed(value, what, clause)

    def last(self, present: object, what: str) -> None:
        """Raises `Malformed` if the item was already present, unless the new one is accepted in its place."""
        if present is not None and not self.judge.tolerates("repeated_item", f"{what} twice"):
            check_once(present, what)

    def readable(self, value: memoryview, what: str, clause: str, decode: Callable[[Cursor], T]) -> T | None:
        """`decode` of exactly all of a sub-item that an answer may leave out; None if it is unreadable and accepted."""
        try:
            return _exactly(value, what, clause, decode)
        except NoUid:
            raise
        except Malformed as fault:
            if self.is_request or fault.limit or not self.judge.tolerates("unreadable_item", fault.detail):
                raise
            return None

    def named(self, value: memoryview, what: str, clause: str, decode: Callable[[Cursor, Judge], T]) -> T | None:
        """Like `readable`, for a sub-item about a SOP class; None if its UID is invalid and that is accepted."""
        try:
            return self.readable(value, what, clause, lambda cursor: decode(cursor, self.judge))
        except NoUid as fault:
            if not self.judge.tolerates("item_no_uid", str(fault)):
                raise
            return None


def _exactly(value: memoryview, what: str, clause: str, decode: Callable[[Cursor], T]) -> T:
    """`decode` of exactly all of `value`."""
    cursor = Cursor(value, what, clause)
    found = decode(cursor)
    cursor.end()
    return found


# -- a sub-item that is a text ---------------------------------------------------------------------------------------


def _encode_text(text: str, what: str, longest: int, clause: str) -> bytes:
    """1 to `longest` printable ASCII characters. Raises `LocalProtocolError`."""
    if not (1 <= len(text) <= longest and text.isascii() and text.isprintable()):
        raise LocalProtocolError(f"{what} {text!r}; 1 to {longest} ASCII characters [{clause}]")
    return text.encode("ascii")


def _decode_text(value: memoryview, what: str, longest: int, clause: str, judge: Judge) -> str | None:
    """The text of a sub-item that only informs. Returns None if nothing of it is readable and that is accepted."""
    raw = bytes(value[: longest + 1])
    if not 1 <= len(value) <= longest:
        fault = f"{what} of {len(value)} bytes; 1 to {longest}"
    elif not (raw.isascii() and raw.decode("ascii").isprintable()):
        fault = f"{what} with other characters than printable ASCII"
    else:
        return raw.decode("ascii")
    if not judge.tolerates("informative_text", fault):
        raise Malformed(fault, clause)
    return informing_text(bytes(value[: 4 * longest]), longest) or None


# -- 51H: Maximum Length [PS3.8 D.1] -------------------------------------------------------------------------------


def _encode_max_length(user: UserInformation) -> Iterator[bytes]:
    if not 0 <= user.max_length <= 0xFFFFFFFF:
        raise LocalProtocolError(f"Maximum Length {user.max_length}; 0 to 4294967295 [PS3.8 D.1]")
    if 0 < user.max_length < SMALLEST_MAX_LENGTH:
        raise LocalProtocolError(f"Maximum Length {user.max_length}; 0 or at least {SMALLEST_MAX_LENGTH} [PS3.8 D.1]")
    yield user.max_length.to_bytes(4, "big")


def _decode_max_length(found: _Found, value: memoryview) -> None:
    found.last(found.max_length, "Maximum Length")
    found.max_length = _exactly(value, "Maximum Length", "PS3.8 D.1", lambda cursor: cursor.number(4))


# -- 52H: implementation class UID [PS3.7 D.3.3.2.1] ---------------------------------------------------------------


def _encode_class_uid(user: UserInformation) -> Iterator[bytes]:
    yield encode_uid(user.implementation_class_uid, "implementation class UID")


def _decode_class_uid(found: _Found, value: memoryview) -> None:
    """It only informs: an invalid UID may be accepted, as an empty one."""
    found.last(found.class_uid, "implementation class UID")
    try:
        found.class_uid = decode_uid(value, "implementation class UID", found.judge)
    except Malformed as fault:
        if not found.judge.tolerates("informative_text", str(fault)):
            raise
        found.class_uid = ""


# -- 53H: asynchronous operations window [PS3.7 D.3.3.3] -----------------------------------------------------------


def _encode_window(user: UserInformation) -> Iterator[bytes]:
    if user.window is not None:
        yield encode_short(user.window.invoked, "operations invoked") + encode_short(
            user.window.performed, "operations performed"
        )


def _decode_window(found: _Found, value: memoryview) -> None:
    what = "asynchronous operations window"
    found.last(found.window, what)
    found.window = found.readable(value, what, "PS3.7 D.3.3.3", _window)


def _window(cursor: Cursor) -> OperationsWindow:
    return OperationsWindow(invoked=cursor.number(2), performed=cursor.number(2))


# -- 54H: SCP/SCU role selection [PS3.7 D.3.3.4] -------------------------------------------------------------------


def _encode_roles(user: UserInformation) -> Iterator[bytes]:
    for role in user.roles:
        yield encode_sized(encode_uid(role.sop_class_uid, "SOP class"), "") + bytes((role.scu, role.scp))


def _decode_role(found: _Found, value: memoryview) -> None:
    role = found.named(value, "role selection", "PS3.7 D.3.3.4", _role)
    if role is None:
        return
    found.roles.append(role)
    if found.is_request and not (role.scu or role.scp):  # `negotiation` decides about it
        detail = f"role selection for {role.sop_class_uid} that proposes neither role"
        found.judge.tolerates("role_of_neither", detail)


def _role(cursor: Cursor, judge: Judge) -> RoleSelection:
    uid = decode_uid(cursor.sized(), "SOP class of a role selection", judge)
    scu, scp = cursor.take(2)
    if scu > 1 or scp > 1:
        raise Malformed(f"roles {scu} and {scp}; 0 or 1", "PS3.7 D.3.3.4")
    return RoleSelection(sop_class_uid=uid, scu=bool(scu), scp=bool(scp))


# -- 55H: implementation version name [PS3.7 D.3.3.2.3] ------------------------------------------------------------


def _encode_version(user: UserInformation) -> Iterator[bytes]:
    name = user.implementation_version_name
    if name is not None:
        yield _encode_text(name, "implementation version name", _LONGEST_VERSION, "PS3.7 D.3.3.2")


def _decode_version(found: _Found, value: memoryview) -> None:
    """It only informs: an invalid text may be accepted, reduced to the part that can be read."""
    what = "implementation version name"
    found.last(found.version, what)
    found.version = _decode_text(value, what, _LONGEST_VERSION, "PS3.7 D.3.3.2", found.judge)


# -- 56H: SOP class extended negotiation [PS3.7 D.3.3.5] -----------------------------------------------------------


def _encode_extended(user: UserInformation) -> Iterator[bytes]:
    for extended in user.extended:
        yield encode_sized(encode_uid(extended.sop_class_uid, "SOP class"), "") + extended.information


def _decode_extended(found: _Found, value: memoryview) -> None:
    extended = found.named(value, "extended negotiation", "PS3.7 D.3.3.5", _extended)
    if extended is not None:
        found.extended.append(extended)


def _extended(cursor: Cursor, judge: Judge) -> ExtendedNegotiation:
    uid = decode_uid(cursor.sized(), "SOP class of an extended negotiation", judge)
    return ExtendedNegotiation(sop_class_uid=uid, information=bytes(cursor.take(cursor.left)))


# -- 57H: SOP class common extended negotiation [PS3.7 D.3.3.6] ----------------------------------------------------


def _encode_common(user: UserInformation) -> Iterator[bytes]:
    for common in user.common_extended:
        related = b"".join(encode_sized(encode_uid(uid, "related SOP class"), "") for uid in common.related_general)
        head = encode_sized(encode_uid(common.sop_class_uid, "SOP class"), "")
        head += encode_sized(encode_uid(common.service_class_uid, "service class"), "")
        yield head + encode_sized(related, "related general SOP classes")


def _decode_common(found: _Found, value: memoryview) -> None:
    common = found.named(value, "common extended negotiation", "PS3.7 D.3.3.6", _common)
    if common is not None:
        found.common.append(common)


def _common(cursor: Cursor, judge: Judge) -> CommonExtendedNegotiation:
    uid = decode_uid(cursor.sized(), "SOP class of a common extended negotiation", judge)
    service = decode_uid(cursor.sized(), "service class", judge)
    inner = Cursor(cursor.sized(), "related general SOP classes", "PS3.7 D.3.3.6")
    related: list[str] = []
    while inner.left:
        check_count(len(related) + 1, judge.limits.user_items, "user_items", "related general SOP classes")
        related.append(decode_uid(inner.sized(), "related general SOP class", judge))
    cursor.take(cursor.left)  # later versions of the sub-item may say more  # PS3.7 D.3.3.6
    return CommonExtendedNegotiation(sop_class_uid=uid, service_class_uid=service, related_general=tuple(related))


# -- 58H: user identity [PS3.7 D.3.3.7.1] --------------------------------------------------------------------------


def _encode_identity(user: UserInformation) -> Iterator[bytes]:
    identity = user.user_identity
    if identity is None:
        return
    if identity.secondary and identity.type in _WITHOUT_SECONDARY:
        raise LocalProtocolError(f"secondary field in a user identity of type {identity.type} [PS3.7 D.3.3.7.1]")
    head = bytes((encode_byte(identity.type, "user identity type"), identity.response_requested))
    yield head + encode_sized(identity.primary, "primary field") + encode_sized(identity.secondary, "secondary field")


def _decode_identity(found: _Found, value: memoryview) -> None:
    """It may neither occur twice nor be ignored if it is unreadable, because it identifies the user."""
    check_once(found.identity, "user identity")
    found.identity = _exactly(value, "user identity", "PS3.7 D.3.3.7", lambda cursor: _identity(cursor, found.judge))


def _identity(cursor: Cursor, judge: Judge) -> UserIdentity:
    kind, wanted = cursor.take(2)
    detail = f"positive response requested {wanted}; 0 or 1"
    if wanted > 1 and not judge.tolerates("informative_number", detail):
        raise Malformed(detail, "PS3.7 D.3.3.7.1")
    primary = bytes(cursor.sized())
    short_form = kind == UserIdentityType.USERNAME and not cursor.left
    detail = "user identity without the length of its secondary field"
    if short_form and judge.tolerates("identity_without_secondary", detail):
        return UserIdentity(type=kind, primary=primary, response_requested=bool(wanted))
    secondary = bytes(cursor.sized())
    return UserIdentity(type=kind, primary=primary, secondary=secondary, response_requested=bool(wanted))


# -- 59H: user identity response [PS3.7 D.3.3.7.2] -----------------------------------------------------------------


def _encode_response(user: UserInformation) -> Iterator[bytes]:
    if user.user_identity_response is not None:
        yield encode_sized(user.user_identity_response.response, "server response")


def _decode_response(found: _Found, value: memoryview) -> None:
    check_once(found.response, "user identity response")
    found.response = found.readable(value, "user identity response", "PS3.7 D.3.3.7", _response)


def _response(cursor: Cursor) -> UserIdentityResponse:
    return UserIdentityResponse(response=bytes(cursor.sized()))


# ------------------------------------------------------------------------------------------------------------------

_Encoder = Callable[[UserInformation], Iterator[bytes]]
_Decoder = Callable[[_Found, memoryview], None]
_SUB_ITEMS: tuple[tuple[int, str, _Encoder, _Decoder], ...] = (
    (0x51, "Maximum Length", _encode_max_length, _decode_max_length),
    (0x52, "implementation class UID", _encode_class_uid, _decode_class_uid),
    (0x53, "asynchronous operations window", _encode_window, _decode_window),
    (0x54, "role selection", _encode_roles, _decode_role),
    (0x55, "implementation version name", _encode_version, _decode_version),
    (0x56, "extended negotiation", _encode_extended, _decode_extended),
    (0x57, "common extended negotiation", _encode_common, _decode_common),
    (0x58, "user identity", _encode_identity, _decode_identity),
    (0x59, "server response", _encode_response, _decode_response),
)
_DECODERS: dict[int, _Decoder] = {kind: decode for kind, _, _, decode in _SUB_ITEMS}
