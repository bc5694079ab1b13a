"""Status codes of DIMSE responses: constants, their category, one line of text for people.

Knows the codes common to all services (PS3.7 annex C) and those of C-STORE (PS3.4 B.2.3). Whether an
operation succeeded is a question for `category`: services define codes of their own inside the same ranges.
"""

from enum import Enum
from typing import Final

SUCCESS: Final = 0x0000
PENDING: Final = 0xFF00
PENDING_WARNING: Final = 0xFF01
"""Matches continue, but optional keys were not supported as in the identifier.  PS3.4 C.4.1.1.4"""
CANCEL: Final = 0xFE00

# PS3.7 C.4 (0107, 0116) and C.5; their meaning is the same for every service.
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

# Annex C puts this code into the warnings; PS3.4 gives it its meaning, for N-GET.
OPTIONAL_ATTRIBUTES_NOT_SUPPORTED: Final = 0x0001

# C-STORE.  PS3.4 B.2.3; the first three are the lowest of ranges A7xx, A9xx and Cxxx.
OUT_OF_RESOURCES: Final = 0xA700
DATA_SET_DOES_NOT_MATCH_SOP_CLASS: Final = 0xA900
CANNOT_UNDERSTAND: Final = 0xC000
COERCION_OF_DATA_ELEMENTS: Final = 0xB000
ELEMENTS_DISCARDED: Final = 0xB006
DATA_SET_DOES_NOT_MATCH_SOP_CLASS_WARNING: Final = 0xB007

_MEANINGS: Final[dict[int, str]] = {
    SUCCESS: "Success",
    PENDING: "Pending",
    PENDING_WARNING: "Pending: optional keys not supported",
    CANCEL: "Cancelled",
    OPTIONAL_ATTRIBUTES_NOT_SUPPORTED: "Requested optional attributes are not supported",
    NO_SUCH_ATTRIBUTE: "No such attribute",
    INVALID_ATTRIBUTE_VALUE: "Invalid attribute value",
    ATTRIBUTE_LIST_ERROR: "Attribute list error",
    PROCESSING_FAILURE: "Processing failure",
    DUPLICATE_SOP_INSTANCE: "Duplicate SOP instance",
    NO_SUCH_SOP_INSTANCE: "No such SOP instance",
    NO_SUCH_EVENT_TYPE: "No such event type",
    NO_SUCH_ARGUMENT: "No such argument",
    INVALID_ARGUMENT_VALUE: "Invalid argument value",
    ATTRIBUTE_VALUE_OUT_OF_RANGE: "Attribute value out of range",
    INVALID_SOP_INSTANCE: "Invalid SOP instance",
    NO_SUCH_SOP_CLASS: "No such SOP class",
    CLASS_INSTANCE_CONFLICT: "Class-instance conflict",
    MISSING_ATTRIBUTE: "Missing attribute",
    MISSING_ATTRIBUTE_VALUE: "Missing attribute value",
    SOP_CLASS_NOT_SUPPORTED: "Refused: SOP class not supported",
    NO_SUCH_ACTION_TYPE: "No such action type",
    NOT_AUTHORIZED: "Refused: not authorized",
    DUPLICATE_INVOCATION: "Duplicate invocation",
    UNRECOGNIZED_OPERATION: "Unrecognized operation",
    MISTYPED_ARGUMENT: "Mistyped argument",
    RESOURCE_LIMITATION: "Resource limitation",
    COERCION_OF_DATA_ELEMENTS: "Coercion of data elements",
    ELEMENTS_DISCARDED: "Elements discarded",
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS_WARNING: "Data set does not match SOP class",
}

# (mask, value, text): the low digits of these are the peer's own.  PS3.4 B.2.3
_MEANINGS_OF_RANGES: Final = (
    (0xFF00, 0xA700, "Refused: out of resources"),
    (0xFF00, 0xA900, "Error: data set does not match SOP class"),
    (0xF000, 0xC000, "Error: cannot understand"),
)

_WARNINGS: Final = frozenset((OPTIONAL_ATTRIBUTES_NOT_SUPPORTED, ATTRIBUTE_LIST_ERROR, ATTRIBUTE_VALUE_OUT_OF_RANGE))


class Category(Enum):
    """What a status code means for the operation; the value is the word shown to people.  PS3.7 annex C"""

    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"
    CANCEL = "cancel"
    PENDING = "pending"


def category(status: int) -> Category:
    """The category of a status code of (0000,0900).

    Success, pending, cancel and warning are closed lists and the range Bxxx (PS3.7 annex C); every other
    code, unlisted ones included, is a failure: nothing unknown counts as success.
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


def describe(status: int) -> str:
    """One line for people: `0xA700 Refused: out of resources (failure)`.

    >>> describe(0xC123)
    '0xC123 Error: cannot understand (failure)'
    >>> describe(0xB123)
    '0xB123 (warning)'
    """
    meaning = _meaning(status)
    return f"0x{status:04X} {meaning + ' ' if meaning else ''}({category(status).value})"


def _meaning(status: int) -> str:
    """The text for `status`, empty if neither it nor its range is listed."""
    if status in _MEANINGS:
        return _MEANINGS[status]
    for mask, value, text in _MEANINGS_OF_RANGES:
        if status & mask == value:
            return text
    return ""
