"""tshark's dissector and the trace see the same: PDUs with their types and lengths, PDVs, messages and their ids.

On recorded conversations, as one capture file; and on fresh ones between DCMTK's tools, captured by dumpcap from the
loopback interface, and through the tap.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from time import monotonic
from xml.etree import ElementTree

import pydicom
import pytest

from dicos_fuzz.captures import CaptureError, Recording
from dicos_fuzz.trace.association import MOST_PDVS
from dicos_fuzz.trace.entries import CommandSaid, DataPdu, Over, PduSaid
from dicos_fuzz.trace.marks import Kind
from dicos_fuzz.trace.saving import Saver
from dicos_fuzz.trace.tracer import Tracer
from dicos_proto.data.datasets import encode
from dicos_proto.dimse.types import CCancelRequest, DimseRequest, DimseResponse
from dicos_proto.registry import uids
from dicos_proto.upper_layer.pdu_types import PduType
from tests.fuzz.captures.shark import needs_tshark, run
from tests.fuzz.trace.saying import Kept
from tests.interop.pcap import CLIENT, pcap
from tests.interop.peers import dcmtk, dcmtk_storescp, free_port, needs_dcmtk
from tests.interop.test_tshark import OURS, Seen, _pdus, captured, recorded, tshark
from tests.pair import CT
from tests.transports.cli.commands import COMMAND, ENVIRONMENT, TIMEOUT, dicom_file

pytestmark = needs_tshark
LABELS = {kind.label: kind.value for kind in PduType}
JOINED = ("pydicos ct_default", "pydicos ct_nocomp")
"""Conversations whose command sets are joined to their data sets: tshark reads elements of the data set as commands."""


@dataclass
class Side:
    """Everything that one side of an association said."""

    pdus: list[tuple[int, int]] = field(default_factory=list)  # type, length
    pdvs: list[tuple[int, int, int]] = field(default_factory=list)  # context, control, bytes of data
    messages: list[str] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)


def ours(kept: Kept) -> dict[int, dict[bool, Side]]:
    """By the client's port, and True for the client."""
    found: dict[int, dict[bool, Side]] = {}
    for trace, entry in kept.both:
        sides = found.setdefault(trace.connection.client.port, {True: Side(), False: Side()})
        if isinstance(entry, PduSaid):
            sides[entry.by_requestor].pdus.append((LABELS[entry.label], entry.length))
        elif isinstance(entry, DataPdu):
            sides[entry.by_requestor].pdus.append((4, entry.length))
            sides[entry.by_requestor].pdvs += [(one.context, one.control, one.length) for one in entry.pdvs]
        elif isinstance(entry, CommandSaid) and entry.command is not None:
            sides[entry.by_requestor].messages.append(entry.command.NAME)
            if isinstance(entry.command, DimseRequest):
                sides[entry.by_requestor].ids.append(entry.command.message_id)
            elif isinstance(entry.command, DimseResponse | CCancelRequest):
                sides[entry.by_requestor].ids.append(entry.command.message_id_being_responded_to)
    return found


def theirs(seen: list[Seen]) -> Side:
    side = Side()
    for one in seen:
        side.pdus.append((one.type, one.length))
        side.pdvs += [(context, control, length - 2) for length, context, control in one.pdvs[:MOST_PDVS]]
        side.messages += one.commands
        numbers = [raw for raw in one.elements if raw[2:4] in (b"\x10\x01", b"\x20\x01")]
        side.ids += [int.from_bytes(raw[8:10], "little") for raw in numbers if raw[2:4] == b"\x10\x01" or one.commands]
    return side


class Both(Kept):
    """The entries, each with its association."""

    def __init__(self) -> None:
        super().__init__()
        self.both: list[tuple] = []

    def take(self, trace, entry) -> None:
        super().take(trace, entry)
        self.both.append((trace, entry))


def traced(raw: bytes, folder: Path | None = None) -> Both:
    """The entries of a capture file; of one that is still written, up to where it ends."""
    kept = Both()
    sinks = [kept] if folder is None else [kept, Saver(folder, lambda line: None)]
    tracer = Tracer(sinks, pieces=folder is not None)
    with suppress(CaptureError):
        for event in Recording(BytesIO(raw), "x").events():
            tracer.feed(event)
    return kept


EVERY = {**{name: make() for name, make in OURS.items()}, **recorded(), **captured()}


@pytest.fixture(scope="module")
def both(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[int, dict[bool, Side]], dict[int, dict[bool, list[Seen]]]]:
    mine = ours(traced(pcap(EVERY.values())))
    return mine, tshark(EVERY.values(), tmp_path_factory.mktemp("tshark"))


@pytest.mark.parametrize("by_client", [True, False], ids=["requestor", "acceptor"])
@pytest.mark.parametrize("name", EVERY)
def test_the_same_is_seen_in_recorded_conversations(name: str, by_client: bool, both) -> None:
    number = list(EVERY).index(name)
    mine, seen = both[0][CLIENT + number][by_client], theirs(both[1][number][by_client])
    assert mine.pdus[: len(seen.pdus)] == seen.pdus
    assert len(mine.pdus) - len(seen.pdus) == (1 if (name, by_client) == ("pydicos odd0", False) else 0)  # a short one
    if name in JOINED:
        return
    assert mine.pdvs == seen.pdvs
    assert mine.messages == seen.messages
    assert mine.ids == seen.ids


# -- fresh ---------------------------------------------------------------------------------------------------------


def of_file(path: Path, port: int) -> dict[int, dict[bool, list[Seen]]]:
    """tshark's PDUs of a file, by the client's port, and True for the client.

    Checksums are not compared: the loopback interface leaves them out.
    """
    found: dict[int, dict[bool, list[Seen]]] = {}
    for packet in ElementTree.fromstring(
        run(path, "-o", "tcp.check_checksum:FALSE", "-T", "pdml", "-Y", "dicom", ports=(port,))
    ):
        ports = {
            one.get("name"): int(one.get("show", "0")) for one in packet.iter("field") if "port" in one.get("name", "")
        }
        source, target = ports["tcp.srcport"], ports["tcp.dstport"]
        client = target if source == port else source
        sides = found.setdefault(client, {True: [], False: []})
        for proto in packet.iter("proto"):
            if proto.get("name") == "dicom":
                sides[source == client] += _pdus(proto)
    return found


def compare(kept: Both, path: Path, port: int) -> None:
    mine, seen = ours(kept), of_file(path, port)
    assert set(mine) == set(seen)
    for client, sides in mine.items():
        for by_client, side in sides.items():
            assert side == theirs(seen[client][by_client])


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "sent"
    folder.mkdir()
    return [
        dicom_file(folder / f"{size}.dcm", uid=f"1.2.3.{size}", data=image(size)) for size in (100, 20_000, 150_000)
    ]


def image(size: int) -> bytes:
    """A data set in explicit VR with this many bytes of pixels."""
    made = pydicom.Dataset()
    made.SOPClassUID, made.SOPInstanceUID, made.PatientName = CT, f"1.2.3.{size}", "Nobody"
    made.PixelData = bytes(index % 251 for index in range(size))
    made["PixelData"].VR = "OW"
    return encode(made, uids.EXPLICIT_VR_LE)


def same_objects(sent: list[Path], folder: Path) -> None:
    """The saved files hold the objects that were sent."""
    assert len(list(folder.iterdir())) == len(sent)
    for path in sent:
        first = pydicom.dcmread(path)
        second = pydicom.dcmread(folder / f"{first.SOPInstanceUID}.dcm")
        assert first == second


@pytest.fixture
def capture(tmp_path: Path) -> Iterator[tuple[Path, int, subprocess.Popen[str]]]:
    """dumpcap, capturing one port of the loopback interface: the file, the port, the process."""
    if shutil.which("dumpcap") is None:
        pytest.skip("dumpcap is not installed")
    port, path = free_port(), tmp_path / "fresh.pcapng"
    command = ["dumpcap", "-i", "lo", "-f", f"tcp port {port}", "-B", "64", "-w", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = ""
        for line in process.stderr:
            if line.startswith("File:"):
                break
        if not line.startswith("File:"):
            pytest.skip(f"dumpcap cannot capture here: {line.strip()}")
        yield path, port, process
        process.kill()


@needs_dcmtk
def test_the_same_is_seen_in_a_fresh_capture_of_dcmtk(capture, files: list[Path], tmp_path: Path) -> None:
    path, port, process = capture
    received, saved = tmp_path / "received", tmp_path / "saved"
    received.mkdir()
    saved.mkdir()
    server = subprocess.Popen(["storescp", "-od", str(received), str(port)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            if dcmtk("echoscu", "127.0.0.1", port).returncode == 0:
                break
        assert dcmtk("storescu", "127.0.0.1", port, *files).returncode == 0
        dcmtk("storescu", "--abort", "127.0.0.1", port, files[1])
        assert dcmtk("echoscu", "--repeat", "3", "127.0.0.1", port).returncode == 0
    finally:
        server.kill()
        server.wait()
    outcomes: list[str] = []
    end = monotonic() + TIMEOUT
    while outcomes[-3:] != ["released", "association aborted by the service user", "released"]:
        assert monotonic() < end, outcomes
        with suppress(subprocess.TimeoutExpired):  # dumpcap writes a little later
            process.wait(0.1)
        outcomes = [entry.outcome for entry in traced(path.read_bytes()).of(Over)]
    process.send_signal(signal.SIGINT)
    process.wait(TIMEOUT)
    kept = traced(path.read_bytes(), saved)
    compare(kept, path, port)
    assert sum(trace.marks[Kind.VIOLATION] for trace in kept.traces) == 0
    (saved / "1.2.3.20000_2.dcm").unlink()  # it was sent again before the abort
    same_objects(files, saved)


@needs_dcmtk
def test_the_same_is_seen_through_the_tap(files: list[Path], tmp_path: Path) -> None:
    received, saved, written = tmp_path / "received", tmp_path / "saved", tmp_path / "tap.pcapng"
    received.mkdir()
    with dcmtk_storescp(received) as target:
        command = [*COMMAND, "trace", "--listen", "0", "--to", f"127.0.0.1:{target}", "--json", "-d"]
        command += ["--write", str(written), "--save", str(saved), "--html", str(tmp_path / "page.html")]
        with subprocess.Popen(
            command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:  # fmt: skip
            assert process.stdout is not None
            port = json.loads(process.stdout.readline())["port"]
            assert dcmtk("storescu", "127.0.0.1", port, *files).returncode == 0
            assert dcmtk("echoscu", "127.0.0.1", port).returncode == 0
            ends: list[str] = []
            lines = []
            while len(ends) < 2:
                lines.append(json.loads(process.stdout.readline()))
                ends += [lines[-1]["outcome"]] if lines[-1]["event"] == "end" else []
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, ends) == (130, ["released", "released"])
    assert "Traceback" not in errors
    same_objects(files, saved)
    kept = traced(written.read_bytes())
    compare(kept, written, target)
    assert [one["message"] for one in lines if one["event"] == "command"] == [
        entry.command.NAME for entry in kept.of(CommandSaid) if entry.command
    ]
    assert sum(one["event"] == "p_data" for one in lines) == len(kept.of(DataPdu))
    assert "C-STORE-RQ" in (tmp_path / "page.html").read_text("utf-8")
