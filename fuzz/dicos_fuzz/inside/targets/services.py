"""Targets for the flows of services: a provider of everything against a hostile user, users against a hostile provider.

Knows: what flows document that they raise, and how an adapter interprets their needs. Must not know: sockets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Final

from dicos_proto.association import Association
from dicos_proto.conversation import flows
from dicos_proto.conversation.flows import AssociationError, ContextNotAccepted, Flow, Need
from dicos_proto.conversation.reading import DataSetTooLong
from dicos_proto.data.elements import DataSetError
from dicos_proto.errors import LocalProtocolError, ProtocolError
from dicos_proto.limits import Limits
from dicos_proto.services.serving import Refused
from dicos_proto.tolerance import STRICT, Tolerance
from dicos_proto.upper_layer.machine import State

from ...grammar.reading import read_stream
from ..cases import CASES, recorded
from ..oracles import check_sent, reassembled
from ..provider import Provider
from ..tape import Bases, Tape, raw
from ..target import Bounds, OracleFailure, Target, Watch, check
from .engines import chunks
from .pdus import TOLERANCES, WORDS

__all__ = ["TARGETS"]

_LIMITS: Final = (Limits(peer_max_length=8), Limits(peer_max_length=8, attributes=300, parked=600, queued=200))
_JUMPS: Final = 64


@dataclass(slots=True)
class _Interpreter:
    """Runs a flow as an adapter does; the peer is a stream of bytes. `most`: waits after which it has no end."""

    association: Association
    pieces: Iterator[bytes]
    silent: bool
    most: int
    now: float = 0.0
    jumps: int = 0
    steps: int = 0
    sent: bytearray = field(default_factory=bytearray)
    ended: bool = False

    def run(self, flow: Flow[object]) -> object:
        """Returns the result of the flow. Raises what it raises, and `OracleFailure` if it has no end."""
        while True:
            try:
                need = next(flow)
            except StopIteration as done:
                self._take()
                return done.value
            self.steps += 1
            check(self.steps < self.most, f"{self.steps} waits, and no end in {self.association.state.name}")
            self._take()
            if need is Need.INPUT or (need is Need.TURN and self.association.wants_read):
                self._feed(wait=need is Need.INPUT)

    def _take(self) -> None:
        while taken := self.association.data_to_send():
            self.sent += b"".join(taken)

    def _feed(self, *, wait: bool) -> None:
        association = self.association
        if not association.wants_read and not self.ended and not association.wants_close:
            if not wait:
                return
            raise OracleFailure(f"waits for input and reads nothing in {association.state.name}")
        piece = next(self.pieces, None)
        if piece is not None:
            association.receive_data(piece)
        elif wait and not self.ended:
            deadline = association.deadline(self.now) if self.silent and self.jumps < _JUMPS else None
            if deadline is not None:
                self.jumps += 1
                self.now = max(self.now, deadline.at)
                association.handle_timeout(self.now)
            else:
                self.ended = True
                association.receive_eof()


def _play(
    association: Association, flow: Flow[object], stream: bytes, how: int, watch: Watch, *, silent: bool
) -> tuple[object, bytes]:
    """Runs a flow against a stream, then ends the association as an adapter does. Returns the result, or None if an
    error ended it, and what was sent."""
    interpreter = _Interpreter(association, chunks(stream, how), silent, 400 + 4 * len(stream))
    result: object = None
    try:
        result = interpreter.run(flow)
        watch("done")
    except (AssociationError, ContextNotAccepted, DataSetError, DataSetTooLong, Refused) as fault:
        _note(watch, fault)
    except LocalProtocolError as fault:
        _note(watch, fault)
        over = association.state in (State.Sta1, State.Sta13) or association.wants_close
        check(over, f"the flow itself did what is not allowed in {association.state.name}: {fault}")
    try:
        interpreter.run(flows.abort(association))
    except AssociationError as fault:
        _note(watch, fault)
    check(association.wants_close, f"not over after its end: {association.state.name}")
    agreement = association.terms.agreement
    check_sent(bytes(interpreter.sent), max_length=agreement.peer_max_length if agreement else 0)
    return result, bytes(interpreter.sent)


def _note(watch: Watch, fault: ProtocolError) -> None:
    watch.fault(fault)
    check(str(fault).isprintable(), f"a text that cannot be printed: {str(fault)!a}")


def _settings(tape: Tape) -> tuple[Tolerance, Limits, bool, int, int]:
    first, second, how = tape.byte(), tape.byte(), tape.byte()
    return TOLERANCES[first & 3], _LIMITS[first >> 2 & 1], bool(first & 8), second, how


_USERS: Final = Bases(lambda: [user for user, _ in recorded()], read_stream)
_PROVIDERS: Final = Bases(lambda: [provider for _, provider in recorded()], read_stream)


def _provider(data: bytes, watch: Watch) -> None:
    tape = Tape(data)
    tolerance, limits, silent, _, how = _settings(tape)
    stream = _USERS.take(tape)
    association = Association.acceptor(limits=limits, tolerance=tolerance)
    provider = Provider()
    _play(association, provider.serve(association), stream, how, watch, silent=silent)
    watch(provider.served)
    if tolerance is STRICT and provider.stored:
        sent = [one.data for one in reassembled(stream)]
        for _, _, whole in provider.stored:
            check(whole in sent, f"{len(whole)} bytes stored that were not sent")


def _user(data: bytes, watch: Watch) -> None:
    tape = Tape(data)
    tolerance, limits, silent, second, how = _settings(tape)
    case = CASES[second % len(CASES)]
    watch(case.name)
    stream = _PROVIDERS.take(tape)
    association = Association.requestor(case.request, limits=limits, tolerance=tolerance)
    _play(association, case.run(association), stream, how, watch, silent=silent)


def _tapes(bases: Bases, *, users: bool) -> list[bytes]:
    heads = (b"\0%c\0", b"\x0b%c\3", b"\4%c\1")
    return [raw(head % (number if users else 0), one) for number, one in enumerate(bases.all) for head in heads]


def _made_user(random: Random) -> bytes:
    return raw(bytes((random.randrange(16), 0, random.choice((0, 0, random.randrange(256))))), _USERS.made(random))


def _made_provider(random: Random) -> bytes:
    number = random.randrange(len(CASES))
    head = bytes((random.randrange(16), number, random.choice((0, 0, random.randrange(256)))))
    return raw(head, _PROVIDERS.made(random, number))


_WORDS: Final = (*WORDS, b"\0\xff", b"\0\xfe", b"\0\xb0", b"\x20\x80", b"\x01\x80", b"\0\0\0\2\1\2", b"\0\0\0\2\1\3")
_BOUNDS: Final = Bounds(memory=4 << 20, memory_a_byte=1200, time=400_000, time_a_byte=600)

TARGETS: Final = (
    Target(
        name="services-provider",
        about="a provider of every service against a hostile user",
        body=_provider,
        seeds=lambda: _tapes(_USERS, users=False),
        made=_made_user,
        grown=lambda random: raw(bytes((random.randrange(16), 0, 0)), _USERS.grown(random, 60_000)),
        words=_WORDS,
        bounds=_BOUNDS,
        share=2,
        longest=64 << 10,
    ),
    Target(
        name="services-user",
        about="a user of each service against a hostile provider",
        body=_user,
        seeds=lambda: _tapes(_PROVIDERS, users=True),
        made=_made_provider,
        words=_WORDS,
        bounds=_BOUNDS,
        share=2,
        longest=64 << 10,
    ),
)
