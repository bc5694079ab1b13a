"""The tables and the commands of docs/faults.md. Run as a script, it writes the output of the commands again.

The proxy of the page runs until the command after it is over; its output is compared then. `tests/project/test_docs.py`
runs the Python of the page.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dicos_fuzz.faults import parse_fault, parse_plan
from dicos_fuzz.faults.effects import FORMS, PLACES
from tests.interop.peers import free_port
from tests.project.test_docs_cli import Shell
from tests.transports.cli.commands import TIMEOUT, dicom_file

PAGE = Path(__file__).resolve().parents[3] / "docs" / "faults.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
VARIES = re.compile(r"(?<=127\.0\.0\.1:)\d{5}(?= connected)|\b\d+(\.\d+)? (ms|s|B/s|kB/s|MB/s|files/s)\b")


def table(heading: str) -> list[str]:
    """The first cells of the table below a heading."""
    text = PAGE.read_text("utf-8").partition(f"### {heading}\n")[2].partition("\n#")[0]
    return [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if line.startswith("| `")]


def test_the_tables_have_every_place_and_effect() -> None:
    places = [word for cell in table("Places") for word in re.findall("`(.*?)`", cell)]
    effects = [word for cell in table("Effects") for word in re.findall("`(.*?)`", cell)]
    assert {type(parse_fault(f"out {place}: split").place) for place in places} == {form.of for form in PLACES}
    assert {type(parse_fault(f"in at 0: {effect}").effect) for effect in effects} == {form.of for form in FORMS}


class Page:
    """The commands of the page, and a folder for them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("received", "scans"):
            (folder / name).mkdir()
        dicom_file(folder / "scans" / "1.dcm", pixels=5000)
        text = PAGE.read_text("utf-8").partition("$ cat plan.txt\n")[2].partition("$ ")[0]
        assert len(parse_plan(text).faults) == 3
        (folder / "plan.txt").write_text(text)
        self._ports = {"11112": str(free_port()), "11113": str(free_port())}
        self._shell = Shell(folder, self._ports)
        self._proxy: subprocess.Popen[str] | None = None

    def __call__(self, block: str) -> str:
        """The block with the real output of its commands; that of the proxy comes with the next block."""
        found: list[str] = []
        for command in (line[2:] for line in block.splitlines() if line.startswith("$ ")):
            found.append(f"$ {command}")
            if "faultproxy" in command:
                self._start(command)
            else:
                found += self._shell(command)
        return "".join(f"{line}\n" for line in found)

    def _start(self, command: str) -> None:
        for shown, real in self._ports.items():
            command = command.replace(shown, real)
        words = [str(self.folder / "bin" / "dicos"), *command.split()[1:]]
        self._proxy = subprocess.Popen(words, cwd=self.folder, text=True, stderr=subprocess.PIPE)
        assert self._proxy.stderr is not None
        self._first = self._proxy.stderr.readline()

    def proxy(self) -> str:
        """The output of the proxy, which is over by now."""
        assert self._proxy is not None
        said = self._first + self._proxy.communicate(timeout=TIMEOUT)[1]
        for shown, real in self._ports.items():
            said = said.replace(real, shown)
        return said

    def close(self) -> None:
        if self._proxy is not None:
            self._proxy.kill()
            self._proxy.communicate()
        self._shell.stop()


def again(folder: Path) -> str:
    """The page with what its commands print now."""
    page = Page(folder)
    try:
        text = BLOCK.sub(lambda block: f"```console\n{page(block[1])}```", PAGE.read_text("utf-8"))
        return re.sub(r"(\$ dicos faultproxy .*\n)```", lambda line: f"{line[1]}{page.proxy()}```", text)
    finally:
        page.close()


@pytest.mark.slow  # starts the command in processes of its own, and waits for a timeout of 2 s
def test_the_commands_print_what_the_page_says(tmp_path: Path) -> None:
    found, shown = again(tmp_path), PAGE.read_text("utf-8")
    assert VARIES.sub("#", found) == VARIES.sub("#", shown)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        PAGE.write_text(again(Path(made)), "utf-8")
        sys.exit()
