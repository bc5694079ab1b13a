"""Conversations with our own engine in memory: no sockets, a clock that jumps, a thousand and more in a second.

Knows: steps, the engine's `Association`, a small provider and a small user on top of it. Must not know: scenarios,
expectations.

It plays as `player` does, and writes the same transcripts. A wait ends at once: if the peer has nothing to say, time
jumps to its next deadline, or to the end of the wait. It serves to compare a peer with our engine, and to try scenarios
and oracles.

Invariants: the same conversation gives the same transcript. The memory is that of the engines and of the transcript.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol, assert_never

from dicos_proto.association import Association
from dicos_proto.data.checker import Checker
from dicos_proto.data.elements import DataSetError
from dicos_proto.dimse.events import MessageData, MessageStart
from dicos_proto.dimse.types import (
    AnyRequest,
    CEchoRequest,
    CFindRequest,
    CGetRequest,
    CMoveRequest,
    CStoreRequest,
    DimseRequest,
    DimseResponse,
    response_to,
    sop_class_of,
)
from dicos_proto.errors import LocalProtocolError
from dicos_proto.registry import status, uids
from dicos_proto.registry.service_classes import Service, service_of
from dicos_proto.timers import Timeouts
from dicos_proto.tolerance import STRICT, Tolerance
from dicos_proto.upper_layer.events import Closed
from dicos_proto.upper_layer.negotiation import UNCOMPRESSED, negotiate, number_contexts, propose_roles
from dicos_proto.upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateRequest,
    OperationsWindow,
    ReleaseRequest,
    ReleaseResponse,
    UserInformation,
)
from dicos_proto.upper_layer.policy import AcceptPolicy

from ..conversation import (
    Answer,
    Await,
    Check,
    Conversation,
    End,
    Entry,
    Open,
    Pause,
    Reading,
    Send,
    Side,
    Step,
    Transcript,
    What,
)
from ..grammar.reading import read_stream
from ..tree import apply, encode
from .echoing import GoodEcho
from .knowledge import Accepted, Learned
from .links import Pdus
from .objects import composite, query, uid
from .responding import Responding

__all__ = ["LEARNED", "POLICY", "Engine", "MemoryPlayer", "Provider", "User"]

TERMINAL: Final = (3, 7)
STUDY_FIND, STUDY_MOVE, STUDY_GET = uids.STUDY_ROOT_FIND, uids.STUDY_ROOT_MOVE, uids.STUDY_ROOT_GET
POLICY: Final = AcceptPolicy(
    contexts={
        uids.VERIFICATION: UNCOMPRESSED,
        uids.CT_IMAGE_STORAGE: (*UNCOMPRESSED, uids.DEFLATED_EXPLICIT_VR_LE, uids.EXPLICIT_VR_BE),
        STUDY_FIND: UNCOMPRESSED,
        STUDY_GET: UNCOMPRESSED,
        STUDY_MOVE: UNCOMPRESSED,
    },
    window=OperationsWindow(invoked=16, performed=1),
)
"""What the provider in memory accepts."""


def _accepted(abstract: str, transfer: str = uids.IMPLICIT_VR_LE) -> Accepted:
    return Accepted(abstract_syntax=abstract, transfer_syntax=transfer)


LEARNED: Final = Learned(
    accepted=(
        _accepted(uids.VERIFICATION),
        _accepted(uids.CT_IMAGE_STORAGE, uids.EXPLICIT_VR_LE),
        _accepted(STUDY_FIND),
        _accepted(STUDY_GET),
        _accepted(STUDY_MOVE),
        _accepted(uids.CT_IMAGE_STORAGE, uids.DEFLATED_EXPLICIT_VR_LE),
    ),
    window=(16, 1),
    services=frozenset({"C-ECHO", "C-STORE", "C-FIND", "C-GET", "C-MOVE"}),
)
"""What is known about it."""


class Engine(Protocol):
    """One side of one association, which acts by itself."""

    association: Association

    def react(self) -> None:
        """Handles every event that is there."""


class Provider:
    """An acceptor with verification, storage, and queries that find nothing."""

    def __init__(self, tolerance: Tolerance = STRICT, policy: AcceptPolicy = POLICY) -> None:
        self.association = Association.acceptor(tolerance=tolerance)
        self._policy = policy
        self._tolerance = tolerance
        self._open: tuple[int, AnyRequest, Checker | None] | None = None
        self._fault = False

    def react(self) -> None:
        """Handles every event that is there."""
        while (event := self.association.next_event()) is not None:
            match event:
                case AssociateRequest():
                    self.association.send(negotiate(event, self._policy, self._tolerance))
                case MessageStart(context=context, command=command, has_data=has_data):
                    if isinstance(command, DimseRequest):
                        self._asked(context, command, has_data=has_data)
                case MessageData():
                    self._data(event)
                case ReleaseRequest():
                    self.association.send(ReleaseResponse())
                case Closed():
                    return
                case _:
                    pass

    def _asked(self, context: int, command: AnyRequest, *, has_data: bool) -> None:
        if not has_data:
            self._answer(context, command, None)
            return
        checker = None
        if isinstance(command, CStoreRequest):
            syntax = self.association.contexts[context].transfer_syntax
            checker = Checker.of(syntax, command.affected_sop_class_uid, command.affected_sop_instance_uid)
        self._open = (context, command, checker)
        self._fault = False

    def _data(self, event: MessageData) -> None:
        if self._open is None:
            return
        context, command, checker = self._open
        if checker is not None and not self._fault:
            try:
                checker.feed(event.data)
                if event.last:
                    checker.finish()
            except DataSetError:
                self._fault = True
        if event.last:
            self._open = None
            self._answer(context, command, status.CANNOT_UNDERSTAND if self._fault else None)

    def _answer(self, context: int, command: AnyRequest, code: int | None) -> None:
        answer = response_to(command, self._status(context, command) if code is None else code)
        self.association.send(MessageStart(context=context, command=answer, has_data=False))

    def _status(self, context: int, command: AnyRequest) -> int:
        abstract = self.association.contexts[context].abstract_syntax
        services: dict[type[AnyRequest], Service] = {
            CEchoRequest: Service.VERIFICATION, CStoreRequest: Service.STORAGE, CFindRequest: Service.FIND,
            CGetRequest: Service.GET, CMoveRequest: Service.MOVE,
        }  # fmt: skip
        if services.get(type(command)) is not service_of(abstract):
            return status.UNRECOGNIZED_OPERATION
        if sop_class_of(command) != abstract:
            return status.SOP_CLASS_NOT_SUPPORTED
        return status.MOVE_DESTINATION_UNKNOWN if isinstance(command, CMoveRequest) else status.SUCCESS


_ROLES: Final = propose_roles([uids.CT_IMAGE_STORAGE], scu=True, scp=True)


class User:
    """A requestor that echoes, stores an object, retrieves nothing, and releases."""

    def __init__(self, tolerance: Tolerance = STRICT, tasks: tuple[str, ...] = ("echo", "store", "get")) -> None:
        contexts = number_contexts((one, (uids.IMPLICIT_VR_LE,)) for one in (
            uids.VERIFICATION, uids.CT_IMAGE_STORAGE, STUDY_GET
        ))  # fmt: skip
        self.association = Association.requestor(
            AssociateRequest(
                called_aet="FUZZ",
                calling_aet="USER",
                contexts=contexts,
                user_information=UserInformation(roles=_ROLES),
            ),
            tolerance=tolerance,
        )
        self._tasks = list(tasks)
        self._open: tuple[int, AnyRequest] | None = None

    def react(self) -> None:
        """Handles every event that is there."""
        while (event := self.association.next_event()) is not None:
            match event:
                case AssociateAccept():
                    self._next()
                case MessageStart(context=context, command=command, has_data=has_data):
                    if isinstance(command, DimseRequest):
                        self._open = (context, command)
                        if not has_data:
                            self._answer()
                    elif isinstance(command, DimseResponse) and not self.association.operations.outstanding:
                        self._next()
                case MessageData(last=True):
                    self._answer()
                case ReleaseRequest():
                    self.association.send(ReleaseResponse())
                case Closed():
                    return
                case _:
                    pass

    def _answer(self) -> None:
        if self._open is not None:
            (context, command), self._open = self._open, None
            answer = response_to(command, status.SUCCESS)
            self.association.send(MessageStart(context=context, command=answer, has_data=False))

    def _next(self) -> None:
        """Begins the next task, or the release. A task without its context is left out."""
        association = self.association
        while self._tasks:
            try:
                self._begin(self._tasks.pop(0))
            except LocalProtocolError:
                continue
            return
        association.send(ReleaseRequest())

    def _begin(self, task: str) -> None:
        send, number = self.association.send, self.association.operations.new_message_id()
        match task:
            case "echo":
                echo = CEchoRequest(message_id=number, affected_sop_class_uid=uids.VERIFICATION)
                send(MessageStart(context=1, command=echo, has_data=False))
            case "store":
                instance = uid("user in memory")
                store = CStoreRequest(
                    message_id=number,
                    affected_sop_class_uid=uids.CT_IMAGE_STORAGE,
                    affected_sop_instance_uid=instance,
                )
                send(MessageStart(context=3, command=store, has_data=True))
                data = composite(uids.CT_IMAGE_STORAGE, instance, uids.IMPLICIT_VR_LE)
                send(MessageData(context=3, data=data, last=True))
            case _:
                get = CGetRequest(message_id=number, affected_sop_class_uid=STUDY_GET)
                send(MessageStart(context=5, command=get, has_data=True))
                send(MessageData(context=5, data=query(uids.IMPLICIT_VR_LE), last=True))


# -- playing -----------------------------------------------------------------------------------------------------


class _Link:
    """One connection: the peer's engine, and what it said."""

    def __init__(self, peer: Engine) -> None:
        self.peer = peer
        self.pdus = Pdus()
        self.responding = Responding()
        self.ended = False
        self.half = False
        self.reading = True


class MemoryPlayer:
    """Plays conversations with an engine in memory. `provider`, `user`: make the peer's side of each connection."""

    def __init__(
        self,
        learned: Learned = LEARNED,
        *,
        provider: Callable[[], Engine] = Provider,
        user: Callable[[], Engine] = User,
    ) -> None:
        self.learned = learned
        self._provider = provider
        self._user = user

    def play(self, conversation: Conversation) -> Transcript:
        """Plays a conversation to its end."""
        make = self._provider if conversation.side is Side.USER else self._user
        run = _Run(self.learned, make, self._provider)
        for step in conversation.steps:
            run.step(step)
        run.close()
        return run.transcript


class _Run:
    """One conversation, as it is played."""

    def __init__(self, learned: Learned, make: Callable[[], Engine], good: Callable[[], Engine]) -> None:
        self.transcript = Transcript()
        self._learned = learned
        self._make = make
        self._good = good
        self._now = 0.0
        self._links: dict[int, _Link] = {}

    def _note(self, what: What, number: int, data: bytes = b"", note: str = "") -> None:
        self.transcript.entries.append(Entry(self._now, number, what, data, note))

    def step(self, step: Step) -> None:
        match step:
            case Open(connection=number):
                link = self._links[number] = _Link(self._make())
                self._note(What.OPENED, number)
                self._pump(number, link)
            case Send(connection=number):
                self._send(number, step.wire(), step.piece, step.gap)
            case Answer():
                self._answer(step)
            case Await(kinds=kinds, connection=number, seconds=seconds):
                self._await(number, kinds, self._learned.answer_seconds if seconds is None else seconds)
            case Pause(seconds=seconds):
                self._pass(seconds)
            case Reading(on=on, connection=number):
                if number in self._links:
                    self._links[number].reading = on
                    self._pump(number, self._links[number])
            case End(how=how, connection=number):
                self._end(number, how)
            case Check():
                self._check()
            case _:
                assert_never(step)

    def _pump(self, number: int, link: _Link) -> None:
        """Lets the peer act, and takes what it says."""
        if link.ended:
            return
        wire = link.peer.association
        wire.deadline(self._now)
        link.peer.react()
        said: list[bytes] = []
        while link.reading and (buffers := wire.data_to_send()):
            said += map(bytes, buffers)
            link.peer.react()
        if said:
            data = b"".join(said)
            self._note(What.RECEIVED, number, data)
            link.pdus.feed(data)
        if wire.wants_close and not wire.bytes_queued:
            link.ended = True
            self._note(What.ENDED, number)

    def _send(self, number: int, data: bytes, piece: int, gap: float) -> None:
        link = self._links.get(number)
        if link is None or link.ended or link.half:
            return
        size = piece or max(1, len(data))
        for at in range(0, len(data), size):
            if at and gap:
                self._pass(gap)
            if link.ended:
                return
            part = data[at : at + size]
            self._note(What.SENT, number, part)
            wire = link.peer.association
            if wire.wants_read:
                wire.receive_data(part)
                self._pump(number, link)

    def _answer(self, step: Answer) -> None:
        link = self._links.get(step.connection)
        if link is None:
            return
        while not link.responding.waiting and (pdu := link.pdus.next()) is not None:
            link.responding.feed(pdu)
        data = link.responding.answer()
        if data and step.edits:
            data = encode(apply(read_stream(data), step.edits))
        if data:
            self._send(step.connection, data, 0, 0.0)

    def _await(self, number: int, kinds: tuple[int, ...], seconds: float) -> None:
        link = self._links.get(number)
        if link is None:
            return
        until = self._now + seconds
        while True:
            while (pdu := link.pdus.next()) is not None:
                link.responding.feed(pdu)
                if not kinds or pdu[0] in kinds or pdu[0] in TERMINAL or not 1 <= pdu[0] <= 7:
                    return
            if link.ended:
                return
            if not self._jump(until):
                self._note(What.QUIET, number, note=f"nothing awaited within {seconds:.2f} s")
                return

    def _pass(self, seconds: float) -> None:
        until = self._now + seconds
        while self._jump(until):
            pass

    def _jump(self, until: float) -> bool:
        """Moves the time to the next deadline of a peer before `until`. Returns False if there is none; it is `until`
        then."""
        due: list[tuple[float, int, _Link]] = []
        for number, link in self._links.items():
            if not link.ended:
                deadline = link.peer.association.deadline(self._now)
                if deadline is not None and deadline.at <= until:
                    due.append((deadline.at, number, link))
        if not due:
            self._now = max(self._now, until)
            return False
        at, number, link = min(due, key=lambda one: one[:2])
        self._now = max(self._now, at)
        link.peer.association.handle_timeout(self._now)
        self._pump(number, link)
        return True

    def _end(self, number: int, how: str) -> None:
        link = self._links.get(number)
        if link is None or link.ended:
            return
        if how == "half":
            if not link.half:
                link.half = True
                self._note(What.HALF, number)
                link.peer.association.receive_eof()
                self._pump(number, link)
            return
        self._note(What.CLOSED, number, note="reset" if how == "reset" else "")
        link.ended = True

    def _check(self) -> None:
        """A good echo beside the open connections."""
        link = _Link(self._good())
        exchange = GoodEcho(self._learned)
        while (data := exchange.next(link.pdus.next())) is not None:
            if data:
                link.peer.association.receive_data(data)
            before = link.pdus.count
            link.peer.react()
            while buffers := link.peer.association.data_to_send():
                link.pdus.feed(b"".join(map(bytes, buffers)))
                link.peer.react()
            if link.pdus.count == before and not data:
                break
        self._note(What.UNANSWERED if exchange.why else What.CHECKED, -1, note=exchange.why)

    def close(self) -> None:
        """Closes every connection that is still open."""
        for number, link in self._links.items():
            if not link.ended:
                self._note(What.CLOSED, number, note="the conversation is over")
                link.ended = True
