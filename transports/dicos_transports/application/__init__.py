"""`Application`: services as functions of the caller, on any adapter."""

from .application import Application, Asked, CommitAsked, Failure, Refused, Reply, StoreAsked, WrongAnswer, instance

__all__ = [
    "Application",
    "Asked",
    "CommitAsked",
    "Failure",
    "Refused",
    "Reply",
    "StoreAsked",
    "WrongAnswer",
    "instance",
]
