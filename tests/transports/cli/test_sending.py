"""`dicos storescu` over several associations, with an operations window, with retries: what is sent, and how often."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dicos_proto.registry import uids
from dicos_proto.upper_layer.pdu_types import OperationsWindow
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports.blocking import Session, StoreRequest
from tests.transports.cli.commands import deaf_port, dicom_file, dicos, provider
from tests.transports.connections import CT, EXPLICIT, answer_all, server

carried = pytest.mark.usefixtures("transport")
"""Runs over each transport; code that all share is tested over one."""


def some_files(folder: Path, count: int, pixels: int = 100) -> list[Path]:
    folder.mkdir(parents=True)
    return [dicom_file(folder / f"{number:03}.dcm", uid=f"1.2.{number}", pixels=pixels) for number in range(count)]


class Archive:
    """A provider that counts objects by SOP Instance UID. `fault` is called with the number of each answer."""

    def __init__(self, fault: Callable[[Session, StoreRequest, int], int | None] | None = None) -> None:
        self.arrived: Counter[str] = Counter()
        self.sessions = 0
        self.windows: list[OperationsWindow | None] = []
        self._fault = fault
        self._lock = threading.Lock()

    def __call__(self, session: Session) -> None:
        with self._lock:
            self.sessions += 1
            self.windows.append(session.request.user_information.window)
        for request in session:
            assert isinstance(request, StoreRequest)
            for _ in request.data():
                pass
            with self._lock:
                self.arrived[request.sop_instance_uid] += 1
                number = self.arrived.total()
            status = self._fault(session, request, number) if self._fault is not None else 0
            if status is None:
                return
            request.respond(status)


POLICY = AcceptPolicy(other_contexts=(EXPLICIT,), window=OperationsWindow(invoked=16, performed=1))


# -- several at a time -------------------------------------------------------------------------------------------------


@carried
@pytest.mark.parametrize("wanted", [0, 8])
def test_a_window_is_filled_before_the_first_answer(tmp_path: Path, wanted: int) -> None:
    files = some_files(tmp_path / "in", 16)
    archive = Archive()

    def late(session: Session) -> None:
        # No answer before eight requests have arrived: with one at a time this would hang.
        outstanding: list[StoreRequest] = []
        for request in session:
            assert isinstance(request, StoreRequest)
            for _ in request.data():
                pass
            archive.arrived[request.sop_instance_uid] += 1
            outstanding.append(request)
            request.performing.answered = True  # answered below
            if len(outstanding) == 8:
                for one in outstanding:
                    one.performing.answered = False
                    one.respond()
                outstanding.clear()

    with server(late, policy=POLICY) as running:
        result = dicos("storescu", "-v", "--json", "--window", wanted, "127.0.0.1", running.port, *files)
    assert result.status == 0, result.err
    assert archive.arrived == Counter({f"1.2.{number}": 1 for number in range(16)})
    assert f"outstanding operations: {wanted or 'no limit'} proposed, {wanted or 16} granted" in result.err
    assert result.named("association")[0]["window"] == (wanted or 16)


def test_a_peer_that_grants_none_gets_one_at_a_time(tmp_path: Path) -> None:
    files = some_files(tmp_path / "in", 3)
    with server(answer_all) as running:
        result = dicos("storescu", "-v", "--window", 8, "127.0.0.1", running.port, *files)
    assert result.status == 0
    assert "outstanding operations: 8 proposed, 1 granted" in result.err


@pytest.mark.parametrize(("flags", "granted"), [((), 8), (("--window", 3), 3), (("--window", 1), 1)])
def test_what_storescp_grants(tmp_path: Path, flags: tuple[object, ...], granted: int) -> None:
    files = some_files(tmp_path / "in", 40, 5000)
    (tmp_path / "out").mkdir()
    with provider("storescp", "-od", tmp_path / "out", *flags) as scp:
        result = dicos("storescu", "--json", "--window", 8, "127.0.0.1", scp.port, *files)
        assert scp.stop().named("summary")[0]["stored"] == 40
    assert result.status == 0
    assert result.named("association")[0]["window"] == granted
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"1.2.{number}.dcm" for number in range(40)}


@carried
def test_several_associations_share_the_files(tmp_path: Path) -> None:
    files = some_files(tmp_path / "in", 30)
    together = threading.Barrier(3, timeout=20)
    first = threading.local()

    def meet(session: Session, request: StoreRequest, number: int) -> int:
        if not hasattr(first, "met"):
            first.met = True
            together.wait()  # waits until three associations have a file each
        return 0

    archive = Archive(meet)
    with server(archive, policy=POLICY) as running:
        result = dicos("storescu", "--json", "--associations", 3, "127.0.0.1", running.port, *files)
    assert result.status == 0, result.err
    assert archive.sessions == 3
    assert archive.arrived == Counter({f"1.2.{number}": 1 for number in range(30)})
    summary = result.named("summary")[0]
    assert (summary["stored"], summary["associations"]) == (30, 3)


def test_there_are_no_more_associations_than_files(tmp_path: Path) -> None:
    files = some_files(tmp_path / "in", 2)
    archive = Archive()
    with server(archive) as running:
        assert dicos("storescu", "--associations", 9, "127.0.0.1", running.port, *files).status == 0
    assert archive.sessions <= 2


@carried
def test_a_peer_with_room_for_one_association_gets_all_over_that_one(tmp_path: Path) -> None:
    files = some_files(tmp_path / "in", 60, 60_000)
    (tmp_path / "out").mkdir()
    with provider("storescp", "-od", tmp_path / "out", "--max-associations", 1) as scp:
        result = dicos("storescu", "-v", "--associations", 3, "127.0.0.1", scp.port, *files)
    assert result.status == 0
    assert "stored 60 of 60 files" in result.err


@carried
def test_the_loss_of_one_association_fails_its_own_files_only(tmp_path: Path) -> None:
    files = some_files(tmp_path / "in", 20)

    def fault(session: Session, request: StoreRequest, number: int) -> int | None:
        if request.sop_instance_uid == "1.2.5":
            session.abort()
            return None
        return 0

    archive = Archive(fault)
    with server(archive) as running:
        result = dicos("storescu", "--json", "--associations", 2, "127.0.0.1", running.port, *files)
    assert result.status == 1
    assert [Path(event["path"]).name for event in result.named("failed")] == ["005.dcm"]
    assert result.named("summary")[0]["stored"] == 19


def test_several_sets_of_contexts_over_several_associations(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number, sop_class in enumerate(uids.STORAGE_SOP_CLASSES[:70]):
        dicom_file(tmp_path / "in" / f"{number:03}", sop_class=sop_class, uid=f"1.2.{number}")
    archive = Archive()
    with server(archive, policy=POLICY) as running:
        result = dicos("storescu", "--associations", 2, "--window", 4, "-r", "127.0.0.1", running.port, tmp_path / "in")
    assert result.status == 0
    assert archive.arrived == Counter({f"1.2.{number}": 1 for number in range(70)})


# -- again -----------------------------------------------------------------------------------------------------------


def abort_first(times: int) -> Callable[[Session, StoreRequest, int], int | None]:
    """The first objects make the provider abort their association."""

    def fault(session: Session, request: StoreRequest, number: int) -> int | None:
        if number <= times:
            session.abort()
            return None
        return 0

    return fault


@carried
@pytest.mark.parametrize("window", [1, 4])
def test_what_was_lost_on_the_way_is_sent_again(tmp_path: Path, window: int) -> None:
    files = some_files(tmp_path / "in", 6)
    archive = Archive(abort_first(2))
    with server(archive, policy=POLICY) as running:
        result = dicos("storescu", "--json", "--window", window, "--retries", 3, "--retry-delay", "0.01",
                       "127.0.0.1", running.port, *files)  # fmt: skip
    assert result.status == 0, result.err
    assert set(archive.arrived) == {f"1.2.{number}" for number in range(6)}
    assert result.named("summary")[0]["stored"] == 6
    assert result.named("summary")[0]["retried"] == len(result.named("retry")) >= 2
    assert "; to be sent again (1 of 3)" in result.err


def test_without_retries_nothing_is_sent_twice(tmp_path: Path) -> None:
    files = some_files(tmp_path / "in", 3)
    archive = Archive(abort_first(1))
    with server(archive) as running:
        result = dicos("storescu", "--json", "127.0.0.1", running.port, *files)
    assert result.status == 1
    assert max(archive.arrived.values()) == 1
    assert (result.named("retry"), len(result.named("failed"))) == ([], 1)


def test_a_file_that_makes_the_peer_abort_every_time_takes_no_others_with_it(tmp_path: Path) -> None:
    files = some_files(tmp_path / "in", 8)

    def fault(session: Session, request: StoreRequest, number: int) -> int | None:
        if request.sop_instance_uid == "1.2.3":
            session.abort()
            return None
        return 0

    archive = Archive(fault)
    with server(archive, policy=POLICY) as running:
        result = dicos("storescu", "--json", "--window", 8, "--retries", 2, "--retry-delay", "0.01",
                       "127.0.0.1", running.port, *files)  # fmt: skip
    assert result.status == 1
    assert [event["sop_instance_uid"] for event in result.named("failed")] == ["1.2.3"]
    assert result.named("summary")[0]["stored"] == 7
    assert archive.arrived["1.2.3"] == 3
    first, *others = [window.invoked if window else 1 for window in archive.windows]
    assert (first, set(others)) == (8, {1})


def test_what_the_peer_refuses_is_not_sent_again(tmp_path: Path) -> None:
    files = some_files(tmp_path / "in", 2)
    archive = Archive(lambda session, request, number: 0xA700)
    with server(archive) as running:
        result = dicos("storescu", "--json", "--retries", 5, "127.0.0.1", running.port, *files)
    assert result.status == 1
    assert archive.arrived == Counter({"1.2.0": 1, "1.2.1": 1})
    assert result.named("retry") == []


@carried
def test_a_bad_file_is_not_sent_again_and_costs_no_other_one(tmp_path: Path) -> None:
    files = some_files(tmp_path / "in", 4)
    # Implicit VR, which has to be converted, with pixels cut off after some megabytes.
    broken = dicom_file(tmp_path / "broken.dcm", uid="1.2.9", syntax=uids.IMPLICIT_VR_LE, data=b"\0" * 8)
    body = b"\x08\0\x16\0" + b"\x04\0\0\0" + b"1.2\0" + b"\xe0\x7f\x10\0" + (4 << 20).to_bytes(4, "little")
    broken.write_bytes(broken.read_bytes()[:-8] + body + bytes((4 << 20) - 100))
    with server(Archive(), policy=POLICY) as running:
        result = dicos("storescu", "--json", "--window", 4, "--retries", 2, "127.0.0.1", running.port,
                       *files[:2], broken, *files[2:])  # fmt: skip
    assert result.status == 1
    assert [event["path"] for event in result.named("failed")] == [str(broken)]
    assert (result.named("summary")[0]["stored"], result.named("retry")) == (4, [])


@carried
def test_a_peer_that_is_not_there_is_tried_again_with_growing_pauses(tmp_path: Path) -> None:
    (file,) = some_files(tmp_path / "in", 1)
    with deaf_port() as port:
        result = dicos("storescu", "--json", "--retries", 3, "--retry-delay", "0.01", "127.0.0.1", port, file)
    assert result.status == 3
    assert [event["delay"] for event in result.named("retry")] == [0.01, 0.02, 0.04]
    assert "connection refused; tried again in 0.02 s (2 of 3)" in result.err
    assert result.named("summary")[0]["not_tried"] == 1


@pytest.mark.parametrize(("associations", "errors"), [(1, 1), (3, 1)])
def test_a_peer_that_is_not_there_is_told_once(tmp_path: Path, associations: int, errors: int) -> None:
    files = some_files(tmp_path / "in", 5)
    with deaf_port() as port:
        result = dicos("storescu", "--associations", associations, "127.0.0.1", port, *files)
    assert result.status == 3
    assert result.err.count("error: ") == errors


@pytest.mark.parametrize(("limit", "tries"), [("transient", 3), ("permanent", 1)])
def test_a_rejection_is_tried_again_where_it_says_that_it_is_for_now(tmp_path: Path, limit: str, tries: int) -> None:
    (file,) = some_files(tmp_path / "in", 1)
    options: dict[str, Any] = {}
    if limit == "permanent":
        options["policy"] = AcceptPolicy(other_contexts=(EXPLICIT,), called_aets=frozenset({"OTHER"}))
    with server(Archive(), **options) as running:
        if limit == "transient":
            from dicos_transports.blocking.server import ServerLimits
            from tests.transports.connections import user

            with server(answer_all, server_limits=ServerLimits(associations=1)) as full, user(full):
                result = dicos("storescu", "--json", "--retries", 2, "--retry-delay", "0.01",
                               "127.0.0.1", full.port, file)  # fmt: skip
        else:
            result = dicos("storescu", "--json", "--retries", 2, "--retry-delay", "0.01",
                           "127.0.0.1", running.port, file)  # fmt: skip
    assert result.status == 3
    assert len(result.named("retry")) == tries - 1
    assert "rejected" in result.err


@pytest.mark.timer  # LAST_WORDS for a provider that does not read
@carried
def test_a_peer_that_answers_late_is_tried_again(tmp_path: Path) -> None:
    (file,) = some_files(tmp_path / "in", 1)
    over = threading.Event()

    def fault(session: Session, request: StoreRequest, number: int) -> int:
        if number == 1:
            over.wait(20)  # waits for the second one
        over.set()
        return 0

    with server(Archive(fault)) as running:
        result = dicos("storescu", "--json", "-td", "0.3", "--retries", 1, "--retry-delay", "0.01",
                       "127.0.0.1", running.port, file)  # fmt: skip
    assert result.status == 0, result.err
    assert "within 0.3 s" in result.named("retry")[0]["why"]


def test_classes_that_no_context_is_accepted_for_are_no_matter_of_retries(tmp_path: Path) -> None:
    (file,) = some_files(tmp_path / "in", 1)
    with server(policy=AcceptPolicy(contexts={uids.MR_IMAGE_STORAGE: (EXPLICIT,)})) as running:
        result = dicos("storescu", "--json", "--retries", 2, "127.0.0.1", running.port, file)
    assert (result.status, result.named("retry")) == (1, [])
    assert CT not in uids.MR_IMAGE_STORAGE
