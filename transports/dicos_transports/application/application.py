"""`Application`: an application entity as a set of functions, one for each service, in whichever adapter serves it.

    app = Application("ARCHIVE")

    @app.on_store()
    def store(asked: StoreAsked) -> None:
        asked.save(folder)

    @app.on_find(uids.STUDY_ROOT_FIND)
    def find(asked: Asked) -> Iterator[Dataset]:
        yield from matches(asked.dataset)

    with app.serve(("127.0.0.1", 11112)) as server:
        server.wait()

Each association has a thread of its own, so one function may run in several threads at once.

In an event loop: `trio.serve(where, app.async_handler, policy=app.policy)`, and `asyncio.serve` likewise. There,
functions may be coroutine functions and asynchronous generators. A plain function runs in the thread of the loop, and
everything else waits for it; with `Application(threads=True)` it runs in a worker thread.

A function that raises `Refused(code, comment)` refuses its request. Any other exception, and an invalid answer, is
logged to "dicos.application" and answered by 0x0110, processing failure; the association goes on.

Knows: which function is registered for what, and what a peer may propose. Must not know: how a request is answered
(`answering`), how an adapter waits (`talking`).
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from inspect import isasyncgenfunction, iscoroutinefunction
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, Unpack

from dicos_proto import dimse
from dicos_proto.arguments import check_mapping, check_several, kind_of
from dicos_proto.data.datasets import Content
from dicos_proto.registry import uids
from dicos_proto.services.commitment import CommitmentReport, Failure
from dicos_proto.services.serving import Refused
from dicos_proto.services.storage import Instance
from dicos_proto.upper_layer.negotiation import UNCOMPRESSED
from dicos_proto.upper_layer.pdu_types import ProposedContext
from dicos_proto.upper_layer.policy import AcceptPolicy, Roles

from .. import blocking
from ..addresses import Address, Listening
from ..blocking import server as blocking_server
from ..blocking.adapter import connected
from ..files.part10 import Part10File
from ..options import ConnectOptions, RequestOptions, check_tls
from ..serving.options import Identify, ServeOptions
from ..sessions import session as awaiting
from ..sessions.base import DEFAULT_AET
from ..sessions.finished import finished
from ..sessions.offloading import in_trio
from .answering import answer
from .asked import Asked, CommitAsked, Registered, Reply, SessionRequest, StoreAsked, WrongAnswer
from .committing import Left
from .retrieving import instance
from .talking import Responder

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from ..tls.layer import ClientTLS

__all__ = [
    "Application",
    "Asked",
    "CommitAsked",
    "Failure",
    "Refused",
    "Reply",
    "StoreAsked",
    "WrongAnswer",
    "instance",
]

Status = int | Reply | None
F = TypeVar("F", bound=Callable[..., object])
StoreFunction = TypeVar("StoreFunction", bound="Callable[[StoreAsked], Status | Awaitable[Status]]")
StreamFunction = TypeVar(
    "StreamFunction",
    bound="Callable[[blocking.StoreRequest], Status] | Callable[[awaiting.StoreRequest], Awaitable[Status]]",
)
EchoFunction = TypeVar("EchoFunction", bound="Callable[[Asked], Status | Awaitable[Status]]")
FindFunction = TypeVar(
    "FindFunction",
    bound="Callable[[Asked], Iterable[Content] | AsyncIterable[Content] | Awaitable[Iterable[Content]]]",
)
RetrieveFunction = TypeVar(
    "RetrieveFunction",
    bound="Callable[[Asked], Iterable[int | Instance | Path | Part10File | Dataset]"
    " | AsyncIterable[int | Instance | Path | Part10File | Dataset]"
    " | Awaitable[Iterable[int | Instance | Path | Part10File | Dataset]]]",
)
CommitFunction = TypeVar(
    "CommitFunction",
    bound="Callable[[CommitAsked], Iterable[Failure] | CommitmentReport | AsyncIterable[Failure]"
    " | Awaitable[Iterable[Failure] | CommitmentReport | None] | None]",
)
NormalizedFunction = TypeVar(
    "NormalizedFunction", bound="Callable[[Asked], Status | Content | Awaitable[Status | Content]]"
)


class Application:
    """An application entity. `aet`: its title as a requestor; as an acceptor it answers to any title.

    `destinations`: AE title -> address, of the destinations of C-MOVE and of reports of storage commitment; it may be
    changed at any time. `tls`: for all associations that the application requests. `threads`: in an event loop, plain
    functions and generators run in worker threads.

    Register all functions before you serve. C-ECHO is answered without one.
    """

    def __init__(
        self,
        aet: str = DEFAULT_AET,
        *,
        destinations: Mapping[str, Address] | None = None,
        threads: bool = False,
        tls: ClientTLS | None = None,
    ) -> None:
        if destinations is not None:
            check_mapping(destinations, "Application(destinations={})", "AE titles to addresses")
        check_tls(tls, "Application", server=False)
        self.aet = aet
        self.destinations: dict[str, Address] = dict(destinations or {})
        self.threads = threads
        self.tls = tls
        self._functions: dict[tuple[str, str], Registered] = {}  # by the name of the request and the SOP class
        self._contexts: dict[str, tuple[str, ...]] = {uids.VERIFICATION: UNCOMPRESSED}
        self._sent: set[str] = set()  # SOP classes that it sends in answer to a C-GET
        self._reported: set[str] = set()  # SOP classes whose events it accepts from a requestor

    # -- registering ---------------------------------------------------------------------------------------------

    def on_store(
        self, *sop_classes: str, transfer_syntaxes: tuple[str, ...] = uids.TRANSFER_SYNTAXES, check: bool = True
    ) -> Callable[[StoreFunction], StoreFunction]:
        """C-STORE: the function receives a `StoreAsked` with the whole data set, and returns a status.

        Without `sop_classes`: all of storage. An object that is longer than `Limits.collected`, 64 MiB, is refused,
        0xA700, and so is one for which all associations together have no room (`ServerLimits.collected`);
        `on_store_stream` takes objects of any size. `check`: an object that is not a data set or is cut short is
        refused with 0xC000, one that is not the object that the command names with 0xA900, and the function does not
        receive it; unknown transfer syntaxes are not checked.
        """
        classes = sop_classes or uids.STORAGE_SOP_CLASSES
        return self._registrar(dimse.CStoreRequest, classes, transfer_syntaxes, check=check)

    def on_store_stream(
        self, *sop_classes: str, transfer_syntaxes: tuple[str, ...] = uids.TRANSFER_SYNTAXES, check: bool = True
    ) -> Callable[[StreamFunction], StreamFunction]:
        """C-STORE of objects of any size: the function receives the `StoreRequest` of the adapter and reads its data.

        It returns a status, None for success, or calls `respond` itself. In an event loop it is a coroutine function.
        `check` as for `on_store`: reading the data raises `Refused`, at its end at the latest. Do not catch it, keep
        nothing of the data, and the request is answered by it.
        """
        classes = sop_classes or uids.STORAGE_SOP_CLASSES
        return self._registrar(dimse.CStoreRequest, classes, transfer_syntaxes, stream=True, check=check)

    def on_find(self, *sop_classes: str) -> Callable[[FindFunction], FindFunction]:
        """C-FIND: the function yields identifiers, pydicom data sets or bytes, or returns a list of them.

        Each is sent at once. After a C-CANCEL the generator is closed. Without `sop_classes`: all of query.
        """
        return self._registrar(dimse.CFindRequest, sop_classes or uids.QUERY_SOP_CLASSES)

    def on_get(
        self,
        *sop_classes: str,
        sends: tuple[str, ...] = uids.STORAGE_SOP_CLASSES,
        transfer_syntaxes: tuple[str, ...] = uids.TRANSFER_SYNTAXES,
    ) -> Callable[[RetrieveFunction], RetrieveFunction]:
        """C-GET: the function returns a list of objects to send, or yields their number and then each object.

        An object is an `Instance`, a path or a pydicom data set; the last two are converted if necessary (`instance`).
        A plain generator is asked for the next object when there is room to send it; an asynchronous one is run to its
        end first. `sends`: SOP classes that may be sent, in `transfer_syntaxes`, to a peer that takes the role of their
        SCP. Without `sop_classes`: all of C-GET.
        """
        check_several(sends, "on_get(sends={})", "UIDs")
        check_several(transfer_syntaxes, "on_get(transfer_syntaxes={})", "UIDs")
        register = self._registrar(dimse.CGetRequest, sop_classes or uids.RETRIEVE_GET_SOP_CLASSES)
        _check_uids(sends)
        self._sent.update(sends)
        for uid in sends:
            self._support(uid, transfer_syntaxes)
        return register

    def on_move(self, *sop_classes: str) -> Callable[[RetrieveFunction], RetrieveFunction]:
        """C-MOVE: like `on_get`, but all objects are taken first, because the proposed contexts depend on all of them.

        A destination that is not among `destinations` is refused, 0xA801, and the function is not called; a
        destination with which no association can be made is refused, 0xA702. Without `sop_classes`: all of C-MOVE.
        """
        return self._registrar(dimse.CMoveRequest, sop_classes or uids.RETRIEVE_MOVE_SOP_CLASSES)

    def on_echo(self) -> Callable[[EchoFunction], EchoFunction]:
        """C-ECHO: the function returns a status, None for success."""
        return self._registrar(dimse.CEchoRequest, (uids.VERIFICATION,))

    def on_commit(self, *, apart: bool = False) -> Callable[[CommitFunction], CommitFunction]:
        """Storage commitment: the function receives a `CommitAsked`, and returns what is not committed [PS3.4 J].

        It returns a list of `Failure`, yields them, or returns None if everything is committed; or it returns the whole
        report that `CommitAsked.commitment.report` makes. The request has been answered before that: it was received.
        The report goes out on the association of the request; if the peer has released it or does not accept the report
        there, on a new one to the address of its AE title in `destinations`. If the function fails, nothing is
        committed: 0x0110 for each object, or the code of `Refused`. A report that cannot be delivered is logged.

        `apart`: use a new association whenever there is an address: some users accept reports nowhere else, and some
        that release at once are confused by a report that arrives meanwhile.
        """
        return self._registrar(dimse.NActionRequest, (uids.STORAGE_COMMITMENT_PUSH_MODEL,), commits=True, apart=apart)

    def on_n_create(self, *sop_classes: str) -> Callable[[NormalizedFunction], NormalizedFunction]:
        """N-CREATE: the function returns a data set, a status or a `Reply`, as for the other DIMSE-N operations.

        The instance to create is `Asked.sop_instance_uid`, a new UID if the request names none.
        """
        return self._registrar(dimse.NCreateRequest, _some(sop_classes, "on_n_create"))

    def on_n_set(self, *sop_classes: str) -> Callable[[NormalizedFunction], NormalizedFunction]:
        """N-SET."""
        return self._registrar(dimse.NSetRequest, _some(sop_classes, "on_n_set"))

    def on_n_get(self, *sop_classes: str) -> Callable[[NormalizedFunction], NormalizedFunction]:
        """N-GET of `Asked.tags`."""
        return self._registrar(dimse.NGetRequest, _some(sop_classes, "on_n_get"))

    def on_n_action(self, *sop_classes: str) -> Callable[[NormalizedFunction], NormalizedFunction]:
        """N-ACTION of `Asked.type_id`."""
        return self._registrar(dimse.NActionRequest, _some(sop_classes, "on_n_action"))

    def on_n_delete(self, *sop_classes: str) -> Callable[[NormalizedFunction], NormalizedFunction]:
        """N-DELETE."""
        return self._registrar(dimse.NDeleteRequest, _some(sop_classes, "on_n_delete"))

    def on_n_event_report(self, *sop_classes: str) -> Callable[[NormalizedFunction], NormalizedFunction]:
        """N-EVENT-REPORT of `Asked.type_id`, also from an SCP that is the requestor of the association."""
        classes = _some(sop_classes, "on_n_event_report")
        register = self._registrar(dimse.NEventReportRequest, classes)
        self._reported.update(classes)
        return register

    def _registrar(
        self,
        request: type[dimse.AnyRequest],
        sop_classes: Sequence[str],
        transfer_syntaxes: tuple[str, ...] = UNCOMPRESSED,
        *,
        stream: bool = False,
        check: bool = True,
        commits: bool = False,
        apart: bool = False,
    ) -> Callable[[F], F]:
        _check_uids(sop_classes)
        check_several(transfer_syntaxes, "transfer_syntaxes={}", "UIDs")

        def register(function: F) -> F:
            for uid in sop_classes:
                known = self._functions.get((request.NAME, uid))
                if known is not None:
                    raise ValueError(f"{request.NAME} of {uids.name_of(uid)} already has a function: {known.name}")
            for uid in sop_classes:
                self._functions[request.NAME, uid] = Registered(
                    function=function, stream=stream, check=check, commits=commits, apart=apart
                )
                self._support(uid, transfer_syntaxes)
            return function

        return register

    def _support(self, sop_class: str, transfer_syntaxes: tuple[str, ...]) -> None:
        known = self._contexts.get(sop_class, ())
        self._contexts[sop_class] = (*known, *(one for one in transfer_syntaxes if one not in known))

    # -- serving -------------------------------------------------------------------------------------------------

    @property
    def policy(self) -> AcceptPolicy:
        """The policy that follows from the functions: their SOP classes, and the roles that a requestor may take.

        To change it further: `dataclasses.replace(app.policy, called_aets=frozenset({app.aet}))`.
        """
        roles = {
            uid: Roles(scu=(dimse.CStoreRequest.NAME, uid) in self._functions, scp=True) for uid in sorted(self._sent)
        }
        roles |= {uid: Roles(scu=True, scp=True) for uid in sorted(self._reported)}
        return AcceptPolicy(contexts=dict(self._contexts), roles=roles)

    @property
    def handler(self) -> Callable[[blocking.Session], None]:
        """The handler for `blocking.serve`. Raises TypeError if a function has to be awaited."""
        for registered in self._functions.values():
            if iscoroutinefunction(registered.function) or isasyncgenfunction(registered.function):
                raise TypeError(f"{registered.name} has to be awaited: serve it by trio or asyncio (async_handler)")
        return self._handle

    @property
    def async_handler(self) -> Callable[[awaiting.Session], Awaitable[None]]:
        """For `trio.serve` and `asyncio.serve`. Raises TypeError if a plain function should read a stream."""
        for registered in self._functions.values():
            if registered.stream and not iscoroutinefunction(registered.function):
                raise TypeError(f"{registered.name} cannot await the data that it reads: make it a coroutine function")
        return self._handle_async

    def _handle(self, session: blocking.Session) -> None:
        talk = Responder(session.awaited, connected, self.tls, at_once=True)
        with suppress(Left):
            for request in session:
                finished(answer(talk, request, self._function_for(request), self.destinations))

    async def _handle_async(self, session: awaiting.Session) -> None:
        talk = Responder(session, _connected, self.tls, threads=self.threads)
        with suppress(Left):
            async for request in session:
                await answer(talk, request, self._function_for(request), self.destinations)

    def _function_for(self, request: SessionRequest) -> Registered | None:
        """The function for the SOP class that it names, or for the negotiated one, for example a meta SOP class."""
        for uid in (request.sop_class_uid, request.context.abstract_syntax):
            registered = self._functions.get((request.name, uid))
            if registered is not None:
                return registered
        return None

    def serve(
        self,
        where: Listening,
        *,
        policy: AcceptPolicy | None = None,
        identify: Identify | None = None,
        **options: Unpack[ServeOptions],
    ) -> blocking_server.Server:
        """`blocking.serve` with this handler, and this policy unless you give one. Raises as it does."""
        return blocking_server.serve(where, self.handler, policy=policy or self.policy, identify=identify, **options)

    def connect(
        self, where: Address, contexts: tuple[ProposedContext, ...], **options: Unpack[RequestOptions]
    ) -> blocking.Session:
        """`blocking.connect` with the title of this application, over its `tls` if it has one. Raises as it does."""
        return blocking.connect(where, contexts, calling_aet=self.aet, tls=self.tls, **options)


async def _connected(
    where: Address, contexts: tuple[ProposedContext, ...], **options: Unpack[ConnectOptions]
) -> awaiting.Session:
    """`connect` of the event loop that runs."""
    if in_trio():
        from .. import trio

        return await trio.connect(where, contexts, **options)
    from .. import asyncio

    return await asyncio.connect(where, contexts, **options)


def _some(sop_classes: tuple[str, ...], name: str) -> tuple[str, ...]:
    if not sop_classes:
        raise ValueError(f"{name}() without a SOP class; at least one is needed")
    return sop_classes


def _check_uids(sop_classes: Iterable[object]) -> None:
    for uid in sop_classes:
        if not isinstance(uid, str):
            hint = "; with parentheses: @app.on_store()" if callable(uid) else ""
            raise TypeError(f"expected a SOP class UID, not {kind_of(uid)}{hint}")
        if not uids.is_valid(uid):
            raise ValueError(f"{uid!a} is not a UID [PS3.5 9.1]")
