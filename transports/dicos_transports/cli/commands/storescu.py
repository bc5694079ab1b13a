"""`dicos storescu`: sends files to a peer, unchanged if the peer accepts their transfer syntax."""

from __future__ import annotations

import argparse
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dicos_proto import dimse
from dicos_proto.dicos.profile import Compression
from dicos_proto.registry import uids

from ...files import finding, part10, sending
from ...files.part10 import Part10Error, Part10File
from .. import USAGE
from ..options import associations, count, count_or_none, seconds, user_parser, window
from ..output import Output, plural, shown, size
from ..query import transfer_syntax
from ..sending import Sending, SendPlan
from ..user import Caller

if TYPE_CHECKING:
    from ..journal import Journal

_DICOMDIR: Final = "DICOMDIR, which lists other files and is not an object to send"
_COMPRESSION: Final = {
    "prefer": Compression.PREFERRED,
    "allow": Compression.ALLOWED,
    "forbid": Compression.FORBIDDEN,
}
_PRIORITIES = {"medium": dimse.PRIORITY_MEDIUM, "high": dimse.PRIORITY_HIGH, "low": dimse.PRIORITY_LOW}


def main(words: Sequence[str]) -> int:
    parser = user_parser("storescu", "Send DICOM and DICOS files to a peer.")
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a file, or with -r a folder")
    parser.add_argument("-r", "--recurse", action="store_true", help="send the files in folders, recursively")
    parser.add_argument("--repeat", type=count, default=1, metavar="N",
                        help="send all files N times (default: %(default)s)")  # fmt: skip
    parser.add_argument("--halt", action="store_true",
                        help="stop at the first file that fails; send nothing if a path cannot be sent")  # fmt: skip
    parser.add_argument("--associations", type=associations, default=1, metavar="N",
                        help="send over N parallel associations (default: %(default)s)")  # fmt: skip
    parser.add_argument("--window", type=window, default=1, metavar="N",
                        help="propose N outstanding operations on each association, 0 for no limit; the peer may "
                        "grant fewer (default: %(default)s)")  # fmt: skip
    parser.add_argument("--retries", type=count_or_none, default=0, metavar="N",
                        help="retry up to N times after connection failures, aborts, timeouts and transient "
                        "rejections, but not files that the peer refused or that cannot be read "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--retry-delay", type=seconds, default=1.0, metavar="SECONDS",
                        help="delay before the first retry; it doubles before each further one, up to 60 s "
                        "(default: %(default)g)")  # fmt: skip
    parser.add_argument("--journal", type=Path, metavar="FILE",
                        help="record stored files in FILE and skip those recorded there, to continue an interrupted "
                        "transfer")  # fmt: skip
    parser.add_argument("--progress", action="store_true",
                        help="show progress even for short transfers and without a terminal")  # fmt: skip
    parser.add_argument("-x", "--transfer-syntax", type=transfer_syntax, action="append", default=[], metavar="UID",
                        help="propose only this transfer syntax, by UID or name: files in it, even if it is private, "
                        "are sent unchanged, others are converted to it; may be repeated (default: those of the "
                        "files, and those they can be converted to)")  # fmt: skip
    parser.add_argument("--compression", choices=_COMPRESSION,
                        help="lossless compression of pixel data: prefer it, propose it after the transfer syntaxes of "
                        "the files, or forbid it, so that compressed files are decompressed (default: files are sent "
                        "as they are if the peer accepts that)")  # fmt: skip
    parser.add_argument("--priority", choices=_PRIORITIES, default="medium",
                        help="priority of the requests (default: %(default)s)")  # fmt: skip
    options = parser.parse_intermixed_args(words)
    if options.journal is not None and options.repeat > 1:
        parser.error("--repeat cannot be combined with --journal, which skips files that are already stored")
    out = Output(options)
    try:
        found = find(options, out)
    except Part10Error as error:  # --halt
        out.error(str(error))
        return USAGE
    if not found.files:
        if not found.bad:
            out.error(f"no DICOM files among {plural(found.skipped, 'file')}")
        elif found.bad + found.skipped > 1:
            out.error(f"none of {plural(found.bad + found.skipped, 'path')} can be sent")
        return USAGE
    caller = Caller(options, out)
    if options.journal is None:
        return _send(options, out, caller, found, None)
    from ..journal import Journal, JournalError

    try:
        with Journal(options.journal, host=options.host, port=options.port, called_aet=options.called_aet) as journal:
            return _send(options, out, caller, found, journal)
    except JournalError as error:
        out.error(str(error))
        return USAGE


def _send(
    options: argparse.Namespace,
    out: Output,
    caller: Caller,
    found: FoundFiles,
    journal: Journal | None,
) -> int:
    files = found.files
    already = 0
    if journal is not None:
        if journal.mended:
            out.info(f"journal {shown(options.journal)}: the last line was incomplete; its file is sent again")
        left = [(file, status) for file, status in files if not journal.has(file, status)]
        already, files = len(files) - len(left), left
    sizes = sum(file.data_length for file, _ in files)
    before = f", {already} already stored" if already else ""
    out.detail(f"{plural(len(files), 'file')}, {size(sizes)}{before}")
    sending = Sending(
        caller=caller,
        out=out,
        plan=SendPlan(
            priority=_PRIORITIES[options.priority],
            window=options.window,
            associations=options.associations,
            repeat=options.repeat,
            retries=options.retries,
            delay=options.retry_delay,
            halt=options.halt,
            only=tuple(options.transfer_syntax),
            compression=_COMPRESSION.get(options.compression),
        ),
        files=files,
        journal=journal,
        bar=out.progress(sizes * options.repeat, wanted=options.progress),
        skipped=found.skipped,
        bad=found.bad,
        already=already,
    )
    return caller.runtime.run(sending.run)


@dataclass(slots=True)
class FoundFiles:
    """The result of `find`."""

    files: list[tuple[Part10File, os.stat_result]]
    """The files to send, with their present state."""
    bad: int = 0
    """Number of paths that cannot be sent, each of them reported."""
    skipped: int = 0
    """Number of files in folders that are not objects to send."""


def find(options: argparse.Namespace, out: Output) -> FoundFiles:
    """Find the files to send. A path on the command line is bad if it is not a DICOM file. In a folder, such a file is
    skipped, and only a damaged or unreadable file is bad.

    With `--halt`, raises `Part10Error` for the first bad one.
    """
    found = FoundFiles([])

    def bad(error: Part10Error) -> None:
        if isinstance(error, finding.FolderError):
            error = Part10Error(error.path, "is a folder (use -r)")
        if options.halt:
            raise error
        found.bad += 1
        out.failure(f"{shown(error.path)}: not sent: {error.reason}")
        out.event("failed", path=str(error.path), sop_instance_uid=None, status=None, why=error.reason)

    for path in options.paths:
        for one in finding.find_files([path], recurse=options.recurse, unreadable=bad):
            try:
                file, status = _inspect(one)
                check(file, options.transfer_syntax, _COMPRESSION.get(options.compression))
                found.files.append((file, status))
            except Part10Error as error:
                if one == path or not _is_none(error):
                    bad(error)
                    continue
                found.skipped += 1
                out.detail(f"skipped: {shown(error.path)}: {error.reason}")
                out.event("skipped", path=str(one), why=error.reason)
    return found


def _is_none(error: Part10Error) -> bool:
    """Return True if this is not a file to send: not a regular file, not DICOM, or a DICOMDIR. Returns False if it is
    damaged or unreadable."""
    if error.reason == _DICOMDIR:
        return True
    try:
        if not stat.S_ISREG(os.stat(error.path).st_mode):
            return True
        with open(error.path, "rb") as file:
            return file.read(part10.PREFIX_END)[128:] != b"DICM"
    except OSError:
        return False


def _inspect(path: Path) -> tuple[Part10File, os.stat_result]:
    """Inspect a file. Its state is read before its content, so that a later change is noticed."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return part10.inspect(path), os.stat_result((0,) * 10)  # `inspect` raises an error with the cause
    return part10.inspect(path), status


def check(file: Part10File, only: Sequence[str], compression: Compression | None = None) -> None:
    """Raise `Part10Error` if no presentation context can be proposed for a file. `only` and `compression`: as in
    `sending.plan`."""
    if file.sop_class_uid == uids.MEDIA_STORAGE_DIRECTORY:
        raise Part10Error(file.path, _DICOMDIR)
    for name, uid in (("SOP Class UID", file.sop_class_uid), ("Transfer Syntax UID", file.transfer_syntax)):
        if not uids.is_valid(uid):
            raise Part10Error(file.path, f"{name} is not a valid UID [PS3.5 9.1]")
    sending.ways(file, only, compression)
