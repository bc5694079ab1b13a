"""The user side of the subcommands: requests an association, reports what was negotiated, and ends it."""

from __future__ import annotations

import argparse
from types import TracebackType
from typing import Self

from dicos_proto.conversation.flows import AssociationAborted, AssociationError, AssociationRejected
from dicos_proto.errors import ProtocolError
from dicos_proto.registry import uids
from dicos_proto.upper_layer.events import ProviderAbort
from dicos_proto.upper_layer.pdu_types import (
    OperationsWindow,
    ProposedContext,
    RejectResult,
    RoleSelection,
    UserInformation,
)

from ..addresses import show_address
from ..sessions.base import ConnectionFailed
from ..sessions.channel import ServerStopping
from ..sessions.session import Session
from .options import max_length, timeouts, tolerance
from .output import Output, plural
from .runtimes.runtime import runtime
from .tls import TLSOptions


class Caller:
    """Requests associations with the peer that the options name, over the transport that they name."""

    def __init__(self, options: argparse.Namespace, out: Output) -> None:
        """Ends the command if the TLS options cannot be used."""
        self.options = options
        self.out = out
        self.runtime = runtime(options)
        self.peer = show_address((options.host, options.port))
        self.tls = TLSOptions(options, out)
        self._client_tls = self.tls.client

    async def open(
        self,
        contexts: tuple[ProposedContext, ...],
        *,
        window: int = 1,
        roles: tuple[RoleSelection, ...] = (),
    ) -> Contact:
        """Establish an association and report what was negotiated. Raises `AssociationError`.

        `window`: number of outstanding operations to propose, 0 for no limit.
        """
        options, out = self.options, self.out
        out.detail(f"connecting to {self.peer} as {options.aet!a}, calling {options.called_aet!a}")
        asked = UserInformation(
            max_length=max_length(options),
            window=None if window == 1 else OperationsWindow(invoked=window, performed=1),  # PS3.7 D.3.3.3
            roles=roles,
        )
        session = await self.runtime.connect(
            (options.host, options.port),
            contexts,
            called_aet=options.called_aet,
            calling_aet=options.aet,
            application_context=options.application_context,
            user_information=asked,
            timeouts=timeouts(options),
            tolerance=tolerance(options),
            tls=self._client_tls,
            source_address=options.source_address,
            keepalive=options.keepalive,
            trace=out.trace(self.peer) if out.debug and not out.quiet else None,
        )
        contact = Contact(session, out)
        if asked.window is not None and session.request.user_information.window is None:
            window = 1
            out.info(
                f"{session.peer}: one operation at a time, because this peer closes the connection if more are proposed"
            )
            out.event("window_not_offered", peer=session.peer)
        try:
            contact.tell_contexts(window)
        except BaseException:  # the caller does not have the session yet
            await session.abort()
            raise
        return contact

    def passes(self, error: ProtocolError, *, established: bool) -> bool:
        """Return True if another attempt may succeed. `established`: the error ended an existing association.

        True for a connection that failed or was lost, an abort, a deadline, and a transient rejection. False for a
        permanent rejection, an unknown host name, and a certificate that is not accepted.
        """
        if isinstance(error, AssociationRejected):
            return error.reject.result == RejectResult.TRANSIENT
        if isinstance(error, ConnectionFailed):
            return _may_be_there_later(error)
        if isinstance(error, ServerStopping) or not isinstance(error, AssociationError):
            return False
        if self._client_tls is None or established:
            return True
        from ..tls import TLSError

        event = error.event if isinstance(error, AssociationAborted) else None
        return not (isinstance(event, ProviderAbort) and isinstance(event.error, TLSError))


class Contact:
    """An association of a command. As a context manager it is released at the end, or aborted after an exception."""

    def __init__(self, session: Session, out: Output) -> None:
        self.session = session
        self._out = out
        self._told = 0

    def tell_contexts(self, window: int) -> None:
        """Report the proposed presentation contexts and their results."""
        session, out = self.session, self._out
        self.tell_deviations()
        accepted, refused = session.contexts.values(), session.refused
        agreement = session.association.terms.agreement
        most = agreement.peer_max_length if agreement else 0
        granted = agreement.invoke if agreement else 1
        out.detail(
            f"association with {session.peer}: {len(accepted)} of {plural(len(accepted) + len(refused), 'context')} "
            f"accepted, maximum PDU length {f'{most} bytes' if most else 'unlimited'}"
        )
        if window != 1:
            out.detail(f"  outstanding operations: {window or 'no limit'} proposed, {granted or 'no limit'} granted")
        if session.tls is not None:
            out.detail(f"  {session.tls}")
            out.event("tls", protocol=session.tls.protocol, cipher=session.tls.cipher, subject=session.tls.subject,
                      verified=session.tls.verified, resumed=session.tls.resumed)  # fmt: skip
        for one in accepted:
            out.detail(
                f"  {one.id:3} accepted: {uids.name_of(one.abstract_syntax)} with {uids.name_of(one.transfer_syntax)}"
            )
        for other in refused:
            out.detail(f"  {other.id:3} refused: {other}")
        out.event(
            "association",
            peer=session.peer,
            window=granted,
            accepted=[
                {"id": one.id, "abstract_syntax": one.abstract_syntax, "transfer_syntax": one.transfer_syntax}
                for one in accepted
            ],
            refused=[
                {
                    "id": other.id,
                    "abstract_syntax": other.abstract_syntax,
                    "transfer_syntaxes": other.transfer_syntaxes,
                    "result": other.result,
                }
                for other in refused
            ],
        )

    def tell_deviations(self) -> None:
        """Report each deviation of the peer that was accepted, once."""
        session, out = self.session, self._out
        for one in session.deviations[self._told :]:
            out.info(f"{session.peer}: {one}")
            out.event("deviation", peer=session.peer, flag=one.name, detail=one.detail, clause=one.clause)
        self._told = len(session.deviations)

    async def leave(self) -> None:
        """Release the association. If that fails, what was done before is still valid."""
        if not self.session.established:
            await self.session.abort()
            return
        try:
            await self.session.release()
            self.tell_deviations()
        except AssociationError as error:
            self._out.detail(f"release failed: {error}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.leave()
        else:
            await self.session.abort()


def _may_be_there_later(error: ConnectionFailed) -> bool:
    import socket

    cause = error.__cause__
    if isinstance(cause, socket.gaierror):
        return cause.errno == socket.EAI_AGAIN
    return isinstance(cause, OSError)
