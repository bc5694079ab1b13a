"""Services: every current SOP class belongs to one service, the same as in other implementations."""

import doctest
from importlib import import_module
from unittest.mock import patch

import pytest
from pydicom.uid import UID_dictionary

from dicos_proto.registry import service_classes, uids
from dicos_proto.registry.service_classes import SERVICE_OF, Service, service_of

with patch.dict(UID_dictionary):
    # Importing pynetdicom adds to pydicom's dictionary, which other tests compare with, so it is restored.
    sop_class = import_module("pynetdicom.sop_class")

# fmt: off
TABLES = {
    "_VERIFICATION_CLASSES": {Service.VERIFICATION},
    "_STORAGE_CLASSES": {Service.STORAGE},
    "_NON_PATIENT_OBJECT_CLASSES": {Service.STORAGE},
    "_QR_CLASSES": {
        Service.FIND, Service.MOVE, Service.GET, Service.REPOSITORY_QUERY, Service.INSTANCE_ROOT_MOVE,
        Service.INSTANCE_ROOT_GET,
    },
    "_BASIC_WORKLIST_CLASSES": {Service.WORKLIST},
    "_COLOR_PALETTE_CLASSES": {Service.FIND, Service.MOVE, Service.GET},
    "_DEFINED_PROCEDURE_CLASSES": {Service.FIND, Service.MOVE, Service.GET},
    "_HANGING_PROTOCOL_CLASSES": {Service.FIND, Service.MOVE, Service.GET},
    "_IMPLANT_TEMPLATE_CLASSES": {Service.FIND, Service.MOVE, Service.GET},
    "_INVENTORY_CLASSES": {Service.FIND, Service.MOVE, Service.GET},
    "_PROTOCOL_APPROVAL_CLASSES": {Service.FIND, Service.MOVE, Service.GET},
    "_APPLICATION_EVENT_CLASSES": {Service.EVENT_LOGGING},
    "_DISPLAY_SYSTEM_CLASSES": {Service.DISPLAY_SYSTEM},
    "_INSTANCE_AVAILABILITY_CLASSES": {Service.INSTANCE_AVAILABILITY},
    "_MEDIA_CREATION_CLASSES": {Service.MEDIA_CREATION},
    "_PRINT_MANAGEMENT_CLASSES": {Service.PRINT},
    "_PROCEDURE_STEP_CLASSES": {Service.PROCEDURE_STEP},
    "_RELEVANT_PATIENT_QUERY_CLASSES": {Service.RELEVANT_PATIENT},
    "_RT_MACHINE_VERIFICATION_CLASSES": {Service.RT_MACHINE_VERIFICATION},
    "_STORAGE_COMMITMENT_CLASSES": {Service.STORAGE_COMMITMENT},
    "_STORAGE_MANAGEMENT_CLASSES": {Service.STORAGE_MANAGEMENT},
    "_SUBSTANCE_ADMINISTRATION_CLASSES": {Service.SUBSTANCE_ADMINISTRATION},
    "_UNIFIED_PROCEDURE_STEP_CLASSES": {Service.UPS},
}
# fmt: on


@pytest.mark.parametrize("table", TABLES)
def test_services_agree_with_pynetdicom(table: str) -> None:
    assert {service_of(uid) for uid in vars(sop_class)[table].values()} == TABLES[table]


def test_every_service_has_a_sop_class() -> None:
    assert set(SERVICE_OF.values()) == set(Service)


def test_every_sop_class_in_force_has_a_service_unless_no_dimse_message_carries_it() -> None:
    in_force = {
        uid for uid, entry in UID_dictionary.items() if entry[1] in ("SOP Class", "Meta SOP Class") and not entry[3]
    }
    left_out = {UID_dictionary[uid][0] for uid in in_force - SERVICE_OF.keys()}
    assert sorted(left_out) == [
        "Audio Waveform Real-Time Communication",
        "Media Storage Directory Storage",
        "Rendition Selection Document Real-Time Communication",
        "Video Endoscopic Image Real-Time Communication",
        "Video Photographic Image Real-Time Communication",
    ]


def test_every_class_with_a_service_is_named() -> None:
    assert SERVICE_OF.keys() - uids.NAMES.keys() == set()


@pytest.mark.parametrize(
    ("uid", "service"),
    [
        (uids.VERIFICATION, Service.VERIFICATION),
        (uids.DICOS_TDR, Service.STORAGE),
        (uids.STUDY_ROOT_FIND, Service.FIND),
        (uids.PATIENT_STUDY_ONLY_MOVE, Service.MOVE),
        (uids.COMPOSITE_INSTANCE_ROOT_MOVE, Service.INSTANCE_ROOT_MOVE),
        (uids.COMPOSITE_INSTANCE_WITHOUT_BULK_DATA_GET, Service.GET),
        (uids.GENERAL_PURPOSE_WORKLIST_FIND, Service.WORKLIST),
        (uids.GENERAL_PURPOSE_SCHEDULED_PROCEDURE_STEP, Service.GENERAL_PURPOSE_PROCEDURE_STEP),
        (uids.BASIC_COLOR_PRINT_MANAGEMENT_META, Service.PRINT),
        (uids.UPS_EVENT, Service.UPS),
        (uids.PRINTER_INSTANCE, None),
        (uids.MEDIA_STORAGE_DIRECTORY, None),
        (uids.EXPLICIT_VR_LE, None),
        ("", None),
    ],
)
def test_the_service_of_a_uid(uid: str, service: Service | None) -> None:
    assert service_of(uid) is service


def test_the_example_runs() -> None:
    assert doctest.testmod(service_classes) == (0, 1)
