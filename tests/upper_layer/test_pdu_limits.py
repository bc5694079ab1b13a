"""Every length and count of a PDU against its limit: one below and at it pass, one above names it and both numbers."""

import pytest

from dicos_proto.errors import Malformed
from dicos_proto.limits import Limits
from dicos_proto.tolerance import Judge
from dicos_proto.upper_layer.pdu import check_header, decode
from dicos_proto.upper_layer.pdu_types import PduType
from tests.upper_layer.layouts import (
    ABSTRACT_ITEM,
    APPLICATION_ITEM,
    TRANSFER_ITEM,
    accept,
    associate,
    item,
    request,
    sized,
    user_item,
)

UID_FIELDS = {
    "application context": lambda uid: associate(1, item(0x10, uid), user_item()),
    "abstract syntax": lambda uid: request(contexts=(item(0x20, b"\1\0\0\0" + item(0x30, uid) + TRANSFER_ITEM),)),
    "transfer syntax": lambda uid: request(contexts=(item(0x20, b"\1\0\0\0" + ABSTRACT_ITEM + item(0x40, uid)),)),
    "accepted transfer syntax": lambda uid: accept(contexts=(item(0x21, b"\1\0\0\0" + item(0x40, uid)),)),
    "implementation class UID": lambda uid: associate(
        1, APPLICATION_ITEM, item(0x50, item(0x51, bytes(4)) + item(0x52, uid))
    ),
    "role selection": lambda uid: request(item(0x54, sized(uid) + b"\1\1")),
    "extended negotiation": lambda uid: request(item(0x56, sized(uid))),
    "common extended": lambda uid: request(item(0x57, sized(uid) + sized(b"1") + sized(b""))),
    "service class": lambda uid: request(item(0x57, sized(b"1") + sized(uid) + sized(b""))),
    "related general": lambda uid: request(item(0x57, sized(b"1") + sized(b"1") + sized(sized(uid)))),
}


def uid_of(length: int) -> bytes:
    return b"1." * (length // 2 - 1) + b"1" * (2 + length % 2)


def contexts(count: int) -> bytes:
    values = (bytes((2 * number + 1, 0, 0, 0)) + ABSTRACT_ITEM + TRANSFER_ITEM for number in range(count))
    return request(contexts=tuple(item(0x20, value) for value in values))


def answers(count: int) -> bytes:
    values = (bytes((2 * number + 1, 0, number % 2, 0)) + TRANSFER_ITEM for number in range(count))
    return accept(contexts=tuple(item(0x21, value) for value in values))


def transfer_syntaxes(count: int) -> bytes:
    return request(contexts=(item(0x20, b"\1\0\0\0" + ABSTRACT_ITEM + TRANSFER_ITEM * count),))


def user_items(count: int) -> bytes:
    return request(*(item(0x99, b""),) * (count - 2))


def related(count: int) -> bytes:
    return request(item(0x57, sized(b"1") + sized(b"1") + sized(sized(b"1.2") * count)))


def request_of(length: int) -> bytes:
    """An A-ASSOCIATE-RQ whose PDU length is this: an unknown item of the right size is in it."""
    bare = associate(1, APPLICATION_ITEM, user_item())
    return associate(1, APPLICATION_ITEM, user_item(), item(0x99, bytes(length - len(bare) + 6 - 4)))


def accept_of(length: int) -> bytes:
    return b"\x02" + request_of(length)[1:]


COUNTS = [
    (contexts, "contexts", 3, Limits(contexts=3)),
    (answers, "contexts", 3, Limits(contexts=3)),
    (transfer_syntaxes, "transfer_syntaxes", 3, Limits(transfer_syntaxes=3)),
    (transfer_syntaxes, "transfer_syntaxes", 64, Limits()),
    (user_items, "user_items", 5, Limits(user_items=5)),
    (user_items, "user_items", 512, Limits()),
    (related, "user_items", 4, Limits(user_items=4)),
    (request_of, "associate_pdu", 300, Limits(associate_pdu=300)),
    (accept_of, "associate_pdu", 300, Limits(associate_pdu=300)),
]


def over(whole: bytes, limits: Limits) -> tuple[str | None, int | None, int | None]:
    with pytest.raises(Malformed) as caught:
        decode(whole, limits)
    fault = caught.value
    assert f"(limit {fault.limit}: {fault.seen} seen, {fault.allowed} allowed)" in str(fault)
    return fault.limit, fault.seen, fault.allowed


@pytest.mark.parametrize(
    ("build", "name", "limit", "limits"), COUNTS, ids=[f"{case[0].__name__} {case[2]}" for case in COUNTS]
)
def test_count(build, name: str, limit: int, limits: Limits) -> None:  # type: ignore[no-untyped-def]
    decode(build(limit - 1), limits)
    decode(build(limit), limits)
    assert over(build(limit + 1), limits) == (name, limit + 1, limit)


@pytest.mark.parametrize("build", UID_FIELDS.values(), ids=UID_FIELDS)
@pytest.mark.parametrize("limit", [64, 30])
def test_uid(build, limit: int) -> None:  # type: ignore[no-untyped-def]
    limits = Limits(uid=limit)
    decode(build(uid_of(limit - 1)), limits)
    decode(build(uid_of(limit)), limits)
    assert over(build(uid_of(limit + 1)), limits) == ("uid", limit + 1, limit)


def test_a_wider_uid_limit_does_not_make_longer_uids_legal() -> None:
    with pytest.raises(Malformed, match=r"too long \(limit uid: 65 seen, 64 allowed\) \[PS3\.5 9\.1\]"):
        decode(UID_FIELDS["application context"](uid_of(65)), Limits(uid=100))


def test_all_the_odd_ids_there_are_pass_the_default() -> None:
    decode(contexts(128))
    decode(answers(128))


@pytest.mark.parametrize("kind", [PduType.ASSOCIATE_RQ, PduType.ASSOCIATE_AC], ids=lambda kind: kind.label)
@pytest.mark.parametrize(
    "limits",
    [Limits(), Limits(associate_pdu=68), Limits(associate_pdu=0xFFFFFFFF)],
    ids=["default", "smallest", "largest"],
)
def test_associate_header(kind: PduType, limits: Limits) -> None:
    limit = limits.associate_pdu
    for length in {68, max(68, limit - 1), limit}:
        assert check_header(kind, length, Judge(limits)) is kind
    if limit < 0xFFFFFFFF:
        for length in (limit + 1, 0xFFFFFFFF):
            with pytest.raises(Malformed) as caught:
                check_header(kind, length, Judge(limits))
            assert (caught.value.limit, caught.value.seen, caught.value.allowed) == ("associate_pdu", length, limit)


@pytest.mark.parametrize("max_length", [6, 8, 16384, 131072, 0xFFFFFFFE])
def test_p_data_header_against_the_maximum_length(max_length: int) -> None:
    for length in {6, max(6, max_length - 1), max_length}:
        assert check_header(4, length, Judge(Limits()), max_length) is PduType.P_DATA_TF
    for length in {max_length + 1, 0xFFFFFFFF}:
        with pytest.raises(Malformed) as caught:
            check_header(4, length, Judge(Limits()), max_length)
        assert caught.value.clause == "PS3.8 D.1"
        assert (caught.value.limit, caught.value.seen, caught.value.allowed) == ("max_length", length, max_length)


def test_a_maximum_length_of_zero_is_unlimited() -> None:
    assert check_header(4, 0xFFFFFFFF, Judge(Limits()), 0) is PduType.P_DATA_TF


@pytest.mark.parametrize("kind", range(1, 8), ids=lambda kind: PduType(kind).label)
@pytest.mark.parametrize("length", [0, 0xFFFFFFFF])
def test_extreme_lengths(kind: int, length: int) -> None:
    with pytest.raises(Malformed):
        check_header(kind, length, Judge(Limits()), max_length=131072)
