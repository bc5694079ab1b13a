"""A multi-frame DICOS CT of 300 MB, ours to ours, to and from DCMTK, to pynetdicom: the same bytes, in flat memory."""

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicos_proto import uids
from dicos_transports import part10
from dicos_transports.part10 import Part10File
from tests.interop.peers import (
    contents,
    dcmtk,
    dcmtk_storescp,
    digest,
    files_in,
    needs_dcmtk,
    our_provider,
    ours,
    peak_of,
    peak_so_far,
)

pytestmark = [
    pytest.mark.interop,
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),  # of values in files that are none too well
]

PHANTOM = Path(__file__).resolve().parent.parent.parent / "demo" / "phantom.py"
ROOM = 2_000_000_000
CEILING = 80_000_000
"""Bytes of memory that either of our processes may take."""


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Part10File:
    folder = tmp_path_factory.mktemp("large")
    if shutil.disk_usage(folder).free < ROOM:
        pytest.skip(f"less than {ROOM} bytes free for files of 300 MB")
    spec = importlib.util.spec_from_file_location("phantom", PHANTOM)
    assert spec is not None
    assert spec.loader is not None
    phantom = importlib.util.module_from_spec(spec)
    sys.modules["phantom"] = phantom  # dataclasses look their module up
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
        result = ours("storescu", "127.0.0.1", port, volume.path)
    assert result.returncode == 0, result.stderr
    assert digest(files_in(folder)[volume.sop_instance_uid]) == digest(volume)


@needs_dcmtk
def test_dcmtk_to_ours(volume: Part10File, folder: Path) -> None:
    with our_provider("storescp", 0, "-od", folder) as provider:
        result = dcmtk("dcmsend", "-nuc", "127.0.0.1", provider.port, volume.path)
        receiver = peak_so_far(provider.process)
    assert result.returncode == 0, result.stderr
    copy = files_in(folder)[volume.sop_instance_uid]
    assert digest(copy) == digest(volume) or contents(copy.path) == contents(volume.path)
    assert receiver < CEILING


def test_ours_to_pynetdicom(volume: Part10File, folder: Path) -> None:
    pynetdicom = pytest.importorskip("pynetdicom", reason="pynetdicom is not installed")
    if uids.DICOS_CT not in pynetdicom.sop_class._STORAGE_CLASSES.values():
        pynetdicom.sop_class.register_uid(
            uids.DICOS_CT, "DICOSCTImageStorage", pynetdicom.service_class.StorageServiceClass
        )
    sizes: list[int] = []

    def keep(event: Any) -> int:
        sizes.append(len(event.request.DataSet.getvalue()))
        return 0

    entity = pynetdicom.AE()
    entity.maximum_pdu_size = 0
    entity.add_supported_context(uids.DICOS_CT, uids.EXPLICIT_VR_LE)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(pynetdicom.evt.EVT_C_STORE, keep)])
    try:
        result = ours("storescu", "127.0.0.1", server.socket.getsockname()[1], volume.path)
    finally:
        server.shutdown()
    assert result.returncode == 0, result.stderr
    assert sizes == [volume.data_length]
