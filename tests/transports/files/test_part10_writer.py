"""Writing received objects: whole under a name of their own, or gone; and never outside the folder."""

import errno
import os
import random
import shutil
import stat
import subprocess
import sys
import textwrap
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dicos_transports.files.part10 import Part10Error, Part10File, inspect, read_chunks
from dicos_transports.files.temporary import remove_stale_parts
from dicos_transports.files.writer import AHEAD, Part10Writer

pydicom = pytest.importorskip("pydicom")

SHIPPED = Path(pydicom.__path__[0]) / "data" / "test_files"
CT = "1.2.840.10008.5.1.4.1.1.2"
DICOS_CT = "1.2.840.10008.5.1.4.1.1.501.1"
EXPLICIT = "1.2.840.10008.1.2.1"
UID = "1.2.3.4"


def create(folder: Path, uid: str = UID, sop_class_uid: str = CT) -> Part10Writer:
    return Part10Writer.create(
        folder, sop_class_uid=sop_class_uid, sop_instance_uid=uid, transfer_syntax=EXPLICIT, source_aet="SCU"
    )


def store(folder: Path, data: bytes, uid: str = UID, *, overwrite: bool = False, fsync: bool = False) -> Path:
    with create(folder, uid) as writer:
        writer.write(data)
        return writer.commit(overwrite=overwrite, fsync=fsync)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def shipped() -> list[Part10File]:
    """Every Part 10 file of pydicom's."""
    found = []
    for path in sorted(SHIPPED.rglob("*")):
        with suppress(Part10Error):
            found.append(inspect(path))
    assert len(found) > 100
    return found


# Files that are written


@pytest.mark.parametrize("file", shipped(), ids=lambda file: file.path.name)
def test_every_data_set_of_pydicoms_is_stored_byte_for_byte(tmp_path: Path, file: Part10File) -> None:
    with Part10Writer.create(
        tmp_path,
        sop_class_uid=file.sop_class_uid,
        sop_instance_uid=file.sop_instance_uid,
        transfer_syntax=file.transfer_syntax,
    ) as writer:
        for chunk in read_chunks(file, chunk=10_000):
            writer.write(memoryview(chunk))
        assert writer.bytes_written == file.data_length
        stored = inspect(writer.commit())
    assert names(tmp_path) == [f"{file.sop_instance_uid}.dcm"]
    assert b"".join(read_chunks(stored)) == file.path.read_bytes()[file.data_offset :]
    assert (stored.sop_class_uid, stored.sop_instance_uid) == (file.sop_class_uid, file.sop_instance_uid)
    assert stored.transfer_syntax == file.transfer_syntax


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("source", [None, "SCU", "SIXTEEN_LONG_AET"])
@pytest.mark.parametrize("uid", ["1.2.3", "1.2.34", "1." + "2" * 62])
def test_the_meta_information_is_complete(tmp_path: Path, uid: str, source: str | None) -> None:
    with Part10Writer.create(
        tmp_path, sop_class_uid=CT, sop_instance_uid=uid, transfer_syntax=EXPLICIT, source_aet=source
    ) as writer:
        writer.write(b"\x08\0\x60\0CS\2\0CT")
        path = writer.commit()
    assert path.read_bytes()[:132] == bytes(128) + b"DICM"
    ds = pydicom.dcmread(path)
    info = ds.file_meta
    assert info.FileMetaInformationVersion == b"\0\1"
    assert (info.MediaStorageSOPClassUID, info.MediaStorageSOPInstanceUID) == (CT, uid)
    assert info.TransferSyntaxUID == EXPLICIT
    assert info.ImplementationClassUID.startswith("2.25.")
    assert info.ImplementationVersionName.startswith("DICOS_PROTO_")
    assert info.get("SourceApplicationEntityTitle") == source
    assert [element.tag.element for element in info] == sorted(element.tag.element for element in info)
    assert info.FileMetaInformationGroupLength == inspect(path).data_offset - 144
    assert ds.Modality == "CT"


@pytest.mark.filterwarnings("error")
def test_dicos_objects_are_dcs_files_marked_as_dicos(tmp_path: Path) -> None:
    with create(tmp_path, sop_class_uid=DICOS_CT) as writer:
        writer.write(b"\x08\0\x60\0CS\2\0CT")
        path = writer.commit()
    assert path == tmp_path / f"{UID}.dcs"
    assert pydicom.dcmread(path).file_meta[0x00020004].value == "V03"


@pytest.mark.parametrize("sizes", [[], [0], [1] * 10, [65_000], [65_536], [100, 70_000, 1, 0, 300_000], [1 << 20]])
def test_pieces_of_any_size_are_joined(tmp_path: Path, sizes: list[int]) -> None:
    buffer = bytearray()
    with create(tmp_path) as writer:
        for number, size in enumerate(sizes):
            piece = bytearray([number]) * size
            buffer += piece
            writer.write(memoryview(piece))
            piece[:] = bytes(size)  # the caller's buffer is its own again
        assert writer.bytes_written == len(buffer)
        path = writer.commit(fsync=True)
    assert path.read_bytes().endswith(bytes(buffer))


def test_the_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        assert store(tmp_path, b"x").stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(old)


# Names


@pytest.mark.parametrize("fsync", [False, True])
def test_a_second_object_of_one_uid_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture, fsync: bool) -> None:
    """The sections of a CT have one SOP Instance UID. The same content is no reason to drop one."""
    for content in (b"first", b"first", b"second"):
        with create(tmp_path) as writer:
            writer.write(content)
            writer.commit(fsync=fsync)
    text = f"'{UID}.dcm': another object has the same SOP Instance UID: "
    kept = [f"{text}both are kept, this one as '{UID}_{number}.dcm'" for number in (2, 3)]
    assert caplog.messages == kept
    with create(tmp_path) as writer:
        writer.write(b"third")
        writer.commit(overwrite=True, fsync=fsync)
    assert caplog.messages == [*kept, f"{text}it was replaced"]
    assert len(names(tmp_path)) == 3


def test_objects_of_one_uid_are_all_kept(tmp_path: Path) -> None:
    first, second = create(tmp_path), create(tmp_path)
    first.write(b"first")
    second.write(b"second")
    assert second.commit() == tmp_path / f"{UID}.dcm"
    assert first.commit() == tmp_path / f"{UID}_2.dcm"
    paths = [store(tmp_path, str(number).encode()) for number in range(3, 40)]
    assert paths == [tmp_path / f"{UID}_{number}.dcm" for number in range(3, 40)]
    assert all(path.read_bytes().endswith(path.stem[8:].encode()) for path in paths)
    assert len(names(tmp_path)) == 39


def test_a_folder_or_a_broken_link_in_the_way_is_a_taken_name(tmp_path: Path) -> None:
    (tmp_path / f"{UID}.dcm").mkdir()
    (tmp_path / f"{UID}_2.dcm").symlink_to(tmp_path / "elsewhere")
    assert store(tmp_path, b"x") == tmp_path / f"{UID}_3.dcm"
    assert not (tmp_path / "elsewhere").exists()


def test_overwriting_is_asked_for(tmp_path: Path) -> None:
    store(tmp_path, b"old")
    path = store(tmp_path, b"new", overwrite=True)
    assert names(tmp_path) == [f"{UID}.dcm"]
    assert path.read_bytes().endswith(b"new")


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.EMLINK])
def test_without_hard_links_nothing_is_lost_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """As on FAT and some network file systems."""

    def refuse(*_: object) -> None:
        raise OSError(code, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    paths = [store(tmp_path, content) for content in (b"one", b"two", b"three")]
    assert [path.name for path in paths] == [f"{UID}.dcm", f"{UID}_2.dcm", f"{UID}_3.dcm"]
    assert [path.read_bytes()[-3:] for path in paths] == [b"one", b"two", b"ree"]
    assert len(names(tmp_path)) == 3


def test_a_failed_move_leaves_no_reservation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, "replace", refuse)
    writer = create(tmp_path)
    with pytest.raises(OSError, match="no"):
        writer.commit()
    assert names(tmp_path) == []


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=300)


@settings(
    max_examples=200,
    suppress_health_check=[*settings.default.suppress_health_check, HealthCheck.function_scoped_fixture],
)
@given(uid=ANY_TEXT, sop_class_uid=ANY_TEXT, source=ANY_TEXT)
@example(uid="../..", sop_class_uid="../..", source="../..")
@example(uid="..", sop_class_uid="", source="")
@example(uid="/etc/passwd", sop_class_uid=DICOS_CT + "/../x", source="a/b")
@example(uid="1.2\0/../x", sop_class_uid="\0", source="\0")
@example(uid="1" * 300, sop_class_uid="é" * 300, source="x" * 300)
@example(uid="1.2.\udc80\ud800", sop_class_uid="\udc80", source="\udfff")
@example(uid="", sop_class_uid="", source="")
@example(uid="CON", sop_class_uid="1.2:3", source="*?|")
def test_no_uid_leads_out_of_the_folder(tmp_path: Path, uid: str, sop_class_uid: str, source: str) -> None:
    folder = tmp_path / "outer" / "folder"
    folder.mkdir(parents=True, exist_ok=True)
    with Part10Writer.create(
        folder, sop_class_uid=sop_class_uid, sop_instance_uid=uid, transfer_syntax=EXPLICIT, source_aet=source
    ) as writer:
        writer.write(b"\x08\0\x60\0CS\2\0CT")
        path = writer.commit()
    assert path.parent == folder
    assert names(folder) == [path.name]
    assert path.name.isascii()
    assert path.name.isprintable()
    assert (names(tmp_path), names(tmp_path / "outer")) == (["outer"], ["folder"])
    with path.open("rb") as file:
        assert file.read(132) == bytes(128) + b"DICM"
    path.unlink()


def test_a_uid_that_is_no_name_is_hashed(tmp_path: Path) -> None:
    path = store(tmp_path, b"\x08\0\x60\0CS\2\0CT", "../evil")
    assert path.name.startswith("sha256-")
    assert len(path.stem) == 39
    assert inspect(path).sop_instance_uid == "../evil"


def test_the_folder_is_the_one_it_was_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    writer = create(Path("here"))
    monkeypatch.chdir(tmp_path / "here")
    assert writer.commit() == tmp_path / "here" / f"{UID}.dcm"


# Room that is set aside

MEGABYTE = 1 << 20


@pytest.fixture
def sets_aside(tmp_path: Path) -> None:
    """The file system of the temporary folder can do so."""
    path = tmp_path / "probe"
    with path.open("wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, MEGABYTE)
            hole = os.lseek(file.fileno(), 0, os.SEEK_HOLE) == 0
        except (AttributeError, OSError):
            hole = False
    path.unlink()
    if not hole:
        pytest.skip("this file system sets no room aside")


def written(writer: Part10Writer, megabytes: int, seed: int = 1) -> bytes:
    """Writes a data set of this many megabytes and a few bytes; returns it."""
    data = random.Random(seed).randbytes(megabytes * MEGABYTE + 3)
    for at in range(0, len(data), 300_001):
        writer.write(memoryview(data)[at : at + 100_000], data[at + 100_000 : at + 300_001])
    return data


@pytest.mark.usefixtures("sets_aside")
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_large_file_has_room_while_it_is_written_and_none_left_afterwards(tmp_path: Path, *, overwrite: bool) -> None:
    store(tmp_path, b"\x08\0\x60\0CS\2\0CT")
    with create(tmp_path) as writer:
        data = written(writer, 9)
        size = os.fstat(writer.fileno()).st_size
        assert len(data) + MEGABYTE < size < 2 * len(data) + MEGABYTE
        path = writer.commit(overwrite=overwrite, fsync=True)
    file = inspect(path)
    assert path.name == (f"{UID}.dcm" if overwrite else f"{UID}_2.dcm")
    assert path.read_bytes()[file.data_offset :] == data
    assert path.stat().st_blocks * 512 < len(data) + MEGABYTE


@pytest.mark.usefixtures("sets_aside")
def test_no_more_room_is_set_aside_than_so_much(tmp_path: Path) -> None:
    with create(tmp_path) as writer:
        piece = bytes(MEGABYTE)
        for _ in range(150):
            writer.write(piece)
            assert os.fstat(writer.fileno()).st_size < writer.bytes_written + AHEAD + 2 * MEGABYTE
        assert os.fstat(writer.fileno()).st_size > writer.bytes_written + AHEAD // 4


def test_a_small_file_has_no_room_set_aside(tmp_path: Path) -> None:
    with create(tmp_path) as writer:
        written(writer, 1)
        assert os.fstat(writer.fileno()).st_size < writer.bytes_written + 4096


LIMITED = """
    import os, resource, sys
    from pathlib import Path
    from tests.transports.files.test_part10_writer import create, written

    size = int(sys.argv[2]) << 20
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    with create(Path(sys.argv[1])) as writer:
        data = written(writer, int(sys.argv[3]))
        held = os.fstat(writer.fileno()).st_size - len(data)
        path = writer.commit()
    print(path.read_bytes().endswith(data), path.stat().st_size - len(data) == held < 4096)
"""


def run(script: str, *arguments: object, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(path for path in (*sys.path, os.getcwd()) if path)
    command = [*before, sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": paths})


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
@pytest.mark.parametrize(("limit", "size"), [(3, 2), (7, 6), (10, 9)])
def test_a_file_for_which_there_is_no_room_to_spare_is_stored(tmp_path: Path, limit: int, size: int) -> None:
    """The limit on file sizes lets the file be written, but not the first, the second, the third room be set aside."""
    done = run(LIMITED, tmp_path, limit, size)
    assert (done.stdout, done.stderr) == ("True True\n", "")


ELSEWHERE = """
    import os, subprocess, sys
    from pathlib import Path
    from tests.transports.files.test_part10_writer import create, written

    folder = Path(sys.argv[1])
    if subprocess.run(["mount", "-t", "ramfs", "none", folder], capture_output=True).returncode:
        raise SystemExit(77)
    with create(folder) as writer:
        data = written(writer, 9)
        held = os.fstat(writer.fileno()).st_size - len(data)
        path = writer.commit()
    print(path.read_bytes().endswith(data), path.stat().st_size - len(data) == held < 4096)
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare, to mount a file system nobody else sees")
def test_a_file_system_that_sets_no_room_aside_is_written_as_it_is(tmp_path: Path) -> None:
    """Not with a zero in each block: that is how the C library makes room where the system does not."""
    done = run(ELSEWHERE, tmp_path, before=("unshare", "--map-root-user", "--mount"))
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("no file system can be mounted here")
    assert (done.stdout, done.stderr) == ("True True\n", "")


def test_more_pieces_than_one_write_takes_are_written(tmp_path: Path) -> None:
    pieces = [bytes((number % 256,)) * (number % 7 + 60) for number in range(3000)]
    with create(tmp_path) as writer:
        writer.write(*pieces[:2500])
        writer.write()
        writer.write(*pieces[2500:])
        assert writer.bytes_written == sum(map(len, pieces))
        assert writer.commit().read_bytes().endswith(b"".join(pieces))


# Files that are not written


def test_what_is_not_committed_leaves_nothing(tmp_path: Path) -> None:
    with create(tmp_path) as writer:
        writer.write(bytes(1 << 20))
        assert len(names(tmp_path)) == 1
        assert names(tmp_path)[0].startswith(".dicos-")
    assert names(tmp_path) == []
    with pytest.raises(RuntimeError), create(tmp_path) as writer:
        raise RuntimeError
    writer = create(tmp_path)
    writer.discard()
    writer.discard()
    assert names(tmp_path) == []


def test_a_finished_writer_takes_no_more(tmp_path: Path) -> None:
    writer = create(tmp_path)
    path = writer.commit()
    with pytest.raises(ValueError, match="committed or discarded"):
        writer.write(b"x")
    with pytest.raises(ValueError, match="committed or discarded"):
        writer.commit()
    writer.discard()
    assert path.exists()


def test_a_folder_that_is_missing_or_none_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        create(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        create(tmp_path / "file")
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_is_an_oserror(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        create(tmp_path)
    tmp_path.chmod(0o700)


def test_a_folder_that_vanishes_is_an_oserror(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    writer = create(folder)
    for name in names(folder):
        (folder / name).unlink()
    folder.rmdir()
    with pytest.raises(FileNotFoundError):
        writer.commit()


def test_overwriting_a_folder_is_an_oserror(tmp_path: Path) -> None:
    (tmp_path / f"{UID}.dcm").mkdir()
    with pytest.raises(IsADirectoryError):
        store(tmp_path, b"x", overwrite=True)
    assert names(tmp_path) == [f"{UID}.dcm"]


FULL = """
    import os, resource, signal, sys
    from pathlib import Path
    from dicos_transports.files.writer import Part10Writer

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    folder = Path(sys.argv[1])
    writer = Part10Writer.create(
        folder, sop_class_uid="1.2", sop_instance_uid="1.3", transfer_syntax="1.2.840.10008.1.2"
    )
    try:
        for size in map(int, sys.argv[2:]):
            writer.write(bytes(size))
        writer.commit()
    except OSError as error:
        print(error.errno, os.listdir(folder))
    else:
        print("stored", os.listdir(folder))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
@pytest.mark.parametrize("sizes", [["200000"], ["60000", "60000"], ["1000", "90000", "5000", "9000"]])
def test_a_file_that_cannot_grow_is_an_oserror_and_leaves_nothing(tmp_path: Path, sizes: list[str]) -> None:
    """The limit on file sizes acts as a full disk does: a short write, then an error."""
    script = [sys.executable, "-c", textwrap.dedent(FULL), str(tmp_path), *sizes]
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(script, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": paths})
    assert done.stdout == f"{errno.EFBIG} []\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("size", [10, 1 << 20])
def test_a_full_disk_is_an_oserror_and_leaves_nothing(tmp_path: Path, size: int) -> None:
    writer = create(tmp_path)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, writer.fileno())
    os.close(full)
    with pytest.raises(OSError, match="No space left") as caught:
        _write_and_commit(writer, bytes(size))
    assert caught.value.errno == errno.ENOSPC
    assert names(tmp_path) == []


def _write_and_commit(writer: Part10Writer, data: bytes) -> None:
    writer.write(data)
    writer.commit()


def test_many_small_objects_leave_only_themselves(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for number in range(300):
        store(tmp_path, bytes(1000), f"1.2.{number}")
    assert len(names(tmp_path)) == 300
    if before:
        assert len(os.listdir("/proc/self/fd")) == before
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert inspect(tmp_path / "1.2.7.dcm").data_length == 1000


# Failures when a file gets its name: nothing of it is left, and earlier files are unchanged


def failing_for_folders(code: int) -> object:
    """An fsync that fails for folders, as when the disk has an error."""
    real = os.fsync

    def fsync(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(code, os.strerror(code))
        real(fd)

    return fsync


@pytest.mark.parametrize("links", ["hard links", "no hard links"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EINVAL])
def test_a_folder_that_cannot_be_synced_leaves_nothing_of_a_new_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, links: str
) -> None:
    store(tmp_path, b"the first")
    monkeypatch.setattr(os, "fsync", failing_for_folders(code))
    if links == "no hard links":
        monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    for uid in (UID, "1.2.9"):
        with pytest.raises(OSError, match=os.strerror(code)):
            store(tmp_path, b"second", uid, fsync=True)
    with pytest.raises(OSError, match=os.strerror(code)):
        store(tmp_path, b"second", "1.2.9", overwrite=True, fsync=True)
    assert names(tmp_path) == [f"{UID}.dcm"]
    assert (tmp_path / f"{UID}.dcm").read_bytes().endswith(b"the first")


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_folder_that_cannot_be_synced_leaves_the_object_that_was_to_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    before = store(tmp_path, b"old").stat()
    monkeypatch.setattr(os, "fsync", failing_for_folders(code))
    with pytest.raises(OSError, match=os.strerror(code)):
        store(tmp_path, b"new", overwrite=True, fsync=True)
    assert names(tmp_path) == [f"{UID}.dcm"]
    assert (tmp_path / f"{UID}.dcm").stat().st_ino == before.st_ino
    assert (tmp_path / f"{UID}.dcm").read_bytes().endswith(b"old")


def test_without_hard_links_a_new_object_stays_where_the_old_one_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one is gone: to remove the new one, too, would be worse than what is answered."""
    store(tmp_path, b"old")
    monkeypatch.setattr(os, "fsync", failing_for_folders(errno.EIO))
    monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    with pytest.raises(OSError, match="Input/output error"):
        store(tmp_path, b"new", overwrite=True, fsync=True)
    assert names(tmp_path) == [f"{UID}.dcm"]
    assert (tmp_path / f"{UID}.dcm").read_bytes().endswith(b"new")


def test_what_another_writer_has_put_there_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fails = failing_for_folders(errno.EIO)

    def fsync(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            monkeypatch.undo()
            store(tmp_path, b"of another", overwrite=True)
        fails(fd)  # type: ignore[operator]

    for overwrite in (False, True):
        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match="Input/output error"):
            store(tmp_path, b"new", overwrite=overwrite, fsync=True)
        (path,) = tmp_path.iterdir()
        assert path.read_bytes().endswith(b"of another")
        path.unlink()


@pytest.mark.parametrize("call", ["fsync", "dup", "ftruncate", "replace", "link"])
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_whatever_fails_before_the_name_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, overwrite: bool, code: int
) -> None:
    if call == ("link" if overwrite else "replace"):
        pytest.skip("not the call that gives the name")
    store(tmp_path, b"old")
    writer = create(tmp_path)
    written(writer, 9)  # so that room was set aside
    monkeypatch.setattr(os, call, refusing(code))
    with pytest.raises(OSError, match=os.strerror(code)), writer:
        writer.commit(overwrite=overwrite, fsync=True)
    assert names(tmp_path) == [f"{UID}.dcm"]
    assert (tmp_path / f"{UID}.dcm").read_bytes().endswith(b"old")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("fsync", [False, True])
def test_no_room_that_is_found_at_a_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool, fsync: bool
) -> None:
    """As NFS reports it, at whichever close of the file is first."""
    store(tmp_path, b"old")
    writer = create(tmp_path)
    writer.write(b"new")
    real, of = os.close, os.fstat(writer.fileno())
    closed = []

    def close(fd: int) -> None:
        is_it = os.path.samestat(os.fstat(fd), of)
        real(fd)
        if is_it:
            closed.append(fd)
            if len(closed) == 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "close", close)
    with pytest.raises(OSError, match="No space left"), writer:
        writer.commit(overwrite=overwrite, fsync=fsync)
    assert names(tmp_path) == [f"{UID}.dcm"]
    assert (tmp_path / f"{UID}.dcm").read_bytes().endswith(b"old")


def test_a_hidden_name_that_cannot_be_removed_is_no_failure_of_what_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "unlink", refusing(errno.EIO))
    path = store(tmp_path, b"x")
    monkeypatch.undo()
    assert path.name == f"{UID}.dcm"
    assert remove_stale_parts(tmp_path) == 1
    assert names(tmp_path) == [f"{UID}.dcm"]


def refusing(code: int) -> object:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return refuse
