"""Every Python block of the README runs, and prints what it says."""

import re
from pathlib import Path

import pytest

from dicos_proto import AcceptPolicy
from dicos_transports.blocking import connect
from dicos_transports.blocking.server import Server, serve
from tests.transports.connections import CONTEXTS, CT, EXPLICIT, answer_all
from tests.transports.files.test_storing import write_file

README = Path(__file__).resolve().parent.parent.parent / "README.md"
SCU, SCP, ENGINE = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def test_every_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README.read_text())
    assert len(links) > 10
    assert [link for link in links if not (README.parent / link).exists()] == []


def test_the_first_scu_sends_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scans").mkdir()
    write_file(tmp_path / "scans" / "a.dcm")
    write_file(tmp_path / "scans" / "b.dcm")
    monkeypatch.chdir(tmp_path)
    with serve(("127.0.0.1", 0), answer_all, policy=AcceptPolicy(other_contexts=(EXPLICIT,))) as server:
        exec(SCU.replace("11112", str(server.port)), {})
    assert capsys.readouterr().out == "a.dcm 0x0000 Success (success)\nb.dcm 0x0000 Success (success)\n"


def test_the_first_scp_receives(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def use(server: Server, timeout: float | None = None) -> bool:
        with connect(("127.0.0.1", server.port), CONTEXTS) as session:
            assert session.echo().status == 0
            assert session.store(CT, "1.2.3", EXPLICIT, bytes(100_000)).status == 0
        server.stop()
        monkeypatch.undo()
        return server.wait(timeout)

    monkeypatch.setattr(Server, "wait", use)
    exec(SCP.replace("11112", "0"), {})
    assert capsys.readouterr().out == "CT Image Storage 100000 bytes\n"


def test_the_engine_says_what_its_comments_say(capsys: pytest.CaptureFixture[str]) -> None:
    exec(ENGINE, {})
    printed = capsys.readouterr().out.splitlines()
    promised = re.findall(r"^print\(.*?\)  # (.*?)$", ENGINE, re.MULTILINE)
    assert len(promised) > 3
    assert printed == [text.partition(":")[0] for text in promised]
