"""Servers of every adapter: admission, counters, logs and identity checks."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from time import monotonic
from typing import Any

import pytest
import trio
import trio.testing

import dicos_transports.asyncio as over_asyncio
import dicos_transports.trio as over_trio
from dicos_proto.conversation import flows
from dicos_proto.dimse.types import CEchoRequest, CStoreRequest
from dicos_proto.errors import AbortSource
from dicos_proto.limits import Limits
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.events import Closed
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ReleaseRequest,
    ReleaseResponse,
    UserIdentity,
    UserIdentityType,
    UserInformation,
)
from dicos_proto.upper_layer.policy import IdentityVerdict
from dicos_transports.blocking import Session, connect
from dicos_transports.serving import Connection, Metrics, ServerLimits, async_server, most_bytes
from dicos_transports.serving.admission import Slots
from dicos_transports.sessions.base import LAST_WORDS
from dicos_transports.tls import ClientCertificate, ClientTLS, ServerTLS
from tests.pair import command, p_data
from tests.transports.certificates import hospital
from tests.transports.connections import (
    ASKED,
    CONTEXTS,
    CT,
    EXPLICIT,
    PATIENCE,
    POLICY,
    VERIFICATION,
    Lines,
    abort_of,
    read_exactly,
    read_pdu,
)
from tests.transports.servers import ADAPTERS, Handle, Talk, serving


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def user(running: Handle, **options: Any) -> Session:
    return connect(("127.0.0.1", running.port), CONTEXTS, **options)


def raw(running: Handle) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), PATIENCE)


def asked(running: Handle) -> socket.socket:
    """A connection that has requested an association and not read the answer."""
    sock = raw(running)
    sock.sendall(ASKED)
    return sock


def check(metrics: Metrics, **expected: Any) -> None:
    """The counters have these values, all others are 0, and they are consistent."""
    assert metrics.connections == (
        metrics.accepted + metrics.rejected + metrics.evicted + metrics.unasked + metrics.pending
    )
    assert metrics.accepted == metrics.released + metrics.aborted + metrics.active
    found = {name: value for name in Metrics.__slots__ if (value := getattr(metrics, name))}
    for name in ("bytes_received", "bytes_sent", "requests"):
        if name not in expected:
            found.pop(name, None)
    assert found == expected


# -- limits --------------------------------------------------------------------------------------------------------


ROOM_FOR_TWO = {
    "associations": {"associations": 2},
    "per_address": {"per_address": 2},
    "bytes_in_flight": {"bytes_in_flight": 3 * most_bytes(Limits()) - 1},
}


@pytest.mark.parametrize("limit", ROOM_FOR_TWO)
def test_one_association_too_many_is_rejected_for_now(adapter: str, limit: str, lines: Lines) -> None:
    with serving(adapter, server_limits=ServerLimits(**ROOM_FOR_TWO[limit])) as running:
        with user(running) as first, user(running) as second:
            with pytest.raises(flows.AssociationRejected, match="local limit exceeded") as caught:
                user(running)
            reject = caught.value.reject
            assert (reject.result, reject.source, reject.reason) == (2, 3, 2)
            assert first.echo().status == second.echo().status == 0
            lines.wait_for(f"'DICOS_PROTO' calls 'ANY-SCP': rejected: limit {limit} reached")
        lines.wait_for("closed", count=3)
        with user(running) as third:
            assert third.echo().status == 0


COUNTED_TOGETHER = [
    ("10.0.0.7", "10.0.0.7", True),
    ("10.0.0.7", "10.0.0.8", False),
    ("10.0.0.7", "::ffff:10.0.0.7", True),
    ("::ffff:10.0.0.7", "::ffff:10.0.0.8", False),
    ("2001:db8:0:7::1", "2001:db8:0:7:ffff:ffff:ffff:ffff", True),
    ("2001:db8:0:7::1", "2001:db8:0:8::1", False),
    ("2001:db8:0:7::1", "10.0.0.7", False),
    ("::1", "::ffff:127.0.0.1", False),
    ("fe80::1%eth0", "fe80::2%eth0", True),
    ("fe80::1%eth0", "fe80::1%eth1", False),
    ("00:11:22:33:44:55", "00:11:22:33:44:55", True),  # such as Bluetooth
    ("00:11:22:33:44:55", "00:11:22:33:44:66", False),
]


@pytest.mark.parametrize(("one", "other", "together"), COUNTED_TOGETHER)
def test_whose_associations_are_counted_together(one: str, other: str, together: bool) -> None:
    """The owner of an IPv6 network has 2 ** 64 addresses."""
    slots = Slots(ServerLimits(per_address=1), 10)
    first, second = (Connection(f"[{host}]:104", host) for host in (one, other))
    for connection in (first, second):
        slots.arrive(connection)
    assert slots.admit(first) is None
    assert slots.admit(second) == ("per_address" if together else None)
    slots.leave(first)
    if together:
        assert slots.admit(second) is None
    assert str(second.peer) == f"[{other}]:104"  # logs have the full address


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no socket for both IPv4 and IPv6 on this system")
def test_an_address_of_ipv4_is_counted_alike_over_both_kinds_of_sockets(adapter: str, lines: Lines) -> None:
    both = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    where, port = [both, ("127.0.0.1", 0)], both.getsockname()[1]
    with serving(adapter, where=where, server_limits=ServerLimits(per_address=1)) as running:
        plain = int(running.address.rpartition(":")[2])
        with connect(("127.0.0.1", port), CONTEXTS) as mapped, connect(("::1", port), CONTEXTS) as six:
            with pytest.raises(flows.AssociationRejected, match="local limit exceeded"):
                connect(("127.0.0.1", plain), CONTEXTS)
            lines.wait_for("rejected: limit per_address reached")
            assert mapped.echo().status == six.echo().status == 0
            with pytest.raises(flows.AssociationRejected, match="local limit exceeded"):
                connect(("::1", port), CONTEXTS)
        del both, where


def test_no_room_for_one_association_is_a_mistake(adapter: str) -> None:
    each = most_bytes(Limits())
    with (
        pytest.raises(ValueError, match=f"bytes_in_flight of {each - 1}; one association may need {each}"),
        serving(adapter, server_limits=ServerLimits(bytes_in_flight=each - 1)),
    ):
        pass


def test_who_is_silent_makes_room_and_who_has_waited_longest_first(adapter: str, lines: Lines) -> None:
    with (
        serving(adapter, server_limits=ServerLimits(pending=2, associations=1)) as running,
        raw(running) as oldest,
        raw(running) as younger,
        user(running) as good,
    ):
        assert read_pdu(oldest) == b""
        assert good.echo().status == 0
        lines.wait_for("without an association, to make room")
        younger.sendall(ASKED)  # it is still pending, but the limit of associations is reached
        assert isinstance(decode(read_pdu(younger)), AssociateReject)
        check(running.metrics, connections=3, accepted=1, evicted=1, rejected=1, active=1)


@pytest.mark.parametrize("count", [3, 30])
def test_a_burst_of_strangers_leaves_as_many_as_may_wait(adapter: str, count: int, lines: Lines) -> None:
    """More clients connect than the server can handle before it has to close them."""
    with serving(adapter, server_limits=ServerLimits(pending=1)) as running, ExitStack() as strangers:
        for _ in range(count):
            strangers.enter_context(raw(running))
        lines.wait_for("to make room", count=count - 1)
        with user(running) as good:
            assert good.echo().status == 0
        lines.wait_for("to make room", count=count)
    check(running.metrics, connections=count + 1, evicted=count, accepted=1, released=1)


def test_who_is_rejected_and_stays_holds_no_slot_of_an_association(adapter: str) -> None:
    limits = ServerLimits(associations=1, pending=1)
    only_me = lambda request: IdentityVerdict(accepted=request.calling_aet == "ME")  # noqa: E731
    with serving(adapter, server_limits=limits, identify=only_me) as running, _with_identity(running) as rude:
        assert isinstance(decode(read_pdu(rude)), AssociateReject)  # and it does not close
        with user(running, calling_aet="ME", user_information=_user("me")) as good:
            assert good.echo().status == 0
        assert read_pdu(rude) == b""  # evicted for the next one


# -- endings -------------------------------------------------------------------------------------------------------


@pytest.mark.timer  # an ARTIM timer of a peer that does not go
def test_every_ending_is_counted_once(adapter: str, lines: Lines) -> None:
    with serving(adapter, timeouts=Timeouts(artim=1.5)) as running:  # time enough to ask, on a busy machine
        with user(running) as session:
            session.echo()
            session.store(CT, "1.2.3", EXPLICIT, bytes(1000))
            live = running.metrics
            check(live, connections=1, accepted=1, active=1, bytes_received=live.bytes_received,
                  bytes_sent=live.bytes_sent, requests={"C-ECHO-RQ": 1, "C-STORE-RQ": 1})  # fmt: skip
            assert live.bytes_received == session.driver.bytes_sent
            assert live.bytes_sent > 0
        lines.wait_for("closed")
        after = running.metrics
        check(after, connections=1, accepted=1, released=1, bytes_received=session.driver.bytes_sent,
              bytes_sent=session.driver.bytes_received, requests=live.requests)  # fmt: skip

        user(running).abort()
        lines.wait_for("the peer says: association aborted by the service user")
        check(running.metrics, connections=2, accepted=2, released=1, aborted=1)
        raw(running).close()
        lines.wait_for("closed by the peer without an A-ASSOCIATE-RQ")
        check(running.metrics, connections=3, accepted=2, released=1, aborted=1, unasked=1)
        with raw(running) as silent:
            assert read_exactly(silent, 1) == b""  # closed by ARTIM
        lines.wait_for("ARTIM")
        check(running.metrics, connections=4, accepted=2, released=1, aborted=1, unasked=2)
        with raw(running) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert decode(read_pdu(stranger)) == Abort(source=0, reason=0)
        lines.wait_for("HTTP, not DICOM")
        check(running.metrics, connections=5, accepted=2, released=1, aborted=1, unasked=3)


def test_an_association_released_by_this_side_for_its_idleness_is_released(adapter: str, lines: Lines) -> None:
    with serving(adapter, timeouts=Timeouts(idle=0.2)) as running, asked(running) as sock:
        assert read_pdu(sock)[0] == 2
        assert decode(read_pdu(sock)) == ReleaseRequest()
        sock.sendall(encode(ReleaseResponse()))
        assert read_pdu(sock) == b""
        lines.wait_for("the association was released")
    check(running.metrics, connections=1, accepted=1, released=1)


def test_a_policy_rejects_and_is_not_counted_as_an_association(adapter: str, lines: Lines) -> None:
    with serving(adapter, policy=_only_called("PACS")) as running:
        with pytest.raises(flows.AssociationRejected, match="called AE title not recognized"):
            user(running, called_aet="ELSEWHERE")
        lines.wait_for("'DICOS_PROTO' calls 'ELSEWHERE'")
        with user(running, called_aet="PACS") as session:
            assert session.echo().status == 0
    check(running.metrics, connections=2, rejected=1, accepted=1, released=1)


def _only_called(title: str) -> Any:
    return replace(POLICY, called_aets=frozenset({title}))


# -- handlers that fail ----------------------------------------------------------------------------------------------


def test_a_handler_that_raises_ends_only_its_association(adapter: str, lines: Lines) -> None:
    async def fail_first(talk: Talk) -> None:
        async for request in talk.requests():
            if talk.session.calling_aet == "BAD":
                raise KeyError("a mistake")
            await talk.respond(request)

    with serving(adapter, fail_first) as running, user(running) as good:
        with user(running, calling_aet="BAD") as bad, pytest.raises(flows.AssociationAborted, match="service user"):
            bad.echo()
        lines.wait_for("the handler failed; the association is aborted")
        assert good.echo().status == 0
        check(running.metrics, connections=2, accepted=2, aborted=1, failures=1, active=1)
    (record,) = [one for one in lines.records if one.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert record.exc_info[0] is KeyError


GROUPS: dict[str, tuple[Callable[[], Exception], str, int]] = {
    "one end": (
        lambda: ExceptionGroup("tasks", [ExceptionGroup("more", [flows.AssociationError("it is over")])]),
        "it is over",
        0,
    ),
    "two ends": (
        lambda: ExceptionGroup("tasks", [flows.AssociationError("first"), flows.AssociationError("second")]),
        "first",
        0,
    ),
    "a fault besides": (
        lambda: ExceptionGroup("tasks", [flows.AssociationError("first"), ExceptionGroup("more", [KeyError("k")])]),
        "the handler failed",
        1,
    ),
}


@pytest.mark.parametrize("which", GROUPS)
def test_a_group_of_ends_is_one_end_and_hides_no_fault(adapter: str, which: str, lines: Lines) -> None:
    make, told, failures = GROUPS[which]

    async def fail(talk: Talk) -> None:
        async for _ in talk.requests():
            raise make()

    with serving(adapter, fail) as running:
        with user(running) as session, pytest.raises(flows.AssociationAborted):
            session.echo()
        lines.wait_for(told)
    assert running.metrics.failures == failures
    assert len([one for one in lines.records if one.levelno >= logging.ERROR]) == failures


def test_what_makes_traces_may_fail(adapter: str, lines: Lines) -> None:
    def broken(peer: str) -> Any:
        raise RuntimeError("no trace")

    with serving(adapter, trace=broken) as running, raw(running) as sock:
        assert read_exactly(sock, 1) == b""
        lines.wait_for("the handler failed")
    check(running.metrics, connections=1, unasked=1, failures=1)


def test_an_association_that_cannot_even_be_made_frees_its_slot_and_closes_its_socket(
    adapter: str, lines: Lines
) -> None:
    class Broken(Timeouts):
        def __getattribute__(self, name: str) -> Any:
            if armed.is_set():
                raise RuntimeError("no timeouts")
            return super().__getattribute__(name)

    armed = threading.Event()
    with serving(adapter, timeouts=Broken()) as running:
        armed.set()
        with raw(running) as sock:
            assert read_exactly(sock, 1) == b""
        lines.wait_for("the handler failed")
        running.stop()
        assert running.wait()
    check(running.metrics, connections=1, unasked=1, failures=1)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_a_trace_is_told_of_the_end_of_each_direction_once(adapter: str, secure: bool) -> None:
    seen: dict[str, list[bytes]] = {"sent": [], "received": []}

    def tracing(peer: str) -> Any:
        return lambda direction, buffers: seen[direction].append(b"".join(buffers))

    tls = ServerTLS(identity=hospital().server, client_certificates=ClientCertificate.NONE) if secure else None
    client = ClientTLS(trust=(hospital().root.certificate,)) if secure else None
    with serving(adapter, trace=tracing, tls=tls) as running, user(running, tls=client) as session:
        session.echo()
    for direction, first, last in (("received", 1, 5), ("sent", 2, 6)):
        assert [one[:1] for one in seen[direction]].count(b"") == 1
        assert (seen[direction][0][0], seen[direction][-2][0], seen[direction][-1]) == (first, last, b"")


# -- identities ----------------------------------------------------------------------------------------------------


def _user(name: str, passcode: str = "sesame") -> UserInformation:
    return UserInformation(
        user_identity=UserIdentity(
            type=UserIdentityType.USERNAME_AND_PASSCODE,
            response_requested=True,
            primary=name.encode(),
            secondary=passcode.encode(),
        )
    )


def _with_identity(running: Handle) -> socket.socket:
    sock = raw(running)
    request = AssociateRequest(called_aet="A", calling_aet="B", contexts=CONTEXTS, user_information=_user("someone"))
    sock.sendall(encode(request))
    return sock


def _check(request: AssociateRequest) -> IdentityVerdict | None:
    identity = request.user_information.user_identity
    if identity is None:
        return None
    if identity.primary == b"broken":
        raise ConnectionError("no connection to the directory")
    return IdentityVerdict(accepted=(identity.primary, identity.secondary) == (b"anna", b"sesame"))


def test_an_identity_that_nobody_checks_is_accepted_but_not_confirmed(adapter: str, lines: Lines) -> None:
    let_in = lambda request: IdentityVerdict(accepted=True)  # noqa: E731
    for looks, confirmed in ((None, False), (lambda request: None, False), (let_in, True)):
        with serving(adapter, identify=looks) as running, _with_identity(running) as sock:
            answer = decode(read_pdu(sock))
            assert isinstance(answer, AssociateAccept)
            assert (answer.user_information.user_identity_response is not None) is confirmed
            sock.sendall(encode(ReleaseRequest()))
            assert decode(read_pdu(sock)) == ReleaseResponse()
    lines.wait_for("user identity not checked", count=2)
    assert sum("not checked" in text for text in lines.texts(logging.DEBUG)) == 2


def _checks(adapter: str) -> list[Callable[[AssociateRequest], Any]]:
    async def later(request: AssociateRequest) -> IdentityVerdict | None:
        return _check(request)

    return [_check] if adapter == "blocking" else [_check, later]


def test_users_are_let_in_by_name_and_passcode(adapter: str, lines: Lines) -> None:
    for check_identity in _checks(adapter):
        with serving(adapter, identify=check_identity) as running:
            with user(running, user_information=_user("anna")) as session:
                assert session.echo().status == 0
            for wrong in (_user("anna", "guess"), _user("otto")):
                with pytest.raises(flows.AssociationRejected) as caught:
                    user(running, user_information=wrong)
                assert caught.value.reject.result == 1
            with user(running) as session:  # the policy's own reason
                assert session.echo().status == 0
        check(running.metrics, connections=4, accepted=2, released=2, rejected=2)
    assert "sesame" not in " ".join(lines.texts(logging.DEBUG))


def test_an_identity_that_cannot_be_looked_at_is_rejected_for_now(adapter: str, lines: Lines) -> None:
    for check_identity in _checks(adapter):
        with serving(adapter, identify=check_identity) as running:
            with pytest.raises(flows.AssociationRejected) as caught:
                user(running, user_information=_user("broken"))
            reject = caught.value.reject
            assert (reject.result, reject.source, reject.reason) == (2, 1, 1)
            lines.wait_for("rejected: the identity could not be checked")
            with user(running, user_information=_user("anna")) as session:
                assert session.echo().status == 0
        check(running.metrics, connections=2, accepted=1, released=1, rejected=1, failures=1)


def test_others_are_served_while_an_identity_is_looked_at(adapter: str) -> None:
    asking, decided = threading.Event(), threading.Event()

    def slow(request: AssociateRequest) -> IdentityVerdict | None:
        if request.calling_aet == "SLOW":
            asking.set()
            assert decided.wait(PATIENCE)
        return None

    async def slow_in_trio(request: AssociateRequest) -> IdentityVerdict | None:
        return await trio.to_thread.run_sync(slow, request)

    async def slow_in_asyncio(request: AssociateRequest) -> IdentityVerdict | None:
        return await asyncio.to_thread(slow, request)

    looks: dict[str, Callable[..., Any]] = {"blocking": slow, "trio": slow_in_trio, "asyncio": slow_in_asyncio}
    with serving(adapter, identify=looks[adapter]) as running, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(user, running, calling_aet="SLOW")
        assert asking.wait(PATIENCE)
        with user(running) as other:
            assert other.echo().status == 0
        check_pending = running.metrics
        assert (check_pending.pending, check_pending.active) == (1, check_pending.accepted - check_pending.released)
        decided.set()
        with waiting.result(PATIENCE) as session:
            assert session.echo().status == 0


class Stuck:
    """An identity check that never ends, and its outcome."""

    def __init__(self, adapter: str) -> None:
        self.begun, self.ended = threading.Event(), threading.Event()
        self.forever: Callable[[], Coroutine[Any, Any, Any]] = (
            trio.sleep_forever if adapter == "trio" else lambda: asyncio.sleep(3600)
        )

    async def __call__(self, request: AssociateRequest) -> IdentityVerdict | None:
        if request.calling_aet == "GOOD":
            return None
        self.begun.set()
        try:
            await self.forever()
        finally:
            self.ended.set()
        return None


LOOPS = pytest.mark.parametrize("adapter", ["trio", "asyncio"])
OVER = pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])


@contextmanager
def stuck(adapter: str, secure: bool, **options: Any) -> Iterator[tuple[Handle, Stuck, dict[str, Any]]]:
    """A server for one association with a stuck identity check; returns also the check and a connect function."""
    if secure:
        options["tls"] = ServerTLS(identity=hospital().server, client_certificates=ClientCertificate.NONE)
    look = Stuck(adapter)
    client = {"tls": ClientTLS(trust=(hospital().root.certificate,))} if secure else {}
    with serving(adapter, identify=look, server_limits=ServerLimits(associations=1), **options) as running:
        yield running, look, client


def server_named(secure: bool) -> dict[str, Any]:
    """The reason that the client of an open connection receives."""
    roots = (hospital().root.certificate,)
    return {"tls": ClientTLS(trust=roots, server_hostname="localhost")} if secure else {}


@pytest.mark.timer  # the deadline of an identity
@OVER
@LOOPS
def test_who_comes_to_no_end_with_an_identity_is_cancelled_at_its_deadline(
    adapter: str, secure: bool, lines: Lines
) -> None:
    with stuck(adapter, secure, timeouts=Timeouts(accept=1.0)) as (running, look, client):
        with pytest.raises(flows.AssociationAborted) as caught:
            user(running, **client)
        assert caught.value.event == Abort(source=AbortSource.SERVICE_USER)
        assert look.ended.wait(PATIENCE)
        lines.wait_for("accept: waiting for the local user's answer: nothing within 1 s")
        with user(running, calling_aet="GOOD", **client) as good:
            assert good.echo().status == 0
    check(running.metrics, connections=2, unasked=1, accepted=1, released=1)
    assert len(lines.texts()) == 1


@OVER
@LOOPS
def test_the_identity_of_who_is_gone_is_looked_at_no_longer(adapter: str, secure: bool, lines: Lines) -> None:
    with stuck(adapter, secure) as (running, look, client):
        with raw(running) as sock, ThreadPoolExecutor(1) as pool:
            asking = pool.submit(connect, sock.dup(), CONTEXTS, **server_named(secure))
            assert look.begun.wait(PATIENCE)
            sock.shutdown(socket.SHUT_RDWR)
            with pytest.raises(flows.AssociationAborted):
                asking.result(PATIENCE)
        assert look.ended.wait(PATIENCE)
        lines.wait_for("TLS: truncated" if secure else "connection closed by the peer in Sta3")
        with user(running, calling_aet="GOOD", **client) as good:
            assert good.echo().status == 0
    check(running.metrics, connections=2, unasked=1, accepted=1, released=1)


@LOOPS
def test_the_identity_of_who_aborts_is_looked_at_no_longer(adapter: str, lines: Lines) -> None:
    with stuck(adapter, False) as (running, look, _), asked(running) as sock:
        assert look.begun.wait(PATIENCE)
        sock.sendall(encode(Abort()))
        assert look.ended.wait(PATIENCE)
        assert read_pdu(sock) == b""
        lines.wait_for("the peer says: ")
    check(running.metrics, connections=1, unasked=1)


@LOOPS
def test_what_a_function_raises_while_the_connection_is_watched_is_told_as_it_is(adapter: str, lines: Lines) -> None:
    async def fail(request: AssociateRequest) -> IdentityVerdict | None:
        await (trio.lowlevel.checkpoint() if adapter == "trio" else asyncio.sleep(0))
        raise flows.AssociationAborted(Closed())  # of another association, for example with a directory

    with serving(adapter, identify=fail) as running:
        with pytest.raises(flows.AssociationRejected):
            user(running)
        lines.wait_for("rejected: the identity could not be checked")
    check(running.metrics, connections=1, rejected=1, failures=1)


def assert_no_verdict(lines: Lines, kind: str) -> None:
    lines.wait_for("rejected: the identity could not be checked")
    (error,) = [record.exc_info[1] for record in lines.records if record.exc_info]
    assert str(error) == f"identify returned a {kind}; it returns an IdentityVerdict, or None for the policy"


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("found", [True, False, "anna", (True, b"")])
def test_what_is_no_verdict_lets_nobody_in_and_is_named(adapter: str, found: Any, lines: Lines) -> None:
    with serving(adapter, identify=lambda request: found) as running:
        with pytest.raises(flows.AssociationRejected):
            user(running)
        assert_no_verdict(lines, type(found).__name__)
    check(running.metrics, connections=1, rejected=1, failures=1)


@LOOPS
def test_an_awaited_answer_that_is_no_verdict_lets_nobody_in(adapter: str, lines: Lines) -> None:
    async def look(request: AssociateRequest) -> Any:
        await (trio.lowlevel.checkpoint() if adapter == "trio" else asyncio.sleep(0))
        return True

    with serving(adapter, identify=look) as running:
        with pytest.raises(flows.AssociationRejected):
            user(running)
        assert_no_verdict(lines, "bool")
    check(running.metrics, connections=1, rejected=1, failures=1)


@pytest.mark.timer  # LAST_WORDS for its peer
@LOOPS
def test_a_function_that_comes_to_no_end_ends_with_the_server(adapter: str) -> None:
    with stuck(adapter, False) as (running, look, _), asked(running) as sock:
        assert look.begun.wait(PATIENCE)
        running.close(grace=0.05)
        assert look.ended.is_set()
        abort_of(sock)
    check(running.metrics, connections=1, unasked=1)


def test_a_verdict_that_comes_too_late_lets_nobody_in(adapter: str, lines: Lines) -> None:
    """In blocking, the server waits for the check, because a thread cannot be interrupted; its result is ignored."""

    def slow(request: AssociateRequest) -> IdentityVerdict | None:
        threading.Event().wait(0.1)
        if request.calling_aet == "BROKEN":
            raise ConnectionError
        return None

    async def slow_in_loop(request: AssociateRequest) -> IdentityVerdict | None:
        await (trio.sleep(PATIENCE) if adapter == "trio" else asyncio.sleep(PATIENCE))
        return None

    look: Any = slow if adapter == "blocking" else slow_in_loop
    with serving(adapter, identify=look, timeouts=Timeouts(accept=0.02)) as running:
        for title in ("SLOW", "BROKEN"):
            with pytest.raises(flows.AssociationAborted) as caught:
                user(running, calling_aet=title)
            assert caught.value.event == Abort(source=AbortSource.SERVICE_USER)
        lines.wait_for("accept: waiting for the local user's answer: nothing within 0.02 s", count=2)
    check(running.metrics, connections=2, unasked=2)


def test_a_verdict_on_who_is_gone_lets_nobody_in(lines: Lines) -> None:
    """The same in blocking, where the server waits for the check."""
    asking, gone = threading.Event(), threading.Event()

    def slow(request: AssociateRequest) -> IdentityVerdict | None:
        asking.set()
        assert gone.wait(PATIENCE)
        return None

    with serving("blocking", identify=slow) as running:
        with asked(running):
            assert asking.wait(PATIENCE)
        gone.set()
        lines.wait_for("connection closed by the peer in Sta3")
    check(running.metrics, connections=1, unasked=1)


# -- stopping ------------------------------------------------------------------------------------------------------


def test_a_server_that_served_nobody_ends_at_once(adapter: str) -> None:
    with serving(adapter) as running:
        running.close(grace=0)
    check(running.metrics)


def test_who_waits_for_a_request_is_aborted_at_once_and_who_works_may_finish(adapter: str, lines: Lines) -> None:
    begun, go_on = threading.Event(), threading.Event()

    async def work(talk: Talk) -> None:
        async for request in talk.requests():
            begun.set()
            await talk.pause(go_on)
            await talk.respond(request)

    with serving(adapter, work) as running, ThreadPoolExecutor(2) as pool, asked(running) as idle:
        assert read_pdu(idle)[0] == 2
        session = user(running)
        echo = pool.submit(session.echo)
        assert begun.wait(PATIENCE)
        running.stop()
        assert decode(read_pdu(idle)) == Abort()
        idle.close()
        with pytest.raises((flows.AssociationError, OSError)):
            user(running)
        go_on.set()
        assert echo.result(PATIENCE).status == 0
        with session, pytest.raises(flows.AssociationAborted, match="service user"):
            session.echo()
        assert running.wait()
        lines.wait_for("aborted: the server is stopping", count=2)
    check(running.metrics, connections=2, accepted=2, aborted=2)


@pytest.mark.timer  # LAST_WORDS for the peer of what is aborted
def test_what_does_not_finish_within_the_grace_period_is_aborted(adapter: str, lines: Lines) -> None:
    begun = threading.Event()

    async def stuck(talk: Talk) -> None:
        async for request in talk.requests():
            async for _ in talk.data(request):
                begun.set()

    with serving(adapter, stuck) as running, user(running) as session:
        go_on = threading.Event()

        def source() -> Any:
            for _ in range(4):
                yield bytes(1 << 20)
            go_on.wait(PATIENCE)
            yield b""

        with ThreadPoolExecutor(1) as pool:
            storing = pool.submit(session.store, CT, "1.2.3", EXPLICIT, source())
            assert begun.wait(PATIENCE)
            running.close(grace=0.1)
            lines.wait_for("1 association did not finish within 0.1 s and is aborted")
            go_on.set()
            with pytest.raises(flows.AssociationAborted, match="service user"):
                storing.result(PATIENCE)
    check(running.metrics, connections=1, accepted=1, aborted=1)


def test_strangers_and_who_was_rejected_do_not_hold_up_the_end(adapter: str) -> None:
    refuse = lambda request: IdentityVerdict(accepted=False)  # noqa: E731
    with serving(adapter, identify=refuse) as running, raw(running), _with_identity(running) as rejected:
        assert isinstance(decode(read_pdu(rejected)), AssociateReject)
        assert running.metrics.pending == 1
        running.stop()
        assert running.wait()  # although neither closes
    check(running.metrics, connections=2, rejected=1, unasked=1)


@pytest.mark.timer  # LAST_WORDS itself
@pytest.mark.parametrize(
    "half",
    [b"", command(1, CEchoRequest(message_id=1, affected_sop_class_uid=VERIFICATION))[:20]],
    ids=["idle", "in a PDU"],
)
def test_idle_peers_that_do_not_close_hold_up_the_end_for_two_seconds(adapter: str, half: bytes) -> None:
    with serving(adapter) as running, ExitStack() as stack:
        for _ in range(3):
            sock = stack.enter_context(asked(running))
            assert read_pdu(sock)[0] == 2
            sock.sendall(half)
        since = monotonic()
        running.stop()
        assert running.wait()
        assert monotonic() - since < LAST_WORDS + 2  # they are aborted at the same time
    check(running.metrics, connections=3, accepted=3, aborted=3)


@pytest.mark.timer  # LAST_WORDS itself
def test_an_abort_waits_for_two_seconds_for_a_peer_that_does_not_close(adapter: str) -> None:
    """An association is aborted, here because its handler fails."""
    ended = threading.Event()

    async def fails(talk: Talk) -> None:
        async for _ in talk.requests():
            raise ValueError

    with serving(adapter, fails) as running, asked(running) as sock:
        assert read_pdu(sock)[0] == 2
        since = monotonic()
        sock.sendall(command(1, CEchoRequest(message_id=1, affected_sop_class_uid=VERIFICATION)))
        assert decode(read_pdu(sock)) == Abort()
        while running.metrics.active:
            ended.wait(0.05)
        assert monotonic() - since < LAST_WORDS + 2


def test_who_is_released_and_does_not_close_is_not_waited_for(adapter: str) -> None:
    with serving(adapter) as running, asked(running) as sock:
        assert read_pdu(sock)[0] == 2
        sock.sendall(encode(ReleaseRequest()))
        assert decode(read_pdu(sock)) == ReleaseResponse()
        running.stop()
        assert running.wait()
    check(running.metrics, connections=1, accepted=1, released=1)


def test_a_cancelled_server_aborts_its_associations_and_leaves_nothing_behind() -> None:
    begun = threading.Event()

    async def stuck(talk: Talk) -> None:
        async for request in talk.requests():
            async for _ in talk.data(request):
                begun.set()

    for adapter in ("trio", "asyncio"):
        begun.clear()
        with serving(adapter, stuck) as running, asked(running) as idle, raw(running), asked(running) as busy:
            assert read_pdu(idle)[0] == read_pdu(busy)[0] == 2
            busy.sendall(_half_a_store())
            assert begun.wait(PATIENCE)
            running.cancel()
            assert abort_of(idle) == abort_of(busy) == Abort()
        check(running.metrics, connections=3, accepted=2, aborted=2, unasked=1)


def _half_a_store() -> bytes:
    request = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
    return command(3, request, has_data=True) + p_data((3, False, False, bytes(1000)))


def test_a_body_that_fails_ends_the_server_and_is_raised_as_it_is(adapter: str) -> None:
    class Mine(Exception):
        pass

    if adapter == "blocking":
        with pytest.raises(Mine), serving(adapter) as running, user(running):
            raise Mine
        return
    raised: list[BaseException] = []

    async def main() -> None:
        over: Any = over_trio if adapter == "trio" else over_asyncio

        async def idle(session: Any) -> None:
            async for _ in session:
                pass

        try:
            async with (
                over.serve(("127.0.0.1", 0), idle, policy=POLICY) as server,
                await over.connect(("127.0.0.1", server.port), CONTEXTS),
            ):
                raise Mine
        except BaseException as error:
            raised.append(error)

    _run(adapter, main)
    assert [type(error) for error in raised] == [Mine]


def _run(adapter: str, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    if adapter == "trio":
        trio.run(main)
    else:
        asyncio.run(main())


# -- TLS -----------------------------------------------------------------------------------------------------------


@pytest.mark.timer  # LAST_WORDS for the peer that stalls
def test_a_handshake_that_stalls_keeps_nobody_waiting(adapter: str, lines: Lines) -> None:
    tls = ServerTLS(identity=hospital().server, client_certificates=ClientCertificate.NONE, handshake_timeout=2.0)
    trust = ClientTLS(trust=[hospital().root.certificate])
    with serving(adapter, tls=tls) as running, raw(running) as mute, raw(running) as half:
        half.sendall(bytes.fromhex("16030100c8010000c40303"))
        with user(running, tls=trust) as session:
            assert session.echo().status == 0
        with suppress(OSError):
            assert read_exactly(mute, 1) == b""
        lines.wait_for("TLS handshake: not done within 2 s", count=2)
    check(running.metrics, connections=3, accepted=1, released=1, unasked=2)


# -- what a system has not, and handlers that do not end --------------------------------------------------------------


def test_without_a_thread_to_spare_a_connection_is_closed(monkeypatch: pytest.MonkeyPatch, lines: Lines) -> None:
    with serving("blocking") as running:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", _no_thread)
            with raw(running) as sock:
                assert read_exactly(sock, 1) == b""
            lines.wait_for("closed: can't start new thread")
        with user(running) as session:
            assert session.echo().status == 0
    check(running.metrics, connections=2, unasked=1, accepted=1, released=1)


def _no_thread(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.timer  # LAST_WORDS for its peer
@pytest.mark.parametrize("adapter", ["trio", "asyncio"])
def test_a_handler_that_does_not_heed_cancellation_is_waited_for(
    adapter: str, monkeypatch: pytest.MonkeyPatch, lines: Lines
) -> None:
    monkeypatch.setattr(async_server, "AFTER_KILL", 0.05)
    begun, free = threading.Event(), threading.Event()

    async def deaf(talk: Talk) -> None:
        async for request in talk.requests():
            begun.set()
            if adapter == "trio":
                with trio.CancelScope(shield=True):
                    await talk.pause(free)
            else:
                waiting = asyncio.ensure_future(talk.pause(free))
                while not waiting.done():
                    with suppress(asyncio.CancelledError):
                        await asyncio.wait([waiting])
            await talk.respond(request)

    with serving(adapter, deaf) as running, ThreadPoolExecutor(2) as pool:
        session = user(running)
        echo = pool.submit(session.echo)
        assert begun.wait(PATIENCE)
        closing = pool.submit(running.close, 0)
        lines.wait_for("1 handler does not return; still waiting")
        free.set()
        closing.result(PATIENCE)
        with suppress(flows.AssociationError):
            echo.result(PATIENCE)
        session.abort()
    assert running.metrics.active == 0


# -- streams -------------------------------------------------------------------------------------------------------


def test_a_stream_of_trio_is_the_only_connection(lines: Lines) -> None:
    async def main() -> None:
        async def look(request: AssociateRequest) -> None:
            await trio.testing.wait_all_tasks_blocked()  # so that a task waits for the stream meanwhile

        ours, theirs = trio.testing.memory_stream_pair()
        trace = lambda peer: lambda direction, buffers: ended.append(direction) if not buffers else None  # noqa: E731
        async with over_trio.serve(theirs, _answer, policy=POLICY, identify=look, trace=trace) as server:
            assert server.address == "one connection"
            async with await over_trio.connect(ours, CONTEXTS) as session:
                assert (await session.echo()).status == 0
            assert await server.wait(PATIENCE)
        check(server.metrics, connections=1, accepted=1, released=1)

    ended: list[str] = []
    trio.run(main)
    assert ended == ["sent", "received"]
    assert lines.texts(logging.INFO)[0].startswith("a StapledStream #")


def test_a_pair_of_streams_of_asyncio_is_the_only_connection(lines: Lines) -> None:
    async def main() -> None:
        async def look(request: AssociateRequest) -> None:
            for _ in range(5):
                await asyncio.sleep(0)  # so that a task waits for the streams meanwhile

        ours, theirs = socket.socketpair()
        streams = await asyncio.open_connection(sock=theirs)
        trace = lambda peer: lambda direction, buffers: ended.append(direction) if not buffers else None  # noqa: E731
        async with over_asyncio.serve(streams, _answer, policy=POLICY, identify=look, trace=trace) as server:
            async with await over_asyncio.connect(ours, CONTEXTS) as session:
                assert (await session.echo()).status == 0
            assert await server.wait(PATIENCE)
        check(server.metrics, connections=1, accepted=1, released=1)

    ended: list[str] = []
    asyncio.run(main())
    assert ended == ["sent", "received"]
    assert lines.texts(logging.INFO)[0].startswith("a pair of streams #")


@pytest.mark.parametrize("adapter", ["trio", "asyncio"])
def test_a_stream_is_closed_although_its_session_could_not_be_made(adapter: str, lines: Lines) -> None:
    def broken(peer: str) -> Any:
        raise RuntimeError("no trace")

    async def in_trio() -> None:
        ours, theirs = trio.testing.memory_stream_pair()
        async with over_trio.serve(theirs, _answer, policy=POLICY, trace=broken):
            assert await ours.receive_some() == b""

    async def in_asyncio() -> None:
        ours, theirs = socket.socketpair()
        with ours:
            streams = await asyncio.open_connection(sock=theirs)
            async with over_asyncio.serve(streams, _answer, policy=POLICY, trace=broken):
                ours.setblocking(False)
                assert await asyncio.get_running_loop().sock_recv(ours, 1) == b""

    _run(adapter, in_trio if adapter == "trio" else in_asyncio)
    lines.wait_for("the handler failed")


async def _answer(session: Any) -> None:
    async for request in session:
        await request.respond()
