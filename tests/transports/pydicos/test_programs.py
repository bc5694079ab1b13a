"""The programs of the pyDICOS tutorial run between two processes, with only their import line and address changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from dicos_transports.pydicos import CTLoader, dcsread
from dicos_transports.tls import Identity
from tests.interop.peers import free_port
from tests.transports.certificates import CA
from tests.transports.pydicos.running import PROGRAMS, run, running, source_of

SEED = Path(__file__).resolve().parents[4] / "shared" / "seeds" / "000_a8ad467544d70dab.txt"
CONNECTED = """
print("connected", client.ConnectToServer(), client.IsUsingSsl())
print("session", client.StartDicosSession(client.SOPCLASSUID.enumSopCT))
print("sent", client.SendCT(dcsread("luggage_scan.ct")))
print(client.GetErrorLog())
client.DisconnectFromServer()
"""
SERVING = """
import time


class Receiver:
    def OnReceivingCT(self, ct, client_ip):
        print("received", ct.get_volume_data().shape, "by", client_ip)


server.SetIP("127.0.0.1")
server.SetPort(9999)
print("listening", server.StartListening(Receiver()), server.GetErrorLog())
try:
    time.sleep(3600)
except KeyboardInterrupt:
    server.StopListening()
    print("stopped")
"""


def luggage(folder: Path) -> np.ndarray:
    """A CT in the file that the programs read. Returns its volume."""
    volume = np.random.default_rng(7).integers(0, 4000, (6, 10, 8), np.uint16)
    loader = CTLoader()
    loader.set_data([volume])
    loader.write(folder / "luggage_scan.ct")
    return volume


def write_pfx(path: Path, identity: Identity, ca: CA, password: str) -> None:
    path.write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"test",
            identity.key,  # type: ignore[arg-type]
            identity.certificate,
            [ca.certificate],
            serialization.BestAvailableEncryption(password.encode()),
        )
    )
    path.chmod(0o600)


@pytest.mark.skipif(not SEED.is_file(), reason=f"the tutorial is not there: no {SEED}")
@pytest.mark.parametrize("name", sorted(one.stem for one in PROGRAMS.glob("*.py")))
def test_only_the_import_line_is_changed(name: str) -> None:
    """The tutorial's text has lost its indentation, and some comments stand on lines of their own there."""
    known = {line.strip().partition("#")[0].strip() for line in SEED.read_text("utf-8").splitlines()}
    for line in (PROGRAMS / f"{name}.py").read_text("utf-8").splitlines():
        code = line.strip().partition("#")[0].strip()
        if code.startswith("from dicos_transports.pydicos"):
            code = code.replace("dicos_transports.pydicos", "pydicos")
            assert any(set(code.split()[3:]) <= set(one.split()) for one in known), line
        else:
            assert code in known, line


def test_the_client_sends_a_file_to_the_server(tmp_path: Path) -> None:
    volume, port = luggage(tmp_path), free_port()
    with running(tmp_path, "server", source_of("server", port)) as server:
        server.wait_for("Server is listening")
        assert run(tmp_path, "client", source_of("client", port)) == "Scan sent successfully!\n"
        server.interrupt()
        said = server.text.splitlines()
    assert said[1:] == ["Received CT scan from 127.0.0.1", "Volume dimensions: (6, 10, 8)", "Server stopped"]
    stored = dcsread(tmp_path / "received_scan_from_127.0.0.1.ct")
    assert isinstance(stored, CTLoader)
    assert np.array_equal(stored.get_volume_data(), volume)


def test_the_airport_example(tmp_path: Path) -> None:
    """Its scanner sends a CT without any data."""
    port = free_port()
    center = f"\nimport time\ncenter = SecurityCenter({port})\ncenter.start()\ntry:\n    time.sleep(3600)\n" + (
        "except KeyboardInterrupt:\n    center.stop()\n"
    )
    scanner = f'\nSecurityScanner("127.0.0.1", {port}).scan_and_send("L1")\n'
    with running(tmp_path, "center", source_of("center", port, center)) as server:
        server.wait_for("server started")
        said = run(tmp_path, "scanner", source_of("scanner", port, scanner))
        assert said.splitlines()[1:] == ["Connected to security center", "Luggage L1 scan sent successfully"]
        server.wait_for("Analysis complete")
        server.interrupt()
        assert "Received CT scan from scanner at 127.0.0.1" in server.text
        assert server.text.endswith("Security center server stopped\n")


def test_several_scanners_at_once(tmp_path: Path) -> None:
    port = free_port()
    center = f"\nimport time\ncenter = SecurityCenter({port})\ncenter.start()\ntime.sleep(3600)\n"
    scanners = f"""
import threading
def scan(number):
    SecurityScanner("127.0.0.1", {port}).scan_and_send(f"L{{number}}")
threads = [threading.Thread(target=scan, args=(number,)) for number in range(6)]
for one in threads:
    one.start()
for one in threads:
    one.join()
"""
    with running(tmp_path, "center", source_of("center", port, center)) as server:
        server.wait_for("server started")
        said = run(tmp_path, "scanner", source_of("scanner", port, scanners))
        assert sorted(line for line in said.splitlines() if "sent successfully" in line) == [
            f"Luggage L{number} scan sent successfully" for number in range(6)
        ]
        assert server.text.count("Received CT scan from scanner") == 6


def test_timeouts_tls_and_compression(tmp_path: Path) -> None:
    """The name that the tutorial gives the client there is that of the server."""
    luggage(tmp_path)
    ca, port = CA("Airport CA"), free_port()
    write_pfx(tmp_path / "certificate.pfx", ca.issue("scanner"), ca, "password123")
    write_pfx(tmp_path / "server_cert.pfx", ca.issue("ServerName", "ServerName"), ca, "password")
    source = source_of("tls_server", port) + SERVING.replace("9999", str(port))
    with running(tmp_path, "server", source) as server:
        server.wait_for("listening True")
        source = source_of("parameters", port, CONNECTED).replace("import DcsClient", "import DcsClient, dcsread")
        said = run(tmp_path, "client", source)
        assert said.splitlines() == ["connected True True", "session True", "sent True", ""]
        server.wait_for("received (6, 10, 8)")


def test_client_certificates_are_required(tmp_path: Path) -> None:
    luggage(tmp_path)
    ca, other, port = CA("Airport CA"), CA("Another CA"), free_port()
    write_pfx(tmp_path / "server_cert.pfx", ca.issue("ServerName", "127.0.0.1"), ca, "password")
    write_pfx(tmp_path / "client_cert.pfx", ca.issue("ClientName", "ClientName"), ca, "password")
    source = source_of("tls_server", port) + SERVING.replace("9999", str(port))
    with running(tmp_path, "server", source) as server:
        server.wait_for("listening True")
        source = source_of("tls_client", port).replace("import DcsClient", "import DcsClient, dcsread")
        source += f'client.SetServerPortandIP({port}, "127.0.0.1")\n' + CONNECTED
        assert "sent True" in run(tmp_path, "client", source)
        write_pfx(tmp_path / "client_cert.pfx", other.issue("ClientName", "ClientName"), ca, "password")
        said = run(tmp_path, "stranger", source)
        assert "sent False" in said
        assert "unknown ca" in said
        server.interrupt()
        assert server.text.count("received") == 1


def test_the_pitfall_of_results_that_are_not_checked(tmp_path: Path) -> None:
    """`ConnectToServer` says why it fails. `test_settings` has the other two: timeouts, and large data."""
    port = free_port()
    said = run(tmp_path, "client", source_of("parameters", port))
    assert said.startswith("Connection failed:")
    assert "certificate.pfx" in said
    assert f"127.0.0.1:{port}" in said
