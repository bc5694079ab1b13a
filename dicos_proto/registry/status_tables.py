"""The status codes of PS3.7 annex C and of every service of PS3.4, as tables: data only.

A row is a row of a table of the standard: the code as printed (`A7xx`: an x is any digit, chosen by the peer), the
category, the meaning, the clauses that print it. A code that several operations have with the same meaning has one row
with all their clauses. `status` looks codes up and has constants for them.

The table of a service does not repeat the codes of annex C, unless PS3.4 gives them another meaning. The texts are
those of the standard, shortened.
"""

from enum import Enum
from typing import Final, NamedTuple

from .service_classes import Service


class Category(Enum):
    """The category of a status code; the value is the word shown to people [PS3.7 annex C]."""

    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"
    CANCEL = "cancel"
    PENDING = "pending"


class Row(NamedTuple):
    """A code or range of codes of one service: `Row("A7xx", FAILURE, "Refused: out of resources", "PS3.4 B.2.3")`."""

    code: str
    category: Category
    meaning: str
    clause: str


SUCCESS: Final = Category.SUCCESS
WARNING: Final = Category.WARNING
FAILURE: Final = Category.FAILURE
CANCEL: Final = Category.CANCEL
PENDING: Final = Category.PENDING

# fmt: off
GENERAL: Final = (
    Row("0000", SUCCESS, "Success", "PS3.7 C.1"),
    Row("FF00", PENDING, "Pending", "PS3.7 C.2"),
    Row("FF01", PENDING, "Pending: optional keys not supported", "PS3.7 C.2"),
    Row("FE00", CANCEL, "Cancelled", "PS3.7 C.3"),
    # C.4 lists this code; PS3.4 defines its meaning, for N-GET.
    Row("0001", WARNING, "Requested optional attributes are not supported", "PS3.7 C.4"),
    Row("0107", WARNING, "Attribute list error", "PS3.7 C.4"),
    Row("0116", WARNING, "Attribute value out of range", "PS3.7 C.4"),
    Row("0105", FAILURE, "No such attribute", "PS3.7 C.5"),
    Row("0106", FAILURE, "Invalid attribute value", "PS3.7 C.5"),
    Row("0110", FAILURE, "Processing failure", "PS3.7 C.5"),
    Row("0111", FAILURE, "Duplicate SOP instance", "PS3.7 C.5"),
    Row("0112", FAILURE, "No such SOP instance", "PS3.7 C.5"),
    Row("0113", FAILURE, "No such event type", "PS3.7 C.5"),
    Row("0114", FAILURE, "No such argument", "PS3.7 C.5"),
    Row("0115", FAILURE, "Invalid argument value", "PS3.7 C.5"),
    Row("0117", FAILURE, "Invalid SOP instance", "PS3.7 C.5"),
    Row("0118", FAILURE, "No such SOP class", "PS3.7 C.5"),
    Row("0119", FAILURE, "Class-instance conflict", "PS3.7 C.5"),
    Row("0120", FAILURE, "Missing attribute", "PS3.7 C.5"),
    Row("0121", FAILURE, "Missing attribute value", "PS3.7 C.5"),
    Row("0122", FAILURE, "Refused: SOP class not supported", "PS3.7 C.5"),
    Row("0123", FAILURE, "No such action type", "PS3.7 C.5"),
    Row("0124", FAILURE, "Refused: not authorized", "PS3.7 C.5"),
    Row("0210", FAILURE, "Duplicate invocation", "PS3.7 C.5"),
    Row("0211", FAILURE, "Unrecognized operation", "PS3.7 C.5"),
    Row("0212", FAILURE, "Mistyped argument", "PS3.7 C.5"),
    Row("0213", FAILURE, "Resource limitation", "PS3.7 C.5"),
)

_STORAGE: Final = (
    Row("A7xx", FAILURE, "Refused: out of resources", "PS3.4 B.2.3"),
    Row("A9xx", FAILURE, "Error: data set does not match SOP class", "PS3.4 B.2.3"),
    Row("Cxxx", FAILURE, "Error: cannot understand", "PS3.4 B.2.3"),
    Row("B000", WARNING, "Coercion of data elements", "PS3.4 B.2.3"),
    Row("B007", WARNING, "Data set does not match SOP class", "PS3.4 B.2.3"),
    Row("B006", WARNING, "Elements discarded", "PS3.4 B.2.3"),
)

_FIND: Final = (
    Row("A700", FAILURE, "Refused: out of resources", "PS3.4 C.4.1.1.4"),
    Row("A900", FAILURE, "Error: identifier does not match SOP class", "PS3.4 C.4.1.1.4"),
    Row("Cxxx", FAILURE, "Failed: unable to process", "PS3.4 C.4.1.1.4"),
    Row("FE00", CANCEL, "Matching terminated due to cancel request", "PS3.4 C.4.1.1.4"),
    Row("0000", SUCCESS, "Matching is complete", "PS3.4 C.4.1.1.4"),
    Row("FF00", PENDING, "Matches are continuing", "PS3.4 C.4.1.1.4"),
    Row("FF01", PENDING, "Matches are continuing, optional keys not supported", "PS3.4 C.4.1.1.4"),
)

_REPOSITORY_QUERY: Final = (
    Row("A710", FAILURE, "Invalid prior record key", "PS3.4 C.6.4.5.3"),
    Row("B001", WARNING, "Matching reached response limit, a subsequent request may return more", "PS3.4 C.6.4"),
    *_FIND,  # PS3.4 C.6.4 queries by C.4.1
)

_MOVE: Final = (
    Row("A701", FAILURE, "Refused: out of resources, unable to calculate number of matches", "PS3.4 C.4.2.1.5"),
    Row("A702", FAILURE, "Refused: out of resources, unable to perform sub-operations", "PS3.4 C.4.2.1.5"),
    Row("A801", FAILURE, "Refused: move destination unknown", "PS3.4 C.4.2.1.5"),
    Row("A900", FAILURE, "Error: identifier does not match SOP class", "PS3.4 C.4.2.1.5"),
    Row("Cxxx", FAILURE, "Failed: unable to process", "PS3.4 C.4.2.1.5"),
    Row("FE00", CANCEL, "Sub-operations terminated due to cancel request", "PS3.4 C.4.2.1.5"),
    Row("B000", WARNING, "Sub-operations complete, one or more failures or warnings", "PS3.4 C.4.2.1.5"),
    Row("0000", SUCCESS, "Sub-operations complete, no failures or warnings", "PS3.4 C.4.2.1.5"),
    Row("FF00", PENDING, "Sub-operations are continuing", "PS3.4 C.4.2.1.5"),
)

_GET: Final = (
    Row("A701", FAILURE, "Refused: out of resources, unable to calculate number of matches", "PS3.4 C.4.3.1.4"),
    Row("A702", FAILURE, "Refused: out of resources, unable to perform sub-operations", "PS3.4 C.4.3.1.4"),
    Row("A900", FAILURE, "Error: identifier does not match SOP class", "PS3.4 C.4.3.1.4"),
    Row("Cxxx", FAILURE, "Failed: unable to process", "PS3.4 C.4.3.1.4"),
    Row("FE00", CANCEL, "Sub-operations terminated due to cancel request", "PS3.4 C.4.3.1.4"),
    Row("B000", WARNING, "Sub-operations complete, one or more failures or warnings", "PS3.4 C.4.3.1.4"),
    Row("0000", SUCCESS, "Sub-operations complete, no failures or warnings", "PS3.4 C.4.3.1.4"),
    Row("FF00", PENDING, "Sub-operations are continuing", "PS3.4 C.4.3.1.4"),
)

_FRAMES: Final = (
    Row("AA00", FAILURE, "None of the frames requested were found in the SOP instance", "PS3.4 Y.4.1.1.4, Y.4.2.1.4"),
    Row("AA01", FAILURE, "Unable to create new object for this SOP class", "PS3.4 Y.4.1.1.4, Y.4.2.1.4"),
    Row("AA02", FAILURE, "Unable to extract frames", "PS3.4 Y.4.1.1.4, Y.4.2.1.4"),
    Row("AA03", FAILURE, "Time-based request for a non-time-based SOP instance", "PS3.4 Y.4.1.1.4, Y.4.2.1.4"),
    Row("AA04", FAILURE, "Invalid request", "PS3.4 Y.4.1.1.4, Y.4.2.1.4"),
)

# PS3.4 F.7.2.2.4 distinguishes failures of N-SET by error ID (0000,0903), not by status.
_PROCEDURE_STEP: Final = (
    Row("0110", FAILURE, "Processing failure", "PS3.4 F.7.2.2.4"),
    Row("0001", WARNING, "Requested optional attributes are not supported", "PS3.4 F.8.2"),
)

_PRINT: Final = (
    Row("B600", WARNING, "Memory allocation not supported", "PS3.4 H.4.1.2.1.2"),
    Row("B601", WARNING, "Film session printing (collation) is not supported", "PS3.4 H.4.1.2.4.2"),
    Row("B602", WARNING, "Film session does not contain image boxes (empty page)", "PS3.4 H.4.1.2.4.2"),
    Row("B603", WARNING, "Film box does not contain image boxes (empty page)", "PS3.4 H.4.2.2.4.2"),
    Row("B604", WARNING, "Image larger than image box, demagnified", "PS3.4 H.4.1.2.4.2, H.4.2.2.4.2, H.4.3.1.2.1.2"),
    Row("B605", WARNING, "Requested minimum or maximum density outside of printer's operating range",
        "PS3.4 H.4.2.2.1.2, H.4.3.1.2.1.2, H.4.9.2.1.2"),
    Row("B609", WARNING, "Image larger than image box, cropped to fit",
        "PS3.4 H.4.1.2.4.2, H.4.2.2.4.2, H.4.3.1.2.1.2"),
    Row("B60A", WARNING, "Image or combined print image larger than image box, decimated to fit",
        "PS3.4 H.4.1.2.4.2, H.4.2.2.4.2, H.4.3.1.2.1.2"),
    Row("C600", FAILURE, "Film session does not contain film boxes", "PS3.4 H.4.1.2.4.2"),
    Row("C601", FAILURE, "Unable to create print job for film session, print queue is full", "PS3.4 H.4.1.2.4.2"),
    Row("C602", FAILURE, "Unable to create print job for film box, print queue is full", "PS3.4 H.4.2.2.4.2"),
    Row("C603", FAILURE, "Image larger than image box", "PS3.4 H.4.1.2.4.2, H.4.2.2.4.2, H.4.3.1.2.1.2"),
    Row("C604", FAILURE, "Image position collision (retired)", "PS3.4-1998 H.4.1, H.4.2"),
    Row("C605", FAILURE, "Insufficient memory in printer to store the image", "PS3.4 H.4.3.1.2.1.2"),
    Row("C606", FAILURE, "Image contains more than one VOI LUT (retired)", "PS3.4-1998 H.4.3"),
    Row("C613", FAILURE, "Combined print image larger than image box", "PS3.4 H.4.1.2.4.2, H.4.2.2.4.2, H.4.3.1.2.1.2"),
    Row("C616", FAILURE, "An existing film box has not been printed, and the film session cannot be",
        "PS3.4 H.4.2.2.1.2"),
)

# N-ACTION has no codes of its own; these are the failure reasons (0008,1197) of the report: annex C's and one more.
_STORAGE_COMMITMENT: Final = (
    Row("0110", FAILURE, "Processing failure", "PS3.3 C.14.1.1"),
    Row("0112", FAILURE, "No such SOP instance", "PS3.3 C.14.1.1"),
    Row("0213", FAILURE, "Resource limitation", "PS3.3 C.14.1.1"),
    Row("0122", FAILURE, "Referenced SOP class not supported", "PS3.3 C.14.1.1"),
    Row("0119", FAILURE, "Class-instance conflict", "PS3.3 C.14.1.1"),
    Row("0131", FAILURE, "Duplicate transaction UID", "PS3.3 C.14.1.1"),
)

_WORKLIST: Final = (
    Row("A700", FAILURE, "Refused: out of resources", "PS3.4 K.4.1.1.4"),
    Row("A900", FAILURE, "Error: identifier does not match SOP class", "PS3.4 K.4.1.1.4"),
    Row("Cxxx", FAILURE, "Failed: unable to process", "PS3.4 K.4.1.1.4"),
    Row("FE00", CANCEL, "Matching terminated due to cancel request", "PS3.4 K.4.1.1.4"),
    Row("0000", SUCCESS, "Matching is complete", "PS3.4 K.4.1.1.4"),
    Row("FF00", PENDING, "Matches are continuing", "PS3.4 K.4.1.1.4"),
    Row("FF01", PENDING, "Matches are continuing, optional keys not supported", "PS3.4 K.4.1.1.4"),
)

_GENERAL_PURPOSE_PROCEDURE_STEP: Final = (
    Row("A501", FAILURE, "Refused: scheduled procedure step may no longer be updated", "PS3.4-2009 M.4"),
    Row("A502", FAILURE, "Refused: wrong transaction UID", "PS3.4-2009 M.4"),
    Row("A503", FAILURE, "Refused: scheduled procedure step is already in progress", "PS3.4-2009 M.4"),
    Row("A504", FAILURE, "Refused: related scheduled procedure step is not in progress", "PS3.4-2009 N.4"),
    Row("A505", FAILURE, "Refused: transaction UID is not that of the scheduled procedure step", "PS3.4-2009 N.4"),
)

_EVENT_LOGGING: Final = (
    Row("B101", WARNING, "Synchronization frame of reference UID does not match that of the SCP", "PS3.4 P.2.2.4"),
    Row("B102", WARNING, "Study instance UID coercion, event logged under a different one", "PS3.4 P.2.2.4"),
    Row("B104", WARNING, "IDs inconsistent in matching a current study, event logged", "PS3.4 P.2.2.4"),
    Row("C101", FAILURE, "Procedural logging not available for specified study instance UID", "PS3.4 P.2.2.4"),
    Row("C102", FAILURE, "Event information does not match template", "PS3.4 P.2.2.4"),
    Row("C103", FAILURE, "Cannot match event to a current study", "PS3.4 P.2.2.4"),
    Row("C104", FAILURE, "IDs inconsistent in matching a current study, event not logged", "PS3.4 P.2.2.4"),
    Row("C10E", FAILURE, "Operator not authorized to add entry to medication administration record", "PS3.4 P.3"),
    Row("C110", FAILURE, "Patient cannot be identified from patient ID or admission ID", "PS3.4 P.3"),
    Row("C111", FAILURE, "Update of medication administration record failed", "PS3.4 P.3"),
)

_RELEVANT_PATIENT: Final = (
    Row("A700", FAILURE, "Out of resources", "PS3.4 Q.2.1.1.4"),
    Row("A900", FAILURE, "Identifier does not match SOP class", "PS3.4 Q.2.1.1.4"),
    Row("C000", FAILURE, "Unable to process", "PS3.4 Q.2.1.1.4"),
    Row("C100", FAILURE, "More than one match found", "PS3.4 Q.2.1.1.4"),
    Row("C200", FAILURE, "Unable to support requested template", "PS3.4 Q.2.1.1.4"),
    Row("FE00", CANCEL, "Matching terminated due to cancel request", "PS3.4 Q.2.1.1.4"),
    Row("0000", SUCCESS, "Matching is complete", "PS3.4 Q.2.1.1.4"),
    Row("FF00", PENDING, "Current match is supplied", "PS3.4 Q.2.1.1.4"),
)

_MEDIA_CREATION: Final = (
    Row("0001", WARNING, "Requested optional attributes are not supported", "PS3.4 S.3.2"),
    Row("A510", FAILURE, "Refused: an initiate media creation action has already been received for this SOP instance",
        "PS3.4 S.3.2"),
    Row("C201", FAILURE, "Media creation request already completed", "PS3.4 S.3.2"),
    Row("C202", FAILURE, "Media creation request already in progress and cannot be interrupted", "PS3.4 S.3.2"),
    Row("C203", FAILURE, "Cancellation denied for unspecified reason", "PS3.4 S.3.2"),
)

_SUBSTANCE_ADMINISTRATION: Final = (
    Row("A700", FAILURE, "Refused: out of resources", "PS3.4 V.4"),
    Row("A900", FAILURE, "Error: identifier or data set does not match SOP class", "PS3.4 V.4"),
    Row("Cxxx", FAILURE, "Failed: unable to process", "PS3.4 V.4"),
    Row("FE00", CANCEL, "Matching terminated due to cancel request", "PS3.4 V.4"),
    Row("0000", SUCCESS, "Matching is complete", "PS3.4 V.4"),
    Row("FF00", PENDING, "Matches are continuing", "PS3.4 V.4"),
    Row("FF01", PENDING, "Matches are continuing, optional keys not supported", "PS3.4 V.4"),
)

_UPS: Final = (
    Row("0001", WARNING, "Requested optional attributes are not supported", "PS3.4 CC.2.6.4, CC.2.7.4"),
    Row("B300", WARNING, "UPS was created with modifications", "PS3.4 CC.2.5.4"),
    Row("B301", WARNING, "Deletion lock not granted", "PS3.4 CC.2.3.4"),
    Row("B304", WARNING, "UPS is already in the requested state of CANCELED", "PS3.4 CC.2.1.4, CC.2.2.4"),
    Row("B305", WARNING, "Coerced invalid values to valid values", "PS3.4 CC.2.6.4"),
    Row("B306", WARNING, "UPS is already in the requested state of COMPLETED", "PS3.4 CC.2.1.4"),
    Row("C300", FAILURE, "UPS may no longer be updated", "PS3.4 CC.2.1.4, CC.2.6.4"),
    Row("C301", FAILURE, "Correct transaction UID was not provided", "PS3.4 CC.2.1.4, CC.2.6.4"),
    Row("C302", FAILURE, "UPS is already IN PROGRESS", "PS3.4 CC.2.1.4"),
    Row("C303", FAILURE, "UPS may only become SCHEDULED via N-CREATE, not N-SET or N-ACTION", "PS3.4 CC.2.1.4"),
    Row("C304", FAILURE, "UPS has not met final state requirements for the state change", "PS3.4 CC.2.1.4"),
    Row("C307", FAILURE, "SOP instance does not exist or is not a UPS managed by this SCP",
        "PS3.4 CC.2.1.4, CC.2.2.4, CC.2.3.4, CC.2.6.4, CC.2.7.4"),
    Row("C308", FAILURE, "Receiving AE title is unknown to this SCP", "PS3.4 CC.2.3.4"),
    Row("C309", FAILURE, "Provided value of UPS state was not SCHEDULED", "PS3.4 CC.2.5.4"),
    Row("C310", FAILURE, "UPS is not yet in the IN PROGRESS state", "PS3.4 CC.2.1.4, CC.2.6.4"),
    Row("C311", FAILURE, "UPS is already COMPLETED", "PS3.4 CC.2.2.4"),
    Row("C312", FAILURE, "Performer cannot be contacted", "PS3.4 CC.2.2.4"),
    Row("C313", FAILURE, "Performer chooses not to cancel", "PS3.4 CC.2.2.4"),
    Row("C314", FAILURE, "Action not appropriate for specified instance", "PS3.4 CC.2.3.4"),
    Row("C315", FAILURE, "SCP does not support event reports", "PS3.4 CC.2.3.4"),
    # C-FIND, whose range of failures includes the codes above.
    Row("A700", FAILURE, "Refused: out of resources", "PS3.4 CC.2.8.4"),
    Row("A900", FAILURE, "Error: identifier does not match SOP class", "PS3.4 CC.2.8.4"),
    Row("Cxxx", FAILURE, "Failed: unable to process", "PS3.4 CC.2.8.4"),
    Row("FE00", CANCEL, "Matching terminated due to cancel request", "PS3.4 CC.2.8.4"),
    Row("FF00", PENDING, "Matches are continuing", "PS3.4 CC.2.8.4"),
    Row("FF01", PENDING, "Matches are continuing, optional keys not supported", "PS3.4 CC.2.8.4"),
)

_RT_MACHINE_VERIFICATION: Final = (
    Row("C112", FAILURE, "Machine verification instance not found", "PS3.4 DD.3.2.2.3, DD.3.2.3.2"),
    Row("C221", FAILURE, "Referenced fraction group number does not exist in the referenced plan", "PS3.4 DD.3.2"),
    Row("C222", FAILURE, "No beams exist within the referenced fraction group", "PS3.4 DD.3.2"),
    Row("C223", FAILURE, "SCU already verifying, request cannot be processed", "PS3.4 DD.3.2"),
    Row("C224", FAILURE, "Referenced beam number not found within the referenced fraction group", "PS3.4 DD.3.2"),
    Row("C225", FAILURE, "Referenced device or accessory not supported", "PS3.4 DD.3.2"),
    Row("C226", FAILURE, "Referenced device or accessory not found within the referenced beam", "PS3.4 DD.3.2"),
    Row("C227", FAILURE, "Referenced RT plan not found", "PS3.4 DD.3.2"),
)

_STORAGE_MANAGEMENT: Final = (
    Row("B010", WARNING, "Attribute list error, one or more key attributes are not supported for matching",
        "PS3.4 KK.2"),
)
# fmt: on

TABLES: Final[dict[Service, tuple[Row, ...]]] = {
    Service.VERIFICATION: (),
    Service.STORAGE: _STORAGE,
    Service.FIND: _FIND,
    Service.MOVE: _MOVE,
    Service.GET: _GET,
    Service.REPOSITORY_QUERY: _REPOSITORY_QUERY,
    Service.INSTANCE_ROOT_MOVE: (*_FRAMES, *_MOVE),
    Service.INSTANCE_ROOT_GET: (*_FRAMES, *_GET),
    Service.PROCEDURE_STEP: _PROCEDURE_STEP,
    Service.PRINT: _PRINT,
    Service.STORAGE_COMMITMENT: _STORAGE_COMMITMENT,
    Service.WORKLIST: _WORKLIST,
    Service.GENERAL_PURPOSE_PROCEDURE_STEP: _GENERAL_PURPOSE_PROCEDURE_STEP,
    Service.EVENT_LOGGING: _EVENT_LOGGING,
    Service.RELEVANT_PATIENT: _RELEVANT_PATIENT,
    Service.INSTANCE_AVAILABILITY: (),
    Service.MEDIA_CREATION: _MEDIA_CREATION,
    Service.SUBSTANCE_ADMINISTRATION: _SUBSTANCE_ADMINISTRATION,
    Service.UPS: _UPS,
    Service.RT_MACHINE_VERIFICATION: _RT_MACHINE_VERIFICATION,
    Service.DISPLAY_SYSTEM: (),
    Service.STORAGE_MANAGEMENT: _STORAGE_MANAGEMENT,
}
"""Service -> its codes in addition to `GENERAL`. A code comes before the range that contains it."""
