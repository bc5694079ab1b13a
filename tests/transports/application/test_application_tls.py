"""`Application` over TLS: what it accepts, what it asks for, and the associations of a C-MOVE."""

from __future__ import annotations

from typing import Any

import pytest

from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import propose
from dicos_transports.tls import ClientTLS, ServerTLS
from tests.transports.application.applications import (
    MOVE,
    Way,
    application,
    dataset,
    each_way,
    of_kind,
    plain_instance,
    running,
)
from tests.transports.certificates import hospital

pytest.importorskip("OpenSSL", reason="pyOpenSSL is not installed")

ROOT = (hospital().root.certificate,)
CLIENT = ClientTLS(trust=ROOT, identity=hospital().client)
SERVER = ServerTLS(identity=hospital().server, trust=ROOT)


@each_way
def test_it_is_asked_and_asks_over_tls(way: Way) -> None:
    third = application(way, "THIRD")
    kept: list[Any] = []
    third.on_store()(of_kind(way)(lambda asked: kept.append(asked.session.tls is not None)))
    app = application(way, "ARCHIVE", tls=CLIENT)
    app.on_move(MOVE)(of_kind(way)(lambda asked: [plain_instance(1)]))
    scanner = application(way, "SCANNER", tls=CLIENT)
    contexts = propose([uids.VERIFICATION, MOVE])
    with running(way, third, tls=SERVER) as server:
        app.destinations["THIRD"] = ("127.0.0.1", server.port)
        with (
            running(way, app, tls=SERVER) as archive,
            scanner.connect(("127.0.0.1", archive.port), contexts) as session,
        ):
            assert session.tls is not None
            assert session.echo().status == 0
            answers = session.move(MOVE, "THIRD", dataset(PatientID="1"))
            assert [one.completed for one in answers] == [1]
    assert kept == [True]
