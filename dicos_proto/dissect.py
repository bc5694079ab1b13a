"""PDU bytes -> lines for people: what an association says, never what a data set holds.

Knows: how to name what the codecs read. Must not know: states, roles, whether a PDU may come now.

Invariants: a P-DATA-TF is never held whole; no bytes of a data set, a passcode or an identity are shown; text of a peer
is shown escaped, so that it cannot forge a line; nothing is raised for what the bytes are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from . import status, uids
from .dimse import (
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    Command,
    CStoreRequest,
    CStoreResponse,
    OtherRequest,
    OtherResponse,
    command_name,
    decode_command,
)
from .errors import Malformed
from .events import Fragment
from .framing import PduBody, PduHeader, PduReader
from .limits import Limits
from .pdu import decode_body
from .pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextAnswer,
    ContextResult,
    Managed,
    ProposedContext,
    ReleaseRequest,
    ReleaseResponse,
    UserInformation,
)
from .wire import Buffer

_RESULTS = {
    ContextResult.ACCEPTANCE: "accepted",
    ContextResult.USER_REJECTION: "refused by the user",
    ContextResult.NO_REASON: "refused, no reason given",
    ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED: "refused, abstract syntax not supported",
    ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED: "refused, transfer syntaxes not supported",
}
_IDENTITIES = {
    1: "user name",
    2: "user name and passcode",
    3: "Kerberos ticket",
    4: "SAML assertion",
    5: "JSON Web Token",
}
_PRIORITIES = {0: "medium", 1: "high", 2: "low"}


def dissect(pdu: Buffer, limits: Limits = Limits()) -> list[str]:  # noqa: B008  a frozen value
    """The lines of one whole PDU; bytes that are none are called so.

    >>> dissect(bytes.fromhex("07000000000400000206"))
    ['A-ABORT, 4 bytes: association aborted by the service provider: invalid parameter (6)']
    """
    one = Dissector(limits)
    return [*one.feed(pdu), *one.end()]


class Dissector:
    """One direction of a connection, in chunks of any size: `feed` gives the lines of what is complete, `end` the rest.

    A data set takes one line, when its last PDV has come, however long it is. After bytes that are no PDU nothing more
    is dissected: where the next one begins is not known.
    """

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008  a frozen value
        self._limits = limits
        self._reader = PduReader(limits)
        self._reader.stream_data = True
        self._lost = False
        self._command: bytearray | None = None
        self._command_pdvs = 0
        self._data_context: int | None = None
        self._data_size = 0
        self._data_pdvs = 0

    def feed(self, data: Buffer) -> list[str]:
        """The lines of what these bytes complete."""
        if self._lost:
            return []
        self._reader.feed(data)
        return list(self._lines())

    def end(self) -> list[str]:
        """No more bytes come: the lines of what is not complete."""
        lines = self._end_data(complete=False)
        if not self._lost and self._reader.mid_pdu:
            lines.append(f"the bytes end {self._reader.describe()}")
        return lines

    def _lines(self) -> Iterator[str]:
        while True:
            try:
                token = self._reader.next()
            except Malformed as fault:
                self._lost = True
                self._reader.lose()
                yield from self._end_data(complete=False)
                yield f"no PDU: {fault}; the rest is not dissected"
                return
            match token:
                case None:
                    return
                case Fragment():
                    yield from self._fragment(token)
                case PduBody():
                    yield from self._end_data(complete=False)
                    yield from _body_lines(token, self._limits)
                case PduHeader():
                    pass  # its body comes next
                case _ as unreachable:
                    assert_never(unreachable)

    def _fragment(self, fragment: Fragment) -> Iterator[str]:
        context = fragment.context
        if not fragment.command:
            if self._data_context != context:
                yield from self._end_data(complete=False)
                self._data_context = context
            self._data_size += len(fragment.data)
            self._data_pdvs += fragment.start
            if fragment.last:
                yield from self._end_data(complete=True)
            return
        yield from self._end_data(complete=False)
        if self._command is None:
            self._command = bytearray()
        self._command_pdvs += fragment.start
        if len(self._command) + len(fragment.data) > self._limits.command_set:
            self._command = None
            self._command_pdvs = 0
            yield f"P-DATA-TF, context {context}: a command set of more than {self._limits.command_set} bytes"
            return
        self._command += fragment.data
        if fragment.last:
            whole, pdvs = self._command, self._command_pdvs
            self._command = None
            self._command_pdvs = 0
            yield f"P-DATA-TF, context {context}: command set, {len(whole)} bytes{_in_pdvs(pdvs)}"
            yield from _command_lines(whole)

    def _end_data(self, *, complete: bool) -> list[str]:
        if self._data_context is None:
            return []
        line = (
            f"P-DATA-TF, context {self._data_context}: data set, {self._data_size:,} bytes"
            f"{_in_pdvs(self._data_pdvs)}{'' if complete else ', not complete'}"
        )
        self._data_context = None
        self._data_size = self._data_pdvs = 0
        return [line]


def _in_pdvs(count: int) -> str:
    return f" in {count} PDVs" if count > 1 else ""


def _shown(text: str) -> str:
    """Text of a peer that can forge nothing."""
    return ascii(text)


def _named(uid: str) -> str:
    """A UID with its name, if it has one."""
    name = uids.name_of(uid)
    safe = uid if uid.isascii() and uid.isprintable() else ascii(uid)
    return safe if name == uid else f"{safe} {name}"


def _body_lines(token: PduBody, limits: Limits) -> Iterator[str]:
    title = f"{token.kind.label}, {len(token.body)} bytes"
    try:
        pdu: Managed = decode_body(token.kind, memoryview(token.body), limits)
    except Malformed as fault:
        yield f"{title}: malformed: {fault}"
        return
    match pdu:
        case AssociateRequest() | AssociateAccept():
            yield title
            yield from _associate_lines(pdu)
        case AssociateReject() | Abort():
            yield f"{title}: {pdu}"
        case ReleaseRequest() | ReleaseResponse():
            yield title
        case _ as unreachable:
            assert_never(unreachable)


def _associate_lines(pdu: AssociateRequest | AssociateAccept) -> Iterator[str]:
    yield f"  calling AE title: {_shown(pdu.calling_aet)}, called: {_shown(pdu.called_aet)}"
    yield f"  protocol version: 0x{pdu.protocol_version:04X}"
    yield f"  application context: {_named(pdu.application_context)}"
    for context in pdu.contexts:
        yield from _context_lines(context)
    yield from _user_lines(pdu.user_information)


def _context_lines(context: ProposedContext | ContextAnswer) -> Iterator[str]:
    if isinstance(context, ProposedContext):
        yield f"  context {context.id}: {_named(context.abstract_syntax)}"
        for syntax in context.transfer_syntaxes:
            yield f"    {_named(syntax)}"
    elif context.transfer_syntax is None:
        yield f"  context {context.id}: {_RESULTS[context.result]}"
    else:
        yield f"  context {context.id}: {_RESULTS[context.result]} with {_named(context.transfer_syntax)}"


def _user_lines(user: UserInformation) -> Iterator[str]:
    length = f"{user.max_length} bytes" if user.max_length else "0, unlimited"
    yield f"  maximum length: {length}"
    version = "" if user.implementation_version_name is None else f", {_shown(user.implementation_version_name)}"
    yield f"  implementation: {_named(user.implementation_class_uid)}{version}"
    if user.window is not None:
        counts = [str(count) if count else "any number" for count in (user.window.invoked, user.window.performed)]
        yield f"  operations window: {counts[0]} invoked, {counts[1]} performed"
    for role in user.roles:
        played = [name for name, plays in (("SCU", role.scu), ("SCP", role.scp)) if plays]
        yield f"  role {' and '.join(played) or 'none'}: {_named(role.sop_class_uid)}"
    for extended in user.extended:
        yield f"  extended negotiation: {_named(extended.sop_class_uid)}, {extended.information.hex(' ')}"
    for common in user.common_extended:
        yield (
            f"  common extended negotiation: {_named(common.sop_class_uid)}, "
            f"service class {_named(common.service_class_uid)}"
        )
        for uid in common.related_general:
            yield f"    related general SOP class: {_named(uid)}"
    identity = user.user_identity
    if identity is not None:
        kind = _IDENTITIES.get(identity.type, "of an unknown type")
        wanted = ", response requested" if identity.response_requested else ""
        yield (
            f"  user identity: {kind} ({identity.type}), fields of {len(identity.primary)} and "
            f"{len(identity.secondary)} bytes{wanted}"
        )
    if user.user_identity_response is not None:
        yield f"  user identity response: {len(user.user_identity_response.response)} bytes"


def _command_lines(raw: Buffer) -> Iterator[str]:
    try:
        command, has_data = decode_command(raw)
    except Malformed as fault:
        yield f"  malformed: {fault}"
        return
    yield f"  {command_name(command)}{', a data set follows' if has_data else ''}"
    for name, value in _command_fields(command):
        yield f"    {name}: {value}"
    for element, raw_value in command.other:
        yield f"    (0000,{element:04X}): {len(raw_value)} bytes"


def _command_fields(command: Command) -> Iterator[tuple[str, str]]:
    """Name and value of each field that is there."""
    if isinstance(command, CEchoRequest | CStoreRequest | OtherRequest):
        yield "message id", str(command.message_id)
    else:
        yield "message id being responded to", str(command.message_id_being_responded_to)
    if isinstance(command, CEchoRequest | CEchoResponse | CStoreRequest | CStoreResponse):
        if command.affected_sop_class_uid is not None:
            yield "affected SOP class", _named(command.affected_sop_class_uid)
    if isinstance(command, CStoreRequest | CStoreResponse):
        if command.affected_sop_instance_uid is not None:
            yield "affected SOP instance", _named(command.affected_sop_instance_uid)
    match command:
        case CStoreRequest():
            yield "priority", _PRIORITIES.get(command.priority, str(command.priority))
            if command.move_originator_aet is not None:
                yield "move originator", _shown(command.move_originator_aet)
            if command.move_originator_message_id is not None:
                yield "message id of the C-MOVE", str(command.move_originator_message_id)
        case CEchoResponse() | CStoreResponse() | OtherResponse():
            yield "status", status.describe(command.status)
            if command.offending_element is not None:
                tags = (f"({tag >> 16:04X},{tag & 0xFFFF:04X})" for tag in command.offending_element)
                yield "offending elements", " ".join(tags)
            if command.error_comment is not None:
                yield "error comment", f"{len(command.error_comment)} characters"
            if command.error_id is not None:
                yield "error id", f"0x{command.error_id:04X}"
        case CEchoRequest() | OtherRequest() | CCancelRequest():
            pass
        case _ as unreachable:
            assert_never(unreachable)
