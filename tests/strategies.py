"""Hypothesis strategies for every PDU, item and message, and for damaged bytes. Shared by all tests.

Their values are legal to send and equal after decoding: a refused context has no transfer syntax, data is `bytes`.
"""

from typing import TypeVar, get_args, get_type_hints

from hypothesis import strategies as st

from dicos_proto.dimse.types import Command
from dicos_proto.registry import uids
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
    UserInformation,
)

T = TypeVar("T")

UID_MAX = 64
PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F))
TITLE_CHARACTERS = PRINTABLE.replace("\\", "")

bytes_of_one = st.integers(0, 0xFF)
shorts = st.integers(0, 0xFFFF)
payloads = st.one_of(st.binary(max_size=24), st.integers(0, 300).map(bytes))


def up_to(elements: st.SearchStrategy[T], most: int, least: int = 0) -> st.SearchStrategy[tuple[T, ...]]:
    return st.lists(elements, min_size=least, max_size=most).map(tuple)


uid_strings = st.one_of(
    st.sampled_from(
        [
            uids.VERIFICATION,
            uids.CT_IMAGE_STORAGE,
            uids.DICOS_CT,
            uids.IMPLICIT_VR_LE,
            uids.EXPLICIT_VR_LE,
            uids.DICOS_EXPLICIT_VR_LE_EXTENDED,
            "0",
            "2." + "2" * (UID_MAX - 2),
            "1." + "0." * 30 + "77",
        ]
    ),
    st.builds(
        "{}.{}{}".format,
        st.integers(0, 2),
        st.integers(0, 39),
        st.lists(st.integers(0, 10**9).map(".{}".format), max_size=5).map("".join),
    ),
)
"""Legal UIDs, including the shortest and the longest [PS3.5 9.1]."""

titles = st.one_of(
    st.sampled_from(["A", "ANY-SCP", "SIXTEEN CHARS 16", "a'b;$(c)|/../%n"]),
    st.text(TITLE_CHARACTERS, min_size=1, max_size=16).map(lambda text: text.strip(" ")).filter(bool),
)
"""AE titles, without padding [PS3.5 6.2]."""

version_names = st.one_of(st.just("X"), st.just("SIXTEEN_LONG_016"), st.text(PRINTABLE, min_size=1, max_size=16))

context_ids = st.integers(0, 127).map(lambda number: 2 * number + 1)

proposed_contexts = st.builds(
    ProposedContext,
    id=context_ids,
    abstract_syntax=uid_strings,
    transfer_syntaxes=up_to(uid_strings, 4, least=1),
)

context_answers = st.one_of(
    st.builds(ContextAnswer, id=context_ids, result=st.just(ContextResult.ACCEPTANCE), transfer_syntax=uid_strings),
    st.builds(ContextAnswer, id=context_ids, result=st.sampled_from(list(ContextResult)[1:])),
)

windows = st.builds(OperationsWindow, invoked=shorts, performed=shorts)
roles = st.builds(RoleSelection, sop_class_uid=uid_strings, scu=st.booleans(), scp=st.booleans())
extended = st.builds(ExtendedNegotiation, sop_class_uid=uid_strings, information=st.binary(max_size=12))
common_extended = st.builds(
    CommonExtendedNegotiation,
    sop_class_uid=uid_strings,
    service_class_uid=uid_strings,
    related_general=up_to(uid_strings, 3),
)
identities = st.one_of(
    st.builds(UserIdentity, type=st.integers(1, 5), primary=st.binary(max_size=20), response_requested=st.booleans()),
    st.builds(
        UserIdentity,
        type=st.one_of(st.just(2), st.integers(6, 0xFF)),
        primary=st.binary(max_size=20),
        secondary=st.binary(max_size=20),
        response_requested=st.booleans(),
    ),
)
"""User identities; among the defined types, only the second has a secondary field [PS3.7 D.3.3.7.1]."""
identity_responses = st.builds(UserIdentityResponse, response=st.binary(max_size=20))
max_lengths = st.one_of(
    st.sampled_from([0, 8, 16_382, 131_072, 0xFFFFFFFF]),
    st.integers(8, 0xFFFFFFFF),
)


def user_information(*, request: bool) -> st.SearchStrategy[UserInformation]:
    """User information of an A-ASSOCIATE-RQ or -AC. Each has sub-items that the other must not have
    [PS3.7 D.3.3.6, D.3.3.7]."""
    return st.builds(
        UserInformation,
        max_length=max_lengths,
        implementation_class_uid=uid_strings,
        implementation_version_name=st.none() | version_names,
        window=st.none() | windows,
        roles=up_to(roles, 3),
        extended=up_to(extended, 3),
        common_extended=up_to(common_extended, 3) if request else st.just(()),
        user_identity=st.none() | identities if request else st.none(),
        user_identity_response=st.none() if request else st.none() | identity_responses,
    )


versions = st.one_of(st.just(1), shorts)

associate_requests = st.builds(
    AssociateRequest,
    called_aet=titles,
    calling_aet=titles,
    contexts=st.lists(proposed_contexts, min_size=1, max_size=4, unique_by=lambda context: context.id).map(tuple),
    application_context=uid_strings,
    user_information=user_information(request=True),
    protocol_version=versions,
)
associate_accepts = st.builds(
    AssociateAccept,
    called_aet=titles,
    calling_aet=titles,
    contexts=st.lists(context_answers, max_size=4, unique_by=lambda context: context.id).map(tuple),
    application_context=uid_strings,
    user_information=user_information(request=False),
    protocol_version=versions,
)
associate_rejects = st.builds(AssociateReject, result=bytes_of_one, source=bytes_of_one, reason=bytes_of_one)
pdvs = st.builds(Pdv, context=context_ids, command=st.booleans(), last=st.booleans(), data=payloads)
p_data = st.builds(PData, pdvs=up_to(pdvs, 6, least=1))
aborts = st.builds(Abort, source=bytes_of_one, reason=bytes_of_one)
managed = st.one_of(
    associate_requests,
    associate_accepts,
    associate_rejects,
    st.just(ReleaseRequest()),
    st.just(ReleaseResponse()),
    aborts,
)
"""Every PDU that becomes one event."""
pdus: st.SearchStrategy[Pdu] = st.one_of(managed, p_data)
"""Every PDU."""


# -- damage ------------------------------------------------------------------------------------------------------

EXTREME_LENGTHS = (0, 1, 2, 0x7FFF, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)


def flip(data: bytes, at: int, bits: int) -> bytes:
    return data[:at] + bytes((data[at] ^ bits,)) + data[at + 1 :]


def set_length(data: bytes, at: int, size: int, change: int, extreme: int | None) -> bytes:
    """Adds `change` to the big-endian number of `size` bytes at `at`, or replaces it by `extreme` if given."""
    number = int.from_bytes(data[at : at + size], "big") + change if extreme is None else extreme
    return data[:at] + (number % (1 << 8 * size)).to_bytes(size, "big") + data[at + size :]


def right_length(data: bytes) -> bytes:
    """Corrects the PDU length field, so that a decoder meets the damage inside."""
    return data[:2] + (len(data) - 6).to_bytes(4, "big") + data[6:]


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Bytes of `whole` (at least 6 of them) after one to three faults: flips, cuts, inserts, copies, lengths."""
    data = draw(whole)
    for kind in draw(st.lists(st.sampled_from(("flip", "cut", "insert", "copy", "length")), min_size=1, max_size=3)):
        data = _damage(draw, kind, data, draw(st.integers(0, len(data) - 1)))
        data += bytes(max(0, 6 - len(data)))
    return right_length(data) if draw(st.booleans()) else data


def _damage(draw: st.DrawFn, kind: str, data: bytes, at: int) -> bytes:
    if kind == "flip":
        return flip(data, at, draw(st.integers(1, 255)))
    if kind == "cut":
        return data[:at]
    if kind == "insert":
        return data[:at] + draw(st.binary(min_size=1, max_size=8)) + data[at:]
    if kind == "copy":
        return data[:at] + data[at : at + draw(st.integers(1, 40))] + data[at:]
    size = min(draw(st.sampled_from((1, 2, 4))), len(data) - at)
    return set_length(
        data, at, size, draw(st.sampled_from((-1, 1, 2))), draw(st.sampled_from((None, *EXTREME_LENGTHS)))
    )


# -- commands ----------------------------------------------------------------------------------------------------

texts = st.text(TITLE_CHARACTERS, max_size=64).map(lambda text: text.strip(" "))
"""LO with one value, without leading and trailing spaces, which are not significant [PS3.5 6.2]."""


def others(*taken: int) -> st.SearchStrategy[tuple[tuple[int, bytes], ...]]:
    """Elements that a message does not define: not `taken`, of even length, in ascending order."""
    numbers = st.integers(1, 0xFFFF).filter(lambda number: number not in {0x0100, 0x0800, *taken})
    values = st.binary(max_size=6).map(lambda value: value + value)
    return st.dictionaries(numbers, values, max_size=3).map(lambda found: tuple(sorted(found.items())))


_KINDS = {
    "US": shorts,
    "UI": uid_strings,
    "AE": titles,
    "LO": texts,
    "AT": up_to(st.integers(0, 0xFFFFFFFF), 3),
}


def _message(cls: type[Command]) -> st.SearchStrategy[Command]:
    """Messages of one class, with values for each field by its annotation."""
    fields: dict[str, st.SearchStrategy[object]] = {}
    taken = []
    for name, hint in get_type_hints(cls, include_extras=True).items():
        for mark in getattr(hint, "__metadata__", ()):
            values = _KINDS[mark.kind.vr]
            optional = type(None) in get_args(get_args(hint)[0])
            fields[name] = st.none() | values if optional else values
            taken.append(mark.number)
    return st.builds(cls, other=others(*taken), **fields)  # type: ignore[arg-type]


commands: st.SearchStrategy[Command] = st.one_of([_message(cls) for cls in get_args(Command)])
"""Every message."""
