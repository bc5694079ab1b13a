"""Each PDU, item and sub-item byte by byte as PS3.8 9.3, annex D and PS3.7 D.3.3 lay it out: read, written alike."""

from dataclasses import replace

import pytest

from dicos_proto.upper_layer.pdu import decode, encode
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
    PData,
    Pdu,
    PduType,
    Pdv,
    ProposedContext,
    ReleaseRequest,
    ReleaseResponse,
    RoleSelection,
    UserIdentity,
    UserIdentityResponse,
    UserInformation,
)
from tests.upper_layer.layouts import accept, associate, item, pdv, request, sized, user_item

FIXED_PDUS = [
    ("03 00 00000004 00 01 01 07", AssociateReject(result=1, source=1, reason=7)),
    ("03 00 00000004 00 02 03 02", AssociateReject(result=2, source=3, reason=2)),
    ("05 00 00000004 00000000", ReleaseRequest()),
    ("06 00 00000004 00000000", ReleaseResponse()),
    ("07 00 00000004 00 00 00 00", Abort()),
    ("07 00 00000004 00 00 02 06", Abort(source=2, reason=6)),
    ("04 00 00000006 00000002 01 02", PData(pdvs=(Pdv(context=1, command=False, last=True, data=b""),))),
    (
        "04 00 00000012 00000005 01 03 616263  00000005 ff 00 646566",
        PData(
            pdvs=(
                Pdv(context=1, command=True, last=True, data=b"abc"),
                Pdv(context=255, command=False, last=False, data=b"def"),
            )
        ),
    ),
]

REQUEST = """
01 00 00 00 00 c2
00 01  00 00
43 41 4c 4c 45 44 20 20 20 20 20 20 20 20 20 20
43 41 4c 4c 49 4e 47 20 20 20 20 20 20 20 20 20
00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
10 00 00 15  31 2e 32 2e 38 34 30 2e 31 30 30 30 38 2e 33 2e 31 2e 31 2e 31
20 00 00 45  03 00 00 00
   30 00 00 11  31 2e 32 2e 38 34 30 2e 31 30 30 30 38 2e 31 2e 31
   40 00 00 11  31 2e 32 2e 38 34 30 2e 31 30 30 30 38 2e 31 2e 32
   40 00 00 13  31 2e 32 2e 38 34 30 2e 31 30 30 30 38 2e 31 2e 32 2e 31
50 00 00 18
   51 00 00 04  00 00 40 00
   52 00 00 05  31 2e 32 2e 33
   55 00 00 03  56 5f 31
"""

ACCEPT = """
02 00 00 00 00 9b
00 01  00 00
43 41 4c 4c 45 44 20 20 20 20 20 20 20 20 20 20
43 41 4c 4c 49 4e 47 20 20 20 20 20 20 20 20 20
00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
10 00 00 15  31 2e 32 2e 38 34 30 2e 31 30 30 30 38 2e 33 2e 31 2e 31 2e 31
21 00 00 19  01 00 00 00
   40 00 00 11  31 2e 32 2e 38 34 30 2e 31 30 30 30 38 2e 31 2e 32
21 00 00 08  03 00 03 00
   40 00 00 00
50 00 00 11
   51 00 00 04  00 00 40 00
   52 00 00 05  31 2e 32 2e 33
"""


def information(**fields: object) -> UserInformation:
    """The user information that `layouts.user_item` begins with, with `fields`."""
    bare = UserInformation(max_length=16384, implementation_class_uid="1.2.3", implementation_version_name=None)
    return replace(bare, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(("layout", "value"), FIXED_PDUS, ids=[layout.replace(" ", "") for layout, _ in FIXED_PDUS])
def test_pdu_of_its_layout(layout: str, value: Pdu) -> None:
    whole = bytes.fromhex(layout)
    assert decode(whole) == value
    assert encode(value) == whole


def test_associate_request_of_its_layout() -> None:
    whole = bytes.fromhex(REQUEST)
    proposed = ProposedContext(
        id=3, abstract_syntax="1.2.840.10008.1.1", transfer_syntaxes=("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
    )
    value = AssociateRequest(
        called_aet="CALLED",
        calling_aet="CALLING",
        contexts=(proposed,),
        user_information=information(implementation_version_name="V_1"),
    )
    assert value.application_context == "1.2.840.10008.3.1.1.1"
    assert decode(whole) == value
    assert encode(value) == whole


def test_associate_accept_of_its_layout() -> None:
    whole = bytes.fromhex(ACCEPT)
    value = AssociateAccept(
        called_aet="CALLED",
        calling_aet="CALLING",
        contexts=(
            ContextAnswer(id=1, result=ContextResult.ACCEPTANCE, transfer_syntax="1.2.840.10008.1.2"),
            ContextAnswer(id=3, result=ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED),
        ),
        user_information=information(),
    )
    assert decode(whole) == value
    assert encode(value) == whole


BOTH = [
    ("window", "53 00 0004 0102 0000", {"window": OperationsWindow(invoked=258, performed=0)}),
    (
        "roles",
        "54 00 0007 0003 312e32 01 00  54 00 0007 0003 312e33 00 01",
        {
            "roles": (
                RoleSelection(sop_class_uid="1.2", scu=True, scp=False),
                RoleSelection(sop_class_uid="1.3", scu=False, scp=True),
            )
        },
    ),
    ("version of one", "55 00 0001 58", {"implementation_version_name": "X"}),
    ("version of sixteen", "55 00 0010" + "58" * 16, {"implementation_version_name": "X" * 16}),
    (
        "extended",
        "56 00 0008 0003 312e32 00ff01  56 00 0005 0003 312e33",
        {
            "extended": (
                ExtendedNegotiation(sop_class_uid="1.2", information=b"\x00\xff\x01"),
                ExtendedNegotiation(sop_class_uid="1.3", information=b""),
            )
        },
    ),
]
REQUEST_ONLY = [
    (
        "common extended",
        "57 00 0016 0003 312e32 0003 312e33 000a 0003 312e34 0003 312e35  57 00 0008 0001 31 0001 32 0000",
        {
            "common_extended": (
                CommonExtendedNegotiation(sop_class_uid="1.2", service_class_uid="1.3", related_general=("1.4", "1.5")),
                CommonExtendedNegotiation(sop_class_uid="1", service_class_uid="2"),
            )
        },
    ),
    (
        "username and passcode",
        "58 00 000d 02 01 0003 626f62 0004 70617373",
        {"user_identity": UserIdentity(type=2, primary=b"bob", secondary=b"pass", response_requested=True)},
    ),
    ("username", "58 00 0009 01 00 0003 626f62 0000", {"user_identity": UserIdentity(type=1, primary=b"bob")}),
]
ACCEPT_ONLY = [
    ("server response", "59 00 0005 0003 6f6b21", {"user_identity_response": UserIdentityResponse(response=b"ok!")}),
    ("empty server response", "59 00 0002 0000", {"user_identity_response": UserIdentityResponse()}),
]


@pytest.mark.parametrize(
    ("layout", "fields"), [case[1:] for case in BOTH + REQUEST_ONLY], ids=[case[0] for case in BOTH + REQUEST_ONLY]
)
def test_sub_item_of_a_request(layout: str, fields: dict[str, object]) -> None:
    whole = request(bytes.fromhex(layout))
    value = decode(whole)
    assert isinstance(value, AssociateRequest)
    assert value.user_information == information(**fields)
    assert encode(value) == whole


@pytest.mark.parametrize(
    ("layout", "fields"), [case[1:] for case in BOTH + ACCEPT_ONLY], ids=[case[0] for case in BOTH + ACCEPT_ONLY]
)
def test_sub_item_of_an_accept(layout: str, fields: dict[str, object]) -> None:
    whole = accept(bytes.fromhex(layout))
    value = decode(whole)
    assert isinstance(value, AssociateAccept)
    assert value.user_information == information(**fields)
    assert encode(value) == whole


def test_what_a_receiver_does_not_test_is_sent_as_zero() -> None:
    """Reserved bytes, the six high bits of a control header, the transfer syntax of a refused context."""
    release = bytes.fromhex("05 ff 00000004 01020304")
    assert decode(release) == ReleaseRequest()
    fragment = bytes.fromhex("04 ff 00000006 00000002 01 fe")
    assert decode(fragment) == PData(pdvs=(Pdv(context=1, command=False, last=True, data=b""),))
    refused = item(0x21, b"\x03\xff\x04\xff" + item(0x40, b"\xff no UID at all"))
    value = decode(accept(contexts=(refused,)))
    assert isinstance(value, AssociateAccept)
    assert value.contexts == (ContextAnswer(id=3, result=ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED),)
    assert encode(value) == accept(contexts=(item(0x21, b"\x03\x00\x04\x00" + item(0x40, b"")),))


def test_unknown_items_are_skipped_on_every_level() -> None:
    """PS3.8 9.3.1: items of a type that is not known are ignored."""
    context = item(0x20, b"\x01\0\0\0" + item(0x99, b"?") + item(0x30, b"1.2") + item(0x41, b"") + item(0x40, b"1.3"))
    answer = item(0x21, b"\x01\0\0\0" + item(0x30, b"not for an answer") + item(0x40, b"1.3"))
    extra = (item(0x00, b""), item(0x7A, bytes(300)), item(0xFF, b"\x51\x00\x00\x04"))
    asked = decode(request(*extra, contexts=(item(0x11, b"x"), context, item(0x21, b"an answer's"))))
    assert isinstance(asked, AssociateRequest)
    assert asked.contexts == (ProposedContext(id=1, abstract_syntax="1.2", transfer_syntaxes=("1.3",)),)
    assert asked.user_information == information()
    given = decode(accept(*extra, contexts=(answer, item(0x20, b"a request's"))))
    assert isinstance(given, AssociateAccept)
    assert given.contexts == (ContextAnswer(id=1, result=ContextResult.ACCEPTANCE, transfer_syntax="1.3"),)


def test_items_are_read_in_any_order() -> None:
    parts = [item(0x10, b"1.9"), item(0x20, b"\x07\0\0\0" + item(0x40, b"1.3") + item(0x30, b"1.2")), user_item()]
    assert decode(associate(1, *parts)) == decode(associate(1, *reversed(parts)))


def test_more_after_the_common_extended_negotiation_is_read_over() -> None:
    """PS3.7 D.3.3.6: later versions of the sub-item may say more."""
    value = item(0x57, sized(b"1.2") + sized(b"1.3") + sized(b"") + b"later", reserved=1)
    common = CommonExtendedNegotiation(sop_class_uid="1.2", service_class_uid="1.3")
    asked = decode(request(value))
    assert isinstance(asked, AssociateRequest)
    assert asked.user_information.common_extended == (common,)


@pytest.mark.parametrize(
    ("field", "title"),
    [
        (b"A", "A"),
        (b"SIXTEEN CHARS 16", "SIXTEEN CHARS 16"),
        (b"  LEADING", "LEADING"),
        (b" ", ""),
        (b"NUL\0\0", "NUL\0\0"),
        (b"\xc4E", "\xc4E"),
    ],
    ids=["one", "sixteen", "leading spaces", "all spaces", "NUL padding", "not ASCII"],
)
def test_titles_are_read_without_their_spaces_and_otherwise_as_they_are(field: bytes, title: str) -> None:
    """The decoder accepts an invalid title: the negotiation has a reject reason for it [PS3.8 9.3.4]."""
    whole = associate(1, item(0x10, b"1.9"), user_item(), called=field, calling=field)
    value = decode(whole)
    assert isinstance(value, AssociateRequest)
    assert (value.called_aet, value.calling_aet) == (title, title)


def test_version_bits_beyond_the_first_are_kept() -> None:
    value = decode(associate(1, item(0x10, b"1.9"), user_item(), version=0x8003))
    assert isinstance(value, AssociateRequest)
    assert value.protocol_version == 0x8003


@pytest.mark.parametrize("given", [bytes, bytearray, memoryview], ids=lambda kind: kind.__name__)
def test_bytes_may_lie_in_any_buffer(given: type) -> None:
    for whole in (request(), accept(), bytes.fromhex("04 00 00000007 00000003 01 02 ff")):
        assert decode(given(whole)) == decode(whole)


def test_values_read_do_not_change_with_the_buffer_they_were_read_from() -> None:
    buffer = bytearray(pdv(1, 0, b"before"))
    whole = bytearray(b"\x04\x00" + len(buffer).to_bytes(4, "big") + buffer)
    value = decode(whole)
    whole[:] = bytes(len(whole))
    assert value == PData(pdvs=(Pdv(context=1, command=False, last=False, data=b"before"),))


def test_names_of_pdu_types_are_those_of_the_standard() -> None:
    assert [kind.label for kind in PduType] == [
        "A-ASSOCIATE-RQ", "A-ASSOCIATE-AC", "A-ASSOCIATE-RJ", "P-DATA-TF", "A-RELEASE-RQ", "A-RELEASE-RP", "A-ABORT",
    ]  # fmt: skip
