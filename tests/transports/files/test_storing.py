"""Files to C-STORE and back over real sockets: which contexts, which bytes, and what is answered when it fails."""

import errno
import os
import resource
import signal
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest

from dicos_proto.conversation import flows
from dicos_proto.conversation.invoking import ask
from dicos_proto.dimse.types import CStoreRequest
from dicos_proto.registry import uids
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports.blocking import Session, StoreRequest, connect
from dicos_transports.files import data_sets, part10, receiving, sending
from dicos_transports.files import writer as part10_writer
from dicos_transports.files.part10 import Part10Error, Part10File
from dicos_transports.files.receiving import Stored
from dicos_transports.sessions import session as sessions
from tests.transports.connections import CT, EXPLICIT, OBJECT, server
from tests.transports.connections import stored as stored_object

IMPLICIT, DEFLATED, JPEG = uids.IMPLICIT_VR_LE, uids.DEFLATED_EXPLICIT_VR_LE, uids.JPEG_BASELINE
MR = uids.MR_IMAGE_STORAGE
DATA = {
    EXPLICIT: b"\x08\0\x18\0UI\x06\x001.2.3\0" + b"\xe0\x7f\x10\0OW\0\0\x04\0\0\0abcd",
    IMPLICIT: b"\x08\0\x18\0\x06\0\0\x001.2.3\0" + b"\xe0\x7f\x10\0\x04\0\0\0abcd",
}


def write_file(path: Path, syntax: str = EXPLICIT, data: bytes | None = None, sop_class: str = CT) -> Part10File:
    header = part10_writer.file_header(sop_class, "1.2.3", syntax)
    path.write_bytes(header + (DATA.get(syntax, DATA[EXPLICIT]) if data is None else data))
    return part10.inspect(path)


def deflated(data: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return engine.compress(data) + engine.flush()


def described(syntax: str, sop_class: str = CT) -> Part10File:
    return Part10File(
        path=Path("x"), sop_class_uid=sop_class, sop_instance_uid="1", transfer_syntax=syntax,
        data_offset=0, data_length=8,
    )  # fmt: skip


@contextmanager
def archive(folder: Path, *accepted: str, **options: object) -> Iterator[tuple[Callable[..., Session], list[Stored]]]:
    """A server that stores into `folder`; how to connect to it with contexts for files, and what it stored."""
    stored: list[Stored] = []

    def handle(session: Session) -> None:
        for request in session:
            assert isinstance(request, StoreRequest)
            stored.append(receiving.store_into(folder, request, **options))  # type: ignore[arg-type]

    with server(handle, policy=AcceptPolicy(other_contexts=accepted or (EXPLICIT,))) as running:

        def open_for(*files: Part10File) -> Session:
            (batch,) = sending.plan(files)
            return connect(("127.0.0.1", running.port), batch.contexts, calling_aet="SCANNER")

        yield open_for, stored


# -- which contexts ----------------------------------------------------------------------------------------------


def proposed(*files: Part10File) -> list[list[tuple[str, tuple[str, ...]]]]:
    return [[(one.abstract_syntax, one.transfer_syntaxes) for one in batch.contexts] for batch in sending.plan(files)]


def test_each_sop_class_and_transfer_syntax_gets_a_context_of_its_own() -> None:
    files = [described(JPEG), described(JPEG, MR), described(JPEG), described(uids.RLE_LOSSLESS)]
    assert proposed(*files) == [[(CT, (JPEG,)), (MR, (JPEG,)), (CT, (uids.RLE_LOSSLESS,)), (CT, (EXPLICIT, IMPLICIT))]]


@pytest.mark.parametrize(
    ("syntax", "others"),
    [(EXPLICIT, (IMPLICIT,)), (IMPLICIT, (EXPLICIT,)), (DEFLATED, (EXPLICIT, IMPLICIT))],
)
def test_what_can_be_converted_offers_one_more(syntax: str, others: tuple[str, ...]) -> None:
    assert proposed(described(syntax)) == [[(CT, (syntax,)), (CT, others)]]


@pytest.mark.parametrize("classes", [127, 128, 129, 256, 257])
def test_more_than_128_contexts_are_more_than_one_association(classes: int) -> None:
    files = [described(JPEG, f"1.2.{number}") for number in range(classes)]
    batches = sending.plan(files)
    assert [len(batch.contexts) for batch in batches] == [min(128, classes - at) for at in range(0, classes, 128)]
    assert [file for batch in batches for file in batch.files] == files


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (described(EXPLICIT, uids.MEDIA_STORAGE_DIRECTORY), "a DICOMDIR describes files and is not stored itself"),
        (described(EXPLICIT, "Doe^Jane"), "its SOP class is not a UID"),
        (described("1..2"), "its transfer syntax is not a UID"),
    ],
)
def test_what_no_context_can_be_proposed_for_is_told(file: Part10File, reason: str) -> None:
    with pytest.raises(Part10Error, match=f"^x: cannot be sent: {reason}") as caught:
        sending.plan([described(EXPLICIT), file])
    assert "Jane" not in str(caught.value)


def test_nothing_to_send_needs_no_association() -> None:
    assert sending.plan([]) == []


# -- what is sent ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, JPEG, uids.EXPLICIT_VR_BE])
def test_a_file_is_sent_as_it_is_where_that_is_accepted(tmp_path: Path, syntax: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    order: Literal["little", "big"] = "big" if syntax == uids.EXPLICIT_VR_BE else "little"
    data = stored_object(2_000_000, implicit=syntax == IMPLICIT, order=order)
    file = write_file(tmp_path / "a.dcm", syntax, data)
    sizes: list[int] = []
    with (
        archive(folder, EXPLICIT, IMPLICIT, JPEG, uids.EXPLICIT_VR_BE) as (open_for, stored),
        open_for(file) as session,
    ):
        assert sending.send_file(session, file, progress=sizes.append).status == 0
    (result,) = stored
    assert result.path == folder / "1.2.3.dcm"
    assert sum(sizes) == result.size == file.data_length
    copy = part10.inspect(result.path)
    assert copy.transfer_syntax == syntax
    assert b"".join(part10.read_chunks(copy)) == b"".join(part10.read_chunks(file))


@pytest.mark.parametrize(("syntax", "accepted"), [(EXPLICIT, IMPLICIT), (IMPLICIT, EXPLICIT)])
def test_a_file_is_converted_where_it_must_be(tmp_path: Path, syntax: str, accepted: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    file = write_file(tmp_path / "a.dcm", syntax)
    with archive(folder, accepted) as (open_for, stored), open_for(file) as session:
        assert sending.send_file(session, file).status == 0
    assert stored[0].path is not None
    copy = part10.inspect(stored[0].path)
    assert copy.transfer_syntax == accepted
    assert b"".join(part10.read_chunks(copy)) == DATA[accepted]


def test_a_file_nobody_takes_is_reported_and_costs_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    jpeg, plain = write_file(tmp_path / "a.dcm", JPEG), write_file(tmp_path / "b.dcm")
    with archive(folder, EXPLICIT) as (open_for, _), open_for(jpeg, plain) as session:
        with pytest.raises(flows.ContextNotAccepted, match=r"JPEG Baseline .*: none of the transfer syntaxes"):
            sending.send_file(session, jpeg)
        assert sending.send_file(session, plain).status == 0


@pytest.mark.parametrize("fault", ["gone", "no data set"])
def test_a_file_that_cannot_be_read_costs_nothing(tmp_path: Path, fault: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    good = write_file(tmp_path / "good.dcm")
    bad = write_file(tmp_path / "bad.dcm", IMPLICIT, b"\x08\0\x18\0\xff\xff\0\0" + bytes(20))
    if fault == "gone":
        bad.path.unlink()
    with archive(folder, EXPLICIT) as (open_for, _), open_for(good, bad) as session:
        with pytest.raises(Part10Error):
            sending.send_file(session, bad)
        assert sending.send_file(session, good).status == 0
    assert len(list(folder.iterdir())) == 1


def test_a_file_that_becomes_shorter_while_it_is_sent_aborts_the_association(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    file = write_file(tmp_path / "a.dcm", data=DATA[EXPLICIT] + bytes(3 * part10.CHUNK))

    def cut(_: int) -> None:
        os.truncate(file.path, file.data_offset + part10.CHUNK)

    with archive(folder) as (open_for, _), open_for(file) as session:
        with pytest.raises(Part10Error, match="has become shorter while it was read"):
            sending.send_file(session, file, progress=cut)
        assert not session.established
    assert list(folder.iterdir()) == []


# -- what is stored ----------------------------------------------------------------------------------------------


def test_success_is_answered_once_the_file_is_there(tmp_path: Path) -> None:
    file = write_file(tmp_path / "a.dcm")
    folder = tmp_path / "in"
    folder.mkdir()
    with archive(folder) as (open_for, _), open_for(file) as session:
        for count in (1, 2, 3):
            assert sending.send_file(session, file).status == 0
            assert len(list(folder.iterdir())) == count  # the same UID again: nothing is lost


@pytest.mark.parametrize("uid", ["../../escape", "/etc/passwd", "..", "1.2/../3", "a" * 64, "1.2.", "1..2"])
def test_no_name_from_the_wire_leaves_the_folder(tmp_path: Path, uid: str) -> None:
    """An invalid UID is refused before anything is stored."""
    folder = tmp_path / "in"
    folder.mkdir()
    refused = pytest.raises(flows.AssociationAborted, match="aborted by the service provider: invalid parameter")
    with archive(folder) as (open_for, stored), open_for(described(EXPLICIT)) as session, refused:
        session.store(CT, uid, EXPLICIT, DATA[EXPLICIT])
    assert list(folder.iterdir()) == []
    assert stored == []
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("fault", "code", "comment"),
    [
        (errno.ENOSPC, 0xA700, "No space left on device"),
        (errno.EDQUOT, 0xA700, "Disk quota exceeded"),
        (errno.EACCES, 0x0110, "Permission denied"),
        (errno.EIO, 0x0110, "Input/output error"),
    ],
)
def test_what_the_system_refuses_is_a_failure_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: int, code: int, comment: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(fault, os.strerror(fault))

    with archive(tmp_path) as (open_for, stored), open_for(described(EXPLICIT)) as session:
        monkeypatch.setattr(os, "writev", refuse)
        response = session.store(CT, "1.2.3", EXPLICIT, stored_object(1 << 20))
        monkeypatch.undo()
        assert (response.status, response.error_comment) == (code, comment)
        assert session.store(CT, "1.2.3", EXPLICIT, OBJECT).status == 0  # the association goes on
    assert stored[0].path is None
    assert [path.name for path in tmp_path.iterdir()] == ["1.2.3.dcm"]


def test_a_real_limit_of_the_system_is_a_failure_status(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with archive(tmp_path) as (open_for, _), open_for(described(EXPLICIT)) as session:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
            response = session.store(CT, "1.2.3", EXPLICIT, stored_object(1 << 20))
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert (response.status, response.error_comment) == (0xA700, "File too large")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_gone_is_a_failure_status(tmp_path: Path) -> None:
    with archive(tmp_path / "gone") as (open_for, stored), open_for(described(EXPLICIT)) as session:
        response = session.store(CT, "1.2.3", EXPLICIT, stored_object(1 << 20))
    assert (response.status, response.error_comment) == (0x0110, "No such file or directory")
    assert stored[0].error == "No such file or directory"


@pytest.mark.parametrize("size", [998, 1000, 1002])
def test_an_object_larger_than_allowed_is_refused(tmp_path: Path, size: int) -> None:
    with archive(tmp_path, most=1000) as (open_for, _), open_for(described(EXPLICIT)) as session:
        response = session.store(CT, "1.2.3", EXPLICIT, stored_object(size))
    assert response.status == (0 if size <= 1000 else 0xA700)
    assert len(list(tmp_path.iterdir())) == (size <= 1000)


@pytest.mark.parametrize("pieces", [[], [b""]], ids=["no pieces", "an empty one"])
def test_no_data_set_is_nothing_to_store(tmp_path: Path, pieces: list[bytes]) -> None:
    with archive(tmp_path) as (open_for, _), open_for(described(EXPLICIT)) as session:
        store = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2")
        response = session.run(ask(session.exchange, 1, store, pieces))
        assert (response.status, response.error_comment) == (0xC000, "no data set")
        assert session.established
    assert list(tmp_path.iterdir()) == []


def test_another_sop_class_than_the_contexts_is_refused(tmp_path: Path) -> None:
    with archive(tmp_path) as (open_for, _), open_for(described(EXPLICIT)) as session:
        wrong = CStoreRequest(message_id=1, affected_sop_class_uid=MR, affected_sop_instance_uid="1.2")
        response = session.run(ask(session.exchange, 1, wrong, [b"ab"]))
        assert response.status == 0x0122
    assert list(tmp_path.iterdir()) == []


def test_what_is_discarded_is_read_and_answered() -> None:
    sizes: list[int] = []

    def drop(session: Session) -> None:
        for request in session:
            assert isinstance(request, StoreRequest)
            sizes.append(receiving.discard(request).size)

    with server(drop) as running:
        (batch,) = sending.plan([described(EXPLICIT)])
        with connect(("127.0.0.1", running.port), batch.contexts) as session:
            assert session.store(CT, "1.2.3", EXPLICIT, bytes(1_000_000)).status == 0
    assert sizes == [1_000_000]


def test_a_deflated_data_set_of_odd_length_is_padded(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    data = next(data for size in range(100) if len(data := deflated(stored_object(12 + size))) % 2)
    file = write_file(tmp_path / "a.dcm", DEFLATED, data)
    with archive(folder, DEFLATED) as (open_for, stored), open_for(file) as session:
        assert sending.send_file(session, file).status == 0
    assert stored[0].path is not None
    assert b"".join(part10.read_chunks(part10.inspect(stored[0].path))) == data + b"\0"


def test_another_data_set_of_odd_length_is_no_data_set(tmp_path: Path) -> None:
    file = write_file(tmp_path / "a.dcm", JPEG, DATA[EXPLICIT] + b"x")
    with archive(tmp_path, JPEG) as (open_for, _), open_for(file) as session:
        with pytest.raises(Part10Error, match="an odd number: an element header of 1 bytes"):
            sending.send_file(session, file)
        assert session.established


# -- without waiting -----------------------------------------------------------------------------------------------


class Arrived:
    """A C-STORE-RQ as `IncomingFile` sees it, in a real session whose peer has sent nothing else."""

    def __init__(self, session: Session, sop_class: str = CT) -> None:
        from dicos_proto.dimse.events import MessageStart
        from dicos_proto.services.performing import ProviderOperation

        (context, *_) = session.contexts.values()
        command = CStoreRequest(message_id=1, affected_sop_class_uid=sop_class, affected_sop_instance_uid="1.2.3")
        start = MessageStart(context=context.id, command=command, has_data=True)
        awaited = sessions.StoreRequest(session=session.awaited, performing=ProviderOperation(session.exchange, start))
        self.request = StoreRequest(session, awaited)


@pytest.fixture
def arrived(tmp_path: Path) -> Iterator[Arrived]:
    file = write_file(tmp_path / "x.dcm")
    with archive(tmp_path) as (open_for, _), open_for(file) as session:
        yield Arrived(session)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_object_comes_in_pieces_of_any_size(arrived: Arrived, tmp_path: Path, size: int) -> None:
    data = DATA[EXPLICIT]
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    (tmp_path / "out").mkdir()
    with receiving.IncomingFile(tmp_path / "out", arrived.request, source_aet="WHO") as incoming:
        for piece in pieces[:-1]:
            assert incoming.write((piece,))
        stored = incoming.end(pieces[-1:])
    assert (stored.status, stored.size, stored.comment) == (0, len(data), None)
    assert stored.path == tmp_path / "out" / "1.2.3.dcm"
    assert stored.path.read_bytes().endswith(data)
    assert b"WHO" in stored.path.read_bytes()


def test_an_object_that_does_not_come_to_its_end_leaves_nothing(arrived: Arrived, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with receiving.IncomingFile(tmp_path / "out", arrived.request) as incoming:
        assert incoming.write([stored_object(300_000)[:200_000]])
        assert len(list((tmp_path / "out").iterdir())) == 1  # under its hidden name
    assert list((tmp_path / "out").iterdir()) == []
    incoming.discard()


def test_an_object_that_is_refused_wants_no_more_of_itself(arrived: Arrived, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with receiving.IncomingFile(tmp_path / "out", arrived.request, most=10) as incoming:
        assert incoming.write([OBJECT[:10]])
        assert not incoming.write([bytes(1), bytes(1 << 20)])
        assert not incoming.write([bytes(1)])
        stored = incoming.end()
    assert (stored.status, stored.error) == (0xA700, "more than 10 bytes")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_object_of_another_sop_class_is_refused_before_it_comes(arrived: Arrived, tmp_path: Path) -> None:
    other = Arrived(arrived.request.session, MR)
    with receiving.IncomingFile(tmp_path / "nowhere", other.request) as incoming:
        assert not incoming.write(())
        assert incoming.end().status == 0x0122


def test_an_object_that_is_not_kept_is_counted(arrived: Arrived) -> None:
    with receiving.IncomingFile(None, arrived.request) as incoming:
        assert incoming.write([OBJECT[:5]])
        stored = incoming.end([OBJECT[5:]])
    assert (stored.status, stored.size, stored.path) == (0, 12, None)


def test_a_comment_is_as_long_as_a_response_may_have_it() -> None:
    assert Stored(status=0xA700, size=0, error="x" * 100).comment == "x" * 64


def test_a_prepared_file_is_an_instance_that_counts_what_is_taken(tmp_path: Path) -> None:
    file = write_file(tmp_path / "a.dcm", data=DATA[EXPLICIT] + bytes(2 << 20))
    taken: list[int] = []
    with archive(tmp_path) as (open_for, _), open_for(file) as session:
        instance = sending.prepare(session.association, file, progress=taken.append)
        assert (instance.sop_class_uid, instance.sop_instance_uid, instance.file) == (CT, "1.2.3", file)
        assert taken == []
        sizes = [len(piece) for piece in instance.data]
        assert (taken, sum(sizes)) == (sizes, file.data_length)
        instance.close()
        left = sending.prepare(session.association, file)
        next(iter(left.data))
        left.close()
        with pytest.raises(ValueError, match="its instance is closed; prepare the file again"):
            list(left.data)


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_the_disk_did_not_take_is_answered_so_and_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    """The folder cannot be synced after the file has its name: answer and disk agree."""
    (tmp_path / "out").mkdir()
    file = write_file(tmp_path / "a.dcm")
    with archive(tmp_path / "out", fsync=True, overwrite=overwrite) as (open_for, stored), open_for(file) as session:
        assert sending.send_file(session, file).status == 0
        kept = {path.name: path.stat().st_ino for path in (tmp_path / "out").iterdir()}
        real = os.fsync

        def fails_for_folders(fd: int) -> None:
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            real(fd)

        monkeypatch.setattr(os, "fsync", fails_for_folders)
        assert sending.send_file(session, file).status == 0x0110
        assert {path.name: path.stat().st_ino for path in (tmp_path / "out").iterdir()} == kept
        monkeypatch.undo()
        assert sending.send_file(session, file).status == 0
    assert [one.path is None for one in stored] == [False, True, False]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == (
        ["1.2.3.dcm"] if overwrite else ["1.2.3.dcm", "1.2.3_2.dcm"]
    )


# -- bytes that are not a data set, and sloppy data sets --------------------------------------------------------------

NONE = {
    "garbage": (b"\xff" * 100_000, 0xC000),
    "cut": (stored_object(200_000)[:-2], 0xC000),
    "another instance": (DATA[EXPLICIT].replace(b"1.2.3", b"1.2.4"), 0xA900),
}


@pytest.mark.parametrize(("data", "code"), NONE.values(), ids=NONE)
def test_what_is_no_data_set_is_not_stored(tmp_path: Path, data: bytes, code: int) -> None:
    with archive(tmp_path) as (open_for, stored), open_for(described(EXPLICIT)) as session:
        pieces = [data[at : at + 5000] for at in range(0, len(data), 5000)]
        assert session.store(CT, "1.2.3", EXPLICIT, pieces).status == code
        assert list(tmp_path.iterdir()) == []
        assert session.store(CT, "1.2.3", EXPLICIT, DATA[EXPLICIT]).status == 0
    assert [one.status for one in stored] == [code, 0]
    with archive(tmp_path, check=False) as (open_for, _), open_for(described(EXPLICIT)) as session:
        assert session.store(CT, "1.2.3", EXPLICIT, data).status == 0
    assert len(list(tmp_path.iterdir())) == 2


PRIVATE = "1.2.840.113619.5.2"


def test_a_private_transfer_syntax_is_kept_as_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    file = write_file(tmp_path / "a.dcm", PRIVATE, b"whatever it is  ")
    with archive(folder, PRIVATE) as (open_for, stored), open_for(file) as session:
        assert sending.send_file(session, file).status == 0
    assert stored[0].path is not None
    assert stored[0].path.read_bytes().endswith(b"whatever it is  ")


def element(tag: int, vr: bytes, value: bytes, order: str = "<") -> bytes:
    import struct

    if vr in (b"OB", b"SQ"):
        return struct.pack(order + "HH2sHL", tag >> 16, tag & 0xFFFF, vr, 0, len(value)) + value
    return struct.pack(order + "HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def sent(tmp_path: Path, syntax: str, data: bytes, accepted: str | None = None) -> bytes:
    """The data set as it arrives."""
    folder = tmp_path / "in"
    folder.mkdir()
    file = write_file(tmp_path / "a.dcm", syntax, data)
    with archive(folder, accepted or syntax) as (open_for, stored), open_for(file) as session:
        assert sending.send_file(session, file).status == 0
    assert stored[0].path is not None
    return b"".join(bytes(piece) for piece in part10.read_chunks(part10.inspect(stored[0].path)))


ITEM, END = b"\xfe\xff\0\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"
IDENTITY = DATA[EXPLICIT][:14]


@pytest.mark.parametrize("size", [5, 70_001, 600_001])
@pytest.mark.parametrize("syntax", [EXPLICIT, JPEG])
def test_values_of_odd_length_are_padded_and_told(
    tmp_path: Path, syntax: str, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    """One of them, or two: the whole is even then."""
    name, blob = element(0x00100010, b"PN", b"DOE^J"), element(0x00091001, b"OB", b"x" * size)
    got = sent(tmp_path, syntax, IDENTITY + blob + name)
    padded = element(0x00091001, b"OB", b"x" * size + b"\0") + element(0x00100010, b"PN", b"DOE^J ")
    assert got == IDENTITY + padded
    assert "odd length of (0009,1001), (0010,0010): padded [PS3.5 7.1.1]" in caplog.text


def test_big_endian_ones_and_those_in_sequences_too(tmp_path: Path) -> None:
    identity = element(0x00080018, b"UI", b"1.2.3\0", ">")
    got = sent(tmp_path, uids.EXPLICIT_VR_BE, identity + element(0x00100010, b"PN", b"DOE^J", ">"))
    assert got == identity + element(0x00100010, b"PN", b"DOE^J ", ">")


def test_they_are_padded_where_they_are_converted(tmp_path: Path) -> None:
    got = sent(tmp_path, EXPLICIT, IDENTITY + element(0x00100010, b"PN", b"DOE^J"), IMPLICIT)
    assert got == DATA[IMPLICIT][:14] + b"\x10\0\x10\0\6\0\0\0DOE^J "


def test_fragments_pass_where_others_are_padded(tmp_path: Path) -> None:
    pixels = b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff" + ITEM + b"\0\0\0\0" + ITEM + b"\4\0\0\0abcd" + END
    got = sent(tmp_path, JPEG, IDENTITY + element(0x00100010, b"PN", b"DOE^J") + pixels)
    assert got == IDENTITY + element(0x00100010, b"PN", b"DOE^J ") + pixels


def test_a_fragment_of_odd_length_is_named(tmp_path: Path) -> None:
    pixels = b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff" + ITEM + b"\0\0\0\0"
    pixels += ITEM + b"\4\0\0\0abcd" + ITEM + b"\4\0\0\0abcd" + ITEM + b"\3\0\0\0abc" + END
    file = write_file(tmp_path / "a.dcm", JPEG, IDENTITY + pixels)
    with archive(tmp_path, JPEG) as (open_for, _), open_for(file) as session:
        with pytest.raises(Part10Error, match=r"fragment 3 of \(7FE0,0010\) has an odd length"):
            sending.send_file(session, file)
        assert session.established


@pytest.mark.parametrize("odd", [1, 2])
def test_elements_are_padded_and_fragments_told(tmp_path: Path, odd: int, caplog: pytest.LogCaptureFixture) -> None:
    """A data set that padding its elements would make odd is refused, although its own length is even."""
    pixels = b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff" + ITEM + b"\0\0\0\0" + odd * (ITEM + b"\3\0\0\0abc") + END
    data = IDENTITY + element(0x00100010, b"PN", b"DOE^J") + pixels
    if odd == 2:
        assert sent(tmp_path, JPEG, data) == IDENTITY + element(0x00100010, b"PN", b"DOE^J ") + pixels
        told = "odd length of (0010,0010): padded [PS3.5 7.1.1]; odd length of fragment 1 of (7FE0,0010): sent as it is"
        assert told in caplog.text
        return
    file = write_file(tmp_path / "a.dcm", JPEG, data)
    with pytest.raises(Part10Error, match=r"bytes: fragment 1 of \(7FE0,0010\) has an odd length"):
        data_sets.prepare(file)


def test_zeros_after_the_end_are_not_sent_where_they_make_it_odd(tmp_path: Path) -> None:
    assert sent(tmp_path, EXPLICIT, DATA[EXPLICIT] + b"\0") == DATA[EXPLICIT]


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_a_bare_data_set_is_sent(tmp_path: Path, syntax: str) -> None:
    named = element(0x00080016, b"UI", CT.encode() + b"\0")
    if syntax == IMPLICIT:
        named = named[:4] + (len(CT) + 1).to_bytes(4, "little") + named[8:]
    path = tmp_path / "bare"
    path.write_bytes(named + DATA[syntax])
    file = part10.inspect(path)
    assert (file.transfer_syntax, file.sop_class_uid, file.sop_instance_uid) == (syntax, CT, "1.2.3")
    folder = tmp_path / "in"
    folder.mkdir()
    with archive(folder, syntax) as (open_for, stored), open_for(file) as session:
        assert sending.send_file(session, file).status == 0
    assert stored[0].size == path.stat().st_size
    path.write_bytes(DATA[syntax])  # of no class
    with pytest.raises(Part10Error, match="no DICM at byte 128"):
        part10.inspect(path)
