"""Data of peers and exceptions of handlers in the library's logs: one line per record, safe for terminals.

The same attack as on the command, on servers and applications of each adapter, and with hostile certificates.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dicos_proto.conversation.flows import AssociationError
from dicos_proto.dissect import Dissector
from dicos_proto.registry import uids
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports.addresses import show_address
from dicos_transports.application.asked import Asked, StoreAsked
from dicos_transports.blocking import connect
from dicos_transports.serving import ServerLimits
from dicos_transports.serving.logs import JSONFormatter
from dicos_transports.tls import ClientTLS, ServerTLS
from tests.transports.application.applications import WAYS, Way, application, of_kind, running
from tests.transports.certificates import CA
from tests.transports.cli.raw_peers import request, user
from tests.transports.cli.test_hostile_text import CONTEXTS as CONTEXTS_OF_ALL
from tests.transports.cli.test_hostile_text import HOSTILE, MESSAGES, REQUESTS, attack
from tests.transports.connections import CONTEXTS, Lines, server

TEXT = HOSTILE.decode("utf-8", "surrogateescape")
QUICK = Timeouts(artim=1, association=1, message=1, pdu=1, idle=2)
ACCEPTING = AcceptPolicy(other_contexts=uids.TRANSFER_SYNTAXES)


@contextmanager
def logged() -> Iterator[Lines]:
    """Collect everything that the library logs."""
    lines, loggers = Lines(), [logging.getLogger("dicos"), logging.getLogger("dicos.server")]
    loggers.append(logging.getLogger("dicos.application"))
    before = [(logger, logger.level) for logger in loggers]
    for logger in loggers[1:]:
        logger.addHandler(lines)
        logger.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        for logger, level in before:
            logger.removeHandler(lines)
            logger.setLevel(level)


def check(lines: Lines) -> None:
    assert lines.records
    formatter, plain = JSONFormatter(details=True), logging.Formatter("%(name)s: %(message)s")
    for record in lines.records:
        _, *rest = plain.format(record).split("\n")
        for line in rest:  # lines of a traceback
            assert line.isprintable(), ascii(line)
            assert not line or line.startswith((" ", "Traceback ", "During ", "The above ", "ValueError", "dicos_"))
        text = record.getMessage()
        assert text.isprintable(), ascii(text)
        assert len(text) < 4000
        for name in ("peer", "event"):
            assert str(getattr(record, name, "")).isprintable()
        line = formatter.format(record)
        assert line.isascii()
        assert line.isprintable()
        assert isinstance(json.loads(line), dict)


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_records_of_servers_and_applications(way: Way) -> None:
    app = application(way)

    @app.on_store()
    @of_kind(way)
    def store(asked: StoreAsked) -> None:
        raise ValueError(TEXT)

    @app.on_echo()
    @of_kind(way)
    def echo(asked: Asked) -> None:
        raise AssociationError(TEXT)

    with logged() as lines, running(way, app, timeouts=QUICK, server_limits=ServerLimits(per_address=100)) as serving:
        attack(serving.port)
    check(lines)
    assert any("failed: ValueError" in text for text in lines.texts())


def test_records_of_a_handler_that_raises() -> None:
    def handle(session: Any) -> None:
        for _ in session:
            raise ValueError(TEXT)

    with logged() as lines, server(handle, timeouts=QUICK, policy=ACCEPTING) as serving:
        with user(serving.port, request(CONTEXTS_OF_ALL)) as raw:
            MESSAGES["patient"](raw)
            raw.receive()
        lines.wait_for("the handler failed")
    check(lines)


@pytest.mark.parametrize("number", range(len(REQUESTS)))
def test_dissected_lines(number: int) -> None:
    """The lines of `-d`, printed by any program."""
    one = Dissector()
    for line in (*one.feed(list(REQUESTS.values())[number]), *one.end()):
        assert line.isprintable(), ascii(line)
        assert len(line) < 4000


@pytest.mark.parametrize("address", [("\x1b[31m\n", 1), "/tmp/\x1b\n\u202e\udcff", b"/tmp/\x9b", "\0\x1b"])
def test_addresses(address: object) -> None:
    assert show_address(address).isprintable()


# -- certificates ------------------------------------------------------------------------------------------------------

SUBJECTS = ["\x1b[31m\r\nFORGED\x9b\u202e%s{}", "x\x00y", "\x1b" * 60]
NAMES = ["a\x1b[31m.example", "b\nFORGED.example", "c%s{}.example"]


@pytest.mark.parametrize("subject", SUBJECTS)
def test_names_in_certificates(subject: str) -> None:
    """Hostile names in client, server and CA certificates, accepted or not, are never shown unescaped."""
    own, other = CA(subject), CA(subject)
    identity = own.issue(subject, *NAMES)
    tls = ServerTLS(identity=identity, trust=(own.certificate,))
    faults: list[str] = []
    with logged() as lines, server(tls=tls, timeouts=QUICK) as serving:
        where = ("127.0.0.1", serving.port)
        for client in (
            ClientTLS(trust=(own.certificate,), identity=identity),  # the name is wrong
            ClientTLS(trust=(other.certificate,), identity=identity),
            ClientTLS(trust=(own.certificate,), identity=other.issue(subject), check_hostname=False),
            ClientTLS(trust=(own.certificate,), identity=identity, server_hostname="x\x1b\n"),
        ):
            with pytest.raises(Exception) as caught:  # noqa: PT011  other tests check which one
                connect(where, CONTEXTS, tls=client, timeouts=QUICK).abort()
            faults.append(str(caught.value))
        with connect(where, CONTEXTS, tls=ClientTLS(trust=(own.certificate,), identity=identity, check_hostname=False)):
            pass
        lines.wait_for("association accepted")
    check(lines)
    for fault in faults:
        assert fault.isprintable(), ascii(fault)
        assert len(fault) < 4000


def test_the_stream_of_a_json_handler_is_lines_of_ascii() -> None:
    from dicos_transports.serving.logs import json_handler

    stream = io.StringIO()
    handler = json_handler(stream, details=True)
    try:
        raise ValueError(TEXT)
    except ValueError as error:
        record = logging.LogRecord(
            TEXT, logging.ERROR, "x", 1, "%s: %s", (TEXT, error), (ValueError, error, error.__traceback__)
        )
    record.peer, record.event, record.association = TEXT, TEXT, object()
    handler.handle(record)
    (line,) = stream.getvalue().splitlines()
    assert line.isascii()
    assert line.isprintable()
    assert TEXT in json.loads(line)["text"]
