"""The programming model of pyDICOS, for programs that were written for it: change the import line.

    from dicos_transports.pydicos import CTLoader, DcsClient, DcsServer, dcsread

Texts, numbers and numpy arrays go in and out; methods return True or False and fill an error log; a server calls the
methods of a plain Python object. It is a thin skin over `dicos_transports.blocking` and `dicos_transports.dicos`: new
programs use these.
"""

from .client import DcsClient
from .enums import (
    ABILITY_ASSESSMENT,
    ALARM_DECISION,
    ASSESSMENT_FLAG,
    OBJECT_OF_INSPECTION_TYPE,
    SCAN_TYPE,
    TDR_TYPE,
    THREAT_CATEGORY,
)
from .flags import RESULT_DCSCLIENT, RETRIEVE_METHOD, SOPCLASSUID
from .loaders import AIT2DLoader, AIT3DLoader, CTLoader, DXLoader, QRLoader, dcsread, dcswrite
from .reports import TDR_DATA_TEMPLATE, ATRSettings, TDRLoader
from .server import DcsServer
from .texts import ErrorLog, Text

DcsString = DcsLongString = DcsShortString = DcsApplicationEntity = DcsUniqueIdentifier = Text
"""The original's wrappers of text: accepted, and not needed."""

__all__ = [
    "ABILITY_ASSESSMENT",
    "AIT2DLoader",
    "AIT3DLoader",
    "ALARM_DECISION",
    "ASSESSMENT_FLAG",
    "ATRSettings",
    "CTLoader",
    "DXLoader",
    "DcsApplicationEntity",
    "DcsClient",
    "DcsLongString",
    "DcsServer",
    "DcsShortString",
    "DcsString",
    "DcsUniqueIdentifier",
    "ErrorLog",
    "OBJECT_OF_INSPECTION_TYPE",
    "QRLoader",
    "RESULT_DCSCLIENT",
    "RETRIEVE_METHOD",
    "SCAN_TYPE",
    "SOPCLASSUID",
    "TDRLoader",
    "TDR_DATA_TEMPLATE",
    "TDR_TYPE",
    "THREAT_CATEGORY",
    "Text",
    "dcsread",
    "dcswrite",
]
