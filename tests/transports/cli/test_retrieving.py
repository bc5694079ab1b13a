"""The summaries of `getscu` and `movescu`: a true sentence, and the exit status."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

import pytest

from dicos_proto.dimse.types import CMoveResponse
from dicos_proto.registry.uids import STUDY_ROOT_MOVE
from dicos_proto.services.retrieve import Counters, Retrieved
from dicos_transports.cli.output import Output
from dicos_transports.cli.retrieving import sum_up

NONE = Counters()


@pytest.mark.parametrize(
    ("status", "counters", "counted", "came", "code", "text"),
    [
        (0, Counters(completed=4), True, None, 0, "moved 4 objects in 1.50 s"),
        (0, Counters(completed=4), True, 4, 0, "moved 4 objects in 1.50 s"),
        (0, Counters(remaining=3, completed=1), False, None, 0,
         "moved 1 object in 1.50 s; the peer gave no final counts"),
        (0, Counters(remaining=3, completed=1), False, 4, 0,
         "moved 4 objects in 1.50 s; the peer gave no final counts"),
        (0, NONE, False, None, 0, "moved in 1.50 s; the peer gave no counts"),
        (0, NONE, False, 0, 0, "moved 0 objects in 1.50 s; the peer gave no counts"),
        (0, Counters(completed=1, failed=1), False, None, 1,
         "moved 1 object in 1.50 s, 1 failed; the peer gave no final counts"),
        (0xB000, NONE, False, None, 1, "moved in 1.50 s; the peer gave no counts; 0xB000"),
        (0xB000, Counters(completed=3, warning=1), True, None, 0,
         "moved 3 objects in 1.50 s, 1 with a warning; 0xB000"),
        (0xFE00, Counters(remaining=3, completed=1), False, None, 1,
         "moved 1 object in 1.50 s; the peer gave no final counts; 0xFE00"),
        (0xFE00, Counters(remaining=3, completed=1), True, None, 1, "moved 1 object in 1.50 s, 3 remaining; 0xFE00"),
        (0xA801, NONE, False, None, 1, "moved 0 objects in 1.50 s; 0xA801"),
        (0xA702, Counters(completed=1, failed=2), True, None, 1, "moved 1 object in 1.50 s, 2 failed; 0xA702"),
    ],
)  # fmt: skip
def test_sums(
    status: int,
    counters: Counters,
    counted: bool,
    came: int | None,
    code: int,
    text: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    response = CMoveResponse(message_id_being_responded_to=1, status=status)
    result = Retrieved(response=response, counters=counters, instances=(), failed=None, faults=(), counted=counted)
    options = Namespace(debug=False, verbose=False, quiet=False, json=True)
    assert sum_up(Output(options), result, STUDY_ROOT_MOVE, "moved", 1.5, came) == code
    said = capsys.readouterr()
    assert said.err.startswith(text)
    assert status or said.err == f"{text}\n"
    event: dict[str, Any] = json.loads(said.out)
    assert (event["status"], event["counted"], event["came"]) == (status, counted, came)
