"""DCMTK and ours: several associations for many SOP classes, delays, limits, and reports of early ends."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from dicos_proto import propose
from dicos_proto.registry import uids
from dicos_proto.registry.status import SUCCESS
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports.blocking import Session, StoreRequest, connect
from dicos_transports.blocking.server import serve
from dicos_transports.files import part10, receiving, sending
from dicos_transports.files.part10 import Part10File
from dicos_transports.files.writer import file_header
from tests.interop.peers import (
    contents,
    dcmtk,
    dcmtk_storescp,
    digest,
    files_in,
    needs_dcmtk,
    our_provider,
    ours,
)
from tests.interop.shipped import SMALL

pytestmark = [pytest.mark.interop, needs_dcmtk]


def of_many_classes(folder: Path) -> list[Part10File]:
    """Create minimal objects of more SOP classes known to DCMTK 3.6.7 than an association has contexts."""
    folder.mkdir()
    for index, sop_class in enumerate(uids.STORAGE_SOP_CLASSES[:150]):
        uid = f"1.2.3.{index + 1}"
        data = b"".join(
            b"\x08\0" + element + b"\0UI" + len(value).to_bytes(2, "little") + value
            for element, value in ((b"\x16", _even(sop_class)), (b"\x18", _even(uid)))
        )
        (folder / f"{index:03}.dcm").write_bytes(file_header(sop_class, uid, uids.EXPLICIT_VR_LE) + data)
    return [part10.inspect(path) for path in sorted(folder.iterdir())]


def digests(files: Iterable[Part10File]) -> dict[str, str]:
    return {file.sop_instance_uid: digest(file) for file in files}


def _even(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)


def test_dcmsend_takes_as_many_associations_as_it_needs(tmp_path: Path, folder: Path) -> None:
    files = of_many_classes(tmp_path / "out")
    assert len(files) > 128
    with our_provider("storescp", 0, "-od", folder) as provider:
        result = dcmtk("dcmsend", "-nuc", "+ma", "127.0.0.1", provider.port, *[file.path for file in files])
    assert result.returncode == 0, result.stderr
    assert len(provider.of("association")) > 1
    stored = files_in(folder)
    assert {uid: digest(file) for uid, file in stored.items()} == {
        file.sop_instance_uid: digest(file) for file in files
    }


def test_ours_takes_as_many_associations_as_it_needs(tmp_path: Path, folder: Path) -> None:
    files = of_many_classes(tmp_path / "out")
    assert len(sending.plan(files)) > 1
    with dcmtk_storescp(folder, "+xa", "+B", "-pm") as port:
        result = ours("storescu", "-r", "127.0.0.1", port, tmp_path / "out")
    assert result.returncode == 0, result.stderr
    stored = files_in(folder)
    assert {uid: digest(file) for uid, file in stored.items()} == {
        file.sop_instance_uid: digest(file) for file in files
    }


@pytest.mark.timer  # DCMTK's own pauses
@pytest.mark.parametrize("option", ["--sleep-during", "--sleep-after"])
def test_a_slow_peer_is_waited_for(folder: Path, option: str) -> None:
    with dcmtk_storescp(folder, "+xa", "+B", "-pdu", 131072, option, 1) as port:
        assert ours("storescu", "127.0.0.1", port, SMALL.path).returncode == 0
    assert digest(files_in(folder)[SMALL.sop_instance_uid]) == digest(SMALL)


def test_a_peer_that_is_too_slow_is_told_with_the_deadline(folder: Path) -> None:
    with dcmtk_storescp(folder, "+xa", "+B", "-pdu", 131072, "--sleep-during", 2) as port:
        result = ours("storescu", "-td", 0.3, "-ta", 0.5, "127.0.0.1", port, SMALL.path)
    assert result.returncode == 1
    assert "0.3 s" in result.stderr, result.stderr


def test_our_abort_is_seen_by_dcmtk(folder: Path) -> None:
    with dcmtk_storescp(folder, "-v") as port:
        session = connect(("127.0.0.1", port), propose([uids.VERIFICATION]))
        assert session.echo().status == SUCCESS
        session.abort()
        with connect(("127.0.0.1", port), propose([uids.VERIFICATION])) as after:
            assert after.echo().status == SUCCESS
    assert "Association Aborted" in (folder.parent / "storescp.log").read_text()


def test_an_implementation_class_uid_is_sent(folder: Path) -> None:
    with dcmtk_storescp(folder, "--reject") as port:  # those that send no objects
        assert ours("echoscu", "127.0.0.1", port).returncode == 0


def test_dcmtk_finds_no_acceptable_context_here() -> None:
    with our_provider("echoscp", 0) as provider:
        result = dcmtk("storescu", "-R", "-xe", "127.0.0.1", provider.port, SMALL.path)
        assert result.returncode != 0
        assert "No Acceptable Presentation Contexts" in result.stderr
        assert dcmtk("echoscu", "127.0.0.1", provider.port).returncode == 0


def test_dcmtk_is_told_that_ours_is_full() -> None:
    with (
        our_provider("echoscp", 0, "--max-associations", 1) as provider,
        connect(("127.0.0.1", provider.port), propose([uids.VERIFICATION])) as session,
    ):
        result = dcmtk("echoscu", "127.0.0.1", provider.port)
        assert result.returncode != 0
        assert "Local Limit Exceeded" in result.stderr, result.stderr
        assert session.echo().status == SUCCESS


def test_dcmtk_is_told_what_is_not_stored(folder: Path) -> None:
    with our_provider("storescp", 0, "-od", folder, "--max-object", 100, status=1) as provider:
        result = dcmtk("storescu", "-v", "-R", "-xe", "127.0.0.1", provider.port, SMALL.path)
        assert "Refused: OutOfResources" in result.stderr + result.stdout
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("size", [4096, 131072])
def test_pdus_of_the_size_that_dcmtk_sends(folder: Path, size: int) -> None:
    """With any Maximum Length that it is allowed, and that it receives itself."""
    with our_provider("storescp", 0, "-od", folder, "--max-pdu", 0) as provider:
        words = ("-pdu", size, "--max-send-pdu", size, "127.0.0.1", provider.port, SMALL.path)
        result = dcmtk("storescu", "-R", "-xe", *words)
        assert result.returncode == 0, result.stderr
    assert contents(files_in(folder)[SMALL.sop_instance_uid].path) == contents(SMALL.path)


def test_the_api_stores_what_dcmtk_sends(folder: Path) -> None:
    stored: list[receiving.Stored] = []

    def handle(session: Session) -> None:
        for request in session:
            if isinstance(request, StoreRequest):
                stored.append(receiving.store_into(folder, request))
            else:
                request.respond()

    policy = AcceptPolicy(contexts={uids.VERIFICATION: (uids.IMPLICIT_VR_LE,)}, other_contexts=(uids.EXPLICIT_VR_LE,))
    with serve(("127.0.0.1", 0), handle, policy=policy) as server:
        assert dcmtk("echoscu", "127.0.0.1", server.port).returncode == 0
        for tool in (("storescu", "-R", "-xe"), ("dcmsend",)):
            assert dcmtk(*tool, "127.0.0.1", server.port, SMALL.path).returncode == 0
    assert [one.status for one in stored] == [SUCCESS, SUCCESS]
    for one in stored:
        assert one.path is not None
        assert contents(one.path) == contents(SMALL.path)
