"""Each deviation of `Tolerance`, met by an engine: refused with a named reason, or accepted and reported.

The bytes are written by hand, so that they do not depend on our encoder.
"""

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicos_proto.association import Association
from dicos_proto.conversation import exchange, flows
from dicos_proto.conversation.exchange import fresh
from dicos_proto.dimse.codec import decode_command, encode_command
from dicos_proto.dimse.events import Event, MessageData, MessageStart
from dicos_proto.dimse.types import (
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    CGetRequest,
    CMoveRequest,
    CMoveResponse,
    Command,
    CStoreRequest,
    CStoreResponse,
    NCreateRequest,
    NEventReportRequest,
    NGetRequest,
    NGetResponse,
)
from dicos_proto.errors import LocalProtocolError, Malformed
from dicos_proto.limits import Limits
from dicos_proto.registry import uids
from dicos_proto.tolerance import CLAUSES, EVERYTHING, FIELD, LONGEST_UID, STRATOVAN, STRICT, Judge, Tolerance
from dicos_proto.upper_layer.events import Closed, Deviation, ProviderAbort
from dicos_proto.upper_layer.framing import PduBody, PduHeader, PduReader
from dicos_proto.upper_layer.layer import UpperLayer
from dicos_proto.upper_layer.machine import Role, State
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextAnswer,
    ContextResult,
    ExtendedNegotiation,
    OperationsWindow,
    PduType,
    ProposedContext,
    ReleaseRequest,
    RoleSelection,
    UserIdentity,
    UserIdentityResponse,
    UserInformation,
)
from dicos_proto.upper_layer.policy import AcceptPolicy
from tests.pair import POLICY, REQUEST, Lone, Pair, Splitter, data, joined, p_data, scattered, splitters, start, whole

SPLITS = pytest.mark.parametrize("split", splitters().values(), ids=splitters())
CT = uids.CT_IMAGE_STORAGE
CONTEXT, IMPLICIT = uids.DICOM_APPLICATION_CONTEXT.encode(), uids.IMPLICIT_VR_LE.encode()

# -- bytes by hand ---------------------------------------------------------------------------------------------------


def item(kind: int, value: bytes, *, more: int = 0) -> bytes:
    """An item whose length field is `more` too large."""
    return struct.pack(">BxH", kind, len(value) + more) + value


def associate(kind: int, *items: bytes, called: bytes = b"PROVIDER", calling: bytes = b"USER") -> bytes:
    body = struct.pack(">H2x16s16s32x", 1, called.ljust(16), calling.ljust(16)) + b"".join(items)
    return struct.pack(">BxL", kind, len(body)) + body


def proposed(number: int = 3, abstract: bytes = CT.encode(), transfer: bytes = IMPLICIT) -> bytes:
    return item(0x20, bytes((number, 0, 0, 0)) + item(0x30, abstract) + item(0x40, transfer))


def answered(number: int, *, more: int = 0) -> bytes:
    return item(0x21, bytes((number, 0, 0, 0)) + item(0x40, IMPLICIT), more=more)


MAX_LENGTH, CLASS_UID = item(0x51, struct.pack(">L", 16_384)), item(0x52, b"1.2.3")
USER = item(0x50, MAX_LENGTH + CLASS_UID)
PLAIN = UserInformation(implementation_class_uid="1.2.3", implementation_version_name=None, max_length=16_384)


def asking(
    application: bytes = CONTEXT,
    context: bytes = proposed(),
    user: bytes = USER,
    called: bytes = b"PROVIDER",
    calling: bytes = b"USER",
) -> bytes:
    return associate(1, item(0x10, application), context, user, called=called, calling=calling)


ASKED = AssociateRequest(
    called_aet="PROVIDER",
    calling_aet="USER",
    contexts=(ProposedContext(id=3, abstract_syntax=CT, transfer_syntaxes=(uids.IMPLICIT_VR_LE,)),),
    user_information=PLAIN,
)


def accepting(*contexts: bytes, user: bytes = USER, application: bytes = item(0x10, CONTEXT)) -> bytes:
    return associate(2, application, *contexts, user)


def accepted(*numbers: int, user: UserInformation = PLAIN) -> AssociateAccept:
    return AssociateAccept(
        called_aet="PROVIDER",
        calling_aet="USER",
        contexts=tuple(
            ContextAnswer(id=each, result=ContextResult.ACCEPTANCE, transfer_syntax=uids.IMPLICIT_VR_LE)
            for each in numbers
        ),
        user_information=user,
    )


def elements(*pairs: tuple[int, bytes]) -> bytes:
    """A command set."""
    body = b"".join(struct.pack("<HHL", 0, number, len(value)) + value for number, value in pairs)
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def us(value: int) -> bytes:
    return value.to_bytes(2, "little")


def storing(instance: bytes = b"1.2.3.4\0", *, has_data: bool = True) -> bytes:
    return elements(
        (0x0002, CT.encode() + b"\0"), (0x0100, us(1)), (0x0110, us(7)), (0x0700, us(0)),
        (0x0800, us(1 if has_data else 0x0101)), (0x1000, instance),
    )  # fmt: skip


def stored(instance: str = "1.2.3.4", *, has_data: bool = True) -> MessageStart:
    command = CStoreRequest(message_id=7, affected_sop_class_uid=CT, affected_sop_instance_uid=instance)
    return start(3, command, has_data=has_data)


def store_with(instance: bytes) -> bytes:
    return p_data((3, True, True, storing(instance)))


CONTENT = bytes(range(200))
CANCELLING = elements((0x0100, us(0x0FFF)), (0x0120, us(7)), (0x0800, us(0x0101)))
CANCEL = CCancelRequest(message_id_being_responded_to=7)

REPORTING = elements(
    (0x0002, CT.encode() + b"\0"), (0x0100, us(0x0100)), (0x0110, us(7)), (0x0800, us(0x0101)), (0x1000, b"1.2.3.4\0"),
    (0x1002, us(1)),
)  # fmt: skip
REPORTED = start(
    3,
    NEventReportRequest(message_id=7, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3.4", event_type_id=1),
)

# -- the cases -------------------------------------------------------------------------------------------------------

Opening = Callable[[Tolerance, Splitter], Lone]


def asked_of(tolerance: Tolerance, split: Splitter) -> Lone:
    """A provider that waits for the A-ASSOCIATE-RQ."""
    return Lone(Association.acceptor(tolerance=tolerance), split)


def asker(tolerance: Tolerance, split: Splitter) -> Lone:
    """A user that waits for the answer to contexts 1, 3 and 5."""
    return Lone(Association.requestor(REQUEST, tolerance=tolerance), split)


def provider(tolerance: Tolerance, split: Splitter) -> Lone:
    return Lone.provider(split=split, tolerance=tolerance)


def user(tolerance: Tolerance, split: Splitter) -> Lone:
    return Lone.user(split=split, tolerance=tolerance)


@dataclass(frozen=True)
class Case:
    flag: str
    opening: Opening
    stream: bytes
    let: list[Event]
    detail: str
    refused: str


def in_uids(label: str, flag: str, raw: bytes, text: str, words: str) -> dict[str, Case]:
    """A UID that breaks a rule, wherever UIDs are."""
    shown = f"{text!r} {words}"
    even = raw + b"\0" * (len(raw) % 2)
    syntaxes = ASKED.contexts[0]
    role = RoleSelection(sop_class_uid=text, scu=True, scp=False)
    return {
        f"{label}, abstract syntax": Case(
            flag, asked_of, asking(context=proposed(abstract=raw)),
            [replace(ASKED, contexts=(replace(syntaxes, abstract_syntax=text),))],
            f"abstract syntax {shown}", f"abstract syntax {shown} [PS3.5 9.1]",
        ),
        f"{label}, transfer syntax": Case(
            flag, asked_of, asking(context=proposed(transfer=raw)),
            [replace(ASKED, contexts=(replace(syntaxes, transfer_syntaxes=(text,)),))],
            f"transfer syntax {shown}", f"transfer syntax {shown} [PS3.5 9.1]",
        ),
        f"{label}, application context": Case(
            flag, asked_of, asking(application=raw), [replace(ASKED, application_context=text)],
            f"application context {shown}", f"application context {shown} [PS3.5 9.1]",
        ),
        f"{label}, implementation class": Case(
            flag, asked_of, asking(user=item(0x50, MAX_LENGTH + item(0x52, raw))),
            [replace(ASKED, user_information=replace(PLAIN, implementation_class_uid=text))],
            f"implementation class UID {shown}", f"implementation class UID {shown} [PS3.5 9.1]",
        ),
        f"{label}, role": Case(
            flag, asked_of,
            asking(user=item(0x50, MAX_LENGTH + CLASS_UID + item(0x54, struct.pack(">H", len(raw)) + raw + b"\1\0"))),
            [replace(ASKED, user_information=replace(PLAIN, roles=(role,)))],
            f"SOP class of a role selection {shown}", f"SOP class of a role selection {shown} [PS3.5 9.1]",
        ),
        f"{label}, command set": Case(
            flag, provider, store_with(even), [stored(text)],
            f"(0000,1000) of {len(even)} bytes {words}", f"(0000,1000) of {len(even)} bytes {words} [PS3.5 9.1]",
        ),
    }  # fmt: skip


def after(command: Command, context: int = 3, *, has_data: bool = False) -> Opening:
    """A user that has sent this and waits."""

    def opening(tolerance: Tolerance, split: Splitter) -> Lone:
        lone = Lone.user(split=split, tolerance=tolerance)
        lone.engine.send(start(context, command, has_data=has_data))
        if has_data:
            lone.engine.send(data(context, b"keys"))
        return lone

    return opening


def answering(field: int, *more: tuple[int, bytes], status: int = 0, follows: int = 0x0101) -> bytes:
    """The command set of a response to message 7."""
    own = [(0x0100, us(field | 0x8000)), (0x0120, us(7)), (0x0800, us(follows)), (0x0900, us(status)), *more]
    return elements(*sorted(own))


STORE = CStoreRequest(message_id=7, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3.4")
FIND = CFindRequest(message_id=7, affected_sop_class_uid=CT)
MOVE = CMoveRequest(message_id=7, affected_sop_class_uid=CT, move_destination="OTHER")
GET = CGetRequest(message_id=9, affected_sop_class_uid=CT)
N_GET = NGetRequest(message_id=7, requested_sop_class_uid=CT, requested_sop_instance_uid="1.2.3.4")
ECHO = CEchoRequest(message_id=7, affected_sop_class_uid=uids.VERIFICATION)
ECHO_SET = encode_command(ECHO, has_data=False)


def commented(label: str, raw: bytes, text: str, words: str = "") -> dict[str, Case]:
    """An invalid Error Comment."""
    response = CStoreResponse(message_id_being_responded_to=7, status=0xB007, error_comment=text)
    words = words or f"(0000,0902) of {len(raw)} bytes"
    return {
        f"comment {label}": Case(
            "informative_text", after(STORE, has_data=True),
            p_data((3, True, True, answering(1, (0x0902, raw), status=0xB007))), [start(3, response)], words, words,
        )
    }  # fmt: skip


def originated(flag: str, element: int, raw: bytes, **fields: object) -> Case:
    """A C-STORE-RQ with an invalid originator."""
    command = decode_command(storing())[0]
    assert isinstance(command, CStoreRequest)
    body = storing()[12:] + struct.pack("<HHL", 0, element, len(raw)) + raw
    stream = p_data((3, True, True, struct.pack("<HHLL", 0, 0, 4, len(body)) + body))
    let: list[Event] = [start(3, replace(command, **fields), has_data=True)]  # type: ignore[arg-type]
    return Case(flag, provider, stream, let, f"(0000,{element:04X})", f"(0000,{element:04X}) of {len(raw)} bytes")


def named(label: str, raw: bytes, text: str | None, words: str) -> dict[str, Case]:
    """An invalid implementation version name, in both directions."""
    user = item(0x50, MAX_LENGTH + CLASS_UID + item(0x55, raw))
    plain = replace(PLAIN, implementation_version_name=text)
    return {
        f"version {label}, asked": Case(
            "informative_text", asked_of, asking(user=user), [replace(ASKED, user_information=plain)], words, words
        ),
        f"version {label}, answered": Case(
            "informative_text", asker, accepting(answered(1), answered(3), answered(5), user=user),
            [accepted(1, 3, 5, user=plain)], words, words,
        ),
    }  # fmt: skip


def laid_out(label: str, raw: bytes, event: MessageStart, words: str) -> dict[str, Case]:
    return {
        f"command set {label}": Case("command_layout", provider, p_data((event.context, True, True, raw)), [event],
                                     words, f"{words} [PS3.7 6.3.1]")
    }  # fmt: skip


def swapped() -> bytes:
    """The C-ECHO-RQ with its message id first."""
    parts = ((0x0110, us(7)), (0x0002, uids.VERIFICATION.encode() + b"\0"), (0x0100, us(0x30)), (0x0800, us(0x0101)))
    return elements(*parts)


def odd() -> bytes:
    return elements((0x0002, uids.VERIFICATION.encode()), (0x0100, us(0x30)), (0x0110, us(7)), (0x0800, us(0x0101)))


LONG = "1.2." + "7" * 70
IDENTITY = item(0x58, b"\1\1" + struct.pack(">H", 5) + b"UserA")
RESPONSE = item(0x50, MAX_LENGTH + CLASS_UID + item(0x59, b"\0\0"))

CASES: dict[str, Case] = {
    "every context": Case(
        "answer_item_length", asker, accepting(*(answered(each, more=4) for each in (5, 3, 1))), [accepted(5, 3, 1)],
        "presentation context item of 29 bytes counts the 4 of its own header",
        "presentation context item of 29 bytes counts the 4 of its own header [PS3.8 9.3.3.2]",
    ),
    "only the last context": Case(
        "answer_item_length", asker, accepting(answered(1), answered(3), answered(5, more=4)), [accepted(1, 3, 5)],
        "item of 29 bytes counts", "counts the 4 of its own header [PS3.8 9.3.3.2]",
    ),
    "a context at the very end": Case(
        "answer_item_length", asker,
        associate(2, item(0x10, CONTEXT), USER, answered(1), answered(3), answered(5, more=4)), [accepted(1, 3, 5)],
        "item of 29 bytes counts", "counts the 4 of its own header [PS3.8 9.3.3.2]",
    ),
    "all in one PDV": Case(
        "joined_data_set", provider, p_data((3, True, True, storing() + CONTENT)), [stored(), data(3, CONTENT)],
        "command PDV that goes on after the end of the command set with its data set",
        "command group length 90 before 290 bytes [PS3.7 6.3.1]",
    ),
    "in several PDVs of one PDU": Case(
        "joined_data_set", provider,
        p_data((3, True, False, storing() + CONTENT[:11]), (3, False, False, CONTENT[11:30]),
               (3, False, True, CONTENT[30:])),
        [stored(), data(3, CONTENT)], "command PDV that goes on",
        "command PDV that goes on after the end of the command set [PS3.8 annex E]",
    ),
    "in several PDUs, and another message": Case(
        "joined_data_set", provider,
        p_data((3, True, False, storing() + CONTENT[:1])) + p_data((3, False, True, CONTENT[1:]))
        + p_data((3, True, True, CANCELLING)),
        [stored(), data(3, CONTENT), start(3, CANCEL)],
        "command PDV that goes on", "command PDV that goes on after the end of the command set",
    ),
    "of a service provider": Case(
        "short_abort", user, bytes.fromhex("07000000 0004 0105"), [Abort(source=1, reason=5), Closed()],
        "A-ABORT of 2 bytes under a length field of 4", "connection closed by the peer in Sta6, in an A-ABORT, 2 bytes",
    ),
    "before the answer": Case(
        "short_abort", asker, bytes.fromhex("07000000 0004 0101"), [Abort(source=1, reason=1), Closed()],
        "A-ABORT of 2 bytes", "connection closed by the peer in Sta5, in an A-ABORT, 2 bytes",
    ),
    "user name": Case(
        "identity_without_secondary", asked_of, asking(user=item(0x50, MAX_LENGTH + CLASS_UID + IDENTITY)),
        [replace(ASKED, user_information=replace(
            PLAIN, user_identity=UserIdentity(type=1, primary=b"UserA", response_requested=True)))],
        "user identity without the length of its secondary field",
        "user identity: 2 bytes wanted, 0 left [PS3.7 D.3.3.7]",
    ),
    "response": Case(
        "unasked_identity_response", asker, accepting(answered(1), answered(3), answered(5), user=RESPONSE),
        [accepted(1, 3, 5, user=replace(PLAIN, user_identity_response=UserIdentityResponse()))],
        "user identity response where none was asked for",
        "user identity response where none was asked for [PS3.7 D.3.3.7.2]",
    ),
    "two contexts": Case(
        "contexts_unanswered", asker, accepting(answered(3)), [accepted(3)],
        "2 of 3 proposed presentation contexts not answered",
        "2 of 3 proposed presentation contexts not answered [PS3.8 9.3.3.2]",
    ),
    **in_uids("second", "uid_leading_zeros", b"1.2.017.3", "1.2.017.3", "has a component that begins with 0"),
    **in_uids("first", "uid_invalid_root", b"589819685.55", "589819685.55", "begins with invalid arcs"),
    **in_uids("second of 1", "uid_invalid_root", b"1.40.3", "1.40.3", "begins with invalid arcs"),
    **in_uids("a NUL", "uid_padded", b"1.2.3\0\0", "1.2.3", "is padded"),
    **in_uids("a space", "uid_padded", b"1.2.3 ", "1.2.3", "is padded"),
    "a NUL, in the answer": Case(
        "uid_padded", asker, accepting(answered(1), answered(3), answered(5),
                                       user=item(0x50, MAX_LENGTH + item(0x52, b"1.2.3\0"))),
        [accepted(1, 3, 5)], "implementation class UID '1.2.3' is padded",
        "implementation class UID '1.2.3' is padded [PS3.5 9.1]",
    ),
    "74 characters": Case(
        "uid_too_long", asked_of, asking(context=proposed(abstract=LONG.encode())),
        [replace(ASKED, contexts=(replace(ASKED.contexts[0], abstract_syntax=LONG),))],
        "abstract syntax of 74 characters; 64",
        "abstract syntax too long (limit uid: 74 seen, 64 allowed) [PS3.5 9.1]",
    ),
    "74 characters in a command set": Case(
        "uid_too_long", provider, store_with(LONG.encode()), [stored(LONG)],
        "(0000,1000) of 74 bytes is longer than 64 characters",
        "(0000,1000) of 74 bytes is longer than 64 characters [PS3.5 9.1]",
    ),
    "one PDU": Case(
        "over_max_length", provider,
        p_data((3, True, True, storing())) + p_data((3, False, True, bytes(20_000)))
        + p_data((3, True, True, CANCELLING)),
        [stored(), data(3, bytes(20_000)), start(3, CANCEL)],
        "P-DATA-TF of 20006 bytes; Maximum Length 16384",
        "P-DATA-TF longer than the Maximum Length (limit max_length: 20006 seen, 16384 allowed) [PS3.8 D.1]",
    ),
    "a report of a peer that proposed no roles": Case(
        "report_without_role", provider, p_data((3, True, True, REPORTING)) + p_data((3, True, True, CANCELLING)),
        [REPORTED, start(3, CANCEL)], "N-EVENT-REPORT-RQ on context 3 from a peer without that role",
        "N-EVENT-REPORT-RQ on context 3 from a peer without that role [PS3.7 D.3.3.4]",
    ),
    "no item": Case(
        "missing_user_information", asked_of, asking(user=b""),
        [replace(ASKED, user_information=replace(PLAIN, implementation_class_uid=""))],
        "no user information item", "no user information item [PS3.8 9.3.2.3]",
    ),
    "no Maximum Length": Case(
        "missing_user_information", asked_of, asking(user=item(0x50, CLASS_UID)), [ASKED],
        "no Maximum Length sub-item", "no Maximum Length sub-item [PS3.8 D.1]",
    ),
    "no implementation class": Case(
        "missing_user_information", asked_of, asking(user=item(0x50, MAX_LENGTH)),
        [replace(ASKED, user_information=replace(PLAIN, implementation_class_uid=""))],
        "no implementation class UID sub-item", "no implementation class UID sub-item [PS3.7 D.3.3.2]",
    ),
    # -- what only informs
    **commented("padded with NUL", b"disk full\0", "disk full"),
    **commented("with more after a NUL", b"disk\0full!", "disk"),
    **commented("too long", b"x" * 66, "x" * 64),
    **commented("in Latin-1", "Größe 1 ".encode("latin-1"), "Größe 1"),
    **commented("in UTF-8", "Größe ".encode(), "Größe"),
    **commented("with an escape sequence", b"\x1b[31mred!\x07", "?[31mred!?"),
    **commented("of two values", b"one\\two ", "one\\two", "(0000,0902) of 2 values; one LO"),
    **commented("of many bytes", b"\xff" * 3000, "\xff" * 64),
    "originator padded with NUL": originated("informative_text", 0x1030, b"WS1\0", move_originator_aet="WS1"),
    "originator of 18 with a space in the last place": originated(
        "informative_text", 0x1030, b"W" * 15 + b" X ", move_originator_aet="W" * 15
    ),
    "originator of 18": originated("informative_text", 0x1030, b"W" * 18, move_originator_aet="W" * 16),
    "originator with an umlaut": originated("informative_text", 0x1030, b"M\xfcller", move_originator_aet="Müller"),
    "originator's id of four bytes": originated(
        "informative_number", 0x1031, b"\5\0\0\0", move_originator_message_id=5),
    "originator's id of none": originated("informative_number", 0x1031, b""),
    **named("of none", b"", None, "implementation version name of 0 bytes; 1 to 16"),
    **named("of 20", b"V" * 20, "V" * 16, "implementation version name of 20 bytes; 1 to 16"),
    **named("beyond ASCII", b"V\xe9", "Vé", "implementation version name with other characters than printable ASCII"),
    **named("with NUL", b"V1\0\0", "V1", "implementation version name with other characters than printable ASCII"),
    "invalid class UID": Case(
        "informative_text", asked_of, asking(user=item(0x50, MAX_LENGTH + item(0x52, b"acme"))),
        [replace(ASKED, user_information=replace(PLAIN, implementation_class_uid=""))],
        "implementation class UID 'acme' is not a UID", "implementation class UID 'acme' is not a UID [PS3.5 9.1]",
    ),
    "SOP class of a response": Case(
        "informative_text", after(STORE, has_data=True), p_data((3, True, True, answering(1, (0x0002, b"DICOM ")))),
        [start(3, CStoreResponse(message_id_being_responded_to=7, status=0))],
        "(0000,0002) of 6 bytes", "(0000,0002) of 6 bytes; UI",
    ),
    "instance of a response": Case(
        "informative_text", after(STORE, has_data=True), p_data((3, True, True, answering(1, (0x1000, b"x" * 140)))),
        [start(3, CStoreResponse(message_id_being_responded_to=7, status=0))],
        "(0000,1000) of 140 bytes", "(0000,1000) of 140 bytes; UI",
    ),
    "error id of none": Case(
        "informative_number", after(STORE, has_data=True), p_data((3, True, True, answering(1, (0x0903, b"")))),
        [start(3, CStoreResponse(message_id_being_responded_to=7, status=0))],
        "(0000,0903) of 0 bytes", "(0000,0903) of 0 bytes; one US",
    ),
    **{
        f"data set type {what}, where there can be none": Case(
            "informative_number", after(STORE, has_data=True),
            p_data((3, True, True, elements((0x0100, us(0x8001)), (0x0120, us(7)), *said, (0x0900, us(0))))),
            [start(3, CStoreResponse(message_id_being_responded_to=7, status=0))],
            "no (0000,0800) data set type of 2 bytes in the command set",
            "no (0000,0800) data set type of 2 bytes in the command set [PS3.7 E.1]",
        )
        for what, said in (("of four bytes", [(0x0800, b"\1\1\0\0")]), ("left out", []), ("of none", [(0x0800, b"")]))
    },
    **{
        f"application context of an answer, {what}": Case(
            "informative_text", asker, accepting(answered(1), answered(3), answered(5), application=given),
            [replace(accepted(1, 3, 5), application_context="")], words, f"{words} [{clause}]",
        )
        for what, given, words, clause in (
            ("empty", item(0x10, b""), "application context '' is not a UID", "PS3.5 9.1"),
            ("no UID", item(0x10, b"DICOM"), "application context 'DICOM' is not a UID", "PS3.5 9.1"),
            ("left out", b"", "no application context item", "PS3.8 9.3.2.1"),
        )
    },
    "half a tag": Case(
        "informative_number", after(STORE, has_data=True),
        p_data((3, True, True, answering(1, (0x0901, bytes.fromhex("0800 1800 0800"))))),
        [start(3, CStoreResponse(message_id_being_responded_to=7, status=0, offending_element=(0x00080018,)))],
        "(0000,0901) of 6 bytes", "(0000,0901) of 6 bytes; tags of 4 bytes",
    ),
    "counts of four bytes, and one too large": Case(
        "informative_number", after(MOVE, has_data=True),
        p_data((3, True, True, answering(0x21, (0x1021, b"\3\0\0\0"), (0x1022, b"\0\0\1\0"), (0x1023, b"\0" * 10)))),
        [start(3, CMoveResponse(message_id_being_responded_to=7, status=0, completed=3))],
        "(0000,1021) of 4 bytes", "(0000,1021) of 4 bytes; one US",
    ),
    "identifiers of a response": Case(
        "informative_number", after(N_GET),
        p_data((3, True, True, answering(0x0110, (0x1005, b"\1\0"), status=0x0107))),
        [start(3, NGetResponse(message_id_being_responded_to=7, status=0x0107))],
        "(0000,1005) of 2 bytes", "(0000,1005) of 2 bytes; tags of 4 bytes",
    ),
    "no priority": Case(
        "informative_number", provider,
        p_data((3, True, True, elements((0x0002, CT.encode() + b"\0"), (0x0100, us(1)), (0x0110, us(7)),
                                        (0x0800, us(1)), (0x1000, b"1.2.3.4\0")))),
        [stored()], "no (0000,0700) priority in C-STORE-RQ", "no (0000,0700) priority in C-STORE-RQ [PS3.7 9.3]",
    ),
    "priority of one long": Case(
        "informative_number", provider,
        p_data((3, True, True, storing().replace(struct.pack("<HHLH", 0, 0x0700, 2, 0), b"").replace(
            struct.pack("<HHLL", 0, 0, 4, 90), struct.pack("<HHLL", 0, 0, 4, 92)).replace(
            struct.pack("<HHLH", 0, 0x0800, 2, 1), struct.pack("<HHLL", 0, 0x0700, 4, 0)
            + struct.pack("<HHLH", 0, 0x0800, 2, 1)))),
        [stored()], "(0000,0700) of 4 bytes", "(0000,0700) of 4 bytes; one US",
    ),
    "reason for a refusal": Case(
        "informative_number", asker,
        accepting(answered(1), item(0x21, bytes((3, 0, 9, 0)) + item(0x40, b"")), answered(5)),
        [replace(accepted(1, 3, 5), contexts=(
            accepted(1).contexts[0], ContextAnswer(id=3, result=ContextResult.NO_REASON), accepted(5).contexts[0]))],
        "result 9 for presentation context 3", "result 9 for presentation context 3; 0 to 4 [PS3.8 9.3.3.2]",
    ),
    "a response wanted, more or less": Case(
        "informative_number", asked_of,
        asking(user=item(0x50, MAX_LENGTH + CLASS_UID + item(0x58, b"\1\xff" + struct.pack(">H", 1) + b"U\0\0"))),
        [replace(ASKED, user_information=replace(
            PLAIN, user_identity=UserIdentity(type=1, primary=b"U", response_requested=True)))],
        "positive response requested 255", "positive response requested 255; 0 or 1 [PS3.7 D.3.3.7.1]",
    ),
    # -- items that come twice, or were not asked for
    **{
        f"{what} twice": Case(
            "repeated_item", asked_of, asking(user=item(0x50, MAX_LENGTH + CLASS_UID + first + second)),
            [replace(ASKED, user_information=replace(PLAIN, **fields))], f"{what} twice",  # type: ignore[arg-type]
            f"{what} twice [PS3.8 9.3.2]",
        )
        for what, first, second, fields in (
            ("Maximum Length", b"", item(0x51, struct.pack(">L", 4096)), {"max_length": 4096}),
            ("implementation class UID", b"", item(0x52, b"1.2.9"), {"implementation_class_uid": "1.2.9"}),
            ("implementation version name", item(0x55, b"A"), item(0x55, b"B"), {"implementation_version_name": "B"}),
            ("asynchronous operations window", item(0x53, b"\0\1\0\1"), item(0x53, b"\0\5\0\2"),
             {"window": OperationsWindow(invoked=5, performed=2)}),
        )
    },
    "a window": Case(
        "unasked_window", asker,
        accepting(answered(1), answered(3), answered(5),
                  user=item(0x50, MAX_LENGTH + CLASS_UID + item(0x53, b"\0\0\0\0"))),
        [accepted(1, 3, 5, user=replace(PLAIN, window=OperationsWindow(invoked=0, performed=0)))],
        "an asynchronous operations window answered that was not proposed",
        "an asynchronous operations window answered that was not proposed [PS3.7 D.3.3.3]",
    ),
    # -- what cannot be read
    **{
        f"{what} that is no answer": Case(
            "unreadable_item", asker,
            accepting(answered(1), answered(3), answered(5), user=item(0x50, MAX_LENGTH + CLASS_UID + bad)),
            [accepted(1, 3, 5)], text, f"{text}",
        )
        for what, bad, text in (
            ("window", item(0x53, b"\0\1"), "asynchronous operations window"),
            ("role selection", item(0x54, b"\0\0031.2\2\2"), "roles 2 and 2; 0 or 1"),
            ("role selection with more", item(0x54, b"\0\0031.2\1\1\0"), "role selection"),
            ("extended negotiation", item(0x56, b"\0"), "extended negotiation"),
            ("common extended negotiation", item(0x57, b"\0\1"), "common extended negotiation"),
            ("user identity response", item(0x59, b"\0\5a"), "user identity response"),
        )
    },
    # -- names that are not UIDs
    "transfer syntax beside a good one": Case(
        "item_no_uid", asked_of,
        asking(context=item(0x20, b"\3\0\0\0" + item(0x30, CT.encode()) + item(0x40, b"JPEG") + item(0x40, IMPLICIT))),
        [ASKED], "transfer syntax 'JPEG' is not a UID", "transfer syntax 'JPEG' is not a UID [PS3.5 9.1]",
    ),
    "empty transfer syntax": Case(
        "item_no_uid", asked_of, asking(context=proposed(transfer=b"")),
        [replace(ASKED, contexts=(replace(ASKED.contexts[0], transfer_syntaxes=()),))],
        "transfer syntax '' is not a UID", "transfer syntax '' is not a UID [PS3.5 9.1]",
    ),
    "abstract syntax": Case(
        "item_no_uid", asked_of, asking(context=proposed(abstract=b"CT\xff")),
        [replace(ASKED, contexts=(replace(ASKED.contexts[0], abstract_syntax=""),))],
        "abstract syntax 'CT\\xff' is not a UID", "abstract syntax 'CT\\xff' is not a UID [PS3.5 9.1]",
    ),
    "abstract syntax of 74": Case(
        "item_no_uid", asked_of, asking(context=proposed(abstract=("1.2." + "7" * 200).encode())),
        [replace(ASKED, contexts=(replace(ASKED.contexts[0], abstract_syntax=""),))],
        "abstract syntax too long", "abstract syntax too long (limit uid: 204 seen, 64 allowed) [PS3.5 9.1]",
    ),
    "no transfer syntax": Case(
        "item_no_uid", asked_of, asking(context=item(0x20, b"\3\0\0\0" + item(0x30, CT.encode()))),
        [replace(ASKED, contexts=(replace(ASKED.contexts[0], transfer_syntaxes=()),))],
        "presentation context 3 without transfer syntax", "presentation context 3 without transfer syntax",
    ),
    "no abstract syntax": Case(
        "item_no_uid", asked_of, asking(context=item(0x20, b"\3\0\0\0" + item(0x40, IMPLICIT))),
        [replace(ASKED, contexts=(replace(ASKED.contexts[0], abstract_syntax=""),))],
        "presentation context 3 without abstract syntax", "no abstract syntax in presentation context 3",
    ),
    "role and extended negotiation": Case(
        "item_no_uid", asked_of,
        asking(user=item(0x50, MAX_LENGTH + CLASS_UID + item(0x54, b"\0\2CT\1\0") + item(0x56, b"\0\2CT\1")
                         + item(0x56, b"\0\0031.2\1") + item(0x57, b"\0\2CT\0\0031.2\0\0"))),
        [replace(ASKED, user_information=replace(
            PLAIN, extended=(ExtendedNegotiation(sop_class_uid="1.2", information=b"\1"),)))],
        "SOP class of a role selection 'CT' is not a UID",
        "SOP class of a role selection 'CT' is not a UID [PS3.5 9.1]",
    ),
    # -- command sets
    **laid_out("without group length", ECHO_SET[12:], start(1, ECHO),
               "command set begins with (0000,0002); (0000,0000) of 4 bytes"),
    **laid_out("with a wrong group length", struct.pack("<HHLL", 0, 0, 4, 99) + ECHO_SET[12:], start(1, ECHO),
               f"command group length 99 before {len(ECHO_SET) - 12} bytes"),
    **laid_out("in another order", swapped(), start(1, ECHO),
               "command element (0000,0002) after (0000,0110); ascending order"),
    **laid_out("of odd length", odd(), start(1, ECHO), "command element (0000,0002) of odd length 17"),
    **laid_out("with an unknown element of odd length", elements(*((0x0002, uids.VERIFICATION.encode() + b"\0"),
               (0x0100, us(0x30)), (0x0110, us(7)), (0x0800, us(0x0101)), (0x5110, b"x"))),
               start(1, replace(ECHO, other=((0x5110, b"x\0"),))), "command element (0000,5110) of odd length 1"),
    # -- data sets where none may be
    "C-FIND-RSP": Case(
        "unwanted_data_set", after(FIND, has_data=True),
        p_data((3, True, True, answering(0x20, follows=1)), (3, False, False, CONTENT[:9]),
               (3, False, True, CONTENT[9:]))
        + p_data((3, True, True, CANCELLING)),
        [start(3, CFindResponse(message_id_being_responded_to=7, status=0)), start(3, CANCEL)],
        "C-FIND-RSP with a data set; it has a data set where its status is pending",
        "C-FIND-RSP with a data set; it has a data set where its status is pending, none where it is not [PS3.7 E.1]",
    ),
    "C-STORE-RSP that only says so": Case(
        "unwanted_data_set", after(STORE, has_data=True),
        p_data((3, True, True, answering(1, follows=0))) + p_data((3, True, True, CANCELLING)),
        [start(3, CStoreResponse(message_id_being_responded_to=7, status=0)), start(3, CANCEL)],
        "C-STORE-RSP with a data set; it has no data set",
        "C-STORE-RSP with a data set; it has no data set [PS3.7 E.1]",
    ),
    "C-ECHO-RQ": Case(
        "unwanted_data_set", provider,
        p_data((1, True, True, encode_command(ECHO, has_data=True))) + p_data((1, False, True, CONTENT))
        + p_data((3, True, True, CANCELLING)),
        [start(1, ECHO), start(3, CANCEL)],
        "C-ECHO-RQ with a data set", "C-ECHO-RQ with a data set; it has no data set",
    ),
    # -- conversations
    "C-STORE-RSP on another context": Case(
        "response_on_other_context", after(STORE, has_data=True), p_data((1, True, True, answering(1))),
        [start(1, CStoreResponse(message_id_being_responded_to=7, status=0))],
        "C-STORE-RSP to message 7 on context 1; it was sent on 3",
        "C-STORE-RSP to message 7 on context 1; it was sent on 3 [PS3.7 9.1]",
    ),
    "C-STORE-RQ within a C-GET": Case(
        "store_without_role", after(GET, 5, has_data=True),
        p_data((3, True, True, storing()), (3, False, True, CONTENT)), [stored(), data(3, CONTENT)],
        "C-STORE-RQ on context 3 from a peer without that role",
        "C-STORE-RQ on context 3 from a peer without that role [PS3.7 D.3.3.4]",
    ),
}  # fmt: skip
ALSO = {"item_no_uid", "informative_text"}
"""Flags that accept any fault in a UID that is not needed, not only the faults with their own flags."""
TITLES = {
    "blank called": ("blank_title", asking(called=b""), "called AE title of spaces only", 7),
    "blank calling": ("blank_title", asking(calling=b" "), "calling AE title of spaces only", 3),
    "called": ("non_ascii_title", asking(called=b"M\xfcnchen"), "called AE title with letters beyond ASCII", 7),
    "calling": ("non_ascii_title", asking(calling=b"\xc5rhus"), "calling AE title with letters beyond ASCII", 3),
}
CASE = pytest.mark.parametrize("case", CASES.values(), ids=[f"{case.flag}: {name}" for name, case in CASES.items()])
TITLE = pytest.mark.parametrize(("flag", "stream", "detail", "reason"), TITLES.values(), ids=TITLES)


def only(flag: str) -> Tolerance:
    return Tolerance(**{flag: True})


def told(events: Iterable[Event]) -> list[str]:
    return [event.name for event in events if isinstance(event, Deviation)]


def feed_to_the_end(lone: Lone, stream: bytes) -> list[Event]:
    """Returns the events; an incomplete A-ABORT is only judged at the end of the connection."""
    found = lone.feed(stream)
    if stream[0] == 7 and not found:
        lone.engine.receive_eof()
        found = lone.events()
    return found


@SPLITS
@CASE
def test_let_through_and_told_just_before(case: Case, split: Splitter) -> None:
    lone = case.opening(only(case.flag), split)
    found = joined(lone.feed(case.stream))
    (deviation,) = (event for event in found if isinstance(event, Deviation))
    assert (deviation.name, deviation.clause) == (case.flag, CLAUSES[case.flag])
    assert case.detail in deviation.detail
    assert lone.engine.terms.deviations == (deviation,)
    found.remove(deviation)
    if isinstance(case.let[-1], Closed):
        assert found[-1] == Closed()
        found = [*(event for event in found if event != Closed()), Closed()]  # a new one for each chunk after the end
    assert found == case.let


@SPLITS
@CASE
def test_refused_by_name_where_it_is_off(case: Case, split: Splitter) -> None:
    also = ALSO if case.flag.startswith("uid_") else set()
    for tolerance in (STRICT, Tolerance(**{name: name != case.flag and name not in also for name in CLAUSES})):
        lone = case.opening(tolerance, split)
        found = feed_to_the_end(lone, case.stream)
        if case.flag == "joined_data_set" or case.flag == "over_max_length":
            assert not any(isinstance(event, MessageData) and event.last for event in found)
        assert case.flag not in told(found)
        (abort,) = (event for event in found if isinstance(event, ProviderAbort))
        assert case.refused in str(abort.error)


@CASE
def test_a_deviation_comes_before_what_it_is_about(case: Case) -> None:
    found = joined(case.opening(only(case.flag), whole).feed(case.stream))
    at = next(index for index, event in enumerate(found) if isinstance(event, Deviation))
    assert found[at + 1] == case.let[1 if case.flag == "over_max_length" else 0]


@SPLITS
@TITLE
def test_titles(flag: str, stream: bytes, detail: str, reason: int, split: Splitter) -> None:
    lone = asked_of(only(flag), split)
    deviation, request = lone.feed(stream)
    assert deviation == Deviation(clause="PS3.8 9.3.2", detail=detail, name=flag)
    assert isinstance(request, AssociateRequest)
    answer = negotiate(request, POLICY, lone.engine.terms.tolerance)
    assert isinstance(answer, AssociateAccept)
    lone.engine.send(answer)
    assert lone.engine.state is State.Sta6
    sent = lone.sent()
    assert sent[10:42] == stream[10:42]
    assert decode(sent) == answer


@TITLE
def test_titles_are_rejected_where_it_is_off(flag: str, stream: bytes, detail: str, reason: int) -> None:
    for tolerance in (STRICT, Tolerance(**{name: name != flag for name in CLAUSES})):
        lone = asked_of(tolerance, whole)
        (request,) = lone.feed(stream)
        assert isinstance(request, AssociateRequest)
        assert negotiate(request, POLICY, tolerance) == AssociateReject(reason=reason)
    assert negotiate(request, POLICY) == AssociateReject(reason=reason)


@TITLE
def test_a_list_of_titles_holds_for_what_was_let_through(flag: str, stream: bytes, detail: str, reason: int) -> None:
    (_, request) = asked_of(EVERYTHING, whole).feed(stream)
    assert isinstance(request, AssociateRequest)
    for titles, welcome in (
        (frozenset({"OTHER"}), False),
        (frozenset({request.called_aet, request.calling_aet}), True),
    ):
        policy = AcceptPolicy(other_contexts=(uids.IMPLICIT_VR_LE,), called_aets=titles, calling_aets=titles)
        assert isinstance(negotiate(request, policy, EVERYTHING), AssociateAccept) is welcome


@pytest.mark.parametrize("calling", [b"A\\B", b"A\tB", b"\xe4\\"])
def test_no_flag_lets_other_titles_in(calling: bytes) -> None:
    (request,) = asked_of(EVERYTHING, whole).feed(asking(calling=calling))
    assert isinstance(request, AssociateRequest)
    assert negotiate(request, POLICY, EVERYTHING) == AssociateReject(reason=3)


NUL_TITLES = {
    "padded": (b"PROVIDER".ljust(16, b"\0"), b"USER".ljust(16, b"\0")),
    "followed by a buffer": (b"PROVIDER\0\0junk\xff", b"USER\0PROVIDER"),
    "after a space": (b"PROVIDER \0", b" USER\0"),
}


@SPLITS
@pytest.mark.parametrize(("called", "calling"), NUL_TITLES.values(), ids=NUL_TITLES)
def test_titles_are_read_up_to_the_first_nul(called: bytes, calling: bytes, split: Splitter) -> None:
    stream = asking(called=called, calling=calling)
    lone = asked_of(only("title_padded"), split)
    deviation, request = lone.feed(stream)
    detail = "called AE title with a NUL"
    assert deviation == Deviation(clause="PS3.8 9.3.2", detail=detail, name="title_padded")
    assert request == ASKED
    titles = replace(POLICY, called_aets=frozenset({"PROVIDER"}), calling_aets=frozenset({"USER"}))
    assert isinstance(negotiate(ASKED, titles, lone.engine.terms.tolerance), AssociateAccept)
    for tolerance in (STRICT, Tolerance(**{name: name != "title_padded" for name in CLAUSES})):
        (request,) = asked_of(tolerance, split).feed(stream)
        assert isinstance(request, AssociateRequest)
        assert negotiate(request, POLICY, tolerance) == AssociateReject(reason=3)


def test_a_title_of_nothing_but_nul_is_a_blank_one() -> None:
    stream = asking(called=b"\0" * 16)
    *told_of, request = asked_of(FIELD, whole).feed(stream)
    assert told(told_of) == ["title_padded", "blank_title"]
    assert isinstance(request, AssociateRequest)
    assert request.called_aet == ""
    (_, request) = asked_of(only("title_padded"), whole).feed(stream)
    assert isinstance(request, AssociateRequest)
    assert negotiate(request, POLICY, only("title_padded")) == AssociateReject(reason=7)


@pytest.mark.parametrize("tolerance", [STRICT, FIELD], ids=["strict", "field"])
@pytest.mark.parametrize("title", [b"\0" * 16, b"A\0B", b"\xff\x1b[2J", b""])
def test_the_titles_of_an_answer_are_not_tested(title: bytes, tolerance: Tolerance) -> None:
    stream = associate(2, item(0x10, CONTEXT), *map(answered, (1, 3, 5)), USER, called=title, calling=title)
    (event,) = asker(tolerance, whole).feed(stream)
    assert isinstance(event, AssociateAccept)


DESTINATIONS = {
    "padded with NUL": ("title_padded", b"DEST\0\0", "DEST"),
    "of sixteen and NUL": ("title_padded", b"D" * 16 + b"\0\0", "D" * 16),
    "with a buffer behind it": ("title_padded", b"DEST\0\xffxy", "DEST"),
    "with an umlaut": ("non_ascii_title", b"M\xfcnchen ", "München"),
}


def moving(destination: bytes) -> bytes:
    return elements(
        (0x0002, CT.encode() + b"\0"), (0x0100, us(0x21)), (0x0110, us(7)), (0x0600, destination), (0x0700, us(0)),
        (0x0800, us(1)),
    )  # fmt: skip


@SPLITS
@pytest.mark.parametrize(("flag", "raw", "title"), DESTINATIONS.values(), ids=DESTINATIONS)
def test_a_move_destination_is_read_as_a_title(flag: str, raw: bytes, title: str, split: Splitter) -> None:
    move = replace(MOVE, move_destination=title)
    for _ in range(2):  # nothing of it is remembered
        lone = provider(only(flag), split)
        found = lone.feed(p_data((3, True, True, moving(raw))))
        assert told(found) == [flag]
        assert found[1:] == [start(3, move, has_data=True)]
        for tolerance in (STRICT, Tolerance(**{name: name != flag for name in CLAUSES})):
            *_, abort = provider(tolerance, split).feed(p_data((3, True, True, moving(raw))))
            assert isinstance(abort, ProviderAbort)
            assert f"(0000,0600) of {len(raw)} bytes; AE" in str(abort.error)


@pytest.mark.parametrize("raw", [b"D" * 18, b"A\\B ", b"\x1b[2J", b"\0\0", b"  "])
def test_no_flag_lets_another_destination_in(raw: bytes) -> None:
    *_, abort = provider(EVERYTHING, whole).feed(p_data((3, True, True, moving(raw))))
    assert isinstance(abort, ProviderAbort)
    assert "(0000,0600)" in str(abort.error)


@SPLITS
def test_a_role_selection_of_neither_means_the_default(split: Splitter) -> None:
    name = CT.encode()
    neither = item(0x54, struct.pack(">H", len(name)) + name + b"\0\0")
    stream = asking(user=item(0x50, MAX_LENGTH + CLASS_UID + neither))
    roles = (RoleSelection(sop_class_uid=CT, scu=False, scp=False),)
    lone = asked_of(only("role_of_neither"), split)
    deviation, request = lone.feed(stream)
    detail = f"role selection for {CT} that proposes neither role"
    assert deviation == Deviation(clause="PS3.7 D.3.3.4", detail=detail, name="role_of_neither")
    assert request == replace(ASKED, user_information=replace(PLAIN, roles=roles))
    answer = negotiate(request, POLICY, lone.engine.terms.tolerance)
    assert isinstance(answer, AssociateAccept)
    assert answer.user_information.roles == ()
    lone.engine.send(answer)
    assert lone.engine.contexts[3].scp
    strict = negotiate(request, POLICY)
    assert isinstance(strict, AssociateAccept)
    assert strict.user_information.roles == roles
    assert told(asked_of(STRICT, split).feed(stream)) == []


# -- sets ------------------------------------------------------------------------------------------------------------


def test_what_a_request_says_is_not_left_out_where_it_cannot_be_read() -> None:
    """The peer would believe that it had been heard."""
    for bad in (item(0x53, b"\0\1"), item(0x54, b"\0\0031.2\2\2"), item(0x56, b"\0")):
        *_, abort = asked_of(FIELD, whole).feed(asking(user=item(0x50, MAX_LENGTH + CLASS_UID + bad)))
        assert isinstance(abort, ProviderAbort)


@SPLITS
def test_the_sub_items_of_a_context_that_is_refused_are_not_tested(split: Splitter) -> None:
    """They look like the header of the next item, which a length of 4 too many would take in [PS3.8 9.3.3.2]."""
    refused = item(0x21, b"\3\0\3\0" + item(0x40, IMPLICIT) + b"\x50\0\0\1")
    (answer,) = asker(STRICT, split).feed(accepting(answered(1), refused, answered(5)))
    assert isinstance(answer, AssociateAccept)
    assert [(each.id, each.result) for each in answer.contexts] == [(1, 0), (3, 3), (5, 0)]


def test_each_flag_has_a_clause_and_a_test() -> None:
    names = [each.name for each in fields(Tolerance) if each.name != "toolkits"]
    assert names == list(CLAUSES) == list(EVERYTHING.names())
    tested = {case.flag for case in CASES.values()} | {flag for flag, *_ in TITLES.values()}
    elsewhere = {"missing_character_set"}  # in test_datasets
    assert tested == set(names) - {"title_padded", "role_of_neither"} - elsewhere


def test_sets_are_united_and_listed() -> None:
    assert STRICT == Tolerance()
    assert STRICT.names() == ()
    both = Tolerance(uid_padded=True) | Tolerance(short_abort=True)
    assert both == Tolerance(short_abort=True, uid_padded=True)
    assert list(both) == [("short_abort", "PS3.8 9.3.8"), ("uid_padded", "PS3.5 9.1")]
    assert FIELD | STRICT == FIELD
    assert STRATOVAN | FIELD == FIELD | STRATOVAN
    assert set(dict(STRATOVAN | FIELD)) == {*STRATOVAN.names(), *FIELD.names()}


def test_what_is_let_through_is_known() -> None:
    for made in (Association.acceptor(), Association.requestor(REQUEST)):
        assert (made.terms.tolerance, made.terms.deviations) == (STRICT, ())
    assert Association.acceptor(tolerance=FIELD).terms.tolerance is FIELD
    assert Association.requestor(REQUEST, tolerance=STRATOVAN).terms.tolerance is STRATOVAN
    assert UpperLayer(Role.ACCEPTOR).deviations == ()


def test_a_deviation_reads_as_one_line() -> None:
    (deviation, _) = asked_of(FIELD, whole).feed(asking(called=b""))
    assert str(deviation) == "accepted (blank_title): called AE title of spaces only [PS3.8 9.3.2]"


# -- more than one ---------------------------------------------------------------------------------------------------


@SPLITS
def test_each_flag_is_told_once_for_an_association(split: Splitter) -> None:
    lone = provider(EVERYTHING, split)
    found = []
    for number in (1, 2, 3):
        instance = f"9.{number:02}".encode()
        command = storing(instance) + bytes(4)
        found += lone.feed(p_data((3, True, False, command), (3, False, True, bytes(16_384))))
        lone.engine.send(exchange.response_to(stored(instance.decode()), 0))
    assert told(found) == ["over_max_length", "uid_leading_zeros", "uid_invalid_root", "joined_data_set"]
    assert [event.name for event in lone.engine.terms.deviations] == told(found)
    assert sum(isinstance(event, MessageStart) for event in found) == 3


@SPLITS
def test_a_pdu_with_many_is_told_all_of_them_first(split: Splitter) -> None:
    lone = asked_of(EVERYTHING, split)
    found = lone.feed(asking(application=b"9.09 ", user=b"", called=b"", calling=b"\xe4"))
    assert told(found) == [
        "uid_padded", "uid_leading_zeros", "uid_invalid_root", "missing_user_information", "blank_title",
        "non_ascii_title",
    ]  # fmt: skip
    assert isinstance(found[-1], AssociateRequest)
    assert len(found) == 7


@SPLITS
def test_what_is_let_through_is_told_also_where_something_else_is_refused(split: Splitter) -> None:
    lone = asked_of(FIELD, split)
    deviation, abort = lone.feed(asking(application=b"1.02", user=item(0x50, MAX_LENGTH + item(0x53, b"x"))))
    assert isinstance(deviation, Deviation)
    assert isinstance(abort, ProviderAbort)
    assert "asynchronous operations window: 2 bytes wanted, 1 left" in str(abort.error)
    lone = provider(FIELD, split)
    deviation, abort = lone.feed(
        p_data(
            (
                3,
                True,
                True,
                elements((0x0002, b"1.02"), (0x0100, us(1)), (0x0110, us(1)), (0x0700, us(0)), (0x0800, us(0))),
            )
        )
    )
    assert told([deviation]) == ["uid_leading_zeros"]
    assert isinstance(abort, ProviderAbort)
    assert "no (0000,1000) affected sop instance uid" in str(abort.error)


# -- the user acts on deviations ------------------------------------------------------------------------------------


@SPLITS
def test_no_deviation_is_reported_of_what_is_ignored_after_an_abort(split: Splitter) -> None:
    lone = Lone.provider(split=split, tolerance=only("over_max_length"))
    too_long = struct.pack(">BxL", 4, 20_000) + bytes(30)
    (abort,) = lone.feed(asking() + too_long)
    assert isinstance(abort, ProviderAbort)
    assert lone.engine.state is State.Sta13
    assert lone.engine.terms.deviations == ()


@pytest.mark.parametrize("name", ["two contexts", "one PDU", "second, command set", "all in one PDV", "every context"])
def test_an_abort_on_a_deviation_is_the_last_word(name: str) -> None:
    case = CASES[name]
    lone = case.opening(only(case.flag), whole)
    lone.engine.receive_data(case.stream)
    while not isinstance(lone.engine.next_event(), Deviation):
        pass
    lone.engine.send(Abort())
    assert lone.events() == []
    assert lone.engine.state is State.Sta13
    lone.engine.receive_eof()
    assert lone.events() == [Closed()]


def test_an_abort_before_a_fault_is_told_is_the_last_word() -> None:
    lone = asker(FIELD, whole)
    lone.engine.receive_data(accepting(answered(9), user=item(0x50, MAX_LENGTH + item(0x52, b"1.02") + b"\x53")))
    assert isinstance(lone.engine.next_event(), Deviation)
    lone.engine.send(Abort())
    assert lone.events() == []


# -- effects of accepted deviations ------------------------------------------------------------------------------------


def test_a_context_of_which_nothing_good_is_left_is_refused_alone() -> None:
    contexts = (
        proposed(1), proposed(3, abstract=b"acme"), proposed(5, transfer=b"acme"),
        item(0x20, b"\7\0\0\0" + item(0x30, CT.encode()) + item(0x40, b"") + item(0x40, IMPLICIT)),
    )  # fmt: skip
    lone = asked_of(FIELD, whole)
    *_, request = lone.feed(associate(1, item(0x10, CONTEXT), *contexts, USER))
    assert isinstance(request, AssociateRequest)
    anything = AcceptPolicy(other_contexts=(uids.IMPLICIT_VR_LE,))
    for policy in (anything, AcceptPolicy(contexts={CT: (uids.IMPLICIT_VR_LE,)})):
        answer = negotiate(request, policy, FIELD)
        assert isinstance(answer, AssociateAccept)
        results = [(one.id, int(one.result)) for one in answer.contexts]
        assert results == [(1, 0), (3, 3), (5, 4), (7, 0)]
    lone.engine.send(answer)
    assert list(lone.engine.contexts) == [1, 7]
    assert decode(lone.sent()) == answer


@pytest.mark.parametrize(
    ("wish", "answer", "used"),
    [((3, 2), (0, 0), (3, 2)), ((3, 2), (9, 2), (3, 2)), ((0, 0), (0, 5), (0, 5)), (None, (7, 7), (1, 1))],
)
def test_no_more_of_a_window_is_used_than_was_proposed(
    wish: tuple[int, int] | None, answer: tuple[int, int], used: tuple[int, int]
) -> None:
    window = None if wish is None else OperationsWindow(invoked=wish[0], performed=wish[1])
    asked = replace(REQUEST, user_information=replace(REQUEST.user_information, window=window))
    stream = accepting(
        *map(answered, (1, 3, 5)), user=item(0x50, MAX_LENGTH + CLASS_UID + item(0x53, struct.pack(">HH", *answer)))
    )
    lone = Lone(Association.requestor(asked, tolerance=FIELD), whole)
    found = lone.feed(stream)
    assert told(found) == (["unasked_window"] if wish != (0, 0) else [])
    agreement = lone.engine.terms.agreement
    assert agreement is not None
    assert (agreement.invoke, agreement.perform) == used


def test_the_instance_that_an_n_create_has_made_decides() -> None:
    create = NCreateRequest(message_id=7, affected_sop_class_uid=CT)
    *_, abort = after(create)(FIELD, whole).feed(p_data((3, True, True, answering(0x0140, (0x1000, b"x1")))))
    assert isinstance(abort, ProviderAbort)
    assert "(0000,1000) of 2 bytes; UI" in str(abort.error)


def test_retired_and_unknown_elements_and_priorities_are_nothing_to_tell() -> None:
    """Retired elements are passed on; no rule says that there are no others [PS3.7 E.2]."""
    retired = ((0x0001, bytes(4)), (0x0010, b"ACR-NEMA 1.0"), (0x0200, b"A "), (0x0300, b"B "), (0x4010, b"x "))
    own = (
        (0x0002, CT.encode() + b"\0"), (0x0100, us(1)), (0x0110, us(7)), (0x0700, us(77)), (0x0800, us(1)),
        (0x1000, b"1.2.3.4\0"),
    )  # fmt: skip
    for tolerance in (STRICT, FIELD):
        (event,) = provider(tolerance, whole).feed(p_data((3, True, True, elements(*sorted((*own, *retired))))))
        assert event == start(3, replace(STORE, priority=77, other=retired), has_data=True)


@pytest.mark.parametrize("element", [0x0100, 0x0120, 0x0800, 0x0900])
def test_a_number_that_decides_is_never_guessed(element: int) -> None:
    """That a data set follows is nothing to decide in what can have none."""
    own = [(0x0100, us(0x8020)), (0x0120, us(7)), (0x0800, us(0x0101)), (0x0900, us(0))]
    raw = elements(*((number, value + b"\0\0" if number == element else value) for number, value in own))
    *_, abort = after(FIND, has_data=True)(EVERYTHING, whole).feed(p_data((3, True, True, raw)))
    assert isinstance(abort, ProviderAbort)
    no_message = elements((0x0100, us(0x7777)), (0x0120, us(7)), (0x0800, b"\1\1\0\0"))
    *_, abort = after(FIND, has_data=True)(EVERYTHING, whole).feed(p_data((3, True, True, no_message)))
    assert isinstance(abort, ProviderAbort)


def test_what_comes_twice_or_ends_too_early_in_a_command_set_is_refused() -> None:
    twice = elements((0x0002, b"1.2\0"), (0x0002, b"1.3\0"), (0x0100, us(0x30)), (0x0110, us(1)), (0x0800, us(0x0101)))
    for raw, text in (
        (twice, "command element (0000,0002) after (0000,0002)"),
        (ECHO_SET[:-1], "command group length 56 before 55 bytes"),
        (ECHO_SET[12:-9], "command set begins with"),
        (ECHO_SET[12:] + b"\0\0\1", "command set begins with"),
        (b"\x08" + ECHO_SET[1:], "command set begins with (0008,0000)"),
        (b"", "no (0000,0100) command field"),
    ):
        *_, abort = provider(FIELD, whole).feed(p_data((1, True, True, raw)))
        assert isinstance(abort, ProviderAbort)
        assert text in str(abort.error)


def test_what_was_let_through_once_is_not_taken_for_good_by_the_next_association() -> None:
    """Shapes of command sets are remembered for the whole process."""
    judge = Judge(Limits(), EVERYTHING)
    lenient = (
        ECHO_SET[12:], swapped(), odd(), answering(1, (0x0902, b"a\0")), answering(0x21, (0x1021, b"\1\0\0\0")),
        moving(b"DEST\0\0"),
    )  # fmt: skip
    for raw in lenient * 2:
        decode_command(raw, judge)
        with pytest.raises(Malformed):
            decode_command(raw)
        met = Judge(Limits(), EVERYTHING)
        decode_command(raw, met)
        assert met.untold, "each association reports its own"


def test_a_comment_that_was_let_through_can_be_read_where_a_good_one_was_before() -> None:
    judge = Judge(Limits(), FIELD)
    for comment in (b"good", b"bad\0", b"good", b"\xffad\0"):
        command, _ = decode_command(answering(1, (0x0902, comment)), judge)
        text = comment.rstrip(b"\0").decode("latin-1")
        assert command == CStoreResponse(message_id_being_responded_to=7, status=0, error_comment=text)


UNWANTED = answering(0x20, follows=1)


@SPLITS
@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([(3, False, False, b"ab"), (3, True, True, CANCELLING)], "command PDV inside the data set on context 3"),
        ([(5, False, True, b"ab")], "data PDV on context 5 where a command set is to begin"),
        (
            [(3, True, False, CANCELLING[:9]), (3, False, True, b"ab")],
            "data PDV on context 3 where a command set is to begin",
        ),
        (
            [(3, False, True, b"ab"), (3, False, True, b"ab")],
            "data PDV on context 3 where a command set is to begin",
        ),
        ([(3, False, False, b"")] * 17, "too many PDVs without data in a row"),
    ],
    ids=["cut off", "of another context", "inside a command set", "two", "endless"],
)  # fmt: skip
def test_no_other_data_set_may_follow_a_message_that_has_none(
    parts: list[tuple[int, bool, bool, bytes]], text: str, split: Splitter
) -> None:
    lone = after(FIND, has_data=True)(FIELD, split)
    *_, abort = lone.feed(p_data((3, True, True, UNWANTED), *parts))
    assert isinstance(abort, ProviderAbort)
    assert text in str(abort.error)


@SPLITS
def test_after_a_message_that_only_says_a_data_set_follows_the_next_one_may_have_one(split: Splitter) -> None:
    lone = provider(FIELD, split)
    echo = encode_command(ECHO, has_data=True)
    store = start(3, replace(STORE, message_id=8), has_data=True)
    stored_as_8 = p_data((3, True, True, encode_command(store.command, has_data=True)), (3, False, True, CONTENT))
    for _ in range(2):
        for stream, events in (
            (p_data((1, True, True, echo)), [start(1, ECHO)]),
            (stored_as_8, [store, data(3, CONTENT)]),
        ):
            found = [event for event in joined(lone.feed(stream)) if not isinstance(event, Deviation)]
            assert found == events
            lone.engine.send(exchange.response_to(events[0], 0))
    assert lone.feed(p_data((1, True, True, echo)), encode(ReleaseRequest())) == [start(1, ECHO), ReleaseRequest()]


def test_a_data_set_that_is_read_over_keeps_no_deadline_from_passing() -> None:
    """A peer that drips one has to answer in time all the same."""
    lone = after(FIND, has_data=True)(FIELD, whole)
    lone.feed(p_data((3, True, True, UNWANTED)))
    lone.engine.send(start(3, replace(STORE, message_id=8), has_data=True))
    lone.engine.send(data(3, b"x"))
    assert lone.events() == []
    begun = lone.engine.deadline(0.0)
    assert begun is not None
    for now in range(1, 20):
        lone.feed(p_data((3, False, False, b"ab")))
        later = lone.engine.deadline(float(now))
        assert later is not None
        assert later.at == begun.at


@pytest.mark.parametrize("outstanding", [None, MOVE, FIND], ids=["nothing", "C-MOVE", "C-FIND"])
def test_a_store_without_role_is_for_a_c_get_only(outstanding: Command | None) -> None:
    opening = user if outstanding is None else after(outstanding, 5, has_data=True)
    *_, abort = opening(EVERYTHING, whole).feed(p_data((3, True, True, storing())))
    assert isinstance(abort, ProviderAbort)
    assert "C-STORE-RQ on context 3 from a peer without that role" in str(abort.error)


def test_only_a_store_may_come_without_role_within_a_c_get() -> None:
    *_, abort = after(GET, 5, has_data=True)(EVERYTHING, whole).feed(p_data((1, True, True, ECHO_SET)))
    assert isinstance(abort, ProviderAbort)
    assert "C-ECHO-RQ on context 1 from a peer without that role" in str(abort.error)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (answering(1).replace(us(7), us(8), 1), "which is not outstanding"),
        (answering(0x20), "whose command field was 0x0001"),
    ],
)
def test_a_response_on_another_context_has_to_be_that_of_a_request(raw: bytes, text: str) -> None:
    *_, abort = after(STORE, has_data=True)(EVERYTHING, whole).feed(p_data((1, True, True, raw)))
    assert isinstance(abort, ProviderAbort)
    assert text in str(abort.error)


# -- what is near a deviation ----------------------------------------------------------------------------------------


@SPLITS
@pytest.mark.parametrize("flag", CLAUSES)
def test_a_flag_changes_nothing_for_those_who_do_not_deviate(flag: str, split: Splitter) -> None:
    content = bytes(range(256)) * 8
    pair = Pair(split=split, tolerance=only(flag))
    assert pair.events(pair.provider) == [REQUEST]
    answer = negotiate(REQUEST, POLICY)
    pair.provider.send(answer)
    assert pair.events(pair.user) == [answer]
    pair.user.send(stored())
    pair.user.send(data(3, content))
    assert joined(pair.events(pair.provider)) == [stored(), data(3, content)]
    pair.provider.send(exchange.response_to(stored(), 0))
    (response,) = pair.events(pair.user)
    assert response == exchange.response_to(stored(), 0)
    pair.user.send(Abort(source=2, reason=5))
    assert pair.events(pair.provider) == [Abort(source=2, reason=5), Closed()]
    assert pair.user.terms.deviations == pair.provider.terms.deviations == ()


@SPLITS
@pytest.mark.parametrize(("bytes_sent", "reason"), [("00000206", 6), ("00010205", 5)])
def test_a_proper_abort_is_read_whole_where_short_ones_are_let_through(
    bytes_sent: str, reason: int, split: Splitter
) -> None:
    lone = user(STRATOVAN, split)
    found = lone.feed(bytes.fromhex("07000000 0004" + bytes_sent))
    assert found == [Abort(source=2, reason=reason), Closed()]
    assert lone.engine.terms.deviations == ()


@SPLITS
def test_a_short_abort_is_the_pdu_of_four_bytes_that_it_stands_for(split: Splitter) -> None:
    under_test = PduReader(Judge(Limits(), only("short_abort")))
    found = []
    for chunk in split([bytes.fromhex("07000000 0004 0102")]):
        under_test.feed(chunk)
        found += list(iter(under_test.next, None))
    assert found == [PduHeader(PduType.ABORT, 4), PduBody(PduType.ABORT, b"\0\0\1\2")]
    assert (under_test.completed, under_test.mid_pdu, under_test.describe()) == (1, False, "between PDUs")


@SPLITS
def test_only_an_abort_may_be_short(split: Splitter) -> None:
    """The reserved bytes of other PDUs are not tested, and never make a PDU shorter [PS3.8 9.3.1]."""
    lone = provider(only("short_abort"), split)
    assert lone.feed(bytes.fromhex("05000000 0004 01020304")) == [ReleaseRequest()]
    assert (lone.engine.terms.deviations, lone.engine.state) == ((), State.Sta8)


@SPLITS
def test_what_follows_a_short_abort_is_not_read(split: Splitter) -> None:
    lone = user(STRATOVAN, split)
    found = lone.feed(bytes.fromhex("07000000 0004 0102  05000000 0004 00000000"))
    assert found[:3] == [lone.engine.terms.deviations[0], Abort(source=1, reason=2), Closed()]
    assert set(found[3:]) <= {Closed()}


def test_the_first_bytes_of_an_abort_are_waited_for() -> None:
    lone = user(STRATOVAN, whole)
    for part in ("07000000 0004", "01"):
        assert lone.feed(bytes.fromhex(part)) == []
    assert [type(event) for event in lone.feed(b"\5")] == [Deviation, Abort, Closed]


@SPLITS
def test_a_command_set_in_several_pdvs_is_one_where_joined_ones_are_let_through(split: Splitter) -> None:
    command = storing()
    lone = provider(STRATOVAN, split)
    parts = [(3, True, False, command[:5]), (3, True, False, command[5:20]), (3, True, False, command[20:])]
    found = lone.feed(p_data(*parts, (3, True, True, b"")), p_data((3, False, True, CONTENT)))
    assert joined(found) == [stored(), data(3, CONTENT)]


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([(3, True, True, CANCELLING + b"more")], "which says that no data set follows [PS3.7 E.1]"),
        ([(3, True, True, storing()[:-1])], "command group length 90 before 89 bytes [PS3.7 6.3.1]"),
        ([(3, True, True, b"\1" * 40)], "command set begins with (0101,0101); (0000,0000) of 4 bytes [PS3.7 6.3.1]"),
        ([(3, True, True, storing()[:9])], "command set of 9 bytes; at least 12"),
        ([(3, True, False, b"\1" * 70_000)], "command set too long (limit command_set: 70000 seen, 65536 allowed)"),
        (
            [(3, True, False, struct.pack("<HHLL", 0, 0, 4, 1 << 31) + b"\0")],
            "command set too long (limit command_set: 2147483660 seen, 65536 allowed)",
        ),
        ([(3, True, False, storing() + b"da"), (3, True, True, storing())], "command PDV inside the data set"),
        ([(3, True, False, storing() + b"da"), (5, False, True, b"ta")], "data PDV on context 5 inside the data set"),
    ],
    ids=["no data", "cut short", "no group length", "nine bytes", "endless", "long by its word", "another", "context"],
)  # fmt: skip
@SPLITS
def test_no_joined_data_set(parts: list[tuple[int, bool, bool, bytes]], text: str, split: Splitter) -> None:
    lone = Lone(Association.acceptor(tolerance=STRATOVAN), whole)
    lone.feed(encode(replace(REQUEST, user_information=replace(REQUEST.user_information, max_length=0))))
    lone.engine.send(negotiate(REQUEST, replace(POLICY, max_length=0)))
    if split is splitters()["bytes"] and len(parts[0][3]) > 10_000:
        split = whole
    lone.split = split
    found = lone.feed(p_data(*parts))
    (abort,) = (event for event in found if isinstance(event, ProviderAbort))
    assert text.split(": ")[0] in str(abort.error)


@SPLITS
def test_a_message_after_a_joined_data_set_is_one_of_its_own(split: Splitter) -> None:
    lone = provider(only("joined_data_set"), split)
    both = p_data((3, True, True, storing() + CONTENT))
    response = CStoreResponse(message_id_being_responded_to=7, status=0)
    for _ in range(3):
        found = [event for event in joined(lone.feed(both)) if not isinstance(event, Deviation)]
        assert found == [stored(), data(3, CONTENT)]
        lone.engine.send(start(3, response))


@pytest.mark.parametrize("over", [-1, 0, 1])
@SPLITS
def test_a_command_set_of_just_the_length_that_is_allowed_may_have_its_data_set_joined(
    over: int, split: Splitter
) -> None:
    command = storing()
    lone = Lone.provider(split=split, tolerance=only("joined_data_set"), limits=Limits(command_set=len(command) - over))
    found = joined(lone.feed(p_data((3, True, True, command + CONTENT))))
    if over > 0:
        assert isinstance(found[-1], ProviderAbort)
        assert f"command_set: {len(command)} seen, {len(command) - 1} allowed" in str(found[-1].error)
    else:
        assert found[1:] == [stored(), data(3, CONTENT)]


def test_a_joined_data_set_is_views_of_what_arrived() -> None:
    lone = provider(STRATOVAN | FIELD, whole)
    chunk = p_data((3, True, True, storing() + bytes(60_000)))
    lone.engine.receive_data(chunk)
    pieces = []
    while (event := lone.engine.next_event()) is not None:
        if isinstance(event, MessageData):
            pieces.append(event.data)
    (piece,) = pieces
    assert isinstance(piece, memoryview)
    assert piece.obj is chunk


@settings(max_examples=60, deadline=None)
@given(
    content=st.binary(max_size=300),
    cuts=st.lists(st.integers(0, 300), max_size=4),
    seed=st.integers(0, 1000),
)
def test_a_joined_data_set_however_it_is_cut(content: bytes, cuts: list[int], seed: int) -> None:
    """The first PDV carries the command set and what data there is room for, the others the rest."""
    edges = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    pieces = [content[a:b] for a, b in pairwise(edges)] or [b""]
    parts = [(3, index == 0, index == len(pieces) - 1, piece) for index, piece in enumerate(pieces)]
    parts[0] = (3, True, parts[0][2], storing() + pieces[0])
    if not content:
        parts.append((3, False, True, b""))
    lone = provider(STRATOVAN, scattered(seed))
    found = [event for event in joined(lone.feed(*map(p_data, parts))) if not isinstance(event, Deviation)]
    assert found == [stored(), data(3, content)]


@pytest.mark.parametrize(
    "tail",
    [b"\x50\0\0\0", b"\x41\0\0\0", b"\x41\0\0\1x"],
    ids=["empty and of a type that is also an item's", "empty", "of one byte"],
)  # fmt: skip
@pytest.mark.parametrize("tolerance", [STRICT, STRATOVAN], ids=["strict", "stratovan"])
def test_a_sub_item_after_the_transfer_syntax_is_skipped(tolerance: Tolerance, tail: bytes) -> None:
    """An unknown sub-item is legal and skipped [PS3.8 9.3.1]."""
    lone = asker(tolerance, whole)
    contexts = [item(0x21, bytes((each, 0, 0, 0)) + item(0x40, IMPLICIT) + tail) for each in (1, 3, 5)]
    assert lone.feed(accepting(*contexts)) == [accepted(1, 3, 5)]


def test_an_item_that_counts_more_than_its_header_is_refused() -> None:
    for context in (answered(1, more=3), answered(1, more=5), item(0x21, b"\1\0\0\0", more=4), item(0x21, b"\1")):
        (abort,) = asker(EVERYTHING, whole).feed(accepting(context))
        assert isinstance(abort, ProviderAbort)
        assert "counts" not in str(abort.error)


def test_an_item_that_counts_its_header_but_ends_with_the_pdu_is_refused_where_it_is_cut_short() -> None:
    stream = associate(2, item(0x10, CONTEXT), USER, answered(1, more=4)[:-1])
    (abort,) = asker(EVERYTHING, whole).feed(stream)
    assert isinstance(abort, ProviderAbort)


@pytest.mark.parametrize(
    "raw",
    [b"", b"1..2", b"1.2.", b"1.x", b"1.\xb2", b"1. 2", b"1" * (LONGEST_UID + 1), b"1.2" + b"\0" * 200],
    ids=["empty", "two dots", "dot at the end", "letter", "digit of Latin-1", "space inside", "129", "all padding"],
)  # fmt: skip
def test_no_flag_lets_through_what_is_no_uid(raw: bytes) -> None:
    (*_, abort) = asked_of(EVERYTHING, whole).feed(asking(application=raw))
    assert isinstance(abort, ProviderAbort)
    assert "[PS3.5 9.1]" in str(abort.error)
    (*_, request) = asked_of(EVERYTHING, whole).feed(asking(context=proposed(abstract=raw)))
    assert isinstance(request, AssociateRequest)
    assert request.contexts[0].abstract_syntax == ""
    (*_, abort) = provider(EVERYTHING, whole).feed(store_with(raw + b"\0" * (len(raw) % 2)))
    assert isinstance(abort, ProviderAbort)
    assert "(0000,1000)" in str(abort.error)


def test_128_characters_are_let_through_and_not_sent_back() -> None:
    """A response may leave its UIDs out, and cannot hold these [PS3.7 9.1.1.1]."""
    longest = "1.2." + "3" * (LONGEST_UID - 4)
    lone = provider(EVERYTHING, whole)
    (_, event) = lone.feed(store_with(longest.encode()))
    assert event == stored(longest)
    assert isinstance(event, MessageStart)
    response = exchange.response_to(event, 0)
    lone.engine.send(response)
    assert getattr(response.command, "affected_sop_instance_uid", "") is None
    echo = start(1, CEchoRequest(message_id=1, affected_sop_class_uid=longest))
    assert exchange.response_to(echo, 0).command == CEchoResponse(message_id_being_responded_to=1, status=0)


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=140), st.text("0129. \0", max_size=140).map(str.encode)))
def test_any_bytes_for_a_uid_are_read_or_refused(raw: bytes) -> None:
    """An accepted UID has at most 128 digits and dots; one that needs no flag is valid."""
    for tolerance in (STRICT, FIELD, EVERYTHING):
        lone = asked_of(tolerance, whole)
        *deviations, event = lone.feed(asking(application=raw))
        if isinstance(event, AssociateRequest):
            uid = event.application_context
            assert uids.is_dotted(uid)
            assert len(uid) <= LONGEST_UID
            assert deviations or (uids.is_valid(uid) and uids.has_valid_root(uid) and uid.encode() == raw)
        else:
            assert isinstance(event, ProviderAbort)
            assert (
                tolerance is not EVERYTHING or not uids.is_dotted(raw.decode("latin-1").rstrip("\0 ")) or len(raw) > 128
            )


@settings(max_examples=200)
@given(st.binary(max_size=120), st.binary(max_size=60))
def test_any_bytes_in_an_answer_are_read_or_refused(contexts: bytes, tail: bytes) -> None:
    for stream in (
        accepting(contexts, user=tail),
        accepting(answered(1, more=4), contexts),
        p_data((1, True, True, tail)),
    ):
        found = asker(EVERYTHING, whole).feed(stream)
        assert isinstance(found[-1], AssociateAccept | ProviderAbort)


# -- responses to accepted deviations -------------------------------------------------------------------------------


def test_a_role_for_a_class_whose_uid_was_let_through_is_not_granted() -> None:
    """It could not be written down, and no SOP class is called so."""
    for uid in ("1.02", "9.1", LONG):
        both = tuple(RoleSelection(sop_class_uid=each, scu=True, scp=False) for each in (uid, CT))
        answer = negotiate(replace(ASKED, user_information=replace(PLAIN, roles=both)), POLICY, EVERYTHING)
        assert isinstance(answer, AssociateAccept)
        assert [role.sop_class_uid for role in answer.user_information.roles] == [CT]
        encode(answer)


def test_a_context_that_was_not_answered_is_refused_without_a_result() -> None:
    lone = asker(FIELD, whole)
    lone.feed(accepting(answered(3)))
    agreement = lone.engine.terms.agreement
    assert agreement is not None
    assert list(lone.engine.contexts) == [3]
    assert [(one.id, one.result) for one in agreement.refused] == [(1, None), (5, None)]


def test_the_local_side_is_held_to_the_standard_whatever_it_lets_through() -> None:
    lone = asked_of(EVERYTHING, whole)
    lone.feed(encode(REQUEST))
    answer = accepted(1, 3, 5, user=replace(PLAIN, user_identity_response=UserIdentityResponse()))
    for wrong, text in ((answer, "none was asked for"), (accepted(3), "2 of 3 proposed")):
        with pytest.raises(LocalProtocolError, match=text):
            lone.engine.send(wrong)
    assert lone.engine.state is State.Sta3
    for uid in ("9.1", "1.40", "1.02", LONG):
        with pytest.raises(LocalProtocolError, match="is not a UID"):
            encode(replace(ASKED, application_context=uid))


def test_a_peer_without_maximum_length_is_sent_16384_bytes_at_most() -> None:
    lone = asked_of(FIELD, whole)
    lone.feed(asking(user=b""))
    assert lone.engine.terms.request is not None
    lone.engine.send(negotiate(lone.engine.terms.request, POLICY, FIELD))
    assert lone.engine.terms.agreement is not None
    assert lone.engine.terms.agreement.peer_max_length == 16_384


# -- flows and single PDUs -------------------------------------------------------------------------------------------


def test_flows_pass_over_deviations() -> None:
    pair = Pair(replace(REQUEST), tolerance=FIELD)
    pair.provider = Association.acceptor(tolerance=FIELD)
    pair.provider.receive_data(asking(context=proposed(abstract=b"1.02"), called=b""))
    (request,) = pair.run(flows.await_request(pair.provider))
    assert isinstance(request, AssociateRequest)
    (answer,) = pair.run(flows.answer_request(pair.provider, request, POLICY))
    assert isinstance(answer, AssociateAccept)
    assert [one.name for one in pair.provider.terms.deviations] == ["uid_leading_zeros", "blank_title"]
    lone = asker(FIELD, whole)
    lone.engine.receive_data(accepting(answered(3)))
    flow = flows.establish(lone.engine)
    with pytest.raises(StopIteration) as done:
        next(flow)
    assert done.value.value == accepted(3)


def test_a_deviation_while_a_data_set_is_sent_is_passed_over() -> None:
    """An early response with a UID that only the tolerance accepts."""
    lone = Lone.user(limits=Limits(queued=10), tolerance=FIELD)
    talk = exchange.Exchange(lone.engine)
    talk.send(3, stored().command, [b"abcd", b"efgh"])
    early = elements((0x0100, us(0x8001)), (0x0120, us(7)), (0x0800, us(0x0101)), (0x0900, us(0)), (0x1000, b"1.02"))
    lone.engine.receive_data(p_data((3, True, True, early)))
    with pytest.raises(StopIteration) as done:
        next(fresh(talk))
    assert talk.sending
    assert isinstance(done.value.value, MessageStart)
    assert [one.name for one in lone.engine.terms.deviations] == ["uid_leading_zeros"]


def test_one_pdu_by_itself() -> None:
    for name in ("every context", "user name", "no item", "a space, role"):
        case = CASES[name]
        with pytest.raises(Malformed):
            decode(case.stream)
        assert decode(case.stream, Limits(), EVERYTHING) == case.let[0]


def test_a_judge_keeps_the_first_of_each() -> None:
    judge = Judge(Limits(), Tolerance(uid_padded=True))
    assert [judge.tolerates("uid_padded", text) for text in "ab"] == [True, True]
    assert not judge.tolerates("short_abort", "c")
    assert judge.untold == [("uid_padded", "a")]


def test_the_upper_layer_alone_tells_them_too() -> None:
    layer = UpperLayer(Role.ACCEPTOR, tolerance=FIELD)
    layer.receive_data(asking(called=b""))
    assert layer.state is State.Sta2
    assert isinstance(layer.next_event(), Deviation)
    assert layer.state is State.Sta2, "as of the last event returned"
    assert isinstance(layer.next_event(), AssociateRequest)
    assert layer.state is State.Sta3
    assert [one.name for one in layer.deviations] == ["blank_title"]


def test_a_release_between_a_deviation_and_its_event_loses_nothing() -> None:
    case = CASES["one PDU"]
    lone = provider(FIELD, whole)
    lone.engine.receive_data(case.stream)
    found: list[Event] = []
    while not isinstance(event := lone.engine.next_event(), Deviation):
        assert event is not None
        found.append(event)
    lone.engine.send(ReleaseRequest())
    assert joined([*found, *lone.events()]) == case.let


def test_a_sop_class_that_is_too_long_is_judged_each_time() -> None:
    """Texts longer than any legal one are not remembered; they are read alike."""
    raw = elements((0x0002, LONG.encode()), (0x0100, us(0x0030)), (0x0110, us(1)), (0x0800, us(0x0101)))
    for _ in range(2):
        with pytest.raises(Malformed, match="is longer than 64 characters"):
            decode_command(raw)
        judge = Judge(Limits(), Tolerance(uid_too_long=True))
        assert decode_command(raw, judge) == (CEchoRequest(message_id=1, affected_sop_class_uid=LONG), False)
        assert [name for name, _ in judge.untold] == ["uid_too_long"]
