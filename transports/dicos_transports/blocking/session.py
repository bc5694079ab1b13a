"""The session and its requests as ordinary methods and iterators: the face of `sessions.session` for blocking code.

Most methods run a coroutine of the one session over a driver that waits inside the call (`sessions.finished`) and do
nothing else. `store_many`, `data`, `each` and iteration read a stream of the engine (`iterated`),
without a coroutine for each result. `respond` sends at once if nothing has to be waited for. `store` and `store_many`
first refuse sources that would have to be awaited. Each method has the docstring and the parameters of the method it
stands for, except for such sources.

Knows: which names the face has. Must not know: which flow is meant.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from dicos_proto import dimse
from dicos_proto.arguments import check_kind
from dicos_proto.conversation.feed import STARVED, Data, PushSource
from dicos_proto.conversation.flows import Flow, Need
from dicos_proto.data.datasets import Content
from dicos_proto.registry import status
from dicos_proto.services import query, retrieve, storage
from dicos_proto.services.performing import ProviderOperation
from dicos_proto.services.query import Finding
from dicos_proto.services.retrieve import Getting, Moving
from dicos_proto.services.storage import Instance
from dicos_proto.wire import Buffer

from ..sessions import session as awaiting
from ..sessions.base import BaseSession
from ..sessions.finished import documented, finished, passed, waited
from ..sessions.iterating import Iteration, Op, at_hand
from ..sessions.received import Described, P, answer_to, answered_now
from .driver import Driver

__all__ = [
    "Answers",
    "PeerRequest",
    "EchoRequest",
    "FindRequest",
    "GetRequest",
    "MoveRequest",
    "NormalizedRequest",
    "Request",
    "Session",
    "StoreRequest",
]

T = TypeVar("T")


class Session(BaseSession):
    """One association over one socket. Made by `connect`, `accept` and `serve`. One thread at a time may use it.

    Iterating it gives the peer's requests. As a context manager, it releases the association at the end of the block,
    and aborts it if the block raises or leaves a message incomplete.
    """

    def __init__(self, awaited: awaiting.Session) -> None:
        """`awaited`: the session behind it. Raises TypeError for anything else, and if its driver is not one of
        `blocking`."""
        check_kind(awaited, "Session({})", awaiting.Session, hint="; connect, accept and serve make sessions")
        if not isinstance(awaited.driver, Driver):
            raise TypeError(f"a blocking session over a {type(awaited.driver).__name__}")
        self.awaited = awaited
        self.driver = awaited.driver
        self.carrier = awaited.carrier
        self.association = awaited.association
        self.exchange = awaited.exchange
        self.layer = awaited.layer
        self.peer = awaited.peer
        self.requests = awaited.requests

    # -- user side -----------------------------------------------------------------------------------------------

    echo = waited(awaiting.Session.echo)

    @documented(awaiting.Session.store)
    def store(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax: str,
        data: Data,
        *,
        priority: int = dimse.PRIORITY_MEDIUM,
    ) -> dimse.DimseResponse:
        if isinstance(data, AsyncIterable | PushSource):
            raise TypeError(f"a data set in {type(data).__name__}, whose pieces are awaited, in a blocking session")
        return finished(self.awaited.store(sop_class_uid, sop_instance_uid, transfer_syntax, data, priority=priority))

    @documented(awaiting.Session.store_many)
    def store_many(
        self, instances: Iterable[Instance], *, priority: int = dimse.PRIORITY_MEDIUM, ahead: bool = False
    ) -> Iterator[storage.Outcome]:
        if isinstance(instances, AsyncIterable):
            raise TypeError("instances that are awaited, in a blocking session")
        source = at_hand(instances, "a blocking session")
        stores = storage.StoreMany(self.exchange, source, priority=priority, ahead=ahead)
        return iterated(self.driver, Iteration(self.awaited, stores.outcomes(), sends=True))

    @documented(awaiting.Session.find)
    def find(
        self, sop_class_uid: str, identifier: Content, *, priority: int = dimse.PRIORITY_MEDIUM
    ) -> Answers[query.Find, query.Match]:
        return Answers(self, self.awaited.find(sop_class_uid, identifier, priority=priority))

    @documented(awaiting.Session.move)
    def move(
        self, sop_class_uid: str, destination: str, identifier: Content, *, priority: int = dimse.PRIORITY_MEDIUM
    ) -> Answers[retrieve.Move, retrieve.Counters]:
        return Answers(self, self.awaited.move(sop_class_uid, destination, identifier, priority=priority))

    @documented(awaiting.Session.get)
    def get(
        self, sop_class_uid: str, identifier: Content, *, priority: int = dimse.PRIORITY_MEDIUM
    ) -> Answers[retrieve.Get, StoreRequest]:
        answers = self.awaited.get(sop_class_uid, identifier, priority=priority)
        return Answers(self, answers, StoreRequest)

    n_create = waited(awaiting.Session.n_create)
    n_set = waited(awaiting.Session.n_set)
    n_get = waited(awaiting.Session.n_get)
    n_action = waited(awaiting.Session.n_action)
    n_delete = waited(awaiting.Session.n_delete)
    n_event_report = waited(awaiting.Session.n_event_report)
    commit = waited(awaiting.Session.commit)
    next_report = waited(awaiting.Session.next_report)

    # -- provider side -------------------------------------------------------------------------------------------

    @documented(awaiting.Session.__aiter__)
    def __iter__(self) -> Iterator[PeerRequest]:
        for found in iterated(self.driver, aiter(self.awaited)):
            yield _FACES[type(found)](self, found)

    # -- the end -------------------------------------------------------------------------------------------------

    release = waited(awaiting.Session.release)
    abort = waited(awaiting.Session.abort)
    close = passed(awaiting.Session.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        finished(self.awaited.__aexit__(kind, error, trace))

    # -- inside --------------------------------------------------------------------------------------------------

    run = waited(awaiting.Session.run)

    @documented(awaiting.Session.each)
    def each(self, following: Callable[[], Flow[T | None]]) -> Iterator[T]:
        return iterated(self.driver, self.awaited.each(following))


def iterated(driver: Driver, iteration: Iteration[T]) -> Iterator[T]:
    """Iterates over the results of a stream in ordinary code."""
    session, stream, sends = iteration.session, iteration.stream, iteration.sends
    association = session.association
    while True:
        owed = None
        try:
            step: Any = next(stream, None)
            if isinstance(step, Need):
                owed = iteration.owes
                step = driver.wait(stream, step, iteration.interruptible)
            elif sends and association.bytes_queued:
                driver.flush()
            if step is STARVED:
                step = finished(iteration.advance(STARVED))
        except BaseException as error:
            finished(iteration.fail(error, owed))
            raise
        if step is None:
            return
        yield step
        del step  # for example a view of a receive buffer, which must not be kept during the next wait


class Answers(Generic[Op, T]):
    __doc__ = awaiting.Answers.__doc__

    def __init__(
        self, session: Session, awaited: awaiting.Answers[Op, Any], kind: Callable[[Session, Any], T] | None = None
    ) -> None:
        """`kind`: a request of `blocking`, if the answers are requests."""
        self.session = session
        self.awaited = awaited
        self.operation = awaited.operation
        self._kind = kind

    def __iter__(self) -> Iterator[T]:
        found, kind = iterated(self.session.driver, aiter(self.awaited)), self._kind
        return found if kind is None else (kind(self.session, one) for one in found)

    @property
    def response(self) -> dimse.DimseResponse | None:
        """The final response, with its status; None until the iteration has come to its end."""
        return self.awaited.response

    @documented(awaiting.Answers.cancel)
    def cancel(self) -> None:
        self.awaited.cancel()


class Request(Described[Session, P], Generic[P]):
    __doc__ = awaiting.Request.__doc__

    __slots__ = ("awaited", "performing", "session")

    def __init__(self, session: Session, awaited: awaiting.Request[P]) -> None:
        self.session = session
        self.awaited = awaited
        self.performing = awaited.performing

    def __repr__(self) -> str:
        return repr(self.awaited)

    @documented(awaiting.Request.respond)
    def respond(self, code: int = status.SUCCESS, comment: str | None = None, given: Content | None = None) -> None:
        if answered_now(self.awaited, code, comment, given):
            self.session.driver.flush()
        else:
            finished(self.awaited.session.run(answer_to(self.awaited, code, comment, given)))

    read = waited(awaiting.Request.read)
    attributes = waited(awaiting.Request.attributes)

    @documented(awaiting.Request.data)
    def data(self) -> Iterator[Buffer]:
        return iterated(self.session.driver, self.awaited.data())

    check = passed(awaiting.Request.check)


class EchoRequest(Request[ProviderOperation]):
    __doc__ = awaiting.EchoRequest.__doc__
    __slots__ = ()


class StoreRequest(Request[ProviderOperation]):
    __doc__ = awaiting.StoreRequest.__doc__
    __slots__ = ()

    awaited: awaiting.StoreRequest

    @property
    def get(self) -> retrieve.Get | None:
        """The C-GET whose sub-operation it is, if it is one."""
        return self.awaited.get

    @property
    def sop_instance_uid(self) -> str:
        """Affected SOP Instance UID, as the peer sent it: not for use in a path."""
        return super().sop_instance_uid or ""


class FindRequest(Request[Finding]):
    __doc__ = awaiting.FindRequest.__doc__
    __slots__ = ()

    awaited: awaiting.FindRequest

    match = waited(awaiting.FindRequest.match)
    end = waited(awaiting.FindRequest.end)


class GetRequest(Request[Getting]):
    __doc__ = awaiting.GetRequest.__doc__
    __slots__ = ()

    awaited: awaiting.GetRequest

    send = waited(awaiting.GetRequest.send)


class MoveRequest(Request[Moving]):
    __doc__ = awaiting.MoveRequest.__doc__
    __slots__ = ()

    awaited: awaiting.MoveRequest

    @documented(awaiting.MoveRequest.send)
    def send(self, session: Session, instances: Iterable[Instance], total: int) -> int:
        return finished(self.awaited.send(session.awaited, instances, total))


class NormalizedRequest(Request[ProviderOperation]):
    __doc__ = awaiting.NormalizedRequest.__doc__
    __slots__ = ()


PeerRequest = EchoRequest | StoreRequest | FindRequest | GetRequest | MoveRequest | NormalizedRequest

_FACES: Final[dict[type, Callable[..., Any]]] = {
    awaiting.EchoRequest: EchoRequest,
    awaiting.StoreRequest: StoreRequest,
    awaiting.FindRequest: FindRequest,
    awaiting.GetRequest: GetRequest,
    awaiting.MoveRequest: MoveRequest,
    awaiting.NormalizedRequest: NormalizedRequest,
}
