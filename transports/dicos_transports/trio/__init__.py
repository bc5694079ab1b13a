"""Sessions in trio: `connect`, `accept`, `serve`."""

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
    "Answers",
    "PeerRequest",
    "AwaitedInstance",
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
