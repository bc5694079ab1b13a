"""The files that a campaign leaves: the folder for them, chosen before anything is sent, and the reproducers in it.

Knows: options, folders, reproducers, saved campaigns. Must not know: how a campaign runs, what a report says.

Theory of operation: reproducers go into the folder of `--output`, else with the state of the campaign, else into a new
folder below the current one, which is made for the first finding. They are written when they are found, so that a
command that is killed leaves them, and once more at the end, when they have been made small.

Invariant: a folder holds the files of one campaign.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from dicos_transports.addresses import said
from dicos_transports.cli.output import shown

from ..campaign.campaign import Campaign
from ..campaign.corpus import Corpus
from ..campaign.room import with_room
from ..campaign.settings import Totals
from ..campaign.state import FINDINGS, Saved, save
from ..finding import Finding
from ..findings import reproducer
from ..findings.grouping import masked
from ..findings.reproducer import Reproducer
from .fuzz_report import REPORTS
from .fuzz_show import Show
from .refusing import Refused
from .tls_words import has_tls

__all__ = ["Keeper", "mask", "refuse_used"]

_REPRODUCER: Final = re.compile(r"[a-z][a-z-]*-[0-9a-f]{12}\.json")


class Keeper:
    """Writes the reproducers of one campaign. `peer`: its address, `program`, `made`: texts for them. `show` prints
    where they are, and what cannot be written. `corpus` gives room on a full disk. `port`: where the peer listens, or
    is waited for.
    """

    def __init__(
        self, options: argparse.Namespace, show: Show, corpus: Corpus, *, peer: str, program: str, made: str
    ) -> None:
        self._texts = {"peer": peer, "program": program, "made": made}
        self._tls = has_tls(options)
        self._show = show
        self._state: Path | None = options.resume or options.state
        self._name = options.host if options.listen is None else options.listen[0]
        self._corpus = corpus
        self._written: dict[str, Finding] = {}
        self._told: set[str] = set()
        self.unwritten: dict[str, str] = {}
        """Why a reproducer could not be written, by the id of its finding."""
        self._elsewhere = False  # the new folder is a temporary one
        self._lost = False
        self.port: int = options.port if options.listen is None else options.listen[1]
        self.folder: Path | None = options.output
        """The folder for reproducers and reports. None: there is none yet, or only the state of the campaign."""

    def reproducer(self, finding: Finding) -> Reproducer:
        """Returns the reproducer of a finding."""
        return reproducer.of_finding(finding, tls=self._tls, port=self.port, **self._texts)

    def try_new(self) -> None:
        """Makes sure that a new folder can be made in the current one, if there will be one: if it cannot, it says so
        now."""
        if self.folder is not None or self._state is not None:
            return
        try:
            tried = self._made(Path())
            tried.rmdir()
        except OSError as error:
            self._elsewhere = True
            self._show.told(
                f"the current folder cannot be written ({said(error)}): findings will be saved in a temporary folder; "
                "--output names another one"
            )

    def keep(self, findings: Iterable[Finding]) -> None:
        """Writes the reproducers that are new or have changed."""
        todo = [one for one in findings if self._written.get(one.id) is not one]
        if not todo or (self.folder is None and self._state is not None):
            return
        if self.folder is None and not self._lost:
            self._make()
        if self.folder is None:
            return
        for one in todo:
            made = self.reproducer(one)
            path = self.folder / reproducer.file_name(made)
            try:
                with_room(partial(reproducer.write, path, made), self.folder, self._corpus)
                self.unwritten.pop(one.id, None)
            except (OSError, ValueError) as error:
                self._cannot(one, path, said(error) if isinstance(error, OSError) else str(error))
            self._written[one.id] = one  # also if that failed: it is tried again once it has changed
        self._tell_full()

    def _cannot(self, finding: Finding, path: Path, why: str) -> None:
        self.unwritten[finding.id] = line = f"{path}: not written: {why}"
        self._tell(line)

    def _tell(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self._show.error(line)

    def _tell_full(self) -> None:
        if self._corpus.full:
            self._tell("the disk is full: findings first, and the corpus is not written any more")

    def paths(self, findings: Iterable[Finding]) -> dict[str, str]:
        """Returns where the reproducers are, by the ids of the findings."""
        where = self.folder
        if where is None and self._state is not None:
            where = self._state / FINDINGS
        if where is None:
            return {}
        return {
            one.id: str(where / reproducer.file_name(self.reproducer(one)))
            for one in findings
            if one.id not in self.unwritten
        }

    def save(self, options: argparse.Namespace, campaign: Campaign) -> None:
        """Saves the campaign, if it has a state, and the reproducers."""
        if self._state is not None:
            saved = Saved(
                peer=self._texts["peer"], seed=options.seed, taken=campaign.schedule.taken, totals=campaign.totals,
                bitmap=campaign.bitmap,
            )  # fmt: skip
            try:
                failed = save(self._state, saved, self._corpus, self.reproducer)
            except OSError as error:
                failed = {}
                self._tell(f"the campaign cannot be saved: {said(error)}")
            self._take(failed, campaign.totals)
            self._tell_full()
        self.keep(campaign.totals.findings.values())

    def _take(self, failed: Mapping[str, str], totals: Totals) -> None:
        """Tells what of the state could not be written; with no other folder, a finding has no file then."""
        for path, why in failed.items():
            self._tell(f"{path}: not written: {why}")
        if self.folder is None and self._state is not None:
            paths = {one.id: self._state / FINDINGS / reproducer.file_name(self.reproducer(one))
                     for one in totals.findings.values()}  # fmt: skip
            self.unwritten = {name: f"{path}: not written: {failed[str(path)]}"
                              for name, path in paths.items() if str(path) in failed}  # fmt: skip

    def _make(self) -> None:
        try:
            self.folder = self._made(Path(tempfile.gettempdir()) if self._elsewhere else Path())
        except OSError as error:
            if not self._elsewhere:  # it has changed since it was tried
                self._elsewhere = True
                self._make()
                return
            self._lost = True
            self._show.error(f"findings cannot be saved: {said(error)}; --output names a folder")
            return
        self._show.told(f"findings are saved in {shown(self.folder)}")
        self._show.out.event("saved", folder=str(self.folder))

    def _made(self, parent: Path) -> Path:
        """Makes a new folder. Raises OSError."""
        host = re.sub(r"[^A-Za-z0-9.-]", "_", self._name)[:60]
        stem = f"fuzz-{host}-{self.port}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
        for name in _names(stem):
            with suppress(FileExistsError):
                (parent / name).mkdir()
                return parent / name
        raise AssertionError("names do not end")


def _names(stem: str) -> Iterator[str]:
    yield stem
    number = 2
    while True:
        yield f"{stem}-{number}"
        number += 1


# -- before the campaign -----------------------------------------------------------------------------------------


def refuse_used(folder: Path | None, totals: Totals | None) -> None:
    """Refuses a folder with files of another campaign: nobody could tell them apart. `totals`: those of the campaign
    that is taken up again, whose own files may be there. Raises `Refused`, and OSError."""
    if folder is None or not folder.is_dir():
        return
    own: set[str] = set()
    if totals is not None:
        found = (*totals.findings.values(), *totals.unconfirmed.values())
        own = {*REPORTS, *(reproducer.file_name(reproducer.of_finding(one)) for one in found)}
    others = sorted(
        one.name
        for one in folder.iterdir()
        if one.name not in own and (one.name in REPORTS or _REPRODUCER.fullmatch(one.name)) and one.is_file()
    )
    if others:
        raise Refused(f"{shown(folder)}: there is {shown(others[0])}, of another campaign: choose a new folder")


def mask(totals: Totals, known: frozenset[str]) -> Mapping[str, int]:
    """Takes the known ones out of the findings of a campaign that is taken up again. Returns how often each of them was
    seen, by id. Their files stay: without `known` they are findings again."""
    left, counts = masked(totals.findings.values(), known)
    kept = {one.id for one in left}
    totals.findings = {name: one for name, one in totals.findings.items() if one.id in kept}
    left, _ = masked(totals.unconfirmed.values(), known)
    kept = {one.id for one in left}
    totals.unconfirmed = {name: one for name, one in totals.unconfirmed.items() if one.id in kept}
    return counts
