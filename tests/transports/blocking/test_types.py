"""The types that a user's program has of the blocking session and its requests, under `mypy --strict`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]

PROGRAM = """
from collections.abc import Iterable
from typing import assert_type

from dicos_proto import dimse
from dicos_proto.services.storage import Instance, Outcome
from dicos_transports.blocking import FindRequest, GetRequest, MoveRequest, Session, StoreRequest, connect
from dicos_transports.files import Stored, inspect, send_file, store_into
from pathlib import Path


def handle(session: Session) -> None:
    for request in session:
        match request:
            case StoreRequest():
                assert_type(store_into(Path("."), request), Stored)
            case FindRequest():
                assert_type(request.match(b""), bool)
                assert_type(request.end(), int)
            case GetRequest():
                assert_type(request.send([], 0), int)
            case MoveRequest():
                assert_type(request.send(session, [], 0), int)
            case _:
                request.respond()


def use(instances: Iterable[Instance]) -> None:
    with connect(("127.0.0.1", 104), ()) as session:
        for outcome in session.store_many(instances):
            assert_type(outcome, Outcome)
        assert_type(session.echo(), dimse.DimseResponse)
        assert_type(session.store("1", "2", "3", b""), dimse.DimseResponse)
        assert_type(send_file(session, inspect(Path("a"))), dimse.DimseResponse)
"""


@pytest.mark.slow  # a run of mypy
def test_a_program_of_a_user_has_types(tmp_path: Path) -> None:
    pytest.importorskip("mypy.api", reason="mypy is not installed")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file=", str(program)]
    path = f"{CHECKOUT}:{CHECKOUT / 'transports'}"
    done = subprocess.run(
        [*command, f"--cache-dir={tmp_path}"], cwd=CHECKOUT, capture_output=True, text=True, env={"MYPYPATH": path}
    )
    assert (done.stdout, done.stderr) == ("", "")
