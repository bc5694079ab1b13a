"""Targets for one engine and its local user, fed with bytes: framing, `UpperLayer` and `Association` in both roles.

Knows: how a driver carries bytes and time to an engine, and what must hold for all bytes. Must not know: a second
engine (`pairs`), services, sockets.

A tape begins with the tolerance and the chunking, then the manner of the local user, then the stream. Each stream is
played twice, whole and in chunks: events and bytes sent must be the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from dicos_proto.association import Association
from dicos_proto.dimse.codec import decode_command
from dicos_proto.dimse.events import Event, MessageData, MessageStart
from dicos_proto.errors import Malformed, RemoteProtocolError
from dicos_proto.limits import Limits
from dicos_proto.tolerance import STRICT, Judge, Tolerance
from dicos_proto.upper_layer.events import Closed, Deviation, Fragment, ProviderAbort, UpperEvent
from dicos_proto.upper_layer.framing import PduBody, PduHeader, PduReader
from dicos_proto.upper_layer.layer import UpperLayer
from dicos_proto.upper_layer.machine import Role, State

from ...grammar.reading import read_stream
from ..local import Manner, UpperUser, User
from ..oracles import check_sent, reassembled
from ..seeds import ASKED, acceptor_streams, pdus, requestor_streams
from ..tape import Bases, Tape, raw
from ..target import OracleFailure, Target, Watch, check, words
from .pdus import TOLERANCES, WORDS, check_malformed

__all__ = ["TARGETS", "chunks"]

_JUMPS: Final = 64
"""Deadlines after which an association has to be over."""
_LIMITS: Final = (
    Limits(peer_max_length=8),
    Limits(
        peer_max_length=8, command_set=200, command_fragments=3, empty_pdvs=1, outstanding=2, contexts=5, queued=512,
        received_ahead=300, received_pieces=4, associate_pdu=2000,
    ),
)  # fmt: skip


_BYTEWISE: Final = 400


# -- chunkings ---------------------------------------------------------------------------------------------------


def chunks(stream: bytes, how: int) -> Iterator[bytes]:
    """Yields a stream in pieces: whole, byte by byte (`_BYTEWISE` bytes of it), two halves, or of sizes that `how`
    determines."""
    kind = how & 7
    if kind == 0:
        yield stream
    elif kind == 1:
        at = (how >> 3) * len(stream) // 64
        yield stream[:at]
        for value in stream[at : at + _BYTEWISE]:
            yield bytes((value,))
        yield stream[at + _BYTEWISE :]
    elif kind == 2:
        middle = len(stream) * (how >> 3) // 32
        yield stream[:middle]
        yield stream[middle:]
    else:
        random = Random(how)
        at = 0
        while at < len(stream):
            size = random.choice((1, 2, 3, 6, 7, 13, 40, 200, 500))
            yield stream[at : at + size]
            at += size


# -- framing -----------------------------------------------------------------------------------------------------

Token = PduHeader | PduBody | tuple[int, bool, bool, bytes] | str


def _read(stream: bytes, how: int, tolerance: Tolerance, max_length: int, skip: int) -> list[Token]:
    """The tokens of a stream, with those of one PDV joined, and the fault at its end."""
    reader = PduReader(Judge(_LIMITS[0], tolerance))
    reader.max_length, reader.stream_data = max_length, True
    found: list[Token] = []
    for chunk in chunks(stream, how):
        reader.feed(chunk)
        try:
            while (token := _next(reader)) is not None:
                _join(found, token)
                if isinstance(token, PduHeader) and token.length % 7 == skip:
                    reader.skip_pdu()
        except Malformed as fault:
            check_malformed(fault)
            found.append(str(fault))
            return found
        check(reader.unread == 0, f"{reader.unread} bytes that nobody wants")
    found.append(reader.describe())
    return found


def _next(reader: PduReader) -> PduHeader | PduBody | Fragment | None:
    return reader.read_heads() or reader.next()


def _join(found: list[Token], token: PduHeader | PduBody | Fragment) -> None:
    if not isinstance(token, Fragment):
        found.append(token)
    elif token.start:
        found.append((token.context, token.command, token.last, bytes(token.data)))
    else:
        before = found.pop()
        if not isinstance(before, tuple) or before[2] or not token.data:
            raise OracleFailure(f"a fragment after {before!r:.200}")
        found.append((token.context, token.command, token.last, before[3] + bytes(token.data)))


_FRAMES: Final = Bases(lambda: (*pdus(), *acceptor_streams()), read_stream)


def _framing(data: bytes, watch: Watch) -> None:
    tape = Tape(data)
    first, how, skip = tape.byte(), tape.byte(), tape.byte()
    tolerance, max_length = TOLERANCES[first & 3], (0, 64, 1000, 16_384)[first >> 2 & 3]
    stream = _FRAMES.take(tape)
    whole = _read(stream, 0, tolerance, max_length, skip)
    for token in whole:
        watch(
            words(token)
            if isinstance(token, str)
            else token.kind
            if isinstance(token, PduHeader | PduBody)
            else token[1:3]
        )
    size = sum(len(one[3]) for one in whole if isinstance(one, tuple))
    size += sum(len(one.body) for one in whole if isinstance(one, PduBody))
    check(size <= len(stream), f"{size} bytes out of {len(stream)}")
    again = _read(stream, how, tolerance, max_length, skip)
    check(whole == again, f"chunks change {whole!r:.300} to {again!r:.300}")


# -- one engine --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Played:
    """The output of one engine: its events, those of one message joined, and all bytes that it sent."""

    events: list[Event | UpperEvent]
    sent: bytes


@dataclass(slots=True)
class _Driver:
    """Carries a stream to an engine as an adapter does, with a clock that jumps."""

    engine: Association | UpperLayer
    take: Callable[[Event | UpperEvent], None]
    watch: Watch | None
    most: int
    now: float = 0.0

    def play(self, stream: bytes, how: int, *, silent: bool, pause: int) -> Played:
        """`silent`: the peer keeps the connection open at the end. `pause`: time passes before this byte."""
        events: list[Event | UpperEvent] = []
        sent: list[bytes | memoryview] = []
        self._turn(events, sent)
        if pause:
            for chunk in chunks(stream[:pause], how):
                self._feed(chunk, events, sent)
            self._jump(events, sent)
        for chunk in chunks(stream[pause:], how):
            if _over(events):
                break  # the connection is closed
            self._feed(chunk, events, sent)
        for _ in range(_JUMPS if silent else 0):
            if _over(events) or not self._jump(events, sent):
                break
        self.engine.receive_eof()
        self._turn(events, sent)
        check(_over(events), f"no Closed after the end of the connection, in {self.engine.state.name}")
        check(isinstance(self.engine.next_event(), Closed), "Closed does not repeat")
        check(self.engine.wants_close and not self.engine.data_to_send(), "over, and yet there is something to send")
        return Played(events, b"".join(sent))

    def _feed(self, chunk: bytes, events: list[Event | UpperEvent], sent: list[bytes | memoryview]) -> None:
        engine = self.engine
        if engine.state is State.Sta1 and not engine.wants_close and not engine.wants_read:
            return  # a requestor that never asks: what the peer says waits, up to a limit
        check(engine.wants_read or engine.wants_close, f"reads nothing more in {engine.state.name}")
        engine.receive_data(chunk)
        self._turn(events, sent)

    def _turn(self, events: list[Event | UpperEvent], sent: list[bytes | memoryview]) -> None:
        """All events that are there, and all bytes to send."""
        engine = self.engine
        while True:
            event = engine.next_event()
            if event is None or (_over(events) and isinstance(event, Closed)):
                break
            if self.watch is not None:
                _note(self.watch, event, engine)
            self.take(event)
            _append(events, event)
            while taken := engine.data_to_send():
                sent += taken
            check(len(events) < self.most, f"{len(events)} events; {self.most} are enough for any input")
        while taken := engine.data_to_send():
            sent += taken

    def _jump(self, events: list[Event | UpperEvent], sent: list[bytes | memoryview]) -> bool:
        deadline = self.engine.deadline(self.now)
        if deadline is None:
            return False
        self.now = max(self.now, deadline.at)
        self.engine.handle_timeout(self.now)
        self._turn(events, sent)
        return True


def _over(events: list[Event | UpperEvent]) -> bool:
    return bool(events) and isinstance(events[-1], Closed)


def _append(events: list[Event | UpperEvent], event: Event | UpperEvent) -> None:
    """Adds an event; pieces of one data set or one PDV become one."""
    if isinstance(event, MessageData):
        event = replace(event, data=bytes(event.data))
        before = events[-1] if events else None
        if isinstance(before, MessageData) and not before.last:
            events[-1] = replace(event, data=bytes(before.data) + bytes(event.data))
            return
    elif isinstance(event, Fragment):
        before = events[-1] if events else None
        if not event.start and isinstance(before, Fragment):
            joined = memoryview(bytes(before.data) + bytes(event.data))
            events[-1] = Fragment(event.context, event.command, True, event.last, joined)
            return
        event = Fragment(event.context, event.command, event.start, event.last, memoryview(bytes(event.data)))
    events.append(event)


def _note(watch: Watch, event: Event | UpperEvent, engine: Association | UpperLayer) -> None:
    state = engine.state
    if isinstance(event, MessageStart):
        watch((event.command.NAME, event.has_data, state))
    elif isinstance(event, ProviderAbort):
        watch.fault(event.error)
        watch(state)
    elif isinstance(event, Deviation):
        watch((event.name, state))
    else:
        watch((type(event), state))


def _check_events(events: list[Event | UpperEvent]) -> None:
    """At most one end: only `Closed` comes after a `ProviderAbort`, and `Closed` once."""
    ends = [number for number, one in enumerate(events) if isinstance(one, ProviderAbort)]
    check(len(ends) <= 1, f"{len(ends)} ProviderAborts")
    if ends:
        after = [type(one).__name__ for one in events[ends[0] + 1 :] if not isinstance(one, Closed)]
        check(not after, f"{after} after a ProviderAbort")
    for one in events:
        if isinstance(one, ProviderAbort):
            check(str(one.error).isprintable(), f"a text that cannot be printed: {str(one.error)!a}")


def _check_complete(events: list[Event | UpperEvent], stream: bytes) -> None:
    """Every message that was reported complete is in the stream, in this order, with all its bytes."""
    sent = reassembled(stream)
    waiting: MessageStart | None = None
    for event in events:
        data: bytes | None = None
        if isinstance(event, MessageStart):
            waiting = event
            if event.has_data:
                continue
        elif isinstance(event, MessageData) and event.last:
            data = bytes(event.data)
        else:
            continue
        if waiting is None:
            raise OracleFailure("a data set without a message")
        found = next(sent, None)
        if found is None:
            raise OracleFailure(f"{waiting.command.NAME} reported complete, which was not sent")
        check(found.context == waiting.context, f"reported on context {waiting.context}, sent on {found.context}")
        check(decode_command(found.command)[0] == waiting.command, f"another command: {waiting.command!r:.200}")
        if data is not None:  # else one may follow that was not announced: it is refused
            check(found.data == data, f"{waiting.command.NAME} with {len(data)} bytes of data that were not sent")
        waiting = None


def _settings(tape: Tape) -> tuple[Tolerance, Limits, int, bool, int, Manner]:
    first, how, pause = tape.byte(), tape.byte(), tape.byte()
    return TOLERANCES[first & 3], _LIMITS[first >> 2 & 1], how, bool(first & 8), pause * (first >> 4), Manner.of(tape)


def _association(data: bytes, watch: Watch, role: Role, bases: Bases) -> None:
    tape = Tape(data)
    tolerance, limits, how, silent, pause, manner = _settings(tape)
    stream = bases.take(tape)

    def play(how: int, watch: Watch | None) -> Played:
        if role is Role.ACCEPTOR:
            engine = Association.acceptor(limits=limits, tolerance=tolerance)
        else:
            engine = Association.requestor(ASKED, limits=limits, tolerance=tolerance)
        user = User(engine, manner)
        driver = _Driver(engine, user.take, watch, 64 + 2 * len(stream))  # type: ignore[arg-type]
        played = driver.play(stream, how, silent=silent, pause=pause)
        agreement = engine.terms.agreement
        check_sent(played.sent, max_length=agreement.peer_max_length if agreement else 0)
        check(len(played.sent) <= 1_000_000 + 8 * len(stream), f"{len(played.sent)} bytes sent for {len(stream)}")
        return played

    whole = play(0, watch)
    _check_events(whole.events)
    if tolerance is STRICT:
        _check_complete(whole.events, stream)
    if how:
        _check_same(whole, play(how, None))


def _check_same(whole: Played, again: Played) -> None:
    if whole.events != again.events:
        one, other = [*map(_comparable, whole.events)], [*map(_comparable, again.events)]
        if one != other:
            at = next(
                (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
            )
            raise OracleFailure(f"chunks change event {at}: {one[at : at + 1]!r:.300} to {other[at : at + 1]!r:.300}")
    check(whole.sent == again.sent, f"chunks change what is sent: {len(whole.sent)} and {len(again.sent)} bytes")


def _comparable(event: Event | UpperEvent) -> object:
    """The event, without the size of a command set that is too long: it is the part that had arrived when it was."""
    if isinstance(event, ProviderAbort) and isinstance(event.error, RemoteProtocolError):
        if event.error.limit == "command_set":
            return event.error.clause, event.error.limit
    return event


def _upper(data: bytes, watch: Watch, role: Role, bases: Bases) -> None:
    tape = Tape(data)
    tolerance, limits, how, silent, pause, manner = _settings(tape)
    stream = bases.take(tape)

    def play(how: int, watch: Watch | None) -> Played:
        engine = UpperLayer(role, limits=limits, tolerance=tolerance)
        user = UpperUser(engine, manner)
        if role is Role.REQUESTOR and manner.opening < 7:
            engine.send(ASKED)
        driver = _Driver(engine, user.take, watch, 64 + 2 * len(stream))  # type: ignore[arg-type]
        played = driver.play(stream, how, silent=silent, pause=pause)
        check_sent(played.sent)
        return played

    whole = play(0, watch)
    _check_events(whole.events)
    if how:
        _check_same(whole, play(how, None))


ACCEPTING: Final = Bases(acceptor_streams, read_stream)
REQUESTING: Final = Bases(requestor_streams, read_stream)
_HEADS: Final = (b"\0\0\0\0\0", b"\x03\1\0\0\0", b"\x08\2\0\0\0", b"\0\3\0\0\x14", b"\x18\1\x20\1\x36")


def _tapes(bases: Bases, kind: str) -> Iterator[bytes]:
    """The bases in several manners, and the streams of the drivers that reach each cell and limit."""
    from ..coverage.driving import seeds

    for one in bases.all:
        for head in _HEADS:
            yield raw(head, one)
    for of, given in seeds():
        if of == kind:
            yield raw(_HEADS[0], given)


def _made(bases: Bases, random: Random) -> bytes:
    head = bytes((random.randrange(256) & random.choice((3, 15, 255)), random.randrange(64)))
    if random.random() < 0.7:
        head += b"\0" + bytes((random.choice((0, 0, 1, 2, 64, 128)), random.choice((0, random.randrange(256)))))
    else:
        head += random.randbytes(3)
    return raw(head, bases.made(random))


_FRAME_WORDS: Final = (*WORDS, b"\4\0\0\0\0\x0a\0\0\0\6\1\3", b"\0\0\0\2\3\2", b"\0\0\0\2\3\0", bytes(4) + b"\4\0\0\0")

TARGETS: Final = (
    Target(
        name="framing",
        about="the reader of PDUs, in chunks of all sizes",
        body=_framing,
        seeds=lambda: [raw(bytes((n & 15, n, 9)), one) for n, one in enumerate(_FRAMES.all)],
        made=lambda random: raw(random.randbytes(3), _FRAMES.made(random)),
        grown=lambda random: raw(random.randbytes(3), _FRAMES.grown(random, 60_000)),
        words=_FRAME_WORDS,
    ),
    *(
        Target(
            name=f"{name}-{role.value}",
            about=f"{what} as {role.value}, against any bytes, with its local user",
            body=lambda data, watch, play=play, role=role, bases=bases: play(data, watch, role, bases),  # type: ignore[misc]
            seeds=lambda bases=bases, role=role: _tapes(bases, role.value),  # type: ignore[misc]
            made=lambda random, bases=bases: _made(bases, random),  # type: ignore[misc]
            grown=lambda random, bases=bases: raw(random.choice(_HEADS), bases.grown(random, 60_000)),  # type: ignore[misc]
            words=_FRAME_WORDS,
            share=2 if play is _association else 1,
            longest=64 << 10,
        )
        for name, what, play in (("association", "Association", _association), ("upper-layer", "UpperLayer", _upper))
        for role, bases in ((Role.ACCEPTOR, ACCEPTING), (Role.REQUESTOR, REQUESTING))
    ),
)
