"""One run of one row: a server and its clients, both measured."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from .matrix import Row
from .options import Options
from .processes import Child, Failed, free_port
from .workloads import LARGE, SIZES, Files

LIMIT: Final = 60.0
"""The seconds that one client may take."""
BYTECODE: Final = "bytecode"
"""The folder of compiled modules, inside the temporary one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run. `whole`: seconds, from before the first client's process is made until the last is reaped.
    `association`: seconds from before the connection until after the release, by the client's own clock, if it
    reports that. Peaks in bytes."""

    whole: float
    association: float | None
    client_peak: int
    server_peak: int


def missing(row: Row) -> str | None:
    """The reason why a row cannot be measured; None if it can."""
    if "dcmtk" in (row.client, row.server):
        lacking = [name for name in ("storescu", "storescp", "echoscu") if shutil.which(name) is None]
        if lacking:
            return f"{', '.join(lacking)} not found: install DCMTK"
    for kind, module in (("pynetdicom", "pynetdicom"), ("tls", "OpenSSL"), ("loop", "trio")):
        wanted = {"pynetdicom": kind in (row.client, row.server), "tls": row.tls, "loop": row.loop}[kind]
        if wanted and find_spec(module) is None:
            return f"{module} is not installed"
    return None


class Runner:
    """Runs rows. All its files are in `folder`, which exists; received objects stay there until the end.

    Small files are not removed between two runs: a file system that has just lost thousands of files may look for
    unused entries among them for each new one, at the cost of the next row.
    """

    def __init__(self, folder: Path, *, quick: bool) -> None:
        self.folder = folder
        self.quick = quick
        self.files = Files(folder)
        (folder / "tls").mkdir()

    def amount(self, row: Row) -> int:
        """The number of objects or echoes of a client."""
        return max(row.count // 20, min(row.count, 5)) if self.quick else row.count

    def prepare(self, rows: Iterable[Row]) -> None:
        """Compile the modules of the Python sides, and make the certificate. Raises `Failed`."""
        rows = list(rows)
        if any(row.tls for row in rows):
            from .workloads import make_certificate

            make_certificate(self.folder / "tls")
        kinds = {kind for row in rows for kind in (row.client, row.server) if kind != "dcmtk"}
        for kind in sorted(kinds):
            more = ", dicos_transports.blocking.server" if kind == "ours" else ""
            command = [sys.executable, "-c", f"import benchmarks.side_{kind}{more}"]
            with Child(command, self._environment(nagle=True), str(self.folder)) as child:
                child.ended(LIMIT)

    def start(self, row: Row) -> Run:
        """The same with one small object, or one echo, for each association: the cost of starting up."""
        size = "echo" if row.size == "echo" else "1k"
        return self._run(replace(row, size=size, disk=False, window=1), row.associations)

    def run(self, row: Row) -> Run:
        """Raises `Failed`, `NoSpace`.

        A large object from disk to disk is run twice, and the second run counts: the host of a virtual machine takes
        free memory back, and the first run to fill the page cache again would pay for that."""
        if row.disk:
            self.files.check(SIZES[row.size] * self.amount(row))
            if SIZES[row.size] >= LARGE and not self.quick:
                self._run(row, self.amount(row))
        return self._run(row, self.amount(row))

    def _run(self, row: Row, count: int) -> Run:
        own = tempfile.mkdtemp(dir=self.folder)
        stored = Path(own, "stored")
        stored.mkdir()
        options = Options(pdu=row.pdu, window=row.window, loop=row.loop, tls=self._tls(row), port=0,
                          associations=row.associations, folder=str(stored) if row.disk else "")  # fmt: skip
        paths: list[Path] = []
        if row.size == "echo":
            options = replace(options, echoes=count)
        else:
            paths = list(islice(cycle(self.files.of(row.size)), count))
            listing = Path(own, "listing")
            listing.write_text("\n".join(map(str, paths)))
            options = replace(options, listing=str(listing))
        env = self._environment(nagle=row.nagle)
        with ExitStack() as stack:
            if row.server == "dcmtk":
                port = free_port()
                server = stack.enter_context(Child(_storescp(row, options, port), env, own))
                server.listening(port)
            else:
                server = stack.enter_context(Child(options.command(row.server, "scp"), env, own))
                port = server.port()
            if row.late:
                command = [sys.executable, "-m", "benchmarks.side_late", str(port), str(row.late)]
                port = stack.enter_context(Child(command, env, own)).port()
            options = replace(options, port=port)
            commands = [options.command(row.client, "scu")]
            if row.client == "dcmtk":
                commands = [_storescu(row, options, paths[at :: row.associations]) for at in range(row.associations)]
            begun = time.perf_counter()
            clients = [stack.enter_context(Child(command, env, own)) for command in commands]
            ended = [client.ended(LIMIT) for client in clients]
            whole = time.perf_counter() - begun
            server_peak = server.stop().peak
        if row.disk:
            self._check_stored(stored, len(set(paths)), large=SIZES[row.size] >= LARGE)
        told = json.loads(ended[0].output) if row.client != "dcmtk" else {}
        peak = told.get("peak") or max(one.peak for one in ended)
        return Run(whole=whole, association=told.get("seconds"), client_peak=peak, server_peak=server_peak)

    def _check_stored(self, folder: Path, count: int, *, large: bool) -> None:
        found = list(folder.iterdir())
        if len(found) != count:
            raise Failed(f"{len(found)} files stored of {count}")
        if large:
            for path in found:
                path.unlink()

    def _tls(self, row: Row) -> str:
        return str(self.folder / "tls") if row.tls else ""

    def _environment(self, *, nagle: bool) -> dict[str, str]:
        """Compiled modules are kept, as they are when a program runs for the second time. DCMTK reads TCP_NODELAY;
        the others ignore it."""
        environment = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(self.folder / BYTECODE)}
        return environment if nagle else environment | {"TCP_NODELAY": "1"}


def _storescp(row: Row, options: Options, port: int) -> list[str]:
    keeps = ["+B", "-od", options.folder] if options.folder else ["--ignore"]
    more = ["--fork"] if row.associations > 1 else []
    return ["storescp", "-q", "-pdu", str(row.pdu), *keeps, *more, *_dcmtk_tls(options), str(port)]


def _storescu(row: Row, options: Options, paths: list[Path]) -> list[str]:
    where = ["127.0.0.1", str(options.port)]
    if not paths:
        return ["echoscu", "-q", "--repeat", str(options.echoes), *_dcmtk_tls(options), *where]
    # -R: propose only the contexts that the files need.
    return ["storescu", "-q", "-R", "-pdu", str(row.pdu), *_dcmtk_tls(options), *where, *map(str, paths)]


def _dcmtk_tls(options: Options) -> list[str]:
    if not options.tls:
        return []
    key, certificate = (str(Path(options.tls, name)) for name in ("key.pem", "cert.pem"))
    return ["+tls", key, certificate, "-ic"]
