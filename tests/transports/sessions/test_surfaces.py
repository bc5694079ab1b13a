"""One surface: what can be called on an adapter can be called on every other one, by the same names, the same way."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

from dicos_transports import asyncio as over_asyncio
from dicos_transports import blocking
from dicos_transports import trio as over_trio
from dicos_transports.blocking import server as blocking_server
from dicos_transports.sessions import pooling
from dicos_transports.sessions import session as awaiting

LOOPS = {"trio": over_trio, "asyncio": over_asyncio}
CLASSES = (
    "Session", "Answers", "EchoRequest", "StoreRequest", "FindRequest", "GetRequest", "MoveRequest",
    "NormalizedRequest", "Request",
)  # fmt: skip
ASYNC_NAMES = {"__aiter__": "__iter__", "__aenter__": "__enter__", "__aexit__": "__exit__"}
INSIDE = {"run_piece"}
"""Public by name, of use to requests only."""


def _normal(annotation: object) -> str:
    """An annotation as text, without what only says that something is awaited or how a runtime names a connection."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    text = re.sub(r"\bAsync(Iterator|Identify)\b", r"\1", text)
    text = re.sub(r"\bstorage\.", "", text)
    text = re.sub(r"\bAwaitable\[(.*?)\]", r"\1", text)
    text = text.replace("exchange.Data | AsyncIterable[Buffer]", "exchange.Data")  # pieces that are awaited
    text = text.replace("Iterable[Instance] | AsyncIterable[Instance]", "Iterable[Instance]")  # instances likewise
    return (
        re.sub(r"socket\.socket|\bConnected\b|\bStreams\b|trio\.abc\.Stream", "CONNECTION", text)
        .replace("CONNECTION | CONNECTION", "CONNECTION")
        .replace("Listening | CONNECTION", "Listening")
    )


def surface(function: Any) -> list[tuple[str, str, object, str]]:
    """Its parameters and what it returns."""
    signature = inspect.signature(function)
    parameters = [(one.name, one.kind.name, one.default, _normal(one.annotation))
                  for one in signature.parameters.values()]  # fmt: skip
    return [*parameters, ("return", "", None, _normal(signature.return_annotation))]


def public(cls: type) -> dict[str, Any]:
    found = {}
    for name, member in inspect.getmembers(cls):
        name = ASYNC_NAMES.get(name, name)
        if name not in INSIDE and (not name.startswith("_") or name in ASYNC_NAMES.values()):
            found[name] = member
    return found


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", ["connect", "serve", "store_over"])
def test_functions(name: str, loop: str) -> None:
    model = blocking_server.serve if name == "serve" else getattr(blocking, name)
    assert surface(getattr(LOOPS[loop], name)) == surface(model)


@pytest.mark.parametrize("loop", LOOPS)
def test_pools(loop: str) -> None:
    ours, theirs = public(blocking.Pool), public(LOOPS[loop].Pool)
    assert theirs.keys() == ours.keys()
    for name, member in ours.items():
        if callable(member) and name not in ("call", "__class__"):
            assert surface(theirs[name])[:-1] == surface(member)[:-1], name
    assert [one[:3] for one in surface(LOOPS[loop].Pool.__init__)] == [
        one[:3] for one in surface(blocking.Pool.__init__)
    ]


def test_the_options_of_a_pool_are_those_of_connect() -> None:
    connect = inspect.signature(blocking.connect).parameters
    assert [*pooling.ConnectOptions.__annotations__] == [name for name in connect if name not in ("where", "contexts")]


def test_functions_that_take_a_connection() -> None:
    """`sock` of blocking is a socket; elsewhere a connection may be a stream."""
    ours, *others = (surface(one.accept) for one in (blocking, over_trio, over_asyncio))
    assert others[0] == others[1]
    assert ours[0][0] == "sock"
    assert others[0][0][0] == "connection"
    assert ours[0][1:] == others[0][0][1:]
    assert ours[1:] == others[0][1:]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", CLASSES)
def test_sessions_and_requests(name: str, loop: str) -> None:
    model, cls = getattr(blocking, name), getattr(LOOPS[loop], name)
    assert cls is getattr(awaiting, name)
    ours, theirs = public(model), public(cls)
    assert theirs.keys() == ours.keys()
    for member, found in theirs.items():
        if inspect.isfunction(found) and member != "__init__":
            assert surface(found) == surface(ours[member]), member
        else:
            assert type(found) is type(ours[member]), member


@pytest.mark.parametrize("loop", LOOPS)
def test_servers(loop: str) -> None:
    ours, theirs = public(blocking_server.Server), public(LOOPS[loop].Server)
    inside = {"listen", "take"}  # of blocking, before its threads run
    assert theirs.keys() == ours.keys() - inside
    for member, found in theirs.items():
        if inspect.isfunction(found):
            assert surface(found) == surface(ours[member]), member


def test_modules_have_the_same_names() -> None:
    assert set(over_trio.__all__) == set(over_asyncio.__all__)
    assert set(over_trio.__all__) - {"AwaitedInstance", "Metrics"} <= set(blocking.__all__)
    for module in (over_trio, over_asyncio, blocking):
        assert all(hasattr(module, name) for name in module.__all__)


@pytest.mark.parametrize("cls", [getattr(awaiting, name) for name in CLASSES], ids=CLASSES)
def test_what_waits_is_awaited_and_nothing_else(cls: type) -> None:
    """A method of blocking that runs a flow is a coroutine function, or gives an asynchronous iterator."""
    for name, member in public(getattr(blocking, cls.__name__)).items():
        if inspect.isfunction(member):
            there = public(cls)[name]
            waits = ".run(" in inspect.getsource(member) or name in ("__enter__", "__exit__", "release", "abort")
            if waits and not inspect.isgeneratorfunction(member) and member.__qualname__.split(".")[0] == cls.__name__:
                gives = "AsyncIterator" in str(inspect.signature(there).return_annotation)
                assert inspect.iscoroutinefunction(there) or gives or name == "get", name
