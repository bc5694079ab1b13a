"""The TLS options: both sides of each command over TLS, and one line with the right exit status for each fault."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dicos_transports.blocking import MoveRequest, Session, connect
from dicos_transports.files.part10 import inspect
from dicos_transports.files.sending import plan, prepare
from dicos_transports.tls import ClientCertificate, ClientTLS, ServerTLS
from tests.transports.certificates import PASSWORD, Files, hospital, write_all, write_crls, write_key
from tests.transports.cli.commands import ENVIRONMENT, deaf_port, dicom_file, dicos, provider
from tests.transports.connections import server

OK, USAGE, NO_ASSOCIATION = 0, 2, 3
ROOT = (hospital().root.certificate,)
SERVER = ServerTLS(identity=hospital().server, trust=ROOT)
NONE = ClientCertificate.NONE


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


@pytest.fixture
def scanner(tmp_path: Path) -> Files:
    return write_all(tmp_path, hospital().client, stem="client")


@pytest.fixture
def pacs(tmp_path: Path) -> Files:
    return write_all(tmp_path, hospital().server)


def of(files: Files) -> tuple[object, ...]:
    return ("--tls-cert", files.certificate, "--tls-key", files.key, "--tls-ca", files.ca)


@pytest.mark.usefixtures("transport")
def test_store_and_echo_with_certificates_on_both_sides(scanner: Files, pacs: Files, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with provider("storescp", "-od", tmp_path / "in", *of(pacs), "-v") as scp:
        assert scp.listening["tls"] is True
        sent = dicos("storescu", "-v", "--json", *of(scanner), "127.0.0.1", scp.port, dicom_file(tmp_path / "a"))
        asked = dicos("echoscu", "-v", *of(scanner), "--tls-profile", "extended", "localhost", scp.port)
        end = scp.stop()
    assert (sent.status, asked.status, end.status) == (OK, OK, OK)
    assert "TLSv1.2, ECDHE-ECDSA-AES256-GCM-SHA384; peer: 'CN=pacs'" in asked.err
    (tls,) = sent.named("tls")
    assert (tls["protocol"], tls["subject"], tls["verified"]) == ("TLSv1.3", "CN=pacs", True)
    assert "over TLS as 'ANY-SCP'" in end.err
    assert "peer: 'CN=scanner-1'" in end.err
    assert len(list((tmp_path / "in").iterdir())) == 1


def test_a_certificate_that_is_not_good_enough_is_not_tried_again(scanner: Files, tmp_path: Path) -> None:
    with server(tls=ServerTLS(identity=hospital().stranger, trust=ROOT)) as running:
        words = ("--retries", 3, "127.0.0.1", running.port, dicom_file(tmp_path / "a"))
        result = dicos("storescu", "--json", *of(scanner), *words)
    assert result.status == NO_ASSOCIATION
    assert result.named("retry") == []


@pytest.mark.parametrize("revoked", [False, True])
def test_revocation_lists_of_both_sides(revoked: bool, scanner: Files, pacs: Files, tmp_path: Path) -> None:
    root, one = hospital().root, hospital()
    for user_list, provider_list, said in (
        (root.crl(*[one.server.certificate] * revoked), root.crl(), "('CN=pacs') is revoked: its serial number"),
        (root.crl(), root.crl(*[one.client.certificate] * revoked), ""),
    ):
        ours, theirs = write_crls(tmp_path / "ours.crl", user_list), write_crls(tmp_path / "theirs.crl", provider_list)
        with provider("echoscp", *of(pacs), "--tls-crl", theirs, "-v") as scp:
            result = dicos("echoscu", *of(scanner), "--tls-crl", ours, "localhost", scp.port)
            end = scp.stop()
        assert result.status == (NO_ASSOCIATION if revoked else OK), result.err
        if revoked:
            assert said in result.err if said else "('CN=scanner-1') is revoked" in end.err


def test_a_key_that_others_can_read_is_told_once(scanner: Files, pacs: Files) -> None:
    scanner.key.chmod(0o644)
    with provider("echoscp", *of(pacs)) as scp:
        result = dicos("echoscu", "-q", *of(scanner), "localhost", scp.port)
        end = scp.stop()
    assert result.status == OK
    assert result.err == (
        f"WARNING: {scanner.key}: other users of this host can access the private key in it (mode 0644); "
        "chmod 600 restricts it to its owner\n"
    )
    assert "WARNING" not in end.err


def test_a_password_that_others_can_read_is_told(scanner: Files, pacs: Files, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("unused, for the key has none\n")
    file.chmod(0o640)
    with provider("echoscp", *of(pacs)) as scp:
        result = dicos("echoscu", "-q", *of(scanner), "--tls-password-file", file, "localhost", scp.port)
    assert f"WARNING: {file}: other users of this host can access the password in it (mode 0640)" in result.err


def test_what_is_moved_over_tls_is_received_over_tls(scanner: Files, tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    (tmp_path / "out").mkdir()
    file = inspect(dicom_file(tmp_path / "a"))
    client = ClientTLS(identity=hospital().server, trust=ROOT, server_hostname="scanner")
    ports: list[int] = []

    def handle(session: Session) -> None:
        for request in session:
            assert isinstance(request, MoveRequest)
            (batch,) = plan([file])
            asked = replace(client, verify=False)
            with connect(("127.0.0.1", ports[0]), batch.contexts, called_aet="DICOS_PROTO", tls=asked) as third:
                request.send(third, (prepare(third.association, file),), 1)

    ports.append(free_port())
    with server(handle, tls=SERVER) as running:
        words = ("127.0.0.1", running.port, "-S", "-L", "STUDY", "-k", "StudyInstanceUID=1", "--store-port", ports[0])
        result = dicos("movescu", "-v", *of(scanner), *words, "-od", tmp_path / "out")
        plain = dicos("movescu", "--tls-ca", scanner.ca, *words, "-od", tmp_path / "out")
    assert result.status == OK, result.err
    assert "received 1 object" in result.err
    assert "association accepted, 2 of 2 contexts, TLSv1.3" in result.err
    assert plain.status == USAGE
    assert "a provider over TLS needs a certificate" in plain.err


def test_what_debug_shows_is_what_is_inside_tls(scanner: Files) -> None:
    with server(tls=SERVER) as running:
        result = dicos("echoscu", "-d", *of(scanner), "127.0.0.1", running.port)
    assert result.status == OK
    assert "A-ASSOCIATE-RQ" in result.err


@pytest.mark.parametrize("how", ["file", "environment"])
def test_a_pkcs12_file_whose_password_is_never_an_argument(how: str, scanner: Files, tmp_path: Path) -> None:
    words: tuple[object, ...] = ("--tls-pfx", scanner.pfx, "--tls-ca", scanner.ca)
    environment = dict(ENVIRONMENT)
    if how == "file":
        (tmp_path / "password").write_bytes(PASSWORD + b"\nsecond line\n")
        words += ("--tls-password-file", tmp_path / "password")
    else:
        environment["DICOS_TLS_PASSWORD"] = PASSWORD.decode()
    with server(tls=SERVER) as running:
        result = dicos_in(environment, "echoscu", *words, "127.0.0.1", running.port)
    assert result[0] == OK, result


def dicos_in(environment: dict[str, str], *words: object) -> tuple[int, str]:
    import subprocess

    from tests.transports.cli.commands import COMMAND, TIMEOUT

    done = subprocess.run(
        [*COMMAND, *map(str, words)], env=environment, text=True, capture_output=True, timeout=TIMEOUT, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize("words", [(), ("-q",), ("--json",)])
def test_without_verification_it_works_and_says_so_loudly(words: tuple[str, ...]) -> None:
    config = ServerTLS(identity=hospital().stranger, trust=ROOT, client_certificates=NONE)
    with server(tls=config) as running:
        result = dicos("echoscu", *words, "--tls-no-verify", "127.0.0.1", running.port)
    assert result.status == OK
    assert "WARNING: the server's certificate is not verified" in result.err
    if words == ("--json",):
        (tls,) = result.named("tls")
        assert tls["verified"] is False


def test_a_provider_that_lets_anybody_in(pacs: Files) -> None:
    with provider("echoscp", "--tls-cert", pacs.certificate, "--tls-key", pacs.key, "--tls-no-verify") as scp:
        assert dicos("echoscu", "--tls-ca", pacs.ca, "127.0.0.1", scp.port).status == OK
        assert "WARNING: clients are not asked for certificates" in scp.stop().err


@pytest.mark.parametrize(
    ("identity", "words", "seen"),
    [
        ("expired", (), "the peer's certificate ('CN=pacs') expired on "),
        ("stranger", (), "the peer's certificate ('CN=pacs') is not trusted"),
        ("wrong_name", (), "the peer's certificate ('CN=elsewhere') is not for '127.0.0.1'"),
        ("server", ("--tls-server-name", "other.example"), "is not for 'other.example'"),
    ],
)
def test_a_server_that_is_not_who_it_is_to_be(
    identity: str, words: tuple[str, ...], seen: str, scanner: Files, tmp_path: Path
) -> None:
    with server(tls=ServerTLS(identity=getattr(hospital(), identity), trust=ROOT)) as running:
        for command in (("echoscu",), ("storescu", dicom_file(tmp_path / "a"))):
            name, *paths = command
            result = dicos(name, *of(scanner), *words, "127.0.0.1", running.port, *paths)
            assert result.status == NO_ASSOCIATION
            (line,) = [one for one in result.err.splitlines() if one.startswith("error: ")]
            assert seen in line


def test_no_client_certificate(scanner: Files) -> None:
    with server(tls=SERVER) as running:
        result = dicos("echoscu", "--tls-ca", scanner.ca, "127.0.0.1", running.port)
    assert result.status == NO_ASSOCIATION
    assert "the peer refuses (certificate required): it requires a certificate from this side" in result.err


def test_tls_to_a_plain_port_and_back(scanner: Files) -> None:
    with server() as running:
        result = dicos("echoscu", *of(scanner), "127.0.0.1", running.port)
        assert (result.status, "plain DICOM (A-ABORT), not TLS" in result.err) == (NO_ASSOCIATION, True)
    with server(tls=SERVER) as running:
        result = dicos("echoscu", "127.0.0.1", running.port)
        assert (result.status, "a TLS alert, not DICOM" in result.err) == (NO_ASSOCIATION, True)


def test_an_unreachable_host(scanner: Files) -> None:
    with deaf_port() as port:
        result = dicos("echoscu", *of(scanner), "127.0.0.1", port)
    assert (result.status, result.err) == (
        NO_ASSOCIATION,
        f"error: no connection to 127.0.0.1:{port}: connection refused\n",
    )


@pytest.mark.parametrize(
    ("make", "seen"),
    [
        (lambda f, t: ("--tls-pfx", f.pfx), "client.pfx: the file is encrypted and no password was given"),
        (lambda f, t: ("--tls-pfx", f.pfx, "--tls-password-file", wrong(t)), "client.pfx: wrong password"),
        (lambda f, t: ("--tls-pfx", f.ca), "client-ca.pem: PEM, not PKCS#12"),
        (lambda f, t: ("--tls-pfx", wrong(t)), "password: not a PKCS#12 file, or a damaged one"),
        (lambda f, t: ("--tls-pfx", f.pfx, "--tls-cert", f.certificate), "--tls-pfx holds certificate and key"),
        (lambda f, t: ("--tls-key", f.key), "--tls-key without --tls-cert"),
        (lambda f, t: ("--tls-cert", f.certificate), "client.pem: no private key in it"),
        (lambda f, t: ("--tls-cert", t / "none"), "none: no such file or directory"),
        (
            lambda f, t: ("--tls-cert", f.certificate, "--tls-key", write_key(t / "other", hospital().server)),
            "the private key does not belong to the certificate of CN=scanner-1",
        ),
        (
            lambda f, t: ("--tls-pfx", f.pfx, "--tls-password-file", t / "none"),
            "none: no such file or directory",
        ),
        (lambda f, t: ("--tls-ca", f.key), "client.key: no certificate in it"),
        (lambda f, t: ("--tls-ciphers", "FROG"), "cipher suites 'FROG': OpenSSL knows none of them"),
        (lambda f, t: ("--tls-keylog", t / "none" / "keys"), "no such file or directory"),
    ],
)
@pytest.mark.parametrize("command", ["user", "provider"])
def test_what_cannot_be_used_is_one_line_before_anything_is_connected(
    command: str, make: Callable[[Files, Path], tuple[object, ...]], seen: str, scanner: Files, tmp_path: Path
) -> None:
    words = make(scanner, tmp_path)
    if command == "user":
        result = dicos_in(dict(ENVIRONMENT), "echoscu", *words, "127.0.0.1", 1)
    else:
        mine = () if {"--tls-cert", "--tls-pfx", "--tls-key"} & set(words) else of(scanner)
        result = dicos_in(dict(ENVIRONMENT), "echoscp", *mine, *words, *(("--tls-ca", scanner.ca)), 0)
    assert result[0] == USAGE
    (line,) = result[1].splitlines()
    assert line.startswith("error: ")
    assert seen in line


def wrong(folder: Path) -> Path:
    (folder / "password").write_text("not the password\n")
    (folder / "password").chmod(0o600)
    return folder / "password"


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        (("--tls",), "a provider over TLS needs a certificate: --tls-cert or --tls-pfx"),
        (
            ("--tls-cert", "CERT", "--tls-key", "KEY"),
            "client certificates are required: --tls-ca names the CAs to trust",
        ),
    ],
)
def test_what_a_provider_needs(words: tuple[str, ...], seen: str, pacs: Files) -> None:
    given = {"CERT": str(pacs.certificate), "KEY": str(pacs.key)}
    result = dicos("echoscp", "0", *(given.get(word, word) for word in words))
    assert result.status == USAGE
    assert seen in result.err


def test_tls_alone_trusts_the_authorities_of_the_system() -> None:
    with server(tls=SERVER) as running:
        result = dicos("echoscu", "--tls", "127.0.0.1", running.port)
    assert result.status == NO_ASSOCIATION
    assert "is not trusted" in result.err


def test_the_help_names_the_profiles_of_the_standard() -> None:
    from dicos_transports.tls import PROFILES

    assert f"--tls-profile {{{','.join(PROFILES)}}}" in dicos("echoscu", "--help").out
