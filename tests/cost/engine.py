"""The engine alone, in this process: memory as tracemalloc counts it, processor time of a second run without it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from dicos_proto import dimse
from dicos_proto.association import Association
from dicos_proto.conversation.exchange import response_to
from dicos_proto.data.checker import Checker
from dicos_proto.data.datasets import DataSetError, convert, decode, decode_object
from dicos_proto.dimse.events import MessageData, MessageStart
from dicos_proto.limits import Limits
from dicos_proto.upper_layer.events import Closed, ProviderAbort
from dicos_proto.upper_layer.machine import State
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu_types import AssociateRequest, ReleaseRequest
from dicos_proto.upper_layer.policy import AcceptPolicy, Roles
from tests.cost import hostile, victims
from tests.cost.contents import CONTENTS, CT, INSTANCE, Content
from tests.cost.inputs import OPERATIONS, Asked, Input, request
from tests.cost.measuring import InProcess

RECEIVED_AT_ONCE: Final = 64 << 10
"""Number of bytes for each call of `receive_data`."""
SHORTEST: Final = 8
"""The smallest Maximum Length that is accepted here, to measure small PDUs; the default is 512."""


class _OfContent(InProcess):
    side = "content"

    def takes(self, given: Any) -> bool:
        return True

    def take(self, encoded: bytes, given: Content) -> None:
        raise NotImplementedError

    def run(self, given: Content, size: int) -> Callable[[], int]:
        encoded = given.make(int(size * given.share))

        def run() -> int:
            with suppress(DataSetError):
                self.take(encoded, given)
            return len(encoded)

        self.take(CONTENTS[0].make(100), CONTENTS[0])  # late imports
        return run


class Decoding(_OfContent):
    """`datasets.decode`, reading each value."""

    name = "datasets.decode"

    def take(self, encoded: bytes, given: Content) -> None:
        convert(decode(encoded, given.syntax))


class DecodingObject(_OfContent):
    """`datasets.decode_object`, reading each value."""

    name = "datasets.decode_object"

    def take(self, encoded: bytes, given: Content) -> None:
        convert(decode_object(encoded, given.syntax))


class Checking(_OfContent):
    """`Checker`, fed as by a provider."""

    name = "Checker"

    def take(self, encoded: bytes, given: Content) -> None:
        checker = Checker(given.syntax, CT, INSTANCE, Limits())
        for start in range(0, len(encoded), RECEIVED_AT_ONCE):
            checker.feed(memoryview(encoded)[start : start + RECEIVED_AT_ONCE])
        checker.finish()


class EngineProvider(InProcess):
    """`Association.acceptor`, whose user takes every event and keeps none."""

    name, side = "engine, provider", "user"
    POLICY = AcceptPolicy(contexts=victims.SERVED, roles={CT: Roles(scu=True, scp=True)}, peer_max_length=SHORTEST)

    def takes(self, given: Input) -> bool:
        return given.reads and given.connections == 1 and given.operation != "set"

    def run(self, given: Input, size: int) -> Callable[[], int]:
        pieces: list[bytes] = []
        if given.opening is not None:
            pieces += given.opening(size)
        else:
            pieces.append(request(given.max_length, *given.user_items))
            pieces += given.then(size) if given.then is not None else ()
        stream = b"".join(pieces)
        at_once = 1 if given.name == "segments" else RECEIVED_AT_ONCE
        return lambda: self._run(stream, at_once, size)

    def _run(self, stream: bytes, at_once: int, size: int) -> int:
        association = Association.acceptor(limits=Limits(peer_max_length=SHORTEST))
        sent = 0
        for start in range(0, len(stream), at_once):
            association.receive_data(bytes(stream[start : start + at_once]))
            sent += self._answer(association, size)
            if association.wants_close:
                break
        return len(stream) + sent

    def _answer(self, association: Association, size: int) -> int:
        sent = 0
        while (event := association.next_event()) is not None and not isinstance(event, Closed):
            match event:
                case AssociateRequest():
                    association.send(negotiate(event, self.POLICY))
                case MessageStart(command=dimse.CEchoRequest()):
                    association.send(response_to(event, 0))
                case MessageStart(command=dimse.CGetRequest()):
                    sent += _send(association, 3, size)
                case _:
                    pass
            sent += sum(map(len, association.data_to_send()))
        return sent


def _send(association: Association, context: int, size: int) -> int:
    """A C-STORE of this size, passed at once; the PDUs are taken as they are cut, and discarded."""
    if context not in association.contexts:
        return 0
    store = dimse.CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid=INSTANCE)
    association.send(MessageStart(context=context, command=store, has_data=True))
    association.send(MessageData(context=context, data=bytes(size & ~1), last=True))
    sent = 0
    while taken := association.data_to_send():
        sent += sum(map(len, taken))
    return sent


class EngineUser(InProcess):
    """`Association.requestor`, which has sent the request that the input answers, takes every event and keeps none."""

    name, side = "engine, user", "provider"

    def takes(self, given: Input) -> bool:
        return given.reads

    def run(self, given: Input, size: int) -> Callable[[], int]:
        by_class = {context.abstract_syntax: context.id for context in victims.CONTEXTS}
        sop_class = OPERATIONS[given.operation]
        asked = AssociateRequest(
            called_aet="A", calling_aet="B", contexts=victims.CONTEXTS, user_information=victims.INFORMATION
        )
        more = b"" if given.extra is None else given.extra(size)
        accept = hostile.accept(asked, given, more)
        found = Asked(by_class[sop_class], 1, sop_class, by_class[CT])
        stream = b"".join(given.then(size, found)) if given.then is not None else b""
        return lambda: self._run(asked, accept, stream, given, found, size)

    def _run(self, asked: AssociateRequest, accept: bytes, stream: bytes, given: Input, found: Asked, size: int) -> int:
        association = Association.requestor(asked, limits=Limits(peer_max_length=SHORTEST))
        association.data_to_send()
        _fed(association, accept)
        if association.state is not State.Sta6:
            return len(accept)
        sent = 0
        if given.asked_for:
            sent = _send(association, found.context, size)
        else:
            command, has_data = _request(given.operation, found)
            association.send(MessageStart(context=found.context, command=command, has_data=has_data))
            if has_data:
                association.send(MessageData(context=found.context, data=victims.PATIENT, last=True))
        for start in range(0, len(stream), RECEIVED_AT_ONCE):
            if not _fed(association, stream[start : start + RECEIVED_AT_ONCE]):
                break
        return len(accept) + len(stream) + sent


def _fed(association: Association, data: bytes) -> bool:
    """Take all events and keep none. Returns False after the last one."""
    association.receive_data(bytes(data))
    while (event := association.next_event()) is not None:
        if isinstance(event, Closed | ProviderAbort | ReleaseRequest):
            return False
        association.data_to_send()
    return not association.wants_close


def _request(operation: str, found: Asked) -> tuple[Any, bool]:
    uid = found.sop_class
    match operation:
        case "echo":
            return dimse.CEchoRequest(message_id=1, affected_sop_class_uid=uid), False
        case "store":
            return dimse.CStoreRequest(
                message_id=1, affected_sop_class_uid=uid, affected_sop_instance_uid=INSTANCE
            ), True
        case "find":
            return dimse.CFindRequest(message_id=1, affected_sop_class_uid=uid), True
        case "get":
            return dimse.CGetRequest(message_id=1, affected_sop_class_uid=uid), True
        case _:
            return dimse.CMoveRequest(message_id=1, affected_sop_class_uid=uid, move_destination="SOMEBODY"), True


def entries() -> list[InProcess]:
    return [EngineProvider(), EngineUser(), Decoding(), DecodingObject(), Checking()]
