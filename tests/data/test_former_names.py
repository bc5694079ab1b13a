"""Names of modules that are now several are found under their former paths."""

import importlib

import pytest

from dicos_proto.data import checker, deflated, transcode, walker
from dicos_proto.limits import Limits

FORMER = {
    "dicos_proto.elements": (
        "Checker", "DataSetError", "INFLATED_ELEMENTS", "INFLATE_FLOOR", "ITEM", "ITEM_END", "Inflater", "LONG_VRS",
        "Level", "Mismatch", "PIXEL_DATA", "SEQUENCE_END", "SHORT_VRS", "SOP_CLASS_UID", "SOP_INSTANCE_UID",
        "UNDEFINED", "Walker", "encoding", "most_inflated", "shown",
    ),
    "dicos_proto.datasets": (
        "Attributes", "Content", "DataSetError", "content", "convert", "decode", "decode_object", "encode", "faults",
        "value_of",
    ),
    "dicos_proto.conversion": ("QuietDataset", "QuietFile", "codecs_of", "dictionary_vr"),
    "dicos_transports.transcode": (
        "CONVERTIBLE", "DEPTH", "DICOS_PREFIX", "DICOS_VRS", "INFLATE_BYTES", "INFLATE_RATIO", "PADDED_WITH_SPACE",
        "PIXEL_REPRESENTATION", "SMALL", "TranscodeError", "VROf", "can_convert", "convert", "deflate", "dictionary",
        "inflate", "padded", "sop_uids",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in FORMER.items() for name in names])
def test_a_name_is_found_where_it_was(module: str, name: str) -> None:
    assert hasattr(importlib.import_module(module), name)


def test_it_is_the_same_one() -> None:
    elements, former = (
        importlib.import_module("dicos_proto.elements"),
        importlib.import_module("dicos_transports.transcode"),
    )
    assert elements.Walker is walker.Walker
    assert elements.Checker is checker.Checker
    assert elements.Inflater is deflated.Inflater
    assert elements.INFLATED_ELEMENTS == Limits().inflate_unjudged_elements
    assert former.convert is transcode.convert
    assert (former.DEPTH, former.INFLATE_RATIO) == (Limits().sequence_depth, Limits().inflate_ratio)
