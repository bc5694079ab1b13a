"""Sends files to a peer, over one association or several at a time, and tries again if that can help.

All associations share one queue: each takes the next file when it has room for one, so that a slow one does not delay
the others. A file whose association was lost before it was answered goes to a second queue, whose files are sent one at
a time: a file that makes the peer abort then affects no other file.

Invariants: a file is counted once, stored or failed; a file that the peer has answered with a failure, or that cannot
be sent, is not tried again.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from os import stat_result
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Final

from dicos_proto import dimse
from dicos_proto.conversation.flows import AssociationError, ContextNotAccepted
from dicos_proto.dicos.profile import Compression
from dicos_proto.errors import LocalProtocolError, ProtocolError
from dicos_proto.registry import uids
from dicos_proto.registry.status import SUCCESS, category, describe
from dicos_proto.registry.status_tables import Category
from dicos_proto.services.storage import Instance, StoreMany
from dicos_proto.upper_layer.pdu_types import ContextResult, ProposedContext

from ..files.part10 import Part10Error, Part10File
from ..files.sending import FileInstance, prepare
from ..files.sending import plan as plan_batches
from ..sessions.channel import ServerStopping
from ..sessions.session import Session
from . import FAILED, NO_ASSOCIATION, OK
from .output import Output, ProgressBar, plural, shown, size
from .user import Caller, Contact

if TYPE_CHECKING:
    from .journal import Journal

_SAME = ("st_mtime_ns", "st_size", "st_ino", "st_dev")
GIVE_UP_AFTER: Final = 3
"""Associations lost one after another, with no file stored in between and no retries asked for, after which an
association is not made again."""
LONGEST_DELAY: Final = 60.0
"""Seconds that are waited between two attempts at most."""


@dataclass(slots=True, kw_only=True, eq=False)
class SendJob:
    """A file to send. `found`: its `stat` before it was read."""

    file: Part10File
    found: stat_result
    attempts: int = 0
    begun: float = 0.0
    why: str = ""  # it was not answered the last time

    @property
    def changed(self) -> bool:
        """True if the file has changed since it was read, or another one has its path. False if the path is gone."""
        try:
            now = os.stat(self.file.path)
        except OSError:
            return False
        return any(getattr(now, name) != getattr(self.found, name) for name in _SAME)


@dataclass(slots=True, eq=False)
class Queue:
    """The files that the same contexts are proposed for: those still to be sent, and those to be sent again."""

    contexts: tuple[ProposedContext, ...]
    fresh: deque[SendJob]
    again: deque[SendJob] = field(default_factory=deque)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendPlan:
    """The way to send, from the options of `storescu`."""

    priority: int = dimse.PRIORITY_MEDIUM
    window: int = 1
    associations: int = 1
    repeat: int = 1
    retries: int = 0
    delay: float = 1.0
    halt: bool = False
    only: tuple[str, ...] = ()
    """The transfer syntaxes that are proposed; none: those that the files are in, and what they can be converted to."""
    compression: Compression | None = None

    def pause(self, attempt: int) -> float:
        """Seconds to wait before it is tried again for the `attempt`th time: each time twice as long."""
        return min(self.delay * 2.0 ** min(attempt - 1, 32), LONGEST_DELAY)


@dataclass(kw_only=True)
class Sending:
    """Everything that one run sends, and its progress; the run's associations share it. `skipped`: files that are not
    to be sent; `bad`: paths that should be sent and cannot be; `already`: files that are stored by the journal."""

    caller: Caller
    out: Output
    plan: SendPlan
    files: list[tuple[Part10File, stat_result]]
    journal: Journal | None = None
    bar: ProgressBar
    skipped: int = 0
    bad: int = 0
    already: int = 0

    stored: int = 0
    warned: int = 0
    failed: int = 0
    retried: int = 0
    sent_bytes: int = 0
    made: int = 0  # associations
    working: int = 0  # of those at the same time, how many are not given up
    over: bool = False  # nothing more is begun
    broken: bool = False  # the journal takes no more
    queues: list[Queue] = field(default_factory=list)
    begun: float = field(default_factory=perf_counter)
    lock: Lock = field(default_factory=Lock)

    async def run(self) -> int:
        """Sends all files. Returns the exit status."""
        self.failed = self.bad
        found = dict(self.files)
        batches = plan_batches([file for file, _ in self.files], only=self.plan.only, compression=self.plan.compression)
        self.queues = [
            Queue(batch.contexts, deque(SendJob(file=file, found=found[file]) for file in batch.files))
            for _ in range(self.plan.repeat)
            for batch in batches
        ]
        self.working = min(self.plan.associations, len(self.files) * self.plan.repeat)
        works = [_Association(self).run for _ in range(self.working)]
        try:
            if works:
                await self.caller.runtime.all_of(*works)
        finally:
            self.bar.clear()
        for queue in self.queues:
            for job in queue.again:  # no association was left to try it again
                self.fail(job, job.why)
        return self.summary()

    def answered(self, job: SendJob, response: dimse.DimseResponse) -> bool:
        """The peer has answered; returns False if it answered a failure."""
        seconds = perf_counter() - job.begun
        file, status, out = job.file, response.status, self.out
        comment = f": {response.error_comment!a}" if response.error_comment else ""
        if category(status) not in (Category.SUCCESS, Category.WARNING):
            self.fail(job, f"{describe(status)}{comment}", status)
            return False
        if job.changed:
            self.fail(
                job, "has changed while it was sent; what the peer has may be a part of each, send it again", status
            )
            return True
        with self.lock:
            self.stored += 1
            self.warned += status != SUCCESS
            self.sent_bytes += file.data_length
            if self.journal is not None and not self.broken:
                self._note(self.journal, job, status)
        if status != SUCCESS or out.verbose:
            took = f"{size(file.data_length)} in {seconds * 1000:.1f} ms"
            out.info(f"{shown(file.path)}: {describe(status)}{comment}, {took}")
        out.event("stored", path=str(file.path), sop_instance_uid=file.sop_instance_uid, status=status,
                  bytes=file.data_length, seconds=round(seconds, 6))  # fmt: skip
        return True

    def _note(self, journal: Journal, job: SendJob, status: int) -> None:
        from .journal import JournalError

        try:
            journal.add(job.file, job.found, status)
        except JournalError as error:
            self.out.error(str(error))
            self.broken = self.over = True

    def fail(self, job: SendJob, why: str, status: int | None = None) -> None:
        """The file is not stored, and is not tried again."""
        with self.lock:
            self.failed += 1
            self.over = self.over or self.plan.halt
        file = job.file
        self.out.failure(f"{shown(file.path)}: failed: {why}")
        self.out.event("failed", path=str(file.path), sop_instance_uid=file.sop_instance_uid, status=status, why=why)

    def lost(self, queue: Queue, job: SendJob, error: ProtocolError) -> None:
        """The association ended before the peer answered: send it again, if that can help and was asked for."""
        job.attempts += 1
        if job.attempts > self.plan.retries or not self.caller.passes(error, established=True):
            self.fail(job, str(error))
            return
        job.why = str(error)
        queue.again.append(job)
        with self.lock:
            self.retried += 1
        path = job.file.path
        self.out.info(f"{shown(path)}: {error}; to be sent again ({job.attempts} of {self.plan.retries})")
        self.out.event("retry", path=str(path), sop_instance_uid=job.file.sop_instance_uid, attempt=job.attempts,
                       why=job.why)  # fmt: skip

    def summary(self) -> int:
        """Prints what was done, and returns the exit status."""
        seconds = perf_counter() - self.begun
        asked = len(self.files) * self.plan.repeat + self.bad
        left = asked - self.stored - self.failed
        text = (
            f"stored {self.stored} of {plural(asked, 'file')}, {size(self.sent_bytes)} in {seconds:.2f} s "
            f"({size(self.sent_bytes / seconds)}/s, {self.stored / seconds:.0f} files/s)"
        )
        for number, word in (
            (self.warned, "with a warning"),
            (self.retried, "sent again"),
            (self.failed, "failed"),
            (left, "not tried"),
            (self.already, "stored before"),
            (self.skipped, f"skipped: not {'a DICOM file' if self.skipped == 1 else 'DICOM files'}"),
        ):
            text += f", {number} {word}" if number else ""
        self.out.info(text)
        self.out.event("summary", stored=self.stored, warned=self.warned, failed=self.failed, retried=self.retried,
                       not_tried=left, already=self.already, skipped=self.skipped, bytes=self.sent_bytes,
                       associations=self.made, seconds=round(seconds, 6))  # fmt: skip
        if self.files and not self.made:
            return NO_ASSOCIATION
        return OK if self.stored == asked and not self.broken else FAILED


class _Association:
    """One association at a time with the peer, made again where it is lost."""

    def __init__(self, sending: Sending) -> None:
        self._sending = sending
        self._contact: Contact | None = None
        self._window = 1  # that was proposed
        self._troubles = 0
        """Associations that could not be made or were lost since the last file was stored."""
        self._given_up = False

    async def run(self) -> None:
        """Sends the files in the queues until none is left, or until there were too many failures."""
        sending = self._sending
        try:
            for queue in sending.queues:
                while not sending.over and (queue.fresh or queue.again):
                    jobs, window = (queue.fresh, sending.plan.window) if queue.fresh else (queue.again, 1)
                    contact = await self._with(queue.contexts, window)
                    if contact is not None:
                        await self._send(contact, queue, jobs)
                    if self._given_up:
                        return
            await self._leave()
        finally:
            if self._contact is not None:
                await self._contact.session.abort()

    async def _with(self, contexts: tuple[ProposedContext, ...], window: int) -> Contact | None:
        """Returns an association with these contexts: the present one, or a new one if there is none or it does not
        fit. Returns None if that is not possible now."""
        sending = self._sending
        if self._contact is not None:
            session = self._contact.session
            if session.established and session.request.contexts == contexts and self._window == window:
                return self._contact
            await self._leave()
        try:
            self._contact = await sending.caller.open(contexts, window=window)
        except AssociationError as error:
            await self._trouble(error, established=False)
            return None
        self._window = window
        with sending.lock:
            sending.made += 1
        return self._contact

    async def _leave(self) -> None:
        if self._contact is not None:
            contact, self._contact = self._contact, None
            await contact.leave()

    async def _trouble(self, error: ProtocolError, *, established: bool) -> None:
        """An association was lost, or could not be made: wait, or give it up."""
        sending, plan = self._sending, self._sending.plan
        if isinstance(error, ServerStopping):
            raise error
        self._troubles += 1
        if established:  # its files have told
            allowed = plan.retries + GIVE_UP_AFTER
            if self._troubles >= allowed:
                self._give_up(f"{allowed} associations in a row were lost; the rest is not tried")
        elif self._troubles > plan.retries or not sending.caller.passes(error, established=False):
            self._give_up(str(error))
        else:
            pause = plan.pause(self._troubles)
            sending.out.info(f"{error}; tried again in {pause:g} s ({self._troubles} of {plan.retries})")
            sending.out.event("retry", attempt=self._troubles, delay=pause, why=str(error))
        if plan.retries and not self._given_up and not sending.over:
            await sending.caller.runtime.sleep(plan.pause(self._troubles))

    def _give_up(self, why: str) -> None:
        """No association is made any more here; if no other one is left, nothing more is tried."""
        sending = self._sending
        with sending.lock:
            sending.working -= 1
            last = sending.working == 0
            sending.over = sending.over or last
        self._given_up = True
        if last:
            sending.out.error(why)
        else:
            sending.out.detail(f"one association fewer: {why}")

    async def _send(self, contact: Contact, queue: Queue, jobs: deque[SendJob]) -> None:
        """Sends these files until none is left or the association is over."""
        sending, session = self._sending, contact.session
        under_way: dict[int, tuple[FileInstance, SendJob]] = {}  # in the order in which they were begun
        stores = StoreMany(session.exchange, self._instances(session, jobs, under_way), priority=sending.plan.priority)
        try:
            while True:
                try:
                    outcome = await session.run(stores.next())
                except (LocalProtocolError, Part10Error) as error:
                    # The error is about the file begun last: its UID fits in no command, or it can no longer be read.
                    job = under_way.popitem()[1][1]
                    sending.fail(job, error.reason if isinstance(error, Part10Error) else str(error))
                    if session.established:
                        continue
                    # Aborted, because the file was sent in part. The others that wait for their answers are not at
                    # fault, and are sent again.
                    jobs.extendleft(job for _, job in reversed(under_way.values()))
                    return
                if outcome is None:
                    return
                _, job = under_way.pop(id(outcome.instance))
                if outcome.response is not None and sending.answered(job, outcome.response):
                    self._troubles = 0
                contact.tell_deviations()
        except ServerStopping:
            raise
        except AssociationError as error:
            contact.tell_deviations()
            for _, job in under_way.values():
                sending.lost(queue, job, error)
            await session.abort()
            await self._trouble(error, established=True)
        finally:
            for instance, _ in under_way.values():
                instance.close()

    def _instances(
        self, session: Session, jobs: deque[SendJob], under_way: dict[int, tuple[FileInstance, SendJob]]
    ) -> Iterator[Instance]:
        """The next file each time there is room for one."""
        sending = self._sending
        while not sending.over:
            try:
                job = jobs.popleft()
            except IndexError:  # another association took the last one
                return
            if job.changed:
                sending.fail(job, "has changed since it was read; send it again")
                continue
            try:
                instance = prepare(
                    session.association,
                    job.file,
                    only=sending.plan.only,
                    compression=sending.plan.compression,
                    progress=sending.bar.advance,
                )
            except (ContextNotAccepted, Part10Error) as error:
                sending.fail(job, error.reason if isinstance(error, Part10Error) else why_refused(error, session))
                continue
            if instance.told and not job.attempts:
                sending.out.info(f"{shown(job.file.path)}: {instance.told}")
            job.begun = perf_counter()
            under_way[id(instance)] = instance, job
            yield instance


def why_refused(error: ContextNotAccepted, session: Session) -> str:
    """Explains why no context is accepted for a file, and how to make the peer accept it."""
    results = {one.result for one in session.refused if one.abstract_syntax == error.abstract_syntax}
    hints = ""
    if ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED in results:
        hints += "; or have this peer accept the SOP class, as dicos storescp --any does"
    if ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED in results:
        private = [one for one in error.transfer_syntaxes if one not in uids.TRANSFER_SYNTAXES]
        if private:
            hints += f"; or have this peer accept the transfer syntax, as dicos storescp -x {private[0]} does"
        else:
            hints += "; only uncompressed data sets are converted, so decompress the file first"
    return f"{error}{hints}"
