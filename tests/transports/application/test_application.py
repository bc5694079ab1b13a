"""`Application`: the functions of each service over real sockets, in each adapter, plain ones and awaited ones."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset

from dicos_proto.conversation.flows import AssociationAborted, find_context
from dicos_proto.conversation.invoking import ask
from dicos_proto.data.datasets import encode
from dicos_proto.dimse.types import CFindRequest, CGetRequest, CMoveRequest, CStoreRequest, DimseResponse
from dicos_proto.limits import Limits
from dicos_proto.registry import status, uids
from dicos_proto.services.retrieve import Counters
from dicos_proto.services.serving import Refused
from dicos_proto.services.storage import store
from dicos_proto.upper_layer.negotiation import propose
from dicos_proto.upper_layer.pdu import encode as encode_pdu
from dicos_proto.upper_layer.pdu_types import Abort, ReleaseRequest
from dicos_proto.upper_layer.policy import AcceptPolicy, Roles
from dicos_transports.application import Application, Asked, Reply, StoreAsked
from dicos_transports.blocking import StoreRequest, connect
from dicos_transports.serving import ServerLimits
from tests.pair import command, p_data
from tests.transports.application.applications import (
    FIND,
    GET,
    MOVE,
    WAYS,
    Way,
    application,
    dataset,
    each_way,
    image,
    of_kind,
    plain_instance,
    running,
    user,
)
from tests.transports.connections import ASKED, CT, EXPLICIT, OBJECT, PATIENCE, VERIFICATION, Lines, read_pdu, stored

MPPS = uids.MODALITY_PERFORMED_PROCEDURE_STEP
MR = uids.MR_IMAGE_STORAGE


def words(response: DimseResponse | None) -> tuple[int, str | None]:
    assert response is not None
    return response.status, response.error_comment


# -- C-ECHO and C-STORE ------------------------------------------------------------------------------------------------


@each_way
def test_an_echo_needs_no_function(way: Way) -> None:
    app = application(way)
    with running(way, app) as server, user(server, VERIFICATION) as session:
        assert session.echo().status == 0
    silent = application(way)
    silent.on_echo()(of_kind(way)(lambda asked: 0x0122 if asked.calling_aet == "TESTER" else None))
    with running(way, silent) as server, user(server, VERIFICATION) as session:
        assert session.echo().status == 0x0122


@each_way
def test_a_reply_with_a_comment_that_cannot_be_sent_as_it_is_is_sent(way: Way) -> None:
    app = application(way)
    comment = "C:\\größer" + "x" * 100
    app.on_store(check=False)(of_kind(way)(lambda asked: Reply(status=0xB007, comment=comment)))
    app.on_echo()(of_kind(way)(lambda asked: Reply(status=0x0122, comment="zwei\nZeilen\0")))
    with running(way, app) as server, user(server, CT, VERIFICATION) as session:
        for _ in range(2):
            stored = session.store(CT, "1.2.1", EXPLICIT, encode(image(1), EXPLICIT))
            assert words(stored) == (0xB007, "C:?gr??er" + "x" * 55)
            assert words(session.echo()) == (0x0122, "zwei?Zeilen?")


@each_way
def test_what_is_stored_is_given_whole(way: Way, tmp_path: Path) -> None:
    app = application(way)
    seen: list[Any] = []

    @app.on_store()
    @of_kind(way)
    def keep(asked: StoreAsked) -> Any:
        seen.append((asked.calling_aet, asked.called_aet, asked.sop_class_uid, asked.sop_instance_uid, asked.data))
        read = asked.dataset
        path = asked.save(tmp_path)
        assert dcmread(path) == read
        assert path.read_bytes() == asked.file
        return {"1": None, "2": 0xB000, "3": Reply(status=0xA700, comment="full")}[read.PatientID]

    sent = [image(number) for number in (1, 2, 3)]
    with running(way, app) as server, user(server, CT) as session:
        answers = [session.store(CT, one.SOPInstanceUID, EXPLICIT, encode(one, EXPLICIT)) for one in sent]
    assert list(map(words, answers)) == [(0, None), (0xB000, None), (0xA700, "full")]
    assert seen == [("TESTER", "ANY-SCP", CT, one.SOPInstanceUID, encode(one, EXPLICIT)) for one in sent]
    assert [dcmread(path).PatientID for path in sorted(tmp_path.iterdir())] == ["1", "2", "3"]


@each_way
@pytest.mark.filterwarnings("error")
def test_what_pydicom_would_warn_of_is_looked_at_without_a_warning(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    """Its warnings repeat what the peer wrote."""
    app = application(way)
    seen: list[Any] = []

    @app.on_store()
    @of_kind(way)
    def keep(asked: StoreAsked) -> Any:
        read = asked.dataset
        seen.append((read.PatientID, read.PatientSex, str(read) != ""))

    odd = b"\x08\0\x05\0CS\x06\0\x1b]0;X " + encode(image(1), EXPLICIT).replace(
        b"\x10\0\x20\0LO\x02\x001 ", b"\x10\0\x20\0LO\x46\0" + b"x" * 70 + b"\x10\0\x40\0CS\x04\0\x1b[1m"
    )
    with running(way, app) as server, user(server, CT) as session:
        assert session.store(CT, "1.2.1", EXPLICIT, odd).status == 0
    assert seen == [("x" * 70, "\x1b[1m", True)]
    assert "0;X" not in caplog.text


@each_way
def test_each_class_has_its_function(way: Way) -> None:
    app = application(way)
    app.on_store(CT)(of_kind(way)(lambda asked: 0xB006))
    app.on_store(MR, transfer_syntaxes=(uids.IMPLICIT_VR_LE,))(of_kind(way)(lambda asked: 0xB007))
    with running(way, app) as server:
        with user(server, CT, MR) as session:
            assert session.store(CT, "1.2", EXPLICIT, OBJECT).status == 0xB006
            assert [one.abstract_syntax for one in session.refused] == [MR]
        with user(server, MR, syntax=uids.IMPLICIT_VR_LE) as session:
            assert session.store(MR, "1.2", uids.IMPLICIT_VR_LE, stored(12, implicit=True)).status == 0xB007


@each_way
def test_what_is_too_large_to_be_whole_is_refused(way: Way) -> None:
    app = application(way)
    sizes: list[int] = []
    app.on_store()(of_kind(way)(lambda asked: sizes.append(len(asked.data))))
    with running(way, app, limits=Limits(collected=100)) as server, user(server, CT) as session:
        refused = session.store(CT, "1.2", EXPLICIT, [stored(6000)[at : at + 60] for at in range(0, 6000, 60)])
        assert words(refused) == (0xA700, "data set of more than 100 bytes (limit: collected)")
        assert session.store(CT, "1.2", EXPLICIT, stored(100)).status == 0
    assert sizes == [100]


def test_a_stream_is_read_piece_by_piece() -> None:
    app = Application()

    @app.on_store_stream()
    def read(request: StoreRequest) -> int | None:
        pieces = [len(piece) for piece in request.data()]
        assert len(pieces) > 1
        assert sum(pieces) == 1_000_000
        if request.sop_instance_uid == "1.2.1":
            request.respond(0xB000, "as it likes")
            return 0xA700  # too late
        return None if request.sop_instance_uid == "1.2.2" else 0xB007

    with running(("blocking", "plain"), app) as server, user(server, CT) as session:
        answers = [session.store(CT, f"1.2.{n}", EXPLICIT, stored(1_000_000)) for n in (1, 2, 3)]
    assert list(map(words, answers)) == [(0xB000, "as it likes"), (0, None), (0xB007, None)]


@pytest.mark.parametrize("loop", ["trio", "asyncio"])
def test_a_stream_is_awaited_piece_by_piece(loop: str) -> None:
    app = Application()

    @app.on_store_stream(CT)
    async def read(request: Any) -> int:
        size = 0
        async for piece in request.data():
            size += len(piece)
        return 0xB000 if size == 1_000_000 else 0xA700

    with running((loop, "awaited"), app) as server, user(server, CT) as session:
        assert session.store(CT, "1.2", EXPLICIT, stored(1_000_000)).status == 0xB000


@each_way
def test_an_object_of_another_class_than_its_context_is_refused(way: Way) -> None:
    app = application(way)
    called: list[object] = []
    app.on_store()(of_kind(way)(called.append))
    with running(way, app) as server, user(server, CT) as session:
        flow = store(session.exchange, CT, "1.2", EXPLICIT, OBJECT)
        response = session.run(_with_class(flow, session, MR))
        assert words(response) == (0x0122, "not the SOP class of the presentation context")
    assert called == []


def _with_class(flow: Any, session: Any, sop_class: str) -> Any:
    """A C-STORE of this class on the context of another."""
    flow.close()
    context = find_context(session.association, CT)
    request = CStoreRequest(
        message_id=session.association.operations.new_message_id(),
        affected_sop_class_uid=sop_class,
        affected_sop_instance_uid="1.2",
        priority=0,
    )
    return (yield from ask(session.exchange, context.id, request, b""))


# -- C-FIND ------------------------------------------------------------------------------------------------------------


@each_way
@pytest.mark.parametrize("sop_class", [FIND, GET, MOVE])
def test_a_query_on_the_context_of_another_class_is_refused(way: Way, sop_class: str) -> None:
    app = application(way)
    called: list[object] = []
    function = of_kind(way)(called.append)
    app.on_find(FIND)(function)
    app.on_get(GET)(function)
    app.on_move(MOVE)(function)
    make = {FIND: CFindRequest, GET: CGetRequest, MOVE: partial(CMoveRequest, move_destination="X")}[sop_class]
    request = make(message_id=1, affected_sop_class_uid=sop_class)
    with running(way, app) as server, user(server, VERIFICATION) as session:
        context = find_context(session.association, VERIFICATION)
        response = session.run(ask(session.exchange, context.id, request, encode(dataset(PatientID="*"), EXPLICIT)))
        assert words(response) == (0x0122, "not the SOP class of the presentation context")
    assert called == []


@each_way
def test_matches_are_sent_as_they_are_yielded(way: Way) -> None:
    app = application(way)

    @app.on_find(FIND)
    @of_kind(way)
    def find(asked: Asked) -> Iterator[Any]:
        assert asked.dataset.PatientID == "*"
        assert asked.sop_instance_uid is None
        yield dataset(PatientID="1")
        yield encode(dataset(PatientID="2"), asked.transfer_syntax)

    with running(way, app) as server, user(server, FIND) as session:
        answers = session.find(FIND, dataset(PatientID="*"))
        assert [match.attributes.dataset.PatientID for match in answers] == ["1", "2"]
        assert words(answers.response) == (0, None)


@each_way
def test_matches_may_be_a_list(way: Way) -> None:
    app = application(way)
    app.on_find()(of_kind(way)(lambda asked: [dataset(PatientID="1")] * 3))
    with running(way, app) as server, user(server, FIND, uids.MODALITY_WORKLIST_FIND) as session:
        assert len(list(session.find(FIND, dataset(PatientID="*")))) == 3
        assert len(list(session.find(uids.MODALITY_WORKLIST_FIND, dataset(PatientID="*")))) == 3


@each_way
def test_a_cancelled_query_closes_the_generator(way: Way) -> None:
    app = application(way)
    closed = threading.Event()

    @app.on_find(FIND)
    @of_kind(way)
    def find(asked: Asked) -> Iterator[Dataset]:
        try:
            while True:
                yield dataset(PatientID="1")
        finally:
            assert asked.cancelled
            closed.set()

    with running(way, app) as server, user(server, FIND) as session:
        answers = session.find(FIND, dataset(PatientID="*"))
        for count, _ in enumerate(answers, 1):
            if count == 3:
                answers.cancel()
        assert words(answers.response) == (status.CANCEL, None)
        assert closed.is_set()


# -- C-GET and C-MOVE --------------------------------------------------------------------------------------------------


def several(tmp_path: Path) -> list[Any]:
    """An instance, a data set, one of a file, and the file."""
    of_file = image(2)
    of_file.file_meta = FileMetaDataset()
    of_file.file_meta.TransferSyntaxUID = uids.EXPLICIT_VR_LE
    path = tmp_path / "a.dcm"
    of_file.save_as(path, enforce_file_format=True)
    other = dcmread(path)
    other.SOPInstanceUID = "1.2.3"
    return [plain_instance(0), image(1), path, other]


@each_way
@pytest.mark.parametrize("counted", [False, True], ids=["a list", "counted"])
def test_instances_are_sent_to_who_asks(way: Way, counted: bool, tmp_path: Path) -> None:
    app = application(way)
    what = several(tmp_path)

    def retrieve(asked: Asked) -> Any:
        assert asked.dataset.PatientID == "1"
        return what

    def one_by_one(asked: Asked) -> Any:
        yield len(what)
        yield from what

    app.on_get(GET)(of_kind(way)(one_by_one if counted else retrieve))
    with running(way, app) as server, user(server, GET, gets=(CT,)) as session:
        got = {}
        answers = session.get(GET, dataset(PatientID="1"))
        for received in answers:
            got[received.sop_instance_uid] = bytes(received.read())
            received.respond(0xA700 if received.sop_instance_uid == "1.2.3" else 0)
        result = answers.operation.result
        assert result is not None
        assert (result.response.status, result.counters) == (0xB000, Counters(completed=3, failed=1))
    assert sorted(got) == [f"1.2.{n}" for n in range(4)]
    assert got["1.2.0"] == stored(1000)
    assert got["1.2.1"] == encode(image(1), EXPLICIT)
    assert got["1.2.2"] == encode(image(2), EXPLICIT)


@each_way
@pytest.mark.parametrize("syntax", [uids.IMPLICIT_VR_LE, EXPLICIT], ids=["implicit", "explicit"])
def test_instances_are_converted_to_what_is_taken(way: Way, syntax: str, tmp_path: Path) -> None:
    what = several(tmp_path)
    app = application(way)
    app.on_get(GET)(of_kind(way)(lambda asked: what[1:]))
    app.on_move(MOVE)(of_kind(way)(lambda asked: what[1:]))
    third = application(way)
    kept: list[Any] = []
    third.on_store(CT, transfer_syntaxes=(syntax,))(
        of_kind(way)(lambda asked: kept.append((asked.transfer_syntax, asked.data)))
    )
    expected = [encode(image(number), syntax) for number in (1, 2, 3)]
    with running(way, third) as server:
        app.destinations["THIRD"] = ("127.0.0.1", server.port)
        with running(way, app) as archive, user(archive, GET, MOVE, gets=(CT,), syntax=syntax) as session:
            got = []
            for received in session.get(GET, dataset(PatientID="1")):
                got.append(received.read())
                received.respond()
            assert [one.completed for one in session.move(MOVE, "THIRD", dataset(PatientID="1"))] == [1, 2, 3]
    assert [bytes(one) for one in got[:2]] == expected[:2]
    assert [(one, bytes(data)) for one, data in kept[:2]] == [(syntax, data) for data in expected[:2]]


@each_way
def test_a_cancelled_retrieve_begins_no_more(way: Way) -> None:
    app = application(way)

    @app.on_get(GET, sends=(CT,), transfer_syntaxes=(EXPLICIT,))
    @of_kind(way)
    def retrieve(asked: Asked) -> Iterator[Any]:
        yield 100
        yield from map(plain_instance, range(100))

    with running(way, app) as server, user(server, GET, gets=(CT,)) as session:
        answers = session.get(GET, dataset(PatientID="1"))
        count = 0
        for count, received in enumerate(answers, 1):
            if count == 2:
                answers.cancel()
            received.respond()
        assert count < 100
        assert answers.operation.result is not None
        assert answers.response.status == status.CANCEL


@each_way
def test_instances_are_moved_to_a_destination(way: Way, tmp_path: Path) -> None:
    third = application(way, "THIRD")
    kept: list[Any] = []

    @third.on_store()
    @of_kind(way)
    def keep(asked: StoreAsked) -> int:
        command: Any = asked.command
        kept.append((asked.calling_aet, asked.called_aet, command.move_originator_aet, asked.sop_instance_uid))
        return 0xA700 if asked.sop_instance_uid == "1.2.1" else 0

    app = application(way)

    @app.on_move(MOVE)
    @of_kind(way)
    def retrieve(asked: Asked) -> list[Any]:
        assert asked.destination == "THIRD"
        return several(tmp_path) if asked.dataset.PatientID == "some" else []

    with running(way, third) as server:
        app.destinations["THIRD"] = ("127.0.0.1", server.port)
        with running(way, app) as archive, user(archive, MOVE, called_aet="ARCHIVE") as session:
            answers = session.move(MOVE, "THIRD", dataset(PatientID="some"))
            assert [one.remaining for one in answers] == [3, 2, 1, 0]
            result = answers.operation.result
            assert result is not None
            assert (result.response.status, result.counters) == (0xB000, Counters(completed=3, failed=1))
            assert result.failed_instances == ("1.2.1",)
            none = session.move(MOVE, "THIRD", dataset(PatientID="none"))
            assert list(none) == []
            assert none.operation.result is not None
            assert words(none.response) == (0, None)
    assert kept == [("ARCHIVE", "THIRD", "TESTER", f"1.2.{n}") for n in range(4)]


@each_way
def test_a_destination_that_is_not_there_is_told(way: Way, lines: Lines) -> None:
    with running(way, application(way)) as server:
        gone = server.port
    app = application(way, destinations={"GONE": ("127.0.0.1", gone)})
    called: list[object] = []

    @app.on_move(MOVE)
    @of_kind(way)
    def retrieve(asked: Asked) -> Any:
        called.append(asked)
        return [plain_instance(0)]

    with running(way, app) as server, user(server, MOVE, VERIFICATION) as session:
        unknown = session.move(MOVE, "NOBODY", dataset(PatientID="1"))
        assert list(unknown) == []
        assert unknown.operation.result is not None
        assert words(unknown.response) == (0xA801, "no such destination here")
        assert called == []
        lost = session.move(MOVE, "GONE", dataset(PatientID="1"))
        assert list(lost) == []
        assert lost.operation.result is not None
        found = words(lost.response)
        assert found == (0xA702, "destination: no connection: connection refused")
        assert session.echo().status == 0


@pytest.mark.parametrize("why", ["rejected", "another title"])
def test_why_a_destination_takes_nothing_is_said_in_what_a_comment_holds(why: str) -> None:
    plain = ("blocking", "plain")
    policy = AcceptPolicy(contexts={CT: (EXPLICIT,)}, called_aets=frozenset({"ELSEWHERE"}))
    with running(plain, application(plain), policy=policy) as destination:
        at = ("127.0.0.1", destination.port)
        app = application(plain, destinations={"THERE": at if why == "rejected" else f"OTHER@127.0.0.1:{at[1]}"})
        app.on_move(MOVE)(lambda asked: [plain_instance(0)])
        with running(plain, app) as server, user(server, MOVE) as session:
            moved = session.move(MOVE, "THERE", dataset(PatientID="1"))
            assert list(moved) == []
            assert moved.operation.result is not None
            code, comment = words(moved.response)
    assert code == 0xA702
    if why == "rejected":
        assert comment == "destination rejects: called AE title not recognized (1/1/7)"
    else:
        assert comment is not None
        assert comment.startswith("destination: no connection: 'THERE' is to be called")


@each_way
def test_a_destination_that_is_lost_on_the_way_is_told(way: Way) -> None:
    third = application(way)
    third.on_store_stream()(_abort_of(way))
    app = application(way)
    app.on_move(MOVE)(of_kind(way)(lambda asked: [plain_instance(n) for n in range(3)]))
    with running(way, third) as server:
        app.destinations["THIRD"] = ("127.0.0.1", server.port)
        with running(way, app) as archive, user(archive, MOVE, VERIFICATION) as session:
            answers = session.move(MOVE, "THIRD", dataset(PatientID="1"))
            assert list(answers) == []
            assert answers.operation.result is not None
            assert words(answers.response)[0] == 0xA702
            assert session.echo().status == 0


def _abort_of(way: Way) -> Any:
    def abort(request: StoreRequest) -> None:
        request.session.abort()

    async def abort_in_loop(request: Any) -> None:
        await request.session.abort()

    return abort if way[0] == "blocking" else abort_in_loop


@each_way
def test_a_destination_that_is_lost_in_the_end_has_all_there_was(way: Way, told: Lines) -> None:
    def last(request: StoreRequest) -> None:
        request.respond()
        request.session.abort()

    async def last_in_loop(request: Any) -> None:
        await request.respond()
        await request.session.abort()

    third = application(way)
    third.on_store_stream()(last if way[0] == "blocking" else last_in_loop)
    app = application(way)
    app.on_move(MOVE)(of_kind(way)(lambda asked: [plain_instance(1)]))
    with running(way, third) as server:
        app.destinations["THIRD"] = ("127.0.0.1", server.port)
        with running(way, app) as archive, user(archive, MOVE, VERIFICATION) as session:
            answers = session.move(MOVE, "THIRD", dataset(PatientID="1"))
            assert [one.completed for one in answers] == [1]
            assert answers.operation.result is not None
            assert words(answers.response) == (0, None)
            assert session.echo().status == 0
    assert ["C-MOVE to 'THIRD': " in text for text in told.texts()] == [True]


@each_way
def test_a_cancelled_move_begins_no_more(way: Way) -> None:
    third = application(way)
    cancelled = threading.Event()

    def keep(asked: StoreAsked) -> None:
        if asked.sop_instance_uid == "1.2.1":
            assert cancelled.wait(PATIENCE)

    third.on_store()(keep)
    app = application(way)
    app.on_move(MOVE)(of_kind(way)(lambda asked: [plain_instance(n) for n in range(50)]))
    with running(("blocking", "plain"), third) as server:
        app.destinations["THIRD"] = ("127.0.0.1", server.port)
        with running(way, app) as archive, user(archive, MOVE) as session:
            answers = session.move(MOVE, "THIRD", dataset(PatientID="1"))
            for _ in answers:
                answers.cancel()
                cancelled.set()
            result = answers.operation.result
            assert result is not None
            assert result.response.status == status.CANCEL
            assert 0 < result.counters.remaining < 50


@each_way
def test_what_cannot_be_proposed_is_not_sent(way: Way) -> None:
    directory = dataset(SOPClassUID=uids.MEDIA_STORAGE_DIRECTORY, SOPInstanceUID="1.2")
    app = application(way, destinations={"THIRD": ("127.0.0.1", 1)})
    app.on_move(MOVE)(of_kind(way)(lambda asked: [directory]))
    with running(way, app) as server, user(server, MOVE) as session:
        answers = session.move(MOVE, "THIRD", dataset(PatientID="1"))
        assert list(answers) == []
        assert answers.operation.result is not None
        assert words(answers.response) == (0xA702, "no presentation context can be proposed")


# -- DIMSE-N -----------------------------------------------------------------------------------------------------------


@each_way
def test_the_normalized_operations_have_a_function_each(way: Way) -> None:
    app = application(way)
    kind = of_kind(way)
    app.on_n_create(MPPS)(kind(lambda asked: dataset(PatientID=f"created {asked.dataset.PatientID}")))
    app.on_n_set(MPPS)(kind(lambda asked: 0x0107 if asked.dataset.PatientID == "odd" else None))
    app.on_n_get(MPPS)(kind(lambda asked: dataset(PatientID=",".join(map(hex, asked.tags or ())) or "all")))
    app.on_n_action(MPPS)(
        kind(lambda asked: Reply(status=0xB000, comment="warned", given=dataset(PatientID=f"did {asked.type_id}")))
    )
    app.on_n_delete(MPPS)(kind(lambda asked: None))

    def report(asked: Asked) -> None:
        assert asked.attributes is None
        assert len(asked.dataset) == 0
        raise Refused(status.NO_SUCH_EVENT_TYPE, f"event type {asked.type_id}", (0x00100020,))

    app.on_n_event_report(MPPS)(kind(report))
    with running(way, app) as server, user(server, gets=(MPPS,)) as other, user(server, MPPS) as session:
        made = session.n_create(MPPS, None, dataset(PatientID="1"))
        assert made.response.status == 0
        uid: Any = getattr(made.response, "affected_sop_instance_uid", None)
        assert uids.is_valid(uid)
        assert uid.startswith("2.25.")
        named = session.n_create(MPPS, "1.2", dataset(PatientID="1"))
        assert getattr(named.response, "affected_sop_instance_uid", None) == "1.2"
        results = [
            made,
            session.n_get(MPPS, "1.2", (0x00100020,)),
            session.n_get(MPPS, "1.2"),
            session.n_action(MPPS, "1.2", 7, dataset(PatientID="x")),
        ]
        said = [one.attributes.dataset.PatientID for one in results if one.attributes]
        assert said == ["created 1", "0x100020", "all", "did 7"]
        assert words(results[-1].response) == (0xB000, "warned")
        assert session.n_set(MPPS, "1.2", dataset(PatientID="odd")).response.status == 0x0107
        assert session.n_set(MPPS, "1.2", dataset(PatientID="even")).response.status == 0
        assert session.n_delete(MPPS, "1.2").response.status == 0
        told = other.n_event_report(MPPS, "1.2", 3).response
        assert words(told) == (status.NO_SUCH_EVENT_TYPE, "event type 3")
        assert told.offending_element == (0x00100020,)


@each_way
def test_a_meta_class_stands_for_its_classes(way: Way) -> None:
    meta, session_class = uids.BASIC_GRAYSCALE_PRINT_MANAGEMENT_META, uids.BASIC_FILM_SESSION
    app = application(way)
    app.on_n_create(meta)(of_kind(way)(lambda asked: dataset(PatientID=uids.name_of(asked.sop_class_uid))))
    with running(way, app) as server, user(server, meta) as session:
        made = session.n_create(session_class, "1.2", dataset(PatientID="1"), negotiated=meta)
        assert made.attributes is not None
        assert made.attributes.dataset.PatientID == uids.name_of(session_class)
        assert session.n_delete(session_class, "1.2", negotiated=meta).response.status == 0x0211  # no function


@each_way
def test_attributes_that_are_too_long_are_refused(way: Way) -> None:
    app = application(way)
    app.on_n_set(MPPS)(of_kind(way)(lambda asked: None))
    app.on_find(FIND)(of_kind(way)(lambda asked: []))
    with running(way, app, limits=Limits(attributes=10)) as server, user(server, MPPS, FIND) as session:
        found = session.n_set(MPPS, "1.2", dataset(PatientID="a" * 20)).response
        assert words(found) == (0x0213, "data set of 28 bytes (limit attributes: 10 allowed)")
        answers = session.find(FIND, dataset(PatientID="a" * 20))
        assert list(answers) == []
        assert words(answers.response) == (0xA700, "data set of 28 bytes (limit attributes: 10 allowed)")


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@each_way
def test_a_function_that_raises_costs_its_own_request_only(way: Way, told: Lines) -> None:
    app = application(way)

    @app.on_store()
    @of_kind(way)
    def keep(asked: StoreAsked) -> None:
        raise ValueError(f"no such patient: {asked.dataset.PatientID}")

    @app.on_find()
    @of_kind(way)
    def find(asked: Asked) -> Iterator[Dataset]:
        yield dataset(PatientID="1")
        raise KeyError("Doe^Jane")

    with running(way, app) as server, user(server, CT, FIND) as session:
        data = encode(image(1, PatientName="Doe^Jane"), EXPLICIT)
        assert words(session.store(CT, "1.2.1", EXPLICIT, data)) == (0x0110, "ValueError")
        answers = session.find(FIND, dataset(PatientID="*"))
        assert len(list(answers)) == 1
        assert words(answers.response) == (0x0110, "KeyError")
        assert session.store(CT, "1.2.1", EXPLICIT, data).status == 0x0110
    assert len(told.texts(logging.ERROR)) == 3
    assert ": C-STORE-RQ 1: " in told.texts(logging.ERROR)[0]
    assert ".keep failed: ValueError (test_application.py:" in told.texts(logging.ERROR)[0]
    assert all("Doe" not in text and "patient" not in text for text in told.texts(logging.INFO))
    whole = [record for record in told.records if record.levelno == logging.DEBUG]
    assert [record.exc_info is not None for record in whole] == [True] * 3


@each_way
def test_a_request_is_refused_in_words(way: Way, told: Lines) -> None:
    app = application(way)

    @app.on_store()
    @of_kind(way)
    def keep(asked: StoreAsked) -> None:
        raise Refused(0xA701, "no room\\ for €" + "x" * 100)

    with running(way, app) as server, user(server, CT) as session:
        assert words(session.store(CT, "1.2", EXPLICIT, OBJECT)) == (0xA701, ("no room? for ?" + "x" * 100)[:64])
    assert told.texts() == []


WRONG: list[tuple[str, Any, str]] = [
    ("store", lambda asked: "done", "store gave a str; expected a status (an int), None for success, or a Reply"),
    ("store", lambda asked: True, "store gave a bool; expected a status (an int), None for success, or a Reply"),
    ("store", lambda asked: 0xFF00, "store gave 65280; expected a final status, 0 to 0xFFFF"),
    ("store", lambda asked: Reply(given=b""), "store gave a Reply with a data set; its response has none"),
    ("find", lambda asked: None, "find gave None; expected identifiers: yield them or return a list"),
    ("find", lambda asked: Dataset(), "find gave a Dataset; expected identifiers: yield them or return a list"),
    ("find", lambda asked: [(0xFF00, Dataset())], "find yielded a tuple; expected a pydicom data set or bytes"),
    ("find", lambda asked: 5, "an int; expected several values: yield them, or return a list"),
    ("get", lambda asked: None, "get gave None; expected a list of instances, or their number and then each instance"),
    ("get", lambda asked: iter(()), "get yielded nothing first; expected a list of instances, or their"),
    ("get", lambda asked: iter([plain_instance(1)]), "get yielded an Instance first; expected a list of instances"),
    ("get", lambda asked: 5, "an int; expected several values: yield them, or return a list"),
    ("get", lambda asked: [5], "expected an Instance, a Path or a pydicom data set, not int"),
    ("get", lambda asked: [dataset()], "a data set without SOP Class UID or SOP Instance UID is not an instance"),
    ("set", lambda asked: [], "N-SET-RQ gave a list; expected a data set, a status (an int), None for success"),
]  # fmt: skip


@each_way
@pytest.mark.parametrize(("service", "function", "text"), WRONG, ids=[text for _, _, text in WRONG])
def test_an_answer_that_is_none_says_what_would_be(
    way: Way, service: str, function: Any, text: str, told: Lines
) -> None:
    app = application(way)
    kind = of_kind(way)
    app.on_store()(kind(function))
    app.on_find()(kind(function))
    app.on_get()(kind(function))
    app.on_n_set(MPPS)(kind(function))
    with running(way, app) as server, user(server, CT, FIND, GET, MPPS) as session:
        response: DimseResponse | None
        match service:
            case "store":
                response = session.store(CT, "1.2", EXPLICIT, OBJECT)
            case "find":
                found = session.find(FIND, dataset(PatientID="*"))
                assert list(found) == []
                response = found.response
            case "get":
                got = session.get(GET, dataset(PatientID="*"))
                assert list(got) == []
                assert got.operation.result is not None
                response = got.response
            case _:
                response = session.n_set(MPPS, "1.2", dataset(PatientID="1")).response
        code, comment = words(response)
        assert code == 0x0110
        assert comment is not None
        assert text.startswith(comment) or comment.startswith(text)
    assert f" failed: {text}" in told.texts(logging.ERROR)[0]


def test_what_has_to_be_awaited_is_not_for_threads(told: Lines) -> None:
    async def later() -> int:
        return 0

    app = Application()
    app.on_store()(lambda asked: later())
    with running(("blocking", "plain"), app) as server, user(server, CT) as session:
        assert words(session.store(CT, "1.2", EXPLICIT, OBJECT)) == (
            0x0110,
            "what it gave has to be awaited: serve it by trio or asyncio",
        )


@each_way
def test_a_source_that_fails_within_an_instance_aborts(way: Way, told: Lines, lines: Lines) -> None:
    def pieces() -> Iterator[bytes]:
        yield bytes(10)
        raise OSError("the disk of Doe^Jane is gone")

    app = application(way)

    @app.on_get(GET)
    @of_kind(way)
    def retrieve(asked: Asked) -> list[Any]:
        return [replace(plain_instance(1), data=pieces())]

    with running(way, app) as server:
        session = user(server, GET, gets=(CT,))
        received = iter(session.get(GET, dataset(PatientID="1")))
        with pytest.raises(AssociationAborted):
            next(received).read()
        session.close()
    assert " failed: OSError (" in told.texts(logging.ERROR)[0]
    written = logging.Formatter()
    whole = [written.format(one) for one in lines.records] + [
        written.format(one) for one in told.records if one.levelno > logging.DEBUG
    ]
    assert any("within a message: OSError" in text for text in whole)
    assert not any("Doe" in text for text in whole)


@each_way
def test_another_association_that_fails_is_a_failure_like_any_other(way: Way, told: Lines) -> None:
    with running(way, application(way)) as server:
        gone = ("127.0.0.1", server.port)
    app = application(way)

    @app.on_store(CT)
    @of_kind(way)
    def forward(asked: StoreAsked) -> int:
        with connect(gone, propose([CT])) as session:
            return session.store(CT, "1.2", EXPLICIT, asked.data).status

    with running(way, app) as server, user(server, CT, VERIFICATION) as session:
        code, comment = words(session.store(CT, "1.2", EXPLICIT, OBJECT))
        assert code == 0x0110
        assert comment is not None
        assert comment.startswith("no connection to 127.0.0.1:")
        assert session.echo().status == 0


@each_way
def test_a_lost_association_is_nobodys_failure(way: Way, told: Lines, lines: Lines) -> None:
    app = application(way)
    closed = threading.Event()

    @app.on_find(FIND)
    @of_kind(way)
    def find(asked: Asked) -> Iterator[Dataset]:
        try:
            while True:
                yield dataset(PatientID="1" * 60)
        finally:
            closed.set()

    with running(way, app) as server:
        session = user(server, FIND)
        next(iter(session.find(FIND, dataset(PatientID="*"))))
        session.close()
        assert closed.wait(PATIENCE)
    assert told.texts() == []
    assert not any("the handler failed" in text for text in lines.texts())


@each_way
@pytest.mark.parametrize("end", [encode_pdu(Abort()), encode_pdu(ReleaseRequest())], ids=["aborts", "releases"])
def test_a_peer_that_leaves_within_what_is_refused_is_nobodys_failure(
    way: Way, end: bytes, told: Lines, lines: Lines
) -> None:
    app = application(way)
    called: list[object] = []
    app.on_store(CT)(of_kind(way)(called.append))
    store = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2")
    with running(way, app) as server, socket.create_connection(("127.0.0.1", server.port), PATIENCE) as sock:
        sock.sendall(ASKED)
        assert read_pdu(sock)[0] == 2
        sock.sendall(command(3, store, has_data=True) + p_data((3, False, False, b"no data set")) + end)
        sock.shutdown(socket.SHUT_WR)
        read_pdu(sock)
        assert read_pdu(sock) == b""
    assert called == []
    assert not any("the handler failed" in text for text in lines.texts())
    assert lines.texts(logging.ERROR) == []


# -- registering -------------------------------------------------------------------------------------------------------


def test_registering_teaches() -> None:
    app = Application()
    app.on_store(CT)(lambda asked: None)
    with pytest.raises(ValueError, match=r"C-STORE-RQ of CT Image Storage already has a function: .*lambda"):
        app.on_store()(lambda asked: None)
    with pytest.raises(TypeError, match=r"expected a SOP class UID, not a function; with parentheses"):
        app.on_find(lambda asked: [])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"expected a SOP class UID, not an int$"):
        app.on_find(5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'CT' is not a UID"):
        app.on_store("CT")
    for on in (app.on_n_create, app.on_n_set, app.on_n_get, app.on_n_action, app.on_n_delete, app.on_n_event_report):
        with pytest.raises(ValueError, match=rf"{on.__name__}\(\) without a SOP class"):
            on()


def test_a_function_is_the_same_after_it_was_registered() -> None:
    app = Application()

    def keep(asked: StoreAsked) -> None:
        pass

    assert app.on_store(CT)(keep) is keep


def test_functions_that_cannot_be_served_so_are_told_before() -> None:
    app = Application()

    @app.on_store(CT)
    async def keep(asked: StoreAsked) -> None:
        pass

    with pytest.raises(TypeError, match=r"keep has to be awaited: serve it by trio or asyncio"):
        app.serve(("127.0.0.1", 0))
    assert app.async_handler is not None
    other = Application()

    @other.on_find(FIND)
    async def find(asked: Asked) -> Any:
        yield b""

    with pytest.raises(TypeError, match=r"find has to be awaited"):
        _ = other.handler
    third = Application()

    @third.on_store_stream(CT)
    def read(request: StoreRequest) -> None:
        pass

    with pytest.raises(TypeError, match=r"read cannot await the data that it reads: make it a coroutine function"):
        _ = third.async_handler
    assert third.handler is not None


def test_the_policy_is_what_was_registered() -> None:
    app = Application()
    assert app.policy.contexts == {VERIFICATION: (uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE)}
    app.on_store(CT, transfer_syntaxes=(EXPLICIT,))(lambda asked: None)
    app.on_get(GET, sends=(CT, MR), transfer_syntaxes=(uids.IMPLICIT_VR_LE,))(lambda asked: [])
    app.on_n_event_report(MPPS)(lambda asked: None)
    assert app.policy.contexts == {
        VERIFICATION: (uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE),
        CT: (EXPLICIT, uids.IMPLICIT_VR_LE),
        GET: (uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE),
        MR: (uids.IMPLICIT_VR_LE,),
        MPPS: (uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE),
    }
    assert app.policy.roles == {
        CT: Roles(scu=True, scp=True),
        MR: Roles(scu=False, scp=True),
        MPPS: Roles(scu=True, scp=True),
    }


def test_only_what_is_registered_is_accepted_and_done() -> None:
    app = Application()
    app.on_get(GET, sends=(CT,))(lambda asked: [])
    with running(("blocking", "plain"), app) as server, user(server, FIND, GET, CT) as session:
        assert [one.abstract_syntax for one in session.refused] == [FIND]
        assert session.store(CT, "1.2", EXPLICIT, OBJECT).status == 0x0211


def test_it_calls_by_its_title() -> None:
    app = Application("SCANNER")
    seen: list[str] = []
    other = Application("ARCHIVE")
    other.on_echo()(lambda asked: seen.append(asked.calling_aet + ">" + asked.called_aet))
    with other.serve(("127.0.0.1", 0)) as server:
        where = ("127.0.0.1", server.port)
        with app.connect(where, propose([VERIFICATION]), called_aet="ARCHIVE") as session:
            assert session.echo().status == 0
    assert seen == ["SCANNER>ARCHIVE"]


@pytest.mark.parametrize("way", [way for way in WAYS if way[0] != "blocking"], ids=" ".join)
def test_threads_are_used_if_asked_for(way: Way) -> None:
    app = application(way)
    ran: list[int] = []

    @app.on_find(FIND)
    @of_kind(way)
    def find(asked: Asked) -> Iterator[Dataset]:
        ran.append(threading.get_ident())
        yield dataset(PatientID="1")

    looped: list[int] = []

    @app.on_store_stream()
    async def read(request: Any) -> None:
        looped.append(threading.get_ident())

    with running(way, app) as server, user(server, FIND, CT) as session:
        assert len(list(session.find(FIND, dataset(PatientID="*")))) == 1
        assert session.store(CT, "1.2", EXPLICIT, OBJECT).status == 0
    assert (ran == looped) == (way[1] != "threads")


@pytest.mark.parametrize("name", ["destination", "type_id", "tags"])
def test_what_a_request_does_not_have_is_an_error(name: str) -> None:
    app = Application()
    texts: list[str] = []

    @app.on_echo()
    def echo(asked: Asked) -> None:
        with pytest.raises(TypeError) as error:
            getattr(asked, name)
        texts.append(str(error.value))
        assert asked.session.calling_aet == "TESTER"

    with running(("blocking", "plain"), app) as server, user(server, VERIFICATION) as session:
        session.echo()
    assert texts[0].startswith("C-ECHO-RQ has no ")


@each_way
def test_what_all_associations_hold_whole_has_a_limit(way: Way) -> None:
    """Unfinished objects are no reason to hold ever more; what another peer sends meanwhile is refused for now."""
    app = application(way)
    sizes: list[int] = []

    @app.on_store(CT, check=False)
    @of_kind(way)
    def store(asked: Any) -> None:
        sizes.append(len(asked.data))
        if sizes[-1] == 400_000:
            raise ValueError

    options = {"server_limits": ServerLimits(collected=1_500_000), "limits": Limits(collected=1_000_000)}
    with running(way, app, **options) as server, user(server, CT) as session:
        with socket.create_connection(("127.0.0.1", server.port)) as unfinished:
            unfinished.sendall(ASKED)
            assert read_pdu(unfinished)[0] == 2
            request = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
            unfinished.sendall(command(3, request, has_data=True))
            for _ in range(10):
                unfinished.sendall(p_data((3, False, False, bytes(100_000))))
            while server.metrics.bytes_received < 1_000_000:
                sleep(0.01)
            refused = session.store(CT, "1.2", EXPLICIT, bytes(1_000_000))
            assert words(refused) == (0xA700, "no room now for whole data sets (server limit: collected)")
            assert session.store(CT, "1.2", EXPLICIT, bytes(300_000)).status == 0
            assert session.store(CT, "1.2", EXPLICIT, bytes(400_000)).status == 0x0110  # and is let go
            assert session.store(CT, "1.2", EXPLICIT, bytes(500_000)).status == 0
        end = monotonic() + PATIENCE
        while session.store(CT, "1.2", EXPLICIT, bytes(1_000_000)).status != 0:  # until the other one is over
            assert monotonic() < end
    assert sizes == [300_000, 400_000, 500_000, 1_000_000]
    assert server._reception.budget.take(1_500_000)  # all was given back


def test_one_address_holds_no_more_than_its_share() -> None:
    """Its unfinished objects take no memory from the others; all the memory is given back."""
    limits = ServerLimits(collected=1_500_000, collected_per_address=1_000_000)
    app = application(("blocking", "plain"))
    app.on_store(check=False)(lambda asked: None)
    with running(("blocking", "plain"), app, server_limits=limits) as server:
        budget = server._reception.budget
        with user(server, CT) as session:
            assert session.store(CT, "1.2", EXPLICIT, bytes(1_000_000)).status == 0
            refused = session.store(CT, "1.2", EXPLICIT, bytes(1_000_002))
            assert words(refused) == (0xA700, "no room now for whole data sets (server limit: collected)")
            with user(server, CT, source_address="127.0.0.2") as other:
                assert budget.take(900_000, "127.0.0.1")
                assert session.store(CT, "1.2", EXPLICIT, bytes(200_000)).status == 0xA700
                assert other.store(CT, "1.2", EXPLICIT, bytes(600_000)).status == 0
                assert other.store(CT, "1.2", EXPLICIT, bytes(600_002)).status == 0xA700
                budget.give_back(900_000, "127.0.0.1")
            assert session.store(CT, "1.2", EXPLICIT, bytes(1_000_000)).status == 0
        assert budget.take(1_500_000)  # nobody's
        assert not budget.take(1)


@each_way
def test_an_image_to_be_printed_is_of_what_all_hold(way: Way) -> None:
    app = application(way)
    box = uids.BASIC_GRAYSCALE_IMAGE_BOX
    sizes: list[int] = []

    @app.on_n_set(box)
    @of_kind(way)
    def change(asked: Any) -> None:
        sizes.append(len(asked.attributes.data))

    limits = Limits(attributes=1000, collected=100_000)
    with (
        running(way, app, server_limits=ServerLimits(collected=50_000), limits=limits) as server,
        user(server, box) as session,
    ):
        for size, wanted in ((50_000, 0), (50_002, 0x0213), (50_000, 0), (100_002, 0x0213), (50_000, 0)):
            element = b"\xe0\x7f\x10\0OW\0\0" + (size - 12).to_bytes(4, "little") + bytes(size - 12)
            result = session.n_set(box, "1.2", element)
            assert result.response.status == wanted
    assert sizes == [50_000] * 3
    assert server._reception.budget.take(50_000)


def test_a_refusal_for_its_size_tells_what_takes_it(caplog: pytest.LogCaptureFixture) -> None:
    app = Application()
    app.on_store(check=False)(lambda asked: None)
    with (
        running(("blocking", "plain"), app, limits=Limits(collected=100)) as server,
        user(server, CT) as session,
        caplog.at_level("WARNING", "dicos.application"),
    ):
        assert session.store(CT, "1.2", EXPLICIT, bytes(1000)).status == 0xA700
    assert "on_store_stream takes objects of any size" in caplog.text


# -- bytes that are not a data set -------------------------------------------------------------------------------------

SMALL = encode(image(1), EXPLICIT)
NO_OBJECTS = {
    "nothing": (b"", 0xC000),
    "garbage": (b"\xff" * 1000, 0xC000),
    "a web request": (b"GET / HTTP/1.1\r\n\r\n", 0xC000),
    "cut in an element": (stored(100_000)[:-2], 0xC000),
    "another instance": (encode(image(2), EXPLICIT), 0xA900),
    "another class": (encode(dataset(SOPClassUID=uids.SECONDARY_CAPTURE_IMAGE_STORAGE), EXPLICIT), 0xA900),
}  # fmt: skip


@each_way
def test_what_is_no_data_set_or_another_one_reaches_no_function(way: Way, told: Lines) -> None:
    app = application(way)
    kept: list[Any] = []
    app.on_store(CT)(of_kind(way)(lambda asked: kept.append(asked.data)))
    app.on_store(MR, check=False)(of_kind(way)(lambda asked: kept.append(asked.data)))
    with running(way, app) as server, user(server, CT, MR) as session:
        for data, code in NO_OBJECTS.values():
            pieces = [data[at : at + 999] for at in range(0, len(data), 999)]
            assert session.store(CT, "1.2.1", EXPLICIT, pieces).status == code
        assert kept == []
        assert len(told.texts(logging.WARNING)) == len(NO_OBJECTS)
        assert session.store(CT, "1.2.1", EXPLICIT, SMALL).status == 0
        assert session.store(MR, "1.2.1", EXPLICIT, b"\xff" * 1000).status == 0
    assert kept == [SMALL, b"\xff" * 1000]


def test_a_stream_raises_where_it_is_no_data_set() -> None:
    app = Application()
    seen: list[str] = []

    @app.on_store_stream(CT)
    def read(request: StoreRequest) -> None:
        try:
            for _ in request.data():
                pass
        except Refused as refused:
            seen.append(str(refused.code))
            raise
        seen.append("complete")

    app.on_store_stream(MR, check=False)(lambda request: seen.append(str(len(request.read()))))
    with running(("blocking", "plain"), app) as server, user(server, CT, MR) as session:
        for data, code in NO_OBJECTS.values():
            assert session.store(CT, "1.2.1", EXPLICIT, data).status == code
        assert session.store(CT, "1.2.1", EXPLICIT, SMALL).status == 0
        assert session.store(MR, "1.2.1", EXPLICIT, b"\xff" * 1000).status == 0
    assert seen == [*(str(code) for _, code in NO_OBJECTS.values()), "complete", "1000"]


@pytest.mark.parametrize("loop", ["trio", "asyncio"])
def test_an_awaited_stream_raises_where_it_is_no_data_set(loop: str) -> None:
    app = Application()
    sizes: list[int] = []

    @app.on_store_stream(CT)
    async def read(request: Any) -> None:
        size = 0
        async for piece in request.data():
            size += len(piece)
        sizes.append(size)

    with running((loop, "awaited"), app) as server, user(server, CT) as session:
        for data, code in NO_OBJECTS.values():
            assert session.store(CT, "1.2.1", EXPLICIT, data).status == code
        assert session.store(CT, "1.2.1", EXPLICIT, SMALL).status == 0
    assert sizes == [len(SMALL)]


@each_way
def test_a_private_transfer_syntax_is_not_checked(way: Way) -> None:
    app = application(way)
    kept: list[Any] = []
    app.on_store(CT, transfer_syntaxes=("1.2.840.113619.5.2",))(of_kind(way)(lambda asked: kept.append(asked.data)))
    with running(way, app) as server, user(server, CT, syntax="1.2.840.113619.5.2") as session:
        assert session.store(CT, "1.2.1", "1.2.840.113619.5.2", b"\xff" * 1000).status == 0
    assert kept == [b"\xff" * 1000]


@each_way
def test_an_object_that_cannot_be_decoded_is_not_understood(way: Way) -> None:
    app = application(way)
    app.on_store(CT)(of_kind(way)(lambda asked: len(asked.dataset)))
    with running(way, app, limits=Limits(object_elements=3)) as server, user(server, CT) as session:
        code, comment = words(session.store(CT, "1.2.1", EXPLICIT, encode(image(1, Rows=1), EXPLICIT)))
    assert code == 0xC000
    assert comment == "more elements than allowed (limit object_elements: 3), before by"


@each_way
def test_an_echo_of_another_class_than_its_context_is_no_success(way: Way) -> None:
    from dicos_proto.conversation.invoking import ask
    from dicos_proto.dimse.types import CEchoRequest

    app = application(way)
    app.on_store()(of_kind(way)(lambda asked: None))
    with running(way, app) as server, user(server, VERIFICATION, CT) as session:
        for id, context in session.contexts.items():
            for named in (VERIFICATION, CT):
                command = CEchoRequest(
                    message_id=session.association.operations.new_message_id(), affected_sop_class_uid=named
                )
                response = session.run(ask(session.exchange, id, command))
                fits = named == VERIFICATION == context.abstract_syntax
                assert response.status == (0 if fits else 0x0122)
        assert session.echo().status == 0
