"""Two engines back to back, or one and a peer written by hand: a virtual clock, no sockets, nothing left to chance.

`Pair.pump` carries what is queued, through any splitter, and obeys `wants_read` and `wants_close` as an adapter does.
Time stands still until `jump`, which goes to the next deadline of either side. `run` interprets flows.
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

# -- what is said ------------------------------------------------------------------------------------------------


def request(
    *, max_length: int = 16_384, window: OperationsWindow | None = None, both_roles: bool = False
) -> AssociateRequest:
    """Contexts 1 Verification, 3 CT, 5 MR; `both_roles`: the requestor offers to be SCP of all three as well."""
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
    """Accepts everything in implicit VR; `both_roles` grants what `request` asks."""
    roles = {uid: Roles(scu=True, scp=True) for uid in (VERIFICATION, CT, MR)} if both_roles else {}
    return AcceptPolicy(
        other_contexts=(IMPLICIT,), max_length=max_length, window=window, roles=roles, peer_max_length=8
    )


def with_any_length(limits: Limits) -> Limits:
    """These limits, for peers of any Maximum Length: cutting is best tested with little ones."""
    return replace(limits, peer_max_length=8)


REQUEST, POLICY = request(), policy()

# -- how bytes are cut -------------------------------------------------------------------------------------------

Splitter = Callable[[list[bytes | memoryview]], Iterable[Buffer]]


def as_sent(buffers: list[bytes | memoryview]) -> Iterable[Buffer]:
    """The very buffers that were sent."""
    return buffers


def whole(buffers: list[bytes | memoryview]) -> Iterable[Buffer]:
    """All at once."""
    return [b"".join(buffers)] if buffers else []


def bytewise(buffers: list[bytes | memoryview]) -> Iterable[Buffer]:
    """One byte a chunk."""
    return [bytes((value,)) for value in b"".join(buffers)]


def scattered(seed: int) -> Splitter:
    """Chunks of 1 to some 40 bytes, always the same ones for a seed."""
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
    """The splits every stream is tried with."""
    return {"whole": whole, "bytes": bytewise, "random-1": scattered(1), "random-2": scattered(2)}


# -- bytes written and read by hand ------------------------------------------------------------------------------

Part = tuple[int, bool, bool, bytes]
"""A PDV: context, command, last, data."""


def p_data(*parts: Part) -> bytes:
    """One P-DATA-TF of these PDVs."""
    return encode(PData(pdvs=tuple(Pdv(context=c, command=k, last=e, data=d) for c, k, e, d in parts)))


def command(context: int, message: Command, *, has_data: bool = False) -> bytes:
    """One P-DATA-TF that is the whole command set of `message`."""
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
    """The P-DATA-TF among them."""
    found = [decode(pdu) for pdu in pdus(bytes(stream)) if pdu[0] == 4]
    return [pdu for pdu in found if isinstance(pdu, PData)]


def joined(events: Iterable[Event]) -> list[Event]:
    """The events with consecutive `MessageData` of one message joined into one of bytes."""
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
        """Bring over what the target wants to read; whether anything moved."""
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
        """A pair in Sta6 on both sides; what was carried until then is forgotten."""
        pair = cls(asked, **options)
        assert pair.events(pair.provider) == [asked]
        pair.provider.send(negotiate(asked, answer))
        (accept,) = pair.events(pair.user)
        assert isinstance(accept, AssociateAccept)
        pair.from_user.carried.clear()
        pair.from_provider.carried.clear()
        return pair

    def pump(self) -> bool:
        """Carry both ways until nothing moves; whether anything did."""
        moved = False
        while self.from_user.carry() | self.from_provider.carry():
            moved = True
        return moved

    def events(self, side: Association) -> list[Event]:
        """All that one side has to say now, `Closed` once; what it is sent meanwhile included."""
        found: list[Event] = []
        while True:
            self.pump()
            event = side.next_event()
            if event is not None:
                found.append(event)
            if isinstance(event, Closed) or (event is None and not self.pump()):
                return found

    def settle(self) -> tuple[list[Event], list[Event]]:
        """What the user and the provider have to say until both are quiet, `Closed` once each."""
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
        """Go to the next deadline; None, and time stands still, where there is none."""
        deadline = self.deadline()
        if deadline is not None:
            self.now = max(self.now, deadline.at)
            self.user.handle_timeout(self.now)
            self.provider.handle_timeout(self.now)
        return deadline

    def run(self, *conversations: Generator[flows.Need, None, Any]) -> list[Any]:
        """Interpret flows side by side: what each returns, or the `ProtocolError` it raises.

        Where no flow can go on, time jumps. Fails where there is no deadline either.
        """
        outcomes: list[Any] = [None] * len(conversations)
        running = dict(enumerate(conversations))
        still = 0  # jumps that led nowhere: the side whose deadline it is has no flow any more
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
    """One engine; its peer is bytes written by hand."""

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
        """Give it these bytes, split; all it has to say."""
        found: list[Event] = []
        for chunk in self.split([b"".join(parts)]):
            self.engine.receive_data(chunk)
            found += self.events()
        return found

    def events(self) -> list[Event]:
        """All it has to say now, `Closed` once."""
        found: list[Event] = []
        while (event := self.engine.next_event()) is not None:
            found.append(event)
            if isinstance(event, Closed):
                break
        return found

    def sent(self) -> bytes:
        """What it has sent since the last call."""
        return b"".join(taken(self.engine))


def taken(engine: Association) -> list[bytes | memoryview]:
    """All that it has to send, however many calls that takes."""
    return [buffer for part in iter(engine.data_to_send, []) for buffer in part]


def start(context: int, message: Command, *, has_data: bool = False) -> MessageStart:
    """Short for the event."""
    return MessageStart(context=context, command=message, has_data=has_data)


def data(context: int, content: Buffer, *, last: bool = True) -> MessageData:
    """Short for the event."""
    return MessageData(context=context, data=content, last=last)
