"""Many instances over several associations at once, in each adapter: who takes what, and what is lost with whom."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import pytest

from dicos_proto.conversation import flows
from dicos_proto.services.storage import Instance, Outcome
from dicos_proto.upper_layer.negotiation import propose
from dicos_transports import blocking
from dicos_transports.blocking import ConnectionFailed, PeerRequest, Session
from dicos_transports.blocking.server import Server
from tests.transports.connections import CT, EXPLICIT, PATIENCE, Lines, server
from tests.transports.loops import ADAPTERS, LOOPS, adapter, cancelled_when, pause, run

MR = "1.2.840.10008.5.1.4.1.1.4"


def instance(number: int, sop_class: str = CT) -> Instance:
    return Instance(
        sop_class_uid=sop_class, sop_instance_uid=f"1.2.{number}", transfer_syntax=EXPLICIT, data=bytes(1000)
    )


def instances(number: int) -> Iterator[Instance]:
    return map(instance, range(number))


def numbers(outcomes: list[Outcome]) -> list[int]:
    return sorted(int(one.instance.sop_instance_uid[4:]) for one in outcomes)


Handle = Callable[[int, PeerRequest], None]


def all_released(running: Server, lines: Lines) -> bool:
    """Waits until every association so far has ended. Returns True if each ended by a release."""
    accepted = running.metrics.accepted
    lines.wait_for(": closed", count=accepted)
    return running.metrics.released == accepted


def storing(handle: Handle = lambda number, request: request.respond()) -> Callable[[Session], None]:
    """A handler that gives each request to `handle`, with a number of its association."""
    numbered = count()

    def serve(session: Session) -> None:
        number = next(numbered)
        for request in session:
            handle(number, request)

    return serve


def told(
    name: str,
    running: Server,
    source: Any,
    *,
    associations: int = 3,
    most: int | None = None,
    connect_one: Any = None,
    outcomes: list[Outcome] | None = None,
) -> list[Outcome]:
    """Returns up to `most` outcomes of `store_over` with the adapter of this name; adds each to `outcomes` at once."""
    found = [] if outcomes is None else outcomes
    module = adapter(name)
    where, contexts = ("127.0.0.1", running.port), propose([CT], (EXPLICIT,))
    connect = connect_one or (lambda module: module.connect(where, contexts))

    def enough() -> bool:
        return most is not None and len(found) >= most

    if name == "blocking":
        with module.store_over(lambda: connect(module), source, associations=associations) as each:
            for outcome in each:
                found.append(outcome)
                if enough():
                    break
        return found

    async def main(module: Any) -> None:
        async with module.store_over(lambda: connect(module), source, associations=associations) as each:
            async for outcome in each:
                found.append(outcome)
                if enough():
                    break

    run(name, main)
    return found


@pytest.mark.parametrize("name", ADAPTERS)
def test_all_associations_send_at_the_same_time(name: str, lines: Lines) -> None:
    together = threading.Barrier(3)
    first: set[int] = set()

    def store(number: int, request: PeerRequest) -> None:
        if number not in first:
            first.add(number)
            together.wait(PATIENCE)  # breaks unless three associations have an instance each
        request.respond()

    with server(storing(store)) as running:
        outcomes = told(name, running, instances(20))
        assert running.metrics.accepted == 3
        assert all_released(running, lines)
    assert numbers(outcomes) == list(range(20))
    assert all(one.stored for one in outcomes)


@pytest.mark.parametrize("name", ADAPTERS)
def test_no_more_associations_than_instances(name: str) -> None:
    with server(storing()) as running:
        assert numbers(told(name, running, instances(2), associations=8)) == [0, 1]
        made = running.metrics.connections
        assert made in (1, 2)
        assert told(name, running, [], associations=8) == []
        assert running.metrics.connections == made


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_lost_association_loses_what_it_was_given(name: str) -> None:
    def store(number: int, request: PeerRequest) -> None:
        if number == 0:
            request.session.abort()
        else:
            request.respond()

    with server(storing(store)) as running:
        outcomes = told(name, running, instances(20))
    lost = [one for one in outcomes if not one.stored]
    assert numbers(outcomes) == list(range(20))
    assert [type(one.problem) for one in lost] == [flows.AssociationAborted]
    assert lost[0].response is None


@pytest.mark.parametrize("name", ADAPTERS)
def test_what_no_association_can_take_any_more_is_an_error(name: str) -> None:
    outcomes: list[Outcome] = []
    with server(storing(lambda number, request: request.session.abort())) as running:
        with pytest.raises(flows.AssociationAborted):
            told(name, running, instances(20), outcomes=outcomes)
        assert numbers(outcomes) == [0, 1, 2]
        outcomes.clear()
        told(name, running, instances(3), outcomes=outcomes)
    assert not any(one.stored for one in outcomes)
    assert numbers(outcomes) == [0, 1, 2]


@pytest.mark.parametrize("name", ADAPTERS)
def test_without_any_association_nothing_is_told(name: str) -> None:
    def refused(module: Any) -> Any:
        return module.connect(("127.0.0.1", port), propose([CT], (EXPLICIT,)))

    with server(storing()) as running:
        port = running.port
    outcomes: list[Outcome] = []
    with pytest.raises(ConnectionFailed):
        told(name, running, instances(5), connect_one=refused, outcomes=outcomes)
    assert outcomes == []


@pytest.mark.parametrize("name", ADAPTERS)
def test_what_one_could_not_begin_another_takes(name: str) -> None:
    tried = count()
    made = threading.Event()

    def connect_one(module: Any) -> Any:
        port = running.port
        if next(tried) == 0:
            raise ConnectionFailed("no connection, this once")
        made.set()
        return module.connect(("127.0.0.1", port), propose([CT], (EXPLICIT,)))

    with server(storing()) as running:
        outcomes = told(name, running, instances(50), associations=2, connect_one=connect_one)
    assert numbers(outcomes) == list(range(50))
    assert all(one.stored for one in outcomes)


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_instance_without_a_context_is_told_so(name: str) -> None:
    mixed = [instance(0), instance(1, MR), instance(2)]
    with server(storing()) as running:
        outcomes = told(name, running, mixed, associations=1)
    assert [type(one.problem) for one in outcomes] == [type(None), flows.ContextNotAccepted, type(None)]


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_source_that_fails_is_told_when_all_else_is(name: str, lines: Lines) -> None:
    def source() -> Iterator[Instance]:
        yield from instances(4)
        raise OSError("the disk is gone")

    outcomes: list[Outcome] = []
    with server(storing()) as running:
        with pytest.raises(OSError, match="the disk is gone"):
            told(name, running, source(), outcomes=outcomes)
        assert all_released(running, lines)
    assert numbers(outcomes) == list(range(4))
    assert all(one.stored for one in outcomes)


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_data_set_that_fails_aborts_its_association(name: str) -> None:
    def data() -> Iterator[bytes]:
        yield bytes(10)
        raise OSError("the disk is gone")

    broken = Instance(sop_class_uid=CT, sop_instance_uid="1.2.0", transfer_syntax=EXPLICIT, data=data())
    with server(storing()) as running, pytest.raises(OSError, match="the disk is gone"):
        told(name, running, [broken], associations=1)
    assert running.metrics.aborted == 1


@pytest.mark.parametrize("name", ADAPTERS)
def test_left_early_it_finishes_what_was_sent(name: str, lines: Lines) -> None:
    drawn = count()

    def source() -> Iterator[Instance]:
        while True:
            yield instance(next(drawn))

    with server(storing()) as running:
        outcomes = told(name, running, source(), most=5)
        assert all_released(running, lines)
    assert len(outcomes) == 5
    assert running.metrics.requests["C-STORE-RQ"] < 50  # sending pauses until the outcomes are taken


@pytest.mark.parametrize("name", ADAPTERS)
def test_no_association_at_all_is_refused(name: str) -> None:
    with server(storing()) as running, pytest.raises(ValueError, match="0 associations; at least 1"):
        told(name, running, instances(1), associations=0)


@pytest.mark.parametrize("name", LOOPS)
def test_left_by_an_exception_it_aborts(name: str) -> None:
    arrived = threading.Event()

    def store(number: int, request: PeerRequest) -> None:
        arrived.set()
        with suppress(flows.AssociationError):
            request.session.run(flows.next_event(request.session.association))  # never answers

    async def main(module: Any) -> None:
        where, contexts = ("127.0.0.1", running.port), propose([CT], (EXPLICIT,))
        async with module.store_over(lambda: module.connect(where, contexts), instances(5), associations=2):
            while not arrived.is_set():
                await pause(name)
            raise LookupError("the user's own")

    with server(storing(store)) as running, pytest.raises(LookupError, match="the user's own"):
        run(name, main)
    assert running.metrics.released == 0


@pytest.mark.parametrize("name", LOOPS)
def test_cancelled_it_aborts(name: str) -> None:
    async def main(module: Any) -> None:
        where, contexts = ("127.0.0.1", running.port), propose([CT], (EXPLICIT,))

        async def store() -> None:
            async with module.store_over(lambda: module.connect(where, contexts), endless(), associations=2) as each:
                async for _ in each:
                    began.set()

        await cancelled_when(name, began.is_set, store)

    began = threading.Event()
    with server(storing()) as running:
        run(name, main)
    assert running.metrics.released == 0
    assert running.metrics.aborted >= 1


def endless() -> Iterator[Instance]:
    return map(instance, count())


def test_left_by_an_exception_a_thread_finishes_what_it_sent(lines: Lines) -> None:
    def leave(port: int) -> None:
        contexts = propose([CT], (EXPLICIT,))
        with blocking.store_over(lambda: blocking.connect(("127.0.0.1", port), contexts), endless()) as each:
            next(each)
            raise LookupError

    with server(storing()) as running:
        with pytest.raises(LookupError):
            leave(running.port)
        assert all_released(running, lines)
