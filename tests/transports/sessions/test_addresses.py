"""Addresses as people write them, where connections come from, and what keeps them alive: in every adapter."""

from __future__ import annotations

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dicos_transports import blocking
from dicos_transports.addresses import (
    KEEPALIVE,
    PROBES,
    Listeners,
    ListenFailed,
    NamedAddress,
    is_network_address,
    parse_address,
)
from dicos_transports.sessions.base import ConnectionFailed
from tests.transports.connections import CONTEXTS, POLICY
from tests.transports.loops import ADAPTERS, run
from tests.transports.servers import Talk, answer_all, serving

EVERY = pytest.mark.parametrize("name", ADAPTERS)


@pytest.mark.parametrize(
    ("text", "host", "port", "aet"),
    [
        ("127.0.0.1:104", "127.0.0.1", 104, None),
        ("pacs.example:11112", "pacs.example", 11112, None),
        ("[::1]:104", "::1", 104, None),
        ("[fe80::1%eth0]:104", "fe80::1%eth0", 104, None),
        ("[::ffff:10.0.0.1]:0", "::ffff:10.0.0.1", 0, None),
        ("PACS@pacs.example:104", "pacs.example", 104, "PACS"),
        ("MY PACS @[::1]:65535", "::1", 65535, "MY PACS"),
        ("A@B:C@host:1", "host", 1, "A@B:C"),
        ("SIXTEEN_LETTERS_@h:00104", "h", 104, "SIXTEEN_LETTERS_"),
    ],
)
def test_an_address_in_one_text(text: str, host: str, port: int, aet: str | None) -> None:
    assert is_network_address(text)
    found = parse_address(text)
    assert found == NamedAddress(host=host, port=port, aet=aet)
    assert found.where == (host, port)
    assert parse_address(str(found)) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no port; expected HOST:PORT, where the usual DICOM ports are 104 and 11112"),
        ("pacs.example", "no port"),
        ("[::1]", "no port"),
        ("PACS@[::1]", "no port"),
        ("host:", "port '': expected 0 to 65535"),
        ("host:65536", "port '65536': expected 0 to 65535"),
        ("host:000000001", "port '000000001'"),
        ("host:-1", "port '-1'"),
        ("host:+1", "port '+1'"),
        ("host:1 ", "port '1 '"),
        ("host:\u0661", "port '\\u0661'"),
        (":104", "no host"),
        ("@h:104", "'' before the @ is not an AE title"),
        ("   @h:104", "'' before the @ is not an AE title: 1 to 16 ASCII characters"),
        ("SEVENTEEN_LETTERS@h:1", "is not an AE title"),
        ("A\\B@h:1", "no backslash"),
        ("A\nB@h:1", "no control characters"),
        ("\u00c4@h:1", "'\\xc4' before the @ is not an AE title"),
        ("::1:104", "an IPv6 address is written in brackets: [::1]:PORT"),
        ("fe80::1:104", "written in brackets: [fe80::1]:PORT"),
        ("host:1:2", "an IPv6 address is written in brackets"),
        ("[host]:1", "'[host]' is not an IPv6 address in brackets"),
        ("[::1%]:1", "is not an IPv6 address"),
        ("[]:1", "is not an IPv6 address"),
        ("[::1]x:1", "written in brackets"),
        ("http://host:1", "written in brackets"),
        ("a host:1", "'a host' is not a host: a name or an address"),
        ("a/b:1", "is not a host"),
        ("h\x1b[31m:1", "'h\\x1b[31m' is not a host"),
    ],
)
def test_what_is_no_address_is_told_with_what_one_looks_like(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        parse_address(text)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["/run/pacs.sock", "./host:104", "pacs.sock", "\0name", "\0host:104", "@name", "a:b"])
def test_paths_of_unix_sockets_stay_paths(text: str) -> None:
    assert not is_network_address(text)


# -- connecting and listening --------------------------------------------------------------------------------------


def connect(name: str, where: Any, **options: Any) -> None:
    """An association of this adapter, if it comes to one."""
    if name == "blocking":
        blocking.connect(where, CONTEXTS, **options)
    else:
        run(name, lambda module: module.connect(where, CONTEXTS, **options))


def asked(name: str, where: Any, **options: Any) -> dict[str, Any]:
    """Returns what a provider and a user of this adapter see of an association to `where`, which names {port}."""
    told: dict[str, Any] = {}
    with serving(name) as running:
        place = where.format(port=running.port) if isinstance(where, str) else where

        async def awaited(module: Any) -> None:
            async with await module.connect(place, CONTEXTS, **options) as session:
                await session.echo()
                look(session)

        def look(session: Any) -> None:
            sock = sock_of(session)
            told.update(called=session.called_aet, here=sock.getsockname(), sock=alive(sock))

        if name == "blocking":
            with blocking.connect(place, CONTEXTS, **options) as session:
                session.echo()
                look(session)
        else:
            run(name, awaited)
    return told


def sock_of(session: Any) -> socket.socket:
    sock: socket.socket = session.driver.sock if hasattr(session.driver, "sock") else session.driver.link.sock
    return sock


def alive(sock: socket.socket) -> tuple[int, ...]:
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE)]
    options += [
        (socket.IPPROTO_TCP, getattr(socket, name)) for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
    ]
    return tuple(sock.getsockopt(*option) for option in options)


@EVERY
def test_connecting_to_an_address_in_one_text(name: str) -> None:
    assert asked(name, "127.0.0.1:{port}")["called"] == "ANY-SCP"
    assert asked(name, "STORE@localhost:{port}")["called"] == "STORE"
    assert asked(name, "127.0.0.1:{port}", called_aet="OTHER")["called"] == "OTHER"
    assert asked(name, "STORE@127.0.0.1:{port}", called_aet="STORE")["called"] == "STORE"


@EVERY
@pytest.mark.parametrize(
    ("where", "options", "said"),
    [
        ("A@h:1", {"called_aet": "B"}, "no connection to 'A@h:1': 'B' is to be called, and this is 'A'"),
        ("A\\B@h:1", {}, "is not an AE title"),
        ("PACS@h", {}, "no port; expected HOST:PORT"),
        ("::1:104", {}, "an IPv6 address is written in brackets"),
        (
            "h:1",
            {"source_address": "localhost"},
            "source address 'localhost': not an address of this host, such as 10.0.0.5",
        ),
        (
            "h:1",
            {"source_address": ("127.0.0.1", 70_000)},
            "source address '127.0.0.1:70000': port 70000: expected 0 to 65535",
        ),
        ("127.0.0.1:1", {"source_address": "::1"}, "source address ::1 is IPv6, but the host has no IPv6 address"),
        ("127.0.0.1:1", {"source_address": "192.0.2.1"}, "source address 192.0.2.1: cannot assign requested address"),
        ("/run/no.sock", {"source_address": "127.0.0.1"}, "a Unix socket has no source address"),
        (Path("h:1"), {}, "no connection to h:1: no such file or directory"),
        ("h", {}, "no connection to the Unix socket 'h': no such file or directory; an address is HOST:PORT"),
        ("127.0.0.1", {}, "Unix socket '127.0.0.1': no such file or directory; an address is HOST:PORT"),
        ("./h", {}, "no connection to ./h: no such file or directory"),
        ("socket", {"source_address": "127.0.0.1"}, "a connection that is made already, and a source address"),
    ],
)
def test_what_cannot_be_connected_to(name: str, where: object, options: dict[str, Any], said: str) -> None:
    pair = socket.socketpair()
    place = pair[0] if where == "socket" else where
    with pair[0], pair[1], pytest.raises(ConnectionFailed) as caught:
        connect(name, place, **options)
    assert said in str(caught.value)


@EVERY
def test_the_source_address_is_where_it_comes_from(name: str) -> None:
    assert asked(name, "127.0.0.1:{port}", source_address="127.0.0.2")["here"][0] == "127.0.0.2"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        free = taken.getsockname()[1]
    for _ in range(2):  # the port serves again at once
        assert asked(name, "localhost:{port}", source_address=("127.0.0.1", free))["here"] == ("127.0.0.1", free)


@EVERY
def test_listening_on_addresses_in_one_text(name: str) -> None:
    with serving(name, where="127.0.0.1:0") as running, blocking.connect(running.address, CONTEXTS) as session:
        assert session.echo().status == 0
    with serving(name, where=["127.0.0.1:0", "[::1]:0"]) as running:
        for where in running.address.split(", "):
            with blocking.connect(where, CONTEXTS) as session:
                assert session.echo().status == 0


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("STORE@127.0.0.1:0", "'STORE@127.0.0.1:0': remove the AE title; AcceptPolicy.called_aets restricts titles"),
        ("127.0.0.1:70000", "port '70000': expected 0 to 65535"),
        (["127.0.0.1:0", "::1:0"], "written in brackets"),
    ],
)
def test_what_cannot_be_listened_on(where: Any, said: str) -> None:
    with pytest.raises(ListenFailed) as caught:
        Listeners(where)
    assert said in str(caught.value)


# -- keepalive -----------------------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("seconds", ["default", 7.0, 1, None])
@pytest.mark.parametrize("side", ["connect", "serve", "accept"])
def test_tcp_keepalive(name: str, seconds: float | str | None, side: str) -> None:
    options = {} if seconds == "default" else {"keepalive": seconds}
    expected = KEEPALIVE if seconds == "default" else seconds
    if side == "connect":
        found = asked(name, "127.0.0.1:{port}", **options)["sock"]
    else:
        found = accepted(name, side, options)
    assert bool(found[0]) is (expected is not None)
    if isinstance(expected, float | int):
        assert found[1:] == (expected, max(1, round(expected / PROBES)), PROBES)


def accepted(name: str, side: str, options: dict[str, Any]) -> tuple[int, ...]:
    """Returns the options that are set on the socket of a provider."""
    found: list[tuple[int, ...]] = []

    async def handle(talk: Talk) -> None:
        found.append(alive(sock_of(talk.session)))
        await answer_all(talk)

    if side == "serve":
        with serving(name, handle, **options) as running:
            blocking.connect(("127.0.0.1", running.port), CONTEXTS).release()
        return found[0]
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        sock, _ = listener.accept()
        asking = pool.submit(blocking.connect, client, CONTEXTS)
        if name == "blocking":
            taken = blocking.accept(sock, POLICY, **options)
            found.append(alive(sock))
            taken.close()
        else:

            async def take(module: Any) -> None:
                session = await module.accept(sock, POLICY, **options)
                found.append(alive(sock))
                session.close()

            run(name, take)
        asking.result().close()
    return found[0]


@EVERY
@pytest.mark.parametrize("seconds", [0, 0.5, -1, 32_768, float("inf")])
def test_a_keepalive_that_no_system_takes(name: str, seconds: float) -> None:
    with pytest.raises(ValueError, match="1 to 32767, or None"):
        connect(name, ("127.0.0.1", 1), keepalive=seconds)
    with pytest.raises(ValueError, match="1 to 32767, or None"), serving(name, keepalive=seconds):
        pass


@EVERY
def test_connections_that_are_no_tcp_have_no_keepalive(name: str, tmp_path: Path) -> None:
    with serving(name, where=str(tmp_path / "a.sock")):
        if name == "blocking":
            with blocking.connect(tmp_path / "a.sock", CONTEXTS) as session:
                assert session.echo().status == 0
        else:

            async def ask(module: Any) -> None:
                async with await module.connect(tmp_path / "a.sock", CONTEXTS) as session:
                    await session.echo()

            run(name, ask)
