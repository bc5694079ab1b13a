"""Every PDU that may be sent is read back equal, and damaged bytes are a PDU or `Malformed`, nothing else."""

from dataclasses import fields

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from dicos_proto.errors import LocalProtocolError, Malformed
from dicos_proto.limits import Limits
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import AssociateRequest, Pdu, ProposedContext, UserInformation
from tests import strategies
from tests.upper_layer.layouts import split, vector, vector_names

VECTOR_PDUS = [whole for name in vector_names() for whole in split(vector(name)) if len(whole) < 2000]

FOUND = settings(database=None, phases=[Phase.generate], max_examples=20_000, derandomize=True)
"""For `find`: any example will do, so it is not made smaller."""

wholes = st.one_of(strategies.pdus.map(encode), st.sampled_from(VECTOR_PDUS))


@given(strategies.pdus)
def test_what_is_encoded_is_decoded_equal(value: Pdu) -> None:
    whole = encode(value)
    assert decode(whole) == value
    assert encode(decode(whole)) == whole


@pytest.mark.parametrize("name", [one.name for one in fields(UserInformation)])
def test_every_field_of_the_user_information_is_among_what_is_generated(name: str) -> None:
    generated = st.one_of(strategies.user_information(request=True), strategies.user_information(request=False))
    default = getattr(UserInformation(), name)
    find(generated, lambda user: getattr(user, name) != default, settings=FOUND)  # else NoSuchExample


def test_what_contexts_offer_alike_is_kept_once() -> None:
    offer = ("1.2.840.10008.1.2", "1.2.3")
    contexts = tuple(
        ProposedContext(id=number, abstract_syntax="1.2.840.10008.1.1", transfer_syntaxes=offer)
        for number in range(1, 7, 2)
    )
    request = decode(encode(AssociateRequest(called_aet="A", calling_aet="B", contexts=contexts)))
    assert isinstance(request, AssociateRequest)
    assert request.contexts == contexts
    assert len({id(context.transfer_syntaxes) for context in request.contexts}) == 1
    assert len({id(context.abstract_syntax) for context in request.contexts}) == 1


@given(strategies.pdus)
def test_header_says_the_type_and_the_length_of_the_body(value: Pdu) -> None:
    whole = encode(value)
    assert whole[:6] == bytes((whole[0], 0)) + (len(whole) - 6).to_bytes(4, "big")


@given(wholes, st.data())
def test_a_pdu_cut_short_or_followed_by_junk_is_refused(whole: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(whole) - 1))
    for damaged in (whole[:cut], whole + data.draw(st.binary(min_size=1, max_size=8))):
        with pytest.raises(Malformed) as caught:
            decode(damaged)
        assert caught.value.clause == "PS3.8 9.3.1"


def outcome(whole: bytes, limits: Limits = Limits()) -> Pdu | Malformed:  # noqa: B008  a frozen value
    """Returns the result of `decode`; any error other than `Malformed` fails the test."""
    try:
        return decode(whole, limits)
    except Malformed as fault:
        return fault


def assert_sound(result: Pdu | Malformed) -> None:
    """A fault names its clause. A PDU, if it may be sent at all, is written in a form that reads the same."""
    if isinstance(result, Malformed):
        assert result.clause.startswith("PS3.")
        assert (result.limit is None) == (result.seen is None) == (result.allowed is None)
        return
    try:
        whole = encode(result)
    except LocalProtocolError:
        return  # legal to receive, not to send: a title of control characters, for one
    assert decode(whole) == result


@settings(max_examples=400)
@given(strategies.damaged(wholes))
def test_damaged_bytes_are_a_pdu_or_malformed(damaged: bytes) -> None:
    assert_sound(outcome(damaged))


@settings(max_examples=300)
@given(st.integers(0, 8), st.binary(max_size=300))
def test_any_bytes_behind_a_fitting_header_are_a_pdu_or_malformed(kind: int, body: bytes) -> None:
    assert_sound(outcome(strategies.right_length(bytes((kind, 0, 0, 0, 0, 0)) + body)))


@settings(max_examples=200)
@given(strategies.damaged(wholes))
def test_tight_limits_only_make_more_of_it_malformed(damaged: bytes) -> None:
    tight = outcome(damaged, Limits(associate_pdu=400, contexts=2, transfer_syntaxes=2, user_items=4, uid=20))
    assert isinstance(tight, Malformed) or outcome(damaged) == tight
