"""Exceptions of the caller's own code: every adapter handles them in the same way.

A fault between two messages costs nothing. Within a message of our own, or with answers outstanding that nobody would
wait for, the association is aborted at once; every later operation reports that.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dicos_proto.conversation.feed import STARVED
from dicos_proto.conversation.flows import AssociationAborted, AssociationError, AssociationReleased
from dicos_proto.dimse.types import CStoreRequest
from dicos_proto.errors import LocalProtocolError, ProtocolError
from dicos_proto.services.storage import Instance
from dicos_transports.sessions import running
from tests.transports.suite.contexts import BY_ID, CT, EXPLICIT, FIND, GET, PRINTER, Context, instances, within

everywhere = within(media=("tcp", "memory"))
plainly = within(security=("plain",), media=("tcp", "memory"))
PIECE = bytes(1000)


class Boom(Exception):
    """The caller's own."""


class Interrupted(BaseException):
    """As KeyboardInterrupt is, which an event loop would take for its own."""


FAULTS = [Boom, OSError, Interrupted, LocalProtocolError, AssociationReleased]
"""The last two: a source may be made of another association, which has faults of the same kinds."""


@pytest.fixture(autouse=True)
def _few_last_words(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens the wait for a peer that is held and reads nothing: the A-ABORT is with its system by then."""
    if request.function in (
        test_a_source_of_instances_that_raises_while_answers_are_outstanding,
        test_an_answer_to_a_c_get_whose_source_raises,
    ):
        monkeypatch.setattr(running, "LAST_WORDS", 0.2)


async def usable(session: Any) -> bool:
    """Returns True if the association still works. If not, every operation reports that, and it is closed."""
    try:
        answered = await session.echo()
    except ProtocolError:
        return False
    assert answered.status == 0
    return True


class Provider:
    """The other side: it answers everything, and remembers what it saw."""

    def __init__(self, session: Any, hold: Any = None) -> None:
        self.session = session
        self.seen: list[str] = []
        self.ended = ""
        self._hold = hold  # answered once this is set

    async def run(self) -> None:
        try:
            async with self.session as session:
                async for request in session:
                    async for _ in request.data():
                        pass
                    self.seen.append(request.name)
                    if self._hold is not None and request.name != "C-ECHO-RQ":
                        await self._hold.wait()
                    await request.respond()
            self.ended = "released"
        except AssociationAborted as error:
            self.ended = str(error)


def raising(fault: type[BaseException], after: int) -> Iterator[bytes]:
    for _ in range(after):
        yield PIECE
    raise fault("of the caller")


def source(fault: type[BaseException], after: int) -> Iterator[Instance]:
    yield from instances(after, 100)
    raise fault("of the caller")


async def whole(answers: Any, found: list[Any] | None = None) -> None:
    async for one in answers:
        if found is not None:
            found.append(one)


async def both(at: Context, act: Callable[[Any], Any], **options: Any) -> Provider:
    user, provider = await at.sessions()
    there = Provider(provider, **options)

    async def using() -> None:
        async with user:
            await act(user)

    await at.both(using, there.run)
    return there


# -- data sets that are sent ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("after", [0, 1, 5, 300])
@plainly
async def test_a_data_set_whose_source_raises_is_aborted(at: Context, fault: type[BaseException], after: int) -> None:
    async def act(user: Any) -> None:
        with pytest.raises(fault):
            await user.store(CT, "1.2", EXPLICIT, raising(fault, after))
        assert user.driver.closed
        assert not user.established
        assert not await usable(user)

    there = await both(at, act)
    assert there.seen == []
    assert "service user" in there.ended


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("before", [0, 1, 3])
@plainly
async def test_an_instance_whose_pieces_raise_is_aborted(at: Context, fault: type[BaseException], before: int) -> None:
    def those() -> Iterator[Instance]:
        yield from instances(before, 100)
        yield Instance(sop_class_uid=CT, sop_instance_uid="1.9", transfer_syntax=EXPLICIT, data=raising(fault, 2))

    async def act(user: Any) -> None:
        with pytest.raises(fault):
            async for _ in user.store_many(those()):
                pass
        assert user.driver.closed
        assert not await usable(user)

    there = await both(at, act)
    assert there.seen == ["C-STORE-RQ"] * before
    assert "service user" in there.ended


# -- instances -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Boom, Interrupted], ids=lambda fault: fault.__name__)
@plainly
async def test_a_source_of_instances_that_raises_before_the_first_costs_nothing(
    at: Context, fault: type[BaseException]
) -> None:
    async def act(user: Any) -> None:
        with pytest.raises(fault):
            async for _ in user.store_many(source(fault, 0)):
                pass
        assert user.established
        assert await usable(user)

    there = await both(at, act)
    assert there.seen == ["C-ECHO-RQ"]
    assert there.ended == "released"


@pytest.mark.parametrize("fault", [Boom, Interrupted], ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("before", [1, 3])
@everywhere
async def test_a_source_of_instances_that_raises_while_answers_are_outstanding(
    at: Context, fault: type[BaseException], before: int
) -> None:
    hold = at.event()

    async def act(user: Any) -> None:
        with pytest.raises(fault):
            async for _ in user.store_many(source(fault, before)):
                pass
        assert user.driver.closed
        assert not user.established
        assert not await usable(user)
        hold.set()

    there = await both(at, act, hold=hold)
    assert "service user" in there.ended or "closed" in there.ended


@plainly
async def test_a_loop_over_outcomes_that_is_left_costs_what_is_outstanding(at: Context) -> None:
    """Nothing else can be asked: the answers of the others would come first."""

    async def act(user: Any) -> None:
        async for outcome in user.store_many(instances(20, 100)):
            assert outcome.stored
            break
        assert not user.driver.closed
        with pytest.raises(LocalProtocolError):
            await user.store(CT, "1.3", EXPLICIT, b"ab")
        assert not user.driver.closed

    there = await both(at, act)
    assert there.ended


# -- several associations ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Boom, OSError, LocalProtocolError], ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("before", [0, 1, 5])
@within(security=("plain",), media=("tcp",))
async def test_a_source_of_several_associations_that_raises(at: Context, fault: type[Exception], before: int) -> None:
    """The outcomes of sent instances are reported, then the fault is raised; every association is released."""
    listener, address = at.listen()
    stored: list[str] = []

    async def handle(session: Any) -> None:
        async for request in session:
            await request.read()
            stored.append(request.sop_instance_uid)
            await request.respond()

    outcomes: list[str] = []

    async def store() -> None:
        async with at.store_over(lambda: at.connect(address), source(fault, before), associations=2) as told:
            async for outcome in told:
                assert outcome.stored
                outcomes.append(outcome.instance.sop_instance_uid)

    async with at.serve(listener, handle) as server:
        with pytest.raises(fault):
            await store()
        while server.metrics.active:  # it has answered the release, and ends by itself: to close it now is an abort
            await at.pause()
    assert sorted(outcomes) == sorted(stored) == [f"1.2.{number}" for number in range(before)]
    assert server.metrics.aborted == 0


@pytest.mark.parametrize("fault", [Boom, OSError], ids=lambda fault: fault.__name__)
@within(security=("plain",), media=("tcp",))
async def test_pieces_that_raise_on_one_of_several_associations(at: Context, fault: type[Exception]) -> None:
    """That association is aborted, the others send what they have, and the fault is raised."""
    listener, address = at.listen()

    async def handle(session: Any) -> None:
        async for request in session:
            await request.read()
            await request.respond()

    def those() -> Iterator[Instance]:
        yield from instances(3, 100)
        yield Instance(sop_class_uid=CT, sop_instance_uid="1.9", transfer_syntax=EXPLICIT, data=raising(fault, 2))

    async def store() -> None:
        async with at.store_over(lambda: at.connect(address), those(), associations=2) as told:
            async for outcome in told:
                assert outcome.instance.sop_instance_uid != "1.9"

    async with at.serve(listener, handle) as server:
        with pytest.raises(fault):
            await store()
    assert server.metrics.aborted == 1


# -- storage commitment, normalized operations ---------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@plainly
async def test_references_whose_source_raises_cost_nothing(at: Context, fault: type[BaseException]) -> None:
    def references() -> Iterator[Any]:
        yield from ()
        raise fault("of the caller")

    async def act(user: Any) -> None:
        with pytest.raises(fault):
            await user.commit("1.2.3", references())
        assert not user.driver.closed
        assert await usable(user)

    there = await both(at, act)
    assert there.seen == ["C-ECHO-RQ"]
    assert there.ended == "released"


class Unwritable:
    """A data set that raises when it is written."""

    def __init__(self, fault: type[BaseException]) -> None:
        self.fault = fault

    def __getattr__(self, name: str) -> Any:
        raise self.fault("of the caller")

    def __contains__(self, key: object) -> bool:
        raise self.fault("of the caller")


OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "n_create": lambda user, content: user.n_create(PRINTER, "1.2", content),
    "n_set": lambda user, content: user.n_set(PRINTER, "1.2", content),
    "n_action": lambda user, content: user.n_action(PRINTER, "1.2", 1, content),
    "n_event_report": lambda user, content: user.n_event_report(PRINTER, "1.2", 1, content),
}


@pytest.mark.parametrize("fault", [Boom, Interrupted], ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("operation", OPERATIONS)
@plainly
async def test_a_data_set_that_cannot_be_written_costs_nothing(
    at: Context, operation: str, fault: type[BaseException]
) -> None:
    async def act(user: Any) -> None:
        with pytest.raises((fault, ProtocolError)):
            await OPERATIONS[operation](user, Unwritable(fault))
        assert not user.driver.closed
        assert await usable(user)

    there = await both(at, act)
    assert there.seen == ["C-ECHO-RQ"]
    assert there.ended == "released"


# -- queries -------------------------------------------------------------------------------------------------------


@plainly
async def test_an_identifier_that_cannot_be_sent_costs_nothing(at: Context) -> None:
    async def act(user: Any) -> None:
        with pytest.raises((ProtocolError, TypeError)):
            async for _ in user.find(FIND, object()):
                pass
        assert await usable(user)

    there = await both(at, act)
    assert there.ended == "released"


@pytest.mark.parametrize("cancels", [False, True])
@plainly
async def test_a_loop_over_matches_that_is_left(at: Context, cancels: bool) -> None:
    user, provider = await at.sessions()

    async def provide() -> None:
        try:
            async with provider:
                async for request in provider:
                    await request.attributes()
                    for _ in range(3):
                        if not await request.match(b"\x10\x00\x20\x00LO\x02\x001 "):
                            break
                    await request.end()
        except AssociationError:
            pass

    async def using() -> None:
        async with user:
            answers = user.find(FIND, b"\x10\x00\x20\x00LO\x00\x00")
            async for _ in answers:
                break
            assert user.association.operations.outstanding == 1
            if cancels:
                answers.cancel()
                async for _ in answers:
                    pass
                assert user.association.operations.outstanding == 0
                return
            with pytest.raises(LocalProtocolError):
                await user.echo()
            assert not user.driver.closed

    await at.both(using, provide)


# -- the providing side --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Boom, OSError], ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("when", ["at the request", "within its data", "after its data"])
@plainly
async def test_a_handler_that_raises_is_an_abort(at: Context, fault: type[Exception], when: str) -> None:
    user, provider = await at.sessions()

    async def handle() -> None:
        async with provider:
            async for request in provider:
                if when == "at the request":
                    raise fault
                async for _ in request.data():
                    if when == "within its data":
                        raise fault
                raise fault

    async def provide() -> None:
        with pytest.raises(fault):
            await handle()
        assert provider.driver.closed

    async def using() -> None:
        with pytest.raises(AssociationAborted, match=r"service user|closed|lost"):
            async with user:
                await user.store(CT, "1.2", EXPLICIT, [PIECE] * 10)

    await at.both(using, provide)


@pytest.mark.parametrize("fault", [Boom, OSError], ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("matches", [0, 1, 3])
@plainly
async def test_a_handler_that_raises_between_matches_is_an_abort(
    at: Context, fault: type[Exception], matches: int
) -> None:
    """The user has got what was sent before."""
    user, provider = await at.sessions()

    async def handle() -> None:
        async with provider:
            async for request in provider:
                await request.attributes()
                for _ in range(matches):
                    assert await request.match(b"\x10\x00\x20\x00LO\x02\x001 ")
                raise fault

    async def provide() -> None:
        with pytest.raises(fault):
            await handle()
        assert provider.driver.closed

    async def using() -> None:
        found: list[Any] = []
        async with user:
            with pytest.raises(AssociationAborted, match=r"service user|closed|lost"):
                await whole(user.find(FIND, b"\x10\x00\x20\x00LO\x00\x00"), found)
        assert len(found) == matches

    await at.both(using, provide)


@pytest.mark.parametrize("fault", [Boom, Interrupted], ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("operation", ["match", "respond"])
@plainly
async def test_an_answer_that_cannot_be_written(at: Context, operation: str, fault: type[BaseException]) -> None:
    """Nothing of it was sent: the handler may give another answer, unless it was interrupted."""
    user, provider = await at.sessions()

    async def provide() -> None:
        async with provider:
            async for request in provider:
                await request.attributes()
                content = Unwritable(fault)
                answering = request.match(content) if operation == "match" else request.respond(0, None, content)
                with pytest.raises((fault, ProtocolError)) as raised:
                    await answering
                assert provider.driver.closed is (raised.type is Interrupted)
                if provider.driver.closed:
                    break
                await request.respond(0xC000)

    async def using() -> None:
        async with user:
            if fault is Interrupted:
                with pytest.raises(AssociationAborted):
                    await user.n_get(PRINTER, "1.2") if operation == "respond" else await whole(user.find(FIND, b""))
            elif operation == "match":
                answers = user.find(FIND, b"\x10\x00\x20\x00LO\x00\x00")
                async for _ in answers:
                    raise AssertionError("a match that was never sent")
                assert answers.response.status == 0xC000
            else:
                assert (await user.n_get(PRINTER, "1.2")).response.status == 0xC000

    await at.both(using, provide)


@plainly
async def test_a_sink_that_is_full_may_be_answered(at: Context) -> None:
    """The unread rest of the data set is discarded, and the association goes on."""
    user, provider = await at.sessions()

    def write(piece: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    async def provide() -> None:
        async with provider:
            async for request in provider:
                try:
                    async for piece in request.data():
                        write(piece)
                except OSError:
                    await request.respond(0xA700, "full")
                    continue
                await request.respond()

    async def using() -> None:
        async with user:
            stored = await user.store(CT, "1.2", EXPLICIT, [PIECE] * 2000)
            assert stored.status == 0xA700
            assert await usable(user)

    await at.both(using, provide)


@pytest.mark.parametrize("before", [0, 1])
@plainly
async def test_an_answer_to_a_c_get_whose_source_raises(at: Context, before: int) -> None:
    """Before the first it may still be answered; with a C-STORE outstanding it is an abort."""
    user, provider = await at.sessions()
    hold = at.event()

    async def provide() -> None:
        try:
            async with provider:
                async for request in provider:
                    await request.attributes()
                    with pytest.raises(Boom):
                        await request.send(source(Boom, before), 5)
                    assert provider.driver.closed is (before > 0)
                    hold.set()
                    if provider.driver.closed:
                        break
                    await request.respond(0xC000)
        except AssociationError:
            assert before

    async def using() -> None:
        try:
            async with user:
                getting = user.get(GET, b"\x10\x00\x20\x00LO\x00\x00")
                async for request in getting:
                    await hold.wait()
                    await request.respond()
                assert getting.response.status == 0xC000
                assert not before
        except ProtocolError:  # the association has ended when the request is read, or when it is answered
            assert before

    await at.both(using, provide)


# -- what watches --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["sent", "received"])
@everywhere
async def test_a_trace_that_raises_is_raised_where_it_is_waited(at: Context, direction: str) -> None:
    """And nothing of the stream is lost with it."""
    armed: list[bool] = []

    def trace(towards: str, buffers: Any) -> None:
        if armed and towards == direction and buffers:
            armed.clear()
            raise Boom

    user, provider = await at.sessions(user={"trace": trace})
    there = Provider(provider)

    async def using() -> None:
        async with user:
            assert await usable(user)
            armed.append(True)
            with pytest.raises(Boom):
                await user.echo()
            assert user.driver.closed
            assert not await usable(user)

    await at.both(using, there.run)
    assert "released" not in there.ended


@plainly
async def test_a_release_within_a_message_is_an_abort(at: Context) -> None:
    """It would lose the rest."""

    async def act(user: Any) -> None:
        store = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2")
        user.exchange.send(BY_ID[CT], store, iter([PIECE, PIECE, STARVED]))
        with pytest.raises(LocalProtocolError, match="before the data set is complete"):
            await user.release()
        assert user.driver.closed

    there = await both(at, act)
    assert "service user" in there.ended
