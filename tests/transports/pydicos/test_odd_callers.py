"""Callbacks that do what none should, and invalid arguments: each is answered, noted, and harms nobody else."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicos_transports.pydicos import DcsClient, DcsServer
from tests.transports.pydicos.test_client_and_server import KINDS, a_ct, client_of, listening, session, wait_until


class Torn:
    def __bool__(self) -> bool:
        raise RuntimeError

    def __repr__(self) -> str:
        raise RuntimeError


class Raising:
    def OnReceivingCT(self, ct: object) -> object:
        raise RuntimeError


class Leaving:
    def OnReceivingCT(self, ct: object) -> object:
        sys.exit(3)


class Interrupted:
    def OnReceivingCT(self, ct: object) -> object:
        raise KeyboardInterrupt


class WithProperty:
    @property
    def OnReceivingCT(self) -> object:
        raise RuntimeError


class Strange:
    def __getattr__(self, name: str) -> object:
        if name.startswith("On"):
            raise KeyError(name)
        raise AttributeError(name)


class Array:
    def OnReceivingCT(self, ct: object) -> object:
        return np.zeros(3)


class Broken:
    def OnReceivingCT(self, ct: object) -> object:
        return Torn()


class Later:
    async def OnReceivingCT(self, ct: object) -> object:
        return True


class Promise:
    def __await__(self) -> Iterator[bool]:
        yield True


class Awaitable:
    def OnReceivingCT(self, ct: object) -> object:
        return Promise()


class Yielding:
    def OnReceivingCT(self, ct: object) -> Iterator[bool]:
        yield True


@pytest.mark.parametrize(
    ("callback", "said"),
    [
        (Raising, "OnReceivingCT raised RuntimeError in OnReceivingCT"),
        (Leaving, "OnReceivingCT raised SystemExit in OnReceivingCT"),
        (Interrupted, "OnReceivingCT raised KeyboardInterrupt in OnReceivingCT"),
        (WithProperty, "OnReceivingCT raised RuntimeError in OnReceivingCT"),
        (Strange, "OnReceivingCT raised KeyError in __getattr__"),
        (Array, "OnReceivingCT returned a ndarray for an object of 127.0.0.1"),
        (Broken, "OnReceivingCT returned a Torn for an object of 127.0.0.1"),
        (Later, "OnReceivingCT returned a coroutine: it has to be a plain method"),
        (Awaitable, "OnReceivingCT returned a Promise: it has to be a plain method"),
        (Yielding, "OnReceivingCT returned a generator: it has to be a plain method"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_whatever_a_callback_does_is_a_failure_of_that_object_alone(callback: type[object], said: str) -> None:
    with listening(callback()) as server, session(server) as client:
        assert not client.SendCT(a_ct())
        assert not client.SendCT(a_ct())
        assert client.StopDicosSession()
        assert "Processing failure" in client.GetErrorLog()
        assert server.GetErrorLog().count(said) == 2


@pytest.mark.parametrize("name", ["OnConnected", "OnReceivingCT", "OnDisconnected"])
def test_a_server_that_is_stopped_in_a_callback_stops(name: str) -> None:
    class Stopping:
        server: DcsServer
        stopped: bool | None = None

    def stop(one: Stopping, *arguments: object) -> bool:
        one.stopped = one.server.StopListening()
        return True

    setattr(Stopping, name, stop)
    before, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    one = Stopping()
    with listening(one) as server:
        one.server = server
        client = client_of(server)
        assert client.ConnectToServer()
        client.StartDicosSession(KINDS.enumSopCT)
        began = time.monotonic()
        client.SendCT(a_ct())
        client.DisconnectFromServer()
        wait_until(lambda: one.stopped is not None and not server.IsBusy())
        wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before and threading.active_count() <= threads)
        assert time.monotonic() - began < 8  # not the ten seconds that a session may take to finish
        assert one.stopped
        assert not server.IsActivelyAcceptingConnections()


def test_a_session_may_be_ended_any_number_of_times() -> None:
    begun, release = threading.Event(), threading.Event()

    class Slow:
        def OnReceivingCT(self, ct: object) -> bool:
            begun.set()
            return release.wait(60)

    with listening(Slow()) as server, session(server) as client:
        sending = threading.Thread(target=client.SendCT, args=(a_ct(),))
        sending.start()
        assert begun.wait(60)

        def end() -> None:
            for _ in range(70_000):  # more than a pipe holds
                server.TerminateConnectionWithDevice("127.0.0.1")

        ending = threading.Thread(target=end, daemon=True)
        ending.start()
        ending.join(30)
        stuck = ending.is_alive()
        release.set()
        sending.join()
        assert not stuck


@pytest.mark.parametrize("method", ["OnAuthenticateUserNameAndPasscode", "OnAuthenticateUserName"])
@pytest.mark.filterwarnings("error")
def test_a_coroutine_lets_nobody_in(method: str) -> None:
    async def later(self: object, *arguments: str) -> bool:
        return False

    def prepare(server: DcsServer) -> None:
        if method == "OnAuthenticateUserName":
            server.RequireUserNameFromClient()
        else:
            server.RequireUserNameAndPasscodeFromClient()

    authority = type("Authority", (), {method: later})()
    with listening(authority, prepare=prepare) as server:
        client = client_of(server)
        client.SetPasscodeAndUserName("wrong", "anybody")
        assert client.ConnectToServer()
        assert not client.StartDicosSession(KINDS.enumSopCT)
        client.DisconnectFromServer()


@pytest.mark.filterwarnings("error")
def test_a_coroutine_lets_no_application_in() -> None:
    class Authority:
        async def OnAuthenticateClientApplicationName(self, name: str) -> bool:
            return False

    with listening(Authority(), prepare=lambda server: server.RequireApplicationNames()) as server:
        assert not server.IsConnectionFromApplicationEnabled("SCANNER")


@pytest.mark.parametrize("end", [DcsClient, DcsServer])
@pytest.mark.parametrize("time", [0, -1, 0.5, float("inf"), float("nan"), 1e300, 10**400, 2**31, None, "5", b"5"])
def test_times_that_are_none(end: type[Any], time: Any) -> None:
    one = end()
    for set_timeout in (one.SetReadTimeoutInMilliseconds, one.SetWriteTimeoutInMilliseconds):
        assert not set_timeout(time)
        assert "ms; 1 to 2147483647" in one.GetErrorLog()
        assert set_timeout(2**31 - 1)


def test_the_longest_times_can_be_used() -> None:
    def prepare(server: DcsServer) -> None:
        assert server.SetReadTimeoutInMilliseconds(2**31 - 1)
        assert server.SetWriteTimeoutInMilliseconds(2**31 - 1)

    class Good:
        def OnReceivingCT(self, ct: object) -> None:
            pass

    with listening(Good(), prepare=prepare) as server:
        client = client_of(server)
        assert client.SetReadTimeoutInMilliseconds(2**31 - 1)
        assert client.SetWriteTimeoutInMilliseconds(2**31 - 1)
        assert client.ConnectToServer()
        assert client.StartDicosSession(KINDS.enumSopCT)
        assert client.SendCT(a_ct()), client.GetErrorLog()
        assert client.DisconnectFromServer()


def test_a_server_that_neither_answers_nor_closes_costs_the_read_timeout_twice() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = DcsClient()
        client.SetServerPortandIP(silent.getsockname()[1], "127.0.0.1")
        client.SetReadTimeoutInMilliseconds(300)
        assert client.ConnectToServer()
        began = time.monotonic()
        assert not client.StartDicosSession(KINDS.enumSopCT)
        assert time.monotonic() - began < 15  # it waits for 30 seconds by default
        client.DisconnectFromServer()


@pytest.mark.parametrize("kinds", [None, 0, 256, 1.5, float("inf"), "CT", b"", object()])
def test_kinds_that_are_none(kinds: Any) -> None:
    with listening(Raising()) as server:
        client = client_of(server)
        assert client.ConnectToServer()
        assert not client.StartDicosSession(kinds)
        assert "a number of SOPCLASSUID from 1 to 255" in client.GetErrorLog()
        client.DisconnectFromServer()
    assert not server.IncludeSopClassUID(kinds)


@pytest.mark.parametrize("file", [None, 5, b"ca.pem", "a\0b", [], Path("a\0b")])
def test_files_that_are_none(file: Any) -> None:
    for one in (DcsClient(), DcsServer()):
        log: list[str] = []
        assert not one.SetSslCertificate(file, log)
        assert len(log) == 1
        assert not one.SetSslCertificate(file, "secret", "name")


@pytest.mark.parametrize("tag", [0x00080016, 0x00080018])
def test_an_object_without_its_names_is_not_sent(tag: int) -> None:
    with listening(Raising()) as server, session(server) as client:
        ct = a_ct()
        del ct.dicos.dataset[tag]
        assert not client.SendCT(ct)
        assert "is missing" in client.GetErrorLog()
        assert not client.SendCT(Dataset())
        assert client.IsConnectedToServer()
