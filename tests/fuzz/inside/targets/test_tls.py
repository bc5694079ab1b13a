"""One TLS layer against hostile bytes: the oracles notice a layer that passes on, sends or keeps open too much."""

from __future__ import annotations

import pytest

pytest.importorskip("pydicom", reason="pydicom is not installed")

from dicos_fuzz.inside.certificates import available

if not available():
    pytest.skip("the packages for TLS are not installed", allow_module_level=True)

from dicos_fuzz.inside.cases import recorded
from dicos_fuzz.inside.tape import raw
from dicos_proto.errors import ConnectionLost
from dicos_proto.wire import Buffer
from dicos_transports.tls.layer import TLSLayer
from tests.fuzz.inside.planted import Planted

CLIENT, SERVER = b"\1\0", b"\0\0"
USER, PROVIDER = recorded()[0]
"""The bytes of a C-ECHO without TLS."""


@pytest.mark.parametrize(
    ("tape", "event"),
    [(raw(SERVER, USER), "AssociateRequest"), (raw(CLIENT, PROVIDER), "AssociateAccept")],
    ids=["server", "client"],
)
def test_an_event_of_a_peer_without_tls_is_noticed(monkeypatch: pytest.MonkeyPatch, tape: bytes, event: str) -> None:
    """A layer that takes the bytes of a peer without TLS for plaintext."""
    monkeypatch.setattr(TLSLayer, "_not_tls", lambda self, data: self._wire.receive_data(data))
    Planted(monkeypatch).found_by("tls-hostile", tape, f"{event} from a peer that was not verified")


def test_a_layer_that_stays_open_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def deaf(self: TLSLayer, why: ConnectionLost | None = None) -> None:
        pass

    monkeypatch.setattr(TLSLayer, "receive_eof", deaf)
    Planted(monkeypatch).found_by("tls-hostile", raw(SERVER, b"\x16\3\1"), "not over after the end of the connection")


def test_an_answer_that_is_too_long_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    receive = TLSLayer.receive_data

    def amplifying(self: TLSLayer, data: Buffer) -> None:
        receive(self, data)
        self._outbox.append(bytes(11_000))

    monkeypatch.setattr(TLSLayer, "receive_data", amplifying)
    Planted(monkeypatch).found_by("tls-hostile", raw(SERVER, b"\x16\3\1"), "bytes sent for 3")
