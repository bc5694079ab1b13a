"""The page of the command line: every command in it runs, in order, and says what the page says.

Two things differ from one run to the next and are not compared: how long it took, and ports. A command with `&` at its
end runs until the page is over; what it says first is what is shown.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

pytest.importorskip("pydicom")

from pydicom.dataset import Dataset

from dicos_proto.registry import uids
from dicos_proto.upper_layer.policy import AcceptPolicy, Roles
from dicos_transports.blocking import FindRequest, GetRequest, MoveRequest, Session, connect
from dicos_transports.files import part10
from dicos_transports.files.sending import plan, prepare
from tests.dicos import bags
from tests.interop.peers import free_port
from tests.transports.cli.commands import ENVIRONMENT, TIMEOUT, dicom_file
from tests.transports.connections import server

CHECKOUT = Path(__file__).resolve().parent.parent.parent
PAGE = CHECKOUT / "docs" / "cli.md"
README = CHECKOUT / "README.md"
BLOCK = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
TIMES = re.compile(r"\b\d+(\.\d+)? (ms|s|B/s|kB/s|MB/s|files/s)\b|(?<=\"seconds\": )[\d.e-]+")
PATIENTS = (("DOE^JANE", "P1", "20260102"), ("Müller^Jörg", "P2", "20260103"))
CT, EXPLICIT = uids.CT_IMAGE_STORAGE, uids.EXPLICIT_VR_LE
QUERIES = (*uids.QUERY_SOP_CLASSES, *uids.RETRIEVE_GET_SOP_CLASSES, *uids.RETRIEVE_MOVE_SOP_CLASSES)
POLICY = AcceptPolicy(
    contexts=dict.fromkeys((*QUERIES, *uids.STORAGE_SOP_CLASSES), (EXPLICIT, uids.IMPLICIT_VR_LE)),
    roles={uid: Roles(scu=True, scp=True) for uid in uids.STORAGE_SOP_CLASSES},
)


def data_of(patient: int) -> Dataset:
    found = Dataset()
    found.SpecificCharacterSet = "ISO_IR 100"
    found.PatientName, found.PatientID, found.StudyDate = PATIENTS[patient]
    found.StudyInstanceUID = f"1.2.3.{patient + 1}"
    return found


@contextmanager
def pacs(folder: Path, store_port: int) -> Iterator[int]:
    """The archive that the page asks; its port."""
    files = [part10.inspect(dicom_file(folder / f"{n}.dcm", uid=f"1.2.3.1.{n}", pixels=1000)) for n in range(1, 4)]

    def handle(session: Session) -> None:
        for request in session:
            attributes = request.attributes()
            assert attributes is not None
            asked = attributes.dataset
            match request:
                case FindRequest():
                    for patient in range(len(PATIENTS)):
                        every, match = data_of(patient), Dataset()
                        match.SpecificCharacterSet = every.SpecificCharacterSet
                        for element in asked:
                            match.add(every.get(element.tag, element))
                        if asked.get("PatientName") in (None, "", "*") or match.PatientName == asked.PatientName:
                            request.match(match)
                    request.end()
                case GetRequest():
                    request.send((prepare(session.association, file) for file in files), len(files))
                case MoveRequest() if request.performing.task(()).destination == "ME":
                    (batch,) = plan(files)
                    with connect(("127.0.0.1", store_port), batch.contexts, called_aet="ME") as third:
                        request.send(third, (prepare(third.association, file) for file in files), len(files))
                case _:
                    request.respond(0xA801)

    with server(handle, policy=POLICY) as running:
        yield running.port


class Shell:
    """Runs the commands of a page in a folder of their own."""

    def __init__(self, folder: Path, ports: dict[str, str]) -> None:
        self._folder = folder
        self._ports = ports
        self._running: list[subprocess.Popen[str]] = []
        (folder / "bin").mkdir()
        (folder / "bin" / "dicos").write_text(f'#!/bin/sh\nexec {sys.executable} -m dicos_transports.cli "$@"\n')
        (folder / "bin" / "dicos").chmod(0o755)
        path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        self._environment = {**ENVIRONMENT, "PATH": path, "PYTHONIOENCODING": "utf-8"}

    def __call__(self, command: str) -> list[str]:
        """Returns the output of the command."""
        for shown, real in self._ports.items():
            command = command.replace(shown, real)
        if command.endswith("&"):
            process = subprocess.Popen(
                ["sh", "-c", f"exec {command[:-1]}"], cwd=self._folder, env=self._environment, text=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            )  # fmt: skip
            self._running.append(process)
            assert process.stderr is not None
            said = process.stderr.readline()
        else:
            said = subprocess.run(
                ["sh", "-c", command], cwd=self._folder, env=self._environment, text=True, check=False,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT,
            ).stdout  # fmt: skip
        for shown, real in self._ports.items():
            said = said.replace(real.split()[-1], shown.split()[-1])
        return said.splitlines()

    def stop(self) -> None:
        for process in self._running:
            process.send_signal(signal.SIGTERM)
        for process in self._running:
            process.communicate(timeout=TIMEOUT)


def commands(text: str) -> list[tuple[str, list[str]]]:
    """The commands of all blocks, in order, and what each says."""
    found: list[tuple[str, list[str]]] = []
    for block in BLOCK.findall(text):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


@contextmanager
def prepared(folder: Path) -> Iterator[Shell]:
    """A folder as the page has it, and its archive."""
    (folder / "scans").mkdir(parents=True)
    (folder / "pacs").mkdir()
    for number in range(1, 4):
        dicom_file(folder / "scans" / f"{number}.dcm", uid=f"1.2.3.{number}", pixels=1000)
    (folder / "scans" / "notes.txt").write_text("no image")
    bags.make(folder)
    dicom_file(folder / "private.dcm", sop_class="1.2.3.4.5", uid="1.2.3.9", pixels=1000)
    scp, own = free_port(), free_port()
    with ExitStack() as stack:
        port = stack.enter_context(pacs(folder / "pacs", own))
        shell = Shell(folder, {"pacs.example 104": f"127.0.0.1 {port}", "11112": str(scp), "11113": str(own)})
        stack.callback(shell.stop)
        yield shell


def plain(lines: list[str]) -> list[str]:
    return [TIMES.sub("#", line).rstrip() for line in lines]


@pytest.mark.slow  # starts the command many times
def test_every_command_of_the_page_says_what_the_page_says(tmp_path: Path) -> None:
    said = commands(PAGE.read_text(encoding="utf-8"))
    assert len(said) > 15
    with prepared(tmp_path) as shell:
        for command, shown in said:
            assert plain(shell(command)) == plain(shown), command


def test_every_dicos_command_of_the_readme_says_what_the_readme_says(tmp_path: Path) -> None:
    said = [one for one in commands(README.read_text("utf-8")) if one[0].startswith(("dicos ", "mkdir "))]
    said = [one for one in said if not one[0].startswith("dicos fuzz ")]
    assert len(said) == 4
    with prepared(tmp_path) as shell:
        for command, shown in said:
            assert plain(shell(command)) == plain(shown), command


@pytest.mark.slow  # a campaign of fifteen seconds
def test_the_campaign_of_the_readme_finds_what_the_readme_says(tmp_path: Path) -> None:
    """Not in the same second, on another port, and perhaps more besides."""
    ((command, shown),) = [one for one in commands(README.read_text("utf-8")) if one[0].startswith("dicos fuzz ")]
    port = str(free_port())
    words = shlex.split(command.replace("11119", port).replace("python -m", f"{shlex.quote(sys.executable)} -m"))
    ended = subprocess.run(
        [sys.executable, "-m", "dicos_transports.cli", *words[1:]], env=ENVIRONMENT, cwd=tmp_path, text=True,
        check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    finding = shown[shown.index("...") + 1 :]
    assert ended.returncode == 1, ended.stdout
    for line in (finding[0], finding[1], finding[2], finding[-1]):
        assert line in ended.stdout


@pytest.mark.slow  # starts the command many times
def test_every_subcommand_and_every_option_is_on_the_page() -> None:
    from dicos_transports.cli import SUBCOMMANDS

    text = PAGE.read_text(encoding="utf-8")
    for name in SUBCOMMANDS:
        assert f"dicos {name} " in text
        done = subprocess.run(
            [sys.executable, "-m", "dicos_transports.cli", name, "--help"], env=ENVIRONMENT, text=True, check=True,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", done.stdout)) - {"--help", "--version"}
        missing = sorted(option for option in options if option not in text and not option.startswith("--tls"))
        assert missing == [], name


def test_every_event_is_on_the_page() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (CHECKOUT / "transports").rglob("cli/*.py"))
    named = set(re.findall(r"\bevent\(\s*\"(\w+)\"", source)) | {"stored", "failed"}
    text = PAGE.read_text(encoding="utf-8")
    assert len(named) > 12
    assert sorted(name for name in named if f"`{name}`" not in text) == []


if __name__ == "__main__":  # writes the page again, with the current output of its commands
    import tempfile

    with prepared(Path(tempfile.mkdtemp())) as shell:

        def said_now(block: re.Match[str]) -> str:
            lines = [line for command, _ in commands(block[0]) for line in (f"$ {command}", *shell(command))]
            return "\n".join(("```console", *lines, "```"))

        PAGE.write_text(BLOCK.sub(said_now, PAGE.read_text(encoding="utf-8")), encoding="utf-8")
