"""Functions that a server cannot call are refused by `serve`, or where they return; each fault of a handler is one
traceback in the log."""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from dicos_proto.conversation.flows import AssociationAborted
from dicos_transports import blocking
from dicos_transports.blocking import connect
from dicos_transports.blocking.server import serve
from dicos_transports.serving import Metrics
from tests.transports.connections import CONTEXTS
from tests.transports.loops import ADAPTERS, LOOPS, run
from tests.transports.loops import adapter as module_of
from tests.transports.servers import POLICY, Talk, serving

WHERE = ("127.0.0.1", 0)


async def awaited(session: Any) -> None:
    """A handler for an event loop."""


def plain(session: Any) -> None:
    """A handler for `blocking`."""


class Awaited:
    async def __call__(self, session: Any) -> None:
        """A handler for an event loop."""


def yielding(session: Any) -> Iterator[None]:
    yield


async def yielding_awaited(session: Any) -> AsyncIterator[None]:
    yield


def serve_of(adapter: str) -> Callable[..., Any]:
    return serve if adapter == "blocking" else module_of(adapter).serve  # type: ignore[no-any-return]


@pytest.mark.parametrize("handler", [awaited, Awaited(), partial(awaited)], ids=["function", "object", "partial"])
def test_a_blocking_server_refuses_coroutine_functions(handler: Any) -> None:
    with pytest.raises(TypeError, match=r"serve\(handler=...\): .* is a coroutine function, and a blocking server"):
        serve(WHERE, handler, policy=POLICY)
    with pytest.raises(TypeError, match=r"serve\(identify=...\): .*use a plain function, or the server of"):
        serve(WHERE, lambda session: None, policy=POLICY, identify=handler)


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("handler", [yielding, yielding_awaited])
def test_no_server_accepts_a_generator_function(adapter: str, handler: Any) -> None:
    with pytest.raises(TypeError, match=rf"serve\(handler=...\): {handler.__name__} has a yield, so a call would not"):
        serve_of(adapter)(WHERE, handler, policy=POLICY)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_no_server_accepts_what_cannot_be_called(adapter: str) -> None:
    for handler in (None, POLICY):
        with pytest.raises(TypeError, match=r"serve\(handler=...\): .* in place of a (plain|coroutine) function"):
            serve_of(adapter)(WHERE, handler, policy=POLICY)


def call(port: int) -> None:
    """Request an association and an operation, which the handler may not answer."""
    with suppress(AssociationAborted), connect(("127.0.0.1", port), CONTEXTS) as session:
        session.echo()


def faults(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The exceptions that were logged, as text."""
    formatter = logging.Formatter()
    return [formatter.formatException(one.exc_info) for one in caplog.records if one.exc_info and one.exc_info[1]]


def test_a_coroutine_that_a_blocking_handler_returns_is_one_clear_fault(caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as "coroutine was never awaited"
        with serve(WHERE, lambda session: awaited(session), policy=POLICY) as server:  # type: ignore[arg-type,return-value]
            call(server.port)
        gc.collect()
    (fault,) = faults(caplog)
    assert fault.endswith("TypeError: the handler returned something to await, and a blocking server awaits nothing")


@pytest.mark.parametrize("adapter", LOOPS)
def test_a_plain_handler_in_an_event_loop_is_one_clear_fault(adapter: str, caplog: pytest.LogCaptureFixture) -> None:
    module = module_of(adapter)

    async def main() -> None:
        async with module.serve(WHERE, lambda session: None, policy=POLICY) as server:
            with suppress(AssociationAborted):
                async with await module.connect(("127.0.0.1", server.port), CONTEXTS) as session:
                    await session.echo()

    if adapter == "trio":
        import trio

        trio.run(main)
    else:
        import asyncio

        asyncio.run(main())
    (fault,) = faults(caplog)
    assert "TypeError: the handler returned None, which cannot be awaited; in an event loop it is a" in fault


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_stop_iteration_in_a_handler_is_one_traceback(adapter: str, caplog: pytest.LogCaptureFixture) -> None:
    async def careless(talk: Talk) -> None:
        async for _ in talk.requests():
            next(iter(()))

    with serving(adapter, careless) as running:
        call(running.port)
    (fault,) = faults(caplog)
    assert fault.count("Traceback (most recent call last)") == 1
    assert "next(iter(()))" in fault
    assert fault.endswith("StopIteration")


class Boom(Exception):
    """A handler's own fault."""


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_fault_of_a_handler_is_logged_though_the_server_ends_with_its_client(
    adapter: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The client leaves its block at once, and the server stops, while the handler's abort awaits the peer's close."""
    found: list[Metrics] = []
    if adapter == "blocking":

        def fail_at_once(session: blocking.Session) -> None:
            for _ in session:
                raise Boom

        def both() -> None:
            with serve(WHERE, fail_at_once, policy=POLICY) as server:
                try:
                    with connect(("127.0.0.1", server.port), CONTEXTS) as session:
                        session.echo()
                finally:
                    server.close(0)
                    found.append(server.metrics)

        with pytest.raises(AssociationAborted):
            both()
    else:

        async def fail(session: Any) -> None:
            async for _ in session:
                raise Boom

        async def main(module: Any) -> None:
            server = module.serve(WHERE, fail, policy=POLICY)
            try:
                async with server, await module.connect(("127.0.0.1", server.port), CONTEXTS) as session:
                    await session.echo()
            finally:
                found.append(server.metrics)

        with pytest.raises(AssociationAborted):
            run(adapter, main)
    (fault,) = faults(caplog)
    assert fault.endswith("Boom")
    assert [found[0].failures, found[0].aborted, found[0].active] == [1, 1, 0]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "tolerance": ({"tolerance": "field"}, "serve(tolerance='field'): str in place of Tolerance; write FIELD"),
    "timeouts": ({"timeouts": 3}, "serve(timeouts=3): int in place of Timeouts"),
    "limits": ({"limits": 3}, "serve(limits=3): int in place of Limits"),
    "policy": ({"policy": None}, "serve(policy=...): None in place of AcceptPolicy"),
    "tls": ({"tls": True}, "serve(tls=True): bool in place of ServerTLS or None"),
    "trace": ({"trace": 3}, "serve(trace=3): int in place of a function or None"),
    "server limits": ({"server_limits": {}}, "serve(server_limits=...): dict in place of ServerLimits"),
    "keepalive": ({"keepalive": "x"}, "serve(keepalive='x'): str in place of int or float or None"),
    "another name": ({"handlr": 1}, "serve() got an unexpected keyword argument 'handlr'"),
    "where": ({"where": 5}, "serve(where): an int in place of an address, a listening socket or a list of these"),
    "a port": ({"where": ("h", "11112")}, "serve(where): the port is a str; write ('h', 11112)"),
    "places": ({"where": [5]}, "serve(where): an int in place of an address or a listening socket"),
}


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize(("options", "text"), WRONG.values(), ids=WRONG)
def test_an_option_of_another_type_is_refused(adapter: str, options: dict[str, Any], text: str) -> None:
    with pytest.raises(TypeError) as error:
        serve_of(adapter)(
            **{"where": WHERE, "handler": plain if adapter == "blocking" else awaited, "policy": POLICY, **options}
        )
    assert str(error.value).startswith(text)


def test_a_session_is_made_of_a_session() -> None:
    with pytest.raises(TypeError, match=r"Session\(...\): None in place of Session; connect, accept and serve make"):
        blocking.Session(None)  # type: ignore[arg-type]
