"""`dicos faultproxy`: what it prints and returns, with our own commands on both sides; plans that cannot be read."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicos_fuzz.faults import parse_plan, tape_of_plan
from tests.transports.cli.commands import Provider, Result, deaf_port, dicom_file, dicos, provider


@pytest.fixture
def target(tmp_path: Path) -> Iterator[int]:
    """The port of a storescp."""
    folder = tmp_path / "stored"
    folder.mkdir()
    with provider("storescp", "-od", folder) as running:
        yield running.port


def plan_file(folder: Path, text: str) -> Path:
    path = folder / "plan.txt"
    path.write_text(text)
    return path


def echo(port: int, *words: object) -> Result:
    return dicos("echoscu", "127.0.0.1", port, *words)


def ends(proxy: Provider) -> None:
    """Waits for the end of a connection."""
    while proxy.event()["event"] != "closed":
        pass


def test_harmless_faults_pass_an_association(target: int, tmp_path: Path) -> None:
    plan = plan_file(tmp_path, "# pieces\nout every 100: split\nin about 40: split\nout pdu P-DATA-TF 9: reset\n")
    words = ("--plan", plan, "--connections", 2)
    with provider("faultproxy", 0, "127.0.0.1", target, *words) as proxy:
        assert echo(proxy.port).status == 0
        stored = dicos("storescu", "127.0.0.1", proxy.port, dicom_file(tmp_path / "one.dcm", pixels=3000))
        assert stored.status == 0
        done = proxy.end()
    assert done.status == 0
    lines = done.err.splitlines()
    assert lines[0] == f"listening on 127.0.0.1:{proxy.port}, passing on to 127.0.0.1:{target} with 3 faults"
    assert "#1 out 100: split (fault 1)".replace("split", "a boundary") in lines
    assert "#2 fault 1 strikes on; -v prints each strike" in lines
    assert sum(line.startswith("#2 out ") for line in lines) == 3
    assert sum(line.startswith("#2 ") and " closed by both sides; out " in line for line in lines) == 1
    assert lines[-4].startswith("2 connections, ")
    assert lines[-3].startswith("fault 1, out every 100: split: ")
    assert lines[-1] == "fault 3, out pdu P-DATA-TF 9: reset: never struck"


def test_events_as_json_have_every_strike(target: int) -> None:
    words = ("--fault", "out every 100: split", "--fault", "in pdu P-DATA-TF 1: reset", "--connections", 1)
    with provider("faultproxy", 0, f"127.0.0.1:{target}", *words) as proxy:
        assert echo(proxy.port).status != 0
        done = proxy.end()
    names = [event["event"] for event in done.events]
    assert names[0] == "connected"
    assert names[-2:] == ["closed", "summary"]
    assert done.events[0]["plan"] == "out every 100: split\nin pdu P-DATA-TF: reset\n"
    strikes = done.named("strike")
    assert [one["offset"] for one in strikes if one["fault"] == 1][:2] == [100, 200]
    assert [one["effect"] for one in strikes if one["fault"] == 2] == ["reset"]
    (closed,) = done.named("closed")
    assert (closed["how"], closed["by"]) == ("reset", "fault")
    assert closed["passed"]["in"] < closed["received"]["in"]
    assert done.events[-1]["faults"] == {"1": len(strikes) - 1, "2": 1}


def test_verbosity(target: int) -> None:
    words = ("--fault", "out every 9: split", "--connections", 1)
    with provider("faultproxy", 0, "127.0.0.1", target, "-v", *words) as proxy:
        assert echo(proxy.port).status == 0
        verbose = proxy.end()
    assert "plan: out every 9: split" in verbose.err
    assert verbose.err.count("a boundary") > 20
    with provider("faultproxy", 0, "127.0.0.1", target, "-q", *words) as proxy:
        assert echo(proxy.port).status == 0
        assert proxy.end().err == ""


def test_random_plans_are_printed_and_repeat(target: int) -> None:
    plans = []
    for _ in range(2):
        with provider("faultproxy", 0, "127.0.0.1", target, "--seed", 11, "--harmless", "--connections", 1) as proxy:
            assert echo(proxy.port).status == 0
            done = proxy.end()
        plans.append([line for line in done.err.splitlines() if line.startswith("#1 plan: ")])
    assert plans[0] == plans[1]
    assert parse_plan("\n".join(line.removeprefix("#1 plan: ") for line in plans[0])).faults


def test_a_tape_is_a_plan(target: int, tmp_path: Path) -> None:
    tape = tmp_path / "tape"
    tape.write_bytes(tape_of_plan(parse_plan("seed 4\nin at 0: clock 5\nout at 0: flip 3")))
    with provider("faultproxy", 0, "127.0.0.1", target, "--tape", tape, "--connections", 1) as proxy:
        assert echo(proxy.port).status == 3
        done = proxy.end()
    assert done.named("connected")[0]["plan"] == "seed 4\nout at 0: flip 3\n"
    assert "#1 out 0: flip 3 (fault 1)" in done.err


def test_a_target_that_is_not_there_is_a_clear_line() -> None:
    with (
        deaf_port() as port,
        provider("faultproxy", 0, "127.0.0.1", port, "--fault", "out at 0: flip 1", "--connections", 1) as proxy,
    ):
        assert echo(proxy.port).status == 3
        done = proxy.end()
    assert done.status == 1
    assert f": no connection to 127.0.0.1:{port}: Connection refused; reset\n" in done.err
    assert done.err.endswith("0 connections, 0 strikes, 1 not passed on\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_prints_what_there_was(target: int, number: signal.Signals) -> None:
    with provider("faultproxy", 0, "127.0.0.1", target, "--fault", "out at 0: flip 3") as proxy:
        assert echo(proxy.port).status == 3
        ends(proxy)
        proxy.signal(number, "interrupted")
        done = proxy.end()
    assert done.status == 130
    assert done.err.endswith("1 connection, 1 strike\nfault 1, out at 0: flip 3: 1 strike\n")


def test_an_open_connection_is_cut_off_by_the_end(target: int) -> None:
    with (
        provider("faultproxy", 0, "127.0.0.1", target, "--fault", "out at 0: stall") as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), 30) as client,
    ):
        assert proxy.event()["event"] == "connected"
        done = proxy.stop()
        assert client.recv(1) == b""
    assert done.status == 130
    assert "#1 cut off; out 0 B of 0 B, in 0 B of 0 B; 0 strikes" in done.err
    assert "fault 1, out at 0: stall: never struck" in done.err


def test_addresses_may_be_ipv6() -> None:
    words = ("--fault", "in every 9: split", "--connections", 2)
    with provider("echoscp", 0, "--bind", "::1") as running:
        for place in (("::1", running.port), (f"[::1]:{running.port}",)):
            with provider("faultproxy", 0, *place, *words) as proxy:
                assert [echo(proxy.port).status for _ in range(2)] == [0, 0]
                done = proxy.end()
            assert done.status == 0
            assert f", passing on to [::1]:{running.port} with 1 fault\n" in done.err
        taken = dicos("faultproxy", f"[::1]:{running.port}", "::1", 104, *words)
    assert taken.err.startswith(f"error: cannot listen on [::1]:{running.port} and pass on to [::1]:104: ")


def test_a_port_that_is_taken_is_a_clear_line(target: int) -> None:
    done = dicos("faultproxy", target, "127.0.0.1", 1, "--fault", "out at 0: flip 1")
    assert done.status == 1
    assert done.err == (
        f"error: cannot listen on 127.0.0.1:{target} and pass on to 127.0.0.1:1: Address already in use\n"
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "a plan is required: --plan FILE, --fault TEXT, --tape FILE or --seed N"),
        (("--seed", 1, "--tape", "x"), "one plan: --tape or --seed"),
        (("--seed", 1, "--fault", "in at 0: reset"), "one plan: --seed or --fault"),
        (("--fault", "in at 0: reset", "--harmless"), "--harmless without --seed"),
        (("--seed", "-1"), "argument --seed: '-1': expected 0 to 4294967295"),
        (("--fault", "in at 0: rest"), "--fault 'in at 0: rest': 'rest' is not an effect: split, merge, "),
        (
            ("--fault", "in at 0: clock 3"),
            "--fault 'in at 0: clock 3': fault 1, in at 0: clock +3: it is about the clock of an engine",
        ),
        (("--plan", "/nowhere"), "/nowhere: No such file or directory"),
        (("--tape", "/"), "/: Is a directory"),
        (("--connections", 0, "--seed", 1), "argument --connections: '0': expected 1 to 1000000000"),
    ],
)
def test_bad_usage_says_what_is_right(words: tuple[object, ...], told: str) -> None:
    done = dicos("faultproxy", 0, "127.0.0.1", 104, *words)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"dicos faultproxy: {told}"), done.err
    assert done.err.endswith("; see dicos faultproxy --help\n")


@pytest.mark.parametrize(
    "place", [("127.0.0.1",), ("127.0.0.1:104", "105"), ("127.0.0.1", "x"), ("a", "1", "2"), ("a", "0"), ("a:0",)]
)
def test_a_target_has_a_host_and_a_port(place: tuple[str, ...]) -> None:
    done = dicos("faultproxy", 0, *place, "--seed", 1)
    assert done.status == 2
    assert done.err.startswith("dicos faultproxy: argument TARGET: "), done.err


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"out at 1: split\n\nin at x: flip 1\n", "line 3: at: offset: 'x'; allowed: 0 to 1099511627776"),
        (b"seed 1\nseed 2\n", "line 2: a second seed; one is allowed"),
        (b"out at 1: split\xff", "not a plan: byte 15 is not UTF-8"),
        (b"#" * (1 << 20) + b"\n", "longer than 1048576 bytes, the most of a plan"),
        (b"out at 1: timer twice\n", "fault 1, out at 1: timer twice: it is about the clock of an engine"),
        (b"in at 1: split\n" * 65, "line 65: one fault more than 64, the most of one plan"),
        (b"\x1b[31m at 1: split", "line 1: '\\x1b[31m' is not a direction: in, out"),
    ],
)
def test_a_damaged_plan_is_refused_by_name(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "plan"
    path.write_bytes(content)
    done = dicos("faultproxy", 0, "127.0.0.1", 104, "--plan", path)
    assert done.status == 2
    assert done.err.startswith(f"dicos faultproxy: {path}: {told}"), done.err
    assert len(done.err) < 500


def test_a_plan_comes_from_standard_input_too() -> None:
    done = dicos("faultproxy", 0, "127.0.0.1", 104, "--plan", "-", input="in at 0: split\nout at 0 split\n")
    assert done.status == 2
    assert done.err.startswith("dicos faultproxy: standard input: line 2: 'split' in place of \":\" and an effect")
