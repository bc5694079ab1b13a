"""Files with pixel data in fragments."""

from pathlib import Path

from pydicom.dataset import Dataset

from dicos_proto.data import encode
from dicos_proto.registry import uids
from dicos_transports.files.writer import file_header


def with_pixels(dataset: Dataset, path: Path, syntax: str, pixels: bytes) -> Path:
    """A file whose pixel data is `pixels`, in fragments."""
    bare = Dataset()
    for element in dataset:
        if element.tag != 0x7FE00010:
            bare.add(element)
    header = file_header(str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), syntax)
    start = bytes.fromhex("e07f1000") + b"OB\0\0\xff\xff\xff\xff"
    end = bytes.fromhex("feffdde000000000")
    path.write_bytes(header + encode(bare, uids.EXPLICIT_VR_LE) + start + pixels + end)
    return path
