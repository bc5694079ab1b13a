"""One session, three adapters: the same names, parameters, options and docstrings; and what the face does."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from dicos_proto.conversation.exchange import Exchange
from dicos_proto.conversation.flows import AssociationError
from dicos_proto.registry import uids
from dicos_proto.services.storage import Instance
from dicos_proto.upper_layer.negotiation import propose, propose_roles
from dicos_proto.upper_layer.pdu_types import OperationsWindow, UserInformation
from dicos_proto.upper_layer.policy import AcceptPolicy, Roles
from dicos_transports import asyncio as over_asyncio
from dicos_transports import blocking
from dicos_transports import trio as over_trio
from dicos_transports.blocking import server as blocking_server
from dicos_transports.blocking.session import iterated
from dicos_transports.options import Accept, AcceptOptions, Connect, ConnectOptions
from dicos_transports.serving.options import Serve, ServeOptions, ServerConfig
from dicos_transports.sessions import opening
from dicos_transports.sessions import session as awaiting
from dicos_transports.sessions.finished import finished

LOOPS = {"trio": over_trio, "asyncio": over_asyncio}
ADAPTERS = {"blocking": blocking, **LOOPS}
CLASSES = (
    "Session", "Answers", "EchoRequest", "StoreRequest", "FindRequest", "GetRequest", "MoveRequest",
    "NormalizedRequest", "Request",
)  # fmt: skip
ASYNC_NAMES = {"__aiter__": "__iter__", "__aenter__": "__enter__", "__aexit__": "__exit__"}


def surface(function: Callable[..., Any]) -> list[tuple[str, str, object]]:
    """The parameters of a function, as a caller sees them."""
    parameters = inspect.signature(function).parameters.values()
    return [(one.name, one.kind.name, one.default) for one in parameters]


def public(cls: type) -> dict[str, Any]:
    found = {}
    for name, member in inspect.getmembers(cls):
        name = ASYNC_NAMES.get(name, name)
        if not name.startswith("_") or name in ASYNC_NAMES.values():
            found[name] = member
    return found


# -- functions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "model"), [("connect", Connect), ("accept", Accept), ("serve", Serve)])
def test_functions_have_one_docstring(name: str, model: Any) -> None:
    model = model.__call__
    assert model.__doc__
    assert {getattr(adapter, name).__doc__ for adapter in ADAPTERS.values()} == {model.__doc__}


@pytest.mark.parametrize("name", ["connect", "accept", "serve", "store_over"])
def test_functions_have_one_signature(name: str) -> None:
    """The first parameter alone differs: what a connection is."""
    ours, *others = (surface(getattr(adapter, name)) for adapter in ADAPTERS.values())
    assert ours[0][0] == ("sock" if name == "accept" else others[0][0][0])
    assert [one[1:] for one in others] == [ours[1:]] * 2


@pytest.mark.parametrize(
    ("options", "model"),
    [(ConnectOptions, opening.connect), (AcceptOptions, opening.accept), (ServeOptions, ServerConfig)],
)
def test_options_are_the_keywords_of_what_takes_them(options: Any, model: Callable[..., Any]) -> None:
    """So a type checker accepts what the function does, and nothing else."""
    keywords = {name: default for name, kind, default in surface(model) if kind == "KEYWORD_ONLY"}
    keywords.pop("policy", None)
    assert set(options.__annotations__) == set(keywords)
    assert inspect.Parameter.empty not in keywords.values()


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("name", ["connect", "accept", "serve"])
def test_an_option_that_is_none_is_an_error(name: str, adapter: str) -> None:
    def call() -> None:
        given: dict[str, Any] = {"policy": POLICY, "handler": print} if name == "serve" else {"policy": POLICY}
        if name == "connect":
            given = {"contexts": ASKED["contexts"]}
        found = getattr(ADAPTERS[adapter], name)(("127.0.0.1", 0), **given, no_such_option=1)
        if inspect.iscoroutine(found):
            finished(found)

    with pytest.raises(TypeError, match="no_such_option"):
        call()


# -- classes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loop", LOOPS)
def test_pools(loop: str) -> None:
    ours, theirs = public(blocking.Pool), public(LOOPS[loop].Pool)
    assert theirs.keys() == ours.keys()
    for name, member in ours.items():
        if inspect.isfunction(member):
            assert surface(theirs[name]) == surface(member), name
    assert surface(LOOPS[loop].Pool.__init__) == surface(blocking.Pool.__init__)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", CLASSES)
def test_loops_have_the_session_itself(name: str, loop: str) -> None:
    assert getattr(LOOPS[loop], name) is getattr(awaiting, name)


@pytest.mark.parametrize("name", CLASSES)
def test_the_face_offers_every_public_member(name: str) -> None:
    model, face = public(getattr(awaiting, name)), public(getattr(blocking, name))
    assert model.keys() == face.keys() - {"awaited"}
    for member, found in face.items():
        if inspect.isfunction(found):
            assert surface(found) == surface(model[member]), member
            assert not inspect.iscoroutinefunction(found), member
        elif member != "awaited" and not inspect.isdatadescriptor(found):
            assert type(found) is type(model[member]), member


@pytest.mark.parametrize("name", CLASSES)
def test_the_face_has_the_docstrings_of_the_session(name: str) -> None:
    model, face = getattr(awaiting, name), getattr(blocking, name)
    if name != "Session":  # which says how a blocking one is made
        assert face.__doc__ == model.__doc__
    for member, found in public(face).items():
        if inspect.isfunction(found) and not member.startswith(("__", "answer")):
            assert found.__doc__ == public(model)[member].__doc__, member


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
    for module in ADAPTERS.values():
        assert all(hasattr(module, name) for name in module.__all__)


# -- the face does what the session behind it does -----------------------------------------------------------------

CT, EXPLICIT, PRINTER = uids.CT_IMAGE_STORAGE, uids.EXPLICIT_VR_LE, "1.2.840.10008.5.1.1.16"
FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{n}" for n in (1, 2, 3))
COMMIT = uids.STORAGE_COMMITMENT_PUSH_MODEL
WINDOW = OperationsWindow(invoked=4, performed=4)
POLICY = AcceptPolicy(other_contexts=(EXPLICIT,), window=WINDOW, roles={CT: Roles(scu=True, scp=True)})
ASKED = {
    "contexts": propose((uids.VERIFICATION, CT, FIND, MOVE, GET, PRINTER, COMMIT), (EXPLICIT,)),
    "user_information": UserInformation(window=WINDOW, roles=propose_roles((CT,), scu=True)),
}
KEY = b"\x10\x00\x20\x00LO\x02\x001 "


def instances() -> Iterator[Instance]:
    for number in range(9):
        yield Instance(
            sop_class_uid=CT, sop_instance_uid=f"1.2.{number}", transfer_syntax=EXPLICIT, data=bytes(number * 1000)
        )


def provide(session: blocking.Session) -> None:
    for request in session:
        match request:
            case blocking.StoreRequest():
                assert all(request.data())
                request.respond()
            case blocking.FindRequest():
                request.attributes()
                assert request.match(KEY)
                assert request.match(KEY)
                assert request.end() == 0
            case blocking.GetRequest():
                request.attributes()
                request.send(instances(), 9)
            case blocking.MoveRequest():
                request.attributes()
                with served() as other:
                    request.send(other, instances(), 9)
            case blocking.EchoRequest():
                request.respond()
            case blocking.NormalizedRequest():
                request.attributes()
                request.respond(0x0112, "no such object instance")


@contextmanager
def served() -> Iterator[blocking.Session]:
    """A session whose peer answers everything."""
    ours, theirs = blocking.pair()

    def attend() -> None:
        with suppress(AssociationError), blocking.accept(theirs, POLICY) as session:
            provide(session)

    thread = threading.Thread(target=attend)
    thread.start()
    try:
        with blocking.connect(ours, **ASKED) as session:  # type: ignore[arg-type]
            yield session
    finally:
        thread.join(20)
        assert not thread.is_alive()


OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "echo": lambda session: session.echo(),
    "store": lambda session: session.store(CT, "1.2.3", EXPLICIT, [b"ab", b"cd"]),
    "store, not accepted": lambda session: session.store("1.2.3", "1.2.3", EXPLICIT, b"ab"),
    "store_many": lambda session: session.store_many(instances()),
    "find": lambda session: session.find(FIND, KEY),
    "find, not accepted": lambda session: session.find("1.2.3", KEY),
    "move": lambda session: session.move(MOVE, "THERE", KEY),
    "get": lambda session: session.get(GET, KEY),
    "n_create": lambda session: session.n_create(PRINTER, "1.2.3", KEY),
    "n_set": lambda session: session.n_set(PRINTER, "1.2.3", KEY),
    "n_get": lambda session: session.n_get(PRINTER, "1.2.3", (0x00100020,)),
    "n_action": lambda session: session.n_action(PRINTER, "1.2.3", 1, KEY),
    "n_delete": lambda session: session.n_delete(PRINTER, "1.2.3"),
    "n_event_report": lambda session: session.n_event_report(PRINTER, "1.2.3", 1, KEY),
    "run": lambda session: session.run(idle(session.exchange)),
    "each": lambda session: session.each(lambda: idle(session.exchange)),
}


def idle(exchange: Exchange) -> Any:
    """A flow that ends at once, with nothing."""
    yield from ()
    assert exchange.at_rest


def told(found: Any) -> list[str]:
    """Returns the results of an operation: a value, a coroutine or an iterator."""
    said = []
    if inspect.iscoroutine(found):
        found = finished(found)
    steps = iterated(found.session.driver, aiter(found)) if hasattr(found, "__aiter__") else found
    if isinstance(found, blocking.Answers | awaiting.Answers) or inspect.isgenerator(steps):
        for one in steps:
            if not hasattr(one, "respond"):
                said.append(repr(one))
            else:
                said.append(type(one).__name__.replace("_Retrieved", "StoreRequest"))
                whole = one.read()
                said.append(str(len(finished(whole) if inspect.iscoroutine(whole) else whole)))
                answered = one.respond()
                assert answered is None or finished(answered) is None
        result = getattr(getattr(found, "operation", None), "result", None)
        return [*said, repr(result)]
    return [repr(found)]


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_gives_the_same_by_the_face_and_behind_it(name: str) -> None:
    results = []
    for behind in (False, True):
        with served() as session:
            try:
                found = told(OPERATIONS[name](session.awaited if behind else session))
            except Exception as error:
                found = [repr(error)]
            results.append([*found, str(session.established), session.association.state.name])
    assert results[0] == results[1]
    assert len(results[0]) > 2


def test_a_coroutine_that_suspends_is_an_error_and_is_closed() -> None:
    """An awaited source has no place where nothing wakes it up; the association is aborted, as by any fault of it."""

    async def pieces() -> Any:
        yield b"ab"
        await over_asyncio.adapter.asyncio.sleep(0)
        yield b"cd"

    with served() as session:
        with pytest.raises(RuntimeError, match="suspended"):
            finished(session.awaited.store(CT, "1.2.3", EXPLICIT, pieces()))
        assert not session.established


def test_a_face_needs_a_blocking_driver() -> None:
    with served() as session:
        other = awaiting.Session(session.association, object(), "a peer")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="object"):
            blocking.Session(other)
