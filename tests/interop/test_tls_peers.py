"""TLS with other implementations, both ways: the openssl command, DCMTK's tools, pynetdicom with Python's ssl."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from pathlib import Path
from typing import IO

import pytest

from dicos_proto.association import Association
from dicos_proto.conversation import flows
from dicos_proto.conversation.exchange import Exchange, response_to
from dicos_proto.conversation.performing import next_request
from dicos_proto.upper_layer.negotiation import UNCOMPRESSED
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import ReleaseRequest, ReleaseResponse
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports.blocking import connect
from dicos_transports.tls import EXTENDED, NON_DOWNGRADING, ClientTLS, Profile, ServerTLS
from tests.interop.peers import (
    PATIENCE,
    contents,
    dcmtk,
    dcmtk_server,
    digest,
    files_in,
    free_port,
    needs_dcmtk,
    needs_pynetdicom,
    our_provider,
    ours,
    pynetdicom_provider,
    pynetdicom_user,
    shipped_files,
)
from tests.transports.certificates import Files, hospital, write_all
from tests.transports.connections import ASKED, CONTEXTS, POLICY, Lines, server

pytestmark = pytest.mark.interop

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command is not installed")

ROOT = (hospital().root.certificate,)
SMALL = next(file for file in shipped_files() if file.path.name == "CT_small.dcm")
PROFILES = pytest.mark.parametrize("profile", [NON_DOWNGRADING, EXTENDED], ids=lambda profile: profile.name)


@pytest.fixture
def device(tmp_path: Path) -> Files:
    return write_all(tmp_path, hospital().client, stem="device")


@pytest.fixture
def pacs(tmp_path: Path) -> Files:
    return write_all(tmp_path, hospital().rsa_server)  # DCMTK's older profiles have suites for RSA keys only


def options(files: Files) -> list[object]:
    return ["--tls-cert", files.certificate, "--tls-key", files.key, "--tls-ca", files.ca]


# -- openssl -------------------------------------------------------------------------------------------------------


def s_client(port: int, files: Files, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-cert", str(files.certificate), "-key",
         str(files.key), "-CAfile", str(files.ca), "-verify_return_error", *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def read_pdu(stream: IO[bytes] | None) -> bytes:
    assert stream is not None
    header = stream.read(6)
    return header + stream.read(int.from_bytes(header[2:]))


@needs_openssl
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_request_by_s_client(version: str, device: Files, lines: Lines) -> None:
    config = ServerTLS(identity=hospital().server, trust=ROOT)
    with server(tls=config) as running, s_client(running.port, device, version, "-quiet") as process:
        assert process.stdin is not None
        process.stdin.write(ASKED)
        process.stdin.flush()
        assert read_pdu(process.stdout)[0] == 2
        process.stdin.write(encode(ReleaseRequest()))
        process.stdin.flush()
        assert read_pdu(process.stdout) == encode(ReleaseResponse())
        process.terminate()  # it would wait for the server, which waits for it
    assert lines.texts() == []


@needs_openssl
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("viewer.example", "CN=viewer"),
        ("EAR.clinics.example", "CN=clinics"),
        ("pacs.example", "CN=pacs"),
        ("", "CN=pacs"),
    ],
)
def test_s_client_gets_the_certificate_of_the_name_it_asks_for(
    version: str, asked: str, wanted: str, device: Files
) -> None:
    by_name = {
        "viewer.example": hospital().root.issue("viewer", "viewer.example"),
        "*.clinics.example": hospital().root.issue("clinics", "*.clinics.example"),
    }
    name = ["-servername", asked, "-verify_hostname", asked] if asked else ["-noservername"]
    config = ServerTLS(identity=hospital().server, by_name=by_name, trust=ROOT)
    with server(tls=config) as running, s_client(running.port, device, version, *name) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        told = process.stdout.read().decode()
    assert f"subject={wanted}" in told.replace("CN = ", "CN=")
    assert "Verify return code: 0 (ok)" in told


@needs_openssl
def test_a_session_of_s_client_is_not_resumed_under_another_name(tmp_path: Path, device: Files) -> None:
    by_name = {name: hospital().root.issue(name, name) for name in ("viewer.example", "archive.example")}
    kept = tmp_path / "session"
    config = ServerTLS(identity=hospital().server, by_name=by_name, trust=ROOT)
    found = []
    with server(tls=config) as running:
        for name in ("viewer.example", "viewer.example", "archive.example"):
            words = ["-tls1_2", "-servername", name, *(["-sess_in", str(kept)] if kept.exists() else [])]
            with s_client(running.port, device, *words, "-sess_out", str(kept)) as process:
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.close()
                told = process.stdout.read().decode()
            found.append("Reused, " in told)
    assert found == [False, True, False]


def _until(stream: IO[bytes], wanted: bytes) -> bytes:
    seen = b""
    while wanted not in seen:
        more = stream.read(1)
        assert more, seen
        seen += more
    return seen


@needs_openssl
def test_keys_are_updated_in_the_middle(device: Files, lines: Lines) -> None:
    """`K` on a line asks s_client to update its key, and the peer to do so as well."""
    with server(tls=ServerTLS(identity=hospital().server, trust=ROOT)) as running:
        with s_client(running.port, device, "-tls1_3", "-msg") as process:
            assert process.stdin is not None
            assert process.stdout is not None
            _until(process.stdout, b"---\nread R BLOCK")
            process.stdin.write(b"K\n")
            process.stdin.flush()
            seen = _until(process.stdout, b"KeyUpdate")
            assert b">>>" in seen
            process.stdin.write(ASKED + b"\n")
            process.stdin.flush()
            _until(process.stdout, b"<<< TLS 1.3, Handshake [length 0005], KeyUpdate")
            process.kill()
        lines.wait_for("association accepted")
    assert not any("TLS handshake" in text for text in lines.texts())


@needs_openssl
def test_renegotiation_is_refused(device: Files, lines: Lines) -> None:
    """`R` on a line asks s_client to negotiate again, in TLS 1.2."""
    with server(tls=ServerTLS(identity=hospital().server, trust=ROOT)) as running:
        with s_client(running.port, device, "-tls1_2", "-msg") as process:
            assert process.stdin is not None
            assert process.stdout is not None
            _until(process.stdout, b"---\n")
            process.stdin.write(b"R\n")
            process.stdin.flush()
            _until(process.stdout, b"warning no_renegotiation")
            process.kill()
        with connect(("127.0.0.1", running.port), CONTEXTS, tls=client()) as session:
            assert session.echo().status == 0


def client() -> ClientTLS:
    return ClientTLS(trust=ROOT, identity=hospital().client)


@needs_openssl
@pytest.mark.parametrize(("word", "protocol"), [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")])
def test_an_association_through_s_server(word: str, protocol: str, pacs: Files, device: Files, tmp_path: Path) -> None:
    """OpenSSL's server accepts data and answers nothing: the test answers by hand, over a pipe."""
    port = free_port()
    process = subprocess.Popen(
        ["openssl", "s_server", "-accept", str(port), "-cert", str(pacs.certificate), "-key", str(pacs.key),
         "-CAfile", str(pacs.ca), "-Verify", "1", "-quiet", "-naccept", "1", word],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        provider = threading.Thread(target=_provide, args=(process,), daemon=True)
        provider.start()
        sock = _connected(port)
        config = ClientTLS(trust=ROOT, identity=hospital().client, server_hostname="pacs.example")
        with connect(sock, CONTEXTS, tls=config) as session:
            assert session.tls is not None
            assert session.tls.protocol == protocol
            assert session.echo().status == 0
        provider.join(PATIENCE)
    finally:
        process.kill()
        process.communicate()


def _connected(port: int) -> socket.socket:
    """Connect to a server that serves only one connection, so the test cannot probe it first."""
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            threading.Event().wait(0.01)


def _provide(process: subprocess.Popen[bytes]) -> None:
    """Our engine at the ends of the pipes."""
    assert process.stdin is not None
    assert process.stdout is not None
    engine = Association.acceptor()

    def converse() -> flows.Flow[None]:
        request = yield from flows.await_request(engine)
        yield from flows.answer_request(engine, request, POLICY)
        while (start := (yield from next_request(Exchange(engine)))) is not None:
            engine.send(response_to(start, 0))

    for need in converse():
        process.stdin.write(b"".join(engine.data_to_send()))
        process.stdin.flush()
        if need is flows.Need.INPUT:
            data = process.stdout.read1(1 << 16)  # type: ignore[attr-defined]
            engine.receive_data(data) if data else engine.receive_eof()


# -- DCMTK ---------------------------------------------------------------------------------------------------------


def dcmtk_tls(files: Files, *words: object) -> list[object]:
    return ["+tls", files.key, files.certificate, "+cf", files.ca, *words]


_DCMTK_PROFILE = {"non-downgrading": "+py", "extended": "+pz"}


@needs_dcmtk
@PROFILES
def test_dcmtk_stores_to_us(profile: Profile, pacs: Files, device: Files, folder: Path) -> None:
    words = ["--tls-profile", profile.name]
    with our_provider("storescp", 0, "-od", folder, *options(pacs), *words) as run:
        mine = dcmtk_tls(device, _DCMTK_PROFILE[profile.name])
        assert dcmtk("echoscu", *mine, "127.0.0.1", run.port).returncode == 0
        sent = dcmtk("storescu", *mine, "127.0.0.1", run.port, SMALL.path)
        assert sent.returncode == 0, sent.stderr
    (stored,) = files_in(folder).values()
    assert contents(stored.path) == contents(SMALL.path)


@needs_dcmtk
@PROFILES
def test_we_store_to_dcmtk(profile: Profile, pacs: Files, device: Files, folder: Path, tmp_path: Path) -> None:
    port = free_port()
    words = dcmtk_tls(pacs, _DCMTK_PROFILE[profile.name])
    with dcmtk_server(port, tmp_path / "log", "storescp", "+B", "-od", folder, *words, port):
        done = ours("storescu", "-v", *options(device), "--tls-profile", profile.name, "127.0.0.1", port, SMALL.path)
        assert done.returncode == 0, done.stderr
        assert f"{'TLSv1.2' if profile is EXTENDED else 'TLSv1.3'}, " in done.stderr
    (stored,) = files_in(folder).values()
    assert digest(stored) == digest(SMALL)


@needs_dcmtk
def test_dcmtk_without_a_certificate_that_we_trust(pacs: Files, tmp_path: Path, lines: Lines) -> None:
    other = write_all(tmp_path, hospital().stranger, stem="other")
    with server(tls=ServerTLS(identity=hospital().rsa_server, trust=ROOT)) as running:
        assert dcmtk("echoscu", *dcmtk_tls(other), "127.0.0.1", running.port).returncode != 0
        lines.wait_for("TLS handshake: the peer's certificate ('CN=pacs') is not trusted")


@needs_dcmtk
def test_plain_dcmtk_on_our_tls_port_and_back(
    pacs: Files, device: Files, folder: Path, tmp_path: Path, lines: Lines
) -> None:
    with server(tls=ServerTLS(identity=hospital().rsa_server, trust=ROOT)) as running:
        assert dcmtk("echoscu", "127.0.0.1", running.port).returncode != 0
        lines.wait_for("TLS handshake: plain DICOM (A-ASSOCIATE-RQ), not TLS")
    port = free_port()
    with dcmtk_server(port, tmp_path / "log", "storescp", "-od", folder, port):
        done = ours("echoscu", *options(device), "127.0.0.1", port)
        assert done.returncode == 3
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: TLS handshake: ")


# -- pynetdicom ----------------------------------------------------------------------------------------------------


def stdlib(files: Files) -> list[str]:
    return [str(files.certificate), str(files.key), str(files.ca)]


@needs_pynetdicom
def test_pynetdicom_asks_us(pacs: Files, device: Files, lines: Lines) -> None:
    config = ServerTLS(identity=hospital().server, trust=ROOT)
    with server(tls=config, policy=AcceptPolicy(other_contexts=UNCOMPRESSED)) as running:
        told = pynetdicom_user(running.port, echoes=2, tls=stdlib(device))
        assert [one["statuses"] for one in told["echoes"]] == [[0, 0]]
        lines.wait_for("peer: 'CN=scanner-1'")
    assert lines.texts() == []


@needs_pynetdicom
def test_we_ask_pynetdicom(pacs: Files, device: Files) -> None:
    with pynetdicom_provider(tls=stdlib(pacs), syntaxes=[SMALL.transfer_syntax]) as told:
        done = ours("storescu", "-v", *options(device), "127.0.0.1", told.port, SMALL.path)
        assert done.returncode == 0, done.stderr
        assert "TLSv1.3, " in done.stderr
