"""Storage commitment by the methods of sessions, in each adapter: the report here, or on an association of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from dicos_proto.conversation.flows import AssociationAborted, AssociationReleased, ContextNotAccepted
from dicos_proto.conversation.performing import next_request
from dicos_proto.data.datasets import encode
from dicos_proto.dimse.events import MessageData, MessageStart
from dicos_proto.dimse.types import NEventReportRequest
from dicos_proto.errors import LocalProtocolError
from dicos_proto.registry import status, uids
from dicos_proto.services.commitment import (
    INSTANCE,
    PUSH_MODEL,
    ROLES,
    CommitmentReport,
    CommitmentRequest,
    Committing,
    Failure,
    report_commitment,
)
from dicos_proto.services.serving import Reference, Refused
from dicos_proto.upper_layer.negotiation import propose
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports.blocking import Session, connect
from tests.transports.connections import EXPLICIT, PATIENCE, server
from tests.transports.loops import ADAPTERS, LOOPS, adapter, cancelled_when, run

ONE, TWO = Reference(uids.CT_IMAGE_STORAGE, "1.2.1"), Reference(uids.CT_IMAGE_STORAGE, "1.2.2")
REQUEST = CommitmentRequest(transaction_uid="1.9", references=(ONE, TWO))
REPORT = REQUEST.report([Failure(TWO, status.NO_SUCH_SOP_INSTANCE)])
CONTEXTS = propose([PUSH_MODEL], (EXPLICIT,))
POLICY = AcceptPolicy(contexts={PUSH_MODEL: (EXPLICIT,)})
Bring = Callable[[Session, Committing | None, CommitmentReport], None]


def committing(*, before: Bring | None = None, after: Bring | None = None) -> Callable[[Session], None]:
    """A provider that does this before it answers a request, and that after."""

    def handle(session: Session) -> None:
        for request in session:
            one = Committing(session.exchange, request.start)
            asked = session.run(one.read_request())
            report = asked.report([Failure(asked.references[-1], status.NO_SUCH_SOP_INSTANCE)])
            if before is not None:
                before(session, one, report)
            session.run(one.grant())
            if after is not None:
                after(session, one, report)

    return handle


def here(session: Session, one: Committing | None, report: CommitmentReport) -> None:
    assert session.run(report_commitment(session.exchange, report)).status == status.SUCCESS


async def waited(found: Any) -> Any:
    """Returns the result: awaits it, except with the blocking adapter."""
    return await found if hasattr(found, "__await__") else found


def user(name: str, main: Callable[[Any], Any]) -> Any:
    """Run `main`, whose awaits of the blocking adapter's results never wait."""
    if name != "blocking":
        return run(name, main)
    coroutine = main(adapter(name))
    with pytest.raises(StopIteration) as done:
        coroutine.send(None)
    return done.value.value


@pytest.mark.parametrize("name", ADAPTERS)
def test_the_report_comes_before_the_answer(name: str) -> None:
    async def main(module: Any) -> Any:
        session = await waited(module.connect(("127.0.0.1", running.port), CONTEXTS))
        requested = await waited(session.commit("1.9", iter([ONE, TWO])))
        await waited(session.release())
        return requested

    with server(committing(before=here), policy=POLICY) as running:
        requested = user(name, main)
    assert requested.response.status == status.SUCCESS
    assert requested.report == REPORT
    assert requested.refused == ()


@pytest.mark.parametrize("name", ADAPTERS)
def test_the_report_comes_after_the_answer(name: str) -> None:
    def twice(session: Session, one: Committing | None, report: CommitmentReport) -> None:
        stray = CommitmentRequest(transaction_uid="1.8", references=(ONE,)).report()
        response = session.run(report_commitment(session.exchange, stray))
        assert response.status == status.INVALID_ARGUMENT_VALUE
        here(session, one, report)
        session.release()

    async def main(module: Any) -> Any:
        session = await waited(module.connect(("127.0.0.1", running.port), CONTEXTS))
        requested = await waited(session.commit("1.9", [ONE, TWO]))
        assert requested.report is None
        with pytest.raises(Refused, match="a transaction that is not awaited"):
            await waited(session.next_report(["1.9"]))
        report = await waited(session.next_report(["1.9"]))
        assert await waited(session.next_report()) is None  # the provider has released
        session.close()
        return report

    with server(committing(after=twice), policy=POLICY) as running:
        assert user(name, main) == REPORT


@pytest.mark.parametrize("name", ADAPTERS)
def test_the_report_comes_on_another_association_with_the_roles_reversed(name: str) -> None:
    known: dict[str, int] = {}  # AE title -> port
    reports: list[Any] = []

    def bring(session: Session, one: Committing | None, report: CommitmentReport) -> None:
        assert one is not None
        task = one.task(report, transfer_syntaxes=(EXPLICIT,))
        asked = task.request
        with connect(
            ("127.0.0.1", known[task.destination]), asked.contexts,
            called_aet=asked.called_aet, calling_aet=asked.calling_aet, user_information=asked.user_information,
        ) as other:  # fmt: skip
            here(other, one, task.report)
        session.release()

    async def take(session: Any) -> None:
        while (report := await waited(session.next_report({"1.9"}))) is not None:
            reports.append((session.calling_aet, report))

    async def ask(module: Any, port: int) -> None:
        known["SCANNER"] = port
        titles = {"calling_aet": "SCANNER", "called_aet": "ARCHIVE"}
        session = await waited(module.connect(("127.0.0.1", running.port), CONTEXTS, **titles))
        requested = await waited(session.commit("1.9", [ONE, TWO]))
        assert requested.report is None
        assert await waited(session.next_report()) is None  # released, once it has brought the report
        session.close()

    async def main(module: Any) -> None:
        policy = AcceptPolicy(contexts={PUSH_MODEL: (EXPLICIT,)}, roles=ROLES)
        if name == "blocking":
            with server(lambda session: user(name, lambda _: take(session)), policy=policy) as reporting:
                await ask(module, reporting.port)
        else:
            async with module.serve(("127.0.0.1", 0), take, policy=policy) as reporting:
                await ask(module, reporting.port)

    with server(committing(after=bring), policy=POLICY) as running:
        user(name, main)
    assert reports == [("ARCHIVE", REPORT)]


@pytest.mark.parametrize("name", ADAPTERS)
def test_what_cannot_be_asked_costs_no_association(name: str) -> None:
    async def main(module: Any) -> None:
        where = ("127.0.0.1", running.port)
        session = await waited(module.connect(where, CONTEXTS))
        with pytest.raises(LocalProtocolError, match="0 references"):
            await waited(session.commit("1.9", []))
        await waited(session.release())
        session = await waited(module.connect(where, propose([uids.VERIFICATION], (EXPLICIT,))))
        with pytest.raises(ContextNotAccepted, match="none was proposed"):
            await waited(session.commit("1.9", [ONE]))
        await waited(session.release())

    with server(committing(), policy=POLICY) as running:
        user(name, main)


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("begun", [False, True], ids=["while it waits", "within a report"])
def test_a_wait_for_a_report_is_cancelled(name: str, begun: bool) -> None:
    """Within a report the association is aborted, before it nothing is lost."""
    large = CommitmentRequest(transaction_uid="1.9", references=(ONE,)).report()
    cancelled, half_sent = threading.Event(), threading.Event()

    def provide(session: Session) -> None:
        requests = iter(session)
        next(requests).respond()
        if begun:
            request = NEventReportRequest(
                message_id=session.association.operations.new_message_id(),
                affected_sop_class_uid=PUSH_MODEL,
                affected_sop_instance_uid=INSTANCE,
                event_type_id=1,
            )
            session.association.send(MessageStart(context=1, command=request, has_data=True))
            session.association.send(MessageData(context=1, data=encode(large.dataset, EXPLICIT)[:10], last=False))
            session.driver.flush()
            half_sent.set()
            with pytest.raises(AssociationAborted):
                session.run(next_request(session.exchange))
            raise AssociationReleased
        half_sent.set()
        assert cancelled.wait(PATIENCE)
        here(session, None, REPORT)
        assert list(requests) == []

    async def main(module: Any) -> Any:
        async with await module.connect(("127.0.0.1", running.port), CONTEXTS) as session:
            assert (await session.commit("1.9", [ONE, TWO])).report is None
            assert half_sent.wait(PATIENCE)
            turns = count()
            await cancelled_when(
                name,
                lambda: session.association.operations.owed > 0 if begun else next(turns) > 10,
                session.next_report,
            )
            cancelled.set()
            assert session.established == (not begun)
            return await session.next_report() if not begun else None

    with server(provide, policy=POLICY) as running:
        assert run(name, main) == (None if begun else REPORT)
