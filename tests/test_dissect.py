"""The output for PDUs: everything an association says, nothing from the contents of a data set, no forged lines."""

import doctest
import sys
import tracemalloc
from dataclasses import fields, replace
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_proto.dimse.codec import encode_command
from dicos_proto.dimse.types import (
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CMoveRequest,
    CMoveResponse,
    Command,
    CStoreRequest,
    CStoreResponse,
    NActionRequest,
)
from dicos_proto.dissect import Dissector, dissect
from dicos_proto.limits import Limits
from dicos_proto.registry import uids
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    CommonExtendedNegotiation,
    ContextAnswer,
    ContextResult,
    ExtendedNegotiation,
    OperationsWindow,
    ProposedContext,
    ReleaseRequest,
    ReleaseResponse,
    RoleSelection,
    UserIdentity,
    UserIdentityResponse,
    UserInformation,
)
from tests import strategies
from tests.pair import Splitter, command, p_data, splitters
from tests.upper_layer.layouts import (
    APPLICATION_ITEM,
    PROPOSED_ITEM,
    associate,
    command_set,
    element,
    item,
    us,
    user_item,
    vector,
    vector_names,
)

CT, VERIFICATION, MOVE = uids.CT_IMAGE_STORAGE, uids.VERIFICATION, "1.2.840.10008.5.1.4.1.2.2.2"
STORE = CStoreRequest(message_id=7, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")


def test_an_association_request() -> None:
    pdu = AssociateRequest(
        called_aet="STORE",
        calling_aet="SCANNER",
        contexts=(
            ProposedContext(id=1, abstract_syntax=CT, transfer_syntaxes=(uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE)),
            ProposedContext(id=3, abstract_syntax="1.2.3.4", transfer_syntaxes=("1.2.3.5",)),
        ),
        user_information=UserInformation(
            max_length=0,
            implementation_class_uid="1.2.3.9",
            implementation_version_name="VERSION",
            window=OperationsWindow(invoked=0, performed=3),
            roles=(
                RoleSelection(sop_class_uid=CT, scu=True, scp=True),
                RoleSelection(sop_class_uid="1.2.3.4", scu=False, scp=False),
            ),
            extended=(ExtendedNegotiation(sop_class_uid=CT, information=b"\x01\xff"),),
            common_extended=(
                CommonExtendedNegotiation(
                    sop_class_uid="1.2.3.4", service_class_uid="1.2.840.10008.4.2", related_general=(CT,)
                ),
            ),
            user_identity=UserIdentity(type=2, primary=b"ada", secondary=b"secret", response_requested=True),
        ),
    )
    lines = dissect(encode(pdu))
    assert lines == [
        f"A-ASSOCIATE-RQ, {len(encode(pdu)) - 6} bytes",
        "  calling AE title: 'SCANNER'",
        "  called AE title: 'STORE'",
        "  protocol version: 0x0001",
        "  application context: 1.2.840.10008.3.1.1.1 DICOM Application Context Name",
        "  context 1: 1.2.840.10008.5.1.4.1.1.2 CT Image Storage",
        "    1.2.840.10008.1.2.1 Explicit VR Little Endian",
        "    1.2.840.10008.1.2 Implicit VR Little Endian",
        "  context 3: 1.2.3.4",
        "    1.2.3.5",
        "  maximum length: 0, unlimited",
        "  implementation: 1.2.3.9, 'VERSION'",
        "  operations window: any number invoked, 3 performed",
        "  role SCU and SCP: 1.2.840.10008.5.1.4.1.1.2 CT Image Storage",
        "  role none: 1.2.3.4",
        "  extended negotiation: 1.2.840.10008.5.1.4.1.1.2 CT Image Storage, 2 bytes: 01 ff",
        "  common extended negotiation: 1.2.3.4, service class 1.2.840.10008.4.2 Storage Service Class",
        "    related general SOP class: 1.2.840.10008.5.1.4.1.1.2 CT Image Storage",
        "  user identity: user name and passcode (2), fields of 3 and 6 bytes, response requested",
        "  deviation (role_of_neither): role selection for 1.2.3.4 that proposes neither role [PS3.7 D.3.3.4]",
    ]
    assert not any("ada" in line or "secret" in line for line in lines)


def test_an_association_answer() -> None:
    results = [ContextResult(number) for number in range(5)]
    pdu = AssociateAccept(
        called_aet="STORE",
        calling_aet="SCANNER",
        contexts=tuple(
            ContextAnswer(id=2 * result + 1, result=result, transfer_syntax=None if result else uids.EXPLICIT_VR_LE)
            for result in results
        ),
        user_information=UserInformation(
            max_length=16384,
            implementation_class_uid="1.2.3.9",
            implementation_version_name=None,
            user_identity_response=UserIdentityResponse(response=b"ticket"),
        ),
    )
    assert dissect(encode(pdu))[5:] == [
        "  context 1: accepted with 1.2.840.10008.1.2.1 Explicit VR Little Endian",
        "  context 3: refused by the user",
        "  context 5: refused, no reason given",
        "  context 7: refused, abstract syntax not supported",
        "  context 9: refused, transfer syntaxes not supported",
        "  maximum length: 16384 bytes",
        "  implementation: 1.2.3.9",
        "  user identity response: 6 bytes",
    ]


def test_an_identity_of_a_type_to_come() -> None:
    user = UserInformation(user_identity=UserIdentity(type=9, primary=b""))
    contexts = (ProposedContext(id=1, abstract_syntax="1.2", transfer_syntaxes=("1.3",)),)
    asked = AssociateRequest(called_aet="A", calling_aet="B", contexts=contexts, user_information=user)
    assert dissect(encode(asked))[-1] == "  user identity: of an unknown type (9), fields of 0 and 0 bytes"


@pytest.mark.parametrize(
    ("pdu", "line"),
    [
        (ReleaseRequest(), "A-RELEASE-RQ, 4 bytes"),
        (ReleaseResponse(), "A-RELEASE-RP, 4 bytes"),
        (
            Abort(source=2, reason=2),
            "A-ABORT, 4 bytes: association aborted by the service provider: unexpected pdu (2)",
        ),
        (
            AssociateReject(result=1, source=1, reason=7),
            "A-ASSOCIATE-RJ, 4 bytes: association rejected permanently by the service user: called AE title not "
            "recognized (1/1/7)",
        ),
    ],
)
def test_the_small_pdus(pdu: Abort, line: str) -> None:
    assert dissect(encode(pdu)) == [line]


@pytest.mark.parametrize(
    ("message", "lines"),
    [
        (
            CEchoRequest(message_id=1, affected_sop_class_uid=VERIFICATION, other=((0x1234, b"abcd"),)),
            [
                "  C-ECHO-RQ, no data set",
                "    affected SOP class: 1.2.840.10008.1.1 Verification SOP Class",
                "    message id: 1",
                "    (0000,1234): 4 bytes",
            ],
        ),
        (
            CEchoResponse(message_id_being_responded_to=1, status=0x0122),
            [
                "  C-ECHO-RSP, no data set",
                "    message id being responded to: 1",
                "    status: 0x0122 Refused: SOP class not supported (failure)",
            ],
        ),
        (
            CStoreResponse(
                message_id_being_responded_to=7, status=0xA900, offending_element=(0x00080018, 0x7FE00010),
                error_comment="the passenger is Ada", error_id=3,
            ),
            [
                "  C-STORE-RSP, no data set",
                "    message id being responded to: 7",
                "    status: 0xA900 Error: data set does not match SOP class (failure)",
                "    offending elements: (0008,0018) (7FE0,0010)",
                "    error comment: 20 bytes",
                "    error id: 0x0003",
            ],
        ),
        (
            CStoreRequest(
                message_id=7, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3", priority=9,
                move_originator_aet="MOVER", move_originator_message_id=4,
            ),
            [
                "  C-STORE-RQ, no data set",
                "    affected SOP class: 1.2.840.10008.5.1.4.1.1.2 CT Image Storage",
                "    message id: 7",
                "    priority: 9",
                "    affected SOP instance: 1.2.3",
                "    move originator: 'MOVER'",
                "    message id of the C-MOVE: 4",
            ],
        ),
        (
            CMoveRequest(message_id=2, affected_sop_class_uid=MOVE, move_destination="MOVER", priority=2),
            [
                "  C-MOVE-RQ, no data set",
                f"    affected SOP class: {MOVE} {uids.name_of(MOVE)}",
                "    message id: 2",
                "    move destination: 'MOVER'",
                "    priority: low",
            ],
        ),
        (
            CMoveResponse(message_id_being_responded_to=2, status=0xFF00, remaining=5),
            [
                "  C-MOVE-RSP, no data set",
                "    message id being responded to: 2",
                "    status: 0xFF00 Pending (pending)",
                "    remaining suboperations: 5",
            ],
        ),
        (
            NActionRequest(
                message_id=2, requested_sop_class_uid="1.2.3", requested_sop_instance_uid="1.2.4", action_type_id=1
            ),
            [
                "  N-ACTION-RQ, no data set",
                "    requested SOP class: 1.2.3",
                "    message id: 2",
                "    requested SOP instance: 1.2.4",
                "    action type: 1",
            ],
        ),
        (
            CCancelRequest(message_id_being_responded_to=2),
            ["  C-CANCEL-RQ, no data set", "    message id being responded to: 2"],
        ),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_each_command_set(message: Command, lines: list[str]) -> None:
    size = len(encode_command(message, has_data=False))
    assert dissect(command(5, message)) == [f"P-DATA-TF, context 5: command set, {size} bytes", *lines]


def stored() -> bytes:
    raw = encode_command(STORE, has_data=True)
    return (
        p_data((3, True, False, raw[:11]), (3, True, True, raw[11:]))
        + p_data((3, False, False, bytes(1000)), (3, False, False, bytes(1000)))
        + p_data((3, False, True, bytes(234)))
        + encode(ReleaseRequest())
    )


@pytest.mark.parametrize("split", splitters().values(), ids=splitters())
def test_a_data_set_is_one_line_however_it_comes(split: Splitter) -> None:
    one = Dissector()
    lines = [line for chunk in split([stored()]) for line in one.feed(chunk)]
    assert lines == [
        f"P-DATA-TF, context 3: command set, {len(encode_command(STORE, has_data=True))} bytes in 2 PDVs",
        "  C-STORE-RQ, a data set follows",
        "    affected SOP class: 1.2.840.10008.5.1.4.1.1.2 CT Image Storage",
        "    message id: 7",
        "    priority: medium",
        "    affected SOP instance: 1.2.3",
        "P-DATA-TF, context 3: data set, 2,234 bytes in 3 PDVs",
        "A-RELEASE-RQ, 4 bytes",
    ]
    assert one.end() == []


@pytest.mark.parametrize(
    ("then", "line"),
    [
        (encode(Abort()), "A-ABORT, 4 bytes: association aborted by the service user"),
        (p_data((5, False, True, b"xy")), "P-DATA-TF, context 5: data set, 2 bytes"),
        (command(3, CCancelRequest(message_id_being_responded_to=2)), "P-DATA-TF, context 3: command set, 42 bytes"),
        (b"GET / HTTP", "not a PDU: HTTP, not DICOM: b'GET / ' [PS3.8 9.3.1]; the rest is not dissected"),
    ],
    ids=["abort", "another context", "a command", "garbage"],
)
def test_a_data_set_that_is_cut_short_is_shown_so(then: bytes, line: str) -> None:
    lines = dissect(p_data((3, False, False, b"abcd")) + then)
    assert lines[:2] == ["P-DATA-TF, context 3: data set, 4 bytes, not complete", line]


def test_bytes_that_end_too_early_are_shown_so() -> None:
    one = Dissector()
    assert one.feed(p_data((3, False, False, b"abcd"))[:-2]) == []
    assert one.end() == [
        "P-DATA-TF, context 3: data set, 2 bytes, not complete",
        "the bytes end in a P-DATA-TF, 2 bytes before its end",
    ]


def test_after_garbage_nothing_more_is_dissected() -> None:
    one = Dissector()
    (line,) = one.feed(b"\x16\x03\x01\x02\x00\x01")
    assert line.startswith("not a PDU: a TLS handshake, not DICOM")
    assert one.feed(encode(Abort())) == []
    assert one.end() == []


def test_what_is_malformed_is_named_and_passed_over() -> None:
    broken = encode(ReleaseRequest())[:1] + b"\x00\x00\x00\x00\x05abcde"
    assert dissect(broken)[0].startswith("not a PDU: A-RELEASE-RQ of 5 bytes")
    empty = b"\x01\x00" + (68).to_bytes(4, "big") + bytes(68)
    (line,) = dissect(empty)
    assert line.startswith("A-ASSOCIATE-RQ, 68 bytes: malformed: ")
    assert dissect(p_data((1, True, True, b"garbage!")))[1].startswith("  malformed: command set of 8 bytes")


def test_a_command_set_that_is_cut_short_is_shown_so() -> None:
    started = p_data((3, True, False, b"abcd"))
    line = "P-DATA-TF, context 3: command set, 4 bytes, not complete"
    assert dissect(started) == [line]
    assert dissect(started + encode(Abort()))[0] == line
    assert dissect(started + p_data((3, False, True, b"xy"))) == [line, "P-DATA-TF, context 3: data set, 2 bytes"]
    # Fragments of two contexts are two command sets.
    raw = encode_command(STORE, has_data=False)
    mixed = dissect(started + p_data((5, True, True, raw)))
    assert mixed[:3] == [
        line,
        f"P-DATA-TF, context 5: command set, {len(raw)} bytes",
        "  C-STORE-RQ, no data set",
    ]


@pytest.mark.parametrize("over", [-2, 0, 2])
def test_a_command_set_is_held_up_to_its_limit(over: int) -> None:
    raw = encode_command(STORE, has_data=False)
    limits = Limits(command_set=len(raw) + over)
    lines = dissect(p_data((1, True, False, raw[:50]), (1, True, True, raw[50:])), limits)
    line = f"P-DATA-TF, context 1: command set, {len(raw)} bytes in 2 PDVs"
    if over < 0:
        assert lines == [f"{line}, too long to dissect (limit command_set: {len(raw) - 2})"]
    else:
        assert lines[0] == line
        assert len(lines) == 6


@pytest.mark.parametrize("allowed", [2, 3, 4])
def test_a_command_set_may_come_in_so_many_pdvs(allowed: int) -> None:
    raw = encode_command(STORE, has_data=False)
    parts = ((1, True, False, raw[:50]), (1, True, False, b""), (1, True, True, raw[50:]))
    lines = dissect(p_data(*parts) + encode(ReleaseRequest()), Limits(command_fragments=allowed))
    line = f"P-DATA-TF, context 1: command set, {len(raw)} bytes in 3 PDVs"
    if allowed < 3:
        assert lines == [f"{line}, too long to dissect (limit command_fragments: 2)", "A-RELEASE-RQ, 4 bytes"]
    else:
        assert lines[0] == line
        assert len(lines) == 7


def test_a_command_set_that_never_ends_is_one_line() -> None:
    one = Dissector(Limits(command_set=1000))
    assert [line for _ in range(100) for line in one.feed(p_data((1, True, False, bytes(600))))] == []
    assert one.end() == [
        "P-DATA-TF, context 1: command set, 60,000 bytes in 100 PDVs, not complete, too long to dissect "
        "(limit command_set: 1000)"
    ]


@pytest.mark.parametrize("split", splitters().values(), ids=splitters())
def test_an_association_longer_than_its_limit_is_passed_over(split: Splitter) -> None:
    stream = vector("dcmtk_store.c2s")
    one = Dissector(Limits(associate_pdu=295))
    lines = [line for chunk in split([stream]) for line in one.feed(chunk)]
    assert lines == ["A-ASSOCIATE-RQ, 296 bytes: too long to dissect (limit associate_pdu: 295)", *STORE_COMMAND]
    assert dissect(stream, Limits(associate_pdu=296)) == STORE_C2S


def test_more_items_than_a_limit_allows_are_named_and_passed_over() -> None:
    lines = dissect(vector("dcmtk_store.c2s"), Limits(contexts=1))
    assert lines[0] == (
        "A-ASSOCIATE-RQ, 296 bytes: too long to dissect: too many presentation contexts "
        "(limit contexts: 2 seen, 1 allowed) [PS3.8 9.3.2]"
    )
    assert lines[1:] == STORE_COMMAND


def test_a_p_data_tf_may_have_any_length() -> None:
    one = Dissector()
    assert one.feed(b"\x04\0\xff\xff\xff\xff" + b"\xff\xff\xff\xfb\x01\x02" + bytes(10)) == []
    assert one.end()[0] == "P-DATA-TF, context 1: data set, 10 bytes, not complete"


def test_a_long_data_set_costs_no_memory() -> None:
    one, chunk = Dissector(), p_data((1, False, False, bytes(1 << 16)))
    one.feed(chunk)
    tracemalloc.start()
    try:
        assert not any(one.feed(chunk) for _ in range(1000))
        assert tracemalloc.get_traced_memory()[1] < 20_000
    finally:
        tracemalloc.stop()
    assert one.end() == ["P-DATA-TF, context 1: data set, 65,601,536 bytes in 1001 PDVs, not complete"]


def test_a_command_set_that_is_no_message_shows_its_elements() -> None:
    raw = command_set(
        element(0x0002, b"no UID"), us(0x0100, 0x7777), element(0x0110, b"1234"),
        element(0x0600, b"x" * 18), element(0x0700, b""), us(0x0800, 0x0101),
        element(0x0900, b"1234"), element(0x0901, b"12"), element(0x0903, b"1234"), element(0x1005, bytes(4 * 17)),
    )  # fmt: skip
    assert dissect(p_data((1, True, True, raw)))[1:] == [
        "  unknown message 0x7777, no data set",
        "    affected SOP class: 6 bytes",
        "    message id: 4 bytes",
        "    move destination: 18 bytes",
        "    priority: 0 bytes",
        "    status: 4 bytes",
        "    offending elements: 2 bytes",
        "    error id: 4 bytes",
        "    attribute identifiers: 68 bytes",
        "    malformed: command field 0x7777 is not a message [PS3.7 E.1]",
    ]
    assert dissect(p_data((1, True, True, command_set())))[1:] == [
        "  unknown message, no data set type",
        "    malformed: no (0000,0100) command field of 2 bytes in the command set [PS3.7 E.1]",
    ]


def test_a_long_extended_negotiation_is_a_short_line() -> None:
    user = UserInformation(extended=(ExtendedNegotiation(sop_class_uid="1.2", information=bytes(60_000)),))
    contexts = (ProposedContext(id=1, abstract_syntax="1.2", transfer_syntaxes=("1.3",)),)
    pdu = AssociateRequest(called_aet="A", calling_aet="B", contexts=contexts, user_information=user)
    assert dissect(encode(pdu))[-1] == f"  extended negotiation: 1.2, 60000 bytes: {bytes(16).hex(' ')} ..."


OTHER_THAN_DEFAULT: dict[str, object] = {
    "max_length": 16_384,
    "implementation_class_uid": "1.2.3.9",
    "implementation_version_name": "OTHER",
    "window": OperationsWindow(invoked=2, performed=3),
    "roles": (RoleSelection(sop_class_uid="1.2.3", scu=True, scp=False),),
    "extended": (ExtendedNegotiation(sop_class_uid="1.2.3", information=b"\1"),),
    "common_extended": (CommonExtendedNegotiation(sop_class_uid="1.2.3", service_class_uid="1.2.4"),),
    "user_identity": UserIdentity(type=1, primary=b"user"),
    "user_identity_response": UserIdentityResponse(response=b"ticket"),
}


@pytest.mark.parametrize("name", [one.name for one in fields(UserInformation)])
def test_every_field_of_the_user_information_is_shown(name: str) -> None:
    """A field that is new needs a value here, and a line in `dissect._user_lines`."""
    user = replace(UserInformation(), **{name: OTHER_THAN_DEFAULT[name]})  # type: ignore[arg-type]
    proposed = (ProposedContext(id=1, abstract_syntax="1.2", transfer_syntaxes=("1.3",)),)
    answered = (ContextAnswer(id=1, result=ContextResult.ACCEPTANCE, transfer_syntax="1.3"),)
    request = AssociateRequest(called_aet="A", calling_aet="B", contexts=proposed)
    accept = AssociateAccept(called_aet="A", calling_aet="B", contexts=answered)
    plain = accept if name == "user_identity_response" else request
    assert dissect(encode(replace(plain, user_information=user)))[1:] != dissect(encode(plain))[1:]


def test_no_bytes_are_no_pdu() -> None:
    assert dissect(b"") == ["not a PDU: 0 bytes"]
    assert dissect(b"GET") == ["the bytes end 3 bytes into a PDU header"]
    assert Dissector().end() == []


def test_a_peer_cannot_forge_a_line() -> None:
    title = b"A\n\r\x1b\xe9\x00'\\"
    lines = dissect(associate(1, APPLICATION_ITEM, PROPOSED_ITEM, user_item(item(0x55, b"V\x85'")), calling=title))
    assert lines[1] == r"  calling AE title: 'A\x0a\x0d\x1b\xe9\x00\x27\x5c'"
    assert lines[-2] == r"  implementation: 1.2.3, 'V?\x27'"
    assert lines[-1].startswith("  deviation (informative_text): implementation version name with other characters")
    beyond = dissect(associate(1, APPLICATION_ITEM, PROPOSED_ITEM, user_item(item(0x55, "V€😀".encode()))))
    assert beyond[-2] == r"  implementation: 1.2.3, 'V\u20ac\U0001f600'"
    # The fault shows the refused value: escaped too.
    (fault,) = dissect(associate(1, item(0x10, b"1.\xe9\n"), PROPOSED_ITEM, user_item()))
    assert fault.endswith(r"malformed: application context '1.\xe9\n' is not a UID [PS3.5 9.1]")


@pytest.mark.parametrize("name", vector_names())
def test_recorded_conversations_have_nothing_malformed(name: str) -> None:
    shown = dissect(vector(name))
    wrong = [line for line in shown if "malformed" in line or "not a PDU" in line or "the bytes end" in line]
    invented = name == "pynetdicom_p_data_tf"  # its command set is 0, 1, 2, 3...
    assert len(wrong) == invented


STORE_COMMAND = [
    "P-DATA-TF, context 1: command set, 102 bytes",
    "  C-STORE-RQ, a data set follows",
    "    affected SOP class: 1.2.840.10008.5.1.4.1.1.7 Secondary Capture Image Storage",
    "    message id: 1",
    "    priority: medium",
    "    affected SOP instance: 1.2.3.4",
    "P-DATA-TF, context 1: data set, 112 bytes",
    "A-RELEASE-RQ, 4 bytes",
]
STORE_C2S = [
    "A-ASSOCIATE-RQ, 296 bytes",
    "  calling AE title: 'STORESCU'",
    "  called AE title: 'ANY-SCP'",
    "  protocol version: 0x0001",
    "  application context: 1.2.840.10008.3.1.1.1 DICOM Application Context Name",
    "  context 1: 1.2.840.10008.5.1.4.1.1.7 Secondary Capture Image Storage",
    "    1.2.840.10008.1.2.1 Explicit VR Little Endian",
    "  context 3: 1.2.840.10008.5.1.4.1.1.7 Secondary Capture Image Storage",
    "    1.2.840.10008.1.2.2 Explicit VR Big Endian",
    "    1.2.840.10008.1.2 Implicit VR Little Endian",
    "  maximum length: 16384 bytes",
    "  implementation: 1.2.276.0.7230010.3.0.3.6.7, 'OFFIS_DCMTK_367'",
    *STORE_COMMAND,
]
ACCEPT = [
    "A-ASSOCIATE-AC, 217 bytes",
    *STORE_C2S[1:5],
    "  context 1: accepted with 1.2.840.10008.1.2.1 Explicit VR Little Endian",
    "  context 3: accepted with 1.2.840.10008.1.2.2 Explicit VR Big Endian",
    *STORE_C2S[10:12],
]
RECORDED = {
    "dcmtk_store.c2s": STORE_C2S,
    "dcmtk_store.s2c": [
        *ACCEPT,
        "P-DATA-TF, context 1: command set, 102 bytes",
        "  C-STORE-RSP, no data set",
        "    affected SOP class: 1.2.840.10008.5.1.4.1.1.7 Secondary Capture Image Storage",
        "    message id being responded to: 1",
        "    status: 0x0000 Success (success)",
        "    affected SOP instance: 1.2.3.4",
        "A-RELEASE-RP, 4 bytes",
    ],
    "dcmtk_refused.s2c": [
        "A-ASSOCIATE-RJ, 4 bytes: association rejected permanently by the service user: no reason given (1/1/1)"
    ],
    "dcmtk_abort_by_scp.s2c": [*ACCEPT, "A-ABORT, 4 bytes: association aborted by the service user"],
    "dcmtk_identity.c2s": [
        "A-ASSOCIATE-RQ, 322 bytes",
        *STORE_C2S[1:12],
        "  user identity: user name and passcode (2), fields of 5 and 11 bytes, response requested",
    ],
}


@pytest.mark.parametrize("split", splitters().values(), ids=splitters())
@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_conversation_reads_as_what_was_said(name: str, split: Splitter) -> None:
    one = Dissector()
    assert [line for chunk in split([vector(name)]) for line in one.feed(chunk)] == RECORDED[name]
    assert one.end() == []


@pytest.mark.parametrize("split", splitters().values(), ids=splitters())
@pytest.mark.parametrize("name", vector_names())
def test_every_recorded_stream_reads_the_same_however_it_comes(name: str, split: Splitter) -> None:
    one = Dissector()
    lines = [line for chunk in split([vector(name)]) for line in one.feed(chunk)]
    assert lines + one.end() == dissect(vector(name))


def in_pieces(data: bytes, sizes: list[int]) -> list[str]:
    """The lines of `data` fed in pieces of these sizes, over and over."""
    one, at = Dissector(), 0
    lines: list[str] = []
    for size in cycle(sizes):
        if at >= len(data):
            return (lines + one.end()) or dissect(b"")
        lines += one.feed(data[at : at + size])
        at += size
    raise AssertionError("no sizes")


sizes = st.lists(st.integers(1, 50), min_size=1, max_size=8)


@given(st.binary(max_size=200), sizes)
def test_nothing_is_raised_for_any_bytes(data: bytes, sizes: list[int]) -> None:
    assert in_pieces(data, sizes) == dissect(data)


@given(st.lists(strategies.damaged(strategies.pdus.map(encode)), min_size=1, max_size=3).map(b"".join), sizes)
def test_nothing_is_raised_for_damaged_pdus(data: bytes, sizes: list[int]) -> None:
    lines = dissect(data)
    assert in_pieces(data, sizes) == lines
    assert all(line.isprintable() and line.isascii() for line in lines)


def test_a_status_is_called_what_its_service_calls_it() -> None:
    for uid, words in ((MOVE, "Sub-operations complete"), ("1.2.840.10008.5.1.4.1.1.2", "Coercion of data elements")):
        answer = CMoveResponse(message_id_being_responded_to=1, status=0xB000, affected_sop_class_uid=uid)
        lines = dissect(p_data((1, True, True, encode_command(answer, has_data=False))))
        assert any(line.startswith("    status: 0xB000 ") and words in line for line in lines), lines


@given(strategies.commands, st.booleans())
def test_every_message_is_dissected(message: Command, has_data: bool) -> None:
    lines = dissect(p_data((1, True, True, encode_command(message, has_data=has_data))))
    follows = "a data set follows" if has_data else "no data set"
    assert lines[1] == f"  {message.NAME}, {follows}"
    assert not any("malformed" in line for line in lines)


@given(strategies.damaged(strategies.commands.map(lambda message: encode_command(message, has_data=True))))
def test_nothing_is_raised_for_damaged_command_sets(raw: bytes) -> None:
    assert all(line.isprintable() and line.isascii() for line in dissect(p_data((1, True, True, raw))))


def test_the_example_of_the_page_is_true() -> None:
    assert doctest.testmod(sys.modules["dicos_proto.dissect"]).failed == 0


# -- deviations ------------------------------------------------------------------------------------------------------


def test_every_deviation_is_let_through_and_said() -> None:
    stratovan = "07000000 0004 0105"
    lines = dissect(bytes.fromhex(stratovan))
    assert lines == [
        "A-ABORT, 4 bytes: association aborted by source 1, reserved: unexpected parameter (5)",
        "  deviation (short_abort): A-ABORT of 2 bytes under a length field of 4 [PS3.8 9.3.8]",
    ]
    one = Dissector()
    assert one.feed(bytes.fromhex(stratovan + "05000000 0004 00000000")) == [*lines, "A-RELEASE-RQ, 4 bytes"]


@pytest.mark.parametrize("split", splitters().values(), ids=splitters())
def test_a_command_set_joined_to_its_data_set_is_both(split: Splitter) -> None:
    command = CStoreRequest(message_id=1, affected_sop_class_uid="1.2", affected_sop_instance_uid="9.01.2")
    whole = encode_command(command, has_data=True)
    stream = p_data((3, True, False, whole + b"data")) + p_data((3, False, True, b"more"))
    one = Dissector()
    lines = [line for chunk in split([stream]) for line in one.feed(chunk)]
    lines += one.end()
    assert "    affected SOP instance: 9.01.2" in lines
    assert lines[0].startswith("P-DATA-TF, context 3: command set, ")
    assert lines[-1] == "P-DATA-TF, context 3: data set, 4 bytes"


def test_what_is_joined_in_one_pdv_is_said() -> None:
    command = CStoreRequest(message_id=1, affected_sop_class_uid="1.2", affected_sop_instance_uid="9.01.2")
    lines = dissect(p_data((3, True, True, encode_command(command, has_data=True) + b"data")))
    assert lines[1] == "  C-STORE-RQ, a data set follows"
    assert lines[-3:] == [
        "  deviation (joined_data_set): 4 bytes after the end of the command set [PS3.8 annex E]",
        "  deviation (uid_leading_zeros): (0000,1000) of 6 bytes has a component that begins with 0 [PS3.5 9.1]",
        "  deviation (uid_invalid_root): (0000,1000) of 6 bytes begins with invalid arcs [PS3.5 9.1]",
    ]


def test_an_association_says_each_of_its_deviations_once() -> None:
    def item(kind: int, value: bytes) -> bytes:
        return bytes((kind, 0)) + len(value).to_bytes(2, "big") + value

    context = item(0x20, bytes((3, 0, 0, 0)) + item(0x30, b"1.2.040\0") + item(0x40, b"9.2.3\0"))
    body = b"\0\1\0\0" + b" " * 32 + bytes(32) + item(0x10, b"1.2") + context
    lines = dissect(b"\1\0" + len(body).to_bytes(4, "big") + body)
    found = [line.split(":")[0] for line in lines if "deviation" in line]
    assert found == [
        f"  deviation ({name})"
        for name in ("uid_padded", "uid_leading_zeros", "uid_invalid_root", "missing_user_information", "blank_title")
    ]
    assert "  maximum length: 16384 bytes" in lines
