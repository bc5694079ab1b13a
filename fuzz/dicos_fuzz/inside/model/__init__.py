"""The reference model of the upper layer and of message assembly, and the oracle that compares the engine with it."""

from .checking import Checker, Disagreement, agrees, lenient
from .readings import command_difference, pdu_difference
from .reference import Reference
from .scripts import Eof, Expire, Receive, Say, Script, bytes_of, script_of

__all__ = [
    "Checker",
    "Disagreement",
    "Eof",
    "Expire",
    "Receive",
    "Reference",
    "Say",
    "Script",
    "agrees",
    "bytes_of",
    "command_difference",
    "lenient",
    "pdu_difference",
    "script_of",
]
