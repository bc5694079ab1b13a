"""`Application`: services as functions of the caller, on any adapter."""

from dicos_proto.services.commitment import Failure
from dicos_proto.services.serving import Refused

from ..sessions.talking import WrongAnswer
from .application import (
    Application,
    CommitFunction,
    EchoFunction,
    FindFunction,
    NormalizedFunction,
    RetrieveFunction,
    Status,
    StoreFunction,
    StreamFunction,
)
from .asked import Asked, CommitAsked, Reply, StoreAsked
from .retrieving import instance

__all__ = [
    "Application",
    "Asked",
    "CommitAsked",
    "CommitFunction",
    "EchoFunction",
    "Failure",
    "FindFunction",
    "NormalizedFunction",
    "Refused",
    "Reply",
    "RetrieveFunction",
    "Status",
    "StoreAsked",
    "StoreFunction",
    "StreamFunction",
    "WrongAnswer",
    "instance",
]
