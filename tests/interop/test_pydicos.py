"""pyDICOS 1.3.0, which is Stratovan's toolkit, and ours, both ways, with its deviations accepted.

Its wheel is for CPython 3.8 to 3.11 on Linux x86_64: `tools/peers.sh` puts it into a virtual environment of its own.
The scripts that drive it lie beside the checkout. All objects are synthetic.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dicos_proto import propose
from dicos_proto.conversation import flows
from dicos_proto.registry import uids
from dicos_proto.timers import Timeouts
from dicos_proto.tolerance import FIELD, STRATOVAN, STRICT
from dicos_proto.upper_layer.negotiation import number_contexts
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports.blocking import EchoRequest, Session, StoreRequest, connect
from dicos_transports.blocking.server import serve
from tests.interop.peers import PATIENCE, free_port, our_provider, ours

SHARED = Path(__file__).resolve().parent.parent.parent.parent / "shared"
SCRIPTS, DATA_SETS = SHARED / "peers" / "pydicos", SHARED / "captures" / "pydicos" / "datasets"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dicos-proto" / "pydicos"
PYTHON = Path(os.environ.get("PYDICOS_VENV") or CACHE) / "bin" / "python"

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not SCRIPTS.is_dir(), reason=f"no scripts for pyDICOS in {SCRIPTS}"),
    pytest.mark.skipif(not PYTHON.exists(), reason=f"pyDICOS is not installed: no {PYTHON}"),
]

DICOS, CT, ECHO = uids.DICOS_APPLICATION_CONTEXT_V03, uids.DICOS_CT, uids.VERIFICATION
EXPLICIT, EXTENDED = uids.EXPLICIT_VR_LE, uids.DICOS_EXPLICIT_VR_LE_EXTENDED
OBJECTS = {
    "ct_exp": (CT, EXPLICIT),
    "ct_ext64": (CT, EXTENDED),
    "ct_imp": (CT, uids.IMPLICIT_VR_LE),
    "ct_jpeg": (CT, uids.JPEG_LOSSLESS_SV1),
    "dx_exp": (uids.DICOS_DX_FOR_PRESENTATION, EXPLICIT),
    "tdr_exp": (uids.DICOS_TDR, EXPLICIT),
}
ANSWERED = {"answer_item_length", "unasked_identity_response"}


class Log:
    """The output of a run of its server, at its end."""

    text = ""


@contextmanager
def their_server(folder: Path, *words: str) -> Iterator[tuple[int, Log]]:
    """Use a new port each time: it binds without SO_REUSEADDR, and does not report a failure."""
    port, path, log = free_port(), folder / "pydicos.log", Log()
    with path.open("w") as output, subprocess.Popen(
        [PYTHON, SCRIPTS / "pydicos_server.py", str(port), "--seconds", "60", *words], stdout=output, stderr=output
    ) as process:  # fmt: skip
        try:
            until = time.monotonic() + PATIENCE
            while "READY" not in path.read_text() and process.poll() is None and time.monotonic() < until:
                time.sleep(0.05)  # there is no event to wait for
            time.sleep(0.6)  # it begins to listen up to half a second after it reports so
            yield port, log
            process.send_signal(2)
            process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()
            log.text = path.read_text(errors="replace")


def their_client(mode: str, port: int, *words: str) -> str:
    """Run its client to its end. Returns its output."""
    done = subprocess.run(
        [PYTHON, SCRIPTS / "pydicos_client.py", mode, str(port), *words],
        capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ask(port: int, **options: Any) -> Session:
    abstract = dict.fromkeys([ECHO, *(sop for sop, _ in OBJECTS.values())])
    syntaxes = options.pop("syntaxes", (EXPLICIT,))
    return connect(
        ("127.0.0.1", port), propose(abstract, syntaxes), called_aet="CENTRAL_SERVER", application_context=DICOS,
        **{"tolerance": STRATOVAN, **options},
    )  # fmt: skip


# -- ours as the user ------------------------------------------------------------------------------------------------


def test_our_echo(tmp_path: Path) -> None:
    with their_server(tmp_path) as (port, log):
        with ask(port) as session:
            assert [session.echo().status for _ in range(3)] == [0, 0, 0]
            assert {one.name for one in session.deviations} == ANSWERED
        result = ours("echoscu", "127.0.0.1", port, "--application-context", "dicos", "--tolerance", "stratovan")
        assert result.returncode == 0, result.stderr
        assert result.stderr.count("accepted (answer_item_length): presentation context item of ") == 1
    assert "Error:" not in log.text


def test_our_stores(tmp_path: Path) -> None:
    """It answers success to anything; its log shows whether it could read it."""
    with their_server(tmp_path) as (port, log):
        for name, (sop_class, syntax) in OBJECTS.items():
            content = (DATA_SETS / f"{name}.ds").read_bytes()
            pieces = [content[at : at + 1000] for at in range(0, len(content), 1000)]
            with ask(port, syntaxes=(syntax,)) as session:
                for number in range(3):
                    assert session.store(sop_class, f"2.25.{number}", syntax, pieces).status == 0, name
    assert "Error:" not in log.text
    assert "errorlog: ''" in log.text


def test_contexts_it_does_not_answer_are_refused(tmp_path: Path) -> None:
    with their_server(tmp_path) as (port, _), ask(port, syntaxes=(EXPLICIT,)) as session:
        assert session.refused == ()
    with their_server(tmp_path) as (port, _):
        contexts = number_contexts([(ECHO, (EXPLICIT,)), (CT, (uids.RLE_LOSSLESS,))])
        with connect(("127.0.0.1", port), contexts, application_context=DICOS, tolerance=STRATOVAN) as session:
            assert [(one.id, one.result) for one in session.refused] == [(3, None)]
            assert {one.name for one in session.deviations} == {*ANSWERED, "contexts_unanswered"}
            assert session.echo().status == 0


@pytest.mark.parametrize("tolerance", [STRICT, FIELD], ids=["strict", "field"])
def test_it_is_refused_by_name_where_its_answer_is_not_let_through(tolerance: Any, tmp_path: Path) -> None:
    refused = pytest.raises(flows.AssociationAborted, match="counts the 4 of its own header")
    with their_server(tmp_path) as (port, _), refused:
        ask(port, tolerance=tolerance, timeouts=Timeouts(artim=1.0))


def test_it_rejects_what_it_does_not_want(tmp_path: Path) -> None:
    with their_server(tmp_path, "--require-names") as (port, _):
        with pytest.raises(flows.AssociationRejected, match=r"calling AE title not recognized \(1/1/3\)"):
            ask(port, calling_aet="NOBODY")
        with ask(port, calling_aet="ClientAppA") as session:
            assert session.echo().status == 0
        with pytest.raises(flows.AssociationRejected, match=r"application context name not supported \(1/1/2\)"):
            connect(("127.0.0.1", port), propose([ECHO]), tolerance=STRATOVAN)


# -- ours as the provider ----------------------------------------------------------------------------------------------


@dataclass
class Received:
    syntax: str
    instance: str
    data: bytes


def test_its_client_stores_with_ours(tmp_path: Path) -> None:
    """It gives up if any of its contexts is refused, and joins the data set to the command set."""
    received: list[Received] = []
    deviations: set[str] = set()

    def handle(session: Session) -> None:
        for request in session:
            match request:
                case StoreRequest():
                    data = bytes(request.read())
                    received.append(Received(request.transfer_syntax, request.sop_instance_uid, data))
                    request.respond()
                case EchoRequest():
                    request.respond()
                case _:
                    pass
            deviations.update(one.name for one in session.deviations)

    policy = AcceptPolicy(other_contexts=uids.TRANSFER_SYNTAXES, max_length=0)
    with serve(("127.0.0.1", 0), handle, policy=policy, tolerance=STRATOVAN) as server:
        for words in ((), ("--no-compress",), ("--dims", "64", "64", "20", "--no-compress")):
            said = their_client("ct", server.port, *words)
            assert "SendOverNetwork True" in said, said
        assert "SendOverNetwork True" in their_client("ct", server.port, "--count", "3", "--sections", "1")
        assert "Echo True" in their_client("session-echo", server.port)
        assert "Echo True" in their_client("echo", server.port)
    assert len(received) == 6
    assert [one.syntax for one in received[:3]] == [uids.JPEG_LOSSLESS_SV1, EXPLICIT, EXPLICIT]
    assert len(received[2].data) > 64 * 64 * 20 * 2
    for one in received:
        assert one.instance.encode() in one.data, "the command set and the data set name the same object"
        assert one.data[:8] == bytes.fromhex("0800080043532000"), "it begins where a data set begins"
    assert deviations >= {"joined_data_set", "uid_invalid_root"}
    assert deviations <= set(STRATOVAN.names())


def test_its_client_stores_with_our_command(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    words = ("--tolerance", "stratovan", "--max-pdu", 0)
    with our_provider("storescp", 0, "-od", folder, *words) as provider:
        assert "SendOverNetwork True" in their_client("ct", provider.port, "--no-compress")
        assert "Echo True" in their_client("session-echo", provider.port)
    assert provider.of("summary")[0]["stored"] == 1
    assert provider.of("summary")[0]["echoes"] == 1
    warned = [event["text"] for event in provider.of("log")]
    assert sum("accepted (joined_data_set)" in text for text in warned) == 1
    assert sum("accepted (uid_invalid_root)" in text for text in warned) == 2, "one for each association"


@pytest.mark.parametrize("tolerance", ["strict", "field"])
def test_its_client_is_refused_where_it_is_not_let_through(tolerance: str, tmp_path: Path) -> None:
    with our_provider("storescp", 0, "-od", tmp_path, "--tolerance", tolerance, "--max-pdu", 0) as provider:
        done = subprocess.run(
            [PYTHON, SCRIPTS / "pydicos_client.py", "ct", str(provider.port), "--no-compress", "--read-ms", "500"],
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert "SendOverNetwork True" not in done.stdout
    text = "begins with invalid arcs" if tolerance == "strict" else "command group length"
    assert any(text in event["text"] for event in provider.of("log"))
