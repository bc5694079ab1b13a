"""Who is measured: for each contender, how its server and its client are started, and one run of both."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from .processes import Child, free_port
from .workloads import Workload

PDU: Final = 131_072
SMALL_PDU: Final = 16_384
LIMIT: Final = 60.0
"""Seconds one client may take."""
PYNETDICOM_MOST: Final = {"small": 40, "medium": 40, "echo": 200}
"""Objects or echoes pynetdicom gets, because it is slow: rates are compared, not times."""

Kind = Literal["raw", "ours", "dcmtk", "pynetdicom"]
_NODELAY: Final = {"TCP_NODELAY": "1"}  # what DCMTK looks for in its environment; others do not care
BYTECODE: Final = "bytecode"
"""The folder of compiled modules, inside the temporary one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """`client` and `server`: of whom. `only`: workloads it takes part in; none: all. `most`: of each, at most."""

    name: str
    title: str
    client: Kind
    server: Kind
    pdu: int = PDU
    storing: bool = False
    only: tuple[str, ...] = ()
    most: Mapping[str, int] = field(default_factory=dict)

    def missing(self) -> str | None:
        """Why it cannot take part; None if it can."""
        if "dcmtk" in (self.client, self.server):
            lacking = [name for name in ("storescu", "storescp", "echoscu") if shutil.which(name) is None]
            if lacking:
                return f"{', '.join(lacking)} not found: install DCMTK"
        if "pynetdicom" in (self.client, self.server) and find_spec("pynetdicom") is None:
            return "pynetdicom is not installed"
        return None

    def takes(self, workload: Workload) -> bool:
        """Whether it takes part."""
        return not self.only or workload.name in self.only

    def scaled(self, workload: Workload) -> Workload:
        """The workload as it gets it."""
        return workload.first(self.most[workload.name]) if workload.name in self.most else workload


CONTENDERS: Final = (
    Contender(name="raw", title="raw sendall -> recv_into", client="raw", server="raw"),
    Contender(name="ours", title="dicos-proto -> dicos-proto", client="ours", server="ours"),
    Contender(name="ours-16k", title="the same, 16 KiB PDUs", client="ours", server="ours", pdu=SMALL_PDU,
              only=("large",)),
    Contender(name="ours-storing", title="the same, 128 KiB, SCP stores files", client="ours", server="ours",
              storing=True, only=("small", "medium", "large")),
    Contender(name="dcmtk", title="DCMTK -> DCMTK, 128 KiB PDUs", client="dcmtk", server="dcmtk"),
    Contender(name="dcmtk-16k", title="DCMTK -> DCMTK, 16 KiB PDUs", client="dcmtk", server="dcmtk", pdu=SMALL_PDU,
              only=("small", "medium", "large")),
    Contender(name="ours-to-dcmtk", title="dicos-proto -> DCMTK", client="ours", server="dcmtk"),
    Contender(name="dcmtk-to-ours", title="DCMTK -> dicos-proto", client="dcmtk", server="ours"),
    Contender(name="pynetdicom", title="pynetdicom -> pynetdicom", client="pynetdicom", server="pynetdicom",
              most=PYNETDICOM_MOST),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run. `whole`: seconds, the client's process from start to end. `association`: seconds from before the
    connection until after the release, by the client's own clock; None where it tells none. Peaks in bytes."""

    whole: float
    association: float | None
    client_peak: int
    server_peak: int


def _environment(folder: Path) -> dict[str, str]:
    """Compiled modules are kept, as they are for whoever runs something a second time."""
    return _NODELAY | {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / BYTECODE)}


def warm_up(contenders: Iterable[Contender], folder: Path) -> None:
    """Compile what the Python contenders import. Raises `Failed`."""
    kinds = {kind for one in contenders for kind in (one.client, one.server) if kind != "dcmtk"}
    for kind in sorted(kinds):
        modules = f"benchmarks.side_{kind}" + (", dicos_transports.blocking_server" if kind == "ours" else "")
        with Child([sys.executable, "-c", f"import {modules}"], _environment(folder), str(folder)) as child:
            child.ended(LIMIT)


def run(contender: Contender, workload: Workload, folder: Path) -> Run:
    """A new server, one client that does the workload over one association, and both measured. Raises `Failed`."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        port = free_port() if contender.server == "dcmtk" else 0
        env = _environment(folder)
        with Child(_server(contender, port, own), env, own) as server:
            if port:
                server.listening(port)
            else:
                port = server.port()
            with Child(_client(contender, workload, port), env, own) as client:
                done = client.ended(LIMIT)
            if contender.storing:
                _check_stored(Path(own), workload)
            server_peak = server.stop().peak
    told = json.loads(done.output)["seconds"] if contender.client != "dcmtk" else None
    return Run(whole=done.seconds, association=told, client_peak=done.peak, server_peak=server_peak)


def _check_stored(folder: Path, workload: Workload) -> None:
    found = sum(path.suffix in (".dcm", ".dcs") for path in folder.iterdir())
    if found != len(workload.files):
        raise RuntimeError(f"{found} files stored of {len(workload.files)}")


def _python(side: str, *words: str) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.side_{side}", *words]


def _server(contender: Contender, port: int, folder: str) -> list[str]:
    pdu = str(contender.pdu)
    match contender.server:
        case "raw":
            return _python("raw", "serve")
        case "ours":
            return _python("ours", "scp", pdu, *([folder] if contender.storing else []))
        case "dcmtk":
            return ["storescp", "-q", "-pdu", pdu, "--ignore", str(port)]
        case "pynetdicom":
            return _python("pynetdicom", "scp", pdu)


def _client(contender: Contender, workload: Workload, port: int) -> list[str]:
    pdu = str(contender.pdu)
    files = [str(path) for path in workload.files]
    match contender.client:
        case "raw":
            return _python(
                "raw", *(["send", str(port), *files] if files else ["echo", str(port), str(workload.echoes)])
            )
        case "dcmtk" if files:
            # -R: propose what the files need, which is also what makes it propose DICOS SOP classes at all.
            return ["storescu", "-q", "-R", "-pdu", pdu, "127.0.0.1", str(port), *files]
        case "dcmtk":
            return ["echoscu", "-q", "--repeat", str(workload.echoes), "127.0.0.1", str(port)]
        case kind:
            words = ["store", str(port), pdu, *files] if files else ["echo", str(port), str(workload.echoes)]
            return _python(kind, *words)
