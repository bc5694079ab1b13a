"""Instances that an application sends: unchanged if the peer accepts that, else converted if possible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset

from dicos_proto.data.datasets import encode
from dicos_proto.registry import uids
from dicos_proto.services.storage import Instance
from dicos_proto.upper_layer.agreement import PresentationContext
from dicos_transports import application
from dicos_transports.application import WrongAnswer
from dicos_transports.files.instances import NotAnInstance, instance, offer, taken
from dicos_transports.files.part10 import Part10Error, inspect
from tests.transports.application.applications import image, plain_instance
from tests.transports.connections import CT, EXPLICIT

IMPLICIT, DEFLATED, JPEG = uids.IMPLICIT_VR_LE, uids.DEFLATED_EXPLICIT_VR_LE, uids.JPEG_BASELINE


def in_syntax(syntax: str) -> Dataset:
    made = image(1)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    return made


def saved(path: Path, syntax: str) -> Path:
    in_syntax(syntax).save_as(path, enforce_file_format=True)
    return path


def data_of(one: Instance) -> bytes:
    data: Any = one.data
    return bytes(data) if isinstance(data, bytes) else b"".join(data)


@pytest.mark.parametrize("own", [EXPLICIT, IMPLICIT, DEFLATED])
@pytest.mark.parametrize(
    ("accepted", "becomes"),
    [
        ((), None),
        ((JPEG,), None),
        ((IMPLICIT, EXPLICIT, DEFLATED), None),
        ((IMPLICIT,), IMPLICIT),
        ((EXPLICIT,), EXPLICIT),
        ((DEFLATED, JPEG), DEFLATED),
        ((IMPLICIT, JPEG), IMPLICIT),
    ],
)
def test_it_is_sent_in_what_is_taken(tmp_path: Path, own: str, accepted: tuple[str, ...], becomes: str | None) -> None:
    wanted = {CT: accepted}
    syntax = becomes or own
    path = saved(tmp_path / "a.dcm", own)
    for given in (in_syntax(own), path, inspect(path)):
        made = instance(given, wanted)
        assert (made.sop_class_uid, made.sop_instance_uid, made.transfer_syntax) == (CT, "1.2.1", syntax)
        if syntax != DEFLATED:
            assert data_of(made) == encode(image(1), syntax)
        assert data_of(made) == data_of(made)  # as often as it is wanted


def test_what_is_no_plain_data_set_is_sent_as_it_is(tmp_path: Path) -> None:
    assert instance(in_syntax(JPEG), {CT: (EXPLICIT,)}).transfer_syntax == JPEG
    assert instance(in_syntax(EXPLICIT)).transfer_syntax == EXPLICIT
    assert instance(image(1), {"1.2": (IMPLICIT,)}).transfer_syntax == EXPLICIT  # another class
    one = plain_instance(1)
    assert instance(one, {CT: (IMPLICIT,)}) is one
    assert offer(one).source is one


def test_an_odd_file_is_padded_or_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.dcm", EXPLICIT)
    path.write_bytes(path.read_bytes() + b"\1")
    with pytest.raises(Part10Error, match="an odd number: "):
        instance(path)
    path = saved(tmp_path / "b.dcm", DEFLATED)
    whole = path.read_bytes()
    lengths = set()
    for data in (whole, whole[:-1]):
        path.write_bytes(data)
        lengths.add(inspect(path).data_length % 2)
        assert len(data_of(instance(path))) % 2 == 0
    assert lengths == {0, 1}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (5, "expected an Instance, a Path or a pydicom data set, not int"),
        (None, "pydicom data set, not None"),
        ("a.dcm", r"pydicom data set, not str; write Path\(\.\.\.\) for a path"),
        (Dataset(), "a data set without SOP Class UID or SOP Instance UID is not an instance"),
    ],
)
def test_what_is_no_instance_is_told(given: object, text: str) -> None:
    with pytest.raises(NotAnInstance, match=f"{text}$") as caught:
        offer(given)
    assert isinstance(caught.value, TypeError)
    with pytest.raises(WrongAnswer, match=f"{text}$"):
        application.instance(given)


def test_what_is_taken_is_what_this_side_may_send() -> None:
    def context(number: int, sop_class: str, syntax: str, *, scu: bool = True) -> PresentationContext:
        return PresentationContext(id=number, abstract_syntax=sop_class, transfer_syntax=syntax, scu=scu, scp=not scu)

    contexts = [context(1, CT, EXPLICIT), context(3, CT, JPEG), context(5, "1.2", IMPLICIT, scu=False)]
    assert taken(contexts) == {CT: (EXPLICIT, JPEG)}
