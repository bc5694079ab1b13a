"""A dissector: turns PDU bytes into lines for people. It shows PDUs and command sets, never the content of a data set.

Knows: names for everything that the codecs read. Must not know: states, roles, whether a PDU is allowed now.

Invariants: a P-DATA-TF is never held complete, and at most `Limits.command_set` bytes of a command set are; no bytes of
a data set, a passcode or an identity are shown; text from a peer is shown as printable ASCII, so that it cannot forge
a line; no bytes raise an error. Every deviation for which `Tolerance` has a flag is accepted, and shown each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import assert_never

from .dimse.codec import decode_command
from .dimse.command import elements_of, end_of_set
from .dimse.types import MESSAGES, NO_DATA_SET
from .errors import Malformed
from .limits import Limits
from .registry import status, uids
from .registry.service_classes import Service, service_of
from .tolerance import CLAUSES, EVERYTHING, Judge
from .upper_layer.events import Fragment
from .upper_layer.framing import PduBody, PduHeader, PduReader
from .upper_layer.pdu import PDU_LENGTH_MAX, decode_body
from .upper_layer.pdu_types import (
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

_SHOWN_BYTES = 16
_SHOWN_TAGS = 16
"""The most bytes and tags of a long value that are shown, so that a line stays short."""


def dissect(pdu: Buffer, limits: Limits = Limits()) -> list[str]:  # noqa: B008  a frozen value
    """Returns the lines of one complete PDU, or of several. Bytes that are not a PDU are reported in a line.

    >>> dissect(bytes.fromhex("07000000000400000206"))
    ['A-ABORT, 4 bytes: association aborted by the service provider: invalid parameter (6)']
    """
    one = Dissector(limits)
    return [*one.feed(pdu), *one.end()] or ["not a PDU: 0 bytes"]


class Dissector:
    """Dissects one direction of a connection, in chunks of any size: `feed` returns the lines of complete parts, `end`
    the rest.

    A data set of any length takes one line, once its last PDV has arrived; so does a command set, followed by its
    elements. After bytes that are not a PDU, nothing more is dissected, because it is unknown where the next PDU
    begins. A part that is only longer than one of `limits` is named and skipped. No Maximum Length is enforced.

    >>> one = Dissector()
    >>> one.feed(bytes.fromhex("0500000000"))
    []
    >>> one.feed(bytes.fromhex("0400000000"))
    ['A-RELEASE-RQ, 4 bytes']
    """

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008  a frozen value
        self._limits = limits
        # A long A-ASSOCIATE is checked here, where it can be skipped: the reader could only give up.
        self._reader = PduReader(Judge(replace(limits, associate_pdu=PDU_LENGTH_MAX), EVERYTHING))
        self._reader.stream_data = True
        self._lost = False
        self._set: tuple[int, bool] | None = None  # context id of the set under way, True for a command set
        self._size = 0  # bytes of that set so far
        self._pdvs = 0
        self._command = bytearray()

    def feed(self, data: Buffer) -> list[str]:
        """Returns the lines of the parts that these bytes complete."""
        if self._lost:
            return []
        self._reader.feed(data)
        return list(self._lines())

    def end(self) -> list[str]:
        """Ends the stream. Returns the lines of the parts that are not complete."""
        lines = list(self._end_set(complete=False))
        if self._reader.mid_pdu:
            lines.append(f"the bytes end {self._reader.describe()}")
        return lines

    def _lines(self) -> Iterator[str]:
        while True:
            try:
                token = self._reader.next()
            except Malformed as fault:
                self._lost = True
                self._reader.lose()
                yield from self._end_set(complete=False)
                yield f"not a PDU: {_plain(str(fault))}; the rest is not dissected"
                return
            match token:
                case None:
                    return
                case Fragment():
                    yield from self._fragment(token)
                case PduHeader():
                    yield from self._header(token)
                case PduBody():
                    yield from _body_lines(token, self._limits)
                    yield from _deviation_lines(self._reader.judge)
                    self._reader.judge.untold.clear()
                case _ as unreachable:
                    assert_never(unreachable)

    def _header(self, header: PduHeader) -> Iterator[str]:
        yield from self._end_set(complete=False)
        if header.length > self._limits.associate_pdu:
            self._reader.skip_pdu()
            limit = f"limit associate_pdu: {self._limits.associate_pdu}"
            yield f"{header.kind.label}, {header.length} bytes: too long to dissect ({limit})"

    def _fragment(self, fragment: Fragment) -> Iterator[str]:
        part = fragment.context, fragment.command
        if self._set != part:
            yield from self._end_set(complete=False)
            self._set = part
        self._size += len(fragment.data)
        self._pdvs += fragment.start
        if fragment.command:
            if self._passed_limit():
                self._command.clear()
            else:
                self._command += fragment.data
        if fragment.last:
            yield from self._end_set(complete=True)

    def _passed_limit(self) -> str:
        """Returns the limit that the command set under way has exceeded, or an empty string."""
        if self._size > self._limits.command_set:
            return f"limit command_set: {self._limits.command_set}"
        if self._pdvs > self._limits.command_fragments:
            return f"limit command_fragments: {self._limits.command_fragments}"
        return ""

    def _end_set(self, *, complete: bool) -> Iterator[str]:
        if self._set is None:
            return
        context, is_command = self._set
        if is_command and not complete:
            complete = (end_of_set(self._command) or len(self._command)) < len(self._command)  # joined to its data set
        line = f"P-DATA-TF, context {context}: {'command' if is_command else 'data'} set, {self._size:,} bytes"
        line += f" in {self._pdvs} PDVs" if self._pdvs > 1 else ""
        line += "" if complete else ", not complete"
        passed = is_command and self._passed_limit()
        raw, self._command = self._command, bytearray()
        self._set = None
        self._size = self._pdvs = 0
        yield f"{line}, too long to dissect ({passed})" if passed else line
        if is_command and complete and not passed:
            yield from _command_lines(raw)


_TITLES_WHOLE = replace(EVERYTHING, title_padded=False)
"""Titles are shown with the characters after a NUL, too."""


def _plain(text: str, also: str = "") -> str:
    """Returns the text as printable ASCII; other characters, and those in `also`, as \\xNN, or \\uNNNN beyond
    Latin-1."""
    return "".join(one if " " <= one <= "~" and one not in also else _escaped(ord(one)) for one in text)


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _quoted(text: str) -> str:
    """Returns text of a peer in quotes, which the text cannot close."""
    return "'" + _plain(text, also="'\\") + "'"


def _named(uid: str) -> str:
    """Returns a UID, whose characters are already checked, with its name if it has one."""
    name = uids.name_of(uid)
    return uid if name == uid else f"{uid} {name}"


def _body_lines(token: PduBody, limits: Limits) -> Iterator[str]:
    title = f"{token.kind.label}, {len(token.body)} bytes"
    judge = Judge(limits, _TITLES_WHOLE)
    try:
        pdu: Managed = decode_body(token.kind, memoryview(token.body), judge)
    except Malformed as fault:
        yield f"{title}: {'too long to dissect' if fault.limit else 'malformed'}: {_plain(str(fault))}"
        return
    match pdu:
        case AssociateRequest() | AssociateAccept():
            yield title
            yield from _associate_lines(pdu)
            yield from _deviation_lines(judge)
        case AssociateReject() | Abort():
            yield f"{title}: {pdu}"
        case ReleaseRequest() | ReleaseResponse():
            yield title
        case _ as unreachable:
            assert_never(unreachable)


def _deviation_lines(judge: Judge) -> Iterator[str]:
    """Yields the accepted deviations, one for each flag."""
    for name, detail in judge.untold:
        yield f"  deviation ({name}): {_plain(detail)} [{CLAUSES[name]}]"


def _associate_lines(pdu: AssociateRequest | AssociateAccept) -> Iterator[str]:
    yield f"  calling AE title: {_quoted(pdu.calling_aet)}"
    yield f"  called AE title: {_quoted(pdu.called_aet)}"
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
    version = "" if user.implementation_version_name is None else f", {_quoted(user.implementation_version_name)}"
    yield f"  implementation: {_named(user.implementation_class_uid)}{version}"
    if user.window is not None:
        counts = [str(count) if count else "any number" for count in (user.window.invoked, user.window.performed)]
        yield f"  operations window: {counts[0]} invoked, {counts[1]} performed"
    for role in user.roles:
        played = [name for name, plays in (("SCU", role.scu), ("SCP", role.scp)) if plays]
        yield f"  role {' and '.join(played) or 'none'}: {_named(role.sop_class_uid)}"
    for extended in user.extended:
        raw = extended.information
        shown = raw[:_SHOWN_BYTES].hex(" ") + (" ..." if len(raw) > _SHOWN_BYTES else "")
        yield f"  extended negotiation: {_named(extended.sop_class_uid)}, {len(raw)} bytes: {shown}"
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


def _command_lines(raw: bytearray) -> Iterator[str]:
    judge = Judge(Limits(), EVERYTHING)
    end = end_of_set(raw) or 0
    if 0 < end < len(raw):
        judge.tolerates("joined_data_set", f"{len(raw) - end} bytes after the end of the command set")
        raw = raw[:end]
    try:
        elements, _ = elements_of(raw, judge)
    except Malformed as fault:
        yield f"  malformed: {_plain(str(fault))}"
        return
    number, follows = _number(elements.pop(0x0100, b"")), _number(elements.pop(0x0800, b""))
    name = "unknown message" if number is None else MESSAGES.get(number, f"unknown message 0x{number:04X}")
    kind = "no data set type" if follows is None else "no data set" if follows == NO_DATA_SET else "a data set follows"
    yield f"  {name}, {kind}"
    sop_class = elements.get(0x0002, b"").decode("latin-1").removesuffix("\0")
    service = service_of(sop_class)
    for element, value in elements.items():
        label, show = _ELEMENTS.get(element, (f"(0000,{element:04X})", _size))
        shown = _status(value, service) if element == 0x0900 else show(value)
        yield f"    {label}: {shown or _size(value)}"
    try:
        decode_command(raw, judge)
    except Malformed as fault:
        yield f"    malformed: {_plain(str(fault))}"
    yield from _deviation_lines(judge)


# How an element of a command set is shown; if a function returns None, only the size is shown.


def _size(raw: bytes) -> str:
    return f"{len(raw)} bytes"


def _number(raw: bytes) -> int | None:
    return int.from_bytes(raw, "little") if len(raw) == 2 else None


def _decimal(raw: bytes) -> str | None:
    number = _number(raw)
    return None if number is None else str(number)


def _hexadecimal(raw: bytes) -> str | None:
    number = _number(raw)
    return None if number is None else f"0x{number:04X}"


def _priority(raw: bytes) -> str | None:
    number = _number(raw)
    return None if number is None else _PRIORITIES.get(number, str(number))


def _status(raw: bytes, service: Service | None = None) -> str | None:
    number = _number(raw)
    return None if number is None else status.describe(number, service)


def _uid(raw: bytes) -> str | None:
    text, _ = uids.read(raw)
    return _named(text) if uids.is_safe(text) else None


def _title(raw: bytes) -> str | None:
    text = raw.decode("latin-1").strip(" ")
    return _quoted(text) if len(text) <= 16 else None


def _tags(raw: bytes) -> str | None:
    if len(raw) % 4 or len(raw) > 4 * _SHOWN_TAGS:
        return None
    words = [int.from_bytes(raw[at : at + 2], "little") for at in range(0, len(raw), 2)]
    return " ".join(f"({group:04X},{element:04X})" for group, element in zip(words[::2], words[1::2], strict=True))


_ELEMENTS: dict[int, tuple[str, Callable[[bytes], str | None]]] = {
    0x0002: ("affected SOP class", _uid),
    0x0003: ("requested SOP class", _uid),
    0x0110: ("message id", _decimal),
    0x0120: ("message id being responded to", _decimal),
    0x0600: ("move destination", _title),
    0x0700: ("priority", _priority),
    0x0900: ("status", _status),
    0x0901: ("offending elements", _tags),
    0x0902: ("error comment", _size),  # it may be about a person
    0x0903: ("error id", _hexadecimal),
    0x1000: ("affected SOP instance", _uid),
    0x1001: ("requested SOP instance", _uid),
    0x1002: ("event type", _decimal),
    0x1005: ("attribute identifiers", _tags),
    0x1008: ("action type", _decimal),
    0x1020: ("remaining suboperations", _decimal),
    0x1021: ("completed suboperations", _decimal),
    0x1022: ("failed suboperations", _decimal),
    0x1023: ("warning suboperations", _decimal),
    0x1030: ("move originator", _title),
    0x1031: ("message id of the C-MOVE", _decimal),
}
"""Element (0000,number) -> its name and how it is shown [PS3.7 E.1]."""
