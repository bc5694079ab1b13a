"""UIDs by name, names by UID, and what counts as a UID.

Knows: the constants the project refers to, lookup, and the grammar of PS3.5 9.1. Knows nothing of services or
of who may use which UID: that is negotiation. The registry itself is data, in `uid_names`.

Constants of DICOS follow its names for the objects (CT, DX, TDR, AIT 2D, AIT 3D, QR). A bare name is the
class for pixels of up to 16 bits; INT32, INT64 and FLOAT say how wider ones are stored.
"""

from typing import Final

from dicos_proto.uid_names import (
    APPLICATION_CONTEXT_NAMES,
    OTHER_NAMES,
    OTHER_TRANSFER_SYNTAX_NAMES,
    STORAGE_SOP_CLASS_NAMES,
    TRANSFER_SYNTAX_NAMES,
)

# Application contexts.  PS3.7 A.2.1; those of DICOS are the ones its toolkits propose and accept.
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

# SOP classes of DICOM.  PS3.4 A.4, B.5
VERIFICATION: Final = "1.2.840.10008.1.1"
MEDIA_STORAGE_DIRECTORY: Final = "1.2.840.10008.1.3.10"
COMPUTED_RADIOGRAPHY_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.1"
CT_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.2.1"
MR_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.4"
SECONDARY_CAPTURE_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.7"

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
"""Up to 16 characters; 010 is release 0.1.0."""

APPLICATION_CONTEXTS: Final[tuple[str, ...]] = tuple(APPLICATION_CONTEXT_NAMES)
"""Application context names known to be in use: DICOM's, then DICOS V03, V02A and its alternate."""

TRANSFER_SYNTAXES: Final[tuple[str, ...]] = tuple(TRANSFER_SYNTAX_NAMES)
"""Transfer syntaxes a data set can be sent in.

First those without pixel compression: explicit VR little endian, implicit VR little endian, DICOS extended,
explicit VR big endian (retired, still in archives), encapsulated uncompressed, deflated. Then the compressed
ones by UID components. Other retired ones and real-time video are left out.
"""

STORAGE_SOP_CLASSES: Final[tuple[str, ...]] = tuple(STORAGE_SOP_CLASS_NAMES)
"""Every SOP class for C-STORE, those of DICOS and retired ones included, by UID components.  PS3.4 B.5"""

NAMES: Final[dict[str, str]] = {
    **APPLICATION_CONTEXT_NAMES,
    **TRANSFER_SYNTAX_NAMES,
    **OTHER_TRANSFER_SYNTAX_NAMES,
    **STORAGE_SOP_CLASS_NAMES,
    **OTHER_NAMES,
}
"""Name by UID: application contexts, transfer syntaxes, SOP classes, well-known instances, services."""

MAX_LENGTH: Final = 64
"""Characters in a UID, dots included.  PS3.5 9.1"""


def name_of(uid: str) -> str:
    """The registered name of `uid`, or `uid` itself if it is not known here."""
    return NAMES.get(uid, uid)


def is_valid(uid: str) -> bool:
    """Whether `uid` obeys PS3.5 9.1: 1 to 64 characters, decimal components between dots, no leading zeros.

    The padding a UI value may carry on the wire (a trailing NUL) is no part of the UID.
    """
    return is_safe(uid) and all(component == "0" or component[0] != "0" for component in uid.split("."))


def is_safe(uid: str) -> bool:
    """Whether a file name can be built from `uid`: 1 to 64 characters, ASCII digits in non-empty components.

    Looser than `is_valid`: peers are known to send components with leading zeros. No string that passes
    contains a path separator, a NUL or two dots in a row.
    """
    # isdigit() alone also accepts the digits of other scripts.
    return len(uid) <= MAX_LENGTH and uid.isascii() and all(part.isdigit() for part in uid.split("."))
