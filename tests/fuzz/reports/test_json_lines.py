"""The report as JSON lines: each line one object with an event, in ASCII, for any text."""

from __future__ import annotations

import json

from dicos_fuzz.finding import signature
from dicos_fuzz.reports import json_lines
from tests.fuzz.findings.examples import FINDING, PATIENT
from tests.fuzz.reports.examples import REPORT
from tests.fuzz.reports.test_html import hostile


def test_a_program_finds_every_part() -> None:
    found = [json.loads(line) for line in json_lines.lines(REPORT)]
    names = [one["event"] for one in found]
    assert names[0] == "campaign"
    assert names[-1] == "summary"
    assert [names.count(name) for name in ("family", "finding", "unconfirmed", "masked", "unmet", "difference")] == [
        3,
        4,
        1,
        1,
        1,
        1,
    ]
    assert found[-1]["findings"] == {"critical": 1, "high": 1, "medium": 1, "low": 1}
    assert sum(one["times"] for one in found if one["event"] == "transition" and one["after"] == "Sta13") == 4516
    first = next(one for one in found if one["event"] == "finding")
    assert first["id"] == FINDING.id
    assert first["signature"] == signature(FINDING.violation)
    assert (first["shown"], first["tried"], first["steps"], first["bytes"], first["before"]) == (3, 5, 2, 448, 1)
    assert first["reproducer"] == f"found/{FINDING.id}.json"
    assert first["transcript"][0] == "    0.000 s  connection opened"


def test_any_text_is_ascii_on_one_line_and_no_contents_are_in_it() -> None:
    for line in (*json_lines.lines(hostile()), json.dumps(json_lines.finding_event(FINDING, None))):
        assert line.isascii()
        assert line.isprintable()
        json.loads(line)
        assert PATIENT.decode() not in line
        assert PATIENT.hex() not in line
