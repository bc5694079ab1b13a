"""Faults between DCMTK's tools: harmless ones change nothing, the others end in an error of the user."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dicos_proto.registry import uids
from tests.interop.peers import dcmtk, dcmtk_storescp, digest, files_in, needs_dcmtk, shipped_files
from tests.transports.cli.commands import COMMAND, ENVIRONMENT, TIMEOUT

pytestmark = [pytest.mark.interop, needs_dcmtk]

FILES = [file.path for file in shipped_files() if file.transfer_syntax == uids.EXPLICIT_VR_LE][:10]


class Proxy:
    """A running `dicos faultproxy`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.port: int = self._event()["port"]

    def _event(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def closed(self) -> list[dict[str, Any]]:
        """The strikes of the next connection that ends, then its end."""
        found = [self._event()]
        while found[-1]["event"] != "closed":
            found.append(self._event())
        return [one for one in found if one["event"] != "connected"]


@contextmanager
def proxy(target: int, *faults: str) -> Iterator[Proxy]:
    words: Sequence[str] = [word for fault in faults for word in ("--fault", fault)]
    command = [*COMMAND, "faultproxy", "--json", "0", f"127.0.0.1:{target}", *words]
    with subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:  # fmt: skip
        try:
            yield Proxy(process)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=TIMEOUT)
            assert process.returncode == 130
            assert "Traceback" not in errors
        finally:
            process.kill()


def test_objects_arrive_whole_through_faults_that_change_no_byte(folder: Path) -> None:
    faults = ("out about 3000: split", "in every 7: split", "out at 5000: stall 0.3", "in at 0: delay 0.002 0.003")
    direct = folder.parent / "direct"
    direct.mkdir()
    with dcmtk_storescp(direct, "+xa", "+B", "-pm") as target:
        assert dcmtk("storescu", "-R", "-xe", "127.0.0.1", target, *FILES).returncode == 0
    with dcmtk_storescp(folder, "+xa", "+B", "-pm") as target, proxy(target, *faults) as between:
        assert dcmtk("echoscu", "127.0.0.1", between.port).returncode == 0
        assert between.closed()[-1]["how"] == "closed"
        sent = dcmtk("storescu", "-R", "-xe", "127.0.0.1", between.port, *FILES)
        assert sent.returncode == 0, sent.stderr
        *strikes, closed = between.closed()
    assert {one["fault"] for one in strikes} == {1, 2, 3, 4}
    assert closed["passed"] == closed["received"]
    stored, expected = files_in(folder), files_in(direct)
    assert len(stored) == len(FILES)
    assert {uid: digest(one) for uid, one in stored.items()} == {uid: digest(one) for uid, one in expected.items()}


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("in pdu A-ASSOCIATE-AC: reset", "Association Request Failed|Peer aborted|DUL"),
        ("out pdu A-ASSOCIATE-RQ 1: set 09", "Association Request Failed|Peer aborted"),
        ("in pdu P-DATA-TF 1 +3: half-close", "Echo Failed|Peer aborted"),
        ("in pdu P-DATA-TF 1: drop", "Echo Failed|timeout"),
        ('out pdu P-DATA-TF 1: edit "PDV/context id" set 63', "Echo Failed|Peer aborted"),
    ],
)
def test_a_fault_is_an_error_of_the_user_and_the_provider_goes_on(fault: str, told: str, folder: Path) -> None:
    with dcmtk_storescp(folder) as target, proxy(target, fault) as between:
        done = dcmtk("echoscu", "-td", 1, "-ta", 2, "127.0.0.1", between.port)
        assert any(one in done.stderr for one in told.split("|")), done.stderr
        strikes = [one for one in between.closed() if one["event"] == "strike"]
        assert [one["fault"] for one in strikes] == [1]
        assert dcmtk("echoscu", "127.0.0.1", target).returncode == 0
