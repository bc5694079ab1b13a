"""Extended negotiation: the meaning of its bytes, what is granted, and how pynetdicom reads such items."""

from importlib import import_module
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID_dictionary

from dicos_proto.errors import Malformed
from dicos_proto.registry import uids
from dicos_proto.upper_layer.extended import (
    Coercion,
    Extension,
    QueryExtension,
    RetrieveExtension,
    SignatureLevel,
    StorageExtension,
    StorageLevel,
    grant,
    propose_extended,
)
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import (
    AssociateRequest,
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    ProposedContext,
    RoleSelection,
    UserIdentity,
    UserInformation,
)

with patch.dict(UID_dictionary):
    # Importing pynetdicom adds to pydicom's dictionary, which other tests compare with: it is put back as it was.
    pdu_items = import_module("pynetdicom.pdu_items")
    primitives = import_module("pynetdicom.pdu_primitives")
    pdu_of = import_module("pynetdicom.pdu")

QUERY_FIELDS = (
    "relational_queries",
    "date_time_matching",
    "fuzzy_names",
    "timezone_adjustment",
    "enhanced_conversion",
    "empty_value_matching",
    "multiple_value_matching",
)
queries = st.builds(QueryExtension, **{name: st.booleans() for name in QUERY_FIELDS})
retrieves = st.builds(RetrieveExtension, relational_retrieval=st.booleans(), enhanced_conversion=st.booleans())
storages = st.builds(
    StorageExtension,
    level=st.sampled_from(StorageLevel),
    signatures=st.sampled_from(SignatureLevel),
    coercion=st.sampled_from(Coercion),
)
extensions: st.SearchStrategy[Extension] = st.one_of(queries, retrieves, storages)
KINDS: list[type[StorageExtension] | type[QueryExtension] | type[RetrieveExtension]] = [
    StorageExtension,
    QueryExtension,
    RetrieveExtension,
]
informations = st.one_of(
    st.binary(max_size=9), st.lists(st.integers(0, 3), max_size=9).map(bytes), st.lists(st.integers(0, 1)).map(bytes)
)

# -- bytes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("index", "name"), list(enumerate(QUERY_FIELDS)))
def test_each_option_of_a_query_is_a_byte(index: int, name: str) -> None:
    option = QueryExtension(**{name: True})
    assert option.encode() == bytes(index) + b"\1"
    assert QueryExtension.decode(bytes(index) + b"\1") == option


@pytest.mark.parametrize(
    ("option", "information"),
    [
        (RetrieveExtension(), b"\0"),
        (RetrieveExtension(relational_retrieval=True), b"\1"),
        (RetrieveExtension(enhanced_conversion=True), b"\0\1"),
        (RetrieveExtension(relational_retrieval=True, enhanced_conversion=True), b"\1\1"),
        (QueryExtension(), b"\0"),
        (StorageExtension(), b"\3\0\0\0\2\0"),
        (
            StorageExtension(level=StorageLevel.LEVEL_2, signatures=SignatureLevel.LEVEL_3, coercion=Coercion.POSSIBLE),
            b"\2\0\3\0\1\0",
        ),
        (StorageExtension(level=StorageLevel.LEVEL_0, coercion=Coercion.NONE), b"\0\0\0\0\0\0"),
    ],
)
def test_what_is_said_by_which_bytes(option: Extension, information: bytes) -> None:
    assert option.encode() == information
    assert type(option).decode(information) == option


@given(extensions)
def test_what_is_encoded_is_decoded_equal(option: Extension) -> None:
    assert type(option).decode(option.encode()) == option


@given(extensions, st.binary(max_size=5))
def test_what_later_editions_add_is_ignored(option: Extension, more: bytes) -> None:
    whole = option.encode(7) if isinstance(option, QueryExtension) else option.encode()
    whole = option.encode(2) if isinstance(option, RetrieveExtension) else whole
    assert type(option).decode(whole + more) == option


@given(queries, st.integers(1, 6))
def test_absent_options_are_not_supported(option: QueryExtension, size: int) -> None:
    found = QueryExtension.decode(option.encode(7)[:size])
    for index, name in enumerate(QUERY_FIELDS):
        assert getattr(found, name) == (index < size and getattr(option, name))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_what_a_short_storage_item_does_not_say_is_not_specified(size: int) -> None:
    found = StorageExtension.decode(b"\2\0\3\0\0\0"[:size])
    assert found.level is StorageLevel.LEVEL_2
    assert found.signatures is (SignatureLevel.LEVEL_3 if size > 2 else SignatureLevel.UNSPECIFIED)
    assert found.coercion is (Coercion.NONE if size > 4 else Coercion.SCU_ONLY)


def test_reserved_bytes_are_not_tested() -> None:
    assert StorageExtension.decode(b"\3\xff\0\xff\2\xff") == StorageExtension()


@pytest.mark.parametrize(
    ("kind", "information", "text"),
    [
        (StorageExtension, b"\4", "level of support 4; 0 to 3 [PS3.4 B.3.1]"),
        (StorageExtension, b"\0\0\4", "digital signature level 4; 0 to 3 [PS3.4 B.3.1]"),
        (StorageExtension, b"\0\0\0\0\3", "element coercion 3; 0 to 2 [PS3.4 B.3.1]"),
        (StorageExtension, b"", "service class application information of 0 bytes; at least 1 [PS3.4 B.3.1]"),
        (QueryExtension, b"\2", "byte 1 of the service class application information is 2; 0 or 1 [PS3.4 C.5.1.1]"),
        (
            QueryExtension,
            b"\0\0\0\0\0\0\xff",
            "byte 7 of the service class application information is 255; 0 or 1 [PS3.4 C.5.1.1]",
        ),
        (QueryExtension, b"", "service class application information of 0 bytes; at least 1 [PS3.4 C.5.1.1]"),
        (
            RetrieveExtension,
            b"\1\2",
            "byte 2 of the service class application information is 2; 0 or 1 [PS3.4 C.5.2.1, C.5.3.1]",
        ),
        (RetrieveExtension, b"", "service class application information of 0 bytes; at least 1"),
    ],
)
def test_a_value_that_the_table_does_not_have(kind: type[QueryExtension], information: bytes, text: str) -> None:
    with pytest.raises(Malformed) as caught:
        kind.decode(information)
    assert str(caught.value).startswith(text)


@given(st.sampled_from(KINDS), informations)
def test_any_bytes_are_options_or_malformed(kind: type[QueryExtension], information: bytes) -> None:
    found: object
    try:
        found = kind.decode(information)
    except Malformed as fault:
        found = fault
    if isinstance(found, Malformed):
        clause = found.clause
        assert clause.startswith("PS3.4 ")
    else:
        assert isinstance(found, kind)
        assert kind.decode(found.encode()) == found


# -- asking and granting ---------------------------------------------------------------------------------------------


def test_what_is_proposed_for_which_sop_class() -> None:
    wishes: dict[str, bytes | Extension] = {
        uids.STUDY_ROOT_FIND: QueryExtension(relational_queries=True),
        uids.STUDY_ROOT_GET: RetrieveExtension(relational_retrieval=True),
        uids.CT_IMAGE_STORAGE: StorageExtension(),
        "1.2.3": b"private",
    }
    assert [(one.sop_class_uid, one.information) for one in propose_extended(wishes)] == [
        (uids.STUDY_ROOT_FIND, b"\1"),
        (uids.STUDY_ROOT_GET, b"\1"),
        (uids.CT_IMAGE_STORAGE, b"\3\0\0\0\2\0"),
        ("1.2.3", b"private"),
    ]


@pytest.mark.parametrize(
    ("option", "information"),
    [
        (QueryExtension(), b"\0\0\0"),
        (QueryExtension(fuzzy_names=True), b"\0\0\1"),
        (QueryExtension(timezone_adjustment=True), b"\0\0\0\1"),
    ],
)
def test_a_worklist_query_has_three_bytes_or_more(option: QueryExtension, information: bytes) -> None:
    (item,) = propose_extended({uids.MODALITY_WORKLIST_FIND: option})
    assert item.information == information


@pytest.mark.parametrize(
    ("asked", "own", "answer"),
    [
        (b"\1", QueryExtension(relational_queries=True), b"\1"),
        (b"\1", QueryExtension(fuzzy_names=True), b"\0"),
        (b"\0", QueryExtension(relational_queries=True), b"\0"),  # it is not added to what was asked
        (b"\1\1\1", QueryExtension(relational_queries=True, fuzzy_names=True, timezone_adjustment=True), b"\1\0\1"),
        (b"\1\1\1\1\1\1\1\1\1", QueryExtension(multiple_value_matching=True), b"\0\0\0\0\0\0\1"),
        (b"\2", QueryExtension(relational_queries=True), None),
        (b"", QueryExtension(relational_queries=True), None),
        (b"\1\1", RetrieveExtension(enhanced_conversion=True), b"\0\1"),
        (b"\1", RetrieveExtension(relational_retrieval=True, enhanced_conversion=True), b"\1"),
        (b"\1\1\1", RetrieveExtension(relational_retrieval=True), b"\1\0"),
        (b"\3", RetrieveExtension(relational_retrieval=True), None),
        (b"\3\0\0\0\2\0", StorageExtension(level=StorageLevel.LEVEL_2, coercion=Coercion.NONE), b"\2\0\0\0\0\0"),
        (b"\7", StorageExtension(level=StorageLevel.LEVEL_2), None),
        (b"\1", b"\7raw", b"\7raw"),
        (b"", b"", b""),
    ],
)
def test_what_is_granted(asked: bytes, own: bytes | Extension, answer: bytes | None) -> None:
    assert grant(asked, own) == answer


@given(queries, queries, st.integers(1, 9))
def test_options_are_granted_where_both_sides_have_them(asked: QueryExtension, own: QueryExtension, size: int) -> None:
    sent = asked.encode(9)[:size]
    answer = grant(sent, own)
    assert answer is not None
    assert len(answer) == min(size, 7)
    found, heard = QueryExtension.decode(answer), QueryExtension.decode(sent)
    for name in QUERY_FIELDS:
        assert getattr(found, name) == (getattr(heard, name) and getattr(own, name))


@given(informations, extensions)
def test_whatever_is_asked_an_answer_can_be_read(asked: bytes, own: Extension) -> None:
    answer = grant(asked, own)
    assert answer is None or type(own).decode(answer)


# -- the same items in pynetdicom ------------------------------------------------------------------------------------


def theirs(**fields: object) -> tuple[bytes, ...]:
    """pynetdicom's reading of our A-ASSOCIATE-RQ with these fields, each of its user items written again."""
    context = ProposedContext(id=1, abstract_syntax=uids.STUDY_ROOT_FIND, transfer_syntaxes=(uids.IMPLICIT_VR_LE,))
    ours = AssociateRequest(
        called_aet="A",
        calling_aet="B",
        contexts=(context,),
        user_information=UserInformation(**fields),  # type: ignore[arg-type]
    )
    whole = encode(ours)
    read = pdu_of.A_ASSOCIATE_RQ()
    read.decode(whole)
    assert decode(read.encode()) == ours
    return tuple(item.encode() for item in read.user_information.user_data)


def item(primitive: str, **fields: object) -> bytes:
    """The bytes of one sub-item that pynetdicom makes."""
    made = getattr(primitives, primitive)()
    for name, value in fields.items():
        setattr(made, name, value)
    encoded: bytes = made.from_primitive().encode()
    return encoded


@pytest.mark.parametrize("information", [b"\1", b"\1\0\1", b"\3\0\0\0\2\0"])
def test_extended_negotiation_is_the_same_item(information: bytes) -> None:
    made = item(
        "SOPClassExtendedNegotiation",
        sop_class_uid=uids.STUDY_ROOT_FIND,
        service_class_application_information=information,
    )
    assert made in theirs(extended=(ExtendedNegotiation(sop_class_uid=uids.STUDY_ROOT_FIND, information=information),))


@pytest.mark.parametrize("related", [(), ("1.2.840.10008.5.1.4.1.1.88.22",), ("1.2.3", "1.2.4")])
def test_common_extended_negotiation_is_the_same_item(related: tuple[str, ...]) -> None:
    made = item(
        "SOPClassCommonExtendedNegotiation",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.88.40",
        service_class_uid=uids.STORAGE,
        related_general_sop_class_identification=list(related),
    )
    ours = CommonExtendedNegotiation(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.88.40",
        service_class_uid=uids.STORAGE,
        related_general=related,
    )
    assert made in theirs(common_extended=(ours,))


@pytest.mark.parametrize("wanted", [False, True])
@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5])
def test_a_user_identity_is_the_same_item(kind: int, wanted: bool) -> None:
    secondary = b"secret" if kind == 2 else b""
    made = item(
        "UserIdentityNegotiation",
        user_identity_type=kind,
        primary_field=b"ada or a ticket",
        secondary_field=secondary,
        positive_response_requested=wanted,
    )
    ours = UserIdentity(type=kind, primary=b"ada or a ticket", secondary=secondary, response_requested=wanted)
    assert made in theirs(user_identity=ours)


@pytest.mark.parametrize(("scu", "scp"), [(True, False), (False, True), (True, True)])
def test_a_role_selection_is_the_same_item(scu: bool, scp: bool) -> None:
    made = item("SCP_SCU_RoleSelectionNegotiation", sop_class_uid=uids.CT_IMAGE_STORAGE, scu_role=scu, scp_role=scp)
    assert made in theirs(roles=(RoleSelection(sop_class_uid=uids.CT_IMAGE_STORAGE, scu=scu, scp=scp),))
