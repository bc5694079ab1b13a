"""What is shown of PDUs: everything an association says, nothing of what a data set holds, and no forged lines."""

import doctest
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_proto import uids
from dicos_proto.dimse import (
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    Command,
    CStoreRequest,
    CStoreResponse,
    OtherRequest,
    OtherResponse,
    encode_command,
)
from dicos_proto.dissect import Dissector, dissect
from dicos_proto.limits import Limits
from dicos_proto.pdu import (
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
    encode,
)
from tests import strategies
from tests.pair import command, p_data, splitters

CT, VERIFICATION = uids.CT_IMAGE_STORAGE, uids.VERIFICATION
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
        "  calling AE title: 'SCANNER', called: 'STORE'",
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
        "  extended negotiation: 1.2.840.10008.5.1.4.1.1.2 CT Image Storage, 01 ff",
        "  common extended negotiation: 1.2.3.4, service class 1.2.840.10008.4.2 Storage Service Class",
        "    related general SOP class: 1.2.840.10008.5.1.4.1.1.2 CT Image Storage",
        "  user identity: user name and passcode (2), fields of 3 and 6 bytes, response requested",
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
    assert dissect(encode(pdu))[4:] == [
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
                "  C-ECHO-RQ",
                "    message id: 1",
                "    affected SOP class: 1.2.840.10008.1.1 Verification SOP Class",
                "    (0000,1234): 4 bytes",
            ],
        ),
        (
            CEchoResponse(message_id_being_responded_to=1, status=0x0122),
            [
                "  C-ECHO-RSP",
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
                "  C-STORE-RSP",
                "    message id being responded to: 7",
                "    status: 0xA900 Error: data set does not match SOP class (failure)",
                "    offending elements: (0008,0018) (7FE0,0010)",
                "    error comment: 20 characters",
                "    error id: 0x0003",
            ],
        ),
        (
            CStoreRequest(
                message_id=7, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3", priority=9,
                move_originator_aet="MOVER", move_originator_message_id=4,
            ),
            [
                "  C-STORE-RQ",
                "    message id: 7",
                "    affected SOP class: 1.2.840.10008.5.1.4.1.1.2 CT Image Storage",
                "    affected SOP instance: 1.2.3",
                "    priority: 9",
                "    move originator: 'MOVER'",
                "    message id of the C-MOVE: 4",
            ],
        ),
        (OtherRequest(message_id=2, command_field=0x20), ["  C-FIND-RQ", "    message id: 2"]),
        (
            OtherResponse(message_id_being_responded_to=2, command_field=0x8020, status=0xFF00),
            ["  C-FIND-RSP", "    message id being responded to: 2", "    status: 0xFF00 Pending (pending)"],
        ),
        (CCancelRequest(message_id_being_responded_to=2), ["  C-CANCEL-RQ", "    message id being responded to: 2"]),
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
def test_a_data_set_is_one_line_however_it_comes(split: object) -> None:
    one = Dissector()
    lines = [line for chunk in split([stored()]) for line in one.feed(chunk)]  # type: ignore[operator]
    assert lines == [
        f"P-DATA-TF, context 3: command set, {len(encode_command(STORE, has_data=True))} bytes in 2 PDVs",
        "  C-STORE-RQ, a data set follows",
        "    message id: 7",
        "    affected SOP class: 1.2.840.10008.5.1.4.1.1.2 CT Image Storage",
        "    affected SOP instance: 1.2.3",
        "    priority: medium",
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
        (b"GET / HTTP", "no PDU: HTTP, not DICOM: b'GET / ' [PS3.8 9.3.1]; the rest is not dissected"),
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
    assert line.startswith("no PDU: a TLS handshake, not DICOM")
    assert one.feed(encode(Abort())) == []
    assert one.end() == []


def test_what_is_malformed_is_named_and_passed_over() -> None:
    broken = encode(ReleaseRequest())[:1] + b"\x00\x00\x00\x00\x05abcde"
    assert dissect(broken)[0].startswith("no PDU: A-RELEASE-RQ of 5 bytes")
    empty = b"\x01\x00" + (68).to_bytes(4, "big") + bytes(68)
    (line,) = dissect(empty)
    assert line.startswith("A-ASSOCIATE-RQ, 68 bytes: malformed: ")
    assert dissect(p_data((1, True, True, b"garbage!")))[1].startswith("  malformed: command set of 8 bytes")


@pytest.mark.parametrize("over", [-2, 0, 2])
def test_a_command_set_is_held_up_to_its_limit(over: int) -> None:
    raw = encode_command(STORE, has_data=False)
    limits = Limits(command_set=len(raw) + over)
    lines = dissect(p_data((1, True, False, raw[:50]), (1, True, True, raw[50:])), limits)
    if over < 0:
        assert lines == [f"P-DATA-TF, context 1: a command set of more than {len(raw) - 2} bytes"]
    else:
        assert len(lines) == 6


def test_a_peer_cannot_forge_a_line() -> None:
    pdu = encode(
        AssociateRequest(
            called_aet="A", calling_aet="B",
            contexts=(ProposedContext(id=1, abstract_syntax="1.2", transfer_syntaxes=("1.3",)),),
        )
    )  # fmt: skip
    forged = pdu.replace(b"1.2", b"1\n2").replace(b"B  ", b"\x1b[2")
    for line in dissect(forged):
        assert line.isprintable()
        assert line.isascii()


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "vectors").glob("*.hex")), ids=lambda path: path.stem)
def test_recorded_conversations_have_nothing_malformed(path: Path) -> None:
    lines = path.read_text().splitlines()
    stream = bytes.fromhex("".join(line for line in lines if not line.startswith("#")))
    shown = dissect(stream)
    assert shown
    wrong = [line for line in shown if "malformed" in line or "no PDU" in line or "the bytes end" in line]
    invented = path.stem == "pynetdicom_p_data_tf"  # its command set is 0, 1, 2, 3...
    assert len(wrong) == invented


@given(st.binary(max_size=200), st.integers(1, 20))
def test_nothing_is_raised_for_any_bytes(data: bytes, size: int) -> None:
    one = Dissector()
    pieces = [line for at in range(0, len(data), size) for line in one.feed(data[at : at + size])]
    assert pieces + one.end() == dissect(data)


@given(strategies.damaged(strategies.pdus.map(encode)))
def test_nothing_is_raised_for_damaged_pdus(data: bytes) -> None:
    assert all(line.isprintable() for line in dissect(data))


def test_the_example_of_the_page_is_true() -> None:
    assert doctest.testmod(sys.modules["dicos_proto.dissect"]).failed == 0
