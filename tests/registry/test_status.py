"""Status codes: each has the category of PS3.7 annex C and a text, for every service."""

import doctest
import os
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import pytest
from pydicom.uid import UID_dictionary

from dicos_proto.registry import status, uids
from dicos_proto.registry.service_classes import Service, service_of
from dicos_proto.registry.status import category, describe, meaning
from dicos_proto.registry.status_tables import GENERAL, TABLES, Category, Row

with patch.dict(UID_dictionary):
    # Importing pynetdicom adds to pydicom's dictionary, which other tests compare with, so it is restored.
    theirs = import_module("pynetdicom.status")

CONSTANTS = {name: value for name, value in vars(status).items() if name.isupper() and isinstance(value, int)}
every_code = pytest.mark.no_cover
"""A test that goes through all 65,536 codes: other tests reach what it reaches, and tracing it takes seconds."""
ROWS = [(service, row) for service, rows in TABLES.items() for row in rows]


def annex_c(code: int) -> Category:
    """The category by the table of PS3.7 annex C, written from its digits."""
    digits = f"{code:04X}"
    if digits == "0000":
        return Category.SUCCESS
    if digits in ("0001", "0107", "0116") or digits[0] == "B":
        return Category.WARNING
    if digits == "FE00":
        return Category.CANCEL
    if digits in ("FF00", "FF01"):
        return Category.PENDING
    return Category.FAILURE


@every_code
def test_every_code_falls_into_the_category_of_annex_c() -> None:
    wrong = [f"{code:04X}" for code in range(0x10000) if category(code) is not annex_c(code)]
    assert wrong == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0x0000, Category.SUCCESS),
        (0x0001, Category.WARNING),
        (0x0002, Category.FAILURE),
        (0x0106, Category.FAILURE),
        (0x0107, Category.WARNING),
        (0x0116, Category.WARNING),
        (0xA700, Category.FAILURE),
        (0xAFFF, Category.FAILURE),
        (0xB000, Category.WARNING),
        (0xBFFF, Category.WARNING),
        (0xC000, Category.FAILURE),
        (0xFE00, Category.CANCEL),
        (0xFE01, Category.FAILURE),
        (0xFF00, Category.PENDING),
        (0xFF01, Category.PENDING),
        (0xFF02, Category.FAILURE),
        (0xFFFF, Category.FAILURE),
    ],
)
def test_categories_at_the_borders_of_the_ranges(code: int, expected: Category) -> None:
    assert category(code) is expected


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0x0000, "0x0000 Success (success)"),
        (0x0107, "0x0107 Attribute list error (warning)"),
        (0x0122, "0x0122 Refused: SOP class not supported (failure)"),
        (0x0211, "0x0211 Unrecognized operation (failure)"),
        (0xA700, "0xA700 Refused: out of resources (failure)"),
        (0xA7FF, "0xA7FF Refused: out of resources (failure)"),
        (0xA800, "0xA800 (failure)"),
        (0xA9A9, "0xA9A9 Error: data set does not match SOP class (failure)"),
        (0xB000, "0xB000 Coercion of data elements (warning)"),
        (0xB006, "0xB006 Elements discarded (warning)"),
        (0xB007, "0xB007 Data set does not match SOP class (warning)"),
        (0xB008, "0xB008 (warning)"),
        (0xC000, "0xC000 Error: cannot understand (failure)"),
        (0xCFFF, "0xCFFF Error: cannot understand (failure)"),
        (0xFE00, "0xFE00 Cancelled (cancel)"),
        (0xFF00, "0xFF00 Pending (pending)"),
    ],
)
def test_a_status_reads_as_one_line(code: int, text: str) -> None:
    assert describe(code) == text


@pytest.mark.parametrize(
    ("code", "service", "text"),
    [
        (0xA700, Service.FIND, "0xA700 Refused: out of resources (failure)"),
        (0xA701, Service.FIND, "0xA701 (failure)"),
        (0xA701, Service.STORAGE, "0xA701 Refused: out of resources (failure)"),
        (0xA701, Service.MOVE, "0xA701 Refused: out of resources, unable to calculate number of matches (failure)"),
        (0xA702, Service.GET, "0xA702 Refused: out of resources, unable to perform sub-operations (failure)"),
        (0xA801, Service.MOVE, "0xA801 Refused: move destination unknown (failure)"),
        (0xA801, Service.GET, "0xA801 (failure)"),
        (0xA900, Service.WORKLIST, "0xA900 Error: identifier does not match SOP class (failure)"),
        (0xA901, Service.WORKLIST, "0xA901 (failure)"),
        (0xC0FE, Service.FIND, "0xC0FE Failed: unable to process (failure)"),
        (0xC0FE, Service.RELEVANT_PATIENT, "0xC0FE (failure)"),
        (0xC100, Service.RELEVANT_PATIENT, "0xC100 More than one match found (failure)"),
        (0xC100, Service.SUBSTANCE_ADMINISTRATION, "0xC100 Failed: unable to process (failure)"),
        (0xB000, Service.MOVE, "0xB000 Sub-operations complete, one or more failures or warnings (warning)"),
        (0xB000, Service.PRINT, "0xB000 (warning)"),
        (0xB001, Service.FIND, "0xB001 (warning)"),
        (0xA710, Service.REPOSITORY_QUERY, "0xA710 Invalid prior record key (failure)"),
        (0xAA02, Service.INSTANCE_ROOT_GET, "0xAA02 Unable to extract frames (failure)"),
        (0xAA02, Service.GET, "0xAA02 (failure)"),
        (0xC302, Service.UPS, "0xC302 UPS is already IN PROGRESS (failure)"),
        (0xC316, Service.UPS, "0xC316 Failed: unable to process (failure)"),
        (0xC603, Service.PRINT, "0xC603 Image larger than image box (failure)"),
        (0xC203, Service.MEDIA_CREATION, "0xC203 Cancellation denied for unspecified reason (failure)"),
        (0x0001, Service.MEDIA_CREATION, "0x0001 Requested optional attributes are not supported (warning)"),
        (0x0131, Service.STORAGE_COMMITMENT, "0x0131 Duplicate transaction UID (failure)"),
        (0x0131, None, "0x0131 (failure)"),
        (0x0122, Service.VERIFICATION, "0x0122 Refused: SOP class not supported (failure)"),
        (0x0122, Service.PRINT, "0x0122 Refused: SOP class not supported (failure)"),
        (0x0000, Service.FIND, "0x0000 Matching is complete (success)"),
        (0x0000, Service.UPS, "0x0000 Success (success)"),
        (0xFF00, Service.MOVE, "0xFF00 Sub-operations are continuing (pending)"),
        (0xFF01, Service.MOVE, "0xFF01 Pending: optional keys not supported (pending)"),
        (0xFE00, Service.GET, "0xFE00 Sub-operations terminated due to cancel request (cancel)"),
    ],
)  # fmt: skip
def test_a_status_reads_in_the_words_of_its_service(code: int, service: Service | None, text: str) -> None:
    assert describe(code, service) == text


def test_a_status_reads_by_the_sop_class_it_answers_for() -> None:
    assert describe(0xB000, service_of(uids.STUDY_ROOT_GET)).startswith("0xB000 Sub-operations complete")
    assert describe(0xB000, service_of(uids.CT_IMAGE_STORAGE)) == "0xB000 Coercion of data elements (warning)"
    assert describe(0xB000, service_of("1.2.3")) == describe(0xB000)


@every_code
def test_without_a_service_a_status_reads_as_one_of_storage() -> None:
    assert all(meaning(code) == meaning(code, Service.STORAGE) for code in range(0x10000))


def codes(row: Row) -> Iterator[int]:
    """Every code of a row, with all digits in place of an x."""
    free = row.code.count("x")
    for digits in range(16**free):
        yield int(row.code.replace("x" * free, f"{digits:0{free}X}") if free else row.code, 16)


def test_every_service_has_a_table_and_every_row_is_well_formed() -> None:
    assert list(TABLES) == list(Service)
    for row in (*GENERAL, *(row for _, row in ROWS)):
        assert re.fullmatch("[0-9A-F]{4}|[0-9A-F]{2}xx|[0-9A-F]xxx", row.code), row
        assert re.match(r"PS3\.[347](-\d{4})? [A-Z]+(\.\d+)*(, [A-Z]+(\.\d+)+)*$", row.clause), row
        assert row.meaning.strip(". ") == row.meaning != "", row


@every_code
def test_no_service_gives_a_code_another_category_than_annex_c() -> None:
    # This is why `category` needs no service, and may be called before the service is known.
    wrong = [(service, row) for service, row in ROWS for code in codes(row) if category(code) is not row.category]
    assert wrong == []
    assert [row for row in GENERAL if category(int(row.code, 16)) is not row.category] == []


@every_code
@pytest.mark.parametrize("service", Service)
def test_no_row_hides_behind_one_before_it(service: Service) -> None:
    seen: dict[int, str] = {}
    for row in TABLES[service]:
        new = [code for code in codes(row) if code not in seen]
        assert new, f"{row} is never found"
        seen.update(dict.fromkeys(new, row.meaning))
    assert {code: meaning(code, service) for code in seen} == seen
    general = {int(row.code, 16): row.meaning for row in GENERAL}
    for code in range(0x10000):
        if code not in seen:
            assert meaning(code, service) == general.get(code, "")


def test_every_named_code_has_a_text_in_some_service() -> None:
    for name, code in CONSTANTS.items():
        assert any(meaning(code, service) for service in Service), name


def test_named_codes_that_share_a_number_belong_to_different_services() -> None:
    shared: dict[int, list[str]] = {}
    for name, code in CONSTANTS.items():
        shared.setdefault(code, []).append(name)
    assert {code: names for code, names in shared.items() if len(names) > 1} == {
        0xA710: ["INVALID_PRIOR_RECORD_KEY", "MPPS_NO_LONGER_UPDATABLE_ERROR_ID"],
        0xA900: ["DATA_SET_DOES_NOT_MATCH_SOP_CLASS", "IDENTIFIER_DOES_NOT_MATCH"],
        0xB000: ["COERCION_OF_DATA_ELEMENTS", "SUBOPERATIONS_WARNING"],
        0xC000: ["CANNOT_UNDERSTAND", "UNABLE_TO_PROCESS"],
    }


@pytest.mark.parametrize(
    ("prefix", "service"),
    [
        ("UPS_", Service.UPS),
        ("PRINT_", Service.PRINT),
        ("MEDIA_CREATION_", Service.MEDIA_CREATION),
        ("LOG_", Service.EVENT_LOGGING),
        ("RT_", Service.RT_MACHINE_VERIFICATION),
    ],
)
def test_every_code_of_its_own_that_is_in_force_has_a_constant(prefix: str, service: Service) -> None:
    named = {f"{code:04X}" for name, code in CONSTANTS.items() if name.startswith(prefix)}
    find = {row.code for row in TABLES[Service.FIND]}
    own = [row for row in TABLES[service] if row.code[0] in "ABC" and row.code not in find]
    assert named == {row.code for row in own if "(retired)" not in row.meaning}


# The differences between pynetdicom's tables and ours, code by code, each with its reason. A clause shows that PS3.4
# agrees with us.
THEIRS = {
    Service.VERIFICATION: theirs.VERIFICATION_SERVICE_CLASS_STATUS,
    Service.STORAGE: theirs.STORAGE_SERVICE_CLASS_STATUS,
    Service.FIND: theirs.QR_FIND_SERVICE_CLASS_STATUS,
    Service.MOVE: theirs.QR_MOVE_SERVICE_CLASS_STATUS,
    Service.GET: theirs.QR_GET_SERVICE_CLASS_STATUS,
    Service.REPOSITORY_QUERY: theirs.QR_FIND_SERVICE_CLASS_STATUS,
    Service.INSTANCE_ROOT_MOVE: theirs.QR_MOVE_SERVICE_CLASS_STATUS,
    Service.INSTANCE_ROOT_GET: theirs.QR_GET_SERVICE_CLASS_STATUS,
    Service.PROCEDURE_STEP: theirs.PROCEDURE_STEP_STATUS,
    Service.PRINT: theirs.PRINT_JOB_MANAGEMENT_SERVICE_CLASS_STATUS,
    Service.STORAGE_COMMITMENT: theirs.STORAGE_COMMITMENT_SERVICE_CLASS_STATUS,
    Service.WORKLIST: theirs.MODALITY_WORKLIST_SERVICE_CLASS_STATUS,
    Service.EVENT_LOGGING: theirs.APPLICATION_EVENT_LOGGING_SERVICE_CLASS_STATUS,
    Service.RELEVANT_PATIENT: theirs.RELEVANT_PATIENT_SERVICE_CLASS_STATUS,
    Service.MEDIA_CREATION: theirs.MEDIA_CREATION_MANAGEMENT_SERVICE_CLASS_STATUS,
    Service.SUBSTANCE_ADMINISTRATION: theirs.SUBSTANCE_ADMINISTRATION_SERVICE_CLASS_STATUS,
    Service.UPS: theirs.UNIFIED_PROCEDURE_STEP_SERVICE_CLASS_STATUS,
    Service.RT_MACHINE_VERIFICATION: theirs.RT_MACHINE_VERIFICATION_SERVICE_CLASS_STATUS,
    Service.STORAGE_MANAGEMENT: theirs.STORAGE_MANAGEMENT_SERVICE_CLASS_STATUS,
}
FRAMES = {0xAA00, 0xAA01, 0xAA02, 0xAA03, 0xAA04}
DIFFERENCES = [
    # (service, codes only they have, codes only we have, why)
    (Service.FIND, {0xA710, 0xB001}, set(), "they list the codes of the repository query (C.6.4) for every C-FIND"),
    (Service.MOVE, FRAMES, set(), "they list the codes of frame level retrieve (Y.4) for every C-MOVE"),
    (Service.GET, FRAMES, set(), "they list the codes of frame level retrieve (Y.4) for every C-GET"),
    (Service.PRINT, set(), {0xC604, 0xC606}, "retired; DCMTK's dimse.h has them"),
    (Service.STORAGE_COMMITMENT, set(), {0x0131}, "a failure reason (PS3.3 C.14.1.1), no status"),
]


@pytest.mark.parametrize("service", THEIRS)
def test_codes_and_categories_agree_with_pynetdicom(service: Service) -> None:
    # They have 0001 and FF01 for some services only; annex C has them for all.
    common = {int(row.code, 16) for row in GENERAL}
    ours = {code: row.category.value for row in TABLES[service] for code in codes(row)}
    only_theirs = THEIRS[service].keys() - ours.keys() - common
    only_ours = ours.keys() - THEIRS[service].keys() - common
    known = [(more, less) for differing, more, less, _ in DIFFERENCES if differing is service] or [(set(), set())]
    assert (only_theirs, only_ours) == known[0]
    for code in ours.keys() & THEIRS[service].keys():
        assert THEIRS[service][code][0].lower() == ours[code], f"{code:04X}"


SMALL_WORDS = set(re.findall(r"\w+", "a an the of is are in to for and or not uid refused failed"))


def words(text: str) -> set[str]:
    spelt = text.lower().replace("doesn't", "does not").replace("sub-operations", "suboperations")
    for british, american in (("nised", "nized"), ("thoris", "thoriz"), ("chronis", "chroniz")):
        spelt = spelt.replace(british, american)
    return set(re.findall(r"[a-z0-9]+", spelt)) - SMALL_WORDS


@pytest.mark.parametrize("service", THEIRS)
def test_meanings_agree_with_pynetdicom(service: Service) -> None:
    # Half of the words of the shorter text: enough to find two rows that are swapped.
    differing = []
    for code, (_, text) in THEIRS[service].items():
        mine, other = words(meaning(code, service)), words(text)
        if mine and 2 * len(mine & other) < min(len(mine), len(other)):
            differing.append(f"{code:04X} {meaning(code, service)!r} {text!r}")
    assert differing == []


HEADER = Path(os.environ.get("DCMTK_INCLUDE", "/usr/include")) / "dcmtk/dcmnet/dimse.h"
OF_PREFIX = {
    "ECHO": (Service.VERIFICATION,),
    "STORE": (Service.STORAGE,),
    "FIND": (Service.FIND, Service.RELEVANT_PATIENT),
    "MOVE": (Service.INSTANCE_ROOT_MOVE,),
    "GET": (Service.INSTANCE_ROOT_GET,),
    "N_PRINT": (Service.PRINT,),
    "N_MPPS": (Service.PROCEDURE_STEP,),
    "N_LOG": (Service.EVENT_LOGGING,),
    "N_MEDIA": (Service.MEDIA_CREATION,),
}


def test_codes_and_categories_agree_with_dcmtk() -> None:
    if not HEADER.exists():
        pytest.skip(f"no {HEADER}: DCMTK's headers (libdcmtk-dev) are not installed; DCMTK_INCLUDE names another place")
    found = re.findall(r"^#define STATUS_(\w+?)_((?:Success|Pending|Cancel|Warn|Refused|Error|Fail)\w*)\s.*?(0x\w{4})",
                       HEADER.read_text("utf-8", "replace"), re.MULTILINE)  # fmt: skip
    assert len(found) > 60
    for prefix, name, digits in found:
        services = next((OF_PREFIX[key] for key in OF_PREFIX if f"{prefix}_".startswith(f"{key}_")), tuple(Service))
        code = int(digits, 16)
        assert any(meaning(code, service) for service in services), (prefix, name, digits)
        kind = re.match("Success|Pending|Cancel|Warn", name)
        assert category(code).value.startswith(kind[0].lower() if kind else "failure"), (prefix, name, digits)


def test_the_examples_run() -> None:
    assert doctest.testmod(status) == (0, 5)
