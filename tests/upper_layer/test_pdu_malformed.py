"""Malformed PDUs: each fault is refused with its clause and what was seen, and nothing else is raised."""

import pytest

from dicos_proto.errors import AbortReason, Malformed
from dicos_proto.upper_layer.pdu import decode
from tests.upper_layer.layouts import (
    ABSTRACT_ITEM,
    ANSWER_ITEM,
    APPLICATION_ITEM,
    CLASS_ITEM,
    MAX_LENGTH_ITEM,
    PROPOSED_ITEM,
    TRANSFER_ITEM,
    accept,
    associate,
    item,
    p_data,
    pdu,
    pdv,
    request,
    sized,
    user_item,
)

HEADERS = {
    "nothing": (b"", "PS3.8 9.3.1"),
    "five bytes": (b"\x05\0\0\0\0", "PS3.8 9.3.1"),
    "header alone": (b"\x05\0\0\0\0\x04", "PS3.8 9.3.1"),
    "length one short": (pdu(5, bytes(4), length=3), "PS3.8 9.3.1"),
    "length one long": (pdu(5, bytes(4), length=5), "PS3.8 9.3.1"),
    "length of all ones": (pdu(5, bytes(4), length=0xFFFFFFFF), "PS3.8 9.3.1"),
    "type 0": (pdu(0, bytes(4)), "PS3.8 9.3.1"),
    "type 8": (pdu(8, bytes(4)), "PS3.8 9.3.1"),
    "type 255": (pdu(255, bytes(4)), "PS3.8 9.3.1"),
    "request of 67": (pdu(1, bytes(67)), "PS3.8 9.3.2"),
    "accept of 67": (pdu(2, bytes(67)), "PS3.8 9.3.2"),
    "request of 0": (pdu(1, b""), "PS3.8 9.3.2"),
    "data of 0": (pdu(4, b""), "PS3.8 9.3.5"),
    "data of 5": (pdu(4, bytes(5)), "PS3.8 9.3.5"),
} | {
    f"type {kind} of {size}": (pdu(kind, bytes(size)), "PS3.8 9.3.4 to 9.3.8")
    for kind in (3, 5, 6, 7)
    for size in (0, 3, 5)
}

PDVS = {
    "PDV of 0": (pdv(1, 0, b"ab", length=0), "PS3.8 9.3.5.1"),
    "PDV of 1": (pdv(1, 0, b"ab", length=1), "PS3.8 9.3.5.1"),
    "PDV one longer than its PDU": (pdv(1, 0, b"ab", length=5), "PS3.8 9.3.5.1"),
    "PDV of all ones": (pdv(1, 0, b"ab", length=0xFFFFFFFF), "PS3.8 9.3.5.1"),
    "second PDV too long": (pdv(1, 0, b"ab") + pdv(1, 0, b"ab", length=5), "PS3.8 9.3.5.1"),
    "three bytes behind the last PDV": (pdv(1, 0, b"ab") + bytes(3), "PS3.8 9.3.5"),
    "length and nothing behind the last PDV": (pdv(1, 0, b"ab") + b"\0\0\0\x02", "PS3.8 9.3.5.1"),
}

CONTEXTS = {
    "no transfer syntax": (b"\x01\0\0\0" + ABSTRACT_ITEM, "PS3.8 9.3.2.2"),
    "no abstract syntax": (b"\x01\0\0\0" + TRANSFER_ITEM, "PS3.8 9.3.2.2"),
    "two abstract syntaxes": (b"\x01\0\0\0" + ABSTRACT_ITEM * 2 + TRANSFER_ITEM, "PS3.8 9.3.2"),
    "id 0": (bytes(4) + ABSTRACT_ITEM + TRANSFER_ITEM, "PS3.8 9.3.2.2"),
    "id even": (b"\xfe\0\0\0" + ABSTRACT_ITEM + TRANSFER_ITEM, "PS3.8 9.3.2.2"),
    "three bytes": (bytes(3), "PS3.8 9.3.2.2"),
    "empty": (b"", "PS3.8 9.3.2.2"),
    "half an item header": (b"\x01\0\0\0" + ABSTRACT_ITEM + TRANSFER_ITEM + b"\x40\0\0", "PS3.8 9.3.2.2"),
    "item longer than the context": (b"\x01\0\0\0" + ABSTRACT_ITEM + b"\x40\0\0\x02.", "PS3.8 9.3.2.2"),
    "transfer syntax empty": (b"\x01\0\0\0" + ABSTRACT_ITEM + item(0x40, b""), "PS3.5 9.1"),
    "abstract syntax of letters": (b"\x01\0\0\0" + item(0x30, b"1.2.x") + TRANSFER_ITEM, "PS3.5 9.1"),
    "abstract syntax with NUL": (b"\x01\0\0\0" + item(0x30, b"1.2\0") + TRANSFER_ITEM, "PS3.5 9.1"),
    "abstract syntax not ASCII": (b"\x01\0\0\0" + item(0x30, b"1.\xb2") + TRANSFER_ITEM, "PS3.5 9.1"),
}

ANSWERS = {
    "result 5": (b"\x01\0\x05\0" + TRANSFER_ITEM, "PS3.8 9.3.3.2"),
    "result 255": (b"\x01\0\xff\0" + TRANSFER_ITEM, "PS3.8 9.3.3.2"),
    "accepted without transfer syntax": (b"\x01\0\0\0", "PS3.8 9.3.3.2"),
    "two transfer syntaxes": (b"\x01\0\0\0" + TRANSFER_ITEM * 2, "PS3.8 9.3.2"),
    "accepted with an empty one": (b"\x01\0\0\0" + item(0x40, b""), "PS3.5 9.1"),
    "id 2": (b"\x02\0\0\0" + TRANSFER_ITEM, "PS3.8 9.3.2.2"),
    "refused, id 0": (b"\0\0\x03\0", "PS3.8 9.3.2.2"),
    "two bytes": (b"\x01\0", "PS3.8 9.3.3.2"),
    "item longer than the context": (b"\x01\0\0\0\x40\0\0\x02.", "PS3.8 9.3.3.2"),
}

SUB_ITEMS = {
    "Maximum Length twice": (MAX_LENGTH_ITEM, "PS3.8 9.3.2"),
    "implementation class UID twice": (CLASS_ITEM, "PS3.8 9.3.2"),
    "window of 3 bytes": (item(0x53, bytes(3)), "PS3.7 D.3.3.3"),
    "window of 5 bytes": (item(0x53, bytes(5)), "PS3.7 D.3.3.3"),
    "window twice": (item(0x53, bytes(4)) * 2, "PS3.8 9.3.2"),
    "role without roles": (item(0x54, sized(b"1.2")), "PS3.7 D.3.3.4"),
    "role of one byte more": (item(0x54, sized(b"1.2") + b"\x01\x01\0"), "PS3.7 D.3.3.4"),
    "SCU role 2": (item(0x54, sized(b"1.2") + b"\x02\x01"), "PS3.7 D.3.3.4"),
    "SCP role 2": (item(0x54, sized(b"1.2") + b"\x01\x02"), "PS3.7 D.3.3.4"),
    "SCP role 255": (item(0x54, sized(b"1.2") + b"\x01\xff"), "PS3.7 D.3.3.4"),
    "role whose UID is longer": (item(0x54, b"\0\x041.2"), "PS3.7 D.3.3.4"),
    "role without UID": (item(0x54, sized(b"") + b"\x01\x01"), "PS3.5 9.1"),
    "version empty": (item(0x55, b""), "PS3.7 D.3.3.2"),
    "version of 17": (item(0x55, b"X" * 17), "PS3.7 D.3.3.2"),
    "version twice": (item(0x55, b"X") * 2, "PS3.8 9.3.2"),
    "extended of one byte": (item(0x56, b"\0"), "PS3.7 D.3.3.5"),
    "extended whose UID is longer": (item(0x56, b"\0\x041.2"), "PS3.7 D.3.3.5"),
    "extended whose UID is none": (item(0x56, sized(b"01.2") + b"info"), "PS3.5 9.1"),
    "common without service class": (item(0x57, sized(b"1.2")), "PS3.7 D.3.3.6"),
    "common without related length": (item(0x57, sized(b"1.2") + sized(b"1.3")), "PS3.7 D.3.3.6"),
    "common, related longer": (item(0x57, sized(b"1.2") + sized(b"1.3") + b"\0\x06\0\x031.4"), "PS3.7 D.3.3.6"),
    "common, related cut": (item(0x57, sized(b"1.2") + sized(b"1.3") + sized(b"\0\x041.4")), "PS3.7 D.3.3.6"),
    "common, related of one byte": (item(0x57, sized(b"1.2") + sized(b"1.3") + sized(b"\0")), "PS3.7 D.3.3.6"),
    "identity empty": (item(0x58, b""), "PS3.7 D.3.3.7"),
    "identity without secondary": (item(0x58, b"\x01\0" + sized(b"bob")), "PS3.7 D.3.3.7"),
    "identity, primary longer": (item(0x58, b"\x01\0\0\x04bob"), "PS3.7 D.3.3.7"),
    "identity of one byte more": (item(0x58, b"\x01\0" + sized(b"bob") + sized(b"") + b"!"), "PS3.7 D.3.3.7"),
    "identity, response asked for with 2": (item(0x58, b"\x01\x02" + sized(b"bob") + sized(b"")), "PS3.7 D.3.3.7.1"),
    "identity twice": (item(0x58, b"\x01\0" + sized(b"bob") + sized(b"")) * 2, "PS3.8 9.3.2"),
    "response of one byte": (item(0x59, b"\0"), "PS3.7 D.3.3.7"),
    "response longer": (item(0x59, b"\0\x02x"), "PS3.7 D.3.3.7"),
    "response of one byte more": (item(0x59, sized(b"x") + b"!"), "PS3.7 D.3.3.7"),
    "response twice": (item(0x59, sized(b"x")) * 2, "PS3.8 9.3.2"),
    "half a sub-item header": (b"\x53\0", "PS3.8 9.3.2.3"),
    "sub-item longer than its parent": (b"\x99\0\0\x01", "PS3.8 9.3.2.3"),
    "unknown sub-item of all ones": (b"\x99\0\xff\xff" + bytes(40), "PS3.8 9.3.2.3"),
}

USER_INFORMATION = {
    "empty": (b"", "PS3.8 D.1"),
    "no Maximum Length": (CLASS_ITEM, "PS3.8 D.1"),
    "no implementation class UID": (MAX_LENGTH_ITEM, "PS3.7 D.3.3.2"),
    "Maximum Length of 3 bytes": (item(0x51, bytes(3)) + CLASS_ITEM, "PS3.8 D.1"),
    "Maximum Length of 5 bytes": (item(0x51, bytes(5)) + CLASS_ITEM, "PS3.8 D.1"),
    "implementation class UID empty": (MAX_LENGTH_ITEM + item(0x52, b""), "PS3.5 9.1"),
    "implementation class UID of dots": (MAX_LENGTH_ITEM + item(0x52, b"1..2"), "PS3.5 9.1"),
}

TOP = {
    "no application context": ((PROPOSED_ITEM, ANSWER_ITEM, user_item()), "PS3.8 9.3.2.1"),
    "no user information": ((APPLICATION_ITEM, PROPOSED_ITEM, ANSWER_ITEM), "PS3.8 9.3.2.3"),
    "two application contexts": ((APPLICATION_ITEM, APPLICATION_ITEM, user_item()), "PS3.8 9.3.2"),
    "two user informations": ((APPLICATION_ITEM, user_item(), user_item()), "PS3.8 9.3.2"),
    "application context empty": ((item(0x10, b""), user_item()), "PS3.5 9.1"),
    "application context padded": ((item(0x10, b"1.2 "), user_item()), "PS3.5 9.1"),
    "one context id for two": ((APPLICATION_ITEM, *(PROPOSED_ITEM, ANSWER_ITEM) * 2, user_item()), "PS3.8 9.3.2.2"),
    "half an item header": ((APPLICATION_ITEM, user_item(), b"\x20\0\0"), "PS3.8 9.3.2"),
    "item longer than the PDU": ((APPLICATION_ITEM, user_item(), b"\x20\0\0\x01"), "PS3.8 9.3.2"),
    "unknown item of all ones": ((APPLICATION_ITEM, user_item(), b"\x99\0\xff\xff"), "PS3.8 9.3.2"),
    "no items": ((), "PS3.8 9.3.2.1"),
}


def refused(whole: bytes) -> Malformed:
    with pytest.raises(Malformed) as caught:
        decode(whole)
    assert str(caught.value).endswith(f"[{caught.value.clause}]")
    return caught.value


@pytest.mark.parametrize(("whole", "clause"), HEADERS.values(), ids=HEADERS)
def test_header(whole: bytes, clause: str) -> None:
    fault = refused(whole)
    assert fault.clause == clause
    unknown = len(whole) == 10 and whole[5] == 4 and whole[0] not in range(1, 8)
    assert fault.reason is (AbortReason.UNRECOGNIZED_PDU if unknown else AbortReason.INVALID_PARAMETER)


@pytest.mark.parametrize(("body", "clause"), PDVS.values(), ids=PDVS)
def test_p_data(body: bytes, clause: str) -> None:
    fault = refused(p_data(body))
    assert (fault.clause, fault.reason) == (clause, AbortReason.INVALID_PARAMETER)


@pytest.mark.parametrize(("value", "clause"), CONTEXTS.values(), ids=CONTEXTS)
def test_proposed_context(value: bytes, clause: str) -> None:
    assert refused(request(contexts=(item(0x20, value),))).clause == clause


@pytest.mark.parametrize(("value", "clause"), ANSWERS.values(), ids=ANSWERS)
def test_context_answer(value: bytes, clause: str) -> None:
    assert refused(accept(contexts=(item(0x21, value),))).clause == clause


@pytest.mark.parametrize(("value", "clause"), SUB_ITEMS.values(), ids=SUB_ITEMS)
def test_user_information_sub_item(value: bytes, clause: str) -> None:
    for whole in (request(value), accept(value)):
        fault = refused(whole)
        assert (fault.clause, fault.reason) == (clause, AbortReason.INVALID_PARAMETER)


@pytest.mark.parametrize(("value", "clause"), USER_INFORMATION.values(), ids=USER_INFORMATION)
def test_user_information(value: bytes, clause: str) -> None:
    for kind in (1, 2):
        assert refused(associate(kind, APPLICATION_ITEM, item(0x50, value))).clause == clause


@pytest.mark.parametrize(("items", "clause"), TOP.values(), ids=TOP)
def test_items_of_an_associate_pdu(items: tuple[bytes, ...], clause: str) -> None:
    for kind in (1, 2):
        assert refused(associate(kind, *items)).clause == clause


def test_text_says_what_was_seen_what_was_allowed_and_where() -> None:
    fault = refused(p_data(pdv(1, 0, b"ab", length=70000)))
    assert str(fault) == "PDV of 70000 bytes in a PDU with 4 left [PS3.8 9.3.5.1]"


def test_text_never_shows_who_asks() -> None:
    secret = b"correct horse"
    for value in (
        item(0x58, b"\x02\0" + sized(secret) + sized(secret) + b"!"),
        item(0x58, b"\x02\x07" + sized(secret) + sized(secret)),
        item(0x59, sized(secret) + secret),
    ):
        fault = refused(request(value))
        assert "horse" not in str(fault)
        assert "horse" not in repr(fault)
    whole = request(item(0x58, b"\x02\0" + sized(secret) + sized(secret)))
    assert "horse" not in repr(decode(whole))
    assert "horse" not in repr(decode(accept(item(0x59, sized(secret)))))
