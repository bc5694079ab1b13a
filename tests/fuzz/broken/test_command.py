"""`python -m dicos_fuzz.broken`: its list, its port, its errors."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals
from subprocess import PIPE, Popen

import psutil
import pytest

from dicos_fuzz.broken import DEFECTS
from dicos_fuzz.broken.__main__ import main
from dicos_proto.registry import status
from tests.fuzz.broken.client import echo

CHECKOUT = Path(__file__).parents[3]


@pytest.mark.parametrize("signal", [SIGTERM, SIGINT])
def test_it_prints_its_port_and_serves_until_a_signal(signal: Signals) -> None:
    words = [sys.executable, "-m", "dicos_fuzz.broken"]
    with Popen(words, stdout=PIPE, text=True, cwd=CHECKOUT) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        assert echo(port) == status.SUCCESS
        process.send_signal(signal)
        assert process.wait(10) == 0


def test_the_list_names_every_defect_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(DEFECTS)
    assert all(defect.about in line for line, defect in zip(lines, DEFECTS.values(), strict=True))


def test_there_are_some_twenty_defects_and_three_of_order() -> None:
    assert len(DEFECTS) >= 20
    assert sum(defect.kind.value == "order of messages" for defect in DEFECTS.values()) >= 3


def test_an_unknown_defect_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--defect", "nothing"])
    assert end.value.code == 2
    assert "nothing" in capsys.readouterr().err


def test_a_port_in_use_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        assert main(["--port", str(number)]) == 2
    assert f"127.0.0.1:{number}" in capsys.readouterr().err


PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "dicos_fuzz.broken"], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.timer  # it looks once a second
def test_it_ends_with_its_parent() -> None:
    words = [sys.executable, "-c", PARENT]
    with Popen(words, stdin=PIPE, stdout=PIPE, text=True, cwd=CHECKOUT) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        parent.wait(10)
    child.wait(10)
