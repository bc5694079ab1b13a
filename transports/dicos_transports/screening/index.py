"""The index of a station: scans, reports, deliveries, refusals, and the jobs that are still to be done, in SQLite.

Knows: the tables and what becomes true together. Must not know: files, networks, what a job does. Invariants: a scan
and its first job appear in one transaction, and a job disappears in the transaction that records its result, so that
nothing is forgotten and nothing is recorded twice; every commit but that of a lease is on disk when it returns (WAL,
synchronous=FULL).

A job is leased: `fence` grows with each lease, and a result counts only with the fence of its lease. After a lease has
run out, or after a restart, another one begins the job again.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

__all__ = ["Index", "Lease", "LeaseLost", "NewReport", "NewScan"]

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS tick(value INTEGER NOT NULL);
INSERT INTO tick SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM tick);
CREATE TABLE IF NOT EXISTS scan(
    id INTEGER PRIMARY KEY AUTOINCREMENT, file TEXT NOT NULL UNIQUE, origin TEXT UNIQUE, via TEXT NOT NULL,
    source TEXT NOT NULL, size INTEGER NOT NULL, sop_class TEXT NOT NULL, sop_instance TEXT NOT NULL,
    transfer_syntax TEXT NOT NULL, ooi_id TEXT NOT NULL, received REAL NOT NULL, stored REAL NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting', decision TEXT, threats TEXT NOT NULL DEFAULT '[]', error TEXT,
    recognised REAL, picture TEXT, changed INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS scan_changed ON scan(changed);
CREATE TABLE IF NOT EXISTS report(
    id INTEGER PRIMARY KEY AUTOINCREMENT, scan INTEGER NOT NULL REFERENCES scan(id), kind TEXT NOT NULL,
    file TEXT NOT NULL UNIQUE, sop_instance TEXT NOT NULL, decision TEXT NOT NULL, operator TEXT, made REAL NOT NULL);
CREATE INDEX IF NOT EXISTS report_scan ON report(scan);
CREATE TABLE IF NOT EXISTS delivery(
    report INTEGER NOT NULL REFERENCES report(id), destination TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT, sent REAL, PRIMARY KEY(report, destination));
CREATE TABLE IF NOT EXISTS refused(
    id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, via TEXT NOT NULL, source TEXT NOT NULL,
    size INTEGER NOT NULL, status INTEGER NOT NULL, why TEXT NOT NULL, file TEXT, changed INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS job(
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, key INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, not_before REAL NOT NULL DEFAULT 0, lease_until REAL NOT NULL DEFAULT 0,
    fence INTEGER NOT NULL DEFAULT 0, error TEXT, UNIQUE(kind, key));
CREATE INDEX IF NOT EXISTS job_due ON job(kind, not_before);
"""
REFUSALS_KEPT: Final = 1000
"""Refusals that are remembered. Stops: a peer whose endless bad objects fill the disk with rows."""


class LeaseLost(Exception):
    """Another lease has begun the job meanwhile: this result does not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewScan:
    """A scan that is on disk. `received`: when its last byte arrived; times are seconds since 1970, in UTC.

    `origin` identifies a watched file, which is taken in once however often the station restarts.
    """

    file: str
    via: str
    source: str
    size: int
    sop_class: str
    sop_instance: str
    transfer_syntax: str
    ooi_id: str
    received: float
    origin: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReport:
    """A report that is on disk. `kind`: machine, abort or operator. `threats`: what the page shows of them."""

    file: str
    kind: str
    sop_instance: str
    decision: str
    made: float
    threats: Sequence[dict[str, Any]] = ()
    error: str | None = None
    operator: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A job that is leased. `key`: the scan of a recognition or picture, the report of a delivery."""

    id: int
    kind: str
    key: int
    attempts: int
    fence: int


class Index:
    """The index in the file `path`. Threads may share it. Raises `sqlite3.Error` where the disk does not take a commit,
    and nothing has changed then.

    `wake` is called after each commit that adds jobs, with their kinds.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float], destinations: Sequence[str] = ()) -> None:
        self._clock = clock
        self._destinations = tuple(destinations)
        self._lock = threading.RLock()
        self.wake: Callable[[Iterable[str]], None] = lambda kinds: None
        self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._base.row_factory = sqlite3.Row
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("PRAGMA synchronous=FULL")
        self._base.execute("PRAGMA foreign_keys=ON")
        self._base.executescript(_SCHEMA)
        with self._writing():  # the lock on the folder shows that the process that leased them has ended
            self._base.execute("UPDATE job SET lease_until = 0, not_before = min(not_before, ?)", (clock(),))
            for destination in self._destinations:
                self._base.execute(
                    "INSERT OR IGNORE INTO job(kind, key) SELECT 'deliver ' || destination, report FROM delivery"
                    " WHERE destination = ? AND sent IS NULL",
                    (destination,),
                )

    def close(self, seconds: float = -1) -> None:
        """Closes the file; leaves it open if another thread still writes after `seconds`."""
        if self._lock.acquire(timeout=seconds):
            try:
                self._base.close()
            finally:
                self._lock.release()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock:
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise

    @contextmanager
    def _quickly(self) -> Iterator[None]:
        """Commits without waiting for the disk. A lease need not survive a power failure: nobody holds it then."""
        self._base.execute("PRAGMA synchronous=NORMAL")
        try:
            yield
        finally:
            self._base.execute("PRAGMA synchronous=FULL")

    def _tick(self) -> int:
        self._base.execute("UPDATE tick SET value = value + 1")
        (value,) = self._base.execute("SELECT value FROM tick").fetchone()
        return int(value)

    # -- what arrives ------------------------------------------------------------------------------------------------

    def add_scan(self, scan: NewScan) -> int:
        """Records a scan and its recognition as a job, and returns its number; that of the known scan if `origin` is
        known already."""
        with self._writing():
            if scan.origin is not None:
                known = self._base.execute("SELECT id FROM scan WHERE origin = ?", (scan.origin,)).fetchone()
                if known is not None:
                    return int(known["id"])
            added = self._base.execute(
                "INSERT INTO scan(file, origin, via, source, size, sop_class, sop_instance, transfer_syntax, ooi_id,"
                " received, stored, changed) VALUES(?,?,?,?,?,?,?,?,?,?,?,?)",
                (scan.file, scan.origin, scan.via, scan.source, scan.size, scan.sop_class, scan.sop_instance,
                 scan.transfer_syntax, scan.ooi_id, scan.received, self._clock(), self._tick()),
            )  # fmt: skip
            number = int(added.lastrowid or 0)
            self._base.execute("INSERT INTO job(kind, key) VALUES('recognise', ?)", (number,))
        self.wake(("recognise",))
        return number

    def add_refusal(self, *, via: str, source: str, size: int, status: int, why: str, file: str | None) -> None:
        """Records an object that was refused."""
        with self._writing():
            self._base.execute(
                "INSERT INTO refused(at, via, source, size, status, why, file, changed) VALUES(?,?,?,?,?,?,?,?)",
                (self._clock(), via, source, size, status, why, file, self._tick()),
            )
            self._base.execute("DELETE FROM refused WHERE id <= (SELECT max(id) FROM refused) - ?", (REFUSALS_KEPT,))

    def knows_origin(self, origin: str) -> bool:
        """Returns True if this watched file has been taken in."""
        with self._lock:
            found = self._base.execute("SELECT 1 FROM scan WHERE origin = ?", (origin,)).fetchone()
        return found is not None

    # -- jobs --------------------------------------------------------------------------------------------------------

    def lease(self, kind: str, seconds: float) -> Lease | None:
        """Leases the oldest job of a kind that is due, for `seconds`; None if there is none."""
        now = self._clock()
        with self._lock:
            found = self._base.execute(
                "SELECT id FROM job WHERE kind = ? AND not_before <= ? AND lease_until <= ? ORDER BY id LIMIT 1",
                (kind, now, now),
            ).fetchone()
            if found is None:
                return None
            with self._quickly(), self._writing():
                self._base.execute(
                    "UPDATE job SET lease_until = ?, fence = fence + 1, attempts = attempts + 1 WHERE id = ?",
                    (now + seconds, found["id"]),
                )
                row = self._base.execute("SELECT * FROM job WHERE id = ?", (found["id"],)).fetchone()
        return Lease(id=row["id"], kind=kind, key=row["key"], attempts=row["attempts"], fence=row["fence"])

    def due_in(self, kind: str) -> float | None:
        """Seconds until the next job of a kind is due; None if there is none."""
        with self._lock:
            row = self._base.execute(
                "SELECT min(max(not_before, lease_until)) AS at FROM job WHERE kind = ?", (kind,)
            ).fetchone()
        return None if row["at"] is None else max(0.0, float(row["at"]) - self._clock())

    def open_jobs(self) -> int:
        """The number of jobs that are not done."""
        with self._lock:
            return int(self._base.execute("SELECT count(*) FROM job").fetchone()[0])

    def _end(self, lease: Lease) -> None:
        done = self._base.execute("DELETE FROM job WHERE id = ? AND fence = ?", (lease.id, lease.fence))
        if done.rowcount != 1:
            raise LeaseLost(f"{lease.kind} {lease.key}")

    def put_off(self, lease: Lease, error: str, seconds: float, *, counts: bool = True) -> None:
        """Records that an attempt failed: the job is due again after `seconds`. Raises `LeaseLost`.

        `counts`: False if the job is not to blame, such as for a full disk.
        """
        with self._writing():
            done = self._base.execute(
                "UPDATE job SET lease_until = 0, not_before = ?, error = ?, attempts = ? WHERE id = ? AND fence = ?",
                (self._clock() + seconds, error, lease.attempts - (not counts), lease.id, lease.fence),
            )
            if done.rowcount != 1:
                raise LeaseLost(f"{lease.kind} {lease.key}")
            if lease.kind.startswith("deliver "):
                destination = lease.kind.removeprefix("deliver ")
                self._base.execute(
                    "UPDATE delivery SET attempts = ?, error = ? WHERE report = ? AND destination = ?",
                    (lease.attempts, error, lease.key, destination),
                )
                self._touch(lease.key)
            else:
                self._base.execute("UPDATE scan SET error = ?, changed = ? WHERE id = ?",
                                   (error, self._tick(), lease.key))  # fmt: skip

    def _touch(self, report: int) -> None:
        self._base.execute(
            "UPDATE scan SET changed = ? WHERE id = (SELECT scan FROM report WHERE id = ?)", (self._tick(), report)
        )

    # -- results -----------------------------------------------------------------------------------------------------

    def recognised(self, lease: Lease, report: NewReport) -> None:
        """Records the report of a scan, and makes its deliveries and its picture jobs. Raises `LeaseLost`."""
        with self._writing():
            self._end(lease)
            self._base.execute(
                "UPDATE scan SET state = ?, decision = ?, threats = ?, error = ?, recognised = ?, changed = ?"
                " WHERE id = ?",
                ("aborted" if report.kind == "abort" else "reported", report.decision,
                 json.dumps(list(report.threats)), report.error, report.made, self._tick(), lease.key),
            )  # fmt: skip
            kinds = self._add_report(lease.key, report)
            self._base.execute("INSERT OR IGNORE INTO job(kind, key) VALUES('picture', ?)", (lease.key,))
        self.wake((*kinds, "picture"))

    def decided(self, scan: int, report: NewReport) -> int:
        """Records the report of an operator, with its deliveries, and returns its number."""
        with self._writing():
            self._base.execute("UPDATE scan SET changed = ? WHERE id = ?", (self._tick(), scan))
            kinds = self._add_report(scan, report)
            (number,) = self._base.execute("SELECT max(id) FROM report").fetchone()
        self.wake(kinds)
        return int(number)

    def _add_report(self, scan: int, report: NewReport) -> list[str]:
        added = self._base.execute(
            "INSERT INTO report(scan, kind, file, sop_instance, decision, operator, made) VALUES(?,?,?,?,?,?,?)",
            (scan, report.kind, report.file, report.sop_instance, report.decision, report.operator, report.made),
        )
        kinds = [f"deliver {name}" for name in self._destinations]
        for name, kind in zip(self._destinations, kinds, strict=True):
            self._base.execute("INSERT INTO delivery(report, destination) VALUES(?,?)", (added.lastrowid, name))
            self._base.execute("INSERT INTO job(kind, key) VALUES(?,?)", (kind, added.lastrowid))
        return kinds

    def delivered(self, lease: Lease, at: float) -> None:
        """Records that a report has been sent. Raises `LeaseLost`."""
        with self._writing():
            self._end(lease)
            self._base.execute(
                "UPDATE delivery SET attempts = ?, sent = ?, error = NULL WHERE report = ? AND destination = ?",
                (lease.attempts, at, lease.key, lease.kind.removeprefix("deliver ")),
            )
            self._touch(lease.key)

    def pictured(self, lease: Lease, picture: str | None, error: str | None = None) -> None:
        """Records the picture of a scan, or the reason why there is none. Raises `LeaseLost`."""
        with self._writing():
            self._end(lease)
            self._base.execute(
                "UPDATE scan SET picture = ?, error = coalesce(?, error), changed = ? WHERE id = ?",
                (picture, error, self._tick(), lease.key),
            )

    # -- asking ------------------------------------------------------------------------------------------------------

    def scan(self, number: int) -> dict[str, Any] | None:
        """A scan by its number."""
        with self._lock:
            row = self._base.execute("SELECT * FROM scan WHERE id = ?", (number,)).fetchone()
        return None if row is None else dict(row)

    def report(self, number: int) -> dict[str, Any] | None:
        """A report by its number."""
        with self._lock:
            row = self._base.execute("SELECT * FROM report WHERE id = ?", (number,)).fetchone()
        return None if row is None else dict(row)

    def reports_of(self, scan: int) -> list[dict[str, Any]]:
        """The reports of a scan, oldest first, each with its `deliveries`."""
        with self._lock:
            found = [dict(row) for row in
                     self._base.execute("SELECT * FROM report WHERE scan = ? ORDER BY id", (scan,))]  # fmt: skip
            for report in found:
                report["deliveries"] = [dict(row) for row in self._base.execute(
                    "SELECT destination, attempts, error, sent FROM delivery WHERE report = ? ORDER BY destination",
                    (report["id"],))]  # fmt: skip
        return found

    def files(self, table: str) -> frozenset[str]:
        """The names of all files of the table `scan` or `report`."""
        if table not in ("scan", "report"):
            raise ValueError(f"no files in {table}")
        with self._lock:
            return frozenset(row["file"] for row in self._base.execute(f"SELECT file FROM {table}"))

    def changes(self, since: int, most: int, before: int | None = None) -> tuple[int, list[dict[str, Any]]]:
        """The present tick, and the newest scans that have changed after the tick `since`, up to `most`, newest first.

        `before`: only scans with a lower number. Each scan has its `reports`.
        """
        with self._lock:
            (tick,) = self._base.execute("SELECT value FROM tick").fetchone()
            rows = self._base.execute(
                "SELECT * FROM scan WHERE changed > ? AND id < ? ORDER BY id DESC LIMIT ?",
                (since, before if before is not None else 1 << 62, most),
            ).fetchall()
            found = [{**dict(row), "threats": json.loads(row["threats"]), "reports": self.reports_of(row["id"])}
                     for row in rows]  # fmt: skip
        return int(tick), found

    def refusals(self, since: int, most: int) -> list[dict[str, Any]]:
        """The newest refusals after the tick `since`, newest first."""
        with self._lock:
            return [dict(row) for row in self._base.execute(
                "SELECT * FROM refused WHERE changed > ? ORDER BY id DESC LIMIT ?", (since, most))]  # fmt: skip

    def counts(self) -> dict[str, int]:
        """The numbers of scans, of scans without a report, of scans that were aborted, and of reports to be sent."""
        with self._lock:
            row = self._base.execute(
                "SELECT (SELECT count(*) FROM scan) AS scans, (SELECT count(*) FROM scan WHERE state = 'waiting') AS"
                " waiting, (SELECT count(*) FROM scan WHERE state = 'aborted') AS aborted,"
                " (SELECT count(*) FROM delivery WHERE sent IS NULL) AS undelivered,"
                " (SELECT count(*) FROM refused) AS refused"
            ).fetchone()
        return dict(row)
