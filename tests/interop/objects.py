"""Data sets, and instances made from them, for the tests of services with other implementations."""

from typing import Any

from pydicom.dataset import Dataset

from dicos_proto.data.datasets import encode
from dicos_proto.registry import uids
from dicos_proto.services.storage import Instance


def keys(**values: Any) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def as_instance(found: Dataset) -> Instance:
    return Instance(
        sop_class_uid=found.SOPClassUID,
        sop_instance_uid=found.SOPInstanceUID,
        transfer_syntax=uids.EXPLICIT_VR_LE,
        data=encode(found, uids.EXPLICIT_VR_LE),
    )
