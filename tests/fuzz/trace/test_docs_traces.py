"""The commands of docs/traces.md print what the page says. Run as a script, it writes the page again."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import BytesIO
from pathlib import Path

import pytest

from dicos_fuzz.captures import Recorder
from dicos_fuzz.captures.packets import Endpoint
from dicos_transports.cli import main
from tests.fuzz.trace.saying import RELEASE, message, opened
from tests.fuzz.trace.test_association import ECHO, echo
from tests.upper_layer.layouts import split, vector

PAGE = Path(__file__).resolve().parents[3] / "docs" / "traces.md"
BLOCK = re.compile(r"^```console\n(\$ (?![^\n]* --(?:listen|keylog) ).*?)^```$", re.DOTALL | re.MULTILINE)
"""A block with its output; those of the tap, and with a key log, are not run."""
START = 1_714_557_600_000_000_000
MILLISECOND = 1_000_000


def clinic() -> bytes:
    """The capture file of the page."""
    user, provider = split(vector("dcmtk_store.c2s")), split(vector("dcmtk_store.s2c"))
    first = [(True, user[0]), (False, provider[0]), (True, user[1] + user[2]), (False, provider[1]), (True, user[3]),
             (False, provider[2])]  # fmt: skip
    second = [*opened(), *echo(), (True, message(ECHO, context=99)), *RELEASE]
    file = BytesIO()
    recorder = Recorder(file)
    for number, said in enumerate((first, second)):
        at = START + number * 1000 * MILLISECOND
        recorder.open(number, at, client=Endpoint(f"10.0.0.{number + 5}", 40_000), server=Endpoint("10.0.0.2", 104))
        for step, (by_client, data) in enumerate(said, 1):
            assert isinstance(data, bytes)
            recorder.send(number, at + step * step * MILLISECOND, data, by_client=by_client)
        for by_client in (True, False):
            recorder.end(number, at + 60 * MILLISECOND, by_client=by_client)
    return file.getvalue()


def run(command: str, last: list[int]) -> list[str]:
    """The lines that a command prints, on both outputs; `last` keeps its exit status."""
    if command == "echo $?":
        return [str(last[0])]
    words = command.split()
    assert words[0] == "dicos"
    if words[-2:-1] == ["<"]:
        words[-2:] = []
        words[words.index("-")] = "clinic.pcapng"  # the test of the command reads standard input itself
    out, err, before = io.StringIO(), io.StringIO(), sys.stderr
    try:
        with redirect_stdout(out), redirect_stderr(err):
            last[0] = main(words[1:])
    finally:
        sys.stderr = before
    lines = [*out.getvalue().splitlines(), *err.getvalue().splitlines()]
    return [line.replace(os.getcwd() + "/", "") for line in lines]


def shown(block: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a block, with the lines after it."""
    command, lines = "", []
    for line in block.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, lines
            command, lines = line[2:], []
        else:
            lines.append(line)
    yield command, lines


def test_every_command_of_the_page_prints_what_the_page_says(tmp_path: Path) -> None:
    (tmp_path / "clinic.pcapng").write_bytes(clinic())
    last = [0]
    blocks = BLOCK.findall(PAGE.read_text("utf-8"))
    assert len(blocks) > 5
    with chdir(tmp_path):
        for block in blocks:
            for command, lines in shown(block):
                assert run(command, last) == lines, command


def test_every_option_is_on_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    main(["trace", "--help"])
    options = set(re.findall(r"(?<![\w-])--[a-z]+", capsys.readouterr().out)) - {"--help"}
    text = PAGE.read_text("utf-8")
    assert len(options) > 12
    assert sorted(option for option in options - {"--verbose", "--debug", "--quiet"} if option not in text) == []


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        Path("clinic.pcapng").write_bytes(clinic())
        status = [0]

        def again(block: re.Match[str]) -> str:
            lines = [line for command, _ in shown(block[1]) for line in (f"$ {command}", *run(command, status))]
            return "\n".join(("```console", *lines, "```"))

        PAGE.write_text(BLOCK.sub(again, PAGE.read_text("utf-8")), "utf-8")
