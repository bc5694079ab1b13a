"""`store_many` of awaited instances and DCMTK's storescp, in each event loop, plain and over TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dicos_transports.files import part10, sending
from dicos_transports.files.part10 import Part10File
from dicos_transports.sessions.session import AwaitedInstance
from dicos_transports.tls import ClientTLS
from tests.interop.peers import dcmtk_server, digest, files_in, free_port, needs_dcmtk, shipped_files
from tests.transports.certificates import hospital, write_all
from tests.transports.loops import LOOPS, pause, run

pytestmark = [pytest.mark.interop, needs_dcmtk]

FILES = [file for file in shipped_files() if file.data_length % 2 == 0][:20]


@pytest.mark.parametrize("security", ["plain", "tls"])
@pytest.mark.parametrize("name", LOOPS)
def test_awaited_files_arrive_as_they_are(name: str, security: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    port = free_port()
    words: list[object] = []
    tls = None
    if security == "tls":
        files = write_all(tmp_path, hospital().rsa_server)
        words = ["+tls", files.key, files.certificate, "+cf", files.ca, "+py"]
        tls = ClientTLS(trust=(hospital().root.certificate,), identity=hospital().client)
    (batch,) = sending.plan(FILES)

    async def pieces(file: Part10File) -> AsyncIterator[Any]:
        for piece in part10.read_chunks(file):
            await pause(name)
            yield piece

    async def source() -> AsyncIterator[AwaitedInstance]:
        for file in batch.files:
            await pause(name)
            yield AwaitedInstance(
                sop_class_uid=file.sop_class_uid,
                sop_instance_uid=file.sop_instance_uid,
                transfer_syntax=file.transfer_syntax,
                pieces=pieces(file),
            )

    async def main(module: Any) -> int:
        async with await module.connect(("127.0.0.1", port), batch.contexts, tls=tls) as session:
            return sum([outcome.stored async for outcome in session.store_many(source())])

    with dcmtk_server(port, tmp_path / "log", "storescp", "+xa", "+B", "-od", folder, *words, port):
        assert run(name, main) == len(FILES)
    stored = files_in(folder)
    assert {uid: digest(file) for uid, file in stored.items()} == {
        file.sop_instance_uid: digest(file) for file in FILES
    }
