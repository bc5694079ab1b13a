"""The services of PS3.4 and their SOP classes.

Knows: the services and the SOP classes of each. Must not know: their operations and status codes, which are in
`status_tables`. A service here is a group of SOP classes with status codes of its own. Query/retrieve is therefore
three services, one for each operation, and two more for the retrieval of frames.
"""

from enum import Enum
from typing import Final

from . import uids


class Service(Enum):
    """Services with different status codes. The value is the name shown to people; the comment is the annex of
    PS3.4."""

    VERIFICATION = "verification"  # A
    STORAGE = "storage"  # B, GG
    FIND = "query"  # C.4.1, and U, X, BB, HH, II, JJ, which refer to it
    MOVE = "retrieve by C-MOVE"  # C.4.2, and the same annexes
    GET = "retrieve by C-GET"  # C.4.3, and the same annexes
    REPOSITORY_QUERY = "repository query"  # C.6.4
    INSTANCE_ROOT_MOVE = "instance and frame retrieve by C-MOVE"  # Y.4.1
    INSTANCE_ROOT_GET = "instance and frame retrieve by C-GET"  # Y.4.2
    PROCEDURE_STEP = "modality performed procedure step"  # F
    PRINT = "print management"  # H
    STORAGE_COMMITMENT = "storage commitment"  # J
    WORKLIST = "worklist"  # K
    GENERAL_PURPOSE_PROCEDURE_STEP = "general purpose procedure step"  # M, N of 2009, retired
    EVENT_LOGGING = "application event logging"  # P
    RELEVANT_PATIENT = "relevant patient information query"  # Q
    INSTANCE_AVAILABILITY = "instance availability notification"  # R
    MEDIA_CREATION = "media creation management"  # S
    SUBSTANCE_ADMINISTRATION = "substance administration query"  # V
    UPS = "unified procedure step"  # CC
    RT_MACHINE_VERIFICATION = "RT machine verification"  # DD
    DISPLAY_SYSTEM = "display system management"  # EE
    STORAGE_MANAGEMENT = "storage management"  # KK


# SOP classes with C-FIND, C-MOVE or C-GET that do not belong to query/retrieve itself.
_SPECIAL: Final[dict[str, Service]] = {
    uids.REPOSITORY_QUERY: Service.REPOSITORY_QUERY,
    uids.COMPOSITE_INSTANCE_ROOT_MOVE: Service.INSTANCE_ROOT_MOVE,
    uids.COMPOSITE_INSTANCE_ROOT_GET: Service.INSTANCE_ROOT_GET,
    uids.MODALITY_WORKLIST_FIND: Service.WORKLIST,
    uids.GENERAL_PURPOSE_WORKLIST_FIND: Service.WORKLIST,
    uids.GENERAL_RELEVANT_PATIENT_INFORMATION_QUERY: Service.RELEVANT_PATIENT,
    uids.BREAST_IMAGING_RELEVANT_PATIENT_INFORMATION_QUERY: Service.RELEVANT_PATIENT,
    uids.CARDIAC_RELEVANT_PATIENT_INFORMATION_QUERY: Service.RELEVANT_PATIENT,
    uids.PRODUCT_CHARACTERISTICS_QUERY: Service.SUBSTANCE_ADMINISTRATION,
    uids.SUBSTANCE_APPROVAL_QUERY: Service.SUBSTANCE_ADMINISTRATION,
}

# fmt: off
_NORMALIZED: Final[dict[Service, tuple[str, ...]]] = {
    Service.PROCEDURE_STEP: (
        uids.MODALITY_PERFORMED_PROCEDURE_STEP,
        uids.MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE,
        uids.MODALITY_PERFORMED_PROCEDURE_STEP_NOTIFICATION,
    ),
    Service.PRINT: (
        uids.BASIC_FILM_SESSION, uids.BASIC_FILM_BOX, uids.BASIC_GRAYSCALE_IMAGE_BOX, uids.BASIC_COLOR_IMAGE_BOX,
        uids.BASIC_GRAYSCALE_PRINT_MANAGEMENT_META, uids.BASIC_COLOR_PRINT_MANAGEMENT_META, uids.PRINT_JOB,
        uids.BASIC_ANNOTATION_BOX, uids.PRINTER, uids.PRINTER_CONFIGURATION_RETRIEVAL, uids.VOI_LUT_BOX,
        uids.PRESENTATION_LUT,
    ),
    Service.STORAGE_COMMITMENT: (uids.STORAGE_COMMITMENT_PUSH_MODEL,),
    Service.GENERAL_PURPOSE_PROCEDURE_STEP: (
        uids.GENERAL_PURPOSE_WORKLIST_META,
        uids.GENERAL_PURPOSE_SCHEDULED_PROCEDURE_STEP,
        uids.GENERAL_PURPOSE_PERFORMED_PROCEDURE_STEP,
    ),
    Service.EVENT_LOGGING: (uids.PROCEDURAL_EVENT_LOGGING, uids.SUBSTANCE_ADMINISTRATION_LOGGING),
    Service.INSTANCE_AVAILABILITY: (uids.INSTANCE_AVAILABILITY_NOTIFICATION,),
    Service.MEDIA_CREATION: (uids.MEDIA_CREATION_MANAGEMENT,),
    Service.UPS: (uids.UPS_PUSH, uids.UPS_WATCH, uids.UPS_PULL, uids.UPS_EVENT, uids.UPS_QUERY),
    Service.RT_MACHINE_VERIFICATION: (uids.RT_CONVENTIONAL_MACHINE_VERIFICATION, uids.RT_ION_MACHINE_VERIFICATION),
    Service.DISPLAY_SYSTEM: (uids.DISPLAY_SYSTEM,),
    Service.STORAGE_MANAGEMENT: (uids.INVENTORY_CREATION,),
}
# fmt: on

SERVICE_OF: Final[dict[str, Service]] = {
    uids.VERIFICATION: Service.VERIFICATION,
    **dict.fromkeys(uids.STORAGE_SOP_CLASSES, Service.STORAGE),
    **dict.fromkeys(uids.QUERY_SOP_CLASSES, Service.FIND),
    **dict.fromkeys(uids.RETRIEVE_MOVE_SOP_CLASSES, Service.MOVE),
    **dict.fromkeys(uids.RETRIEVE_GET_SOP_CLASSES, Service.GET),
    **_SPECIAL,
    **{uid: service for service, classes in _NORMALIZED.items() for uid in classes},
}
"""SOP class UID -> its service, including meta SOP classes, without trial classes and most retired ones."""


def service_of(sop_class_uid: str) -> Service | None:
    """Returns the service to which `sop_class_uid` belongs, None if it is unknown.

    >>> service_of("1.2.840.10008.5.1.4.1.2.2.2")
    <Service.MOVE: 'retrieve by C-MOVE'>
    """
    return SERVICE_OF.get(sop_class_uid)
