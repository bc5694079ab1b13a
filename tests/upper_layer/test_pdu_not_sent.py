"""Values that do not fit the layouts, or must not be sent, raise `LocalProtocolError` and send no bytes."""

from array import array
from dataclasses import replace

import pytest

from dicos_proto.errors import LocalProtocolError
from dicos_proto.limits import Limits
from dicos_proto.upper_layer.events import Fragment
from dicos_proto.upper_layer.pdu import check_context_id, decode, encode
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
    Pdv,
    ProposedContext,
    RoleSelection,
    UserIdentity,
    UserIdentityResponse,
    UserInformation,
)
from dicos_proto.upper_layer.titles import encode_title, is_title
from dicos_proto.wire import Buffer

PROPOSED = ProposedContext(id=1, abstract_syntax="1.2", transfer_syntaxes=("1.3",))
ANSWER = ContextAnswer(id=1, result=ContextResult.ACCEPTANCE, transfer_syntax="1.3")
REQUEST = AssociateRequest(called_aet="CALLED", calling_aet="CALLING", contexts=(PROPOSED,))
ACCEPT = AssociateAccept(called_aet="CALLED", calling_aet="CALLING", contexts=(ANSWER,))


def asked(**fields: object) -> AssociateRequest:
    return replace(REQUEST, user_information=UserInformation(**fields))  # type: ignore[arg-type]


def given(**fields: object) -> AssociateAccept:
    return replace(ACCEPT, user_information=UserInformation(**fields))  # type: ignore[arg-type]


def common(*related: str) -> tuple[CommonExtendedNegotiation, ...]:
    return (CommonExtendedNegotiation(sop_class_uid="1.2", service_class_uid="1.3", related_general=related),)


def extended(size: int) -> tuple[ExtendedNegotiation, ...]:
    return (ExtendedNegotiation(sop_class_uid="1.2", information=bytes(size)),)


def data(context: int = 1, payload: Buffer = b"") -> Pdv:
    return Pdv(context=context, command=False, last=True, data=payload)


NOT_SENT: dict[str, tuple[Pdu, str]] = {
    "no PDV": (PData(pdvs=()), "at least one [PS3.8 9.3.5]"),
    "PDV on context 0": (PData(pdvs=(data(0),)), "context id 0; odd, 1 to 255"),
    "PDV on context 2": (PData(pdvs=(data(), data(2))), "context id 2; odd, 1 to 255"),
    "PDV on context 257": (PData(pdvs=(data(257),)), "context id 257; odd, 1 to 255"),
    "PDV on context -1": (PData(pdvs=(data(-1),)), "context id -1; odd, 1 to 255"),
    "result 256": (AssociateReject(result=256), "result 256; 0 to 255"),
    "source -1": (AssociateReject(source=-1), "source -1; 0 to 255"),
    "reason 256": (AssociateReject(reason=256), "reason 256; 0 to 255"),
    "abort source 256": (Abort(source=256), "source 256; 0 to 255"),
    "abort reason -1": (Abort(source=2, reason=-1), "reason -1; 0 to 255"),
    "protocol version 65536": (replace(REQUEST, protocol_version=65536), "protocol version 65536; 0 to 65535"),
    "protocol version -1": (replace(ACCEPT, protocol_version=-1), "protocol version -1; 0 to 65535"),
    "called title empty": (replace(REQUEST, called_aet=""), "called AE title ''"),
    "called title of spaces": (replace(REQUEST, called_aet="   "), "called AE title"),
    "calling title of 17": (replace(REQUEST, calling_aet="X" * 17), "calling AE title"),
    "calling title with backslash": (replace(REQUEST, calling_aet="A\\B"), "calling AE title"),
    "calling title with a tab": (replace(REQUEST, calling_aet="A\tB"), "calling AE title"),
    "calling title not ASCII": (replace(REQUEST, calling_aet="Ä"), "calling AE title"),
    "echoed title of 17": (replace(ACCEPT, calling_aet="X" * 17), "calling AE title 'XXXXXXXXXXXXXXXXX'; at most 16"),
    "echoed title beyond Latin": (replace(ACCEPT, called_aet="\u0416"), "called AE title"),
    "application context": (replace(REQUEST, application_context="1.2."), "application context '1.2.' is not a UID"),
    "no context": (replace(REQUEST, contexts=()), "no presentation context; at least one [PS3.8 9.3.2]"),
    "context id twice": (replace(REQUEST, contexts=(PROPOSED, PROPOSED)), "context id 1 twice [PS3.8 9.3.2.2]"),
    "answer id twice": (replace(ACCEPT, contexts=(ANSWER, ANSWER)), "context id 1 twice [PS3.8 9.3.2.2]"),
    "context id even": (replace(REQUEST, contexts=(replace(PROPOSED, id=4),)), "context id 4; odd"),
    "context of 4000 syntaxes": (
        replace(REQUEST, contexts=(replace(PROPOSED, transfer_syntaxes=("1.2.840.10008.1.2",) * 4000),)),
        "presentation context 1 of 84011 bytes; at most 65535",
    ),
    "no transfer syntax": (
        replace(REQUEST, contexts=(replace(PROPOSED, transfer_syntaxes=()),)),
        "context 1 has no transfer syntax",
    ),
    "abstract syntax": (
        replace(REQUEST, contexts=(replace(PROPOSED, abstract_syntax=""),)),
        "abstract syntax '' is not a UID [PS3.5 9.1]",
    ),
    "transfer syntax": (
        replace(REQUEST, contexts=(replace(PROPOSED, transfer_syntaxes=("1.02",)),)),
        "transfer syntax '1.02' is not a UID [PS3.5 9.1]",
    ),
    "accepted without syntax": (
        replace(ACCEPT, contexts=(replace(ANSWER, transfer_syntax=None),)),
        "context 1 accepted without transfer syntax [PS3.8 9.3.3.2]",
    ),
    "accepted syntax": (
        replace(ACCEPT, contexts=(replace(ANSWER, transfer_syntax="x"),)),
        "transfer syntax 'x' is not a UID",
    ),
    "Maximum Length -1": (asked(max_length=-1), "Maximum Length -1; 0 to 4294967295 [PS3.8 D.1]"),
    "Maximum Length 2**32": (given(max_length=1 << 32), "Maximum Length 4294967296; 0 to 4294967295"),
    "Maximum Length 7": (asked(max_length=7), "Maximum Length 7; 0 or at least 8 [PS3.8 D.1]"),
    "Maximum Length 1": (given(max_length=1), "Maximum Length 1; 0 or at least 8 [PS3.8 D.1]"),
    "class UID": (asked(implementation_class_uid="1" * 65), "is not a UID [PS3.5 9.1]"),
    "version empty": (asked(implementation_version_name=""), "implementation version name ''; 1 to 16"),
    "version of 17": (asked(implementation_version_name="X" * 17), "1 to 16 ASCII characters [PS3.7 D.3.3.2]"),
    "version not ASCII": (given(implementation_version_name="é"), "1 to 16 ASCII characters [PS3.7 D.3.3.2]"),
    "version with a line feed": (given(implementation_version_name="A\n"), "1 to 16 ASCII characters"),
    "invoked 65536": (asked(window=OperationsWindow(invoked=65536)), "operations invoked 65536; 0 to 65535"),
    "performed -1": (given(window=OperationsWindow(performed=-1)), "operations performed -1; 0 to 65535"),
    "role": (asked(roles=(RoleSelection(sop_class_uid="", scu=True, scp=True),)), "SOP class '' is not a UID"),
    "extended": (
        asked(extended=(ExtendedNegotiation(sop_class_uid="a", information=b""),)),
        "SOP class 'a' is not a UID",
    ),
    "extended too long": (asked(extended=extended(65531)), "extended negotiation of 65536 bytes; at most 65535"),
    "related is not a UID": (asked(common_extended=common("1.2", "x")), "related SOP class 'x' is not a UID"),
    "related too long": (
        asked(common_extended=common(*["2." + "2" * 62] * 1000)),
        "length of related general SOP classes 66000; 0 to 65535",
    ),
    "common too long": (
        asked(common_extended=(replace(common(*["2." + "2" * 62] * 992)[0], service_class_uid="2." + "2" * 62),)),
        "common extended negotiation of 65545 bytes; at most 65535",
    ),
    "identity type 256": (asked(user_identity=UserIdentity(type=256, primary=b"")), "user identity type 256; 0 to 255"),
    "identity primary": (
        asked(user_identity=UserIdentity(type=3, primary=bytes(65536))),
        "length of primary field 65536; 0 to 65535",
    ),
    "secondary field of a ticket": (
        asked(user_identity=UserIdentity(type=3, primary=b"a", secondary=b"b")),
        "secondary field in a user identity of type 3 [PS3.7 D.3.3.7.1]",
    ),
    "identity secondary": (
        asked(user_identity=UserIdentity(type=2, primary=b"", secondary=bytes(65536))),
        "length of secondary field 65536; 0 to 65535",
    ),
    "identity too long": (
        asked(user_identity=UserIdentity(type=2, primary=bytes(65000), secondary=bytes(530))),
        "user identity of 65536 bytes; at most 65535",
    ),
    "server response too long": (
        given(user_identity_response=UserIdentityResponse(response=bytes(65534))),
        "server response of 65536 bytes; at most 65535",
    ),
    "response in a request": (asked(user_identity_response=UserIdentityResponse()), "in a request [PS3.7 D.3.3.7.2]"),
    "identity in an answer": (given(user_identity=UserIdentity(type=1, primary=b"b")), "in an answer"),
    "common extended in an answer": (given(common_extended=common()), "in an answer [PS3.7 D.3.3.6"),
    "user information too long": (asked(extended=extended(40000) * 2), "user information of"),
}


@pytest.mark.parametrize(("value", "text"), NOT_SENT.values(), ids=NOT_SENT)
def test_not_sent(value: Pdu, text: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        encode(value)
    assert text in str(caught.value)


def test_an_item_of_65535_bytes_is_sent_and_one_of_65536_is_not() -> None:
    """A context: 4 bytes, an abstract syntax of 4 + 3, transfer syntaxes of 4 + 64 each, the last one shorter."""
    long = ("2." + "2" * 62,) * 963
    full = replace(REQUEST, contexts=(replace(PROPOSED, transfer_syntaxes=(*long, "2." + "2" * 34)),))
    whole = encode(full)
    assert b"\x20\x00\xff\xff\x01" in whole
    assert decode(whole, Limits(transfer_syntaxes=1000)) == full
    with pytest.raises(LocalProtocolError, match=r"presentation context 1 of 65536 bytes; at most 65535"):
        encode(replace(REQUEST, contexts=(replace(PROPOSED, transfer_syntaxes=(*long, "2." + "2" * 35)),)))


def test_the_longest_that_fits_is_sent() -> None:
    longest = asked(extended=extended(65400))
    assert decode(encode(longest)) == longest


def test_p_data_beyond_what_its_length_can_say_is_not_sent() -> None:
    """16 PDVs that share one 256 MiB of zeros, which are never touched."""
    zeros = memoryview(bytes(1 << 28))
    with pytest.raises(LocalProtocolError, match=r"P-DATA-TF of 4294967392 bytes; at most 4294967295"):
        encode(PData(pdvs=(data(payload=zeros),) * 16))


@pytest.mark.parametrize(
    "view",
    [memoryview(array("H", b"abcd")), memoryview(b"a-b-c-d-")[::2], bytearray(b"abcd"), memoryview(b"abcd")],
    ids=["items of two bytes", "every other byte", "bytearray", "memoryview"],
)
def test_data_is_sent_by_its_bytes_whatever_buffer_it_lies_in(view: Buffer) -> None:
    whole = bytes.fromhex("04 00 0000000a 00000006 01 02") + b"abcd"
    assert encode(PData(pdvs=(Pdv(context=1, command=False, last=True, data=view),))) == whole


def test_text_never_shows_who_asks() -> None:
    secret = b"horse" * 20000
    for value in (
        asked(user_identity=UserIdentity(type=2, primary=secret)),
        asked(user_identity=UserIdentity(type=2, primary=b"", secondary=secret)),
        given(user_identity_response=UserIdentityResponse(response=secret)),
    ):
        with pytest.raises(LocalProtocolError) as caught:
            encode(value)
        assert "horse" not in str(caught.value)


def test_titles() -> None:
    assert encode_title(" A B ", "called") == b"A B             "
    assert encode_title("SIXTEEN CHARS 16", "called") == b"SIXTEEN CHARS 16"
    assert [is_title(each) for each in ("A", "X" * 16, "", "X" * 17, "A\\", "A\0", "Ä")] == [True] * 2 + [False] * 5


@pytest.mark.parametrize("number", [-1, 0, 2, 254, 256, 257])
def test_context_ids_that_are_none(number: int) -> None:
    with pytest.raises(LocalProtocolError, match=r"odd, 1 to 255 \[PS3\.8 9\.3\.2\.2\]"):
        check_context_id(number)


def test_context_ids_that_are() -> None:
    for number in range(1, 256, 2):
        check_context_id(number)


def test_an_object_that_is_no_pdu_is_refused_by_its_type() -> None:
    fragment = Fragment(context=1, command=True, start=True, last=True, data=memoryview(b""))
    with pytest.raises(TypeError, match="Fragment is not a PDU that can be sent; a Fragment is received: send a PData"):
        encode(fragment)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^str is not a PDU that can be sent$"):
        encode("A-ABORT")  # type: ignore[arg-type]
