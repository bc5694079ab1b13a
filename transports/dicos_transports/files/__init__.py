"""DICOM files [PS3.10]: reading, writing, sending and storing them."""

from .data_sets import CONVERTIBLE, can_convert, convert_chunks, padded_chunks
from .finding import FolderError, find_files
from .instances import NotAnInstance, SendableObject, instance, offer, taken
from .part10 import CHUNK, Part10Error, Part10File, inspect, read_chunks, read_whole
from .receiving import IncomingFile, Stored, discard, store_into
from .sending import Batch, FileInstance, plan, prepare, send_file
from .temporary import remove_stale_parts
from .writer import Part10Writer

__all__ = [
    "CHUNK",
    "CONVERTIBLE",
    "Batch",
    "FileInstance",
    "FolderError",
    "IncomingFile",
    "NotAnInstance",
    "SendableObject",
    "Part10Error",
    "Part10File",
    "Part10Writer",
    "Stored",
    "can_convert",
    "convert_chunks",
    "discard",
    "find_files",
    "inspect",
    "instance",
    "offer",
    "padded_chunks",
    "plan",
    "prepare",
    "read_chunks",
    "read_whole",
    "remove_stale_parts",
    "send_file",
    "store_into",
    "taken",
]
