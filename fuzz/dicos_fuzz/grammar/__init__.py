"""The grammar of DICOM's wire: bytes to trees, valid parts from the engine's own types, and wrong ones on purpose."""

from .building import Offer, accept, echo, message, request
from .changing import change, changes
from .reading import pdus_of, read_command, read_data_set, read_pdu, read_stream

__all__ = [
    "Offer",
    "accept",
    "change",
    "changes",
    "echo",
    "message",
    "pdus_of",
    "read_command",
    "read_data_set",
    "read_pdu",
    "read_stream",
    "request",
]
