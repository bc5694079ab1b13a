"""`Application`: services as functions of the caller, on any adapter."""

from dicos_proto.services.commitment import Failure
from dicos_proto.services.serving import Refused

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
from .asked import Asked, CommitAsked, Reply, StoreAsked, WrongAnswer
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
