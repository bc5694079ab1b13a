"""Objects of a trace as files: complete ones only, named by safe UIDs, one after the other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from dicos_fuzz.captures.events import How
from dicos_fuzz.trace import saving
from dicos_fuzz.trace.saving import Saver
from dicos_fuzz.trace.tracer import Tracer
from dicos_proto import CGetRequest, CStoreRequest
from tests.fuzz.trace.saying import RELEASE, Said, connection, events, message, opened
from tests.fuzz.trace.test_association import RAW, STORE, STORED, store
from tests.pair import CT, p_data, policy, request

DATA = b"\x08\0\x16\0\x1a\0\0\0" + CT.encode() + b"\0" + b"\x08\0\x18\0\x06\0\0\x001.2.3\0"
"""A data set in implicit VR, which all contexts of the tests have."""


def saved(
    folder: Path, *conversations: list[Said], how: How = How.CLOSED, begun: bool = True
) -> tuple[Saver, list[str]]:
    told: list[str] = []
    saver = Saver(folder, told.append)
    tracer = Tracer([saver], pieces=True)
    for number, said in enumerate(conversations, 1):
        for event in events(said, connection(number, begun=begun), how=how, piece=33):
            tracer.feed(event)
    tracer.end()
    saver.close()
    return saver, told


def test_an_object_is_saved_as_a_part_10_file(tmp_path: Path) -> None:
    saver, told = saved(tmp_path, [*opened(), *store(DATA), *RELEASE])
    found = pydicom.dcmread(tmp_path / "1.2.3.dcm")
    assert (found.SOPClassUID, found.SOPInstanceUID) == (CT, "1.2.3")
    assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2"
    assert found.file_meta.SourceApplicationEntityTitle == "USER"
    assert (saver.saved, saver.failed, told) == (1, 0, [f"saved {tmp_path / '1.2.3.dcm'}"])


def test_an_object_that_is_retrieved_is_saved_too(tmp_path: Path) -> None:
    roles = opened(request(both_roles=True), policy(both_roles=True))
    get = CGetRequest(message_id=1, affected_sop_class_uid=CT)
    saved(tmp_path, [*roles, (True, message(get, data=b"ab")), (False, message(STORE, data=DATA)), *RELEASE])
    assert pydicom.dcmread(tmp_path / "1.2.3.dcm").file_meta.SourceApplicationEntityTitle == "PROVIDER"


def test_the_same_uid_again_is_another_file(tmp_path: Path) -> None:
    saved(tmp_path, [*opened(), *store(DATA), *store(DATA + DATA[:0]), *RELEASE])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.2.3.dcm", "1.2.3_2.dcm"]


@pytest.mark.parametrize("uid", ["../../x", "/etc/passwd", "1.2/3", ".", "..", ""])
def test_no_uid_leaves_the_folder(tmp_path: Path, uid: str) -> None:
    folder = tmp_path / "in" / "here"
    folder.mkdir(parents=True)
    raw = message(STORE, data=DATA)
    named = raw.replace(
        b"\x00\x10\x06\x00\x00\x001.2.3\x00", b"\x00\x10\x06\x00\x00\x00" + uid.encode()[:6].ljust(6, b"\0")
    )
    saved(folder, [*opened(), (True, named), *RELEASE], how=How.CUT)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(folder.glob("*"))
    assert all(path.name.startswith(("sha256-", "1.2")) for path in folder.iterdir())


LACKING = {
    "the recording ends": ([(True, p_data((3, True, True, RAW), (3, False, False, b"ab")))], "it is not complete"),
    "a gap": (
        [(True, message(STORE, data=DATA)[:-30]), (True, 20), (True, message(STORE, data=DATA)[-10:]), *RELEASE],
        "20 bytes are missing in the recording",
    ),
    "another message": (
        [(True, p_data((3, True, True, RAW), (3, False, False, b"ab")) + message(replace(STORE, message_id=9)))],
        "it is not complete",
    ),
    "no data set": ([(True, p_data((3, True, True, RAW))), *RELEASE], "the association is over"),
}


@pytest.mark.parametrize(("said", "why"), LACKING.values(), ids=LACKING)
def test_an_object_that_is_not_complete_leaves_nothing(tmp_path: Path, said: list[Said], why: str) -> None:
    saver, told = saved(tmp_path, [*opened(), *said], how=How.CUT)
    assert list(tmp_path.iterdir()) == []
    assert (saver.saved, saver.failed, told) == (0, 1, [f"not saved 1.2.3: {why}"])


def test_an_object_without_its_negotiation_is_not_saved(tmp_path: Path) -> None:
    _, told = saved(tmp_path, [*store(DATA), *RELEASE], begun=False)
    assert list(tmp_path.iterdir()) == []
    assert told == [
        "not saved 1.2.3: its transfer syntax is not known: the recording lacks the negotiation of its context"
    ]


def test_only_so_many_files_are_open_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "MOST_OPEN", 3)
    told: list[str] = []
    saver = Saver(tmp_path, told.append)
    tracer = Tracer([saver], pieces=True)
    begun = [*opened(), (True, p_data((3, True, True, RAW), (3, False, False, b"ab")))]
    for number in range(5):
        for event in list(events(begun, connection(number), how=How.CUT))[:-1]:
            tracer.feed(event)
    assert len(list(tmp_path.iterdir())) == 3
    assert told == ["not saved 1.2.3: more than 3 objects at once"] * 2
    saver.close()
    assert list(tmp_path.iterdir()) == []
    assert saver.failed == 5


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    saver, told = saved(missing, [*opened(), *store(DATA), *RELEASE])
    assert (saver.failed, told) == (1, ["not saved 1.2.3: No such file or directory"])


def test_a_disk_that_is_full_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("dicos_transports.files.writer.os.writev", full)
    command = CStoreRequest(message_id=7, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
    for size in (100, 200_000):
        said: list[Said] = [*opened(), (True, message(command, data=bytes(size))), (False, message(STORED)), *RELEASE]
        saver, told = saved(tmp_path, said)
        assert (saver.failed, told) == (1, ["not saved 1.2.3: No space left on device"])
        assert list(tmp_path.iterdir()) == []
