"""Valid PDUs: the engine accepts what is built, cut at the lengths that were asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_fuzz.grammar import Offer, accept, echo, message, pdus_of, request
from dicos_fuzz.grammar.building import p_data
from dicos_proto.dimse.types import CStoreRequest
from dicos_proto.registry import uids
from dicos_proto.upper_layer.pdu import decode
from dicos_proto.upper_layer.pdu_types import AssociateAccept, AssociateReject, AssociateRequest, PData, Pdv
from dicos_proto.upper_layer.policy import AcceptPolicy
from tests.fuzz import values


def test_a_request_is_the_offer() -> None:
    found = decode(request(Offer(called="A", calling="B", contexts=values.CONTEXTS)))
    assert isinstance(found, AssociateRequest)
    assert (found.called_aet, found.calling_aet) == ("A", "B")
    assert [(one.id, one.abstract_syntax) for one in found.contexts] == [
        (1, uids.VERIFICATION),
        (3, uids.CT_IMAGE_STORAGE),
    ]


def test_an_answer_is_what_the_policy_gives() -> None:
    asked = decode(values.REQUEST)
    assert isinstance(asked, AssociateRequest)
    policy = AcceptPolicy(contexts={uids.VERIFICATION: (uids.IMPLICIT_VR_LE,)})
    found = decode(accept(asked, policy))
    assert isinstance(found, AssociateAccept)
    assert [one.transfer_syntax is not None for one in found.contexts] == [True, False]
    assert isinstance(decode(accept(asked, AcceptPolicy())), AssociateAccept | AssociateReject)


@given(st.integers(0, 40), st.binary(max_size=200))
def test_a_message_is_cut_at_the_maximum_length(max_length: int, data: bytes) -> None:
    command = CStoreRequest(message_id=1, affected_sop_class_uid="1.2", affected_sop_instance_uid="1.3")
    pdus = message(3, command, data, max_length=max_length)
    assert all(len(pdu) - 6 <= max(max_length, 8) for pdu in pdus) or max_length == 0
    pdvs: list[Pdv] = []
    for pdu in pdus:
        found = decode(pdu)
        assert isinstance(found, PData)
        pdvs += found.pdvs
    assert b"".join(bytes(one.data) for one in pdvs if not one.command) == data
    assert [one.last for one in pdvs if not one.command].count(True) == 1
    assert [one.last for one in pdvs if one.command].count(True) == 1
    assert pdvs[-1].last


def test_an_echo_is_one_pdu() -> None:
    assert list(pdus_of(echo())) == [echo()]
    assert echo(context=5, message_id=0x1234)[10] == 5


@pytest.mark.parametrize("context", [0, 1, 255, 300])
def test_nothing_is_checked_in_raw_pdvs(context: int) -> None:
    assert p_data((context, True, False, b"ab")).hex() == f"040000000008000000 04{context & 0xFF:02x}016162".replace(
        " ", ""
    )
