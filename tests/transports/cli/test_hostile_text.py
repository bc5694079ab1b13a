"""Text from peers, files and the command line neither sends control characters to a terminal nor forges a line.

Real commands against peers that send raw bytes. Their output is checked as bytes: standard error consists of printable
lines, and so does standard output, or with --json it has one JSON object per line, in ASCII.
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path

import pytest

from dicos_proto.registry import uids
from dicos_transports.cli.text import Guarded
from tests.transports.cli import forking, raw_peers
from tests.transports.cli.commands import COMMAND, ENVIRONMENT, TIMEOUT, dicom_file, line
from tests.transports.cli.raw_peers import (
    Asked,
    Raw,
    accept,
    command,
    data_element,
    data_set,
    item,
    p_data,
    provider,
    request,
)
from tests.transports.connections import CT, EXPLICIT, read_exactly

HOSTILE = b"\x1b]0;x\x07\x1b[31m\r\nFORGED\t\x00\x7f\x9b2J\xc2\x9b\xe2\x80\xae\xe2\x80\xa8%s%n{0}\xff\xed\xb0\x80"
"""Escape sequences, line ends, C1 as bytes and as UTF-8, a direction override, format characters, invalid UTF-8."""
TITLE = b"\x1b[31m\r\nFORGED%s"
FOUND = (b"FORGED", b"31m")
"""Parts of it that show that it was printed."""
IMPLICIT = b"1.2.840.10008.1.2"


def check_text(said: bytes, *, longest: int = 20_000) -> None:
    """Return True if the output consists of printable lines."""
    text = said.decode("utf-8")
    for one in text.split("\n"):
        assert one.isprintable(), ascii(one)
        assert not one.startswith("FORGED"), one
        assert len(one) < longest
    assert "Traceback" not in text, text


def check_json(said: bytes) -> None:
    for one in said.decode("ascii").splitlines():
        assert isinstance(json.loads(one), dict)
        assert one.isprintable()


def run(*words: object, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run a command and check everything that it prints."""
    raw = [os.fsencode(word) if isinstance(word, str | Path) else str(word).encode() for word in line(*words)]
    if options:
        done = subprocess.run(raw, env=ENVIRONMENT, capture_output=True, timeout=TIMEOUT, check=False, **options)  # type: ignore[call-overload]
    else:
        decoded = [os.fsdecode(word) for word in raw[len(COMMAND) :]]
        done = subprocess.CompletedProcess(raw, *forking.run(decoded, ENVIRONMENT, TIMEOUT, text=False))
    check_text(done.stderr)
    if "--json" in words:
        check_json(done.stdout)
    else:
        check_text(done.stdout)
    return done  # type: ignore[no-any-return]


# -- a provider that is hostile ----------------------------------------------------------------------------------------


def identifier(value: bytes) -> bytes:
    """Encode a match with the hostile text in attributes of every text VR, in items, and as character set names."""
    within = data_element(8, 0x100, b"SH", value)
    long_item = struct.pack("<HHL", 0xFFFE, 0xE000, len(within)) + within
    return b"".join(
        (
            data_element(8, 0x05, b"CS", b"ISO_IR 192\\" + value),
            data_element(8, 0x50, b"SH", value),
            data_element(8, 0x52, b"CS", b"STUDY" + value),
            data_element(8, 0x54, b"AE", value),
            data_element(8, 0x58, b"UI", b"1.2" + value + b"\\" + value),
            data_element(8, 0x1032, b"SQ", long_item),
            data_element(0x10, 0x10, b"PN", value + b"=" + value + b"^" + value),
            data_element(0x10, 0x20, b"LO", value),
            data_element(0x10, 0x30, b"DA", value),
            data_element(0x10, 0x1010, b"AS", value),
            data_element(0x10, 0x4000, b"LT", value),
            data_element(0x20, 0x0D, b"UI", value),
            data_element(0x20, 0x10, b"SH", value),
            data_element(0x40, 0xA160, b"UT", value * 2000),
        )
    )


def answering(comment: bytes, value: bytes = HOSTILE) -> Callable[[Raw], None]:
    """Answer every request, with hostile text in every text field."""

    def handle(raw: Raw) -> None:
        while (received := raw.receive()) is not None:
            context, fields = received
            kind = int.from_bytes(fields[0x0100], "little")
            answer: dict[int, bytes | int] = {
                0x0002: fields.get(0x0002, b""), 0x0100: kind | 0x8000, 0x0120: fields[0x0110], 0x0902: comment,
            }  # fmt: skip
            counts: dict[int, bytes | int] = {0x1020: 0, 0x1021: 0, 0x1022: 1, 0x1023: 0}
            match kind:
                case raw_peers.FIND:
                    for status in (0xFF00, 0xFF01):
                        raw.message(context, answer | {0x0900: status}, identifier(value))
                    raw.message(context, answer | {0x0900: 0xA900, 0x0901: b"\x10\0\x10\0"})
                case raw_peers.GET | raw_peers.MOVE:
                    if kind == raw_peers.GET:
                        _store(raw, context, value)
                    failed = data_element(8, 0x58, b"UI", value + b"\\" + value)
                    raw.message(context, answer | counts | {0x0900: 0xFF00})
                    raw.message(context, answer | counts | {0x0900: 0xA702}, failed)
                case raw_peers.STORE:
                    raw.message(context, answer | {0x0900: 0xA700, 0x1000: fields[0x1000], 0x0901: b"\x10\0\x10\0"})
                case _:
                    raw.message(context, answer | {0x0900: 0x0122})

    return handle


def _store(raw: Raw, context: int, uid: bytes) -> None:
    asked: dict[int, bytes | int] = {
        0x0002: CT.encode(), 0x0100: raw_peers.STORE, 0x0110: 7, 0x0700: 0, 0x1000: uid[:64], 0x1030: TITLE, 0x1031: 1,
    }  # fmt: skip
    raw.message(context + 2, asked, data_set(uid=uid))


KEYS = ("PatientName", "PatientID", "PatientBirthDate", "StudyID", "RetrieveAETitle", "ProcedureCodeSequence",
        "ProcedureCodeSequence[0].CodeValue", "StudyInstanceUID", "AccessionNumber", "PatientComments",
        "TextValue")  # fmt: skip


def words_of(name: str, port: int, folder: Path) -> list[object]:
    """Return the command line of a user subcommand."""
    where: list[object] = [name, "127.0.0.1", port, "-td", "3", "-ta", "3"]
    if name == "storescu":
        return [*where, dicom_file(folder / "a.dcm")]
    if name == "echoscu":
        return where
    keys = [word for key in KEYS for word in ("-k", key)]
    more = {"getscu": ("-od", folder, "--sop-class", CT), "movescu": ("-od", folder, "--store-port", 0)}
    return [*where, "-S", "-L", "STUDY", *keys, *more.get(name, ())]


USERS = ("echoscu", "storescu", "findscu", "getscu", "movescu")


@pytest.mark.parametrize("name", USERS)
def test_what_a_provider_answers(transport: str, tmp_path: Path, name: str) -> None:
    for comment, flags in (
        (HOSTILE[:64], ("-d",)),
        (HOSTILE[:64], ("--json", "-v")),
        (b"A" * 60_000, ("-d", "--json")),
    ):
        with provider(answering(comment), lambda asked: accept(asked, version_name=TITLE)) as port:
            done = run(*words_of(name, port, tmp_path), *flags)
        assert done.returncode in (1, 3)


def _quoted(asked: Asked, at: bytes, by: bytes) -> bytes:
    """Encode an A-ASSOCIATE-AC with one part replaced by another."""
    pdu = accept(asked, version_name=TITLE).replace(at, by)
    return pdu[:2] + struct.pack(">L", len(pdu) - 6) + pdu[6:]


def _first_syntax(asked: Asked) -> bytes:
    return item(0x40, next(iter(asked.contexts.values()))[1][0].encode())


ACCEPTING: dict[str, Callable[[Asked], bytes]] = {
    "titles": lambda asked: _quoted(asked, asked.body[4:36], TITLE + TITLE),
    "application context": lambda asked: _quoted(asked, item(0x10, b"1.2.840.10008.3.1.1.1"), item(0x10, HOSTILE[:64])),
    "implementation": lambda asked: accept(asked, uid=HOSTILE[:64], version_name=HOSTILE),
    "long version name": lambda asked: accept(asked, version_name=b"\x1b" * 60_000),
    "user identity": lambda asked: accept(asked, item(0x59, struct.pack(">H", len(HOSTILE)) + HOSTILE)),
    "roles": lambda asked: accept(asked, item(0x54, struct.pack(">H", len(HOSTILE)) + HOSTILE + b"\1\1")),
    "extended": lambda asked: accept(asked, item(0x56, struct.pack(">H", len(HOSTILE)) + HOSTILE + HOSTILE)),
    "unknown sub-item": lambda asked: accept(asked, item(0x7F, HOSTILE)),
    "transfer syntax": lambda asked: _quoted(asked, _first_syntax(asked)[4:], HOSTILE[: len(_first_syntax(asked)) - 4]),
    "rejection": lambda asked: b"\3\0\0\0\0\4\0\x1b\x1b\x9b",
    "abort": lambda asked: b"\7\0\0\0\0\4\0\0\x1b\x9b",
    "unknown PDU": lambda asked: b"\x1b\0" + struct.pack(">L", len(HOSTILE)) + HOSTILE,
    "something else": lambda asked: HOSTILE * 100,
    "HTTP": lambda asked: b"HTTP/1.1 400 \x1b[31m\r\n\r\n",
    "SSH": lambda asked: b"SSH-2.0-\x1b[31m\r\n",
    "TLS": lambda asked: b"\x15\3\1\0\2\2\x9b",
    "refused": lambda asked: accept(asked, refuse=True),
}


@pytest.mark.parametrize("kind", ACCEPTING)
def test_how_a_provider_answers_a_request(tmp_path: Path, kind: str) -> None:
    with provider(answering(HOSTILE[:64]), ACCEPTING[kind]) as port:
        assert run(*words_of("echoscu", port, tmp_path), "-d", "--json").returncode in (1, 3)


UNASKED: dict[str, Callable[[Raw], None]] = {
    "responses to nobody": lambda raw: raw.message(1, {0x0100: 0x8030, 0x0120: 0x1B1B, 0x0900: 0}),
    "unknown command": lambda raw: raw.message(1, {0x0100: 0x1B5B, 0x0110: 1}),
    "no command set": lambda raw: raw.send(p_data(1, 3, HOSTILE)),
    "other context": lambda raw: raw.send(p_data(0x9B, 3, HOSTILE)),
    "text where numbers are": lambda raw: raw.send(
        p_data(1, 3, command({0x0100: HOSTILE, 0x0120: HOSTILE, 0x0900: HOSTILE, 0x0800: HOSTILE}))
    ),
    "an invalid UID": lambda raw: raw.message(1, {0x0002: HOSTILE[:64], 0x0100: 0x8030, 0x0120: 1, 0x0900: 0}),
    "abort": lambda raw: raw.send(b"\7\0\0\0\0\4\0\0\x1b\x9b"),
}


@pytest.mark.parametrize("kind", UNASKED)
def test_what_a_provider_says_unasked(tmp_path: Path, kind: str) -> None:
    def handle(raw: Raw) -> None:
        raw.receive()
        UNASKED[kind](raw)

    with provider(handle) as port:
        status = 0 if kind == "an invalid UID" else 1  # the repeated fields of a response are not significant
        assert run(*words_of("echoscu", port, tmp_path), "-d", "--json").returncode == status


def test_a_match_is_shown_escaped_and_in_json_whole(tmp_path: Path) -> None:
    """The requested values are printed, escaped."""
    value = b"\x1b[31mRED\r\nFORGED\xc2\x9b\xe2\x80\xae"
    with provider(answering(b"", value)) as port:
        table = run(*words_of("findscu", port, tmp_path)).stdout.decode()
        found = run(*words_of("findscu", port, tmp_path), "--json").stdout
    assert r"\x1b[31mRED\r\nFORGED\x9b\u202e" in table
    (match, *_) = (one for one in map(json.loads, found.splitlines()) if one["event"] == "match")
    assert match["attributes"]["00100020"]["Value"] == [value.decode()]


# -- a user that is hostile --------------------------------------------------------------------------------------------

VERIFY = {1: (uids.VERIFICATION.encode(), (IMPLICIT,))}
CONTEXTS = VERIFY | {3: (CT.encode(), (EXPLICIT.encode(),))}


def sized(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


REQUESTS: dict[str, bytes] = {
    "titles": request(CONTEXTS, calling=TITLE, called=TITLE),
    "titles of C1": request(CONTEXTS, calling=b"\x9b2J\xc2\x9b\xe2\x80\xae", called=b"\x7f\x85"),
    "version name": request(CONTEXTS, version_name=TITLE),
    "long version name": request(CONTEXTS, version_name=HOSTILE * 100),
    "user identity": request(CONTEXTS, item(0x58, b"\2\1" + sized(HOSTILE) + sized(HOSTILE))),
    "long user identity": request(CONTEXTS, item(0x58, b"\1\1" + sized(b"\x1b" * 60_000) + sized(b""))),
    "roles": request(CONTEXTS, item(0x54, sized(HOSTILE) + b"\1\1")),
    "extended": request(CONTEXTS, item(0x56, sized(HOSTILE) + HOSTILE)),
    "common extended": request(CONTEXTS, item(0x57, sized(HOSTILE) + sized(HOSTILE) + sized(sized(HOSTILE)))),
    "unknown sub-item": request(CONTEXTS, item(0x7F, HOSTILE)),
    "abstract syntax": request(CONTEXTS | {5: (HOSTILE[:60], (IMPLICIT,))}),
    "private abstract syntax": request(CONTEXTS | {5: (b"1.2.3.4.5", (IMPLICIT,))}),
    "transfer syntax": request(CONTEXTS | {5: (CT.encode(), (HOSTILE[:60],))}),
    "transfer syntax beside a good one": request(CONTEXTS | {5: (CT.encode(), (HOSTILE[:60], IMPLICIT))}),
    "application context": request(CONTEXTS).replace(b"1.2.840.10008.3.1.1.1", HOSTILE[:21]),
    "HTTP": b"GET /\x1b[31m HTTP/1.1\r\nHost: \x9b\r\n\r\n",
    "TLS": b"\x16\3\1\2\0\1" + HOSTILE * 20,
    "noise": HOSTILE * 100,
    "unknown PDU": b"\x1b\0" + struct.pack(">L", len(HOSTILE)) + HOSTILE,
    "abort": b"\7\0\0\0\0\4\0\0\x1b\x9b",
}
STORE: dict[int, bytes | int] = {0x0002: CT.encode(), 0x0100: 1, 0x0110: 1, 0x0700: 0, 0x1000: b"1.2.3"}
MESSAGES: dict[str, Callable[[Raw], None]] = {
    "instance UID": lambda raw: raw.message(3, STORE | {0x1000: HOSTILE[:64]}, data_set(uid=HOSTILE[:64])),
    "long instance UID": lambda raw: raw.message(3, STORE | {0x1000: b"\x1b" * 60_000}, data_set()),
    "SOP class UID": lambda raw: raw.message(3, STORE | {0x0002: HOSTILE[:64]}, data_set()),
    "originator": lambda raw: raw.message(3, STORE | {0x1030: TITLE, 0x1031: 7}, data_set()),
    "patient": lambda raw: raw.message(3, STORE, data_set(data_element(0x10, 0x10, b"PN", HOSTILE))),
    "no data set": lambda raw: raw.message(3, STORE, HOSTILE),
    "cut data set": lambda raw: raw.message(3, STORE, data_set() + b"\x10\0\x10\0PN\xff\x7f" + HOSTILE),
    "echo of another class": lambda raw: raw.message(1, {0x0002: HOSTILE[:64], 0x0100: 0x30, 0x0110: 1}),
    "find": lambda raw: raw.message(1, {0x0002: HOSTILE[:64], 0x0100: 0x20, 0x0110: 1, 0x0700: 0}, identifier(HOSTILE)),
    "move": lambda raw: raw.message(1, {0x0002: b"1.2", 0x0100: 0x21, 0x0110: 1, 0x0700: 0, 0x0600: TITLE}, data_set()),
    "unknown command": lambda raw: raw.message(1, {0x0100: 0x1B5B, 0x0110: 1}),
    "no command set": lambda raw: raw.send(p_data(1, 3, HOSTILE)),
    "other context": lambda raw: raw.send(p_data(0x9B, 3, HOSTILE)),
    "unknown elements": lambda raw: raw.message(
        1, {0x0002: uids.VERIFICATION.encode(), 0x0100: 0x30, 0x0110: 1, 0x1B1B: HOSTILE, 0x0902: HOSTILE}
    ),
    "abort": lambda raw: raw.send(b"\7\0\0\0\0\4\0\0\x1b\x9b"),
}


def attack(port: int) -> None:
    """Send all of it, each over an association of its own."""

    def ask(asked: bytes) -> None:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT) as sock, suppress(OSError):
            sock.sendall(asked)
            read_exactly(sock, 10)

    def say(act: Callable[[Raw], None]) -> None:
        with raw_peers.user(port, request(CONTEXTS)) as raw, suppress(OSError, struct.error):
            act(raw)
            raw.sock.settimeout(2)
            raw.receive()

    with ThreadPoolExecutor(8) as pool:  # the limit is ten from one address
        for done in [pool.submit(ask, one) for one in REQUESTS.values()] + [
            pool.submit(say, one) for one in MESSAGES.values()
        ]:
            done.result(TIMEOUT)


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("echoscp", ("-d", "--json")), ("storescp", ("-d", "--json")), ("storescp", ("-v",)),
        ("storescp", ("-d", "--log-json", "--metrics", "0")),
    ],
)  # fmt: skip
def test_what_a_user_sends(transport: str, tmp_path: Path, name: str, flags: tuple[str, ...]) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    words = [name, "0", "--any", "-od", folder] if name == "storescp" else [name, "0"]
    with started(tmp_path, *words, *flags, "-ta", "1", "-tn", "2", "--grace", "0", "--max-per-address", "100") as said:
        begin = said()
        attack(int(re.findall(rb"listening on 127.0.0.1:(\d+)", begin)[0]))
        if b"metrics at " in begin:
            address = re.findall(rb"metrics at (http://[0-9.:]+/metrics)", begin)[0].decode()
            with urllib.request.urlopen(address, timeout=TIMEOUT) as answer:
                check_text(answer.read())
    out, err = (tmp_path / "stdout").read_bytes(), said()
    if "--log-json" in flags:
        check_json(err)
    else:
        check_text(err)
    check_json(out)
    assert any(part in err for part in FOUND)
    for path in folder.iterdir():
        assert path.name.isprintable()


@contextmanager
def started(folder: Path, *words: object) -> Iterator[Callable[[], bytes]]:
    """Run a provider and stop it at the end; collects its standard error."""

    def said() -> bytes:
        return (folder / "stderr").read_bytes()

    with (
        open(folder / "stdout", "wb") as out,
        open(folder / "stderr", "wb") as err,
        subprocess.Popen([os.fsencode(word) for word in line(*words)], env=ENVIRONMENT, stdout=out, stderr=err) as scp,
    ):
        try:
            end = time.monotonic() + TIMEOUT
            while b"listening on" not in said() or ("--metrics" in words and b"metrics at" not in said()):
                assert scp.poll() is None, said()
                assert time.monotonic() < end, said()
                time.sleep(0.01)
            yield said
            scp.send_signal(signal.SIGTERM)
            assert scp.wait(TIMEOUT) in (0, 1)
        finally:
            scp.kill()


# -- files, names, the command line ------------------------------------------------------------------------------------

NAME = os.fsdecode(b"\x1b[31m\r\nFORGED\x9b2J\xc2\x9b\xe2\x80\xae%s{}\xff")


def test_names_and_contents_of_files(tmp_path: Path) -> None:
    folder = tmp_path / NAME
    folder.mkdir()
    good = dicom_file(folder / f"{NAME}.dcm")
    (folder / f"text{NAME}").write_bytes(HOSTILE * 10)
    (folder / f"damaged{NAME}").write_bytes(good.read_bytes()[:200])
    (folder / f"link{NAME}").symlink_to(NAME + "nowhere")
    dicom_file(folder / f"class{NAME}", sop_class=NAME)
    dicom_file(folder / f"uid{NAME}", uid=NAME)
    dicom_file(folder / f"syntax{NAME}", syntax=NAME)
    dicom_file(folder / f"dicomdir{NAME}", sop_class=uids.MEDIA_STORAGE_DIRECTORY)
    dicom_file(folder / f"meta{NAME}", data=HOSTILE * 3)
    journal = tmp_path / f"journal{NAME}"
    with provider(answering(HOSTILE[:64])) as port:
        for flags in (("-v", "-r", "--json"), ("-d", "-r"), ("--halt", *sorted(folder.iterdir()))):
            run("storescu", "127.0.0.1", port, folder, "--journal", journal, *flags)
        run("storescu", "127.0.0.1", port, folder)
        for flags in (("-S", "-f", folder / f"text{NAME}"), ("-S", "-f", good), ("-S", "-f", tmp_path / f"no{NAME}")):
            run("findscu", "127.0.0.1", port, "-L", "STUDY", "-v", *flags)
    (tmp_path / "journal").write_bytes(HOSTILE)
    run("storescu", "127.0.0.1", 1, good, "--journal", tmp_path / "journal")
    for fault in ("-od", "--tls-cert", "--tls-ca", "--tls-pfx", "--tls-password-file", "--tls-keylog"):
        run("storescp", "0", fault, tmp_path / f"none{NAME}" / NAME, "--tls-key", good)
    run("echoscp", "--listen", tmp_path / f"none{NAME}" / "sock")


def test_names_of_what_is_listened_on_and_stored_into(
    transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for the socket paths of peers, which they choose."""
    monkeypatch.chdir(tmp_path)  # a socket address can hold 107 bytes
    folder, path = tmp_path / NAME, "s" + NAME[:40]
    folder.mkdir()
    with (
        socket.socket(socket.AF_UNIX) as sock,
        started(tmp_path, "storescp", "--listen", path, "-od", folder, "-d", "--json") as said,
    ):
        sock.bind("c" + NAME[:40])
        sock.connect(path)
        sock.sendall(request(CONTEXTS))
        raw_peers.read_pdu(sock)
        raw = Raw(sock)
        raw.message(3, STORE, data_set())
        assert raw.receive() is not None
        raw.send(HOSTILE)
    check_text(said())
    check_json((tmp_path / "stdout").read_bytes())
    assert b"FORGED" in said()


WORDS: list[tuple[object, ...]] = [
    (NAME,), ("echoscu", NAME, 1), ("echoscu", "localhost", NAME), ("echoscu", "127.0.0.1", 1, NAME),
    ("echoscu", "localhost", 1, f"--{NAME}"), ("echoscu", "localhost", 1, "-aec", NAME), ("storescp", "--prefer", NAME),
    ("echoscu", "localhost", 1, "--transport", NAME), ("echoscu", "localhost", 1, "--application-context", NAME),
    ("findscu", "localhost", 1, "-k", NAME), ("findscu", "localhost", 1, "-S", "-k", f"PatientName={NAME}"),
    ("findscu", "127.0.0.1", 1, "-S", "-L", "STUDY", "-k", f"PatientName={NAME}"), ("findscu", "h", 1, "-L", NAME),
    ("findscu", "h", 1, "--model", NAME), ("getscu", "h", 1, "-x", NAME), ("getscu", "h", 1, "--sop-class", NAME),
    ("movescu", "h", 1, "-aem", NAME), ("storescp", "0", "--metrics", NAME), ("storescp", "0", "--bind", NAME),
    ("storescp", "0", "--metrics", f"{NAME}:1"), ("echoscu", "localhost", 1, "--tls-ciphers", NAME),
    ("echoscu", "localhost", 1, "--tls-server-name", NAME), ("echoscu", "localhost", 1, "-ta", NAME),
    ("storescu", "127.0.0.1", 1, "--associations", NAME, "x"), ("storescu", "127.0.0.1", 1, NAME * 100),
    ("storescu", "127.0.0.1", 1, "\x1b" * 100_000), ("echoscu", "\x1b" * 100_000, 1), (f"--{NAME}",),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(WORDS)))
def test_words_of_the_command_line(number: int) -> None:
    for name in WORDS[number], (*WORDS[number], "-v"):
        assert run(*[word.replace("\0", "") if isinstance(word, str) else word for word in name]).returncode in (2, 3)


def test_the_environment(tmp_path: Path) -> None:
    environment = {"DICOS_TLS_PASSWORD": NAME, "LISTEN_FDS": NAME, "LISTEN_PID": NAME, "COLUMNS": NAME, "PATH": NAME}
    words = ("echoscp", "--activated", "--tls-pfx", dicom_file(tmp_path / "x"))
    done = subprocess.run(
        line(*words), env=ENVIRONMENT | environment, capture_output=True, timeout=TIMEOUT, check=False
    )
    check_text(done.stderr)


# -- terminals ---------------------------------------------------------------------------------------------------------


def test_on_a_terminal_only_the_bar_has_control_characters_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        dicom_file(folder / f"{number}{NAME}.dcm", uid=f"1.2.{number}", pixels=300_000)
    with provider(answering(HOSTILE[:64])) as port:
        own, its = pty.openpty()
        words = line("storescu", "-v", "--progress", "-r", "127.0.0.1", port, folder)
        said = b""
        with subprocess.Popen(words, env=ENVIRONMENT, stdout=its, stderr=its) as process:
            os.close(its)
            end = time.monotonic() + TIMEOUT
            while time.monotonic() < end and select.select([own], [], [], TIMEOUT)[0]:
                try:
                    said += os.read(own, 65536)
                except OSError:  # the other end is closed
                    break
        os.close(own)
    assert b"\r[" in said
    rest = said.replace(b"\r\n", b"\n").replace(b"\x1b[K", b"")
    check_text(b"\n".join(part for part in rest.split(b"\r")))
    assert process.returncode == 1


def test_lines_that_are_written_together_are_guarded_too() -> None:
    out = StringIO()
    Guarded(out).writelines(["\x1b[31m red\n", "\u202e\n"])
    assert out.getvalue() == "\\x1b[31m red\n\\u202e\n"
