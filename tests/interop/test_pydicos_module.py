"""`dicos_transports.pydicos` and the real pyDICOS, both ways: the same programming model on both ends of a line."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicos_transports.pydicos import CTLoader, DcsClient, DcsServer, DXLoader
from tests.interop.pydicos_network import needs_pydicos, outcomes, their_client, their_server

pytestmark = [pytest.mark.interop, needs_pydicos]

KINDS = DcsClient.SOPCLASSUID
VOLUME = np.arange(16 * 12 * 5, dtype=np.uint16).reshape(5, 12, 16)


def client_to(port: int) -> DcsClient:
    client = DcsClient()
    client.SetServerPortandIP(port, "127.0.0.1")
    client.SetSourceApplication("ClientAppA")
    client.SetDestinationApplication("CENTRAL_SERVER")
    return client


@pytest.mark.parametrize("compressed", [True, False])
def test_our_client_sends_to_its_server(compressed: bool, tmp_path: Path) -> None:
    ct, dx = CTLoader(), DXLoader()
    ct.set_data([VOLUME, np.ones((2, 12, 16), np.uint16), np.ones((3, 20, 20), np.uint16)])
    dx.set_data(np.arange(120 * 80, dtype=np.uint16).reshape(120, 80))
    report = ct.generate_tdr(
        {"PTOs": [{"ID": 1, "Base": {"x": 1, "y": 1, "z": 1}, "Extent": {"x": 2, "y": 3, "z": 1}}]}
    )
    with their_server(tmp_path) as (port, log):
        client = client_to(port)
        client.DisableDataCompression(not compressed)
        assert client.Echo(), client.GetErrorLog()
        assert client.ConnectToServer()
        assert client.StartDicosSession(KINDS.enumSopAll), client.GetErrorLog()
        assert client.Echo()
        assert client.SendCT(ct), client.GetErrorLog()
        assert client.SendDX(dx), client.GetErrorLog()
        assert client.SendTDR(report), client.GetErrorLog()
        assert client.StopDicosSession()
        assert client.DisconnectFromServer()
    assert log.is_clean(), log.text


class Receiver:
    """Keeps the volumes that it receives."""

    def __init__(self) -> None:
        self.volumes: list[Any] = []
        self.echoes = 0
        self.lock = threading.Lock()

    def OnReceivingCT(self, ct: CTLoader, client_ip: str) -> bool:
        with self.lock:
            self.volumes += ct.get_data()
        return True

    def OnReceiveDicosEcho(self, client_ip: str) -> None:
        self.echoes += 1


@pytest.mark.parametrize("compressed", [True, False])
def test_its_client_sends_to_our_server(compressed: bool, tmp_path: Path) -> None:
    """Sections of one size are one object for it, sections of several sizes several with the same SOP Instance UID."""
    receiver, server = Receiver(), DcsServer()
    server.SetIP("127.0.0.1")
    assert server.StartListening(receiver)
    try:
        sections = [[16, 12, 5], [16, 12, 3], [10, 10, 4]]
        said = their_client(
            server.GetPort(), tmp_path, scans=[{"sections": sections}], compress=compressed, echo=True, sop="CT|Echo"
        )
    finally:
        server.StopListening()
    assert outcomes(said, "sent") == [True], (said, server.GetErrorLog())
    assert outcomes(said, "echo") == [True], said
    assert receiver.echoes == 1
    given = [np.load(one) for one in sorted(tmp_path.glob("*.npy"))]
    assert len(given) == len(receiver.volumes) == 3
    for volume in given:
        assert any(np.array_equal(volume, found) for found in receiver.volumes)


def test_its_users_at_our_server(tmp_path: Path) -> None:
    server = DcsServer()
    server.SetIP("127.0.0.1")
    server.RequireUserNameAndPasscodeFromClient({"UserA": "Pass0A"})
    assert server.StartListening(Receiver())
    try:
        welcome = their_client(server.GetPort(), tmp_path, user="UserA", passcode="Pass0A")
        refused = their_client(server.GetPort(), tmp_path, user="UserA", passcode="Pass0B")
    finally:
        server.StopListening()
    assert outcomes(welcome, "session") == [True], welcome
    assert outcomes(refused, "session") == [False], refused
