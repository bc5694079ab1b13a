"""Sessions over blocking sockets: `connect`, `accept`, and `serve` for many."""

from typing import TYPE_CHECKING

from ..options import AcceptOptions, ConnectOptions
from ..sessions.base import ConnectionFailed
from ..sessions.channel import ServerStopping
from .adapter import accept, connect, pair, store_over
from .session import (
    Answers,
    EchoRequest,
    FindRequest,
    GetRequest,
    MoveRequest,
    NormalizedRequest,
    PeerRequest,
    Request,
    Session,
    StoreRequest,
)

if TYPE_CHECKING:
    from ..serving.options import ServeOptions
    from ..sessions.pooling import PoolClosed, PoolExhausted, PoolStats
    from .pool import Pool
    from .server import LOG, Handler, ListenFailed, Server, ServerLimits, serve

__all__ = [
    "AcceptOptions",
    "Answers",
    "PeerRequest",
    "ConnectOptions",
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
    "ServeOptions",
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


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> object:
    """The pool and the server are imported when they are asked for: a program that only connects needs neither."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name.startswith("Pool"):
        from ..sessions import pooling
        from .pool import Pool

        return Pool if name == "Pool" else getattr(pooling, name)
    from . import server

    return getattr(server, name)
