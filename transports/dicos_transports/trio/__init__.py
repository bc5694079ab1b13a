"""Sessions in trio: `connect`, `accept`, `serve`. Needs `pip install '.[trio]'` in a checkout."""

try:
    import trio  # noqa: F401
except ImportError as error:
    raise type(error)(
        f"trio is not installed: pip install '.[trio]' in a checkout ({error})", name=error.name
    ) from error

from ..options import AcceptOptions, ConnectOptions
from ..serving.options import ServeOptions
from ..sessions.base import ConnectionFailed
from ..sessions.channel import ServerStopping
from ..sessions.pooling import PoolClosed, PoolExhausted, PoolStats
from ..sessions.session import (
    Answers,
    AwaitedInstance,
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
from .adapter import accept, connect, pair, store_over
from .pool import Pool
from .server import Handler, ListenFailed, Metrics, Server, ServerLimits, serve

__all__ = [
    "AcceptOptions",
    "Answers",
    "PeerRequest",
    "AwaitedInstance",
    "ConnectOptions",
    "ConnectionFailed",
    "EchoRequest",
    "FindRequest",
    "GetRequest",
    "Handler",
    "ListenFailed",
    "Metrics",
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
