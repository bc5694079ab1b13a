"""`dicos movescu`: has a peer send objects to a third one (C-MOVE), or to this command, which then makes files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from time import perf_counter
from typing import TYPE_CHECKING, Final

from dicos_proto import propose, uids
from dicos_proto.datasets import DataSetError
from dicos_proto.errors import LocalProtocolError
from dicos_proto.exchange import DataSetTooLong
from dicos_proto.flows import AssociationError, ContextNotAccepted
from dicos_proto.negotiation import UNCOMPRESSED, AcceptPolicy
from dicos_proto.pdu_types import OperationsWindow

from ..addresses import ListenFailed
from ..awaiting import EchoRequest, Session, StoreRequest
from . import FAILED, INTERRUPTED, NO_ASSOCIATION, OK, USAGE
from .options import LOOPBACK, port, timeouts, title, tolerance, user_parser
from .output import Output, plural, size
from .provider import Counts, logged
from .query import PRIORITIES, add_options, cancel, identifiers, transfer_syntax
from .receiving import Receiving, add_folder, fit_folder
from .retrieving import sum_up
from .tls import server_tls
from .user import Caller, Contact

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from ..tls import ServerTLS

ASSOCIATIONS: Final = 10
"""That the peer may have at the same time with the provider that receives."""
WINDOW: Final = 32
GRACE: Final = 5.0
"""Seconds for what is still being received when the peer says that all was sent."""


def main(words: Sequence[str]) -> int:
    parser = user_parser("movescu", "Have a peer send objects to another one, which it has to know (C-MOVE).")
    add_options(parser, "move")
    parser.add_argument("-aem", "--move-aet", type=title, metavar="TITLE",
                        help="whom to send them to (default: the own title)")  # fmt: skip
    parser.add_argument("--store-port", type=port, metavar="PORT",
                        help="receive here what is moved, 0 on a free port: the peer has to know the title and this "
                        "address")  # fmt: skip
    parser.add_argument("--bind", metavar="ADDRESS",
                        help=f"address to receive on, 0.0.0.0 for all (default: {LOOPBACK})")  # fmt: skip
    parser.add_argument("-x", "--transfer-syntax", type=transfer_syntax, action="append", default=[], metavar="UID",
                        help="with --store-port, accept this transfer syntax too, a private one say, by "
                        "UID or name: its data sets are kept as bytes, unchecked; may be given again")  # fmt: skip
    add_folder(parser)
    options = parser.parse_args(words)
    if options.bind is not None and options.store_port is None:
        parser.error("--bind without --store-port: it is the address to receive on, and nothing is received")
    if options.bind is None:
        options.bind = LOOPBACK
    out = Output(options)
    asked = identifiers(options, out, "move")
    if asked is None or (options.store_port is not None and not fit_folder(options, out)):
        return USAGE
    caller = Caller(options, out)
    receives = options.store_port is not None
    tls = server_tls(options, out) if receives else None
    with logged(out) if receives else nullcontext():
        return caller.runtime.run(lambda: _run(caller, options, asked, tls))


async def _run(caller: Caller, options: argparse.Namespace, asked: list[Dataset], tls: ServerTLS | None) -> int:
    """Move; with a provider of its own beside it, where that is wanted."""
    out = caller.out
    if options.store_port is None:
        return await _move(caller, options, asked)
    counts = Counts()
    receiving = Receiving(
        runtime=caller.runtime,
        out=out,
        counts=counts,
        folder=options.output_directory,
        overwrite=options.overwrite,
        fsync=options.fsync,
        check=options.check,
    )

    async def handle(session: Session) -> None:
        async for request in session:
            match request:
                case EchoRequest():
                    await request.respond()
                case StoreRequest():
                    await receiving.receive(request)
                case _:
                    out.detail(f"{session.peer}: {request.name} refused: not served here")

    syntaxes = tuple(dict.fromkeys((*uids.TRANSFER_SYNTAXES, *options.transfer_syntax)))
    storage = dict.fromkeys(uids.STORAGE_SOP_CLASSES, syntaxes)
    policy = AcceptPolicy(
        contexts=storage | {uids.VERIFICATION: UNCOMPRESSED},
        max_length=options.max_pdu,
        window=OperationsWindow(invoked=WINDOW, performed=1),
    )
    try:
        async with caller.runtime.serve(
            (options.bind, options.store_port),
            handle,
            policy=policy,
            timeouts=timeouts(options),
            tolerance=tolerance(options),
            associations=ASSOCIATIONS,
            per_address=ASSOCIATIONS,
            tls=tls,
            trace=out.trace if out.debug and not out.quiet else None,
        ) as server:
            out.detail(f"receiving on {server.address} as {_destination(options)!a}")
            out.event("listening", address=options.bind, port=server.port, on=server.address,
                      aet=_destination(options))  # fmt: skip
            status = await _move(caller, options, asked)
            await server.close(GRACE)
    except ListenFailed as error:
        out.error(str(error))
        return NO_ASSOCIATION
    out.info(f"received {plural(counts.stored, 'object')}, {size(counts.bytes)}"
             + (f"; {counts.failed} failed" if counts.failed else "")
             + (f"; {counts.incomplete} not received whole" if counts.incomplete else ""))  # fmt: skip
    out.event("received", stored=counts.stored, failed=counts.failed, incomplete=counts.incomplete, bytes=counts.bytes)
    return FAILED if status == OK and (counts.failed or counts.incomplete) else status


def _destination(options: argparse.Namespace) -> str:
    found: str = options.move_aet or options.aet
    return found


async def _move(caller: Caller, options: argparse.Namespace, asked: list[Dataset]) -> int:
    try:
        contact = await caller.open(propose([options.model]))
    except AssociationError as error:
        caller.out.error(str(error))
        return NO_ASSOCIATION
    status = OK
    async with contact:
        for identifier in asked:
            status = await _one(caller, contact, options, identifier)
            if status != OK:
                break
    if status == INTERRUPTED:
        raise KeyboardInterrupt
    return status


async def _one(caller: Caller, contact: Contact, options: argparse.Namespace, identifier: Dataset) -> int:
    out, session, begun = caller.out, contact.session, perf_counter()
    try:
        answers = session.move(options.model, _destination(options), identifier, priority=PRIORITIES[options.priority])
        async with caller.runtime.cancelling(cancel(session, answers)) as interrupt:
            while (counters := await session.run(answers.operation.next())) is not None:
                contact.tell_deviations()
                out.detail(
                    f"{counters.completed} of {counters.total} sub-operations completed, {counters.failed} failed, "
                    f"{counters.warning} with a warning"
                )
                out.event("progress", remaining=counters.remaining, completed=counters.completed,
                          failed=counters.failed, warning=counters.warning)  # fmt: skip
    except (AssociationError, ContextNotAccepted, DataSetError, DataSetTooLong, LocalProtocolError) as error:
        out.error(str(error))
        return FAILED
    contact.tell_deviations()
    result = answers.operation.result
    if result is None:
        return FAILED
    status = sum_up(out, result, options.model, "moved", perf_counter() - begun)
    return INTERRUPTED if interrupt.asked else status
