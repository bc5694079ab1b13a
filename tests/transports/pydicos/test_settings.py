"""The settings of `DcsClient` and `DcsServer` have their effect on the wire, and the pitfalls of the tutorial."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates

from dicos_proto.dicos import Code, Measurement
from dicos_proto.dicos.profile import Compression, Family, accept_policy, contexts_for
from dicos_proto.registry import uids
from dicos_transports.blocking import Session, StoreRequest, connect
from dicos_transports.blocking.server import Server, serve
from dicos_transports.pydicos import CTLoader, DcsClient, DcsServer, DXLoader, ErrorLog, QRLoader, dcsread
from tests.transports.certificates import CA
from tests.transports.pydicos.test_client_and_server import KINDS, Receiver, client_of, listening, session
from tests.transports.pydicos.test_programs import write_pfx

JPEG, EXPLICIT = uids.JPEG_LOSSLESS_SV1, uids.EXPLICIT_VR_LE


class Wire:
    """A server that notes how objects come: their transfer syntaxes and sizes."""

    def __init__(self) -> None:
        self.syntaxes: list[str] = []
        self.sizes: list[int] = []

    def handle(self, session: Session) -> None:
        for request in session:
            if isinstance(request, StoreRequest):
                self.syntaxes.append(request.transfer_syntax)
                self.sizes.append(sum(len(piece) for piece in request.data()))
            request.respond()


@contextmanager
def seen_by(wire: Wire, compression: Compression = Compression.PREFERRED) -> Iterator[DcsClient]:
    """A client with the address of such a server."""
    with serve(("127.0.0.1", 0), wire.handle, policy=accept_policy(compression=compression)) as server:
        yield client_to(server)


def client_to(server: Server) -> DcsClient:
    client = DcsClient()
    assert server.port is not None
    client.SetServerPortandIP(server.port, "127.0.0.1")
    return client


def a_ct(frames: int = 4, side: int = 64) -> CTLoader:
    loader = CTLoader()
    loader.set_data([np.zeros((frames, side, side), np.uint16) + np.arange(side, dtype=np.uint16)])
    return loader


def sent(client: DcsClient, ct: CTLoader) -> bool:
    assert client.ConnectToServer(), client.GetErrorLog()
    assert client.StartDicosSession(KINDS.enumSopCT), client.GetErrorLog()
    done = client.SendCT(ct)
    client.DisconnectFromServer()
    return done


# -- compression -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "never", "server", "syntax"),
    [
        (True, False, Compression.PREFERRED, JPEG),
        (True, False, Compression.FORBIDDEN, EXPLICIT),
        (False, False, Compression.ALLOWED, EXPLICIT),
        (True, True, Compression.PREFERRED, EXPLICIT),
    ],
)
def test_a_client_compresses_as_it_is_told(first: bool, never: bool, server: Compression, syntax: str) -> None:
    wire = Wire()
    with seen_by(wire, server) as client:
        client.PrioritizeDataCompression(first)
        client.DisableDataCompression(never)
        assert (client.IsPrioritizingDataCompression(), client.IsDataCompressionDisabled()) == (
            first and not never,
            never,
        )
        assert sent(client, a_ct()), client.GetErrorLog()
    assert wire.syntaxes == [syntax]


@pytest.mark.parametrize(
    ("first", "never", "compressed"), [(True, False, True), (False, False, False), (True, True, False)]
)
def test_a_server_chooses_compression_as_it_is_told(first: bool, never: bool, compressed: bool) -> None:
    def prepare(server: DcsServer) -> None:
        server.PrioritizeDataCompression(first)
        server.DisableDataCompression(never)

    with listening(Receiver(), prepare=prepare) as server:
        assert (server.IsPrioritizingDataCompression(), server.IsDataCompressionDisabled()) == (
            first and not never,
            never,
        )
        with connect(("127.0.0.1", server.GetPort()), contexts_for(Family.CT)) as asked:
            (chosen,) = {one.transfer_syntax for one in asked.contexts.values() if one.abstract_syntax == uids.DICOS_CT}
    assert (chosen == JPEG) is compressed


def test_large_data_is_small_on_the_wire() -> None:
    """A pitfall of the tutorial: "enable compression to reduce transfer time"."""
    plain, compressed, ct = Wire(), Wire(), a_ct(40, 256)
    with seen_by(plain) as client:
        client.DisableDataCompression()
        assert sent(client, ct)
    with seen_by(compressed) as client:
        client.PrioritizeDataCompression(True)
        assert sent(client, ct)
    assert plain.sizes[0] > 40 * 256 * 256 * 2
    assert compressed.sizes[0] < plain.sizes[0] / 3


# -- time --------------------------------------------------------------------------------------------------------------


def test_the_write_timeout_bounds_the_wait_for_a_server_that_takes_nothing() -> None:
    """A pitfall of the tutorial: "adjust the timeout settings"."""
    release = threading.Event()

    def stall(session: Session) -> None:
        for _ in session:
            release.wait(60)
            return

    with serve(("127.0.0.1", 0), stall, policy=accept_policy()) as server:
        client = client_to(server)
        client.DisableDataCompression()
        client.SetWriteTimeoutInMilliseconds(300)
        began = time.monotonic()
        assert not sent(client, a_ct(120, 512))
        assert time.monotonic() - began < 25, "the read timeout is 30 s"
        assert "0.3 s" in client.GetErrorLog()
        release.set()


# -- who and where -----------------------------------------------------------------------------------------------------


def test_a_server_sees_the_address_and_the_names_of_a_client() -> None:
    receiver = Receiver()
    with listening(receiver, prepare=lambda server: server.SetApplicationName("CENTER")) as server:
        client = client_of(server)
        assert client.SetClientIP("127.0.0.2")
        client.SetSourceApplication("SCANNER")
        client.SetUserName("UserA")
        assert client.Echo(), client.GetErrorLog()
        assert client.DeletePasscodeAndUserName()
        assert client.Echo(), client.GetErrorLog()
    devices = [arguments[0] for name, arguments in receiver.calls if name == "echo"]
    assert devices == ["127.0.0.2", "127.0.0.2"]
    assert [(one.application, one.user) for one in devices] == [("SCANNER", "UserA"), ("SCANNER", "")]
    assert (devices[0].GetClientIP(), devices[0].GetServerIP()) == ("127.0.0.2", "127.0.0.1")
    assert devices[0].GetServerPort() == devices[0].server_port > 0


def test_a_user_that_is_deleted_is_not_presented() -> None:
    with listening(Receiver(), prepare=lambda server: server.RequireUserNameFromClient("UserA")) as server:
        client = client_of(server)
        client.SetPasscodeAndUserName("Pass0A", "UserA")
        assert client.Echo(), client.GetErrorLog()
        client.DeletePasscodeAndUserName()
        assert not client.Echo()


@pytest.mark.parametrize(
    "demand", ["RequireUserNameFromClient", "RequireUserNameAndPasscodeFromClient", "RequireApplicationNames"]
)
def test_an_object_that_raises_lets_nobody_in(demand: str, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def OnAuthenticateUserName(self, name: str) -> bool:
            raise ValueError(name)

        def OnAuthenticateUserNameAndPasscode(self, name: str, passcode: str) -> bool:
            raise ValueError(passcode)

        def OnAuthenticateClientApplicationName(self, name: str) -> bool:
            raise ValueError(name)

    def prepare(server: DcsServer) -> None:
        server.SetApplicationName("CENTER")
        getattr(server, demand)()

    with listening(Receiver(), Broken(), prepare=prepare) as server:
        client = client_of(server)
        client.SetDestinationApplication("CENTER")
        if demand == "RequireUserNameFromClient":
            client.SetUserName("UserA")
        else:
            client.SetPasscodeAndUserName("Pass0A", "UserA")
        assert not client.Echo()
        assert "ValueError" in server.GetErrorLog()
        assert "Pass0A" not in server.GetErrorLog() + caplog.text
        server.AllowAllClients()
        server.IgnoreApplicationNames()
        assert client.Echo(), "the server goes on"


def test_kinds_by_their_uids_and_all_of_them_again() -> None:
    server = DcsServer()
    assert uids.DICOS_QR in server.GetListOfSupportedSopClassUIDs()
    assert server.IncludeSopClassUID(uids.DICOS_CT)
    assert server.IncludeSopClassUID(server.SOPCLASSUID.enumSopTDR)
    assert sorted(server.GetListOfSupportedSopClassUIDs()) == sorted([uids.DICOS_CT, uids.DICOS_TDR, uids.VERIFICATION])
    assert not server.IncludeSopClassUID("no UID")
    assert server.ResetIncludedSopClassUIDs()
    assert uids.DICOS_QR in server.GetListOfSupportedSopClassUIDs()


def test_application_names_are_ignored_again() -> None:
    def prepare(server: DcsServer) -> None:
        server.SetApplicationName("CENTER")
        server.RequireApplicationNames("ClientAppA")
        assert server.IgnoreApplicationNames()

    with listening(Receiver(), prepare=prepare) as server:
        assert client_of(server).Echo()


# -- QR ----------------------------------------------------------------------------------------------------------------


def test_a_qr_is_written_read_and_sent(tmp_path: Path) -> None:
    code = Code(value="RDX", scheme="99TEST", meaning="RDX")
    given = [Measurement(material=code, signal_to_noise=7.5, threshold=5.0, polygon=((0, 0, 0), (300, 200, 500)))]
    loader, receiver = QRLoader(), Receiver()
    loader.set_data(given)
    loader.write(tmp_path / "qr.dcs")
    read: Any = dcsread(tmp_path / "qr.dcs")
    assert type(read) is QRLoader
    assert read.get_data() == given
    with listening(receiver) as server, session(server, KINDS.enumSopQR) as client:
        assert (client.CanSendQR(), client.CanSendCT()) == (True, False)
        assert client.SendQR(read), client.GetErrorLog()
        assert not client.SendCT(read)
    (arguments,) = (arguments for name, arguments in receiver.calls if name == "QR")
    assert type(arguments[0]) is QRLoader
    assert arguments[0].get_data() == given


# -- TLS and the rest --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["pem", "cer", "p7b"])
def test_the_certificates_of_a_file_are_trusted(suffix: str, tmp_path: Path) -> None:
    ca, other = CA("Airport CA"), CA("Another CA")
    write_pfx(tmp_path / "server.pfx", ca.issue("ServerName", "127.0.0.1"), other, "secret")
    encoded = {
        "pem": ca.certificate.public_bytes(Encoding.PEM),
        "cer": ca.certificate.public_bytes(Encoding.DER),
        "p7b": serialize_certificates([ca.certificate], Encoding.DER),
    }
    trusted = tmp_path / f"ca.{suffix}"
    trusted.write_bytes(encoded[suffix])

    def prepare(server: DcsServer) -> None:
        assert server.SetSslCertificate(tmp_path / "server.pfx", "secret", ErrorLog())
        server.SetTLSClientCertificateRequired(False)
        assert (server.IsUsingSsl(), server.IsTLSClientCertificateRequired()) == (True, False)

    with listening(Receiver(), prepare=prepare) as server:
        client = client_of(server)
        client.EnableSsl(True)
        assert client.SetSslCertificate(str(trusted), ErrorLog()), client.GetErrorLog()
        assert client.Echo(), client.GetErrorLog()
        stranger = client_of(server)
        stranger.EnableSsl(True)
        assert not stranger.Echo(), "without a CA it trusts those of the system only"


def test_files_without_certificates_say_why(tmp_path: Path) -> None:
    (tmp_path / "text.p7b").write_text("no certificate")
    client = DcsClient()
    assert not client.SetSslCertificate(str(tmp_path / "text.p7b"), ErrorLog())
    assert not client.SetSslCertificate(str(tmp_path / "none.p7b"), ErrorLog())
    assert "not a PKCS#7 file" in client.GetErrorLog()
    assert "no such file" in client.GetErrorLog()


def test_waiting_for_a_server_ends_when_it_stops() -> None:
    with listening(Receiver()) as server:
        waiting = threading.Thread(target=server.WaitForThreadToComplete)
        waiting.start()
        waiting.join(0.1)
        assert waiting.is_alive()
        assert server.StopListening()
        waiting.join(30)
        assert not waiting.is_alive()
    assert not server.StopListening()


def test_settings_of_a_server_are_what_was_set() -> None:
    server = DcsServer()
    assert server.SetIP("127.0.0.1")
    assert server.SetPort(0)
    assert not server.SetPort(70_000)
    assert server.SetApplicationName("CENTER")
    assert not server.SetApplicationName("A" * 17)
    assert server.SetReadTimeoutInMilliseconds(1500)
    assert server.SetWriteTimeoutInMilliseconds(2500)
    assert not server.SetReadTimeoutInMilliseconds(0)
    assert (server.GetIP(), server.GetPort(), server.GetApplicationName()) == ("127.0.0.1", 0, "CENTER")
    assert (server.GetReadTimeoutInMilliseconds(), server.GetWriteTimeoutInMilliseconds()) == (1500, 2500)
    assert server.SetSslAllowedCiphers("tls_aes_256_gcm_sha384")
    assert server.GetSslAllowedCiphers() == "tls_aes_256_gcm_sha384"


def test_a_report_on_an_x_ray_refers_to_it() -> None:
    dx = DXLoader()
    dx.set_data(np.zeros((6, 8), np.uint16))
    report = dx.generate_tdr({})
    assert report.dicos.refers_to(dx.dicos)
    assert report.dicos.validate(dx.dicos) == []


def test_the_connected_devices_are_those_of_now() -> None:
    receiver, found = Receiver(), list[str]()
    with listening(receiver) as server:
        client = client_of(server)
        client.SetClientIP("127.0.0.2")
        assert client.ConnectToServer()
        assert client.StartDicosSession(KINDS.enumSopCT | KINDS.enumSopEcho)
        assert client.Echo()
        with session(server) as other:
            assert other.Echo()
            assert sorted(server.GetConnectedDevices(found)) == sorted(found) == ["127.0.0.1", "127.0.0.2"]
            assert server.TerminateConnectionWithDevice("127.0.0.2")
            assert not client.Echo()
            assert other.Echo(), "the other one stays"
