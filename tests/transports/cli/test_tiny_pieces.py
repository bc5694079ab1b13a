"""An object with one byte per PDV takes no more memory than its bytes, and does not delay other associations."""

from __future__ import annotations

import socket
import struct
import threading
from pathlib import Path
from time import monotonic

import pytest

from dicos_proto.dimse.types import CStoreRequest
from dicos_transports.blocking import connect
from tests.association.memory_child import memory_of
from tests.pair import command
from tests.transports.cli.commands import provider
from tests.transports.connections import ASKED, CONTEXTS, CT, PATIENCE, read_pdu

PDVS = struct.pack(">LBBc", 3, 3, 0, b"x") * 18_000
"""Return PDVs of one byte each, in one P-DATA-TF."""
P_DATA = struct.pack(">BxL", 4, len(PDVS)) + PDVS
TIMES = 10
ASSOCIATIONS = 4
STORE = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")


def upload(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 3 * PATIENCE) as sock:
        sock.sendall(ASKED)
        assert read_pdu(sock)[0] == 2
        sock.sendall(command(3, STORE, has_data=True))
        for _ in range(TIMES):
            sock.sendall(P_DATA)
        sock.sendall(struct.pack(">BxLLBB", 4, 6, 2, 3, 2))
        assert read_pdu(sock)[0] == 4


@pytest.mark.slow  # 720,000 fragments
def test_an_object_of_tiny_pieces_costs_little(transport: str, tmp_path: Path) -> None:
    with provider(
        "storescp", "--no-check", "-od", tmp_path, "--max-pdu", len(PDVS), "--transport", transport
    ) as running:
        process = running.process.pid
        before = memory_of(process, "VmRSS")
        uploads = [threading.Thread(target=upload, args=(running.port,)) for _ in range(ASSOCIATIONS)]
        for one in uploads:
            one.start()
        slowest = 0.0
        while any(one.is_alive() for one in uploads):
            since = monotonic()
            with connect(("127.0.0.1", running.port), CONTEXTS) as session:
                session.echo()
            slowest = max(slowest, monotonic() - since)
        for one in uploads:
            one.join()
        assert memory_of(process, "VmHWM") - before < 24 << 20  # 200 bytes for each of the pieces would be 144 MB
        assert slowest < 10  # some 0.1 s where the machine has nothing else to do
        sizes = {path.stat().st_size for path in tmp_path.iterdir()}
    assert len(sizes) == 1
    assert sizes.pop() > 18_000 * TIMES
