"""Structured logs: each line is a JSON object, with the number of its association, and without patient data."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from io import StringIO
from typing import Any

import pydicom
import pytest

from dicos_proto.conversation import flows
from dicos_proto.data import datasets
from dicos_proto.registry import uids
from dicos_proto.tolerance import STRATOVAN
from dicos_proto.upper_layer.negotiation import propose
from dicos_proto.upper_layer.pdu_types import UserIdentity, UserIdentityType, UserInformation
from dicos_transports.blocking import connect
from dicos_transports.serving.logs import Correlation, JSONFormatter, json_handler
from tests.transports.connections import CONTEXTS, CT, EXPLICIT, PATIENCE, VERIFICATION
from tests.transports.servers import ADAPTERS, Talk, answer_all, serving

MINE = logging.getLogger("tests.handler")


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@contextmanager
def json_logs(level: int = logging.DEBUG, **options: Any) -> Iterator[StringIO]:
    """Collect everything that is logged, by any code."""
    stream, root = StringIO(), logging.getLogger()
    handler, before = json_handler(stream, **options), root.level
    root.addHandler(handler)
    root.setLevel(level)
    try:
        yield stream
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


def read(stream: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def ours(stream: StringIO) -> list[dict[str, Any]]:
    return [line for line in read(stream) if line["logger"] == "dicos.server"]


def test_every_line_is_about_an_association_by_its_number(adapter: str) -> None:
    with json_logs() as stream:
        with serving(adapter) as running:
            for _ in range(2):
                with connect(("127.0.0.1", running.port), CONTEXTS) as session:
                    session.echo()
        lines = ours(stream)
    numbers = [line["association"] for line in lines if line["event"] == "accepted"]
    assert len(set(numbers)) == 2
    for number in numbers:
        (accepted, closed) = [line for line in lines if line["association"] == number]
        assert (accepted["event"], closed["event"]) == ("accepted", "closed")
        assert accepted["peer"] == closed["peer"]
        assert accepted["text"].startswith(f"{accepted['peer']}: 'DICOS_PROTO' calls 'ANY-SCP': association accepted")
        assert (accepted["level"], closed["level"]) == ("INFO", "DEBUG")
        assert datetime.fromisoformat(accepted["time"]).utcoffset() is not None
    assert list(lines[0]) == ["time", "level", "logger", "event", "association", "peer", "text"]


def test_what_a_handler_logs_carries_the_number_of_its_association(adapter: str) -> None:
    async def talkative(talk: Talk) -> None:
        async for request in talk.requests():
            MINE.info("%s asks", talk.session.calling_aet)
            await talk.respond(request)

    with json_logs() as stream, serving(adapter, talkative) as running:
        with (
            connect(("127.0.0.1", running.port), CONTEXTS, calling_aet="ONE") as one,
            connect(("127.0.0.1", running.port), CONTEXTS, calling_aet="TWO") as two,
        ):
            for session in (one, two, one):
                session.echo()
        MINE.info("of nobody")
    lines = read(stream)
    number = {
        title: line["association"]
        for line in lines
        for title in ("ONE", "TWO")
        if line.get("event") == "accepted" and f"'{title}' calls" in line["text"]
    }
    said = [(line["text"], line.get("association")) for line in lines if line["logger"] == MINE.name]
    assert said == [
        ("ONE asks", number["ONE"]),
        ("TWO asks", number["TWO"]),
        ("ONE asks", number["ONE"]),
        ("of nobody", None),
    ]


def test_a_format_for_people_may_have_the_number() -> None:
    handler = logging.StreamHandler(stream := StringIO())
    handler.addFilter(Correlation())
    handler.setFormatter(logging.Formatter("[%(association)s] %(message)s", defaults={"association": "-"}))
    handler.handle(logging.makeLogRecord({"msg": "of nobody"}))
    handler.handle(logging.makeLogRecord({"msg": "of one", "association": 17}))
    assert stream.getvalue() == "[-] of nobody\n[17] of one\n"


# -- what is not said ----------------------------------------------------------------------------------------------

NAME, NUMBER, SECRET = "DOE^JANE", "PAT-4711", "open-sesame"


def _object() -> bytes:
    dataset = pydicom.Dataset()
    dataset.PatientName, dataset.PatientID = NAME, NUMBER
    dataset.SOPClassUID, dataset.SOPInstanceUID = CT, "1.2.3"
    return bytes(datasets.content(dataset, EXPLICIT))


def test_no_line_has_anything_of_a_patient_or_a_passcode(adapter: str) -> None:
    find = uids.STUDY_ROOT_FIND
    contexts = propose([VERIFICATION, CT, find], (EXPLICIT,))
    user = UserIdentity(type=UserIdentityType.USERNAME_AND_PASSCODE, primary=b"anna", secondary=SECRET.encode())
    query = pydicom.Dataset()
    query.PatientName = NAME

    async def quote(talk: Talk) -> None:
        """A handler that fails and quotes received data."""
        async for request in talk.requests():
            if request.name == "C-FIND-RQ" and talk.session.calling_aet == "BAD":
                raise ValueError(f"cannot find {NAME}")
            if request.name == "C-STORE-RQ":
                async for piece in talk.data(request):
                    assert NAME.encode() in bytes(piece)
            await talk.respond(request)

    with json_logs() as stream, serving(adapter, quote, tolerance=STRATOVAN) as running:
        where = ("127.0.0.1", running.port)
        with connect(where, contexts, user_information=UserInformation(user_identity=user)) as session:
            assert session.store(CT, "1.2.3", EXPLICIT, _object()).status == 0
            assert [*session.find(find, query)] == []
        with connect(where, contexts) as session, pytest.raises(RuntimeError):  # aborts in the middle of it
            session.store(CT, "1.2.3", EXPLICIT, _breaks_off())
        with connect(where, contexts, calling_aet="BAD") as session, pytest.raises(flows.AssociationAborted):
            list(session.find(find, query))
        with socket.create_connection(where, PATIENCE) as stranger:
            stranger.sendall(_object())
            while stranger.recv(1000):
                stranger.shutdown(socket.SHUT_WR)
    text = stream.getvalue()
    events = {line["event"] for line in ours(stream)}
    assert events >= {"accepted", "closed", "aborted", "failed"}
    for secret in (NAME, NUMBER, SECRET, "anna", "DOE"):
        assert secret not in text
    (failed,) = [line for line in ours(stream) if line["event"] == "failed"]
    assert failed["error"] == "ValueError"
    assert failed["at"].startswith(__file__)


def _breaks_off() -> Iterator[bytes]:
    yield _object()
    raise RuntimeError("the disk")


def test_details_have_to_be_asked_for() -> None:
    try:
        raise ValueError(f"cannot find {NAME}")
    except ValueError as error:
        record = logging.makeLogRecord({"msg": "failed", "exc_info": (ValueError, error, error.__traceback__)})
    assert NAME not in JSONFormatter().format(record)
    told = json.loads(JSONFormatter(details=True).format(record))
    assert NAME in told["traceback"]


def test_what_is_no_exception_is_left_out_and_any_text_is_one_line() -> None:
    record = logging.makeLogRecord({"msg": "two\nlines \u2028 and 'quotes\"", "exc_info": (None, None, None)})
    line = JSONFormatter().format(record)
    assert len(line.splitlines()) == 1
    assert json.loads(line)["text"] == "two\nlines \u2028 and 'quotes\""
    assert "error" not in json.loads(line)
    never_raised = logging.makeLogRecord({"msg": "x", "exc_info": (KeyError, KeyError("k"), None)})
    assert json.loads(JSONFormatter().format(never_raised))["error"] == "KeyError"


def test_answer_all_logs_nothing_itself(adapter: str) -> None:
    with json_logs() as stream, serving(adapter, answer_all) as running, connect(("127.0.0.1", running.port), CONTEXTS):
        pass
    assert {line["logger"] for line in read(stream)} <= {"dicos.server", "asyncio"}
