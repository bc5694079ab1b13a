"""UIDs by name, names by UID, and the grammar of UIDs.

Knows: the constants of SOP classes, well-known instances and transfer syntaxes, lookup, and the grammar of PS3.5 9.1.
Must not know: which service a SOP class belongs to (`service_classes`), which UIDs a peer may use (`negotiation`). The
registry itself is data, in `uid_names`.

The constants of DICOS follow its names for the objects (CT, DX, TDR, AIT 2D, AIT 3D, QR). A name without a suffix is
the class for pixels of up to 16 bits; INT32, INT64 and FLOAT are for wider pixels.
"""

import re
from typing import Final

from .uid_names import (
    APPLICATION_CONTEXT_NAMES,
    OTHER_NAMES,
    OTHER_TRANSFER_SYNTAX_NAMES,
    STORAGE_SOP_CLASS_NAMES,
    TRANSFER_SYNTAX_NAMES,
)

# Application contexts.  PS3.7 A.2.1; those of DICOS are the ones that its toolkits propose and accept.
DICOM_APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"
DICOS_APPLICATION_CONTEXT_V03: Final = "1.2.840.10008.3.1.1.1.3"
DICOS_APPLICATION_CONTEXT_V02A: Final = "1.2.840.10008.3.1.1.1.211"
DICOS_APPLICATION_CONTEXT_V02A_ALTERNATE: Final = "1.2.840.10008.3.1.1.1.2"

# Transfer syntaxes.  PS3.5 section 10 and annex A
IMPLICIT_VR_LE: Final = "1.2.840.10008.1.2"
EXPLICIT_VR_LE: Final = "1.2.840.10008.1.2.1"
DICOS_EXPLICIT_VR_LE_EXTENDED: Final = "1.2.840.10008.1.2.1.64"
ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LE: Final = "1.2.840.10008.1.2.1.98"
DEFLATED_EXPLICIT_VR_LE: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BE: Final = "1.2.840.10008.1.2.2"
JPEG_BASELINE: Final = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED: Final = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS: Final = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_SV1: Final = "1.2.840.10008.1.2.4.70"
JPEG_LS_LOSSLESS: Final = "1.2.840.10008.1.2.4.80"
JPEG_LS_NEAR_LOSSLESS: Final = "1.2.840.10008.1.2.4.81"
JPEG_2000_LOSSLESS: Final = "1.2.840.10008.1.2.4.90"
JPEG_2000: Final = "1.2.840.10008.1.2.4.91"
HTJ2K_LOSSLESS: Final = "1.2.840.10008.1.2.4.201"
HTJ2K_LOSSLESS_RPCL: Final = "1.2.840.10008.1.2.4.202"
HTJ2K: Final = "1.2.840.10008.1.2.4.203"
RLE_LOSSLESS: Final = "1.2.840.10008.1.2.5"

# Verification, and the storage SOP classes of DICOM most often named.  PS3.4 A.4, B.5
VERIFICATION: Final = "1.2.840.10008.1.1"
MEDIA_STORAGE_DIRECTORY: Final = "1.2.840.10008.1.3.10"
COMPUTED_RADIOGRAPHY_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.1"
CT_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.2.1"
MR_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.4"
SECONDARY_CAPTURE_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.7"

# Service classes, as common extended negotiation names them.  PS3.7 D.3.3.6, PS3.6 table A-3
STORAGE: Final = "1.2.840.10008.4.2"

# Query/retrieve of composite instances.  PS3.4 C.6, Y.5, Z.5; patient/study only is retired.
PATIENT_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.1.1"
PATIENT_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.1.2"
PATIENT_ROOT_GET: Final = "1.2.840.10008.5.1.4.1.2.1.3"
STUDY_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET: Final = "1.2.840.10008.5.1.4.1.2.2.3"
PATIENT_STUDY_ONLY_FIND: Final = "1.2.840.10008.5.1.4.1.2.3.1"
PATIENT_STUDY_ONLY_MOVE: Final = "1.2.840.10008.5.1.4.1.2.3.2"
PATIENT_STUDY_ONLY_GET: Final = "1.2.840.10008.5.1.4.1.2.3.3"
COMPOSITE_INSTANCE_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.4.2"
COMPOSITE_INSTANCE_ROOT_GET: Final = "1.2.840.10008.5.1.4.1.2.4.3"
COMPOSITE_INSTANCE_WITHOUT_BULK_DATA_GET: Final = "1.2.840.10008.5.1.4.1.2.5.3"
REPOSITORY_QUERY: Final = "1.2.840.10008.5.1.4.1.1.201.6"

# Query/retrieve of other objects.  PS3.4 U (hanging protocols), X (color palettes), BB (implant templates),
# HH (defined procedure protocols), II (protocol approvals), JJ (inventories)
HANGING_PROTOCOL_FIND: Final = "1.2.840.10008.5.1.4.38.2"
HANGING_PROTOCOL_MOVE: Final = "1.2.840.10008.5.1.4.38.3"
HANGING_PROTOCOL_GET: Final = "1.2.840.10008.5.1.4.38.4"
COLOR_PALETTE_FIND: Final = "1.2.840.10008.5.1.4.39.2"
COLOR_PALETTE_MOVE: Final = "1.2.840.10008.5.1.4.39.3"
COLOR_PALETTE_GET: Final = "1.2.840.10008.5.1.4.39.4"
GENERIC_IMPLANT_TEMPLATE_FIND: Final = "1.2.840.10008.5.1.4.43.2"
GENERIC_IMPLANT_TEMPLATE_MOVE: Final = "1.2.840.10008.5.1.4.43.3"
GENERIC_IMPLANT_TEMPLATE_GET: Final = "1.2.840.10008.5.1.4.43.4"
IMPLANT_ASSEMBLY_TEMPLATE_FIND: Final = "1.2.840.10008.5.1.4.44.2"
IMPLANT_ASSEMBLY_TEMPLATE_MOVE: Final = "1.2.840.10008.5.1.4.44.3"
IMPLANT_ASSEMBLY_TEMPLATE_GET: Final = "1.2.840.10008.5.1.4.44.4"
IMPLANT_TEMPLATE_GROUP_FIND: Final = "1.2.840.10008.5.1.4.45.2"
IMPLANT_TEMPLATE_GROUP_MOVE: Final = "1.2.840.10008.5.1.4.45.3"
IMPLANT_TEMPLATE_GROUP_GET: Final = "1.2.840.10008.5.1.4.45.4"
DEFINED_PROCEDURE_PROTOCOL_FIND: Final = "1.2.840.10008.5.1.4.20.1"
DEFINED_PROCEDURE_PROTOCOL_MOVE: Final = "1.2.840.10008.5.1.4.20.2"
DEFINED_PROCEDURE_PROTOCOL_GET: Final = "1.2.840.10008.5.1.4.20.3"
PROTOCOL_APPROVAL_FIND: Final = "1.2.840.10008.5.1.4.1.1.200.4"
PROTOCOL_APPROVAL_MOVE: Final = "1.2.840.10008.5.1.4.1.1.200.5"
PROTOCOL_APPROVAL_GET: Final = "1.2.840.10008.5.1.4.1.1.200.6"
INVENTORY_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.201.1"
INVENTORY_FIND: Final = "1.2.840.10008.5.1.4.1.1.201.2"
INVENTORY_MOVE: Final = "1.2.840.10008.5.1.4.1.1.201.3"
INVENTORY_GET: Final = "1.2.840.10008.5.1.4.1.1.201.4"

# Worklists and queries for facts.  PS3.4 K (modality worklist), Q (relevant patient information),
# V (substance administration); general purpose worklists (M, N, O) are retired.
MODALITY_WORKLIST_FIND: Final = "1.2.840.10008.5.1.4.31"
GENERAL_PURPOSE_WORKLIST_META: Final = "1.2.840.10008.5.1.4.32"
GENERAL_PURPOSE_WORKLIST_FIND: Final = "1.2.840.10008.5.1.4.32.1"
GENERAL_PURPOSE_SCHEDULED_PROCEDURE_STEP: Final = "1.2.840.10008.5.1.4.32.2"
GENERAL_PURPOSE_PERFORMED_PROCEDURE_STEP: Final = "1.2.840.10008.5.1.4.32.3"
GENERAL_RELEVANT_PATIENT_INFORMATION_QUERY: Final = "1.2.840.10008.5.1.4.37.1"
BREAST_IMAGING_RELEVANT_PATIENT_INFORMATION_QUERY: Final = "1.2.840.10008.5.1.4.37.2"
CARDIAC_RELEVANT_PATIENT_INFORMATION_QUERY: Final = "1.2.840.10008.5.1.4.37.3"
PRODUCT_CHARACTERISTICS_QUERY: Final = "1.2.840.10008.5.1.4.41"
SUBSTANCE_APPROVAL_QUERY: Final = "1.2.840.10008.5.1.4.42"

# Storage commitment and management.  PS3.4 J.3, KK; an instance is the well-known instance of its class.
STORAGE_COMMITMENT_PUSH_MODEL: Final = "1.2.840.10008.1.20.1"
STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
INVENTORY_CREATION: Final = "1.2.840.10008.5.1.4.1.1.201.5"
STORAGE_MANAGEMENT_INSTANCE: Final = "1.2.840.10008.5.1.4.1.1.201.1.1"

# Procedure steps.  PS3.4 F.7 to F.9 (modality performed), CC.3 (unified), R (instance availability)
MODALITY_PERFORMED_PROCEDURE_STEP: Final = "1.2.840.10008.3.1.2.3.3"
MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE: Final = "1.2.840.10008.3.1.2.3.4"
MODALITY_PERFORMED_PROCEDURE_STEP_NOTIFICATION: Final = "1.2.840.10008.3.1.2.3.5"
UPS_PUSH: Final = "1.2.840.10008.5.1.4.34.6.1"
UPS_WATCH: Final = "1.2.840.10008.5.1.4.34.6.2"
UPS_PULL: Final = "1.2.840.10008.5.1.4.34.6.3"
UPS_EVENT: Final = "1.2.840.10008.5.1.4.34.6.4"
UPS_QUERY: Final = "1.2.840.10008.5.1.4.34.6.5"
UPS_GLOBAL_SUBSCRIPTION_INSTANCE: Final = "1.2.840.10008.5.1.4.34.5"
UPS_FILTERED_GLOBAL_SUBSCRIPTION_INSTANCE: Final = "1.2.840.10008.5.1.4.34.5.1"
INSTANCE_AVAILABILITY_NOTIFICATION: Final = "1.2.840.10008.5.1.4.33"

# Print and media.  PS3.4 H.3.2 (meta classes), H.4, S; the VOI LUT box is retired.
BASIC_FILM_SESSION: Final = "1.2.840.10008.5.1.1.1"
BASIC_FILM_BOX: Final = "1.2.840.10008.5.1.1.2"
BASIC_GRAYSCALE_IMAGE_BOX: Final = "1.2.840.10008.5.1.1.4"
BASIC_COLOR_IMAGE_BOX: Final = "1.2.840.10008.5.1.1.4.1"
BASIC_GRAYSCALE_PRINT_MANAGEMENT_META: Final = "1.2.840.10008.5.1.1.9"
BASIC_COLOR_PRINT_MANAGEMENT_META: Final = "1.2.840.10008.5.1.1.18"
PRINT_JOB: Final = "1.2.840.10008.5.1.1.14"
BASIC_ANNOTATION_BOX: Final = "1.2.840.10008.5.1.1.15"
PRINTER: Final = "1.2.840.10008.5.1.1.16"
PRINTER_INSTANCE: Final = "1.2.840.10008.5.1.1.17"
PRINTER_CONFIGURATION_RETRIEVAL: Final = "1.2.840.10008.5.1.1.16.376"
PRINTER_CONFIGURATION_RETRIEVAL_INSTANCE: Final = "1.2.840.10008.5.1.1.17.376"
VOI_LUT_BOX: Final = "1.2.840.10008.5.1.1.22"
PRESENTATION_LUT: Final = "1.2.840.10008.5.1.1.23"
MEDIA_CREATION_MANAGEMENT: Final = "1.2.840.10008.5.1.1.33"

# Event logging, machine verification, display systems.  PS3.4 P, DD, EE
PROCEDURAL_EVENT_LOGGING: Final = "1.2.840.10008.1.40"
PROCEDURAL_EVENT_LOGGING_INSTANCE: Final = "1.2.840.10008.1.40.1"
SUBSTANCE_ADMINISTRATION_LOGGING: Final = "1.2.840.10008.1.42"
SUBSTANCE_ADMINISTRATION_LOGGING_INSTANCE: Final = "1.2.840.10008.1.42.1"
RT_CONVENTIONAL_MACHINE_VERIFICATION: Final = "1.2.840.10008.5.1.4.34.8"
RT_ION_MACHINE_VERIFICATION: Final = "1.2.840.10008.5.1.4.34.9"
DISPLAY_SYSTEM: Final = "1.2.840.10008.5.1.1.40"
DISPLAY_SYSTEM_INSTANCE: Final = "1.2.840.10008.5.1.1.40.1"

# Storage SOP classes of DICOS.
DICOS_CT: Final = "1.2.840.10008.5.1.4.1.1.501.1"
DICOS_CT_INT32: Final = "1.2.840.10008.5.1.4.1.1.501.1.1"
DICOS_CT_INT64: Final = "1.2.840.10008.5.1.4.1.1.501.1.2"
DICOS_CT_FLOAT: Final = "1.2.840.10008.5.1.4.1.1.501.1.3"
DICOS_CT_RAW: Final = "1.2.840.10008.5.1.4.1.1.501.7.1"
DICOS_CT_RAW_INT32: Final = "1.2.840.10008.5.1.4.1.1.501.7.2"
DICOS_CT_RAW_INT64: Final = "1.2.840.10008.5.1.4.1.1.501.7.3"
DICOS_CT_RAW_FLOAT: Final = "1.2.840.10008.5.1.4.1.1.501.7.4"
DICOS_CT_CORRECTED: Final = "1.2.840.10008.5.1.4.1.1.501.8.1"
DICOS_CT_CORRECTED_INT32: Final = "1.2.840.10008.5.1.4.1.1.501.8.2"
DICOS_CT_CORRECTED_INT64: Final = "1.2.840.10008.5.1.4.1.1.501.8.3"
DICOS_CT_CORRECTED_FLOAT: Final = "1.2.840.10008.5.1.4.1.1.501.8.4"
DICOS_DX_FOR_PRESENTATION: Final = "1.2.840.10008.5.1.4.1.1.501.2.1"
DICOS_DX_FOR_PRESENTATION_INT32: Final = "1.2.840.10008.5.1.4.1.1.501.2.1.1"
DICOS_DX_FOR_PRESENTATION_INT64: Final = "1.2.840.10008.5.1.4.1.1.501.2.1.2"
DICOS_DX_FOR_PRESENTATION_FLOAT: Final = "1.2.840.10008.5.1.4.1.1.501.2.1.3"
DICOS_DX_FOR_PROCESSING: Final = "1.2.840.10008.5.1.4.1.1.501.2.2"
DICOS_DX_FOR_PROCESSING_INT32: Final = "1.2.840.10008.5.1.4.1.1.501.2.2.1"
DICOS_DX_FOR_PROCESSING_INT64: Final = "1.2.840.10008.5.1.4.1.1.501.2.2.2"
DICOS_DX_FOR_PROCESSING_FLOAT: Final = "1.2.840.10008.5.1.4.1.1.501.2.2.3"
DICOS_TDR: Final = "1.2.840.10008.5.1.4.1.1.501.3"
DICOS_AIT2D: Final = "1.2.840.10008.5.1.4.1.1.501.4"
DICOS_AIT2D_INT32: Final = "1.2.840.10008.5.1.4.1.1.501.4.1"
DICOS_AIT2D_INT64: Final = "1.2.840.10008.5.1.4.1.1.501.4.2"
DICOS_AIT2D_FLOAT: Final = "1.2.840.10008.5.1.4.1.1.501.4.3"
DICOS_AIT2D_RAW: Final = "1.2.840.10008.5.1.4.1.1.501.9.1"
DICOS_AIT2D_RAW_INT32: Final = "1.2.840.10008.5.1.4.1.1.501.9.2"
DICOS_AIT2D_RAW_FLOAT: Final = "1.2.840.10008.5.1.4.1.1.501.9.3"
DICOS_AIT3D: Final = "1.2.840.10008.5.1.4.1.1.501.5"
DICOS_AIT3D_INT32: Final = "1.2.840.10008.5.1.4.1.1.501.5.1"
DICOS_AIT3D_INT64: Final = "1.2.840.10008.5.1.4.1.1.501.5.2"
DICOS_AIT3D_FLOAT: Final = "1.2.840.10008.5.1.4.1.1.501.5.3"
DICOS_AIT3D_RAW: Final = "1.2.840.10008.5.1.4.1.1.501.10.1"
DICOS_AIT3D_RAW_INT32: Final = "1.2.840.10008.5.1.4.1.1.501.10.2"
DICOS_AIT3D_RAW_FLOAT: Final = "1.2.840.10008.5.1.4.1.1.501.10.3"
DICOS_QR: Final = "1.2.840.10008.5.1.4.1.1.501.6"

# This implementation, as announced at association.  PS3.7 D.3.3.2; the root for UUIDs is PS3.5 B.2
IMPLEMENTATION_CLASS_UID: Final = "2.25.49718628598822305046742830552675960300"
"""The UUID 256775a5-ce16-5078-8fa7-e983eb26c5ec, which is version 5 of the DNS name `dicos-proto`."""
IMPLEMENTATION_VERSION_NAME: Final = "DICOS_PROTO_010"
"""At most 16 characters; 010 is release 0.1.0."""

APPLICATION_CONTEXTS: Final[tuple[str, ...]] = tuple(APPLICATION_CONTEXT_NAMES)
"""Application context names that are known to be in use: DICOM, DICOS V03, V02A and the alternate of V02A."""

TRANSFER_SYNTAXES: Final[tuple[str, ...]] = tuple(TRANSFER_SYNTAX_NAMES)
"""Transfer syntaxes in which a data set can be sent.

First those without pixel compression: explicit VR little endian, implicit VR little endian, DICOS extended,
explicit VR big endian (retired, still in archives), encapsulated uncompressed, deflated. Then the compressed
ones by UID components. Other retired ones and real-time video are left out.
"""

STORAGE_SOP_CLASSES: Final[tuple[str, ...]] = tuple(STORAGE_SOP_CLASS_NAMES)
"""Every SOP class for C-STORE, including those of DICOS and retired ones, sorted by UID components [PS3.4 B.5]."""

QUERY_SOP_CLASSES: Final[tuple[str, ...]] = (
    PROTOCOL_APPROVAL_FIND,
    INVENTORY_FIND,
    REPOSITORY_QUERY,
    PATIENT_ROOT_FIND,
    STUDY_ROOT_FIND,
    PATIENT_STUDY_ONLY_FIND,
    DEFINED_PROCEDURE_PROTOCOL_FIND,
    MODALITY_WORKLIST_FIND,
    GENERAL_PURPOSE_WORKLIST_FIND,
    GENERAL_RELEVANT_PATIENT_INFORMATION_QUERY,
    BREAST_IMAGING_RELEVANT_PATIENT_INFORMATION_QUERY,
    CARDIAC_RELEVANT_PATIENT_INFORMATION_QUERY,
    HANGING_PROTOCOL_FIND,
    COLOR_PALETTE_FIND,
    PRODUCT_CHARACTERISTICS_QUERY,
    SUBSTANCE_APPROVAL_QUERY,
    GENERIC_IMPLANT_TEMPLATE_FIND,
    IMPLANT_ASSEMBLY_TEMPLATE_FIND,
    IMPLANT_TEMPLATE_GROUP_FIND,
)
"""Every SOP class whose only operation is C-FIND, including worklists and retired ones, sorted by UID components.

Unified procedure steps can be found, too, but their SOP classes have other operations as well [PS3.4 CC.2].
"""

RETRIEVE_MOVE_SOP_CLASSES: Final[tuple[str, ...]] = (
    PROTOCOL_APPROVAL_MOVE,
    INVENTORY_MOVE,
    PATIENT_ROOT_MOVE,
    STUDY_ROOT_MOVE,
    PATIENT_STUDY_ONLY_MOVE,
    COMPOSITE_INSTANCE_ROOT_MOVE,
    DEFINED_PROCEDURE_PROTOCOL_MOVE,
    HANGING_PROTOCOL_MOVE,
    COLOR_PALETTE_MOVE,
    GENERIC_IMPLANT_TEMPLATE_MOVE,
    IMPLANT_ASSEMBLY_TEMPLATE_MOVE,
    IMPLANT_TEMPLATE_GROUP_MOVE,
)
"""Every SOP class for C-MOVE, including retired ones, sorted by UID components."""

RETRIEVE_GET_SOP_CLASSES: Final[tuple[str, ...]] = (
    PROTOCOL_APPROVAL_GET,
    INVENTORY_GET,
    PATIENT_ROOT_GET,
    STUDY_ROOT_GET,
    PATIENT_STUDY_ONLY_GET,
    COMPOSITE_INSTANCE_ROOT_GET,
    COMPOSITE_INSTANCE_WITHOUT_BULK_DATA_GET,
    DEFINED_PROCEDURE_PROTOCOL_GET,
    HANGING_PROTOCOL_GET,
    COLOR_PALETTE_GET,
    GENERIC_IMPLANT_TEMPLATE_GET,
    IMPLANT_ASSEMBLY_TEMPLATE_GET,
    IMPLANT_TEMPLATE_GROUP_GET,
)
"""Every SOP class for C-GET, including retired ones, sorted by UID components."""

NAMES: Final[dict[str, str]] = {
    **APPLICATION_CONTEXT_NAMES,
    **TRANSFER_SYNTAX_NAMES,
    **OTHER_TRANSFER_SYNTAX_NAMES,
    **STORAGE_SOP_CLASS_NAMES,
    **OTHER_NAMES,
}
"""UID -> name, for application contexts, transfer syntaxes, SOP classes, well-known instances, service classes."""

_ONE_EACH: Final[dict[str, str]] = {uid: uid for uid in NAMES}

MAX_LENGTH: Final = 64
"""The most characters in a UID, including dots [PS3.5 9.1]."""


def name_of(uid: str) -> str:
    """Returns the registered name of `uid`, or `uid` itself if it is unknown."""
    return NAMES.get(uid, uid)


def shared(uid: str) -> str:
    """Returns `uid`; equal known UIDs become the same string object, because thousands of associations repeat them."""
    return _ONE_EACH.get(uid, uid)


def is_valid(uid: str) -> bool:
    """Returns True if `uid` is valid: 1 to 64 characters, decimal components, no leading zeros [PS3.5 9.1].

    The padding of a UI value on the wire (a trailing NUL) is not part of the UID.
    """
    if uid in NAMES:
        return True
    return is_safe(uid) and all(component == "0" or component[0] != "0" for component in uid.split("."))


def has_valid_root(uid: str) -> bool:
    """Returns True if the first arcs of `uid`, for which `is_safe` is True, are valid [PS3.5 9.1, ISO/IEC 9834-1].

    The first arc is 0, 1 or 2; after 0 or 1, the second is at most 39.
    """
    first, second, *_ = (part.lstrip("0") for part in f"{uid}.0".split("."))
    return first == "2" or (first in ("", "1") and (len(second) < 2 or (len(second) == 2 and second < "40")))


def read(raw: bytes) -> tuple[str, tuple[str, ...] | None]:
    """Returns the UID in these bytes, and the rules of PS3.5 9.1 that it breaks, as names of flags of `Tolerance`.

    The rules are None if it is not a UID: it has other characters or empty components. The length is not checked.
    """
    if _GOOD.fullmatch(raw):  # fast path: nearly all UIDs are valid, and each object has a new one
        return raw.decode("ascii"), ()
    text = raw.decode("latin-1")
    uid = text.rstrip("\0 ")
    if not is_dotted(uid):
        return uid, None
    broken = [] if uid == text else ["uid_padded"]
    if any(len(part) > 1 and part[0] == "0" for part in uid.split(".")):
        broken.append("uid_leading_zeros")
    if not has_valid_root(uid):
        broken.append("uid_invalid_root")
    return uid, tuple(broken)


_REST = rb"(?:\.(?:0|[1-9][0-9]*+))*+"  # possessive: no backtracking for an invalid UID
_GOOD = re.compile(rb"2" + _REST + rb"|[01](?:\.[1-3]?[0-9]" + _REST + rb")?")
"""A UID that breaks no rule, except perhaps that of length."""
GOOD_VALUE: Final = re.compile(b"(" + _GOOD.pattern + rb")\0?")
"""Such a UID as a value of VR UI, with the padding; the UID is the first group [PS3.5 6.2]."""

BROKEN: Final = {
    "uid_padded": "is padded",
    "uid_leading_zeros": "has a component that begins with 0",
    "uid_invalid_root": "begins with invalid arcs",
}
"""The rules that `read` checks -> the fault in words."""


def is_dotted(uid: str) -> bool:
    """Returns True if `uid` consists of non-empty components of ASCII digits. The length is not checked."""
    # isdigit() alone would also accept the digits of other scripts.
    return uid.isascii() and all(part.isdigit() for part in uid.split("."))


def is_safe(uid: str) -> bool:
    """Returns True if `uid` is safe in a file name: 1 to 64 characters, non-empty components of ASCII digits.

    This is less strict than `is_valid`, because some peers send components with leading zeros. A safe `uid` contains no
    path separator, no NUL and no two dots in a row.
    """
    return len(uid) <= MAX_LENGTH and is_dotted(uid)
