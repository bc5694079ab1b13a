"""What the subcommands that ask for associations share."""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from dicos_proto import uids
from dicos_proto.flows import AssociationError
from dicos_proto.pdu_types import ProposedContext

from ..addresses import show_address
from ..blocking import Session, connect
from .options import timeouts, tolerance
from .output import Output, plural
from .tls import client_tls

PATIENCE: Final = 2.0
"""Seconds that a peer gets to take the A-ABORT of an interrupted command: one that stalls is why people interrupt."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, which aborts the association, and once more when that takes too long."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield  # whoever started this has other plans
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        raise KeyboardInterrupt

    def give_up(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    alarm = signal.signal(signal.SIGALRM, give_up)
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGALRM, alarm)


def open_session(options: argparse.Namespace, out: Output, contexts: tuple[ProposedContext, ...]) -> Session:
    """An association with the peer that the options name; what was negotiated is told. Raises `AssociationError`."""
    where = (options.host, options.port)
    tls = client_tls(options, out)
    out.detail(f"connecting to {show_address(where)}, {options.aet!a} calls {options.called_aet!a}")
    session = connect(
        where,
        contexts,
        called_aet=options.called_aet,
        calling_aet=options.aet,
        max_length=options.max_pdu,
        application_context=options.application_context,
        timeouts=timeouts(options),
        tolerance=tolerance(options),
        tls=tls,
        trace=out.trace(show_address(where)) if out.debug and not out.quiet else None,
    )
    try:
        tell_contexts(session, out)
    except BaseException:  # nobody has the session yet
        session.abort()
        raise
    return session


def tell_contexts(session: Session, out: Output) -> None:
    """What was proposed and what became of it."""
    out.told = 0
    tell_deviations(session, out)
    accepted, refused = session.contexts.values(), session.refused
    agreement = session.association.agreement
    most = agreement.peer_max_length if agreement else 0
    out.detail(
        f"association with {session.peer}: {len(accepted)} of {plural(len(accepted) + len(refused), 'context')} "
        f"accepted, P-DATA-TF of {f'up to {most} bytes' if most else 'any length'}"
    )
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


def tell_deviations(session: Session, out: Output) -> None:
    """What of the peer's deviations was let through, each once."""
    for one in session.deviations[out.told :]:
        out.info(f"{session.peer}: {one}")
        out.event("deviation", peer=session.peer, flag=one.name, detail=one.detail, clause=one.clause)
    out.told = len(session.deviations)


def leave(session: Session, out: Output) -> None:
    """Release; a peer that does not see it through changes nothing of what was done before."""
    try:
        session.release()
        tell_deviations(session, out)
    except AssociationError as error:
        out.detail(f"the release did not go well: {error}")
