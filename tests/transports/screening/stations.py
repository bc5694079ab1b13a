"""Runs `dicos screen` in a process of its own, a destination for its reports, and makes scans for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pydicom

from dicos_proto.conversation.flows import AssociationError
from dicos_proto.data import decode_object
from dicos_proto.errors import LocalProtocolError
from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import UNCOMPRESSED, propose
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports import blocking
from dicos_transports.files import inspect, send_file
from tests.transports.cli.commands import COMMAND, ENVIRONMENT, ROOT

sys.path.append(str(ROOT / "demo"))
from phantom import make_ct

PATIENCE = 60.0
HERE = "tests.transports.screening.recognisers"
CONTEXTS = propose([uids.DICOS_CT])


def scan_file(
    folder: Path, seed: int, *, frames: int = 8, rows: int = 32, columns: int = 32, threat: bool = True
) -> Path:
    """A CT of a bag with the identifier BAG-<seed>."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"bag{seed}.dcs"
    make_ct(path, rows=rows, columns=columns, frames=frames, seed=seed, threat=threat)
    return path


def until(condition: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Waits until the condition is true, and returns what it gives."""
    end = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)
    return found


class Running:
    """A station. `events` has what it printed as JSON, `said` its log."""

    def __init__(self, folder: Path, *words: object, environment: dict[str, str] | None = None, port: int = 0) -> None:
        self.folder = folder
        self.log = folder.with_suffix(".log")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "screen", str(port), "-od", str(folder), "--http", "0", "--json", *map(str, words)],
                env={**ENVIRONMENT, **(environment or {})}, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT,
            )  # fmt: skip
        assert self.process.stdout is not None
        self.events: list[dict[str, Any]] = []
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == "listening":
                break
        else:
            raise AssertionError(self.said)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port: int = self.named("listening")[0]["port"]
        self.http: int = self.named("http")[0]["port"]
        self.url = f"http://127.0.0.1:{self.http}"
        self.client = httpx2.Client(timeout=PATIENCE, verify=False)  # a context for TLS takes long to make

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.events += map(json.loads, self.process.stdout)

    @property
    def said(self) -> str:
        return self.log.read_text("utf-8")

    def named(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == name]

    def store(self, *paths: Path) -> list[int]:
        """Sends files by C-STORE; returns the statuses."""
        session = blocking.connect(("127.0.0.1", self.port), CONTEXTS)
        try:
            return [send_file(session, inspect(path)).status for path in paths]
        finally:
            with suppress(AssociationError, LocalProtocolError):  # the station may have been killed
                session.release()

    def post(self, content: bytes | Iterator[bytes], **headers: str) -> httpx2.Response:
        """Sends a scan by HTTP."""
        return self.client.post(
            f"{self.url}/scans", content=content, headers={"Content-Type": "application/dicom", **headers}
        )

    def listing(self) -> dict[str, Any]:
        """All that the page gets."""
        found: dict[str, Any] = self.client.get(f"{self.url}/scans").json()
        return found

    def scans(self) -> list[dict[str, Any]]:
        """The scans, oldest first."""
        return sorted(self.listing()["scans"], key=lambda scan: scan["id"])

    def done(self, count: int = 1) -> list[dict[str, Any]]:
        """Waits until this number of scans is there, each with its report sent everywhere, and its picture."""

        def complete() -> list[dict[str, Any]] | None:
            found = self.scans()
            ready = all(
                scan["reports"] and (scan["picture"] or (scan["error"] or "").startswith("no picture"))
                and all(one["sent"] for report in scan["reports"] for one in report["deliveries"])
                for scan in found
            )  # fmt: skip
            return found if ready and len(found) >= count else None

        found: list[dict[str, Any]] = until(complete)
        assert len(found) == count
        return found

    def kill(self) -> None:
        """kill -9"""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Closes what the test has of it, once it has ended."""
        self.process.wait()
        self._reader.join(PATIENCE)
        self.client.close()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def stop(self) -> int:
        """Stops it as an administrator does; returns the exit status."""
        self.process.terminate()
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status


@contextmanager
def station(folder: Path, *words: object, **options: Any) -> Iterator[Running]:
    """Runs a station; leaves no process behind."""
    running = Running(folder, *words, **options)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
        running.close()
        assert "Traceback" not in running.said, running.said


class Destination:
    """A provider that receives reports. `answer` is called with each, and returns the status."""

    def __init__(self, port: int = 0) -> None:
        self.reports: list[pydicom.Dataset] = []
        self.at: list[float] = []
        self.answer: Callable[[pydicom.Dataset], int] = lambda report: 0
        policy = AcceptPolicy(contexts={uids.DICOS_TDR: UNCOMPRESSED, uids.VERIFICATION: UNCOMPRESSED})
        self._server = blocking.serve(("127.0.0.1", port), self._handle, policy=policy)
        self.port = self._server.port
        self.name = f"WORKSTATION@127.0.0.1:{self.port}"

    def _handle(self, session: blocking.Session) -> None:
        for request in session:
            if isinstance(request, blocking.StoreRequest):
                report = decode_object(b"".join(map(bytes, request.data())), request.transfer_syntax)
                status = self.answer(report)
                if not status:
                    self.reports.append(report)
                    self.at.append(time.time())
                request.respond(status)
            else:
                request.respond()

    @property
    def bags(self) -> list[str]:
        """The bags of the reports, in order of arrival."""
        return [str(report.PatientID) for report in self.reports]

    def close(self) -> None:
        self._server.close(0)


@contextmanager
def destination(port: int = 0) -> Iterator[Destination]:
    """Receives reports."""
    made = Destination(port)
    try:
        yield made
    finally:
        made.close()


def environment(**more: object) -> dict[str, str]:
    """The variables of the environment for a station."""
    return {name: os.fspath(value) if isinstance(value, Path) else str(value) for name, value in more.items()}
