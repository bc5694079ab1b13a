"""The operations of associations, in every adapter, with TLS and without, over TCP, Unix sockets and in memory."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import trio
from pydicom.dataset import Dataset

from dicos_proto.conversation import flows
from dicos_proto.errors import LocalProtocolError
from dicos_proto.registry import status
from dicos_proto.services.retrieve import Counters
from tests.transports.certificates import HOST, hospital, write_all
from tests.transports.suite.contexts import (
    CT,
    EXPLICIT,
    FIND,
    GET,
    MOVE,
    POLICY,
    Context,
    everywhere,
    instances,
    within,
)

MIB = 1 << 20


def identifier(name: str) -> Dataset:
    one = Dataset()
    one.PatientID = name
    return one


async def perform_all(session: Any) -> None:
    """A provider of echo and storage."""
    async with session:
        async for request in session:
            if request.name == "C-STORE-RQ":
                async for _ in request.data():
                    pass
            await request.respond()


@everywhere
async def test_an_echo(at: Context) -> None:
    user, provider = await at.sessions()

    async def use() -> None:
        async with user:
            for _ in range(3):
                assert (await user.echo()).status == 0

    await at.both(use, lambda: perform_all(provider))
    assert user.driver.closed
    assert provider.driver.closed
    assert (user.tls is not None) is at.over_tls
    assert provider.requests == {"C-ECHO-RQ": 3}
    assert user.carrier.bytes_sent == provider.carrier.bytes_received > 0
    if not at.over_tls:  # whose end need not be read
        assert user.carrier.bytes_received == provider.carrier.bytes_sent > 0


@within(media=("tcp", "unix"))
async def test_a_server_at_an_address(at: Context) -> None:
    over = [at.event(), at.event()]
    ended = iter(over)

    async def handle(session: Any) -> None:
        await perform_all(session)
        next(ended).set()

    listener, where = at.listen()
    async with at.serve(listener, handle) as server:
        for one in over:
            async with await at.connect(where) as user:
                assert (await user.echo()).status == 0
            await one.wait()  # a server that is stopped waits for no end
    assert server.metrics.released == 2
    assert (server.associations, server.pending) == (0, 0)


@everywhere
async def test_a_server_of_one_connection(at: Context) -> None:
    ours, theirs = at.ends()
    over = at.event()

    async def handle(session: Any) -> None:
        await perform_all(session)
        over.set()

    async with at.serve(theirs, handle) as server:
        async with await at.connect(ours) as user:
            assert (await user.echo()).status == 0
        await over.wait()
    assert server.metrics.released == 1


@everywhere
async def test_it_can_be_rejected(at: Context) -> None:
    ours, theirs = at.ends()
    rejecting = replace(POLICY, called_aets=frozenset(("OTHER",)))

    async def use() -> None:
        with pytest.raises(flows.AssociationRejected, match="called AE title not recognized"):
            await at.connect(ours)

    async def provide() -> None:
        with pytest.raises(flows.AssociationRejected):
            await at.accept(theirs, rejecting)

    await at.both(use, provide)


@pytest.mark.slow  # carries 100 MiB in each adapter
@everywhere
async def test_a_store_of_100_mib(at: Context) -> None:
    user, provider = await at.sessions()
    digests = [hashlib.blake2b(), hashlib.blake2b()]

    def pieces() -> Iterator[bytes]:
        for number in range(100):
            piece = bytes((number % 256,)) * MIB
            digests[0].update(piece)
            yield piece

    async def use() -> None:
        async with user:
            assert (await user.store(CT, "1.2.3", EXPLICIT, pieces())).status == 0

    async def provide() -> None:
        async with provider:
            async for request in provider:
                async for piece in request.data():
                    digests[1].update(piece)
                await request.respond()

    await at.both(use, provide)
    assert digests[0].digest() == digests[1].digest()


@everywhere
@pytest.mark.parametrize("ahead", [False, True], ids=["as-there-is-room", "ahead"])
async def test_many_stores(at: Context, ahead: bool) -> None:
    user, provider = await at.sessions()
    assert user.association.terms.agreement.invoke == 8

    async def use() -> None:
        async with user:
            outcomes = [outcome async for outcome in user.store_many(instances(100, 5000), ahead=ahead)]
            assert [one.instance.sop_instance_uid for one in outcomes] == [f"1.2.{number}" for number in range(100)]
            assert all(one.stored for one in outcomes)

    async def provide() -> None:
        number = 0
        async with provider:
            async for request in provider:
                assert await request.read() == bytes((number,)) * 10_000
                await request.respond()
                number += 1
        assert number == 100

    await at.both(use, provide)


@everywhere
async def test_a_query_is_cancelled(at: Context) -> None:
    user, provider = await at.sessions()

    async def use() -> None:
        async with user:
            answers = user.find(FIND, identifier("*"))
            count = 0
            async for match in answers:
                assert match.attributes.dataset.PatientID == str(count)
                count += 1
                if count == 3:
                    answers.cancel()
            assert answers.response.status == status.CANCEL
            assert [match async for match in user.find(FIND, identifier("none"))] == []

    async def provide() -> None:
        async with provider:
            async for request in provider:
                wanted = await request.attributes()
                number = 0
                while wanted.dataset.PatientID == "*" and await request.match(identifier(str(number))):
                    number += 1
                assert request.cancelled is (wanted.dataset.PatientID == "*")
                await request.end()

    await at.both(use, provide)


@within(security=("plain",), media=("memory",))
async def test_whoever_breaks_out_of_a_query_is_told_what_to_do(at: Context) -> None:
    """The same words in each adapter; then the association is as good as before."""
    user, provider = await at.sessions()

    async def use() -> None:
        async with user:
            answers = user.find(FIND, identifier("*"))
            async for _ in answers:
                break
            for ask in (user.echo, lambda: user.store(CT, "1.2.3", EXPLICIT, b"")):
                with pytest.raises(
                    LocalProtocolError, match=r"while C-FIND-RQ 1 is outstanding.*cancel\(\) asks the peer"
                ):
                    await ask()
            with pytest.raises(LocalProtocolError, match=r"C-STOREs while C-FIND-RQ 1 is outstanding.*cancel\(\)"):
                async for _ in user.store_many(instances(1, 10)):
                    pass
            answers.cancel()
            async for _ in answers:
                pass
            assert answers.response.status == status.CANCEL
            assert (await user.echo()).status == 0

    async def provide() -> None:
        async with provider:
            async for request in provider:
                if request.name == "C-ECHO-RQ":
                    await request.respond()
                    continue
                await request.attributes()
                while await request.match(identifier("1")):
                    pass
                await request.end()

    await at.both(use, provide)


COMMENTS = {
    "x" * 100: "x" * 64,
    "Größe 512": "Gr??e 512",
    "C:\\temp": "C:?temp",
    "two\nlines\0": "two?lines?",
    "日本" * 50: "?" * 64,
    "": "",
    "disk full": "disk full",
}


@within(security=("plain",), media=("memory",))
async def test_a_comment_that_cannot_be_sent_as_it_is_keeps_no_status_from_being_sent(at: Context) -> None:
    user, provider = await at.sessions()

    async def use() -> None:
        async with user:
            for comment in COMMENTS.values():
                stored = await user.store(CT, "1.2.3", EXPLICIT, b"x" * 40)
                assert (stored.status, stored.error_comment) == (0xA700, comment)
                answers = user.find(FIND, identifier("1"))
                assert [match async for match in answers] == []
                assert answers.response.error_comment == comment
                fetched = user.get(GET, identifier("1"))
                async for received in fetched:
                    await received.respond(0xB007, next(key for key, value in COMMENTS.items() if value == comment))
                assert fetched.response.status == status.SUBOPERATIONS_WARNING

    async def provide() -> None:
        async with provider:
            for text, after in COMMENTS.items():
                async for request in provider:
                    if request.name == "C-GET-RQ":
                        await request.send(instances(1, 10), 1)
                        assert request.performing.outcomes[0].comment == after
                        break
                    code = 0xA700 if request.name == "C-STORE-RQ" else 0xC001
                    await request.respond(code, text)
            async for _ in provider:
                pass

    await at.both(use, provide)


@everywhere
async def test_a_retrieval(at: Context) -> None:
    user, provider = await at.sessions()

    async def use() -> None:
        async with user:
            answers = user.get(GET, identifier("1"))
            number = 0
            async for received in answers:
                assert await received.read() == bytes((number,)) * 200_000
                await received.respond(0xA700 if number == 2 else 0)
                number += 1
            assert answers.operation.result.counters == Counters(completed=4, failed=1)

    async def provide() -> None:
        async with provider:
            async for request in provider:
                await request.attributes()
                assert await request.send(instances(5, 100_000), 5) == status.SUBOPERATIONS_WARNING

    await at.both(use, provide)


@everywhere
async def test_a_move_to_a_third_party(at: Context) -> None:
    user, provider = await at.sessions()
    ours, theirs = at.ends()
    stored = []

    async def use() -> None:
        async with user:
            answers = user.move(MOVE, "THIRD", identifier("1"))
            assert [counters.completed async for counters in answers] == [1, 2, 3]
            assert answers.operation.result.counters.completed == 3

    async def provide() -> None:
        async with provider:
            async for request in provider:
                await request.attributes()
                async with await at.connect(ours) as session:
                    assert await request.send(session, instances(3, 1000), 3) == 0

    async def third() -> None:
        async with await at.accept(theirs) as session:
            async for request in session:
                stored.append(request.sop_instance_uid)
                await request.respond()

    await at.both(use, provide, third)
    assert stored == ["1.2.0", "1.2.1", "1.2.2"]


@everywhere
async def test_an_unanswered_request_is_refused_and_the_next_one_comes(at: Context) -> None:
    user, provider = await at.sessions()

    async def use() -> None:
        async with user:
            assert (await user.echo()).status == status.UNRECOGNIZED_OPERATION
            assert (await user.echo()).status == 0

    async def provide() -> None:
        async with provider:
            seen = 0
            async for request in provider:
                seen += 1
                if seen == 2:
                    await request.respond()

    await at.both(use, provide)


@everywhere
async def test_both_ends_flood_each_other(at: Context) -> None:
    """Each sends 8 MiB before it reads an answer: an end that only wrote would wait forever.

    Each receives more meanwhile than `Limits.parked` holds, so that each refuses the other one's objects.
    """
    user, provider = await at.sessions()
    done = [at.event(), at.event()]

    async def flood(session: Any, mine: int) -> None:
        async with session:
            response = await session.store(CT, "1.2.3", EXPLICIT, [bytes(MIB)] * 8)
            assert response.status == status.RESOURCE_LIMITATION
            done[mine].set()
            if mine == 0:  # one of them releases
                await done[1].wait()
            else:
                assert [request async for request in session] == []

    await at.both(lambda: flood(user, 0), lambda: flood(provider, 1))


@everywhere
async def test_a_session_left_within_a_message_is_aborted(at: Context) -> None:
    """The second instance has no end, so that the response to the first comes while it is sent, however slowly."""
    user, provider = await at.sessions()
    first, second = instances(2, MIB)
    endless = replace(second, data=itertools.repeat(bytes(MIB)))

    async def use() -> None:
        async with user:
            async for outcome in user.store_many([first, endless]):
                assert outcome.stored
                assert user.association.operations.sending
                break
        assert user.driver.closed

    async def provide() -> None:
        with pytest.raises(flows.AssociationAborted, match="the peer says"):
            await perform_all(provider)

    await at.both(use, provide)


@everywhere
async def test_a_fault_of_a_source_aborts(at: Context) -> None:
    user, provider = await at.sessions()

    def pieces() -> Iterator[bytes]:
        yield bytes(1000)
        yield bytes(1000)
        raise OSError("the disk is gone")

    async def use() -> None:
        with pytest.raises(OSError, match="the disk is gone"):
            await user.store(CT, "1.2.3", EXPLICIT, pieces())
        assert user.driver.closed
        with pytest.raises((flows.AssociationError, LocalProtocolError)):
            await user.echo()

    async def provide() -> None:
        with pytest.raises(flows.AssociationAborted, match="the peer says"):
            await perform_all(provider)

    await at.both(use, provide)


@within(media=("tcp", "unix"))
async def test_the_smallest_socket_buffers(at: Context) -> None:
    ends = at.ends()
    for sock in ends:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the system makes it the least it has
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    user, provider = await at.sessions(ends)
    data = bytes(30_000 if at.medium == "tcp" else MIB)  # with such windows TCP crawls

    async def use() -> None:
        async with user:
            assert (await user.store(CT, "1.2.3", EXPLICIT, data)).status == 0

    async def provide() -> None:
        async with provider:
            async for request in provider:
                assert await request.read() == data
                await request.respond()

    await at.both(use, provide)


class _OneByteStream(trio.abc.Stream):
    """A stream that gives one byte at a time, and takes a few."""

    def __init__(self, inner: trio.abc.Stream) -> None:
        self._inner = inner

    async def send_all(self, data: Any) -> None:
        for at in range(0, len(data), 3):
            await self._inner.send_all(data[at : at + 3])

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._inner.receive_some(1)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _OneByteReader(asyncio.StreamReader):
    """The same for what asyncio reads from."""

    def __init__(self, inner: asyncio.StreamReader) -> None:
        super().__init__()
        self._inner = inner

    async def read(self, n: int = -1) -> bytes:
        return await self._inner.read(1)


@within(adapters=("trio", "asyncio"), media=("memory",))
async def test_streams_that_give_a_byte_at_a_time(at: Context) -> None:
    ends: list[Any] = []
    for end in at.ends():
        ends.append((_OneByteReader(end[0]), end[1]) if at.adapter.name == "asyncio" else _OneByteStream(end))
    user, provider = await at.sessions((ends[0], ends[1]))

    async def use() -> None:
        async with user:
            assert (await user.echo()).status == 0
            assert (await user.store(CT, "1.2.3", EXPLICIT, bytes(2000))).status == 0

    await at.both(use, lambda: perform_all(provider))
    assert provider.requests == {"C-ECHO-RQ": 1, "C-STORE-RQ": 1}


@within(adapters=("trio",), security=("plain",), media=("tcp",))
async def test_a_stream_of_trio_over_a_socket(at: Context) -> None:
    """A stream that trio itself connects; its socket is then used directly."""
    listener, where = at.listen()
    with listener:
        ours = await trio.open_tcp_stream(*where)
        theirs, _ = listener.accept()
    user, provider = await at.sessions((ours, theirs))

    async def use() -> None:
        async with user:
            assert (await user.echo()).status == 0

    await at.both(use, lambda: perform_all(provider))


@within(adapters=("asyncio",), media=("tcp", "unix"))
async def test_streams_of_asyncio_over_sockets(at: Context) -> None:
    ends = [await asyncio.open_connection(sock=sock) for sock in at.ends()]
    user, provider = await at.sessions((ends[0], ends[1]))

    async def use() -> None:
        async with user:
            assert (await user.store(CT, "1.2.3", EXPLICIT, bytes(5 * MIB))).status == 0

    await at.both(use, lambda: perform_all(provider))


@within(adapters=("trio",), security=("plain",), media=("memory",))
async def test_tls_of_trio_itself(at: Context) -> None:
    """A stream of another kind: `trio.SSLStream` around a pair in memory."""
    contexts = [ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)]
    files = write_all(at.folder, hospital().server)
    contexts[0].load_verify_locations(files.ca)
    contexts[1].load_cert_chain(files.certificate, files.key)
    ours, theirs = at.ends()
    ends = (
        trio.SSLStream(ours, contexts[0], server_hostname=HOST),
        trio.SSLStream(theirs, contexts[1], server_side=True),
    )
    user, provider = await at.sessions(ends)

    async def use() -> None:
        async with user:
            assert (await user.store(CT, "1.2.3", EXPLICIT, bytes(5 * MIB))).status == 0
            outcomes = [outcome async for outcome in user.store_many(instances(20, MIB))]
            assert all(outcome.stored for outcome in outcomes)

    await at.both(use, lambda: perform_all(provider))
