"""PDUs of DCMTK and pynetdicom are read as they were meant, and written again as they were written.

Three differences are theirs to choose and ours not to copy; `as_we_write` removes them without our codec:
a reserved byte of 0xFF (DCMTK, presentation contexts of a request), the order of user information sub-items
(pynetdicom), the transfer syntax of a refused context (both), which is not significant [PS3.8 9.3.2.2, 9.3.3.2].
"""

import pytest

from dicos_proto.dimse.codec import decode_command, encode_command
from dicos_proto.dimse.types import CEchoResponse, CGetRequest, CGetResponse, CStoreRequest
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
    Pdv,
    ProposedContext,
    ReleaseRequest,
    ReleaseResponse,
    RoleSelection,
    UserIdentity,
    UserIdentityResponse,
)
from tests.upper_layer.layouts import item, pdu, split, split_items, vector, vector_names

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
RQ, AC, RJ, DATA = AssociateRequest, AssociateAccept, AssociateReject, PData

CONVERSATIONS: dict[str, tuple[type[Pdu], ...]] = {
    "dcmtk_abort_by_scp.c2s": (RQ, DATA, DATA),
    "dcmtk_abort_by_scp.s2c": (AC, Abort),
    "dcmtk_abort_by_scu.c2s": (RQ, DATA, Abort),
    "dcmtk_abort_by_scu.s2c": (AC, DATA),
    "dcmtk_echo.c2s": (RQ, DATA, ReleaseRequest),
    "dcmtk_echo.s2c": (AC, DATA, ReleaseResponse),
    "dcmtk_identity.c2s": (RQ,),
    "dcmtk_identity.s2c": (AC,),
    "dcmtk_refused.c2s": (RQ,),
    "dcmtk_refused.s2c": (RJ,),
    "dcmtk_roles.c2s": (RQ, DATA, DATA, ReleaseRequest),
    "dcmtk_roles.s2c": (AC, DATA, ReleaseResponse),
    "dcmtk_store.c2s": (RQ, DATA, DATA, ReleaseRequest),
    "dcmtk_store.s2c": (AC, DATA, ReleaseResponse),
    "dcmtk_unsupported.c2s": (RQ,),
    "dcmtk_unsupported.s2c": (AC,),
    "pynetdicom_abort_provider": (Abort,),
    "pynetdicom_abort_user": (Abort,),
    "pynetdicom_associate_ac": (AC,),
    "pynetdicom_associate_rj": (RJ,),
    "pynetdicom_associate_rq": (RQ,),
    "pynetdicom_p_data_tf": (DATA,),
    "pynetdicom_release_rp": (ReleaseResponse,),
    "pynetdicom_release_rq": (ReleaseRequest,),
}


def as_we_write(whole: bytes) -> bytes:
    """`whole` without the three differences."""
    if whole[0] > 2:
        return whole
    items = []
    for kind, value in split_items(whole[74:]):
        if kind == 0x20:
            value = value[:1] + bytes(3) + value[4:]
        elif kind == 0x21 and value[2]:
            value = value[:4] + item(0x40, b"")
        elif kind == 0x50:
            value = b"".join(item(*each) for each in sorted(split_items(value), key=lambda each: each[0]))
        items.append(item(kind, value))
    return pdu(whole[0], whole[6:74] + b"".join(items))


def decoded(name: str) -> list[Pdu]:
    return [decode(whole) for whole in split(vector(name))]


def request_of(name: str) -> AssociateRequest:
    first = decoded(name)[0]
    assert isinstance(first, AssociateRequest)
    return first


def accept_of(name: str) -> AssociateAccept:
    first = decoded(name)[0]
    assert isinstance(first, AssociateAccept)
    return first


def test_every_vector_is_known() -> None:
    assert vector_names() == sorted(CONVERSATIONS)


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_pdus_are_of_their_kinds(name: str) -> None:
    assert tuple(type(each) for each in decoded(name)) == CONVERSATIONS[name]


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_pdus_are_written_again_as_they_were(name: str) -> None:
    for whole in split(vector(name)):
        assert encode(decode(whole)) == as_we_write(whole)


def test_differences_are_only_where_they_are_said_to_be() -> None:
    differing = {name for name in CONVERSATIONS if vector(name) != b"".join(map(encode, decoded(name)))}
    reserved_byte = {name for name in CONVERSATIONS if name.startswith("dcmtk") and RQ in CONVERSATIONS[name]}
    sub_item_order = {"pynetdicom_associate_rq", "pynetdicom_associate_ac"}
    assert differing == reserved_byte | sub_item_order | {"dcmtk_unsupported.s2c"}


def test_dcmtk_proposes_and_accepts_verification() -> None:
    asked, given = request_of("dcmtk_echo.c2s"), accept_of("dcmtk_echo.s2c")
    assert (asked.called_aet, asked.calling_aet, asked.protocol_version) == ("ANY-SCP", "ECHOSCU", 1)
    syntaxes = (IMPLICIT, EXPLICIT, BIG, "1.2.840.10008.1.2.4.50")
    assert asked.contexts == tuple(
        ProposedContext(id=number, abstract_syntax="1.2.840.10008.1.1", transfer_syntaxes=syntaxes)
        for number in (1, 3, 5)
    )
    assert (given.called_aet, given.calling_aet) == ("ANY-SCP", "ECHOSCU")
    assert given.contexts == tuple(
        ContextAnswer(id=number, result=ContextResult.ACCEPTANCE, transfer_syntax=EXPLICIT) for number in (1, 3, 5)
    )
    for user in (asked.user_information, given.user_information):
        assert user.max_length == 16384
        assert user.implementation_class_uid == "1.2.276.0.7230010.3.0.3.6.7"
        assert user.implementation_version_name == "OFFIS_DCMTK_367"
        assert (user.window, user.roles, user.extended, user.user_identity) == (None, (), (), None)


def test_dcmtk_user_identity() -> None:
    identity = request_of("dcmtk_identity.c2s").user_information.user_identity
    assert identity == UserIdentity(type=2, primary=b"alice", secondary=b"open sesame", response_requested=True)
    assert accept_of("dcmtk_identity.s2c").user_information.user_identity_response is None


def test_dcmtk_roles_for_c_get() -> None:
    asked, given = request_of("dcmtk_roles.c2s"), accept_of("dcmtk_roles.s2c")
    assert len(asked.contexts) == 121
    assert [context.id for context in asked.contexts] == list(range(1, 242, 2))
    roles = asked.user_information.roles
    assert len(roles) == 120
    assert {(role.scu, role.scp) for role in roles} == {(False, True)}
    assert [role.sop_class_uid for role in roles] == [context.abstract_syntax for context in asked.contexts[1:]]
    assert {role.sop_class_uid for role in given.user_information.roles} <= {role.sop_class_uid for role in roles}
    assert len(given.contexts) == 121


def test_dcmtk_refuses() -> None:
    assert decoded("dcmtk_refused.s2c") == [AssociateReject(result=1, source=1, reason=1)]
    assert accept_of("dcmtk_unsupported.s2c").contexts == (
        ContextAnswer(id=1, result=ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED),
    )
    assert decoded("dcmtk_abort_by_scp.s2c")[-1] == Abort(source=0, reason=0)
    assert decoded("dcmtk_abort_by_scu.c2s")[-1] == Abort(source=0, reason=0)


def test_dcmtk_sends_a_data_set_after_its_command() -> None:
    _, command, data, _ = decoded("dcmtk_store.c2s")
    assert isinstance(command, PData)
    assert isinstance(data, PData)
    assert [(each.context, each.command, each.last) for each in command.pdvs + data.pdvs] == [
        (1, True, True),
        (1, False, True),
    ]
    assert bytes(data.pdvs[0].data).startswith(
        b"\x08\x00\x16\x00UI\x1a\x00" + SECONDARY_CAPTURE.encode()
    )  # (0008,0016)


def test_pynetdicom_request_with_every_sub_item() -> None:
    asked = request_of("pynetdicom_associate_rq")
    assert (asked.called_aet, asked.calling_aet) == ("ARCHIVE 1", "PYNETDICOM")
    assert asked.contexts[1:] == (
        ProposedContext(id=3, abstract_syntax=CT, transfer_syntaxes=(EXPLICIT, IMPLICIT)),
        ProposedContext(id=5, abstract_syntax=MR, transfer_syntaxes=(BIG,)),
    )
    user = asked.user_information
    assert user.max_length == 0x00012345
    assert user.implementation_class_uid == "1.2.826.0.1.3680043.9.3811.3.0.4"
    assert user.implementation_version_name == "PYNETDICOM_304"
    assert user.window == OperationsWindow(invoked=0x0102, performed=0x0304)
    assert user.roles == (
        RoleSelection(sop_class_uid=CT, scu=True, scp=True),
        RoleSelection(sop_class_uid=MR, scu=False, scp=True),
    )
    assert user.extended == (
        ExtendedNegotiation(sop_class_uid="1.2.840.10008.5.1.4.1.2.2.1", information=b"\x01\x00\x01"),
    )
    assert user.user_identity == UserIdentity(type=2, primary=b"bob", secondary=b"pass", response_requested=True)
    assert user.common_extended == (
        CommonExtendedNegotiation(
            sop_class_uid=MR,
            service_class_uid="1.2.840.10008.4.2",
            related_general=(CT, "1.2.840.10008.5.1.4.1.1.22"),
        ),
    )


def test_pynetdicom_accept() -> None:
    given = accept_of("pynetdicom_associate_ac")
    assert given.contexts == (
        ContextAnswer(id=1, result=ContextResult.ACCEPTANCE, transfer_syntax=IMPLICIT),
        ContextAnswer(id=3, result=ContextResult.ACCEPTANCE, transfer_syntax=EXPLICIT),
        ContextAnswer(id=5, result=ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED),
    )
    assert given.user_information.user_identity_response == UserIdentityResponse(response=b"welcome")


def test_pynetdicom_short_pdus() -> None:
    assert decoded("pynetdicom_associate_rj") == [AssociateReject(result=1, source=1, reason=7)]
    assert decoded("pynetdicom_abort_user") == [Abort(source=0, reason=0)]
    assert decoded("pynetdicom_abort_provider") == [Abort(source=2, reason=6)]
    assert decoded("pynetdicom_p_data_tf") == [
        PData(
            pdvs=(
                Pdv(context=1, command=True, last=True, data=bytes(range(20))),
                Pdv(context=3, command=False, last=False, data=bytes(7)),
                Pdv(context=3, command=False, last=True, data=b""),
            )
        )
    ]


COMMANDS = {
    "dcmtk_echo.s2c": (
        CEchoResponse(message_id_being_responded_to=1, status=0, affected_sop_class_uid="1.2.840.10008.1.1"),
        False,
    ),
    "dcmtk_store.c2s": (
        CStoreRequest(
            message_id=1, affected_sop_class_uid=SECONDARY_CAPTURE, affected_sop_instance_uid="1.2.3.4", priority=0
        ),
        True,
    ),
    "dcmtk_roles.c2s": (
        CGetRequest(message_id=1, affected_sop_class_uid="1.2.840.10008.5.1.4.1.2.2.3"),
        True,
    ),
    "dcmtk_roles.s2c": (
        CGetResponse(
            message_id_being_responded_to=1,
            status=0,
            affected_sop_class_uid="1.2.840.10008.5.1.4.1.2.2.3",
            completed=0,
            failed=0,
            warning=0,
        ),
        False,
    ),
}


def command_sets(name: str) -> list[bytes]:
    pieces = [each for one in decoded(name) if isinstance(one, PData) for each in one.pdvs if each.command]
    assert all(piece.last for piece in pieces)
    return [bytes(piece.data) for piece in pieces]


@pytest.mark.parametrize("name", COMMANDS)
def test_dcmtk_command_set_means_what_it_says(name: str) -> None:
    assert [decode_command(whole) for whole in command_sets(name)] == [COMMANDS[name]]


@pytest.mark.parametrize("name", [name for name in CONVERSATIONS if name.startswith("dcmtk")])
def test_dcmtk_command_sets_are_written_again_byte_for_byte(name: str) -> None:
    for whole in command_sets(name):
        command, has_data = decode_command(whole)
        assert encode_command(command, has_data=has_data) == whole
