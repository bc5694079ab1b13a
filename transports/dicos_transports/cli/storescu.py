"""`dicos storescu`: files to a peer, each as it lies on disk where the peer takes it so."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Final

from dicos_proto import dimse, uids
from dicos_proto.errors import LocalProtocolError
from dicos_proto.flows import AssociationError, ContextNotAccepted
from dicos_proto.status import SUCCESS, Category, category, describe

from .. import part10, storing
from ..blocking import Session
from ..part10 import Part10Error, Part10File
from ..storing import Batch
from . import FAILED, NO_ASSOCIATION, OK, USAGE
from .options import count, user_parser
from .output import Output, Progress, plural, shown, size
from .user import interruptible, leave, open_session, tell_deviations

GIVE_UP_AFTER: Final = 3
"""Associations lost one after another, with no file stored in between, after which the rest is not tried."""
_PRIORITIES = {"medium": dimse.PRIORITY_MEDIUM, "high": dimse.PRIORITY_HIGH, "low": dimse.PRIORITY_LOW}


def main(words: Sequence[str]) -> int:
    parser = user_parser("storescu", "Send DICOM and DICOS files to a peer.")
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a file, or with -r a folder")
    parser.add_argument("-r", "--recurse", action="store_true", help="also send what is in folders")
    parser.add_argument("--repeat", type=count, default=1, metavar="N", help="send all N times (default: %(default)s)")
    parser.add_argument("--halt", action="store_true", help="stop at the first file that fails")
    parser.add_argument("--progress", action="store_true",
                        help="show progress however short the work is, and also where no terminal is")  # fmt: skip
    parser.add_argument("--priority", choices=_PRIORITIES, default="medium", help="default: %(default)s")
    options = parser.parse_intermixed_args(words)
    out = Output(options)
    try:
        files, skipped = find(options, out)
    except Part10Error as error:
        out.error(str(error))
        return USAGE
    if not files:
        out.error(f"no DICOM file among {plural(skipped, 'file')}")
        return USAGE
    out.detail(f"{plural(len(files), 'file')}, {size(sum(file.data_length for file in files))}")
    with interruptible():
        return _Sending(options, out, files, skipped).run()


def find(options: argparse.Namespace, out: Output) -> tuple[list[Part10File], int]:
    """The files to send, and how many in folders are none. Raises `Part10Error` for a path that was named itself."""
    files: list[Part10File] = []
    skipped = 0
    for path in options.paths:
        for found in part10.find_files([path], recurse=options.recurse):
            try:
                file = part10.inspect(found)
                check(file)
                files.append(file)
            except Part10Error as error:
                if found == path:
                    raise
                skipped += 1
                out.detail(f"skipped: {error}")
                out.event("skipped", path=str(found), why=error.reason)
    return files, skipped


def check(file: Part10File) -> None:
    """Raise `Part10Error` for what no presentation context can be proposed for."""
    if file.sop_class_uid == uids.MEDIA_STORAGE_DIRECTORY:
        raise Part10Error(file.path, "is a DICOMDIR, which describes files and is not stored itself")
    for name, uid in (("SOP Class UID", file.sop_class_uid), ("Transfer Syntax UID", file.transfer_syntax)):
        if not uids.is_valid(uid):
            raise Part10Error(file.path, f"what it has as {name} is no UID [PS3.5 9.1]")


@dataclass
class _Sending:
    """All that one run sends, and how far it is."""

    options: argparse.Namespace
    out: Output
    files: list[Part10File]
    skipped: int
    session: Session | None = None
    stored: int = 0
    warned: int = 0
    failed: int = 0
    sent_bytes: int = 0
    associations: int = 0
    lost: int = 0  # associations in a row that ended before a file was stored
    over: bool = False  # nothing more is tried
    begun: float = field(default_factory=perf_counter)

    def run(self) -> int:
        total = sum(file.data_length for file in self.files) * self.options.repeat
        bar = self.out.progress(total, wanted=self.options.progress)
        try:
            batches = storing.plan(self.files)
            for _ in range(self.options.repeat):
                for batch in batches:
                    if len(batches) > 1:
                        self.leave()  # each has its own contexts
                    self.send(batch, bar)
        except BaseException:
            if self.session is not None:
                self.session.abort()
            raise
        finally:
            bar.clear()
        self.leave()
        return self.summary()

    def send(self, batch: Batch, bar: Progress) -> None:
        """One batch, over as many associations as it takes."""
        for file in batch.files:
            if self.over:
                return
            if self.session is None:
                try:
                    self.session = open_session(self.options, self.out, batch.contexts)
                except AssociationError as error:
                    self.out.error(str(error))
                    self.over = True
                    return
                self.associations += 1
            self.send_one(self.session, file, bar)
            if self.failed and self.options.halt:
                self.over = True

    def send_one(self, session: Session, file: Part10File, bar: Progress) -> None:
        begun = perf_counter()
        try:
            response = storing.send_file(
                session, file, priority=_PRIORITIES[self.options.priority], progress=bar.advance
            )
        except (ContextNotAccepted, LocalProtocolError, Part10Error) as error:  # aborted, if any of it was sent
            self.fail(file, error.reason if isinstance(error, Part10Error) else str(error))
            if not session.established:
                session.abort()
                self.session = None
        except AssociationError as error:
            self.fail(file, str(error))
            session.abort()
            self.session = None
            self.lost += 1
            self.over = self.lost >= GIVE_UP_AFTER
        else:
            self.answered(file, response, perf_counter() - begun)
        tell_deviations(session, self.out)

    def answered(self, file: Part10File, response: dimse.Response, seconds: float) -> None:
        status, found = response.status, category(response.status)
        comment = f": {response.error_comment!a}" if response.error_comment else ""
        if found not in (Category.SUCCESS, Category.WARNING):
            self.fail(file, f"{describe(status)}{comment}", status)
            return
        self.lost = 0
        self.stored += 1
        self.sent_bytes += file.data_length
        told = f"{shown(file.path)}: {describe(status)}{comment}, {size(file.data_length)} in {seconds * 1000:.1f} ms"
        if status == SUCCESS:
            self.out.detail(told)
        else:
            self.warned += 1
            self.out.info(told)
        self.out.event("stored", path=str(file.path), sop_instance_uid=file.sop_instance_uid, status=status,
                       bytes=file.data_length, seconds=round(seconds, 6))  # fmt: skip

    def fail(self, file: Part10File, why: str, status: int | None = None) -> None:
        self.failed += 1
        self.out.failure(f"{shown(file.path)}: failed: {why}")
        self.out.event("failed", path=str(file.path), sop_instance_uid=file.sop_instance_uid, status=status, why=why)

    def leave(self) -> None:
        if self.session is not None:
            leave(self.session, self.out)
            self.session = None

    def summary(self) -> int:
        seconds = perf_counter() - self.begun
        asked = len(self.files) * self.options.repeat
        left = asked - self.stored - self.failed
        rate = self.sent_bytes / seconds
        text = (
            f"stored {self.stored} of {plural(asked, 'file')}, {size(self.sent_bytes)} in {seconds:.2f} s "
            f"({size(rate)}/s, {self.stored / seconds:.0f} files/s)"
        )
        for number, word in (
            (self.warned, "with a warning"),
            (self.failed, "failed"),
            (left, "not tried"),
            (self.skipped, "skipped, no DICOM"),
        ):
            text += f", {number} {word}" if number else ""
        self.out.info(text)
        self.out.event("summary", stored=self.stored, warned=self.warned, failed=self.failed, not_tried=left,
                       skipped=self.skipped, bytes=self.sent_bytes, seconds=round(seconds, 6))  # fmt: skip
        if not self.associations:
            return NO_ASSOCIATION
        return OK if self.stored == asked else FAILED
