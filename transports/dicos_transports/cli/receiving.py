"""Objects that arrive, and the files they become: counted and reported. The loop itself is `files.receiving`.

In an event loop a worker thread writes: `Runtime.batch` bytes are gathered for it, and the connection is not read while
they are written, so a slow disk slows down its own peer only.
"""

from __future__ import annotations

import argparse
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from dicos_proto.conversation.flows import AssociationError
from dicos_proto.dicos.codecs import ENCODED, CodecError, require
from dicos_proto.registry import uids
from dicos_proto.registry.status import SUCCESS, describe

from ..addresses import said
from ..files.receiving import IncomingFile, Stored, receive
from ..files.temporary import remove_stale_parts
from ..sessions.channel import ServerStopping
from ..sessions.session import Session, StoreRequest
from .output import Output, plural, shown, size
from .provider import Counts
from .query import transfer_syntax
from .runtimes.runtime import Runtime


def add_folder(parser: argparse.ArgumentParser) -> None:
    """The options for received files."""
    parser.add_argument("-od", "--output-directory", type=Path, default=Path("."), metavar="FOLDER",
                        help="where the files go; it exists (default: the current folder)")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true",
                        help="replace an earlier object of the same SOP Instance UID; "
                        "by default both are kept")  # fmt: skip
    parser.add_argument("--no-check", dest="check", action="store_false",
                        help="also keep objects that are not a data set, are cut short, or do not match their command; "
                        "by default they are refused with 0xC000 or 0xA900; "
                        "private transfer syntaxes are never checked")  # fmt: skip
    parser.add_argument("--store-as", type=transfer_syntax, metavar="UID",
                        help="convert objects to this transfer syntax, by UID or name, while they arrive, if that is "
                        "possible; pixel data is compressed or decompressed without loss "
                        "(default: store them as they arrive)")  # fmt: skip
    parser.add_argument("--fsync", action="store_true", help="answer only when the disk has the file")


def fit_folder(options: argparse.Namespace, out: Output) -> bool:
    """Returns True if files can be made in the folder, as far as is known beforehand; reports the reason if not.

    Unfinished files of killed processes are removed. Codecs that `--store-as` needs have to be there, too.
    """
    if options.store_as in ENCODED:
        try:
            require()
        except CodecError as error:
            out.error(f"--store-as {uids.name_of(options.store_as)}: {error}")
            return False
    folder = options.output_directory
    trouble = _unfit(folder)
    if trouble is not None:
        out.error(f"{shown(folder)}: {trouble}; -od names a folder to write to")
        return False
    with suppress(OSError):  # a folder that may be written to but not read
        if removed := remove_stale_parts(folder):
            out.info(f"{shown(folder)}: {plural(removed, 'unfinished file')} of a process that was killed removed")
    return True


def _unfit(folder: Path) -> str | None:
    try:
        os.stat(folder)
    except (OSError, ValueError) as error:  # ValueError: a NUL in it
        return "does not exist" if isinstance(error, FileNotFoundError) else said(error)
    if not os.path.isdir(folder):
        return "is not a folder"
    return None if os.access(folder, os.W_OK | os.X_OK) else "may not be written to"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiving:
    """How received objects are stored. `folder` None: nothing is kept."""

    runtime: Runtime
    out: Output
    counts: Counts
    folder: Path | None
    overwrite: bool = False
    fsync: bool = False
    most: int | None = None
    check: bool = True
    transfer_syntax: str | None = None
    """The one that objects are converted to."""

    @classmethod
    def by(
        cls, options: argparse.Namespace, runtime: Runtime, out: Output, counts: Counts, *, keep: bool = True
    ) -> Self:
        """Made by the options of a command; nothing is stored without `keep`."""
        return cls(
            runtime=runtime,
            out=out,
            counts=counts,
            folder=options.output_directory if keep else None,
            overwrite=options.overwrite,
            fsync=options.fsync,
            most=options.max_object,
            check=options.check,
            transfer_syntax=options.store_as,
        )

    async def receive(self, request: StoreRequest) -> Stored:
        """Makes a file of an object, answers, counts and reports it.

        Success is answered once the file is complete and has its name. Raises `AssociationError`; then nothing is left.
        """
        session, counts = request.session, self.counts
        try:
            stored = await receive(self._incoming(request), request, self.runtime.offload, self.runtime.batch)
        except BaseException as error:  # the caller reports the reason
            lost = isinstance(error, AssociationError) and not isinstance(error, ServerStopping)
            with counts.lock:
                counts.incomplete += 1
                counts.cut_off += not lost
            raise
        good = stored.status == SUCCESS
        with counts.lock:
            counts.stored += good
            counts.failed += not good
            counts.bytes += stored.size if good else 0
        self._tell(request, session, stored, good=good)
        return stored

    def _incoming(self, request: StoreRequest) -> IncomingFile:
        # In a C-GET the called side sends.
        source = None if request.get is None else request.session.called_aet
        return IncomingFile(
            self.folder,
            request,
            source_aet=source,
            overwrite=self.overwrite,
            fsync=self.fsync,
            most=self.most,
            check=self.check,
            transfer_syntax=self.transfer_syntax,
        )

    def _tell(self, request: StoreRequest, session: Session, stored: Stored, *, good: bool) -> None:
        out = self.out
        what = f"{session.peer}: {uids.name_of(request.sop_class_uid)!a}, {size(stored.size)}"
        if good:
            out.detail(f"{what}: {shown(stored.path.name) if stored.path else 'received'}")
        else:
            out.failure(f"{what}: failed: {describe(stored.status)}: {stored.error}")
        out.event(
            "stored" if good else "failed",
            peer=session.peer,
            calling_aet=session.calling_aet,
            sop_class_uid=request.sop_class_uid,
            sop_instance_uid=request.sop_instance_uid,
            transfer_syntax=request.transfer_syntax,
            status=stored.status,
            bytes=stored.size,
            path=str(stored.path) if stored.path else None,
            why=stored.error,
        )
