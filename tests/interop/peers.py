"""Other implementations as real processes and threads on 127.0.0.1, and our own command beside them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.multival import MultiValue

from dicos_proto.registry.uids import STORAGE_SOP_CLASSES
from dicos_transports.files import finding, part10
from dicos_transports.files.part10 import Part10File
from tests.transports.cli import forking

PATIENCE = 60.0
"""Seconds after which a test gives up on a peer."""

needs_dcmtk = pytest.mark.skipif(shutil.which("storescp") is None, reason="DCMTK is not installed")
needs_pynetdicom = pytest.mark.skipif(find_spec("pynetdicom") is None, reason="pynetdicom is not installed")


def _dcmtk_environment() -> dict[str, str]:
    return {**os.environ, "TCP_NODELAY": "1"}


def dcmtk(tool: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run one of DCMTK's user-side tools to its end."""
    return subprocess.run(
        [tool, *map(str, words)],
        capture_output=True, text=True, errors="replace", timeout=PATIENCE, env=_dcmtk_environment(), check=False,
    )  # fmt: skip


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def dcmtk_storescp(folder: Path, *options: object) -> Iterator[int]:
    """Run DCMTK's storescp, storing into `folder`. Yields the port. It also answers C-ECHO."""
    port = free_port()
    with dcmtk_server(port, folder.parent / "storescp.log", "storescp", "-od", folder, *options, port):
        yield port


@contextmanager
def dcmtk_server(port: int, log: Path, *words: object) -> Iterator[None]:
    """Run one of DCMTK's providers and wait until it listens on `port`. Its output is shown if the test fails."""
    with log.open("w") as output, subprocess.Popen(
        [*map(str, words)], stdout=output, stderr=subprocess.STDOUT, env=_dcmtk_environment()
    ) as process:  # fmt: skip
        try:
            _wait_for_listener(process, port, log)
            yield
        except BaseException:
            print(log.read_text(errors="replace"))
            raise
        finally:
            process.kill()


@contextmanager
def dcmtk_dcmqrscp(folder: Path, destinations: dict[str, int] | None = None) -> Iterator[int]:
    """Run DCMTK's archive, with an empty storage area "QR" below `folder`. Yields the port.

    `destinations`: the AE titles that it may send to, and their ports on this host.
    """
    port, log, config = free_port(), folder / "dcmqrscp.log", folder / "dcmqrscp.cfg"
    (folder / "QR").mkdir()
    hosts = (f"host{at} = ({aet}, 127.0.0.1, {to})\n" for at, (aet, to) in enumerate((destinations or {}).items()))
    tables = f"HostTable BEGIN\n{''.join(hosts)}HostTable END\nVendorTable BEGIN\nVendorTable END\n"
    area = f"AETable BEGIN\nQR {folder / 'QR'} RW (9, 1024mb) ANY\nAETable END\n"
    config.write_text(f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 4\n{tables}{area}")
    with log.open("w") as output, subprocess.Popen(
        ["dcmqrscp", "-c", str(config)], stdout=output, stderr=subprocess.STDOUT, env=_dcmtk_environment()
    ) as process:  # fmt: skip
        try:
            _wait_for_listener(process, port, log)
            yield port
        finally:
            process.kill()


def dcmjs_modules() -> Path:
    """The node_modules with dcmjs-dimse, where tools/peers.sh puts it, or where DCMJS_DIMSE says."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("DCMJS_DIMSE") or cache / "dicos-proto" / "dcmjs" / "node_modules")


needs_dcmjs = pytest.mark.skipif(
    shutil.which("node") is None or not (dcmjs_modules() / "dcmjs-dimse").is_dir(),
    reason="dcmjs-dimse is not installed",
)


@contextmanager
def listening(
    command: list[str], port: int, log: Path, folder: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a peer, in `folder`, until it listens on `port`. Yields its process, which is killed at the end."""
    with log.open("w") as output, subprocess.Popen(
        command, stdout=output, stderr=subprocess.STDOUT, cwd=folder, env=_dcmtk_environment()
    ) as process:  # fmt: skip
        try:
            _wait_for_listener(process, port, log)
            yield process
        finally:
            process.kill()


def pynetdicom_command(name: str, port: int, folder: Path) -> list[str]:
    """The command line of pynetdicom's `storescp` or `qrscp`, which stores into `folder`."""
    command = [sys.executable, "-m", "pynetdicom", name]
    if name == "qrscp":
        config = folder / "qrscp.ini"
        config.write_text(
            f"[DEFAULT]\nae_title: QRSCP\nport: {port}\nmax_pdu: 16382\nacse_timeout: 30\ndimse_timeout: 30\n"
            f"network_timeout: 30\nbind_address: 127.0.0.1\ninstance_location: {folder / 'instances'}\n"
            f"database_location: {folder / 'instances.sqlite'}\n"
        )
        return [*command, "-c", str(config)]
    return [*command, str(port), "-ba", "127.0.0.1", "-od", str(folder)]


def dcmjs_command(port: int) -> list[str]:
    """The command line of a provider of dcmjs-dimse, which answers C-ECHO, C-STORE and C-FIND."""
    return ["node", str(Path(__file__).with_name("dcmjs_scp.js")), str(dcmjs_modules()), str(port)]


def _wait_for_listener(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)  # there is no event to wait for: it does not report when it listens
    raise AssertionError(f"{process.args} does not listen: {log.read_text(errors='replace')}")


class Ours:
    """A run of our own provider: its port, and its output at the end."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port
        self.events: list[dict[str, Any]] = []
        self.peak_bytes = 0

    def of(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == name]


DICOS = [sys.executable, "-m", "dicos_transports.cli"]
CHECKOUT = Path(__file__).resolve().parent.parent.parent
OUR_ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(str(CHECKOUT / folder) for folder in (".", "transports", "fuzz")),
}


@contextmanager
def our_provider(*words: object, status: int = 0) -> Iterator[Ours]:
    """Run `dicos storescp` or `dicos echoscp` on a free port; at the end it is stopped; checks its exit status."""
    process, first = _started(words)
    for _ in range(5):
        if "port" in first:
            break
        process.wait(PATIENCE)  # a port that was free a moment ago may be that of another test's connection
        time.sleep(1)
        process, first = _started(words)
    assert process.stdout is not None
    lines: list[str] = []
    # Read all the time, so that it never waits for a reader: a pipe holds the events of about 200 objects.
    reader = threading.Thread(target=lines.extend, args=(process.stdout,), daemon=True)
    try:
        run = Ours(process, first["port"])
        reader.start()
        yield run
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == status
        reader.join(PATIENCE)
        run.events = [json.loads(line) for line in lines]
        assert run.of("error") == []
    finally:
        process.kill()
        process.wait()
        if reader.is_alive():
            reader.join(PATIENCE)
        process.stdout.close()


def _started(words: tuple[object, ...]) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    """Starts our provider. Returns its process, and its first event: that it listens, or the error."""
    process = subprocess.Popen(
        [*DICOS, *map(str, words), "--json"], stdout=subprocess.PIPE, text=True, env=OUR_ENVIRONMENT
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def ours(*words: object) -> subprocess.CompletedProcess[str]:
    """Run our command to its end."""
    return subprocess.run(
        [*DICOS, *map(str, words)], capture_output=True, text=True, timeout=PATIENCE, env=OUR_ENVIRONMENT, check=False
    )


def peak_of(*words: object) -> tuple[int, int]:
    """Run our command; it measures itself at the end. Returns exit status and peak memory in bytes.

    The system's count for child processes, `ru_maxrss`, would begin with the memory of their parent.
    """
    then = "import sys; from dicos_transports.cli import main; print(main()); print(open('/proc/self/status').read())"
    done = subprocess.run(
        [sys.executable, "-c", then, *map(str, words)],
        stdout=subprocess.PIPE, text=True, env=OUR_ENVIRONMENT, timeout=PATIENCE, check=True,
    )  # fmt: skip
    status, _, memory = done.stdout.partition("\n")
    return int(status), _peak(memory)


def peak_so_far(process: subprocess.Popen[str]) -> int:
    """Return the peak memory in bytes of a running process."""
    return _peak(Path(f"/proc/{process.pid}/status").read_text())


def _peak(status: str) -> int:
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


class Told:
    """The events that pynetdicom's provider prints, each waited for."""

    def __init__(self, process: forking.Forked) -> None:
        self.process = process
        self.port = int(self.next("listening")["port"])

    def next(self, name: str) -> dict[str, Any]:
        """Return the next event, which must have this name. A provider that hangs is ended by the test's time limit."""
        event: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert event["event"] == name, event
        return event


PYNETDICOM = "tests.interop.pynetdicom_peer"
"""Forked, since it takes half a second of processor time to import pynetdicom."""


@contextmanager
def pynetdicom_provider(**options: object) -> Iterator[Told]:
    """Run pynetdicom's provider in a process of its own, with the options of `pynetdicom_peer.scp`."""
    process = forking.start(["scp", json.dumps(options)], OUR_ENVIRONMENT, program=PYNETDICOM)
    complaints: list[str] = []
    reader = threading.Thread(target=complaints.extend, args=(process.stderr,), daemon=True)
    reader.start()
    try:
        yield Told(process)
    finally:
        process.kill()
        process.wait(PATIENCE)
        reader.join(PATIENCE)
        process.close()
        print(*complaints, sep="", file=sys.stderr)


def pynetdicom_user(port: int, **options: object) -> dict[str, list[dict[str, Any]]]:
    """Run pynetdicom's user to its end, with the options of `pynetdicom_peer.scu`. Returns its events by name."""
    words = ["scu", str(port), json.dumps(options)]
    status, out, err = forking.run(words, OUR_ENVIRONMENT, PATIENCE, program=PYNETDICOM)
    assert status == 0, err
    told: dict[str, list[dict[str, Any]]] = {}
    for event in map(json.loads, out.splitlines()):
        told.setdefault(event["event"], []).append(event)
    return told


# -- files ---------------------------------------------------------------------------------------------------------


UNFIT = {"MR_truncated.dcm", "rtplan_truncated.dcm", "SC_rgb_jpeg.dcm"}
"""Files that are cut short, or have implicit VR in an explicit transfer syntax: refused if data sets are checked."""


def shipped_files(transfer_syntax: str | None = None) -> list[Part10File]:
    """Return the storage objects among pydicom's own files, all or those in one transfer syntax.

    Without bare data sets, which their readers refuse, and broken files. One for each SOP Instance UID: if
    several share a UID, the one in the rarest transfer syntax.
    """
    root = Path(pydicom.__file__).parent / "data" / "test_files"
    every: list[Part10File] = []
    for path in finding.find_files([root], recurse=True):
        with suppress(part10.Part10Error):
            file = part10.inspect(path)
            if not file.data_offset or path.name in UNFIT:
                continue
            if file.sop_class_uid in STORAGE_SOP_CLASSES and transfer_syntax in (None, file.transfer_syntax):
                every.append(file)
    common = Counter(file.transfer_syntax for file in every)
    every.sort(key=lambda file: (common[file.transfer_syntax], str(file.path)))
    found: dict[str, Part10File] = {}
    for file in every:
        found.setdefault(file.sop_instance_uid, file)
    return list(found.values())


def files_in(folder: Path) -> dict[str, Part10File]:
    """Return the DICOM files in a folder, by SOP Instance UID."""
    paths = (path for path in folder.iterdir() if path.is_file())
    return {file.sop_instance_uid: file for file in map(part10.inspect, sorted(paths))}


def digest(file: Part10File) -> str:
    """Digest of the data set in a file, with the padding that a deflated one of odd length lacks [PS3.5 A.5]."""
    found = hashlib.sha256()
    for piece in part10.read_chunks(file):
        found.update(piece)
    if file.data_length % 2:
        found.update(b"\0")
    return found.hexdigest()


def contents(path: Path, *, private: bool = True) -> dict[tuple[int, ...], object]:
    """Every value of the data set, by its path of tags and item numbers. Without `private` elements: implicit VR does
    not say what they are.

    Left out are the parts that a writer may change: group lengths, trailing padding, padding of values, the VR of
    elements that a reader does not know.
    """
    found = dict(_values(pydicom.dcmread(path), ()))
    return found if private else {key: value for key, value in found.items() if not key[-1] >> 16 & 1}


def _values(ds: pydicom.Dataset, path: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], object]]:
    for element in ds:
        here = (*path, int(element.tag))
        if element.tag.element == 0 or element.tag == 0xFFFCFFFC:
            continue
        if element.VR == "SQ":
            yield here, len(element.value) or ""
            for index, item in enumerate(element.value):
                yield from _values(item, (*here, index))
        else:
            yield here, _plain(element.value)


def private_bytes(path: Path) -> dict[int, bytes]:
    """The encoded values of the private elements outside sequences, which no conversion between transfer syntaxes of
    one byte order changes. A sequence, or what a reader cannot tell from one, is left out."""
    ds = pydicom.dcmread(path)
    raw = {int(tag): ds.get_item(tag) for tag in list(ds.keys()) if tag.is_private}
    return {tag: element.value for tag, element in raw.items() if element and isinstance(element.value, bytes)}


def _plain(value: Any) -> object:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.rstrip(b"\0 ").decode("latin-1")
    if isinstance(value, MultiValue | list):
        return tuple(map(_plain, value))
    return value.rstrip(" ") if isinstance(value, str) else value


class _Reached(threading.Event):
    """A checkpoint for pynetdicom's reactor thread: it waits there until `set`, and reports that it has arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.reached.set()
        return super().wait(timeout)


def settle(association: Any) -> Any:
    """Return the association of pynetdicom when its reactor thread waits and has answered everything.

    In pynetdicom 3.0.4 that thread says that it is paused before it is: a response that is fast enough is taken by it,
    and the caller waits until the DIMSE timeout. Actions of that thread itself, in a handler, need no such wait.
    """
    if association._reactor_checkpoint.is_set() and threading.current_thread() is not association:
        association._reactor_checkpoint = checkpoint = _Reached()
        while not checkpoint.reached.wait(0.1) and association.is_alive():
            pass
    return association
