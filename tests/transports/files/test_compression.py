"""Files sent and stored with their pixel data compressed or decompressed on the way."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicos_proto import propose
from dicos_proto.conversation.flows import ContextNotAccepted
from dicos_proto.data.datasets import decode_object, encode
from dicos_proto.dicos import codecs
from dicos_proto.dicos.codecs import CodecError, FrameLayout
from dicos_proto.dicos.compressing import FrameWork, Item
from dicos_proto.dicos.profile import Compression
from dicos_proto.registry import uids
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports import files
from dicos_transports.blocking import Session, StoreRequest, connect
from dicos_transports.cli import main
from dicos_transports.files import Part10File, sending
from dicos_transports.files.coding import FrameCoder, coded
from dicos_transports.files.receipt import converts
from dicos_transports.files.writer import file_header
from tests.transports.connections import server

pytest.importorskip("imagecodecs")

EXPLICIT, IMPLICIT, EXTENDED = uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE, uids.DICOS_EXPLICIT_VR_LE_EXTENDED
DEFLATED, JPEG, RLE = uids.DEFLATED_EXPLICIT_VR_LE, uids.JPEG_LOSSLESS_SV1, uids.RLE_LOSSLESS
CT = uids.DICOS_CT
PREFERRED, ALLOWED, FORBIDDEN = Compression.PREFERRED, Compression.ALLOWED, Compression.FORBIDDEN
SHAPE = (40, 64, 48)
PIXELS = ((np.arange(np.prod(SHAPE)).reshape(SHAPE) // 7) % 5000).astype("<u2").tobytes()


def volume(**changes: Any) -> Dataset:
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = CT, "1.2.3"
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.add_new(0x00280008, "US", SHAPE[0])
    made.Rows, made.Columns = SHAPE[1:]
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit, made.PixelRepresentation = 15, 0
    made.PixelData = PIXELS
    made["PixelData"].VR = "OW"
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def put(folder: Path, syntax: str = EXPLICIT, *, sop_class: str = CT, **changes: Any) -> Part10File:
    """A file in this transfer syntax, compressed by the conversion that the other tests are about."""
    path = folder / "native.dcs"
    native = syntax if syntax not in (JPEG, RLE) else EXPLICIT
    data = encode(volume(SOPClassUID=sop_class, **changes), native)
    path.write_bytes(file_header(sop_class, "1.2.3", native) + data)
    if native != syntax:
        data = b"".join(files.convert_chunks(files.inspect(path), syntax))
        path = folder / "encoded.dcs"
        path.write_bytes(file_header(sop_class, "1.2.3", syntax) + data)
    return files.inspect(path)


@contextmanager
def taking(folder: Path, *accepted: str, **options: Any) -> Iterator[tuple[int, list[tuple[str, files.Stored]]]]:
    """A server that accepts these transfer syntaxes: its port, and what it has stored."""
    got: list[tuple[str, files.Stored]] = []
    folder.mkdir(exist_ok=True)

    def keep(session: Session) -> None:
        for request in session:
            assert isinstance(request, StoreRequest)
            got.append((request.transfer_syntax, files.store_into(folder, request, **options)))

    with server(keep, policy=AcceptPolicy(other_contexts=accepted)) as running:
        yield running.port, got


def sent(
    file: Part10File, folder: Path, *accepted: str, compression: Compression | None = None, **options: Any
) -> tuple[str, Part10File]:
    """Sends a file as it is planned for. Returns the transfer syntax of the context, and the file that is stored."""
    (batch,) = files.plan([file], compression=compression)
    with taking(folder, *accepted, **options) as (port, got), connect(("127.0.0.1", port), batch.contexts) as session:
        assert files.send_file(session, file, compression=compression).status == 0
    ((syntax, stored),) = got
    assert stored.path is not None
    return syntax, files.inspect(stored.path)


def pixels_of(file: Part10File) -> bytes:
    if file.transfer_syntax in (JPEG, RLE):
        return bytes(decode_object(b"".join(files.convert_chunks(file, EXPLICIT)), EXPLICIT).PixelData)
    data = file.path.read_bytes()[file.data_offset :]
    return bytes(decode_object(data, file.transfer_syntax).PixelData)


# -- sending -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "accepted", "compression", "used"),
    [
        (EXPLICIT, (EXPLICIT, JPEG), None, EXPLICIT),
        (EXPLICIT, (EXPLICIT, JPEG), ALLOWED, EXPLICIT),
        (EXPLICIT, (EXPLICIT, JPEG), PREFERRED, JPEG),
        (EXPLICIT, (EXPLICIT, JPEG), FORBIDDEN, EXPLICIT),
        (EXPLICIT, (EXPLICIT,), PREFERRED, EXPLICIT),
        (EXPLICIT, (IMPLICIT,), PREFERRED, IMPLICIT),
        (EXPLICIT, (JPEG,), ALLOWED, JPEG),
        (IMPLICIT, (JPEG,), PREFERRED, JPEG),
        (EXTENDED, (JPEG, IMPLICIT), PREFERRED, JPEG),
        (DEFLATED, (JPEG,), PREFERRED, JPEG),
        (JPEG, (JPEG, EXPLICIT), None, JPEG),
        (JPEG, (JPEG, EXPLICIT), PREFERRED, JPEG),
        (JPEG, (EXPLICIT,), None, EXPLICIT),
        (JPEG, (IMPLICIT,), PREFERRED, IMPLICIT),
        (JPEG, (JPEG, EXPLICIT), FORBIDDEN, EXPLICIT),
        (RLE, (EXPLICIT,), None, EXPLICIT),
        (RLE, (IMPLICIT, RLE), FORBIDDEN, IMPLICIT),
    ],
)
def test_what_is_preferred_is_sent_if_it_is_accepted(
    tmp_path: Path, own: str, accepted: tuple[str, ...], compression: Compression | None, used: str
) -> None:
    file = put(tmp_path, own)
    syntax, stored = sent(file, tmp_path / "got", *accepted, compression=compression)
    assert syntax == used == stored.transfer_syntax
    assert pixels_of(stored) == PIXELS
    if own == used:
        assert stored.path.read_bytes()[stored.data_offset :] == file.path.read_bytes()[file.data_offset :]


@pytest.mark.parametrize(("own", "accepted"), [(EXPLICIT, JPEG), (EXPLICIT, RLE), (JPEG, RLE), (RLE, EXTENDED)])
def test_without_a_preference_it_is_the_last_resort(tmp_path: Path, own: str, accepted: str) -> None:
    """For contexts that something else has proposed."""
    file, got = put(tmp_path, own), tmp_path / "got"
    with taking(got, accepted) as (port, stored), connect(
        ("127.0.0.1", port), propose([CT], transfer_syntaxes=(accepted,))
    ) as session:  # fmt: skip
        assert files.send_file(session, file).status == 0
        with pytest.raises(ContextNotAccepted) if accepted in (JPEG, RLE) else _nothing():
            files.send_file(session, file, compression=FORBIDDEN)
    assert stored[0][1].path is not None
    assert pixels_of(files.inspect(stored[0][1].path)) == PIXELS


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def test_pixels_that_cannot_be_compressed_are_sent_as_they_are(tmp_path: Path) -> None:
    """Wide classes are known by their UID; other objects only by their attributes."""
    wide = put(tmp_path, sop_class=uids.DICOS_CT_INT32, BitsAllocated=32, BitsStored=32, Columns=24)
    assert files.plan([wide], compression=PREFERRED) == files.plan([wide])
    file = put(tmp_path, BitsAllocated=32, BitsStored=32, Columns=24)
    assert sending.ways(file, (), PREFERRED)[0] == JPEG
    assert sent(file, tmp_path / "got", JPEG, EXPLICIT, compression=PREFERRED)[0] == EXPLICIT
    with taking(tmp_path / "got", JPEG) as (port, _), connect(
        ("127.0.0.1", port), propose([CT], transfer_syntaxes=(JPEG,))
    ) as session:  # fmt: skip
        with pytest.raises(files.Part10Error, match="32 bits allocated; 8 and 16 can be compressed"):
            files.send_file(session, file)
        assert session.established


def test_a_codec_that_is_not_installed_is_named_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = put(tmp_path, JPEG)
    monkeypatch.setitem(__import__("sys").modules, "imagecodecs", None)
    with taking(tmp_path / "got", EXPLICIT) as (port, got), connect(
        ("127.0.0.1", port), propose([CT], transfer_syntaxes=(EXPLICIT,))
    ) as session:  # fmt: skip
        with pytest.raises(files.Part10Error, match=r"pip install '\.\[compression\]'"):
            files.send_file(session, file)
        assert session.established
    assert got == []


def test_what_is_only_or_never_to_be_used(tmp_path: Path) -> None:
    file = put(tmp_path, JPEG)
    assert sending.ways(file, (), FORBIDDEN) == (EXPLICIT, IMPLICIT)
    assert sending.ways(file, (JPEG, EXPLICIT), FORBIDDEN) == (EXPLICIT,)
    assert sending.ways(file, (RLE, EXPLICIT)) == (RLE, EXPLICIT)
    with pytest.raises(files.Part10Error, match="cannot be converted to RLE"):
        sending.ways(file, (RLE,), FORBIDDEN)
    baseline = Part10File(
        path=tmp_path / "x", sop_class_uid=CT, sop_instance_uid="1.2", transfer_syntax=uids.JPEG_BASELINE,
        data_offset=0, data_length=10,
    )  # fmt: skip
    assert sending.ways(baseline, (), PREFERRED) == (uids.JPEG_BASELINE,)
    with pytest.raises(files.Part10Error, match=r"is in JPEG Baseline .*, which cannot be decompressed"):
        sending.ways(baseline, (), FORBIDDEN)


def test_progress_adds_up_to_the_size_of_the_file(tmp_path: Path) -> None:
    for own, accepted in ((EXPLICIT, JPEG), (JPEG, EXPLICIT), (EXPLICIT, EXPLICIT)):
        file, seen = put(tmp_path, own), list[int]()
        with taking(tmp_path / "got", accepted) as (port, _), connect(
            ("127.0.0.1", port), propose([CT], transfer_syntaxes=(accepted,))
        ) as session:  # fmt: skip
            assert files.send_file(session, file, progress=seen.append).status == 0
        assert sum(seen) == file.data_length


@pytest.mark.parametrize(("mode", "used"), [("prefer", JPEG), ("allow", EXPLICIT), ("forbid", EXPLICIT)])
def test_storescu_has_the_same_choice(tmp_path: Path, mode: str, used: str) -> None:
    file = put(tmp_path)
    with taking(tmp_path / "got", JPEG, EXPLICIT) as (port, got):
        assert main(["storescu", "-q", "--compression", mode, "127.0.0.1", str(port), str(file.path)]) == 0
    assert [syntax for syntax, _ in got] == [used]


# -- storing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [EXPLICIT, IMPLICIT, EXTENDED, DEFLATED, JPEG, RLE])
@pytest.mark.parametrize("store_as", [EXPLICIT, IMPLICIT, EXTENDED, JPEG, RLE])
def test_objects_are_converted_while_they_arrive(tmp_path: Path, own: str, store_as: str) -> None:
    syntax, stored = sent(put(tmp_path, own), tmp_path / "got", own, transfer_syntax=store_as)
    assert syntax == own
    assert stored.transfer_syntax == store_as
    assert pixels_of(stored) == PIXELS


@pytest.mark.parametrize(
    ("sop_class", "own", "wanted"),
    [
        (CT, JPEG, DEFLATED),
        (CT, EXPLICIT, uids.JPEG_BASELINE),
        (CT, uids.JPEG_BASELINE, EXPLICIT),
        (uids.DICOS_CT_INT32, EXPLICIT, JPEG),
        (uids.DICOS_TDR, EXPLICIT, RLE),
        (CT, EXPLICIT, EXPLICIT),
    ],
)
def test_what_cannot_be_converted_is_stored_as_it_is(sop_class: str, own: str, wanted: str) -> None:
    assert not converts(sop_class, own, wanted)


def test_an_object_whose_class_is_not_compressed_is_stored_as_it_is(tmp_path: Path) -> None:
    file = put(tmp_path, sop_class=uids.DICOS_CT_INT32)
    assert sent(file, tmp_path / "got", EXPLICIT, transfer_syntax=JPEG)[1].transfer_syntax == EXPLICIT


@pytest.mark.parametrize("store_as", [EXPLICIT, RLE, IMPLICIT])
def test_damaged_pixel_data_is_refused_and_leaves_nothing(tmp_path: Path, store_as: str) -> None:
    file = put(tmp_path, JPEG)
    data = file.path.read_bytes()
    at = data.rindex(b"\xff\xc3")
    file.path.write_bytes(data[:at] + b"\xff\xc0" + data[at + 2 :])
    got = tmp_path / "got"
    with taking(got, JPEG, transfer_syntax=store_as) as (port, stored), connect(
        ("127.0.0.1", port), propose([CT], transfer_syntaxes=(JPEG,))
    ) as session:  # fmt: skip
        response = session.store(CT, "1.2.3", JPEG, data[file.data_offset : at] + b"\xff\xc0" + data[at + 2 :])
        assert response.status == 0xC000
        assert "frame 40: JPEG process with marker FFC0" in (response.error_comment or "")
    assert stored[0][1].path is None
    assert list(got.iterdir()) == []
    assert not any(one.name.startswith("dicos-frames") for one in threading.enumerate())


def test_a_full_disk_ends_the_conversion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.Part10Writer, "_put", full)
    with taking(tmp_path / "got", JPEG, transfer_syntax=EXPLICIT) as (port, _), connect(
        ("127.0.0.1", port), propose([CT], transfer_syntaxes=(JPEG,))
    ) as session:  # fmt: skip
        assert files.send_file(session, put(tmp_path, JPEG)).status == 0xA700
    assert not any(one.name.startswith("dicos-frames") for one in threading.enumerate())


# -- threads ---------------------------------------------------------------------------------------------------------

LAYOUT = FrameLayout(rows=64, columns=48, bits_allocated=16, bits_stored=16)
SIZE = LAYOUT.size


def works(count: int) -> list[Item]:
    return [
        FrameWork(number=at + 1, frame=PIXELS[at * SIZE : (at + 1) * SIZE], layout=LAYOUT, from_ts="", to_ts=JPEG)
        for at in range(count)
    ]


@pytest.mark.parametrize("threads", [None, 1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 40])
def test_results_come_in_order_whatever_the_threads(threads: int | None, count: int) -> None:
    given: list[Item] = [b"head", *works(count), b"middle", *works(count), b"tail"]
    wanted = b"".join(b"".join(one.run()) if isinstance(one, FrameWork) else bytes(one) for one in given)
    assert b"".join(coded(given, threads=threads)) == wanted
    with FrameCoder(threads) as coder:
        made = [piece for one in given for piece in coder.put([one])]
        assert b"".join([*made, *coder.drain()]) == wanted
        assert list(coder.drain()) == []


def test_the_look_ahead_is_bounded_and_closing_ends_the_threads() -> None:
    taken = 0

    def endless() -> Iterator[Item]:
        nonlocal taken
        while True:
            taken += 1
            yield works(1)[0]

    made = coded(endless(), threads=2)
    for _ in range(20):
        next(made)
    assert taken <= 10 + 2 * 3 + 2, "each frame gives two pieces"
    made.close()
    assert not any(one.name.startswith("dicos-frames") for one in threading.enumerate())


def test_an_error_in_a_thread_is_raised_in_its_turn() -> None:
    bad = FrameWork(number=3, frame=b"", layout=LAYOUT, from_ts="", to_ts=JPEG)
    made, pieces = coded([*works(2), bad, *works(20)], threads=3), list[Any]()
    with pytest.raises(CodecError, match="frame 3: a frame of 0 bytes"):
        pieces.extend(made)
    assert bytes(pieces[1]) == codecs.encode(PIXELS[:SIZE], LAYOUT, JPEG)
    assert not any(one.name.startswith("dicos-frames") for one in threading.enumerate())


def test_no_threads_are_no_threads() -> None:
    with pytest.raises(ValueError, match="0 threads; at least 1"):
        FrameCoder(0)
