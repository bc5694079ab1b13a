"""Defects in what the provider makes of an A-ASSOCIATE-RQ, and of one that comes too late.

Knows: items and their place. Must not know: how they are listed (`defects`).
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from dicos_proto.errors import Malformed
from dicos_proto.registry import uids
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import AssociateAccept, ContextAnswer, ContextResult
from dicos_proto.wire import Wire

from .hooks import Hooks
from .tap import Tap

__all__ = ["SecondRequest", "SyntaxNotOffered", "UnknownItem"]

_KNOWN: Final = frozenset((0x10, 0x20, 0x50))
_KNOWN_INSIDE: Final = frozenset(range(0x51, 0x5A))


class UnknownItem(Hooks):
    """An item or sub-item of unknown type aborts the association."""

    def wire(self, wire: Wire, sock: socket.socket) -> Wire:
        """A tap that looks at the types of items."""
        return _Types(wire)


class _Types(Tap):
    def incoming(self, pdu: bytes) -> Iterable[bytes]:
        if pdu[0] == 1 and not _all_known(pdu[74:], _KNOWN):
            return (b"\x01\x00\x00\x00\x00\x00",)  # which the association aborts as too short
        return (pdu,)


def _all_known(items: bytes, known: frozenset[int]) -> bool:
    at = 0
    while at + 4 <= len(items):
        end = at + 4 + int.from_bytes(items[at + 2 : at + 4], "big")
        if items[at] not in known or (items[at] == 0x50 and not _all_known(items[at + 4 : end], _KNOWN_INSIDE)):
            return False
        at = end
    return True


class SyntaxNotOffered(Hooks):
    """A context whose transfer syntaxes are all unknown is accepted, with the default one."""

    def wire(self, wire: Wire, sock: socket.socket) -> Wire:
        """A tap that changes the answers."""
        return _Default(wire)


class _Default(Tap):
    def outgoing(self, pdu: bytes) -> Iterable[bytes]:
        if pdu[0] != 2:
            return (pdu,)
        try:
            accept = decode(pdu)
        except Malformed:
            return (pdu,)
        if not isinstance(accept, AssociateAccept):
            return (pdu,)
        return (encode(replace(accept, contexts=tuple(map(_accepted, accept.contexts)))),)


def _accepted(answer: ContextAnswer) -> ContextAnswer:
    if answer.result != ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED:
        return answer
    return ContextAnswer(id=answer.id, result=ContextResult.ACCEPTANCE, transfer_syntax=uids.IMPLICIT_VR_LE)


class SecondRequest(Hooks):
    """An A-ASSOCIATE-RQ on an association is answered as the first one was."""

    def wire(self, wire: Wire, sock: socket.socket) -> Wire:
        """A tap that remembers the answer."""
        return _Again(wire)


class _Again(Tap):
    def __init__(self, wire: Wire) -> None:
        super().__init__(wire)
        self._answer: bytes | None = None

    def outgoing(self, pdu: bytes) -> Iterable[bytes]:
        if pdu[0] == 2:
            self._answer = pdu
        return (pdu,)

    def incoming(self, pdu: bytes) -> Iterable[bytes]:
        if pdu[0] == 1 and self._answer is not None:
            self.say(self._answer)
            return ()
        return (pdu,)
