"""Status codes of DIMSE responses: constants to send and compare, their category, one line of text for people.

Knows: the codes common to all services (PS3.7 annex C) and those of each service (PS3.4); the tables are data, in
`status_tables`. `category` shows if an operation succeeded and needs no service: each service defines its own codes
within the ranges of annex C, and none changes the category of a code.
"""

from typing import Final

from .service_classes import Service as Service
from .status_tables import GENERAL, TABLES, Row
from .status_tables import Category as Category

SUCCESS: Final = 0x0000
PENDING: Final = 0xFF00
PENDING_WARNING: Final = 0xFF01
"""Matches continue, but some optional keys of the identifier were not supported [PS3.4 C.4.1.1.4]."""
CANCEL: Final = 0xFE00

# PS3.7 C.4 (0107, 0116) and C.5; they mean the same for every service.
NO_SUCH_ATTRIBUTE: Final = 0x0105
INVALID_ATTRIBUTE_VALUE: Final = 0x0106
ATTRIBUTE_LIST_ERROR: Final = 0x0107
PROCESSING_FAILURE: Final = 0x0110
DUPLICATE_SOP_INSTANCE: Final = 0x0111
NO_SUCH_SOP_INSTANCE: Final = 0x0112
NO_SUCH_EVENT_TYPE: Final = 0x0113
NO_SUCH_ARGUMENT: Final = 0x0114
INVALID_ARGUMENT_VALUE: Final = 0x0115
ATTRIBUTE_VALUE_OUT_OF_RANGE: Final = 0x0116
INVALID_SOP_INSTANCE: Final = 0x0117
NO_SUCH_SOP_CLASS: Final = 0x0118
CLASS_INSTANCE_CONFLICT: Final = 0x0119
MISSING_ATTRIBUTE: Final = 0x0120
MISSING_ATTRIBUTE_VALUE: Final = 0x0121
SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
NO_SUCH_ACTION_TYPE: Final = 0x0123
NOT_AUTHORIZED: Final = 0x0124
DUPLICATE_INVOCATION: Final = 0x0210
UNRECOGNIZED_OPERATION: Final = 0x0211
MISTYPED_ARGUMENT: Final = 0x0212
RESOURCE_LIMITATION: Final = 0x0213

# Annex C lists this code as a warning; PS3.4 defines its meaning, for N-GET.
OPTIONAL_ATTRIBUTES_NOT_SUPPORTED: Final = 0x0001

# C-STORE.  PS3.4 B.2.3; the first three are the lowest of ranges A7xx, A9xx and Cxxx.
OUT_OF_RESOURCES: Final = 0xA700
DATA_SET_DOES_NOT_MATCH_SOP_CLASS: Final = 0xA900
CANNOT_UNDERSTAND: Final = 0xC000
COERCION_OF_DATA_ELEMENTS: Final = 0xB000
ELEMENTS_DISCARDED: Final = 0xB006
DATA_SET_DOES_NOT_MATCH_SOP_CLASS_WARNING: Final = 0xB007

# Query/retrieve, worklists and other services of C-FIND, C-MOVE and C-GET.  PS3.4 C.4, K.4, Q.2, V.4, CC.2.8
# Some have the number of a code of C-STORE; C000 is the lowest of Cxxx here, too.
OUT_OF_RESOURCES_MATCHES: Final = 0xA701
OUT_OF_RESOURCES_SUBOPERATIONS: Final = 0xA702
INVALID_PRIOR_RECORD_KEY: Final = 0xA710
MOVE_DESTINATION_UNKNOWN: Final = 0xA801
IDENTIFIER_DOES_NOT_MATCH: Final = 0xA900
FRAMES_NOT_FOUND: Final = 0xAA00
UNABLE_TO_CREATE_NEW_OBJECT: Final = 0xAA01
UNABLE_TO_EXTRACT_FRAMES: Final = 0xAA02
NOT_TIME_BASED: Final = 0xAA03
INVALID_FRAME_REQUEST: Final = 0xAA04
UNABLE_TO_PROCESS: Final = 0xC000
MORE_THAN_ONE_MATCH: Final = 0xC100
TEMPLATE_NOT_SUPPORTED: Final = 0xC200
SUBOPERATIONS_WARNING: Final = 0xB000
RESPONSE_LIMIT_REACHED: Final = 0xB001

# Storage commitment and management.  PS3.3 C.14.1.1; PS3.4 KK.2
DUPLICATE_TRANSACTION_UID: Final = 0x0131
"""A failure reason (0008,1197), not the status of a response."""
KEYS_NOT_SUPPORTED_FOR_MATCHING: Final = 0xB010

# Modality performed procedure step.  PS3.4 F.7.2.2.4
MPPS_NO_LONGER_UPDATABLE_ERROR_ID: Final = 0xA710
"""An error ID (0000,0903), not a status; it is sent with `PROCESSING_FAILURE`."""

# Unified procedure step.  PS3.4 CC.2
UPS_CREATED_WITH_MODIFICATIONS: Final = 0xB300
UPS_DELETION_LOCK_NOT_GRANTED: Final = 0xB301
UPS_ALREADY_CANCELED: Final = 0xB304
UPS_VALUES_COERCED: Final = 0xB305
UPS_ALREADY_COMPLETED_WARNING: Final = 0xB306
UPS_NO_LONGER_UPDATABLE: Final = 0xC300
UPS_WRONG_TRANSACTION_UID: Final = 0xC301
UPS_ALREADY_IN_PROGRESS: Final = 0xC302
UPS_SCHEDULED_ONLY_BY_CREATE: Final = 0xC303
UPS_FINAL_STATE_REQUIREMENTS_NOT_MET: Final = 0xC304
UPS_NO_SUCH_INSTANCE: Final = 0xC307
UPS_RECEIVING_AE_UNKNOWN: Final = 0xC308
UPS_NOT_SCHEDULED: Final = 0xC309
UPS_NOT_IN_PROGRESS: Final = 0xC310
UPS_ALREADY_COMPLETED: Final = 0xC311
UPS_PERFORMER_CANNOT_BE_CONTACTED: Final = 0xC312
UPS_PERFORMER_DOES_NOT_CANCEL: Final = 0xC313
UPS_ACTION_NOT_APPROPRIATE: Final = 0xC314
UPS_EVENT_REPORTS_NOT_SUPPORTED: Final = 0xC315

# Print management.  PS3.4 H.4
PRINT_MEMORY_ALLOCATION_NOT_SUPPORTED: Final = 0xB600
PRINT_COLLATION_NOT_SUPPORTED: Final = 0xB601
PRINT_FILM_SESSION_EMPTY_PAGE: Final = 0xB602
PRINT_FILM_BOX_EMPTY_PAGE: Final = 0xB603
PRINT_IMAGE_DEMAGNIFIED: Final = 0xB604
PRINT_DENSITY_OUT_OF_RANGE: Final = 0xB605
PRINT_IMAGE_CROPPED: Final = 0xB609
PRINT_IMAGE_DECIMATED: Final = 0xB60A
PRINT_NO_FILM_BOX: Final = 0xC600
PRINT_FILM_SESSION_QUEUE_FULL: Final = 0xC601
PRINT_FILM_BOX_QUEUE_FULL: Final = 0xC602
PRINT_IMAGE_TOO_LARGE: Final = 0xC603
PRINT_INSUFFICIENT_MEMORY: Final = 0xC605
PRINT_COMBINED_IMAGE_TOO_LARGE: Final = 0xC613
PRINT_FILM_BOX_NOT_PRINTED: Final = 0xC616

# Media creation.  PS3.4 S.3.2
MEDIA_CREATION_ALREADY_INITIATED: Final = 0xA510
MEDIA_CREATION_ALREADY_COMPLETED: Final = 0xC201
MEDIA_CREATION_ALREADY_IN_PROGRESS: Final = 0xC202
MEDIA_CREATION_CANCELLATION_DENIED: Final = 0xC203

# Application event logging.  PS3.4 P.2.2.4, P.3
LOG_FRAME_OF_REFERENCE_MISMATCH: Final = 0xB101
LOG_STUDY_COERCED: Final = 0xB102
LOG_IDS_INCONSISTENT_LOGGED: Final = 0xB104
LOG_NOT_AVAILABLE: Final = 0xC101
LOG_TEMPLATE_MISMATCH: Final = 0xC102
LOG_NO_MATCHING_STUDY: Final = 0xC103
LOG_IDS_INCONSISTENT_NOT_LOGGED: Final = 0xC104
LOG_OPERATOR_NOT_AUTHORIZED: Final = 0xC10E
LOG_PATIENT_NOT_IDENTIFIED: Final = 0xC110
LOG_UPDATE_FAILED: Final = 0xC111

# RT machine verification.  PS3.4 DD.3.2
RT_VERIFICATION_NOT_FOUND: Final = 0xC112
RT_NO_SUCH_FRACTION_GROUP: Final = 0xC221
RT_NO_BEAMS_IN_FRACTION_GROUP: Final = 0xC222
RT_ALREADY_VERIFYING: Final = 0xC223
RT_NO_SUCH_BEAM: Final = 0xC224
RT_DEVICE_NOT_SUPPORTED: Final = 0xC225
RT_DEVICE_NOT_FOUND: Final = 0xC226
RT_PLAN_NOT_FOUND: Final = 0xC227

_WARNINGS: Final = frozenset((OPTIONAL_ATTRIBUTES_NOT_SUPPORTED, ATTRIBUTE_LIST_ERROR, ATTRIBUTE_VALUE_OUT_OF_RANGE))


def category(status: int) -> Category:
    """Returns the category of a status code (0000,0900).

    Success, pending, cancel and warning are closed lists plus the range Bxxx [PS3.7 annex C]. Every other code, listed
    or not, is a failure: an unknown code never counts as success.
    """
    if status == SUCCESS:
        return Category.SUCCESS
    if status in (PENDING, PENDING_WARNING):
        return Category.PENDING
    if status == CANCEL:
        return Category.CANCEL
    if status in _WARNINGS or 0xB000 <= status <= 0xBFFF:
        return Category.WARNING
    return Category.FAILURE


def meaning(status: int, service: Service | None = None) -> str:
    """Returns the text for `status` from the tables of `service` and PS3.7 annex C, empty if neither lists the code.

    Without a service, codes that annex C does not list are read as codes of C-STORE.

    >>> meaning(0xB000, Service.MOVE)
    'Sub-operations complete, one or more failures or warnings'
    >>> meaning(0xB000)
    'Coercion of data elements'
    """
    for mask, value, text in _MEANINGS[service or Service.STORAGE]:
        if status & mask == value:
            return text
    return ""


def describe(status: int, service: Service | None = None) -> str:
    """Returns one line for people: `0xA700 Refused: out of resources (failure)`.

    To find the service of a SOP class, use `service_classes.service_of`.

    >>> describe(0xC123)
    '0xC123 Error: cannot understand (failure)'
    >>> describe(0xC123, Service.FIND)
    '0xC123 Failed: unable to process (failure)'
    >>> describe(0xB123)
    '0xB123 (warning)'
    """
    text = meaning(status, service)
    return f"0x{status:04X} {text + ' ' if text else ''}({category(status).value})"


def _mask_value_text(row: Row) -> tuple[int, int, str]:
    """Returns `row` as mask, value and text; the mask has no bits where the code has an x."""
    mask = "".join("0" if digit == "x" else "F" for digit in row.code)
    return int(mask, 16), int(row.code.replace("x", "0"), 16), row.meaning


# The table of a service comes first: its text for a code may be more precise than that of annex C.
_MEANINGS: Final = {service: tuple(map(_mask_value_text, (*rows, *GENERAL))) for service, rows in TABLES.items()}
