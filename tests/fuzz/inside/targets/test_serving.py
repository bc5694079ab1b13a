"""Servers over loopback: the oracles notice those that fail, keep connections, store too much, or leave things behind.

Everything that a planted fault leaves behind is put away before the server is tried without the fault.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("pydicom", reason="pydicom is not installed")
pytest.importorskip("trio", reason="trio is not installed")

import trio

from dicos_fuzz.inside import hosts
from dicos_fuzz.inside.cases import recorded
from dicos_fuzz.inside.tape import raw
from dicos_fuzz.inside.targets import TARGETS, serving
from dicos_transports.files import writer
from dicos_transports.files.receiving import IncomingFile, Stored
from dicos_transports.files.writer import Part10Writer
from dicos_transports.serving.admission import Slots
from dicos_transports.serving.reception import FULL, AssociationRegistry
from tests.fuzz.inside.planted import Planted

STORE = recorded()[1][0]
WHOLE, CUT = raw(b"\0\0", STORE), raw(b"\0\0", STORE[: len(STORE) * 3 // 4])
ADAPTERS = ("blocking", "asyncio", "trio")
IN_LOOPS = ("asyncio", "trio")


@pytest.fixture(params=ADAPTERS)
def name(request: pytest.FixtureRequest) -> str:
    """A server of each adapter, which has served before a fault is planted."""
    found = f"serving-{request.param}"
    TARGETS[found].run(WHOLE)
    return found


def planted_beside_storing(monkeypatch: pytest.MonkeyPatch, name: str, fault: Callable[[], object]) -> None:
    """Plants a fault in the handler of a server, where an object is stored."""
    for function in ("store_into", "_store"):
        monkeypatch.setattr(hosts, function, partial(_faulty, fault, getattr(hosts, function)))


def _faulty(fault: Callable[[], object], store: Callable[..., Any], *given: Any) -> Any:
    fault()
    return store(*given)


def test_an_error_of_the_server_is_noticed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def failing() -> None:
        raise RuntimeError("planted")

    planted_beside_storing(monkeypatch, name, failing)
    Planted(monkeypatch).found_by(name, WHOLE, "(?s)an error of its own: .*planted")


def test_a_slot_that_is_still_held_is_noticed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    held: list[tuple[Any, ...]] = []
    leave = Slots.leave
    monkeypatch.setattr(Slots, "leave", lambda *given: held.append(given))
    clock = iter(range(0, 10_000, 3))
    monkeypatch.setattr(serving, "time", SimpleNamespace(monotonic=lambda: next(clock), sleep=time.sleep))
    Planted(monkeypatch).found_by(name, WHOLE, "1 connections are held", lambda: leave(*held[0]))


def test_a_server_that_does_not_close_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler that waits for something else."""
    TARGETS["serving-blocking"].run(WHOLE)
    going_on = threading.Event()
    planted_beside_storing(monkeypatch, "serving-blocking", going_on.wait)
    monkeypatch.setattr(serving, "_PATIENCE", 0.2)
    Planted(monkeypatch).found_by("serving-blocking", WHOLE, "does not close within 0.2 s", going_on.set)


def test_a_server_that_serves_no_more_is_noticed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def reject(self: AssociationRegistry, connection: Any, session: Any, *rest: object) -> bool:
        self._reject(connection, session, FULL, "planted")
        return False

    monkeypatch.setattr(AssociationRegistry, "admit", reject)
    monkeypatch.setattr(serving, "_EVERY", 1)
    Planted(monkeypatch).found_by(name, WHOLE, "no good answer to a good C-ECHO")


# -- files -------------------------------------------------------------------------------------------------------


def test_an_incomplete_file_is_noticed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def leave(self: Part10Writer) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    monkeypatch.setattr(Part10Writer, "discard", leave)
    Planted(monkeypatch).found_by(name, CUT, "an incomplete file is left")


def test_a_file_of_an_object_that_was_cut_is_noticed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(Part10Writer, "discard", lambda self: self._fd < 0 or self.commit())
    Planted(monkeypatch).found_by(name, CUT, "bytes stored that were not sent")


def test_a_file_that_lacks_a_byte_is_noticed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    write = Part10Writer.write
    monkeypatch.setattr(Part10Writer, "write", lambda self, *data: write(self, *data[:-1], data[-1][:-1]))
    Planted(monkeypatch).found_by(name, WHOLE, "bytes stored that were not sent")


def test_a_file_that_cannot_be_read_is_noticed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(writer, "file_header", lambda *given: bytes(128) + b"DICM" + b"\2\0\0\0UL\4\0\xff\xff\xff\x7f")
    Planted(monkeypatch).found_by(name, WHOLE, "stored what cannot be read")


def test_success_without_a_file_is_noticed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def lose(self: Part10Writer, **options: bool) -> Path:
        self.discard()
        return Path("lost")

    monkeypatch.setattr(Part10Writer, "commit", lose)
    Planted(monkeypatch).found_by(name, WHOLE, "1 objects answered with success; 0 stored")


def test_a_file_of_an_object_that_was_refused_is_noticed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    end = IncomingFile.end

    def refuse(self: IncomingFile, *given: Any) -> Stored:
        return replace(end(self, *given), status=0xA700)

    monkeypatch.setattr(IncomingFile, "end", refuse)
    Planted(monkeypatch).found_by(name, WHOLE, "1 of 1 messages answered with a failure; 1 stored")


# -- left behind -------------------------------------------------------------------------------------------------


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run looks for things that are left behind, and does not wait for their end."""
    monkeypatch.setattr(serving, "_EVERY", 1)
    monkeypatch.setattr(serving, "_LATE", 0.1)


@pytest.mark.usefixtures("at_once")
def test_a_descriptor_that_is_left_behind_is_noticed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    left: list[int] = []
    planted_beside_storing(monkeypatch, name, lambda: left.append(os.open(os.devnull, os.O_RDONLY)))
    Planted(monkeypatch).found_by(name, WHOLE, "left behind: .* descriptors", lambda: os.close(left[0]))


@pytest.mark.usefixtures("at_once")
def test_a_thread_that_is_left_behind_is_noticed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="127.0.0.1:planted", daemon=True)

    def mend() -> None:
        over.set()
        thread.join()

    planted_beside_storing(monkeypatch, name, thread.start)
    Planted(monkeypatch).found_by(name, WHOLE, "left behind: .*127.0.0.1:planted", mend)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("name", IN_LOOPS, indirect=True)
def test_a_task_that_is_left_behind_is_noticed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    put_away: list[Callable[[], object]] = []

    def leave() -> None:
        if name == "serving-trio":
            event, token = trio.Event(), trio.lowlevel.current_trio_token()
            trio.lowlevel.spawn_system_task(event.wait)
            put_away.append(lambda: trio.from_thread.run_sync(event.set, trio_token=token))
        else:
            loop = asyncio.get_running_loop()
            task = loop.create_task(asyncio.sleep(3600))
            put_away.append(lambda: loop.call_soon_threadsafe(task.cancel))

    planted_beside_storing(monkeypatch, name, leave)
    Planted(monkeypatch).found_by(name, WHOLE, "left behind: .* tasks", lambda: put_away[0]())
