"""Where servers listen: IPv4 and IPv6, Unix sockets, sockets of a service manager, ports shared by processes."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from dicos_transports.addresses import Listeners, ListenFailed, handed_over, show_address
from dicos_transports.blocking import connect
from dicos_transports.serving import ServerLimits
from tests.transports.connections import ASKED, CONTEXTS, PATIENCE, SYSTEMD, Lines, read_pdu
from tests.transports.servers import ADAPTERS, open_descriptors, serving

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def _has_ipv6() -> bool:
    with suppress(OSError), socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        return True
    return False


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="no IPv6 loopback on this machine")


def echo(where: Any, **options: Any) -> int:
    with connect(where, CONTEXTS, **options) as session:
        return session.echo().status


# -- TCP -----------------------------------------------------------------------------------------------------------


@needs_ipv6
def test_ipv6(adapter: str) -> None:
    with serving(adapter, where=("::1", 0)) as running:
        assert running.address == f"[::1]:{running.port}"
        assert echo(("::1", running.port)) == 0


@needs_ipv6
def test_a_name_with_two_addresses_is_listened_on_at_both(adapter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", _two_addresses(socket.getaddrinfo, "::1"))
    with serving(adapter, where=("both.example", 0)) as running:
        assert running.address == f"127.0.0.1:{running.port}, [::1]:{running.port}"
        assert echo(("127.0.0.1", running.port)) == 0
        assert echo(("::1", running.port)) == 0


def test_of_a_name_the_addresses_of_other_machines_are_passed_over(
    adapter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", _two_addresses(socket.getaddrinfo, "2001:db8::1"))
    with serving(adapter, where=("both.example", 0)) as running:
        assert running.address == f"127.0.0.1:{running.port}"
        assert echo(("127.0.0.1", running.port)) == 0


def _two_addresses(real: Callable[..., Any], other: str) -> Callable[..., Any]:
    """Make the resolver know one more host."""

    def resolve(host: str | None, port: int, *args: Any, **options: Any) -> Any:
        if host != "both.example":
            return real(host, port, *args, **options)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (other, port, 0, 0)),
        ]

    return resolve


@needs_ipv6
def test_all_interfaces(adapter: str) -> None:
    with serving(adapter, where=("", 0)) as running:
        assert echo(("127.0.0.1", running.port)) == 0
        assert echo(("::1", running.port)) == 0


def test_a_list_of_addresses(adapter: str, tmp_path: Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port, path = listener.getsockname()[1], tmp_path / "dicom.sock"
    with serving(adapter, where=[("127.0.0.1", 0), path, listener]) as running:
        assert running.address == f"127.0.0.1:{running.port}, {path}, 127.0.0.1:{port}"
        assert [echo(where) for where in (("127.0.0.1", running.port), path, ("127.0.0.1", port))] == [0, 0, 0]
        assert running.metrics.connections == 3
    assert listener.fileno() == -1
    assert not path.exists()


def test_a_tuple_of_addresses_is_no_address() -> None:
    listeners = Listeners((("127.0.0.1", 0), ("127.0.0.1", 0)))
    assert len(listeners.sockets) == 2
    listeners.close()


def test_of_several_addresses_all_or_none_is_listened_on(adapter: str, tmp_path: Path) -> None:
    path = tmp_path / "dicom.sock"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        before = open_descriptors()
        with (
            pytest.raises(ListenFailed, match="address already in use"),
            serving(adapter, where=[path, ("127.0.0.1", 0), taken.getsockname()]),
        ):
            pass
        assert open_descriptors() == before
    assert not path.exists()


@pytest.mark.parametrize("where", [[], ()])
def test_nowhere_is_no_place(adapter: str, where: Any) -> None:
    with pytest.raises(ListenFailed, match="nothing to listen on"), serving(adapter, where=where):
        pass


def test_a_socket_that_does_not_listen_is_refused_in_a_list(adapter: str) -> None:
    deaf = socket.socket()
    with pytest.raises(ListenFailed, match="is not a listening stream socket"), serving(adapter, where=[deaf]):
        pass
    assert deaf.fileno() == -1


def test_a_connection_that_is_open_already_is_the_only_one(adapter: str) -> None:
    ours, theirs = socket.socketpair()
    with serving(adapter, where=theirs) as running:
        assert running.address == "one connection"
        with pytest.raises(ValueError, match="without a port"):
            _ = running.port
        assert echo(ours) == 0
        assert running.wait()
    assert running.metrics.released == 1


# -- Unix sockets ----------------------------------------------------------------------------------------------------


def test_a_unix_socket(adapter: str, tmp_path: Path, lines: Lines) -> None:
    path = tmp_path / "dicom.sock"
    with serving(adapter, where=path, server_limits=ServerLimits(per_address=1)) as running:
        assert running.address == str(path)
        with pytest.raises(ValueError, match="without a port"):
            _ = running.port
        assert stat.S_ISSOCK(path.stat().st_mode)
        with connect(path, CONTEXTS) as one, connect(str(path), CONTEXTS) as two:  # no address, so no limit per address
            assert one.echo().status == two.echo().status == 0
    assert not path.exists()
    peers = {found[1] for text in lines.texts(0) if (found := re.match(r"an unnamed socket (#\d+): ", text))}
    assert len(peers) == 2  # each has a name of its own


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that are not files")
def test_a_unix_socket_that_is_no_file(adapter: str) -> None:
    name = f"\0dicos-test-{os.getpid()}-{adapter}"
    with serving(adapter, where=name) as running:
        assert running.address == f"@{name[1:]}"
        assert echo(name) == 0


def test_a_socket_that_a_process_left_behind_is_replaced(adapter: str, tmp_path: Path) -> None:
    path = tmp_path / "dicom.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()
    with serving(adapter, where=path):
        assert echo(path) == 0
    assert not path.exists()


def test_a_socket_that_somebody_listens_on_is_not_taken(adapter: str, tmp_path: Path) -> None:
    path = tmp_path / "dicom.sock"
    with serving("blocking", where=path):
        with (
            pytest.raises(ListenFailed, match=f"cannot listen on '{path}': address already in use"),
            serving(adapter, where=path),
        ):
            pass
        assert echo(path) == 0


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir], ids=["file", "folder"])
def test_what_is_no_socket_is_left_alone(adapter: str, tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "data"
    make(path)
    with pytest.raises(ListenFailed, match="address already in use"), serving(adapter, where=path):
        pass
    assert path.exists()


@pytest.mark.parametrize(
    ("name", "why"), [("missing/dicom.sock", "no such file"), ("x" * 200, "too long"), ("a\0b", "null")]
)
def test_a_path_that_is_none_is_told(adapter: str, tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(ListenFailed, match=f"cannot listen on .*{why}"), serving(adapter, where=str(tmp_path / name)):
        pass


def test_the_socket_of_who_has_taken_its_place_is_left_alone(adapter: str, tmp_path: Path) -> None:
    path = tmp_path / "dicom.sock"
    with socket.socket(socket.AF_UNIX) as successor, serving(adapter, where=path):
        path.unlink()
        successor.bind(str(path))
    assert path.exists()


# -- several processes, and what a service manager hands over ------------------------------------------------------


@contextmanager
def child(*arguments: str, **options: Any) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Start `serve_child` and read its first line."""
    command = [sys.executable, "-m", "tests.transports.serving.serve_child", *arguments]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'transports'}"}
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, cwd=ROOT, env=environment, **pipes, **options) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline() or "{}")
        finally:
            process.kill()


def last_words(process: subprocess.Popen[str]) -> tuple[dict[str, Any], str]:
    """Stop it, and return its last line and its errors."""
    said, errors = process.communicate(timeout=2 * PATIENCE)
    assert process.returncode == 0, errors
    return json.loads(said), errors


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="no SO_REUSEPORT on this system")
def test_several_processes_share_a_port(adapter: str) -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", 0))  # it does not listen, so it gets none of the connections
        port = sock.getsockname()[1]
        with child(adapter, "port", str(port)) as (one, _), child(adapter, "port", str(port)) as (other, _):
            total = 40
            assert [echo(("127.0.0.1", port)) for _ in range(total)] == [0] * total
            counts = [last_words(process)[0]["accepted"] for process in (one, other)]
    assert sum(counts) == total
    assert min(counts) > 0  # fails by chance once in 2 ** 39 runs


@contextmanager
def activated(adapter: str, *sockets: socket.socket, pid: str = "SELF") -> Iterator[tuple[Any, dict[str, Any]]]:
    fds = [sock.fileno() for sock in sockets]
    child = [sys.executable, "-m", "tests.transports.serving.serve_child", adapter, "activated"]
    command = [sys.executable, "-c", SYSTEMD, pid, ",".join(map(str, fds)), *child]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'transports'}"}
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, cwd=ROOT, env=environment, pass_fds=fds, **pipes) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline() or "{}")
        finally:
            process.kill()


def test_sockets_of_a_service_manager_are_served(adapter: str, tmp_path: Path) -> None:
    path = tmp_path / "dicom.sock"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))
        unix.listen()
        port = tcp.getsockname()[1]
        early = socket.create_connection(("127.0.0.1", port), PATIENCE)  # before the server exists
        with activated(adapter, tcp, unix) as (process, said), early:
            assert said == {"address": f"127.0.0.1:{port}, {path}", "pid": process.pid}
            early.sendall(ASKED)
            assert read_pdu(early)[0] == 2
            assert echo(("127.0.0.1", port)) == echo(path) == 0
            early.close()
            assert last_words(process)[0] == {"accepted": 3, "connections": 3}
        assert path.exists()  # the service manager's own copy
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()  # and it still listens


def test_sockets_for_another_process_are_left_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as tcp, activated("blocking", tcp, pid="1") as (_, said):
        assert said == {"handed_over": 0}


def test_what_does_not_listen_is_refused() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket() as deaf,
        activated("blocking", tcp, deaf) as (process, said),
    ):
        assert said == {"error": "descriptor 4 of the service manager is not a listening stream socket"}
        assert process.communicate()[1] == ""  # no warning about unclosed sockets


def test_a_socket_of_packets_is_no_stream() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as packets:
        packets.bind(f"\0dicos-test-packets-{os.getpid()}")
        packets.listen()
        with activated("blocking", packets) as (_, said):
            assert said == {"error": "descriptor 3 of the service manager is not a listening stream socket"}


def test_descriptors_that_are_no_sockets_or_missing_are_told(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, activated("blocking", file) as (_, said):  # type: ignore[arg-type]
        assert re.fullmatch("descriptor 3 of the service manager: .*non-socket", said["error"])


@pytest.mark.parametrize("count", ["", "x", "-1", "²"])
def test_a_count_that_is_none_is_none(count: str) -> None:
    assert handed_over({"LISTEN_FDS": count, "LISTEN_PID": str(os.getpid())}) == []


def test_addresses_as_people_read_them() -> None:
    assert show_address(("::1", 1, 0, 0)) == "[::1]:1"
    assert show_address(b"\0name") == "@name"
    assert show_address(Path("/run/x")) == "/run/x"
    assert show_address("") == "an unnamed socket"


# -- descriptors run out -----------------------------------------------------------------------------------------------


def test_running_out_of_descriptors_is_survived(adapter: str) -> None:
    with child(adapter, "few", "12") as (process, said), ExitStack() as strangers:
        host, port = said["address"].split(":")
        good = strangers.enter_context(connect((host, int(port)), CONTEXTS))
        for _ in range(40):  # more than its limit of descriptors
            strangers.enter_context(socket.create_connection((host, int(port)), PATIENCE))
        assert good.echo().status == 0  # an established association is kept
        assert echo((host, int(port))) == 0  # a new client gets one: silent clients are evicted
        strangers.close()
        words, errors = last_words(process)
    assert words["accepted"] == 2
    told = [line for line in errors.splitlines() if os.strerror(errno.EMFILE).lower() in line]
    assert told, errors
    assert all(line.startswith("ERROR cannot accept connections for now") for line in errors.splitlines()), errors
