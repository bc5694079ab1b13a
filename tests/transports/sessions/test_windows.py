"""Peers that close the connection on an operations window: asked again without, and remembered, in every adapter."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from dicos_proto.conversation.flows import AssociationAborted, AssociationRejected
from dicos_proto.errors import ConnectionLost
from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import negotiate, propose
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import AssociateReject, AssociateRequest, OperationsWindow, UserInformation
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports import asyncio as over_asyncio
from dicos_transports import blocking
from dicos_transports import trio as over_trio
from dicos_transports.blocking import server as blocking_server
from dicos_transports.sessions.windows import MOST, NEVER_OFFERED, WINDOWS, Windows
from tests.transports.cli.commands import dicom_file, dicos
from tests.transports.connections import PATIENCE, read_pdu

CONTEXTS = propose([uids.VERIFICATION, uids.CT_IMAGE_STORAGE])
WINDOW = UserInformation(window=OperationsWindow(invoked=0, performed=0))
GE = "1.2.840.113619.6.55.1"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known yet."""
    monkeypatch.setattr(WINDOWS, "_without", set())
    monkeypatch.setattr(WINDOWS, "_never", NEVER_OFFERED)


class Peer:
    """Answers, or closes, as `answer` says of each request; `seen`: whether each proposed a window."""

    def __init__(self, answer: Callable[[AssociateRequest], bytes | None]) -> None:
        self.seen: list[bool] = []
        self._answer = answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.where: tuple[str, int] = self.listener.getsockname()

    def serve(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with sock:
                sock.settimeout(PATIENCE)
                self._one(sock)

    def _one(self, sock: socket.socket) -> None:
        data = read_pdu(sock)
        request = decode(data) if data else None
        if not isinstance(request, AssociateRequest):
            return
        self.seen.append(request.user_information.window is not None)
        answer = self._answer(request)
        if answer is None:
            return
        sock.sendall(answer)
        if len(answer) < 10:
            return
        while sock.recv(4096)[:1] == b"\x05":  # A-RELEASE-RQ
            sock.sendall(b"\x06\0\0\0\0\4\0\0\0\0")


@contextmanager
def peer(answer: Callable[[AssociateRequest], bytes | None]) -> Iterator[Peer]:
    one = Peer(answer)
    thread = threading.Thread(target=one.serve, daemon=True)
    thread.start()
    try:
        yield one
    finally:
        with suppress(OSError):  # closed already
            one.listener.shutdown(socket.SHUT_RDWR)
        one.listener.close()
        thread.join(PATIENCE)


def accepting(request: AssociateRequest, uid: str = "1.2.3") -> bytes:
    policy = AcceptPolicy(
        other_contexts=(uids.IMPLICIT_VR_LE,), window=OperationsWindow(), implementation_class_uid=uid
    )
    return encode(negotiate(request, policy))


def breaking(request: AssociateRequest) -> bytes | None:
    return None if request.user_information.window is not None else accepting(request)


def over_blocking(where: Any, **options: Any) -> UserInformation:
    with blocking.connect(where, CONTEXTS, **options) as session:
        return session.request.user_information


def over_loops(run: Callable[..., Any], adapter: Any) -> Callable[..., UserInformation]:
    def ask(where: Any, **options: Any) -> UserInformation:
        async def main() -> UserInformation:
            async with await adapter.connect(where, CONTEXTS, **options) as session:
                found: UserInformation = session.request.user_information
                return found

        found: UserInformation = run(main)
        return found

    return ask


Ask = Callable[..., UserInformation]
ASKS: dict[str, Ask] = {
    "blocking": over_blocking,
    "trio": over_loops(trio.run, over_trio),
    "asyncio": over_loops(lambda main: asyncio.run(main()), over_asyncio),
}
EACH = pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)


@EACH
def test_a_peer_that_closes_on_a_window_is_asked_once_more_without_and_remembered(ask: Ask) -> None:
    with peer(breaking) as one:
        for _ in range(2):
            assert ask(one.where, user_information=WINDOW).window is None
        assert one.seen == [True, False, False]
        assert ask(one.where, called_aet="OTHER", user_information=WINDOW).window is None
        assert one.seen[3:] == [True, False], "another title is another application"


@EACH
def test_a_peer_that_closes_on_everything_is_asked_twice_and_not_remembered(ask: Ask) -> None:
    with peer(lambda request: None) as one:
        for _ in range(2):
            with pytest.raises(AssociationAborted) as raised:
                ask(one.where, user_information=WINDOW)
            assert isinstance(raised.value.event.error, ConnectionLost)  # type: ignore[union-attr]
        assert one.seen == [True, False, True, False]
        with pytest.raises(AssociationAborted):
            ask(one.where)
        assert one.seen[4:] == [False], "no window was proposed, so that it was not the window"


@EACH
def test_an_answer_that_is_cut_off_is_no_close(ask: Ask) -> None:
    with peer(lambda request: accepting(request)[:9]) as one:
        with pytest.raises(AssociationAborted, match="before its end"):
            ask(one.where, user_information=WINDOW)
        assert one.seen == [True]


@EACH
def test_a_peer_that_is_gone_the_second_time_has_closed_the_first(ask: Ask) -> None:
    def leaving(request: AssociateRequest) -> None:
        one.listener.shutdown(socket.SHUT_RDWR)
        one.listener.close()

    with peer(leaving) as one, pytest.raises(AssociationAborted, match="connection closed by the peer in Sta5"):
        ask(one.where, user_information=WINDOW)
    assert one.seen == [True]


@EACH
def test_a_rejection_without_a_window_is_an_answer(ask: Ask) -> None:
    def rejecting(request: AssociateRequest) -> bytes | None:
        return None if request.user_information.window is not None else encode(AssociateReject())

    with peer(rejecting) as one:
        for _ in range(2):
            with pytest.raises(AssociationRejected):
                ask(one.where, user_information=WINDOW)
        assert one.seen == [True, False, False]


@EACH
def test_an_abort_or_a_rejection_of_a_window_is_no_close(ask: Ask) -> None:
    with peer(lambda request: bytes.fromhex("07000000000400000000")) as one:
        with pytest.raises(AssociationAborted):
            ask(one.where, user_information=WINDOW)
        assert one.seen == [True]


@EACH
def test_an_implementation_on_the_list_is_asked_again_as_soon_as_it_is_known(ask: Ask) -> None:
    """It accepts, and would close at the first message."""
    with peer(lambda request: accepting(request, GE)) as one:
        for _ in range(2):
            assert ask(one.where, user_information=WINDOW).window is None
        assert one.seen == [True, False, False]


@EACH
def test_what_the_user_says_is_heeded(ask: Ask) -> None:
    with peer(lambda request: accepting(request, "1.2.77.1")) as one:
        WINDOWS.remember(one.where, "ANY-SCP")
        assert ask(one.where, user_information=WINDOW).window is None
        assert ask(one.where, called_aet="B", user_information=WINDOW).window is not None
        WINDOWS.remember("127.0.0.1", "B")
        assert ask(one.where, called_aet="B", user_information=WINDOW).window is None
        WINDOWS.add("1.2.77")
        assert ask(one.where, called_aet="C", user_information=WINDOW).window is None
        assert one.seen == [False, True, False, True, False]


@EACH
def test_a_connection_that_is_open_already_cannot_be_made_anew(ask: Ask) -> None:
    with peer(breaking) as one:
        with pytest.raises(AssociationAborted):
            ask(socket.create_connection(one.where), user_information=WINDOW)
        assert one.seen == [True]
    with peer(lambda request: accepting(request, GE)) as one:
        assert ask(socket.create_connection(one.where), user_information=WINDOW).window is not None


def test_a_pair_of_streams_is_open_already() -> None:
    async def main(where: tuple[str, int]) -> None:
        streams = await asyncio.open_connection(*where)
        with pytest.raises(AssociationAborted):
            await over_asyncio.connect(streams, CONTEXTS, user_information=WINDOW)

    with peer(breaking) as one:
        asyncio.run(main(one.where))
        assert one.seen == [True]


def test_a_peer_is_known_by_the_request_it_has_made() -> None:
    def handler(session: Any) -> None:
        for request in session:
            request.respond()

    policy = AcceptPolicy(other_contexts=(uids.IMPLICIT_VR_LE,))
    with blocking_server.serve(("127.0.0.1", 0), handler, policy=policy) as server:
        for title, uid in (("MODALITY", GE), ("OTHER", "1.2.3")):
            asked = replace(UserInformation(), implementation_class_uid=uid)
            blocking.connect(("127.0.0.1", server.port), CONTEXTS, calling_aet=title, user_information=asked).release()
    known = replace(UserInformation(), implementation_class_uid=GE)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for title, (ours, theirs) in (
            ("SECOND", (socket.create_connection(listener.getsockname()), listener.accept()[0])),
            ("THIRD", blocking.pair()),
        ):
            with ThreadPoolExecutor() as pool:
                accepted = pool.submit(blocking.accept, theirs, policy)
                session = blocking.connect(ours, CONTEXTS, calling_aet=title, user_information=known)
                accepted.result().close()
                session.close()
    with peer(accepting) as one:
        for title, window in (("MODALITY", False), ("OTHER", True), ("SECOND", False), ("THIRD", True)):
            over_blocking(one.where, called_aet=title, user_information=WINDOW)
            assert one.seen[-1] is window


def test_the_list_and_the_memory() -> None:
    windows = Windows(("1.2.3",))
    assert [windows.breaks(uid) for uid in ("1.2.3", "1.2.3.4", "1.2.34", "1.2", "")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert windows.never == ("1.2.3",)
    windows.learn(("Pacs", 104), "A", "1.2.4")
    assert windows.offers(("pacs", 104), "A")
    windows.learn(("Pacs", 104), "A", "1.2.3")
    assert not windows.offers(("pacs", 104), "A")
    assert windows.offers(("pacs", 105), "A")
    windows.remember(Path("/run/pacs"), "A")
    assert not windows.offers("/run/pacs", "A")
    for number in range(MOST):
        windows.remember(("pacs", number), "B")
    assert windows.offers("/run/pacs", "A"), "forgotten, because there were too many"
    assert all(Windows().breaks(uid) for uid in NEVER_OFFERED)


@pytest.mark.parametrize("transport", ["blocking", "trio", "asyncio"])
@pytest.mark.parametrize("answer", [breaking, lambda request: accepting(request, GE)], ids=["close", "list"])
def test_the_command_sends_one_at_a_time_then_and_says_so(
    transport: str, answer: Callable[[AssociateRequest], bytes | None], tmp_path: Path
) -> None:
    file = dicom_file(tmp_path / "a.dcm")
    with peer(answer) as one:
        done = dicos("storescu", *one.where, file, "--window", "0", "--transport", transport, "--json")
        assert one.seen == [True, False]
    assert "one operation at a time, because this peer closes the connection if more are proposed" in done.err
    assert len(done.named("window_not_offered")) == 1
