"""Objects that become files in an event loop, `receiving.store_into`: what is answered, and what it holds up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

pytest.importorskip("pydicom")

from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import propose
from dicos_transports import asyncio as over_asyncio
from dicos_transports import files
from dicos_transports import trio as over_trio
from dicos_transports.application import Application
from dicos_transports.blocking import connect
from dicos_transports.files import part10, receiving
from dicos_transports.files.receiving import Stored
from tests.transports.application.applications import running
from tests.transports.connections import CONTEXTS, CT, EXPLICIT, PATIENCE
from tests.transports.files.test_storing import DATA, write_file
from tests.transports.loops import LOOPS


@contextmanager
def awaited_archive(loop: str, folder: Path, **options: Any) -> Iterator[tuple[int, list[Stored]]]:
    """An `Application` in an event loop that stores into `folder`: its port, and what it stored."""
    app, stored = Application(), list[Stored]()

    @app.on_store_stream()
    async def store(request: Any) -> None:
        stored.append(await receiving.store_into(folder, request, **options))

    with running((loop, "awaited"), app) as server:
        yield server.port, stored


@pytest.mark.parametrize("loop", LOOPS)
def test_an_object_of_any_size_becomes_a_file_in_an_event_loop(loop: str, tmp_path: Path) -> None:
    data = DATA[EXPLICIT][:-16] + b"\xe0\x7f\x10\0OW\0\0" + (3 << 20).to_bytes(4, "little") + bytes(3 << 20)
    with awaited_archive(loop, tmp_path) as (port, stored), connect(("127.0.0.1", port), CONTEXTS) as session:
        assert session.store(CT, "1.2.3", EXPLICIT, data).status == 0
    (path,) = tmp_path.iterdir()
    assert [one.path for one in stored] == [path]
    assert path.read_bytes().endswith(data)
    assert part10.inspect(path).sop_instance_uid == "1.2.3"


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("data", "options", "code"),
    [
        (DATA[EXPLICIT][:-1], {}, 0xC000),
        (DATA[EXPLICIT], {"most": 10}, 0xA700),
        (DATA[EXPLICIT].replace(b"1.2.3", b"1.2.4"), {}, 0xA900),
    ],
)
def test_what_cannot_be_stored_in_an_event_loop_is_refused(
    loop: str, data: bytes, options: dict[str, Any], code: int, tmp_path: Path
) -> None:
    with (
        awaited_archive(loop, tmp_path, **options) as (port, stored),
        connect(("127.0.0.1", port), CONTEXTS) as session,
    ):
        assert session.store(CT, "1.2.3", EXPLICIT, data).status == code
        assert session.store(CT, "1.2.3", EXPLICIT, data).status == code, "the association goes on"
    assert [one.status for one in stored] == [code] * 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("loop", LOOPS)
def test_the_disk_does_not_hold_up_the_event_loop(loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one object waits for the disk, another association is served."""
    full, go_on = threading.Event(), threading.Event()
    write = receiving.IncomingFile.end

    def slow(self: receiving.IncomingFile, pieces: Any = ()) -> Stored:
        full.set()
        assert go_on.wait(PATIENCE)
        return write(self, pieces)

    monkeypatch.setattr(receiving.IncomingFile, "end", slow)
    with (
        awaited_archive(loop, tmp_path) as (port, stored),
        ThreadPoolExecutor() as pool,
        connect(("127.0.0.1", port), CONTEXTS) as session,
    ):
        waiting = pool.submit(session.store, CT, "1.2.3", EXPLICIT, DATA[EXPLICIT])
        assert full.wait(PATIENCE)
        with connect(("127.0.0.1", port), CONTEXTS[:1]) as other:
            assert other.echo().status == 0
        go_on.set()
        assert waiting.result(PATIENCE).status == 0
    assert [one.status for one in stored] == [0]


@pytest.mark.parametrize("loop", LOOPS)
def test_the_functions_of_blocking_sessions_are_awaited_in_an_event_loop(loop: str, tmp_path: Path) -> None:
    """`store_into` and `discard` are one name each, for both kinds of sessions."""
    app, done = Application(), list[Stored]()

    @app.on_store_stream(CT)
    async def store(request: Any) -> None:
        done.append(await files.store_into(tmp_path, request))

    @app.on_store_stream(uids.MR_IMAGE_STORAGE, check=False)
    async def drop(request: Any) -> None:
        done.append(await files.discard(request))

    contexts = propose([CT, uids.MR_IMAGE_STORAGE], (EXPLICIT,))
    with running((loop, "awaited"), app) as server, connect(("127.0.0.1", server.port), contexts) as session:
        assert session.store(CT, "1.2.3", EXPLICIT, DATA[EXPLICIT]).status == 0
        assert session.store(uids.MR_IMAGE_STORAGE, "1.2.4", EXPLICIT, [bytes(500_000)] * 3).status == 0
    (path,) = tmp_path.iterdir()
    assert path.read_bytes().endswith(DATA[EXPLICIT])
    assert [(one.status, one.size, one.path) for one in done] == [(0, len(DATA[EXPLICIT]), path), (0, 1_500_000, None)]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_file_that_is_sent_in_an_event_loop_arrives_whole(loop: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    file = part10.inspect(write_file(tmp_path / "in" / "a.dcm").path)

    async def send(port: int) -> int:
        adapter = over_trio if loop == "trio" else over_asyncio
        async with await adapter.connect(("127.0.0.1", port), CONTEXTS) as session:
            return (await files.send_file(session, file)).status

    with awaited_archive(loop, tmp_path / "out") as (port, stored):
        found = trio.run(send, port) if loop == "trio" else asyncio.run(send(port))
    assert found == 0
    assert [one.size for one in stored] == [file.data_length]
    (path,) = (tmp_path / "out").iterdir()
    assert path.read_bytes()[-file.data_length :] == file.path.read_bytes()[-file.data_length :]
