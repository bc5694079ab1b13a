"""`dicos storescu`: files to a peer, each as it lies on disk where the peer takes it so."""

from __future__ import annotations

import argparse
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dicos_proto import dimse
from dicos_proto.registry import uids

from ...files import finding, part10, sending
from ...files.part10 import Part10Error, Part10File
from .. import USAGE
from ..options import associations, count, count_or_none, seconds, user_parser, window
from ..output import Output, plural, shown, size
from ..query import transfer_syntax
from ..sending import Plan, Sending
from ..user import Caller

if TYPE_CHECKING:
    from ..journal import Journal

_DICOMDIR: Final = "is a DICOMDIR, which describes files and is not stored itself"
_PRIORITIES = {"medium": dimse.PRIORITY_MEDIUM, "high": dimse.PRIORITY_HIGH, "low": dimse.PRIORITY_LOW}


def main(words: Sequence[str]) -> int:
    parser = user_parser("storescu", "Send DICOM and DICOS files to a peer.")
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a file, or with -r a folder")
    parser.add_argument("-r", "--recurse", action="store_true", help="also send what is in folders")
    parser.add_argument("--repeat", type=count, default=1, metavar="N", help="send all N times (default: %(default)s)")
    parser.add_argument("--halt", action="store_true",
                        help="stop at the first file that fails; send nothing if a path cannot be sent")  # fmt: skip
    parser.add_argument("--associations", type=associations, default=1, metavar="N",
                        help="send over N associations at the same time (default: %(default)s)")  # fmt: skip
    parser.add_argument("--window", type=window, default=1, metavar="N",
                        help="propose N operations at a time on each association, 0 without limit; sent are as many as "
                        "the peer grants (default: %(default)s)")  # fmt: skip
    parser.add_argument("--retries", type=count_or_none, default=0, metavar="N",
                        help="try again, N times, what was lost on the way: never what the peer refused, never a bad "
                        "file (default: %(default)s)")  # fmt: skip
    parser.add_argument("--retry-delay", type=seconds, default=1.0, metavar="SECONDS",
                        help="before the first retry, twice as long before each next one, 60 s at most "
                        "(default: %(default)g)")  # fmt: skip
    parser.add_argument("--journal", type=Path, metavar="FILE",
                        help="note in FILE what is stored, and pass over what it says is: a transfer that was broken "
                        "off goes on")  # fmt: skip
    parser.add_argument("--progress", action="store_true",
                        help="show progress however short the work is, and also where no terminal is")  # fmt: skip
    parser.add_argument("-x", "--transfer-syntax", type=transfer_syntax, action="append", default=[], metavar="UID",
                        help="propose this transfer syntax, by UID or name, and only those that are given so: files "
                        "in it are sent as they are, a private one too, others are converted to it "
                        "(default: those that the files are in, and what they can be converted to); may be given "
                        "again")  # fmt: skip
    parser.add_argument("--priority", choices=_PRIORITIES, default="medium", help="default: %(default)s")
    options = parser.parse_intermixed_args(words)
    if options.journal is not None and options.repeat > 1:
        parser.error("--repeat sends again what --journal says is stored: they do not go together")
    out = Output(options)
    try:
        found = find(options, out)
    except Part10Error as error:  # --halt
        out.error(str(error))
        return USAGE
    if not found.files:
        if not found.bad:
            out.error(f"no DICOM file among {plural(found.skipped, 'file')}")
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
    found: Found,
    journal: Journal | None,
) -> int:
    files = found.files
    already = 0
    if journal is not None:
        if journal.mended:
            out.info(f"journal {shown(options.journal)}: its last line was cut off; what it was of is sent again")
        left = [(file, status) for file, status in files if not journal.has(file, status)]
        already, files = len(files) - len(left), left
    sizes = sum(file.data_length for file, _ in files)
    before = f", {already} more stored before" if already else ""
    out.detail(f"{plural(len(files), 'file')}, {size(sizes)}{before}")
    sending = Sending(
        caller=caller,
        out=out,
        plan=Plan(
            priority=_PRIORITIES[options.priority],
            window=options.window,
            associations=options.associations,
            repeat=options.repeat,
            retries=options.retries,
            delay=options.retry_delay,
            halt=options.halt,
            only=tuple(options.transfer_syntax),
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
class Found:
    """The files to send, as they are now; how many paths there are that should be sent and cannot be, each of them
    reported; how many files in folders are none to send."""

    files: list[tuple[Part10File, os.stat_result]]
    bad: int = 0
    skipped: int = 0


def find(options: argparse.Namespace, out: Output) -> Found:
    """What the paths lead to. A path that was named itself is bad if it is no DICOM file; in a folder, such a file is
    skipped, and only what cannot be read or is damaged is bad.

    Raises `Part10Error` for the first that is bad, with --halt.
    """
    found = Found([])

    def bad(error: Part10Error) -> None:
        if options.halt:
            raise error
        found.bad += 1
        out.failure(f"{shown(error.path)}: not sent: {error.reason}")
        out.event("failed", path=str(error.path), sop_instance_uid=None, status=None, why=error.reason)

    for path in options.paths:
        for one in finding.find_files([path], recurse=options.recurse, unreadable=bad):
            try:
                file, status = _inspect(one)
                check(file, options.transfer_syntax)
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
    """Returns True if this is no file to send: no regular file, no DICOM, a DICOMDIR. False: it is damaged, or nobody
    could look at it."""
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
    """What a file is, and as of before it was looked at: what changes later is seen to have changed."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return part10.inspect(path), os.stat_result((0,) * 10)  # which says why
    return part10.inspect(path), status


def check(file: Part10File, only: Sequence[str]) -> None:
    """Raise `Part10Error` for what no presentation context can be proposed for. `only`: as in `sending.plan`."""
    if file.sop_class_uid == uids.MEDIA_STORAGE_DIRECTORY:
        raise Part10Error(file.path, _DICOMDIR)
    for name, uid in (("SOP Class UID", file.sop_class_uid), ("Transfer Syntax UID", file.transfer_syntax)):
        if not uids.is_valid(uid):
            raise Part10Error(file.path, f"what it has as {name} is no UID [PS3.5 9.1]")
    sending.ways(file, only)
