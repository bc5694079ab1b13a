"""DICOS objects in files [PS3.10], read and written as `dicos_transports.files` does.

Knows: files and their meta information. Must not know: what is in an object. Invariants: a file that is written appears
whole, or not at all; every fault of a file that is read is a Part10Error.
"""

from __future__ import annotations

import os
from contextlib import closing, suppress
from pathlib import Path

from pydicom.dataset import Dataset

from dicos_proto.data import DataSetError
from dicos_proto.data.elements import SOP_CLASS_UID, SOP_INSTANCE_UID
from dicos_proto.data.transcode import DICOS_PREFIX
from dicos_proto.dicos import DicosObject, view
from dicos_proto.dicos.content import PIXELS, Decoder, is_encapsulated
from dicos_proto.dicos.values import text
from dicos_proto.limits import Limits
from dicos_proto.registry import uids

from ..files.part10 import Part10Error, inspect, read_chunks
from ..files.temporary import hidden_name
from ..files.writer import file_header
from .mending import mended
from .sending import Encoded

__all__ = ["read_dataset", "read_file", "write_file"]

_LIMITS = Limits()
_INT64 = frozenset(uid for uid, name in uids.NAMES.items() if uid.startswith(DICOS_PREFIX) and "64-bit" in name)
"""SOP classes in which pyDICOS writes a wrong header."""


def read_file(path: Path | str, *, limits: Limits = _LIMITS) -> DicosObject:
    """Returns the object in a file, as the view that its SOP class calls for: CT, DX, TDR ...

    The file is read whole; `limits` bounds what is in it. Raises Part10Error if it is not a DICOM file or not a whole
    data set, and `NotDicos` if it is another kind of object.
    """
    return view(read_dataset(path, limits=limits))


def read_dataset(path: Path | str, *, limits: Limits = _LIMITS) -> Dataset:
    """Returns the data set of a file of any SOP class, with its transfer syntax in `file_meta`. Pixel data is copied
    once, from the file into memory. Raises Part10Error."""
    file = inspect(Path(path))
    try:
        decoder = Decoder(file.transfer_syntax, limits)
        with closing(read_chunks(file)) as chunks:
            known = file.sop_class_uid in _INT64
            for chunk in mended(chunks, file.transfer_syntax, file.data_length) if known else chunks:
                decoder.feed(chunk)
        return decoder.finish()
    except DataSetError as error:
        raise Part10Error(file.path, str(error)) from error


def write_file(thing: DicosObject | Dataset, path: Path | str, *, transfer_syntax: str | None = None) -> None:
    """Writes an object to `path`, in place of a file that may be there. Pixel data is not copied.

    The meta information has the DICOS version (0002,0004), without which pyDICOS refuses a file.
    `transfer_syntax`: None for the one in `file_meta` if pixel data is compressed, explicit VR little endian otherwise.
    For another one, pixel data is compressed or decompressed frame by frame in threads, with the extra `compression`.
    Raises OSError, and `DataSetError` if the object cannot be encoded; then no file is left.
    """
    dataset = thing.dataset if isinstance(thing, DicosObject) else thing
    syntax = transfer_syntax or _own_syntax(dataset) or uids.EXPLICIT_VR_LE
    content = Encoded(dataset).stream(syntax)
    header = file_header(text(dataset, SOP_CLASS_UID) or "", text(dataset, SOP_INSTANCE_UID) or "", syntax)
    target = Path(path)
    temporary = target.with_name(hidden_name())
    try:
        with temporary.open("xb") as file:
            file.write(header)
            for piece in content:
                file.write(piece)
        os.replace(temporary, target)
    except BaseException as error:
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None  # the temporary name means nothing to the caller
        with suppress(OSError):
            temporary.unlink()
        raise


def _own_syntax(dataset: Dataset) -> str | None:
    """The transfer syntax of pixel data in fragments; None if there are none."""
    found = next((dataset[tag] for tag in PIXELS if tag in dataset), None)
    meta = getattr(dataset, "file_meta", None)
    if found is None or not isinstance(meta, Dataset) or not is_encapsulated(found, dataset):
        return None
    return text(meta, 0x00020010)
