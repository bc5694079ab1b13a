"""Files with values of more than 4 GB, as sparse files: never read where their headers are enough."""

import os
import resource
import struct
import tracemalloc
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from dicos_proto import propose
from dicos_proto.data import Checker
from dicos_proto.limits import Limits
from dicos_proto.registry import uids
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports import files
from dicos_transports.blocking import Session, StoreRequest, connect
from dicos_transports.files import data_sets
from dicos_transports.files.writer import file_header
from tests.transports.connections import server

CT, EXTENDED = uids.DICOS_CT, uids.DICOS_EXPLICIT_VR_LE_EXTENDED
OTHERS = (uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE, uids.DEFLATED_EXPLICIT_VR_LE)
SIZE = (1 << 32) + (1 << 20)
BEGIN = b"".join((
    struct.pack("<HH2sH", 8, 0x16, b"UI", 30), CT.encode() + b"\0",
    struct.pack("<HH2sH", 8, 0x18, b"UI", 6), b"1.2.3\0",
    struct.pack("<HH2s2xQ", 0x7FE0, 0x10, b"OW", SIZE),
))  # fmt: skip


@pytest.fixture
def large(tmp_path: Path) -> Iterator[files.Part10File]:
    path = tmp_path / "large.dcs"
    head = file_header(CT, "1.2.3", EXTENDED) + BEGIN
    path.write_bytes(head)
    os.truncate(path, len(head) + SIZE)
    tracemalloc.start()
    try:
        yield files.inspect(path)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_its_headers_are_read_and_its_beginning_is_sent_as_it_is(large: files.Part10File) -> None:
    assert large.data_length == len(BEGIN) + SIZE
    with server(policy=AcceptPolicy(other_contexts=(EXTENDED,))) as running, connect(
        ("127.0.0.1", running.port), propose([CT], transfer_syntaxes=(EXTENDED,))
    ) as session:  # fmt: skip
        instance = files.prepare(session.association, large)
        pieces = list(islice(instance.data, 2))
        instance.close()
    assert bytes(pieces[0]).startswith(BEGIN)


@pytest.mark.parametrize("accepted", OTHERS)
def test_it_is_refused_before_anything_is_sent(large: files.Part10File, accepted: str) -> None:
    with server(policy=AcceptPolicy(other_contexts=(accepted,))) as running, connect(
        ("127.0.0.1", running.port), propose([CT], transfer_syntaxes=(accepted,))
    ) as session:  # fmt: skip
        with pytest.raises(files.Part10Error, match=r"more than 4294967294 bytes in \(7FE0,0010\), too many for"):
            files.send_file(session, large)
        assert session.established
        assert session.association.bytes_queued == 0
    with pytest.raises(files.Part10Error, match="room for 4294967294"):
        list(files.convert_chunks(large, accepted))


def test_its_own_transfer_syntax_is_proposed_first(large: files.Part10File) -> None:
    (batch,) = files.plan([large])
    assert batch.contexts[0].transfer_syntaxes == (EXTENDED,)
    assert {one for context in batch.contexts for one in context.transfer_syntaxes} == {EXTENDED, *OTHERS[:2]}


@pytest.mark.slow  # 4 GB over loopback: some seconds of processor time
def test_it_is_sent_whole_in_the_memory_of_a_few_pieces(tmp_path: Path) -> None:
    path = tmp_path / "large.dcs"
    head = file_header(CT, "1.2.3", EXTENDED) + BEGIN
    path.write_bytes(head)
    os.truncate(path, len(head) + SIZE)
    file, got = files.inspect(path), list[int]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def count(session: Session) -> None:
        for request in session:
            assert isinstance(request, StoreRequest)
            checker = Checker(EXTENDED, CT, "1.2.3", Limits())
            size = 0
            for piece in request.data():
                checker.feed(piece)
                size += len(piece)
            checker.finish()
            got.append(size)
            request.respond()

    with server(count, policy=AcceptPolicy(other_contexts=(EXTENDED,))) as running, connect(
        ("127.0.0.1", running.port), propose([CT], transfer_syntaxes=(EXTENDED,))
    ) as session:  # fmt: skip
        assert files.send_file(session, file).status == 0
    assert got == [file.data_length]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10, "64 MB, in kB"


def test_it_is_compressed_although_it_is_too_large_for_other_syntaxes(tmp_path: Path) -> None:
    """Its beginning: 2^16 frames of 2^16 pixels and more."""
    attributes = b"".join(
        struct.pack("<HH2sHH", 0x28, element, b"US", 2, value)
        for element, value in ((2, 1), (8, 16400), (0x10, 512), (0x11, 512), (0x100, 8), (0x101, 8), (0x103, 0))
    )
    size = 16400 * 512 * 512
    head = file_header(CT, "1.2.3", EXTENDED) + BEGIN[:-16] + attributes
    head += struct.pack("<HH2s2xQ", 0x7FE0, 0x10, b"OB", size)
    path = tmp_path / "large.dcs"
    path.write_bytes(head)
    os.truncate(path, len(head) + size)
    file = files.inspect(path)
    with server(policy=AcceptPolicy(other_contexts=(uids.RLE_LOSSLESS,))) as running, connect(
        ("127.0.0.1", running.port), propose([CT], transfer_syntaxes=(uids.RLE_LOSSLESS,))
    ) as session:  # fmt: skip
        instance = files.prepare(session.association, file)
        pieces = list(islice(instance.data, 21))
        instance.close()
    assert bytes(pieces[0]).endswith(b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\0\0\0\0")
    assert len({bytes(one) for one in pieces[2::2]}) == 1
    with pytest.raises(files.Part10Error, match="too many for Explicit VR Little Endian"):
        data_sets.prepare(file).check(uids.EXPLICIT_VR_LE)
