"""Deviations over real sockets: which are accepted, and how the adapters and the command report them."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from dicos_proto.conversation.flows import AssociationAborted, AssociationRejected
from dicos_proto.dimse.codec import encode_command
from dicos_proto.dimse.types import CEchoResponse
from dicos_proto.timers import Timeouts
from dicos_proto.tolerance import FIELD, STRATOVAN
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import AssociateAccept, AssociateRequest, PData, Pdv
from dicos_transports.blocking import Session, accept, connect
from dicos_transports.cli.options import TOLERANCES
from tests.transports.cli.commands import dicos, provider
from tests.transports.connections import ASKED, CONTEXTS, PATIENCE, POLICY, answer_all, raw, server

BLANK = ASKED[:26] + b" " * 16 + ASKED[42:]
"""An A-ASSOCIATE-RQ whose calling title is blank."""
SILENT = "1 of 2 proposed presentation contexts not answered"
BRIEF = Timeouts(artim=0.5)


def read_pdu(sock: socket.socket) -> bytes:
    head = sock.recv(6, socket.MSG_WAITALL)
    return head + sock.recv(int.from_bytes(head[2:6], "big"), socket.MSG_WAITALL)


def answer_half(sock: socket.socket) -> None:
    """A provider that mentions only the first context, answers one C-ECHO with a UID that begins badly, and waits."""
    asked = decode(read_pdu(sock))
    assert isinstance(asked, AssociateRequest)
    answer = negotiate(asked, POLICY)
    assert isinstance(answer, AssociateAccept)
    sock.sendall(encode(replace(answer, contexts=answer.contexts[:1])))
    if sock.recv(1, socket.MSG_PEEK)[:1] == b"\4":
        read_pdu(sock)
        said = CEchoResponse(message_id_being_responded_to=1, status=0, affected_sop_class_uid="9.01")
        pdv = Pdv(context=1, command=True, last=True, data=encode_command(said, has_data=False))
        sock.sendall(encode(PData(pdvs=(pdv,))))
        read_pdu(sock)
        sock.sendall(bytes.fromhex("06000000 0004 00000000"))
    while sock.recv(1000):
        pass


@contextmanager
def half_a_provider() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve_one() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(PATIENCE)
                answer_half(sock)

        thread = threading.Thread(target=serve_one)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_a_user_holds_its_provider_to_the_standard_by_default() -> None:
    with half_a_provider() as port, pytest.raises(AssociationAborted, match=SILENT):
        connect(("127.0.0.1", port), CONTEXTS, timeouts=BRIEF)


def test_a_user_that_lets_deviations_through_knows_them() -> None:
    with half_a_provider() as port, connect(("127.0.0.1", port), CONTEXTS, tolerance=FIELD) as session:
        assert session.association.terms.tolerance is FIELD
        assert [(one.name, one.detail) for one in session.deviations] == [("contexts_unanswered", SILENT)]
        assert [(one.id, one.result) for one in session.refused] == [(3, None)]
        assert session.echo().status == 0
        assert [one.name for one in session.deviations[1:]] == ["uid_leading_zeros", "uid_invalid_root"]


def test_one_that_is_accepted_by_hand() -> None:
    for tolerance, welcome in ((FIELD, True), (STRATOVAN, False)):
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.sendall(BLANK)
            if welcome:
                session = accept(ours, POLICY, tolerance=tolerance)
                assert [one.name for one in session.deviations] == ["blank_title"]
                session.close()
            else:
                with pytest.raises(AssociationRejected, match="calling AE title not recognized"):
                    accept(ours, POLICY, tolerance=tolerance, timeouts=BRIEF)


def test_a_server_logs_each_once_for_an_association(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "dicos.server")
    seen: list[int] = []

    def handle(session: Session) -> None:
        seen.append(len([one for one in caplog.messages if "blank_title" in one]))
        answer_all(session)

    with server(handle, tolerance=FIELD) as running:
        for _ in range(2):
            with raw(running) as sock:
                sock.sendall(BLANK)
                assert read_pdu(sock)[0] == 2
                sock.sendall(bytes.fromhex("05000000 0004 00000000"))
                assert read_pdu(sock)[0] == 6
    assert seen == [1, 2], "told before the handler is called"
    warned = [one for one in caplog.messages if "accepted (" in one]
    assert len(warned) == 2
    assert warned[0].endswith("accepted (blank_title): calling AE title of spaces only [PS3.8 9.3.2]")


def test_a_server_is_strict_by_default(caplog: pytest.LogCaptureFixture) -> None:
    with server() as running, raw(running) as sock:
        sock.sendall(BLANK)
        assert read_pdu(sock).hex() == "03000000000400010103"
    assert not any("accepted (" in one for one in caplog.messages)


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [(), ("--tolerance", "field")], ids=["by default", "field"])
def test_the_command_warns_of_each_once(words: tuple[str, ...]) -> None:
    with half_a_provider() as port:
        result = dicos("echoscu", "--json", "127.0.0.1", port, *words)
    assert result.status == 0
    warned = [line.partition("accepted ")[2] for line in result.err.splitlines() if "accepted (" in line]
    assert [one.split(":")[0] for one in warned] == ["(uid_leading_zeros)", "(uid_invalid_root)"]
    assert [event["flag"] for event in result.named("deviation")] == ["uid_leading_zeros", "uid_invalid_root"]
    assert result.named("deviation")[0]["clause"] == "PS3.5 9.1"


def test_the_command_can_be_strict() -> None:
    with half_a_provider() as port:
        result = dicos("echoscu", "127.0.0.1", port, "--tolerance", "strict", "-ta", 1)
    assert result.status == 1
    assert "has a component that begins with 0 [PS3.5 9.1]" in result.err
    assert "accepted (" not in result.err


def test_a_provider_of_the_command_warns_too() -> None:
    with provider("echoscp") as scp:
        with socket.create_connection(("127.0.0.1", scp.port), PATIENCE) as sock:
            sock.sendall(BLANK)
            assert read_pdu(sock)[0] == 2
            sock.sendall(bytes.fromhex("05000000 0004 00000000"))
            assert read_pdu(sock)[0] == 6
        end = scp.stop()
    assert end.err.count("accepted (blank_title): calling AE title of spaces only") == 1
    assert [event["level"] for event in end.named("log") if "blank_title" in event["text"]] == ["warning"]


def test_the_command_knows_four_tolerances() -> None:
    assert list(TOLERANCES) == ["strict", "field", "auto", "stratovan"]
    assert dicos("echoscu", "127.0.0.1", 1, "--tolerance", "loose").status == 2
