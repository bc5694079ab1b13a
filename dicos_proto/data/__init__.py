"""Data sets and bytes: reading, checking, writing and transcoding them [PS3.5]. pydicom is imported when it is used."""

from .checker import Checker, Mismatch
from .datasets import Attributes, Content, content, decode, decode_object, encode, value_of
from .datasets import convert as convert_values
from .elements import DataSetError, encoding
from .transcode import CONVERTIBLE, TranscodeError, can_convert, dictionary, inflate, padded, sop_uids
from .transcode import convert as convert_stream
from .walker import Walker

__all__ = [
    "CONVERTIBLE",
    "Attributes",
    "Checker",
    "Content",
    "DataSetError",
    "Mismatch",
    "TranscodeError",
    "Walker",
    "can_convert",
    "content",
    "convert_stream",
    "convert_values",
    "decode",
    "decode_object",
    "dictionary",
    "encode",
    "encoding",
    "inflate",
    "padded",
    "sop_uids",
    "value_of",
]
