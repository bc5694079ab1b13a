"""Files with values of more than 4 GB, as sparse files: never read where their headers are enough."""

import os
import struct
import tracemalloc
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from dicos_proto import propose
from dicos_proto.registry import uids
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports import files
from dicos_transports.blocking import connect
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
