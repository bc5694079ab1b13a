"""DICOS objects in files [PS3.10], read and written as `dicos_transports.files` does.

Knows: files and their meta information. Must not know: what is in an object. Invariants: a file that is written appears
whole, or not at all; every fault of a file that is read is a Part10Error.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID

from dicos_proto.data import DataSetError, decode_object, encode
from dicos_proto.dicos import DicosObject, view
from dicos_proto.limits import Limits
from dicos_proto.registry import uids

from ..files.part10 import Part10Error, inspect, read_whole
from ..files.temporary import hidden_name
from ..files.writer import file_header

__all__ = ["read_dataset", "read_file", "write_file"]

_LIMITS = Limits()


def read_file(path: Path | str, *, limits: Limits = _LIMITS) -> DicosObject:
    """Returns the object in a file, as the view that its SOP class calls for: CT, DX, TDR ...

    The file is read whole; `limits` bounds what is in it. Raises Part10Error if it is not a DICOM file or not a whole
    data set, and `NotDicos` if it is another kind of object.
    """
    return view(read_dataset(path, limits=limits))


def read_dataset(path: Path | str, *, limits: Limits = _LIMITS) -> Dataset:
    """Returns the data set of a file of any SOP class, with its transfer syntax in `file_meta`. Raises Part10Error."""
    file = inspect(Path(path))
    limits = replace(limits, collected=max(limits.collected, file.data_length))
    try:
        dataset = decode_object(read_whole(file), file.transfer_syntax, limits)
    except DataSetError as error:
        raise Part10Error(file.path, str(error)) from error
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(file.transfer_syntax)
    dataset.file_meta = meta
    return dataset


def write_file(thing: DicosObject | Dataset, path: Path | str, *, transfer_syntax: str = uids.EXPLICIT_VR_LE) -> None:
    """Writes an object to `path`, in place of a file that may be there.

    The meta information has the DICOS version (0002,0004), without which pyDICOS refuses a file. Pixel data is written
    as it is: `transfer_syntax` must be one without compression if it is native. Raises OSError, and `DataSetError` if
    the object cannot be encoded.
    """
    dataset = thing.dataset if isinstance(thing, DicosObject) else thing
    content = encode(dataset, transfer_syntax)
    header = file_header(str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), transfer_syntax)
    target = Path(path)
    temporary = target.with_name(hidden_name())
    try:
        with temporary.open("xb") as file:
            file.write(header)
            file.write(content)
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
