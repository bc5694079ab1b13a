"""UIDs: constants are registered, tables agree with public dictionaries, the grammar is that of PS3.5 9.1."""

import re
import uuid
from importlib import import_module
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.config import IGNORE
from pydicom.uid import UID, UID_dictionary

from dicos_proto.registry import uid_names, uids
from dicos_proto.tolerance import CLAUSES

with patch.dict(UID_dictionary):
    # Importing pynetdicom adds to pydicom's dictionary, which other tests compare with, so it is restored.
    sop_class = import_module("pynetdicom.sop_class")

CONSTANTS = {
    name: value
    for name, value in vars(uids).items()
    if name.isupper() and isinstance(value, str) and not name.startswith("IMPLEMENTATION_")
}
TABLES = {name: value for name, value in vars(uid_names).items() if name.isupper()}

# Strings close to the border between valid, tolerated and unusable.
near_uids = st.one_of(
    st.from_regex(r"[0-9]{1,5}(\.[0-9]{1,8}){0,12}", fullmatch=True),
    st.text(alphabet="0123456789.", max_size=70),
    st.text(alphabet="01. /\\\x00\n٣²", max_size=12),
    st.sampled_from(sorted(uids.NAMES)),
)


def components(uid: str) -> tuple[int, ...]:
    return tuple(int(component) for component in uid.split("."))


@pytest.mark.parametrize("name", CONSTANTS)
def test_a_constant_is_a_valid_uid_with_a_name(name: str) -> None:
    assert uids.is_valid(CONSTANTS[name])
    assert CONSTANTS[name] in uids.NAMES


def test_no_two_constants_share_a_uid() -> None:
    assert len(set(CONSTANTS.values())) == len(CONSTANTS)


def test_no_two_tables_share_a_uid() -> None:
    assert sum(map(len, TABLES.values())) == len(uids.NAMES)


def test_every_uid_in_the_tables_is_valid_and_every_name_is_text() -> None:
    assert all(uids.is_valid(uid) for uid in uids.NAMES)
    assert all(name.strip() == name and name.isprintable() and name for name in uids.NAMES.values())


def test_names_agree_with_pydicom() -> None:
    known = {uid: name for uid, name in uids.NAMES.items() if uid in UID_dictionary}
    assert len(known) > 380
    assert known == {uid: UID(uid).name for uid in known}


@pytest.mark.parametrize("kind", ["Transfer Syntax", "SOP Class", "Meta SOP Class", "Application Context Name"])
def test_nothing_named_by_pydicom_is_missing(kind: str) -> None:
    named = {uid for uid, entry in UID_dictionary.items() if entry[1] == kind and entry[0]}
    assert named - uids.NAMES.keys() == set()


# Keywords of the dictionary that are longer, or different.
SPELT = {"UPS": "UnifiedProcedureStep"}


def test_constants_of_services_are_spelt_like_the_keywords_of_the_dictionary() -> None:
    """Every word of a constant is in the keyword of its UID, in that order."""
    checked = 0
    for name, uid in CONSTANTS.items():
        keyword = UID_dictionary[uid][4] if uid in UID_dictionary else ""
        if not keyword or uid in uids.TRANSFER_SYNTAXES or uid in uids.APPLICATION_CONTEXTS or "DICOS" in name:
            continue
        pattern = ".*".join(f"({word}|{SPELT.get(word, word)})" for word in name.split("_"))
        assert re.search(pattern, keyword, re.IGNORECASE), (name, keyword)
        checked += 1
    assert checked > 90


def test_every_sop_class_and_instance_in_force_has_a_constant_unless_it_is_for_storage() -> None:
    tables = [table for name, table in vars(sop_class).items() if re.fullmatch("_[A-Z_]+_CLASSES", name)]
    listed = {uid for table in tables if isinstance(next(iter(table.values())), str) for uid in table.values()}
    assert len(listed) > 200
    assert listed - set(uids.STORAGE_SOP_CLASSES) - set(CONSTANTS.values()) == set()
    instances = {uid for uid, entry in UID_dictionary.items() if entry[1] == "Well-known SOP Instance" and not entry[3]}
    palettes = {uid for uid in instances if "Palette" in UID_dictionary[uid][0]}
    assert instances - palettes - set(CONSTANTS.values()) == set()


def test_groups_of_queries_and_retrievals_hold_all_that_the_dictionary_names() -> None:
    names = {uid: entry[0].upper() for uid, entry in UID_dictionary.items() if entry[1] == "SOP Class"}
    for group, word in (
        (uids.QUERY_SOP_CLASSES, "- FIND|QUERY$|QUERY SOP CLASS$"),
        (uids.RETRIEVE_MOVE_SOP_CLASSES, "- MOVE"),
        (uids.RETRIEVE_GET_SOP_CLASSES, "- GET"),
    ):
        expected = {uid for uid, name in names.items() if re.search(word, name)} - {uids.UPS_QUERY}
        assert list(group) == sorted(expected, key=components)


def test_constants_of_dicos_lie_where_their_object_is() -> None:
    prefix = "1.2.840.10008.5.1.4.1.1.501."
    arcs = {
        "DICOS_CT": "1",
        "DICOS_CT_RAW": "7",
        "DICOS_CT_CORRECTED": "8",
        "DICOS_DX_FOR_PRESENTATION": "2.1",
        "DICOS_DX_FOR_PROCESSING": "2.2",
        "DICOS_TDR": "3",
        "DICOS_AIT2D": "4",
        "DICOS_AIT2D_RAW": "9",
        "DICOS_AIT3D": "5",
        "DICOS_AIT3D_RAW": "10",
        "DICOS_QR": "6",
    }
    seen = set()
    for name, value in CONSTANTS.items():
        if value.startswith(prefix):
            stem = re.sub("_(INT32|INT64|FLOAT)$", "", name)
            assert (value + ".").startswith(f"{prefix}{arcs[stem]}."), name
            seen.add(stem)
    assert seen == arcs.keys()


def test_every_dicos_class_is_a_storage_class_and_has_a_constant() -> None:
    dicos = {uid for uid in uids.STORAGE_SOP_CLASSES if ".5.1.4.1.1.501." in uid}
    assert len(dicos) == 36
    assert dicos == {uid for uid in CONSTANTS.values() if ".5.1.4.1.1.501." in uid}


def test_storage_classes_are_sorted_by_component_and_hold_the_usual_ones() -> None:
    assert list(uids.STORAGE_SOP_CLASSES) == sorted(set(uids.STORAGE_SOP_CLASSES), key=components)
    assert {uids.CT_IMAGE_STORAGE, uids.SECONDARY_CAPTURE_IMAGE_STORAGE} < set(uids.STORAGE_SOP_CLASSES)
    assert uids.VERIFICATION not in uids.STORAGE_SOP_CLASSES


def test_storage_classes_leave_out_names_that_only_sound_like_storage() -> None:
    left_out = {name for uid, name in uids.NAMES.items() if uid not in uids.STORAGE_SOP_CLASSES and "Storage" in name}
    assert sorted(left_out) == [
        "Media Storage Directory Storage",
        "Storage Commitment Pull Model SOP Class",
        "Storage Commitment Pull Model SOP Instance",
        "Storage Commitment Push Model SOP Class",
        "Storage Commitment Push Model SOP Instance",
        "Storage Management SOP Instance",
        "Storage Service Class",
    ]


def test_transfer_syntaxes_put_the_uncompressed_ones_first() -> None:
    assert uids.TRANSFER_SYNTAXES[:6] == (
        uids.EXPLICIT_VR_LE,
        uids.IMPLICIT_VR_LE,
        uids.DICOS_EXPLICIT_VR_LE_EXTENDED,
        uids.EXPLICIT_VR_BE,
        uids.ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LE,
        uids.DEFLATED_EXPLICIT_VR_LE,
    )
    assert list(uids.TRANSFER_SYNTAXES[6:]) == sorted(uids.TRANSFER_SYNTAXES[6:], key=components)


def test_transfer_syntaxes_are_those_in_force_and_big_endian() -> None:
    retired = {uid for uid, entry in UID_dictionary.items() if entry[1] == "Transfer Syntax" and entry[3]}
    assert set(uids.TRANSFER_SYNTAXES) & retired == {uids.EXPLICIT_VR_BE}
    in_force = {uid for uid, entry in UID_dictionary.items() if entry[1] == "Transfer Syntax"} - retired
    real_time_video = {uid for uid in in_force if uid.startswith("1.2.840.10008.1.2.7.")}
    assert in_force - real_time_video <= set(uids.TRANSFER_SYNTAXES)
    assert not real_time_video & set(uids.TRANSFER_SYNTAXES)


def test_application_contexts_begin_with_that_of_dicom() -> None:
    assert uids.APPLICATION_CONTEXTS == (
        uids.DICOM_APPLICATION_CONTEXT,
        uids.DICOS_APPLICATION_CONTEXT_V03,
        uids.DICOS_APPLICATION_CONTEXT_V02A,
        uids.DICOS_APPLICATION_CONTEXT_V02A_ALTERNATE,
    )


def test_the_implementation_is_identified_by_a_uuid_and_a_short_name() -> None:
    identity = uuid.uuid5(uuid.NAMESPACE_DNS, "dicos-proto")
    assert uids.IMPLEMENTATION_CLASS_UID == f"2.25.{identity.int}"
    assert uids.is_valid(uids.IMPLEMENTATION_CLASS_UID)
    assert uids.IMPLEMENTATION_VERSION_NAME == "DICOS_PROTO_010"
    assert len(uids.IMPLEMENTATION_VERSION_NAME) <= 16


def test_name_of_a_known_and_of_an_unknown_uid() -> None:
    assert uids.name_of(uids.VERIFICATION) == "Verification SOP Class"
    assert uids.name_of("1.2.3") == "1.2.3"
    assert uids.name_of("") == ""


@pytest.mark.parametrize(
    ("uid", "valid", "safe"),
    [
        ("1.2.840.10008.1.1", True, True),
        ("0", True, True),
        ("1.0.3", True, True),
        ("1." + "2" * 62, True, True),
        ("1." + "2" * 63, False, False),
        ("1.02.3", False, True),
        ("00", False, True),
        ("1720554634.52603.05867.017031.022107132188135075", False, True),
        ("", False, False),
        (".", False, False),
        ("..", False, False),
        (".1", False, False),
        ("1.", False, False),
        ("1..2", False, False),
        ("1.2\n", False, False),
        ("1.2\x00", False, False),
        (" 1.2", False, False),
        ("+1.2", False, False),
        ("1.2_3", False, False),
        ("1.a", False, False),
        ("../../etc", False, False),
        ("1.٣", False, False),
        ("1.²", False, False),
    ],
)
def test_valid_and_safe(uid: str, valid: bool, safe: bool) -> None:
    assert (uids.is_valid(uid), uids.is_safe(uid)) == (valid, safe)


@pytest.mark.slow  # thousands of texts against a grammar
@settings(deadline=None)
@given(near_uids)
def test_valid_is_the_grammar_of_the_standard(uid: str) -> None:
    oracle = len(uid) <= 64 and re.fullmatch(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*", uid)
    assert uids.is_valid(uid) is bool(oracle)


@settings(deadline=None)
@given(st.text(alphabet="0123456789.", max_size=70))
def test_valid_agrees_with_pydicom(uid: str) -> None:
    assert uids.is_valid(uid) is UID(uid, validation_mode=IGNORE).is_valid


@settings(deadline=None)
@given(near_uids)
def test_safe_is_digits_between_single_dots(uid: str) -> None:
    assert uids.is_safe(uid) is bool(len(uid) <= 64 and re.fullmatch(r"[0-9]+(\.[0-9]+)*", uid))


def test_known_uids_are_one_string_each() -> None:
    arrived = b"\x001.2.840.10008.1.1"[1:].decode()
    assert arrived is not uids.shared(arrived)
    assert uids.shared(arrived) is uids.shared("1.2.840.10008.1.1 ".strip())
    assert uids.shared("1.2.3") == "1.2.3"


@pytest.mark.parametrize(
    ("uid", "valid"),
    [
        ("0", True), ("1", True), ("2", True), ("3", False), ("10.1", False), ("589819685.55", False),
        ("0.39", True), ("0.40", False), ("1.39.5", True), ("1.40", False), ("1.100", False), ("1.4", True),
        ("2.40", True), ("2.999.1", True), ("02.1", True), ("1.040", False), ("00.039.7", True),
        ("1." + "9" * 62, False),
    ],
)  # fmt: skip
def test_a_root_is_valid_by_its_arcs(uid: str, valid: bool) -> None:
    """The first arc is 0, 1 or 2; after 0 or 1, the second is at most 39 [ISO/IEC 9834-1]."""
    assert uids.has_valid_root(uid) is valid


@given(st.lists(st.integers(0, 10**20).map(str), min_size=1, max_size=5).map(".".join))
def test_roots_are_numbers(uid: str) -> None:
    first, second = (*map(int, uid.split(".")), 0)[:2]
    assert uids.has_valid_root(uid) is (first == 2 or (first < 2 and second < 40))


@pytest.mark.parametrize(
    ("raw", "uid", "broken"),
    [
        (b"1.2.3", "1.2.3", ()),
        (b"1.2.3\0", "1.2.3", ("uid_padded",)),
        (b"1.2.3 \0 ", "1.2.3", ("uid_padded",)),
        (b"1.02", "1.02", ("uid_leading_zeros",)),
        (b"9.00 ", "9.00", ("uid_padded", "uid_leading_zeros", "uid_invalid_root")),
        (b"1." + b"2" * 200, "1." + "2" * 200, ("uid_invalid_root",)),
        (b"x.01", "x.01", None),
        (b"", "", None),
        (b"1..2", "1..2", None),
    ],
)
def test_broken_rules_are_named_by_flag(raw: bytes, uid: str, broken: tuple[str, ...] | None) -> None:
    assert uids.read(raw) == (uid, broken)
    assert all(name in CLAUSES and uids.BROKEN[name] for name in broken or ())


@settings(max_examples=500)
@given(st.one_of(st.from_regex(r"[0-2]?[0-9.]{0,12}", fullmatch=True), st.text("01239. \0", max_size=9)))
def test_a_text_is_valid_exactly_if_no_rule_is_broken(text: str) -> None:
    uid, broken = uids.read(text.encode("ascii"))
    if uids.is_dotted(text):
        assert uid == text
        assert (not broken) is (uids.is_valid(text) and uids.has_valid_root(text))
    else:
        assert broken if uids.is_dotted(uid) else broken is None


@pytest.mark.slow  # thousands of texts against a grammar
@settings(max_examples=500)
@given(
    st.one_of(
        st.from_regex(r"[0-2](\.(0|[1-9][0-9]?)){0,5}\x00?", fullmatch=True),
        st.from_regex(r"[0-2]?[0-9.]{0,12}\x00{0,2}", fullmatch=True),
        st.text("01239. \0\n", max_size=9),
    )
)
def test_a_value_is_good_that_breaks_nothing_but_for_its_padding(text: str) -> None:
    found = uids.GOOD_VALUE.fullmatch(text.encode("ascii"))
    uid = text.removesuffix("\0")
    assert (found is not None) is (uids.is_dotted(uid) and uids.is_valid(uid) and uids.has_valid_root(uid))
    assert found is None or found[1].decode("ascii") == uid
