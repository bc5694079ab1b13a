"""Options of a wrong type are refused by `connect` and `accept` themselves, in every adapter."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from dicos_transports.application import Application
from dicos_transports.tls import ClientTLS
from tests.transports.connections import CONTEXTS, POLICY
from tests.transports.loops import ADAPTERS, run
from tests.transports.loops import adapter as module_of

WHERE = ("127.0.0.1", 1)
CLIENT = ClientTLS()

BOTH: dict[str, tuple[dict[str, Any], str]] = {
    "tolerance": ({"tolerance": "field"}, "(tolerance='field'): str in place of Tolerance; write FIELD"),
    "another tolerance": (
        {"tolerance": "lax"},
        "(tolerance='lax'): str in place of Tolerance; write STRICT, FIELD, AUTOMATIC, STRATOVAN or EVERYTHING",
    ),
    "timeouts": ({"timeouts": 3}, "(timeouts=3): int in place of Timeouts"),
    "limits": ({"limits": None}, "(limits=...): None in place of Limits"),
    "trace": ({"trace": 3}, "(trace=3): int in place of a function or None"),
    "wrap": ({"wrap": 3}, "(wrap=3): int in place of a function or None"),
    "wrap_plain": ({"wrap_plain": "x"}, "(wrap_plain='x'): str in place of a function or None"),
    "keepalive": ({"keepalive": "x"}, "(keepalive='x'): str in place of int or float or None"),
}
CONNECT: dict[str, tuple[dict[str, Any], str]] = {
    "tls": ({"tls": True}, "connect(tls=True): bool in place of ClientTLS or None"),
    "called title": ({"called_aet": 5}, "connect(called_aet=5): int in place of str or None"),
    "calling title": ({"calling_aet": b"A"}, "connect(calling_aet=...): bytes in place of str"),
    "length": ({"max_length": "1"}, "connect(max_length='1'): str in place of int"),
    "user information": ({"user_information": {}}, "connect(user_information=...): dict in place of UserInformation"),
    "source": ({"source_address": 5}, "connect(source_address=5): int in place of str or tuple or None"),
    "a number": ({"where": 5}, "connect(where): an int in place of an address or an open connection; an address is"),
    "nothing": ({"where": None}, "connect(where): None in place of an address"),
    "an empty tuple": ({"where": ()}, "connect(where): a tuple in place of an address"),
    "a host": ({"where": ("h",)}, "connect(where): a tuple in place of an address or an open connection"),
    "a list": ({"where": ["h", 1]}, "connect(where): a list in place of an address"),
    "a port": ({"where": ("h", "11112")}, "connect(where): the port is a str; write ('h', 11112)"),
}
ACCEPT: dict[str, tuple[dict[str, Any], str]] = {
    "tls": ({"tls": CLIENT}, "accept(tls=...): ClientTLS in place of ServerTLS or None"),
    "policy": ({"policy": {}}, "accept(..., ...): dict in place of AcceptPolicy"),
    "connection": ({"where": WHERE}, "accept(connection): a tuple in place of an open connection"),
}


def refused(adapter: str, function: Callable[[Any], Any]) -> str:
    """The text of the TypeError that a call raises in this adapter."""

    async def main(module: Any) -> None:
        await function(module)

    def call() -> None:
        if adapter == "blocking":
            function(module_of(adapter))
        else:
            run(adapter, main)

    with pytest.raises(TypeError) as error:
        call()
    return str(error.value)


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize(
    ("options", "text"),
    [*CONNECT.values(), *((options, f"connect{text}") for options, text in BOTH.values())],
    ids=[*CONNECT, *BOTH],
)
def test_connect_refuses_an_option_of_another_type(adapter: str, options: dict[str, Any], text: str) -> None:
    options = {"where": WHERE, "contexts": CONTEXTS, **options}
    assert refused(adapter, lambda module: module.connect(**options)).startswith(text)


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize(
    ("options", "text"),
    [*ACCEPT.values(), *((options, f"accept{text}") for options, text in BOTH.values())],
    ids=[*ACCEPT, *BOTH],
)
def test_accept_refuses_an_option_of_another_type(adapter: str, options: dict[str, Any], text: str) -> None:
    mine, theirs = socket.socketpair()
    with mine, theirs:
        given = {"where": mine, "policy": POLICY, **options}
        where, policy = given.pop("where"), given.pop("policy")
        assert refused(adapter, lambda module: module.accept(where, policy, **given)).startswith(text)


def test_an_application_refuses_what_is_no_configuration_of_a_client() -> None:
    with pytest.raises(TypeError, match=r"^Application\(tls=True\): bool in place of ClientTLS or None$"):
        Application(tls=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_serve_refuses_the_configuration_of_a_client(adapter: str) -> None:
    serve = module_of(adapter).server.serve
    with pytest.raises(TypeError, match=r"^serve\(tls=...\): ClientTLS in place of ServerTLS or None$"):
        serve(("127.0.0.1", 0), print, policy=POLICY, tls=CLIENT)
