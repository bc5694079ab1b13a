"""The options of providers for listening and monitoring, each with a real process, over each transport."""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import subprocess
import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from dicos_transports.blocking import connect
from tests.transports.cli.commands import ENVIRONMENT, TIMEOUT, Result, dicos, line, provider, starting
from tests.transports.connections import CONTEXTS, CT, EXPLICIT, OBJECT

OK, USAGE, NO_ASSOCIATION = 0, 2, 3
WITHOUT_PROMETHEUS = """
import sys
sys.modules["prometheus_client"] = None
from dicos_transports.cli import main
sys.exit(main(sys.argv[1:]))
"""


def echo(where: Any) -> int:
    with connect(where, CONTEXTS) as session:
        return session.echo().status


# -- where it listens ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("transport")
def test_a_unix_socket_alone(tmp_path: Path) -> None:
    path = tmp_path / "dicom.sock"
    with provider("storescp", "--ignore", "--listen", path) as scp:
        assert (scp.listening["address"], scp.listening["port"], scp.listening["on"]) == (None, None, str(path))
        with connect(path, CONTEXTS) as session:
            assert session.store(CT, "1.2.3", EXPLICIT, OBJECT).status == 0
        end = scp.stop()
    assert end.status == OK
    assert f"listening on {path} as 'ANY-SCP', storing nothing\n" in end.err
    assert end.named("summary")[0]["stored"] == 1
    assert not path.exists()


@pytest.mark.usefixtures("transport")
def test_a_port_and_several_unix_sockets(tmp_path: Path) -> None:
    paths = [tmp_path / "one.sock", tmp_path / "two.sock"]
    with provider("echoscp", 0, "--listen", paths[0], "--listen", paths[1]) as scp:
        assert scp.listening["on"] == f"127.0.0.1:{scp.port}, {paths[0]}, {paths[1]}"
        assert [echo(where) for where in (("127.0.0.1", scp.port), *paths)] == [0, 0, 0]
        end = scp.stop()
    assert end.named("summary")[0]["echoes"] == 3
    assert "--bind 0.0.0.0" in end.err


def test_a_path_cannot_harm_a_terminal(tmp_path: Path) -> None:
    with provider("echoscp", "--listen", tmp_path / "\x1b[2J") as scp:
        assert "\x1b" not in scp.stop().err


def test_a_path_that_cannot_be_had_is_told(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "dicom.sock"
    result = dicos("echoscp", "--listen", path)
    assert (result.status, result.err) == (
        NO_ASSOCIATION,
        f"error: cannot listen on '{path}': no such file or directory\n",
    )


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="no SO_REUSEPORT on this system")
@pytest.mark.usefixtures("transport")
def test_two_providers_share_a_port() -> None:
    total = 40
    with provider("echoscp", "--reuse-port") as one, provider("echoscp", one.port, "--reuse-port") as other:
        assert other.port == one.port
        assert [echo(("127.0.0.1", one.port)) for _ in range(total)] == [0] * total
        counts = [scp.stop().named("summary")[0]["echoes"] for scp in (one, other)]
    assert sum(counts) == total
    assert min(counts) > 0  # fails by chance once in 2 ** 39 runs


def test_without_the_option_a_port_is_not_shared() -> None:
    with provider("echoscp", "--reuse-port") as scp:
        result = dicos("echoscp", scp.port)
    assert result.status == NO_ASSOCIATION
    assert "address already in use" in result.err


@pytest.mark.usefixtures("transport")
def test_sockets_of_systemd(tmp_path: Path) -> None:
    path = tmp_path / "dicom.sock"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))
        unix.listen()
        port = tcp.getsockname()[1]
        with provider("storescp", "--ignore", "--activated", sockets=[tcp, unix]) as scp:
            assert (scp.listening["address"], scp.port) == (None, port)
            assert scp.listening["on"] == f"127.0.0.1:{port}, {path}"
            assert echo(("127.0.0.1", port)) == echo(path) == 0
            end = scp.stop()
    assert (end.status, end.named("summary")[0]["echoes"]) == (OK, 2)
    assert "--bind" not in end.err
    assert path.exists()  # the service manager's own copy


def test_only_a_unix_socket_of_systemd(tmp_path: Path) -> None:
    path = tmp_path / "dicom.sock"
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))
        unix.listen()
        with provider("echoscp", "--activated", sockets=[unix]) as scp:
            assert (scp.listening["port"], scp.listening["on"]) == (None, str(path))
            assert echo(path) == 0


def activated(sockets: list[socket.socket], *, pid: str = "SELF") -> Result:
    """Run echoscp with these sockets and return its result."""
    done = subprocess.run(
        starting(line("echoscp", "--json", "--activated"), sockets, pid), env=ENVIRONMENT, text=True,
        capture_output=True, timeout=TIMEOUT, pass_fds=[sock.fileno() for sock in sockets],
    )  # fmt: skip
    return Result(done.returncode, done.stdout, done.stderr)


def test_sockets_for_another_process_are_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        result = activated([tcp], pid="1")
    assert result.status == USAGE
    assert result.err.startswith("error: --activated, but no sockets were passed: LISTEN_FDS and LISTEN_PID")
    assert result.named("error")[0]["text"] in result.err


def test_nothing_handed_over() -> None:
    result = dicos("storescp", "--ignore", "--activated")
    assert (result.status, result.out) == (USAGE, "")
    assert "no sockets were passed" in result.err


def test_a_socket_of_systemd_that_does_not_listen() -> None:
    with socket.socket() as deaf:
        result = activated([deaf])
    assert result.status == NO_ASSOCIATION
    assert result.err == "error: descriptor 3 of the service manager is not a listening stream socket\n"


# -- counters --------------------------------------------------------------------------------------------------------


def scrape(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=TIMEOUT) as page:
        text: str = page.read().decode()
    return text


@pytest.mark.usefixtures("transport")
def test_counters_for_prometheus() -> None:
    pytest.importorskip("prometheus_client")
    with provider("echoscp", "--metrics", 0) as scp:
        metrics = scp.event()
        assert (metrics["event"], metrics["address"]) == ("metrics", f"127.0.0.1:{metrics['port']}")
        here = f'server="127.0.0.1:{scp.port}"'
        assert f"dicos_associations_accepted_total{{{here}}} 0.0" in scrape(metrics["address"])
        with connect(("127.0.0.1", scp.port), CONTEXTS) as session:
            session.echo()
            page = scrape(metrics["address"])
        assert f"dicos_associations_active{{{here}}} 1.0" in page
        assert f'dicos_requests_total{{request="C-ECHO-RQ",{here}}} 1.0' in page
        end = scp.stop()
    assert end.status == OK
    assert f"metrics at http://{metrics['address']}/metrics\n" in end.err


@pytest.mark.usefixtures("transport")
def test_counters_whose_address_cannot_be_had() -> None:
    pytest.importorskip("prometheus_client")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = dicos("echoscp", 0, "--metrics", f"127.0.0.1:{port}")
    assert result.status == NO_ASSOCIATION
    assert result.err == f"error: cannot listen on 127.0.0.1:{port}: address already in use\n"


def test_counters_of_a_path_that_is_no_text(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client")
    with provider("echoscp", "--metrics", 0, "--listen", os.fsdecode(b"\xff.sock"), cwd=tmp_path) as scp:
        assert 'dicos_connections_total{server="\\\\udcff.sock"} 0.0' in scrape(scp.event()["address"])
        assert scp.stop().status == OK


def test_counters_on_ipv6() -> None:
    pytest.importorskip("prometheus_client")
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 loopback on this machine")
    with provider("echoscp", "--metrics", "[::1]:0") as scp:
        metrics = scp.event()
        assert metrics["address"] == f"[::1]:{metrics['port']}"
        assert "dicos_connections_total" in scrape(metrics["address"])


def test_counters_without_the_package_for_them() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PROMETHEUS, "echoscp", "0", "--metrics", "0"], env=ENVIRONMENT, text=True,
        capture_output=True, timeout=TIMEOUT,
    )  # fmt: skip
    assert done.returncode == USAGE
    (told,) = done.stderr.splitlines()
    assert told.startswith("error: metrics need prometheus-client: pip install '.[metrics]' in a checkout")


# -- logs ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("transport")
def test_all_that_is_said_is_json() -> None:
    with provider("echoscp", "-v", "--log-json") as scp:
        assert dicos("echoscu", "127.0.0.1", scp.port, "-aet", "ME", "-aec", "YOU").status == OK
        end = scp.stop()
    said = [json.loads(text) for text in end.err.splitlines()]
    assert said[0]["text"].startswith(f"listening on 127.0.0.1:{scp.port} as")
    assert {(one["level"], one["logger"]) for one in said} == {("INFO", "dicos.command"), ("INFO", "dicos.server")}
    (accepted,) = [one for one in said if one.get("event") == "accepted"]
    assert accepted["association"] > 0
    assert accepted["text"].startswith(f"{accepted['peer']}: 'ME' calls 'YOU'")
    assert said[-1]["text"].startswith("served 1 association")
    assert end.named("log")[0]["text"] == accepted["text"]  # standard output has the same lines as without the option


@pytest.mark.parametrize(("words", "lines", "events"), [((), 3, 2), (("-q",), 0, 1)], ids=["default", "quiet"])
def test_as_json_it_says_what_it_says_as_text(words: tuple[str, ...], lines: int, events: int) -> None:
    ends = []
    for more in ((), ("--log-json",)):
        with provider("echoscp", "--require-called-aet", *words, *more) as scp:
            assert dicos("echoscu", "127.0.0.1", scp.port, "-aec", "WRONG").status == NO_ASSOCIATION
            ends.append(scp.stop())
    said = [ends[0].err.splitlines(), [json.loads(text)["text"] for text in ends[1].err.splitlines()]]
    plain, as_json = ([re.sub(r":\d+", ":PORT", text) for text in texts] for texts in said)
    assert plain == as_json
    assert len(plain) == lines
    assert [one["event"] for one in ends[0].events] == [one["event"] for one in ends[1].events]
    assert len(ends[0].events) == events


def test_an_error_of_the_server_is_told_once_on_each_output() -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))

    with provider("echoscp", "--log-json", preexec_fn=few) as scp, ExitStack() as strangers:
        for _ in range(30):  # more than its limit of descriptors
            strangers.enter_context(socket.create_connection(("127.0.0.1", scp.port), TIMEOUT))
        scp.signal(0, until="out_of_resources")  # no signal, only wait
        strangers.close()
        end = scp.stop()
    errors = [one for one in map(json.loads, end.err.splitlines()) if one["level"] == "ERROR"]
    assert [one["event"] for one in errors] == ["out_of_resources"] * len(errors)
    assert [one["text"] for one in end.named("error")] == [one["text"] for one in errors]


def test_an_error_as_json() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = dicos("echoscp", port, "--log-json", "--json")
    assert result.status == NO_ASSOCIATION
    told = json.loads(result.err)
    assert (told["level"], told["text"]) == ("ERROR", f"cannot listen on 127.0.0.1:{port}: address already in use")
    assert [event["text"] for event in result.events] == [told["text"]]


def test_pdus_as_json() -> None:
    with provider("echoscp", "-d", "--log-json") as scp:
        assert dicos("echoscu", "127.0.0.1", scp.port).status == OK
        end = scp.stop()
    said = [json.loads(text) for text in end.err.splitlines()]
    assert any(one["level"] == "DEBUG" and re.search("from .*: A-ASSOCIATE-RQ", one["text"]) for one in said)


# -- what does not go together ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("subcommand", ["echoscp", "storescp"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "nothing to listen on: a port, --listen PATH or --activated is required"),
        (("--listen", ""), "argument --listen: an empty path"),
        (("--reuse-port", "--listen", "x"), "--reuse-port without a port"),
        (("104", "--activated"), "a port cannot be combined with --activated"),
        (("--listen", "x", "--activated"), "--listen cannot be combined with --activated"),
        (("--reuse-port", "--activated"), "--reuse-port cannot be combined with --activated"),
        (("0", "--metrics", "http"), "'http': expected 0 to 65535"),
        (("0", "--metrics", ":9104"), "':9104': no host"),
        (("0", "--metrics", "::1:9104"), "an IPv6 address is written in brackets: [::1]:PORT"),
        (("0", "--metrics", "[::1]:70000"), "'70000': expected 0 to 65535"),
    ],
)
def test_bad_usage(subcommand: str, words: tuple[str, ...], said: str) -> None:
    result = dicos(subcommand, *words)
    assert (result.status, result.out) == (USAGE, "")
    assert said in result.err.splitlines()[-1]
