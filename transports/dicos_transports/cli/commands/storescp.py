"""`dicos storescp`: makes a file of every object that peers send."""

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
"""Operations at a time that are granted: what is gained by more is too little to see."""


def main(words: Sequence[str]) -> int:
    parser = provider_parser("storescp", "Receive DICOM and DICOS objects and make files of them, until interrupted.")
    add_folder(parser)
    parser.add_argument("--ignore", action="store_true", help="receive and answer, but make no files")
    parser.add_argument("--max-object", type=count, metavar="BYTES", help="refuse larger objects (default: no limit)")
    parser.add_argument("--any", action="store_true", help="accept every abstract syntax, not only those of storage")
    parser.add_argument("-x", "--transfer-syntax", type=transfer_syntax, action="append", default=[], metavar="UID",
                        help="accept this transfer syntax too, a private one say, by "
                        "UID or name: its data sets are kept as bytes, unchecked; may be given again")  # fmt: skip
    parser.add_argument("--prefer", choices=[one.value for one in Preference], default=Preference.REQUESTOR.value,
                        help="whose order of transfer syntaxes decides (default: %(default)s)")  # fmt: skip
    parser.add_argument("--window", type=window, default=WINDOW, metavar="N",
                        help="operations at a time that a peer which asks for several is granted, 0 without limit "
                        "(default: %(default)s)")  # fmt: skip
    options = provider_options(parser, words)
    out = Output(options)
    if not options.ignore and not fit_folder(options, out):
        return USAGE
    folder: Path = options.output_directory
    counts = Counts()
    at = runtime(options)
    receiving = Receiving(
        runtime=at,
        out=out,
        counts=counts,
        folder=None if options.ignore else folder,
        overwrite=options.overwrite,
        fsync=options.fsync,
        most=options.max_object,
        check=options.check,
    )

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
                    out.detail(f"{session.peer}: {request.name} refused: not served here")

    where_to = "keeping nothing" if options.ignore else f"storing into {shown(folder)}"
    return run(at, options, out, policy(options), handle, counts, where_to)


def policy(options: argparse.Namespace) -> AcceptPolicy:
    """Verification and storage, in every transfer syntax of the standard and those that are named: data sets are stored
    as they come."""
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
