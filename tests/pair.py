"""Two engines back to back, or one engine and a peer written by hand: a virtual clock, no sockets, deterministic.

`Pair.pump` carries queued bytes through any splitter, and obeys `wants_read` and `wants_close` as an adapter does.
Time stands still until `jump`, which moves it to the next deadline of either side. `run` drives flows.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from random import Random
from typing import Any

from dicos_proto.association import Association
from dicos_proto.conversation import flows
from dicos_proto.conversation.exchange import Exchange
from dicos_proto.dimse.codec import encode_command
from dicos_proto.dimse.events import Event, MessageData, MessageStart
from dicos_proto.dimse.types import Command
from dicos_proto.errors import ProtocolError
from dicos_proto.limits import Limits
from dicos_proto.registry import uids
from dicos_proto.timers import Deadline, Timeouts
from dicos_proto.tolerance import STRICT, Tolerance
from dicos_proto.upper_layer.events import Closed
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import (
    AssociateAccept,
    AssociateRequest,
    OperationsWindow,
    PData,
    Pdv,
    ProposedContext,
    RoleSelection,
    UserInformation,
)
from dicos_proto.upper_layer.policy import AcceptPolicy, Roles
from dicos_proto.wire import Buffer

VERIFICATION, CT, MR = uids.VERIFICATION, uids.CT_IMAGE_STORAGE, uids.MR_IMAGE_STORAGE
IMPLICIT = uids.IMPLICIT_VR_LE

# -- requests, policies ------------------------------------------------------------------------------------------


def request(
    *, max_length: int = 16_384, window: OperationsWindow | None = None, both_roles: bool = False
) -> AssociateRequest:
    """Proposes contexts 1 Verification, 3 CT, 5 MR. `both_roles`: the requestor offers to be SCP of all three, too."""
    classes = (VERIFICATION, CT, MR)
    roles = tuple(RoleSelection(sop_class_uid=uid, scu=True, scp=True) for uid in classes) if both_roles else ()
    return AssociateRequest(
        called_aet="PROVIDER",
        calling_aet="USER",
        contexts=tuple(
            ProposedContext(id=2 * index + 1, abstract_syntax=uid, transfer_syntaxes=(IMPLICIT,))
            for index, uid in enumerate(classes)
        ),
        user_information=UserInformation(max_length=max_length, window=window, roles=roles),
    )


def policy(
    *, max_length: int = 16_384, window: OperationsWindow | None = None, both_roles: bool = False
) -> AcceptPolicy:
    """Accepts everything in implicit VR. `both_roles`: it grants the roles that `request` asks for."""
    roles = {uid: Roles(scu=True, scp=True) for uid in (VERIFICATION, CT, MR)} if both_roles else {}
    return AcceptPolicy(
        other_contexts=(IMPLICIT,), max_length=max_length, window=window, roles=roles, peer_max_length=8
    )


def with_any_length(limits: Limits) -> Limits:
    """The same limits, for peers with any Maximum Length: fragmentation is best tested with small ones."""
    return replace(limits, peer_max_length=8)


REQUEST, POLICY = request(), policy()

# -- splitters ---------------------------------------------------------------------------------------------------

Splitter = Callable[[list[bytes | memoryview]], Iterable[Buffer]]


def as_sent(buffers: list[bytes | memoryview]) -> Iterable[Buffer]:
    """The same buffer objects that were sent."""
    return buffers


def whole(buffers: list[bytes | memoryview]) -> Iterable[Buffer]:
    """One chunk."""
    return [b"".join(buffers)] if buffers else []


def bytewise(buffers: list[bytes | memoryview]) -> Iterable[Buffer]:
    """Chunks of one byte."""
    return [bytes((value,)) for value in b"".join(buffers)]


def scattered(seed: int) -> Splitter:
    """Chunks of 1 to 40 bytes, always the same for one seed."""
    random = Random(seed)

    def split(buffers: list[bytes | memoryview]) -> Iterator[Buffer]:
        data = b"".join(buffers)
        at = 0
        while at < len(data):
            size = random.choice((1, 2, 3, 5, 6, 7, 11, 40))
            yield data[at : at + size]
            at += size

    return split


def splitters() -> dict[str, Splitter]:
    """The splitters with which every stream is tested."""
    return {"whole": whole, "bytes": bytewise, "random-1": scattered(1), "random-2": scattered(2)}


# -- bytes written and read by hand ------------------------------------------------------------------------------

Part = tuple[int, bool, bool, bytes]
"""A PDV: context, command, last, data."""


def p_data(*parts: Part) -> bytes:
    """One P-DATA-TF with these PDVs."""
    return encode(PData(pdvs=tuple(Pdv(context=c, command=k, last=e, data=d) for c, k, e, d in parts)))


def command(context: int, message: Command, *, has_data: bool = False) -> bytes:
    """One P-DATA-TF with the whole command set of `message`."""
    return p_data((context, True, True, encode_command(message, has_data=has_data)))


def pdus(stream: bytes) -> list[bytes]:
    """A byte stream cut into its PDUs."""
    found = []
    while stream:
        (length,) = struct.unpack_from(">L", stream, 2)
        found.append(stream[: 6 + length])
        stream = stream[6 + length :]
    return found


def data_pdus(stream: bytes | bytearray) -> list[PData]:
    """The P-DATA-TFs in a byte stream."""
    found = [decode(pdu) for pdu in pdus(bytes(stream)) if pdu[0] == 4]
    return [pdu for pdu in found if isinstance(pdu, PData)]


def joined(events: Iterable[Event]) -> list[Event]:
    """The events, with consecutive `MessageData` of one message joined into one."""
    found: list[Event] = []
    for event in events:
        before = found[-1] if found else None
        if isinstance(event, MessageData):
            event = replace(event, data=bytes(event.data))
            if isinstance(before, MessageData) and before.context == event.context and not before.last:
                event = replace(event, data=bytes(before.data) + bytes(event.data))
                found.pop()
        found.append(event)
    return found


# -- two engines -------------------------------------------------------------------------------------------------


class _Line:
    """One direction of the connection."""

    def __init__(self, source: Association, target: Association, split: Splitter, record: bool) -> None:
        self.source = source
        self.target = target
        self.split = split
        self.record = record
        self.carried = bytearray()
        self.flight: deque[Buffer] = deque()
        self.cut = False

    def carry(self) -> bool:
        """Delivers bytes while the target wants to read. Returns True if anything moved."""
        buffers = self.source.data_to_send()
        if self.record:
            self.carried += b"".join(buffers)
        self.flight.extend(self.split(buffers))
        moved = bool(buffers)
        if self.target.wants_close:
            self.flight.clear()
        while self.flight and self.target.wants_read:
            self.target.receive_data(self.flight.popleft())
            moved = True
        if self.source.wants_close and not (self.source.bytes_queued or self.flight or self.cut):
            self.cut = True
            self.target.receive_eof()
            moved = True
        return moved


class Pair:
    """A user (requestor) and a provider (acceptor), connected."""

    def __init__(
        self,
        asked: AssociateRequest = REQUEST,
        *,
        split: Splitter = whole,
        record: bool = True,
        user_limits: Limits = Limits(),  # noqa: B008  frozen values
        provider_limits: Limits = Limits(),  # noqa: B008
        user_timeouts: Timeouts = Timeouts(),  # noqa: B008
        provider_timeouts: Timeouts = Timeouts(),  # noqa: B008
        tolerance: Tolerance = STRICT,
    ) -> None:
        user_limits = with_any_length(user_limits)
        self.user = Association.requestor(asked, limits=user_limits, timeouts=user_timeouts, tolerance=tolerance)
        self.provider = Association.acceptor(limits=provider_limits, timeouts=provider_timeouts, tolerance=tolerance)
        self.uses, self.provides = Exchange(self.user), Exchange(self.provider)
        self.now = 0.0
        self.from_user = _Line(self.user, self.provider, split, record)
        self.from_provider = _Line(self.provider, self.user, split, record)

    @classmethod
    def established(cls, asked: AssociateRequest = REQUEST, answer: AcceptPolicy = POLICY, **options: Any) -> Pair:
        """A pair in Sta6 on both sides; the bytes carried until then are dropped from the record."""
        pair = cls(asked, **options)
        assert pair.events(pair.provider) == [asked]
        pair.provider.send(negotiate(asked, answer))
        (accept,) = pair.events(pair.user)
        assert isinstance(accept, AssociateAccept)
        pair.from_user.carried.clear()
        pair.from_provider.carried.clear()
        return pair

    def pump(self) -> bool:
        """Carries bytes both ways until nothing moves. Returns True if anything moved."""
        moved = False
        while self.from_user.carry() | self.from_provider.carry():
            moved = True
        return moved

    def events(self, side: Association) -> list[Event]:
        """All events of one side, including those of bytes that it receives meanwhile, `Closed` once."""
        found: list[Event] = []
        while True:
            self.pump()
            event = side.next_event()
            if event is not None:
                found.append(event)
            if isinstance(event, Closed) or (event is None and not self.pump()):
                return found

    def settle(self) -> tuple[list[Event], list[Event]]:
        """The events of the user and the provider until neither has any more, `Closed` once each."""
        user: list[Event] = []
        provider: list[Event] = []
        while True:
            more = [
                [] if found and isinstance(found[-1], Closed) else self.events(side)
                for side, found in ((self.user, user), (self.provider, provider))
            ]
            user += more[0]
            provider += more[1]
            if not any(more) and not self.pump():
                return user, provider

    def deadline(self) -> Deadline | None:
        """The next deadline of either side."""
        found = [side.deadline(self.now) for side in (self.user, self.provider)]
        return min((each for each in found if each is not None), key=lambda each: each.at, default=None)

    def jump(self) -> Deadline | None:
        """Moves the time to the next deadline and returns it; None if there is none."""
        deadline = self.deadline()
        if deadline is not None:
            self.now = max(self.now, deadline.at)
            self.user.handle_timeout(self.now)
            self.provider.handle_timeout(self.now)
        return deadline

    def run(self, *conversations: Generator[flows.Need, None, Any]) -> list[Any]:
        """Drives flows side by side. Returns the result of each, or the `ProtocolError` that it raised.

        If no flow can go on, time jumps. It fails if there is no deadline either.
        """
        outcomes: list[Any] = [None] * len(conversations)
        running = dict(enumerate(conversations))
        still = 0  # jumps without effect: the side with the deadline has no flow any more
        while running:
            progress = False
            for number, flow in list(running.items()):
                try:
                    progress |= next(flow) is not flows.Need.INPUT
                except StopIteration as done:
                    outcomes[number] = done.value
                    del running[number]
                    progress = True
                except ProtocolError as error:
                    outcomes[number] = error
                    del running[number]
                    progress = True
                progress |= self.pump()
            before = self.now
            if running and not progress and self.jump() is None:
                raise AssertionError("no flow can go on, and there is no deadline")
            still = still + 1 if not progress and self.now == before else 0
            if still > 100:
                raise AssertionError("no flow can go on, and no deadline changes that")
        return outcomes


class Lone:
    """One engine, whose peer is bytes written by hand."""

    def __init__(self, engine: Association, split: Splitter = whole) -> None:
        self.engine = engine
        self.exchange = Exchange(engine)
        self.split = split

    @classmethod
    def provider(
        cls,
        asked: AssociateRequest = REQUEST,
        answer: AcceptPolicy = POLICY,
        split: Splitter = whole,
        *,
        limits: Limits = Limits(),  # noqa: B008  frozen values
        timeouts: Timeouts = Timeouts(),  # noqa: B008
        tolerance: Tolerance = STRICT,
    ) -> Lone:
        """An acceptor in Sta6."""
        lone = cls(Association.acceptor(limits=limits, timeouts=timeouts, tolerance=tolerance), split)
        assert lone.feed(encode(asked)) == [asked]
        lone.engine.send(negotiate(asked, answer))
        lone.sent()
        return lone

    @classmethod
    def user(
        cls,
        asked: AssociateRequest = REQUEST,
        answer: AcceptPolicy = POLICY,
        split: Splitter = whole,
        *,
        limits: Limits = Limits(),  # noqa: B008  frozen values
        timeouts: Timeouts = Timeouts(),  # noqa: B008
        tolerance: Tolerance = STRICT,
    ) -> Lone:
        """A requestor in Sta6."""
        limits = with_any_length(limits)
        lone = cls(Association.requestor(asked, limits=limits, timeouts=timeouts, tolerance=tolerance), split)
        accept = negotiate(asked, answer)
        assert isinstance(accept, AssociateAccept)
        assert lone.feed(encode(accept)) == [accept]
        lone.sent()
        return lone

    def feed(self, *parts: bytes) -> list[Event]:
        """Feeds these bytes, split, to the engine. Returns all its events."""
        found: list[Event] = []
        for chunk in self.split([b"".join(parts)]):
            self.engine.receive_data(chunk)
            found += self.events()
        return found

    def events(self) -> list[Event]:
        """All events of the engine, `Closed` once."""
        found: list[Event] = []
        while (event := self.engine.next_event()) is not None:
            found.append(event)
            if isinstance(event, Closed):
                break
        return found

    def sent(self) -> bytes:
        """All bytes that the engine has sent since the last call."""
        return b"".join(taken(self.engine))


def taken(engine: Association) -> list[bytes | memoryview]:
    """All buffers that the engine has to send, from as many calls as that takes."""
    return [buffer for part in iter(engine.data_to_send, []) for buffer in part]


def start(context: int, message: Command, *, has_data: bool = False) -> MessageStart:
    """Shorthand for the event."""
    return MessageStart(context=context, command=message, has_data=has_data)


def data(context: int, content: Buffer, *, last: bool = True) -> MessageData:
    """Shorthand for the event."""
    return MessageData(context=context, data=content, last=last)
