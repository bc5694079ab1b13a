"""A multi-frame DICOS CT of 300 MB, ours to ours, to and from DCMTK and pynetdicom: the same bytes, in flat memory."""

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicos_proto.registry import uids
from dicos_transports.files import part10
from dicos_transports.files.part10 import Part10File
from tests.interop.peers import (
    contents,
    dcmtk,
    dcmtk_storescp,
    digest,
    files_in,
    needs_dcmtk,
    needs_pynetdicom,
    our_provider,
    peak_of,
    peak_so_far,
    pynetdicom_provider,
    pynetdicom_user,
)

pytestmark = [
    pytest.mark.interop,
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),  # of values in files that are none too well
]

PHANTOM = Path(__file__).resolve().parent.parent.parent / "demo" / "phantom.py"
ROOM = 2_000_000_000
CEILING = 80_000_000
"""Most bytes of memory that each of our processes may take."""


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Part10File:
    folder = tmp_path_factory.mktemp("large")
    if shutil.disk_usage(folder).free < ROOM:
        pytest.skip(f"less than {ROOM} bytes free for files of 300 MB")
    spec = importlib.util.spec_from_file_location("phantom", PHANTOM)
    assert spec is not None
    assert spec.loader is not None
    phantom = importlib.util.module_from_spec(spec)
    sys.modules["phantom"] = phantom  # dataclasses look up their module
    spec.loader.exec_module(phantom)
    phantom.make_ct(folder / "volume.dcs", frames=600)
    return part10.inspect(folder / "volume.dcs")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "in"
    made.mkdir()
    yield made
    shutil.rmtree(made)


def test_ours_to_ours_in_flat_memory(volume: Part10File, folder: Path) -> None:
    with our_provider("storescp", 0, "-od", folder) as provider:
        status, sender = peak_of("storescu", "127.0.0.1", provider.port, volume.path)
        receiver = peak_so_far(provider.process)
    print(f"peak memory for {volume.data_length} bytes: storescu {sender}, storescp {receiver}")
    assert status == 0
    assert digest(files_in(folder)[volume.sop_instance_uid]) == digest(volume)
    assert sender < CEILING
    assert receiver < CEILING


@needs_dcmtk
def test_ours_to_dcmtk(volume: Part10File, folder: Path) -> None:
    with dcmtk_storescp(folder, "+xa", "+B", "-pm", "--max-pdu", 131072) as port:
        status, sender = peak_of("storescu", "127.0.0.1", port, volume.path)
    assert status == 0
    assert digest(files_in(folder)[volume.sop_instance_uid]) == digest(volume)
    assert sender < CEILING


@needs_dcmtk
@pytest.mark.parametrize("tool", [("dcmsend", "-nuc"), ("storescu", "-R", "-xe")], ids=["dcmsend", "storescu"])
def test_dcmtk_to_ours(volume: Part10File, folder: Path, tool: tuple[str, ...]) -> None:
    with our_provider("storescp", 0, "-od", folder) as provider:
        result = dcmtk(*tool, "127.0.0.1", provider.port, volume.path)
        receiver = peak_so_far(provider.process)
    assert result.returncode == 0, result.stderr
    copy = files_in(folder)[volume.sop_instance_uid]
    assert digest(copy) == digest(volume) or contents(copy.path) == contents(volume.path)
    assert receiver < CEILING


@needs_pynetdicom
def test_ours_to_pynetdicom(volume: Part10File) -> None:
    with pynetdicom_provider(syntaxes=[uids.EXPLICIT_VR_LE], any=True, max_pdu=131072) as peer:
        status, sender = peak_of("storescu", "127.0.0.1", peer.port, volume.path)
        told = peer.next("stored")
    assert status == 0
    assert (told["bytes"], told["sha256"]) == (volume.data_length, digest(volume))
    assert sender < CEILING


@needs_pynetdicom
def test_pynetdicom_to_ours(volume: Part10File, folder: Path) -> None:
    with our_provider("storescp", 0, "-od", folder) as provider:
        told = pynetdicom_user(provider.port, paths=[str(volume.path)])
        receiver = peak_so_far(provider.process)
    assert [each["status"] for each in told["answered"]] == [0]
    assert digest(files_in(folder)[volume.sop_instance_uid]) == digest(volume)
    assert receiver < CEILING
