"""`dicos movescu`: has a peer send objects to another one (C-MOVE), or to this command, which stores them as files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final

from dicos_proto import propose
from dicos_proto.conversation.flows import AssociationError, ContextNotAccepted
from dicos_proto.conversation.reading import DataSetTooLong
from dicos_proto.data.datasets import DataSetError
from dicos_proto.errors import LocalProtocolError
from dicos_proto.registry import uids
from dicos_proto.registry.status import NOT_AUTHORIZED
from dicos_proto.upper_layer.negotiation import UNCOMPRESSED
from dicos_proto.upper_layer.pdu_types import OperationsWindow
from dicos_proto.upper_layer.policy import AcceptPolicy

from ...addresses import ListenFailed
from ...serving.reception import ServerLimits
from ...sessions.session import EchoRequest, Session, StoreRequest
from .. import FAILED, INTERRUPTED, NO_ASSOCIATION, OK, USAGE, timers
from ..expecting import Expected
from ..options import LOOPBACK, count, max_length, port_with_address, timeouts, title, tolerance, user_parser
from ..output import Output, plural, size
from ..provider import Counts, logged, tell_refused
from ..query import PRIORITIES, add_options, ask_each, cancel, identifiers, transfer_syntax, why_refused
from ..receiving import Receiving, add_folder, fit_folder
from ..retrieving import sum_up
from ..user import Caller, Contact

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from ...tls import ServerTLS

ASSOCIATIONS: Final = 20
"""Most simultaneous associations with the provider that receives."""
PER_ADDRESS: Final = 10
"""Most of these from one address, so that another host cannot take all of them."""
WINDOW: Final = 32


def main(words: Sequence[str]) -> int:
    parser = user_parser("movescu", "Have a peer send objects to an AE title that it knows (C-MOVE).")
    add_options(parser, "move")
    parser.add_argument("-aem", "--move-aet", type=title, metavar="TITLE",
                        help="move destination, an AE title that the peer knows (default: that of --aet)")  # fmt: skip
    parser.add_argument("--store-port", type=port_with_address, metavar="[ADDRESS:]PORT",
                        help="receive the objects on this port, 0 for any free one; the peer must be configured with "
                        "the move destination at this address")  # fmt: skip
    parser.add_argument("--bind", metavar="ADDRESS",
                        help="with --store-port, local address to listen on, 0.0.0.0 for all interfaces "
                        f"(default: {LOOPBACK})")  # fmt: skip
    parser.add_argument("--from-aet", type=title, action="append", default=[], metavar="TITLE",
                        help="with --store-port, accept only this calling AE title, which the peer uses when it sends; "
                        "may be repeated (default: any)")  # fmt: skip
    parser.add_argument("--max-object", type=count, metavar="BYTES",
                        help="with --store-port, refuse larger objects (default: no limit)")  # fmt: skip
    parser.add_argument("-x", "--transfer-syntax", type=transfer_syntax, action="append", default=[], metavar="UID",
                        help="with --store-port, also accept this transfer syntax, such as a private one, by UID or "
                        "name, without checking its data sets; may be repeated")  # fmt: skip
    add_folder(parser)
    parser.set_defaults(output_directory=None)  # to tell whether it was given
    options = parser.parse_args(words)
    _place(parser, options)
    out = Output(options)
    asked = identifiers(options, out, "move")
    if asked is None or (options.store_port is not None and not fit_folder(options, out)):
        return USAGE
    caller = Caller(options, out)
    receives = options.store_port is not None
    tls = caller.tls.server if receives else None
    with logged(out) if receives else nullcontext():
        return caller.runtime.run(lambda: _run(caller, options, asked, tls))


def _place(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Set the address to receive on. Exits with a usage error for options of receiving without `--store-port`."""
    if options.store_port is None:
        if options.bind is not None:
            parser.error("--bind without --store-port: nothing is received here")
        for given, name in (
            (options.from_aet, "--from-aet"),
            (options.max_object, "--max-object"),
            (options.transfer_syntax, "-x"),
            (options.output_directory, "-od"),
            (options.overwrite, "--overwrite"),
            (not options.check, "--no-check"),
            (options.fsync, "--fsync"),
        ):
            if given:
                parser.error(f"{name} without --store-port: nothing is received here")
    else:
        address, options.store_port = options.store_port
        if address is not None and options.bind is not None:
            parser.error(f"two addresses to listen on: --bind {options.bind}, and {address} in --store-port")
        options.bind = address or options.bind
    options.bind = options.bind or LOOPBACK
    options.output_directory = options.output_directory or Path(".")


async def _run(caller: Caller, options: argparse.Namespace, asked: list[Dataset], tls: ServerTLS | None) -> int:
    """Run the C-MOVE, with a provider beside it if `--store-port` is given."""
    out = caller.out
    expected = Expected(options.aet, out)
    if options.store_port is None:
        return await _move(caller, options, asked, expected)
    counts = Counts()
    receiving = Receiving.by(options, caller.runtime, out, counts)

    async def handle(session: Session) -> None:
        tell_refused(session, options, out)
        async for request in session:
            match request:
                case EchoRequest():
                    await request.respond()
                case StoreRequest() if fault := expected.fault(request.command, session.calling_aet):
                    out.info(f"{session.peer}: object from {session.calling_aet!a} refused: {fault}")
                    out.event("refused", peer=session.peer, calling_aet=session.calling_aet, why=fault)
                    await request.respond(NOT_AUTHORIZED, fault)
                case StoreRequest():
                    await receiving.receive(request)
                case _:
                    out.detail(f"{session.peer}: {request.name} refused: not supported here")

    syntaxes = tuple(dict.fromkeys((*uids.TRANSFER_SYNTAXES, *options.transfer_syntax)))
    storage = dict.fromkeys(uids.STORAGE_SOP_CLASSES, syntaxes)
    policy = AcceptPolicy(
        contexts=storage | {uids.VERIFICATION: UNCOMPRESSED},
        called_aets=frozenset({_destination(options)}),
        # Many peers have two AE titles, one for being called and one for calling: only --from-aet names the latter.
        calling_aets=frozenset(options.from_aet) or None,
        max_length=max_length(options),
        window=OperationsWindow(invoked=WINDOW, performed=1),
    )
    try:
        async with caller.runtime.serve(
            (options.bind, options.store_port),
            handle,
            policy=policy,
            timeouts=timeouts(options),
            tolerance=tolerance(options),
            server_limits=ServerLimits(associations=ASSOCIATIONS, per_address=PER_ADDRESS),
            tls=tls,
            identify=expected.identify,
            keepalive=options.keepalive,
            trace=out.trace if out.debug and not out.quiet else None,
        ) as server:
            out.detail(f"receiving on {server.address} as {_destination(options)!a}")
            out.event("listening", address=options.bind, port=server.port, on=server.address,
                      aet=_destination(options))  # fmt: skip
            status = await _move(caller, options, asked, expected)
            await server.close(timers.GRACE)
    except ListenFailed as error:
        out.error(str(error))
        return NO_ASSOCIATION
    out.info(f"received {plural(counts.stored, 'object')}, {size(counts.bytes)}"
             + (f"; {counts.failed} failed" if counts.failed else "")
             + (f"; {counts.incomplete} incomplete" if counts.incomplete else ""))  # fmt: skip
    out.event("received", stored=counts.stored, failed=counts.failed, incomplete=counts.incomplete, bytes=counts.bytes)
    return FAILED if status == OK and (counts.failed or counts.incomplete) else status


def _destination(options: argparse.Namespace) -> str:
    found: str = options.move_aet or options.aet
    return found


async def _move(caller: Caller, options: argparse.Namespace, asked: list[Dataset], expected: Expected) -> int:
    async def one(contact: Contact, identifier: Dataset) -> int:
        return await _one(caller, contact, options, identifier, expected)

    return await ask_each(caller, propose([options.model]), asked, one)


async def _one(
    caller: Caller, contact: Contact, options: argparse.Namespace, identifier: Dataset, expected: Expected
) -> int:
    out, session, begun = caller.out, contact.session, perf_counter()
    try:
        answers = session.move(options.model, _destination(options), identifier, priority=PRIORITIES[options.priority])
        expected.begin(answers.operation.message_id)  # before it is sent: the objects may arrive at once
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
        out.error(why_refused(error) if isinstance(error, ContextNotAccepted) else str(error))
        return FAILED
    finally:
        expected.end()
    contact.tell_deviations()
    result = answers.operation.result
    if result is None:
        return FAILED
    status = sum_up(out, result, options.model, "moved", perf_counter() - begun)
    return INTERRUPTED if interrupt.asked else status
