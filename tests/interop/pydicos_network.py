"""pyDICOS' client and server as processes of their own, for the tests of the network.

Its wheel is for CPython 3.8 to 3.11 on Linux x86_64: `tools/peers.sh` puts it into a virtual environment of its own.
The scripts that drive it lie beside this file. All objects are synthetic.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.interop.peers import PATIENCE, free_port
from tests.interop.pydicos_peer import PYTHON

HERE = Path(__file__).parent
needs_pydicos = pytest.mark.skipif(not PYTHON.exists(), reason=f"pyDICOS is not installed: no {PYTHON}")


class Log:
    """The output of a run of its server, at its end."""

    text = ""

    def is_clean(self) -> bool:
        """Returns True if it reports no error, and was not stopped by one."""
        return "Error" not in self.text and "errorlog: ''" in self.text and "STOPPED" in self.text


@contextmanager
def their_server(folder: Path, **options: Any) -> Iterator[tuple[int, Log]]:
    """Run its server on a new port: it binds without SO_REUSEADDR, and does not report a failure."""
    port, path, log = free_port(), folder / "pydicos.log", Log()
    words = [PYTHON, HERE / "pydicos_receiver.py", str(port), json.dumps(options)]
    with path.open("w") as output, subprocess.Popen(words, stdout=output, stderr=output) as process:
        try:
            until = time.monotonic() + PATIENCE
            while "READY" not in path.read_text() and process.poll() is None and time.monotonic() < until:
                time.sleep(0.02)  # there is no event to wait for
            yield port, log
            process.send_signal(2)
            process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()
            log.text = path.read_text(errors="replace")


def their_client(port: int, folder: Path, **plan: Any) -> list[dict[str, Any]]:
    """Run its client to its end. Returns what it said: {"what", "done", "log", ...} in order."""
    plan.setdefault("syntax", "LittleEndianExplicit")
    done = subprocess.run(
        [PYTHON, HERE / "pydicos_scanner.py", str(port), str(folder), json.dumps(plan)],
        capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def outcomes(said: list[dict[str, Any]], what: str) -> list[bool]:
    """Returns the outcomes of one kind of thing that its client did."""
    return [one["done"] for one in said if one["what"] == what]
