"""The right answer to each message of a peer."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_fuzz.campaign.heard import messages
from dicos_fuzz.campaign.responding import Responding, acceptance, decoded
from dicos_fuzz.grammar import Offer, echo, message, pdus_of, request
from dicos_proto.dimse.types import (
    AnyRequest,
    CCancelRequest,
    CEchoResponse,
    CStoreRequest,
    CStoreResponse,
    DimseResponse,
    NCreateRequest,
    NCreateResponse,
)
from dicos_proto.registry import uids
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import (
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextResult,
    OperationsWindow,
    ProposedContext,
    ReleaseRequest,
    ReleaseResponse,
    RoleSelection,
    UserInformation,
)

UID = "1.2.840.10008.5.1.4.1.1.2"


def command(cls: type) -> AnyRequest:
    """A request of a class, with something in each mandatory field."""
    values: dict[str, object] = {"message_id": 9}
    for name, hint in cls.__annotations__.items():
        if name.isupper() or name in ("message_id", "other"):
            continue
        if "uid" in name:
            values[name] = UID
        elif name in ("move_destination",):
            values[name] = "DEST"
        elif hint.startswith("Annotated[int,"):
            values[name] = 1
    made: AnyRequest = cls(**values)
    return made


def answered(*pdus: bytes) -> bytes:
    responding = Responding()
    for pdu in pdus:
        responding.feed(pdu)
    return responding.answer()


@pytest.mark.parametrize("cls", get_args(AnyRequest), ids=lambda cls: cls.NAME)
def test_each_request_gets_its_response(cls: type) -> None:
    asked = command(cls)
    found = [*messages(answered(*message(5, asked)))]
    assert len(found) == 1
    response = found[0].command
    assert isinstance(response, DimseResponse)
    assert found[0].context == 5
    assert asked.NAME.replace("-RQ", "-RSP") == response.NAME
    assert response.message_id_being_responded_to == 9
    assert response.status == 0
    assert not found[0].has_data


def test_a_message_is_answered_once_its_data_set_is_complete() -> None:
    store = CStoreRequest(message_id=1, affected_sop_class_uid=UID, affected_sop_instance_uid="1.2")
    pdus = message(1, store, bytes(1000), max_length=200)
    responding = Responding()
    for pdu in pdus[:-1]:
        responding.feed(pdu)
        assert not responding.waiting
        assert responding.partial
    responding.feed(pdus[-1])
    assert responding.waiting
    response = next(messages(responding.answer())).command
    assert isinstance(response, CStoreResponse)
    assert response.affected_sop_instance_uid == "1.2"
    assert responding.answer() == b""


def test_an_instance_that_a_request_leaves_open_is_named() -> None:
    response = next(messages(answered(*message(1, NCreateRequest(message_id=1, affected_sop_class_uid=UID))))).command
    assert isinstance(response, NCreateResponse)
    assert response.affected_sop_instance_uid


def test_a_cancel_and_a_response_have_no_answer() -> None:
    assert answered(*message(1, CCancelRequest(message_id_being_responded_to=1))) == b""
    assert answered(*message(1, CEchoResponse(message_id_being_responded_to=1, status=0))) == b""


def test_a_release_is_confirmed() -> None:
    assert decode(answered(encode(ReleaseRequest()))) == ReleaseResponse()


def test_an_association_is_accepted_with_all_that_it_proposes() -> None:
    asked = AssociateRequest(
        called_aet="A",
        calling_aet="B",
        contexts=(
            ProposedContext(id=1, abstract_syntax="1.2.3", transfer_syntaxes=("1.2.4", "1.2.5")),
            ProposedContext(id=3, abstract_syntax=UID, transfer_syntaxes=(uids.EXPLICIT_VR_BE,)),
        ),
        application_context="1.2.9",
        user_information=UserInformation(
            window=OperationsWindow(invoked=3, performed=0),
            roles=(RoleSelection(sop_class_uid=UID, scu=True, scp=True),),
        ),
    )
    found = decode(answered(encode(asked)))
    assert isinstance(found, AssociateAccept)
    assert [(one.id, one.result, one.transfer_syntax) for one in found.contexts] == [
        (1, ContextResult.ACCEPTANCE, "1.2.4"),
        (3, ContextResult.ACCEPTANCE, uids.EXPLICIT_VR_BE),
    ]
    assert found.user_information.roles == asked.user_information.roles
    assert found.user_information.window == OperationsWindow(invoked=3, performed=0)


def test_the_maximum_length_of_the_peer_is_kept() -> None:
    responding = Responding()
    responding.feed(request(Offer(user_information=UserInformation(max_length=64))))
    responding.answer()
    responding.feed(echo())
    assert all(len(pdu) <= 64 + 6 for pdu in pdus_of(responding.answer()))


def test_a_request_that_must_be_rejected_is_rejected() -> None:
    asked = AssociateRequest(called_aet="A", calling_aet="B", contexts=())
    assert isinstance(acceptance(asked), AssociateReject)


@given(st.lists(st.binary(max_size=80) | st.just(echo()) | st.just(echo()[:40]), max_size=6))
def test_no_bytes_raise(pdus: list[bytes]) -> None:
    responding = Responding()
    for pdu in pdus:
        decoded(pdu)
        responding.feed(pdu)
        responding.answer()
        [*messages(pdu)]


def test_a_command_set_without_end_is_not_kept() -> None:
    from dicos_fuzz.grammar.building import p_data

    responding = Responding()
    for _ in range(100):
        responding.feed(p_data((1, True, False, bytes(16_000))))
    assert len(responding._command) <= 64 << 10


def test_an_abstract_syntax_that_is_proposed_twice_is_accepted_twice() -> None:
    """As senders do: one context for each transfer syntax."""
    asked = AssociateRequest(
        called_aet="A",
        calling_aet="B",
        contexts=tuple(
            ProposedContext(id=number, abstract_syntax=UID, transfer_syntaxes=(syntax,))
            for number, syntax in ((1, uids.IMPLICIT_VR_LE), (3, uids.EXPLICIT_VR_LE))
        ),
    )
    found = acceptance(asked)
    assert isinstance(found, AssociateAccept)
    assert [one.transfer_syntax for one in found.contexts] == [uids.IMPLICIT_VR_LE, uids.EXPLICIT_VR_LE]
