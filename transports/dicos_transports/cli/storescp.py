"""`dicos storescp`: makes a file of every object that peers send."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from dicos_proto import uids
from dicos_proto.flows import AssociationError
from dicos_proto.negotiation import UNCOMPRESSED, AcceptPolicy, Preference
from dicos_proto.status import SUCCESS, describe

from .. import storing
from ..addresses import said
from ..blocking import EchoRequest, ServerStopping, Session, StoreRequest
from . import USAGE
from .options import count, provider_parser
from .output import Output, shown, size
from .provider import Counts, run


def main(words: Sequence[str]) -> int:
    parser = provider_parser("storescp", "Receive DICOM and DICOS objects and make files of them, until interrupted.")
    parser.add_argument("-od", "--output-directory", type=Path, default=Path("."), metavar="FOLDER",
                        help="where the files go; it exists (default: the current folder)")  # fmt: skip
    parser.add_argument("--ignore", action="store_true", help="receive and answer, but make no files")
    parser.add_argument("--overwrite", action="store_true",
                        help="replace an earlier object of the same SOP Instance UID; else both are kept")  # fmt: skip
    parser.add_argument("--fsync", action="store_true", help="answer only when the disk has the file")
    parser.add_argument("--max-object", type=count, metavar="BYTES", help="refuse larger objects (default: no limit)")
    parser.add_argument("--any", action="store_true", help="accept every abstract syntax, not only those of storage")
    parser.add_argument("--prefer", choices=[one.value for one in Preference], default=Preference.REQUESTOR.value,
                        help="whose order of transfer syntaxes decides (default: %(default)s)")  # fmt: skip
    options = parser.parse_args(words)
    out = Output(options)
    folder: Path = options.output_directory
    trouble = None if options.ignore else unfit(folder)
    if trouble is not None:
        out.error(f"{shown(folder)}: {trouble}; -od names a folder to write to")
        return USAGE
    counts = Counts()

    def handle(session: Session) -> None:
        for request in session:
            match request:
                case EchoRequest():
                    request.respond()
                    with counts.lock:
                        counts.echoes += 1
                    out.event("echo", peer=session.peer, calling_aet=session.request.calling_aet)
                case StoreRequest():
                    _store(request, folder, options, out, counts)
                case _:
                    out.detail(f"{session.peer}: {request.name} refused: not served here")

    where_to = "keeping nothing" if options.ignore else f"storing into {shown(folder)}"
    return run(options, out, policy(options), handle, counts, where_to)


def unfit(folder: Path) -> str | None:
    """Why no files can be made in `folder`, as far as can be told beforehand."""
    try:
        os.stat(folder)
    except (OSError, ValueError) as error:  # ValueError: a NUL in it
        return "does not exist" if isinstance(error, FileNotFoundError) else said(error)
    if not os.path.isdir(folder):
        return "is no folder"
    return None if os.access(folder, os.W_OK | os.X_OK) else "may not be written to"


def policy(options: argparse.Namespace) -> AcceptPolicy:
    """Verification and storage, in every transfer syntax: data sets are stored as they come."""
    contexts = dict.fromkeys(uids.STORAGE_SOP_CLASSES, uids.TRANSFER_SYNTAXES)
    return AcceptPolicy(
        contexts=contexts | {uids.VERIFICATION: UNCOMPRESSED},
        other_contexts=uids.TRANSFER_SYNTAXES if options.any else None,
        preference=Preference(options.prefer),
        called_aets=frozenset({options.aet}) if options.require_called_aet else None,
        max_length=options.max_pdu,
    )


def _store(request: StoreRequest, folder: Path, options: argparse.Namespace, out: Output, counts: Counts) -> None:
    try:
        if options.ignore:
            result = storing.discard(request)
        else:
            result = storing.store_into(
                folder, request, overwrite=options.overwrite, fsync=options.fsync, most=options.max_object
            )
    except AssociationError as error:  # the server tells the reason
        with counts.lock:
            counts.incomplete += 1
            counts.cut_off += isinstance(error, ServerStopping)
        raise
    good = result.status == SUCCESS
    with counts.lock:
        counts.stored += good
        counts.failed += not good
        counts.bytes += result.size if good else 0
    what = f"{request.session.peer}: {uids.name_of(request.sop_class_uid)!a}, {size(result.size)}"
    if good:
        out.detail(f"{what}: {shown(result.path.name) if result.path else 'received'}")
    else:
        out.failure(f"{what}: failed: {describe(result.status)}: {result.error}")
    out.event(
        "stored" if good else "failed",
        peer=request.session.peer,
        calling_aet=request.session.request.calling_aet,
        sop_class_uid=request.sop_class_uid,
        sop_instance_uid=request.sop_instance_uid,
        transfer_syntax=request.transfer_syntax,
        status=result.status,
        bytes=result.size,
        path=str(result.path) if result.path else None,
        why=result.error,
    )
