"""`dicos fuzz`: what it refuses, what it prints, how it ends, and what it leaves behind."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

from dicos_fuzz.campaign.scenarios import FAMILIES
from dicos_fuzz.campaign.spending import Spending
from dicos_fuzz.captures.recording import Recorder
from dicos_fuzz.cli import fuzz, fuzz_options
from dicos_fuzz.findings import reproducer
from dicos_proto.registry import uids
from dicos_proto.upper_layer.policy import AcceptPolicy
from tests.fuzz.campaign.peers import raw_peer, receive_all
from tests.fuzz.campaign.tiny import broken, broken_command, free_port
from tests.transports.certificates import hospital, write_all
from tests.transports.cli.commands import COMMAND, ENVIRONMENT
from tests.transports.servers import serving

POLICY = AcceptPolicy(
    contexts={uids.VERIFICATION: (uids.IMPLICIT_VR_LE,), uids.CT_IMAGE_STORAGE: (uids.EXPLICIT_VR_LE,)}
)


@pytest.fixture(autouse=True)
def _little_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Findings are made small in a second each."""
    monkeypatch.setattr("dicos_fuzz.campaign.smaller.EACH_SMALLER", 1.0)
    resource_tracker.ensure_running()  # it keeps a pipe, which nobody has left open


BOUNDED = ("--conversations", "40", "--jobs", "1", "--seed", "1", "--time", "60")


@contextmanager
def peer() -> Iterator[int]:
    with serving("blocking", policy=POLICY) as server:
        yield server.port


def run(*words: object) -> int:
    try:
        return fuzz.main([*map(str, words)])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 2


def events(text: str, name: str) -> list[dict[str, object]]:
    return [one for one in map(json.loads, text.splitlines()) if one["event"] == name]


# -- usage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "a peer is required"),
        (("127.0.0.1",), "no port"),
        (("127.0.0.1", "x"), "port 'x'"),
        (("127.0.0.1", "0"), "port 0: a peer has a port from 1 to 65535"),
        (("127.0.0.1:0",), "port 0: a peer has a port from 1 to 65535"),
        (("127.0.0.1:104", "--compare", "127.0.0.1", "0"), "--compare: port 0: a peer has"),
        (("127.0.0.1:104", "--time", "1_0m"), "'1_0m': expected a time"),
        (("127.0.0.1", "104", "105"), "unrecognized arguments: 105"),
        (("A@127.0.0.1:104", "-aec", "B"), "two called AE titles"),
        (("127.0.0.1:104", "--listen", "105"), "one of them"),
        (("127.0.0.1:104", "--trigger", "x"), "--trigger without --listen"),
        (("127.0.0.1:104", "--pid", "1", "--command", "x"), "--pid and --command"),
        (("--listen", "0", "--pcap", "x"), "--pcap with --listen"),
        (("--listen", "0", "--command", "x"), "--trigger makes a peer call"),
        (("--listen", "0", "--compare", "engine"), "--compare with --listen"),
        (("--listen", "0", "--compare", "127.0.0.1", "105"), "--compare with --listen"),
        (("127.0.0.1:104", "--restart-command", "x"), "without --pid or --command"),
        (("127.0.0.1:104", "--keep-going"), "needs a way to start the peer again"),
        (("127.0.0.1:104", "--state", "a", "--resume", "b"), "one of them"),
        (("127.0.0.1:104", "--seed", "1", "--resume", "b"), "the seed that it has"),
        (("127.0.0.1:104", "--time", "0"), "a time, as 90, 10m or 8h"),
        (("127.0.0.1:104", "--time", "5x"), "a time, as 90, 10m or 8h"),
        (("127.0.0.1:104", "--max-bytes", "lots"), "a size, as 500k or 2G"),
        (("127.0.0.1:104", "--command", "'"), "No closing quotation"),
        (("127.0.0.1:104", "--command", ""), "an empty command"),
        (("127.0.0.1:104", "--seed", "-1"), "expected"),
        (("127.0.0.1:104", "--compare", "other"), "argument --compare"),
        (("127.0.0.1:104", "--compare", "B@127.0.0.1:105"), "by the AE title of the first one"),
    ],
)  # fmt: skip
def test_bad_usage_is_one_line(words: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("name", ["fuzz", "replay"])
def test_without_the_extra_the_command_says_what_to_install(name: str) -> None:
    script = (
        f"import sys; sys.modules['psutil'] = None; from dicos_transports.cli import main; sys.exit(main(['{name}']))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr == f"error: dicos {name} needs more libraries (psutil): pip install '.[fuzz]' in a checkout\n"


def test_options_are_read() -> None:
    options, _ = fuzz_options.parse(
        ["PACS@127.0.0.1:104", "--time", "2m", "--max-bytes", "3k", "--compare", "engine", "--seed", "7"]
    )
    assert (options.host, options.port, options.called_aet) == ("127.0.0.1", 104, "PACS")
    assert (options.time, options.max_bytes, options.second, options.seed) == (120.0, 3000, "engine", 7)
    options, _ = fuzz_options.parse(["--compare", "127.0.0.1", "105", "::1", "106"])
    assert (options.second, options.host, options.port) == (("127.0.0.1", 105), "::1", 106)


def test_the_families_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("127.0.0.1:104", "--family", "list") == 0
    said = capsys.readouterr().out
    assert all(f"{name} " in said for name in FAMILIES)


@pytest.mark.parametrize("words", [("192.0.2.1", "104"), ("127.0.0.1", "104", "--compare", "192.0.2.1", "104"),
                                   ("--listen", "0.0.0.0:0")])  # fmt: skip
def test_another_host_is_refused_unless_it_is_owned(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 2
    assert "--i-own-this-peer" in capsys.readouterr().err


def test_a_name_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address that was checked is the one that is used, whatever the name means later."""
    real, asked = socket.getaddrinfo, []

    def look_up(host: object, *words: object, **more: object) -> object:
        if host == "rebound.test":
            asked.append(host)
            host = "127.0.0.1" if len(asked) == 1 else "192.0.2.1"
        return real(host, *words, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with peer() as port:
        assert run("rebound.test", port, *BOUNDED, "--conversations", "3", "--compare", "engine") == 0
    assert asked == ["rebound.test"]


def test_a_host_without_address_is_no_association(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("no-such-host.invalid", "104") == 3
    assert "no-such-host.invalid" in capsys.readouterr().err


def test_damaged_files_are_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known, corpus, capture = tmp_path / "known", tmp_path / "corpus", tmp_path / "x.pcap"
    known.write_text("not-an-id\n")
    corpus.mkdir()
    (corpus / "bad.json").write_text("{")
    capture.write_bytes(b"not a capture file at all")
    with peer() as port:
        for option, name in (("--known", known), ("--corpus", corpus), ("--pcap", capture), ("--resume", tmp_path)):
            assert run("127.0.0.1", port, option, name) == 2
            assert str(name) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--known", "no-such-file"), "no-such-file: no such file or directory"),
        (("--pcap", "no-such-file"), "no-such-file: no such file or directory"),
        (("--resume", "no-such-folder"), "no-such-folder: no such file or directory"),
        (("--family", "nonsense"), "no family 'nonsense'"),
        (("--family", "answers"), "none of these families is for a peer that listens"),
    ],
)
def test_inputs_that_are_not_there_are_refused_before_anything_is_sent(
    words: tuple[str, ...],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("127.0.0.1", free_port(), *words) == 2  # and not 3: it has not tried to connect
    assert [*tmp_path.iterdir()] == []
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1


# -- peers that make no association ------------------------------------------------------------------------------


def test_a_peer_that_makes_no_association_is_status_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("127.0.0.1", free_port(), *BOUNDED) == 3
    assert "cannot be reached: connection refused" in capsys.readouterr().err
    with raw_peer(lambda sock: sock.sendall(b"SSH-2.0-x\r\n")) as port:
        assert run("127.0.0.1", port, *BOUNDED) == 3
        assert "SSH, not DICOM" in capsys.readouterr().err
    with raw_peer(lambda sock: None) as port:
        assert run("127.0.0.1", port, *BOUNDED) == 3
        assert "the connection instead of answering" in capsys.readouterr().err


def test_a_peer_that_cannot_be_started_is_status_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("127.0.0.1", free_port(), "--command", "/no-such-program", *BOUNDED) == 3
    assert "/no-such-program" in capsys.readouterr().err
    with peer() as port:
        assert run("127.0.0.1", port, "--command", "true", *BOUNDED) == 2
        assert "listens there already" in capsys.readouterr().err
        assert run("127.0.0.1", port, "--pid", 2**22 - 1, *BOUNDED) == 3
        assert "no process" in capsys.readouterr().err


def test_a_port_in_use_is_status_3(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert run("--listen", taken.getsockname()[1]) == 3
    assert "in use" in capsys.readouterr().err


# -- campaigns ---------------------------------------------------------------------------------------------------


def test_nothing_found_is_status_0(capsys: pytest.CaptureFixture[str]) -> None:
    with peer() as port:
        assert run("127.0.0.1", port, *BOUNDED) == 0
    said = capsys.readouterr().err
    first = said.splitlines()[0]
    assert "within these bounds: time 60 s" in first
    assert "seed 1" in first
    assert "no findings" in said
    assert "40 conversations" in said


def test_a_finding_is_status_1_with_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, page = tmp_path / "out", tmp_path / "page.html"
    with broken("second-rq-answered") as (_, port):
        words = ("--family", "replay", "--output", out, "--html", page, "--json", "--state", tmp_path / "state")
        assert run("127.0.0.1", port, *BOUNDED, *words) == 1
    said = capsys.readouterr()
    (summary,) = events(said.out, "summary")
    assert summary["conversations"] == 40
    found = events(said.out, "finding")
    assert "unexpected-pdu" in {one["oracle"] for one in found}
    assert events(said.out, "bounds")[0]["seed"] == "1"
    assert events(said.out, "learned")
    files = sorted(out.glob("unexpected-pdu-*.json"))
    assert {one.stem for one in files} <= {str(one["id"]) for one in found}
    assert reproducer.read(files[0]).replayed == (3, 3)
    assert "<html" in page.read_text()
    for name in ("report.html", "report.txt", "report.jsonl"):
        assert str(found[0]["id"]) in (out / name).read_text()
    known = tmp_path / "known"
    known.write_text("".join(f"{one['id']}  # reported\n" for one in found) + "crash-0123456789ab\n")
    with broken("second-rq-answered") as (_, port):
        assert run("127.0.0.1", port, *BOUNDED, "--family", "replay", "--known", known, "--json") == 0
    said = capsys.readouterr()
    assert {one["id"] for one in events(said.out, "masked")} <= {one["id"] for one in found}
    assert events(said.out, "masked")
    assert "crash-0123456789ab" in {one["id"] for one in events(said.out, "unmet")}
    assert not events(said.out, "finding")


def test_a_campaign_is_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / "state"
    with peer() as port:
        assert run("127.0.0.1", port, *BOUNDED, "--state", state, "--json") == 0
        first = events(capsys.readouterr().out, "summary")[0]
        assert run("127.0.0.1", port, *BOUNDED, "--state", state) == 2
        assert "--resume goes on" in capsys.readouterr().err
        more = ("--conversations", "60", "--jobs", "1", "--resume", state, "--json")
        assert run("127.0.0.1", port, *more) == 0
        output = capsys.readouterr().out
        second = events(output, "summary")[0]
        assert events(output, "bounds")[0]["seed"] == "1"  # that of the campaign
        assert run("localhost", port, *more) == 2
        assert "a campaign against" in capsys.readouterr().err
    assert (first["conversations"], second["conversations"]) == (40, 60)
    for name in ("associations", "sent", "echoes", "seconds"):
        assert second[name] > first[name]  # type: ignore[operator]
    assert second["reactions"] >= first["reactions"]  # type: ignore[operator]
    assert second["corpus"] >= first["corpus"]  # type: ignore[operator]


@pytest.mark.slow  # the peer is started a dozen times
def test_a_crash_of_a_started_peer_is_found(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    port = free_port()
    command = " ".join(broken_command(port, "item-length-crash"))
    words = ("--command", command, "--family", "lengths", "--time", "100", "--jobs", "1", "--seed", "1")
    assert run("127.0.0.1", port, *words, "--output", tmp_path) == 1
    said = capsys.readouterr().err
    assert "CRITICAL crash-" in said
    assert "signal SIGSEGV" in said
    assert "--keep-going goes on" in said
    assert next(tmp_path.glob("crash-*.json"))
    with socket.socket() as sock:
        assert sock.connect_ex(("127.0.0.1", port)) != 0


def test_two_peers_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    with broken("second-rq-answered") as (_, port):
        words = ("--conversations", "14", "--jobs", "1", "--seed", "1", "--family", "replay")
        run("127.0.0.1", port, *words, "--compare", "engine", "--json")
    found = events(capsys.readouterr().out, "difference")
    assert any("A-ABORT" in str(one["second"]) and "A-ABORT" not in str(one["first"]) for one in found), found


def test_the_log_of_the_engine_is_not_printed() -> None:
    with peer() as port:
        words = ["fuzz", "127.0.0.1", str(port), "--compare", "engine", "--family", "replay", *map(str, BOUNDED)]
        done = subprocess.run(
            [sys.executable, "-m", "dicos_transports.cli", *words],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert "40 conversations" in done.stderr
    assert "A-ASSOCIATE-RQ in Sta6" not in done.stderr


def test_a_second_peer_that_refuses_a_good_association_is_status_3(capsys: pytest.CaptureFixture[str]) -> None:
    with peer() as port, raw_peer(lambda sock: None) as other:
        assert run("127.0.0.1", port, *BOUNDED, "--compare", "127.0.0.1", other) == 3
    assert f"127.0.0.1:{other}: " in capsys.readouterr().err


def test_recorded_associations_come_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.fuzz.campaign.tiny import GOOD

    capture = tmp_path / "clinic.pcapng"
    record_conversation(capture, b"".join(getattr(step, "message", b"") for step in GOOD.steps))
    with peer() as port:
        assert run("127.0.0.1", port, *BOUNDED, "--pcap", capture, "-v") == 0
    assert "recorded/clinic.pcapng: 1" in capsys.readouterr().err


def record_conversation(path: Path, client: bytes) -> None:
    with path.open("wb") as file:
        recorder = Recorder(file)
        recorder.open(0, 1_700_000_000_000_000_000)
        recorder.send(0, 1_700_000_000_000_000_100, client, by_client=True)
        recorder.end(0, 1_700_000_000_000_000_900, by_client=True)


def test_a_campaign_over_tls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from dicos_transports.tls import ClientCertificate, ServerTLS

    files = write_all(tmp_path, hospital().server)
    Spending(shared=True)  # the first one keeps a pipe and a file
    tls = ServerTLS(identity=hospital().server, client_certificates=ClientCertificate.NONE)
    with serving("blocking", policy=POLICY, tls=tls) as server:
        assert run("127.0.0.1", server.port, *BOUNDED, "--tls-ca", files.ca, "--family", "good") == 0
        assert run("127.0.0.1", server.port, *BOUNDED) == 3
        assert run("127.0.0.1", server.port, *BOUNDED[:2], "--jobs", "2", "--tls-ca", files.ca, "--family", "good") == 0
    assert "TLS" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "name"), [
    ("--output", "/dev/null/x"), ("--output", "/proc/x"), ("--html", "{folder}"), ("--html", "/proc/x/page.html"),
    ("--state", "/dev/null/x"), ("--output", "{file}"),
])  # fmt: skip
def test_outputs_that_cannot_be_written_are_refused_before_anything_is_sent(
    option: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    where = name.format(folder=tmp_path, file=tmp_path / "file")
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        assert run("127.0.0.1", nobody.getsockname()[1], option, where) == 2
        nobody.setblocking(False)
        with pytest.raises(BlockingIOError):
            nobody.accept()
    said = capsys.readouterr().err
    assert where in said
    assert said.count("\n") == 1
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_the_folder_of_a_page_is_made_and_a_file_that_cannot_be_written_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, page = tmp_path / "out", tmp_path / "new" / "page.html"
    (out / "report.html").mkdir(parents=True)
    with peer() as port:
        assert run("127.0.0.1", port, *BOUNDED, "--conversations", "2", "--output", out, "--html", page) == 0
    assert str(out / "report.html") in capsys.readouterr().err
    assert sorted(one.name for one in out.iterdir()) == ["report.html", "report.jsonl", "report.txt"]
    assert "<html" in page.read_text()


@pytest.mark.parametrize("option", ["--output", "--state", "--corpus", "--html"])
def test_only_the_last_folder_is_made(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = tmp_path / "a" / "b" / "c"
    assert run("127.0.0.1", free_port(), option, where) == 2
    missing = where.parent if option != "--html" else where.parent.parent
    assert f"{where}: there is no folder {missing}" in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == []


def test_a_peer_that_cannot_be_reached_leaves_no_folders(tmp_path: Path) -> None:
    words = ("--output", tmp_path / "a", "--state", tmp_path / "b", "--html", tmp_path / "c" / "page.html")
    assert run("127.0.0.1", free_port(), *words) == 3
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--output", "out", "--html", "./out/report.html"), "--html 'out/report.html' and --output 'out/report.html'"),
        (("--state", "out", "--html", "out/state.json"), "--html 'out/state.json' and --state 'out/state.json'"),
        (("--output", "out", "--corpus", "../{name}/out"), "are the same"),
        (("--state", "out", "--corpus", "link"), "--corpus 'link' and --state 'out' are the same"),
        (("--pcap", "x.pcap", "--html", "hard.pcap"), "--html 'hard.pcap' is the capture file itself, 'x.pcap'"),
        (("--known", "x.pcap", "--html", "x.pcap"), "--html 'x.pcap' is the file of --known itself"),
    ],
)
def test_an_output_is_no_other_file_of_the_command(
    words: tuple[str, ...],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.pcap").write_bytes(b"")
    Path("hard.pcap").hardlink_to("x.pcap")
    Path("link").symlink_to("out")
    assert run("127.0.0.1", free_port(), *(one.format(name=tmp_path.name) for one in words)) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
    assert not Path("out").exists()


def test_a_folder_is_kept_by_one_campaign_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = "import sys; from pathlib import Path; from dicos_fuzz.campaign.claim import claim\n"
    code += "with claim(Path(sys.argv[1])): print('claimed', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "claimed\n"
        for option in ("--state", "--resume"):
            assert run("127.0.0.1", free_port(), option, tmp_path) == 2
            said = capsys.readouterr().err
            assert said == f"error: {tmp_path}: another campaign (process {other.pid}) is using it\n"
        other.kill()
    assert run("127.0.0.1", free_port(), "--state", tmp_path) == 3  # it died, and its claim with it


@pytest.mark.parametrize(("name", "status"), [("none", 4), ("second-rq-answered", 1)])
def test_a_lost_output_is_told_and_status_1_is_for_findings(name: str, status: int, tmp_path: Path) -> None:
    with broken(name) as (_, port):
        words = ["fuzz", "127.0.0.1", str(port), *BOUNDED, "--family", "replay", "--json", "-q", "--output", tmp_path]
        with subprocess.Popen(
            [*COMMAND, *map(str, words)], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            for line in process.stdout:
                if status == 4 or json.loads(line)["event"] == "found":
                    break
            process.stdout.close()
            said = process.stderr.read()
            assert process.wait(60) == status
    assert said.splitlines()[-1] == "error: standard output: Broken pipe"
    assert (tmp_path / "report.txt").exists()
    assert bool([*tmp_path.glob("*.json")]) is (status == 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("again", [False, True], ids=["once", "again and again"])
def test_an_interrupt_is_status_130_and_keeps_what_was_found(
    tmp_path: Path, number: signal.Signals, again: bool
) -> None:
    with broken("second-rq-answered") as (_, port):
        words = [
            "fuzz",
            "127.0.0.1",
            str(port),
            "--family",
            "commands",
            "--state",
            str(tmp_path),
            "--json",
            "--jobs",
            "2",
        ]
        process = subprocess.Popen(
            [sys.executable, "-m", "dicos_transports.cli", *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if json.loads(line)["event"] == "found":
                    break
            os.kill(process.pid, number)
            out = ""
            while again and '"summary"' not in out:
                os.kill(process.pid, signal.SIGINT)
                if select.select([process.stdout], [], [], 0.002)[0]:
                    out += process.stdout.readline()
            rest, err = process.communicate(timeout=60)
            out += rest
        finally:
            process.kill()
    assert process.returncode == 130, err
    assert events(out, "finding")
    assert events(out, "summary")[0]["ended"] == "interrupted"
    assert "Traceback" not in err
    assert list((tmp_path / "findings").glob("*.json"))


def test_a_caller_is_fuzzed(capsys: pytest.CaptureFixture[str]) -> None:
    trigger = f"{sys.executable} -m dicos_transports.cli echoscu 127.0.0.1 {{port}} -tn 2 -ta 2 -td 2"
    assert run("--listen", "0", "--trigger", trigger, "--conversations", "3", "--seed", "1") == 0
    said = capsys.readouterr().err
    assert "listening on 127.0.0.1:" in said
    assert "3 conversations" in said


def test_a_caller_that_does_not_come_is_status_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fuzz, "CALLED", 0.1)
    assert run("--listen", "0") == 3
    assert "did not call" in capsys.readouterr().err


def test_a_silent_peer_is_status_3(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("dicos_fuzz.campaign.probe.FIRST", 0.2)
    monkeypatch.setattr("dicos_fuzz.campaign.foreign.PATIENCE", 0.1)
    with raw_peer(lambda sock: receive_all(sock) and None) as port:
        assert run("127.0.0.1", port) == 3
    assert "does not answer an A-ASSOCIATE-RQ" in capsys.readouterr().err


def test_known_findings_that_cannot_be_read_are_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("127.0.0.1", free_port(), "--known", tmp_path) == 2
    assert str(tmp_path) in capsys.readouterr().err
