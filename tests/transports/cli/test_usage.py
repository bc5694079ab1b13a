"""Usage errors and unreadable files: one clear line and exit status 2, before any connection."""

from pathlib import Path

import pytest

from dicos_proto.registry import uids
from tests.transports.cli.commands import dicom_file, dicos

USAGE = 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "a subcommand is required"),
        (("frobnicate",), "unknown subcommand 'frobnicate'"),
        (("echoscu",), "required: host"),
        (("echoscu", "localhost", "70000"), "'70000': expected 0 to 65535"),
        (("echoscu", "localhost:104", "104"), "the port is given twice: 'localhost:104' and '104'"),
        (("storescp", "127.0.0.1"), "'127.0.0.1': not a port; expected PORT, ADDRESS:PORT or AET@ADDRESS:PORT"),
        (("storescp", "ME@[::1]"), "'ME@[::1]': no port; expected ADDRESS:PORT"),
        (
            ("storescp", "--listen", "127.0.0.1"),
            "'127.0.0.1': no port given; expected ADDRESS:PORT, or ./127.0.0.1 for a Unix socket",
        ),
        (("storescp", "--listen", "localhost"), "'localhost': no port given; expected ADDRESS:PORT"),
        (("echoscp", "--listen", "::1"), "'::1'"),
        (("echoscu", "localhost", "dicom"), "'dicom': expected 0 to 65535"),
        (("echoscu", "localhost", "1", "--repeat", "0"), "'0': expected 1 to"),
        (("echoscu", "localhost", "1", "-aet", "SEVENTEEN_LETTERS"), "1 to 16 ASCII characters"),
        (("echoscu", "localhost", "1", "-aec", "a\\b"), "no backslash"),
        (("echoscu", "localhost", "1", "--max-pdu", "7"), "0, or at least 8"),
        (("echoscu", "localhost", "1", "-ta", "-1"), "seconds, 0 or more"),
        (("echoscu", "localhost", "1", "-td", "nan"), "seconds, 0 or more"),
        (("echoscu", "localhost", "1", "--application-context", "1.02"), "dicos-v02a, or a UID"),
        (("echoscu", "localhost", "1", "--transport", "pigeon"), "'pigeon': expected blocking, trio, asyncio"),
        (("storescu", "localhost", "1"), "required: PATH"),
        (("storescu", "PACS@localhost:1"), "required: PATH"),
        (
            ("echoscu", "localhost"),
            "'localhost': no port; expected HOST:PORT, where the usual DICOM ports are 104 and 11112",
        ),
        (("findscu", "PACS@[::1]", "-k", "x"), "'PACS@[::1]': no port; expected HOST:PORT"),
        (("echoscu", "localhost:1", "2"), "the port is given twice"),
        (("echoscu", "::1"), "an IPv6 address is written in brackets: [::1]:PORT"),
        (("echoscu", "A\\B@localhost:1"), "'A\\\\B' before the @ is not an AE title: 1 to 16 ASCII"),
        (
            ("echoscu", "PACS@localhost:1", "-aec", "OTHER"),
            "two called AE titles: -aec 'OTHER', and 'PACS' in the address of the peer",
        ),
        (("echoscu", "localhost", "0"), "port 0: a peer has a port from 1 to 65535"),
        (("storescu", "localhost:0", "x.dcm"), "port 0: a peer has a port from 1 to 65535"),
        (("echoscu", "localhost:1", "-ta", "1_0"), "'1_0': expected seconds"),
        (("echoscu", "localhost:70000"), "port '70000': expected 0 to 65535"),
        (
            ("echoscu", "localhost:1", "--source-address", "localhost"),
            "not an address of this host, such as 10.0.0.5",
        ),
        (("echoscu", "localhost:1", "--source-address", "127.0.0.1:x"), "port 'x': expected 0 to 65535"),
        (("echoscu", "localhost:1", "--keepalive", "0"), "'0': expected 1 to 32767 seconds, or off"),
        (("echoscp", "0.0.0.0:0", "--bind", "::1"), "--bind ::1, and 0.0.0.0 before the port"),
        (("echoscp", "A@0.0.0.0:0", "-aet", "B"), "two AE titles: -aet 'B', and 'A' in the address to listen on"),
        (("echoscp", "::1:0"), "an IPv6 address is written in brackets"),
        (("echoscp", "0", "--listen", "A@h:1"), "'A@h:1': expected PORT or ADDRESS:PORT, without an AE title"),
        (("echoscp", "0", "--metrics", "A@h:1"), "'A@h:1': expected PORT or ADDRESS:PORT, without an AE title"),
        (("storescu", "localhost", "1", "x", "--associations", "257"), "'257': expected 1 to 256"),
        (("storescu", "localhost", "1", "x", "--window", "-1"), "'-1': expected 0 to 65535"),
        (("storescu", "localhost", "1", "x", "--retry-delay", "-1"), "seconds, 0 or more"),
        (("storescp", "0", "--prefer", "nobody"), "invalid choice"),
        (("storescp", "0", "-od", "/nonexistent"), "/nonexistent: does not exist"),
        (("storescp", "0", "-od", __file__), "is not a folder"),
        (
            ("storescp", "--ignore", "--listen", "x", "--bind", "0.0.0.0"),
            "--bind without a port: it is the address for",
        ),
        (("echoscp", "--activated", "--bind", "127.0.0.1"), "--bind cannot be combined with --activated"),
        (("echoscp", "--bind", "::1"), "nothing to listen on: a port"),
        (
            ("movescu", "h", "1", "-k", "x", "--bind", "::1"),
            "--bind without --store-port: nothing is received here",
        ),
        (("storescp", "0", "-od", "x" * 300), "file name too long"),
    ],
)
def test_bad_usage(words: tuple[str, ...], said: str) -> None:
    result = dicos(*words)
    assert (result.status, result.out) == (USAGE, "")
    (line,) = result.err.splitlines()  # the usage is left to --help, which the line names
    assert said in line


def test_the_error_comes_first_and_names_the_help() -> None:
    result = dicos("echoscu", "localhost", "99999")
    assert result.err == ("dicos echoscu: argument port: port '99999': expected 0 to 65535; see dicos echoscu --help\n")
    assert "unknown subcommand 'store': did you mean " in dicos("store").err
    assert "storescu" in dicos("store").err
    assert "echoscu, echoscp" in dicos().err


@pytest.mark.parametrize("words", [("--help",), ("echoscu", "--help"), ("--version",), ("storescp", "--version")])
def test_help_and_version_are_no_errors(words: tuple[str, ...]) -> None:
    result = dicos(*words)
    assert (result.status, result.err) == (0, "")
    assert "dicos" in result.out


def unreadable(folder: Path, kind: str) -> tuple[Path, str]:
    path = folder / "input"
    match kind:
        case "missing":
            return path, "no such file"
        case "folder without -r":
            path.mkdir()
            return path, "(use -r)"
        case "text":
            path.write_text("Dear diary," * 50)
            return path, "not a DICOM file"
        case "cut short":
            path.write_bytes(dicom_file(path).read_bytes()[:200])
            return path, "cut short"
        case "no data set":
            path.write_bytes(dicom_file(path).read_bytes()[:-30])
            return path, "cut short"
        case "DICOMDIR":
            return dicom_file(path, sop_class=uids.MEDIA_STORAGE_DIRECTORY), "DICOMDIR"
        case _:
            return dicom_file(path, sop_class="none"), "is not a valid UID"


@pytest.mark.parametrize(
    "kind", ["missing", "folder without -r", "text", "cut short", "no data set", "DICOMDIR", "bad SOP class"]
)
def test_a_named_file_that_cannot_be_sent_halts_before_a_connection_where_that_is_asked_for(
    tmp_path: Path, kind: str
) -> None:
    good = dicom_file(tmp_path / "good.dcm")
    path, said = unreadable(tmp_path, kind)
    result = dicos(
        "storescu", "--json", "--halt", "127.0.0.1", 1, good, path
    )  # a connection there would fail with status 3
    assert result.status == USAGE
    (line,) = result.err.splitlines()
    assert line.startswith(f"error: {path}")
    assert said in line
    assert [event["event"] for event in result.events] == ["error"]


@pytest.mark.parametrize(
    ("content", "said"), [(None, "folder without files"), (b"text", "no DICOM files among 1 file")]
)
def test_a_folder_without_dicom_files(tmp_path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / "notes.txt").write_bytes(content)
    result = dicos("storescu", "-r", "127.0.0.1", 1, tmp_path)
    assert result.status == USAGE
    assert said in result.err
