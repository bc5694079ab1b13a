"""`dicos findscu`, `getscu` and `movescu` against our own providers: requests, output and exit status."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest

pytest.importorskip("pydicom")

from pydicom.dataset import Dataset

from dicos_proto.conversation.flows import AssociationRejected
from dicos_proto.data import datasets
from dicos_proto.registry import status, uids
from dicos_proto.services.storage import Instance, StoreMany
from dicos_proto.upper_layer.policy import AcceptPolicy, Roles
from dicos_transports.blocking import FindRequest, GetRequest, MoveRequest, Session, connect
from dicos_transports.files import part10
from dicos_transports.files.sending import plan
from tests.transports.cli import forking
from tests.transports.cli.commands import COMMAND, ENVIRONMENT, TIMEOUT, Result, deaf_port, dicom_file, dicos, line
from tests.transports.connections import CT, EXPLICIT, OBJECT, server

carried = pytest.mark.usefixtures("transport")
"""Runs over each transport; code that all share is tested over one."""
MODELS = (
    *uids.QUERY_SOP_CLASSES, *uids.RETRIEVE_GET_SOP_CLASSES, *uids.RETRIEVE_MOVE_SOP_CLASSES,
)  # fmt: skip
POLICY = AcceptPolicy(
    contexts=dict.fromkeys((*MODELS, *uids.STORAGE_SOP_CLASSES), (EXPLICIT, uids.IMPLICIT_VR_LE)),
    other_contexts=(EXPLICIT,),
    roles={uid: Roles(scu=True, scp=True) for uid in uids.STORAGE_SOP_CLASSES},
)
OK, FAILED, USAGE, NO_ASSOCIATION, INTERRUPTED = 0, 1, 2, 3, 130
STUDY = ("-S", "-L", "STUDY")


def match(name: str, **others: object) -> Dataset:
    dataset = Dataset()
    dataset.PatientName = name
    for keyword, value in others.items():
        setattr(dataset, keyword, value)
    return dataset


class Archive:
    """Answers C-FIND with `matches`, C-GET with `instances`, C-MOVE by `moving`; the requests are kept in `asked`."""

    def __init__(
        self,
        *matches: Dataset,
        instances: tuple[Instance, ...] = (),
        final: int = status.SUCCESS,
        moving: Callable[[MoveRequest], None] | None = None,
    ) -> None:
        self.asked: list[tuple[str, Dataset]] = []
        self.cancelled = 0
        self._matches = matches
        self._instances = instances
        self._final = final
        self._moving = moving

    def __call__(self, session: Session) -> None:
        for request in session:
            identifier = request.attributes()
            assert identifier is not None
            self.asked.append((request.sop_class_uid, identifier.dataset))
            match request:
                case FindRequest():
                    self._find(request)
                case GetRequest():
                    request.send(self._instances, len(self._instances))
                case MoveRequest():
                    assert self._moving is not None
                    self._moving(request)
                case _:
                    raise AssertionError(request.name)

    def _find(self, request: FindRequest) -> None:
        for one in self._matches:
            if not request.match(one):
                self.cancelled += 1
                request.end()
                return
        request.respond(self._final, "no more" if self._final else None)


def instance(uid: str, size: int = 4) -> Instance:
    value = uid.encode() + b"\0" * (len(uid) % 2)
    data = (
        b"\x08\0\x18\0UI"
        + len(value).to_bytes(2, "little")
        + value
        + b"\xe0\x7f\x10\0OW\0\0"
        + size.to_bytes(4, "little")
        + bytes(size)
    )
    return Instance(sop_class_uid=CT, sop_instance_uid=uid, transfer_syntax=EXPLICIT, data=data)


# -- C-FIND ------------------------------------------------------------------------------------------------------------


@carried
def test_matches_are_a_table() -> None:
    archive = Archive(match("DOE^JANE", PatientID="1"), match("ROE", PatientID="23"))
    with server(archive, policy=POLICY) as running:
        result = dicos("findscu", "127.0.0.1", running.port, *STUDY, "-k", "PatientName=*", "-k", "PatientID")
    assert result.status == OK, result.err
    assert result.out == (
        "PatientName  PatientID\n"
        "-----------  ---------\n"
        "DOE^JANE     1\n"
        "ROE          23\n"
    )  # fmt: skip
    assert result.err.startswith("2 matches in ")
    ((model, identifier),) = archive.asked
    assert model == uids.STUDY_ROOT_FIND
    assert (identifier.QueryRetrieveLevel, identifier.PatientName, identifier.PatientID) == ("STUDY", "*", "")


def test_matches_for_machines_are_dicom_json() -> None:
    archive = Archive(match("Müller^Jörg", SpecificCharacterSet="ISO_IR 100"), match("ROE", Rows=3))
    with server(archive, policy=POLICY) as running:
        result = dicos("findscu", "--json", "-q", "127.0.0.1", running.port, *STUDY, "-k", "PatientName=*")
    assert (result.status, result.err) == (OK, "")
    first, second = result.named("match")
    assert first["attributes"]["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Müller^Jörg"}]}
    assert Dataset.from_json(second["attributes"]) == match("ROE", Rows=3)
    assert [event["event"] for event in result.events] == ["association", "match", "match", "summary"]
    assert result.named("summary")[0]["matches"] == 2


def test_a_terminal_that_has_not_all_characters() -> None:
    archive = Archive(match("山田^太郎", SpecificCharacterSet="ISO_IR 192"))
    with server(archive, policy=POLICY) as running:
        words = line("findscu", "127.0.0.1", running.port, *STUDY, "-k", "PatientName")
        environment = {**ENVIRONMENT, "PYTHONIOENCODING": "ascii"}
        done = subprocess.run(words, env=environment, text=True, capture_output=True, timeout=TIMEOUT)
    assert done.returncode == OK, done.stderr
    assert done.stdout.splitlines()[2] == "\\u5c71\\u7530^\\u592a\\u90ce"


def test_numbers_that_json_has_not_are_strings() -> None:
    numbers = match("A")
    numbers.add_new(0x00189073, "FD", [1.5, float("nan"), float("inf")])
    with server(Archive(numbers), policy=POLICY) as running:
        result = dicos("findscu", "--json", "127.0.0.1", running.port, *STUDY, "-k", "PatientName")
    assert "NaN," not in result.out
    assert result.named("match")[0]["attributes"]["00189073"]["Value"] == [1.5, "NaN", "inf"]


@pytest.mark.parametrize(
    ("flags", "model"),
    [
        (("-L", "STUDY"), uids.PATIENT_ROOT_FIND),
        (("-P", "-L", "patient"), uids.PATIENT_ROOT_FIND),
        (("-S", "-L", "SERIES"), uids.STUDY_ROOT_FIND),
        (("-O", "-k", "QueryRetrieveLevel=STUDY"), uids.PATIENT_STUDY_ONLY_FIND),
        (("-W",), uids.MODALITY_WORKLIST_FIND),
        (("--model", "1.2.3.4.5"), "1.2.3.4.5"),
    ],
)
def test_the_information_model(flags: tuple[str, ...], model: str) -> None:
    archive = Archive()
    with server(archive, policy=POLICY) as running:
        assert dicos("findscu", "127.0.0.1", running.port, *flags, "-k", "PatientName").status == OK
    assert archive.asked[0][0] == model


def test_a_worklist_with_keys_in_a_sequence() -> None:
    step, found = Dataset(), match("DOE")
    step.Modality, step.ScheduledProcedureStepStartDate = "CT", "20200101"
    found.ScheduledProcedureStepSequence = [step]
    archive = Archive(found)
    with server(archive, policy=POLICY) as running:
        result = dicos("findscu", "127.0.0.1", running.port, "-W", "-k", "PatientName", "-k",
                       "ScheduledProcedureStepSequence[0].Modality=CT", "-k", "(0040,0100)[0].0040,0002")  # fmt: skip
    assert result.status == OK
    assert result.out.splitlines()[0].split() == ["PatientName", "Modality", "ScheduledProcedureStepStartDate"]
    assert result.out.splitlines()[2].split() == ["DOE", "CT", "20200101"]


def test_queries_out_of_a_file_with_keys_on_top(tmp_path: Path) -> None:
    archive = Archive(match("DOE"))
    (tmp_path / "query").write_text(json.dumps([match("A").to_json_dict(), match("B").to_json_dict()]))
    with server(archive, policy=POLICY) as running:
        words = ("-f", tmp_path / "query", *STUDY, "-k", "PatientID=7")
        assert dicos("findscu", "127.0.0.1", running.port, *words).status == OK
        assert running.served == 1
    assert [(str(one.PatientName), one.PatientID) for _, one in archive.asked] == [("A", "7"), ("B", "7")]


@carried
def test_after_enough_matches_the_peer_is_asked_to_stop() -> None:
    archive = Archive(*(match(f"N{number}") for number in range(5000)))
    with server(archive, policy=POLICY) as running:
        result = dicos("findscu", "127.0.0.1", running.port, *STUDY, "-k", "PatientName", "--max", 3)
    assert result.status == OK, result.err
    assert result.out.split()[2:] == ["N0", "N1", "N2"]
    assert archive.cancelled == 1
    assert "3 matches in" in result.err


@pytest.mark.parametrize("code", [0xA700, 0xA900, 0xC001, 0xFE00])
def test_a_status_that_is_no_success_is_said(code: int) -> None:
    archive = Archive(match("DOE"), final=code)
    with server(archive, policy=POLICY) as running:
        result = dicos("findscu", "--json", "127.0.0.1", running.port, *STUDY, "-k", "PatientName")
    assert result.status == FAILED
    assert "1 match in 0.0" in result.err
    assert f"0x{code:04X}" in result.err
    assert "'no more'" in result.err
    assert result.named("summary")[0]["status"] == code


def test_a_warning_is_a_success_that_is_shown() -> None:
    with server(Archive(match("DOE"), final=0xB001), policy=POLICY) as running:
        result = dicos("findscu", "127.0.0.1", running.port, *STUDY, "-k", "PatientName")
    assert result.status == OK
    assert "0xB001" in result.err


def test_a_match_that_is_no_data_set_costs_no_other_one() -> None:
    good = datasets.encode(match("DOE"), EXPLICIT)

    def handle(session: Session) -> None:
        for request in session:
            assert isinstance(request, FindRequest)
            for content in (good, b"\x10\0\x10\0PN\xff\xffsecret", good):
                request.match(content)
            request.end()

    with server(handle, policy=POLICY) as running:
        result = dicos("findscu", "127.0.0.1", running.port, *STUDY, "-k", "PatientName")
    assert result.status == FAILED
    assert result.out.split()[2:] == ["DOE", "DOE"]
    assert "3 matches" in result.err
    assert "1 unreadable" in result.err
    assert "secret" not in result.err


@carried
def test_a_peer_that_aborts_in_the_middle() -> None:
    def handle(session: Session) -> None:
        for request in session:
            assert isinstance(request, FindRequest)
            request.match(match("DOE"))
            session.abort()
            return

    with server(handle, policy=POLICY) as running:
        result = dicos("findscu", "127.0.0.1", running.port, *STUDY, "-k", "PatientName")
    assert result.status == FAILED
    assert "DOE" in result.out  # received matches are printed
    assert "error: the peer says: association aborted" in result.err


def test_a_peer_that_has_no_such_service() -> None:
    with server(policy=AcceptPolicy(contexts={uids.VERIFICATION: (EXPLICIT,)})) as running:
        for name in ("findscu", "getscu", "movescu"):
            result = dicos(name, "127.0.0.1", running.port, *STUDY, "-k", "PatientName")
            assert result.status == FAILED
            assert "no presentation context for Study Root" in result.err


@carried
def test_nobody_there() -> None:
    with deaf_port() as port:
        for name in ("findscu", "getscu", "movescu"):
            assert dicos(name, "127.0.0.1", port, *STUDY, "-k", "PatientName").status == NO_ASSOCIATION


# -- Ctrl-C ------------------------------------------------------------------------------------------------------------


def interrupted(
    ready: threading.Event, *words: object, times: int = 1, cancel_patience: float = 600.0
) -> tuple[Result, float]:
    """Run the command, and press Ctrl-C once the event is set; and the seconds from then to its end.

    It waits for `cancel_patience` seconds for a peer to react to a C-CANCEL, and not long for one to take an A-ABORT.
    """
    abort = dict.fromkeys(("cli.timers.PATIENCE", "sessions.running.LAST_WORDS"), 0.2)
    timers = {"cli.timers.CANCEL_PATIENCE": cancel_patience} | abort
    process = forking.start(line(*words)[len(COMMAND) :], ENVIRONMENT, timers=timers)
    try:
        assert ready.wait(TIMEOUT)
        begun = monotonic()
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            if times > 1:
                ready.clear()
                ready.wait(0.5)
        out, err = process.communicate(TIMEOUT)
    finally:
        process.kill()
    return Result(process.wait(TIMEOUT), out, err), monotonic() - begun


def endless(ready: threading.Event, ends: list[int]) -> Callable[[Session], None]:
    """Send endless matches until a C-CANCEL."""

    def handle(session: Session) -> None:
        for request in session:
            assert isinstance(request, FindRequest)
            count = 0
            while request.match(match(f"N{count}")):
                count += 1
                if count == 10:
                    ready.set()
            ends.append(request.end())

    return handle


@carried
def test_ctrl_c_asks_the_peer_to_stop_and_what_came_is_shown() -> None:
    ready, ends = threading.Event(), []  # type: ignore[var-annotated]
    with server(endless(ready, ends), policy=POLICY) as running:
        words = ("findscu", "127.0.0.1", running.port, *STUDY, "-k", "PatientName")
        result, _ = interrupted(ready, *words)
        metrics = running.metrics
    assert result.status == INTERRUPTED
    assert ends == [status.CANCEL]
    assert result.out.split()[:4] == ["PatientName", "-----------", "N0", "N1"]
    assert "0xFE00" in result.err
    assert result.err.endswith("dicos: interrupted\n")
    assert metrics.aborted == 0


@carried
def test_a_peer_that_does_not_heed_it_is_left_at_the_second_ctrl_c() -> None:
    ready, over = threading.Event(), threading.Event()

    def handle(session: Session) -> None:
        for request in session:
            assert isinstance(request, FindRequest)
            request.match(match("DOE"))
            ready.set()
            over.wait(TIMEOUT)
            return

    with server(handle, policy=POLICY) as running:
        words = ("findscu", "127.0.0.1", running.port, *STUDY, "-k", "PatientName")
        result, _ = interrupted(ready, *words, times=2)  # it must end before its time limit
        over.set()
    assert result.status == INTERRUPTED


@carried
def test_a_peer_that_does_not_heed_it_is_not_waited_for_without_end() -> None:
    ready, over = threading.Event(), threading.Event()

    def handle(session: Session) -> None:
        for request in session:
            assert isinstance(request, FindRequest)
            request.match(match("DOE"))
            ready.set()
            over.wait(TIMEOUT)
            return

    with server(handle, policy=POLICY) as running:
        words = ("findscu", "127.0.0.1", running.port, *STUDY, "-k", "PatientName")
        result, seconds = interrupted(ready, *words, cancel_patience=0.7)
        over.set()
    assert result.status == INTERRUPTED
    assert 0.6 < seconds  # less than `TIMEOUT`, because it has ended


# -- C-GET -------------------------------------------------------------------------------------------------------------


@carried
def test_what_is_fetched_becomes_files(tmp_path: Path) -> None:
    archive = Archive(instances=tuple(instance(f"1.2.{number}", 1000 + 600_000 * number) for number in range(3)))
    with server(archive, policy=POLICY) as running:
        words = (*STUDY, "-k", "StudyInstanceUID=1.2", "-od", tmp_path, "-aec", "ARCHIVE")
        result = dicos("getscu", "-v", "--json", "127.0.0.1", running.port, *words)
    assert result.status == OK, result.err
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == ["1.2.0.dcm", "1.2.1.dcm", "1.2.2.dcm"]
    assert [part10.inspect(path).data_length - 26 for path in files] == [1000, 601_000, 1_201_000]
    assert b"ARCHIVE" in files[0].read_bytes()[:500]  # the sender
    summary = result.named("summary")[0]
    assert (summary["completed"], summary["failed"], summary["failed_instances"]) == (3, 0, [])
    assert len(result.named("stored")) == 3
    assert "3 objects in" in result.err


def test_nothing_to_fetch_is_no_failure(tmp_path: Path) -> None:
    with server(Archive(), policy=POLICY) as running:
        result = dicos("getscu", "127.0.0.1", running.port, *STUDY, "-k", "StudyInstanceUID=1", "-od", tmp_path)
    assert (result.status, list(tmp_path.iterdir())) == (OK, [])
    assert "0 objects in" in result.err


def test_what_has_no_context_fails_and_is_named(tmp_path: Path) -> None:
    archive = Archive(instances=(instance("1.2.1"), instance("1.2.2")))
    with server(archive, policy=POLICY) as running:
        words = (*STUDY, "-k", "StudyInstanceUID=1", "-od", tmp_path, "--sop-class", "MRImageStorage")
        result = dicos("getscu", "--json", "127.0.0.1", running.port, *words)
    assert result.status == FAILED
    assert "'1.2.1': failed" in result.err
    assert result.named("summary")[0]["failed_instances"] == ["1.2.1", "1.2.2"]
    assert [one["abstract_syntax"] for one in result.named("association")[0]["accepted"]] == [
        uids.STUDY_ROOT_GET, uids.MR_IMAGE_STORAGE,
    ]  # fmt: skip


@carried
def test_what_cannot_be_stored_here_is_answered_so_and_fails(tmp_path: Path) -> None:
    archive = Archive(instances=(instance("1.2.1", 10_000), instance("1.2.2", 10)))
    with server(archive, policy=POLICY) as running:
        words = (*STUDY, "-k", "StudyInstanceUID=1", "-od", tmp_path, "--max-object", 5000)
        result = dicos("getscu", "--json", "127.0.0.1", running.port, *words)
    assert result.status == FAILED
    assert "more than 5000 bytes" in result.err
    assert (result.named("summary")[0]["completed"], result.named("summary")[0]["failed"]) == (1, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["1.2.2.dcm"]


def test_compressed_objects_come_where_their_transfer_syntax_is_proposed(tmp_path: Path) -> None:
    rle = Instance(sop_class_uid=CT, sop_instance_uid="1.2.1", transfer_syntax=uids.RLE_LOSSLESS, data=OBJECT)
    contexts = {CT: (EXPLICIT, uids.RLE_LOSSLESS), uids.STUDY_ROOT_GET: (EXPLICIT,)}
    policy = AcceptPolicy(contexts=contexts, roles=POLICY.roles)
    with server(Archive(instances=(rle,)), policy=policy) as running:
        words = ("127.0.0.1", running.port, *STUDY, "-k", "StudyInstanceUID=1", "-od", tmp_path, "--sop-class", CT)
        assert dicos("getscu", *words).status == FAILED
        assert dicos("getscu", *words, "-x", "rle-lossless").status == OK
    assert part10.inspect(tmp_path / "1.2.1.dcm").transfer_syntax == uids.RLE_LOSSLESS


def test_as_many_storage_classes_are_proposed_as_there_is_room_for(tmp_path: Path) -> None:
    with server(Archive(), policy=POLICY) as running:
        result = dicos("getscu", "-v", "--json", "127.0.0.1", running.port, *STUDY, "-k", "PatientID", "-od", tmp_path)
    proposed = [one["abstract_syntax"] for one in result.named("association")[0]["accepted"]]
    assert len(proposed) == 128
    assert proposed[0] == uids.STUDY_ROOT_GET
    assert {CT, uids.MR_IMAGE_STORAGE, uids.SECONDARY_CAPTURE_IMAGE_STORAGE} < set(proposed)
    assert "select SOP classes by --sop-class" in result.err


@carried
def test_ctrl_c_ends_a_c_get_after_the_object_under_way(tmp_path: Path) -> None:
    ready = threading.Event()

    def many() -> Iterator[Instance]:
        for number in range(100_000):
            if number == 5:
                ready.set()
            yield instance(f"1.2.{number}", 10_000)

    def handle(session: Session) -> None:
        for request in session:
            assert isinstance(request, GetRequest)
            request.send(many(), 100_000)

    with server(handle, policy=POLICY) as running:
        words = ("getscu", "127.0.0.1", running.port, *STUDY, "-k", "StudyInstanceUID=1", "-od", tmp_path)
        result, _ = interrupted(ready, *words)
        metrics = running.metrics
    assert result.status == INTERRUPTED
    assert "0xFE00" in result.err
    assert metrics.aborted == 0
    stored = list(tmp_path.iterdir())
    assert len(stored) >= 5
    assert all(path.suffix == ".dcm" for path in stored)


# -- C-MOVE ------------------------------------------------------------------------------------------------------------


def test_objects_are_moved_to_a_third_one() -> None:
    destinations = []

    def moving(request: MoveRequest) -> None:
        destinations.append(request.performing.task(()).destination)
        request.performing.begin(0)
        request.respond()

    archive = Archive(moving=moving)
    with server(archive, policy=POLICY) as running:
        words = ("127.0.0.1", running.port, *STUDY, "-k", "StudyInstanceUID=1")
        assert dicos("movescu", *words, "-aem", "THIRD").status == OK
        assert dicos("movescu", *words, "-aet", "SELF").status == OK
    assert destinations == ["THIRD", "SELF"]


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


@carried
def test_objects_are_moved_to_the_command_itself(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    files = [part10.inspect(dicom_file(tmp_path / "in" / str(number), uid=f"1.2.{number}")) for number in range(5)]
    port = free_port()

    def moving(request: MoveRequest) -> None:
        (batch,) = plan(files)
        with connect(("127.0.0.1", port), batch.contexts, called_aet="ME") as session:
            instances = (_instance_of(session, file) for file in files)
            request.send(session, instances, len(files))

    archive = Archive(moving=moving)
    with server(archive, policy=POLICY) as running:
        at = f"127.0.0.1:{port}"  # the port alone is valid as well
        words = (*STUDY, "-k", "StudyInstanceUID=1", "-aet", "ME", "--store-port", at, "-od", tmp_path / "out")
        result = dicos("movescu", "-v", "--json", "127.0.0.1", running.port, *words)
    assert result.status == OK, result.err
    assert len(list((tmp_path / "out").iterdir())) == 5
    assert result.named("received")[0]["stored"] == 5
    assert result.named("summary")[0]["completed"] == 5
    assert result.named("listening")[0]["port"] == port
    assert len(result.named("progress")) >= 4
    assert "received 5 objects" in result.err


class Strangers:
    """Run an archive that answers a C-MOVE itself while others use the open port. Returns their results."""

    def __init__(self, port: int, file: part10.Part10File) -> None:
        self.port, self.file = port, file
        (self.batch,) = plan([file])
        self.got: dict[str, int | str] = {}

    def before(self, request: object) -> None:
        """Called when the association is requested, before any C-MOVE."""
        self.store("before", called="ME", calling="ARCHIVE")

    def store(self, case: str, called: str, calling: str, originator: tuple[str, int] | None = None) -> None:
        try:
            with connect(
                ("127.0.0.1", self.port), self.batch.contexts, called_aet=called, calling_aet=calling
            ) as session:
                one = _instance_of(session, self.file)
                outcome = session.run(StoreMany(session.exchange, [one], originator=originator).next())
                assert outcome is not None
                assert outcome.response is not None
                self.got[case] = outcome.response.status
        except AssociationRejected as rejected:
            self.got[case] = str(rejected)

    def moving(self, request: MoveRequest) -> None:
        number = request.command.message_id
        self.store("another title", called="YOU", calling="ARCHIVE")
        self.store("another sender", called="ME", calling="STRANGER")
        self.store("another originator", called="ME", calling="ARCHIVE", originator=("OTHER", number))
        self.store("another C-MOVE", called="ME", calling="ARCHIVE", originator=("ME", number + 7))
        self.store("no originator", called="ME", calling="ARCHIVE")
        self.store("the originator", called="ME", calling="ARCHIVE", originator=("ME", number))
        request.performing.begin(0)
        request.respond()


@carried
def test_only_what_was_asked_for_is_received(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    at = Strangers(free_port(), part10.inspect(dicom_file(tmp_path / "a", uid="1.2.3")))
    archive = Archive(moving=at.moving)
    with server(archive, policy=POLICY, identify=at.before) as running:
        peer = f"ARCHIVE@127.0.0.1:{running.port}"
        words = (*STUDY, "-k", "StudyInstanceUID=1", "-aet", "ME", "--store-port", at.port, "-od", tmp_path / "out")
        result = dicos("movescu", "--json", peer, *words, "--from-aet", "ARCHIVE", "--from-aet", "OTHER")
    assert result.status == OK, result.err
    assert {case: got for case, got in at.got.items() if isinstance(got, int)} == {
        "another originator": 0x0124, "another C-MOVE": 0x0124, "no originator": 0, "the originator": 0,
    }  # fmt: skip
    assert "no reason given" in str(at.got["before"])
    assert "called AE title not recognized" in str(at.got["another title"])
    assert "calling AE title not recognized" in str(at.got["another sender"])
    assert "association from 'ARCHIVE' rejected: no C-MOVE is outstanding" in result.err
    assert result.named("received")[0]["stored"] == 2
    assert [event["why"] for event in result.named("refused")] == [
        "it belongs to a C-MOVE of another originator", "it belongs to another C-MOVE",
    ]  # fmt: skip


def test_whoever_may_send_what_is_moved(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    at = Strangers(free_port(), part10.inspect(dicom_file(tmp_path / "a", uid="1.2.3")))
    words = (*STUDY, "-k", "StudyInstanceUID=1", "-aet", "ME", "--store-port", at.port, "-od", tmp_path / "out")
    with server(Archive(moving=at.moving), policy=POLICY) as running:
        assert dicos("movescu", f"OTHER@127.0.0.1:{running.port}", *words).status == OK
    assert at.got["another sender"] == at.got["the originator"] == 0  # archives have more than one title


def test_an_object_that_is_too_large_is_not_received(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    file = part10.inspect(dicom_file(tmp_path / "a", uid="1.2.3", pixels=10_000))
    at = Strangers(free_port(), file)
    words = (*STUDY, "-k", "StudyInstanceUID=1", "-aet", "ME", "--store-port", at.port, "-od", tmp_path / "out")
    with server(Archive(moving=at.moving), policy=POLICY) as running:
        result = dicos("movescu", "127.0.0.1", running.port, *words, "--max-object", 5000)
    assert result.status == FAILED
    assert at.got["the originator"] == 0xA700
    assert list((tmp_path / "out").iterdir()) == []


def _instance_of(session: Session, file: part10.Part10File) -> Instance:
    from dicos_transports.files.sending import prepare

    return prepare(session.association, file)


@pytest.mark.parametrize(("code", "said"), [(0xA801, "move destination unknown"), (0xA702, "sub-operations")])
def test_a_c_move_that_fails(code: int, said: str) -> None:
    def moving(request: MoveRequest) -> None:
        request.respond(code)

    with server(Archive(moving=moving), policy=POLICY) as running:
        result = dicos("movescu", "127.0.0.1", running.port, *STUDY, "-k", "StudyInstanceUID=1", "-aem", "THIRD")
    assert result.status == FAILED
    assert f"0x{code:04X}" in result.err
    assert said in result.err


def test_failed_sub_operations_fail_the_command_although_the_status_is_a_warning(tmp_path: Path) -> None:
    file = part10.inspect(dicom_file(tmp_path / "a"))

    def refuse(session: Session) -> None:
        for request in session:
            request.respond(0xA700)

    with server(refuse) as third:

        def moving(request: MoveRequest) -> None:
            (batch,) = plan([file])
            with connect(("127.0.0.1", third.port), batch.contexts) as session:
                request.send(session, (_instance_of(session, file),), 1)

        with server(Archive(moving=moving), policy=POLICY) as running:
            result = dicos("movescu", "127.0.0.1", running.port, *STUDY, "-k", "StudyInstanceUID=1", "-aem", "THIRD")
    assert result.status == FAILED
    assert "1 failed" in result.err
    assert "'1.2.3': failed" in result.err


def test_a_port_in_use_for_what_is_moved(tmp_path: Path) -> None:
    with server(Archive(), policy=POLICY) as running:
        words = (*STUDY, "-k", "PatientID", "--store-port", running.port, "-od", tmp_path)
        result = dicos("movescu", "127.0.0.1", running.port, *words)
    assert result.status == NO_ASSOCIATION
    assert "address already in use" in result.err


# -- usage -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("findscu",), "required: host"),
        (("findscu", *STUDY), "no keys: -k gives a key, -f a file with keys"),
        (("findscu", "-S", "-k", "PatientName"), "no query/retrieve level: give one, such as -L STUDY"),
        (("findscu", *STUDY, "-k", "PatentName"), "did you mean PatientName"),
        (("findscu", *STUDY, "-f", "/nonexistent"), "no such file"),
        (("findscu", *STUDY, "-k", "PatientName=\udce9"), "cannot be encoded in the character set ISO_IR 192"),
        (("findscu", "-S", "-W"), "not allowed with"),
        (("findscu", "--model", "Qqq"), "a UID or a name"),
        (("findscu", "-L", "ROOM"), "invalid choice"),
        (("getscu", "-W"), "unrecognized arguments"),
        (("getscu", *STUDY, "-k", "PatientID", "-od", "/nonexistent"), "-od names a folder to write to"),
        (("getscu", "-x", "jpeg-basline"), "did you mean"),
        (("movescu", *STUDY, "-k", "PatientID", "--store-port", "0", "-od", "/nonexistent"), "does not exist"),
        (("movescu", "-aem", "a\\b"), "no backslash"),
        (("movescu", "-k", "x", "--max-object", "5"), "--max-object without --store-port: nothing is received here"),
        (("movescu", "-k", "x", "--from-aet", "A"), "--from-aet without --store-port: nothing is received here"),
        (("movescu", "-k", "x", "-x", "1.2.3"), "-x without --store-port: nothing is received here"),
        (("movescu", "-k", "x", "-od", "."), "-od without --store-port: nothing is received here"),
        (("movescu", "-k", "x", "--overwrite"), "--overwrite without --store-port: nothing is received here"),
        (("movescu", "-k", "x", "--no-check"), "--no-check without --store-port: nothing is received here"),
        (("movescu", "-k", "x", "--fsync"), "--fsync without --store-port: nothing is received here"),
        (("movescu", "-k", "x", "--store-port", "[::1]:0", "--bind", "::1"), "two addresses to listen on: --bind"),
        (("movescu", "-k", "x", "--store-port", "A@127.0.0.1:0"), "without an AE title"),
        (("movescu", "-k", "x", "--store-port", "127.0.0.1:x"), "port 'x': expected 0 to 65535"),
    ],
)
def test_bad_usage(words: tuple[str, ...], said: str) -> None:
    peer = () if words == ("findscu",) else ("127.0.0.1", 1)
    result = dicos(words[0], *peer, *words[1:])
    assert (result.status, result.out) == (USAGE, ""), result.err
    assert said in result.err.splitlines()[-1]
