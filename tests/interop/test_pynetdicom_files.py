"""pynetdicom and ours, both ways: every available file, unchanged, decoded, and converted."""

from pathlib import Path

import pytest
from pydicom import dcmread

from dicos_proto.registry import status, uids
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports.blocking import EchoRequest, Session, StoreRequest
from dicos_transports.blocking.server import serve
from dicos_transports.files import receiving
from tests.interop.peers import (
    contents,
    digest,
    files_in,
    needs_pynetdicom,
    our_provider,
    ours,
    private_bytes,
    pynetdicom_provider,
    pynetdicom_user,
)
from tests.interop.shipped import BY_UID, FILES, PLAIN

pytestmark = [
    pytest.mark.interop,
    needs_pynetdicom,
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),  # of values in files that are none too well
]

ODD_ONES = {
    file.sop_instance_uid
    for file in FILES
    if dcmread(file.path).file_meta.get("MediaStorageSOPInstanceUID", "") not in ("", file.sop_instance_uid)
}
"""Files whose meta information names another instance than the data set, which pynetdicom's user relies on."""
ALL = list(uids.TRANSFER_SYNTAXES)
FIND = "1.2.840.10008.5.1.4.1.2.2.1"


def test_every_file_arrives_as_it_was() -> None:
    with pynetdicom_provider(syntaxes=ALL) as peer:
        result = ours("storescu", "-aet", "SCANNER", "127.0.0.1", peer.port, *[file.path for file in FILES])
        assert result.returncode == 0, result.stderr
        syntaxes = set()
        for file in FILES:
            told = peer.next("stored")
            assert (told["uid"], told["syntax"]) == (file.sop_instance_uid, file.transfer_syntax)
            assert told["sha256"] == digest(file), file.path
            assert told["aet"] == "SCANNER"
            syntaxes.add(uids.name_of(file.transfer_syntax))
        peer.next("released")
    print(f"{len(FILES)} files in {len(syntaxes)} transfer syntaxes")


@pytest.mark.parametrize("syntax", [uids.IMPLICIT_VR_LE, uids.EXPLICIT_VR_LE], ids=["implicit", "explicit"])
def test_what_is_accepted_in_one_transfer_syntax_is_converted_to_it(folder: Path, syntax: str) -> None:
    with pynetdicom_provider(syntaxes=[syntax], folder=str(folder)) as peer:
        result = ours("storescu", "127.0.0.1", peer.port, *[file.path for file in PLAIN])
        assert result.returncode == 0, result.stderr
        for file in PLAIN:
            told = peer.next("stored")
            assert told["syntax"] == syntax
            if file.transfer_syntax == syntax:
                assert told["sha256"] == digest(file)
                continue
            copy = folder / f"{file.sop_instance_uid}.dcm"
            assert contents(copy, private=False) == contents(file.path, private=False), file.path
            before, after = private_bytes(file.path), private_bytes(copy)
            for tag in before.keys() & after.keys():
                assert after[tag] == before[tag], (file.path, hex(tag))


def test_dicos_objects_are_stored(tmp_path: Path) -> None:
    from demo.phantom import make_ct

    path = tmp_path / "bag.dcs"
    make_ct(path, rows=64, columns=64, frames=4)
    with pynetdicom_provider(syntaxes=ALL, any=True) as peer:
        assert ours("storescu", "127.0.0.1", peer.port, path).returncode == 0
        assert peer.next("stored")["syntax"] == uids.EXPLICIT_VR_LE


@pytest.mark.parametrize("checked", [True, False], ids=["checked", "unchecked"])
def test_every_file_of_theirs_is_stored_as_it_was(folder: Path, checked: bool) -> None:
    refused = ODD_ONES if checked else set()
    flags = [] if checked else ["--no-check"]
    with our_provider("storescp", 0, "-od", folder, *flags, status=int(checked)) as provider:
        told = pynetdicom_user(provider.port, paths=[str(file.path) for file in FILES])
    assert [each["status"] for each in told["answered"]] == [
        status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS if file.sop_instance_uid in refused else status.SUCCESS
        for file in FILES
    ]
    assert told["over"][0]["released"]
    stored = files_in(folder)
    assert stored.keys() == BY_UID.keys() - refused
    for file in (file for file in FILES if file.sop_instance_uid not in refused):
        copy = stored[file.sop_instance_uid]
        assert copy.transfer_syntax == file.transfer_syntax
        assert digest(copy) == digest(file), file.path


def test_what_they_decode_and_encode_is_stored(folder: Path) -> None:
    """Their usual way of sending: a data set of pydicom, with the UIDs of the data set, not of the file."""
    chosen = [file for file in FILES if dcmread(file.path).get("SOPInstanceUID") == file.sop_instance_uid]
    with our_provider("storescp", 0, "-od", folder) as provider:
        told = pynetdicom_user(provider.port, paths=[str(file.path) for file in chosen], decode=True)
    assert [each["status"] for each in told["answered"]] == [status.SUCCESS] * len(chosen)
    stored = files_in(folder)
    assert len(stored) == len(chosen) > 110
    for file in chosen:
        copy = stored[file.sop_instance_uid]
        assert copy.transfer_syntax == file.transfer_syntax
        assert contents(copy.path) == contents(file.path), file.path


def test_the_api_stores_what_they_send(folder: Path) -> None:
    syntaxes = dict.fromkeys(uids.STORAGE_SOP_CLASSES, uids.TRANSFER_SYNTAXES)

    def handle(session: Session) -> None:
        for request in session:
            if isinstance(request, StoreRequest):
                receiving.store_into(folder, request)
            elif isinstance(request, EchoRequest):
                request.respond()

    with serve(("127.0.0.1", 0), handle, policy=AcceptPolicy(contexts=syntaxes)) as server:
        told = pynetdicom_user(server.port, paths=[str(file.path) for file in FILES[:30]])
    assert told["over"][0]["released"]
    assert {uid: digest(file) for uid, file in files_in(folder).items()} == {
        file.sop_instance_uid: digest(file) for file in FILES[:30] if file.sop_instance_uid not in ODD_ONES
    }
