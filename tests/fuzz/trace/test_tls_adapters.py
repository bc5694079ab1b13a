"""The TLS of our own adapters, carried by the tap: with the key log that OpenSSL writes, the trace shows the messages;
tshark decrypts the same bytes."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path

import pytest

from dicos_fuzz.captures import Recorder, Recording
from dicos_fuzz.captures.decrypting import Decryption
from dicos_fuzz.captures.events import Data
from dicos_fuzz.captures.keylog import KeyLog
from dicos_fuzz.trace.entries import CommandSaid, Over
from dicos_fuzz.trace.tracer import Tracer
from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import propose
from dicos_transports.blocking import connect
from dicos_transports.tls import PROFILES, ClientTLS, ServerTLS
from tests.fuzz.captures.shark import TSHARK, run
from tests.fuzz.relayed import Bed
from tests.fuzz.trace.saying import Kept
from tests.transports.certificates import hospital
from tests.transports.connections import server

ROOT = (hospital().root.certificate,)


@pytest.mark.parametrize(("profile", "about"), [("bcp195-rfc9325", "TLS 1.3"), ("extended", "TLS 1.2")])
def test_our_adapters_over_tls(profile: str, about: str, tmp_path: Path) -> None:
    log = bytearray()
    user = ClientTLS(trust=ROOT, identity=hospital().client, profile=PROFILES[profile])
    user.context.set_keylog_callback(lambda _, line: log.extend(line + b"\n"))
    with server(tls=ServerTLS(identity=hospital().server, trust=ROOT)) as running:
        bed = Bed(target=("127.0.0.1", running.port))
        try:
            with connect(("127.0.0.1", bed.address[1]), propose([uids.VERIFICATION]), tls=user) as session:
                for _ in range(3):
                    session.echo()
            bed.ends()
        finally:
            bed.close()
    keys = KeyLog()
    keys.add(bytes(log))
    live, filed = Kept(), Kept()
    stage, tracer = Decryption(keys), Tracer([live])
    file = BytesIO()
    recorder = Recorder(file)
    recorder.secrets(bytes(log))
    for event in bed.events:
        recorder.take(event)
        for plain in stage.feed(event):
            tracer.feed(plain)
    assert live.traces[0].connection.tls.startswith(about)
    assert live.marks() == []
    assert [one.command.NAME for one in live.of(CommandSaid)] == ["C-ECHO-RQ", "C-ECHO-RSP"] * 3
    assert live.of(Over)[0].outcome == "released"
    streams = {True: b"", False: b""}
    tracer = Tracer([filed])
    for event in Recording(BytesIO(file.getvalue()), "x").events():
        tracer.feed(event)
        if isinstance(event, Data):
            streams[event.by_client] += event.data
    assert [type(one) for one in filed.entries] == [type(one) for one in live.entries]
    if TSHARK is not None:
        path = tmp_path / "tls.pcapng"
        path.write_bytes(file.getvalue())
        found = run(path, "-o", "tls.desegment_ssl_records:TRUE", "-q", "-z", "follow,tls,raw,0", "-d",
                    f"tcp.port=={running.port},tls")  # fmt: skip
        lines = [line.strip() for line in found.splitlines() if re.fullmatch(r"\t?[0-9a-f]+", line)]
        assert sum(len(line) // 2 for line in lines) == sum(map(len, streams.values()))
