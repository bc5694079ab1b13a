"""`dicos storescp`: stores every object that peers send as a file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import UNCOMPRESSED
from dicos_proto.upper_layer.pdu_types import OperationsWindow
from dicos_proto.upper_layer.policy import AcceptPolicy, Preference

from ...sessions.session import EchoRequest, Session, StoreRequest
from .. import USAGE
from ..options import count, max_length, provider_options, provider_parser, window
from ..output import Output, shown
from ..provider import Counts, run
from ..query import transfer_syntax
from ..receiving import Receiving, add_folder, fit_folder
from ..runtimes.runtime import runtime

WINDOW: Final = 32
"""Outstanding operations that are granted; more bring no measurable gain."""


def main(words: Sequence[str]) -> int:
    parser = provider_parser("storescp", "Receive DICOM and DICOS objects and store them as files until interrupted.")
    add_folder(parser)
    parser.add_argument("--ignore", action="store_true", help="receive and answer, but store nothing")
    parser.add_argument("--max-object", type=count, metavar="BYTES", help="refuse larger objects (default: no limit)")
    parser.add_argument("--any", action="store_true",
                        help="accept every abstract syntax, not only storage SOP classes")  # fmt: skip
    parser.add_argument("-x", "--transfer-syntax", type=transfer_syntax, action="append", default=[], metavar="UID",
                        help="also accept this transfer syntax, such as a private one, by UID or name, without "
                        "checking its data sets; may be repeated")  # fmt: skip
    parser.add_argument("--prefer", choices=[one.value for one in Preference], default=Preference.REQUESTOR.value,
                        help="whose order of transfer syntaxes decides which one is accepted "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--window", type=window, default=WINDOW, metavar="N",
                        help="outstanding operations to grant to a peer that proposes several, 0 for no limit "
                        "(default: %(default)s)")  # fmt: skip
    options = provider_options(parser, words)
    out = Output(options)
    if not options.ignore and not fit_folder(options, out):
        return USAGE
    folder: Path = options.output_directory
    counts = Counts()
    at = runtime(options)
    receiving = Receiving.by(options, at, out, counts, keep=not options.ignore)

    async def handle(session: Session) -> None:
        async for request in session:
            match request:
                case EchoRequest():
                    await request.respond()
                    with counts.lock:
                        counts.echoes += 1
                    out.event("echo", peer=session.peer, calling_aet=session.request.calling_aet)
                case StoreRequest():
                    await receiving.receive(request)
                case _:
                    out.detail(f"{session.peer}: {request.name} refused: not supported here")

    where_to = "storing nothing" if options.ignore else f"storing into {shown(folder)}"
    return run(at, options, out, policy(options), handle, counts, where_to)


def policy(options: argparse.Namespace) -> AcceptPolicy:
    """Return a policy for verification and storage, in the standard's transfer syntaxes and those of the options."""
    syntaxes = tuple(dict.fromkeys((*uids.TRANSFER_SYNTAXES, *options.transfer_syntax)))
    contexts = dict.fromkeys(uids.STORAGE_SOP_CLASSES, syntaxes)
    return AcceptPolicy(
        contexts=contexts | {uids.VERIFICATION: UNCOMPRESSED},
        other_contexts=syntaxes if options.any else None,
        preference=Preference(options.prefer),
        called_aets=frozenset({options.aet}) if options.require_called_aet else None,
        max_length=max_length(options),
        window=OperationsWindow(invoked=options.window, performed=1) if options.window != 1 else None,
    )
