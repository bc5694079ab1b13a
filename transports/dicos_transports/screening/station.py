"""The station: the jobs of a scan, each done by a thread of its kind, from the index to the index.

Knows: the order recognise, deliver, draw; when to try again. Must not know: how a scan arrives (`intake`), how a report
is made (`child`). Invariants: a job is done when the index says so, and every step may be repeated; a recogniser that
raises, hangs or kills its process costs its scan one report with the abort flag, and no other scan anything; a full
disk puts jobs off, and ends nothing.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic, time
from typing import Any, Final

from ..files.temporary import hidden_name
from .delivery import Destination, NotDelivered, delays
from .folder import Folder, is_full, sync_folder
from .helper import Helper, HelperDied, HelperError, HelperStopped
from .index import Index, Lease, LeaseLost, NewReport
from .intake import Intake, Watch

__all__ = ["MEMORY", "PIXELS", "NotDecided", "Settings", "Station"]

LOG: Final = logging.getLogger("dicos.screening")
ATTEMPTS: Final = 2
"""Processes that may die of one scan before its report says that it was aborted."""
MOST_ATTEMPTS: Final = 10
"""Attempts in all, those counted that ended because the station was killed. Stops: a scan that takes the whole machine
down, again after each restart."""
CLERK_SECONDS: Final = 120.0
"""Seconds for a picture, or a report that needs no recogniser."""
MARGIN: Final = 300.0
"""Seconds that a lease lasts beyond the longest time that its work may take."""
LONG: Final = 3600.0
PIXELS: Final = 1_000_000_000
"""Stops: a small compressed scan that takes all memory."""
MEMORY: Final = 4_000_000_000
"""Stops: everything else that takes all memory."""
CLOSING: Final = 5.0
"""Seconds that `close` waits in all."""
DISK_PAUSE: Final = 2.0
"""Seconds before a job is tried again after a fault of the disk."""


class NotDecided(Exception):
    """An operator's decision that cannot be recorded. `missing`: there is no such scan."""

    def __init__(self, why: str, *, missing: bool = False, full: bool = False) -> None:
        super().__init__(why)
        self.missing = missing
        self.full = full


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a station.

    `recogniser`: the name of an entry point in the group "dicos_proto.recognisers", or "module:function". `deadline`:
    seconds that it may take for a scan. `workers`: scans that are recognised at the same time, each in a process of its
    own. `most`: the largest size of a scan in bytes. `pixels`: most bytes of the pixels of a compressed scan; a larger
    one is not decompressed, and its report has the abort flag. `memory`: most bytes of memory of each helper process,
    mapped files not counted.
    """

    folder: Path
    destinations: Sequence[Destination] = ()
    recogniser: str = "threshold"
    deadline: float = 30.0
    workers: int = 1
    watched: Sequence[Path] = ()
    most: int | None = None
    pixels: int = PIXELS
    memory: int = MEMORY


class Station:
    """A station over a folder. Raises `FolderInUse`, OSError, `sqlite3.Error`, `HelperError` (no such recogniser).

    A context manager, which stops it at the end; jobs that are not done then continue at the next start.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = Folder(settings.folder)
        limits = str(settings.memory), str(settings.pixels)
        self._clerk = Helper(*limits, "clerk")
        self._helpers = [Helper(*limits, "recogniser", settings.recogniser) for _ in range(settings.workers)]
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._bells: dict[str, threading.Event] = {}
        try:
            names = [one.name for one in settings.destinations]
            self.index = Index(self.folder.index, clock=time, destinations=names)
            self.intake = Intake(self.folder, self.index, most=settings.most)
        except BaseException:
            self.folder.close()
            raise
        self._watches = [Watch(self.intake, folder) for folder in settings.watched]

    def start(self) -> None:
        """Takes up what an earlier process left, and starts the threads. Raises `HelperError`."""
        self.folder.forget_reports(self.index.files("report"))
        if adopted := self.intake.adopt():
            LOG.warning("%d scans recorded that an earlier process had received and not acknowledged", adopted)
        if left := self.index.open_jobs():
            LOG.warning("%d jobs of an earlier process continue", left)
        self.index.wake = self._wake
        self._helpers[0].start()
        for helper in self._helpers:
            self._begin("recognise", partial(self._recognise, helper), self.settings.deadline + MARGIN)
        for destination in self.settings.destinations:
            self._begin(f"deliver {destination.name}", partial(self._deliver, destination), LONG)
        self._begin("picture", self._draw, CLERK_SECONDS + MARGIN)
        for watch in self._watches:
            watch.start()

    def close(self) -> None:
        """Stops the threads and the helper processes. Jobs that are running begin again at the next start.

        It waits for `CLOSING` seconds in all: for example, a destination that does not answer is left alone after that.
        """
        self._stopping.set()
        until = monotonic() + CLOSING
        for watch in self._watches:
            watch.close(0)
        for bell in self._bells.values():
            bell.set()
        ending = [partial(helper.close) for helper in (*self._helpers, self._clerk)]
        ending += [partial(destination.close) for destination in self.settings.destinations]
        threads = [threading.Thread(target=one, name="close", daemon=True) for one in ending]
        for thread in threads:
            thread.start()
        for thread in (*threads, *self._threads):
            thread.join(max(0.0, until - monotonic()))
        left = sorted({one.name for one in (*threads, *self._threads) if one.is_alive()})
        left += ["watch" for watch in self._watches if not watch.close(max(0.0, until - monotonic()))]
        if left:
            LOG.warning("not waited for any longer: %s; what they did begins again at the next start", ", ".join(left))
        self.intake.close()
        self.index.close(max(0.1, until - monotonic()))
        self.folder.close()

    def __enter__(self) -> Station:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stopped(self) -> list[str]:
        """The names of threads that have ended although the station has not: nothing of their kind is done."""
        if self._stopping.is_set():
            return []
        ended = [thread.name for thread in self._threads if not thread.is_alive()]
        return ended + ["watch" for watch in self._watches if not watch.alive]

    # -- an operator -------------------------------------------------------------------------------------------------

    def decide(self, number: int, decision: str, operator: str) -> int:
        """Records the decision of an operator, ALARM or CLEAR, as a report of its own; returns the report's number.

        Raises `NotDecided`.
        """
        scan = self.index.scan(number)
        if scan is None:
            raise NotDecided(f"there is no scan {number}", missing=True)
        machine = [one for one in self.index.reports_of(number) if one["kind"] != "operator"]
        if not machine:
            raise NotDecided("the scan has no report yet")
        try:
            report = self._write(
                partial(self._clerk.ask, CLERK_SECONDS, do="operate", scan=self._path(scan), decision=decision,
                        operator=operator, header=_header_of(scan),
                        machine=str(self.folder.reports / machine[-1]["file"])),
                kind="operator", operator=operator,
            )  # fmt: skip
            with self._unless(report):
                found = self.index.decided(number, report)
        except (HelperError, HelperStopped, OSError, sqlite3.Error) as error:
            full = is_full(error) or getattr(error, "full", False)
            raise NotDecided(f"the report of the operator cannot be written: {error}", full=full) from error
        LOG.info("scan %d: operator decided %s", number, decision)
        return found

    # -- jobs --------------------------------------------------------------------------------------------------------

    def _begin(self, kind: str, work: Callable[[Lease], None], seconds: float) -> None:
        self._bells.setdefault(kind, threading.Event())
        thread = threading.Thread(target=self._loop, args=(kind, work, seconds), name=kind, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _wake(self, kinds: Iterable[str]) -> None:
        for kind in kinds:
            if (bell := self._bells.get(kind)) is not None:
                bell.set()

    def _loop(self, kind: str, work: Callable[[Lease], None], seconds: float) -> None:
        """Does the jobs of one kind, one after the other."""
        bell = self._bells[kind]
        while not self._stopping.is_set():
            lease = None
            try:
                bell.clear()
                if self._stopping.is_set():
                    return
                lease = self.index.lease(kind, seconds)
                if lease is None:
                    due = self.index.due_in(kind)
                    bell.wait(LONG if due is None else min(due, LONG) + 0.001)
                    continue
                work(lease)
            except HelperStopped:
                return
            except LeaseLost:
                LOG.warning("%s: another lease has begun the job", kind)
            except (OSError, sqlite3.Error, HelperError) as error:
                self._put_off(kind, lease, error)
            except Exception as error:  # a fault of this station: it costs this job, not the thread
                self._put_off(kind, lease, error, counts=True)

    def _put_off(self, kind: str, lease: Lease | None, error: Exception, *, counts: bool = False) -> None:
        """Has a job tried again later after a fault that is not its own, for example of the disk.

        `counts`: True for a fault that nobody knows, whose text may quote the scan.
        """
        text = type(error).__name__ if counts else f"{type(error).__name__}: {error}"
        text = "no space left on the disk of the station" if is_full(error) else text
        LOG.error("%s: %s; it is tried again", kind, text)
        while lease is not None and not self._stopping.is_set():
            try:
                self.index.put_off(lease, text, DISK_PAUSE, counts=counts)
                return
            except LeaseLost:
                return
            except sqlite3.Error:  # the index is on the same disk: the job is leased until it takes this
                self._stopping.wait(DISK_PAUSE)
        self._stopping.wait(DISK_PAUSE)

    def _recognise(self, helper: Helper, lease: Lease) -> None:
        scan = self.index.scan(lease.key)
        assert scan is not None  # it is never removed while it has a job
        if lease.attempts > MOST_ATTEMPTS:
            report = self._abort(
                scan, "the station was killed repeatedly while this scan was recognised", "NOT_REVIEWED"
            )
        else:
            try:
                ask = partial(helper.ask, self.settings.deadline, do="recognise", scan=self._path(scan))
                report = self._write(ask, kind="machine")
            except HelperError as error:
                if error.full:
                    raise OSError(28, str(error)) from error
                if isinstance(error, HelperDied) and lease.attempts < ATTEMPTS:
                    LOG.warning("scan %d: %s; it is tried once more", lease.key, error)
                    self.index.put_off(lease, str(error), 0.0)
                    return
                LOG.error("scan %d: %s", lease.key, error)
                report = self._abort(scan, str(error), error.reason)
        with self._unless(report):
            self.index.recognised(lease, report)
        LOG.info("scan %d: %s", lease.key, report.decision if report.kind == "machine" else "ABORT")

    def _abort(self, scan: dict[str, Any], why: str, reason: str) -> NewReport:
        ask = partial(self._clerk.ask, CLERK_SECONDS, do="abort", scan=self._path(scan),
                      recogniser=self.settings.recogniser, reason=reason, header=_header_of(scan))  # fmt: skip
        return self._write(ask, kind="abort", error=why)

    def _write(
        self, ask: Callable[..., dict[str, Any]], *, kind: str, error: str | None = None, operator: str | None = None
    ) -> NewReport:
        """Has a helper write a report, and gives it its name. Raises `HelperError`, OSError."""
        part = self.folder.reports / hidden_name()
        try:
            answer = ask(report=str(part))
            path = self.folder.reports / self.folder.new_name(kind)
            os.rename(part, path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
        sync_folder(self.folder.reports)
        return NewReport(
            file=path.name, kind=kind, sop_instance=answer["sop_instance"], decision=answer["decision"], made=time(),
            threats=answer["threats"], error=error, operator=operator,
        )  # fmt: skip

    @contextmanager
    def _unless(self, report: NewReport) -> Iterator[None]:
        """Removes a report that the index does not take."""
        try:
            yield
        except BaseException:
            with suppress(OSError):
                (self.folder.reports / report.file).unlink()
            raise

    def _deliver(self, destination: Destination, lease: Lease) -> None:
        report = self.index.report(lease.key)
        assert report is not None
        try:
            destination.send(self.folder.reports / report["file"])
        except NotDelivered as error:
            if not self._stopping.is_set():
                seconds = delays(lease.attempts)
                LOG.warning("report %d: not sent to %s: %s; again in %g s", lease.key, destination.name, error, seconds)
                self.index.put_off(lease, str(error), seconds)
            return
        self.index.delivered(lease, time())
        LOG.info("report %d: sent to %s", lease.key, destination.name)

    def _draw(self, lease: Lease) -> None:
        scan, reports = self.index.scan(lease.key), self.index.reports_of(lease.key)
        assert scan is not None
        machine = [one for one in reports if one["kind"] != "operator"]
        part = self.folder.pictures / hidden_name()
        name = f"{lease.key}.png"
        try:
            self._clerk.ask(
                CLERK_SECONDS, do="draw", scan=self._path(scan), out=str(part),
                report=str(self.folder.reports / machine[-1]["file"]) if machine else None,
            )  # fmt: skip
            os.replace(part, self.folder.pictures / name)
        except HelperError as error:
            if error.full:
                raise OSError(28, str(error)) from error
            LOG.error("scan %d: no picture: %s", lease.key, error)
            self.index.pictured(lease, None, f"no picture: {error}")
            return
        finally:
            with suppress(OSError):
                part.unlink()
        self.index.pictured(lease, name)

    def _path(self, scan: dict[str, Any]) -> str:
        return str(self.folder.scans / scan["file"])


def _header_of(scan: dict[str, Any]) -> dict[str, str]:
    """The facts about a scan that a report needs if its file cannot be read."""
    return {name: scan[name] for name in ("sop_class", "sop_instance", "ooi_id")}
