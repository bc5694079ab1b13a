"""Our own engine as a peer in memory: a small provider and a small user on top of `Association`.

Knows: what a provider answers, what a user asks. Must not know: how bytes are carried (`memory`), scenarios.

The provider has verification, storage that checks data sets, and queries that find nothing; the user echoes, stores,
retrieves and releases. Both do what the standard says with everything else, since the engine does.

Invariants: the same input gives the same output; nothing of the other side raises an error.
"""

from __future__ import annotations

from typing import Final, Protocol

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
from dicos_proto.tolerance import STRICT, Tolerance
from dicos_proto.upper_layer.events import Closed
from dicos_proto.upper_layer.negotiation import UNCOMPRESSED, negotiate, number_contexts, propose_roles
from dicos_proto.upper_layer.pdu_types import (
    AssociateAccept,
    AssociateRequest,
    OperationsWindow,
    ReleaseRequest,
    ReleaseResponse,
    UserInformation,
)
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_proto.wire import Wire

from .knowledge import Accepted, Learned
from .objects import composite, query, uid

__all__ = ["LEARNED", "POLICY", "Engine", "Provider", "User"]

STUDY_FIND, STUDY_MOVE, STUDY_GET = uids.STUDY_ROOT_FIND, uids.STUDY_ROOT_MOVE, uids.STUDY_ROOT_GET
POLICY: Final = AcceptPolicy(
    contexts={
        uids.VERIFICATION: UNCOMPRESSED,
        uids.CT_IMAGE_STORAGE: (*UNCOMPRESSED, uids.DEFLATED_EXPLICIT_VR_LE, uids.EXPLICIT_VR_BE),
        STUDY_FIND: UNCOMPRESSED,
        STUDY_GET: UNCOMPRESSED,
        STUDY_MOVE: UNCOMPRESSED,
    },
    max_length=16_384,
    window=OperationsWindow(invoked=16, performed=1),
)
"""The policy of the provider in memory."""


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
"""The knowledge of a campaign against it."""


class Engine(Protocol):
    """One side of one association, which acts by itself."""

    @property
    def association(self) -> Wire:
        """The wire of the engine's association: bytes, ends and deadlines."""

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
