"""Sends every file that other projects ship to our provider, DCMTK's and pynetdicom's, and compares the outcomes.

The files are those of pydicom and pynetdicom, as installed, and of dicognito and pydicom-data, which `tools/peers.sh`
fetches. Each is sent in an association of its own that proposes only the context of the file, by our own session
and by pynetdicom's, unchanged. Differences between the providers have their reasons in `DIFFERENT`, files that cannot
be sent in `NOT_SENT`. A difference without a reason fails, and so does a reason that is no longer needed.

docs/files-of-others.md is made of the same tables.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from dicos_proto.conversation.flows import AssociationError, ContextNotAccepted
from dicos_proto.tolerance import FIELD
from dicos_proto.upper_layer.negotiation import propose
from dicos_transports import blocking
from dicos_transports.files import part10
from dicos_transports.files.part10 import Part10Error, Part10File
from tests.interop import files_of_others
from tests.interop.files_of_others import DIFFERENT, NOT_SENT, ONLY_FROM, PACKAGES
from tests.interop.peers import (
    CHECKOUT,
    OUR_ENVIRONMENT,
    contents,
    dcmtk_storescp,
    digest,
    free_port,
    needs_dcmtk,
    needs_pynetdicom,
    our_provider,
)

pytestmark = [
    pytest.mark.interop,
    needs_dcmtk,
    needs_pynetdicom,
    pytest.mark.filterwarnings("ignore::UserWarning"),  # of values in files that are none too well
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dicos-proto" / "files"
FETCHED = Path(os.environ.get("DICOS_FILES") or CACHE)


def _folder(package: str) -> Path | None:
    """Return the folder of a package's files; None if they are not installed."""
    where = PACKAGES[package]
    if where.startswith("installed:"):
        name, _, inside = where.removeprefix("installed:").partition("/")
        spec = find_spec(name)
        folder = Path(str(spec.origin)).parent / inside if spec is not None else FETCHED / "nowhere"
    else:
        folder = FETCHED / where
    return folder if folder.is_dir() else None


@dataclass(frozen=True)
class Given:
    """A file. `name`: its package and its path there."""

    name: str
    path: Path


@cache
def every_file() -> list[Given]:
    found = []
    for package in PACKAGES:
        folder = _folder(package)
        if folder is not None:
            for path in sorted(folder.rglob("*")):
                if path.is_file() and path.suffix not in (".py", ".pyc", ".md", ".txt", ".json", ".pem", ".sh"):
                    found.append(Given(f"{package}: {path.relative_to(folder)}", path))
    return found


@cache
def sendable() -> tuple[list[tuple[Given, Part10File]], dict[str, str]]:
    """Return the files that can be sent, and the reason for each other one."""
    good, bad = [], {}
    for given in every_file():
        try:
            good.append((given, part10.inspect(given.path)))
        except Part10Error as error:
            bad[given.name] = str(error).partition(": ")[2]
    return good, bad


# -- senders -----------------------------------------------------------------------------------------------------------


Sender = Callable[[int, Part10File], tuple[bool, int | None]]
"""Port and file -> True if the context was accepted, and the status; None if there was no response."""


class CannotSend(Exception):
    """A file that the sender cannot read."""


def _our_own(port: int, file: Part10File) -> tuple[bool, int | None]:
    contexts = propose([file.sop_class_uid], (file.transfer_syntax,))
    try:
        # Some UIDs are not valid; a peer repeats them in its answer.
        with blocking.connect(("127.0.0.1", port), contexts, tolerance=FIELD) as session:
            status = session.store(
                file.sop_class_uid, file.sop_instance_uid, file.transfer_syntax, part10.read_chunks(file)
            ).status
            return True, status
    except ContextNotAccepted:
        return False, None
    except AssociationError:
        return True, None


@contextmanager
def _pynetdicom() -> Iterator[Sender]:
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.interop.neutral_sender"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=OUR_ENVIRONMENT,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        to, answers = process.stdin, process.stdout

        def send(port: int, file: Part10File) -> tuple[bool, int | None]:
            to.write(f"{port} {file.path}\n")
            to.flush()
            told = json.loads(answers.readline())
            if "error" in told and not told["accepted"]:
                raise CannotSend(told["error"])
            return told["accepted"], told["status"]

        yield send
        process.kill()


# -- providers ---------------------------------------------------------------------------------------------------------


@contextmanager
def _pynetdicom_storescp(folder: Path) -> Iterator[int]:
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "pynetdicom", "storescp", str(port), "-od", str(folder), "-ba",
         "127.0.0.1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=OUR_ENVIRONMENT,
    ) as process:  # fmt: skip
        try:
            _listens(port)
            yield port
        finally:
            process.kill()


def _listens(port: int) -> None:
    import socket
    import time

    for _ in range(3000):
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise AssertionError("it does not listen")


@contextmanager
def providers(folder: Path) -> Iterator[dict[str, tuple[int, Path]]]:
    """Run each provider. Yields port and folder of each."""
    folders = {name: folder / name for name in ("ours", "DCMTK", "pynetdicom")}
    for each in folders.values():
        each.mkdir()
    with ExitStack() as stack:
        # The exit status shows that it refused some.
        ours = stack.enter_context(our_provider("storescp", "0", "-od", folders["ours"], status=1))
        dcmtk = stack.enter_context(dcmtk_storescp(folders["DCMTK"], "+xa"))
        theirs = stack.enter_context(_pynetdicom_storescp(folders["pynetdicom"]))
        ports = {"ours": ours.port, "DCMTK": dcmtk, "pynetdicom": theirs}
        yield {name: (ports[name], folders[name]) for name in folders}


# -- outcomes ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """The outcome of a file at a provider. `stored`: "same bytes", "same values", "other values" or "nothing"."""

    accepted: bool
    status: int | None
    stored: str

    def __str__(self) -> str:
        if not self.accepted:
            return "not accepted"
        status = "aborted" if self.status is None else f"0x{self.status:04X}"
        return f"{status}, {self.stored}"

    @property
    def good(self) -> bool:
        return self.status == 0 and self.stored in ("same bytes", "same values")


def _outcome(send: Sender, port: int, folder: Path, file: Part10File) -> Outcome:
    accepted, status = send(port, file)
    made = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    stored = "nothing" if not made else _compared(file, made[0])
    for path in made:
        path.unlink()
    return Outcome(accepted, status, stored)


def _compared(file: Part10File, path: Path) -> str:
    with suppress(Part10Error):
        copy = part10.inspect(path)
        if copy.transfer_syntax == file.transfer_syntax and digest(copy) == digest(file):
            return "same bytes"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return "same values" if _values(path) == _values(file.path) else "other values"
    except Exception as error:  # any exception of pydicom for a damaged file
        return f"unreadable for pydicom: {type(error).__name__}"


def _values(path: Path) -> str:
    """As text: a value that is not a number is not equal to itself."""
    return hashlib.sha256(repr(sorted(contents(path).items())).encode()).hexdigest()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[int, Path]]]:
    missing = [package for package in PACKAGES if _folder(package) is None]
    if missing:
        pytest.skip(f"the files of {' and '.join(missing)} are not here: tools/peers.sh fetches them")
    with providers(tmp_path_factory.mktemp("files")) as found:
        yield found


def test_what_cannot_be_sent_has_its_reason() -> None:
    _, bad = sendable()
    here = {package for package in PACKAGES if _folder(package) is not None}
    expected = {name: why for name, why in NOT_SENT.items() if name.partition(": ")[0] in here}
    assert bad == expected


@pytest.mark.slow  # sends some hundreds of files from three senders to each provider
@pytest.mark.parametrize("sender", ["ours", "pynetdicom"])
@pytest.mark.timeout(1200)
def test_every_provider_does_the_same(sender: str, running: dict[str, tuple[int, Path]]) -> None:
    good, _ = sendable()
    found: dict[str, dict[str, str]] = {}
    counted: Counter[tuple[str, str]] = Counter()
    with ExitStack() as stack:
        send = _our_own if sender == "ours" else stack.enter_context(_pynetdicom())
        for given, file in good:
            try:
                outcomes = {name: _outcome(send, port, folder, file) for name, (port, folder) in running.items()}
            except CannotSend:
                continue
            counted.update((name, str(outcome)) for name, outcome in outcomes.items())
            if len({(one.accepted, one.good) for one in outcomes.values()}) > 1 or not outcomes["ours"].good:
                found[given.name] = {name: str(outcome) for name, outcome in outcomes.items()}
    for (name, outcome), count in sorted(counted.items()):
        print(f"{len(good)} files from {sender}, {name}: {outcome}: {count}")
    if os.environ.get("DICOS_FILES_SHOW"):
        Path(os.environ["DICOS_FILES_SHOW"] + f".{sender}.json").write_text(json.dumps(found, indent=1))
    explained = DIFFERENT | ONLY_FROM[sender]
    assert {name: each for name, each in found.items() if name not in explained} == {}
    assert explained.keys() - found.keys() == set(), "with these all is well now"


def test_the_page_gives_every_reason() -> None:
    page = " ".join((CHECKOUT / "docs" / "files-of-others.md").read_text().split())
    reasons = [value for name, value in vars(files_of_others).items() if name.isupper() and isinstance(value, str)]
    assert [reason for reason in reasons if reason not in page] == []
    names = {
        name.rpartition("/")[2].rpartition(": ")[2]
        for name in (*DIFFERENT, *ONLY_FROM["ours"], *ONLY_FROM["pynetdicom"])
    }
    assert [name for name in sorted(names) if name not in page] == []
