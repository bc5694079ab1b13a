"""`DcsClient` and `DcsServer` with each other: results, logs, callbacks, who may connect, TLS."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from dicos_transports.pydicos import (
    RESULT_DCSCLIENT,
    AIT2DLoader,
    AIT3DLoader,
    CTLoader,
    DcsClient,
    DcsServer,
    DcsString,
    DXLoader,
    ErrorLog,
    QRLoader,
    TDRLoader,
)
from tests.transports.certificates import CA
from tests.transports.pydicos.test_programs import write_pfx

KINDS = DcsClient.SOPCLASSUID


class Receiver:
    """Notes every call."""

    def __init__(self, answer: object = True) -> None:
        self.answer = answer
        self.calls: list[tuple[str, Any]] = []
        self.threads: set[str] = set()

    def noted(self, name: str, *arguments: Any) -> object:
        self.threads.add(threading.current_thread().name)
        self.calls.append((name, arguments))
        return self.answer

    def OnReceivingCT(self, ct: CTLoader, client_ip: str) -> object:
        return self.noted("CT", ct, client_ip)

    def OnReceivingDX(self, dx: DXLoader, client_ip: str) -> object:
        return self.noted("DX", dx, client_ip)

    def OnReceivingAIT2D(self, ait: AIT2DLoader, client_ip: str) -> object:
        return self.noted("AIT2D", ait, client_ip)

    def OnReceivingAIT3D(self, ait: AIT3DLoader, client_ip: str) -> object:
        return self.noted("AIT3D", ait, client_ip)

    def OnReceivingTDR(self, tdr: TDRLoader, client_ip: str) -> object:
        return self.noted("TDR", tdr, client_ip)

    def OnReceivingQR(self, qr: QRLoader, client_ip: str) -> object:
        return self.noted("QR", qr, client_ip)

    def OnConnected(self, client_ip: str) -> None:
        self.noted("connected", client_ip)

    def OnDisconnected(self, client_ip: str) -> None:
        self.noted("disconnected", client_ip)

    def OnReceiveDicosEcho(self, client_ip: str) -> None:
        self.noted("echo", client_ip)

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


@contextmanager
def listening(callback: object, *more: Any, prepare: Any = None) -> Iterator[DcsServer]:
    server = DcsServer()
    server.SetIP("127.0.0.1")
    if prepare is not None:
        prepare(server)
    assert server.StartListening(callback, *more), server.GetErrorLog()
    try:
        yield server
    finally:
        server.StopListening()


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def client_of(server: DcsServer) -> DcsClient:
    client = DcsClient()
    assert client.SetServerPortandIP(server.GetPort(), "127.0.0.1")
    return client


@contextmanager
def session(server: DcsServer, kinds: int = KINDS.enumSopAll) -> Iterator[DcsClient]:
    client = client_of(server)
    assert client.ConnectToServer(), client.GetErrorLog()
    assert client.StartDicosSession(kinds), client.GetErrorLog()
    try:
        yield client
    finally:
        client.DisconnectFromServer()


def a_ct(*volumes: np.ndarray) -> CTLoader:
    loader = CTLoader()
    loader.set_data(volumes or [np.arange(240, dtype=np.uint16).reshape(6, 5, 8)])
    return loader


# -- objects -------------------------------------------------------------------------------------------------------


def test_every_kind_arrives_as_its_loader() -> None:
    receiver = Receiver()
    volume, image = np.arange(240, dtype=np.uint16).reshape(6, 5, 8), np.arange(40, dtype=np.uint16).reshape(5, 8)
    dx, flat, solid = DXLoader(), AIT2DLoader(), AIT3DLoader()
    dx.set_data(image)
    flat.set_data(image)
    solid.set_data([volume])
    ct = a_ct(volume)
    with listening(receiver) as server, session(server) as client:
        assert client.SendCT(ct)
        assert client.SendDX(dx)
        assert client.SendAIT2D(flat)
        assert client.SendAIT3D(solid)
        assert client.SendTDR(ct.generate_tdr({}))
        assert client.GetResult() is RESULT_DCSCLIENT.enumResultSuccess
        assert client.GetErrorLog() == ""
    assert receiver.names() == ["connected", "CT", "DX", "AIT2D", "AIT3D", "TDR", "disconnected"]
    loaders = {name: arguments[0] for name, arguments in receiver.calls}
    assert np.array_equal(loaders["CT"].get_volume_data(), volume)
    assert np.array_equal(loaders["DX"].get_data(), image)
    assert np.array_equal(loaders["AIT2D"].get_data(), image)
    assert np.array_equal(loaders["AIT3D"].get_data()[0], volume)
    assert {str(arguments[-1]) for _, arguments in receiver.calls} == {"127.0.0.1"}
    assert all("callback" in one for one in receiver.threads), "off the network thread"


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64", "float32"])
@pytest.mark.parametrize("compressed", [True, False])
def test_volumes_of_every_kind_of_pixels(dtype: str, compressed: bool) -> None:
    receiver = Receiver()
    volume = np.random.default_rng(3).integers(0, 100, (3, 6, 4)).astype(dtype)
    with listening(receiver) as server:
        client = client_of(server)
        client.DisableDataCompression(not compressed)
        assert client.ConnectToServer()
        assert client.StartDicosSession(KINDS.enumSopCT)
        assert client.SendCT(a_ct(volume)), client.GetErrorLog()
        client.DisconnectFromServer()
    found = receiver.calls[1][1][0].get_volume_data()
    assert found.dtype == volume.dtype
    assert np.array_equal(found, volume)


def test_sections_of_different_sizes_are_objects_of_their_own() -> None:
    receiver = Receiver()
    volumes = [np.full((3, 4, 5), 7, np.uint16), np.full((2, 4, 5), 8, np.uint16), np.full((2, 9, 9), 9, np.uint16)]
    with listening(receiver) as server, session(server) as client:
        assert client.SendCT(a_ct(*volumes))
    received = [arguments[0] for name, arguments in receiver.calls if name == "CT"]
    assert [[one.shape for one in each.get_data()] for each in received] == [[(3, 4, 5), (2, 4, 5)], [(2, 9, 9)]]


@pytest.mark.parametrize(("answer", "stored"), [(True, True), (None, True), (1, True), (False, False), (0, False)])
def test_what_a_callback_returns_is_the_answer(answer: object, stored: bool) -> None:
    with listening(Receiver(answer)) as server, session(server) as client:
        assert client.SendCT(a_ct()) is stored
        assert ("0x0110" in client.GetErrorLog()) is not stored
        assert client.Echo(), "the session goes on"


def test_a_callback_that_raises_answers_a_failure() -> None:
    class Broken:
        def OnReceivingCT(self, ct: CTLoader, client_ip: str) -> bool:
            raise ValueError("BAG0001")

    with listening(Broken()) as server, session(server) as client:
        assert not client.SendCT(a_ct())
        assert client.Echo()
        assert "OnReceivingCT raised ValueError in OnReceivingCT, line" in server.GetErrorLog()
        assert "BAG0001" not in server.GetErrorLog()


def test_a_kind_without_a_method() -> None:
    class OnlyDX:
        def OnReceivingDX(self, dx: DXLoader) -> bool:
            return True

    class Anything:
        kinds: ClassVar[list[str]] = []

        def OnReceiveDicosFile(self, loader: Any) -> None:
            self.kinds.append(loader.kind)

    with listening(OnlyDX()) as server, session(server) as client:
        assert not client.SendCT(a_ct())
        assert "0x0122" in client.GetErrorLog()
        assert "no method OnReceivingCT" in server.GetErrorLog()
        assert server.UpdateCallback(Anything())
        assert client.SendCT(a_ct())
        assert Anything.kinds == ["CT"]


def test_data_that_is_no_object() -> None:
    class Receiver:
        faults: ClassVar[list[str]] = []

        def OnReceiveDicosFileError(self, log: ErrorLog, client_ip: str) -> None:
            self.faults.append(str(log))

    with listening(Receiver()) as server, session(server) as client:
        assert client._session is not None
        assert client._session.store("1.2.840.10008.5.1.4.1.1.501.3", "1.2", "1.2.840.10008.1.2.1", b"\1\2\3").status
        assert client.Echo()
    assert "an object of 127.0.0.1" in Receiver.faults[0]


def test_objects_are_delivered_when_the_session_ends() -> None:
    receiver = Receiver(False)
    with listening(receiver, None, None, True) as server:
        with session(server) as client:
            assert client.SendCT(a_ct()), "answered before the callback is asked"
            assert receiver.names() == ["connected"]
        server.StopListening()
        assert receiver.names() == ["connected", "CT", "disconnected"]


def test_the_wrong_method_for_an_object() -> None:
    with listening(Receiver()) as server, session(server) as client:
        assert not client.SendDX(a_ct())
        assert "SendDX: a CT; SendCT sends it" in client.GetErrorLog()
        assert not client.SendCT("luggage.ct")  # type: ignore[arg-type]
        assert "str in place of a CTLoader" in client.GetErrorLog()
        assert not client.SendDX(DXLoader())
        assert "the DX is empty" in client.GetErrorLog()


# -- sessions ------------------------------------------------------------------------------------------------------


def test_a_session_has_what_was_accepted() -> None:
    def only_ct(server: DcsServer) -> None:
        assert server.IncludeSopClassUID(server.SOPCLASSUID.enumSopCT)

    with listening(Receiver(), prepare=only_ct) as server:
        client = client_of(server)
        assert client.ConnectToServer()
        assert not client.StartDicosSession(KINDS.enumSopCT | KINDS.enumSopTDR)
        assert "the server accepts nothing of TDR" in client.GetErrorLog()
        assert not client.IsConnectedToServer()
        assert client.ConnectToServer()
        assert client.StartDicosSession(KINDS.enumSopCT)
        assert (client.CanSendCT(), client.CanSendTDR(), client.CanSendDXProcessing()) == (True, False, False)
        assert not client.SendTDR(a_ct().generate_tdr({}))
        assert not client.StartDicosSession(KINDS.enumSopCT)
        assert "StopDicosSession first" in client.GetErrorLog()
        assert client.StopDicosSession()
        assert client.StartDicosSession(KINDS.enumSopCT), "it connects again"
        assert client.DisconnectFromServer()


def test_echo_without_a_session_makes_one() -> None:
    receiver = Receiver()
    with listening(receiver) as server:
        client = client_of(server)
        assert client.Echo()
        assert not client.IsConnectedToServer()
        wait_until(server.IsIdle)
        with session(server) as other:
            assert other.Echo()
            assert other.IsConnectedToServer()
    assert receiver.names() == ["connected", "echo", "disconnected"] * 2


def test_calls_out_of_order_say_what_comes_first() -> None:
    client = DcsClient()
    assert not client.ConnectToServer()
    assert not client.StartDicosSession(1)
    assert not client.StopDicosSession()
    assert not client.SendCT(a_ct())
    assert not client.SetServerPortandIP("127.0.0.1", 9999)  # type: ignore[arg-type]
    assert client.GetErrorLog().splitlines() == [
        "no server: SetServerPortandIP first",
        "not connected: ConnectToServer first",
        "no session is open",
        "no session is open: ConnectToServer and StartDicosSession first",
        "port '127.0.0.1'; a number from 1 to 65535 comes first, then the address",
    ]
    assert client.GetResult() is RESULT_DCSCLIENT.enumResultFailed


def test_settings_are_what_was_set() -> None:
    client = DcsClient()
    assert client.SetServerPortandIP(104, DcsString("10.0.0.1"))
    assert client.SetClientIP("127.0.0.2")
    assert client.SetSourceApplication("SCANNER")
    assert not client.SetSourceApplication("A" * 17)
    assert not client.SetDestinationApplication(" ")
    assert client.SetDestinationApplication("CENTER")
    assert client.SetReadTimeoutInMilliseconds(1500)
    assert not client.SetReadTimeoutInMilliseconds(0)
    assert client.SetWriteTimeoutInMilliseconds(2500)
    copy = DcsClient(client)
    found = (copy.GetPort(), copy.GetServerIP(), copy.GetClientIP(), copy.GetSourceApplication())
    assert found == (104, "10.0.0.1", "127.0.0.2", "SCANNER")
    assert (copy.GetDestinationApplication(), copy.GetServerIP().Get()) == ("CENTER", "10.0.0.1")
    assert (copy.GetReadTimeoutInMilliseconds(), copy.GetWriteTimeoutInMilliseconds()) == (1500, 2500)
    assert copy.IsPrioritizingDataCompression()
    copy.DisableDataCompression()
    assert copy.IsDataCompressionDisabled()
    assert not copy.IsPrioritizingDataCompression()
    assert copy.IsValid()


def test_the_read_timeout_bounds_the_wait_for_an_answer() -> None:
    release = threading.Event()

    class Slow:
        def OnReceivingCT(self, ct: CTLoader, client_ip: str) -> bool:
            return release.wait(60)

    with listening(Slow()) as server:
        client = client_of(server)
        client.SetReadTimeoutInMilliseconds(200)
        assert client.ConnectToServer()
        assert client.StartDicosSession(KINDS.enumSopCT)
        assert not client.SendCT(a_ct())
        assert "0.2 s" in client.GetErrorLog()
        assert not client.IsConnectedToServer()
        release.set()


def test_a_server_that_says_nothing_does_not_hold_the_interpreter() -> None:
    ticks = 0
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = DcsClient()
        client.SetServerPortandIP(silent.getsockname()[1], "127.0.0.1")
        client.SetReadTimeoutInMilliseconds(400)
        done, began = threading.Event(), time.monotonic()
        results: list[bool] = []

        def ask() -> None:
            results.append(client.Echo())
            done.set()

        thread = threading.Thread(target=ask)
        thread.start()
        while not done.wait(0.01):
            ticks += 1
        thread.join()
    assert results == [False]
    assert ticks > 10
    assert time.monotonic() - began < 15, "the read timeout bounds every wait"


def test_sessions_with_a_device_are_listed_and_ended() -> None:
    receiver = Receiver()
    with listening(receiver) as server, session(server) as client, session(server) as other:
        wait_until(lambda: receiver.names().count("connected") == 2)
        assert server.IsBusy()
        assert not server.IsIdle()
        assert server.GetConnectedDevices() == ["127.0.0.1"]
        assert not server.TerminateConnectionWithDevice("10.0.0.1")
        assert server.TerminateConnectionWithDevice("127.0.0.1")
        wait_until(server.IsIdle)
        for one in (client, other):
            assert not one.Echo()
            assert not one.IsConnectedToServer()
    assert server.IsIdle()


def test_a_port_in_use_is_reported() -> None:
    with listening(Receiver()) as server:
        second = DcsServer()
        second.SetIP("127.0.0.1")
        second.SetPort(server.GetPort())
        assert not second.StartListening(Receiver())
        assert "in use" in second.GetErrorLog()
        assert not second.IsActivelyAcceptingConnections()
        assert not server.SetPort(1), "it listens"
        assert not server.StartListening(Receiver())


def test_slow_callbacks_of_several_scanners_run_at_the_same_time() -> None:
    together = threading.Barrier(4, timeout=30)

    class Slow:
        def OnReceivingCT(self, ct: CTLoader, client_ip: str) -> bool:
            together.wait()
            return True

    results: list[bool] = []
    with listening(Slow()) as server:

        def scan() -> None:
            with session(server, KINDS.enumSopCT) as client:
                results.append(client.SendCT(a_ct()))

        threads = [threading.Thread(target=scan) for _ in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert results == [True] * 4


# -- who may connect -----------------------------------------------------------------------------------------------


def named(server: DcsServer, user: str | None, passcode: str | None = None) -> bool:
    client = client_of(server)
    if passcode is not None:
        client.SetPasscodeAndUserName(passcode, user or "")
    elif user is not None:
        client.SetUserName(user)
    return client.Echo()


def test_user_names() -> None:
    with listening(Receiver(), prepare=lambda server: server.RequireUserNameFromClient("UserA")) as server:
        assert named(server, "UserA")
        assert not named(server, "UserB")
        assert not named(server, None)
        assert (server.IsValidUserName("UserA"), server.IsValidUserName("UserB")) == (True, False)


def test_users_that_an_object_knows() -> None:
    class Authority:
        def OnAuthenticateUserName(self, name: str) -> bool:
            return name.startswith("User")

        def OnAuthenticateUserNameAndPasscode(self, name: str, passcode: str) -> bool:
            return (name, passcode) == ("UserA", "Pass0A")

    with listening(Receiver(), Authority(), prepare=lambda server: server.RequireUserNameFromClient()) as server:
        assert named(server, "UserB")
        assert not named(server, "Guest")
        assert server.AllowAllCients()
        assert named(server, None)
        assert server.RequireUserNameAndPasscodeFromClient()
        assert named(server, "UserA", "Pass0A")
        assert not named(server, "UserA", "Pass0B")
        assert not named(server, "UserA")


def test_passcodes() -> None:
    users = {"UserA": "Pass0A"}
    prepare = lambda server: server.RequireUserNameAndPasscodeFromClient(users)  # noqa: E731
    with listening(Receiver(), prepare=prepare) as server:
        assert named(server, "UserA", "Pass0A")
        assert not named(server, "UserA", "")
        assert not named(server, "UserB", "Pass0A")
        assert server.IsValidUserNameAndPasscode("UserA", "Pass0A")
        assert "Pass0A" not in server.GetErrorLog()


def test_passcodes_that_nobody_knows_are_refused() -> None:
    with listening(Receiver(), prepare=lambda server: server.RequireUserNameAndPasscodeFromClient()) as server:
        assert not named(server, "UserA", "Pass0A")


def test_application_names() -> None:
    def prepare(server: DcsServer) -> None:
        server.SetApplicationName("CENTER")
        server.RequireApplicationNames("ClientAppA")

    with listening(Receiver(), prepare=prepare) as server:
        client = client_of(server)
        client.SetSourceApplication("ClientAppA")
        client.SetDestinationApplication("CENTER")
        assert client.Echo()
        client.SetSourceApplication("ClientAppB")
        assert not client.Echo()
        assert "calling AE title not recognized" in client.GetErrorLog()
        client.SetSourceApplication("ClientAppA")
        client.SetDestinationApplication("ELSEWHERE")
        assert not client.Echo()
        assert "called AE title not recognized" in client.GetErrorLog()
        assert server.IsConnectionFromApplicationEnabled("ClientAppA")
        assert not server.IsConnectionFromApplicationEnabled("ClientAppB")


# -- TLS -----------------------------------------------------------------------------------------------------------


def test_a_handshake_that_fails_shows_when_connecting(tmp_path: Path) -> None:
    ca, other = CA("Airport CA"), CA("Another CA")
    write_pfx(tmp_path / "server.pfx", ca.issue("ServerName", "127.0.0.1"), ca, "secret")
    write_pfx(tmp_path / "client.pfx", ca.issue("ClientName"), ca, "secret")
    write_pfx(tmp_path / "other.pfx", other.issue("ClientName"), other, "secret")

    def prepare(server: DcsServer) -> None:
        assert server.SetSslCertificate(tmp_path / "server.pfx", "secret", ErrorLog())
        assert server.SetTLSClientCertificateRequired(False)

    with listening(Receiver(), prepare=prepare) as server:
        client = client_of(server)
        client.EnableSsl(True)
        assert client.SetSslCertificate(tmp_path / "other.pfx", "secret", "ClientName", ErrorLog())
        assert not client.ConnectToServer()
        assert "TLS handshake" in client.GetErrorLog()
        assert not client.IsUsingSsl()
        client = client_of(server)
        client.EnableSsl(True)
        assert client.SetSslCertificate(str(tmp_path / "client.pfx"), "secret", "ClientName", [])
        assert client.ConnectToServer(), client.GetErrorLog()
        assert client.IsUsingSsl()
        assert "AES" in client.GetTlsCipherSuite()
        assert client.StartDicosSession(KINDS.enumSopCT)
        assert client.SendCT(a_ct())
        assert client.DisconnectFromServer()
        plain = client_of(server)
        plain.SetReadTimeoutInMilliseconds(2000)
        assert not plain.Echo()


def test_certificates_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    ca = CA("Airport CA")
    write_pfx(tmp_path / "server.pfx", ca.issue("ServerName"), ca, "secret")
    server, log = DcsServer(), ErrorLog()
    assert not server.SetSslCertificate(tmp_path / "none.pfx", "secret", log)
    assert not server.SetSslCertificate(tmp_path / "server.pfx", "wrong", "ServerName", log)
    assert not server.SetSslCertificate(tmp_path / "server.pfx", "secret", "Elsewhere", log)
    assert [part in str(log) for part in ("no such file", "wrong password", "is not for 'Elsewhere'")] == [True] * 3
    assert not server.IsUsingSsl()
    lines: list[str] = []
    assert not DcsClient().SetSslCertificate(tmp_path / "server.pfx", "wrong", "", lines)
    assert len(lines) == 1
    server.GetErrorLog(lines)
    assert "secret" not in "".join(lines)


def test_cipher_suites_by_their_names(tmp_path: Path) -> None:
    ca = CA("Airport CA")
    write_pfx(tmp_path / "server.pfx", ca.issue("ServerName", "127.0.0.1"), ca, "secret")

    def prepare(server: DcsServer) -> None:
        server.SetSslCertificate(tmp_path / "server.pfx", "secret")
        server.SetTLSClientCertificateRequired(False)
        server.SetSslAllowedCiphers("tls_aes_256_gcm_sha384,TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")

    with listening(Receiver(), prepare=prepare) as server:
        client = client_of(server)
        client.EnableSsl(True)
        client.SetSslCertificate(tmp_path / "server.pfx", "secret")
        assert client.ConnectToServer(), client.GetErrorLog()
        assert client.GetTlsCipherSuite() == "TLS_AES_256_GCM_SHA384"
        client.DisconnectFromServer()


def test_a_peer_that_goes_away_is_noticed_at_the_next_call() -> None:
    with listening(Receiver()) as server:
        client = client_of(server)
        assert client.ConnectToServer()
        assert client.StartDicosSession(KINDS.enumSopCT)
        server.StopListening()
        assert not client.SendCT(a_ct())
        assert not client.IsConnectedToServer()
        assert not client.StopDicosSession()
