"""Sessions over blocking sockets: `connect`, `accept`, and `serve` for many."""

from typing import TYPE_CHECKING

from .adapter import (
    Answers,
    AnyRequest,
    ConnectionFailed,
    EchoRequest,
    FindRequest,
    GetRequest,
    MoveRequest,
    NormalizedRequest,
    PoolClosed,
    PoolExhausted,
    PoolStats,
    Request,
    ServerStopping,
    Session,
    StoreRequest,
    accept,
    connect,
    pair,
    store_over,
)

if TYPE_CHECKING:
    from .pool import Pool
    from .server import LOG, Handler, ListenFailed, Server, ServerLimits, serve

__all__ = [
    "Answers",
    "AnyRequest",
    "ConnectionFailed",
    "EchoRequest",
    "FindRequest",
    "GetRequest",
    "Handler",
    "LOG",
    "ListenFailed",
    "MoveRequest",
    "NormalizedRequest",
    "Pool",
    "PoolClosed",
    "PoolExhausted",
    "PoolStats",
    "Request",
    "Server",
    "ServerLimits",
    "ServerStopping",
    "Session",
    "StoreRequest",
    "accept",
    "connect",
    "pair",
    "serve",
    "store_over",
]


def __getattr__(name: str) -> object:
    """The pool and the server are imported when they are asked for: who only connects needs neither."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "Pool":
        from .pool import Pool

        return Pool
    from . import server

    return getattr(server, name)
