"""pynetdicom's codecs and ours on the same bytes: PDUs and command sets at random, whole and damaged.

Whole: what we encode it reads as the same fields, and encodes again as the same bytes. Damaged: both refuse, or both
read the same, or the difference is one of `EXPLAINED`, each with its reason and a witness.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicos_fuzz.inside.differential.pynetdicom_fields import (
    Fields,
    difference,
    fields_of_our_command,
    fields_of_ours,
    fields_of_their_command,
    fields_of_theirs,
    modules,
    plain,
    read_their_command,
    read_theirs,
)
from dicos_proto.dimse.codec import decode_command, encode_command
from dicos_proto.dimse.types import Command
from dicos_proto.errors import Malformed
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import (
    REJECT_REASONS,
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    Pdu,
    ProposedContext,
)
from tests.strategies import commands, damaged, pdus, right_length
from tests.upper_layer.layouts import (
    ABSTRACT_ITEM,
    APPLICATION_ITEM,
    CLASS_ITEM,
    CT,
    MAX_LENGTH_ITEM,
    PROPOSED_ITEM,
    TRANSFER_ITEM,
    VERIFICATION,
    accept,
    associate,
    command_set,
    element,
    item,
    pdu,
    request,
    sized,
    us,
    user_item,
)

pytest.importorskip("pynetdicom", reason="pynetdicom is not installed")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of values; what counts is what is read


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    """pynetdicom logs each error that it raises as well."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


# -- the difference ------------------------------------------------------------------------------------------------


def pdu_difference(whole: bytes) -> str | None:
    """The difference between the two readings of this PDU; None if both refuse it or both read the same."""
    try:
        mine: Fields | Malformed = fields_of_ours(decode(whole))
    except Malformed as fault:
        mine = fault
    try:
        found: Fields | Exception = fields_of_theirs(read_theirs(whole))
    except Exception as error:  # any error counts: their code refuses the bytes
        found = error
    return difference(mine, found) or None


def command_difference(whole: bytes) -> str | None:
    """Likewise of a command set."""
    try:
        mine: Fields | Malformed = fields_of_our_command(decode_command(whole)[0])
    except Malformed as fault:
        mine = fault
    try:
        elements, _ = read_their_command(whole)
        found: Fields | Exception = fields_of_their_command(elements, mine) if isinstance(mine, dict) else {}
    except Exception as error:
        found = error
    return difference(mine, found) or None


@dataclass(frozen=True)
class Explained:
    """A difference, what `pattern` matches; why it is one; and bytes that show it."""

    pattern: str
    reason: str
    witness: bytes


def _request(*user: bytes, context: bytes = PROPOSED_ITEM) -> bytes:
    return request(*user, contexts=(context,))


BAD_UID = item(0x30, b"1.2.x")
USER = MAX_LENGTH_ITEM + CLASS_ITEM
PDUS: list[Explained] = [
    # what a PDU is long
    Explained(
        r"we refuse: A-ASSOCIATE-RJ of \d+ bytes", "they read the fields and not what follows them",
        pdu(3, b"\0\1\1\1\0"),
    ),
    Explained(
        r"we refuse: A-ABORT of \d+ bytes", "they read the fields and not what follows them", pdu(7, b"\0\0\2\1\0")
    ),
    Explained(r"we refuse: A-RELEASE-RQ of \d+ bytes", "they read none of its bytes", pdu(5, b"")),
    Explained(r"we refuse: A-RELEASE-RP of \d+ bytes", "they read none of its bytes", pdu(6, b"")),
    Explained(r"we refuse: P-DATA-TF of 0 bytes", "to them it holds no PDV, to PS3.8 9.3.5 one or more", pdu(4, b"")),
    # presentation contexts
    Explained(
        r"we refuse: .* is (not a UID|padded)",
        "they take any text of 1 to 64 characters for one, and drop a NUL at its end",
        _request(context=item(0x20, b"\1\0\0\0" + BAD_UID + TRANSFER_ITEM)),
    ),
    Explained(
        r"we refuse: presentation context id \d+ is even", "they do not test ids here, but where contexts are accepted",
        _request(context=item(0x20, b"\2\0\0\0" + ABSTRACT_ITEM + TRANSFER_ITEM)),
    ),
    Explained(
        r"we refuse: presentation context id \d+ is used twice", "they do not test ids here",
        request(contexts=(PROPOSED_ITEM, PROPOSED_ITEM)),
    ),
    Explained(
        r"we refuse: presentation context \d+ without transfer syntax", "they leave it to their acceptor",
        _request(context=item(0x20, b"\1\0\0\0" + ABSTRACT_ITEM)),
    ),
    Explained(
        r"we refuse: no abstract syntax", "they leave it to their acceptor",
        _request(context=item(0x20, b"\1\0\0\0" + TRANSFER_ITEM)),
    ),
    Explained(
        r"we refuse: abstract syntax twice", "to them the first counts; PS3.8 9.3.2.2 has one",
        _request(context=item(0x20, b"\1\0\0\0" + ABSTRACT_ITEM * 2 + TRANSFER_ITEM)),
    ),
    Explained(
        r"we refuse: result \d+ for presentation context", "any number is a result to them, and a refusal",
        accept(contexts=(item(0x21, b"\1\0\7\0" + TRANSFER_ITEM),)),
    ),
    Explained(
        r"we refuse: no transfer syntax in presentation context", "it may be missing to them",
        accept(contexts=(item(0x21, b"\1\0\0\0"),)),
    ),
    Explained(
        r"we refuse: transfer syntax twice", "to them the first counts; PS3.8 9.3.3.2 has one",
        accept(contexts=(item(0x21, b"\1\0\0\0" + TRANSFER_ITEM * 2),)),
    ),
    Explained(
        r"they refuse: AssertionError: ", "the transfer syntax of a refused context is not significant: we "
        "pass it over, they want it whole; PS3.8 9.3.3.2",
        accept(contexts=(item(0x21, b"\1\0\3\0" + TRANSFER_ITEM[:-1]),)),
    ),
    Explained(
        r"they refuse: error: unpack requires a buffer", "likewise, if not even the header is complete",
        accept(contexts=(item(0x21, b"\1\0\3\0\x40"),)),
    ),
    # items
    Explained(
        r"they refuse: KeyError: \d+", "items of unknown types are passed over by us, as PS3.8 9.3.1 wants",
        _request(item(0x7F, b"what")),
    ),
    Explained(
        r"we refuse: no application context item", "they leave it to their acceptor",
        associate(1, PROPOSED_ITEM, user_item()),
    ),
    Explained(
        r"we refuse: application context twice", "to them the first counts",
        associate(1, APPLICATION_ITEM * 2, PROPOSED_ITEM, user_item()),
    ),
    Explained(
        r"we refuse: user information twice", "to them the first counts",
        associate(1, APPLICATION_ITEM, PROPOSED_ITEM, user_item() * 2),
    ),
    Explained(
        r"we refuse: no Maximum Length sub-item", "they do without",
        associate(1, APPLICATION_ITEM, PROPOSED_ITEM, item(0x50, CLASS_ITEM)),
    ),
    Explained(
        r"we refuse: no implementation class UID sub-item", "they do without",
        associate(1, APPLICATION_ITEM, PROPOSED_ITEM, item(0x50, MAX_LENGTH_ITEM)),
    ),
    Explained(
        r"we refuse: (Maximum Length|implementation|asynchronous|user identity).* twice", "to them the first counts",
        _request(MAX_LENGTH_ITEM),
    ),
    Explained(
        r"we refuse: (Maximum Length|asynchronous operations window|role selection|user identity.*): \d+ bytes after",
        "they read the fields of a sub-item and not what follows them", _request(item(0x53, b"\0\1\0\1\0")),
    ),
    Explained(
        r"we refuse: implementation version name of 0 bytes", "to them it is as good as none", _request(item(0x55, b""))
    ),
    Explained(
        r"they refuse: ValueError: Invalid 'Implementation Version Name'", "to them it is an LO, without backslash; "
        "PS3.7 D.3.3.2.4 allows all of ISO 646", _request(item(0x55, b"A\\B")),
    ),
    Explained(
        r"they refuse: ValueError: Unable to decode", "titles that are not ASCII: we show them as Latin-1",
        associate(1, APPLICATION_ITEM, PROPOSED_ITEM, user_item(), called=b"\xe4"),
    ),
    Explained(
        r"they refuse: ValueError: Invalid 'Call", "AE titles are judged by our policy, not by our decoder",
        associate(1, APPLICATION_ITEM, PROPOSED_ITEM, user_item(), called=b"A\\B"),
    ),
    Explained(
        r"read differently: (called|calling|called, calling)$", "they drop all blanks around a title, we only spaces; "
        "of an A-ASSOCIATE-AC they keep the bytes as they are", accept()[:10] + b"\tA".ljust(16) + accept()[26:],
    ),
    # sub-items of user information
    Explained(
        r"we refuse: extended negotiation: \d+ bytes wanted", "they take what there is for the UID",
        _request(item(0x56, b"\0\x19" + CT[:-2])),
    ),
    Explained(
        r"we refuse: common extended negotiation: \d+ bytes wanted", "they do not read how long its last field is",
        _request(item(0x57, sized(CT) + sized(CT) + b"\0\x09")),
    ),
    Explained(
        r"we refuse: user identity: 2 bytes wanted", "to them the length of the secondary field may be missing",
        _request(item(0x58, b"\1\0" + sized(b"me"))),
    ),
    Explained(
        r"we refuse: user identity: \d+ bytes wanted", "they take what there is for the secondary field",
        _request(item(0x58, b"\2\0" + sized(b"me") + b"\0\7word")),
    ),
    Explained(
        r"we refuse: user identity response: \d+ bytes wanted", "they take what there is",
        accept(item(0x59, b"\0\7word")),
    ),
    Explained(
        r"we refuse: positive response requested \d+", "any byte but 0 is a yes to them",
        _request(item(0x58, b"\1\2" + sized(b"me") + sized(b""))),
    ),
    Explained(
        r"read differently: identity$", "a field of length 0 is all the rest to them",
        _request(item(0x58, b"\2\0" + sized(b"") + sized(b"word"))),
    ),
]  # fmt: skip

ECHO_UID = element(0x0002, VERIFICATION + b"\0")
ECHO = (ECHO_UID, us(0x0100, 0x0030), us(0x0110, 7), us(0x0800, 0x0101))
ECHOED = (us(0x0100, 0x8030), us(0x0120, 7), us(0x0800, 0x0101), us(0x0900, 0))


def _echo(*elements: bytes) -> bytes:
    """A C-ECHO-RQ of these elements and its own."""
    return command_set(*sorted((*ECHO, *elements), key=lambda each: each[2:4][::-1]))


COMMANDS: list[Explained] = [
    Explained(
        r"we refuse: command group length", "they do not compare it with what follows", command_set(*ECHO, length=2)
    ),
    Explained(
        r"we refuse: command set begins with", "they do without a group length", b"".join(ECHO)
    ),
    Explained(
        r"we refuse: command set of \d+ bytes; at least", "likewise, where it is shorter than one", us(0x0100, 0x0FFF)
    ),
    Explained(
        r"we refuse: command element \S+ after \S+ ascending order", "they take elements in any order",
        command_set(*ECHO[::-1]),
    ),
    Explained(
        r"we refuse: command element \S+ of \d+ bytes with \d+ left", "they take what there is of the last element",
        command_set(*ECHO, element(0x5000, b"ab", length=4)),
    ),
    Explained(
        r"we refuse: command element header of \d+ bytes", "they leave out what is too short for an element",
        command_set(*ECHO, b"\0\0\0\x50"),
    ),
    Explained(
        r"we refuse: command element \S+ of odd length", "they do not want lengths even", _echo(element(0x5000, b"abc"))
    ),
    Explained(
        r"we refuse: element \S+ in a command set", "they leave elements of other groups alone",
        command_set(*ECHO, element(0x0010, b"ab", group=8)),
    ),
    Explained(
        r"we refuse: no \(0000,0800\) data set type", "they look for it later, when the message is done",
        command_set(*ECHO[:3]),
    ),
    Explained(
        r"we refuse: no \(0000,....\) .* in [CN]-", "what PS3.7 9.3 and 10.3 want they miss later",
        command_set(*ECHO[1:]),
    ),
    Explained(
        r"we refuse: \(0000,....\) of \d+ bytes; one US", "of several numbers they take the first",
        command_set(*ECHO[:2], element(0x0110, b"\7\0\1\0"), ECHO[3]),
    ),
    Explained(
        r"we refuse: \(0000,....\) of \d+ bytes; (UI|LO|AE)", "they take texts as they are, except too long ones",
        command_set(element(0x0002, b"1.2\n"), *ECHO[1:]),
    ),
    Explained(
        r"we refuse: \(0000,....\) of \d+ values", "of several texts they take the first",
        command_set(
            element(0x0002, VERIFICATION + b"\0"), us(0x0100, 0x0021), us(0x0110, 7), element(0x0600, b"A\\B "),
            us(0x0700, 0), us(0x0800, 1),
        ),
    ),
    Explained(
        r"we refuse: \(0000,....\) of \d+ bytes (is|has|begins)", "they take UIDs as they are, even if "
        "they break PS3.5 9.1", command_set(element(0x0002, b"1.02"), *ECHO[1:]),
    ),
    Explained(
        r"they refuse: ValueError: Priority must be", "we hand any number on; their user gets 0, 1 or 2",
        command_set(
            element(0x0002, VERIFICATION + b"\0"), us(0x0100, 0x0020), us(0x0110, 7), us(0x0700, 9), us(0x0800, 1)
        ),
    ),
    Explained(
        r"they refuse: BytesLengthException", "elements that a message does not define are numbers of 4 bytes to their "
        "dictionary of retired ones, bytes to us", _echo(element(0x0001, b"ab")),
    ),
]  # fmt: skip


def explained(difference: str, table: list[Explained]) -> Explained | None:
    return next((each for each in table if re.match(each.pattern, difference)), None)


def _cases(table: list[Explained]) -> list[Any]:
    return [pytest.param(each, id=each.pattern) for each in table]


@pytest.mark.parametrize("each", _cases(PDUS))
def test_each_explained_difference_of_pdus_is_one(each: Explained) -> None:
    difference = pdu_difference(each.witness)
    assert difference is not None
    assert explained(difference, PDUS) is each, difference


@pytest.mark.parametrize("each", _cases(COMMANDS))
def test_each_explained_difference_of_command_sets_is_one(each: Explained) -> None:
    difference = command_difference(each.witness)
    assert difference is not None
    assert explained(difference, COMMANDS) is each, difference


# -- whole ---------------------------------------------------------------------------------------------------------


def without_explained(whole: bytes) -> bool:
    """Both read this alike, or the difference is explained."""
    difference = pdu_difference(whole)
    assert difference is None or explained(difference, PDUS), difference
    return difference is None


@pytest.mark.slow  # hundreds of examples, each in two implementations
@settings(max_examples=400)
@given(pdus)
def test_what_we_encode_they_read_alike_and_encode_as_the_same_bytes(made: Pdu) -> None:
    whole = encode(made)
    if not without_explained(whole):
        return
    read = read_theirs(whole)
    if isinstance(made, AssociateAccept) and any(answer.transfer_syntax is None for answer in made.contexts):
        # They read the empty transfer syntax of a refused context as None, and cannot encode that.
        with pytest.raises(AttributeError):
            read.encode()
    else:
        assert read.encode() == whole


def as_their_primitives_can_hold(made: Pdu) -> Pdu:
    """Their primitives know less than their PDUs: version 1 only, no role that is neither SCU nor SCP, one role a SOP
    class, no transfer syntax twice, no refused context without one, no empty field of an identity that is to have one,
    identity types, results and reasons only from the standard's tables."""
    match made:
        case AssociateRequest() | AssociateAccept():
            user = made.user_information
            roles = {role.sop_class_uid: role for role in user.roles if role.scu or role.scp}
            identity = user.user_identity
            if identity is not None:
                kind = identity.type % 5 + 1
                secondary = (identity.secondary or b"word") if kind == 2 else b""
                identity = replace(identity, type=kind, primary=identity.primary or b"me", secondary=secondary)
            user = replace(user, roles=tuple(roles.values()), user_identity=identity)
            contexts: list[Any] = []
            for each in made.contexts:
                if isinstance(each, ProposedContext):
                    contexts.append(replace(each, transfer_syntaxes=tuple(dict.fromkeys(each.transfer_syntaxes))))
                elif each.transfer_syntax is not None:
                    contexts.append(each)
            return replace(made, protocol_version=1, user_information=user, contexts=tuple(contexts))
        case AssociateReject():
            source, reason = list(REJECT_REASONS)[made.reason % len(REJECT_REASONS)]
            return AssociateReject(result=made.result % 2 + 1, source=source, reason=reason)
        case Abort():
            return Abort(source=2, reason=(0, 1, 2, 4, 5, 6)[made.reason % 6]) if made.source % 2 else Abort()
        case _:
            return made


@pytest.mark.slow  # pynetdicom takes its time
@settings(max_examples=300)
@given(pdus.map(as_their_primitives_can_hold))
def test_through_their_primitives_and_back_it_is_the_same_to_us(made: Pdu) -> None:
    """Ours encoded, their PDU, their primitive, their PDU of that, encoded again, ours decoded."""
    whole = encode(made)
    if without_explained(whole):
        read = read_theirs(whole)
        again = type(read)(read.to_primitive()).encode()
        assert fields_of_ours(decode(again)) == fields_of_ours(made)


@pytest.mark.slow  # hundreds of examples, each in two implementations
@settings(max_examples=400)
@given(commands, st.booleans())
def test_commands_that_we_encode_they_read_alike_and_encode_as_the_same_bytes(made: Command, has_data: bool) -> None:
    whole = encode_command(made, has_data=has_data)
    difference = command_difference(whole)
    assert difference is None or explained(difference, COMMANDS), difference
    if difference is not None:
        return
    mine = fields_of_our_command(made)
    elements, primitive = read_their_command(whole)
    assert (elements.CommandDataSetType != 0x0101) is has_data
    assert modules()["dsutils"].encode(elements, True, True) == whole
    of_primitive = {name: plain(name, getattr(primitive, name)) for name in mine if hasattr(primitive, name)}
    assert of_primitive == {name: mine[name] for name in of_primitive}
    assert len(of_primitive) >= 1


# -- damaged -------------------------------------------------------------------------------------------------------


@pytest.mark.slow  # hundreds of examples, each in two implementations
@settings(max_examples=600)
@given(damaged(pdus.map(encode)).map(right_length))
def test_damaged_pdus_are_refused_by_both_or_the_difference_is_explained(whole: bytes) -> None:
    difference = pdu_difference(whole)
    assert difference is None or explained(difference, PDUS), difference


@pytest.mark.slow  # hundreds of examples, each in two implementations
@settings(max_examples=600)
@given(damaged(commands.map(lambda made: encode_command(made, has_data=True)[12:])), st.booleans())
def test_damaged_command_sets_are_refused_by_both_or_the_difference_is_explained(body: bytes, whole: bool) -> None:
    """`whole`: behind a group length that is right."""
    raw = command_set(body) if whole else body
    difference = command_difference(raw)
    assert difference is None or explained(difference, COMMANDS), difference
